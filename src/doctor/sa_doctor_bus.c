/* doctor: the way to the bus, step by step, and the login.
 *
 * Each step is tried by itself, so that the first that fails is named: the link would say the
 * same, but only of the step that it came to.  The login is the link's own, with a connection
 * beside the agent's: an account that is full says so. */
#include "sa_doctor_bus.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "sa_http_conn.h"
#include "sa_json.h"
#include "sa_log.h"
#include "sa_os_file.h"
#include "sa_pool.h"
#include "sa_random.h"
#include "sa_stats.h"
#include "sa_time.h"

#define INFO_LIMIT (32 * 1024)
/* A server's certificate: time to renew it. */
#define CERTIFICATE_NEAR apr_time_from_sec(14 * 86400)
/* How long a server may wait with its first line before it seems to want TLS first. */
#define SILENCE apr_time_from_msec(1500)

static const char *advice(int event)
{
    return sa_event_row((sa_event_t)event)->advice;
}

const char *sa_doctor__subject(const sa_doctor__exam_t *exam, const char *name)
{
    return apr_pstrcat(exam->pool, exam->config->subject_prefix, ".", exam->config->code, ".",
                       name, NULL);
}

static apr_status_t drop_error(void *err)
{
    sa_error_clear(err);
    return APR_SUCCESS;
}

/* The proxy, and whom it is for. */
static void find_proxy(sa_doctor__bus_t *bus, sa_doctor__exam_t *exam)
{
    sa_http_proxy_choice_t choice;

    sa_http_proxy_choose(&choice, exam->config, exam->pool);
    bus->proxy_error = sa_http_proxy_read(&bus->proxy, &choice, exam->pool);
    if (bus->proxy_error) {
        apr_pool_cleanup_register(exam->pool, bus->proxy_error, drop_error,
                                  apr_pool_cleanup_null);
        bus->proxy.url = NULL;
        return;
    }
    for (int i = 0; i < bus->count; i++) {
        bus->servers[i].proxied = sa_http_proxy_serves(&bus->proxy, bus->servers[i].url.host,
                                                       exam->pool);
    }
}

static sa_doctor__bus_t *bus_of(sa_doctor__exam_t *exam)
{
    sa_doctor__bus_t *bus = exam->bus;

    if (bus) {
        return bus;
    }
    bus = apr_pcalloc(exam->pool, sizeof(*bus));
    bus->mutex = exam->shared->mutex;
    bus->cond = exam->shared->cond;
    memcpy(bus->inbox, "_INBOX.doctor", 13);
    sa_random_text(bus->inbox + 13, 16);
    for (int i = 0; i < exam->config->nats_urls->nelts && bus->count < SA_DOCTOR__URLS; i++) {
        sa_doctor__server_t *server = &bus->servers[bus->count];
        sa_error_t *err;

        server->setting = APR_ARRAY_IDX(exam->config->nats_urls, i, const char *);
        err = sa_link_url_read(&server->url, server->setting, exam->pool);
        bus->count += err == SA_OK;
        sa_error_clear(err);
    }
    find_proxy(bus, exam);
    exam->bus = bus;
    sa_os_mutex_lock(bus->mutex);
    exam->shared->bus = bus;
    sa_os_mutex_unlock(bus->mutex);
    return bus;
}

/* The agent that asks is connected: what it stands on is tried already. */
static bool stands(sa_doctor__exam_t *exam)
{
    char url[SA_STAT_TEXT_SIZE];

    if (!exam->chart || !sa_stats_read(SA_STAT_link_connected)) {
        return false;
    }
    sa_doctor__ok(exam, "connected to %s", sa_stats_text(SA_STAT_TEXT_link_url, url));
    return true;
}

/* ---- names ------------------------------------------------------------------------------ */

/* getaddrinfo(3) knows no deadline: each name has a thread, which is left behind with its memory
 * when it does not come back. */
typedef struct lookup_t {
    apr_pool_t *pool;
    sa_os_mutex_t *mutex;
    sa_os_cond_t *cond;
    sa_os_thread_t *thread;
    const char *host;
    bool done;
    apr_status_t status;
    apr_sockaddr_t *address;
} lookup_t;

