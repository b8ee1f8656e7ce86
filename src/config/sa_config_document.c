/* config: documents of others.  The nodes of sa_config_yaml.c, with keys that are checked. */
#include "sa_config_document.h"

#include <string.h>

#include <apr_strings.h>

#include "sa_config_private.h"
#include "sa_pool.h"

/* A value of this length may be a key. */
#define WIPED_LENGTH 32

static sa_error_t *convert(const sa_document_t **result, const sa_config__node_t *node,
                           apr_pool_t *pool);

static sa_error_t *wrong(int line, const char *what)
{
    return sa_error(SA_ERR_FILE_CONTENT, NULL, "line %d: %s", line, what);
}

static sa_error_t *add_item(apr_array_header_t *items, const sa_config__node_t *node,
                            const char *key, apr_pool_t *pool)
{
    const sa_document_t *item;

    SA_TRY(convert(&item, node, pool));
    ((sa_document_t *)item)->key = key;         /* made a moment ago, here */
    APR_ARRAY_PUSH(items, const sa_document_t *) = item;
    return SA_OK;
}

static bool has_key(const apr_array_header_t *items, const char *key)
{
    for (int i = 0; i < items->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(items, i, const sa_document_t *)->key, key) == 0) {
            return true;
        }
    }
    return false;
}

static sa_error_t *convert_map(apr_array_header_t *items, const sa_config__node_t *node,
                               apr_pool_t *pool)
{
    for (int i = 0; i + 1 < node->items->nelts; i += 2) {
        const sa_config__node_t *key = APR_ARRAY_IDX(node->items, i, const sa_config__node_t *);

        if (key->kind != SA_NODE_SCALAR) {
            return wrong(key->line, "a key is not one value");
        }
        if (strcmp(key->text, "<<") == 0) {
            return wrong(key->line, "merging (<<) is not allowed");
        }
        if (has_key(items, key->text)) {
            return wrong(key->line, "a key is there twice");
        }
        SA_TRY(add_item(items, APR_ARRAY_IDX(node->items, i + 1, const sa_config__node_t *),
                        key->text, pool));
    }
    return SA_OK;
}

static sa_error_t *convert(const sa_document_t **result, const sa_config__node_t *node,
                           apr_pool_t *pool)
{
    sa_document_t *made = apr_pcalloc(pool, sizeof(*made));
    apr_array_header_t *items;

    made->line = node->line;
    *result = made;
    if (node->kind == SA_NODE_SCALAR) {
        made->kind = SA_DOCUMENT_VALUE;
        made->text = node->text;
        made->plain = node->plain;
        if (strlen(node->text) >= WIPED_LENGTH) {
            sa_pool_wipe_later((char *)node->text, strlen(node->text), pool);
        }
        return SA_OK;
    }
    items = apr_array_make(pool, node->items->nelts + 1, sizeof(const sa_document_t *));
    made->items = items;
    made->kind = node->kind == SA_NODE_MAP ? SA_DOCUMENT_MAP : SA_DOCUMENT_LIST;
    if (node->kind == SA_NODE_MAP) {
        return convert_map(items, node, pool);
    }
    for (int i = 0; i < node->items->nelts; i++) {
        SA_TRY(add_item(items, APR_ARRAY_IDX(node->items, i, const sa_config__node_t *), NULL,
                        pool));
    }
    return SA_OK;
}

sa_error_t *sa_config_document_read(const sa_document_t **root, const char *text, size_t length,
                                    apr_pool_t *pool)
{
    sa_config__loader_t loader = {.main_file = "", .pool = pool, .scratch_pool = pool};
    sa_config__node_t *node;
    sa_document_t *empty;

    if (length > SA_CONFIG__FILE_BYTES) {
        return sa_error(SA_ERR_LIMIT, NULL, "larger than 1 MiB");
    }
    loader.complaints = apr_array_make(pool, 1, sizeof(sa_config__numbered_t));
    node = sa_config__read_yaml(&loader, text, length);
    if (loader.complaints->nelts > 0) {
        const sa_complaint_t *complaint =
            &APR_ARRAY_IDX(loader.complaints, 0, sa_config__numbered_t).complaint;

        return wrong(complaint->line, complaint->text);
    }
    if (node) {
        return convert(root, node, pool);
    }
    empty = apr_pcalloc(pool, sizeof(*empty));
    empty->kind = SA_DOCUMENT_MAP;
    empty->items = apr_array_make(pool, 1, sizeof(const sa_document_t *));
    *root = empty;
    return SA_OK;
}

const sa_document_t *sa_config_document_get(const sa_document_t *map, const char *key)
{
    if (!map || map->kind != SA_DOCUMENT_MAP) {
        return NULL;
    }
    for (int i = 0; i < map->items->nelts; i++) {
        const sa_document_t *item = APR_ARRAY_IDX(map->items, i, const sa_document_t *);

        if (strcmp(item->key, key) == 0) {
            return item;
        }
    }
    return NULL;
}

static bool is_same_list(const sa_document_t *a, const sa_document_t *b)
{
    for (int i = 0; i < a->items->nelts; i++) {
        const sa_document_t *item = APR_ARRAY_IDX(a->items, i, const sa_document_t *);
        const sa_document_t *other =
            a->kind == SA_DOCUMENT_MAP ? sa_config_document_get(b, item->key)
                                       : APR_ARRAY_IDX(b->items, i, const sa_document_t *);

        if (!sa_config_document_is_same(item, other)) {
            return false;
        }
    }
    return true;
}

bool sa_config_document_is_same(const sa_document_t *a, const sa_document_t *b)
{
    if (!a || !b) {
        return a == b;
    }
    if (a->kind != b->kind) {
        return false;
    }
    if (a->kind == SA_DOCUMENT_VALUE) {
        return strcmp(a->text, b->text) == 0 && a->plain == b->plain;
    }
    return a->items->nelts == b->items->nelts && is_same_list(a, b);
}
