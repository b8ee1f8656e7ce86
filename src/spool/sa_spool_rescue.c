/* spool: a damaged database.
 *
 * It is renamed to *.rescue, a new one is made, what can be read of the old one
 * is taken over in batches, and only then it gets the name under which it
 * stays, *.damaged-TIME.  Each batch notes in its own transaction how far it
 * came, so a rescue that a full disk or a power cut interrupts is gone on with
 * at the next opening, and nothing is taken over twice.
 *
 * A damaged page hides the rows in it, not those behind it: where the reading
 * ends, the first number that can be read again is looked for with strides that
 * double, and then between the last two of them. */
#include "sa_spool_private.h"

#include <string.h>

#include <apr_file_io.h>
#include <apr_strings.h>

#include "sa_log.h"
#include "sa_os_file.h"
#include "sa_pool.h"
#include "sa_time.h"

#define BATCH_ROWS 256
#define BATCH_BYTES (1024 * 1024)
#define HIGHEST_NUMBER (APR_INT64_C(1) << 62)

/* Rows of version 1 have no checksum; all of these are without. */
static const char select_rows[] =
    "SELECT " SA_SPOOL_COLUMNS " FROM report WHERE seq >= ?1 ORDER BY seq";
static const char select_rows_v1[] =
    "SELECT seq, made_at, subject, headers, data, NULL FROM report WHERE seq >= ?1 ORDER BY seq";

/* One damaged database being read. */
typedef struct salvage_t {
    sqlite3 *db;
    sqlite3_stmt *rows;
    apr_int64_t unchecked;
    apr_int64_t next;           /* everything below has been dealt with */
    apr_int64_t first;          /* the lowest number that was read; 0: none */
    apr_int64_t last;           /* the newest number that it ever gave; 0: not known */
    apr_uint64_t changed;       /* rows whose checksum was wrong */
    bool broken;                /* there was a place that could not be read */
    apr_pool_t *pool;           /* of the batch */
    sa_spool_entry_t batch[BATCH_ROWS];
    int count;
    size_t bytes;
} salvage_t;

/* ---- reading ---------------------------------------------------------------- */

/* Is there a row at FROM or above, or is it certain that there is none?  Leaves
 * the statement at that row. */
static int seek(salvage_t *salvage, apr_int64_t from)
{
    sqlite3_reset(salvage->rows);
    sqlite3_bind_int64(salvage->rows, 1, from);
    return sqlite3_step(salvage->rows);
}

static bool is_readable(int result)
{
    return result == SQLITE_ROW || result == SQLITE_DONE;
}

/* Behind a place that cannot be read: at the first number that can. */
static int seek_behind(salvage_t *salvage)
{
    apr_int64_t bad = salvage->next;
    apr_int64_t stride = 1;
    apr_int64_t good = bad;

    salvage->broken = true;
    do {
        bad = good;
        if (bad > HIGHEST_NUMBER - stride) {
            return SQLITE_DONE;
        }
        good = bad + stride;
        stride *= 2;
    } while (!is_readable(seek(salvage, good)));
    while (good - bad > 1) {
        apr_int64_t middle = bad + (good - bad) / 2;

        if (is_readable(seek(salvage, middle))) {
            good = middle;
        } else {
            bad = middle;
        }
    }
    salvage->next = good;
    return seek(salvage, good);
}

/* RESULT, or that of going on behind what gave it. */
static int readable(salvage_t *salvage, int result)
{
    return is_readable(result) ? result : seek_behind(salvage);
}

/* The first number of TEXT's first row, or 0. */
static apr_int64_t number_of(sqlite3 *db, const char *text)
{
    sqlite3_stmt *stmt = NULL;
    apr_int64_t number = 0;

    if (sqlite3_prepare_v2(db, text, -1, &stmt, NULL) == SQLITE_OK
        && sqlite3_step(stmt) == SQLITE_ROW) {
        number = sqlite3_column_int64(stmt, 0);
    }
    sqlite3_finalize(stmt);
    return number;
}

