/* spool: store and forward on SQLite: what is done with reports.
 *
 * Numbers are the one before plus one, and AUTOINCREMENT remembers the newest
 * also when the newest rows were deleted: none is ever given twice. */
#include "sa_spool.h"

#include <limits.h>
#include <string.h>

#include <apr_strings.h>
#include <sqlite3.h>

#include "sa_spool_private.h"

/* 2026-01-01: an earlier wall clock is one that nobody has set. */
#define CLOCK_SET (1767225600 * APR_INT64_C(1000000))
#define QUARANTINE_MAX 1000
#define SHRINK_PAGES 1024                   /* give back free pages beyond this many */

/* ---- life ------------------------------------------------------------------- */

const char *sa_spool_library_version(void)
{
    return sqlite3_libversion();
}

/* Waiting does not mend it. */
static bool needs_a_hand(const sa_error_t *err)
{
    return sa_error_has(err, APR_EACCES) || sa_error_has(err, SA_ERR_FILE_UNSAFE)
           || sa_error_has(err, SA_ERR_SPOOL_FORMAT);
}

sa_error_t *sa_spool_open(sa_spool_t **result, const char *path, const sa_spool_limits_t *limits,
                          apr_pool_t *pool)
{
    sa_spool_t *spool = apr_pcalloc(pool, sizeof(*spool));
    sa_error_t *err;

    spool->path = apr_pstrdup(pool, path);
    spool->rescue_path = apr_pstrcat(pool, path, ".rescue", NULL);
    spool->limits = *limits;
    apr_pool_cleanup_register(pool, spool, sa_spool__close_database, apr_pool_cleanup_null);
    err = sa_spool__open(spool);
    *result = needs_a_hand(err) ? NULL : spool;
    return err;
}

bool sa_spool_is_open(const sa_spool_t *spool)
{
    return spool->db != NULL;
}

static sa_error_t *ensure_open(sa_spool_t *spool)
{
    return spool->db ? SA_OK : sa_spool__open(spool);
}

sa_error_t *sa_spool_rescue(sa_spool_t *spool)
{
    if (!spool->db) {
        return sa_spool__open(spool);
    }
    return sa_spool__begin_anew(spool, sa_error(SA_ERR_FILE_CONTENT, NULL,
                                                "SQLite found the database damaged"));
}

void sa_spool_set_limits(sa_spool_t *spool, const sa_spool_limits_t *limits)
{
    spool->limits = *limits;
}

const char *sa_spool_boot(const sa_spool_t *spool)
{
    return spool->boot;
}

void sa_spool_set_floor(sa_spool_t *spool, const char *stream, apr_uint64_t seq)
{
    apr_cpystrn(spool->stream, stream, sizeof(spool->stream));
    spool->floor = seq;
}

const char *sa_spool_floor(const sa_spool_t *spool, apr_uint64_t *seq)
{
    *seq = spool->floor;
    return spool->stream;
}

void sa_spool_read_state(sa_spool_state_t *state, const sa_spool_t *spool)
{
    *state = spool->state;
}

/* ---- transactions ----------------------------------------------------------- */

/* Run a deleting statement whose rows are sizes; add them up. */
static sa_error_t *run_delete(sa_spool_t *spool, sa_spool__statement_t which, apr_uint64_t *count,
                              apr_uint64_t *bytes, const char *intent)
{
    sqlite3_stmt *stmt = spool->statements[which];
    int result = sqlite3_step(stmt);
    sa_error_t *err;

    for (; result == SQLITE_ROW; result = sqlite3_step(stmt)) {
        (*count)++;
        *bytes += (apr_uint64_t)sqlite3_column_int64(stmt, 0);
    }
    err = result == SQLITE_DONE ? SA_OK : sa_spool__error(spool, result, intent);
    sqlite3_reset(stmt);
    return err;
}

/* On a full disk the write-ahead log may be what fills it, and only a commit
 * would empty it: empty it by hand, for the next try. */
