/* agent: the state file (sa_status.h).
 *
 * Written by the main thread: when something was noted, at most every WRITE_PAUSE; for what
 * changes all the time (beats, reports) BEAT_PAUSE after the first of it, which takes in what
 * follows, such as acknowledgements; and never because time has passed.  The bus may be down:
 * nothing here asks it. */
#include "sa_agent_tools.h"

#include <string.h>

#include <apr_file_io.h>
#include <apr_strings.h>

#include "sa_log.h"
#include "sa_os_daemon.h"
#include "sa_os_exec.h"
#include "sa_os_file.h"
#include "sa_os_host.h"
#include "sa_os_thread.h"
#include "sa_pool.h"
#include "sa_report_state.h"
#include "sa_stats.h"
#include "sa_status.h"
#include "sa_time.h"
#include "sa_version.h"

#define WRITE_PAUSE apr_time_from_sec(2)
#define BEAT_PAUSE apr_time_from_sec(5)
#define RUNNING_MAX 32
#define TEXT_SIZE 512

struct sa_agent__status_t {
    apr_pool_t *pool;
    const char *path;
    const char *folder;
    sa_commands_t *commands;
    apr_uint64_t process_begin;
    apr_interval_time_t written_at;     /* main thread; 0: never */
    bool failed;                        /* main thread */

    sa_os_mutex_t *mutex;               /* guards the rest */
    bool dirty;
    apr_interval_time_t beaten_at;      /* the same, and less urgent; 0: not */
    apr_time_t link_since;              /* up or down */
    sa_event_t error;                   /* the last error or warning; SA_EVENT_END: none */
    apr_time_t error_at;
    char error_text[TEXT_SIZE];
    sa_doctor_chart_t chart;
};

/* ---- notes ------------------------------------------------------------------------------ */

void sa_agent__status_touch(sa_agent__status_t *status)
{
    bool first;

    sa_os_mutex_lock(status->mutex);
    first = !status->dirty;
    status->dirty = true;
    sa_os_mutex_unlock(status->mutex);
    if (first) {
        sa_os_daemon_wake();
    }
}

void sa_agent__status_beat(sa_agent__status_t *status)
{
    bool first;

    sa_os_mutex_lock(status->mutex);
    first = !status->dirty && status->beaten_at == 0;
    status->beaten_at = status->beaten_at ? status->beaten_at : sa_time_mono();
    sa_os_mutex_unlock(status->mutex);
    if (first) {
        sa_os_daemon_wake();
    }
}

static const char *field_of(const sa_field_t *fields, const char *key)
{
    for (; fields->type != SA_FIELD_TYPE_END; fields++) {
        if (fields->type == SA_FIELD_TYPE_STRING && strcmp(fields->key, key) == 0) {
            return fields->string;
        }
    }
    return NULL;
}

/* The lock is held. */
static void note_denial(sa_doctor_chart_t *chart, const char *grant)
{
    for (int i = 0; i < chart->denied_count; i++) {
        if (strcmp(chart->denied[i], grant) == 0) {
            return;
        }
    }
    if (chart->denied_count < SA_DOCTOR_DENIED_MAX) {
        apr_cpystrn(chart->denied[chart->denied_count++], grant, sizeof(chart->denied[0]));
    }
}

/* The lock is held. */
static void note_state(sa_agent__status_t *status, sa_event_t event, const sa_field_t *fields)
{
    sa_doctor_chart_t *chart = &status->chart;
    const char *grant = field_of(fields, "grant");

    switch (event) {
    case SA_EVENT_link_denied_publish:
    case SA_EVENT_link_denied_subscribe:
        note_denial(chart, grant ? grant : "");
        break;
    case SA_EVENT_config_reloaded:
        chart->denied_count = 0;        /* the link tries all again */
        break;
    case SA_EVENT_twin_missing:
    case SA_EVENT_twin_found:
        chart->twin_missing = event == SA_EVENT_twin_missing;
        break;
    case SA_EVENT_link_up:
        chart->link_event = SA_EVENT_END;
        break;
    default:
        if (strncmp(sa_event_row(event)->id, "link_", 5) == 0
            && sa_event_row(event)->level <= SA_LEVEL_warn && event != SA_EVENT_link_tls_insecure) {
            chart->link_event = event;
        }
        break;
    }
}

