/* http: libcurl wrapped.  Limits, deadlines, TLS, one mapping of errors.
 *
 * No threads of its own: a curl multi handle driven in the caller's.  It knows
 * nothing of what is fetched or why.
 *
 * HTTP/1.1 only: libcurl 7.88.1 can crash in nghttp2, and a page or an answer
 * of an API gains nothing from HTTP/2.  Only gzip and deflate are decoded: a
 * zstd frame may ask for a window of 128 MiB before its first byte of output,
 * where no limit on the body can see it. */
#include "sa_http.h"

#include <string.h>

#include <apr_atomic.h>
#include <apr_cstr.h>
#include <apr_encode.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <curl/curl.h>
#include <openssl/crypto.h>

#include "sa_buf.h"
#include "sa_pool.h"
#include "sa_time.h"

#define CONNECT_TIMEOUT apr_time_from_sec(10)
#define HEADER_LIMIT_BYTES (64 * 1024)
#define CONNECTIONS_KEPT 4L
#define WAIT_MAX apr_time_from_sec(60)

typedef struct transfer_t transfer_t;
struct transfer_t {
    transfer_t *next;
    sa_http_t *http;
    apr_pool_t *pool;
    CURL *easy;
    struct curl_slist *headers;     /* one may be a secret: wiped before it goes */
    sa_http_done_fn_t done;
    void *baton;
    const char *place;              /* "host:port", for people */
    sa_buf_t body;
    size_t header_bytes;
    bool too_large;                 /* the body */
    bool headers_too_large;
    bool unknown_coding;
    bool in_head;                   /* its end has not come yet */
    char words[CURL_ERROR_SIZE];    /* libcurl's */
};

struct sa_http_t {
    apr_pool_t *pool;
    CURLM *multi;
    transfer_t *first;
    int running;
    apr_uint32_t woken;             /* atomic */
};

/* ---- library ----------------------------------------------------------------- */

sa_error_t *sa_http_library_open(void)
{
    CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
    const curl_version_info_data *info;

    if (code != CURLE_OK) {
        return sa_error(SA_ERR_HTTP, NULL, "libcurl cannot start: %s", curl_easy_strerror(code));
    }
    info = curl_version_info(CURLVERSION_NOW);
    if ((info->features & CURL_VERSION_SSL) == 0) {
        curl_global_cleanup();
        return sa_error(SA_ERR_HTTP, NULL, "this libcurl (%s) has no TLS", curl_version());
    }
    return SA_OK;
}

void sa_http_library_close(void)
{
    curl_global_cleanup();
}

const char *sa_http_library_version(void)
{
    return curl_version();
}

/* ---- engine -------------------------------------------------------------------- */

static void drop_headers(transfer_t *transfer)
{
    for (struct curl_slist *line = transfer->headers; line; line = line->next) {
        OPENSSL_cleanse(line->data, strlen(line->data));
    }
    curl_slist_free_all(transfer->headers);
    transfer->headers = NULL;
}

/* Take TRANSFER out of the engine and free it. */
static void drop(transfer_t *transfer)
{
    sa_http_t *http = transfer->http;
    transfer_t **place = &http->first;

    while (*place && *place != transfer) {
        place = &(*place)->next;
    }
    if (*place) {
        *place = transfer->next;
        http->running--;
        curl_multi_remove_handle(http->multi, transfer->easy);
    }
    curl_easy_cleanup(transfer->easy);
    drop_headers(transfer);
    apr_pool_destroy(transfer->pool);
}

static apr_status_t drop_engine(void *baton)
{
    sa_http_t *http = baton;

    while (http->first) {
        drop(http->first);
    }
    curl_multi_cleanup(http->multi);
    return APR_SUCCESS;
}

sa_error_t *sa_http_create(sa_http_t **http, apr_pool_t *pool)
{
    sa_http_t *made = apr_pcalloc(pool, sizeof(*made));

    made->multi = curl_multi_init();
    SA_ASSERT(made->multi != NULL);
    /* Before the pools of the transfers go: they are needed to let go. */
    apr_pool_pre_cleanup_register(pool, made, drop_engine);
    made->pool = pool;
    if (curl_multi_setopt(made->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT) != CURLM_OK) {
        return sa_error(SA_ERR_HTTP, NULL, "libcurl refuses a limit on kept connections");
    }
    *http = made;
    return SA_OK;
}