static void look_up(void *baton)
{
    lookup_t *lookup = baton;
    apr_sockaddr_t *address = NULL;
    apr_status_t status = apr_sockaddr_info_get(&address, lookup->host, APR_UNSPEC,
                                                0, 0, lookup->pool);

    sa_os_mutex_lock(lookup->mutex);
    lookup->address = address;
    lookup->status = status;
    lookup->done = true;
    sa_os_cond_broadcast(lookup->cond);
    sa_os_mutex_unlock(lookup->mutex);
}

static lookup_t *start_lookup(const char *host)
{
    apr_pool_t *pool = sa_pool_create_root();
    lookup_t *lookup = apr_pcalloc(pool, sizeof(*lookup));

    lookup->pool = pool;
    lookup->mutex = sa_os_mutex_create(pool);
    lookup->cond = sa_os_cond_create(pool);
    lookup->host = apr_pstrdup(pool, host);
    if (sa_os_thread_start(&lookup->thread, "lookup", look_up, lookup, pool) != APR_SUCCESS) {
        apr_pool_destroy(pool);
        return NULL;
    }
    return lookup;
}

/* APR_TIMEUP: it did not come back. */
static apr_status_t end_lookup(apr_sockaddr_t **address, lookup_t *lookup,
                               apr_interval_time_t deadline, apr_pool_t *pool)
{
    apr_status_t status = APR_TIMEUP;
    bool done;

    if (!lookup) {
        return APR_EGENERAL;
    }
    sa_os_mutex_lock(lookup->mutex);
    while (!lookup->done && sa_time_mono() < deadline) {
        sa_os_cond_wait(lookup->cond, lookup->mutex, deadline);
    }
    done = lookup->done;
    sa_os_mutex_unlock(lookup->mutex);
    if (!done) {
        return APR_TIMEUP;
    }
    status = lookup->status;
    if (status == APR_SUCCESS) {
        status = apr_sockaddr_info_copy(address, lookup->address, pool);
    }
    sa_os_thread_join(lookup->thread);
    apr_pool_destroy(lookup->pool);
    return status;
}

void sa_doctor__dns(sa_doctor__exam_t *exam)
{
    sa_doctor__bus_t *bus = bus_of(exam);
    lookup_t *lookups[SA_DOCTOR__URLS];
    const char *first = NULL;
    char words[128];
    int good = 0;

    if (stands(exam)) {
        return;
    }
    if (bus->count == 0) {
        sa_doctor__fail(exam, advice(SA_EVENT_link_no_urls), "nats.urls names no server");
        return;
    }
    for (int i = 0; i < bus->count; i++) {
        lookups[i] = bus->servers[i].proxied
            ? NULL : start_lookup(bus->servers[i].url.host);
    }
    for (int i = 0; i < bus->count; i++) {
        sa_doctor__server_t *server = &bus->servers[i];
        apr_sockaddr_t *address = NULL;
        apr_status_t status;
        char *ip = NULL;

        if (server->proxied) {
            sa_doctor__skip(exam, "the proxy looks the names up, or needs none");
            continue;
        }
        status = end_lookup(&address, lookups[i], exam->deadline, exam->pool);
        if (status == APR_SUCCESS && address) {
            good++;
            server->named = true;
            apr_sockaddr_ip_get(&ip, address);
            first = first ? first : strcmp(server->url.host, ip) == 0 ? ip
                : apr_psprintf(exam->pool, "%s is %s", server->url.host, ip);
        } else {
            sa_doctor__warn(exam, NULL, "%s: %s", server->url.host, APR_STATUS_IS_TIMEUP(status)
                            ? "the name server does not answer"
                            : apr_strerror(status, words, sizeof(words)));
        }
    }
    if (good == 0 && exam->finding->state == SA_DOCTOR_WARN) {
        exam->finding->state = SA_DOCTOR_FAIL;      /* none is left */
    } else if (good > 0) {
        sa_doctor__ok(exam, "%s%s", first, good > 1 ? apr_psprintf(exam->pool, ", and %d more",
                                                                   good - 1) : "");
    }
}

/* ---- sockets ---------------------------------------------------------------------------- */

/* Connect to ADDRESS ("host:port") on the way that the agent takes.  *SOCKET is NULL where PROXY
 * speaks TLS with us: what follows cannot be looked at. */
