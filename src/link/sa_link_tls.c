/* TLS as nats.c lets us have it, and what it does not do by itself.
 *
 * nats.c always trusts the system's authorities and adds a CA file's to them.
 * A CA file is to be trusted instead, so the verify callback also wants one of
 * its certificates in the chain that OpenSSL verified: whatever stands below
 * it there was signed by it.  The callback gets no closure; the handshake runs
 * in the thread that calls natsConnection_Connect(), which finds its own
 * verdict by a thread key. */
#include "sa_link_private.h"

#include <string.h>

#include <apr_strings.h>
#include <apr_thread_proc.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "sa_os_file.h"

#define PEM_LIMIT (1024 * 1024)

typedef struct verdict_t {
    STACK_OF(X509) *authorities;    /* NULL: the system's */
    const char *host;
    bool found;
    sa_link__failure_t failure;
} verdict_t;

static apr_threadkey_t *verdict_key;

sa_error_t *sa_link__tls_open(apr_pool_t *pool)
{
    if (!verdict_key) {
        SA_TRY_APR(apr_threadkey_private_create(&verdict_key, NULL, pool),
                   "cannot make a thread key for TLS");
    }
    return SA_OK;
}

static verdict_t *current_verdict(void)
{
    void *value = NULL;

    if (verdict_key) {
        apr_threadkey_private_get(&value, verdict_key);
    }
    return value;
}

static sa_event_t event_of(int error)
{
    switch (error) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return SA_EVENT_link_tls_name;
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return SA_EVENT_link_tls_expired;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        return SA_EVENT_link_tls_authority;
    default:
        return SA_EVENT_link_tls_failed;
    }
}

static int refuse(verdict_t *verdict, X509_STORE_CTX *context, int error)
{
    X509 *certificate = X509_STORE_CTX_get_current_cert(context);
    char subject[96] = "";

    if (certificate) {
        X509_NAME_oneline(X509_get_subject_name(certificate), subject, (int)sizeof(subject));
    }
    if (verdict && !verdict->found) {
        verdict->found = true;
        sa_link__fail(&verdict->failure, event_of(error), "%s (certificate %s, wanted %s)",
                      X509_verify_cert_error_string(error), subject, verdict->host);
    }
    return 0;
}

