/* TLS as nats.c lets us have it, and what it does not do by itself.
 *
 * nats.c trusts the system's authorities (sa_link_tls_paths.c) and adds a CA file's to them.
 * A CA file is to be trusted instead, so the verify callback also wants one of
 * its certificates in the chain that OpenSSL verified: whatever stands below
 * it there was signed by it.  The callback gets no closure; the handshake runs
 * in the thread that calls natsConnection_Connect(), which finds its own
 * judge by a thread key. */
#include "sa_link_private.h"

#include <string.h>

#include <apr_strings.h>
#include <apr_thread_proc.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>

#include "sa_os_file.h"

#define PEM_LIMIT (1024 * 1024)

static apr_threadkey_t *judge_key;

sa_error_t *sa_link__tls_open(apr_pool_t *pool)
{
    if (!judge_key) {
        SA_TRY_APR(apr_threadkey_private_create(&judge_key, NULL, pool),
                   "cannot make a thread key for TLS");
    }
    return SA_OK;
}

static sa_http_tls_judge_t *current_judge(void)
{
    void *value = NULL;

    if (judge_key) {
        apr_threadkey_private_get(&value, judge_key);
    }
    return value;
}

sa_event_t sa_link__tls_event(sa_http_tls_fault_t fault)
{
    static const sa_event_t events[] = {
        [SA_HTTP_TLS_NONE] = SA_EVENT_link_tls_failed,
        [SA_HTTP_TLS_AUTHORITY] = SA_EVENT_link_tls_authority,
        [SA_HTTP_TLS_NAME] = SA_EVENT_link_tls_name,
        [SA_HTTP_TLS_EXPIRED] = SA_EVENT_link_tls_expired,
        [SA_HTTP_TLS_PURPOSE] = SA_EVENT_link_tls_purpose,
        [SA_HTTP_TLS_PIN] = SA_EVENT_link_tls_pin,
        [SA_HTTP_TLS_VERSION] = SA_EVENT_link_tls_version,
        [SA_HTTP_TLS_CLIENT_CERT] = SA_EVENT_link_tls_client_cert,
        [SA_HTTP_TLS_FILES] = SA_EVENT_link_tls_files,
        [SA_HTTP_TLS_NOT_SPOKEN] = SA_EVENT_link_tls_not_spoken,
        [SA_HTTP_TLS_OTHER] = SA_EVENT_link_tls_failed,
    };

    return events[fault];
}

void sa_link__tls_fail(sa_link__failure_t *failure, sa_http_tls_fault_t fault, const char *words)
{
    sa_link__fail(failure, sa_link__tls_event(fault), "%s", words);
}

/* Called for each certificate, the server's own (depth 0) last. */
static int verify(int ok, void *context)
{
    sa_http_tls_judge_t *judge = current_judge();

    return judge ? sa_http_tls_judge(judge, ok, context) : 0;
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

static bool read_authorities(sa_http_tls_judge_t *judge, sa_link__failure_t *failure,
                             const char *path, apr_pool_t *pool)
{
    char words[SA_LINK_REASON];
    const char *text;
    size_t length;
    STACK_OF(X509) *authorities;
    X509 *certificate;
    BIO *bio;
    sa_error_t *err = sa_os_file_read(&text, &length, path, PEM_LIMIT, pool);

    if (err) {
        sa_link__fail(failure, SA_EVENT_link_tls_files, "%s: %s", path,
                      sa_error_text(err, words, sizeof(words)));
        sa_error_clear(err);
        return false;
    }
    authorities = sk_X509_new_null();
    judge->authorities = authorities;
    apr_pool_cleanup_register(pool, authorities, drop_authorities, apr_pool_cleanup_null);
    bio = BIO_new_mem_buf(text, (int)length);
    certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    while (certificate) {
        sk_X509_push(authorities, certificate);
        certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    }
    BIO_free(bio);
    ERR_clear_error();
    if (sk_X509_num(authorities) == 0) {
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

bool sa_link__tls_check_key(sa_link__failure_t *failure, const sa_link__settings_t *settings,
                            apr_pool_t *pool)
{
    char words[SA_LINK_REASON];
    const char *text;
    size_t length;
    sa_error_t *err;

    if (!settings->cert_file[0]) {
        return true;
    }
    err = sa_os_file_read_secret(&text, &length, settings->key_file, PEM_LIMIT, pool);
    if (err) {
        sa_link__fail(failure, sa_error_has(err, SA_ERR_FILE_UNSAFE)
                      ? SA_EVENT_link_secret_unsafe : SA_EVENT_link_tls_files, "%s: %s",
                      settings->key_file, sa_error_text(err, words, sizeof(words)));
        sa_error_clear(err);
        return false;
    }
    OPENSSL_cleanse((char *)text, length);
    return true;
}

/* nats.c reads the key by name. */
static bool apply_certificate(natsOptions *options, sa_link__failure_t *failure,
                              const sa_link__settings_t *settings, apr_pool_t *pool)
{
    if (!settings->cert_file[0]) {
        return true;
    }
    if (!sa_link__tls_check_key(failure, settings, pool)) {
        return false;
    }
    return natsOptions_LoadCertificatesChain(options, settings->cert_file, settings->key_file)
               == NATS_OK
        || fail_apply(failure, settings->cert_file);
}

/* The callback is there for the insecure too: a pin and the least version still count. */
static bool apply_trust(natsOptions *options, sa_link__failure_t *failure,
                        const sa_link__settings_t *settings, const char *host, apr_pool_t *pool)
{
    sa_http_tls_judge_t *judge = apr_pcalloc(pool, sizeof(*judge));

    judge->host = apr_pstrdup(pool, host);
    judge->pins = settings->tls_pins[0] ? settings->tls_pins : NULL;
    judge->insecure = settings->tls_insecure;
    judge->least = settings->tls_least;
    apr_threadkey_private_set(judge, judge_key);
    if (settings->ca_file[0] && !settings->tls_insecure) {
        if (!read_authorities(judge, failure, settings->ca_file, pool)) {
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
    natsStatus status;

    sa_link__tls_leave_out_system(settings->ca_file[0] || settings->tls_insecure);
    status = natsOptions_SetSecure(options, true);      /* makes the context */
    sa_link__tls_leave_out_system(false);
    if (status != NATS_OK) {
        return fail_apply(failure, "nats.tls");
    }
    return apply_trust(options, failure, settings, host, pool)
        && apply_certificate(options, failure, settings, pool);
}

bool sa_link__tls_verdict(sa_link__failure_t *failure)
{
    const sa_http_tls_judge_t *judge = current_judge();

    if (!judge || judge->verdict.fault == SA_HTTP_TLS_NONE) {
        return false;
    }
    sa_link__tls_fail(failure, judge->verdict.fault, judge->verdict.words);
    return true;
}

void sa_link__tls_forget(void)
{
    if (judge_key) {
        apr_threadkey_private_set(NULL, judge_key);
    }
}

void sa_link__tls_close(void)
{
    if (judge_key) {
        apr_threadkey_private_delete(judge_key);
        judge_key = NULL;
    }
}
