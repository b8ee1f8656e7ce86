/* command: service.  One of allowed_services started, stopped, restarted, reloaded or
 * looked at.
 *
 *     {"action": "start" | "stop" | "restart" | "reload" | "status", "service_name": NAME}
 *
 * The list is asked before anything else, and what it was asked about is what is acted
 * on.  A worker's thread. */
#include <string.h>

#include <apr_strings.h>

#include "sa_command_policy.h"
#include "sa_command_private.h"
#include "sa_os_service_control.h"
#include "sa_report_service.h"
#include "sa_text.h"
#include "sa_time.h"

#define SERVICE_TIMEOUT (30 * APR_INT64_C(1000000))
/* What of a requester's text is repeated to it. */
#define SHOWN_MAX 256

static const struct {
    const char *word;
    sa_os_service_action_t action;
} actions[] = {
    {"start", SA_OS_SERVICE_START}, {"stop", SA_OS_SERVICE_STOP},
    {"restart", SA_OS_SERVICE_RESTART}, {"reload", SA_OS_SERVICE_RELOAD},
    {"status", SA_OS_SERVICE_STATUS},
};

/* ---- the request ---------------------------------------------------------- */

/* TEXT of the requester, if it may stand in a message. */
static const char *shown(const char *text)
{
    size_t length = strlen(text);

    return length > SHOWN_MAX || sa_text_fault(text, length) ? "(not printable)" : text;
}

static sa_error_t *find_action(sa_os_service_action_t *action, const char *word)
{
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (strcmp(actions[i].word, word) == 0) {
            *action = actions[i].action;
            return SA_OK;
        }
    }
    return sa_error(SA_ERR_REQUEST_FORMAT, NULL,
                    "invalid action: %s (must be start, stop, restart, reload, or status)",
                    shown(word));
}

/* ---- the reply ------------------------------------------------------------ */

/* How it is, behind a sentence about what went wrong. */
static const char *describe(const sa_os_service_state_t *state, apr_pool_t *pool)
{
    const char *text = sa_report_service_word(state->status);

    if (*state->result && strcmp(state->result, "success") != 0) {
        text = apr_pstrcat(pool, text, ", result: ", state->result, NULL);
    }
    if (state->has_exit_code && state->exit_code != 0) {
        text = apr_psprintf(pool, "%s, exit code: %d", text, state->exit_code);
    } else if (state->signal) {
        text = apr_pstrcat(pool, text, ", signal: ", state->signal, NULL);
    }
    return apr_pstrcat(pool, " (status: ", text, ")", NULL);
}

/* ERR, which is cleared, in the words of the contract.  Its causes are systemd's and ours,
 * and name no path. */
static sa_error_t *failure(sa_error_t *err, const char *action, const char *name,
                           const sa_os_service_state_t *state, apr_pool_t *pool)
{
    bool tried = err->code != SA_ERR_DENIED && err->code != SA_ERR_REFUSED && *state->unit;
    char text[1024];
    sa_error_t *told;

    sa_error_text(err, text, sizeof(text));
    told = sa_error(err->code, NULL, "systemctl %s %s failed: %s%s", action, name, text,
                    tried ? describe(state, pool) : "");
    sa_error_clear(err);
    return told;
}

sa_error_t *sa_command__service(sa_call_t *call)
{
    sa_os_service_state_t *state = apr_pcalloc(call->pool, sizeof(*state));
    sa_os_service_action_t action = SA_OS_SERVICE_STATUS;
    const char *name = "";
    const char *word = "";
    sa_error_t *err;

    SA_TRY(sa_command__get_text(&name, call->request, "service_name"));
    SA_TRY(sa_command__get_text(&word, call->request, "action"));
    if (!sa_command_policy_allows_service(call->settings->policy, name)) {
        return sa_error(SA_ERR_REFUSED, NULL, "service not in allowed list: %s", shown(name));
    }
    SA_TRY(find_action(&action, word));
    SA_TRY(sa_command__begin(call, apr_pstrcat(call->pool, word, " ", name, NULL), NULL));
    err = sa_os_service_control(state, action, name, sa_time_mono() + SERVICE_TIMEOUT,
                                call->cancel, call->pool);
    cJSON_AddStringToObject(call->reply, "service_name", name);
    cJSON_AddStringToObject(call->reply, "action", word);
    if (*state->unit) {
        /* the reply has a status and a result of its own */
        sa_report_add_service(call->reply, name, state, "service_");
    }
    if (err) {
        return failure(err, word, name, state, call->pool);
    }
    cJSON_AddStringToObject(call->reply, "status", "success");
    cJSON_AddStringToObject(call->reply, "result",
                            apr_psprintf(call->pool, "Service %s %s successfully (status: %s)",
                                         name, word, sa_report_service_word(state->status)));
    return SA_OK;
}
