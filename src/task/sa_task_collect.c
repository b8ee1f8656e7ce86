/* task: the thread that asks the machine.
 *
 * Reading a disk's size can block for as long as the disk pleases; only this
 * thread does, so that heartbeats and exporters go on.  It owns the previous
 * reading. */
#include <apr_strings.h>

#include "sa_log.h"
#include "sa_pool.h"
#include "sa_stats.h"
#include "sa_task_private.h"
#include "sa_time.h"

#define REQUESTS_LIMIT 4

static sa_error_t *read_sample(sa_metrics_sample_t **result, apr_pool_t *pool)
{
    sa_metrics_sample_t *sample = apr_pcalloc(pool, sizeof(*sample));

    SA_TRY(sa_os_memory_read(&sample->memory, pool));
    SA_TRY(sa_os_disks_read(&sample->disks, pool));
    /* last, next to the time that its difference is divided by */
    SA_TRY(sa_os_cpu_read(&sample->cpu, pool));
    sample->at = sa_time_mono();
    *result = sample;
    return SA_OK;
}

static void report(sa_tasks_t *tasks, const sa_collect_request_t *request,
                   const sa_metrics_sample_t *sample, const sa_metrics_sample_t *before,
                   sa_error_t *err, apr_pool_t *scratch_pool)
{
    cJSON *json = sa_task__report_json(request->code, request->location, scratch_pool);

    if (err) {
        char text[256];

        SA_LOG(task_failed, SA_S("task", "system_metrics"), SA_E(err));
        sa_stats_add(SA_STAT_metrics_failures, 1);
        cJSON_AddStringToObject(json, "status", "error");
        cJSON_AddStringToObject(json, "error", sa_error_text(err, text, sizeof(text)));
    } else {
        sa_task__metrics_fill(json, sample, before);
        sa_stats_add(SA_STAT_metrics_count, 1);
        sa_stats_set(SA_STAT_last_metrics, (apr_uint64_t)sa_time_now());
    }
    sa_task__give_json(tasks, SA_DELIVER_DURABLE, "telemetry.system", json);
    if (request->twin && !err) {
        sa_task__give_json(tasks, SA_DELIVER_LATEST, "system", json);
    }
}

static void note_done(sa_tasks_t *tasks, apr_uint64_t number)
{
    sa_os_mutex_lock(tasks->mutex);
    tasks->collected = number;
    if (tasks->http) {
        sa_http_wake(tasks->http);
    }
    sa_os_mutex_unlock(tasks->mutex);
}

/* What the thread remembers. */
typedef struct readings_t {
    apr_pool_t *before_pool;
    apr_pool_t *now_pool;
    sa_metrics_sample_t *before;
    sa_task_inventory_t *inventory;
} readings_t;

static void collect_metrics(sa_tasks_t *tasks, const sa_collect_request_t *request,
                            readings_t *readings, apr_pool_t *scratch_pool)
{
    sa_metrics_sample_t *sample = NULL;
    sa_error_t *err = read_sample(&sample, readings->now_pool);

    if (request->kind == SA_COLLECT_METRICS) {
        report(tasks, request, sample, readings->before, err, scratch_pool);
    }
    if (!err) {
        apr_pool_t *old_pool = readings->before_pool;

        readings->before = sample;
        readings->before_pool = readings->now_pool;
        readings->now_pool = old_pool;
    }
    apr_pool_clear(readings->now_pool);
    sa_error_clear(err);
}

static void run(void *baton)
{
    sa_tasks_t *tasks = baton;
    apr_pool_t *pool = sa_pool_create_root();
    apr_pool_t *scratch_pool = sa_pool_create_root();
    readings_t readings = {
        .before_pool = sa_pool_create_root(), .now_pool = sa_pool_create_root(),
        .inventory = sa_task__inventory_create(pool)
    };
    sa_collect_request_t *request = sa_queue_take(tasks->collect_queue, SA_OS_NEVER);

    while (request) {
        if (request->kind == SA_COLLECT_INVENTORY) {
            sa_task__inventory_collect(tasks, readings.inventory, request, scratch_pool);
        } else {
            collect_metrics(tasks, request, &readings, scratch_pool);
        }
        note_done(tasks, request->number);
        apr_pool_destroy(request->pool);
        apr_pool_clear(scratch_pool);
        request = sa_queue_take(tasks->collect_queue, SA_OS_NEVER);
    }
    apr_pool_destroy(scratch_pool);
    apr_pool_destroy(readings.before_pool);
    apr_pool_destroy(readings.now_pool);
    apr_pool_destroy(pool);
}

bool sa_task__collect_ask(sa_tasks_t *tasks, sa_collect_kind_t kind)
{
    apr_pool_t *pool = sa_pool_create_root();
    sa_collect_request_t *request = apr_pcalloc(pool, sizeof(*request));
    apr_uint64_t number = tasks->collect_asked + 1;

    request->pool = pool;
    request->number = number;
    request->code = apr_pstrdup(pool, tasks->settings->code);
    request->location = apr_pstrdup(pool, tasks->settings->location);
    request->twin = tasks->settings->metrics_twin;
    request->kind = kind;
    request->interval = tasks->settings->inventory_interval;
    if (!sa_queue_give(tasks->collect_queue, &request)) {
        apr_pool_destroy(pool);
        return false;
    }
    tasks->collect_asked = number;
    return true;
}

sa_error_t *sa_task__collect_start(sa_tasks_t *tasks)
{
    tasks->collect_queue = sa_queue_create(REQUESTS_LIMIT, tasks->pool);
    SA_TRY_APR(sa_os_thread_start(&tasks->collector, "collect", run, tasks, tasks->pool),
               "cannot start the collector's thread");
    return SA_OK;
}

void sa_task__collect_stop(sa_tasks_t *tasks)
{
    if (tasks->collector) {
        sa_queue_close(tasks->collect_queue);
        sa_os_thread_join(tasks->collector);
        tasks->collector = NULL;
    }
}
