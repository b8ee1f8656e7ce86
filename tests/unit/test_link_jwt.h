/* Identities of a NATS operator, account or user, and JWTs signed by them
 * (nkeys and jwt v2), as much as a server in operator mode wants to see. */
#ifndef TEST_LINK_JWT_H
#define TEST_LINK_JWT_H

#include <apr.h>
#include <apr_pools.h>

typedef struct identity_t {
    unsigned char secret[32];
    char seed[59];
    char public_key[57];
} identity_t;

/* KIND is 'O', 'A' or 'U'. */
void identity_create(identity_t *identity, char kind);
/* What ISSUER says of SUBJECT: CLAIMS is the JSON object "nats"; EXPIRES in
 * seconds since 1970, 0 never. */
const char *jwt_make(const identity_t *issuer, const identity_t *subject, apr_int64_t expires,
                     const char *claims, apr_pool_t *pool);
/* The text of a .creds file. */
const char *creds_make(const char *jwt, const identity_t *user, apr_pool_t *pool);

#endif
