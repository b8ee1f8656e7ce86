/* exposition: the labels of a sample, written anew.
 *
 * Most samples are copied as they stand.  Here come those that have a name
 * which an added label has, an escape that not every reader takes, or a label
 * that is not wanted. */
#include <string.h>

#include "sa_exposition_private.h"

#define EXPORTED "exported_"
#define EXPORTED_LENGTH (sizeof(EXPORTED) - 1)

bool sa_exposition__is_same(const sa_exposition_text_t *a, const sa_exposition_text_t *b)
{
    return a->length == b->length &&
           (a->length == 0 || memcmp(a->start, b->start, a->length) == 0);
}

bool sa_exposition__is_in(const sa_exposition_list_t *list, const sa_exposition_text_t *name)
{
    for (int i = 0; i < list->count; i++) {
        if (sa_exposition__is_same(&list->names[i], name)) {
            return true;
        }
    }
    return false;
}

/* The bytes that a backslash at P begins, written so that every reader takes
 * them, in OUT; *TAKEN is how many were read.  An unknown escape means itself to
 * Prometheus: its backslash is doubled.  In a HELP of OpenMetrics a quote may be
 * escaped, in one of the text format it may not. */
static size_t mend(char out[2], size_t *taken, const char *p, const char *end, char quote)
{
    char next = p + 1 < end ? p[1] : '\0';

    *taken = 2;
    out[0] = '\\';
    out[1] = next;
    if (next == '\\' || next == 'n' || (next == '"' && quote == '"')) {
        return 2;
    }
    if (next == '"' && quote == SA_EXPOSITION_OPEN_HELP) {
        out[0] = '"';
        return 1;
    }
    *taken = 1;
    out[1] = '\\';
    return 2;
}

void sa_exposition__append_mended(sa_buf_t *buf, const sa_exposition_text_t *text, char quote)
{
    const char *end = text->start + text->length;
    size_t taken = 1;

    for (const char *p = text->start; p < end; p += taken) {
        char out[2];

        taken = 1;
        if (*p == '\\') {
            size_t length = mend(out, &taken, p, end, quote);

            sa_buf_append(buf, out, length);
        } else {
            sa_buf_append(buf, p, 1);
        }
    }
}

size_t sa_exposition__mended_length(const sa_exposition_text_t *text, char quote)
{
    const char *end = text->start + text->length;
    size_t length = 0;
    size_t taken = 1;

    for (const char *p = text->start; p < end; p += taken) {
        char out[2];

        taken = 1;
        length += *p == '\\' ? mend(out, &taken, p, end, quote) : 1;
    }
    return length;
}

void sa_exposition__unescape(sa_buf_t *buf, const sa_exposition_text_t *text)
{
    const char *end = text->start + text->length;

    for (const char *p = text->start; p < end; p++) {
        char next = *p == '\\' && p + 1 < end ? p[1] : '\0';

        if (next == 'n') {
            sa_buf_append(buf, "\n", 1);
            p++;
        } else if (next == '\\' || next == '"') {
            sa_buf_append(buf, &next, 1);
            p++;
        } else {
            sa_buf_append(buf, p, 1);
        }
    }
}

typedef struct renamed_t {
    int pair;
    int times;      /* how often "exported_" is put in front */
} renamed_t;

typedef struct renaming_t {
    const sa_exposition_list_t *added;
    const sa_exposition_sample_t *sample;
    renamed_t renamed[SA_EXPOSITION_ADDED_MAX];
    int count;
} renaming_t;

/* Is NAME the name of PAIR with "exported_" put TIMES in front? */
static bool is_exported(const sa_exposition_text_t *name, const sa_exposition_text_t *pair,
                        int times)
{
    const char *p = name->start;

    if (name->length != pair->length + (size_t)times * EXPORTED_LENGTH) {
        return false;
    }
    for (int i = 0; i < times; i++, p += EXPORTED_LENGTH) {
        if (memcmp(p, EXPORTED, EXPORTED_LENGTH) != 0) {
            return false;
        }
    }
    return memcmp(p, pair->start, pair->length) == 0;
}

/* Is the name of PAIR, with "exported_" TIMES in front, one of a label of the
 * sample, of an added one, or of one that was renamed before? */
static bool is_taken(const renaming_t *renaming, const sa_exposition_text_t *pair, int times)
{
    const sa_exposition_sample_t *sample = renaming->sample;

    for (int i = 0; i < sample->pair_count; i++) {
        if (sample->pairs[i].value.length > 0 &&
            is_exported(&sample->pairs[i].name, pair, times)) {
            return true;
        }
    }
    for (int i = 0; i < renaming->added->count; i++) {
        if (is_exported(&renaming->added->names[i], pair, times)) {
            return true;
        }
    }
    for (int i = 0; i < renaming->count; i++) {
        const renamed_t *renamed = &renaming->renamed[i];
        int more = times - renamed->times;      /* the shorter name came first */

        if (more <= 0 ? is_exported(pair, &sample->pairs[renamed->pair].name, -more)
                      : is_exported(&sample->pairs[renamed->pair].name, pair, more)) {
            return true;
        }
    }
    return false;
}

/* Find new names as Prometheus does (resolveConflictingExposedLabels in its
 * scrape/scrape.go): short names first, "exported_" until the name is free. */
static void rename_taken(renaming_t *renaming)
{
    const sa_exposition_sample_t *sample = renaming->sample;
    renamed_t found[SA_EXPOSITION_ADDED_MAX];
    int count = 0;

    for (int i = 0; i < sample->pair_count; i++) {
        const sa_exposition_pair_t *pair = &sample->pairs[i];
        int place = count;

        if (pair->value.length == 0 ||
            !sa_exposition__is_in(renaming->added, &pair->name)) {
            continue;
        }
        while (place > 0 &&
               sample->pairs[found[place - 1].pair].name.length > pair->name.length) {
            found[place] = found[place - 1];
            place--;
        }
        found[place] = (renamed_t){i, 1};
        count++;
    }
    for (int i = 0; i < count; i++) {
        while (is_taken(renaming, &sample->pairs[found[i].pair].name, found[i].times)) {
            found[i].times++;
        }
        renaming->renamed[renaming->count++] = found[i];
    }
}

static int times_renamed(const renaming_t *renaming, int pair)
{
    for (int i = 0; i < renaming->count; i++) {
        if (renaming->renamed[i].pair == pair) {
            return renaming->renamed[i].times;
        }
    }
    return 0;
}

void sa_exposition__write_labels(sa_buf_t *patch, const sa_exposition_sample_t *sample,
                                 const sa_exposition_list_t *added)
{
    renaming_t renaming = {.added = added, .sample = sample};
    bool first = true;

    rename_taken(&renaming);
    for (int i = 0; i < sample->pair_count; i++) {
        const sa_exposition_pair_t *pair = &sample->pairs[i];

        if (pair->value.length == 0) {
            continue;
        }
        if (!first) {
            sa_buf_append(patch, ",", 1);
        }
        first = false;
        if (pair->quoted) {
            sa_buf_append(patch, "\"", 1);
        }
        for (int times = times_renamed(&renaming, i); times > 0; times--) {
            sa_buf_append(patch, EXPORTED, EXPORTED_LENGTH);
        }
        sa_exposition__append_mended(patch, &pair->name, '"');
        sa_buf_append_text(patch, pair->quoted ? "\"=\"" : "=\"");
        sa_exposition__append_mended(patch, &pair->value, '"');
        sa_buf_append(patch, "\"", 1);
    }
}
