/* http: why a connection did not come about.
 *
 * libcurl's codes do not tell a proxy's failure from the server's, and its words have timings in
 * them; so the reason is found from the code, from how far it came, and from what the verify
 * callback saw, and is said in words of ours. */
#include "sa_http_private.h"

#include <stdarg.h>
#include <string.h>

#include <apr_errno.h>
#include <apr_strings.h>

static void say(sa_http_conn_report_t *report, sa_http_trouble_t trouble, const char *format, ...)
    SA_PRINTF(3, 4);

static void say(sa_http_conn_report_t *report, sa_http_trouble_t trouble, const char *format, ...)
{
    va_list arguments;

    report->trouble = trouble;
    va_start(arguments, format);
    apr_vsnprintf(report->words, sizeof(report->words), format, arguments);
    va_end(arguments);
}

/* "host:port" of it. */
static const char *proxy_place(const sa_http_proxy_t *proxy)
{
    const char *place = strstr(proxy->url, "://");

    return place ? place + 3 : proxy->url;
}

static long connect_status(CURL *easy)
{
    long status = 0;

    curl_easy_getinfo(easy, CURLINFO_HTTP_CONNECTCODE, &status);
    return status;
}

bool sa_http__opens_tunnel(CURL *easy, const char *line, size_t length)
{
    return length > 0 && (line[0] == '\r' || line[0] == '\n') && connect_status(easy) / 100 == 2;
}

/* Does TCP stand, to the server or to the proxy? */
static bool is_connected(CURL *easy)
{
    char *address = NULL;

    return curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &address) == CURLE_OK && address
           && address[0];
}

static bool is_looked_up(CURL *easy)
{
    curl_off_t time = 0;

    return curl_easy_getinfo(easy, CURLINFO_NAMELOOKUP_TIME_T, &time) == CURLE_OK && time > 0;
}

static apr_status_t system_error(CURL *easy)
{
    long error = 0;

    curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &error);
    return error == 0 ? APR_SUCCESS : APR_FROM_OS_ERROR((int)error);
}

/* ---- TLS --------------------------------------------------------------------------- */

static void set_verdict(sa_http_tls_verdict_t *verdict, sa_http_tls_fault_t fault,
                        const char *format, ...) SA_PRINTF(3, 4);

static void set_verdict(sa_http_tls_verdict_t *verdict, sa_http_tls_fault_t fault,
                        const char *format, ...)
{
    va_list arguments;

    verdict->fault = fault;
    va_start(arguments, format);
    apr_vsnprintf(verdict->words, sizeof(verdict->words), format, arguments);
    va_end(arguments);
}

/* What the callback saw comes first; libcurl knows more of files, OpenSSL's words of alerts. */
static void find_verdict(sa_http_tls_verdict_t *verdict, const sa_http__attempt_t *attempt,
                         const sa_http_tls_judge_t *judge, const char *ca_file)
{
    sa_http_tls_fault_t fault = sa_http_tls_fault_of_words(attempt->words);

    if (judge && judge->verdict.fault != SA_HTTP_TLS_NONE) {
        *verdict = judge->verdict;
    } else if (attempt->code == CURLE_SSL_CACERT_BADFILE) {
        set_verdict(verdict, SA_HTTP_TLS_FILES, "the CA file %.200s cannot be used",
                    ca_file ? ca_file : "of the system");
    } else if (attempt->code == CURLE_SSL_CERTPROBLEM) {
        set_verdict(verdict, SA_HTTP_TLS_FILES, "the client certificate or its key cannot be "
                    "used: %.180s", attempt->words);
    } else if (fault != SA_HTTP_TLS_NONE) {
        sa_http__alert_verdict(verdict, attempt->words);
    } else if (attempt->code == CURLE_PEER_FAILED_VERIFICATION
               && (strstr(attempt->words, "subject name")
                   || strstr(attempt->words, "does not match"))) {
        set_verdict(verdict, SA_HTTP_TLS_NAME, "%.240s", attempt->words);
    } else {
        set_verdict(verdict, SA_HTTP_TLS_OTHER, "the TLS handshake failed: %.200s",
                    attempt->words[0] ? attempt->words : curl_easy_strerror(attempt->code));
    }
}

/* Whose TLS was it?  An https:// proxy's comes before the tunnel. */
static bool is_proxy_tls(const sa_http__attempt_t *attempt)
{
    return sa_http__is_tls_proxy(attempt->proxy) && !attempt->is_tunnel;
}

/* Was the handshake cut by who stands between, or by a server that went away?  Nobody has found
 * anything wrong with TLS then. */
static bool is_cut(const sa_http__attempt_t *attempt)
{
    static const char *const words[] = {"SSL_ERROR_SYSCALL", "Recv failure", "Send failure",
                                        "unexpected eof", "Connection reset"};

    if (attempt->judge && attempt->judge->verdict.fault != SA_HTTP_TLS_NONE) {
        return false;
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strstr(attempt->words, words[i])) {
            return true;
        }
    }
    return false;
}

