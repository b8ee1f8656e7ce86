/* base: named numbers and texts.  Numbers are atomic, texts have a lock. */
#include "sa_stats.h"

#include <string.h>

#include <apr_atomic.h>
#include <apr_strings.h>

#include "sa_error.h"
#include "sa_os_thread.h"
#include "sa_time.h"

/* A minute of a meter.  Each slice is one number, so that it changes as a whole: above
 * COUNT_BITS which slice of time it is, below what was added in it. */
#define SLICES 6
#define SLICE_TIME apr_time_from_sec(10)
#define COUNT_BITS 32

static const sa_stat_row_t rows[] = {
#define SA_STAT(name, kind, help) {#name, SA_STAT_##kind, help},
#define SA_STAT_TEXT(name, help)
#include "sa_stats.def"
#undef SA_STAT
#undef SA_STAT_TEXT
};

static volatile apr_uint64_t numbers[SA_STAT_END];
static volatile apr_uint64_t minutes[SA_STAT_END][SLICES];
static sa_os_mutex_t *texts_mutex;      /* guards texts */
static char texts[SA_STAT_TEXT_END][SA_STAT_TEXT_SIZE];

const sa_stat_row_t *sa_stats_row(sa_stat_t stat)
{
    return &rows[stat];
}

void sa_stats_init(apr_pool_t *pool)
{
    texts_mutex = sa_os_mutex_create(pool);
}

static apr_uint64_t slice_of(apr_interval_time_t clock)
{
    return (apr_uint64_t)(clock / SLICE_TIME) & 0xffffffff;
}

static void add_to_minute(sa_stat_t stat, apr_uint64_t amount)
{
    apr_uint64_t slice = slice_of(sa_time_mono());
    volatile apr_uint64_t *place = &minutes[stat][slice % SLICES];
    apr_uint64_t old = apr_atomic_read64(place);

    for (;;) {
        apr_uint64_t new = old >> COUNT_BITS == slice ? old + amount
                                                      : (slice << COUNT_BITS) + amount;
        apr_uint64_t seen = apr_atomic_cas64(place, new, old);

        if (seen == old) {
            return;
        }
        old = seen;
    }
}

double sa_stats_rate(sa_stat_t stat)
{
    apr_interval_time_t clock = sa_time_mono();
    apr_interval_time_t span = (SLICES - 1) * SLICE_TIME + clock % SLICE_TIME;
    apr_interval_time_t up = clock - (apr_interval_time_t)sa_stats_read(SA_STAT_started_at);
    apr_uint64_t now = slice_of(clock);
    apr_uint64_t sum = 0;

    for (int i = 0; i < SLICES; i++) {
        apr_uint64_t slice = apr_atomic_read64(&minutes[stat][i]);

        if (((now - (slice >> COUNT_BITS)) & 0xffffffff) < SLICES) {
            sum += slice & 0xffffffff;
        }
    }
    span = up < span ? up : span;
    span = span < APR_USEC_PER_SEC ? APR_USEC_PER_SEC : span;
    return (double)sum * APR_USEC_PER_SEC / (double)span;
}

void sa_stats_add(sa_stat_t stat, apr_uint64_t amount)
{
    apr_atomic_add64(&numbers[stat], amount);
    if (rows[stat].kind == SA_STAT_METER) {
        add_to_minute(stat, amount);
    }
}

void sa_stats_set(sa_stat_t stat, apr_uint64_t value)
{
    apr_atomic_set64(&numbers[stat], value);
}

apr_uint64_t sa_stats_read(sa_stat_t stat)
{
    return apr_atomic_read64(&numbers[stat]);
}

void sa_stats_set_text(sa_stat_text_t stat, const char *text)
{
    SA_ASSERT(texts_mutex != NULL);
    sa_os_mutex_lock(texts_mutex);
    apr_cpystrn(texts[stat], text ? text : "", sizeof(texts[stat]));
    sa_os_mutex_unlock(texts_mutex);
}

const char *sa_stats_text(sa_stat_text_t stat, char buffer[SA_STAT_TEXT_SIZE])
{
    SA_ASSERT(texts_mutex != NULL);
    sa_os_mutex_lock(texts_mutex);
    memcpy(buffer, texts[stat], SA_STAT_TEXT_SIZE);
    sa_os_mutex_unlock(texts_mutex);
    return buffer;
}

sa_health_t sa_stats_health(void)
{
    apr_uint64_t failures = sa_stats_read(SA_STAT_metrics_failures);
    apr_uint64_t attempts = sa_stats_read(SA_STAT_metrics_count) + failures;

    if (!sa_stats_read(SA_STAT_link_connected) || sa_stats_read(SA_STAT_spool_failed)) {
        return SA_UNHEALTHY;
    }
    if (sa_stats_read(SA_STAT_stream_missing) || sa_stats_read(SA_STAT_identity_trouble)
        || sa_stats_read(SA_STAT_mesh_trouble) || failures * 2 > attempts) {
        return SA_DEGRADED;
    }
    return SA_HEALTHY;
}

const char *sa_health_name(sa_health_t health)
{
    static const char *const names[] = {"healthy", "degraded", "unhealthy"};

    return names[health];
}
