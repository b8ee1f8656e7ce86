/* base: errors, pools, queue, buffer, JSON, back-off, random, stats, pulse. */
#include <math.h>
#include <stdio.h>

#include <apr_strings.h>

#include "sa_backoff.h"
#include "sa_buf.h"
#include "sa_json.h"
#include "sa_os_clock.h"
#include "sa_os_thread.h"
#include "sa_pulse.h"
#include "sa_queue.h"
#include "sa_test.h"
#include "sa_text.h"
#include "sa_time.h"

/* ---- errors --------------------------------------------------------------- */

SA_TEST(a_chain_prints_intent_then_cause)
{
    sa_error_t *err = sa_error_apr(APR_EACCES, "cannot save the credentials to %s", "/x");
    char text[256];

    (void)pool;
    ck_assert_str_eq(sa_error_text(err, text, sizeof(text)),
                     "cannot save the credentials to /x: Permission denied");
    sa_error_clear(err);
}

SA_TEST(an_error_without_words_speaks_by_its_code)
{
    sa_error_t *err = sa_error(SA_ERR_BUSY, NULL, NULL);
    char text[64];

    (void)pool;
    ck_assert_str_eq(sa_error_text(err, text, sizeof(text)), "busy");
    ck_assert_str_eq(sa_error_wire_name(err), "busy");
    sa_error_clear(err);
}

SA_TEST(a_long_chain_is_cut_at_the_buffer)
{
    sa_error_t *err = sa_error(SA_ERR_INTERNAL, NULL, "%s", apr_psprintf(pool, "%0200d", 7));
    char text[16];

    ck_assert_int_eq(strlen(sa_error_text(err, text, sizeof(text))), 15);
    sa_error_clear(err);
}

SA_TEST(composing_keeps_the_first_error_and_appends_the_second)
{
    sa_error_t *err = sa_error_compose(sa_error(SA_ERR_SPOOL, NULL, "first"),
                                       sa_error(SA_ERR_LIMIT, NULL, "second"));
    char text[64];

    (void)pool;
    ck_assert_str_eq(sa_error_text(err, text, sizeof(text)), "first: second");
    ck_assert(sa_error_has(err, SA_ERR_LIMIT));
    ck_assert(!sa_error_has(err, SA_ERR_BUSY));
    sa_error_clear(err);
    ck_assert_ptr_null(sa_error_compose(NULL, NULL));
}

SA_TEST(the_wire_hears_no_path_of_a_foreign_cause)
{
    sa_error_t *err = sa_error_apr(APR_EACCES, "cannot read %s", "/etc/secret");

    (void)pool;
    ck_assert_str_eq(sa_error_wire_text(err), "internal error");
    sa_error_clear(err);
}

/* ---- queue ---------------------------------------------------------------- */

static int one = 1;
static int two = 2;
static int three = 3;

SA_TEST(a_queue_keeps_order_and_nulls_the_givers_pointer)
{
    sa_queue_t *queue = sa_queue_create(2, pool);
    int *item = &one;

    ck_assert(sa_queue_give(queue, &item));
    ck_assert_ptr_null(item);
    item = &two;
    ck_assert(sa_queue_give(queue, &item));
    ck_assert_ptr_eq(sa_queue_try_take(queue), &one);
    ck_assert_ptr_eq(sa_queue_take(queue, SA_OS_NEVER), &two);
    ck_assert_ptr_null(sa_queue_try_take(queue));
}

SA_TEST(a_full_queue_refuses_and_leaves_the_item)
{
    sa_queue_t *queue = sa_queue_create(1, pool);
    int *item = &one;

    ck_assert(sa_queue_give(queue, &item));
    item = &two;
    ck_assert(!sa_queue_give(queue, &item));
    ck_assert_ptr_eq(item, &two);
    ck_assert(!sa_queue_give_wait(queue, &item, sa_time_mono() + 1000));
    ck_assert_int_eq(sa_queue_length(queue), 1);
}

