/* The HTTP client against a server that misbehaves. */
#include "sa_http.h"

#include <stdio.h>

#include <apr_env.h>
#include <apr_file_io.h>
#include <apr_strings.h>

#include "sa_os_host.h"
#include "sa_os_thread.h"
#include "sa_test.h"
#include "sa_test_http.h"
#include "sa_time.h"

#define MIB (1024 * 1024)

/* A sanitizer's own memory hides ours: then only a leak of everything counts. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifdef SANITIZED
#define GROWTH_ALLOWED (64 * MIB)
#define PEAK_ALLOWED (256 * MIB)
#else
#define GROWTH_ALLOWED (MIB / 4)
#define PEAK_ALLOWED (12 * MIB)
#endif

/* What one request brought. */
typedef struct outcome_t {
    int calls;
    long status;
    apr_status_t code;          /* of the error; 0 for none */
    char text[1024];
    char type[128];
    char *data;
    size_t length;
    apr_interval_time_t duration;
    apr_interval_time_t ended;
    apr_pool_t *pool;
} outcome_t;

static void note(void *baton, const sa_http_response_t *response, sa_error_t *err)
{
    outcome_t *outcome = baton;

    outcome->calls++;
    outcome->status = response->status;
    outcome->code = err ? err->code : APR_SUCCESS;
    sa_error_text(err, outcome->text, sizeof(outcome->text));
    apr_cpystrn(outcome->type, response->content_type, sizeof(outcome->type));
    ck_assert_int_eq(response->data[response->length], '\0');
    outcome->data = apr_pstrmemdup(outcome->pool, response->data, response->length);
    outcome->length = response->length;
    outcome->duration = response->duration;
    outcome->ended = sa_time_mono();
    sa_error_clear(err);
}

static sa_http_request_t request_for(const char *url)
{
    sa_http_request_t request = {.url = url, .user_agent = "test", .limit_bytes = MIB,
                                 .timeout = apr_time_from_sec(20)};

    return request;
}

static void poll_until_idle(sa_http_t *http)
{
    apr_interval_time_t deadline = sa_time_mono() + apr_time_from_sec(60);

    while (sa_http_running(http) > 0) {
        ck_assert_msg(sa_time_mono() < deadline, "a transfer does not end");
        sa_http_poll(http, deadline);
    }
}

static sa_http_t *open_engine(apr_pool_t *pool)
{
    sa_http_t *http;

    SA_ASSERT_OK(sa_http_library_open());
    SA_ASSERT_OK(sa_http_create(&http, pool));
    return http;
}

static outcome_t *fetch(sa_http_t *http, const sa_http_request_t *request, apr_pool_t *pool)
{
    outcome_t *outcome = apr_pcalloc(pool, sizeof(*outcome));

    outcome->pool = pool;
    SA_ASSERT_OK(sa_http_start(http, request, note, outcome));
    poll_until_idle(http);
    ck_assert_int_eq(outcome->calls, 1);
    return outcome;
}

/* ---- what goes well ----------------------------------------------------------- */

static const sa_test_http_answer_t kind_answers[] = {
    {"/page", sa_test_http_text, "a 1\n"},
    {"/empty", sa_test_http_text, ""},
    {"/gzip", sa_test_http_gzip, "packed 1\n"},
    {NULL, NULL, NULL}
};

SA_TEST(a_page_comes_whole)
{
    sa_http_t *http = open_engine(pool);
    sa_test_http_t *server = sa_test_http_start(kind_answers, NULL, pool);
    sa_http_request_t request = request_for(sa_test_http_url(server, "/page", pool));
    outcome_t *outcome = fetch(http, &request, pool);

    ck_assert_str_eq(outcome->text, "success");
    ck_assert_int_eq(outcome->status, 200);
    ck_assert_str_eq(outcome->type, "text/plain; version=0.0.4");
    ck_assert_str_eq(outcome->data, "a 1\n");
    ck_assert_uint_eq(outcome->length, 4);
    ck_assert(outcome->duration > 0 && outcome->duration < apr_time_from_sec(20));
    request.url = sa_test_http_url(server, "/empty", pool);
    outcome = fetch(http, &request, pool);
    ck_assert_int_eq(outcome->status, 200);
    ck_assert_uint_eq(outcome->length, 0);
    sa_test_http_stop(server);
}

