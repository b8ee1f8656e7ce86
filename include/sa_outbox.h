/* The outbox: delivery in three classes (docs/architecture.md, Delivery).
 *
 * One thread owns the spool and all that is on its way.  A durable report is
 * accepted when it is committed to the spool; it is then offered to JetStream
 * with its message id {code}-{boot}-{seq}, oldest first, with a window of
 * unacknowledged ones, and deleted at its acknowledgement.  While there is no
 * stream, or no answer, everything stays and is tried again with back-off. */
#ifndef SA_OUTBOX_H
#define SA_OUTBOX_H

#include <stdbool.h>

#include <apr_pools.h>
#include <apr_time.h>

#include "sa_config.h"
#include "sa_error.h"
#include "sa_report.h"

/* The bus, by name only: who gives reports never sees it. */
struct sa_link_t;

typedef struct sa_outbox_t sa_outbox_t;

/* Living in POOL.  Takes LINK's edge and acknowledgement callbacks: create it
 * before the link starts. */
sa_error_t *sa_outbox_create(sa_outbox_t **outbox, struct sa_link_t *link,
                             apr_pool_t *pool) SA_MUST_CHECK;

/* The bus came up or went away; in the outbox's thread, after it has taken
 * note.  At most one; before the start. */
typedef void (*sa_outbox_edge_fn_t)(void *baton, bool up);
void sa_outbox_on_edge(sa_outbox_t *outbox, sa_outbox_edge_fn_t fn, void *baton);

/* It has done something, and is about to wait; in the outbox's thread.  At most one; before the
 * start.  FN must only take note. */
typedef void (*sa_outbox_turn_fn_t)(void *baton);
void sa_outbox_on_turn(sa_outbox_t *outbox, sa_outbox_turn_fn_t fn, void *baton);

/* Open the spool below paths.state and start the thread. */
sa_error_t *sa_outbox_start(sa_outbox_t *outbox, const sa_config_t *config) SA_MUST_CHECK;
/* Take over new settings. */
void sa_outbox_reload(sa_outbox_t *outbox, const sa_config_t *config);

/* Hand over *REPORT, which becomes NULL in any case.  Any thread.  When the
 * mailbox is full (a disk that does not answer) a durable one waits for room
 * for SA_OUTBOX_PATIENCE; then, and for the others at once, it is dropped and
 * SA_ERR_BUSY says so. */
#define SA_OUTBOX_PATIENCE apr_time_from_sec(2)
sa_error_t *sa_outbox_give(sa_outbox_t *outbox, sa_report_t **report) SA_MUST_CHECK;

/* The largest payload a report may have now. */
size_t sa_outbox_max_payload(sa_outbox_t *outbox);

/* Commit what was given, offer what is there to the bus for at most TIMEOUT,
 * and end the thread.  What was not acknowledged stays in the spool. */
void sa_outbox_stop(sa_outbox_t *outbox, apr_interval_time_t timeout);

#endif
