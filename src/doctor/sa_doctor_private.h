/* doctor, private: what its files share.
 *
 * Each group of checks has a thread, which has an exam: a pool, the configuration (read only,
 * one for all), and what one check of the group leaves for the next.  What a check finds goes
 * into the exam's finding and is handed over when the check is over; a thread that is left
 * behind hands over to nobody. */
#ifndef SA_DOCTOR_PRIVATE_H
#define SA_DOCTOR_PRIVATE_H

#include <stdbool.h>

#include <apr.h>
#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>

#include "sa_doctor.h"
#include "sa_link_url.h"
#include "sa_os_thread.h"
#include "sa_status.h"

typedef enum sa_doctor__group_t {
    SA_DOCTOR__FILES, SA_DOCTOR__SCRIPTS, SA_DOCTOR__SERVICES, SA_DOCTOR__PLATFORM,
    SA_DOCTOR__EXPORTERS, SA_DOCTOR__BUS, SA_DOCTOR__GROUPS
} sa_doctor__group_t;

/* One of nats.urls. */
#define SA_DOCTOR__URLS 16
typedef struct sa_doctor__server_t {
    const char *setting;        /* as it stands in nats.urls: may hold a password */
    sa_link_url_t url;
    bool proxied;               /* the way there leads through a proxy */
    bool named;                 /* its name can be looked up */
    bool reached;               /* it accepts, and says INFO where it should */
    bool hidden;                /* what it says goes through a proxy's TLS */
    bool wants_tls;             /* by its INFO */
    bool offers_tls;
    bool tls_first;             /* it says nothing before a handshake, as it seems */
    char version[32];           /* of its INFO, "" */
    bool jetstream;
} sa_doctor__server_t;

struct sa_doctor__bus_t;

/* What all groups share; the lock guards it.  Lives until the last thread is gone. */
typedef struct sa_doctor__shared_t {
    apr_pool_t *pool;
    sa_os_mutex_t *mutex;
    sa_os_cond_t *cond;
    const sa_config_t *config;          /* not changed after the start, and so are these three */
    const apr_array_header_t *complaints;
    const char *config_error;           /* NULL: it can be used */
    sa_doctor_chart_t chart;
    bool inside;
    const volatile apr_uint32_t *stop;  /* or NULL */
    apr_interval_time_t deadline;
    int running;                        /* groups */
    bool *done;                         /* by check */
    sa_doctor_finding_t *findings;
    struct sa_doctor__bus_t *bus;       /* NULL: not yet */
    bool platform_over;                 /* its group: no time comes from there any more */
    bool has_offset;                    /* our clock less the platform's */
    apr_interval_time_t offset;
} sa_doctor__shared_t;

typedef struct sa_doctor__exam_t {
    apr_pool_t *pool;
    sa_doctor__shared_t *shared;
    sa_doctor__group_t group;
    sa_os_thread_t *thread;
    const sa_config_t *config;
    const sa_doctor_chart_t *chart;     /* NULL: from outside */
    apr_interval_time_t deadline;       /* of the check at work, monotonic */
    const char *mend;                   /* its own; for what has no better one */
    sa_doctor_finding_t *finding;
    int more;                           /* of the same gravity, that found no room */
    sa_status_t status;                 /* of the agent that runs elsewhere; read on demand */
    bool status_read;
    struct sa_doctor__bus_t *bus;       /* of the group BUS */
} sa_doctor__exam_t;

/* ---- words: what a check finds; the gravest stays, the rest is counted */
void sa_doctor__ok(sa_doctor__exam_t *exam, const char *format, ...) SA_PRINTF(2, 3);
void sa_doctor__skip(sa_doctor__exam_t *exam, const char *format, ...) SA_PRINTF(2, 3);
/* FIX NULL: the check's own mend. */
void sa_doctor__warn(sa_doctor__exam_t *exam, const char *fix, const char *format, ...)
    SA_PRINTF(3, 4);
void sa_doctor__fail(sa_doctor__exam_t *exam, const char *fix, const char *format, ...)
    SA_PRINTF(3, 4);
/* ERR is taken. */
void sa_doctor__fail_error(sa_doctor__exam_t *exam, const char *fix, sa_error_t *err);
/* Say how many more there are. */
void sa_doctor__close(sa_doctor__exam_t *exam);
/* What is left of the check's time; 0: nothing. */
apr_interval_time_t sa_doctor__left(const sa_doctor__exam_t *exam);
/* "3d 4h", "12s" */
const char *sa_doctor__span(apr_interval_time_t span, apr_pool_t *pool);
/* Read it once. */
const sa_status_t *sa_doctor__status(sa_doctor__exam_t *exam);
/* Who the agent is, by the owner of its state directory; false: not known.  *SELF: we are. */
bool sa_doctor__agent_user(const char **name, bool *self, const sa_config_t *config,
                           apr_pool_t *pool);
/* A setting by its path, also one that this version does not have: NULL then, and "" for one
 * that is not set. */
const char *sa_doctor__setting(const sa_config_t *config, const char *path, apr_pool_t *pool);

/* ---- files */
void sa_doctor__config(sa_doctor__exam_t *exam);
void sa_doctor__agent(sa_doctor__exam_t *exam);
void sa_doctor__state(sa_doctor__exam_t *exam);
void sa_doctor__secrets(sa_doctor__exam_t *exam);
void sa_doctor__credentials(sa_doctor__exam_t *exam);
void sa_doctor__log(sa_doctor__exam_t *exam);
void sa_doctor__disk(sa_doctor__exam_t *exam);
void sa_doctor__spool(sa_doctor__exam_t *exam);
/* ---- machine */
void sa_doctor__scripts(sa_doctor__exam_t *exam);
void sa_doctor__programs(sa_doctor__exam_t *exam);
void sa_doctor__services(sa_doctor__exam_t *exam);
void sa_doctor__polkit(sa_doctor__exam_t *exam);
void sa_doctor__cgroup(sa_doctor__exam_t *exam);
void sa_doctor__nebula(sa_doctor__exam_t *exam);
/* ---- pages */
void sa_doctor__platform(sa_doctor__exam_t *exam);
void sa_doctor__exporters(sa_doctor__exam_t *exam);
/* ---- bus */
void sa_doctor__dns(sa_doctor__exam_t *exam);
void sa_doctor__proxy(sa_doctor__exam_t *exam);
void sa_doctor__tcp(sa_doctor__exam_t *exam);
void sa_doctor__tls(sa_doctor__exam_t *exam);
void sa_doctor__login(sa_doctor__exam_t *exam);
/* The tap of an examination from outside; BATON is what is shared. */
bool sa_doctor__on_event(void *baton, sa_event_t event, const sa_field_t *fields);
/* ---- grants */
void sa_doctor__subscribe(sa_doctor__exam_t *exam);
void sa_doctor__publish(sa_doctor__exam_t *exam);
void sa_doctor__stream(sa_doctor__exam_t *exam);
void sa_doctor__commands_stream(sa_doctor__exam_t *exam);
void sa_doctor__twin(sa_doctor__exam_t *exam);
void sa_doctor__clock(sa_doctor__exam_t *exam);
/* The end of the group: leave the bus. */
void sa_doctor__bus_end(sa_doctor__exam_t *exam);

#endif
