/* command: what somebody may try who is allowed to publish requests, and nothing else. */
#include "test_command_fixture.h"

#include <unistd.h>

#include <apr_atomic.h>
#include <apr_strings.h>
#include <nats/nats.h>

#include "../../src/link/sa_link_private.h"
#include "sa_link.h"
#include "sa_time.h"

static volatile apr_uint32_t ran;

/* ---- a flood of pings ------------------------------------------------------------------- */

#define ROUNDS_MAX 20000

static volatile apr_uint32_t rounds;
static volatile apr_uint32_t rounds_before;
static volatile apr_uint32_t all_given;

static sa_link_message_t *make_message(const char *subject)
{
    natsMsg *message = NULL;

    ck_assert_int_eq(natsMsg_Create(&message, subject, NULL, NULL, 0), NATS_OK);
    return (sa_link_message_t *)message;
}

/* A ping behind which the next one waits already. */
static sa_error_t *ping_on(sa_call_t *call)
{
    sa_link_message_t *next = make_message("agents.t1.cmd.ping");
    apr_uint32_t before = apr_atomic_inc32(&rounds);

    while (!apr_atomic_read32(&all_given)) {
        apr_sleep(1000);
    }
    if (before >= ROUNDS_MAX || apr_atomic_read32(&ran) > 0
        || !sa_queue_give(call->commands->urgent, &next)) {
        sa_link_message_destroy(next);
    }
    return SA_OK;
}

static sa_error_t *canary(sa_call_t *call)
{
    (void)call;
    if (apr_atomic_inc32(&ran) == 0) {
        apr_atomic_set32(&rounds_before, apr_atomic_read32(&rounds));
    }
    return SA_OK;
}

static const sa_command_row_t rows[] = {
    {.name = "ping", .run = ping_on,
     .flags = SA_COMMAND_QUICK | SA_COMMAND_ANY_BODY | SA_COMMAND_UNCOUNTED, .doc = ""},
    {.name = "canary", .run = canary, .flags = SA_COMMAND_QUICK, .doc = ""},
};

static bool is_in_ping(void *baton)
{
    (void)baton;
    return apr_atomic_read32(&rounds) > 0;
}

static bool has_run(void *baton)
{
    (void)baton;
    return apr_atomic_read32(&ran) > 0;
}

SA_TEST(pings_that_never_end_hold_nobody_else_up)
{
    counter_t *counter = counter_open("", rows, 2, pool);
    sa_link_message_t *ping = make_message("agents.t1.cmd.ping");
    sa_link_message_t *other = make_message("agents.t1.cmd.canary");

    apr_atomic_set32(&ran, 0);
    apr_atomic_set32(&rounds, 0);
    apr_atomic_set32(&all_given, 0);
    ck_assert(sa_queue_give(counter->commands->urgent, &ping));
    sa_queue_wake(counter->commands->inbox);
    ck_assert(sa_test_wait(is_in_ping, NULL, apr_time_from_sec(10)));
    ck_assert(sa_queue_give(counter->commands->inbox, &other));
    apr_atomic_set32(&all_given, 1);
    ck_assert(sa_test_wait(has_run, NULL, apr_time_from_sec(10)));
    ck_assert_uint_lt(apr_atomic_read32(&rounds_before), 100);
    counter_close(counter);
}

/* ---- the reply subject ------------------------------------------------------------------- */

/* Whoever sees a report on the bus sees the inbox that its acknowledgement is to go to. */
SA_TEST(no_answer_goes_to_our_own_inbox_where_it_would_pass_for_an_acknowledgement)
{
    counter_t *counter = counter_open("commands: {allowed_commands: [\"echo x\"]}\n", NULL, 0,
                                      pool);
    const char *reply = apr_psprintf(pool, "%s.%d", counter->fixture->link->inbox, 42);
    natsConnection *connection = NULL;

    ck_assert_int_eq(natsConnection_ConnectTo(&connection, sa_test_server_url(counter->server)),
                     NATS_OK);
    natsConnection_PublishRequestString(connection, "agents.t1.cmd.exec", reply,
                                        "{\"command\":\"echo x\",\"stream\":true}");
    natsConnection_PublishRequestString(connection, "agents.t1.cmd.ping", reply, "");
    natsConnection_Flush(connection);
    counter_wait_audit(counter, 1, "the reply subject is no inbox");
    fixture_wait_log(counter->fixture, "reply_refused", reply);
    ck_assert_int_eq(counter_count_audit(counter, "\"begin\""), 0);
    ck_assert_ptr_null(fixture_take(counter->fixture->acks));
    natsConnection_Destroy(connection);
    counter_close(counter);
}

