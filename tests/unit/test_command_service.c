/* command: service, with the manager of services replaced by the fake below, whose symbol
 * comes before the archive's; the policy is the real one. */
#include "../../src/command/sa_command_private.h"

#include <apr_strings.h>

#include "../../src/command/sa_command_policy.h"
#include "sa_os_service_control.h"
#include "sa_test.h"
#include "sa_test_server.h"
#include "sa_time.h"

/* ---- the fake ---------------------------------------------------------------- */

static int controls;            /* the canary: how often anything was to be done */
static sa_os_service_action_t asked_action;
static char asked_name[300];
static apr_interval_time_t asked_time;
static const sa_os_cancel_t *asked_cancel;
static sa_os_service_state_t told;
static apr_status_t fails;      /* with this code, and: */
static const char *reason;

static int begun;               /* lines that went to the audit file before anything was done */

sa_error_t *sa_command__begin(sa_call_t *call, const char *what, const char *as)
{
    (void)call;
    (void)as;
    ck_assert_ptr_nonnull(what);
    begun++;
    return SA_OK;
}

sa_error_t *sa_os_service_control(sa_os_service_state_t *state, sa_os_service_action_t action,
                                  const char *name, apr_interval_time_t deadline,
                                  const sa_os_cancel_t *cancel, apr_pool_t *scratch_pool)
{
    (void)scratch_pool;
    controls++;
    asked_action = action;
    apr_cpystrn(asked_name, name, sizeof(asked_name));
    asked_time = deadline - sa_time_mono();
    asked_cancel = cancel;
    *state = told;
    ck_assert_int_eq(begun, controls);
    return fails ? sa_error(fails, NULL, "%s", reason) : SA_OK;
}

/* ---- helpers ------------------------------------------------------------------ */

static void tell(sa_os_service_status_t status, const char *unit)
{
    memset(&told, 0, sizeof(told));
    told.status = status;
    apr_cpystrn(told.unit, unit, sizeof(told.unit));
    apr_cpystrn(told.load, "loaded", sizeof(told.load));
    apr_cpystrn(told.substate, "running", sizeof(told.substate));
    apr_cpystrn(told.result, "success", sizeof(told.result));
    told.has_restarts = true;
    told.since = apr_time_from_sec(1700000000);
    fails = APR_SUCCESS;
    controls = 0;
    begun = 0;
}

static const sa_command_settings_t *make_settings(const char *services, apr_pool_t *pool)
{
    sa_command_settings_t *settings = apr_pcalloc(pool, sizeof(*settings));
    const char *text = apr_psprintf(pool, "code: t1\nnats: {urls: [\"nats://127.0.0.1:1\"], "
                                    "auth: {type: none}}\ncommands: {allowed_services: [%s]}\n",
                                    services);
    sa_config_source_t source = {
        sa_test_file(sa_test_dir(pool), "agent.yaml", text, 0600, pool), NULL};
    apr_array_header_t *complaints;
    sa_command_policy_t *policy;
    sa_config_t *config;

    SA_ASSERT_OK(sa_config_load(&config, &complaints, &source, pool));
    SA_ASSERT_OK(sa_command_policy_create(&policy, config, pool));
    settings->policy = policy;
    return settings;
}

/* Handle REQUEST; *ERR is what comes of it, the reply as text is returned. */
static const char *handle(sa_error_t **err, const sa_command_settings_t *settings,
                          const char *request, apr_pool_t *pool)
{
    sa_call_t call = {.settings = settings, .pool = pool, .reply = sa_json_object(pool)};
    cJSON *json;

    SA_ASSERT_OK(sa_json_parse(&json, request, strlen(request), pool));
    call.request = json;
    *err = sa_command__service(&call);
    return sa_json_print(call.reply, NULL, pool);
}

static const char *handle_well(const sa_command_settings_t *settings, const char *request,
                               apr_pool_t *pool)
{
    sa_error_t *err;
    const char *reply = handle(&err, settings, request, pool);

    SA_ASSERT_OK(err);
    return reply;
}

