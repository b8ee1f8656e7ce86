/* What comes in: messages to their owners, denials and drops to the log.
 *
 * Callbacks of nats.c copy, give and return; what is to be logged is noted and
 * said by the link's thread, so that a slow disk never holds nats.c up. */
#include "sa_link_private.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "sa_pool.h"
#include "sa_stats.h"
#include "sa_time.h"

/* Messages of one subscription waiting inside nats.c. */
#define PENDING_MESSAGES 8192
#define PENDING_BYTES (4 * 1024 * 1024)

static natsMsg *msg_of(const sa_link_message_t *message)
{
    return (natsMsg *)message;
}

const char *sa_link_message_subject(const sa_link_message_t *message)
{
    return natsMsg_GetSubject(msg_of(message));
}

const char *sa_link_message_reply(const sa_link_message_t *message)
{
    const char *reply = natsMsg_GetReply(msg_of(message));

    return reply ? reply : "";
}

const char *sa_link_message_data(const sa_link_message_t *message, size_t *length)
{
    const char *data = natsMsg_GetData(msg_of(message));
    int size = natsMsg_GetDataLength(msg_of(message));

    *length = size > 0 ? (size_t)size : 0;
    return data ? data : "";
}

const char *sa_link_message_header(const sa_link_message_t *message, const char *name)
{
    const char *value;

    return natsMsgHeader_Get(msg_of(message), name, &value) == NATS_OK ? value : NULL;
}

size_t sa_link_message_header_size(const sa_link_message_t *message)
{
    int size = natsMsgHeader_EncodedLength(msg_of(message));

    return size > 0 ? (size_t)size : 0;
}

void sa_link_message_destroy(sa_link_message_t *message)
{
    natsMsg_Destroy(msg_of(message));
}

void sa_link_subscribe(sa_link_t *link, const char *subject, bool optional,
                       sa_link_message_fn_t fn, void *baton)
{
    sa_link__subscription_t *sub = &link->subs[link->sub_count];

    SA_ASSERT(!link->thread);
    SA_ASSERT(link->sub_count < SA_LINK_SUBSCRIPTIONS);
    sub->subject = apr_pstrdup(link->pool, subject);
    sub->optional = optional;
    sub->fn = fn;
    sub->baton = baton;
    link->sub_count++;
}

bool sa_link_is_own_inbox(const sa_link_t *link, const char *subject)
{
    size_t length = strlen(link->inbox);

    return strncmp(subject, link->inbox, length) == 0
           && (subject[length] == '.' || !subject[length]);
}

/* The token at the end of an acknowledgement's subject. */
static bool read_token(apr_uint64_t *token, const sa_link_t *link, const char *subject)
{
    const char *text = subject + strlen(link->inbox);
    size_t length;

    if (!sa_link_is_own_inbox(link, subject) || *text++ != '.') {
        return false;
    }
    length = strlen(text);
    if (length == 0 || length > 16 || strspn(text, "0123456789abcdef") != length) {
        return false;
    }
    *token = strtoull(text, NULL, 16);
    return true;
}

static void give_ack(sa_link_t *link, sa_link_message_t **message)
{
    apr_uint64_t token;

    if (!read_token(&token, link, sa_link_message_subject(*message))) {
        return;
    }
    if ((token & SA_LINK_TOKEN_SECOND) && link->second_ack) {
        link->second_ack(link->second_ack_baton, token, message);
    } else if (link->ack) {
        link->ack(link->ack_baton, token, message);
    }
}

static void on_message(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *baton)
{
    sa_link__live_t *live = baton;
    sa_link_message_t *message = (sa_link_message_t *)msg;

    (void)nc;
    (void)sub;
    if (!message) {
        return;
    }
    sa_stats_add(SA_STAT_link_in_msgs, 1);
    sa_stats_add(SA_STAT_link_in_bytes, (apr_uint64_t)natsMsg_GetDataLength(msg));
    if (live->what) {
        live->what->fn(live->what->baton, &message);
    } else {
        give_ack(live->conn->link, &message);
    }
    if (message) {
        sa_link_message_destroy(message);
    }
}

static void on_complete(void *baton)
{
    sa_link__live_t *live = baton;
    sa_link_t *link = live->conn->link;

    sa_os_mutex_lock(link->mutex);
    live->conn->open_subs--;
    sa_os_cond_broadcast(link->cond);
    sa_os_mutex_unlock(link->mutex);
}

