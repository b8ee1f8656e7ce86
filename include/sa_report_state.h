/* What the identity and the overlay are, as members of a JSON object: the same names in health, in
 * the state file that `status` reads, and in the twin.  Out of sa_stats.h; any thread. */
#ifndef SA_REPORT_STATE_H
#define SA_REPORT_STATE_H

#include <stdbool.h>

#include "sa_json.h"

/* state, error, last_sync, next_sync, session_expires; what is not known is left out. */
void sa_report_add_identity(cJSON *object);
/* running, tunnels, lighthouse_up, rolled_back; overlay_ip, cert_expires_at and error where known.
 * WHOLE: also source, unsafe_networks, and where known config_revision and last_sync. */
void sa_report_add_nebula(cJSON *object, bool whole);

#endif
