/* A look at a server's certificate, for people: the handshake of a connection that is never
 * made.  The judgement is that of every connection (sa_http_tls.h), and the CA file's
 * authorities are trusted instead of the system's. */
#include "sa_link_private.h"

#include <string.h>

#include <apr_poll.h>
#include <apr_portable.h>
#include <apr_strings.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "sa_time.h"

typedef struct look_t {
    sa_link_certificate_t *certificate;
    sa_http_tls_judge_t judge;
} look_t;

static void name_of(char text[128], X509_NAME *name)
{
    X509_NAME_oneline(name, text, 128);
}

static apr_time_t time_of(const ASN1_TIME *time)
{
    struct tm parts;
    apr_time_exp_t exploded;
    apr_time_t result = 0;

    if (ASN1_TIME_to_tm(time, &parts) != 1) {
        return 0;
    }
    memset(&exploded, 0, sizeof(exploded));
    exploded.tm_sec = parts.tm_sec;
    exploded.tm_min = parts.tm_min;
    exploded.tm_hour = parts.tm_hour;
    exploded.tm_mday = parts.tm_mday;
    exploded.tm_mon = parts.tm_mon;
    exploded.tm_year = parts.tm_year;
    return apr_time_exp_gmt_get(&result, &exploded) == APR_SUCCESS ? result : 0;
}

/* One certificate of the chain, the server's own at depth 0. */
static void take(sa_link_certificate_t *certificate, X509 *x509, int depth)
{
    apr_time_t ends = time_of(X509_get0_notAfter(x509));

    if (certificate->chain_ends == 0 || ends < certificate->chain_ends) {
        certificate->chain_ends = ends;
        name_of(certificate->chain_ends_of, X509_get_subject_name(x509));
    }
    if (depth == 0) {
        certificate->shown = true;
        name_of(certificate->subject, X509_get_subject_name(x509));
        name_of(certificate->issuer, X509_get_issuer_name(x509));
        certificate->begins = time_of(X509_get0_notBefore(x509));
        certificate->ends = ends;
    }
}

static void fail(sa_link_certificate_t *certificate, sa_event_t event, const char *words)
{
    certificate->event = event;
    apr_cpystrn(certificate->reason, words, sizeof(certificate->reason));
}

/* Never ends the handshake: what is behind the first fault is wanted too. */
static int verify(int ok, X509_STORE_CTX *context)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx());
    look_t *look = SSL_get_app_data(ssl);
    X509 *x509 = X509_STORE_CTX_get_current_cert(context);

    if (x509) {
        take(look->certificate, x509, X509_STORE_CTX_get_error_depth(context));
    }
    (void)sa_http_tls_judge(&look->judge, ok, context);
    if (look->judge.verdict.fault != SA_HTTP_TLS_NONE
        && look->certificate->event == SA_EVENT_END) {
        fail(look->certificate, sa_link__tls_event(look->judge.verdict.fault),
             look->judge.verdict.words);
    }
    return 1;
}

static apr_status_t drop_context(void *context)
{
    SSL_CTX_free(context);
    return APR_SUCCESS;
}

static apr_status_t drop_ssl(void *ssl)
{
    SSL_free(ssl);
    return APR_SUCCESS;
}

static sa_error_t *make_context(SSL_CTX **context, const sa_config_t *config, apr_pool_t *pool)
{
    SSL_CTX *made = SSL_CTX_new(TLS_client_method());

    if (!made) {
        return sa_error(SA_ERR_LINK_TLS, NULL, "cannot prepare TLS");
    }
    apr_pool_cleanup_register(pool, made, drop_context, apr_pool_cleanup_null);
    SSL_CTX_set_min_proto_version(made, TLS1_2_VERSION);
    SSL_CTX_set_verify(made, SSL_VERIFY_PEER, verify);
    if (!config->nats_tls_ca_file[0]) {
        SSL_CTX_set_default_verify_paths(made);
    } else if (SSL_CTX_load_verify_locations(made, config->nats_tls_ca_file, NULL) != 1) {
        ERR_clear_error();
        return sa_error(SA_ERR_LINK_TLS, NULL, "no authorities can be read from %s",
                        config->nats_tls_ca_file);
    }
    *context = made;
    return SA_OK;
}

