/* command: one request, from its arrival to its answer.
 *
 * The dispatcher makes the call and looks at what stands on the envelope: size, headers, id,
 * time, who asks.  What stands in it is looked at by whoever runs it. */
#include "sa_command_private.h"

#include <string.h>

#include <apr_atomic.h>
#include <apr_strings.h>

#include "sa_command_policy.h"
#include "sa_link.h"
#include "sa_log.h"
#include "sa_log_time.h"
#include "sa_pool.h"
#include "sa_random.h"
#include "sa_stats.h"
#include "sa_time.h"

#define OUR_ID_LENGTH 22
/* A request that is refused is read no further than to see whether it wanted a stream. */
#define GLANCE 4096

/* ---- the envelope ----------------------------------------------------------------- */

/* "cmd.{name}" is the last token of the subject. */
static const char *name_of(const sa_link_message_t *message)
{
    const char *subject = sa_link_message_subject(message);
    const char *dot = strrchr(subject, '.');

    return dot ? dot + 1 : subject;
}

const sa_command_row_t *sa_command__find_row(const sa_commands_t *commands,
                                             const sa_link_message_t *message)
{
    const char *name = name_of(message);

    for (int i = 0; i < commands->table_length; i++) {
        if (strcmp(commands->table[i].name, name) == 0) {
            return &commands->table[i];
        }
    }
    return NULL;
}

static bool is_flagged(const sa_call_t *call, unsigned int flag)
{
    return call->row && (call->row->flags & flag);
}

/* 1 to MOST bytes that show, without blanks. */
static bool is_plain(const char *text, size_t most)
{
    size_t length = 0;

    for (; text[length]; length++) {
        if (length == most || text[length] <= ' ' || text[length] > '~') {
            return false;
        }
    }
    return length > 0;
}

bool sa_command__is_id(const char *text)
{
    return is_plain(text, SA_CALL_ID_MAX);
}

static sa_error_t *read_id(sa_call_t *call)
{
    const char *id = sa_link_message_header(call->message, "Stone-Age-Request-Id");

    id = id ? id : sa_link_message_header(call->message, "Nats-Msg-Id");
    if (!id) {
        return SA_OK;
    }
    if (!sa_command__is_id(id)) {
        return sa_error(SA_ERR_REFUSED, NULL, "a request id must be 1 to %d printable characters "
                        "without blanks", SA_CALL_ID_MAX);
    }
    call->id = apr_pstrdup(call->pool, id);
    call->id_given = true;
    if (sa_command__ids_has(call->commands->ids, id)
        || sa_command__lanes_has(call->commands->lanes, id)) {
        return sa_error(SA_ERR_REFUSED, NULL,
                        "a request with the id %s came before; it runs once", id);
    }
    return SA_OK;
}

/* The same requester: the same inbox but for its last token, and the same header. */
static sa_error_t *read_requester(sa_call_t *call)
{
    const char *reply = sa_link_message_reply(call->message);
    const char *dot = strrchr(reply, '.');
    const char *header = sa_link_message_header(call->message, "Stone-Age-Requester");
    size_t length = dot ? (size_t)(dot - reply) : strlen(reply);

    if (header && *header && !is_plain(header, SA_REQUESTER_MAX)) {
        return sa_error(SA_ERR_REFUSED, NULL, "Stone-Age-Requester must be at most %d printable "
                        "characters without blanks", SA_REQUESTER_MAX);
    }
    if (length > SA_REPLY_SUBJECT_MAX) {
        length = SA_REPLY_SUBJECT_MAX;
    }
    call->requester = apr_pstrcat(call->pool, apr_pstrmemdup(call->pool, reply, length), "\n",
                                  header ? header : "", NULL);
    return SA_OK;
}

