/* What is wrong, and what mends it.
 *
 * One table of checks for the command line (`doctor`), where all of it is tried from outside,
 * and for the running agent (`checks` in health), which knows much of it first-hand and does
 * not try that again.  Groups of checks run beside one another, each in a thread; who is not
 * done at the end of the time is reported as not done and left behind.
 *
 * Nothing is changed by an examination: no report is stored, no beat is sent, no service is
 * started or stopped, no login at the platform is made.
 *
 * Stateless but for what an examination from outside keeps of the process: the log's tap and
 * the numbers of sa_stats.h are its own while it lasts. */
#ifndef SA_DOCTOR_H
#define SA_DOCTOR_H

#include <stdbool.h>

#include <apr_pools.h>
#include <apr_time.h>

#include "sa_config.h"
#include "sa_error.h"
#include "sa_json.h"
#include "sa_log.h"

/* The order is that of their gravity.  Skipped is no answer: the check does not apply here, or
 * cannot be made as things are. */
typedef enum sa_doctor_state_t {
    SA_DOCTOR_SKIPPED, SA_DOCTOR_OK, SA_DOCTOR_WARN, SA_DOCTOR_FAIL
} sa_doctor_state_t;
/* "skipped", "ok", "warn", "fail" */
const char *sa_doctor_state_name(sa_doctor_state_t state);

#define SA_DOCTOR_TEXT 640

typedef struct sa_doctor_finding_t {
    const char *name;               /* of the check; static */
    sa_doctor_state_t state;
    char detail[SA_DOCTOR_TEXT];    /* of the gravest thing found, and how many more */
    char fix[SA_DOCTOR_TEXT];       /* what to do; "" for ok and skipped */
    apr_interval_time_t took;
} sa_doctor_finding_t;

typedef struct sa_doctor_report_t {
    sa_doctor_state_t state;        /* the gravest */
    sa_doctor_finding_t *findings;  /* in the table's order */
    int count;
    apr_time_t checked;
    apr_interval_time_t took;
    bool abandoned;                 /* a thread was left behind: it may still run */
} sa_doctor_report_t;

/* What an agent has noticed of itself. */
#define SA_DOCTOR_DENIED_MAX 16
typedef struct sa_doctor_chart_t {
    sa_event_t link_event;          /* why there is no connection; SA_EVENT_END: not known */
    bool twin_missing;
    int denied_count;
    char denied[SA_DOCTOR_DENIED_MAX][SA_DOCTOR_TEXT / 2];  /* "allow publish: SUBJECT" */
} sa_doctor_chart_t;

typedef struct sa_doctor_patient_t {
    const sa_config_source_t *source;
    /* Of the agent that runs in this process; NULL: examined from outside. */
    const sa_doctor_chart_t *chart;
    const volatile apr_uint32_t *stop;  /* once it is not 0 nothing is waited for; or NULL */
} sa_doctor_patient_t;

#define SA_DOCTOR_TIME apr_time_from_sec(8)

/* Examine PATIENT within TIME, and a second more at the most.  *REPORT lives in POOL.  Never
 * fails: what cannot be examined is a finding.  Blocks.  The libraries of http and link must
 * be open.  One at a time. */
void sa_doctor_examine(sa_doctor_report_t *report, const sa_doctor_patient_t *patient,
                       apr_interval_time_t time, apr_pool_t *pool);

/* The member `checks` of health, and `doctor --json`: names as the public agent's.  UPTIME of
 * the agent, 0: it does not run.  In POOL. */
cJSON *sa_doctor_json(const sa_doctor_report_t *report, apr_interval_time_t uptime,
                      apr_pool_t *pool);

/* Every check's name and what it looks at, for people. */
typedef void (*sa_doctor_check_fn_t)(void *baton, const char *name, const char *doc);
void sa_doctor_each(sa_doctor_check_fn_t fn, void *baton);

#endif
