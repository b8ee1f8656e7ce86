/* Random numbers for jitter and identifiers, not for keys; and random bytes, for keys. */
#ifndef SA_RANDOM_H
#define SA_RANDOM_H

#include <stddef.h>

#include <apr.h>

/* xoshiro256** (Blackman and Vigna, public domain algorithm).  One thread. */
typedef struct sa_random_t {
    apr_uint64_t state[4];
} sa_random_t;

/* Seed from the machine's entropy: two devices never share a sequence. */
void sa_random_init(sa_random_t *random);
/* From now on sa_random_init() seeds from SEED and a counter instead of the
 * machine's entropy; 0 ends that.  Tests only, before the first thread. */
void sa_random_fix(apr_uint64_t seed);
/* Seed from a number: the same sequence each time, for tests. */
void sa_random_init_seed(sa_random_t *random, apr_uint64_t seed);
/* Uniform in [0, BELOW); 0 when BELOW is 0. */
apr_uint64_t sa_random_below(sa_random_t *random, apr_uint64_t below);
/* LENGTH random letters and digits and a NUL into TEXT (LENGTH + 1 bytes),
 * from the machine's entropy. */
void sa_random_text(char *text, size_t length);
/* LENGTH bytes that nobody can foretell, into DATA: the machine's entropy itself, whatever
 * sa_random_fix() says. */
void sa_random_bytes(void *data, size_t length);

#endif
