/* Who we are, said to the server: read anew for each attempt, because the
 * files change, and wiped when the attempt is over.  nats.c gets callbacks, not
 * the secrets, so that it keeps no copy for the connection's life. */
#include "sa_link_private.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>
#include <openssl/crypto.h>

#include "sa_os_file.h"

#define CREDS_LIMIT (64 * 1024)

typedef struct secret_t {
    char *data;
    size_t length;
} secret_t;

static apr_status_t wipe(void *baton)
{
    secret_t *secret = baton;

    OPENSSL_cleanse(secret->data, secret->length);
    return APR_SUCCESS;
}

/* Wipe DATA when POOL goes. */
static void guard(char *data, apr_pool_t *pool)
{
    secret_t *secret = apr_palloc(pool, sizeof(*secret));

    secret->data = data;
    secret->length = strlen(data);
    apr_pool_cleanup_register(pool, secret, wipe, apr_pool_cleanup_null);
}

/* A decoration is a line with at least three dashes at both ends. */
static bool is_decoration(const char *line, size_t length)
{
    while (length > 0 && strchr(" \t\r", line[length - 1])) {
        length--;
    }
    while (length > 0 && strchr(" \t", line[0])) {
        line++;
        length--;
    }
    return length >= 6 && memcmp(line, "---", 3) == 0 && memcmp(line + length - 3, "---", 3) == 0;
}

/* The first line of a block, without blanks around it. */
static const char *block_line(const char *line, apr_pool_t *pool)
{
    size_t length;
    char *copy;

    line += strspn(line, " \t\r\n");
    length = strcspn(line, " \t\r\n");
    if (length == 0 || line[0] == '-') {
        return NULL;
    }
    copy = apr_pstrmemdup(pool, line, length);
    guard(copy, pool);
    return copy;
}

const char *sa_link__creds_block(const char *text, int number, apr_pool_t *pool)
{
    bool inside = false;

    while (*text) {
        size_t length = strcspn(text, "\n");
        const char *next = text[length] ? text + length + 1 : text + length;

        if (is_decoration(text, length)) {
            inside = !inside;
            if (inside && number-- == 0) {
                return block_line(next, pool);
            }
        }
        text = next;
    }
    return NULL;
}

bool sa_link__is_jwt(const char *text)
{
    return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=")
        == strlen(text);
}

static bool fail_file(sa_link__failure_t *failure, const char *path, sa_error_t *err)
{
    char words[SA_LINK_REASON];
    sa_event_t event = SA_EVENT_link_secret_unreadable;

    if (sa_error_has(err, SA_ERR_FILE_UNSAFE)) {
        event = SA_EVENT_link_secret_unsafe;
    }
    sa_link__fail(failure, event, "%s: %s", path, sa_error_text(err, words, sizeof(words)));
    sa_error_clear(err);
    return false;
}

static bool read_file(const char **text, sa_link__failure_t *failure, const char *path,
                      apr_pool_t *pool)
{
    size_t length;
    sa_error_t *err = sa_os_file_read_secret(text, &length, path, CREDS_LIMIT, pool);

    if (err) {
        return fail_file(failure, path, err);
    }
    guard((char *)*text, pool);
    return true;
}

static bool read_creds(sa_link__auth_t *auth, sa_link__failure_t *failure,
                       sa_link__settings_t *settings, apr_pool_t *pool)
{
    char public_key[SA_LINK_NKEY + 1];
    const char *text;
    sa_error_t *err;

    if (settings->creds_default && !sa_os_file_exists(settings->creds_file, pool)) {
        if (!settings->creds_said) {
            SA_LOG(link_creds_none, SA_S("file", settings->creds_file));
            settings->creds_said = true;
        }
        return true;
    }
    if (!read_file(&text, failure, settings->creds_file, pool)) {
        return false;
    }
    auth->jwt = sa_link__creds_block(text, 0, pool);
    auth->seed = sa_link__creds_block(text, 1, pool);
    if (!auth->jwt || !auth->seed || !sa_link__is_jwt(auth->jwt)) {
        sa_link__fail(failure, SA_EVENT_link_creds_bad, "%s: a JWT and a seed are not both there",
                      settings->creds_file);
        return false;
    }
    err = sa_link__nkey_public(public_key, auth->seed);
    if (err) {
        sa_error_clear(err);    /* it has no more to say than this: */
        sa_link__fail(failure, SA_EVENT_link_creds_bad, "%s: not the seed of a user (SU...)",
                      settings->creds_file);
        return false;
    }
    return true;
}

