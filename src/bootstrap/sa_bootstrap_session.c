/* bootstrap: the session file, and secrets in memory. */
#include "sa_bootstrap_private.h"

#include <string.h>

#include <apr_strings.h>

#include "sa_os_file.h"
#include "sa_pool.h"
#include "sa_time.h"

#define SESSION_LIMIT (64 * 1024)

/* ---- wiping ---------------------------------------------------------------------------- */

/* As deep as cJSON parses at most. */
static void wipe_item(cJSON *json)
{
    for (cJSON *item = json; item; item = item->next) {
        if (item->valuestring) {
            sa_wipe(item->valuestring, strlen(item->valuestring));
        }
        wipe_item(item->child);
    }
}

static apr_status_t wipe_json(void *baton)
{
    wipe_item(((cJSON *)baton)->child);
    return APR_SUCCESS;
}

void sa_bootstrap__wipe_json_later(cJSON *json, apr_pool_t *pool)
{
    /* cleanups run from the newest: this one before that of sa_json_parse() */
    apr_pool_cleanup_register(pool, json, wipe_json, apr_pool_cleanup_null);
}

/* ---- the file ---------------------------------------------------------------------------- */

static const char *member(const cJSON *json, const char *name)
{
    const char *text = sa_json_text(json, name);

    return text ? text : "";
}

static apr_time_t time_member(const cJSON *json, const char *name)
{
    double seconds = 0;

    return sa_json_number(json, name, &seconds) && seconds > 0 && seconds < 1e11
               ? apr_time_from_sec((apr_int64_t)seconds) : 0;
}

static void make_empty(sa_bootstrap__session_t *session, const sa_config_t *config)
{
    *session = (sa_bootstrap__session_t){
        .url = config->platform_url, .identity = config->platform_identity, .token = "",
        .nats_user = "", .nats_revision = "", .nebula_host = "", .nebula_revision = ""
    };
}

static bool is_ours(const cJSON *json, const sa_config_t *config)
{
    return strcmp(member(json, "url"), config->platform_url) == 0
           && strcmp(member(json, "identity"), config->platform_identity) == 0;
}

/* A file that is damaged or unsafe is none: the password, or the next visit, mends it. */
static sa_error_t *read_file(cJSON **json, const char *path, apr_pool_t *pool)
{
    const char *text;
    size_t length;

    SA_TRY(sa_os_file_read_secret(&text, &length, path, SESSION_LIMIT, pool));
    sa_pool_wipe_later((char *)text, length, pool);     /* it lies in POOL */
    SA_TRY(sa_json_parse(json, text, length, pool));
    sa_bootstrap__wipe_json_later(*json, pool);
    return SA_OK;
}

void sa_bootstrap__session_read(sa_bootstrap__session_t *session, const sa_config_t *config,
                                apr_pool_t *pool)
{
    const char *path = config->platform_session_file;
    cJSON *json = NULL;
    sa_error_t *err;

    make_empty(session, config);
    if (!sa_os_file_exists(path, pool)) {
        return;
    }
    err = read_file(&json, path, pool);
    if (err) {
        SA_LOG(identity_session_bad, SA_S("file", path), SA_E(err));
        sa_error_clear(err);
        return;
    }
    if (!is_ours(json, config)) {
        return;
    }
    session->token = member(json, "token");
    session->expires = time_member(json, "expires");
    session->nats_user = member(json, "nats_user");
    session->nats_revision = member(json, "nats_revision");
    session->nebula_host = member(json, "nebula_host");
    session->nebula_revision = member(json, "nebula_revision");
    session->synced_at = time_member(json, "synced_at");
}

static void add_seconds(cJSON *json, const char *name, apr_time_t time)
{
    cJSON_AddNumberToObject(json, name, (double)apr_time_sec(time));
}

bool sa_bootstrap__session_write(sa_bootstrap__visit_t *visit)
{
    const sa_bootstrap__session_t *session = &visit->session;
    const char *path = visit->config->platform_session_file;
    cJSON *json = sa_json_object(visit->pool);
    const char *text;
    size_t length;
    sa_error_t *err;

    sa_bootstrap__wipe_json_later(json, visit->pool);
    cJSON_AddStringToObject(json, "url", session->url);
    cJSON_AddStringToObject(json, "identity", session->identity);
    cJSON_AddStringToObject(json, "token", session->token);
    add_seconds(json, "expires", session->expires);
    cJSON_AddStringToObject(json, "nats_user", session->nats_user);
    cJSON_AddStringToObject(json, "nats_revision", session->nats_revision);
    cJSON_AddStringToObject(json, "nebula_host", session->nebula_host);
    cJSON_AddStringToObject(json, "nebula_revision", session->nebula_revision);
    add_seconds(json, "synced_at", session->synced_at);
    text = sa_json_print_secret(json, &length, visit->pool);
    err = sa_os_file_write_private(path, text, length, visit->pool);
    return !err || sa_bootstrap__end_error(visit, SA_BOOTSTRAP_FILES, err,
                                           "cannot keep the session");
}
