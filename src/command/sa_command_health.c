/* command: health.  The names are the public agent's (docs/protocol.md); what
 * it lacks (spool, delivery, exporters) stands in groups of its own. */
#include <string.h>

#include <apr_strings.h>

#include "sa_command_private.h"
#include "sa_report_state.h"
#include "sa_stats.h"
#include "sa_time.h"
#include "sa_version.h"

/* Of each list of the configuration; a health must fit into a message. */
#define LIST_BYTES 8192

static void add_agent(cJSON *json, apr_pool_t *pool)
{
    cJSON *agent = cJSON_AddObjectToObject(json, "agent");
    sa_os_self_t self = {0};
    apr_time_t started_at = (apr_time_t)sa_stats_read(SA_STAT_started_at);

    /* a health that cannot read its own size is still worth sending */
    sa_error_clear(sa_os_self_read(&self, pool));
    sa_json_add_rounded(agent, "memory_usage_mb", (double)self.resident_bytes / 1048576.0);
    sa_json_add_count(agent, "goroutines", self.threads);
    sa_json_add_count(agent, "uptime_seconds",
                      (apr_uint64_t)apr_time_sec(sa_time_mono() - started_at));
    sa_json_add_stat(agent, "commands_processed", SA_STAT_commands_processed);
    sa_json_add_stat(agent, "commands_errored", SA_STAT_commands_errored);
    sa_json_add_stat(agent, "commands_refused", SA_STAT_commands_refused);
    sa_json_add_stat(agent, "commands_busy", SA_STAT_commands_busy);
    sa_json_add_stat(agent, "commands_stopped", SA_STAT_commands_stopped);
    if (sa_stats_read(SA_STAT_audit_failed) != 0) {
        cJSON_AddTrueToObject(agent, "audit_failed");
    }
    sa_json_add_stat_text(agent, "last_error", SA_STAT_TEXT_last_error);
    sa_json_add_stat_time(agent, "last_error_time", SA_STAT_last_error_at);
}

static void add_nats(cJSON *json)
{
    cJSON *nats = cJSON_AddObjectToObject(json, "nats");
    apr_uint64_t connects = sa_stats_read(SA_STAT_link_connects);

    cJSON_AddBoolToObject(nats, "connected", sa_stats_read(SA_STAT_link_connected) != 0);
    sa_json_add_stat_text(nats, "server_url", SA_STAT_TEXT_link_url);
    sa_json_add_stat_text(nats, "server_id", SA_STAT_TEXT_link_server_id);
    sa_json_add_count(nats, "reconnects", connects > 0 ? connects - 1 : 0);
    sa_json_add_stat(nats, "in_msgs", SA_STAT_link_in_msgs);
    sa_json_add_stat(nats, "out_msgs", SA_STAT_link_out_msgs);
    sa_json_add_stat(nats, "in_bytes", SA_STAT_link_in_bytes);
    sa_json_add_stat(nats, "out_bytes", SA_STAT_link_out_bytes);
    cJSON_AddBoolToObject(nats, "jetstream", sa_stats_read(SA_STAT_reports_stored) > 0
                                                 && !sa_stats_read(SA_STAT_stream_missing));
}

static void add_tasks(cJSON *json)
{
    cJSON *tasks = cJSON_AddObjectToObject(json, "tasks");

    sa_json_add_stat_time(tasks, "last_heartbeat", SA_STAT_last_heartbeat);
    sa_json_add_stat_time(tasks, "last_metrics", SA_STAT_last_metrics);
    sa_json_add_stat_time(tasks, "last_scrape", SA_STAT_last_scrape);
    sa_json_add_stat(tasks, "heartbeat_count", SA_STAT_heartbeat_count);
    sa_json_add_stat(tasks, "metrics_count", SA_STAT_metrics_count);
    sa_json_add_stat(tasks, "metrics_failures", SA_STAT_metrics_failures);
    sa_json_add_stat(tasks, "scrape_count", SA_STAT_scrape_count);
    sa_json_add_stat(tasks, "scrape_failures", SA_STAT_scrape_failures);
    sa_json_add_stat_time(tasks, "last_service_check", SA_STAT_last_service_check);
    sa_json_add_stat(tasks, "service_check_count", SA_STAT_service_check_count);
    sa_json_add_stat(tasks, "service_check_failures", SA_STAT_service_check_failures);
    sa_json_add_stat(tasks, "service_changes", SA_STAT_service_changes);
    sa_json_add_stat_time(tasks, "last_inventory", SA_STAT_last_inventory);
    sa_json_add_stat(tasks, "inventory_count", SA_STAT_inventory_count);
    sa_json_add_stat(tasks, "inventory_failures", SA_STAT_inventory_failures);
}

/* Of the platform, where it is asked at all. */
static void add_platform(cJSON *json, const sa_command_settings_t *settings)
{
    cJSON *platform;

    if (!settings->platform) {
        return;
    }
    platform = cJSON_AddObjectToObject(json, "platform");
    sa_report_add_identity(platform);
}