/* REQUEST is refused with CODE, and TEXT is what the requester reads. */
static void expect(const sa_command_settings_t *settings, const char *request, apr_status_t code,
                   const char *text, apr_pool_t *pool)
{
    sa_error_t *err;

    handle(&err, settings, request, pool);
    ck_assert_msg(err != NULL, "not refused: %s", request);
    ck_assert_msg(err->code == code, "code %d: %s", (int)err->code, request);
    ck_assert_str_eq(err->message, text);
    sa_error_clear(err);
}

/* {"action": "start", "service_name": NAME} */
static const char *request_for(const char *name, apr_pool_t *pool)
{
    cJSON *json = sa_json_object(pool);

    cJSON_AddStringToObject(json, "action", "start");
    cJSON_AddStringToObject(json, "service_name", name);
    /* as it is: ours would mend what is no UTF-8 */
    return apr_pstrdup(pool, cJSON_PrintUnformatted(json));
}

/* ---- the contract --------------------------------------------------------------- */

SA_TEST(each_action_is_answered_in_the_words_of_the_contract)
{
    static const struct {
        const char *word;
        sa_os_service_action_t action;
        sa_os_service_status_t status;
        const char *result;
    } rows[] = {
        {"start", SA_OS_SERVICE_START, SA_OS_SERVICE_RUNNING,
         "Service nginx start successfully (status: Running)"},
        {"stop", SA_OS_SERVICE_STOP, SA_OS_SERVICE_STOPPED,
         "Service nginx stop successfully (status: Stopped)"},
        {"restart", SA_OS_SERVICE_RESTART, SA_OS_SERVICE_RUNNING,
         "Service nginx restart successfully (status: Running)"},
        {"reload", SA_OS_SERVICE_RELOAD, SA_OS_SERVICE_RUNNING,
         "Service nginx reload successfully (status: Running)"},
        {"status", SA_OS_SERVICE_STATUS, SA_OS_SERVICE_FAILED,
         "Service nginx status successfully (status: Error)"},
        {"status", SA_OS_SERVICE_STATUS, SA_OS_SERVICE_STARTING,
         "Service nginx status successfully (status: Starting)"},
        {"status", SA_OS_SERVICE_STATUS, SA_OS_SERVICE_STOPPING,
         "Service nginx status successfully (status: Stopping)"},
        {"status", SA_OS_SERVICE_STATUS, SA_OS_SERVICE_UNKNOWN,
         "Service nginx status successfully (status: Unknown)"},
        {"status", SA_OS_SERVICE_STATUS, SA_OS_SERVICE_NOT_INSTALLED,
         "Service nginx status successfully (status: NotInstalled)"},
    };
    const sa_command_settings_t *settings = make_settings("nginx", pool);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *reply;
        cJSON *json;

        tell(rows[i].status, "nginx.service");
        reply = handle_well(settings, apr_psprintf(pool, "{\"action\":\"%s\",\"service_name\":"
                                                   "\"nginx\"}", rows[i].word), pool);
        SA_ASSERT_OK(sa_json_parse(&json, reply, strlen(reply), pool));
        ck_assert_str_eq(sa_json_text(json, "status"), "success");
        ck_assert_str_eq(sa_json_text(json, "service_name"), "nginx");
        ck_assert_str_eq(sa_json_text(json, "action"), rows[i].word);
        ck_assert_str_eq(sa_json_text(json, "result"), rows[i].result);
        ck_assert_int_eq(asked_action, rows[i].action);
        ck_assert_str_eq(asked_name, "nginx");
        ck_assert_int_eq(controls, 1);
    }
}

