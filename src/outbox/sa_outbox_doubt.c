/* outbox: reports whose acknowledgement was lost.
 *
 * The server drops a second copy only within the stream's duplicate window.
 * After a longer outage a copy would be stored twice, so the stream is asked
 * first, where the role lets us: STREAM.MSG.GET with the subject's next message
 * behind a place that is known to be older, one after the other.  Only this
 * device writes to its subjects, so these are few.  Where nobody answers, the
 * report is sent all the same: twice is better than never. */
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "sa_log.h"
#include "sa_outbox_private.h"
#include "sa_pool.h"
#include "sa_stats.h"
#include "sa_time.h"

/* The first question waits this long, each further one twice as long. */
#define ANSWER_TIMEOUT apr_time_from_sec(3)
#define DOUBLINGS 4
/* Without an answer: after so many tries when the bus has said that we may not
 * ask, and in any case after so many (some minutes). */
#define TRIES_DENIED 1
#define TRIES 12
/* More messages than this behind the floor are not looked through. */
#define ASK_MAX 5000

void sa_outbox__doubt_init(sa_doubt_t *doubt, apr_pool_t *pool)
{
    doubt->pool = sa_pool_create(pool);
}

/* How many it may be. */
static void show_doubtful(const sa_durable_t *durable, const sa_spool_state_t *state)
{
    apr_int64_t upto = durable->doubt.upto;
    apr_uint64_t most = 0;

    if (state->first_seq > 0 && state->first_seq <= upto) {
        most = (apr_uint64_t)(upto - state->first_seq) + 1;
    }
    sa_stats_set(SA_STAT_reports_doubtful, most < state->reports ? most : state->reports);
}

static void forget_checked(sa_doubt_t *doubt)
{
    doubt->step = SA_DOUBT_IDLE;
    doubt->subject = NULL;
    doubt->checked_count = 0;
    apr_pool_clear(doubt->pool);
}

void sa_outbox__doubt_open(sa_durable_t *durable)
{
    sa_doubt_t *doubt = &durable->doubt;
    sa_spool_state_t state;

    forget_checked(doubt);
    apr_cpystrn(doubt->stream, sa_spool_floor(durable->spool, &doubt->floor),
                sizeof(doubt->stream));
    doubt->newest = doubt->floor;
    sa_spool_read_state(&state, durable->spool);
    doubt->upto = state.reports > 0 ? state.last_seq : 0;
    doubt->since = 0;
    show_doubtful(durable, &state);
}

static void add(sa_doubt_t *doubt, const sa_flight_t *flight)
{
    if (doubt->upto == 0 || flight->sent_at < doubt->since) {
        doubt->since = flight->sent_at;
    }
    if (doubt->upto == 0 || flight->floor < doubt->floor) {
        doubt->floor = flight->floor;
    }
    if (flight->seq > doubt->upto) {
        doubt->upto = flight->seq;
    }
}

/* What was looked through says nothing of what was offered since. */
static void note_added(sa_durable_t *durable)
{
    sa_spool_state_t state;

    forget_checked(&durable->doubt);
    sa_spool_read_state(&state, durable->spool);
    show_doubtful(durable, &state);
}

void sa_outbox__doubt_add(sa_durable_t *durable, const sa_flight_t *flight)
{
    add(&durable->doubt, flight);
    note_added(durable);
}

void sa_outbox__doubt_add_flights(sa_durable_t *durable)
{
    if (durable->flight_count == 0) {
        return;
    }
    for (int i = 0; i < durable->flight_count; i++) {
        add(&durable->doubt, &durable->flights[i]);
    }
    note_added(durable);
}

void sa_outbox__doubt_settle(sa_durable_t *durable)
{
    sa_doubt_t *doubt = &durable->doubt;
    sa_spool_state_t state;

    sa_spool_read_state(&state, durable->spool);
    if (doubt->upto != 0 && (state.first_seq == 0 || state.first_seq > doubt->upto)) {
        doubt->upto = 0;
        if (doubt->step != SA_DOUBT_IDLE) {
            /* read before the answers: what they named is still in it */
            durable->batch_next = durable->batch_count;
            durable->cursor = 0;
        }
        forget_checked(doubt);
    }
    show_doubtful(durable, &state);
}

