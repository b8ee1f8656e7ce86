/* WebSocket without a socket: frames, the judgement on an answer, and the first line.  Each rule
 * of RFC 6455 that a server can break is broken once. */
#include "sa_test.h"

#include <stdio.h>

#include <apr_strings.h>

#include "../../src/link/sa_link_frame.h"
#include "../../src/link/sa_link_relay.h"
#include "sa_random.h"

/* ---- making what a server would send ------------------------------------- */

typedef struct wire_t {
    char data[512 * 1024];
    size_t length;
} wire_t;

static void put(wire_t *wire, const void *data, size_t length)
{
    ck_assert_uint_le(wire->length + length, sizeof(wire->data));
    memcpy(wire->data + wire->length, data, length);
    wire->length += length;
}

static void put_byte(wire_t *wire, unsigned int byte)
{
    char c = (char)byte;

    put(wire, &c, 1);
}

static void put_head(wire_t *wire, unsigned int first, size_t length)
{
    int bytes = length < 126 ? 0 : length < 65536 ? 2 : 8;

    put_byte(wire, first);
    put_byte(wire, bytes == 0 ? (unsigned int)length : bytes == 2 ? 126 : 127);
    for (int i = bytes - 1; i >= 0; i--) {
        put_byte(wire, (unsigned int)((uint64_t)length >> (8 * i)) & 0xff);
    }
}

static void put_frame(wire_t *wire, unsigned int first, const void *data, size_t length)
{
    put_head(wire, first, length);
    put(wire, data, length);
}

#define FIN 0x80

/* What came out of it. */
typedef struct got_t {
    sa_link__frames_t frames;
    wire_t payload;
    char pings[4096];           /* each as "[text]" */
    size_t ping_count;
} got_t;

/* Decode WIRE in pieces of at most STEP bytes. */
static void decode(got_t *got, const wire_t *wire, size_t step)
{
    static char piece[sizeof(wire->data)];
    size_t at = 0;

    memset(got, 0, sizeof(*got));
    sa_link__frames_init(&got->frames);
    while (at < wire->length && !got->frames.error && !got->frames.close) {
        size_t length = wire->length - at < step ? wire->length - at : step;
        size_t used;

        memcpy(piece, wire->data + at, length);
        sa_link__frames_take(&got->frames, piece, &length, &used);
        ck_assert_uint_gt(used, 0);
        put(&got->payload, piece, length);
        at += used;
        if (got->frames.ping) {
            got->ping_count++;
            snprintf(got->pings + strlen(got->pings), sizeof(got->pings) - strlen(got->pings),
                     "[%.*s]", (int)got->frames.control_length, got->frames.control);
        }
    }
}

static got_t *new_got(apr_pool_t *pool)
{
    return apr_palloc(pool, sizeof(got_t));
}

static wire_t *new_wire(apr_pool_t *pool)
{
    return apr_pcalloc(pool, sizeof(wire_t));
}

static char *noise(size_t length, apr_pool_t *pool)
{
    char *data = apr_palloc(pool, length + 1);
    sa_random_t random;

    sa_random_init_seed(&random, length);
    for (size_t i = 0; i < length; i++) {
        data[i] = (char)sa_random_below(&random, 256);
    }
    return data;
}

static void expect_payload(const got_t *got, const char *data, size_t length)
{
    ck_assert_ptr_null(got->frames.error);
    ck_assert_uint_eq(got->payload.length, length);
    ck_assert_int_eq(memcmp(got->payload.data, data, length), 0);
}

/* ---- what is allowed ----------------------------------------------------- */

static const size_t borders[] = {0, 1, 7, 8, 9, 124, 125, 126, 127, 128, 65534, 65535, 65536, 65537,
                                 200000};
#define BORDERS (sizeof(borders) / sizeof(borders[0]))

