/* config: secrets.  Read when they are needed, wiped with their pool. */
#include "sa_config_private.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "sa_os_file.h"
#include "sa_os_paths.h"
#include "sa_pool.h"

/* BYTES is the only copy, and it is cut in place: a second one would have to be
 * wiped as well. */
static sa_error_t *adopt(const char **value, char *bytes, size_t length, const char *path,
                         apr_pool_t *pool)
{
    sa_pool_wipe_later(bytes, length, pool);
    if (memchr(bytes, '\0', length)) {
        return sa_error(SA_ERR_FILE_CONTENT, NULL, "%s holds a NUL character", path);
    }
    while (length > 0 && (bytes[length - 1] == '\n' || bytes[length - 1] == '\r')) {
        bytes[--length] = '\0';
    }
    if (length == 0) {
        return sa_error(SA_ERR_FILE_CONTENT, NULL, "%s is empty", path);
    }
    *value = bytes;
    return SA_OK;
}

static sa_error_t *read_file(const char **value, const sa_secret_t *secret, apr_pool_t *pool)
{
    const char *bytes;
    size_t length;

    SA_TRY_MSG(sa_os_file_read_secret(&bytes, &length, secret->where, SA_CONFIG__SECRET_BYTES,
                                      pool),
               "cannot read the secret %s", secret->path);
    return adopt(value, (char *)bytes, length, secret->path, pool);     /* it lies in POOL */
}

/* The variable is not named: its name may be the secret, put there by mistake. */
static sa_error_t *read_env(const char **value, const sa_secret_t *secret, apr_pool_t *pool)
{
    const char *text = getenv(secret->where);

    if (!text) {
        return sa_error(SA_ERR_CONFIG, NULL,
                        "the environment variable that %s_env names is not set", secret->path);
    }
    if (strlen(text) > SA_CONFIG__SECRET_BYTES) {
        return sa_error(SA_ERR_LIMIT, NULL, "%s is longer than %d bytes", secret->path,
                        SA_CONFIG__SECRET_BYTES);
    }
    return adopt(value, apr_pstrdup(pool, text), strlen(text), secret->path, pool);
}

sa_error_t *sa_secret_read(const char **value, const sa_secret_t *secret, apr_pool_t *pool)
{
    switch (secret->source) {
    case SA_SECRET_FILE:
    case SA_SECRET_CREDENTIAL:
        return read_file(value, secret, pool);
    case SA_SECRET_ENV:
        return read_env(value, secret, pool);
    case SA_SECRET_NONE:
        break;
    }
    return sa_error(SA_ERR_CONFIG, NULL, "%s is not set", secret->path);
}

const char *sa_config__credential(const sa_option_t *row, apr_pool_t *pool)
{
    const char *directory = sa_os_path_credentials(pool);
    const char *path;

    if (!directory) {
        return NULL;
    }
    path = apr_pstrcat(pool, directory, "/", row->path, NULL);
    return sa_os_file_exists(path, pool) ? path : NULL;
}
