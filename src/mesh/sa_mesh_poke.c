/* mesh: a packet into the overlay.  Nebula tries a lighthouse again when something is sent to
 * it, else when its own interval has passed; and only what is sent shows that a tunnel is dead. */
#include "sa_mesh_private.h"

#include <string.h>

#include <apr_network_io.h>

/* discard: nobody answers, and nothing is asked. */
#define PORT 9

/* Bound to the overlay's own address: without that interface nothing leaves the machine. */
static apr_socket_t *open_socket(const char *overlay_ip, apr_pool_t *pool)
{
    apr_sockaddr_t *address;
    apr_socket_t *socket;
    apr_int32_t family = strchr(overlay_ip, ':') ? APR_INET6 : APR_INET;

    if (apr_sockaddr_info_get(&address, overlay_ip, family, 0, 0, pool) != APR_SUCCESS
        || apr_socket_create(&socket, address->family, SOCK_DGRAM, APR_PROTO_UDP, pool)
               != APR_SUCCESS) {
        return NULL;
    }
    (void)apr_socket_opt_set(socket, APR_SO_NONBLOCK, 1);
    if (apr_socket_bind(socket, address) != APR_SUCCESS) {
        (void)apr_socket_close(socket);
        return NULL;
    }
    return socket;
}

/* An address, and no name that would be looked for. */
static bool is_address(const char *text)
{
    return *text && strspn(text, "0123456789abcdefABCDEF.:") == strlen(text)
           && strpbrk(text, ".:");
}

void sa_mesh__poke(const char *overlay_ip, const apr_array_header_t *lighthouses,
                   apr_pool_t *scratch_pool)
{
    apr_socket_t *socket = open_socket(overlay_ip, scratch_pool);

    if (!socket) {
        return;
    }
    for (int i = 0; i < lighthouses->nelts; i++) {
        const char *host = APR_ARRAY_IDX(lighthouses, i, const char *);
        apr_sockaddr_t *address;
        apr_size_t length = 1;

        if (is_address(host)
            && apr_sockaddr_info_get(&address, host, APR_UNSPEC, PORT, 0, scratch_pool)
                   == APR_SUCCESS) {
            (void)apr_socket_sendto(socket, address, 0, "", &length);
        }
    }
    (void)apr_socket_close(socket);
}
