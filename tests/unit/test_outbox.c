/* outbox: the three classes of delivery, over a real nats-server.
 *
 * Two links: the outbox's, and one of the test's to make streams and to look
 * into them. */
#include <apr_strings.h>

#include "sa_json.h"
#include "sa_outbox.h"
#include "sa_stats.h"
#include "sa_test.h"
#include "sa_test_server.h"
#include "sa_time.h"
#include "test_link_fixture.h"

#define STREAM "{\"name\":\"T\",\"subjects\":[\"agents.*.telemetry.>\"],\"storage\":\"file\"%s}"
#define TWIN "{\"name\":\"KV_twin\",\"subjects\":[\"$KV.twin.>\"],\"storage\":\"file\"," \
             "\"max_msgs_per_subject\":10}"

typedef struct office_t {
    fixture_t *fixture;         /* the outbox's link */
    fixture_t *admin;
    sa_test_server_t *server;
    sa_outbox_t *outbox;
    sa_config_t *config;
    apr_uint64_t stored;        /* counters when the test began */
    apr_uint64_t quarantined;
    apr_uint64_t refused;
} office_t;

static office_t *open_office(const char *server_config, const char *more, apr_pool_t *pool)
{
    office_t *office = apr_pcalloc(pool, sizeof(*office));

    office->server = sa_test_server_start(server_config, SA_TEST_JETSTREAM, pool);
    office->fixture = fixture_open(pool);
    office->admin = fixture_join(pool);
    fixture_start(office->admin, fixture_config_for(office->admin,
                                                    sa_test_server_url(office->server), ""));
    fixture_wait_ups(office->admin, 1);
    SA_ASSERT_OK(sa_outbox_create(&office->outbox, office->fixture->link, pool));
    office->config = fixture_config_for(office->fixture, sa_test_server_url(office->server),
        apr_psprintf(pool, "paths: {state: \"%s\"}\n%s", office->fixture->dir, more));
    fixture_start(office->fixture, office->config);
    SA_ASSERT_OK(sa_outbox_start(office->outbox, office->config));
    office->stored = sa_stats_read(SA_STAT_reports_stored);
    office->quarantined = sa_stats_read(SA_STAT_reports_quarantined);
    office->refused = sa_stats_read(SA_STAT_reports_refused);
    return office;
}

static void close_office(office_t *office)
{
    sa_outbox_stop(office->outbox, apr_time_from_sec(1));
    fixture_leave(office->admin);
    fixture_close(office->fixture);
}

static void give(office_t *office, sa_deliver_t deliver, const char *name, const char *data)
{
    sa_report_t *report = sa_report_create(deliver, name, NULL, data, strlen(data));

    SA_ASSERT_OK(sa_outbox_give(office->outbox, &report));
    ck_assert_ptr_null(report);
}

static bool answers(void *baton)
{
    sa_error_t *err = sa_link_probe(baton, apr_time_from_sec(1));
    bool up = err == NULL;

    sa_error_clear(err);
    return up;
}

/* The test's own link may still be on its way back. */
static void ask(office_t *office, const char *subject, const char *json)
{
    ck_assert(sa_test_wait(answers, office->admin->link, LIMIT));
    fixture_api(office->admin, subject, json);
}

static void make_stream(office_t *office, const char *more)
{
    ask(office, "$JS.API.STREAM.CREATE.T", apr_psprintf(office->admin->pool, STREAM, more));
}

static apr_uint64_t stream_messages(office_t *office, const char *name)
{
    sa_link_message_t *message;
    const char *data;
    size_t length;
    cJSON *json;
    double count = -1;

    ck_assert(sa_test_wait(answers, office->admin->link, LIMIT));
    SA_ASSERT_OK(sa_link_publish_acked(office->admin->link,
        apr_pstrcat(office->admin->pool, "$JS.API.STREAM.INFO.", name, NULL), NULL, NULL, "", 0,
        1));
    message = fixture_take(office->admin->acks);
    ck_assert_ptr_nonnull(message);
    data = sa_link_message_data(message, &length);
    SA_ASSERT_OK(sa_json_parse(&json, data, length, office->admin->pool));
    ck_assert(sa_json_number(cJSON_GetObjectItem(json, "state"), "messages", &count));
    sa_link_message_destroy(message);
    return (apr_uint64_t)count;
}

static apr_uint64_t wanted_stored;

static bool is_stored(void *baton)
{
    office_t *office = baton;

    return sa_stats_read(SA_STAT_reports_stored) - office->stored >= wanted_stored
           && sa_stats_read(SA_STAT_spool_reports) == 0;
}

