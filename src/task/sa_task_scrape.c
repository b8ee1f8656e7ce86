/* task: exporters.  Fetch a page, label and stamp it, forward it whole.
 *
 * The page comes in the HTTP engine's callback, in the task thread; its parts
 * are durable reports on telemetry.metrics.{job}.  A page of several parts says
 * in each which of how many it is, so that a consumer sees a hole. */
#include <stdio.h>
#include <string.h>

#include <apr_strings.h>

#include "sa_exposition.h"
#include "sa_log.h"
#include "sa_pool.h"
#include "sa_stats.h"
#include "sa_task_private.h"
#include "sa_time.h"
#include "sa_version.h"

#define ACCEPT "text/plain;version=0.0.4;q=1,*/*;q=0.1"
#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* One page on its way to the outbox. */
typedef struct page_t {
    const sa_job_t *job;
    const char *name;               /* of its reports */
    apr_array_header_t *parts;      /* of sa_report_t * */
} page_t;

/* host:port of URL, as Prometheus writes the label instance. */
static const char *instance_of(const char *url, apr_pool_t *pool)
{
    const char *begin = strstr(url, "://");
    bool tls = strncmp(url, "https:", 6) == 0;
    const char *end;
    const char *at;
    char *host;

    begin = begin ? begin + 3 : url;
    end = begin + strcspn(begin, "/?#");
    at = memchr(begin, '@', (size_t)(end - begin));
    if (at) {
        begin = at + 1;             /* user and password are nobody's label */
    }
    host = apr_pstrmemdup(pool, begin, (apr_size_t)(end - begin));
    if (strrchr(host, ':') && (!strrchr(host, ']') || strrchr(host, ':') > strrchr(host, ']'))) {
        return host;
    }
    return apr_pstrcat(pool, host, tls ? ":443" : ":80", NULL);
}

static void add_label(apr_array_header_t *labels, const char *name, const char *value)
{
    sa_exposition_label_t *label;

    if (*value) {                   /* an empty label is no label */
        label = apr_array_push(labels);
        label->name = name;
        label->value = value;
    }
}

static const apr_array_header_t *labels_of(const sa_job_t *job, apr_pool_t *pool)
{
    const sa_task_settings_t *settings = job->tasks->settings;
    apr_array_header_t *labels = apr_array_make(pool, 8, sizeof(sa_exposition_label_t));

    add_label(labels, "code", settings->code);
    add_label(labels, "location", settings->location);
    add_label(labels, "job", job->exporter->name);
    add_label(labels, "instance", instance_of(job->exporter->url, pool));
    for (int i = 0; i < job->exporter->labels->nelts; i++) {
        const sa_config_pair_t *pair = &APR_ARRAY_IDX(job->exporter->labels, i, sa_config_pair_t);

        add_label(labels, pair->key, pair->value);
    }
    return labels;
}

static sa_error_t *keep_part(void *baton, const char *data, size_t length, apr_uint64_t samples)
{
    page_t *page = baton;

    (void)samples;
    APR_ARRAY_PUSH(page->parts, sa_report_t *) =
        sa_report_create(SA_DELIVER_DURABLE, page->name, NULL, data, length);
    return SA_OK;
}

/* Give the parts in order.  When the outbox refuses one the rest of the page
 * goes as well: it would wait for the same disk. */
static void give_parts(page_t *page)
{
    sa_error_t *err = SA_OK;

    for (int i = 0; i < page->parts->nelts; i++) {
        sa_report_t *report = APR_ARRAY_IDX(page->parts, i, sa_report_t *);

        if (err) {
            sa_stats_add(SA_STAT_reports_refused, 1);
            sa_report_destroy(report);
            continue;
        }
        report->made_at = page->job->scraped_at;
        report->headers = apr_psprintf(report->pool, "Content-Type: " CONTENT_TYPE "\n"
                                       "Stone-Age-Part: %d/%d\n", i + 1, page->parts->nelts);
        err = sa_outbox_give(page->job->tasks->outbox, &report);
    }
    if (err) {
        SA_LOG(report_refused, SA_E(err));
        sa_error_clear(err);
    }
}

