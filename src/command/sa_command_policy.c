/* command: what may be done here.
 *
 * A request chooses among the entries of the file; it never adds to them.  What runs is made
 * from the entry's own text, and from values of which each has passed its argument's check
 * and becomes part of one element of argv.  Nothing is started and nothing is opened here;
 * the paths of arguments are looked up.
 *
 * Must not know: the bus, how a program is run. */
#include "sa_command_policy.h"

#include <math.h>
#include <string.h>

#include <apr_file_info.h>
#include <apr_strings.h>
#include <apr_user.h>

#include "sa_command_policy_private.h"
#include "sa_os_file.h"
#include "sa_text.h"
#include "sa_words.h"

/* Bounds of a request. */
#define COMMAND_BYTES 4096
#define VALUE_BYTES 4096
#define ARGV_BYTES (128 * 1024)     /* of all of argv; Linux takes as much in one element */
/* The largest whole number that a JSON number holds exactly: 2^53. */
#define EXACT_NUMBER 9007199254740992.0

static const char refusal[] = "command not in allowed list or scripts directory";

#define refuse(...) sa_error(SA_ERR_REFUSED, NULL, __VA_ARGS__)

/* ---- making it --------------------------------------------------------------------- */

/* The home directory of the user we are. */
static const char *find_home(apr_pool_t *pool)
{
    apr_uid_t user;
    apr_gid_t group;
    char *name;
    char *home;

    if (apr_uid_current(&user, &group, pool) == APR_SUCCESS
        && apr_uid_name_get(&name, user, pool) == APR_SUCCESS
        && apr_uid_homepath_get(&home, name, pool) == APR_SUCCESS && home[0] == '/') {
        return home;
    }
    return "/";
}

static void set_variable(apr_array_header_t *env, const char *name, const char *value)
{
    const char *text = apr_pstrcat(env->pool, name, "=", value, NULL);
    size_t length = strlen(name) + 1;

    for (int i = 0; i < env->nelts; i++) {
        if (strncmp(APR_ARRAY_IDX(env, i, const char *), text, length) == 0) {
            APR_ARRAY_IDX(env, i, const char *) = text;
            return;
        }
    }
    APR_ARRAY_PUSH(env, const char *) = text;
}

/* ARRAY's strings with a NULL behind them. */
static const char *const *end_with_null(apr_array_header_t *array)
{
    APR_ARRAY_PUSH(array, const char *) = NULL;
    return (const char *const *)(void *)array->elts;
}

/* All of the environment: what stands here and in the file, and nothing of our own. */
static const char *const *make_env(const sa_allowed_command_t *command, const char *home,
                                   apr_pool_t *pool)
{
    apr_array_header_t *env = apr_array_make(pool, 4 + command->env->nelts, sizeof(const char *));

    set_variable(env, "PATH", SA_COMMAND_PATH);
    set_variable(env, "LANG", "C.UTF-8");
    set_variable(env, "HOME", home);
    for (int i = 0; i < command->env->nelts; i++) {
        const sa_config_pair_t *pair = &APR_ARRAY_IDX(command->env, i, sa_config_pair_t);

        set_variable(env, pair->key, pair->value);
    }
    return end_with_null(env);
}

static sa_error_t *make_entry(sa_command__entry_t *entry, const sa_allowed_command_t *command,
                              const char *home, apr_pool_t *pool)
{
    int args = command->args->nelts;

    entry->command = command;
    entry->line = command->line[0] ? sa_words_normalise(command->line, pool) : NULL;
    entry->env = make_env(command, home, pool);
    entry->patterns = apr_pcalloc(pool, (size_t)(args + 1) * sizeof(sa_pattern_t *));
    for (int i = 0; i < args; i++) {
        const sa_argument_config_t *arg =
            &APR_ARRAY_IDX(command->args, i, const sa_argument_config_t);

        if (arg->type == SA_ARGUMENT_STRING) {
            SA_TRY_MSG(sa_pattern_create(&entry->patterns[i], arg->pattern, pool),
                       "cannot use the pattern of %s in %s", arg->name, command->name);
        }
    }
    return SA_OK;
}

static apr_array_header_t *copy_texts(const apr_array_header_t *texts, apr_pool_t *pool)
{
    apr_array_header_t *copy = apr_array_copy(pool, texts);

    for (int i = 0; i < copy->nelts; i++) {
        APR_ARRAY_IDX(copy, i, const char *) =
            apr_pstrdup(pool, APR_ARRAY_IDX(copy, i, const char *));
    }
    return copy;
}

