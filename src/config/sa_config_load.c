/* config: nodes become fields.  A dotted path finds its row, the row's type
 * reads the text, and where it stood is remembered. */
#include "sa_config_private.h"

#include <stdlib.h>
#include <string.h>

#include <apr_file_info.h>
#include <apr_strings.h>

#include "sa_os_paths.h"
#include "sa_pool.h"
#include "sa_words.h"

/* The least that --set takes where only a trial wants so little. */
#define TRIAL_MIN "1s"

/* What is being filled: the configuration, or one element of a group. */
typedef struct scope_t {
    const sa_config__table_t *table;
    char *fields;                       /* the struct */
    sa_config__places_t *places;        /* where each of them stands */
    const char *shown;                  /* before each path in complaints */
    apr_hash_t *seen;                   /* path -> const int *: its line in this source */
    bool strict;                        /* what is unknown is wrong */
} scope_t;

static void visit(sa_config__loader_t *loader, scope_t *scope, const char *path,
                  const sa_config__node_t *key, const sa_config__node_t *node);

/* Here, in the line of NODE. */
static const sa_config__origin_t *at(sa_config__loader_t *loader, const sa_config__node_t *node)
{
    loader->here.line = loader->here.kind == SA_ORIGIN_SET ? 0 : node->line;
    return &loader->here;
}

/* " on line 3"; a setting of the command line has no line. */
static const char *on_line(sa_config__loader_t *loader, int line)
{
    return loader->here.kind == SA_ORIGIN_SET
               ? "" : apr_psprintf(loader->scratch_pool, " on line %d", line);
}

/* Written, but with nothing behind it: the same as not written. */
static bool is_nothing(const sa_config__node_t *node)
{
    return node->kind == SA_NODE_SCALAR && node->plain
           && (!node->text[0] || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0);
}

static const char *kind_text(const sa_config__node_t *node)
{
    switch (node->kind) {
    case SA_NODE_LIST:
        return "a list";
    case SA_NODE_MAP:
        return "a group of settings";
    case SA_NODE_SCALAR:
        break;
    }
    return "one value";
}

/* PATH is made printable; keys come from the file as they are. */
static const char *show(sa_config__loader_t *loader, const scope_t *scope, const char *path)
{
    return apr_pstrcat(loader->scratch_pool, scope->shown,
                       sa_config__quote(NULL, path, loader->scratch_pool), NULL);
}

static void *field_of(const scope_t *scope, const sa_option_t *row)
{
    return scope->fields + row->offset;
}

/* ---- reading one option ---------------------------------------------------- */

typedef struct reading_t {
    sa_config__loader_t *loader;
    const sa_option_t *row;
    const char *shown;
    bool good;
} reading_t;

static void refuse(reading_t *reading, const sa_config__node_t *node, const char *text,
                   const char *must)
{
    reading->good = false;
    sa_config__wrong(reading->loader, at(reading->loader, node), "%s: \"%s\" %s", reading->shown,
                     sa_config__quote(reading->row, text, reading->loader->scratch_pool), must);
}

static void refuse_kind(reading_t *reading, const sa_config__node_t *node, const char *wanted)
{
    reading->good = false;
    sa_config__wrong(reading->loader, at(reading->loader, node), "%s must be %s, not %s",
                     reading->shown, wanted, kind_text(node));
}

static void read_text(reading_t *reading, sa_config__value_t *value,
                      const sa_config__node_t *node)
{
    bool is_trial = (reading->row->flags & SA_OPT_TRIAL) != 0;
    bool from_set = reading->loader->here.kind == SA_ORIGIN_SET;
    sa_option_t row = *reading->row;
    const char *must;

    if (is_trial && from_set) {
        row.min = TRIAL_MIN;
    }
    must = sa_config__parse(value, &row, node->text, reading->loader->pool);
    if (must && is_trial && !from_set) {
        must = apr_pstrcat(reading->loader->scratch_pool, must,
                           "; less is taken from --set only, for trials", NULL);
    }
    if (must) {
        refuse(reading, node, node->text, must);
    }
}

