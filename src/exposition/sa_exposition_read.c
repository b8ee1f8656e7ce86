/* exposition: one line in, its pieces out.
 *
 * The grammar is the one of Prometheus' own reader (model/textparse/promlex.l
 * and promparse.go of prometheus/prometheus), with commas between labels
 * required and a label name allowed once, as the format's description and
 * every other reader want it.  Nothing is copied. */
#include "sa_exposition_private.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

/* What a byte may be part of. */
enum {
    LABEL_FIRST = 1,    /* [a-zA-Z_] */
    LABEL_REST = 2,     /* [a-zA-Z0-9_] */
    METRIC_FIRST = 4,   /* [a-zA-Z_:] */
    METRIC_REST = 8,    /* [a-zA-Z0-9_:] */
    BLANK = 16          /* space, tab */
};

#define LETTER (LABEL_FIRST | LABEL_REST | METRIC_FIRST | METRIC_REST)
#define DIGIT (LABEL_REST | METRIC_REST)
#define COLON (METRIC_FIRST | METRIC_REST)
#define FOUR(c, kind) [c] = kind, [c + 1] = kind, [c + 2] = kind, [c + 3] = kind
#define LETTERS(c) FOUR(c, LETTER), FOUR(c + 4, LETTER), FOUR(c + 8, LETTER), \
    FOUR(c + 12, LETTER), FOUR(c + 16, LETTER), FOUR(c + 20, LETTER), \
    [c + 24] = LETTER, [c + 25] = LETTER

static const unsigned char classes[256] = {
    LETTERS('a'), LETTERS('A'), ['_'] = LETTER,
    FOUR('0', DIGIT), FOUR('4', DIGIT), ['8'] = DIGIT, ['9'] = DIGIT,
    [':'] = COLON, [' '] = BLANK, ['\t'] = BLANK
};

static bool is(char c, int kind)
{
    return (classes[(unsigned char)c] & kind) != 0;
}

static const char *skip(const char *p, int kind)
{
    while (is(*p, kind)) {
        p++;
    }
    return p;
}

/* Skip what is left of a metric's name at P, of a line that ends at END. */
static const char *skip_name(const char *p, const char *end, const sa_exposition_text_t *guess)
{
    size_t length = guess->length;
    size_t same = 0;

    if (length >= 8 && (size_t)(end - p) >= length) {
        while (length - same >= 8 && memcmp(p + same, guess->start + same, 8) == 0) {
            same += 8;
        }
        if (length - same < 8 && memcmp(p + length - 8, guess->start + length - 8, 8) == 0) {
            same = length;
        }
    }
    return skip(p + same, METRIC_REST);
}

static bool refuse(sa_exposition_fault_t *fault, const char *at, const char *reason)
{
    fault->at = at;
    fault->reason = reason;
    return false;
}

sa_exposition_names_t sa_exposition__name_bit(const char *name, size_t length)
{
    unsigned mix = (unsigned char)name[0] * 5u + (unsigned char)name[length - 1] * 13u +
                   (unsigned)length;

    return (sa_exposition_names_t)1 << (mix & 63u);
}

bool sa_exposition__is_label_name(const char *name, size_t length)
{
    if (length == 0 || !is(name[0], LABEL_FIRST)) {
        return false;
    }
    for (size_t i = 1; i < length; i++) {
        if (!is(name[i], LABEL_REST)) {
            return false;
        }
    }
    return true;
}

/* The length of the UTF-8 sequence at P, 0 if it is none: no overlong forms,
 * no surrogates, nothing above U+10FFFF.  P is not ASCII. */
static size_t sequence_length(const unsigned char *p, size_t left)
{
    unsigned char lowest = 0x80;
    unsigned char highest = 0xBF;
    size_t length = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;

    if (p[0] < 0xC2 || p[0] > 0xF4 || left < length) {
        return 0;
    }
    lowest = p[0] == 0xE0 ? 0xA0 : p[0] == 0xF0 ? 0x90 : lowest;
    highest = p[0] == 0xED ? 0x9F : p[0] == 0xF4 ? 0x8F : highest;
    if (p[1] < lowest || p[1] > highest) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return length;
}

