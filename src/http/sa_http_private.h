/* http: what the files of this room share.
 *
 * A request becomes a transfer (sa_http_request.c), the engine runs it (sa_http.c), and what
 * becomes of it is an error or a page (sa_http_error.c).  sa_http_fetch.c waits for one.
 *
 * sa_http_conn.c makes a connection without a request on it.  Which proxy stands in the way, if
 * any, is sa_http_proxy.c's; what a failure means, sa_http_trouble.c's; certificates are judged
 * in sa_http_tls.c.
 *
 * Secrets.  The header line of a credential, the body of a POST, and every copy that libcurl
 * makes of them or of an answer are overwritten before their memory goes
 * (sa_http_memory.c); the answer to a request with a credential is too.  OpenSSL is told to
 * overwrite what it has decrypted; what it is given to send it encrypts in place.  Out of
 * reach: the buffers of the kernel's sockets, registers, what the system swapped out. */
#ifndef SA_HTTP_PRIVATE_H
#define SA_HTTP_PRIVATE_H

#include <curl/curl.h>

#include "sa_buf.h"
#include "sa_http.h"
#include "sa_http_conn.h"

#define SA_HTTP__HEADER_BYTES (64 * 1024)

typedef struct sa_http__transfer_t sa_http__transfer_t;
struct sa_http__transfer_t {
    sa_http__transfer_t *next;
    sa_http_t *http;
    apr_pool_t *pool;
    CURL *easy;
    struct curl_slist *headers;     /* one may be a secret: wiped before it goes */
    sa_http_done_fn_t done;
    void *baton;
    const char *place;              /* "host:port", for people */
    const char *host;
    const sa_http_proxy_t *proxy;   /* NULL: none in the way */
    struct curl_slist *proxy_headers;
    sa_http_tls_judge_t judge;      /* behind an https:// proxy only */
    const char *ca_file;            /* NULL: the system's */
    char *post;                     /* ours alone, wiped with POOL; NULL: a GET */
    sa_buf_t body;
    size_t header_bytes;
    apr_interval_time_t retry_after;
    apr_time_t date;
    bool too_large;                 /* the body */
    bool headers_too_large;
    bool unknown_coding;
    bool in_head;                   /* its end has not come yet */
    bool asks_proxy;                /* the answer that comes is a proxy's to CONNECT */
    char words[CURL_ERROR_SIZE];    /* libcurl's */
};

/* ---- sa_http.c: what comes in; callbacks of libcurl --------------------- */

size_t sa_http__take_body(char *data, size_t size, size_t count, void *baton);
size_t sa_http__take_header(char *data, size_t size, size_t count, void *baton);

/* ---- sa_http_request.c -------------------------------------------------- */

/* Can it be made at all? */
sa_error_t *sa_http__check_request(const sa_http_request_t *request) SA_MUST_CHECK;
/* Rounded up, for libcurl. */
long sa_http__milliseconds(apr_interval_time_t time);
/* Does it carry what nobody else may have? */
bool sa_http__is_secret(const sa_http_request_t *request);
/* Set up TRANSFER's easy handle and its place. */
sa_error_t *sa_http__prepare(sa_http__transfer_t *transfer,
                             const sa_http_request_t *request) SA_MUST_CHECK;

/* Find "host:port" and HOST in URL, without what stands before an '@', and without the brackets
 * of an address. */
sa_error_t *sa_http__read_place(const char **place, const char **host, const char *url,
                                apr_pool_t *pool) SA_MUST_CHECK;
/* What every connection has in common: the schemes, HTTP/1.1, no signals, no waiting. */
CURLcode sa_http__set_protocol(CURL *easy);
/* Files, least version, what is believed; not the pins. */
CURLcode sa_http__set_tls(CURL *easy, const sa_http_request_t *request);

/* ---- sa_http_proxy.c ---------------------------------------------------- */

/* REQUEST's proxy, copied into POOL without its password, if one is to be used for HOST, else
 * NULL. */
const sa_http_proxy_t *sa_http__proxy_for(const sa_http_request_t *request, const char *host,
                                          apr_pool_t *pool);
bool sa_http__is_excepted(const char *except, const char *host, apr_pool_t *pool);
bool sa_http__is_tls_proxy(const sa_http_proxy_t *proxy);
bool sa_http__is_socks_proxy(const sa_http_proxy_t *proxy);
/* PROXY NULL: none, whatever the environment says. */
CURLcode sa_http__set_proxy(CURL *easy, const sa_http_proxy_t *proxy, const char *password);

/* ---- sa_http_tls.c ------------------------------------------------------ */

/* Before the first thread. */
void sa_http__tls_open(void);
/* Let JUDGE, which lives as long as the handshake, judge for CONTEXT (SSL_CTX *).  false: out
 * of memory, or the host is not a name. */
bool sa_http__tls_apply(void *context, sa_http_tls_judge_t *judge);
/* What sa_http_tls_fault_of_words() finds in WORDS, with OpenSSL's own of them. */
void sa_http__alert_verdict(sa_http_tls_verdict_t *verdict, const char *words);

/* ---- sa_http_trouble.c -------------------------------------------------- */

/* What is known of a connection that did not come about. */
typedef struct sa_http__attempt_t {
    CURL *easy;
    CURLcode code;
    const char *words;              /* libcurl's; "" if none */
    const char *place;
    const char *host;
    const sa_http_proxy_t *proxy;   /* NULL: none in the way */
    bool has_tls;
    const char *ca_file;            /* NULL: the system's */
    bool is_tunnel;                 /* the proxy has opened it */
    bool header_too_large;          /* the proxy's answer */
    const sa_http_tls_judge_t *judge;           /* or NULL */
    const sa_http_tls_judge_t *proxy_judge;     /* or NULL */
} sa_http__attempt_t;

void sa_http__find_trouble(sa_http_conn_report_t *report, const sa_http__attempt_t *attempt);
/* LINE is one of a proxy's answer to CONNECT: is it the last, and is the tunnel open now? */
bool sa_http__opens_tunnel(CURL *easy, const char *line, size_t length);

/* ---- sa_http_error.c ---------------------------------------------------- */

/* CODE, which is not CURLE_OK, as an error of ours: the only mapping. */
sa_error_t *sa_http__map_failure(const sa_http__transfer_t *transfer, CURLcode code);
/* SA_OK for a 2xx. */
sa_error_t *sa_http__map_status(const sa_http__transfer_t *transfer, long status);
/* Is it the server's certificate or key that was not believed? */
bool sa_http__is_untrusted(const sa_http__transfer_t *transfer, CURLcode code);

/* ---- sa_http_memory.c --------------------------------------------------- */

/* curl_global_init() with memory that is wiped. */
CURLcode sa_http__init_library(void);

#endif
