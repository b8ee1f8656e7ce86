/* spool: store and forward on SQLite.
 *
 * WAL with synchronous=FULL: a commit has reached the disk when it returns.
 * The database stays readable for the sqlite3 tool while we run.  Numbers come
 * from AUTOINCREMENT, which never gives one twice, also after the newest rows
 * were deleted. */
#include "sa_spool.h"

#include <limits.h>
#include <string.h>

#include <apr_file_io.h>
#include <apr_strings.h>
#include <sqlite3.h>

#include "sa_log.h"
#include "sa_os_file.h"
#include "sa_random.h"
#include "sa_time.h"

#define SCHEMA_VERSION 1
#define APPLICATION_ID 0x53416773           /* "SAgs" */
#define BOOT_LENGTH 12
#define QUARANTINE_MAX 1000
#define SHRINK_PAGES 1024                   /* give back free pages beyond this many */
#define BUSY_TIMEOUT_MS 5000                /* an administrator's sqlite3 may hold the lock */

#define ROW_BYTES "length(data) + length(CAST(subject AS BLOB)) + length(CAST(headers AS BLOB))"

typedef enum statement_t {
    ST_BEGIN, ST_COMMIT, ST_ROLLBACK, ST_APPEND, ST_READ, ST_REMOVE, ST_DROP_OLDEST, ST_EXPIRE,
    ST_COUNT_DROPPED, ST_OLDEST, ST_QUARANTINE, ST_TRIM_QUARANTINE, ST_SHRINK, ST_END
} statement_t;

static const char *const statement_texts[ST_END] = {
    [ST_BEGIN] = "BEGIN IMMEDIATE",
    [ST_COMMIT] = "COMMIT",
    [ST_ROLLBACK] = "ROLLBACK",
    [ST_APPEND] = "INSERT INTO report (made_at, subject, headers, data) VALUES (?1, ?2, ?3, ?4)",
    [ST_READ] = "SELECT seq, made_at, subject, headers, data FROM report"
                " WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    [ST_REMOVE] = "DELETE FROM report WHERE seq BETWEEN ?1 AND ?2 RETURNING " ROW_BYTES,
    [ST_DROP_OLDEST] = "DELETE FROM report WHERE seq = (SELECT min(seq) FROM report)"
                       " RETURNING " ROW_BYTES,
    /* By the wall clock and only from the old end: a clock that was wrong for a
     * while must not tear holes into the middle. */
    [ST_EXPIRE] = "DELETE FROM report WHERE seq < coalesce("
                  "(SELECT seq FROM report WHERE made_at >= ?1 ORDER BY seq LIMIT 1),"
                  " (SELECT max(seq) + 1 FROM report)) RETURNING " ROW_BYTES,
    [ST_COUNT_DROPPED] = "UPDATE meta SET value = ?1 WHERE key = 'dropped'",
    [ST_OLDEST] = "SELECT made_at FROM report ORDER BY seq LIMIT 1",
    [ST_QUARANTINE] = "INSERT OR REPLACE INTO quarantine (seq, made_at, subject, headers, data,"
                      " reason) SELECT seq, made_at, subject, headers, data, ?2"
                      " FROM report WHERE seq = ?1",
    [ST_TRIM_QUARANTINE] = "DELETE FROM quarantine WHERE seq <="
                           " (SELECT seq FROM quarantine ORDER BY seq DESC LIMIT 1 OFFSET ?1)",
    [ST_SHRINK] = "PRAGMA incremental_vacuum(1024)",
};

struct sa_spool_t {
    sqlite3 *db;
    sqlite3_stmt *statements[ST_END];
    const char *path;
    sa_spool_limits_t limits;
    sa_spool_state_t state;
    char boot[BOOT_LENGTH + 1];
};