static bool read_nkey(sa_link__auth_t *auth, sa_link__failure_t *failure,
                      const sa_link__settings_t *settings, apr_pool_t *pool)
{
    char *key = apr_palloc(pool, SA_LINK_NKEY + 1);
    const char *text;
    sa_error_t *err;

    if (!read_file(&text, failure, settings->nkey_file, pool)) {
        return false;
    }
    auth->seed = sa_link__creds_block(text, 0, pool);
    if (!auth->seed) {
        auth->seed = block_line(text, pool);
    }
    err = sa_link__nkey_public(key, auth->seed ? auth->seed : "");
    if (err) {
        sa_error_clear(err);    /* as above */
        sa_link__fail(failure, SA_EVENT_link_creds_bad, "%s: not the seed of a user (SU...)",
                      settings->nkey_file);
        return false;
    }
    auth->public_key = key;
    return true;
}

/* nats.c puts user, password and token between quotes without a look at them. */
static const char *escape(const char *text, apr_pool_t *pool)
{
    char *out = apr_palloc(pool, strlen(text) * 6 + 1);
    char *end = out;

    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;

        if (byte == '"' || byte == '\\') {
            *end++ = '\\';
        }
        if (byte < 0x20) {
            end += apr_snprintf(end, 7, "\\u%04x", byte);
        } else {
            *end++ = (char)byte;
        }
    }
    *end = '\0';
    guard(out, pool);
    return out;
}

static bool read_secret(const char **text, sa_link__failure_t *failure, const sa_secret_t *secret,
                        apr_pool_t *pool)
{
    const char *value;
    sa_error_t *err = sa_secret_read(&value, secret, pool);

    if (err) {
        return fail_file(failure, secret->path ? secret->path : "secret", err);
    }
    *text = escape(value, pool);
    return true;
}

/* A user in the URL is that server's own. */
static void read_url(sa_link__auth_t *auth, const sa_link_url_t *url, apr_pool_t *pool)
{
    if (!url->user) {
        return;
    }
    auth->user = NULL;
    auth->password = NULL;
    auth->token = NULL;
    if (url->password) {
        auth->user = escape(url->user, pool);
        auth->password = escape(url->password, pool);
    } else {
        auth->token = escape(url->user, pool);
    }
}

bool sa_link__auth_read(sa_link__auth_t *auth, sa_link__failure_t *failure,
                        sa_link__settings_t *settings, const sa_link_url_t *url,
                        apr_pool_t *pool)
{
    bool ok = true;

    memset(auth, 0, sizeof(*auth));
    switch (settings->auth) {
    case SA_AUTH_CREDS:
    case SA_AUTH_PLATFORM:
        ok = read_creds(auth, failure, settings, pool);
        break;
    case SA_AUTH_NKEY:
        ok = read_nkey(auth, failure, settings, pool);
        break;
    case SA_AUTH_TOKEN:
        ok = url->user || read_secret(&auth->token, failure, &settings->token, pool);
        break;
    case SA_AUTH_USERPASS:
        auth->user = escape(settings->username, pool);
        ok = url->user || read_secret(&auth->password, failure, &settings->password, pool);
        break;
    case SA_AUTH_NONE:
        break;
    }
    read_url(auth, url, pool);
    return ok;
}

static natsStatus give_jwt(char **jwt, char **words, void *baton)
{
    const sa_link__auth_t *auth = baton;

    (void)words;
    *jwt = malloc(strlen(auth->jwt) + 1);   /* nats.c frees it */
    if (!*jwt) {
        return NATS_NO_MEMORY;
    }
    memcpy(*jwt, auth->jwt, strlen(auth->jwt) + 1);
    return NATS_OK;
}

static natsStatus sign(char **words, unsigned char **signature, int *length, const char *nonce,
                       void *baton)
{
    const sa_link__auth_t *auth = baton;

    (void)words;
    /* A server that wants no signature sends no nonce; nats_Sign() wants one. */
    return nats_Sign(auth->seed, nonce && nonce[0] ? nonce : "none", signature, length);
}

natsStatus sa_link__auth_apply(natsOptions *options, sa_link__auth_t *auth)
{
    natsStatus status = NATS_OK;

    if (auth->jwt) {
        status = natsOptions_SetUserCredentialsCallbacks(options, give_jwt, auth, sign, auth);
    } else if (auth->public_key) {
        status = natsOptions_SetNKey(options, auth->public_key, sign, auth);
    }
    if (status == NATS_OK && auth->user) {
        status = natsOptions_SetUserInfo(options, auth->user,
                                         auth->password ? auth->password : "");
    }
    if (status == NATS_OK && auth->token) {
        status = natsOptions_SetToken(options, auth->token);
    }
    return status;
}
