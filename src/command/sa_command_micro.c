/* command: the NATS micro service stone-agent (nats-io/nats-architecture-and-
 * design, ADR-32): PING, INFO and STATS on $SRV. */
#include <string.h>

#include <apr_atomic.h>
#include <apr_strings.h>

#include "sa_command_private.h"
#include "sa_link.h"
#include "sa_stats.h"
#include "sa_time.h"
#include "sa_version.h"

#define SERVICE_NAME "stone-agent"

static cJSON *begin(const sa_commands_t *commands, const sa_command_settings_t *settings,
                    const char *type, apr_pool_t *pool)
{
    cJSON *json = sa_json_object(pool);
    cJSON *metadata;

    cJSON_AddStringToObject(json, "type", type);
    cJSON_AddStringToObject(json, "name", SERVICE_NAME);
    cJSON_AddStringToObject(json, "id", commands->service_id);
    cJSON_AddStringToObject(json, "version", sa_version());
    metadata = cJSON_AddObjectToObject(json, "metadata");
    cJSON_AddStringToObject(metadata, "code", settings->code);
    cJSON_AddStringToObject(metadata, "location", settings->location);
    cJSON_AddStringToObject(metadata, "os", commands->host.platform);
    return json;
}

static cJSON *add_endpoint(cJSON *endpoints, const sa_command_row_t *row,
                           const sa_command_settings_t *settings, apr_pool_t *pool)
{
    cJSON *endpoint = cJSON_CreateObject();

    cJSON_AddItemToArray(endpoints, endpoint);
    cJSON_AddStringToObject(endpoint, "name", row->name);
    cJSON_AddStringToObject(endpoint, "subject",
                            apr_psprintf(pool, "%s.%s.cmd.%s", settings->subject_prefix,
                                         settings->code, row->name));
    /* every agent answers for itself */
    cJSON_AddStringToObject(endpoint, "queue_group", "");
    return endpoint;
}

static void add_info(cJSON *json, const sa_commands_t *commands,
                     const sa_command_settings_t *settings, apr_pool_t *pool)
{
    cJSON *endpoints;

    cJSON_AddStringToObject(json, "description", "Stone-Age agent");
    endpoints = cJSON_AddArrayToObject(json, "endpoints");
    for (int i = 0; i < commands->table_length; i++) {
        add_endpoint(endpoints, &commands->table[i], settings, pool);
    }
}

static void add_counts(cJSON *endpoint, sa_command_count_t *counts)
{
    apr_uint64_t requests = apr_atomic_read64(&counts->requests);
    apr_uint64_t busy_ns = apr_atomic_read64(&counts->busy_us) * 1000;

    sa_json_add_count(endpoint, "num_requests", requests);
    sa_json_add_count(endpoint, "num_errors", apr_atomic_read64(&counts->errors));
    cJSON_AddStringToObject(endpoint, "last_error", "");
    sa_json_add_count(endpoint, "processing_time", busy_ns);
    sa_json_add_count(endpoint, "average_processing_time", requests ? busy_ns / requests : 0);
}

static void add_stats(cJSON *json, sa_commands_t *commands,
                      const sa_command_settings_t *settings, apr_pool_t *pool)
{
    apr_interval_time_t uptime = sa_time_mono() - (apr_time_t)sa_stats_read(SA_STAT_started_at);
    cJSON *endpoints;

    sa_json_add_time(json, "started", sa_time_now() - uptime);
    endpoints = cJSON_AddArrayToObject(json, "endpoints");
    for (int i = 0; i < commands->table_length; i++) {
        add_counts(add_endpoint(endpoints, &commands->table[i], settings, pool),
                   &commands->counts[i]);
    }
}

void sa_command__micro(sa_commands_t *commands, const sa_command_settings_t *settings,
                       const sa_link_message_t *message, apr_pool_t *pool)
{
    const char *verb = sa_link_message_subject(message) + strlen("$SRV.");
    size_t length = strcspn(verb, ".");
    cJSON *json;

    if (length == 4 && strncmp(verb, "PING", length) == 0) {
        json = begin(commands, settings, "io.nats.micro.v1.ping_response", pool);
    } else if (length == 4 && strncmp(verb, "INFO", length) == 0) {
        json = begin(commands, settings, "io.nats.micro.v1.info_response", pool);
        add_info(json, commands, settings, pool);
    } else if (length == 5 && strncmp(verb, "STATS", length) == 0) {
        json = begin(commands, settings, "io.nats.micro.v1.stats_response", pool);
        add_stats(json, commands, settings, pool);
    } else {
        return;         /* a verb of another service's */
    }
    sa_command__reply(commands, settings, message, NULL, json, pool);
}
