/* A clock that moves when the task thread sleeps, an HTTP engine and an outbox
 * that remember: the real ones' symbols, linked instead. */
#ifndef FAKE_TIME_H
#define FAKE_TIME_H

#include <stdbool.h>

#include <apr_pools.h>
#include <apr_time.h>

#include "sa_report.h"

/* Set the clock to 0 and take over sa_time_*. */
void fake_begin(apr_pool_t *pool);
/* Let simulated time run to END (microseconds), and wait until it is there. */
void fake_run_until(apr_interval_time_t end);
void fake_end(void);

typedef struct fake_given_t {
    apr_interval_time_t at;
    sa_deliver_t deliver;
    const char *name;
    const char *data;
} fake_given_t;

/* The next report called NAME given at or after the one that *PLACE counts, or
 * NULL; *PLACE goes on behind it. */
const fake_given_t *fake_next_given(int *place, const char *name);
int fake_count_given(const char *name);

/* How exporters' pages are answered: NULL never, else with this page at once. */
void fake_set_page(const char *page);
int fake_http_started(void);

/* How often another thread has woken the task thread. */
int fake_wakes(void);

/* While true, reading the disks does not come back. */
void fake_block_disks(bool block);

#endif