bool sa_exposition__is_utf8(const char *text, size_t length)
{
    const unsigned char *p = (const unsigned char *)text;

    for (size_t i = 0; i < length;) {
        size_t step = p[i] < 0x80 ? 1 : sequence_length(p + i, length - i);

        if (step == 0) {
            return false;
        }
        i += step;
    }
    return true;
}

#define EACH_BYTE(value) ((uint64_t)0x0101010101010101u * (value))

/* A high bit in each byte of WORD that is zero (and perhaps in bytes above
 * one that is, which does no harm: the lowest counts). */
static uint64_t zero_bytes(uint64_t word)
{
    return (word - EACH_BYTE(1)) & ~word & EACH_BYTE(0x80);
}

static bool is_plain(unsigned char c, unsigned char quote)
{
    return c != quote && c != '\\' && c != 0 && c < 0x80;
}

/* The bytes at P, the first in the lowest place; one instruction. */
static uint64_t load_word(const char *p)
{
    const unsigned char *byte = (const unsigned char *)p;

    return (uint64_t)byte[0] | (uint64_t)byte[1] << 8 | (uint64_t)byte[2] << 16 |
           (uint64_t)byte[3] << 24 | (uint64_t)byte[4] << 32 | (uint64_t)byte[5] << 40 |
           (uint64_t)byte[6] << 48 | (uint64_t)byte[7] << 56;
}

/* Which byte is the lowest that has its high bit in BITS, which are only such. */
static size_t first_byte(uint64_t bits)
{
    uint64_t below = (bits & (0 - bits)) - 1;

    return (size_t)(((below & EACH_BYTE(1)) * EACH_BYTE(1)) >> 56) - 1;
}

/* The hot loop: the first byte from P on that is QUOTE, a backslash, NUL or
 * not ASCII; END (or more) if there is none before it.  Nothing at LIMIT is
 * read.  This one function is what a vector version would replace. */
static const char *skip_plain(const char *p, const char *end, const char *limit, char quote)
{
    while (p < end && limit - p >= 8) {
        uint64_t word = load_word(p);
        uint64_t found = (word & EACH_BYTE(0x80)) | zero_bytes(word) |
                         zero_bytes(word ^ EACH_BYTE((unsigned char)quote)) |
                         zero_bytes(word ^ EACH_BYTE('\\'));

        if (found != 0) {
            return p + first_byte(found);
        }
        p += 8;
    }
    while (p < end && is_plain((unsigned char)*p, (unsigned char)quote)) {
        p++;
    }
    return p;
}

/* Go over text up to QUOTE ('\\': up to END).  Return where it ends, NULL with
 * FAULT set if it may not stand here.  *ODD when there is an escape that
 * Prometheus keeps as it is and others refuse. */
static const char *skip_text(const char *p, const char *end, const char *limit, char quote,
                             bool *odd, sa_exposition_fault_t *fault)
{
    for (;;) {
        size_t step;

        p = skip_plain(p, end, limit, quote);
        if (p >= end) {
            break;
        }
        if (*p == '\\') {
            if (p + 1 == end) {
                *odd = true;
                break;
            }
            *odd = *odd || (p[1] != '\\' && p[1] != 'n' && p[1] != quote);
            /* what is escaped may be no ASCII: look at it in the next round */
            p += p[1] == '\\' || p[1] == quote ? 2 : 1;
            continue;
        }
        if (*p == quote) {
            return p;
        }
        step = *p == '\0' ? 0 : sequence_length((const unsigned char *)p, (size_t)(end - p));
        if (step == 0) {
            refuse(fault, p, *p == '\0' ? "a NUL byte" : "not UTF-8");
            return NULL;
        }
        p += step;
    }
    if (quote == '\\') {
        return end;
    }
    refuse(fault, end, "a quote is not closed");
    return NULL;
}

/* Read a quoted text; P is its first quote.  Returns what follows it. */
static const char *read_quoted(sa_exposition_text_t *text, const char *p, const char *end,
                               const char *limit, bool *odd, sa_exposition_fault_t *fault)
{
    const char *close = skip_text(p + 1, end, limit, '"', odd, fault);

    if (!close) {
        return NULL;
    }
    text->start = p + 1;
    text->length = (size_t)(close - text->start);
    return close + 1;
}

static bool same(const sa_exposition_text_t *a, const sa_exposition_text_t *b)
{
    return a->length == b->length && memcmp(a->start, b->start, a->length) == 0;
}

