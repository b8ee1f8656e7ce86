/* config: what the platform may set.
 *
 * Its words come twice: as metadata.agent of a Thing, of which only known, harmless and
 * valid settings are kept as a file, and as that file, which is believed no more. */
#include "sa_config_private.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "sa_os_file.h"
#include "sa_pool.h"
#include "sa_text.h"

#define DEPTH_MAX 8
#define MEMBERS_MAX 2000
#define WARNINGS_MAX 20
#define IGNORED_MAX 20

/* ---- what is said ----------------------------------------------------------- */

/* The members of an object, sorted into what may be set and what may not. */
typedef struct said_t {
    const cJSON **items;                /* by place in the main table; NULL: not said */
    apr_array_header_t *ignored;        /* of const char *: paths, printable, without blanks */
    int members;
    apr_pool_t *pool;
} said_t;

static said_t say_nothing(apr_pool_t *pool)
{
    return (said_t){.items = apr_pcalloc(pool, (size_t)sa_config__main.count
                                                   * sizeof(const cJSON *)),
                    .ignored = apr_array_make(pool, 8, sizeof(const char *)), .pool = pool};
}

static void ignore(said_t *said, const char *path)
{
    char *shown = apr_pstrdup(said->pool, sa_config__quote(NULL, path, said->pool));

    for (char *c = shown; *c; c++) {
        *c = *c == ' ' ? '?' : *c;
    }
    APR_ARRAY_PUSH(said->ignored, const char *) = *shown ? shown : "?";
}

/* The row that PATH sets, or -1.  The contract's name of the URLs is short. */
static int find_remote(const char *path, apr_pool_t *pool)
{
    int place = strcmp(path, "nats_urls") == 0
                    ? sa_config__find(&sa_config__main, "nats.urls")
                    : sa_config__find(&sa_config__main,
                                      sa_config__resolve(&sa_config__main, path, pool));

    return place >= 0 && (sa_config__main.rows[place].flags & SA_OPT_REMOTE) ? place : -1;
}

static void collect(said_t *said, const char *prefix, const cJSON *object, int depth);

static void collect_member(said_t *said, const char *path, const cJSON *item, int depth)
{
    int place = find_remote(path, said->pool);

    if (place >= 0 && !said->items[place]) {
        said->items[place] = item;
    } else if (place < 0 && cJSON_IsObject(item) && item->child && depth < DEPTH_MAX) {
        collect(said, path, item, depth + 1);
    } else {
        ignore(said, path);
    }
}

/* All of OBJECT, which stands at PREFIX ("" or "nats"). */
static void collect(said_t *said, const char *prefix, const cJSON *object, int depth)
{
    for (const cJSON *item = object->child; item; item = item->next) {
        const char *key = item->string ? item->string : "";

        if (++said->members > MEMBERS_MAX) {
            return;
        }
        if (strlen(key) > SA_CONFIG__KEY_BYTES) {
            ignore(said, key);
            continue;
        }
        collect_member(said, prefix[0] ? apr_pstrcat(said->pool, prefix, ".", key, NULL) : key,
                       item, depth);
    }
}

/* ---- values ----------------------------------------------------------------- */

/* NULL, or what TEXT must be.  The rows take a text for text: YAML has seen to that. */
static const char *check_text(const char *text)
{
    return sa_text_fault(text, strlen(text)) ? "must be readable text" : NULL;
}

static const char *read_list(sa_config__value_t *value, const sa_option_t *row,
                             const cJSON *item, apr_pool_t *pool)
{
    apr_array_header_t *list = sa_config__make_items(row, pool);
    const cJSON *first = cJSON_IsArray(item) ? item->child : item;

    for (const cJSON *each = first; each; each = cJSON_IsArray(item) ? each->next : NULL) {
        const char *must = "must be a list of texts";

        if (cJSON_IsString(each)) {
            must = check_text(each->valuestring);
            must = must ? must : sa_config__add_item(list, row, each->valuestring, pool);
        }
        if (must) {
            return must;
        }
    }
    if (list->nelts == 0 && (row->flags & SA_OPT_REQUIRED)) {
        return "must not be empty";
    }
    value->items = list;
    return NULL;
}

