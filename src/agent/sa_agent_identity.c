/* agent: visits to the platform.
 *
 * Visits come when one is due, when the bus refuses the credentials, and when a command asks
 * for new ones; one at a time.  What the bus and the commands say only sets a mark and wakes the
 * main thread, which does the rest. */
#include "sa_agent_identity.h"

#include <apr_atomic.h>

#include "sa_bootstrap.h"
#include "sa_log.h"
#include "sa_os_daemon.h"
#include "sa_os_thread.h"
#include "sa_pool.h"
#include "sa_random.h"
#include "sa_stats.h"
#include "sa_time.h"

/* A fleet that starts together does not visit together. */
#define START_SPREAD apr_time_from_sec(30)
/* Started again soon after a good visit, as in a crash loop: not another one. */
#define FRESH apr_time_from_sec(3600)
/* The bus refuses what the platform calls current: ask again, more and more slowly. */
#define REFUSED_FIRST apr_time_from_sec(5)
#define REFUSED_MOST apr_time_from_sec(600)
/* The network has changed: soon, but neighbours feel the same change; and not at each of a row. */
#define HURRY_SPREAD apr_time_from_sec(5)
#define HURRY_AGAIN apr_time_from_sec(15)
/* For a command that waits. */
#define ROTATE_TIME apr_time_from_sec(120)

typedef struct visit_t {
    sa_agent__identity_t *identity;
    const sa_config_t *config;
    sa_bootstrap_want_t want;
    sa_bootstrap_result_t result;
    apr_pool_t *pool;
} visit_t;

struct sa_agent__identity_t {
    apr_pool_t *pool;
    sa_link_t *link;
    sa_os_mutex_t *mutex;
    sa_os_cond_t *cond;             /* for who waits for a rotation */
    volatile apr_uint32_t stop;
    void (*on_nebula)(void *baton); /* or NULL */
    void *nebula_baton;

    /* main thread */
    const sa_config_t *config;
    bool on;                        /* the platform is asked at all */
    apr_array_header_t *retired;    /* of apr_pool_t *: configurations that a visit may read */
    sa_os_thread_t *thread;         /* of the visit under way */
    visit_t visit;
    apr_interval_time_t due;        /* SA_OS_NEVER */
    sa_bootstrap_state_t state;
    apr_uint32_t count;             /* of visits in a row that came to this state */
    apr_uint32_t refusals;          /* of visits in a row because the bus refused */
    apr_interval_time_t refused_due;    /* not before */
    apr_interval_time_t hurry_due;  /* the same, for a change of the network */
    apr_uint64_t serving;           /* the rotation that the visit under way is for */
    bool syncing;                   /* somebody has asked for the visit under way */

    /* (m) */
    bool done;                      /* the visit's thread ends */
    bool refused;                   /* the bus said so */
    bool can_sync;                  /* the same as ON */
    bool sync;                      /* somebody wants a visit */
    bool stopping;
    apr_uint64_t asked;             /* rotations, ever */
    apr_uint64_t served;
    int waiters;
    sa_bootstrap_result_t rotation; /* of the last one */
};

/* ---- a visit ------------------------------------------------------------------------- */

static sa_error_t *check(void *baton, const char *text, apr_pool_t *scratch_pool)
{
    (void)baton;
    return sa_link_check_creds(text, scratch_pool);
}

static sa_error_t *try_on_bus(void *baton, const char *path, apr_interval_time_t timeout,
                              apr_pool_t *scratch_pool)
{
    return sa_link_try(baton, path, timeout, scratch_pool);
}

void sa_agent__identity_bus(sa_bootstrap_bus_t *bus, const sa_config_t *config)
{
    bus->baton = (void *)config;    /* given back as it was */
    bus->check = check;
    bus->try = try_on_bus;
}

static void run_visit(void *baton)
{
    visit_t *visit = baton;
    sa_agent__identity_t *identity = visit->identity;
    sa_bootstrap_bus_t bus;

    sa_agent__identity_bus(&bus, visit->config);
    sa_bootstrap_visit(&visit->result, visit->config, visit->want, &bus, &identity->stop,
                       visit->pool);
    sa_os_mutex_lock(identity->mutex);
    identity->done = true;
    sa_os_mutex_unlock(identity->mutex);
    sa_os_daemon_wake();
}

