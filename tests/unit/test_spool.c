/* spool: what was accepted stays until it is removed. */
#include <apr_file_info.h>
#include <apr_file_io.h>
#include <apr_strings.h>

#include "sa_os_file.h"
#include "sa_spool.h"
#include "sa_test.h"
#include "sa_test_server.h"
#include "sa_time.h"

static const sa_spool_limits_t wide = {
    .max_bytes = 64 * 1024 * 1024, .max_age = 7 * 86400 * APR_INT64_C(1000000)
};

static apr_int64_t append(sa_spool_t *spool, const char *data, apr_time_t made_at)
{
    sa_spool_entry_t entry = {
        .made_at = made_at, .subject = "s", .headers = "", .data = data, .length = strlen(data)
    };

    SA_ASSERT_OK(sa_spool_append(spool, &entry, 1));
    return entry.seq;
}

static sa_spool_state_t state_of(const sa_spool_t *spool)
{
    sa_spool_state_t state;

    sa_spool_read_state(&state, spool);
    return state;
}

SA_TEST(a_report_comes_back_as_it_went_in)
{
    const char *directory = sa_test_dir(pool);
    apr_pool_t *spool_pool = sa_pool_create(pool);
    sa_spool_t *spool;
    sa_spool_entry_t entry = {
        .made_at = 1234567, .subject = "agents.a.telemetry.x", .headers = "A: b\n",
        .data = "\0binary\xff", .length = 8
    };
    sa_spool_entry_t *read;
    int count;

    SA_ASSERT_OK(sa_spool_open(&spool, apr_pstrcat(pool, directory, "/db", NULL), &wide,
                               spool_pool));
    SA_ASSERT_OK(sa_spool_append(spool, &entry, 1));
    ck_assert_int_eq(entry.seq, 1);
    SA_ASSERT_OK(sa_spool_read(&read, &count, spool, 0, 10, 1000, pool));
    ck_assert_int_eq(count, 1);
    ck_assert_int_eq(read->seq, 1);
    ck_assert_int_eq(read->made_at, 1234567);
    ck_assert_str_eq(read->subject, entry.subject);
    ck_assert_str_eq(read->headers, entry.headers);
    ck_assert_int_eq(read->length, 8);
    ck_assert_int_eq(memcmp(read->data, entry.data, 8), 0);
    apr_pool_destroy(spool_pool);
}

SA_TEST(numbers_are_never_given_twice_and_survive_reopening)
{
    const char *directory = sa_test_dir(pool);
    const char *path = apr_pstrcat(pool, directory, "/db", NULL);
    apr_pool_t *spool_pool = sa_pool_create(pool);
    const apr_int64_t all[] = {1, 2, 3};
    sa_spool_t *spool;
    char boot[16];

    SA_ASSERT_OK(sa_spool_open(&spool, path, &wide, spool_pool));
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(append(spool, "x", 1), i + 1);
    }
    SA_ASSERT_OK(sa_spool_remove(spool, all, 3));
    ck_assert_uint_eq(state_of(spool).reports, 0);
    ck_assert_uint_eq(state_of(spool).bytes, 0);
    apr_cpystrn(boot, sa_spool_boot(spool), sizeof(boot));
    ck_assert_int_eq(strlen(boot), 12);
    apr_pool_clear(spool_pool);
    SA_ASSERT_OK(sa_spool_open(&spool, path, &wide, spool_pool));
    ck_assert_str_eq(sa_spool_boot(spool), boot);
    ck_assert_int_eq(state_of(spool).last_seq, 3);
    ck_assert_int_eq(append(spool, "x", 1), 4);
    apr_pool_destroy(spool_pool);
}

SA_TEST(reading_goes_on_behind_a_number_and_stops_at_a_size)
{
    const char *directory = sa_test_dir(pool);
    apr_pool_t *spool_pool = sa_pool_create(pool);
    sa_spool_t *spool;
    sa_spool_entry_t *read;
    int count;

    SA_ASSERT_OK(sa_spool_open(&spool, apr_pstrcat(pool, directory, "/db", NULL), &wide,
                               spool_pool));
    for (int i = 0; i < 10; i++) {
        append(spool, "0123456789", 1);
    }
    SA_ASSERT_OK(sa_spool_read(&read, &count, spool, 4, 100, 30, pool));
    ck_assert_int_eq(count, 3);
    ck_assert_int_eq(read[0].seq, 5);
    SA_ASSERT_OK(sa_spool_read(&read, &count, spool, 9, 100, 1, pool));
    ck_assert_int_eq(count, 1);     /* at least one, whatever its size */
    SA_ASSERT_OK(sa_spool_read(&read, &count, spool, 10, 100, 1, pool));
    ck_assert_int_eq(count, 0);
    apr_pool_destroy(spool_pool);
}

