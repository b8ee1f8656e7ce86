/* config: what the files of this room share.
 *
 * A source (file, --set) becomes nodes (sa_config_yaml.c), nodes become fields
 * by the rows of the table (sa_config_load.c, sa_config_types.c), the rules
 * look at the whole (sa_config_rules.c).  One thread. */
#ifndef SA_CONFIG_PRIVATE_H
#define SA_CONFIG_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>

#include <apr_hash.h>
#include <apr_pools.h>
#include <apr_tables.h>

#include "sa_config.h"

/* Limits of what is read. */
#define SA_CONFIG__FILE_BYTES (1024 * 1024)
#define SA_CONFIG__FILES 64
#define SA_CONFIG__DEPTH 32
#define SA_CONFIG__EVENTS 10000
#define SA_CONFIG__KEY_BYTES 128
#define SA_CONFIG__STRING_BYTES 4096    /* where the row gives no max */
#define SA_CONFIG__LIST_ITEMS 256       /* the same */
#define SA_CONFIG__COMPLAINTS 100
#define SA_CONFIG__SECRET_BYTES (64 * 1024)

/* ---- sa_config_table.c --------------------------------------------------- */

struct sa_config__group_t;

/* The rows of one struct, and the lists of structs in it. */
typedef struct sa_config__table_t {
    const sa_option_t *rows;
    int count;
    size_t size;                        /* of the struct */
    const struct sa_config__group_t *groups;
    int group_count;                    /* at most SA_CONFIG__GROUPS */
} sa_config__table_t;
#define SA_CONFIG__GROUPS 2

/* A list of structs in a struct, each read by a table of its own. */
typedef struct sa_config__group_t {
    const char *path;                   /* in the table it belongs to */
    const sa_config__table_t *table;
    unsigned int offset;                /* of the array, in the struct it belongs to */
    unsigned int flags;
    sa_option_room_t room;
    int max;                            /* items */
    const char *single;                 /* row that an element of plain text sets; NULL: none */
    bool named;                         /* a map NAME: {...}; a struct begins with its name */
    bool strict;                        /* an unknown key is an error: a limit misspelt is none */
} sa_config__group_t;

typedef struct sa_config__words_t {     /* a section or a reserved path */
    const char *path;
    const char *doc;
} sa_config__words_t;

extern const sa_config__table_t sa_config__main;
extern const sa_config__table_t sa_config__exporters;
extern const sa_config__table_t sa_config__allowed_commands;
extern const sa_config__table_t sa_config__arguments;
extern const sa_config__words_t sa_config__sections[];
extern const int sa_config__section_count;
extern const sa_config__words_t sa_config__reserved[];
extern const int sa_config__reserved_count;
/* The places of the main table's groups. */
#define SA_CONFIG__EXPORTERS 0
#define SA_CONFIG__COMMANDS 1
/* The place of the one group of sa_config__allowed_commands. */
#define SA_CONFIG__ARGS 0

/* PATH as the rows have it: a section may have other names (SA_SECTION_ALIAS). */
const char *sa_config__resolve(const sa_config__table_t *table, const char *path,
                               apr_pool_t *pool);
/* The place of the row whose path or alias is PATH, or -1. */
int sa_config__find(const sa_config__table_t *table, const char *path);
/* The place of the SECRET row that PATH names a source of, or -1. */
int sa_config__find_secret(const sa_config__table_t *table, const char *path,
                           int *source);
/* The place of TABLE's group whose path is PATH, or -1. */
int sa_config__find_group(const sa_config__table_t *table, const char *path);
/* GROUP's array in FIELDS, the struct it belongs to. */
apr_array_header_t *sa_config__list_of(const sa_config__group_t *group, const void *fields);
/* Is PATH, or something above it, reserved? */
bool sa_config__is_reserved(const char *path);
/* Is there anything of TABLE (or reserved) below PATH? */
bool sa_config__is_section(const sa_config__table_t *table, const char *path);
/* The known path that PATH was probably meant to be, or NULL. */
const char *sa_config__nearest(const sa_config__table_t *table, const char *path,
                               apr_pool_t *pool);
/* Is WORD one of the blank-separated WORDS? */
bool sa_config__has_word(const char *words, const char *word);

/* ---- sa_config_types.c, sa_config_shape.c -------------------------------- */

