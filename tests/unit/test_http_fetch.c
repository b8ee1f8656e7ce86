/* One transfer, waited for; and what a request with a credential must not do. */
#include "sa_http.h"

#include <stdio.h>

#include <apr_allocator.h>
#include <apr_atomic.h>
#include <apr_strings.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>

#include "sa_test.h"
#include "sa_test_http.h"
#include "sa_test_server.h"
#include "sa_time.h"

#define SECRET "s3cret-t0ken"

static sa_http_request_t request_for(const char *url)
{
    return (sa_http_request_t){.url = url, .user_agent = "test", .limit_bytes = 64 * 1024,
                               .timeout = apr_time_from_sec(20)};
}

typedef struct outcome_t {
    sa_http_response_t response;
    apr_status_t code;
    char text[1024];
} outcome_t;

/* Fetch, with the error as a text; it never has the secret. */
static outcome_t fetch(const sa_http_request_t *request, apr_pool_t *pool)
{
    outcome_t outcome = {.code = APR_SUCCESS};
    sa_error_t *err;

    SA_ASSERT_OK(sa_http_library_open());
    err = sa_http_fetch(&outcome.response, request, NULL, pool);
    outcome.code = err ? err->code : APR_SUCCESS;
    sa_error_text(err, outcome.text, sizeof(outcome.text));
    sa_error_clear(err);
    ck_assert_msg(strstr(outcome.text, SECRET) == NULL, "%s", outcome.text);
    return outcome;
}

static bool send_json(sa_test_http_connection_t *connection, const void *text)
{
    char head[256];

    snprintf(head, sizeof(head), "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n"
             "Content-Length: %d\r\n\r\n", (int)strlen(text));
    return sa_test_http_send(connection, head, strlen(head))
           && sa_test_http_send(connection, text, strlen(text));
}

static const sa_test_http_answer_t answers[] = {
    {"/page", sa_test_http_text, "a 1\n"},
    {"/refused", send_json, "{\"message\":\"Failed to authenticate. " SECRET "\"}"},
    {"/endless", sa_test_http_endless, NULL}, {"/drip", sa_test_http_drip, NULL},
    {"/silence", sa_test_http_silence, NULL},
    {"/short", sa_test_http_raw, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{}"},
    {NULL, NULL, NULL}
};

/* ---- what is asked ------------------------------------------------------------ */

SA_TEST(an_answer_outlives_its_engine)
{
    sa_test_http_t *server = sa_test_http_start(answers, NULL, pool);
    sa_http_request_t request = request_for(sa_test_http_url(server, "/page", pool));
    outcome_t outcome = fetch(&request, pool);

    sa_test_http_stop(server);
    ck_assert_str_eq(outcome.text, "success");
    ck_assert_int_eq(outcome.response.status, 200);
    ck_assert_str_eq(outcome.response.data, "a 1\n");
    ck_assert_uint_eq(outcome.response.length, 4);
    ck_assert_str_eq(outcome.response.content_type, "text/plain; version=0.0.4");
    ck_assert(!outcome.response.untrusted && outcome.response.retry_after == 0);
}

SA_TEST(a_token_and_a_body_go_as_they_should)
{
    static const struct {
        const char *token;
        const char *post;
        const char *line;       /* of the head */
        bool there;
        const char *body;
    } rows[] = {
        {SECRET, NULL, "\r\nAuthorization: " SECRET "\r\n", true, ""},
        {NULL, NULL, "Authorization", false, ""}, {NULL, NULL, "GET /page HTTP/1.1\r\n", true, ""},
        {SECRET, "", "\r\nAuthorization: " SECRET "\r\n", true, ""},
        {SECRET, "", "POST /page HTTP/1.1\r\n", true, ""},
        {SECRET, "", "\r\nContent-Length: 0\r\n", true, ""},
        {SECRET, "", "Content-Type", false, ""}, {NULL, "{\"a\":1}", "Expect", false, "{\"a\":1}"},
        {NULL, "{\"a\":1}", "\r\nContent-Type: application/json\r\n", true, "{\"a\":1}"},
        {NULL, "{\"a\":1}", "\r\nContent-Length: 7\r\n", true, "{\"a\":1}"},
        {NULL, "{\"b\":2}", "POST /page HTTP/1.1\r\n", true, "{\"b\":2}"},
    };
    sa_test_http_t *server = sa_test_http_start(answers, NULL, pool);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_http_request_t request = request_for(sa_test_http_url(server, "/page", pool));
        const char *head;

        request.token = rows[i].token;
        request.post = rows[i].post;
        ck_assert_int_eq(fetch(&request, pool).response.status, 200);
        head = sa_test_http_last_request(server, pool);
        ck_assert_msg((strstr(head, rows[i].line) != NULL) == rows[i].there, "row %d: %s", (int)i,
                      head);
        ck_assert_str_eq(sa_test_http_last_body(server, pool), rows[i].body);
    }
    sa_test_http_stop(server);
}

