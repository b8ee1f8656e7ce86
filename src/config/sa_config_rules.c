/* config: rules that need more than one option, or the world. */
#include "sa_config_private.h"

#include <string.h>

#include <apr_file_info.h>
#include <apr_strings.h>

#include "sa_pool.h"

const sa_config__origin_t *sa_config__origin_of(const sa_config__loader_t *loader,
                                                const char *path)
{
    int place = sa_config__find(&sa_config__main, path);

    SA_ASSERT(place >= 0);
    return &loader->rows[place];
}

static const sa_config__origin_t *row_of(const sa_config__places_t *places,
                                         const sa_config__table_t *table, const char *path)
{
    int place = sa_config__find(table, path);

    SA_ASSERT(place >= 0);
    return &places->rows[place];
}

bool sa_config__is_set(const sa_config__places_t *places, const sa_config__table_t *table,
                       const char *path)
{
    return row_of(places, table, path)->kind != SA_ORIGIN_DEFAULT;
}

const sa_config__origin_t *sa_config__origin_in(const sa_config__places_t *places,
                                                const sa_config__table_t *table,
                                                const char *path)
{
    return sa_config__is_set(places, table, path) ? row_of(places, table, path) : &places->self;
}

/* Was one of them refused already?  Its field has the default then, and a rule
 * would complain about a value that nobody wrote. */
static bool any_is_bad(const sa_config__loader_t *loader, const char *a, const char *b)
{
    return sa_config__origin_of(loader, a)->bad || sa_config__origin_of(loader, b)->bad;
}

/* The place of the later one, where a person looks for what to change. */
static const sa_config__origin_t *later(const sa_config__origin_t *a,
                                        const sa_config__origin_t *b)
{
    if (a->source != b->source) {
        return a->source > b->source ? a : b;
    }
    return a->line >= b->line ? a : b;
}

static const char *value_of(const sa_config__loader_t *loader, int place)
{
    const sa_option_t *row = &sa_config__main.rows[place];

    return sa_config__print((const char *)loader->config + row->offset, row,
                            loader->scratch_pool);
}

/* ---- required_if ------------------------------------------------------------ */

static void check_required_if(sa_config__loader_t *loader, int place)
{
    const sa_option_t *row = &sa_config__main.rows[place];
    const char *equals = strchr(row->required_if, '=');
    const char *other = apr_pstrmemdup(loader->scratch_pool, row->required_if,
                                       (size_t)(equals - row->required_if));
    int other_place = sa_config__find(&sa_config__main, other);

    SA_ASSERT(other_place >= 0);
    if (strcmp(value_of(loader, other_place), equals + 1) != 0 || value_of(loader, place)[0]
        || loader->rows[place].bad) {
        return;
    }
    if (row->type == SA_OPTION_SECRET) {
        sa_config__wrong(loader, &loader->rows[other_place],
                         "%s: \"%s\" needs %s_file, %s_env or a systemd credential %s", other,
                         equals + 1, row->path, row->path, row->path);
    } else {
        sa_config__wrong(loader, &loader->rows[other_place], "%s: \"%s\" needs %s", other,
                         equals + 1, row->path);
    }
}

/* ---- secrets ------------------------------------------------------------------ */

/* An OPTIONAL one may have been taken away: only that others can read it is wrong then. */
static void check_secret(sa_config__loader_t *loader, const sa_secret_t *secret,
                         const sa_config__origin_t *origin, bool optional)
{
    apr_pool_t *secret_pool;
    const char *value;
    sa_error_t *err;
    char text[512];

    if (secret->source == SA_SECRET_NONE) {
        return;
    }
    secret_pool = sa_pool_create(loader->scratch_pool);
    err = sa_secret_read(&value, secret, secret_pool);
    apr_pool_destroy(secret_pool);
    if (err) {
        sa_config__complain(loader, origin, optional && !sa_error_has(err, SA_ERR_FILE_UNSAFE),
                            "%s", sa_error_text(err, text, sizeof(text)));
    }
    sa_error_clear(err);
}

