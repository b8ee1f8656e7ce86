/* The relay, the pair and the upgrade, against a server that the test plays by hand.
 *
 * The connection is a fake of sa_http_conn_*: a plain socket, or one that behaves like TLS, which
 * takes more from the socket than it gives out. */
#include "sa_test.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <apr_strings.h>

#include "../../src/link/sa_link_relay.h"
#include "sa_random.h"
#include "sa_time.h"

/* Long enough for a loaded machine. */
#define PATIENCE_MS 20000

/* ---- the connection ------------------------------------------------------ */

#define RECORD 16384

struct sa_http_conn_t {
    int fd;
    bool tls;                   /* holds what the socket does not show */
    bool hoards;                /* all of it */
    bool reading;               /* TLS: sending wants to read first */
    bool choppy;                /* takes some bytes, then none, then some */
    bool measured;              /* takes what is allowed */
    size_t allowed;             /* atomic */
    int sends;
    const char *refused;        /* TLS: what was not taken, and is to come again */
    size_t refused_length;
    char held[512 * 1024];
    size_t held_at;
    size_t held_end;
    bool closed;
};

bool sa_http_conn_open(sa_http_conn_t **conn, sa_http_conn_report_t *report,
                       const sa_http_request_t *request, bool (*interrupted)(void *baton),
                       void *baton, apr_pool_t *pool)
{
    (void)conn;
    (void)report;
    (void)request;
    (void)interrupted;
    (void)baton;
    (void)pool;
    return false;
}

bool sa_http_conn_is_bare(const sa_http_conn_t *conn)
{
    return !conn->tls;
}

apr_os_sock_t sa_http_conn_socket(const sa_http_conn_t *conn)
{
    return conn->fd;
}

apr_os_sock_t sa_http_conn_take(sa_http_conn_t *conn)
{
    return conn->fd;
}

static apr_status_t status_of(ssize_t done, size_t *length)
{
    *length = done > 0 ? (size_t)done : 0;
    if (done < 0) {
        return errno;
    }
    return done == 0 ? APR_EOF : APR_SUCCESS;
}

apr_status_t sa_http_conn_receive(sa_http_conn_t *conn, char *data, size_t *length)
{
    size_t wanted = *length;

    if (!conn->tls) {
        return status_of(recv(conn->fd, data, wanted, 0), length);
    }
    if (conn->held_at == conn->held_end) {
        size_t most = conn->hoards ? sizeof(conn->held) : 2 * RECORD;
        apr_status_t status = status_of(recv(conn->fd, conn->held, most, 0), length);

        if (status != APR_SUCCESS) {
            return status;
        }
        conn->held_at = 0;
        conn->held_end = *length;
    }
    *length = conn->held_end - conn->held_at;
    *length = *length < RECORD ? *length : RECORD;
    *length = *length < wanted ? *length : wanted;
    memcpy(data, conn->held + conn->held_at, *length);
    conn->held_at += *length;
    return APR_SUCCESS;
}

apr_status_t sa_http_conn_send(sa_http_conn_t *conn, const char *data, size_t *length)
{
    size_t wanted = *length;
    apr_status_t status = APR_EAGAIN;

    conn->sends++;
    if (conn->tls && conn->refused) {
        ck_assert_msg(data == conn->refused && wanted >= conn->refused_length,
                      "other bytes than those that were not taken");
    }
    if (conn->choppy && wanted > 3) {
        wanted = 3;
    }
    if (conn->measured) {
        size_t allowed = __atomic_load_n(&conn->allowed, __ATOMIC_SEQ_CST);

        wanted = wanted < allowed ? wanted : allowed;
        __atomic_sub_fetch(&conn->allowed, wanted, __ATOMIC_SEQ_CST);
    }
    *length = 0;
    if (wanted > 0 && !conn->reading && !(conn->choppy && conn->sends % 3 == 0)) {
        status = status_of(send(conn->fd, data, wanted, MSG_NOSIGNAL), length);
    }
    conn->refused = status == APR_SUCCESS ? NULL : data;
    conn->refused_length = wanted;
    return status;
}

void sa_http_conn_verdict(const sa_http_conn_t *conn, sa_http_tls_verdict_t *verdict)
{
    (void)conn;
    memset(verdict, 0, sizeof(*verdict));
}

const char *sa_http_conn_tls_version(const sa_http_conn_t *conn)
{
    (void)conn;
    return "";
}

const char *sa_http_conn_peer(const sa_http_conn_t *conn)
{
    (void)conn;
    return "";
}

void sa_http_conn_close(sa_http_conn_t *conn)
{
    ck_assert(!conn->closed);
    close(conn->fd);
    conn->closed = true;
}

/* ---- the stage ----------------------------------------------------------- */

typedef struct stage_t {
    apr_pool_t *pool;
    sa_link_t link;
    sa_http_conn_t conn;
    int server;                 /* the server's end of the connection; blocking */
    sa_link__relay_t *relay;
    int nats;                   /* nats.c's end of the pair; -1: closed */
    sa_link__failure_t failure;
} stage_t;