void sa_http_wake(sa_http_t *http)
{
    apr_atomic_set32(&http->woken, 1);
    curl_multi_wakeup(http->multi);
}

int sa_http_running(const sa_http_t *http)
{
    return http->running;
}

/* ---- what comes in ---------------------------------------------------------------- */

static size_t take_body(char *data, size_t size, size_t count, void *baton)
{
    transfer_t *transfer = baton;

    if (!sa_buf_append(&transfer->body, data, size * count)) {
        transfer->too_large = true;
        return 0;
    }
    return size * count;
}

/* The value of the header LINE if it is NAME ("x:"), its length in *LENGTH. */
static const char *header_value(size_t *length, const char *line, const char *name)
{
    size_t from = strlen(name);

    if (*length < from || apr_cstr_casecmpn(line, name, from) != 0) {
        return NULL;
    }
    while (*length > from && apr_isspace(line[*length - 1])) {
        (*length)--;
    }
    while (from < *length && apr_isspace(line[from])) {
        from++;
    }
    *length -= from;
    return line + from;
}

/* libcurl decodes what the server says, asked for or not. */
static bool is_unknown_coding(const char *line, size_t length)
{
    static const struct {
        const char *header;
        const char *coding;
    } known[] = {
        {"content-encoding:", "gzip"},     {"content-encoding:", "x-gzip"},
        {"content-encoding:", "deflate"},  {"content-encoding:", "identity"},
        {"transfer-encoding:", "chunked"}, {"transfer-encoding:", "identity"}
    };
    bool is_coding = false;

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        size_t value_length = length;
        const char *value = header_value(&value_length, line, known[i].header);

        if (value && value_length == strlen(known[i].coding) &&
            apr_cstr_casecmpn(value, known[i].coding, value_length) == 0) {
            return false;
        }
        is_coding = is_coding || (value && value_length > 0);
    }
    return is_coding;
}

static bool is_status_line(const char *line, size_t length)
{
    return length > 5 && memcmp(line, "HTTP/", 5) == 0;
}

static bool is_blank_line(const char *line, size_t length)
{
    return length > 0 && (line[0] == '\r' || line[0] == '\n');
}

/* Every header line of every answer, "100 Continue" included. */
static size_t take_header(char *data, size_t size, size_t count, void *baton)
{
    transfer_t *transfer = baton;
    size_t length = size * count;

    transfer->header_bytes += length;
    if (transfer->header_bytes > HEADER_LIMIT_BYTES) {
        transfer->headers_too_large = true;
        return 0;
    }
    if (is_unknown_coding(data, length)) {
        transfer->unknown_coding = true;
        return 0;
    }
    if (is_status_line(data, length)) {
        transfer->in_head = true;
    } else if (is_blank_line(data, length)) {
        transfer->in_head = false;
    }
    return length;
}

/* ---- errors -------------------------------------------------------------------------- */

/* Numbers of verify(1), as CURLINFO_SSL_VERIFYRESULT reports them. */
enum {
    VERIFY_UNSPECIFIED = 1,         /* what libcurl leaves when only the name is wrong */
    VERIFY_NO_ISSUER = 2,
    VERIFY_NOT_YET_VALID = 9,
    VERIFY_EXPIRED = 10,
    VERIFY_SELF_SIGNED = 18,
    VERIFY_SELF_SIGNED_IN_CHAIN = 19,
    VERIFY_NO_LOCAL_ISSUER = 20,
    VERIFY_NO_FIRST = 21,
    VERIFY_OTHER_NAME = 62,
    VERIFY_OTHER_ADDRESS = 64
};

static const char *certificate_text(CURL *easy)
{
    long result = 0;

    curl_easy_getinfo(easy, CURLINFO_SSL_VERIFYRESULT, &result);
    switch (result) {
    case 0:
    case VERIFY_UNSPECIFIED:
    case VERIFY_OTHER_NAME:
    case VERIFY_OTHER_ADDRESS:
        return "its certificate is for another name; use a name that the certificate has";
    case VERIFY_NOT_YET_VALID:
        return "its certificate is not valid yet; check the clocks of both machines";
    case VERIFY_EXPIRED:
        return "its certificate has expired; renew it (or check this machine's clock)";
    case VERIFY_NO_ISSUER:
    case VERIFY_SELF_SIGNED:
    case VERIFY_SELF_SIGNED_IN_CHAIN:
    case VERIFY_NO_LOCAL_ISSUER:
    case VERIFY_NO_FIRST:
        return "its certificate is from an unknown authority; name its CA file";
    default:
        return "its certificate is not trusted";
    }
}

