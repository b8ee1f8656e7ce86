/* spool: the database as such: opening, schema, numbers, rows.
 *
 * WAL with synchronous=FULL: a commit has reached the disk when it returns.
 * The database stays readable for the sqlite3 tool while we run.
 *
 * Where the disk may lie, there is a second witness: rows have a checksum over
 * their number too, the table meta has one over all of itself, and the newest
 * number given stands in sqlite_sequence and in meta, which every removal
 * writes.  What contradicts itself is damaged. */
#include "sa_spool_private.h"

#include <string.h>

#include <apr_file_info.h>
#include <apr_file_io.h>
#include <apr_strings.h>
#include <zlib.h>

#include "sa_os_file.h"
#include "sa_pool.h"
#include "sa_random.h"

#define SCHEMA_VERSION 2
#define SCHEMA_VERSION_MAX 99               /* beyond this it is no version but damage */
#define APPLICATION_ID 0x53416773           /* "SAgs" */
#define BUSY_TIMEOUT_MS 5000                /* an administrator's sqlite3 may hold the lock */
/* Up to so many pages the whole structure is looked through at the opening: 16
 * MB, some 20 ms.  A spool is mostly almost empty.  In a larger one the rows'
 * checksums and SQLite's own checks find the damage when they come to it. */
#define CHECK_PAGES 4096
/* More than any bus carries in one message. */
#define ROW_LENGTH_MAX (128 * 1024 * 1024)
/* The SQLite file format: two bytes that say how it may be read and written. */
#define HEADER_VERSIONS 18
#define HEADER_VERSION_MAX 2
#define PAGE_MIN 512

#define ROW_BYTES "length(data) + length(CAST(subject AS BLOB)) + length(CAST(headers AS BLOB))"

static const char *const statement_texts[ST_END] = {
    [ST_BEGIN] = "BEGIN IMMEDIATE",
    [ST_COMMIT] = "COMMIT",
    [ST_ROLLBACK] = "ROLLBACK",
    [ST_APPEND] = "INSERT INTO report (" SA_SPOOL_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [ST_READ] = "SELECT " SA_SPOOL_COLUMNS " FROM report WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    [ST_REMOVE] = "DELETE FROM report WHERE seq BETWEEN ?1 AND ?2 RETURNING " ROW_BYTES,
    [ST_DROP_OLDEST] = "DELETE FROM report WHERE seq = (SELECT min(seq) FROM report)"
                       " RETURNING " ROW_BYTES,
    /* By the wall clock and only from the old end: a clock that was wrong for a
     * while must not tear holes into the middle.  A report from before this
     * program was written was made while the clock was not set: it has no age. */
    [ST_EXPIRE] = "DELETE FROM report WHERE seq < coalesce("
                  "(SELECT seq FROM report WHERE made_at >= ?1 OR made_at < ?2"
                  " ORDER BY seq LIMIT 1),"
                  " (SELECT max(seq) + 1 FROM report)) RETURNING " ROW_BYTES,
    [ST_SET_META] = "INSERT OR REPLACE INTO meta VALUES (?1, ?2)",
    [ST_OLDEST] = "SELECT made_at, seq FROM report ORDER BY seq LIMIT 1",
    [ST_QUARANTINE] = "INSERT OR REPLACE INTO quarantine (seq, made_at, subject, headers, data,"
                      " reason) SELECT seq, made_at, subject, headers, data, ?2"
                      " FROM report WHERE seq = ?1",
    [ST_TRIM_QUARANTINE] = "DELETE FROM quarantine WHERE seq <="
                           " (SELECT seq FROM quarantine ORDER BY seq DESC LIMIT 1 OFFSET ?1)",
    [ST_SHRINK] = "PRAGMA incremental_vacuum(1024)",
};

/* ---- SQLite ----------------------------------------------------------------- */

