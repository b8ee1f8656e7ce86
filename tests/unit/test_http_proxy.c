/* Which proxy is used, and what an ordinary request makes of it. */
#include "sa_http.h"

#include <apr_strings.h>
#include <openssl/ssl.h>

#include "sa_test.h"
#include "sa_test_http.h"
#include "sa_test_proxy.h"
#include "sa_test_server.h"

#define SECRET "s3cret-w0rd"
#define HOUR 3600L

static const char *const variables[] = {"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY",
                                        "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"};

static void clear_environment(void)
{
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        unsetenv(variables[i]);
    }
}

static sa_http_proxy_choice_t choice_of(const char *url)
{
    return (sa_http_proxy_choice_t){.from_environment = !url[0], .url = url, .username = "",
                                    .except = "", .ca_file = ""};
}

/* What the environment says; "" for what is not there. */
static sa_http_proxy_t read_environment(apr_pool_t *pool)
{
    sa_http_proxy_choice_t choice = choice_of("");
    sa_http_proxy_t proxy;

    SA_ASSERT_OK(sa_http_library_open());
    SA_ASSERT_OK(sa_http_proxy_read(&proxy, &choice, pool));
    proxy.url = proxy.url ? proxy.url : "";
    proxy.username = proxy.username ? proxy.username : "";
    proxy.password = proxy.password ? proxy.password : "";
    return proxy;
}

/* ---- the environment -------------------------------------------------------------- */

SA_TEST(the_environment_is_read_in_order)
{
    clear_environment();
    ck_assert_str_eq(read_environment(pool).url, "");
    setenv("http_proxy", "http://plain:1", 1);
    setenv("HTTP_PROXY", "http://plain:2", 1);
    ck_assert_str_eq(read_environment(pool).url, "");
    setenv("ALL_PROXY", "socks5://all:1", 1);
    ck_assert_str_eq(read_environment(pool).url, "socks5://all:1");
    setenv("all_proxy", "socks5h://all:2", 1);
    ck_assert_str_eq(read_environment(pool).url, "socks5h://all:2");
    setenv("HTTPS_PROXY", "https://secure:3", 1);
    ck_assert_str_eq(read_environment(pool).url, "https://secure:3");
    setenv("https_proxy", "", 1);
    ck_assert_str_eq(read_environment(pool).url, "https://secure:3");
    setenv("https_proxy", "http://secure:4", 1);
    ck_assert_str_eq(read_environment(pool).url, "http://secure:4");
    ck_assert_str_eq(read_environment(pool).except, "");
    setenv("NO_PROXY", "a,b", 1);
    ck_assert_str_eq(read_environment(pool).except, "a,b");
    setenv("no_proxy", "*", 1);
    ck_assert_str_eq(read_environment(pool).except, "*");
}

SA_TEST(a_value_of_the_environment_is_taken_apart)
{
    static const struct {
        const char *value;
        const char *url;
        const char *username;
        const char *password;
    } rows[] = {
        {"proxy.test:3128", "http://proxy.test:3128", "", ""},
        {"proxy.test", "http://proxy.test", "", ""},
        {"10.0.0.1:8080", "http://10.0.0.1:8080", "", ""},
        {"[2001:db8::1]:3128", "http://[2001:db8::1]:3128", "", ""},
        {"http://proxy.test:3128/", "http://proxy.test:3128", "", ""},
        {"HTTP://proxy.test:3128/a/path?x", "http://proxy.test:3128", "", ""},
        {"http://ada@proxy.test:3128", "http://proxy.test:3128", "ada", ""},
        {"http://ada:" SECRET "@proxy.test:3128", "http://proxy.test:3128", "ada", SECRET},
        {"http://a%40b:p%3A%2F%25w@proxy.test:1", "http://proxy.test:1", "a@b", "p:/%w"},
        {"ada:" SECRET "@proxy.test:3128", "http://proxy.test:3128", "ada", SECRET},
        {"socks5h://ada:" SECRET "@[::1]:1080", "socks5h://[::1]:1080", "ada", SECRET}
    };

    clear_environment();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_http_proxy_t proxy;

        setenv("https_proxy", rows[i].value, 1);
        proxy = read_environment(pool);
        ck_assert_str_eq(proxy.url, rows[i].url);
        ck_assert_str_eq(proxy.username, rows[i].username);
        ck_assert_str_eq(proxy.password, rows[i].password);
    }
}

