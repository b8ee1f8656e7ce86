/* outbox: the words and members that tell of a service. */
#include "sa_report_service.h"

#include <string.h>

#include <apr_strings.h>

const char *sa_report_service_word(sa_os_service_status_t status)
{
    static const char *const words[] = {
        [SA_OS_SERVICE_UNKNOWN] = "Unknown", [SA_OS_SERVICE_RUNNING] = "Running",
        [SA_OS_SERVICE_STOPPED] = "Stopped", [SA_OS_SERVICE_STARTING] = "Starting",
        [SA_OS_SERVICE_STOPPING] = "Stopping", [SA_OS_SERVICE_FAILED] = "Error",
        [SA_OS_SERVICE_NOT_INSTALLED] = "NotInstalled"
    };

    return words[status];
}

void sa_report_add_word(cJSON *json, const char *name, const char *value)
{
    if (*value) {
        cJSON_AddStringToObject(json, name, value);
    }
}

static void add_prefixed(cJSON *json, const char *prefix, const char *name, const char *value)
{
    char member[32];

    apr_snprintf(member, sizeof(member), "%s%s", prefix, name);
    sa_report_add_word(json, member, value);
}

static void add_facts(cJSON *json, const sa_os_service_state_t *state, const char *prefix)
{
    sa_report_add_word(json, "substate", state->substate);
    if (strcmp(state->load, "loaded") != 0) {
        sa_report_add_word(json, "load", state->load);
    }
    if (state->has_restarts) {
        sa_json_add_count(json, "restarts", state->restarts);
    }
    add_prefixed(json, prefix, "result", state->result);
    if (state->has_exit_code) {
        cJSON_AddNumberToObject(json, "exit_code", state->exit_code);
    } else if (state->signal) {
        cJSON_AddStringToObject(json, "signal", state->signal);
    }
    if (state->since > 0) {
        sa_json_add_time(json, "since", state->since);
    }
}

void sa_report_add_service(cJSON *json, const char *name, const sa_os_service_state_t *state,
                           const char *prefix)
{
    add_prefixed(json, prefix, "status", sa_report_service_word(state->status));
    if (strcmp(state->unit, name) != 0) {
        sa_report_add_word(json, "unit", state->unit);
    }
    if (state->status != SA_OS_SERVICE_NOT_INSTALLED) {
        add_facts(json, state, prefix);
    } else if (strcmp(state->substate, "dead") != 0) {
        /* its file is gone, and still it runs */
        sa_report_add_word(json, "substate", state->substate);
    }
}
