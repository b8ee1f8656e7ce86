/* link: the relay between nats.c and a connection that it cannot use by itself.
 *
 * One thread a connection, and all is its own but what is marked (m).  It waits for both sockets
 * in one apr_poll() and has no third one to be woken by: nats.c's closing of its end is what ends
 * it.  It holds at most one frame for the server and reads the next only when that is gone; for
 * nats.c it holds what fits the buffer.  So whoever is slow is waited for, as without a relay.
 *
 *     down:  0 <= out <= ready <= raw <= end <= DOWN_BYTES
 *            [out, ready) is for nats.c, [raw, end) came and is not decoded yet
 *
 * Two things about poll(2).  It tells of a hang-up whether asked or not, so a socket that cannot
 * be served now must be left out, or the thread spins.  And it cannot see what libcurl's TLS
 * holds already, so that is received until there is no more, or looked for again without
 * waiting. */
#include "sa_link_relay.h"

#include <string.h>

#include <apr_strings.h>

#include "sa_pool.h"
#include "sa_random.h"
#include "sa_time.h"

#define DOWN_BYTES (128 * 1024)
/* Below this nothing is received: the next look finds more. */
#define LEAST_ROOM (16 * 1024)
/* Our own control frames that wait for a data frame to be gone. */
#define CONTROL_BYTES 1024
#define CONTROL_FRAME (SA_LINK_FRAME_HEAD + SA_LINK_FRAME_CONTROL)
/* Of mask keys, that many at a time are asked of the system. */
#define KEYS 256
/* From the first word of the end to the last. */
#define CLOSE_WAIT apr_time_from_sec(1)
/* For nats.c to see that it is over. */
#define DRAIN_WAIT apr_time_from_msec(500)
/* For the thread, before it is pushed. */
#define STOP_WAIT apr_time_from_sec(1)
/* Where sending wants to read first (TLS), POLLOUT is no help. */
#define VAIN_WAIT apr_time_from_msec(10)

#define CODE_NORMAL 1000
#define CODE_PROTOCOL 1002
#define CODE_NONE 1005

struct sa_link__relay_t {
    apr_pool_t *pool;
    sa_http_conn_t *conn;
    bool websocket;
    bool bare;
    apr_pollfd_t watch;         /* the server's */
    apr_socket_t *here;         /* our end of the pair */
    sa_os_thread_t *thread;
    sa_os_mutex_t *mutex;
    sa_os_cond_t *cond;
    bool done;                  /* (m) */
    bool has_reason;            /* (m) */
    sa_link__failure_t reason;  /* (m) */

    char *up;                   /* for the server: [up_at, up_end), a frame with its header */
    size_t up_at;
    size_t up_end;
    char control[CONTROL_BYTES];    /* what follows it */
    size_t control_at;
    size_t control_end;
    char *down;
    size_t out;
    size_t ready;
    size_t raw;
    size_t end;
    sa_link__frames_t frames;
    uint32_t keys[KEYS];
    int keys_left;

    bool here_in;               /* worth a try */
    bool here_hung;             /* up, and left out of poll() */
    bool here_deaf;             /* takes nothing any more */
    bool here_over;             /* gives nothing any more */
    bool server_in;
    bool server_more;           /* TLS may hold something */
    bool server_out;            /* said to be writable */
    bool server_deaf;
    bool server_over;
    bool vain;                  /* it was said to be writable, and was not */
    bool bye;                   /* our Close is on its way: no data after it */
    apr_interval_time_t now;
    apr_interval_time_t stuck_since;    /* the server takes nothing; 0: it does */
    apr_interval_time_t close_by;       /* the end of all patience; 0: not yet */
    apr_interval_time_t pass_by;        /* that of patience with nats.c, once the server is gone */
};

typedef sa_link__relay_t relay_t;

/* ---- reasons ------------------------------------------------------------- */

