/* mesh: what Nebula says, as far as it matters here.
 *
 * Our own file makes it write JSON objects, one a line.  What it says before it has read that,
 * or when it dies of a bug, is text.  Only the reason of an error is kept of a line, and
 * that is scrubbed. */
#include "sa_mesh_private.h"

#include <stdio.h>
#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>

#include "sa_json.h"
#include "sa_pool.h"

/* No word of a reason is as long as this; a key of 32 bytes has 44 letters in base64. */
#define SECRET_LENGTH 20
#define PLAIN "failed to load config"

/* ---- scrubbing ------------------------------------------------------------------------ */

static bool is_of_key(char c)
{
    return apr_isalnum(c) || c == '+' || c == '/' || c == '=' || c == '_';
}

static void append(char *words, size_t size, size_t *used, const char *text, size_t length)
{
    for (size_t i = 0; i < length && *used + 1 < size; i++) {
        unsigned char c = (unsigned char)text[i];

        words[*used] = c >= 0x20 && c < 0x7f ? (char)c : '?';
        (*used)++;
    }
    words[*used] = '\0';
}

void sa_mesh__scrub(char *words, size_t size, const char *text, size_t length)
{
    size_t used = 0;
    size_t i = 0;

    *words = '\0';
    while (i < length) {
        size_t run = 0;

        while (i + run < length && is_of_key(text[i + run])) {
            run++;
        }
        if (run >= SECRET_LENGTH) {
            append(words, size, &used, "...", 3);
        } else {
            append(words, size, &used, text + i, run > 0 ? run : 1);
        }
        i += run > 0 ? run : 1;
    }
}

/* ---- a line --------------------------------------------------------------------------- */

static const struct {
    const char *message;
    sa_mesh__said_t said;
} messages[] = {
    {"Nebula interface is active", SA_MESH__SAID_ACTIVE},
    {"Handshake message received", SA_MESH__SAID_HANDSHAKE},
    {"Handshake timed out", SA_MESH__SAID_TIMED_OUT},
    {"Close tunnel received, tearing down.", SA_MESH__SAID_CLOSED},
    {"Close tunnel received", SA_MESH__SAID_CLOSED},
    {"Caught HUP, reloading config", SA_MESH__SAID_RELOADING},
    {"Caught signal, shutting down", SA_MESH__SAID_ENDING},
};

static void take_address(sa_mesh__line_t *line, const cJSON *json)
{
    const cJSON *addresses = cJSON_GetObjectItem(json, "vpnAddrs");
    const char *address = cJSON_GetStringValue(cJSON_GetArrayItem(addresses, 0));

    if (address) {
        apr_cpystrn(line->address, address, sizeof(line->address));
    }
}

/* "Tunnel status" with {"state": "dead"}. */
static bool is_dead_tunnel(const cJSON *json, const char *message)
{
    const char *state = sa_json_text(cJSON_GetObjectItem(json, "tunnelCheck"), "state");

    return strcmp(message, "Tunnel status") == 0 && state && strcmp(state, "dead") == 0;
}

/* Errors of the network, which are no errors of what we have told it. */
static bool is_of_network(const char *message)
{
    static const char *const words[] = {"handshake", "send", "packet", "udp", "write"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strstr(message, words[i])) {
            return true;
        }
    }
    return false;
}

static bool is_error(const cJSON *json)
{
    const char *level = sa_json_text(json, "level");

    return level && (apr_strnatcasecmp(level, "error") == 0
                     || apr_strnatcasecmp(level, "fatal") == 0
                     || apr_strnatcasecmp(level, "panic") == 0);
}

static void take_words(sa_mesh__line_t *line, const cJSON *json, const char *message,
                       apr_pool_t *pool)
{
    const char *reason = sa_json_text(json, "error");
    const char *words = reason ? apr_pstrcat(pool, message, ": ", reason, NULL) : message;

    line->said = SA_MESH__SAID_WRONG;
    sa_mesh__scrub(line->words, sizeof(line->words), words, strlen(words));
}

/* "2026-11-24T13:39:52.486496345Z", or with the zone's distance; seconds suffice. */
static apr_time_t time_of(const char *text)
{
    apr_time_exp_t parts = {0};
    apr_time_t time = 0;
    char sign = 'Z';
    int hours = 0;
    int minutes = 0;
    const char *zone = text ? strpbrk(text + strcspn(text, "T"), "Z+-") : NULL;

    if (!zone || sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d", &parts.tm_year, &parts.tm_mon,
                        &parts.tm_mday, &parts.tm_hour, &parts.tm_min, &parts.tm_sec) != 6) {
        return 0;
    }
    parts.tm_year -= 1900;
    parts.tm_mon -= 1;
    if (*zone != 'Z' && sscanf(zone, "%c%2d:%2d", &sign, &hours, &minutes) != 3) {
        return 0;
    }
    parts.tm_gmtoff = (sign == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
    return apr_time_exp_gmt_get(&time, &parts) == APR_SUCCESS ? time : 0;
}

static void read_object(sa_mesh__line_t *line, const cJSON *json, apr_pool_t *pool)
{
    const char *message = sa_json_text(json, "msg");

    message = message ? message : "";
    line->at = time_of(sa_json_text(json, "time"));
    take_address(line, json);
    if (is_error(json) && !is_of_network(message)) {
        take_words(line, json, message, pool);
        return;
    }
    if (is_dead_tunnel(json, message)) {
        line->said = SA_MESH__SAID_CLOSED;
        return;
    }
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        if (strcmp(messages[i].message, message) == 0) {
            line->said = messages[i].said;
            return;
        }
    }
}

void sa_mesh__line_read(sa_mesh__line_t *line, const char *text, size_t length,
                        apr_pool_t *scratch_pool)
{
    cJSON *json;
    sa_error_t *err;

    memset(line, 0, sizeof(*line));
    if (length > 0 && *text == '{') {
        err = sa_json_parse(&json, text, length, scratch_pool);
        if (!err) {
            read_object(line, json, scratch_pool);
        }
        sa_error_clear(err);        /* a line that is cut, or no line of its log */
    } else if (length > strlen(PLAIN) && memcmp(text, PLAIN, strlen(PLAIN)) == 0) {
        line->said = SA_MESH__SAID_WRONG;
        sa_mesh__scrub(line->words, sizeof(line->words), text, length);
    }
}

/* ---- lines ---------------------------------------------------------------------------- */

static void end_line(sa_mesh__lines_t *lines, sa_mesh__line_fn_t fn, void *baton)
{
    if (!lines->skips && lines->length > 0) {
        fn(baton, lines->data, lines->length);
    }
    sa_wipe(lines->data, lines->length);
    lines->length = 0;
    lines->skips = false;
}

void sa_mesh__lines_add(sa_mesh__lines_t *lines, const char *data, size_t length,
                        sa_mesh__line_fn_t fn, void *baton)
{
    for (size_t i = 0; i < length; i++) {
        if (data[i] == '\n') {
            end_line(lines, fn, baton);
        } else if (lines->length < SA_MESH__LINE_MAX) {
            lines->data[lines->length] = data[i];
            lines->length++;
        } else {
            lines->skips = true;
        }
    }
}

void sa_mesh__lines_end(sa_mesh__lines_t *lines, sa_mesh__line_fn_t fn, void *baton)
{
    end_line(lines, fn, baton);
}