SA_TEST(a_bad_value_names_the_variable_and_not_itself)
{
    static const char *const values[] = {       /* SECRET, written out */
        "ftp://s3cret-w0rd:21", "socks4://s3cret-w0rd:1080", "http://",
        "http://s3cret-w0rd:99999", "http://s3cret-w0rd:port", "http://s3cret-w0rd x",
        "http://ada:s3cret-w0rd%00@proxy.test", "http://ada:s3cret-w0rd%0d%0aX@proxy.test",
        "://s3cret-w0rd"
    };
    sa_http_proxy_choice_t choice = choice_of("");
    char *lengthy = apr_pcalloc(pool, 10001);

    clear_environment();
    memset(lengthy, 'a', 10000);
    SA_ASSERT_OK(sa_http_library_open());
    for (size_t i = 0; i <= sizeof(values) / sizeof(values[0]); i++) {
        bool is_last = i == sizeof(values) / sizeof(values[0]);
        sa_http_proxy_t proxy;
        sa_error_t *err;
        char text[512];

        setenv("ALL_PROXY", is_last ? lengthy : values[i], 1);
        err = sa_http_proxy_read(&proxy, &choice, pool);
        ck_assert_msg(err != NULL, "%s", is_last ? "the long one" : values[i]);
        ck_assert_int_eq(err->code, SA_ERR_CONFIG);
        sa_error_text(err, text, sizeof(text));
        ck_assert_msg(strstr(text, "ALL_PROXY") && !strstr(text, SECRET), "%s", text);
        ck_assert_ptr_null(proxy.url);
        sa_error_clear(err);
    }
}

/* ---- the configuration ------------------------------------------------------------------ */

SA_TEST(what_is_configured_counts_instead_of_the_environment)
{
    const char *path = sa_test_file(sa_test_dir(pool), "password", SECRET "\n", 0600, pool);
    sa_http_proxy_choice_t choice = choice_of("http://proxy.test:3128");
    sa_http_proxy_t proxy;

    clear_environment();
    setenv("https_proxy", "http://other.test:1", 1);
    setenv("no_proxy", "*", 1);
    choice.username = "ada";
    choice.password = (sa_secret_t){.source = SA_SECRET_FILE, .where = path,
                                    .path = "nats.proxy.password"};
    choice.except = "a.test,10.0.0.0/8";
    choice.ca_file = "/ca.pem";
    SA_ASSERT_OK(sa_http_proxy_read(&proxy, &choice, pool));
    ck_assert_str_eq(proxy.url, "http://proxy.test:3128");
    ck_assert_str_eq(proxy.username, "ada");
    ck_assert_str_eq(proxy.password, SECRET);
    ck_assert_str_eq(proxy.except, "a.test,10.0.0.0/8");
    ck_assert_str_eq(proxy.ca_file, "/ca.pem");
    choice.username = "";
    choice.ca_file = "";
    SA_ASSERT_OK(sa_http_proxy_read(&proxy, &choice, pool));
    ck_assert(!proxy.username && !proxy.password && !proxy.ca_file);
    choice.username = "ada";
    choice.password.where = "/nowhere/password";
    SA_ASSERT_ERR(sa_http_proxy_read(&proxy, &choice, pool), APR_ENOENT);
    ck_assert_ptr_null(proxy.url);
    choice = choice_of("none");
    SA_ASSERT_OK(sa_http_proxy_read(&proxy, &choice, pool));
    ck_assert_ptr_null(proxy.url);
}

