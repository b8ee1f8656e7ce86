/* command: nebula.  Has the overlay's configuration fetched and tried anew, or Nebula restarted.
 *
 *     {"action": "sync" | "restart"}
 *
 * The answer goes out first: the bus may be reached through the overlay. */
#include <string.h>

#include "sa_command_private.h"
#include "sa_text.h"

/* What of a requester's text is repeated to it. */
#define SHOWN_MAX 256

sa_error_t *sa_command__nebula(sa_call_t *call)
{
    const char *action = "";
    bool restart;

    SA_TRY(sa_command__get_text(&action, call->request, "action"));
    restart = strcmp(action, "restart") == 0;
    if (!restart && strcmp(action, "sync") != 0) {
        size_t length = strlen(action);

        return sa_error(SA_ERR_REQUEST_FORMAT, NULL,
                        "invalid action: %s (must be sync or restart)",
                        length > SHOWN_MAX || sa_text_fault(action, length) ? "(not printable)"
                                                                            : action);
    }
    if (!call->commands->nebula) {
        return sa_error(SA_ERR_REFUSED, NULL, "nebula is not enabled on this agent");
    }
    SA_TRY(call->commands->nebula(call->commands->nebula_baton, restart));
    cJSON_AddStringToObject(call->reply, "status", "accepted");
    cJSON_AddStringToObject(call->reply, "action", action);
    return SA_OK;
}
