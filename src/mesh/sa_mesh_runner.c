/* mesh: who runs Nebula, and hearing what it says.
 *
 * Mode supervise: a thread ("nebula") runs it, reads its output, and starts it again after a
 * pause when it ends.  It ends with the agent.
 * Mode service: the service manager runs it, and the thread reads its journal, from the unit's
 * last start on.  It outlives the agent.
 * Mode files: there is nothing to hear.
 *
 * The mesh's thread starts and stops that thread; what the two share is (m). */
#include "sa_mesh_private.h"

#include <string.h>

#include <apr_strings.h>

#include "sa_backoff.h"
#include "sa_log.h"
#include "sa_os_logs.h"
#include "sa_os_overlay.h"
#include "sa_os_service_control.h"
#include "sa_os_thread.h"
#include "sa_pool.h"
#include "sa_time.h"

/* It needs 50 ms to find that its configuration is wrong. */
#define BACKOFF_FIRST apr_time_from_sec(1)
#define BACKOFF_MAX apr_time_from_sec(120)
/* Once it has run for so long, its next end is news. */
#define STEADY apr_time_from_sec(60)
#define CONTROL_TIME apr_time_from_sec(30)
/* Of the journal: what there may be to know since the unit's start. */
#define BACKLOG 2000
#define FOLLOW_TIME apr_time_from_sec(86400)
#define BLIND_PAUSE apr_time_from_sec(60)

struct sa_mesh__runner_t {
    sa_mesh__state_t *state;
    sa_os_cancel_t *control_cancel;     /* of what the mesh's thread waits for */
    sa_os_mutex_t *mutex;
    sa_os_cond_t *cond;
    apr_pool_t *parent;

    /* mesh's thread */
    apr_pool_t *pool;                   /* from a start to a stop */
    sa_mesh__running_t running;
    sa_os_thread_t *thread;

    /* (m) */
    bool stopping;
    bool again;                         /* it ends because we want it to */
    bool controls;                      /* what becomes of the service now is our doing */
    sa_os_cancel_t *cancel;             /* of the run, or the reading; NULL: none */

    /* "nebula" */
    sa_backoff_t backoff;
    apr_pool_t *line_pool;
    sa_mesh__lines_t lines;
    apr_time_t heard_since;             /* the start of the service whose journal was read ... */
    apr_time_t read_until;              /* ... up to here */
    char words[SA_MESH_TEXT];           /* of the last error of this run */
};

/* ---- hearing -------------------------------------------------------------------------- */

static void hear_line(void *baton, const char *text, size_t length)
{
    sa_mesh__runner_t *runner = baton;
    sa_mesh__line_t line;

    apr_pool_clear(runner->line_pool);
    sa_mesh__line_read(&line, text, length, runner->line_pool);
    if (line.said == SA_MESH__SAID_WRONG) {
        apr_cpystrn(runner->words, line.words, sizeof(runner->words));
    }
    sa_mesh__state_hear(runner->state, &line);
}

static sa_error_t *hear_output(void *baton, sa_os_exec_stream_t stream, const char *data,
                               size_t length)
{
    sa_mesh__runner_t *runner = baton;

    (void)stream;
    sa_mesh__lines_add(&runner->lines, data, length, hear_line, runner);
    return SA_OK;
}

/* ---- what both threads know ----------------------------------------------------------- */

/* The run that CANCEL ends is about to begin; false: it must not. */
static bool enter(sa_mesh__runner_t *runner, sa_os_cancel_t *cancel)
{
    bool goes_on;

    sa_os_mutex_lock(runner->mutex);
    goes_on = !runner->stopping;
    runner->again = false;
    runner->cancel = goes_on ? cancel : NULL;
    sa_os_mutex_unlock(runner->mutex);
    return goes_on;
}

/* *WANTED: it was we who ended it. */
static void leave(sa_mesh__runner_t *runner, bool *wanted)
{
    sa_os_mutex_lock(runner->mutex);
    runner->cancel = NULL;
    *wanted = runner->stopping || runner->again;
    sa_os_mutex_unlock(runner->mutex);
}

/* false: it is over. */
static bool rest(sa_mesh__runner_t *runner, apr_interval_time_t pause)
{
    apr_interval_time_t deadline = sa_time_mono() + pause;
    bool in_time = true;
    bool goes_on;

    sa_os_mutex_lock(runner->mutex);
    while (!runner->stopping && !runner->again && in_time) {
        in_time = sa_os_cond_wait(runner->cond, runner->mutex, deadline);
    }
    goes_on = !runner->stopping;
    sa_os_mutex_unlock(runner->mutex);
    return goes_on;
}