static void open_connection(stage_t *stage)
{
    struct sockaddr_in address;
    socklen_t length = sizeof(address);
    int bytes = 64 * 1024;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    memset(&address, 0, sizeof(address));
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    stage->conn.fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(stage->conn.fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    ck_assert_int_eq(connect(stage->conn.fd, (struct sockaddr *)&address, sizeof(address)), 0);
    fcntl(stage->conn.fd, F_SETFL, O_NONBLOCK);
    stage->server = accept(listener, NULL, NULL);
    ck_assert_int_ge(stage->server, 0);
    close(listener);
}

static stage_t *stage_create(bool tls, apr_pool_t *pool)
{
    stage_t *stage = apr_pcalloc(pool, sizeof(*stage));

    stage->pool = pool;
    stage->link.mutex = sa_os_mutex_create(pool);
    stage->conn.tls = tls;
    stage->nats = -1;
    open_connection(stage);
    return stage;
}

static void stage_start(stage_t *stage)
{
    ck_assert_msg(sa_link__relay_start(stage->relay, &stage->nats, &stage->failure), "%s",
                  stage->failure.reason);
}

static stage_t *stage_open(bool websocket, bool tls, apr_pool_t *pool)
{
    stage_t *stage = stage_create(tls, pool);

    stage->relay = sa_link__relay_create(&stage->conn, websocket, "", 0, pool);
    stage_start(stage);
    return stage;
}

static void close_nats(stage_t *stage)
{
    if (stage->nats >= 0) {
        close(stage->nats);
        stage->nats = -1;
    }
}

/* As nats.c does. */
static void reset_nats(stage_t *stage)
{
    struct linger linger = {1, 0};

    setsockopt(stage->nats, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close_nats(stage);
}

static double seconds(void)
{
    return (double)sa_time_mono() / 1e6;
}

/* Its end takes less than MOST seconds. */
static void stage_end(stage_t *stage, double most)
{
    double begin;
    double took;

    close_nats(stage);
    begin = seconds();
    sa_link__relay_stop(stage->relay);
    took = seconds() - begin;
    ck_assert(stage->conn.closed);
    ck_assert_msg(took < most * sa_test_patience(), "%.3f s", took);
    if (stage->server >= 0) {
        close(stage->server);
    }
}

static void stage_close(stage_t *stage)
{
    stage_end(stage, 60);
}

/* ---- both ends, by hand -------------------------------------------------- */

static bool is_ready(int fd, short events, int wait_ms)
{
    struct pollfd watch = {.fd = fd, .events = events};

    return poll(&watch, 1, wait_ms) > 0;
}

static void give(int fd, const void *data_, size_t length)
{
    const char *data = data_;

    while (length > 0) {
        ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);

        if (sent < 0 && errno == EAGAIN) {
            ck_assert(is_ready(fd, POLLOUT, PATIENCE_MS));
            continue;
        }
        ck_assert_msg(sent > 0, "send: %s", strerror(errno));
        data += sent;
        length -= (size_t)sent;
    }
}

/* Take LENGTH bytes; fewer if it ends before.  Returns how many. */
static size_t take(int fd, void *data_, size_t length)
{
    char *data = data_;
    size_t done = 0;

    while (done < length) {
        ssize_t got;

        ck_assert_msg(is_ready(fd, POLLIN, PATIENCE_MS), "nothing comes");
        got = recv(fd, data + done, length - done, MSG_DONTWAIT);
        if (got <= 0) {
            ck_assert(got == 0 || errno == ECONNRESET);
            break;
        }
        done += (size_t)got;
    }
    return done;
}

static void expect(int fd, const char *text)
{
    char data[4096];
    size_t length = strlen(text);

    ck_assert_uint_eq(take(fd, data, length), length);
    ck_assert_int_eq(memcmp(data, text, length), 0);
}

static void expect_end(int fd)
{
    char byte;

    ck_assert_uint_eq(take(fd, &byte, 1), 0);
}

static void give_frame(int fd, unsigned int first, const void *data, size_t length)
{
    unsigned char head[10] = {(unsigned char)first, (unsigned char)length};
    size_t size = 2;

    if (length > 65535) {
        head[1] = 127;
        size = 10;
    } else if (length > 125) {
        head[1] = 126;
        size = 4;
    }
    for (size_t i = 2; i < size; i++) {
        head[i] = (unsigned char)((uint64_t)length >> (8 * (size - 1 - i)) & 0xff);
    }
    give(fd, head, size);
    give(fd, data, length);
}

#define BINARY 0x82
#define PING 0x89
#define PONG 0x8a
#define CLOSE 0x88

static char payload[70000];

/* Take a frame of ours, check that it keeps the rules, and return its first byte; 0: the end. */
static unsigned int take_frame(int fd, size_t *length)
{
    unsigned char head[14];
    int bytes;

    if (take(fd, head, 2) < 2) {
        return 0;
    }
    ck_assert_msg(head[0] == BINARY || head[0] == PONG || head[0] == CLOSE, "%02x", head[0]);
    ck_assert(head[1] & 0x80);
    *length = head[1] & 0x7f;
    bytes = *length == 127 ? 8 : *length == 126 ? 2 : 0;
    if (take(fd, head + 2, (size_t)bytes + 4) < (size_t)bytes + 4) {
        return 0;
    }
    for (int i = 0; i < bytes; i++) {
        *length = (i == 0 ? 0 : *length << 8) | head[2 + i];
    }
    ck_assert_uint_le(*length, SA_LINK_FRAME_DATA);
    ck_assert(head[0] == BINARY || *length <= 125);
    if (take(fd, payload, *length) < *length) {
        return 0;
    }
    for (size_t i = 0; i < *length; i++) {
        payload[i] = (char)((unsigned char)payload[i] ^ head[2 + bytes + (int)(i % 4)]);
    }
    return head[0];
}

static void expect_frame(int fd, unsigned int first, const char *text, size_t length)
{
    size_t got = 0;

    ck_assert_uint_eq(take_frame(fd, &got), first);
    ck_assert_uint_eq(got, length);
    ck_assert_int_eq(memcmp(payload, text, length), 0);
}

static void expect_reason(stage_t *stage, sa_event_t event, const char *text)
{
    sa_link__failure_t failure;

    ck_assert_msg(sa_link__relay_reason(stage->relay, &failure), "no reason");
    ck_assert_str_eq(failure.reason, text);
    ck_assert_str_eq(sa_event_row(failure.event)->id, sa_event_row(event)->id);
}

/* ---- what the thread does while it has nothing to do --------------------- */

static long read_switches(const char *id)
{
    char path[300];
    char line[128];
    long sum = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/self/task/%s/status", id);
    file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file)) {
        long number;

        if (sscanf(line, "voluntary_ctxt_switches: %ld", &number) == 1
            || sscanf(line, "nonvoluntary_ctxt_switches: %ld", &number) == 1) {
            sum += number;
        }
    }
    if (file) {
        fclose(file);
    }
    return sum;
}

/* How often the relay's thread ran, and the microseconds it used, so far.  false: it has not named
 * itself yet. */
static bool read_work(long *turns, double *used)
{
    DIR *dir = opendir("/proc/self/task");
    struct dirent *entry;
    bool found = false;

    for (entry = readdir(dir); entry; entry = readdir(dir)) {
        char path[300];
        char name[32] = "";
        unsigned long long ran = 0;
        FILE *file;

        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
        file = fopen(path, "r");
        if (!file) {
            continue;
        }
        if (fgets(name, sizeof(name), file) && strcmp(name, "relay\n") == 0) {
            FILE *stat;

            found = true;
            *turns = read_switches(entry->d_name);
            snprintf(path, sizeof(path), "/proc/self/task/%s/schedstat", entry->d_name);
            stat = fopen(path, "r");
            *used = stat && fscanf(stat, "%llu", &ran) == 1 ? (double)ran / 1000 : 0;
            if (stat) {
                fclose(stat);
            }
        }
        fclose(file);
    }
    closedir(dir);
    return found;
}

/* In 120 ms it may wake a few times and use next to nothing, once it has done what was under way;
 * one that spins never does. */
static void expect_rest(void)
{
    long before = 0;
    long after = LONG_MAX;
    double used_before = 0;
    double used = 0;

    for (int i = 0; i < 40 && (after - before > 3 || used - used_before > 5000); i++) {
        bool found = read_work(&before, &used_before);

        poll(NULL, 0, found ? 120 : 10);
        if (found) {
            read_work(&after, &used);
        }
    }
    ck_assert_msg(after - before <= 3, "%ld wake-ups", after - before);
    ck_assert_msg(used - used_before <= 5000, "%.0f us", used - used_before);
}