void sa_outbox__doubt_keep_floor(sa_durable_t *durable)
{
    const sa_doubt_t *doubt = &durable->doubt;
    apr_uint64_t floor = doubt->upto != 0 ? doubt->floor
                         : durable->flight_count > 0 ? durable->flights[0].floor : doubt->newest;

    sa_spool_set_floor(durable->spool, doubt->stream, floor);
}

void sa_outbox__doubt_note_place(sa_durable_t *durable, const char *stream, apr_uint64_t place,
                                 bool duplicate)
{
    sa_doubt_t *doubt = &durable->doubt;
    /* A stream counts upwards, so a new message behind an older place says that it was
     * made anew; so does a doubtful one before the floor. */
    bool anew = duplicate ? place <= doubt->floor : place <= doubt->newest;

    if (anew || strcmp(stream, doubt->stream) != 0) {
        apr_cpystrn(doubt->stream, stream, sizeof(doubt->stream));
        doubt->floor = 0;
        doubt->newest = place;
        for (int i = 0; i < durable->flight_count; i++) {
            durable->flights[i].floor = 0;
        }
    } else if (place > doubt->newest) {
        doubt->newest = place;
    }
}

/* ---- asking --------------------------------------------------------------- */

static bool is_checked(const sa_doubt_t *doubt, const char *subject)
{
    for (int i = 0; i < doubt->checked_count; i++) {
        if (strcmp(doubt->checked[i], subject) == 0) {
            return true;
        }
    }
    return false;
}

/* The subject has been looked through, or cannot be. */
static void end_inquiry(sa_outbox_t *outbox)
{
    sa_doubt_t *doubt = &outbox->durable.doubt;

    if (doubt->checked_count == SA_DOUBT_SUBJECTS) {
        forget_checked(doubt);      /* the others are looked through once more */
    } else {
        doubt->checked[doubt->checked_count++] = doubt->subject;
    }
    doubt->step = SA_DOUBT_IDLE;
    doubt->subject = NULL;
    sa_outbox__durable_rewind(outbox);
}

#define SUBJECT_SIZE 128

/* Where to ask. */
static const char *api_subject(const sa_doubt_t *doubt, char subject[SUBJECT_SIZE])
{
    if (doubt->step == SA_DOUBT_NAME) {
        return "$JS.API.STREAM.NAMES";
    }
    apr_snprintf(subject, SUBJECT_SIZE, "$JS.API.STREAM.MSG.GET.%s", doubt->stream);
    return subject;
}

static sa_error_t *ask(sa_outbox_t *outbox)
{
    sa_doubt_t *doubt = &outbox->durable.doubt;
    char subject[SUBJECT_SIZE];
    char text[640];

    switch (doubt->step) {
    case SA_DOUBT_NAME:
        apr_snprintf(text, sizeof(text), "{\"subject\":\"%s\"}", doubt->subject);
        break;
    case SA_DOUBT_LAST:
        apr_snprintf(text, sizeof(text), "{\"last_by_subj\":\"%s\"}", doubt->subject);
        break;
    case SA_DOUBT_FLOOR:
        apr_snprintf(text, sizeof(text), "{\"seq\":%" APR_UINT64_T_FMT "}", doubt->floor);
        break;
    default:
        apr_snprintf(text, sizeof(text), "{\"seq\":%" APR_UINT64_T_FMT ",\"next_by_subj\":\"%s\"}",
                     doubt->next, doubt->subject);
        break;
    }
    doubt->token = SA_TOKEN_DOUBT | ((doubt->token + 1) & 0xffffffff);
    doubt->asked_at = sa_time_mono();
    doubt->asked++;
    return sa_link_publish_acked(outbox->link, api_subject(doubt, subject), NULL, NULL, text,
                                 strlen(text), doubt->token);
}

