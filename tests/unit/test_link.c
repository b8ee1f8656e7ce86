/* The link against real servers: coming up, staying up, going down, and what
 * is sent and received.  What nats.c does to us is pinned here under the name
 * of its trap, because a new version may do otherwise. */
#include "test_link_fixture.h"

#include <apr_strings.h>

#include "sa_time.h"

#define ONE_SECOND apr_time_from_sec(1)

static void publish(fixture_t *fixture, const char *subject, const char *data)
{
    SA_ASSERT_OK(sa_link_publish(fixture->link, subject, NULL, data, strlen(data)));
}

static void expect_message(fixture_t *fixture, const char *subject, const char *data)
{
    sa_link_message_t *message = sa_queue_take(fixture->messages, sa_time_mono() + LIMIT);
    const char *got;
    size_t length;

    ck_assert_msg(message != NULL, "no message on %s", subject);
    ck_assert_str_eq(sa_link_message_subject(message), subject);
    got = sa_link_message_data(message, &length);
    ck_assert_int_eq(length, strlen(data));
    ck_assert_mem_eq(got, data, length);
    sa_link_message_destroy(message);
}

/* ---- coming up and going down ------------------------------------------------ */

SA_TEST(a_link_comes_up_and_hears_what_it_subscribed_to)
{
    sa_test_server_t *server = sa_test_server_start("", 0, pool);
    fixture_t *fixture = fixture_open(pool);
    char text[SA_STAT_TEXT_SIZE];

    fixture_subscribe(fixture, "a.*", false);
    ck_assert(!sa_link_is_up(fixture->link));
    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server), ""));
    fixture_wait_ups(fixture, 1);
    ck_assert(sa_link_is_up(fixture->link));
    publish(fixture, "a.b", "hello");
    expect_message(fixture, "a.b", "hello");
    publish(fixture, "a.empty", "");
    expect_message(fixture, "a.empty", "");
    ck_assert_str_eq(sa_stats_text(SA_STAT_TEXT_link_url, text), sa_test_server_url(server));
    ck_assert_int_eq(strlen(sa_stats_text(SA_STAT_TEXT_link_server_id, text)), 56);
    ck_assert_int_eq(sa_stats_read(SA_STAT_link_connected), 1);
    fixture_close(fixture);
    ck_assert_int_eq(sa_stats_read(SA_STAT_link_connected), 0);
    ck_assert_int_eq(fixture->ups, 1);
    ck_assert(!sa_link_is_up(fixture->link));
}

SA_TEST(a_link_waits_for_a_server_that_comes_later)
{
    sa_test_server_t *server = sa_test_server_reserve("", 0, pool);
    fixture_t *fixture = fixture_open(pool);

    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server), ""));
    fixture_wait_log(fixture, "link_refused", "nothing listens");
    ck_assert(!sa_link_is_up(fixture->link));
    sa_test_server_restart(server, NULL);
    fixture_wait_ups(fixture, 1);
    fixture_close(fixture);
}

SA_TEST(a_dead_first_server_is_passed_over)
{
    sa_test_server_t *dead = sa_test_server_reserve("", 0, pool);
    sa_test_server_t *server = sa_test_server_start("", 0, pool);
    fixture_t *fixture = fixture_open(pool);
    char text[SA_STAT_TEXT_SIZE];

    fixture_start(fixture, fixture_config(fixture, apr_psprintf(
        pool, "  urls: [\"%s\", \"wss://127.0.0.1:1/x\", \"nats://127.0.0.1:1\", \"%s\"]\n"
        "  connect_spread: 0s\n  reconnect_wait: 10m\n", sa_test_server_url(dead),
        sa_test_server_url(server))));
    fixture_wait_ups(fixture, 1);
    ck_assert_str_eq(sa_stats_text(SA_STAT_TEXT_link_url, text), sa_test_server_url(server));
    ck_assert_int_eq(fixture_count_log(fixture, "link_refused", "wss://127.0.0.1:1/x"), 1);
    fixture_close(fixture);
}

