/* doctor: what answers by HTTP: the platform and the exporters. */
#include "sa_doctor_private.h"

#include <string.h>

#include <apr_strings.h>

#include "sa_bootstrap.h"
#include "sa_http.h"
#include "sa_os_file.h"
#include "sa_pool.h"
#include "sa_time.h"
#include "sa_version.h"

#define KEY_LIMIT ((size_t)64 * 1024)
#define ANSWER_LIMIT ((size_t)64 * 1024)
/* Beside a poll that waits. */
#define SLICE apr_time_from_msec(200)

static const char *or_null(const char *text)
{
    return *text ? text : NULL;
}

static const char *user_agent(apr_pool_t *pool)
{
    return apr_pstrcat(pool, "stone-age-agent/", sa_version(), NULL);
}

/* ---- the platform ----------------------------------------------------------------------- */

/* Its clock, for the check of ours. */
static void note_date(sa_doctor__shared_t *shared, apr_time_t date)
{
    if (date == 0) {
        return;
    }
    sa_os_mutex_lock(shared->mutex);
    shared->has_offset = true;
    shared->offset = sa_time_now() - date;
    sa_os_mutex_unlock(shared->mutex);
}

static void judge_place(sa_doctor__exam_t *exam)
{
    sa_bootstrap_place_t place;

    sa_bootstrap_look(&place, exam->config, exam->pool);
    if (!place.has_creds) {
        sa_doctor__fail(exam, "stone-age-agent bootstrap, as the agent's user, fetches them and "
                        "says why not.", "it answers, but there are no credentials from it yet");
    } else if (!place.has_session) {
        sa_doctor__warn(exam, "Put the password into place (platform.password_file) and run "
                        "stone-age-agent bootstrap.",
                        "it answers, but there is no session that can be read: the next visit "
                        "needs the password");
    } else {
        sa_doctor__ok(exam, "it answers; last visit %s ago",
                      sa_doctor__span(sa_time_now() - place.synced_at, exam->pool));
    }
}

/* No login: what a password opens is not tried by the way. */
void sa_doctor__platform(sa_doctor__exam_t *exam)
{
    const sa_config_t *config = exam->config;
    sa_http_response_t response;
    sa_http_request_t request = {
        .url = apr_pstrcat(exam->pool, config->platform_url, "/api/health", NULL),
        .user_agent = user_agent(exam->pool), .timeout = sa_doctor__left(exam),
        .limit_bytes = ANSWER_LIMIT, .ca_file = or_null(config->platform_ca_file),
        .pin_sha256 = or_null(config->platform_pin)
    };
    sa_http_proxy_choice_t choice;
    sa_http_proxy_t proxy;
    sa_error_t *err;

    if (config->nats_auth_type != SA_AUTH_PLATFORM) {
        sa_doctor__skip(exam, "nats.auth.type is not platform");
        return;
    }
    sa_http_proxy_choose(&choice, config, exam->pool);
    err = sa_http_proxy_read(&proxy, &choice, exam->pool);
    if (err) {
        sa_doctor__fail_error(exam, sa_event_row(SA_EVENT_link_proxy_setting)->advice, err);
        return;
    }
    request.proxy = &proxy;
    err = sa_http_fetch(&response, &request, exam->shared->stop, exam->pool);
    note_date(exam->shared, response.date);
    if (err) {
        sa_event_t event = response.untrusted ? SA_EVENT_identity_untrusted
            : response.status != 0 ? SA_EVENT_identity_not_offered : SA_EVENT_identity_away;

        sa_doctor__fail_error(exam, sa_event_row(event)->advice,
                              sa_error(err->code, err, "%s", config->platform_url));
        return;
    }
    judge_place(exam);
}

/* ---- exporters -------------------------------------------------------------------------- */

typedef struct page_t {
    sa_doctor__exam_t *exam;
    const char *name;
    const char *url;            /* for people: without user and password */
    bool done;
} page_t;

typedef struct pages_t {
    sa_http_t *http;
    page_t *pages;
    int count;
    int good;
} pages_t;

typedef struct transfer_t {
    pages_t *all;
    page_t *page;
} transfer_t;

static const char *without_user(const char *url, apr_pool_t *pool)
{
    const char *begin = strstr(url, "://");
    size_t host = begin ? strcspn(begin + 3, "/?#") : 0;
    const char *at = begin ? memchr(begin + 3, '@', host) : NULL;

    return at ? apr_pstrcat(pool, apr_pstrmemdup(pool, url, (apr_size_t)(begin + 3 - url)), at + 1,
                            NULL) : url;
}