typedef struct curl_row_t {
    CURLcode code;
    sa_error_code_t ours;
    const char *text;
} curl_row_t;

static const curl_row_t curl_rows[] = {
    {CURLE_COULDNT_RESOLVE_HOST, SA_ERR_HTTP,
     "the name could not be resolved; check its spelling and the DNS"},
    {CURLE_COULDNT_CONNECT, SA_ERR_HTTP,
     "no connection; check that it runs and listens there, and the firewalls between"},
    {CURLE_OPERATION_TIMEDOUT, SA_ERR_TIMEOUT, "no complete answer in time"},
    {CURLE_FILESIZE_EXCEEDED, SA_ERR_LIMIT, "the answer is larger than allowed"},
    {CURLE_PARTIAL_FILE, SA_ERR_HTTP, "the connection ended before the answer did"},
    {CURLE_GOT_NOTHING, SA_ERR_HTTP, "the connection was closed without an answer"},
    {CURLE_RECV_ERROR, SA_ERR_HTTP, "the connection broke while reading the answer"},
    {CURLE_SEND_ERROR, SA_ERR_HTTP, "the connection broke while sending the request"},
    {CURLE_SSL_CONNECT_ERROR, SA_ERR_HTTP,
     "the TLS handshake failed; check that it speaks TLS 1.2 or later on this port"},
    {CURLE_SSL_CACERT_BADFILE, SA_ERR_HTTP, "the CA file cannot be read"},
    {CURLE_SSL_CERTPROBLEM, SA_ERR_HTTP, "the client certificate or its key cannot be used"},
    {CURLE_WRITE_ERROR, SA_ERR_HTTP, "the answer is damaged"},
    {CURLE_BAD_CONTENT_ENCODING, SA_ERR_HTTP, "the compressed answer is damaged"},
    {CURLE_UNSUPPORTED_PROTOCOL, SA_ERR_HTTP, "the answer is not HTTP"},
    {CURLE_WEIRD_SERVER_REPLY, SA_ERR_HTTP, "the answer is not HTTP"}
};

static const curl_row_t *find_row(CURLcode code)
{
    static const curl_row_t other = {CURLE_OK, SA_ERR_HTTP, "the request failed"};

    for (size_t i = 0; i < sizeof(curl_rows) / sizeof(curl_rows[0]); i++) {
        if (curl_rows[i].code == code) {
            return &curl_rows[i];
        }
    }
    return &other;
}

/* Newer versions of libcurl refuse a coding themselves, before the header line
 * comes here; a coding that is only damaged fails behind the head. */
static bool is_coding_refused(const transfer_t *transfer, CURLcode code)
{
    return transfer->unknown_coding
        || (code == CURLE_BAD_CONTENT_ENCODING && transfer->in_head);
}

/* Did the server end the handshake over our certificate?  In TLS 1.3 that comes when
 * ours is done, as an answer that cannot be read; OpenSSL's words alone tell. */
static bool is_ours_refused(const char *words)
{
    const char *alert = strstr(words, " alert ");

    return alert && (strstr(alert, "certificate") || strstr(alert, "unknown ca"));
}

/* Did it break between our part of the handshake and the first byte of an answer?  Then the
 * server's alert may have been lost on the way. */
static bool is_broken_after_handshake(const transfer_t *transfer, CURLcode code)
{
    char *scheme = NULL;

    return (code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR) && transfer->header_bytes == 0
           && curl_easy_getinfo(transfer->easy, CURLINFO_SCHEME, &scheme) == CURLE_OK && scheme
           && apr_strnatcasecmp(scheme, "https") == 0;
}

