/* link: two ends of a connection within this process.
 *
 * Loopback TCP and not socketpair(2): nats.c sets TCP_NODELAY, SO_REUSEADDR and SO_LINGER on what
 * it is handed and gives up where one of them fails, as they do on AF_UNIX; and it is what every
 * system has.  What goes over it is clear text that only the machine's administrator can see. */
#include "sa_link_relay.h"

#include <apr_support.h>

#define LIMIT apr_time_from_sec(1)
/* Strangers who may be in the queue before us. */
#define STRANGERS 8
/* About so much of what one side does not take is held by each of the two, in each direction; more
 * made nothing faster. */
#define BUFFER_BYTES (64 * 1024)

static apr_status_t open_socket(apr_socket_t **socket, apr_pool_t *pool)
{
    apr_status_t status = apr_socket_create(socket, APR_INET, SOCK_STREAM, APR_PROTO_TCP, pool);

    if (status == APR_SUCCESS) {
        /* What the system makes of these is its business: it may bound them. */
        apr_socket_opt_set(*socket, APR_SO_SNDBUF, BUFFER_BYTES);
        apr_socket_opt_set(*socket, APR_SO_RCVBUF, BUFFER_BYTES);
        apr_socket_timeout_set(*socket, LIMIT);
    }
    return status;
}

static apr_status_t listen_here(apr_socket_t **listener, apr_sockaddr_t **address,
                                apr_pool_t *pool)
{
    apr_status_t status = apr_sockaddr_info_get(address, "127.0.0.1", APR_INET, 0, 0, pool);

    if (status == APR_SUCCESS) {
        status = open_socket(listener, pool);
    }
    if (status == APR_SUCCESS) {
        status = apr_socket_bind(*listener, *address);
    }
    if (status == APR_SUCCESS) {
        status = apr_socket_listen(*listener, 1);
    }
    return status == APR_SUCCESS ? apr_socket_addr_get(address, APR_LOCAL, *listener) : status;
}

/* Is the one who came to HERE the socket that we sent? */
static bool is_ours(apr_socket_t *here, apr_socket_t *there)
{
    apr_sockaddr_t *peer;
    apr_sockaddr_t *own;

    return apr_socket_addr_get(&peer, APR_REMOTE, here) == APR_SUCCESS
        && apr_socket_addr_get(&own, APR_LOCAL, there) == APR_SUCCESS
        && peer->port == own->port && apr_sockaddr_equal(peer, own);
}

/* Take THERE's connection from LISTENER, and nobody else's. */
static apr_status_t meet(apr_socket_t **here, apr_socket_t *listener, apr_socket_t *there,
                         apr_pool_t *pool)
{
    apr_status_t status = APR_SUCCESS;

    for (int i = 0; i < STRANGERS && status == APR_SUCCESS; i++) {
        /* apr_socket_accept() knows no timeout */
        status = apr_wait_for_io_or_timeout(NULL, listener, 1);
        if (status == APR_SUCCESS) {
            status = apr_socket_accept(here, listener, pool);
        }
        if (status == APR_SUCCESS && is_ours(*here, there)) {
            return APR_SUCCESS;
        }
        if (status == APR_SUCCESS) {
            apr_socket_close(*here);
        }
    }
    return status == APR_SUCCESS ? APR_EGENERAL : status;
}

static apr_status_t make_ready(apr_socket_t *socket)
{
    apr_status_t status = apr_socket_opt_set(socket, APR_TCP_NODELAY, 1);

    return status == APR_SUCCESS ? apr_socket_timeout_set(socket, 0) : status;
}

static apr_status_t connect_pair(apr_socket_t **here, apr_socket_t **there, apr_socket_t *listener,
                                 apr_sockaddr_t *address, apr_pool_t *pool)
{
    apr_status_t status = open_socket(there, pool);

    if (status != APR_SUCCESS) {
        return status;
    }
    status = apr_socket_connect(*there, address);
    if (status == APR_SUCCESS) {
        status = meet(here, listener, *there, pool);
    }
    if (status == APR_SUCCESS) {
        status = make_ready(*here);
        status = status == APR_SUCCESS ? make_ready(*there) : status;
        if (status != APR_SUCCESS) {
            apr_socket_close(*here);
        }
    }
    if (status != APR_SUCCESS) {
        apr_socket_close(*there);
    }
    return status;
}

apr_status_t sa_link__pair(apr_socket_t **here, apr_os_sock_t *end, apr_pool_t *pool)
{
    apr_os_sock_t none = SA_LINK_NO_SOCKET;
    apr_socket_t *listener = NULL;
    apr_sockaddr_t *address;
    apr_socket_t *there;
    apr_status_t status = listen_here(&listener, &address, pool);

    if (status == APR_SUCCESS) {
        status = connect_pair(here, &there, listener, address, pool);
    }
    if (listener) {
        apr_socket_close(listener);
    }
    if (status == APR_SUCCESS) {
        status = apr_os_sock_get(end, there);
        /* POOL would close it, whoever has it then. */
        apr_os_sock_put(&there, &none, pool);
    }
    return status;
}
