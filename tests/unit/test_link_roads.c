/* The link's roads against real servers: WebSocket in the clear and with TLS, TLS before the first
 * line, pins; and what it does when the network changes. */
#include "test_link_fixture.h"

#include <stdlib.h>

#include <apr_strings.h>

#include "sa_os_clock.h"
#include "sa_test_cert.h"

typedef struct road_t {
    const char *certificates;
    sa_test_server_t *server;
    fixture_t *fixture;
    int port;                   /* of the websocket block */
} road_t;

static bool says_port(void *baton)
{
    road_t *road = baton;
    const char *log = sa_test_server_log(road->server, road->fixture->pool);
    const char *line = strstr(log, "Listening for websocket clients on ws");
    const char *end = line ? strchr(line, '\n') : NULL;

    if (!end) {
        return false;
    }
    while (end[-1] >= '0' && end[-1] <= '9') {
        end--;
    }
    road->port = (int)strtol(end, NULL, 10);
    return true;
}

/* A server with a WebSocket listener; with TLS there when CERTIFICATE, and MORE in that block. */
static void serve(road_t *road, const char *certificate, const char *more, apr_pool_t *pool)
{
    const char *tls = "no_tls: true";

    road->certificates = sa_test_certificates(pool);
    if (certificate) {
        tls = apr_psprintf(pool, "tls { cert_file: \"%s/%s.pem\", key_file: \"%s/%s.key\", "
                           "ca_file: \"%s/ca.pem\", %s }", road->certificates, certificate,
                           road->certificates, certificate, road->certificates, more);
    }
    road->server = sa_test_server_start(apr_psprintf(
        pool, "websocket { listen: \"127.0.0.1:-1\", %s }\n", tls), 0, pool);
    road->fixture = fixture_open(pool);
    ck_assert(sa_test_wait(says_port, road, LIMIT));
}

/* SETTINGS are lines of nats, in which @ stands for the folder of certificates. */
static const sa_config_t *config_for(road_t *road, const char *scheme, const char *host,
                                     const char *settings)
{
    apr_pool_t *pool = road->fixture->pool;
    const char *all = "";
    const char *at;

    for (at = strchr(settings, '@'); at; at = strchr(settings, '@')) {
        all = apr_pstrcat(pool, all, apr_pstrmemdup(pool, settings, (apr_size_t)(at - settings)),
                          road->certificates, NULL);
        settings = at + 1;
    }
    return fixture_config_for(road->fixture, apr_psprintf(pool, "%s://%s:%d", scheme, host,
                                                          road->port),
                              apr_pstrcat(pool, all, settings, NULL));
}

#define CA "  tls:\n    ca_file: @/ca.pem\n"

static void exchange(road_t *road, size_t size)
{
    char *data = apr_palloc(road->fixture->pool, size);
    sa_link_message_t *message;
    const char *got;
    size_t length;

    for (size_t i = 0; i < size; i++) {
        data[i] = (char)(i * 7 + i / 256);
    }
    SA_ASSERT_OK(sa_link_publish(road->fixture->link, "a", NULL, data, size));
    message = sa_queue_take(road->fixture->messages, APR_INT64_MAX);
    got = sa_link_message_data(message, &length);
    ck_assert_uint_eq(length, size);
    ck_assert_mem_eq(got, data, size);
    sa_link_message_destroy(message);
}

SA_TEST(messages_of_all_sizes_go_over_websocket)
{
    static const size_t sizes[] = { 0, 1, 125, 65535, 65536, 300000, 1000000 };
    road_t road;

    serve(&road, NULL, "", pool);
    fixture_subscribe(road.fixture, "a", false);
    fixture_start(road.fixture, config_for(&road, "ws", "127.0.0.1", ""));
    fixture_wait_ups(road.fixture, 1);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        exchange(&road, sizes[i]);
    }
    SA_ASSERT_OK(sa_link_probe(road.fixture->link, LIMIT));
    fixture_close(road.fixture);
}

SA_TEST(and_over_websocket_with_tls)
{
    static const size_t sizes[] = { 1, 65536, 1000000 };
    road_t road;

    serve(&road, "server", "", pool);
    fixture_subscribe(road.fixture, "a", false);
    fixture_start(road.fixture, config_for(&road, "wss", "localhost", CA));
    fixture_wait_ups(road.fixture, 1);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        exchange(&road, sizes[i]);
    }
    fixture_close(road.fixture);
}

SA_TEST(a_client_certificate_opens_a_websocket_that_wants_one)
{
    road_t road;

    serve(&road, "server", "verify: true", pool);
    fixture_start(road.fixture, config_for(&road, "wss", "localhost", CA
                                           "    cert_file: @/client.pem\n"
                                           "    key_file: @/client.key\n"));
    fixture_wait_ups(road.fixture, 1);
    SA_ASSERT_OK(sa_link_reload(road.fixture->link, config_for(&road, "wss", "localhost", CA)));
    fixture_wait_log(road.fixture, "link_tls_client_cert", "");
    fixture_close(road.fixture);
}

