/* http: a request becomes a transfer. */
#include "sa_http_private.h"

#include <string.h>

#include <apr_encode.h>
#include <apr_strings.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>

#include "sa_pool.h"

#define CONNECT_TIMEOUT apr_time_from_sec(10)

static bool has_line_break(const char *text)
{
    return text && strpbrk(text, "\r\n") != NULL;
}

sa_error_t *sa_http__check_request(const sa_http_request_t *request)
{
    const char *const texts[] = {request->accept, request->user_agent, request->username,
                                 request->password, request->bearer, request->token};

    SA_ASSERT(request->url != NULL);
    SA_ASSERT(request->timeout > 0);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (has_line_break(texts[i])) {
            return sa_error(SA_ERR_CONFIG, NULL, "a line break in a header or credential of a "
                            "request");
        }
    }
    return SA_OK;
}

bool sa_http__is_secret(const sa_http_request_t *request)
{
    return request->token || request->bearer || request->password || request->post;
}

/* HOST without the brackets of an address. */
static const char *bare_host(const char *host, apr_pool_t *pool)
{
    size_t length = strlen(host);

    return host[0] == '[' && length > 2 ? apr_pstrmemdup(pool, host + 1, length - 2)
                                        : apr_pstrdup(pool, host);
}

sa_error_t *sa_http__read_place(const char **place, const char **host_, const char *url,
                                apr_pool_t *pool)
{
    CURLU *parts = curl_url();
    char *scheme = NULL;
    char *host = NULL;
    char *port = NULL;
    sa_error_t *err = SA_OK;

    SA_ASSERT(parts != NULL);
    if (curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK ||
        (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)) {
        /* without the URL: a password may stand in it */
        err = sa_error(SA_ERR_CONFIG, NULL, "the URL of a request is not a valid http:// or "
                       "https:// one");
    } else {
        *place = apr_pstrcat(pool, host, ":", port, NULL);
        *host_ = bare_host(host, pool);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
    return err;
}

static void add_header(sa_http__transfer_t *transfer, const char *line)
{
    struct curl_slist *list = curl_slist_append(transfer->headers, line);

    SA_ASSERT(list != NULL);
    transfer->headers = list;
}

/* Add "NAME SECRET" and leave no copy but the one in the list.  Not by
 * CURLOPT_USERPWD or CURLOPT_XOAUTH2_BEARER: libcurl frees its copies of those
 * as they are. */
static void add_secret_header(sa_http__transfer_t *transfer, const char *name, const char *secret)
{
    size_t size = strlen(name) + strlen(secret) + 2;
    char *line = apr_palloc(transfer->pool, size);

    apr_snprintf(line, size, "%s %s", name, secret);
    add_header(transfer, line);
    OPENSSL_cleanse(line, size);
}

static void add_basic(sa_http__transfer_t *transfer, const char *username, const char *password)
{
    size_t size = strlen(username) + strlen(password) + 2;
    size_t encoded_size = (size + 2) / 3 * 4 + 1;
    char *plain = apr_palloc(transfer->pool, size);
    char *encoded = apr_palloc(transfer->pool, encoded_size);

    apr_snprintf(plain, size, "%s:%s", username, password);
    if (apr_encode_base64(encoded, plain, (apr_ssize_t)size - 1, APR_ENCODE_NONE, NULL) ==
        APR_SUCCESS) {
        add_secret_header(transfer, "Authorization: Basic", encoded);
    }
    OPENSSL_cleanse(plain, size);
    OPENSSL_cleanse(encoded, encoded_size);
}

static void add_headers(sa_http__transfer_t *transfer, const sa_http_request_t *request)
{
    if (request->accept) {
        add_header(transfer, apr_pstrcat(transfer->pool, "Accept: ", request->accept, NULL));
    }
    if (request->token) {
        add_secret_header(transfer, "Authorization:", request->token);
    } else if (request->bearer) {
        add_secret_header(transfer, "Authorization: Bearer", request->bearer);
    } else if (request->username) {
        add_basic(transfer, request->username, request->password ? request->password : "");
    }
}

#define SET(option, value)                                                      \
    do {                                                                        \
        if (code == CURLE_OK) {                                                 \
            code = curl_easy_setopt(easy, (option), (value));                   \
        }                                                                       \
    } while (0)

CURLcode sa_http__set_protocol(CURL *easy)
{
    CURLcode code = CURLE_OK;

#if CURL_AT_LEAST_VERSION(7, 85, 0)
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
#else
    SET(CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
#if CURL_AT_LEAST_VERSION(7, 87, 0)
    SET(CURLOPT_QUICK_EXIT, 1L);    /* do not wait for a resolver that hangs */
#endif
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 0L);
    return code;
}

long sa_http__milliseconds(apr_interval_time_t time)
{
    return (long)((time + 999) / 1000);
}

static CURLcode set_limits(sa_http__transfer_t *transfer, const sa_http_request_t *request)
{
    CURL *easy = transfer->easy;
    CURLcode code = CURLE_OK;
    apr_interval_time_t connect =
        request->timeout < CONNECT_TIMEOUT ? request->timeout : CONNECT_TIMEOUT;

    SET(CURLOPT_TIMEOUT_MS, sa_http__milliseconds(request->timeout));
    SET(CURLOPT_CONNECTTIMEOUT_MS, sa_http__milliseconds(connect));
    SET(CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
    SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)request->limit_bytes);
    SET(CURLOPT_WRITEFUNCTION, sa_http__take_body);
    SET(CURLOPT_WRITEDATA, transfer);
    SET(CURLOPT_HEADERFUNCTION, sa_http__take_header);
    SET(CURLOPT_HEADERDATA, transfer);
    SET(CURLOPT_ERRORBUFFER, transfer->words);
    SET(CURLOPT_PRIVATE, transfer);
    return code;
}

