/* What commands may do, as the file says it: every mistake with its line, and what arrives. */
#include "sa_test.h"

#include <apr_file_io.h>
#include <apr_strings.h>

#include "sa_config.h"
#include "sa_words.h"
#include "../../src/config/sa_config_private.h"
#include "test_config_fixture.h"

/* Lines 1 to 4; then one list item. */
#define HEAD "code: c\nnats.urls: [\"nats://h:4222\"]\ncommands:\n  allowed_services: [nginx]\n"
#define ALLOW HEAD "  allowed_commands:\n"
#define P "commands.allowed_commands[]"
/* A named command whose args: stand on line 7. */
#define NAMED ALLOW "    - {name: n, run: [/bin/sh, \"{x}\"],\n       args: "

SA_TEST(an_entry_is_a_line_or_a_name_with_run)
{
    static const complaint_case_t cases[] = {
        {ALLOW "    - /bin/sh\n    - {line: /bin/ls}\n    - {name: n, run: [/bin/sh]}\n", "", true},
        {HEAD "  allowed_commands:\n", "", true}, {HEAD "  allowed_commands: []\n", "", true},
        {HEAD "  allowed_commands: /bin/sh\n",
         "t.yaml:5: commands.allowed_commands must be a list of lines or groups, not one value",
         false},
        {HEAD "  allowed_commands: {line: /bin/sh}\n",
         "t.yaml:5: commands.allowed_commands must be a list of lines or groups, not a group of "
         "settings", false},
        {ALLOW "    - [/bin/sh]\n",
         "t.yaml:6: " P " must be one line or a group of settings, not a list", false},
        {ALLOW "    -\n",
         "t.yaml:6: " P " must be one line or a group of settings, not nothing", false},
        {ALLOW "    - {}\n", "t.yaml:6: " P " needs line, or name and run", false},
        {ALLOW "    - {name: n}\n", "t.yaml:6: " P ".name needs run", false},
        {ALLOW "    - timeout: 1s\n      run: [/bin/sh]\n", "t.yaml:7: " P ".run needs name",
         false},
        {ALLOW "    - {name: n,\n       run: []}\n", "t.yaml:7: " P ".run must not be empty",
         false},
        {ALLOW "    - line: /bin/sh\n      name: n\n",
         "t.yaml:7: " P ".name: there is a line as well; it is either line, or name and run",
         false},
        {ALLOW "    - run: [/bin/sh]\n      line: /bin/sh\n",
         "t.yaml:6: " P ".run: there is a line as well; it is either line, or name and run", false},
        {ALLOW "    - line: /bin/sh\n      args: {a: {type: switch}}\n",
         "t.yaml:7: " P ".args: a line has none; they go with name and run", false},
        {ALLOW "    - {line: \"\"}\n", "t.yaml:6: " P ".line must be more than spaces", false},
        {ALLOW "    - \"  \"\n", "t.yaml:6: " P ".line must be more than spaces", false},
        {ALLOW "    - \"a\\tb\"\n",
         "t.yaml:6: " P ": \"a?b\" must not hold control characters", false},
        {ALLOW "    - |\n      /bin/sh\n      id\n",
         "t.yaml:6: " P ": \"/bin/sh?id?\" must not hold control characters", false},
        {ALLOW "    - \"a\\L\"\n", "t.yaml:6: " P ".line holds a line separator", false},
        {ALLOW "    - {name: \"a b\", run: [/bin/sh]}\n",
         "t.yaml:6: " P ".name: \"a b\" must be letters, digits, - and _ only", false},
        {ALLOW "    - {line: /bin/sh, writeable: [/tmp]}\n",
         "t.yaml:6: " P ".writeable is not an option; did you mean " P ".writable?", false},
        {ALLOW "    - {line: /bin/sh, timeout: soon}\n",
         "t.yaml:6: " P ".timeout: \"soon\" must be a duration with its unit, such as 30s, from 0s "
         "to 24h", false},
        {ALLOW "    - {line: /bin/sh, max_memory: 2TB}\n",
         "t.yaml:6: " P ".max_memory: \"2TB\" must be a size, such as 64KB or 1GB, from 0 to "
         "1024GB", false},
        {ALLOW "    - {line: /bin/sh, readable: [etc]}\n",
         "t.yaml:6: " P ".readable: \"etc\" must be an absolute path", false},
        {ALLOW "    - {line: /bin/sh, env: {A-B: \"1\"}}\n",
         "t.yaml:6: " P ".env: \"A-B\" must be the name of a variable: letters, digits and _",
         false},
        {ALLOW "    - {line: /bin/sh, env: {1A: \"1\"}}\n",
         "t.yaml:6: " P ".env: \"1A\" must be the name of a variable: letters, digits and _",
         false},
    };

    RUN_CASES(cases);
}

