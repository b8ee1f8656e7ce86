/* outbox, private: what its files share.
 *
 * Everything here belongs to the outbox's thread, except the two mailboxes. */
#ifndef SA_OUTBOX_PRIVATE_H
#define SA_OUTBOX_PRIVATE_H

#include "sa_backoff.h"
#include "sa_link.h"
#include "sa_os_thread.h"
#include "sa_outbox.h"
#include "sa_pulse.h"
#include "sa_queue.h"
#include "sa_spool.h"

/* The window's hard maximum, equal to the option's. */
#define SA_OUTBOX_WINDOW_MAX 4096
/* Acknowledgements are deleted from the spool in batches: when this many are
 * there, or when this time has passed since the first. */
#define SA_OUTBOX_REMOVE_BATCH 512
#define SA_OUTBOX_REMOVE_DELAY apr_time_from_msec(20)

/* One acknowledgement, as the link's callback leaves it: sa_link_ack_t without
 * its text, because thousands of these may wait. */
typedef struct sa_outbox_ack_t {
    apr_uint64_t token;
    int error_code;
    bool stored;
    bool duplicate;
    bool no_stream;
} sa_outbox_ack_t;

/* One durable report on its way. */
typedef struct sa_flight_t {
    apr_int64_t seq;
    apr_interval_time_t sent_at;
} sa_flight_t;

/* The durable class: spool -> window -> acknowledgement -> gone. */
typedef struct sa_durable_t {
    sa_spool_t *spool;
    sa_flight_t *flights;           /* SA_OUTBOX_WINDOW_MAX of them, in order of seq */
    int flight_count;
    int window;
    apr_interval_time_t ack_timeout;
    apr_int64_t cursor;             /* everything up to here is on its way, gone or acked */
    sa_spool_entry_t *batch;        /* read from the spool, not sent yet */
    int batch_count;
    int batch_next;
    apr_pool_t *batch_pool;
    apr_int64_t acked[SA_OUTBOX_REMOVE_BATCH];
    int acked_count;
    apr_interval_time_t acked_since;
    bool stalled;                   /* not being stored; retry_at says when to try again */
    bool probing;                   /* stalled, and one report is on its way to find out */
    apr_interval_time_t retry_at;
    sa_backoff_t backoff;
    apr_uint64_t dropped_said;      /* the last Stone-Age-Dropped that went into a report */
    /* accepted by nobody yet: the disk is full or does not answer */
    sa_report_t *waiting[64];
    int waiting_count;
    bool disk_failed;
    apr_interval_time_t disk_retry_at;
    sa_backoff_t disk_backoff;
} sa_durable_t;

/* One key of the digital twin. */
typedef struct sa_latest_slot_t {
    sa_report_t *report;            /* the newest; NULL: the slot is free */
    bool dirty;                     /* not stored yet */
    apr_uint64_t token;             /* of the put on its way; 0: none */
    apr_interval_time_t sent_at;
} sa_latest_slot_t;

#define SA_LATEST_SLOTS 32
typedef struct sa_latest_t {
    sa_latest_slot_t slots[SA_LATEST_SLOTS];
    apr_uint64_t next_token;
    bool missing;                   /* the bucket is not there or not ours to write */
    apr_interval_time_t retry_at;
    sa_backoff_t backoff;
} sa_latest_t;

#define SA_OUTBOX_ACKS_MAX (SA_OUTBOX_WINDOW_MAX + 2 * SA_LATEST_SLOTS)

struct sa_outbox_t {
    sa_link_t *link;
    apr_pool_t *pool;
    sa_queue_t *mailbox;            /* of sa_report_t */
    sa_os_thread_t *thread;
    sa_pulse_t *pulse;

    sa_os_mutex_t *mutex;           /* guards the next block */
    sa_os_cond_t *room;
    size_t pending_bytes;           /* of reports in the mailbox */
    sa_outbox_ack_t *acks;          /* SA_OUTBOX_ACKS_MAX of them, in order of arrival */
    int ack_count;
    char ack_error[128];            /* what the newest refusal said */
    bool edge_pending;
    bool edge_up;
    bool stopping;
    apr_interval_time_t stop_by;
    bool reload_pending;
    sa_spool_limits_t new_limits;
    int new_window;
    apr_interval_time_t new_ack_timeout;

    const char *code;
    const char *subject_prefix;     /* "{prefix}.{code}." */
    sa_outbox_edge_fn_t edge_fn;
    void *edge_baton;
    bool up;
    apr_interval_time_t expire_at;
    sa_durable_t durable;
    sa_latest_t latest;
};

/* Tokens: a durable report's is its seq; the twin's have this bit. */
#define SA_TOKEN_TWIN (APR_UINT64_C(1) << 62)

/* The start without the thread, and one turn of its loop without waiting:
 * what was given is taken, everything that can be done is done; returns when
 * to do it again.  For the thread, and for simulations that bring their own
 * time. */
sa_error_t *sa_outbox__open(sa_outbox_t *outbox, const sa_config_t *config) SA_MUST_CHECK;
apr_interval_time_t sa_outbox__step(sa_outbox_t *outbox);

/* What the newest refusal said, copied into BUFFER. */
const char *sa_outbox__ack_error(sa_outbox_t *outbox, char buffer[128]);

/* durable */
void sa_outbox__durable_init(sa_durable_t *durable, apr_pool_t *pool);
/* Take *REPORT into the next commit. */
void sa_outbox__durable_add(sa_outbox_t *outbox, sa_report_t **report);
bool sa_outbox__durable_has_room(const sa_outbox_t *outbox);
void sa_outbox__durable_commit(sa_outbox_t *outbox);
void sa_outbox__durable_ack(sa_outbox_t *outbox, apr_int64_t seq, const sa_outbox_ack_t *ack);
void sa_outbox__durable_edge(sa_outbox_t *outbox, bool up);
/* Send, time out, delete what was acknowledged.  Returns when to call again. */
apr_interval_time_t sa_outbox__durable_turn(sa_outbox_t *outbox);
bool sa_outbox__durable_is_idle(const sa_outbox_t *outbox);
void sa_outbox__durable_finish(sa_outbox_t *outbox);
void sa_outbox__durable_expire(sa_outbox_t *outbox);

/* latest */
void sa_outbox__latest_init(sa_latest_t *latest);
void sa_outbox__latest_set(sa_outbox_t *outbox, sa_report_t **report);
void sa_outbox__latest_ack(sa_outbox_t *outbox, const sa_outbox_ack_t *ack);
void sa_outbox__latest_edge(sa_outbox_t *outbox, bool up);
apr_interval_time_t sa_outbox__latest_turn(sa_outbox_t *outbox);
bool sa_outbox__latest_is_idle(const sa_outbox_t *outbox);
void sa_outbox__latest_finish(sa_outbox_t *outbox);

#endif
