/* task: services watched.
 *
 * A thread of its own ("services"), because it waits for the manager of services:
 * a change is a report at once, all states are one on schedule.  Its settings are
 * fixed; others mean another thread.  Names may come from wherever the
 * configuration does. */
#include "sa_task_services.h"

#include <string.h>

#include <apr_strings.h>

#include "sa_log.h"
#include "sa_pool.h"
#include "sa_report_service.h"
#include "sa_stats.h"
#include "sa_task_private.h"
#include "sa_time.h"

#define REFRESH_TIMEOUT apr_time_from_sec(6)

struct sa_task_services_t {
    apr_pool_t *pool;
    sa_tasks_t *tasks;
    const char *code;
    const char *location;
    apr_interval_time_t interval;
    bool twin;
    apr_array_header_t *names;          /* of const char * */
    sa_os_services_t *os;
    sa_os_thread_t *thread;
    sa_pulse_t *pulse;
    sa_os_mutex_t *mutex;
    bool stopping;                      /* guarded by it */

    /* the thread only */
    sa_task_track_t *tracks;            /* as many as names */
    sa_random_t random;
    apr_interval_time_t next_at;
    bool first_done;
    bool answered;                      /* states were read, once at least */
    bool failing;                       /* said so */
};

/* ---- reports -------------------------------------------------------------------- */

static const char *name_at(const sa_task_services_t *services, int place)
{
    return APR_ARRAY_IDX(services->names, place, const char *);
}

static cJSON *begin_report(const sa_task_services_t *services, apr_pool_t *scratch_pool)
{
    return sa_task__report_json(services->code, services->location, scratch_pool);
}

static void give(sa_task_services_t *services, const cJSON *json)
{
    sa_task__give_json(services->tasks, SA_DELIVER_DURABLE, "telemetry.service", json);
}

/* The states of all. */
static cJSON *make_report(const sa_task_services_t *services, apr_pool_t *scratch_pool)
{
    cJSON *json = begin_report(services, scratch_pool);
    cJSON *list = cJSON_AddArrayToObject(json, "services");
    apr_interval_time_t now = sa_time_mono();

    for (int i = 0; i < services->names->nelts; i++) {
        sa_task__add_service(list, name_at(services, i), &services->tracks[i], false, now);
    }
    return json;
}

static void put_twin(sa_task_services_t *services, apr_pool_t *scratch_pool)
{
    if (services->twin) {
        sa_task__give_json(services->tasks, SA_DELIVER_LATEST, "service",
                           make_report(services, scratch_pool));
    }
}

/* There was never an answer: nothing is known, and nothing is pretended. */
static void report_unknown(sa_task_services_t *services, const char *reason,
                           apr_pool_t *scratch_pool)
{
    cJSON *json = begin_report(services, scratch_pool);
    cJSON *list = cJSON_AddArrayToObject(json, "services");

    for (int i = 0; i < services->names->nelts; i++) {
        cJSON *service = cJSON_CreateObject();

        cJSON_AddStringToObject(service, "name", name_at(services, i));
        cJSON_AddStringToObject(service, "status", sa_report_service_word(SA_OS_SERVICE_UNKNOWN));
        cJSON_AddItemToArray(list, service);
    }
    cJSON_AddStringToObject(json, "reason", reason);
    give(services, json);
}

static void report_error(sa_task_services_t *services, const char *text,
                         apr_pool_t *scratch_pool)
{
    cJSON *json = begin_report(services, scratch_pool);

    cJSON_AddStringToObject(json, "status", "error");
    cJSON_AddStringToObject(json, "error", text);
    give(services, json);
}

static void log_change(const sa_task_services_t *services, int place)
{
    const sa_task_track_t *track = &services->tracks[place];

    SA_LOG(service_changed, SA_S("service", name_at(services, place)),
           SA_S("from", sa_report_service_word(track->reported)),
           SA_S("to", sa_report_service_word(track->state.status)),
           SA_I("changes", track->changes));
}

