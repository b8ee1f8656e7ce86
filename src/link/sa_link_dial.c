/* From a URL to a socket on which a NATS server has said its first line.
 *
 * Ours and not nats.c's, because nats.c says "No server available" for every
 * reason alike, cannot be interrupted, knows no proxy and no WebSocket, and
 * makes sockets that children inherit.  The http room connects.  The first
 * line is looked at and left unread: it decides about TLS, and a server that
 * accepts and says nothing is given up from here, where a stop is noticed.
 *
 *   nats, tls              the server's own socket goes to nats.c
 *   ws, wss                the upgrade, then a relay in frames
 *   any, https:// proxy    a relay of plain bytes: libcurl speaks TLS with it */
#include "sa_link_private.h"

#include <string.h>

#include <apr_strings.h>

#include "sa_link_relay.h"
#include "sa_os_file.h"
#include "sa_pool.h"
#include "sa_time.h"

/* How soon a stop is noticed while waiting for the first line. */
#define SLICE apr_time_from_msec(50)
#define HEADERS_LIMIT (16 * 1024)
/* What may come with the answer to the upgrade, or right behind it. */
#define EARLY_LIMIT (16 * 1024)

/* ---- what the http room reports ------------------------------------------------ */

int sa_link_trouble_event(int trouble)
{
    static const sa_event_t events[] = {
        [SA_HTTP_TROUBLE_OTHER] = SA_EVENT_link_unreachable,
        [SA_HTTP_TROUBLE_NAME] = SA_EVENT_link_name_unknown,
        [SA_HTTP_TROUBLE_REFUSED] = SA_EVENT_link_refused,
        [SA_HTTP_TROUBLE_UNREACHABLE] = SA_EVENT_link_unreachable,
        [SA_HTTP_TROUBLE_TIMEOUT] = SA_EVENT_link_timeout,
        [SA_HTTP_TROUBLE_BROKEN] = SA_EVENT_link_lost,
        [SA_HTTP_TROUBLE_INTERRUPTED] = SA_EVENT_link_timeout,
        [SA_HTTP_TROUBLE_PROXY_NAME] = SA_EVENT_link_proxy_name,
        [SA_HTTP_TROUBLE_PROXY_DOWN] = SA_EVENT_link_proxy_down,
        [SA_HTTP_TROUBLE_PROXY_AUTH] = SA_EVENT_link_proxy_auth,
        [SA_HTTP_TROUBLE_PROXY_REFUSED] = SA_EVENT_link_proxy_refused,
        [SA_HTTP_TROUBLE_PROXY_TLS] = SA_EVENT_link_proxy_tls,
        [SA_HTTP_TROUBLE_TLS] = SA_EVENT_link_tls_failed,
    };

    return events[trouble];
}

static void fail_report(sa_link__failure_t *failure, const sa_http_conn_report_t *report)
{
    if (report->trouble == SA_HTTP_TROUBLE_TLS) {
        sa_link__tls_fail(failure, report->verdict.fault, report->verdict.words);
    } else if (report->trouble == SA_HTTP_TROUBLE_PROXY_TLS && report->verdict.words[0]) {
        sa_link__fail(failure, SA_EVENT_link_proxy_tls, "%s", report->verdict.words);
    } else {
        sa_link__fail(failure, (sa_event_t)sa_link_trouble_event(report->trouble), "%s",
                      report->words);
    }
}

static bool ask_moot(void *link)
{
    return sa_link__is_moot(link);
}

static const char *or_null(const char *text)
{
    return text[0] ? text : NULL;
}

static bool read_proxy(sa_http_proxy_t *proxy, sa_link__failure_t *failure,
                       const sa_link__settings_t *settings, apr_pool_t *pool)
{
    char words[SA_LINK_REASON];
    sa_error_t *err = sa_http_proxy_read(proxy, &settings->proxy, pool);

    if (err) {
        sa_link__fail(failure, sa_error_has(err, SA_ERR_FILE_UNSAFE)
                      ? SA_EVENT_link_secret_unsafe : SA_EVENT_link_proxy_setting, "%s",
                      sa_error_text(err, words, sizeof(words)));
        sa_error_clear(err);
        return false;
    }
    return true;
}

