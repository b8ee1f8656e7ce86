/* config: the table.  Rows from the .def files, and finding one. */
#include "sa_config_private.h"

#include <stddef.h>
#include <string.h>

#include <apr_strings.h>

static const sa_option_t main_rows[] = {
#define SA_OPTION(type_, field_, path_, ...)                                            \
    {.path = path_, .type = SA_OPTION_##type_, .offset = offsetof(sa_config_t, field_), \
     __VA_ARGS__},
#include "sa_config_options.def"
};

static const sa_option_t exporter_rows[] = {
#define SA_OPTION(type_, field_, path_, ...)                                          \
    {.path = path_, .type = SA_OPTION_##type_, .offset = offsetof(sa_exporter_config_t, field_), \
     __VA_ARGS__},
#include "sa_exporter_options.def"
#undef SA_OPTION
};

static const sa_option_t command_rows[] = {
#define SA_OPTION(type_, field_, path_, ...)                                          \
    {.path = path_, .type = SA_OPTION_##type_, .offset = offsetof(sa_allowed_command_t, field_), \
     __VA_ARGS__},
#include "sa_allowed_command_options.def"
#undef SA_OPTION
};

static const sa_option_t argument_rows[] = {
#define SA_OPTION(type_, field_, path_, ...)                                          \
    {.path = path_, .type = SA_OPTION_##type_, .offset = offsetof(sa_argument_config_t, field_), \
     __VA_ARGS__},
#include "sa_argument_options.def"
#undef SA_OPTION
};

const sa_config__words_t sa_config__sections[] = {
#define SA_SECTION(path_, doc_) {path_, doc_},
#include "sa_config_options.def"
};

const sa_config__words_t sa_config__reserved[] = {
#define SA_RESERVED(path_, doc_) {path_, doc_},
#include "sa_config_options.def"
};

static const struct {
    const char *section;
    const char *other;
} section_aliases[] = {
#define SA_SECTION_ALIAS(section_, other_) {section_, other_},
#include "sa_config_options.def"
};

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
const int sa_config__section_count = COUNT(sa_config__sections);
const int sa_config__reserved_count = COUNT(sa_config__reserved);

const sa_config__table_t sa_config__exporters = {
    .rows = exporter_rows, .count = COUNT(exporter_rows), .size = sizeof(sa_exporter_config_t)};

const sa_config__table_t sa_config__arguments = {
    .rows = argument_rows, .count = COUNT(argument_rows), .size = sizeof(sa_argument_config_t)};

static const sa_config__group_t command_groups[] = {
    [SA_CONFIG__ARGS] = {
        .path = "args", .table = &sa_config__arguments,
        .offset = offsetof(sa_allowed_command_t, args), .max = 32, .named = true, .strict = true},
};

const sa_config__table_t sa_config__allowed_commands = {
    .rows = command_rows, .count = COUNT(command_rows), .size = sizeof(sa_allowed_command_t),
    .groups = command_groups, .group_count = COUNT(command_groups)};

static const sa_config__group_t main_groups[] = {
    [SA_CONFIG__EXPORTERS] = {
        .path = "tasks.exporters", .table = &sa_config__exporters,
        .offset = offsetof(sa_config_t, exporters), .flags = SA_OPT_RELOAD, .room = SA_ROOM_TASK,
        .max = 256},
    [SA_CONFIG__COMMANDS] = {
        .path = "commands.allowed_commands", .table = &sa_config__allowed_commands,
        .offset = offsetof(sa_config_t, allowed_commands), .flags = SA_OPT_RELOAD,
        .room = SA_ROOM_COMMAND, .max = 256, .single = "line", .strict = true},
};

const sa_config__table_t sa_config__main = {
    .rows = main_rows, .count = COUNT(main_rows), .size = sizeof(sa_config_t),
    .groups = main_groups, .group_count = COUNT(main_groups)};

bool sa_config__has_word(const char *words, const char *word)
{
    size_t length = strlen(word);

    while (words && *words) {
        size_t span = strcspn(words, " ");

        if (span == length && memcmp(words, word, length) == 0) {
            return true;
        }
        words += span;
        words += strspn(words, " ");
    }
    return false;
}

/* Does PATH stand below ABOVE? */
static bool is_below(const char *path, const char *above)
{
    size_t length = strlen(above);

    return strncmp(path, above, length) == 0 && path[length] == '.';
}

const char *sa_config__resolve(const sa_config__table_t *table, const char *path,
                               apr_pool_t *pool)
{
    for (int i = 0; table == &sa_config__main && i < COUNT(section_aliases); i++) {
        const char *other = section_aliases[i].other;

        if (strcmp(path, other) == 0 || is_below(path, other)) {
            return apr_pstrcat(pool, section_aliases[i].section, path + strlen(other), NULL);
        }
    }
    return path;
}

int sa_config__find(const sa_config__table_t *table, const char *path)
{
    for (int i = 0; i < table->count; i++) {
        const sa_option_t *row = &table->rows[i];

        if (strcmp(row->path, path) == 0 || sa_config__has_word(row->alias, path)) {
            return i;
        }
    }
    return -1;
}