SA_TEST(the_reply_has_the_fields_of_the_service_report)
{
    const sa_command_settings_t *settings = make_settings("nginx", pool);

    tell(SA_OS_SERVICE_RUNNING, "nginx.service");
    ck_assert_str_eq(handle_well(settings, "{\"action\":\"start\",\"service_name\":\"nginx\"}",
                                 pool),
        "{\"service_name\":\"nginx\",\"action\":\"start\",\"service_status\":\"Running\","
        "\"unit\":\"nginx.service\",\"substate\":\"running\",\"restarts\":0,"
        "\"service_result\":\"success\",\"since\":\"2023-11-14T22:13:20Z\",\"status\":\"success\","
        "\"result\":\"Service nginx start successfully (status: Running)\"}");
    tell(SA_OS_SERVICE_FAILED, "nginx.service");
    apr_cpystrn(told.load, "masked", sizeof(told.load));
    apr_cpystrn(told.result, "exit-code", sizeof(told.result));
    told.has_exit_code = true;
    told.exit_code = 7;
    told.restarts = 12;
    told.since = 0;
    ck_assert_str_eq(handle_well(settings, "{\"action\":\"status\",\"service_name\":"
                                 "\"nginx.service\"}", pool),
        "{\"service_name\":\"nginx.service\",\"action\":\"status\",\"service_status\":\"Error\","
        "\"substate\":\"running\",\"load\":\"masked\",\"restarts\":12,"
        "\"service_result\":\"exit-code\",\"exit_code\":7,\"status\":\"success\","
        "\"result\":\"Service nginx.service status successfully (status: Error)\"}");
    told.has_exit_code = false;
    told.signal = "SIGKILL";
    ck_assert_ptr_nonnull(strstr(handle_well(settings, "{\"action\":\"status\","
                                             "\"service_name\":\"nginx\"}", pool),
                                 "\"signal\":\"SIGKILL\""));
}

SA_TEST(the_list_is_asked_before_the_action)
{
    const sa_command_settings_t *settings = make_settings("nginx", pool);

    tell(SA_OS_SERVICE_RUNNING, "nginx.service");
    expect(settings, "{\"action\":\"explode\",\"service_name\":\"sshd\"}", SA_ERR_REFUSED,
           "service not in allowed list: sshd", pool);
    expect(settings, "{\"action\":\"explode\",\"service_name\":\"nginx\"}", SA_ERR_REQUEST_FORMAT,
           "invalid action: explode (must be start, stop, restart, reload, or status)", pool);
    ck_assert_int_eq(controls, 0);
}

SA_TEST(what_is_missing_or_of_another_type_is_said)
{
    static const struct {
        const char *request;
        apr_status_t code;
        const char *text;
    } rows[] = {
        {"{}", SA_ERR_REFUSED, "service not in allowed list: "},
        {"{\"action\":\"start\"}", SA_ERR_REFUSED, "service not in allowed list: "},
        {"{\"service_name\":null,\"action\":\"start\"}", SA_ERR_REFUSED,
         "service not in allowed list: "},
        {"{\"service_name\":\"nginx\"}", SA_ERR_REQUEST_FORMAT,
         "invalid action:  (must be start, stop, restart, reload, or status)"},
        {"{\"service_name\":[\"nginx\"],\"action\":\"start\"}", SA_ERR_REQUEST_FORMAT,
         "Invalid request format"},
        {"{\"service_name\":7,\"action\":\"start\"}", SA_ERR_REQUEST_FORMAT,
         "Invalid request format"},
        {"{\"service_name\":\"nginx\",\"action\":true}", SA_ERR_REQUEST_FORMAT,
         "Invalid request format"},
        {"{\"service_name\":\"nginx\",\"action\":\"Start\"}", SA_ERR_REQUEST_FORMAT,
         "invalid action: Start (must be start, stop, restart, reload, or status)"},
        {"{\"service_name\":\"nginx\",\"action\":\"start \"}", SA_ERR_REQUEST_FORMAT,
         "invalid action: start  (must be start, stop, restart, reload, or status)"},
        {"{\"service_name\":\"nginx\",\"action\":\"kill\"}", SA_ERR_REQUEST_FORMAT,
         "invalid action: kill (must be start, stop, restart, reload, or status)"},
        {"{\"service_name\":\"nginx\",\"action\":\"a\\nb\"}", SA_ERR_REQUEST_FORMAT,
         "invalid action: (not printable) (must be start, stop, restart, reload, or status)"},
    };
    const sa_command_settings_t *settings = make_settings("nginx", pool);

    tell(SA_OS_SERVICE_RUNNING, "nginx.service");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        expect(settings, rows[i].request, rows[i].code, rows[i].text, pool);
    }
    ck_assert_int_eq(controls, 0);
}

