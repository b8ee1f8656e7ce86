/* The agent's life: rooms started in order, requests from outside, rooms
 * stopped in reverse. */
#ifndef SA_AGENT_H
#define SA_AGENT_H

#include <stdbool.h>

#include <apr_pools.h>

#include "sa_config.h"
#include "sa_error.h"

/* Run until asked to stop; main thread.  CONFIG was loaded from SOURCE, which
 * is read again on a reload; its pool CONFIG_POOL is the agent's from here on.
 * SA_OK after an ordinary stop. */
sa_error_t *sa_agent_run(sa_config_t *config, apr_pool_t *config_pool,
                         const sa_config_source_t *source, apr_pool_t *pool) SA_MUST_CHECK;

/* Open the log as CONFIG says; again after a reload. */
sa_error_t *sa_agent_open_log(const sa_config_t *config, apr_pool_t *pool) SA_MUST_CHECK;

/* One visit to the platform for a person, in the foreground, logged to standard error; FORCE:
 * by password, and all of it anew.  The error is of what comes before the visit. */
struct sa_bootstrap_result_t;
sa_error_t *sa_agent_bootstrap(struct sa_bootstrap_result_t *result, const sa_config_t *config,
                               bool force, apr_pool_t *pool) SA_MUST_CHECK;

/* What is wrong, for a person, in the foreground (sa_doctor.h).  *REPORT lives in POOL. */
struct sa_doctor_report_t;
sa_error_t *sa_agent_examine(struct sa_doctor_report_t *report, const sa_config_source_t *source,
                             apr_pool_t *pool) SA_MUST_CHECK;

/* "libcurl/7.88.1 ...", one library a line, for `version`. */
const char *sa_agent_libraries(apr_pool_t *pool);

#endif