static sa_error_t *make_log_pattern(sa_command__log_pattern_t *pattern, const char *text,
                                    apr_pool_t *pool)
{
    char *parts = apr_pstrdup(pool, text);
    char *last = NULL;

    pattern->text = apr_pstrdup(pool, text);
    pattern->parts = apr_array_make(pool, 8, sizeof(sa_command__log_part_t));
    for (char *part = apr_strtok(parts, "/", &last); part; part = apr_strtok(NULL, "/", &last)) {
        sa_command__log_part_t *made = apr_array_push(pattern->parts);

        made->glob = sa_glob_create(part, pool);
        made->shows_dots = part[0] == '.';
        if (!made->glob) {
            return sa_error(SA_ERR_CONFIG, NULL, "cannot use the log path %s: a part is too long",
                            text);
        }
    }
    return SA_OK;
}

static sa_error_t *make_log_patterns(sa_command_policy_t *policy, const apr_array_header_t *paths)
{
    policy->log_patterns = apr_array_make(policy->pool, paths->nelts + 1,
                                          sizeof(sa_command__log_pattern_t));
    for (int i = 0; i < paths->nelts; i++) {
        SA_TRY(make_log_pattern(apr_array_push(policy->log_patterns),
                                APR_ARRAY_IDX(paths, i, const char *), policy->pool));
    }
    return SA_OK;
}

sa_error_t *sa_command_policy_create(sa_command_policy_t **policy, const sa_config_t *config,
                                     apr_pool_t *pool)
{
    sa_command_policy_t *made = apr_pcalloc(pool, sizeof(*made));
    apr_array_header_t *commands = sa_config_copy_commands(config->allowed_commands, pool);

    made->pool = pool;
    made->home = find_home(pool);
    made->timeout = config->command_timeout;
    made->max_output = config->command_max_output;
    made->scripts_directory = apr_pstrdup(pool, config->scripts_directory);
    made->services = copy_texts(config->allowed_services, pool);
    made->entry_count = commands->nelts;
    made->entries = apr_pcalloc(pool, (size_t)(commands->nelts + 1) * sizeof(*made->entries));
    for (int i = 0; i < commands->nelts; i++) {
        SA_TRY(make_entry(&made->entries[i],
                          &APR_ARRAY_IDX(commands, i, const sa_allowed_command_t), made->home,
                          pool));
    }
    SA_TRY(make_entry(&made->script, sa_config_default_command(pool), made->home, pool));
    SA_TRY(make_log_patterns(made, config->allowed_log_paths));
    *policy = made;
    return SA_OK;
}

/* ---- the request --------------------------------------------------------------------- */

static sa_error_t *read_command(const char **command, const cJSON *request)
{
    const cJSON *item = cJSON_GetObjectItem(request, "command");
    const char *fault;

    if (!cJSON_IsString(item)) {
        return item ? refuse("command must be text") : refuse("the request names no command");
    }
    *command = item->valuestring;
    if (strlen(*command) > COMMAND_BYTES) {
        return refuse("command is longer than %d bytes", COMMAND_BYTES);
    }
    fault = sa_text_fault(*command, strlen(*command));
    return fault ? refuse("command %s", fault) : SA_OK;
}

/* *ARGS is NULL where there are none. */
static sa_error_t *read_args(const cJSON **args, const cJSON *request)
{
    const cJSON *item = cJSON_GetObjectItem(request, "args");

    *args = NULL;
    if (!item || cJSON_IsNull(item)) {
        return SA_OK;
    }
    if (!cJSON_IsObject(item)) {
        return refuse("args must be an object of names with values");
    }
    SA_TRY(sa_json_check_names(item, "args", SA_COMMAND_MEMBERS));
    *args = item->child ? item : NULL;
    return SA_OK;
}

/* ---- values of arguments --------------------------------------------------------------- */

static sa_error_t *read_number(const char **text, const char *name, const cJSON *item,
                               apr_pool_t *pool)
{
    double number = item->valuedouble;

    if (!isfinite(number) || floor(number) != number || fabs(number) > EXACT_NUMBER) {
        return refuse("argument %s must be a whole number, as text when it is beyond 2^53", name);
    }
    *text = apr_psprintf(pool, "%" APR_INT64_T_FMT, (apr_int64_t)number);
    return SA_OK;
}