SA_TEST(a_taker_returns_at_its_deadline_and_when_woken)
{
    sa_queue_t *queue = sa_queue_create(1, pool);

    ck_assert_ptr_null(sa_queue_take(queue, sa_time_mono() + 1000));
    sa_queue_wake(queue);
    ck_assert_ptr_null(sa_queue_take(queue, SA_OS_NEVER));
}

SA_TEST(a_closed_queue_runs_dry_and_refuses)
{
    sa_queue_t *queue = sa_queue_create(2, pool);
    int *item = &one;

    ck_assert(sa_queue_give(queue, &item));
    sa_queue_close(queue);
    item = &two;
    ck_assert(!sa_queue_give(queue, &item));
    ck_assert_ptr_eq(sa_queue_take(queue, SA_OS_NEVER), &one);
    ck_assert_ptr_null(sa_queue_take(queue, SA_OS_NEVER));
    ck_assert(sa_queue_is_closed(queue));
}

static void give_many(void *baton)
{
    for (int i = 0; i < 10000; i++) {
        int *item = &three;

        ck_assert(sa_queue_give_wait((sa_queue_t *)baton, &item, SA_OS_NEVER));
    }
}

SA_TEST(nothing_is_lost_between_two_threads)
{
    sa_queue_t *queue = sa_queue_create(7, pool);
    sa_os_thread_t *threads[2];

    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(sa_os_thread_start(&threads[i], "giver", give_many, queue, pool),
                         APR_SUCCESS);
    }
    for (int i = 0; i < 20000; i++) {
        ck_assert_ptr_eq(sa_queue_take(queue, SA_OS_NEVER), &three);
    }
    for (int i = 0; i < 2; i++) {
        sa_os_thread_join(threads[i]);
    }
    ck_assert_int_eq(sa_queue_length(queue), 0);
}

/* ---- buffer --------------------------------------------------------------- */

SA_TEST(a_buffer_takes_all_or_nothing_at_its_limit)
{
    sa_buf_t *buf = apr_palloc(pool, sizeof(*buf));   /* it lives as long as its pool */

    sa_buf_init(buf, 10, pool);
    ck_assert(sa_buf_append_text(buf, "12345"));
    ck_assert(!sa_buf_append_text(buf, "678901"));
    ck_assert(buf->overflowed);
    ck_assert_str_eq(buf->data, "12345");
    ck_assert(sa_buf_printf(buf, "%d", 67890));
    ck_assert_str_eq(buf->data, "1234567890");
    ck_assert(!sa_buf_append(buf, "x", 1));
    ck_assert(!sa_buf_append(buf, "x", SIZE_MAX));
    sa_buf_clear(buf);
    ck_assert(!buf->overflowed);
    ck_assert_int_eq(buf->length, 0);
}

SA_TEST(a_secret_buffer_grows_and_leaves_nothing_when_it_is_emptied)
{
    sa_buf_t *buf = apr_palloc(pool, sizeof(*buf));
    size_t length;

    sa_buf_init(buf, 100000, pool);
    buf->secret = true;
    for (int i = 0; i < 10000; i++) {
        ck_assert(sa_buf_append_text(buf, "s3cret"));
    }
    ck_assert(!sa_buf_append(buf, buf->data, 60000));
    length = buf->length;
    ck_assert_uint_eq(length, 60000);
    for (size_t i = 0; i < length; i += 6) {
        ck_assert(memcmp(buf->data + i, "s3cret", 6) == 0);
    }
    sa_buf_clear(buf);
    for (size_t i = 0; i < length; i++) {
        ck_assert_int_eq(buf->data[i], '\0');
    }
}

SA_TEST(what_is_to_be_wiped_goes_with_the_pool_it_was_left_to)
{
    apr_pool_t *own = sa_pool_create(pool);
    char *text = apr_pstrdup(pool, "s3cret and more");

    sa_pool_wipe_later(text, 6, own);
    ck_assert_str_eq(text, "s3cret and more");
    apr_pool_clear(own);
    ck_assert(memcmp(text, "\0\0\0\0\0\0 and more", 15) == 0);
    apr_pool_destroy(own);
}

/* ---- JSON ----------------------------------------------------------------- */