bool sa_agent__status_event(void *baton, sa_event_t event, const sa_field_t *fields)
{
    sa_agent__status_t *status = baton;
    sa_log_level_t level = sa_event_row(event)->level;

    if (level > SA_LEVEL_info || event == SA_EVENT_status_failed) {
        return false;
    }
    sa_os_mutex_lock(status->mutex);
    note_state(status, event, fields);
    if (level <= SA_LEVEL_warn) {
        status->error = event;
        status->error_at = sa_time_now();
        sa_log_describe(status->error_text, sizeof(status->error_text), event, fields);
    }
    sa_os_mutex_unlock(status->mutex);
    sa_agent__status_touch(status);
    return false;
}

void sa_agent__status_edge(sa_agent__status_t *status, bool up)
{
    (void)up;
    sa_os_mutex_lock(status->mutex);
    status->link_since = sa_time_now();
    sa_os_mutex_unlock(status->mutex);
    sa_agent__status_touch(status);
}

void sa_agent__status_chart(sa_doctor_chart_t *chart, sa_agent__status_t *status)
{
    sa_os_mutex_lock(status->mutex);
    *chart = status->chart;
    sa_os_mutex_unlock(status->mutex);
}

/* ---- the text --------------------------------------------------------------------------- */

static void add_time(cJSON *json, const char *name, apr_time_t time)
{
    if (time != 0) {
        sa_json_add_time(json, name, time);
    }
}

static void add_link(cJSON *json, sa_agent__status_t *status)
{
    cJSON *link = cJSON_AddObjectToObject(json, "link");
    bool up = sa_stats_read(SA_STAT_link_connected) != 0;
    apr_uint64_t connects = sa_stats_read(SA_STAT_link_connects);
    sa_event_t event = status->chart.link_event;

    cJSON_AddBoolToObject(link, "connected", up);
    sa_json_add_stat_text(link, "url", SA_STAT_TEXT_link_url);
    sa_json_add_stat_text(link, "server_id", SA_STAT_TEXT_link_server_id);
    if (up) {
        sa_json_add_stat_text(link, "tls", SA_STAT_TEXT_link_tls);
        sa_json_add_rounded(link, "rtt_ms", (double)sa_stats_read(SA_STAT_link_rtt_us) / 1000.0);
    }
    add_time(link, "since", status->link_since);
    sa_json_add_count(link, "reconnects", connects > 0 ? connects - 1 : 0);
    sa_json_add_stat(link, "failures", SA_STAT_link_connect_failures);
    sa_json_add_stat_text(link, "error", SA_STAT_TEXT_link_error);
    if (!up && event != SA_EVENT_END) {
        cJSON_AddStringToObject(link, "event", sa_event_row(event)->id);
        cJSON_AddStringToObject(link, "fix", sa_event_row(event)->advice);
    }
}

static void add_spool(cJSON *json)
{
    cJSON *spool = cJSON_AddObjectToObject(json, "spool");

    sa_json_add_stat(spool, "waiting", SA_STAT_spool_reports);
    sa_json_add_stat(spool, "bytes", SA_STAT_spool_bytes);
    sa_json_add_stat_time(spool, "oldest", SA_STAT_spool_oldest_at);
    cJSON_AddBoolToObject(spool, "failed", sa_stats_read(SA_STAT_spool_failed) != 0);
    cJSON_AddBoolToObject(spool, "stream_missing", sa_stats_read(SA_STAT_stream_missing) != 0);
    sa_json_add_stat(spool, "accepted", SA_STAT_reports_accepted);
    sa_json_add_stat(spool, "stored", SA_STAT_reports_stored);
    sa_json_add_stat(spool, "dropped", SA_STAT_reports_dropped);
    sa_json_add_stat(spool, "quarantined", SA_STAT_reports_quarantined);
    sa_json_add_stat_text(spool, "error", SA_STAT_TEXT_delivery_error);
}