static void fail_page(page_t *page, sa_error_t *err)
{
    const char *mend = apr_psprintf(page->exam->pool, "Start the exporter, or correct the url of "
                                    "%s; try: curl %s", page->name, page->url);

    page->done = true;
    sa_doctor__fail_error(page->exam, mend, sa_error(err->code, err, "%s (%s)", page->name,
                                                     page->url));
}

static void on_page(void *baton, const sa_http_response_t *response, sa_error_t *err)
{
    transfer_t *transfer = baton;

    transfer->page->done = true;
    if (err) {
        fail_page(transfer->page, err);
    } else if (response->length == 0) {
        sa_doctor__warn(transfer->page->exam, NULL, "%s (%s) gives an empty page",
                        transfer->page->name, transfer->page->url);
    } else {
        transfer->all->good++;
    }
}

/* As the task would ask. */
static sa_error_t *start_page(pages_t *all, page_t *page, const sa_exporter_config_t *exporter,
                              apr_interval_time_t left)
{
    apr_pool_t *pool = page->exam->pool;
    transfer_t *transfer = apr_palloc(pool, sizeof(*transfer));
    const char *key;
    size_t length;
    sa_http_request_t request = {
        .url = exporter->url, .user_agent = user_agent(pool),
        .timeout = exporter->timeout < left ? exporter->timeout : left,
        .limit_bytes = (size_t)exporter->max_size, .ca_file = or_null(exporter->ca_file),
        .cert_file = or_null(exporter->cert_file), .key_file = or_null(exporter->key_file),
        .insecure = exporter->insecure
    };

    if (*exporter->key_file) {
        SA_TRY(sa_os_file_read_secret(&key, &length, exporter->key_file, KEY_LIMIT, pool));
        sa_wipe((char *)key, length);
    }
    if (exporter->bearer.source != SA_SECRET_NONE) {
        SA_TRY(sa_secret_read(&request.bearer, &exporter->bearer, pool));
    }
    if (*exporter->username) {
        request.username = exporter->username;
        SA_TRY(sa_secret_read(&request.password, &exporter->password, pool));
    }
    *transfer = (transfer_t){all, page};
    return sa_http_start(all->http, &request, on_page, transfer);
}

/* The page that telemetry.system is made of. */
static sa_error_t *start_system(pages_t *all, page_t *page, const char *url,
                                apr_interval_time_t left)
{
    apr_pool_t *pool = page->exam->pool;
    transfer_t *transfer = apr_palloc(pool, sizeof(*transfer));
    const sa_http_request_t request = {
        .url = url, .user_agent = user_agent(pool), .timeout = left,
        .limit_bytes = (size_t)16 * 1024 * 1024
    };

    *transfer = (transfer_t){all, page};
    return sa_http_start(all->http, &request, on_page, transfer);
}

static void begin_page(pages_t *all, sa_doctor__exam_t *exam, const sa_exporter_config_t *exporter)
{
    page_t *page = &all->pages[all->count++];
    const char *url = exporter ? exporter->url : exam->config->metrics_exporter_url;
    apr_interval_time_t left = sa_doctor__left(exam) - SLICE;
    sa_error_t *err;

    *page = (page_t){exam, exporter ? exporter->name : "tasks.system_metrics.exporter_url",
                     without_user(url, exam->pool), false};
    err = exporter ? start_page(all, page, exporter, left) : start_system(all, page, url, left);
    if (err) {
        fail_page(page, err);
    }
}

void sa_doctor__exporters(sa_doctor__exam_t *exam)
{
    const apr_array_header_t *exporters = exam->config->exporters;
    bool system = exam->config->metrics_enabled
                  && exam->config->metrics_source == SA_METRICS_EXPORTER;
    pages_t all = {.pages = apr_pcalloc(exam->pool, sizeof(page_t)
                                        * (size_t)(exporters->nelts + 1))};
    sa_error_t *err;

    if (exporters->nelts == 0 && !system) {
        sa_doctor__skip(exam, "the configuration names none");
        return;
    }
    err = sa_http_create(&all.http, exam->pool);
    if (err) {
        sa_doctor__fail_error(exam, NULL, err);
        return;
    }
    for (int i = 0; i < exporters->nelts; i++) {
        begin_page(&all, exam, &APR_ARRAY_IDX(exporters, i, const sa_exporter_config_t));
    }
    if (system) {
        begin_page(&all, exam, NULL);
    }
    while (sa_http_running(all.http) > 0 && sa_doctor__left(exam) > 0) {
        sa_http_poll(all.http, sa_time_mono() + SLICE);
    }
    for (int i = 0; i < all.count; i++) {
        if (!all.pages[i].done) {
            fail_page(&all.pages[i], sa_error(SA_ERR_TIMEOUT, NULL, "no answer in time"));
        }
    }
    sa_doctor__ok(exam, "%d of %d give their page", all.good, all.count);
}
