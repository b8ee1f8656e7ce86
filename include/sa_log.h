/* The log: one event, one line.
 *
 * Events are listed once, in sa_events.def: id, level, text and what an
 * operator should do.  Fields are typed; a secret has a type that prints as
 * "(secret)".  The same error or warning with the same fields is printed once
 * and then counted: when its minute is over the next one says how many there
 * were.  An info is a change of state: never held back, and what is said of the
 * same thing behind it is news again.
 * Any thread.  Only the place that handles an error logs it.
 *
 *     SA_LOG(link_down, SA_S("url", url), SA_E(err));
 */
#ifndef SA_LOG_H
#define SA_LOG_H

#include <stdbool.h>

#include <apr.h>
#include <apr_pools.h>

#include "sa_error.h"

typedef enum sa_log_level_t {
    SA_LEVEL_error,     /* a person must act */
    SA_LEVEL_warn,      /* degraded, healing itself */
    SA_LEVEL_info,      /* an edge: up, down, started; never a state */
    SA_LEVEL_debug      /* each message */
} sa_log_level_t;

typedef enum sa_event_t {
#define SA_EVENT(id, level, text, advice) SA_EVENT_##id,
#include "sa_events.def"
#undef SA_EVENT
    SA_EVENT_END
} sa_event_t;

typedef struct sa_event_row_t {
    const char *id;
    sa_log_level_t level;
    const char *text;
    const char *advice;
} sa_event_row_t;
const sa_event_row_t *sa_event_row(sa_event_t event);

typedef enum sa_field_type_t {
    SA_FIELD_TYPE_END, SA_FIELD_TYPE_STRING, SA_FIELD_TYPE_INT, SA_FIELD_TYPE_BOOL,
    SA_FIELD_TYPE_DURATION, SA_FIELD_TYPE_ERROR, SA_FIELD_TYPE_SECRET
} sa_field_type_t;

typedef struct sa_field_t {
    const char *key;
    sa_field_type_t type;
    const char *string;
    apr_int64_t number;
    const sa_error_t *error;
} sa_field_t;

#define SA_S(key_, value) \
    ((sa_field_t){.key = (key_), .type = SA_FIELD_TYPE_STRING, .string = (value)})
#define SA_I(key_, value) \
    ((sa_field_t){.key = (key_), .type = SA_FIELD_TYPE_INT, .number = (apr_int64_t)(value)})
#define SA_B(key_, value) \
    ((sa_field_t){.key = (key_), .type = SA_FIELD_TYPE_BOOL, .number = (value) ? 1 : 0})
#define SA_D(key_, value) \
    ((sa_field_t){.key = (key_), .type = SA_FIELD_TYPE_DURATION, .number = (value)})
#define SA_E(value) \
    ((sa_field_t){.key = "error", .type = SA_FIELD_TYPE_ERROR, .error = (value)})
#define SA_SECRET(key_) ((sa_field_t){.key = (key_), .type = SA_FIELD_TYPE_SECRET})
#define SA_FIELD_END ((sa_field_t){.type = SA_FIELD_TYPE_END})

#define SA_LOG(...) SA_LOG_(__VA_ARGS__, SA_FIELD_END)
#define SA_LOG_(event, ...) sa_log_write(SA_EVENT_##event, (const sa_field_t[]){__VA_ARGS__})
void sa_log_write(sa_event_t event, const sa_field_t *fields);

/* Let FN see each event, whatever its level, before it is written, in the thread that says it;
 * true: it is not written.  FN copies and returns; it must not log.  One at most, set while
 * there are no other threads; NULL: none. */
typedef bool (*sa_log_tap_fn_t)(void *baton, sa_event_t event, const sa_field_t *fields);
void sa_log_set_tap(sa_log_tap_fn_t fn, void *baton);
/* EVENT and FIELDS as a line for people, without time, level and id, cut where it does not fit;
 * returns BUFFER. */
const char *sa_log_describe(char *buffer, size_t size, sa_event_t event, const sa_field_t *fields);

typedef enum sa_log_format_t {
    SA_LOG_TEXT,        /* time, level, event, text, key=value */
    SA_LOG_JSON,        /* one object a line */
    SA_LOG_JOURNAL      /* text without time, with the "<6>" of sd-daemon(3) */
} sa_log_format_t;

typedef struct sa_log_settings_t {
    sa_log_level_t level;
    sa_log_format_t format;
    bool colour;
    const char *path;       /* NULL: standard error */
    apr_int64_t max_bytes;  /* rotate above this; 0 never */
    int max_backups;        /* path.1 is the newest */
} sa_log_settings_t;

/* Open (or reopen, after a reload) the log.  Before the first call everything
 * goes to standard error as text at level info.  On failure the old one stays.
 * SETTINGS is copied.  The first call's POOL must outlive the log. */
sa_error_t *sa_log_open(const sa_log_settings_t *settings, apr_pool_t *pool) SA_MUST_CHECK;
/* Say how often held-back repeats came, flush, and go back to standard error. */
void sa_log_close(void);
bool sa_log_is_on(sa_log_level_t level);
const char *sa_log_level_name(sa_log_level_t level);

#endif