static bool open_socket(apr_socket_t **socket, sa_http_conn_report_t *report,
                        const char *address, const sa_http_proxy_t *proxy,
                        apr_interval_time_t timeout, apr_pool_t *pool)
{
    sa_http_request_t request = {
        .url = apr_pstrcat(pool, "http://", address, NULL), .timeout = timeout > 0 ? timeout : 1,
        .proxy = proxy
    };
    apr_os_sock_t descriptor;
    sa_http_conn_t *conn;

    *socket = NULL;
    if (!sa_http_conn_open(&conn, report, &request, NULL, NULL, pool)) {
        return false;
    }
    if (sa_http_conn_is_bare(conn)) {
        descriptor = sa_http_conn_take(conn);
        apr_os_sock_put(socket, &descriptor, pool);
    }
    sa_http_conn_close(conn);
    return true;
}

/* false: said why, unless QUIET. */
static bool open_server(apr_socket_t **socket, sa_doctor__exam_t *exam,
                        const sa_doctor__server_t *server, apr_interval_time_t timeout,
                        bool quiet)
{
    sa_http_conn_report_t report;

    if (open_socket(socket, &report, server->url.address,
                    server->proxied ? &exam->bus->proxy : NULL, timeout, exam->pool)) {
        return true;
    }
    if (!quiet) {
        sa_doctor__warn(exam, advice(sa_link_trouble_event(report.trouble)), "%s: %s",
                        server->url.text, report.words);
    }
    return false;
}

void sa_doctor__proxy(sa_doctor__exam_t *exam)
{
    sa_doctor__bus_t *bus = bus_of(exam);
    sa_http_conn_report_t report;
    apr_socket_t *socket;
    char words[256];

    if (bus->proxy_error) {
        sa_doctor__fail(exam, advice(SA_EVENT_link_proxy_setting), "%s",
                        sa_error_text(bus->proxy_error, words, sizeof(words)));
        return;
    }
    if (!bus->proxy.url) {
        sa_doctor__skip(exam, "none is configured");
        return;
    }
    if (stands(exam)) {
        return;
    }
    if (!open_socket(&socket, &report, sa_http_proxy_address(&bus->proxy, exam->pool), NULL,
                     sa_doctor__left(exam), exam->pool)) {
        sa_doctor__fail(exam, advice(report.trouble == SA_HTTP_TROUBLE_NAME
                                     ? SA_EVENT_link_proxy_name : SA_EVENT_link_proxy_down),
                        "%s: %s", bus->proxy.url, report.words);
        return;
    }
    apr_socket_close(socket);
    sa_doctor__ok(exam, "%s answers", bus->proxy.url);
}

/* Up to the first line's end; false: it does not come, or not within the limit. */
static bool read_line(char *buffer, apr_socket_t *socket, apr_interval_time_t deadline)
{
    size_t length = 0;

    while (length < INFO_LIMIT - 1 && sa_time_mono() < deadline) {
        apr_size_t count = INFO_LIMIT - 1 - length;
        apr_status_t status;

        apr_socket_timeout_set(socket, deadline - sa_time_mono());
        status = apr_socket_recv(socket, buffer + length, &count);
        length += count;
        buffer[length] = '\0';
        if (strchr(buffer, '\n')) {
            return true;
        }
        if (status != APR_SUCCESS) {
            return false;
        }
    }
    return false;
}

static bool is_true(const cJSON *json, const char *name)
{
    return cJSON_IsTrue(cJSON_GetObjectItem(json, name));
}

/* NATS protocol, INFO. */
static bool read_info(sa_doctor__server_t *server, const char *line, apr_pool_t *pool)
{
    const char *end = strchr(line, '\n');
    cJSON *json;
    sa_error_t *err;

    if (strncmp(line, "INFO {", 6) != 0 || !end) {
        return false;
    }
    err = sa_json_parse(&json, line + 5, (size_t)(end - line) - 5 - (end[-1] == '\r'), pool);
    if (err) {
        sa_error_clear(err);
        return false;
    }
    server->wants_tls = is_true(json, "tls_required");
    server->offers_tls = is_true(json, "tls_available");
    server->jetstream = is_true(json, "jetstream");
    apr_cpystrn(server->version, sa_json_text(json, "version") ? sa_json_text(json, "version")
                : "", sizeof(server->version));
    return true;
}

static const char *first_bytes(const char *text, apr_pool_t *pool)
{
    char *copy = apr_pstrndup(pool, text, 24);

    for (char *at = copy; *at; at++) {
        if (*at < ' ' || *at > '~') {
            *at = '.';
        }
    }
    return copy;
}

