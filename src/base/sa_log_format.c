/* base: an event as a line of text or JSON.
 *
 * Values come from the network, files and children: control characters never
 * reach a terminal, and a value cannot look like a field of ours. */
#include "sa_log_format.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <apr_strings.h>

#include "sa_text.h"
#include "sa_time.h"

/* Room kept for the mark of a cut and the end of the line. */
#define TAIL 16

typedef struct line_t {
    char *text;
    size_t length;
    bool cut;
} line_t;

static void put(line_t *line, const char *text, size_t length)
{
    if (line->length + length > SA_LOG_LINE - TAIL) {
        line->cut = true;
        return;
    }
    memcpy(line->text + line->length, text, length);
    line->length += length;
}

static void put_text(line_t *line, const char *text)
{
    put(line, text, strlen(text));
}

/* One character of a JSON string, or of a quoted value. */
static void put_escaped_char(line_t *line, unsigned char c, bool json)
{
    char escape[8];

    if (c == '"' || c == '\\') {
        snprintf(escape, sizeof(escape), "\\%c", c);
    } else if (c == '\n') {
        snprintf(escape, sizeof(escape), "\\n");
    } else if (c < 0x20 || c == 0x7f) {
        snprintf(escape, sizeof(escape), json ? "\\u%04x" : "\\x%02x", c);
    } else {
        snprintf(escape, sizeof(escape), "%c", c);
    }
    put_text(line, escape);
}

static void put_escaped(line_t *line, const char *text, bool json)
{
    const char *end = text + strlen(text);

    while (text < end && !line->cut) {
        uint32_t point;
        int length = sa_text_decode(&point, text, (size_t)(end - text));

        if (length == 0) {
            put_text(line, json ? "\\ufffd" : "\\?");
            text++;
        } else if (length == 1) {
            put_escaped_char(line, (unsigned char)*text, json);
            text++;
        } else {
            put(line, text, (size_t)length);
            text += length;
        }
    }
}

/* Does a value need quotes in text? */
static bool is_plain(const char *text)
{
    if (*text == '\0') {
        return false;
    }
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c <= 0x20 || c >= 0x7f || c == '"' || c == '\\' || c == '=') {
            return false;
        }
    }
    return true;
}

/* FIELD's value as text; *QUOTED says whether JSON needs quotes. */
static const char *value_text(const sa_field_t *field, char *buffer, size_t size, bool *quoted)
{
    char duration[SA_DURATION_TEXT];

    *quoted = true;
    switch (field->type) {
    case SA_FIELD_TYPE_STRING:
        return field->string ? field->string : "";
    case SA_FIELD_TYPE_INT:
        *quoted = false;
        snprintf(buffer, size, "%" APR_INT64_T_FMT, field->number);
        return buffer;
    case SA_FIELD_TYPE_BOOL:
        *quoted = false;
        return field->number ? "true" : "false";
    case SA_FIELD_TYPE_DURATION:
        snprintf(buffer, size, "%s", sa_duration_format(duration, field->number));
        return buffer;
    case SA_FIELD_TYPE_ERROR:
        return sa_error_text(field->error, buffer, size);
    case SA_FIELD_TYPE_SECRET:
    case SA_FIELD_TYPE_END:
        break;
    }
    return "(secret)";
}

static void put_fields_json(line_t *line, const sa_field_t *fields)
{
    char buffer[1024];

    for (; fields->type != SA_FIELD_TYPE_END; fields++) {
        bool quoted;
        const char *text = value_text(fields, buffer, sizeof(buffer), &quoted);
        size_t before = line->length;

        put_text(line, ",\"");
        put_text(line, fields->key);
        put_text(line, quoted ? "\":\"" : "\":");
        put_escaped(line, text, true);
        put_text(line, quoted ? "\"" : "");
        if (line->cut) {
            line->length = before;      /* half a member is no JSON */
            return;
        }
    }
}