static void empty_log(sa_spool_t *spool)
{
    /* a failure leaves things as they are */
    (void)sqlite3_wal_checkpoint_v2(spool->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
}

/* End a transaction: commit if all went well, and never lose the first error. */
static sa_error_t *finish(sa_spool_t *spool, sa_error_t *err, const char *intent)
{
    if (!err) {
        err = sa_spool__run(spool, ST_COMMIT, intent);
    }
    if (err && !sqlite3_get_autocommit(spool->db)) {
        err = sa_error_compose(err, sa_spool__run(spool, ST_ROLLBACK, "roll back"));
    }
    if (sa_error_has(err, SA_ERR_DISK_FULL)) {
        empty_log(spool);
    }
    spool->refused = err != SA_OK;
    return err;
}

/* What a transaction changes in the state; taken over when it has committed. */
typedef struct change_t {
    apr_uint64_t added;
    apr_uint64_t added_bytes;
    apr_uint64_t removed;
    apr_uint64_t removed_bytes;
    apr_uint64_t dropped;
} change_t;

static void apply(sa_spool_t *spool, const change_t *change)
{
    sa_spool_state_t *state = &spool->state;

    state->reports += change->added;
    state->reports -= change->removed < state->reports ? change->removed : state->reports;
    state->bytes += change->added_bytes;
    state->bytes -= change->removed_bytes < state->bytes ? change->removed_bytes : state->bytes;
    state->dropped += change->dropped;
}

static apr_uint64_t entry_bytes(const sa_spool_entry_t *entry)
{
    return entry->length + strlen(entry->subject) + strlen(entry->headers);
}

bool sa_spool_takes(const sa_spool_t *spool, const sa_spool_entry_t *entry)
{
    return entry_bytes(entry) <= spool->limits.max_bytes;
}

/* Let the oldest go until what is there and the new ones fit. */
static sa_error_t *make_room(sa_spool_t *spool, change_t *change)
{
    apr_uint64_t before = change->removed;

    while (spool->state.bytes + change->added_bytes - change->removed_bytes
               > spool->limits.max_bytes
           && change->removed < spool->state.reports + change->added) {
        apr_uint64_t removed = change->removed;

        sa_spool__statement(spool, ST_DROP_OLDEST);
        SA_TRY(run_delete(spool, ST_DROP_OLDEST, &change->removed, &change->removed_bytes,
                          "make room in"));
        if (change->removed == removed) {
            break;
        }
    }
    change->dropped += change->removed - before;
    return SA_OK;
}

/* In the transaction of everything that takes reports out. */
static sa_error_t *note_removal(sa_spool_t *spool, const change_t *change)
{
    return sa_spool__write_meta(spool, spool->state.dropped + change->dropped,
                                spool->state.last_seq + (apr_int64_t)change->added);
}

static sa_error_t *insert(sa_spool_t *spool, sa_spool_entry_t *entry)
{
    sqlite3_stmt *stmt = sa_spool__statement(spool, ST_APPEND);

    SA_ASSERT(entry->length <= INT_MAX);
    sqlite3_bind_int64(stmt, 1, entry->seq);
    sqlite3_bind_int64(stmt, 2, entry->made_at);
    sqlite3_bind_text(stmt, 3, entry->subject, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 4, entry->headers, -1, SQLITE_STATIC);
    sqlite3_bind_blob(stmt, 5, entry->length ? entry->data : "", (int)entry->length,
                      SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 6, sa_spool__checksum(entry));
    return sa_spool__run(spool, ST_APPEND, "append to");
}

static sa_error_t *append_all(sa_spool_t *spool, change_t *change, sa_spool_entry_t *entries,
                              int count)
{
    for (int i = 0; i < count; i++) {
        entries[i].seq = spool->state.last_seq + 1 + i;
        SA_TRY(insert(spool, &entries[i]));
        change->added++;
        change->added_bytes += entry_bytes(&entries[i]);
    }
    if (spool->rescuing) {
        SA_TRY(sa_spool__set_meta(spool, "taken", spool->taken));
        SA_TRY(sa_spool__set_meta(spool, "kept", (apr_int64_t)spool->kept));
    }
    SA_TRY(make_room(spool, change));
    return change->dropped > 0 ? note_removal(spool, change) : SA_OK;
}

sa_error_t *sa_spool_append(sa_spool_t *spool, sa_spool_entry_t *entries, int count)
{
    change_t change = {0};

    for (int i = 0; i < count; i++) {
        if (!sa_spool_takes(spool, &entries[i])) {
            return sa_error(SA_ERR_TOO_LARGE, NULL,
                            "a report of %" APR_SIZE_T_FMT " bytes is larger than the whole spool "
                            "may be; raise spool.max_size", (apr_size_t)entries[i].length);
        }
    }
    SA_TRY(ensure_open(spool));
    SA_TRY(sa_spool__run(spool, ST_BEGIN, "write to"));
    SA_TRY(finish(spool, append_all(spool, &change, entries, count), "write to"));
    apply(spool, &change);
    spool->state.last_seq += count;
    if (change.removed > 0 || spool->state.oldest_at == 0) {
        /* they are accepted, whatever this says */
        sa_error_clear(sa_spool__read_oldest(spool));
    }
    return SA_OK;
}

/* A number that was never given, or not in its place: whoever goes on behind it
 * would walk in circles. */
static sa_error_t *check_order(const sa_spool_t *spool, apr_int64_t *before,
                               const sa_spool_entry_t *entry)
{
    if (entry->seq <= *before || entry->seq > spool->state.last_seq) {
        return sa_error(SA_ERR_FILE_CONTENT, NULL, "the spool %s has its rows out of order",
                        spool->path);
    }
    *before = entry->seq;
    return SA_OK;
}

sa_error_t *sa_spool_read(sa_spool_entry_t **entries, int *count, sa_spool_t *spool,
                          apr_int64_t after, int max, size_t max_bytes, apr_pool_t *pool)
{
    sqlite3_stmt *stmt;
    sa_error_t *err = SA_OK;
    size_t bytes = 0;
    int result;

    *count = 0;
    SA_ASSERT(max > 0);
    SA_TRY(ensure_open(spool));
    stmt = sa_spool__statement(spool, ST_READ);
    *entries = apr_palloc(pool, (apr_size_t)max * sizeof(**entries));
    sqlite3_bind_int64(stmt, 1, after);
    sqlite3_bind_int(stmt, 2, max);
    for (result = sqlite3_step(stmt); !err && result == SQLITE_ROW; result = sqlite3_step(stmt)) {
        bytes += (size_t)sqlite3_column_bytes(stmt, 4);
        if (*count > 0 && bytes > max_bytes) {
            result = SQLITE_DONE;
            break;
        }
        sa_spool__copy_row(&(*entries)[*count], stmt, spool->unchecked, pool);
        err = check_order(spool, &after, &(*entries)[*count]);
        (*count)++;
    }
    if (!err && result != SQLITE_DONE) {
        err = sa_spool__error(spool, result, "read");
    }
    sqlite3_reset(stmt);
    *count = err ? 0 : *count;
    return err;
}

/* Delete runs of neighbouring numbers at once: acknowledgements come in order. */
static sa_error_t *remove_runs(sa_spool_t *spool, change_t *change, const apr_int64_t *seqs,
                               int count)
{
    for (int i = 0; i < count;) {
        sqlite3_stmt *stmt = sa_spool__statement(spool, ST_REMOVE);
        int last = i;

        while (last + 1 < count && seqs[last + 1] == seqs[last] + 1) {
            last++;
        }
        sqlite3_bind_int64(stmt, 1, seqs[i]);
        sqlite3_bind_int64(stmt, 2, seqs[last]);
        SA_TRY(run_delete(spool, ST_REMOVE, &change->removed, &change->removed_bytes,
                          "remove from"));
        i = last + 1;
    }
    return SA_OK;
}

static sa_error_t *remove_all(sa_spool_t *spool, change_t *change, const apr_int64_t *seqs,
                              int count)
{
    SA_TRY(remove_runs(spool, change, seqs, count));
    return note_removal(spool, change);
}

sa_error_t *sa_spool_remove(sa_spool_t *spool, const apr_int64_t *seqs, int count)
{
    change_t change = {0};

    SA_TRY(ensure_open(spool));
    SA_TRY(sa_spool__run(spool, ST_BEGIN, "write to"));
    SA_TRY(finish(spool, remove_all(spool, &change, seqs, count), "remove from"));
    apply(spool, &change);
    return sa_spool__read_oldest(spool);
}

static sa_error_t *move_to_quarantine(sa_spool_t *spool, change_t *change, apr_int64_t seq,
                                      const char *reason)
{
    sqlite3_stmt *stmt = sa_spool__statement(spool, ST_QUARANTINE);

    sqlite3_bind_int64(stmt, 1, seq);
    sqlite3_bind_text(stmt, 2, reason, -1, SQLITE_TRANSIENT);
    SA_TRY(sa_spool__run(spool, ST_QUARANTINE, "set a report aside in"));
    SA_TRY(remove_all(spool, change, &seq, 1));
    stmt = sa_spool__statement(spool, ST_TRIM_QUARANTINE);
    sqlite3_bind_int(stmt, 1, QUARANTINE_MAX);
    return sa_spool__run(spool, ST_TRIM_QUARANTINE, "trim");
}

sa_error_t *sa_spool_quarantine(sa_spool_t *spool, apr_int64_t seq, const char *reason)
{
    change_t change = {0};

    SA_TRY(ensure_open(spool));
    SA_TRY(sa_spool__run(spool, ST_BEGIN, "write to"));
    SA_TRY(finish(spool, move_to_quarantine(spool, &change, seq, reason), "write to"));
    apply(spool, &change);
    return sa_spool__read_oldest(spool);
}

static sa_error_t *expire(sa_spool_t *spool, change_t *change, apr_time_t before)
{
    sqlite3_stmt *stmt = sa_spool__statement(spool, ST_EXPIRE);

    sqlite3_bind_int64(stmt, 1, before);
    sqlite3_bind_int64(stmt, 2, CLOCK_SET);
    SA_TRY(run_delete(spool, ST_EXPIRE, &change->removed, &change->removed_bytes,
                      "remove old reports from"));
    change->dropped = change->removed;
    return note_removal(spool, change);
}

sa_error_t *sa_spool_expire(sa_spool_t *spool, apr_time_t now)
{
    apr_time_t before = now - spool->limits.max_age;
    apr_int64_t free_pages;
    change_t change = {0};

    SA_TRY(ensure_open(spool));
    if (spool->refused
        || (spool->state.oldest_at >= CLOCK_SET && spool->state.oldest_at < before)) {
        SA_TRY(sa_spool__run(spool, ST_BEGIN, "write to"));
        SA_TRY(finish(spool, expire(spool, &change, before), "write to"));
        apply(spool, &change);
        SA_TRY(sa_spool__read_oldest(spool));
    }
    SA_TRY(sa_spool__query_number(&free_pages, spool, "PRAGMA freelist_count"));
    return free_pages > SHRINK_PAGES ? sa_spool__run(spool, ST_SHRINK, "shrink") : SA_OK;
}
