/* One attempt, and the end of a connection.  The link's thread only. */
#include "sa_link_private.h"

#include <string.h>

#include <apr_strings.h>

#include "sa_link_relay.h"
#include "sa_os_network.h"
#include "sa_pool.h"
#include "sa_stats.h"
#include "sa_time.h"

/* nats.c's last callbacks come at once; should they not, the memory is left to
 * them. */
#define LAST_CALLBACKS apr_time_from_sec(5)
/* A connection that breaks off early has its reason within this time. */
#define REASON_WAIT apr_time_from_sec(1)

/* Runs inside natsConnection_Connect().  From here on nats.c closes it. */
static natsStatus hand_over(natsSock *fd, char *host, int port, void *baton)
{
    sa_link__road_t *road = baton;

    (void)host;
    (void)port;
    *fd = road->fd;
    if (road->fd == SA_LINK_NO_SOCKET) {
        return NATS_NO_SERVER;
    }
    road->fd = SA_LINK_NO_SOCKET;
    return NATS_OK;
}

/* nats.c keeps the words of the last -ERR, which may be an hour old and a mere
 * denial; they are the reason only where the status says so. */
static bool words_are_the_reason(natsStatus status)
{
    return status == NATS_ERR || status == NATS_PROTOCOL_ERROR
        || status == NATS_CONNECTION_AUTH_FAILED;
}

static void on_closed(natsConnection *nc, void *baton)
{
    sa_link__conn_t *conn = baton;
    char words[SA_LINK_REASON] = "";
    natsStatus status = natsConnection_ReadLastError(nc, words, sizeof(words));

    sa_os_mutex_lock(conn->link->mutex);
    if (conn->status == NATS_OK) {      /* nothing heard of it before */
        conn->status = status == NATS_OK ? NATS_CONNECTION_CLOSED : status;
        apr_cpystrn(conn->reason, words_are_the_reason(status)
                    ? words : natsStatus_GetText(conn->status), sizeof(conn->reason));
    }
    conn->closed = true;
    sa_os_cond_broadcast(conn->link->cond);
    sa_os_mutex_unlock(conn->link->mutex);
}

/* On a relayed way nats.c sees a closed socket, whatever the server said before. */
static void ask_relay(sa_link__failure_t *failure, sa_link__conn_t *conn)
{
    sa_link__failure_t said;

    if (conn->relay && failure->event == SA_EVENT_link_lost
        && sa_link__relay_reason(conn->relay, &said)) {
        *failure = said;
    }
}

void sa_link__read_reason(sa_link__failure_t *failure, sa_link__conn_t *conn)
{
    sa_os_mutex_lock(conn->link->mutex);
    sa_link__fail_status(failure, conn->status, conn->reason);
    sa_os_mutex_unlock(conn->link->mutex);
    ask_relay(failure, conn);
}

/* Wait until DEADLINE for the closed callback, which brings the reason. */
static bool wait_closed(sa_link__conn_t *conn, apr_interval_time_t deadline)
{
    sa_link_t *link = conn->link;
    bool closed;

    sa_os_mutex_lock(link->mutex);
    while (!conn->closed && sa_time_mono() < deadline) {
        sa_os_cond_wait(link->cond, link->mutex, deadline);
    }
    closed = conn->closed;
    sa_os_mutex_unlock(link->mutex);
    return closed;
}

static void on_lame_duck(natsConnection *nc, void *baton)
{
    sa_link__conn_t *conn = baton;

    (void)nc;
    sa_os_mutex_lock(conn->link->mutex);
    conn->link->lame_duck = true;
    conn->link->news = true;
    sa_os_cond_broadcast(conn->link->cond);
    sa_os_mutex_unlock(conn->link->mutex);
}

/* Run CALL unless an earlier one failed. */
#define STEP(call)              \
    do {                        \
        if (status == NATS_OK) { \
            status = (call);    \
        }                       \
    } while (0)

static natsStatus set_behaviour(natsOptions *options, const sa_link__settings_t *settings,
                                bool relayed, apr_interval_time_t left, apr_pool_t *pool)
{
    natsStatus status = NATS_OK;

    STEP(natsOptions_SetName(options, apr_pstrcat(pool, "stone-age-agent/", settings->code,
                                                  NULL)));
    STEP(natsOptions_SetTimeout(options, left > 0 ? apr_time_as_msec(left) + 1 : 1));
    STEP(natsOptions_SetAllowReconnect(options, false));
    STEP(natsOptions_SetIgnoreDiscoveredServers(options, true));
    STEP(natsOptions_SetPingInterval(options, apr_time_as_msec(settings->ping_interval)));
    STEP(natsOptions_SetMaxPingsOut(options, 2));
    STEP(natsOptions_SetWriteDeadline(options, apr_time_as_msec(SA_LINK_WRITE_DEADLINE)));
    /* Without nats.c's flusher thread each report is a packet, and a backlog drains at half the
     * speed; but a relay gathers them again, and takes that thread's place. */
    STEP(natsOptions_SetSendAsap(options, relayed));
    STEP(natsOptions_UseGlobalMessageDelivery(options, true));
    return status;
}

