/* os: is an address ours? */
#include "sa_os_network.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

typedef union name_t {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} name_t;

static bool is_same(const name_t *name, const struct sockaddr *other)
{
    if (!other || other->sa_family != name->any.sa_family) {
        return false;
    }
    if (other->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)other;

        return v4->sin_addr.s_addr == name->v4.sin_addr.s_addr;
    }
    return memcmp(&((const struct sockaddr_in6 *)(const void *)other)->sin6_addr,
                  &name->v6.sin6_addr, sizeof(name->v6.sin6_addr)) == 0;
}

/* Is NAME known only of interfaces that are down?  One may still be bound to it. */
static bool is_down(const name_t *name)
{
    struct ifaddrs *list = NULL;
    bool down = false;
    bool up = false;

    if (getifaddrs(&list) != 0) {
        return false;
    }
    for (const struct ifaddrs *entry = list; entry; entry = entry->ifa_next) {
        if (is_same(name, entry->ifa_addr)) {
            up = up || (entry->ifa_flags & IFF_UP);
            down = down || !(entry->ifa_flags & IFF_UP);
        }
    }
    freeifaddrs(list);
    return down && !up;
}

/* By trying to use it: lists of addresses know nothing of whole networks that are local, such as
 * all of 127.0.0.0/8, nor whether an address may be used yet.  What cannot be found out is taken
 * to be there. */
bool sa_os_network_has_address(const apr_sockaddr_t *address, apr_pool_t *scratch_pool)
{
    name_t name;
    bool has;
    int handle;

    (void)scratch_pool;
    if ((address->family != AF_INET && address->family != AF_INET6)
        || (size_t)address->salen > sizeof(name)) {
        return true;
    }
    memset(&name, 0, sizeof(name));
    memcpy(&name, &address->sa, (size_t)address->salen);
    if (address->family == AF_INET) {
        name.v4.sin_port = 0;
    } else {
        name.v6.sin6_port = 0;
    }
    handle = socket(address->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (handle < 0) {
        return true;
    }
    has = bind(handle, &name.any, (socklen_t)address->salen) == 0 || errno != EADDRNOTAVAIL;
    close(handle);
    return has && !is_down(&name);
}
