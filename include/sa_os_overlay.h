/* What an overlay network (Nebula) needs of the machine.
 *
 * Linux: /dev/net/tun and CAP_NET_ADMIN; getifaddrs(3).  FreeBSD: tun(4), root.  Windows:
 * wintun, Administrators.  Any thread. */
#ifndef SA_OS_OVERLAY_H
#define SA_OS_OVERLAY_H

#include <stdbool.h>

#include <apr_pools.h>

#include "sa_error.h"

#define SA_OS_INTERFACE_SIZE 64     /* of a name, the NUL included */

/* Could a program that we start make a network device?  Tried without making one.  SA_ERR_DENIED:
 * what is missing, and the mend. */
sa_error_t *sa_os_overlay_check(apr_pool_t *scratch_pool) SA_MUST_CHECK;

/* The NAME of the interface that is up and has the ADDRESS (text, without a prefix's length);
 * false: none has. */
bool sa_os_overlay_find(char name[SA_OS_INTERFACE_SIZE], const char *address);

#endif
