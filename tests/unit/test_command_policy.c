/* What may be run: the three forms, and the rows 1 to 15 and 18 to 20 of the hostile inputs,
 * each with the exact reason.  Row 16 is the environment, row 17 is the opening's.
 *
 * The policy starts nothing: what it makes is looked at. */
#include "sa_test.h"

#include <unistd.h>

#include <sys/stat.h>

#include <apr_file_io.h>
#include <apr_strings.h>

#include "sa_buf.h"
#include "sa_command.h"
#include "sa_config.h"
#include "sa_json.h"
#include "sa_os_exec.h"
#include "../../src/command/sa_command_policy.h"
#include "../../src/config/sa_config_private.h"

#define REFUSED "command not in allowed list or scripts directory"

static const char settings[] =
    "code: c\n"
    "nats.urls: [\"nats://h:4222\"]\n"
    "commands:\n"
    "  allowed_services: [nginx, getty@tty1.service, backup.timer]\n"
    "  allowed_log_paths: [/var/log/*.log, /var/log/app-?/a*.txt, /srv/.x/*]\n"
    "  timeout: 20s\n"
    "  scripts_directory: \"%s\"\n"
    "  allowed_commands:\n"
    "    - \"/bin/echo   one two\"\n"
    "    - \"echo $HOME | cat\"\n"
    "    - {line: sh, timeout: 3s, env: {A: b, HOME: /srv, LD_X: y}}\n"
    "    - no-such-program-1 x\n"
    "    - name: text\n"
    "      run: [/bin/echo, \"{t}\", \"a{t}b\", \"-x{t}\", \"--{{{t}}}\", \"--\", \"{t}\"]\n"
    "      args: {t: {pattern: '[a-z.;$ -]{0,20}', max_length: 10, default: dflt}}\n"
    "    - name: front\n"
    "      run: [/bin/echo, \"{a}{b}\"]\n"
    "      args: {a: {pattern: '.*', default: \"\"}, b: {pattern: '.*', default: \"\"}}\n"
    "    - name: opt\n"
    "      run: [/bin/echo, \"-{a}\"]\n"
    "      args: {a: {pattern: '.*'}}\n"
    "    - name: behind\n"
    "      run: [/bin/echo, \"--\", \"{a}\"]\n"
    "      args: {a: {pattern: '.*'}}\n"
    "    - name: attached\n"
    "      run: [/bin/echo, \"--a={a}\", \"-o{a}\"]\n"
    "      args: {a: {pattern: '.*', max_length: 4096}}\n"
    "    - name: int\n"
    "      run: [/bin/echo, \"n={n}\", \"m={m}\"]\n"
    "      args: {n: {type: int, min: -10, max: 9007199254740993}, m: {type: int, default: 5}}\n"
    "    - name: bareint\n"
    "      run: [/bin/echo, \"{n}\"]\n"
    "      args: {n: {type: int, min: -10, max: 10}}\n"
    "    - name: enum\n"
    "      run: [/bin/echo, \"{e}\"]\n"
    "      args: {e: {type: enum, values: [\"-h\", \"a b\", \"h\\u00e9\"]}}\n"
    "    - name: path\n"
    "      run: [/bin/echo, \"{p}\"]\n"
    "      args: {p: {type: path, under: [\"%s\"]}}\n"
    "    - name: service\n"
    "      run: [/bin/echo, \"{s}\"]\n"
    "      args: {s: {type: service}}\n"
    "    - name: switch\n"
    "      run: [/bin/echo, \"-a{a}\", \"-b{b}{a}\", \"end\"]\n"
    "      args: {a: {type: switch}, b: {type: switch, default: true}}\n";

/* ---- what each test works with ------------------------------------------------------ */

typedef struct fixture_t {
    const char *top;            /* a directory of our own ... */
    const char *scripts;        /* ... and one in it */
    sa_command_policy_t *policy;
    const sa_config_t *config;
    apr_pool_t *pool;
} fixture_t;

static const char *write_script(const fixture_t *fixture, const char *name, const char *text,
                                apr_fileperms_t mode)
{
    const char *path = apr_pstrcat(fixture->pool, fixture->scripts, "/", name, NULL);
    apr_file_t *file;

    ck_assert_int_eq(apr_file_open(&file, path, APR_FOPEN_WRITE | APR_FOPEN_CREATE
                                   | APR_FOPEN_TRUNCATE, mode, fixture->pool), APR_SUCCESS);
    apr_file_puts(text, file);
    apr_file_close(file);
    ck_assert_int_eq(apr_file_perms_set(path, mode), APR_SUCCESS);
    return path;
}

/* Not shell: no test leaves anything behind, whatever stands in it. */
static void remove_tree(const char *path, apr_pool_t *pool)
{
    apr_dir_t *directory;
    apr_finfo_t info;

    if (apr_file_remove(path, pool) == APR_SUCCESS
        || apr_dir_open(&directory, path, pool) != APR_SUCCESS) {
        return;
    }
    while (apr_dir_read(&info, APR_FINFO_NAME, directory) == APR_SUCCESS) {
        if (strcmp(info.name, ".") != 0 && strcmp(info.name, "..") != 0) {
            remove_tree(apr_pstrcat(pool, path, "/", info.name, NULL), pool);
        }
    }
    apr_dir_close(directory);
    apr_dir_remove(path, pool);
}

static apr_status_t remove_top(void *baton)
{
    const fixture_t *fixture = baton;
    apr_pool_t *pool = sa_pool_create_root();

    remove_tree(fixture->top, pool);
    apr_pool_destroy(pool);
    return APR_SUCCESS;
}

static const char *make_folder(const char *path, apr_pool_t *pool)
{
    ck_assert_int_eq(apr_dir_make(path, 0x755, pool), APR_SUCCESS);
    ck_assert_int_eq(apr_file_perms_set(path, 0x755), APR_SUCCESS);
    return path;
}

static void make_policy(fixture_t *fixture)
{
    const char *text = apr_psprintf(fixture->pool, settings, fixture->scripts, fixture->top);
    apr_array_header_t *complaints;
    sa_config_t *config;

    SA_ASSERT_OK(sa_config__load_memory(&config, &complaints, "t", text, strlen(text),
                                        fixture->pool));
    fixture->config = config;
    SA_ASSERT_OK(sa_command_policy_create(&fixture->policy, config, fixture->pool));
}

