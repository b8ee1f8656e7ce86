/* agent: libraries with a life of their own, opened once and closed once. */
#include <apr_strings.h>
#include <apr_version.h>
#include <cjson/cJSON.h>

#include "sa_agent.h"
#include "sa_agent_identity.h"
#include "sa_agent_private.h"
#include "sa_bootstrap.h"
#include "sa_doctor.h"
#include "sa_http.h"
#include "sa_link.h"
#include "sa_spool.h"

sa_error_t *sa_agent__open_libraries(void)
{
    SA_TRY(sa_http_library_open());
    return sa_link_library_open();
}

void sa_agent__close_libraries(void)
{
    sa_link_library_close();
    sa_http_library_close();
}

sa_error_t *sa_agent_bootstrap(sa_bootstrap_result_t *result, const sa_config_t *config,
                               bool force, apr_pool_t *pool)
{
    sa_bootstrap_bus_t bus;

    SA_TRY(sa_agent__open_libraries());
    sa_agent__identity_bus(&bus, config);
    sa_bootstrap_visit(result, config, force ? SA_BOOTSTRAP_LOGIN : SA_BOOTSTRAP_SYNC, &bus, NULL,
                       pool);
    sa_agent__close_libraries();
    return SA_OK;
}

sa_error_t *sa_agent_examine(sa_doctor_report_t *report, const sa_config_source_t *source,
                             apr_pool_t *pool)
{
    const sa_doctor_patient_t patient = {.source = source};

    SA_TRY(sa_agent__open_libraries());
    sa_doctor_examine(report, &patient, SA_DOCTOR_TIME, pool);
    if (!report->abandoned) {
        sa_agent__close_libraries();
    }
    return SA_OK;
}

const char *sa_agent_libraries(apr_pool_t *pool)
{
    return apr_psprintf(pool, "APR/%s\nnats.c/%s\n%s\nSQLite/%s\ncJSON/%s\nlibyaml/%s\n",
                        apr_version_string(), sa_link_library_version(),
                        sa_http_library_version(), sa_spool_library_version(), cJSON_Version(),
                        sa_config_library_version());
}