static void add_tasks(cJSON *json)
{
    static const struct {
        const char *name;
        sa_stat_t last;
        sa_stat_t count;
        sa_stat_t failures;
    } tasks[] = {
        {"heartbeat", SA_STAT_last_heartbeat, SA_STAT_heartbeat_count, SA_STAT_END},
        {"system_metrics", SA_STAT_last_metrics, SA_STAT_metrics_count, SA_STAT_metrics_failures},
        {"exporters", SA_STAT_last_scrape, SA_STAT_scrape_count, SA_STAT_scrape_failures},
        {"service_check", SA_STAT_last_service_check, SA_STAT_service_check_count,
         SA_STAT_service_check_failures},
        {"inventory", SA_STAT_last_inventory, SA_STAT_inventory_count, SA_STAT_inventory_failures}
    };
    cJSON *list = cJSON_AddObjectToObject(json, "tasks");

    for (size_t i = 0; i < sizeof(tasks) / sizeof(tasks[0]); i++) {
        cJSON *task = cJSON_AddObjectToObject(list, tasks[i].name);

        sa_json_add_stat_time(task, "last", tasks[i].last);
        sa_json_add_stat(task, "count", tasks[i].count);
        if (tasks[i].failures != SA_STAT_END) {
            sa_json_add_stat(task, "failures", tasks[i].failures);
        }
    }
}

static void add_identity(cJSON *json, const sa_config_t *config, apr_pool_t *pool)
{
    cJSON *identity = cJSON_AddObjectToObject(json, "identity");

    cJSON_AddStringToObject(identity, "auth", sa_config_text(config, "nats.auth.type", pool));
    sa_report_add_identity(identity);
}

static void add_nebula(cJSON *json)
{
    cJSON *nebula;

    if (!sa_stats_read(SA_STAT_mesh_enabled)) {
        return;
    }
    nebula = cJSON_AddObjectToObject(json, "nebula");
    cJSON_AddTrueToObject(nebula, "enabled");
    sa_report_add_nebula(nebula, false);
}

static void add_running(void *baton, const char *name, const char *id, apr_interval_time_t since)
{
    cJSON *item = cJSON_CreateObject();

    cJSON_AddItemToArray(baton, item);
    cJSON_AddStringToObject(item, "command", name);
    cJSON_AddStringToObject(item, "id", id ? id : "");
    sa_json_add_time(item, "since", sa_time_now() - since);
}

static void add_commands(cJSON *json, sa_agent__status_t *status)
{
    cJSON *commands = cJSON_AddObjectToObject(json, "commands");
    cJSON *children = cJSON_CreateArray();
    int running = sa_commands_running(status->commands, RUNNING_MAX, add_running, children);

    sa_json_add_stat(commands, "processed", SA_STAT_commands_processed);
    sa_json_add_stat(commands, "errored", SA_STAT_commands_errored);
    sa_json_add_stat(commands, "refused", SA_STAT_commands_refused);
    cJSON_AddNumberToObject(commands, "running", running);
    cJSON_AddItemToObject(commands, "children", children);
}

static void add_containment(cJSON *json)
{
    cJSON *containment = cJSON_AddObjectToObject(json, "containment");
    sa_os_exec_support_t support;

    sa_os_exec_support(&support);
    if (support.cgroup) {
        cJSON_AddStringToObject(containment, "cgroup", support.cgroup);
    } else {
        cJSON_AddStringToObject(containment, "cgroup_why",
                                support.cgroup_why ? support.cgroup_why : "");
    }
    cJSON_AddNumberToObject(containment, "landlock", support.landlock);
}

static void add_error(cJSON *json, const sa_agent__status_t *status)
{
    const sa_event_row_t *row;
    cJSON *error;

    if (status->error == SA_EVENT_END) {
        return;
    }
    row = sa_event_row(status->error);
    error = cJSON_AddObjectToObject(json, "last_error");
    cJSON_AddStringToObject(error, "event", row->id);
    cJSON_AddStringToObject(error, "level", sa_log_level_name(row->level));
    sa_json_add_time(error, "at", status->error_at);
    cJSON_AddStringToObject(error, "text", status->error_text);
    cJSON_AddStringToObject(error, "fix", row->advice);
}

static void add_process(cJSON *json, apr_pool_t *pool)
{
    sa_os_self_t self = {0};
    cJSON *process = cJSON_AddObjectToObject(json, "process");

    /* a state without it is still worth writing */
    sa_error_clear(sa_os_self_read(&self, pool));
    sa_json_add_rounded(process, "memory_mb", (double)self.resident_bytes / 1048576.0);
    sa_json_add_count(process, "threads", self.threads);
    sa_json_add_rounded(process, "cpu_seconds", (double)self.cpu_us / 1e6);
}

