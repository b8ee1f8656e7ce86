/* bootstrap: what was fetched, into place.
 *
 * A document that cannot be used never touches the one that is there.  Credentials lie
 * beside the old ones while the bus is asked about them. */
#include "sa_bootstrap_private.h"

#include <string.h>

#include <apr_file_io.h>
#include <apr_strings.h>

#include "sa_os_file.h"
#include "sa_pool.h"
#include "sa_stats.h"
#include "sa_time.h"

/* The platform's own limits (10,000 and 50,000 characters), with room. */
#define CREDS_LIMIT ((size_t)64 * 1024)
#define NEBULA_LIMIT ((size_t)200 * 1024)
#define REMOTE_LIMIT ((size_t)64 * 1024)
#define TRY_TIME apr_time_from_sec(15)

/* ---- files ---------------------------------------------------------------------------- */

/* The text of the private file PATH; NULL: there is none that can be used. */
static const char *text_of(const char *path, size_t limit, apr_pool_t *pool)
{
    const char *text;
    size_t length;
    sa_error_t *err;

    if (!sa_os_file_exists(path, pool)) {
        return NULL;
    }
    err = sa_os_file_read_secret(&text, &length, path, limit, pool);
    if (err) {
        sa_error_clear(err);
        return NULL;
    }
    sa_pool_wipe_later((char *)text, length, pool);
    return text;
}

static bool holds(const char *path, const char *text, size_t limit, apr_pool_t *pool)
{
    const char *there = text_of(path, limit, pool);

    return there && strcmp(there, text) == 0;
}

static bool put(sa_bootstrap__visit_t *visit, const char *path, const char *text, const char *what)
{
    sa_error_t *err = sa_os_file_write_private(path, text, strlen(text), visit->pool);

    return !err || sa_bootstrap__end_error(visit, SA_BOOTSTRAP_FILES, err, what);
}

/* ---- records ---------------------------------------------------------------------------- */

/* RECORD's expansion NAME, if it came along and is of ID. */
static const cJSON *expanded(const cJSON *record, const char *name, const char *id)
{
    const cJSON *item = cJSON_GetObjectItem(cJSON_GetObjectItem(record, "expand"), name);
    const char *its_id = sa_json_text(item, "id");

    return its_id && strcmp(its_id, id) == 0 ? item : NULL;
}

typedef struct document_t {
    const char *collection;
    const char *name;           /* of the relation, in the Thing's record */
    const char *field;          /* the text, in the record */
    const char *what;
    const char *id;
    const char *revision;       /* that we have */
    bool anyhow;                /* fetch it although nothing has moved */
    const char *text;           /* that came; NULL: nothing has moved */
    const char *new_revision;
} document_t;

/* What came along with the Thing: its revision at least, the text at best. */
static bool take_expansion(document_t *document, const cJSON *record)
{
    const cJSON *item = expanded(record, document->name, document->id);
    const char *revision = sa_json_text(item, "updated");

    if (!item || !revision) {
        return false;
    }
    document->new_revision = revision;
    document->text = sa_json_text(item, document->field);
    return true;
}

static const char *revision_of(const cJSON *item)
{
    const char *revision = sa_json_text(item, "updated");

    return revision ? revision : "";
}

static bool has_moved(const document_t *document)
{
    return document->anyhow || !document->new_revision[0]
           || strcmp(document->new_revision, document->revision) != 0;
}

/* Find out whether DOCUMENT has moved, and fetch it if it has. */
static bool fetch(document_t *document, sa_bootstrap__visit_t *visit)
{
    cJSON *item;

    if (visit->want == SA_BOOTSTRAP_ROTATE || !take_expansion(document, visit->record)) {
        document->new_revision = "";
        if (!document->anyhow && document->revision[0]) {
            if (!sa_bootstrap__read(&item, visit, document->collection, document->id, "updated")) {
                return false;
            }
            document->new_revision = revision_of(item);
        }
    }
    if (!has_moved(document)) {
        document->text = NULL;
        return true;
    }
    if (!document->text) {
        if (!sa_bootstrap__read(&item, visit, document->collection, document->id, NULL)) {
            return false;
        }
        document->text = sa_json_text(item, document->field);
        document->new_revision = revision_of(item);
    }
    if (!document->text || !document->text[0]) {
        return sa_bootstrap__end(visit, SA_BOOTSTRAP_NOT_PROVISIONED, "the platform has no %s for "
                                 "this Thing yet", document->what);
    }
    return true;
}

/* ---- credentials ------------------------------------------------------------------------ */

static bool check_creds(sa_bootstrap__visit_t *visit, const char *text)
{
    sa_error_t *err = visit->bus->check(visit->bus->baton, text, visit->pool);

    return !err || sa_bootstrap__end_error(visit, SA_BOOTSTRAP_CREDS_BAD, err,
                                           "the credentials that the platform sent");
}

/* An error is good news but for one: nobody said no. */
static bool is_let_in(sa_bootstrap__visit_t *visit, const char *path)
{
    sa_error_t *err;

    if (!visit->bus->try) {
        return true;
    }
    err = visit->bus->try(visit->bus->baton, path, TRY_TIME, visit->pool);
    if (err && sa_error_has(err, SA_ERR_LINK_AUTH)) {
        return sa_bootstrap__end_error(visit, SA_BOOTSTRAP_CREDS_REFUSED, err,
                                       "the new credentials; the old ones stay");
    }
    sa_error_clear(err);
    return true;
}

