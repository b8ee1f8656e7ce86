/* cli: version. */
#include <stdio.h>
#include <string.h>

#include <apr_strings.h>

#include "sa_agent.h"
#include "sa_cli.h"
#include "sa_json.h"
#include "sa_version.h"

int sa_cli_version(const sa_cli_options_t *options, apr_pool_t *pool)
{
    const char *libraries = sa_agent_libraries(pool);

    if (options->json) {
        cJSON *json = sa_json_object(pool);
        cJSON *list;
        char *state;
        char *copy = apr_pstrdup(pool, libraries);

        cJSON_AddStringToObject(json, "version", sa_version());
        list = cJSON_AddArrayToObject(json, "libraries");
        for (char *line = apr_strtok(copy, "\n", &state); line;
             line = apr_strtok(NULL, "\n", &state)) {
            cJSON_AddItemToArray(list, cJSON_CreateString(line));
        }
        puts(sa_json_print(json, NULL, pool));
    } else {
        printf("stone-age-agent %s\n%s", sa_version(), libraries);
    }
    return SA_EXIT_OK;
}