static bool set_name(SSL *ssl, const char *host)
{
    X509_VERIFY_PARAM *parameters = SSL_get0_param(ssl);

    if (X509_VERIFY_PARAM_set1_ip_asc(parameters, host) == 1) {
        return true;
    }
    ERR_clear_error();
    SSL_set_tlsext_host_name(ssl, host);
    return X509_VERIFY_PARAM_set1_host(parameters, host, 0) == 1;
}

/* Wait until DEADLINE for what SSL wants. */
static bool wait_for(apr_socket_t *socket, bool reading, apr_interval_time_t deadline,
                     apr_pool_t *pool)
{
    apr_pollfd_t wanted = {
        .p = pool, .desc_type = APR_POLL_SOCKET, .reqevents = reading ? APR_POLLIN : APR_POLLOUT,
        .desc.s = socket
    };
    apr_interval_time_t left = deadline - sa_time_mono();
    apr_int32_t count = 0;

    return left > 0 && apr_poll(&wanted, 1, &count, left) == APR_SUCCESS && count > 0;
}

static void shake(sa_link_certificate_t *certificate, SSL *ssl, apr_socket_t *socket,
                  apr_interval_time_t deadline, apr_pool_t *pool)
{
    for (;;) {
        int result = SSL_connect(ssl);
        int error = SSL_get_error(ssl, result);
        const char *words = ERR_reason_error_string(ERR_peek_last_error());

        if (result == 1) {
            break;
        }
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
            ERR_clear_error();
            if (!certificate->shown) {
                fail(certificate, SA_EVENT_link_tls_failed,
                     words ? words : "the server broke the handshake off");
            }
            break;      /* a client certificate may be wanted: the server's was seen */
        }
        if (!wait_for(socket, error == SSL_ERROR_WANT_READ, deadline, pool)) {
            fail(certificate, SA_EVENT_link_timeout,
                 "the server does not go on with the handshake");
            break;
        }
    }
    certificate->trusted = certificate->shown && certificate->event == SA_EVENT_END;
}

sa_error_t *sa_link_certificate(sa_link_certificate_t *certificate, const sa_config_t *config,
                                const char *host, apr_socket_t *socket,
                                apr_interval_time_t timeout, apr_pool_t *scratch_pool)
{
    look_t look = {certificate, {
        .host = host, .insecure = config->nats_tls_insecure,
        .least = (sa_http_tls_version_t)config->nats_tls_min_version,
        .pins = config->nats_tls_pin[0] ? config->nats_tls_pin : NULL
    }};
    SSL_CTX *context = NULL;
    apr_os_sock_t descriptor;
    SSL *ssl;

    memset(certificate, 0, sizeof(*certificate));
    certificate->event = SA_EVENT_END;
    SA_TRY(make_context(&context, config, scratch_pool));
    SA_TRY_APR(apr_os_sock_get(&descriptor, socket), "cannot use a socket");
    ssl = SSL_new(context);
    if (!ssl) {
        return sa_error(SA_ERR_LINK_TLS, NULL, "cannot prepare TLS");
    }
    apr_pool_cleanup_register(scratch_pool, ssl, drop_ssl, apr_pool_cleanup_null);
    SSL_set_app_data(ssl, &look);
    if (!set_name(ssl, host) || SSL_set_fd(ssl, (int)descriptor) != 1) {
        return sa_error(SA_ERR_LINK_TLS, NULL, "cannot prepare TLS with %s", host);
    }
    shake(certificate, ssl, socket, sa_time_mono() + timeout, scratch_pool);
    apr_pool_cleanup_run(scratch_pool, ssl, drop_ssl);
    return SA_OK;
}