SA_TEST(a_compressed_page_is_unpacked)
{
    sa_http_t *http = open_engine(pool);
    sa_test_http_t *server = sa_test_http_start(kind_answers, NULL, pool);
    sa_http_request_t request = request_for(sa_test_http_url(server, "/gzip", pool));

    ck_assert_str_eq(fetch(http, &request, pool)->data, "packed 1\n");
    ck_assert(strstr(sa_test_http_last_request(server, pool),
                     "Accept-Encoding: gzip, deflate\r\n") != NULL);
    sa_test_http_stop(server);
}

SA_TEST(headers_say_who_asks_and_for_what)
{
    static const struct {
        const char *username;
        const char *password;
        const char *bearer;
        const char *line;       /* expected */
    } rows[] = {
        {NULL, NULL, NULL, "GET /page HTTP/1.1\r\n"},
        {NULL, NULL, NULL, "Accept: text/plain\r\n"},
        {NULL, NULL, NULL, "User-Agent: test\r\n"},
        {NULL, NULL, "t0ken", "Authorization: Bearer t0ken\r\n"},
        {"aladdin", "opensesame", NULL, "Authorization: Basic YWxhZGRpbjpvcGVuc2VzYW1l\r\n"},
        {"x", NULL, NULL, "Authorization: Basic eDo=\r\n"}
    };
    sa_http_t *http = open_engine(pool);
    sa_test_http_t *server = sa_test_http_start(kind_answers, NULL, pool);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_http_request_t request = request_for(sa_test_http_url(server, "/page", pool));

        request.accept = "text/plain";
        request.username = rows[i].username;
        request.password = rows[i].password;
        request.bearer = rows[i].bearer;
        ck_assert_int_eq(fetch(http, &request, pool)->status, 200);
        ck_assert_msg(strstr(sa_test_http_last_request(server, pool), rows[i].line) != NULL,
                      "not there: %s", rows[i].line);
    }
    ck_assert_int_eq(sa_test_http_connections(server), 1);  /* and one connection did for all */
    sa_test_http_stop(server);
}

SA_TEST(a_proxy_from_the_environment_is_not_used)
{
    sa_http_t *http = open_engine(pool);
    sa_test_http_t *server = sa_test_http_start(kind_answers, NULL, pool);
    sa_http_request_t request = request_for(sa_test_http_url(server, "/page", pool));

    apr_env_set("http_proxy", "http://127.0.0.1:1", pool);
    apr_env_set("all_proxy", "http://127.0.0.1:1", pool);
    ck_assert_str_eq(fetch(http, &request, pool)->text, "success");
    sa_test_http_stop(server);
}

SA_TEST(many_transfers_run_side_by_side)
{
    enum { COUNT = 40 };
    sa_http_t *http = open_engine(pool);
    sa_test_http_t *server = sa_test_http_start(kind_answers, NULL, pool);
    sa_http_request_t request = request_for(sa_test_http_url(server, "/page", pool));
    outcome_t *outcomes = apr_pcalloc(pool, COUNT * sizeof(*outcomes));

    for (int i = 0; i < COUNT; i++) {
        outcomes[i].pool = pool;
        SA_ASSERT_OK(sa_http_start(http, &request, note, &outcomes[i]));
    }
    ck_assert_int_eq(sa_http_running(http), COUNT);
    poll_until_idle(http);
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(outcomes[i].calls, 1);
        ck_assert_str_eq(outcomes[i].text, "success");
    }
    sa_test_http_stop(server);
}

typedef struct chain_t {
    sa_http_t *http;
    sa_http_request_t request;
    int left;
    int failed;
} chain_t;

static void start_next(void *baton, const sa_http_response_t *response, sa_error_t *err)
{
    chain_t *chain = baton;

    (void)response;
    chain->failed += err != SA_OK;
    sa_error_clear(err);
    if (--chain->left > 0) {
        SA_ASSERT_OK(sa_http_start(chain->http, &chain->request, start_next, chain));
    }
}