static apr_status_t code_of(const sa_spool_t *spool, int result)
{
    int number = spool->db ? sqlite3_system_errno(spool->db) : 0;

    switch (result & 0xff) {
    case SQLITE_FULL:
        return SA_ERR_DISK_FULL;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_TOOBIG:
    case SQLITE_CONSTRAINT:     /* the number is there already, or a column is empty */
        return SA_ERR_FILE_CONTENT;
    case SQLITE_ERROR:          /* our statements are right: the tables are not */
        return SA_ERR_FILE_CONTENT;
    case SQLITE_IOERR:
        if (result == SQLITE_IOERR_READ || result == SQLITE_IOERR_SHORT_READ
            || result == SQLITE_IOERR_CORRUPTFS) {
            return SA_ERR_FILE_CONTENT;
        }
        return APR_STATUS_IS_ENOSPC(number) ? SA_ERR_DISK_FULL : SA_ERR_SPOOL;
    case SQLITE_CANTOPEN:
        return APR_STATUS_IS_EACCES(number) ? APR_EACCES : SA_ERR_SPOOL;
    default:
        return SA_ERR_SPOOL;
    }
}

sa_error_t *sa_spool__error(const sa_spool_t *spool, int result, const char *intent)
{
    return sa_error(code_of(spool, result), NULL, "cannot %s the spool %s: %s", intent,
                    spool->path, spool->db ? sqlite3_errmsg(spool->db) : sqlite3_errstr(result));
}

sqlite3_stmt *sa_spool__statement(sa_spool_t *spool, sa_spool__statement_t which)
{
    sqlite3_stmt *stmt = spool->statements[which];

    sqlite3_reset(stmt);
    return stmt;
}

sa_error_t *sa_spool__run(sa_spool_t *spool, sa_spool__statement_t which, const char *intent)
{
    sqlite3_stmt *stmt = sa_spool__statement(spool, which);
    int result = sqlite3_step(stmt);
    sa_error_t *err;

    while (result == SQLITE_ROW) {
        result = sqlite3_step(stmt);
    }
    err = result == SQLITE_DONE ? SA_OK : sa_spool__error(spool, result, intent);
    sqlite3_reset(stmt);
    return err;
}

static sa_error_t *execute(sa_spool_t *spool, const char *sql, const char *intent)
{
    int result = sqlite3_exec(spool->db, sql, NULL, NULL, NULL);

    return result == SQLITE_OK ? SA_OK : sa_spool__error(spool, result, intent);
}

/* The first column of the first row of SQL, with ?1 bound to KEY if it is one,
 * as text; "" if there is none. */
static sa_error_t *query_text(char *text, size_t size, sa_spool_t *spool, const char *sql,
                              const char *key)
{
    sqlite3_stmt *stmt = NULL;
    int result = sqlite3_prepare_v2(spool->db, sql, -1, &stmt, NULL);
    sa_error_t *err;

    *text = '\0';
    if (result == SQLITE_OK && key) {
        sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
    }
    if (result == SQLITE_OK) {
        result = sqlite3_step(stmt);
    }
    if (result == SQLITE_ROW) {
        const char *value = (const char *)sqlite3_column_text(stmt, 0);

        apr_cpystrn(text, value ? value : "", size);
    }
    err = result == SQLITE_ROW || result == SQLITE_DONE ? SA_OK
                                                        : sa_spool__error(spool, result, "read");
    sqlite3_finalize(stmt);
    return err;
}

sa_error_t *sa_spool__query_number(apr_int64_t *number, sa_spool_t *spool, const char *sql)
{
    char text[32];

    SA_TRY(query_text(text, sizeof(text), spool, sql, NULL));
    *number = apr_atoi64(text);
    return SA_OK;
}

static sa_error_t *prepare_statements(sa_spool_t *spool)
{
    for (int i = 0; i < ST_END; i++) {
        int result = sqlite3_prepare_v3(spool->db, statement_texts[i], -1,
                                        SQLITE_PREPARE_PERSISTENT, &spool->statements[i], NULL);

        if (result != SQLITE_OK) {
            return sa_spool__error(spool, result, "read");
        }
    }
    return SA_OK;
}

/* ---- meta ------------------------------------------------------------------- */

/* What the row `check` holds when the others hold these. */
static apr_int64_t check_of(const sa_spool_t *spool, apr_uint64_t dropped, apr_int64_t last)
{
    char text[256];

    apr_snprintf(text, sizeof(text),
                 "%s %" APR_UINT64_T_FMT " %" APR_INT64_T_FMT " %" APR_INT64_T_FMT
                 " %" APR_UINT64_T_FMT " %s",
                 spool->boot, dropped, last, spool->unchecked, spool->floor, spool->stream);
    return (apr_int64_t)crc32(0, (const Bytef *)text, (uInt)strlen(text));
}

