/* Connections by libcurl: what is carried, what each failure is called, and what is left. */
#include "sa_http_conn.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/socket.h>

#include <apr_strings.h>
#include <openssl/ssl.h>

#include "sa_test.h"
#include "sa_test_http.h"
#include "sa_test_proxy.h"
#include "sa_test_server.h"
#include "sa_time.h"

#define HOUR 3600L
#define DAY (24 * HOUR)
#define SECRET "s3cret-w0rd"
#define SHORT apr_time_from_msec(300)

typedef struct outcome_t {
    bool is_open;
    sa_http_conn_t *conn;
    sa_http_conn_report_t report;
    apr_interval_time_t time;
} outcome_t;

static sa_http_request_t request_for(const char *url)
{
    return (sa_http_request_t){.url = url, .timeout = apr_time_from_sec(20)};
}

/* Open, with the words checked for what must never be in them. */
static outcome_t open_with(const sa_http_request_t *request, bool (*interrupted)(void *baton),
                           void *baton, apr_pool_t *pool)
{
    outcome_t outcome = {0};
    apr_interval_time_t begin;

    SA_ASSERT_OK(sa_http_library_open());
    begin = sa_time_mono();
    outcome.is_open = sa_http_conn_open(&outcome.conn, &outcome.report, request, interrupted,
                                        baton, pool);
    outcome.time = sa_time_mono() - begin;
    ck_assert_msg(!strstr(outcome.report.words, SECRET), "%s", outcome.report.words);
    ck_assert(outcome.is_open || outcome.report.words[0]);
    ck_assert_msg(!strstr(outcome.report.words, " ms"), "%s", outcome.report.words);
    if (getenv("SA_TEST_SHOW") && !outcome.is_open) {
        printf("%d/%d %s\n", outcome.report.trouble, outcome.report.verdict.fault,
               outcome.report.words);
    }
    return outcome;
}

static outcome_t open_request(const sa_http_request_t *request, apr_pool_t *pool)
{
    return open_with(request, NULL, NULL, pool);
}

static void assert_open(const outcome_t *outcome)
{
    ck_assert_msg(outcome->is_open, "%d: %s", outcome->report.trouble, outcome->report.words);
}

static void assert_trouble(const outcome_t *outcome, sa_http_trouble_t trouble, const char *words)
{
    ck_assert_msg(!outcome->is_open, "open");
    ck_assert_msg(outcome->report.trouble == trouble, "%d: %s", outcome->report.trouble,
                  outcome->report.words);
    ck_assert_msg(strstr(outcome->report.words, words) != NULL, "%s", outcome->report.words);
}

static void assert_fault(const outcome_t *outcome, sa_http_tls_fault_t fault, const char *words)
{
    assert_trouble(outcome, SA_HTTP_TROUBLE_TLS, words);
    ck_assert_msg(outcome->report.verdict.fault == fault, "%d: %s",
                  outcome->report.verdict.fault, outcome->report.words);
    ck_assert_str_eq(outcome->report.verdict.words, outcome->report.words);
}

/* ---- servers ---------------------------------------------------------------------- */

static const sa_test_http_answer_t answers[] = {{"/page", sa_test_http_text, "hello"},
                                                {NULL, NULL, NULL}};

/* A socket of the system's that listens and takes nobody: TCP stands, nothing is said. */
static apr_socket_t *listen_on(const char *address, int *port, apr_pool_t *pool)
{
    apr_socket_t *listener;
    apr_sockaddr_t *place;

    ck_assert_int_eq(apr_sockaddr_info_get(&place, address, APR_UNSPEC, (apr_port_t)*port, 0,
                                           pool), APR_SUCCESS);
    ck_assert_int_eq(apr_socket_create(&listener, place->family, SOCK_STREAM, APR_PROTO_TCP,
                                       pool), APR_SUCCESS);
    ck_assert_int_eq(apr_socket_bind(listener, place), APR_SUCCESS);
    ck_assert_int_eq(apr_socket_listen(listener, 300), APR_SUCCESS);
    ck_assert_int_eq(apr_socket_addr_get(&place, APR_LOCAL, listener), APR_SUCCESS);
    *port = place->port;
    return listener;
}

/* A port that nobody listens on. */
static int dead_port(apr_pool_t *pool)
{
    int port = 0;

    apr_socket_close(listen_on("127.0.0.1", &port, pool));
    return port;
}

static const char *local_url(const char *scheme, int port, apr_pool_t *pool)
{
    return apr_psprintf(pool, "%s://127.0.0.1:%d", scheme, port);
}

static const char *write_authority(const sa_test_cert_t *authority, apr_pool_t *pool)
{
    const char *path = apr_pstrcat(pool, sa_test_dir(pool), "/ca.pem", NULL);

    sa_test_cert_write(authority, path);
    return path;
}

/* Ask for /page over CONN, as a client of HTTP would, and get it. */
static void exchange(sa_http_conn_t *conn)
{
    static const char question[] = "GET /page HTTP/1.1\r\nHost: x\r\n\r\n";
    apr_interval_time_t deadline = sa_time_mono() + apr_time_from_sec(20);
    char answer[1024] = "";
    size_t length = 0;
    size_t sent = sizeof(question) - 1;

    ck_assert_int_eq(sa_http_conn_send(conn, question, &sent), APR_SUCCESS);
    ck_assert_uint_eq(sent, sizeof(question) - 1);
    while (!strstr(answer, "hello")) {
        size_t got = sizeof(answer) - 1 - length;
        apr_status_t status = sa_http_conn_receive(conn, answer + length, &got);

        ck_assert_msg(status == APR_SUCCESS || status == APR_EAGAIN, "%d", status);
        ck_assert(status == APR_SUCCESS || got == 0);
        ck_assert(sa_time_mono() < deadline);
        length += got;
        answer[length] = '\0';
        if (status == APR_EAGAIN) {
            apr_sleep(1000);
        }
    }
}

/* NUMBER brings the greeting, and is closed. */
static void read_greeting(int number)
{
    apr_interval_time_t deadline = sa_time_mono() + apr_time_from_sec(20);
    char data[16] = "";

    while (recv(number, data, sizeof(data), 0) < 0) {
        ck_assert(sa_time_mono() < deadline);
        apr_sleep(1000);
    }
    ck_assert_str_eq(data, "INFO {}\r\n");
    ck_assert_int_eq(close(number), 0);
}

/* ---- what is carried --------------------------------------------------------------- */

SA_TEST(a_bare_connection_carries_bytes_and_says_to_where)
{
    sa_test_http_t *server = sa_test_http_start(answers, NULL, pool);
    sa_http_request_t request = request_for(local_url("http", sa_test_http_port(server), pool));
    outcome_t outcome = open_request(&request, pool);

    assert_open(&outcome);
    ck_assert(sa_http_conn_is_bare(outcome.conn));
    ck_assert_str_eq(sa_http_conn_tls_version(outcome.conn), "");
    ck_assert_str_eq(sa_http_conn_peer(outcome.conn),
                     apr_psprintf(pool, "127.0.0.1:%d", sa_test_http_port(server)));
    exchange(outcome.conn);
    exchange(outcome.conn);
    sa_http_conn_close(outcome.conn);
    sa_test_http_stop(server);
}