SA_TEST(a_transfer_may_be_started_from_a_callback)
{
    sa_test_http_t *server = sa_test_http_start(kind_answers, NULL, pool);
    chain_t chain = {.http = open_engine(pool), .left = 5};

    chain.request = request_for(sa_test_http_url(server, "/page", pool));
    SA_ASSERT_OK(sa_http_start(chain.http, &chain.request, start_next, &chain));
    poll_until_idle(chain.http);
    ck_assert_int_eq(chain.left, 0);
    ck_assert_int_eq(chain.failed, 0);
    sa_test_http_stop(server);
}

/* ---- what does not -------------------------------------------------------------- */

static bool endless_header_line(sa_test_http_connection_t *connection, const void *nothing)
{
    static const char block[] = "0123456789012345678901234567890123456789012345678901234567890123";

    (void)nothing;
    sa_test_http_send(connection, "HTTP/1.1 200 OK\r\nX: ", 20);
    while (sa_test_http_send(connection, block, sizeof(block) - 1)) {
        /* until the client has enough */
    }
    return false;
}

#define HEAD "HTTP/1.1 200 OK\r\n"

static const struct {
    sa_test_http_answer_t answer;
    apr_status_t code;
    const char *text;
} hostile_rows[] = {
    {{"/endless", sa_test_http_endless, NULL}, SA_ERR_LIMIT, "larger than 1048576 bytes"},
    {{"/bomb", sa_test_http_gzip_bomb, NULL}, SA_ERR_LIMIT, "larger than 1048576 bytes"},
    {{"/drip", sa_test_http_drip, NULL}, SA_ERR_TIMEOUT, "no complete answer in time"},
    {{"/silence", sa_test_http_silence, NULL}, SA_ERR_TIMEOUT, "no complete answer in time"},
    {{"/length-2^63", sa_test_http_raw, HEAD "Content-Length: 9223372036854775808\r\n\r\nx"},
     SA_ERR_LIMIT, "larger than 1048576 bytes"},
    {{"/length-2^63-1", sa_test_http_raw, HEAD "Content-Length: 9223372036854775807\r\n\r\nx"},
     SA_ERR_LIMIT, "larger than 1048576 bytes"},
    {{"/length-negative", sa_test_http_raw, HEAD "Content-Length: -1\r\n\r\nx"}, SA_ERR_HTTP,
     "the answer is not HTTP"},
    {{"/chunk-overflow", sa_test_http_raw,
      HEAD "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nx"}, SA_ERR_HTTP, "broke"},
    {{"/chunk-2^63-1", sa_test_http_raw,
      HEAD "Transfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\nx"}, SA_ERR_HTTP, "ended before"},
    {{"/chunk-no-number", sa_test_http_raw,
      HEAD "Transfer-Encoding: chunked\r\n\r\nxyz\r\nx"}, SA_ERR_HTTP, "broke"},
    {{"/headers", sa_test_http_header_flood, NULL}, SA_ERR_LIMIT, "headers are larger than"},
    {{"/header-line", endless_header_line, NULL}, SA_ERR_HTTP, "cannot fetch"},
    {{"/continue", sa_test_http_continue_flood, NULL}, SA_ERR_LIMIT, "headers are larger than"},
    {{"/short", sa_test_http_raw, HEAD "Content-Length: 1000\r\n\r\nabc"}, SA_ERR_HTTP,
     "the connection ended before the answer did"},
    {{"/nothing", sa_test_http_raw, ""}, SA_ERR_HTTP, "closed without an answer"},
    {{"/ssh", sa_test_http_raw, "SSH-2.0-OpenSSH_9.2\r\n"}, SA_ERR_HTTP, "not HTTP"},
    {{"/gzip-damaged", sa_test_http_raw, HEAD "Content-Encoding: gzip\r\n\r\nno gzip at all"},
     SA_ERR_HTTP, "damaged"},
    {{"/zstd", sa_test_http_raw, HEAD "Content-Encoding: zstd\r\n\r\nx"}, SA_ERR_HTTP,
     "not asked for"},
    {{"/br", sa_test_http_raw, HEAD "content-encoding:br\r\n\r\nx"}, SA_ERR_HTTP,
     "not asked for"},
    {{"/gzip-twice", sa_test_http_raw, HEAD "Content-Encoding: gzip, gzip\r\n\r\nx"}, SA_ERR_HTTP,
     "not asked for"},
    {{"/transfer-gzip", sa_test_http_raw,
      HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"}, SA_ERR_HTTP,
     "not asked for"},
    {{"/404", sa_test_http_status, "404 Not Found"}, SA_ERR_HTTP_STATUS, "status 404"},
    {{"/401", sa_test_http_status, "401 Unauthorized"}, SA_ERR_HTTP_STATUS, "the credentials"},
    {{"/503", sa_test_http_status, "503 Service Unavailable"}, SA_ERR_HTTP_STATUS, "status 503"},
    {{"/redirect", sa_test_http_redirect, "http://169.254.169.254/latest/meta-data/"},
     SA_ERR_HTTP_STATUS, "status 302: redirects are refused"},
    {{"/redirect-file", sa_test_http_redirect, "file:///etc/passwd"}, SA_ERR_HTTP_STATUS,
     "redirects are refused"},
    {{"/redirect-here", sa_test_http_redirect, "/page"}, SA_ERR_HTTP_STATUS,
     "redirects are refused"}
};
#define HOSTILE_ROWS (sizeof(hostile_rows) / sizeof(hostile_rows[0]))

static sa_test_http_t *start_hostile(apr_pool_t *pool)
{
    sa_test_http_answer_t *answers = apr_pcalloc(pool, (HOSTILE_ROWS + 2) * sizeof(*answers));

    for (size_t i = 0; i < HOSTILE_ROWS; i++) {
        answers[i] = hostile_rows[i].answer;
    }
    answers[HOSTILE_ROWS] = (sa_test_http_answer_t){"/page", sa_test_http_text, "a 1\n"};
    return sa_test_http_start(answers, NULL, pool);
}

static apr_uint64_t resident(apr_pool_t *pool)
{
    sa_os_self_t self;

    SA_ASSERT_OK(sa_os_self_read(&self, pool));
    return self.resident_bytes;
}

SA_TEST(each_hostile_answer_ends_in_time_with_its_error)
{
    sa_http_t *http = open_engine(pool);
    sa_test_http_t *server = start_hostile(pool);
    apr_uint64_t before = 0;

    for (size_t i = 0; i < HOSTILE_ROWS; i++) {
        const char *path = hostile_rows[i].answer.path;
        sa_http_request_t request = request_for(sa_test_http_url(server, path, pool));
        apr_interval_time_t started = sa_time_mono();
        bool is_slow = hostile_rows[i].code == SA_ERR_TIMEOUT;
        outcome_t *outcome;

        request.timeout = is_slow ? apr_time_from_msec(700) : apr_time_from_sec(20);
        outcome = fetch(http, &request, pool);
        ck_assert_msg(outcome->code == hostile_rows[i].code &&
                          strstr(outcome->text, hostile_rows[i].text) != NULL,
                      "%s: %s", path, outcome->text);
        ck_assert_msg(outcome->ended - started < apr_time_from_sec(is_slow ? 3 : 15),
                      "%s took too long", path);
        ck_assert_msg(outcome->length <= MIB, "%s brought more than allowed", path);
        before = before ? before : resident(pool);
        ck_assert_msg(resident(pool) < before + PEAK_ALLOWED, "%s needs memory: %d KiB", path,
                      (int)((resident(pool) - before) / 1024));
    }
    /* nobody was sent to another path */
    ck_assert_int_eq(sa_test_http_requests(server), HOSTILE_ROWS);
    sa_test_http_stop(server);
}

SA_TEST(other_transfers_go_on_beside_hostile_ones)
{
    sa_http_t *http = open_engine(pool);
    sa_test_http_t *server = start_hostile(pool);
    outcome_t *hostile = apr_pcalloc(pool, HOSTILE_ROWS * sizeof(*hostile));
    sa_http_request_t request = request_for(NULL);
    chain_t chain = {.http = http, .left = 20};

    request.timeout = apr_time_from_sec(3);
    for (size_t i = 0; i < HOSTILE_ROWS; i++) {
        request.url = sa_test_http_url(server, hostile_rows[i].answer.path, pool);
        hostile[i].pool = pool;
        SA_ASSERT_OK(sa_http_start(http, &request, note, &hostile[i]));
    }
    chain.request = request_for(sa_test_http_url(server, "/page", pool));
    SA_ASSERT_OK(sa_http_start(http, &chain.request, start_next, &chain));
    while (chain.left > 0) {
        sa_http_poll(http, sa_time_mono() + apr_time_from_sec(10));
    }
    ck_assert_int_eq(chain.failed, 0);
    poll_until_idle(http);
    for (size_t i = 0; i < HOSTILE_ROWS; i++) {
        ck_assert_int_eq(hostile[i].calls, 1);
        ck_assert_msg(hostile[i].code != APR_SUCCESS, "%s", hostile_rows[i].answer.path);
    }
    sa_test_http_stop(server);
}

SA_TEST(a_refused_connection_says_where_and_hides_the_password)
{
    sa_http_t *http = open_engine(pool);
    sa_test_http_t *server = sa_test_http_start(kind_answers, NULL, pool);
    int port = sa_test_http_port(server);
    sa_http_request_t request = request_for(
        apr_psprintf(pool, "http://joe:geheim@127.0.0.1:%d/", port));
    outcome_t *outcome;

    sa_test_http_stop(server);
    outcome = fetch(http, &request, pool);
    ck_assert_int_eq(outcome->code, SA_ERR_HTTP);
    ck_assert_int_eq(outcome->status, 0);
    ck_assert(strstr(outcome->text, apr_psprintf(pool, "127.0.0.1:%d: no connection", port)));
    ck_assert(strstr(outcome->text, "geheim") == NULL);
}

SA_TEST(an_unknown_name_is_told)
{
    sa_http_t *http = open_engine(pool);
    sa_http_request_t request = request_for("http://no-such-host.invalid/");
    outcome_t *outcome;

    request.timeout = apr_time_from_sec(15);
    outcome = fetch(http, &request, pool);
    ck_assert(strstr(outcome->text, "no-such-host.invalid:80") != NULL);
    ck_assert_msg(outcome->code == SA_ERR_TIMEOUT ||
                      strstr(outcome->text, "could not be resolved") != NULL,
                  "%s", outcome->text);
}

static void must_not_be_called(void *baton, const sa_http_response_t *response, sa_error_t *err)
{
    (void)baton;
    (void)response;
    sa_error_clear(err);
    ck_abort_msg("called back");
}

SA_TEST(a_request_that_cannot_be_made_is_refused_at_once)
{
    static const sa_http_request_t rows[] = {
        {.url = "ftp://127.0.0.1/x"},
        {.url = "file:///etc/passwd"},
        {.url = "gopher://127.0.0.1/"},
        {.url = "127.0.0.1:9100/metrics"},
        {.url = ""},
        {.url = "http://"},
        {.url = "http://127.0.0.1/ x"},
        {.url = "http://127.0.0.1/\r\nHost: evil"},
        {.url = "http://127.0.0.1:99999/"},
        {.url = "http://127.0.0.1/", .bearer = "a\r\nX-Evil: 1"},
        {.url = "http://127.0.0.1/", .accept = "a\nX-Evil: 1"},
        {.url = "http://127.0.0.1/", .user_agent = "a\rX-Evil: 1"}
    };
    sa_http_t *http = open_engine(pool);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_http_request_t request = rows[i];

        request.timeout = apr_time_from_sec(1);
        request.limit_bytes = MIB;
        SA_ASSERT_ERR(sa_http_start(http, &request, must_not_be_called, NULL), SA_ERR_CONFIG);
    }
    ck_assert_int_eq(sa_http_running(http), 0);
}

