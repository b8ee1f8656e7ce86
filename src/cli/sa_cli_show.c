/* cli: config show. */
#include <stdio.h>

#include "sa_cli.h"
#include "sa_json.h"

static void print_value(void *baton, const char *path, const char *value, const char *where)
{
    (void)baton;
    printf("%-32s %-28s # %s\n", path, value, where);
}

static void add_value(void *baton, const char *path, const char *value, const char *where)
{
    cJSON *item = cJSON_AddObjectToObject(baton, path);

    cJSON_AddStringToObject(item, "value", value);
    cJSON_AddStringToObject(item, "from", where);
}

int sa_cli_config_show(const sa_cli_options_t *options, apr_pool_t *pool)
{
    sa_config_t *config = sa_cli_load(options, pool);

    if (!config) {
        return SA_EXIT_FAILURE;
    }
    if (options->json) {
        cJSON *json = sa_json_object(pool);

        sa_config_each(config, add_value, json, pool);
        puts(sa_json_print(json, NULL, pool));
    } else {
        sa_config_each(config, print_value, NULL, pool);
    }
    return SA_EXIT_OK;
}