/* ---- supervise ------------------------------------------------------------------------ */

/* Words that the system has for what the operator must do. */
static const char *mend_of(const char *words)
{
    if (strstr(words, "device or resource busy")) {
        return " (another Nebula runs with this device)";
    }
    if (strstr(words, "operation not permitted")) {
        return " (CAP_NET_ADMIN is missing)";
    }
    if (strstr(words, "permission denied")) {
        return " (/dev/net/tun must be readable and writable)";
    }
    return "";
}

static const char *end_words(const sa_mesh__runner_t *runner, const sa_os_exec_result_t *result,
                             apr_pool_t *pool)
{
    if (*runner->words) {
        return apr_pstrcat(pool, runner->words, mend_of(runner->words), NULL);
    }
    return result->signal ? apr_psprintf(pool, "ended by %s", result->signal)
                          : apr_psprintf(pool, "exit code %d", result->exit_code);
}

static sa_error_t *run_once(sa_os_exec_result_t *result, sa_mesh__runner_t *runner,
                            sa_os_cancel_t *cancel, apr_pool_t *pool)
{
    const char *const argv[] = {"nebula", "-config", runner->running.folder, NULL};
    sa_os_exec_t exec = {
        .argv = argv, .env = sa_mesh__environment, .output = hear_output, .baton = runner,
        .cancel = cancel
    };

    SA_TRY(sa_os_overlay_check(pool));
    SA_TRY(sa_os_program_open(&exec.program, runner->running.binary, false, pool));
    *runner->words = '\0';
    sa_mesh__state_began(runner->state, true);
    SA_TRY(sa_os_exec(result, &exec, pool));
    sa_mesh__lines_end(&runner->lines, hear_line, runner);
    return SA_OK;
}

/* One life of it; returns the pause before the next. */
static apr_interval_time_t live_once(sa_mesh__runner_t *runner, sa_os_cancel_t *cancel,
                                     apr_pool_t *pool)
{
    apr_interval_time_t began = sa_time_mono();
    sa_os_exec_result_t result = {0};
    sa_error_t *err = run_once(&result, runner, cancel, pool);
    char text[SA_MESH_TEXT];
    const char *words;
    bool wanted;

    leave(runner, &wanted);
    if (wanted && !err) {
        sa_mesh__state_ended(runner->state, NULL);
        return 0;
    }
    if (sa_time_mono() - began > STEADY) {
        sa_backoff_reset(&runner->backoff);
    }
    words = err ? sa_error_text(err, text, sizeof(text)) : end_words(runner, &result, pool);
    SA_LOG(mesh_nebula_ended, SA_S("reason", words));
    sa_mesh__state_ended(runner->state, words);
    sa_error_clear(err);
    return sa_backoff_next(&runner->backoff);
}

static void supervise(void *baton)
{
    sa_mesh__runner_t *runner = baton;
    apr_pool_t *pool = sa_pool_create_root();
    bool goes_on = true;

    runner->line_pool = sa_pool_create(pool);
    sa_backoff_init(&runner->backoff, BACKOFF_FIRST, BACKOFF_MAX);
    while (goes_on) {
        apr_pool_t *run_pool = sa_pool_create(pool);
        sa_os_cancel_t *cancel;
        sa_error_t *err = sa_os_cancel_create(&cancel, run_pool);
        apr_interval_time_t pause = BACKOFF_FIRST;

        if (err) {
            SA_LOG(mesh_nebula_ended, SA_E(err));
            sa_error_clear(err);
        } else if (enter(runner, cancel)) {
            pause = live_once(runner, cancel, run_pool);
        }
        apr_pool_destroy(run_pool);
        goes_on = rest(runner, pause);
    }
    apr_pool_destroy(pool);
}

/* ---- service -------------------------------------------------------------------------- */

/* Since when it runs; 0: it does not; -1: nobody says. */
static apr_time_t running_since(const sa_mesh__runner_t *runner, apr_pool_t *pool)
{
    sa_os_service_state_t *state = apr_pcalloc(pool, sizeof(*state));
    sa_error_t *err = sa_os_service_control(state, SA_OS_SERVICE_STATUS, runner->running.service,
                                            sa_time_mono() + CONTROL_TIME, NULL, pool);

    if (err) {
        sa_error_clear(err);    /* who starts it says what is wrong */
        return -1;
    }
    return state->status == SA_OS_SERVICE_RUNNING ? state->since : 0;
}