static natsStatus set_callbacks(natsOptions *options, sa_link__conn_t *conn,
                                sa_link__road_t *road)
{
    /* TLS is settled by the options, not by the scheme. */
    natsStatus status = natsOptions_SetURL(options, apr_pstrcat(conn->pool, "nats://",
                                                                conn->url->address, NULL));

    STEP(natsOptions_SetProxyConnHandler(options, hand_over, road));
    STEP(natsOptions_SetClosedCB(options, on_closed, conn));
    STEP(natsOptions_SetErrorHandler(options, sa_link__on_error, conn));
    STEP(natsOptions_SetLameDuckModeCB(options, on_lame_duck, conn));
    return status;
}

static apr_status_t drop_options(void *options)
{
    natsOptions_Destroy(options);
    return APR_SUCCESS;
}

/* Is TLS ours to speak, inside of what the road is? */
static bool wants_tls(const sa_link__conn_t *conn, const sa_link__road_t *road)
{
    return !conn->url->ws
        && (conn->url->tls || conn->link->settings->tls || road->info.tls_required);
}

static bool apply_tls(natsOptions *options, sa_link__failure_t *failure,
                      const sa_link__conn_t *conn, const sa_link__road_t *road, apr_pool_t *pool)
{
    if (!wants_tls(conn, road)) {
        return true;
    }
    if (road->is_first && natsOptions_TLSHandshakeFirst(options) != NATS_OK) {
        sa_link__fail(failure, SA_EVENT_link_tls_failed, "%s", sa_link__last_words());
        return false;
    }
    return sa_link__tls_apply(options, failure, conn->link->settings, conn->url->host, pool);
}

/* Options for a server that said INFO; NULL: FAILURE says why. */
static natsOptions *make_options(sa_link__failure_t *failure, sa_link__conn_t *conn,
                                 sa_link__road_t *road, apr_interval_time_t left,
                                 apr_pool_t *pool)
{
    sa_link__settings_t *settings = conn->link->settings;
    sa_link__auth_t *auth = apr_pcalloc(pool, sizeof(*auth));
    natsOptions *options;
    natsStatus status = natsOptions_Create(&options);

    if (status != NATS_OK) {
        sa_link__fail_status(failure, status, NULL);
        return NULL;
    }
    apr_pool_cleanup_register(pool, options, drop_options, apr_pool_cleanup_null);
    conn->tls = wants_tls(conn, road) || (conn->url->ws && conn->url->tls);
    if (!sa_link__auth_read(auth, failure, settings, conn->url, pool)
        || !apply_tls(options, failure, conn, road, pool)) {
        return NULL;
    }
    STEP(set_behaviour(options, settings, conn->relay != NULL, left, pool));
    STEP(set_callbacks(options, conn, road));
    STEP(sa_link__auth_apply(options, auth));
    if (status != NATS_OK) {
        sa_link__fail_status(failure, status, sa_link__last_words());
        return NULL;
    }
    return options;
}

/* A server that wants a client certificate and gets none, or one that it does
 * not know, says so in an alert that mostly gets lost: with TLS 1.3 it comes
 * when we are talking already, and the closed socket is noticed first. */
static void explain(sa_link__failure_t *failure, sa_link__conn_t *conn)
{
    const sa_link__settings_t *settings = conn->link->settings;

    ask_relay(failure, conn);
    if (conn->tls_verify
        && (failure->event == SA_EVENT_link_lost || failure->event == SA_EVENT_link_tls_failed)) {
        sa_link__fail(failure, SA_EVENT_link_tls_client_cert, "%s", settings->cert_file[0]
                      ? "the server wants a client certificate and broke off after ours"
                      : "the server wants a client certificate and none is configured");
    }
}

/* What the server takes: with TLS before the first line only nats.c has seen that. */
static void note_payload(sa_link__conn_t *conn, const sa_link__road_t *road)
{
    apr_int64_t most = road->is_first ? natsConnection_GetMaxPayload(conn->nc)
                                      : road->info.max_payload;

    conn->max_payload = most < 1 || most > SA_LINK_PAYLOAD_CAP ? SA_LINK_PAYLOAD_CAP : most;
}

static bool speak(sa_link__conn_t *conn, sa_link__failure_t *failure, natsOptions *options,
                  const sa_link__road_t *road)
{
    natsStatus status;

    /* nats.c keeps the words of a thread's last failure and would take those of
     * an earlier handshake for this one's. */
    nats_ReleaseThreadMemory();
    sa_os_thread_set_name("nats-io");   /* its threads begin with our name */
    status = natsConnection_Connect(&conn->nc, options);
    sa_os_thread_set_name(conn->link->thread_name);
    if (status == NATS_OK) {
        note_payload(conn, road);
        return true;
    }
    conn->nc = NULL;
    if (!sa_link__tls_verdict(failure)) {
        sa_link__fail_status(failure, status, sa_link__last_words());
        explain(failure, conn);
    }
    return false;
}

