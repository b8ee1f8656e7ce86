/* The link's life: the library, the thread that connects and watches, up and
 * down.
 *
 * The thread: wait, try each URL once, watch what came up until it goes, and
 * again.  The wait comes before the first attempt after a loss as well: the
 * neighbours lost theirs at the same moment.  Only a change of this machine's
 * own network is answered at once: that is nobody's loss but ours. */
#include "sa_link_private.h"

#include <string.h>

#include <apr_strings.h>

#include "sa_os_clock.h"
#include "sa_os_file.h"
#include "sa_pool.h"
#include "sa_random.h"
#include "sa_stats.h"
#include "sa_time.h"

#define LIBRARY_CLOSE_MS 5000
/* A machine up for less than this has just booted, and so have its neighbours. */
#define JUST_BOOTED apr_time_from_sec(300)
#define BOOT_SPREAD 20
/* A server that is about to stop gives 10 s before it throws anybody out; its clients leave within
 * half of that, and ask again while there is no other to go to. */
#define LAME_DUCK_SPREAD apr_time_from_sec(5)
/* After a change of the network the machines of one place come back within this time. */
#define HURRY_SPREAD apr_time_from_sec(1)
/* What is on its way when a reload ends the connection. */
#define RELOAD_FLUSH apr_time_from_sec(1)

static apr_pool_t *library_pool;

typedef struct opening_t {
    natsStatus status;
} opening_t;

/* In a thread of ours, whose name and blocked signals nats.c's threads take
 * over. */
static void open_library(void *baton)
{
    opening_t *opening = baton;
    natsClientConfig config;

    memset(&config, 0, sizeof(config));
    config.DefaultWriteDeadline = apr_time_as_msec(SA_LINK_WRITE_DEADLINE);
    config.LockSpinCount = 0;
    config.DefaultToThreadPool = true;
    config.ThreadPoolMax = 1;
    config.ReplyThreadPoolMax = 1;
    opening->status = nats_OpenWithConfig(&config);
}

sa_error_t *sa_link_library_open(void)
{
    opening_t opening = { NATS_ERR };
    sa_os_thread_t *thread;

    SA_ASSERT(!library_pool);
    SA_TRY(sa_http_library_open());     /* which counts how often: roads are made there */
    library_pool = sa_pool_create_root();
    SA_TRY(sa_link__tls_open(library_pool));
    SA_TRY_APR(sa_os_thread_start(&thread, "nats-lib", open_library, &opening, library_pool),
               "cannot start a thread to open the NATS library");
    sa_os_thread_join(thread);
    return sa_link__error(opening.status, "cannot open the NATS library");
}

void sa_link_library_close(void)
{
    nats_CloseAndWait(LIBRARY_CLOSE_MS);
    sa_link__tls_close();
    apr_pool_destroy(library_pool);
    library_pool = NULL;
    sa_http_library_close();
}

const char *sa_link_library_version(void)
{
    return nats_GetVersion();
}

sa_error_t *sa_link_create(sa_link_t **link, apr_pool_t *pool)
{
    sa_link_t *made = apr_pcalloc(pool, sizeof(*made));

    made->pool = pool;
    made->mutex = sa_os_mutex_create(pool);
    made->cond = sa_os_cond_create(pool);
    made->denial_pool = sa_pool_create_root();
    made->max_payload = SA_LINK_PAYLOAD_CAP;
    made->thread_name = "link";
    memcpy(made->inbox, "_INBOX.", 7);
    sa_random_text(made->inbox + 7, SA_LINK_INBOX_RANDOM);
    *link = made;
    return SA_OK;
}

void sa_link_on_edge(sa_link_t *link, sa_link_edge_fn_t fn, void *baton)
{
    SA_ASSERT(!link->thread);
    link->edge = fn;
    link->edge_baton = baton;
}

void sa_link_on_ack(sa_link_t *link, sa_link_ack_fn_t fn, void *baton)
{
    SA_ASSERT(!link->thread);
    link->ack = fn;
    link->ack_baton = baton;
}

void sa_link_on_refused(sa_link_t *link, sa_link_refused_fn_t fn, void *baton)
{
    SA_ASSERT(!link->thread);
    link->refused = fn;
    link->refused_baton = baton;
}

void sa_link_on_publish(sa_link_t *link, sa_link_publish_fn_t fn, void *baton)
{
    SA_ASSERT(!link->thread);
    link->published = fn;
    link->published_baton = baton;
}

