/* command: output while it is produced.
 *
 * Messages of a call go one after the other from its worker's thread, and the worker waits
 * while the server takes nothing: publishing itself blocks when the socket is full, and a
 * round trip every so many bytes sees that the server has dealt with what it got.  So
 * neither we nor the socket hold more than that, and a child that writes waits with us.
 *
 * Now and then a message asks who listens: the server answers when nobody does. */
#include "sa_command_private.h"

#include <string.h>

#include <apr_encode.h>
#include <apr_strings.h>

#include "sa_link.h"
#include "sa_log_tail.h"
#include "sa_stats.h"
#include "sa_text.h"
#include "sa_time.h"

#define SLICE_MAX ((size_t)64 * 1024)
/* Of a message, what is not data. */
#define FRAME 160
#define NAME_MAX_LENGTH 16
/* Bytes for which the server was not seen to be there. */
#define UNPROVED_MAX ((size_t)1024 * 1024)
#define ASK_EVERY apr_time_from_sec(1)
/* For a requester to come back after the bus was away. */
#define RETURN_TIME apr_time_from_sec(5)
/* With a bus that is away or takes nothing. */
#define PATIENCE apr_time_from_sec(30)
#define PROBE_TIME apr_time_from_sec(1)
#define PAUSE apr_time_from_msec(50)

/* ---- to the bus --------------------------------------------------------------------- */

static sa_error_t *check_stopped(const sa_call_t *call)
{
    return sa_command__stop_of(call) == SA_CALL_GOES_ON ? SA_OK : sa_command__stop_error(call);
}

static const char *id_header(const sa_call_t *call)
{
    return apr_psprintf(call->pool, "Stone-Age-Request-Id: %s\n", call->id);
}

/* Who listened was cut off from the bus as we were, and may come back later than we do. */
static void notice_reconnect(sa_call_t *call, apr_interval_time_t now)
{
    apr_uint64_t connects = sa_stats_read(SA_STAT_link_connects);

    if (connects != call->out.connects) {
        call->out.connects = connects;
        call->out.asked_at = now + RETURN_TIME - ASK_EVERY;
    }
}

static sa_error_t *publish(sa_call_t *call)
{
    sa_link_t *link = call->commands->link;
    const char *subject = sa_link_message_reply(call->message);
    const sa_buf_t *text = &call->out.text;
    apr_interval_time_t now = sa_time_mono();

    notice_reconnect(call, now);
    if (call->out.asked_at != 0 && now - call->out.asked_at < ASK_EVERY) {
        return sa_link_publish(link, subject, call->out.headers, text->data, text->length);
    }
    call->out.asked_at = now;
    return sa_link_publish_acked(link, subject, call->out.headers, NULL, text->data, text->length,
                                 SA_LINK_TOKEN_SECOND | call->number);
}

static apr_interval_time_t patience_of(const sa_call_t *call)
{
    apr_interval_time_t until = sa_time_mono() + PATIENCE;

    return call->deadline != 0 && call->deadline < until ? call->deadline : until;
}

/* ERR is of a bus that is away; true: try again.  ERR is taken. */
static bool wait_for_bus(sa_call_t *call, sa_error_t *err, apr_interval_time_t until)
{
    sa_error_clear(err);
    if (sa_command__stop_of(call) != SA_CALL_GOES_ON) {
        return false;
    }
    if (sa_time_mono() >= until) {
        sa_command__stop_self(call, SA_CALL_UNHEARD);
        return false;
    }
    apr_sleep(PAUSE);
    return true;
}

/* Let the server catch up. */
static sa_error_t *prove(sa_call_t *call)
{
    apr_interval_time_t until = patience_of(call);
    sa_error_t *err = sa_link_probe(call->commands->link, PROBE_TIME);

    while (err) {
        if (!wait_for_bus(call, err, until)) {
            return sa_command__stop_error(call);
        }
        err = sa_link_probe(call->commands->link, PROBE_TIME);
    }
    call->out.unproved = 0;
    return check_stopped(call);
}

