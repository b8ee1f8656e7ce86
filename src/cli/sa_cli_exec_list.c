/* cli: exec-list. */
#include <stdio.h>

#include "sa_buf.h"
#include "sa_cli.h"
#include "sa_command.h"

/* 256 commands with all their arguments. */
#define LIST_BYTES (16 * 1024 * 1024)

int sa_cli_exec_list(const sa_cli_options_t *options, apr_pool_t *pool)
{
    sa_config_t *config = sa_cli_load(options, pool);
    sa_buf_t *text = apr_palloc(pool, sizeof(*text));   /* lives as long as the pool */
    sa_error_t *err;

    if (!config) {
        return SA_EXIT_FAILURE;
    }
    sa_buf_init(text, LIST_BYTES, pool);
    err = sa_commands_list(text, config, pool);
    if (err) {
        return sa_cli_fail(err);
    }
    fputs(text->data ? text->data : "", stdout);
    return SA_EXIT_OK;
}
