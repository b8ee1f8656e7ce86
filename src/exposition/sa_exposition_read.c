/* exposition: one line in, its pieces out.
 *
 * The grammar is the one of Prometheus' own reader (model/textparse/promlex.l
 * and promparse.go of prometheus/prometheus), with commas between labels
 * required and a label name allowed once, as the format's description and
 * every other reader want it.  Nothing is copied. */
#include "sa_exposition_private.h"

#include <stdint.h>
#include <string.h>

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

/* The hot loop: the first byte from P on that is QUOTE, a backslash, NUL or
 * not ASCII; END (or more) if there is none before it.  Nothing at LIMIT is
 * read.  This one function is what a vector version would replace. */
static const char *skip_plain(const char *p, const char *end, const char *limit, char quote)
{
    uint64_t word;

    while (p < end && limit - p >= 8) {
        memcpy(&word, p, sizeof(word));
        if (((word & EACH_BYTE(0x80)) | zero_bytes(word) |
             zero_bytes(word ^ EACH_BYTE((unsigned char)quote)) |
             zero_bytes(word ^ EACH_BYTE('\\'))) != 0) {
            break;
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

static bool read_tail(sa_exposition_sample_t *sample, const char *p, const char *end,
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
                                const char *end, const char *limit,
                                sa_exposition_names_t watched, sa_exposition_fault_t *fault)
{
    const char *p = line;

    memset(sample, 0, offsetof(sa_exposition_sample_t, pairs));
    if (is(*p, METRIC_FIRST)) {
        p = skip(p + 1, METRIC_REST);
        sample->name.start = line;
        sample->name.length = (size_t)(p - line);
        if (*p != '{') {
            const char *next = skip(p, BLANK);

            if (*next != '{') {
                return next == p && p != end
                           ? refuse(fault, p, "a byte that no metric name has")
                           : read_tail(sample, next, end, fault);
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
        p = read_pairs(sample, p, end, limit, watched, fault);
    }
    return p ? read_tail(sample, p, end, fault) : false;
}

static bool is_type_word(const sa_exposition_text_t *text)
{
    static const char *const words[] = {"counter", "gauge", "histogram", "summary", "untyped"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strlen(words[i]) == text->length &&
            memcmp(words[i], text->start, text->length) == 0) {
            return true;
        }
    }
    return false;
}

static const char *read_meta_name(sa_exposition_meta_t *meta, const char *p, const char *end,
                                  const char *limit, sa_exposition_fault_t *fault)
{
    const char *start = p;
    bool odd = false;

    meta->quoted = *p == '"';
    if (meta->quoted) {
        p = read_quoted(&meta->name, p, end, limit, &odd, fault);
        if (p && (odd || meta->name.length == 0)) {
            refuse(fault, start, "not a metric name");
            return NULL;
        }
    } else if (is(*p, METRIC_FIRST)) {
        p = skip(p + 1, METRIC_REST);
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

static bool read_type(sa_exposition_meta_t *meta, const char *p, const char *end,
                      sa_exposition_fault_t *fault)
{
    p = skip(p, BLANK);
    while (end > p && is(end[-1], BLANK)) {
        end--;
    }
    meta->text.start = p;
    meta->text.length = (size_t)(end - p);
    return is_type_word(&meta->text) ? true : refuse(fault, p, "not a type of metric");
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
                                 const char *end, const char *limit,
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
    p = read_meta_name(meta, skip(p + 4, BLANK), end, limit, fault);
    if (!p) {
        return false;
    }
    return meta->is_type ? read_type(meta, p, end, fault)
                         : read_help(meta, p, end, limit, fault);
}