static sa_error_t *set_meta_text(sa_spool_t *spool, const char *key, const char *text)
{
    sqlite3_stmt *stmt = sa_spool__statement(spool, ST_SET_META);

    sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, text, -1, SQLITE_TRANSIENT);
    return sa_spool__run(spool, ST_SET_META, "write to");
}

sa_error_t *sa_spool__set_meta(sa_spool_t *spool, const char *key, apr_int64_t number)
{
    sqlite3_stmt *stmt = sa_spool__statement(spool, ST_SET_META);

    sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, number);
    return sa_spool__run(spool, ST_SET_META, "write to");
}

sa_error_t *sa_spool__write_meta(sa_spool_t *spool, apr_uint64_t dropped, apr_int64_t last)
{
    SA_TRY(sa_spool__set_meta(spool, "dropped", (apr_int64_t)dropped));
    SA_TRY(sa_spool__set_meta(spool, "last", last));
    SA_TRY(sa_spool__set_meta(spool, "floor", (apr_int64_t)spool->floor));
    SA_TRY(set_meta_text(spool, "stream", spool->stream));
    return sa_spool__set_meta(spool, "check", check_of(spool, dropped, last));
}

static sa_error_t *read_meta(char *text, size_t size, sa_spool_t *spool, const char *key)
{
    return query_text(text, size, spool, "SELECT value FROM meta WHERE key = ?1", key);
}

static sa_error_t *read_meta_number(apr_int64_t *number, sa_spool_t *spool, const char *key)
{
    char text[32];

    SA_TRY(read_meta(text, sizeof(text), spool, key));
    *number = apr_atoi64(text);
    return SA_OK;
}

static sa_error_t *read_meta_all(sa_spool_t *spool, apr_int64_t *last)
{
    apr_int64_t number;

    SA_TRY(read_meta(spool->boot, sizeof(spool->boot), spool, "boot"));
    SA_TRY(read_meta_number(&number, spool, "dropped"));
    spool->state.dropped = (apr_uint64_t)number;
    SA_TRY(read_meta_number(&number, spool, "floor"));
    spool->floor = (apr_uint64_t)number;
    SA_TRY(read_meta(spool->stream, sizeof(spool->stream), spool, "stream"));
    SA_TRY(read_meta_number(&spool->unchecked, spool, "unchecked"));
    SA_TRY(read_meta_number(&number, spool, "taken"));
    spool->taken = number;
    SA_TRY(read_meta_number(&number, spool, "kept"));
    spool->kept = (apr_uint64_t)number;
    return read_meta_number(last, spool, "last");
}

static sa_error_t *contradiction(const sa_spool_t *spool, const char *what)
{
    return sa_error(SA_ERR_FILE_CONTENT, NULL, "the spool %s contradicts itself: %s", spool->path,
                    what);
}

/* ---- schema ----------------------------------------------------------------- */

static sa_error_t *make_schema(sa_spool_t *spool)
{
    char sql[256];

    SA_TRY(execute(spool,
        "BEGIN IMMEDIATE;"
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
        "CREATE TABLE report (seq INTEGER PRIMARY KEY AUTOINCREMENT, made_at INTEGER NOT NULL,"
        " subject TEXT NOT NULL, headers TEXT NOT NULL, data BLOB NOT NULL, crc INTEGER);"
        "CREATE TABLE quarantine (seq INTEGER PRIMARY KEY, made_at INTEGER NOT NULL,"
        " subject TEXT NOT NULL, headers TEXT NOT NULL, data BLOB NOT NULL, reason TEXT NOT NULL);",
        "create"));
    SA_TRY(prepare_statements(spool));
    sa_random_text(spool->boot, SA_SPOOL_BOOT_LENGTH);
    SA_TRY(set_meta_text(spool, "boot", spool->boot));
    SA_TRY(sa_spool__write_meta(spool, 0, 0));
    apr_snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT;",
                 APPLICATION_ID, SCHEMA_VERSION);
    return execute(spool, sql, "create");
}

