/* config: rules over what commands may do.  What is refused here never reaches the command
 * room; what only may be a mistake (a program that is not installed, a script that others
 * can change) is doubted here and refused when it is asked for. */
#include <string.h>

#include <apr_file_info.h>
#include <apr_strings.h>

#include "sa_config_private.h"
#include "sa_glob.h"
#include "sa_os_exec.h"
#include "sa_pool.h"
#include "sa_text.h"
#include "sa_words.h"

#define PATH_ "commands.allowed_commands"
/* Scripts looked at when the configuration is read. */
#define SCRIPTS_LOOKED_AT 256

/* One element of commands.allowed_commands under examination. */
typedef struct check_t {
    sa_config__loader_t *loader;
    int place;
    sa_allowed_command_t *command;
    const sa_config__places_t *places;
    apr_pool_t *pool;
} check_t;

static check_t check_of(sa_config__loader_t *loader, int place)
{
    const apr_array_header_t *commands = loader->config->allowed_commands;

    return (check_t){
        loader, place,
        /* ours until the configuration is handed out */
        &((sa_allowed_command_t *)(void *)commands->elts)[place],
        APR_ARRAY_IDX(loader->origins->main.elements[SA_CONFIG__COMMANDS], place,
                      const sa_config__places_t *),
        loader->scratch_pool};
}

static const sa_config__origin_t *origin_in(const check_t *check, const char *path)
{
    return sa_config__origin_in(check->places, &sa_config__allowed_commands, path);
}

static bool is_set(const check_t *check, const char *path)
{
    return sa_config__is_set(check->places, &sa_config__allowed_commands, path);
}

static const sa_config__places_t *arg_places(const check_t *check, int place)
{
    return APR_ARRAY_IDX(check->places->elements[SA_CONFIG__ARGS], place,
                         const sa_config__places_t *);
}

/* What a requester would send for COMMAND; NULL: it is not whole. */
static const char *key_of(const sa_allowed_command_t *command, apr_pool_t *pool)
{
    if (command->line[0]) {
        return sa_words_normalise(command->line, pool);
    }
    return command->name[0] ? command->name : NULL;
}

/* ---- line, or name and run ----------------------------------------------------------- */

static void complain_of_both(const check_t *check)
{
    static const char *const others[] = {"name", "run"};

    for (int i = 0; i < 2; i++) {
        if (is_set(check, others[i])) {
            sa_config__wrong(check->loader, origin_in(check, others[i]),
                             PATH_ "[].%s: there is a line as well; it is either line, or name and "
                             "run", others[i]);
            return;
        }
    }
    if (check->command->args->nelts > 0) {
        sa_config__wrong(check->loader, &arg_places(check, 0)->self,
                         PATH_ "[].args: a line has none; they go with name and run");
    }
}

static void complain_of_parts(const check_t *check)
{
    bool has_name = is_set(check, "name");
    bool has_run = is_set(check, "run");

    if (!has_name && !has_run) {
        sa_config__wrong(check->loader, &check->places->self,
                         PATH_ "[] needs line, or name and run");
    } else if (!has_name || !has_run) {
        sa_config__wrong(check->loader, origin_in(check, has_name ? "name" : "run"),
                         PATH_ "[].%s needs %s", has_name ? "name" : "run",
                         has_name ? "run" : "name");
    } else if (check->command->run->nelts == 0 && !origin_in(check, "run")->bad) {
        sa_config__wrong(check->loader, origin_in(check, "run"),
                         PATH_ "[].run must not be empty");
    }
}

static void check_double(const check_t *check)
{
    const char *key = key_of(check->command, check->pool);

    for (int i = 0; key && i < check->place; i++) {
        check_t other = check_of(check->loader, i);
        const char *other_key = key_of(other.command, check->pool);

        if (other_key && strcmp(other_key, key) == 0) {
            sa_config__wrong(check->loader,
                             origin_in(check, check->command->line[0] ? "line" : "name"),
                             PATH_ "[]: \"%s\" is there already (%s)",
                             sa_config__quote(NULL, key, check->pool),
                             sa_config__where(&other.places->self, check->pool));
            return;
        }
    }
}

/* ---- programs ------------------------------------------------------------------------ */