/* ITEM as text, if it is of a JSON type that ARG takes. */
static sa_error_t *read_value(const char **text, const sa_argument_config_t *arg,
                              const cJSON *item, apr_pool_t *pool)
{
    const char *fault;

    if (arg->type == SA_ARGUMENT_SWITCH) {
        *text = cJSON_IsTrue(item) ? "true" : "false";
        return cJSON_IsBool(item) ? SA_OK : refuse("argument %s must be true or false", arg->name);
    }
    if (arg->type == SA_ARGUMENT_INT && cJSON_IsNumber(item)) {
        return read_number(text, arg->name, item, pool);
    }
    if (!cJSON_IsString(item)) {
        return refuse("argument %s must be %s", arg->name,
                      arg->type == SA_ARGUMENT_INT ? "a whole number" : "text");
    }
    *text = item->valuestring;
    if (strlen(*text) > VALUE_BYTES) {
        return refuse("argument %s must be at most %d bytes", arg->name, VALUE_BYTES);
    }
    fault = sa_text_fault(*text, strlen(*text));
    return fault ? refuse("argument %s %s", arg->name, fault) : SA_OK;
}

/* Where *PATH leads must be below a root of ARG as well.  What is handed on is that place,
 * so that a link changed later changes nothing. */
static sa_error_t *resolve_path(const char **path, const sa_argument_config_t *arg,
                                apr_pool_t *pool)
{
    const char *real_path;
    const char *real_root;
    sa_error_t *err = sa_os_file_real_path(&real_path, *path, pool);

    if (err) {
        return sa_error(SA_ERR_REFUSED, err, "argument %s must name what is there", arg->name);
    }
    for (int i = 0; i < arg->under->nelts; i++) {
        err = sa_os_file_real_path(&real_root, APR_ARRAY_IDX(arg->under, i, const char *), pool);
        if (!err && sa_config_is_under(real_path, real_root)) {
            *path = real_path;
            return SA_OK;
        }
        sa_error_clear(err);    /* a root that is not there has nothing below it */
    }
    return refuse("argument %s leads out of where it may", arg->name);
}

/* The value of argument PLACE of ENTRY, from ARGS (may be NULL) or by default. */
static sa_error_t *take_value(const char **text, const sa_command_policy_t *policy,
                              const sa_command__entry_t *entry, int place, const cJSON *args,
                              apr_pool_t *pool)
{
    const sa_argument_config_t *arg =
        &APR_ARRAY_IDX(entry->command->args, place, const sa_argument_config_t);
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(args, arg->name);
    const char *must;

    if (!item && arg->required) {
        return refuse("argument %s is missing", arg->name);
    }
    *text = arg->def;
    if (item) {
        SA_TRY(read_value(text, arg, item, pool));
    }
    must = sa_config_check_argument(arg, entry->patterns[place], *text, policy->services, pool);
    if (must) {
        return refuse("argument %s %s", arg->name, must);
    }
    return arg->type == SA_ARGUMENT_PATH ? resolve_path(text, arg, pool) : SA_OK;
}

static int find_arg(const sa_allowed_command_t *command, const char *name, size_t length)
{
    for (int i = 0; i < command->args->nelts; i++) {
        const char *known = APR_ARRAY_IDX(command->args, i, const sa_argument_config_t).name;

        if (strlen(known) == length && memcmp(known, name, length) == 0) {
            return i;
        }
    }
    return -1;
}

static sa_error_t *check_names(const sa_allowed_command_t *command, const cJSON *args)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, args) {
        size_t length = strlen(item->string);

        if (find_arg(command, item->string, length) < 0) {
            /* Only what looks like a name is repeated to whoever reads the log. */
            return refuse("%s has no argument %s", command->name,
                          sa_words_is_name(item->string, length) ? item->string : "of that name");
        }
    }
    return SA_OK;
}

static sa_error_t *take_values(const char **values, const sa_command_policy_t *policy,
                               const sa_command__entry_t *entry, const cJSON *args,
                               apr_pool_t *pool)
{
    SA_TRY(check_names(entry->command, args));
    for (int i = 0; i < entry->command->args->nelts; i++) {
        SA_TRY(take_value(&values[i], policy, entry, i, args, pool));
    }
    return SA_OK;
}

/* ---- argv ------------------------------------------------------------------------------- */

/* argv in the making. */
typedef struct filling_t {
    const sa_command__entry_t *entry;
    const char **values;
    apr_array_header_t *argv;
    size_t bytes;
    bool options_ended;         /* a "--" of the template is behind us */
    apr_pool_t *pool;
} filling_t;

