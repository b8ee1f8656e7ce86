/* A clock that moves when the task thread sleeps; what the task room calls,
 * remembered. */
#include "fake_time.h"

#include <string.h>

#include <apr_strings.h>

#include "sa_http.h"
#include "sa_os_metrics.h"
#include "sa_os_thread.h"
#include "sa_outbox.h"
#include "sa_time.h"

#define GIVEN_MAX 4096
#define RUNNING_MAX 64

typedef struct transfer_t {
    sa_http_done_fn_t done;
    void *baton;
} transfer_t;

static struct {
    apr_pool_t *pool;
    sa_os_mutex_t *mutex;       /* guards everything below */
    sa_os_cond_t *moved;
    apr_interval_time_t now;
    apr_interval_time_t end;
    bool woken;
    int wakes;
    bool asleep;                /* the task thread waits at END */
    const char *page;
    transfer_t transfers[RUNNING_MAX];      /* the task thread's alone */
    int transfer_count;
    int started;
    bool disks_blocked;
    fake_given_t given[GIVEN_MAX];
    int given_count;
} fake;

static apr_interval_time_t read_mono(void *baton)
{
    apr_interval_time_t now;

    (void)baton;
    sa_os_mutex_lock(fake.mutex);
    now = fake.now;
    sa_os_mutex_unlock(fake.mutex);
    return now;
}

static apr_time_t read_now(void *baton)
{
    return 1785934245 * APR_INT64_C(1000000) + read_mono(baton);
}

void fake_begin(apr_pool_t *pool)
{
    static const sa_clock_t clock = {.now = read_now, .mono = read_mono};

    memset(&fake, 0, sizeof(fake));
    fake.pool = pool;
    fake.mutex = sa_os_mutex_create(pool);
    fake.moved = sa_os_cond_create(pool);
    sa_time_set_clock(&clock);
}

void fake_run_until(apr_interval_time_t end)
{
    sa_os_mutex_lock(fake.mutex);
    fake.end = end;
    fake.asleep = false;
    sa_os_cond_broadcast(fake.moved);
    while (!fake.asleep) {
        sa_os_cond_wait(fake.moved, fake.mutex, SA_OS_NEVER);
    }
    sa_os_mutex_unlock(fake.mutex);
}

void fake_end(void)
{
    sa_time_set_clock(NULL);
}

const fake_given_t *fake_next_given(int *place, const char *name)
{
    const fake_given_t *found = NULL;

    sa_os_mutex_lock(fake.mutex);
    while (*place < fake.given_count && !found) {
        const fake_given_t *given = &fake.given[(*place)++];

        found = strcmp(given->name, name) == 0 ? given : NULL;
    }
    sa_os_mutex_unlock(fake.mutex);
    return found;
}

int fake_count_given(const char *name)
{
    int place = 0;
    int count = 0;

    while (fake_next_given(&place, name)) {
        count++;
    }
    return count;
}

void fake_set_page(const char *page)
{
    sa_os_mutex_lock(fake.mutex);
    fake.page = page;
    sa_os_mutex_unlock(fake.mutex);
}

int fake_http_started(void)
{
    int started;

    sa_os_mutex_lock(fake.mutex);
    started = fake.started;
    sa_os_mutex_unlock(fake.mutex);
    return started;
}

int fake_wakes(void)
{
    int wakes;

    sa_os_mutex_lock(fake.mutex);
    wakes = fake.wakes;
    sa_os_mutex_unlock(fake.mutex);
    return wakes;
}

void fake_block_disks(bool block)
{
    sa_os_mutex_lock(fake.mutex);
    fake.disks_blocked = block;
    sa_os_cond_broadcast(fake.moved);
    sa_os_mutex_unlock(fake.mutex);
}

/* ---- the outbox ----------------------------------------------------------- */

