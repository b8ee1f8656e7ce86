/* task: what is remembered of a service: which changes are worth a report, when, and
 * whether it crashes again and again.
 *
 * A change is reported at once, and so is each next step of one way (Stopping,
 * Stopped).  A service that soon comes back to where it was reported flaps: from then
 * on one report a second says how often it changed, until a second is quiet. */
#include <string.h>

#include "sa_report_service.h"
#include "sa_task_services.h"

/* ---- crashes ------------------------------------------------------------------ */

/* How often its manager had to deal with its end.  While a restart is about to come
 * the manager's own count lags by it. */
static apr_uint64_t count_ends(const sa_os_service_state_t *state)
{
    return state->restarts + (state->restarts_itself ? 1 : 0);
}

static void note_crash(sa_task_track_t *track, apr_interval_time_t now)
{
    for (int i = SA_TASK_CRASHES - 1; i > 0; i--) {
        track->crashed[i] = track->crashed[i - 1];
        track->crashed_at[i] = track->crashed_at[i - 1];
    }
    track->crashed[0] = true;
    track->crashed_at[0] = now;
}

static void note_crashes(sa_task_track_t *track, const sa_os_service_state_t *state,
                         apr_interval_time_t now)
{
    apr_uint64_t ends = count_ends(state);
    /* somebody started it by hand, and the count began again */
    apr_uint64_t before = ends < track->ends ? 0 : track->ends;
    apr_uint64_t fresh = ends - before;

    track->ends = ends;
    /* one that ends well and is started again, as it was told to, does not crash */
    if (state->restarts_itself && strcmp(state->result, "success") == 0) {
        return;
    }
    for (apr_uint64_t i = 0; i < fresh && i < SA_TASK_CRASHES; i++) {
        note_crash(track, now);
    }
}

bool sa_task__track_is_looping(const sa_task_track_t *track, apr_interval_time_t now)
{
    const int last = SA_TASK_CRASHES - 1;
    sa_os_service_status_t status = track->state.status;

    return (status == SA_OS_SERVICE_RUNNING || status == SA_OS_SERVICE_STARTING
            || status == SA_OS_SERVICE_STOPPING)
           && track->crashed[last] && now - track->crashed_at[last] <= SA_TASK_CRASH_WINDOW;
}

/* ---- changes -------------------------------------------------------------------- */

static bool same_end(const sa_os_service_state_t *a, const sa_os_service_state_t *b)
{
    return a->has_exit_code == b->has_exit_code && a->exit_code == b->exit_code
           && (a->signal == b->signal
               || (a->signal && b->signal && strcmp(a->signal, b->signal) == 0))
           && strcmp(a->result, b->result) == 0;
}

static bool is_change(const sa_os_service_state_t *old, const sa_os_service_state_t *new)
{
    return old->status != new->status || old->restarts_itself != new->restarts_itself
           || new->restarts > old->restarts || strcmp(old->load, new->load) != 0
           || (new->status == SA_OS_SERVICE_FAILED && !same_end(old, new));
}

static void keep_end(sa_task_track_t *track, const sa_os_service_state_t *state)
{
    if (state->has_exit_code || state->signal) {
        track->has_exit_code = state->has_exit_code;
        track->exit_code = state->exit_code;
        track->signal = state->signal;
    }
}

/* When a change to STATUS that comes NOW, the first one not reported, may be. */
static apr_interval_time_t when_due(sa_task_track_t *track, sa_os_service_status_t status,
                                    apr_interval_time_t now)
{
    bool quiet = !track->told_once || now - track->told_at >= SA_TASK_FLAP_PAUSE;
    bool back = track->was_reported[status]
                && now - track->reported_at[status] < SA_TASK_FLAP_WINDOW;

    track->flapping = back || (track->flapping && !quiet);
    return track->flapping && !quiet ? track->told_at + SA_TASK_FLAP_PAUSE : now;
}

void sa_task__track_note(sa_task_track_t *track, const sa_os_service_state_t *state,
                         apr_interval_time_t now)
{
    bool change = track->known && is_change(&track->state, state);

    if (!track->known) {
        track->known = true;
        track->reported = state->status;
        /* what it did before we looked counts only while it is at it */
        track->ends = state->restarts_itself ? 0 : count_ends(state);
    }
    if (!*state->error) {
        note_crashes(track, state, now);
    }
    track->state = *state;
    if (!change) {
        return;
    }
    keep_end(track, state);
    track->changes++;
    if (track->changes == 1) {
        track->due = when_due(track, state->status, now);
    }
}

bool sa_task__track_is_due(const sa_task_track_t *track, apr_interval_time_t now)
{
    return track->changes > 0 && now >= track->due;
}

void sa_task__track_told(sa_task_track_t *track, apr_interval_time_t now)
{
    track->changes = 0;
    track->told_once = true;
    track->told_at = now;
    track->reported = track->state.status;
    track->was_reported[track->reported] = true;
    track->reported_at[track->reported] = now;
    track->has_exit_code = false;
    track->signal = NULL;
}

/* ---- in a report ------------------------------------------------------------------- */

/* How it ended before, of one that runs again. */
static void add_past_end(cJSON *json, const sa_task_track_t *track)
{
    const sa_os_service_state_t *state = &track->state;

    if (state->status == SA_OS_SERVICE_NOT_INSTALLED || state->has_exit_code || state->signal) {
        return;
    }
    if (track->signal) {
        cJSON_AddStringToObject(json, "signal", track->signal);
    } else if (track->has_exit_code) {
        cJSON_AddNumberToObject(json, "exit_code", track->exit_code);
    }
}

void sa_task__add_service(cJSON *services, const char *name, const sa_task_track_t *track,
                          bool change, apr_interval_time_t now)
{
    const sa_os_service_state_t *state = &track->state;
    cJSON *json = cJSON_CreateObject();

    cJSON_AddItemToArray(services, json);
    cJSON_AddStringToObject(json, "name", name);
    sa_report_add_service(json, name, state, "");
    if (state->status != SA_OS_SERVICE_NOT_INSTALLED) {
        sa_report_add_word(json, "error", state->error);
    }
    if (change) {
        add_past_end(json, track);
    }
    if (sa_task__track_is_looping(track, now)) {
        cJSON_AddTrueToObject(json, "crash_looping");
    }
    if (state->status == SA_OS_SERVICE_FAILED && state->restarts > 0 && !*state->error) {
        cJSON_AddTrueToObject(json, "gave_up");
    }
    if (change) {
        cJSON_AddStringToObject(json, "previous", sa_report_service_word(track->reported));
        cJSON_AddNumberToObject(json, "changes", track->changes);
    }
}
