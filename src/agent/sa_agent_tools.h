/* agent, private: what an operator's tools stand on: the state file, the looking on, the checks.
 *
 * Notes come from any thread and only set marks; the main thread writes the file, and starts and
 * joins the two threads that are there only while they are needed: "tail", and "doctor". */
#ifndef SA_AGENT_TOOLS_H
#define SA_AGENT_TOOLS_H

#include <stdbool.h>

#include <apr_pools.h>
#include <apr_time.h>

#include "sa_command.h"
#include "sa_config.h"
#include "sa_doctor.h"
#include "sa_json.h"
#include "sa_link.h"
#include "sa_outbox.h"

/* ---- all three; main thread */
typedef struct sa_agent__tools_t sa_agent__tools_t;
/* Before the others are started, and hooked into them.  Living in POOL; SOURCE outlives it. */
void sa_agent__tools_create(sa_agent__tools_t **tools, const sa_config_t *config,
                            const sa_config_source_t *source, sa_link_t *link,
                            sa_outbox_t *outbox, sa_commands_t *commands, apr_pool_t *pool);
void sa_agent__tools_start(sa_agent__tools_t *tools);
/* Do what is due. */
void sa_agent__tools_look(sa_agent__tools_t *tools, const sa_config_t *config);
/* When to look, monotonic; SA_OS_NEVER. */
apr_interval_time_t sa_agent__tools_due(sa_agent__tools_t *tools);
/* The others have ended: no note comes any more. */
void sa_agent__tools_stop(sa_agent__tools_t *tools);
/* The bus came up or went away.  Any thread. */
void sa_agent__tools_edge(sa_agent__tools_t *tools, bool up);

/* ---- the state file */
typedef struct sa_agent__status_t sa_agent__status_t;
void sa_agent__status_create(sa_agent__status_t **status, const sa_config_t *config,
                             sa_commands_t *commands, apr_pool_t *pool);
/* Something has changed: to be told soon.  Any thread. */
void sa_agent__status_touch(sa_agent__status_t *status);
/* The same for what changes all the time. */
void sa_agent__status_beat(sa_agent__status_t *status);
/* The tap of the log.  Any thread. */
bool sa_agent__status_event(void *status, sa_event_t event, const sa_field_t *fields);
void sa_agent__status_edge(sa_agent__status_t *status, bool up);
/* What an examination wants to know. */
void sa_agent__status_chart(sa_doctor_chart_t *chart, sa_agent__status_t *status);
apr_interval_time_t sa_agent__status_due(sa_agent__status_t *status);
void sa_agent__status_look(sa_agent__status_t *status, const sa_config_t *config);
/* Take the file away. */
void sa_agent__status_stop(sa_agent__status_t *status);

/* ---- looking on */
typedef struct sa_agent__tail_t sa_agent__tail_t;
void sa_agent__tail_create(sa_agent__tail_t **tail, const sa_config_t *config, apr_pool_t *pool);
/* A message was published.  Any thread. */
void sa_agent__tail_take(void *tail, const char *subject, const char *headers, const void *data,
                         size_t length);
void sa_agent__tail_look(sa_agent__tail_t *tail);
void sa_agent__tail_stop(sa_agent__tail_t *tail);

/* ---- the checks */
typedef struct sa_agent__checks_t sa_agent__checks_t;
void sa_agent__checks_create(sa_agent__checks_t **checks, const sa_config_source_t *source,
                             sa_agent__status_t *status, apr_pool_t *pool);
/* Examine soon.  Any thread. */
void sa_agent__checks_want(sa_agent__checks_t *checks);
/* The same, unless they were made before. */
void sa_agent__checks_first(sa_agent__checks_t *checks);
/* For sa_commands_on_checks(). */
void sa_agent__checks_add(void *checks, cJSON *health, size_t limit);
void sa_agent__checks_look(sa_agent__checks_t *checks);
void sa_agent__checks_stop(sa_agent__checks_t *checks);

#endif
