/* task: the schedule.  Intervals are monotonic: a stepped clock neither hurries nor
 * stops anything. */
#include "sa_task_schedule.h"

#include "sa_log.h"
#include "sa_os_thread.h"
#include "sa_time.h"

/* The next run after one that was due at job->next_at.  The first pause is
 * random, between half an interval and a whole one: it gives the device its own
 * phase, and a slow first run time to end.  A schedule that fell behind (the
 * machine slept) goes on from now. */
static void set_next(sa_job_t *job, apr_interval_time_t now)
{
    if (!job->first_done) {
        job->first_done = true;
        job->next_at = now + job->interval / 2
                       + (apr_interval_time_t)sa_random_below(job->random,
                                                              (apr_uint64_t)job->interval / 2 + 1);
        return;
    }
    job->next_at += job->interval;
    if (job->next_at <= now) {
        job->next_at = now + job->interval;
    }
}

static void run_job(sa_job_t *job, apr_interval_time_t now, apr_pool_t *scratch_pool)
{
    set_next(job, now);
    if (job->running) {
        SA_LOG(task_overlap, SA_S("task", job->name));
        return;
    }
    job->started_at = now;
    job->overdue = false;
    job->run(job, scratch_pool);
    apr_pool_clear(scratch_pool);
}

static void check_running(sa_job_t *job, apr_interval_time_t now, apr_uint64_t collected,
                          apr_pool_t *scratch_pool)
{
    if (job->asked > 0 && collected >= job->asked) {
        job->running = false;
        return;
    }
    if (job->timeout > 0 && !job->overdue && now >= job->started_at + job->timeout) {
        job->overdue = true;
        job->on_overdue(job, scratch_pool);
        apr_pool_clear(scratch_pool);
    }
}

apr_interval_time_t sa_task__run_due(sa_job_t *jobs, int count, apr_uint64_t collected,
                                     apr_pool_t *scratch_pool)
{
    apr_interval_time_t due = SA_OS_NEVER;

    for (int i = 0; i < count; i++) {
        sa_job_t *job = &jobs[i];
        apr_interval_time_t now = sa_time_mono();

        if (job->running) {
            check_running(job, now, collected, scratch_pool);
        }
        if (now >= job->next_at) {
            run_job(job, now, scratch_pool);
        }
        due = job->next_at < due ? job->next_at : due;
        if (job->running && job->timeout > 0 && !job->overdue
            && job->started_at + job->timeout < due) {
            due = job->started_at + job->timeout;
        }
    }
    return due;
}
