/* Where this system keeps configuration, state and runtime files. */
#ifndef SA_OS_PATHS_H
#define SA_OS_PATHS_H

#include <apr_pools.h>

/*            Linux               FreeBSD                       Windows
 * config     /etc/stone-age      /usr/local/etc/stone-age      %ProgramData%\Stone-Age
 * state      /var/lib/stone-age  /var/db/stone-age             %ProgramData%\Stone-Age\state
 * runtime    /run/stone-age      /var/run/stone-age            %ProgramData%\Stone-Age\run
 *
 * $STATE_DIRECTORY and $RUNTIME_DIRECTORY (systemd.exec(5)) win where they are
 * set.  Static or in POOL. */
const char *sa_os_path_config(apr_pool_t *pool);
const char *sa_os_path_state(apr_pool_t *pool);
const char *sa_os_path_runtime(apr_pool_t *pool);
/* The public Go agent's configuration file, so that it works unchanged. */
const char *sa_os_path_go_config(void);
/* The directory of the service manager's credentials ($CREDENTIALS_DIRECTORY,
 * systemd.exec(5)), or NULL. */
const char *sa_os_path_credentials(apr_pool_t *pool);
/* For who asks about the agent's service from outside: let sa_os_path_credentials() be that of
 * the service, where it runs and we may look there.  While there are no other threads. */
void sa_os_path_borrow_credentials(apr_pool_t *scratch_pool);

#endif
