/* os: starting and stopping services, by systemd over the system bus (sd-bus).
 *
 * Each call has a connection of its own, so any thread may make one.  Nothing waits
 * without the caller's deadline.  Facts of systemd this stands on:
 * - StartUnit and its like answer with a job once it is queued.  How it ended is said by
 *   JobRemoved, only to who has called Subscribe, and perhaps before the answer.
 * - polkit's no comes as AccessDenied, or as InteractiveAuthorizationRequired where it
 *   would ask a person; so does a machine without polkit.
 * - Anybody on the bus may send us a signal that looks like JobRemoved: only those of
 *   the owner of systemd's name count.  It changes when systemd re-executes itself,
 *   which keeps jobs and subscriptions. */
#include "sa_os_service_control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <systemd/sd-bus.h>
#include <systemd/sd-login.h>

#include <apr_strings.h>

#include "sa_os_clock.h"
#include "sa_os_exec.h"
#include "sa_os_linux.h"
#include "sa_pool.h"

#define SYSTEMD "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define MANAGER SYSTEMD ".Manager"

/* For a state, which takes milliseconds. */
#define READ_TIMEOUT (5 * APR_INT64_C(1000000))
/* The same when the deadline has passed. */
#define LATE_READ_TIMEOUT (900 * APR_INT64_C(1000))
/* What has only been started may fail at once: its process ends, and systemd sees it. */
#define SETTLE (500 * APR_INT64_C(1000))
/* How long a cancellation may go unseen. */
#define LOOK_AROUND (100 * APR_INT64_C(1000))
/* More jobs of one unit do not end in one call. */
#define ENDED_MAX 16
#define JOB_SIZE 128
#define OWNER_SIZE 32

typedef struct ended_t {
    char job[JOB_SIZE];
    char result[SA_OS_SERVICE_WORD_SIZE];
} ended_t;

typedef struct control_t {
    sd_bus *bus;
    const char *unit;                       /* its full name */
    const char *verb;
    apr_interval_time_t deadline;
    const sa_os_cancel_t *cancel;
    sd_bus_message *reply;                  /* to the call on its way */
    char owner[OWNER_SIZE];                 /* of systemd's name; "": not known yet */
    bool match_refused;
    char job[JOB_SIZE];                     /* ours */
    ended_t ended[ENDED_MAX];               /* jobs of the unit, a ring */
    unsigned int ended_count;
} control_t;

static const struct {
    const char *method;
    const char *verb;
} actions[] = {
    [SA_OS_SERVICE_START] = {"StartUnit", "start"},
    [SA_OS_SERVICE_STOP] = {"StopUnit", "stop"},
    [SA_OS_SERVICE_RESTART] = {"RestartUnit", "restart"},
    [SA_OS_SERVICE_RELOAD] = {"ReloadUnit", "reload"},
    [SA_OS_SERVICE_STATUS] = {NULL, "status"},
};

/* ---- how a unit is --------------------------------------------------------------- */

static void keep_state(void *baton, int place, const sa_os_service_state_t *state)
{
    sa_os_service_state_t *kept = baton;

    (void)place;
    *kept = *state;
}

/* A reading of its own, from the beginning: nothing older than this call is in it.  STATE
 * is all zero when nothing was told. */
static sa_error_t *read_state(sa_os_service_state_t *state, const char *unit,
                              apr_interval_time_t deadline, apr_pool_t *scratch_pool)
{
    apr_pool_t *pool = sa_pool_create(scratch_pool);
    apr_array_header_t *names = apr_array_make(pool, 1, sizeof(const char *));
    apr_interval_time_t now = sa_os_clock_mono();
    apr_interval_time_t until = now + LATE_READ_TIMEOUT;
    sa_os_services_t *services;
    sa_error_t *err;

    memset(state, 0, sizeof(*state));
    if (deadline > until) {
        until = deadline > now + READ_TIMEOUT ? now + READ_TIMEOUT : deadline;
    }
    APR_ARRAY_PUSH(names, const char *) = unit;
    err = sa_os_services_open(&services, keep_state, state, pool);
    if (!err) {
        err = sa_os_services_watch(services, names);
    }
    if (!err) {
        err = sa_os_services_refresh(services, until);
    }
    apr_pool_destroy(pool);
    if (!err && *state->error) {
        err = sa_error(SA_ERR_SERVICES, NULL, "%s", state->error);
    }
    return err;
}

