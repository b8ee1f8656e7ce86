/* The page of a real node_exporter through the exposition path, checked by a
 * reader that shares nothing with it: byte by byte, slow and simple.
 *
 * The program is $SA_NODE_EXPORTER, or build/deps/usr/bin/... below
 * $SA_TOP_SRCDIR, below the working directory or one of its parents, or what
 * PATH has.  Not finding it fails the test. */
#include <stdio.h>

#include <apr_file_info.h>
#include <apr_network_io.h>
#include <apr_strings.h>
#include <apr_thread_proc.h>

#include "sa_buf.h"
#include "sa_exposition.h"
#include "sa_http.h"
#include "sa_test.h"
#include "sa_time.h"

#define MIB (1024 * 1024)
#define NAME "prometheus-node-exporter"

/* ---- the exporter ------------------------------------------------------------ */

static bool is_there(const char *path, apr_pool_t *pool)
{
    apr_finfo_t info;

    return apr_stat(&info, path, APR_FINFO_TYPE, pool) == APR_SUCCESS;
}

static const char *find_exporter(apr_pool_t *pool)
{
    const char *named = getenv("SA_NODE_EXPORTER");
    const char *top = getenv("SA_TOP_SRCDIR");
    const char *directory = top ? top : ".";

    if (named) {
        return named;
    }
    for (int i = 0; i < 6; i++) {
        const char *path = apr_pstrcat(pool, directory, "/build/deps/usr/bin/" NAME, NULL);

        if (is_there(path, pool)) {
            return path;
        }
        directory = i == 0 && top ? "." : apr_pstrcat(pool, directory, "/..", NULL);
    }
    return NAME;
}

static int free_port(apr_pool_t *pool)
{
    apr_sockaddr_t *address;
    apr_socket_t *taken;
    int port;

    ck_assert(apr_sockaddr_info_get(&address, "127.0.0.1", APR_INET, 0, 0, pool) == APR_SUCCESS);
    ck_assert(apr_socket_create(&taken, APR_INET, SOCK_STREAM, APR_PROTO_TCP, pool) ==
              APR_SUCCESS);
    ck_assert(apr_socket_bind(taken, address) == APR_SUCCESS);
    ck_assert(apr_socket_addr_get(&address, APR_LOCAL, taken) == APR_SUCCESS);
    port = address->port;
    apr_socket_close(taken);
    return port;
}

/* Killed with POOL. */
static int start_exporter(apr_pool_t *pool)
{
    const char *program = find_exporter(pool);
    int port = free_port(pool);
    const char *listen = apr_psprintf(pool, "--web.listen-address=127.0.0.1:%d", port);
    const char *const arguments[] = {program, listen, "--log.level=error", NULL};
    apr_proc_t *process = apr_palloc(pool, sizeof(*process));
    apr_procattr_t *attributes;

    ck_assert(apr_procattr_create(&attributes, pool) == APR_SUCCESS);
    apr_procattr_cmdtype_set(attributes, APR_PROGRAM_PATH);
    apr_procattr_error_check_set(attributes, 1);
    ck_assert_msg(apr_proc_create(process, program, arguments, NULL, attributes, pool) ==
                      APR_SUCCESS, "%s cannot be started; run tests/setup", program);
    apr_pool_note_subprocess(pool, process, APR_KILL_ALWAYS);
    return port;
}

typedef struct page_t {
    sa_buf_t *text;
    bool failed;
} page_t;

static void keep_page(void *baton, const sa_http_response_t *response, sa_error_t *err)
{
    page_t *page = baton;

    page->failed = err != SA_OK;
    if (!err) {
        sa_buf_append(page->text, response->data, response->length);
    }
    sa_error_clear(err);
}

/* Fetch the page; it takes the exporter a moment to listen. */
static void fetch(page_t *page, int port, apr_pool_t *pool)
{
    apr_interval_time_t deadline = sa_time_mono() + apr_time_from_sec(60);
    sa_http_request_t request = {.timeout = apr_time_from_sec(30), .limit_bytes = 16 * MIB};
    sa_http_t *http;

    request.url = apr_psprintf(pool, "http://127.0.0.1:%d/metrics", port);
    SA_ASSERT_OK(sa_http_library_open());
    SA_ASSERT_OK(sa_http_create(&http, pool));
    page->failed = true;
    while (page->failed) {
        ck_assert_msg(sa_time_mono() < deadline, "the exporter does not answer");
        SA_ASSERT_OK(sa_http_start(http, &request, keep_page, page));
        while (sa_http_running(http) > 0) {
            sa_http_poll(http, deadline);
        }
        if (page->failed) {
            sa_http_poll(http, sa_time_mono() + apr_time_from_msec(50));
        }
    }
}

