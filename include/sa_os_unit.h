/* What the agent's own service must be allowed beyond what its package allows.
 *
 * Linux: a drop-in of systemd for stone-age-agent.service, which begins with almost nothing.
 * FreeBSD, Windows: the service may do what its user may; there is nothing to be told. */
#ifndef SA_OS_UNIT_H
#define SA_OS_UNIT_H

#include <apr_pools.h>
#include <apr_tables.h>

#include "sa_buf.h"
#include "sa_error.h"

typedef enum sa_os_right_kind_t {
    SA_OS_RIGHT_WRITE,          /* what: a folder */
    SA_OS_RIGHT_GROUP,          /* what: its name */
    SA_OS_RIGHT_JOURNAL,        /* read the system's log */
    SA_OS_RIGHT_TMP,            /* see /tmp and /var/tmp as others do */
    SA_OS_RIGHT_SETUID,         /* let a command become another user */
    SA_OS_RIGHT_OVERLAY,        /* make a network device */
    SA_OS_RIGHT_STOP_TIME       /* what: seconds that a stop may take */
} sa_os_right_kind_t;

typedef struct sa_os_right_t {
    sa_os_right_kind_t kind;
    const char *what;           /* NULL where the kind says all */
    const char *why;            /* the option that wants it */
} sa_os_right_t;

/* Append to TEXT what gives the service RIGHTS (of sa_os_right_t); those that it has anyway
 * are left out, and *COUNT says how many were not.  The same for the same rights.
 * SA_ERR_NOT_ON_THIS_OS. */
sa_error_t *sa_os_unit_text(sa_buf_t *text, int *count, const apr_array_header_t *rights,
                            apr_pool_t *scratch_pool) SA_MUST_CHECK;
/* Where that belongs; static. */
const char *sa_os_unit_file(void);

#endif
