/* Fuzz the exposition path.  The first byte chooses labels, size of a part,
 * format and filters; what must hold for every page:
 *   no part is larger than its limit, and each ends with a line end;
 *   what came out is read again without a bad line, and as many samples come
 *   out of that. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>

#include "sa_error.h"
#include "sa_exposition.h"
#include "sa_pool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const sa_exposition_label_t labels[] = {{"a", "x\\\"\n"}, {"job", "z"},
                                               {"exported_job", "y"}};

typedef struct sink_t {
    size_t limit;
    apr_uint64_t samples;
    sa_exposition_t *again;     /* NULL: this is the second reading */
} sink_t;

static void run(sa_exposition_result_t *result, sa_exposition_t *exposition, const char *page,
                size_t length, sa_exposition_format_t format, sink_t *sink);

static sa_error_t *check_part(void *baton, const char *data, size_t length,
                              apr_uint64_t samples)
{
    sink_t *sink = baton;

    SA_ASSERT(length > 0 && length <= sink->limit);
    SA_ASSERT(data[length - 1] == '\n');
    SA_ASSERT(samples > 0);
    sink->samples += samples;
    if (sink->again) {
        sink_t second = {.limit = sink->limit};
        sa_exposition_result_t result;

        run(&result, sink->again, data, length, SA_EXPOSITION_TEXT, &second);
        SA_ASSERT(result.bad_lines == 0);
        SA_ASSERT(result.samples == samples);
        SA_ASSERT(result.parts == 1);
    }
    return SA_OK;
}

static void run(sa_exposition_result_t *result, sa_exposition_t *exposition, const char *page,
                size_t length, sa_exposition_format_t format, sink_t *sink)
{
    sa_error_t *err;

    sa_exposition_begin(result, exposition, APR_INT64_C(1764000000123456), check_part, sink);
    err = sa_exposition_read(exposition, page, length, format);
    SA_ASSERT(err == SA_OK);
    err = sa_exposition_end(exposition);
    SA_ASSERT(err == SA_OK);
    SA_ASSERT(result->read == result->samples + result->filtered);
    SA_ASSERT(result->samples == sink->samples);
    SA_ASSERT((result->bad_lines > 0) == (result->bad_line > 0));
    SA_ASSERT(strlen(result->bad_text) < sizeof(result->bad_text));
}

static const sa_exposition_filter_t *make_filter(apr_pool_t *pool)
{
    static const char *const texts[] = {"*a?b", "l=*b*", "a"};
    apr_array_header_t *lists[3];
    sa_exposition_rules_t rules;
    sa_exposition_filter_t *filter;
    sa_error_t *err;

    for (int i = 0; i < 3; i++) {
        lists[i] = apr_array_make(pool, 1, sizeof(const char *));
        APR_ARRAY_PUSH(lists[i], const char *) = texts[i];
    }
    rules = (sa_exposition_rules_t){.drop = lists[0], .drop_if = lists[1],
                                    .drop_labels = lists[2]};
    err = sa_exposition_filter_create(&filter, &rules, pool);
    SA_ASSERT(err == SA_OK);
    return filter;
}

static sa_exposition_t *make(const sa_exposition_label_t *added, int count, size_t limit,
                             const sa_exposition_filter_t *filter, apr_pool_t *pool)
{
    sa_exposition_options_t options = {.labels = added, .label_count = count, .filter = filter,
                                       .part_limit_bytes = limit};
    sa_exposition_t *exposition;
    sa_error_t *err = sa_exposition_create(&exposition, &options, pool);

    SA_ASSERT(err == SA_OK);
    return exposition;
}

static void look(void *baton, const sa_exposition_sample_t *sample)
{
    (void)sa_exposition_is_named(sample, "a");
    (void)sa_exposition_label(sample, "a", baton);
    (void)sa_exposition_value(sample);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int initialized = 0;
    apr_pool_t *pool;
    sa_exposition_result_t result;
    sink_t sink = {.limit = SA_EXPOSITION_PART_MIN};
    const sa_exposition_filter_t *filter;
    sa_exposition_format_t format;
    char *page;

    if (!initialized) {
        apr_initialize();
        initialized = 1;
    }
    if (size == 0) {
        return 0;
    }
    pool = sa_pool_create_root();
    sink.limit += (size_t)(data[0] >> 4) * 100;
    sink.again = make(NULL, 0, sink.limit, NULL, pool);
    page = malloc(size);        /* of its own: the sanitizer then sees each overrun */
    memcpy(page, data + 1, size - 1);
    format = data[0] & 4 ? SA_EXPOSITION_OPENMETRICS : SA_EXPOSITION_TEXT;
    filter = data[0] & 8 ? make_filter(pool) : NULL;
    run(&result, make(labels, data[0] & 3, sink.limit, filter, pool), page, size - 1, format,
        &sink);
    sa_exposition_each(page, size - 1, format, look, pool, pool);
    free(page);
    apr_pool_destroy(pool);
    return 0;
}