/* The one mapping of libcurl's failures. */
static sa_error_t *map_failure(const transfer_t *transfer, CURLcode code)
{
    const curl_row_t *row = find_row(code);
    const char *text = row->text;
    const char *words = transfer->words[0] ? transfer->words : curl_easy_strerror(code);

    if (transfer->too_large || code == CURLE_FILESIZE_EXCEEDED) {
        return sa_error(SA_ERR_LIMIT, NULL, "cannot fetch from %s: the answer is larger than "
                        "%" APR_SIZE_T_FMT " bytes", transfer->place, transfer->body.limit);
    }
    if (transfer->headers_too_large) {
        return sa_error(SA_ERR_LIMIT, NULL, "cannot fetch from %s: its headers are larger than "
                        "%d bytes", transfer->place, HEADER_LIMIT_BYTES);
    }
    if (is_coding_refused(transfer, code)) {
        return sa_error(SA_ERR_HTTP, NULL, "cannot fetch from %s: the answer is compressed in a "
                        "way that was not asked for", transfer->place);
    }
    if (code == CURLE_PEER_FAILED_VERIFICATION) {
        text = certificate_text(transfer->easy);
    } else if (is_ours_refused(words)) {
        text = "it wants a client certificate that it trusts; check ours, and its authorities";
    } else if (is_broken_after_handshake(transfer, code)) {
        text = "the connection broke after the TLS handshake, as it does where a client "
               "certificate is not trusted";
    }
    return sa_error(row->ours, sa_error(SA_ERR_HTTP, NULL, "libcurl %d, %s", (int)code, words),
                    "cannot fetch from %s: %s", transfer->place, text);
}

static sa_error_t *map_status(const transfer_t *transfer, long status)
{
    const char *text = "";

    if (status >= 200 && status < 300) {
        return SA_OK;
    }
    if (status >= 300 && status < 400) {
        text = ": redirects are refused; configure the final URL";
    } else if (status == 401 || status == 403) {
        text = ": check the credentials";
    } else if (status == 404) {
        text = ": check the path of the URL";
    } else if (status == 429) {
        text = ": too many requests";
    }
    return sa_error(SA_ERR_HTTP_STATUS, NULL, "%s answered with status %ld%s", transfer->place,
                    status, text);
}

/* ---- start ----------------------------------------------------------------------------- */

static bool has_line_break(const char *text)
{
    return text && strpbrk(text, "\r\n") != NULL;
}

static sa_error_t *check_request(const sa_http_request_t *request)
{
    const char *const texts[] = {request->accept, request->user_agent, request->username,
                                 request->password, request->bearer};

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

/* Find "host:port" in URL, without what stands before an '@'. */
static sa_error_t *read_place(const char **place, const char *url, apr_pool_t *pool)
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
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
    return err;
}

static void add_header(transfer_t *transfer, const char *line)
{
    struct curl_slist *list = curl_slist_append(transfer->headers, line);

    SA_ASSERT(list != NULL);
    transfer->headers = list;
}

/* Add "NAME SECRET" and leave no copy but the one in the list.  Not by
 * CURLOPT_USERPWD or CURLOPT_XOAUTH2_BEARER: libcurl frees its copies of those
 * as they are. */
static void add_secret_header(transfer_t *transfer, const char *name, const char *secret)
{
    size_t size = strlen(name) + strlen(secret) + 2;
    char *line = apr_palloc(transfer->pool, size);

    apr_snprintf(line, size, "%s %s", name, secret);
    add_header(transfer, line);
    OPENSSL_cleanse(line, size);
}

static void add_basic(transfer_t *transfer, const char *username, const char *password)
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

static void add_headers(transfer_t *transfer, const sa_http_request_t *request)
{
    if (request->accept) {
        add_header(transfer, apr_pstrcat(transfer->pool, "Accept: ", request->accept, NULL));
    }
    if (request->bearer) {
        add_secret_header(transfer, "Authorization: Bearer", request->bearer);
    } else if (request->username) {
        add_basic(transfer, request->username, request->password ? request->password : "");
    }
}

#define SET(option, value)                                                      \
    do {                                                                        \
        if (code == CURLE_OK) {                                                 \
            code = curl_easy_setopt(transfer->easy, (option), (value));         \
        }                                                                       \
    } while (0)

static CURLcode set_protocol(transfer_t *transfer)
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
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 0L);
    SET(CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
    return code;
}

static long milliseconds(apr_interval_time_t time)
{
    return (long)((time + 999) / 1000);
}

static CURLcode set_limits(transfer_t *transfer, const sa_http_request_t *request)
{
    CURLcode code = CURLE_OK;
    apr_interval_time_t connect =
        request->timeout < CONNECT_TIMEOUT ? request->timeout : CONNECT_TIMEOUT;

    SET(CURLOPT_TIMEOUT_MS, milliseconds(request->timeout));
    SET(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(connect));
    SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)request->limit_bytes);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, transfer);
    SET(CURLOPT_HEADERFUNCTION, take_header);
    SET(CURLOPT_HEADERDATA, transfer);
    SET(CURLOPT_ERRORBUFFER, transfer->words);
    SET(CURLOPT_PRIVATE, transfer);
    return code;
}

