/* command: what a program wrote, as it stands in a reply (docs/protocol.md: exec). */
#include "sa_command_output.h"

#include <string.h>

#include <apr_strings.h>

#include "sa_json.h"
#include "sa_log_tail.h"
#include "sa_text.h"

/* Nested deeper it is sent as text: readers have limits of their own. */
#define DEPTH_MAX 100
/* "truncated" and "omitted_bytes" */
#define CUT_MEMBERS 64
#define FIRST_SIZE ((size_t)4096)

/* The last bytes of a stream. */
typedef struct tail_t {
    char *ring;
    size_t size;                /* of the ring; grows up to KEPT */
    size_t at;                  /* where the next byte goes */
    size_t length;
    apr_int64_t counted;        /* bytes within the limit */
    apr_int64_t beyond;         /* the others */
} tail_t;

struct sa_command__output_t {
    apr_pool_t *pool;
    apr_int64_t limit;
    size_t kept;
    tail_t tails[2];            /* standard output, standard error */
};

sa_command__output_t *sa_command__output_create(apr_int64_t limit, size_t kept, apr_pool_t *pool)
{
    sa_command__output_t *output = apr_pcalloc(pool, sizeof(*output));

    output->pool = pool;
    output->limit = limit;
    output->kept = kept > 0 ? kept : 1;
    return output;
}

/* While it grows it has not gone round yet. */
static void grow(sa_command__output_t *output, tail_t *tail, size_t length)
{
    size_t wanted = tail->length + length;
    size_t size = tail->size ? tail->size : FIRST_SIZE;
    char *larger;

    while (size < wanted) {
        size *= 2;
    }
    size = size < output->kept ? size : output->kept;
    if (size <= tail->size) {
        return;
    }
    larger = apr_palloc(output->pool, size);
    if (tail->length > 0) {
        memcpy(larger, tail->ring, tail->length);
    }
    tail->ring = larger;
    tail->size = size;
    tail->at = tail->length;
}

static void put(tail_t *tail, const char *data, size_t length)
{
    if (length > tail->size) {
        data += length - tail->size;
        length = tail->size;
    }
    while (length > 0) {
        size_t size = tail->size - tail->at;

        size = length < size ? length : size;
        memcpy(tail->ring + tail->at, data, size);
        tail->at = (tail->at + size) % tail->size;
        tail->length = tail->length + size < tail->size ? tail->length + size : tail->size;
        data += size;
        length -= size;
    }
}

void sa_command__output_add(sa_command__output_t *output, bool is_error, const char *data,
                            size_t length)
{
    tail_t *tail = &output->tails[is_error ? 1 : 0];
    apr_int64_t room = output->limit - tail->counted;
    size_t counts = (apr_int64_t)length < room ? length : (size_t)room;

    tail->beyond += (apr_int64_t)(length - counts);
    tail->counted += (apr_int64_t)counts;
    if (counts > 0) {
        grow(output, tail, counts);
        put(tail, data, counts);
    }
}

const char *sa_command__output_note(apr_int64_t limit, apr_pool_t *pool)
{
    const char *size = apr_psprintf(pool, "%" APR_INT64_T_FMT " bytes", limit);

    if (limit % (1024 * 1024) == 0) {
        size = apr_psprintf(pool, "%" APR_INT64_T_FMT "MB", limit / (1024 * 1024));
    } else if (limit % 1024 == 0) {
        size = apr_psprintf(pool, "%" APR_INT64_T_FMT "KB", limit / 1024);
    }
    return apr_pstrcat(pool, "\n[output truncated: exceeded ", size, " limit]", NULL);
}

/* ---- one text of both ------------------------------------------------------------- */

typedef struct text_t {
    char *data;
    size_t length;
    apr_int64_t omitted;
} text_t;

static void append(text_t *text, const char *data, size_t length)
{
    if (length > 0) {
        memcpy(text->data + text->length, data, length);
        text->length += length;
    }
}

static void append_tail(const sa_command__output_t *output, text_t *text, const tail_t *tail)
{
    size_t first = tail->length < tail->size ? 0 : tail->at;

    if (tail->length > 0) {
        append(text, tail->ring + first, tail->length - first);
        append(text, tail->ring, first);
    }
    text->omitted += tail->counted - (apr_int64_t)tail->length + tail->beyond;
    if (tail->beyond > 0) {
        const char *note = sa_command__output_note(output->limit, output->pool);

        append(text, note, strlen(note));
    }
}

