/* Identities of a NATS operator, account or user, and JWTs signed by them
 * (nkeys and jwt v2), as much as a server in operator mode wants to see. */
#ifndef TEST_LINK_JWT_H
#define TEST_LINK_JWT_H

#include <apr.h>
#include <apr_pools.h>

#include "sa_test_server.h"

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

#define OPERATOR "{\"type\":\"operator\",\"version\":2}"
#define ACCOUNT(connections)                                                      \
    "{\"limits\":{\"subs\":-1,\"data\":-1,\"payload\":-1,\"imports\":-1,\"exports\":-1," \
    "\"wildcards\":true,\"conn\":" connections ",\"leaf\":-1},\"type\":\"account\",\"version\":2}"
#define USER(more)                                                                \
    "{\"pub\":{},\"sub\":{},\"subs\":-1,\"data\":-1,\"payload\":-1," more         \
    "\"type\":\"user\",\"version\":2}"

/* A server that knows one account. */
typedef struct realm_t {
    identity_t operator_;
    identity_t account;
    sa_test_server_t *server;
} realm_t;
void realm_start(realm_t *realm, const char *account_claims, apr_pool_t *pool);
/* The .creds of a new user of it. */
const char *realm_user(realm_t *realm, apr_int64_t expires, const char *claims, apr_pool_t *pool);

#endif