/* Connect to URL's server; with TLS only where that comes before everything. */
static bool open_conn(sa_http_conn_t **http, sa_link__failure_t *failure, sa_link__conn_t *conn,
                      apr_interval_time_t deadline, apr_pool_t *pool)
{
    const sa_link__settings_t *settings = conn->link->settings;
    const sa_link_url_t *url = conn->url;
    bool tls = url->ws && url->tls;
    sa_http_conn_report_t report;
    sa_http_proxy_t proxy;
    sa_http_request_t request = {
        .url = apr_pstrcat(pool, tls ? "https://" : "http://", url->address, NULL),
        .timeout = deadline - sa_time_mono(), .ca_file = or_null(settings->ca_file),
        .cert_file = or_null(settings->cert_file), .key_file = or_null(settings->key_file),
        .pin_sha256 = or_null(settings->tls_pins), .tls_least = settings->tls_least,
        .insecure = settings->tls_insecure, .proxy = &proxy
    };

    if (!read_proxy(&proxy, failure, settings, pool)
        || (tls && !sa_link__tls_check_key(failure, settings, pool))) {
        return false;
    }
    if (request.timeout <= 0) {
        request.timeout = 1;
    }
    if (!sa_http_conn_open(http, &report, &request, ask_moot, conn->link, conn->pool)) {
        fail_report(failure, &report);
        return false;
    }
    return true;
}

/* ---- the first line ---------------------------------------------------------------- */

/* What a server that is none said first, as far as it is printable. */
static void fail_foreign(sa_link__failure_t *failure, const char *text, size_t length,
                         const sa_error_t *err)
{
    char words[SA_LINK_REASON];
    char start[41];
    size_t used = 0;

    while (used < length && used < sizeof(start) - 1 && text[used] >= ' ' && text[used] < 0x7f) {
        start[used] = text[used];
        used++;
    }
    start[used] = '\0';
    sa_link__fail(failure, strncmp(start, "HTTP/", 5) == 0
                  ? SA_EVENT_link_captive_portal : SA_EVENT_link_protocol,
                  "%s; it begins with \"%s\"", sa_error_text(err, words, sizeof(words)), start);
}

static bool read_info(sa_link__info_t *info, sa_link__failure_t *failure, const char *text,
                      size_t length, apr_pool_t *pool)
{
    sa_error_t *err = sa_link__info_parse(info, text, length, pool);

    if (err) {
        fail_foreign(failure, text, length, err);
        sa_error_clear(err);
        return false;
    }
    return true;
}

/* Look at what has come, without taking it. */
static apr_status_t peek(apr_socket_t *socket, char *buffer, size_t *length)
{
    apr_sockaddr_t from;

    memset(&from, 0, sizeof(from));
    *length = SA_LINK_INFO_LIMIT;
    return apr_socket_recvfrom(&from, socket, MSG_PEEK, buffer, length);
}

/* Wait for a whole first line in BUFFER. */
static bool wait_line(char *buffer, size_t *length, sa_link__failure_t *failure, sa_link_t *link,
                      apr_socket_t *socket, apr_interval_time_t deadline)
{
    size_t seen = 0;

    while (sa_time_mono() < deadline && !sa_link__is_moot(link)) {
        apr_status_t status = peek(socket, buffer, length);

        if (APR_STATUS_IS_TIMEUP(status) || APR_STATUS_IS_EAGAIN(status)) {
            continue;
        }
        if (status != APR_SUCCESS || *length == 0) {
            sa_link__fail(failure, SA_EVENT_link_lost,
                          "the server closed the connection before saying anything");
            return false;
        }
        if (memchr(buffer, '\n', *length) || *length >= SA_LINK_INFO_LIMIT || *length < seen) {
            return true;
        }
        if (*length == seen) {
            apr_sleep(apr_time_from_msec(10));  /* half a line: poll would not wait */
        }
        seen = *length;
    }
    sa_link__fail(failure, SA_EVENT_link_silent, "connected, but the server says nothing");
    return false;
}