static sa_error_t *spool_error(const sa_spool_t *spool, int result, const char *intent)
{
    int primary = result & 0xff;
    apr_status_t code = SA_ERR_SPOOL;

    if (primary == SQLITE_FULL
        || (primary == SQLITE_IOERR && APR_STATUS_IS_ENOSPC(sqlite3_system_errno(spool->db)))) {
        code = SA_ERR_DISK_FULL;
    } else if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB) {
        code = SA_ERR_FILE_CONTENT;
    }
    return sa_error(code, NULL, "cannot %s the spool %s: %s", intent, spool->path,
                    spool->db ? sqlite3_errmsg(spool->db) : sqlite3_errstr(result));
}

static sqlite3_stmt *statement(sa_spool_t *spool, statement_t which)
{
    sqlite3_stmt *stmt = spool->statements[which];

    sqlite3_reset(stmt);
    return stmt;
}

static sa_error_t *run(sa_spool_t *spool, statement_t which, const char *intent)
{
    sqlite3_stmt *stmt = statement(spool, which);
    int result = sqlite3_step(stmt);

    while (result == SQLITE_ROW) {
        result = sqlite3_step(stmt);
    }
    sqlite3_reset(stmt);
    return result == SQLITE_DONE ? SA_OK : spool_error(spool, result, intent);
}

/* Run a deleting statement whose rows are sizes; add them up. */
static sa_error_t *run_delete(sa_spool_t *spool, statement_t which, apr_uint64_t *count,
                              apr_uint64_t *bytes, const char *intent)
{
    sqlite3_stmt *stmt = spool->statements[which];
    int result = sqlite3_step(stmt);

    for (; result == SQLITE_ROW; result = sqlite3_step(stmt)) {
        (*count)++;
        *bytes += (apr_uint64_t)sqlite3_column_int64(stmt, 0);
    }
    sqlite3_reset(stmt);
    return result == SQLITE_DONE ? SA_OK : spool_error(spool, result, intent);
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
        err = run(spool, ST_COMMIT, intent);
    }
    if (err && !sqlite3_get_autocommit(spool->db)) {
        err = sa_error_compose(err, run(spool, ST_ROLLBACK, "roll back"));
    }
    if (sa_error_has(err, SA_ERR_DISK_FULL)) {
        empty_log(spool);
    }
    return err;
}

static sa_error_t *execute(sa_spool_t *spool, const char *sql, const char *intent)
{
    int result = sqlite3_exec(spool->db, sql, NULL, NULL, NULL);

    return result == SQLITE_OK ? SA_OK : spool_error(spool, result, intent);
}

/* The first column of the first row of SQL as a number, 0 if there is none. */
static sa_error_t *query_number(apr_int64_t *number, sa_spool_t *spool, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    int result = sqlite3_prepare_v2(spool->db, sql, -1, &stmt, NULL);

    *number = 0;
    if (result == SQLITE_OK) {
        result = sqlite3_step(stmt);
        if (result == SQLITE_ROW) {
            *number = sqlite3_column_int64(stmt, 0);
        }
    }
    sqlite3_finalize(stmt);
    return result == SQLITE_ROW || result == SQLITE_DONE ? SA_OK
                                                         : spool_error(spool, result, "read");
}

static sa_error_t *make_schema(sa_spool_t *spool)
{
    char boot[BOOT_LENGTH + 1];
    char sql[1024];

    sa_random_text(boot, BOOT_LENGTH);
    apr_snprintf(sql, sizeof(sql),
        "BEGIN IMMEDIATE;"
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
        "CREATE TABLE report (seq INTEGER PRIMARY KEY AUTOINCREMENT, made_at INTEGER NOT NULL,"
        " subject TEXT NOT NULL, headers TEXT NOT NULL, data BLOB NOT NULL);"
        "CREATE TABLE quarantine (seq INTEGER PRIMARY KEY, made_at INTEGER NOT NULL,"
        " subject TEXT NOT NULL, headers TEXT NOT NULL, data BLOB NOT NULL, reason TEXT NOT NULL);"
        "INSERT INTO meta VALUES ('boot', '%s'), ('dropped', 0);"
        "PRAGMA application_id = %d;"
        "PRAGMA user_version = %d;"
        "COMMIT;", boot, APPLICATION_ID, SCHEMA_VERSION);
    return execute(spool, sql, "create");
}

