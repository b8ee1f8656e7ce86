/* command: ids, times, who asks, lanes, cancelling, and the audit file's side of it. */
#include "test_command_fixture.h"

#include <apr_atomic.h>
#include <apr_strings.h>
#include <nats/nats.h>

#include "sa_time.h"

static volatile apr_uint32_t ran;

static sa_error_t *canary(sa_call_t *call)
{
    apr_atomic_inc32(&ran);
    cJSON_AddStringToObject(call->reply, "status", "success");
    return SA_OK;
}

/* Until it is told to end. */
static sa_error_t *wait_for_end(sa_call_t *call)
{
    SA_TRY(sa_command__begin(call, "waiting", "nobody"));
    apr_atomic_inc32(&ran);
    while (!sa_os_is_cancelled(call->cancel)) {
        apr_sleep(1000);
    }
    return sa_command__stop_error(call);
}

static const sa_command_row_t rows[] = {
    {.name = "ping", .run = sa_command__ping,
     .flags = SA_COMMAND_QUICK | SA_COMMAND_ANY_BODY | SA_COMMAND_UNCOUNTED, .doc = ""},
    {.name = "canary", .run = canary, .flags = SA_COMMAND_STREAMS, .told = {"what", "more"},
     .doc = ""},
    {.name = "wait", .run = wait_for_end, .flags = SA_COMMAND_STREAMS | SA_COMMAND_BEGINS,
     .doc = ""},
    {.name = "cancel", .run = sa_command__cancel, .flags = SA_COMMAND_QUICK, .doc = ""},
};

static counter_t *open_rows(const char *more, apr_pool_t *pool)
{
    apr_atomic_set32(&ran, 0);
    return counter_open(more, rows, (int)(sizeof(rows) / sizeof(rows[0])), pool);
}

/* ---- ids -------------------------------------------------------------------------- */

SA_TEST(an_id_comes_back_in_the_answer_the_log_and_the_audit_file)
{
    static const char *const headers[] = {"Stone-Age-Request-Id: r-1\n", "Nats-Msg-Id: m-1\n"};
    static const char *const ids[] = {"r-1", "m-1"};
    counter_t *counter = open_rows("", pool);
    cJSON *json;

    for (int i = 0; i < 2; i++) {
        json = counter_answer(counter->client, "agents.t1.cmd.canary", headers[i],
                              "{\"what\":\"this\",\"more\":\"and that\"}");
        ck_assert_str_eq(sa_json_text(json, "id"), ids[i]);
        ck_assert_str_eq(sa_json_text(json, "status"), "success");
        counter_wait_audit(counter, 2, ids[i]);
        fixture_wait_log(counter->fixture, "command_done", ids[i]);
    }
    ck_assert_int_eq(counter_count_audit(counter, "\"what\":\"this and that\""), 4);
    json = counter_answer(counter->client, "agents.t1.cmd.canary", NULL, "{}");
    ck_assert_int_eq(strlen(sa_json_text(json, "id")), 22);
    counter_wait_audit(counter, 2, sa_json_text(json, "id"));
    counter_close(counter);
}

/* "" for none. */
static const char *id_header_of(counter_t *counter, const char *headers, const char *body)
{
    sa_link_message_t *message;
    const char *value;

    counter_ask(counter->client, "agents.t1.cmd.canary", headers, body, strlen(body));
    message = sa_queue_take(counter->client->acks, sa_time_mono() + apr_time_from_sec(10));
    ck_assert_ptr_nonnull(message);
    value = sa_link_message_header(message, "Stone-Age-Request-Id");
    value = apr_pstrdup(counter->fixture->pool, value ? value : "");
    sa_link_message_destroy(message);
    return value;
}

SA_TEST(an_id_of_the_requesters_is_also_a_header_of_the_answer)
{
    counter_t *counter = open_rows("", pool);

    ck_assert_str_eq(id_header_of(counter, "Stone-Age-Request-Id: r-1\n", ""), "r-1");
    ck_assert_str_eq(id_header_of(counter, "Nats-Msg-Id: m-1\n", ""), "m-1");
    ck_assert_str_eq(id_header_of(counter, "Stone-Age-Request-Id: r-2\n", "no json"), "r-2");
    ck_assert_str_eq(id_header_of(counter, NULL, ""), "");
    counter_close(counter);
}

