/* What the files of tests/fleet share: the fleet and its members. */
#ifndef FLEET_H
#define FLEET_H

#include <stdbool.h>
#include <stdio.h>

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>

#include "sa_config.h"
#include "sa_link.h"
#include "sa_os_thread.h"

struct fleet_t;

/* One link, and what became of it since the phase began. */
typedef struct member_t {
    struct fleet_t *fleet;
    int number;
    apr_pool_t *pool;
    sa_link_t *link;
    bool is_up;                     /* (m) */
    int ups;                        /* (m) in this phase */
    int downs;                      /* (m) in this phase */
    apr_interval_time_t up_at;      /* (m) the first of this phase, on the monotonic clock */
    bool stored;                    /* (m) the report of this round */
    bool refused;                   /* (m) the bus answered, but did not store it */
} member_t;

typedef struct fleet_t {
    apr_pool_t *pool;
    sa_os_mutex_t *mutex;           /* guards what is marked (m) */
    sa_os_cond_t *cond;
    const char *config_file;
    const char *directory;
    member_t *members;
    int count;
    apr_interval_time_t began;      /* of the phase */
    int came;                       /* (m) members that came up in this phase */
    int up;                         /* (m) members that are up now */
    int stored;                     /* (m) reports of this round */

    /* Options. */
    apr_array_header_t *urls;       /* of const char * */
    apr_array_header_t *sets;       /* of const char *, the last one is the code */
    const char *ca_file;
    const char *restart;
    const char *kick;
    const char *log;
    bool reports;
    int reconnects;
    apr_interval_time_t patience;
    apr_interval_time_t settle;
} fleet_t;

/* fleet.c */
/* Print "fleet: ..." to standard error and leave with status 2. */
void fleet_fail(const char *format, ...) SA_PRINTF(1, 2);
void fleet_must(sa_error_t *err, const char *what);
/* A new phase: nobody has come up or gone down in it. */
void fleet_begin(fleet_t *fleet);
/* Wait until every member came up in this phase and is up, at most fleet->patience. */
bool fleet_wait(fleet_t *fleet);

/* fleet_show.c */
/* Print how the members' coming up is spread over the phase; false: one did not come, or
 * came twice. */
bool fleet_show(fleet_t *fleet, const char *phase);
typedef struct process_facts_t {
    long threads;
    long descriptors;
    long rss_kib;
    long private_kib;       /* anonymous */
} process_facts_t;
/* What the kernel says of this process; -1: nothing. */
void fleet_facts(process_facts_t *facts);
void fleet_show_facts(const char *when);

/* fleet_reconnects.c */
/* End the connection of the only member again and again; false: something is left behind. */
bool fleet_reconnects(fleet_t *fleet);

#endif
