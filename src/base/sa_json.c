/* base: JSON on cJSON. */
#include "sa_json.h"

#include <math.h>
#include <string.h>

#include <apr_lib.h>
#include <apr_encode.h>
#include <apr_strings.h>

#include "sa_pool.h"
#include "sa_text.h"
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

/* cJSON decodes \u0000 to the NUL that ends its strings: what stands behind it would be
 * seen by whoever looks at the text, and not by us. */
static bool has_escaped_nul(const char *text, size_t length)
{
    for (size_t i = 0; i + 5 < length; i++) {
        if (text[i] != '\\') {
            continue;
        }
        if (memcmp(text + i + 1, "u0000", 5) == 0) {
            return true;
        }
        i++;        /* an escaped backslash escapes nothing more */
    }
    return false;
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
    if (has_escaped_nul(text, length)) {
        return sa_error(SA_ERR_PARSE, NULL, "an escaped NUL (\\u0000) in JSON text");
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

static bool is_same_name(const char *a, const char *b)
{
    while (*a && apr_tolower(*a) == apr_tolower(*b)) {
        a++;
        b++;
    }
    return *a == *b;
}

sa_error_t *sa_json_check_names(const cJSON *object, const char *what, int limit)
{
    const cJSON *item;
    int count = 0;

    cJSON_ArrayForEach(item, object) {
        count++;
        if (count > limit) {
            return sa_error(SA_ERR_REFUSED, NULL, "%s has more than %d members", what, limit);
        }
        for (const cJSON *other = object->child; other != item; other = other->next) {
            if (is_same_name(other->string, item->string)) {
                return sa_error(SA_ERR_REFUSED, NULL, "%s has a member twice", what);
            }
        }
    }
    return SA_OK;
}

sa_error_t *sa_json_claims(cJSON **claims, const char *text, apr_pool_t *pool)
{
    const char *first = strchr(text, '.');
    const char *second = first ? strchr(first + 1, '.') : NULL;
    apr_size_t length = 0;
    const char *json = NULL;

    if (second) {
        json = apr_pdecode_base64(pool, first + 1, second - first - 1, APR_ENCODE_NONE, &length);
    }
    return json ? sa_json_parse(claims, json, length, pool)
                : sa_error(SA_ERR_PARSE, NULL, "not a JWT");
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

/* How many bytes of TEXT are no UTF-8; *LENGTH: all of them. */
static size_t count_bad(size_t *length, const char *text)
{
    size_t bad = 0;
    size_t at;

    *length = strlen(text);
    at = sa_text_ascii(text, *length);
    while (at < *length) {
        uint32_t point;
        int sequence = sa_text_decode(&point, text + at, *length - at);

        bad += sequence == 0;
        at += sequence == 0 ? 1 : (size_t)sequence;
        at += sa_text_ascii(text + at, *length - at);
    }
    return bad;
}

/* TEXT with U+FFFD for each of its BAD bytes. */
static const char *mend(const char *text, size_t length, size_t bad, apr_pool_t *pool)
{
    static const char mark[] = "\xef\xbf\xbd";
    char *mended = apr_palloc(pool, length + bad * (sizeof(mark) - 2) + 1);
    const char *end = text + length;
    char *put = mended;

    while (text < end) {
        uint32_t point;
        int sequence = sa_text_decode(&point, text, (size_t)(end - text));

        if (sequence == 0) {
            memcpy(put, mark, sizeof(mark) - 1);
            put += sizeof(mark) - 1;
            text++;
        } else {
            memcpy(put, text, (size_t)sequence);
            put += sequence;
            text += sequence;
        }
    }
    *put = '\0';
    return mended;
}

const char *sa_json_print(const cJSON *json, size_t *length, apr_pool_t *pool)
{
    char *printed = cJSON_PrintUnformatted(json);
    const char *copy;
    size_t all;
    size_t bad;

    SA_ASSERT(printed != NULL);
    bad = count_bad(&all, printed);
    copy = bad == 0 ? apr_pstrmemdup(pool, printed, all) : mend(printed, all, bad, pool);
    cJSON_free(printed);
    if (length) {
        *length = strlen(copy);
    }
    return copy;
}

#define SECRET_MAX ((size_t)16 * 1024 * 1024)

/* Into memory of ours: cJSON's own buffers grow by copying and are freed as they are. */
const char *sa_json_print_secret(const cJSON *json, size_t *length, apr_pool_t *pool)
{
    for (size_t size = 1024; size <= SECRET_MAX; size *= 2) {
        char *text = apr_palloc(pool, size);

        sa_pool_wipe_later(text, size, pool);
        if (cJSON_PrintPreallocated((cJSON *)json, text, (int)size, 0)) {
            if (length) {
                *length = strlen(text);
            }
            return text;
        }
    }
    SA_ASSERT(!"a secret of a reasonable size");
    return NULL;
}

void sa_json_add_stat(cJSON *object, const char *name, sa_stat_t stat)
{
    sa_json_add_count(object, name, sa_stats_read(stat));
}

void sa_json_add_stat_time(cJSON *object, const char *name, sa_stat_t stat)
{
    apr_time_t time = (apr_time_t)sa_stats_read(stat);

    if (time != 0) {
        sa_json_add_time(object, name, time);
    }
}

void sa_json_add_stat_text(cJSON *object, const char *name, sa_stat_text_t stat)
{
    char text[SA_STAT_TEXT_SIZE];

    if (*sa_stats_text(stat, text)) {
        cJSON_AddStringToObject(object, name, text);
    }
}