SA_TEST(a_frame_of_each_length_is_decoded_in_pieces_of_each_size)
{
    static const size_t steps[] = {1, 2, 3, 7, 1000, 65536, 512 * 1024};
    wire_t *wire = new_wire(pool);
    got_t *got = new_got(pool);

    for (size_t i = 0; i < BORDERS; i++) {
        char *data = noise(borders[i], pool);

        for (size_t j = 0; j < sizeof(steps) / sizeof(steps[0]); j++) {
            wire->length = 0;
            put_frame(wire, FIN | SA_LINK_FRAME_BINARY, data, borders[i]);
            put_frame(wire, FIN | SA_LINK_FRAME_PING, "end", 3);
            decode(got, wire, steps[j]);
            expect_payload(got, data, borders[i]);
            ck_assert_str_eq(got->pings, "[end]");
        }
    }
}

SA_TEST(fragments_of_every_size_with_control_frames_between_are_one_stream)
{
    wire_t *wire = new_wire(pool);
    got_t *got = new_got(pool);
    const size_t total = 100000;
    char *data = noise(total, pool);
    sa_random_t random;
    size_t pings = 0;

    sa_random_init_seed(&random, 61);
    for (size_t at = 0; at < total;) {
        size_t length = sa_random_below(&random, 400);
        bool last;

        length = length < total - at ? length : total - at;
        last = at + length == total;
        put_frame(wire, (last ? FIN : 0u) | (at == 0 && wire->length == 0 ? SA_LINK_FRAME_BINARY
                                                        : SA_LINK_FRAME_CONTINUATION),
                  data + at, length);
        at += length;
        if (!last && sa_random_below(&random, 4) == 0 && pings < 300) {
            put_frame(wire, FIN | SA_LINK_FRAME_PING, "p", 1);
            put_frame(wire, FIN | SA_LINK_FRAME_PONG, noise(125, pool), 125);
            pings++;
        }
    }
    for (size_t step = 1; step < 200000; step = step * 3 + 1) {
        decode(got, wire, step);
        expect_payload(got, data, total);
        ck_assert_uint_eq(got->ping_count, pings);
        ck_assert(!got->frames.in_message);
    }
}

SA_TEST(a_ping_is_handed_out_before_what_follows_it)
{
    char data[] = "\x82\x02" "ab\x89\x01x\x82\x01" "c\x89\x00\x82\x01" "d";
    size_t size = sizeof(data) - 1;
    sa_link__frames_t frames;
    size_t length = size;
    size_t used;

    (void)pool;
    sa_link__frames_init(&frames);
    sa_link__frames_take(&frames, data, &length, &used);
    ck_assert(frames.ping && length == 2 && used == 7 && frames.control_length == 1);
    ck_assert_int_eq(memcmp(data, "ab", 2), 0);
    length = size - 7;
    sa_link__frames_take(&frames, data + 7, &length, &used);
    ck_assert(frames.ping && length == 1 && data[7] == 'c' && frames.control_length == 0);
    length = size - 7 - used;
    sa_link__frames_take(&frames, data + 7 + used, &length, &used);
    ck_assert(!frames.ping && length == 1);
}

SA_TEST(empty_frames_pass)
{
    wire_t *wire = new_wire(pool);
    got_t *got = new_got(pool);

    put_frame(wire, SA_LINK_FRAME_BINARY, "", 0);
    put_frame(wire, SA_LINK_FRAME_CONTINUATION, "", 0);
    put_frame(wire, FIN | SA_LINK_FRAME_CONTINUATION, "", 0);
    put_frame(wire, FIN | SA_LINK_FRAME_PONG, "", 0);
    put_frame(wire, FIN | SA_LINK_FRAME_BINARY, "x", 1);
    decode(got, wire, 1);
    expect_payload(got, "x", 1);
}

/* ---- a Close ------------------------------------------------------------- */

