/* A small HTTP server for tests, which can misbehave. */
#include "sa_test_http.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_atomic.h>
#include <apr_cstr.h>
#include <apr_network_io.h>
#include <apr_poll.h>
#include <apr_portable.h>
#include <apr_strings.h>
#include <apr_time.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <zlib.h>

#include "sa_error.h"
#include "sa_os_thread.h"
#include "sa_pool.h"

#define CONNECTIONS_MAX 256
#define HEAD_MAX 8192
#define BODY_MAX 65536
/* How long a blocked call may go on before it looks whether to stop. */
#define TICK apr_time_from_msec(50)

struct sa_test_http_t {
    apr_pool_t *pool;
    const sa_test_http_answer_t *answers;
    apr_socket_t *listener;
    SSL_CTX *tls;
    int port;
    sa_os_thread_t *acceptor;
    sa_os_thread_t *threads[CONNECTIONS_MAX];   /* the acceptor's until it is joined */
    int thread_count;
    apr_uint32_t stopping;              /* atomic */
    sa_os_mutex_t *mutex;               /* guards the next four */
    char last_request[HEAD_MAX];
    char last_body[BODY_MAX];
    int requests;
    int connections;
};

struct sa_test_http_connection_t {
    sa_test_http_t *server;
    apr_pool_t *pool;
    apr_socket_t *socket;
    SSL *tls;
};

static bool is_stopping(const sa_test_http_connection_t *connection)
{
    return apr_atomic_read32(&connection->server->stopping) != 0;
}

/* ---- bytes ------------------------------------------------------------------ */

/* Wait until SOCKET is ready for EVENTS, or a tick is over. */
static bool wait_for(apr_socket_t *socket, apr_int16_t events, apr_pool_t *pool)
{
    apr_pollfd_t poll_for = {.desc_type = APR_POLL_SOCKET};
    apr_int32_t ready = 0;

    poll_for.p = pool;
    poll_for.desc.s = socket;
    poll_for.reqevents = events;
    return apr_poll(&poll_for, 1, &ready, TICK) == APR_SUCCESS && ready > 0;
}

static void wait_for_tls(sa_test_http_connection_t *connection, int error)
{
    wait_for(connection->socket, error == SSL_ERROR_WANT_WRITE ? APR_POLLOUT : APR_POLLIN,
             connection->pool);
}

static bool send_tls(sa_test_http_connection_t *connection, const char *data, size_t length)
{
    while (length > 0 && !is_stopping(connection)) {
        int sent = SSL_write(connection->tls, data, (int)(length > 16384 ? 16384 : length));

        if (sent > 0) {
            data += sent;
            length -= (size_t)sent;
        } else {
            int error = SSL_get_error(connection->tls, sent);

            if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
                return false;
            }
            wait_for_tls(connection, error);
        }
    }
    return length == 0;
}

bool sa_test_http_send(sa_test_http_connection_t *connection, const void *data, size_t length)
{
    const char *p = data;

    if (connection->tls) {
        return send_tls(connection, p, length);
    }
    while (length > 0 && !is_stopping(connection)) {
        apr_size_t sent = length;
        apr_status_t status = apr_socket_send(connection->socket, p, &sent);

        if (status != APR_SUCCESS && !APR_STATUS_IS_TIMEUP(status) &&
            !APR_STATUS_IS_EAGAIN(status)) {
            return false;
        }
        p += sent;
        length -= sent;
    }
    return length == 0;
}

static bool send_text(sa_test_http_connection_t *connection, const char *text)
{
    return sa_test_http_send(connection, text, strlen(text));
}

/* One byte.  1: here it is; 0: nothing yet; -1: over. */
static int receive_byte(sa_test_http_connection_t *connection, char *byte)
{
    apr_size_t length = 1;
    apr_status_t status;

    if (connection->tls) {
        int received = SSL_read(connection->tls, byte, 1);
        int error = SSL_get_error(connection->tls, received);

        if (received == 1) {
            return 1;
        }
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
            return -1;
        }
        wait_for_tls(connection, error);
        return 0;
    }
    status = apr_socket_recv(connection->socket, byte, &length);
    if (length == 1) {
        return 1;
    }
    return APR_STATUS_IS_TIMEUP(status) || APR_STATUS_IS_EAGAIN(status) ? 0 : -1;
}

/* Wait by looking for a byte that a client has no reason to send. */
bool sa_test_http_pause(sa_test_http_connection_t *connection, int milliseconds)
{
    apr_time_t end = apr_time_now() + apr_time_from_msec(milliseconds);
    char byte;

    apr_socket_timeout_set(connection->socket, apr_time_from_msec(10));
    while (apr_time_now() < end && !is_stopping(connection)) {
        if (receive_byte(connection, &byte) < 0) {
            return false;
        }
    }
    apr_socket_timeout_set(connection->socket, TICK);
    return !is_stopping(connection);
}

