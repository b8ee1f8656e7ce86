/* task, private: what its files share. */
#ifndef SA_TASK_PRIVATE_H
#define SA_TASK_PRIVATE_H

#include "sa_exposition.h"
#include "sa_http.h"
#include "sa_json.h"
#include "sa_os_host.h"
#include "sa_os_inventory.h"
#include "sa_os_metrics.h"
#include "sa_os_thread.h"
#include "sa_pulse.h"
#include "sa_queue.h"
#include "sa_random.h"
#include "sa_task.h"
#include "sa_task_schedule.h"

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
    bool inventory_enabled;
    apr_interval_time_t inventory_interval;
    apr_interval_time_t inventory_check_interval;
    bool metrics_from_exporter;
    const char *metrics_exporter_url;
    bool agent_metrics_enabled;
    apr_interval_time_t agent_metrics_interval;
    apr_array_header_t *exporters;      /* of sa_exporter_config_t */
} sa_task_settings_t;

struct sa_tasks_t {
    sa_outbox_t *outbox;
    apr_pool_t *pool;
    sa_os_thread_t *thread;
    sa_os_thread_t *collector;
    sa_queue_t *collect_queue;          /* of sa_collect_request_t */
    struct sa_task_services_t *services;    /* NULL: none to watch; whoever starts and reloads */

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
    struct sa_metrics_sample_t *fetched;    /* the last reading from an exporter, or NULL */
    apr_pool_t *fetched_pool;           /* it lives there */
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
typedef enum sa_collect_kind_t {
    SA_COLLECT_METRICS,
    SA_COLLECT_BASELINE,                /* only remember the counters */
    SA_COLLECT_INVENTORY
} sa_collect_kind_t;
typedef struct sa_collect_request_t {
    apr_pool_t *pool;
    apr_uint64_t number;
    const char *code;
    const char *location;
    bool twin;
    sa_collect_kind_t kind;
    apr_interval_time_t interval;       /* of an inventory: the longest between two */
} sa_collect_request_t;
sa_error_t *sa_task__collect_start(sa_tasks_t *tasks) SA_MUST_CHECK;
void sa_task__collect_stop(sa_tasks_t *tasks);
/* Ask for one report, done when tasks->collected reaches tasks->collect_asked.
 * false: the collector is stuck in earlier ones. */
bool sa_task__collect_ask(sa_tasks_t *tasks, sa_collect_kind_t kind);

/* inventory */
typedef struct sa_task_machine_t {
    sa_os_host_t host;
    sa_os_inventory_t inventory;
    sa_os_memory_t memory;
    apr_array_header_t *disks;          /* of sa_os_disk_t */
} sa_task_machine_t;
/* STABLE: without what moves by itself. */
void sa_task__inventory_fill(cJSON *json, const sa_task_machine_t *machine, bool stable);
/* What was sent last; the collector's thread only. */
typedef struct sa_task_inventory_t sa_task_inventory_t;
sa_task_inventory_t *sa_task__inventory_create(apr_pool_t *pool);
/* Is MACHINE worth a report: the first, changed, or INTERVAL after the last?  Then it
 * is remembered and JSON filled. */
bool sa_task__inventory_is_news(cJSON *json, sa_task_inventory_t *inventory,
                                const sa_task_machine_t *machine, apr_interval_time_t interval,
                                apr_pool_t *scratch_pool);
/* Do what REQUEST asks; the collector's thread. */
void sa_task__inventory_collect(sa_tasks_t *tasks, sa_task_inventory_t *inventory,
                                const sa_collect_request_t *request, apr_pool_t *scratch_pool);
void sa_task__inventory(sa_job_t *job, apr_pool_t *scratch_pool);
void sa_task__inventory_overdue(sa_job_t *job, apr_pool_t *scratch_pool);

/* services: watch what CONFIG names, and only that; whoever starts and reloads. */
typedef struct sa_task_services_t sa_task_services_t;
sa_error_t *sa_task__services_apply(sa_tasks_t *tasks, const sa_config_t *config) SA_MUST_CHECK;
void sa_task__services_stop(sa_tasks_t *tasks);

/* scrape */
/* As Prometheus asks. */
#define SA_TASK_ACCEPT \
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;" \
    "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
void sa_task__scrape(sa_job_t *job, apr_pool_t *scratch_pool);
sa_error_t *sa_task__make_filter(const sa_exposition_filter_t **filter,
                                 const sa_exporter_config_t *exporter,
                                 apr_pool_t *pool) SA_MUST_CHECK;

/* forward */
typedef struct sa_task_page_t {
    const char *instance;           /* its label; "": none */
    const char *data;               /* NULL: there is no page, up is 0 */
    size_t length;
    sa_exposition_format_t format;
    const char *content_type;       /* for people */
    apr_time_t scraped_at;
    apr_interval_time_t duration;
} sa_task_page_t;
/* Give PAGE to the outbox as reports telemetry.metrics.{job's name}.
 * SA_ERR_PARSE when there was no sample on it; up says the same by then. */
sa_error_t *sa_task__forward(sa_job_t *job, const sa_task_page_t *page,
                             apr_pool_t *scratch_pool) SA_MUST_CHECK;

/* our own counters */
void sa_task__agent_metrics(sa_job_t *job, apr_pool_t *scratch_pool);

/* system metrics from an exporter */
void sa_task__metrics_fetch(sa_job_t *job, apr_pool_t *scratch_pool);
/* The reading that PAGE holds, in POOL; what is not on it is SA_ERR_PARSE. */
sa_error_t *sa_task__metrics_parse(sa_metrics_sample_t **sample, const char *page, size_t length,
                                   sa_exposition_format_t format, apr_pool_t *pool,
                                   apr_pool_t *scratch_pool) SA_MUST_CHECK;

#endif