static void note_bad_lines(const sa_job_t *job, const sa_exposition_result_t *result)
{
    if (result->bad_lines == 0) {
        return;
    }
    sa_stats_add(SA_STAT_scrape_bad_lines, result->bad_lines);
    SA_LOG(scrape_bad_lines, SA_S("exporter", job->name), SA_I("lines", result->bad_lines),
           SA_I("line", result->bad_line), SA_I("column", result->bad_column),
           SA_S("reason", result->bad_reason), SA_S("text", result->bad_text));
}

static sa_error_t *forward(sa_job_t *job, const sa_http_response_t *response,
                           apr_pool_t *scratch_pool)
{
    const apr_array_header_t *labels = labels_of(job, scratch_pool);
    const sa_exposition_options_t options = {
        .labels = (const sa_exposition_label_t *)labels->elts,
        .label_count = labels->nelts,
        .part_limit_bytes = sa_outbox_max_payload(job->tasks->outbox)
    };
    page_t page = {
        .job = job,
        .name = apr_pstrcat(scratch_pool, "telemetry.metrics.", job->name, NULL),
        .parts = apr_array_make(scratch_pool, 4, sizeof(sa_report_t *))
    };
    sa_exposition_t *exposition;
    sa_exposition_result_t result;
    sa_error_t *err;

    if (options.part_limit_bytes < SA_EXPOSITION_PART_MIN) {
        return sa_error(SA_ERR_TOO_LARGE, NULL,
                        "the bus takes %" APR_SIZE_T_FMT " bytes a message and a page needs %d: "
                        "raise the server's max_payload",
                        (apr_size_t)options.part_limit_bytes, SA_EXPOSITION_PART_MIN);
    }
    SA_TRY(sa_exposition_create(&exposition, &options, scratch_pool));
    err = sa_exposition_run(&result, exposition, response->data, response->length,
                            job->scraped_at, keep_part, &page);
    note_bad_lines(job, &result);
    give_parts(&page);
    SA_TRY(err);
    if (result.samples == 0) {
        return sa_error(SA_ERR_PARSE, NULL, "the page holds no sample; is it an exporter's? "
                        "(Content-Type: %s)", response->content_type);
    }
    sa_stats_add(SA_STAT_scrape_samples, result.samples);
    return SA_OK;
}

static void on_page(void *baton, const sa_http_response_t *response, sa_error_t *err)
{
    sa_job_t *job = baton;
    apr_pool_t *scratch_pool = sa_pool_create_root();

    job->running = false;
    if (!err) {
        err = forward(job, response, scratch_pool);
    }
    if (err) {
        sa_stats_add(SA_STAT_scrape_failures, 1);
        SA_LOG(scrape_failed, SA_S("exporter", job->name), SA_S("url", job->exporter->url),
               SA_E(err));
        sa_error_clear(err);
    } else {
        sa_stats_add(SA_STAT_scrape_count, 1);
        sa_stats_set(SA_STAT_last_scrape, (apr_uint64_t)sa_time_now());
    }
    apr_pool_destroy(scratch_pool);
}

void sa_task__scrape(sa_job_t *job, apr_pool_t *scratch_pool)
{
    const sa_exporter_config_t *exporter = job->exporter;
    const sa_http_request_t request = {
        .url = exporter->url,
        .accept = ACCEPT,
        .user_agent = apr_pstrcat(scratch_pool, "stone-age-agent/", sa_version(), NULL),
        .timeout = exporter->timeout,
        .limit_bytes = (size_t)exporter->max_size,
        .ca_file = *exporter->ca_file ? exporter->ca_file : NULL
    };
    sa_error_t *err;

    job->scraped_at = sa_time_now();
    job->running = true;
    err = sa_http_start(job->tasks->http, &request, on_page, job);
    if (err) {
        job->running = false;
        sa_stats_add(SA_STAT_scrape_failures, 1);
        SA_LOG(scrape_failed, SA_S("exporter", job->name), SA_S("url", exporter->url), SA_E(err));
        sa_error_clear(err);
    }
}
