/* command, private: what its files share. */
#ifndef SA_COMMAND_PRIVATE_H
#define SA_COMMAND_PRIVATE_H

#include <stdbool.h>

#include "sa_buf.h"
#include "sa_command.h"
#include "sa_command_audit.h"
#include "sa_json.h"
#include "sa_os_exec.h"
#include "sa_os_host.h"
#include "sa_os_thread.h"
#include "sa_pulse.h"
#include "sa_queue.h"

struct sa_link_message_t;

/* A larger request is refused unread, and so are larger headers. */
#define SA_REQUEST_LIMIT (64 * 1024)
#define SA_HEADERS_LIMIT (8 * 1024)
/* A request's own id, and what may say who asks. */
#define SA_CALL_ID_MAX 64
#define SA_REQUESTER_MAX 128
#define SA_REPLY_SUBJECT_MAX 256
#define SA_CALL_REQUESTER_MAX (SA_REPLY_SUBJECT_MAX + 1 + SA_REQUESTER_MAX)

/* A copy of what commands need of one configuration, in its own pool.  Counted,
 * because a command may run while a reload replaces it. */
typedef struct sa_command_settings_t {
    apr_pool_t *pool;
    volatile apr_uint32_t users;
    const char *code;
    const char *location;
    const char *subject_prefix;
    const char *auth_type;                  /* nats.auth.type, as it is written */
    bool platform;                          /* the credentials are the platform's */
    apr_array_header_t *reply_prefixes;     /* of const char * */
    apr_array_header_t *enabled_tasks;      /* of const char * */
    const struct sa_command_policy_t *policy;
    const apr_array_header_t *own_paths;    /* of const char *: never shown */
    const apr_array_header_t *written_paths;    /* of them, where we write: never run */
    bool log_links;                         /* commands.log_links */
    const apr_array_header_t *log_folders;  /* of const char *; NULL: commands.log_mounts */
    apr_interval_time_t timeout;            /* of a program that has none of its own */
    apr_int64_t max_output;
    apr_interval_time_t stop_patience;      /* with what runs when the agent stops */
    apr_array_header_t *allowed_commands;   /* of const char *, for health */
    apr_array_header_t *allowed_services;
    apr_array_header_t *allowed_log_paths;
} sa_command_settings_t;

/* Why a call is to end before it is done. */
typedef enum sa_call_stop_t {
    SA_CALL_GOES_ON,
    SA_CALL_CANCELLED,          /* by cmd.cancel */
    SA_CALL_DESERTED,           /* the bus says that nobody listens to the answers */
    SA_CALL_UNHEARD,            /* the bus was away for too long */
    SA_CALL_STOPPING            /* the agent is */
} sa_call_stop_t;

/* What a streaming call keeps between two messages. */
typedef struct sa_call_stream_t {
    sa_buf_t text;              /* of the message in hand */
    const char *headers;        /* of each */
    bool ready;
    struct {
        const char *name;
        char bytes[4];          /* the beginning of a character */
        size_t length;
    } held[2];
    size_t unproved;            /* bytes since the server last answered */
    apr_interval_time_t asked_at;   /* whether somebody listens; 0: not yet */
    apr_uint64_t connects;      /* of the link, when the last message was sent */
} sa_call_stream_t;

struct sa_command_row_t;
struct sa_command__lane_t;

/* One request, from its arrival to its answer.  The dispatcher makes it; a worker has it from
 * the lanes; one thread at a time but for what is marked (m), which the lanes' lock guards. */