SA_TEST(no_two_entries_are_called_the_same)
{
    static const complaint_case_t cases[] = {
        {ALLOW "    - /bin/ls -l\n    - /bin/ls   -l\n",
         "t.yaml:7: " P ": \"/bin/ls -l\" is there already (t.yaml:6)", false},
        {ALLOW "    - {name: n, run: [/bin/sh]}\n    - name: n\n      run: [/bin/ls]\n",
         "t.yaml:7: " P ": \"n\" is there already (t.yaml:6)", false},
        {ALLOW "    - {name: ls, run: [/bin/sh]}\n    - /bin/sh\n    - {line: /bin/sh}\n",
         "t.yaml:8: " P ": \"/bin/sh\" is there already (t.yaml:7)", false},
        {ALLOW "    - {name: N, run: [/bin/sh]}\n    - {name: n, run: [/bin/sh]}\n", "", true},
    };

    RUN_CASES(cases);
}

SA_TEST(programs_are_absolute_or_bare_and_better_there)
{
    static const complaint_case_t cases[] = {
        {ALLOW "    - bin/sh -c id\n",
         "t.yaml:6: " P ".line: \"bin/sh\" must be an absolute path, or a name without / that is "
         "looked up in " SA_COMMAND_PATH, false},
        {ALLOW "    - {name: n, run: [./x]}\n",
         "t.yaml:6: " P ".run: \"./x\" must be an absolute path, or a name without / that is "
         "looked up in " SA_COMMAND_PATH, false},
        {ALLOW "    - -c id\n", "t.yaml:6: " P ".line: \"-c id\" must begin with a program", false},
        {ALLOW "    - \"  -c $id\"\n",
         "t.yaml:6: " P ".line: \"-c $id\" must begin with a program", false},
        {ALLOW "    - no-such-program-1 -x\n",
         "t.yaml:6: " P ".line: the program \"no-such-program-1\" is not on this machine ("
         SA_COMMAND_PATH ")", true},
        {ALLOW "    - {name: n, run: [/nowhere/x]}\n",
         "t.yaml:6: " P ".run: the program \"/nowhere/x\" is not on this machine", true},
        {ALLOW "    - {name: n, run: [/etc]}\n",
         "t.yaml:6: " P ".run: the program \"/etc\" is not on this machine", true},
        {ALLOW "    - \"no-such-program-1 | wc\"\n", "", true},     /* the shell's business */
        {ALLOW "    - {name: n, run: [\"/nowhere/{{x}}\"]}\n",
         "t.yaml:6: " P ".run: the program \"/nowhere/{x}\" is not on this machine", true},
    };

    RUN_CASES(cases);
}

