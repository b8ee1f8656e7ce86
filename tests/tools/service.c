/* The command `service` without a bus: for stories.
 *
 *     service CONFIG REQUEST
 *
 * Prints the reply, or the error reply that it would become.  A line "began" on standard
 * error says that the request is about to be handled. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>

#include "../../src/command/sa_command_policy.h"
#include "../../src/command/sa_command_private.h"
#include "sa_pool.h"
#include "sa_stats.h"

/* There is no audit file here. */
sa_error_t *sa_command__begin(sa_call_t *call, const char *what, const char *as)
{
    (void)call;
    (void)what;
    (void)as;
    return SA_OK;
}

static sa_error_t *handle(sa_call_t *call, const char *file, const char *text)
{
    sa_config_source_t source = {file, NULL};
    sa_command_settings_t *settings = apr_pcalloc(call->pool, sizeof(*settings));
    sa_command_policy_t *policy;
    apr_array_header_t *complaints;
    sa_config_t *config;
    cJSON *request;

    SA_TRY(sa_config_load(&config, &complaints, &source, call->pool));
    SA_TRY(sa_command_policy_create(&policy, config, call->pool));
    settings->policy = policy;
    call->settings = settings;
    SA_TRY(sa_json_parse(&request, text, strlen(text), call->pool));
    call->request = request;
    fputs("began\n", stderr);
    return sa_command__service(call);
}

int main(int argc, char **argv)
{
    sa_call_t call = {0};
    sa_error_t *err;

    if (argc != 3) {
        fprintf(stderr, "service CONFIG REQUEST\n");
        return 2;
    }
    apr_initialize();
    call.pool = sa_pool_create_root();
    sa_stats_init(call.pool);
    call.reply = sa_json_object(call.pool);
    err = handle(&call, argv[1], argv[2]);
    if (err) {
        cJSON_AddStringToObject(call.reply, "status", "error");
        cJSON_AddStringToObject(call.reply, "error",
                                err->message ? err->message : sa_error_wire_text(err));
        cJSON_AddStringToObject(call.reply, "code", sa_error_wire_name(err));
    }
    puts(sa_json_print(call.reply, NULL, call.pool));
    sa_error_clear(err);
    apr_pool_destroy(call.pool);
    return EXIT_SUCCESS;
}