/* Send until the other side's buffers are full.  Returns how much went. */
static size_t stuff(int fd)
{
    static char data[65536];
    size_t sum = 0;
    ssize_t sent = 1;

    while (sent > 0 || is_ready(fd, POLLOUT, 50)) {
        sent = send(fd, data, sizeof(data), MSG_NOSIGNAL | MSG_DONTWAIT);
        sum += sent > 0 ? (size_t)sent : 0;
    }
    return sum;
}

/* The same with frames of one x each.  Returns how many are whole. */
static size_t stuff_frames(int fd)
{
    static char data[3 * 4096];
    size_t sum = 0;
    ssize_t sent = 1;

    for (size_t i = 0; i < sizeof(data); i += 3) {
        memcpy(data + i, "\x82\x01x", 3);
    }
    while (sent > 0 || is_ready(fd, POLLOUT, 50)) {
        size_t at = sum % sizeof(data);

        sent = send(fd, data + at, sizeof(data) - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        sum += sent > 0 ? (size_t)sent : 0;
    }
    return sum / 3;
}

/* ---- there and back ------------------------------------------------------ */

#define FLOOD 90000            /* the largest piece */

typedef struct flood_t {
    int fd;
    char *data;
    bool frames;
    size_t total;
    uint64_t sum;               /* of what it got */
    size_t pongs;
} flood_t;

static uint64_t add_up(uint64_t sum, const char *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        sum = sum * 31 + (unsigned char)data[i];
    }
    return sum;
}

static void take_flood(void *baton)
{
    flood_t *flood = baton;
    size_t done = 0;

    while (done < flood->total) {
        size_t left = flood->total - done;
        size_t length = left < FLOOD ? left : FLOOD;
        const char *from = flood->data;

        if (flood->frames) {
            unsigned int first = take_frame(flood->fd, &length);

            ck_assert(first == BINARY || first == PONG);
            from = payload;
            if (first == PONG) {
                ck_assert(length == 4 && memcmp(payload, "ping", 4) == 0);
                flood->pongs++;
                continue;
            }
        } else {
            length = take(flood->fd, flood->data, length);
        }
        ck_assert_uint_gt(length, 0);
        flood->sum = add_up(flood->sum, from, length);
        done += length;
    }
}

static uint64_t give_flood(int fd, bool frames, char *data, size_t total, size_t *pings)
{
    sa_random_t random;
    uint64_t sum = 0;

    sa_random_init_seed(&random, total);
    for (size_t i = 0; i < FLOOD; i++) {
        data[i] = (char)sa_random_below(&random, 256);
    }
    for (size_t done = 0; done < total;) {
        size_t limit = sa_random_below(&random, 8) == 0 ? FLOOD : 300;
        size_t length = 1 + sa_random_below(&random, limit);

        length = length < total - done ? length : total - done;
        if (frames) {
            give_frame(fd, BINARY, data, length);
            if (sa_random_below(&random, 20) == 0) {
                give_frame(fd, PING, "ping", 4);
                ++*pings;
            }
        } else {
            give(fd, data, length);
        }
        sum = add_up(sum, data, length);
        done += length;
    }
    return sum;
}

typedef struct giver_t {
    int fd;
    char *data;
    size_t total;
    uint64_t sum;
} giver_t;

static void give_from_nats(void *baton)
{
    giver_t *giver = baton;

    giver->sum = give_flood(giver->fd, false, giver->data, giver->total, NULL);
}

static void expect_floods(bool websocket, bool tls, apr_pool_t *pool)
{
    const size_t total = 4 * 1024 * 1024;
    stage_t *stage = stage_open(websocket, tls, pool);
    flood_t up = {.fd = stage->server, .frames = websocket, .total = total,
                  .data = apr_palloc(pool, FLOOD)};
    flood_t down = {.fd = stage->nats, .total = total, .data = apr_palloc(pool, FLOOD)};
    giver_t giver = {.fd = stage->nats, .total = total, .data = apr_palloc(pool, FLOOD)};
    sa_os_thread_t *threads[3];
    size_t pings = 0;
    uint64_t sum;

    sa_os_thread_start(&threads[0], "up", take_flood, &up, pool);
    sa_os_thread_start(&threads[1], "down", take_flood, &down, pool);
    sa_os_thread_start(&threads[2], "giver", give_from_nats, &giver, pool);
    sum = give_flood(stage->server, websocket, apr_palloc(pool, FLOOD), total,
                     &pings);
    for (int i = 0; i < 3; i++) {
        sa_os_thread_join(threads[i]);
    }
    ck_assert(up.sum == giver.sum);
    ck_assert(down.sum == sum);
    if (websocket) {
        size_t length;

        for (; up.pongs < pings; up.pongs++) {
            ck_assert_uint_eq(take_frame(stage->server, &length), PONG);
        }
    }
    expect_rest();
    shutdown(stage->server, SHUT_RDWR);
    stage_close(stage);
}

SA_TEST(floods_of_all_sizes_pass_both_ways_with_pings_between)
{
    expect_floods(true, false, pool);
}

SA_TEST(floods_pass_over_what_hides_bytes_as_tls_does)
{
    expect_floods(true, true, pool);
}

SA_TEST(without_frames_bytes_pass_as_they_are)
{
    expect_floods(false, true, pool);
}

SA_TEST(what_nats_says_goes_in_one_masked_frame)
{
    stage_t *stage = stage_open(true, false, pool);

    give(stage->nats, "PUB a 1\r\nx\r\n", 12);
    expect_frame(stage->server, BINARY, "PUB a 1\r\nx\r\n", 12);
    give_frame(stage->server, BINARY, "+OK\r\n", 5);
    expect(stage->nats, "+OK\r\n");
    shutdown(stage->server, SHUT_RDWR);
    stage_close(stage);
}

SA_TEST(pings_are_answered_in_order_and_nothing_comes_between_a_frame)
{
    stage_t *stage = stage_open(true, false, pool);
    size_t given = stuff(stage->nats);
    size_t length;
    size_t pongs = 0;
    size_t data = 0;
    char text[125] = "";

    /* more than there is room for answers, while a frame is half sent */
    for (int i = 0; i < 40; i++) {
        snprintf(text, sizeof(text), "%04d", i);
        give_frame(stage->server, PING, text, sizeof(text));
    }
    give_frame(stage->server, BINARY, "behind", 6);
    expect_rest();
    while (data < given || pongs < 40) {
        unsigned int first = take_frame(stage->server, &length);

        if (first == PONG) {
            snprintf(text, sizeof(text), "%04zu", pongs++);
            ck_assert_uint_eq(length, sizeof(text));
            ck_assert_int_eq(memcmp(payload, text, sizeof(text)), 0);
        } else {
            ck_assert_uint_eq(first, BINARY);
            data += length;
        }
    }
    ck_assert_uint_eq(data, given);
    expect(stage->nats, "behind");
    shutdown(stage->server, SHUT_RDWR);
    stage_close(stage);
}

