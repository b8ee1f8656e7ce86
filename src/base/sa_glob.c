/* base: globs.  Shift-And: bit i of the state says that the first i bytes of
 * the pattern match what was read so far. */
#include "sa_glob.h"

#include <stdint.h>
#include <string.h>

struct sa_glob_t {
    int length;             /* of the pattern, without its * */
    uint64_t stars;         /* a * stands in front of byte i */
    uint64_t questions;     /* byte i - 1 is a ? */
    uint64_t accepts[256];  /* bit i: byte i of the pattern takes this one */
};

static bool is_inner(unsigned char c)   /* of a UTF-8 character: not its first byte */
{
    return (c & 0xC0) == 0x80;
}

static void accept_any(sa_glob_t *glob, uint64_t bit)
{
    for (int c = 0; c < 256; c++) {
        if (!is_inner((unsigned char)c)) {
            glob->accepts[c] |= bit;
        }
    }
}

bool sa_glob_is_short(const char *pattern)
{
    size_t length = 0;

    for (; *pattern; pattern++) {
        length += *pattern != '*';
    }
    return length <= SA_GLOB_MAX;
}

sa_glob_t *sa_glob_create(const char *pattern, apr_pool_t *pool)
{
    sa_glob_t *glob;

    if (!sa_glob_is_short(pattern)) {
        return NULL;
    }
    glob = apr_pcalloc(pool, sizeof(*glob));
    for (const char *p = pattern; *p; p++) {
        uint64_t bit = (uint64_t)1 << glob->length;

        if (*p == '*') {
            glob->stars |= bit;
            continue;
        }
        if (*p == '?') {
            accept_any(glob, bit);
            glob->questions |= bit << 1;
        } else {
            glob->accepts[(unsigned char)*p] |= bit;
        }
        glob->length++;
    }
    return glob;
}

bool sa_glob_match(const sa_glob_t *glob, const char *text, size_t length)
{
    uint64_t last = (uint64_t)1 << glob->length;
    uint64_t state = 1;

    for (size_t i = 0; i < length && state != 0; i++) {
        unsigned char c = (unsigned char)text[i];
        uint64_t stay = state & glob->stars;

        if ((stay & last) != 0) {
            return true;        /* a * at the end takes the rest */
        }
        if (is_inner(c)) {
            stay |= state & glob->questions;
        }
        state = (state & glob->accepts[c]) << 1 | stay;
    }
    return (state & last) != 0;
}