/* ITEM into VALUE by the type of ROW, in POOL.  NULL, or what it must be. */
static const char *read_item(sa_config__value_t *value, const sa_option_t *row,
                             const cJSON *item, apr_pool_t *pool)
{
    const char *must;

    memset(value, 0, sizeof(*value));
    if (row->type == SA_OPTION_LIST) {
        return read_list(value, row, item, pool);
    }
    if (cJSON_IsBool(item)) {
        return sa_config__parse(value, row, cJSON_IsTrue(item) ? "true" : "false", pool);
    }
    if (cJSON_IsNumber(item)) {
        return sa_config__parse(value, row, apr_psprintf(pool, "%.15g", item->valuedouble), pool);
    }
    if (!cJSON_IsString(item)) {
        return "must be one value";
    }
    must = check_text(item->valuestring);
    return must ? must : sa_config__parse(value, row, item->valuestring, pool);
}

/* ---- the file --------------------------------------------------------------- */

static void warn(sa_config__loader_t *loader, int *warnings, const char *path, const char *what)
{
    if (++*warnings <= WARNINGS_MAX) {
        sa_config__doubt(loader, &loader->here, "%s%s; left out", path, what);
    }
}

static void set_row(sa_config__loader_t *loader, int place, const cJSON *item, int *warnings)
{
    const sa_option_t *row = &sa_config__main.rows[place];
    sa_config__origin_t *origin = &loader->rows[place];
    sa_config__value_t value;
    const char *must = read_item(&value, row, item, loader->pool);

    if (must) {
        const char *quoted = !cJSON_IsString(item) ? ""
            : apr_psprintf(loader->scratch_pool, ": \"%s\"",
                           sa_config__quote(row, item->valuestring, loader->scratch_pool));

        warn(loader, warnings, row->path, apr_pstrcat(loader->scratch_pool, quoted, " ", must,
                                                      NULL));
    } else if (origin->kind == SA_ORIGIN_DEFAULT) {
        memcpy((char *)loader->config + row->offset, &value, sa_config__size(row->type));
        *origin = loader->here;
        origin->spelling = row->path;
    }
}

static void set_rows(sa_config__loader_t *loader, const cJSON *json)
{
    said_t said = say_nothing(loader->scratch_pool);
    int warnings = 0;

    collect(&said, "", json, 1);
    for (int i = 0; i < said.ignored->nelts; i++) {
        warn(loader, &warnings, APR_ARRAY_IDX(said.ignored, i, const char *),
             " is not for the platform to set");
    }
    for (int i = 0; i < sa_config__main.count; i++) {
        if (said.items[i]) {
            set_row(loader, i, said.items[i], &warnings);
        }
    }
    if (warnings > WARNINGS_MAX) {
        sa_config__doubt(loader, &loader->here, "%d more are left out", warnings - WARNINGS_MAX);
    }
}

void sa_config__load_remote(sa_config__loader_t *loader)
{
    const sa_config_t *config = loader->config;
    apr_pool_t *pool = loader->scratch_pool;
    const char *path;
    const char *text;
    size_t length;
    cJSON *json;
    sa_error_t *err;

    if (!loader->wants_platform || config->nats_auth_type != SA_AUTH_PLATFORM
        || !config->platform_remote_config) {
        return;
    }
    path = apr_pstrcat(pool, config->paths_state, "/" SA_CONFIG_REMOTE_FILE, NULL);
    sa_config__next_source(loader, path);
    loader->here.kind = SA_ORIGIN_PLATFORM;
    err = sa_os_file_read_secret(&text, &length, path, SA_CONFIG__REMOTE_BYTES, pool);
    if (err && APR_STATUS_IS_ENOENT(err->code)) {
        sa_error_clear(err);        /* it has said nothing */
        return;
    }
    if (!err) {
        err = sa_json_parse(&json, text, length, pool);
    }
    if (err) {
        char words[512];

        sa_config__doubt(loader, &loader->here, "the settings of the platform are left out: %s",
                         sa_error_text(err, words, sizeof(words)));
        sa_error_clear(err);
        return;
    }
    set_rows(loader, json);
}

