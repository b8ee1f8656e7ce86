/* Reading one text: values, and every form of complaint with its place. */
#include "sa_test.h"

#include <apr_env.h>
#include <apr_strings.h>

#include "sa_buf.h"
#include "sa_config.h"
#include "../../src/config/sa_config_private.h"
#include "test_config_fixture.h"

/* What is required, on lines 1 and 2. */
#define BASE "code: c\nnats.urls: [\"nats://h:4222\"]\n"

/* What type platform needs, on three more. */
#define PLATFORM "nats.auth.type: platform\nplatform.url: https://p\nplatform.identity: a@b\n"

SA_TEST(each_mistake_is_named_with_its_line_and_what_it_must_be)
{
    static const complaint_case_t cases[] = {
        {BASE "tasks:\n  heartbeat:\n    interval: 5s\n",
         "t.yaml:5: tasks.heartbeat.interval: \"5s\" must be from 10s to 24h", false},
        {BASE "tasks:\n  heartbeat:\n    interval: soon\n",
         "t.yaml:5: tasks.heartbeat.interval: \"soon\" must be a duration with its unit, such as "
         "30s, from 10s to 24h", false},
        {BASE "tasks:\n  heartbeat:\n    interval: 30\n",
         "t.yaml:5: tasks.heartbeat.interval: \"30\" must be a duration with its unit, such as "
         "30s, from 10s to 24h", false},
        {BASE "nats.auth.type: password\n",
         "t.yaml:3: nats.auth.type: \"password\" must be one of creds, token, userpass, nkey, "
         "none, platform", false},
        {BASE "spool: {window: many}\n",
         "t.yaml:3: spool.window: \"many\" must be a whole number from 1 to 4096", false},
        {BASE "spool: {window: 0}\n",
         "t.yaml:3: spool.window: \"0\" must be from 1 to 4096", false},
        {BASE "spool: {max_size: 12XB}\n",
         "t.yaml:3: spool.max_size: \"12XB\" must be a size, such as 64KB or 1GB, from 1MB to 64GB",
         false},
        {BASE "location: \"a b\"\n",
         "t.yaml:3: location: \"a b\" must be letters, digits, - and _ only", false},
        {BASE "subject_prefix: ''\n", "t.yaml:3: subject_prefix: \"\" must not be empty", false},
        {BASE "logging:\n  file: agent.log\n",
         "t.yaml:4: logging.file: \"agent.log\" must be an absolute path", false},
        {BASE "location: \"0123456789012345678901234567890123456789012345678901234567890123\"\n",
         "t.yaml:3: location: \"0123456789012345678901234567890123456789012345678901234567890123\" "
         "must be at most 63 bytes", false},
        {"code: c\n", "t.yaml: nats.urls is missing", false},
        {"", "t.yaml: code is missing\nt.yaml: nats.urls is missing", false},
        {"---\n", "t.yaml: code is missing\nt.yaml: nats.urls is missing", false},
        {"code:\nnats:\n", "t.yaml: code is missing\nt.yaml: nats.urls is missing", false},
        {"code: ''\nnats: {urls: []}\n",
         "t.yaml:1: code: \"\" must not be empty\nt.yaml:2: nats.urls must not be empty", false},
        {"code: c\nnats:\n  urls:\n    - nats://a\n    - http://b\n",
         "t.yaml:5: nats.urls: \"http://b\" must be nats://, tls://, ws:// or wss:// with a host "
         "and, if need be, a port", false},
        {"code: c\nnats:\n  urls: [\"nats://me:secret@h\"]\n",
         "t.yaml:3: nats.urls: \"nats://***@h\" must not hold a user, password or token; nats.auth "
         "is the place for them", false},
        {"code: c\nnats:\n  urls: [n://a, n://b]\n  auth: {type: x}\n",
         "t.yaml:3: nats.urls: \"n://a\" must be nats://, tls://, ws:// or wss:// with a host and, "
         "if need be, a port\n"
         "t.yaml:4: nats.auth.type: \"x\" must be one of creds, token, userpass, nkey, none, "
         "platform", false},
    };

    RUN_CASES(cases);
}

/* The unit waits for what is not there yet, and for nothing else. */
SA_TEST(what_is_only_missing_is_told_from_what_is_wrong)
{
    static const struct {
        const char *text;
        bool only_missing;
    } rows[] = {
        {"", true},
        {"code: c\n", true},
        {"nats.urls: [\"nats://h:4222\"]\n", true},
        {"code: c\nspool: {window: 0}\n", false},
        {"code: c\nbogus: 1\n", false},
        {BASE "nats.auth.type: token\n", false},
        {BASE "tasks: {exporters: [{name: x}]}\n", false},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        apr_array_header_t *complaints;
        sa_config_t *config;
        bool only_missing = true;

        sa_error_clear(sa_config__load_memory(&config, &complaints, "t.yaml", rows[i].text,
                                              strlen(rows[i].text), pool));
        ck_assert_ptr_null(config);
        for (int k = 0; k < complaints->nelts; k++) {
            only_missing = only_missing && APR_ARRAY_IDX(complaints, k, sa_complaint_t).missing;
        }
        ck_assert_msg(only_missing == rows[i].only_missing, "%s", rows[i].text);
    }
}