static void read_list(reading_t *reading, sa_config__value_t *value,
                      const sa_config__node_t *node)
{
    apr_array_header_t *list = sa_config__make_items(reading->row, reading->loader->pool);

    for (int i = 0; i < node->items->nelts && reading->good; i++) {
        const sa_config__node_t *item = APR_ARRAY_IDX(node->items, i, const sa_config__node_t *);
        const char *must;

        if (item->kind != SA_NODE_SCALAR) {
            refuse_kind(reading, item, "a list of single values");
            return;
        }
        must = sa_config__add_item(list, reading->row, item->text, reading->loader->pool);
        if (must) {
            refuse(reading, item, item->text, must);
        }
    }
    if (list->nelts == 0 && reading->good && (reading->row->flags & SA_OPT_REQUIRED)) {
        reading->good = false;
        sa_config__wrong(reading->loader, at(reading->loader, node), "%s must not be empty",
                         reading->shown);
    }
    value->items = list;
}

static bool has_key(const apr_array_header_t *map, const char *key)
{
    for (int i = 0; i < map->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(map, i, sa_config_pair_t).key, key) == 0) {
            return true;
        }
    }
    return false;
}

static void read_map(reading_t *reading, sa_config__value_t *value, const sa_config__node_t *node)
{
    apr_array_header_t *map = sa_config__make_items(reading->row, reading->loader->pool);

    for (int i = 0; i + 1 < node->items->nelts && reading->good; i += 2) {
        const sa_config__node_t *key = APR_ARRAY_IDX(node->items, i, const sa_config__node_t *);
        const sa_config__node_t *item =
            APR_ARRAY_IDX(node->items, i + 1, const sa_config__node_t *);
        const char *must;

        if (key->kind != SA_NODE_SCALAR || item->kind != SA_NODE_SCALAR) {
            refuse_kind(reading, item, "names with one value each");
            return;
        }
        must = has_key(map, key->text)
                   ? "is set twice"
                   : sa_config__add_pair(map, reading->row, key->text, item->text,
                                         reading->loader->pool);
        if (must) {
            refuse(reading, key, key->text, must);
        }
    }
    value->items = map;
}

/* The node into VALUE by the type of the row. */
static void read_value(reading_t *reading, sa_config__value_t *value,
                       const sa_config__node_t *node)
{
    bool from_set = reading->loader->here.kind == SA_ORIGIN_SET;

    switch (reading->row->type) {
    case SA_OPTION_LIST:
        if (node->kind == SA_NODE_LIST) {
            read_list(reading, value, node);
        } else if (node->kind == SA_NODE_SCALAR && from_set) {
            read_text(reading, value, node);
        } else {
            refuse_kind(reading, node, "a list, [one, two]");
        }
        break;
    case SA_OPTION_MAP:
        if (node->kind == SA_NODE_MAP) {
            read_map(reading, value, node);
        } else if (node->kind == SA_NODE_SCALAR && from_set) {
            read_text(reading, value, node);
        } else {
            refuse_kind(reading, node, "names with values, {one: \"1\", two: \"2\"}");
        }
        break;
    case SA_OPTION_SECRET:
        reading->good = false;
        sa_config__wrong(reading->loader, at(reading->loader, node),
                         "%s must not stand here: put it into a file and name that by %s_file, or "
                         "name an environment variable by %s_env",
                         reading->shown, reading->shown, reading->shown);
        break;
    default:
        if (node->kind == SA_NODE_SCALAR) {
            read_text(reading, value, node);
        } else {
            refuse_kind(reading, node, "one value");
        }
    }
}

/* Two spellings of one option in one source must say the same. */
static void compare_spellings(sa_config__loader_t *loader, scope_t *scope, int place,
                              const char *shown, const sa_config__value_t *value,
                              const sa_config__node_t *key)
{
    const sa_option_t *row = &scope->table->rows[place];
    const sa_config__origin_t *before = &scope->places->rows[place];
    apr_pool_t *pool = loader->scratch_pool;
    const char *old_text;
    const char *new_text;

    if (before->source != loader->here.source || before->bad || !before->spelling) {
        return;
    }
    old_text = sa_config__print(field_of(scope, row), row, pool);
    new_text = sa_config__print(value, row, pool);
    if (strcmp(old_text, new_text) == 0 || strcmp(before->spelling, shown) == 0) {
        return;
    }
    sa_config__wrong(loader, at(loader, key),
                     "%s: \"%s\" is not what %s%s says (\"%s\"); they are the same setting", shown,
                     sa_config__quote(row, new_text, pool), before->spelling,
                     on_line(loader, before->line), sa_config__quote(row, old_text, pool));
}

