/* Certificates for the tests. */
#include "sa_test_cert.h"

#include <ctype.h>
#include <stdio.h>

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "sa_error.h"

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
    sa_test_cert_t *made = begin(name, -3600, 3600, pool);

    X509_set_issuer_name(made->cert, X509_get_subject_name(made->cert));
    add_extension(made->cert, made->cert, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(made->cert, made->cert, NID_key_usage, "critical,keyCertSign,cRLSign");
    add_extension(made->cert, made->cert, NID_subject_key_identifier, "hash");
    SA_ASSERT(X509_sign(made->cert, made->key, EVP_sha256()) > 0);
    return made;
}

sa_test_cert_t *sa_test_cert_issue(const sa_test_cert_t *authority, const char *name,
                                   long from, long to, apr_pool_t *pool)
{
    sa_test_cert_t *made = begin(name, from, to, pool);
    char alternative[256];

    snprintf(alternative, sizeof(alternative), "%s:%s",
             isdigit((unsigned char)name[0]) ? "IP" : "DNS", name);
    X509_set_issuer_name(made->cert, X509_get_subject_name(authority->cert));
    add_extension(made->cert, authority->cert, NID_subject_alt_name, alternative);
    add_extension(made->cert, authority->cert, NID_authority_key_identifier, "keyid");
    SA_ASSERT(X509_sign(made->cert, authority->key, EVP_sha256()) > 0);
    return made;
}

void sa_test_cert_write(const sa_test_cert_t *cert, int key, const char *path)
{
    FILE *file = fopen(path, "w");

    SA_ASSERT(file != NULL);
    SA_ASSERT(PEM_write_X509(file, cert->cert) == 1);
    if (key) {
        SA_ASSERT(PEM_write_PrivateKey(file, cert->key, NULL, NULL, 0, NULL, NULL) == 1);
    }
    SA_ASSERT(fclose(file) == 0);
}
