/* command: requests and answers over a real nats-server. */
#include "../../src/command/sa_command_private.h"

#include <apr_strings.h>

#include "sa_stats.h"
#include "sa_time.h"
#include "test_command_fixture.h"

/* ---- a table with slow commands ------------------------------------------- */

static sa_os_mutex_t *gate_mutex;
static sa_os_cond_t *gate_cond;
static bool gate_open;
static int at_work;

static sa_error_t *wait_at_gate(sa_call_t *call)
{
    sa_os_mutex_lock(gate_mutex);
    at_work++;
    while (!gate_open) {
        sa_os_cond_wait(gate_cond, gate_mutex, SA_OS_NEVER);
    }
    sa_os_mutex_unlock(gate_mutex);
    cJSON_AddStringToObject(call->reply, "status", "success");
    return SA_OK;
}

static sa_error_t *echo(sa_call_t *call)
{
    const char *text = sa_json_text(call->request, "text");

    if (!text) {
        return sa_error(SA_ERR_REQUEST_FORMAT, NULL, "text is missing");
    }
    cJSON_AddStringToObject(call->reply, "text", text);
    return SA_OK;
}

static const sa_command_row_t slow_table[] = {
    {.name = "ping", .run = sa_command__ping,
     .flags = SA_COMMAND_QUICK | SA_COMMAND_ANY_BODY | SA_COMMAND_UNCOUNTED, .doc = ""},
    {.name = "gate", .run = wait_at_gate, .doc = ""},
    {.name = "echo", .run = echo, .flags = SA_COMMAND_QUICK, .doc = ""},
};

static void set_gate(bool open)
{
    sa_os_mutex_lock(gate_mutex);
    gate_open = open;
    sa_os_cond_broadcast(gate_cond);
    sa_os_mutex_unlock(gate_mutex);
}

/* ---- the counter ---------------------------------------------------------- */

static counter_t *open_counter(const char *more, bool slow, apr_pool_t *pool)
{
    gate_mutex = sa_os_mutex_create(pool);
    gate_cond = sa_os_cond_create(pool);
    return counter_open(more, slow ? slow_table : NULL,
                        (int)(sizeof(slow_table) / sizeof(slow_table[0])), pool);
}

static void ask(counter_t *counter, const char *subject, const char *body, size_t length)
{
    counter_ask(counter->client, subject, NULL, body, length);
}

static cJSON *take_answer(counter_t *counter)
{
    return counter_take(counter->client);
}

static cJSON *answer(counter_t *counter, const char *subject, const char *body)
{
    return counter_answer(counter->client, subject, NULL, body);
}

SA_TEST(ping_answers_whatever_the_body)
{
    static const char *const bodies[] = {"", "{}", "not json", "[1,2", "\xff\xfe"};
    counter_t *counter = open_counter("", false, pool);

    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        cJSON *json = answer(counter, "agents.t1.cmd.ping", bodies[i]);

        ck_assert_str_eq(sa_json_text(json, "status"), "pong");
        ck_assert_int_eq(strlen(sa_json_text(json, "ts")), 20);
        ck_assert_int_eq(cJSON_GetArraySize(json), 2);
    }
    counter_close(counter);
}

SA_TEST(health_has_every_group_of_the_contract)
{
    static const char *const paths[][2] = {
        {"agent", "memory_usage_mb"}, {"agent", "goroutines"}, {"agent", "uptime_seconds"},
        {"agent", "commands_processed"}, {"agent", "commands_errored"}, {"nats", "connected"},
        {"nats", "server_url"}, {"nats", "server_id"}, {"nats", "reconnects"}, {"nats", "in_msgs"},
        {"nats", "out_msgs"}, {"nats", "in_bytes"}, {"nats", "out_bytes"},
        {"tasks", "heartbeat_count"}, {"tasks", "metrics_count"}, {"tasks", "metrics_failures"},
        {"config", "code"}, {"config", "location"}, {"config", "subject_prefix"},
        {"config", "version"}, {"config", "enabled_tasks"}, {"config", "allowed_commands"},
        {"config", "allowed_services"}, {"config", "allowed_log_paths"}, {"os", "platform"},
        {"os", "name"}, {"os", "version"}, {"os", "build"},
    };
    counter_t *counter = open_counter("", false, pool);
    cJSON *json = answer(counter, "agents.t1.cmd.health", "");

    ck_assert_str_eq(sa_json_text(json, "status"), "healthy");
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        cJSON *group = cJSON_GetObjectItem(json, paths[i][0]);

        ck_assert_msg(cJSON_HasObjectItem(group, paths[i][1]), "%s.%s", paths[i][0], paths[i][1]);
    }
    ck_assert_ptr_null(strchr(sa_json_text(cJSON_GetObjectItem(json, "nats"), "server_url"), '@'));
    counter_close(counter);
}

