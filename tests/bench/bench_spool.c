/* The spool: what accepting a report costs, beside one bare SQLite commit of
 * the same size.
 *
 *     bench_spool accept FOLDER COUNT BYTES
 *     bench_spool fill FILE COUNT BYTES
 *
 * accept: COUNT reports of BYTES to each of two databases in FOLDER, in turn;
 * prints the median of ours and of the bare one in microseconds.  fill: put
 * COUNT reports of BYTES into the spool FILE, as an outage would. */
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <apr_strings.h>
#include <sqlite3.h>

#include "bench.h"
#include "sa_pool.h"
#include "sa_spool.h"
#include "sa_time.h"

#define BATCH 64

static const sa_spool_limits_t limits = {
    .max_bytes = APR_UINT64_C(1) << 32, .max_age = APR_INT64_C(7) * 86400 * APR_USEC_PER_SEC
};

static sa_spool_t *open_spool(const char *path, apr_pool_t *pool)
{
    sa_spool_t *spool;
    sa_error_t *err = sa_spool_open(&spool, path, &limits, pool);

    must_be(err == SA_OK, path);
    return spool;
}

static sa_spool_entry_t make_entry(size_t length, apr_pool_t *pool)
{
    char *data = apr_palloc(pool, length);
    sa_spool_entry_t entry = {
        .made_at = sa_time_now(), .subject = "agents.bench.telemetry.metrics.node", .headers = "",
        .data = data, .length = length
    };

    memset(data, 'x', length);
    return entry;
}

/* ---- the bare one ---------------------------------------------------------- */

static sqlite3 *open_bare(const char *path)
{
    sqlite3 *db = NULL;

    must_be(sqlite3_open(path, &db) == SQLITE_OK, path);
    must_be(sqlite3_exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                         "CREATE TABLE report (seq INTEGER PRIMARY KEY, data BLOB NOT NULL);",
                         NULL, NULL, NULL) == SQLITE_OK, path);
    return db;
}

static void commit_bare(sqlite3_stmt *stmt, const sa_spool_entry_t *entry)
{
    sqlite3_bind_blob(stmt, 1, entry->data, (int)entry->length, SQLITE_STATIC);
    must_be(sqlite3_step(stmt) == SQLITE_DONE, "commit");
    sqlite3_reset(stmt);
}

/* ---- accept ---------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    apr_interval_time_t left = *(const apr_interval_time_t *)a;
    apr_interval_time_t right = *(const apr_interval_time_t *)b;

    return left < right ? -1 : left > right;
}

static long median(apr_interval_time_t *times, int count)
{
    qsort(times, (size_t)count, sizeof(*times), compare);
    return (long)times[count / 2];
}

static void accept_reports(const char *folder, int count, size_t length, apr_pool_t *pool)
{
    apr_interval_time_t *ours = apr_palloc(pool, sizeof(*ours) * (size_t)count);
    apr_interval_time_t *bare = apr_palloc(pool, sizeof(*bare) * (size_t)count);
    sa_spool_t *spool = open_spool(apr_pstrcat(pool, folder, "/ours.db", NULL), pool);
    sqlite3 *db = open_bare(apr_pstrcat(pool, folder, "/bare.db", NULL));
    sa_spool_entry_t entry = make_entry(length, pool);
    sqlite3_stmt *stmt = NULL;

    must_be(sqlite3_prepare_v2(db, "INSERT INTO report (data) VALUES (?1)", -1, &stmt, NULL)
            == SQLITE_OK, "prepare");
    for (int i = 0; i < count; i++) {
        apr_interval_time_t began = sa_time_mono();

        must_be(sa_spool_append(spool, &entry, 1) == SA_OK, "append");
        ours[i] = sa_time_mono() - began;
        began = sa_time_mono();
        commit_bare(stmt, &entry);
        bare[i] = sa_time_mono() - began;
    }
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    printf("%ld %ld\n", median(ours, count), median(bare, count));
}

static void fill(const char *path, int count, size_t length, apr_pool_t *pool)
{
    sa_spool_t *spool = open_spool(path, pool);
    sa_spool_entry_t entries[BATCH];

    for (int i = 0; i < BATCH; i++) {
        entries[i] = make_entry(length, pool);
    }
    for (int left = count; left > 0; left -= BATCH) {
        must_be(sa_spool_append(spool, entries, left < BATCH ? left : BATCH) == SA_OK, "append");
    }
}

int main(int argc, char **argv)
{
    apr_pool_t *pool;

    must_be(argc == 5, "bench_spool accept FOLDER | fill FILE, COUNT BYTES");
    apr_initialize();
    pool = sa_pool_create_root();
    if (strcmp(argv[1], "fill") == 0) {
        fill(argv[2], (int)strtol(argv[3], NULL, 10), (size_t)(int)strtol(argv[4], NULL, 10), pool);
    } else {
        accept_reports(argv[2], (int)strtol(argv[3], NULL, 10),
                       (size_t)(int)strtol(argv[4], NULL, 10), pool);
    }
    apr_pool_destroy(pool);
    return EXIT_SUCCESS;
}
