/* spool: whatever the disk has done to the file, what is read back is what was
 * appended, the damage is said, and the spool goes on.
 *
 * Files are damaged in every way that can be listed: cut off at each length
 * (each one with SA_DAMAGE_STEP=1 in the environment, else many), single bits,
 * zeros, other files in its place, and a disk that refuses in the middle. */
#include <apr_file_info.h>
#include <apr_file_io.h>
#include <apr_strings.h>
#include <sqlite3.h>

#include "fault_vfs.h"
#include "sa_log.h"
#include "sa_os_file.h"
#include "sa_random.h"
#include "sa_spool.h"
#include "sa_test.h"
#include "sa_test_server.h"

#define REPORTS 60
#define GONE 12                     /* of them were removed before the damage */
#define LONG 9000                   /* more than two pages */
#define READ_MAX 2000

static const sa_spool_limits_t wide = {
    .max_bytes = 64 * 1024 * 1024, .max_age = 7 * 86400 * APR_INT64_C(1000000)
};

/* One spool's place and what was in it. */
typedef struct scene_t {
    const char *path;
    const char *log;
    char boot[16];
    const char *file[2];            /* the database and its write-ahead log, undamaged */
    size_t length[2];
    apr_pool_t *pool;               /* of one try */
    sa_spool_t *spool;
} scene_t;

static const char *const tails[] = {"", "-wal", "-shm"};

/* ---- reports that say what they are ----------------------------------------- */

static sa_spool_entry_t make_entry(int number, apr_pool_t *pool)
{
    size_t length = number % 9 == 5 ? LONG : 20 + (size_t)(number % 7) * 40;
    char *data = apr_palloc(pool, length + 1);

    memset(data, 'a' + number % 26, length);
    data[length] = '\0';
    memcpy(data, apr_psprintf(pool, "%07d:", number), 8);
    return (sa_spool_entry_t){
        .made_at = 1780000000 * APR_INT64_C(1000000) + number,
        .subject = apr_psprintf(pool, "agents.a.telemetry.metrics.e%d", number % 5),
        .headers = number % 3 == 0 ? "A: b\n" : "", .data = data, .length = length
    };
}

static void append_all(sa_spool_t *spool, int first, int count, apr_pool_t *pool)
{
    for (int i = first; i < first + count; i++) {
        sa_spool_entry_t entry = make_entry(i, pool);

        SA_ASSERT_OK(sa_spool_append(spool, &entry, 1));
    }
}

static sa_spool_state_t state_of(const sa_spool_t *spool)
{
    sa_spool_state_t state;

    sa_spool_read_state(&state, spool);
    return state;
}

/* The number of the report that ENTRY is, byte for byte. */
static int number_of(const sa_spool_entry_t *entry, apr_pool_t *pool)
{
    int number = entry->length > 8 ? (int)strtol(entry->data, NULL, 10) : -1;
    sa_spool_entry_t made;

    ck_assert_msg(number >= 1, "a report that was never appended: %.20s", entry->data);
    made = make_entry(number, pool);
    ck_assert_int_eq(entry->made_at, made.made_at);
    ck_assert_str_eq(entry->subject, made.subject);
    ck_assert_str_eq(entry->headers, made.headers);
    ck_assert_uint_eq(entry->length, made.length);
    ck_assert(memcmp(entry->data, made.data, made.length) == 0);
    return number;
}

/* ---- files ------------------------------------------------------------------ */

static const char *read_file(size_t *length, const char *path, apr_pool_t *pool)
{
    const char *data = "";

    *length = 0;
    if (sa_os_file_exists(path, pool)) {
        SA_ASSERT_OK(sa_os_file_read(&data, length, path, 64 << 20, pool));
    }
    return data;
}

static void write_file(const char *path, const void *data, size_t length, apr_pool_t *pool)
{
    apr_file_t *file;

    ck_assert_int_eq(apr_file_open(&file, path, APR_FOPEN_WRITE | APR_FOPEN_CREATE
                                   | APR_FOPEN_TRUNCATE | APR_FOPEN_BINARY,
                                   APR_FPROT_UREAD | APR_FPROT_UWRITE, pool), APR_SUCCESS);
    ck_assert_int_eq(apr_file_write_full(file, data, length, NULL), APR_SUCCESS);
    apr_file_close(file);
}

static const char *directory_of(const scene_t *scene, apr_pool_t *pool)
{
    return apr_pstrndup(pool, scene->path, (apr_size_t)(strrchr(scene->path, '/') - scene->path));
}

/* How many files of the spool's directory have PART in their names; the last one
 * of them, or "". */
static int find_files(const char **name, const scene_t *scene, const char *part, apr_pool_t *pool)
{
    const char *directory = directory_of(scene, pool);
    apr_dir_t *dir;
    apr_finfo_t info;
    int count = 0;

    *name = "";
    ck_assert_int_eq(apr_dir_open(&dir, directory, pool), APR_SUCCESS);
    while (apr_dir_read(&info, APR_FINFO_NAME, dir) == APR_SUCCESS) {
        if (strstr(info.name, part) && !strstr(info.name, "-wal") && !strstr(info.name, "-shm")) {
            *name = apr_pstrcat(pool, directory, "/", info.name, NULL);
            count++;
        }
    }
    apr_dir_close(dir);
    return count;
}

