/* base: random numbers for jitter and identifiers. */
#include "sa_random.h"

#include <apr_general.h>

#include "sa_error.h"

static apr_uint64_t rotate(apr_uint64_t value, int bits)
{
    return (value << bits) | (value >> (64 - bits));
}

static apr_uint64_t next(sa_random_t *random)
{
    apr_uint64_t *s = random->state;
    apr_uint64_t result = rotate(s[1] * 5, 7) * 9;
    apr_uint64_t shifted = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate(s[3], 45);
    return result;
}

static apr_uint64_t fixed_seed;

void sa_random_fix(apr_uint64_t seed)
{
    fixed_seed = seed;
}

void sa_random_bytes(void *data, size_t length)
{
    apr_status_t status = apr_generate_random_bytes(data, length);

    SA_ASSERT(status == APR_SUCCESS);
}

void sa_random_init(sa_random_t *random)
{
    if (fixed_seed != 0) {
        sa_random_init_seed(random, fixed_seed);
        fixed_seed++;
        return;
    }
    sa_random_bytes(random->state, sizeof(random->state));
    random->state[0] |= 1;      /* the one state it cannot leave is all zeros */
}

void sa_random_init_seed(sa_random_t *random, apr_uint64_t seed)
{
    /* splitmix64, so that neighbouring seeds do not give neighbouring states */
    for (int i = 0; i < 4; i++) {
        apr_uint64_t z;

        seed += APR_UINT64_C(0x9e3779b97f4a7c15);
        z = seed;
        z = (z ^ (z >> 30)) * APR_UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * APR_UINT64_C(0x94d049bb133111eb);
        random->state[i] = z ^ (z >> 31);
    }
}

apr_uint64_t sa_random_below(sa_random_t *random, apr_uint64_t below)
{
    apr_uint64_t limit;
    apr_uint64_t value;

    if (below == 0) {
        return 0;
    }
    /* the largest multiple of BELOW, so that no remainder is favoured */
    limit = APR_UINT64_MAX - APR_UINT64_MAX % below;
    do {
        value = next(random);
    } while (value >= limit);
    return value % below;
}

void sa_random_text(char *text, size_t length)
{
    static const char letters[] =
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    sa_random_t random;

    sa_random_init(&random);
    for (size_t i = 0; i < length; i++) {
        text[i] = letters[sa_random_below(&random, sizeof(letters) - 1)];
    }
    text[length] = '\0';
}
