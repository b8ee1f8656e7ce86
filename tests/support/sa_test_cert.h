/* Certificates for the tests, made on the spot: an authority and what it
 * signs.  Failures abort: a test cannot go on without. */
#ifndef SA_TEST_CERT_H
#define SA_TEST_CERT_H

#include <apr_pools.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

/* Freed with the pool given. */
typedef struct sa_test_cert_t {
    X509 *cert;
    EVP_PKEY *key;
} sa_test_cert_t;

sa_test_cert_t *sa_test_cert_authority(const char *name, apr_pool_t *pool);
/* For NAMES, DNS names and IPv4 addresses with a comma between two, valid from
 * now + FROM to now + TO seconds. */
sa_test_cert_t *sa_test_cert_issue(const sa_test_cert_t *authority, const char *names,
                                   long from, long to, apr_pool_t *pool);
/* The same with an extended key usage, such as "clientAuth", for an hour. */
sa_test_cert_t *sa_test_cert_issue_for(const sa_test_cert_t *authority, const char *names,
                                       const char *usage, apr_pool_t *pool);
/* Base64 of the SHA-256 of its public key, in POOL. */
const char *sa_test_cert_pin(const sa_test_cert_t *cert, apr_pool_t *pool);
/* Write the certificate as PEM to PATH. */
void sa_test_cert_write(const sa_test_cert_t *cert, const char *path);

/* A directory, removed with POOL, of certificates for a bus; all keys are 0600.
 * Each name stands for NAME.pem and NAME.key:
 *   ca             the authority          other-ca      another one
 *   server         localhost, 127.0.0.1   expired       the same, until yesterday
 *   wrong-name     for elsewhere.test     client        for TLS client authentication
 *   other-client   by other-ca            wrong-usage   localhost, 127.0.0.1, for clients only
 *   not-yet        localhost, 127.0.0.1, from tomorrow on */
const char *sa_test_certificates(apr_pool_t *pool);

#endif