/* ---- the bus ------------------------------------------------------------------ */

/* Not there is told, not refused: `stone-age-agent keygen` reads the configuration as well. */
static void check_nkey(sa_config__loader_t *loader)
{
    const char *path = loader->config->nats_nkey_file;
    apr_finfo_t info;

    if (loader->config->nats_auth_type == SA_AUTH_NKEY
        && !any_is_bad(loader, "nats.auth.type", "nats.auth.nkey_file")
        && APR_STATUS_IS_ENOENT(apr_stat(&info, path, APR_FINFO_TYPE, loader->scratch_pool))) {
        sa_config__doubt(loader, sa_config__origin_of(loader, "nats.auth.type"),
                         "nats.auth.type: \"nkey\" needs the seed in %s, which is not there; "
                         "stone-age-agent keygen makes one", path);
    }
}

static void check_pair_of_files(sa_config__loader_t *loader)
{
    const sa_config_t *config = loader->config;
    static const char cert[] = "nats.tls.cert_file";
    static const char key[] = "nats.tls.key_file";
    bool has_cert = config->nats_tls_cert_file[0] != '\0';
    bool has_key = config->nats_tls_key_file[0] != '\0';

    if (has_cert == has_key || any_is_bad(loader, cert, key)) {
        return;
    }
    if (has_cert) {
        sa_config__wrong(loader, sa_config__origin_of(loader, cert), "%s needs %s", cert, key);
    } else {
        sa_config__wrong(loader, sa_config__origin_of(loader, key), "%s needs %s", key, cert);
    }
}

static void check_reconnect(sa_config__loader_t *loader)
{
    static const char wait[] = "nats.reconnect_wait";
    static const char most[] = "nats.reconnect_max";

    if (!any_is_bad(loader, wait, most)
        && loader->config->nats_reconnect_wait > loader->config->nats_reconnect_max) {
        sa_config__doubt(loader, later(sa_config__origin_of(loader, wait),
                                       sa_config__origin_of(loader, most)),
                         "%s is longer than %s, which is the limit", wait, most);
    }
}

/* A prefix that ends in the code gives "agents.x.x.heartbeat", which nobody
 * listens to. */
static void check_subject(sa_config__loader_t *loader)
{
    const sa_config_t *config = loader->config;
    const char *last;

    if (!config->code || !config->subject_prefix || any_is_bad(loader, "code", "subject_prefix")) {
        return;
    }
    last = strrchr(config->subject_prefix, '.');
    if (strcmp(last ? last + 1 : config->subject_prefix, config->code) == 0) {
        sa_config__doubt(loader, sa_config__origin_of(loader, "subject_prefix"),
                         "subject_prefix: \"%s\" ends with the code, which is added by itself: "
                         "subjects begin with %s.%s",
                         config->subject_prefix, config->subject_prefix, config->code);
    }
}