SA_TEST(without_a_usable_url_the_link_says_so_once_and_waits_for_a_reload)
{
    sa_test_server_t *server = sa_test_server_start("", 0, pool);
    fixture_t *fixture = fixture_open(pool);

    /* what the configuration takes as well-formed and the link cannot use */
    fixture_start(fixture, fixture_config_for(fixture, "nats://[::%%]:1", ""));
    fixture_wait_log(fixture, "link_no_urls", "");
    SA_ASSERT_OK(sa_link_reload(fixture->link, fixture_config_for(
        fixture, sa_test_server_url(server), "")));
    fixture_wait_ups(fixture, 1);
    ck_assert_int_eq(fixture_count_log(fixture, "link_no_urls", ""), 1);
    fixture_close(fixture);
}

SA_TEST(a_restarted_server_is_found_again_with_the_subscriptions)
{
    sa_test_server_t *server = sa_test_server_start("", 0, pool);
    fixture_t *fixture = fixture_open(pool);

    fixture_subscribe(fixture, "a", false);
    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server), ""));
    fixture_wait_ups(fixture, 1);
    sa_test_server_kill(server);
    fixture_wait_downs(fixture, 1);
    ck_assert(!sa_link_is_up(fixture->link));
    sa_test_server_restart(server, NULL);
    fixture_wait_ups(fixture, 2);
    publish(fixture, "a", "again");
    expect_message(fixture, "a", "again");
    sa_test_server_stop(server);        /* the polite way is another path */
    fixture_wait_downs(fixture, 2);
    sa_test_server_restart(server, NULL);
    fixture_wait_ups(fixture, 3);
    fixture_close(fixture);
    ck_assert_int_ge(fixture_count_log(fixture, "link_down", "reason"), 1);
}

SA_TEST(after_a_loss_the_wait_comes_before_the_first_attempt)
{
    sa_test_server_t *server = sa_test_server_start("", 0, pool);
    fixture_t *fixture = fixture_open(pool);
    apr_uint64_t failures;

    fixture_start(fixture, fixture_config(fixture, apr_psprintf(
        pool, "  urls: [\"%s\"]\n  connect_spread: 0s\n  reconnect_wait: 10m\n"
        "  reconnect_max: 1h\n", sa_test_server_url(server))));
    fixture_wait_ups(fixture, 1);
    failures = sa_stats_read(SA_STAT_link_connect_failures);
    sa_test_server_kill(server);
    fixture_wait_downs(fixture, 1);
    /* An attempt would fail at once.  Within 10 minutes of full jitter one that
     * falls into this moment has odds of 1 to 1,000. */
    apr_sleep(apr_time_from_msec(500));
    ck_assert_int_eq(sa_stats_read(SA_STAT_link_connect_failures), failures);
    fixture_close(fixture);
}

SA_TEST(a_reload_moves_to_the_new_server_at_once)
{
    sa_test_server_t *first = sa_test_server_start("", 0, pool);
    sa_test_server_t *second = sa_test_server_start("", 0, pool);
    fixture_t *fixture = fixture_open(pool);
    char text[SA_STAT_TEXT_SIZE];

    fixture_subscribe(fixture, "a", false);
    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(first), ""));
    fixture_wait_ups(fixture, 1);
    SA_ASSERT_OK(sa_link_reload(fixture->link, fixture_config(fixture, apr_psprintf(
        pool, "  urls: [\"%s\"]\n  reconnect_wait: 10m\n  reconnect_max: 1h\n",
        sa_test_server_url(second)))));
    fixture_wait_ups(fixture, 2);
    ck_assert_str_eq(sa_stats_text(SA_STAT_TEXT_link_url, text), sa_test_server_url(second));
    publish(fixture, "a", "there");
    expect_message(fixture, "a", "there");
    fixture_close(fixture);
}

/* A wall clock that a test sets. */
static _Atomic apr_time_t wall_offset;

static apr_time_t wall(void *baton)
{
    (void)baton;
    return apr_time_now() + wall_offset;
}

SA_TEST(a_wall_clock_that_is_set_back_makes_the_connection_anew)
{
    const sa_clock_t clock = {.now = wall};
    sa_test_server_t *server = sa_test_server_start("", 0, pool);
    fixture_t *fixture;

    sa_time_set_clock(&clock);
    fixture = fixture_open(pool);
    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server),
                                              "  ping_interval: 1s\n"));
    fixture_wait_ups(fixture, 1);
    wall_offset = apr_time_from_sec(7200);
    apr_sleep(apr_time_from_msec(1500));
    ck_assert_int_eq(fixture_count_log(fixture, "link_down", ""), 0);   /* forward is harmless */
    wall_offset = apr_time_from_sec(3600);
    fixture_wait_ups(fixture, 2);
    ck_assert_int_eq(fixture_count_log(fixture, "link_down", "the wall clock was set back"), 1);
    fixture_close(fixture);
    sa_time_set_clock(NULL);
}