/* The faults of a certificate have one name, whichever library finds them. */
SA_TEST(each_fault_of_a_certificate_is_named_over_websocket_too)
{
    static const struct {
        const char *certificate;
        const char *settings;
        const char *event;
    } rows[] = {
        { "expired", CA, "link_tls_expired" },
        { "wrong-name", CA, "link_tls_name" },
        { "server", "  tls:\n    ca_file: @/other-ca.pem\n", "link_tls_authority" },
        { "server", "", "link_tls_authority" },
        { "server", "  tls:\n    ca_file: @/missing.pem\n", "link_tls_files" },
        { "server", CA "    pin_sha256: " "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" "\n",
          "link_tls_pin" },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        apr_pool_t *row_pool;
        road_t road;

        apr_pool_create(&row_pool, pool);
        serve(&road, rows[i].certificate, "", row_pool);
        fixture_start(road.fixture, config_for(&road, "wss", "localhost", rows[i].settings));
        fixture_wait_log(road.fixture, rows[i].event, "localhost");
        ck_assert_int_eq(road.fixture->ups, 0);
        fixture_close(road.fixture);
        apr_pool_destroy(row_pool);
    }
}

SA_TEST(insecure_believes_anybody_but_a_pin_still_counts)
{
    road_t road;

    serve(&road, "wrong-name", "", pool);
    fixture_start(road.fixture, config_for(&road, "wss", "localhost",
                                           "  tls:\n    insecure_skip_verify: true\n"));
    fixture_wait_ups(road.fixture, 1);
    SA_ASSERT_OK(sa_link_reload(road.fixture->link, config_for(
        &road, "wss", "localhost", "  tls:\n    insecure_skip_verify: true\n"
        "    pin_sha256: 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n")));
    fixture_wait_log(road.fixture, "link_tls_pin", "localhost");
    fixture_close(road.fixture);
}

/* What speaks NATS at once, and what speaks nothing of the kind. */
SA_TEST(a_port_that_is_no_websocket_is_said)
{
    road_t road;

    serve(&road, NULL, "", pool);
    road.port = sa_test_server_port(road.server);
    fixture_start(road.fixture, config_for(&road, "ws", "127.0.0.1", ""));
    fixture_wait_log(road.fixture, "link_protocol", "not for WebSocket");
    fixture_close(road.fixture);
}

SA_TEST(urls_of_different_kinds_stand_in_one_list)
{
    road_t road;

    serve(&road, NULL, "", pool);
    fixture_subscribe(road.fixture, "a", false);
    fixture_start(road.fixture, fixture_config(road.fixture, apr_psprintf(
        pool, "  urls: [\"tls://127.0.0.1:1\", \"wss://127.0.0.1:%d\", \"ws://127.0.0.1:%d\", "
        "\"%s\"]\n  connect_spread: 0s\n  reconnect_wait: 10m\n", road.port, road.port,
        sa_test_server_url(road.server))));
    fixture_wait_ups(road.fixture, 1);
    fixture_wait_log(road.fixture, "link_up", "\"ws://");
    exchange(&road, 10);
    fixture_close(road.fixture);
}

/* Each connection has a relay with a thread and three descriptors. */
SA_TEST(a_hundred_connections_leave_no_thread_and_no_descriptor)
{
    road_t road;
    int threads = 0;
    int descriptors = 0;

    serve(&road, NULL, "", pool);
    fixture_start(road.fixture, config_for(&road, "ws", "127.0.0.1", ""));
    for (int i = 1; i <= 100; i++) {
        fixture_wait_ups(road.fixture, i);
        if (i == 10) {
            threads = fixture_threads(road.fixture);
            descriptors = fixture_descriptors(road.fixture);
        }
        if (i < 100) {
            sa_link_renew(road.fixture->link);
        }
    }
    ck_assert_int_le(fixture_threads(road.fixture), threads);
    ck_assert_int_le(fixture_descriptors(road.fixture), descriptors);
    fixture_close(road.fixture);
}

SA_TEST(a_server_that_is_killed_is_found_again_over_websocket)
{
    road_t road;

    serve(&road, NULL, "", pool);
    fixture_subscribe(road.fixture, "a", false);
    fixture_start(road.fixture, fixture_config(road.fixture, apr_psprintf(
        pool, "  urls: [\"ws://127.0.0.1:%d\", \"%s\"]\n  connect_spread: 0s\n"
        "  reconnect_wait: 20ms\n  reconnect_max: 50ms\n", road.port,
        sa_test_server_url(road.server))));
    fixture_wait_ups(road.fixture, 1);
    sa_test_server_kill(road.server);
    fixture_wait_downs(road.fixture, 1);
    sa_test_server_restart(road.server, NULL);
    fixture_wait_ups(road.fixture, 2);
    exchange(&road, 100);
    fixture_close(road.fixture);
}