/* Could VALUE, put behind TEXT, be read as an option of the requester's making?  It could
 * where TEXT is nothing or dashes, and no "--" of the template stands before it.  Words of an
 * enum are the administrator's own. */
static bool is_option(const filling_t *filling, const sa_argument_config_t *arg, const char *text,
                      const char *value)
{
    return value[0] == '-' && !text[strspn(text, "-")] && !filling->options_ended
           && arg->type != SA_ARGUMENT_ENUM;
}

/* One PIECE behind *TEXT; *KEEP is false once a switch is off. */
static sa_error_t *add_piece(const char **text, bool *keep, const filling_t *filling,
                             const sa_words_piece_t *piece)
{
    const sa_allowed_command_t *command = filling->entry->command;
    const char *value = apr_pstrmemdup(filling->pool, piece->text, piece->length);

    if (piece->is_name) {
        int place = find_arg(command, piece->text, piece->length);
        const sa_argument_config_t *arg;

        SA_ASSERT(place >= 0);      /* the rules of the configuration have seen to it */
        arg = &APR_ARRAY_IDX(command->args, place, const sa_argument_config_t);
        value = filling->values[place];
        if (arg->type == SA_ARGUMENT_SWITCH) {
            *keep = *keep && value[0] == 't';
            return SA_OK;
        }
        if (is_option(filling, arg, *text, value)) {
            return refuse("argument %s must not begin with -", arg->name);
        }
    }
    if (strlen(*text) + strlen(value) + filling->bytes > ARGV_BYTES) {
        return refuse("the arguments of %s are longer than %d bytes", command->name, ARGV_BYTES);
    }
    *text = apr_pstrcat(filling->pool, *text, value, NULL);
    return SA_OK;
}

static sa_error_t *fill_element(filling_t *filling, const char *template)
{
    const char *text = "";
    const char *rest = template;
    bool keep = true;
    sa_words_piece_t piece;

    while (sa_words_next_piece(&piece, &rest)) {
        SA_ASSERT(piece.text != NULL);
        SA_TRY(add_piece(&text, &keep, filling, &piece));
    }
    if (keep) {
        APR_ARRAY_PUSH(filling->argv, const char *) = text;
        filling->bytes += strlen(text) + 1;
        filling->options_ended = filling->options_ended || strcmp(template, "--") == 0;
    }
    return SA_OK;
}

/* Find the program that argv[0] names. */
static sa_error_t *find_program(sa_command_plan_t *plan, apr_pool_t *pool)
{
    plan->program = sa_config_find_program(plan->argv[0], pool);
    if (!plan->program) {
        return refuse("the program %s is not on this machine", plan->argv[0]);
    }
    return SA_OK;
}

static sa_error_t *plan_named(sa_command_plan_t *plan, const sa_command_policy_t *policy,
                              const sa_command__entry_t *entry, const cJSON *args,
                              apr_pool_t *pool)
{
    const apr_array_header_t *run = entry->command->run;
    filling_t filling = {
        .entry = entry, .argv = apr_array_make(pool, run->nelts + 1, sizeof(const char *)),
        .values = apr_pcalloc(pool, ((size_t)entry->command->args->nelts + 1) * sizeof(char *)),
        .pool = pool};

    SA_TRY(take_values(filling.values, policy, entry, args, pool));
    for (int i = 0; i < run->nelts; i++) {
        SA_TRY(fill_element(&filling, APR_ARRAY_IDX(run, i, const char *)));
    }
    plan->entry = entry->command->name;
    plan->argv = end_with_null(filling.argv);
    return find_program(plan, pool);
}

/* ---- the other two forms ------------------------------------------------------------------ */

static sa_error_t *plan_line(sa_command_plan_t *plan, const sa_command__entry_t *entry,
                             apr_pool_t *pool)
{
    apr_array_header_t *argv;

    plan->entry = entry->command->line;
    plan->shell = sa_words_need_shell(plan->entry);
    if (plan->shell) {
        argv = apr_array_make(pool, 4, sizeof(const char *));
        APR_ARRAY_PUSH(argv, const char *) = SA_COMMAND_SHELL;
        APR_ARRAY_PUSH(argv, const char *) = "-c";
        APR_ARRAY_PUSH(argv, const char *) = plan->entry;
    } else {
        argv = sa_words_split(plan->entry, pool);
    }
    plan->argv = end_with_null(argv);
    return find_program(plan, pool);
}

/* The bare name of the script that COMMAND is: a name, or the same behind the directory as
 * it stands in the file. */
