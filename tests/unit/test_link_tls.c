/* The link and TLS against real servers: who is believed, and what is said of
 * each refusal. */
#include "test_link_fixture.h"

#include <stdlib.h>

#include <apr_strings.h>

#include "sa_test_cert.h"

typedef struct tls_t {
    const char *certificates;
    sa_test_server_t *server;
    fixture_t *fixture;
} tls_t;

/* TEXT with the certificates' directory for each %s. */
static const char *fill(const tls_t *tls, const char *text, apr_pool_t *pool)
{
    const char *at = strstr(text, "%s");
    const char *all = "";

    while (at) {
        all = apr_pstrcat(pool, all, apr_pstrmemdup(pool, text, (apr_size_t)(at - text)),
                          tls->certificates, NULL);
        text = at + 2;
        at = strstr(text, "%s");
    }
    return apr_pstrcat(pool, all, text, NULL);
}

/* A server with the certificate NAME, and MORE in its tls block. */
static void serve(tls_t *tls, const char *name, const char *more, apr_pool_t *pool)
{
    tls->certificates = sa_test_certificates(pool);
    tls->server = sa_test_server_start(apr_psprintf(
        pool, "tls { cert_file: \"%s/%s.pem\", key_file: \"%s/%s.key\", %s }\n",
        tls->certificates, name, tls->certificates, name, fill(tls, more, pool)), 0, pool);
    tls->fixture = fixture_open(pool);
}

static const char *server_url(tls_t *tls, const char *scheme, const char *host)
{
    return apr_psprintf(tls->fixture->pool, "%s://%s:%d", scheme, host,
                        sa_test_server_port(tls->server));
}

/* SETTINGS are lines of nats.tls. */
static void start(tls_t *tls, const char *url, const char *settings)
{
    fixture_t *fixture = tls->fixture;

    fixture_start(fixture, fixture_config_for(fixture, url, apr_pstrcat(
        fixture->pool, settings[0] ? "  tls:\n" : "", fill(tls, settings, fixture->pool),
        NULL)));
}

#define CA "    ca_file: %s/ca.pem\n"

SA_TEST(a_server_with_a_certificate_of_our_authority_is_believed)
{
    static const struct {
        const char *scheme;
        const char *host;
    } rows[] = { { "tls", "localhost" }, { "tls", "127.0.0.1" }, { "nats", "localhost" } };
    tls_t tls;

    serve(&tls, "server", "", pool);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (i == 0) {
            start(&tls, server_url(&tls, rows[i].scheme, rows[i].host), CA);
        } else {
            SA_ASSERT_OK(sa_link_reload(tls.fixture->link, fixture_config_for(
                tls.fixture, server_url(&tls, rows[i].scheme, rows[i].host),
                apr_psprintf(pool, "  tls:\n" CA, tls.certificates))));
        }
        fixture_wait_ups(tls.fixture, (int)i + 1);
        SA_ASSERT_OK(sa_link_probe(tls.fixture->link, LIMIT));
    }
    fixture_close(tls.fixture);
}

SA_TEST(a_message_of_a_megabyte_goes_through_tls)
{
    tls_t tls;
    char *data = apr_pcalloc(pool, 1000000);
    sa_link_message_t *message;
    size_t length;

    serve(&tls, "server", "", pool);
    fixture_subscribe(tls.fixture, "a", false);
    start(&tls, server_url(&tls, "tls", "localhost"), CA);
    fixture_wait_ups(tls.fixture, 1);
    SA_ASSERT_OK(sa_link_publish(tls.fixture->link, "a", NULL, data, 1000000));
    message = sa_queue_take(tls.fixture->messages, APR_INT64_MAX);
    sa_link_message_data(message, &length);
    ck_assert_uint_eq(length, 1000000);
    sa_link_message_destroy(message);
    fixture_close(tls.fixture);
}

/* Without a CA file the system's authorities decide, and they do not know ours. */
SA_TEST(the_systems_authorities_are_asked_when_there_is_no_ca_file)
{
    tls_t tls;

    serve(&tls, "server", "", pool);
    start(&tls, server_url(&tls, "tls", "localhost"), "");
    fixture_wait_log(tls.fixture, "link_tls_authority", "tls://");
    SA_ASSERT_OK(sa_link_reload(tls.fixture->link, fixture_config_for(
        tls.fixture, server_url(&tls, "nats", "localhost"), "")));
    fixture_wait_log(tls.fixture, "link_tls_authority", "nats://");
    ck_assert_int_eq(tls.fixture->ups, 0);
    fixture_close(tls.fixture);
}