static void note_end(const sa_mesh__runner_t *runner)
{
    static const char words[] = "the service is not running";
    sa_mesh__view_t view;
    bool stopping;

    sa_os_mutex_lock(runner->mutex);
    stopping = runner->stopping || runner->again || runner->controls;
    sa_os_mutex_unlock(runner->mutex);
    sa_mesh__state_view(runner->state, &view);
    if (view.running && !stopping) {
        SA_LOG(mesh_nebula_ended, SA_S("reason", words));
    }
    if (view.running || view.ends == 0) {
        sa_mesh__state_ended(runner->state, stopping ? NULL : words);
    }
}

/* "2026-11-24T13:35:18+0000 host nebula[12]: {...}".  What has no object is the manager's own
 * word about the unit. */
static sa_error_t *hear_entry(void *baton, const char *line, size_t length)
{
    sa_mesh__runner_t *runner = baton;
    const char *object = line ? memchr(line, '{', length) : NULL;

    if (object) {
        hear_line(runner, object, length - (size_t)(object - line));
    } else if (line) {
        apr_pool_clear(runner->line_pool);
        if (running_since(runner, runner->line_pool) == 0) {
            note_end(runner);
        }
    }
    return SA_OK;
}

/* Read what it says from SINCE on, until it is cancelled. */
static apr_interval_time_t follow(sa_mesh__runner_t *runner, apr_time_t since,
                                  sa_os_cancel_t *cancel, apr_pool_t *pool)
{
    sa_os_journal_query_t query = {
        .unit = runner->running.service, .count = BACKLOG, .since = since,
        .deadline = sa_time_mono() + CONTROL_TIME, .follow_until = sa_time_mono() + FOLLOW_TIME,
        .cancel = cancel
    };
    sa_error_t *err = sa_os_journal_read(&query, hear_entry, runner, pool);
    bool wanted;

    runner->read_until = sa_time_now();
    leave(runner, &wanted);
    if (err && !wanted && !sa_error_has(err, SA_ERR_CANCELLED)) {
        SA_LOG(mesh_blind, SA_E(err));
        sa_error_clear(err);
        return BLIND_PAUSE;
    }
    sa_error_clear(err);
    return 0;
}

static apr_interval_time_t listen_once(sa_mesh__runner_t *runner, sa_os_cancel_t *cancel,
                                       apr_pool_t *pool)
{
    apr_time_t since = running_since(runner, pool);
    bool wanted;

    if (since < 0) {
        leave(runner, &wanted);
        return BLIND_PAUSE;
    }
    if (since != 0 && since == runner->heard_since) {
        return follow(runner, runner->read_until, cancel, pool);
    }
    runner->heard_since = since;
    if (since != 0) {
        /* what it says of its start clears what was before */
        sa_mesh__state_began(runner->state, false);
        return follow(runner, since, cancel, pool);
    }
    leave(runner, &wanted);
    if (!wanted) {
        note_end(runner);
    }
    return BACKOFF_FIRST;
}

static void listen_to_service(void *baton)
{
    sa_mesh__runner_t *runner = baton;
    apr_pool_t *pool = sa_pool_create_root();
    bool goes_on = true;

    runner->line_pool = sa_pool_create(pool);
    while (goes_on) {
        apr_pool_t *run_pool = sa_pool_create(pool);
        sa_os_cancel_t *cancel;
        sa_error_t *err = sa_os_cancel_create(&cancel, run_pool);
        apr_interval_time_t pause = BLIND_PAUSE;

        if (err) {
            SA_LOG(mesh_blind, SA_E(err));
            sa_error_clear(err);
        } else if (enter(runner, cancel)) {
            pause = listen_once(runner, cancel, run_pool);
        }
        apr_pool_destroy(run_pool);
        goes_on = rest(runner, pause);
    }
    apr_pool_destroy(pool);
}

static void set_controls(sa_mesh__runner_t *runner, bool controls)
{
    sa_os_mutex_lock(runner->mutex);
    runner->controls = controls;
    sa_os_mutex_unlock(runner->mutex);
}

static sa_error_t *control(sa_mesh__runner_t *runner, sa_os_service_action_t action)
{
    apr_pool_t *pool = sa_pool_create(runner->pool);
    sa_os_service_state_t *state = apr_pcalloc(pool, sizeof(*state));
    sa_error_t *err;

    set_controls(runner, true);
    err = sa_os_service_control(state, action, runner->running.service,
                                sa_time_mono() + CONTROL_TIME, runner->control_cancel, pool);
    set_controls(runner, false);
    if (err && state->status == SA_OS_SERVICE_NOT_INSTALLED) {
        err = sa_error(err->code, err, "there is no unit %s: install it, or set nebula.mode",
                       runner->running.service);
    } else if (err && err->code == SA_ERR_DENIED) {
        err = sa_error(err->code, err, "polkit must allow it: see stone-age-agent polkit");
    }
    apr_pool_destroy(pool);
    return err;
}