static void begin(sa_agent__identity_t *identity, sa_bootstrap_want_t want)
{
    visit_t *visit = &identity->visit;
    apr_status_t status;

    visit->identity = identity;
    visit->config = identity->config;
    visit->want = want;
    visit->pool = sa_pool_create_root();
    identity->done = false;
    status = sa_os_thread_start(&identity->thread, "identity", run_visit, visit, visit->pool);
    if (status != APR_SUCCESS) {
        sa_error_t *err = sa_error_apr(status, "cannot start a thread to visit the platform");

        SA_LOG(identity_files, SA_E(err));
        sa_error_clear(err);
        identity->thread = NULL;
        apr_pool_destroy(visit->pool);
        identity->due = sa_time_mono() + REFUSED_FIRST;
    }
}

/* ---- its end --------------------------------------------------------------------------- */

static void say_stats(const sa_agent__identity_t *identity, const sa_bootstrap_result_t *result)
{
    bool current = result->state == SA_BOOTSTRAP_CURRENT;

    sa_stats_set_text(SA_STAT_TEXT_identity_state, sa_bootstrap_state_name(result->state));
    sa_stats_set_text(SA_STAT_TEXT_identity_error, current ? NULL : result->words);
    sa_stats_set(SA_STAT_identity_trouble, current ? 0 : 1);
    sa_stats_set(SA_STAT_identity_session_expires, (apr_uint64_t)result->session_expires);
    if (current) {
        sa_stats_set(SA_STAT_identity_synced_at, (apr_uint64_t)sa_time_now());
    }
    sa_stats_set(SA_STAT_identity_due_at, identity->due == SA_OS_NEVER ? 0
                 : (apr_uint64_t)(sa_time_now() + identity->due - sa_time_mono()));
}

static void plan(sa_agent__identity_t *identity, const sa_bootstrap_result_t *result)
{
    apr_interval_time_t pause;

    identity->count = result->state == identity->state ? identity->count + 1 : 1;
    identity->state = result->state;
    pause = sa_bootstrap_pause(result, identity->count, identity->config);
    identity->due = pause > 0 ? sa_time_mono() + pause : SA_OS_NEVER;
}

static void drop_retired(sa_agent__identity_t *identity)
{
    for (int i = 0; i < identity->retired->nelts; i++) {
        apr_pool_destroy(APR_ARRAY_IDX(identity->retired, i, apr_pool_t *));
    }
    apr_array_clear(identity->retired);
}

/* Is there somebody who connects anew once he has answered? */
static bool hand_over(sa_agent__identity_t *identity, const sa_bootstrap_result_t *result)
{
    bool waits = false;

    sa_os_mutex_lock(identity->mutex);
    if (identity->serving > identity->served) {
        identity->rotation = *result;
        identity->served = identity->serving;
        waits = identity->waiters > 0;
        sa_os_cond_broadcast(identity->cond);
    }
    sa_os_mutex_unlock(identity->mutex);
    return waits;
}

/* The visit is over; true: there are new settings. */
static bool end(sa_agent__identity_t *identity)
{
    sa_bootstrap_result_t result = identity->visit.result;

    sa_os_thread_join(identity->thread);
    identity->thread = NULL;
    apr_pool_destroy(identity->visit.pool);
    drop_retired(identity);
    plan(identity, &result);
    say_stats(identity, &result);
    if (!hand_over(identity, &result) && result.creds_changed) {
        sa_link_renew(identity->link);
    }
    if ((result.nebula_changed || identity->syncing) && identity->on_nebula) {
        identity->on_nebula(identity->nebula_baton);
    }
    identity->syncing = false;
    if (!sa_stats_read(SA_STAT_link_connected) && result.state != SA_BOOTSTRAP_CURRENT) {
        sa_os_notify_status(result.words);
    }
    return result.remote_changed;
}

/* ---- when ------------------------------------------------------------------------------ */

/* Did the bus refuse since the last look?  While it lets us in, what it said before is old. */
static bool take_refusal(sa_agent__identity_t *identity)
{
    bool refused;

    sa_os_mutex_lock(identity->mutex);
    refused = identity->refused;
    sa_os_mutex_unlock(identity->mutex);
    if (sa_stats_read(SA_STAT_link_connected)) {
        identity->refusals = 0;
        identity->refused_due = 0;
    }
    if (!refused || sa_time_mono() < identity->refused_due) {
        return false;
    }
    sa_os_mutex_lock(identity->mutex);
    identity->refused = false;
    sa_os_mutex_unlock(identity->mutex);
    return true;
}

static void slow_refusals(sa_agent__identity_t *identity)
{
    apr_interval_time_t pause = REFUSED_FIRST;

    for (apr_uint32_t i = 0; i < identity->refusals && pause < REFUSED_MOST; i++) {
        pause *= 2;
    }
    identity->refusals++;
    identity->refused_due = sa_time_mono() + (pause < REFUSED_MOST ? pause : REFUSED_MOST);
}