/* A server that speaks: the first line.  One that waits for TLS says nothing. */
static void hear_server(sa_doctor__exam_t *exam, sa_doctor__server_t *server,
                        apr_socket_t *socket, apr_interval_time_t deadline)
{
    char *line = apr_palloc(exam->pool, INFO_LIMIT);
    apr_interval_time_t until = sa_time_mono() + SILENCE;

    line[0] = '\0';
    if (server->url.ws) {
        server->reached = true;
        return;
    }
    if (read_line(line, socket, until < deadline ? until : deadline)) {
        server->reached = read_info(server, line, exam->pool);
        if (!server->reached) {
            sa_doctor__warn(exam, advice(SA_EVENT_link_protocol),
                            "%s: no NATS server answers there, but \"%s\"", server->url.text,
                            first_bytes(line, exam->pool));
        }
    } else if (server->url.tls) {
        server->reached = true;
        server->tls_first = true;
    } else {
        sa_doctor__warn(exam, advice(SA_EVENT_link_silent),
                        "%s accepts the connection and says nothing", server->url.text);
    }
}

static apr_interval_time_t share(const sa_doctor__exam_t *exam, int left)
{
    return sa_doctor__left(exam) / (left > 0 ? left : 1);
}

/* Connect to the server at PLACE and hear what it says.  How long connecting took; 0: in vain. */
static apr_interval_time_t try_server(sa_doctor__exam_t *exam, int place)
{
    sa_doctor__bus_t *bus = exam->bus;
    sa_doctor__server_t *server = &bus->servers[place];
    apr_interval_time_t began = sa_time_mono();
    apr_interval_time_t time = share(exam, bus->count - place);
    apr_interval_time_t took;
    apr_socket_t *socket;

    if ((!server->named && !server->proxied)
        || !open_server(&socket, exam, server, time, false)) {
        return 0;
    }
    took = sa_time_mono() - began;
    if (socket) {
        hear_server(exam, server, socket, began + time);
        apr_socket_close(socket);
    } else {
        server->reached = true;
        server->hidden = true;
    }
    bus->reached += server->reached;
    bus->server = bus->server || !server->reached ? bus->server : server;
    return took > 0 ? took : 1;
}

void sa_doctor__tcp(sa_doctor__exam_t *exam)
{
    sa_doctor__bus_t *bus = bus_of(exam);
    apr_interval_time_t took = 0;

    if (stands(exam)) {
        return;
    }
    for (int i = 0; i < bus->count; i++) {
        apr_interval_time_t each = try_server(exam, i);

        took = took ? took : each;
    }
    if (!bus->server && exam->finding->state == SA_DOCTOR_WARN) {
        exam->finding->state = SA_DOCTOR_FAIL;
    } else if (!bus->server) {
        sa_doctor__skip(exam, "no server's address is known");
    } else {
        sa_doctor__ok(exam, "%s%s%s%s, %" APR_INT64_T_FMT ".%d ms", bus->server->url.text,
                      *bus->server->version ? ", nats-server " : "", bus->server->version,
                      bus->server->proxied ? ", through the proxy" : "",
                      (apr_int64_t)(took / 1000), (int)(took % 1000 / 100));
    }
}

/* ---- TLS -------------------------------------------------------------------------------- */

static bool is_local(const sa_doctor__server_t *server)
{
    return strcmp(server->url.host, "localhost") == 0 || strncmp(server->url.host, "127.", 4) == 0
        || strcmp(server->url.host, "::1") == 0;
}

static bool uses_tls(const sa_doctor__exam_t *exam, const sa_doctor__server_t *server)
{
    return server->url.tls || server->wants_tls || server->tls_first
        || (exam->config->nats_tls_enabled && !server->url.ws);
}