SA_TEST(a_close_brings_its_code_and_a_reason_that_can_be_shown)
{
    static const struct {
        const char *payload;
        size_t length;
        unsigned int code;
        const char *reason;
    } cases[] = {
        {"", 0, 1005, ""},
        {"\x03\xe8", 2, 1000, ""},
        {"\x03\xf0" "Authentication Failure", 24, 1008, "Authentication Failure"},
        {"\x03\xf4" "soon", 6, 1012, "soon"},
        {"\x0b\xb8" "own", 5, 3000, "own"},
        {"\x13\x87" "own", 5, 4999, "own"},
        {"\x03\xe9" "gr\xc3\xbc\xc3\x9f", 8, 1001, "gr\xc3\xbc\xc3\x9f"},
        {"\x03\xe9" "a\xff\xfe" "b\xc3", 7, 1001, "a??b?"},
        {"\x03\xe9" "a\nb\033[1m\0c", 11, 1001, "a?b?[1m?c"},
        {"\x03\xe9" "\xe2\x80\xae" "x", 6, 1001, "?x"},
    };
    wire_t *wire = new_wire(pool);
    got_t *got = new_got(pool);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t step = 1; step < 40; step += 13) {
            wire->length = 0;
            put_frame(wire, FIN | SA_LINK_FRAME_BINARY, "last", 4);
            put_frame(wire, FIN | SA_LINK_FRAME_CLOSE, cases[i].payload, cases[i].length);
            put_frame(wire, FIN | SA_LINK_FRAME_BINARY, "after", 5);
            decode(got, wire, step);
            expect_payload(got, "last", 4);
            ck_assert(got->frames.close);
            ck_assert_uint_eq(got->frames.close_code, cases[i].code);
            ck_assert_str_eq(got->frames.close_reason, cases[i].reason);
        }
    }
}

SA_TEST(the_longest_reason_fits)
{
    wire_t *wire = new_wire(pool);
    got_t *got = new_got(pool);
    char payload[125];

    memset(payload, 'r', sizeof(payload));
    memcpy(payload, "\x03\xe8", 2);
    put_frame(wire, FIN | SA_LINK_FRAME_CLOSE, payload, sizeof(payload));
    decode(got, wire, 125);
    ck_assert(got->frames.close);
    ck_assert_uint_eq(strlen(got->frames.close_reason), 123);
}

SA_TEST(codes_that_nobody_may_send_are_refused)
{
    static const unsigned int bad[] = {0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999,
                                       5000, 65535};
    wire_t *wire = new_wire(pool);
    got_t *got = new_got(pool);

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char payload[2] = {(char)(bad[i] >> 8), (char)(bad[i] & 0xff)};

        wire->length = 0;
        put_frame(wire, FIN | SA_LINK_FRAME_CLOSE, payload, 2);
        decode(got, wire, 100);
        ck_assert_str_eq(got->frames.error, "a close with a code that nobody may send");
        ck_assert(!got->frames.close);
    }
}

/* ---- what is not allowed ------------------------------------------------- */

