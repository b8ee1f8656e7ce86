/* config: types.  One parser and one printer each. */
#include "sa_config_private.h"

#include <string.h>

#include <apr_strings.h>

#include "sa_time.h"

/* ---- numbers -------------------------------------------------------------- */

/* Decimal, without sign or leading zeros (YAML 1.1 would read them as octal);
 * *END is where it ends. */
static bool read_digits(apr_int64_t *number, const char *text, const char **end)
{
    const char *c = text;

    *number = 0;
    for (; *c >= '0' && *c <= '9'; c++) {
        int digit = *c - '0';

        if (*number > (APR_INT64_MAX - digit) / 10) {
            return false;
        }
        *number = *number * 10 + digit;
    }
    *end = c;
    return c > text && (text[0] != '0' || c == text + 1);
}

static bool read_int(apr_int64_t *number, const char *text)
{
    const char *end;
    bool negative = text[0] == '-';

    if (!read_digits(number, text + (negative ? 1 : 0), &end) || *end) {
        return false;
    }
    *number = negative ? -*number : *number;
    return true;
}

static bool read_duration(apr_int64_t *number, const char *text)
{
    apr_interval_time_t duration;
    sa_error_t *err = sa_duration_parse(&duration, text);
    bool good = err == SA_OK;

    sa_error_clear(err);    /* the complaint gives the range, which says more */
    *number = good ? duration : 0;
    return good;
}

static const struct {
    const char *name;
    int shift;
} size_units[] = {
    {"GB", 30}, {"MB", 20}, {"KB", 10}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"B", 0}, {"", 0},
};
#define SIZE_UNITS ((int)(sizeof(size_units) / sizeof(size_units[0])))

static bool read_size(apr_int64_t *number, const char *text)
{
    const char *unit;

    if (!read_digits(number, text, &unit)) {
        return false;
    }
    for (int i = 0; i < SIZE_UNITS; i++) {
        if (strcmp(unit, size_units[i].name) == 0) {
            if (*number > APR_INT64_MAX >> size_units[i].shift) {
                return false;
            }
            *number <<= size_units[i].shift;
            return true;
        }
    }
    return false;
}

static bool read_number(apr_int64_t *number, sa_option_type_t type, const char *text)
{
    switch (type) {
    case SA_OPTION_DURATION:
        return read_duration(number, text);
    case SA_OPTION_SIZE:
        return read_size(number, text);
    default:
        return read_int(number, text);
    }
}

static bool is_within(const sa_option_t *row, apr_int64_t number)
{
    apr_int64_t bound;

    if (number == 0 && (row->flags & SA_OPT_TRIAL)) {
        return true;
    }
    if (row->min) {
        SA_ASSERT(read_number(&bound, row->type, row->min));
        if (number < bound) {
            return false;
        }
    }
    if (row->max) {
        SA_ASSERT(read_number(&bound, row->type, row->max));
        if (number > bound) {
            return false;
        }
    }
    return true;
}

static const char *range_text(const sa_option_t *row, apr_pool_t *pool)
{
    if (row->flags & SA_OPT_TRIAL) {
        return apr_psprintf(pool, "0s or from %s to %s", row->min, row->max);
    }
    if (row->min && row->max) {
        return apr_psprintf(pool, "from %s to %s", row->min, row->max);
    }
    if (row->min) {
        return apr_psprintf(pool, "at least %s", row->min);
    }
    return row->max ? apr_psprintf(pool, "at most %s", row->max) : "";
}

static const char *number_text(sa_option_type_t type)
{
    switch (type) {
    case SA_OPTION_DURATION:
        return "a duration with its unit, such as 30s,";
    case SA_OPTION_SIZE:
        return "a size, such as 64KB or 1GB,";
    default:
        return "a whole number";
    }
}

static const char *parse_number(void *field, const sa_option_t *row, const char *text,
                                apr_pool_t *pool)
{
    apr_int64_t number;

    if (!read_number(&number, row->type, text)) {
        return apr_psprintf(pool, "must be %s %s", number_text(row->type), range_text(row, pool));
    }
    if (!is_within(row, number)) {
        return apr_psprintf(pool, "must be %s", range_text(row, pool));
    }
    *(apr_int64_t *)field = number;
    return NULL;
}

static const char *print_int(const void *field, const sa_option_t *row, apr_pool_t *pool)
{
    (void)row;
    return apr_psprintf(pool, "%" APR_INT64_T_FMT, *(const apr_int64_t *)field);
}