static void judge_certificate(sa_doctor__exam_t *exam, const sa_doctor__server_t *server,
                              const sa_link_certificate_t *certificate)
{
    apr_interval_time_t left = certificate->chain_ends - sa_time_now();

    if (!certificate->shown) {
        sa_doctor__fail(exam, advice(certificate->event), "%s: %s", server->url.text,
                        certificate->reason);
    } else if (certificate->event != SA_EVENT_END) {
        sa_doctor__fail(exam, advice(certificate->event), "%s: %s, issued by %s", server->url.text,
                        certificate->reason, certificate->issuer);
    } else if (exam->config->nats_tls_insecure) {
        sa_doctor__warn(exam, advice(SA_EVENT_link_tls_insecure), "%s: the certificate (%s) is "
                        "not checked", server->url.text, certificate->subject);
    } else if (left < CERTIFICATE_NEAR) {
        sa_doctor__warn(exam, NULL, "%s: the certificate of %s ends in %s", server->url.text,
                        certificate->chain_ends_of, sa_doctor__span(left, exam->pool));
    } else {
        sa_doctor__ok(exam, "%s: %s, issued by %s, for %s more", server->url.text,
                      certificate->subject, certificate->issuer,
                      sa_doctor__span(left, exam->pool));
    }
}

static void look_at_certificate(sa_doctor__exam_t *exam, const sa_doctor__server_t *server,
                                apr_interval_time_t time)
{
    apr_interval_time_t deadline = sa_time_mono() + time;
    sa_link_certificate_t certificate;
    apr_socket_t *socket;
    sa_error_t *err;
    char *line = apr_palloc(exam->pool, INFO_LIMIT);

    if (!open_server(&socket, exam, server, time, true) || !socket) {
        return;         /* said by the check before */
    }
    line[0] = '\0';
    if (!server->url.ws && !server->tls_first) {
        (void)read_line(line, socket, deadline);
    }
    err = sa_link_certificate(&certificate, exam->config, server->url.host, socket,
                              deadline - sa_time_mono(), exam->pool);
    apr_socket_close(socket);
    if (err) {
        sa_doctor__fail_error(exam, advice(SA_EVENT_link_tls_files), err);
    } else {
        judge_certificate(exam, server, &certificate);
    }
}

static void check_key(sa_doctor__exam_t *exam)
{
    const char *file = exam->config->nats_tls_cert_file;

    if (file[0] && !sa_os_file_exists(file, exam->pool)) {
        sa_doctor__fail(exam, advice(SA_EVENT_link_tls_files), "nats.tls.cert_file: %s is not "
                        "there", file);
    }
}

void sa_doctor__tls(sa_doctor__exam_t *exam)
{
    sa_doctor__bus_t *bus = bus_of(exam);
    int left = bus->reached;

    if (stands(exam)) {
        return;
    }
    check_key(exam);
    for (int i = 0; i < bus->count; i++) {
        const sa_doctor__server_t *server = &bus->servers[i];

        if (!server->reached) {
            continue;
        }
        if (server->hidden) {
            sa_doctor__skip(exam, "%s lies behind a proxy that speaks TLS: see login",
                            server->url.text);
        } else if (uses_tls(exam, server)) {
            if (!server->tls_first && !server->url.ws && !server->wants_tls
                && !server->offers_tls) {
                sa_doctor__fail(exam, advice(SA_EVENT_link_tls_not_spoken),
                                "%s does not speak TLS, and TLS is required here",
                                server->url.text);
            } else {
                look_at_certificate(exam, server, share(exam, left));
            }
        } else if (is_local(server)) {
            sa_doctor__skip(exam, "%s is this machine, in the clear", server->url.text);
        } else {
            sa_doctor__warn(exam, "Give the server a certificate and use tls://; what is said, and "
                            "who we are, can be read on the way.", "%s is spoken to in the clear",
                            server->url.text);
        }
        left--;
    }
    if (!bus->server) {
        sa_doctor__skip(exam, "no server was reached");
    }
}

/* ---- login ------------------------------------------------------------------------------ */

static const char *field_of(const sa_field_t *fields, const char *key)
{
    for (; fields->type != SA_FIELD_TYPE_END; fields++) {
        if (fields->type == SA_FIELD_TYPE_STRING && strcmp(fields->key, key) == 0) {
            return fields->string;
        }
    }
    return NULL;
}

/* The log of the process is ours while we look: nothing of it is written. */
bool sa_doctor__on_event(void *baton, sa_event_t event, const sa_field_t *fields)
{
    sa_doctor__shared_t *shared = baton;
    const char *reason = field_of(fields, "reason");
    sa_doctor__bus_t *bus;

    sa_os_mutex_lock(shared->mutex);
    bus = shared->bus;
    if (!bus) {
        /* of another group: its findings say it */
    } else if (event == SA_EVENT_link_denied_subscribe || event == SA_EVENT_link_denied_optional) {
        /* the link is asked */
    } else if (sa_event_row(event)->level <= SA_LEVEL_warn
               && bus->event_count < SA_DOCTOR__EVENTS) {
        sa_doctor__event_t *kept = &bus->events[bus->event_count++];

        kept->event = event;
        if (reason) {
            apr_cpystrn(kept->reason, reason, sizeof(kept->reason));
        } else {
            sa_log_describe(kept->reason, sizeof(kept->reason), event, fields);
        }
    }
    sa_os_cond_broadcast(shared->cond);
    sa_os_mutex_unlock(shared->mutex);
    return true;
}