/* The first one counts: what follows is mostly its consequence. */
static void note_failure(relay_t *relay, const sa_link__failure_t *failure)
{
    sa_os_mutex_lock(relay->mutex);
    if (!relay->has_reason) {
        relay->has_reason = true;
        relay->reason = *failure;
    }
    sa_os_mutex_unlock(relay->mutex);
}

static void note_reason(relay_t *relay, sa_event_t event, const char *what, const char *words)
{
    sa_link__failure_t failure;

    sa_link__fail(&failure, event, "%s%s", what, words);
    note_failure(relay, &failure);
}

static void note_broken(relay_t *relay, apr_status_t status)
{
    sa_link__failure_t failure;

    sa_link__fail_broken(&failure, relay->conn, status, "the connection to the server broke");
    note_failure(relay, &failure);
}

bool sa_link__relay_reason(sa_link__relay_t *relay, sa_link__failure_t *failure)
{
    bool has_reason;

    sa_os_mutex_lock(relay->mutex);
    has_reason = relay->has_reason;
    if (has_reason) {
        *failure = relay->reason;
    }
    sa_os_mutex_unlock(relay->mutex);
    return has_reason;
}

static const struct {
    unsigned int code;
    const char *words;          /* for a Close without a reason */
} close_codes[] = {
    { 1000, "normal" }, { 1001, "going away" }, { 1002, "protocol error" },
    { 1003, "kind of data not accepted" }, { 1007, "invalid data" }, { 1008, "policy violation" },
    { 1009, "message too big" }, { 1010, "extension missing" }, { 1011, "internal error" },
    { 1012, "service restart" }, { 1013, "try again later" }, { 1014, "bad gateway" },
};

static void note_close(relay_t *relay)
{
    const char *words = relay->frames.close_reason;
    unsigned int code = relay->frames.close_code;
    char text[SA_LINK_FRAME_CONTROL + 16];

    for (size_t i = 0; !words[0] && i < sizeof(close_codes) / sizeof(close_codes[0]); i++) {
        if (close_codes[i].code == code) {
            words = close_codes[i].words;
        }
    }
    apr_snprintf(text, sizeof(text), "%u%s%s", code, words[0] ? " " : "", words);
    if (code == CODE_NONE) {
        note_reason(relay, SA_EVENT_link_lost, "the server closed the WebSocket",
                    " without a reason");
    } else {
        note_reason(relay, SA_EVENT_link_lost, "the server closed the WebSocket: ", text);
    }
}

/* ---- the end's beginnings ------------------------------------------------ */

static void begin_closing(relay_t *relay)
{
    if (relay->close_by == 0) {
        relay->close_by = relay->now + CLOSE_WAIT;
    }
}

static uint32_t next_key(relay_t *relay)
{
    if (relay->keys_left == 0) {
        sa_random_bytes(relay->keys, sizeof(relay->keys));
        relay->keys_left = KEYS;
    }
    return relay->keys[--relay->keys_left];
}

/* Put a control frame behind what is to be sent; there is room. */
static void add_control(relay_t *relay, sa_link__opcode_t opcode, const char *data, size_t length)
{
    char payload[SA_LINK_FRAME_CONTROL];
    char head[SA_LINK_FRAME_HEAD];
    size_t size;

    memcpy(payload, data, length);
    size = sa_link__frame_seal(head + sizeof(head), opcode, payload, length, next_key(relay));
    SA_ASSERT(relay->control_end + size + length <= sizeof(relay->control));
    memcpy(relay->control + relay->control_end, head + sizeof(head) - size, size);
    memcpy(relay->control + relay->control_end + size, payload, length);
    relay->control_end += size + length;
}

/* Room for a pong, and for the one Close behind it. */
static bool has_control_room(const relay_t *relay)
{
    return relay->control_end + 2 * (size_t)CONTROL_FRAME <= sizeof(relay->control);
}

