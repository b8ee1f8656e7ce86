/* Credentials that are not in use yet: are they good, and is their holder let in?  And keys
 * made here.
 *
 * A .creds file holds two decorated blocks, a JWT and a seed (nats-io/jwt, FormatUserConfig).
 * The JWT's claims are read and not verified: that is the server's part. */
#include "sa_link_private.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>
#include <openssl/crypto.h>

#include "sa_json.h"
#include "sa_os_file.h"
#include "sa_pool.h"
#include "sa_time.h"

#define JWT_MAX ((size_t)16 * 1024)
/* Clocks differ. */
#define CLOCK_SLACK 60.0

/* ---- is it good? ----------------------------------------------------------------------- */

static sa_error_t *check_times(const cJSON *claims)
{
    double now = (double)apr_time_sec(sa_time_now());
    double expires;
    double begins;

    if (sa_json_number(claims, "exp", &expires) && expires > 0 && expires <= now - CLOCK_SLACK) {
        return sa_error(SA_ERR_FILE_CONTENT, NULL,
                        "its JWT has expired (if it is new, check this machine's clock)");
    }
    if (sa_json_number(claims, "nbf", &begins) && begins > now + CLOCK_SLACK) {
        return sa_error(SA_ERR_FILE_CONTENT, NULL,
                        "its JWT is not valid yet; check this machine's clock");
    }
    return SA_OK;
}

static sa_error_t *check_jwt(const char *jwt, const char *public_key, apr_pool_t *pool)
{
    cJSON *claims = NULL;
    const char *subject;
    const char *type;
    sa_error_t *err = sa_json_claims(&claims, jwt, pool);

    if (err || strlen(jwt) > JWT_MAX) {
        sa_error_clear(err);
        return sa_error(SA_ERR_FILE_CONTENT, NULL, "its JWT cannot be read");
    }
    subject = sa_json_text(claims, "sub");
    type = sa_json_text(cJSON_GetObjectItem(claims, "nats"), "type");
    if (type && strcmp(type, "user") != 0) {
        return sa_error(SA_ERR_FILE_CONTENT, NULL, "its JWT is not a user's");
    }
    if (!subject || strcmp(subject, public_key) != 0) {
        return sa_error(SA_ERR_FILE_CONTENT, NULL, "its seed does not belong to its JWT");
    }
    return check_times(claims);
}

sa_error_t *sa_link_check_creds(const char *text, apr_pool_t *scratch_pool)
{
    apr_pool_t *pool = sa_pool_create(scratch_pool);
    const char *jwt = sa_link__creds_block(text, 0, pool);
    const char *seed = sa_link__creds_block(text, 1, pool);
    char public_key[SA_LINK_NKEY + 1];
    sa_error_t *err;

    if (!jwt || !seed || !sa_link__is_jwt(jwt)) {
        err = sa_error(SA_ERR_FILE_CONTENT, NULL, "a JWT and a seed are not both there");
    } else if (sa_link__creds_block(text, 2, pool)) {
        err = sa_error(SA_ERR_FILE_CONTENT, NULL, "there is more than one JWT and one seed");
    } else {
        err = sa_link__nkey_public(public_key, seed);
        if (!err) {
            err = check_jwt(jwt, public_key, pool);
        }
    }
    apr_pool_destroy(pool);
    return err;
}

/* ---- is it let in? ------------------------------------------------------------------------ */

static sa_link__settings_t *settings_for(const sa_config_t *config, const char *creds_file,
                                         apr_interval_time_t timeout)
{
    sa_link__settings_t *settings = sa_link__settings_create(config);

    settings->auth = SA_AUTH_CREDS;
    settings->creds_file = apr_pstrdup(settings->pool, creds_file);
    settings->creds_default = false;
    if (settings->connect_timeout > timeout) {
        settings->connect_timeout = timeout;
    }
    return settings;
}

static sa_error_t *try_urls(sa_link_t *link, apr_interval_time_t deadline)
{
    sa_error_t *err = sa_error(SA_ERR_LINK_DOWN, NULL, "no server to ask");

    for (int i = 0; i < link->settings->url_count && sa_time_mono() < deadline; i++) {
        sa_link__failure_t failure = {0};
        sa_link__conn_t *conn = sa_link__connect(link, &link->settings->urls[i], &failure);

        sa_error_clear(err);
        if (conn) {
            sa_link__disconnect(conn);
            return SA_OK;
        }
        if (sa_link__is_refusal(&failure)) {
            return sa_error(SA_ERR_LINK_AUTH, NULL, "%s: %s", link->settings->urls[i].text,
                            failure.reason);
        }
        err = sa_error(SA_ERR_LINK_DOWN, NULL, "%s: %s", link->settings->urls[i].text,
                       failure.reason);
    }
    return err;
}

sa_error_t *sa_link_try(const sa_config_t *config, const char *creds_file,
                        apr_interval_time_t timeout, apr_pool_t *scratch_pool)
{
    apr_pool_t *pool = sa_pool_create(scratch_pool);
    sa_link_t *link = NULL;
    sa_error_t *err;

    SA_TRY(sa_link_create(&link, pool));
    link->thread_name = "identity";
    link->settings = settings_for(config, creds_file, timeout);
    err = try_urls(link, sa_time_mono() + timeout);
    apr_pool_destroy(link->settings->pool);
    sa_link_stop(link, 0);
    nats_ReleaseThreadMemory();
    apr_pool_destroy(pool);
    return err;
}

/* ---- keys made here ------------------------------------------------------------------------- */

sa_error_t *sa_link_keygen(char public_key[SA_LINK_PUBLIC_KEY], const char *path,
                           apr_pool_t *scratch_pool)
{
    char seed[SA_LINK_SEED + 2];
    sa_error_t *err;

    if (sa_os_file_exists(path, scratch_pool)) {
        return sa_error(SA_ERR_FILE_UNSAFE, NULL, "%s is there already; a key is never replaced: "
                        "move it away first", path);
    }
    SA_TRY(sa_link__nkey_create(seed));
    err = sa_link__nkey_public(public_key, seed);
    if (!err) {
        seed[SA_LINK_SEED] = '\n';
        seed[SA_LINK_SEED + 1] = '\0';
        err = sa_os_file_write_private(path, seed, SA_LINK_SEED + 1, scratch_pool);
    }
    OPENSSL_cleanse(seed, sizeof(seed));
    return err;
}