static fixture_t *make_fixture(apr_pool_t *pool)
{
    fixture_t *fixture = apr_pcalloc(pool, sizeof(*fixture));
    char *name = apr_pstrdup(pool, "/tmp/sa-policy-XXXXXX");
    apr_file_t *file;

    fixture->pool = pool;
    ck_assert_int_eq(apr_file_mktemp(&file, name, APR_FOPEN_CREATE | APR_FOPEN_EXCL
                                     | APR_FOPEN_READ | APR_FOPEN_WRITE, pool), APR_SUCCESS);
    apr_file_close(file);
    fixture->top = apr_pstrcat(pool, name, ".d", NULL);
    make_folder(fixture->top, pool);
    apr_file_remove(name, pool);
    apr_pool_cleanup_register(pool, fixture, remove_top, apr_pool_cleanup_null);
    fixture->scripts = make_folder(apr_pstrcat(pool, fixture->top, "/scripts", NULL), pool);
    write_script(fixture, "hello.sh", "#!/bin/sh\necho hello\n", 0x755);
    make_policy(fixture);
    return fixture;
}

/* The plan for REQUEST, JSON text; NULL and *REASON where it is refused. */
static sa_command_plan_t *plan_bytes(const char **reason, const fixture_t *fixture,
                                     const char *request, size_t length)
{
    sa_command_plan_t *plan = NULL;
    cJSON *json;
    sa_error_t *err = sa_json_parse(&json, request, length, fixture->pool);

    if (!err) {
        err = sa_command_policy_plan(&plan, fixture->policy, json, fixture->pool);
        ck_assert(!err || sa_error_has(err, SA_ERR_REFUSED));
    }
    *reason = err ? apr_pstrdup(fixture->pool, err->message) : "";
    sa_error_clear(err);
    return plan;
}

static sa_command_plan_t *plan_text(const char **reason, const fixture_t *fixture,
                                    const char *request)
{
    return plan_bytes(reason, fixture, request, strlen(request));
}

/* The plan of the request {"command": COMMAND}. */
static sa_command_plan_t *plan_command(const char **reason, const fixture_t *fixture,
                                       const char *command)
{
    cJSON *json = sa_json_object(fixture->pool);

    cJSON_AddStringToObject(json, "command", command);
    return plan_text(reason, fixture, sa_json_print(json, NULL, fixture->pool));
}

/* "prog|arg|arg" */
static const char *join_argv(const sa_command_plan_t *plan, apr_pool_t *pool)
{
    const char *text = "";

    for (int i = 0; plan->argv[i]; i++) {
        text = apr_pstrcat(pool, text, i > 0 ? "|" : "", plan->argv[i], NULL);
    }
    return text;
}

typedef struct refusal_t {
    const char *request;
    const char *reason;
} refusal_t;

static void expect_refusals(const fixture_t *fixture, const refusal_t *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *reason;
        sa_command_plan_t *plan = plan_text(&reason, fixture, rows[i].request);

        ck_assert_msg(plan == NULL, "%s is to be refused", rows[i].request);
        ck_assert_msg(strcmp(reason, rows[i].reason) == 0, "%s: %s", rows[i].request, reason);
    }
}
#define EXPECT_REFUSALS(fixture, rows) \
    expect_refusals((fixture), (rows), sizeof(rows) / sizeof((rows)[0]))

static void expect_refused_commands(const fixture_t *fixture, const char *const *commands,
                                    size_t count, const char *wanted)
{
    for (size_t i = 0; i < count; i++) {
        const char *reason;

        ck_assert_msg(!plan_command(&reason, fixture, commands[i]), "%s", commands[i]);
        ck_assert_msg(strcmp(reason, wanted) == 0, "%s: %s", commands[i], reason);
    }
}
#define EXPECT_COMMANDS(fixture, commands, wanted) \
    expect_refused_commands((fixture), (commands), sizeof(commands) / sizeof((commands)[0]), wanted)

static void expect_argv(const fixture_t *fixture, const char *request, const char *argv)
{
    const char *reason;
    sa_command_plan_t *plan = plan_text(&reason, fixture, request);

    ck_assert_msg(plan != NULL, "%s: %s", request, reason);
    ck_assert_str_eq(join_argv(plan, fixture->pool), argv);
}

/* ---- the three forms ------------------------------------------------------------------ */

SA_TEST(a_line_runs_as_it_stands_in_the_file)
{
    static const char *const same[] = {"/bin/echo one two", "/bin/echo   one two",
                                       "  /bin/echo one   two  "};
    fixture_t *fixture = make_fixture(pool);

    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        const char *reason;
        sa_command_plan_t *plan = plan_command(&reason, fixture, same[i]);

        ck_assert_msg(plan != NULL, "%s", reason);
        ck_assert_str_eq(plan->entry, "/bin/echo   one two");
        ck_assert_str_eq(plan->program, "/bin/echo");
        ck_assert_str_eq(join_argv(plan, pool), "/bin/echo|one|two");
        ck_assert(!plan->shell && !plan->script);
        ck_assert_int_eq(plan->limits->max_processes, 64);
    }
}

SA_TEST(a_line_with_shell_syntax_is_handed_to_the_shell_whole)
{
    fixture_t *fixture = make_fixture(pool);
    const char *reason;
    sa_command_plan_t *plan = plan_command(&reason, fixture, "echo $HOME  | cat");

    ck_assert_ptr_nonnull(plan);
    ck_assert(plan->shell);
    ck_assert_str_eq(plan->program, "/bin/sh");
    ck_assert_str_eq(join_argv(plan, pool), "/bin/sh|-c|echo $HOME | cat");
}

SA_TEST(a_bare_program_is_found_in_the_fixed_path)
{
    fixture_t *fixture = make_fixture(pool);
    const char *reason;
    sa_command_plan_t *plan = plan_command(&reason, fixture, "sh");

    ck_assert_ptr_nonnull(plan);
    ck_assert_msg(plan->program[0] == '/' && strcmp(strrchr(plan->program, '/'), "/sh") == 0, "%s",
                  plan->program);
    ck_assert_str_eq(plan->argv[0], "sh");
    ck_assert_int_eq(plan->limits->timeout, apr_time_from_sec(3));
    ck_assert(!plan_command(&reason, fixture, "no-such-program-1 x"));
    ck_assert_str_eq(reason, "the program no-such-program-1 is not on this machine");
}

SA_TEST(a_script_runs_by_bare_name_or_by_the_directorys_own_spelling)
{
    fixture_t *fixture = make_fixture(pool);
    const char *path = apr_pstrcat(pool, fixture->scripts, "/hello.sh", NULL);
    const char *const names[] = {"hello.sh", path};

    for (size_t i = 0; i < 2; i++) {
        const char *reason;
        sa_command_plan_t *plan = plan_command(&reason, fixture, names[i]);

        ck_assert_msg(plan != NULL, "%s", reason);
        ck_assert(plan->script && !plan->shell);
        ck_assert_str_eq(plan->entry, "hello.sh");
        ck_assert_str_eq(plan->program, path);
        ck_assert_str_eq(join_argv(plan, pool), path);
        ck_assert_int_eq(plan->limits->max_memory, 256 << 20);
    }
}

