/* task: telemetry.system, the numbers (docs/protocol.md).
 *
 * CPU usage and disk rates are differences of two readings divided by the time
 * between exactly these two; a counter that went backwards counts as 0. */
#include <string.h>

#include "sa_log.h"
#include "sa_stats.h"
#include "sa_task_private.h"
#include "sa_time.h"

#define GB (1024.0 * 1024.0 * 1024.0)

static double cpu_percent(const sa_os_cpu_t *now, const sa_os_cpu_t *before)
{
    double total;
    double idle;

    if (!before || now->total <= before->total || now->idle < before->idle) {
        return 0.0;
    }
    total = (double)(now->total - before->total);
    idle = (double)(now->idle - before->idle);
    return idle >= total ? 0.0 : (total - idle) / total * 100.0;
}

static double rate(apr_uint64_t now, apr_uint64_t before, apr_interval_time_t elapsed)
{
    if (now < before || elapsed <= 0) {
        return 0.0;
    }
    return (double)(now - before) * 1e6 / (double)elapsed;
}

static const sa_os_disk_t *find_disk(const apr_array_header_t *disks, const char *drive)
{
    for (int i = 0; i < disks->nelts; i++) {
        const sa_os_disk_t *disk = &APR_ARRAY_IDX(disks, i, sa_os_disk_t);

        if (strcmp(disk->drive, drive) == 0) {
            return disk;
        }
    }
    return NULL;
}

static void add_disk(cJSON *disks, const sa_os_disk_t *disk, const sa_metrics_sample_t *before,
                     apr_interval_time_t elapsed)
{
    const sa_os_disk_t *old = before ? find_disk(before->disks, disk->drive) : NULL;
    bool rates = old && old->has_io && disk->has_io;
    cJSON *json = cJSON_CreateObject();

    cJSON_AddItemToArray(disks, json);
    cJSON_AddStringToObject(json, "drive", disk->drive);
    sa_json_add_rounded(json, "free_percent",
                        disk->total_bytes == 0
                            ? 0.0
                            : (double)disk->free_bytes / (double)disk->total_bytes * 100.0);
    sa_json_add_rounded(json, "free_gb", (double)disk->free_bytes / GB);
    sa_json_add_rounded(json, "total_gb", (double)disk->total_bytes / GB);
    sa_json_add_rounded(json, "read_bytes_per_sec",
                        rates ? rate(disk->read_bytes, old->read_bytes, elapsed) : 0.0);
    sa_json_add_rounded(json, "write_bytes_per_sec",
                        rates ? rate(disk->written_bytes, old->written_bytes, elapsed) : 0.0);
}

void sa_task__metrics_fill(cJSON *json, const sa_metrics_sample_t *sample,
                           const sa_metrics_sample_t *before)
{
    const sa_os_memory_t *memory = &sample->memory;
    apr_interval_time_t elapsed = before ? sample->at - before->at : 0;
    cJSON *disks;

    sa_json_add_rounded(json, "cpu_usage_percent",
                        cpu_percent(&sample->cpu, before ? &before->cpu : NULL));
    sa_json_add_rounded(json, "memory_free_gb", (double)memory->available_bytes / GB);
    if (memory->total_bytes > 0) {
        double used = memory->available_bytes > memory->total_bytes
                          ? 0.0
                          : (double)(memory->total_bytes - memory->available_bytes);

        sa_json_add_rounded(json, "memory_total_gb", (double)memory->total_bytes / GB);
        sa_json_add_rounded(json, "memory_used_percent",
                            used / (double)memory->total_bytes * 100.0);
    }
    disks = cJSON_AddArrayToObject(json, "disks");
    for (int i = 0; i < sample->disks->nelts; i++) {
        add_disk(disks, &APR_ARRAY_IDX(sample->disks, i, sa_os_disk_t), before, elapsed);
    }
}

void sa_task__metrics(sa_job_t *job, apr_pool_t *scratch_pool)
{
    (void)scratch_pool;
    job->running = sa_task__collect_ask(job->tasks, SA_COLLECT_METRICS);
    job->asked = job->tasks->collect_asked;
}

void sa_task__metrics_overdue(sa_job_t *job, apr_pool_t *scratch_pool)
{
    const sa_task_settings_t *settings = job->tasks->settings;
    cJSON *json = sa_task__report_json(settings->code, settings->location, scratch_pool);

    SA_LOG(task_overdue, SA_S("task", job->name), SA_D("timeout", job->timeout));
    sa_stats_add(SA_STAT_metrics_failures, 1);
    cJSON_AddStringToObject(json, "status", "error");
    cJSON_AddStringToObject(json, "error", "the machine does not answer: a disk or mount hangs");
    sa_task__give_json(job->tasks, SA_DELIVER_DURABLE, "telemetry.system", json);
}