SA_TEST(only_one_whole_object_is_json)
{
    static const char *const bad[] = {
        "", "{", "[]", "42", "null", "{} {}", "{}x", "{\"a\":}", "\xff{}", "{\"a\":1}\x01",
        "{\"a\":\"hello.sh\\u0000;id\"}", "{\"a\\u0000b\":1}", "{\"a\":\"\\\\\\u0000\"}"
    };
    cJSON *json;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        SA_ASSERT_ERR(sa_json_parse(&json, bad[i], strlen(bad[i]), pool), SA_ERR_PARSE);
        ck_assert_ptr_null(json);
    }
    SA_ASSERT_ERR(sa_json_parse(&json, "{}\0{}", 5, pool), SA_ERR_PARSE);
    SA_ASSERT_OK(sa_json_parse(&json, "{\"Command\":\"x\",\"n\":2} \n", 23, pool));
    ck_assert_str_eq(sa_json_text(json, "command"), "x");
    SA_ASSERT_OK(sa_json_parse(&json, "{\"a\":\"\\\\u0000\"}", 15, pool));
    ck_assert_str_eq(sa_json_text(json, "a"), "\\u0000");
    ck_assert_ptr_null(sa_json_text(json, "n"));
}

SA_TEST(secret_json_prints_the_same_at_every_length)
{
    char *text = apr_pcalloc(pool, 5001);

    for (int length = 0; length < 5000; length += length < 100 ? 1 : 97) {
        apr_pool_t *own = sa_pool_create(pool);
        cJSON *json = sa_json_object(own);
        size_t secret_length;
        const char *printed;

        memset(text, '"', (size_t)length);
        text[length] = '\0';
        cJSON_AddStringToObject(json, "password", text);
        printed = sa_json_print_secret(json, &secret_length, own);
        ck_assert_str_eq(printed, sa_json_print(json, NULL, own));
        ck_assert_uint_eq(secret_length, strlen(printed));
        apr_pool_destroy(own);
    }
}

SA_TEST(json_too_deep_is_refused_not_followed)
{
    size_t depth = 100000;
    char *text = apr_palloc(pool, depth);
    cJSON *json;

    memset(text, '[', depth);
    SA_ASSERT_ERR(sa_json_parse(&json, text, depth, pool), SA_ERR_PARSE);
}