SA_TEST(a_named_command_takes_its_arguments)
{
    fixture_t *fixture = make_fixture(pool);
    const char *reason;

    expect_argv(fixture, "{\"command\":\"text\",\"args\":{\"t\":\"a; $b\"}}",
                "/bin/echo|a; $b|aa; $bb|-xa; $b|--{a; $b}|--|a; $b");
    expect_argv(fixture, "{\"command\":\"text\"}",
                "/bin/echo|dflt|adfltb|-xdflt|--{dflt}|--|dflt");
    expect_argv(fixture, "{\"command\":\"text\",\"args\":{}}",
                "/bin/echo|dflt|adfltb|-xdflt|--{dflt}|--|dflt");
    expect_argv(fixture, "{\"command\":\"text\",\"args\":null}",
                "/bin/echo|dflt|adfltb|-xdflt|--{dflt}|--|dflt");
    expect_argv(fixture, "{\"command\":\"int\",\"args\":{\"n\":7}}", "/bin/echo|n=7|m=5");
    expect_argv(fixture, "{\"command\":\"int\",\"args\":{\"n\":\"7\",\"m\":\"0\"}}",
                "/bin/echo|n=7|m=0");
    expect_argv(fixture, "{\"command\":\"int\",\"args\":{\"n\":-10}}", "/bin/echo|n=-10|m=5");
    expect_argv(fixture, "{\"command\":\"int\",\"args\":{\"n\":1e3}}", "/bin/echo|n=1000|m=5");
    expect_argv(fixture, "{\"command\":\"int\",\"args\":{\"n\":\"9007199254740993\"}}",
                "/bin/echo|n=9007199254740993|m=5");
    expect_argv(fixture, "{\"command\":\"enum\",\"args\":{\"e\":\"-h\"}}", "/bin/echo|-h");
    expect_argv(fixture, "{\"command\":\"enum\",\"args\":{\"e\":\"a b\"}}", "/bin/echo|a b");
    expect_argv(fixture, "{\"command\":\"service\",\"args\":{\"s\":\"nginx.service\"}}",
                "/bin/echo|nginx.service");
    expect_argv(fixture, "{\"command\":\"switch\"}", "/bin/echo|end");
    expect_argv(fixture, "{\"command\":\"switch\",\"args\":{\"a\":true}}",
                "/bin/echo|-a|-b|end");
    expect_argv(fixture, "{\"command\":\"switch\",\"args\":{\"a\":true,\"b\":false}}",
                "/bin/echo|-a|end");
    expect_argv(fixture, "{\"Command\":\"sh\",\"id\":\"x\",\"stream\":true}", "sh");
    ck_assert_str_eq(plan_command(&reason, fixture, "text")->entry, "text");
}

static const char *path_request(const char *path, apr_pool_t *pool)
{
    return apr_psprintf(pool, "{\"command\":\"path\",\"args\":{\"p\":\"%s\"}}", path);
}

SA_TEST(a_path_is_handed_on_as_the_place_where_it_leads)
{
    fixture_t *fixture = make_fixture(pool);
    const char *link = apr_pstrcat(pool, fixture->top, "/link", NULL);
    const char *out = apr_pstrcat(pool, fixture->top, "/out", NULL);
    const refusal_t rows[] = {
        {path_request(out, pool), "argument p leads out of where it may"},
        {path_request(apr_pstrcat(pool, out, "/passwd", NULL), pool),
         "argument p leads out of where it may"},
        {path_request(apr_pstrcat(pool, fixture->top, "/none", NULL), pool),
         "argument p must name what is there"},
    };

    ck_assert_int_eq(symlink("scripts", link), 0);
    ck_assert_int_eq(symlink("/etc", out), 0);
    expect_argv(fixture, path_request(link, pool),
                apr_pstrcat(pool, "/bin/echo|", fixture->scripts, NULL));
    expect_argv(fixture, path_request(fixture->top, pool),
                apr_pstrcat(pool, "/bin/echo|", fixture->top, NULL));
    EXPECT_REFUSALS(fixture, rows);
}

SA_TEST(what_has_no_arguments_takes_none)
{
    static const refusal_t rows[] = {
        {"{\"command\":\"sh\",\"args\":{\"a\":1}}", "a line takes no arguments"},
        {"{\"command\":\"hello.sh\",\"args\":{\"a\":1}}", "a script takes no arguments"},
        {"{\"command\":\"nothing\",\"args\":{\"a\":1}}", REFUSED},
    };

    EXPECT_REFUSALS(make_fixture(pool), rows);
}

/* ---- hostile inputs, by number ---------------------------------------------------------- */

SA_TEST(hostile_1_a_command_before_a_whitelisted_script)
{
    fixture_t *fixture = make_fixture(pool);
    const char *const commands[] = {
        apr_pstrcat(pool, "id; true ", fixture->scripts, "/hello.sh", NULL),
        apr_pstrcat(pool, "id;", fixture->scripts, "/hello.sh", NULL), "id; hello.sh",
        "hello.sh; id", "sh; id", "id; sh", "sh sh", "hello.sh x"};

    EXPECT_COMMANDS(fixture, commands, REFUSED);
}

SA_TEST(hostile_2_a_script_of_that_name_elsewhere)
{
    fixture_t *fixture = make_fixture(pool);
    const char *const commands[] = {
        "/tmp/evil/hello.sh", "/hello.sh", "./hello.sh", "//hello.sh",
        apr_pstrcat(pool, fixture->scripts, "//hello.sh", NULL),
        apr_pstrcat(pool, fixture->scripts, "/./hello.sh", NULL),
        apr_pstrcat(pool, "/", fixture->scripts, "/hello.sh", NULL),
        apr_pstrcat(pool, fixture->scripts, "x/hello.sh", NULL),
        apr_pstrcat(pool, fixture->scripts, "hello.sh", NULL),
        fixture->scripts, apr_pstrcat(pool, fixture->scripts, "/", NULL)};

    EXPECT_COMMANDS(fixture, commands, REFUSED);
}

SA_TEST(hostile_3_a_way_out_of_the_scripts_directory)
{
    fixture_t *fixture = make_fixture(pool);
    const char *const commands[] = {
        "../hello.sh", "..\\hello.ps1", "hello.sh/../../x", "hello.sh/", "hello.sh/.",
        "scripts/../hello.sh", apr_pstrcat(pool, fixture->scripts, "/../scripts/hello.sh", NULL),
        apr_pstrcat(pool, fixture->scripts, "/..", NULL)};

    EXPECT_COMMANDS(fixture, commands, REFUSED);
}