SA_TEST(a_body_of_many_kilobytes_goes_at_once)
{
    sa_test_http_t *server = sa_test_http_start(answers, NULL, pool);
    sa_http_request_t request = request_for(sa_test_http_url(server, "/page", pool));
    char *body = apr_pcalloc(pool, 60001);

    memset(body, 'x', 60000);
    request.post = body;
    ck_assert_int_eq(fetch(&request, pool).response.status, 200);
    ck_assert_str_eq(sa_test_http_last_body(server, pool), body);
    sa_test_http_stop(server);
}

SA_TEST(a_token_with_a_line_end_is_refused)
{
    sa_http_request_t request = request_for("http://127.0.0.1:1/");

    request.token = SECRET "\r\nX-Evil: 1";
    ck_assert_int_eq(fetch(&request, pool).code, SA_ERR_CONFIG);
    request.token = NULL;
    request.url = "http://" SECRET "@/";
    ck_assert_int_eq(fetch(&request, pool).code, SA_ERR_CONFIG);
}

/* ---- what comes ----------------------------------------------------------------- */

SA_TEST(an_answer_that_says_no_comes_with_its_words)
{
    sa_test_http_t *server = sa_test_http_start(answers, NULL, pool);
    sa_http_request_t request = request_for(sa_test_http_url(server, "/refused", pool));
    outcome_t outcome;

    request.post = "{\"password\":\"" SECRET "\"}";
    outcome = fetch(&request, pool);
    ck_assert_int_eq(outcome.code, SA_ERR_HTTP_STATUS);
    ck_assert_int_eq(outcome.response.status, 400);
    ck_assert_ptr_nonnull(strstr(outcome.response.data, "Failed to authenticate."));
    ck_assert_str_eq(outcome.response.content_type, "application/json");
    sa_test_http_stop(server);
}

/* What began well and did not end is no answer. */
SA_TEST(an_answer_without_an_end_is_none)
{
    static const struct {
        const char *path;
        apr_status_t code;
    } rows[] = {
        {"/endless", SA_ERR_LIMIT}, {"/drip", SA_ERR_TIMEOUT}, {"/silence", SA_ERR_TIMEOUT},
        {"/short", SA_ERR_HTTP},
    };
    sa_test_http_t *server = sa_test_http_start(answers, NULL, pool);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_http_request_t request = request_for(sa_test_http_url(server, rows[i].path, pool));
        apr_interval_time_t started = sa_time_mono();
        outcome_t outcome;

        request.token = SECRET;
        request.timeout = rows[i].code == SA_ERR_TIMEOUT ? apr_time_from_msec(500)
                                                         : request.timeout;
        outcome = fetch(&request, pool);
        ck_assert_msg(outcome.code == rows[i].code, "%s: %s", rows[i].path, outcome.text);
        ck_assert_int_eq(outcome.response.status, 0);
        ck_assert(outcome.response.length <= request.limit_bytes);
        ck_assert(sa_time_mono() - started < apr_time_from_sec(10));
    }
    sa_test_http_stop(server);
}

SA_TEST(nobody_answers_and_it_is_said)
{
    sa_http_request_t request = request_for("http://127.0.0.1:1/");
    outcome_t outcome;

    request.token = SECRET;
    outcome = fetch(&request, pool);
    ck_assert_int_eq(outcome.code, SA_ERR_HTTP);
    ck_assert_int_eq(outcome.response.status, 0);
    ck_assert_str_eq(outcome.response.data, "");
    ck_assert_str_eq(outcome.response.content_type, "");
}

/* Neither here nor at another host. */
SA_TEST(a_credential_follows_no_redirect)
{
    static const char *const lines[] = {"301 Moved", "302 Found", "303 See Other",
                                        "307 Temporary", "308 Permanent"};
    sa_test_http_t *other = sa_test_http_start(answers, NULL, pool);

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        const char *bytes = apr_psprintf(pool, "HTTP/1.1 %s\r\nLocation: %s\r\n"
                                         "Content-Length: 0\r\n\r\n", lines[i],
                                         sa_test_http_url(other, "/page", pool));
        const sa_test_http_answer_t moved[] = {{"/moved", sa_test_http_raw, bytes},
                                               {NULL, NULL, NULL}};
        sa_test_http_t *server = sa_test_http_start(moved, NULL, pool);
        sa_http_request_t request = request_for(sa_test_http_url(server, "/moved", pool));
        outcome_t outcome;

        request.token = SECRET;
        request.post = "{}";
        outcome = fetch(&request, pool);
        ck_assert_int_eq(outcome.code, SA_ERR_HTTP_STATUS);
        ck_assert_int_eq(outcome.response.status, strtol(lines[i], NULL, 10));
        ck_assert_int_eq(sa_test_http_requests(server), 1);
        sa_test_http_stop(server);
    }
    ck_assert_int_eq(sa_test_http_connections(other), 0);
    sa_test_http_stop(other);
}