static CURLcode set_tls(transfer_t *transfer, const sa_http_request_t *request)
{
    CURLcode code = CURLE_OK;

    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
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

static CURLcode set_request(transfer_t *transfer, const sa_http_request_t *request)
{
    CURLcode code = CURLE_OK;

    add_headers(transfer, request);
    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_HTTPHEADER, transfer->headers);
    if (request->user_agent) {
        SET(CURLOPT_USERAGENT, request->user_agent);
    }
    return code;
}

#undef SET

static sa_error_t *prepare(transfer_t *transfer, const sa_http_request_t *request)
{
    CURLcode code = set_protocol(transfer);

    code = code != CURLE_OK ? code : set_limits(transfer, request);
    code = code != CURLE_OK ? code : set_tls(transfer, request);
    code = code != CURLE_OK ? code : set_request(transfer, request);
    if (code != CURLE_OK) {
        return sa_error(SA_ERR_HTTP, NULL, "cannot prepare a request to %s: libcurl %d, %s",
                        transfer->place, (int)code, curl_easy_strerror(code));
    }
    return SA_OK;
}

sa_error_t *sa_http_start(sa_http_t *http, const sa_http_request_t *request,
                          sa_http_done_fn_t done, void *baton)
{
    apr_pool_t *pool;
    transfer_t *transfer;
    sa_error_t *err;

    SA_TRY(check_request(request));
    pool = sa_pool_create(http->pool);
    transfer = apr_pcalloc(pool, sizeof(*transfer));
    transfer->pool = pool;
    transfer->http = http;
    transfer->done = done;
    transfer->baton = baton;
    sa_buf_init(&transfer->body, request->limit_bytes, pool);
    transfer->easy = curl_easy_init();
    SA_ASSERT(transfer->easy != NULL);
    err = read_place(&transfer->place, request->url, pool);
    if (!err) {
        err = prepare(transfer, request);
    }
    if (!err && curl_multi_add_handle(http->multi, transfer->easy) != CURLM_OK) {
        err = sa_error(SA_ERR_HTTP, NULL, "libcurl refuses a request to %s", transfer->place);
    }
    if (err) {
        drop(transfer);     /* its texts are in the error's own pool by now */
        return err;
    }
    transfer->next = http->first;
    http->first = transfer;
    http->running++;
    return SA_OK;
}

/* ---- poll -------------------------------------------------------------------------------- */

static void finish(transfer_t *transfer, CURLcode code)
{
    sa_http_response_t response = {.content_type = "", .data = ""};
    const char *type = NULL;
    curl_off_t duration = 0;
    sa_error_t *err;

    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &response.status);
    curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_TYPE, &type);
    curl_easy_getinfo(transfer->easy, CURLINFO_TOTAL_TIME_T, &duration);
    response.duration = (apr_interval_time_t)duration;
    if (type) {
        response.content_type = type;
    }
    if (transfer->body.data) {
        response.data = transfer->body.data;
        response.length = transfer->body.length;
    }
    err = code == CURLE_OK ? map_status(transfer, response.status) : map_failure(transfer, code);
    transfer->done(transfer->baton, &response, err);
    drop(transfer);
}

/* Call back for what has ended.  How many. */
static int finish_ended(sa_http_t *http)
{
    CURLMsg *message;
    int left;
    int count = 0;

    for (message = curl_multi_info_read(http->multi, &left); message;
         message = curl_multi_info_read(http->multi, &left)) {
        char *transfer = NULL;

        if (message->msg != CURLMSG_DONE) {
            continue;
        }
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
        finish((transfer_t *)(void *)transfer, message->data.result);
        count++;
    }
    return count;
}

void sa_http_poll(sa_http_t *http, apr_interval_time_t deadline)
{
    for (;;) {
        CURLMcode code;
        apr_interval_time_t wait;
        int running;

        code = curl_multi_perform(http->multi, &running);
        SA_ASSERT(code == CURLM_OK);
        if (finish_ended(http) > 0 || apr_atomic_xchg32(&http->woken, 0) != 0) {
            return;
        }
        wait = deadline - sa_time_mono();
        if (wait <= 0) {
            return;
        }
        if (wait > WAIT_MAX) {
            wait = WAIT_MAX;
        }
        code = curl_multi_poll(http->multi, NULL, 0, (int)milliseconds(wait), NULL);
        SA_ASSERT(code == CURLM_OK);
    }
}