static bool begins_with(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

/* A requester must not be able to have our answers taken for our reports. */
static void check_reply_prefixes(sa_config__loader_t *loader)
{
    const apr_array_header_t *prefixes = loader->config->reply_prefixes;
    const char *own = apr_pstrcat(loader->scratch_pool, loader->config->subject_prefix, ".", NULL);

    if (any_is_bad(loader, "commands.reply_prefixes", "subject_prefix")) {
        return;
    }
    for (int i = 0; i < prefixes->nelts; i++) {
        const char *prefix = APR_ARRAY_IDX(prefixes, i, const char *);

        if (begins_with(own, prefix) || begins_with(prefix, own)) {
            sa_config__doubt(loader, sa_config__origin_of(loader, "commands.reply_prefixes"),
                             "commands.reply_prefixes: \"%s\" covers subjects of the agents "
                             "themselves (%s...): whoever asks can forge reports", prefix, own);
        }
    }
}

/* ---- tasks ------------------------------------------------------------------- */

static void check_intervals(sa_config__loader_t *loader)
{
    const sa_config_t *config = loader->config;
    static const char beat[] = "tasks.heartbeat.interval";
    static const char metrics[] = "tasks.system_metrics.interval";

    if (config->heartbeat_enabled && config->metrics_enabled && !any_is_bad(loader, beat, metrics)
        && config->heartbeat_interval > config->metrics_interval) {
        sa_config__doubt(loader, later(sa_config__origin_of(loader, beat),
                                       sa_config__origin_of(loader, metrics)),
                         "%s is longer than %s: the machine looks dead between two reports", beat,
                         metrics);
    }
}

static const sa_config__places_t *places_at(const sa_config__loader_t *loader, int element)
{
    return APR_ARRAY_IDX(loader->origins->main.elements[SA_CONFIG__EXPORTERS], element,
                         const sa_config__places_t *);
}

static const sa_config__origin_t *origin_in(const sa_config__loader_t *loader, int element,
                                            const char *path)
{
    return sa_config__origin_in(places_at(loader, element), &sa_config__exporters, path);
}

static const sa_exporter_config_t *exporter_at(const sa_config__loader_t *loader, int element)
{
    return &APR_ARRAY_IDX(loader->config->exporters, element, sa_exporter_config_t);
}

/* What the platform says must not decide whether the file here is right. */
static bool has_agent_metrics(const sa_config__loader_t *loader)
{
    return loader->config->agent_metrics_enabled
           || sa_config__origin_of(loader, "tasks.agent_metrics.enabled")->kind
                  == SA_ORIGIN_PLATFORM;
}

static void check_name(sa_config__loader_t *loader, int element)
{
    const char *name = exporter_at(loader, element)->name;

    if (name && strcmp(name, "agent") == 0 && has_agent_metrics(loader)) {
        sa_config__wrong(loader, origin_in(loader, element, "name"),
                         "tasks.exporters[].name: \"agent\" is for the agent's own counters "
                         "(tasks.agent_metrics)");
        return;
    }
    for (int i = 0; name && i < element; i++) {
        const sa_config__origin_t *first = origin_in(loader, i, "name");

        if (exporter_at(loader, i)->name && strcmp(exporter_at(loader, i)->name, name) == 0) {
            sa_config__wrong(loader, origin_in(loader, element, "name"),
                             "tasks.exporters[].name: \"%s\" is taken already (%s)", name,
                             sa_config__where(first, loader->scratch_pool));
            return;
        }
    }
}

static bool is_default(const sa_config__loader_t *loader, int element, const char *path)
{
    return !sa_config__is_set(places_at(loader, element), &sa_config__exporters, path);
}

static void shorten_timeout(sa_config__loader_t *loader, int element)
{
    sa_exporter_config_t *exporters = (sa_exporter_config_t *)loader->config->exporters->elts;

    exporters[element].timeout = exporters[element].interval;
}

static void check_timeout(sa_config__loader_t *loader, int element)
{
    const sa_exporter_config_t *exporter = exporter_at(loader, element);
    const sa_config__origin_t *timeout = origin_in(loader, element, "timeout");
    const sa_config__origin_t *interval = origin_in(loader, element, "interval");

    if (is_default(loader, element, "timeout") && exporter->timeout > exporter->interval) {
        shorten_timeout(loader, element);       /* nobody has asked for a longer one */
    } else if (!timeout->bad && !interval->bad && exporter->timeout > exporter->interval) {
        sa_config__wrong(loader, later(timeout, interval),
                         "tasks.exporters[].timeout must not be longer than the interval");
    }
}

static void check_labels(sa_config__loader_t *loader, int element)
{
    const apr_array_header_t *labels = exporter_at(loader, element)->labels;

    for (int i = 0; i < labels->nelts; i++) {
        const char *key = APR_ARRAY_IDX(labels, i, sa_config_pair_t).key;

        if (sa_config__has_word("code location job instance", key)) {
            sa_config__wrong(loader, origin_in(loader, element, "labels"),
                             "tasks.exporters[].labels: \"%s\" is the agent's own label", key);
        }
    }
}

/* Secrets and switches of one exporter; those of the main table: check_row(). */
static void check_exporter_rows(sa_config__loader_t *loader, int element)
{
    const char *fields = (const void *)exporter_at(loader, element);

    for (int i = 0; i < sa_config__exporters.count; i++) {
        const sa_option_t *row = &sa_config__exporters.rows[i];
        const sa_config__origin_t *origin = origin_in(loader, element, row->path);

        if (row->type == SA_OPTION_SECRET && !origin->bad) {
            check_secret(loader, (const void *)(fields + row->offset), origin, false);
        }
        if ((row->flags & SA_OPT_INSECURE) && *(const bool *)(const void *)(fields + row->offset)) {
            sa_config__doubt(loader, origin, "tasks.exporters[].%s is on: %s", row->path, row->doc);
        }
    }
}

/* A and B of an exporter need each other. */
static void check_both(sa_config__loader_t *loader, int element, const char *a, bool has_a,
                       const char *b, bool has_b)
{
    const sa_config__origin_t *a_origin = origin_in(loader, element, a);
    const sa_config__origin_t *b_origin = origin_in(loader, element, b);

    if (has_a != has_b && !a_origin->bad && !b_origin->bad) {
        sa_config__wrong(loader, has_a ? a_origin : b_origin, "tasks.exporters[].%s needs %s",
                         has_a ? a : b, has_a ? b : a);
    }
}

static void check_login(sa_config__loader_t *loader, int element)
{
    const sa_exporter_config_t *exporter = exporter_at(loader, element);
    bool has_user = exporter->username[0] != '\0';
    bool has_password = exporter->password.source != SA_SECRET_NONE;
    bool has_bearer = exporter->bearer.source != SA_SECRET_NONE;

    check_both(loader, element, "cert_file", exporter->cert_file[0] != '\0', "key_file",
               exporter->key_file[0] != '\0');
    check_both(loader, element, "username", has_user, "password", has_password);
    if (has_bearer && (has_user || has_password)) {
        sa_config__wrong(loader, origin_in(loader, element, "bearer"),
                         "tasks.exporters[].bearer: there are user and password as well; one of "
                         "them must go");
    }
    if ((has_user || has_bearer) && exporter->url && begins_with(exporter->url, "http://") &&
        !sa_config__is_local(exporter->url)) {
        sa_config__doubt(loader, origin_in(loader, element, "url"),
                         "tasks.exporters[].url: the secret goes over the network in the clear");
    }
}

/* ---- all --------------------------------------------------------------------- */

static void check_row(sa_config__loader_t *loader, int place)
{
    const sa_option_t *row = &sa_config__main.rows[place];

    if (row->required_if) {
        check_required_if(loader, place);
    }
    if (row->type == SA_OPTION_SECRET) {
        check_secret(loader, (const void *)((const char *)loader->config + row->offset),
                     &loader->rows[place], row->required_if == NULL);
    }
    if ((row->flags & SA_OPT_INSECURE) && strcmp(value_of(loader, place), "true") == 0) {
        sa_config__doubt(loader, &loader->rows[place], "%s is on: %s", row->path, row->doc);
    }
}

void sa_config__check_rules(sa_config__loader_t *loader)
{
    for (int i = 0; i < sa_config__main.count; i++) {
        check_row(loader, i);
    }
    sa_config__check_roads(loader);
    check_nkey(loader);
    sa_config__check_platform(loader);
    check_pair_of_files(loader);
    check_reconnect(loader);
    check_subject(loader);
    check_reply_prefixes(loader);
    check_intervals(loader);
    for (int i = 0; i < loader->config->exporters->nelts; i++) {
        check_name(loader, i);
        check_timeout(loader, i);
        check_labels(loader, i);
        check_exporter_rows(loader, i);
        check_login(loader, i);
    }
    sa_config__check_commands(loader);
}
