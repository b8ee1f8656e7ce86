/* The server's first line: what we take from it, and what nats.c is not to see.  No sockets:
 * what comes from a server is not trusted, and this is fuzzed. */
#include "sa_link_private.h"

#include <string.h>

#include "sa_json.h"

static bool read_flag(const cJSON *json, const char *name)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, name));
}

sa_error_t *sa_link__info_parse(sa_link__info_t *info, const char *text, size_t length,
                                apr_pool_t *pool)
{
    const cJSON *number;
    cJSON *json;

    memset(info, 0, sizeof(*info));
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'
                          || text[length - 1] == ' ')) {
        length--;
    }
    if (length < 5 || memcmp(text, "INFO ", 5) != 0) {
        return sa_error(SA_ERR_PARSE, NULL, "the server's first line is not INFO");
    }
    SA_TRY_MSG(sa_json_parse(&json, text + 5, length - 5, pool),
               "the server's INFO cannot be read");
    info->tls_required = read_flag(json, "tls_required");
    info->tls_available = read_flag(json, "tls_available");
    info->tls_verify = read_flag(json, "tls_verify");
    number = cJSON_GetObjectItemCaseSensitive(json, "max_payload");
    if (!cJSON_IsNumber(number) || !(number->valuedouble >= 1)) {
        return sa_error(SA_ERR_PARSE, NULL, "the server's INFO has no max_payload above zero");
    }
    info->max_payload = number->valuedouble > SA_LINK_PAYLOAD_CAP
        ? SA_LINK_PAYLOAD_CAP : (apr_int64_t)number->valuedouble;
    return SA_OK;
}

/* A key of the line, with its quotes: within a string they would be escaped, so these bytes are
 * nowhere else. */
static void hide(char *line, size_t length, const char *key)
{
    size_t key_length = strlen(key);

    for (size_t i = 0; i + key_length <= length; i++) {
        if (memcmp(line + i, key, key_length) == 0) {
            line[i + 1] = '-';
            i += key_length - 1;
        }
    }
}

void sa_link__info_hide(char *line, size_t length)
{
    static const char *const keys[] = {"\"tls_required\"", "\"tls_available\"",
                                       "\"connect_urls\"", "\"ws_connect_urls\""};

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        hide(line, length, keys[i]);
    }
}