SA_TEST(a_connection_with_tls_carries_bytes)
{
    sa_test_cert_t *authority = sa_test_cert_authority("an authority", pool);
    sa_test_cert_t *cert = sa_test_cert_issue(authority, "localhost,127.0.0.1", -HOUR, HOUR, pool);
    sa_test_http_t *server = sa_test_http_start(answers, cert, pool);
    sa_http_request_t request = request_for(apr_psprintf(pool, "https://localhost:%d",
                                                         sa_test_http_port(server)));
    outcome_t outcome;

    request.ca_file = write_authority(authority, pool);
    outcome = open_request(&request, pool);
    assert_open(&outcome);
    ck_assert(!sa_http_conn_is_bare(outcome.conn));
    ck_assert_str_eq(sa_http_conn_tls_version(outcome.conn), "TLSv1.3");
    exchange(outcome.conn);
    sa_http_conn_close(outcome.conn);
    sa_test_http_stop(server);
}

SA_TEST(the_end_of_a_connection_is_seen)
{
    sa_test_proxy_t *server = sa_test_proxy_start(
        &(sa_test_proxy_plan_t){.how = SA_TEST_PROXY_CLOSE}, pool);
    sa_http_request_t request = request_for(sa_test_proxy_url(server, "http", pool));
    outcome_t outcome = open_request(&request, pool);
    char byte = 'x';
    size_t length = 1;
    apr_status_t status;

    assert_open(&outcome);
    ck_assert_int_eq(sa_http_conn_send(outcome.conn, &byte, &length), APR_SUCCESS);
    do {
        length = 1;
        status = sa_http_conn_receive(outcome.conn, &byte, &length);
        apr_sleep(1000);
    } while (status == APR_EAGAIN);
    ck_assert_int_eq(status, APR_EOF);
    ck_assert_uint_eq(length, 0);
    sa_test_proxy_stop(server);
}

