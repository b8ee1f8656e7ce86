/* task, private: what its files share. */
#ifndef SA_TASK_PRIVATE_H
#define SA_TASK_PRIVATE_H

#include "sa_http.h"
#include "sa_json.h"
#include "sa_os_metrics.h"
#include "sa_os_thread.h"
#include "sa_pulse.h"
#include "sa_queue.h"
#include "sa_random.h"
#include "sa_task.h"

typedef struct sa_job_t sa_job_t;

/* Begin one run; task thread.  SCRATCH_POOL is cleared after it. */
typedef void (*sa_job_fn_t)(sa_job_t *job, apr_pool_t *scratch_pool);

/* One line of the schedule. */
struct sa_job_t {
    sa_tasks_t *tasks;
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
    const sa_exporter_config_t *exporter;   /* of a scrape */
    apr_time_t scraped_at;
};

/* A copy of what the tasks need of one configuration, in its own pool. */
typedef struct sa_task_settings_t {
    apr_pool_t *pool;
    const char *code;
    const char *location;
    bool heartbeat_enabled;
    apr_interval_time_t heartbeat_interval;
    bool heartbeat_twin;
    bool metrics_enabled;
    apr_interval_time_t metrics_interval;
    bool metrics_twin;
    apr_array_header_t *exporters;      /* of sa_exporter_config_t */
} sa_task_settings_t;

struct sa_tasks_t {
    sa_outbox_t *outbox;
    apr_pool_t *pool;
    sa_os_thread_t *thread;
    sa_os_thread_t *collector;
    sa_queue_t *collect_queue;          /* of sa_collect_request_t */

    sa_os_mutex_t *mutex;               /* guards the next block */
    sa_http_t *http;                    /* replaced on a reload; the task thread uses it freely */
    sa_task_settings_t *new_settings;
    bool edge_pending;
    bool up;
    bool stopping;
    apr_uint64_t collected;             /* the newest request that is done */

    /* task thread only */
    sa_task_settings_t *settings;
    sa_job_t *jobs;
    int job_count;
    sa_job_t *heartbeat;                /* or NULL */
    bool bus_up;
    apr_uint64_t collect_asked;
    sa_random_t random;
    sa_pulse_t *pulse;
};

/* The members that every report has. */
cJSON *sa_task__report_json(const char *code, const char *location, apr_pool_t *pool);
/* Give a report to the outbox; a refusal is logged and counted there. */
void sa_task__give(sa_tasks_t *tasks, sa_report_t **report);
void sa_task__give_json(sa_tasks_t *tasks, sa_deliver_t deliver, const char *name,
                        const cJSON *json);

/* heartbeat */
void sa_task__heartbeat(sa_job_t *job, apr_pool_t *scratch_pool);
/* thing.{code}.agent: version and system. */
void sa_task__announce(sa_tasks_t *tasks, apr_pool_t *scratch_pool);
void sa_task__say_offline(sa_tasks_t *tasks);

/* metrics */
void sa_task__metrics(sa_job_t *job, apr_pool_t *scratch_pool);
void sa_task__metrics_overdue(sa_job_t *job, apr_pool_t *scratch_pool);
bool sa_task__metrics_is_done(const sa_job_t *job, apr_uint64_t collected);

/* What two readings of the counters make of the machine; SAMPLE has its time
 * (monotonic).  BEFORE may be NULL: rates and usage are then 0. */
typedef struct sa_metrics_sample_t {
    apr_interval_time_t at;
    sa_os_cpu_t cpu;
    sa_os_memory_t memory;
    apr_array_header_t *disks;          /* of sa_os_disk_t */
} sa_metrics_sample_t;
void sa_task__metrics_fill(cJSON *json, const sa_metrics_sample_t *sample,
                           const sa_metrics_sample_t *before);

/* collect */
typedef struct sa_collect_request_t {
    apr_pool_t *pool;
    apr_uint64_t number;
    const char *code;
    const char *location;
    bool twin;
    bool baseline;                      /* only remember the counters */
} sa_collect_request_t;
sa_error_t *sa_task__collect_start(sa_tasks_t *tasks) SA_MUST_CHECK;
void sa_task__collect_stop(sa_tasks_t *tasks);
/* Ask for one report, done when tasks->collected reaches tasks->collect_asked.
 * false: the collector is stuck in earlier ones. */
bool sa_task__collect_ask(sa_tasks_t *tasks, bool baseline);

/* scrape */
void sa_task__scrape(sa_job_t *job, apr_pool_t *scratch_pool);

#endif
