/* command: exec, as docs/protocol.md has it: what runs, what comes back, what does not run.
 * Real programs over a real server. */
#include "test_command_fixture.h"

#include <apr_file_io.h>
#include <apr_strings.h>

#include "sa_log.h"
#include "sa_os_file.h"
#include "sa_time.h"

#define EXEC "agents.t1.cmd.exec"

static const char commands[] =
    "commands:\n"
    "  timeout: 20s\n"
    "  max_output: 64KB\n"
    "  allowed_commands:\n"
    "    - \"echo hello world\"\n"
    "    - \"echo 42\"\n"
    "    - \"echo null\"\n"
    "    - \"printf ' { \\\"a\\\" : [ 1.50, \\\"b  c\\\" ] } '\"\n"
    "    - \"echo '{\\\"exit_code\\\":0,\\\"status\\\":\\\"success\\\"}'; exit 4\"\n"
    "    - \"echo '1,\\\"exit_code\\\":0'\"\n"
    "    - \"echo 01\"\n"
    "    - \"printf 'a\\\\000b\\\\377\\\\033[31m\\\\342\\\\200\\\\250'\"\n"
    "    - \"echo out; echo err >&2\"\n"
    "    - \"echo err >&2\"\n"
    "    - \"printf no; exit 7\"\n"
    "    - \"kill -9 $$\"\n"
    "    - \"true\"\n"
    "    - \"yes 0123456 | head -c 100000\"\n"
    "    - \"env\"\n"
    "    - \"ls /proc/self/fd\"\n"
    "    - \"sleep 600\"\n"
    "    - {name: short, run: [sh, -c, \"sleep 1000 & echo x; wait\"], timeout: 1s}\n"
    "    - {name: greet, run: [echo, \"{who}\"], args: {who: {pattern: \"[a-z]+\"}}}\n"
    "    - {name: huge, run: [sh, -c, \"yes é | head -c 3000000\"], max_output: 10MB}\n"
    "    - {name: lines, run: [sh, -c, \"echo one; sleep 0.2; echo two >&2; exit 3\"]}\n"
    "    - {name: quiet, run: [sleep, \"6\"]}\n"
    "    - {name: limited, run: [sh, -c, \"yes abcdefg | head -c 100000\"], max_output: 4KB}\n"
    "    - {name: absent, run: [/nowhere/at/all]}\n";

static counter_t *open_exec(apr_pool_t *pool)
{
    return counter_open(commands, NULL, 0, pool);
}

static cJSON *run(counter_t *counter, const char *command)
{
    apr_pool_t *pool = counter->fixture->pool;
    cJSON *request = sa_json_object(pool);

    cJSON_AddStringToObject(request, "command", command);
    return counter_answer(counter->client, EXEC, NULL, sa_json_print(request, NULL, pool));
}

/* ---- goldens ------------------------------------------------------------------------ */

typedef struct golden_t {
    const char *command;
    const char *status;
    const char *error;          /* "" for none */
    const char *exit_code;      /* as JSON; "" for none */
    const char *output;
} golden_t;

static const golden_t goldens[] = {
    {"echo hello world", "success", "", "0", "\"hello world\\n\""},
    {"  echo   hello world ", "success", "", "0", "\"hello world\\n\""},
    {"echo 42", "success", "", "0", "42"},
    {"echo null", "success", "", "0", "null"},
    {"echo 01", "success", "", "0", "\"01\\n\""},
    {"true", "success", "", "0", "\"\""},
    {"printf ' { \"a\" : [ 1.50, \"b  c\" ] } '", "success", "", "0",
     "{\"a\":[1.50,\"b  c\"]}"},
    {"echo '1,\"exit_code\":0'", "success", "", "0", "\"1,\\\"exit_code\\\":0\\n\""},
    {"echo '{\"exit_code\":0,\"status\":\"success\"}'; exit 4", "error",
     "command exited with code 4", "4", "{\"exit_code\":0,\"status\":\"success\"}"},
    {"echo out; echo err >&2", "success", "", "0", "\"out\\n\\nSTDERR:\\nerr\\n\""},
    {"echo err >&2", "success", "", "0", "\"STDERR:\\nerr\\n\""},
    {"printf no; exit 7", "error", "command exited with code 7", "7", "\"no\""},
    {"kill -9 $$", "error", "command was ended by SIGKILL", "137", "\"\""},
    {"printf 'a\\000b\\377\\033[31m\\342\\200\\250'", "success", "", "0",
     "\"a\xef\xbf\xbd" "b\xef\xbf\xbd\\u001b[31m\xe2\x80\xa8\""},
    {"rm -rf /", "error", "command not in allowed list or scripts directory", "", ""},
    {"", "error", "command not in allowed list or scripts directory", "", ""},
    {"absent", "error", "the program /nowhere/at/all is not on this machine", "", ""},
};