/* The message in call->out.text. */
static sa_error_t *send_message(sa_call_t *call)
{
    apr_interval_time_t until = patience_of(call);
    sa_error_t *err = publish(call);

    while (err) {
        if (err->code != SA_ERR_LINK_DOWN) {
            return sa_error(err->code, err, "cannot send the output");
        }
        if (!wait_for_bus(call, err, until)) {
            return sa_command__stop_error(call);
        }
        err = publish(call);
    }
    call->out.unproved += call->out.text.length;
    return call->out.unproved >= UNPROVED_MAX ? prove(call) : check_stopped(call);
}

/* ---- messages ------------------------------------------------------------------------ */

static void begin_message(sa_call_t *call, const char *stream)
{
    sa_buf_t *text = &call->out.text;

    sa_buf_clear(text);
    call->seq++;
    sa_buf_printf(text, "{\"status\":\"running\",\"seq\":%" APR_UINT64_T_FMT, call->seq);
    if (stream) {
        sa_buf_printf(text, ",\"stream\":\"%.*s\"", NAME_MAX_LENGTH, stream);
    }
}

static sa_error_t *end_message(sa_call_t *call)
{
    char time[SA_TIME_TEXT];

    sa_buf_printf(&call->out.text, ",\"ts\":\"%s\"}", sa_time_format(time, sa_time_now()));
    SA_ASSERT(!call->out.text.overflowed);
    return send_message(call);
}

static sa_error_t *send_text(sa_call_t *call, const char *stream, const char *data, size_t length)
{
    sa_buf_t *text = &call->out.text;
    char *place;

    begin_message(call, stream);
    sa_buf_append_text(text, ",\"data\":\"");
    place = sa_buf_reserve(text, length * SA_LOG_SHOWN_JSON);
    SA_ASSERT(place != NULL);
    text->length += sa_command__show(place, data, length, true);
    sa_buf_append_text(text, "\"");
    return end_message(call);
}

static sa_error_t *send_bytes(sa_call_t *call, const char *stream, const char *data,
                              size_t length)
{
    sa_buf_t *text = &call->out.text;
    char *place;

    begin_message(call, stream);
    sa_buf_append_text(text, ",\"data_base64\":\"");
    place = sa_buf_reserve(text, (length + 2) / 3 * 4 + 1);
    SA_ASSERT(place != NULL);
    apr_encode_base64(place, data, (apr_ssize_t)length, APR_ENCODE_NONE, NULL);
    text->length += strlen(place);
    sa_buf_append_text(text, "\"");
    return end_message(call);
}

/* ---- cutting ---------------------------------------------------------------------------- */

/* How many bytes of DATA are whole characters of text.  *REST: those behind them are the
 * beginning of one.  NUL is not text: readers of JSON stumble on it. */
static size_t text_length(const char *data, size_t length, bool *rest)
{
    size_t at = 0;

    *rest = false;
    while (at < length && data[at]) {
        uint32_t point;
        int count = sa_text_decode(&point, data + at, length - at);

        if (count == 0) {
            break;
        }
        at += (size_t)count;
    }
    if (at < length && data[at]) {
        *rest = sa_text_is_beginning(data + at, length - at);
    }
    return at;
}

/* One slice, which fits into a message.  *USED: what of it is done with. */
static sa_error_t *send_slice(sa_call_t *call, size_t *used, const char *stream,
                              const char *data, size_t length)
{
    bool rest = false;
    size_t text = text_length(data, length, &rest);

    if (text > 0 && (text == length || rest)) {
        *used = text;
        return send_text(call, stream, data, text);
    }
    *used = rest ? 0 : length;
    return rest ? SA_OK : send_bytes(call, stream, data, length);
}

static size_t slice_size(const sa_call_t *call)
{
    size_t room = call->reply_limit > FRAME ? (call->reply_limit - FRAME) / SA_LOG_SHOWN_JSON : 0;

    if (room < sizeof(call->out.held[0].bytes)) {
        room = sizeof(call->out.held[0].bytes);
    }
    return room < SLICE_MAX ? room : SLICE_MAX;
}