static const char *print_duration(const void *field, const sa_option_t *row, apr_pool_t *pool)
{
    char text[SA_DURATION_TEXT];

    (void)row;
    return apr_pstrdup(pool, sa_duration_format(text, *(const apr_interval_time_t *)field));
}

static const char *print_size(const void *field, const sa_option_t *row, apr_pool_t *pool)
{
    apr_int64_t number = *(const apr_int64_t *)field;

    (void)row;
    for (int i = 0; i < 3; i++) {
        apr_int64_t unit = APR_INT64_C(1) << size_units[i].shift;

        if (number >= unit && number % unit == 0) {
            return apr_psprintf(pool, "%" APR_INT64_T_FMT "%s", number / unit, size_units[i].name);
        }
    }
    return apr_psprintf(pool, "%" APR_INT64_T_FMT, number);
}

/* ---- words ---------------------------------------------------------------- */

static const char *parse_bool(void *field, const sa_option_t *row, const char *text,
                              apr_pool_t *pool)
{
    (void)row;
    (void)pool;
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
        return "must be true or false";
    }
    *(bool *)field = text[0] == 't';
    return NULL;
}

static const char *print_bool(const void *field, const sa_option_t *row, apr_pool_t *pool)
{
    (void)row;
    (void)pool;
    return *(const bool *)field ? "true" : "false";
}

static const char *parse_str(void *field, const sa_option_t *row, const char *text,
                             apr_pool_t *pool)
{
    const char *must = sa_config__check_shape(row, text, pool);

    if (!must) {
        *(const char **)field = apr_pstrdup(pool, text);
    }
    return must;
}

static const char *print_str(const void *field, const sa_option_t *row, apr_pool_t *pool)
{
    const char *text = *(const char *const *)field;

    (void)row;
    (void)pool;
    return text ? text : "";
}

/* The words of "info=for people|warn=..." as an array, each without its prose. */
static apr_array_header_t *choice_words(const sa_option_t *row, apr_pool_t *pool)
{
    apr_array_header_t *words = apr_array_make(pool, 8, sizeof(const char *));
    const char *c = row->choices;

    while (*c) {
        size_t span = strcspn(c, "|");

        APR_ARRAY_PUSH(words, const char *) = apr_pstrmemdup(pool, c, strcspn(c, "=|"));
        c += span + (c[span] ? 1 : 0);
    }
    return words;
}

/* What TEXT stands for by ROW's "synonym=word ...", or TEXT. */
static const char *resolve_synonym(const sa_option_t *row, const char *text, apr_pool_t *pool)
{
    size_t length = strlen(text);
    const char *c = row->synonyms ? row->synonyms : "";

    while (*c) {
        size_t span = strcspn(c, " ");

        if (strncmp(c, text, length) == 0 && c[length] == '=') {
            return apr_pstrmemdup(pool, c + length + 1, span - length - 1);
        }
        c += span;
        c += strspn(c, " ");
    }
    return text;
}

static const char *parse_choice(void *field, const sa_option_t *row, const char *text,
                                apr_pool_t *pool)
{
    apr_array_header_t *words = choice_words(row, pool);
    const char *list = "";

    text = resolve_synonym(row, text, pool);
    for (int i = 0; i < words->nelts; i++) {
        const char *word = APR_ARRAY_IDX(words, i, const char *);

        if (strcmp(word, text) == 0) {
            *(int *)field = i;
            return NULL;
        }
        list = apr_pstrcat(pool, list, i > 0 ? ", " : "", word, NULL);
    }
    return apr_psprintf(pool, "must be one of %s", list);
}

static const char *print_choice(const void *field, const sa_option_t *row, apr_pool_t *pool)
{
    apr_array_header_t *words = choice_words(row, pool);
    int place = *(const int *)field;

    SA_ASSERT(place >= 0 && place < words->nelts);
    return APR_ARRAY_IDX(words, place, const char *);
}

/* ---- lists and maps ------------------------------------------------------- */

apr_array_header_t *sa_config__make_items(const sa_option_t *row, apr_pool_t *pool)
{
    return apr_array_make(pool, 2, row->type == SA_OPTION_MAP ? (int)sizeof(sa_config_pair_t)
                                                              : (int)sizeof(const char *));
}

static const char *check_count(const apr_array_header_t *items, const sa_option_t *row,
                               apr_pool_t *pool)
{
    apr_int64_t most = SA_CONFIG__LIST_ITEMS;

    if (row->max) {
        SA_ASSERT(read_int(&most, row->max));
    }
    if (items->nelts >= most) {
        return apr_psprintf(pool, "is one too many; at most %" APR_INT64_T_FMT " are allowed",
                            most);
    }
    return NULL;
}