/* ---- what is refused --------------------------------------------------------------- */

static sa_error_t *check_name(char unit[SA_OS_SERVICE_NAME_SIZE], const char *name)
{
    if (name[0] == '-' || !sa_os__service_unit_name(unit, name)) {
        return sa_error(SA_ERR_REFUSED, NULL, "it is no exact name of a service");
    }
    return SA_OK;
}

/* UNIT is what was asked for, STATE of what systemd takes it for. */
static sa_error_t *check_unit(const sa_os_service_state_t *state, const char *unit)
{
    char *own = NULL;
    int r = sd_pid_get_unit(0, &own);
    bool is_own = r >= 0 && strcmp(own, state->unit) == 0;

    free(own);
    if (r < 0 && r != -ENODATA) {
        return sa_error(SA_ERR_REFUSED, sa_error_apr(-r, "cannot read the agent's own cgroup"),
                        "it cannot be told whether it is the agent itself");
    }
    if (is_own) {
        return sa_error(SA_ERR_REFUSED, NULL, "it is the agent itself");
    }
    if (strcmp(state->unit, unit) != 0) {
        return sa_error(SA_ERR_REFUSED, NULL, "%s is another name of %s, which is the one to allow "
                        "and to ask for", unit, state->unit);
    }
    return SA_OK;
}

/* ---- the connection ------------------------------------------------------------------ */

static int on_job_removed(sd_bus_message *message, void *baton, sd_bus_error *unused)
{
    control_t *control = baton;
    const char *sender = sd_bus_message_get_sender(message);
    const char *job;
    const char *unit;
    const char *result;
    ended_t *ended;

    (void)unused;
    if (!sender || strcmp(sender, control->owner) != 0
        || sd_bus_message_read(message, "uoss", NULL, &job, &unit, &result) < 0
        || strcmp(unit, control->unit) != 0) {
        return 0;
    }
    ended = &control->ended[control->ended_count++ % ENDED_MAX];
    apr_cpystrn(ended->job, job, sizeof(ended->job));
    apr_cpystrn(ended->result, result, sizeof(ended->result));
    return 0;
}

static int on_owner(sd_bus_message *message, void *baton, sd_bus_error *unused)
{
    control_t *control = baton;
    const char *owner;

    (void)unused;
    if (sd_bus_message_read(message, "sss", NULL, NULL, &owner) >= 0) {
        apr_cpystrn(control->owner, owner, sizeof(control->owner));
    }
    return 0;
}

static int on_match(sd_bus_message *reply, void *baton, sd_bus_error *unused)
{
    control_t *control = baton;

    (void)unused;
    if (sd_bus_message_is_method_error(reply, NULL)) {
        control->match_refused = true;
    }
    return 0;
}

static int on_reply(sd_bus_message *reply, void *baton, sd_bus_error *unused)
{
    control_t *control = baton;

    (void)unused;
    control->reply = sd_bus_message_ref(reply);
    return 0;
}

static sa_error_t *broken(int r)
{
    return sa_error(SA_ERR_SERVICES, sa_error_apr(-r, "cannot use the system bus (D-Bus)"),
                    "asking systemd failed");
}

static apr_status_t drop_control(void *baton)
{
    control_t *control = baton;

    sd_bus_message_unref(control->reply);
    if (control->bus) {
        sd_bus_close(control->bus);
        sd_bus_unref(control->bus);
    }
    return APR_SUCCESS;
}

static sa_error_t *open_control(control_t **result, const control_t *wanted, apr_pool_t *pool)
{
    control_t *control = apr_pmemdup(pool, wanted, sizeof(*wanted));
    int r;

    apr_pool_cleanup_register(pool, control, drop_control, apr_pool_cleanup_null);
    r = sd_bus_open_system(&control->bus);
    if (r >= 0) {
        r = sd_bus_add_match_async(control->bus, NULL,
                                   "type='signal',sender='org.freedesktop.DBus',"
                                   "member='NameOwnerChanged',arg0='" SYSTEMD "'",
                                   on_owner, on_match, control);
    }
    if (r >= 0) {
        r = sd_bus_match_signal_async(control->bus, NULL, SYSTEMD, MANAGER_PATH, MANAGER,
                                      "JobRemoved", on_job_removed, on_match, control);
    }
    if (r < 0) {
        return broken(r);
    }
    *result = control;
    return SA_OK;
}

