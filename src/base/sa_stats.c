/* base: named numbers and texts.  Numbers are atomic, texts have a lock. */
#include "sa_stats.h"

#include <string.h>

#include <apr_atomic.h>
#include <apr_strings.h>

#include "sa_error.h"
#include "sa_os_thread.h"

static const sa_stat_row_t rows[] = {
#define SA_STAT(name, kind, help) {#name, SA_STAT_##kind, help},
#define SA_STAT_TEXT(name, help)
#include "sa_stats.def"
#undef SA_STAT
#undef SA_STAT_TEXT
};

static volatile apr_uint64_t numbers[SA_STAT_END];
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

void sa_stats_add(sa_stat_t stat, apr_uint64_t amount)
{
    apr_atomic_add64(&numbers[stat], amount);
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
    if (sa_stats_read(SA_STAT_stream_missing) || failures * 2 > attempts) {
        return SA_DEGRADED;
    }
    return SA_HEALTHY;
}

const char *sa_health_name(sa_health_t health)
{
    static const char *const names[] = {"healthy", "degraded", "unhealthy"};

    return names[health];
}