static void clean(scene_t *scene)
{
    const char *directory = directory_of(scene, scene->pool);
    apr_dir_t *dir;
    apr_finfo_t info;

    ck_assert_int_eq(apr_dir_open(&dir, directory, scene->pool), APR_SUCCESS);
    while (apr_dir_read(&info, APR_FINFO_NAME, dir) == APR_SUCCESS) {
        if (strncmp(info.name, "db", 2) == 0) {
            (void)apr_file_remove(apr_pstrcat(scene->pool, directory, "/", info.name, NULL),
                                  scene->pool);
        }
    }
    apr_dir_close(dir);
    write_file(scene->log, "", 0, scene->pool);
}

/* ---- the scene -------------------------------------------------------------- */

static void open_log(scene_t *scene, apr_pool_t *pool)
{
    sa_log_settings_t settings = {
        .level = SA_LEVEL_info, .format = SA_LOG_JSON, .path = scene->log
    };

    write_file(scene->log, "", 0, pool);
    SA_ASSERT_OK(sa_log_open(&settings, pool));
}

/* Each try has its log to itself, and no event is held back as a repeat. */
static void begin_try(scene_t *scene, apr_pool_t *pool)
{
    scene->pool = sa_pool_create(pool);
    clean(scene);
    open_log(scene, pool);
}

static void end_try(scene_t *scene)
{
    apr_pool_destroy(scene->pool);
    sa_log_close();
}

/* A spool with REPORTS - GONE reports; LOGGED: killed, so that they are in the
 * write-ahead log, or some of them. */
static scene_t *make_scene(bool logged, apr_pool_t *pool)
{
    scene_t *scene = apr_pcalloc(pool, sizeof(*scene));
    const char *directory = sa_test_dir(pool);
    apr_pool_t *spool_pool = sa_pool_create(pool);
    apr_int64_t gone[GONE];
    sa_spool_t *spool;
    static bool registered;

    if (!registered) {
        fault_vfs_register();
        registered = true;
    }
    fault_vfs_set(FAULT_NONE);
    scene->path = apr_pstrcat(pool, directory, "/db", NULL);
    scene->log = apr_pstrcat(pool, directory, "/log", NULL);
    SA_ASSERT_OK(sa_spool_open(&spool, scene->path, &wide, spool_pool));
    append_all(spool, 1, REPORTS / 2, pool);
    for (int i = 0; i < GONE; i++) {
        gone[i] = i + 1;
    }
    sa_spool_set_floor(spool, "S", 77);
    SA_ASSERT_OK(sa_spool_remove(spool, gone, GONE));
    apr_cpystrn(scene->boot, sa_spool_boot(spool), sizeof(scene->boot));
    if (logged) {
        apr_pool_clear(spool_pool);
        SA_ASSERT_OK(sa_spool_open(&spool, scene->path, &wide, spool_pool));
    }
    append_all(spool, REPORTS / 2 + 1, REPORTS / 2, pool);
    if (!logged) {
        apr_pool_clear(spool_pool);
    }
    for (int i = 0; i < 2; i++) {
        scene->file[i] = read_file(&scene->length[i], apr_pstrcat(pool, scene->path, tails[i],
                                                                  NULL), pool);
    }
    ck_assert_int_eq(scene->length[1] > 0, logged);
    apr_pool_destroy(spool_pool);
    return scene;
}

/* Put the two files there, as they were but for what the caller changed. */
static void place(scene_t *scene, const char *file, size_t length, const char *log,
                  size_t log_length)
{
    write_file(scene->path, file, length, scene->pool);
    if (log_length > 0) {
        write_file(apr_pstrcat(scene->pool, scene->path, "-wal", NULL), log, log_length,
                   scene->pool);
    }
}

/* What the event spool_damaged says; "" if there was none. */
static const char *damage_event(scene_t *scene)
{
    const char *log = sa_test_read(scene->log, scene->pool);
    const char *event = strstr(log, "spool_damaged");

    return event ? event : "";
}

/* ---- the invariant ---------------------------------------------------------- */

/* Read all; each once, each as it was, in the order it was made.  Damaged ones
 * are left out.  With the old boot each has its old number. */
static int check_reports(scene_t *scene, const char *what)
{
    bool seen[READ_MAX] = {false};
    bool same = strcmp(sa_spool_boot(scene->spool), scene->boot) == 0;
    sa_spool_entry_t *entries;
    int good = 0;
    int count;

    SA_ASSERT_OK(sa_spool_read(&entries, &count, scene->spool, 0, READ_MAX, 64 << 20,
                               scene->pool));
    for (int i = 0; i < count; i++) {
        int number;

        if (entries[i].damaged) {
            continue;
        }
        number = number_of(&entries[i], scene->pool);
        ck_assert_msg(number < READ_MAX && !seen[number], "%s: report %d twice", what, number);
        ck_assert_msg(!same || entries[i].seq == number, "%s: report %d is number %d", what,
                      number, (int)entries[i].seq);
        seen[number] = true;
        good++;
    }
    return good;
}

/* Append, read, remove: as ever. */
static void check_use(scene_t *scene, const char *what)
{
    sa_spool_entry_t entry = make_entry(1500, scene->pool);
    apr_uint64_t before = state_of(scene->spool).reports;
    sa_spool_entry_t *entries;
    apr_int64_t last = state_of(scene->spool).last_seq;
    int count;

    SA_ASSERT_OK(sa_spool_append(scene->spool, &entry, 1));
    ck_assert_msg(entry.seq == last + 1, "%s: number %d after %d", what, (int)entry.seq, (int)last);
    SA_ASSERT_OK(sa_spool_read(&entries, &count, scene->spool, last, 10, 1 << 20, scene->pool));
    ck_assert_int_eq(count, 1);
    ck_assert_int_eq(number_of(&entries[0], scene->pool), 1500);
    SA_ASSERT_OK(sa_spool_remove(scene->spool, &entry.seq, 1));
    ck_assert_uint_eq(state_of(scene->spool).reports, before);
}

