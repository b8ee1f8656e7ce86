/* command: ping. */
#include "sa_command_private.h"

sa_error_t *sa_command__ping(sa_call_t *call)
{
    cJSON_AddStringToObject(call->reply, "status", "pong");
    return SA_OK;
}
