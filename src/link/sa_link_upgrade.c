/* link: from HTTP to WebSocket (RFC 6455, section 4), as a client.
 *
 * Nothing may be sent before the answer is in: a server refuses early data.  No Origin, because
 * no web page is behind this; no extension is offered, so the answer may name none. */
#include "sa_link_relay.h"

#include <string.h>

#include <apr_encode.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <openssl/evp.h>

#include "sa_pool.h"
#include "sa_random.h"
#include "sa_time.h"
#include "sa_version.h"

#define KEY_BYTES 16
/* RFC 6455, section 1.3 */
#define MAGIC "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define SHA1_BYTES 20
/* How soon it is noticed that an attempt is moot. */
#define SLICE apr_time_from_msec(50)
/* How much of a refusal is read, and how long it is waited for. */
#define BODY_BYTES 2048
#define BODY_WAIT apr_time_from_msec(500)
/* How much of it is shown. */
#define BODY_SHOWN 160
#define STATUS_SHOWN 60
#define HOST_SHOWN 80
/* "HTTP/1.1 101 " */
#define STATUS_AT 9
#define STATUS_LINE_LEAST 12

typedef struct text_t {
    const char *data;
    size_t length;
} text_t;

/* ---- waiting ------------------------------------------------------------- */

void sa_link__watch(apr_pollfd_t *watch, const sa_http_conn_t *conn, apr_pool_t *pool)
{
    apr_os_sock_t fd = sa_http_conn_socket(conn);

    memset(watch, 0, sizeof(*watch));
    watch->p = pool;
    watch->desc_type = APR_POLL_SOCKET;
    apr_os_sock_put(&watch->desc.s, &fd, pool);
}

bool sa_link__watch_wait(apr_pollfd_t *watch, apr_int16_t events, sa_link_t *link,
                         apr_interval_time_t deadline)
{
    apr_interval_time_t now = sa_time_mono();
    apr_status_t status = APR_TIMEUP;
    apr_int32_t ready;

    watch->reqevents = events;
    while (status != APR_SUCCESS && now < deadline && !sa_link__is_moot(link)) {
        apr_interval_time_t left = deadline - now;

        status = apr_poll(watch, 1, &ready, left < SLICE ? left + 1000 : SLICE);
        now = sa_time_mono();
    }
    return status == APR_SUCCESS;
}

/* ---- the answer ---------------------------------------------------------- */

/* The next line, without its end; false: there is none. */
static bool next_line(text_t *line, text_t *rest)
{
    const char *end = rest->length > 0 ? memchr(rest->data, '\n', rest->length) : NULL;

    if (!end) {
        return false;
    }
    line->data = rest->data;
    line->length = (size_t)(end - rest->data);
    rest->length -= line->length + 1;
    rest->data = end + 1;
    if (line->length > 0 && line->data[line->length - 1] == '\r') {
        line->length--;
    }
    return true;
}

static void trim(text_t *text)
{
    while (text->length > 0 && (text->data[0] == ' ' || text->data[0] == '\t')) {
        text->data++;
        text->length--;
    }
    while (text->length > 0 && (text->data[text->length - 1] == ' '
                                || text->data[text->length - 1] == '\t')) {
        text->length--;
    }
}

static bool is_word(const text_t *text, const char *lower)
{
    size_t length = strlen(lower);
    size_t same = 0;

    while (same < text->length && same < length && apr_tolower(text->data[same]) == lower[same]) {
        same++;
    }
    return same == length && text->length == length;
}

static bool begins(const text_t *text, const char *lower)
{
    text_t start = {text->data, strlen(lower)};

    return text->length >= start.length && is_word(&start, lower);
}

/* Does the list of LINE hold TOKEN? */
static bool has_token(text_t list, const char *token)
{
    while (list.length > 0) {
        const char *comma = memchr(list.data, ',', list.length);
        text_t item = {list.data, comma ? (size_t)(comma - list.data) : list.length};
        size_t step = comma ? item.length + 1 : item.length;

        list.data += step;
        list.length -= step;
        trim(&item);
        if (is_word(&item, token)) {
            return true;
        }
    }
    return false;
}

