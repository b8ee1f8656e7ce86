/* A small proxy for tests, which can misbehave. */
#include "sa_test_proxy.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <apr_atomic.h>
#include <apr_encode.h>
#include <apr_network_io.h>
#include <apr_poll.h>
#include <apr_portable.h>
#include <apr_strings.h>
#include <apr_time.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "sa_error.h"
#include "sa_os_thread.h"
#include "sa_pool.h"

#define CONNECTIONS_MAX 256
#define HEAD_MAX 4096
#define TICK apr_time_from_msec(20)

struct sa_test_proxy_t {
    apr_pool_t *pool;
    sa_test_proxy_plan_t plan;
    SSL_CTX *tls;
    apr_socket_t *listener;
    int port;
    sa_os_thread_t *acceptor;
    sa_os_thread_t *threads[CONNECTIONS_MAX];   /* the acceptor's until it is joined */
    int thread_count;
    apr_uint32_t stopping;          /* atomic */
    apr_uint32_t connections;       /* atomic */
    sa_os_mutex_t *mutex;           /* guards the next one */
    char asked[HEAD_MAX];
};

typedef struct client_t {
    sa_test_proxy_t *proxy;
    apr_pool_t *pool;
    apr_socket_t *socket;
    SSL *tls;
    apr_socket_t *target;
} client_t;

static bool is_stopping(const client_t *client)
{
    return apr_atomic_read32(&client->proxy->stopping) != 0;
}

/* ---- bytes ---------------------------------------------------------------------------- */

static bool wait_for(apr_socket_t *socket, apr_pool_t *pool)
{
    apr_pollfd_t poll_for = {.desc_type = APR_POLL_SOCKET, .reqevents = APR_POLLIN};
    apr_int32_t ready = 0;

    poll_for.p = pool;
    poll_for.desc.s = socket;
    return apr_poll(&poll_for, 1, &ready, TICK) == APR_SUCCESS && ready > 0;
}

static bool is_soon(apr_status_t status)
{
    return APR_STATUS_IS_TIMEUP(status) || APR_STATUS_IS_EAGAIN(status);
}

/* More than 0: so many bytes; 0: nothing yet; less: over. */
static int take(client_t *client, char *data, size_t size)
{
    apr_size_t length = size;
    apr_status_t status;

    if (client->tls) {
        int got = SSL_read(client->tls, data, (int)size);

        if (got <= 0 && SSL_get_error(client->tls, got) == SSL_ERROR_WANT_READ) {
            wait_for(client->socket, client->pool);
            return 0;
        }
        return got > 0 ? got : -1;
    }
    status = apr_socket_recv(client->socket, data, &length);
    if (length > 0) {
        return (int)length;
    }
    return is_soon(status) ? 0 : -1;
}

static bool give(client_t *client, const char *data, size_t length)
{
    while (length > 0 && !is_stopping(client)) {
        apr_size_t sent = length;

        if (client->tls) {
            int wrote = SSL_write(client->tls, data, (int)length);

            if (wrote <= 0 && SSL_get_error(client->tls, wrote) != SSL_ERROR_WANT_WRITE) {
                return false;
            }
            sent = wrote > 0 ? (apr_size_t)wrote : 0;
        } else {
            apr_status_t status = apr_socket_send(client->socket, data, &sent);

            if (status != APR_SUCCESS && !is_soon(status)) {
                return false;
            }
        }
        data += sent;
        length -= sent;
    }
    return length == 0;
}

static bool give_target(client_t *client, const char *data, size_t length)
{
    while (length > 0 && !is_stopping(client)) {
        apr_size_t sent = length;
        apr_status_t status = apr_socket_send(client->target, data, &sent);

        if (status != APR_SUCCESS && !is_soon(status)) {
            return false;
        }
        data += sent;
        length -= sent;
    }
    return length == 0;
}

/* Exactly LENGTH. */
static bool take_all(client_t *client, char *data, size_t length)
{
    while (length > 0 && !is_stopping(client)) {
        int got = take(client, data, length);

        if (got < 0) {
            return false;
        }
        data += got;
        length -= (size_t)got;
    }
    return length == 0;
}

static bool take_head(client_t *client, char *head)
{
    size_t length = 0;

    while (length + 1 < HEAD_MAX && take_all(client, head + length, 1)) {
        length++;
        head[length] = '\0';
        if (length >= 4 && strcmp(head + length - 4, "\r\n\r\n") == 0) {
            return true;
        }
    }
    return false;
}