/* Others may still wait.  The counter of acknowledgements would count repeats. */
static bool has_stored(void *baton)
{
    return stream_messages(baton, "T") >= wanted_stored;
}

static void wait_stored(office_t *office, apr_uint64_t count)
{
    wanted_stored = count;
    ck_assert_msg(sa_test_wait(is_stored, office, LIMIT), "%lu of %lu stored; log:\n%s",
                  (unsigned long)(sa_stats_read(SA_STAT_reports_stored) - office->stored),
                  (unsigned long)count, sa_test_read(office->fixture->log_path,
                                                     office->fixture->pool));
}

SA_TEST(a_durable_report_is_stored_once_and_leaves_the_spool)
{
    office_t *office = open_office("", "", pool);

    make_stream(office, "");
    for (int i = 0; i < 100; i++) {
        give(office, SA_DELIVER_DURABLE, "telemetry.system", "{}");
    }
    wait_stored(office, 100);
    ck_assert_uint_eq(stream_messages(office, "T"), 100);
    close_office(office);
}

SA_TEST(without_a_stream_reports_wait_and_follow_when_it_comes)
{
    office_t *office = open_office("", "", pool);

    for (int i = 0; i < 10; i++) {
        give(office, SA_DELIVER_DURABLE, "telemetry.system", "{}");
    }
    fixture_wait_log(office->fixture, "delivery_stalled", "no stream binds the subject");
    ck_assert_uint_eq(sa_stats_read(SA_STAT_spool_reports), 10);
    ck_assert_int_eq(sa_stats_health(), SA_DEGRADED);
    make_stream(office, "");
    wait_stored(office, 10);
    ck_assert_uint_eq(stream_messages(office, "T"), 10);
    ck_assert_int_eq(fixture_count_log(office->fixture, "delivery_stalled", ""), 1);
    fixture_wait_log(office->fixture, "delivery_resumed", "");
    close_office(office);
}

static apr_uint64_t wanted_held;

static bool holds(void *baton)
{
    (void)baton;
    return sa_stats_read(SA_STAT_subjects_held) == wanted_held;
}

SA_TEST(a_subject_that_no_stream_binds_keeps_no_other_up)
{
    office_t *office = open_office("", "", pool);

    ask(office, "$JS.API.STREAM.CREATE.T",
        "{\"name\":\"T\",\"subjects\":[\"agents.*.telemetry.system\"],\"storage\":\"file\"}");
    for (int i = 0; i < 20; i++) {
        give(office, SA_DELIVER_DURABLE, "telemetry.metrics.node", "up 1");
        give(office, SA_DELIVER_DURABLE, "telemetry.system", "{}");
    }
    wanted_stored = 20;
    ck_assert_msg(sa_test_wait(has_stored, office, LIMIT), "log:\n%s",
                  sa_test_read(office->fixture->log_path, pool));
    wanted_held = 1;
    ck_assert(sa_test_wait(holds, NULL, LIMIT));
    ck_assert_uint_eq(sa_stats_read(SA_STAT_stream_missing), 1);
    for (int i = 0; i < 5; i++) {
        give(office, SA_DELIVER_DURABLE, "telemetry.system", "{}");
    }
    wanted_stored = 25;
    ck_assert(sa_test_wait(has_stored, office, LIMIT));
    ck_assert_uint_eq(stream_messages(office, "T"), 25);
    ask(office, "$JS.API.STREAM.UPDATE.T",
        "{\"name\":\"T\",\"subjects\":[\"agents.*.telemetry.>\"],\"storage\":\"file\"}");
    wait_stored(office, 45);
    ck_assert_uint_eq(stream_messages(office, "T"), 45);
    wanted_held = 0;
    ck_assert(sa_test_wait(holds, NULL, LIMIT));
    ck_assert_uint_eq(sa_stats_read(SA_STAT_stream_missing), 0);
    close_office(office);
}

SA_TEST(a_full_stream_keeps_reports_in_the_spool)
{
    office_t *office = open_office("", "", pool);

    make_stream(office, ",\"max_msgs\":3,\"discard\":\"new\"");
    for (int i = 0; i < 5; i++) {
        give(office, SA_DELIVER_DURABLE, "telemetry.system", "{}");
    }
    fixture_wait_log(office->fixture, "delivery_stalled", "maximum messages exceeded");
    ck_assert_uint_eq(stream_messages(office, "T"), 3);
    ck_assert_uint_eq(sa_stats_read(SA_STAT_spool_reports), 2);
    ask(office, "$JS.API.STREAM.UPDATE.T",
        apr_psprintf(pool, STREAM, ",\"max_msgs\":100,\"discard\":\"new\""));
    wait_stored(office, 5);
    ck_assert_uint_eq(stream_messages(office, "T"), 5);
    close_office(office);
}

