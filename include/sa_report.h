/* A report: what a task made, on its way to the bus.
 *
 * It has a pool of its own and moves between threads with it; whoever holds it
 * last destroys it. */
#ifndef SA_REPORT_H
#define SA_REPORT_H

#include <stddef.h>

#include <apr_pools.h>
#include <apr_time.h>

#include "sa_error.h"
#include "sa_json.h"

typedef enum sa_deliver_t {
    SA_DELIVER_NOW,         /* core publish; dropped when the bus is away, never late */
    SA_DELIVER_LATEST,      /* digital twin; only the newest of its name matters */
    SA_DELIVER_DURABLE      /* in the spool until JetStream has acknowledged it */
} sa_deliver_t;

typedef struct sa_report_t {
    apr_pool_t *pool;
    sa_deliver_t deliver;
    /* NOW, DURABLE: the subject behind "{prefix}.{code}.", such as
     * "telemetry.system".  LATEST: the key behind "thing.{code}.". */
    const char *name;
    const char *headers;    /* "Name: value\n" lines, or "" */
    const char *data;
    size_t length;
    apr_time_t made_at;
    /* LATEST: worth nothing past this (monotonic); 0: for ever */
    apr_interval_time_t expires_at;
} sa_report_t;

/* DATA, NAME and HEADERS (may be NULL) are copied. */
sa_report_t *sa_report_create(sa_deliver_t deliver, const char *name, const char *headers,
                              const void *data, size_t length);
/* The same for a JSON object. */
sa_report_t *sa_report_create_json(sa_deliver_t deliver, const char *name, const cJSON *json);
void sa_report_destroy(sa_report_t *report);

#endif