/* Version 1 had no checksums: its rows stay without. */
static sa_error_t *bring_up_to_date(sa_spool_t *spool)
{
    apr_int64_t last;

    SA_TRY(execute(spool, "BEGIN IMMEDIATE; ALTER TABLE report ADD COLUMN crc INTEGER;"
                          "INSERT OR REPLACE INTO meta SELECT 'unchecked', coalesce(max(seq), 0)"
                          " FROM report;", "bring up to date"));
    SA_TRY(prepare_statements(spool));
    SA_TRY(read_meta_all(spool, &last));
    SA_TRY(sa_spool__write_meta(spool, spool->state.dropped, last));
    return execute(spool, "PRAGMA user_version = 2; COMMIT;", "bring up to date");
}

static sa_error_t *check_schema(sa_spool_t *spool)
{
    apr_int64_t application;
    apr_int64_t version;
    apr_int64_t tables;

    SA_TRY(sa_spool__query_number(&application, spool, "PRAGMA application_id"));
    SA_TRY(sa_spool__query_number(&version, spool, "PRAGMA user_version"));
    SA_TRY(sa_spool__query_number(&tables, spool, "SELECT count(*) FROM sqlite_master"));
    if (application == 0 && version == 0 && tables == 0) {
        return make_schema(spool);
    }
    if (application != APPLICATION_ID) {
        return sa_error(SA_ERR_FILE_CONTENT, NULL, "%s is a database, but not a spool",
                        spool->path);
    }
    if (version < 1 || version > SCHEMA_VERSION_MAX) {
        return contradiction(spool, "there is no such version");
    }
    if (version > SCHEMA_VERSION) {
        /* Not damage: reports of a newer version are in it.  To set it aside would
         * lose them, so the administrator decides. */
        return sa_error(SA_ERR_SPOOL_FORMAT, NULL,
                        "the spool %s has format %" APR_INT64_T_FMT "; this version reads %d: "
                        "install the newer version again, or move the file away",
                        spool->path, version, SCHEMA_VERSION);
    }
    return version == 1 ? bring_up_to_date(spool) : prepare_statements(spool);
}

/* ---- rows ------------------------------------------------------------------- */

static uLong add_number(uLong crc, apr_int64_t number)
{
    Bytef bytes[8];

    for (int i = 0; i < 8; i++) {
        bytes[i] = (Bytef)((apr_uint64_t)number >> (8 * i));
    }
    return crc32(crc, bytes, sizeof(bytes));
}

/* With its end, so that nothing can move from one column to the next. */
static uLong add_text(uLong crc, const char *text)
{
    return crc32(crc, (const Bytef *)text, (uInt)strlen(text) + 1);
}

apr_int64_t sa_spool__checksum(const sa_spool_entry_t *entry)
{
    uLong crc = add_number(add_number(0, entry->seq), entry->made_at);

    crc = add_text(add_text(crc, entry->subject), entry->headers);
    return (apr_int64_t)crc32(crc, (const Bytef *)entry->data, (uInt)entry->length);
}

static bool is_damaged(const sa_spool_entry_t *entry, sqlite3_stmt *stmt, apr_int64_t unchecked)
{
    if (sqlite3_column_type(stmt, 5) == SQLITE_INTEGER) {
        return sqlite3_column_int64(stmt, 5) != sa_spool__checksum(entry);
    }
    return entry->seq > unchecked;
}

void sa_spool__copy_row(sa_spool_entry_t *entry, sqlite3_stmt *stmt, apr_int64_t unchecked,
                        apr_pool_t *pool)
{
    const char *subject = (const char *)sqlite3_column_text(stmt, 2);
    const char *headers = (const char *)sqlite3_column_text(stmt, 3);
    const void *data = sqlite3_column_blob(stmt, 4);

    /* NULL: one that is empty, or one that the disk does not give */
    entry->seq = sqlite3_column_int64(stmt, 0);
    entry->made_at = sqlite3_column_int64(stmt, 1);
    entry->subject = apr_pstrdup(pool, subject ? subject : "");
    entry->headers = apr_pstrdup(pool, headers ? headers : "");
    entry->length = data ? (size_t)sqlite3_column_bytes(stmt, 4) : 0;
    entry->data = entry->length ? apr_pmemdup(pool, data, entry->length) : "";
    entry->damaged = !subject || !headers || is_damaged(entry, stmt, unchecked);
}