/* A pong may be half sent, too. */
SA_TEST(a_connection_that_takes_a_little_now_and_then_gets_whole_frames)
{
    stage_t *stage = stage_create(true, pool);
    size_t pongs = 0;
    size_t data = 0;
    size_t length;

    stage->conn.choppy = true;
    stage->relay = sa_link__relay_create(&stage->conn, true, "", 0, pool);
    stage_start(stage);
    for (int i = 0; i < 10; i++) {
        give_frame(stage->server, PING, "ping", 4);
        give(stage->nats, "0123456789", 10);
        poll(NULL, 0, 1);
    }
    while (pongs < 10 || data < 100) {
        unsigned int first = take_frame(stage->server, &length);

        ck_assert(first == PONG || first == BINARY);
        pongs += first == PONG ? 1 : 0;
        data += first == PONG ? 0 : length;
        ck_assert_int_eq(memcmp(payload, first == PONG ? "ping" : "0123", 4), 0);
    }
    shutdown(stage->server, SHUT_RDWR);
    stage_close(stage);
}

SA_TEST(what_tls_holds_is_not_forgotten_while_nats_takes_nothing)
{
    static char data[60000];
    stage_t *stage = stage_create(true, pool);

    stage->conn.hoards = true;
    stage->relay = sa_link__relay_create(&stage->conn, true, "", 0, pool);
    stage_start(stage);
    for (int i = 0; i < 14; i++) {
        give_frame(stage->server, BINARY, data, sizeof(data));
    }
    expect_rest();
    for (int i = 0; i < 14; i++) {
        ck_assert_uint_eq(take(stage->nats, data, sizeof(data)), sizeof(data));
    }
    shutdown(stage->server, SHUT_RDWR);
    stage_close(stage);
}

SA_TEST(mask_keys_are_others_each_time)
{
    stage_t *stage = stage_open(true, false, pool);
    unsigned char frames[300][7];

    for (size_t i = 0; i < 300; i++) {
        give(stage->nats, "x", 1);
        ck_assert_uint_eq(take(stage->server, frames[i], 7), 7);
        for (size_t j = 0; j < i; j++) {
            ck_assert_int_ne(memcmp(frames[i] + 2, frames[j] + 2, 4), 0);
        }
    }
    shutdown(stage->server, SHUT_RDWR);
    stage_close(stage);
}

/* ---- slow sides ---------------------------------------------------------- */

SA_TEST(an_idle_relay_rests)
{
    stage_t *stage = stage_open(true, true, pool);

    expect_rest();
    give(stage->nats, "x", 1);
    expect_frame(stage->server, BINARY, "x", 1);
    expect_rest();
    shutdown(stage->server, SHUT_RDWR);
    stage_close(stage);
}

SA_TEST(a_server_that_takes_nothing_holds_nats_back_and_the_relay_rests)
{
    stage_t *stage = stage_open(true, false, pool);
    size_t given = stuff(stage->nats);
    size_t got = 0;
    size_t length;

    ck_assert_uint_lt(given, 4 * 1024 * 1024);
    expect_rest();
    /* the other way is free meanwhile */
    give_frame(stage->server, BINARY, "free", 4);
    expect(stage->nats, "free");
    while (got < given) {
        ck_assert_uint_eq(take_frame(stage->server, &length), BINARY);
        got += length;
    }
    expect_rest();
    shutdown(stage->server, SHUT_RDWR);
    stage_close(stage);
}

SA_TEST(nats_that_takes_nothing_holds_the_server_back_and_the_relay_rests)
{
    static char data[60000];
    stage_t *stage = stage_open(true, true, pool);
    size_t given;

    give_frame(stage->server, BINARY, data, 10);
    given = stuff_frames(stage->server);
    ck_assert_uint_lt(given, 4 * 1024 * 1024);
    expect_rest();
    /* and the other way */
    give(stage->nats, "free", 4);
    expect_frame(stage->server, BINARY, "free", 4);
    ck_assert_uint_eq(take(stage->nats, data, 10), 10);
    while (given > 0) {
        size_t got = take(stage->nats, data, given < sizeof(data) ? given : sizeof(data));

        ck_assert(got > 0 && data[0] == 'x' && data[got - 1] == 'x');
        given -= got;
    }
    expect_rest();
    shutdown(stage->server, SHUT_RDWR);
    stage_close(stage);
}

SA_TEST(sending_that_wants_to_read_first_does_not_spin)
{
    stage_t *stage = stage_create(true, pool);

    stage->conn.reading = true;
    stage->relay = sa_link__relay_create(&stage->conn, true, "", 0, pool);
    stage_start(stage);
    give(stage->nats, "x", 1);
    poll(NULL, 0, 200);
    reset_nats(stage);
    stage_close(stage);
    ck_assert_int_lt(stage->conn.sends, 400);   /* two in 10 ms */
}

/* ---- a clock that is set by hand ----------------------------------------- */

static apr_interval_time_t ahead;

static apr_interval_time_t shifted_mono(void *baton)
{
    struct timespec now;

    (void)baton;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (apr_interval_time_t)now.tv_sec * 1000000 + now.tv_nsec / 1000
        + __atomic_load_n(&ahead, __ATOMIC_SEQ_CST);
}

static apr_time_t plain_now(void *baton)
{
    (void)baton;
    return apr_time_now();
}

static void set_ahead(apr_interval_time_t time)
{
    __atomic_store_n(&ahead, time, __ATOMIC_SEQ_CST);
}

SA_TEST(a_server_that_takes_a_little_within_ten_seconds_is_kept)
{
    static const sa_clock_t clock = {.now = plain_now, .mono = shifted_mono};
    stage_t *stage = stage_create(false, pool);
    char data[1000] = "";

    sa_time_set_clock(&clock);
    stage->conn.measured = true;
    stage->relay = sa_link__relay_create(&stage->conn, true, "", 0, pool);
    stage_start(stage);
    give(stage->nats, data, sizeof(data));
    for (int i = 1; i < 8; i++) {
        __atomic_add_fetch(&stage->conn.allowed, 10, __ATOMIC_SEQ_CST);
        give_frame(stage->server, BINARY, "look", 4);
        expect(stage->nats, "look");
        ck_assert_uint_eq(take(stage->server, data, 10), 10);
        /* it may have read the clock just before this, so two steps are less than ten seconds */
        set_ahead(i * SA_LINK_RELAY_STALL * 4 / 10);
    }
    shutdown(stage->server, SHUT_RDWR);
    stage_close(stage);
    sa_time_set_clock(NULL);
}

