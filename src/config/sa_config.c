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

static void visit_rows(const visitor_t *visitor, const sa_config__table_t *table,
                       const void *fields, const sa_config__origin_t *origins, const char *prefix)
{
    for (int i = 0; i < table->count; i++) {
        const sa_option_t *row = &table->rows[i];

        apr_pool_clear(visitor->iter_pool);
        visitor->fn(visitor->baton, apr_pstrcat(visitor->iter_pool, prefix, row->path, NULL),
                    sa_config__print((const char *)fields + row->offset, row, visitor->iter_pool),
                    sa_config__where(&origins[i], visitor->iter_pool));
    }
}

void sa_config_each(const sa_config_t *config, sa_config_value_fn_t fn, void *baton,
                    apr_pool_t *scratch_pool)
{
    visitor_t visitor = {fn, baton, sa_pool_create(scratch_pool)};

    visit_rows(&visitor, &sa_config__main, config, config->origins->rows, "");
    for (int i = 0; i < SA_CONFIG__GROUPS; i++) {
        const sa_config__group_t *group = &sa_config__groups[i];
        const apr_array_header_t *list =
            *(apr_array_header_t *const *)((const char *)config + group->offset);

        for (int j = 0; j < list->nelts; j++) {
            visit_rows(&visitor, group->table, list->elts + (size_t)j * group->table->size,
                       APR_ARRAY_IDX(config->origins->elements[i], j, sa_config__origin_t *),
                       apr_psprintf(scratch_pool, "%s[%d].", group->path, j));
        }
    }
    apr_pool_destroy(visitor.iter_pool);
}

static const sa_config__origin_t *origin_of(const sa_config_t *config, const char *path)
{
    int place = sa_config__find(&sa_config__main, path);

    SA_ASSERT(place >= 0);
    return &config->origins->rows[place];
}

const char *sa_config_origin(const sa_config_t *config, const char *path, apr_pool_t *pool)
{
    return sa_config__where(origin_of(config, path), pool);
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
    for (int i = 0; i < SA_CONFIG__GROUPS; i++) {
        const sa_config__group_t *group = &sa_config__groups[i];
        const apr_array_header_t *list =
            *(apr_array_header_t *const *)((const char *)config + group->offset);

        for (int j = 0; j < list->nelts; j++) {
            add_insecure(paths, group->table, list->elts + (size_t)j * group->table->size,
                         apr_psprintf(pool, "%s[%d].", group->path, j));
        }
    }
    return apr_array_pstrcat(pool, paths, ' ');
}