SA_TEST(hostile_61_each_rule_of_framing_that_a_server_breaks_is_named)
{
    static const struct {
        const char *bytes;
        size_t length;
        const char *error;
    } cases[] = {
        {"\xc2\x01x", 3, "a reserved bit is set, and no extension was agreed on"},
        {"\xa2\x01x", 3, "a reserved bit is set, and no extension was agreed on"},
        {"\x92\x01x", 3, "a reserved bit is set, and no extension was agreed on"},
        {"\xc9\x01x", 3, "a reserved bit is set, and no extension was agreed on"},
        {"\x82\x81kkkkx", 7, "a masked frame"},
        {"\x89\x80kkkk", 6, "a masked frame"},
        {"\x81\x01x", 3, "a text frame"},
        {"\x01\x01x", 3, "a text frame"},
        {"\x83\x01x", 3, "an opcode that nobody has defined"},
        {"\x87\x01x", 3, "an opcode that nobody has defined"},
        {"\x8b\x01x", 3, "an opcode that nobody has defined"},
        {"\x8f\x01x", 3, "an opcode that nobody has defined"},
        {"\x82\x7e\0\x7dx", 5, "a length of 16 bits where 7 would do"},
        {"\x82\x7e\0\0", 4, "a length of 16 bits where 7 would do"},
        {"\x82\x7f\0\0\0\0\0\0\xff\xff", 10, "a length of 64 bits where 16 would do"},
        {"\x82\x7f\0\0\0\0\0\0\0\x01x", 11, "a length of 64 bits where 16 would do"},
        {"\x82\x7f\x80\0\0\0\0\0\0\0", 10, "a length of more than 63 bits"},
        {"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 10, "a length of more than 63 bits"},
        {"\x09\x01x", 3, "a control frame in fragments"},
        {"\x08\x00", 2, "a control frame in fragments"},
        {"\x0a\x00", 2, "a control frame in fragments"},
        {"\x89\x7e\0\x7e", 4, "a control frame of more than 125 bytes"},
        {"\x88\x7f\0\0\0\0\0\x01\0\0", 10, "a control frame of more than 125 bytes"},
        {"\x8a\x7e\x01\0", 4, "a control frame of more than 125 bytes"},
        {"\x80\x01x", 3, "a continuation without a message before it"},
        {"\x00\x01x", 3, "a continuation without a message before it"},
        {"\x82\x01x\x80\x01x", 6, "a continuation without a message before it"},
        {"\x02\x01x\x82\x01x", 6, "a new message within another one"},
        {"\x02\x01x\x89\x00\x02\x01x", 8, "a new message within another one"},
        {"\x88\x01\x03", 3, "a close with half a code"},
        {"\x88\x02\x03\xed", 4, "a close with a code that nobody may send"},
    };
    wire_t *wire = new_wire(pool);
    got_t *got = new_got(pool);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t step = 1; step < 40; step += 12) {
            wire->length = 0;
            put_frame(wire, FIN | SA_LINK_FRAME_BINARY, "good", 4);
            put(wire, cases[i].bytes, cases[i].length);
            put_frame(wire, FIN | SA_LINK_FRAME_BINARY, "after", 5);
            decode(got, wire, step);
            ck_assert_msg(got->frames.error != NULL, "case %zu: no error", i);
            ck_assert_str_eq(got->frames.error, cases[i].error);
            ck_assert(!got->frames.close && !got->frames.ping);
            /* what was said before the rule was broken counts */
            ck_assert_int_eq(memcmp(got->payload.data, "good", 4), 0);
            ck_assert_ptr_null(memchr(got->payload.data, 'a', got->payload.length));
        }
    }
}

SA_TEST(the_largest_length_that_is_allowed_is_no_error)
{
    wire_t *wire = new_wire(pool);
    got_t *got = new_got(pool);

    put(wire, "\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff" "abc", 13);
    decode(got, wire, 5);
    expect_payload(got, "abc", 3);
    ck_assert(got->frames.left == UINT64_C(0x7ffffffffffffffc));
}

/* ---- our own ------------------------------------------------------------- */

/* Take a masked frame apart the slow way.  Returns its whole size. */
static size_t unmask(char *payload, size_t *length, const char *frame)
{
    const unsigned char *byte = (const unsigned char *)frame;
    size_t head = 2;

    *length = byte[1] & 0x7f;
    if (*length >= 126) {
        int bytes = *length == 126 ? 2 : 8;

        *length = 0;
        for (int i = 0; i < bytes; i++) {
            *length = *length << 8 | byte[2 + i];
        }
        head += (size_t)bytes;
    }
    for (size_t i = 0; i < *length; i++) {
        payload[i] = (char)(byte[head + 4 + i] ^ byte[head + i % 4]);
    }
    return head + 4 + *length;
}