SA_TEST(a_request_that_comes_twice_runs_once)
{
    counter_t *counter = open_rows("", pool);
    const char *header = "Stone-Age-Request-Id: twice\n";
    cJSON *json = counter_answer(counter->client, "agents.t1.cmd.canary", header, "");

    ck_assert_str_eq(sa_json_text(json, "status"), "success");
    json = counter_answer(counter->client, "agents.t1.cmd.canary", header, "");
    ck_assert_str_eq(sa_json_text(json, "error"),
                     "a request with the id twice came before; it runs once");
    ck_assert_int_eq(apr_atomic_read32(&ran), 1);
    ck_assert_ptr_nonnull(strstr(counter_wait_audit(counter, 1, "\"refused\""), "came before"));
    counter_close(counter);
}

SA_TEST(ids_are_remembered_for_ten_minutes_and_the_table_is_bounded)
{
    sa_command__ids_t *ids = sa_command__ids_create(pool);

    for (int i = 0; i < 5000; i++) {
        sa_command__ids_add(ids, apr_psprintf(pool, "id-%d", i));
    }
    ck_assert(sa_command__ids_has(ids, "id-4999"));
    ck_assert(sa_command__ids_has(ids, "id-904"));
    ck_assert(!sa_command__ids_has(ids, "id-903"));
    ck_assert(!sa_command__ids_has(ids, "id-5000"));
}

SA_TEST(what_is_no_id_is_refused_and_runs_nothing)
{
    counter_t *counter = open_rows("", pool);
    char longer[SA_CALL_ID_MAX + 2];
    const char *bad[] = {"a b", "caf\xc3\xa9", "\xff", longer, "a\tb"};

    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char *header = apr_psprintf(pool, "Stone-Age-Request-Id: %s\n", bad[i]);
        cJSON *json = counter_answer(counter->client, "agents.t1.cmd.canary", header, "");

        ck_assert_str_eq(sa_json_text(json, "error"),
                         "a request id must be 1 to 64 printable characters without blanks");
    }
    ck_assert_int_eq(apr_atomic_read32(&ran), 0);
    counter_wait_audit(counter, 5, "\"refused\"");
    counter_close(counter);
}

/* ---- times, headers, replies -------------------------------------------------------- */

SA_TEST(an_expired_request_is_refused_and_runs_nothing)
{
    static const struct { const char *header; const char *body; const char *error; } cases[] = {
        {"Stone-Age-Expires: 2020-01-01T00:00:00Z\n", "",
         "the request expired at 2020-01-01T00:00:00Z"},
        {NULL, "{\"expires\":\"2020-01-01T00:00:00+01:00\"}",
         "the request expired at 2019-12-31T23:00:00Z"},
        {"Stone-Age-Expires: 1h\n", "",
         "the time of expiry must be one such as 2026-11-24T03:04:05Z"},
        {NULL, "{\"expires\":\"tomorrow\"}",
         "the time of expiry must be one such as 2026-11-24T03:04:05Z"},
        {NULL, "{\"expires\":1}",
         "the time of expiry must be one such as 2026-11-24T03:04:05Z"},
    };
    counter_t *counter = open_rows("", pool);
    cJSON *json;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json = counter_answer(counter->client, "agents.t1.cmd.canary", cases[i].header,
                              cases[i].body);
        ck_assert_str_eq(sa_json_text(json, "error"), cases[i].error);
    }
    ck_assert_int_eq(apr_atomic_read32(&ran), 0);
    json = counter_answer(counter->client, "agents.t1.cmd.ping", cases[0].header, "");
    ck_assert_str_eq(sa_json_text(json, "error"), cases[0].error);
    json = counter_answer(counter->client, "agents.t1.cmd.canary",
                          "Stone-Age-Expires: 2999-01-01T00:00:00Z\n",
                          "{\"expires\":\"2999-01-01T00:00:00Z\"}");
    ck_assert_str_eq(sa_json_text(json, "status"), "success");
    counter_close(counter);
}

