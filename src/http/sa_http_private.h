/* http: what the files of this room share.
 *
 * A request becomes a transfer (sa_http_request.c), the engine runs it (sa_http.c), and what
 * becomes of it is an error or a page (sa_http_error.c).  sa_http_fetch.c waits for one.
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
    char *post;                     /* ours alone, wiped with POOL; NULL: a GET */
    sa_buf_t body;
    size_t header_bytes;
    apr_interval_time_t retry_after;
    bool too_large;                 /* the body */
    bool headers_too_large;
    bool unknown_coding;
    bool in_head;                   /* its end has not come yet */
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

/* ---- sa_http_error.c ---------------------------------------------------- */

/* CODE, which is not CURLE_OK, as an error of ours: the only mapping. */
sa_error_t *sa_http__map_failure(const sa_http__transfer_t *transfer, CURLcode code);
/* SA_OK for a 2xx. */
sa_error_t *sa_http__map_status(const sa_http__transfer_t *transfer, long status);
/* Is it the server's certificate or key that was not believed? */
bool sa_http__is_untrusted(CURLcode code);

/* ---- sa_http_memory.c --------------------------------------------------- */

/* curl_global_init() with memory that is wiped. */
CURLcode sa_http__init_library(void);

#endif