static apr_time_t started_at(void)
{
    apr_interval_time_t began = (apr_interval_time_t)sa_stats_read(SA_STAT_started_at);

    return sa_time_now() - (sa_time_mono() - began);
}

static cJSON *describe(sa_agent__status_t *status, const sa_config_t *config, apr_pool_t *pool)
{
    cJSON *json = sa_json_object(pool);
    cJSON *denied;

    cJSON_AddStringToObject(json, "version", sa_version());
    cJSON_AddStringToObject(json, "code", config->code);
    cJSON_AddStringToObject(json, "location", config->location);
    cJSON_AddNumberToObject(json, "pid", (double)sa_os_process_id());
    cJSON_AddNumberToObject(json, "process_begin", (double)status->process_begin);
    sa_json_add_time(json, "started", started_at());
    sa_json_add_time(json, "written", sa_time_now());
    cJSON_AddStringToObject(json, "status", sa_health_name(sa_stats_health()));
    sa_os_mutex_lock(status->mutex);
    add_link(json, status);
    add_error(json, status);
    denied = cJSON_AddArrayToObject(json, "denied");
    for (int i = 0; i < status->chart.denied_count; i++) {
        cJSON_AddItemToArray(denied, cJSON_CreateString(status->chart.denied[i]));
    }
    sa_os_mutex_unlock(status->mutex);
    add_spool(json);
    add_tasks(json);
    add_identity(json, config, pool);
    add_nebula(json);
    add_commands(json, status);
    add_containment(json);
    add_process(json, pool);
    return json;
}

/* ---- the file --------------------------------------------------------------------------- */

static void write_file(sa_agent__status_t *status, const sa_config_t *config)
{
    apr_pool_t *pool = sa_pool_create(status->pool);
    size_t length;
    const char *text = sa_json_print(describe(status, config, pool), &length, pool);
    sa_error_t *err = length > SA_STATUS_BYTES
        ? sa_error(SA_ERR_LIMIT, NULL, "the state of the agent is too long to be written")
        : sa_os_file_write_public(status->path, text, length, pool);

    if (err && !status->failed) {
        SA_LOG(status_failed, SA_S("file", status->path), SA_E(err));
    }
    status->failed = err != NULL;
    sa_error_clear(err);
    apr_pool_destroy(pool);
}

apr_interval_time_t sa_agent__status_due(sa_agent__status_t *status)
{
    apr_interval_time_t due;

    sa_os_mutex_lock(status->mutex);
    due = status->dirty ? status->written_at + WRITE_PAUSE
        : status->beaten_at ? status->beaten_at + BEAT_PAUSE : SA_OS_NEVER;
    sa_os_mutex_unlock(status->mutex);
    return due;
}

void sa_agent__status_look(sa_agent__status_t *status, const sa_config_t *config)
{
    if (sa_time_mono() < sa_agent__status_due(status)) {
        return;
    }
    sa_os_mutex_lock(status->mutex);
    status->dirty = false;
    status->beaten_at = 0;
    sa_os_mutex_unlock(status->mutex);
    status->written_at = sa_time_mono();
    write_file(status, config);
}

void sa_agent__status_create(sa_agent__status_t **result, const sa_config_t *config,
                             sa_commands_t *commands, apr_pool_t *pool)
{
    sa_agent__status_t *status = apr_pcalloc(pool, sizeof(*status));
    sa_error_t *err;

    status->pool = pool;
    status->folder = apr_pstrdup(pool, config->paths_runtime);
    status->path = apr_pstrcat(pool, config->paths_runtime, "/" SA_STATUS_FILE, NULL);
    status->commands = commands;
    status->mutex = sa_os_mutex_create(pool);
    status->error = SA_EVENT_END;
    status->chart.link_event = SA_EVENT_END;
    (void)sa_os_process_begin(&status->process_begin, sa_os_process_id(), pool);
    err = sa_os_dir_create_private(status->folder, pool);
    if (err) {
        SA_LOG(status_failed, SA_S("file", status->path), SA_E(err));
        status->failed = true;
        sa_error_clear(err);
    }
    *result = status;
}

void sa_agent__status_stop(sa_agent__status_t *status)
{
    /* one that was never written, or that somebody took away, is no trouble now */
    (void)apr_file_remove(status->path, status->pool);
}