/* ---- serving ------------------------------------------------------------------- */

static bool read_head(sa_test_http_connection_t *connection, char *head, size_t size)
{
    size_t length = 0;

    while (length + 1 < size && !is_stopping(connection)) {
        int got = receive_byte(connection, head + length);

        if (got < 0) {
            return false;
        }
        length += (size_t)got;
        if (length >= 4 && memcmp(head + length - 4, "\r\n\r\n", 4) == 0) {
            head[length] = '\0';
            return true;
        }
    }
    return false;
}

static size_t body_length(const char *head)
{
    for (const char *line = strchr(head, '\n'); line; line = strchr(line + 1, '\n')) {
        if (apr_cstr_casecmpn(line + 1, "Content-Length:", 15) == 0) {
            return strtoul(line + 16, NULL, 10);
        }
    }
    return 0;
}

static bool read_body(sa_test_http_connection_t *connection, const char *head)
{
    sa_test_http_t *server = connection->server;
    size_t wanted = body_length(head);
    size_t length = 0;
    char *body;

    if (wanted == 0) {
        return true;
    }
    body = apr_pcalloc(connection->pool, BODY_MAX);
    while (length < wanted && length + 1 < BODY_MAX && !is_stopping(connection)) {
        int got = receive_byte(connection, body + length);

        if (got < 0) {
            return false;
        }
        length += (size_t)got;
    }
    sa_os_mutex_lock(server->mutex);
    memcpy(server->last_body, body, BODY_MAX);
    sa_os_mutex_unlock(server->mutex);
    return length == wanted;
}

static bool answer(sa_test_http_connection_t *connection, const char *head)
{
    const sa_test_http_answer_t *found = connection->server->answers;
    const char *path = strchr(head, ' ');
    size_t length;

    if (!path) {
        return false;
    }
    path++;
    length = strcspn(path, " ");
    while (found->path &&
           (strlen(found->path) != length || memcmp(found->path, path, length) != 0)) {
        found++;
    }
    return found->path ? found->serve(connection, found->argument)
                       : sa_test_http_status(connection, "404 Not Found");
}

static bool accept_tls(sa_test_http_connection_t *connection)
{
    apr_os_sock_t descriptor;

    apr_os_sock_get(&descriptor, connection->socket);
    connection->tls = SSL_new(connection->server->tls);
    SSL_set_fd(connection->tls, (int)descriptor);
    while (!is_stopping(connection)) {
        int result = SSL_accept(connection->tls);
        int error = SSL_get_error(connection->tls, result);

        if (result == 1) {
            return true;
        }
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
            return false;
        }
        wait_for_tls(connection, error);
    }
    return false;
}

static void serve_connection(void *baton)
{
    sa_test_http_connection_t *connection = baton;
    sa_test_http_t *server = connection->server;
    char *head = apr_palloc(connection->pool, HEAD_MAX);
    bool go_on = !server->tls || accept_tls(connection);

    while (go_on && read_head(connection, head, HEAD_MAX)) {
        sa_os_mutex_lock(server->mutex);
        apr_cpystrn(server->last_request, head, sizeof(server->last_request));
        server->requests++;
        sa_os_mutex_unlock(server->mutex);
        go_on = read_body(connection, head) && answer(connection, head);
    }
    if (connection->tls) {
        SSL_shutdown(connection->tls);
        SSL_free(connection->tls);
        ERR_clear_error();
    }
    apr_socket_close(connection->socket);
    apr_pool_destroy(connection->pool);
}

static void accept_one(sa_test_http_t *server)
{
    apr_pool_t *pool = sa_pool_create_root();
    sa_test_http_connection_t *connection = apr_pcalloc(pool, sizeof(*connection));

    if (apr_socket_accept(&connection->socket, server->listener, pool) != APR_SUCCESS) {
        apr_pool_destroy(pool);
        return;
    }
    apr_socket_opt_set(connection->socket, APR_TCP_NODELAY, 1);
    apr_socket_timeout_set(connection->socket, TICK);
    connection->server = server;
    connection->pool = pool;
    sa_os_mutex_lock(server->mutex);
    server->connections++;
    sa_os_mutex_unlock(server->mutex);
    SA_ASSERT(sa_os_thread_start(&server->threads[server->thread_count], "test-http",
                                 serve_connection, connection, server->pool) == APR_SUCCESS);
    server->thread_count++;
}

