/* doctor, private: what the checks of the bus leave for one another.  Their group's thread, but
 * for what is marked (m). */
#ifndef SA_DOCTOR_BUS_H
#define SA_DOCTOR_BUS_H

#include "sa_doctor_private.h"
#include "sa_http_proxy.h"
#include "sa_link.h"

#define SA_DOCTOR__EVENTS 32
#define SA_DOCTOR__ANSWERS 16

/* What the link said. */
typedef struct sa_doctor__event_t {
    sa_event_t event;
    char reason[256];
} sa_doctor__event_t;

/* What came on a subject of our inbox. */
typedef struct sa_doctor__answer_t {
    apr_uint64_t token;
    bool trace;                 /* of the server's tracing, not of a receiver */
    apr_time_t at;              /* by our clock */
    sa_link_message_t *message;
} sa_doctor__answer_t;

typedef struct sa_doctor__bus_t {
    sa_doctor__server_t servers[SA_DOCTOR__URLS];
    int count;
    int reached;                /* of them */
    sa_http_proxy_t proxy;      /* its url is NULL: there is none */
    sa_error_t *proxy_error;    /* its settings cannot be used; lives with the examination */
    const sa_doctor__server_t *server;      /* the first that was reached */
    sa_link_t *link;            /* NULL: none */
    bool logged_in;
    char inbox[48];             /* ours, for traces: "_INBOX.doctor...." */
    const char *subscribed[8];
    bool optional[8];
    int subscribed_count;
    apr_uint64_t token;
    bool no_trace;              /* the server, or the role, does not let us */
    bool beat_stream;           /* a stream stores our beats as well */
    char beat_stream_name[SA_LINK_STREAM_NAME];
    bool has_offset;            /* our clock less the server's */
    apr_interval_time_t offset;
    bool published;             /* the check of publishing was made */

    sa_os_mutex_t *mutex;       /* of what is shared: guards what is below */
    sa_os_cond_t *cond;
    bool up;                                        /* (m) */
    sa_doctor__event_t events[SA_DOCTOR__EVENTS];   /* (m) */
    int event_count;                                /* (m) */
    sa_doctor__answer_t answers[SA_DOCTOR__ANSWERS];    /* (m) */
    int answer_count;                               /* (m) */
} sa_doctor__bus_t;

/* "{prefix}.{code}.NAME" */
const char *sa_doctor__subject(const sa_doctor__exam_t *exam, const char *name);

/* What came of trying a subject. */
typedef enum sa_doctor__outcome_t {
    SA_DOCTOR__ALLOWED,         /* and maybe a stream that stores it */
    SA_DOCTOR__DENIED_IT,
    SA_DOCTOR__NO_STREAM,       /* allowed, and nobody is there */
    SA_DOCTOR__UNKNOWN          /* no answer */
} sa_doctor__outcome_t;

#endif
