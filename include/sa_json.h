/* JSON on cJSON: trees adopted by pools, checked getters, bounded printing. */
#ifndef SA_JSON_H
#define SA_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include <apr.h>
#include <apr_pools.h>
#include <apr_time.h>
#include <cjson/cJSON.h>

#include "sa_error.h"
#include "sa_stats.h"

/* Let JSON die with POOL.  Returns JSON. */
cJSON *sa_json_own(cJSON *json, apr_pool_t *pool);
/* A new object that dies with POOL. */
cJSON *sa_json_object(apr_pool_t *pool);

/* Parse exactly TEXT[0..LENGTH) into an object owned by POOL.  Anything else
 * (not JSON, not an object, bytes behind it, a NUL inside, also as \u0000) is SA_ERR_PARSE.
 * Bounding LENGTH is the caller's; depth is bounded by cJSON (1000). */
sa_error_t *sa_json_parse(cJSON **json, const char *text, size_t length,
                          apr_pool_t *pool) SA_MUST_CHECK;

/* A member that is there twice means one thing to us and another to whoever else reads OBJECT,
 * to allow it or to record it.  SA_ERR_REFUSED with a message that names WHAT when there is
 * one (the case of ASCII ignored, as the getters do), or more than LIMIT members: all are
 * compared with all. */
sa_error_t *sa_json_check_names(const cJSON *object, const char *what, int limit) SA_MUST_CHECK;

/* The claims of the JWT TEXT (RFC 7519), which nobody has verified, as an object owned by
 * POOL.  Bounding TEXT is the caller's. */
sa_error_t *sa_json_claims(cJSON **claims, const char *text, apr_pool_t *pool) SA_MUST_CHECK;

/* Getters ignore the case of NAME, as the platform's agents do.  NULL or false
 * when the member is missing or of another type. */
const char *sa_json_text(const cJSON *json, const char *name);
bool sa_json_number(const cJSON *json, const char *name, double *number);

/* Adders that say what the wire wants. */
void sa_json_add_time(cJSON *json, const char *name, apr_time_t time);
/* Two decimals, half away from zero; not-a-number becomes 0. */
void sa_json_add_rounded(cJSON *json, const char *name, double number);
void sa_json_add_count(cJSON *json, const char *name, apr_uint64_t count);
double sa_json_round(double number);

/* TEXT without the blanks between its parts, in POOL, if it is one JSON value by the letter of
 * RFC 8259, UTF-8 and nested no deeper than DEPTH; else NULL.  For text that goes into a
 * document of ours as it is: cJSON's own parser takes more than JSON. */
#define SA_JSON_DEPTH_MAX 256
const char *sa_json_compact(size_t *compact_length, const char *text, size_t length, int depth,
                            apr_pool_t *pool);

/* Compact text in POOL; *LENGTH (may be NULL) without the NUL.  Bytes that are no
 * UTF-8 (names of mounts and interfaces may have any) become U+FFFD. */
const char *sa_json_print(const cJSON *json, size_t *length, apr_pool_t *pool);
/* The same for what holds a secret: the text is wiped with POOL, and no other copy of it
 * stays behind.  Its bytes are left as they are. */
const char *sa_json_print_secret(const cJSON *json, size_t *length, apr_pool_t *pool);

/* What sa_stats.h keeps, as a member NAME of OBJECT: a number; a time, left out while it has not
 * come; a text, left out while it is empty. */
void sa_json_add_stat(cJSON *object, const char *name, sa_stat_t stat);
void sa_json_add_stat_time(cJSON *object, const char *name, sa_stat_t stat);
void sa_json_add_stat_text(cJSON *object, const char *name, sa_stat_text_t stat);

#endif