SA_TEST(a_frame_of_ours_is_final_masked_and_of_the_shortest_form)
{
    static const size_t heads[] = {6, 6, 6, 6, 6, 6, 6, 8, 8, 8, 8, 8, 14, 14, 14};
    char *place = apr_palloc(pool, SA_LINK_FRAME_HEAD + 200001);
    char *back = apr_palloc(pool, 200001);
    char *data = place + SA_LINK_FRAME_HEAD;

    for (size_t i = 0; i < BORDERS; i++) {
        char *plain = noise(borders[i], pool);
        uint32_t key = 0xa1b2c3d4u + (uint32_t)i;
        size_t head;
        size_t length;

        memcpy(data, plain, borders[i]);
        data[borders[i]] = '!';
        head = sa_link__frame_seal(data, SA_LINK_FRAME_BINARY, data, borders[i], key);
        ck_assert_uint_eq(head, heads[i]);
        ck_assert_int_eq((unsigned char)data[-(long)head], 0x82);
        ck_assert((unsigned char)data[1 - (long)head] & 0x80);
        ck_assert_int_eq(memcmp(data - 4, &key, 4), 0);
        ck_assert_uint_eq(unmask(back, &length, data - head), head + borders[i]);
        ck_assert_uint_eq(length, borders[i]);
        ck_assert_int_eq(memcmp(back, plain, length), 0);
        ck_assert_int_eq(data[borders[i]], '!');
    }
}

SA_TEST(random_bytes_are_others_each_time)
{
    char a[1024] = "";
    char b[1024] = "";

    (void)pool;
    sa_random_fix(7);
    sa_random_bytes(a, sizeof(a));
    sa_random_bytes(b, sizeof(b));
    sa_random_fix(0);
    for (size_t i = 0; i < sizeof(a); i += 64) {
        ck_assert_int_ne(memcmp(a + i, b + i, 64), 0);
        ck_assert_int_ne(memcmp(a + i, a + (i + 64) % sizeof(a), 64), 0);
    }
}

/* ---- the answer to the upgrade ------------------------------------------- */

#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define LINE_101 "HTTP/1.1 101 Switching Protocols\r\n"
#define UPGRADE "Upgrade: websocket\r\n"
#define CONNECTION "Connection: Upgrade\r\n"
#define ACCEPTS "Sec-WebSocket-Accept: " ACCEPT "\r\n"
#define FAULTY "the server's answer to the request for WebSocket has "

SA_TEST(the_answer_to_a_key_is_that_of_the_rfc)
{
    char accept[SA_LINK_UPGRADE_ACCEPT + 1];

    (void)pool;
    sa_link__upgrade_accept(accept, "dGhlIHNhbXBsZSBub25jZQ==");
    ck_assert_str_eq(accept, ACCEPT);
}

SA_TEST(a_proper_answer_is_taken_however_it_is_spelled)
{
    static const char *const heads[] = {
        LINE_101 UPGRADE CONNECTION ACCEPTS "\r\n",
        "HTTP/1.1 101\r\n" UPGRADE CONNECTION ACCEPTS "\r\n",
        LINE_101 "server: nginx\r\nUPGRADE:WebSocket\r\nconnection:  keep-alive ,\tUPGRADE\t\r\n"
            "sec-websocket-accept:\t" ACCEPT " \r\n\r\n",
        LINE_101 "Upgrade: h2c\r\nUpgrade: foo, websocket\r\nConnection: keep-alive\r\n" CONNECTION
            ACCEPTS "\r\n",
    };
    sa_link__failure_t failure;

    (void)pool;
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        ck_assert_msg(sa_link__upgrade_judge(&failure, heads[i], strlen(heads[i]), "", 0, ACCEPT),
                      "%s: %s", heads[i], failure.reason);
    }
}

typedef struct answer_case_t {
    const char *head;
    const char *body;
    sa_event_t event;
    const char *reason;
} answer_case_t;

static void expect_refusals(const answer_case_t *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sa_link__failure_t failure;
        bool ok = sa_link__upgrade_judge(&failure, cases[i].head, strlen(cases[i].head),
                                         cases[i].body, strlen(cases[i].body), ACCEPT);

        ck_assert_msg(!ok, "case %zu is taken: %s", i, cases[i].head);
        ck_assert_str_eq(failure.reason, cases[i].reason);
        ck_assert_str_eq(sa_event_row(failure.event)->id, sa_event_row(cases[i].event)->id);
    }
}

