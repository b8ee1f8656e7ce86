/* task: services, between its two files and for their tests. */
#ifndef SA_TASK_SERVICES_H
#define SA_TASK_SERVICES_H

#include <stdbool.h>

#include <apr_time.h>
#include <cjson/cJSON.h>

#include "sa_os_services.h"

/* A service that comes back to a status which was reported this recently flaps; then
 * it has one report a second. */
#define SA_TASK_FLAP_WINDOW apr_time_from_sec(5)
#define SA_TASK_FLAP_PAUSE apr_time_from_sec(1)
/* That many ends on its own within that time are a loop. */
#define SA_TASK_CRASHES 3
#define SA_TASK_CRASH_WINDOW apr_time_from_sec(600)

/* What is remembered of one service.  Times are monotonic. */
typedef struct sa_task_track_t {
    bool known;
    sa_os_service_state_t state;                /* the newest */
    sa_os_service_status_t reported;            /* in the last report of a change, or at first */
    bool was_reported[SA_OS_SERVICE_STATUSES];
    apr_interval_time_t reported_at[SA_OS_SERVICE_STATUSES];
    bool told_once;
    apr_interval_time_t told_at;                /* the last report of a change */
    bool flapping;
    unsigned int changes;                       /* not reported yet */
    apr_interval_time_t due;                    /* when they may be; with changes only */
    /* how its main process ended since the last report, though it runs again */
    bool has_exit_code;
    int exit_code;
    const char *signal;
    apr_uint64_t ends;                          /* seen so far: restarts, and one about to come */
    bool crashed[SA_TASK_CRASHES];
    apr_interval_time_t crashed_at[SA_TASK_CRASHES];    /* the newest first */
} sa_task_track_t;

/* The service has STATE at NOW. */
void sa_task__track_note(sa_task_track_t *track, const sa_os_service_state_t *state,
                         apr_interval_time_t now);
/* Are there changes to report? */
bool sa_task__track_is_due(const sa_task_track_t *track, apr_interval_time_t now);
/* They are reported. */
void sa_task__track_told(sa_task_track_t *track, apr_interval_time_t now);
/* Does it end again and again, and is started again? */
bool sa_task__track_is_looping(const sa_task_track_t *track, apr_interval_time_t now);

/* Add what TRACK knows of NAME to SERVICES; CHANGE: and what was before. */
void sa_task__add_service(cJSON *services, const char *name, const sa_task_track_t *track,
                          bool change, apr_interval_time_t now);

#endif