SA_TEST(other_words_for_true_and_false_are_refused_by_name)
{
    static const char *const words[] = {"yes", "no", "on", "off", "True", "FALSE", "y", "1"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        sa_config_t *config;

        ck_assert_str_eq(
            load(&config, apr_psprintf(pool, BASE "nats.micro: %s\n", words[i]), pool),
            apr_psprintf(pool, "t.yaml:3: nats.micro: \"%s\" must be true or false", words[i]));
    }
}

SA_TEST(a_value_of_the_wrong_kind_is_refused)
{
    static const complaint_case_t cases[] = {
        {BASE "location: [x]\n", "t.yaml:3: location must be one value, not a list", false},
        {BASE "location: {a: b}\n",
         "t.yaml:3: location must be one value, not a group of settings", false},
        {"code: c\nnats.urls: nats://h\n",
         "t.yaml:2: nats.urls must be a list, [one, two], not one value", false},
        {"code: c\nnats.urls: {a: b}\n",
         "t.yaml:2: nats.urls must be a list, [one, two], not a group of settings", false},
        {"code: c\nnats.urls: [[nats://h]]\n",
         "t.yaml:2: nats.urls must be a list of single values, not a list", false},
        {BASE "tasks: true\n", "t.yaml:3: tasks must be a group of settings, not one value", false},
        {BASE "tasks: [heartbeat]\n", "t.yaml:3: tasks must be a group of settings, not a list",
         false},
        {BASE "tasks: {exporters: {name: n}}\n",
         "t.yaml:3: tasks.exporters must be a list of groups, not a group of settings", false},
        {BASE "tasks: {exporters: [n]}\n",
         "t.yaml:3: tasks.exporters[] must be a group of settings, not one value", false},
        {"[a]", "t.yaml:1: must be settings (key: value), not a list", false},
        {"a", "t.yaml:1: must be settings (key: value), not one value", false},
        {BASE "? [a]\n: b\n", "t.yaml:3: a list cannot be a key", false},
        {BASE "'': b\n", "t.yaml:3: a key must have from 1 to 128 bytes", false},
    };

    RUN_CASES(cases);
}

SA_TEST(nothing_is_set_twice_within_one_file)
{
    static const complaint_case_t cases[] = {
        {BASE "tasks:\n  heartbeat:\n    enabled: true\n    enabled: true\n",
         "t.yaml:6: tasks.heartbeat.enabled is set twice; first on line 5", false},
        {BASE "code: d\n", "t.yaml:3: code is set twice; first on line 1", false},
        {BASE "logging: {level: info}\nspool:\nlogging: {file: /l}\n",
         "t.yaml:5: logging is set twice; first on line 3", false},
        {BASE "logging: {level: info}\nlogging.level: info\n",
         "t.yaml:4: logging.level is set twice; first on line 3", false},
        {BASE "nats: {auth: {token_file: /a, token_file: /b}}\n",
         "t.yaml:3: nats.auth.token_file is set twice; first on line 3\n"
         "t.yaml:3: cannot read the secret nats.auth.token: cannot open /a: No such file or "
         "directory", false},
        {BASE "tasks: {exporters: [{name: a, name: b, url: 'http://h'}]}\n",
         "t.yaml:3: tasks.exporters[].name is set twice; first on line 3", false},
        {BASE "tasks: {exporters: [{name: a, url: 'http://h', labels: {x: 1, x: 2}}]}\n",
         "t.yaml:3: tasks.exporters[].labels: \"x\" is set twice", false},
    };

    RUN_CASES(cases);
}

SA_TEST(two_spellings_must_say_the_same)
{
    static const complaint_case_t cases[] = {
        {BASE "device_id: c\nthing_code: c\n", "", true},
        {BASE "thing_code: d\n",
         "t.yaml:3: thing_code: \"d\" is not what code on line 1 says (\"c\"); they are the same "
         "setting", false},
        {BASE "tasks:\n  metrics: {interval: 1m}\n  system_metrics: {interval: 60s}\n", "", true},
        {BASE "tasks:\n  metrics: {interval: 1m}\n  system_metrics: {interval: 2m}\n",
         "t.yaml:5: tasks.system_metrics.interval: \"2m\" is not what tasks.metrics.interval on "
         "line 4 says (\"1m\"); they are the same setting", false},
        {BASE "nats.auth_type: none\nnats.auth.type: token\n",
         "t.yaml:4: nats.auth.type: \"token\" is not what nats.auth_type on line 3 says "
         "(\"none\"); they are the same setting\n"
         "t.yaml:4: nats.auth.type: \"token\" needs nats.auth.token_file, nats.auth.token_env or a "
         "systemd credential nats.auth.token", false},
        {BASE PLATFORM "nats.auth_type: pocketbase\n", "", true},
    };

    RUN_CASES(cases);
}

SA_TEST(unknown_settings_are_doubtful_and_the_nearest_is_offered)
{
    static const complaint_case_t cases[] = {
        {BASE "tasks:\n  heartbeet:\n    interval: 5s\n",
         "t.yaml:5: tasks.heartbeet.interval is not an option; did you mean "
         "tasks.heartbeat.interval?", true},
        {BASE "platforms: 1\n", "t.yaml:3: platforms is not an option; did you mean platform?",
         true},
        {BASE "something_else: 1\n", "t.yaml:3: something_else is not an option", true},
        {BASE "nats: {auth: {tokn_file: x}}\n",
         "t.yaml:3: nats.auth.tokn_file is not an option; did you mean nats.auth.token_file?",
         true},
        {BASE "a: {b: [1, {c: d}]}\n", "t.yaml:3: a.b is not an option", true},
        {BASE "tasks: {exporters: [{name: n, url: 'http://h', intervall: 1s}]}\n",
         "t.yaml:3: tasks.exporters[].intervall is not an option; did you mean "
         "tasks.exporters[].interval?", true},
        {BASE "<<: {location: x}\n",
         "t.yaml:3: <<.location is not an option; did you mean location?", true},
    };

    RUN_CASES(cases);
}