/* The value as it stands in the text of the answer: cJSON would print numbers anew. */
static const char *raw_output(const char *text, apr_pool_t *pool)
{
    const char *from = strstr(text, "\"output\":");
    const char *end = from ? strstr(from, ",\"truncated\"") : NULL;

    if (!from) {
        return "";
    }
    end = end ? end : strstr(from, ",\"id\":");
    return apr_pstrmemdup(pool, from + 9, (size_t)(end - from - 9));
}

static const char *run_raw(counter_t *counter, const char *command)
{
    apr_pool_t *pool = counter->fixture->pool;
    cJSON *request = sa_json_object(pool);
    sa_link_message_t *message;
    const char *text;
    const char *data;
    size_t length;

    cJSON_AddStringToObject(request, "command", command);
    data = sa_json_print(request, &length, pool);
    counter_ask(counter->client, EXEC, NULL, data, length);
    message = sa_queue_take(counter->client->acks, sa_time_mono() + LIMIT);
    ck_assert_ptr_nonnull(message);
    data = sa_link_message_data(message, &length);
    text = apr_pstrmemdup(pool, data, length);
    sa_link_message_destroy(message);
    return text;
}

static const char *error_of(const cJSON *json)
{
    const char *error = sa_json_text(json, "error");

    return error ? error : "";
}

SA_TEST(every_answer_is_as_the_contract_has_it)
{
    counter_t *counter = open_exec(pool);

    for (size_t i = 0; i < sizeof(goldens) / sizeof(goldens[0]); i++) {
        const golden_t *golden = &goldens[i];
        const char *text = run_raw(counter, golden->command);
        cJSON *json;

        SA_ASSERT_OK(sa_json_parse(&json, text, strlen(text), pool));
        ck_assert_msg(strcmp(sa_json_text(json, "status"), golden->status) == 0, "%s: %s",
                      golden->command, text);
        ck_assert_msg(strcmp(error_of(json), golden->error) == 0, "%s: %s", golden->command, text);
        ck_assert_str_eq(counter_member(json, "exit_code", pool), golden->exit_code);
        ck_assert_str_eq(raw_output(text, pool), golden->output);
        ck_assert_int_eq(strlen(sa_json_text(json, "ts")), 20);
        ck_assert_int_eq(strlen(sa_json_text(json, "id")), 22);
    }
    counter_close(counter);
}

SA_TEST(what_is_answered_is_the_entry_and_not_the_requests_text)
{
    counter_t *counter = open_exec(pool);
    cJSON *json = run(counter, "   echo  hello   world");

    ck_assert_str_eq(sa_json_text(json, "command"), "echo hello world");
    counter_close(counter);
}

SA_TEST(a_program_that_takes_too_long_is_ended_with_all_it_started)
{
    counter_t *counter = open_exec(pool);
    apr_interval_time_t began = sa_time_mono();
    cJSON *json = run(counter, "short");

    SA_ASSERT_IN_TIME(sa_time_mono() - began, apr_time_from_msec(2500));
    ck_assert_str_eq(sa_json_text(json, "error"), "command execution timeout (1s)");
    ck_assert_str_eq(sa_json_text(json, "output"), "x\n");
    ck_assert(cJSON_HasObjectItem(json, "exit_code"));
    counter_wait_audit(counter, 1, "\"outcome\":\"timeout\"");
    counter_close(counter);
}

