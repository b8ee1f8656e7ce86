/* base: is it JSON, by the letter (RFC 8259)?  One pass, without recursion and without a
 * tree: the text is somebody else's and may be large. */
#include "sa_json.h"

#include <string.h>

#include "sa_text.h"

/* What may come next. */
typedef enum expect_t {
    EXPECT_VALUE,
    EXPECT_VALUE_OR_END,        /* of an array that has just begun */
    EXPECT_NAME,
    EXPECT_NAME_OR_END,         /* of an object that has just begun */
    EXPECT_COLON,
    EXPECT_COMMA_OR_END         /* a value is complete */
} expect_t;

typedef struct reader_t {
    const char *at;
    const char *end;
    char *out;
    char open[SA_JSON_DEPTH_MAX];   /* '{' or '[' */
    int depth;
    int limit;
    expect_t expect;
} reader_t;

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static void put(reader_t *reader, const char *from)
{
    size_t length = (size_t)(reader->at - from);

    memcpy(reader->out, from, length);
    reader->out += length;
}

/* Behind a backslash. */
static bool read_escape(reader_t *reader)
{
    const char *hex = reader->at + 1;

    if (reader->at == reader->end) {
        return false;
    }
    if (*reader->at != 'u') {
        char c = *reader->at++;

        return c && strchr("\"\\/bfnrt", c);
    }
    if (reader->end - hex < 4) {
        return false;
    }
    reader->at = hex + 4;
    for (int i = 0; i < 4; i++) {
        if (!is_digit(hex[i]) && !(hex[i] >= 'a' && hex[i] <= 'f')
            && !(hex[i] >= 'A' && hex[i] <= 'F')) {
            return false;
        }
    }
    return true;
}

static bool read_string(reader_t *reader)
{
    const char *from = reader->at++;

    while (reader->at < reader->end && *reader->at != '"') {
        unsigned char c = (unsigned char)*reader->at;
        uint32_t point;
        int count = c < 0x80 ? 1 : sa_text_decode(&point, reader->at,
                                                  (size_t)(reader->end - reader->at));

        if (c < 0x20 || count == 0) {
            return false;
        }
        reader->at += count;
        if (c == '\\' && !read_escape(reader)) {
            return false;
        }
    }
    if (reader->at == reader->end) {
        return false;
    }
    reader->at++;
    put(reader, from);
    return true;
}

static bool read_digits(reader_t *reader)
{
    const char *from = reader->at;

    while (reader->at < reader->end && is_digit(*reader->at)) {
        reader->at++;
    }
    return reader->at > from;
}

static bool is_at(const reader_t *reader, const char *any)
{
    return reader->at < reader->end && *reader->at && strchr(any, *reader->at);
}

static bool read_number(reader_t *reader)
{
    const char *from = reader->at;

    if (is_at(reader, "-")) {
        reader->at++;
    }
    if (is_at(reader, "0")) {
        reader->at++;
    } else if (!read_digits(reader)) {
        return false;
    }
    if (is_at(reader, ".")) {
        reader->at++;
        if (!read_digits(reader)) {
            return false;
        }
    }
    if (is_at(reader, "eE")) {
        reader->at++;
        if (is_at(reader, "+-")) {
            reader->at++;
        }
        if (!read_digits(reader)) {
            return false;
        }
    }
    put(reader, from);
    return true;
}

static bool read_word(reader_t *reader)
{
    static const char *const words[] = {"true", "false", "null"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t length = strlen(words[i]);

        if ((size_t)(reader->end - reader->at) >= length
            && memcmp(reader->at, words[i], length) == 0) {
            reader->at += length;
            put(reader, reader->at - length);
            return true;
        }
    }
    return false;
}

static bool begin_group(reader_t *reader)
{
    if (reader->depth == reader->limit) {
        return false;
    }
    reader->open[reader->depth++] = *reader->at;
    reader->expect = *reader->at == '{' ? EXPECT_NAME_OR_END : EXPECT_VALUE_OR_END;
    *reader->out++ = *reader->at++;
    return true;
}

static bool end_group(reader_t *reader)
{
    char open = *reader->at == '}' ? '{' : '[';

    if (reader->depth == 0 || reader->open[reader->depth - 1] != open) {
        return false;
    }
    reader->depth--;
    reader->expect = EXPECT_COMMA_OR_END;
    *reader->out++ = *reader->at++;
    return true;
}

static bool read_value(reader_t *reader)
{
    char c = *reader->at;

    if (c == '{' || c == '[') {
        return begin_group(reader);
    }
    reader->expect = EXPECT_COMMA_OR_END;
    if (c == '"') {
        return read_string(reader);
    }
    return c == '-' || is_digit(c) ? read_number(reader) : read_word(reader);
}

static bool read_mark(reader_t *reader, char mark, expect_t next)
{
    if (*reader->at != mark) {
        return false;
    }
    reader->expect = next;
    *reader->out++ = *reader->at++;
    return true;
}

/* One part, at what is no blank. */
static bool read_part(reader_t *reader)
{
    bool ends = *reader->at == '}' || *reader->at == ']';
    bool in_object = reader->depth > 0 && reader->open[reader->depth - 1] == '{';

    switch (reader->expect) {
    case EXPECT_VALUE_OR_END:
        return ends ? end_group(reader) : read_value(reader);
    case EXPECT_VALUE:
        return read_value(reader);
    case EXPECT_NAME_OR_END:
    case EXPECT_NAME:
        if (ends && reader->expect == EXPECT_NAME_OR_END) {
            return end_group(reader);
        }
        reader->expect = EXPECT_COLON;
        return *reader->at == '"' && read_string(reader);
    case EXPECT_COLON:
        return read_mark(reader, ':', EXPECT_VALUE);
    case EXPECT_COMMA_OR_END:
        if (ends) {
            return end_group(reader);
        }
        return reader->depth > 0
               && read_mark(reader, ',', in_object ? EXPECT_NAME : EXPECT_VALUE);
    }
    return false;
}

const char *sa_json_compact(size_t *compact_length, const char *text, size_t length, int depth,
                            apr_pool_t *pool)
{
    char *out = apr_palloc(pool, length + 1);
    reader_t reader = {
        .at = text, .end = text + length, .out = out, .expect = EXPECT_VALUE,
        .limit = depth < SA_JSON_DEPTH_MAX ? depth : SA_JSON_DEPTH_MAX
    };

    for (;;) {
        while (reader.at < reader.end && is_blank(*reader.at)) {
            reader.at++;
        }
        if (reader.at == reader.end) {
            break;
        }
        if (!read_part(&reader)) {
            return NULL;
        }
    }
    if (reader.depth > 0 || reader.expect != EXPECT_COMMA_OR_END) {
        return NULL;
    }
    *reader.out = '\0';
    *compact_length = (size_t)(reader.out - out);
    return out;
}
