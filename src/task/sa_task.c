/* task: what is to be done, and the thread that does it.
 *
 * The thread sleeps in the HTTP engine's poll until the next job is due, a
 * transfer moves, or somebody wakes it.  Intervals are monotonic: a stepped
 * clock neither hurries nor stops anything. */
#include "sa_task.h"

#include <string.h>

#include <apr_strings.h>

#include "sa_log.h"
#include "sa_pool.h"
#include "sa_stats.h"
#include "sa_task_private.h"
#include "sa_time.h"

/* Readings of the machine's counters this far apart give a usable rate. */
#define BASELINE_DELAY apr_time_from_sec(1)
#define COLLECT_TIMEOUT apr_time_from_sec(20)

/* ---- reports -------------------------------------------------------------- */

cJSON *sa_task__report_json(const char *code, const char *location, apr_pool_t *pool)
{
    cJSON *json = sa_json_object(pool);

    cJSON_AddStringToObject(json, "code", code);
    cJSON_AddStringToObject(json, "location", location);
    sa_json_add_time(json, "ts", sa_time_now());
    return json;
}

void sa_task__give(sa_tasks_t *tasks, sa_report_t **report)
{
    sa_error_t *err = sa_outbox_give(tasks->outbox, report);

    if (err) {
        SA_LOG(report_refused, SA_E(err));
        sa_error_clear(err);
    }
}

void sa_task__give_json(sa_tasks_t *tasks, sa_deliver_t deliver, const char *name,
                        const cJSON *json)
{
    sa_report_t *report = sa_report_create_json(deliver, name, json);

    sa_task__give(tasks, &report);
}

/* ---- settings ------------------------------------------------------------- */

static const apr_array_header_t *copy_pairs(const apr_array_header_t *pairs, apr_pool_t *pool)
{
    apr_array_header_t *copy = apr_array_make(pool, pairs->nelts, sizeof(sa_config_pair_t));

    for (int i = 0; i < pairs->nelts; i++) {
        sa_config_pair_t pair = APR_ARRAY_IDX(pairs, i, sa_config_pair_t);

        pair.key = apr_pstrdup(pool, pair.key);
        pair.value = apr_pstrdup(pool, pair.value);
        APR_ARRAY_PUSH(copy, sa_config_pair_t) = pair;
    }
    return copy;
}

static const apr_array_header_t *copy_list(const apr_array_header_t *list, apr_pool_t *pool)
{
    apr_array_header_t *copy = apr_array_make(pool, list->nelts, sizeof(const char *));

    for (int i = 0; i < list->nelts; i++) {
        APR_ARRAY_PUSH(copy, const char *) = apr_pstrdup(pool,
                                                         APR_ARRAY_IDX(list, i, const char *));
    }
    return copy;
}

static sa_secret_t copy_secret(sa_secret_t secret, apr_pool_t *pool)
{
    secret.where = apr_pstrdup(pool, secret.where);
    secret.path = apr_pstrdup(pool, secret.path);
    return secret;
}

static apr_array_header_t *copy_exporters(const apr_array_header_t *exporters, apr_pool_t *pool)
{
    apr_array_header_t *copy = apr_array_make(pool, exporters->nelts,
                                              sizeof(sa_exporter_config_t));

    for (int i = 0; i < exporters->nelts; i++) {
        sa_exporter_config_t exporter = APR_ARRAY_IDX(exporters, i, sa_exporter_config_t);

        exporter.name = apr_pstrdup(pool, exporter.name);
        exporter.url = apr_pstrdup(pool, exporter.url);
        exporter.ca_file = apr_pstrdup(pool, exporter.ca_file);
        exporter.cert_file = apr_pstrdup(pool, exporter.cert_file);
        exporter.key_file = apr_pstrdup(pool, exporter.key_file);
        exporter.username = apr_pstrdup(pool, exporter.username);
        exporter.password = copy_secret(exporter.password, pool);
        exporter.bearer = copy_secret(exporter.bearer, pool);
        exporter.keep = copy_list(exporter.keep, pool);
        exporter.drop = copy_list(exporter.drop, pool);
        exporter.keep_if = copy_list(exporter.keep_if, pool);
        exporter.drop_if = copy_list(exporter.drop_if, pool);
        exporter.drop_labels = copy_list(exporter.drop_labels, pool);
        exporter.labels = copy_pairs(exporter.labels, pool);
        APR_ARRAY_PUSH(copy, sa_exporter_config_t) = exporter;
    }
    return copy;
}