const char *sa_config__add_item(apr_array_header_t *list, const sa_option_t *row,
                                const char *text, apr_pool_t *pool)
{
    const char *must = check_count(list, row, pool);

    must = must ? must : sa_config__check_shape(row, text, pool);
    if (!must) {
        APR_ARRAY_PUSH(list, const char *) = apr_pstrdup(pool, text);
    }
    return must;
}

const char *sa_config__add_pair(apr_array_header_t *map, const sa_option_t *row,
                                const char *key, const char *value, apr_pool_t *pool)
{
    static const sa_option_t any = {.type = SA_OPTION_MAP, .shape = SA_SHAPE_ANY};
    const char *must = check_count(map, row, pool);

    must = must ? must : sa_config__check_shape(row, key, pool);
    if (!must) {
        must = sa_config__check_shape(&any, value, pool);
        must = must ? apr_psprintf(pool, "has a value that %s", must) : NULL;
    }
    if (!must) {
        sa_config_pair_t *pair = apr_array_push(map);

        pair->key = apr_pstrdup(pool, key);
        pair->value = apr_pstrdup(pool, value);
    }
    return must;
}

static const char *add_part(apr_array_header_t *items, const sa_option_t *row, char *part,
                            apr_pool_t *pool)
{
    char *equals = strchr(part, '=');

    if (row->type == SA_OPTION_LIST) {
        return sa_config__add_item(items, row, part, pool);
    }
    if (!equals) {
        return "must be NAME=VALUE, separated by commas";
    }
    *equals = '\0';
    return sa_config__add_pair(items, row, part, equals + 1, pool);
}

static const char *parse_items(void *field, const sa_option_t *row, const char *text,
                               apr_pool_t *pool)
{
    apr_array_header_t *items = sa_config__make_items(row, pool);
    char *part = apr_pstrdup(pool, text);

    while (part && *text) {
        char *comma = strchr(part, ',');
        const char *must;

        if (comma) {
            *comma = '\0';
        }
        must = add_part(items, row, part, pool);
        if (must) {
            return must;
        }
        part = comma ? comma + 1 : NULL;
    }
    if (items->nelts == 0 && (row->flags & SA_OPT_REQUIRED)) {
        return "must not be empty";
    }
    *(const apr_array_header_t **)field = items;
    return NULL;
}

/* TEXT as YAML's double quotes want it. */
static const char *in_quotes(const char *text, apr_pool_t *pool)
{
    char *quoted = apr_palloc(pool, 2 * strlen(text) + 3);
    char *c = quoted;

    *c++ = '"';
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') {
            *c++ = '\\';
        }
        *c++ = *text;
    }
    *c++ = '"';
    *c = '\0';
    return quoted;
}

static const char *print_list(const void *field, const sa_option_t *row, apr_pool_t *pool)
{
    const apr_array_header_t *list = *(const apr_array_header_t *const *)field;
    apr_array_header_t *parts = apr_array_make(pool, 2 * list->nelts + 2, sizeof(const char *));

    (void)row;
    for (int i = 0; i < list->nelts; i++) {
        APR_ARRAY_PUSH(parts, const char *) = i > 0 ? ", " : "[";
        APR_ARRAY_PUSH(parts, const char *) =
            in_quotes(APR_ARRAY_IDX(list, i, const char *), pool);
    }
    APR_ARRAY_PUSH(parts, const char *) = list->nelts > 0 ? "]" : "[]";
    return apr_array_pstrcat(pool, parts, 0);
}

static const char *print_map(const void *field, const sa_option_t *row, apr_pool_t *pool)
{
    const apr_array_header_t *map = *(const apr_array_header_t *const *)field;
    apr_array_header_t *parts = apr_array_make(pool, 4 * map->nelts + 2, sizeof(const char *));

    (void)row;
    for (int i = 0; i < map->nelts; i++) {
        const sa_config_pair_t *pair = &APR_ARRAY_IDX(map, i, sa_config_pair_t);

        APR_ARRAY_PUSH(parts, const char *) = i > 0 ? ", " : "{";
        APR_ARRAY_PUSH(parts, const char *) = pair->key;
        APR_ARRAY_PUSH(parts, const char *) = ": ";
        APR_ARRAY_PUSH(parts, const char *) = in_quotes(pair->value, pool);
    }
    APR_ARRAY_PUSH(parts, const char *) = map->nelts > 0 ? "}" : "{}";
    return apr_array_pstrcat(pool, parts, 0);
}

/* ---- secrets -------------------------------------------------------------- */

