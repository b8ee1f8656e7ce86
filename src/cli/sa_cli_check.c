/* cli: check-config, and the loading that other subcommands share. */
#include <stdio.h>

#include "sa_cli.h"
#include "sa_json.h"

int sa_cli_fail(sa_error_t *err)
{
    char text[1024];

    fprintf(stderr, "stone-age-agent: %s\n", sa_error_text(err, text, sizeof(text)));
    sa_error_clear(err);
    return SA_EXIT_FAILURE;
}

static void print_complaint(const sa_complaint_t *complaint, apr_pool_t *pool)
{
    fprintf(stderr, "%s%s\n", sa_complaint_format(complaint, pool),
            complaint->warning ? " (warning)" : "");
}

sa_config_t *sa_cli_load(const sa_cli_options_t *options, apr_pool_t *pool)
{
    sa_config_t *config;
    apr_array_header_t *complaints;
    sa_error_t *err = sa_config_load(&config, &complaints, &options->source, pool);

    for (int i = 0; i < complaints->nelts; i++) {
        print_complaint(&APR_ARRAY_IDX(complaints, i, sa_complaint_t), pool);
    }
    if (err) {
        sa_cli_fail(err);
        return NULL;
    }
    return config;
}

static void print_json(const apr_array_header_t *complaints, bool valid, apr_pool_t *pool)
{
    cJSON *json = sa_json_object(pool);
    cJSON *list;

    cJSON_AddBoolToObject(json, "valid", valid);
    list = cJSON_AddArrayToObject(json, "complaints");
    for (int i = 0; i < complaints->nelts; i++) {
        const sa_complaint_t *complaint = &APR_ARRAY_IDX(complaints, i, sa_complaint_t);
        cJSON *item = cJSON_CreateObject();

        cJSON_AddItemToArray(list, item);
        cJSON_AddStringToObject(item, "file", complaint->file ? complaint->file : "");
        cJSON_AddNumberToObject(item, "line", complaint->line);
        cJSON_AddStringToObject(item, "level", complaint->warning ? "warning" : "error");
        cJSON_AddStringToObject(item, "text", complaint->text);
    }
    puts(sa_json_print(json, NULL, pool));
}

int sa_cli_check_config(const sa_cli_options_t *options, apr_pool_t *pool)
{
    sa_config_t *config;

    if (options->json) {
        apr_array_header_t *complaints;
        sa_error_t *err = sa_config_load(&config, &complaints, &options->source, pool);
        bool valid = err == NULL;

        print_json(complaints, valid, pool);
        sa_error_clear(err);        /* the complaints have said it */
        return valid ? SA_EXIT_OK : SA_EXIT_FAILURE;
    }
    config = sa_cli_load(options, pool);
    if (!config) {
        return SA_EXIT_FAILURE;
    }
    puts("configuration OK");
    return SA_EXIT_OK;
}