SA_TEST(a_header_bomb_is_refused_unread)
{
    counter_t *counter = open_rows("", pool);
    natsConnection *connection = NULL;
    natsMsg *message = NULL;
    natsMsg *reply = NULL;
    apr_interval_time_t began;

    ck_assert_int_eq(natsConnection_ConnectTo(&connection, sa_test_server_url(counter->server)),
                     NATS_OK);
    natsMsg_Create(&message, "agents.t1.cmd.canary", NULL, "", 0);
    for (int i = 0; i < 1000; i++) {
        natsMsgHeader_Add(message, "X-Bomb", apr_psprintf(pool, "%d", i));
    }
    began = sa_time_mono();
    ck_assert_int_eq(natsConnection_RequestMsg(&reply, connection, message, 5000), NATS_OK);
    SA_ASSERT_IN_TIME(sa_time_mono() - began, apr_time_from_sec(2));
    ck_assert_ptr_nonnull(strstr(natsMsg_GetData(reply), "headers of "));
    ck_assert_int_eq(apr_atomic_read32(&ran), 0);
    natsMsg_Destroy(reply);
    natsMsg_Destroy(message);
    natsConnection_Destroy(connection);
    counter_wait_audit(counter, 1, "the limit is 8192");
    counter_close(counter);
}

SA_TEST(a_header_that_tells_who_asks_is_recorded_escaped_and_bounded)
{
    counter_t *counter = open_rows("", pool);
    char value[1200];
    const char *line;
    cJSON *json;

    memset(value, 'x', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    memcpy(value, "{\"user\":\"\xc2\x9b" "31m\"}", 17);
    json = counter_answer(counter->client, "agents.t1.cmd.canary",
                          apr_psprintf(pool, "Nats-Request-Info: %s\n", value), "");
    ck_assert_str_eq(sa_json_text(json, "status"), "success");
    line = counter_wait_audit(counter, 2, "Nats-Request-Info");
    ck_assert_ptr_nonnull(strstr(line, "Nats-Request-Info: {\\\"user\\\":\\\"\\u009b31m"));
    ck_assert_int_lt(strlen(line), 800);
    counter_close(counter);
}

SA_TEST(a_request_whose_answer_may_not_be_sent_does_not_run)
{
    static const char *const replies[] = {"$JS.API.STREAM.DELETE.X", "agents.other.cmd.exec",
                                          "inbox.x"};
    counter_t *counter = open_rows("", pool);
    natsConnection *connection = NULL;

    ck_assert_int_eq(natsConnection_ConnectTo(&connection, sa_test_server_url(counter->server)),
                     NATS_OK);
    for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
        natsConnection_PublishRequestString(connection, "agents.t1.cmd.canary", replies[i], "");
    }
    natsConnection_Flush(connection);
    counter_wait_audit(counter, 3, "the reply subject is no inbox");
    ck_assert_int_eq(apr_atomic_read32(&ran), 0);
    /* without one it runs: who does not want to know is not told */
    natsConnection_PublishString(connection, "agents.t1.cmd.canary", "");
    natsConnection_Flush(connection);
    counter_wait_audit(counter, 1, "\"outcome\":\"success\"");
    ck_assert_int_eq(apr_atomic_read32(&ran), 1);
    natsConnection_Destroy(connection);
    counter_close(counter);
}

/* ---- cancelling ----------------------------------------------------------------------- */

static const char *cancel(counter_t *counter, fixture_t *client, const char *headers,
                          const char *id)
{
    cJSON *json = counter_answer(client, "agents.t1.cmd.cancel", headers,
                                 apr_psprintf(counter->fixture->pool, "{\"id\":\"%s\"}", id));
    const char *was = sa_json_text(json, "was");

    return was ? was : sa_json_text(json, "error");
}

