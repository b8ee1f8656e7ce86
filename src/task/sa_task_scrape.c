/* task: exporters.  Fetch a page, label and stamp it, forward it whole.
 *
 * The page comes in the HTTP engine's callback, in the task thread.  One that
 * does not come is forwarded as well: up 0. */
#include <stdio.h>
#include <string.h>

#include <apr_strings.h>

#include "sa_exposition.h"
#include "sa_log.h"
#include "sa_os_file.h"
#include "sa_pool.h"
#include "sa_stats.h"
#include "sa_task_private.h"
#include "sa_time.h"
#include "sa_version.h"

#define KEY_LIMIT (64 * 1024)

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

static void note_failure(const sa_job_t *job, sa_error_t *err)
{
    sa_stats_add(SA_STAT_scrape_failures, 1);
    SA_LOG(scrape_failed, SA_S("exporter", job->name), SA_S("url", job->exporter->url),
           SA_E(err));
    sa_error_clear(err);
}

/* There is no page, and a consumer is to see that. */
static void say_down(sa_job_t *job, apr_interval_time_t duration, apr_pool_t *scratch_pool)
{
    const sa_task_page_t page = {
        .instance = instance_of(job->exporter->url, scratch_pool),
        .scraped_at = job->scraped_at, .duration = duration
    };
    sa_error_t *err = sa_task__forward(job, &page, scratch_pool);

    if (err) {
        SA_LOG(task_failed, SA_S("task", job->name), SA_E(err));
        sa_error_clear(err);
    }
}

static void forward(sa_job_t *job, const sa_http_response_t *response, apr_pool_t *scratch_pool)
{
    const sa_task_page_t page = {
        .instance = instance_of(job->exporter->url, scratch_pool),
        .data = response->data, .length = response->length,
        .format = sa_exposition_format(response->content_type),
        .content_type = response->content_type,
        .scraped_at = job->scraped_at, .duration = response->duration
    };
    sa_error_t *err = sa_task__forward(job, &page, scratch_pool);

    if (err) {
        note_failure(job, err);
    } else {
        sa_stats_add(SA_STAT_scrape_count, 1);
        sa_stats_set(SA_STAT_last_scrape, (apr_uint64_t)sa_time_now());
    }
}

static void on_page(void *baton, const sa_http_response_t *response, sa_error_t *err)
{
    sa_job_t *job = baton;
    apr_pool_t *scratch_pool = sa_pool_create_root();

    job->running = false;
    if (err) {
        note_failure(job, err);
        say_down(job, response->duration, scratch_pool);
    } else {
        forward(job, response, scratch_pool);
    }
    apr_pool_destroy(scratch_pool);
}

/* What REQUEST needs to log in; read now, so that a renewed one is used. */
static sa_error_t *read_secrets(sa_http_request_t *request, const sa_exporter_config_t *exporter,
                                apr_pool_t *pool)
{
    if (exporter->bearer.source != SA_SECRET_NONE) {
        SA_TRY(sa_secret_read(&request->bearer, &exporter->bearer, pool));
    }
    if (*exporter->username) {
        request->username = exporter->username;
        SA_TRY(sa_secret_read(&request->password, &exporter->password, pool));
    }
    return SA_OK;
}

/* A key that others can read is nobody's proof; libcurl would take it. */
static sa_error_t *check_key(const sa_exporter_config_t *exporter, apr_pool_t *pool)
{
    const char *key;
    size_t length;

    if (*exporter->key_file) {
        SA_TRY_MSG(sa_os_file_read_secret(&key, &length, exporter->key_file, KEY_LIMIT, pool),
                   "the client certificate or its key cannot be used");
    }
    return SA_OK;
}

static const char *or_null(const char *text)
{
    return *text ? text : NULL;
}

static sa_error_t *start(sa_job_t *job, apr_pool_t *scratch_pool)
{
    const sa_exporter_config_t *exporter = job->exporter;
    sa_http_request_t request = {
        .url = exporter->url,
        .accept = SA_TASK_ACCEPT,
        .user_agent = apr_pstrcat(scratch_pool, "stone-age-agent/", sa_version(), NULL),
        .timeout = exporter->timeout,
        .limit_bytes = (size_t)exporter->max_size,
        .ca_file = or_null(exporter->ca_file),
        .cert_file = or_null(exporter->cert_file),
        .key_file = or_null(exporter->key_file),
        .insecure = exporter->insecure
    };

    SA_TRY(check_key(exporter, scratch_pool));
    SA_TRY(read_secrets(&request, exporter, scratch_pool));
    return sa_http_start(job->tasks->http, &request, on_page, job);
}

void sa_task__scrape(sa_job_t *job, apr_pool_t *scratch_pool)
{
    sa_error_t *err;

    job->scraped_at = sa_time_now();
    job->running = true;
    err = start(job, scratch_pool);
    if (err) {
        job->running = false;
        note_failure(job, err);
        say_down(job, 0, scratch_pool);
    }
}

sa_error_t *sa_task__make_filter(const sa_exposition_filter_t **filter,
                                 const sa_exporter_config_t *exporter, apr_pool_t *pool)
{
    const sa_exposition_rules_t rules = {
        .keep = exporter->keep, .drop = exporter->drop, .keep_if = exporter->keep_if,
        .drop_if = exporter->drop_if, .drop_labels = exporter->drop_labels
    };
    sa_exposition_filter_t *made;

    SA_TRY(sa_exposition_filter_create(&made, &rules, pool));
    *filter = made;
    return SA_OK;
}
