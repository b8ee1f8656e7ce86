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
/* While the disk refuses to delete, a whole window can still be acknowledged. */
#define SA_OUTBOX_ACKED_MAX (SA_OUTBOX_REMOVE_BATCH + SA_OUTBOX_WINDOW_MAX)

/* What can change while we run. */
typedef struct sa_outbox_settings_t {
    sa_spool_limits_t limits;
    int window;
    apr_interval_time_t ack_timeout;
    apr_interval_time_t duplicate_window;
    apr_int64_t drain_rate;
    apr_interval_time_t drain_spread;
} sa_outbox_settings_t;

/* One acknowledgement, as the link's callback leaves it: sa_link_ack_t without
 * its text, because thousands of these may wait. */
typedef struct sa_outbox_ack_t {
    apr_uint64_t token;
    apr_uint64_t stream_seq;
    int error_code;
    bool stored;
    bool duplicate;
    bool no_stream;
} sa_outbox_ack_t;

/* One durable report on its way. */
typedef struct sa_flight_t {
    apr_int64_t seq;
    apr_interval_time_t sent_at;
    apr_uint64_t floor;         /* it will stand behind this place of the stream */
    unsigned int subject;       /* its hash */
} sa_flight_t;

/* A subject whose reports are refused while others are stored: it waits for itself and
 * keeps nobody up.  From time to time one of its reports is offered. */
#define SA_OUTBOX_HELD 32
/* Why, when it is not the server that says so. */
#define SA_OUTBOX_NO_STREAM "no stream binds the subject"
typedef struct sa_held_t {
    unsigned int subject;       /* its hash */
    apr_interval_time_t retry_at;
    bool sought;                /* its turn: its oldest report is looked for */
    bool probing;               /* and is on its way */
    sa_backoff_t backoff;
} sa_held_t;

/* Looking for reports whose acknowledgement was lost (sa_outbox_doubt.c).
 *
 * A report is doubtful from the moment that its offer got no answer until it
 * has left the spool.  Within the stream's duplicate window it may simply be
 * offered again: the server knows its id.  Later it is looked for first: its
 * subject's messages behind `floor` are read, and those of ours are done. */
#define SA_DOUBT_SUBJECTS 16
typedef enum sa_doubt_step_t {
    SA_DOUBT_IDLE,
    SA_DOUBT_NAME,              /* which stream binds the subject? */
    SA_DOUBT_LAST,              /* is there anything of ours as new as these? */
    SA_DOUBT_FLOOR,             /* is the floor still what it was? */
    SA_DOUBT_NEXT               /* the next message behind the one before */
} sa_doubt_step_t;

typedef struct sa_doubt_t {
    apr_int64_t upto;           /* reports up to this number are doubtful; 0: none */
    apr_interval_time_t since;  /* when the first of them was offered; 0: in an earlier life */
    apr_uint64_t floor;         /* the doubtful ones all stand behind this place of the stream */
    apr_uint64_t newest;        /* the last place that an acknowledgement named */
    char stream[SA_LINK_STREAM_NAME];
    const char *checked[SA_DOUBT_SUBJECTS];     /* subjects that have been looked through */
    int checked_count;
    apr_pool_t *pool;           /* of the subjects */
    sa_doubt_step_t step;
    const char *subject;        /* that is being looked through */
    apr_uint64_t token;
    bool named;                 /* its stream was asked for during this inquiry */
    bool denied;                /* the bus has said on this connection that we may not ask */
    apr_interval_time_t asked_at;
    apr_uint64_t next;          /* the place to read from */
    int asked;
    int unanswered;
} sa_doubt_t;