SA_TEST(a_secret_in_the_file_is_refused_and_never_shown)
{
    static const complaint_case_t cases[] = {
        {BASE "nats:\n  auth:\n    token: hunter2\n",
         "t.yaml:5: nats.auth.token must not stand here: put it into a file and name that by "
         "nats.auth.token_file, or name an environment variable by nats.auth.token_env", false},
        {BASE "nats: {auth: {password: [hunter2]}}\n",
         "t.yaml:3: nats.auth.password must not stand here: put it into a file and name that by "
         "nats.auth.password_file, or name an environment variable by nats.auth.password_env",
         false},
        {BASE "nats: {auth: {token_file: hunter2}}\n",
         "t.yaml:3: nats.auth.token_file must be an absolute path", false},
        {BASE "nats: {auth: {token_env: \"hunter 2\"}}\n",
         "t.yaml:3: nats.auth.token_env must be the name of a variable", false},
        {BASE "nats: {auth: {token_env: SA_TEST_hunter2}}\n",
         "t.yaml:3: the environment variable that nats.auth.token_env names is not set", false},
        {BASE "nats: {auth: {token_file: [hunter2]}}\n",
         "t.yaml:3: nats.auth.token_file must be one value", false},
        {BASE "nats: {auth: {token: }}\n", "", true},
        {BASE "nats: {auth: {token_file: /nowhere/hunter, token_env: X}}\n",
         "t.yaml:3: nats.auth.token_env: there is nats.auth.token_file on line 3 already; one of "
         "them must go\n"
         "t.yaml:3: cannot read the secret nats.auth.token: cannot open /nowhere/hunter: No such "
         "file or directory", false},
    };

    RUN_CASES(cases);
}

SA_TEST(rules_over_two_options_name_the_place)
{
    static const complaint_case_t cases[] = {
        {BASE "nats.auth.type: token\n",
         "t.yaml:3: nats.auth.type: \"token\" needs nats.auth.token_file, nats.auth.token_env or a "
         "systemd credential nats.auth.token", false},
        {BASE "nats.auth.type: nkey\npaths.state: /no/state\n",
         "t.yaml:3: nats.auth.type: \"nkey\" needs the seed in /no/state/nats.nkey, which is not "
         "there; stone-age-agent keygen makes one", true},
        {BASE "nats.auth.type: nkey\nnats.auth.nkey_file: ''\n",
         "t.yaml:4: nats.auth.nkey_file: \"\" must not be empty", false},
        {BASE "nats.auth.type: userpass\n",
         "t.yaml:3: nats.auth.type: \"userpass\" needs nats.auth.username\n"
         "t.yaml:3: nats.auth.type: \"userpass\" needs nats.auth.password_file, "
         "nats.auth.password_env or a systemd credential nats.auth.password", false},
        {BASE "nats.tls: {key_file: /k}\n", "t.yaml:3: nats.tls.key_file needs nats.tls.cert_file",
         false},
        {BASE "nats.tls: {cert_file: /k}\n", "t.yaml:3: nats.tls.cert_file needs nats.tls.key_file",
         false},
        {BASE "nats.tls: {cert_file: /c, key_file: /k}\n", "", true},
        {BASE "nats.tls: {insecure_skip_verify: true}\n",
         "t.yaml:3: nats.tls.insecure_skip_verify is on: Believe any certificate. Whoever sits "
         "between can read and change everything.", true},
        {BASE "tasks.heartbeat.interval: 5m\n",
         "t.yaml:3: tasks.heartbeat.interval is longer than tasks.system_metrics.interval: the "
         "machine looks dead between two reports", true},
        {BASE "tasks.heartbeat.interval: 5m\ntasks.metrics.enabled: false\n", "", true},
        {BASE "nats.reconnect_wait: 5m\n",
         "t.yaml:3: nats.reconnect_wait is longer than nats.reconnect_max, which is the limit",
         true},
        {BASE "subject_prefix: agents.c\n",
         "t.yaml:3: subject_prefix: \"agents.c\" ends with the code, which is added by itself: "
         "subjects begin with agents.c.c", true},
        {BASE "commands.reply_prefixes: [_INBOX., age]\n",
         "t.yaml:3: commands.reply_prefixes: \"age\" covers subjects of the agents themselves "
         "(agents....): whoever asks can forge reports", true},
    };

    RUN_CASES(cases);
}