typedef struct sa_call_t {
    sa_commands_t *commands;
    const sa_command_settings_t *settings;
    struct sa_link_message_t *message;
    const struct sa_command_row_t *row;     /* NULL: no such command */
    const char *name;           /* of the command, as asked for */
    const char *requester;      /* who asks: from the reply subject and a header */
    apr_time_t expires;         /* 0: never */
    apr_interval_time_t began_at;
    apr_interval_time_t deadline;   /* monotonic, of what it runs; 0: none */
    bool travels;               /* to a worker: its pool is its own */
    bool headers;               /* there are some, and not too many */
    bool id_given;              /* by the requester */
    bool begun;                 /* there is a line in the audit file */
    bool renews;                /* once answered, connect anew */
    const char *what;           /* for the audit file, and so are these two */
    const char *as;
    const char *outcome;        /* NULL: as the error says, or "success" */
    sa_call_stream_t out;
    apr_uint64_t number;        /* of this call, for the bus to name it */
    volatile apr_uint32_t stop; /* (m) to write, a sa_call_stop_t */
    bool running;               /* (m) */
    struct sa_command__lane_t *lane;        /* (m) */
    struct sa_call_t *next;     /* (m) of its lane */
    struct sa_call_t *next_live;            /* (m) of all */
    const char *id;             /* the request's, or one of ours */
    const cJSON *request;       /* an object; empty when the body was */
    cJSON *reply;               /* the handler adds its members; status and ts are added later */
    size_t reply_limit;         /* the largest reply that the bus takes, headroom off */
    bool stream;                /* "stream": true: emit what comes as it comes */
    apr_uint64_t seq;           /* of the last emitted message */
    sa_os_cancel_t *cancel;     /* cmd.cancel, a requester that is gone, or our own end */
    apr_pool_t *pool;           /* of this call */
} sa_call_t;

/* Send a message of a streaming call: {"status":"running","seq":N,"stream":STREAM,
 * "data":...,"ts":...}; bytes that are not UTF-8 go as "data_base64".  STREAM NULL: one
 * without data, so that the requester knows we live.  Cuts DATA at characters where it is
 * more than one message takes.  Blocks while the server takes nothing.
 * SA_ERR_CANCELLED: stop, nobody reads it. */
sa_error_t *sa_command__emit(sa_call_t *call, const char *stream, const char *data,
                             size_t length) SA_MUST_CHECK;

/* An error becomes the error reply. */
typedef sa_error_t *(*sa_command_fn_t)(sa_call_t *call);

typedef enum sa_command_flag_t {
    SA_COMMAND_QUICK = 1,       /* answers at once, in the dispatcher's thread */
    SA_COMMAND_ANY_BODY = 2,    /* the request's body is not looked at */
    SA_COMMAND_UNCOUNTED = 4,   /* harmless: not in commands_processed, no id, no audit */
    SA_COMMAND_STREAMS = 8,     /* knows "stream": true */
    SA_COMMAND_BEGINS = 16      /* calls sa_command__begin() itself */
} sa_command_flag_t;

typedef struct sa_command_row_t {
    const char *name;
    sa_command_fn_t run;
    unsigned int flags;
    const char *told[2];        /* members of the request that the audit file shows */
    const char *doc;
} sa_command_row_t;

#define SA_COMMANDS_MAX 32

/* What the micro service tells of each command. */
typedef struct sa_command_count_t {
    volatile apr_uint64_t requests;
    volatile apr_uint64_t errors;
    volatile apr_uint64_t busy_us;
} sa_command_count_t;

struct sa_commands_t {
    struct sa_link_t *link;
    apr_pool_t *pool;
    const sa_command_row_t *table;
    int table_length;
    sa_command_count_t counts[SA_COMMANDS_MAX];
    sa_queue_t *urgent;             /* of sa_link_message_t: the dispatcher's, taken first */
    sa_queue_t *inbox;              /* the same */
    volatile apr_uint32_t inbox_bytes;      /* in it */
    struct sa_command__lanes_t *lanes;      /* of sa_call_t: the workers' */
    sa_queue_t *pools;              /* of apr_pool_t: empty ones, for the next calls */
    struct sa_command__ids_t *ids;  /* dispatcher only */
    sa_command_audit_t *audit;
    const char *user;               /* that we run as, for people */
    sa_commands_rotate_fn_t rotate; /* or NULL */
    sa_commands_renew_fn_t renew;
    void *rotate_baton;
    sa_commands_nebula_fn_t nebula; /* or NULL */
    void *nebula_baton;
    sa_commands_checks_fn_t checks; /* or NULL, and so is CHANGE */
    void *checks_baton;
    sa_commands_change_fn_t change;
    void *change_baton;
    bool containment_said;          /* the main thread only */
    sa_os_thread_t *dispatcher;
    sa_pulse_t *pulse;
    sa_os_host_t host;
    char service_id[24];            /* of the micro service */