SA_TEST(a_socket_that_was_taken_outlives_its_connection)
{
    sa_test_proxy_t *server = sa_test_proxy_start(
        &(sa_test_proxy_plan_t){.how = SA_TEST_PROXY_GREETING, .text = "INFO {}\r\n"}, pool);
    sa_http_request_t request = request_for(sa_test_proxy_url(server, "http", pool));
    outcome_t outcome = open_request(&request, pool);
    apr_os_sock_t number;

    assert_open(&outcome);
    number = sa_http_conn_take(outcome.conn);
    ck_assert_int_eq(number, sa_http_conn_socket(outcome.conn));
    sa_http_conn_close(outcome.conn);
    ck_assert_int_eq(fcntl(number, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fcntl(number, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    read_greeting(number);
    sa_test_proxy_stop(server);
}

SA_TEST(the_other_address_of_a_name_is_tried)
{
    int port = 0;
    apr_socket_t *listener = listen_on("127.0.0.1", &port, pool);
    sa_http_request_t request = request_for(apr_psprintf(pool, "http://localhost:%d", port));
    outcome_t outcome = open_request(&request, pool);

    assert_open(&outcome);
    ck_assert_str_eq(sa_http_conn_peer(outcome.conn), apr_psprintf(pool, "127.0.0.1:%d", port));
    apr_socket_close(listener);
    port = 0;
    listener = listen_on("::1", &port, pool);
    request = request_for(apr_psprintf(pool, "http://localhost:%d", port));
    outcome = open_request(&request, pool);
    assert_open(&outcome);
    ck_assert_str_eq(sa_http_conn_peer(outcome.conn), apr_psprintf(pool, "[::1]:%d", port));
    request = request_for(apr_psprintf(pool, "http://[::1]:%d", port));
    outcome = open_request(&request, pool);
    assert_open(&outcome);
    apr_socket_close(listener);
}

/* ---- the way there --------------------------------------------------------------------- */

SA_TEST(what_does_not_answer_is_told_apart)
{
    int port = dead_port(pool);
    sa_http_request_t request = request_for(local_url("http", port, pool));
    outcome_t outcome = open_request(&request, pool);

    assert_trouble(&outcome, SA_HTTP_TROUBLE_REFUSED, apr_psprintf(
                       pool, "nothing listens on 127.0.0.1:%d", port));
    request = request_for("http://nobody.invalid:4222");
    outcome = open_request(&request, pool);
    assert_trouble(&outcome, SA_HTTP_TROUBLE_NAME, "the name nobody.invalid cannot be looked up");
    request = request_for("http://255.255.255.255:4222");
    outcome = open_request(&request, pool);
    assert_trouble(&outcome, SA_HTTP_TROUBLE_UNREACHABLE, "no way to 255.255.255.255:4222");
    request = request_for("nats://127.0.0.1:4222");
    outcome = open_request(&request, pool);
    assert_trouble(&outcome, SA_HTTP_TROUBLE_OTHER, "not a valid");
}

/* ---- deadlines ----------------------------------------------------------------------------- */

static bool stop_later(void *baton)
{
    int *asked = baton;

    (*asked)++;
    return *asked > 3;
}

/* REQUEST meets a server that says nothing: within its time, and at once when asked. */
static void assert_bounded(const sa_http_request_t *request_, const char *words, apr_pool_t *pool)
{
    sa_http_request_t request = *request_;
    int asked = 0;
    outcome_t outcome;

    request.timeout = SHORT;
    outcome = open_request(&request, pool);
    assert_trouble(&outcome, SA_HTTP_TROUBLE_TIMEOUT, words);
    ck_assert_msg(outcome.time >= SHORT - 20000 && outcome.time < SHORT + apr_time_from_sec(10),
                  "%d us", (int)outcome.time);
    request.timeout = apr_time_from_sec(20);
    outcome = open_with(&request, stop_later, &asked, pool);
    assert_trouble(&outcome, SA_HTTP_TROUBLE_INTERRUPTED, "broken off");
    ck_assert_msg(outcome.time < apr_time_from_sec(10), "%d us", (int)outcome.time);
}

SA_TEST(a_server_that_says_nothing_under_tls_is_left)
{
    int port = 0;
    apr_socket_t *listener = listen_on("127.0.0.1", &port, pool);
    sa_http_request_t request = request_for(local_url("https", port, pool));

    request.insecure = true;
    assert_bounded(&request, "no TLS handshake with 127.0.0.1", pool);
    apr_socket_close(listener);
}

SA_TEST(a_proxy_that_says_nothing_is_left)
{
    static const char *const schemes[] = {"http", "socks5", "socks5h", "https"};
    int port = 0;
    apr_socket_t *listener = listen_on("127.0.0.1", &port, pool);
    sa_http_request_t request = request_for("http://127.0.0.1:4222");

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        sa_http_proxy_t proxy = {.url = local_url(schemes[i], port, pool), .except = ""};

        request.proxy = &proxy;
        assert_bounded(&request, apr_psprintf(pool, "the proxy 127.0.0.1:%d made no connection "
                                              "in time", port), pool);
    }
    apr_socket_close(listener);
}

/* ---- TLS ------------------------------------------------------------------------------------- */

typedef struct tls_t {
    sa_test_cert_t *authority;
    sa_test_cert_t *other;
    const char *ca_file;
} tls_t;

static tls_t make_authorities(apr_pool_t *pool)
{
    tls_t tls = {.authority = sa_test_cert_authority("an authority", pool),
                 .other = sa_test_cert_authority("another one", pool)};

    tls.ca_file = write_authority(tls.authority, pool);
    return tls;
}

static const char *const local_names = "localhost,127.0.0.1";

/* CERT is served; with insecure, what is wrong with it does not matter. */
static void assert_cert(const tls_t *tls, const sa_test_cert_t *cert, sa_http_tls_fault_t fault,
                        const char *words, apr_pool_t *pool)
{
    sa_test_http_t *server = sa_test_http_start(answers, cert, pool);
    sa_http_request_t request = request_for(local_url("https", sa_test_http_port(server), pool));
    outcome_t outcome;

    request.ca_file = tls->ca_file;
    outcome = open_request(&request, pool);
    assert_fault(&outcome, fault, words);
    request.insecure = true;
    outcome = open_request(&request, pool);
    assert_open(&outcome);
    exchange(outcome.conn);
    sa_http_conn_close(outcome.conn);
    sa_test_http_stop(server);
}

SA_TEST(each_fault_of_a_certificate_is_named)
{
    tls_t tls = make_authorities(pool);
    sa_test_cert_t *elsewhere = sa_test_cert_issue(tls.authority, "elsewhere.test", -HOUR, HOUR,
                                                   pool);
    sa_test_cert_t *other_ip = sa_test_cert_issue(tls.authority, "127.0.0.9", -HOUR, HOUR, pool);
    const struct {
        const sa_test_cert_t *cert;
        sa_http_tls_fault_t fault;
        const char *words;
    } rows[] = {
        {sa_test_cert_issue(tls.authority, local_names, -2 * DAY, -DAY, pool),
         SA_HTTP_TLS_EXPIRED,
         "certificate has expired (certificate /CN=localhost,127.0.0.1, wanted 127.0.0.1)"},
        {sa_test_cert_issue(tls.authority, local_names, DAY, 2 * DAY, pool), SA_HTTP_TLS_EXPIRED,
         "certificate is not yet valid"},
        {sa_test_cert_issue(tls.other, local_names, -HOUR, HOUR, pool), SA_HTTP_TLS_AUTHORITY,
         "unable to get local issuer certificate"},
        {tls.other, SA_HTTP_TLS_AUTHORITY, "self-signed certificate"},
        {elsewhere, SA_HTTP_TLS_NAME, "(certificate /CN=elsewhere.test, wanted 127.0.0.1)"},
        {other_ip, SA_HTTP_TLS_NAME, "IP address mismatch"},
        {sa_test_cert_issue_for(tls.authority, local_names, "clientAuth", pool),
         SA_HTTP_TLS_PURPOSE, "certificate purpose"}
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_cert(&tls, rows[i].cert, rows[i].fault, rows[i].words, pool);
    }
}

SA_TEST(a_name_is_checked_as_well_as_an_address)
{
    tls_t tls = make_authorities(pool);
    sa_test_cert_t *cert = sa_test_cert_issue(tls.authority, "elsewhere.test", -HOUR, HOUR, pool);
    sa_test_http_t *server = sa_test_http_start(answers, cert, pool);
    sa_http_request_t request = request_for(apr_psprintf(pool, "https://localhost:%d",
                                                         sa_test_http_port(server)));
    outcome_t outcome;

    request.ca_file = tls.ca_file;
    outcome = open_request(&request, pool);
    assert_fault(&outcome, SA_HTTP_TLS_NAME, "ostname mismatch (certificate /CN=elsewhere.test, "
                 "wanted localhost)");
    sa_test_http_stop(server);
}

SA_TEST(a_ca_file_is_trusted_instead_of_the_system)
{
    tls_t tls = make_authorities(pool);
    sa_test_cert_t *cert = sa_test_cert_issue(tls.authority, local_names, -HOUR, HOUR, pool);
    sa_test_http_t *server = sa_test_http_start(answers, cert, pool);
    sa_http_request_t request = request_for(local_url("https", sa_test_http_port(server), pool));
    outcome_t outcome = open_request(&request, pool);

    assert_fault(&outcome, SA_HTTP_TLS_AUTHORITY, "unable to get local issuer certificate");
    request.ca_file = tls.ca_file;
    outcome = open_request(&request, pool);
    assert_open(&outcome);
    sa_http_conn_close(outcome.conn);
    request.ca_file = "/nowhere/ca.pem";
    outcome = open_request(&request, pool);
    assert_fault(&outcome, SA_HTTP_TLS_FILES, "the CA file /nowhere/ca.pem cannot be used");
    sa_test_http_stop(server);
}

SA_TEST(a_pin_counts_even_where_nothing_else_is_looked_at)
{
    tls_t tls = make_authorities(pool);
    sa_test_cert_t *cert = sa_test_cert_issue(tls.authority, local_names, -HOUR, HOUR, pool);
    sa_test_http_t *server = sa_test_http_start(answers, cert, pool);
    const char *right = sa_test_cert_pin(cert, pool);
    const char *wrong = sa_test_cert_pin(tls.other, pool);
    const struct {
        const char *pins;
        bool is_right;
    } rows[] = {
        {right, true},
        {wrong, false},
        {apr_pstrcat(pool, wrong, " ", right, NULL), true},
        {apr_pstrcat(pool, right, " ", wrong, NULL), true},
        {apr_pstrcat(pool, wrong, " ", sa_test_cert_pin(tls.authority, pool), NULL), false},
        {apr_pstrmemdup(pool, right, 20), false}
    };

    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        sa_http_request_t request = request_for(local_url("https", sa_test_http_port(server),
                                                          pool));
        outcome_t outcome;

        request.pin_sha256 = rows[i / 2].pins;
        request.insecure = i % 2 == 1;
        request.ca_file = tls.ca_file;
        outcome = open_request(&request, pool);
        if (rows[i / 2].is_right) {
            assert_open(&outcome);
            sa_http_conn_close(outcome.conn);
        } else {
            assert_fault(&outcome, SA_HTTP_TLS_PIN, "its public key is not the pinned one");
        }
    }
    sa_test_http_stop(server);
}

SA_TEST(an_older_tls_than_allowed_is_refused)
{
    tls_t tls = make_authorities(pool);
    sa_test_cert_t *cert = sa_test_cert_issue(tls.authority, local_names, -HOUR, HOUR, pool);
    sa_test_http_t *server = sa_test_http_start(answers, cert, pool);
    sa_http_request_t request = request_for(local_url("https", sa_test_http_port(server), pool));
    outcome_t outcome;

    request.ca_file = tls.ca_file;
    request.tls_least = SA_HTTP_TLS_1_3;
    outcome = open_request(&request, pool);
    assert_open(&outcome);
    sa_http_conn_close(outcome.conn);
    sa_test_http_limit_tls(server, TLS1_2_VERSION);
    outcome = open_request(&request, pool);
    assert_fault(&outcome, SA_HTTP_TLS_VERSION, "protocol version");
    request.insecure = true;
    outcome = open_request(&request, pool);
    assert_fault(&outcome, SA_HTTP_TLS_VERSION, "protocol version");
    request.tls_least = SA_HTTP_TLS_1_2;
    outcome = open_request(&request, pool);
    assert_open(&outcome);
    ck_assert_str_eq(sa_http_conn_tls_version(outcome.conn), "TLSv1.2");
    sa_http_conn_close(outcome.conn);
    sa_test_http_limit_tls(server, TLS1_1_VERSION);
    outcome = open_request(&request, pool);
    assert_fault(&outcome, SA_HTTP_TLS_VERSION, "protocol");
    sa_test_http_stop(server);
}

/* A server that wants a client certificate, and a client that has CERT_FILE, or none. */
static void assert_client_refused(sa_test_http_t *server, const sa_http_request_t *request,
                                  apr_pool_t *pool)
{
    outcome_t outcome = open_request(request, pool);
    sa_http_tls_verdict_t verdict;
    apr_status_t status;
    char byte;
    size_t length;

    (void)server;
    if (!outcome.is_open) {         /* TLS 1.2: within the handshake */
        ck_assert_msg(outcome.report.verdict.fault == SA_HTTP_TLS_CLIENT_CERT, "%s",
                      outcome.report.words);
        return;
    }
    sa_http_conn_verdict(outcome.conn, &verdict);
    ck_assert_int_eq(verdict.fault, SA_HTTP_TLS_NONE);
    do {
        length = 1;
        status = sa_http_conn_receive(outcome.conn, &byte, &length);
        apr_sleep(1000);
    } while (status == APR_EAGAIN);
    sa_http_conn_verdict(outcome.conn, &verdict);
    ck_assert_msg(verdict.fault == SA_HTTP_TLS_CLIENT_CERT, "%d %d: %s", status, verdict.fault,
                  verdict.words);
    if (getenv("SA_TEST_SHOW")) {
        printf("later: %s\n", verdict.words);
    }
    ck_assert(status != APR_EOF && status != APR_SUCCESS);
    sa_http_conn_close(outcome.conn);
}

SA_TEST(a_client_certificate_is_shown_and_its_refusal_is_seen)
{
    const char *dir = sa_test_certificates(pool);
    sa_test_cert_t *authority = sa_test_cert_authority("theirs", pool);
    sa_test_cert_t *cert = sa_test_cert_issue(authority, local_names, -HOUR, HOUR, pool);
    sa_test_http_t *server = sa_test_http_start(answers, cert, pool);
    sa_http_request_t request = request_for(local_url("https", sa_test_http_port(server), pool));
    outcome_t outcome;

    sa_test_http_ask_certificate(server, authority);
    request.ca_file = write_authority(authority, pool);
    request.cert_file = apr_pstrcat(pool, dir, "/client.pem", NULL);
    request.key_file = apr_pstrcat(pool, dir, "/client.key", NULL);
    assert_client_refused(server, &request, pool);
    request.cert_file = NULL;
    assert_client_refused(server, &request, pool);
    request.cert_file = apr_pstrcat(pool, dir, "/other-client.pem", NULL);
    outcome = open_request(&request, pool);
    assert_fault(&outcome, SA_HTTP_TLS_FILES, "the client certificate or its key cannot be used");
    request.cert_file = "/nowhere/client.pem";
    outcome = open_request(&request, pool);
    assert_fault(&outcome, SA_HTTP_TLS_FILES, "the client certificate or its key cannot be used");
    sa_test_http_limit_tls(server, TLS1_2_VERSION);
    request.cert_file = apr_pstrcat(pool, dir, "/client.pem", NULL);
    assert_client_refused(server, &request, pool);
    sa_test_http_stop(server);
}

SA_TEST(what_speaks_no_tls_is_recognised)
{
    static const char *const texts[] = {"INFO {\"server_id\":\"A\"}\r\n",
                                        "HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-x\r\n"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        sa_test_proxy_t *server = sa_test_proxy_start(
            &(sa_test_proxy_plan_t){.how = SA_TEST_PROXY_GREETING, .text = texts[i]}, pool);
        sa_http_request_t request = request_for(sa_test_proxy_url(server, "https", pool));
        outcome_t outcome = open_request(&request, pool);

        assert_fault(&outcome, SA_HTTP_TLS_NOT_SPOKEN, "what answers is no TLS: wrong version");
        sa_test_proxy_stop(server);
    }
}

SA_TEST(a_server_that_breaks_off_the_handshake_is_recognised)
{
    sa_test_proxy_t *server = sa_test_proxy_start(
        &(sa_test_proxy_plan_t){.how = SA_TEST_PROXY_CLOSE}, pool);
    sa_http_request_t request = request_for(sa_test_proxy_url(server, "https", pool));
    outcome_t outcome = open_request(&request, pool);

    assert_trouble(&outcome, SA_HTTP_TROUBLE_BROKEN, "broke off in the TLS handshake");
    sa_test_proxy_stop(server);
}

/* ---- the judge by itself, as for nats.c's TLS ---------------------------------------- */

static sa_http_tls_judge_t *present;

static int verify(int ok, X509_STORE_CTX *store)
{
    return sa_http_tls_judge(present, ok, store);
}

/* A handshake in memory with a server that has CERT and speaks up to VERSION; the system's
 * authorities are those of TLS. */
static bool shake_hands(sa_http_tls_judge_t *judge, const tls_t *tls, const sa_test_cert_t *cert,
                        int version)
{
    SSL_CTX *contexts[] = {SSL_CTX_new(TLS_client_method()), SSL_CTX_new(TLS_server_method())};
    SSL *client;
    SSL *server;
    BIO *ends[2];
    bool is_done;

    present = judge;
    SSL_CTX_set_verify(contexts[0], SSL_VERIFY_PEER, verify);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(contexts[0]), tls->authority->cert);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(contexts[0]), tls->other->cert);
    SSL_CTX_set_max_proto_version(contexts[1], version);
    SSL_CTX_use_certificate(contexts[1], cert->cert);
    SSL_CTX_use_PrivateKey(contexts[1], cert->key);
    client = SSL_new(contexts[0]);
    server = SSL_new(contexts[1]);
    BIO_new_bio_pair(&ends[0], 0, &ends[1], 0);
    SSL_set_bio(client, ends[0], ends[0]);
    SSL_set_bio(server, ends[1], ends[1]);
    SSL_set_connect_state(client);
    SSL_set_accept_state(server);
    for (int i = 0; i < 10; i++) {
        SSL_do_handshake(client);
        SSL_do_handshake(server);
    }
    is_done = SSL_is_init_finished(client) == 1;
    SSL_free(client);
    SSL_free(server);
    SSL_CTX_free(contexts[0]);
    SSL_CTX_free(contexts[1]);
    return is_done;
}