static bool is_rotation_asked(sa_agent__identity_t *identity)
{
    bool asked;

    sa_os_mutex_lock(identity->mutex);
    asked = identity->asked > identity->served;
    identity->serving = identity->asked;
    sa_os_mutex_unlock(identity->mutex);
    return asked;
}

static bool is_done(sa_agent__identity_t *identity)
{
    bool done;

    sa_os_mutex_lock(identity->mutex);
    done = identity->done;
    sa_os_mutex_unlock(identity->mutex);
    return done;
}

/* A platform that said why not is asked again when its own time has come, not when the bus
 * refuses once more: the bus will, until the platform helps. */
static bool may_hurry(const sa_agent__identity_t *identity)
{
    return identity->state == SA_BOOTSTRAP_CURRENT || identity->due == SA_OS_NEVER
           || sa_time_mono() >= identity->due;
}

static bool is_sync_asked(sa_agent__identity_t *identity)
{
    bool wanted;

    sa_os_mutex_lock(identity->mutex);
    wanted = identity->sync;
    sa_os_mutex_unlock(identity->mutex);
    return wanted;
}

static bool take_sync(sa_agent__identity_t *identity)
{
    bool wanted;

    sa_os_mutex_lock(identity->mutex);
    wanted = identity->sync;
    identity->sync = false;
    sa_os_mutex_unlock(identity->mutex);
    return wanted;
}

bool sa_agent__identity_look(sa_agent__identity_t *identity)
{
    bool news = false;

    if (identity->thread && is_done(identity)) {
        news = end(identity);
    }
    if (identity->thread || !identity->on) {
        return news;
    }
    if (is_rotation_asked(identity)) {
        begin(identity, SA_BOOTSTRAP_ROTATE);
    } else if (may_hurry(identity) && take_refusal(identity)) {
        slow_refusals(identity);
        begin(identity, SA_BOOTSTRAP_RENEW);
    } else if (sa_time_mono() >= identity->due
               || (may_hurry(identity) && is_sync_asked(identity))) {
        identity->syncing = take_sync(identity);
        begin(identity, SA_BOOTSTRAP_SYNC);
    }
    return news;
}

void sa_agent__identity_hurry(sa_agent__identity_t *identity)
{
    apr_interval_time_t now = sa_time_mono();
    apr_interval_time_t soon;
    sa_random_t random;

    if (!identity->on || identity->thread || identity->state != SA_BOOTSTRAP_AWAY
        || now < identity->hurry_due) {
        return;
    }
    sa_random_init(&random);
    soon = now + (apr_interval_time_t)sa_random_below(&random, HURRY_SPREAD);
    identity->due = soon < identity->due ? soon : identity->due;
    identity->hurry_due = now + HURRY_AGAIN;
}

apr_interval_time_t sa_agent__identity_due(const sa_agent__identity_t *identity)
{
    apr_interval_time_t due = identity->due;
    bool refused;

    if (!identity->on || identity->thread) {
        return SA_OS_NEVER;         /* the end of a visit wakes us */
    }
    sa_os_mutex_lock(identity->mutex);
    refused = identity->refused;
    sa_os_mutex_unlock(identity->mutex);
    if (refused && may_hurry(identity) && (due == SA_OS_NEVER || identity->refused_due < due)) {
        due = identity->refused_due;
    }
    return due;
}

/* ---- from other threads ------------------------------------------------------------------ */

/* In the link's thread. */
static void on_refused(void *baton)
{
    sa_agent__identity_t *identity = baton;

    sa_os_mutex_lock(identity->mutex);
    identity->refused = true;
    sa_os_mutex_unlock(identity->mutex);
    sa_os_daemon_wake();
}

sa_error_t *sa_agent__identity_rotate(void *baton, bool *changed)
{
    sa_agent__identity_t *identity = baton;
    apr_interval_time_t deadline = sa_time_mono() + ROTATE_TIME;
    sa_bootstrap_result_t result = {0};
    apr_uint64_t ticket;
    bool in_time = true;
    bool served;

    *changed = false;
    sa_os_mutex_lock(identity->mutex);
    ticket = ++identity->asked;
    identity->waiters++;
    sa_os_daemon_wake();
    while (identity->served < ticket && !identity->stopping && in_time) {
        in_time = sa_os_cond_wait(identity->cond, identity->mutex, deadline);
    }
    served = identity->served >= ticket;
    if (served) {
        result = identity->rotation;
    }
    identity->waiters--;
    sa_os_mutex_unlock(identity->mutex);
    if (!served) {
        return in_time ? sa_error(SA_ERR_STOPPING, NULL, NULL)
                       : sa_error(SA_ERR_TIMEOUT, NULL, "the platform did not answer in time");
    }
    *changed = result.creds_changed;
    return result.state == SA_BOOTSTRAP_CURRENT || result.creds_changed
               ? SA_OK : sa_error(SA_ERR_COMMAND_FAILED, NULL, "%s", result.words);
}

