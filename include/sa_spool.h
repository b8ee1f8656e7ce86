/* The spool: store and forward on SQLite (WAL).
 *
 * A report is accepted when sa_spool_append() has committed it; from then on
 * it survives kill -9 and a power cut until sa_spool_remove().  Each gets a
 * number that is never given twice in the life of the database, so a gap in
 * the numbers is a loss that anyone can see.  `boot` is random and made with
 * the database: {code}-{boot}-{seq} is unique for ever.
 *
 * The disk may change what it holds.  Each row has a checksum over all of it:
 * one that is wrong is marked, for the quarantine.  A database that SQLite finds
 * damaged, or that contradicts itself, is moved away under a name that says
 * when, *.damaged-TIME; what can be read of it is taken over into a new one with
 * a new boot; and the event spool_damaged says what was kept and how much may be
 * lost.  Something else in the database's place goes the same way.
 *
 * At the opening the whole structure is looked through while the file is small
 * (16 MB, some 20 ms; mostly it is almost empty); all rows are counted in any
 * case.  Looking through 256 MB takes 0.2 s from memory, but reads every page of
 * it, at each start, and finds nothing that is not found when the reading comes
 * to it.  What the checks cannot see is a write-ahead log that
 * was cut off or taken away: it is an older state in itself, and its newest
 * numbers will be given again.
 *
 * One thread uses a spool at a time (the outbox's).  One process at a time:
 * the caller holds the state directory's lock. */
#ifndef SA_SPOOL_H
#define SA_SPOOL_H

#include <stdbool.h>

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
    bool damaged;           /* the disk has changed it; only from sa_spool_read() */
} sa_spool_entry_t;

typedef struct sa_spool_state_t {
    apr_uint64_t reports;
    apr_uint64_t bytes;
    apr_time_t oldest_at;       /* 0: empty */
    apr_int64_t first_seq;      /* of the oldest report; 0: empty */
    apr_int64_t last_seq;       /* the newest number given */
    apr_uint64_t dropped;       /* since the database was made */
} sa_spool_state_t;

/* Open (or make) the database at PATH.  Closed with POOL.
 *
 * When the disk refuses (full, read-only, an I/O error, a lock that somebody
 * holds) the error says so and *SPOOL is there all the same: not open, empty,
 * without a boot.  Everything that reads or writes then tries to open it first.
 * *SPOOL is NULL where only a person can help: wrong owner or rights
 * (APR_EACCES), no regular file (SA_ERR_FILE_UNSAFE), the format of a newer
 * version (SA_ERR_SPOOL_FORMAT). */
sa_error_t *sa_spool_open(sa_spool_t **spool, const char *path,
                          const sa_spool_limits_t *limits, apr_pool_t *pool) SA_MUST_CHECK;
bool sa_spool_is_open(const sa_spool_t *spool);
void sa_spool_set_limits(sa_spool_t *spool, const sa_spool_limits_t *limits);

/* The database's random name, 12 letters and digits; "" while it is not open. */
const char *sa_spool_boot(const sa_spool_t *spool);

/* Where in which stream the newest acknowledged report is known to stand: kept
 * with the next removal, for after a restart. */
void sa_spool_set_floor(sa_spool_t *spool, const char *stream, apr_uint64_t seq);
/* As it was when the database was opened; "" and 0 if never set. */
const char *sa_spool_floor(const sa_spool_t *spool, apr_uint64_t *seq);

/* Begin a new database with what can be read of this one, which was found
 * damaged (an error with SA_ERR_FILE_CONTENT).  Numbers and boot are new: no
 * number of the old one means anything to the new one.  On failure (a full disk)
 * it is not open; the next opening goes on with it, also in another life. */
sa_error_t *sa_spool_rescue(sa_spool_t *spool) SA_MUST_CHECK;

/* Is ENTRY small enough for the limits at all? */
bool sa_spool_takes(const sa_spool_t *spool, const sa_spool_entry_t *entry);

/* Commit COUNT reports in one transaction and flush it to the disk; fills in
 * each one's SEQ.  All or none.  Past the limits the oldest go first, counted
 * in the state.  A full disk is SA_ERR_DISK_FULL: nothing was accepted. */
sa_error_t *sa_spool_append(sa_spool_t *spool, sa_spool_entry_t *entries, int count) SA_MUST_CHECK;

/* Read up to MAX reports with a number above AFTER, oldest first, into POOL,
 * and not more than MAX_BYTES of them (but at least one).  *COUNT of them are
 * in *ENTRIES; one whose checksum is wrong has DAMAGED set. */
sa_error_t *sa_spool_read(sa_spool_entry_t **entries, int *count, sa_spool_t *spool,
                          apr_int64_t after, int max, size_t max_bytes,
                          apr_pool_t *pool) SA_MUST_CHECK;

/* Delete these reports in one transaction; unknown numbers are no error. */
sa_error_t *sa_spool_remove(sa_spool_t *spool, const apr_int64_t *seqs, int count) SA_MUST_CHECK;

/* Move one report to the quarantine table with a reason; it is never sent
 * again and no longer counts. */
sa_error_t *sa_spool_quarantine(sa_spool_t *spool, apr_int64_t seq,
                                const char *reason) SA_MUST_CHECK;

/* Drop what is older than the limit now.  After a write that failed it writes in
 * any case: no error then means that the disk takes something again. */
sa_error_t *sa_spool_expire(sa_spool_t *spool, apr_time_t now) SA_MUST_CHECK;

void sa_spool_read_state(sa_spool_state_t *state, const sa_spool_t *spool);

#endif