SA_TEST(the_judge_looks_at_version_authorities_and_pins)
{
    tls_t tls = make_authorities(pool);
    sa_test_cert_t *cert = sa_test_cert_issue(tls.authority, local_names, -HOUR, HOUR, pool);
    STACK_OF(X509) *theirs = sk_X509_new_null();
    STACK_OF(X509) *others = sk_X509_new_null();
    const struct {
        sa_http_tls_judge_t judge;
        int version;
        sa_http_tls_fault_t fault;
    } rows[] = {
        {{.host = "x"}, TLS1_3_VERSION, SA_HTTP_TLS_NONE},
        {{.host = "x"}, TLS1_2_VERSION, SA_HTTP_TLS_NONE},
        {{.host = "x", .least = SA_HTTP_TLS_1_3}, TLS1_3_VERSION, SA_HTTP_TLS_NONE},
        {{.host = "x", .least = SA_HTTP_TLS_1_3}, TLS1_2_VERSION, SA_HTTP_TLS_VERSION},
        {{.host = "x", .least = SA_HTTP_TLS_1_3, .insecure = true}, TLS1_2_VERSION,
         SA_HTTP_TLS_VERSION},
        {{.host = "x", .authorities = theirs}, TLS1_3_VERSION, SA_HTTP_TLS_NONE},
        {{.host = "x", .authorities = others}, TLS1_3_VERSION, SA_HTTP_TLS_AUTHORITY},
        {{.host = "x", .authorities = others, .insecure = true}, TLS1_3_VERSION,
         SA_HTTP_TLS_NONE},
        {{.host = "x", .pins = sa_test_cert_pin(cert, pool)}, TLS1_2_VERSION, SA_HTTP_TLS_NONE},
        {{.host = "x", .pins = sa_test_cert_pin(tls.authority, pool)}, TLS1_2_VERSION,
         SA_HTTP_TLS_PIN}
    };

    sk_X509_push(theirs, tls.other->cert);
    sk_X509_push(theirs, tls.authority->cert);
    sk_X509_push(others, tls.other->cert);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_http_tls_judge_t judge = rows[i].judge;
        bool is_good = rows[i].fault == SA_HTTP_TLS_NONE;

        ck_assert_msg(shake_hands(&judge, &tls, cert, rows[i].version) == is_good, "row %d: %s",
                      (int)i, judge.verdict.words);
        ck_assert_int_eq(judge.verdict.fault, rows[i].fault);
        ck_assert_int_eq(judge.judged, is_good);
        ck_assert(!is_good || strncmp(judge.version, "TLSv1.", 6) == 0);
    }
    sk_X509_free(theirs);
    sk_X509_free(others);
}