SA_TEST(hostile_4_a_nul_in_the_name)
{
    static const char raw[] = "{\"command\":\"hello.sh\0;id\"}";
    fixture_t *fixture = make_fixture(pool);
    const char *reason;

    ck_assert(!plan_text(&reason, fixture, "{\"command\":\"hello.sh\\u0000;id\"}"));
    ck_assert_str_eq(reason, "an escaped NUL (\\u0000) in JSON text");
    ck_assert(!plan_text(&reason, fixture, "{\"command\\u0000x\":\"hello.sh\"}"));
    ck_assert_str_eq(reason, "an escaped NUL (\\u0000) in JSON text");
    ck_assert(!plan_bytes(&reason, fixture, raw, sizeof(raw) - 1));
    ck_assert_str_eq(reason, "a NUL byte in JSON text");
}

SA_TEST(hostile_5_line_ends_of_every_kind)
{
    static const char *const control[] = {"hello.sh\n id", "hello.sh\r", "hello.sh\x0b", "\nsh",
                                          "sh\n", "hello.sh\x0c", "hello.sh\xc2\x85", "sh\x7f"};
    static const char *const separators[] = {"hello.sh\xe2\x80\xa8", "hello.sh\xe2\x80\xa9id"};
    fixture_t *fixture = make_fixture(pool);

    EXPECT_COMMANDS(fixture, control, "command holds a control character");
    EXPECT_COMMANDS(fixture, separators, "command holds a line separator");
}

SA_TEST(hostile_6_other_blanks_in_place_of_a_space)
{
    static const char *const control[] = {"/bin/echo\none two", "/bin/echo\tone two",
                                          "/bin/echo one two\t", "/bin/echo one\r\ntwo"};
    static const char *const blanks[] = {"/bin/echo\xc2\xa0one two", "/bin/echo one\xe2\x80\x83two",
                                         "/bin/echo one\xe3\x80\x80two",
                                         "/bin/echo one\xe2\x80\x8btwo",
                                         "\xef\xbb\xbf/bin/echo one two"};
    fixture_t *fixture = make_fixture(pool);

    EXPECT_COMMANDS(fixture, control, "command holds a control character");
    EXPECT_COMMANDS(fixture, blanks, REFUSED);
}

SA_TEST(hostile_7_shell_syntax_of_the_requester)
{
    static const char *const signs[] = {
        "$(id)", "`id`", "${IFS}", "<(id)", "&& id", "|| id", "| id", "> /tmp/x", "*", "~", "{a,b}",
        "&", ";", "#", "!x", "'", "\"", "\\", "$IFS$9id", "2>&1"};
    fixture_t *fixture = make_fixture(pool);

    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
        const char *const commands[] = {
            signs[i], apr_pstrcat(pool, "sh ", signs[i], NULL),
            apr_pstrcat(pool, "/bin/echo one two ", signs[i], NULL),
            apr_pstrcat(pool, "echo $HOME | cat ", signs[i], NULL),
            apr_pstrcat(pool, "hello.sh", signs[i], NULL),
            apr_pstrcat(pool, "hello.sh ", signs[i], NULL),
            apr_pstrcat(pool, fixture->scripts, "/", signs[i], NULL)};

        EXPECT_COMMANDS(fixture, commands, REFUSED);
    }
}

SA_TEST(hostile_8_letters_that_look_alike_and_bytes_that_are_none)
{
    static const char *const alike[] = {
        "sh\xef\xbc\x9b id", "h\xd0\xb5llo.sh", "hello\xef\xbc\x8esh", "hel\xc5\x82o.sh",
        "\xef\xbc\x8f\x62in/echo one two", "he\xcc\x80llo.sh", "hello.\xc5\xbfh"};
    static const char *const bytes[] = {
        "{\"command\":\"hello.sh\xff\"}", "{\"command\":\"hello\xc0\xae\x73h\"}",
        "{\"command\":\"\xc0\xafsh\"}", "{\"command\":\"\xe0\x80\xafsh\"}",
        "{\"command\":\"\xed\xa0\x80\"}", "{\"command\":\"\xf8\x88\x80\x80\x80\"}",
        "{\"command\":\"sh\xc3\"}"};
    static const refusal_t twins[] = {
        /* "hé" in two code points where the file has one */
        {"{\"command\":\"enum\",\"args\":{\"e\":\"he\\u0301\"}}",
         "argument e must be one of -h a b h\xc3\xa9"},
        {"{\"command\":\"text\",\"args\":{\"t\":\"\\uff1bid\"}}",
         "argument t must match the pattern of the argument"},
        {"{\"command\":\"attached\",\"args\":{\"a\":\"\xff\"}}", "argument a is not UTF-8"},
        {"{\"command\":\"attached\",\"args\":{\"a\":\"\\u202e\"}}",
         "argument a holds a character that changes the direction of writing"},
    };
    fixture_t *fixture = make_fixture(pool);

    EXPECT_COMMANDS(fixture, alike, REFUSED);
    for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
        const char *reason;

        ck_assert_msg(!plan_text(&reason, fixture, bytes[i]), "%d", (int)i);
        ck_assert_msg(strcmp(reason, "command is not UTF-8") == 0, "%d: %s", (int)i, reason);
    }
    EXPECT_REFUSALS(fixture, twins);
    expect_argv(fixture, "{\"command\":\"enum\",\"args\":{\"e\":\"h\\u00e9\"}}",
                "/bin/echo|h\xc3\xa9");
}

SA_TEST(hostile_9_other_spellings_of_a_name)
{
    static const char *const commands[] = {
        "hello.sh.", "hello.sh ", " hello.sh", "hello.sh::$DATA", "HELLO.SH", "Hello.sh",
        "HELLO~1.SH",
        "\\\\?\\hello.sh", "\\\\host\\share\\hello.sh", "//host/share/hello.sh", "CON", "NUL",
        "C:hello.sh", "TEXT", "Text", "SH", "text ", " text"};

    EXPECT_COMMANDS(make_fixture(pool), commands, REFUSED);
}

