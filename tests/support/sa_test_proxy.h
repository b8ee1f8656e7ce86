/* A small proxy for tests, HTTP's CONNECT or SOCKS 5, which can misbehave.
 *
 * It listens on a free port of 127.0.0.1.  One thread accepts, one serves each connection;
 * sa_test_proxy_stop() joins them all.
 *
 *     proxy = sa_test_proxy_start(&(sa_test_proxy_plan_t){.how = SA_TEST_PROXY_CONNECT}, pool);
 *     url = sa_test_proxy_url(proxy, "http", pool);
 */
#ifndef SA_TEST_PROXY_H
#define SA_TEST_PROXY_H

#include <apr_pools.h>

#include "sa_test_cert.h"

typedef enum sa_test_proxy_how_t {
    SA_TEST_PROXY_CONNECT,          /* as it should be */
    SA_TEST_PROXY_SOCKS,
    SA_TEST_PROXY_ANSWER,           /* to CONNECT: the plan's text, then closed by the client */
    SA_TEST_PROXY_REPLY,            /* SOCKS: the plan's code */
    SA_TEST_PROXY_SILENT,           /* reads, says nothing */
    SA_TEST_PROXY_GREETING,         /* says the plan's text before it is asked, then waits */
    SA_TEST_PROXY_ENDLESS,          /* to CONNECT: one header line after another */
    SA_TEST_PROXY_DRIP,             /* to CONNECT: a byte each 20 ms, without an end */
    SA_TEST_PROXY_CLOSE             /* reads what it is asked, and closes */
} sa_test_proxy_how_t;

typedef struct sa_test_proxy_plan_t {
    sa_test_proxy_how_t how;
    const char *text;
    int code;
    const char *login;              /* "user:password", or NULL: everybody */
    const sa_test_cert_t *cert;     /* TLS with the client; or NULL */
} sa_test_proxy_plan_t;

typedef struct sa_test_proxy_t sa_test_proxy_t;

/* What PLAN points to must live as long as the proxy. */
sa_test_proxy_t *sa_test_proxy_start(const sa_test_proxy_plan_t *plan, apr_pool_t *pool);
void sa_test_proxy_stop(sa_test_proxy_t *proxy);
/* SCHEME://127.0.0.1:port */
const char *sa_test_proxy_url(const sa_test_proxy_t *proxy, const char *scheme, apr_pool_t *pool);
int sa_test_proxy_port(const sa_test_proxy_t *proxy);
/* What the last client asked for: the head of its CONNECT; of SOCKS "host:port".  "" if none. */
const char *sa_test_proxy_asked(sa_test_proxy_t *proxy, apr_pool_t *pool);
/* Connections so far. */
int sa_test_proxy_connections(sa_test_proxy_t *proxy);

#endif