SA_TEST(the_roads_to_the_bus_have_rules)
{
    static const complaint_case_t cases[] = {
        {"code: c\nnats.urls: ['wss://h', 'nats://h', 'ws://g:80/x']\nnats.tls.enabled: true\n",
         "t.yaml:3: nats.tls.enabled: \"ws://g:80/x\" is WebSocket in the clear all the same; "
         "begin it with wss://", true},
        {"code: c\nnats.urls: ['wss://h/leafnode', 'ws://h/a/mqtt?b', 'ws://h/mqtt/c']\n",
         "t.yaml:2: nats.urls: \"wss://h/leafnode\": the server takes a path with this ending "
         "for something else than a client; name another\n"
         "t.yaml:2: nats.urls: \"ws://h/a/mqtt?b\": the server takes a path with this ending "
         "for something else than a client; name another", false},
        {BASE "nats.tls.handshake_first: true\n",
         "t.yaml:3: nats.tls.handshake_first is for tls:// URLs, and nats.urls has none", true},
        {BASE "nats.websocket.headers: {X-A: b, Host: c, 'a b': d, sec-websocket-key: e}\n",
         "t.yaml:3: nats.websocket.headers: \"Host\" is the agent's own to say\n"
         "t.yaml:3: nats.websocket.headers: \"a b\" is no name of a header\n"
         "t.yaml:3: nats.websocket.headers: \"sec-websocket-key\" is the agent's own to say",
         false},
        {BASE "nats.websocket.headers: {Authorization: Bearer x}\n",
         "t.yaml:3: nats.websocket.headers: \"Authorization\" is a secret mostly; the place for "
         "it is the file that nats.websocket.headers_file names", true},
        {BASE "nats.proxy: 'ftp://p'\n",
         "t.yaml:3: nats.proxy: \"ftp://p\" must be http://, https://, socks5:// or socks5h:// "
         "with a host and a port, or none", false},
        {BASE "nats.proxy.url: 'http://u:secret@p:1'\n",
         "t.yaml:3: nats.proxy.url: \"http://***@p:1\" must not hold a user or password; "
         "nats.proxy.username and password_file are the places for them", false},
        {BASE "nats.proxy: {url: 'http://p:1', username: u}\n",
         "t.yaml:3: nats.proxy.username needs nats.proxy.password_file (or _env, or a systemd "
         "credential nats.proxy.password)", false},
        {BASE "nats.proxy: {url: none, except: [a.example]}\n",
         "t.yaml:3: nats.proxy.except has no effect without nats.proxy.url", true},
    };

    RUN_CASES(cases);
}

SA_TEST(exporters_are_checked_one_by_one_and_together)
{
    static const complaint_case_t cases[] = {
        {BASE "tasks:\n  exporters:\n    - name: a\n",
         "t.yaml:5: tasks.exporters[].url is missing", false},
        {BASE "tasks:\n  exporters:\n    - {}\n",
         "t.yaml:5: tasks.exporters[].name is missing\nt.yaml:5: tasks.exporters[].url is missing",
         false},
        {BASE "tasks:\n  exporters:\n    - {name: a, url: 'http://h'}\n"
              "    - {url: 'http://h',\n       name: a}\n",
         "t.yaml:7: tasks.exporters[].name: \"a\" is taken already (t.yaml:5)", false},
        {BASE "tasks:\n  exporters:\n    - {name: a, url: 'http://h', interval: 5s, timeout: 6s}\n",
         "t.yaml:5: tasks.exporters[].timeout must not be longer than the interval", false},
        {BASE "tasks:\n  exporters:\n    - {name: a, url: 'http://h', interval: 5s}\n", "", true},
        {BASE "tasks:\n  exporters:\n    - {name: a, url: 'http://h', interval: x}\n",
         "t.yaml:5: tasks.exporters[].interval: \"x\" must be a duration with its unit, such as "
         "30s, from 1s to 24h", false},
        {BASE "tasks:\n  exporters:\n    - {name: a, url: 'http://h', interval: 5s, timeout: x}\n",
         "t.yaml:5: tasks.exporters[].timeout: \"x\" must be a duration with its unit, such as "
         "30s, from 100ms to 2m", false},
        {BASE "tasks:\n  exporters:\n    - {name: a, url: 'http://h', labels: {job: x}}\n",
         "t.yaml:5: tasks.exporters[].labels: \"job\" is the agent's own label", false},
        {BASE "tasks:\n  exporters:\n    - {name: a, url: 'http://h', labels: [a]}\n",
         "t.yaml:5: tasks.exporters[].labels must be names with values, {one: \"1\", two: \"2\"}, "
         "not a list", false},
        {BASE "tasks:\n  exporters:\n    - {name: a, url: 'http://h', labels: {a-b: x}}\n",
         "t.yaml:5: tasks.exporters[].labels: \"a-b\" must be a label name: letters, digits and _, "
         "not beginning with a digit or __", false},
        {BASE "tasks:\n  exporters:\n    - {name: a, url: 'http://h', labels: {a: }}\n",
         "t.yaml:5: tasks.exporters[].labels: \"a\" has a value that must not be empty", false},
        {BASE "tasks: {exporters: []}\n", "", true},
        {BASE "tasks: {exporters: }\n", "", true},
        {BASE "tasks:\n  exporters:\n    - {name: a, url: 'http://me:hunter2@h/'}\n",
         "t.yaml:5: tasks.exporters[].url: \"http://***@h/\" must not hold a user or password; "
         "there are settings of their own for them", false},
    };

    RUN_CASES(cases);
}