/* Until the other end closes, or the test ends. */
static void linger(client_t *client)
{
    char data[256];

    while (!is_stopping(client) && take(client, data, sizeof(data)) >= 0) {
        continue;
    }
}

/* ---- the tunnel ------------------------------------------------------------------------- */

static bool reach(client_t *client, const char *host, int port)
{
    apr_sockaddr_t *address;

    if (apr_sockaddr_info_get(&address, host, APR_INET, (apr_port_t)port, 0, client->pool)
            != APR_SUCCESS
        || apr_socket_create(&client->target, APR_INET, SOCK_STREAM, APR_PROTO_TCP, client->pool)
               != APR_SUCCESS
        || apr_socket_connect(client->target, address) != APR_SUCCESS) {
        return false;
    }
    apr_socket_opt_set(client->target, APR_TCP_NODELAY, 1);
    apr_socket_timeout_set(client->target, TICK);
    return true;
}

static void carry(client_t *client)
{
    char data[16384];

    apr_socket_timeout_set(client->socket, apr_time_from_msec(1));
    apr_socket_timeout_set(client->target, apr_time_from_msec(1));
    while (!is_stopping(client)) {
        apr_size_t length = sizeof(data);
        apr_status_t status;
        int got = take(client, data, sizeof(data));

        if (got < 0 || !give_target(client, data, (size_t)got)) {
            return;
        }
        status = apr_socket_recv(client->target, data, &length);
        if (!give(client, data, length) || (status != APR_SUCCESS && !is_soon(status))) {
            return;
        }
    }
}

static void note(sa_test_proxy_t *proxy, const char *text)
{
    sa_os_mutex_lock(proxy->mutex);
    apr_cpystrn(proxy->asked, text, sizeof(proxy->asked));
    sa_os_mutex_unlock(proxy->mutex);
}

/* ---- HTTP -------------------------------------------------------------------------------- */

static bool give_text(client_t *client, const char *text)
{
    return give(client, text, strlen(text));
}

static bool has_login(const client_t *client, const char *head)
{
    const char *login = client->proxy->plan.login;
    const char *text;

    if (!login) {
        return true;
    }
    text = apr_pencode_base64(client->pool, login, APR_ENCODE_STRING, APR_ENCODE_NONE, NULL);
    return strstr(head, apr_pstrcat(client->pool, "Proxy-Authorization: Basic ", text, "\r\n",
                                    NULL)) != NULL;
}