SA_TEST(hostile_10_empty_and_endless_names)
{
    static const char *const commands[] = {"", ".", "..", "/", "-", "--", " ", "   ", "...",
                                           ".hello.sh", "-hello.sh", "-c id"};
    static const refusal_t rows[] = {
        {"{}", "the request names no command"}, {"{\"command\":null}", "command must be text"},
    };
    fixture_t *fixture = make_fixture(pool);
    static const size_t sizes[] = {4097, 64 * 1024, 1024 * 1024};
    char *long_name = apr_palloc(pool, 1024 * 1024 + 1);

    EXPECT_COMMANDS(fixture, commands, REFUSED);
    EXPECT_REFUSALS(fixture, rows);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const char *reason;

        memset(long_name, 'a', sizes[i]);
        long_name[sizes[i]] = '\0';
        ck_assert(!plan_command(&reason, fixture, long_name));
        ck_assert_str_eq(reason, "command is longer than 4096 bytes");
    }
    long_name[256] = '\0';
    expect_refused_commands(fixture, (const char *const[]){long_name}, 1, REFUSED);
}

SA_TEST(hostile_11_values_that_would_be_options)
{
    static const refusal_t rows[] = {
        {"{\"command\":\"front\",\"args\":{\"a\":\"--checkpoint-action=exec=id\"}}",
         "argument a must not begin with -"},
        {"{\"command\":\"front\",\"args\":{\"a\":\"-oProxyCommand=id\"}}",
         "argument a must not begin with -"},
        {"{\"command\":\"front\",\"args\":{\"b\":\"--pager=\"}}",
         "argument b must not begin with -"},
        {"{\"command\":\"front\",\"args\":{\"a\":\"-\"}}", "argument a must not begin with -"},
        {"{\"command\":\"front\",\"args\":{\"a\":\"\",\"b\":\"-x\"}}",
         "argument b must not begin with -"},
        {"{\"command\":\"opt\",\"args\":{\"a\":\"-exec\"}}", "argument a must not begin with -"},
        {"{\"command\":\"text\",\"args\":{\"t\":\"-x\"}}", "argument t must not begin with -"},
        {"{\"command\":\"bareint\",\"args\":{\"n\":-5}}", "argument n must not begin with -"},
    };
    fixture_t *fixture = make_fixture(pool);

    EXPECT_REFUSALS(fixture, rows);
    /* Where the template says that it may: */
    expect_argv(fixture, "{\"command\":\"behind\",\"args\":{\"a\":\"--x\"}}", "/bin/echo|--|--x");
    expect_argv(fixture, "{\"command\":\"attached\",\"args\":{\"a\":\"-x\"}}",
                "/bin/echo|--a=-x|-o-x");
    expect_argv(fixture, "{\"command\":\"front\",\"args\":{\"a\":\"a\",\"b\":\"-x\"}}",
                "/bin/echo|a-x");
    expect_argv(fixture, "{\"command\":\"opt\",\"args\":{\"a\":\"x\"}}", "/bin/echo|-x");
}

SA_TEST(hostile_12_a_pattern_matches_the_whole_value)
{
    static const refusal_t rows[] = {
        {"{\"command\":\"text\",\"args\":{\"t\":\"ok\\nid\"}}",
         "argument t holds a control character"},
        {"{\"command\":\"text\",\"args\":{\"t\":\"ok\\n\"}}",
         "argument t holds a control character"},
        {"{\"command\":\"text\",\"args\":{\"t\":\"ok\\u2028id\"}}",
         "argument t holds a line separator"},
        {"{\"command\":\"text\",\"args\":{\"t\":\"OK\"}}",
         "argument t must match the pattern of the argument"},
        {"{\"command\":\"text\",\"args\":{\"t\":\"okID\"}}",
         "argument t must match the pattern of the argument"},
        {"{\"command\":\"text\",\"args\":{\"t\":\"aaaaaaaaaaa\"}}",
         "argument t must be at most 10 bytes"},
        {"{\"command\":\"attached\",\"args\":{\"a\":\"a\\tb\"}}",
         "argument a holds a control character"},
    };

    EXPECT_REFUSALS(make_fixture(pool), rows);
}

SA_TEST(hostile_14_arguments_of_the_wrong_number_type_and_form)
{
    static const refusal_t rows[] = {
        {"{\"command\":\"enum\"}", "argument e is missing"},
        {"{\"command\":\"enum\",\"args\":{\"x\":\"-h\"}}", "enum has no argument x"},
        {"{\"command\":\"enum\",\"args\":{\"e\":\"-h\",\"x\":\"\"}}", "enum has no argument x"},
        {"{\"command\":\"enum\",\"args\":{\"E\":\"-h\"}}", "enum has no argument E"},
        {"{\"command\":\"enum\",\"args\":{\"e\\u001b[31m\":\"-h\"}}",
         "enum has no argument of that name"},
        {"{\"command\":\"enum\",\"args\":{\"e\":1}}", "argument e must be text"},
        {"{\"command\":\"enum\",\"args\":{\"e\":null}}", "argument e must be text"},
        {"{\"command\":\"enum\",\"args\":{\"e\":[\"-h\"]}}", "argument e must be text"},
        {"{\"command\":\"enum\",\"args\":{\"e\":{\"e\":\"-h\"}}}", "argument e must be text"},
        {"{\"command\":\"enum\",\"args\":{\"e\":\"-k\"}}",
         "argument e must be one of -h a b h\xc3\xa9"},
        {"{\"command\":\"enum\",\"args\":[\"-h\"]}", "args must be an object of names with values"},
        {"{\"command\":\"enum\",\"args\":\"-h\"}", "args must be an object of names with values"},
        {"{\"command\":\"enum\",\"args\":{\"e\":\"-h\",\"e\":\"a b\"}}", "args has a member twice"},
        {"{\"command\":\"int\",\"args\":{\"n\":true}}", "argument n must be a whole number"},
        {"{\"command\":\"int\",\"args\":{\"n\":1.5}}",
         "argument n must be a whole number, as text when it is beyond 2^53"},
        {"{\"command\":\"int\",\"args\":{\"n\":1e309}}",
         "argument n must be a whole number, as text when it is beyond 2^53"},
        {"{\"command\":\"int\",\"args\":{\"n\":-1e309}}",
         "argument n must be a whole number, as text when it is beyond 2^53"},
        {"{\"command\":\"switch\",\"args\":{\"a\":\"true\"}}", "argument a must be true or false"},
        {"{\"command\":\"switch\",\"args\":{\"a\":1}}", "argument a must be true or false"},
        {"{\"command\":\"service\",\"args\":{\"s\":\"sshd\"}}",
         "argument s must be one of commands.allowed_services"},
        {"{\"command\":\"service\",\"args\":{\"s\":\"*\"}}",
         "argument s must be one of commands.allowed_services"},
        {"{\"command\":\"sh\",\"command\":\"hello.sh\"}", "the request has a member twice"},
        {"{\"command\":\"sh\",\"Command\":\"hello.sh\"}", "the request has a member twice"},
        {"{\"command\":\"ok\",\"command\":\"evil\"}", "the request has a member twice"},
        {"{\"command\":\"enum\",\"args\":{\"e\":\"-h\"},\"ARGS\":{}}",
         "the request has a member twice"},
        {"{\"command\":{\"command\":\"sh\"}}", "command must be text"},
        {"{\"command\":[\"sh\"]}", "command must be text"}, {"{\"command\":1}",
                                                             "command must be text"},
        {"{\"command\":true}", "command must be text"},
    };
    fixture_t *fixture = make_fixture(pool);
    const char *reason;
    cJSON *json = sa_json_object(pool);
    cJSON *args;

    EXPECT_REFUSALS(fixture, rows);
    cJSON_AddStringToObject(json, "command", "enum");
    args = cJSON_AddObjectToObject(json, "args");
    for (int i = 0; i < 5000; i++) {
        cJSON_AddNumberToObject(args, apr_psprintf(pool, "a%d", i), i);
    }
    ck_assert(!plan_text(&reason, fixture, sa_json_print(json, NULL, pool)));
    ck_assert_str_eq(reason, "args has more than 32 members");
    ck_assert(!plan_text(&reason, fixture, sa_json_print(args, NULL, pool)));
    ck_assert_str_eq(reason, "the request has more than 32 members");
}