/* false: not even its tables can be found. */
static bool open_salvage(salvage_t *salvage, const char *path)
{
    if (sqlite3_open_v2(path, &salvage->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL)
        != SQLITE_OK) {
        return false;
    }
    /* It stays as it is, for whoever wants to look into it. */
    sqlite3_db_config(salvage->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_exec(salvage->db, "PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF;", NULL,
                 NULL, NULL);
    salvage->last = number_of(salvage->db, "SELECT seq FROM sqlite_sequence WHERE name = 'report'");
    salvage->unchecked = number_of(salvage->db, "SELECT value FROM meta WHERE key = 'unchecked'");
    if (sqlite3_prepare_v2(salvage->db, select_rows, -1, &salvage->rows, NULL) == SQLITE_OK) {
        return true;
    }
    salvage->unchecked = HIGHEST_NUMBER;
    return sqlite3_prepare_v2(salvage->db, select_rows_v1, -1, &salvage->rows, NULL) == SQLITE_OK;
}

static void close_salvage(salvage_t *salvage)
{
    sqlite3_finalize(salvage->rows);
    sqlite3_close(salvage->db);
    apr_pool_destroy(salvage->pool);
}

/* ---- taking over ------------------------------------------------------------ */

static sa_error_t *commit_batch(sa_spool_t *spool, salvage_t *salvage)
{
    if (salvage->count == 0) {
        return SA_OK;
    }
    spool->taken = salvage->next - 1;
    spool->kept += (apr_uint64_t)salvage->count;
    SA_TRY(sa_spool_append(spool, salvage->batch, salvage->count));
    salvage->count = 0;
    salvage->bytes = 0;
    apr_pool_clear(salvage->pool);
    return SA_OK;
}

/* The row that the statement is at. */
static sa_error_t *take_row(sa_spool_t *spool, salvage_t *salvage)
{
    sa_spool_entry_t *entry = &salvage->batch[salvage->count];

    sa_spool__copy_row(entry, salvage->rows, salvage->unchecked, salvage->pool);
    /* one that is out of order has a number that is not its own */
    if (entry->damaged || entry->seq < salvage->next
        || entry->length + strlen(entry->subject) + strlen(entry->headers)
           > spool->limits.max_bytes) {
        salvage->changed++;
        return SA_OK;
    }
    salvage->first = salvage->first ? salvage->first : entry->seq;
    salvage->next = entry->seq + 1;
    salvage->bytes += entry->length;
    salvage->count++;
    if (salvage->count == BATCH_ROWS || salvage->bytes >= BATCH_BYTES) {
        SA_TRY(commit_batch(spool, salvage));
    }
    return SA_OK;
}

static sa_error_t *take_rows(sa_spool_t *spool, salvage_t *salvage)
{
    int result;

    salvage->next = spool->taken + 1;
    for (result = readable(salvage, seek(salvage, salvage->next)); result == SQLITE_ROW;
         result = readable(salvage, sqlite3_step(salvage->rows))) {
        SA_TRY(take_row(spool, salvage));
    }
    return commit_batch(spool, salvage);
}

/* Which numbers are missing among those that the database gave, at most: some
 * may have been delivered, and left holes behind. */
static const char *count_lost(const sa_spool_t *spool, const salvage_t *salvage, apr_pool_t *pool)
{
    apr_uint64_t numbers;

    if (salvage->last == 0 || salvage->first == 0 || spool->kept == 0) {
        return "unknown";
    }
    numbers = (apr_uint64_t)(salvage->last - salvage->first + 1);
    if (salvage->last < salvage->first || numbers < spool->kept) {
        return "unknown";       /* an earlier attempt took the first ones */
    }
    if (numbers == spool->kept) {
        return "nothing";
    }
    return apr_psprintf(pool, "at most %" APR_UINT64_T_FMT, numbers - spool->kept);
}

/* ---- setting aside ---------------------------------------------------------- */

static const char *const tails[] = {"-wal", "-shm", ""};
#define TAILS ((int)(sizeof(tails) / sizeof(tails[0])))

static sa_error_t *rename_one(const char *from, const char *to, const char *tail, apr_pool_t *pool)
{
    apr_status_t status = apr_file_rename(apr_pstrcat(pool, from, tail, NULL),
                                          apr_pstrcat(pool, to, tail, NULL), pool);

    if (status != APR_SUCCESS && !APR_STATUS_IS_ENOENT(status)) {
        return sa_error_apr(status, "cannot set the damaged spool %s%s aside", from, tail);
    }
    return SA_OK;
}

/* Under a name that says when. */
static sa_error_t *give_final_name(const char **aside, const sa_spool_t *spool, apr_pool_t *pool)
{
    const char *base = apr_psprintf(pool, "%s.damaged-%" APR_TIME_T_FMT, spool->path,
                                    apr_time_sec(sa_time_now()));

    *aside = base;
    for (int i = 1; sa_os_file_exists(*aside, pool) && i < 100; i++) {
        *aside = apr_psprintf(pool, "%s-%d", base, i);
    }
    /* the log's index is made again by whoever opens it */
    (void)apr_file_remove(apr_pstrcat(pool, spool->rescue_path, "-shm", NULL), pool);
    /* the database itself last: while it is there, it is not finished */
    for (int i = 0; i < TAILS; i++) {
        SA_TRY(rename_one(spool->rescue_path, *aside, tails[i], pool));
    }
    return SA_OK;
}

static sa_error_t *finish_rescue(sa_spool_t *spool, const salvage_t *salvage, sa_error_t *why,
                                 apr_pool_t *pool)
{
    const char *aside;

    SA_TRY(give_final_name(&aside, spool, pool));
    SA_LOG(spool_damaged, SA_S("path", spool->path), SA_S("aside", aside),
           SA_I("kept", spool->kept), SA_I("changed", salvage->changed),
           SA_S("lost", count_lost(spool, salvage, pool)), SA_E(why));
    return SA_OK;
}

/* Read what can be read of the one that waits, and let it rest.  Not being able
 * to read any of it is no error. */
static sa_error_t *rescue(sa_spool_t *spool, sa_error_t *why, apr_pool_t *pool)
{
    salvage_t *salvage = apr_pcalloc(pool, sizeof(*salvage));
    sa_error_t *err = SA_OK;

    salvage->pool = sa_pool_create(pool);
    if (open_salvage(salvage, spool->rescue_path)) {
        spool->rescuing = true;
        err = take_rows(spool, salvage);
        spool->rescuing = false;
    }
    close_salvage(salvage);
    return err ? err : finish_rescue(spool, salvage, why, pool);
}

/* One that was interrupted. */
static sa_error_t *continue_rescue(sa_spool_t *spool)
{
    apr_pool_t *pool = sa_pool_create_root();
    sa_error_t *err = SA_OK;

    if (sa_os_file_exists(spool->rescue_path, pool)) {
        sa_error_t *why = sa_error(SA_ERR_FILE_CONTENT, NULL,
                                   "it was found damaged before; what was begun is finished now");

        err = rescue(spool, why, pool);
        sa_error_clear(why);
    }
    apr_pool_destroy(pool);
    return err;
}

/* Out of the way, to where rescue() finds it.  One that still waits there gives
 * up its place: the new one, which has some of its rows, is damaged too. */
static sa_error_t *set_aside(const sa_spool_t *spool, sa_error_t *why, apr_pool_t *pool)
{
    if (sa_os_file_exists(spool->rescue_path, pool)) {
        const char *aside;

        SA_TRY(give_final_name(&aside, spool, pool));
        SA_LOG(spool_damaged, SA_S("path", spool->path), SA_S("aside", aside),
               SA_S("lost", "unknown"), SA_E(why));
    }
    /* The database first: without its log it would be an older one.  What an
     * interruption leaves of the log is moved by settle_leftovers(). */
    for (int i = TAILS - 1; i >= 0; i--) {
        SA_TRY(rename_one(spool->path, spool->rescue_path, tails[i], pool));
    }
    return SA_OK;
}

/* The log of a database that was renamed when the power went. */
static sa_error_t *settle_leftovers(const sa_spool_t *spool)
{
    apr_pool_t *pool = sa_pool_create_root();
    sa_error_t *err = SA_OK;

    if (sa_os_file_exists(spool->rescue_path, pool) && !sa_os_file_exists(spool->path, pool)) {
        for (int i = 0; !err && i < TAILS; i++) {
            err = rename_one(spool->path, spool->rescue_path, tails[i], pool);
        }
    }
    apr_pool_destroy(pool);
    return err;
}

sa_error_t *sa_spool__begin_anew(sa_spool_t *spool, sa_error_t *why)
{
    apr_pool_t *pool = sa_pool_create_root();
    sa_error_t *err;

    sa_spool__close_database(spool);
    err = set_aside(spool, why, pool);
    if (!err) {
        err = sa_spool__open_database(spool);
    }
    if (!err) {
        err = rescue(spool, why, pool);
    }
    if (err) {
        sa_spool__close_database(spool);
        spool->refused = true;
    }
    sa_error_clear(why);
    apr_pool_destroy(pool);
    return err;
}

sa_error_t *sa_spool__open(sa_spool_t *spool)
{
    sa_error_t *err;

    SA_TRY(settle_leftovers(spool));
    err = sa_spool__open_database(spool);
    if (sa_error_has(err, SA_ERR_FILE_CONTENT)) {
        return sa_spool__begin_anew(spool, err);
    }
    if (!err) {
        err = continue_rescue(spool);
    }
    if (err) {
        sa_spool__close_database(spool);
    }
    spool->refused = spool->refused || err;
    return err;
}