SA_TEST(what_the_server_can_never_take_is_set_aside_and_blocks_nothing)
{
    office_t *office = open_office("max_payload: 16KB", "", pool);
    char *large = apr_palloc(pool, 20001);

    memset(large, 'x', 20000);
    large[20000] = '\0';
    make_stream(office, ",\"max_msg_size\":2000");
    give(office, SA_DELIVER_DURABLE, "telemetry.a", "{}");
    wait_stored(office, 1);
    give(office, SA_DELIVER_DURABLE, "telemetry.b", large);     /* above max_payload */
    large[5000] = '\0';
    give(office, SA_DELIVER_DURABLE, "telemetry.c", large);     /* above max_msg_size */
    give(office, SA_DELIVER_DURABLE, "telemetry.d", "{}");
    wait_stored(office, 2);
    ck_assert_uint_eq(sa_stats_read(SA_STAT_reports_quarantined) - office->quarantined, 2);
    ck_assert(sa_link_is_up(office->fixture->link));
    ck_assert_uint_eq(stream_messages(office, "T"), 2);
    close_office(office);
}

SA_TEST(a_probe_that_is_set_aside_does_not_end_the_delivery)
{
    office_t *office = open_office("", "", pool);
    char *large = apr_palloc(pool, 5001);

    memset(large, 'x', 5000);
    large[5000] = '\0';
    give(office, SA_DELIVER_DURABLE, "telemetry.large", large);
    for (int i = 0; i < 5; i++) {
        give(office, SA_DELIVER_DURABLE, "telemetry.small", "{}");
    }
    fixture_wait_log(office->fixture, "delivery_stalled", "");
    make_stream(office, ",\"max_msg_size\":2000");     /* the oldest never fits */
    wait_stored(office, 5);
    ck_assert_uint_eq(sa_stats_read(SA_STAT_reports_quarantined) - office->quarantined, 1);
    close_office(office);
}

SA_TEST(a_killed_server_costs_no_report)
{
    office_t *office = open_office("", "", pool);

    make_stream(office, "");
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 50; i++) {
            give(office, SA_DELIVER_DURABLE, "telemetry.system", "{}");
        }
        sa_test_server_kill(office->server);
        for (int i = 0; i < 50; i++) {
            give(office, SA_DELIVER_DURABLE, "telemetry.system", "{}");
        }
        sa_test_server_restart(office->server, NULL);
    }
    wait_stored(office, 500);
    ck_assert_uint_eq(stream_messages(office, "T"), 500);
    close_office(office);
}

SA_TEST(what_a_stop_left_in_the_spool_is_sent_by_the_next_life)
{
    office_t *office = open_office("", "", pool);
    sa_outbox_t *next;

    for (int i = 0; i < 7; i++) {
        give(office, SA_DELIVER_DURABLE, "telemetry.system", "{}");
    }
    fixture_wait_log(office->fixture, "delivery_stalled", "");
    sa_outbox_stop(office->outbox, apr_time_from_sec(1));
    sa_link_stop(office->fixture->link, apr_time_from_sec(1));
    make_stream(office, "");
    SA_ASSERT_OK(sa_link_create(&office->fixture->link, pool));
    SA_ASSERT_OK(sa_outbox_create(&next, office->fixture->link, pool));
    SA_ASSERT_OK(sa_link_start(office->fixture->link, office->config));
    SA_ASSERT_OK(sa_outbox_start(next, office->config));
    office->outbox = next;
    wait_stored(office, 7);
    ck_assert_uint_eq(stream_messages(office, "T"), 7);
    close_office(office);
}

/* ---- the twin ------------------------------------------------------------- */

static apr_uint64_t wanted_puts;

static bool has_puts(void *baton)
{
    (void)baton;
    return sa_stats_read(SA_STAT_twin_puts) >= wanted_puts;
}

static void wait_puts(apr_uint64_t count)
{
    wanted_puts = count;
    ck_assert(sa_test_wait(has_puts, NULL, LIMIT));
}

SA_TEST(the_twin_gets_the_newest_value_and_again_after_a_reconnect)
{
    office_t *office = open_office("", "", pool);
    apr_uint64_t before = sa_stats_read(SA_STAT_twin_puts);

    ask(office, "$JS.API.STREAM.CREATE.KV_twin", TWIN);
    give(office, SA_DELIVER_LATEST, "status", "online");
    wait_puts(before + 1);
    ck_assert_uint_eq(stream_messages(office, "KV_twin"), 1);
    sa_test_server_restart(office->server, NULL);
    wait_puts(before + 2);
    close_office(office);
}

