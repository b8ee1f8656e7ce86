/* http: what went wrong, for people. */
#include "sa_http_private.h"

#include <string.h>

#include <apr_strings.h>

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
    {CURLE_SSL_PINNEDPUBKEYNOTMATCH, SA_ERR_HTTP,
     "its public key is not the pinned one; check that nobody stands between, then the pin"},
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
static bool is_coding_refused(const sa_http__transfer_t *transfer, CURLcode code)
{
    return transfer->unknown_coding
        || (code == CURLE_BAD_CONTENT_ENCODING && transfer->in_head);
}

static bool is_https(const sa_http__transfer_t *transfer)
{
    char *scheme = NULL;

    return curl_easy_getinfo(transfer->easy, CURLINFO_SCHEME, &scheme) == CURLE_OK && scheme
           && apr_strnatcasecmp(scheme, "https") == 0;
}

/* Did the proxy fail, not what is behind it?  Then REPORT says how. */
static bool is_proxy_failure(sa_http_conn_report_t *report, const sa_http__transfer_t *transfer,
                             CURLcode code)
{
    const sa_http__attempt_t attempt = {
        .easy = transfer->easy, .code = code, .words = transfer->words,
        .place = transfer->place, .host = transfer->host, .proxy = transfer->proxy,
        .has_tls = is_https(transfer), .ca_file = transfer->ca_file,
        .header_too_large = transfer->headers_too_large,
        .is_tunnel = !transfer->asks_proxy
    };

    if (!transfer->proxy) {
        return false;
    }
    sa_http__find_trouble(report, &attempt);
    return (report->trouble >= SA_HTTP_TROUBLE_PROXY_NAME
            && report->trouble <= SA_HTTP_TROUBLE_PROXY_TLS)
           || (report->trouble == SA_HTTP_TROUBLE_TIMEOUT && transfer->asks_proxy);
}

/* In TLS 1.3 that comes when our part of the handshake is done, as an answer that cannot be
 * read; OpenSSL's words alone tell. */
static bool is_ours_refused(const char *words)
{
    return sa_http_tls_fault_of_words(words) == SA_HTTP_TLS_CLIENT_CERT;
}

/* Did it break between our part of the handshake and the first byte of an answer?  Then the
 * server's alert may have been lost on the way. */
static bool is_broken_after_handshake(const sa_http__transfer_t *transfer, CURLcode code)
{
    return (code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR) && transfer->header_bytes == 0
           && is_https(transfer);
}

static bool is_judged_bad(const sa_http__transfer_t *transfer)
{
    return transfer->judge.verdict.fault != SA_HTTP_TLS_NONE;
}

sa_error_t *sa_http__map_failure(const sa_http__transfer_t *transfer, CURLcode code)
{
    const curl_row_t *row = find_row(code);
    const char *text = row->text;
    const char *words = transfer->words[0] ? transfer->words : curl_easy_strerror(code);
    sa_http_conn_report_t report;

    if (is_proxy_failure(&report, transfer, code)) {
        return sa_error(row->ours, NULL, "cannot fetch from %s: %s", transfer->place,
                        report.words);
    }
    if (transfer->too_large || code == CURLE_FILESIZE_EXCEEDED) {
        return sa_error(SA_ERR_LIMIT, NULL, "cannot fetch from %s: the answer is larger than "
                        "%" APR_SIZE_T_FMT " bytes", transfer->place, transfer->body.limit);
    }
    if (transfer->headers_too_large) {
        return sa_error(SA_ERR_LIMIT, NULL, "cannot fetch from %s: its headers are larger than "
                        "%d bytes", transfer->place, SA_HTTP__HEADER_BYTES);
    }
    if (is_coding_refused(transfer, code)) {
        return sa_error(SA_ERR_HTTP, NULL, "cannot fetch from %s: the answer is compressed in a "
                        "way that was not asked for", transfer->place);
    }
    if (is_judged_bad(transfer)) {
        text = "its certificate is not believed";
        words = transfer->judge.verdict.words;
    } else if (code == CURLE_PEER_FAILED_VERIFICATION) {
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

sa_error_t *sa_http__map_status(const sa_http__transfer_t *transfer, long status)
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

bool sa_http__is_untrusted(const sa_http__transfer_t *transfer, CURLcode code)
{
    if (sa_http__is_tls_proxy(transfer->proxy) && transfer->asks_proxy) {
        return false;       /* the proxy's */
    }
    return is_judged_bad(transfer) || code == CURLE_PEER_FAILED_VERIFICATION
           || code == CURLE_SSL_PINNEDPUBKEYNOTMATCH || code == CURLE_SSL_ISSUER_ERROR
           || code == CURLE_SSL_INVALIDCERTSTATUS;
}