static void remember(sa_config__loader_t *loader, sa_config__origin_t *origin, const char *shown,
                     const sa_config__node_t *key, bool good)
{
    *origin = *at(loader, key);
    origin->spelling = apr_pstrdup(loader->pool, shown);
    origin->bad = !good;
}

static void set_option(sa_config__loader_t *loader, scope_t *scope, int place, const char *path,
                       const sa_config__node_t *key, const sa_config__node_t *node)
{
    const sa_option_t *row = &scope->table->rows[place];
    reading_t reading = {loader, row, show(loader, scope, path), true};
    sa_config__value_t value;

    if (is_nothing(node)) {
        return;
    }
    memset(&value, 0, sizeof(value));
    read_value(&reading, &value, node);
    if (reading.good) {
        compare_spellings(loader, scope, place, reading.shown, &value, key);
        memcpy(field_of(scope, row), &value, sa_config__size(row->type));
    }
    remember(loader, &scope->places->rows[place], reading.shown, key, reading.good);
}

/* ---- secrets: only their sources --------------------------------------------- */

/* NULL, or what WHERE must be.  The complaint never quotes it: somebody may
 * have put the secret itself there. */
static const char *check_source(int source, const char *where, apr_pool_t *pool)
{
    static const sa_option_t path_row = {.type = SA_OPTION_STR, .shape = SA_SHAPE_PATH};
    static const sa_option_t name_row = {.type = SA_OPTION_STR, .shape = SA_SHAPE_TOKEN,
                                         .max = "255"};

    if (source == SA_SECRET_FILE) {
        return sa_config__check_shape(&path_row, where, pool);
    }
    return sa_config__check_shape(&name_row, where, pool) ? "must be the name of a variable" : NULL;
}

/* Two spellings may say the same. */
static bool is_same_source(const sa_secret_t *secret, int source, const sa_config__node_t *node)
{
    return (int)secret->source == source && node->kind == SA_NODE_SCALAR
           && strcmp(secret->where, node->text) == 0;
}

static void set_secret(sa_config__loader_t *loader, scope_t *scope, int place, int source,
                       const char *path, const sa_config__node_t *key,
                       const sa_config__node_t *node)
{
    const sa_option_t *row = &scope->table->rows[place];
    sa_config__origin_t *origin = &scope->places->rows[place];
    sa_secret_t *secret = field_of(scope, row);
    const char *shown = show(loader, scope, path);
    const char *must;

    if (is_nothing(node)) {
        return;
    }
    if (origin->source == loader->here.source && origin->kind != SA_ORIGIN_DEFAULT
        && !is_same_source(secret, source, node)) {
        sa_config__wrong(loader, at(loader, key),
                         "%s: there is %s%s already; one of them must go", shown, origin->spelling,
                         on_line(loader, origin->line));
        return;
    }
    must = node->kind == SA_NODE_SCALAR ? check_source(source, node->text, loader->scratch_pool)
                                        : "must be one value";
    if (must) {
        sa_config__wrong(loader, at(loader, key), "%s %s", shown, must);
    } else {
        secret->source = source == SA_SECRET_FILE ? SA_SECRET_FILE : SA_SECRET_ENV;
        secret->where = apr_pstrdup(loader->pool, node->text);
        secret->path = apr_pstrcat(loader->pool, scope->shown, row->path, NULL);
    }
    remember(loader, origin, shown, key, must == NULL);
}

/* ---- groups -------------------------------------------------------------------- */

static void add_reserved(sa_config__loader_t *loader, const char *path)
{
    apr_array_header_t *reserved = loader->origins->reserved;

    for (int i = 0; i < reserved->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(reserved, i, const char *), path) == 0) {
            return;
        }
    }
    APR_ARRAY_PUSH(reserved, const char *) = apr_pstrdup(loader->pool, path);
}

static void complain_of_unknown(sa_config__loader_t *loader, scope_t *scope, const char *path,
                                const sa_config__node_t *key)
{
    const char *nearest = NULL;
    const char *shown = show(loader, scope, path);
    /* In a file it may be a setting of a newer version.  On the command line
     * somebody has just written it, and means it. */
    bool is_warning = loader->here.kind != SA_ORIGIN_SET && !scope->strict;

    if (sa_config__has_room(loader)) {
        nearest = sa_config__nearest(scope->table,
                                     sa_config__resolve(scope->table, path, loader->scratch_pool),
                                     loader->scratch_pool);
    }
    if (nearest) {
        sa_config__complain(loader, at(loader, key), is_warning,
                            "%s is not an option; did you mean %s%s?", shown, scope->shown,
                            nearest);
    } else {
        sa_config__complain(loader, at(loader, key), is_warning, "%s is not an option", shown);
    }
}

