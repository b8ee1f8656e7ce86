/* cli, private: what the subcommands share.
 *
 * Exit codes: 0 it worked, 1 it did not, 2 wrong use; of run also 78, the configuration is
 * refused. */
#ifndef SA_CLI_H
#define SA_CLI_H

#include <stdbool.h>

#include <apr_pools.h>
#include <apr_tables.h>

#include "sa_config.h"

#define SA_EXIT_OK 0
#define SA_EXIT_FAILURE 1
#define SA_EXIT_USAGE 2
#define SA_EXIT_NOT_RUNNING 3   /* LSB, of status */
#define SA_EXIT_CONFIG 78       /* EX_CONFIG of sysexits.h, so that a supervisor can tell */

typedef struct sa_cli_options_t {
    sa_config_source_t source;      /* --config and --set */
    bool json;                      /* --json */
    const char *user;               /* --user, or NULL */
    bool force;                     /* --force */
    bool write;                     /* --write */
    bool service;                   /* --service */
    bool watch;                     /* --watch */
    apr_int64_t count;              /* --count; 0: no end */
} sa_cli_options_t;

/* A subcommand; returns the exit code. */
typedef int (*sa_cli_fn_t)(const sa_cli_options_t *options, apr_pool_t *pool);

int sa_cli_run(const sa_cli_options_t *options, apr_pool_t *pool);
int sa_cli_check_config(const sa_cli_options_t *options, apr_pool_t *pool);
int sa_cli_config_show(const sa_cli_options_t *options, apr_pool_t *pool);
int sa_cli_exec_list(const sa_cli_options_t *options, apr_pool_t *pool);
int sa_cli_polkit(const sa_cli_options_t *options, apr_pool_t *pool);
int sa_cli_unit(const sa_cli_options_t *options, apr_pool_t *pool);
int sa_cli_bootstrap(const sa_cli_options_t *options, apr_pool_t *pool);
int sa_cli_keygen(const sa_cli_options_t *options, apr_pool_t *pool);
int sa_cli_doctor(const sa_cli_options_t *options, apr_pool_t *pool);
int sa_cli_status(const sa_cli_options_t *options, apr_pool_t *pool);
int sa_cli_tail(const sa_cli_options_t *options, apr_pool_t *pool);
int sa_cli_version(const sa_cli_options_t *options, apr_pool_t *pool);

/* Load the configuration and print what is wrong with it to standard error.
 * NULL: it cannot be used. */
sa_config_t *sa_cli_load(const sa_cli_options_t *options, apr_pool_t *pool);
/* Print TEXT, or with --write put it at PATH, for all to read, whole or not at all, and say
 * so.  Returns the exit code. */
int sa_cli_give(const sa_cli_options_t *options, const char *text, const char *path,
                apr_pool_t *pool);
/* paths.runtime; of a configuration that cannot be used, which an agent may run beside all the
 * same, the system's place, and a line on standard error. */
const char *sa_cli_runtime(const sa_cli_options_t *options, apr_pool_t *pool);
/* Print ERR to standard error and clear it; returns SA_EXIT_FAILURE. */
int sa_cli_fail(sa_error_t *err);

#endif