SA_TEST(a_full_spool_drops_the_oldest_and_counts_them)
{
    const char *directory = sa_test_dir(pool);
    const char *path = apr_pstrcat(pool, directory, "/db", NULL);
    apr_pool_t *spool_pool = sa_pool_create(pool);
    const sa_spool_limits_t narrow = {.max_bytes = 55, .max_age = wide.max_age};
    sa_spool_t *spool;
    sa_spool_entry_t *read;
    int count;

    SA_ASSERT_OK(sa_spool_open(&spool, path, &narrow, spool_pool));
    for (int i = 0; i < 8; i++) {
        append(spool, "0123456789", 1);     /* 11 bytes with the subject: five fit */
    }
    ck_assert_uint_eq(state_of(spool).reports, 5);
    ck_assert_uint_eq(state_of(spool).bytes, 55);
    ck_assert_uint_eq(state_of(spool).dropped, 3);
    SA_ASSERT_OK(sa_spool_read(&read, &count, spool, 0, 100, 1000, pool));
    ck_assert_int_eq(read[0].seq, 4);
    apr_pool_clear(spool_pool);
    SA_ASSERT_OK(sa_spool_open(&spool, path, &narrow, spool_pool));
    ck_assert_uint_eq(state_of(spool).dropped, 3);      /* counted in the database */
    apr_pool_destroy(spool_pool);
}

SA_TEST(a_report_larger_than_the_spool_is_refused_and_nothing_is_dropped_for_it)
{
    const char *directory = sa_test_dir(pool);
    apr_pool_t *spool_pool = sa_pool_create(pool);
    const sa_spool_limits_t narrow = {.max_bytes = 55, .max_age = wide.max_age};
    sa_spool_t *spool;
    sa_spool_entry_t entries[2] = {
        {.subject = "s", .headers = "", .data = "small", .length = 5},
        {.subject = "s", .headers = "", .data = apr_pcalloc(pool, 100), .length = 100}
    };

    SA_ASSERT_OK(sa_spool_open(&spool, apr_pstrcat(pool, directory, "/db", NULL), &narrow,
                               spool_pool));
    append(spool, "0123456789", 1);
    SA_ASSERT_ERR(sa_spool_append(spool, entries, 2), SA_ERR_TOO_LARGE);
    ck_assert_uint_eq(state_of(spool).reports, 1);
    ck_assert_uint_eq(state_of(spool).dropped, 0);
    apr_pool_destroy(spool_pool);
}

/* Some time in 2026. */
#define NOON (1780000000 * APR_INT64_C(1000000))

SA_TEST(old_reports_expire_from_the_old_end_only)
{
    const char *directory = sa_test_dir(pool);
    apr_pool_t *spool_pool = sa_pool_create(pool);
    const sa_spool_limits_t limits = {.max_bytes = wide.max_bytes, .max_age = 100};
    sa_spool_t *spool;

    SA_ASSERT_OK(sa_spool_open(&spool, apr_pstrcat(pool, directory, "/db", NULL), &limits,
                               spool_pool));
    append(spool, "a", NOON);
    append(spool, "b", NOON + 50);
    append(spool, "c", NOON + 200);
    append(spool, "d", NOON - 1000);        /* made while the clock was wrong */
    append(spool, "e", NOON + 210);
    SA_ASSERT_OK(sa_spool_expire(spool, NOON + 200));
    ck_assert_uint_eq(state_of(spool).reports, 3);
    ck_assert_uint_eq(state_of(spool).dropped, 2);
    ck_assert_int_eq(state_of(spool).oldest_at, NOON + 200);
    SA_ASSERT_OK(sa_spool_expire(spool, NOON + 99999));
    ck_assert_uint_eq(state_of(spool).reports, 0);
    ck_assert_uint_eq(state_of(spool).dropped, 5);
    apr_pool_destroy(spool_pool);
}

SA_TEST(a_report_made_while_the_clock_was_not_set_has_no_age)
{
    const char *directory = sa_test_dir(pool);
    apr_pool_t *spool_pool = sa_pool_create(pool);
    const sa_spool_limits_t limits = {.max_bytes = wide.max_bytes, .max_age = 100};
    const apr_int64_t first = 1;
    sa_spool_t *spool;

    SA_ASSERT_OK(sa_spool_open(&spool, apr_pstrcat(pool, directory, "/db", NULL), &limits,
                               spool_pool));
    append(spool, "boot", 42 * APR_INT64_C(1000000));       /* 1970: no clock yet */
    append(spool, "old", NOON);
    SA_ASSERT_OK(sa_spool_expire(spool, NOON + 99999));
    ck_assert_uint_eq(state_of(spool).reports, 2);          /* it also keeps what is behind it */
    SA_ASSERT_OK(sa_spool_remove(spool, &first, 1));
    SA_ASSERT_OK(sa_spool_expire(spool, NOON + 99999));
    ck_assert_uint_eq(state_of(spool).reports, 0);
    ck_assert_uint_eq(state_of(spool).dropped, 1);
    apr_pool_destroy(spool_pool);
}