int sa_config__find_secret(const sa_config__table_t *table, const char *path, int *source)
{
    for (int i = 0; i < table->count; i++) {
        const sa_option_t *row = &table->rows[i];
        size_t length = strlen(row->path);

        if (row->type != SA_OPTION_SECRET || strncmp(path, row->path, length) != 0) {
            continue;
        }
        if (strcmp(path + length, "_file") == 0) {
            *source = SA_SECRET_FILE;
            return i;
        }
        if (strcmp(path + length, "_env") == 0) {
            *source = SA_SECRET_ENV;
            return i;
        }
    }
    return -1;
}

apr_array_header_t *sa_config__list_of(const sa_config__group_t *group, const void *fields)
{
    return *(apr_array_header_t *const *)(const void *)((const char *)fields + group->offset);
}

int sa_config__find_group(const sa_config__table_t *table, const char *path)
{
    for (int i = 0; i < table->group_count; i++) {
        if (strcmp(table->groups[i].path, path) == 0) {
            return i;
        }
    }
    return -1;
}

bool sa_config__is_reserved(const char *path)
{
    for (int i = 0; i < sa_config__reserved_count; i++) {
        const char *reserved = sa_config__reserved[i].path;

        if (strcmp(path, reserved) == 0 || is_below(path, reserved)) {
            return true;
        }
    }
    return false;
}

static bool any_word_is_below(const char *words, const char *above)
{
    while (words && *words) {
        if (is_below(words, above)) {
            return true;
        }
        words += strcspn(words, " ");
        words += strspn(words, " ");
    }
    return false;
}

bool sa_config__is_section(const sa_config__table_t *table, const char *path)
{
    for (int i = 0; i < table->count; i++) {
        const sa_option_t *row = &table->rows[i];

        if (is_below(row->path, path) || any_word_is_below(row->alias, path)) {
            return true;
        }
    }
    for (int i = 0; i < table->group_count; i++) {
        if (is_below(table->groups[i].path, path)) {
            return true;
        }
    }
    for (int i = 0; table == &sa_config__main && i < sa_config__reserved_count; i++) {
        if (is_below(sa_config__reserved[i].path, path)) {
            return true;
        }
    }
    return false;
}

#define NEAREST_BYTES 64

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance, both words shorter than NEAREST_BYTES. */
static int distance(const char *a, const char *b)
{
    int row[NEAREST_BYTES + 1];
    int a_length = (int)strlen(a);
    int b_length = (int)strlen(b);

    for (int j = 0; j <= b_length; j++) {
        row[j] = j;
    }
    for (int i = 1; i <= a_length; i++) {
        int diagonal = row[0];

        row[0] = i;
        for (int j = 1; j <= b_length; j++) {
            int above = row[j];

            row[j] = least(least(above, row[j - 1]) + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[b_length];
}

typedef struct nearest_t {
    const char *wanted;
    const char *best;
    int best_distance;
    apr_pool_t *pool;
} nearest_t;

static void compare_path(nearest_t *nearest, const char *path)
{
    int away;

    if (strlen(path) >= NEAREST_BYTES) {
        return;
    }
    away = distance(nearest->wanted, path);
    if (away < nearest->best_distance) {
        nearest->best_distance = away;
        nearest->best = path;
    }
}

static void compare_row(nearest_t *nearest, const sa_option_t *row)
{
    char *words = apr_pstrdup(nearest->pool, row->alias ? row->alias : "");
    char *last = NULL;

    if (row->type == SA_OPTION_SECRET) {
        compare_path(nearest, apr_pstrcat(nearest->pool, row->path, "_file", NULL));
        compare_path(nearest, apr_pstrcat(nearest->pool, row->path, "_env", NULL));
        return;
    }
    compare_path(nearest, row->path);
    for (char *word = apr_strtok(words, " ", &last); word; word = apr_strtok(NULL, " ", &last)) {
        compare_path(nearest, word);
    }
}

const char *sa_config__nearest(const sa_config__table_t *table, const char *path,
                               apr_pool_t *pool)
{
    /* Further away than a third of its letters it is another word. */
    nearest_t nearest = {path, NULL, least((int)(strlen(path) / 3) + 1, 8), pool};

    if (strlen(path) >= NEAREST_BYTES) {
        return NULL;
    }
    for (int i = 0; i < table->count; i++) {
        compare_row(&nearest, &table->rows[i]);
    }
    for (int i = 0; table == &sa_config__main && i < sa_config__reserved_count; i++) {
        compare_path(&nearest, sa_config__reserved[i].path);
    }
    for (int i = 0; table == &sa_config__main && i < sa_config__section_count; i++) {
        compare_path(&nearest, sa_config__sections[i].path);
    }
    for (int i = 0; i < table->group_count; i++) {
        compare_path(&nearest, table->groups[i].path);
    }
    return nearest.best;
}