/* ---- proxies ------------------------------------------------------------------------ */

/* REQUEST through a proxy of PLAN, reached as SCHEME. */
static outcome_t open_through(const sa_http_request_t *request_, const sa_test_proxy_plan_t *plan,
                              const char *scheme, sa_http_proxy_t *proxy, apr_pool_t *pool)
{
    sa_test_proxy_t *server = sa_test_proxy_start(plan, pool);
    sa_http_request_t request = *request_;
    outcome_t outcome;

    proxy->url = sa_test_proxy_url(server, scheme, pool);
    proxy->except = "";
    request.proxy = proxy;
    outcome = open_request(&request, pool);
    if (outcome.is_open) {
        exchange(outcome.conn);
        sa_http_conn_close(outcome.conn);
        outcome.conn = NULL;
    }
    sa_test_proxy_stop(server);
    return outcome;
}

SA_TEST(a_connection_goes_through_every_kind_of_proxy)
{
    static const struct {
        const char *scheme;
        sa_test_proxy_how_t how;
        bool with_login;
    } rows[] = {
        {"http", SA_TEST_PROXY_CONNECT, false},  {"http", SA_TEST_PROXY_CONNECT, true},
        {"https", SA_TEST_PROXY_CONNECT, false}, {"https", SA_TEST_PROXY_CONNECT, true},
        {"socks5", SA_TEST_PROXY_SOCKS, false},  {"socks5", SA_TEST_PROXY_SOCKS, true},
        {"socks5h", SA_TEST_PROXY_SOCKS, false}, {"socks5h", SA_TEST_PROXY_SOCKS, true}
    };
    tls_t tls = make_authorities(pool);
    sa_test_cert_t *cert = sa_test_cert_issue(tls.authority, local_names, -HOUR, HOUR, pool);
    sa_test_cert_t *proxy_cert = sa_test_cert_issue(tls.other, local_names, -HOUR, HOUR, pool);
    sa_test_http_t *bare = sa_test_http_start(answers, NULL, pool);
    sa_test_http_t *secure = sa_test_http_start(answers, cert, pool);

    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        bool with_tls = i % 2 == 1;
        bool is_https = strcmp(rows[i / 2].scheme, "https") == 0;
        sa_http_request_t request = request_for(local_url(
            with_tls ? "https" : "http", sa_test_http_port(with_tls ? secure : bare), pool));
        sa_test_proxy_plan_t plan = {
            .how = rows[i / 2].how, .cert = is_https ? proxy_cert : NULL,
            .login = rows[i / 2].with_login ? "ada:" SECRET : NULL
        };
        sa_http_proxy_t proxy = {
            .username = rows[i / 2].with_login ? "ada" : NULL, .password = SECRET,
            .ca_file = is_https ? write_authority(tls.other, pool) : NULL
        };
        outcome_t outcome;

        request.ca_file = tls.ca_file;
        outcome = open_through(&request, &plan, rows[i / 2].scheme, &proxy, pool);
        ck_assert_msg(outcome.is_open, "%s %d: %s", rows[i / 2].scheme, with_tls,
                      outcome.report.words);
    }
    sa_test_http_stop(secure);
    sa_test_http_stop(bare);
}