SA_TEST(a_failure_is_in_the_words_of_the_contract_with_the_reason_and_the_state)
{
    static const struct {
        apr_status_t code;
        const char *reason;
        const char *text;
    } rows[] = {
        {SA_ERR_SERVICE_FAILED, "it failed",
         "systemctl stop nginx failed: it failed (status: Error, result: exit-code, exit code: 7)"},
        {SA_ERR_DENIED, "polkit does not let the agent stop nginx.service (Access denied); the "
         "rule that does is printed by: stone-age-agent polkit",
         "systemctl stop nginx failed: polkit does not let the agent stop nginx.service (Access "
         "denied); the rule that does is printed by: stone-age-agent polkit"},
        {SA_ERR_REFUSED, "it is the agent itself",
         "systemctl stop nginx failed: it is the agent itself"},
    };
    const sa_command_settings_t *settings = make_settings("nginx", pool);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        tell(SA_OS_SERVICE_FAILED, "nginx.service");
        apr_cpystrn(told.result, "exit-code", sizeof(told.result));
        told.has_exit_code = true;
        told.exit_code = 7;
        fails = rows[i].code;
        reason = rows[i].reason;
        expect(settings, "{\"action\":\"stop\",\"service_name\":\"nginx\"}", rows[i].code,
               rows[i].text, pool);
    }
    memset(&told, 0, sizeof(told));         /* nothing was told */
    fails = SA_ERR_NOT_ON_THIS_OS;
    reason = "no systemd";
    expect(settings, "{\"action\":\"stop\",\"service_name\":\"nginx\"}", SA_ERR_NOT_ON_THIS_OS,
           "systemctl stop nginx failed: no systemd", pool);
}

SA_TEST(the_call_can_be_cancelled)
{
    const sa_command_settings_t *settings = make_settings("nginx", pool);
    sa_call_t call = {.settings = settings, .pool = pool, .reply = sa_json_object(pool)};
    cJSON *json = sa_json_object(pool);

    tell(SA_OS_SERVICE_RUNNING, "nginx.service");
    SA_ASSERT_OK(sa_os_cancel_create(&call.cancel, pool));
    cJSON_AddStringToObject(json, "action", "stop");
    cJSON_AddStringToObject(json, "service_name", "nginx");
    call.request = json;
    SA_ASSERT_OK(sa_command__service(&call));
    ck_assert_ptr_eq(asked_cancel, call.cancel);
}

/* ---- hostile inputs ---------------------------------------------------------------- */

SA_TEST(hostile_55_only_what_the_list_names_exactly_is_acted_on)
{
    static const struct {
        const char *name;
        const char *shown;      /* NULL: as it is */
    } rows[] = {
        {"nginx; reboot", NULL}, {"--now", NULL}, {"-H evil", NULL}, {"nginx.service/../x", NULL},
        {"ssh", NULL}, {"sshd2", NULL}, {"ssh*", NULL}, {"*", NULL}, {"?shd", NULL},
        {"ss[h]d", NULL}, {"foo@$(id)", NULL}, {"foo@b", NULL}, {"foo@", NULL}, {"foo", NULL},
        {"foo@.service", NULL}, {"dbus-org.freedesktop.nginx1.service", NULL}, {"", NULL},
        {"-", NULL}, {"nginx.timer", NULL}, {"nginx.service.service", NULL}, {"NGINX", NULL},
        {"nginx ", NULL}, {" nginx", NULL}, {"nginx.", NULL}, {".service", NULL},
        {"stone-age-agent", NULL}, {"ng\xc4\xb1nx", NULL}, {"nginx\n", "(not printable)"},
        {"nginx\tsshd", "(not printable)"}, {"nginx\xe2\x80\xa8", "(not printable)"},
        {"nginx\xff", "(not printable)"}, {"\xc0\xae", "(not printable)"},
    };
    const sa_command_settings_t *settings = make_settings("nginx, sshd.service, foo@a", pool);
    char *long_name = apr_palloc(pool, 60001);

    tell(SA_OS_SERVICE_RUNNING, "nginx.service");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        expect(settings, request_for(rows[i].name, pool), SA_ERR_REFUSED,
               apr_pstrcat(pool, "service not in allowed list: ",
                           rows[i].shown ? rows[i].shown : rows[i].name, NULL), pool);
    }
    memset(long_name, 'n', 60000);
    long_name[60000] = '\0';
    expect(settings, request_for(long_name, pool), SA_ERR_REFUSED,
           "service not in allowed list: (not printable)", pool);
    ck_assert_int_eq(controls, 0);
    /* and these are */
    handle_well(settings, request_for("nginx.service", pool), pool);
    handle_well(settings, request_for("sshd", pool), pool);
    handle_well(settings, request_for("foo@a", pool), pool);
    ck_assert_int_eq(controls, 3);
}

