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

static bool groups_differ(const sa_config__group_t *group, const sa_config_t *a,
                          const sa_config_t *b, apr_pool_t *scratch_pool)
{
    const apr_array_header_t *a_list =
        *(apr_array_header_t *const *)((const char *)a + group->offset);
    const apr_array_header_t *b_list =
        *(apr_array_header_t *const *)((const char *)b + group->offset);

    if (a_list->nelts != b_list->nelts) {
        return true;
    }
    for (int i = 0; i < a_list->nelts; i++) {
        size_t offset = (size_t)i * group->table->size;

        for (int j = 0; j < group->table->count; j++) {
            if (rows_differ(group->table, a_list->elts + offset, b_list->elts + offset, j,
                            scratch_pool)) {
                return true;
            }
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
    for (int i = 0; i < SA_CONFIG__GROUPS; i++) {
        const sa_config__group_t *group = &sa_config__groups[i];

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
            const char *text = sa_config__print((const char *)old_config + row->offset, row, pool);
            const char *wrong = sa_config__parse((char *)new_config + row->offset, row, text, pool);

            SA_ASSERT(wrong == NULL);   /* it was valid before */
        }
    }
}