static bool wait_info(sa_link__info_t *info, sa_link__failure_t *failure, sa_link_t *link,
                      apr_socket_t *socket, apr_interval_time_t deadline, apr_pool_t *pool)
{
    char *buffer = apr_palloc(pool, SA_LINK_INFO_LIMIT);
    const char *end;
    size_t length;

    if (!wait_line(buffer, &length, failure, link, socket, deadline)) {
        return false;
    }
    end = memchr(buffer, '\n', length);
    if (!end && length >= SA_LINK_INFO_LIMIT) {
        sa_link__fail(failure, SA_EVENT_link_protocol, "the server's INFO is longer than %d bytes",
                      SA_LINK_INFO_LIMIT);
        return false;
    }
    return read_info(info, failure, buffer, end ? (size_t)(end - buffer) : length, pool);
}

/* ---- bare -------------------------------------------------------------------------- */

static bool take_bare(sa_link__road_t *road, sa_link__failure_t *failure, sa_link__conn_t *conn,
                      sa_http_conn_t *http, apr_interval_time_t deadline, apr_pool_t *pool)
{
    apr_socket_t *socket = NULL;

    road->fd = sa_http_conn_take(http);
    sa_http_conn_close(http);
    if (road->is_first) {
        return true;
    }
    if (apr_os_sock_put(&socket, &road->fd, pool) != APR_SUCCESS) {
        sa_link__fail(failure, SA_EVENT_link_unreachable, "the socket cannot be used");
        return false;
    }
    apr_socket_timeout_set(socket, SLICE);
    return wait_info(&road->info, failure, conn->link, socket, deadline, pool);
}

/* ---- relayed ----------------------------------------------------------------------- */

static bool add_header(const char **text, char *line, apr_pool_t *pool)
{
    char *colon = strchr(line, ':');
    char *value;

    if (!colon) {
        return false;
    }
    *colon = '\0';
    value = colon + 1 + strspn(colon + 1, " \t");
    if (!sa_config_is_header_name(line) || sa_config_is_own_header(line)) {
        return false;
    }
    for (const char *c = value; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            return false;
        }
    }
    *text = apr_pstrcat(pool, *text, line, ": ", value, "\r\n", NULL);
    sa_pool_wipe_later((char *)*text, strlen(*text), pool);
    return true;
}

static bool add_headers(const char **text, char *lines, apr_pool_t *pool)
{
    char *last = NULL;

    for (char *line = apr_strtok(lines, "\r\n", &last); line;
         line = apr_strtok(NULL, "\r\n", &last)) {
        if (line[0] != '#' && !add_header(text, line, pool)) {
            return false;
        }
    }
    return true;
}

/* The configured headers and those of the private file, which may be a secret each. */
static bool read_headers(const char **text, sa_link__failure_t *failure,
                         const sa_link__settings_t *settings, apr_pool_t *pool)
{
    const char *path = settings->ws_headers_file;
    char words[SA_LINK_REASON];
    const char *lines;
    size_t length;
    sa_error_t *err;

    *text = settings->ws_headers;
    if (!path[0]) {
        return true;
    }
    err = sa_os_file_read_secret(&lines, &length, path, HEADERS_LIMIT, pool);
    if (err) {
        sa_link__fail(failure, sa_error_has(err, SA_ERR_FILE_UNSAFE)
                      ? SA_EVENT_link_secret_unsafe : SA_EVENT_link_headers_bad, "%s: %s", path,
                      sa_error_text(err, words, sizeof(words)));
        sa_error_clear(err);
        return false;
    }
    sa_pool_wipe_later((char *)lines, length, pool);
    if (strlen(lines) != length || !add_headers(text, (char *)lines, pool)) {
        sa_link__fail(failure, SA_EVENT_link_headers_bad,
                      "%s: a line of it is not \"Name: value\", or is the agent's own to say",
                      path);
        return false;
    }
    return true;
}

