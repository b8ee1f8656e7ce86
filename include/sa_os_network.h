/* Changes of the machine's network, told by the main thread's wait: SA_OS_REQUEST_NETWORK of
 * sa_os_daemon_wait().  No thread of its own and no wake-up while nothing changes.
 *
 * Linux: rtnetlink(7), whose socket sends a signal (F_SETSIG, fcntl(2)), and a timer on
 * CLOCK_BOOTTIME, which is due at once when the machine has slept.  FreeBSD: route(4).
 * Windows: NotifyUnicastIpAddressChange, and the power broadcasts. */
#ifndef SA_OS_NETWORK_H
#define SA_OS_NETWORK_H

#include <stdbool.h>

#include <apr_network_io.h>
#include <apr_pools.h>

#include "sa_error.h"

/* From now on tell of changes: an address of the machine came or went, a route, the carrier of an
 * interface; or the machine has slept for longer than some seconds.  Not told: what concerns
 * loopback only, repeated announcements of what is there already, neighbours.  Changes close to
 * one another are one.  Main thread; until POOL goes. */
sa_error_t *sa_os_network_watch(apr_pool_t *pool) SA_MUST_CHECK;

/* Does an interface that is up have ADDRESS (its port does not count)?  Any thread. */
bool sa_os_network_has_address(const apr_sockaddr_t *address, apr_pool_t *scratch_pool);

#endif