static bool is_double(const sa_exposition_sample_t *sample, const sa_exposition_text_t *name)
{
    for (int i = 0; i < sample->pair_count; i++) {
        if (same(&sample->pairs[i].name, name)) {
            return true;
        }
    }
    return false;
}

static const char *read_label_name(sa_exposition_sample_t *sample, sa_exposition_pair_t *pair,
                                   const char *p, const char *end, const char *limit,
                                   sa_exposition_fault_t *fault)
{
    const char *start = p;

    pair->quoted = *p == '"';
    if (pair->quoted) {
        sample->quotes = true;
        p = read_quoted(&pair->name, p, end, limit, &sample->odd_labels, fault);
        if (p && pair->name.length == 0) {
            refuse(fault, start, "an empty label name");
            return NULL;
        }
        return p;
    }
    if (!is(*p, LABEL_FIRST)) {
        refuse(fault, p, "a label name must begin here");
        return NULL;
    }
    p = skip(p + 1, LABEL_REST);
    pair->name.start = start;
    pair->name.length = (size_t)(p - start);
    return p;
}

/* Read NAME="VALUE" at P.  Returns what follows it. */
static const char *read_pair(sa_exposition_sample_t *sample, const char *p, const char *end,
                             const char *limit, sa_exposition_names_t *names,
                             sa_exposition_names_t watched, sa_exposition_fault_t *fault)
{
    sa_exposition_pair_t *pair = &sample->pairs[sample->pair_count];
    const char *start = p;
    sa_exposition_names_t bit;

    p = read_label_name(sample, pair, p, end, limit, fault);
    if (!p) {
        return NULL;
    }
    bit = sa_exposition__name_bit(pair->name.start, pair->name.length);
    sample->maybe_taken = sample->maybe_taken || (watched & bit) != 0;
    if ((*names & bit) != 0 && is_double(sample, &pair->name)) {
        refuse(fault, start, "a label name comes twice");
        return NULL;
    }
    *names |= bit;
    p = skip(p, BLANK);
    if (*p != '=') {
        refuse(fault, p, "'=' must follow a label name");
        return NULL;
    }
    p = skip(p + 1, BLANK);
    if (*p != '"') {
        refuse(fault, p, "a label value must begin with a quote");
        return NULL;
    }
    p = read_quoted(&pair->value, p, end, limit, &sample->odd_labels, fault);
    sample->pair_count++;
    return p;
}

/* Read labels from P, which is behind '{' or behind the quoted name's comma,
 * to '}'.  Returns what follows that. */
static const char *read_pairs(sa_exposition_sample_t *sample, const char *p, const char *end,
                              const char *limit, sa_exposition_names_t watched,
                              sa_exposition_fault_t *fault)
{
    sa_exposition_names_t names = 0;

    p = skip(p, BLANK);
    sample->labels.start = p;
    while (*p != '}') {
        if (sample->pair_count == SA_EXPOSITION_LABELS_MAX) {
            refuse(fault, p, "too many labels");
            return NULL;
        }
        p = read_pair(sample, p, end, limit, &names, watched, fault);
        if (!p) {
            return NULL;
        }
        sample->labels.length = (size_t)(p - sample->labels.start);
        p = skip(p, BLANK);
        if (*p == ',') {
            p = skip(p + 1, BLANK);
        } else if (*p != '}') {
            refuse(fault, p, "',' or '}' must follow a label");
            return NULL;
        }
    }
    return p + 1;
}

/* {"name"} or {"name",label="value"}: names in UTF-8, Prometheus 3. */
static const char *read_quoted_name(sa_exposition_sample_t *sample, const char *p,
                                    const char *end, const char *limit,
                                    sa_exposition_fault_t *fault)
{
    const char *start = skip(p + 1, BLANK);

    if (*start != '"') {
        refuse(fault, start, "a metric name must stand here");
        return NULL;
    }
    sample->quoted = true;
    sample->quotes = true;
    p = read_quoted(&sample->name, start, end, limit, &sample->odd_name, fault);
    if (!p) {
        return NULL;
    }
    p = skip(p, BLANK);
    if (sample->name.length == 0 || (*p != ',' && *p != '}')) {
        refuse(fault, start, "a metric name must stand here");
        return NULL;
    }
    return *p == ',' ? p + 1 : p;
}