/* Was PATH set in this source before?  Then complain. */
static bool is_double(sa_config__loader_t *loader, scope_t *scope, const char *path,
                      const sa_config__node_t *key)
{
    const int *first = apr_hash_get(scope->seen, path, APR_HASH_KEY_STRING);

    if (first) {
        sa_config__wrong(loader, at(loader, key), "%s is set twice; first%s",
                         show(loader, scope, path), on_line(loader, *first));
        return true;
    }
    apr_hash_set(scope->seen, path, APR_HASH_KEY_STRING, &key->line);
    return false;
}

static bool check_key(sa_config__loader_t *loader, const sa_config__node_t *key)
{
    if (key->kind != SA_NODE_SCALAR) {
        sa_config__wrong(loader, at(loader, key), "%s cannot be a key", kind_text(key));
        return false;
    }
    if (!key->text[0] || strlen(key->text) > SA_CONFIG__KEY_BYTES) {
        sa_config__wrong(loader, at(loader, key), "a key must have from 1 to %d bytes",
                         SA_CONFIG__KEY_BYTES);
        return false;
    }
    return true;
}

/* All keys of MAP, which stands at PREFIX ("" or "nats"). */
static void walk(sa_config__loader_t *loader, scope_t *scope, const char *prefix,
                 const sa_config__node_t *map)
{
    for (int i = 0; i + 1 < map->items->nelts; i += 2) {
        const sa_config__node_t *key = APR_ARRAY_IDX(map->items, i, const sa_config__node_t *);
        const sa_config__node_t *node = APR_ARRAY_IDX(map->items, i + 1, const sa_config__node_t *);
        const char *path;

        if (!check_key(loader, key)) {
            continue;
        }
        path = prefix[0] ? apr_pstrcat(loader->scratch_pool, prefix, ".", key->text, NULL)
                         : key->text;
        if (!is_double(loader, scope, path, key)) {
            visit(loader, scope, path, key, node);
        }
    }
}

static void visit_section(sa_config__loader_t *loader, scope_t *scope, const char *path,
                          const sa_config__node_t *key, const sa_config__node_t *node)
{
    if (node->kind == SA_NODE_MAP) {
        walk(loader, scope, path, node);
    } else if (!is_nothing(node)) {
        sa_config__wrong(loader, at(loader, key), "%s must be a group of settings, not %s",
                         show(loader, scope, path), kind_text(node));
    }
}

/* ---- defaults ------------------------------------------------------------------ */

/* TEXT with @statedir@ and its like replaced. */
static const char *substitute(const sa_config__loader_t *loader, const char *text)
{
    apr_pool_t *pool = loader->scratch_pool;
    const char *state = loader->config->paths_state;
    const char *rest;

    if (text[0] != '@') {
        return text;
    }
    rest = strchr(text + 1, '@');
    SA_ASSERT(rest != NULL);
    rest++;
    if (strncmp(text, "@statedir@", 10) == 0) {
        /* Who moves the state moves what stands in it. */
        return apr_pstrcat(pool, state ? state : sa_os_path_state(pool), rest, NULL);
    }
    if (strncmp(text, "@rundir@", 8) == 0) {
        return apr_pstrcat(pool, sa_os_path_runtime(pool), rest, NULL);
    }
    SA_ASSERT(strncmp(text, "@confdir@", 9) == 0);
    return apr_pstrcat(pool, sa_os_path_config(pool), rest, NULL);
}

static void fill_default(sa_config__loader_t *loader, scope_t *scope, const sa_option_t *row,
                         const sa_config__origin_t *origin)
{
    sa_option_t optional = *row;
    const char *text = row->def ? substitute(loader, row->def) : "";
    const char *must;

    if (!row->def && row->type == SA_OPTION_STR) {
        return;                 /* required; stays NULL, and check_required() says so */
    }
    optional.flags = 0;         /* an empty list stands in for a missing one */
    must = sa_config__parse(field_of(scope, row), &optional, text, loader->pool);
    if (must) {                 /* what the environment says may be no path */
        sa_config__wrong(loader, origin, "%s: the system's default \"%s\" %s", row->path,
                         sa_config__quote(row, text, loader->scratch_pool), must);
    }
}