static void put_fields_text(line_t *line, const sa_field_t *fields)
{
    char buffer[1024];

    for (; fields->type != SA_FIELD_TYPE_END; fields++) {
        bool quoted;
        const char *text = value_text(fields, buffer, sizeof(buffer), &quoted);
        bool plain = is_plain(text);

        put_text(line, " ");
        put_text(line, fields->key);
        put_text(line, plain ? "=" : "=\"");
        put_escaped(line, text, false);
        put_text(line, plain ? "" : "\"");
    }
}

static void format_json(line_t *line, apr_time_t now, sa_event_t event, const sa_field_t *fields)
{
    const sa_event_row_t *row = sa_event_row(event);
    char time[SA_TIME_TEXT];

    put_text(line, "{\"ts\":\"");
    put_text(line, sa_time_format_ms(time, now));
    put_text(line, "\",\"level\":\"");
    put_text(line, sa_log_level_name(row->level));
    put_text(line, "\",\"event\":\"");
    put_text(line, row->id);
    put_text(line, "\",\"text\":\"");
    put_escaped(line, row->text, true);
    put_text(line, "\"");
    put_fields_json(line, fields);
}

static const char *const colours[] = {"\033[31m", "\033[33m", "\033[32m", "\033[2m"};
/* sd-daemon(3): SD_ERR, SD_WARNING, SD_INFO, SD_DEBUG */
static const char *const journal_levels[] = {"<3>", "<4>", "<6>", "<7>"};

static void format_text(line_t *line, const sa_log_settings_t *settings, apr_time_t now,
                        sa_event_t event, const sa_field_t *fields)
{
    const sa_event_row_t *row = sa_event_row(event);
    char time[SA_TIME_TEXT];
    char level[16];

    if (settings->format == SA_LOG_JOURNAL) {
        put_text(line, journal_levels[row->level]);
    } else {
        put_text(line, sa_time_format_ms(time, now));
        put_text(line, settings->colour ? " " : "");
        put_text(line, settings->colour ? colours[row->level] : " ");
        snprintf(level, sizeof(level), "%-5s", sa_log_level_name(row->level));
        put_text(line, level);
        put_text(line, settings->colour ? "\033[0m " : " ");
    }
    put_text(line, row->id);
    put_text(line, ": ");
    put_text(line, row->text);
    put_fields_text(line, fields);
}

size_t sa_log__format(char text[SA_LOG_LINE], const sa_log_settings_t *settings, apr_time_t now,
                      sa_event_t event, const sa_field_t *fields, unsigned int repeated)
{
    line_t line = {text, 0, false};
    const sa_field_t extra[] = {SA_I("repeated", repeated), SA_FIELD_END};
    bool json = settings->format == SA_LOG_JSON;

    if (json) {
        format_json(&line, now, event, fields);
    } else {
        format_text(&line, settings, now, event, fields);
    }
    if (repeated > 0) {
        (json ? put_fields_json : put_fields_text)(&line, extra);
    }
    /* TAIL has room for these */
    line.length += (size_t)snprintf(text + line.length, TAIL, "%s%s\n",
                                    line.cut ? (json ? ",\"cut\":true" : " ...") : "",
                                    json ? "}" : "");
    return line.length;
}

const char *sa_log_describe(char *buffer, size_t size, sa_event_t event, const sa_field_t *fields)
{
    char text[SA_LOG_LINE];
    line_t line = {text, 0, false};

    put_text(&line, sa_event_row(event)->text);
    put_fields_text(&line, fields);
    text[line.length] = '\0';
    apr_cpystrn(buffer, text, size);
    return buffer;
}

static apr_uint64_t hash_bytes(apr_uint64_t hash, const void *data, size_t length)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ bytes[i]) * APR_UINT64_C(0x100000001b3);     /* FNV-1a */
    }
    return hash;
}

apr_uint64_t sa_log__hash(sa_event_t event, const sa_field_t *fields)
{
    apr_uint64_t hash = hash_bytes(APR_UINT64_C(0xcbf29ce484222325), &event, sizeof(event));
    char buffer[1024];

    for (; fields->type != SA_FIELD_TYPE_END; fields++) {
        bool quoted;
        const char *text = value_text(fields, buffer, sizeof(buffer), &quoted);

        hash = hash_bytes(hash, text, strlen(text) + 1);
    }
    return hash;
}
