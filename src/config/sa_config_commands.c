/* config: what the rules and the command room both need to know of allowed commands. */
#include <stdlib.h>
#include <string.h>

#include <apr_file_info.h>
#include <apr_strings.h>

#include "sa_config_private.h"

static void copy_struct(void *to, const void *from, const sa_config__table_t *table,
                        apr_pool_t *pool)
{
    for (int i = 0; i < table->count; i++) {
        const sa_option_t *row = &table->rows[i];

        sa_config__copy((char *)to + row->offset, (const char *)from + row->offset, row, pool);
    }
}

static apr_array_header_t *copy_args(const apr_array_header_t *args, apr_pool_t *pool)
{
    apr_array_header_t *copies = apr_array_copy(pool, args);

    for (int i = 0; i < args->nelts; i++) {
        const sa_argument_config_t *arg = &APR_ARRAY_IDX(args, i, const sa_argument_config_t);
        sa_argument_config_t *copy = &APR_ARRAY_IDX(copies, i, sa_argument_config_t);

        copy_struct(copy, arg, &sa_config__arguments, pool);
        copy->name = apr_pstrdup(pool, arg->name);
    }
    return copies;
}

apr_array_header_t *sa_config_copy_commands(const apr_array_header_t *commands, apr_pool_t *pool)
{
    apr_array_header_t *copies = apr_array_copy(pool, commands);

    for (int i = 0; i < commands->nelts; i++) {
        const sa_allowed_command_t *command =
            &APR_ARRAY_IDX(commands, i, const sa_allowed_command_t);
        sa_allowed_command_t *copy = &APR_ARRAY_IDX(copies, i, sa_allowed_command_t);

        copy_struct(copy, command, &sa_config__allowed_commands, pool);
        copy->args = copy_args(command->args, pool);
        copy->file = apr_pstrdup(pool, command->file);
    }
    return copies;
}

sa_allowed_command_t *sa_config_default_command(apr_pool_t *pool)
{
    sa_allowed_command_t *command = apr_pcalloc(pool, sizeof(*command));

    for (int i = 0; i < sa_config__allowed_commands.count; i++) {
        const sa_option_t *row = &sa_config__allowed_commands.rows[i];
        const char *wrong = sa_config__parse((char *)command + row->offset, row, row->def, pool);

        SA_ASSERT(wrong == NULL);
    }
    command->args = apr_array_make(pool, 1, sizeof(sa_argument_config_t));
    command->file = "default";
    return command;
}

/* ---- programs ------------------------------------------------------------------- */

static bool is_program(const char *path, apr_pool_t *pool)
{
    apr_finfo_t info;
    apr_status_t status = apr_stat(&info, path, APR_FINFO_TYPE | APR_FINFO_PROT, pool);

    return (status == APR_SUCCESS || status == APR_INCOMPLETE) && info.filetype == APR_REG
           && (info.protection & (APR_FPROT_UEXECUTE | APR_FPROT_GEXECUTE | APR_FPROT_WEXECUTE));
}

const char *sa_config_find_program(const char *name, apr_pool_t *pool)
{
    const char *folder = SA_COMMAND_PATH;

    if (strchr(name, '/')) {
        return is_program(name, pool) ? name : NULL;
    }
    while (*folder && *name) {
        size_t length = strcspn(folder, ":");
        const char *path = apr_psprintf(pool, "%.*s/%s", (int)length, folder, name);

        if (is_program(path, pool)) {
            return path;
        }
        folder += length + (folder[length] ? 1 : 0);
    }
    return NULL;
}

/* ---- values of arguments ---------------------------------------------------------- */

/* The types of units of systemd.unit(5). */
static bool has_type(const char *name)
{
    static const char *const types[] = {
        ".service", ".socket", ".timer", ".path", ".mount", ".automount", ".swap", ".scope",
        ".target", ".slice", ".device"};
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; dot && i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(dot, types[i]) == 0) {
            return true;
        }
    }
    return false;
}

bool sa_config_same_service(const char *a, const char *b)
{
    size_t a_length = strlen(a);
    size_t b_length = strlen(b);
    const char *longer = a_length > b_length ? a : b;
    size_t shorter = a_length > b_length ? b_length : a_length;

    if (shorter == 0 || strncmp(a, b, shorter) != 0) {
        return false;
    }
    return a_length == b_length
           || (!has_type(a_length > b_length ? b : a) && strcmp(longer + shorter, ".service") == 0);
}

static const char *check_string(const sa_argument_config_t *argument, const sa_pattern_t *pattern,
                                const char *value, apr_pool_t *pool)
{
    if (strlen(value) > (size_t)argument->max_length) {
        return apr_psprintf(pool, "must be at most %" APR_INT64_T_FMT " bytes",
                            argument->max_length);
    }
    if (!sa_pattern_match(pattern, value, strlen(value), NULL, pool)) {
        return "must match the pattern of the argument";
    }
    return NULL;
}