SA_TEST(a_choice_is_a_copy_of_the_configuration)
{
    const char *dir = sa_test_dir(pool);
    const char *text = "code: a\nnats:\n  urls: [\"nats://bus.test:4222\"]\n"
                       "  auth:\n    type: none\n"
                       "  proxy:\n    url: socks5h://proxy.test:1080\n    username: ada\n"
                       "    password_file: /run/password\n    except: [a.test, 10.0.0.0/8]\n"
                       "    ca_file: /run/ca.pem\n";
    sa_config_source_t source = {.file = sa_test_file(dir, "agent.yaml", text, 0600, pool)};
    sa_http_proxy_choice_t choice;
    sa_config_t *config = NULL;
    apr_array_header_t *complaints;
    apr_pool_t *first = sa_pool_create(pool);
    sa_error_t *err = sa_config_load(&config, &complaints, &source, first);

    sa_error_clear(err);        /* what else is missing is not the point */
    ck_assert_msg(config != NULL, "%s", complaints->nelts > 0
                  ? APR_ARRAY_IDX(complaints, 0, sa_complaint_t).text : "");
    sa_http_proxy_choose(&choice, config, pool);
    apr_pool_destroy(first);
    ck_assert(!choice.from_environment);
    ck_assert_str_eq(choice.url, "socks5h://proxy.test:1080");
    ck_assert_str_eq(choice.username, "ada");
    ck_assert_int_eq(choice.password.source, SA_SECRET_FILE);
    ck_assert_str_eq(choice.password.where, "/run/password");
    ck_assert_str_eq(choice.except, "a.test,10.0.0.0/8");
    ck_assert_str_eq(choice.ca_file, "/run/ca.pem");
}

/* ---- what is excepted ------------------------------------------------------------------- */

static const sa_test_http_answer_t answers[] = {
    {"/page", sa_test_http_text, "a 1\n"}, {"/gzip", sa_test_http_gzip, "packed"},
    {"/busy", sa_test_http_status, "503 Busy"}, {NULL, NULL, NULL}
};

typedef struct outcome_t {
    sa_http_response_t response;
    apr_status_t code;
    char text[1024];
} outcome_t;

static outcome_t fetch(const char *url, const sa_http_proxy_t *proxy, const char *ca_file,
                       apr_pool_t *pool)
{
    sa_http_request_t request = {
        .url = url, .user_agent = "test-agent", .limit_bytes = 64 * 1024,
        .timeout = apr_time_from_sec(20), .ca_file = ca_file, .token = SECRET, .proxy = proxy
    };
    outcome_t outcome = {.code = APR_SUCCESS};
    sa_error_t *err;

    SA_ASSERT_OK(sa_http_library_open());
    err = sa_http_fetch(&outcome.response, &request, NULL, pool);
    outcome.code = err ? err->code : APR_SUCCESS;
    sa_error_text(err, outcome.text, sizeof(outcome.text));
    sa_error_clear(err);
    ck_assert_msg(!strstr(outcome.text, SECRET), "%s", outcome.text);
    return outcome;
}

/* Neither the proxy's name nor a page on port 9 is there: the error tells who was asked. */
SA_TEST(where_a_proxy_is_has_a_port_also_when_nobody_named_one)
{
    static const char *const rows[][2] = {
        {"http://proxy:3128", "proxy:3128"}, {"http://proxy", "proxy:1080"},
        {"https://proxy", "proxy:443"}, {"socks5h://10.0.0.1/", "10.0.0.1:1080"},
        {"http://[::1]", "[::1]:1080"}, {"https://[::1]:8443/x?y", "[::1]:8443"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_http_proxy_t proxy = {.url = rows[i][0]};

        ck_assert_str_eq(sa_http_proxy_address(&proxy, pool), rows[i][1]);
    }
}

SA_TEST(exceptions_are_names_domains_addresses_and_networks)
{
    static const struct {
        const char *host;
        const char *except;
        bool is_excepted;
    } rows[] = {
        {"localhost", "localhost", true},       {"localhost", "LOCALHOST", true},
        {"localhost", "host", false},           {"localhost", "x.localhost", false},
        {"localhost", ".localhost", true},      {"localhost", "localhost.", true},
        {"localhost", "127.0.0.1", false},      {"localhost", "a, b ,localhost", true},
        {"localhost", "a b\tlocalhost", true},  {"localhost", "*", true},
        {"localhost", ".", false},              {"localhost", "", false},
        {"127.0.0.1", "127.0.0.1", true},       {"127.0.0.1", "127.0.0.0/8", true},
        {"127.0.0.1", "127.0.0.0/31", true},    {"127.0.0.1", "127.0.0.2/31", false},
        {"127.0.0.1", "0.0.0.0/0", false},       {"127.0.0.1", "10.0.0.0/8", false},
        {"127.0.0.1", "0.0.1", false},          {"127.0.0.1", "::1", false},
        {"127.0.0.1", "127.0.0.1/99", false},   {"127.0.0.1", "127.0.0.1/x", false},
        {"[::1]", "::1", true},                 {"[::1]", "::/64", true},
        {"[::1]", "fe80::/10", false},          {"[::1]", "127.0.0.1", false}
    };
    sa_http_proxy_t proxy = {.url = "http://nobody.invalid:3128"};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        outcome_t outcome;
        bool asked_proxy;

        proxy.except = rows[i].except;
        outcome = fetch(apr_pstrcat(pool, "http://", rows[i].host, ":9/", NULL), &proxy, NULL,
                        pool);
        ck_assert_int_ne(outcome.code, APR_SUCCESS);
        asked_proxy = strstr(outcome.text, "nobody.invalid") != NULL;
        ck_assert_msg(asked_proxy == !rows[i].is_excepted, "%s in %s: %s", rows[i].host,
                      rows[i].except, outcome.text);
    }
}