SA_TEST(a_101_that_is_not_strictly_one_is_refused)
{
    static const answer_case_t cases[] = {
        {LINE_101 CONNECTION ACCEPTS "\r\n", "", SA_EVENT_link_protocol,
         FAULTY "no \"Upgrade: websocket\""},
        {LINE_101 "Upgrade: websockets\r\n" CONNECTION ACCEPTS "\r\n", "", SA_EVENT_link_protocol,
         FAULTY "no \"Upgrade: websocket\""},
        {LINE_101 UPGRADE "Connection: close\r\n" ACCEPTS "\r\n", "", SA_EVENT_link_protocol,
         FAULTY "no \"Connection: Upgrade\""},
        {LINE_101 UPGRADE CONNECTION "\r\n", "", SA_EVENT_link_protocol,
         FAULTY "no Sec-WebSocket-Accept that fits our key"},
        {LINE_101 UPGRADE CONNECTION "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOO=\r\n\r\n",
         "", SA_EVENT_link_protocol, FAULTY "no Sec-WebSocket-Accept that fits our key"},
        {LINE_101 UPGRADE CONNECTION "Sec-WebSocket-Accept: S3PPLMBITXAQ9KYGZZHZRBK+XOO=\r\n\r\n",
         "", SA_EVENT_link_protocol, FAULTY "no Sec-WebSocket-Accept that fits our key"},
        {LINE_101 UPGRADE CONNECTION ACCEPTS ACCEPTS "\r\n", "", SA_EVENT_link_protocol,
         FAULTY "no Sec-WebSocket-Accept that fits our key"},
        {LINE_101 UPGRADE CONNECTION ACCEPTS
         "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", "", SA_EVENT_link_protocol,
         FAULTY "an extension or a protocol that was not offered"},
        {LINE_101 UPGRADE CONNECTION ACCEPTS "Sec-WebSocket-Protocol: nats\r\n\r\n", "",
         SA_EVENT_link_protocol, FAULTY "an extension or a protocol that was not offered"},
        {LINE_101 UPGRADE CONNECTION ACCEPTS "X: a\n folded\r\n\r\n", "", SA_EVENT_link_protocol,
         FAULTY "a line that is no header"},
        {LINE_101 UPGRADE CONNECTION ACCEPTS "X : a\r\n\r\n", "", SA_EVENT_link_protocol,
         FAULTY "a line that is no header"},
        {LINE_101 "Upgrade: websocket\n" CONNECTION ACCEPTS "\r\n", "", SA_EVENT_link_protocol,
         FAULTY "a header that ends in a line feed only"},
        {LINE_101 UPGRADE CONNECTION ACCEPTS "X: a\rb\r\n\r\n", "", SA_EVENT_link_protocol,
         FAULTY "a header with a control character"},
        {"HTTP/1.0 101 Switching Protocols\r\n" UPGRADE CONNECTION ACCEPTS "\r\n", "",
         SA_EVENT_link_protocol, FAULTY "another version of HTTP"},
    };

    (void)pool;
    expect_refusals(cases, sizeof(cases) / sizeof(cases[0]));
}