/* The fields that nothing has set, or only badly. */
static void fill_defaults(sa_config__loader_t *loader, scope_t *scope)
{
    for (int i = 0; i < scope->table->count; i++) {
        const sa_config__origin_t *origin = &scope->places->rows[i];

        if (origin->kind == SA_ORIGIN_DEFAULT || origin->bad) {
            fill_default(loader, scope, &scope->table->rows[i], origin);
        }
    }
}

static void check_required(sa_config__loader_t *loader, scope_t *scope,
                           const sa_config__origin_t *where)
{
    for (int i = 0; i < scope->table->count; i++) {
        const sa_option_t *row = &scope->table->rows[i];

        if (!(row->flags & SA_OPT_REQUIRED) || scope->places->rows[i].kind != SA_ORIGIN_DEFAULT) {
            continue;
        }
        if (scope->table == &sa_config__main && sa_config__may_come(loader, row)) {
            sa_config__doubt(loader, where, "%s is missing: the agent waits until the platform "
                             "sets it (metadata.agent of the Thing)", row->path);
        } else {
            sa_config__wrong(loader, where, "%s%s is missing", scope->shown, row->path);
            if (scope->table == &sa_config__main) {
                sa_config__mark_missing(loader);
            }
        }
    }
}

/* ---- lists of structs ----------------------------------------------------------- */

/* Empty lists of all of TABLE's groups. */
static void make_lists(const sa_config__table_t *table, void *fields, sa_config__places_t *places,
                       apr_pool_t *pool)
{
    SA_ASSERT(table->group_count <= SA_CONFIG__GROUPS);
    for (int i = 0; i < table->group_count; i++) {
        const sa_config__group_t *group = &table->groups[i];
        void *field = (char *)fields + group->offset;

        *(apr_array_header_t **)field = apr_array_make(pool, 4, (int)group->table->size);
        places->elements[i] = apr_array_make(pool, 4, sizeof(sa_config__places_t *));
    }
}

/* A new element of GROUP, which is at PLACE in SCOPE, to be filled. */
static scope_t begin_element(sa_config__loader_t *loader, const scope_t *scope, int place,
                             const char *name, const sa_config__node_t *node)
{
    const sa_config__group_t *group = &scope->table->groups[place];
    const sa_config__table_t *table = group->table;
    sa_config__places_t *places = apr_pcalloc(loader->pool, sizeof(*places));
    scope_t element = {.table = table, .places = places, .strict = group->strict,
                       .fields = apr_array_push(sa_config__list_of(group, scope->fields)),
                       .shown = apr_pstrcat(loader->scratch_pool, scope->shown, group->path,
                                            name ? "." : "[].", name, name ? "." : NULL, NULL),
                       .seen = apr_hash_make(loader->scratch_pool)};

    memset(element.fields, 0, table->size);
    places->rows = apr_pcalloc(loader->pool, (size_t)table->count * sizeof(*places->rows));
    places->self = *at(loader, node);
    make_lists(table, element.fields, places, loader->pool);
    APR_ARRAY_PUSH(scope->places->elements[place], sa_config__places_t *) = places;
    return element;
}

/* NODE, a map or nothing, is one element; NAME is NULL in a list. */
static void add_element(sa_config__loader_t *loader, scope_t *scope, int place, const char *name,
                        const sa_config__node_t *node)
{
    scope_t element = begin_element(loader, scope, place, name, node);

    if (name) {
        *(const char **)(void *)element.fields = apr_pstrdup(loader->pool, name);
    }
    if (node->kind == SA_NODE_MAP) {
        walk(loader, &element, "", node);
    }
    fill_defaults(loader, &element);
    check_required(loader, &element, at(loader, node));
}

/* NODE, plain text, is an element in short. */
static void add_single(sa_config__loader_t *loader, scope_t *scope, int place,
                       const sa_config__node_t *node)
{
    const sa_config__group_t *group = &scope->table->groups[place];
    scope_t element = begin_element(loader, scope, place, NULL, node);

    element.shown = apr_pstrcat(loader->scratch_pool, group->path, "[]", NULL);
    set_option(loader, &element, sa_config__find(group->table, group->single), "", node, node);
    fill_defaults(loader, &element);
}