/* A flag that the rest can do without: another library than OpenSSL has no such thing. */
static CURLcode cleanse_plaintext(CURL *easy, void *context, void *nothing)
{
    (void)easy;
    (void)nothing;
    SSL_CTX_set_options(context, SSL_OP_CLEANSE_PLAINTEXT);
    return CURLE_OK;
}

/* TLS within a proxy's TLS: libcurl 7.88 loses what was wrong with the server's certificate, as
 * OpenSSL's queue of errors is emptied when its alert goes out.  So it is judged here. */
static CURLcode judge_behind_proxy(CURL *easy, void *context, void *baton)
{
    sa_http__transfer_t *transfer = baton;

    if (transfer->asks_proxy) {
        return cleanse_plaintext(easy, context, NULL);
    }
    return sa_http__tls_apply(context, &transfer->judge) ? CURLE_OK : CURLE_SSL_CONNECT_ERROR;
}

/* "sha256//A;sha256//B" of "A B". */
static const char *pins(const char *words, apr_pool_t *pool)
{
    const char *second = strchr(words, ' ');

    return second ? apr_pstrcat(pool, "sha256//",
                                apr_pstrmemdup(pool, words, (size_t)(second - words)),
                                ";sha256//", second + 1, NULL)
                  : apr_pstrcat(pool, "sha256//", words, NULL);
}

CURLcode sa_http__set_tls(CURL *easy, const sa_http_request_t *request)
{
    CURLcode code = CURLE_OK;

    SET(CURLOPT_SSLVERSION, (long)(request->tls_least == SA_HTTP_TLS_1_3
                                       ? CURL_SSLVERSION_TLSv1_3 : CURL_SSLVERSION_TLSv1_2));
    SET(CURLOPT_SSL_VERIFYPEER, request->insecure ? 0L : 1L);
    SET(CURLOPT_SSL_VERIFYHOST, request->insecure ? 0L : 2L);
    if (request->ca_file) {
#if CURL_AT_LEAST_VERSION(7, 87, 0)
        SET(CURLOPT_CA_CACHE_TIMEOUT, 0L);  /* 24 hours otherwise: a renewed one counts now */
#endif
        SET(CURLOPT_CAINFO, request->ca_file);
        SET(CURLOPT_CAPATH, NULL);      /* this one, not the system's as well */
    }
    if (request->cert_file) {
        SET(CURLOPT_SSLCERT, request->cert_file);
        SET(CURLOPT_SSLKEY, request->key_file ? request->key_file : request->cert_file);
    }
    return code;
}