static void check_program(const check_t *check, const char *row, const char *program)
{
    const char *quoted = sa_config__quote(NULL, program, check->pool);

    if (program[0] == '-') {
        sa_config__wrong(check->loader, origin_in(check, row),
                         PATH_ "[].%s: \"%s\" must begin with a program", row, quoted);
    } else if (program[0] != '/' && strchr(program, '/')) {
        sa_config__wrong(check->loader, origin_in(check, row),
                         PATH_ "[].%s: \"%s\" must be an absolute path, or a name without / that "
                         "is looked up in " SA_COMMAND_PATH, row, quoted);
    } else if (!sa_config_find_program(program, check->pool)) {
        sa_config__doubt(check->loader, origin_in(check, row),
                         PATH_ "[].%s: the program \"%s\" is not on this machine%s", row, quoted,
                         program[0] == '/' ? "" : " (" SA_COMMAND_PATH ")");
    }
}

static void check_line(const check_t *check)
{
    const char *line = sa_words_normalise(check->command->line, check->pool);
    const char *fault = sa_text_fault(line, strlen(line));

    if (fault || !*line) {
        sa_config__wrong(check->loader, origin_in(check, "line"), PATH_ "[].line %s",
                         fault ? fault : "must be more than spaces");
    } else if (line[0] == '-') {
        check_program(check, "line", line);     /* a shell would take it as its own option */
    } else if (!sa_words_need_shell(line)) {
        const apr_array_header_t *words = sa_words_split(line, check->pool);

        check_program(check, "line", APR_ARRAY_IDX(words, 0, const char *));
    }
}

/* ---- arguments ------------------------------------------------------------------------- */

typedef struct arg_check_t {
    const check_t *check;
    sa_argument_config_t *arg;
    const sa_config__places_t *places;
    const char *shown;                  /* "commands.allowed_commands[].args.mount" */
} arg_check_t;

static const sa_config__origin_t *arg_origin(const arg_check_t *check, const char *path)
{
    return sa_config__origin_in(check->places, &sa_config__arguments, path);
}

static bool arg_is_set(const arg_check_t *check, const char *path)
{
    return sa_config__is_set(check->places, &sa_config__arguments, path);
}

static const struct {
    const char *path;
    sa_argument_type_t type;
    const char *type_text;
    bool needed;
} arg_rows[] = {
    {"pattern", SA_ARGUMENT_STRING, "string", true},
    {"max_length", SA_ARGUMENT_STRING, "string", false},
    {"min", SA_ARGUMENT_INT, "int", false}, {"max", SA_ARGUMENT_INT, "int", false},
    {"values", SA_ARGUMENT_ENUM, "enum", true}, {"under", SA_ARGUMENT_PATH, "path", true},
};

static bool is_empty(const sa_argument_config_t *arg, const char *path)
{
    switch (path[0]) {
    case 'p':
        return !arg->pattern[0];
    case 'v':
        return arg->values->nelts == 0;
    default:
        return arg->under->nelts == 0;
    }
}

/* Does each row stand where its type is?  false: what follows would make no sense. */
static bool check_arg_rows(const arg_check_t *check)
{
    bool good = true;

    for (size_t i = 0; i < sizeof(arg_rows) / sizeof(arg_rows[0]); i++) {
        const char *path = arg_rows[i].path;
        bool fits = arg_rows[i].type == (sa_argument_type_t)check->arg->type;

        if (!fits && arg_is_set(check, path)) {
            sa_config__wrong(check->check->loader, arg_origin(check, path),
                             "%s.%s is for the type %s only", check->shown, path,
                             arg_rows[i].type_text);
            good = false;
        } else if (fits && arg_origin(check, path)->bad) {
            good = false;
        } else if (fits && arg_rows[i].needed && is_empty(check->arg, path)) {
            sa_config__wrong(check->check->loader, &check->places->self, "%s needs %s",
                             check->shown, path);
            good = false;
        }
    }
    return good;
}

static bool check_pattern(const arg_check_t *check, sa_pattern_t **pattern)
{
    const char *text = check->arg->pattern;
    sa_error_t *err = sa_pattern_create(pattern, text, check->check->pool);

    if (err) {
        sa_config__wrong(check->check->loader, arg_origin(check, "pattern"),
                         "%s.pattern: \"%s\" is none: %s", check->shown,
                         sa_config__quote(NULL, text, check->check->pool), err->message);
    }
    sa_error_clear(err);
    return err == SA_OK;
}