SA_TEST(fifty_reconnects_leave_no_descriptor_and_no_thread)
{
    sa_test_server_t *servers[2] = { sa_test_server_start("", 0, pool),
                                     sa_test_server_start("", 0, pool) };
    fixture_t *fixture = fixture_open(pool);
    int descriptors = 0;
    int threads = 0;

    fixture_subscribe(fixture, "a", false);
    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(servers[0]), ""));
    for (int i = 1; i <= 52; i++) {
        fixture_wait_ups(fixture, i);
        if (i == 2) {
            descriptors = fixture_descriptors(fixture);
            threads = fixture_threads(fixture);
        }
        if (i < 52) {
            SA_ASSERT_OK(sa_link_reload(fixture->link, fixture_config_for(
                fixture, sa_test_server_url(servers[i % 2]), "")));
        }
    }
    ck_assert_int_eq(fixture_descriptors(fixture), descriptors);
    ck_assert_int_eq(fixture_threads(fixture), threads);
    ck_assert_int_eq(fixture->downs, 51);
    fixture_close(fixture);
}

SA_TEST(a_link_that_never_started_can_be_stopped)
{
    fixture_t *fixture = fixture_open(pool);

    SA_ASSERT_ERR(sa_link_publish(fixture->link, "a", NULL, "x", 1), SA_ERR_LINK_DOWN);
    SA_ASSERT_ERR(sa_link_probe(fixture->link, ONE_SECOND), SA_ERR_LINK_DOWN);
    fixture_close(fixture);
}

static apr_interval_time_t stop_takes(fixture_t *fixture, apr_interval_time_t timeout)
{
    apr_interval_time_t before = sa_time_mono();

    sa_link_stop(fixture->link, timeout);
    return sa_time_mono() - before;
}

SA_TEST(a_stop_does_not_wait_for_a_server_that_says_nothing)
{
    sa_test_server_t *server = sa_test_server_start("", 0, pool);
    fixture_t *fixture = fixture_open(pool);

    sa_test_server_freeze(server);      /* the kernel still accepts */
    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server),
                                              "  connect_timeout: 30s\n"));
    apr_sleep(apr_time_from_msec(200));
    ck_assert_int_lt(stop_takes(fixture, 0), ONE_SECOND);
    fixture_close(fixture);
}

SA_TEST(a_server_that_says_nothing_is_given_up_in_time)
{
    sa_test_server_t *server = sa_test_server_start("", 0, pool);
    fixture_t *fixture = fixture_open(pool);
    apr_interval_time_t before = sa_time_mono();

    sa_test_server_freeze(server);
    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server),
                                              "  connect_timeout: 500ms\n"));
    fixture_wait_log(fixture, "link_silent", "says nothing");
    SA_ASSERT_IN_TIME(sa_time_mono() - before, 3 * ONE_SECOND);
    sa_test_server_thaw(server);
    fixture_wait_ups(fixture, 1);
    fixture_close(fixture);
}

SA_TEST(a_name_that_is_not_known_is_said)
{
    fixture_t *fixture = fixture_open(pool);

    fixture_start(fixture, fixture_config_for(fixture, "nats://no-such-host.invalid:4222", ""));
    fixture_wait_log(fixture, "link_name_unknown", "no-such-host.invalid");
    ck_assert_int_lt(stop_takes(fixture, 0), ONE_SECOND);
    fixture_close(fixture);
}

SA_TEST(trap_14_a_stop_is_bounded_with_a_frozen_server_and_data_in_flight)
{
    sa_test_server_t *server = sa_test_server_start("", 0, pool);
    fixture_t *fixture = fixture_open(pool);
    char *data = apr_pcalloc(pool, 500000);
    apr_interval_time_t taken;
    sa_error_t *err = SA_OK;

    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server), ""));
    fixture_wait_ups(fixture, 1);
    sa_test_server_freeze(server);
    for (int i = 0; i < 3 && !err; i++) {   /* what the kernel still takes */
        err = sa_link_publish(fixture->link, "a", NULL, data, 500000);
    }
    ck_assert_ptr_null(err);
    taken = stop_takes(fixture, ONE_SECOND);
    ck_assert_int_lt(taken, 6 * ONE_SECOND);
    fixture_close(fixture);
}