static void find_tls(sa_http_conn_report_t *report, const sa_http__attempt_t *attempt)
{
    if (!is_proxy_tls(attempt) && is_cut(attempt)) {
        say(report, SA_HTTP_TROUBLE_BROKEN, "%.200s broke off in the TLS handshake",
            attempt->place);
    } else if (is_proxy_tls(attempt)) {
        find_verdict(&report->verdict, attempt, attempt->proxy_judge, attempt->proxy->ca_file);
        say(report, SA_HTTP_TROUBLE_PROXY_TLS, "the proxy %.60s: %.180s",
            proxy_place(attempt->proxy), report->verdict.words);
    } else {
        find_verdict(&report->verdict, attempt, attempt->judge, attempt->ca_file);
        say(report, SA_HTTP_TROUBLE_TLS, "%s", report->verdict.words);
    }
}

/* ---- the proxy ----------------------------------------------------------------------- */

static void find_login(sa_http_conn_report_t *report, const sa_http__attempt_t *attempt)
{
    say(report, SA_HTTP_TROUBLE_PROXY_AUTH, attempt->proxy->username
        ? "the proxy %.200s does not take the login" : "the proxy %.200s wants a login",
        proxy_place(attempt->proxy));
}

/* An answer to CONNECT that is not 2xx, or none. */
static void find_connect(sa_http_conn_report_t *report, const sa_http__attempt_t *attempt)
{
    const char *place = proxy_place(attempt->proxy);
    long status = connect_status(attempt->easy);

    if (attempt->header_too_large || strstr(attempt->words, "response too large")) {
        say(report, SA_HTTP_TROUBLE_PROXY_REFUSED, "the proxy %.150s answers without an end",
            place);
    } else if (status == 407 || status == 401) {    /* 401: tinyproxy, of a wrong password */
        find_login(report, attempt);
    } else if (status != 0) {
        say(report, SA_HTTP_TROUBLE_PROXY_REFUSED, "the proxy %.150s answered with status %ld",
            place, status);
    } else if (strstr(attempt->words, "response 0")) {
        say(report, SA_HTTP_TROUBLE_PROXY_REFUSED, "what answers at %.150s is no HTTP proxy",
            place);
    } else {
        say(report, SA_HTTP_TROUBLE_PROXY_DOWN, "the proxy %.150s broke off before it answered",
            place);
    }
}

#if CURL_AT_LEAST_VERSION(7, 73, 0)
/* The rows of RFC 1928's reply, and what else can go wrong with SOCKS. */
static void find_socks(sa_http_conn_report_t *report, const sa_http__attempt_t *attempt)
{
    static const struct {
        long code;
        sa_http_trouble_t trouble;
        const char *words;
    } rows[] = {
        {CURLPX_REPLY_GENERAL_SERVER_FAILURE, SA_HTTP_TROUBLE_PROXY_REFUSED, "failed by itself"},
        {CURLPX_REPLY_NOT_ALLOWED, SA_HTTP_TROUBLE_PROXY_REFUSED, "does not allow it"},
        {CURLPX_REPLY_NETWORK_UNREACHABLE, SA_HTTP_TROUBLE_PROXY_REFUSED,
         "cannot reach the network"},
        {CURLPX_REPLY_HOST_UNREACHABLE, SA_HTTP_TROUBLE_PROXY_REFUSED, "cannot reach the host"},
        {CURLPX_REPLY_CONNECTION_REFUSED, SA_HTTP_TROUBLE_PROXY_REFUSED,
         "found nothing listening there"},
        {CURLPX_REPLY_TTL_EXPIRED, SA_HTTP_TROUBLE_PROXY_REFUSED, "cannot reach the host"},
        {CURLPX_REPLY_COMMAND_NOT_SUPPORTED, SA_HTTP_TROUBLE_PROXY_REFUSED,
         "makes no such connections"},
        {CURLPX_REPLY_ADDRESS_TYPE_NOT_SUPPORTED, SA_HTTP_TROUBLE_PROXY_REFUSED,
         "knows no such addresses"},
        {CURLPX_REPLY_UNASSIGNED, SA_HTTP_TROUBLE_PROXY_REFUSED, "refused"},
        {CURLPX_BAD_VERSION, SA_HTTP_TROUBLE_PROXY_REFUSED, "does not speak SOCKS 5"},
        {CURLPX_UNKNOWN_MODE, SA_HTTP_TROUBLE_PROXY_REFUSED, "does not speak SOCKS 5"},
        {CURLPX_BAD_ADDRESS_TYPE, SA_HTTP_TROUBLE_PROXY_REFUSED, "does not speak SOCKS 5"},
        {CURLPX_LONG_HOSTNAME, SA_HTTP_TROUBLE_OTHER, "cannot be told so long a name"}
    };
    long code = CURLPX_OK;
    const char *place = proxy_place(attempt->proxy);

    curl_easy_getinfo(attempt->easy, CURLINFO_PROXY_ERROR, &code);
    if (code == CURLPX_NO_AUTH || code == CURLPX_USER_REJECTED) {
        find_login(report, attempt);
        return;
    }
    if (code == CURLPX_RESOLVE_HOST) {
        say(report, SA_HTTP_TROUBLE_NAME, "the name %.200s cannot be looked up", attempt->host);
        return;
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].code == code) {
            say(report, rows[i].trouble, "the proxy %.150s %s", place, rows[i].words);
            return;
        }
    }
    say(report, SA_HTTP_TROUBLE_PROXY_DOWN, "the proxy %.150s broke off before it answered",
        place);
}
#endif

