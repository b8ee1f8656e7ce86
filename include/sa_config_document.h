/* Somebody else's YAML as nodes: what comes from the platform and is for another program.
 *
 * The same small part of YAML as the configuration (one document, no anchors, aliases, tags),
 * so that nothing in it can be larger than the text.  Any thread; nothing is kept. */
#ifndef SA_CONFIG_DOCUMENT_H
#define SA_CONFIG_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>

#include <apr_pools.h>
#include <apr_tables.h>

#include "sa_error.h"

typedef struct sa_document_t {
    enum { SA_DOCUMENT_VALUE, SA_DOCUMENT_LIST, SA_DOCUMENT_MAP } kind;
    int line;
    const char *key;                    /* under which it stands in a map; else NULL */
    const char *text;                   /* of a value */
    bool plain;                         /* a value without quotes */
    const apr_array_header_t *items;    /* of const sa_document_t *; of a value NULL */
} sa_document_t;

/* Read TEXT into nodes in POOL; long values are wiped with it.  An empty text is an empty map.
 * SA_ERR_FILE_CONTENT with the line, and never a word of the text. */
sa_error_t *sa_config_document_read(const sa_document_t **root, const char *text, size_t length,
                                    apr_pool_t *pool) SA_MUST_CHECK;

/* What stands under KEY in MAP; NULL: nothing, or MAP (may be NULL) is none. */
const sa_document_t *sa_config_document_get(const sa_document_t *map, const char *key);

/* Do A and B say the same?  The order of a map's keys says nothing.  Both may be NULL. */
bool sa_config_document_is_same(const sa_document_t *a, const sa_document_t *b);

#endif