SA_TEST(trap_14_a_publish_to_a_frozen_server_returns_within_the_write_deadline)
{
    sa_test_server_t *server = sa_test_server_start("", 0, pool);
    fixture_t *fixture = fixture_open(pool);
    char *data = apr_pcalloc(pool, 1000000);
    apr_interval_time_t longest = 0;
    sa_error_t *err = SA_OK;

    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server), ""));
    fixture_wait_ups(fixture, 1);
    sa_test_server_freeze(server);
    for (int i = 0; i < 100 && !err; i++) {
        apr_interval_time_t before = sa_time_mono();

        err = sa_link_publish(fixture->link, "a", NULL, data, 1000000);
        longest = sa_time_mono() - before > longest ? sa_time_mono() - before : longest;
    }
    SA_ASSERT_ERR(err, SA_ERR_LINK_DOWN);
    ck_assert_int_lt(longest, 4 * ONE_SECOND);
    fixture_wait_downs(fixture, 1);         /* and the connection is given up */
    sa_test_server_thaw(server);
    fixture_wait_ups(fixture, 2);
    fixture_close(fixture);
}

typedef struct publisher_t {
    fixture_t *fixture;
    const char *data;
    int failures;
} publisher_t;

static void publish_on(void *baton)
{
    publisher_t *publisher = baton;

    while (publisher->failures < 2) {
        sa_error_t *err = sa_link_publish(publisher->fixture->link, "a", NULL, publisher->data,
                                          100000);

        publisher->failures += err ? 1 : 0;
        sa_error_clear(err);
    }
}

SA_TEST(trap_14_a_stop_is_bounded_while_others_publish_to_a_frozen_server)
{
    sa_test_server_t *server = sa_test_server_start("", 0, pool);
    fixture_t *fixture = fixture_open(pool);
    publisher_t publishers[3];
    sa_os_thread_t *threads[3];

    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server), ""));
    fixture_wait_ups(fixture, 1);
    sa_test_server_freeze(server);
    for (int i = 0; i < 3; i++) {
        publishers[i] = (publisher_t){ fixture, apr_pcalloc(pool, 100000), 0 };
        ck_assert_int_eq(sa_os_thread_start(&threads[i], "publisher", publish_on, &publishers[i],
                                            pool), APR_SUCCESS);
    }
    apr_sleep(apr_time_from_msec(500));
    ck_assert_int_lt(stop_takes(fixture, ONE_SECOND), 6 * ONE_SECOND);
    for (int i = 0; i < 3; i++) {
        sa_os_thread_join(threads[i]);
    }
    fixture_close(fixture);
}

SA_TEST(a_stop_sends_what_was_published_before_it)
{
    sa_test_server_t *server = sa_test_server_start("", SA_TEST_JETSTREAM, pool);
    fixture_t *fixture = fixture_open(pool);
    sa_link_t *other;

    fixture_subscribe(fixture, "a", false);
    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server), ""));
    fixture_wait_ups(fixture, 1);
    SA_ASSERT_OK(sa_link_create(&other, pool));
    SA_ASSERT_OK(sa_link_start(other, fixture_config_for(fixture, sa_test_server_url(server),
                                                         "")));
    while (!sa_link_is_up(other)) {
        apr_sleep(apr_time_from_msec(5));
    }
    for (int i = 0; i < 200; i++) {
        SA_ASSERT_OK(sa_link_publish(other, "a", NULL, "x", 1));
    }
    sa_link_stop(other, ONE_SECOND);
    SA_ASSERT_ERR(sa_link_publish(other, "a", NULL, "x", 1), SA_ERR_LINK_DOWN);
    for (int i = 0; i < 200; i++) {
        expect_message(fixture, "a", "x");
    }
    fixture_close(fixture);
}

/* ---- publishing ------------------------------------------------------------------ */

