/* The platform's group, its other names, and what the platform itself may set. */
#include "sa_test.h"

#include <apr_env.h>
#include <apr_file_io.h>
#include <apr_strings.h>

#include "sa_config.h"
#include "sa_os_file.h"
#include "sa_test_server.h"
#include "../../src/config/sa_config_private.h"

#define BASE "code: c\nnats.urls: [\"nats://h:4222\"]\n"
#define TYPE BASE "nats.auth.type: platform\n"
#define LOGIN TYPE "platform.url: https://p/base/\nplatform.identity: a@b\n"

static const char *join(const apr_array_header_t *complaints, apr_pool_t *pool)
{
    const char *text = "";

    for (int i = 0; i < complaints->nelts; i++) {
        const sa_complaint_t *complaint = &APR_ARRAY_IDX(complaints, i, sa_complaint_t);
        const char *slash = strrchr(complaint->file, '/');
        sa_complaint_t short_one = *complaint;

        short_one.file = slash ? slash + 1 : complaint->file;
        text = apr_pstrcat(pool, text, i > 0 ? "\n" : "", complaint->warning ? "W " : "",
                           sa_complaint_format(&short_one, pool), NULL);
    }
    return text;
}

/* Load TEXT as if from t.yaml.  A warning's line begins with W. */
static const char *load(sa_config_t **config, const char *text, apr_pool_t *pool)
{
    apr_array_header_t *complaints;
    sa_error_t *err = sa_config__load_memory(config, &complaints, "t.yaml", text, strlen(text),
                                             pool);

    sa_error_clear(err);
    return join(complaints, pool);
}

typedef struct complaint_case_t {
    const char *text;
    const char *complaints;
} complaint_case_t;

static void run_cases(const complaint_case_t *cases, size_t count, apr_pool_t *pool)
{
    for (size_t i = 0; i < count; i++) {
        sa_config_t *config;
        const char *got = load(&config, cases[i].text, pool);

        ck_assert_msg(strcmp(got, cases[i].complaints) == 0, "case %d:\n%s\ngot  %s\nwant %s",
                      (int)i, cases[i].text, got, cases[i].complaints);
    }
}
#define RUN_CASES(cases) run_cases((cases), sizeof(cases) / sizeof((cases)[0]), pool)

/* ---- spellings -------------------------------------------------------------- */

SA_TEST(all_spellings_of_the_group_load)
{
    static const char *const groups[] = {"platform", "nats.auth.platform", "nats.auth.pocketbase",
                                         "nats.auth.stone-age"};

    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        for (int dotted = 0; dotted < 2; dotted++) {
            const char *g = groups[i];
            const char *text = dotted
                ? apr_pstrcat(pool, TYPE, g, ".url: https://p\n", g, ".identity: a@b\n", g,
                              ".password_env: HOME\n", g, ".sync_interval: 2h\n", NULL)
                : apr_pstrcat(pool, TYPE, g, ": {url: 'https://p', identity: a@b, password_env: "
                              "HOME, sync_interval: 2h}\n", NULL);
            sa_config_t *config;

            ck_assert_str_eq(load(&config, text, pool), "");
            ck_assert_str_eq(config->platform_url, "https://p");
            ck_assert_str_eq(config->platform_identity, "a@b");
            ck_assert_int_eq(config->platform_password.source, SA_SECRET_ENV);
            ck_assert_str_eq(config->platform_password.where, "HOME");
            ck_assert_int_eq(config->platform_sync_interval, apr_time_from_sec(7200));
            ck_assert_str_eq(sa_config_reserved(config, pool), "");
        }
    }
}

SA_TEST(several_spellings_must_say_the_same)
{
    static const complaint_case_t cases[] = {
        {LOGIN "nats.auth.pocketbase: {url: 'https://p/base/', identity: a@b}\n", ""},
        {LOGIN "nats.auth.pocketbase: {url: 'https://q'}\n",
         "t.yaml:6: nats.auth.pocketbase.url: \"https://q\" is not what platform.url on line 4 "
         "says (\"https://p/base/\"); they are the same setting"},
        {LOGIN "platform.password_env: HOME\nnats.auth.stone-age.password_env: HOME\n", ""},
        {LOGIN "platform.password_env: HOME\nnats.auth.stone-age.password_env: PATH\n",
         "t.yaml:7: nats.auth.stone-age.password_env: there is platform.password_env on line 6 "
         "already; one of them must go"},
        {LOGIN "platform.sync_interval: 2h\ntasks.creds_sync.interval: 3h\n",
         "t.yaml:7: tasks.creds_sync.interval: \"3h\" is not what platform.sync_interval on line 6 "
         "says (\"2h\"); they are the same setting"},
    };

    RUN_CASES(cases);
}