/* ---- what is told ------------------------------------------------------------------------ */

static cJSON *ask_log(counter_t *counter, const char *path)
{
    return counter_answer(counter->client, "agents.t1.cmd.logs", NULL,
                          apr_psprintf(counter->fixture->pool, "{\"log_path\":\"%s\"}", path));
}

SA_TEST(health_does_not_tell_where_a_link_led)
{
    char directory[] = "/tmp/sa-test-tricks-XXXXXX";
    const char *link;
    counter_t *counter;
    cJSON *json;

    ck_assert_ptr_nonnull(mkdtemp(directory));
    link = apr_pstrcat(pool, directory, "/x.log", NULL);
    ck_assert_int_eq(symlink("/etc/passwd", link), 0);
    counter = counter_open(apr_pstrcat(pool, "commands: {allowed_log_paths: [\"", directory,
                                       "/*.log\"]}\n", NULL), NULL, 0, pool);
    json = ask_log(counter, link);
    ck_assert_ptr_nonnull(strstr(sa_json_text(json, "error"), "not in allowed list"));
    json = counter_answer(counter->client, "agents.t1.cmd.health", NULL, "");
    ck_assert_ptr_nonnull(strstr(sa_json_print(json, NULL, pool), "not in allowed list"));
    ck_assert_ptr_null(strstr(sa_json_print(json, NULL, pool), "/etc/passwd"));
    /* our own log may have it */
    fixture_wait_log(counter->fixture, "command_refused", "/etc/passwd");
    counter_close(counter);
    unlink(link);
    rmdir(directory);
}

SA_TEST(hostile_53_the_files_that_hold_our_secrets_are_no_logs_wherever_they_lie)
{
    char directory[] = "/tmp/sa-test-tricks-XXXXXX";
    const char *path;
    counter_t *counter;
    cJSON *json;

    ck_assert_ptr_nonnull(mkdtemp(directory));
    path = sa_test_file(directory, "bearer.log", "secret", 0600, pool);
    counter = counter_open(apr_psprintf(pool, "commands: {allowed_log_paths: [\"%s/*.log\"]}\n"
                                        "tasks: {exporters: [{name: m, url: 'https://h',"
                                        " bearer_file: \"%s\"}]}\n", directory, path),
                           NULL, 0, pool);
    json = ask_log(counter, path);
    ck_assert_ptr_nonnull(strstr(sa_json_text(json, "error"), "is the agent's own"));
    counter_close(counter);
    unlink(path);
    rmdir(directory);
}

SA_TEST(hostile_14_a_member_that_comes_twice_is_refused_by_all_commands)
{
    static const struct { const char *command; const char *body; } rows_[] = {
        {"logs", "{\"log_path\":\"/var/log/a.log\",\"log_path\":\"/etc/shadow\"}"},
        {"logs", "{\"log_path\":\"/var/log/a.log\",\"LOG_PATH\":\"/etc/shadow\"}"},
        {"service", "{\"action\":\"status\",\"service_name\":\"nginx\",\"action\":\"stop\"}"},
        {"service", "{\"action\":\"status\",\"service_name\":\"nginx\",\"Service_Name\":\"x\"}"},
        {"cancel", "{\"id\":\"a\",\"id\":\"b\"}"},
        {"exec", "{\"command\":\"a\",\"stream\":true,\"Stream\":false}"},
    };
    counter_t *counter = counter_open("commands: {allowed_services: [nginx],"
                                      " allowed_log_paths: [\"/var/log/a.log\"]}\n", NULL, 0, pool);

    for (size_t i = 0; i < sizeof(rows_) / sizeof(rows_[0]); i++) {
        const char *subject = apr_pstrcat(pool, "agents.t1.cmd.", rows_[i].command, NULL);
        cJSON *json = counter_answer(counter->client, subject, NULL, rows_[i].body);

        ck_assert_str_eq(sa_json_text(json, "error"), "the request has a member twice");
        counter_wait_audit(counter, (int)i + 1, "the request has a member twice");
    }
    ck_assert_int_eq(counter_count_audit(counter, "\"begin\""), 0);
    counter_close(counter);
}

/* ---- time ---------------------------------------------------------------------------------- */