/* What of the header counts. */
typedef struct answer_t {
    text_t status;          /* "101 Switching Protocols" */
    int code;
    bool upgrade;
    bool connection;
    int accepts;
    bool accept;
    bool agreed;            /* on an extension or a protocol that was not offered */
    bool html;
    bool chunked;
    text_t location;
    const char *fault;      /* a line that is none */
} answer_t;

static bool is_name(const text_t *name)
{
    for (size_t i = 0; i < name->length; i++) {
        unsigned char c = (unsigned char)name->data[i];

        if (c <= ' ' || c >= 0x7f) {
            return false;
        }
    }
    return name->length > 0;
}

static void read_header(answer_t *answer, const text_t *name, const text_t *value,
                        const char *accept)
{
    if (is_word(name, "upgrade")) {
        answer->upgrade = answer->upgrade || has_token(*value, "websocket");
    } else if (is_word(name, "connection")) {
        answer->connection = answer->connection || has_token(*value, "upgrade");
    } else if (is_word(name, "sec-websocket-accept")) {
        answer->accepts++;
        answer->accept = value->length == strlen(accept)
            && memcmp(value->data, accept, value->length) == 0;
    } else if (is_word(name, "sec-websocket-extensions")
               || is_word(name, "sec-websocket-protocol")) {
        answer->agreed = true;
    } else if (is_word(name, "content-type")) {
        answer->html = begins(value, "text/html") || begins(value, "application/xhtml");
    } else if (is_word(name, "transfer-encoding")) {
        answer->chunked = has_token(*value, "chunked");
    } else if (is_word(name, "location")) {
        answer->location = *value;
    }
}

/* "HTTP/1.1 101 Switching Protocols" */
static bool read_status(answer_t *answer, const text_t *line)
{
    const char *digits = line->data + STATUS_AT;

    if (line->length < STATUS_LINE_LEAST || memcmp(line->data, "HTTP/1.", 7) != 0
        || !apr_isdigit(digits[-2]) || digits[-1] != ' '
        || (line->length > STATUS_LINE_LEAST && digits[3] != ' ')) {
        return false;
    }
    for (int i = 0; i < 3; i++) {
        if (!apr_isdigit(digits[i])) {
            return false;
        }
        answer->code = answer->code * 10 + (digits[i] - '0');
    }
    answer->status.data = digits;
    answer->status.length = line->length - STATUS_AT;
    return answer->code >= 100;
}

/* false: this is no HTTP. */
static bool read_answer(answer_t *answer, text_t head, const char *accept)
{
    text_t line;

    memset(answer, 0, sizeof(*answer));
    if (!next_line(&line, &head) || !read_status(answer, &line)) {
        return false;
    }
    while (next_line(&line, &head) && line.length > 0) {
        const char *colon = memchr(line.data, ':', line.length);
        text_t name = {line.data, colon ? (size_t)(colon - line.data) : 0};
        text_t value = {line.data + name.length + 1, line.length - name.length - 1};

        if (!colon || !is_name(&name)) {
            answer->fault = "a line that is no header";
            continue;
        }
        if (value.data[value.length] != '\r') {
            answer->fault = "a header that ends in a line feed only";
        }
        if (memchr(value.data, '\0', value.length) || memchr(value.data, '\r', value.length)) {
            answer->fault = "a header with a control character";
        }
        trim(&value);
        read_header(answer, &name, &value, accept);
    }
    return true;
}

/* ---- in words ------------------------------------------------------------ */

/* What can be shown of FROM, runs of white space as one blank, at most SIZE - 1 bytes. */
static const char *show(char *words, size_t size, const text_t *from)
{
    size_t length = 0;
    bool blank = false;

    for (size_t i = 0; i < from->length && length + 1 < size; i++) {
        unsigned char c = (unsigned char)from->data[i];

        if (c == ' ' || (c >= '\t' && c <= '\r')) {
            blank = length > 0;
        } else if (c > ' ' && c < 0x7f) {
            if (blank && length + 2 < size) {
                words[length++] = ' ';
            }
            blank = false;
            words[length++] = (char)c;
        }
    }
    words[length] = '\0';
    return words;
}

/* "login.example" of "https://u:p@login.example/x?secret": what stands behind the host may say who
 * we are.  "" if there is none. */
