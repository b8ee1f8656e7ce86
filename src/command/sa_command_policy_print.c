/* command: the policy in words, for `stone-age-agent exec-list`.
 *
 * All that it prints comes from the file and the file system, not from the bus; names of
 * scripts hold no control characters by their rule, texts of the file by theirs. */
#include <string.h>

#include <apr_strings.h>
#include <apr_user.h>

#include "sa_command.h"
#include "sa_command_policy_private.h"
#include "sa_os_exec.h"
#include "sa_pool.h"
#include "sa_time.h"
#include "sa_words.h"

/* More are there to be run, but not to be read. */
#define SCRIPTS_PRINTED 4096

static void print_user(sa_buf_t *text, apr_pool_t *pool)
{
    apr_uid_t user;
    apr_gid_t group;
    char *name = NULL;

    if (apr_uid_current(&user, &group, pool) != APR_SUCCESS
        || apr_uid_name_get(&name, user, pool) != APR_SUCCESS) {
        name = apr_pstrdup(pool, "an unknown user");
    }
    sa_buf_printf(text, "Run as the agent's own user; whoever runs this list is %s.\n", name);
}

static void print_size(sa_buf_t *text, apr_int64_t bytes)
{
    static const char *const units[] = {"", "KB", "MB", "GB"};
    int unit = 0;

    while (unit < 3 && bytes > 0 && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    sa_buf_printf(text, "%" APR_INT64_T_FMT "%s", bytes, units[unit]);
}

static void print_texts(sa_buf_t *text, const apr_array_header_t *list)
{
    for (int i = 0; i < list->nelts; i++) {
        sa_buf_printf(text, " %s", APR_ARRAY_IDX(list, i, const char *));
    }
}

static void print_confinement(sa_buf_t *text)
{
    sa_os_exec_support_t support;

    sa_os_exec_support(&support);
    if (support.landlock == 0) {
        sa_buf_append_text(text, "      refused   this kernel has no Landlock to confine it\n");
    }
}

static void print_limits(sa_buf_t *text, const sa_command_policy_t *policy,
                         const sa_allowed_command_t *command)
{
    char duration[SA_DURATION_TEXT];

    sa_duration_format(duration, command->timeout > 0 ? command->timeout : policy->timeout);
    sa_buf_printf(text, "      limits    %s, output ", duration);
    print_size(text, command->max_output > 0 ? command->max_output : policy->max_output);
    if (command->max_processes > 0) {
        sa_buf_printf(text, ", %" APR_INT64_T_FMT " processes", command->max_processes);
    }
    if (command->max_memory > 0) {
        sa_buf_append_text(text, ", memory ");
        print_size(text, command->max_memory);
    }
    if (command->nice > 0) {
        sa_buf_printf(text, ", nice %" APR_INT64_T_FMT, command->nice);
    }
    sa_buf_append_text(text, command->new_privileges ? ", setuid programs work\n" : "\n");
    if (command->readable->nelts + command->writable->nelts > 0) {
        sa_buf_append_text(text, "      confined  reads");
        print_texts(text, command->readable);
        sa_buf_append_text(text, "; writes");
        print_texts(text, command->writable);
        sa_buf_append_text(text, "\n");
        print_confinement(text);
    }
}

/* Beside PATH, LANG and HOME. */
static void print_env(sa_buf_t *text, const apr_array_header_t *env)
{
    for (int i = 0; i < env->nelts; i++) {
        const sa_config_pair_t *pair = &APR_ARRAY_IDX(env, i, sa_config_pair_t);

        sa_buf_printf(text, "      with      %s=%s\n", pair->key, pair->value);
    }
}

/* "      runs      /usr/bin/df", or why not. */
static void print_program(sa_buf_t *text, const char *name, bool script, apr_pool_t *pool)
{
    const char *path = script ? name : sa_config_find_program(name, pool);
    sa_os_program_t *program;
    sa_error_t *err;
    char reason[1024];

    if (!path) {
        sa_buf_printf(text, "      refused   the program %s is not on this machine\n", name);
        return;
    }
    err = sa_os_program_open(&program, path, script, pool);
    if (err) {
        sa_buf_printf(text, "      refused   %s\n", sa_error_text(err, reason, sizeof(reason)));
    } else {
        sa_buf_printf(text, "      runs      %s\n", path);
    }
    sa_error_clear(err);
}

static void print_line(sa_buf_t *text, const sa_command_policy_t *policy,
                       const sa_command__entry_t *entry, apr_pool_t *pool)
{
    const char *line = entry->command->line;
    bool shell = sa_words_need_shell(line);

    sa_buf_printf(text, "  %s\n", line);
    print_program(text, shell ? SA_COMMAND_SHELL
                              : APR_ARRAY_IDX(sa_words_split(line, pool), 0, const char *),
                  false, pool);
    sa_buf_append_text(text, shell ? "      shell     yes, /bin/sh -c with the line as it stands\n"
                                   : "      shell     no\n");
    print_env(text, entry->command->env);
    print_limits(text, policy, entry->command);
}

static void print_arg(sa_buf_t *text, const sa_command_policy_t *policy,
                      const sa_argument_config_t *arg)
{
    sa_buf_printf(text, "      {%s}%*s", arg->name,
                  strlen(arg->name) < 7 ? (int)(8 - strlen(arg->name)) : 1, "");
    switch ((sa_argument_type_t)arg->type) {
    case SA_ARGUMENT_STRING:
        sa_buf_printf(text, "text of at most %" APR_INT64_T_FMT " bytes that matches %s",
                      arg->max_length, arg->pattern);
        break;
    case SA_ARGUMENT_INT:
        sa_buf_printf(text, "whole number from %" APR_INT64_T_FMT " to %" APR_INT64_T_FMT,
                      arg->min, arg->max);
        break;
    case SA_ARGUMENT_ENUM:
        sa_buf_append_text(text, "one of");
        print_texts(text, arg->values);
        break;
    case SA_ARGUMENT_PATH:
        sa_buf_append_text(text, "path below");
        print_texts(text, arg->under);
        break;
    case SA_ARGUMENT_SERVICE:
        sa_buf_append_text(text, "service, one of");
        print_texts(text, policy->services);
        break;
    case SA_ARGUMENT_SWITCH:
        sa_buf_append_text(text, "true or false");
        break;
    }
    if (arg->required) {
        sa_buf_append_text(text, "; needed\n");
    } else {
        sa_buf_printf(text, "; default %s\n", arg->def[0] ? arg->def : "empty");
    }
}

static void print_named(sa_buf_t *text, const sa_command_policy_t *policy,
                        const sa_command__entry_t *entry, apr_pool_t *pool)
{
    const sa_allowed_command_t *command = entry->command;
    const char *first = APR_ARRAY_IDX(command->run, 0, const char *);
    const char *name = "";
    sa_words_piece_t piece;

    while (sa_words_next_piece(&piece, &first)) {   /* its doubled braces */
        name = apr_pstrcat(pool, name, apr_pstrmemdup(pool, piece.text, piece.length), NULL);
    }
    sa_buf_printf(text, "  %s\n", command->name);
    print_program(text, name, false, pool);
    sa_buf_append_text(text, "      shell     no\n      argv     ");
    for (int i = 0; i < command->run->nelts; i++) {
        sa_buf_printf(text, " [%s]", APR_ARRAY_IDX(command->run, i, const char *));
    }
    sa_buf_append_text(text, "\n");
    for (int i = 0; i < command->args->nelts; i++) {
        print_arg(text, policy, &APR_ARRAY_IDX(command->args, i, const sa_argument_config_t));
    }
    print_env(text, command->env);
    print_limits(text, policy, command);
}

static void print_scripts(sa_buf_t *text, const sa_command_policy_t *policy, apr_pool_t *pool)
{
    apr_array_header_t *names;
    apr_pool_t *iter_pool;

    if (!policy->scripts_directory[0]) {
        sa_buf_append_text(text, "\nScripts: none\n");
        return;
    }
    sa_buf_printf(text, "\nScripts in %s\n", policy->scripts_directory);
    names = sa_config_scripts(policy->scripts_directory, SCRIPTS_PRINTED, pool);
    if (!names) {
        sa_buf_append_text(text, "  none: the directory cannot be read, or is not there\n");
        return;
    }
    iter_pool = sa_pool_create(pool);
    for (int i = 0; i < names->nelts; i++) {
        const char *name = APR_ARRAY_IDX(names, i, const char *);

        apr_pool_clear(iter_pool);
        sa_buf_printf(text, "  %s\n", name);
        print_program(text, apr_pstrcat(iter_pool, policy->scripts_directory, "/", name, NULL),
                      true, iter_pool);
    }
    apr_pool_destroy(iter_pool);
    print_limits(text, policy, policy->script.command);
}

static void print_names(sa_buf_t *text, const char *title, const apr_array_header_t *names)
{
    sa_buf_append_text(text, title);
    if (names->nelts == 0) {
        sa_buf_append_text(text, " none");
    }
    print_texts(text, names);
    sa_buf_append_text(text, "\n");
}

static void print_entries(sa_buf_t *text, const sa_command_policy_t *policy, bool lines,
                          apr_pool_t *pool)
{
    apr_pool_t *iter_pool = sa_pool_create(pool);
    bool is_first = true;

    for (int i = 0; i < policy->entry_count; i++) {
        const sa_command__entry_t *entry = &policy->entries[i];

        apr_pool_clear(iter_pool);
        if ((entry->line != NULL) != lines) {
            continue;
        }
        if (is_first) {
            sa_buf_append_text(text, lines ? "\nLines\n" : "\nNamed commands\n");
            is_first = false;
        }
        if (lines) {
            print_line(text, policy, entry, iter_pool);
        } else {
            print_named(text, policy, entry, iter_pool);
        }
    }
    if (is_first) {
        sa_buf_append_text(text, lines ? "\nLines: none\n" : "\nNamed commands: none\n");
    }
    apr_pool_destroy(iter_pool);
}

void sa_command_policy_print(const sa_command_policy_t *policy, sa_buf_t *text)
{
    apr_pool_t *pool = sa_pool_create(policy->pool);
    apr_array_header_t *patterns = apr_array_make(pool, 8, sizeof(const char *));

    for (int i = 0; i < policy->log_patterns->nelts; i++) {
        APR_ARRAY_PUSH(patterns, const char *) =
            APR_ARRAY_IDX(policy->log_patterns, i, const sa_command__log_pattern_t).text;
    }
    print_user(text, pool);
    sa_buf_printf(text, "Environment: PATH=%s LANG=C.UTF-8 HOME=%s\nDirectory: /\n",
                  SA_COMMAND_PATH, policy->home);
    print_entries(text, policy, true, pool);
    print_entries(text, policy, false, pool);
    print_scripts(text, policy, pool);
    print_names(text, "\nServices:", policy->services);
    print_names(text, "Log files:", patterns);
    apr_pool_destroy(pool);
}

sa_error_t *sa_commands_list(sa_buf_t *text, const sa_config_t *config, apr_pool_t *pool)
{
    sa_command_policy_t *policy;

    SA_TRY(sa_command_policy_create(&policy, config, pool));
    sa_command_policy_print(policy, text);
    if (text->overflowed) {
        return sa_error(SA_ERR_LIMIT, NULL, "cannot list the commands: more than fits");
    }
    return SA_OK;
}