/* ---- ordinary requests ----------------------------------------------------------------------- */

SA_TEST(a_request_goes_through_a_proxy_and_tells_it_nothing)
{
    static const struct {
        const char *scheme;
        sa_test_proxy_how_t how;
    } rows[] = {{"http", SA_TEST_PROXY_CONNECT}, {"https", SA_TEST_PROXY_CONNECT},
                {"socks5h", SA_TEST_PROXY_SOCKS}};
    sa_test_cert_t *authority = sa_test_cert_authority("an authority", pool);
    sa_test_cert_t *cert = sa_test_cert_issue(authority, "127.0.0.1", -HOUR, HOUR, pool);
    const char *ca_file = apr_pstrcat(pool, sa_test_dir(pool), "/ca.pem", NULL);
    sa_test_http_t *servers[] = {sa_test_http_start(answers, NULL, pool),
                                 sa_test_http_start(answers, cert, pool)};

    sa_test_cert_write(authority, ca_file);
    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        bool is_https = strcmp(rows[i / 2].scheme, "https") == 0;
        sa_test_proxy_t *server = sa_test_proxy_start(&(sa_test_proxy_plan_t){
            .how = rows[i / 2].how, .login = "ada:lovelace", .cert = is_https ? cert : NULL},
            pool);
        sa_http_proxy_t proxy = {
            .url = sa_test_proxy_url(server, rows[i / 2].scheme, pool), .username = "ada",
            .password = "lovelace", .except = "", .ca_file = ca_file
        };
        const char *asked;
        outcome_t outcome = fetch(sa_test_http_url(servers[i % 2], "/gzip", pool), &proxy,
                                  ca_file, pool);

        ck_assert_str_eq(outcome.text, "success");
        ck_assert_str_eq(outcome.response.data, "packed");
        asked = sa_test_proxy_asked(server, pool);
        ck_assert_msg(!strstr(asked, SECRET) && !strstr(asked, "test-agent")
                      && !strstr(asked, "Authorization: " SECRET), "%s", asked);
        ck_assert_msg(strstr(asked, apr_psprintf(pool, ":%d", sa_test_http_port(servers[i % 2])))
                      != NULL, "%s", asked);
        outcome = fetch(sa_test_http_url(servers[i % 2], "/busy", pool), &proxy, ca_file, pool);
        ck_assert_int_eq(outcome.response.status, 503);
        ck_assert_int_eq(outcome.code, SA_ERR_HTTP_STATUS);
        sa_test_proxy_stop(server);
    }
    ck_assert(strstr(sa_test_http_last_request(servers[0], pool), "Authorization:" SECRET)
              || strstr(sa_test_http_last_request(servers[0], pool), "Authorization: " SECRET));
    ck_assert(!strstr(sa_test_http_last_request(servers[0], pool), "Proxy-Authorization"));
    sa_test_http_stop(servers[0]);
    sa_test_http_stop(servers[1]);
}