static sa_task_settings_t *copy_settings(const sa_config_t *config)
{
    apr_pool_t *pool = sa_pool_create_root();
    sa_task_settings_t *settings = apr_pcalloc(pool, sizeof(*settings));

    settings->pool = pool;
    settings->code = apr_pstrdup(pool, config->code);
    settings->location = apr_pstrdup(pool, config->location);
    settings->heartbeat_enabled = config->heartbeat_enabled;
    settings->heartbeat_interval = config->heartbeat_interval;
    settings->heartbeat_twin = config->heartbeat_twin;
    settings->metrics_enabled = config->metrics_enabled;
    settings->metrics_interval = config->metrics_interval;
    settings->metrics_twin = config->metrics_twin;
    settings->metrics_from_exporter = config->metrics_source == SA_METRICS_EXPORTER;
    settings->metrics_exporter_url = apr_pstrdup(pool, config->metrics_exporter_url);
    settings->agent_metrics_enabled = config->agent_metrics_enabled;
    settings->agent_metrics_interval = config->agent_metrics_interval;
    settings->inventory_enabled = config->inventory_enabled;
    settings->inventory_interval = config->inventory_interval;
    settings->inventory_check_interval = config->inventory_check_interval;
    settings->exporters = copy_exporters(config->exporters, pool);
    return settings;
}

/* ---- the schedule --------------------------------------------------------- */

static sa_job_t *add_job(sa_tasks_t *tasks, const char *name, sa_job_fn_t run,
                         apr_interval_time_t interval, apr_interval_time_t first_at)
{
    sa_job_t *job = &tasks->jobs[tasks->job_count++];

    memset(job, 0, sizeof(*job));
    job->tasks = tasks;
    job->random = &tasks->random;
    job->name = name;
    job->run = run;
    job->interval = interval;
    job->next_at = first_at;
    return job;
}

/* Looked at as often as checked, or as often as sent where that is more. */
static void add_inventory(sa_tasks_t *tasks, apr_interval_time_t now)
{
    const sa_task_settings_t *settings = tasks->settings;
    apr_interval_time_t every = settings->inventory_check_interval;
    sa_job_t *job;

    if (settings->inventory_interval < every) {
        every = settings->inventory_interval;
    }
    job = add_job(tasks, "inventory", sa_task__inventory, every, now);
    job->timeout = COLLECT_TIMEOUT;
    job->on_overdue = sa_task__inventory_overdue;
}

/* The configuration has checked the patterns. */
static void use_filter(sa_job_t *job)
{
    sa_error_t *err = sa_task__make_filter(&job->filter, job->exporter,
                                           job->tasks->settings->pool);

    if (err) {
        SA_LOG(task_failed, SA_S("task", job->name), SA_E(err));
        sa_error_clear(err);
    }
}

static void add_jobs(sa_tasks_t *tasks)
{
    const sa_task_settings_t *settings = tasks->settings;
    apr_interval_time_t now = sa_time_mono();

    tasks->jobs = apr_pcalloc(settings->pool,
                              (apr_size_t)(settings->exporters->nelts + 4) * sizeof(sa_job_t));
    tasks->job_count = 0;
    tasks->heartbeat = NULL;
    if (settings->heartbeat_enabled) {
        tasks->heartbeat = add_job(tasks, "heartbeat", sa_task__heartbeat,
                                   settings->heartbeat_interval, now);
    }
    tasks->fetched = NULL;              /* it died with the old settings */
    if (settings->metrics_enabled && settings->metrics_from_exporter) {
        (void)add_job(tasks, "system_metrics", sa_task__metrics_fetch, settings->metrics_interval,
                      now);
    } else if (settings->metrics_enabled) {
        sa_job_t *job = add_job(tasks, "system_metrics", sa_task__metrics,
                                settings->metrics_interval, now + BASELINE_DELAY);

        job->timeout = COLLECT_TIMEOUT;
        job->on_overdue = sa_task__metrics_overdue;
        (void)sa_task__collect_ask(tasks, SA_COLLECT_BASELINE);
    }
    if (settings->inventory_enabled) {
        add_inventory(tasks, now);
    }
    for (int i = 0; i < settings->exporters->nelts; i++) {
        const sa_exporter_config_t *exporter = &APR_ARRAY_IDX(settings->exporters, i,
                                                              sa_exporter_config_t);
        sa_job_t *job = add_job(tasks, exporter->name, sa_task__scrape, exporter->interval, now);

        job->exporter = exporter;
        use_filter(job);
    }
    if (settings->agent_metrics_enabled) {
        (void)add_job(tasks, "agent", sa_task__agent_metrics, settings->agent_metrics_interval,
                      now);
    }
}

/* ---- the thread ----------------------------------------------------------- */

/* What other threads left for us. */
typedef struct notes_t {
    bool stopping;
    bool edge;
    bool up;
    sa_task_settings_t *new_settings;
    apr_uint64_t collected;
} notes_t;

static notes_t take_notes(sa_tasks_t *tasks)
{
    notes_t notes;

    sa_os_mutex_lock(tasks->mutex);
    notes = (notes_t){
        .stopping = tasks->stopping, .edge = tasks->edge_pending, .up = tasks->up,
        .new_settings = tasks->new_settings, .collected = tasks->collected
    };
    tasks->edge_pending = false;
    tasks->new_settings = NULL;
    sa_os_mutex_unlock(tasks->mutex);
    return notes;
}