SA_TEST(an_authority_of_the_systems_store_is_believed)
{
    tls_t tls;

    serve(&tls, "server", "", pool);
    setenv("SSL_CERT_FILE", apr_pstrcat(pool, tls.certificates, "/ca.pem", NULL), 1);
    start(&tls, server_url(&tls, "tls", "localhost"), "");
    fixture_wait_ups(tls.fixture, 1);
    fixture_close(tls.fixture);
    unsetenv("SSL_CERT_FILE");
}

/* nats.c would trust both. */
SA_TEST(a_ca_file_stands_in_place_of_the_systems_authorities)
{
    tls_t tls;

    serve(&tls, "server", "", pool);
    setenv("SSL_CERT_FILE", apr_pstrcat(pool, tls.certificates, "/ca.pem", NULL), 1);
    start(&tls, server_url(&tls, "tls", "localhost"), "    ca_file: %s/other-ca.pem\n");
    fixture_wait_log(tls.fixture, "link_tls_authority", "not trusted");
    ck_assert_int_eq(tls.fixture->ups, 0);
    fixture_close(tls.fixture);
    unsetenv("SSL_CERT_FILE");
}

static void expect_fault(apr_pool_t *pool, const char *certificate, const char *more,
                         const char *settings, const char *event)
{
    tls_t tls;

    serve(&tls, certificate, more, pool);
    start(&tls, server_url(&tls, "tls", "localhost"), settings);
    fixture_wait_log(tls.fixture, event, "localhost");
    ck_assert_int_eq(tls.fixture->ups, 0);
    fixture_close(tls.fixture);
}

SA_TEST(a_certificate_of_an_unknown_authority_is_refused)
{
    expect_fault(pool, "server", "", "    ca_file: %s/other-ca.pem\n", "link_tls_authority");
}

SA_TEST(an_expired_certificate_is_refused)
{
    expect_fault(pool, "expired", "", CA, "link_tls_expired");
}

SA_TEST(a_certificate_for_another_name_is_refused)
{
    expect_fault(pool, "wrong-name", "", CA, "link_tls_name");
}

SA_TEST(a_missing_ca_file_is_said)
{
    expect_fault(pool, "server", "", "    ca_file: %s/missing.pem\n", "link_tls_files");
}

SA_TEST(a_ca_file_without_certificates_is_said)
{
    expect_fault(pool, "server", "", "    ca_file: %s/ca.key\n", "link_tls_files");
}

SA_TEST(a_missing_client_key_is_said)
{
    expect_fault(pool, "server", "", CA "    cert_file: %s/client.pem\n"
                 "    key_file: %s/missing.key\n", "link_tls_files");
}

SA_TEST(a_client_key_of_another_certificate_is_said)
{
    expect_fault(pool, "server", "", CA "    cert_file: %s/client.pem\n"
                 "    key_file: %s/other-client.key\n", "link_tls_files");
}

SA_TEST(a_later_fault_is_not_taken_for_the_earlier_one)
{
    tls_t first;
    tls_t second;

    serve(&first, "wrong-name", "", pool);
    second.fixture = first.fixture;
    second.server = sa_test_server_start(apr_psprintf(
        pool, "tls { cert_file: \"%s/expired.pem\", key_file: \"%s/expired.key\" }\n",
        first.certificates, first.certificates), 0, pool);
    fixture_start(first.fixture, fixture_config(first.fixture, apr_psprintf(
        pool, "  urls: [\"%s\", \"%s\"]\n  connect_spread: 0s\n  reconnect_wait: 20ms\n"
        "  reconnect_max: 50ms\n  tls:\n    ca_file: %s/ca.pem\n",
        server_url(&first, "tls", "localhost"), server_url(&second, "tls", "localhost"),
        first.certificates)));
    fixture_wait_log(first.fixture, "link_tls_name", server_url(&first, "tls", "localhost"));
    fixture_wait_log(first.fixture, "link_tls_expired",
                     server_url(&second, "tls", "localhost"));
    fixture_close(first.fixture);
}

SA_TEST(insecure_believes_anybody_and_is_warned_about)
{
    tls_t tls;

    serve(&tls, "wrong-name", "", pool);
    start(&tls, server_url(&tls, "tls", "localhost"), "    insecure_skip_verify: true\n");
    fixture_wait_ups(tls.fixture, 1);
    ck_assert_int_eq(fixture_count_log(tls.fixture, "link_tls_insecure", ""), 1);
    fixture_close(tls.fixture);
}