static bool is_whole(const tail_t *tail)
{
    return tail->counted == (apr_int64_t)tail->length;
}

/* Standard output, and behind it standard error where there is some.  Where not even all of
 * that is kept, what would stand before it is not either. */
static text_t join(const sa_command__output_t *output)
{
    const tail_t *out = &output->tails[0];
    const tail_t *error = &output->tails[1];
    text_t text = { .length = 0 };

    text.data = apr_palloc(output->pool, out->length + error->length + 256);
    if (error->counted == 0 || is_whole(error)) {
        append_tail(output, &text, out);
    } else {
        text.omitted += out->counted + out->beyond;
    }
    if (error->counted > 0 && is_whole(error)) {
        append(&text, "\n", out->counted > 0 ? 1 : 0);
        append(&text, "STDERR:\n", 8);
    }
    if (error->counted > 0) {
        append_tail(output, &text, error);
    }
    return text;
}

/* ---- into the reply ---------------------------------------------------------------- */

static void add_raw(cJSON *reply, char *json)
{
    cJSON *item = cJSON_CreateStringReference(json);

    /* lent, not copied: it can be as large as a reply */
    item->type = cJSON_Raw | cJSON_IsReference;
    cJSON_AddItemToObject(reply, "output", item);
}

/* What the first character of TEXT, or the byte that is none, becomes in JSON. */
static size_t shown_size(int *used, const char *text, size_t length)
{
    char shown[SA_LOG_SHOWN_JSON * 4];
    uint32_t point;

    *used = 1;
    if (*text >= ' ' && *text <= '~' && *text != '"' && *text != '\\') {
        return 1;
    }
    *used = sa_text_decode(&point, text, length);
    *used = *used > 0 ? *used : 1;
    return sa_command__show(shown, text, (size_t)*used, true);
}

/* How much of TEXT's beginning must go so that the rest, shown in *SIZE bytes, fits into
 * ROOM. */
static size_t too_much(size_t *size, const char *text, size_t length, size_t room)
{
    size_t at = 0;
    int used;

    *size = 0;
    for (size_t i = 0; i < length; i += (size_t)used) {
        *size += shown_size(&used, text + i, length - i);
    }
    while (*size > room) {
        *size -= shown_size(&used, text + at, length - at);
        at += (size_t)used;
    }
    return at;
}

/* The next character's beginning: what is left of one whose own is gone is not shown. */
static size_t to_character(const char *text, size_t at, size_t length)
{
    size_t most = at + 3;

    while (at < length && at < most && ((unsigned char)text[at] & 0xC0) == 0x80) {
        at++;
    }
    return at;
}

static void add_text(cJSON *reply, text_t *text, size_t room, apr_pool_t *pool)
{
    size_t most = room > 2 ? room - 2 : 0;
    /* no byte becomes less than one */
    size_t skip = text->length > most ? text->length - most : 0;
    size_t size;
    char *json;

    if (skip > 0 || text->omitted > 0) {
        skip = to_character(text->data, skip, text->length);
    }
    skip += too_much(&size, text->data + skip, text->length - skip, most);
    text->omitted += (apr_int64_t)skip;
    json = apr_palloc(pool, size + 3);
    json[0] = '"';
    size = sa_command__show(json + 1, text->data + skip, text->length - skip, true);
    json[size + 1] = '"';
    json[size + 2] = '\0';
    add_raw(reply, json);
}

void sa_command__output_tell(sa_command__output_t *output, cJSON *reply, size_t room,
                             apr_pool_t *pool)
{
    text_t text = join(output);
    size_t length = 0;
    const char *json = NULL;

    room = room > CUT_MEMBERS ? room - CUT_MEMBERS : 0;
    if (text.omitted == 0) {
        json = sa_json_compact(&length, text.data, text.length, DEPTH_MAX, pool);
    }
    if (json && length <= room) {
        add_raw(reply, (char *)json);
        return;
    }
    add_text(reply, &text, room, pool);
    if (text.omitted > 0) {
        cJSON_AddTrueToObject(reply, "truncated");
        sa_json_add_count(reply, "omitted_bytes", (apr_uint64_t)text.omitted);
    }
}