static natsStatus subscribe_one(sa_link__conn_t *conn, const char *subject,
                                const sa_link__subscription_t *what)
{
    sa_link__live_t *live = &conn->live[conn->live_count];
    natsStatus status;

    live->conn = conn;
    live->what = what;
    status = natsConnection_Subscribe(&live->sub, conn->nc, subject, on_message, live);
    if (status != NATS_OK) {
        return status;
    }
    conn->live_count++;
    sa_os_mutex_lock(conn->link->mutex);
    conn->open_subs++;
    sa_os_mutex_unlock(conn->link->mutex);
    status = natsSubscription_SetOnCompleteCB(live->sub, on_complete, live);
    if (status != NATS_OK) {
        on_complete(live);      /* closed meanwhile: it will not be called */
        return status;
    }
    return natsSubscription_SetPendingLimits(live->sub, PENDING_MESSAGES, PENDING_BYTES);
}

natsStatus sa_link__subscribe_all(sa_link__conn_t *conn)
{
    sa_link_t *link = conn->link;
    natsStatus status = NATS_OK;

    if (link->ack || link->second_ack) {
        status = subscribe_one(conn, apr_pstrcat(conn->pool, link->inbox, ".*", NULL), NULL);
    }
    for (int i = 0; status == NATS_OK && i < link->sub_count; i++) {
        status = subscribe_one(conn, link->subs[i].subject, &link->subs[i]);
    }
    return status;
}

void sa_link__count_dropped(sa_link__live_t *live)
{
    int64_t dropped;

    if (natsSubscription_GetDropped(live->sub, &dropped) == NATS_OK && dropped > live->dropped) {
        sa_stats_add(SA_STAT_link_inbox_full, (apr_uint64_t)(dropped - live->dropped));
        live->dropped = dropped;
    }
}

/* The subject between the first pair of quotes, in POOL; NULL: none. */
static const char *quoted(const char *text, apr_pool_t *pool)
{
    const char *start = strchr(text, '"');
    const char *end = start ? strchr(start + 1, '"') : NULL;

    if (!start || start[1] == '\0' || start[1] == '"') {
        return NULL;
    }
    /* nats.c cuts long messages: take what is there. */
    return end ? apr_pstrmemdup(pool, start + 1, (apr_size_t)(end - start - 1))
               : apr_pstrdup(pool, start + 1);
}

static bool is_optional(const sa_link_t *link, const char *subject)
{
    for (int i = 0; i < link->sub_count; i++) {
        if (strcmp(link->subs[i].subject, subject) == 0) {
            return link->subs[i].optional;
        }
    }
    return false;
}

/* An inbox has random parts; what can be granted is all of them. */
static const char *grantable(const char *subject)
{
    return strncmp(subject, "_INBOX.", 7) == 0 ? "_INBOX.>" : subject;
}

static bool is_publish(const char *text)
{
    return strstr(text, "Publish") || strstr(text, "publish");
}

static const char *denied_subject(const char *text, apr_pool_t *pool)
{
    const char *subject = quoted(text, pool);

    return grantable(subject ? subject : apr_pstrdup(pool, text));
}

/* With the mutex. */
static bool is_noted(const sa_link_t *link, const char *subject, bool publish)
{
    for (const sa_link__denial_t *denial = link->denials; denial; denial = denial->next) {
        if (denial->publish == publish && strcmp(denial->subject, subject) == 0) {
            return true;
        }
    }
    return false;
}

bool sa_link__note_denial(sa_link_t *link, const char *text)
{
    bool publish = is_publish(text);
    sa_link__denial_t *denial;
    const char *subject;
    apr_pool_t *pool;

    if (link->denial_count >= SA_LINK_DENIALS) {
        return false;
    }
    pool = sa_pool_create(link->denial_pool);
    subject = denied_subject(text, pool);
    if (is_noted(link, subject, publish)) {
        apr_pool_destroy(pool);
        return false;
    }
    denial = apr_pcalloc(pool, sizeof(*denial));
    denial->publish = publish;
    denial->optional = !publish && is_optional(link, subject);
    denial->subject = subject;
    denial->next = link->denials;
    link->denials = denial;
    link->denial_count++;
    link->news = true;
    return true;
}

static bool is_denied(sa_link_t *link, const char *subject, bool publish)
{
    bool denied;

    sa_os_mutex_lock(link->mutex);
    denied = is_noted(link, subject, publish);
    sa_os_mutex_unlock(link->mutex);
    return denied;
}

bool sa_link_is_denied(sa_link_t *link, const char *subject)
{
    return is_denied(link, subject, true);
}

