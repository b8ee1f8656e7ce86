/* cli: run. */
#include <stdio.h>

#include "sa_agent.h"
#include "sa_cli.h"
#include "sa_os_daemon.h"
#include "sa_pool.h"

int sa_cli_run(const sa_cli_options_t *options, apr_pool_t *pool)
{
    apr_pool_t *config_pool = sa_pool_create_root();
    sa_config_t *config = sa_cli_load(options, config_pool);
    sa_error_t *err;

    if (!config) {
        sa_os_notify_status("The configuration is refused: stone-age-agent check-config");
        apr_pool_destroy(config_pool);
        return SA_EXIT_CONFIG;
    }
    err = sa_agent_run(config, config_pool, &options->source, pool);
    return err ? sa_cli_fail(err) : SA_EXIT_OK;
}
