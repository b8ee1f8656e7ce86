/* What goes out.  Any thread.
 *
 * Sizes are checked here first: an oversize publish is answered by the server
 * with a disconnect.  So are subjects and headers, because nats.c writes them
 * as they are, and a blank or a line end in one would become protocol. */
#include "sa_link_private.h"

#include <string.h>

#include <apr_strings.h>

#include "sa_stats.h"
#include "sa_time.h"

/* "NATS/1.0\r\n" and the empty line. */
#define HEADER_FRAME 12

bool sa_link_is_subject(const char *subject)
{
    size_t length = strlen(subject);
    char before = '.';

    if (length == 0 || length > SA_LINK_SUBJECT_LIMIT) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)subject[i];

        if (c <= ' ' || c == 0x7f || c == '*' || c == '>' || (c == '.' && before == '.')) {
            return false;
        }
        before = subject[i];
    }
    return before != '.';
}

static bool is_header_name(const char *name)
{
    if (!name[0]) {
        return false;
    }
    for (; *name; name++) {
        unsigned char c = (unsigned char)*name;

        if (c <= ' ' || c >= 0x7f || c == ':') {
            return false;
        }
    }
    return true;
}

static bool is_header_value(const char *value)
{
    for (; *value; value++) {
        unsigned char c = (unsigned char)*value;

        if ((c < ' ' && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

/* Add NAME: VALUE to MSG and its size on the wire to *SIZE. */
static sa_error_t *add_header(natsMsg *msg, size_t *size, const char *name, const char *value)
{
    if (!is_header_name(name) || !is_header_value(value)) {
        return sa_error(SA_ERR_PARSE, NULL, "a message header has a bad name or value");
    }
    *size += strlen(name) + 2 + strlen(value) + 2;
    if (*size > SA_LINK_HEADROOM) {
        return sa_error(SA_ERR_TOO_LARGE, NULL, "message headers of more than %d bytes",
                        SA_LINK_HEADROOM);
    }
    return sa_link__error(natsMsgHeader_Set(msg, name, value), "cannot set a message header");
}

/* HEADERS is "Name: value\n" lines. */
static sa_error_t *add_headers(natsMsg *msg, size_t *size, const char *headers)
{
    char copy[SA_LINK_HEADROOM + 1];    /* no pool: this is once a message */
    size_t length = strlen(headers);
    char *rest = copy;

    if (length > SA_LINK_HEADROOM) {
        return sa_error(SA_ERR_TOO_LARGE, NULL, "message headers of more than %d bytes",
                        SA_LINK_HEADROOM);
    }
    memcpy(copy, headers, length + 1);
    while (*rest) {
        char *line = rest;
        char *end = strchr(rest, '\n');
        char *colon;

        rest = end ? end + 1 : rest + strlen(rest);
        if (end) {
            *end = '\0';
        }
        colon = strstr(line, ": ");
        if (!colon) {
            return sa_error(SA_ERR_PARSE, NULL, "a message header without a colon and a blank");
        }
        *colon = '\0';
        SA_TRY(add_header(msg, size, line, colon + 2));
    }
    return SA_OK;
}

static sa_error_t *fill_headers(natsMsg *msg, size_t *size, const char *headers,
                                const char *msg_id)
{
    if (headers) {
        SA_TRY(add_headers(msg, size, headers));
    }
    if (msg_id) {
        SA_TRY(add_header(msg, size, "Nats-Msg-Id", msg_id));
    }
    if (*size > 0) {
        *size += HEADER_FRAME;
    }
    return SA_OK;
}

static apr_int64_t current_limit(sa_link_t *link)
{
    apr_int64_t limit;

    sa_os_mutex_lock(link->mutex);
    limit = link->max_payload;
    sa_os_mutex_unlock(link->mutex);
    return limit;
}

/* The server may lower its limit while we are connected; nats.c has noticed. */
static void learn_limit(sa_link__conn_t *conn)
{
    apr_int64_t limit = natsConnection_GetMaxPayload(conn->nc);

    if (limit >= 1 && limit < SA_LINK_PAYLOAD_CAP) {
        sa_os_mutex_lock(conn->link->mutex);
        conn->link->max_payload = limit;
        sa_os_mutex_unlock(conn->link->mutex);
    }
}

size_t sa_link_max_payload(sa_link_t *link)
{
    size_t limit = (size_t)current_limit(link);

    return limit >= 2 * (size_t)SA_LINK_HEADROOM ? limit - SA_LINK_HEADROOM : limit / 2;
}

static sa_error_t *too_large(size_t size, apr_int64_t limit)
{
    return sa_error(SA_ERR_TOO_LARGE, NULL,
                    "message of %" APR_SIZE_T_FMT " bytes; the bus takes %" APR_INT64_T_FMT,
                    size, limit);
}

/* What is to be sent, as the callers give it. */
typedef struct outgoing_t {
    const char *subject;
    const char *reply;
    const char *headers;
    const char *msg_id;
    const void *data;
    size_t length;
} outgoing_t;

/* What became of handing a message to nats.c. */
static sa_error_t *outcome(sa_link__conn_t *conn, natsStatus status, const char *subject)
{
    if (status == NATS_OK) {
        return SA_OK;
    }
    if (status == NATS_MAX_PAYLOAD) {
        learn_limit(conn);
    }
    if (status == NATS_TIMEOUT) {
        /* The write deadline: nats.c has given the connection up. */
        return sa_error(SA_ERR_LINK_DOWN, NULL, "cannot publish to %s: the server takes nothing",
                        subject);
    }
    SA_TRY_MSG(sa_link__error(status, "the library"), "cannot publish to %s", subject);
    return SA_OK;
}

/* MSG, or with NULL the same without headers: a natsMsg is freed in a thread of
 * nats.c's own, which each one wakes, and an answer can do without. */
static natsStatus hand_to_library(natsConnection *nc, natsMsg *msg, const outgoing_t *out)
{
    if (msg) {
        return natsConnection_PublishMsg(nc, msg);
    }
    if (out->reply) {
        return natsConnection_PublishRequest(nc, out->subject, out->reply, out->data,
                                             (int)out->length);
    }
    return natsConnection_Publish(nc, out->subject, out->data, (int)out->length);
}

/* MSG is sent and stays the caller's; NULL: OUT has no headers. */
static sa_error_t *send_checked(sa_link_t *link, natsMsg *msg, const outgoing_t *out)
{
    apr_int64_t limit = current_limit(link);
    sa_link__conn_t *conn;
    sa_error_t *err;
    size_t size = 0;

    if (msg) {
        SA_TRY(fill_headers(msg, &size, out->headers, out->msg_id));
    }
    if ((apr_uint64_t)size + out->length > (apr_uint64_t)limit) {
        return too_large(size + out->length, limit);
    }
    conn = sa_link__acquire(link);
    if (!conn) {
        return sa_error(SA_ERR_LINK_DOWN, NULL, NULL);
    }
    err = outcome(conn, hand_to_library(conn->nc, msg, out), out->subject);
    sa_link__release(conn);
    if (!err) {
        sa_stats_add(SA_STAT_link_out_msgs, 1);
        sa_stats_add(SA_STAT_link_out_bytes, out->length);
    }
    return err;
}

static bool has_headers(const outgoing_t *out)
{
    return out->msg_id || (out->headers && out->headers[0]);
}

static sa_error_t *publish(sa_link_t *link, const outgoing_t *out)
{
    apr_int64_t limit = current_limit(link);
    natsMsg *msg = NULL;
    sa_error_t *err;

    if (!sa_link_is_subject(out->subject)) {
        return sa_error(SA_ERR_PARSE, NULL, "not a subject that can be published to");
    }
    if (out->length > (apr_uint64_t)limit) {
        return too_large(out->length, limit);
    }
    if (!sa_link_is_up(link)) {
        return sa_error(SA_ERR_LINK_DOWN, NULL, NULL);
    }
    if (has_headers(out)) {
        SA_TRY(sa_link__error(natsMsg_Create(&msg, out->subject, out->reply,
                                             out->length > 0 ? out->data : NULL,
                                             (int)out->length),
                              "cannot make a message"));
    }
    err = send_checked(link, msg, out);
    natsMsg_Destroy(msg);
    if (!err && link->published) {
        link->published(link->published_baton, out->subject, out->headers, out->data,
                        out->length);
    }
    return err;
}

sa_error_t *sa_link_publish(sa_link_t *link, const char *subject, const char *headers,
                            const void *data, size_t length)
{
    const outgoing_t out = {
        .subject = subject, .headers = headers, .data = data, .length = length
    };

    return publish(link, &out);
}

sa_error_t *sa_link_publish_acked(sa_link_t *link, const char *subject, const char *headers,
                                  const char *msg_id, const void *data, size_t length,
                                  apr_uint64_t token)
{
    char reply[sizeof(link->inbox) + 18];
    const outgoing_t out = {
        .subject = subject, .reply = reply, .headers = headers, .msg_id = msg_id, .data = data,
        .length = length
    };

    SA_ASSERT(link->ack || link->second_ack);
    apr_snprintf(reply, sizeof(reply), "%s.%" APR_UINT64_T_HEX_FMT, link->inbox, token);
    return publish(link, &out);
}

sa_error_t *sa_link_probe(sa_link_t *link, apr_interval_time_t timeout)
{
    sa_link__conn_t *conn = sa_link__acquire(link);
    natsStatus status;

    if (!conn) {
        return sa_error(SA_ERR_LINK_DOWN, NULL, NULL);
    }
    /* When the ping cannot be written nats.c returns OK at once, and only the
     * thread's last error tells. */
    nats_ReleaseThreadMemory();
    status = natsConnection_FlushTimeout(conn->nc, timeout > 0 ? apr_time_as_msec(timeout) + 1
                                                               : 1);
    if (status == NATS_OK) {
        nats_GetLastError(&status);
    }
    sa_link__release(conn);
    return sa_link__error(status, "no answer from the server");
}