void sa_link_renew(sa_link_t *link)
{
    sa_os_mutex_lock(link->mutex);
    link->renew = true;
    sa_os_cond_broadcast(link->cond);
    sa_os_mutex_unlock(link->mutex);
}

void sa_link_on_second_ack(sa_link_t *link, sa_link_ack_fn_t fn, void *baton)
{
    SA_ASSERT(!link->thread);
    link->second_ack = fn;
    link->second_ack_baton = baton;
}

void sa_link_look(sa_link_t *link)
{
    apr_interval_time_t now = sa_time_mono();

    sa_os_mutex_lock(link->mutex);
    if (link->look_at == 0) {
        link->look_at = link->looked > 0 && now - link->looked < SA_LINK_LOOK_SPACING
            ? link->looked + SA_LINK_LOOK_SPACING : now;
    }
    sa_os_cond_broadcast(link->cond);
    sa_os_mutex_unlock(link->mutex);
}

/* Called with the lock. */
static bool is_interrupted(const sa_link_t *link)
{
    return link->stopping || link->fresh || link->renew;
}

/* Called with the lock. */
static bool is_look_due(const sa_link_t *link)
{
    return link->look_at > 0 && sa_time_mono() >= link->look_at;
}

bool sa_link__is_interrupted(sa_link_t *link)
{
    bool interrupted;

    sa_os_mutex_lock(link->mutex);
    interrupted = is_interrupted(link);
    sa_os_mutex_unlock(link->mutex);
    return interrupted;
}

bool sa_link__is_moot(sa_link_t *link)
{
    bool moot;

    sa_os_mutex_lock(link->mutex);
    moot = is_interrupted(link) || (!link->conn && !link->patient && is_look_due(link));
    sa_os_mutex_unlock(link->mutex);
    return moot;
}

/* Take the news of a change of the network, if there is any. */
static bool take_look(sa_link_t *link)
{
    bool due;

    sa_os_mutex_lock(link->mutex);
    due = is_look_due(link);
    if (due) {
        link->look_at = 0;
        link->looked = sa_time_mono();
    }
    sa_os_mutex_unlock(link->mutex);
    return due;
}

bool sa_link_is_up(sa_link_t *link)
{
    bool up;

    sa_os_mutex_lock(link->mutex);
    up = link->conn != NULL && !link->conn->closed && !link->stopping;
    sa_os_mutex_unlock(link->mutex);
    return up;
}

sa_link__conn_t *sa_link__acquire(sa_link_t *link)
{
    sa_link__conn_t *conn = NULL;

    sa_os_mutex_lock(link->mutex);
    if (link->conn && !link->conn->closed && !link->stopping) {
        conn = link->conn;
        conn->users++;
    }
    sa_os_mutex_unlock(link->mutex);
    return conn;
}

void sa_link__release(sa_link__conn_t *conn)
{
    sa_link_t *link = conn->link;

    sa_os_mutex_lock(link->mutex);
    conn->users--;
    if (conn->users == 0 && conn != link->conn) {
        sa_os_cond_broadcast(link->cond);       /* its end waits for us */
    }
    sa_os_mutex_unlock(link->mutex);
}

static void tell_edge(sa_link_t *link, bool up)
{
    if (link->edge) {
        link->edge(link->edge_baton, up);
    }
}

static apr_interval_time_t sooner(apr_interval_time_t deadline, apr_interval_time_t other)
{
    return other > 0 && other < deadline ? other : deadline;
}

/* Wait until DEADLINE, an interruption or a change of the network. */
static void wait_until(sa_link_t *link, apr_interval_time_t deadline)
{
    sa_os_mutex_lock(link->mutex);
    while (!is_interrupted(link) && !is_look_due(link) && sa_time_mono() < deadline) {
        sa_os_cond_wait(link->cond, link->mutex, sooner(deadline, link->look_at));
    }
    sa_os_mutex_unlock(link->mutex);
}

/* The time between two attempts.  A change of the network ends it, after a short spread. */
static void rest(sa_link_t *link, apr_interval_time_t time)
{
    sa_random_t random;

    if (!link->hurry) {
        wait_until(link, sa_time_mono() + time);
        link->hurry = take_look(link);
    }
    if (link->hurry) {
        link->hurry = false;
        sa_random_init(&random);
        wait_until(link, sa_time_mono()
                   + (apr_interval_time_t)sa_random_below(&random, (apr_uint64_t)HURRY_SPREAD));
    }
}

