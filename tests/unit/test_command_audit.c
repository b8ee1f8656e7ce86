/* command: the audit file, by itself. */
#include "../../src/command/sa_command_audit.h"

#include <errno.h>
#include <unistd.h>

#include <sys/stat.h>

#include <apr_atomic.h>
#include <apr_file_io.h>
#include <apr_strings.h>

#include "sa_json.h"
#include "sa_os_file.h"
#include "sa_os_thread.h"
#include "sa_pool.h"
#include "sa_test.h"
#include "sa_test_server.h"

/* The linker takes this one: how often, and of how many bytes; it fails when it is told to. */
static volatile apr_uint32_t syncs;
static volatile apr_uint32_t bytes_on_disk;
static volatile apr_uint32_t disk_is_dead;
static volatile apr_uint32_t disk_is_slow;
int fdatasync(int descriptor)
{
    struct stat info;
    bool dead = apr_atomic_read32(&disk_is_dead) != 0;

    /* what is written meanwhile is not on the disk by this call */
    ck_assert_int_eq(fstat(descriptor, &info), 0);
    if (apr_atomic_read32(&disk_is_slow)) {
        apr_sleep(apr_time_from_msec(2));
    }
    if (dead) {
        errno = EIO;
        return -1;
    }
    apr_atomic_set32(&bytes_on_disk, (apr_uint32_t)info.st_size);
    apr_atomic_inc32(&syncs);
    return 0;
}

typedef struct bench_t {
    apr_pool_t *pool;
    const char *dir;
    const char *path;
    sa_config_t config;
    sa_command_audit_t *audit;
} bench_t;

static bench_t *open_bench(apr_pool_t *pool)
{
    bench_t *bench = apr_pcalloc(pool, sizeof(*bench));

    bench->pool = pool;
    bench->dir = sa_test_dir(pool);
    bench->path = apr_pstrcat(pool, bench->dir, "/audit.log", NULL);
    bench->config.audit_file = bench->path;
    bench->config.audit_max_size_mb = 1;
    bench->config.audit_max_backups = 2;
    apr_atomic_set32(&syncs, 0);
    apr_atomic_set32(&bytes_on_disk, 0);
    apr_atomic_set32(&disk_is_dead, 0);
    apr_atomic_set32(&disk_is_slow, 0);
    sa_command_audit_open(&bench->audit, &bench->config, pool);
    return bench;
}

static sa_command_audit_entry_t entry(const char *phase, const char *what)
{
    return (sa_command_audit_entry_t){
        .id = "i", .phase = phase, .command = "exec", .what = what, .subject = "s", .reply = "r",
        .headers = "", .as = "user x", .outcome = "fine", .duration = apr_time_from_msec(1500)
    };
}

static sa_error_t *write_one(bench_t *bench, const char *phase, const char *what)
{
    sa_command_audit_entry_t made = entry(phase, what);

    return sa_command_audit_write(bench->audit, &made);
}

static int count_lines(bench_t *bench, const char *path)
{
    int count = 0;

    for (const char *c = sa_test_read(path, bench->pool); *c; c++) {
        count += *c == '\n';
    }
    return count;
}

static bool is_synced(void *baton)
{
    (void)baton;
    return apr_atomic_read32(&syncs) > 0;
}

SA_TEST(a_line_is_json_in_ascii_and_there_when_the_call_returns)
{
    bench_t *bench = open_bench(pool);
    const char *hostile = "a\"b\\c\nd\x1b[31m\xff\xe2\x80\xae\xf0\x9f\x98\x80";
    const char *text;
    cJSON *json;

    SA_ASSERT_OK(write_one(bench, "end", hostile));
    text = sa_test_read(bench->path, pool);
    for (const char *c = text; *c; c++) {
        ck_assert((*c >= ' ' && *c <= '~') || *c == '\n');
    }
    ck_assert_int_eq(count_lines(bench, bench->path), 1);
    SA_ASSERT_OK(sa_json_parse(&json, text, strlen(text), pool));
    ck_assert_str_eq(sa_json_text(json, "what"),
                     "a\"b\\c\nd\x1b[31m\xef\xbf\xbd\xe2\x80\xae\xf0\x9f\x98\x80");
    ck_assert_int_eq(cJSON_GetObjectItem(json, "duration_ms")->valueint, 1500);
    ck_assert(sa_test_wait(is_synced, NULL, apr_time_from_sec(30)));
    sa_command_audit_close(bench->audit);
}