static void accept_connections(void *baton)
{
    sa_test_http_t *server = baton;

    while (apr_atomic_read32(&server->stopping) == 0) {
        if (wait_for(server->listener, APR_POLLIN, server->pool)) {
            SA_ASSERT(server->thread_count < CONNECTIONS_MAX);
            accept_one(server);
        }
    }
}

/* ---- start, stop ------------------------------------------------------------------- */

static void prepare_tls(sa_test_http_t *server, const sa_test_cert_t *cert)
{
    server->tls = SSL_CTX_new(TLS_server_method());
    SA_ASSERT(server->tls != NULL);
    SSL_CTX_set_mode(server->tls,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SA_ASSERT(SSL_CTX_use_certificate(server->tls, cert->cert) == 1);
    SA_ASSERT(SSL_CTX_use_PrivateKey(server->tls, cert->key) == 1);
}

static void prepare_listener(sa_test_http_t *server)
{
    apr_sockaddr_t *address;

    SA_ASSERT(apr_sockaddr_info_get(&address, "127.0.0.1", APR_INET, 0, 0, server->pool) ==
              APR_SUCCESS);
    SA_ASSERT(apr_socket_create(&server->listener, APR_INET, SOCK_STREAM, APR_PROTO_TCP,
                                server->pool) == APR_SUCCESS);
    SA_ASSERT(apr_socket_bind(server->listener, address) == APR_SUCCESS);
    SA_ASSERT(apr_socket_listen(server->listener, 64) == APR_SUCCESS);
    SA_ASSERT(apr_socket_addr_get(&address, APR_LOCAL, server->listener) == APR_SUCCESS);
    server->port = address->port;
    apr_socket_timeout_set(server->listener, TICK);
}

/* The acceptor makes sockets and threads in the server's pool: it is a root,
 * used by that thread alone until it is joined. */
sa_test_http_t *sa_test_http_start(const sa_test_http_answer_t *answers,
                                   const sa_test_cert_t *cert, apr_pool_t *pool)
{
    sa_test_http_t *server = apr_pcalloc(pool, sizeof(*server));

    server->pool = sa_pool_create_root();
    server->answers = answers;
    server->mutex = sa_os_mutex_create(server->pool);
    if (cert) {
        prepare_tls(server, cert);
    }
    prepare_listener(server);
    SA_ASSERT(sa_os_thread_start(&server->acceptor, "test-accept", accept_connections, server,
                                 pool) == APR_SUCCESS);
    return server;
}

void sa_test_http_stop(sa_test_http_t *server)
{
    apr_atomic_set32(&server->stopping, 1);
    sa_os_thread_join(server->acceptor);
    for (int i = 0; i < server->thread_count; i++) {
        sa_os_thread_join(server->threads[i]);
    }
    apr_socket_close(server->listener);
    SSL_CTX_free(server->tls);
    apr_pool_destroy(server->pool);
}

int sa_test_http_port(const sa_test_http_t *server)
{
    return server->port;
}

const char *sa_test_http_url(const sa_test_http_t *server, const char *path, apr_pool_t *pool)
{
    return apr_psprintf(pool, "%s://127.0.0.1:%d%s", server->tls ? "https" : "http",
                        server->port, path);
}

const char *sa_test_http_last_request(sa_test_http_t *server, apr_pool_t *pool)
{
    const char *text;

    sa_os_mutex_lock(server->mutex);
    text = apr_pstrdup(pool, server->last_request);
    sa_os_mutex_unlock(server->mutex);
    return text;
}

const char *sa_test_http_last_body(sa_test_http_t *server, apr_pool_t *pool)
{
    const char *text;

    sa_os_mutex_lock(server->mutex);
    text = apr_pstrdup(pool, server->last_body);
    sa_os_mutex_unlock(server->mutex);
    return text;
}

/* Old versions need algorithms that the default level of security forbids. */
void sa_test_http_limit_tls(sa_test_http_t *server, int version)
{
    SSL_CTX_set_security_level(server->tls, 0);
    SSL_CTX_set_min_proto_version(server->tls, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(server->tls, version);
}

void sa_test_http_ask_certificate(sa_test_http_t *server, const sa_test_cert_t *authority)
{
    SA_ASSERT(X509_STORE_add_cert(SSL_CTX_get_cert_store(server->tls), authority->cert) == 1);
    SSL_CTX_set_verify(server->tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_read_ahead(server->tls, 1);     /* nothing unread: a reset would drop the alert */
}

int sa_test_http_requests(sa_test_http_t *server)
{
    int requests;

    sa_os_mutex_lock(server->mutex);
    requests = server->requests;
    sa_os_mutex_unlock(server->mutex);
    return requests;
}

int sa_test_http_connections(sa_test_http_t *server)
{
    int connections;

    sa_os_mutex_lock(server->mutex);
    connections = server->connections;
    sa_os_mutex_unlock(server->mutex);
    return connections;
}

/* ---- answers ------------------------------------------------------------------------- */

static bool send_answer(sa_test_http_connection_t *connection, const char *status,
                        const char *headers, const void *body, size_t length)
{
    char head[1024];

    snprintf(head, sizeof(head), "HTTP/1.1 %s\r\n%sContent-Length: %lu\r\n\r\n", status, headers,
             (unsigned long)length);
    return send_text(connection, head) && sa_test_http_send(connection, body, length);
}

bool sa_test_http_text(sa_test_http_connection_t *connection, const void *text)
{
    return send_answer(connection, "200 OK", "Content-Type: text/plain; version=0.0.4\r\n", text,
                       strlen(text));
}

bool sa_test_http_status(sa_test_http_connection_t *connection, const void *line)
{
    return send_answer(connection, line, "Content-Type: text/html\r\n", "<p>no", 5);
}

bool sa_test_http_redirect(sa_test_http_connection_t *connection, const void *location)
{
    char headers[512];

    snprintf(headers, sizeof(headers), "Location: %s\r\n", (const char *)location);
    return send_answer(connection, "302 Found", headers, "", 0);
}

bool sa_test_http_raw(sa_test_http_connection_t *connection, const void *bytes)
{
    send_text(connection, bytes);
    return false;
}

/* Compress LENGTH bytes, which are those of TEXT or (NULL) zeros. */
static void *compress_body(size_t *compressed, const char *text, size_t length)
{
    static char zeros[65536];
    z_stream stream;
    size_t size = 65536 + length / 500;
    unsigned char *out = malloc(size);
    int result = Z_OK;

    memset(&stream, 0, sizeof(stream));
    SA_ASSERT(out != NULL);
    SA_ASSERT(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) == Z_OK);
    stream.next_out = out;
    stream.avail_out = (uInt)size;
    while (result == Z_OK) {
        size_t chunk = length < sizeof(zeros) ? length : sizeof(zeros);

        stream.next_in = (Bytef *)(text ? (uintptr_t)text : (uintptr_t)zeros);
        stream.avail_in = (uInt)chunk;
        length -= chunk;
        text = text ? text + chunk : NULL;
        result = deflate(&stream, length == 0 ? Z_FINISH : Z_NO_FLUSH);
    }
    SA_ASSERT(result == Z_STREAM_END);
    *compressed = size - stream.avail_out;
    deflateEnd(&stream);
    return out;
}

static bool send_compressed(sa_test_http_connection_t *connection, const char *text,
                            size_t length)
{
    size_t compressed;
    void *body = compress_body(&compressed, text, length);
    bool sent = send_answer(connection, "200 OK", "Content-Encoding: gzip\r\n", body, compressed);

    free(body);
    return sent;
}

bool sa_test_http_gzip(sa_test_http_connection_t *connection, const void *text)
{
    return send_compressed(connection, text, strlen(text));
}

bool sa_test_http_gzip_bomb(sa_test_http_connection_t *connection, const void *nothing)
{
    (void)nothing;
    return send_compressed(connection, NULL, 100 * 1000 * 1000);
}

bool sa_test_http_endless(sa_test_http_connection_t *connection, const void *nothing)
{
    char block[4096];

    (void)nothing;
    memset(block, 'x', sizeof(block));
    send_text(connection, "HTTP/1.1 200 OK\r\n\r\n");
    while (sa_test_http_send(connection, block, sizeof(block))) {
    }
    return false;
}

bool sa_test_http_drip(sa_test_http_connection_t *connection, const void *nothing)
{
    (void)nothing;
    send_text(connection, "HTTP/1.1 200 OK\r\n\r\n");
    while (send_text(connection, "x") && sa_test_http_pause(connection, 100)) {
    }
    return false;
}

bool sa_test_http_silence(sa_test_http_connection_t *connection, const void *nothing)
{
    (void)nothing;
    while (sa_test_http_pause(connection, 1000)) {
    }
    return false;
}

bool sa_test_http_header_flood(sa_test_http_connection_t *connection, const void *nothing)
{
    (void)nothing;
    send_text(connection, "HTTP/1.1 200 OK\r\n");
    while (send_text(connection, "X-Flood: 0123456789012345678901234567890123456789\r\n")) {
    }
    return false;
}

bool sa_test_http_continue_flood(sa_test_http_connection_t *connection, const void *nothing)
{
    (void)nothing;
    while (send_text(connection, "HTTP/1.1 100 Continue\r\n\r\n")) {
    }
    return false;
}
