/* cli: check-config, and the loading that other subcommands share. */
#include <stdio.h>

#include <apr_strings.h>

#include "sa_cli.h"
#include "sa_json.h"
#include "sa_os_daemon.h"

#define SETTLE_TIME apr_time_from_sec(1)

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

/* ---- for the unit ------------------------------------------------------------ */

/* Is nothing wrong but that something is not there yet? */
static bool only_missing(const apr_array_header_t *complaints)
{
    for (int i = 0; i < complaints->nelts; i++) {
        const sa_complaint_t *complaint = &APR_ARRAY_IDX(complaints, i, sa_complaint_t);

        if (!complaint->warning && !complaint->missing) {
            return false;
        }
    }
    return true;
}

static void say_waiting(const apr_array_header_t *complaints, apr_pool_t *pool)
{
    const char *what = "there is none";

    for (int i = complaints->nelts - 1; i >= 0; i--) {
        if (!APR_ARRAY_IDX(complaints, i, sa_complaint_t).warning) {
            what = sa_complaint_format(&APR_ARRAY_IDX(complaints, i, sa_complaint_t), pool);
        }
    }
    sa_os_notify_status(apr_psprintf(pool, "Waiting for a configuration: %s", what));
    fprintf(stderr, "waiting for a configuration, and starting by itself when there is one: %s\n",
            what);
}

/* Does the unit have anything to start with?  What is wrong is for `run` to refuse. */
static int check_for_service(const sa_cli_options_t *options, apr_pool_t *pool)
{
    for (int turn = 0; ; turn++) {
        sa_config_t *config;
        apr_array_header_t *complaints;
        sa_error_t *err = sa_config_load(&config, &complaints, &options->source, pool);
        bool waiting = err && only_missing(complaints);

        sa_error_clear(err);    /* the complaints have said it */
        if (!waiting) {
            return SA_EXIT_OK;
        }
        if (turn == 1) {
            say_waiting(complaints, pool);
            return SA_EXIT_FAILURE;
        }
        /* Whoever watches the files is not told of a change while we look: whoever writes
         * several of them is given the time to end. */
        apr_sleep(SETTLE_TIME);
    }
}

int sa_cli_check_config(const sa_cli_options_t *options, apr_pool_t *pool)
{
    sa_config_t *config;

    if (options->service) {
        return check_for_service(options, pool);
    }
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