SA_TEST(hostile_15_whole_numbers_out_of_range)
{
    static const char whole[] = "argument n must be a whole number";
    static const char exact[] = "argument n must be a whole number, as text when it is beyond 2^53";
    static const char range[] = "argument n must be from -10 to 9007199254740993";
    static const struct {
        const char *value;
        const char *reason;
    } rows[] = {
        {"-11", range}, {"\"-11\"", range}, {"9223372036854775808", exact}, {"1e18", exact},
        {"9007199254740994", exact}, {"-1e18", exact}, {"\"9223372036854775808\"", whole},
        {"\"9007199254740994\"", range}, {"\"-9223372036854775808\"", whole}, {"\"\"", whole},
        {"\"1e3\"", whole}, {"\"0x10\"", whole}, {"\"007\"", whole}, {"\"+1\"", whole},
        {"\" 1\"", whole}, {"\"1 \"", whole}, {"\"1_000\"", whole}, {"\"NaN\"", whole},
        {"\"Infinity\"", whole}, {"\"1.0\"", whole}, {"\"-\"", whole}, {"\"\xd9\xa3\"", whole},
        {"\"99999999999999999999999999999999999\"", whole},
    };
    static const char *const timeouts[] = {"-1", "0", "2147483648", "9223372036854775808", "1e18",
                                           "1e309", "\"1h\"", "null"};
    fixture_t *fixture = make_fixture(pool);
    const char *reason;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *text = apr_psprintf(pool, "{\"command\":\"int\",\"args\":{\"n\":%s}}",
                                        rows[i].value);

        ck_assert_msg(!plan_text(&reason, fixture, text), "%s", text);
        ck_assert_msg(strcmp(reason, rows[i].reason) == 0, "%s: %s", text, reason);
    }
    ck_assert(!plan_text(&reason, fixture, "{\"command\":\"int\",\"args\":{\"n\":NaN}}"));
    ck_assert_ptr_nonnull(strstr(reason, "not JSON"));
    for (size_t i = 0; i < sizeof(timeouts) / sizeof(timeouts[0]); i++) {
        /* No request moves the limits of the file. */
        sa_command_plan_t *plan = plan_text(&reason, fixture,
                                            apr_psprintf(pool,
                                                         "{\"command\":\"sh\",\"timeout\":%s}",
                                                         timeouts[i]));

        ck_assert_msg(plan != NULL, "%s", reason);
        ck_assert_int_eq(plan->limits->timeout, apr_time_from_sec(3));
    }
}

SA_TEST(hostile_16_the_environment_is_the_files_and_nothing_else)
{
    static const char *const names[] = {"LD_PRELOAD", "BASH_ENV", "ENV", "IFS", "PYTHONPATH",
                                        "GCONV_PATH", "BASH_FUNC_x%%", "SA_SECRET", "PATH"};
    fixture_t *fixture;
    const char *reason;
    const sa_command_plan_t *plan;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) - 1; i++) {
        ck_assert_int_eq(setenv(names[i], "/tmp/evil", 1), 0);
    }
    fixture = make_fixture(pool);
    plan = plan_command(&reason, fixture, "hello.sh");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) - 1; i++) {
        unsetenv(names[i]);
    }
    ck_assert_str_eq(plan->env[0], "PATH=" SA_COMMAND_PATH);
    ck_assert_str_eq(plan->env[1], "LANG=C.UTF-8");
    ck_assert_msg(strncmp(plan->env[2], "HOME=/", 6) == 0, "%s", plan->env[2]);
    ck_assert_ptr_null(plan->env[3]);
    plan = plan_text(&reason, fixture, "{\"command\":\"sh\",\"env\":{\"LD_PRELOAD\":\"x\"}}");
    ck_assert_str_eq(plan->env[2], "HOME=/srv");
    ck_assert_str_eq(plan->env[3], "A=b");
    ck_assert_str_eq(plan->env[4], "LD_X=y");
    ck_assert_ptr_null(plan->env[5]);
}

/* The policy, then the opening, as exec does it: why the script NAME does not run. */
static const char *why_not(const fixture_t *fixture, const char *name)
{
    const char *reason;
    sa_command_plan_t *plan = plan_command(&reason, fixture, name);
    sa_os_program_t *program;
    sa_error_t *err;

    if (!plan) {
        return reason;
    }
    err = sa_os_program_open(&program, plan->program, plan->script, fixture->pool);
    reason = err ? sa_error_text(err, apr_palloc(fixture->pool, 1024), 1024) : "";
    sa_error_clear(err);
    return reason;
}

static void expect_why(const fixture_t *fixture, const char *name, const char *part)
{
    const char *why = why_not(fixture, name);

    ck_assert_msg(*part ? strstr(why, part) != NULL : !*why, "%s: %s", name, why);
}

