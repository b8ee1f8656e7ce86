/* libFuzzer entry: a pattern, a line end, and a text.  What must hold:
 *   a refused pattern says why; one that is taken has a bounded number of states;
 *   matching looks at no more states than there are for each character and once more;
 *   a text that is not UTF-8 matches nothing, nor does one that holds a line end, which no
 *   pattern can spell. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "sa_pattern.h"
#include "sa_pool.h"
#include "sa_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void match(const sa_pattern_t *pattern, const char *text, size_t length, apr_pool_t *pool)
{
    apr_uint64_t states = (apr_uint64_t)sa_pattern_states(pattern);
    apr_uint64_t steps = 0;
    bool matches = sa_pattern_match(pattern, text, length, &steps, pool);

    SA_ASSERT(states > 0 && states <= SA_PATTERN_STATES);
    SA_ASSERT(steps <= states * (length + 1));
    for (size_t i = 0; i < length;) {
        uint32_t point = 0;
        int count = sa_text_decode(&point, text + i, length - i);

        SA_ASSERT(count > 0 || !matches);
        SA_ASSERT(!matches || !sa_text_ends_line(point));
        i += count > 0 ? (size_t)count : 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t length = end ? (size_t)(end - data) : size;
    sa_pattern_t *pattern = NULL;
    apr_pool_t *pool;
    sa_error_t *err;

    if (!ready) {
        apr_initialize();
        ready = true;
    }
    pool = sa_pool_create_root();
    err = sa_pattern_create(&pattern, apr_pstrmemdup(pool, (const char *)data, length), pool);
    if (err) {
        SA_ASSERT(err->code == SA_ERR_PARSE && err->message);
        sa_error_clear(err);
    } else {
        size_t rest = end ? size - length - 1 : 0;
        char *text = malloc(rest + 1);      /* of its own: the sanitizer then sees each overrun */

        if (rest > 0) {
            memcpy(text, end + 1, rest);
        }
        match(pattern, text, rest, pool);
        free(text);
    }
    apr_pool_destroy(pool);
    return 0;
}