/* Logins and filters. */
SA_TEST(an_exporters_options_fit_together)
{
    static const complaint_case_t cases[] = {
        {BASE "tasks:\n  exporters:\n    - {name: agent, url: 'http://h'}\n",
         "t.yaml:5: tasks.exporters[].name: \"agent\" is for the agent's own counters "
         "(tasks.agent_metrics)", false},
        {BASE "tasks:\n  agent_metrics: {enabled: false}\n  exporters:\n"
              "    - {name: agent, url: 'http://h'}\n", "", true},
        {BASE "tasks:\n  exporters:\n    - {name: a, url: 'https://h', cert_file: /c}\n",
         "t.yaml:5: tasks.exporters[].cert_file needs key_file", false},
        {BASE "tasks:\n  exporters:\n    - {name: a, url: 'https://h', username: u}\n",
         "t.yaml:5: tasks.exporters[].username needs password", false},
        {BASE "tasks:\n  exporters:\n    - {name: a, url: 'https://h', password: hunter2}\n",
         "t.yaml:5: tasks.exporters[].password must not stand here: put it into a file and name "
         "that by tasks.exporters[].password_file, or name an environment variable by "
         "tasks.exporters[].password_env", false},
        {BASE "tasks:\n  exporters:\n    - {name: a, url: 'https://h', bearer_file: x}\n",
         "t.yaml:5: tasks.exporters[].bearer_file must be an absolute path", false},
        {BASE "tasks:\n  exporters:\n    - {name: a, url: 'https://h', bearer_env: NOT_SET_X}\n",
         "t.yaml:5: the environment variable that tasks.exporters[].bearer_env names is not set",
         false},
        {BASE "tasks:\n  exporters:\n    - {name: a, url: 'https://h', bearer_env: HOME, "
              "username: u, password_env: HOME}\n",
         "t.yaml:5: tasks.exporters[].bearer: there are user and password as well; one of them "
         "must go", false},
        {BASE "tasks:\n  exporters:\n    - {name: a, url: 'http://h', bearer_env: HOME}\n",
         "t.yaml:5: tasks.exporters[].url: the secret goes over the network in the clear", true},
        {BASE "tasks:\n  exporters:\n    - {name: a, url: 'http://127.0.0.1', "
              "username: u, password_env: HOME}\n", "", true},
        {BASE "tasks:\n  exporters:\n    - {name: a, url: 'https://h', "
              "insecure_skip_verify: true}\n",
         "t.yaml:5: tasks.exporters[].insecure_skip_verify is on: Believe any certificate. "
         "Whoever sits between can read and change everything.", true},
        {BASE "tasks:\n  exporters:\n    - {name: a, url: 'http://h', keep: "
              "[aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]}\n",
         "t.yaml:5: tasks.exporters[].keep: "
         "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\" must be at most 63 "
         "bytes, * not counted", false},
        {BASE "tasks:\n  exporters:\n    - {name: a, url: 'http://h', drop_if: [mode]}\n",
         "t.yaml:5: tasks.exporters[].drop_if: \"mode\" must be LABEL=PATTERN", false},
        {BASE "tasks:\n  exporters:\n    - {name: a, url: 'http://h', keep_if: ['a-b=c']}\n",
         "t.yaml:5: tasks.exporters[].keep_if: \"a-b=c\" must begin with the name of a label",
         false},
        {BASE "tasks:\n  exporters:\n    - {name: a, url: 'http://h', keep_if: ['a='], "
              "drop: ['go_*', '?'], drop_labels: [x, y]}\n", "", true},
    };

    RUN_CASES(cases);
}

SA_TEST(yaml_that_is_more_than_settings_is_refused)
{
    static const complaint_case_t cases[] = {
        {BASE "location: &x y\n", "t.yaml:3: anchors (&name) are not allowed", false},
        {BASE "location: *x\n", "t.yaml:3: aliases (*name) are not allowed", false},
        {BASE "a: &a [x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n",
         "t.yaml:3: anchors (&name) are not allowed", false},
        {BASE "location: !!str y\n", "t.yaml:3: tags (!name) are not allowed", false},
        {BASE "tasks: !x {a: b}\n", "t.yaml:3: tags (!name) are not allowed", false},
        {BASE "tasks: !x [a]\n", "t.yaml:3: tags (!name) are not allowed", false},
        {BASE "---\n" BASE, "t.yaml:3: a second document (---) is not allowed", false},
        {BASE "tasks:\n\theartbeat: {}\n",
         "t.yaml:4: indented with a tab; YAML wants spaces", false},
        {BASE "location: [\n",
         "t.yaml:4: not YAML: while parsing a flow node, did not find expected node content",
         false},
        {BASE "location: \"a\\0b\"\n", "t.yaml:3: a NUL character is not allowed", false},
        {BASE "location: \"a\\e[31mb\"\n",
         "t.yaml:3: location: \"a?[31mb\" must not hold control characters", false},
        {BASE "location: @x\n",
         "t.yaml:3: not YAML: while scanning for the next token, found character that cannot start "
         "any token", false},
    };

    RUN_CASES(cases);
}

