/* Named numbers and texts that every room sets and `health` reads.
 *
 * Any thread, any time.  The list is sa_stats.def. */
#ifndef SA_STATS_H
#define SA_STATS_H

#include <stddef.h>

#include <apr.h>
#include <apr_pools.h>

typedef enum sa_stat_t {
#define SA_STAT(name, kind, help) SA_STAT_##name,
#define SA_STAT_TEXT(name, help)
#include "sa_stats.def"
#undef SA_STAT
#undef SA_STAT_TEXT
    SA_STAT_END
} sa_stat_t;

typedef enum sa_stat_text_t {
#define SA_STAT(name, kind, help)
#define SA_STAT_TEXT(name, help) SA_STAT_TEXT_##name,
#include "sa_stats.def"
#undef SA_STAT
#undef SA_STAT_TEXT
    SA_STAT_TEXT_END
} sa_stat_text_t;

typedef enum sa_stat_kind_t {
    SA_STAT_COUNTER,    /* only grows while the process lives */
    SA_STAT_METER,      /* a counter whose pace is known as well */
    SA_STAT_GAUGE,      /* goes up and down */
    SA_STAT_TIME        /* an apr_time_t, 0 for never */
} sa_stat_kind_t;

/* One row of sa_stats.def, for whoever lists them all. */
typedef struct sa_stat_row_t {
    const char *name;
    sa_stat_kind_t kind;
    const char *help;
} sa_stat_row_t;
const sa_stat_row_t *sa_stats_row(sa_stat_t stat);

/* Prepare the texts' lock.  Once, before the first thread. */
void sa_stats_init(apr_pool_t *pool);

void sa_stats_add(sa_stat_t stat, apr_uint64_t amount);
void sa_stats_set(sa_stat_t stat, apr_uint64_t value);
apr_uint64_t sa_stats_read(sa_stat_t stat);
/* How fast a METER grew in the last minute (or since started_at): per second, over
 * the ten seconds under way and the fifty before them. */
double sa_stats_rate(sa_stat_t stat);

/* Texts are cut at SA_STAT_TEXT_SIZE - 1 bytes.  NULL empties. */
#define SA_STAT_TEXT_SIZE 256
void sa_stats_set_text(sa_stat_text_t stat, const char *text);
/* A copy in BUFFER; returns BUFFER. */
const char *sa_stats_text(sa_stat_text_t stat, char buffer[SA_STAT_TEXT_SIZE]);

/* How the agent is, from the numbers above.
 * unhealthy: no connection to the bus, or the spool cannot be written;
 * degraded: durable reports are not being stored, or more than half of the
 * system metrics reports failed. */
typedef enum sa_health_t { SA_HEALTHY, SA_DEGRADED, SA_UNHEALTHY } sa_health_t;
sa_health_t sa_stats_health(void);
const char *sa_health_name(sa_health_t health);

#endif
