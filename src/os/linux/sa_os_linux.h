/* Between the files of src/os/linux, and for their tests: parsers of /proc
 * (proc(5)) and of os-release(5) that take the text. */
#ifndef SA_OS_LINUX_H
#define SA_OS_LINUX_H

#include <stdbool.h>
#include <stddef.h>

#include <apr.h>
#include <apr_pools.h>
#include <apr_tables.h>

#include "sa_error.h"
#include "sa_os_host.h"
#include "sa_os_inventory.h"
#include "sa_os_logs.h"
#include "sa_os_metrics.h"
#include "sa_os_services.h"

/* No file of /proc is read further. */
#define SA_OS_PROC_LIMIT (1024 * 1024)

/* Read PATH into POOL, NUL-terminated.  One that is larger than LIMIT is cut
 * after its last whole line: a machine with thousands of mounts still has its
 * disks at the top. */
sa_error_t *sa_os__proc_read(const char **text, const char *path, size_t limit,
                             apr_pool_t *pool) SA_MUST_CHECK;

/* Read the decimal number at *TEXT, after blanks, and move *TEXT behind it.
 * false: there is none, or it is too large; *TEXT stays. */
bool sa_os__number(apr_uint64_t *number, const char **text);

/* What follows the next line break in TEXT, or its end. */
const char *sa_os__next_line(const char *text);

/* /proc/stat */
sa_error_t *sa_os__parse_stat(sa_os_cpu_t *cpu, const char *text) SA_MUST_CHECK;
/* /proc/meminfo */
sa_error_t *sa_os__parse_meminfo(sa_os_memory_t *memory, const char *text) SA_MUST_CHECK;

/* A mounted file system that a user would call a disk. */
typedef struct sa_os__mount_t {
    const char *point;
    const char *type;
    const char *source;
    apr_uint64_t major;
    apr_uint64_t minor;
    bool whole;             /* not just a part of it, as with a bind mount */
} sa_os__mount_t;

/* /proc/self/mountinfo: array of sa_os__mount_t in POOL of what can be reached
 * and is local and on a disk, the best place of each device first. */
apr_array_header_t *sa_os__parse_mounts(const char *text, apr_pool_t *pool);

/* /proc/diskstats: fill the io of DISK from the line of MAJOR:MINOR or, when
 * MAJOR is 0, of the device NAME. */
void sa_os__parse_diskstats(sa_os_disk_t *disk, const char *text, apr_uint64_t major,
                            apr_uint64_t minor, const char *name);

/* os-release(5): the value of KEY in POOL, or NULL. */
const char *sa_os__os_release_value(const char *text, const char *key, apr_pool_t *pool);
/* /proc/self/statm and /proc/self/status; what cannot be read stays 0. */
bool sa_os__parse_begin(apr_uint64_t *begin, const char *stat);
void sa_os__parse_self(sa_os_self_t *self, const char *statm, const char *status,
                       apr_uint64_t page_bytes);

/* Is behind a file system of TYPE a network, a cluster or a program, which may not
 * answer? */
bool sa_os__is_remote(const char *type);
/* The type of what is mounted at POINT, by the text of /proc/self/mountinfo, in POOL;
 * NULL: nothing. */
const char *sa_os__mount_type(const char *mountinfo, const char *point, apr_pool_t *pool);
/* Are there log files on such, and will it answer? */
bool sa_os__is_log_mount(const char *type);

/* sa_os_journal_read() of the journal in DIRECTORY (NULL: the machine's). */
sa_error_t *sa_os__journal_read(const char *directory, const sa_os_journal_query_t *query,
                                sa_os_journal_fn_t fn, void *baton,
                                apr_pool_t *scratch_pool) SA_MUST_CHECK;

/* systemd's LoadState and ActiveState in our words. */
sa_os_service_status_t sa_os__service_status(const char *load, const char *active);
/* NAME as a full name of a unit: ".service" added where there is no type.  false:
 * it is none, or a template without instance. */
bool sa_os__service_unit_name(char unit[SA_OS_SERVICE_NAME_SIZE], const char *name);
/* systemd's ExecMainCode and ExecMainStatus. */
void sa_os__service_exit(sa_os_service_state_t *state, int kind, int status);
/* "SIGKILL" */
const char *sa_os__signal_name(int number);
/* What a job of systemd that ended with RESULT (of JobRemoved) is: SA_OK, or
 * SA_ERR_SERVICE_FAILED and why. */
sa_error_t *sa_os__job_error(const char *result) SA_MUST_CHECK;

/* What is known of the network, so that a repetition is no news. */
#define SA_OS_NETWORK_KNOWN 256
typedef struct sa_os__network_t {
    apr_uint32_t port;              /* our own: an answer to it is no news; 0: none */
    apr_interval_time_t asleep;     /* so long since the machine was started */
    bool full;                      /* there is more than is known: all that comes is news */
    int count;
    struct {
        apr_uint64_t what;
        apr_uint64_t how;
    } known[SA_OS_NETWORK_KNOWN];
} sa_os__network_t;
/* Read messages of rtnetlink(7); is there a change among them that a connection may feel? */
bool sa_os__network_read(sa_os__network_t *network, const void *bytes, size_t length);
/* Has the machine slept for more than some seconds since the last call, by its two clocks? */
bool sa_os__network_slept(sa_os__network_t *network, apr_interval_time_t mono,
                          apr_interval_time_t boot);

/* /proc/cpuinfo: what the processor is called, in POOL, or "Unknown". */
const char *sa_os__cpu_model(const char *cpuinfo, apr_pool_t *pool);
/* /proc/cpuinfo: does a hypervisor say that it is there? */
bool sa_os__cpu_is_virtual(const char *cpuinfo);
/* The virtual machine that a text of /sys/class/dmi/id names, or NULL. */
const char *sa_os__dmi_machine(const char *text);
/* The virtual machine whose clocks the kernel offers, or "vm-other". */
const char *sa_os__clock_machine(const char *clocks);
/* /proc/stat: when the machine was started, 0 if it does not say. */
apr_time_t sa_os__boot_time(const char *stat);
/* /proc/net/if_inet6: is ADDRESS (32 hex digits) one that changes by itself? */
bool sa_os__is_temporary(const char *if_inet6, const char *address);

/* Counts the lines that begin and end so, which are one for each installed package, of
 * a file that is fed in pieces. */
typedef struct sa_os__packages_t {
    const char *begin;
    const char *end;            /* "": any */
    apr_uint64_t installed;
    size_t length;              /* of the line so far; its first bytes: */
    char line[64];
} sa_os__packages_t;
void sa_os__count_packages(sa_os__packages_t *packages, const char *piece, size_t length);
/* Who manages the packages below ROOT ("" for this machine's own), and how many there
 * are. */
void sa_os__read_packages(sa_os_inventory_t *inventory, const char *root,
                          apr_pool_t *scratch_pool);
/* Does a file below ROOT say that the machine must be started anew? */
bool sa_os__reboot_is_required(const char *root, apr_pool_t *scratch_pool);

#endif