SA_TEST(retry_after_is_read_in_seconds)
{
    static const struct {
        const char *headers;
        int seconds;
    } rows[] = {
        {"", 0}, {"Retry-After: 120\r\n", 120}, {"retry-after:7  \r\n", 7},
        {"Retry-After: 0\r\n", 0}, {"Retry-After:\r\n", 0}, {"Retry-After: -5\r\n", 0},
        {"Retry-After: 1.5\r\n", 0}, {"Retry-After: soon\r\n", 0}, {"Retry-After: 5s\r\n", 0},
        {"Retry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n", 0}, {"Retry-After: 86400\r\n", 86400},
        {"Retry-After: 86401\r\n", 86400}, {"X-Retry-After: 9\r\n", 0},
        {"Retry-After: 99999999999999999999999999999999\r\n", 86400},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *bytes = apr_pstrcat(pool, "HTTP/1.1 103 Early Hints\r\nRetry-After: 33\r\n\r\n"
                                        "HTTP/1.1 429 Too Many Requests\r\n", rows[i].headers,
                                        "Content-Length: 0\r\n\r\n", NULL);
        const sa_test_http_answer_t limited[] = {{"/limited", sa_test_http_raw, bytes},
                                                 {NULL, NULL, NULL}};
        sa_test_http_t *server = sa_test_http_start(limited, NULL, pool);
        sa_http_request_t request = request_for(sa_test_http_url(server, "/limited", pool));
        outcome_t outcome = fetch(&request, pool);

        ck_assert_int_eq(outcome.response.status, 429);
        ck_assert_msg(outcome.response.retry_after == apr_time_from_sec(rows[i].seconds),
                      "%s: %d", rows[i].headers, (int)apr_time_sec(outcome.response.retry_after));
        sa_test_http_stop(server);
    }
}

/* ---- trust ------------------------------------------------------------------------ */

static const char *pin_of(const sa_test_cert_t *cert, apr_pool_t *pool)
{
    unsigned char *der = NULL;
    int length = i2d_PUBKEY(cert->key, &der);
    unsigned char hash[SHA256_DIGEST_LENGTH];
    char *text = apr_pcalloc(pool, 64);

    ck_assert_int_gt(length, 0);
    SHA256(der, (size_t)length, hash);
    OPENSSL_free(der);
    EVP_EncodeBlock((unsigned char *)text, hash, sizeof(hash));
    return text;
}

SA_TEST(only_the_pinned_key_is_believed)
{
    sa_test_cert_t *ca = sa_test_cert_authority("test authority", pool);
    sa_test_cert_t *cert = sa_test_cert_issue(ca, "127.0.0.1", -60, 3600, pool);
    const char *right = pin_of(cert, pool);
    const char *wrong = pin_of(ca, pool);
    const char *ca_file = apr_pstrcat(pool, sa_test_dir(pool), "/ca.pem", NULL);
    const struct {
        const char *pin;
        bool own_ca;
        bool insecure;
        bool good;
    } rows[] = {
        {NULL, true, false, true}, {right, true, false, true}, {wrong, true, false, false},
        {apr_pstrcat(pool, wrong, " ", right, NULL), true, false, true},
        {apr_pstrcat(pool, right, " ", wrong, NULL), true, false, true},
        {apr_pstrcat(pool, wrong, " ", wrong, NULL), true, false, false},
        {right, false, false, false},       /* the certificate counts all the same */
        {wrong, false, true, false}, {right, false, true, true}, {NULL, false, false, false},
    };
    sa_test_http_t *server = sa_test_http_start(answers, cert, pool);

    sa_test_cert_write(ca, ca_file);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_http_request_t request = request_for(sa_test_http_url(server, "/page", pool));
        int before = sa_test_http_requests(server);
        outcome_t outcome;

        request.token = SECRET;
        request.pin_sha256 = rows[i].pin;
        request.ca_file = rows[i].own_ca ? ca_file : NULL;
        request.insecure = rows[i].insecure;
        outcome = fetch(&request, pool);
        ck_assert_msg((outcome.code == APR_SUCCESS) == rows[i].good, "row %d: %s", (int)i,
                      outcome.text);
        ck_assert_int_eq(outcome.response.untrusted, !rows[i].good);
        ck_assert_int_eq(sa_test_http_requests(server) - before, rows[i].good ? 1 : 0);
        if (rows[i].own_ca && !rows[i].good) {
            ck_assert_msg(strstr(outcome.text, "not the pinned one"), "%s", outcome.text);
        }
    }
    sa_test_http_stop(server);
}