static sa_error_t *check_schema(sa_spool_t *spool)
{
    apr_int64_t application;
    apr_int64_t version;

    SA_TRY(query_number(&application, spool, "PRAGMA application_id"));
    SA_TRY(query_number(&version, spool, "PRAGMA user_version"));
    if (application == 0 && version == 0) {
        apr_int64_t tables;

        SA_TRY(query_number(&tables, spool, "SELECT count(*) FROM sqlite_master"));
        if (tables == 0) {
            return make_schema(spool);
        }
    }
    if (application != APPLICATION_ID) {
        return sa_error(SA_ERR_FILE_CONTENT, NULL, "%s is a database, but not a spool",
                        spool->path);
    }
    if (version != SCHEMA_VERSION) {
        /* Not damage: reports of a newer version are in it.  To set it aside would
         * lose them, so the administrator decides. */
        return sa_error(SA_ERR_SPOOL, NULL,
                        "the spool %s has format %" APR_INT64_T_FMT "; this version reads %d",
                        spool->path, version, SCHEMA_VERSION);
    }
    return SA_OK;
}

static sa_error_t *read_boot(sa_spool_t *spool)
{
    sqlite3_stmt *stmt = NULL;
    int result = sqlite3_prepare_v2(spool->db, "SELECT value FROM meta WHERE key = 'boot'", -1,
                                    &stmt, NULL);

    if (result == SQLITE_OK) {
        result = sqlite3_step(stmt);
    }
    if (result == SQLITE_ROW) {
        const char *boot = (const char *)sqlite3_column_text(stmt, 0);

        apr_cpystrn(spool->boot, boot ? boot : "", sizeof(spool->boot));
    }
    sqlite3_finalize(stmt);
    if (result != SQLITE_ROW) {
        return spool_error(spool, result, "read");
    }
    if (strlen(spool->boot) != BOOT_LENGTH) {
        return sa_error(SA_ERR_FILE_CONTENT, NULL, "the spool %s has lost its name", spool->path);
    }
    return SA_OK;
}

static sa_error_t *read_oldest(sa_spool_t *spool)
{
    sqlite3_stmt *stmt = statement(spool, ST_OLDEST);
    int result = sqlite3_step(stmt);

    spool->state.oldest_at = result == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
    sqlite3_reset(stmt);
    return result == SQLITE_ROW || result == SQLITE_DONE ? SA_OK
                                                         : spool_error(spool, result, "read");
}

static sa_error_t *read_initial_state(sa_spool_t *spool)
{
    apr_int64_t number;

    SA_TRY(read_boot(spool));
    SA_TRY(query_number(&number, spool, "SELECT count(*) FROM report"));
    spool->state.reports = (apr_uint64_t)number;
    SA_TRY(query_number(&number, spool, "SELECT coalesce(sum(" ROW_BYTES "), 0) FROM report"));
    spool->state.bytes = (apr_uint64_t)number;
    SA_TRY(query_number(&number, spool, "SELECT seq FROM sqlite_sequence WHERE name = 'report'"));
    spool->state.last_seq = number;
    SA_TRY(query_number(&number, spool, "SELECT value FROM meta WHERE key = 'dropped'"));
    spool->state.dropped = (apr_uint64_t)number;
    return read_oldest(spool);
}

static apr_status_t close_database(void *baton)
{
    sa_spool_t *spool = baton;

    for (int i = 0; i < ST_END; i++) {
        sqlite3_finalize(spool->statements[i]);
        spool->statements[i] = NULL;
    }
    sqlite3_close(spool->db);
    spool->db = NULL;
    return APR_SUCCESS;
}