SA_TEST(output_past_the_limit_is_cut_and_said)
{
    counter_t *counter = open_exec(pool);
    cJSON *json = run(counter, "yes 0123456 | head -c 100000");
    const char *output = sa_json_text(json, "output");
    const char *note = "\n[output truncated: exceeded 64KB limit]";

    ck_assert_int_eq(strlen(output), 65536 + strlen(note));
    ck_assert_str_eq(output + 65536, note);
    ck_assert(cJSON_IsTrue(cJSON_GetObjectItem(json, "truncated")));
    ck_assert_str_eq(counter_member(json, "omitted_bytes", pool), "34464");
    counter_close(counter);
}

SA_TEST(what_the_bus_does_not_take_loses_its_beginning_at_a_character)
{
    counter_t *counter = open_exec(pool);
    const char *text = run_raw(counter, "huge");
    const char *output = raw_output(text, pool);
    size_t length = strlen(output);
    cJSON *json;

    SA_ASSERT_OK(sa_json_parse(&json, text, strlen(text), pool));
    ck_assert_int_lt(strlen(text), 1024 * 1024);
    ck_assert_int_gt(strlen(text), 1024 * 1024 - 8192);
    ck_assert(strncmp(output, "\"\xc3\xa9", 3) == 0 || strncmp(output, "\"\\n\xc3\xa9", 5) == 0);
    ck_assert_str_eq(output + length - 5, "\xc3\xa9\\n\"");
    ck_assert(cJSON_IsTrue(cJSON_GetObjectItem(json, "truncated")));
    ck_assert_int_eq((int)strlen(sa_json_text(json, "output"))
                     + cJSON_GetObjectItem(json, "omitted_bytes")->valueint, 3000000);
    counter_close(counter);
}

SA_TEST(a_child_has_nothing_of_ours)
{
    counter_t *counter = open_exec(pool);
    const char *output = sa_json_text(run(counter, "env"), "output");

    ck_assert_ptr_nonnull(strstr(output, "PATH=" SA_COMMAND_PATH));
    ck_assert_ptr_null(strstr(output, "SA_"));
    ck_assert_ptr_null(strstr(output, "NATS"));
    output = sa_json_text(run(counter, "ls /proc/self/fd"), "output");
    ck_assert_str_eq(output, "0\n1\n2\n3\n");      /* 3 is the directory that ls reads */
    counter_close(counter);
}

/* ---- what does not run ----------------------------------------------------------------- */

static const char *const hostile[] = {
    "{\"command\":\"echo hello world; touch %s\"}",
    "{\"command\":\"echo hello world\\n touch %s\"}",
    "{\"command\":\"echo hello\\tworld\"}", "{\"command\":\"echo hello\xc2\xa0world\"}",
    "{\"command\":\"$(touch %s)\"}", "{\"command\":\"`touch %s`\"}", "{\"command\":\"touch %s\"}",
    "{\"command\":\"echo hello world && touch %s\"}", "{\"command\":\"../canary.sh\"}",
    "{\"command\":\"%s.sh\"}", "{\"command\":\"echo hello world\",\"command\":\"touch %s\"}",
    "{\"command\":\"echo hello world\\u0000; touch %s\"}", "{\"command\":[\"touch\",\"%s\"]}",
    "{\"command\":\"greet\",\"args\":{\"who\":\"-n\"}}",
    "{\"command\":\"greet\",\"args\":{\"who\":\"ok\\nid\"}}",
    "{\"command\":\"greet\",\"args\":{\"who\":\"ok\",\"LD_PRELOAD\":\"%s\"}}",
    "{\"command\":\"greet\"}", "{\"command\":\"greet\",\"args\":{\"who\":1e309}}",
    "{\"command\":\"true\",\"timeout\":-1,\"timeout\":1}",
    "{\"command\":\"true\",\"stream\":\"yes\"}",
    "{\"command\":\"true\",\"args\":{\"a\":\"b\"}}", "{\"command\":42}", "{}", "[]", "\"true\"",
    "{\"command\":\".\"}", "{\"command\":\"..\"}", "{\"command\":\"/\"}",
};