static const char *script_name(const sa_command_policy_t *policy, const char *command)
{
    size_t length = strlen(policy->scripts_directory);

    if (length == 0) {
        return NULL;
    }
    if (strncmp(command, policy->scripts_directory, length) == 0 && command[length] == '/') {
        command += length + 1;
    }
    return sa_config_is_script_name(command) ? command : NULL;
}

static sa_error_t *plan_script(sa_command_plan_t *plan, const sa_command_policy_t *policy,
                               const char *command, apr_pool_t *pool)
{
    const char *name = script_name(policy, command);
    const char **argv = apr_pcalloc(pool, 2 * sizeof(*argv));
    apr_finfo_t info;
    apr_status_t status;

    if (!name) {
        return refuse("%s", refusal);
    }
    plan->program = apr_pstrcat(pool, policy->scripts_directory, "/", name, NULL);
    status = apr_stat(&info, plan->program, APR_FINFO_LINK | APR_FINFO_TYPE, pool);
    if (status != APR_SUCCESS && status != APR_INCOMPLETE) {
        return refuse("%s", refusal);
    }
    argv[0] = plan->program;
    plan->entry = apr_pstrdup(pool, name);
    plan->script = true;
    plan->argv = argv;
    return SA_OK;
}

static const sa_command__entry_t *find_entry(const sa_command_policy_t *policy,
                                             const char *command, apr_pool_t *pool)
{
    const char *line = sa_words_normalise(command, pool);

    for (int i = 0; i < policy->entry_count; i++) {
        const sa_command__entry_t *entry = &policy->entries[i];

        if (entry->line ? strcmp(entry->line, line) == 0
                        : strcmp(entry->command->name, command) == 0) {
            return entry;
        }
    }
    return NULL;
}

sa_error_t *sa_command_policy_plan(sa_command_plan_t **plan, const sa_command_policy_t *policy,
                                   const cJSON *request, apr_pool_t *pool)
{
    sa_command_plan_t *made = apr_pcalloc(pool, sizeof(*made));
    const sa_command__entry_t *entry;
    const char *command = "";
    const cJSON *args = NULL;

    SA_TRY(sa_json_check_names(request, "the request", SA_COMMAND_MEMBERS));
    SA_TRY(read_command(&command, request));
    SA_TRY(read_args(&args, request));
    entry = find_entry(policy, command, pool);
    if (args && entry && entry->line) {
        return refuse("a line takes no arguments");
    }
    if (entry && !entry->line) {
        SA_TRY(plan_named(made, policy, entry, args, pool));
    } else if (entry) {
        SA_TRY(plan_line(made, entry, pool));
    } else {
        SA_TRY(plan_script(made, policy, command, pool));
        if (args) {
            return refuse("a script takes no arguments");
        }
    }
    entry = entry ? entry : &policy->script;
    made->env = entry->env;
    made->limits = entry->command;
    *plan = made;
    return SA_OK;
}

/* ---- services and logs --------------------------------------------------------------------- */

bool sa_command_policy_allows_service(const sa_command_policy_t *policy, const char *name)
{
    for (int i = 0; i < policy->services->nelts; i++) {
        if (sa_config_same_service(APR_ARRAY_IDX(policy->services, i, const char *), name)) {
            return true;
        }
    }
    return false;
}

/* PATH is clean. */
static bool matches_log(const sa_command__log_pattern_t *pattern, const char *path)
{
    for (int i = 0; i < pattern->parts->nelts; i++) {
        const sa_command__log_part_t *part =
            &APR_ARRAY_IDX(pattern->parts, i, const sa_command__log_part_t);
        size_t length;

        if (*path != '/') {
            return false;       /* fewer parts than the pattern has */
        }
        path++;
        length = strcspn(path, "/");
        if ((path[0] == '.' && !part->shows_dots) || !sa_glob_match(part->glob, path, length)) {
            return false;
        }
        path += length;
    }
    return *path == '\0';
}

bool sa_command_policy_allows_log(const sa_command_policy_t *policy, const char *path)
{
    if (!sa_config_is_clean_path(path) || strlen(path) > VALUE_BYTES
        || sa_text_fault(path, strlen(path))) {
        return false;
    }
    for (int i = 0; i < policy->log_patterns->nelts; i++) {
        if (matches_log(&APR_ARRAY_IDX(policy->log_patterns, i, const sa_command__log_pattern_t),
                        path)) {
            return true;
        }
    }
    return false;
}
