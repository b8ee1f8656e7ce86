/* command: what may be done here.  Made from the configuration, never from the bus.
 *
 * A policy is immutable and lives in its settings' pool.  Matching allocates in the
 * call's pool and starts nothing. */
#ifndef SA_COMMAND_POLICY_H
#define SA_COMMAND_POLICY_H

#include "sa_buf.h"
#include "sa_config.h"
#include "sa_error.h"
#include "sa_json.h"

typedef struct sa_command_policy_t sa_command_policy_t;

/* Most members of a request, and most arguments. */
#define SA_COMMAND_MEMBERS 32

/* What an entry of allowed_commands, or a script, comes to. */
typedef struct sa_command_plan_t {
    const char *entry;              /* the file's own text or name, for reply, log and audit */
    const char *program;            /* absolute path to open */
    bool script;                    /* from scripts_directory: by descriptor, checked */
    bool shell;                     /* the entry has shell syntax: /bin/sh -c ENTRY */
    const char *const *argv;
    const char *const *env;         /* complete: PATH, LANG, HOME and what the entry lists */
    const sa_allowed_command_t *limits;     /* the entry's own, or the defaults */
} sa_command_plan_t;

/* COMPLAINTS of what the files say (owners, modes) are warnings of check-config. */
sa_error_t *sa_command_policy_create(sa_command_policy_t **policy, const sa_config_t *config,
                                     apr_pool_t *pool) SA_MUST_CHECK;

/* What REQUEST ({"command": TEXT} or {"command": NAME, "args": {...}}) may run.
 * SA_ERR_REFUSED with the reason otherwise. */
sa_error_t *sa_command_policy_plan(sa_command_plan_t **plan, const sa_command_policy_t *policy,
                                   const cJSON *request, apr_pool_t *pool) SA_MUST_CHECK;

bool sa_command_policy_allows_service(const sa_command_policy_t *policy, const char *name);
/* PATH as requested, and REAL_PATH where it led, must both match one pattern. */
bool sa_command_policy_allows_log(const sa_command_policy_t *policy, const char *path);

/* For `stone-age-agent exec-list`. */
void sa_command_policy_print(const sa_command_policy_t *policy, sa_buf_t *text);

#endif
