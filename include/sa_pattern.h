/* Regular expressions that are safe to run on what comes from the bus: the whole text
 * matches or nothing does, in time linear in the text whatever pattern and text are.
 *
 * The pattern becomes a small machine whose states are followed all at once (Thompson,
 * "Regular expression search algorithm", CACM 1968), so that nothing is ever tried again.
 *
 * A pattern is UTF-8, and so is what it takes; its unit is the code point.
 *
 *     x          itself; \ before a sign that is neither letter nor digit: that sign
 *     .          any one, but no line end
 *     [a-z_] [^ ]   one of these; one that is none of these, and no line end
 *     \d \w \s   a digit 0-9; a letter a-z A-Z, digit or _; a blank or tab
 *     \D \W \S   one that is none of those, and no line end
 *     (ab|cd)    either; (?: ) is the same
 *     * + ? {m} {m,} {m,n}    repeats of what stands before it, at most 255
 *     ^ at the beginning and $ at the end of it all say what is so anyway
 *
 * In [ ] the signs [ ] and \ stand behind a \, and - does or is the first or last.
 * Everything else is an error: back references, \b, lazy and double repeats.
 *
 * A pattern never changes once made; any thread. */
#ifndef SA_PATTERN_H
#define SA_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#include <apr.h>
#include <apr_pools.h>

#include "sa_error.h"

#define SA_PATTERN_BYTES 1024       /* most bytes of a pattern */
#define SA_PATTERN_STATES 2000      /* most states of its machine */
#define SA_PATTERN_REPEATS 255
#define SA_PATTERN_DEPTH 32         /* most ( in ( */

typedef struct sa_pattern_t sa_pattern_t;

/* SA_ERR_PARSE with the message "what, at column N"; N counts characters from 1. */
sa_error_t *sa_pattern_create(sa_pattern_t **pattern, const char *text,
                              apr_pool_t *pool) SA_MUST_CHECK;

/* Does all of TEXT match?  What is not UTF-8 never does.  STEPS (may be NULL) is how many
 * states were looked at: never more than sa_pattern_states() for each code point and once
 * more. */
bool sa_pattern_match(const sa_pattern_t *pattern, const char *text, size_t length,
                      apr_uint64_t *steps, apr_pool_t *scratch_pool);

int sa_pattern_states(const sa_pattern_t *pattern);

#endif