SA_TEST(trap_1_what_is_published_while_down_is_refused_and_never_replayed)
{
    sa_test_server_t *server = sa_test_server_start("", 0, pool);
    fixture_t *fixture = fixture_open(pool);

    fixture_subscribe(fixture, "beat", false);
    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server), ""));
    fixture_wait_ups(fixture, 1);
    sa_test_server_kill(server);
    fixture_wait_downs(fixture, 1);
    for (int i = 0; i < 3; i++) {
        SA_ASSERT_ERR(sa_link_publish(fixture->link, "beat", NULL, "stale", 5),
                      SA_ERR_LINK_DOWN);
    }
    sa_test_server_restart(server, NULL);
    fixture_wait_ups(fixture, 2);
    publish(fixture, "beat", "fresh");
    expect_message(fixture, "beat", "fresh");
    ck_assert_ptr_null(fixture_take(fixture->messages));
    fixture_close(fixture);
}

SA_TEST(trap_15_an_oversize_publish_is_refused_here_and_the_connection_stays)
{
    sa_test_server_t *server = sa_test_server_start("max_payload: 4096\n", 0, pool);
    fixture_t *fixture = fixture_open(pool);
    char *data = apr_pcalloc(pool, 2 * 1024 * 1024);
    const char *headers = "A: b\n";     /* 18 bytes on the wire */

    fixture_subscribe(fixture, "a", false);
    ck_assert_int_eq(sa_link_max_payload(fixture->link), 1024 * 1024 - SA_LINK_HEADROOM);
    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server), ""));
    fixture_wait_ups(fixture, 1);
    ck_assert_int_eq(sa_link_max_payload(fixture->link), 2048);
    SA_ASSERT_ERR(sa_link_publish(fixture->link, "a", NULL, data, 4097), SA_ERR_TOO_LARGE);
    SA_ASSERT_ERR(sa_link_publish(fixture->link, "a", NULL, data, 2 * 1024 * 1024),
                  SA_ERR_TOO_LARGE);
    SA_ASSERT_ERR(sa_link_publish(fixture->link, "a", headers, data, 4096 - 17),
                  SA_ERR_TOO_LARGE);
    SA_ASSERT_OK(sa_link_publish(fixture->link, "a", NULL, data, 4096));
    SA_ASSERT_OK(sa_link_publish(fixture->link, "a", headers, data, 4096 - 18));
    SA_ASSERT_OK(sa_link_probe(fixture->link, LIMIT));
    ck_assert_int_eq(fixture->downs, 0);
    fixture_close(fixture);
}

SA_TEST(a_limit_that_the_server_lowers_is_learnt)
{
    sa_test_server_t *server = sa_test_server_start("max_payload: 100000\n", 0, pool);
    fixture_t *fixture = fixture_open(pool);
    char *data = apr_pcalloc(pool, 100000);
    sa_error_t *err = SA_OK;

    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server), ""));
    fixture_wait_ups(fixture, 1);
    ck_assert_int_eq(sa_link_max_payload(fixture->link), 100000 - SA_LINK_HEADROOM);
    sa_test_server_reload(server, "max_payload: 8192\n");
    for (int i = 0; i < 1000 && !err; i++) {
        err = sa_link_publish(fixture->link, "a", NULL, data, 50000);
        apr_sleep(apr_time_from_msec(5));
    }
    /* Either it was told in time, or the server cut us off and we came back. */
    ck_assert_ptr_nonnull(err);
    sa_error_clear(err);
    for (int i = 0; i < 2000 && sa_link_max_payload(fixture->link) != 4096; i++) {
        apr_sleep(apr_time_from_msec(5));
    }
    ck_assert_int_eq(sa_link_max_payload(fixture->link), 4096);
    fixture_close(fixture);
}