static const char *show_host(char *words, size_t size, const text_t *location)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789.-_:[]";
    size_t at = begins(location, "https:") ? 6 : begins(location, "http:") ? 5 : 0;
    size_t end;
    size_t length = 0;

    words[0] = '\0';
    if (location->length < at + 2 || memcmp(location->data + at, "//", 2) != 0) {
        return words;
    }
    at += 2;
    for (end = at; end < location->length && !strchr("/?#\\", location->data[end]); end++) {
        if (location->data[end] == '@') {
            at = end + 1;
        }
    }
    while (at < end && length + 1 < size && strchr(letters, location->data[at])) {
        words[length++] = location->data[at++];
    }
    words[length] = '\0';
    return words;
}

/* Is a web page what BODY begins with? */
static bool is_page(const answer_t *answer, text_t body)
{
    while (body.length > 0 && apr_isspace(body.data[0])) {
        body.data++;
        body.length--;
    }
    return answer->html || begins(&body, "<!doctype html") || begins(&body, "<html");
}

static bool is_redirect(int code)
{
    return code == 301 || code == 302 || code == 303 || code == 307 || code == 308;
}

static void fail_portal(sa_link__failure_t *failure, const answer_t *answer)
{
    char status[STATUS_SHOWN + 1];
    char host[HOST_SHOWN + 1];

    show(status, sizeof(status), &answer->status);
    show_host(host, sizeof(host), &answer->location);
    if (host[0]) {
        sa_link__fail(failure, SA_EVENT_link_captive_portal, "%s, which leads to %s", status,
                      host);
    } else if (is_redirect(answer->code)) {
        sa_link__fail(failure, SA_EVENT_link_captive_portal, "%s, which leads to another page",
                      status);
    } else {
        sa_link__fail(failure, SA_EVENT_link_captive_portal, "%s, with a web page", status);
    }
}

static const char *hint(int code)
{
    switch (code) {
    case 401:
    case 403:
        return " (what stands before the bus wants a login; see nats.websocket.headers_file)";
    case 407:
        return " (a proxy wants a login; see nats.proxy)";
    default:
        return "";
    }
}

static void fail_refused(sa_link__failure_t *failure, const answer_t *answer, text_t body)
{
    char status[STATUS_SHOWN + 1];
    char words[BODY_SHOWN + 1];
    text_t unused;

    if (answer->chunked) {
        next_line(&unused, &body);      /* the size of the first chunk */
    }
    show(words, sizeof(words), &body);
    sa_link__fail(failure, SA_EVENT_link_ws_refused, "%s%s%s%s",
                  show(status, sizeof(status), &answer->status), hint(answer->code),
                  words[0] ? ": " : "", words);
}

/* Something else than HTTP. */
static void fail_foreign(sa_link__failure_t *failure, text_t text)
{
    char words[41];

    if (begins(&text, "info ")) {
        sa_link__fail(failure, SA_EVENT_link_protocol, "this is a port for nats:// or tls://, "
                      "not for WebSocket");
        return;
    }
    sa_link__fail(failure, SA_EVENT_link_protocol, "the answer to the request for WebSocket is no "
                  "HTTP; it begins with \"%s\"", show(words, sizeof(words), &text));
}

/* What is wrong with a 101, or NULL. */
static const char *check_101(const answer_t *answer)
{
    if (answer->fault) {
        return answer->fault;
    }
    if (!answer->upgrade) {
        return "no \"Upgrade: websocket\"";
    }
    if (!answer->connection) {
        return "no \"Connection: Upgrade\"";
    }
    if (answer->accepts != 1 || !answer->accept) {
        return "no Sec-WebSocket-Accept that fits our key";
    }
    return answer->agreed ? "an extension or a protocol that was not offered" : NULL;
}

bool sa_link__upgrade_judge(sa_link__failure_t *failure, const char *head, size_t head_length,
                            const char *body, size_t body_length, const char *accept)
{
    text_t whole = {head, head_length};
    text_t page = {body, body_length};
    const char *fault;
    answer_t answer;

    if (!read_answer(&answer, whole, accept)) {
        fail_foreign(failure, whole);
        return false;
    }
    if (answer.code == 101) {
        fault = memcmp(head, "HTTP/1.1", 8) == 0 ? check_101(&answer) : "another version of HTTP";
        if (fault) {
            sa_link__fail(failure, SA_EVENT_link_protocol, "the server's answer to the request "
                          "for WebSocket has %s", fault);
        }
        return !fault;
    }
    if (answer.code == 511 || is_redirect(answer.code)
        || (answer.code == 200 && is_page(&answer, page))) {
        fail_portal(failure, &answer);
    } else {
        fail_refused(failure, &answer, page);
    }
    return false;
}

