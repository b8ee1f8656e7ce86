/* exposition: a page's samples one by one, for whoever wants a few numbers. */
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "sa_exposition_private.h"

void sa_exposition_each(const char *page, size_t length, sa_exposition_format_t format,
                        sa_exposition_sample_fn_t fn, void *baton, apr_pool_t *scratch_pool)
{
    sa_exposition_sample_t *sample = apr_palloc(scratch_pool, sizeof(*sample));
    const sa_exposition_reading_t reading = {
        .limit = page + length, .open = format == SA_EXPOSITION_OPENMETRICS
    };
    const char *p = page;

    /* What has no line end is no whole line: nothing behind it may be read. */
    for (const char *end = memchr(p, '\n', length); end;
         end = memchr(p, '\n', (size_t)(page + length - p))) {
        const char *line_end = end > p && end[-1] == '\r' ? end - 1 : end;
        sa_exposition_fault_t fault;

        if (p < line_end && *p != '#' &&
            sa_exposition__read_sample(sample, p, line_end, &reading, &fault)) {
            fn(baton, sample);
        }
        p = end + 1;
    }
}

bool sa_exposition_is_named(const sa_exposition_sample_t *sample, const char *name)
{
    return sample->name.length == strlen(name) &&
           memcmp(sample->name.start, name, sample->name.length) == 0;
}

const char *sa_exposition_label(const sa_exposition_sample_t *sample, const char *name,
                                apr_pool_t *pool)
{
    sa_exposition_text_t wanted = {name, strlen(name)};

    for (int i = 0; i < sample->pair_count; i++) {
        const sa_exposition_pair_t *pair = &sample->pairs[i];
        sa_buf_t text;
        const char *value;

        if (!sa_exposition__is_same(&pair->name, &wanted)) {
            continue;
        }
        if (pair->value.length == 0 || !memchr(pair->value.start, '\\', pair->value.length)) {
            return apr_pstrmemdup(pool, pair->value.start, pair->value.length);
        }
        memset(&text, 0, sizeof(text));
        text.limit = pair->value.length;
        sa_exposition__unescape(&text, &pair->value);
        value = apr_pstrmemdup(pool, text.data, text.length);
        sa_buf_free(&text);
        return value;
    }
    return "";
}

/* The grammar is checked, and a byte that no number has follows. */
double sa_exposition_value(const sa_exposition_sample_t *sample)
{
    return strtod(sample->value.start, NULL);
}