/* Settings of a reload take the old ones' place. */
static bool take_settings(sa_link_t *link)
{
    sa_link__settings_t *fresh;
    bool renew;

    sa_os_mutex_lock(link->mutex);
    fresh = link->fresh;
    renew = link->renew;
    link->fresh = NULL;
    link->renew = false;
    if (fresh || renew) {
        sa_link__forget_denials(link);
    }
    sa_os_mutex_unlock(link->mutex);
    if (!fresh) {
        if (renew) {
            sa_backoff_reset(&link->backoff);
        }
        return false;
    }
    if (link->settings) {
        apr_pool_destroy(link->settings->pool);
    }
    link->settings = fresh;
    sa_backoff_init(&link->backoff, fresh->wait_first, fresh->wait_max);
    return true;
}

static void say_failure(const sa_link_url_t *url, const sa_link__failure_t *failure)
{
    const sa_field_t fields[] = { SA_S("url", url->text), SA_S("reason", failure->reason),
                                  SA_FIELD_END };

    sa_log_write(failure->event, fields);
    sa_stats_set_text(SA_STAT_TEXT_link_error, failure->reason);
}

/* Do new credentials help? */
static void tell_refused(sa_link_t *link, const sa_link__failure_t *failure)
{
    if (link->refused && sa_link__is_refusal(failure)) {
        link->refused(link->refused_baton);
    }
}

/* One pass over the URLs, from the one at FIRST on, each said when it fails unless QUIET. */
static sa_link__conn_t *try_urls(sa_link_t *link, int first, bool quiet)
{
    const sa_link__settings_t *settings = link->settings;
    sa_link__failure_t failure;
    sa_link__conn_t *conn = NULL;

    for (int i = 0; !conn && i < settings->url_count; i++) {
        const sa_link_url_t *url = &settings->urls[(first + i) % settings->url_count];

        if (sa_link__is_moot(link)) {
            return NULL;
        }
        conn = sa_link__connect(link, url, &failure);
        if (!conn && !quiet && !sa_link__is_moot(link)) {
            sa_stats_add(SA_STAT_link_connect_failures, 1);
            say_failure(url, &failure);
            tell_refused(link, &failure);
        }
    }
    return conn;
}

/* Subscribe on CONN; NULL, and said, if that fails. */
static sa_link__conn_t *settle(sa_link_t *link, sa_link__conn_t *conn)
{
    sa_link__failure_t failure;

    if (sa_link__subscribe(conn, &failure)) {
        return conn;
    }
    sa_stats_add(SA_STAT_link_connect_failures, 1);
    say_failure(conn->url, &failure);
    tell_refused(link, &failure);
    sa_link__disconnect(conn);
    return NULL;
}

/* Try each URL once.  A network that changes all the time must not keep us from ending an
 * attempt: every other one is ended. */
static sa_link__conn_t *bring_up(sa_link_t *link)
{
    sa_link__conn_t *conn = try_urls(link, 0, false);

    link->patient = !conn && sa_link__is_moot(link);
    return conn ? settle(link, conn) : NULL;
}

static void begin(sa_link_t *link, sa_link__conn_t *conn)
{
    char id[128] = "";

    natsConnection_GetConnectedServerId(conn->nc, id, sizeof(id));
    sa_stats_set_text(SA_STAT_TEXT_link_url, conn->url->text);
    sa_stats_set_text(SA_STAT_TEXT_link_server_id, id);
    sa_stats_set_text(SA_STAT_TEXT_link_tls, conn->tls ? "TLS" : "in the clear");
    sa_stats_set_text(SA_STAT_TEXT_link_error, NULL);
    sa_stats_add(SA_STAT_link_connects, 1);
    sa_stats_set(SA_STAT_link_connected, 1);
    SA_LOG(link_up, SA_S("url", conn->url->text), SA_S("server", id));
    sa_os_mutex_lock(link->mutex);
    link->max_payload = conn->max_payload;
    link->conn = conn;
    sa_os_mutex_unlock(link->mutex);
    tell_edge(link, true);
}

/* nats.c tests a silent connection by the wall clock: once that is set back, the
 * next test is that much later.  Small steps are left alone. */
static bool is_clock_set_back(sa_link__conn_t *conn)
{
    apr_interval_time_t ahead = sa_time_now() - sa_time_mono();

    conn->set_back = conn->ahead - ahead > conn->link->settings->ping_interval;
    conn->ahead = ahead;
    return conn->set_back;
}

/* Has the connection outlived a change of the network? */
static bool is_lost_by_change(sa_link_t *link, sa_link__conn_t *conn)
{
    if (!take_look(link)) {
        return false;
    }
    SA_LOG(link_looking, SA_S("url", conn->url->text));
    conn->lost_network = sa_link__look(conn);
    link->hurry = conn->lost_network != NULL;
    return link->hurry;
}

