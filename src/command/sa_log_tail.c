/* command: the last lines of a file, read backwards; and a line made fit to be shown.
 *
 * The buffer is filled from its end to its front.  Line ends are looked for forwards,
 * because that is what memchr(3) is fast at, in chunks that are taken from the end:
 *
 *     |        free        | not looked at | chunk | the line in hand |
 *     0                   low            looked                  line_end
 */
#include "sa_log_tail.h"

#include <stdint.h>
#include <string.h>

#include "sa_text.h"

#define CHUNK 4096
/* A line in hand that is cut, and one more block. */
#define CAPACITY (SA_LOG_LINE_MAX + SA_LOG_BLOCK + 8)
/* More than is shown is kept, so that the cut can see what character it cuts. */
#define KEEP (SA_LOG_LINE_MAX + 8)

struct sa_log_tail_t {
    apr_file_t *file;
    apr_int64_t offset;             /* in the file, of buffer[low] */
    apr_int64_t scan;
    apr_int64_t scanned;
    size_t low;
    size_t looked;
    size_t line_end;
    bool cut;                       /* the line in hand has lost its end */
    bool ended;                     /* no more lines */
    bool incomplete;
    bool any;                       /* a line was given */
    size_t newline_count;           /* in the chunk, still to be used */
    uint16_t newlines[CHUNK];       /* their places in it */
    char buffer[CAPACITY];
};

/* ---- reading -------------------------------------------------------------- */

sa_error_t *sa_command__read_at(size_t *got, apr_file_t *file, apr_int64_t offset, char *data,
                                size_t size)
{
    apr_off_t where = (apr_off_t)offset;
    apr_status_t status;
    apr_size_t read = 0;

    *got = 0;
    SA_TRY_APR(apr_file_seek(file, APR_SET, &where), "cannot find a place in the file");
    status = apr_file_read_full(file, data, size, &read);
    if (status != APR_SUCCESS && !APR_STATUS_IS_EOF(status)) {
        return sa_error_apr(status, "cannot read the file");
    }
    *got = read;
    return SA_OK;
}

sa_log_tail_t *sa_command__tail_create(apr_file_t *file, apr_int64_t end, apr_int64_t scan,
                                       apr_pool_t *pool)
{
    /* not zeroed: most of it is the buffer */
    sa_log_tail_t *tail = apr_palloc(pool, sizeof(*tail));

    memset(tail, 0, offsetof(sa_log_tail_t, newlines));
    tail->file = file;
    tail->offset = end;
    tail->scan = scan;
    tail->low = tail->looked = tail->line_end = CAPACITY;
    tail->ended = end <= 0;
    return tail;
}

apr_int64_t sa_command__tail_scanned(const sa_log_tail_t *tail)
{
    return tail->scanned;
}

bool sa_command__tail_is_incomplete(const sa_log_tail_t *tail)
{
    return tail->incomplete;
}

/* Move the line in hand to the end of the buffer, cut if it is too long. */
static void make_room(sa_log_tail_t *tail)
{
    size_t length = tail->line_end - tail->low;

    if (length > KEEP) {
        length = KEEP;
        tail->cut = true;
    }
    memmove(tail->buffer + CAPACITY - length, tail->buffer + tail->low, length);
    tail->low = CAPACITY - length;
    tail->looked = tail->low;
    tail->line_end = CAPACITY;
}

/* The block before what is in the buffer; at the first one the final line end is
 * taken off.  A file that is shorter by now has nothing there. */
static sa_error_t *read_block(sa_log_tail_t *tail)
{
    apr_int64_t size = (tail->offset - 1) % (apr_int64_t)SA_LOG_BLOCK + 1;
    bool first = tail->scanned == 0;
    size_t got;

    if (size > tail->scan - tail->scanned) {
        tail->incomplete = true;
        return SA_OK;
    }
    make_room(tail);
    SA_TRY(sa_command__read_at(&got, tail->file, tail->offset - size,
                               tail->buffer + tail->low - (size_t)size, (size_t)size));
    if (got < (size_t)size) {
        tail->incomplete = true;
        return SA_OK;
    }
    tail->offset -= size;
    tail->scanned += size;
    tail->low -= (size_t)size;
    if (first && tail->buffer[CAPACITY - 1] == '\n') {
        tail->line_end--;
        tail->looked--;
    }
    return SA_OK;
}

/* Find the line ends of the next chunk. */
static void look(sa_log_tail_t *tail)
{
    size_t from = tail->looked - tail->low > CHUNK ? tail->looked - CHUNK : tail->low;
    const char *chunk = tail->buffer + from;
    const char *end = tail->buffer + tail->looked;
    const char *newline = memchr(chunk, '\n', (size_t)(end - chunk));

    tail->newline_count = 0;
    while (newline) {
        tail->newlines[tail->newline_count++] = (uint16_t)(newline - chunk);
        newline = memchr(newline + 1, '\n', (size_t)(end - newline - 1));
    }
    tail->looked = from;
}

/* ---- lines ---------------------------------------------------------------- */

static void give(sa_log_line_t *line, sa_log_tail_t *tail, size_t begin)
{
    line->data = tail->buffer + begin;
    line->length = tail->line_end - begin;
    line->offset = tail->offset + (apr_int64_t)(begin - tail->low);
    line->cut = tail->cut;
    sa_command__line_trim(line);
    tail->cut = false;
    tail->any = true;
}

/* What is left when there is nothing before it: the first line of the file, or a piece
 * of one, which is shown only when nothing else could be. */