SA_TEST(transfers_go_without_a_callback_when_the_pool_goes)
{
    apr_pool_t *engine_pool = sa_pool_create(pool);
    sa_http_t *http = open_engine(engine_pool);
    sa_test_http_t *server = start_hostile(pool);
    sa_http_request_t request = request_for(sa_test_http_url(server, "/silence", pool));

    SA_ASSERT_OK(sa_http_start(http, &request, must_not_be_called, NULL));
    request.url = sa_test_http_url(server, "/drip", pool);
    SA_ASSERT_OK(sa_http_start(http, &request, must_not_be_called, NULL));
    while (sa_test_http_requests(server) < 2) {
        sa_http_poll(http, sa_time_mono() + apr_time_from_msec(20));
    }
    apr_pool_destroy(engine_pool);
    sa_test_http_stop(server);
}

/* ---- waiting -------------------------------------------------------------------------- */

static void wake_it(void *baton)
{
    sa_http_wake(baton);
}

SA_TEST(a_wake_from_another_thread_ends_the_poll)
{
    sa_http_t *http = open_engine(pool);
    sa_os_thread_t *thread;
    apr_interval_time_t started = sa_time_mono();

    ck_assert_int_eq(sa_os_thread_start(&thread, "waker", wake_it, http, pool), APR_SUCCESS);
    sa_http_poll(http, SA_OS_NEVER);
    sa_os_thread_join(thread);
    sa_http_wake(http);     /* before the poll counts as well */
    sa_http_poll(http, SA_OS_NEVER);
    ck_assert(sa_time_mono() - started < apr_time_from_sec(10));
}