static bool check_roots(const arg_check_t *check)
{
    const apr_array_header_t *under = check->arg->under;

    for (int i = 0; i < under->nelts; i++) {
        const char *root = APR_ARRAY_IDX(under, i, const char *);

        if (!sa_config_is_clean_path(root)) {
            sa_config__wrong(check->check->loader, arg_origin(check, "under"),
                             "%s.under: \"%s\" must be without //, /./, /../ and a / at its end",
                             check->shown, sa_config__quote(NULL, root, check->check->pool));
            return false;
        }
    }
    return true;
}

static bool check_values(const arg_check_t *check)
{
    const apr_array_header_t *values = check->arg->values;

    for (int i = 0; i < values->nelts; i++) {
        const char *value = APR_ARRAY_IDX(values, i, const char *);
        const char *fault = sa_text_fault(value, strlen(value));

        if (fault) {
            sa_config__wrong(check->check->loader, arg_origin(check, "values"),
                             "%s.values: \"%s\" %s", check->shown,
                             sa_config__quote(NULL, value, check->check->pool), fault);
            return false;
        }
    }
    return true;
}

static void check_default(const arg_check_t *check, const sa_pattern_t *pattern)
{
    const char *value = check->arg->def;
    const char *must = sa_text_fault(value, strlen(value));

    must = must ? must : sa_config_check_argument(check->arg, pattern, value,
                                                  check->check->loader->config->allowed_services,
                                                  check->check->pool);
    if (must) {
        sa_config__wrong(check->check->loader, arg_origin(check, "default"),
                         "%s.default: \"%s\" %s", check->shown,
                         sa_config__quote(NULL, value, check->check->pool), must);
    }
}

/* Does the type have all it needs? */
static bool check_type(const arg_check_t *check, sa_pattern_t **pattern)
{
    const sa_argument_config_t *arg = check->arg;
    sa_config__loader_t *loader = check->check->loader;

    switch ((sa_argument_type_t)arg->type) {
    case SA_ARGUMENT_STRING:
        return check_pattern(check, pattern);
    case SA_ARGUMENT_INT:
        if (arg->min > arg->max) {
            sa_config__wrong(loader, arg_origin(check, "min"),
                             "%s.min must not be more than max", check->shown);
            return false;
        }
        return true;
    case SA_ARGUMENT_ENUM:
        return check_values(check);
    case SA_ARGUMENT_PATH:
        return check_roots(check);
    case SA_ARGUMENT_SERVICE:
        if (loader->config->allowed_services->nelts == 0
            && !sa_config__origin_of(loader, "commands.allowed_services")->bad) {
            sa_config__doubt(loader, &check->places->self,
                             "%s takes nothing, because commands.allowed_services is empty",
                             check->shown);
        }
        return true;
    case SA_ARGUMENT_SWITCH:
        break;
    }
    return true;
}

static void check_arg(const check_t *command, int place)
{
    arg_check_t check = {
        command, &((sa_argument_config_t *)(void *)command->command->args->elts)[place],
        arg_places(command, place), NULL};
    sa_pattern_t *pattern = NULL;
    bool has_default = arg_is_set(&check, "default");

    check.shown = apr_pstrcat(command->pool, PATH_ "[].args.", check.arg->name, NULL);
    if (!has_default && check.arg->type == SA_ARGUMENT_SWITCH) {
        check.arg->def = "false";
    }
    check.arg->required = !has_default && check.arg->type != SA_ARGUMENT_SWITCH;
    if (!arg_origin(&check, "type")->bad && check_arg_rows(&check) && check_type(&check, &pattern)
        && has_default && !arg_origin(&check, "default")->bad) {
        check_default(&check, pattern);
    }
}

/* ---- the template ---------------------------------------------------------------------- */

static int find_arg(const sa_allowed_command_t *command, const sa_words_piece_t *piece)
{
    for (int i = 0; i < command->args->nelts; i++) {
        const char *name = APR_ARRAY_IDX(command->args, i, const sa_argument_config_t).name;

        if (strlen(name) == piece->length && memcmp(name, piece->text, piece->length) == 0) {
            return i;
        }
    }
    return -1;
}