/* Report the changes that may be reported now. */
static void report_changes(sa_task_services_t *services, apr_pool_t *scratch_pool)
{
    apr_interval_time_t now = sa_time_mono();
    cJSON *json = NULL;
    cJSON *list = NULL;

    for (int i = 0; i < services->names->nelts; i++) {
        sa_task_track_t *track = &services->tracks[i];

        if (!sa_task__track_is_due(track, now)) {
            continue;
        }
        if (!json) {
            json = begin_report(services, scratch_pool);
            cJSON_AddStringToObject(json, "event", "change");
            list = cJSON_AddArrayToObject(json, "services");
        }
        log_change(services, i);
        sa_task__add_service(list, name_at(services, i), track, true, now);
        sa_task__track_told(track, now);
    }
    if (json) {
        sa_stats_add(SA_STAT_service_changes, 1);
        give(services, json);
        put_twin(services, scratch_pool);
    }
}

/* ---- the schedule ------------------------------------------------------------------ */

static void note_up(sa_task_services_t *services)
{
    if (!sa_os_services_is_up(services->os)) {
        return;
    }
    if (!services->answered) {
        SA_LOG(services_watched, SA_I("services", services->names->nelts));
    } else if (services->failing) {
        SA_LOG(services_resumed, SA_I("services", services->names->nelts));
    }
    services->answered = true;
    services->failing = false;
}

/* Asking failed with ERR, which is cleared. */
static void note_failure(sa_task_services_t *services, sa_error_t *err, apr_pool_t *scratch_pool)
{
    char text[256];
    bool unknown = !services->answered || sa_error_has(err, SA_ERR_NOT_ON_THIS_OS);

    sa_error_text(err, text, sizeof(text));
    sa_stats_add(SA_STAT_service_check_failures, 1);
    if (!services->failing) {
        services->failing = true;
        if (unknown) {
            SA_LOG(services_unknown, SA_E(err));
        } else {
            SA_LOG(services_failed, SA_E(err));
        }
    }
    if (unknown) {
        report_unknown(services, text, scratch_pool);
    } else {
        report_error(services, text, scratch_pool);
    }
    sa_error_clear(err);
}

static void check(sa_task_services_t *services, apr_pool_t *scratch_pool)
{
    sa_error_t *err = sa_os_services_refresh(services->os, sa_time_mono() + REFRESH_TIMEOUT);

    if (err && sa_error_has(err, SA_ERR_STOPPING)) {
        sa_error_clear(err);
        return;
    }
    if (err) {
        note_failure(services, err, scratch_pool);
        return;
    }
    note_up(services);
    sa_stats_add(SA_STAT_service_check_count, 1);
    sa_stats_set(SA_STAT_last_service_check, (apr_uint64_t)sa_time_now());
    give(services, make_report(services, scratch_pool));
    put_twin(services, scratch_pool);
}

/* As the other tasks': the first pause is random, half an interval to a whole one. */
static void set_next(sa_task_services_t *services, apr_interval_time_t now)
{
    apr_interval_time_t interval = services->interval;

    if (!services->first_done) {
        services->first_done = true;
        services->next_at = now + interval / 2
                            + (apr_interval_time_t)sa_random_below(&services->random,
                                                                   (apr_uint64_t)interval / 2 + 1);
        return;
    }
    services->next_at += interval;
    if (services->next_at <= now) {
        services->next_at = now + interval;
    }
}

static apr_interval_time_t next_due(const sa_task_services_t *services)
{
    apr_interval_time_t due = services->next_at;

    for (int i = 0; i < services->names->nelts; i++) {
        const sa_task_track_t *track = &services->tracks[i];

        if (track->changes > 0 && track->due < due) {
            due = track->due;
        }
    }
    return due;
}

/* ---- the thread ----------------------------------------------------------------------- */

static void on_state(void *baton, int place, const sa_os_service_state_t *state)
{
    sa_task_services_t *services = baton;

    sa_task__track_note(&services->tracks[place], state, sa_time_mono());
}

static bool is_stopping(sa_task_services_t *services)
{
    bool stopping;

    sa_os_mutex_lock(services->mutex);
    stopping = services->stopping;
    sa_os_mutex_unlock(services->mutex);
    return stopping;
}

static void wait_for_changes(sa_task_services_t *services)
{
    sa_error_t *err;

    sa_pulse_idle(services->pulse);
    err = sa_os_services_wait(services->os, next_due(services));
    sa_pulse_busy(services->pulse);
    if (err) {
        if (!services->failing) {
            services->failing = true;
            SA_LOG(services_lost, SA_E(err));
        }
        sa_error_clear(err);
    }
    note_up(services);
}