SA_TEST(headers_arrive_and_bad_ones_are_refused)
{
    static const char *const bad[] = {
        "no colon\n", ": no name\n", "two words: x\n", "A: cr\r\n", "A: x\n\n", "A:x\n",
        "A: \x01\n", "A: x\nB\n", "Caf\xc3\xa9: x\n",
    };
    sa_test_server_t *server = sa_test_server_start("", 0, pool);
    fixture_t *fixture = fixture_open(pool);
    sa_link_message_t *message;

    fixture_subscribe(fixture, "a", false);
    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server), ""));
    fixture_wait_ups(fixture, 1);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        SA_ASSERT_ERR(sa_link_publish(fixture->link, "a", bad[i], "x", 1), SA_ERR_PARSE);
    }
    SA_ASSERT_ERR(sa_link_publish_acked(fixture->link, "a", NULL, "id\r\nPUB b 0", "x", 1, 1),
                  SA_ERR_PARSE);
    SA_ASSERT_ERR(sa_link_publish(fixture->link, "a", apr_pstrcat(pool, "A: ",
                      apr_pstrmemdup(pool, apr_psprintf(pool, "%05000d", 1), 5000), "\n", NULL),
                      "x", 1), SA_ERR_TOO_LARGE);
    SA_ASSERT_OK(sa_link_publish(fixture->link, "a", "One: 1\nTwo: a: b\nEmpty: ", "x", 1));
    message = sa_queue_take(fixture->messages, sa_time_mono() + LIMIT);
    ck_assert_ptr_nonnull(message);
    ck_assert_str_eq(sa_link_message_header(message, "One"), "1");
    ck_assert_str_eq(sa_link_message_header(message, "Two"), "a: b");
    ck_assert_str_eq(sa_link_message_header(message, "Empty"), "");
    ck_assert_ptr_null(sa_link_message_header(message, "Three"));
    ck_assert_str_eq(sa_link_message_reply(message), "");
    sa_link_message_destroy(message);
    fixture_close(fixture);
}

SA_TEST(a_subject_that_would_become_protocol_is_refused)
{
    static const char *const bad[] = {
        "", "a b", "a\r\nPUB x 0", "a.*", ">", "a..b", ".a", "a.", "a\tb", "a\x7f",
    };
    sa_test_server_t *server = sa_test_server_start("", 0, pool);
    fixture_t *fixture = fixture_open(pool);
    char *longest = apr_palloc(pool, 1026);

    memset(longest, 'a', 1025);
    longest[1025] = '\0';
    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server), ""));
    fixture_wait_ups(fixture, 1);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        SA_ASSERT_ERR(sa_link_publish(fixture->link, bad[i], NULL, "x", 1), SA_ERR_PARSE);
    }
    SA_ASSERT_ERR(sa_link_publish(fixture->link, longest, NULL, "x", 1), SA_ERR_PARSE);
    longest[1024] = '\0';
    SA_ASSERT_OK(sa_link_publish_acked(fixture->link, longest, NULL, NULL, "x", 1,
                                       APR_UINT64_MAX));
    ck_assert(fixture_ack(fixture).no_stream);
    ck_assert_uint_eq(fixture->last_token, APR_UINT64_MAX);
    ck_assert_int_eq(fixture->downs, 0);
    fixture_close(fixture);
}

SA_TEST(a_probe_is_a_round_trip_and_times_out_on_a_frozen_server)
{
    sa_test_server_t *server = sa_test_server_start("", 0, pool);
    fixture_t *fixture = fixture_open(pool);
    apr_interval_time_t before;

    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server), ""));
    fixture_wait_ups(fixture, 1);
    SA_ASSERT_OK(sa_link_probe(fixture->link, LIMIT));
    sa_test_server_freeze(server);
    before = sa_time_mono();
    SA_ASSERT_ERR(sa_link_probe(fixture->link, apr_time_from_msec(200)), SA_ERR_TIMEOUT);
    SA_ASSERT_IN_TIME(sa_time_mono() - before, 2 * ONE_SECOND);
    fixture_close(fixture);
}

/* nats.c's flush returns OK when it could not even write its ping. */
SA_TEST(a_probe_that_cannot_be_written_is_no_success)
{
    sa_test_server_t *server = sa_test_server_start("", 0, pool);
    fixture_t *fixture = fixture_open(pool);
    publisher_t publisher = { fixture, apr_pcalloc(pool, 100000), 1 };
    sa_os_thread_t *thread;
    sa_error_t *err = SA_OK;

    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server), ""));
    fixture_wait_ups(fixture, 1);
    sa_test_server_freeze(server);
    ck_assert_int_eq(sa_os_thread_start(&thread, "publisher", publish_on, &publisher, pool),
                     APR_SUCCESS);
    apr_sleep(apr_time_from_msec(500));
    err = sa_link_probe(fixture->link, 10 * ONE_SECOND);
    ck_assert_ptr_nonnull(err);
    sa_error_clear(err);
    sa_os_thread_join(thread);
    fixture_close(fixture);
}