SA_TEST(hostile_18_links_to_scripts_and_directories)
{
    fixture_t *fixture = make_fixture(pool);
    const char *hello = apr_pstrcat(pool, fixture->scripts, "/hello.sh", NULL);
    const char *moved = apr_pstrcat(pool, fixture->top, "/moved", NULL);

    expect_why(fixture, "hello.sh", "");
    ck_assert_int_eq(symlink("hello.sh", apr_pstrcat(pool, fixture->scripts, "/link.sh", NULL)), 0);
    ck_assert_int_eq(symlink("/nowhere", apr_pstrcat(pool, fixture->scripts, "/gone.sh", NULL)), 0);
    expect_why(fixture, "link.sh", "/link.sh is a symbolic link; name the place it points to");
    expect_why(fixture, "gone.sh", "/gone.sh is a symbolic link; name the place it points to");
    ck_assert_int_eq(link(hello, apr_pstrcat(pool, fixture->top, "/hard.sh", NULL)), 0);
    expect_why(fixture, "hello.sh", "has 2 names (hard links), one of which may be others'");
    ck_assert_int_eq(unlink(apr_pstrcat(pool, fixture->top, "/hard.sh", NULL)), 0);
    ck_assert_int_eq(rename(fixture->scripts, moved), 0);
    ck_assert_int_eq(symlink("moved", fixture->scripts), 0);
    expect_why(fixture, "hello.sh", "/scripts is a symbolic link; name the place it points to");
}

SA_TEST(hostile_19_scripts_and_directories_that_others_can_change)
{
    fixture_t *fixture = make_fixture(pool);
    const char *hello = apr_pstrcat(pool, fixture->scripts, "/hello.sh", NULL);
    static const mode_t modes[] = {0775, 0757, 0777, 0722};

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        ck_assert_int_eq(chmod(hello, modes[i]), 0);
        expect_why(fixture, "hello.sh", "so others can change it; chmod go-w");
        ck_assert_int_eq(chmod(hello, 0755), 0);
        ck_assert_int_eq(chmod(fixture->scripts, modes[i]), 0);
        expect_why(fixture, "hello.sh", "so others can change it; chmod go-w");
        ck_assert_int_eq(chmod(fixture->scripts, 0755), 0);
        ck_assert_int_eq(chmod(fixture->top, modes[i]), 0);
        expect_why(fixture, "hello.sh", "so others can change it; chmod go-w");
        ck_assert_int_eq(chmod(fixture->top, 0755), 0);
        expect_why(fixture, "hello.sh", "");
    }
    if (geteuid() == 0) {       /* only root can give files away; others are judged above */
        ck_assert_int_eq(chown(hello, 12345, 12345), 0);
        expect_why(fixture, "hello.sh", "belongs to user 12345, who can change it");
        ck_assert_int_eq(chown(hello, 0, 0), 0);
        ck_assert_int_eq(chown(fixture->top, 12345, 12345), 0);
        expect_why(fixture, "hello.sh", "belongs to user 12345, who can change it");
        ck_assert_int_eq(chown(fixture->top, 0, 0), 0);
    }
}

SA_TEST(hostile_20_scripts_that_are_none)
{
    fixture_t *fixture = make_fixture(pool);
    const char *fifo = apr_pstrcat(pool, fixture->scripts, "/fifo.sh", NULL);

    ck_assert_int_eq(mkfifo(fifo, 0755), 0);
    expect_why(fixture, "fifo.sh", "is not a regular file");
    make_folder(apr_pstrcat(pool, fixture->scripts, "/folder.sh", NULL), pool);
    expect_why(fixture, "folder.sh", "is a directory, not a program");
    write_script(fixture, "empty.sh", "", 0x755);
    expect_why(fixture, "empty.sh", "is empty");
    write_script(fixture, "plain.sh", "echo x\n", 0x755);
    expect_why(fixture, "plain.sh", "does not begin with #! and an interpreter");
    write_script(fixture, "crlf.sh", "#!/bin/sh\r\necho x\r\n", 0x755);
    expect_why(fixture, "crlf.sh", "end with CR LF");
    write_script(fixture, "gone.sh", "#!/nowhere/sh\n", 0x755);
    expect_why(fixture, "gone.sh", "cannot use the interpreter of the script");
    write_script(fixture, "bare.sh", "#!sh\n", 0x755);
    expect_why(fixture, "bare.sh", "does not name its interpreter after #! with its whole path");
    write_script(fixture, "mode.sh", "#!/bin/sh\n", 0x644);
    expect_why(fixture, "mode.sh", "is not executable");
    ck_assert_int_eq(chmod(write_script(fixture, "suid.sh", "#!/bin/sh\n", 0x755), 04755), 0);
    expect_why(fixture, "suid.sh", "is setuid or setgid");
    expect_why(fixture, "none.sh", REFUSED);
    if (geteuid() == 0) {
        ck_assert_int_eq(mknod(apr_pstrcat(pool, fixture->scripts, "/dev.sh", NULL),
                               S_IFCHR | 0755, 0x103), 0);      /* what /dev/null is */
        expect_why(fixture, "dev.sh", "is not a regular file");
    }
}

/* ---- services, logs, and the list ---------------------------------------------------------- */

SA_TEST(services_are_allowed_by_exact_name_only)
{
    static const struct {
        const char *name;
        bool allowed;
    } rows[] = {
        {"nginx", true}, {"nginx.service", true}, {"getty@tty1", true}, {"backup.timer", true},
        {"getty@tty1.service", true}, {"backup", false}, {"backup.service", false},
        {"backup.timer.service", false}, {"nginx.socket", false}, {"Nginx", false}, {"ngin*",
                                                                                     false},
        {"*", false}, {"", false}, {"-", false}, {"--now", false}, {"-H evil", false},
        {"nginx; reboot", false}, {"nginx.service/../x", false}, {"nginx.service.service", false},
        {"nginx ", false}, {" nginx", false}, {"nginx\n", false}, {"getty@tty2", false},
        {"getty@", false}, {"getty@$(id)", false}, {"ssh", false}, {"nginx.servic", false},
        {"nginx.servicex", false}, {".service", false},
    };
    fixture_t *fixture = make_fixture(pool);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_msg(sa_command_policy_allows_service(fixture->policy, rows[i].name)
                      == rows[i].allowed, "%s", rows[i].name);
    }
}

