/* task: a page on its way to the bus.  Labelled, stamped, and with what
 * Prometheus itself would add: up, scrape_duration_seconds and how many samples.
 *
 * Its parts are durable reports on telemetry.metrics.{job}.  A page of several
 * parts says in each which of how many it is, so that a consumer sees a hole. */
#include <string.h>

#include <apr_strings.h>

#include "sa_exposition.h"
#include "sa_gzip.h"
#include "sa_log.h"
#include "sa_stats.h"
#include "sa_task_private.h"

#define CONTENT_TYPE "Content-Type: text/plain; version=0.0.4; charset=utf-8\n"
/* The same with names in quotes, as Prometheus 3 calls it. */
#define CONTENT_TYPE_QUOTES \
    "Content-Type: text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8\n"
#define CONTENT_ENCODING "Content-Encoding: gzip\n"

typedef struct part_t {
    sa_report_t *report;
    bool packed;
} part_t;

typedef struct forward_t {
    const char *name;               /* of the reports */
    bool gzip;
    const char *content_type;
    apr_array_header_t *parts;      /* of part_t */
} forward_t;

static void add_label(apr_array_header_t *labels, const char *name, const char *value)
{
    sa_exposition_label_t *label;

    if (*value) {                   /* an empty label is no label */
        label = apr_array_push(labels);
        label->name = name;
        label->value = value;
    }
}

static const apr_array_header_t *labels_of(const sa_job_t *job, const sa_task_page_t *page,
                                           apr_pool_t *pool)
{
    const sa_task_settings_t *settings = job->tasks->settings;
    const apr_array_header_t *more = job->exporter ? job->exporter->labels : NULL;
    apr_array_header_t *labels = apr_array_make(pool, 8, sizeof(sa_exposition_label_t));

    add_label(labels, "code", settings->code);
    add_label(labels, "location", settings->location);
    add_label(labels, "job", job->name);
    add_label(labels, "instance", page->instance);
    for (int i = 0; more && i < more->nelts; i++) {
        const sa_config_pair_t *pair = &APR_ARRAY_IDX(more, i, sa_config_pair_t);

        add_label(labels, pair->key, pair->value);
    }
    return labels;
}

static sa_error_t *keep_part(void *baton, const char *data, size_t length, apr_uint64_t samples)
{
    forward_t *forward = baton;
    part_t *part = apr_array_push(forward->parts);
    apr_pool_t *pool = forward->parts->pool;
    const char *packed;
    size_t packed_length;

    (void)samples;
    part->packed = forward->gzip && sa_gzip(&packed, &packed_length, data, length, pool);
    part->report = sa_report_create(SA_DELIVER_DURABLE, forward->name, NULL,
                                    part->packed ? packed : data,
                                    part->packed ? packed_length : length);
    return SA_OK;
}

/* Give the parts in order.  When the outbox refuses one the rest of the page
 * goes as well: it would wait for the same disk. */
static void give_parts(sa_job_t *job, const sa_task_page_t *page, const forward_t *forward)
{
    int count = forward->parts->nelts;
    sa_error_t *err = SA_OK;

    for (int i = 0; i < count; i++) {
        part_t *part = &APR_ARRAY_IDX(forward->parts, i, part_t);
        sa_report_t *report = part->report;

        if (err) {
            sa_stats_add(SA_STAT_reports_refused, 1);
            sa_report_destroy(report);
            continue;
        }
        report->made_at = page->scraped_at;
        report->headers = apr_psprintf(report->pool, "%s%sStone-Age-Part: %d/%d\n",
                                       forward->content_type,
                                       part->packed ? CONTENT_ENCODING : "", i + 1, count);
        err = sa_outbox_give(job->tasks->outbox, &report);
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

/* What Prometheus adds to each scrape.  Not scrape_series_added: it would take
 * the names of all series of the last page in memory. */
static const char *own_samples(const sa_task_page_t *page, const sa_exposition_result_t *result,
                               apr_pool_t *pool)
{
    bool up = page->data && result->read > 0;

    return apr_psprintf(pool,
                        "# TYPE up gauge\nup %d\n"
                        "# TYPE scrape_duration_seconds gauge\nscrape_duration_seconds %.6f\n"
                        "# TYPE scrape_samples_scraped gauge\n"
                        "scrape_samples_scraped %" APR_UINT64_T_FMT "\n"
                        "# TYPE scrape_samples_post_metric_relabeling gauge\n"
                        "scrape_samples_post_metric_relabeling %" APR_UINT64_T_FMT "\n",
                        up ? 1 : 0, (double)page->duration / 1e6, result->read,
                        result->read - result->filtered);
}

static sa_error_t *run(sa_exposition_t *exposition, const sa_task_page_t *page,
                       const sa_exposition_result_t *result, apr_pool_t *scratch_pool)
{
    const char *own;

    if (page->data) {
        SA_TRY(sa_exposition_read(exposition, page->data, page->length, page->format));
    }
    own = own_samples(page, result, scratch_pool);
    SA_TRY(sa_exposition_read(exposition, own, strlen(own), SA_EXPOSITION_OWN));
    return sa_exposition_end(exposition);
}

sa_error_t *sa_task__forward(sa_job_t *job, const sa_task_page_t *page, apr_pool_t *scratch_pool)
{
    const apr_array_header_t *labels = labels_of(job, page, scratch_pool);
    const sa_exposition_options_t options = {
        .labels = (const sa_exposition_label_t *)labels->elts,
        .label_count = labels->nelts,
        .filter = job->filter,
        .own_stamps_only = job->exporter && !job->exporter->honor_timestamps,
        .part_limit_bytes = sa_outbox_max_payload(job->tasks->outbox)
    };
    forward_t forward = {
        .name = apr_pstrcat(scratch_pool, "telemetry.metrics.", job->name, NULL),
        .gzip = job->exporter && job->exporter->gzip,
        .parts = apr_array_make(scratch_pool, 4, sizeof(part_t))
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
    sa_exposition_begin(&result, exposition, page->scraped_at, keep_part, &forward);
    err = run(exposition, page, &result, scratch_pool);
    note_bad_lines(job, &result);
    forward.content_type = result.quotes ? CONTENT_TYPE_QUOTES : CONTENT_TYPE;
    give_parts(job, page, &forward);
    SA_TRY(err);
    if (page->data && result.read == 0) {
        return sa_error(SA_ERR_PARSE, NULL, "the page holds no sample; is it an exporter's? "
                        "(Content-Type: %s)", page->content_type);
    }
    sa_stats_add(SA_STAT_scrape_samples, result.read - result.filtered);
    return SA_OK;
}
