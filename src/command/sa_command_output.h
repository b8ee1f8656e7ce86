/* command, private: what a program wrote, for a reply that takes only so much.
 *
 * Of each stream the first bytes up to a limit count (what is beyond it is only counted),
 * and of those the last ones are kept.  One thread. */
#ifndef SA_COMMAND_OUTPUT_H
#define SA_COMMAND_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include <apr.h>
#include <apr_pools.h>
#include <cjson/cJSON.h>

typedef struct sa_command__output_t sa_command__output_t;

/* LIMIT counts, KEPT is the most that can be of use. */
sa_command__output_t *sa_command__output_create(apr_int64_t limit, size_t kept, apr_pool_t *pool);
void sa_command__output_add(sa_command__output_t *output, bool is_error, const char *data,
                            size_t length);
/* Add "output" to REPLY, in at most ROOM bytes of JSON: the value itself where the program
 * wrote JSON, else text, of which the end is kept where it does not fit; then "truncated"
 * and "omitted_bytes" as well.  The text lives in POOL, as REPLY must. */
void sa_command__output_tell(sa_command__output_t *output, cJSON *reply, size_t room,
                             apr_pool_t *pool);
/* "\n[output truncated: exceeded 10MB limit]", in POOL. */
const char *sa_command__output_note(apr_int64_t limit, apr_pool_t *pool);

#endif