static void say_bye(relay_t *relay, unsigned int code)
{
    char data[2] = {(char)(code >> 8), (char)(code & 0xff)};

    if (relay->websocket && !relay->bye) {
        add_control(relay, SA_LINK_FRAME_CLOSE, data, code == CODE_NONE ? 0 : sizeof(data));
        relay->bye = true;
    }
    begin_closing(relay);
}

/* Nothing more comes from the server. */
static void end_server(relay_t *relay)
{
    relay->server_over = true;
    relay->pass_by = relay->now + SA_LINK_RELAY_STALL;
    begin_closing(relay);
}

/* Nothing more goes to it either. */
static void break_server(relay_t *relay)
{
    end_server(relay);
    relay->server_deaf = true;
}

static void end_here(relay_t *relay)
{
    relay->here_over = true;
    relay->here_deaf = true;
    say_bye(relay, CODE_NORMAL);
}

/* ---- from the server to nats.c ------------------------------------------- */

static void heed(relay_t *relay)
{
    sa_link__frames_t *frames = &relay->frames;

    if (frames->ping && !relay->bye) {
        add_control(relay, SA_LINK_FRAME_PONG, frames->control, frames->control_length);
    }
    if (frames->close) {
        if (!relay->bye) {
            note_close(relay);
        }
        say_bye(relay, frames->close_code);
        end_server(relay);
    }
    if (frames->error) {
        note_reason(relay, SA_EVENT_link_protocol, "the server breaks WebSocket's rules: ",
                    frames->error);
        say_bye(relay, CODE_PROTOCOL);
        end_server(relay);
    }
}

/* Make [raw, end) ready, as far as our answers have room. */
static void decode(relay_t *relay)
{
    if (!relay->websocket) {
        relay->raw = relay->end;
        relay->ready = relay->end;
    }
    while (relay->raw < relay->end && !relay->server_over && has_control_room(relay)) {
        size_t length = relay->end - relay->raw;
        size_t used;

        sa_link__frames_take(&relay->frames, relay->down + relay->raw, &length, &used);
        if (relay->raw != relay->ready) {
            memmove(relay->down + relay->ready, relay->down + relay->raw, length);
        }
        relay->ready += length;
        relay->raw += used;
        heed(relay);
    }
    if (relay->raw == relay->end || relay->server_over) {
        relay->raw = relay->ready;
        relay->end = relay->ready;
    }
}

/* How much may be received now. */
static size_t down_room(relay_t *relay)
{
    size_t room = DOWN_BYTES - relay->end;

    return relay->server_over || relay->raw < relay->end || room < LEAST_ROOM ? 0 : room;
}

/* Receive once.  false: there was nothing.  libcurl takes 16 KiB at a time, which is a record of
 * TLS; a bare socket has more. */
static bool receive(relay_t *relay, size_t room)
{
    char *place = relay->down + relay->end;
    size_t length = room;
    apr_status_t status = relay->bare ? apr_socket_recv(relay->watch.desc.s, place, &length)
                                      : sa_http_conn_receive(relay->conn, place, &length);

    if (status == APR_SUCCESS && length > 0) {
        relay->end += length;
        decode(relay);
        return true;
    }
    relay->server_more = false;
    if (status == APR_SUCCESS || APR_STATUS_IS_EAGAIN(status)) {
        return false;
    }
    if (!APR_STATUS_IS_EOF(status) && !relay->bye && !relay->here_over) {
        note_broken(relay, status);
    }
    break_server(relay);
    return false;
}

/* A bare socket tells when there is more; TLS does not, and gives a record at a time. */
static bool take_server(relay_t *relay)
{
    bool came = false;
    size_t room;

    if (relay->raw < relay->end) {
        decode(relay);
    }
    room = relay->server_in || relay->server_more ? down_room(relay) : 0;
    while (room > 0) {
        relay->server_more = !relay->bare;
        if (!receive(relay, room)) {
            break;
        }
        came = true;
        room = relay->bare ? 0 : down_room(relay);
    }
    return came;
}