SA_TEST(health_tells_how_delivery_goes)
{
    static const struct {
        const char *name;
        sa_stat_t stat;
    } rows[] = {
        {"accepted", SA_STAT_reports_accepted}, {"stored", SA_STAT_reports_stored},
        {"sent", SA_STAT_reports_sent}, {"duplicate", SA_STAT_reports_duplicate},
        {"refused", SA_STAT_reports_refused}, {"dropped", SA_STAT_reports_dropped},
        {"quarantined", SA_STAT_reports_quarantined}, {"waiting", SA_STAT_spool_reports},
        {"waiting_bytes", SA_STAT_spool_bytes}, {"doubtful", SA_STAT_reports_doubtful},
        {"found", SA_STAT_reports_found}, {"unchecked", SA_STAT_reports_unchecked},
    };
    counter_t *counter = open_counter("", false, pool);
    cJSON *group = cJSON_GetObjectItem(answer(counter, "agents.t1.cmd.health", ""), "delivery");

    ck_assert(!cJSON_HasObjectItem(group, "oldest"));
    ck_assert(!cJSON_HasObjectItem(group, "oldest_age_seconds"));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_stats_set(rows[i].stat, 1000 + i);
    }
    sa_stats_set(SA_STAT_spool_oldest_at, (apr_uint64_t)(sa_time_now() - apr_time_from_sec(90)));
    sa_stats_set(SA_STAT_started_at, (apr_uint64_t)(sa_time_mono() - apr_time_from_sec(1)));
    sa_stats_add(SA_STAT_reports_stored, 1);
    group = cJSON_GetObjectItem(answer(counter, "agents.t1.cmd.health", ""), "delivery");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_msg(cJSON_GetObjectItem(group, rows[i].name)->valueint
                          == 1000 + (int)i + (rows[i].stat == SA_STAT_reports_stored),
                      "%s", rows[i].name);
    }
    ck_assert_int_ge(cJSON_GetObjectItem(group, "oldest_age_seconds")->valueint, 90);
    ck_assert_int_lt(cJSON_GetObjectItem(group, "oldest_age_seconds")->valueint, 200);
    ck_assert(cJSON_GetObjectItem(group, "stored_per_second")->valuedouble > 0.0);
    ck_assert(cJSON_GetObjectItem(group, "accepted_per_second")->valuedouble < 0.001);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_stats_set(rows[i].stat, 0);
    }
    sa_stats_set(SA_STAT_spool_oldest_at, 0);
    counter_close(counter);
}

SA_TEST(an_unknown_command_is_answered)
{
    counter_t *counter = open_counter("", false, pool);
    cJSON *json = answer(counter, "agents.t1.cmd.reboot", "");

    ck_assert_str_eq(sa_json_text(json, "status"), "error");
    ck_assert_str_eq(sa_json_text(json, "error"), "unknown command: reboot");
    counter_close(counter);
}

SA_TEST(a_bad_body_gets_the_contracts_words)
{
    static const char *const bad[] = {"{", "[]", "42", "{\"text\":\"x\"} trailing", "null"};
    counter_t *counter = open_counter("", true, pool);

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_str_eq(sa_json_text(answer(counter, "agents.t1.cmd.echo", bad[i]), "error"),
                         "Invalid request format");
    }
    ck_assert_str_eq(sa_json_text(answer(counter, "agents.t1.cmd.echo", "{\"TEXT\":\"x\"}"),
                                  "text"), "x");
    ck_assert_str_eq(sa_json_text(answer(counter, "agents.t1.cmd.echo", ""), "error"),
                     "text is missing");
    counter_close(counter);
}

SA_TEST(a_request_too_large_is_refused_unread)
{
    counter_t *counter = open_counter("", true, pool);
    size_t length = SA_REQUEST_LIMIT + 1;
    char *body = apr_palloc(pool, length);
    const char *text;

    memset(body, ' ', length);
    ask(counter, "agents.t1.cmd.echo", body, length);
    text = sa_json_text(take_answer(counter), "error");
    ck_assert_str_eq(text, "a request of 65537 bytes; the limit is 65536");
    counter_close(counter);
}

SA_TEST(one_requester_holds_half_of_the_room_and_ping_answers_all_the_same)
{
    counter_t *counter = open_counter("commands: {workers: 2, queue: 4}\n", true, pool);
    fixture_t *other = counter_join(counter);
    int busy = 0;
    int done = 0;

    gate_open = false;
    at_work = 0;
    for (int i = 0; i < 8; i++) {
        ask(counter, "agents.t1.cmd.gate", "", 0);
    }
    /* one at work, two waiting, the others are told at once */
    for (int i = 0; i < 5; i++) {
        busy += strcmp(sa_json_text(take_answer(counter), "error"), "busy") == 0;
    }
    ck_assert_int_eq(busy, 5);
    for (int i = 0; i < 4; i++) {
        counter_ask(other, "agents.t1.cmd.gate", NULL, "", 0);
    }
    ck_assert_str_eq(sa_json_text(counter_take(other), "error"), "busy");
    ck_assert_str_eq(sa_json_text(answer(counter, "agents.t1.cmd.ping", ""), "status"), "pong");
    set_gate(true);
    for (int i = 0; i < 3; i++) {
        done += strcmp(sa_json_text(take_answer(counter), "status"), "success") == 0;
        done += strcmp(sa_json_text(counter_take(other), "status"), "success") == 0;
    }
    ck_assert_int_eq(done, 6);
    ck_assert_int_eq(at_work, 6);
    ck_assert_int_eq(counter->commands->worker_count, 2);
    fixture_leave(other);
    counter_close(counter);
}

