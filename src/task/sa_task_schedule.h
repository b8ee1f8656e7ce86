/* task: the schedule, for its thread and for simulations that bring their own
 * time.  A job's run begins something; it may end later, and never overlaps
 * itself. */
#ifndef SA_TASK_SCHEDULE_H
#define SA_TASK_SCHEDULE_H

#include <stdbool.h>

#include <apr_pools.h>
#include <apr_time.h>

#include "sa_random.h"

typedef struct sa_job_t sa_job_t;

/* Begin one run; task thread.  SCRATCH_POOL is cleared after it. */
typedef void (*sa_job_fn_t)(sa_job_t *job, apr_pool_t *scratch_pool);

/* One line of the schedule.  Times are monotonic. */
struct sa_job_t {
    struct sa_tasks_t *tasks;
    sa_random_t *random;
    const char *name;
    sa_job_fn_t run;
    apr_interval_time_t interval;
    apr_interval_time_t timeout;        /* of one run; 0: it ends before run() returns */
    apr_interval_time_t next_at;
    bool first_done;                    /* the phase is drawn after the first run */
    bool running;
    bool overdue;                       /* its deadline has passed; said already */
    apr_interval_time_t started_at;
    void (*on_overdue)(sa_job_t *job, apr_pool_t *scratch_pool);
    apr_uint64_t asked;                 /* of the collector; 0: the run ends by itself */
    const struct sa_exporter_config_t *exporter;        /* of a scrape */
    const struct sa_exposition_filter_t *filter;        /* the same; NULL: all of the page */
    apr_time_t scraped_at;
};

/* Run what is due of COUNT jobs; returns when the next is.  What was asked of
 * the collector up to number COLLECTED is done. */
apr_interval_time_t sa_task__run_due(sa_job_t *jobs, int count, apr_uint64_t collected,
                                     apr_pool_t *scratch_pool);

#endif