static void push_here(relay_t *relay)
{
    size_t length = relay->ready - relay->out;
    apr_status_t status;

    if (length > 0 && !relay->here_deaf) {
        status = apr_socket_send(relay->here, relay->down + relay->out, &length);
        if (status == APR_SUCCESS) {
            relay->out += length;
        } else if (!APR_STATUS_IS_EAGAIN(status)) {
            relay->here_deaf = true;
            begin_closing(relay);
        }
    }
    if (relay->here_deaf) {
        relay->out = relay->ready;
    }
    if (relay->out == relay->end) {
        relay->out = 0;
        relay->ready = 0;
        relay->raw = 0;
        relay->end = 0;
    }
}

/* ---- from nats.c to the server ------------------------------------------- */

/* Is there something that the server has not taken? */
static bool is_pending(const relay_t *relay)
{
    return !relay->server_deaf
        && (relay->up_at < relay->up_end || relay->control_at < relay->control_end);
}

/* May nats.c's end be read?  Not before our control frames are gone: one of them may be half sent,
 * and TLS wants the same bytes again that it did not take. */
static bool wants_here(const relay_t *relay)
{
    return relay->up_at == relay->up_end && relay->control_at == relay->control_end
        && !relay->here_over && !relay->bye && !relay->server_over && !relay->server_deaf;
}

static void take_here(relay_t *relay)
{
    size_t length = SA_LINK_FRAME_DATA;
    char *data = relay->up + SA_LINK_FRAME_HEAD;
    apr_status_t status;

    if (!wants_here(relay) || !(relay->here_in || relay->here_hung)) {
        return;
    }
    status = apr_socket_recv(relay->here, data, &length);
    if (status == APR_SUCCESS && length > 0) {
        relay->up_at = SA_LINK_FRAME_HEAD;
        relay->up_end = SA_LINK_FRAME_HEAD + length;
        if (relay->websocket) {
            relay->up_at -= sa_link__frame_seal(data, SA_LINK_FRAME_BINARY, data, length,
                                                next_key(relay));
        }
    } else if (!APR_STATUS_IS_EAGAIN(status)) {
        end_here(relay);        /* a reset too: nats.c closes without lingering */
    }
}

/* Give the server the next of what it has not taken. */
static apr_status_t push_once(relay_t *relay)
{
    bool is_data = relay->up_at < relay->up_end;
    const char *data = is_data ? relay->up + relay->up_at : relay->control + relay->control_at;
    size_t length = is_data ? relay->up_end - relay->up_at
                            : relay->control_end - relay->control_at;
    apr_status_t status = sa_http_conn_send(relay->conn, data, &length);

    if (status != APR_SUCCESS || length == 0) {
        return status != APR_SUCCESS ? status : APR_EAGAIN;
    }
    if (is_data) {
        relay->up_at += length;
    } else {
        relay->control_at += length;
    }
    return APR_SUCCESS;
}

static void push_server(relay_t *relay)
{
    apr_status_t status = APR_SUCCESS;

    relay->vain = false;
    while (status == APR_SUCCESS && is_pending(relay)) {
        status = push_once(relay);
        if (status == APR_SUCCESS) {
            relay->stuck_since = 0;
            relay->server_out = false;
        } else if (!APR_STATUS_IS_EAGAIN(status)) {
            relay->server_deaf = true;      /* what it said before may still come */
            begin_closing(relay);
        } else {
            relay->vain = relay->server_out;
            if (relay->stuck_since == 0) {
                relay->stuck_since = relay->now;
            }
        }
    }
    if (!is_pending(relay)) {
        relay->stuck_since = 0;
        relay->up_at = 0;
        relay->up_end = 0;
        relay->control_at = 0;
        relay->control_end = 0;
    }
}