/* ---- acknowledgements -------------------------------------------------------------- */

static const char stream[] = "{\"name\":\"S\",\"subjects\":[\"t.>\"],\"storage\":\"file\"}";

static fixture_t *open_jetstream(sa_test_server_t **server, apr_pool_t *pool)
{
    fixture_t *fixture = fixture_open(pool);

    *server = sa_test_server_start("", SA_TEST_JETSTREAM, pool);
    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(*server), ""));
    fixture_wait_ups(fixture, 1);
    return fixture;
}

SA_TEST(a_stored_report_is_acknowledged_and_its_repeat_is_a_duplicate)
{
    sa_test_server_t *server;
    fixture_t *fixture = open_jetstream(&server, pool);
    sa_link_ack_t ack;

    fixture_api(fixture, "$JS.API.STREAM.CREATE.S", stream);
    SA_ASSERT_OK(sa_link_publish_acked(fixture->link, "t.x", "A: b\n", "id-1", "{}", 2, 0xabc));
    ack = fixture_ack(fixture);
    ck_assert(ack.stored);
    ck_assert(!ack.duplicate);
    ck_assert_int_eq(fixture->last_token, 0xabc);
    SA_ASSERT_OK(sa_link_publish_acked(fixture->link, "t.x", "A: b\n", "id-1", "{}", 2, 0));
    ack = fixture_ack(fixture);
    ck_assert(ack.stored);
    ck_assert(ack.duplicate);
    ck_assert_int_eq(fixture->last_token, 0);
    fixture_close(fixture);
}

SA_TEST(without_a_stream_the_answer_is_503)
{
    sa_test_server_t *server;
    fixture_t *fixture = open_jetstream(&server, pool);
    sa_link_ack_t ack;

    SA_ASSERT_OK(sa_link_publish_acked(fixture->link, "t.x", NULL, "id-1", "{}", 2, 7));
    ack = fixture_ack(fixture);
    ck_assert(!ack.stored);
    ck_assert(ack.no_stream);
    ck_assert_int_eq(fixture->last_token, 7);
    fixture_close(fixture);
}

SA_TEST(trap_17_a_core_subscriber_turns_the_503_into_silence)
{
    sa_test_server_t *server = sa_test_server_start("", SA_TEST_JETSTREAM, pool);
    fixture_t *fixture = fixture_open(pool);

    fixture_subscribe(fixture, "t.>", false);
    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server), ""));
    fixture_wait_ups(fixture, 1);
    SA_ASSERT_OK(sa_link_publish_acked(fixture->link, "t.x", NULL, "id-1", "{}", 2, 7));
    expect_message(fixture, "t.x", "{}");
    ck_assert_ptr_null(fixture_take(fixture->acks));
    fixture_close(fixture);
}

SA_TEST(a_full_stream_answers_with_its_error)
{
    sa_test_server_t *server;
    fixture_t *fixture = open_jetstream(&server, pool);
    sa_link_ack_t ack;

    fixture_api(fixture, "$JS.API.STREAM.CREATE.S",
                "{\"name\":\"S\",\"subjects\":[\"t.>\"],\"storage\":\"file\",\"max_msgs\":1,"
                "\"discard\":\"new\"}");
    SA_ASSERT_OK(sa_link_publish_acked(fixture->link, "t.x", NULL, "id-1", "{}", 2, 1));
    ck_assert(fixture_ack(fixture).stored);
    SA_ASSERT_OK(sa_link_publish_acked(fixture->link, "t.x", NULL, "id-2", "{}", 2, 2));
    ack = fixture_ack(fixture);
    ck_assert(!ack.stored);
    ck_assert(!ack.no_stream);
    ck_assert_int_eq(ack.error_code, 10077);
    ck_assert_str_eq(ack.error, "maximum messages exceeded");
    fixture_close(fixture);
}

SA_TEST(a_server_without_jetstream_answers_503)
{
    sa_test_server_t *server = sa_test_server_start("", 0, pool);
    fixture_t *fixture = fixture_open(pool);

    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server), ""));
    fixture_wait_ups(fixture, 1);
    SA_ASSERT_OK(sa_link_publish_acked(fixture->link, "t.x", NULL, "id-1", "{}", 2, 1));
    ck_assert(fixture_ack(fixture).no_stream);
    fixture_close(fixture);
}