static void prepare(sa_call_t *call)
{
    if (!call->out.ready) {
        sa_buf_init(&call->out.text, SLICE_MAX * SA_LOG_SHOWN_JSON + FRAME, call->pool);
        call->out.headers = id_header(call);
        call->out.connects = sa_stats_read(SA_STAT_link_connects);
        call->out.ready = true;
    }
}

/* A character that was begun: complete it from DATA.  *TAKEN bytes of it were. */
static sa_error_t *complete(sa_call_t *call, size_t *taken, int slot, const char *stream,
                            const char *data, size_t length)
{
    char joined[sizeof(call->out.held[slot].bytes)];
    size_t held = call->out.held[slot].length;
    size_t used = 0;
    size_t have = held;

    memcpy(joined, call->out.held[slot].bytes, held);
    *taken = 0;
    while (have < sizeof(joined) && *taken < length
           && sa_text_is_beginning(joined, have)) {
        joined[have++] = data[(*taken)++];
    }
    if (sa_text_is_beginning(joined, have)) {
        memcpy(call->out.held[slot].bytes, joined, have);
        call->out.held[slot].length = have;
        return SA_OK;
    }
    call->out.held[slot].length = 0;
    SA_TRY(send_slice(call, &used, stream, joined, have));
    SA_ASSERT(used == have);
    return SA_OK;
}

static int slot_of(const char *stream)
{
    return strcmp(stream, "stderr") == 0 ? 1 : 0;
}

static sa_error_t *emit_data(sa_call_t *call, const char *stream, const char *data, size_t length)
{
    int slot = slot_of(stream);
    size_t most = slice_size(call);
    size_t at = 0;

    call->out.held[slot].name = stream;
    if (call->out.held[slot].length > 0) {
        SA_TRY(complete(call, &at, slot, stream, data, length));
    }
    while (at < length) {
        size_t size = length - at < most ? length - at : most;
        size_t used;

        SA_TRY(send_slice(call, &used, stream, data + at, size));
        at += used;
        if (used == 0) {
            /* no more than the beginning of a character is left */
            call->out.held[slot].length = length - at;
            memcpy(call->out.held[slot].bytes, data + at, length - at);
            break;
        }
    }
    return SA_OK;
}

sa_error_t *sa_command__emit(sa_call_t *call, const char *stream, const char *data, size_t length)
{
    SA_TRY(check_stopped(call));
    if (!*sa_link_message_reply(call->message)) {
        return SA_OK;           /* nobody wants to know */
    }
    prepare(call);
    if (!stream) {
        begin_message(call, NULL);
        return end_message(call);
    }
    return emit_data(call, stream, data, length);
}

static apr_interval_time_t answer_patience = PATIENCE;

void sa_command__set_patience(apr_interval_time_t patience)
{
    answer_patience = patience;
}

void sa_command__await_bus(const sa_call_t *call)
{
    apr_interval_time_t until = sa_time_mono() + answer_patience;

    while (!sa_link_is_up(call->commands->link) && sa_command__stop_of(call) == SA_CALL_GOES_ON
           && sa_time_mono() < until) {
        apr_sleep(PAUSE);
    }
}

void sa_command__stream_flush(sa_call_t *call)
{
    for (int slot = 0; slot < 2 && call->out.ready; slot++) {
        size_t length = call->out.held[slot].length;

        if (length > 0) {
            call->out.held[slot].length = 0;
            /* the last answer follows; what it cannot say either is said there */
            sa_error_clear(send_bytes(call, call->out.held[slot].name,
                                      call->out.held[slot].bytes, length));
        }
    }
}

void sa_command__stream_end(sa_call_t *call)
{
    const char *reply = sa_link_message_reply(call->message);

    if (call->stream && *reply
        && sa_command__may_reply_to(call->commands, call->settings, reply)) {
        /* whoever waits for it has a time limit of his own */
        sa_error_clear(sa_link_publish(call->commands->link, reply, NULL, "", 0));
    }
}
