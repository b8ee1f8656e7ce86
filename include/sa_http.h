/* HTTP client on libcurl: many transfers at once in the caller's thread.
 *
 * One engine belongs to one thread, which calls sa_http_poll() in its loop;
 * only sa_http_wake() may come from others.  Every transfer has a deadline and
 * a limit on what it may bring; redirects are refused, not followed; only
 * http:// and https:// are spoken; a proxy is used only when asked. */
#ifndef SA_HTTP_H
#define SA_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include <apr_pools.h>
#include <apr_time.h>

#include "sa_error.h"
#include "sa_http_proxy.h"
#include "sa_http_tls.h"

typedef struct sa_http_t sa_http_t;

typedef struct sa_http_request_t {
    const char *url;
    const char *accept;             /* the Accept header, or NULL */
    const char *user_agent;
    apr_interval_time_t timeout;    /* for all of it */
    size_t limit_bytes;             /* of the body, after decompression */
    const char *ca_file;            /* NULL: the system's */
    const char *cert_file;          /* client certificate, or NULL */
    const char *key_file;
    const char *username;           /* basic auth, or NULL */
    const char *password;
    const char *bearer;             /* "Authorization: Bearer", or NULL */
    const char *token;              /* "Authorization:" with nothing before it, or NULL */
    const char *post;               /* a body of JSON, wiped after use; "": none; NULL: a GET */
    const char *pin_sha256;         /* base64 of the SHA-256 of the server's public key, or NULL */
    sa_http_tls_version_t tls_least;
    const sa_http_proxy_t *proxy;   /* or NULL: none; the environment never counts by itself */
    bool insecure;                  /* do not verify; the caller has warned */
} sa_http_request_t;

typedef struct sa_http_response_t {
    long status;                    /* 0: no answer, see the error */
    apr_interval_time_t retry_after;    /* of a Retry-After header in seconds; 0: none */
    apr_time_t date;                /* of the server's clock, as its Date header says; 0: none */
    bool untrusted;                 /* no answer: the certificate or the pin are not right */
    const char *content_type;       /* "" when not said */
    const char *data;               /* NUL-terminated; valid during the callback */
    size_t length;
    apr_interval_time_t duration;
} sa_http_response_t;

/* Called in the engine's thread, once for each request.  ERR (SA_OK for a
 * 2xx answer) is the callee's to clear; RESPONSE is always there. */
typedef void (*sa_http_done_fn_t)(void *baton, const sa_http_response_t *response,
                                  sa_error_t *err);

/* Once in the process, before the first thread; and at the end. */
sa_error_t *sa_http_library_open(void) SA_MUST_CHECK;
void sa_http_library_close(void);
/* "libcurl/7.88.1 OpenSSL/3.0.19 ..." */
const char *sa_http_library_version(void);

/* Living in POOL; transfers still running when it goes are dropped without a
 * callback. */
sa_error_t *sa_http_create(sa_http_t **http, apr_pool_t *pool) SA_MUST_CHECK;
/* Begin a transfer.  REQUEST is copied.  On an error there is no callback. */
sa_error_t *sa_http_start(sa_http_t *http, const sa_http_request_t *request,
                          sa_http_done_fn_t done, void *baton) SA_MUST_CHECK;
/* Let transfers go on and call back, until DEADLINE (monotonic) at the latest;
 * returns at once after a wake, or when a transfer ended. */
void sa_http_poll(sa_http_t *http, apr_interval_time_t deadline);
/* Make a running or the next sa_http_poll() return.  Any thread. */
void sa_http_wake(sa_http_t *http);
int sa_http_running(const sa_http_t *http);

/* One transfer, waited for: *RESPONSE and its data lie in POOL and are wiped with it.  The
 * error of an answer that is no 2xx comes with a RESPONSE that has its status and data.
 * Looks at *STOP (or NULL) several times a second: SA_ERR_CANCELLED.  Any thread. */
sa_error_t *sa_http_fetch(sa_http_response_t *response, const sa_http_request_t *request,
                          const volatile apr_uint32_t *stop, apr_pool_t *pool) SA_MUST_CHECK;

#endif
