/* Patterns with * (any text, none too) and ? (one character), matched in time
 * linear in the text, whatever the pattern: all ways to match are followed at
 * once, as bits of one word, and none is ever tried again. */
#ifndef SA_GLOB_H
#define SA_GLOB_H

#include <stdbool.h>
#include <stddef.h>

#include <apr_pools.h>

/* Most bytes of a pattern, those of * not counted. */
#define SA_GLOB_MAX 63

typedef struct sa_glob_t sa_glob_t;

/* NULL: the pattern is too long.  Living in POOL (about 2 KB); never changes
 * afterwards. */
sa_glob_t *sa_glob_create(const char *pattern, apr_pool_t *pool);
/* The same check, without making one. */
bool sa_glob_is_short(const char *pattern);
/* Does all of TEXT match?  Any thread. */
bool sa_glob_match(const sa_glob_t *glob, const char *text, size_t length);

#endif