/* Until it is told to end. */
static sa_error_t *hold(sa_call_t *call)
{
    apr_atomic_inc32(&rounds);
    while (!sa_os_is_cancelled(call->cancel)) {
        apr_sleep(1000);
    }
    return sa_command__stop_error(call);
}

static const sa_command_row_t slow_rows[] = {
    {.name = "hold", .run = hold, .doc = ""},
    {.name = "canary", .run = canary, .doc = ""},
    {.name = "cancel", .run = sa_command__cancel, .flags = SA_COMMAND_QUICK, .doc = ""},
};

static bool is_past(void *baton)
{
    return sa_time_now() >= *(apr_time_t *)baton;
}

/* The one on the envelope, and the one in it. */
SA_TEST(hostile_39_of_two_times_of_expiry_the_earlier_counts)
{
    counter_t *counter = counter_open("commands: {workers: 1}\n", slow_rows, 3, pool);
    apr_time_t soon = (apr_time_sec(sa_time_now()) + 2) * APR_USEC_PER_SEC;
    char text[SA_TIME_TEXT];
    int expired = 0;

    apr_atomic_set32(&ran, 0);
    apr_atomic_set32(&rounds, 0);
    counter_ask(counter->client, "agents.t1.cmd.hold", "Stone-Age-Request-Id: h\n", "", 0);
    ck_assert(sa_test_wait(is_in_ping, NULL, apr_time_from_sec(10)));
    counter_ask(counter->client, "agents.t1.cmd.canary",
                apr_psprintf(pool, "Stone-Age-Expires: %s\n", sa_time_format(text, soon)),
                "{\"expires\":\"2099-01-01T00:00:00Z\"}", 34);
    ck_assert(sa_test_wait(is_past, &soon, apr_time_from_sec(10)));
    counter_ask(counter->client, "agents.t1.cmd.cancel", NULL, "{\"id\":\"h\"}", 10);
    for (int i = 0; i < 3; i++) {       /* of all three requests, as they come */
        expired += strstr(sa_json_print(counter_take(counter->client), NULL, pool),
                          "the request expired at") != NULL;
    }
    ck_assert_int_eq(expired, 1);
    ck_assert_int_eq(apr_atomic_read32(&ran), 0);
    counter_close(counter);
}

/* ---- reload ---------------------------------------------------------------------------------- */

SA_TEST(what_runs_goes_on_when_a_reload_forbids_it_and_what_comes_is_refused)
{
    counter_t *counter = counter_open("commands: {allowed_commands: [\"sleep 60\"]}\n", NULL, 0,
                                      pool);
    sa_config_t *stricter = fixture_config_for(counter->client, sa_test_server_url(counter->server),
                                               apr_psprintf(pool, "paths: {state: \"%s\"}\n",
                                                            counter->fixture->dir));
    cJSON *json;

    counter_ask(counter->client, "agents.t1.cmd.exec", "Stone-Age-Request-Id: first\n",
                "{\"command\":\"sleep 60\"}", 22);
    counter_wait_audit(counter, 1, "\"begin\"");
    sa_commands_reload(counter->commands, stricter);
    json = counter_answer(counter->client, "agents.t1.cmd.exec", NULL,
                          "{\"command\":\"sleep 60\"}");
    ck_assert_str_eq(sa_json_text(json, "error"),
                     "command not in allowed list or scripts directory");
    json = counter_answer(counter->client, "agents.t1.cmd.cancel", NULL, "{\"id\":\"first\"}");
    if (!sa_json_text(json, "was")) {
        json = counter_take(counter->client);       /* the first one's own answer came first */
    }
    ck_assert_str_eq(sa_json_text(json, "was"), "running");
    counter_wait_audit(counter, 1, "\"outcome\":\"cancelled");
    counter_close(counter);
}

SA_TEST_MAIN("command_tricks", pings_that_never_end_hold_nobody_else_up,
             no_answer_goes_to_our_own_inbox_where_it_would_pass_for_an_acknowledgement,
             health_does_not_tell_where_a_link_led,
             hostile_53_the_files_that_hold_our_secrets_are_no_logs_wherever_they_lie,
             hostile_14_a_member_that_comes_twice_is_refused_by_all_commands,
             hostile_39_of_two_times_of_expiry_the_earlier_counts,
             what_runs_goes_on_when_a_reload_forbids_it_and_what_comes_is_refused)
