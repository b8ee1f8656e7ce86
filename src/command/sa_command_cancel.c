/* command: cancel.  Ends a request of one's own, whether it runs or waits.
 *
 *     {"id": ID}  ->  {"status": "success", "cancelled": ID, "was": "running" | "waiting"}
 *
 * What runs answers for itself, to its own requester, when all of it is gone.  The
 * dispatcher's thread: it must work when every worker is busy. */
#include "sa_command_private.h"

#include <apr_strings.h>

static sa_error_t *refuse(sa_command__stopped_t why, const sa_call_t *call, const char *id)
{
    if (why == SA_COMMAND__FOREIGN) {
        return sa_error(SA_ERR_REFUSED, NULL, "the request %s is another requester's", id);
    }
    if (why == SA_COMMAND__STOPPED_BEFORE) {
        return sa_error(SA_ERR_REFUSED, NULL, "the request %s is being ended already", id);
    }
    if (sa_command__ids_has(call->commands->ids, id)) {
        return sa_error(SA_ERR_REFUSED, NULL, "the request %s has ended", id);
    }
    return sa_error(SA_ERR_REFUSED, NULL, "no request %s runs or waits here", id);
}

sa_error_t *sa_command__cancel(sa_call_t *call)
{
    const char *id = sa_json_text(call->request, "id");
    sa_call_t *taken_out = NULL;
    sa_command__stopped_t stopped;

    if (!id || !sa_command__is_id(id)) {
        return sa_error(SA_ERR_REQUEST_FORMAT, NULL, "cancel needs the id of a request");
    }
    call->what = apr_pstrdup(call->pool, id);
    stopped = sa_command__lanes_cancel(call->commands->lanes, id, call->requester, &taken_out);
    if (stopped != SA_COMMAND__STOPPED && stopped != SA_COMMAND__TAKEN_OUT) {
        return refuse(stopped, call, id);
    }
    if (taken_out) {
        sa_command__call_refuse(taken_out, sa_error(SA_ERR_CANCELLED, NULL, NULL));
        sa_command__call_end(taken_out);
    }
    cJSON_AddStringToObject(call->reply, "status", "success");
    cJSON_AddStringToObject(call->reply, "cancelled", id);
    cJSON_AddStringToObject(call->reply, "was", taken_out ? "waiting" : "running");
    return SA_OK;
}