static void on_edge(void *baton, bool up)
{
    sa_doctor__bus_t *bus = baton;

    sa_os_mutex_lock(bus->mutex);
    bus->up = up;
    sa_os_cond_broadcast(bus->cond);
    sa_os_mutex_unlock(bus->mutex);
}

static void keep_answer(sa_doctor__bus_t *bus, apr_uint64_t token, bool trace,
                        sa_link_message_t **message)
{
    sa_os_mutex_lock(bus->mutex);
    if (bus->answer_count < SA_DOCTOR__ANSWERS) {
        bus->answers[bus->answer_count++] = (sa_doctor__answer_t){token, trace, sa_time_now(),
                                                                  *message};
        *message = NULL;
        sa_os_cond_broadcast(bus->cond);
    }
    sa_os_mutex_unlock(bus->mutex);
}

static void on_ack(void *baton, apr_uint64_t token, sa_link_message_t **message)
{
    keep_answer(baton, token, false, message);
}

static void on_trace(void *baton, sa_link_message_t **message)
{
    const char *dot = strrchr(sa_link_message_subject(*message), '.');

    keep_answer(baton, dot ? strtoull(dot + 1, NULL, 16) : 0, true, message);
}

/* Others than the doctor answer them. */
static void on_request(void *baton, sa_link_message_t **message)
{
    (void)baton;
    (void)message;
}

static void subscribe(sa_doctor__exam_t *exam, const char *subject, bool optional)
{
    sa_doctor__bus_t *bus = exam->bus;

    bus->subscribed[bus->subscribed_count] = subject;
    bus->optional[bus->subscribed_count++] = optional;
    sa_link_subscribe(bus->link, subject, optional, on_request, NULL);
}

/* The agent's own subscriptions, and one for traces. */
static void subscribe_all(sa_doctor__exam_t *exam)
{
    sa_doctor__bus_t *bus = exam->bus;

    sa_link_subscribe(bus->link, apr_pstrcat(exam->pool, bus->inbox, ".*", NULL), false, on_trace,
                      bus);
    subscribe(exam, sa_doctor__subject(exam, "cmd.*"), false);
    if (exam->config->nats_micro) {
        subscribe(exam, "$SRV.*", true);
        subscribe(exam, "$SRV.*.stone-agent", true);
        subscribe(exam, "$SRV.*.stone-agent.*", true);
    }
}

/* The servers that were reached, at once, and once. */
static sa_config_t *config_for(sa_doctor__exam_t *exam)
{
    sa_config_t *config = apr_pmemdup(exam->pool, exam->config, sizeof(*config));
    apr_array_header_t *urls = apr_array_make(exam->pool, 4, sizeof(const char *));

    for (int i = 0; i < exam->bus->count; i++) {
        if (exam->bus->servers[i].reached) {
            APR_ARRAY_PUSH(urls, const char *) = exam->bus->servers[i].setting;
        }
    }
    config->nats_urls = urls;
    config->nats_connect_spread = 0;
    config->nats_connect_timeout = config->nats_connect_timeout < sa_doctor__left(exam)
        ? config->nats_connect_timeout : sa_doctor__left(exam);
    config->nats_reconnect_wait = apr_time_from_sec(60);
    config->nats_reconnect_max = apr_time_from_sec(60);
    config->code = apr_pstrcat(exam->pool, config->code, "/doctor", NULL);
    return config;
}

/* Until it is up, all servers have refused, or the time is over. */
static bool wait_for_login(sa_doctor__exam_t *exam, int servers)
{
    sa_doctor__bus_t *bus = exam->bus;
    bool up;

    sa_os_mutex_lock(bus->mutex);
    while (!bus->up && bus->event_count < servers && sa_time_mono() < exam->deadline) {
        sa_os_cond_wait(bus->cond, bus->mutex, exam->deadline);
    }
    up = bus->up;
    sa_os_mutex_unlock(bus->mutex);
    return up;
}