/* What one element of run is made of. */
typedef struct element_t {
    bool has_name;
    bool has_text;          /* something other than switches */
    const char *wrong;
} element_t;

/* Look at TEXT, and note in USED which arguments it has. */
static element_t read_element(const check_t *check, const char *text, bool *used)
{
    element_t element = {false, false, NULL};
    const char *rest = text;
    sa_words_piece_t piece;

    while (sa_words_next_piece(&piece, &rest)) {
        int arg = piece.is_name && piece.text ? find_arg(check->command, &piece) : -1;

        if (!piece.text) {
            element.wrong = "has a brace that is not part of {NAME}; {{ and }} stand for one brace";
            return element;
        }
        if (piece.is_name && arg < 0) {
            element.wrong = apr_psprintf(check->pool, "names {%.*s}, which is not in args",
                                         (int)piece.length, piece.text);
            return element;
        }
        if (arg >= 0) {
            used[arg] = true;
        }
        element.has_name = element.has_name || piece.is_name;
        element.has_text = element.has_text || arg < 0
                           || APR_ARRAY_IDX(check->command->args, arg,
                                            const sa_argument_config_t).type != SA_ARGUMENT_SWITCH;
    }
    if (!element.has_text) {
        element.wrong = "is a switch alone; it belongs beside the text that it switches, as in "
                        "--all{all}";
    }
    return element;
}

/* The program of run, whose braces are doubled. */
static const char *program_of(const char *text, apr_pool_t *pool)
{
    const char *program = "";
    sa_words_piece_t piece;

    while (sa_words_next_piece(&piece, &text)) {
        program = apr_pstrcat(pool, program, apr_pstrmemdup(pool, piece.text, piece.length), NULL);
    }
    return program;
}

static void check_element(const check_t *check, int place, bool *used)
{
    const char *text = APR_ARRAY_IDX(check->command->run, place, const char *);
    element_t element = read_element(check, text, used);
    const char *fault = sa_text_fault(text, strlen(text));

    if (!fault && !element.wrong && place == 0 && element.has_name) {
        element.wrong = "is the program, which cannot be an argument";
    }
    if (fault || element.wrong) {
        sa_config__wrong(check->loader, origin_in(check, "run"), PATH_ "[].run: \"%s\" %s",
                         sa_config__quote(NULL, text, check->pool), fault ? fault : element.wrong);
    } else if (place == 0) {
        check_program(check, "run", program_of(text, check->pool));
    }
}

static void check_run(const check_t *check)
{
    const sa_allowed_command_t *command = check->command;
    bool *used = apr_pcalloc(check->pool, (size_t)command->args->nelts + 1);

    for (int i = 0; i < command->args->nelts; i++) {
        check_arg(check, i);
    }
    if (origin_in(check, "run")->bad || command->run->nelts == 0) {
        return;
    }
    for (int i = 0; i < command->run->nelts; i++) {
        check_element(check, i, used);
    }
    for (int i = 0; i < command->args->nelts; i++) {
        if (!used[i]) {
            sa_config__wrong(check->loader, &arg_places(check, i)->self,
                             PATH_ "[].args.%s is not used in run",
                             APR_ARRAY_IDX(command->args, i, const sa_argument_config_t).name);
        }
    }
}

/* ---- one command ------------------------------------------------------------------------ */

static bool is_variable(const char *name)
{
    for (const char *c = name; *c; c++) {
        bool is_letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || *c == '_';

        if (!is_letter && (c == name || *c < '0' || *c > '9')) {
            return false;
        }
    }
    return true;
}

static void check_env(const check_t *check)
{
    const apr_array_header_t *env = check->command->env;

    for (int i = 0; i < env->nelts; i++) {
        const char *name = APR_ARRAY_IDX(env, i, sa_config_pair_t).key;

        if (!is_variable(name)) {
            sa_config__wrong(check->loader, origin_in(check, "env"),
                             PATH_ "[].env: \"%s\" must be the name of a variable: letters, digits "
                             "and _", sa_config__quote(NULL, name, check->pool));
        }
    }
}

