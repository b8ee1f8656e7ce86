/* Starting and stopping services.
 *
 * Linux: systemd's StartUnit, StopUnit, RestartUnit, ReloadUnit over the system bus,
 * with the job's result awaited (org.freedesktop.systemd1, JobRemoved); no
 * program is started.  One call makes its own connection: any thread. */
#ifndef SA_OS_SERVICE_CONTROL_H
#define SA_OS_SERVICE_CONTROL_H

#include "sa_buf.h"
#include "sa_os_services.h"

typedef enum sa_os_service_action_t {
    SA_OS_SERVICE_START, SA_OS_SERVICE_STOP, SA_OS_SERVICE_RESTART, SA_OS_SERVICE_RELOAD,
    SA_OS_SERVICE_STATUS
} sa_os_service_action_t;

struct sa_os_cancel_t;

/* Do ACTION to NAME (exact; with or without ".service"; no pattern, no option, and
 * not the agent's own unit: SA_ERR_REFUSED) and say how it is then.  An alias is
 * resolved only to be refused when it is another unit than the name says.  What is
 * started gets half a second to fail at once; one that does has not been started.
 * SA_ERR_DENIED: polkit does not allow it; SA_ERR_TIMEOUT: the job is not done at
 * DEADLINE (monotonic; the return is a second later at the latest); SA_ERR_SERVICE_FAILED:
 * the job failed, and its result; SA_ERR_CANCELLED: CANCEL (NULL: never) was set, and the
 * manager goes on by itself; SA_ERR_SERVICES: it does not answer;
 * SA_ERR_NOT_ON_THIS_OS: no such manager.  STATE is filled with all of them as far as the
 * manager told; it is all zero with SA_ERR_REFUSED. */
sa_error_t *sa_os_service_control(sa_os_service_state_t *state, sa_os_service_action_t action,
                                  const char *name, apr_interval_time_t deadline,
                                  const struct sa_os_cancel_t *cancel,
                                  apr_pool_t *scratch_pool) SA_MUST_CHECK;

/* Append to TEXT what the system must be told so that USER may do to NAMES (of const
 * char *) all of the above, and nothing to other units.  Linux: a rule of polkit(8), the
 * same for the same names in whatever order.  SA_ERR_CONFIG: one of them is no name. */
sa_error_t *sa_os_service_rule(sa_buf_t *text, const apr_array_header_t *names, const char *user,
                               apr_pool_t *scratch_pool) SA_MUST_CHECK;
/* Where it belongs; static.  NULL: the system needs none. */
const char *sa_os_service_rule_file(void);

#endif