bool sa_agent__identity_sync(void *baton)
{
    sa_agent__identity_t *identity = baton;
    bool can;

    sa_os_mutex_lock(identity->mutex);
    can = identity->can_sync;
    identity->sync = can;
    sa_os_mutex_unlock(identity->mutex);
    sa_os_daemon_wake();
    return can;
}

void sa_agent__identity_on_nebula(sa_agent__identity_t *identity, void (*told)(void *baton),
                                  void *baton)
{
    identity->on_nebula = told;
    identity->nebula_baton = baton;
}

void sa_agent__identity_renew(void *baton)
{
    sa_agent__identity_t *identity = baton;

    sa_link_renew(identity->link);
}

/* ---- life ---------------------------------------------------------------------------------- */

void sa_agent__identity_create(sa_agent__identity_t **result, sa_link_t *link, apr_pool_t *pool)
{
    sa_agent__identity_t *identity = apr_pcalloc(pool, sizeof(*identity));

    identity->pool = pool;
    identity->link = link;
    identity->mutex = sa_os_mutex_create(pool);
    identity->cond = sa_os_cond_create(pool);
    identity->retired = apr_array_make(pool, 4, sizeof(apr_pool_t *));
    identity->due = SA_OS_NEVER;
    sa_link_on_refused(link, on_refused, identity);
    *result = identity;
}

static void take_config(sa_agent__identity_t *identity, const sa_config_t *config)
{
    identity->config = config;
    identity->on = config->nats_auth_type == SA_AUTH_PLATFORM;
    sa_os_mutex_lock(identity->mutex);
    identity->can_sync = identity->on;
    sa_os_mutex_unlock(identity->mutex);
    if (!identity->on) {
        sa_stats_set(SA_STAT_identity_trouble, 0);
        sa_stats_set_text(SA_STAT_TEXT_identity_state, NULL);
        sa_stats_set_text(SA_STAT_TEXT_identity_error, NULL);
    }
}

/* With credentials there is time: connecting comes first. */
static apr_interval_time_t first_due(const sa_agent__identity_t *identity)
{
    sa_bootstrap_place_t place;
    sa_random_t random;
    apr_interval_time_t wait;

    sa_bootstrap_look(&place, identity->config, identity->pool);
    if (place.synced_at != 0) {
        sa_stats_set(SA_STAT_identity_synced_at, (apr_uint64_t)place.synced_at);
    }
    if (!place.has_creds) {
        return sa_time_mono();
    }
    sa_random_init(&random);
    wait = (apr_interval_time_t)sa_random_below(&random, START_SPREAD);
    if (place.has_session && sa_time_now() - place.synced_at < FRESH
        && sa_time_now() >= place.synced_at && sa_bootstrap_interval(identity->config) > FRESH) {
        wait += FRESH;
    }
    return sa_time_mono() + wait;
}

void sa_agent__identity_start(sa_agent__identity_t *identity, const sa_config_t *config)
{
    take_config(identity, config);
    if (identity->on) {
        identity->due = first_due(identity);
        sa_agent__identity_look(identity);
    }
}

void sa_agent__identity_reload(sa_agent__identity_t *identity, const sa_config_t *config,
                               apr_pool_t *old_pool, bool anew)
{
    take_config(identity, config);
    if (old_pool && identity->thread) {
        APR_ARRAY_PUSH(identity->retired, apr_pool_t *) = old_pool;
    } else if (old_pool) {
        apr_pool_destroy(old_pool);
    }
    if (anew && identity->on) {
        identity->due = sa_time_mono();
        identity->count = 0;
    }
}

void sa_agent__identity_stop(sa_agent__identity_t *identity)
{
    apr_atomic_set32(&identity->stop, 1);
    sa_os_mutex_lock(identity->mutex);
    identity->stopping = true;
    sa_os_cond_broadcast(identity->cond);
    sa_os_mutex_unlock(identity->mutex);
    if (identity->thread) {
        sa_os_thread_join(identity->thread);
        identity->thread = NULL;
        apr_pool_destroy(identity->visit.pool);
    }
    drop_retired(identity);
    identity->due = SA_OS_NEVER;
}