static void connect_target(client_t *client, char *head)
{
    char *host = head + strlen("CONNECT ");
    char *end;
    char *colon;

    host[strcspn(host, " ")] = '\0';
    colon = strrchr(host, ':');
    if (!colon) {
        give_text(client, "HTTP/1.1 400 Bad Request\r\n\r\n");
        return;
    }
    *colon = '\0';
    end = strchr(host, ']');
    if (host[0] == '[' && end) {
        host++;
        *end = '\0';
    }
    if (!reach(client, host, (int)strtol(colon + 1, NULL, 10))) {
        give_text(client, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
        linger(client);
        return;
    }
    if (give_text(client, "HTTP/1.1 200 Connection established\r\nVia: a test\r\n\r\n")) {
        carry(client);
    }
}

static void flood(client_t *client)
{
    bool go_on = give_text(client, "HTTP/1.1 200 OK\r\n");

    while (go_on && !is_stopping(client)) {
        go_on = give_text(client, "X-More: and more of it, as much as anybody wants to have\r\n");
    }
}

static void drip(client_t *client)
{
    bool go_on = give_text(client, "HTTP/1.1 200 OK\r\nX-Slow: ");
    char data[16];

    apr_socket_timeout_set(client->socket, TICK);
    while (go_on && !is_stopping(client)) {
        go_on = take(client, data, sizeof(data)) >= 0 && give(client, "x", 1);
    }
}

static void serve_http(client_t *client)
{
    const sa_test_proxy_plan_t *plan = &client->proxy->plan;
    char *head = apr_palloc(client->pool, HEAD_MAX);

    if (!take_head(client, head)) {
        return;
    }
    note(client->proxy, head);
    if (plan->how == SA_TEST_PROXY_ENDLESS) {
        flood(client);
    } else if (plan->how == SA_TEST_PROXY_DRIP) {
        drip(client);
    } else if (plan->how == SA_TEST_PROXY_ANSWER) {
        give_text(client, plan->text);
        linger(client);
    } else if (strncmp(head, "CONNECT ", 8) != 0) {
        give_text(client, "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n");
    } else if (!has_login(client, head)) {
        give_text(client, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: "
                  "Basic realm=\"test\"\r\nContent-Length: 0\r\n\r\n");
        linger(client);
    } else {
        connect_target(client, head);
    }
}

/* ---- SOCKS 5 (RFC 1928, RFC 1929) ---------------------------------------------------------- */

static bool take_login(client_t *client)
{
    unsigned char length;
    char version;
    char user[256] = "";
    char password[256] = "";
    const char *login;
    bool is_right;

    if (!take_all(client, &version, 1) || !take_all(client, (char *)&length, 1)
        || !take_all(client, user, length) || !take_all(client, (char *)&length, 1)
        || !take_all(client, password, length)) {
        return false;
    }
    login = apr_pstrcat(client->pool, user, ":", password, NULL);
    is_right = strcmp(login, client->proxy->plan.login) == 0;
    return give(client, is_right ? "\1\0" : "\1\1", 2) && is_right;
}

static bool greet(client_t *client)
{
    bool wants_login = client->proxy->plan.login != NULL;
    char version;
    unsigned char count;
    char methods[256];

    if (!take_all(client, &version, 1) || !take_all(client, (char *)&count, 1)
        || !take_all(client, methods, count)) {
        return false;
    }
    if (!memchr(methods, wants_login ? 2 : 0, count)) {
        give(client, "\5\377", 2);
        linger(client);
        return false;
    }
    return give(client, wants_login ? "\5\2" : "\5\0", 2)
           && (!wants_login || take_login(client));
}

/* "host" of the request, or NULL; the port follows it. */
static const char *take_address(client_t *client)
{
    unsigned char head[4];
    unsigned char data[256];
    unsigned char length;

    if (!take_all(client, (char *)head, 4)) {
        return NULL;
    }
    if (head[3] == 1) {
        return take_all(client, (char *)data, 4)
            ? apr_psprintf(client->pool, "%d.%d.%d.%d", data[0], data[1], data[2], data[3])
            : NULL;
    }
    if (head[3] == 3) {
        return take_all(client, (char *)&length, 1) && take_all(client, (char *)data, length)
            ? apr_pstrmemdup(client->pool, (char *)data, length) : NULL;
    }
    return NULL;
}

static void serve_socks(client_t *client)
{
    char reply[10] = {5, 0, 0, 1, 127, 0, 0, 1, 0, 80};
    unsigned char port[2];
    const char *host;
    int number;

    if (!greet(client)) {
        return;
    }
    host = take_address(client);
    if (!host || !take_all(client, (char *)port, 2)) {
        return;
    }
    number = port[0] * 256 + port[1];
    note(client->proxy, apr_psprintf(client->pool, "%s:%d", host, number));
    if (client->proxy->plan.how == SA_TEST_PROXY_REPLY) {
        reply[1] = (char)client->proxy->plan.code;
    } else if (!reach(client, host, number)) {
        reply[1] = 5;
    }
    if (give(client, reply, sizeof(reply)) && reply[1] == 0) {
        carry(client);
    } else {
        linger(client);
    }
}

/* ---- life ---------------------------------------------------------------------------------- */

static bool accept_tls(client_t *client)
{
    apr_os_sock_t number;

    apr_os_sock_get(&number, client->socket);
    client->tls = SSL_new(client->proxy->tls);
    SSL_set_fd(client->tls, (int)number);
    while (!is_stopping(client)) {
        int result = SSL_accept(client->tls);

        if (result == 1) {
            return true;
        }
        if (SSL_get_error(client->tls, result) != SSL_ERROR_WANT_READ) {
            return false;
        }
        wait_for(client->socket, client->pool);
    }
    return false;
}

static void serve_plan(client_t *client)
{
    const sa_test_proxy_plan_t *plan = &client->proxy->plan;
    char data[256];

    switch (plan->how) {
    case SA_TEST_PROXY_SOCKS:
    case SA_TEST_PROXY_REPLY:
        serve_socks(client);
        break;
    case SA_TEST_PROXY_SILENT:
        linger(client);
        break;
    case SA_TEST_PROXY_GREETING:
        give_text(client, plan->text);
        linger(client);
        break;
    case SA_TEST_PROXY_CLOSE:
        while (!is_stopping(client) && take(client, data, sizeof(data)) == 0) {
            continue;
        }
        break;
    default:
        serve_http(client);
    }
}

static void serve(void *baton)
{
    client_t *client = baton;

    if (!client->proxy->tls || accept_tls(client)) {
        serve_plan(client);
    }
    if (client->tls) {
        SSL_free(client->tls);
        ERR_clear_error();
    }
    apr_pool_destroy(client->pool);
}

static void accept_one(sa_test_proxy_t *proxy)
{
    apr_pool_t *pool = sa_pool_create_root();
    client_t *client = apr_pcalloc(pool, sizeof(*client));

    if (apr_socket_accept(&client->socket, proxy->listener, pool) != APR_SUCCESS) {
        apr_pool_destroy(pool);
        return;
    }
    apr_socket_opt_set(client->socket, APR_TCP_NODELAY, 1);
    apr_socket_timeout_set(client->socket, TICK);
    client->proxy = proxy;
    client->pool = pool;
    apr_atomic_inc32(&proxy->connections);
    SA_ASSERT(proxy->thread_count < CONNECTIONS_MAX);
    SA_ASSERT(sa_os_thread_start(&proxy->threads[proxy->thread_count], "test-proxy", serve,
                                 client, proxy->pool) == APR_SUCCESS);
    proxy->thread_count++;
}

static void accept_connections(void *baton)
{
    sa_test_proxy_t *proxy = baton;

    while (apr_atomic_read32(&proxy->stopping) == 0) {
        if (wait_for(proxy->listener, proxy->pool)) {
            accept_one(proxy);
        }
    }
}

static void prepare_tls(sa_test_proxy_t *proxy)
{
    proxy->tls = SSL_CTX_new(TLS_server_method());
    SA_ASSERT(proxy->tls != NULL);
    SSL_CTX_set_mode(proxy->tls,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SA_ASSERT(SSL_CTX_use_certificate(proxy->tls, proxy->plan.cert->cert) == 1);
    SA_ASSERT(SSL_CTX_use_PrivateKey(proxy->tls, proxy->plan.cert->key) == 1);
}

static void prepare_listener(sa_test_proxy_t *proxy)
{
    apr_sockaddr_t *address;

    SA_ASSERT(apr_sockaddr_info_get(&address, "127.0.0.1", APR_INET, 0, 0, proxy->pool)
              == APR_SUCCESS);
    SA_ASSERT(apr_socket_create(&proxy->listener, APR_INET, SOCK_STREAM, APR_PROTO_TCP,
                                proxy->pool) == APR_SUCCESS);
    SA_ASSERT(apr_socket_bind(proxy->listener, address) == APR_SUCCESS);
    SA_ASSERT(apr_socket_listen(proxy->listener, 64) == APR_SUCCESS);
    SA_ASSERT(apr_socket_addr_get(&address, APR_LOCAL, proxy->listener) == APR_SUCCESS);
    proxy->port = address->port;
    apr_socket_timeout_set(proxy->listener, TICK);
}

sa_test_proxy_t *sa_test_proxy_start(const sa_test_proxy_plan_t *plan, apr_pool_t *pool)
{
    sa_test_proxy_t *proxy = apr_pcalloc(pool, sizeof(*proxy));

    proxy->pool = sa_pool_create_root();
    proxy->plan = *plan;
    proxy->mutex = sa_os_mutex_create(proxy->pool);
    if (plan->cert) {
        prepare_tls(proxy);
    }
    prepare_listener(proxy);
    SA_ASSERT(sa_os_thread_start(&proxy->acceptor, "test-accept", accept_connections, proxy,
                                 proxy->pool) == APR_SUCCESS);
    return proxy;
}

void sa_test_proxy_stop(sa_test_proxy_t *proxy)
{
    apr_atomic_set32(&proxy->stopping, 1);
    sa_os_thread_join(proxy->acceptor);
    for (int i = 0; i < proxy->thread_count; i++) {
        sa_os_thread_join(proxy->threads[i]);
    }
    SSL_CTX_free(proxy->tls);
    apr_pool_destroy(proxy->pool);
}

int sa_test_proxy_port(const sa_test_proxy_t *proxy)
{
    return proxy->port;
}

const char *sa_test_proxy_url(const sa_test_proxy_t *proxy, const char *scheme, apr_pool_t *pool)
{
    return apr_psprintf(pool, "%s://127.0.0.1:%d", scheme, proxy->port);
}

const char *sa_test_proxy_asked(sa_test_proxy_t *proxy, apr_pool_t *pool)
{
    const char *text;

    sa_os_mutex_lock(proxy->mutex);
    text = apr_pstrdup(pool, proxy->asked);
    sa_os_mutex_unlock(proxy->mutex);
    return text;
}

int sa_test_proxy_connections(sa_test_proxy_t *proxy)
{
    return (int)apr_atomic_read32(&proxy->connections);
}