/* A server that has no room says so behind its first line and closes: by the time that the link
 * has written its login the words are lost. */
static const char *last_words(sa_doctor__exam_t *exam, const sa_doctor__server_t *server)
{
    apr_interval_time_t deadline = sa_time_mono() + SILENCE;
    char *line = apr_palloc(exam->pool, INFO_LIMIT);
    apr_socket_t *socket;
    const char *words = NULL;

    if (!server || server->url.ws || server->tls_first
        || !open_server(&socket, exam, server, SILENCE, true) || !socket) {
        return NULL;
    }
    line[0] = '\0';
    if (read_line(line, socket, deadline)) {
        const char *rest = strchr(line, '\n') + 1;

        if (!*rest) {
            line[0] = '\0';
            (void)read_line(line, socket, sa_time_mono() + apr_time_from_msec(300));
            rest = line;
        }
        words = strncmp(rest, "-ERR ", 5) == 0
            ? apr_pstrmemdup(exam->pool, rest + 5, strcspn(rest + 5, "\r\n")) : NULL;
    }
    apr_socket_close(socket);
    return words;
}

static void judge_login(sa_doctor__exam_t *exam)
{
    sa_doctor__bus_t *bus = exam->bus;
    sa_doctor__event_t last = {.event = SA_EVENT_END};
    char url[SA_STAT_TEXT_SIZE];
    char tls[SA_STAT_TEXT_SIZE];

    sa_os_mutex_lock(bus->mutex);
    for (int i = 0; i < bus->event_count; i++) {
        if (bus->events[i].event != SA_EVENT_link_tls_insecure) {
            last = bus->events[i];
        }
    }
    sa_os_mutex_unlock(bus->mutex);
    if (bus->logged_in) {
        sa_doctor__ok(exam, "%s lets us in (%s)", sa_stats_text(SA_STAT_TEXT_link_url, url),
                      sa_stats_text(SA_STAT_TEXT_link_tls, tls));
    } else if (last.event != SA_EVENT_END) {
        const char *words = last.event == SA_EVENT_link_lost ? last_words(exam, bus->server)
                                                             : NULL;

        if (words && strstr(words, "maximum connections")) {
            last.event = SA_EVENT_link_connections_full;
        }
        sa_doctor__fail(exam, advice(last.event), "%s: %s", sa_event_row(last.event)->text,
                        words ? words : last.reason);
    } else {
        sa_doctor__fail(exam, advice(SA_EVENT_link_timeout), "no answer to the login in time");
    }
}

static void login_from_inside(sa_doctor__exam_t *exam)
{
    char reason[SA_STAT_TEXT_SIZE];
    sa_event_t event = exam->chart->link_event;

    if (stands(exam)) {
        return;
    }
    sa_stats_text(SA_STAT_TEXT_link_error, reason);
    sa_doctor__fail(exam, event != SA_EVENT_END ? advice(event) : NULL, "not connected: %s",
                    *reason ? reason : "the first attempt has not ended yet");
}

void sa_doctor__login(sa_doctor__exam_t *exam)
{
    sa_doctor__bus_t *bus = bus_of(exam);
    sa_config_t *config;
    sa_error_t *err;

    if (exam->chart) {
        login_from_inside(exam);
        return;
    }
    if (!bus->server) {
        sa_doctor__skip(exam, "no server was reached");
        return;
    }
    config = config_for(exam);
    err = sa_link_create(&bus->link, exam->pool);
    if (!err) {
        sa_link_on_edge(bus->link, on_edge, bus);
        sa_link_on_ack(bus->link, on_ack, bus);
        subscribe_all(exam);
        err = sa_link_start(bus->link, config);
    }
    if (err) {
        sa_doctor__fail_error(exam, NULL, err);
        return;
    }
    bus->logged_in = wait_for_login(exam, config->nats_urls->nelts);
    judge_login(exam);
}

void sa_doctor__bus_end(sa_doctor__exam_t *exam)
{
    sa_doctor__bus_t *bus = exam->bus;

    if (!bus || !bus->link) {
        return;
    }
    sa_link_stop(bus->link, 0);
    for (int i = 0; i < bus->answer_count; i++) {
        sa_link_message_destroy(bus->answers[i].message);
    }
}
