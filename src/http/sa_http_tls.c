/* http: one judgement of certificates, for libcurl's TLS and for nats.c's.
 *
 * OpenSSL calls its verify callback for each fault, and at the end for each certificate that has
 * none, the server's own last.  There the rest is looked at: the version that was agreed upon,
 * whether one of the authorities named is in the chain, and the pins. */
#include "sa_http_private.h"

#include <string.h>

#include <apr_strings.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#define PIN_BYTES 32
#define PIN_TEXT 45     /* base64 of them */

static int context_index = -1;

static sa_http_tls_fault_t fault_of(int error)
{
    switch (error) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return SA_HTTP_TLS_NAME;
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return SA_HTTP_TLS_EXPIRED;
    case X509_V_ERR_INVALID_PURPOSE:
        return SA_HTTP_TLS_PURPOSE;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_INVALID_CA:
        return SA_HTTP_TLS_AUTHORITY;
    default:
        return SA_HTTP_TLS_OTHER;
    }
}

/* Keep the first fault; what OpenSSL then tells the server is ERROR.  Returns 0. */
static int refuse(sa_http_tls_judge_t *judge, X509_STORE_CTX *store, int error,
                  sa_http_tls_fault_t fault, const char *words)
{
    X509 *certificate = X509_STORE_CTX_get_current_cert(store);
    char subject[96] = "";

    X509_STORE_CTX_set_error(store, error);
    if (judge->verdict.fault != SA_HTTP_TLS_NONE) {
        return 0;
    }
    if (certificate) {
        X509_NAME_oneline(X509_get_subject_name(certificate), subject, (int)sizeof(subject));
    }
    judge->verdict.fault = fault;
    apr_snprintf(judge->verdict.words, sizeof(judge->verdict.words),
                 "%s (certificate %s, wanted %s)", words, subject, judge->host);
    return 0;
}

/* Is one of the authorities in the chain that was verified?  Whatever stands below it there was
 * signed by it. */