static bool has_room(sa_config__loader_t *loader, const scope_t *scope, int place,
                     const sa_config__node_t *node)
{
    const sa_config__group_t *group = &scope->table->groups[place];

    if (sa_config__list_of(group, scope->fields)->nelts < group->max) {
        return true;
    }
    sa_config__wrong(loader, at(loader, node), "%s: at most %d are allowed",
                     show(loader, scope, group->path), group->max);
    return false;
}

/* Only one that is named is a map, and its names are unique: walk() has no part in it. */
static void read_named(sa_config__loader_t *loader, scope_t *scope, int place,
                       const sa_config__node_t *node)
{
    const char *shown = show(loader, scope, scope->table->groups[place].path);
    apr_hash_t *seen = apr_hash_make(loader->scratch_pool);

    for (int i = 0; i + 1 < node->items->nelts; i += 2) {
        const sa_config__node_t *key = APR_ARRAY_IDX(node->items, i, const sa_config__node_t *);
        const sa_config__node_t *item =
            APR_ARRAY_IDX(node->items, i + 1, const sa_config__node_t *);
        const char *quoted;

        if (!check_key(loader, key)) {
            continue;
        }
        quoted = sa_config__quote(NULL, key->text, loader->scratch_pool);
        if (!sa_words_is_name(key->text, strlen(key->text))) {
            sa_config__wrong(loader, at(loader, key), "%s: \"%s\" must be a name: a letter, then "
                             "letters, digits, _ and - only, 63 at most", shown, quoted);
        } else if (apr_hash_get(seen, key->text, APR_HASH_KEY_STRING)) {
            sa_config__wrong(loader, at(loader, key), "%s.%s is set twice", shown, quoted);
        } else if (item->kind != SA_NODE_MAP && !is_nothing(item)) {
            sa_config__wrong(loader, at(loader, item), "%s.%s must be a group of settings, not %s",
                             shown, quoted, kind_text(item));
        } else if (has_room(loader, scope, place, key)) {
            add_element(loader, scope, place, key->text, item);
        }
        apr_hash_set(seen, key->text, APR_HASH_KEY_STRING, "");
    }
}

static void read_elements(sa_config__loader_t *loader, scope_t *scope, int place,
                          const sa_config__node_t *node)
{
    const sa_config__group_t *group = &scope->table->groups[place];

    for (int i = 0; i < node->items->nelts; i++) {
        const sa_config__node_t *item = APR_ARRAY_IDX(node->items, i, const sa_config__node_t *);
        bool is_single = group->single && item->kind == SA_NODE_SCALAR;

        if (item->kind != SA_NODE_MAP && (!is_single || is_nothing(item))) {
            sa_config__wrong(loader, at(loader, item), "%s[] must be %sa group of settings, not %s",
                             show(loader, scope, group->path), group->single ? "one line or " : "",
                             is_single ? "nothing" : kind_text(item));
        } else if (!has_room(loader, scope, place, item)) {
            return;
        } else if (is_single) {
            add_single(loader, scope, place, item);
        } else {
            add_element(loader, scope, place, NULL, item);
        }
    }
}

static void set_group(sa_config__loader_t *loader, scope_t *scope, int place,
                      const sa_config__node_t *key, const sa_config__node_t *node)
{
    const sa_config__group_t *group = &scope->table->groups[place];
    const char *wanted = group->named ? "names with groups of settings"
                         : group->single ? "a list of lines or groups" : "a list of groups";

    if (node->kind != (group->named ? SA_NODE_MAP : SA_NODE_LIST)) {
        if (!is_nothing(node)) {
            sa_config__wrong(loader, at(loader, key), "%s must be %s, not %s",
                             show(loader, scope, group->path), wanted, kind_text(node));
        }
        return;
    }
    if (loader->here.kind == SA_ORIGIN_SET) {       /* replaces; files append */
        apr_array_clear(sa_config__list_of(group, scope->fields));
        apr_array_clear(scope->places->elements[place]);
    }
    if (group->named) {
        read_named(loader, scope, place, node);
    } else {
        read_elements(loader, scope, place, node);
    }
}

/* ---- one key -------------------------------------------------------------------- */