/* ---- opening ---------------------------------------------------------------- */

sa_error_t *sa_spool__read_oldest(sa_spool_t *spool)
{
    sqlite3_stmt *stmt = sa_spool__statement(spool, ST_OLDEST);
    int result = sqlite3_step(stmt);
    sa_error_t *err = SA_OK;

    if (result != SQLITE_ROW && result != SQLITE_DONE) {
        err = sa_spool__error(spool, result, "read");
    }
    spool->state.oldest_at = result == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
    spool->state.first_seq = result == SQLITE_ROW ? sqlite3_column_int64(stmt, 1) : 0;
    sqlite3_reset(stmt);
    return err;
}

static sa_error_t *read_numbers(sa_spool_t *spool)
{
    apr_int64_t number;

    SA_TRY(sa_spool__query_number(&number, spool, "SELECT count(*) FROM report"));
    spool->state.reports = (apr_uint64_t)number;
    SA_TRY(sa_spool__query_number(&number, spool,
                                  "SELECT coalesce(sum(" ROW_BYTES "), 0) FROM report"));
    spool->state.bytes = (apr_uint64_t)number;
    SA_TRY(sa_spool__query_number(&number, spool,
                                  "SELECT seq FROM sqlite_sequence WHERE name = 'report'"));
    spool->state.last_seq = number;
    return sa_spool__read_oldest(spool);
}

static sa_error_t *read_initial_state(sa_spool_t *spool)
{
    apr_int64_t last;
    apr_int64_t highest;
    apr_int64_t check;

    SA_TRY(read_meta_all(spool, &last));
    SA_TRY(read_meta_number(&check, spool, "check"));
    if (strlen(spool->boot) != SA_SPOOL_BOOT_LENGTH
        || check != check_of(spool, spool->state.dropped, last)) {
        return contradiction(spool, "the table meta is not what was written");
    }
    SA_TRY(read_numbers(spool));
    SA_TRY(sa_spool__query_number(&highest, spool, "SELECT max(seq) FROM report"));
    if (spool->state.last_seq < last || spool->state.last_seq < highest) {
        return contradiction(spool, "the newest number is not the newest");
    }
    return SA_OK;
}

apr_status_t sa_spool__close_database(void *baton)
{
    sa_spool_t *spool = baton;

    for (int i = 0; i < ST_END; i++) {
        sqlite3_finalize(spool->statements[i]);
        spool->statements[i] = NULL;
    }
    sqlite3_close(spool->db);
    spool->db = NULL;
    memset(&spool->state, 0, sizeof(spool->state));
    spool->boot[0] = '\0';
    spool->stream[0] = '\0';
    spool->floor = 0;
    spool->unchecked = 0;
    spool->taken = 0;
    spool->kept = 0;
    return APR_SUCCESS;
}

/* SQLite would say no more than "readonly" or "unable to open". */
static sa_error_t *check_file(apr_off_t *size, const char *path, apr_pool_t *pool)
{
    apr_finfo_t info;
    apr_file_t *file;
    unsigned char header[HEADER_VERSIONS + 1];
    apr_size_t length = 0;
    apr_status_t status = apr_stat(&info, path, APR_FINFO_TYPE | APR_FINFO_SIZE, pool);

    *size = 0;
    if (APR_STATUS_IS_ENOENT(status)) {
        return SA_OK;
    }
    if (status == APR_SUCCESS && info.filetype != APR_REG) {
        return sa_error(SA_ERR_FILE_UNSAFE, NULL,
                        "the spool %s is not a regular file; move it away", path);
    }
    status = apr_file_open(&file, path, APR_FOPEN_READ | APR_FOPEN_WRITE | APR_FOPEN_BINARY,
                           APR_FPROT_OS_DEFAULT, pool);
    if (APR_STATUS_IS_EACCES(status)) {
        return sa_error(APR_EACCES, NULL, "the spool %s belongs to another user or must not be "
                        "written; give it to the agent's user, with mode 600", path);
    }
    SA_TRY_APR(status, "cannot open the spool %s", path);
    /* a short file is SQLite's business, and so is one that cannot be read */
    (void)apr_file_read_full(file, header, sizeof(header), &length);
    (void)apr_file_close(file);
    if (length == sizeof(header) && memcmp(header, "SQLite format 3", 16) == 0
        && header[HEADER_VERSIONS] > HEADER_VERSION_MAX) {
        return sa_error(SA_ERR_FILE_CONTENT, NULL, "the spool %s has a damaged header", path);
    }
    *size = info.size;
    return SA_OK;
}

