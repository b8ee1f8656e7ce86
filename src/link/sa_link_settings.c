/* What the link keeps of the configuration. */
#include "sa_link_private.h"

#include <string.h>

#include <apr_strings.h>

#include "sa_pool.h"

static sa_secret_t copy_secret(const sa_secret_t *secret, apr_pool_t *pool)
{
    sa_secret_t copy = *secret;

    copy.where = secret->where ? apr_pstrdup(pool, secret->where) : NULL;
    copy.path = secret->path ? apr_pstrdup(pool, secret->path) : NULL;
    return copy;
}

static const char *copy_text(const char *text, apr_pool_t *pool)
{
    return text ? apr_pstrdup(pool, text) : "";
}

static void copy_urls(sa_link__settings_t *settings, const apr_array_header_t *urls)
{
    sa_error_t *err;

    settings->urls = apr_pcalloc(settings->pool, sizeof(sa_link_url_t) * (size_t)urls->nelts);
    for (int i = 0; i < urls->nelts; i++) {
        const char *text = APR_ARRAY_IDX(urls, i, const char *);

        err = sa_link_url_read(&settings->urls[settings->url_count], text, settings->pool);
        if (!err) {
            settings->url_count++;
            continue;
        }
        /* The URL itself may hold a password: only its place is said. */
        SA_LOG(link_url_skipped, SA_I("place", i + 1), SA_E(err));
        sa_error_clear(err);
    }
    /* the platform may still bring some */
    if (settings->url_count == 0 && (settings->auth != SA_AUTH_PLATFORM || urls->nelts > 0)) {
        SA_LOG(link_no_urls, SA_I("urls", urls->nelts));
    }
}

static const char *join_headers(const apr_array_header_t *headers, apr_pool_t *pool)
{
    const char *text = "";

    for (int i = 0; i < headers->nelts; i++) {
        const sa_config_pair_t *pair = &APR_ARRAY_IDX(headers, i, sa_config_pair_t);

        text = apr_pstrcat(pool, text, pair->key, ": ", pair->value, "\r\n", NULL);
    }
    return text;
}

static void copy_roads(sa_link__settings_t *settings, const sa_config_t *config)
{
    apr_pool_t *pool = settings->pool;

    settings->tls_first = config->nats_tls_first;
    settings->tls_least = (sa_http_tls_version_t)config->nats_tls_min_version;
    settings->tls_pins = copy_text(config->nats_tls_pin, pool);
    settings->ws_headers = join_headers(config->nats_ws_headers, pool);
    settings->ws_headers_file = copy_text(config->nats_ws_headers_file, pool);
    sa_http_proxy_choose(&settings->proxy, config, pool);
}

sa_link__settings_t *sa_link__settings_create(const sa_config_t *config)
{
    apr_pool_t *pool = sa_pool_create_root();
    sa_link__settings_t *settings = apr_pcalloc(pool, sizeof(*settings));

    settings->pool = pool;
    settings->code = copy_text(config->code, pool);
    settings->auth = (sa_auth_type_t)config->nats_auth_type;
    settings->creds_file = copy_text(config->nats_creds_file, pool);
    settings->creds_default = sa_config_is_default(config, "nats.auth.creds_file");
    settings->nkey_file = copy_text(config->nats_nkey_file, pool);
    settings->username = copy_text(config->nats_username, pool);
    settings->token = copy_secret(&config->nats_token, pool);
    settings->password = copy_secret(&config->nats_password, pool);
    settings->tls = config->nats_tls_enabled;
    settings->ca_file = copy_text(config->nats_tls_ca_file, pool);
    settings->cert_file = copy_text(config->nats_tls_cert_file, pool);
    settings->key_file = copy_text(config->nats_tls_key_file, pool);
    settings->tls_insecure = config->nats_tls_insecure;
    copy_roads(settings, config);
    settings->connect_timeout = config->nats_connect_timeout;
    settings->spread = config->nats_connect_spread;
    settings->wait_first = config->nats_reconnect_wait;
    settings->wait_max = config->nats_reconnect_max;
    settings->ping_interval = config->nats_ping_interval;
    copy_urls(settings, config->nats_urls);
    if (settings->tls_insecure) {
        SA_LOG(link_tls_insecure, SA_S("option", "nats.tls.insecure_skip_verify"));
    }
    return settings;
}