static void ask_or_give_up(sa_outbox_t *outbox)
{
    sa_doubt_t *doubt = &outbox->durable.doubt;
    char subject[SUBJECT_SIZE];
    sa_error_t *err;

    if (!doubt->denied && doubt->unanswered >= TRIES_DENIED) {
        doubt->denied = sa_link_is_denied(outbox->link, api_subject(doubt, subject));
    }
    if (doubt->denied || doubt->asked >= ASK_MAX || doubt->unanswered >= TRIES) {
        SA_LOG(doubt_unchecked, SA_S("subject", doubt->subject), SA_S("stream", doubt->stream),
               SA_I("asked", doubt->asked));
        sa_stats_add(SA_STAT_reports_unchecked, 1);
        end_inquiry(outbox);
        return;
    }
    err = ask(outbox);
    if (err) {
        /* the link is down: its edge ends the inquiry */
        sa_error_clear(err);
    }
}

static bool is_doubtful(const sa_durable_t *durable, const sa_spool_entry_t *entry)
{
    const sa_doubt_t *doubt = &durable->doubt;

    if (entry->seq > doubt->upto) {
        return false;
    }
    /* a quarter of the window for its way to the server */
    return doubt->since == 0
           || sa_time_mono() - doubt->since > durable->duplicate_window / 4 * 3;
}

bool sa_outbox__doubt_allows(sa_outbox_t *outbox, const sa_spool_entry_t *entry)
{
    sa_doubt_t *doubt = &outbox->durable.doubt;

    if (!is_doubtful(&outbox->durable, entry) || is_checked(doubt, entry->subject)) {
        return true;
    }
    /* alone: what is on its way would change what is looked for */
    if (doubt->step == SA_DOUBT_IDLE && outbox->durable.flight_count == 0) {
        doubt->subject = apr_pstrdup(doubt->pool, entry->subject);
        doubt->step = doubt->stream[0] ? SA_DOUBT_LAST : SA_DOUBT_NAME;
        doubt->named = doubt->step == SA_DOUBT_NAME;
        doubt->asked = 0;
        doubt->unanswered = 0;
        ask_or_give_up(outbox);
    }
    return false;
}

/* The number in MSG_ID if it is one of this spool's, else 0. */
static apr_int64_t own_number(const sa_outbox_t *outbox, const char *msg_id)
{
    const char *boot = sa_spool_boot(outbox->durable.spool);
    size_t code_length = strlen(outbox->code);
    size_t boot_length = strlen(boot);

    if (strncmp(msg_id, outbox->code, code_length) != 0 || msg_id[code_length] != '-'
        || strncmp(msg_id + code_length + 1, boot, boot_length) != 0
        || msg_id[code_length + 1 + boot_length] != '-') {
        return 0;
    }
    return apr_atoi64(msg_id + code_length + boot_length + 2);
}

/* Nobody can say now what is stored: as long as that is so nothing is sent, since
 * a stream that comes back may come with what it held. */
static void wait_for_stream(sa_outbox_t *outbox)
{
    sa_doubt_t *doubt = &outbox->durable.doubt;
    unsigned int subject = sa_outbox__subject_hash(doubt->subject);

    doubt->step = SA_DOUBT_IDLE;
    doubt->subject = NULL;
    doubt->stream[0] = '\0';
    sa_outbox__durable_refuse(outbox, subject, SA_OUTBOX_NO_STREAM);
}

/* The number of a report that is still in the spool. */
static bool is_waiting(const sa_outbox_t *outbox, apr_int64_t number)
{
    sa_spool_state_t state;

    sa_spool_read_state(&state, outbox->durable.spool);
    return state.first_seq != 0 && number >= state.first_seq
           && number <= outbox->durable.doubt.upto;
}

static void look_behind_floor(sa_outbox_t *outbox)
{
    sa_doubt_t *doubt = &outbox->durable.doubt;

    doubt->step = SA_DOUBT_NEXT;
    doubt->next = doubt->floor + 1;
    ask_or_give_up(outbox);
}

/* The newest message of the subject.  From an earlier spool, or not behind the
 * floor, and there is nothing to look for; but a waiting one before the floor
 * says that the floor is of a stream that is gone. */