static const char *check_int(const sa_argument_config_t *argument, const char *value,
                             apr_pool_t *pool)
{
    static const sa_option_t row = {.path = "int", .type = SA_OPTION_INT};
    apr_int64_t number;

    if (sa_config__parse(&number, &row, value, pool)) {
        return "must be a whole number";
    }
    if (number < argument->min || number > argument->max) {
        return apr_psprintf(pool, "must be from %" APR_INT64_T_FMT " to %" APR_INT64_T_FMT,
                            argument->min, argument->max);
    }
    return NULL;
}

static const char *check_enum(const sa_argument_config_t *argument, const char *value,
                              apr_pool_t *pool)
{
    for (int i = 0; i < argument->values->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(argument->values, i, const char *), value) == 0) {
            return NULL;
        }
    }
    return apr_pstrcat(pool, "must be one of ", apr_array_pstrcat(pool, argument->values, ' '),
                       NULL);
}

bool sa_config_is_clean_path(const char *path)
{
    const char *part = path + 1;

    if (path[0] != '/') {
        return false;
    }
    while (*part || part > path + 1) {
        size_t length = strcspn(part, "/");

        if (length == 0 || (length == 1 && part[0] == '.')
            || (length == 2 && part[0] == '.' && part[1] == '.')) {
            return false;
        }
        if (!part[length]) {
            break;
        }
        part += length + 1;
    }
    return true;
}

bool sa_config_is_under(const char *path, const char *root)
{
    size_t length = strlen(root);

    if (length == 1) {
        return true;
    }
    return strncmp(path, root, length) == 0 && (!path[length] || path[length] == '/');
}

static const char *check_path(const sa_argument_config_t *argument, const char *value,
                              apr_pool_t *pool)
{
    if (!sa_config_is_clean_path(value)) {
        return "must be an absolute path without //, /./, /../ or a / at its end";
    }
    for (int i = 0; i < argument->under->nelts; i++) {
        if (sa_config_is_under(value, APR_ARRAY_IDX(argument->under, i, const char *))) {
            return NULL;
        }
    }
    return apr_pstrcat(pool, "must be below ", apr_array_pstrcat(pool, argument->under, ' '), NULL);
}

static const char *check_service(const char *value, const apr_array_header_t *services)
{
    for (int i = 0; i < services->nelts; i++) {
        if (sa_config_same_service(APR_ARRAY_IDX(services, i, const char *), value)) {
            return NULL;
        }
    }
    return "must be one of commands.allowed_services";
}

const char *sa_config_check_argument(const sa_argument_config_t *argument,
                                     const sa_pattern_t *pattern, const char *value,
                                     const apr_array_header_t *services, apr_pool_t *pool)
{
    switch ((sa_argument_type_t)argument->type) {
    case SA_ARGUMENT_STRING:
        return check_string(argument, pattern, value, pool);
    case SA_ARGUMENT_INT:
        return check_int(argument, value, pool);
    case SA_ARGUMENT_ENUM:
        return check_enum(argument, value, pool);
    case SA_ARGUMENT_PATH:
        return check_path(argument, value, pool);
    case SA_ARGUMENT_SERVICE:
        return check_service(value, services);
    case SA_ARGUMENT_SWITCH:
        return strcmp(value, "true") == 0 || strcmp(value, "false") == 0 ? NULL
                                                                          : "must be true or false";
    }
    return "has no type";
}

/* ---- scripts ------------------------------------------------------------------------ */

bool sa_config_is_script_name(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789._-";
    size_t length = strspn(name, allowed);

    return length > 0 && length <= 255 && !name[length] && name[0] != '.' && name[0] != '-';
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

apr_array_header_t *sa_config_scripts(const char *folder, int limit, apr_pool_t *pool)
{
    apr_array_header_t *names = apr_array_make(pool, 16, sizeof(const char *));
    apr_finfo_t info;
    apr_dir_t *dir;
    apr_status_t status;

    if (apr_dir_open(&dir, folder, pool) != APR_SUCCESS) {
        return NULL;
    }
    do {
        status = apr_dir_read(&info, APR_FINFO_NAME, dir);
        if ((status == APR_SUCCESS || status == APR_INCOMPLETE)
            && sa_config_is_script_name(info.name)) {
            APR_ARRAY_PUSH(names, const char *) = apr_pstrdup(pool, info.name);
        }
    } while ((status == APR_SUCCESS || status == APR_INCOMPLETE) && names->nelts < limit);
    apr_dir_close(dir);
    qsort(names->elts, (size_t)names->nelts, sizeof(const char *), by_text);
    return names;
}