/* Of two that are given the earlier one counts. */
static sa_error_t *read_expiry(sa_call_t *call, const char *text)
{
    apr_time_t expires = 0;
    sa_error_t *err;

    /* without this it would be a duration as well */
    if (strlen(text) < sizeof("2026-11-24T03:04:05Z") - 1 || text[4] != '-') {
        err = sa_error(SA_ERR_REQUEST_FORMAT, NULL, "it has no date");
    } else {
        err = sa_command__since_parse(&expires, text, 0);
    }
    if (err) {
        return sa_error(SA_ERR_REQUEST_FORMAT, err,
                        "the time of expiry must be one such as 2026-11-24T03:04:05Z");
    }
    expires = expires > 0 ? expires : 1;        /* 0 is never; 1970 was long ago */
    if (call->expires == 0 || expires < call->expires) {
        call->expires = expires;
    }
    return SA_OK;
}

static sa_error_t *check_expiry(const sa_call_t *call)
{
    char text[SA_TIME_TEXT];

    if (call->expires != 0 && sa_time_now() >= call->expires) {
        return sa_error(SA_ERR_REFUSED, NULL, "the request expired at %s",
                        sa_time_format(text, call->expires));
    }
    return SA_OK;
}

static sa_error_t *check_reply(const sa_call_t *call)
{
    const char *reply = sa_link_message_reply(call->message);

    /* nobody would hear what came of it */
    if (*reply && !sa_command__may_reply_to(call->commands, call->settings, reply)) {
        return sa_error(SA_ERR_REFUSED, NULL, "the reply subject is no inbox");
    }
    return SA_OK;
}

static sa_error_t *read_headers(sa_call_t *call)
{
    size_t size = sa_link_message_header_size(call->message);
    const char *expires;

    if (size > SA_HEADERS_LIMIT) {
        return sa_error(SA_ERR_REQUEST_SIZE, NULL,
                        "headers of %" APR_SIZE_T_FMT " bytes; the limit is %d", (apr_size_t)size,
                        SA_HEADERS_LIMIT);
    }
    call->headers = size > 0;
    expires = size > 0 ? sa_link_message_header(call->message, "Stone-Age-Expires") : NULL;
    return expires ? read_expiry(call, expires) : SA_OK;
}

static sa_error_t *read_envelope(sa_call_t *call)
{
    SA_TRY(read_headers(call));
    SA_TRY(check_expiry(call));
    if (!call->row) {
        return sa_error(SA_ERR_UNKNOWN_COMMAND, NULL, "unknown command: %s", call->name);
    }
    if (is_flagged(call, SA_COMMAND_UNCOUNTED)) {
        return SA_OK;
    }
    SA_TRY(check_reply(call));
    SA_TRY(read_requester(call));
    return read_id(call);
}

/* A pool that has served costs less than a new one, whose memory the system must map. */
static apr_pool_t *take_pool(sa_commands_t *commands)
{
    apr_pool_t *pool = sa_queue_try_take(commands->pools);

    return pool ? pool : sa_pool_create_root();
}

static void leave_pool(sa_commands_t *commands, apr_pool_t *pool)
{
    apr_pool_clear(pool);
    if (!sa_queue_give(commands->pools, &pool)) {
        apr_pool_destroy(pool);
    }
}

sa_error_t *sa_command__call_create(sa_call_t **result, sa_commands_t *commands,
                                    sa_link_message_t **message, apr_pool_t *pool)
{
    const char *name = name_of(*message);
    const sa_command_row_t *row = sa_command__find_row(commands, *message);
    bool travels = row && !(row->flags & SA_COMMAND_QUICK);
    apr_pool_t *call_pool = travels ? take_pool(commands) : pool;
    sa_call_t *call = apr_pcalloc(call_pool, sizeof(*call));
    char *id = apr_palloc(call_pool, OUR_ID_LENGTH + 1);

    call->pool = call_pool;
    call->travels = travels;
    call->commands = commands;
    call->settings = sa_command__hold_settings(commands);
    call->message = *message;
    *message = NULL;
    call->row = row;
    call->name = name;
    call->requester = "";
    call->began_at = sa_time_mono();
    call->number = ++commands->call_number;
    call->reply = sa_json_object(call_pool);
    if (!is_flagged(call, SA_COMMAND_UNCOUNTED)) {
        sa_random_text(id, OUR_ID_LENGTH);
        call->id = id;
    }
    *result = call;
    return read_envelope(call);
}