bool sa_link__subscribe(sa_link__conn_t *conn, sa_link__failure_t *failure)
{
    apr_interval_time_t timeout = conn->link->settings->connect_timeout;
    natsStatus status;

    sa_os_thread_set_name("nats-deliver");
    status = sa_link__subscribe_all(conn);
    sa_os_thread_set_name(conn->link->thread_name);
    nats_ReleaseThreadMemory();
    STEP(natsConnection_FlushTimeout(conn->nc, apr_time_as_msec(timeout) + 1));
    if (status == NATS_OK) {
        nats_GetLastError(&status);     /* see sa_link_probe() */
    }
    if (status == NATS_OK) {
        conn->since = sa_time_mono();
        return true;
    }
    sa_link__fail_status(failure, status, NULL);
    if (status != NATS_TIMEOUT && wait_closed(conn, sa_time_mono() + REASON_WAIT)) {
        sa_link__read_reason(failure, conn);
    }
    explain(failure, conn);
    return false;
}

const char *sa_link__look(sa_link__conn_t *conn)
{
    apr_pool_t *pool = sa_pool_create_root();
    bool is_here = !conn->local || sa_os_network_has_address(conn->local, pool);
    natsStatus status;

    apr_pool_destroy(pool);
    if (!is_here) {
        return "this machine has lost the address that the connection began with";
    }
    nats_ReleaseThreadMemory();
    status = natsConnection_FlushTimeout(conn->nc, apr_time_as_msec(SA_LINK_LOOK_TIMEOUT));
    return status == NATS_TIMEOUT ? "the server does not answer since the network has changed"
                                  : NULL;
}

static sa_link__conn_t *conn_create(sa_link_t *link, const sa_link_url_t *url)
{
    apr_pool_t *pool = sa_pool_create_root();
    sa_link__conn_t *conn = apr_pcalloc(pool, sizeof(*conn));

    conn->pool = pool;
    conn->link = link;
    conn->url = url;
    conn->ahead = sa_time_now() - sa_time_mono();
    return conn;
}

static bool attempt(sa_link__conn_t *conn, sa_link__failure_t *failure, apr_pool_t *pool)
{
    apr_interval_time_t deadline = sa_time_mono() + conn->link->settings->connect_timeout;
    sa_link__road_t road;
    natsOptions *options;
    bool ok;

    if (!sa_link__dial(&road, failure, conn, deadline, pool)) {
        return false;
    }
    conn->tls_verify = road.info.tls_verify;
    options = make_options(failure, conn, &road, deadline - sa_time_mono(), pool);
    ok = options && speak(conn, failure, options, &road);
    sa_link__road_close(&road);
    return ok;
}

sa_link__conn_t *sa_link__connect(sa_link_t *link, const sa_link_url_t *url,
                                  sa_link__failure_t *failure)
{
    apr_pool_t *pool = sa_pool_create_root();
    sa_link__conn_t *conn = conn_create(link, url);

    if (!attempt(conn, failure, pool)) {
        sa_link__disconnect(conn);
        conn = NULL;
    }
    sa_link__tls_forget();
    apr_pool_destroy(pool);
    return conn;
}

/* Nobody may be publishing, and nats.c must be done with our memory. */
static bool wait_last_callbacks(sa_link__conn_t *conn)
{
    sa_link_t *link = conn->link;
    apr_interval_time_t deadline = sa_time_mono() + LAST_CALLBACKS;
    bool done;

    sa_os_mutex_lock(link->mutex);
    while (!(conn->closed && conn->open_subs == 0) && sa_time_mono() < deadline) {
        sa_os_cond_wait(link->cond, link->mutex, deadline);
    }
    done = conn->closed && conn->open_subs == 0;
    sa_os_mutex_unlock(link->mutex);
    return done;
}

static void close_subscriptions(sa_link__conn_t *conn)
{
    sa_os_mutex_lock(conn->link->mutex);
    for (int i = 0; i < conn->live_count; i++) {
        sa_link__count_dropped(&conn->live[i]);
    }
    sa_os_mutex_unlock(conn->link->mutex);
    natsConnection_Close(conn->nc);
}

/* After their last callbacks: the last reference is then ours, and what nats.c
 * frees with it does not meet the library's end. */
static void destroy_subscriptions(sa_link__conn_t *conn)
{
    for (int i = 0; i < conn->live_count; i++) {
        natsSubscription_Destroy(conn->live[i].sub);
    }
    natsConnection_Destroy(conn->nc);
}

void sa_link__disconnect(sa_link__conn_t *conn)
{
    sa_link_t *link = conn->link;

    sa_os_mutex_lock(link->mutex);
    while (conn->users > 0) {       /* each is held by the write deadline at most */
        sa_os_cond_wait(link->cond, link->mutex, SA_OS_NEVER);
    }
    sa_os_mutex_unlock(link->mutex);
    if (conn->nc) {
        close_subscriptions(conn);
        if (!wait_last_callbacks(conn)) {
            return;     /* left to callbacks that may still come */
        }
        destroy_subscriptions(conn);
    }
    if (conn->relay) {
        sa_link__relay_stop(conn->relay);
    }
    apr_pool_destroy(conn->pool);
}