SA_TEST(removing_takes_holes_and_unknown_numbers)
{
    const char *directory = sa_test_dir(pool);
    apr_pool_t *spool_pool = sa_pool_create(pool);
    const apr_int64_t seqs[] = {2, 3, 5, 99, 7};
    sa_spool_t *spool;
    sa_spool_entry_t *read;
    int count;

    SA_ASSERT_OK(sa_spool_open(&spool, apr_pstrcat(pool, directory, "/db", NULL), &wide,
                               spool_pool));
    for (int i = 0; i < 8; i++) {
        append(spool, "x", 1);
    }
    SA_ASSERT_OK(sa_spool_remove(spool, seqs, 5));
    SA_ASSERT_OK(sa_spool_read(&read, &count, spool, 0, 100, 1000, pool));
    ck_assert_int_eq(count, 4);
    ck_assert_int_eq(read[0].seq, 1);
    ck_assert_int_eq(read[1].seq, 4);
    ck_assert_int_eq(read[2].seq, 6);
    ck_assert_int_eq(read[3].seq, 8);
    ck_assert_uint_eq(state_of(spool).reports, 4);
    ck_assert_uint_eq(state_of(spool).bytes, 8);
    apr_pool_destroy(spool_pool);
}

SA_TEST(a_quarantined_report_is_kept_aside_and_not_read_again)
{
    const char *directory = sa_test_dir(pool);
    apr_pool_t *spool_pool = sa_pool_create(pool);
    sa_spool_t *spool;
    sa_spool_entry_t *read;
    int count;

    SA_ASSERT_OK(sa_spool_open(&spool, apr_pstrcat(pool, directory, "/db", NULL), &wide,
                               spool_pool));
    append(spool, "x", 1);
    append(spool, "y", 1);
    SA_ASSERT_OK(sa_spool_quarantine(spool, 1, "too large"));
    SA_ASSERT_OK(sa_spool_read(&read, &count, spool, 0, 100, 1000, pool));
    ck_assert_int_eq(count, 1);
    ck_assert_int_eq(read[0].seq, 2);
    ck_assert_uint_eq(state_of(spool).reports, 1);
    ck_assert_uint_eq(state_of(spool).dropped, 0);
    apr_pool_destroy(spool_pool);
}

static int count_damaged(const char *directory, apr_pool_t *pool)
{
    apr_dir_t *dir;
    apr_finfo_t info;
    int count = 0;

    ck_assert_int_eq(apr_dir_open(&dir, directory, pool), APR_SUCCESS);
    while (apr_dir_read(&info, APR_FINFO_NAME, dir) == APR_SUCCESS) {
        count += strstr(info.name, ".damaged-") != NULL;
    }
    apr_dir_close(dir);
    return count;
}

SA_TEST(what_is_no_spool_is_set_aside_and_a_new_one_begun)
{
    static const char *const damaged[] = {
        "this is no database at all, but long enough to look like one to somebody in a hurry",
        "SQLite format 3\0 and then nothing that makes sense",
    };

    for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
        const char *directory = sa_test_dir(pool);
        const char *path = apr_pstrcat(pool, directory, "/db", NULL);
        apr_pool_t *spool_pool = sa_pool_create(pool);
        char content[8192];
        sa_spool_t *spool;

        memset(content, 'z', sizeof(content));
        memcpy(content, damaged[i], 50);
        SA_ASSERT_OK(sa_os_file_write_private(path, content, sizeof(content), pool));
        SA_ASSERT_OK(sa_spool_open(&spool, path, &wide, spool_pool));
        ck_assert_int_eq(append(spool, "x", 1), 1);
        ck_assert_int_eq(count_damaged(directory, pool), 1);
        apr_pool_destroy(spool_pool);
    }
}

SA_TEST(the_database_is_private)
{
    const char *directory = sa_test_dir(pool);
    apr_pool_t *spool_pool = sa_pool_create(pool);
    static const char *const tails[] = {"", "-wal", "-shm"};
    sa_spool_t *spool;

    SA_ASSERT_OK(sa_spool_open(&spool, apr_pstrcat(pool, directory, "/db", NULL), &wide,
                               spool_pool));
    append(spool, "x", 1);
    for (int i = 0; i < 3; i++) {
        apr_finfo_t info;

        ck_assert_int_eq(apr_stat(&info, apr_pstrcat(pool, directory, "/db", tails[i], NULL),
                                  APR_FINFO_PROT, pool), APR_SUCCESS);
        ck_assert_int_eq(info.protection & 0x0fff, APR_FPROT_UREAD | APR_FPROT_UWRITE);
    }
    apr_pool_destroy(spool_pool);
}

SA_TEST_MAIN("spool", a_report_comes_back_as_it_went_in,
             numbers_are_never_given_twice_and_survive_reopening,
             reading_goes_on_behind_a_number_and_stops_at_a_size,
             a_full_spool_drops_the_oldest_and_counts_them,
             a_report_larger_than_the_spool_is_refused_and_nothing_is_dropped_for_it,
             old_reports_expire_from_the_old_end_only,
             a_report_made_while_the_clock_was_not_set_has_no_age,
             removing_takes_holes_and_unknown_numbers,
             a_quarantined_report_is_kept_aside_and_not_read_again,
             what_is_no_spool_is_set_aside_and_a_new_one_begun, the_database_is_private)