/* A database that was begun anew has a new boot, the old one stays by name, and
 * an event says so; one that was not has none of this. */
static bool check_told(scene_t *scene, const char *what)
{
    bool anew = strcmp(sa_spool_boot(scene->spool), scene->boot) != 0;
    const char *event = damage_event(scene);
    const char *aside;
    int files = find_files(&aside, scene, ".damaged-", scene->pool);

    ck_assert_msg(files == (anew ? 1 : 0), "%s: anew %d, set aside %d", what, anew, files);
    ck_assert_msg((*event != '\0') == anew, "%s: anew %d, event: %s", what, anew, event);
    ck_assert_msg(!anew || strstr(event, aside), "%s: the event names no %s: %s", what, aside,
                  event);
    ck_assert_int_eq(find_files(&aside, scene, ".rescue", scene->pool), 0);
    return anew;
}

/* Open what was damaged, and see that all of it holds, also after the next
 * opening.  Returns how many reports came through. */
static int check_invariant(scene_t *scene, const char *what)
{
    apr_pool_t *spool_pool = sa_pool_create(scene->pool);
    sa_error_t *err = sa_spool_open(&scene->spool, scene->path, &wide, spool_pool);
    char text[1024];
    bool anew;
    int good;

    if (sa_error_has(err, SA_ERR_SPOOL_FORMAT)) {
        /* a number that says "newer": a person decides */
        sa_error_text(err, text, sizeof(text));
        ck_assert_msg(strstr(text, scene->path) && strstr(text, "move the file away"), "%s", text);
        ck_assert_ptr_null(scene->spool);
        sa_error_clear(err);
        apr_pool_destroy(spool_pool);
        return -1;
    }
    ck_assert_msg(!err, "%s: %s", what, sa_error_text(err, text, sizeof(text)));
    good = check_reports(scene, what);
    anew = check_told(scene, what);
    ck_assert_msg(!anew || (apr_uint64_t)good == state_of(scene->spool).reports,
                  "%s: damaged ones were taken over", what);
    check_use(scene, what);
    apr_cpystrn(text, sa_spool_boot(scene->spool), sizeof(text));
    apr_pool_clear(spool_pool);
    SA_ASSERT_OK(sa_spool_open(&scene->spool, scene->path, &wide, spool_pool));
    ck_assert_str_eq(sa_spool_boot(scene->spool), text);
    ck_assert_int_eq(check_reports(scene, what), good);
    apr_pool_destroy(spool_pool);
    return good;
}

static size_t step_of(size_t otherwise)
{
    const char *text = getenv("SA_DAMAGE_STEP");

    return text ? (size_t)strtoul(text, NULL, 10) : otherwise;
}

/* ---- cut off ---------------------------------------------------------------- */

/* All near the beginning and around each page's or frame's border, and some in
 * between. */
static size_t next_length(size_t length, size_t page, size_t step)
{
    size_t in_page = length % page;
    size_t next = in_page + step;

    if (length < 130 || in_page < 2 || in_page > page - 3 || step == 1) {
        return length + 1;
    }
    return length - in_page + (next > page - 2 ? page - 2 : next);
}

SA_TEST(a_database_cut_off_anywhere_gives_what_is_left)
{
    scene_t *scene = make_scene(false, pool);
    size_t step = step_of(501);
    int best = 0;

    for (size_t length = 1; length < scene->length[0];
         length = next_length(length, 4096, step)) {
        int good;

        begin_try(scene, pool);
        place(scene, scene->file[0], length, NULL, 0);
        good = check_invariant(scene, apr_psprintf(scene->pool, "cut off at %d", (int)length));
        best = good > best ? good : best;
        end_try(scene);
    }
    ck_assert_int_gt(best, (REPORTS - GONE) / 2);
}

SA_TEST(a_log_cut_off_anywhere_gives_an_older_state)
{
    scene_t *scene = make_scene(true, pool);
    size_t step = step_of(701);
    int least = REPORTS;
    int best = 0;

    for (size_t length = 0; length <= scene->length[1]; length =
             length < scene->length[1] && next_length(length, 4096 + 24, step) > scene->length[1]
             ? scene->length[1] : next_length(length, 4096 + 24, step)) {
        int good;

        begin_try(scene, pool);
        place(scene, scene->file[0], scene->length[0], scene->file[1], length);
        good = check_invariant(scene, apr_psprintf(pool, "log cut off at %d", (int)length));
        ck_assert_int_ge(good, best);       /* never less than a shorter log gave */
        best = good;
        least = good < least ? good : least;
        end_try(scene);
    }
    ck_assert_int_eq(least, REPORTS / 2 - GONE);
    ck_assert_int_eq(best, REPORTS - GONE);
}

/* ---- changed ---------------------------------------------------------------- */

typedef enum change_t { BIT, BYTES, SECTOR, TAIL } change_t;