/* ---- waiting ------------------------------------------------------------- */

static void sooner(apr_interval_time_t *until, apr_interval_time_t time, apr_interval_time_t now)
{
    if (time > now && (*until == 0 || time < *until)) {
        *until = time;
    }
}

/* How long to wait; negative: until something comes.  What has passed was acted on already. */
static apr_interval_time_t time_left(relay_t *relay)
{
    apr_interval_time_t until = 0;

    if (relay->server_more && down_room(relay) > 0) {
        return 0;
    }
    if (relay->raw < relay->end && !relay->server_over && has_control_room(relay)) {
        return 0;       /* pings whose answers had no room before */
    }
    if (relay->here_hung && wants_here(relay)) {
        return 0;
    }
    if (relay->server_deaf && !relay->server_over && relay->now >= relay->close_by) {
        return 0;               /* look_at_clock() ends that */
    }
    sooner(&until, relay->close_by, relay->now);
    sooner(&until, relay->pass_by, relay->now);
    if (relay->stuck_since != 0) {
        sooner(&until, relay->stuck_since + SA_LINK_RELAY_STALL, relay->now);
    }
    if (relay->vain) {
        sooner(&until, relay->now + VAIN_WAIT, relay->now);
    }
    return until == 0 ? -1 : until - relay->now + 999;     /* poll(2) knows milliseconds */
}

/* The socket of nats.c's side, into WATCH, if it is to be looked at. */
static int watch_here(relay_t *relay, apr_pollfd_t *watch)
{
    memset(watch, 0, sizeof(*watch));
    if (relay->here_over || relay->here_hung) {
        return 0;
    }
    watch->desc_type = APR_POLL_SOCKET;
    watch->desc.s = relay->here;
    if (wants_here(relay)) {
        watch->reqevents |= APR_POLLIN;
    }
    if (relay->out < relay->ready && !relay->here_deaf) {
        watch->reqevents |= APR_POLLOUT;
    }
    return 1;       /* without either: for the hang-up */
}

static int watch_server(relay_t *relay, apr_pollfd_t *watch)
{
    *watch = relay->watch;
    watch->reqevents = 0;
    watch->rtnevents = 0;
    if (down_room(relay) > 0) {
        watch->reqevents |= APR_POLLIN;
    }
    if (is_pending(relay) && !relay->vain) {
        watch->reqevents |= APR_POLLOUT;
    }
    return watch->reqevents != 0 ? 1 : 0;
}

static void look(relay_t *relay, const apr_pollfd_t *here, const apr_pollfd_t *server)
{
    const apr_int16_t hung = APR_POLLHUP | APR_POLLERR | APR_POLLNVAL;

    relay->here_in = (here->rtnevents & (APR_POLLIN | hung)) != 0;
    if ((here->rtnevents & hung) && !(here->reqevents & APR_POLLIN)) {
        relay->here_hung = true;
        relay->here_deaf = true;
        begin_closing(relay);
    }
    relay->server_in = (server->rtnevents & (APR_POLLIN | hung)) != 0;
    relay->server_out = (server->rtnevents & (APR_POLLOUT | hung)) != 0;
}

static void await_either(relay_t *relay)
{
    apr_pollfd_t watches[2];
    apr_pollfd_t here;
    apr_pollfd_t server;
    int count = watch_here(relay, &here);
    int both = count + watch_server(relay, &server);
    apr_interval_time_t left = time_left(relay);
    apr_int32_t ready;
    apr_status_t status;

    watches[0] = count > 0 ? here : server;
    watches[1] = server;
    status = apr_poll(watches, both, &ready, left);
    if (status == APR_SUCCESS) {
        here.rtnevents = count > 0 ? watches[0].rtnevents : 0;
        server.rtnevents = both > count ? watches[count].rtnevents : 0;
    } else if (!APR_STATUS_IS_TIMEUP(status) && !APR_STATUS_IS_EINTR(status)) {
        break_server(relay);    /* rather than ask again and again */
    }
    look(relay, &here, &server);
}

