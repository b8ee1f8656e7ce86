/* Services and what becomes of them.
 *
 * Linux: systemd's units over one kept connection to the system bus; nothing is
 * started to ask.  FreeBSD: `service NAME onestatus` for a reading, EVFILT_PROC on
 * the process for a change.  Windows: the SCM, NotifyServiceStatusChange.
 *
 * One thread opens, watches, refreshes and waits; any may wake it. */
#ifndef SA_OS_SERVICES_H
#define SA_OS_SERVICES_H

#include <stdbool.h>

#include <apr.h>
#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>

#include "sa_error.h"

#define SA_OS_SERVICES_MAX 256
#define SA_OS_SERVICE_NAME_SIZE 256     /* the NUL included */
#define SA_OS_SERVICE_WORD_SIZE 32
#define SA_OS_SERVICE_ERROR_SIZE 160

typedef enum sa_os_service_status_t {
    SA_OS_SERVICE_UNKNOWN,
    SA_OS_SERVICE_RUNNING,
    SA_OS_SERVICE_STOPPED,
    SA_OS_SERVICE_STARTING,
    SA_OS_SERVICE_STOPPING,
    SA_OS_SERVICE_FAILED,
    SA_OS_SERVICE_NOT_INSTALLED,
    SA_OS_SERVICE_STATUSES
} sa_os_service_status_t;

/* What is known of one; to be copied as a whole.  Words are the system's own, ""
 * where it has none. */
typedef struct sa_os_service_state_t {
    sa_os_service_status_t status;
    char unit[SA_OS_SERVICE_NAME_SIZE];     /* its full name, aliases resolved */
    char load[SA_OS_SERVICE_WORD_SIZE];     /* systemd: LoadState, such as "masked" */
    char substate[SA_OS_SERVICE_WORD_SIZE]; /* systemd: SubState, such as "auto-restart" */
    char result[SA_OS_SERVICE_WORD_SIZE];   /* systemd: Result, such as "exit-code" */
    bool restarts_itself;       /* it ended, and its manager is about to start it again */
    bool has_restarts;
    apr_uint64_t restarts;      /* by its manager, since somebody started it */
    bool has_exit_code;         /* its main process has ended by itself ... */
    int exit_code;
    const char *signal;         /* ... or by this one ("SIGKILL"); static, NULL: not so */
    apr_time_t since;           /* in this status; 0: unknown */
    char error[SA_OS_SERVICE_ERROR_SIZE];   /* why this one could not be asked; "" */
} sa_os_service_state_t;

typedef struct sa_os_services_t sa_os_services_t;

/* The state of the name at PLACE of the watched ones, as often as it may have
 * changed, in between included; the same one may come twice.  Called by
 * sa_os_services_refresh() and sa_os_services_wait(), in their thread. */
typedef void (*sa_os_service_fn_t)(void *baton, int place, const sa_os_service_state_t *state);

/* Living in POOL.  Asks nothing yet. */
sa_error_t *sa_os_services_open(sa_os_services_t **services, sa_os_service_fn_t fn, void *baton,
                                apr_pool_t *pool) SA_MUST_CHECK;

/* Watch NAMES (of const char *, copied; at most SA_OS_SERVICES_MAX) from now on,
 * and none of those before.  Linux: with or without ".service"; any unit. */
sa_error_t *sa_os_services_watch(sa_os_services_t *services,
                                 const apr_array_header_t *names) SA_MUST_CHECK;

/* Ask for all states anew and tell those that are new or differ.  Returns when all
 * are there, at DEADLINE (SA_ERR_TIMEOUT), or when woken (SA_ERR_STOPPING).
 * SA_ERR_NOT_ON_THIS_OS: the machine has no such manager of services. */
sa_error_t *sa_os_services_refresh(sa_os_services_t *services,
                                   apr_interval_time_t deadline) SA_MUST_CHECK;

/* Wait for changes, tell them, and return: after some, at DEADLINE, or when woken.
 * A lost connection is an error once; it is made anew by itself, with growing
 * pauses, and what changed meanwhile is told then. */
sa_error_t *sa_os_services_wait(sa_os_services_t *services,
                                apr_interval_time_t deadline) SA_MUST_CHECK;

/* Does the manager answer? */
bool sa_os_services_is_up(const sa_os_services_t *services);

/* Let the waiting thread return, or the next wait.  Any thread. */
void sa_os_services_wake(sa_os_services_t *services);

#endif
