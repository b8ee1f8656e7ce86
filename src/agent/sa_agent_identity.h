/* agent, private: when to visit the platform, and what follows from a visit.
 *
 * The main thread keeps it: it knows when the next visit is due, starts a thread ("identity")
 * for it, and takes its result.  Between two visits there is nothing but a time. */
#ifndef SA_AGENT_IDENTITY_H
#define SA_AGENT_IDENTITY_H

#include <stdbool.h>

#include <apr_pools.h>

#include "sa_config.h"
#include "sa_link.h"

typedef struct sa_agent__identity_t sa_agent__identity_t;

/* Before LINK is started.  Living in POOL. */
void sa_agent__identity_create(sa_agent__identity_t **identity, sa_link_t *link,
                               apr_pool_t *pool);

/* The rest: main thread. */
void sa_agent__identity_start(sa_agent__identity_t *identity, const sa_config_t *config);
/* CONFIG takes the place of the one before, in whose pool OLD_POOL (or NULL) a visit may
 * still read: it is destroyed here, as soon as none does.  ANEW: visit with it at once. */
void sa_agent__identity_reload(sa_agent__identity_t *identity, const sa_config_t *config,
                               apr_pool_t *old_pool, bool anew);
void sa_agent__identity_stop(sa_agent__identity_t *identity);
/* When to look, monotonic; SA_OS_NEVER.  The daemon is woken when it is earlier. */
apr_interval_time_t sa_agent__identity_due(const sa_agent__identity_t *identity);
/* Take the result of a visit that has ended, begin one that is due.  True: the platform has
 * new settings, read the configuration again. */
bool sa_agent__identity_look(sa_agent__identity_t *identity);
/* The network has changed: if nobody could be asked at the last visit, the next one is soon. */
void sa_agent__identity_hurry(sa_agent__identity_t *identity);

/* Have new credentials made, and wait for them; *CHANGED: they are in place, and
 * sa_agent__identity_renew() is the caller's to call once it has answered.  Worker threads. */
sa_error_t *sa_agent__identity_rotate(void *identity, bool *changed) SA_MUST_CHECK;
void sa_agent__identity_renew(void *identity);

/* Have the platform asked as soon as it may be, whatever is due.  False: there is none.  Any
 * thread. */
bool sa_agent__identity_sync(void *identity);
/* Whom to tell, in the main thread, that a visit has brought a document for the overlay, or was
 * asked for and is over.  Before the start. */
void sa_agent__identity_on_nebula(sa_agent__identity_t *identity, void (*told)(void *baton),
                                  void *baton);

/* The bus's part of a visit, also for people's own: BATON is the configuration. */
struct sa_bootstrap_bus_t;
void sa_agent__identity_bus(struct sa_bootstrap_bus_t *bus, const sa_config_t *config);

#endif