SA_TEST(tls_before_the_first_line_is_spoken_where_that_is_set)
{
    road_t road = { 0 };

    road.certificates = sa_test_certificates(pool);
    road.server = sa_test_server_start(apr_psprintf(
        pool, "tls { cert_file: \"%s/server.pem\", key_file: \"%s/server.key\", "
        "handshake_first: true }\nmax_payload: 65536\n", road.certificates, road.certificates),
        SA_TEST_NOT_READY, pool);
    road.fixture = fixture_open(pool);
    road.port = sa_test_server_port(road.server);
    fixture_subscribe(road.fixture, "a", false);
    fixture_start(road.fixture, config_for(&road, "tls", "localhost",
                                           CA "    handshake_first: true\n"));
    fixture_wait_ups(road.fixture, 1);
    exchange(&road, 1000);
    ck_assert_uint_eq(sa_link_max_payload(road.fixture->link), 65536 - SA_LINK_HEADROOM);
    fixture_close(road.fixture);
}

SA_TEST(a_pin_is_looked_at_by_natss_own_tls_as_well)
{
    road_t road = { 0 };

    road.certificates = sa_test_certificates(pool);
    road.server = sa_test_server_start(apr_psprintf(
        pool, "tls { cert_file: \"%s/server.pem\", key_file: \"%s/server.key\" }\n",
        road.certificates, road.certificates), 0, pool);
    road.fixture = fixture_open(pool);
    road.port = sa_test_server_port(road.server);
    fixture_start(road.fixture, config_for(
        &road, "tls", "localhost",
        CA "    pin_sha256: 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"));
    fixture_wait_log(road.fixture, "link_tls_pin", "localhost");
    fixture_close(road.fixture);
}

SA_TEST(after_a_change_of_the_network_a_server_that_answers_is_kept)
{
    road_t road;

    serve(&road, NULL, "", pool);
    fixture_start(road.fixture, config_for(&road, "ws", "127.0.0.1", ""));
    fixture_wait_ups(road.fixture, 1);
    sa_link_look(road.fixture->link);
    fixture_wait_log(road.fixture, "link_looking", "ws://");
    SA_ASSERT_OK(sa_link_probe(road.fixture->link, LIMIT));
    ck_assert_int_eq(road.fixture->downs, 0);
    fixture_close(road.fixture);
}

/* Without the look it would take nats.ping_interval three times. */
SA_TEST(after_a_change_of_the_network_a_server_that_is_silent_is_left)
{
    sa_test_server_t *server = sa_test_server_start("", 0, pool);
    fixture_t *fixture = fixture_open(pool);

    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server),
                                              "  ping_interval: 10m\n  connect_timeout: 500ms\n"));
    fixture_wait_ups(fixture, 1);
    sa_test_server_freeze(server);
    sa_link_look(fixture->link);
    fixture_wait_downs(fixture, 1);
    fixture_wait_log(fixture, "link_network_lost", "does not answer");
    sa_test_server_thaw(server);
    fixture_wait_ups(fixture, 2);
    fixture_close(fixture);
}

SA_TEST(after_a_change_of_the_network_nobody_waits_for_the_next_attempt)
{
    sa_test_server_t *server = sa_test_server_reserve("", 0, pool);
    fixture_t *fixture = fixture_open(pool);

    fixture_start(fixture, fixture_config(fixture, apr_psprintf(
        pool, "  urls: [\"%s\"]\n  connect_spread: 0s\n  reconnect_wait: 10m\n"
        "  reconnect_max: 10m\n", sa_test_server_url(server))));
    fixture_wait_log(fixture, "link_refused", "");
    sa_test_server_restart(server, NULL);
    sa_link_look(fixture->link);
    fixture_wait_ups(fixture, 1);
    fixture_close(fixture);
}

SA_TEST_MAIN("link roads", messages_of_all_sizes_go_over_websocket, and_over_websocket_with_tls,
             a_client_certificate_opens_a_websocket_that_wants_one,
             each_fault_of_a_certificate_is_named_over_websocket_too,
             insecure_believes_anybody_but_a_pin_still_counts, a_port_that_is_no_websocket_is_said,
             urls_of_different_kinds_stand_in_one_list,
             a_hundred_connections_leave_no_thread_and_no_descriptor,
             a_server_that_is_killed_is_found_again_over_websocket,
             tls_before_the_first_line_is_spoken_where_that_is_set,
             a_pin_is_looked_at_by_natss_own_tls_as_well,
             after_a_change_of_the_network_a_server_that_answers_is_kept,
             after_a_change_of_the_network_a_server_that_is_silent_is_left,
             after_a_change_of_the_network_nobody_waits_for_the_next_attempt)