SA_TEST(a_refusal_is_quoted)
{
    static const answer_case_t cases[] = {
        {"HTTP/1.0 400 Bad Request\r\n\r\n", "Client sent an HTTP request to an HTTPS server.\n",
         SA_EVENT_link_ws_refused,
         "400 Bad Request: Client sent an HTTP request to an HTTPS server."},
        {"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n\r\n",
         "<html>\r\n<head><title>404</title></head>\r\n\r\n<body>\t\tno  \x01\xc3\xbcsuch\n",
         SA_EVENT_link_ws_refused,
         "404 Not Found: <html> <head><title>404</title></head> <body> no such"},
        {"HTTP/1.1 426\r\nTransfer-Encoding: chunked\r\n\r\n", "1f\r\nuse another\r\n0\r\n",
         SA_EVENT_link_ws_refused, "426: use another 0"},
        {"HTTP/1.1 401 Unauthorized\r\n\r\n", "", SA_EVENT_link_ws_refused,
         "401 Unauthorized (what stands before the bus wants a login; see "
         "nats.websocket.headers_file)"},
        {"HTTP/1.1 403 Forbidden\r\n\r\n", "no", SA_EVENT_link_ws_refused,
         "403 Forbidden (what stands before the bus wants a login; see "
         "nats.websocket.headers_file): no"},
        {"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "", SA_EVENT_link_ws_refused,
         "407 Proxy Authentication Required (a proxy wants a login; see nats.proxy)"},
        {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", "{}",
         SA_EVENT_link_ws_refused, "200 OK: {}"},
        {"HTTP/1.1 304 Not Modified\r\n\r\n", "", SA_EVENT_link_ws_refused, "304 Not Modified"},
        {"HTTP/1.1 503 \033[31mNo\x07thing\r\n\r\n", "", SA_EVENT_link_ws_refused,
         "503 [31mNothing"},
    };

    (void)pool;
    expect_refusals(cases, sizeof(cases) / sizeof(cases[0]));
}

SA_TEST(no_more_than_a_beginning_of_the_body_is_quoted)
{
    sa_link__failure_t failure;
    char body[2000];

    (void)pool;
    memset(body, 'b', sizeof(body));
    ck_assert(!sa_link__upgrade_judge(&failure, "HTTP/1.1 500 x\r\n\r\n", 18, body, sizeof(body),
                                      ACCEPT));
    ck_assert_uint_eq(strlen(failure.reason), strlen("500 x: ") + 160);
}

SA_TEST(a_captive_portal_is_recognised_and_its_query_not_told)
{
    static const answer_case_t cases[] = {
        {"HTTP/1.1 302 Found\r\nLocation: https://u:pw@login.hotel.example:8443/p?token=secret\r\n"
         "\r\n", "", SA_EVENT_link_captive_portal,
         "302 Found, which leads to login.hotel.example:8443"},
        {"HTTP/1.1 307 T\r\nlocation: HTTP://[2001:db8::1]?secret\r\n\r\n", "",
         SA_EVENT_link_captive_portal, "307 T, which leads to [2001:db8::1]"},
        {"HTTP/1.1 301 M\r\nLocation: //p.example#secret\r\n\r\n", "",
         SA_EVENT_link_captive_portal, "301 M, which leads to p.example"},
        {"HTTP/1.1 303 S\r\nLocation: /login?secret\r\n\r\n", "", SA_EVENT_link_captive_portal,
         "303 S, which leads to another page"},
        {"HTTP/1.1 308 P\r\n\r\n", "", SA_EVENT_link_captive_portal,
         "308 P, which leads to another page"},
        {"HTTP/1.1 302 Found\r\nLocation: https://evil\033[2J.example/\r\n\r\n", "",
         SA_EVENT_link_captive_portal, "302 Found, which leads to evil"},
        {"HTTP/1.1 511 Network Authentication Required\r\n\r\n", "<a href=x?secret>",
         SA_EVENT_link_captive_portal, "511 Network Authentication Required, with a web page"},
        {"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n", "Welcome",
         SA_EVENT_link_captive_portal, "200 OK, with a web page"},
        {"HTTP/1.1 200 OK\r\n\r\n", "\r\n <!DOCTYPE HTML><title>Welcome",
         SA_EVENT_link_captive_portal, "200 OK, with a web page"},
        {"HTTP/1.1 200 OK\r\n\r\n", "<HTML>", SA_EVENT_link_captive_portal,
         "200 OK, with a web page"},
    };

    (void)pool;
    expect_refusals(cases, sizeof(cases) / sizeof(cases[0]));
}

