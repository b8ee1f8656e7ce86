/* outbox: the identity and the overlay for whoever tells of them. */
#include "sa_report_state.h"

#include <apr_strings.h>

void sa_report_add_identity(cJSON *object)
{
    sa_json_add_stat_text(object, "state", SA_STAT_TEXT_identity_state);
    sa_json_add_stat_text(object, "error", SA_STAT_TEXT_identity_error);
    sa_json_add_stat_time(object, "last_sync", SA_STAT_identity_synced_at);
    sa_json_add_stat_time(object, "next_sync", SA_STAT_identity_due_at);
    sa_json_add_stat_time(object, "session_expires", SA_STAT_identity_session_expires);
}

static void add_flag(cJSON *object, const char *name, sa_stat_t stat)
{
    cJSON_AddBoolToObject(object, name, sa_stats_read(stat) != 0);
}

/* Networks beyond the overlay that are reached through it. */
static void add_networks(cJSON *object)
{
    cJSON *networks = cJSON_AddArrayToObject(object, "unsafe_networks");
    char text[SA_STAT_TEXT_SIZE];
    char *rest = text;
    char *one;

    sa_stats_text(SA_STAT_TEXT_mesh_routes, text);
    for (one = apr_strtok(rest, " ", &rest); one; one = apr_strtok(NULL, " ", &rest)) {
        cJSON_AddItemToArray(networks, cJSON_CreateString(one));
    }
}

void sa_report_add_nebula(cJSON *object, bool whole)
{
    add_flag(object, "running", SA_STAT_mesh_running);
    if (whole) {
        cJSON_AddStringToObject(object, "source", "platform");
    }
    sa_json_add_stat_text(object, "overlay_ip", SA_STAT_TEXT_mesh_overlay_ip);
    sa_json_add_stat(object, "tunnels", SA_STAT_mesh_tunnels);
    add_flag(object, "lighthouse_up", SA_STAT_mesh_lighthouse_up);
    sa_json_add_stat_time(object, "cert_expires_at", SA_STAT_mesh_cert_expires);
    if (whole) {
        sa_json_add_stat_text(object, "config_revision", SA_STAT_TEXT_mesh_revision);
        sa_json_add_stat_time(object, "last_sync", SA_STAT_identity_synced_at);
    }
    add_flag(object, "rolled_back", SA_STAT_mesh_rolled_back);
    if (whole) {
        add_networks(object);
    }
    sa_json_add_stat_text(object, "error", SA_STAT_TEXT_mesh_error);
}
