/* libFuzzer entry: any bytes as a request to run something.  What must hold of a plan:
 *   it is one of the entries below or a script by a plain name;
 *   a line runs as it stands here, through the shell only where it was written for it;
 *   of a named command all fixed elements are there, unchanged, and none that came from
 *   the request begins with a dash;
 *   the environment is the file's, and nothing holds a control character. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "sa_json.h"
#include "sa_pool.h"
#include "sa_text.h"
#include "../../src/command/sa_command_policy.h"
#include "../../src/config/sa_config_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* APR maps the pages of its pools, and what is only named there looks lost. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

static const char settings[] =
    "code: c\n"
    "nats.urls: [\"nats://h:4222\"]\n"
    "commands:\n"
    "  allowed_services: [nginx, getty@tty1]\n"
    "  allowed_log_paths: [/var/log/*.log, /var/log/?/a*]\n"
    "  scripts_directory: /bin\n"
    "  allowed_commands:\n"
    "    - \"/bin/sh -x\"\n"
    "    - \"echo a | cat\"\n"
    "    - name: n\n"
    "      run: [/bin/sh, \"{s}\", \"-o{i}\", \"{e}\", \"{p}\", \"{u}\", \"-b{b}\", \"{s}{e}\",\n"
    "            end]\n"
    "      args:\n"
    "        s: {pattern: '([^x]|\\w+)*', default: d}\n"
    "        i: {type: int, min: -5, max: 1000000, default: 1}\n"
    "        e: {type: enum, values: [a, b c], default: a}\n"
    "        p: {type: path, under: [/dev, /etc], default: /dev}\n"
    "        u: {type: service, default: nginx}\n"
    "        b: {type: switch}\n";

static sa_command_policy_t *policy;

static void make_policy(void)
{
    apr_pool_t *pool = sa_pool_create_root();
    apr_array_header_t *complaints;
    sa_config_t *config;
    sa_error_t *err = sa_config__load_memory(&config, &complaints, "fuzz", settings,
                                             sizeof(settings) - 1, pool);

    SA_ASSERT(err == SA_OK);
    err = sa_command_policy_create(&policy, config, pool);
    SA_ASSERT(err == SA_OK);
}

static bool is_same(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static void check_texts(const sa_command_plan_t *plan)
{
    for (int i = 0; plan->argv[i]; i++) {
        SA_ASSERT(!sa_text_fault(plan->argv[i], strlen(plan->argv[i])));
    }
    SA_ASSERT(is_same(plan->env[0], "PATH=" SA_COMMAND_PATH));
    SA_ASSERT(is_same(plan->env[1], "LANG=C.UTF-8"));
    SA_ASSERT(strncmp(plan->env[2], "HOME=/", 6) == 0 && !plan->env[3]);
    SA_ASSERT(plan->limits && plan->program[0] == '/');
}

static void check_script(const sa_command_plan_t *plan)
{
    SA_ASSERT(strncmp(plan->program, "/bin/", 5) == 0);
    SA_ASSERT(is_same(plan->program + 5, plan->entry) && !strchr(plan->entry, '/'));
    SA_ASSERT(plan->entry[0] != '.' && plan->entry[0] != '-');
    SA_ASSERT(is_same(plan->argv[0], plan->program) && !plan->argv[1] && !plan->shell);
}

static void check_named(const sa_command_plan_t *plan)
{
    const char *const *argv = plan->argv;
    int count = 0;

    while (argv[count]) {
        count++;
    }
    SA_ASSERT(count == 8 || count == 9);
    SA_ASSERT(is_same(argv[0], "/bin/sh") && is_same(plan->program, "/bin/sh"));
    SA_ASSERT(argv[1][0] != '-' && argv[count - 2][0] != '-');
    SA_ASSERT(strncmp(argv[2], "-o", 2) == 0);
    SA_ASSERT(strtol(argv[2] + 2, NULL, 10) >= -5 && strtol(argv[2] + 2, NULL, 10) <= 1000000);
    SA_ASSERT(is_same(argv[3], "a") || is_same(argv[3], "b c"));
    SA_ASSERT(sa_config_is_under(argv[4], "/dev") || sa_config_is_under(argv[4], "/etc"));
    SA_ASSERT(sa_command_policy_allows_service(policy, argv[5]));
    SA_ASSERT(count == 8 || is_same(argv[6], "-b"));
    SA_ASSERT(is_same(argv[count - 1], "end"));
    SA_ASSERT(!plan->shell);
}

static void check_plan(const sa_command_plan_t *plan)
{
    check_texts(plan);
    if (plan->script) {
        check_script(plan);
    } else if (is_same(plan->entry, "/bin/sh -x")) {
        SA_ASSERT(is_same(plan->argv[0], "/bin/sh") && is_same(plan->argv[1], "-x"));
        SA_ASSERT(!plan->argv[2] && !plan->shell);
    } else if (is_same(plan->entry, "echo a | cat")) {
        SA_ASSERT(is_same(plan->argv[0], "/bin/sh") && is_same(plan->argv[1], "-c"));
        SA_ASSERT(is_same(plan->argv[2], plan->entry) && !plan->argv[3] && plan->shell);
    } else {
        SA_ASSERT(is_same(plan->entry, "n"));
        check_named(plan);
    }
}

static void try_request(const char *text, size_t length, apr_pool_t *pool)
{
    sa_command_plan_t *plan = NULL;
    cJSON *json;
    sa_error_t *err = sa_json_parse(&json, text, length, pool);

    if (!err) {
        err = sa_command_policy_plan(&plan, policy, json, pool);
        SA_ASSERT(!err || err->code == SA_ERR_REFUSED);
        SA_ASSERT(!err == (plan != NULL));
    }
    if (!err) {
        check_plan(plan);
    }
    sa_error_clear(err);
}

/* NAME as a service and as a path to a log. */
static void try_name(const char *name)
{
    if (sa_command_policy_allows_service(policy, name)) {
        SA_ASSERT(is_same(name, "nginx") || is_same(name, "nginx.service")
                  || is_same(name, "getty@tty1") || is_same(name, "getty@tty1.service"));
    }
    if (sa_command_policy_allows_log(policy, name)) {
        SA_ASSERT(strncmp(name, "/var/log/", 9) == 0);
        SA_ASSERT(!strstr(name, "/.") && !strstr(name, "//") && !strchr(name, '\n'));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    apr_pool_t *pool;
    char *text;
    cJSON *json;

    if (!ready) {
        apr_initialize();
        make_policy();
        ready = true;
    }
    pool = sa_pool_create_root();
    text = malloc(size + 1);        /* of its own: the sanitizer then sees each overrun */
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    try_request(text, size, pool);
    try_name(text);
    /* and as the command of a request that is whole */
    json = sa_json_object(pool);
    cJSON_AddStringToObject(json, "command", text);
    try_request(sa_json_print(json, NULL, pool), strlen(sa_json_print(json, NULL, pool)), pool);
    /* and as a value */
    json = sa_json_object(pool);
    cJSON_AddStringToObject(json, "command", "n");
    cJSON_AddStringToObject(cJSON_AddObjectToObject(json, "args"), "s", text);
    try_request(sa_json_print(json, NULL, pool), strlen(sa_json_print(json, NULL, pool)), pool);
    free(text);
    apr_pool_destroy(pool);
    return 0;
}