SA_TEST(old_tls_is_not_spoken)
{
    static const struct {
        int version;
        bool good;
    } rows[] = {{TLS1_VERSION, false}, {TLS1_1_VERSION, false}, {TLS1_2_VERSION, true},
                {TLS1_3_VERSION, true}};
    sa_test_cert_t *ca = sa_test_cert_authority("test authority", pool);
    sa_test_http_t *server =
        sa_test_http_start(answers, sa_test_cert_issue(ca, "127.0.0.1", -60, 60, pool), pool);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_http_request_t request = request_for(sa_test_http_url(server, "/page", pool));
        outcome_t outcome;

        sa_test_http_limit_tls(server, rows[i].version);
        request.insecure = true;
        outcome = fetch(&request, pool);
        ck_assert_msg((outcome.code == APR_SUCCESS) == rows[i].good, "row %d: %s", (int)i,
                      outcome.text);
        ck_assert(rows[i].good || strstr(outcome.text, "TLS 1.2 or later"));
        ck_assert(!outcome.response.untrusted);
    }
    sa_test_http_stop(server);
}

/* ---- stopping ----------------------------------------------------------------------- */

static apr_uint32_t stop;               /* atomic */

/* The server's thread: stop whoever asked, and say nothing. */
static bool stop_it(sa_test_http_connection_t *connection, const void *nothing)
{
    apr_atomic_set32(&stop, 1);
    return sa_test_http_silence(connection, nothing);
}

SA_TEST(a_stop_ends_the_wait)
{
    static const sa_test_http_answer_t stopping[] = {{"/stop", stop_it, NULL}, {NULL, NULL, NULL}};
    sa_test_http_t *server = sa_test_http_start(stopping, NULL, pool);
    sa_http_request_t request = request_for(sa_test_http_url(server, "/stop", pool));
    sa_http_response_t response;

    SA_ASSERT_OK(sa_http_library_open());
    SA_ASSERT_ERR(sa_http_fetch(&response, &request, &stop, pool), SA_ERR_CANCELLED);
    /* and not by the request's own time limit, which would be another code */
    ck_assert_int_eq(response.status, 0);
    /* and keeps it from beginning */
    SA_ASSERT_ERR(sa_http_fetch(&response, &request, &stop, pool), SA_ERR_CANCELLED);
    ck_assert_int_eq(sa_test_http_requests(server), 1);
    sa_test_http_stop(server);
}

/* ---- what stays behind ---------------------------------------------------------------- */

/* The allocator keeps what the pool gives back, so that it can be looked at. */
SA_TEST(an_answer_is_wiped_with_its_pool)
{
    sa_test_http_t *server = sa_test_http_start(answers, NULL, pool);
    sa_http_request_t request = request_for(sa_test_http_url(server, "/refused", pool));
    apr_allocator_t *allocator;
    apr_pool_t *own;
    sa_http_response_t response;

    SA_ASSERT_OK(sa_http_library_open());
    ck_assert_int_eq(apr_allocator_create(&allocator), APR_SUCCESS);
    ck_assert_int_eq(apr_pool_create_unmanaged_ex(&own, NULL, allocator), APR_SUCCESS);
    SA_ASSERT_ERR(sa_http_fetch(&response, &request, NULL, own), SA_ERR_HTTP_STATUS);
    ck_assert_ptr_nonnull(strstr(response.data, SECRET));
    apr_pool_clear(own);
    for (size_t i = 0; i < response.length; i++) {
        ck_assert_int_eq(response.data[i], '\0');
    }
    apr_pool_destroy(own);
    apr_allocator_destroy(allocator);
    sa_test_http_stop(server);
}

SA_TEST_MAIN("http_fetch", an_answer_outlives_its_engine, a_token_and_a_body_go_as_they_should,
             a_body_of_many_kilobytes_goes_at_once, a_token_with_a_line_end_is_refused,
             an_answer_that_says_no_comes_with_its_words, an_answer_without_an_end_is_none,
             nobody_answers_and_it_is_said, a_credential_follows_no_redirect,
             retry_after_is_read_in_seconds, only_the_pinned_key_is_believed,
             old_tls_is_not_spoken, a_stop_ends_the_wait, an_answer_is_wiped_with_its_pool)