bool sa_link_is_subscribe_denied(sa_link_t *link, const char *subject)
{
    return is_denied(link, subject, false);
}

/* nats.c keeps the last error of a connection as it reads it, and tells us of each in the same
 * order, from a thread of its own: when the last one has come, all have. */
sa_error_t *sa_link_settle(sa_link_t *link, apr_interval_time_t timeout)
{
    apr_interval_time_t deadline = sa_time_mono() + timeout;
    apr_pool_t *pool;
    sa_link__conn_t *conn;
    const char *text = "";
    const char *subject;
    bool noted;

    SA_TRY(sa_link_probe(link, timeout));
    conn = sa_link__acquire(link);
    if (!conn) {
        return sa_error(SA_ERR_LINK_DOWN, NULL, NULL);
    }
    pool = sa_pool_create_root();
    noted = natsConnection_GetLastError(conn->nc, &text) != NATS_NOT_PERMITTED;
    subject = denied_subject(text, pool);
    sa_link__release(conn);
    sa_os_mutex_lock(link->mutex);
    while (!noted && !is_noted(link, subject, is_publish(text))
           && link->denial_count < SA_LINK_DENIALS && sa_time_mono() < deadline) {
        sa_os_cond_wait(link->cond, link->mutex, deadline);
    }
    sa_os_mutex_unlock(link->mutex);
    apr_pool_destroy(pool);
    return sa_time_mono() < deadline ? SA_OK : sa_error(SA_ERR_TIMEOUT, NULL, NULL);
}

void sa_link__forget_denials(sa_link_t *link)
{
    apr_pool_clear(link->denial_pool);
    link->denials = NULL;
    link->denial_count = 0;
}

void sa_link__on_error(natsConnection *nc, natsSubscription *sub, natsStatus status, void *baton)
{
    sa_link__conn_t *conn = baton;
    sa_link_t *link = conn->link;
    const char *text = sa_link__last_words();

    (void)nc;
    sa_os_mutex_lock(link->mutex);
    if (status == NATS_NOT_PERMITTED) {
        sa_stats_add(SA_STAT_link_permission_denials, 1);
        sa_link__note_denial(link, text);
    } else if (status == NATS_SLOW_CONSUMER) {
        for (int i = 0; i < conn->live_count; i++) {
            if (conn->live[i].sub == sub) {
                sa_link__count_dropped(&conn->live[i]);
            }
        }
        link->slow = true;
        link->news = true;
    } else if (conn->status == NATS_OK) {   /* of the end that follows */
        conn->status = status;
        apr_cpystrn(conn->reason, text, sizeof(conn->reason));
    }
    sa_os_cond_broadcast(link->cond);
    sa_os_mutex_unlock(link->mutex);
}

static void say_denial(const sa_link__denial_t *denial)
{
    char grant[SA_LINK_SUBJECT_LIMIT];

    apr_snprintf(grant, sizeof(grant), "allow %s: %s", denial->publish ? "publish" : "subscribe",
                 denial->subject);
    if (denial->publish) {
        SA_LOG(link_denied_publish, SA_S("subject", denial->subject), SA_S("grant", grant));
    } else if (denial->optional) {
        SA_LOG(link_denied_optional, SA_S("subject", denial->subject), SA_S("grant", grant));
    } else {
        SA_LOG(link_denied_subscribe, SA_S("subject", denial->subject), SA_S("grant", grant));
    }
}

/* The first denial that was not said yet; denials live until a reload, which
 * the calling thread makes. */
static sa_link__denial_t *next_denial(sa_link_t *link)
{
    sa_link__denial_t *denial;

    sa_os_mutex_lock(link->mutex);
    for (denial = link->denials; denial && denial->said; denial = denial->next) {
    }
    if (denial) {
        denial->said = true;
    }
    sa_os_mutex_unlock(link->mutex);
    return denial;
}

bool sa_link__say_news(sa_link_t *link)
{
    sa_link__denial_t *denial;
    bool slow;
    bool lame_duck;

    sa_os_mutex_lock(link->mutex);
    slow = link->slow;
    lame_duck = link->lame_duck;
    link->slow = false;
    link->lame_duck = false;
    link->news = false;
    sa_os_mutex_unlock(link->mutex);
    for (denial = next_denial(link); denial; denial = next_denial(link)) {
        say_denial(denial);
    }
    if (slow) {
        SA_LOG(link_slow, SA_I("limit", PENDING_MESSAGES));
    }
    if (lame_duck) {
        SA_LOG(link_lame_duck, SA_S("reason", "the server is about to stop"));
    }
    return lame_duck;
}