void sa_link__upgrade_accept(char accept[SA_LINK_UPGRADE_ACCEPT + 1], const char *key)
{
    unsigned char digest[SHA1_BYTES];
    char text[128];
    size_t length = (size_t)apr_snprintf(text, sizeof(text), "%s" MAGIC, key);
    int ok = EVP_Digest(text, length, digest, NULL, EVP_sha1(), NULL);

    SA_ASSERT(ok == 1);
    apr_encode_base64_binary(accept, digest, sizeof(digest), APR_ENCODE_NONE, NULL);
}

/* ---- on the wire --------------------------------------------------------- */

/* An exchange under way. */
typedef struct talk_t {
    sa_http_conn_t *conn;
    sa_link_t *link;
    sa_link__failure_t *failure;
    apr_interval_time_t deadline;
    apr_pollfd_t watch;
    char *text;             /* what came: the header and, in one go with its end, more */
    size_t length;
    size_t head;            /* 0: not all of it is there yet */
} talk_t;

/* Does EXTRA say who we are? */
static bool has_agent(const char *extra)
{
    text_t rest = {extra, strlen(extra)};
    text_t line;

    while (next_line(&line, &rest)) {
        if (begins(&line, "user-agent:")) {
            return true;
        }
    }
    return false;
}

static char *make_request(const sa_link_url_t *url, const char *extra, const char *key,
                          apr_pool_t *pool)
{
    bool bracket = strchr(url->host, ':') != NULL;
    bool usual = url->port == (url->tls ? SA_LINK_PORT_WSS : SA_LINK_PORT_WS);

    return apr_pstrcat(pool, "GET ", url->path, " HTTP/1.1\r\nHost: ", bracket ? "[" : "",
                       url->host, bracket ? "]" : "",
                       usual ? "" : apr_psprintf(pool, ":%d", url->port),
                       "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ", key,
                       "\r\nSec-WebSocket-Version: 13\r\n",
                       has_agent(extra) ? "" : apr_pstrcat(pool, "User-Agent: stone-age-agent/",
                                                           sa_version(), "\r\n", NULL),
                       extra, "\r\n", NULL);
}

void sa_link__fail_broken(sa_link__failure_t *failure, const sa_http_conn_t *conn,
                          apr_status_t status, const char *what)
{
    sa_http_tls_verdict_t verdict;
    char words[128];

    sa_http_conn_verdict(conn, &verdict);
    if (verdict.fault != SA_HTTP_TLS_NONE) {
        sa_link__tls_fail(failure, verdict.fault, verdict.words);
    } else {
        sa_link__fail(failure, SA_EVENT_link_lost, "%s: %s", what,
                      apr_strerror(status, words, sizeof(words)));
    }
}

static bool fail_broken(const talk_t *talk, apr_status_t status)
{
    if (APR_STATUS_IS_EOF(status)) {
        sa_link__fail(talk->failure, SA_EVENT_link_lost, "the server closed the connection instead "
                      "of answering the request for WebSocket");
    } else {
        sa_link__fail_broken(talk->failure, talk->conn, status,
                             "the connection broke at the request for WebSocket");
    }
    return false;
}

/* Wait for EVENTS. */
static bool await(talk_t *talk, apr_int16_t events)
{
    if (sa_link__watch_wait(&talk->watch, events, talk->link, talk->deadline)) {
        return true;
    }
    sa_link__fail(talk->failure, SA_EVENT_link_silent, "connected, but the server does not answer "
                  "the request for WebSocket");
    return false;
}

static bool send_request(talk_t *talk, const char *request)
{
    size_t left = strlen(request);

    while (left > 0) {
        size_t sent = left;
        apr_status_t status = sa_http_conn_send(talk->conn, request, &sent);

        if (status == APR_SUCCESS && sent > 0) {
            request += sent;
            left -= sent;
        } else if (status != APR_SUCCESS && !APR_STATUS_IS_EAGAIN(status)) {
            return fail_broken(talk, status);
        } else if (!await(talk, APR_POLLOUT)) {
            return false;
        }
    }
    return true;
}