/* ---- the mesh's thread ---------------------------------------------------------------- */

sa_mesh__runner_t *sa_mesh__runner_create(sa_mesh__state_t *state, sa_os_cancel_t *cancel,
                                          apr_pool_t *pool)
{
    sa_mesh__runner_t *runner = apr_pcalloc(pool, sizeof(*runner));

    runner->state = state;
    runner->control_cancel = cancel;
    runner->mutex = sa_os_mutex_create(pool);
    runner->cond = sa_os_cond_create(pool);
    runner->parent = pool;
    return runner;
}

bool sa_mesh__runner_is_on(const sa_mesh__runner_t *runner)
{
    return runner->pool != NULL;
}

static void copy(sa_mesh__runner_t *runner, const sa_mesh__running_t *running)
{
    runner->running.mode = running->mode;
    runner->running.folder = apr_pstrdup(runner->pool, running->folder);
    runner->running.binary = apr_pstrdup(runner->pool, running->binary);
    runner->running.service = apr_pstrdup(runner->pool, running->service);
}

/* End what the thread is at. */
static void interrupt(sa_mesh__runner_t *runner, bool stop)
{
    sa_os_mutex_lock(runner->mutex);
    runner->again = true;
    runner->stopping = runner->stopping || stop;
    if (runner->cancel) {
        sa_os_cancel(runner->cancel);
    }
    sa_os_cond_broadcast(runner->cond);
    sa_os_mutex_unlock(runner->mutex);
}

sa_error_t *sa_mesh__runner_start(sa_mesh__runner_t *runner, const sa_mesh__running_t *running)
{
    bool is_service = running->mode == SA_NEBULA_SERVICE;
    sa_error_t *err = SA_OK;

    if (runner->pool) {
        return SA_OK;
    }
    runner->pool = sa_pool_create(runner->parent);
    copy(runner, running);
    runner->stopping = false;
    if (running->mode == SA_NEBULA_FILES) {
        return SA_OK;
    }
    if (is_service && running_since(runner, runner->pool) <= 0) {
        err = control(runner, SA_OS_SERVICE_START);
    }
    if (!err) {
        apr_status_t status = sa_os_thread_start(&runner->thread, "nebula",
                                                 is_service ? listen_to_service : supervise,
                                                 runner, runner->pool);

        if (status != APR_SUCCESS) {
            runner->thread = NULL;
            err = sa_error_apr(status, "cannot start a thread for Nebula");
        }
    }
    if (err) {
        apr_pool_destroy(runner->pool);
        runner->pool = NULL;
    }
    return err;
}

sa_error_t *sa_mesh__runner_reload(sa_mesh__runner_t *runner)
{
    if (runner->running.mode == SA_NEBULA_SERVICE) {
        return control(runner, SA_OS_SERVICE_RELOAD);
    }
    sa_os_mutex_lock(runner->mutex);
    if (runner->cancel) {
        sa_os_hang_up(runner->cancel);
    }
    sa_os_mutex_unlock(runner->mutex);
    return SA_OK;
}

sa_error_t *sa_mesh__runner_restart(sa_mesh__runner_t *runner)
{
    if (runner->running.mode == SA_NEBULA_SERVICE) {
        sa_error_t *err = control(runner, SA_OS_SERVICE_RESTART);

        interrupt(runner, false);       /* read from the new start on */
        return err;
    }
    interrupt(runner, false);
    return SA_OK;
}

void sa_mesh__runner_stop(sa_mesh__runner_t *runner, bool leave_service)
{
    if (!runner->pool) {
        return;
    }
    interrupt(runner, true);
    if (runner->thread) {
        sa_os_thread_join(runner->thread);
        runner->thread = NULL;
    }
    if (runner->running.mode == SA_NEBULA_SERVICE && !leave_service) {
        sa_error_t *err = control(runner, SA_OS_SERVICE_STOP);

        if (err) {
            SA_LOG(mesh_service_failed, SA_E(err));
        }
        sa_error_clear(err);
    }
    apr_pool_destroy(runner->pool);
    runner->pool = NULL;
}