SA_TEST(numbers_are_rounded_half_away_from_zero)
{
    static const struct { double in; const char *out; } rows[] = {
        {12.345, "{\"n\":12.35}"}, {-12.345, "{\"n\":-12.35}"}, {3.0, "{\"n\":3}"},
        {0.125, "{\"n\":0.13}"}, {0.004, "{\"n\":0}"}, {1e9, "{\"n\":1000000000}"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cJSON *json = sa_json_object(pool);

        sa_json_add_rounded(json, "n", rows[i].in);
        ck_assert_str_eq(sa_json_print(json, NULL, pool), rows[i].out);
    }
    ck_assert(sa_json_round(NAN) == 0.0 && sa_json_round(INFINITY) == 0.0);
}

/* ---- back-off, random ----------------------------------------------------- */

SA_TEST(delays_grow_to_the_maximum_and_use_the_whole_range)
{
    apr_interval_time_t highest[8] = {0};

    (void)pool;
    for (int round = 0; round < 200; round++) {
        sa_backoff_t backoff;

        sa_backoff_init(&backoff, 1000, 16000);
        for (int i = 0; i < 8; i++) {
            apr_interval_time_t ceiling = i < 4 ? 1000 << i : 16000;
            apr_interval_time_t delay = sa_backoff_next(&backoff);

            ck_assert_int_ge(delay, 0);
            ck_assert_int_le(delay, ceiling);
            highest[i] = delay > highest[i] ? delay : highest[i];
        }
    }
    ck_assert_int_gt(highest[0], 800);
    ck_assert_int_gt(highest[7], 13000);
}

SA_TEST(a_reset_starts_small_again)
{
    sa_backoff_t backoff;

    (void)pool;
    sa_backoff_init(&backoff, 10, 1000000);
    for (int i = 0; i < 100; i++) {
        (void)sa_backoff_next(&backoff);
    }
    sa_backoff_reset(&backoff);
    ck_assert_int_le(sa_backoff_next(&backoff), 10);
}

SA_TEST(a_seed_repeats_and_bounds_hold)
{
    sa_random_t a;
    sa_random_t b;

    (void)pool;
    sa_random_init_seed(&a, 7);
    sa_random_init_seed(&b, 7);
    for (int i = 0; i < 1000; i++) {
        apr_uint64_t value = sa_random_below(&a, 10);

        ck_assert_uint_lt(value, 10);
        ck_assert_uint_eq(value, sa_random_below(&b, 10));
    }
    ck_assert_uint_eq(sa_random_below(&a, 0), 0);
    ck_assert_uint_eq(sa_random_below(&a, 1), 0);
}

SA_TEST(random_names_differ)
{
    char a[23];
    char b[23];

    (void)pool;
    sa_random_text(a, 22);
    sa_random_text(b, 22);
    ck_assert_str_ne(a, b);
    ck_assert_int_eq(strlen(a), 22);
    ck_assert_int_eq(strspn(a, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
                     22);
}

/* ---- stats, pulse --------------------------------------------------------- */

SA_TEST(stats_add_and_texts_are_cut)
{
    char buffer[SA_STAT_TEXT_SIZE];
    apr_uint64_t before = sa_stats_read(SA_STAT_twin_puts);

    sa_stats_add(SA_STAT_twin_puts, 3);
    ck_assert_uint_eq(sa_stats_read(SA_STAT_twin_puts), before + 3);
    sa_stats_set_text(SA_STAT_TEXT_link_url, apr_psprintf(pool, "%0400d", 1));
    ck_assert_int_eq(strlen(sa_stats_text(SA_STAT_TEXT_link_url, buffer)), SA_STAT_TEXT_SIZE - 1);
    sa_stats_set_text(SA_STAT_TEXT_link_url, NULL);
    ck_assert_str_eq(sa_stats_text(SA_STAT_TEXT_link_url, buffer), "");
}

SA_TEST(health_follows_link_spool_and_stream)
{
    (void)pool;
    sa_stats_set(SA_STAT_link_connected, 0);
    ck_assert_int_eq(sa_stats_health(), SA_UNHEALTHY);
    sa_stats_set(SA_STAT_link_connected, 1);
    ck_assert_int_eq(sa_stats_health(), SA_HEALTHY);
    sa_stats_set(SA_STAT_stream_missing, 1);
    ck_assert_int_eq(sa_stats_health(), SA_DEGRADED);
    sa_stats_set(SA_STAT_spool_failed, 1);
    ck_assert_int_eq(sa_stats_health(), SA_UNHEALTHY);
    sa_stats_set(SA_STAT_spool_failed, 0);
    sa_stats_set(SA_STAT_stream_missing, 0);
    sa_stats_set(SA_STAT_link_connected, 0);
}

static apr_interval_time_t fake_mono;

static apr_interval_time_t read_fake(void *baton)
{
    (void)baton;
    return fake_mono;
}

SA_TEST(a_thread_at_work_for_too_long_is_named)
{
    const sa_clock_t clock = {.mono = read_fake};
    sa_pulse_t *pulse = sa_pulse_create("digger", pool);

    fake_mono = 1000;
    sa_time_set_clock(&clock);
    ck_assert_ptr_null(sa_pulse_stuck(50));
    sa_pulse_busy(pulse);
    fake_mono += 51;
    ck_assert_str_eq(sa_pulse_stuck(50), "digger");
    sa_pulse_idle(pulse);
    ck_assert_ptr_null(sa_pulse_stuck(50));
    sa_time_set_clock(NULL);
}

SA_TEST(a_meter_knows_its_pace_of_the_last_minute)
{
    static const sa_clock_t clock = {.mono = read_fake};
    const apr_interval_time_t second = APR_USEC_PER_SEC;

    (void)pool;
    sa_time_set_clock(&clock);
    sa_stats_set(SA_STAT_started_at, 1000 * (apr_uint64_t)second);
    fake_mono = 1002 * second;
    ck_assert(sa_stats_rate(SA_STAT_reports_stored) < 0.001);
    sa_stats_add(SA_STAT_reports_stored, 10);
    /* since the start, while that is less than a minute */
    ck_assert_double_eq_tol(sa_stats_rate(SA_STAT_reports_stored), 5.0, 0.001);
    for (int i = 0; i < 600; i++) {
        fake_mono += second / 10;
        sa_stats_add(SA_STAT_reports_stored, 2);
    }
    ck_assert_double_eq_tol(sa_stats_rate(SA_STAT_reports_stored), 20.0, 1.0);
    ck_assert(sa_stats_rate(SA_STAT_reports_accepted) < 0.001);
    fake_mono += 30 * second;
    ck_assert_double_eq_tol(sa_stats_rate(SA_STAT_reports_stored), 10.0, 2.5);
    fake_mono += 31 * second;
    ck_assert(sa_stats_rate(SA_STAT_reports_stored) < 0.001);
    fake_mono += 3600 * second * 24 * 365;
    ck_assert(sa_stats_rate(SA_STAT_reports_stored) < 0.001);
    sa_stats_set(SA_STAT_started_at, 0);
    sa_time_set_clock(NULL);
}

#define MARK "\xef\xbf\xbd"       /* U+FFFD */

SA_TEST(ascii_ends_where_the_first_other_byte_is)
{
    char text[33];

    (void)pool;
    for (size_t length = 0; length < sizeof(text); length++) {
        for (size_t at = 0; at <= length; at++) {
            memset(text, 0x7F, sizeof(text));
            text[at] = (char)0x80;
            ck_assert_int_eq(sa_text_ascii(text, length), at);
        }
    }
}

SA_TEST(what_is_printed_as_json_is_utf8_whatever_went_in)
{
    static const char *const rows[][2] = {
        {"plain", "plain"},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"a\xff" "b", "a" MARK "b"}, {"cut \xe2\x82", "cut " MARK MARK},
        {"\xc0\xaf", MARK MARK}, {"\xed\xa0\x80", MARK MARK MARK},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cJSON *json = sa_json_object(pool);
        const char *text;
        size_t length;

        cJSON_AddStringToObject(json, "x", rows[i][0]);
        text = sa_json_print(json, &length, pool);
        ck_assert_str_eq(text, apr_pstrcat(pool, "{\"x\":\"", rows[i][1], "\"}", NULL));
        ck_assert_uint_eq(length, strlen(text));
    }
}

SA_TEST_MAIN("base", a_chain_prints_intent_then_cause, an_error_without_words_speaks_by_its_code,
             a_long_chain_is_cut_at_the_buffer,
             composing_keeps_the_first_error_and_appends_the_second,
             the_wire_hears_no_path_of_a_foreign_cause,
             a_queue_keeps_order_and_nulls_the_givers_pointer,
             a_full_queue_refuses_and_leaves_the_item,
             a_taker_returns_at_its_deadline_and_when_woken, a_closed_queue_runs_dry_and_refuses,
             nothing_is_lost_between_two_threads, a_buffer_takes_all_or_nothing_at_its_limit,
             a_secret_buffer_grows_and_leaves_nothing_when_it_is_emptied,
             what_is_to_be_wiped_goes_with_the_pool_it_was_left_to,
             only_one_whole_object_is_json, secret_json_prints_the_same_at_every_length,
             json_too_deep_is_refused_not_followed,
             numbers_are_rounded_half_away_from_zero,
             delays_grow_to_the_maximum_and_use_the_whole_range, a_reset_starts_small_again,
             a_seed_repeats_and_bounds_hold, random_names_differ,
             stats_add_and_texts_are_cut, health_follows_link_spool_and_stream,
             a_thread_at_work_for_too_long_is_named, a_meter_knows_its_pace_of_the_last_minute,
             what_is_printed_as_json_is_utf8_whatever_went_in,
             ascii_ends_where_the_first_other_byte_is)