SA_TEST(one_that_nobody_closes_ends_with_its_pool_and_loses_nothing)
{
    apr_pool_t *short_pool = sa_pool_create_root();
    bench_t *bench = open_bench(short_pool);
    sa_command_audit_entry_t entry = { .id = "the-id", .phase = "refused", .command = "exec" };

    (void)pool;
    sa_command_audit_note(bench->audit, &entry);
    /* would wait for ever for a thread that waits */
    apr_pool_destroy(short_pool);
    ck_assert_uint_gt(apr_atomic_read32(&bytes_on_disk), 0);
}

SA_TEST(the_file_is_ours_alone)
{
    bench_t *bench = open_bench(pool);
    apr_finfo_t info;

    SA_ASSERT_OK(write_one(bench, "begin", "x"));
    ck_assert_int_eq(apr_stat(&info, bench->path, APR_FINFO_PROT, pool), APR_SUCCESS);
    ck_assert_int_eq(info.protection, APR_FPROT_UREAD | APR_FPROT_UWRITE);
    sa_command_audit_close(bench->audit);
}

static const struct { const char *what; const char *file; apr_fileperms_t mode; } unsafe[] = {
    {"a link", NULL, 0}, {"a hard link", NULL, 1},
    {"a file that others can read", "", APR_FPROT_UREAD | APR_FPROT_UWRITE | APR_FPROT_WREAD},
    {"a file that a group can write", "", APR_FPROT_UREAD | APR_FPROT_UWRITE | APR_FPROT_GWRITE},
};

SA_TEST(a_place_that_is_not_safe_is_refused_and_used_once_it_is)
{
    bench_t *bench = open_bench(pool);
    sa_error_t *err;

    for (size_t i = 0; i < sizeof(unsafe) / sizeof(unsafe[0]); i++) {
        if (unsafe[i].file) {
            sa_test_file(bench->dir, "audit.log", unsafe[i].file, 0600, pool);
            apr_file_perms_set(bench->path, unsafe[i].mode);
        } else {
            const char *target = sa_test_file(bench->dir, "target", "", 0600, pool);

            ck_assert_int_eq(unsafe[i].mode ? link(target, bench->path)
                                            : symlink(target, bench->path), 0);
        }
        err = write_one(bench, "begin", "x");
        ck_assert_msg(err != NULL, "%s", unsafe[i].what);
        sa_error_clear(err);
        ck_assert_str_eq(sa_test_read(bench->path, pool), "");
        apr_file_remove(bench->path, pool);
    }
    SA_ASSERT_OK(write_one(bench, "begin", "x"));
    sa_command_audit_close(bench->audit);
}

SA_TEST(a_full_file_is_put_aside_and_so_many_are_kept)
{
    bench_t *bench = open_bench(pool);
    char *what = apr_palloc(pool, 8001);
    int lines = 0;

    memset(what, 'x', 8000);
    what[8000] = '\0';
    for (int i = 0; i < 600; i++) {
        SA_ASSERT_OK(write_one(bench, "begin", what));
    }
    for (int i = 0; i <= 2; i++) {
        const char *path = i == 0 ? bench->path : apr_psprintf(pool, "%s.%d", bench->path, i);
        apr_finfo_t info;

        ck_assert_int_eq(apr_stat(&info, path, APR_FINFO_SIZE, pool), APR_SUCCESS);
        ck_assert_int_le(info.size, 1024 * 1024);
        lines += count_lines(bench, path);
    }
    ck_assert_int_gt(lines, 300);
    ck_assert(!sa_os_file_exists(apr_pstrcat(pool, bench->path, ".3", NULL), pool));
    sa_command_audit_close(bench->audit);
}

SA_TEST(a_file_that_cannot_be_put_aside_grows_and_nothing_is_lost)
{
    bench_t *bench = open_bench(pool);
    char *what = apr_palloc(pool, 8001);

    memset(what, 'x', 8000);
    what[8000] = '\0';
    for (int i = 1; i <= 2; i++) {
        ck_assert_int_eq(apr_dir_make_recursive(apr_psprintf(pool, "%s.%d/x", bench->path, i),
                                                APR_FPROT_OS_DEFAULT, pool), APR_SUCCESS);
    }
    for (int i = 0; i < 200; i++) {
        SA_ASSERT_OK(write_one(bench, "begin", what));
    }
    ck_assert_int_eq(count_lines(bench, bench->path), 200);
    sa_command_audit_close(bench->audit);
}

