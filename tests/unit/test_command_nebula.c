/* command: nebula, by its handler. */
#include "../../src/command/sa_command_private.h"
#include "sa_stats.h"
#include "sa_test.h"

static struct {
    int syncs;
    int restarts;
    bool refuses;
} asked;

static sa_error_t *ask(void *baton, bool restart)
{
    (void)baton;
    if (asked.refuses) {
        return sa_error(SA_ERR_REFUSED, NULL, "not ours");
    }
    asked.restarts += restart;
    asked.syncs += !restart;
    return SA_OK;
}

/* The reply to BODY, or the error's text. */
static const char *run(const char *body, sa_commands_nebula_fn_t nebula, apr_pool_t *pool)
{
    sa_commands_t *commands = apr_pcalloc(pool, sizeof(*commands));
    sa_call_t call = {.commands = commands, .pool = pool, .reply = sa_json_object(pool)};
    char *text = apr_palloc(pool, 512);
    cJSON *request;
    sa_error_t *err;

    sa_commands_on_nebula(commands, nebula, NULL);
    SA_ASSERT_OK(sa_json_parse(&request, body, strlen(body), pool));
    call.request = request;
    err = sa_command__nebula(&call);
    if (!err) {
        return sa_json_print(call.reply, NULL, pool);
    }
    sa_error_text(err, text, 512);
    sa_error_clear(err);
    return text;
}

SA_TEST(sync_and_restart_are_accepted_and_handed_on)
{
    memset(&asked, 0, sizeof(asked));
    ck_assert_str_eq(run("{\"action\":\"sync\"}", ask, pool),
                     "{\"status\":\"accepted\",\"action\":\"sync\"}");
    ck_assert_int_eq(asked.syncs, 1);
    ck_assert_str_eq(run("{\"action\":\"restart\"}", ask, pool),
                     "{\"status\":\"accepted\",\"action\":\"restart\"}");
    ck_assert_int_eq(asked.restarts, 1);
}

SA_TEST(all_else_is_refused_and_nothing_handed_on)
{
    memset(&asked, 0, sizeof(asked));
    ck_assert_str_eq(run("{\"action\":\"stop\"}", ask, pool),
                     "invalid action: stop (must be sync or restart)");
    ck_assert_str_eq(run("{}", ask, pool), "invalid action:  (must be sync or restart)");
    ck_assert_str_eq(run("{\"action\":\"a\\nb\"}", ask, pool),
                     "invalid action: (not printable) (must be sync or restart)");
    ck_assert_str_eq(run("{\"action\":7}", ask, pool), "Invalid request format");
    ck_assert_str_eq(run("{\"action\":\"sync\"}", NULL, pool),
                     "nebula is not enabled on this agent");
    ck_assert_int_eq(asked.syncs + asked.restarts, 0);
    asked.refuses = true;
    ck_assert_str_eq(run("{\"action\":\"restart\"}", ask, pool), "not ours");
}

SA_TEST(health_tells_of_the_overlay_only_where_there_is_one)
{
    sa_command_settings_t settings = {.code = "t1", .location = "", .subject_prefix = "agents"};
    sa_commands_t *commands = apr_pcalloc(pool, sizeof(*commands));
    sa_call_t call = {.commands = commands, .settings = &settings, .pool = pool};
    apr_array_header_t *none = apr_array_make(pool, 1, sizeof(const char *));
    const cJSON *nebula;

    settings.enabled_tasks = none;
    settings.allowed_commands = none;
    settings.allowed_services = none;
    settings.allowed_log_paths = none;
    call.reply = sa_json_object(pool);
    SA_ASSERT_OK(sa_command__health(&call));
    ck_assert_ptr_null(cJSON_GetObjectItem(call.reply, "nebula"));
    sa_stats_set(SA_STAT_mesh_enabled, 1);
    sa_stats_set(SA_STAT_mesh_tunnels, 2);
    sa_stats_set(SA_STAT_mesh_cert_expires, (apr_uint64_t)apr_time_from_sec(1795887560));
    sa_stats_set_text(SA_STAT_TEXT_mesh_overlay_ip, "10.128.1.2");
    sa_stats_set_text(SA_STAT_TEXT_mesh_routes, "10.20.0.0/16 10.21.0.0/16");
    sa_stats_set_text(SA_STAT_TEXT_mesh_error, "no lighthouse answers");
    call.reply = sa_json_object(pool);
    SA_ASSERT_OK(sa_command__health(&call));
    nebula = cJSON_GetObjectItem(call.reply, "nebula");
    ck_assert_str_eq(sa_json_print(nebula, NULL, pool),
                     "{\"enabled\":true,\"running\":false,\"source\":\"platform\","
                     "\"overlay_ip\":\"10.128.1.2\",\"tunnels\":2,\"lighthouse_up\":false,"
                     "\"cert_expires_at\":\"2026-11-28T17:39:20Z\",\"rolled_back\":false,"
                     "\"unsafe_networks\":[\"10.20.0.0/16\",\"10.21.0.0/16\"],"
                     "\"error\":\"no lighthouse answers\"}");
}

SA_TEST_MAIN("command_nebula", sync_and_restart_are_accepted_and_handed_on,
             all_else_is_refused_and_nothing_handed_on,
             health_tells_of_the_overlay_only_where_there_is_one)