/* The stamp of OpenMetrics at START, in seconds, as Prometheus reads it: a
 * double, times 1000, cut.  Returns where it ends. */
static const char *read_seconds(sa_exposition_sample_t *sample, const char *start,
                                const char *end)
{
    const char *stop = sa_exposition__skip_value(start, end);
    double milliseconds;

    if (!stop) {
        return NULL;
    }
    milliseconds = strtod(start, NULL) * 1000.0;
    /* NaN fails both; the text format has no time before 1970 */
    if (!(milliseconds > -1.0 && milliseconds < 9.2e18)) {
        return NULL;
    }
    sample->stamp.start = sample->stamp_text;
    sample->stamp.length = (size_t)apr_snprintf(sample->stamp_text, sizeof(sample->stamp_text),
                                                "%" APR_INT64_T_FMT, (apr_int64_t)milliseconds);
    return stop;
}

/* # {trace_id="x"} 0.5 1.5: of no use to readers of the text format.  Left out
 * without a closer look. */
static bool is_exemplar(const char *p, const char *end)
{
    return *p == '#' && *skip(p + 1, BLANK) == '{' && end - p > 4;
}

/* What stands behind the value at P. */
static bool read_open_tail(sa_exposition_sample_t *sample, const char *p, const char *end,
                           sa_exposition_fault_t *fault)
{
    const char *start = skip(p, BLANK);

    if (start != end && *start != '#') {
        p = read_seconds(sample, start, end);
        if (!p) {
            return refuse(fault, start, "not a timestamp");
        }
        start = skip(p, BLANK);
    }
    return start == end || is_exemplar(start, end)
               ? true
               : refuse(fault, start, "something follows the timestamp");
}

static bool read_tail(sa_exposition_sample_t *sample, const char *p, const char *end, bool open,
                      sa_exposition_fault_t *fault)
{
    const char *start = skip(p, BLANK);

    if (start == end) {
        return refuse(fault, end, "the value is missing");
    }
    p = sa_exposition__skip_value(start, end);
    if (!p) {
        return refuse(fault, start, "not a value");
    }
    sample->value.start = start;
    sample->value.length = (size_t)(p - start);
    if (open) {
        return read_open_tail(sample, p, end, fault);
    }
    start = skip(p, BLANK);
    if (start == end) {
        return true;
    }
    p = sa_exposition__skip_stamp(start, end);
    if (!p) {
        return refuse(fault, start, "not a timestamp");
    }
    sample->stamp.start = start;
    sample->stamp.length = (size_t)(p - start);
    p = skip(p, BLANK);
    return p == end ? true : refuse(fault, p, "something follows the timestamp");
}

bool sa_exposition__read_sample(sa_exposition_sample_t *sample, const char *line,
                                const char *end, const sa_exposition_reading_t *reading,
                                sa_exposition_fault_t *fault)
{
    const char *limit = reading->limit;
    const char *p = line;

    memset(sample, 0, offsetof(sa_exposition_sample_t, pairs));
    if (is(*p, METRIC_FIRST)) {
        p = skip_name(p, end, &reading->guess);
        sample->name.start = line;
        sample->name.length = (size_t)(p - line);
        if (*p != '{') {
            const char *next = skip(p, BLANK);

            if (*next != '{') {
                return next == p && p != end
                           ? refuse(fault, p, "a byte that no metric name has")
                           : read_tail(sample, next, end, reading->open, fault);
            }
            p = next;
        }
        p++;
    } else if (*p == '{') {
        p = read_quoted_name(sample, p, end, limit, fault);
    } else {
        return refuse(fault, p, "a metric name must begin here");
    }
    if (p) {
        p = read_pairs(sample, p, end, limit, reading->watched, fault);
    }
    return p ? read_tail(sample, p, end, reading->open, fault) : false;
}

#define TEXT(text) {text, sizeof(text) - 1}
#define WORD(text) .word = TEXT(text), .written = TEXT(text)