SA_TEST(no_hostile_request_runs_anything_and_each_is_recorded)
{
    counter_t *counter = open_exec(pool);
    const char *canary = apr_pstrcat(pool, counter->fixture->dir, "/canary", NULL);
    int count = (int)(sizeof(hostile) / sizeof(hostile[0]));

    for (int i = 0; i < count; i++) {
        const char *at = strstr(hostile[i], "%s");
        const char *body = hostile[i];
        cJSON *json;

        if (at) {
            body = apr_pstrcat(pool, apr_pstrmemdup(pool, body, (size_t)(at - body)), canary,
                               at + 2, NULL);
        }
        json = counter_answer(counter->client, EXEC, NULL, body);
        ck_assert_msg(json != NULL && sa_json_text(json, "error"), "%s", body);
    }
    ck_assert(!sa_os_file_exists(canary, pool));
    counter_wait_audit(counter, count, "\"refused\"");
    ck_assert_int_eq(counter_count_audit(counter, "\"begin\""), 0);
    counter_close(counter);
}

SA_TEST(what_cannot_be_recorded_does_not_run)
{
    counter_t *counter = open_exec(pool);
    cJSON *json;

    ck_assert_int_eq(apr_dir_make(counter->audit, APR_FPROT_OS_DEFAULT, pool), APR_SUCCESS);
    json = run(counter, "echo hello world");
    ck_assert_str_eq(sa_json_text(json, "error"),
                     "the command cannot be recorded in the audit file");
    fixture_wait_log(counter->fixture, "audit_failed", "audit.log");
    ck_assert_int_eq(apr_dir_remove(counter->audit, pool), APR_SUCCESS);
    json = run(counter, "echo hello world");
    ck_assert_str_eq(sa_json_text(json, "status"), "success");
    fixture_wait_log(counter->fixture, "audit_recovered", "audit.log");
    counter_close(counter);
}

SA_TEST(arguments_are_recorded_and_so_is_who_it_ran_as)
{
    counter_t *counter = open_exec(pool);
    cJSON *json = counter_answer(counter->client, EXEC, "Stone-Age-Requester: alice\n",
                                 "{\"command\":\"greet\",\"args\":{\"who\":\"world\"}}");
    const char *line;

    ck_assert_str_eq(sa_json_text(json, "output"), "world\n");
    line = counter_wait_audit(counter, 1, "\"phase\":\"begin\"");
    ck_assert_ptr_nonnull(strstr(line, "\"what\":\"greet: [\\\"echo\\\",\\\"world\\\"]\""));
    ck_assert_ptr_nonnull(strstr(line, "\"as\":\"user "));
    ck_assert_ptr_nonnull(strstr(line, "Stone-Age-Requester: alice"));
    line = counter_wait_audit(counter, 1, "\"phase\":\"end\"");
    ck_assert_ptr_nonnull(strstr(line, "\"outcome\":\"exit 0\",\"duration_ms\":"));
    counter_close(counter);
}

/* ---- streams ------------------------------------------------------------------------- */

static void ask_stream(counter_t *counter, const char *id, const char *command)
{
    const char *header = apr_psprintf(counter->fixture->pool, "Stone-Age-Request-Id: %s\n", id);
    const char *body = apr_psprintf(counter->fixture->pool, "{\"command\":\"%s\",\"stream\":true}",
                                    command);

    counter_ask(counter->client, EXEC, header, body, strlen(body));
}

SA_TEST(a_stream_comes_as_it_is_made_and_ends_with_nothing)
{
    static const char *const streams[] = {"stdout", "stderr"};
    static const char *const texts[] = {"one\n", "two\n"};
    counter_t *counter = open_exec(pool);
    cJSON *json;

    ask_stream(counter, "s1", "lines");
    for (int i = 0; i < 2; i++) {
        json = counter_take(counter->client);
        ck_assert_str_eq(sa_json_text(json, "status"), "running");
        ck_assert_int_eq(cJSON_GetObjectItem(json, "seq")->valueint, i + 1);
        ck_assert_str_eq(sa_json_text(json, "stream"), streams[i]);
        ck_assert_str_eq(sa_json_text(json, "data"), texts[i]);
        ck_assert_int_eq(strlen(sa_json_text(json, "ts")), 20);
        ck_assert_int_eq(cJSON_GetArraySize(json), 5);
    }
    json = counter_take(counter->client);
    ck_assert_str_eq(sa_json_text(json, "error"), "command exited with code 3");
    ck_assert_int_eq(cJSON_GetObjectItem(json, "exit_code")->valueint, 3);
    ck_assert_int_eq(cJSON_GetObjectItem(json, "seq")->valueint, 2);
    ck_assert_str_eq(sa_json_text(json, "id"), "s1");
    ck_assert(!cJSON_HasObjectItem(json, "output"));
    ck_assert_ptr_null(counter_take(counter->client));
    counter_close(counter);
}

