/* link: the reading of server URLs. */
#include "sa_link_private.h"

#include <stdlib.h>
#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

/* Percent-decode TEXT[0..LENGTH); NULL when it is badly made. */
static const char *decode(const char *text, size_t length, apr_pool_t *pool)
{
    char *out = apr_palloc(pool, length + 1);
    size_t used = 0;

    for (size_t i = 0; i < length; i++) {
        int high;
        int low;

        if (text[i] != '%') {
            out[used++] = text[i];
            continue;
        }
        if (length - i < 3) {
            return NULL;
        }
        high = hex_digit(text[i + 1]);
        low = hex_digit(text[i + 2]);
        if (high < 0 || low < 0 || (high == 0 && low == 0)) {
            return NULL;
        }
        out[used++] = (char)(high * 16 + low);
        i += 2;
    }
    out[used] = '\0';
    return out;
}

static bool read_userinfo(sa_link_url_t *url, const char *text, size_t length, apr_pool_t *pool)
{
    const char *colon = memchr(text, ':', length);

    if (length == 0) {
        return false;
    }
    if (!colon) {
        url->user = decode(text, length, pool);
        return url->user != NULL;
    }
    url->user = decode(text, (size_t)(colon - text), pool);
    url->password = decode(colon + 1, length - (size_t)(colon - text) - 1, pool);
    return url->user && url->password;
}

static bool read_port(sa_link_url_t *url, const char *text)
{
    size_t length = strlen(text);

    if (length == 0 || length > 5 || strspn(text, "0123456789") != length) {
        return false;
    }
    url->port = (int)strtol(text, NULL, 10);    /* at most 99999 */
    return url->port >= 1 && url->port <= 65535;
}

/* "host", "host:port", "[v6]" or "[v6]:port". */
static bool read_address(sa_link_url_t *url, const char *text, int port, apr_pool_t *pool)
{
    const char *end;

    if (text[0] == '[') {
        end = strchr(text, ']');
        if (!end || end == text + 1) {
            return false;
        }
        url->host = apr_pstrmemdup(pool, text + 1, (apr_size_t)(end - text - 1));
        end++;
    } else {
        end = text + strcspn(text, ":");
        if (end == text) {
            return false;
        }
        url->host = apr_pstrmemdup(pool, text, (apr_size_t)(end - text));
    }
    if (strlen(url->host) > 253 || strpbrk(url->host, " \t\r\n\"'\\/%?#@")) {
        return false;
    }
    url->port = port;
    return end[0] == '\0' || (end[0] == ':' && read_port(url, end + 1));
}

static bool has_scheme(const char *text, const char *scheme)
{
    size_t length = strlen(scheme);

    for (size_t i = 0; i < length; i++) {
        if (apr_tolower(text[i]) != scheme[i]) {
            return false;
        }
    }
    return true;
}

static const struct {
    const char *scheme;
    int port;
    bool tls;
    bool ws;
} schemes[] = {
    { "nats://", SA_LINK_PORT, false, false },
    { "tls://", SA_LINK_PORT, true, false },
    { "ws://", SA_LINK_PORT_WS, false, true },
    { "wss://", SA_LINK_PORT_WSS, true, true },
};
#define SCHEME_COUNT (sizeof(schemes) / sizeof(schemes[0]))

/* What stands behind the address: over WebSocket it is the request's target. */
static bool read_target(sa_link_url_t *url, const char *rest, apr_pool_t *pool)
{
    size_t length = strcspn(rest, "#");

    for (size_t i = 0; i < length; i++) {
        if (rest[i] <= ' ' || rest[i] == 0x7f) {    /* no other line, no other word */
            return false;
        }
    }
    url->path = apr_pstrcat(pool, rest[0] == '/' ? "" : "/", apr_pstrmemdup(pool, rest, length),
                            NULL);
    return true;
}

static sa_error_t *read_parts(sa_link_url_t *url, const char *text, apr_pool_t *pool)
{
    size_t length = strcspn(text, "/?#");
    char *address = apr_pstrmemdup(pool, text, length);
    const char *at = strrchr(address, '@');
    int port = url->port;

    if (at && !read_userinfo(url, address, (size_t)(at - address), pool)) {
        return sa_error(SA_ERR_PARSE, NULL, "user and password of the URL cannot be read");
    }
    if (!read_address(url, at ? at + 1 : address, port, pool)) {
        return sa_error(SA_ERR_PARSE, NULL, "host or port of the URL cannot be read");
    }
    if (url->ws && !read_target(url, text + length, pool)) {
        return sa_error(SA_ERR_PARSE, NULL, "the path of the URL cannot be read");
    }
    return SA_OK;
}

sa_error_t *sa_link_url_read(sa_link_url_t *url, const char *text, apr_pool_t *pool)
{
    size_t i = 0;

    memset(url, 0, sizeof(*url));
    while (i < SCHEME_COUNT && !has_scheme(text, schemes[i].scheme)) {
        i++;
    }
    if (i == SCHEME_COUNT) {
        return sa_error(SA_ERR_PARSE, NULL, "not a nats://, tls://, ws:// or wss:// URL");
    }
    url->tls = schemes[i].tls;
    url->ws = schemes[i].ws;
    url->port = schemes[i].port;
    SA_TRY(read_parts(url, text + strlen(schemes[i].scheme), pool));
    url->address = apr_psprintf(pool, strchr(url->host, ':') ? "[%s]:%d" : "%s:%d", url->host,
                                url->port);
    url->text = apr_pstrcat(pool, schemes[i].scheme, url->address, NULL);
    if (url->ws && url->path[1] && url->path[1] != '?') {
        url->text = apr_pstrcat(pool, url->text,
                                apr_pstrmemdup(pool, url->path, strcspn(url->path, "?")), NULL);
    }
    return SA_OK;
}