/* Room for a field of any type. */
typedef union sa_config__value_t {
    bool on;
    int place;
    apr_int64_t number;
    const char *text;
    const apr_array_header_t *items;
    sa_secret_t secret;
} sa_config__value_t;

size_t sa_config__size(sa_option_type_t type);
/* Read TEXT into FIELD as ROW says, what it points to in POOL.  Lists and maps
 * are separated by commas.  NULL, or what it must be ("must be from 10s to
 * 24h").  The file, the default, the minimum and the maximum all come here. */
const char *sa_config__parse(void *field, const sa_option_t *row, const char *text,
                             apr_pool_t *pool);
/* FIELD for people, and for comparing; a secret prints where it is. */
const char *sa_config__print(const void *field, const sa_option_t *row, apr_pool_t *pool);
/* Copy the value in FROM to TO with all it points to, in POOL. */
void sa_config__copy(void *to, const void *from, const sa_option_t *row, apr_pool_t *pool);
/* Add one item to a list or one pair to a map (of sa_config_pair_t). */
const char *sa_config__add_item(apr_array_header_t *list, const sa_option_t *row,
                                const char *text, apr_pool_t *pool);
const char *sa_config__add_pair(apr_array_header_t *map, const sa_option_t *row,
                                const char *key, const char *value, apr_pool_t *pool);
apr_array_header_t *sa_config__make_items(const sa_option_t *row, apr_pool_t *pool);
/* NULL, or what TEXT must be to have ROW's shape and length. */
const char *sa_config__check_shape(const sa_option_t *row, const char *text, apr_pool_t *pool);
/* TEXT for a complaint about ROW (may be NULL): short, printable, without what
 * a URL may hold of user and password. */
const char *sa_config__quote(const sa_option_t *row, const char *text, apr_pool_t *pool);

/* ---- sa_config_yaml.c ---------------------------------------------------- */

typedef struct sa_config__loader_t sa_config__loader_t;

typedef struct sa_config__node_t {
    enum { SA_NODE_SCALAR, SA_NODE_LIST, SA_NODE_MAP } kind;
    int line;
    const char *text;                   /* of a scalar */
    bool plain;                         /* a scalar without quotes */
    apr_array_header_t *items;          /* of sa_config__node_t *; a map: key, value, key, ... */
} sa_config__node_t;

/* Read TEXT into nodes of LOADER's scratch pool.  NULL for an empty document,
 * and after a complaint, which sets LOADER->broken. */
sa_config__node_t *sa_config__read_yaml(sa_config__loader_t *loader, const char *text,
                                        size_t length);

/* ---- sa_config_load.c ---------------------------------------------------- */

/* Where a value stands. */
typedef struct sa_config__origin_t {
    enum {
        SA_ORIGIN_DEFAULT, SA_ORIGIN_FILE, SA_ORIGIN_SET, SA_ORIGIN_CREDENTIAL, SA_ORIGIN_ENV,
        SA_ORIGIN_PLATFORM
    } kind;
    const char *file;                   /* of ENV: the variable's name */
    int line;
    int source;                         /* which in the order of reading */
    const char *spelling;               /* the path as written */
    bool bad;                           /* complained about; the field has the default */
} sa_config__origin_t;

/* Where all of one struct stands. */
typedef struct sa_config__places_t {
    sa_config__origin_t *rows;          /* as many as its table has */
    sa_config__origin_t self;           /* of an element: where it begins */
    apr_array_header_t *elements[SA_CONFIG__GROUPS];    /* of sa_config__places_t *, by group */
} sa_config__places_t;

struct sa_config_origins_t {
    sa_config__places_t main;
    apr_array_header_t *reserved;       /* of const char *: paths as written, each once */
    apr_array_header_t *files;          /* of const char *: that were read, absolute */
};

struct sa_config__loader_t {
    sa_config_t *config;
    struct sa_config_origins_t *origins;
    sa_config__origin_t *rows;          /* the same as origins->main.rows */
    sa_config__origin_t here;           /* the source that is being read */
    const char *main_file;              /* for what is missing */
    bool broken;                        /* a source could not be read to its end */
    bool wants_platform;                /* what the platform says is read as well */
    apr_array_header_t *complaints;     /* of sa_config__numbered_t */
    int errors;                         /* complaints that are no warnings */
    int dropped;                        /* past the limit */
    bool dropped_error;
    apr_pool_t *pool;                   /* the configuration's */
    apr_pool_t *scratch_pool;
};

