/* outbox: reports, each with a pool of its own. */
#include "sa_report.h"

#include <apr_strings.h>

#include "sa_json.h"
#include "sa_pool.h"
#include "sa_time.h"

sa_report_t *sa_report_create(sa_deliver_t deliver, const char *name, const char *headers,
                              const void *data, size_t length)
{
    apr_pool_t *pool = sa_pool_create_root();
    sa_report_t *report = apr_pcalloc(pool, sizeof(*report));

    report->pool = pool;
    report->deliver = deliver;
    report->name = apr_pstrdup(pool, name);
    report->headers = apr_pstrdup(pool, headers ? headers : "");
    report->data = length ? apr_pmemdup(pool, data, length) : "";
    report->length = length;
    report->made_at = sa_time_now();
    return report;
}

sa_report_t *sa_report_create_json(sa_deliver_t deliver, const char *name, const cJSON *json)
{
    sa_report_t *report = sa_report_create(deliver, name, NULL, NULL, 0);

    report->data = sa_json_print(json, &report->length, report->pool);
    return report;
}

void sa_report_destroy(sa_report_t *report)
{
    if (report) {
        apr_pool_destroy(report->pool);
    }
}
