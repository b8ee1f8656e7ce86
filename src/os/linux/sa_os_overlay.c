/* os: what an overlay network needs of the machine. */
#include "sa_os_overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <linux/capability.h>

#include <apr_strings.h>

#define TUN "/dev/net/tun"

/* A child of ours has no ambient capabilities (sa_os_exec.h): only root's have any. */
static sa_error_t *check_capability(void)
{
    if (geteuid() != 0) {
        return sa_error(SA_ERR_DENIED, NULL,
                        "a program that makes a network device needs CAP_NET_ADMIN, and the agent, "
                        "which is not root, has none to give; nebula.mode service gives it to a "
                        "unit of its own");
    }
    if (prctl(PR_CAPBSET_READ, CAP_NET_ADMIN, 0, 0, 0) != 1) {
        return sa_error(SA_ERR_DENIED, NULL,
                        "CAP_NET_ADMIN is taken from the agent (its unit's CapabilityBoundingSet, "
                        "or the container's)");
    }
    return SA_OK;
}

sa_error_t *sa_os_overlay_check(apr_pool_t *scratch_pool)
{
    int fd;

    (void)scratch_pool;
    SA_TRY(check_capability());
    fd = open(TUN, O_RDWR | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO)) {
        return sa_error(SA_ERR_DENIED, NULL, "there is no " TUN ": load the module tun, or give "
                        "the container the device");
    }
    if (fd < 0) {
        return sa_error(SA_ERR_DENIED, sa_error(errno, NULL, NULL),
                        "cannot open " TUN " (it must be readable and writable)");
    }
    close(fd);
    return SA_OK;
}

static bool has_address(const struct ifaddrs *one, int family, const void *address)
{
    struct sockaddr_in found4;
    struct sockaddr_in6 found6;

    if (!one->ifa_addr || one->ifa_addr->sa_family != family || !(one->ifa_flags & IFF_UP)) {
        return false;
    }
    if (family == AF_INET) {
        memcpy(&found4, one->ifa_addr, sizeof(found4));
        return memcmp(&found4.sin_addr, address, sizeof(found4.sin_addr)) == 0;
    }
    memcpy(&found6, one->ifa_addr, sizeof(found6));
    return memcmp(&found6.sin6_addr, address, sizeof(found6.sin6_addr)) == 0;
}

bool sa_os_overlay_find(char name[SA_OS_INTERFACE_SIZE], const char *address)
{
    unsigned char wanted[sizeof(struct in6_addr)];
    int family = strchr(address, ':') ? AF_INET6 : AF_INET;
    struct ifaddrs *all;
    bool found = false;

    *name = '\0';
    if (inet_pton(family, address, wanted) != 1 || getifaddrs(&all) != 0) {
        return false;
    }
    for (const struct ifaddrs *one = all; one && !found; one = one->ifa_next) {
        found = has_address(one, family, wanted);
        if (found) {
            apr_cpystrn(name, one->ifa_name, SA_OS_INTERFACE_SIZE);
        }
    }
    freeifaddrs(all);
    return found;
}