SA_TEST(templates_name_their_arguments)
{
    static const complaint_case_t cases[] = {
        {ALLOW "    - {name: n, run: [/bin/sh, \"{y}\"]}\n",
         "t.yaml:6: " P ".run: \"{y}\" names {y}, which is not in args", false},
        {ALLOW "    - name: n\n      run: [/bin/sh]\n      args:\n        x: {type: service}\n",
         "t.yaml:9: " P ".args.x is not used in run", false},
        {ALLOW "    - {name: n, run: [\"{x}\"], args: {x: {type: service}}}\n",
         "t.yaml:6: " P ".run: \"{x}\" is the program, which cannot be an argument", false},
        {ALLOW "    - {name: n, run: [\"/bin/{x}\"], args: {x: {type: service}}}\n",
         "t.yaml:6: " P ".run: \"/bin/{x}\" is the program, which cannot be an argument", false},
        {ALLOW "    - {name: n, run: [/bin/sh, \"{print $1}\"]}\n",
         "t.yaml:6: " P ".run: \"{print $1}\" has a brace that is not part of {NAME}; {{ and }} "
         "stand for one brace", false},
        {ALLOW "    - {name: n, run: [/bin/sh, \"a}\"]}\n",
         "t.yaml:6: " P ".run: \"a}\" has a brace that is not part of {NAME}; {{ and }} stand for "
         "one brace", false},
        {ALLOW "    - {name: n, run: [/bin/sh, \"{{print $1}}\"]}\n", "", true},
        {ALLOW "    - {name: n, run: [/bin/sh, \"{x}\"], args: {x: {type: switch}}}\n",
         "t.yaml:6: " P ".run: \"{x}\" is a switch alone; it belongs beside the text that it "
         "switches, as in --all{all}", false},
        {ALLOW "    - {name: n, run: [/bin/sh, \"-a{x}\"], args: {x: {type: bool}}}\n", "", true},
        {ALLOW "    - {name: n, run: [/bin/sh, \"a\\Pb\"]}\n",
         "t.yaml:6: " P ".run: \"a\xe2\x80\xa9" "b\" holds a line separator", false},
    };

    RUN_CASES(cases);
}

SA_TEST(each_argument_has_what_its_type_needs)
{
    static const complaint_case_t cases[] = {
        {NAMED "{x: {pattern: '[a-z]+'}}}\n", "", true},
        {NAMED "{x: {type: string}}}\n", "t.yaml:7: " P ".args.x needs pattern", false},
        {NAMED "{x: }}\n", "t.yaml:7: " P ".args.x needs pattern", false},
        {NAMED "{x: {pattern: 'a('}}}\n",
         "t.yaml:7: " P ".args.x.pattern: \"a(\" is none: ( without ), at column 2", false},
        {NAMED "{x: {pattern: a, max_length: 0}}}\n",
         "t.yaml:7: " P ".args.x.max_length: \"0\" must be from 1 to 4096", false},
        {NAMED "{x: {type: int, min: 5, max: 4}}}\n",
         "t.yaml:7: " P ".args.x.min must not be more than max", false},
        {NAMED "{x: {type: int, min: x}}}\n",
         "t.yaml:7: " P ".args.x.min: \"x\" must be a whole number from -9223372036854775807 to "
         "9223372036854775807", false},
        {NAMED "{x: {type: int, pattern: a}}}\n",
         "t.yaml:7: " P ".args.x.pattern is for the type string only", false},
        {NAMED "{x: {type: switch, values: [a]}}}\n",
         "t.yaml:6: " P ".run: \"{x}\" is a switch alone; it belongs beside the text that it "
         "switches, as in --all{all}\n"
         "t.yaml:7: " P ".args.x.values is for the type enum only", false},
        {NAMED "{x: {type: enum}}}\n", "t.yaml:7: " P ".args.x needs values", false},
        {NAMED "{x: {type: enum, values: []}}}\n", "t.yaml:7: " P ".args.x needs values", false},
        {NAMED "{x: {type: enum, values: [\"a\\L\"]}}}\n",
         "t.yaml:7: " P ".args.x.values: \"a\xe2\x80\xa8\" holds a line separator", false},
        {NAMED "{x: {type: path}}}\n", "t.yaml:7: " P ".args.x needs under", false},
        {NAMED "{x: {type: path, under: [/a/../b]}}}\n",
         "t.yaml:7: " P ".args.x.under: \"/a/../b\" must be without //, /./, /../ and a / at its "
         "end", false},
        {NAMED "{x: {type: path, under: [/a/]}}}\n",
         "t.yaml:7: " P ".args.x.under: \"/a/\" must be without //, /./, /../ and a / at its end",
         false},
        {NAMED "{x: {type: path, under: [a]}}}\n",
         "t.yaml:7: " P ".args.x.under: \"a\" must be an absolute path", false},
        {NAMED "{x: {type: number}}}\n",
         "t.yaml:7: " P ".args.x.type: \"number\" must be one of string, int, enum, path, service, "
         "switch", false},
        {NAMED "{x: {type: service}}}\n", "", true},
        {NAMED "{x: {type: service, patern: a}}}\n",
         "t.yaml:7: " P ".args.x.patern is not an option; did you mean " P ".args.x.pattern?",
         false},
        {"code: c\nnats.urls: [nats://h]\ncommands:\n  allowed_commands:\n"
         "    - {name: n, run: [/bin/sh, \"{x}\"], args: {x: {type: service}}}\n",
         "t.yaml:5: " P ".args.x takes nothing, because commands.allowed_services is empty", true},
    };

    RUN_CASES(cases);
}

