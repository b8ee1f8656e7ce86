/* command: the audit file.  One JSON line before a command runs and one after it, or one
 * that says why it did not.
 *
 * A line is in the file, whole, before what it tells of goes on: no end of the agent loses
 * it.  A thread ("audit") has it on the disk some milliseconds later, many at a time; only
 * a power cut, or a command that takes the machine down, within those loses it.  With
 * commands.audit_ahead a beginning is on the disk before what it tells of goes on, so that
 * such a command is found afterwards; commands that begin together share a flush.  When the
 * disk takes no more, nothing runs until it does again.  The same lines go to the journal,
 * as fields.
 * Thread-safe. */
#ifndef SA_COMMAND_AUDIT_H
#define SA_COMMAND_AUDIT_H

#include "sa_config.h"
#include "sa_error.h"

typedef struct sa_command_audit_t sa_command_audit_t;

typedef struct sa_command_audit_entry_t {
    const char *id;             /* of the request, ours when it had none */
    const char *phase;          /* "begin", "end", "refused" */
    const char *command;        /* "exec" */
    const char *what;           /* the entry that runs, the service and action, the path */
    const char *subject;
    const char *reply;
    const char *headers;        /* of the request, those that say who: Name: value lines; or "" */
    const char *as;             /* user and entry's limits, in words */
    const char *outcome;        /* "exit 0", "timeout", the refusal's text */
    apr_interval_time_t duration;   /* of an end */
} sa_command_audit_entry_t;

/* A file that cannot be opened is said in the log and tried again with each line.  Close it
 * before POOL goes, or it is closed with it. */
void sa_command_audit_open(sa_command_audit_t **audit, const sa_config_t *config,
                           apr_pool_t *pool);
/* Take over a new path, new limits, and whether to be ahead. */
void sa_command_audit_reload(sa_command_audit_t *audit, const sa_config_t *config);
/* All that was given is on the disk, or cannot be brought there. */
void sa_command_audit_close(sa_command_audit_t *audit);

/* An entry that cannot be written refuses the command: what is not recorded does not run.
 * Waits for the file, or with commands.audit_ahead and a "begin" for the disk, 10 s at most
 * while another thread writes. */
sa_error_t *sa_command_audit_write(sa_command_audit_t *audit,
                                   const sa_command_audit_entry_t *entry) SA_MUST_CHECK;
/* The same without waiting, for who must go on answering.  What finds no room is counted,
 * and the number is written as soon as there is room. */
void sa_command_audit_note(sa_command_audit_t *audit, const sa_command_audit_entry_t *entry);

#endif