SA_TEST(connect_says_no_more_than_it_must)
{
    sa_test_http_t *server = sa_test_http_start(answers, NULL, pool);
    sa_test_proxy_t *proxy_server = sa_test_proxy_start(
        &(sa_test_proxy_plan_t){.how = SA_TEST_PROXY_CONNECT}, pool);
    sa_http_proxy_t proxy = {.url = sa_test_proxy_url(proxy_server, "http", pool), .except = ""};
    sa_http_request_t request = request_for(local_url("http", sa_test_http_port(server), pool));
    outcome_t outcome;

    request.proxy = &proxy;
    request.user_agent = "unsaid";
    outcome = open_request(&request, pool);
    assert_open(&outcome);
    ck_assert(sa_http_conn_is_bare(outcome.conn));
    ck_assert_str_eq(sa_http_conn_peer(outcome.conn), sa_test_proxy_url(proxy_server, "http", pool)
                     + strlen("http://"));
    ck_assert_str_eq(sa_test_proxy_asked(proxy_server, pool),
                     apr_psprintf(pool, "CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                                  "Proxy-Connection: Keep-Alive\r\n\r\n",
                                  sa_test_http_port(server), sa_test_http_port(server)));
    sa_http_conn_close(outcome.conn);
    sa_test_proxy_stop(proxy_server);
    sa_test_http_stop(server);
}

SA_TEST(a_server_that_speaks_at_once_is_heard_through_a_proxy)
{
    sa_test_proxy_t *server = sa_test_proxy_start(&(sa_test_proxy_plan_t){
        .how = SA_TEST_PROXY_ANSWER, .text = "HTTP/1.1 200 OK\r\n\r\nINFO {}\r\n"}, pool);
    sa_http_proxy_t proxy = {.url = sa_test_proxy_url(server, "http", pool), .except = ""};
    sa_http_request_t request = request_for("http://bus.invalid:4222");
    outcome_t outcome;
    apr_os_sock_t number;

    request.proxy = &proxy;
    outcome = open_request(&request, pool);
    assert_open(&outcome);
    number = sa_http_conn_take(outcome.conn);
    sa_http_conn_close(outcome.conn);
    read_greeting(number);
    sa_test_proxy_stop(server);
}

SA_TEST(each_refusal_of_an_http_proxy_is_named)
{
    static const struct {
        sa_test_proxy_plan_t plan;
        const char *username;
        sa_http_trouble_t trouble;
        const char *words;
    } rows[] = {
        {{.how = SA_TEST_PROXY_ANSWER, .text = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n"
          "\r\nno"}, NULL, SA_HTTP_TROUBLE_PROXY_REFUSED, "answered with status 403"},
        {{.how = SA_TEST_PROXY_ANSWER, .text = "HTTP/1.1 403 Forbidden\r\nContent-Encoding: br\r\n"
          "\r\n"}, NULL, SA_HTTP_TROUBLE_PROXY_REFUSED, "answered with status 403"},
        {{.how = SA_TEST_PROXY_ANSWER, .text = "HTTP/1.1 302 Found\r\nLocation: http://portal/\r\n"
          "\r\n"}, NULL, SA_HTTP_TROUBLE_PROXY_REFUSED, "answered with status 302"},
        {{.how = SA_TEST_PROXY_ANSWER, .text = "HTTP/1.0 503 Away\r\n\r\n"}, NULL,
         SA_HTTP_TROUBLE_PROXY_REFUSED, "answered with status 503"},
        {{.how = SA_TEST_PROXY_CONNECT}, NULL, SA_HTTP_TROUBLE_PROXY_REFUSED,
         "answered with status 502"},
        {{.how = SA_TEST_PROXY_CONNECT, .login = "ada:" SECRET}, NULL,
         SA_HTTP_TROUBLE_PROXY_AUTH, "wants a login"},
        {{.how = SA_TEST_PROXY_CONNECT, .login = "ada:another"}, "ada",
         SA_HTTP_TROUBLE_PROXY_AUTH, "does not take the login"},
        {{.how = SA_TEST_PROXY_ANSWER, .text = "HTTP/1.1 407 No\r\nProxy-Authenticate: Digest "
          "realm=\"x\", nonce=\"y\"\r\nContent-Length: 0\r\n\r\n"}, "ada",
         SA_HTTP_TROUBLE_PROXY_AUTH, "does not take the login"},
        {{.how = SA_TEST_PROXY_ANSWER, .text = "HTTP/1.1 407 No\r\n\r\n"}, "ada",
         SA_HTTP_TROUBLE_PROXY_AUTH, "does not take the login"},
        {{.how = SA_TEST_PROXY_ANSWER, .text = "INFO {}\r\n\r\n"}, NULL,
         SA_HTTP_TROUBLE_PROXY_REFUSED, "is no HTTP proxy"},
        {{.how = SA_TEST_PROXY_ANSWER, .text = "\r\n"}, NULL,
         SA_HTTP_TROUBLE_PROXY_REFUSED, "is no HTTP proxy"},
        {{.how = SA_TEST_PROXY_ENDLESS}, NULL, SA_HTTP_TROUBLE_PROXY_REFUSED,
         "answers without an end"},
        {{.how = SA_TEST_PROXY_CLOSE}, NULL, SA_HTTP_TROUBLE_PROXY_DOWN, "broke off"},
        {{.how = SA_TEST_PROXY_CLOSE}, "ada", SA_HTTP_TROUBLE_PROXY_DOWN, "broke off"}
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_http_request_t request = request_for(local_url("http", dead_port(pool), pool));
        sa_http_proxy_t proxy = {.username = rows[i].username, .password = SECRET};
        outcome_t outcome = open_through(&request, &rows[i].plan, "http", &proxy, pool);

        ck_assert_msg(!outcome.is_open, "row %d", (int)i);
        assert_trouble(&outcome, rows[i].trouble, rows[i].words);
        ck_assert(strstr(outcome.report.words, proxy.url + strlen("http://")));
    }
}

SA_TEST(a_proxy_that_drips_is_left_in_time)
{
    sa_test_proxy_plan_t plan = {.how = SA_TEST_PROXY_DRIP};
    sa_http_request_t request = request_for("http://127.0.0.1:4222");
    sa_http_proxy_t proxy = {0};
    outcome_t outcome;

    request.timeout = SHORT;
    outcome = open_through(&request, &plan, "http", &proxy, pool);
    assert_trouble(&outcome, SA_HTTP_TROUBLE_TIMEOUT, "made no connection in time");
    ck_assert(outcome.time < SHORT + apr_time_from_sec(1));
}