static void visit(sa_config__loader_t *loader, scope_t *scope, const char *path,
                  const sa_config__node_t *key, const sa_config__node_t *node)
{
    const char *known = sa_config__resolve(scope->table, path, loader->scratch_pool);
    bool is_reserved = scope->table == &sa_config__main && sa_config__is_reserved(known);
    bool is_section = sa_config__is_section(scope->table, known);
    int source = SA_SECRET_NONE;
    int row = sa_config__find(scope->table, known);
    int secret = row < 0 ? sa_config__find_secret(scope->table, known, &source) : -1;
    int group = sa_config__find_group(scope->table, known);

    if (row >= 0 && is_section && node->kind == SA_NODE_MAP) {
        row = -1;               /* "nats.proxy": one value, or the group of that name */
    }
    if (row >= 0) {
        set_option(loader, scope, row, path, key, node);
    } else if (secret >= 0) {
        set_secret(loader, scope, secret, source, path, key, node);
    } else if (is_reserved && (!is_section || node->kind != SA_NODE_MAP)) {
        add_reserved(loader, path);
    } else if (group >= 0) {
        set_group(loader, scope, group, key, node);
    } else if (is_section) {
        visit_section(loader, scope, path, key, node);
    } else if (node->kind == SA_NODE_MAP && node->items->nelts > 0) {
        walk(loader, scope, path, node);        /* each unknown one is named */
    } else {
        complain_of_unknown(loader, scope, path, key);
    }
}

/* ---- sources -------------------------------------------------------------------- */

sa_config__loader_t *sa_config__begin(const char *main_file, apr_pool_t *pool,
                                      apr_pool_t *scratch_pool)
{
    sa_config__loader_t *loader = apr_pcalloc(scratch_pool, sizeof(*loader));

    loader->main_file = main_file;
    loader->pool = pool;
    loader->scratch_pool = scratch_pool;
    loader->config = apr_pcalloc(pool, sizeof(*loader->config));
    loader->origins = apr_pcalloc(pool, sizeof(*loader->origins));
    loader->rows = apr_pcalloc(pool, (size_t)sa_config__main.count * sizeof(*loader->rows));
    loader->origins->main.rows = loader->rows;
    loader->origins->reserved = apr_array_make(pool, 4, sizeof(const char *));
    loader->origins->files = apr_array_make(pool, 4, sizeof(const char *));
    loader->config->origins = loader->origins;
    loader->complaints = apr_array_make(scratch_pool, 8, sizeof(sa_config__numbered_t));
    make_lists(&sa_config__main, loader->config, &loader->origins->main, pool);
    return loader;
}

void sa_config__note_file(sa_config__loader_t *loader, const char *path)
{
    char *absolute;

    if (apr_filepath_merge(&absolute, NULL, path, 0, loader->pool) == APR_SUCCESS) {
        APR_ARRAY_PUSH(loader->origins->files, const char *) = absolute;
    }
}

void sa_config__next_source(sa_config__loader_t *loader, const char *file)
{
    if (file) {
        sa_config__note_file(loader, file);
    }
    loader->here = (sa_config__origin_t){
        .kind = file ? SA_ORIGIN_FILE : SA_ORIGIN_SET,
        .file = file ? apr_pstrdup(loader->pool, file) : "--set",
        .source = loader->here.source + 1};
}

static scope_t main_scope(sa_config__loader_t *loader)
{
    return (scope_t){&sa_config__main, (char *)loader->config, &loader->origins->main, "",
                     apr_hash_make(loader->scratch_pool), false};
}

void sa_config__load_text(sa_config__loader_t *loader, const char *text, size_t length)
{
    scope_t scope = main_scope(loader);
    sa_config__node_t *root = sa_config__read_yaml(loader, text, length);

    if (!root || is_nothing(root)) {
        return;
    }
    if (root->kind != SA_NODE_MAP) {
        sa_config__wrong(loader, at(loader, root), "must be settings (key: value), not %s",
                         kind_text(root));
        loader->broken = true;
        return;
    }
    walk(loader, &scope, "", root);
}

/* VALUE as YAML: as it is when it begins like a list or a map, else as one
 * quoted string, so that libyaml judges its characters too. */
static const char *set_to_yaml(const char *value, apr_pool_t *pool)
{
    char *quoted;
    char *c;

    if (value[0] == '[' || value[0] == '{') {
        return value;
    }
    quoted = apr_palloc(pool, 2 * strlen(value) + 3);
    c = quoted;
    *c++ = '"';
    for (; *value; value++) {
        if (*value == '"' || *value == '\\' || *value == '\n' || *value == '\r') {
            *c++ = '\\';
        }
        *c++ = *value == '\n' ? 'n' : *value == '\r' ? 'r' : *value;
    }
    *c++ = '"';
    *c = '\0';
    return quoted;
}