SA_TEST(a_poll_ends_at_its_deadline)
{
    sa_http_t *http = open_engine(pool);
    sa_test_http_t *server = start_hostile(pool);
    sa_http_request_t request = request_for(sa_test_http_url(server, "/silence", pool));
    outcome_t outcome = {.pool = pool};

    for (int round = 0; round < 2; round++) {       /* without and with a transfer */
        apr_interval_time_t deadline = sa_time_mono() + apr_time_from_msec(100);

        sa_http_poll(http, deadline);
        ck_assert(sa_time_mono() >= deadline);
        ck_assert(sa_time_mono() < deadline + apr_time_from_sec(5));
        sa_http_poll(http, 0);                      /* long over: no wait */
        if (round == 0) {
            SA_ASSERT_OK(sa_http_start(http, &request, note, &outcome));
        }
    }
    ck_assert_int_eq(outcome.calls, 0);
    sa_test_http_stop(server);
}

/* ---- TLS ---------------------------------------------------------------------------------- */

/* An empty file that goes with POOL. */
static const char *temporary_file(apr_pool_t *pool)
{
    const char *directory;
    const char *path;
    char *pattern;
    apr_file_t *file;

    ck_assert_int_eq(apr_temp_dir_get(&directory, pool), APR_SUCCESS);
    pattern = apr_pstrcat(pool, directory, "/sa-test-http-XXXXXX", NULL);
    ck_assert_int_eq(apr_file_mktemp(&file, pattern, 0, pool), APR_SUCCESS);
    ck_assert_int_eq(apr_file_name_get(&path, file), APR_SUCCESS);
    return path;
}