SA_TEST(a_reply_goes_only_where_a_requester_may_ask_for_it)
{
    static const struct { const char *subject; bool allowed; } rows[] = {
        {"_INBOX.abc", true}, {"_INBOX.abc.1", true}, {"my.replies.x", true}, {"_INBOX.", false},
        {"_INBOX", false}, {"", false}, {"$JS.API.STREAM.DELETE.X", false},
        {"agents.other.cmd.exec", false}, {">", false}, {"_INBOX.>", false}, {"_INBOX.*", false},
        {"_INBOX.a b", false}, {"_INBOX.a\tb", false}, {"_INBOX.a\r\nPUB x 1", false},
        {"_INBOX..a", false}, {"_INBOX.a.", false}, {"._INBOX.a", false}, {"x_INBOX.a", false},
        {"_inbox.a", false}, {"_INBOX.\x7f", false}, {"my.repliesx", true},
    };
    apr_array_header_t *prefixes = apr_array_make(pool, 2, sizeof(const char *));
    char *longer = apr_palloc(pool, 4097);

    APR_ARRAY_PUSH(prefixes, const char *) = "_INBOX.";
    APR_ARRAY_PUSH(prefixes, const char *) = "my.replies";
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_msg(sa_command__is_reply_allowed(rows[i].subject, prefixes) == rows[i].allowed,
                      "\"%s\"", rows[i].subject);
    }
    memset(longer, 'a', 4096);
    memcpy(longer, "_INBOX.", 7);
    longer[4096] = '\0';
    ck_assert(!sa_command__is_reply_allowed(longer, prefixes));
}

SA_TEST(the_micro_service_is_found_by_name_and_by_id)
{
    counter_t *counter = open_counter("", false, pool);
    cJSON *json = answer(counter, "$SRV.PING", "");
    const char *id = sa_json_text(json, "id");

    ck_assert_str_eq(sa_json_text(json, "type"), "io.nats.micro.v1.ping_response");
    ck_assert_str_eq(sa_json_text(json, "name"), "stone-agent");
    ck_assert_str_eq(sa_json_text(cJSON_GetObjectItem(json, "metadata"), "code"), "t1");
    json = answer(counter, "$SRV.INFO.stone-agent", "");
    ck_assert_str_eq(sa_json_text(json, "type"), "io.nats.micro.v1.info_response");
    ck_assert_str_eq(sa_json_text(cJSON_GetArrayItem(cJSON_GetObjectItem(json, "endpoints"), 0),
                                  "subject"), "agents.t1.cmd.ping");
    (void)answer(counter, "agents.t1.cmd.ping", "");
    json = answer(counter, apr_pstrcat(pool, "$SRV.STATS.stone-agent.", id, NULL), "");
    ck_assert_str_eq(sa_json_text(json, "type"), "io.nats.micro.v1.stats_response");
    json = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "endpoints"), 0);
    ck_assert_int_eq(cJSON_GetObjectItem(json, "num_requests")->valueint, 1);
    ck_assert_int_eq(cJSON_GetObjectItem(json, "num_errors")->valueint, 0);
    counter_close(counter);
}

SA_TEST(new_settings_are_used_by_the_next_answer)
{
    counter_t *counter = open_counter("", false, pool);
    sa_config_t *config = fixture_config_for(counter->fixture, sa_test_server_url(counter->server),
                                             "location: cellar\n");
    cJSON *json;

    sa_commands_reload(counter->commands, config);
    json = answer(counter, "agents.t1.cmd.health", "");
    ck_assert_str_eq(sa_json_text(cJSON_GetObjectItem(json, "config"), "location"), "cellar");
    counter_close(counter);
}

SA_TEST_MAIN("command", ping_answers_whatever_the_body, health_has_every_group_of_the_contract,
             health_tells_how_delivery_goes, an_unknown_command_is_answered,
             a_bad_body_gets_the_contracts_words,
             a_request_too_large_is_refused_unread,
             one_requester_holds_half_of_the_room_and_ping_answers_all_the_same,
             a_reply_goes_only_where_a_requester_may_ask_for_it,
             the_micro_service_is_found_by_name_and_by_id,
             new_settings_are_used_by_the_next_answer)