/* Is one of the CA file's certificates in the chain that was verified? */
static bool is_ours(const verdict_t *verdict, X509_STORE_CTX *context)
{
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(context);

    for (int i = 0; i < sk_X509_num(chain); i++) {
        for (int j = 0; j < sk_X509_num(verdict->authorities); j++) {
            if (X509_cmp(sk_X509_value(chain, i), sk_X509_value(verdict->authorities, j)) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Called for each certificate, the server's own (depth 0) last. */
static int verify(int ok, void *context_)
{
    X509_STORE_CTX *context = context_;
    verdict_t *verdict = current_verdict();

    if (!ok || !verdict) {
        return refuse(verdict, context, X509_STORE_CTX_get_error(context));
    }
    if (verdict->authorities && X509_STORE_CTX_get_error_depth(context) == 0
        && !is_ours(verdict, context)) {
        X509_STORE_CTX_set_error(context, X509_V_ERR_CERT_UNTRUSTED);
        return refuse(verdict, context, X509_V_ERR_CERT_UNTRUSTED);
    }
    return 1;
}

static void free_certificate(X509 *certificate)
{
    X509_free(certificate);
}

static apr_status_t drop_authorities(void *authorities)
{
    sk_X509_pop_free(authorities, free_certificate);
    return APR_SUCCESS;
}

static bool read_authorities(verdict_t *verdict, sa_link__failure_t *failure, const char *path,
                             apr_pool_t *pool)
{
    char words[SA_LINK_REASON];
    const char *text;
    size_t length;
    X509 *certificate;
    BIO *bio;
    sa_error_t *err = sa_os_file_read(&text, &length, path, PEM_LIMIT, pool);

    if (err) {
        sa_link__fail(failure, SA_EVENT_link_tls_files, "%s: %s", path,
                      sa_error_text(err, words, sizeof(words)));
        sa_error_clear(err);
        return false;
    }
    verdict->authorities = sk_X509_new_null();
    apr_pool_cleanup_register(pool, verdict->authorities, drop_authorities,
                              apr_pool_cleanup_null);
    bio = BIO_new_mem_buf(text, (int)length);
    certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    while (certificate) {
        sk_X509_push(verdict->authorities, certificate);
        certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    }
    BIO_free(bio);
    ERR_clear_error();
    if (sk_X509_num(verdict->authorities) == 0) {
        sa_link__fail(failure, SA_EVENT_link_tls_files, "%s: no certificate in it", path);
        return false;
    }
    return true;
}

static bool fail_apply(sa_link__failure_t *failure, const char *path)
{
    sa_link__fail(failure, SA_EVENT_link_tls_files, "%s: %s", path, sa_link__last_words());
    ERR_clear_error();
    return false;
}

/* The key must be private; nats.c then reads it by name. */
static bool apply_certificate(natsOptions *options, sa_link__failure_t *failure,
                              const sa_link__settings_t *settings, apr_pool_t *pool)
{
    char words[SA_LINK_REASON];
    const char *text;
    size_t length;
    sa_error_t *err = sa_os_file_read_secret(&text, &length, settings->key_file, PEM_LIMIT, pool);

    if (err) {
        sa_link__fail(failure, sa_error_has(err, SA_ERR_FILE_UNSAFE)
                      ? SA_EVENT_link_secret_unsafe : SA_EVENT_link_tls_files, "%s: %s",
                      settings->key_file, sa_error_text(err, words, sizeof(words)));
        sa_error_clear(err);
        return false;
    }
    OPENSSL_cleanse((char *)text, length);
    if (natsOptions_LoadCertificatesChain(options, settings->cert_file, settings->key_file)
        != NATS_OK) {
        return fail_apply(failure, settings->cert_file);
    }
    return true;
}

/* No system authorities are wanted when everything is believed, but nats.c
 * loads them all the same. */
static bool apply_trust(natsOptions *options, sa_link__failure_t *failure,
                        const sa_link__settings_t *settings, const char *host, apr_pool_t *pool)
{
    verdict_t *verdict = apr_pcalloc(pool, sizeof(*verdict));

    verdict->host = apr_pstrdup(pool, host);
    apr_threadkey_private_set(verdict, verdict_key);
    if (settings->tls_insecure) {
        return natsOptions_SkipServerVerification(options, true) == NATS_OK
            || fail_apply(failure, "nats.tls");
    }
    if (settings->ca_file[0]) {
        if (!read_authorities(verdict, failure, settings->ca_file, pool)) {
            return false;
        }
        if (natsOptions_LoadCATrustedCertificates(options, settings->ca_file) != NATS_OK) {
            return fail_apply(failure, settings->ca_file);
        }
    }
    if (natsOptions_SetExpectedHostname(options, host) != NATS_OK
        || natsOptions_SetSSLVerificationCallback(options, verify) != NATS_OK) {
        return fail_apply(failure, "nats.tls");
    }
    return true;
}

bool sa_link__tls_apply(natsOptions *options, sa_link__failure_t *failure,
                        const sa_link__settings_t *settings, const char *host, apr_pool_t *pool)
{
    if (natsOptions_SetSecure(options, true) != NATS_OK) {
        return fail_apply(failure, "nats.tls");
    }
    if (!apply_trust(options, failure, settings, host, pool)) {
        return false;
    }
    return !settings->cert_file[0] || apply_certificate(options, failure, settings, pool);
}

bool sa_link__tls_verdict(sa_link__failure_t *failure)
{
    verdict_t *verdict = current_verdict();

    if (!verdict || !verdict->found) {
        return false;
    }
    *failure = verdict->failure;
    return true;
}

void sa_link__tls_forget(void)
{
    if (verdict_key) {
        apr_threadkey_private_set(NULL, verdict_key);
    }
}

void sa_link__tls_close(void)
{
    if (verdict_key) {
        apr_threadkey_private_delete(verdict_key);
        verdict_key = NULL;
    }
}