SA_TEST(defaults_pass_the_checks_of_their_argument)
{
    static const complaint_case_t cases[] = {
        {NAMED "{x: {type: int, default: 5}}}\n", "", true},
        {NAMED "{x: {type: int, default: -1}}}\n",
         "t.yaml:7: " P ".args.x.default: \"-1\" must be from 0 to 2147483647", false},
        {NAMED "{x: {type: int, default: \"\"}}}\n",
         "t.yaml:7: " P ".args.x.default: \"\" must be a whole number", false},
        {NAMED "{x: {pattern: a*, default: b}}}\n",
         "t.yaml:7: " P ".args.x.default: \"b\" must match the pattern of the argument", false},
        {NAMED "{x: {pattern: a*, default: \"\"}}}\n", "", true},
        {NAMED "{x: {pattern: a*, max_length: 2, default: aaa}}}\n",
         "t.yaml:7: " P ".args.x.default: \"aaa\" must be at most 2 bytes", false},
        {NAMED "{x: {type: enum, values: [a, b], default: c}}}\n",
         "t.yaml:7: " P ".args.x.default: \"c\" must be one of a b", false},
        {NAMED "{x: {type: path, under: [/srv], default: /etc}}}\n",
         "t.yaml:7: " P ".args.x.default: \"/etc\" must be below /srv", false},
        {NAMED "{x: {type: path, under: [/srv], default: /srvx}}}\n",
         "t.yaml:7: " P ".args.x.default: \"/srvx\" must be below /srv", false},
        {NAMED "{x: {type: path, under: [/srv], default: /srv/a}}}\n", "", true},
        {NAMED "{x: {type: service, default: sshd}}}\n",
         "t.yaml:7: " P ".args.x.default: \"sshd\" must be one of commands.allowed_services",
         false},
        {ALLOW "    - {name: n, run: [/bin/sh, \"-a{x}\"],\n"
         "       args: {x: {type: switch, default: 1}}}\n",
         "t.yaml:7: " P ".args.x.default: \"1\" must be true or false", false},
    };

    RUN_CASES(cases);
}