SA_TEST(an_expired_value_is_not_put_again)
{
    office_t *office = open_office("", "", pool);
    apr_uint64_t before = sa_stats_read(SA_STAT_twin_puts);
    sa_report_t *report = sa_report_create(SA_DELIVER_LATEST, "heartbeat", NULL, "{}", 2);

    ask(office, "$JS.API.STREAM.CREATE.KV_twin", TWIN);
    report->expires_at = sa_time_mono() + 1;        /* stale by the time it is looked at */
    SA_ASSERT_OK(sa_outbox_give(office->outbox, &report));
    give(office, SA_DELIVER_LATEST, "status", "online");
    wait_puts(before + 1);
    ck_assert_uint_eq(stream_messages(office, "KV_twin"), 1);
    close_office(office);
}

SA_TEST(a_missing_bucket_is_said_once_and_found_later)
{
    office_t *office = open_office("", "", pool);

    give(office, SA_DELIVER_LATEST, "status", "online");
    fixture_wait_log(office->fixture, "twin_missing", "there is no KV bucket called twin");
    give(office, SA_DELIVER_LATEST, "status", "online");
    ck_assert_int_eq(fixture_count_log(office->fixture, "twin_missing", ""), 1);
    ask(office, "$JS.API.STREAM.CREATE.KV_twin", TWIN);
    sa_test_server_restart(office->server, NULL);       /* a reconnect asks again at once */
    fixture_wait_log(office->fixture, "twin_found", "");
    close_office(office);
}

/* ---- live ----------------------------------------------------------------- */

SA_TEST(a_live_report_is_dropped_while_the_bus_is_away_and_never_comes_late)
{
    office_t *office = open_office("", "", pool);
    apr_uint64_t dropped = sa_stats_read(SA_STAT_reports_now_dropped);

    ask(office, "$JS.API.STREAM.CREATE.H",
        "{\"name\":\"H\",\"subjects\":[\"agents.*.heartbeat\"],\"storage\":\"file\"}");
    sa_test_server_kill(office->server);
    for (int i = 0; i < 3; i++) {
        give(office, SA_DELIVER_NOW, "heartbeat", "{}");
    }
    give(office, SA_DELIVER_DURABLE, "telemetry.x", "{}");      /* behind them in the mailbox */
    sa_test_server_restart(office->server, NULL);
    make_stream(office, "");
    wait_stored(office, 1);
    ck_assert_uint_eq(sa_stats_read(SA_STAT_reports_now_dropped) - dropped, 3);
    ck_assert_uint_eq(stream_messages(office, "H"), 0);
    close_office(office);
}

SA_TEST(a_live_report_is_not_written_to_a_server_that_does_not_answer)
{
    office_t *office = open_office("", "", pool);
    apr_uint64_t dropped = sa_stats_read(SA_STAT_reports_now_dropped);

    ask(office, "$JS.API.STREAM.CREATE.H",
        "{\"name\":\"H\",\"subjects\":[\"agents.*.heartbeat\"],\"storage\":\"file\"}");
    make_stream(office, "");
    give(office, SA_DELIVER_DURABLE, "telemetry.x", "{}");
    wait_stored(office, 1);
    sa_test_server_freeze(office->server);
    give(office, SA_DELIVER_NOW, "heartbeat", "{}");
    give(office, SA_DELIVER_DURABLE, "telemetry.x", "{}");
    wanted_stored = 0;
    while (sa_stats_read(SA_STAT_reports_now_dropped) == dropped) {
        apr_sleep(1000);
    }
    sa_test_server_thaw(office->server);
    wait_stored(office, 2);
    ck_assert_uint_eq(stream_messages(office, "H"), 0);
    close_office(office);
}

SA_TEST_MAIN("outbox", a_durable_report_is_stored_once_and_leaves_the_spool,
             without_a_stream_reports_wait_and_follow_when_it_comes,
             a_subject_that_no_stream_binds_keeps_no_other_up,
             a_full_stream_keeps_reports_in_the_spool,
             what_the_server_can_never_take_is_set_aside_and_blocks_nothing,
             a_probe_that_is_set_aside_does_not_end_the_delivery,
             a_killed_server_costs_no_report,
             what_a_stop_left_in_the_spool_is_sent_by_the_next_life,
             the_twin_gets_the_newest_value_and_again_after_a_reconnect,
             an_expired_value_is_not_put_again, a_missing_bucket_is_said_once_and_found_later,
             a_live_report_is_dropped_while_the_bus_is_away_and_never_comes_late,
             a_live_report_is_not_written_to_a_server_that_does_not_answer)