static void take_last(sa_outbox_t *outbox, const sa_link_stored_t *stored)
{
    sa_doubt_t *doubt = &outbox->durable.doubt;
    apr_int64_t number = own_number(outbox, stored->msg_id);

    if (stored->missing || number == 0
        || (stored->seq <= doubt->floor && !is_waiting(outbox, number))) {
        end_inquiry(outbox);
        return;
    }
    if (stored->seq <= doubt->floor) {
        doubt->floor = 0;
    }
    if (doubt->floor == 0) {
        look_behind_floor(outbox);
        return;
    }
    doubt->step = SA_DOUBT_FLOOR;
    ask_or_give_up(outbox);
}

/* The floor is the place of a report that is done.  Where another message
 * stands there, or none, the stream may have been made anew: look at all of it. */
static void take_floor(sa_outbox_t *outbox, const sa_link_stored_t *stored)
{
    apr_int64_t number = own_number(outbox, stored->msg_id);

    if (stored->missing || number == 0 || is_waiting(outbox, number)) {
        outbox->durable.doubt.floor = 0;
    }
    look_behind_floor(outbox);
}

static void take_next(sa_outbox_t *outbox, const sa_link_stored_t *stored)
{
    sa_doubt_t *doubt = &outbox->durable.doubt;
    apr_int64_t number = own_number(outbox, stored->msg_id);

    if (stored->missing) {
        end_inquiry(outbox);
        return;
    }
    if (is_waiting(outbox, number)) {
        sa_stats_add(SA_STAT_reports_found, 1);
        sa_outbox__durable_is_stored(&outbox->durable, number);
    }
    if (doubt->step == SA_DOUBT_NEXT) {     /* the last doubtful one may be gone */
        doubt->next = stored->seq + 1;
        ask_or_give_up(outbox);
    }
}

static void take_name(sa_outbox_t *outbox, const sa_link_stored_t *stored)
{
    sa_doubt_t *doubt = &outbox->durable.doubt;

    if (!stored->stream[0]) {
        wait_for_stream(outbox);
        return;
    }
    apr_cpystrn(doubt->stream, stored->stream, sizeof(doubt->stream));
    doubt->step = SA_DOUBT_LAST;
    ask_or_give_up(outbox);
}

/* The stream is gone, or has another name now. */
static void ask_for_name(sa_outbox_t *outbox)
{
    sa_doubt_t *doubt = &outbox->durable.doubt;

    if (doubt->named) {
        wait_for_stream(outbox);
        return;
    }
    doubt->stream[0] = '\0';
    doubt->floor = 0;
    doubt->named = true;
    doubt->step = SA_DOUBT_NAME;
    ask_or_give_up(outbox);
}

void sa_outbox__doubt_answer(sa_outbox_t *outbox, apr_uint64_t token,
                             const sa_link_stored_t *stored)
{
    sa_doubt_t *doubt = &outbox->durable.doubt;

    if (doubt->step == SA_DOUBT_IDLE || token != doubt->token) {
        return;
    }
    doubt->unanswered = 0;
    if (doubt->step == SA_DOUBT_NAME) {
        take_name(outbox, stored);
    } else if (!stored->found && !stored->missing) {
        ask_for_name(outbox);
    } else if (doubt->step == SA_DOUBT_LAST) {
        take_last(outbox, stored);
    } else if (doubt->step == SA_DOUBT_FLOOR) {
        take_floor(outbox, stored);
    } else {
        take_next(outbox, stored);
    }
}

void sa_outbox__doubt_edge(sa_durable_t *durable)
{
    forget_checked(&durable->doubt);
    durable->doubt.denied = false;
}

static apr_interval_time_t answer_by(const sa_doubt_t *doubt)
{
    int doublings = doubt->unanswered < DOUBLINGS ? doubt->unanswered : DOUBLINGS;

    return doubt->asked_at + (ANSWER_TIMEOUT << doublings);
}

apr_interval_time_t sa_outbox__doubt_due(const sa_outbox_t *outbox)
{
    const sa_doubt_t *doubt = &outbox->durable.doubt;

    return doubt->step == SA_DOUBT_IDLE || !outbox->up ? SA_OS_NEVER : answer_by(doubt);
}

void sa_outbox__doubt_turn(sa_outbox_t *outbox, apr_interval_time_t now)
{
    if (now >= sa_outbox__doubt_due(outbox)) {
        outbox->durable.doubt.unanswered++;
        ask_or_give_up(outbox);
    }
}
