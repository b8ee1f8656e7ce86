/* The spool: store and forward on SQLite (WAL).
 *
 * A report is accepted when sa_spool_append() has committed it; from then on
 * it survives kill -9 and a power cut until sa_spool_remove().  Each gets a
 * number that is never given twice in the life of the database, so a gap in
 * the numbers is a loss that anyone can see.  `boot` is random and made with
 * the database: {code}-{boot}-{seq} is unique for ever.
 *
 * One thread uses a spool at a time (the outbox's).  One process at a time:
 * the caller holds the state directory's lock. */
#ifndef SA_SPOOL_H
#define SA_SPOOL_H

#include <apr.h>
#include <apr_pools.h>
#include <apr_time.h>

#include "sa_error.h"

typedef struct sa_spool_t sa_spool_t;

/* Of SQLite. */
const char *sa_spool_library_version(void);

typedef struct sa_spool_limits_t {
    apr_uint64_t max_bytes;             /* of stored reports, overhead not counted */
    apr_interval_time_t max_age;        /* by the wall clock */
} sa_spool_limits_t;

/* One report as it is stored. */
typedef struct sa_spool_entry_t {
    apr_int64_t seq;
    apr_time_t made_at;
    const char *subject;
    const char *headers;    /* "Name: value\n" lines, or "" */
    const char *data;
    size_t length;
} sa_spool_entry_t;

typedef struct sa_spool_state_t {
    apr_uint64_t reports;
    apr_uint64_t bytes;
    apr_time_t oldest_at;       /* 0: empty */
    apr_int64_t last_seq;       /* the newest number given */
    apr_uint64_t dropped;       /* since the database was made */
} sa_spool_state_t;

/* Open (or make) the database at PATH.  Closed with POOL. */
sa_error_t *sa_spool_open(sa_spool_t **spool, const char *path,
                          const sa_spool_limits_t *limits, apr_pool_t *pool) SA_MUST_CHECK;
void sa_spool_set_limits(sa_spool_t *spool, const sa_spool_limits_t *limits);

/* The database's random name, 12 letters and digits. */
const char *sa_spool_boot(const sa_spool_t *spool);

/* Commit COUNT reports in one transaction and flush it to the disk; fills in
 * each one's SEQ.  All or none.  Past the limits the oldest go first, counted
 * in the state.  A full disk is SA_ERR_DISK_FULL: nothing was accepted. */
sa_error_t *sa_spool_append(sa_spool_t *spool, sa_spool_entry_t *entries, int count) SA_MUST_CHECK;

/* Read up to MAX reports with a number above AFTER, oldest first, into POOL,
 * and not more than MAX_BYTES of them (but at least one).  *COUNT of them are
 * in *ENTRIES. */
sa_error_t *sa_spool_read(sa_spool_entry_t **entries, int *count, sa_spool_t *spool,
                          apr_int64_t after, int max, size_t max_bytes,
                          apr_pool_t *pool) SA_MUST_CHECK;

/* Delete these reports in one transaction; unknown numbers are no error. */
sa_error_t *sa_spool_remove(sa_spool_t *spool, const apr_int64_t *seqs, int count) SA_MUST_CHECK;

/* Move one report to the quarantine table with a reason; it is never sent
 * again and no longer counts. */
sa_error_t *sa_spool_quarantine(sa_spool_t *spool, apr_int64_t seq,
                                const char *reason) SA_MUST_CHECK;

/* Drop what is older than the limit now. */
sa_error_t *sa_spool_expire(sa_spool_t *spool, apr_time_t now) SA_MUST_CHECK;

void sa_spool_read_state(sa_spool_state_t *state, const sa_spool_t *spool);

#endif