SA_TEST(mistakes_under_another_name_are_named_as_they_were_written)
{
    static const complaint_case_t cases[] = {
        {LOGIN "nats.auth.pocketbase: {urll: x}\n",
         "W t.yaml:6: nats.auth.pocketbase.urll is not an option; did you mean platform.url?"},
        {LOGIN "nats.auth.pocketbase: x\n",
         "t.yaml:6: nats.auth.pocketbase must be a group of settings, not one value"},
        {LOGIN "nats.auth.pocketbase.password: hunter2\n",
         "t.yaml:6: nats.auth.pocketbase.password must not stand here: put it into a file and name "
         "that by nats.auth.pocketbase.password_file, or name an environment variable by "
         "nats.auth.pocketbase.password_env"},
        {TYPE "nats.auth.stone-age: {url: 'ftp://p', identity: a@b}\n",
         "t.yaml:4: nats.auth.stone-age.url: \"ftp://p\" must be an http:// or https:// URL"},
        {LOGIN "nats.auth.pocketbase:\n", ""},
    };

    RUN_CASES(cases);
}

/* ---- rules ------------------------------------------------------------------ */

SA_TEST(the_type_needs_a_url_and_an_identity)
{
    static const complaint_case_t cases[] = {
        {TYPE, "t.yaml:3: nats.auth.type: \"platform\" needs platform.url\n"
               "t.yaml:3: nats.auth.type: \"platform\" needs platform.identity"},
        {LOGIN, ""},
        {BASE "platform.url: https://p\nplatform.identity: a@b\n",
         "W t.yaml:3: platform.url: without effect while nats.auth.type is not platform"},
        {BASE "nats.auth.pocketbase.session_file: /s\n",
         "W t.yaml:3: nats.auth.pocketbase.session_file: without effect while nats.auth.type is "
         "not platform"},
        {BASE "nebula.enabled: true\n",
         "W t.yaml:3: nebula.enabled: nothing is fetched while nats.auth.type is not platform; "
         "what lies in nebula.config_file is used"},
        {LOGIN "nebula.enabled: true\n", ""},
        {TYPE "platform.identity: a@b\nplatform.url: 'https://me:hunter2@p/'\n",
         "t.yaml:5: platform.url: \"https://***@p/\" must not hold a user or password; there are "
         "settings of their own for them"},
        {TYPE "platform.identity: a@b\nplatform.url: 'https://p/?x=y'\n",
         "t.yaml:5: platform.url must end before the ?: paths are put behind it"},
    };

    RUN_CASES(cases);
}