/* Take something that has come, or wait for it until UNTIL at most. */
static sa_error_t *turn(control_t *control, apr_interval_time_t until)
{
    apr_interval_time_t left = until - sa_os_clock_mono();
    int r = sd_bus_process(control->bus, NULL);

    if (r == 0 && left > 0) {
        r = sd_bus_wait(control->bus, (uint64_t)(left < LOOK_AROUND ? left : LOOK_AROUND));
    }
    if (r < 0 && r != -EINTR) {
        return broken(r);
    }
    if (control->cancel && sa_os_is_cancelled(control->cancel)) {
        return sa_error(SA_ERR_CANCELLED, NULL, "cancelled; systemd goes on with it");
    }
    return SA_OK;
}

/* ---- the job ------------------------------------------------------------------------- */

static sa_error_t *not_in_time(void)
{
    return sa_error(SA_ERR_TIMEOUT, NULL, "it is not done in time; systemd goes on with it");
}

/* What ERROR, systemd's or the bus's, is to whoever asked. */
static sa_error_t *refusal(const control_t *control, const sd_bus_error *error)
{
    const char *text = error->message ? error->message : error->name;
    size_t length = strlen(text);

    if (sd_bus_error_has_name(error, SD_BUS_ERROR_ACCESS_DENIED)
        || sd_bus_error_has_name(error, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED)) {
        return sa_error(SA_ERR_DENIED, NULL, "polkit does not let the agent %s %s (%s); the rule "
                        "that does is printed by: stone-age-agent polkit", control->verb,
                        control->unit, text);
    }
    if (length > 0 && text[length - 1] == '.') {
        length--;
    }
    if (strncmp(error->name, SYSTEMD ".", strlen(SYSTEMD ".")) == 0) {
        return sa_error(SA_ERR_SERVICE_FAILED, NULL, "%.*s", (int)length, text);
    }
    /* of the bus: nobody has looked at the unit */
    return sa_error(SA_ERR_SERVICES, NULL, "asking systemd failed (%.*s)", (int)length, text);
}

/* Call METHOD of the manager, with UNIT and a mode unless UNIT is NULL; the reply is
 * in CONTROL. */
static sa_error_t *call(control_t *control, const char *method, const char *unit)
{
    sd_bus_message *message = NULL;
    int r = sd_bus_message_new_method_call(control->bus, &message, SYSTEMD, MANAGER_PATH, MANAGER,
                                           method);

    if (r >= 0 && unit) {
        r = sd_bus_message_append(message, "ss", unit, "replace");
    }
    if (r >= 0) {
        r = sd_bus_message_set_auto_start(message, 0);
    }
    if (r >= 0) {
        /* our own deadline is the one that counts */
        r = sd_bus_call_async(control->bus, NULL, message, on_reply, control, UINT64_MAX);
    }
    sd_bus_message_unref(message);
    if (r < 0) {
        return broken(r);
    }
    control->reply = sd_bus_message_unref(control->reply);
    while (!control->reply) {
        if (sa_os_clock_mono() >= control->deadline) {
            return sa_error(SA_ERR_TIMEOUT, NULL, "systemd does not answer in time");
        }
        SA_TRY(turn(control, control->deadline));
    }
    if (sd_bus_message_is_method_error(control->reply, NULL)) {
        return refusal(control, sd_bus_message_get_error(control->reply));
    }
    return SA_OK;
}

static sa_error_t *subscribe(control_t *control)
{
    const char *sender;

    SA_TRY(call(control, "Subscribe", NULL));
    sender = sd_bus_message_get_sender(control->reply);
    apr_cpystrn(control->owner, sender ? sender : "", sizeof(control->owner));
    /* the bus has answered all that was asked before */
    if (control->match_refused) {
        return sa_error(SA_ERR_SERVICES, NULL, "the system bus (D-Bus) refuses to pass signals on");
    }
    return SA_OK;
}

/* How our job ended; NULL: it has not. */
static const char *find_result(const control_t *control)
{
    for (unsigned int i = 0; i < ENDED_MAX && i < control->ended_count; i++) {
        if (strcmp(control->ended[i].job, control->job) == 0) {
            return control->ended[i].result;
        }
    }
    return NULL;
}