SA_TEST(a_file_that_was_taken_away_is_made_anew)
{
    bench_t *bench = open_bench(pool);

    SA_ASSERT_OK(write_one(bench, "begin", "one"));
    apr_file_remove(bench->path, pool);
    SA_ASSERT_OK(write_one(bench, "begin", "two"));
    ck_assert_ptr_nonnull(strstr(sa_test_read(bench->path, pool), "two"));
    sa_command_audit_close(bench->audit);
}

SA_TEST(half_a_line_of_a_power_cut_does_not_spoil_the_next)
{
    bench_t *bench = open_bench(pool);

    sa_test_file(bench->dir, "audit.log", "{\"ts\":\"2026", 0600, pool);
    SA_ASSERT_OK(write_one(bench, "begin", "x"));
    ck_assert(strncmp(sa_test_read(bench->path, pool), "{\"ts\":\"2026\n{\"ts\"", 17) == 0);
    sa_command_audit_close(bench->audit);
}

SA_TEST(a_reload_goes_on_in_another_file)
{
    bench_t *bench = open_bench(pool);
    const char *other = apr_pstrcat(pool, bench->dir, "/other.log", NULL);

    SA_ASSERT_OK(write_one(bench, "begin", "one"));
    bench->config.audit_file = other;
    sa_command_audit_reload(bench->audit, &bench->config);
    SA_ASSERT_OK(write_one(bench, "begin", "two"));
    ck_assert_int_eq(count_lines(bench, bench->path), 1);
    ck_assert_int_eq(count_lines(bench, other), 1);
    sa_command_audit_close(bench->audit);
}

/* ---- many at once ------------------------------------------------------------------- */

#define WRITERS 8
#define EACH 200

static void write_many(void *baton)
{
    bench_t *bench = baton;

    for (int i = 0; i < EACH; i++) {
        sa_command_audit_entry_t made = entry("refused", "noted");

        sa_error_clear(write_one(bench, "begin", "written"));
        sa_command_audit_note(bench->audit, &made);
    }
}