SA_TEST(a_certificate_is_checked)
{
    static const struct {
        const char *name;
        long from;
        long to;
        bool own_ca;        /* the client knows the authority */
        bool insecure;
        apr_status_t code;
        const char *text;
    } rows[] = {
        {"127.0.0.1", -60, 3600, true, false, APR_SUCCESS, "success"},
        {"elsewhere.invalid", -60, 3600, true, false, SA_ERR_HTTP, "is for another name"},
        {"127.0.0.2", -60, 3600, true, false, SA_ERR_HTTP, "is for another name"},
        {"127.0.0.1", -3600, -60, true, false, SA_ERR_HTTP, "has expired"},
        {"127.0.0.1", 3600, 7200, true, false, SA_ERR_HTTP, "not valid yet"},
        {"127.0.0.1", -60, 3600, false, false, SA_ERR_HTTP, "unknown authority"},
        {"elsewhere.invalid", -3600, -60, false, true, APR_SUCCESS, "success"}
    };
    sa_test_cert_t *ours = sa_test_cert_authority("test authority", pool);
    sa_test_cert_t *theirs = sa_test_cert_authority("another authority", pool);
    const char *ca_file = temporary_file(pool);

    sa_test_cert_write(ours, ca_file);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_test_cert_t *cert = sa_test_cert_issue(rows[i].own_ca ? ours : theirs, rows[i].name,
                                                  rows[i].from, rows[i].to, pool);
        sa_test_http_t *server = sa_test_http_start(kind_answers, cert, pool);
        sa_http_request_t request = request_for(sa_test_http_url(server, "/page", pool));
        apr_pool_t *engine_pool = sa_pool_create(pool);
        outcome_t *outcome;

        request.ca_file = ca_file;
        request.insecure = rows[i].insecure;
        outcome = fetch(open_engine(engine_pool), &request, pool);
        ck_assert_msg(outcome->code == rows[i].code && strstr(outcome->text, rows[i].text),
                      "row %d: %s", (int)i, outcome->text);
        ck_assert_int_eq(sa_test_http_requests(server), rows[i].code == APR_SUCCESS ? 1 : 0);
        apr_pool_destroy(engine_pool);
        sa_test_http_stop(server);
    }
}

