/* A connected stream of bytes, made by libcurl: the name looked up (without blocking anybody
 * else), addresses of both families tried the happy-eyeballs way (RFC 8305), a proxy asked
 * (CONNECT, RFC 9110 9.3.6; SOCKS5, RFC 1928), TLS spoken.  What is said on it is the caller's.
 *
 * One thread at a time; which one may change. */
#ifndef SA_HTTP_CONN_H
#define SA_HTTP_CONN_H

#include <stdbool.h>
#include <stddef.h>

#include <apr_network_io.h>
#include <apr_pools.h>
#include <apr_portable.h>
#include <apr_time.h>

#include "sa_error.h"
#include "sa_http.h"
#include "sa_http_tls.h"

typedef struct sa_http_conn_t sa_http_conn_t;

/* Why there is no connection: for those to whom the words of the error are not enough. */
typedef enum sa_http_trouble_t {
    SA_HTTP_TROUBLE_OTHER,
    SA_HTTP_TROUBLE_NAME,           /* cannot be looked up */
    SA_HTTP_TROUBLE_REFUSED,        /* nothing listens there */
    SA_HTTP_TROUBLE_UNREACHABLE,
    SA_HTTP_TROUBLE_TIMEOUT,
    SA_HTTP_TROUBLE_BROKEN,         /* it was cut, within the TLS handshake as well */
    SA_HTTP_TROUBLE_INTERRUPTED,
    SA_HTTP_TROUBLE_PROXY_NAME,     /* the proxy's name cannot be looked up */
    SA_HTTP_TROUBLE_PROXY_DOWN,     /* the proxy cannot be reached, or breaks off */
    SA_HTTP_TROUBLE_PROXY_AUTH,     /* it wants a login, or another one (407; SOCKS method) */
    SA_HTTP_TROUBLE_PROXY_REFUSED,  /* it answered CONNECT with something else than 2xx */
    SA_HTTP_TROUBLE_PROXY_TLS,      /* TLS with an https:// proxy failed */
    SA_HTTP_TROUBLE_TLS             /* see the verdict */
} sa_http_trouble_t;

typedef struct sa_http_conn_report_t {
    sa_http_trouble_t trouble;
    sa_http_tls_verdict_t verdict;  /* for TROUBLE_TLS and PROXY_TLS */
    char words[256];                /* the same words for the same reason; no secret in them */
} sa_http_conn_report_t;

/* Connect to REQUEST->url (http://host:port: bare TCP; https://host:port: TLS, with what
 * REQUEST says of it) through REQUEST->proxy, within REQUEST->timeout.  INTERRUPTED (or NULL) is
 * asked at least twenty times a second.  The connection lives in POOL and is closed with it, at
 * the latest.  false: *REPORT says why.  Names are looked up anew each time. */
bool sa_http_conn_open(sa_http_conn_t **conn, sa_http_conn_report_t *report,
                       const sa_http_request_t *request, bool (*interrupted)(void *baton),
                       void *baton, apr_pool_t *pool);

/* Is what the other end gets what is written to the socket, byte for byte: no TLS of libcurl's
 * between?  (Neither the server's nor an https:// proxy's.) */
bool sa_http_conn_is_bare(const sa_http_conn_t *conn);
/* The socket, to wait on; non-blocking, not inherited by children. */
apr_os_sock_t sa_http_conn_socket(const sa_http_conn_t *conn);
/* Take the socket of a bare connection out: it is the caller's to close then. */
apr_os_sock_t sa_http_conn_take(sa_http_conn_t *conn);

/* *LENGTH: what was asked for, and what was done.  APR_SUCCESS, APR_EAGAIN (nothing done: for a
 * send, call again with the same bytes), APR_EOF, or another status: it is over.  With TLS the
 * socket may be silent while there are bytes: receive until APR_EAGAIN before waiting. */
apr_status_t sa_http_conn_receive(sa_http_conn_t *conn, char *data, size_t *length);
apr_status_t sa_http_conn_send(sa_http_conn_t *conn, const char *data, size_t *length);
/* What TLS says of such an end: with TLS 1.3 a server refuses a client certificate, or the lack of
 * one, after the handshake, so that only the first bytes asked for tell.  SA_HTTP_TLS_OTHER: it
 * broke before the first byte, as it does then where the alert got lost.  SA_HTTP_TLS_NONE:
 * nothing. */
void sa_http_conn_verdict(const sa_http_conn_t *conn, sa_http_tls_verdict_t *verdict);

/* For people: "TLSv1.3", "" without TLS; the address really connected to. */
const char *sa_http_conn_tls_version(const sa_http_conn_t *conn);
const char *sa_http_conn_peer(const sa_http_conn_t *conn);

void sa_http_conn_close(sa_http_conn_t *conn);

#endif