SA_TEST(silence_is_broken_every_five_seconds)
{
    counter_t *counter = open_exec(pool);
    cJSON *json;

    ask_stream(counter, "s1", "quiet");
    json = counter_take(counter->client);
    ck_assert_str_eq(sa_json_text(json, "status"), "running");
    ck_assert_int_eq(cJSON_GetArraySize(json), 3);
    json = counter_take(counter->client);
    ck_assert_str_eq(sa_json_text(json, "status"), "success");
    ck_assert_ptr_null(counter_take(counter->client));
    counter_close(counter);
}

SA_TEST(a_streams_own_limit_is_kept_and_said)
{
    counter_t *counter = open_exec(pool);
    size_t length = 0;
    const char *last = "";
    cJSON *json;

    ask_stream(counter, "s1", "limited");
    json = counter_take(counter->client);
    while (strcmp(sa_json_text(json, "status"), "running") == 0) {
        last = sa_json_text(json, "data");
        length += strlen(last);
        json = counter_take(counter->client);
    }
    ck_assert_str_eq(last, "\n[output truncated: exceeded 4KB limit]");
    ck_assert_int_eq(length, 4096 + strlen(last));
    ck_assert_str_eq(sa_json_text(json, "status"), "success");
    counter_close(counter);
}

SA_TEST(a_stream_that_is_refused_ends_with_nothing_as_well)
{
    counter_t *counter = open_exec(pool);

    ask_stream(counter, "s1", "rm -rf /");
    ck_assert_str_eq(sa_json_text(counter_take(counter->client), "status"), "error");
    ck_assert_ptr_null(counter_take(counter->client));
    ask_stream(counter, "s2", "true");
    ck_assert_str_eq(sa_json_text(counter_take(counter->client), "status"), "success");
    ck_assert_ptr_null(counter_take(counter->client));
    /* refused before it was read: the same id again */
    ask_stream(counter, "s2", "true");
    ck_assert_str_eq(sa_json_text(counter_take(counter->client), "status"), "error");
    ck_assert_ptr_null(counter_take(counter->client));
    counter_close(counter);
}

SA_TEST(a_requester_that_is_gone_ends_the_program)
{
    counter_t *counter = open_exec(pool);
    fixture_t *other = counter_join(counter);
    const char *body = "{\"command\":\"sleep 600\",\"stream\":true}";

    counter_ask(other, EXEC, "Stone-Age-Request-Id: gone\n", body, strlen(body));
    counter_wait_audit(counter, 1, "\"begin\"");
    fixture_leave(other);
    counter_wait_audit(counter, 1, "nobody listens to the answers");
    fixture_wait_log(counter->fixture, "command_stopped", "gone");
    counter_close(counter);
}

SA_TEST_MAIN("command_exec", every_answer_is_as_the_contract_has_it,
             what_is_answered_is_the_entry_and_not_the_requests_text,
             a_program_that_takes_too_long_is_ended_with_all_it_started,
             output_past_the_limit_is_cut_and_said,
             what_the_bus_does_not_take_loses_its_beginning_at_a_character,
             a_child_has_nothing_of_ours, no_hostile_request_runs_anything_and_each_is_recorded,
             what_cannot_be_recorded_does_not_run,
             arguments_are_recorded_and_so_is_who_it_ran_as,
             a_stream_comes_as_it_is_made_and_ends_with_nothing,
             silence_is_broken_every_five_seconds, a_streams_own_limit_is_kept_and_said,
             a_stream_that_is_refused_ends_with_nothing_as_well,
             a_requester_that_is_gone_ends_the_program)
