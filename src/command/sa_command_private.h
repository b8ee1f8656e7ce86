/* command, private: what its files share. */
#ifndef SA_COMMAND_PRIVATE_H
#define SA_COMMAND_PRIVATE_H

#include <stdbool.h>

#include "sa_command.h"
#include "sa_json.h"
#include "sa_os_host.h"
#include "sa_os_thread.h"
#include "sa_pulse.h"
#include "sa_queue.h"

struct sa_link_message_t;

/* A larger request is refused unread. */
#define SA_REQUEST_LIMIT (64 * 1024)

/* A copy of what commands need of one configuration, in its own pool.  Counted,
 * because a command may run while a reload replaces it. */
typedef struct sa_command_settings_t {
    apr_pool_t *pool;
    volatile apr_uint32_t users;
    const char *code;
    const char *location;
    const char *subject_prefix;
    apr_array_header_t *reply_prefixes;     /* of const char * */
    apr_array_header_t *enabled_tasks;      /* of const char * */
} sa_command_settings_t;

/* One request at work. */
typedef struct sa_call_t {
    sa_commands_t *commands;
    const sa_command_settings_t *settings;
    const cJSON *request;       /* an object; empty when the body was */
    cJSON *reply;               /* the handler adds its members; status and ts are added later */
    apr_pool_t *pool;           /* of this call */
} sa_call_t;

/* An error becomes the error reply. */
typedef sa_error_t *(*sa_command_fn_t)(sa_call_t *call);

typedef enum sa_command_flag_t {
    SA_COMMAND_QUICK = 1,       /* answers at once, in the dispatcher's thread */
    SA_COMMAND_ANY_BODY = 2,    /* the request's body is not looked at */
    SA_COMMAND_UNCOUNTED = 4    /* not in commands_processed */
} sa_command_flag_t;

typedef struct sa_command_row_t {
    const char *name;
    sa_command_fn_t run;
    unsigned int flags;
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
    sa_queue_t *inbox;              /* of sa_link_message_t: the dispatcher's */
    sa_queue_t *work;               /* of sa_link_message_t: the workers' */
    sa_os_thread_t *dispatcher;
    sa_pulse_t *pulse;
    sa_os_host_t host;
    char service_id[24];            /* of the micro service */

    sa_os_mutex_t *mutex;           /* guards the settings */
    sa_command_settings_t *settings;
    volatile apr_uint32_t in_hand;  /* given to the workers and not answered yet */

    /* dispatcher only */
    sa_os_thread_t *workers[32];
    apr_uint32_t worker_count;
    apr_uint32_t worker_limit;
    apr_uint32_t hand_limit;        /* of in_hand */
};

/* For tests: another table, before the start. */
void sa_command__set_table(sa_commands_t *commands, const sa_command_row_t *table, int length);

/* Hold the present settings; release them after use. */
sa_command_settings_t *sa_command__hold_settings(sa_commands_t *commands);
void sa_command__release_settings(sa_command_settings_t *settings);

/* reply */
/* May a requester ask for an answer on SUBJECT? */
bool sa_command__is_reply_allowed(const char *subject, const apr_array_header_t *prefixes);
/* Send JSON to MESSAGE's reply subject, if it is one to answer to. */
void sa_command__reply(sa_commands_t *commands, const sa_command_settings_t *settings,
                       const struct sa_link_message_t *message, const char *headers,
                       const cJSON *json, apr_pool_t *scratch_pool);
void sa_command__reply_error(sa_commands_t *commands, const sa_command_settings_t *settings,
                             const struct sa_link_message_t *message, const sa_error_t *err,
                             apr_pool_t *scratch_pool);

/* micro: answer a $SRV request. */
void sa_command__micro(sa_commands_t *commands, const sa_command_settings_t *settings,
                       const struct sa_link_message_t *message, apr_pool_t *scratch_pool);

/* the commands */
sa_error_t *sa_command__ping(sa_call_t *call);
sa_error_t *sa_command__health(sa_call_t *call);

#endif
