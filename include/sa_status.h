/* What the running agent says of itself, read from outside: by people, with the bus down too.
 *
 * The agent keeps the file SA_STATUS_FILE in paths.runtime: one JSON object, replaced as a
 * whole, at each edge and with each beat.  It holds no secret.  A file that was left behind by
 * an agent that was killed is told by the number of its process and the moment when that
 * began. */
#ifndef SA_STATUS_H
#define SA_STATUS_H

#include <stdbool.h>

#include <apr_pools.h>
#include <apr_time.h>

#include "sa_error.h"
#include "sa_json.h"

#define SA_STATUS_FILE "status.json"
#define SA_STATUS_BYTES ((size_t)64 * 1024)

/* Looking on at what the agent publishes, without a port: who wants to look makes the file
 * SA_TAIL_WANTED in paths.runtime and touches it every now and then; while it is younger than
 * SA_TAIL_AGE the agent appends a line of JSON for each message to SA_TAIL_FILE, private to it, of
 * at most SA_TAIL_BYTES and one older one; afterwards it removes both. */
#define SA_TAIL_WANTED "tail.wanted"
#define SA_TAIL_FILE "tail.log"
#define SA_TAIL_AGE apr_time_from_sec(10)
#define SA_TAIL_BYTES ((apr_int64_t)4 * 1024 * 1024)
/* Of one message's payload; the rest is left out. */
#define SA_TAIL_PAYLOAD ((size_t)16 * 1024)

typedef struct sa_status_t {
    bool running;
    apr_int64_t pid;            /* 0: there is no file */
    apr_time_t written;
    apr_time_t started;
    const cJSON *json;          /* NULL: there is no file */
} sa_status_t;

/* STATUS lives in POOL.  No file, and the file of one that is gone, are no error.  An error: it
 * is there and cannot be read, or is not what it should be. */
sa_error_t *sa_status_read(sa_status_t *status, const char *runtime,
                           apr_pool_t *pool) SA_MUST_CHECK;

/* RFC 3339 in UTC, as our JSON has it; 0: TEXT is NULL or none. */
apr_time_t sa_status_time(const char *text);

#endif