SA_TEST(names_of_arguments_are_checked)
{
    static const complaint_case_t cases[] = {
        {NAMED "{x: {type: service}, \"a b\": {type: int}}}\n",
         "t.yaml:7: " P ".args: \"a b\" must be a name: a letter, then letters, digits, _ and - "
         "only, 63 at most", false},
        {NAMED "{x: {type: service}, 1: {type: int}}}\n",
         "t.yaml:7: " P ".args: \"1\" must be a name: a letter, then letters, digits, _ and - "
         "only, 63 at most", false},
        {NAMED "{x: {type: service},\n  x: {type: int}}}\n",
         "t.yaml:8: " P ".args.x is set twice", false},
        {NAMED "{x: service}}\n",
         "t.yaml:7: " P ".args.x must be a group of settings, not one value\n"
         "t.yaml:6: " P ".run: \"{x}\" names {x}, which is not in args", false},
        {NAMED "[x]}\n",
         "t.yaml:7: " P ".args must be names with groups of settings, not a list\n"
         "t.yaml:6: " P ".run: \"{x}\" names {x}, which is not in args", false},
        {NAMED "{x: {type: service}}, args: {}}\n",
         "t.yaml:7: " P ".args is set twice; first on line 7", false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sa_config_t *config;
        const char *got = load(&config, cases[i].text, pool);
        char *want = apr_pstrdup(pool, cases[i].complaints);
        char *last = NULL;

        ck_assert(config == NULL);
        for (char *line = apr_strtok(want, "\n", &last); line; line = apr_strtok(NULL, "\n",
                                                                                 &last)) {
            ck_assert_msg(strstr(got, line) != NULL, "got %s\nwant %s", got, line);
        }
    }
}

SA_TEST(log_paths_and_the_scripts_directory_are_checked)
{
    static const complaint_case_t cases[] = {
        {HEAD "  allowed_log_paths: [/var/log/*.log, /var/log/?/x]\n", "", true},
        {HEAD "  allowed_log_paths: [var/log]\n",
         "t.yaml:5: commands.allowed_log_paths: \"var/log\" must be an absolute path", false},
        {HEAD "  allowed_log_paths: [/var/../etc/*]\n",
         "t.yaml:5: commands.allowed_log_paths: \"/var/../etc/*\" must be a path without //, /./, "
         "/../ and a / at its end", false},
        {HEAD "  allowed_log_paths: [/var/log/]\n",
         "t.yaml:5: commands.allowed_log_paths: \"/var/log/\" must be a path without //, /./, /../ "
         "and a / at its end", false},
        {HEAD "  allowed_log_paths: [/]\n",
         "t.yaml:5: commands.allowed_log_paths: \"/\" must be a path without //, /./, /../ and a / "
         "at its end", false},
        {HEAD "  allowed_log_paths: [/var/log/**/*.log]\n",
         "t.yaml:5: commands.allowed_log_paths: \"/var/log/**/*.log\": [ ] { } stand for "
         "themselves, and ** is the same as *", true},
        {HEAD "  scripts_directory: scripts\n",
         "t.yaml:5: commands.scripts_directory: \"scripts\" must be an absolute path", false},
        {HEAD "  scripts_directory: /a/../b\n",
         "t.yaml:5: commands.scripts_directory: \"/a/../b\" must be without //, /./, /../ and a / "
         "at its end", false},
        {HEAD "  scripts_directory: /nowhere/at/all\n",
         "t.yaml:5: commands.scripts_directory: \"/nowhere/at/all\" cannot be read, or is not on "
         "this machine", true},
    };

    RUN_CASES(cases);
}

/* hostile-inputs 19: refused at load and at run; this is the load. */
SA_TEST(hostile_19_scripts_that_others_can_change_are_named_at_load)
{
    char *folder = apr_pstrdup(pool, "/tmp/sa-scripts-XXXXXX");
    apr_file_t *file;
    sa_config_t *config;
    const char *got;

    ck_assert_int_eq(apr_file_mktemp(&file, folder, APR_FOPEN_CREATE | APR_FOPEN_EXCL
                                     | APR_FOPEN_READ | APR_FOPEN_WRITE, pool), APR_SUCCESS);
    apr_file_close(file);
    ck_assert_int_eq(apr_file_remove(folder, pool), APR_SUCCESS);
    ck_assert_int_eq(apr_dir_make(folder, 0x777, pool), APR_SUCCESS);
    ck_assert_int_eq(apr_file_perms_set(folder, 0x777), APR_SUCCESS);
    ck_assert_int_eq(apr_file_open(&file, apr_pstrcat(pool, folder, "/a.sh", NULL),
                                   APR_FOPEN_CREATE | APR_FOPEN_WRITE, 0x755, pool), APR_SUCCESS);
    apr_file_puts("#!/bin/sh\n", file);
    apr_file_close(file);
    got = load(&config, apr_psprintf(pool, HEAD "  scripts_directory: %s\n", folder), pool);
    apr_file_remove(apr_pstrcat(pool, folder, "/a.sh", NULL), pool);
    apr_dir_remove(folder, pool);
    ck_assert_ptr_nonnull(config);
    ck_assert_msg(strstr(got, "t.yaml:5: commands.scripts_directory: the script a.sh cannot be "
                              "run: ") == got, "%s", got);
    ck_assert_ptr_nonnull(strstr(got, "so others can change it"));
}

#define FULL ALLOW \
    "    - '/bin/ls   -l'\n" \
    "    - name: disk\n      run: [/bin/ls, \"--all{all}\", \"{mount}\", \"{n}\", \"{e}\"]\n" \
    "      timeout: 10s\n      env: {LC_ALL: C}\n      writable: [/tmp]\n" \
    "      args:\n        mount: {type: path, under: [/, /srv]}\n        all: {type: switch}\n" \
    "        n: {type: int, min: -5, max: 10, default: 7}\n" \
    "        e: {type: enum, values: [a, b]}\n"

static void check_values(const apr_array_header_t *commands)
{
    const sa_allowed_command_t *command = &APR_ARRAY_IDX(commands, 0, sa_allowed_command_t);
    const sa_argument_config_t *args;

    ck_assert_int_eq(commands->nelts, 2);
    ck_assert_str_eq(command->line, "/bin/ls   -l");
    ck_assert_str_eq(command->name, "");
    ck_assert_int_eq(command->args->nelts, 0);
    ck_assert_int_eq(command->max_processes, 64);
    ck_assert_int_eq(command->line_number, 6);
    command++;
    ck_assert_str_eq(command->name, "disk");
    ck_assert_str_eq(command->file, "t.yaml");
    ck_assert_int_eq(command->line_number, 7);
    ck_assert_int_eq(command->timeout, apr_time_from_sec(10));
    ck_assert_int_eq(command->run->nelts, 5);
    ck_assert_str_eq(APR_ARRAY_IDX(command->env, 0, sa_config_pair_t).value, "C");
    ck_assert_int_eq(command->args->nelts, 4);
    args = (const sa_argument_config_t *)(const void *)command->args->elts;
    ck_assert_str_eq(args[0].name, "mount");
    ck_assert_int_eq(args[0].type, SA_ARGUMENT_PATH);
    ck_assert(args[0].required);
    ck_assert_str_eq(APR_ARRAY_IDX(args[0].under, 1, const char *), "/srv");
    ck_assert_int_eq(args[1].type, SA_ARGUMENT_SWITCH);
    ck_assert(!args[1].required);
    ck_assert_str_eq(args[1].def, "false");
    ck_assert_int_eq(args[2].min, -5);
    ck_assert(!args[2].required);
    ck_assert_str_eq(args[2].def, "7");
    ck_assert_int_eq(args[3].values->nelts, 2);
}

SA_TEST(commands_arrive_and_outlive_their_configuration_as_a_copy)
{
    apr_pool_t *short_pool = sa_pool_create(pool);
    sa_config_t *config;
    apr_array_header_t *copy;

    ck_assert_str_eq(load(&config, FULL, short_pool), "");
    check_values(config->allowed_commands);
    copy = sa_config_copy_commands(config->allowed_commands, pool);
    memset(config->allowed_commands->elts, 0xEE, 2 * sizeof(sa_allowed_command_t));
    apr_pool_destroy(short_pool);
    check_values(copy);
}

SA_TEST(a_change_within_a_command_or_its_arguments_is_seen)
{
    static const char *const texts[] = {
        FULL, ALLOW "    - /bin/ls -l\n", ALLOW "    - /bin/ls  -l\n", ALLOW "    - /bin/ls -x\n",
        ALLOW "    - {line: /bin/ls -l, nice: 3}\n",
        NAMED "{x: {type: int}}}\n", NAMED "{x: {type: int, min: 1}}}\n",
        NAMED "{x: {type: service}}}\n",
        ALLOW "    - {name: n, run: [/bin/sh, \"{y}\"], args: {y: {type: int}}}\n"};
    sa_config_t *a;
    sa_config_t *b;
    const char *restart;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        for (size_t j = 0; j < sizeof(texts) / sizeof(texts[0]); j++) {
            load(&a, texts[i], pool);
            load(&b, texts[j], pool);
            ck_assert_msg(sa_config_compare(&restart, a, b, pool) == (i == j ? 0 : SA_ROOM_COMMAND),
                          "%d %d", (int)i, (int)j);
            ck_assert_str_eq(restart, "");
        }
    }
}