/* Only an empty default is ever read: the file names a source instead. */
static const char *parse_secret(void *field, const sa_option_t *row, const char *text,
                                apr_pool_t *pool)
{
    (void)text;
    (void)pool;
    *(sa_secret_t *)field = (sa_secret_t){.source = SA_SECRET_NONE, .where = "", .path = row->path};
    return NULL;
}

static const char *print_secret(const void *field, const sa_option_t *row, apr_pool_t *pool)
{
    const sa_secret_t *secret = field;

    (void)row;
    switch (secret->source) {
    case SA_SECRET_FILE:
        return apr_pstrcat(pool, "file ", secret->where, NULL);
    case SA_SECRET_ENV:
        return apr_pstrcat(pool, "environment ", secret->where, NULL);
    case SA_SECRET_CREDENTIAL:
        return apr_pstrcat(pool, "credential ", secret->where, NULL);
    case SA_SECRET_NONE:
        break;
    }
    return "";
}

/* ---- copying -------------------------------------------------------------- */

static void copy_text(void *to, const void *from, apr_pool_t *pool)
{
    *(const char **)to = apr_pstrdup(pool, *(const char *const *)from);
}

static void copy_list(void *to, const void *from, apr_pool_t *pool)
{
    apr_array_header_t *list = apr_array_copy(pool, *(const apr_array_header_t *const *)from);

    for (int i = 0; i < list->nelts; i++) {
        copy_text(&APR_ARRAY_IDX(list, i, const char *), &APR_ARRAY_IDX(list, i, const char *),
                  pool);
    }
    *(const apr_array_header_t **)to = list;
}

static void copy_map(void *to, const void *from, apr_pool_t *pool)
{
    apr_array_header_t *map = apr_array_copy(pool, *(const apr_array_header_t *const *)from);

    for (int i = 0; i < map->nelts; i++) {
        sa_config_pair_t *pair = &APR_ARRAY_IDX(map, i, sa_config_pair_t);

        copy_text(&pair->key, &pair->key, pool);
        copy_text(&pair->value, &pair->value, pool);
    }
    *(const apr_array_header_t **)to = map;
}

static void copy_secret(void *to, const void *from, apr_pool_t *pool)
{
    sa_secret_t secret = *(const sa_secret_t *)from;

    copy_text(&secret.where, &secret.where, pool);
    copy_text(&secret.path, &secret.path, pool);
    *(sa_secret_t *)to = secret;
}

/* ---- the table of types ------------------------------------------------------ */

static const struct {
    size_t size;
    const char *(*parse)(void *field, const sa_option_t *row, const char *text, apr_pool_t *pool);
    const char *(*print)(const void *field, const sa_option_t *row, apr_pool_t *pool);
    void (*copy)(void *to, const void *from, apr_pool_t *pool);     /* NULL: points to nothing */
} types[] = {
    [SA_OPTION_BOOL] = {sizeof(SA_CTYPE_BOOL), parse_bool, print_bool, NULL},
    [SA_OPTION_INT] = {sizeof(SA_CTYPE_INT), parse_number, print_int, NULL},
    [SA_OPTION_DURATION] = {sizeof(SA_CTYPE_DURATION), parse_number, print_duration, NULL},
    [SA_OPTION_SIZE] = {sizeof(SA_CTYPE_SIZE), parse_number, print_size, NULL},
    [SA_OPTION_STR] = {sizeof(SA_CTYPE_STR), parse_str, print_str, copy_text},
    [SA_OPTION_CHOICE] = {sizeof(SA_CTYPE_CHOICE), parse_choice, print_choice, NULL},
    [SA_OPTION_LIST] = {sizeof(SA_CTYPE_LIST), parse_items, print_list, copy_list},
    [SA_OPTION_MAP] = {sizeof(SA_CTYPE_MAP), parse_items, print_map, copy_map},
    [SA_OPTION_SECRET] = {sizeof(SA_CTYPE_SECRET), parse_secret, print_secret, copy_secret},
};

void sa_config__copy(void *to, const void *from, const sa_option_t *row, apr_pool_t *pool)
{
    if (types[row->type].copy) {
        types[row->type].copy(to, from, pool);
    } else {
        memcpy(to, from, types[row->type].size);
    }
}

size_t sa_config__size(sa_option_type_t type)
{
    return types[type].size;
}

const char *sa_config__parse(void *field, const sa_option_t *row, const char *text,
                             apr_pool_t *pool)
{
    return types[row->type].parse(field, row, text, pool);
}

const char *sa_config__print(const void *field, const sa_option_t *row, apr_pool_t *pool)
{
    return types[row->type].print(field, row, pool);
}