static bool make_relay(sa_link__failure_t *failure, sa_link__conn_t *conn, sa_http_conn_t *http,
                       apr_interval_time_t deadline, apr_pool_t *pool)
{
    char *early = apr_palloc(pool, EARLY_LIMIT);
    const char *extra;
    size_t length = 0;

    if (conn->url->ws
        && (!read_headers(&extra, failure, conn->link->settings, pool)
            || !sa_link__upgrade(http, early, EARLY_LIMIT, &length, failure, conn->link, conn->url,
                                 extra, deadline, pool))) {
        return false;
    }
    conn->relay = sa_link__relay_create(http, conn->url->ws, early, length, conn->pool);
    return true;
}

/* nats.c is not to begin TLS inside of TLS, nor to learn of addresses that lead nowhere from
 * here. */
static bool take_relayed(sa_link__road_t *road, sa_link__failure_t *failure,
                         sa_link__conn_t *conn, sa_http_conn_t *http,
                         apr_interval_time_t deadline, apr_pool_t *pool)
{
    size_t length;
    char *line;

    if (!make_relay(failure, conn, http, deadline, pool)) {
        return false;
    }
    if (!road->is_first) {
        if (!sa_link__relay_first_line(conn->relay, &line, &length, failure, conn->link, deadline)
            || !read_info(&road->info, failure, line, length, pool)) {
            return false;
        }
        if (conn->url->ws) {
            sa_link__info_hide(line, length);
            road->info.tls_required = false;
        }
    }
    return sa_link__relay_start(conn->relay, &road->fd, failure);
}

/* ---- both -------------------------------------------------------------------------- */

/* Our own address on the way, to see whether the machine still has it. */
static void note_local(sa_link__conn_t *conn, sa_http_conn_t *http, apr_pool_t *pool)
{
    apr_os_sock_t fd = sa_http_conn_socket(http);
    apr_socket_t *socket = NULL;
    apr_sockaddr_t *local = NULL;

    if (apr_os_sock_put(&socket, &fd, pool) == APR_SUCCESS
        && apr_socket_addr_get(&local, APR_LOCAL, socket) == APR_SUCCESS
        && apr_sockaddr_info_copy(&conn->local, local, conn->pool) != APR_SUCCESS) {
        conn->local = NULL;
    }
}

void sa_link__road_close(sa_link__road_t *road)
{
    apr_pool_t *pool;
    apr_socket_t *socket = NULL;

    if (road->fd == SA_LINK_NO_SOCKET) {
        return;
    }
    pool = sa_pool_create_root();
    if (apr_os_sock_put(&socket, &road->fd, pool) == APR_SUCCESS) {
        apr_socket_close(socket);
    }
    road->fd = SA_LINK_NO_SOCKET;
    apr_pool_destroy(pool);
}

bool sa_link__dial(sa_link__road_t *road, sa_link__failure_t *failure, sa_link__conn_t *conn,
                   apr_interval_time_t deadline, apr_pool_t *pool)
{
    sa_http_conn_t *http;
    bool ok;

    memset(road, 0, sizeof(*road));
    road->fd = SA_LINK_NO_SOCKET;
    road->is_first = conn->url->tls && !conn->url->ws && conn->link->settings->tls_first;
    if (!open_conn(&http, failure, conn, deadline, pool)) {
        return false;
    }
    note_local(conn, http, pool);
    if (conn->url->ws || !sa_http_conn_is_bare(http)) {
        ok = take_relayed(road, failure, conn, http, deadline, pool);
    } else {
        ok = take_bare(road, failure, conn, http, deadline, pool);
    }
    if (!ok) {
        sa_link__road_close(road);
    }
    return ok;
}