SA_TEST(one_cancels_what_runs_or_waits_if_it_is_ones_own)
{
    counter_t *counter = open_rows("commands: {workers: 1, queue: 7}\n", pool);
    fixture_t *other = counter_join(counter);
    cJSON *json;

    counter_ask(counter->client, "agents.t1.cmd.wait", "Stone-Age-Request-Id: a\n", "", 0);
    counter_wait_audit(counter, 1, "\"begin\"");
    counter_ask(counter->client, "agents.t1.cmd.wait", "Stone-Age-Request-Id: b\n",
                "{\"stream\":true}", 15);
    ck_assert_str_eq(cancel(counter, other, NULL, "a"), "the request a is another requester's");
    ck_assert_str_eq(cancel(counter, other, NULL, "b"), "the request b is another requester's");
    ck_assert_str_eq(cancel(counter, other, NULL, "c"), "no request c runs or waits here");
    /* what waited is answered first, by the dispatcher, and a stream ends with nothing */
    counter_ask(counter->client, "agents.t1.cmd.cancel", NULL, "{\"id\":\"b\"}", 10);
    json = counter_take(counter->client);
    ck_assert_str_eq(sa_json_text(json, "error"), "cancelled");
    ck_assert_str_eq(sa_json_text(json, "id"), "b");
    ck_assert_ptr_null(counter_take(counter->client));
    ck_assert_str_eq(sa_json_text(counter_take(counter->client), "was"), "waiting");
    ck_assert_int_eq(apr_atomic_read32(&ran), 1);
    counter_ask(counter->client, "agents.t1.cmd.cancel", NULL, "{\"id\":\"a\"}", 10);
    for (int i = 0; i < 2; i++) {
        json = counter_take(counter->client);
        ck_assert(sa_json_text(json, "was")
                  || strcmp(sa_json_text(json, "error"), "cancelled") == 0);
    }
    ck_assert_str_eq(cancel(counter, counter->client, NULL, "a"), "the request a has ended");
    counter_wait_audit(counter, 2, "\"cancelled\"");
    counter_wait_audit(counter, 2, "\"command\":\"cancel\",\"what\":\"a\"");
    fixture_leave(other);
    counter_close(counter);
}

SA_TEST(the_requesters_header_tells_two_of_one_inbox_apart)
{
    counter_t *counter = open_rows("", pool);

    counter_ask(counter->client, "agents.t1.cmd.wait",
                "Stone-Age-Request-Id: a\nStone-Age-Requester: alice\n", "", 0);
    counter_wait_audit(counter, 1, "\"begin\"");
    ck_assert_str_eq(cancel(counter, counter->client, NULL, "a"),
                     "the request a is another requester's");
    ck_assert_str_eq(cancel(counter, counter->client, "Stone-Age-Requester: bob\n", "a"),
                     "the request a is another requester's");
    counter_ask(counter->client, "agents.t1.cmd.cancel", "Stone-Age-Requester: alice\n",
                "{\"id\":\"a\"}", 10);
    counter_wait_audit(counter, 1, "\"outcome\":\"cancelled\"");
    counter_close(counter);
}

SA_TEST(a_stop_answers_what_waits_and_ends_what_runs)
{
    counter_t *counter = open_rows("commands: {workers: 1, queue: 7}\n"
                                   "nats.drain_timeout: 100ms\n", pool);
    cJSON *json;

    for (int i = 0; i < 3; i++) {
        counter_ask(counter->client, "agents.t1.cmd.wait", NULL, "", 0);
    }
    counter_wait_audit(counter, 1, "\"begin\"");
    ck_assert_str_eq(sa_json_text(counter_answer(counter->client, "agents.t1.cmd.ping", NULL, ""),
                                  "status"), "pong");
    sa_commands_stop(counter->commands);
    for (int i = 0; i < 3; i++) {
        json = counter_take(counter->client);
        ck_assert_str_eq(sa_json_text(json, "error"), "the agent is stopping");
    }
    ck_assert_int_eq(apr_atomic_read32(&ran), 1);
    ck_assert_int_eq(counter_count_audit(counter, "the agent is stopping"), 3);
    counter_close(counter);
}

/* ---- lanes ---------------------------------------------------------------------------- */