SA_TEST(what_is_no_http_is_told_as_what_it_is)
{
    static const answer_case_t cases[] = {
        {"INFO {\"server_id\":\"x\"} \r\n\r\n", "", SA_EVENT_link_protocol,
         "this is a port for nats:// or tls://, not for WebSocket"},
        {"SSH-2.0-OpenSSH_9.2\r\n\r\n", "", SA_EVENT_link_protocol,
         "the answer to the request for WebSocket is no HTTP; it begins with "
         "\"SSH-2.0-OpenSSH_9.2\""},
        {"HTTP/2 200\r\n\r\n", "", SA_EVENT_link_protocol,
         "the answer to the request for WebSocket is no HTTP; it begins with \"HTTP/2 200\""},
        {"HTTP/1.1 10x\r\n\r\n", "", SA_EVENT_link_protocol,
         "the answer to the request for WebSocket is no HTTP; it begins with \"HTTP/1.1 10x\""},
        {"HTTP/1.1 1011 x\r\n\r\n", "", SA_EVENT_link_protocol,
         "the answer to the request for WebSocket is no HTTP; it begins with \"HTTP/1.1 1011 x\""},
        {"", "", SA_EVENT_link_protocol,
         "the answer to the request for WebSocket is no HTTP; it begins with \"\""},
    };

    (void)pool;
    expect_refusals(cases, sizeof(cases) / sizeof(cases[0]));
}

/* ---- the first line ------------------------------------------------------ */

SA_TEST(what_nats_is_not_to_see_of_the_first_line_is_hidden_at_the_same_length)
{
    static const struct {
        const char *line;
        const char *hidden;
    } cases[] = {
        {"INFO {\"tls_required\":true,\"tls_available\":true,\"connect_urls\":[\"a:1\"],\"x\":1}",
         "INFO {\"-ls_required\":true,\"-ls_available\":true,\"-onnect_urls\":[\"a:1\"],\"x\":1}"},
        {"INFO {\"tls_verify\":true,\"max_payload\":1}",
         "INFO {\"tls_verify\":true,\"max_payload\":1}"},
        {"INFO {\"tls_required\" : true,\"tls_required\":true}",
         "INFO {\"-ls_required\" : true,\"-ls_required\":true}"},
        /* within a string the quotes are escaped */
        {"INFO {\"server_name\":\"\\\"tls_required\\\":true\"}",
         "INFO {\"server_name\":\"\\\"tls_required\\\":true\"}"},
        {"INFO {\"server_name\":\"\\\\\",\"tls_required\":true}",
         "INFO {\"server_name\":\"\\\\\",\"-ls_required\":true}"},
        {"INFO {\"xtls_required\":true,\"tls_requiredx\":true}",
         "INFO {\"xtls_required\":true,\"tls_requiredx\":true}"},
        {"\"tls_required\"", "\"-ls_required\""},
        {"\"tls_required", "\"tls_required"},
        {"", ""},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *line = apr_pstrdup(pool, cases[i].line);

        sa_link__info_hide(line, strlen(line));
        ck_assert_str_eq(line, cases[i].hidden);
    }
}

SA_TEST_MAIN("link frame", a_frame_of_each_length_is_decoded_in_pieces_of_each_size,
             fragments_of_every_size_with_control_frames_between_are_one_stream,
             a_ping_is_handed_out_before_what_follows_it, empty_frames_pass,
             a_close_brings_its_code_and_a_reason_that_can_be_shown, the_longest_reason_fits,
             codes_that_nobody_may_send_are_refused,
             hostile_61_each_rule_of_framing_that_a_server_breaks_is_named,
             the_largest_length_that_is_allowed_is_no_error,
             a_frame_of_ours_is_final_masked_and_of_the_shortest_form,
             random_bytes_are_others_each_time, the_answer_to_a_key_is_that_of_the_rfc,
             a_proper_answer_is_taken_however_it_is_spelled,
             a_101_that_is_not_strictly_one_is_refused, a_refusal_is_quoted,
             no_more_than_a_beginning_of_the_body_is_quoted,
             a_captive_portal_is_recognised_and_its_query_not_told,
             what_is_no_http_is_told_as_what_it_is,
             what_nats_is_not_to_see_of_the_first_line_is_hidden_at_the_same_length)