static void see(void *baton, const char *path, const char *value, const char *where)
{
    const char **text = baton;
    apr_pool_t *pool = *(apr_pool_t **)(void *)(text + 1);

    if (strstr(path, "allowed_commands") && strcmp(where, "default") != 0) {
        *text = apr_pstrcat(pool, *text, path + strlen("commands."), "=", value, " ", where, "\n",
                            NULL);
    }
}

SA_TEST(every_part_is_listed_with_where_it_came_from)
{
    struct {
        const char *text;
        apr_pool_t *pool;
    } seen = {"", pool};
    sa_config_t *config;

    ck_assert_str_eq(load(&config, FULL, pool), "");
    sa_config_each(config, see, &seen, pool);
    ck_assert_str_eq(
        seen.text,
        "allowed_commands[0].line=/bin/ls   -l t.yaml:6\n"
        "allowed_commands[1].name=disk t.yaml:7\n"
        "allowed_commands[1].run=[\"/bin/ls\", \"--all{all}\", \"{mount}\", \"{n}\", \"{e}\"] "
        "t.yaml:8\n"
        "allowed_commands[1].timeout=10s t.yaml:9\n"
        "allowed_commands[1].env={LC_ALL: \"C\"} t.yaml:10\n"
        "allowed_commands[1].writable=[\"/tmp\"] t.yaml:11\n"
        "allowed_commands[1].args.mount.type=path t.yaml:13\n"
        "allowed_commands[1].args.mount.under=[\"/\", \"/srv\"] t.yaml:13\n"
        "allowed_commands[1].args.all.type=switch t.yaml:14\n"
        "allowed_commands[1].args.n.type=int t.yaml:15\n"
        "allowed_commands[1].args.n.min=-5 t.yaml:15\n"
        "allowed_commands[1].args.n.max=10 t.yaml:15\n"
        "allowed_commands[1].args.n.default=7 t.yaml:15\n"
        "allowed_commands[1].args.e.type=enum t.yaml:16\n"
        "allowed_commands[1].args.e.values=[\"a\", \"b\"] t.yaml:16\n");
}

