/* config: what a reload means. */
#include <string.h>

#include <apr_strings.h>

#include "sa_config_private.h"
#include "sa_pool.h"

static bool rows_differ(const sa_config__table_t *table, const void *a, const void *b, int place,
                        apr_pool_t *scratch_pool)
{
    const sa_option_t *row = &table->rows[place];

    return strcmp(sa_config__print((const char *)a + row->offset, row, scratch_pool),
                  sa_config__print((const char *)b + row->offset, row, scratch_pool)) != 0;
}

static bool structs_differ(const sa_config__table_t *table, const void *a, const void *b,
                           apr_pool_t *scratch_pool);

/* A and B are the structs that GROUP belongs to. */
static bool groups_differ(const sa_config__group_t *group, const void *a, const void *b,
                          apr_pool_t *scratch_pool)
{
    const apr_array_header_t *a_list = sa_config__list_of(group, a);
    const apr_array_header_t *b_list = sa_config__list_of(group, b);

    if (a_list->nelts != b_list->nelts) {
        return true;
    }
    for (int i = 0; i < a_list->nelts; i++) {
        const void *a_element = a_list->elts + (size_t)i * group->table->size;
        const void *b_element = b_list->elts + (size_t)i * group->table->size;

        if (group->named && strcmp(*(const char *const *)a_element,
                                   *(const char *const *)b_element) != 0) {
            return true;
        }
        if (structs_differ(group->table, a_element, b_element, scratch_pool)) {
            return true;
        }
    }
    return false;
}

static bool structs_differ(const sa_config__table_t *table, const void *a, const void *b,
                           apr_pool_t *scratch_pool)
{
    for (int i = 0; i < table->count; i++) {
        if (rows_differ(table, a, b, i, scratch_pool)) {
            return true;
        }
    }
    for (int i = 0; i < table->group_count; i++) {
        if (groups_differ(&table->groups[i], a, b, scratch_pool)) {
            return true;
        }
    }
    return false;
}

typedef struct change_t {
    unsigned int rooms;
    apr_array_header_t *restart;
} change_t;

static void note(change_t *change, const char *path, unsigned int flags, unsigned int room)
{
    if (flags & SA_OPT_RELOAD) {
        change->rooms |= room;
    } else {
        APR_ARRAY_PUSH(change->restart, const char *) = path;
    }
}

unsigned int sa_config_compare(const char **needs_restart, const sa_config_t *old_config,
                               const sa_config_t *new_config, apr_pool_t *pool)
{
    apr_pool_t *scratch_pool = sa_pool_create(pool);
    change_t change = {0, apr_array_make(scratch_pool, 8, sizeof(const char *))};

    for (int i = 0; i < sa_config__main.count; i++) {
        const sa_option_t *row = &sa_config__main.rows[i];

        if (rows_differ(&sa_config__main, old_config, new_config, i, scratch_pool)) {
            note(&change, row->path, row->flags, (unsigned int)row->room);
        }
    }
    for (int i = 0; i < sa_config__main.group_count; i++) {
        const sa_config__group_t *group = &sa_config__main.groups[i];

        if (groups_differ(group, old_config, new_config, scratch_pool)) {
            note(&change, group->path, group->flags, (unsigned int)group->room);
        }
    }
    *needs_restart = apr_array_pstrcat(pool, change.restart, ' ');
    apr_pool_destroy(scratch_pool);
    return change.rooms;
}

void sa_config_keep_fixed(sa_config_t *new_config, const sa_config_t *old_config,
                          apr_pool_t *pool)
{
    for (int i = 0; i < sa_config__main.count; i++) {
        const sa_option_t *row = &sa_config__main.rows[i];

        if (!(row->flags & SA_OPT_RELOAD)
            && rows_differ(&sa_config__main, old_config, new_config, i, pool)) {
            sa_config__copy((char *)new_config + row->offset,
                            (const char *)old_config + row->offset, row, pool);
        }
    }
}
