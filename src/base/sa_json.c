/* base: JSON on cJSON. */
#include "sa_json.h"

#include <math.h>
#include <string.h>

#include <apr_strings.h>

#include "sa_time.h"

static apr_status_t drop_json(void *json)
{
    cJSON_Delete(json);
    return APR_SUCCESS;
}

cJSON *sa_json_own(cJSON *json, apr_pool_t *pool)
{
    SA_ASSERT(json != NULL);
    apr_pool_cleanup_register(pool, json, drop_json, apr_pool_cleanup_null);
    return json;
}

cJSON *sa_json_object(apr_pool_t *pool)
{
    return sa_json_own(cJSON_CreateObject(), pool);
}

sa_error_t *sa_json_parse(cJSON **json, const char *text, size_t length, apr_pool_t *pool)
{
    const char *end = NULL;
    cJSON *parsed;

    *json = NULL;
    /* cJSON stops at a NUL; what a requester hides behind one is not JSON. */
    if (memchr(text, '\0', length)) {
        return sa_error(SA_ERR_PARSE, NULL, "a NUL byte in JSON text");
    }
    parsed = cJSON_ParseWithLengthOpts(text, length, &end, 0);
    if (!parsed) {
        return sa_error(SA_ERR_PARSE, NULL, "not JSON, at byte %" APR_SIZE_T_FMT,
                        end ? (apr_size_t)(end - text) : 0);
    }
    sa_json_own(parsed, pool);
    while (end < text + length && strchr(" \t\r\n", *end)) {
        end++;
    }
    if (end != text + length) {
        return sa_error(SA_ERR_PARSE, NULL, "bytes behind the JSON value, at byte %" APR_SIZE_T_FMT,
                        (apr_size_t)(end - text));
    }
    if (!cJSON_IsObject(parsed)) {
        return sa_error(SA_ERR_PARSE, NULL, "not a JSON object");
    }
    *json = parsed;
    return SA_OK;
}

const char *sa_json_text(const cJSON *json, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItem(json, name));
}

bool sa_json_number(const cJSON *json, const char *name, double *number)
{
    const cJSON *item = cJSON_GetObjectItem(json, name);

    if (!cJSON_IsNumber(item)) {
        return false;
    }
    *number = item->valuedouble;
    return true;
}

void sa_json_add_time(cJSON *json, const char *name, apr_time_t time)
{
    char text[SA_TIME_TEXT];

    cJSON_AddStringToObject(json, name, sa_time_format(text, time));
}

double sa_json_round(double number)
{
    if (!isfinite(number)) {
        return 0.0;
    }
    return round(number * 100.0) / 100.0;
}

void sa_json_add_rounded(cJSON *json, const char *name, double number)
{
    cJSON_AddNumberToObject(json, name, sa_json_round(number));
}

void sa_json_add_count(cJSON *json, const char *name, apr_uint64_t count)
{
    cJSON_AddNumberToObject(json, name, (double)count);
}

const char *sa_json_print(const cJSON *json, size_t *length, apr_pool_t *pool)
{
    char *printed = cJSON_PrintUnformatted(json);
    const char *copy;

    SA_ASSERT(printed != NULL);
    copy = apr_pstrdup(pool, printed);
    cJSON_free(printed);
    if (length) {
        *length = strlen(copy);
    }
    return copy;
}