    sa_os_mutex_t *mutex;           /* guards the settings */
    sa_command_settings_t *settings;

    /* dispatcher only */
    apr_uint64_t call_number;
    int urgent_run;                 /* messages taken from URGENT, one after the other */
    sa_os_thread_t *workers[32];
    apr_uint32_t worker_count;
    apr_uint32_t worker_limit;
};

/* For tests: another table, before the start. */
void sa_command__set_table(sa_commands_t *commands, const sa_command_row_t *table, int length);

/* Hold the present settings; release them after use. */
sa_command_settings_t *sa_command__hold_settings(sa_commands_t *commands);
void sa_command__release_settings(sa_command_settings_t *settings);

/* ---- calls */
/* The row of the command that MESSAGE's subject names, or NULL. */
const sa_command_row_t *sa_command__find_row(const sa_commands_t *commands,
                                             const struct sa_link_message_t *message);
/* Make *CALL of *MESSAGE, which becomes the call's; with an error the call is there all the
 * same, to be refused. */
sa_error_t *sa_command__call_create(sa_call_t **call, sa_commands_t *commands,
                                    struct sa_link_message_t **message,
                                    apr_pool_t *pool) SA_MUST_CHECK;
/* The rest of a message that has no answer but a refusal, or has had one. */
void sa_command__call_end(sa_call_t *call);
/* Run it and answer. */
void sa_command__call_run(sa_call_t *call);
/* Answer ERR, which is taken, instead of running it.  Never waits for the disk. */
void sa_command__call_refuse(sa_call_t *call, sa_error_t *err);
/* For handlers of SA_COMMAND_BEGINS, before anything is done: WHAT runs (NULL: what the row says
 * is told), AS whom and within which limits, goes to the audit file.  An error: it could not
 * be recorded. */
sa_error_t *sa_command__begin(sa_call_t *call, const char *what, const char *as) SA_MUST_CHECK;
/* What came of it: ERR, or success. */
void sa_command__record_end(sa_call_t *call, const sa_error_t *err);
/* Whether, and why, it is to end before it is done. */
sa_call_stop_t sa_command__stop_of(const sa_call_t *call);
/* End it for a reason of our own. */
void sa_command__stop_self(sa_call_t *call, sa_call_stop_t why);
/* The error of a call that was stopped. */
sa_error_t *sa_command__stop_error(const sa_call_t *call) SA_MUST_CHECK;

/* Can TEXT be a request's id? */
bool sa_command__is_id(const char *text);

/* ---- requests */
/* The text NAME of REQUEST; missing and null are the same, and leave *TEXT as it is. */
sa_error_t *sa_command__get_text(const char **text, const cJSON *request,
                                 const char *name) SA_MUST_CHECK;

/* ---- ids: seen within the last ten minutes */
typedef struct sa_command__ids_t sa_command__ids_t;
sa_command__ids_t *sa_command__ids_create(apr_pool_t *pool);
bool sa_command__ids_has(const sa_command__ids_t *ids, const char *id);
void sa_command__ids_add(sa_command__ids_t *ids, const char *id);

/* ---- lanes: what waits and what runs, a lane for each requester */
typedef struct sa_command__lanes_t sa_command__lanes_t;
/* WORKERS and QUEUE together are held at most, half of them by one requester, who keeps all
 * but one of the workers busy at most. */
sa_command__lanes_t *sa_command__lanes_create(apr_uint32_t workers, apr_uint32_t queue,
                                              apr_pool_t *pool);
/* SA_ERR_BUSY: full, or the requester's share is. */
sa_error_t *sa_command__lanes_give(sa_command__lanes_t *lanes, sa_call_t *call) SA_MUST_CHECK;
/* Wait for one to run, which CANCEL will end; the requesters take turns.  NULL: closed. */
sa_call_t *sa_command__lanes_take(sa_command__lanes_t *lanes, sa_os_cancel_t *cancel);
/* CALL, which runs, is answered. */
void sa_command__lanes_done(sa_command__lanes_t *lanes, sa_call_t *call);
apr_uint32_t sa_command__lanes_held(sa_command__lanes_t *lanes);
/* See sa_commands_running(). */
int sa_command__lanes_running(sa_command__lanes_t *lanes, int most, sa_commands_running_fn_t fn,
                              void *baton);
