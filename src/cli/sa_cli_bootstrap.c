/* cli: bootstrap and keygen: what a person does once, by hand. */
#include <stdio.h>

#include <apr_file_info.h>
#include <apr_user.h>

#include "sa_agent.h"
#include "sa_bootstrap.h"
#include "sa_cli.h"
#include "sa_link.h"
#include "sa_time.h"

static const char *yes(bool changed)
{
    return changed ? "new, put in place" : "as they were";
}

static void print_result(const sa_bootstrap_result_t *result, const sa_config_t *config)
{
    char time[SA_TIME_TEXT];

    printf("platform     %s\n", config->platform_url);
    printf("state        %s\n", sa_bootstrap_state_name(result->state));
    printf("login        %s\n", result->logged_in ? "by password" : "by the session kept here");
    printf("credentials  %s (%s)\n", yes(result->creds_changed), config->nats_creds_file);
    printf("settings     %s\n", yes(result->remote_changed));
    if (config->nebula_enabled) {
        printf("overlay      %s (%s)\n", yes(result->nebula_changed), config->nebula_config_file);
    }
    if (result->session_expires != 0) {
        printf("session      until %s; renewed by each visit\n",
               sa_time_format(time, result->session_expires));
    }
    if (result->creds_changed || result->remote_changed) {
        printf("An agent that runs takes them when it is told to: stone-age-agent's service, "
               "reload.\n");
    }
}

static void print_json(const sa_bootstrap_result_t *result, apr_pool_t *pool)
{
    cJSON *json = sa_json_object(pool);

    cJSON_AddStringToObject(json, "state", sa_bootstrap_state_name(result->state));
    cJSON_AddStringToObject(json, "reason", result->words);
    cJSON_AddBoolToObject(json, "logged_in", result->logged_in);
    cJSON_AddBoolToObject(json, "creds_changed", result->creds_changed);
    cJSON_AddBoolToObject(json, "settings_changed", result->remote_changed);
    cJSON_AddBoolToObject(json, "nebula_changed", result->nebula_changed);
    if (result->session_expires != 0) {
        sa_json_add_time(json, "session_expires", result->session_expires);
    }
    puts(sa_json_print(json, NULL, pool));
}

/* What root writes, the agent's user could not read: be that user. */
static sa_error_t *check_user(const sa_config_t *config, apr_pool_t *pool)
{
    const char *state = config->paths_state;
    apr_finfo_t info;
    apr_uid_t user;
    apr_gid_t group;
    char *name;

    if (apr_stat(&info, state, APR_FINFO_USER, pool) != APR_SUCCESS
        || apr_uid_current(&user, &group, pool) != APR_SUCCESS
        || apr_uid_compare(user, info.user) == APR_SUCCESS) {
        return SA_OK;
    }
    if (apr_uid_name_get(&name, info.user, pool) != APR_SUCCESS) {
        name = "its owner";
    }
    return sa_error(SA_ERR_DENIED, NULL, "the state directory %s belongs to %s, who could not read "
                    "what is written now: run this as that user (sudo -u %s stone-age-agent ...)",
                    state, name, name);
}

int sa_cli_bootstrap(const sa_cli_options_t *options, apr_pool_t *pool)
{
    sa_config_t *config = sa_cli_load(options, pool);
    sa_bootstrap_result_t result;
    sa_error_t *err;

    if (!config) {
        return SA_EXIT_FAILURE;
    }
    if (config->nats_auth_type != SA_AUTH_PLATFORM) {
        return sa_cli_fail(sa_error(SA_ERR_CONFIG, NULL, "nats.auth.type is %s: only with platform "
                                    "are credentials fetched",
                                    sa_config_text(config, "nats.auth.type", pool)));
    }
    err = check_user(config, pool);
    if (!err) {
        err = sa_agent_bootstrap(&result, config, options->force, pool);
    }
    if (err) {
        return sa_cli_fail(err);
    }
    if (options->json) {
        print_json(&result, pool);
    } else if (result.state == SA_BOOTSTRAP_CURRENT) {
        print_result(&result, config);
    }
    return result.state == SA_BOOTSTRAP_CURRENT ? SA_EXIT_OK : SA_EXIT_FAILURE;
}

int sa_cli_keygen(const sa_cli_options_t *options, apr_pool_t *pool)
{
    sa_config_t *config = sa_cli_load(options, pool);
    char public_key[SA_LINK_PUBLIC_KEY];
    sa_error_t *err;

    if (!config) {
        return SA_EXIT_FAILURE;
    }
    err = check_user(config, pool);
    if (!err) {
        err = sa_link_keygen(public_key, config->nats_nkey_file, pool);
    }
    if (err) {
        return sa_cli_fail(err);
    }
    fprintf(stderr, "The seed is in %s and never leaves this machine.  Register the public key "
            "with the bus, then use nats.auth.type: nkey.\n", config->nats_nkey_file);
    puts(public_key);
    return SA_EXIT_OK;
}