static sa_error_t *open_database(sa_spool_t *spool)
{
    int result = sqlite3_open_v2(spool->path, &spool->db,
                                 SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                                 NULL);

    if (result != SQLITE_OK) {
        return spool_error(spool, result, "open");
    }
    sqlite3_busy_timeout(spool->db, BUSY_TIMEOUT_MS);
    /* Small: the spool is written once and read once, a cache earns nothing.
     * Debian's SQLite writes zeros over what is deleted: nobody else reads the
     * file, and each report would be written twice. */
    SA_TRY(execute(spool, "PRAGMA auto_vacuum = INCREMENTAL;"
                          "PRAGMA journal_mode = WAL;"
                          "PRAGMA synchronous = FULL;"
                          "PRAGMA cache_size = -256;"
                          "PRAGMA mmap_size = 0;"
                          "PRAGMA temp_store = MEMORY;"
                          "PRAGMA journal_size_limit = 4194304;"
                          "PRAGMA secure_delete = OFF;"
                          "PRAGMA trusted_schema = OFF;", "open"));
    SA_TRY(check_schema(spool));
    for (int i = 0; i < ST_END; i++) {
        result = sqlite3_prepare_v3(spool->db, statement_texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                    &spool->statements[i], NULL);
        if (result != SQLITE_OK) {
            return spool_error(spool, result, "read");
        }
    }
    return read_initial_state(spool);
}

/* Move a damaged database out of the way, under a name that says when. */
static sa_error_t *set_aside(const char *path, apr_pool_t *pool)
{
    static const char *const tails[] = {"", "-wal", "-shm"};
    const char *aside = apr_psprintf(pool, "%s.damaged-%" APR_TIME_T_FMT, path,
                                     apr_time_sec(sa_time_now()));

    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        const char *from = apr_pstrcat(pool, path, tails[i], NULL);
        apr_status_t status = apr_file_rename(from, apr_pstrcat(pool, aside, tails[i], NULL), pool);

        if (status != APR_SUCCESS && !APR_STATUS_IS_ENOENT(status)) {
            return sa_error_apr(status, "cannot set the damaged spool %s aside", from);
        }
    }
    return SA_OK;
}

sa_error_t *sa_spool_open(sa_spool_t **result, const char *path, const sa_spool_limits_t *limits,
                          apr_pool_t *pool)
{
    sa_spool_t *spool = apr_pcalloc(pool, sizeof(*spool));
    sa_error_t *err;

    *result = NULL;
    spool->path = apr_pstrdup(pool, path);
    spool->limits = *limits;
    if (!sa_os_file_exists(path, pool)) {
        /* private from its first moment; SQLite gives -wal and -shm the same mode */
        SA_TRY_MSG(sa_os_file_write_private(path, "", 0, pool), "cannot create the spool %s", path);
    }
    apr_pool_cleanup_register(pool, spool, close_database, apr_pool_cleanup_null);
    err = open_database(spool);
    if (sa_error_has(err, SA_ERR_FILE_CONTENT)) {
        SA_LOG(spool_damaged, SA_S("path", path), SA_E(err));
        sa_error_clear(err);
        close_database(spool);
        memset(&spool->state, 0, sizeof(spool->state));
        SA_TRY(set_aside(path, pool));
        SA_TRY(sa_os_file_write_private(path, "", 0, pool));
        err = open_database(spool);
    }
    SA_TRY(err);
    *result = spool;
    return SA_OK;
}

const char *sa_spool_library_version(void)
{
    return sqlite3_libversion();
}

void sa_spool_set_limits(sa_spool_t *spool, const sa_spool_limits_t *limits)
{
    spool->limits = *limits;
}

const char *sa_spool_boot(const sa_spool_t *spool)
{
    return spool->boot;
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

/* Record in the database how many were dropped, in the same transaction. */
static sa_error_t *count_dropped(sa_spool_t *spool, change_t *change, apr_uint64_t count)
{
    sqlite3_stmt *stmt;

    if (count == 0) {
        return SA_OK;
    }
    change->dropped += count;
    stmt = statement(spool, ST_COUNT_DROPPED);
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64)(spool->state.dropped + change->dropped));
    return run(spool, ST_COUNT_DROPPED, "count drops in");
}