SA_TEST(there_are_only_so_many_commands_and_arguments)
{
    const char *text = ALLOW;
    const char *args = "";
    sa_config_t *config;

    for (int i = 0; i < 257; i++) {
        text = apr_psprintf(pool, "%s    - /bin/ls %d\n", text, i);
    }
    ck_assert_str_eq(load(&config, text, pool),
                     "t.yaml:262: commands.allowed_commands: at most 256 are allowed");
    for (int i = 0; i < 33; i++) {
        args = apr_psprintf(pool, "%s%sa%d: {type: service}", args, i > 0 ? ", " : "", i);
    }
    ck_assert_ptr_nonnull(strstr(load(&config, apr_psprintf(pool, NAMED "{%s}}\n", args), pool),
                                 "t.yaml:7: " P ".args: at most 32 are allowed"));
}

SA_TEST(set_on_the_command_line_the_list_is_replaced)
{
    sa_config__loader_t *loader = sa_config__begin("t.yaml", pool, pool);
    apr_array_header_t *complaints;
    sa_config_t *config;

    sa_config__next_source(loader, "t.yaml");
    sa_config__load_text(loader, FULL, strlen(FULL));
    sa_config__load_set(loader, "commands.allowed_commands=[\"/bin/ls -a\"]");
    SA_ASSERT_OK(sa_config__finish(&config, &complaints, loader));
    ck_assert_int_eq(config->allowed_commands->nelts, 1);
    ck_assert_str_eq(APR_ARRAY_IDX(config->allowed_commands, 0, sa_allowed_command_t).line,
                     "/bin/ls -a");
    loader = sa_config__begin("t.yaml", pool, pool);
    sa_config__load_set(loader, "commands.allowed_commands=/bin/ls,/bin/sh");
    SA_ASSERT_ERR(sa_config__finish(&config, &complaints, loader), SA_ERR_CONFIG);
    ck_assert_str_eq(APR_ARRAY_IDX(complaints, 0, sa_complaint_t).text,
                     "code is missing");
}

