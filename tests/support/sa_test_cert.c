/* Certificates for the tests. */
#include "sa_test_cert.h"

#include <ctype.h>
#include <stdio.h>

#include <apr_file_io.h>
#include <apr_strings.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "sa_error.h"
#include "sa_test_server.h"

#define HOUR 3600L
#define DAY (24 * HOUR)

static apr_status_t drop_cert(void *baton)
{
    sa_test_cert_t *cert = baton;

    X509_free(cert->cert);
    EVP_PKEY_free(cert->key);
    return APR_SUCCESS;
}

static EVP_PKEY *make_key(void)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, NULL);
    EVP_PKEY *key = NULL;

    SA_ASSERT(context != NULL);
    SA_ASSERT(EVP_PKEY_keygen_init(context) == 1);
    SA_ASSERT(EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_X9_62_prime256v1) == 1);
    SA_ASSERT(EVP_PKEY_keygen(context, &key) == 1);
    EVP_PKEY_CTX_free(context);
    return key;
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509_EXTENSION *extension;

    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    SA_ASSERT(extension != NULL);
    SA_ASSERT(X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static sa_test_cert_t *begin(const char *name, long from, long to, apr_pool_t *pool)
{
    static long serial = 1;
    sa_test_cert_t *made = apr_pcalloc(pool, sizeof(*made));
    X509_NAME *subject;

    made->cert = X509_new();
    made->key = make_key();
    apr_pool_cleanup_register(pool, made, drop_cert, apr_pool_cleanup_null);
    SA_ASSERT(X509_set_version(made->cert, 2) == 1);
    ASN1_INTEGER_set(X509_get_serialNumber(made->cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(made->cert), from);
    X509_gmtime_adj(X509_getm_notAfter(made->cert), to);
    X509_set_pubkey(made->cert, made->key);
    subject = X509_get_subject_name(made->cert);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1,
                               0);
    return made;
}

sa_test_cert_t *sa_test_cert_authority(const char *name, apr_pool_t *pool)
{
    sa_test_cert_t *made = begin(name, -HOUR, HOUR, pool);

    X509_set_issuer_name(made->cert, X509_get_subject_name(made->cert));
    add_extension(made->cert, made->cert, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(made->cert, made->cert, NID_key_usage, "critical,keyCertSign,cRLSign");
    add_extension(made->cert, made->cert, NID_subject_key_identifier, "hash");
    SA_ASSERT(X509_sign(made->cert, made->key, EVP_sha256()) > 0);
    return made;
}

/* "a,127.0.0.1" -> "DNS:a,IP:127.0.0.1" */
static const char *alternatives(const char *names, apr_pool_t *pool)
{
    char *rest = apr_pstrdup(pool, names);
    const char *all = "";
    char *state;

    for (char *name = apr_strtok(rest, ",", &state); name; name = apr_strtok(NULL, ",", &state)) {
        all = apr_pstrcat(pool, all, all[0] ? "," : "",
                          isdigit((unsigned char)name[0]) ? "IP:" : "DNS:", name, NULL);
    }
    return all;
}

/* USAGE NULL: for anything. */
static sa_test_cert_t *issue(const sa_test_cert_t *authority, const char *names, long from,
                             long to, const char *usage, apr_pool_t *pool)
{
    sa_test_cert_t *made = begin(names, from, to, pool);

    X509_set_issuer_name(made->cert, X509_get_subject_name(authority->cert));
    add_extension(made->cert, authority->cert, NID_subject_alt_name, alternatives(names, pool));
    add_extension(made->cert, authority->cert, NID_authority_key_identifier, "keyid");
    if (usage) {
        add_extension(made->cert, authority->cert, NID_ext_key_usage, usage);
    }
    SA_ASSERT(X509_sign(made->cert, authority->key, EVP_sha256()) > 0);
    return made;
}

sa_test_cert_t *sa_test_cert_issue(const sa_test_cert_t *authority, const char *names,
                                   long from, long to, apr_pool_t *pool)
{
    return issue(authority, names, from, to, NULL, pool);
}

sa_test_cert_t *sa_test_cert_issue_for(const sa_test_cert_t *authority, const char *names,
                                       const char *usage, apr_pool_t *pool)
{
    return issue(authority, names, -HOUR, HOUR, usage, pool);
}

const char *sa_test_cert_pin(const sa_test_cert_t *cert, apr_pool_t *pool)
{
    unsigned char *der = NULL;
    unsigned char digest[32];
    char *text = apr_pcalloc(pool, 64);
    int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert->cert), &der);

    SA_ASSERT(length > 0);
    SA_ASSERT(EVP_Digest(der, (size_t)length, digest, NULL, EVP_sha256(), NULL) == 1);
    OPENSSL_free(der);
    EVP_EncodeBlock((unsigned char *)text, digest, (int)sizeof(digest));
    return text;
}

void sa_test_cert_write(const sa_test_cert_t *cert, const char *path)
{
    FILE *file = fopen(path, "w");

    SA_ASSERT(file != NULL);
    SA_ASSERT(PEM_write_X509(file, cert->cert) == 1);
    SA_ASSERT(fclose(file) == 0);
}

static void write_key(const sa_test_cert_t *cert, const char *path)
{
    FILE *file = fopen(path, "w");

    SA_ASSERT(file != NULL);
    SA_ASSERT(apr_file_perms_set(path, APR_FPROT_UREAD | APR_FPROT_UWRITE) == APR_SUCCESS);
    SA_ASSERT(PEM_write_PrivateKey(file, cert->key, NULL, NULL, 0, NULL, NULL) == 1);
    SA_ASSERT(fclose(file) == 0);
}

const char *sa_test_certificates(apr_pool_t *pool)
{
    enum { CA, OTHER_CA };
    static const struct {
        const char *file;
        const char *names;      /* NULL: an authority */
        int authority;
        long from;
        long to;
        const char *usage;
    } rows[] = {
        {"ca", NULL, CA, 0, 0, NULL},
        {"other-ca", NULL, OTHER_CA, 0, 0, NULL},
        {"server", "localhost,127.0.0.1", CA, -HOUR, HOUR, NULL},
        {"expired", "localhost,127.0.0.1", CA, -2 * DAY, -DAY, NULL},
        {"not-yet", "localhost,127.0.0.1", CA, DAY, 2 * DAY, NULL},
        {"wrong-name", "elsewhere.test", CA, -HOUR, HOUR, NULL},
        {"wrong-usage", "localhost,127.0.0.1", CA, -HOUR, HOUR, "clientAuth"},
        {"client", "client.test", CA, -HOUR, HOUR, NULL},
        {"other-client", "client.test", OTHER_CA, -HOUR, HOUR, NULL}
    };
    sa_test_cert_t *made[sizeof(rows) / sizeof(rows[0])];
    const char *dir = sa_test_dir(pool);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        made[i] = rows[i].names
            ? issue(made[rows[i].authority], rows[i].names, rows[i].from, rows[i].to,
                    rows[i].usage, pool)
            : sa_test_cert_authority(rows[i].file, pool);
        sa_test_cert_write(made[i], apr_pstrcat(pool, dir, "/", rows[i].file, ".pem", NULL));
        write_key(made[i], apr_pstrcat(pool, dir, "/", rows[i].file, ".key", NULL));
    }
    return dir;
}