void sa_config__load_set(sa_config__loader_t *loader, const char *set)
{
    const char *equals = strchr(set, '=');
    scope_t scope = main_scope(loader);
    sa_config__node_t key = {.kind = SA_NODE_SCALAR};
    sa_config__node_t *node;
    const char *text;

    sa_config__next_source(loader, NULL);
    if (!equals || equals == set || strlen(set) > SA_CONFIG__FILE_BYTES) {
        /* Not quoted: it may hold a secret. */
        sa_config__wrong(loader, at(loader, &key), "must be KEY=VALUE");
        return;
    }
    key.text = apr_pstrmemdup(loader->scratch_pool, set, (size_t)(equals - set));
    text = set_to_yaml(equals + 1, loader->scratch_pool);
    node = check_key(loader, &key) ? sa_config__read_yaml(loader, text, strlen(text)) : NULL;
    if (node) {
        visit(loader, &scope, key.text, &key, node);
    }
}

/* ---- the end -------------------------------------------------------------------- */

/* Nothing says where the secret at PLACE is: look into the variables of its row. */
static void find_variable(sa_config__loader_t *loader, int place, sa_secret_t *secret)
{
    const sa_option_t *row = &sa_config__main.rows[place];
    sa_config__origin_t *origin = &loader->rows[place];
    char *words = apr_pstrdup(loader->pool, row->env ? row->env : "");
    char *last = NULL;

    if (origin->kind != SA_ORIGIN_DEFAULT) {
        return;
    }
    for (char *name = apr_strtok(words, " ", &last); name; name = apr_strtok(NULL, " ", &last)) {
        const char *value = getenv(name);

        if (value && *value) {
            *secret = (sa_secret_t){.source = SA_SECRET_ENV, .where = name, .path = row->path};
            origin->kind = SA_ORIGIN_ENV;
            origin->file = name;
            return;
        }
    }
}

static void find_secrets(sa_config__loader_t *loader)
{
    for (int i = 0; i < sa_config__main.count; i++) {
        const sa_option_t *row = &sa_config__main.rows[i];
        sa_secret_t *secret = (sa_secret_t *)((char *)loader->config + row->offset);
        const char *credential;

        if (row->type != SA_OPTION_SECRET) {
            continue;
        }
        credential = sa_config__credential(row, loader->pool);
        if (!credential) {
            find_variable(loader, i, secret);
            continue;
        }
        if (loader->rows[i].kind != SA_ORIGIN_DEFAULT) {
            sa_config__wrong(loader, &loader->rows[i],
                             "%s: there is a systemd credential %s as well; one of them must go",
                             loader->rows[i].spelling, row->path);
            continue;
        }
        *secret = (sa_secret_t){.source = SA_SECRET_CREDENTIAL, .where = credential,
                                .path = row->path};
        loader->rows[i].kind = SA_ORIGIN_CREDENTIAL;
    }
}

sa_error_t *sa_config__finish(sa_config_t **config, apr_array_header_t **complaints,
                              sa_config__loader_t *loader)
{
    static const sa_config__origin_t nowhere = {.kind = SA_ORIGIN_DEFAULT};
    scope_t scope = main_scope(loader);

    fill_defaults(loader, &scope);
    find_secrets(loader);
    sa_config__load_remote(loader);
    if (!loader->broken) {      /* else what is missing may stand behind the break */
        check_required(loader, &scope, &nowhere);
        sa_config__check_rules(loader);
    }
    *complaints = sa_config__complaints(loader);
    *config = loader->errors > 0 ? NULL : loader->config;
    if (loader->errors > 0) {
        return sa_error(SA_ERR_CONFIG, NULL, "%d %s in the configuration (%s)", loader->errors,
                        loader->errors == 1 ? "mistake" : "mistakes", loader->main_file);
    }
    return SA_OK;
}

sa_error_t *sa_config__load_memory(sa_config_t **config, apr_array_header_t **complaints,
                                   const char *file, const char *text, size_t length,
                                   apr_pool_t *pool)
{
    apr_pool_t *scratch_pool = sa_pool_create(pool);
    sa_config__loader_t *loader = sa_config__begin(apr_pstrdup(pool, file), pool, scratch_pool);
    sa_error_t *err;

    sa_config__next_source(loader, file);
    sa_config__load_text(loader, text, length);
    err = sa_config__finish(config, complaints, loader);
    apr_pool_destroy(scratch_pool);
    return err;
}