/* The durable class: spool -> window -> acknowledgement -> gone. */
typedef struct sa_durable_t {
    sa_spool_t *spool;
    sa_flight_t *flights;           /* SA_OUTBOX_WINDOW_MAX of them, in order of seq */
    int flight_count;
    int window;
    apr_interval_time_t ack_timeout;
    apr_uint64_t life;              /* of the spool: counts rescues; part of the tokens */
    apr_int64_t cursor;             /* everything up to here is on its way, gone or acked */
    sa_spool_entry_t *batch;        /* read from the spool, not sent yet */
    int batch_count;
    int batch_next;
    apr_pool_t *batch_pool;
    apr_int64_t *acked;             /* stored, and not deleted yet; SA_OUTBOX_ACKED_MAX of them */
    int acked_count;
    bool acked_ahead;               /* some of them lie before us in the spool again */
    apr_interval_time_t acked_since;
    bool stalled;                   /* not being stored; retry_at says when to try again */
    bool probing;                   /* stalled, and one report is on its way to find out */
    apr_interval_time_t retry_at;
    sa_backoff_t backoff;
    sa_held_t held[SA_OUTBOX_HELD];
    int held_count;
    bool again;                     /* begin with the oldest when nothing is on its way */
    bool seeking;                   /* that was done for held subjects whose turn it is */
    int passed;                     /* in this turn */
    bool skipping;                  /* this turn has passed over enough: go on in the next */
    sa_doubt_t doubt;
    apr_interval_time_t duplicate_window;
    apr_int64_t drain_rate;         /* reports a second; 0: no limit */
    apr_interval_time_t drain_spread;
    double allowance;               /* reports that may be offered now */
    bool limited;                   /* more would be offered, had drain_rate let them */
    apr_interval_time_t allowed_at;
    sa_random_t random;
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
    char ack_stream[SA_LINK_STREAM_NAME];   /* what the newest acknowledgement named */
    bool stored_pending;            /* an answer to an inquiry */
    apr_uint64_t stored_token;
    sa_link_stored_t stored;
    bool edge_pending;
    bool edge_up;
    bool stopping;
    apr_interval_time_t stop_by;
    bool reload_pending;
    sa_outbox_settings_t settings;  /* of the reload */

    const char *code;
    const char *subject_prefix;     /* "{prefix}.{code}." */
    sa_outbox_turn_fn_t turn_fn;
    void *turn_baton;
    sa_outbox_edge_fn_t edge_fn;
    void *edge_baton;
    bool up;
    apr_interval_time_t expire_at;
    sa_durable_t durable;
    sa_latest_t latest;
};

/* Tokens: a durable report's is its seq; the twin's have this bit. */
#define SA_TOKEN_TWIN (APR_UINT64_C(1) << 62)
/* and an inquiry's this one. */
#define SA_TOKEN_DOUBT (APR_UINT64_C(1) << 61)
/* The lower bits are the report's number; those above say of which spool: after a
 * rescue numbers begin again, while answers of the old one may still come. */
#define SA_TOKEN_SEQ_BITS 48
#define SA_TOKEN_LIVES 0x1000

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
/* The spool was opened: take note of what is in it. */
void sa_outbox__durable_begin(sa_durable_t *durable);
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

/* Note that SEQ is in the stream and may leave the spool. */
void sa_outbox__durable_is_stored(sa_durable_t *durable, apr_int64_t seq);
/* SUBJECT is not stored now, because of REASON: offer nothing for a while, and then the
 * oldest alone.  Where that is known already SUBJECT alone waits, and another is tried. */
void sa_outbox__durable_refuse(sa_outbox_t *outbox, unsigned int subject, const char *reason);
unsigned int sa_outbox__subject_hash(const char *subject);
/* Forget what is on its way: all of it is offered again, oldest first. */
void sa_outbox__durable_rewind(sa_outbox_t *outbox);

/* doubt */
void sa_outbox__doubt_init(sa_doubt_t *doubt, apr_pool_t *pool);
/* At the start: what is in the spool may have been offered before. */
void sa_outbox__doubt_open(sa_durable_t *durable);
/* What is on its way will get no answer. */
void sa_outbox__doubt_add_flights(sa_durable_t *durable);
void sa_outbox__doubt_add(sa_durable_t *durable, const sa_flight_t *flight);
/* The spool has changed: are there still doubtful ones? */
void sa_outbox__doubt_settle(sa_durable_t *durable);
/* Let the next removal keep the place that all of the spool stands behind. */
void sa_outbox__doubt_keep_floor(sa_durable_t *durable);
/* An acknowledgement named this place. */
void sa_outbox__doubt_note_place(sa_durable_t *durable, const char *stream, apr_uint64_t place,
                                 bool duplicate);
/* May ENTRY be offered now?  false: an inquiry is under way, wait for it. */
bool sa_outbox__doubt_allows(sa_outbox_t *outbox, const sa_spool_entry_t *entry);
void sa_outbox__doubt_answer(sa_outbox_t *outbox, apr_uint64_t token,
                             const sa_link_stored_t *stored);
/* The connection is another one: what was asked will not be answered. */
void sa_outbox__doubt_edge(sa_durable_t *durable);
/* Ask again for an answer that does not come, or give up. */
void sa_outbox__doubt_turn(sa_outbox_t *outbox, apr_interval_time_t now);
/* When to do that; SA_OS_NEVER: nothing was asked. */
apr_interval_time_t sa_outbox__doubt_due(const sa_outbox_t *outbox);

/* latest */
void sa_outbox__latest_init(sa_latest_t *latest);
void sa_outbox__latest_set(sa_outbox_t *outbox, sa_report_t **report);
void sa_outbox__latest_ack(sa_outbox_t *outbox, const sa_outbox_ack_t *ack);
void sa_outbox__latest_edge(sa_outbox_t *outbox, bool up);
apr_interval_time_t sa_outbox__latest_turn(sa_outbox_t *outbox);
bool sa_outbox__latest_is_idle(const sa_outbox_t *outbox);
void sa_outbox__latest_finish(sa_outbox_t *outbox);

#endif