/* ---- the slow reader -------------------------------------------------------------- */

static const sa_exposition_label_t labels[] = {{"code", "edge-1"}, {"job", "node"}};
#define ADDED "code=\"edge-1\",job=\"node\""
#define STAMP "1764000000123"

/* What a sample LINE must become: labels in front, "code" and "job" renamed. */
static const char *expected_line(const char *line, apr_pool_t *pool)
{
    sa_buf_t *out = apr_pcalloc(pool, sizeof(*out));
    bool in_quotes = false;
    bool had_brace = false;

    sa_buf_init(out, MIB, pool);
    for (const char *p = line; *p; p++) {
        if (!in_quotes && *p == ' ' && !had_brace) {
            sa_buf_append_text(out, "{" ADDED "}");
            had_brace = true;
        }
        sa_buf_append(out, p, 1);
        if (*p == '"' && p[-1] != '\\') {
            in_quotes = !in_quotes;
        }
        if (!in_quotes && *p == '{') {
            sa_buf_append_text(out, ADDED ",");
            had_brace = true;
        }
        if (!in_quotes && (*p == '{' || *p == ',') &&
            (strncmp(p + 1, "code=", 5) == 0 || strncmp(p + 1, "job=", 4) == 0)) {
            sa_buf_append_text(out, "exported_");
        }
    }
    sa_buf_append_text(out, " " STAMP);
    return out->data;
}

static char *next_line(char **rest)
{
    char *line = *rest;
    char *end = strchr(line, '\n');

    ck_assert(end != NULL);
    *end = '\0';
    *rest = end + 1;
    return line;
}

/* The next line that is no comment, or NULL. */
static char *next_sample(char **rest)
{
    while (**rest) {
        char *line = next_line(rest);

        if (line[0] != '#') {
            return line;
        }
    }
    return NULL;
}

typedef struct parts_t {
    sa_buf_t *all;
    size_t limit;
} parts_t;

static sa_error_t *keep_part(void *baton, const char *data, size_t length, apr_uint64_t samples)
{
    parts_t *parts = baton;

    ck_assert_uint_le(length, parts->limit);
    ck_assert_uint_gt(samples, 0);
    ck_assert(strncmp(data, "# ", 2) == 0);     /* every family of this page has a HELP */
    ck_assert(sa_buf_append(parts->all, data, length));
    return SA_OK;
}

static void check_page(const char *page, size_t length, size_t limit, apr_pool_t *pool)
{
    sa_exposition_options_t options = {.labels = labels, .label_count = 2,
                                       .part_limit_bytes = limit};
    parts_t parts = {.limit = limit};
    char *wanted = apr_pstrmemdup(pool, page, length);
    sa_exposition_result_t result;
    sa_exposition_t *exposition;
    apr_uint64_t count = 0;
    char *got;

    parts.all = apr_pcalloc(pool, sizeof(*parts.all));
    sa_buf_init(parts.all, 64 * MIB, pool);
    SA_ASSERT_OK(sa_exposition_create(&exposition, &options, pool));
    SA_ASSERT_OK(sa_exposition_run(&result, exposition, page, length,
                                   APR_INT64_C(1764000000123456), keep_part, &parts));
    ck_assert_msg(result.bad_lines == 0, "line %d: %s", result.bad_line, result.bad_text);
    got = parts.all->data;
    for (char *line = next_sample(&wanted); line; line = next_sample(&wanted)) {
        ck_assert_str_eq(next_sample(&got), expected_line(line, pool));
        count++;
    }
    ck_assert(next_sample(&got) == NULL);
    ck_assert_uint_eq(count, result.samples);
    ck_assert_uint_gt(count, 100);
}

SA_TEST(a_live_page_comes_through_with_every_value_as_it_was)
{
    static const size_t limits[] = {4096, 10000, 64 * 1024, MIB};
    page_t page = {.text = apr_pcalloc(pool, sizeof(*page.text))};

    sa_buf_init(page.text, 16 * MIB, pool);
    fetch(&page, start_exporter(pool), pool);
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        apr_pool_t *iter_pool = sa_pool_create(pool);

        check_page(page.text->data, page.text->length, limits[i], iter_pool);
        apr_pool_destroy(iter_pool);
    }
}

SA_TEST_MAIN("exposition_live", a_live_page_comes_through_with_every_value_as_it_was)