/* Of the overlay, where it is ours to keep. */
static void add_nebula(cJSON *json)
{
    cJSON *nebula;

    if (!sa_stats_read(SA_STAT_mesh_enabled)) {
        return;
    }
    nebula = cJSON_AddObjectToObject(json, "nebula");
    cJSON_AddTrueToObject(nebula, "enabled");
    sa_report_add_nebula(nebula, true);
}

/* How old the oldest report is; 0 for one from the future: the clock was wrong once. */
static void add_age(cJSON *json, const char *name, sa_stat_t stat)
{
    apr_time_t time = (apr_time_t)sa_stats_read(stat);
    apr_time_t now = sa_time_now();

    if (time != 0) {
        sa_json_add_count(json, name, (apr_uint64_t)apr_time_sec(now > time ? now - time : 0));
    }
}

static void add_delivery(cJSON *json)
{
    cJSON *delivery = cJSON_AddObjectToObject(json, "delivery");

    sa_json_add_stat(delivery, "accepted", SA_STAT_reports_accepted);
    sa_json_add_stat(delivery, "stored", SA_STAT_reports_stored);
    sa_json_add_rounded(delivery, "accepted_per_second", sa_stats_rate(SA_STAT_reports_accepted));
    sa_json_add_rounded(delivery, "stored_per_second", sa_stats_rate(SA_STAT_reports_stored));
    sa_json_add_stat(delivery, "sent", SA_STAT_reports_sent);
    sa_json_add_stat(delivery, "duplicate", SA_STAT_reports_duplicate);
    sa_json_add_stat(delivery, "refused", SA_STAT_reports_refused);
    sa_json_add_stat(delivery, "dropped", SA_STAT_reports_dropped);
    sa_json_add_stat(delivery, "quarantined", SA_STAT_reports_quarantined);
    sa_json_add_stat(delivery, "waiting", SA_STAT_spool_reports);
    sa_json_add_stat(delivery, "waiting_bytes", SA_STAT_spool_bytes);
    sa_json_add_stat_time(delivery, "oldest", SA_STAT_spool_oldest_at);
    add_age(delivery, "oldest_age_seconds", SA_STAT_spool_oldest_at);
    sa_json_add_stat(delivery, "doubtful", SA_STAT_reports_doubtful);
    sa_json_add_stat(delivery, "found", SA_STAT_reports_found);
    sa_json_add_stat(delivery, "unchecked", SA_STAT_reports_unchecked);
    sa_json_add_stat_text(delivery, "error", SA_STAT_TEXT_delivery_error);
}

/* A list of the configuration's; what does not fit into a health is counted. */
static void add_list(cJSON *json, const char *name, const apr_array_header_t *list,
                     apr_pool_t *pool)
{
    cJSON *shown = cJSON_AddArrayToObject(json, name);
    size_t bytes = 0;
    int i;

    for (i = 0; i < list->nelts && bytes < LIST_BYTES; i++) {
        const char *text = APR_ARRAY_IDX(list, i, const char *);

        cJSON_AddItemToArray(shown, cJSON_CreateString(text));
        bytes += strlen(text);
    }
    if (i < list->nelts) {
        cJSON_AddNumberToObject(json, apr_pstrcat(pool, name, "_omitted", NULL),
                                list->nelts - i);
    }
}

static void add_config(cJSON *json, const sa_command_settings_t *settings, apr_pool_t *pool)
{
    cJSON *config = cJSON_AddObjectToObject(json, "config");

    cJSON_AddStringToObject(config, "code", settings->code);
    cJSON_AddStringToObject(config, "location", settings->location);
    cJSON_AddStringToObject(config, "subject_prefix", settings->subject_prefix);
    cJSON_AddStringToObject(config, "version", sa_version());
    add_list(config, "enabled_tasks", settings->enabled_tasks, pool);
    add_list(config, "allowed_commands", settings->allowed_commands, pool);
    add_list(config, "allowed_services", settings->allowed_services, pool);
    add_list(config, "allowed_log_paths", settings->allowed_log_paths, pool);
}

static void add_os(cJSON *json, const sa_os_host_t *host)
{
    cJSON *os = cJSON_AddObjectToObject(json, "os");

    cJSON_AddStringToObject(os, "platform", host->platform);
    cJSON_AddStringToObject(os, "name", host->name);
    cJSON_AddStringToObject(os, "version", host->version);
    cJSON_AddStringToObject(os, "build", host->build);
}

sa_error_t *sa_command__health(sa_call_t *call)
{
    cJSON_AddStringToObject(call->reply, "status", sa_health_name(sa_stats_health()));
    add_agent(call->reply, call->pool);
    add_nats(call->reply);
    add_platform(call->reply, call->settings);
    add_nebula(call->reply);
    add_tasks(call->reply);
    add_delivery(call->reply);
    add_config(call->reply, call->settings, call->pool);
    add_os(call->reply, &call->commands->host);
    if (call->commands->checks) {
        call->commands->checks(call->commands->checks_baton, call->reply,
                               call->reply_limit / 2);
    }
    return SA_OK;
}