/* Let the oldest go until what is there and the new ones fit. */
static sa_error_t *make_room(sa_spool_t *spool, change_t *change)
{
    apr_uint64_t before = change->removed;

    while (spool->state.bytes + change->added_bytes - change->removed_bytes
               > spool->limits.max_bytes
           && change->removed < spool->state.reports + change->added) {
        apr_uint64_t removed = change->removed;

        statement(spool, ST_DROP_OLDEST);
        SA_TRY(run_delete(spool, ST_DROP_OLDEST, &change->removed, &change->removed_bytes,
                          "make room in"));
        if (change->removed == removed) {
            break;
        }
    }
    return count_dropped(spool, change, change->removed - before);
}

static sa_error_t *insert(sa_spool_t *spool, sa_spool_entry_t *entry)
{
    sqlite3_stmt *stmt = statement(spool, ST_APPEND);

    SA_ASSERT(entry->length <= INT_MAX);
    sqlite3_bind_int64(stmt, 1, entry->made_at);
    sqlite3_bind_text(stmt, 2, entry->subject, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 3, entry->headers, -1, SQLITE_STATIC);
    sqlite3_bind_blob(stmt, 4, entry->length ? entry->data : "", (int)entry->length,
                      SQLITE_STATIC);
    SA_TRY(run(spool, ST_APPEND, "append to"));
    entry->seq = sqlite3_last_insert_rowid(spool->db);
    return SA_OK;
}

static sa_error_t *append_all(sa_spool_t *spool, change_t *change, sa_spool_entry_t *entries,
                              int count)
{
    for (int i = 0; i < count; i++) {
        SA_TRY(insert(spool, &entries[i]));
        change->added++;
        change->added_bytes += entry_bytes(&entries[i]);
    }
    return make_room(spool, change);
}

sa_error_t *sa_spool_append(sa_spool_t *spool, sa_spool_entry_t *entries, int count)
{
    change_t change = {0};

    for (int i = 0; i < count; i++) {
        if (entry_bytes(&entries[i]) > spool->limits.max_bytes) {
            return sa_error(SA_ERR_TOO_LARGE, NULL,
                            "a report of %" APR_SIZE_T_FMT " bytes is larger than the whole spool "
                            "may be; raise spool.max_size", (apr_size_t)entries[i].length);
        }
    }
    SA_TRY(run(spool, ST_BEGIN, "write to"));
    SA_TRY(finish(spool, append_all(spool, &change, entries, count), "write to"));
    apply(spool, &change);
    if (count > 0) {
        spool->state.last_seq = entries[count - 1].seq;
    }
    if (change.removed > 0 || spool->state.oldest_at == 0) {
        SA_TRY(read_oldest(spool));
    }
    return SA_OK;
}

static void copy_row(sa_spool_entry_t *entry, sqlite3_stmt *stmt, apr_pool_t *pool)
{
    const char *subject = (const char *)sqlite3_column_text(stmt, 2);
    const char *headers = (const char *)sqlite3_column_text(stmt, 3);
    const void *data = sqlite3_column_blob(stmt, 4);

    entry->seq = sqlite3_column_int64(stmt, 0);
    entry->made_at = sqlite3_column_int64(stmt, 1);
    entry->subject = apr_pstrdup(pool, subject ? subject : "");
    entry->headers = apr_pstrdup(pool, headers ? headers : "");
    entry->length = (size_t)sqlite3_column_bytes(stmt, 4);
    entry->data = entry->length ? apr_pmemdup(pool, data, entry->length) : "";
}