SA_TEST(each_refusal_of_a_socks_proxy_is_named)
{
    static const struct {
        sa_test_proxy_plan_t plan;
        const char *username;
        sa_http_trouble_t trouble;
        const char *words;
    } rows[] = {
        {{.how = SA_TEST_PROXY_REPLY, .code = 1}, NULL, SA_HTTP_TROUBLE_PROXY_REFUSED,
         "failed by itself"},
        {{.how = SA_TEST_PROXY_REPLY, .code = 2}, NULL, SA_HTTP_TROUBLE_PROXY_REFUSED,
         "does not allow it"},
        {{.how = SA_TEST_PROXY_REPLY, .code = 4}, NULL, SA_HTTP_TROUBLE_PROXY_REFUSED,
         "cannot reach the host"},
        {{.how = SA_TEST_PROXY_REPLY, .code = 5}, NULL, SA_HTTP_TROUBLE_PROXY_REFUSED,
         "found nothing listening there"},
        {{.how = SA_TEST_PROXY_REPLY, .code = 99}, NULL, SA_HTTP_TROUBLE_PROXY_REFUSED,
         "refused"},
        {{.how = SA_TEST_PROXY_SOCKS}, NULL, SA_HTTP_TROUBLE_PROXY_REFUSED,
         "found nothing listening there"},
        {{.how = SA_TEST_PROXY_SOCKS, .login = "ada:" SECRET}, NULL, SA_HTTP_TROUBLE_PROXY_AUTH,
         "wants a login"},
        {{.how = SA_TEST_PROXY_SOCKS, .login = "ada:another"}, "ada", SA_HTTP_TROUBLE_PROXY_AUTH,
         "does not take the login"},
        {{.how = SA_TEST_PROXY_GREETING, .text = "HTTP/1.1 400 Bad Request\r\n\r\n"}, NULL,
         SA_HTTP_TROUBLE_PROXY_REFUSED, "does not speak SOCKS 5"},
        {{.how = SA_TEST_PROXY_CLOSE}, NULL, SA_HTTP_TROUBLE_PROXY_DOWN, "broke off"}
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_http_request_t request = request_for(local_url("http", dead_port(pool), pool));
        sa_http_proxy_t proxy = {.username = rows[i].username, .password = SECRET};
        outcome_t outcome = open_through(&request, &rows[i].plan, "socks5", &proxy, pool);

        assert_trouble(&outcome, rows[i].trouble, rows[i].words);
    }
}

SA_TEST(a_proxy_that_is_not_there_is_not_the_server)
{
    static const char *const schemes[] = {"http", "https", "socks5", "socks5h"};
    sa_http_request_t request = request_for("http://127.0.0.1:4222");
    int port = dead_port(pool);

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        sa_http_proxy_t proxy = {.url = local_url(schemes[i], port, pool), .except = ""};
        outcome_t outcome;

        request.proxy = &proxy;
        outcome = open_request(&request, pool);
        assert_trouble(&outcome, SA_HTTP_TROUBLE_PROXY_DOWN, apr_psprintf(
                           pool, "the proxy 127.0.0.1:%d cannot be reached: ", port));
        proxy.url = apr_pstrcat(pool, schemes[i], "://nobody.invalid:3128", NULL);
        outcome = open_request(&request, pool);
        assert_trouble(&outcome, SA_HTTP_TROUBLE_PROXY_NAME, "nobody.invalid:3128");
    }
}

SA_TEST(a_name_is_looked_up_here_or_by_the_proxy)
{
    sa_test_proxy_t *server = sa_test_proxy_start(
        &(sa_test_proxy_plan_t){.how = SA_TEST_PROXY_REPLY, .code = 4}, pool);
    sa_http_request_t request = request_for("http://nobody.invalid:4222");
    sa_http_proxy_t proxy = {.url = sa_test_proxy_url(server, "socks5", pool), .except = ""};
    outcome_t outcome;

    request.proxy = &proxy;
    outcome = open_request(&request, pool);
    assert_trouble(&outcome, SA_HTTP_TROUBLE_NAME, "the name nobody.invalid cannot be looked up");
    proxy.url = sa_test_proxy_url(server, "socks5h", pool);
    outcome = open_request(&request, pool);
    assert_trouble(&outcome, SA_HTTP_TROUBLE_PROXY_REFUSED, "cannot reach the host");
    ck_assert_str_eq(sa_test_proxy_asked(server, pool), "nobody.invalid:4222");
    sa_test_proxy_stop(server);
}

SA_TEST(the_certificate_of_an_https_proxy_is_its_own_matter)
{
    tls_t tls = make_authorities(pool);
    sa_test_cert_t *good = sa_test_cert_issue(tls.authority, local_names, -HOUR, HOUR, pool);
    sa_test_cert_t *old = sa_test_cert_issue(tls.authority, local_names, -2 * DAY, -DAY, pool);
    sa_test_http_t *server = sa_test_http_start(answers, old, pool);
    sa_http_request_t request = request_for(local_url("https", sa_test_http_port(server), pool));
    sa_http_proxy_t proxy = {.ca_file = tls.ca_file};
    sa_test_proxy_plan_t plan = {.how = SA_TEST_PROXY_CONNECT, .cert = old};
    outcome_t outcome;

    request.ca_file = tls.ca_file;
    request.insecure = true;        /* of the server: not of the proxy */
    outcome = open_through(&request, &plan, "https", &proxy, pool);
    assert_trouble(&outcome, SA_HTTP_TROUBLE_PROXY_TLS, "certificate has expired");
    ck_assert_int_eq(outcome.report.verdict.fault, SA_HTTP_TLS_EXPIRED);
    plan.cert = good;
    request.insecure = false;
    outcome = open_through(&request, &plan, "https", &proxy, pool);
    assert_fault(&outcome, SA_HTTP_TLS_EXPIRED, "certificate has expired");
    proxy.ca_file = NULL;
    outcome = open_through(&request, &plan, "https", &proxy, pool);
    assert_trouble(&outcome, SA_HTTP_TROUBLE_PROXY_TLS, "unable to get local issuer certificate");
    proxy.ca_file = "/nowhere/ca.pem";
    outcome = open_through(&request, &plan, "https", &proxy, pool);
    assert_trouble(&outcome, SA_HTTP_TROUBLE_PROXY_TLS, "/nowhere/ca.pem");
    ck_assert_int_eq(outcome.report.verdict.fault, SA_HTTP_TLS_FILES);
    plan = (sa_test_proxy_plan_t){.how = SA_TEST_PROXY_GREETING, .text = "220 hello\r\n"};
    proxy.ca_file = tls.ca_file;
    outcome = open_through(&request, &plan, "https", &proxy, pool);
    assert_trouble(&outcome, SA_HTTP_TROUBLE_PROXY_TLS, "wrong version number");
    sa_test_http_stop(server);
}

SA_TEST(faults_behind_a_proxy_are_the_servers)
{
    tls_t tls = make_authorities(pool);
    sa_test_cert_t *cert = sa_test_cert_issue(tls.authority, "elsewhere.test", -HOUR, HOUR, pool);
    sa_test_http_t *server = sa_test_http_start(answers, cert, pool);
    sa_http_request_t request = request_for(local_url("https", sa_test_http_port(server), pool));
    sa_http_proxy_t proxy = {0};
    outcome_t outcome;

    request.ca_file = tls.ca_file;
    outcome = open_through(&request, &(sa_test_proxy_plan_t){.how = SA_TEST_PROXY_CONNECT}, "http",
                           &proxy, pool);
    assert_fault(&outcome, SA_HTTP_TLS_NAME, "wanted 127.0.0.1");
    outcome = open_through(&request, &(sa_test_proxy_plan_t){.how = SA_TEST_PROXY_SOCKS},
                           "socks5h", &proxy, pool);
    assert_fault(&outcome, SA_HTTP_TLS_NAME, "wanted 127.0.0.1");
    sa_test_http_stop(server);
}