/* PATH (a file, or the directory of its neighbours) is one that the configuration is read from. */
void sa_config__note_file(sa_config__loader_t *loader, const char *path);
sa_config__loader_t *sa_config__begin(const char *main_file, apr_pool_t *pool,
                                      apr_pool_t *scratch_pool);
/* Begin the next source; FILE NULL: --set. */
void sa_config__next_source(sa_config__loader_t *loader, const char *file);
void sa_config__load_text(sa_config__loader_t *loader, const char *text, size_t length);
void sa_config__load_set(sa_config__loader_t *loader, const char *set);
/* Defaults, secrets, rules; then the complaints and the configuration, as
 * sa_config_load() says. */
sa_error_t *sa_config__finish(sa_config_t **config, apr_array_header_t **complaints,
                              sa_config__loader_t *loader) SA_MUST_CHECK;
/* One text is all there is: for tests and the fuzzer. */
sa_error_t *sa_config__load_memory(sa_config_t **config, apr_array_header_t **complaints,
                                   const char *file, const char *text, size_t length,
                                   apr_pool_t *pool) SA_MUST_CHECK;
/* "default", "file:line", "--set", "credential", "platform", a variable's name. */
const char *sa_config__where(const sa_config__origin_t *origin, apr_pool_t *pool);

/* ---- sa_config_rules.c --------------------------------------------------- */

/* Rules over one whole configuration. */
void sa_config__check_rules(sa_config__loader_t *loader);
/* Where the option PATH of the main table stands. */
const sa_config__origin_t *sa_config__origin_of(const sa_config__loader_t *loader,
                                                const char *path);
/* Where the row PATH of an element stands: PLACES by TABLE.  What is not set stands, as it
 * were, where its element begins. */
const sa_config__origin_t *sa_config__origin_in(const sa_config__places_t *places,
                                                const sa_config__table_t *table,
                                                const char *path);
bool sa_config__is_set(const sa_config__places_t *places, const sa_config__table_t *table,
                       const char *path);

/* ---- sa_config_rules_roads.c --------------------------------------------- */

/* Rules about the way to the bus. */
void sa_config__check_roads(sa_config__loader_t *loader);

/* ---- sa_config_rules_platform.c ------------------------------------------ */

/* Rules about the platform; may change platform.sync_interval. */
void sa_config__check_platform(sa_config__loader_t *loader);
/* May the platform still bring what PATH of the main table is? */
bool sa_config__may_come(const sa_config__loader_t *loader, const sa_option_t *row);
/* Is the host of the http:// URL this machine, by its name? */
bool sa_config__is_local(const char *url);

/* ---- sa_config_remote.c -------------------------------------------------- */

#define SA_CONFIG__REMOTE_BYTES (16 * 1024)

/* Let what the platform says stand in for defaults. */
void sa_config__load_remote(sa_config__loader_t *loader);

/* ---- sa_config_rules_commands.c ------------------------------------------ */

/* Rules over what commands may do. */
void sa_config__check_commands(sa_config__loader_t *loader);

/* ---- sa_config_complaint.c ----------------------------------------------- */

typedef struct sa_config__numbered_t {
    sa_complaint_t complaint;
    int source;
    int number;
} sa_config__numbered_t;

/* Complain about WHERE, in LINE of it. */
void sa_config__complain(sa_config__loader_t *loader, const sa_config__origin_t *where,
                         bool warning, const char *format, ...) SA_PRINTF(4, 5);
#define sa_config__wrong(loader, where, ...) \
    sa_config__complain((loader), (where), false, __VA_ARGS__)
#define sa_config__doubt(loader, where, ...) \
    sa_config__complain((loader), (where), true, __VA_ARGS__)
/* The one just made is about what is not there. */
void sa_config__mark_missing(sa_config__loader_t *loader);
/* Is there still room for another complaint? */
bool sa_config__has_room(const sa_config__loader_t *loader);
/* Sorted by source and line, in LOADER's pool. */
apr_array_header_t *sa_config__complaints(const sa_config__loader_t *loader);

/* ---- sa_secret.c ---------------------------------------------------------- */

/* Is there a credential of the service manager for ROW?  Its path, or NULL. */
const char *sa_config__credential(const sa_option_t *row, apr_pool_t *pool);

#endif