/* A lame duck is left at a random moment, for another server that answers. */
static void note_lame_duck(sa_link_t *link)
{
    sa_random_t random;

    sa_random_init(&random);
    link->move_at = sa_time_mono() + apr_time_from_msec(100)
        + (apr_interval_time_t)sa_random_below(&random, (apr_uint64_t)LAME_DUCK_SPREAD);
}

static sa_link__conn_t *find_other(sa_link_t *link, const sa_link__conn_t *conn)
{
    int next = (int)(conn->url - link->settings->urls) + 1;
    sa_link__conn_t *other;

    if (link->move_at == 0 || sa_time_mono() < link->move_at) {
        return NULL;
    }
    other = try_urls(link, next, true);
    if (!other) {
        note_lame_duck(link);
    }
    return other;
}

/* Sleep until the connection ends, or something is to be done about it; true: it is over. */
static bool doze(sa_link_t *link, sa_link__conn_t *conn, apr_interval_time_t deadline)
{
    bool over;

    sa_os_mutex_lock(link->mutex);
    while (!is_interrupted(link) && !conn->closed && !link->news && !is_look_due(link)
           && sa_time_mono() < deadline) {
        sa_os_cond_wait(link->cond, link->mutex, sooner(deadline, link->look_at));
    }
    over = is_interrupted(link) || conn->closed;
    sa_os_mutex_unlock(link->mutex);
    return over;
}

/* Until the connection ends, or is to end.  Returns the one that is to take its place, or NULL. */
static sa_link__conn_t *watch(sa_link_t *link, sa_link__conn_t *conn)
{
    apr_interval_time_t look = sa_time_mono() + link->settings->ping_interval;
    sa_link__conn_t *other = NULL;
    bool over = false;

    link->move_at = 0;
    while (!over && !other) {
        over = doze(link, conn, sooner(look, link->move_at));
        if (sa_link__say_news(link)) {
            note_lame_duck(link);
        }
        over = over || is_clock_set_back(conn) || is_lost_by_change(link, conn);
        if (!over) {
            other = find_other(link, conn);
        }
        if (sa_time_mono() >= look) {
            look = sa_time_mono() + link->settings->ping_interval;
        }
    }
    return other;
}

/* Give what was published the time to arrive. */
static void flush(sa_link_t *link, sa_link__conn_t *conn)
{
    apr_interval_time_t left = RELOAD_FLUSH;
    bool closed;

    sa_os_mutex_lock(link->mutex);
    if (link->stopping) {
        left = link->stop_deadline - sa_time_mono();
    }
    closed = conn->closed;
    sa_os_mutex_unlock(link->mutex);
    if (!closed && left > 0) {
        natsConnection_FlushTimeout(conn->nc, apr_time_as_msec(left) + 1);
    }
}

/* Say why, in the words of whoever ended it. */
static void say_end(sa_link_t *link, sa_link__conn_t *conn)
{
    sa_link__failure_t failure;

    sa_link__read_reason(&failure, conn);
    if (sa_link__is_interrupted(link) || conn->moved) {
        SA_LOG(link_closed, SA_S("url", conn->url->text));
        return;
    }
    if (conn->lost_network) {
        sa_link__fail(&failure, SA_EVENT_link_network_lost, "%s", conn->lost_network);
    }
    if (conn->set_back) {
        failure.event = SA_EVENT_link_lost;
        apr_cpystrn(failure.reason, "the wall clock was set back", sizeof(failure.reason));
    }
    if (failure.event != SA_EVENT_link_lost) {
        say_failure(conn->url, &failure);
        tell_refused(link, &failure);
    }
    SA_LOG(link_down, SA_S("url", conn->url->text), SA_S("reason", failure.reason));
    sa_stats_set_text(SA_STAT_TEXT_link_error, failure.reason);
}

static void end(sa_link_t *link, sa_link__conn_t *conn)
{
    sa_os_mutex_lock(link->mutex);
    link->conn = NULL;
    sa_os_mutex_unlock(link->mutex);
    sa_stats_set(SA_STAT_link_connected, 0);
    sa_stats_set_text(SA_STAT_TEXT_link_url, NULL);
    sa_stats_set_text(SA_STAT_TEXT_link_server_id, NULL);
    say_end(link, conn);
    tell_edge(link, false);
    if (sa_time_mono() - conn->since >= SA_LINK_STOOD) {
        sa_backoff_reset(&link->backoff);
    }
    sa_link__disconnect(conn);
}