/* What only a transfer has. */
static CURLcode set_trust(sa_http__transfer_t *transfer, const sa_http_request_t *request)
{
    CURL *easy = transfer->easy;
    CURLcode code = sa_http__set_tls(easy, request);

    if (request->pin_sha256) {
        SET(CURLOPT_PINNEDPUBLICKEY, pins(request->pin_sha256, transfer->pool));
    }
    if (sa_http__is_secret(request)) {
        curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, cleanse_plaintext);
    }
    if (sa_http__is_tls_proxy(transfer->proxy)) {
        transfer->judge = (sa_http_tls_judge_t){
            .host = transfer->host, .insecure = request->insecure, .least = request->tls_least
        };
        SET(CURLOPT_SSL_CTX_FUNCTION, judge_behind_proxy);
        SET(CURLOPT_SSL_CTX_DATA, transfer);
    }
    return code;
}

/* Our name is for the server. */
static CURLcode set_proxy(sa_http__transfer_t *transfer, const sa_http_request_t *request)
{
    CURL *easy = transfer->easy;
    CURLcode code = sa_http__set_proxy(easy, transfer->proxy,
                                       request->proxy ? request->proxy->password : NULL);

    if (transfer->proxy) {
        transfer->asks_proxy = !sa_http__is_socks_proxy(transfer->proxy);
        transfer->proxy_headers = curl_slist_append(NULL, "User-Agent:");
        SA_ASSERT(transfer->proxy_headers != NULL);
        SET(CURLOPT_PROXYHEADER, transfer->proxy_headers);
        SET(CURLOPT_FRESH_CONNECT, 1L);     /* every answer has a CONNECT's before it */
        SET(CURLOPT_FORBID_REUSE, 1L);
    }
    return code;
}

/* POSTFIELDS, not COPYPOSTFIELDS: one copy, which is ours to wipe. */
static CURLcode set_post(sa_http__transfer_t *transfer, const char *body)
{
    CURL *easy = transfer->easy;
    CURLcode code = CURLE_OK;
    size_t length = strlen(body);

    transfer->post = apr_pstrmemdup(transfer->pool, body, length);
    sa_pool_wipe_later(transfer->post, length, transfer->pool);
    add_header(transfer, length > 0 ? "Content-Type: application/json" : "Content-Type:");
    add_header(transfer, "Expect:");        /* no round of "100 Continue" */
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)length);
    SET(CURLOPT_POSTFIELDS, transfer->post);
    return code;
}

static CURLcode set_request(sa_http__transfer_t *transfer, const sa_http_request_t *request)
{
    CURL *easy = transfer->easy;
    CURLcode code = CURLE_OK;

    add_headers(transfer, request);
    if (request->post) {
        code = set_post(transfer, request->post);
    }
    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_HTTPHEADER, transfer->headers);
    if (request->user_agent) {
        SET(CURLOPT_USERAGENT, request->user_agent);
    }
    return code;
}

#undef SET

sa_error_t *sa_http__prepare(sa_http__transfer_t *transfer, const sa_http_request_t *request)
{
    CURLcode code;

    SA_TRY(sa_http__read_place(&transfer->place, &transfer->host, request->url, transfer->pool));
    transfer->ca_file = apr_pstrdup(transfer->pool, request->ca_file);
    transfer->proxy = sa_http__proxy_for(request, transfer->host, transfer->pool);
    code = sa_http__set_protocol(transfer->easy);
    code = code != CURLE_OK ? code : set_limits(transfer, request);
    code = code != CURLE_OK ? code : set_trust(transfer, request);
    code = code != CURLE_OK ? code : set_proxy(transfer, request);
    code = code != CURLE_OK ? code : set_request(transfer, request);
    if (code != CURLE_OK) {
        return sa_error(SA_ERR_HTTP, NULL, "cannot prepare a request to %s: libcurl %d, %s",
                        transfer->place, (int)code, curl_easy_strerror(code));
    }
    return SA_OK;
}