SA_TEST(a_proxys_failure_is_not_the_servers)
{
    static const struct {
        sa_test_proxy_plan_t plan;
        const char *words;
    } rows[] = {
        {{.how = SA_TEST_PROXY_ANSWER, .text = "HTTP/1.1 403 No\r\nContent-Encoding: br\r\n\r\n"},
         "answered with status 403"},
        {{.how = SA_TEST_PROXY_ANSWER, .text = "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"},
         "wants a login"},
        {{.how = SA_TEST_PROXY_ANSWER, .text = "220 hello\r\n\r\n"}, "is no HTTP proxy"},
        {{.how = SA_TEST_PROXY_ENDLESS}, "answers without an end"},
        {{.how = SA_TEST_PROXY_CLOSE}, "broke off before it answered"}
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_test_proxy_t *server = sa_test_proxy_start(&rows[i].plan, pool);
        sa_http_proxy_t proxy = {.url = sa_test_proxy_url(server, "http", pool), .except = ""};
        outcome_t outcome = fetch("https://bus.invalid/page", &proxy, NULL, pool);

        ck_assert_msg(strstr(outcome.text, rows[i].words) != NULL, "%s", outcome.text);
        ck_assert(!outcome.response.untrusted);
        ck_assert_int_eq(outcome.response.status, 0);
        sa_test_proxy_stop(server);
    }
}

SA_TEST(an_untrusted_proxy_is_not_an_untrusted_server)
{
    sa_test_cert_t *authority = sa_test_cert_authority("an authority", pool);
    sa_test_cert_t *cert = sa_test_cert_issue(authority, "127.0.0.1", -HOUR, HOUR, pool);
    sa_test_proxy_t *server = sa_test_proxy_start(
        &(sa_test_proxy_plan_t){.how = SA_TEST_PROXY_CONNECT, .cert = cert}, pool);
    sa_test_http_t *target = sa_test_http_start(answers, cert, pool);
    const char *ca_file = apr_pstrcat(pool, sa_test_dir(pool), "/ca.pem", NULL);
    sa_http_proxy_t proxy = {.url = sa_test_proxy_url(server, "https", pool), .except = ""};
    outcome_t outcome = fetch(sa_test_http_url(target, "/page", pool), &proxy, NULL, pool);

    ck_assert(!outcome.response.untrusted);
    ck_assert_msg(strstr(outcome.text, "the proxy 127.0.0.1") != NULL, "%s", outcome.text);
    sa_test_cert_write(authority, ca_file);
    proxy.ca_file = ca_file;
    outcome = fetch(sa_test_http_url(target, "/page", pool), &proxy, NULL, pool);
    ck_assert_msg(outcome.response.untrusted, "%s", outcome.text);
    ck_assert_msg(strstr(outcome.text, "its certificate is not believed") != NULL, "%s",
                  outcome.text);
    sa_test_http_stop(target);
    sa_test_proxy_stop(server);
}

SA_TEST(a_request_can_insist_on_tls_1_3)
{
    sa_test_cert_t *authority = sa_test_cert_authority("an authority", pool);
    sa_test_cert_t *cert = sa_test_cert_issue(authority, "127.0.0.1", -HOUR, HOUR, pool);
    sa_test_http_t *server = sa_test_http_start(answers, cert, pool);
    sa_http_request_t request = {
        .url = sa_test_http_url(server, "/page", pool), .limit_bytes = 1024, .insecure = true,
        .timeout = apr_time_from_sec(20), .tls_least = SA_HTTP_TLS_1_3
    };
    sa_http_response_t response;

    SA_ASSERT_OK(sa_http_library_open());
    SA_ASSERT_OK(sa_http_fetch(&response, &request, NULL, pool));
    sa_test_http_limit_tls(server, TLS1_2_VERSION);
    SA_ASSERT_ERR(sa_http_fetch(&response, &request, NULL, pool), SA_ERR_HTTP);
    request.tls_least = SA_HTTP_TLS_1_2;
    SA_ASSERT_OK(sa_http_fetch(&response, &request, NULL, pool));
    sa_test_http_stop(server);
}

SA_TEST_MAIN("http_proxy", the_environment_is_read_in_order,
             a_value_of_the_environment_is_taken_apart,
             a_bad_value_names_the_variable_and_not_itself,
             what_is_configured_counts_instead_of_the_environment,
             a_choice_is_a_copy_of_the_configuration,
             where_a_proxy_is_has_a_port_also_when_nobody_named_one,
             exceptions_are_names_domains_addresses_and_networks,
             a_request_goes_through_a_proxy_and_tells_it_nothing,
             a_proxys_failure_is_not_the_servers, an_untrusted_proxy_is_not_an_untrusted_server,
             a_request_can_insist_on_tls_1_3)
