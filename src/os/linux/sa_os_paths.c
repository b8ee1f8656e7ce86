/* os: where Linux keeps configuration, state and runtime files (FHS 3.0). */
#include "sa_os_paths.h"

#include <stdlib.h>
#include <string.h>

#include <apr_env.h>
#include <apr_file_info.h>
#include <apr_strings.h>

/* The first of the absolute paths in the variable NAME, which systemd fills
 * with all directories of a unit, separated by ":"; else FALLBACK. */
static const char *from_environment(const char *name, const char *fallback, apr_pool_t *pool)
{
    const char *value = getenv(name);

    if (!value || value[0] != '/') {
        return fallback;
    }
    return apr_pstrndup(pool, value, strcspn(value, ":"));
}

const char *sa_os_path_config(apr_pool_t *pool)
{
    (void)pool;
    return "/etc/stone-age";
}

const char *sa_os_path_state(apr_pool_t *pool)
{
    return from_environment("STATE_DIRECTORY", "/var/lib/stone-age", pool);
}

const char *sa_os_path_runtime(apr_pool_t *pool)
{
    return from_environment("RUNTIME_DIRECTORY", "/run/stone-age", pool);
}

const char *sa_os_path_go_config(void)
{
    return "/etc/agent/config.yaml";
}

const char *sa_os_path_credentials(apr_pool_t *pool)
{
    return from_environment("CREDENTIALS_DIRECTORY", NULL, pool);
}

void sa_os_path_borrow_credentials(apr_pool_t *scratch_pool)
{
    static const char directory[] = "/run/credentials/stone-age-agent.service";
    apr_finfo_t info;

    if (!getenv("CREDENTIALS_DIRECTORY")
        && apr_stat(&info, directory, APR_FINFO_TYPE, scratch_pool) == APR_SUCCESS) {
        (void)apr_env_set("CREDENTIALS_DIRECTORY", directory, scratch_pool);
    }
}
