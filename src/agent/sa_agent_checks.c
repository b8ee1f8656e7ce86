/* agent: the checks of `doctor`, for health.
 *
 * They are made when the bus first comes up, and when health is asked for and the last ones are
 * older than FRESH: health itself never waits.  A thread ("doctor") is there while they are
 * made; one that hangs is left alone, and no other is started. */
#include "sa_agent_tools.h"

#include <string.h>

#include <apr_atomic.h>
#include <apr_strings.h>

#include "sa_os_daemon.h"
#include "sa_os_thread.h"
#include "sa_pool.h"
#include "sa_stats.h"
#include "sa_time.h"

#define FRESH apr_time_from_sec(60)
#define TIME apr_time_from_sec(5)
#define TEXT_SIZE ((size_t)32 * 1024)

struct sa_agent__checks_t {
    const sa_config_source_t *source;
    sa_agent__status_t *status;
    sa_os_thread_t *thread;             /* main thread; NULL: none */
    apr_pool_t *thread_pool;            /* main thread */
    sa_doctor_chart_t chart;            /* of the examination under way */
    volatile apr_uint32_t stop;

    sa_os_mutex_t *mutex;               /* guards the rest */
    bool wanted;
    bool done;                          /* the thread is about to end */
    bool hangs;                         /* something of it was left behind: never again */
    apr_interval_time_t made_at;        /* 0: never */
    size_t length;
    char text[TEXT_SIZE];               /* the object, "" */
    char brief[128];                    /* the same without the checks */
};

static void keep(sa_agent__checks_t *checks, const sa_doctor_report_t *report, apr_pool_t *pool)
{
    apr_interval_time_t uptime =
        sa_time_mono() - (apr_interval_time_t)sa_stats_read(SA_STAT_started_at);
    size_t length;
    const char *text = sa_json_print(sa_doctor_json(report, uptime, pool), &length, pool);

    sa_os_mutex_lock(checks->mutex);
    checks->made_at = sa_time_mono();
    checks->hangs = checks->hangs || report->abandoned;
    if (length < sizeof(checks->text)) {
        memcpy(checks->text, text, length + 1);
        checks->length = length;
        apr_snprintf(checks->brief, sizeof(checks->brief), "{\"ready\":%s,\"state\":\"%s\"}",
                     report->state != SA_DOCTOR_FAIL ? "true" : "false",
                     sa_doctor_state_name(report->state));
    }
    sa_os_mutex_unlock(checks->mutex);
}

static void run(void *baton)
{
    sa_agent__checks_t *checks = baton;
    apr_pool_t *pool = sa_pool_create_root();
    const sa_doctor_patient_t patient = {checks->source, &checks->chart, &checks->stop};
    sa_doctor_report_t report;

    sa_doctor_examine(&report, &patient, TIME, pool);
    keep(checks, &report, pool);
    apr_pool_destroy(pool);
    sa_os_mutex_lock(checks->mutex);
    checks->done = true;
    sa_os_mutex_unlock(checks->mutex);
    sa_os_daemon_wake();
}

void sa_agent__checks_want(sa_agent__checks_t *checks)
{
    bool first;

    sa_os_mutex_lock(checks->mutex);
    first = !checks->wanted && !checks->hangs;
    checks->wanted = true;
    sa_os_mutex_unlock(checks->mutex);
    if (first) {
        sa_os_daemon_wake();
    }
}

void sa_agent__checks_first(sa_agent__checks_t *checks)
{
    bool made;

    sa_os_mutex_lock(checks->mutex);
    made = checks->made_at != 0;
    sa_os_mutex_unlock(checks->mutex);
    if (!made) {
        sa_agent__checks_want(checks);
    }
}

void sa_agent__checks_add(void *baton, cJSON *health, size_t limit)
{
    sa_agent__checks_t *checks = baton;
    bool old;

    sa_os_mutex_lock(checks->mutex);
    old = checks->made_at == 0 || sa_time_mono() - checks->made_at > FRESH;
    if (checks->length > 0) {
        cJSON_AddRawToObject(health, "checks",
                             checks->length <= limit ? checks->text : checks->brief);
    }
    sa_os_mutex_unlock(checks->mutex);
    if (old) {
        sa_agent__checks_want(checks);
    }
}

static void begin(sa_agent__checks_t *checks)
{
    sa_agent__status_chart(&checks->chart, checks->status);
    checks->thread_pool = sa_pool_create_root();
    if (sa_os_thread_start(&checks->thread, "doctor", run, checks, checks->thread_pool)
        != APR_SUCCESS) {
        checks->thread = NULL;          /* health goes on without; asked again, it tries again */
        apr_pool_destroy(checks->thread_pool);
    }
}

void sa_agent__checks_look(sa_agent__checks_t *checks)
{
    bool wanted;
    bool done;

    sa_os_mutex_lock(checks->mutex);
    done = checks->done;
    wanted = checks->wanted && !checks->hangs;
    checks->done = false;
    if (!checks->thread || done) {
        checks->wanted = false;
    }
    sa_os_mutex_unlock(checks->mutex);
    if (checks->thread && done) {
        sa_os_thread_join(checks->thread);
        apr_pool_destroy(checks->thread_pool);
        checks->thread = NULL;
        return;
    }
    if (!checks->thread && wanted) {
        begin(checks);
    }
}

void sa_agent__checks_create(sa_agent__checks_t **result, const sa_config_source_t *source,
                             sa_agent__status_t *status, apr_pool_t *pool)
{
    sa_agent__checks_t *checks = apr_pcalloc(pool, sizeof(*checks));

    checks->source = source;
    checks->status = status;
    checks->mutex = sa_os_mutex_create(pool);
    *result = checks;
}

/* An examination is bounded by its own time. */
void sa_agent__checks_stop(sa_agent__checks_t *checks)
{
    apr_atomic_set32(&checks->stop, 1);
    if (checks->thread) {
        sa_os_thread_join(checks->thread);
        apr_pool_destroy(checks->thread_pool);
        checks->thread = NULL;
    }
}