/* ---- the thread ---------------------------------------------------------- */

static void look_at_clock(relay_t *relay)
{
    relay->now = sa_time_mono();
    if (relay->server_deaf && !relay->server_over && relay->now >= relay->close_by) {
        end_server(relay);      /* its last words would be here by now */
    }
    if (relay->stuck_since != 0 && relay->now - relay->stuck_since >= SA_LINK_RELAY_STALL) {
        note_reason(relay, SA_EVENT_link_stale, "the server took nothing for ten seconds", "");
        break_server(relay);
    }
}

static bool is_over(const relay_t *relay)
{
    bool late = relay->close_by != 0 && relay->now >= relay->close_by;
    bool sent = late || !is_pending(relay);
    bool passed = relay->out == relay->ready || relay->now >= relay->pass_by;

    if (relay->server_over) {
        return sent && passed;
    }
    return (late && !relay->server_deaf) || (relay->here_over && sent && !relay->websocket);
}

/* Let nats.c have what is under way: closing with something unread would make the system throw it
 * away. */
static void drain_here(relay_t *relay)
{
    apr_interval_time_t until = sa_time_mono() + DRAIN_WAIT;
    apr_pollfd_t watch = {.desc_type = APR_POLL_SOCKET, .reqevents = APR_POLLIN,
                          .desc.s = relay->here};
    apr_interval_time_t left = DRAIN_WAIT;
    apr_status_t status = APR_SUCCESS;
    apr_int32_t ready;
    size_t length;

    apr_socket_shutdown(relay->here, APR_SHUTDOWN_WRITE);
    while (left > 0 && (status == APR_SUCCESS || APR_STATUS_IS_EAGAIN(status))) {
        apr_poll(&watch, 1, &ready, left + 999);
        length = SA_LINK_FRAME_DATA;
        status = apr_socket_recv(relay->here, relay->up, &length);
        left = until - sa_time_mono();
    }
    apr_socket_shutdown(relay->here, APR_SHUTDOWN_READWRITE);
}

static void run(void *baton)
{
    relay_t *relay = baton;
    bool over = false;

    relay->server_in = true;
    relay->server_more = true;
    while (!over) {
        look_at_clock(relay);
        take_server(relay);
        push_here(relay);
        take_here(relay);
        push_server(relay);
        over = is_over(relay);
        if (!over) {
            await_either(relay);
        }
    }
    if (!relay->here_over) {
        drain_here(relay);
    }
    sa_os_mutex_lock(relay->mutex);
    relay->done = true;
    sa_os_cond_broadcast(relay->cond);
    sa_os_mutex_unlock(relay->mutex);
}

/* ---- the face ------------------------------------------------------------ */

sa_link__relay_t *sa_link__relay_create(sa_http_conn_t *conn, bool websocket, const char *early,
                                        size_t early_length, apr_pool_t *pool)
{
    relay_t *relay = apr_pcalloc(pool, sizeof(*relay));

    SA_ASSERT(early_length <= DOWN_BYTES);
    relay->pool = pool;
    relay->conn = conn;
    relay->websocket = websocket;
    relay->bare = sa_http_conn_is_bare(conn);
    relay->mutex = sa_os_mutex_create(pool);
    relay->cond = sa_os_cond_create(pool);
    relay->up = apr_palloc(pool, SA_LINK_FRAME_HEAD + SA_LINK_FRAME_DATA);
    relay->down = apr_palloc(pool, DOWN_BYTES);
    if (early_length > 0) {
        memcpy(relay->down, early, early_length);
    }
    relay->end = early_length;
    sa_link__frames_init(&relay->frames);
    sa_link__watch(&relay->watch, conn, pool);
    apr_socket_timeout_set(relay->watch.desc.s, 0);
    return relay;
}