SA_TEST(a_server_without_tls_is_refused_where_tls_is_wanted)
{
    sa_test_server_t *server = sa_test_server_start("", 0, pool);
    fixture_t *fixture = fixture_open(pool);

    fixture_start(fixture, fixture_config_for(fixture, apr_psprintf(
        pool, "tls://127.0.0.1:%d", sa_test_server_port(server)), ""));
    fixture_wait_log(fixture, "link_tls_not_spoken", "tls://");
    SA_ASSERT_OK(sa_link_reload(fixture->link, fixture_config_for(
        fixture, sa_test_server_url(server), "  tls:\n    enabled: true\n")));
    fixture_wait_log(fixture, "link_tls_not_spoken", "nats://");
    ck_assert_int_eq(fixture->ups, 0);
    fixture_close(fixture);
}

#define CLIENT_AUTH "ca_file: \"%s/ca.pem\", verify: true"

SA_TEST(a_client_certificate_opens_a_server_that_wants_one)
{
    tls_t tls;

    serve(&tls, "server", CLIENT_AUTH, pool);
    start(&tls, server_url(&tls, "tls", "localhost"),
          CA "    cert_file: %s/client.pem\n    key_file: %s/client.key\n");
    fixture_wait_ups(tls.fixture, 1);
    SA_ASSERT_OK(sa_link_probe(tls.fixture->link, LIMIT));
    fixture_close(tls.fixture);
}

SA_TEST(a_missing_client_certificate_is_said)
{
    expect_fault(pool, "server", CLIENT_AUTH, CA, "link_tls_client_cert");
}

SA_TEST(an_unknown_client_certificate_is_said)
{
    expect_fault(pool, "server", CLIENT_AUTH, CA "    cert_file: %s/other-client.pem\n"
                 "    key_file: %s/other-client.key\n", "link_tls_client_cert");
}

SA_TEST(a_client_key_that_others_can_read_is_refused)
{
    tls_t tls;

    serve(&tls, "server", CLIENT_AUTH, pool);
    sa_test_file(tls.certificates, "open.key", sa_test_read(
        apr_pstrcat(pool, tls.certificates, "/client.key", NULL), pool), 0644, pool);
    start(&tls, server_url(&tls, "tls", "localhost"),
          CA "    cert_file: %s/client.pem\n    key_file: %s/open.key\n");
    fixture_wait_log(tls.fixture, "link_secret_unsafe", "open.key");
    fixture_close(tls.fixture);
}

SA_TEST(a_server_that_wants_tls_first_is_said_to_be_silent)
{
    tls_t tls;

    tls.certificates = sa_test_certificates(pool);
    tls.server = sa_test_server_start(apr_psprintf(
        pool, "tls { cert_file: \"%s/server.pem\", key_file: \"%s/server.key\", "
        "handshake_first: true }\n", tls.certificates, tls.certificates), SA_TEST_NOT_READY,
        pool);
    tls.fixture = fixture_open(pool);
    fixture_start(tls.fixture, fixture_config_for(
        tls.fixture, server_url(&tls, "tls", "localhost"), "  connect_timeout: 500ms\n"));
    fixture_wait_log(tls.fixture, "link_silent", "says nothing");
    fixture_close(tls.fixture);
}

SA_TEST_MAIN("link tls", a_server_with_a_certificate_of_our_authority_is_believed,
             a_message_of_a_megabyte_goes_through_tls,
             the_systems_authorities_are_asked_when_there_is_no_ca_file,
             an_authority_of_the_systems_store_is_believed,
             a_ca_file_stands_in_place_of_the_systems_authorities,
             a_certificate_of_an_unknown_authority_is_refused, an_expired_certificate_is_refused,
             a_certificate_for_another_name_is_refused, a_missing_ca_file_is_said,
             a_ca_file_without_certificates_is_said, a_missing_client_key_is_said,
             a_client_key_of_another_certificate_is_said,
             a_later_fault_is_not_taken_for_the_earlier_one,
             insecure_believes_anybody_and_is_warned_about,
             a_server_without_tls_is_refused_where_tls_is_wanted,
             a_client_certificate_opens_a_server_that_wants_one,
             a_missing_client_certificate_is_said, an_unknown_client_certificate_is_said,
             a_client_key_that_others_can_read_is_refused,
             a_server_that_wants_tls_first_is_said_to_be_silent)