SA_TEST(a_plain_server_behind_https_is_told)
{
    sa_http_t *http = open_engine(pool);
    sa_test_http_t *server = sa_test_http_start(kind_answers, NULL, pool);
    sa_http_request_t request = request_for(
        apr_psprintf(pool, "https://127.0.0.1:%d/page", sa_test_http_port(server)));
    outcome_t *outcome;

    request.timeout = apr_time_from_msec(500);      /* the server waits for a line end */
    outcome = fetch(http, &request, pool);
    ck_assert_int_ne(outcome->code, APR_SUCCESS);
    sa_test_http_stop(server);
}

SA_TEST(a_missing_ca_file_is_told)
{
    sa_http_t *http = open_engine(pool);
    sa_test_cert_t *ca = sa_test_cert_authority("test authority", pool);
    sa_test_http_t *server =
        sa_test_http_start(kind_answers, sa_test_cert_issue(ca, "127.0.0.1", -60, 60, pool), pool);
    sa_http_request_t request = request_for(sa_test_http_url(server, "/page", pool));

    request.ca_file = "/no/such/file";
    ck_assert(strstr(fetch(http, &request, pool)->text, "the CA file cannot be read"));
    sa_test_http_stop(server);
}

/* ---- memory ---------------------------------------------------------------------------- */

static bool large_page(sa_test_http_connection_t *connection, const void *nothing)
{
    static char page[60 * 1024 + 1];

    (void)nothing;
    memset(page, 'm', sizeof(page) - 1);
    return sa_test_http_text(connection, page);
}

SA_TEST(memory_stays_flat_over_a_hundred_fetches)
{
    static const sa_test_http_answer_t answers[] = {{"/large", large_page, NULL},
                                                    {NULL, NULL, NULL}};
    sa_http_t *http = open_engine(pool);
    sa_test_http_t *server = sa_test_http_start(answers, NULL, pool);
    sa_http_request_t request = request_for(sa_test_http_url(server, "/large", pool));
    apr_uint64_t before = 0;

    for (int i = 0; i < 120; i++) {
        apr_pool_t *iter_pool = sa_pool_create(pool);

        ck_assert_uint_eq(fetch(http, &request, iter_pool)->length, 60 * 1024);
        apr_pool_destroy(iter_pool);
        if (i == 19) {
            before = resident(pool);
        }
    }
    ck_assert_msg(resident(pool) <= before + GROWTH_ALLOWED, "grew by %d KiB",
                  (int)((resident(pool) - before) / 1024));
    sa_test_http_stop(server);
}

SA_TEST(the_library_names_itself)
{
    ck_assert(strncmp(sa_http_library_version(), "libcurl/", 8) == 0);
    (void)pool;
}

SA_TEST_MAIN("http", a_page_comes_whole, a_compressed_page_is_unpacked,
             headers_say_who_asks_and_for_what, a_proxy_from_the_environment_is_not_used,
             many_transfers_run_side_by_side, a_transfer_may_be_started_from_a_callback,
             each_hostile_answer_ends_in_time_with_its_error,
             other_transfers_go_on_beside_hostile_ones,
             a_refused_connection_says_where_and_hides_the_password, an_unknown_name_is_told,
             a_request_that_cannot_be_made_is_refused_at_once,
             transfers_go_without_a_callback_when_the_pool_goes,
             a_wake_from_another_thread_ends_the_poll, a_poll_ends_at_its_deadline,
             a_certificate_is_checked, a_plain_server_behind_https_is_told,
             a_missing_ca_file_is_told, memory_stays_flat_over_a_hundred_fetches,
             the_library_names_itself)
