/* config: looking at a loaded configuration. */
#include "sa_config.h"

#include <apr_strings.h>

#include "sa_config_private.h"
#include "sa_pool.h"

const char *sa_config__where(const sa_config__origin_t *origin, apr_pool_t *pool)
{
    switch (origin->kind) {
    case SA_ORIGIN_FILE:
        return apr_psprintf(pool, "%s:%d", origin->file, origin->line);
    case SA_ORIGIN_SET:
        return "--set";
    case SA_ORIGIN_CREDENTIAL:
        return "credential";
    case SA_ORIGIN_ENV:
        return origin->file;
    case SA_ORIGIN_PLATFORM:
        return "platform";
    case SA_ORIGIN_DEFAULT:
        break;
    }
    return "default";
}

typedef struct visitor_t {
    sa_config_value_fn_t fn;
    void *baton;
    apr_pool_t *iter_pool;
} visitor_t;

static void visit_group(const visitor_t *visitor, const sa_config__group_t *group,
                        const void *fields, const apr_array_header_t *elements,
                        const char *prefix, apr_pool_t *scratch_pool);

static void visit_struct(const visitor_t *visitor, const sa_config__table_t *table,
                         const void *fields, const sa_config__places_t *places,
                         const char *prefix, apr_pool_t *scratch_pool)
{
    for (int i = 0; i < table->count; i++) {
        const sa_option_t *row = &table->rows[i];

        apr_pool_clear(visitor->iter_pool);
        visitor->fn(visitor->baton, apr_pstrcat(visitor->iter_pool, prefix, row->path, NULL),
                    sa_config__print((const char *)fields + row->offset, row, visitor->iter_pool),
                    sa_config__where(&places->rows[i], visitor->iter_pool));
    }
    for (int i = 0; i < table->group_count; i++) {
        visit_group(visitor, &table->groups[i], fields, places->elements[i], prefix, scratch_pool);
    }
}

static void visit_group(const visitor_t *visitor, const sa_config__group_t *group,
                        const void *fields, const apr_array_header_t *elements,
                        const char *prefix, apr_pool_t *scratch_pool)
{
    const apr_array_header_t *list = sa_config__list_of(group, fields);

    for (int i = 0; i < list->nelts; i++) {
        const void *element = list->elts + (size_t)i * group->table->size;
        const char *shown = group->named
                                ? apr_psprintf(scratch_pool, "%s%s.%s.", prefix, group->path,
                                               *(const char *const *)element)
                                : apr_psprintf(scratch_pool, "%s%s[%d].", prefix, group->path, i);

        visit_struct(visitor, group->table, element,
                     APR_ARRAY_IDX(elements, i, const sa_config__places_t *), shown, scratch_pool);
    }
}

void sa_config_each(const sa_config_t *config, sa_config_value_fn_t fn, void *baton,
                    apr_pool_t *scratch_pool)
{
    visitor_t visitor = {fn, baton, sa_pool_create(scratch_pool)};

    visit_struct(&visitor, &sa_config__main, config, &config->origins->main, "", scratch_pool);
    apr_pool_destroy(visitor.iter_pool);
}

static const sa_config__origin_t *origin_of(const sa_config_t *config, const char *path)
{
    int place = sa_config__find(&sa_config__main, path);

    SA_ASSERT(place >= 0);
    return &config->origins->main.rows[place];
}

const char *sa_config_origin(const sa_config_t *config, const char *path, apr_pool_t *pool)
{
    return sa_config__where(origin_of(config, path), pool);
}

const char *sa_config_text(const sa_config_t *config, const char *path, apr_pool_t *pool)
{
    int place = sa_config__find(&sa_config__main, path);
    const sa_option_t *row = &sa_config__main.rows[place];

    SA_ASSERT(place >= 0);
    return sa_config__print((const char *)config + row->offset, row, pool);
}

bool sa_config_is_default(const sa_config_t *config, const char *path)
{
    return origin_of(config, path)->kind == SA_ORIGIN_DEFAULT;
}

const char *sa_config_reserved(const sa_config_t *config, apr_pool_t *pool)
{
    return apr_array_pstrcat(pool, config->origins->reserved, ' ');
}

static void add_insecure(apr_array_header_t *paths, const sa_config__table_t *table,
                         const void *fields, const char *prefix)
{
    for (int i = 0; i < table->count; i++) {
        const sa_option_t *row = &table->rows[i];
        const bool *is_on = (const void *)((const char *)fields + row->offset);

        if ((row->flags & SA_OPT_INSECURE) && *is_on) {
            APR_ARRAY_PUSH(paths, const char *) = apr_pstrcat(paths->pool, prefix, row->path, NULL);
        }
    }
}

const char *sa_config_insecure(const sa_config_t *config, apr_pool_t *pool)
{
    apr_array_header_t *paths = apr_array_make(pool, 2, sizeof(const char *));

    add_insecure(paths, &sa_config__main, config, "");
    for (int i = 0; i < sa_config__main.group_count; i++) {
        const sa_config__group_t *group = &sa_config__main.groups[i];
        const apr_array_header_t *list = sa_config__list_of(group, config);

        for (int j = 0; j < list->nelts; j++) {
            add_insecure(paths, group->table, list->elts + (size_t)j * group->table->size,
                         apr_psprintf(pool, "%s[%d].", group->path, j));
        }
    }
    return apr_array_pstrcat(pool, paths, ' ');
}

static void add_secret_files(apr_array_header_t *files, const sa_config__table_t *table,
                             const void *fields)
{
    for (int i = 0; i < table->count; i++) {
        const sa_option_t *row = &table->rows[i];
        const sa_secret_t *secret = (const void *)((const char *)fields + row->offset);

        if (row->type == SA_OPTION_SECRET && (secret->source == SA_SECRET_FILE
                                              || secret->source == SA_SECRET_CREDENTIAL)) {
            APR_ARRAY_PUSH(files, const char *) = apr_pstrdup(files->pool, secret->where);
        }
    }
}

apr_array_header_t *sa_config_files(const sa_config_t *config, apr_pool_t *pool)
{
    apr_array_header_t *files = apr_array_make(pool, 8, sizeof(const char *));

    for (int i = 0; i < config->origins->files->nelts; i++) {
        APR_ARRAY_PUSH(files, const char *) =
            apr_pstrdup(pool, APR_ARRAY_IDX(config->origins->files, i, const char *));
    }
    add_secret_files(files, &sa_config__main, config);
    for (int i = 0; i < sa_config__main.group_count; i++) {
        const sa_config__group_t *group = &sa_config__main.groups[i];
        const apr_array_header_t *list = sa_config__list_of(group, config);

        for (int j = 0; j < list->nelts; j++) {
            add_secret_files(files, group->table, list->elts + (size_t)j * group->table->size);
        }
    }
    return files;
}