SA_TEST(an_excepted_host_is_reached_without_the_proxy)
{
    static const struct {
        const char *except;
        bool is_excepted;
    } rows[] = {
        {"*", true}, {"127.0.0.1", true}, {"other.test, 127.0.0.0/8", true},
        {"10.0.0.0/8,.local", false}, {"27.0.0.1", false}, {"", false}
    };
    sa_test_http_t *server = sa_test_http_start(answers, NULL, pool);
    sa_http_request_t request = request_for(local_url("http", sa_test_http_port(server), pool));
    sa_http_proxy_t proxy = {.url = local_url("https", dead_port(pool), pool)};

    request.proxy = &proxy;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        outcome_t outcome;

        proxy.except = rows[i].except;
        outcome = open_request(&request, pool);
        ck_assert_msg(outcome.is_open == rows[i].is_excepted, "%s", rows[i].except);
        if (outcome.is_open) {
            sa_http_conn_close(outcome.conn);
        } else {
            assert_trouble(&outcome, SA_HTTP_TROUBLE_PROXY_DOWN, "cannot be reached");
        }
    }
    sa_test_http_stop(server);
}

SA_TEST(the_environment_alone_changes_nothing)
{
    sa_test_http_t *server = sa_test_http_start(answers, NULL, pool);
    sa_http_request_t request = request_for(local_url("http", sa_test_http_port(server), pool));
    const char *dead = local_url("http", dead_port(pool), pool);
    sa_test_proxy_t *proxy_server = sa_test_proxy_start(
        &(sa_test_proxy_plan_t){.how = SA_TEST_PROXY_CONNECT}, pool);
    sa_http_proxy_t proxy = {.url = sa_test_proxy_url(proxy_server, "http", pool), .except = ""};
    outcome_t outcome;

    setenv("http_proxy", dead, 1);
    setenv("https_proxy", dead, 1);
    setenv("all_proxy", dead, 1);
    setenv("no_proxy", "*", 1);
    outcome = open_request(&request, pool);
    assert_open(&outcome);
    sa_http_conn_close(outcome.conn);
    request.proxy = &proxy;
    outcome = open_request(&request, pool);
    assert_open(&outcome);
    sa_http_conn_close(outcome.conn);
    ck_assert_int_eq(sa_test_proxy_connections(proxy_server), 1);
    sa_test_proxy_stop(proxy_server);
    sa_test_http_stop(server);
}

/* ---- what is left ------------------------------------------------------------------- */

/* Open descriptors; those of IP sockets that a child would inherit in *INHERITED. */
static int count_descriptors(int *inherited)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;
    int count = 0;

    ck_assert_ptr_nonnull(dir);
    *inherited = 0;
    for (entry = readdir(dir); entry; entry = readdir(dir)) {
        int number = (int)strtol(entry->d_name, NULL, 10);
        struct sockaddr_storage address;
        socklen_t length = sizeof(address);

        count++;
        if (getsockname(number, (struct sockaddr *)&address, &length) == 0
            && address.ss_family != AF_UNIX && (fcntl(number, F_GETFD) & FD_CLOEXEC) == 0) {
            (*inherited)++;
        }
    }
    closedir(dir);
    return count;
}

SA_TEST(two_hundred_connections_leave_no_descriptor)
{
    sa_test_cert_t *authority = sa_test_cert_authority("an authority", pool);
    sa_test_cert_t *cert = sa_test_cert_issue(authority, local_names, -HOUR, HOUR, pool);
    sa_test_http_t *server = sa_test_http_start(answers, cert, pool);
    int port = 0;
    apr_socket_t *listener = listen_on("127.0.0.1", &port, pool);
    sa_http_request_t requests[] = {
        request_for(apr_psprintf(pool, "http://localhost:%d", port)),
        request_for(local_url("https", sa_test_http_port(server), pool)),
        request_for(apr_psprintf(pool, "http://localhost:%d", dead_port(pool))),
        request_for("http://nobody.invalid:4222")
    };
    int inherited = 0;
    int before = 0;

    requests[1].ca_file = write_authority(authority, pool);
    for (int i = 0; i < 204; i++) {
        apr_pool_t *turn = sa_pool_create(pool);
        int which = i % 4 < 3 || i < 4 ? i % 4 : 2;     /* a name costs tens of milliseconds */
        outcome_t outcome = open_request(&requests[which], turn);

        if (which < 2) {
            assert_open(&outcome);
            count_descriptors(&inherited);
            ck_assert_int_eq(inherited, 0);
        }
        if (i % 8 == 0) {
            close(sa_http_conn_take(outcome.conn));
        }
        if (i % 3 == 0 && outcome.is_open) {
            sa_http_conn_close(outcome.conn);
        }
        apr_pool_destroy(turn);
        if (i == 3) {
            before = count_descriptors(&inherited);
        }
    }
    sa_test_http_stop(server);      /* its ends of the connections */
    ck_assert_int_le(count_descriptors(&inherited), before);
    apr_socket_close(listener);
}

SA_TEST_MAIN("http_conn", a_bare_connection_carries_bytes_and_says_to_where,
             a_connection_with_tls_carries_bytes, the_end_of_a_connection_is_seen,
             a_socket_that_was_taken_outlives_its_connection,
             the_other_address_of_a_name_is_tried, what_does_not_answer_is_told_apart,
             a_server_that_says_nothing_under_tls_is_left, a_proxy_that_says_nothing_is_left,
             each_fault_of_a_certificate_is_named, a_name_is_checked_as_well_as_an_address,
             a_ca_file_is_trusted_instead_of_the_system,
             a_pin_counts_even_where_nothing_else_is_looked_at,
             an_older_tls_than_allowed_is_refused,
             a_client_certificate_is_shown_and_its_refusal_is_seen,
             the_judge_looks_at_version_authorities_and_pins,
             what_speaks_no_tls_is_recognised,
             a_server_that_breaks_off_the_handshake_is_recognised,
             a_connection_goes_through_every_kind_of_proxy, connect_says_no_more_than_it_must,
             a_server_that_speaks_at_once_is_heard_through_a_proxy,
             each_refusal_of_an_http_proxy_is_named, a_proxy_that_drips_is_left_in_time,
             each_refusal_of_a_socks_proxy_is_named, a_proxy_that_is_not_there_is_not_the_server,
             a_name_is_looked_up_here_or_by_the_proxy,
             the_certificate_of_an_https_proxy_is_its_own_matter,
             faults_behind_a_proxy_are_the_servers,
             an_excepted_host_is_reached_without_the_proxy, the_environment_alone_changes_nothing,
             two_hundred_connections_leave_no_descriptor)