/* ---- its text ---------------------------------------------------------------- */

static int by_path(const void *a, const void *b)
{
    return strcmp(sa_config__main.rows[*(const int *)a].path,
                  sa_config__main.rows[*(const int *)b].path);
}

/* The places of what is said, in the order of their paths. */
static apr_array_header_t *sort_said(const said_t *said)
{
    apr_array_header_t *places = apr_array_make(said->pool, 16, sizeof(int));

    for (int i = 0; i < sa_config__main.count; i++) {
        if (said->items[i]) {
            APR_ARRAY_PUSH(places, int) = i;
        }
    }
    qsort(places->elts, (size_t)places->nelts, sizeof(int), by_path);
    return places;
}

/* VALUE as it would be printed, so that "90s" and "1m30s" are the same text. */
static cJSON *make_item(const sa_config__value_t *value, const sa_option_t *row, apr_pool_t *pool)
{
    cJSON *list;

    if (row->type == SA_OPTION_BOOL) {
        return cJSON_CreateBool(value->on);
    }
    if (row->type != SA_OPTION_LIST) {
        return cJSON_CreateString(sa_config__print(value, row, pool));
    }
    list = cJSON_CreateArray();
    for (int i = 0; i < value->items->nelts; i++) {
        cJSON_AddItemToArray(list, cJSON_CreateString(APR_ARRAY_IDX(value->items, i,
                                                                    const char *)));
    }
    return list;
}

/* Add the value at PLACE to JSON, unless it is not valid or makes it too long. */
static void add_value(said_t *said, cJSON *json, int place)
{
    const sa_option_t *row = &sa_config__main.rows[place];
    sa_config__value_t value;
    size_t length;

    if (read_item(&value, row, said->items[place], said->pool)) {
        ignore(said, row->path);
        return;
    }
    cJSON_AddItemToObject(json, row->path, make_item(&value, row, said->pool));
    sa_json_print(json, &length, said->pool);
    if (length > SA_CONFIG__REMOTE_BYTES) {
        cJSON_DeleteItemFromObjectCaseSensitive(json, row->path);
        ignore(said, row->path);
    }
}

static const char *join_ignored(apr_array_header_t *ignored, apr_pool_t *pool)
{
    if (ignored->nelts > IGNORED_MAX) {
        ignored->nelts = IGNORED_MAX;
        APR_ARRAY_PUSH(ignored, const char *) = "...";
    }
    return apr_array_pstrcat(pool, ignored, ' ');
}

const char *sa_config_remote_text(const char **ignored, const cJSON *agent, const cJSON *urls,
                                  apr_pool_t *pool)
{
    said_t said = say_nothing(sa_pool_create(pool));
    int urls_place = sa_config__find(&sa_config__main, "nats.urls");
    cJSON *json = sa_json_object(said.pool);
    apr_array_header_t *places;
    const char *text;

    if (cJSON_IsObject(agent)) {
        collect(&said, "", agent, 1);
    } else if (agent && !cJSON_IsNull(agent)) {
        ignore(&said, "agent");
    }
    if (urls && !cJSON_IsNull(urls) && !said.items[urls_place]) {
        said.items[urls_place] = urls;
    }
    places = sort_said(&said);
    for (int i = 0; i < places->nelts; i++) {
        add_value(&said, json, APR_ARRAY_IDX(places, i, int));
    }
    text = sa_json_print(json, NULL, pool);
    *ignored = join_ignored(said.ignored, pool);
    apr_pool_destroy(said.pool);
    return text;
}