sa_error_t *sa_os__job_error(const char *result)
{
    static const struct {
        const char *result;
        const char *text;       /* NULL: well */
    } rows[] = {
        {"done", NULL}, {"skipped", NULL}, {"failed", "it failed"},
        {"canceled", "another request took its place"},
        {"timeout", "systemd gave up waiting for it"},
        {"dependency", "what it needs failed"},
        {"invalid", "it does not run"},
        {"assert", "an assertion of the unit failed"},
        {"unsupported", "this system has no units of its type"},
        {"collected", "systemd dropped it"},
        {"once", "it was started once already, and cannot be again"},
        {"frozen", "it is frozen"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(rows[i].result, result) == 0) {
            return rows[i].text ? sa_error(SA_ERR_SERVICE_FAILED, NULL, "%s", rows[i].text)
                                : SA_OK;
        }
    }
    return sa_error(SA_ERR_SERVICE_FAILED, NULL, "its job ended as \"%s\"", result);
}

/* Queue the job and wait for its end. */
static sa_error_t *run_job(control_t *control, const char *method)
{
    const char *job;
    int r;

    SA_TRY(subscribe(control));
    SA_TRY(call(control, method, control->unit));
    r = sd_bus_message_read(control->reply, "o", &job);
    if (r < 0) {
        return broken(r);
    }
    apr_cpystrn(control->job, job, sizeof(control->job));
    while (!find_result(control)) {
        if (sa_os_clock_mono() >= control->deadline) {
            return not_in_time();
        }
        SA_TRY(turn(control, control->deadline));
    }
    return sa_os__job_error(find_result(control));
}

/* ---- all of it ------------------------------------------------------------------------ */

/* Done: give what runs the time to fail, and believe that rather. */
static sa_error_t *settle(sa_os_service_state_t *state, control_t *control, apr_pool_t *pool)
{
    apr_interval_time_t until = sa_os_clock_mono() + SETTLE;

    if (until > control->deadline) {
        until = control->deadline;
    }
    while (state->status == SA_OS_SERVICE_RUNNING && sa_os_clock_mono() < until) {
        SA_TRY(turn(control, until));
    }
    SA_TRY(read_state(state, control->unit, control->deadline, pool));
    if (state->status == SA_OS_SERVICE_FAILED || state->restarts_itself) {
        return sa_error(SA_ERR_SERVICE_FAILED, NULL, "it ended at once");
    }
    return SA_OK;
}

static sa_error_t *act(sa_os_service_state_t *state, const control_t *wanted,
                       sa_os_service_action_t action, apr_pool_t *pool)
{
    control_t *control = NULL;
    sa_error_t *err = open_control(&control, wanted, pool);

    if (!err) {
        err = run_job(control, actions[action].method);
    }
    if (err) {
        /* what went wrong says more than that the state cannot be read either */
        sa_error_clear(read_state(state, wanted->unit, wanted->deadline, pool));
        return err;
    }
    SA_TRY(read_state(state, wanted->unit, wanted->deadline, pool));
    if (action == SA_OS_SERVICE_START || action == SA_OS_SERVICE_RESTART) {
        return settle(state, control, pool);
    }
    return SA_OK;
}

sa_error_t *sa_os_service_control(sa_os_service_state_t *state, sa_os_service_action_t action,
                                  const char *name, apr_interval_time_t deadline,
                                  const sa_os_cancel_t *cancel, apr_pool_t *scratch_pool)
{
    char unit[SA_OS_SERVICE_NAME_SIZE];
    control_t wanted = {.unit = unit, .verb = actions[action].verb, .deadline = deadline,
                        .cancel = cancel};
    apr_pool_t *pool;
    sa_error_t *err;

    memset(state, 0, sizeof(*state));
    SA_TRY(check_name(unit, name));
    SA_TRY(read_state(state, unit, deadline, scratch_pool));
    err = check_unit(state, unit);
    if (err) {
        memset(state, 0, sizeof(*state));
        return err;
    }
    if (action == SA_OS_SERVICE_STATUS) {
        return SA_OK;
    }
    pool = sa_pool_create(scratch_pool);
    err = act(state, &wanted, action, pool);
    apr_pool_destroy(pool);         /* the connection is not to wait for the caller's pool */
    return err;
}