static bool replace_creds(sa_bootstrap__visit_t *visit, const char *text)
{
    const char *path = visit->config->nats_creds_file;
    const char *beside = apr_pstrcat(visit->pool, path, ".new", NULL);
    bool placed;

    placed = check_creds(visit, text)
             && put(visit, beside, text, "cannot keep the new credentials")
             && is_let_in(visit, beside)
             && put(visit, path, text, "cannot put the new credentials in place");
    (void)apr_file_remove(beside, visit->pool);
    if (placed) {
        visit->result->creds_changed = true;
        SA_LOG(identity_creds_placed, SA_S("file", path));
    }
    return placed;
}

bool sa_bootstrap__place_creds(sa_bootstrap__visit_t *visit)
{
    sa_bootstrap__session_t *session = &visit->session;
    const char *path = visit->config->nats_creds_file;
    const char *there = text_of(path, CREDS_LIMIT, visit->pool);
    document_t document = {
        .collection = "nats_users", .name = "nats_user", .field = "creds_file",
        .what = "credentials", .id = session->nats_user, .revision = session->nats_revision,
        .anyhow = visit->want != SA_BOOTSTRAP_SYNC || !there
    };

    if (!fetch(&document, visit)) {
        return false;
    }
    if (!document.text) {
        return true;
    }
    if (strlen(document.text) > CREDS_LIMIT) {
        return sa_bootstrap__end(visit, SA_BOOTSTRAP_CREDS_BAD,
                                 "the credentials that the platform sent are too long");
    }
    if ((!there || strcmp(there, document.text) != 0) && !replace_creds(visit, document.text)) {
        return false;
    }
    session->nats_revision = document.new_revision;
    return true;
}

/* ---- what else -------------------------------------------------------------------------- */

bool sa_bootstrap__place_remote(sa_bootstrap__visit_t *visit)
{
    const sa_config_t *config = visit->config;
    const char *path = apr_pstrcat(visit->pool, config->paths_state, "/" SA_CONFIG_REMOTE_FILE,
                                   NULL);
    const cJSON *metadata = cJSON_GetObjectItem(visit->record, "metadata");
    const char *ignored;
    const char *text;

    if (!config->platform_remote_config) {
        return true;
    }
    text = sa_config_remote_text(&ignored, cJSON_GetObjectItem(metadata, "agent"),
                                 cJSON_GetObjectItem(metadata, "nats_urls"), visit->pool);
    if (*ignored) {
        SA_LOG(identity_remote_ignored, SA_S("settings", ignored));
    }
    if (holds(path, text, REMOTE_LIMIT, visit->pool)
        || (strcmp(text, "{}") == 0 && !sa_os_file_exists(path, visit->pool))) {
        return true;
    }
    if (!put(visit, path, text, "cannot keep the settings of the platform")) {
        return false;
    }
    visit->result->remote_changed = true;
    SA_LOG(identity_remote_changed, SA_S("file", path));
    return true;
}

bool sa_bootstrap__place_nebula(sa_bootstrap__visit_t *visit)
{
    sa_bootstrap__session_t *session = &visit->session;
    const char *path = visit->config->nebula_config_file;
    document_t document = {
        .collection = "nebula_hosts", .name = "nebula_host", .field = "config_yaml",
        .what = "overlay configuration", .id = session->nebula_host,
        .revision = session->nebula_revision,
        .anyhow = visit->want == SA_BOOTSTRAP_LOGIN || !sa_os_file_exists(path, visit->pool)
    };

    if (!visit->config->nebula_enabled) {
        return true;
    }
    if (!session->nebula_host[0]) {
        return sa_bootstrap__end(visit, SA_BOOTSTRAP_NOT_PROVISIONED,
                                 "the Thing has no Nebula identity yet (nebula.enabled is on)");
    }
    if (!fetch(&document, visit)) {
        return false;
    }
    if (document.text && strlen(document.text) > NEBULA_LIMIT) {
        return sa_bootstrap__end(visit, SA_BOOTSTRAP_CREDS_BAD,
                                 "the overlay configuration that the platform sent is too long");
    }
    if (document.text && !holds(path, document.text, NEBULA_LIMIT, visit->pool)) {
        sa_error_t *err = sa_os_dir_create_private(
            apr_pstrmemdup(visit->pool, path, (size_t)(strrchr(path, '/') - path)), visit->pool);

        if (err) {
            return sa_bootstrap__end_error(visit, SA_BOOTSTRAP_FILES, err,
                                           "cannot make the directory of nebula.config_file");
        }
        if (!put(visit, path, document.text, "cannot put the overlay configuration in place")) {
            return false;
        }
        visit->result->nebula_changed = true;
        SA_LOG(identity_nebula_placed, SA_S("file", path));
    }
    session->nebula_revision = document.new_revision ? document.new_revision
                                                     : session->nebula_revision;
    sa_stats_set_text(SA_STAT_TEXT_mesh_revision, session->nebula_revision);
    return true;
}