SA_TEST(log_paths_match_name_by_name)
{
    static const struct {
        const char *path;
        bool allowed;
    } rows[] = {
        {"/var/log/a.log", true}, {"/var/log/.log", false}, {"/var/log/..log", false},
        {"/var/log/h\xc3\xa9.log", true}, {"/var/log/a b.log", true}, {"/var/log/a.logx", false},
        {"/var/log/a/b.log", false}, {"/var/log/a/../b.log", false}, {"/var/log/../x.log", false},
        {"/var/log//a.log", false}, {"//var/log/a.log", false}, {"/var/log/./a.log", false},
        {"/var/log/a.log/", false}, {"/var/./log/a.log", false}, {"var/log/a.log", false},
        {"", false}, {"/", false}, {"/var/log", false}, {"/var/log/", false},
        {"/var/log/*.log", true},       /* the file of that name */
        {"/var/log/a\n.log", false}, {"/var/log/a\x1b.log", false}, {"/var/log/\xff.log", false},
        {"/var/log/app-1/a.txt", true}, {"/var/log/app-1/ab.txt", true},
        {"/var/log/app-12/a.txt", false}, {"/var/log/app-/a.txt", false},
        {"/var/log/app-\xc3\xa9/a.txt", true}, {"/var/log/app-//a.txt", false},
        {"/var/log/app-1/x.txt", false}, {"/var/log/app-1/a/x.txt", false},
        {"/srv/.x/a", true}, {"/srv/.x/.a", false}, {"/srv/x/a", false}, {"/srv/.x", false},
        {"/etc/shadow", false}, {"/var/log/a.log\xe2\x80\xa8", false},
    };
    fixture_t *fixture = make_fixture(pool);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_msg(sa_command_policy_allows_log(fixture->policy, rows[i].path)
                      == rows[i].allowed, "%s", rows[i].path);
    }
}

SA_TEST(the_list_says_what_would_run_and_how)
{
    fixture_t *fixture = make_fixture(pool);
    sa_buf_t *text = apr_palloc(pool, sizeof(*text));
    const char *const parts[] = {
        "Run as the agent's own user",
        "Environment: PATH=" SA_COMMAND_PATH " LANG=C.UTF-8 HOME=/",
        "  /bin/echo   one two\n      runs      /bin/echo\n      shell     no\n"
        "      limits    20s, output 10MB, 64 processes, memory 256MB\n",
        "  echo $HOME | cat\n      runs      /bin/sh\n      shell     yes, /bin/sh -c",
        "      with      A=b\n",
        "      limits    3s, ",
        "  no-such-program-1 x\n      refused   the program no-such-program-1 is not on this "
        "machine\n",
        "  text\n      runs      /bin/echo\n      shell     no\n      argv      [/bin/echo] [{t}]",
        "      {t}       text of at most 10 bytes that matches [a-z.;$ -]{0,20}; default dflt\n",
        "      {n}       whole number from -10 to 9007199254740993; needed\n",
        "      {e}       one of -h a b h\xc3\xa9; needed\n",
        apr_pstrcat(pool, "      {p}       path below ", fixture->top, "; needed\n", NULL),
        "      {s}       service, one of nginx getty@tty1.service backup.timer; needed\n",
        "      {b}       true or false; default true\n",
        apr_pstrcat(pool, "Scripts in ", fixture->scripts, "\n", NULL),
        "  bad.sh\n      refused   the script ",
        apr_pstrcat(pool, "  hello.sh\n      runs      ", fixture->scripts, "/hello.sh\n", NULL),
        "Services: nginx getty@tty1.service backup.timer\n",
        "Log files: /var/log/*.log /var/log/app-?/a*.txt /srv/.x/*\n",
    };

    write_script(fixture, "bad.sh", "", 0x755);
    sa_buf_init(text, 1 << 20, pool);
    SA_ASSERT_OK(sa_commands_list(text, fixture->config, pool));
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        ck_assert_msg(strstr(text->data, parts[i]) != NULL, "%s is missing in\n%s", parts[i],
                      text->data);
    }
}

SA_TEST(a_policy_outlives_its_configuration)
{
    apr_pool_t *short_pool = sa_pool_create(pool);
    fixture_t *fixture = make_fixture(pool);
    const char *text = apr_psprintf(pool, settings, fixture->scripts, fixture->top);
    apr_array_header_t *complaints;
    sa_config_t *config;

    SA_ASSERT_OK(sa_config__load_memory(&config, &complaints, "t", text, strlen(text), short_pool));
    SA_ASSERT_OK(sa_command_policy_create(&fixture->policy, config, pool));
    apr_pool_destroy(short_pool);
    expect_argv(fixture, "{\"command\":\"enum\",\"args\":{\"e\":\"a b\"}}", "/bin/echo|a b");
    ck_assert(sa_command_policy_allows_service(fixture->policy, "nginx"));
    ck_assert(sa_command_policy_allows_log(fixture->policy, "/var/log/a.log"));
}

SA_TEST(arguments_are_bounded_together)
{
    fixture_t *fixture = make_fixture(pool);
    char *value = apr_palloc(pool, 5000);
    const char *reason;

    memset(value, 'a', 4999);
    value[4097] = '\0';
    ck_assert(!plan_text(&reason, fixture, apr_psprintf(
        pool, "{\"command\":\"attached\",\"args\":{\"a\":\"%s\"}}", value)));
    ck_assert_str_eq(reason, "argument a must be at most 4096 bytes");
    value[4096] = '\0';
    ck_assert_msg(plan_text(&reason, fixture, apr_psprintf(
        pool, "{\"command\":\"attached\",\"args\":{\"a\":\"%s\"}}", value)) != NULL, "%s", reason);
}

SA_TEST_MAIN("command_policy", a_line_runs_as_it_stands_in_the_file,
             a_line_with_shell_syntax_is_handed_to_the_shell_whole,
             a_bare_program_is_found_in_the_fixed_path,
             a_script_runs_by_bare_name_or_by_the_directorys_own_spelling,
             a_named_command_takes_its_arguments,
             a_path_is_handed_on_as_the_place_where_it_leads, what_has_no_arguments_takes_none,
             hostile_1_a_command_before_a_whitelisted_script,
             hostile_2_a_script_of_that_name_elsewhere,
             hostile_3_a_way_out_of_the_scripts_directory, hostile_4_a_nul_in_the_name,
             hostile_5_line_ends_of_every_kind, hostile_6_other_blanks_in_place_of_a_space,
             hostile_7_shell_syntax_of_the_requester,
             hostile_8_letters_that_look_alike_and_bytes_that_are_none,
             hostile_9_other_spellings_of_a_name, hostile_10_empty_and_endless_names,
             hostile_11_values_that_would_be_options,
             hostile_12_a_pattern_matches_the_whole_value,
             hostile_14_arguments_of_the_wrong_number_type_and_form,
             hostile_15_whole_numbers_out_of_range,
             hostile_16_the_environment_is_the_files_and_nothing_else,
             hostile_18_links_to_scripts_and_directories,
             hostile_19_scripts_and_directories_that_others_can_change,
             hostile_20_scripts_that_are_none, services_are_allowed_by_exact_name_only,
             log_paths_match_name_by_name, the_list_says_what_would_run_and_how,
             a_policy_outlives_its_configuration, arguments_are_bounded_together)