void sa_command__call_end(sa_call_t *call)
{
    sa_link_message_destroy(call->message);
    /* it was held by us: what is const for the handlers is not for its count of users */
    sa_command__release_settings((sa_command_settings_t *)call->settings);
    if (call->travels) {
        leave_pool(call->commands, call->pool);
    }
}

/* ---- running it --------------------------------------------------------------------- */

static sa_error_t *parse_request(sa_call_t *call)
{
    size_t length;
    const char *data = sa_link_message_data(call->message, &length);
    const char *text;
    cJSON *parsed;
    sa_error_t *err;

    if (length > SA_REQUEST_LIMIT) {
        return sa_error(SA_ERR_REQUEST_SIZE, NULL,
                        "a request of %" APR_SIZE_T_FMT " bytes; the limit is %d",
                        (apr_size_t)length, SA_REQUEST_LIMIT);
    }
    if (is_flagged(call, SA_COMMAND_ANY_BODY) || length == 0) {
        call->request = sa_json_object(call->pool);
        return SA_OK;
    }
    /* whoever else reads the request, to log or to allow it, must read the same */
    text = sa_json_compact(&length, data, length, SA_JSON_DEPTH_MAX, call->pool);
    if (!text) {
        return sa_error(SA_ERR_REQUEST_FORMAT, NULL, "Invalid request format");
    }
    err = sa_json_parse(&parsed, text, length, call->pool);
    if (err) {
        /* the contract's words; the details are for our log */
        return sa_error(SA_ERR_REQUEST_FORMAT, err, "Invalid request format");
    }
    call->request = parsed;
    return SA_OK;
}

static sa_error_t *read_request(sa_call_t *call)
{
    const cJSON *stream;
    const cJSON *expires;

    SA_TRY(parse_request(call));
    if (is_flagged(call, SA_COMMAND_ANY_BODY)) {
        return SA_OK;
    }
    SA_TRY(sa_json_check_names(call->request, "the request", SA_COMMAND_MEMBERS));
    stream = cJSON_GetObjectItem(call->request, "stream");
    expires = cJSON_GetObjectItem(call->request, "expires");
    if (stream && !cJSON_IsBool(stream) && !cJSON_IsNull(stream)) {
        return sa_error(SA_ERR_REQUEST_FORMAT, NULL, "Invalid request format");
    }
    call->stream = is_flagged(call, SA_COMMAND_STREAMS) && cJSON_IsTrue(stream);
    if (expires && !cJSON_IsNull(expires)) {
        const char *text = cJSON_GetStringValue(expires);

        SA_TRY(read_expiry(call, text ? text : ""));
    }
    /* also when it has waited for a worker since the header was read */
    return check_expiry(call);
}

sa_call_stop_t sa_command__stop_of(const sa_call_t *call)
{
    /* APR's reading takes no const. */
    return (sa_call_stop_t)apr_atomic_read32((volatile apr_uint32_t *)&call->stop);
}

void sa_command__stop_self(sa_call_t *call, sa_call_stop_t why)
{
    apr_atomic_cas32(&call->stop, (apr_uint32_t)why, SA_CALL_GOES_ON);
}

sa_error_t *sa_command__stop_error(const sa_call_t *call)
{
    switch (sa_command__stop_of(call)) {
    case SA_CALL_STOPPING:
        return sa_error(SA_ERR_STOPPING, NULL, NULL);
    case SA_CALL_DESERTED:
        return sa_error(SA_ERR_CANCELLED, NULL, "cancelled: nobody listens to the answers");
    case SA_CALL_UNHEARD:
        return sa_error(SA_ERR_CANCELLED, NULL, "cancelled: the bus was away for too long");
    case SA_CALL_CANCELLED:
    case SA_CALL_GOES_ON:
        break;
    }
    return sa_error(SA_ERR_CANCELLED, NULL, NULL);
}

static sa_error_t *run_row(sa_call_t *call)
{
    SA_TRY(read_request(call));
    if (sa_command__stop_of(call) != SA_CALL_GOES_ON) {
        return sa_command__stop_error(call);
    }
    if (!is_flagged(call, SA_COMMAND_QUICK | SA_COMMAND_BEGINS)) {
        SA_TRY(sa_command__begin(call, NULL, NULL));
    }
    return call->row->run(call);
}

