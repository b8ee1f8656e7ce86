/* A server of the bus, as nats.urls names it. */
#ifndef SA_LINK_URL_H
#define SA_LINK_URL_H

#include <stdbool.h>

#include <apr_pools.h>

#include "sa_error.h"

typedef struct sa_link_url_t {
    bool tls;               /* tls:// and wss:// */
    bool ws;                /* ws:// and wss:// */
    const char *host;       /* without brackets */
    int port;
    const char *path;       /* of a ws one, with what follows a ?: may hold a secret */
    const char *user;       /* decoded, or NULL */
    const char *password;
    const char *text;       /* for people: without user and password, and what follows a ? */
    const char *address;    /* host:port, or [v6]:port */
} sa_link_url_t;

/* Read TEXT, nats://, tls://, ws:// or wss://, into URL, in POOL.  SA_ERR_PARSE for what is no
 * address; without a word of it. */
sa_error_t *sa_link_url_read(sa_link_url_t *url, const char *text, apr_pool_t *pool)
    SA_MUST_CHECK;

#endif
