/* A service's state as reports and answers tell it (docs/protocol.md: telemetry.service).
 *
 * Stateless; any thread. */
#ifndef SA_REPORT_SERVICE_H
#define SA_REPORT_SERVICE_H

#include "sa_json.h"
#include "sa_os_services.h"

/* "Running", "Error" and so on; static. */
const char *sa_report_service_word(sa_os_service_status_t status);

/* Add VALUE to JSON as its member NAME, unless it is "". */
void sa_report_add_word(cJSON *json, const char *name, const char *value);

/* Add to JSON what STATE knows of the service that is called NAME here.  The members status
 * and result have PREFIX before their names: "", or "service_" where those two mean something
 * else. */
void sa_report_add_service(cJSON *json, const char *name, const sa_os_service_state_t *state,
                           const char *prefix);

#endif
