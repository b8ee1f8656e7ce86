/* spool, private: what its files share.
 *
 *     sa_spool.c             what is done with reports
 *     sa_spool_database.c    opening, schema, numbers, rows and their checksums
 *     sa_spool_rescue.c      a damaged database: set aside, read, begun anew
 *
 * All of it belongs to the thread that uses the spool. */
#ifndef SA_SPOOL_PRIVATE_H
#define SA_SPOOL_PRIVATE_H

#include <sqlite3.h>

#include "sa_spool.h"

#define SA_SPOOL_BOOT_LENGTH 12
#define SA_SPOOL_STREAM_LENGTH 64

/* seq, made_at, subject, headers, data, crc: what sa_spool__copy_row() takes. */
#define SA_SPOOL_COLUMNS "seq, made_at, subject, headers, data, crc"

typedef enum sa_spool__statement_t {
    ST_BEGIN, ST_COMMIT, ST_ROLLBACK, ST_APPEND, ST_READ, ST_REMOVE, ST_DROP_OLDEST, ST_EXPIRE,
    ST_SET_META, ST_OLDEST, ST_QUARANTINE, ST_TRIM_QUARANTINE, ST_SHRINK, ST_END
} sa_spool__statement_t;

struct sa_spool_t {
    sqlite3 *db;                        /* NULL: not open */
    sqlite3_stmt *statements[ST_END];
    const char *path;
    const char *rescue_path;            /* where a damaged one waits to be read */
    sa_spool_limits_t limits;
    sa_spool_state_t state;
    char boot[SA_SPOOL_BOOT_LENGTH + 1];
    char stream[SA_SPOOL_STREAM_LENGTH];    /* the floor, to be written with the next removal */
    apr_uint64_t floor;
    apr_int64_t unchecked;              /* rows up to here may have no checksum */
    bool refused;                       /* the last write failed, or the opening */
    bool rescuing;                      /* appending also notes what follows */
    apr_int64_t taken;                  /* the damaged one's rows up to here are dealt with */
    apr_uint64_t kept;                  /* of them */
};

/* ---- database -------------------------------------------------------------- */

/* What SQLite's RESULT means: SA_ERR_DISK_FULL, SA_ERR_FILE_CONTENT (damaged),
 * APR_EACCES, or SA_ERR_SPOOL. */
sa_error_t *sa_spool__error(const sa_spool_t *spool, int result, const char *intent) SA_MUST_CHECK;

/* The prepared statement, reset, for binding. */
sqlite3_stmt *sa_spool__statement(sa_spool_t *spool, sa_spool__statement_t which);
sa_error_t *sa_spool__run(sa_spool_t *spool, sa_spool__statement_t which,
                          const char *intent) SA_MUST_CHECK;
/* The first column of the first row of SQL as a number, 0 if there is none. */
sa_error_t *sa_spool__query_number(apr_int64_t *number, sa_spool_t *spool,
                                   const char *sql) SA_MUST_CHECK;

/* Open spool->path, making it if it is not there, and read its state.  On
 * failure it may be half open. */
sa_error_t *sa_spool__open_database(sa_spool_t *spool) SA_MUST_CHECK;
/* Also a pool cleanup. */
apr_status_t sa_spool__close_database(void *spool);

sa_error_t *sa_spool__read_oldest(sa_spool_t *spool) SA_MUST_CHECK;

/* In a transaction: write the table meta as it will be. */
sa_error_t *sa_spool__write_meta(sa_spool_t *spool, apr_uint64_t dropped,
                                 apr_int64_t last) SA_MUST_CHECK;
sa_error_t *sa_spool__set_meta(sa_spool_t *spool, const char *key,
                               apr_int64_t number) SA_MUST_CHECK;

/* Over all of it, its number and time included. */
apr_int64_t sa_spool__checksum(const sa_spool_entry_t *entry);
/* The row STMT is at, into POOL.  Rows up to the number UNCHECKED may be
 * without a checksum. */
void sa_spool__copy_row(sa_spool_entry_t *entry, sqlite3_stmt *stmt, apr_int64_t unchecked,
                        apr_pool_t *pool);

/* ---- rescue ---------------------------------------------------------------- */

/* Open the spool as it should be: a damaged database is set aside, and what can
 * be read of it is taken over.  On failure nothing is open, and the next call
 * goes on where this one ended. */
sa_error_t *sa_spool__open(sa_spool_t *spool) SA_MUST_CHECK;
/* Set the database aside because of WHY, which is cleared, and begin anew. */
sa_error_t *sa_spool__begin_anew(sa_spool_t *spool, sa_error_t *why) SA_MUST_CHECK;

#endif