const sa_exposition_type_t sa_exposition__types[] = {
    [SA_KIND_NONE] = {WORD("")},
    [SA_KIND_COUNTER] = {WORD("counter"), .suffix = TEXT("_total"),
                         .members = {TEXT("_total"), TEXT("_created")}},
    [SA_KIND_GAUGE] = {WORD("gauge")},
    [SA_KIND_HISTOGRAM] = {WORD("histogram"), .members = {TEXT("_bucket"), TEXT("_sum"),
                                                          TEXT("_count"), TEXT("_created")}},
    [SA_KIND_SUMMARY] = {WORD("summary"),
                         .members = {TEXT("_sum"), TEXT("_count"), TEXT("_created")}},
    [SA_KIND_UNTYPED] = {WORD("untyped")},
    [SA_KIND_UNKNOWN] = {TEXT("unknown"), TEXT("untyped"), .open_only = true},
    [SA_KIND_INFO] = {TEXT("info"), TEXT("gauge"), .open_only = true, .suffix = TEXT("_info"),
                      .members = {TEXT("_info")}},
    [SA_KIND_STATESET] = {TEXT("stateset"), TEXT("gauge"), .open_only = true},
    [SA_KIND_GAUGEHISTOGRAM] = {TEXT("gaugehistogram"), TEXT("untyped"), .open_only = true,
                                .members = {TEXT("_bucket"), TEXT("_gsum"), TEXT("_gcount")}}
};

static sa_exposition_kind_t find_kind(const char *start, size_t length, bool open)
{
    for (int i = SA_KIND_NONE + 1; i <= SA_KIND_GAUGEHISTOGRAM; i++) {
        const sa_exposition_type_t *type = &sa_exposition__types[i];

        if ((open || !type->open_only) && type->word.length == length &&
            memcmp(type->word.start, start, length) == 0) {
            return (sa_exposition_kind_t)i;
        }
    }
    return SA_KIND_NONE;
}

static const char *read_meta_name(sa_exposition_meta_t *meta, const char *p, const char *end,
                                  const sa_exposition_reading_t *reading,
                                  sa_exposition_fault_t *fault)
{
    const char *start = p;
    bool odd = false;

    meta->quoted = *p == '"';
    if (meta->quoted) {
        p = read_quoted(&meta->name, p, end, reading->limit, &odd, fault);
        if (p && (odd || meta->name.length == 0)) {
            refuse(fault, start, "not a metric name");
            return NULL;
        }
    } else if (is(*p, METRIC_FIRST)) {
        p = skip_name(p, end, &reading->guess);
        meta->name.start = start;
        meta->name.length = (size_t)(p - start);
    } else {
        refuse(fault, p, "a metric name must begin here");
        return NULL;
    }
    if (p && p != end && !is(*p, BLANK)) {
        refuse(fault, p, "a byte that no metric name has");
        return NULL;
    }
    return p;
}

static bool read_type(sa_exposition_meta_t *meta, const char *p, const char *end, bool open,
                      sa_exposition_fault_t *fault)
{
    p = skip(p, BLANK);
    while (end > p && is(end[-1], BLANK)) {
        end--;
    }
    meta->kind = find_kind(p, (size_t)(end - p), open);
    meta->text = sa_exposition__types[meta->kind].written;
    return meta->kind != SA_KIND_NONE ? true : refuse(fault, p, "not a type of metric");
}

static bool read_help(sa_exposition_meta_t *meta, const char *p, const char *end,
                      const char *limit, sa_exposition_fault_t *fault)
{
    p += p < end;       /* one blank parts the name from the text */
    meta->text.start = p;
    meta->text.length = (size_t)(end - p);
    meta->odd = false;
    return skip_text(p, end, limit, '\\', &meta->odd, fault) != NULL;
}

bool sa_exposition__read_comment(sa_exposition_meta_t *meta, bool *is_meta, const char *line,
                                 const char *end, const sa_exposition_reading_t *reading,
                                 sa_exposition_fault_t *fault)
{
    const char *p = skip(line + 1, BLANK);

    *is_meta = false;
    if (p == line + 1 || end - p < 5 || !is(p[4], BLANK)) {
        return true;
    }
    meta->is_type = memcmp(p, "TYPE", 4) == 0;
    if (!meta->is_type && memcmp(p, "HELP", 4) != 0) {
        return true;
    }
    *is_meta = true;
    p = read_meta_name(meta, skip(p + 4, BLANK), end, reading, fault);
    if (!p) {
        return false;
    }
    return meta->is_type ? read_type(meta, p, end, reading->open, fault)
                         : read_help(meta, p, end, reading->limit, fault);
}
