/* What the agent says unasked: reports made on a schedule and given to the
 * outbox.
 *
 * One thread ("task") keeps the schedule, fetches the exporters' pages (many
 * at once, none blocks another) and makes heartbeats; a second ("collect")
 * asks the machine, because a disk that hangs must not stop the heart; a third
 * ("services"), there only when services are named, waits for changes of them.
 * Each task has its own interval and a random phase, never overlaps itself, and
 * has a deadline. */
#ifndef SA_TASK_H
#define SA_TASK_H

#include <stdbool.h>

#include <apr_pools.h>

#include "sa_config.h"
#include "sa_error.h"
#include "sa_outbox.h"

typedef struct sa_tasks_t sa_tasks_t;

/* Living in POOL; stop them before the pool goes. */
sa_error_t *sa_tasks_create(sa_tasks_t **tasks, sa_outbox_t *outbox,
                            apr_pool_t *pool) SA_MUST_CHECK;
/* Start the schedule: the first report of each task is made now. */
sa_error_t *sa_tasks_start(sa_tasks_t *tasks, const sa_config_t *config) SA_MUST_CHECK;
/* Take over new settings. */
void sa_tasks_reload(sa_tasks_t *tasks, const sa_config_t *config);
/* The bus came up or went away: a fresh heartbeat at once.  Any thread. */
void sa_tasks_bus_edge(sa_tasks_t *tasks, bool up);
/* Say offline in the twin and end the threads. */
void sa_tasks_stop(sa_tasks_t *tasks);

#endif