/* SQLite takes a database so short for none, deletes its log, and begins anew
 * without a word. */
static sa_error_t *check_sizes(const sa_spool_t *spool, apr_off_t log, apr_off_t size)
{
    if (size < PAGE_MIN && (size > 0 || log > 0)) {
        return sa_error(SA_ERR_FILE_CONTENT, NULL, "the spool %s is cut off", spool->path);
    }
    return SA_OK;
}

static sa_error_t *check_files(const sa_spool_t *spool, apr_pool_t *pool)
{
    apr_off_t log;
    apr_off_t index;
    apr_off_t size;

    SA_TRY(check_file(&log, apr_pstrcat(pool, spool->path, "-wal", NULL), pool));
    SA_TRY(check_file(&index, apr_pstrcat(pool, spool->path, "-shm", NULL), pool));
    SA_TRY(check_file(&size, spool->path, pool));
    if (!sa_os_file_exists(spool->path, pool)) {
        /* private from its first moment; SQLite gives -wal and -shm the same mode */
        SA_TRY_MSG(sa_os_file_write_private(spool->path, "", 0, pool),
                   "cannot create the spool %s", spool->path);
        return SA_OK;       /* whose log SQLite deletes if there is one */
    }
    return check_sizes(spool, log, size);
}

static sa_error_t *prepare_files(const sa_spool_t *spool)
{
    apr_pool_t *pool = sa_pool_create_root();
    sa_error_t *err = check_files(spool, pool);

    apr_pool_destroy(pool);
    return err;
}

static sa_error_t *check_structure(sa_spool_t *spool)
{
    apr_int64_t pages;
    char answer[256];
    const char *line;

    SA_TRY(sa_spool__query_number(&pages, spool, "PRAGMA page_count"));
    if (pages > CHECK_PAGES) {
        return SA_OK;
    }
    SA_TRY(query_text(answer, sizeof(answer), spool, "PRAGMA quick_check(1)", NULL));
    line = strrchr(answer, '\n');           /* before it, which database */
    return strcmp(answer, "ok") == 0 ? SA_OK : contradiction(spool, line ? line + 1 : answer);
}

sa_error_t *sa_spool__open_database(sa_spool_t *spool)
{
    int result;

    SA_TRY(prepare_files(spool));
    result = sqlite3_open_v2(spool->path, &spool->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                             NULL);
    if (result != SQLITE_OK) {
        return sa_spool__error(spool, result, "open");
    }
    sqlite3_extended_result_codes(spool->db, 1);
    sqlite3_busy_timeout(spool->db, BUSY_TIMEOUT_MS);
    sqlite3_limit(spool->db, SQLITE_LIMIT_LENGTH, ROW_LENGTH_MAX);
    /* Small: the spool is written once and read once, a cache earns nothing.
     * Debian's SQLite writes zeros over what is deleted: nobody else reads the
     * file, and each report would be written twice. */
    SA_TRY(execute(spool, "PRAGMA cell_size_check = ON;"
                          "PRAGMA auto_vacuum = INCREMENTAL;"
                          "PRAGMA journal_mode = WAL;"
                          "PRAGMA synchronous = FULL;"
                          "PRAGMA cache_size = -256;"
                          "PRAGMA mmap_size = 0;"
                          "PRAGMA temp_store = MEMORY;"
                          "PRAGMA journal_size_limit = 4194304;"
                          "PRAGMA secure_delete = OFF;"
                          "PRAGMA trusted_schema = OFF;", "open"));
    SA_TRY(check_structure(spool));
    SA_TRY(check_schema(spool));
    return read_initial_state(spool);
}