static void change(char *data, size_t length, size_t at, change_t kind, sa_random_t *random)
{
    size_t end = at + 8 < length ? at + 8 : length;

    switch (kind) {
    case BIT:
        data[at] = (char)(data[at] ^ (1 << sa_random_below(random, 8)));
        break;
    case BYTES:
        for (size_t i = at; i < end; i++) {
            data[i] = (char)sa_random_below(random, 256);
        }
        break;
    case SECTOR:
        memset(data + at / 512 * 512, 0, length - at / 512 * 512 < 512 ? length % 512 : 512);
        break;
    case TAIL:
        memset(data + at, 0, length - at);
        break;
    }
}

/* Change each page once and then anywhere, COUNT times; returns how many
 * reports were lost in the mean, in percent. */
static int change_many(scene_t *scene, int which, change_t kind, int count, apr_pool_t *pool)
{
    size_t page = which == 0 ? 4096 : 4096 + 24;
    int pages = (int)(scene->length[which] / page);
    apr_int64_t lost = 0;
    sa_random_t random;

    sa_random_init_seed(&random, 42 + (apr_uint64_t)kind);
    for (int i = 0; i < count; i++) {
        size_t at = i < pages ? (size_t)i * page + sa_random_below(&random, page)
                              : sa_random_below(&random, scene->length[which]);
        char *data;
        int good;

        begin_try(scene, pool);
        data = apr_pmemdup(scene->pool, scene->file[which], scene->length[which]);
        change(data, scene->length[which], at, kind, &random);
        place(scene, which == 0 ? data : scene->file[0], scene->length[0],
              which == 1 ? data : scene->file[1], scene->length[1]);
        good = check_invariant(scene, apr_psprintf(scene->pool, "try %d: file %d changed at %d",
                                                   i, which, (int)at));
        lost += good < 0 ? 0 : REPORTS - GONE - good;
        end_try(scene);
    }
    return (int)(lost * 100 / ((REPORTS - GONE) * (apr_int64_t)count));
}

SA_TEST(one_bit_that_flips_costs_few_reports)
{
    scene_t *scene = make_scene(false, pool);

    ck_assert_int_le(change_many(scene, 0, BIT, 400, pool), 10);
}

SA_TEST(some_wrong_bytes_cost_few_reports)
{
    scene_t *scene = make_scene(false, pool);

    ck_assert_int_le(change_many(scene, 0, BYTES, 200, pool), 10);
}

SA_TEST(a_sector_of_zeros_costs_few_reports)
{
    scene_t *scene = make_scene(false, pool);

    ck_assert_int_le(change_many(scene, 0, SECTOR, 200, pool), 15);
}

SA_TEST(a_tail_of_zeros_gives_what_is_before_it)
{
    scene_t *scene = make_scene(false, pool);

    ck_assert_int_le(change_many(scene, 0, TAIL, 100, pool), 90);
}

SA_TEST(a_bit_that_flips_in_the_log_gives_no_garbage)
{
    scene_t *scene = make_scene(true, pool);

    (void)change_many(scene, 1, BIT, 200, pool);
    (void)change_many(scene, 1, SECTOR, 100, pool);
}

/* The number that was given last is what keeps the next ones unique. */
SA_TEST(a_newest_number_that_was_lowered_is_damage)
{
    static const char *const statements[] = {
        "UPDATE sqlite_sequence SET seq = 20 WHERE name = 'report'",
        "DELETE FROM sqlite_sequence",
        "UPDATE meta SET value = value + 1 WHERE key = 'last'",
        "UPDATE meta SET value = 'abcdefghijkl' WHERE key = 'boot'",
        "UPDATE meta SET value = value - 1 WHERE key = 'floor'",
        "DELETE FROM meta",
        "DELETE FROM meta WHERE key = 'check'",
        "DROP TABLE meta",
        "DROP TABLE quarantine",
        "ALTER TABLE report RENAME TO reports",
        "PRAGMA application_id = 7",
        "PRAGMA user_version = 1000000",
    };

    for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
        scene_t *scene = make_scene(false, pool);
        sqlite3 *db;

        begin_try(scene, pool);
        place(scene, scene->file[0], scene->length[0], NULL, 0);
        ck_assert_int_eq(sqlite3_open(scene->path, &db), SQLITE_OK);
        ck_assert_msg(sqlite3_exec(db, statements[i], NULL, NULL, NULL) == SQLITE_OK, "%s",
                      statements[i]);
        sqlite3_close(db);
        ck_assert_int_eq(check_invariant(scene, statements[i]),
                         strstr(statements[i], "reports") ? 0 : REPORTS - GONE);
        ck_assert_msg(*damage_event(scene), "%s is no damage", statements[i]);
        end_try(scene);
    }
}

/* ---- something else in its place --------------------------------------------- */

SA_TEST(an_empty_file_is_a_spool_that_was_never_used)
{
    scene_t *scene = make_scene(false, pool);

    begin_try(scene, pool);
    write_file(scene->path, "", 0, scene->pool);
    SA_ASSERT_OK(sa_spool_open(&scene->spool, scene->path, &wide, scene->pool));
    ck_assert_int_eq(strlen(sa_spool_boot(scene->spool)), 12);
    check_use(scene, "empty");
    ck_assert_str_eq(damage_event(scene), "");
    end_try(scene);
}

