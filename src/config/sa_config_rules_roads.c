/* config: rules about the way to the bus: URLs, WebSocket, TLS, the proxy. */
#include "sa_config_private.h"

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>

#define URLS "nats.urls"
#define HEADERS "nats.websocket.headers"

static bool begins_with(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

static bool ends_with(const char *text, size_t length, const char *end)
{
    size_t end_length = strlen(end);

    return length >= end_length && memcmp(text + length - end_length, end, end_length) == 0;
}

static bool is_websocket(const char *url)
{
    return begins_with(url, "ws://") || begins_with(url, "wss://");
}

/* nats-server takes these two endings for a leaf node and for an MQTT client. */
static void check_path(sa_config__loader_t *loader, const char *url)
{
    const char *path = strchr(strstr(url, "://") + 3, '/');
    size_t length = path ? strcspn(path, "?#") : 0;

    if (path && (ends_with(path, length, "/leafnode") || ends_with(path, length, "/mqtt"))) {
        sa_config__wrong(loader, sa_config__origin_of(loader, URLS),
                         URLS ": \"%s\": the server takes a path with this ending for something "
                         "else than a client; name another",
                         sa_config__quote(NULL, url, loader->scratch_pool));
    }
}

static void check_urls(sa_config__loader_t *loader)
{
    const sa_config_t *config = loader->config;

    if (sa_config__origin_of(loader, URLS)->bad) {
        return;
    }
    for (int i = 0; i < config->nats_urls->nelts; i++) {
        const char *url = APR_ARRAY_IDX(config->nats_urls, i, const char *);

        if (is_websocket(url)) {
            check_path(loader, url);
        }
        if (begins_with(url, "ws://") && config->nats_tls_enabled) {
            sa_config__doubt(loader, sa_config__origin_of(loader, "nats.tls.enabled"),
                             "nats.tls.enabled: \"%s\" is WebSocket in the clear all the same; "
                             "begin it with wss://",
                             sa_config__quote(NULL, url, loader->scratch_pool));
        }
    }
}

/* Does any URL make TLS ours to begin? */
static bool has_tls_url(const sa_config_t *config)
{
    for (int i = 0; i < config->nats_urls->nelts; i++) {
        if (begins_with(APR_ARRAY_IDX(config->nats_urls, i, const char *), "tls://")) {
            return true;
        }
    }
    return false;
}

static void check_tls_first(sa_config__loader_t *loader)
{
    const sa_config_t *config = loader->config;

    if (config->nats_tls_first && config->nats_urls->nelts > 0 && !has_tls_url(config)) {
        sa_config__doubt(loader, sa_config__origin_of(loader, "nats.tls.handshake_first"),
                         "nats.tls.handshake_first is for tls:// URLs, and " URLS " has none");
    }
}

/* ---- headers ---------------------------------------------------------------------- */

bool sa_config_is_header_name(const char *name)
{
    static const char letters[] = "!#$%&'*+-.^_`|~0123456789"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    return *name && strspn(name, letters) == strlen(name);
}

bool sa_config_is_own_header(const char *name)
{
    static const char *const own[] = {"host", "upgrade", "connection", "origin",
                                      "content-length", "transfer-encoding", "expect"};
    static const char websocket[] = "sec-websocket-";
    size_t same = 0;

    while (websocket[same] && apr_tolower(name[same]) == websocket[same]) {
        same++;
    }
    if (!websocket[same]) {
        return true;
    }
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (apr_strnatcasecmp(name, own[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void check_headers(sa_config__loader_t *loader)
{
    const apr_array_header_t *headers = loader->config->nats_ws_headers;
    const sa_config__origin_t *origin = sa_config__origin_of(loader, HEADERS);

    for (int i = 0; !origin->bad && i < headers->nelts; i++) {
        const char *name = APR_ARRAY_IDX(headers, i, sa_config_pair_t).key;
        const char *shown = sa_config__quote(NULL, name, loader->scratch_pool);

        if (!sa_config_is_header_name(name)) {
            sa_config__wrong(loader, origin, HEADERS ": \"%s\" is no name of a header", shown);
        } else if (sa_config_is_own_header(name)) {
            sa_config__wrong(loader, origin, HEADERS ": \"%s\" is the agent's own to say", shown);
        } else if (apr_strnatcasecmp(name, "authorization") == 0
                   || apr_strnatcasecmp(name, "cookie") == 0) {
            sa_config__doubt(loader, origin, HEADERS ": \"%s\" is a secret mostly; the place for "
                             "it is the file that nats.websocket.headers_file names", shown);
        }
    }
}

/* ---- the proxy ---------------------------------------------------------------------- */

/* Is the proxy one that we name, and not the environment's or none? */
static bool has_proxy(const sa_config_t *config)
{
    return config->nats_proxy_url[0] && strcmp(config->nats_proxy_url, "none") != 0;
}

static void check_proxy_login(sa_config__loader_t *loader)
{
    const sa_config__origin_t *user = sa_config__origin_of(loader, "nats.proxy.username");
    const sa_config__origin_t *password = sa_config__origin_of(loader, "nats.proxy.password");
    bool has_user = loader->config->nats_proxy_username[0] != '\0';
    bool has_password = loader->config->nats_proxy_password.source != SA_SECRET_NONE;

    if (user->bad || password->bad || has_user == has_password) {
        return;
    }
    if (has_user) {
        sa_config__wrong(loader, user, "nats.proxy.username needs nats.proxy.password_file (or "
                         "_env, or a systemd credential nats.proxy.password)");
    } else {
        sa_config__wrong(loader, password, "nats.proxy.password needs nats.proxy.username");
    }
}

static void check_proxy(sa_config__loader_t *loader)
{
    static const char *const needs_one[] = {"nats.proxy.username", "nats.proxy.except",
                                            "nats.proxy.ca_file"};

    check_proxy_login(loader);
    for (size_t i = 0; i < sizeof(needs_one) / sizeof(needs_one[0]); i++) {
        const sa_config__origin_t *origin = sa_config__origin_of(loader, needs_one[i]);

        if (origin->kind != SA_ORIGIN_DEFAULT && !has_proxy(loader->config)) {
            sa_config__doubt(loader, origin, "%s has no effect without nats.proxy.url",
                             needs_one[i]);
        }
    }
}

void sa_config__check_roads(sa_config__loader_t *loader)
{
    check_urls(loader);
    check_tls_first(loader);
    check_headers(loader);
    check_proxy(loader);
}