SA_TEST(lines_that_need_a_shell_are_known)
{
    static const struct {
        const char *line;
        bool shell;
    } rows[] = {
        {"df -h", false}, {"/usr/bin/df -h /srv", false}, {"date +%F", false},
        {"dd if=/dev/zero bs=1M", false}, {"ls a@b,c:d", false}, {"echo h\xc3\xa9", false},
        {"df | wc", true}, {"a;b", true}, {"a&", true}, {"a>b", true}, {"a<b", true}, {"$a", true},
        {"`a`", true}, {"a 'b'", true}, {"a \"b\"", true}, {"a\\ b", true}, {"a*", true},
        {"a?", true}, {"[a]", true}, {"{a,b}", true}, {"~/a", true}, {"a #b", true}, {"!a", true},
        {"a^b", true}, {"a\tb", true}, {"A=b c", true}, {"cd /", true}, {"ulimit -a", true},
        {". /a", true}, {"if a", true}, {"echo cd", false}, {"a (b)", true}, {"a%b", false},
    };

    (void)pool;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_msg(sa_words_need_shell(rows[i].line) == rows[i].shell, "%s", rows[i].line);
    }
}

SA_TEST(only_spaces_are_made_one)
{
    ck_assert_str_eq(sa_words_normalise("  df   -h ", pool), "df -h");
    ck_assert_str_eq(sa_words_normalise("df\t-h", pool), "df\t-h");
    ck_assert_str_eq(sa_words_normalise("df\n -h", pool), "df\n -h");
    ck_assert_str_eq(sa_words_normalise("df\xc2\xa0-h", pool), "df\xc2\xa0-h");
    ck_assert_str_eq(sa_words_normalise("\tdf", pool), "\tdf");
    ck_assert_str_eq(sa_words_normalise("   ", pool), "");
}

SA_TEST(the_same_service_is_known_by_its_whole_name)
{
    static const struct {
        const char *a;
        const char *b;
        bool same;
    } rows[] = {
        {"nginx", "nginx", true}, {"nginx", "nginx.service", true},
        {"nginx.service", "nginx.service", true}, {"nginx", "nginx.timer", false},
        {"nginx", "nginx.service.service", false}, {"x.timer", "x.timer.service", false},
        {"nginx", "ngin", false}, {"nginx", "nginxx", false}, {"nginx", "NGINX", false},
        {"", "", false}, {"", ".service", false}, {"php8.2-fpm", "php8.2-fpm.service", true},
        {"nginx", "nginx.servic", false}, {"foo@a", "foo@b", false},
    };

    (void)pool;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_msg(sa_config_same_service(rows[i].a, rows[i].b) == rows[i].same, "%s %s",
                      rows[i].a, rows[i].b);
        ck_assert_msg(sa_config_same_service(rows[i].b, rows[i].a) == rows[i].same, "%s %s",
                      rows[i].b, rows[i].a);
    }
}

SA_TEST_MAIN("config_commands", an_entry_is_a_line_or_a_name_with_run,
             no_two_entries_are_called_the_same, programs_are_absolute_or_bare_and_better_there,
             templates_name_their_arguments, each_argument_has_what_its_type_needs,
             defaults_pass_the_checks_of_their_argument, names_of_arguments_are_checked,
             log_paths_and_the_scripts_directory_are_checked,
             hostile_19_scripts_that_others_can_change_are_named_at_load,
             commands_arrive_and_outlive_their_configuration_as_a_copy,
             a_change_within_a_command_or_its_arguments_is_seen,
             every_part_is_listed_with_where_it_came_from,
             there_are_only_so_many_commands_and_arguments,
             set_on_the_command_line_the_list_is_replaced, lines_that_need_a_shell_are_known,
             only_spaces_are_made_one, the_same_service_is_known_by_its_whole_name)