SA_TEST(an_empty_file_with_a_log_was_a_spool)
{
    scene_t *scene = make_scene(true, pool);

    begin_try(scene, pool);
    place(scene, "", 0, scene->file[1], scene->length[1]);
    ck_assert_int_eq(check_invariant(scene, "empty with a log"), 0);
    ck_assert_ptr_nonnull(strstr(damage_event(scene), "cut off"));
    end_try(scene);
}

SA_TEST(what_is_no_spool_goes_aside_whole)
{
    static const char text[] = "# notes of an administrator\nwho meant another file\n";
    static const char *const foreign[] = {
        "CREATE TABLE people (name TEXT); INSERT INTO people VALUES ('x')",
        "CREATE TABLE report (seq INTEGER PRIMARY KEY, title TEXT);"
        "INSERT INTO report VALUES (1, 'x')",
    };
    scene_t *scene = make_scene(false, pool);

    for (size_t i = 0; i < 3; i++) {
        const char *aside;
        const char *before;
        const char *after;
        size_t length[2];

        begin_try(scene, pool);
        if (i == 0) {
            write_file(scene->path, text, sizeof(text) - 1, scene->pool);
        } else {
            sqlite3 *db;

            ck_assert_int_eq(sqlite3_open(scene->path, &db), SQLITE_OK);
            ck_assert_int_eq(sqlite3_exec(db, foreign[i - 1], NULL, NULL, NULL), SQLITE_OK);
            sqlite3_close(db);
        }
        before = read_file(&length[0], scene->path, scene->pool);
        ck_assert_int_eq(check_invariant(scene, "foreign"), 0);
        ck_assert_int_eq(find_files(&aside, scene, ".damaged-", scene->pool), 1);
        after = read_file(&length[1], aside, scene->pool);
        ck_assert_uint_eq(length[0], length[1]);
        /* the journal's kind, which SQLite notes, may be another; what it holds not */
        ck_assert(memcmp(before + (i ? 100 : 0), after + (i ? 100 : 0), length[0] - (i ? 100 : 0))
                  == 0);
        end_try(scene);
    }
}

SA_TEST(a_directory_in_its_place_is_named_and_left_alone)
{
    static const char *const names[] = {"db", "db-wal", "db-shm"};

    for (size_t i = 0; i < 3; i++) {
        const char *directory = sa_test_dir(pool);
        const char *path = apr_pstrcat(pool, directory, "/", names[i], NULL);
        sa_spool_t *spool;
        sa_error_t *err;
        char text[512];

        ck_assert_int_eq(apr_dir_make(path, APR_FPROT_OS_DEFAULT, pool), APR_SUCCESS);
        err = sa_spool_open(&spool, apr_pstrcat(pool, directory, "/db", NULL), &wide, pool);
        ck_assert(sa_error_has(err, SA_ERR_FILE_UNSAFE));
        ck_assert_ptr_null(spool);
        sa_error_text(err, text, sizeof(text));
        ck_assert_msg(strstr(text, path) && strstr(text, "move it away"), "%s", text);
        sa_error_clear(err);
        ck_assert_int_eq(apr_dir_remove(path, pool), APR_SUCCESS);
    }
}

