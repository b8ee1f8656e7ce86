/* task: the agent as an exporter without a port.
 *
 * The page that an exporter of ours would show goes the way of all pages, as
 * telemetry.metrics.agent.  Names come from sa_stats.def:
 * counters stone_age_agent_NAME_total, those whose pace is
 * known also stone_age_agent_NAME_per_second, gauges stone_age_agent_NAME, times
 * stone_age_agent_NAME_timestamp_seconds, and only once there is one. */
#include <string.h>

#include <apr_strings.h>

#include "sa_buf.h"
#include "sa_log.h"
#include "sa_os_host.h"
#include "sa_stats.h"
#include "sa_task_private.h"
#include "sa_time.h"
#include "sa_version.h"

#define PAGE_LIMIT (256 * 1024)
#define PREFIX "stone_age_agent_"

static void add_head(sa_buf_t *page, const char *name, const char *type, const char *help)
{
    sa_buf_printf(page, "# HELP %s %s.\n# TYPE %s %s\n", name, help, name, type);
}

static void add_number(sa_buf_t *page, const char *name, const char *type, const char *help,
                       apr_uint64_t number)
{
    add_head(page, name, type, help);
    sa_buf_printf(page, "%s %" APR_UINT64_T_FMT "\n", name, number);
}

/* TIME in seconds. */
static void add_time(sa_buf_t *page, const char *name, const char *type, const char *help,
                     apr_uint64_t time)
{
    add_head(page, name, type, help);
    sa_buf_printf(page, "%s %" APR_UINT64_T_FMT ".%06" APR_UINT64_T_FMT "\n", name,
                  time / APR_USEC_PER_SEC, time % APR_USEC_PER_SEC);
}

static void add_rate(sa_buf_t *page, const char *name, const char *help, sa_stat_t stat)
{
    sa_buf_printf(page, "# HELP %s %s, over the last minute.\n# TYPE %s gauge\n%s %.2f\n", name,
                  help, name, name, sa_stats_rate(stat));
}

/* NAME without END, if it has that. */
static const char *without(const char *name, const char *end, apr_pool_t *pool)
{
    size_t length = strlen(name);
    size_t end_length = strlen(end);

    if (length > end_length && strcmp(name + length - end_length, end) == 0) {
        return apr_pstrmemdup(pool, name, length - end_length);
    }
    return name;
}

static void add_stat(sa_buf_t *page, sa_stat_t stat, apr_pool_t *pool)
{
    const sa_stat_row_t *row = sa_stats_row(stat);
    apr_uint64_t value = sa_stats_read(stat);

    switch (row->kind) {
    case SA_STAT_METER:
    case SA_STAT_COUNTER:
        if (row->kind == SA_STAT_METER) {
            add_rate(page, apr_pstrcat(pool, PREFIX, row->name, "_per_second", NULL), row->help,
                     stat);
        }
        add_number(page, apr_pstrcat(pool, PREFIX, without(row->name, "_count", pool), "_total",
                                     NULL),
                   "counter", row->help, value);
        break;
    case SA_STAT_GAUGE:
        add_number(page, apr_pstrcat(pool, PREFIX, row->name, NULL), "gauge", row->help, value);
        break;
    case SA_STAT_TIME:
        if (value != 0) {
            add_time(page, apr_pstrcat(pool, PREFIX, without(row->name, "_at", pool),
                                       "_timestamp_seconds", NULL),
                     "gauge", row->help, value);
        }
        break;
    }
}

/* As Prometheus' own client libraries call them. */
static void add_process(sa_buf_t *page, apr_pool_t *scratch_pool)
{
    sa_os_self_t self;
    sa_error_t *err = sa_os_self_read(&self, scratch_pool);

    if (err) {
        sa_error_clear(err);        /* the rest is still worth sending */
        return;
    }
    add_number(page, "process_resident_memory_bytes", "gauge", "Resident memory",
               self.resident_bytes);
    add_time(page, "process_cpu_seconds_total", "counter", "User and system time so far",
             self.cpu_us);
    add_number(page, "process_threads", "gauge", "Threads", self.threads);
    if (self.descriptors > 0) {
        add_number(page, "process_open_fds", "gauge", "Open file descriptors", self.descriptors);
    }
}

/* started_at is on the monotonic clock, which means nothing elsewhere. */
static void add_start(sa_buf_t *page)
{
    apr_interval_time_t up = sa_time_mono() -
                             (apr_interval_time_t)sa_stats_read(SA_STAT_started_at);

    add_time(page, "process_start_time_seconds", "gauge", "When the agent started",
             (apr_uint64_t)(sa_time_now() - up));
}

static void write_page(sa_buf_t *page, apr_pool_t *scratch_pool)
{
    add_head(page, PREFIX "build_info", "gauge", "1, and the version as a label");
    sa_buf_printf(page, PREFIX "build_info{version=\"%s\"} 1\n", sa_version());
    for (int i = 0; i < SA_STAT_END; i++) {
        if (i != SA_STAT_started_at) {
            add_stat(page, (sa_stat_t)i, scratch_pool);
        }
    }
    add_start(page);
    add_process(page, scratch_pool);
}

void sa_task__agent_metrics(sa_job_t *job, apr_pool_t *scratch_pool)
{
    apr_interval_time_t began = sa_time_mono();
    sa_task_page_t page = {.instance = "", .content_type = "", .scraped_at = sa_time_now()};
    sa_buf_t *text = apr_palloc(scratch_pool, sizeof(*text));
    sa_error_t *err;

    sa_buf_init(text, PAGE_LIMIT, scratch_pool);
    write_page(text, scratch_pool);
    SA_ASSERT(!text->overflowed);
    page.data = text->data;
    page.length = text->length;
    page.duration = sa_time_mono() - began;
    err = sa_task__forward(job, &page, scratch_pool);
    if (err) {
        SA_LOG(task_failed, SA_S("task", job->name), SA_E(err));
        sa_error_clear(err);
    }
}