/* A SOCKS proxy is a host to libcurl as well; what is behind it comes later. */
static void find_nameless(sa_http_conn_report_t *report, const sa_http__attempt_t *attempt)
{
    if (attempt->proxy && !is_connected(attempt->easy)) {
        say(report, SA_HTTP_TROUBLE_PROXY_NAME, "the name of the proxy %.180s cannot be looked "
            "up", proxy_place(attempt->proxy));
    } else {
        say(report, SA_HTTP_TROUBLE_NAME, "the name %.200s cannot be looked up", attempt->host);
    }
}

/* ---- the way there --------------------------------------------------------------------- */

static void find_unconnected(sa_http_conn_report_t *report, const sa_http__attempt_t *attempt)
{
    apr_status_t status = system_error(attempt->easy);
    char text[100] = "no connection";

    if (status != APR_SUCCESS) {
        apr_strerror(status, text, sizeof(text));
    }
    if (attempt->proxy) {
        say(report, SA_HTTP_TROUBLE_PROXY_DOWN, "the proxy %.120s cannot be reached: %s",
            proxy_place(attempt->proxy), text);
    } else if (APR_STATUS_IS_ECONNREFUSED(status)) {
        say(report, SA_HTTP_TROUBLE_REFUSED, "nothing listens on %.200s", attempt->place);
    } else if (APR_STATUS_IS_ENETUNREACH(status) || APR_STATUS_IS_EHOSTUNREACH(status)) {
        say(report, SA_HTTP_TROUBLE_UNREACHABLE, "no way to %.130s: %s", attempt->place, text);
    } else {
        say(report, SA_HTTP_TROUBLE_OTHER, "no connection to %.130s: %s", attempt->place, text);
    }
}

/* How far had it come? */
static void find_timeout(sa_http_conn_report_t *report, const sa_http__attempt_t *attempt)
{
    const sa_http_proxy_t *proxy = attempt->proxy;

    if (!is_connected(attempt->easy) && !is_looked_up(attempt->easy)) {
        say(report, proxy ? SA_HTTP_TROUBLE_PROXY_NAME : SA_HTTP_TROUBLE_NAME,
            "the name %.180s was not looked up in time",
            proxy ? proxy_place(proxy) : attempt->host);
    } else if (!is_connected(attempt->easy)) {
        say(report, proxy ? SA_HTTP_TROUBLE_PROXY_DOWN : SA_HTTP_TROUBLE_TIMEOUT,
            "no connection to %s%.180s in time", proxy ? "the proxy " : "",
            proxy ? proxy_place(proxy) : attempt->place);
    } else if (proxy && !attempt->is_tunnel) {
        say(report, SA_HTTP_TROUBLE_TIMEOUT, "the proxy %.150s made no connection in time",
            proxy_place(proxy));
    } else {
        say(report, SA_HTTP_TROUBLE_TIMEOUT, "no TLS handshake with %.180s in time",
            attempt->place);
    }
}

/* The connection broke: under the proxy's answer, or within a TLS handshake. */
static void find_broken(sa_http_conn_report_t *report, const sa_http__attempt_t *attempt)
{
    if (attempt->proxy && !sa_http__is_socks_proxy(attempt->proxy)
        && !attempt->is_tunnel) {
        find_connect(report, attempt);
    } else if (attempt->has_tls) {
        find_tls(report, attempt);
    } else {
        say(report, SA_HTTP_TROUBLE_BROKEN, "the connection to %.200s broke", attempt->place);
    }
}

void sa_http__find_trouble(sa_http_conn_report_t *report, const sa_http__attempt_t *attempt)
{
    *report = (sa_http_conn_report_t){.trouble = SA_HTTP_TROUBLE_OTHER};
    switch (attempt->code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        find_nameless(report, attempt);
        break;
    case CURLE_COULDNT_CONNECT:
        find_unconnected(report, attempt);
        break;
    case CURLE_OPERATION_TIMEDOUT:
        find_timeout(report, attempt);
        break;
#if CURL_AT_LEAST_VERSION(7, 73, 0)
    case CURLE_PROXY:
        find_socks(report, attempt);
        break;
#endif
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_CIPHER:
        find_tls(report, attempt);
        break;
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_WRITE_ERROR:         /* the header function's refusal */
        find_broken(report, attempt);
        break;
    default:
        say(report, SA_HTTP_TROUBLE_OTHER, "no connection to %.100s: libcurl %d, %.100s",
            attempt->place, (int)attempt->code, curl_easy_strerror(attempt->code));
    }
}
