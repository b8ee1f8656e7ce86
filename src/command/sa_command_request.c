/* command: what handlers read of a request. */
#include "sa_command_private.h"

sa_error_t *sa_command__get_text(const char **text, const cJSON *request, const char *name)
{
    const cJSON *item = cJSON_GetObjectItem(request, name);

    if (!item || cJSON_IsNull(item)) {
        return SA_OK;
    }
    if (!cJSON_IsString(item)) {
        return sa_error(SA_ERR_REQUEST_FORMAT, NULL, "Invalid request format");
    }
    *text = item->valuestring;
    return SA_OK;
}