/* A new engine: transfers of the old settings end with the old one. */
static void use_settings(sa_tasks_t *tasks, sa_task_settings_t *settings)
{
    sa_task_settings_t *old = tasks->settings;
    sa_http_t *http = NULL;
    sa_error_t *err = sa_http_create(&http, settings->pool);

    if (err) {
        SA_LOG(task_failed, SA_S("task", "scrape"), SA_E(err));
        sa_error_clear(err);
        apr_pool_destroy(settings->pool);
        return;
    }
    sa_os_mutex_lock(tasks->mutex);
    tasks->http = http;
    sa_os_mutex_unlock(tasks->mutex);
    tasks->settings = settings;
    add_jobs(tasks);
    if (old) {
        apr_pool_destroy(old->pool);
    }
}

static void note_edge(sa_tasks_t *tasks, bool up, apr_pool_t *scratch_pool)
{
    tasks->bus_up = up;
    if (up) {
        sa_task__announce(tasks, scratch_pool);
        if (tasks->heartbeat) {
            tasks->heartbeat->next_at = sa_time_mono();
            tasks->heartbeat->first_done = false;
        }
        apr_pool_clear(scratch_pool);
    }
}

static void run(void *baton)
{
    sa_tasks_t *tasks = baton;
    apr_pool_t *scratch_pool = sa_pool_create_root();

    for (;;) {
        notes_t notes = take_notes(tasks);
        apr_interval_time_t due;

        if (notes.new_settings) {
            use_settings(tasks, notes.new_settings);
        }
        if (notes.stopping) {
            break;
        }
        if (notes.edge) {
            note_edge(tasks, notes.up, scratch_pool);
        }
        due = sa_task__run_due(tasks->jobs, tasks->job_count, notes.collected, scratch_pool);
        sa_pulse_idle(tasks->pulse);
        sa_http_poll(tasks->http, due);
        sa_pulse_busy(tasks->pulse);
    }
    sa_pulse_idle(tasks->pulse);
    apr_pool_destroy(scratch_pool);
}

/* ---- life ----------------------------------------------------------------- */

static void wake(sa_tasks_t *tasks)
{
    if (tasks->http) {
        sa_http_wake(tasks->http);
    }
}

sa_error_t *sa_tasks_create(sa_tasks_t **result, sa_outbox_t *outbox, apr_pool_t *pool)
{
    sa_tasks_t *tasks = apr_pcalloc(pool, sizeof(*tasks));

    tasks->outbox = outbox;
    tasks->pool = pool;
    tasks->mutex = sa_os_mutex_create(pool);
    sa_random_init(&tasks->random);
    *result = tasks;
    return SA_OK;
}

sa_error_t *sa_tasks_start(sa_tasks_t *tasks, const sa_config_t *config)
{
    tasks->pulse = sa_pulse_create("task", tasks->pool);
    SA_TRY(sa_task__collect_start(tasks));
    SA_TRY(sa_task__services_apply(tasks, config));
    use_settings(tasks, copy_settings(config));
    if (!tasks->settings) {
        return sa_error(SA_ERR_INTERNAL, NULL, "cannot start the tasks");
    }
    SA_TRY_APR(sa_os_thread_start(&tasks->thread, "task", run, tasks, tasks->pool),
               "cannot start the tasks' thread");
    return SA_OK;
}

void sa_tasks_reload(sa_tasks_t *tasks, const sa_config_t *config)
{
    sa_task_settings_t *settings = copy_settings(config);
    sa_task_settings_t *unused;
    sa_error_t *err = sa_task__services_apply(tasks, config);

    if (err) {
        SA_LOG(task_failed, SA_S("task", "service_check"), SA_E(err));
        sa_error_clear(err);
    }
    sa_os_mutex_lock(tasks->mutex);
    unused = tasks->new_settings;
    tasks->new_settings = settings;
    wake(tasks);
    sa_os_mutex_unlock(tasks->mutex);
    if (unused) {
        apr_pool_destroy(unused->pool);
    }
}

void sa_tasks_bus_edge(sa_tasks_t *tasks, bool up)
{
    sa_os_mutex_lock(tasks->mutex);
    tasks->edge_pending = true;
    tasks->up = up;
    wake(tasks);
    sa_os_mutex_unlock(tasks->mutex);
}

void sa_tasks_stop(sa_tasks_t *tasks)
{
    sa_task__services_stop(tasks);
    if (tasks->thread) {
        sa_os_mutex_lock(tasks->mutex);
        tasks->stopping = true;
        wake(tasks);
        sa_os_mutex_unlock(tasks->mutex);
        sa_os_thread_join(tasks->thread);
        tasks->thread = NULL;
        sa_task__say_offline(tasks);
    }
    sa_task__collect_stop(tasks);
    if (tasks->settings) {
        sa_os_mutex_lock(tasks->mutex);
        tasks->http = NULL;         /* the bus may still come and go */
        sa_os_mutex_unlock(tasks->mutex);
        apr_pool_destroy(tasks->settings->pool);
        tasks->settings = NULL;
    }
}
