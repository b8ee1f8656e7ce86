/* What an operator asks first about a machine, and what changes seldom.
 *
 * Linux: /proc, /sys, getifaddrs, the package manager's list.  FreeBSD: sysctl, getifaddrs,
 * pkg's database.  Windows: the registry, GetAdaptersAddresses. */
#ifndef SA_OS_INVENTORY_H
#define SA_OS_INVENTORY_H

#include <stdbool.h>

#include <apr.h>
#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>

#include "sa_error.h"

#define SA_OS_INTERFACES_MAX 64     /* the first ones made */
#define SA_OS_ADDRESSES_MAX 32      /* of one interface */

typedef struct sa_os_interface_t {
    const char *name;
    const char *mac;                /* "02:42:ac:11:00:02", "" where it has none */
    bool up;
    apr_array_header_t *addresses;  /* of const char *: "10.0.0.7/24", sorted */
} sa_os_interface_t;

/* Strings live in the pool given; "" when unknown. */
typedef struct sa_os_inventory_t {
    const char *architecture;       /* uname(2)'s word, such as "x86_64" */
    int cpu_cores;                  /* logical ones */
    const char *cpu_model;          /* "Unknown" when unknown */
    /* Names the machine for ever; made of its id, which it does not reveal. */
    const char *machine_id;
    apr_time_t boot_time;           /* 0: unknown */
    const char *virtualization;     /* "none", "kvm", "vmware", ...; "vm-other" */
    const char *container;          /* "none", "docker", "lxc", ... */
    const char *primary_ip;         /* the first IPv4 address that is not loopback's */
    apr_array_header_t *interfaces; /* of sa_os_interface_t, by name; not the loopback */
    const char *package_manager;    /* "dpkg", "rpm", "apk", "pacman", "opkg" */
    apr_int64_t packages;           /* installed ones; -1: unknown, as rpm's */
    bool reboot_required;           /* a file says so */
} sa_os_inventory_t;

/* Reads local files only, the largest of them to a limit. */
sa_error_t *sa_os_inventory_read(sa_os_inventory_t *inventory, apr_pool_t *pool) SA_MUST_CHECK;

#endif
