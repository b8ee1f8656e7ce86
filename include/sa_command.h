/* What the agent does when asked: a request in, a reply out.
 *
 * Requests come on {prefix}.{code}.cmd.{name} and are answered on their reply
 * subject, if that is one a requester may ask for.  A thread ("command")
 * dispatches and answers the quick ones itself, so that ping and health answer
 * while everything else is busy; the others go to a bounded pool of workers,
 * and when its queue is full the answer is "busy", not silence.  Only what comes
 * faster than the dispatcher can read is dropped, and counted. */
#ifndef SA_COMMAND_H
#define SA_COMMAND_H

#include <stdbool.h>

#include <apr_pools.h>
#include <apr_time.h>

#include "sa_buf.h"
#include "sa_config.h"
#include "sa_error.h"

/* The bus, by name only: command handlers never see it. */
struct sa_link_t;

typedef struct sa_commands_t sa_commands_t;

/* Living in POOL; stop them before the pool goes.  Subscribes at LINK: create
 * them before the link starts. */
sa_error_t *sa_commands_create(sa_commands_t **commands, struct sa_link_t *link,
                               const sa_config_t *config, apr_pool_t *pool) SA_MUST_CHECK;
/* How to have new credentials made, and what to do once it is answered; in a worker's thread,
 * before the start.  Without it rotate_creds says that nobody can. */
typedef sa_error_t *(*sa_commands_rotate_fn_t)(void *baton, bool *changed);
typedef void (*sa_commands_renew_fn_t)(void *baton);
void sa_commands_on_rotate(sa_commands_t *commands, sa_commands_rotate_fn_t rotate,
                           sa_commands_renew_fn_t renew, void *baton);
/* Who adds the member `checks` to HEALTH, in the dispatcher's thread, at once: at most LIMIT
 * bytes.  Before the start; without it there is none. */
struct cJSON;
typedef void (*sa_commands_checks_fn_t)(void *baton, struct cJSON *health, size_t limit);
void sa_commands_on_checks(sa_commands_t *commands, sa_commands_checks_fn_t fn, void *baton);
/* A command has begun or ended to run; in a worker's thread.  Before the start. */
typedef void (*sa_commands_change_fn_t)(void *baton);
void sa_commands_on_change(sa_commands_t *commands, sa_commands_change_fn_t fn, void *baton);
/* Call FN for each command that runs now, MOST at most, with its name, its id, and for how long;
 * returns how many run.  FN must only copy.  Any thread. */
typedef void (*sa_commands_running_fn_t)(void *baton, const char *name, const char *id,
                                         apr_interval_time_t since);
int sa_commands_running(sa_commands_t *commands, int most, sa_commands_running_fn_t fn,
                        void *baton);
/* How to have the overlay's configuration fetched and tried anew, or (RESTART) Nebula restarted;
 * in a worker's thread, before the start.  It answers at once and acts later. */
typedef sa_error_t *(*sa_commands_nebula_fn_t)(void *baton, bool restart);
void sa_commands_on_nebula(sa_commands_t *commands, sa_commands_nebula_fn_t nebula, void *baton);
sa_error_t *sa_commands_start(sa_commands_t *commands) SA_MUST_CHECK;
/* Take over new settings. */
void sa_commands_reload(sa_commands_t *commands, const sa_config_t *config);
/* Take no more, let running ones finish, end the threads. */
void sa_commands_stop(sa_commands_t *commands);

/* What CONFIG would let this machine run, as whom and within which limits, for people:
 * appended to TEXT.  Nothing is started; programs and scripts are opened. */
sa_error_t *sa_commands_list(sa_buf_t *text, const sa_config_t *config,
                             apr_pool_t *pool) SA_MUST_CHECK;

#endif