static sa_call_t *make_call(const char *requester, int number, apr_pool_t *pool)
{
    sa_call_t *call = apr_pcalloc(pool, sizeof(*call));

    call->requester = requester;
    call->number = (apr_uint64_t)number;
    call->id = apr_psprintf(pool, "%s%d", requester, number);
    return call;
}

SA_TEST(requesters_take_turns_and_none_has_more_than_half_of_the_room)
{
    static const char *const order[] = {"a1", "b1", "c1", "a2", "b2", "a3", "a4"};
    sa_command__lanes_t *lanes = sa_command__lanes_create(4, 10, pool);
    sa_call_t *call = NULL;

    for (int i = 1; i <= 7; i++) {
        SA_ASSERT_OK(sa_command__lanes_give(lanes, make_call("a", i, pool)));
    }
    SA_ASSERT_ERR(sa_command__lanes_give(lanes, make_call("a", 8, pool)), SA_ERR_BUSY);
    for (int i = 1; i <= 2; i++) {
        SA_ASSERT_OK(sa_command__lanes_give(lanes, make_call("b", i, pool)));
    }
    SA_ASSERT_OK(sa_command__lanes_give(lanes, make_call("c", 1, pool)));
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        call = sa_command__lanes_take(lanes, NULL);
        ck_assert_str_eq(call->id, order[i]);
        sa_command__lanes_done(lanes, call);
    }
    /* of the four workers one is left for others */
    for (int i = 0; i < 3; i++) {
        call = sa_command__lanes_take(lanes, NULL);
        ck_assert_str_eq(call->requester, "a");
    }
    SA_ASSERT_OK(sa_command__lanes_give(lanes, make_call("a", 9, pool)));
    for (int i = 1; i <= 2; i++) {
        SA_ASSERT_OK(sa_command__lanes_give(lanes, make_call("d", i, pool)));
    }
    ck_assert_str_eq(sa_command__lanes_take(lanes, NULL)->id, "d1");
    ck_assert_str_eq(sa_command__lanes_take(lanes, NULL)->id, "d2");
    ck_assert_int_eq(sa_command__lanes_held(lanes), 6);
    sa_command__lanes_done(lanes, call);
    ck_assert_str_eq(sa_command__lanes_take(lanes, NULL)->id, "a9");
    sa_command__lanes_close(lanes);
    ck_assert_ptr_null(sa_command__lanes_take(lanes, NULL));
    SA_ASSERT_ERR(sa_command__lanes_give(lanes, make_call("e", 1, pool)), SA_ERR_STOPPING);
}

SA_TEST(the_room_is_bounded_for_all_together)
{
    sa_command__lanes_t *lanes = sa_command__lanes_create(2, 4, pool);

    for (int i = 0; i < 6; i++) {
        SA_ASSERT_OK(sa_command__lanes_give(lanes, make_call(apr_psprintf(pool, "r%d", i), i,
                                                             pool)));
    }
    SA_ASSERT_ERR(sa_command__lanes_give(lanes, make_call("z", 1, pool)), SA_ERR_BUSY);
    ck_assert(sa_command__lanes_has(lanes, "r33"));
    ck_assert(!sa_command__lanes_has(lanes, "z1"));
}

SA_TEST_MAIN("command_calls", an_id_comes_back_in_the_answer_the_log_and_the_audit_file,
             an_id_of_the_requesters_is_also_a_header_of_the_answer,
             a_request_that_comes_twice_runs_once,
             ids_are_remembered_for_ten_minutes_and_the_table_is_bounded,
             what_is_no_id_is_refused_and_runs_nothing,
             an_expired_request_is_refused_and_runs_nothing, a_header_bomb_is_refused_unread,
             a_header_that_tells_who_asks_is_recorded_escaped_and_bounded,
             a_request_whose_answer_may_not_be_sent_does_not_run,
             one_cancels_what_runs_or_waits_if_it_is_ones_own,
             the_requesters_header_tells_two_of_one_inbox_apart,
             a_stop_answers_what_waits_and_ends_what_runs,
             requesters_take_turns_and_none_has_more_than_half_of_the_room,
             the_room_is_bounded_for_all_together)