SA_TEST(an_answer_nobody_asked_for_is_ignored)
{
    static const char *const tails[] = { "zz", "1.2", "00000000000000001", "-1", "0x1", "G" };
    sa_test_server_t *server = sa_test_server_start("", 0, pool);
    fixture_t *fixture = fixture_open(pool);
    sa_link_message_t *message;
    const char *inbox;

    fixture_subscribe(fixture, "a", false);
    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server), ""));
    fixture_wait_ups(fixture, 1);
    SA_ASSERT_OK(sa_link_publish_acked(fixture->link, "a", NULL, NULL, "", 0, 1));
    message = sa_queue_take(fixture->messages, sa_time_mono() + LIMIT);
    ck_assert_ptr_nonnull(message);
    inbox = apr_pstrdup(pool, sa_link_message_reply(message));
    sa_link_message_destroy(message);
    ck_assert_int_eq(strlen(inbox), 7 + 22 + 2);
    inbox = apr_pstrmemdup(pool, inbox, strlen(inbox) - 1);
    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        publish(fixture, apr_pstrcat(pool, inbox, tails[i], NULL), "x");
    }
    ck_assert_ptr_null(fixture_take(fixture->acks));
    publish(fixture, apr_pstrcat(pool, inbox, "ff", NULL), "x");
    ck_assert_str_eq(fixture_ack(fixture).error, "the answer is not an acknowledgement");
    ck_assert_int_eq(fixture->last_token, 255);
    fixture_close(fixture);
}

/* Twenty thousand small reports against what nats.c drops by itself. */
SA_TEST(a_flood_is_counted_and_the_link_lives_on)
{
    sa_test_server_t *server = sa_test_server_start("", 0, pool);
    fixture_t *fixture = fixture_open(pool);

    fixture_subscribe(fixture, "a", false);
    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server), ""));
    fixture_wait_ups(fixture, 1);
    for (int i = 0; i < 20000; i++) {
        publish(fixture, "a", "x");
    }
    SA_ASSERT_OK(sa_link_probe(fixture->link, LIMIT));
    SA_ASSERT_OK(sa_link_probe(fixture->link, LIMIT));
    ck_assert_int_eq(fixture->downs, 0);
    fixture_close(fixture);
}

SA_TEST_MAIN("link", a_link_comes_up_and_hears_what_it_subscribed_to,
             a_link_waits_for_a_server_that_comes_later, a_dead_first_server_is_passed_over,
             without_a_usable_url_the_link_says_so_once_and_waits_for_a_reload,
             a_restarted_server_is_found_again_with_the_subscriptions,
             after_a_loss_the_wait_comes_before_the_first_attempt,
             a_reload_moves_to_the_new_server_at_once,
             a_wall_clock_that_is_set_back_makes_the_connection_anew,
             fifty_reconnects_leave_no_descriptor_and_no_thread,
             a_link_that_never_started_can_be_stopped,
             a_stop_does_not_wait_for_a_server_that_says_nothing,
             a_server_that_says_nothing_is_given_up_in_time, a_name_that_is_not_known_is_said,
             trap_14_a_stop_is_bounded_with_a_frozen_server_and_data_in_flight,
             trap_14_a_publish_to_a_frozen_server_returns_within_the_write_deadline,
             trap_14_a_stop_is_bounded_while_others_publish_to_a_frozen_server,
             a_stop_sends_what_was_published_before_it,
             trap_1_what_is_published_while_down_is_refused_and_never_replayed,
             trap_15_an_oversize_publish_is_refused_here_and_the_connection_stays,
             a_limit_that_the_server_lowers_is_learnt, headers_arrive_and_bad_ones_are_refused,
             a_subject_that_would_become_protocol_is_refused,
             a_probe_is_a_round_trip_and_times_out_on_a_frozen_server,
             a_probe_that_cannot_be_written_is_no_success,
             a_stored_report_is_acknowledged_and_its_repeat_is_a_duplicate,
             without_a_stream_the_answer_is_503,
             trap_17_a_core_subscriber_turns_the_503_into_silence,
             a_full_stream_answers_with_its_error, a_server_without_jetstream_answers_503,
             an_answer_nobody_asked_for_is_ignored, a_flood_is_counted_and_the_link_lives_on)