/* Is a whole line ready, of which the first SEEN bytes hold no end? */
static bool find_line(const relay_t *relay, char **line, size_t *length, size_t seen)
{
    char *start = relay->down + relay->out;
    char *end = memchr(start + seen, '\n', relay->ready - relay->out - seen);

    if (!end) {
        return false;
    }
    *line = start;
    *length = (size_t)(end - start);
    if (*length > 0 && start[*length - 1] == '\r') {
        --*length;
    }
    return true;
}

/* Why there is no line. */
static void fail_line(relay_t *relay, sa_link__failure_t *failure)
{
    if (relay->ready - relay->out >= SA_LINK_INFO_LIMIT) {
        sa_link__fail(failure, SA_EVENT_link_protocol, "the server's INFO is longer than %d bytes",
                      SA_LINK_INFO_LIMIT);
    } else if (!relay->server_over) {
        sa_link__fail(failure, SA_EVENT_link_silent, "connected, but the server says nothing");
    } else if (!sa_link__relay_reason(relay, failure)) {
        sa_link__fail(failure, SA_EVENT_link_lost,
                      "the server closed the connection before saying anything");
    }
}

bool sa_link__relay_first_line(sa_link__relay_t *relay, char **line, size_t *length,
                               sa_link__failure_t *failure, sa_link_t *link,
                               apr_interval_time_t deadline)
{
    bool going = true;
    size_t seen = 0;

    relay->server_in = true;
    while (going) {
        bool came;

        relay->now = sa_time_mono();
        came = take_server(relay);
        push_server(relay);     /* a pong, or the Close that says what is wrong */
        if (find_line(relay, line, length, seen) && *length < SA_LINK_INFO_LIMIT) {
            return true;
        }
        seen = relay->ready - relay->out;
        going = !relay->server_over && seen < SA_LINK_INFO_LIMIT
            && (came || sa_link__watch_wait(&relay->watch, APR_POLLIN | (is_pending(relay)
                                            ? APR_POLLOUT : 0), link, deadline));
    }
    fail_line(relay, failure);
    return false;
}

bool sa_link__relay_start(sa_link__relay_t *relay, apr_os_sock_t *end,
                          sa_link__failure_t *failure)
{
    char words[128];
    apr_status_t status = sa_link__pair(&relay->here, end, relay->pool);

    if (status != APR_SUCCESS) {
        sa_link__fail(failure, SA_EVENT_link_unreachable, "no pair of local sockets: %s",
                      apr_strerror(status, words, sizeof(words)));
        return false;
    }
    status = sa_os_thread_start(&relay->thread, "relay", run, relay, relay->pool);
    if (status != APR_SUCCESS) {
        relay->thread = NULL;
        sa_link__fail(failure, SA_EVENT_link_unreachable, "no thread for the relay: %s",
                      apr_strerror(status, words, sizeof(words)));
        return false;
    }
    return true;
}

void sa_link__relay_stop(sa_link__relay_t *relay)
{
    apr_interval_time_t deadline = sa_time_mono() + STOP_WAIT;
    bool waiting = relay->thread != NULL;

    if (relay->thread) {
        sa_os_mutex_lock(relay->mutex);
        while (!relay->done && waiting) {
            waiting = sa_os_cond_wait(relay->cond, relay->mutex, deadline);
        }
        sa_os_mutex_unlock(relay->mutex);
        /* Should nobody have closed the other end, or should it not have been seen because the
         * server takes nothing: this it sees, and is done at the latest when its patience is. */
        apr_socket_shutdown(relay->here, APR_SHUTDOWN_READWRITE);
        sa_os_thread_join(relay->thread);
        relay->thread = NULL;
    }
    if (relay->here) {
        apr_socket_close(relay->here);
        relay->here = NULL;
    }
    if (relay->conn) {
        sa_http_conn_close(relay->conn);
        relay->conn = NULL;
    }
}
