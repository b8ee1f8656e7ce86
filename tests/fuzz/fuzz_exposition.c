/* Fuzz the exposition path.  The first byte chooses labels and size of a part;
 * what must hold for every page:
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
                size_t length, sink_t *sink);

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

        run(&result, sink->again, data, length, &second);
        SA_ASSERT(result.bad_lines == 0);
        SA_ASSERT(result.samples == samples);
        SA_ASSERT(result.parts == 1);
    }
    return SA_OK;
}

static void run(sa_exposition_result_t *result, sa_exposition_t *exposition, const char *page,
                size_t length, sink_t *sink)
{
    sa_error_t *err = sa_exposition_run(result, exposition, page, length,
                                        APR_INT64_C(1764000000123456), check_part, sink);

    SA_ASSERT(err == SA_OK);
    SA_ASSERT(result->samples == sink->samples);
    SA_ASSERT((result->bad_lines > 0) == (result->bad_line > 0));
    SA_ASSERT(strlen(result->bad_text) < sizeof(result->bad_text));
}

static sa_exposition_t *make(const sa_exposition_label_t *added, int count, size_t limit,
                             apr_pool_t *pool)
{
    sa_exposition_options_t options = {.labels = added, .label_count = count,
                                       .part_limit_bytes = limit};
    sa_exposition_t *exposition;
    sa_error_t *err = sa_exposition_create(&exposition, &options, pool);

    SA_ASSERT(err == SA_OK);
    return exposition;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int initialized = 0;
    apr_pool_t *pool;
    sa_exposition_result_t result;
    sink_t sink = {.limit = SA_EXPOSITION_PART_MIN};
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
    sink.again = make(NULL, 0, sink.limit, pool);
    page = malloc(size);        /* of its own: the sanitizer then sees each overrun */
    memcpy(page, data + 1, size - 1);
    run(&result, make(labels, (data[0] & 15) % 4, sink.limit, pool), page, size - 1, &sink);
    free(page);
    apr_pool_destroy(pool);
    return 0;
}
