/* command: rotate_creds.  Has the platform make new credentials, and puts them in place.
 *
 * The answer goes out over the connection that is there; then it is made anew. */
#include "sa_command_private.h"

sa_error_t *sa_command__rotate_creds(sa_call_t *call)
{
    sa_commands_t *commands = call->commands;
    bool changed = false;
    sa_error_t *err;

    if (!call->settings->platform || !commands->rotate) {
        cJSON_AddFalseToObject(call->reply, "changed");
        return sa_error(SA_ERR_REFUSED, NULL,
                        "credential rotation requires stone-age auth (this agent uses %s)",
                        call->settings->auth_type);
    }
    err = commands->rotate(commands->rotate_baton, &changed);
    call->renews = changed;
    if (!err) {
        cJSON_AddStringToObject(call->reply, "status", "success");
    }
    cJSON_AddBoolToObject(call->reply, "changed", changed);
    return err;
}