static apr_interval_time_t first_wait(const sa_link__settings_t *settings)
{
    apr_interval_time_t spread = settings->spread;
    sa_random_t random;

    if (sa_os_clock_boot() < JUST_BOOTED) {
        spread *= BOOT_SPREAD;
    }
    sa_random_init(&random);
    return (apr_interval_time_t)sa_random_below(&random, (apr_uint64_t)spread);
}

/* OTHER takes CONN's place.  It subscribes when CONN is gone: a request that both got would be
 * carried out twice. */
static sa_link__conn_t *move(sa_link_t *link, sa_link__conn_t *conn, sa_link__conn_t *other)
{
    SA_LOG(link_moving, SA_S("from", conn->url->text), SA_S("to", other->url->text));
    conn->moved = true;
    flush(link, conn);
    end(link, conn);
    return settle(link, other);
}

/* From the first attempt to the end of the last connection that one led to. */
static void turn(sa_link_t *link)
{
    sa_link__conn_t *conn = bring_up(link);

    while (conn) {
        sa_link__conn_t *other;

        begin(link, conn);
        other = watch(link, conn);
        if (other) {
            conn = move(link, conn, other);
        } else {
            if (!conn->lost_network) {      /* or it would be waited for in vain */
                flush(link, conn);
            }
            end(link, conn);
            conn = NULL;
        }
    }
}

static bool is_stopping(sa_link_t *link)
{
    bool stopping;

    sa_os_mutex_lock(link->mutex);
    stopping = link->stopping;
    sa_os_mutex_unlock(link->mutex);
    return stopping;
}

/* Is there nothing to log in with until the platform has sent it?  To try without would be
 * refused, and look like a fault. */
static bool lacks_creds(sa_link_t *link)
{
    sa_link__settings_t *settings = link->settings;
    bool lacks;

    if (settings->auth != SA_AUTH_PLATFORM) {
        return false;
    }
    lacks = !sa_os_file_exists(settings->creds_file, settings->pool);
    if (lacks && !settings->creds_said) {
        SA_LOG(link_creds_awaited, SA_S("file", settings->creds_file));
        settings->creds_said = true;
    }
    return lacks;
}

static void run(void *baton)
{
    sa_link_t *link = baton;

    take_settings(link);
    rest(link, first_wait(link->settings));
    while (!is_stopping(link)) {
        take_settings(link);
        if (link->settings->url_count == 0 || lacks_creds(link)) {
            wait_until(link, SA_OS_NEVER);
            take_look(link);
            continue;
        }
        turn(link);
        rest(link, sa_backoff_next(&link->backoff));
    }
    apr_pool_destroy(link->settings->pool);
    nats_ReleaseThreadMemory();
}

/* Of two reloads the later one counts. */
static void put_settings(sa_link_t *link, sa_link__settings_t *settings)
{
    sa_link__settings_t *unused;

    sa_os_mutex_lock(link->mutex);
    unused = link->fresh;
    link->fresh = settings;
    sa_os_cond_broadcast(link->cond);
    sa_os_mutex_unlock(link->mutex);
    if (unused) {
        apr_pool_destroy(unused->pool);
    }
}

sa_error_t *sa_link_start(sa_link_t *link, const sa_config_t *config)
{
    SA_ASSERT(!link->thread);
    put_settings(link, sa_link__settings_create(config));
    SA_TRY_APR(sa_os_thread_start(&link->thread, "link", run, link, link->pool),
               "cannot start the link's thread");
    return SA_OK;
}

sa_error_t *sa_link_reload(sa_link_t *link, const sa_config_t *config)
{
    put_settings(link, sa_link__settings_create(config));
    return SA_OK;
}

void sa_link_stop(sa_link_t *link, apr_interval_time_t timeout)
{
    sa_os_mutex_lock(link->mutex);
    if (!link->stopping) {
        link->stopping = true;
        link->stop_deadline = sa_time_mono() + timeout;
    }
    sa_os_cond_broadcast(link->cond);
    sa_os_mutex_unlock(link->mutex);
    if (link->thread) {
        sa_os_thread_join(link->thread);
        link->thread = NULL;
    }
    if (link->fresh) {
        apr_pool_destroy(link->fresh->pool);
        link->fresh = NULL;
    }
    if (link->denial_pool) {
        apr_pool_destroy(link->denial_pool);
        link->denial_pool = NULL;
    }
}
