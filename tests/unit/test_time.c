/* base: RFC 3339 and Go's durations. */
#include "sa_test.h"
#include "sa_time.h"

#define SECOND APR_INT64_C(1000000)

SA_TEST(a_time_is_whole_seconds_in_utc)
{
    char text[SA_TIME_TEXT];

    (void)pool;
    ck_assert_str_eq(sa_time_format(text, 0), "1970-01-01T00:00:00Z");
    ck_assert_str_eq(sa_time_format(text, APR_INT64_C(1785934245999999)), "2026-08-05T12:50:45Z");
    ck_assert_str_eq(sa_time_format_ms(text, APR_INT64_C(1785934245999999)),
                     "2026-08-05T12:50:45.999Z");
    ck_assert_str_eq(sa_time_format(text, APR_INT64_C(951782400000000)), "2000-02-29T00:00:00Z");
}

SA_TEST(durations_are_read_as_go_reads_them)
{
    static const struct { const char *text; apr_interval_time_t us; } rows[] = {
        {"0", 0}, {"0s", 0}, {"30s", 30 * SECOND}, {"1m30s", 90 * SECOND},
        {"1.5h", 5400 * SECOND}, {".5s", SECOND / 2}, {"1.s", SECOND}, {"500ms", SECOND / 2},
        {"7d", 7 * 86400 * SECOND}, {"250us", 250}, {"250\xc2\xb5s", 250}, {"5000ns", 5},
        {"1h0m0s", 3600 * SECOND}, {"0.000001s", 1},
    };

    (void)pool;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        apr_interval_time_t duration = -1;

        SA_ASSERT_OK(sa_duration_parse(&duration, rows[i].text));
        ck_assert_msg(duration == rows[i].us, "%s gave %ld", rows[i].text, (long)duration);
    }
}

SA_TEST(what_is_no_duration_is_refused)
{
    static const char *const bad[] = {
        "", "s", "30", "-5s", "+5s", "5 s", " 5s", "5s ", "1x", "1m30", ".s", "1e3s", "5S",
        "99999999999999999999s", "40000d", "1h99999999999999h", "nan", "1..5s", "1,5s", "5sx"
    };
    apr_interval_time_t duration;

    (void)pool;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        SA_ASSERT_ERR(sa_duration_parse(&duration, bad[i]), SA_ERR_PARSE);
        ck_assert_int_eq(duration, 0);
    }
}

SA_TEST(durations_print_short_and_as_go_prints_them)
{
    static const struct { apr_interval_time_t us; const char *text; const char *go; } rows[] = {
        {0, "0s", "0s"}, {30 * SECOND, "30s", "30s"}, {60 * SECOND, "1m", "1m0s"},
        {90 * SECOND, "1m30s", "1m30s"}, {3600 * SECOND, "1h", "1h0m0s"},
        {3660 * SECOND, "1h1m", "1h1m0s"}, {SECOND / 2, "500ms", "500ms"},
        {1500 * 1000, "1.5s", "1.5s"}, {1500, "1.5ms", "1.5ms"}, {7, "7\xc2\xb5s", "7\xc2\xb5s"},
        {10 * 60 * SECOND, "10m", "10m0s"}, {36000 * SECOND, "10h", "10h0m0s"},
        {7 * 86400 * SECOND, "168h", "168h0m0s"}, {20 * SECOND, "20s", "20s"},
    };
    char text[SA_DURATION_TEXT];

    (void)pool;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        apr_interval_time_t again;

        ck_assert_str_eq(sa_duration_format(text, rows[i].us), rows[i].text);
        SA_ASSERT_OK(sa_duration_parse(&again, text));
        ck_assert_int_eq(again, rows[i].us);
        ck_assert_str_eq(sa_duration_format_go(text, rows[i].us), rows[i].go);
    }
}

SA_TEST_MAIN("time", a_time_is_whole_seconds_in_utc, durations_are_read_as_go_reads_them,
             what_is_no_duration_is_refused, durations_print_short_and_as_go_prints_them)