SA_TEST(a_password_goes_in_the_clear_to_this_machine_only)
{
    static const struct {
        const char *url;
        bool local;
    } cases[] = {
        {"http://localhost", true}, {"http://localhost:8090/", true}, {"http://127.0.0.1", true},
        {"http://127.9.8.7:80/x", true}, {"http://[::1]", true}, {"http://[::1]:8090/base/", true},
        {"http://localhost.evil.example", false}, {"http://127.evil.example", false},
        {"http://127.0.0.1.evil.example", false}, {"http://127.1", false},
        {"http://127.0.0.256", false}, {"http://127.0.0.1.", false}, {"http://126.0.0.1", false},
        {"http://0127.0.0.1x", false}, {"http://[::2]", false}, {"http://p", false},
        {"http://10.0.0.1:8090", false}, {"http://127...1", false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *text = apr_psprintf(pool, TYPE "platform.identity: a@b\nplatform.url: '%s'\n",
                                        cases[i].url);
        sa_config_t *config;
        const char *got = load(&config, text, pool);

        ck_assert_msg((config != NULL) == cases[i].local, "%s: %s", cases[i].url, got);
        ck_assert_msg(cases[i].local || strstr(got, "begin it with https://"), "%s", got);
        got = load(&config, apr_pstrcat(pool, text, "platform.allow_insecure_url: true\n", NULL),
                   pool);
        ck_assert_msg(config != NULL && strstr(got, "allow_insecure_url is on"), "%s", got);
    }
}

SA_TEST(a_pin_is_one_or_two_hashes)
{
#define PIN "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
#define OTHER_PIN "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
    static const struct {
        const char *text;
        bool good;
    } cases[] = {
        {"", true}, {PIN, true}, {PIN " " OTHER_PIN, true}, {PIN ";" OTHER_PIN, false},
        {PIN " ", false}, {" " PIN, false}, {PIN "  " OTHER_PIN, false},
        {PIN " " OTHER_PIN " " PIN, false}, {"sha256//" PIN, false}, {"x", false},
        {"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=", false},
        {"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU", false},
        {"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuF==", false},
        {"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=", false},
        {"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sa_config_t *config;
        const char *got = load(&config, apr_psprintf(pool, LOGIN "platform.tls_pin_sha256: '%s'\n",
                                                     cases[i].text), pool);

        ck_assert_msg((config != NULL) == cases[i].good, "%s: %s", cases[i].text, got);
        ck_assert_msg(cases[i].good || strstr(got, "must be the base64 of a SHA-256"), "%s", got);
    }
}

SA_TEST(a_nought_stops_the_visits_and_little_is_for_trials)
{
    static const struct {
        const char *text;       /* in the file, or for --set */
        bool set;
        apr_interval_time_t value;
        const char *complaint;
    } cases[] = {
        {"0", false, 0, NULL}, {"0s", false, 0, NULL}, {"1h", false, 3600, NULL},
        {"72h", false, 72 * 3600, NULL},
        {"59m", false, -1, "t.yaml:6: platform.sync_interval: \"59m\" must be 0s or from 1h to "
                           "72h; less is taken from --set only, for trials"},
        {"73h", false, -1, "t.yaml:6: platform.sync_interval: \"73h\" must be 0s or from 1h to "
                           "72h; less is taken from --set only, for trials"},
        {"1s", true, 1, NULL}, {"2s", true, 2, NULL}, {"0", true, 0, NULL},
        {"500ms", true, -1,
         "--set: platform.sync_interval: \"500ms\" must be 0s or from 1s to 72h"},
        {"73h", true, -1, "--set: platform.sync_interval: \"73h\" must be 0s or from 1s to 72h"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        apr_pool_t *scratch_pool = sa_pool_create(pool);
        sa_config__loader_t *loader = sa_config__begin("t.yaml", pool, scratch_pool);
        const char *text = apr_psprintf(pool, LOGIN "platform.sync_interval: %s\n",
                                        cases[i].set ? "" : cases[i].text);
        apr_array_header_t *complaints;
        sa_config_t *config;
        sa_error_t *err;

        sa_config__next_source(loader, "t.yaml");
        sa_config__load_text(loader, text, strlen(text));
        if (cases[i].set) {
            sa_config__load_set(loader, apr_pstrcat(pool, "platform.sync_interval=", cases[i].text,
                                                    NULL));
        }
        err = sa_config__finish(&config, &complaints, loader);
        ck_assert_str_eq(join(complaints, pool), cases[i].complaint ? cases[i].complaint : "");
        ck_assert(config == NULL
                  || config->platform_sync_interval == apr_time_from_sec(cases[i].value));
        sa_error_clear(err);
    }
}

SA_TEST(the_other_agents_switch_is_an_interval_of_nought)
{
    sa_config_t *config;

    ck_assert_str_eq(load(&config, LOGIN "tasks: {creds_sync: {enabled: false, interval: 2h}}\n",
                          pool), "");
    ck_assert_int_eq(config->platform_sync_interval, 0);
    ck_assert_str_eq(sa_config_origin(config, "platform.sync_interval", pool), "t.yaml:6");
    ck_assert_str_eq(load(&config, LOGIN "tasks: {creds_sync: {enabled: true}}\n", pool), "");
    ck_assert_int_eq(config->platform_sync_interval, apr_time_from_sec(24 * 3600));
}

SA_TEST(the_urls_of_the_bus_may_come_later)
{
    static const complaint_case_t cases[] = {
        {"code: c\nnats.auth.type: platform\nplatform: {url: 'https://p', identity: a}\n",
         "W t.yaml: nats.urls is missing: the agent waits until the platform sets it "
         "(metadata.agent of the Thing)"},
        {"code: c\nnats.auth.type: platform\n"
         "platform: {url: 'https://p', identity: a, remote_config: false}\n",
         "t.yaml: nats.urls is missing"},
        {"nats.auth.type: platform\nnats.urls: [nats://h]\n"
         "platform: {url: 'https://p', identity: a}\n", "t.yaml: code is missing"},
    };

    RUN_CASES(cases);
}

/* ---- the password ------------------------------------------------------------- */

SA_TEST(a_variable_of_the_row_is_found_when_nothing_is_said)
{
    static const char *const names[] = {"AGENT_PLATFORM_PASSWORD", "AGENT_PB_PASSWORD"};
    sa_config_t *config;
    const char *value;

    ck_assert_str_eq(load(&config, LOGIN, pool), "");
    ck_assert_int_eq(config->platform_password.source, SA_SECRET_NONE);
    apr_env_set(names[1], "second", pool);
    apr_env_set(names[0], "", pool);
    ck_assert_str_eq(load(&config, LOGIN, pool), "");
    ck_assert_str_eq(sa_config_origin(config, "platform.password", pool), names[1]);
    SA_ASSERT_OK(sa_secret_read(&value, &config->platform_password, pool));
    ck_assert_str_eq(value, "second");
    apr_env_set(names[0], "first", pool);
    ck_assert_str_eq(load(&config, LOGIN, pool), "");
    ck_assert_str_eq(sa_config_origin(config, "platform.password", pool), names[0]);
    ck_assert_str_eq(sa_config_text(config, "platform.password", pool),
                     "environment AGENT_PLATFORM_PASSWORD");
    ck_assert_str_eq(load(&config, LOGIN "platform.password_env: HOME\n", pool), "");
    ck_assert_str_eq(config->platform_password.where, "HOME");
    ck_assert_str_eq(load(&config, BASE, pool), "");        /* alone it is no mistake */
    apr_env_delete(names[0], pool);
    apr_env_delete(names[1], pool);
}

static const char *write_file(const char *directory, const char *name, const char *text,
                              apr_fileperms_t mode, apr_pool_t *pool)
{
    const char *path = apr_pstrcat(pool, directory, "/", name, NULL);
    apr_file_t *file;

    ck_assert_int_eq(apr_file_open(&file, path, APR_FOPEN_WRITE | APR_FOPEN_CREATE
                                   | APR_FOPEN_TRUNCATE, APR_FPROT_OS_DEFAULT, pool), APR_SUCCESS);
    ck_assert_int_eq(apr_file_write_full(file, text, strlen(text), NULL), APR_SUCCESS);
    apr_file_close(file);
    ck_assert_int_eq(apr_file_perms_set(path, mode), APR_SUCCESS);
    return path;
}

#define PRIVATE (APR_FPROT_UREAD | APR_FPROT_UWRITE)

SA_TEST(a_password_may_be_taken_away_but_not_lie_open)
{
    const char *directory = sa_test_dir(pool);
    const char *path = write_file(directory, "password", "hunter2\n", PRIVATE, pool);
    const char *text = apr_pstrcat(pool, LOGIN "platform.password_file: ", path, "\n", NULL);
    sa_config_t *config;
    const char *got;

    ck_assert_str_eq(load(&config, text, pool), "");
    ck_assert_int_eq(apr_file_perms_set(path, PRIVATE | APR_FPROT_WREAD), APR_SUCCESS);
    got = load(&config, text, pool);
    ck_assert_msg(config == NULL && strstr(got, "chmod 600"), "%s", got);
    ck_assert_ptr_null(strstr(got, "hunter2"));
    ck_assert_int_eq(apr_file_remove(path, pool), APR_SUCCESS);
    got = load(&config, text, pool);
    ck_assert_msg(config != NULL && strncmp(got, "W t.yaml:6: cannot read the secret", 34) == 0,
                  "%s", got);
    ck_assert_str_eq(load(&config, LOGIN "platform.password_env: NOT_SET_HERE\n", pool),
                     "W t.yaml:6: the environment variable that platform.password_env names is "
                     "not set");
}

/* ---- metadata.agent ------------------------------------------------------------ */

/* The text for AGENT and URLS (JSON, or NULL), a bar, and what is ignored. */
static const char *remote(const char *agent, const char *urls, apr_pool_t *pool)
{
    cJSON *agent_json = agent ? sa_json_own(cJSON_Parse(agent), pool) : NULL;
    cJSON *urls_json = urls ? sa_json_own(cJSON_Parse(urls), pool) : NULL;
    const char *ignored;
    const char *text = sa_config_remote_text(&ignored, agent_json, urls_json, pool);

    return apr_pstrcat(pool, text, "|", ignored, NULL);
}

static const struct {
    const char *agent;
    const char *urls;
    const char *expected;
} remote_cases[] = {
    {NULL, NULL, "{}|"}, {"{}", NULL, "{}|"}, {"null", "null", "{}|"},
    {"[1]", NULL, "{}|agent"}, {"\"x\"", NULL, "{}|agent"},
    {"{\"location\":5}", NULL, "{\"location\":\"5\"}|"},      /* as in a file */
    {"{\"location\":\"hall-1\",\"logging\":{\"level\":\"debug\"}}", NULL,
     "{\"location\":\"hall-1\",\"logging.level\":\"debug\"}|"},
    /* order, form and spelling do not matter */
    {"{\"tasks\":{\"heartbeat\":{\"interval\":\"90s\",\"enabled\":false}}}", NULL,
     "{\"tasks.heartbeat.enabled\":false,\"tasks.heartbeat.interval\":\"1m30s\"}|"},
    {"{\"tasks.heartbeat.enabled\":\"false\",\"tasks\":{\"heartbeat.interval\":\"1m30s\"}}",
     NULL, "{\"tasks.heartbeat.enabled\":false,\"tasks.heartbeat.interval\":\"1m30s\"}|"},
    {"{\"subject_prefix\":\"x\",\"nats_urls\":[\"nats://a\"],\"logging.level\":\"warn\"}", NULL,
     "{\"logging.level\":\"warn\",\"nats.urls\":[\"nats://a\"],\"subject_prefix\":\"x\"}|"},
    {"{\"tasks.metrics.interval\":\"1m\"}", NULL,
     "{\"tasks.system_metrics.interval\":\"1m\"}|"},
    {"{\"tasks.metrics.interval\":\"1m\",\"tasks.system_metrics.interval\":\"2m\"}", NULL,
     "{\"tasks.system_metrics.interval\":\"1m\"}|tasks.system_metrics.interval"},
    /* URLs in the order given */
    {"{\"nats_urls\":[\"nats://b\",\"nats://a\"]}", "[\"nats://c\"]",
     "{\"nats.urls\":[\"nats://b\",\"nats://a\"]}|"},
    {"{}", "[\"tls://c:4222\"]", "{\"nats.urls\":[\"tls://c:4222\"]}|"},
    {NULL, "\"nats://c\"", "{\"nats.urls\":[\"nats://c\"]}|"},
    {NULL, "[\"nats://u:p@c\"]", "{}|nats.urls"}, {NULL, "[]", "{}|nats.urls"},
    {NULL, "[1]", "{}|nats.urls"}, {NULL, "{\"a\":1}", "{}|nats.urls"},
    /* services to watch, not to control */
    {"{\"tasks\":{\"service_check\":{\"services\":[\"ssh\"]}},"
     "\"commands\":{\"allowed_services\":[\"ssh\"],\"allowed_commands\":[\"rm -rf /\"],"
     "\"allowed_log_paths\":[\"/etc/shadow\"],\"scripts_directory\":\"/tmp\"}}", NULL,
     "{\"tasks.service_check.services\":[\"ssh\"]}|commands.allowed_services "
     "commands.allowed_commands commands.allowed_log_paths commands.scripts_directory"},
    /* paths, identity, trust, the platform itself */
    {"{\"logging.file\":\"/x\",\"code\":\"d\",\"thing_code\":\"d\",\"paths.state\":\"/x\","
     "\"nats\":{\"tls\":{\"insecure_skip_verify\":true,\"ca_file\":\"/x\"},"
     "\"auth\":{\"type\":\"none\",\"pocketbase\":{\"url\":\"http://evil\"}}},"
     "\"platform\":{\"url\":\"http://evil\",\"remote_config\":true,"
     "\"allow_insecure_url\":true},\"tasks.exporters\":[]}", NULL,
     "{}|logging.file code thing_code paths.state nats.tls.insecure_skip_verify "
     "nats.tls.ca_file nats.auth.type nats.auth.pocketbase.url platform.url "
     "platform.remote_config platform.allow_insecure_url tasks.exporters"},
    /* what is not valid */
    {"{\"tasks.heartbeat.interval\":\"5s\"}", NULL, "{}|tasks.heartbeat.interval"},
    {"{\"tasks.heartbeat.interval\":30}", NULL, "{}|tasks.heartbeat.interval"},
    {"{\"tasks.heartbeat.enabled\":1}", NULL, "{}|tasks.heartbeat.enabled"},
    {"{\"location\":\"a.b\"}", NULL, "{}|location"},
    {"{\"location\":{\"a\":\"b\"}}", NULL, "{}|location"},
    {"{\"subject_prefix\":\"$JS.API\"}", NULL, "{}|subject_prefix"},
    {"{\"nats_urls\":[\"ws://h/\\u001b\"]}", NULL, "{}|nats.urls"},
    {"{\"nats_urls\":[\"ws://h/\xff\"]}", NULL, "{}|nats.urls"},
    {"{\"a b\\n\":1,\"\":2,\"nebula\":{\"enabled\":true}}", NULL,
     "{}|a?b? ? nebula.enabled"},
    {"{\"Location\":\"x\"}", NULL, "{}|Location"},
};

SA_TEST(only_harmless_settings_are_kept)
{
    for (size_t i = 0; i < sizeof(remote_cases) / sizeof(remote_cases[0]); i++) {
        const char *got = remote(remote_cases[i].agent, remote_cases[i].urls, pool);

        ck_assert_msg(strcmp(got, remote_cases[i].expected) == 0,
                      "case %d:\n%s\ngot  %s\nwant %s", (int)i, remote_cases[i].agent, got,
                      remote_cases[i].expected);
    }
}

static const char *repeat(const char *text, int count, apr_pool_t *pool)
{
    size_t length = strlen(text);
    char *all = apr_palloc(pool, length * (size_t)count + 1);

    for (int i = 0; i < count; i++) {
        memcpy(all + (size_t)i * length, text, length);
    }
    all[length * (size_t)count] = '\0';
    return all;
}

SA_TEST(what_the_platform_sends_is_bounded)
{
    const char *deep = apr_pstrcat(pool, repeat("{\"a\":", 900, pool), "1", repeat("}", 900, pool),
                                   NULL);
    const char *name = repeat("s", 200, pool);
    const char *services = apr_psprintf(pool, "\"%s\"", name);
    const char *members = "{\"location\":\"first\"";
    const char *got;

    ck_assert_str_eq(remote(deep, NULL, pool), "{}|a.a.a.a.a.a.a.a");
    for (int i = 0; i < 100; i++) {
        services = apr_psprintf(pool, "%s,\"%s\"", services, name);
        members = apr_psprintf(pool, "%s,\"x%d\":%d", members, i, i);
    }
    got = remote(apr_pstrcat(pool, members, "}", NULL), NULL, pool);
    ck_assert_ptr_nonnull(strstr(got, "{\"location\":\"first\"}|x0 x1 "));
    ck_assert_str_eq(got + strlen(got) - 8, " x19 ...");
    got = remote(apr_pstrcat(pool, "{\"tasks.service_check\":{\"services\":[", services,
                             "],\"interval\":\"1h\"},\"location\":\"x\"}", NULL), NULL, pool);
    ck_assert_str_eq(got, "{\"location\":\"x\",\"tasks.service_check.interval\":\"1h\"}|"
                          "tasks.service_check.services");
    got = remote(apr_pstrcat(pool, "{\"location\":\"x\"",
                             repeat(",\"y\":\"0123456789012345678901234567890123456789\"", 25000,
                                    pool), "}", NULL), NULL, pool);
    ck_assert(strlen(got) < 200);
    got = remote(apr_pstrcat(pool, "{\"", repeat("k", 1 << 20, pool), "\":1}", NULL), NULL, pool);
    ck_assert(strlen(got) < 200);
}

/* ---- its file -------------------------------------------------------------------- */

#define NO_URLS "code: c\nnats.auth.type: platform\nplatform: {url: 'https://p', identity: a}\n"

/* Load TEXT from a file in DIRECTORY, which is the state directory too, with SET or NULL. */
static const char *load_there(sa_config_t **config, const char *directory, const char *text,
                              const char *set, apr_pool_t *pool)
{
    apr_array_header_t *sets = apr_array_make(pool, 1, sizeof(const char *));
    sa_config_source_t source = {.sets = sets};
    apr_array_header_t *complaints;

    source.file = write_file(directory, "t.yaml", apr_pstrcat(pool, text, "paths.state: ",
                                                              directory, "\n", NULL), PRIVATE,
                             pool);
    if (set) {
        APR_ARRAY_PUSH(sets, const char *) = set;
    }
    sa_error_clear(sa_config_load(config, &complaints, &source, pool));
    return join(complaints, pool);
}

SA_TEST(the_platforms_values_stand_in_for_defaults_only)
{
    const char *directory = sa_test_dir(pool);
    sa_config_t *config;

    write_file(directory, SA_CONFIG_REMOTE_FILE,
               "{\"location\":\"far\",\"logging.level\":\"debug\",\"nats.urls\":[\"nats://r\"],"
               "\"tasks.heartbeat.enabled\":false,\"tasks.heartbeat.interval\":\"45s\","
               "\"tasks.service_check.services\":[\"ssh\",\"cron\"]}", PRIVATE, pool);
    ck_assert_str_eq(load_there(&config, directory, NO_URLS "tasks.heartbeat.interval: 30s\n",
                                "logging.level=warn", pool), "");
    ck_assert_str_eq(config->location, "far");
    ck_assert_str_eq(sa_config_origin(config, "location", pool), "platform");
    ck_assert(!sa_config_is_default(config, "location"));
    ck_assert_int_eq(config->log_level, 1);
    ck_assert_str_eq(sa_config_origin(config, "logging.level", pool), "--set");
    ck_assert_int_eq(config->heartbeat_interval, apr_time_from_sec(30));    /* a file's default */
    ck_assert(!config->heartbeat_enabled);
    ck_assert_int_eq(config->nats_urls->nelts, 1);
    ck_assert_str_eq(APR_ARRAY_IDX(config->nats_urls, 0, const char *), "nats://r");
    ck_assert_int_eq(config->services->nelts, 2);
    ck_assert_str_eq(load_there(&config, directory, LOGIN, NULL, pool), "");
    ck_assert_str_eq(APR_ARRAY_IDX(config->nats_urls, 0, const char *), "nats://h:4222");
}

SA_TEST(it_is_read_for_its_type_and_while_it_is_wanted)
{
    const char *directory = sa_test_dir(pool);
    sa_config_t *config;

    write_file(directory, SA_CONFIG_REMOTE_FILE, "{\"location\":\"far\"}", PRIVATE, pool);
    ck_assert_str_eq(load_there(&config, directory, LOGIN "platform.remote_config: false\n", NULL,
                                pool), "");
    ck_assert_str_eq(config->location, "");
    ck_assert_str_eq(load_there(&config, directory, BASE, NULL, pool), "");
    ck_assert_str_eq(config->location, "");
    ck_assert_str_eq(load_there(&config, directory, LOGIN, NULL, pool), "");
    ck_assert_str_eq(config->location, "far");
}

SA_TEST(nothing_in_it_keeps_the_agent_from_starting)
{
    static const struct {
        const char *text;
        const char *complaint;      /* the beginning of one of them */
    } cases[] = {
        {"", "W platform-config.json: the settings of the platform are left out: "},
        {"{", "W platform-config.json: the settings of the platform are left out: "},
        {"[]", "W platform-config.json: the settings of the platform are left out: "},
        {"{\"location\":\"\\u0000\"}", "W platform-config.json: the settings of the platform"},
        {"{\"location\":\"a b\"}", "W platform-config.json: location: \"a b\" must be letters, "
                                   "digits, - and _ only; left out"},
        {"{\"location\":null}", "W platform-config.json: location must be one value; left out"},
        {"{\"nats.urls\":[]}", "W platform-config.json: nats.urls must not be empty; left out"},
        {"{\"tasks.heartbeat.interval\":\"5s\"}",
         "W platform-config.json: tasks.heartbeat.interval: \"5s\" must be from 10s to 24h; left "
         "out"},
        {"{\"commands.allowed_commands\":[\"id\"]}",
         "W platform-config.json: commands.allowed_commands is not for the platform to set; left "
         "out"},
        {"{\"logging.file\":\"/tmp/x\"}",
         "W platform-config.json: logging.file is not for the platform to set; left out"},
        {"{\"code\":\"other\"}",
         "W platform-config.json: code is not for the platform to set; left out"},
        {"{\"nats.tls.insecure_skip_verify\":true}",
         "W platform-config.json: nats.tls.insecure_skip_verify is not for the platform to set"},
        {"{\"platform.url\":\"https://evil\"}",
         "W platform-config.json: platform.url is not for the platform to set; left out"},
        {"{\"platform.sync_interval\":\"2s\"}",
         "W platform-config.json: platform.sync_interval is not for the platform to set"},
    };
    const char *directory = sa_test_dir(pool);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sa_config_t *config;
        const char *got;

        write_file(directory, SA_CONFIG_REMOTE_FILE, cases[i].text, PRIVATE, pool);
        got = load_there(&config, directory, LOGIN, NULL, pool);
        ck_assert_msg(config != NULL, "%s: %s", cases[i].text, got);
        ck_assert_msg(strncmp(got, cases[i].complaint, strlen(cases[i].complaint)) == 0, "%s: %s",
                      cases[i].text, got);
        ck_assert_str_eq(config->location, "");
    }
}

SA_TEST(its_complaints_and_its_size_are_limited)
{
    const char *directory = sa_test_dir(pool);
    const char *text = "{\"location\":\"far\"";
    sa_config_t *config;
    const char *got;
    int lines = 0;

    for (int i = 0; i < 300; i++) {
        text = apr_psprintf(pool, "%s,\"x%d\":1", text, i);
    }
    write_file(directory, SA_CONFIG_REMOTE_FILE, apr_pstrcat(pool, text, "}", NULL), PRIVATE, pool);
    got = load_there(&config, directory, LOGIN, NULL, pool);
    for (const char *c = got; *c; c++) {
        lines += *c == '\n';
    }
    ck_assert_int_eq(lines, 20);
    ck_assert_ptr_nonnull(strstr(got, "\nW platform-config.json: 280 more are left out"));
    ck_assert_str_eq(config->location, "far");
    write_file(directory, SA_CONFIG_REMOTE_FILE,
               apr_pstrcat(pool, "{\"location\":\"far\"", repeat(" ", 1 << 20, pool), "}", NULL),
               PRIVATE, pool);
    got = load_there(&config, directory, LOGIN, NULL, pool);
    ck_assert_msg(strstr(got, "larger than 16384 bytes"), "%s", got);
    write_file(directory, SA_CONFIG_REMOTE_FILE, repeat("{\"a\":", 3000, pool), PRIVATE, pool);
    got = load_there(&config, directory, LOGIN, NULL, pool);
    ck_assert_msg(config && strstr(got, "left out"), "%s", got);
    ck_assert_str_eq(config->location, "");
}

SA_TEST(a_file_that_others_could_have_written_is_not_believed)
{
    const char *directory = sa_test_dir(pool);
    const char *path = write_file(directory, SA_CONFIG_REMOTE_FILE, "{\"location\":\"far\"}",
                                  PRIVATE | APR_FPROT_WWRITE, pool);
    sa_config_t *config;
    const char *got = load_there(&config, directory, LOGIN, NULL, pool);

    ck_assert_msg(config && strstr(got, "W platform-config.json: the settings of the platform are "
                                        "left out: "), "%s", got);
    ck_assert_str_eq(config->location, "");
    ck_assert_int_eq(apr_file_perms_set(path, PRIVATE), APR_SUCCESS);
    ck_assert_str_eq(load_there(&config, directory, LOGIN, NULL, pool), "");
    ck_assert_str_eq(config->location, "far");
}

SA_TEST(no_rule_over_two_settings_makes_it_an_error)
{
    const char *directory = sa_test_dir(pool);
    sa_config_t *config;

    write_file(directory, SA_CONFIG_REMOTE_FILE,
               "{\"subject_prefix\":\"agents.c\",\"tasks.heartbeat.interval\":\"10m\","
               "\"tasks.agent_metrics.enabled\":false,\"nats.urls\":[\"wss://h\"]}", PRIVATE, pool);
    ck_assert_str_eq(load_there(&config, directory, NO_URLS, NULL, pool),
                     "W platform-config.json: subject_prefix: \"agents.c\" ends with the code, "
                     "which is added by itself: subjects begin with agents.c.c\n"
                     "W platform-config.json: tasks.heartbeat.interval is longer than "
                     "tasks.system_metrics.interval: the machine looks dead between two reports");
    ck_assert_ptr_nonnull(config);
    /* and none makes a file good that is wrong without it */
    load_there(&config, directory, LOGIN "tasks: {exporters: [{name: agent, url: 'http://h'}]}\n",
               NULL, pool);
    ck_assert_ptr_null(config);
}

SA_TEST(a_reload_sees_what_the_platform_changed)
{
    const char *directory = sa_test_dir(pool);
    sa_config_t *before;
    sa_config_t *after;
    const char *restart;

    write_file(directory, SA_CONFIG_REMOTE_FILE, "{\"logging.level\":\"debug\"}", PRIVATE, pool);
    load_there(&before, directory, LOGIN, NULL, pool);
    write_file(directory, SA_CONFIG_REMOTE_FILE,
               "{\"logging.level\":\"warn\",\"subject_prefix\":\"x\"}", PRIVATE, pool);
    load_there(&after, directory, LOGIN, NULL, pool);
    ck_assert_uint_eq(sa_config_compare(&restart, before, after, pool), SA_ROOM_LOG);
    ck_assert_str_eq(restart, "subject_prefix");
    sa_config_keep_fixed(after, before, pool);
    ck_assert_str_eq(after->subject_prefix, "agents");
}

/* What one side keeps the other reads without a complaint. */
SA_TEST(what_is_kept_is_taken)
{
    const char *directory = sa_test_dir(pool);
    cJSON *agent = sa_json_own(cJSON_Parse(
        "{\"location\":\"far\",\"subject_prefix\":\"a.b\",\"nats_urls\":[\"nats://x\",\"tls://y\"],"
        "\"logging\":{\"level\":\"warn\"},\"tasks\":{\"heartbeat\":{\"interval\":\"1m\"},"
        "\"service_check\":{\"services\":[]},\"inventory\":{\"interval\":\"30d\"}}}"), pool);
    const char *ignored;
    const char *text = sa_config_remote_text(&ignored, agent, NULL, pool);
    sa_config_t *config;

    ck_assert_str_eq(ignored, "");
    write_file(directory, SA_CONFIG_REMOTE_FILE, text, PRIVATE, pool);
    ck_assert_str_eq(load_there(&config, directory, NO_URLS, NULL, pool), "");
    ck_assert_str_eq(config->subject_prefix, "a.b");
    ck_assert_int_eq(config->nats_urls->nelts, 2);
    ck_assert_int_eq(config->inventory_interval, apr_time_from_sec(30 * 86400));
    ck_assert_str_eq(sa_config_origin(config, "tasks.service_check.services", pool), "platform");
}

SA_TEST_MAIN("config_platform", all_spellings_of_the_group_load,
             several_spellings_must_say_the_same,
             mistakes_under_another_name_are_named_as_they_were_written,
             the_type_needs_a_url_and_an_identity,
             a_password_goes_in_the_clear_to_this_machine_only, a_pin_is_one_or_two_hashes,
             a_nought_stops_the_visits_and_little_is_for_trials,
             the_other_agents_switch_is_an_interval_of_nought, the_urls_of_the_bus_may_come_later,
             a_variable_of_the_row_is_found_when_nothing_is_said,
             a_password_may_be_taken_away_but_not_lie_open, only_harmless_settings_are_kept,
             what_the_platform_sends_is_bounded, the_platforms_values_stand_in_for_defaults_only,
             it_is_read_for_its_type_and_while_it_is_wanted,
             nothing_in_it_keeps_the_agent_from_starting, its_complaints_and_its_size_are_limited,
             a_file_that_others_could_have_written_is_not_believed,
             no_rule_over_two_settings_makes_it_an_error, a_reload_sees_what_the_platform_changed,
             what_is_kept_is_taken)