static void count(const sa_call_t *call, const sa_error_t *err)
{
    sa_commands_t *commands = call->commands;
    sa_command_count_t *counts = &commands->counts[call->row - commands->table];

    apr_atomic_add64(&counts->requests, 1);
    apr_atomic_add64(&counts->busy_us, (apr_uint64_t)(sa_time_mono() - call->began_at));
    if (!is_flagged(call, SA_COMMAND_UNCOUNTED)) {
        sa_stats_add(SA_STAT_commands_processed, 1);
    }
    if (err) {
        apr_atomic_add64(&counts->errors, 1);
        sa_stats_add(SA_STAT_commands_errored, 1);
        sa_stats_set(SA_STAT_last_error_at, (apr_uint64_t)sa_time_now());
        /* for whoever asks how we are, as an error is for whoever asked: without its causes */
        sa_stats_set_text(SA_STAT_TEXT_last_error, sa_command__error_text(err));
    }
}

static void say_end(const sa_call_t *call, const sa_error_t *err)
{
    const char *id = call->id ? call->id : "";

    if (!err) {
        SA_LOG(command_done, SA_S("command", call->row->name), SA_S("id", id),
               SA_D("took", sa_time_mono() - call->began_at));
    } else if (sa_command__stop_of(call) != SA_CALL_GOES_ON) {
        sa_stats_add(SA_STAT_commands_stopped, 1);
        SA_LOG(command_stopped, SA_S("command", call->row->name), SA_S("id", id), SA_E(err));
    } else if (!call->begun && sa_error_has(err, SA_ERR_REFUSED)) {
        sa_stats_add(SA_STAT_commands_refused, 1);
        SA_LOG(command_refused, SA_S("command", call->row->name), SA_S("id", id), SA_E(err));
    } else {
        SA_LOG(command_failed, SA_S("command", call->row->name), SA_S("id", id), SA_E(err));
    }
}

void sa_command__call_run(sa_call_t *call)
{
    sa_error_t *err;

    call->reply_limit = sa_link_max_payload(call->commands->link);
    err = run_row(call);
    if (err && sa_command__stop_of(call) != SA_CALL_GOES_ON
        && sa_error_has(err, SA_ERR_CANCELLED)) {
        sa_error_clear(err);
        err = sa_command__stop_error(call);
    }
    sa_command__record_end(call, err);
    count(call, err);
    say_end(call, err);
    if (sa_command__stop_of(call) != SA_CALL_DESERTED) {
        if (call->travels) {
            sa_command__await_bus(call);
        }
        sa_command__stream_flush(call);
        sa_command__answer(call, err);
        sa_command__stream_end(call);
    }
    if (call->renews) {
        call->commands->renew(call->commands->rotate_baton);
    }
    sa_error_clear(err);
}

/* Did a request that was not read want a stream?  Then it waits for the end of one. */
static void glance(sa_call_t *call)
{
    size_t length;

    (void)sa_link_message_data(call->message, &length);
    if (!call->request && is_flagged(call, SA_COMMAND_STREAMS) && length <= GLANCE) {
        /* what it says is not looked at: it is refused already */
        sa_error_clear(read_request(call));
    }
}

void sa_command__call_refuse(sa_call_t *call, sa_error_t *err)
{
    bool busy = sa_error_has(err, SA_ERR_BUSY);

    sa_stats_add(busy ? SA_STAT_commands_busy : SA_STAT_commands_refused, 1);
    if (busy) {
        /* the same line each time, so that the log can count them */
        SA_LOG(command_refused, SA_S("command", call->name), SA_E(err));
    } else {
        SA_LOG(command_refused, SA_S("command", call->name), SA_S("id", call->id ? call->id : ""),
               SA_E(err));
    }
    sa_command__record_end(call, err);
    glance(call);
    sa_command__answer(call, err);
    sa_command__stream_end(call);
    sa_error_clear(err);
}
