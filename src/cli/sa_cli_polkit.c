/* cli: polkit. */
#include <stdio.h>
#include <string.h>

#include <apr_file_info.h>
#include <apr_user.h>

#include "sa_buf.h"
#include "sa_cli.h"
#include "sa_os_service_control.h"

/* 256 names of 255 bytes. */
#define RULE_BYTES (256 * 1024)
/* Of the packages. */
#define DEFAULT_USER "stone-age"

/* Whom the rule is for: the agent owns its state directory, and root needs no rule. */
static const char *agent_user(const char *state, apr_pool_t *pool)
{
    apr_finfo_t info;
    char *name;

    if (apr_stat(&info, state, APR_FINFO_USER, pool) == APR_SUCCESS
        && apr_uid_name_get(&name, info.user, pool) == APR_SUCCESS && strcmp(name, "root") != 0) {
        return name;
    }
    fprintf(stderr, "stone-age-agent: the state directory %s belongs to no user of the agent: "
            "the rule is for " DEFAULT_USER " (--user names another)\n", state);
    return DEFAULT_USER;
}

/* What may be asked for, and what the agent itself starts and stops. */
static apr_array_header_t *units_of(const sa_config_t *config, apr_pool_t *pool)
{
    apr_array_header_t *names = apr_array_copy(pool, config->allowed_services);

    if (config->nebula_enabled && config->nebula_mode == SA_NEBULA_SERVICE) {
        APR_ARRAY_PUSH(names, const char *) = config->nebula_service;
    }
    return names;
}

int sa_cli_polkit(const sa_cli_options_t *options, apr_pool_t *pool)
{
    sa_config_t *config = sa_cli_load(options, pool);
    sa_buf_t *text = apr_palloc(pool, sizeof(*text));   /* lives as long as the pool */
    const char *user = options->user;
    apr_array_header_t *names;
    sa_error_t *err;

    if (!config) {
        return SA_EXIT_FAILURE;
    }
    if (!user) {
        user = agent_user(config->paths_state, pool);
    }
    sa_buf_init(text, RULE_BYTES, pool);
    names = units_of(config, pool);
    err = sa_os_service_rule(text, names, user, pool);
    if (err) {
        return sa_cli_fail(err);
    }
    if (names->nelts == 0) {
        fputs("stone-age-agent: commands.allowed_services is empty: the rule allows nothing\n",
              stderr);
    }
    return sa_cli_give(options, text->data, sa_os_service_rule_file(), pool);
}