SA_TEST(bytes_that_are_no_text_are_refused_with_their_line)
{
    static const struct {
        const char *text;
        size_t length;
        const char *complaint;
    } cases[] = {
        {"code: c\nlocation: a\0b\n", 21,
         "t.yaml:2: not text in UTF-8 (control characters are not allowed)"},
        {"code: c\n\nlocation: a\x01\n", 22,
         "t.yaml:3: not text in UTF-8 (control characters are not allowed)"},
        {"code: c\nlocation: \xff\n", 20,
         "t.yaml:2: not text in UTF-8 (invalid leading UTF-8 octet)"},
        {"code: c\nlocation: \xc0\xaf\n", 21,
         "t.yaml:2: not text in UTF-8 (invalid length of a UTF-8 sequence)"},
        {"\xff\xfe" "c\0o\0d\0e\0", 10,
         "t.yaml:1: not text in UTF-8 (invalid leading UTF-8 octet)"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sa_config_t *config;

        ck_assert_str_eq(load_bytes(&config, cases[i].text, cases[i].length, pool),
                         cases[i].complaint);
    }
}

SA_TEST(a_byte_order_mark_and_other_line_ends_are_accepted)
{
    sa_config_t *config;

    ck_assert_str_eq(load(&config, "\xef\xbb\xbf" "code: c\r\nnats:\r\n  urls:\r\n  - nats://h\r\n",
                          pool), "");
    ck_assert_str_eq(config->code, "c");
    ck_assert_str_eq(APR_ARRAY_IDX(config->nats_urls, 0, const char *), "nats://h");
}

static char *repeat(const char *text, int count, apr_pool_t *pool)
{
    size_t length = strlen(text);
    char *all = apr_palloc(pool, length * (size_t)count + 1);

    for (int i = 0; i < count; i++) {
        memcpy(all + (size_t)i * length, text, length);
    }
    all[length * (size_t)count] = '\0';
    return all;
}

SA_TEST(what_could_grow_is_bounded)
{
    const char *long_word = repeat("x", 900000, pool);
    sa_config_t *config;

    ck_assert_str_eq(load(&config, repeat("[", 100000, pool), pool),
                     "t.yaml:1: nested more than 32 levels deep");
    ck_assert_str_eq(load(&config, repeat("{a: ", 100000, pool), pool),
                     "t.yaml:1: nested more than 32 levels deep");
    ck_assert_ptr_nonnull(strstr(load(&config, repeat("- a\n", 20000, pool), pool),
                                 "more than 10000 YAML items"));
    ck_assert_ptr_nonnull(strstr(load(&config, apr_pstrcat(pool, BASE "location: \"", long_word,
                                                           "\"\n", NULL), pool),
                                 "must be at most 63 bytes"));
    ck_assert_ptr_nonnull(strstr(load(&config, apr_pstrcat(pool, BASE "? ", long_word, "\n: 1\n",
                                                           NULL), pool),
                                 "a key must have from 1 to 128 bytes"));
}

SA_TEST(there_are_only_so_many_exporters)
{
    const char *text = BASE "tasks:\n  exporters:\n";
    sa_config_t *config;

    for (int i = 0; i < 257; i++) {
        text = apr_psprintf(pool, "%s  - {name: e%d, url: 'http://h'}\n", text, i);
    }
    ck_assert_str_eq(load(&config, text, pool),
                     "t.yaml:261: tasks.exporters: at most 256 are allowed");
}

/* The errors must not hide behind a hundred warnings. */
SA_TEST(an_error_past_the_last_complaint_still_counts)
{
    const char *text = BASE;
    apr_array_header_t *complaints;
    sa_config_t *config;

    for (int i = 0; i < 150; i++) {
        text = apr_psprintf(pool, "%szz%d: 1\n", text, i);
    }
    SA_ASSERT_OK(sa_config__load_memory(&config, &complaints, "t.yaml", text, strlen(text), pool));
    ck_assert_int_eq(complaints->nelts, SA_CONFIG__COMPLAINTS + 1);
    text = apr_pstrcat(pool, text, "location: a b\n", NULL);
    SA_ASSERT_ERR(sa_config__load_memory(&config, &complaints, "t.yaml", text, strlen(text), pool),
                  SA_ERR_CONFIG);
    ck_assert_ptr_null(config);
    ck_assert_int_eq(complaints->nelts, SA_CONFIG__COMPLAINTS + 1);
    ck_assert(!APR_ARRAY_IDX(complaints, SA_CONFIG__COMPLAINTS, sa_complaint_t).warning);
    ck_assert_str_eq(APR_ARRAY_IDX(complaints, SA_CONFIG__COMPLAINTS, sa_complaint_t).text,
                     "and 51 more");
}

SA_TEST(complaints_are_sorted_by_line)
{
    sa_config_t *config;

    ck_assert_str_eq(load(&config,
                          "code: c\nnats.urls: [nats://h]\nnats.tls.key_file: /k\n"
                          "subject_prefix: agents.c\nlocation: a.b\n", pool),
                     "t.yaml:3: nats.tls.key_file needs nats.tls.cert_file\n"
                     "t.yaml:4: subject_prefix: \"agents.c\" ends with the code, which is added by "
                     "itself: subjects begin with agents.c.c\n"
                     "t.yaml:5: location: \"a.b\" must be letters, digits, - and _ only");
}

SA_TEST(empty_groups_mean_all_defaults)
{
    sa_config_t *config;

    ck_assert_str_eq(load(&config, BASE "tasks:\nspool: ~\ncommands: null\nlogging: {}\npaths:\n"
                                        "location: ~\n", pool), "");
    ck_assert(config->heartbeat_enabled);
    ck_assert_int_eq(config->heartbeat_interval, apr_time_from_sec(30));
    ck_assert_int_eq(config->spool_max_size, 256 << 20);
    ck_assert_int_eq(config->spool_max_age, apr_time_from_sec(7 * 86400));
    ck_assert_str_eq(config->location, "");
    ck_assert_int_eq(config->reply_prefixes->nelts, 1);
    ck_assert_str_eq(APR_ARRAY_IDX(config->reply_prefixes, 0, const char *), "_INBOX.");
    ck_assert_int_eq(config->exporters->nelts, 0);
    ck_assert_int_eq(config->nats_auth_type, SA_AUTH_CREDS);
    ck_assert_int_eq(config->nats_token.source, SA_SECRET_NONE);
    ck_assert(sa_config_is_default(config, "location"));
}

SA_TEST(values_of_every_type_arrive)
{
    sa_config_t *config;
    const sa_exporter_config_t *exporter;
    const sa_config_pair_t *pair;

    ck_assert_str_eq(load(&config,
                          "code: 'c-1'\n"
                          "nats:\n  urls: [\"nats://a\", tls://b:1]\n  micro: false\n"
                          "  auth: {type: none}\n"
                          "tasks:\n  exporters:\n"
                          "    - name: node\n      url: http://127.0.0.1:9100/metrics\n"
                          "      interval: 2m\n      max_size: 2MB\n"
                          "      labels: {site: north, rack: 5}\n"
                          "    - {name: b, url: 'https://h'}\n"
                          "spool: {window: 7, max_age: 90m}\n", pool), "");
    ck_assert_str_eq(config->code, "c-1");
    ck_assert_int_eq(config->nats_urls->nelts, 2);
    ck_assert_str_eq(APR_ARRAY_IDX(config->nats_urls, 1, const char *), "tls://b:1");
    ck_assert(!config->nats_micro);
    ck_assert_int_eq(config->nats_auth_type, SA_AUTH_NONE);
    ck_assert_int_eq(config->spool_window, 7);
    ck_assert_int_eq(config->spool_max_age, apr_time_from_sec(5400));
    ck_assert_int_eq(config->exporters->nelts, 2);
    exporter = &APR_ARRAY_IDX(config->exporters, 0, sa_exporter_config_t);
    ck_assert_str_eq(exporter->name, "node");
    ck_assert_int_eq(exporter->interval, apr_time_from_sec(120));
    ck_assert_int_eq(exporter->timeout, apr_time_from_sec(10));
    ck_assert_int_eq(exporter->max_size, 2 << 20);
    ck_assert_int_eq(exporter->labels->nelts, 2);
    pair = &APR_ARRAY_IDX(exporter->labels, 1, sa_config_pair_t);
    ck_assert_str_eq(pair->key, "rack");
    ck_assert_str_eq(pair->value, "5");
    exporter = &APR_ARRAY_IDX(config->exporters, 1, sa_exporter_config_t);
    ck_assert_str_eq(exporter->ca_file, "");
    ck_assert_int_eq(exporter->labels->nelts, 0);
}

SA_TEST(reserved_paths_are_accepted_whole_and_remembered)
{
    sa_config_t *config;

    ck_assert_str_eq(load(&config, BASE "sync: {url: [1, {a: b}]}\nnebula: true\n"
                                        "nats: {max_reconnects: {x: 1}}\n",
                          pool), "");
    ck_assert_str_eq(sa_config_reserved(config, pool), "sync nebula nats.max_reconnects");
    ck_assert_str_eq(load(&config, BASE "nebula: {enabled: false, source: [x], "
                                        "config_file: /n}\n", pool), "");
    ck_assert_str_eq(sa_config_reserved(config, pool), "nebula.source");
    ck_assert_str_eq(config->nebula_config_file, "/n");
    ck_assert_str_eq(load(&config, BASE, pool), "");
    ck_assert_str_eq(sa_config_reserved(config, pool), "");
}

SA_TEST(insecure_switches_are_listed)
{
    sa_config_t *config;

    load(&config, BASE "nats.tls.insecure_skip_verify: true\n", pool);
    ck_assert_str_eq(sa_config_insecure(config, pool), "nats.tls.insecure_skip_verify");
    load(&config, BASE "tasks: {exporters: [{name: a, url: 'http://h'}, {name: b, "
                       "url: 'https://h', insecure_skip_verify: true}]}\n", pool);
    ck_assert_str_eq(sa_config_insecure(config, pool),
                     "tasks.exporters[1].insecure_skip_verify");
    load(&config, BASE, pool);
    ck_assert_str_eq(sa_config_insecure(config, pool), "");
}

typedef struct seen_t {
    int count;
    const char *text;
    apr_pool_t *pool;
} seen_t;

static void see(void *baton, const char *path, const char *value, const char *where)
{
    seen_t *seen = baton;

    seen->count++;
    if (strcmp(where, "default") != 0) {
        seen->text = apr_pstrcat(seen->pool, seen->text, path, "=", value, " ", where, "\n", NULL);
    }
}

SA_TEST(every_value_is_listed_with_where_it_came_from)
{
    sa_config_t *config;
    seen_t seen = {0, "", pool};

    ck_assert_str_eq(load(&config, BASE "tasks:\n  metrics: {interval: 120s}\n"
                                        "  exporters:\n  - {name: a, url: 'http://h'}\n", pool),
                     "");
    sa_config_each(config, see, &seen, pool);
    ck_assert_str_eq(seen.text,
                     "code=c t.yaml:1\nnats.urls=[\"nats://h:4222\"] t.yaml:2\n"
                     "tasks.system_metrics.interval=2m t.yaml:4\n"
                     "tasks.exporters[0].name=a t.yaml:6\n"
                     "tasks.exporters[0].url=http://h t.yaml:6\n");
    ck_assert_int_eq(seen.count, sa_config__main.count + sa_config__exporters.count);
    ck_assert_str_eq(sa_config_origin(config, "tasks.system_metrics.interval", pool), "t.yaml:4");
    ck_assert_str_eq(sa_config_origin(config, "location", pool), "default");
    ck_assert(sa_config_is_default(config, "location"));
    ck_assert(!sa_config_is_default(config, "code"));
}

SA_TEST(a_moved_state_directory_takes_its_defaults_along)
{
    sa_config_t *config;

    ck_assert_str_eq(load(&config, BASE "paths.state: /tmp/x\n", pool), "");
    ck_assert_str_eq(config->nats_creds_file, "/tmp/x/nats.creds");
    ck_assert(sa_config_is_default(config, "nats.auth.creds_file"));
}

SA_TEST(a_state_directory_that_is_no_path_is_a_complaint_not_a_crash)
{
    sa_config_t *config;

    ck_assert_int_eq(apr_env_set("STATE_DIRECTORY", "/a\x01", pool), APR_SUCCESS);
    ck_assert_ptr_nonnull(strstr(load(&config, BASE, pool),
                                 "t.yaml: paths.state: the system's default \"/a?\" must not hold "
                                 "control characters"));
    apr_env_delete("STATE_DIRECTORY", pool);
}

SA_TEST(a_reload_names_the_rooms_and_what_needs_a_restart)
{
    static const struct {
        const char *text;
        unsigned int rooms;
        const char *restart;
    } cases[] = {
        {BASE, 0, ""},
        {BASE "logging.level: debug\n", SA_ROOM_LOG, ""},
        {BASE "logging.level: info\n", 0, ""},
        {BASE "location: x\n", SA_ROOM_TASK | SA_ROOM_OUTBOX | SA_ROOM_COMMAND, ""},
        {BASE "subject_prefix: x\ncommands.workers: 5\n", 0, "subject_prefix commands.workers"},
        {BASE "nats.ping_interval: 7s\nspool.window: 3\npaths.state: /x\n",
         SA_ROOM_LINK | SA_ROOM_OUTBOX | SA_ROOM_COMMAND | SA_ROOM_IDENTITY | SA_ROOM_MESH,
         "platform.session_file paths.state"},
        {BASE PLATFORM, SA_ROOM_LINK | SA_ROOM_IDENTITY, ""},
        {BASE "tasks: {exporters: [{name: a, url: 'http://h'}]}\n", SA_ROOM_TASK, ""},
        {BASE "commands.reply_prefixes: [_INBOX., x.]\n", SA_ROOM_COMMAND, ""},
    };
    sa_config_t *base;

    load(&base, BASE, pool);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *restart;
        sa_config_t *config;
        unsigned int rooms;

        load(&config, cases[i].text, pool);
        rooms = sa_config_compare(&restart, base, config, pool);
        ck_assert_msg(rooms == cases[i].rooms, "case %d: %u", (int)i, rooms);
        ck_assert_str_eq(restart, cases[i].restart);
    }
}