static bool is_ours(const sa_http_tls_judge_t *judge, X509_STORE_CTX *store)
{
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(store);
    STACK_OF(X509) *authorities = judge->authorities;

    for (int i = 0; i < sk_X509_num(chain); i++) {
        for (int j = 0; j < sk_X509_num(authorities); j++) {
            if (X509_cmp(sk_X509_value(chain, i), sk_X509_value(authorities, j)) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Is the key of CERTIFICATE one of PINS? */
static bool is_pinned(const char *pins, const X509 *certificate)
{
    unsigned char *der = NULL;
    unsigned char digest[PIN_BYTES];
    char text[PIN_TEXT];
    int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
    bool is_digest = length > 0
                     && EVP_Digest(der, (size_t)length, digest, NULL, EVP_sha256(), NULL) == 1;

    OPENSSL_free(der);
    if (!is_digest) {
        return false;
    }
    EVP_EncodeBlock((unsigned char *)text, digest, PIN_BYTES);
    for (const char *pin = pins; *pin;) {
        size_t pin_length = strcspn(pin, " ");

        if (pin_length == strlen(text) && memcmp(pin, text, pin_length) == 0) {
            return true;
        }
        pin += pin_length;
        pin += strspn(pin, " ");
    }
    return false;
}

static const SSL *tls_of(X509_STORE_CTX *store)
{
    return X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
}

static bool is_too_old(const sa_http_tls_judge_t *judge, X509_STORE_CTX *store)
{
    const SSL *tls = tls_of(store);

    return tls && SSL_version(tls) < (judge->least == SA_HTTP_TLS_1_3 ? TLS1_3_VERSION
                                                                      : TLS1_2_VERSION);
}

int sa_http_tls_judge(sa_http_tls_judge_t *judge, int ok, void *context)
{
    X509_STORE_CTX *store = context;
    int error = X509_STORE_CTX_get_error(store);

    if (!ok && !judge->insecure) {
        return refuse(judge, store, error, fault_of(error), X509_verify_cert_error_string(error));
    }
    if (X509_STORE_CTX_get_error_depth(store) == 0) {
        if (is_too_old(judge, store)) {
            return refuse(judge, store, X509_V_ERR_APPLICATION_VERIFICATION, SA_HTTP_TLS_VERSION,
                          "the server speaks an older TLS than is allowed");
        }
        if (judge->authorities && !judge->insecure && !is_ours(judge, store)) {
            return refuse(judge, store, X509_V_ERR_CERT_UNTRUSTED, SA_HTTP_TLS_AUTHORITY,
                          X509_verify_cert_error_string(X509_V_ERR_CERT_UNTRUSTED));
        }
        if (judge->pins && !is_pinned(judge->pins, X509_STORE_CTX_get0_cert(store))) {
            return refuse(judge, store, X509_V_ERR_CERT_REJECTED, SA_HTTP_TLS_PIN,
                          "its public key is not the pinned one");
        }
        judge->judged = true;
        judge->version = tls_of(store) ? SSL_get_version(tls_of(store)) : "";
    }
    if (!ok) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
    }
    return 1;
}

/* ---- words ------------------------------------------------------------------------- */

sa_http_tls_fault_t sa_http_tls_fault_of_words(const char *words)
{
    static const struct {
        const char *words;
        sa_http_tls_fault_t fault;
    } rows[] = {
        /* an alert says what the server thinks of ours */
        {"alert bad certificate", SA_HTTP_TLS_CLIENT_CERT},
        {"alert certificate", SA_HTTP_TLS_CLIENT_CERT},     /* required, unknown, expired ... */
        {"alert unsupported certificate", SA_HTTP_TLS_CLIENT_CERT},
        {"alert unknown ca", SA_HTTP_TLS_CLIENT_CERT},
        {"alert access denied", SA_HTTP_TLS_CLIENT_CERT},
        {"alert protocol version", SA_HTTP_TLS_VERSION},
        {"unsupported protocol", SA_HTTP_TLS_VERSION},
        {"wrong version number", SA_HTTP_TLS_NOT_SPOKEN},
        {"packet length too long", SA_HTTP_TLS_NOT_SPOKEN},
        {"record layer failure", SA_HTTP_TLS_NOT_SPOKEN},
        {"http request", SA_HTTP_TLS_NOT_SPOKEN},
        {"unknown protocol", SA_HTTP_TLS_NOT_SPOKEN}
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strstr(words, rows[i].words)) {
            return rows[i].fault;
        }
    }
    return SA_HTTP_TLS_NONE;
}

/* "...: error:0A00045C:SSL routines::tlsv13 alert certificate required, errno 0": neither the
 * version nor the number is of use. */
void sa_http__alert_verdict(sa_http_tls_verdict_t *verdict, const char *words)
{
    const char *begin = strstr(words, "SSL routines:");
    const char *last = begin ? strrchr(begin, ':') : NULL;
    size_t length;

    begin = last ? last + 1 : words;
    length = strcspn(begin, ",");
    verdict->fault = sa_http_tls_fault_of_words(words);
    apr_snprintf(verdict->words, sizeof(verdict->words), "%s%.*s",
                 verdict->fault == SA_HTTP_TLS_NOT_SPOKEN ? "what answers is no TLS: " : "",
                 (int)(length < 200 ? length : 200), begin);
}

/* ---- libcurl's TLS ------------------------------------------------------------------- */

/* Called once, before the first thread. */
void sa_http__tls_open(void)
{
    if (context_index < 0) {
        context_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
        SA_ASSERT(context_index >= 0);
    }
}

static int verify(int ok, X509_STORE_CTX *store)
{
    sa_http_tls_judge_t *judge = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(tls_of(store)),
                                                     context_index);

    return sa_http_tls_judge(judge, ok, store);
}

static bool is_ascii(const char *text)
{
    while (*text && (unsigned char)*text < 0x80) {
        text++;
    }
    return !*text;
}

/* The name is libcurl's to check as well; this way it is judged with the rest, and named in the
 * same words.  One that is not ASCII is another one in the certificate. */
static bool set_name(SSL_CTX *context, const char *host)
{
    X509_VERIFY_PARAM *parameters = SSL_CTX_get0_param(context);
    size_t length = strlen(host);

    if (X509_VERIFY_PARAM_set1_ip_asc(parameters, host) == 1) {
        return true;
    }
    if (!is_ascii(host)) {
        return true;
    }
    if (length > 1 && host[length - 1] == '.') {
        length--;
    }
    return X509_VERIFY_PARAM_set1_host(parameters, host, length) == 1;
}

bool sa_http__tls_apply(void *context, sa_http_tls_judge_t *judge)
{
    SSL_CTX_set_options(context, SSL_OP_CLEANSE_PLAINTEXT);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, verify);
    return SSL_CTX_set_ex_data(context, context_index, judge) == 1
           && (judge->insecure || set_name(context, judge->host));
}