SA_TEST(a_server_that_takes_nothing_for_ten_seconds_is_given_up)
{
    static const sa_clock_t clock = {.now = plain_now, .mono = shifted_mono};
    stage_t *stage;
    char text[1];

    sa_time_set_clock(&clock);
    stage = stage_open(true, false, pool);
    stuff(stage->nats);
    set_ahead(SA_LINK_RELAY_STALL - apr_time_from_sec(2));
    give_frame(stage->server, BINARY, "early", 5);      /* it looks at the clock */
    expect(stage->nats, "early");
    set_ahead(SA_LINK_RELAY_STALL);
    give_frame(stage->server, BINARY, "late", 4);
    while (take(stage->nats, text, 1) > 0) {
        ck_assert_ptr_nonnull(strchr("late", text[0]));     /* may be in before it looks */
    }
    expect_reason(stage, SA_EVENT_link_stale, "the server took nothing for ten seconds");
    set_ahead(0);
    stage_end(stage, 1.5);
    sa_time_set_clock(NULL);
}

/* ---- the end, from the server's side ------------------------------------- */

SA_TEST(a_close_of_the_server_is_told_and_echoed_behind_what_came_before_it)
{
    static const struct {
        const char *close;
        size_t length;
        const char *reason;
    } cases[] = {
        {"\x03\xf0" "Authentication Failure", 24,
         "the server closed the WebSocket: 1008 Authentication Failure"},
        {"\x03\xe9", 2, "the server closed the WebSocket: 1001 going away"},
        {"\x0b\xb8", 2, "the server closed the WebSocket: 3000"},
        {"", 0, "the server closed the WebSocket without a reason"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        stage_t *stage = stage_open(true, i % 2 == 0, pool);

        give_frame(stage->server, BINARY, "-ERR 'Authorization Violation'\r\n", 32);
        give_frame(stage->server, CLOSE, cases[i].close, cases[i].length);
        expect_frame(stage->server, CLOSE, cases[i].close, cases[i].length > 0 ? 2 : 0);
        expect(stage->nats, "-ERR 'Authorization Violation'\r\n");
        expect_end(stage->nats);
        expect_reason(stage, SA_EVENT_link_lost, cases[i].reason);
        stage_end(stage, 0.5);
    }
}

SA_TEST(a_server_that_just_ends_is_seen_after_its_last_words)
{
    stage_t *stage = stage_open(true, true, pool);
    sa_link__failure_t failure;

    give_frame(stage->server, BINARY, "last", 4);
    shutdown(stage->server, SHUT_WR);
    expect(stage->nats, "last");
    expect_end(stage->nats);
    ck_assert(!sa_link__relay_reason(stage->relay, &failure));
    stage_end(stage, 0.5);
}

SA_TEST(a_connection_that_breaks_is_told)
{
    stage_t *stage = stage_open(true, false, pool);
    struct linger linger = {1, 0};

    setsockopt(stage->server, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(stage->server);
    stage->server = -1;
    expect_end(stage->nats);
    expect_reason(stage, SA_EVENT_link_lost,
                  "the connection to the server broke: Connection reset by peer");
    stage_end(stage, 0.5);
}

SA_TEST(hostile_61_a_broken_rule_ends_the_connection_with_1002)
{
    stage_t *stage = stage_open(true, false, pool);

    give_frame(stage->server, BINARY, "good", 4);
    give_frame(stage->server, 0x81, "text", 4);
    expect(stage->nats, "good");
    expect_frame(stage->server, CLOSE, "\x03\xea", 2);
    expect_end(stage->nats);
    expect_reason(stage, SA_EVENT_link_protocol,
                  "the server breaks WebSocket's rules: a text frame");
    stage_end(stage, 0.5);
}

SA_TEST(the_relay_rests_while_nats_has_not_taken_the_last_words)
{
    static char data[4 * 1024 * 1024];
    struct linger linger = {1, 0};

    for (int i = 0; i < 2; i++) {
        stage_t *stage = stage_open(true, true, pool);
        size_t given = stuff_frames(stage->server);
        size_t got;

        if (i == 0) {
            shutdown(stage->server, SHUT_RDWR);
        } else {
            setsockopt(stage->server, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
            close(stage->server);
            stage->server = -1;
        }
        expect_rest();
        got = take(stage->nats, data, given);
        ck_assert(got == given || (i == 1 && got > 100));   /* a reset throws away */
        ck_assert(data[0] == 'x' && data[got - 1] == 'x');
        expect_end(stage->nats);
        stage_end(stage, 0.5);
    }
}

/* How much the system holds on the way to nats.c. */
static size_t pair_capacity(apr_pool_t *pool)
{
    apr_socket_t *here;
    apr_os_sock_t ends[2];
    size_t capacity;

    ck_assert_int_eq(sa_link__pair(&here, &ends[0], pool), APR_SUCCESS);
    apr_os_sock_get(&ends[1], here);
    capacity = stuff(ends[1]);
    close(ends[0]);
    apr_socket_close(here);
    return capacity;
}

SA_TEST(last_words_wait_for_nats_to_take_them)
{
    static char data[4 * 1024 * 1024];
    stage_t *stage = stage_open(true, true, pool);
    size_t total = pair_capacity(pool) + 64 * 1024;

    give_frame(stage->server, BINARY, data, total);
    shutdown(stage->server, SHUT_WR);
    expect_rest();
    ck_assert_uint_eq(take(stage->nats, data, total), total);
    expect_end(stage->nats);
    stage_end(stage, 0.5);
}

SA_TEST(no_data_follows_the_close)
{
    stage_t *stage = stage_open(true, false, pool);
    unsigned int first = BINARY;
    size_t length = 0;

    stuff(stage->nats);
    give_frame(stage->server, CLOSE, "\x03\xe9", 2);
    while (first == BINARY) {
        first = take_frame(stage->server, &length);
    }
    ck_assert_uint_eq(first, CLOSE);
    close_nats(stage);
    sa_link__relay_stop(stage->relay);
    expect_end(stage->server);
    close(stage->server);
}

/* ---- the end, from our side ---------------------------------------------- */

SA_TEST(what_nats_said_last_goes_out_before_the_close)
{
    stage_t *stage = stage_open(true, false, pool);

    give(stage->nats, "last", 4);
    reset_nats(stage);
    expect_frame(stage->server, BINARY, "last", 4);
    expect_frame(stage->server, CLOSE, "\x03\xe8", 2);
    give_frame(stage->server, BINARY, "late", 4);
    give_frame(stage->server, CLOSE, "\x03\xe8", 2);
    stage_end(stage, 0.5);
}

SA_TEST(a_backlog_goes_out_before_the_close)
{
    for (int i = 0; i < 2; i++) {
        stage_t *stage = stage_open(true, false, pool);
        size_t given = stuff(stage->nats);
        size_t got = 0;
        size_t length = 0;
        unsigned int first;

        if (i == 0) {
            close_nats(stage);
        } else {
            reset_nats(stage);      /* the system throws away what it had not sent yet */
        }
        for (first = take_frame(stage->server, &length); first == BINARY;
             first = take_frame(stage->server, &length)) {
            got += length;
        }
        ck_assert_uint_eq(first, CLOSE);
        ck_assert(got == given || (i == 1 && got > SA_LINK_FRAME_DATA));
        give_frame(stage->server, CLOSE, payload, length);
        stage_end(stage, 0.5);
    }
}

SA_TEST(a_server_that_does_not_answer_the_close_is_waited_for_a_second)
{
    stage_t *stage = stage_open(true, true, pool);

    shutdown(stage->nats, SHUT_WR);     /* half: the other half may not make it spin */
    expect_frame(stage->server, CLOSE, "\x03\xe8", 2);
    expect_rest();
    stage_end(stage, 1.2);
}

SA_TEST(a_stop_ends_also_what_is_stuck)
{
    for (int i = 0; i < 2; i++) {
        stage_t *stage = stage_open(true, i == 0, pool);

        stuff(stage->nats);
        if (i == 0) {
            reset_nats(stage);
            expect_rest();
        }
        stage_end(stage, 2.3);
    }
}

SA_TEST(a_stop_ends_it_even_if_the_other_end_is_open)
{
    stage_t *stage = stage_open(true, false, pool);
    int kept = dup(stage->nats);

    stage_end(stage, 2.3);
    close(kept);
}

SA_TEST(without_frames_the_end_is_the_end)
{
    stage_t *stage = stage_open(false, true, pool);

    give(stage->nats, "last", 4);
    reset_nats(stage);
    expect(stage->server, "last");
    stage_end(stage, 0.5);
    stage = stage_open(false, true, pool);
    give(stage->server, "\x88\x02\x03\xe8", 4);
    shutdown(stage->server, SHUT_WR);
    expect(stage->nats, "\x88\x02\x03\xe8");
    expect_end(stage->nats);
    stage_end(stage, 0.5);
}

static int count_entries(const char *path)
{
    DIR *dir = opendir(path);
    int count = 0;

    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        count++;
    }
    closedir(dir);
    return count;
}

SA_TEST(many_relays_leave_nothing_behind)
{
    int descriptors = 0;
    int threads = 0;
    apr_pool_t *round = sa_pool_create(pool);

    for (int i = 0; i < 200; i++) {
        stage_t *stage = stage_open(true, i % 2 == 0, round);

        give(stage->nats, "x", 1);
        expect_frame(stage->server, BINARY, "x", 1);
        if (i % 3 == 0) {
            give_frame(stage->server, CLOSE, "", 0);
        } else {
            shutdown(stage->server, SHUT_WR);
        }
        stage_close(stage);
        apr_pool_clear(round);
        if (i == 0) {           /* a sanitizer's own are there, too */
            descriptors = count_entries("/proc/self/fd");
            threads = count_entries("/proc/self/task");
        }
    }
    ck_assert_int_eq(count_entries("/proc/self/fd"), descriptors);
    for (int i = 0; i < 1000 && count_entries("/proc/self/task") != threads; i++) {
        poll(NULL, 0, 1);       /* one that is joined may be seen for a moment */
    }
    ck_assert_int_eq(count_entries("/proc/self/task"), threads);
}

/* ---- the pair ------------------------------------------------------------ */

SA_TEST(both_ends_of_the_pair_are_as_nats_wants_them)
{
    apr_socket_t *here;
    apr_os_sock_t ends[2];

    ck_assert_int_eq(sa_link__pair(&here, &ends[0], pool), APR_SUCCESS);
    apr_os_sock_get(&ends[1], here);
    for (int i = 0; i < 2; i++) {
        struct linger linger = {1, 0};
        socklen_t length = sizeof(int);
        int value = 0;
        int on = 1;

        ck_assert_int_eq(getsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &value, &length), 0);
        ck_assert_int_ne(value, 0);
        ck_assert(fcntl(ends[i], F_GETFD) & FD_CLOEXEC);
        ck_assert(fcntl(ends[i], F_GETFL) & O_NONBLOCK);
        ck_assert_int_eq(setsockopt(ends[i], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
        ck_assert_int_eq(setsockopt(ends[i], SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    }
    close(ends[0]);
    apr_socket_close(here);
}

/* ---- the first line ------------------------------------------------------ */

static bool wait_line(stage_t *stage, char **line, size_t *length, double patience)
{
    return sa_link__relay_first_line(stage->relay, line, length, &stage->failure, &stage->link,
                                     sa_time_mono() + (apr_interval_time_t)(patience * 1e6));
}

static void expect_line(stage_t *stage, const char *text)
{
    size_t length;
    char *line;

    ck_assert_msg(wait_line(stage, &line, &length, 20), "%s", stage->failure.reason);
    ck_assert_uint_eq(length, strlen(text));
    ck_assert_int_eq(memcmp(line, text, length), 0);
    memcpy(line + 6, "-", 1);           /* what the caller does to it */
}

SA_TEST(a_first_line_that_came_with_the_answer_is_given_and_passed_on_as_it_was_left)
{
    static const char early[] = "\x82\x16INFO tls_required:1}\r\n\x82\x04more\x82\x05" "st";
    stage_t *stage = stage_create(true, pool);

    stage->relay = sa_link__relay_create(&stage->conn, true, early, sizeof(early) - 1, pool);
    expect_line(stage, "INFO tls_required:1}");
    stage_start(stage);
    give(stage->server, "ill", 3);
    expect(stage->nats, "INFO t-s_required:1}\r\nmorestill");
    shutdown(stage->server, SHUT_RDWR);
    stage_close(stage);
}

static void give_line_slowly(void *baton)
{
    stage_t *stage = baton;
    const char *text = "INFO tls_required:1}\r\nPING\r\n";

    for (size_t i = 0; i < strlen(text); i++) {
        give_frame(stage->server, BINARY, text + i, 1);
        give_frame(stage->server, PING, "", 0);
        poll(NULL, 0, 1);
    }
}

SA_TEST(a_first_line_of_a_byte_a_frame_is_given_and_its_pings_answered)
{
    for (int tls = 0; tls < 2; tls++) {
        stage_t *stage = stage_create(tls == 1, pool);
        sa_os_thread_t *thread;

        stage->relay = sa_link__relay_create(&stage->conn, true, "", 0, pool);
        sa_os_thread_start(&thread, "server", give_line_slowly, stage, pool);
        expect_line(stage, "INFO tls_required:1}");
        stage_start(stage);
        sa_os_thread_join(thread);
        expect(stage->nats, "INFO t-s_required:1}\r\nPING\r\n");
        for (int i = 0; i < 28; i++) {
            expect_frame(stage->server, PONG, "", 0);
        }
        shutdown(stage->server, SHUT_RDWR);
        stage_close(stage);
    }
}

SA_TEST(a_line_is_waited_for_without_frames_too)
{
    stage_t *stage = stage_create(true, pool);

    stage->relay = sa_link__relay_create(&stage->conn, false, "", 0, pool);
    give(stage->server, "INFO tls_required:1}\nx", 22);
    expect_line(stage, "INFO tls_required:1}");
    stage_start(stage);
    expect(stage->nats, "INFO t-s_required:1}\nx");
    shutdown(stage->server, SHUT_RDWR);
    stage_close(stage);
}

static void expect_no_line(stage_t *stage, double patience, sa_event_t event, const char *reason)
{
    size_t length;
    char *line;

    ck_assert(!wait_line(stage, &line, &length, patience));
    ck_assert_str_eq(stage->failure.reason, reason);
    ck_assert_str_eq(sa_event_row(stage->failure.event)->id, sa_event_row(event)->id);
    stage_close(stage);
}

static stage_t *stage_for_line(apr_pool_t *pool)
{
    stage_t *stage = stage_create(false, pool);

    stage->relay = sa_link__relay_create(&stage->conn, true, "", 0, pool);
    return stage;
}

SA_TEST(what_comes_instead_of_a_line_is_told)
{
    stage_t *stage = stage_for_line(pool);
    char *longer = apr_pcalloc(pool, 40000);

    give_frame(stage->server, BINARY, "INF", 3);
    give_frame(stage->server, CLOSE, "\x03\xf4" "later", 7);
    expect_no_line(stage, 20, SA_EVENT_link_lost, "the server closed the WebSocket: 1012 later");

    stage = stage_for_line(pool);
    give_frame(stage->server, 0x01, "INFO", 4);
    expect_no_line(stage, 20, SA_EVENT_link_protocol,
                   "the server breaks WebSocket's rules: a text frame");

    stage = stage_for_line(pool);
    give_frame(stage->server, BINARY, "INF", 3);
    shutdown(stage->server, SHUT_WR);
    expect_no_line(stage, 20, SA_EVENT_link_lost,
                   "the server closed the connection before saying anything");

    stage = stage_for_line(pool);
    give_frame(stage->server, BINARY, "INF", 3);
    expect_no_line(stage, 0.1, SA_EVENT_link_silent, "connected, but the server says nothing");

    stage = stage_for_line(pool);
    stage->link.stopping = true;
    expect_no_line(stage, 20, SA_EVENT_link_silent, "connected, but the server says nothing");

    stage = stage_for_line(pool);
    memset(longer, 'x', 40000);
    longer[SA_LINK_INFO_LIMIT] = '\n';
    give_frame(stage->server, BINARY, longer, SA_LINK_INFO_LIMIT + 1);
    expect_no_line(stage, 20, SA_EVENT_link_protocol,
                   "the server's INFO is longer than 32768 bytes");
}

SA_TEST(a_line_of_the_largest_size_and_a_close_right_behind_it_pass)
{
    stage_t *stage = stage_for_line(pool);
    char *text = apr_palloc(pool, SA_LINK_INFO_LIMIT);
    char *got = apr_palloc(pool, SA_LINK_INFO_LIMIT);
    size_t length;
    char *line;

    memset(text, 'x', SA_LINK_INFO_LIMIT);
    text[SA_LINK_INFO_LIMIT - 1] = '\n';
    give_frame(stage->server, BINARY, text, SA_LINK_INFO_LIMIT);
    give_frame(stage->server, CLOSE, "\x03\xf0no", 4);
    ck_assert(wait_line(stage, &line, &length, 20));
    ck_assert_uint_eq(length, SA_LINK_INFO_LIMIT - 1);
    stage_start(stage);
    ck_assert_uint_eq(take(stage->nats, got, SA_LINK_INFO_LIMIT), SA_LINK_INFO_LIMIT);
    ck_assert_int_eq(memcmp(got, text, SA_LINK_INFO_LIMIT), 0);
    expect_end(stage->nats);
    expect_reason(stage, SA_EVENT_link_lost, "the server closed the WebSocket: 1008 no");
    stage_close(stage);
}

/* ---- the upgrade --------------------------------------------------------- */

typedef struct answer_t {
    stage_t *stage;
    const char *before;         /* of the header, up to the accept's value; NULL: nothing is said */
    const char *after;
    size_t after_length;
    bool slowly;
    bool ends;
    char request[4096];
} answer_t;

static void give_answer(void *baton)
{
    answer_t *answer = baton;
    size_t length = 0;
    char key[64] = "";
    char accept[SA_LINK_UPGRADE_ACCEPT + 1];
    static char text[32 * 1024];
    const char *at;
    size_t size;
    size_t sent;

    while (!strstr(answer->request, "\r\n\r\n")) {
        ck_assert_uint_eq(take(answer->stage->server, answer->request + length, 1), 1);
        length++;
    }
    at = strstr(answer->request, "Sec-WebSocket-Key: ");
    ck_assert_ptr_nonnull(at);
    ck_assert_int_eq(sscanf(at, "Sec-WebSocket-Key: %60s", key), 1);
    sa_link__upgrade_accept(accept, key);
    if (answer->before) {
        size = (size_t)snprintf(text, sizeof(text), "%s%s\r\n\r\n", answer->before, accept);
        memcpy(text + size, answer->after, answer->after_length);
        for (sent = 0; answer->slowly && sent + 1 < size; sent++) {
            give(answer->stage->server, text + sent, 1);
            poll(NULL, 0, sent % 16 == 0 ? 1 : 0);
        }
        give(answer->stage->server, text + sent, size + answer->after_length - sent);
    }
    if (answer->ends) {
        shutdown(answer->stage->server, SHUT_WR);
    }
}

static bool upgrade(answer_t *answer, const sa_link_url_t *url, const char *extra, char *early,
                    size_t early_size, size_t *early_length, double patience, apr_pool_t *pool)
{
    stage_t *stage = stage_create(false, pool);
    sa_os_thread_t *thread;
    bool ok;

    answer->stage = stage;
    sa_os_thread_start(&thread, "server", give_answer, answer, pool);
    ok = sa_link__upgrade(&stage->conn, early, early_size, early_length, &stage->failure,
                          &stage->link, url, extra,
                          sa_time_mono() + (apr_interval_time_t)(patience * 1e6), pool);
    sa_os_thread_join(thread);
    close(stage->conn.fd);
    close(stage->server);
    return ok;
}

#define GOOD "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"

static const sa_link_url_t plain_url = {.ws = true, .host = "bus.example", .port = 80,
                                         .path = "/nats?x=1"};

SA_TEST(the_request_has_what_it_needs_and_no_more)
{
    static const sa_link_url_t urls[] = {
        {.ws = true, .host = "bus.example", .port = 80, .path = "/nats?x=1"},
        {.ws = true, .host = "bus.example", .port = 443, .path = "/"},
        {.ws = true, .tls = true, .host = "::1", .port = 443, .path = "/"},
        {.ws = true, .tls = true, .host = "::1", .port = 80, .path = "/"},
    };
    static const char *const begins[] = {
        "GET /nats?x=1 HTTP/1.1\r\nHost: bus.example\r\n",
        "GET / HTTP/1.1\r\nHost: bus.example:443\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]:80\r\n",
    };

    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        answer_t answer = {.before = GOOD "Sec-WebSocket-Accept: ", .after = ""};
        const char *extra = i == 1 ? "X-A: 1\r\nUSER-AGENT: me\r\n" : "X-A: 1\r\n";
        size_t length = 99;
        char early[16];

        ck_assert(upgrade(&answer, &urls[i], extra, early, sizeof(early), &length, 20, pool));
        ck_assert_uint_eq(length, 0);
        ck_assert_msg(strncmp(answer.request, begins[i], strlen(begins[i])) == 0, "%s",
                      answer.request);
        ck_assert_ptr_nonnull(strstr(answer.request, "\r\nUpgrade: websocket\r\n"
                                     "Connection: Upgrade\r\nSec-WebSocket-Key: "));
        ck_assert_ptr_nonnull(strstr(answer.request, "==\r\nSec-WebSocket-Version: 13\r\n"));
        ck_assert_ptr_nonnull(strstr(answer.request, "\r\nX-A: 1\r\n"));
        ck_assert((strstr(answer.request, "User-Agent: stone-age-agent/") != NULL) == (i != 1));
        ck_assert_ptr_null(strstr(answer.request, "Origin"));
        ck_assert_ptr_null(strstr(answer.request, "Extensions"));
    }
}

SA_TEST(what_comes_behind_the_answer_is_kept)
{
    char *after = apr_palloc(pool, 9000);

    for (int i = 0; i < 9000; i++) {
        after[i] = (char)i;
    }
    for (int slowly = 0; slowly < 2; slowly++) {
        answer_t answer = {.before = GOOD "Sec-WebSocket-Accept: ", .after = after,
                           .after_length = 9000, .slowly = slowly == 1};
        size_t length = 0;
        char early[9000];

        ck_assert(upgrade(&answer, &plain_url, "", early, sizeof(early), &length, 20, pool));
        ck_assert_uint_gt(length, 0);
        ck_assert_int_eq(memcmp(early, after, length), 0);
    }
}

SA_TEST(no_more_than_there_is_room_for_is_taken_behind_the_answer)
{
    static char early[200 + 1];
    answer_t answer = {.before = GOOD "Sec-WebSocket-Accept: ", .after = apr_pcalloc(pool, 9000),
                       .after_length = 9000};
    size_t length = 0;

    early[200] = '!';
    ck_assert(upgrade(&answer, &plain_url, "", early, 200, &length, 20, pool));
    ck_assert_uint_le(length, 200);
    ck_assert_int_eq(early[200], '!');
}

static void expect_refused(answer_t answer, double patience, sa_event_t event, const char *reason,
                           apr_pool_t *pool)
{
    char early[1024];
    size_t length;

    ck_assert(!upgrade(&answer, &plain_url, "", early, sizeof(early), &length, patience, pool));
    ck_assert_str_eq(answer.stage->failure.reason, reason);
    ck_assert_str_eq(sa_event_row(answer.stage->failure.event)->id, sa_event_row(event)->id);
}

SA_TEST(an_answer_that_is_none_is_told)
{
    char *endless = apr_pcalloc(pool, 20001);
    double begin = seconds();

    expect_refused((answer_t){.before = NULL}, 0.1, SA_EVENT_link_silent,
                   "connected, but the server does not answer the request for WebSocket", pool);
    ck_assert(seconds() - begin < 1);
    expect_refused((answer_t){.before = NULL, .ends = true}, 20, SA_EVENT_link_lost,
                   "the server closed the connection instead of answering the request for "
                   "WebSocket", pool);
    expect_refused((answer_t){.before = "INFO {", .after = ""}, 20, SA_EVENT_link_protocol,
                   "this is a port for nats:// or tls://, not for WebSocket", pool);
    memset(endless, 'x', 20000);
    memcpy(endless, "HTTP/1.1 101 x\r\nX: ", 19);
    expect_refused((answer_t){.before = endless, .after = ""}, 20, SA_EVENT_link_protocol,
                   "the header of the answer to the request for WebSocket is longer than 16384 "
                   "bytes", pool);
}

SA_TEST(the_body_of_a_refusal_is_waited_for_a_moment)
{
    double begin = seconds();

    expect_refused((answer_t){.before = "HTTP/1.1 404 Not Found\r\nX: ", .after = "no such path",
                              .after_length = 12, .ends = true},
                   20, SA_EVENT_link_ws_refused, "404 Not Found: no such path", pool);
    expect_refused((answer_t){.before = "HTTP/1.1 404 Not Found\r\nX: ", .after = "no such path",
                              .after_length = 12, .slowly = true},
                   20, SA_EVENT_link_ws_refused, "404 Not Found: no such path", pool);
    ck_assert(seconds() - begin < 5);
}

SA_TEST_MAIN("link relay", floods_of_all_sizes_pass_both_ways_with_pings_between,
             floods_pass_over_what_hides_bytes_as_tls_does, without_frames_bytes_pass_as_they_are,
             what_nats_says_goes_in_one_masked_frame,
             pings_are_answered_in_order_and_nothing_comes_between_a_frame,
             a_connection_that_takes_a_little_now_and_then_gets_whole_frames,
             what_tls_holds_is_not_forgotten_while_nats_takes_nothing,
             mask_keys_are_others_each_time, an_idle_relay_rests,
             a_server_that_takes_nothing_holds_nats_back_and_the_relay_rests,
             nats_that_takes_nothing_holds_the_server_back_and_the_relay_rests,
             sending_that_wants_to_read_first_does_not_spin,
             a_server_that_takes_a_little_within_ten_seconds_is_kept,
             a_server_that_takes_nothing_for_ten_seconds_is_given_up,
             a_close_of_the_server_is_told_and_echoed_behind_what_came_before_it,
             a_server_that_just_ends_is_seen_after_its_last_words,
             a_connection_that_breaks_is_told,
             hostile_61_a_broken_rule_ends_the_connection_with_1002,
             the_relay_rests_while_nats_has_not_taken_the_last_words,
             last_words_wait_for_nats_to_take_them, no_data_follows_the_close,
             what_nats_said_last_goes_out_before_the_close,
             a_backlog_goes_out_before_the_close,
             a_server_that_does_not_answer_the_close_is_waited_for_a_second,
             a_stop_ends_also_what_is_stuck, a_stop_ends_it_even_if_the_other_end_is_open,
             without_frames_the_end_is_the_end, many_relays_leave_nothing_behind,
             both_ends_of_the_pair_are_as_nats_wants_them,
             a_first_line_that_came_with_the_answer_is_given_and_passed_on_as_it_was_left,
             a_first_line_of_a_byte_a_frame_is_given_and_its_pings_answered,
             a_line_is_waited_for_without_frames_too, what_comes_instead_of_a_line_is_told,
             a_line_of_the_largest_size_and_a_close_right_behind_it_pass,
             the_request_has_what_it_needs_and_no_more, what_comes_behind_the_answer_is_kept,
             no_more_than_there_is_room_for_is_taken_behind_the_answer,
             an_answer_that_is_none_is_told, the_body_of_a_refusal_is_waited_for_a_moment)
