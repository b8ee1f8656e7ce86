/* task: the liveness beacon, live on the bus and kept in the twin.
 *
 * A beat says "alive now": it is never spooled, and its place in the twin is
 * worth nothing when the next one is due. */
#include <string.h>

#include "sa_os_host.h"
#include "sa_report_state.h"
#include "sa_stats.h"
#include "sa_task_private.h"
#include "sa_time.h"
#include "sa_version.h"

static const char *status_word(void)
{
    /* what the console's StatusWidget compares, as bare text; without a
     * connection nobody would read it, so that is no error here */
    return sa_stats_read(SA_STAT_spool_failed) ? "error" : "online";
}

static void give_text(sa_tasks_t *tasks, const char *name, const char *text,
                      apr_interval_time_t expires_at)
{
    sa_report_t *report = sa_report_create(SA_DELIVER_LATEST, name, NULL, text, strlen(text));

    report->expires_at = expires_at;
    sa_task__give(tasks, &report);
}

static void beat_twin(sa_job_t *job, cJSON *json)
{
    const sa_task_settings_t *settings = job->tasks->settings;
    apr_interval_time_t expires_at = sa_time_mono() + settings->heartbeat_interval;
    char interval[SA_DURATION_TEXT];
    sa_report_t *report;

    cJSON_AddStringToObject(json, "interval",
                            sa_duration_format(interval, settings->heartbeat_interval));
    cJSON_AddStringToObject(json, "version", sa_version());
    cJSON_AddStringToObject(json, "status", status_word());
    report = sa_report_create_json(SA_DELIVER_LATEST, "heartbeat", json);
    report->expires_at = expires_at;
    sa_task__give(job->tasks, &report);
    give_text(job->tasks, "status", status_word(), expires_at);
}

/* The overlay beside it, from the numbers that the mesh keeps. */
static void beat_nebula(sa_job_t *job, apr_pool_t *scratch_pool)
{
    const sa_task_settings_t *settings = job->tasks->settings;
    sa_report_t *report;
    cJSON *json;

    if (!sa_stats_read(SA_STAT_mesh_enabled)) {
        return;
    }
    json = sa_task__report_json(settings->code, settings->location, scratch_pool);
    sa_report_add_nebula(json, false);
    report = sa_report_create_json(SA_DELIVER_LATEST, "nebula", json);
    report->expires_at = sa_time_mono() + settings->heartbeat_interval;
    sa_task__give(job->tasks, &report);
}

void sa_task__heartbeat(sa_job_t *job, apr_pool_t *scratch_pool)
{
    sa_tasks_t *tasks = job->tasks;
    cJSON *json;

    if (!tasks->bus_up) {
        return;         /* the edge brings a fresh one */
    }
    json = sa_task__report_json(tasks->settings->code, tasks->settings->location, scratch_pool);
    sa_task__give_json(tasks, SA_DELIVER_NOW, "heartbeat", json);
    if (tasks->settings->heartbeat_twin) {
        beat_twin(job, json);
        beat_nebula(job, scratch_pool);
    }
    sa_stats_add(SA_STAT_heartbeat_count, 1);
    sa_stats_set(SA_STAT_last_heartbeat, (apr_uint64_t)sa_time_now());
}

void sa_task__announce(sa_tasks_t *tasks, apr_pool_t *scratch_pool)
{
    cJSON *json;
    cJSON *os;
    sa_os_host_t host = {"", "", "", "", ""};

    if (!tasks->settings->heartbeat_twin) {
        return;
    }
    /* what the machine does not tell stays empty */
    sa_error_clear(sa_os_host_read(&host, scratch_pool));
    json = sa_task__report_json(tasks->settings->code, tasks->settings->location, scratch_pool);
    cJSON_AddStringToObject(json, "version", sa_version());
    os = cJSON_AddObjectToObject(json, "os");
    cJSON_AddStringToObject(os, "platform", host.platform);
    cJSON_AddStringToObject(os, "name", host.name);
    cJSON_AddStringToObject(os, "version", host.version);
    cJSON_AddStringToObject(os, "build", host.build);
    sa_task__give_json(tasks, SA_DELIVER_LATEST, "agent", json);
}

void sa_task__say_offline(sa_tasks_t *tasks)
{
    if (tasks->settings->heartbeat_enabled && tasks->settings->heartbeat_twin) {
        give_text(tasks, "status", "offline", 0);
    }
}