static void check_command(sa_config__loader_t *loader, int place)
{
    check_t check = check_of(loader, place);

    check.command->file = check.places->self.file;
    check.command->line_number = check.places->self.line;
    if (is_set(&check, "line")) {
        complain_of_both(&check);
        if (!origin_in(&check, "line")->bad) {
            check_line(&check);
        }
    } else {
        complain_of_parts(&check);
        check_run(&check);
    }
    check_env(&check);
    check_double(&check);
}

/* ---- logs and scripts --------------------------------------------------------------------- */

static const char *check_log_path(const char *path, apr_pool_t *pool)
{
    char *parts = apr_pstrdup(pool, path);
    char *last = NULL;

    if (!sa_config_is_clean_path(path) || !path[1]) {
        return "must be a path without //, /./, /../ and a / at its end";
    }
    for (char *part = apr_strtok(parts, "/", &last); part; part = apr_strtok(NULL, "/", &last)) {
        if (!sa_glob_is_short(part)) {
            return "must be at most 63 bytes between two /, * not counted";
        }
    }
    return NULL;
}

static void check_log_paths(sa_config__loader_t *loader)
{
    static const char path[] = "commands.allowed_log_paths";
    const apr_array_header_t *paths = loader->config->allowed_log_paths;

    for (int i = 0; i < paths->nelts; i++) {
        const char *text = APR_ARRAY_IDX(paths, i, const char *);
        const char *quoted = sa_config__quote(NULL, text, loader->scratch_pool);
        const char *must = check_log_path(text, loader->scratch_pool);

        if (must) {
            sa_config__wrong(loader, sa_config__origin_of(loader, path), "%s: \"%s\" %s", path,
                             quoted, must);
        } else if (strpbrk(text, "[]{}") || strstr(text, "**")) {
            sa_config__doubt(loader, sa_config__origin_of(loader, path),
                             "%s: \"%s\": [ ] { } stand for themselves, and ** is the same as *",
                             path, quoted);
        }
    }
}

/* Open the script NAME as it would be for a run, and say why it would not. */
static void look_at_script(sa_config__loader_t *loader, const char *name, apr_pool_t *pool)
{
    const char *path = apr_pstrcat(pool, loader->config->scripts_directory, "/", name, NULL);
    sa_os_program_t *program;
    sa_error_t *err = sa_os_program_open(&program, path, true, pool);
    char text[1024];

    if (err) {
        sa_config__doubt(loader, sa_config__origin_of(loader, "commands.scripts_directory"),
                         "commands.scripts_directory: the script %s cannot be run: %s",
                         sa_config__quote(NULL, name, pool),
                         sa_error_text(err, text, sizeof(text)));
    }
    sa_error_clear(err);
}

static void check_scripts(sa_config__loader_t *loader)
{
    const sa_config__origin_t *where = sa_config__origin_of(loader, "commands.scripts_directory");
    const char *folder = loader->config->scripts_directory;
    apr_pool_t *iter_pool;
    apr_array_header_t *names;

    if (!folder[0] || where->bad) {
        return;
    }
    if (!sa_config_is_clean_path(folder)) {
        sa_config__wrong(loader, where, "commands.scripts_directory: \"%s\" must be without //, "
                         "/./, /../ and a / at its end",
                         sa_config__quote(NULL, folder, loader->scratch_pool));
        return;
    }
    names = sa_config_scripts(folder, SCRIPTS_LOOKED_AT, loader->scratch_pool);
    if (!names) {
        sa_config__doubt(loader, where, "commands.scripts_directory: \"%s\" cannot be read, or is "
                         "not on this machine",
                         sa_config__quote(NULL, folder, loader->scratch_pool));
        return;
    }
    iter_pool = sa_pool_create(loader->scratch_pool);
    for (int i = 0; i < names->nelts && sa_config__has_room(loader); i++) {
        apr_pool_clear(iter_pool);
        look_at_script(loader, APR_ARRAY_IDX(names, i, const char *), iter_pool);
    }
    apr_pool_destroy(iter_pool);
}

void sa_config__check_commands(sa_config__loader_t *loader)
{
    for (int i = 0; i < loader->config->allowed_commands->nelts; i++) {
        check_command(loader, i);
    }
    check_log_paths(loader);
    check_scripts(loader);
}