static void give_rest(bool *found, sa_log_line_t *line, sa_log_tail_t *tail)
{
    tail->ended = true;
    *found = !tail->incomplete || (!tail->any && tail->line_end > tail->low);
    if (*found) {
        tail->cut = tail->cut || tail->incomplete;
        give(line, tail, tail->low);
    }
}

sa_error_t *sa_command__tail_next(bool *found, sa_log_line_t *line, sa_log_tail_t *tail)
{
    *found = false;
    while (!tail->ended) {
        if (tail->newline_count > 0) {
            size_t newline = tail->looked + tail->newlines[--tail->newline_count];

            give(line, tail, newline + 1);
            tail->line_end = newline;
            *found = true;
            return SA_OK;
        }
        if (tail->looked > tail->low) {
            look(tail);
        } else if (tail->offset > 0 && !tail->incomplete) {
            SA_TRY(read_block(tail));
        } else {
            give_rest(found, line, tail);
            return SA_OK;
        }
    }
    return SA_OK;
}

void sa_command__line_trim(sa_log_line_t *line)
{
    size_t length = line->length;

    if (!line->cut && length > 0 && line->data[length - 1] == '\r') {
        length--;
    }
    if (length > SA_LOG_LINE_MAX) {
        line->cut = true;
        length = SA_LOG_LINE_MAX;
        /* before the character that it would cut, if it is one */
        for (int back = 0; back < 3 && ((unsigned char)line->data[length] & 0xC0) == 0x80; back++) {
            length--;
        }
    }
    line->length = length;
}

/* ---- showing -------------------------------------------------------------- */

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

/* The high bit of a byte that is C, or of one before it that may be taken for one. */
static uint64_t equal(uint64_t word, unsigned char c)
{
    uint64_t difference = word ^ (ONES * c);

    return (difference - ONES) & ~difference;
}

/* Are the 8 bytes at TEXT printable ASCII, without quote and backslash? */
static bool is_plain(const char *text)
{
    uint64_t word;

    memcpy(&word, text, sizeof(word));
    return (((word - ONES * 0x20) | equal(word, '"') | equal(word, '\\') | word) & HIGHS) == 0;
}

/* How the character C, which cannot stand in JSON as it is, is shown; returns its bytes. */
static size_t escape(char out[6], unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char special[] = "\"\\\b\f\n\r\t";
    const char *found = memchr(special, c, sizeof(special) - 1);

    if (found) {
        out[0] = '\\';
        out[1] = "\"\\bfnrt"[found - special];
        return 2;
    }
    memcpy(out, "\\u00", 4);
    out[4] = hex[c >> 4];
    out[5] = hex[c & 15];
    return 6;
}

/* Show the character at TEXT in SHOWN; *USED of its bytes.  Returns the bytes shown. */
static size_t show_one(char shown[6], int *used, const char *text, size_t length, bool json)
{
    unsigned char c = (unsigned char)*text;
    uint32_t point;

    *used = 1;
    if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
        shown[0] = (char)c;
        return 1;
    }
    if (c > 0 && c < 0x80) {
        shown[0] = (char)c;
        return json ? escape(shown, c) : 1;
    }
    *used = c == 0 ? 0 : sa_text_decode(&point, text, length);
    if (*used > 0) {
        memcpy(shown, text, (size_t)*used);
        return (size_t)*used;
    }
    *used = 1;
    memcpy(shown, "\xEF\xBF\xBD", 3);
    return 3;
}

size_t sa_command__show(char *out, const char *text, size_t length, bool json)
{
    char *put = out;
    size_t i = 0;

    while (i < length) {
        size_t end;

        for (; length - i >= 8 && is_plain(text + i); i += 8) {
            memcpy(put, text + i, 8);
            put += 8;
        }
        /* what made the eight bytes not plain, and what is left of them */
        end = length - i > 8 ? i + 8 : length;
        while (i < end) {
            char shown[6];
            int used;
            size_t size = show_one(shown, &used, text + i, length - i, json);

            memcpy(put, shown, size);
            put += size;
            i += (size_t)used;
        }
    }
    return (size_t)(put - out);
}

/* ---- looking for a text ---------------------------------------------------- */

/* Knuth, Morris, Pratt: "Fast Pattern Matching in Strings", SIAM J. Comput. 6 (1977). */
struct sa_log_grep_t {
    const char *text;
    size_t length;
    uint16_t back[SA_LOG_GREP_MAX + 1];     /* how much still matches when one more does not */
};

sa_log_grep_t *sa_command__grep_create(const char *text, apr_pool_t *pool)
{
    sa_log_grep_t *grep = apr_pcalloc(pool, sizeof(*grep));
    size_t matched = 0;

    grep->text = text;
    grep->length = strlen(text);
    SA_ASSERT(grep->length <= SA_LOG_GREP_MAX);
    for (size_t i = 1; i < grep->length; i++) {
        while (matched > 0 && text[i] != text[matched]) {
            matched = grep->back[matched];
        }
        matched += text[i] == text[matched];
        grep->back[i + 1] = (uint16_t)matched;
    }
    return grep;
}

bool sa_command__grep_match(const sa_log_grep_t *grep, const char *text, size_t length)
{
    size_t matched = 0;

    for (size_t i = 0; i < length && matched < grep->length; i++) {
        if (matched == 0) {
            const char *first = memchr(text + i, grep->text[0], length - i);

            if (!first) {
                break;
            }
            i = (size_t)(first - text);
        }
        while (matched > 0 && text[i] != grep->text[matched]) {
            matched = grep->back[matched];
        }
        matched += text[i] == grep->text[matched];
    }
    return matched == grep->length;
}