static void run(void *baton)
{
    sa_task_services_t *services = baton;
    apr_pool_t *scratch_pool = sa_pool_create_root();

    sa_pulse_busy(services->pulse);
    while (!is_stopping(services)) {
        apr_interval_time_t now = sa_time_mono();

        if (now >= services->next_at) {
            check(services, scratch_pool);
            set_next(services, now);
        }
        report_changes(services, scratch_pool);
        apr_pool_clear(scratch_pool);
        wait_for_changes(services);
    }
    sa_pulse_idle(services->pulse);
    apr_pool_destroy(scratch_pool);
}

/* ---- life -------------------------------------------------------------------------------- */

static bool same_names(const apr_array_header_t *a, const apr_array_header_t *b)
{
    for (int i = 0; a->nelts == b->nelts && i < a->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(a, i, const char *), APR_ARRAY_IDX(b, i, const char *)) != 0) {
            return false;
        }
    }
    return a->nelts == b->nelts;
}

static bool is_wanted(const sa_config_t *config)
{
    return config->services_enabled && config->services->nelts > 0;
}

static bool is_as_wanted(const sa_task_services_t *services, const sa_config_t *config)
{
    return is_wanted(config) && strcmp(services->code, config->code) == 0
           && strcmp(services->location, config->location) == 0
           && services->interval == config->services_interval
           && services->twin == config->services_twin
           && same_names(services->names, config->services);
}

static sa_task_services_t *make_services(sa_tasks_t *tasks, const sa_config_t *config,
                                         apr_pool_t *pool)
{
    sa_task_services_t *services = apr_pcalloc(pool, sizeof(*services));
    int count = config->services->nelts;

    services->pool = pool;
    services->tasks = tasks;
    services->code = apr_pstrdup(pool, config->code);
    services->location = apr_pstrdup(pool, config->location);
    services->interval = config->services_interval;
    services->twin = config->services_twin;
    services->names = apr_array_make(pool, count, sizeof(const char *));
    for (int i = 0; i < count; i++) {
        APR_ARRAY_PUSH(services->names, const char *) =
            apr_pstrdup(pool, APR_ARRAY_IDX(config->services, i, const char *));
    }
    services->tracks = apr_pcalloc(pool, (apr_size_t)count * sizeof(sa_task_track_t));
    services->mutex = sa_os_mutex_create(pool);
    services->pulse = sa_pulse_create("services", pool);
    sa_random_init(&services->random);
    return services;
}

/* All that a list can be refused for. */
static sa_error_t *prepare(sa_task_services_t *services)
{
    SA_TRY(sa_os_services_open(&services->os, on_state, services, services->pool));
    SA_TRY(sa_os_services_watch(services->os, services->names));
    return SA_OK;
}

static sa_error_t *start(sa_task_services_t *services)
{
    SA_TRY_APR(sa_os_thread_start(&services->thread, "services", run, services, services->pool),
               "cannot start the services' thread");
    return SA_OK;
}

void sa_task__services_stop(sa_tasks_t *tasks)
{
    sa_task_services_t *services = tasks->services;

    if (!services) {
        return;
    }
    sa_os_mutex_lock(services->mutex);
    services->stopping = true;
    sa_os_mutex_unlock(services->mutex);
    sa_os_services_wake(services->os);
    sa_os_thread_join(services->thread);
    apr_pool_destroy(services->pool);
    tasks->services = NULL;
}

sa_error_t *sa_task__services_apply(sa_tasks_t *tasks, const sa_config_t *config)
{
    sa_task_services_t *services;
    sa_error_t *err;

    if (tasks->services && is_as_wanted(tasks->services, config)) {
        return SA_OK;
    }
    if (!is_wanted(config)) {
        sa_task__services_stop(tasks);
        return SA_OK;
    }
    services = make_services(tasks, config, sa_pool_create_root());
    err = prepare(services);
    if (!err) {
        sa_task__services_stop(tasks);      /* a refused list leaves the old one watched */
        err = start(services);
    }
    if (err) {
        apr_pool_destroy(services->pool);
        return err;
    }
    tasks->services = services;
    return SA_OK;
}
