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
/* For the DNS name or the IPv4 address NAME, valid from now + FROM to now + TO
 * seconds. */
sa_test_cert_t *sa_test_cert_issue(const sa_test_cert_t *authority, const char *name,
                                   long from, long to, apr_pool_t *pool);
/* Write the certificate (and the key, behind it, if KEY) as PEM to PATH. */
void sa_test_cert_write(const sa_test_cert_t *cert, int key, const char *path);

#endif