/* Where the header ends, or 0; the first FROM bytes were looked at before. */
static size_t find_end(const char *text, size_t length, size_t from)
{
    for (size_t i = from > 3 ? from - 3 : 0; i + 4 <= length; i++) {
        if (memcmp(text + i, "\r\n\r\n", 4) == 0) {
            return i + 4;
        }
    }
    return 0;
}

/* Is what came the beginning of something that is no HTTP? */
static bool is_foreign(const char *text, size_t length)
{
    static const char start[] = "HTTP/1.";
    size_t compared = length < sizeof(start) - 1 ? length : sizeof(start) - 1;

    return memcmp(text, start, compared) != 0;
}

/* Receive until the header is whole, at most CHUNK bytes at a time. */
static bool receive_head(talk_t *talk, size_t chunk)
{
    while (talk->head == 0) {
        size_t room = SA_LINK_UPGRADE_HEAD - talk->length;
        size_t got = room < chunk ? room : chunk;
        apr_status_t status;

        if (room == 0) {
            sa_link__fail(talk->failure, SA_EVENT_link_protocol, "the header of the answer to the "
                          "request for WebSocket is longer than %d bytes", SA_LINK_UPGRADE_HEAD);
            return false;
        }
        status = sa_http_conn_receive(talk->conn, talk->text + talk->length, &got);
        if (status == APR_SUCCESS) {
            talk->length += got;
            talk->head = find_end(talk->text, talk->length, talk->length - got);
            if (is_foreign(talk->text, talk->length)) {
                fail_foreign(talk->failure, (text_t){talk->text, talk->length});
                return false;
            }
        } else if (!APR_STATUS_IS_EAGAIN(status)) {
            return fail_broken(talk, status);
        } else if (!await(talk, APR_POLLIN)) {
            return false;
        }
    }
    return true;
}

/* The beginning of the body of a refusal: what is there soon. */
static void receive_body(talk_t *talk)
{
    apr_interval_time_t until = sa_time_mono() + BODY_WAIT;
    size_t end = talk->head + BODY_BYTES;
    apr_status_t status = APR_SUCCESS;

    if (talk->deadline < until) {
        until = talk->deadline;
    }
    while (talk->length < end && (status == APR_SUCCESS || APR_STATUS_IS_EAGAIN(status))) {
        size_t got = end - talk->length;

        status = sa_http_conn_receive(talk->conn, talk->text + talk->length, &got);
        if (status == APR_SUCCESS) {
            talk->length += got;
        } else if (APR_STATUS_IS_EAGAIN(status)
                   && !sa_link__watch_wait(&talk->watch, APR_POLLIN, talk->link, until)) {
            break;
        }
    }
}

bool sa_link__upgrade(sa_http_conn_t *conn, char *early, size_t early_size, size_t *early_length,
                      sa_link__failure_t *failure, sa_link_t *link, const sa_link_url_t *url,
                      const char *extra, apr_interval_time_t deadline, apr_pool_t *pool)
{
    talk_t talk = {.conn = conn, .link = link, .failure = failure, .deadline = deadline};
    unsigned char random[KEY_BYTES];
    char accept[SA_LINK_UPGRADE_ACCEPT + 1];
    const char *key;
    char *request;
    size_t behind;

    sa_random_bytes(random, sizeof(random));
    key = apr_pencode_base64_binary(pool, random, sizeof(random), APR_ENCODE_NONE, NULL);
    sa_link__upgrade_accept(accept, key);
    request = make_request(url, extra, key, pool);
    /* The path and the headers may hold secrets. */
    sa_pool_wipe_later(request, strlen(request), pool);
    talk.text = apr_palloc(pool, SA_LINK_UPGRADE_HEAD + BODY_BYTES);
    sa_link__watch(&talk.watch, conn, pool);
    if (!send_request(&talk, request) || !receive_head(&talk, early_size)) {
        return false;
    }
    if (!begins(&(text_t){talk.text + STATUS_AT, talk.head - STATUS_AT}, "101")) {
        receive_body(&talk);
    }
    behind = talk.length - talk.head;
    if (!sa_link__upgrade_judge(failure, talk.text, talk.head, talk.text + talk.head, behind,
                                accept)) {
        return false;
    }
    memcpy(early, talk.text + talk.head, behind);
    *early_length = behind;
    return true;
}