bool sa_command__lanes_has(sa_command__lanes_t *lanes, const char *id);

typedef enum sa_command__stopped_t {
    SA_COMMAND__UNKNOWN,        /* neither waits nor runs */
    SA_COMMAND__FOREIGN,        /* another requester's */
    SA_COMMAND__STOPPED_BEFORE,
    SA_COMMAND__STOPPED,        /* it runs, and will end */
    SA_COMMAND__TAKEN_OUT       /* it waited; it is the caller's now */
} sa_command__stopped_t;
/* Stop the call of ID, if it is REQUESTER's. */
sa_command__stopped_t sa_command__lanes_cancel(sa_command__lanes_t *lanes, const char *id,
                                               const char *requester, sa_call_t **taken_out);
/* Stop the running call of NUMBER.  Any thread; does not wait. */
void sa_command__lanes_desert(sa_command__lanes_t *lanes, apr_uint64_t number);
/* Take nothing more; who waits in sa_command__lanes_take() goes. */
void sa_command__lanes_close(sa_command__lanes_t *lanes);
/* Closed: take out what waits, one by one; NULL: none. */
sa_call_t *sa_command__lanes_take_out(sa_command__lanes_t *lanes);
/* Wait until nothing runs; false: some still do at DEADLINE. */
bool sa_command__lanes_wait(sa_command__lanes_t *lanes, apr_interval_time_t deadline);
/* Stop all that runs because the agent stops. */
void sa_command__lanes_stop(sa_command__lanes_t *lanes);

/* ---- streams */
/* Wait while the bus is away, so that the answer can be sent; not for ever, and not when the
 * call was stopped. */
void sa_command__await_bus(const sa_call_t *call);
/* For tests: another patience, before the first thread. */
void sa_command__set_patience(apr_interval_time_t patience);
/* Send what is held back of characters that were never completed. */
void sa_command__stream_flush(sa_call_t *call);
/* The empty message behind the last one. */
void sa_command__stream_end(sa_call_t *call);

/* reply */
/* May a requester ask for an answer on SUBJECT?  Not on one of our own inbox: there an answer
 * of ours would pass for the acknowledgement of a report. */
bool sa_command__may_reply_to(const sa_commands_t *commands,
                              const sa_command_settings_t *settings, const char *subject);
/* The same, for the PREFIXES alone. */
bool sa_command__is_reply_allowed(const char *subject, const apr_array_header_t *prefixes);
/* Send JSON to MESSAGE's reply subject, if it is one to answer to. */
void sa_command__reply(sa_commands_t *commands, const sa_command_settings_t *settings,
                       const struct sa_link_message_t *message, const char *headers,
                       const cJSON *json, apr_pool_t *scratch_pool);
/* The answer of CALL: its reply, or with ERR the error reply, with what the handler has put
 * into the reply behind it. */
void sa_command__answer(sa_call_t *call, const sa_error_t *err);
/* What a requester may read of ERR. */
const char *sa_command__error_text(const sa_error_t *err);

/* micro: answer a $SRV request. */
void sa_command__micro(sa_commands_t *commands, const sa_command_settings_t *settings,
                       const struct sa_link_message_t *message, apr_pool_t *scratch_pool);

/* the commands */
sa_error_t *sa_command__ping(sa_call_t *call);
sa_error_t *sa_command__health(sa_call_t *call);
sa_error_t *sa_command__cancel(sa_call_t *call);
sa_error_t *sa_command__exec(sa_call_t *call);
sa_error_t *sa_command__logs(sa_call_t *call);
sa_error_t *sa_command__service(sa_call_t *call);
sa_error_t *sa_command__rotate_creds(sa_call_t *call);
sa_error_t *sa_command__nebula(sa_call_t *call);

#endif