SA_TEST(a_newer_format_is_left_alone)
{
    scene_t *scene = make_scene(false, pool);
    sqlite3 *db;

    begin_try(scene, pool);
    place(scene, scene->file[0], scene->length[0], NULL, 0);
    ck_assert_int_eq(sqlite3_open(scene->path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, "PRAGMA user_version = 3", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    ck_assert_int_eq(check_invariant(scene, "newer"), -1);
    end_try(scene);
}

/* ---- version 1 --------------------------------------------------------------- */

/* As the version before this one made it: no checksums. */
static void make_version_1(const char *path, int count, bool small, apr_pool_t *pool)
{
    sqlite3_stmt *stmt;
    sqlite3 *db;

    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db,
        "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; BEGIN;"
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
        "CREATE TABLE report (seq INTEGER PRIMARY KEY AUTOINCREMENT, made_at INTEGER NOT NULL,"
        " subject TEXT NOT NULL, headers TEXT NOT NULL, data BLOB NOT NULL);"
        "CREATE TABLE quarantine (seq INTEGER PRIMARY KEY, made_at INTEGER NOT NULL,"
        " subject TEXT NOT NULL, headers TEXT NOT NULL, data BLOB NOT NULL, reason TEXT NOT NULL);"
        "INSERT INTO meta VALUES ('boot', 'abcdef123456'), ('dropped', 4);"
        "PRAGMA application_id = 1396795251; PRAGMA user_version = 1;",
        NULL, NULL, NULL), SQLITE_OK);
    ck_assert_int_eq(sqlite3_prepare_v2(db, "INSERT INTO report (made_at, subject, headers, data)"
                                        " VALUES (?1, ?2, ?3, ?4)", -1, &stmt, NULL), SQLITE_OK);
    for (int i = 1; i <= count; i++) {
        /* number % 9 == 5 is the long one */
        sa_spool_entry_t entry = make_entry(small ? i + (i + 3) / 8 : i, pool);

        sqlite3_bind_int64(stmt, 1, entry.made_at);
        sqlite3_bind_text(stmt, 2, entry.subject, -1, SQLITE_STATIC);
        sqlite3_bind_text(stmt, 3, entry.headers, -1, SQLITE_STATIC);
        sqlite3_bind_blob(stmt, 4, entry.data, (int)entry.length, SQLITE_STATIC);
        ck_assert_int_eq(sqlite3_step(stmt), SQLITE_DONE);
        sqlite3_reset(stmt);
    }
    sqlite3_finalize(stmt);
    ck_assert_int_eq(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

SA_TEST(a_spool_of_version_1_is_taken_over_with_its_name_and_numbers)
{
    scene_t *scene = make_scene(false, pool);

    begin_try(scene, pool);
    make_version_1(scene->path, 30, false, pool);
    apr_cpystrn(scene->boot, "abcdef123456", sizeof(scene->boot));
    ck_assert_int_eq(check_invariant(scene, "version 1"), 30);
    SA_ASSERT_OK(sa_spool_open(&scene->spool, scene->path, &wide, scene->pool));
    ck_assert_uint_eq(state_of(scene->spool).dropped, 4);
    end_try(scene);
}

SA_TEST(a_damaged_spool_of_version_1_is_read_behind_the_damage)
{
    scene_t *scene = make_scene(false, pool);
    size_t length;
    char *data;

    begin_try(scene, pool);
    make_version_1(scene->path, 900, true, pool);
    data = (char *)read_file(&length, scene->path, scene->pool);
    memset(data + length / 2 / 4096 * 4096, 0x5a, 4096);
    write_file(scene->path, data, length, scene->pool);
    apr_cpystrn(scene->boot, "abcdef123456", sizeof(scene->boot));
    ck_assert_int_ge(check_invariant(scene, "version 1"), 850);
    end_try(scene);
}

/* ---- salvage ----------------------------------------------------------------- */

/* A large one with COUNT reports and damaged pages spread over it; returns the
 * number of damaged pages. */
static int make_large(scene_t *scene, int count, apr_pool_t *pool)
{
    apr_pool_t *spool_pool = sa_pool_create(pool);
    sa_spool_entry_t *entries = apr_palloc(pool, (size_t)count * sizeof(*entries));
    sa_spool_t *spool;
    size_t length;
    int damaged = 0;
    char *data;

    for (int i = 0; i < count; i++) {
        entries[i] = make_entry(i + 1, pool);
    }
    SA_ASSERT_OK(sa_spool_open(&spool, scene->path, &wide, spool_pool));
    SA_ASSERT_OK(sa_spool_append(spool, entries, count));
    apr_cpystrn(scene->boot, sa_spool_boot(spool), sizeof(scene->boot));
    apr_pool_destroy(spool_pool);
    data = (char *)read_file(&length, scene->path, pool);
    for (size_t page = 20; page < length / 4096; page += 50) {
        memset(data + page * 4096, 0xff, 4096);
        damaged++;
    }
    write_file(scene->path, data, length, pool);
    return damaged;
}

SA_TEST(what_lies_behind_each_damaged_page_is_kept)
{
    scene_t *scene = make_scene(false, pool);
    int damaged;
    int good;

    begin_try(scene, pool);
    damaged = make_large(scene, 1900, scene->pool);
    ck_assert_int_ge(damaged, 10);
    good = check_invariant(scene, "many damaged pages");
    /* a page holds some twenty of the small ones at most */
    ck_assert_int_ge(good, 1900 - damaged * 20);
    ck_assert_int_lt(good, 1900);
    ck_assert_ptr_nonnull(strstr(damage_event(scene),
                                 apr_psprintf(scene->pool, "at most %d", 1900 - good)));
    ck_assert_ptr_nonnull(strstr(damage_event(scene),
                                 apr_psprintf(scene->pool, "\"kept\":%d", good)));
    end_try(scene);
}

/* Each commit asks whether the disk is full by now. */
static int commits_left = -1;

static int on_commit(void *baton)
{
    (void)baton;
    if (commits_left >= 0 && commits_left-- == 0) {
        fault_vfs_set(FAULT_FULL);
    }
    return 0;
}

static int on_connection(sqlite3 *db, char **message, const struct sqlite3_api_routines *api)
{
    (void)message;
    (void)api;
    sqlite3_commit_hook(db, on_commit, NULL);
    return SQLITE_OK;
}

/* The disk fills at each of its commits in turn, and then the power goes. */
SA_TEST(an_interrupted_rescue_is_gone_on_with_and_takes_nothing_twice)
{
    scene_t *scene = make_scene(false, pool);
    const char *data;
    size_t length;
    char boot[16];
    int whole;
    int tries = 0;

    begin_try(scene, pool);
    make_large(scene, 1900, pool);
    data = read_file(&length, scene->path, pool);
    apr_cpystrn(boot, scene->boot, sizeof(boot));
    whole = check_invariant(scene, "not interrupted");
    end_try(scene);
    sqlite3_auto_extension((void (*)(void))on_connection);
    for (int at = 0; tries == at; at++) {
        apr_pool_t *spool_pool;
        sa_error_t *err;

        begin_try(scene, pool);
        spool_pool = sa_pool_create(scene->pool);
        write_file(scene->path, data, length, scene->pool);
        commits_left = at;
        err = sa_spool_open(&scene->spool, scene->path, &wide, spool_pool);
        tries += err != NULL;
        ck_assert(!err || sa_error_has(err, SA_ERR_DISK_FULL));
        ck_assert_ptr_nonnull(scene->spool);
        ck_assert_int_eq(sa_spool_is_open(scene->spool), err == NULL);
        ck_assert(!err || !*sa_spool_boot(scene->spool));
        sa_error_clear(err);
        apr_pool_destroy(spool_pool);       /* the power goes */
        commits_left = -1;
        fault_vfs_set(FAULT_NONE);
        ck_assert_int_eq(check_invariant(scene, apr_psprintf(pool, "full at commit %d", at)),
                         whole);
        end_try(scene);
    }
    sqlite3_reset_auto_extension();
    ck_assert_int_ge(tries, 8);
}

/* The renames of a rescue, interrupted at each. */
SA_TEST(a_rescue_that_ended_between_two_renames_loses_nothing)
{
    scene_t *scene = make_scene(true, pool);

    for (int i = 0; i < 3; i++) {
        const char *rescue;

        begin_try(scene, pool);
        rescue = apr_pstrcat(scene->pool, scene->path, ".rescue", NULL);
        write_file(rescue, scene->file[0], scene->length[0], scene->pool);
        write_file(apr_pstrcat(scene->pool, i == 0 ? scene->path : rescue, "-wal", NULL),
                   scene->file[1], scene->length[1], scene->pool);
        if (i == 2) {
            write_file(scene->path, "", 0, scene->pool);
        }
        ck_assert_int_eq(check_invariant(scene, "between two renames"), REPORTS - GONE);
        end_try(scene);
    }
}

/* ---- while it runs ------------------------------------------------------------ */

/* Write over page PAGE of the open database, as a disk would; a commit from
 * elsewhere lets it be read again. */
static void spoil_page(scene_t *scene, size_t page)
{
    char garbage[4096];
    apr_file_t *file;
    apr_off_t offset = (apr_off_t)(page * sizeof(garbage));
    sqlite3 *db;

    ck_assert_int_eq(sqlite3_open(scene->path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, "DELETE FROM quarantine", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    memset(garbage, 0x5a, sizeof(garbage));
    ck_assert_int_eq(apr_file_open(&file, scene->path, APR_FOPEN_WRITE | APR_FOPEN_BINARY, 0,
                                   scene->pool), APR_SUCCESS);
    apr_file_seek(file, APR_SET, &offset);
    ck_assert_int_eq(apr_file_write_full(file, garbage, sizeof(garbage), NULL), APR_SUCCESS);
    apr_file_close(file);
}

typedef enum act_t { ACT_APPEND, ACT_READ, ACT_REMOVE, ACT_QUARANTINE, ACT_EXPIRE, ACTS } act_t;

static sa_error_t *act(scene_t *scene, act_t which)
{
    sa_spool_entry_t entry = make_entry(1600, scene->pool);
    const apr_int64_t seqs[] = {20, 21, 22, 23};
    sa_spool_entry_t *entries;
    int count;

    switch (which) {
    case ACT_APPEND:
        return sa_spool_append(scene->spool, &entry, 1);
    case ACT_READ:
        return sa_spool_read(&entries, &count, scene->spool, 0, READ_MAX, 64 << 20, scene->pool);
    case ACT_REMOVE:
        return sa_spool_remove(scene->spool, seqs, 4);
    case ACT_QUARANTINE:
        return sa_spool_quarantine(scene->spool, 25, "try");
    default:
        return sa_spool_expire(scene->spool, 1790000000 * APR_INT64_C(1000000));
    }
}

/* Whatever is found while it runs is said with the code that calls for a rescue,
 * or not found by that act; after the rescue everything holds. */
SA_TEST(damage_found_while_it_runs_ends_in_a_rescue)
{
    scene_t *scene = make_scene(false, pool);
    size_t pages = scene->length[0] / 4096;
    int found = 0;

    for (size_t page = 0; page < pages; page++) {
        for (int which = 0; which < ACTS; which++) {
            apr_pool_t *spool_pool;
            sa_error_t *err;
            char text[256];

            begin_try(scene, pool);
            spool_pool = sa_pool_create(scene->pool);
            place(scene, scene->file[0], scene->length[0], NULL, 0);
            SA_ASSERT_OK(sa_spool_open(&scene->spool, scene->path, &wide, spool_pool));
            spoil_page(scene, page);
            err = act(scene, (act_t)which);
            if (err) {
                ck_assert_msg(sa_error_has(err, SA_ERR_FILE_CONTENT), "page %d, act %d: %s",
                              (int)page, which, sa_error_text(err, text, sizeof(text)));
                SA_ASSERT_OK(sa_spool_rescue(scene->spool));
                (void)check_reports(scene, "after a rescue");
                ck_assert(check_told(scene, "after a rescue"));
                check_use(scene, "after a rescue");
                found++;
            }
            sa_error_clear(err);
            apr_pool_destroy(spool_pool);
            end_try(scene);
        }
    }
    ck_assert_int_ge(found, (int)pages / 2);
}

/* Whoever reads on behind such a number would never come to an end. */
SA_TEST(a_number_that_was_never_given_is_damage)
{
    scene_t *scene = make_scene(false, pool);
    apr_pool_t *spool_pool;
    sqlite3 *db;
    sa_error_t *err;

    begin_try(scene, pool);
    spool_pool = sa_pool_create(scene->pool);
    place(scene, scene->file[0], scene->length[0], NULL, 0);
    SA_ASSERT_OK(sa_spool_open(&scene->spool, scene->path, &wide, spool_pool));
    ck_assert_int_eq(sqlite3_open(scene->path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, "INSERT INTO report SELECT 5000, made_at, subject, headers,"
                                  " data, crc FROM report WHERE seq = 30", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    err = act(scene, ACT_READ);
    ck_assert(sa_error_has(err, SA_ERR_FILE_CONTENT));
    sa_error_clear(err);
    SA_ASSERT_OK(sa_spool_rescue(scene->spool));
    ck_assert_int_eq(check_reports(scene, "a foreign number"), REPORTS - GONE);
    ck_assert(check_told(scene, "a foreign number"));
    apr_pool_destroy(spool_pool);
    end_try(scene);
}

/* Through each fault, with each act: none or all of it, and as before when the
 * disk is well again. */
SA_TEST(a_disk_that_refuses_changes_nothing)
{
    scene_t *scene = make_scene(false, pool);

    for (int fault = FAULT_FULL; fault <= FAULT_IO; fault++) {
        for (int which = 0; which < ACTS; which++) {
            sa_spool_state_t before;
            apr_pool_t *spool_pool;
            sa_error_t *err;

            begin_try(scene, pool);
            spool_pool = sa_pool_create(scene->pool);
            place(scene, scene->file[0], scene->length[0], NULL, 0);
            SA_ASSERT_OK(sa_spool_open(&scene->spool, scene->path, &wide, spool_pool));
            before = state_of(scene->spool);
            fault_vfs_set((fault_t)fault);
            err = act(scene, (act_t)which);
            fault_vfs_set(FAULT_NONE);
            ck_assert_msg((err == NULL) == (which == ACT_READ), "fault %d, act %d", fault, which);
            ck_assert(!err || !sa_error_has(err, SA_ERR_FILE_CONTENT));
            ck_assert(!err || (fault == FAULT_FULL) == sa_error_has(err, SA_ERR_DISK_FULL));
            sa_error_clear(err);
            ck_assert_uint_eq(state_of(scene->spool).reports, before.reports);
            ck_assert_uint_eq(state_of(scene->spool).bytes, before.bytes);
            ck_assert_int_eq(state_of(scene->spool).last_seq, before.last_seq);
            check_use(scene, "after a fault");
            apr_pool_destroy(spool_pool);
            ck_assert_int_eq(check_invariant(scene, "after a fault"), REPORTS - GONE);
            end_try(scene);
        }
    }
}

/* A new one and one that is there: on a disk that refuses at the opening it is
 * not open, has no name, and opens itself when it can. */
SA_TEST(a_spool_that_cannot_be_opened_opens_when_the_disk_is_well)
{
    scene_t *scene = make_scene(true, pool);

    for (int fault = FAULT_FULL; fault <= FAULT_IO; fault++) {
        for (int fresh = 0; fresh < 2; fresh++) {
            apr_pool_t *spool_pool;
            sa_error_t *err;

            begin_try(scene, pool);
            spool_pool = sa_pool_create(scene->pool);
            if (!fresh) {
                place(scene, scene->file[0], scene->length[0], scene->file[1], scene->length[1]);
            }
            fault_vfs_set((fault_t)fault);
            err = sa_spool_open(&scene->spool, scene->path, &wide, spool_pool);
            ck_assert_ptr_nonnull(scene->spool);
            ck_assert(!fresh || err);
            if (err) {
                ck_assert(!sa_error_has(err, SA_ERR_FILE_CONTENT));
                ck_assert(!sa_spool_is_open(scene->spool));
                ck_assert_str_eq(sa_spool_boot(scene->spool), "");
                ck_assert_uint_eq(state_of(scene->spool).reports, 0);
                sa_error_clear(err);
                for (int which = 0; which < ACTS; which++) {
                    err = act(scene, (act_t)which);
                    ck_assert_ptr_nonnull(err);
                    sa_error_clear(err);
                }
            }
            fault_vfs_set(FAULT_NONE);
            if (fresh) {
                scene->boot[0] = '\0';
            }
            SA_ASSERT_OK(act(scene, ACT_READ));
            ck_assert(sa_spool_is_open(scene->spool));
            ck_assert_int_eq(check_reports(scene, "well again"), fresh ? 0 : REPORTS - GONE);
            check_use(scene, "well again");
            ck_assert_str_eq(damage_event(scene), "");
            apr_pool_destroy(spool_pool);
            end_try(scene);
        }
    }
}

SA_TEST_MAIN("spool_damage", a_database_cut_off_anywhere_gives_what_is_left,
             a_log_cut_off_anywhere_gives_an_older_state,
             one_bit_that_flips_costs_few_reports,
             some_wrong_bytes_cost_few_reports,
             a_sector_of_zeros_costs_few_reports,
             a_tail_of_zeros_gives_what_is_before_it,
             a_bit_that_flips_in_the_log_gives_no_garbage,
             a_newest_number_that_was_lowered_is_damage,
             what_is_no_spool_goes_aside_whole,
             an_empty_file_is_a_spool_that_was_never_used,
             an_empty_file_with_a_log_was_a_spool,
             a_directory_in_its_place_is_named_and_left_alone,
             a_newer_format_is_left_alone,
             a_spool_of_version_1_is_taken_over_with_its_name_and_numbers,
             a_damaged_spool_of_version_1_is_read_behind_the_damage,
             what_lies_behind_each_damaged_page_is_kept,
             an_interrupted_rescue_is_gone_on_with_and_takes_nothing_twice,
             a_rescue_that_ended_between_two_renames_loses_nothing,
             damage_found_while_it_runs_ends_in_a_rescue,
             a_number_that_was_never_given_is_damage,
             a_disk_that_refuses_changes_nothing,
             a_spool_that_cannot_be_opened_opens_when_the_disk_is_well)