sa_error_t *sa_outbox_give(sa_outbox_t *outbox, sa_report_t **report)
{
    (void)outbox;
    sa_os_mutex_lock(fake.mutex);
    SA_ASSERT(fake.given_count < GIVEN_MAX);
    fake.given[fake.given_count++] = (fake_given_t){
        fake.now, (*report)->deliver, apr_pstrdup(fake.pool, (*report)->name),
        apr_pstrmemdup(fake.pool, (*report)->data, (*report)->length)
    };
    sa_os_mutex_unlock(fake.mutex);
    sa_report_destroy(*report);
    *report = NULL;
    return SA_OK;
}

size_t sa_outbox_max_payload(sa_outbox_t *outbox)
{
    (void)outbox;
    return 1 << 20;
}

/* ---- the HTTP engine ------------------------------------------------------ */

struct sa_http_t {
    int unused;
};

sa_error_t *sa_http_create(sa_http_t **http, apr_pool_t *pool)
{
    *http = apr_pcalloc(pool, sizeof(**http));
    return SA_OK;
}

sa_error_t *sa_http_start(sa_http_t *http, const sa_http_request_t *request,
                          sa_http_done_fn_t done, void *baton)
{
    (void)http;
    (void)request;
    sa_os_mutex_lock(fake.mutex);
    fake.started++;
    sa_os_mutex_unlock(fake.mutex);
    SA_ASSERT(fake.transfer_count < RUNNING_MAX);
    fake.transfers[fake.transfer_count++] = (transfer_t){done, baton};
    return SA_OK;
}

static void answer_all(const char *page)
{
    sa_http_response_t response = {
        .status = 200, .content_type = "text/plain", .data = page, .length = strlen(page)
    };

    while (fake.transfer_count > 0) {
        transfer_t transfer = fake.transfers[--fake.transfer_count];

        transfer.done(transfer.baton, &response, SA_OK);
    }
}

/* Sleeping is what makes time pass. */
void sa_http_poll(sa_http_t *http, apr_interval_time_t deadline)
{
    const char *page;

    (void)http;
    sa_os_mutex_lock(fake.mutex);
    page = fake.page;
    sa_os_mutex_unlock(fake.mutex);
    if (page && fake.transfer_count > 0) {
        answer_all(page);
        return;
    }
    sa_os_mutex_lock(fake.mutex);
    while (!fake.woken && fake.now >= fake.end) {
        fake.asleep = true;
        sa_os_cond_broadcast(fake.moved);
        sa_os_cond_wait(fake.moved, fake.mutex, SA_OS_NEVER);
    }
    if (!fake.woken) {
        apr_interval_time_t to = deadline < fake.end ? deadline : fake.end;

        fake.now = to > fake.now ? to : fake.now;
    }
    fake.woken = false;
    sa_os_mutex_unlock(fake.mutex);
}

void sa_http_wake(sa_http_t *http)
{
    (void)http;
    sa_os_mutex_lock(fake.mutex);
    fake.woken = true;
    fake.wakes++;
    sa_os_cond_broadcast(fake.moved);
    sa_os_mutex_unlock(fake.mutex);
}

/* ---- the machine ---------------------------------------------------------- */

sa_error_t *sa_os_disks_read(apr_array_header_t **disks, apr_pool_t *pool)
{
    sa_os_mutex_lock(fake.mutex);
    while (fake.disks_blocked) {
        sa_os_cond_wait(fake.moved, fake.mutex, SA_OS_NEVER);
    }
    sa_os_mutex_unlock(fake.mutex);
    *disks = apr_array_make(pool, 1, sizeof(sa_os_disk_t));
    return SA_OK;
}

sa_error_t *sa_os_memory_read(sa_os_memory_t *memory, apr_pool_t *scratch_pool)
{
    (void)scratch_pool;
    *memory = (sa_os_memory_t){1 << 30, 1 << 29};
    return SA_OK;
}

sa_error_t *sa_os_cpu_read(sa_os_cpu_t *cpu, apr_pool_t *scratch_pool)
{
    (void)scratch_pool;
    *cpu = (sa_os_cpu_t){100, 50};
    return SA_OK;
}
