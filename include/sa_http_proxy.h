/* The proxy between us and the bus or the platform: nats.proxy, else the environment.
 *
 * The environment is read the way curl(1) does: https_proxy, HTTPS_PROXY, all_proxy, ALL_PROXY,
 * the first that is set, for every road alike, because all of ours are tunnels; and no_proxy,
 * NO_PROXY.  "nats.proxy.url: none" switches that off.  Any thread. */
#ifndef SA_HTTP_PROXY_H
#define SA_HTTP_PROXY_H

#include <stdbool.h>

#include <apr_pools.h>

#include "sa_config.h"
#include "sa_error.h"

/* What the configuration says.  To be kept: it holds no secret. */
typedef struct sa_http_proxy_choice_t {
    bool from_environment;
    const char *url;            /* http://, https://, socks5:// or socks5h://, "none", or "" */
    const char *username;       /* "" if none */
    sa_secret_t password;
    const char *except;         /* as in NO_PROXY: names, domains, addresses, networks, or "*" */
    const char *ca_file;        /* of an https:// proxy; "": the system's */
} sa_http_proxy_choice_t;

/* What one connection needs.  The secrets are wiped with its pool. */
typedef struct sa_http_proxy_t {
    const char *url;            /* without user and password; NULL: no proxy */
    const char *username;       /* or NULL */
    const char *password;       /* or NULL */
    const char *except;         /* "" if nothing */
    const char *ca_file;        /* or NULL */
} sa_http_proxy_t;

/* Copy what CONFIG says into POOL. */
void sa_http_proxy_choose(sa_http_proxy_choice_t *choice, const sa_config_t *config,
                          apr_pool_t *pool);
/* Read the password, or what the environment says now.  The error names the setting or the
 * variable, never its value. */
sa_error_t *sa_http_proxy_read(sa_http_proxy_t *proxy, const sa_http_proxy_choice_t *choice,
                               apr_pool_t *pool) SA_MUST_CHECK;
/* Where PROXY is: "host:port", or "[v6]:port". */
const char *sa_http_proxy_address(const sa_http_proxy_t *proxy, apr_pool_t *pool);
/* Does the way to HOST (a name, or an address without brackets) lead through PROXY? */
bool sa_http_proxy_serves(const sa_http_proxy_t *proxy, const char *host,
                          apr_pool_t *scratch_pool);

#endif