SA_TEST(lines_of_many_threads_are_all_there_and_whole)
{
    bench_t *bench = open_bench(pool);
    sa_os_thread_t *threads[WRITERS];
    int count = 0;
    char *state = NULL;
    char *all;

    for (int i = 0; i < WRITERS; i++) {
        ck_assert_int_eq(sa_os_thread_start(&threads[i], "writer", write_many, bench, pool), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        sa_os_thread_join(threads[i]);
    }
    sa_command_audit_close(bench->audit);
    all = apr_pstrdup(pool, sa_test_read(bench->path, pool));
    for (char *line = apr_strtok(all, "\n", &state); line; line = apr_strtok(NULL, "\n", &state)) {
        cJSON *json;

        SA_ASSERT_OK(sa_json_parse(&json, line, strlen(line), pool));
        count++;
    }
    ck_assert_int_eq(count, 2 * WRITERS * EACH);
    ck_assert_int_ge(apr_atomic_read32(&syncs), 1);
}

/* ---- on the disk before it begins ---------------------------------------------------- */

static bench_t *open_ahead(apr_pool_t *pool)
{
    bench_t *bench = open_bench(pool);

    bench->config.audit_ahead = true;
    sa_command_audit_reload(bench->audit, &bench->config);
    return bench;
}

/* How much of the file the first COUNT lines are. */
static apr_uint32_t bytes_of_lines(bench_t *bench, int count)
{
    const char *text = sa_test_read(bench->path, bench->pool);
    const char *at = text;

    for (; count > 0 && *at; at++) {
        count -= *at == '\n';
    }
    return (apr_uint32_t)(at - text);
}

SA_TEST(with_audit_ahead_a_beginning_is_on_the_disk_when_the_call_returns)
{
    bench_t *bench = open_ahead(pool);

    for (int i = 1; i <= 5; i++) {
        SA_ASSERT_OK(write_one(bench, "begin", "x"));
        ck_assert_int_ge(apr_atomic_read32(&bytes_on_disk), bytes_of_lines(bench, i));
    }
    sa_command_audit_close(bench->audit);
}

SA_TEST(with_audit_ahead_an_end_does_not_wait_for_the_disk)
{
    bench_t *bench = open_ahead(pool);

    apr_atomic_set32(&disk_is_dead, 1);
    SA_ASSERT_OK(write_one(bench, "end", "x"));
    sa_command_audit_close(bench->audit);
}

SA_TEST(with_audit_ahead_nothing_begins_whose_line_does_not_get_to_the_disk)
{
    bench_t *bench = open_ahead(pool);
    sa_error_t *err;

    apr_atomic_set32(&disk_is_dead, 1);
    err = write_one(bench, "begin", "x");
    ck_assert_ptr_nonnull(err);
    ck_assert_ptr_nonnull(strstr(err->message, "cannot be recorded"));
    sa_error_clear(err);
    apr_atomic_set32(&disk_is_dead, 0);
    SA_ASSERT_OK(write_one(bench, "begin", "y"));
    ck_assert_int_ge(apr_atomic_read32(&bytes_on_disk), bytes_of_lines(bench, 2));
    sa_command_audit_close(bench->audit);
}

SA_TEST(without_audit_ahead_a_beginning_does_not_wait_for_the_disk)
{
    bench_t *bench = open_bench(pool);

    apr_atomic_set32(&disk_is_dead, 1);
    SA_ASSERT_OK(write_one(bench, "begin", "x"));
    sa_command_audit_close(bench->audit);
}

typedef struct beginner_t {
    bench_t *bench;
    int number;
} beginner_t;

static volatile apr_uint32_t not_on_disk;

/* Each line is looked for in what is on the disk, as soon as the call has returned. */
static void begin_many(void *baton)
{
    const beginner_t *beginner = baton;
    apr_pool_t *pool;
    char what[32];

    apr_pool_create(&pool, NULL);
    for (int i = 0; i < EACH / 4; i++) {
        apr_uint32_t there;
        const char *text;
        const char *at;

        snprintf(what, sizeof(what), "w%d-%d.", beginner->number, i);
        sa_error_clear(write_one(beginner->bench, "begin", what));
        there = apr_atomic_read32(&bytes_on_disk);
        text = sa_test_read(beginner->bench->path, pool);
        at = strstr(text, what);
        if (!at || (apr_uint32_t)(at - text) >= there) {
            apr_atomic_inc32(&not_on_disk);
        }
        apr_pool_clear(pool);
    }
    apr_pool_destroy(pool);
}

SA_TEST(with_audit_ahead_those_that_begin_together_share_a_flush)
{
    bench_t *bench = open_ahead(pool);
    sa_os_thread_t *threads[WRITERS];
    beginner_t beginners[WRITERS];

    apr_atomic_set32(&not_on_disk, 0);
    apr_atomic_set32(&disk_is_slow, 1);
    for (int i = 0; i < WRITERS; i++) {
        beginners[i] = (beginner_t){.bench = bench, .number = i};
        ck_assert_int_eq(sa_os_thread_start(&threads[i], "beginner", begin_many, &beginners[i],
                                            pool), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        sa_os_thread_join(threads[i]);
    }
    ck_assert_int_eq(count_lines(bench, bench->path), WRITERS * (EACH / 4));
    ck_assert_int_eq(apr_atomic_read32(&not_on_disk), 0);
    ck_assert_int_lt(apr_atomic_read32(&syncs), WRITERS * (EACH / 4) / 2);
    sa_command_audit_close(bench->audit);
}

SA_TEST_MAIN("command_audit", a_line_is_json_in_ascii_and_there_when_the_call_returns,
             one_that_nobody_closes_ends_with_its_pool_and_loses_nothing,
             the_file_is_ours_alone, a_place_that_is_not_safe_is_refused_and_used_once_it_is,
             a_full_file_is_put_aside_and_so_many_are_kept,
             a_file_that_cannot_be_put_aside_grows_and_nothing_is_lost,
             a_file_that_was_taken_away_is_made_anew,
             half_a_line_of_a_power_cut_does_not_spoil_the_next,
             a_reload_goes_on_in_another_file,
             lines_of_many_threads_are_all_there_and_whole,
             with_audit_ahead_a_beginning_is_on_the_disk_when_the_call_returns,
             with_audit_ahead_an_end_does_not_wait_for_the_disk,
             with_audit_ahead_nothing_begins_whose_line_does_not_get_to_the_disk,
             without_audit_ahead_a_beginning_does_not_wait_for_the_disk,
             with_audit_ahead_those_that_begin_together_share_a_flush)