SA_TEST(a_change_within_an_exporter_is_seen)
{
    sa_config_t *a;
    sa_config_t *b;
    const char *restart;

    load(&a, BASE "tasks: {exporters: [{name: a, url: 'http://h', labels: {x: y}}]}\n", pool);
    load(&b, BASE "tasks: {exporters: [{name: a, url: 'http://h', labels: {x: z}}]}\n", pool);
    ck_assert_uint_eq(sa_config_compare(&restart, a, b, pool), SA_ROOM_TASK);
    ck_assert_str_eq(restart, "");
    ck_assert_uint_eq(sa_config_compare(&restart, a, a, pool), 0);
}

SA_TEST_MAIN("config", each_mistake_is_named_with_its_line_and_what_it_must_be,
             the_roads_to_the_bus_have_rules,
             what_is_only_missing_is_told_from_what_is_wrong,
             other_words_for_true_and_false_are_refused_by_name,
             a_value_of_the_wrong_kind_is_refused, nothing_is_set_twice_within_one_file,
             two_spellings_must_say_the_same,
             unknown_settings_are_doubtful_and_the_nearest_is_offered,
             a_secret_in_the_file_is_refused_and_never_shown, rules_over_two_options_name_the_place,
             exporters_are_checked_one_by_one_and_together, an_exporters_options_fit_together,
             yaml_that_is_more_than_settings_is_refused,
             bytes_that_are_no_text_are_refused_with_their_line,
             a_byte_order_mark_and_other_line_ends_are_accepted, what_could_grow_is_bounded,
             there_are_only_so_many_exporters,
             an_error_past_the_last_complaint_still_counts, complaints_are_sorted_by_line,
             empty_groups_mean_all_defaults, values_of_every_type_arrive,
             reserved_paths_are_accepted_whole_and_remembered, insecure_switches_are_listed,
             every_value_is_listed_with_where_it_came_from,
             a_moved_state_directory_takes_its_defaults_along,
             a_state_directory_that_is_no_path_is_a_complaint_not_a_crash,
             a_reload_names_the_rooms_and_what_needs_a_restart, a_change_within_an_exporter_is_seen)