SA_TEST(hostile_55_an_empty_list_allows_nothing)
{
    const sa_command_settings_t *settings = make_settings("", pool);

    tell(SA_OS_SERVICE_RUNNING, "nginx.service");
    expect(settings, request_for("nginx", pool), SA_ERR_REFUSED,
           "service not in allowed list: nginx", pool);
    expect(settings, request_for("", pool), SA_ERR_REFUSED, "service not in allowed list: ", pool);
    ck_assert_int_eq(controls, 0);
}

SA_TEST(hostile_55_the_name_that_was_checked_is_the_one_that_is_used)
{
    const sa_command_settings_t *settings = make_settings("nginx", pool);

    tell(SA_OS_SERVICE_RUNNING, "nginx.service");
    handle_well(settings, "{\"service_name\":\"nginx\",\"action\":\"stop\",\"service_name\":"
                "\"sshd\",\"SERVICE_NAME\":\"sshd\"}", pool);
    ck_assert_str_eq(asked_name, "nginx");
    expect(settings, "{\"service_name\":\"sshd\",\"action\":\"stop\",\"service_name\":\"nginx\"}",
           SA_ERR_REFUSED, "service not in allowed list: sshd", pool);
    ck_assert_int_eq(controls, 1);
}

SA_TEST(hostile_56_a_hang_is_bounded_by_30_s_and_the_state_is_reported)
{
    const sa_command_settings_t *settings = make_settings("nginx", pool);
    sa_error_t *err;
    const char *reply;

    tell(SA_OS_SERVICE_STOPPING, "nginx.service");
    apr_cpystrn(told.substate, "stop-sigterm", sizeof(told.substate));
    fails = SA_ERR_TIMEOUT;
    reason = "it is not done in time; systemd goes on with it";
    reply = handle(&err, settings, "{\"action\":\"stop\",\"service_name\":\"nginx\"}", pool);
    ck_assert_ptr_nonnull(err);
    ck_assert_int_eq(err->code, SA_ERR_TIMEOUT);
    ck_assert_str_eq(err->message, "systemctl stop nginx failed: it is not done in time; systemd "
                     "goes on with it (status: Stopping)");
    sa_error_clear(err);
    ck_assert_ptr_nonnull(strstr(reply, "\"service_status\":\"Stopping\""));
    ck_assert_ptr_nonnull(strstr(reply, "\"substate\":\"stop-sigterm\""));
    ck_assert_ptr_null(strstr(reply, "\"status\""));
    ck_assert_int_le(asked_time, apr_time_from_sec(30));
    ck_assert_int_gt(asked_time, apr_time_from_sec(25));
}

SA_TEST(hostile_57_words_of_the_manager_stay_values)
{
    const sa_command_settings_t *settings = make_settings("nginx", pool);
    const char *reply;
    cJSON *json;

    tell(SA_OS_SERVICE_STOPPED, "nginx.service");
    apr_cpystrn(told.substate, "\",\"status\":\"x\nActiveState=", sizeof(told.substate));
    reply = handle_well(settings, "{\"action\":\"status\",\"service_name\":\"nginx\"}", pool);
    SA_ASSERT_OK(sa_json_parse(&json, reply, strlen(reply), pool));
    ck_assert_str_eq(sa_json_text(json, "status"), "success");
    ck_assert_str_eq(sa_json_text(json, "service_status"), "Stopped");
    ck_assert_str_eq(sa_json_text(json, "substate"), told.substate);
}

SA_TEST_MAIN("command_service", each_action_is_answered_in_the_words_of_the_contract,
             the_reply_has_the_fields_of_the_service_report, the_list_is_asked_before_the_action,
             what_is_missing_or_of_another_type_is_said,
             a_failure_is_in_the_words_of_the_contract_with_the_reason_and_the_state,
             the_call_can_be_cancelled, hostile_55_only_what_the_list_names_exactly_is_acted_on,
             hostile_55_an_empty_list_allows_nothing,
             hostile_55_the_name_that_was_checked_is_the_one_that_is_used,
             hostile_56_a_hang_is_bounded_by_30_s_and_the_state_is_reported,
             hostile_57_words_of_the_manager_stay_values)