sa_error_t *sa_spool_read(sa_spool_entry_t **entries, int *count, sa_spool_t *spool,
                          apr_int64_t after, int max, size_t max_bytes, apr_pool_t *pool)
{
    sqlite3_stmt *stmt = statement(spool, ST_READ);
    size_t bytes = 0;
    int result;

    SA_ASSERT(max > 0);
    *entries = apr_palloc(pool, (apr_size_t)max * sizeof(**entries));
    *count = 0;
    sqlite3_bind_int64(stmt, 1, after);
    sqlite3_bind_int(stmt, 2, max);
    for (result = sqlite3_step(stmt); result == SQLITE_ROW; result = sqlite3_step(stmt)) {
        bytes += (size_t)sqlite3_column_bytes(stmt, 4);
        if (*count > 0 && bytes > max_bytes) {
            result = SQLITE_DONE;
            break;
        }
        copy_row(&(*entries)[*count], stmt, pool);
        (*count)++;
    }
    sqlite3_reset(stmt);
    return result == SQLITE_DONE ? SA_OK : spool_error(spool, result, "read");
}

/* Delete runs of neighbouring numbers at once: acknowledgements come in order. */
static sa_error_t *remove_runs(sa_spool_t *spool, change_t *change, const apr_int64_t *seqs,
                               int count)
{
    for (int i = 0; i < count;) {
        sqlite3_stmt *stmt = statement(spool, ST_REMOVE);
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

sa_error_t *sa_spool_remove(sa_spool_t *spool, const apr_int64_t *seqs, int count)
{
    change_t change = {0};

    SA_TRY(run(spool, ST_BEGIN, "write to"));
    SA_TRY(finish(spool, remove_runs(spool, &change, seqs, count), "remove from"));
    apply(spool, &change);
    return read_oldest(spool);
}

static sa_error_t *move_to_quarantine(sa_spool_t *spool, change_t *change, apr_int64_t seq,
                                      const char *reason)
{
    sqlite3_stmt *stmt = statement(spool, ST_QUARANTINE);

    sqlite3_bind_int64(stmt, 1, seq);
    sqlite3_bind_text(stmt, 2, reason, -1, SQLITE_TRANSIENT);
    SA_TRY(run(spool, ST_QUARANTINE, "set a report aside in"));
    SA_TRY(remove_runs(spool, change, &seq, 1));
    stmt = statement(spool, ST_TRIM_QUARANTINE);
    sqlite3_bind_int(stmt, 1, QUARANTINE_MAX);
    return run(spool, ST_TRIM_QUARANTINE, "trim");
}

sa_error_t *sa_spool_quarantine(sa_spool_t *spool, apr_int64_t seq, const char *reason)
{
    change_t change = {0};

    SA_TRY(run(spool, ST_BEGIN, "write to"));
    SA_TRY(finish(spool, move_to_quarantine(spool, &change, seq, reason), "write to"));
    apply(spool, &change);
    return read_oldest(spool);
}

static sa_error_t *expire(sa_spool_t *spool, change_t *change, apr_time_t before)
{
    sqlite3_stmt *stmt = statement(spool, ST_EXPIRE);

    sqlite3_bind_int64(stmt, 1, before);
    SA_TRY(run_delete(spool, ST_EXPIRE, &change->removed, &change->removed_bytes,
                      "remove old reports from"));
    return count_dropped(spool, change, change->removed);
}

sa_error_t *sa_spool_expire(sa_spool_t *spool, apr_time_t now)
{
    apr_time_t before = now - spool->limits.max_age;
    apr_int64_t free_pages;
    change_t change = {0};

    if (spool->state.oldest_at != 0 && spool->state.oldest_at < before) {
        SA_TRY(run(spool, ST_BEGIN, "write to"));
        SA_TRY(finish(spool, expire(spool, &change, before), "write to"));
        apply(spool, &change);
        SA_TRY(read_oldest(spool));
    }
    SA_TRY(query_number(&free_pages, spool, "PRAGMA freelist_count"));
    return free_pages > SHRINK_PAGES ? run(spool, ST_SHRINK, "shrink") : SA_OK;
}

void sa_spool_read_state(sa_spool_state_t *state, const sa_spool_t *spool)
{
    *state = spool->state;
}
