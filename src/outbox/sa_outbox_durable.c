/* outbox: the class DURABLE.
 *
 * Reports are committed in groups, read back oldest first, and offered with a
 * window of unacknowledged ones.  A report leaves the spool only when
 * JetStream has it.  Everything else (no stream, silence, a refusal) stalls
 * the sending: after a pause with back-off the oldest one alone is offered
 * again, and when it is stored the rest follows. */
#include <string.h>

#include <apr_strings.h>

#include "sa_log.h"
#include "sa_outbox_private.h"
#include "sa_pool.h"
#include "sa_stats.h"
#include "sa_time.h"

#define COMMIT_BATCH 64
#define BATCH_REPORTS 256
#define BATCH_BYTES (512 * 1024)
#define RETRY_FIRST apr_time_from_sec(1)
#define RETRY_MAX apr_time_from_sec(60)
#define DISK_RETRY_MAX apr_time_from_sec(30)
/* JetStream API error codes (nats-server server/errors.json): the message will
 * never fit this stream. */
#define JS_MESSAGE_TOO_LARGE 10054

void sa_outbox__durable_init(sa_durable_t *durable, apr_pool_t *pool)
{
    memset(durable, 0, sizeof(*durable));
    durable->batch_pool = sa_pool_create(pool);
    /* not zeroed: only what the window uses becomes memory */
    durable->flights = apr_palloc(pool, SA_OUTBOX_WINDOW_MAX * sizeof(*durable->flights));
    sa_backoff_init(&durable->backoff, RETRY_FIRST, RETRY_MAX);
    sa_backoff_init(&durable->disk_backoff, RETRY_FIRST, DISK_RETRY_MAX);
}

static void show_state(sa_durable_t *durable)
{
    sa_spool_state_t state;

    sa_spool_read_state(&state, durable->spool);
    sa_stats_set(SA_STAT_spool_reports, state.reports);
    sa_stats_set(SA_STAT_spool_bytes, state.bytes);
    sa_stats_set(SA_STAT_spool_oldest_at, (apr_uint64_t)state.oldest_at);
    sa_stats_set(SA_STAT_reports_dropped, state.dropped);
}

/* ---- accepting ------------------------------------------------------------ */

bool sa_outbox__durable_has_room(const sa_outbox_t *outbox)
{
    return outbox->durable.waiting_count < COMMIT_BATCH;
}

void sa_outbox__durable_add(sa_outbox_t *outbox, sa_report_t **report)
{
    sa_durable_t *durable = &outbox->durable;

    SA_ASSERT(durable->waiting_count < COMMIT_BATCH);
    durable->waiting[durable->waiting_count++] = *report;
    *report = NULL;
}

/* Fill ENTRY from REPORT; the first report after a drop says how many went. */
static void fill_entry(sa_outbox_t *outbox, sa_spool_entry_t *entry, sa_report_t *report,
                       const sa_spool_state_t *state)
{
    sa_durable_t *durable = &outbox->durable;

    entry->made_at = report->made_at;
    entry->subject = apr_pstrcat(report->pool, outbox->subject_prefix, report->name, NULL);
    entry->headers = report->headers;
    entry->data = report->data;
    entry->length = report->length;
    if (state->dropped != durable->dropped_said) {
        entry->headers = apr_psprintf(report->pool, "%sStone-Age-Dropped: %" APR_UINT64_T_FMT "\n",
                                      report->headers, state->dropped);
        durable->dropped_said = state->dropped;
    }
}

static void forget_waiting(sa_durable_t *durable)
{
    for (int i = 0; i < durable->waiting_count; i++) {
        sa_report_destroy(durable->waiting[i]);
    }
    durable->waiting_count = 0;
}

static void note_disk_failure(sa_durable_t *durable, sa_error_t *err)
{
    if (!durable->disk_failed) {
        durable->disk_failed = true;
        sa_stats_set(SA_STAT_spool_failed, 1);
        SA_LOG(spool_failed, SA_E(err));
    }
    durable->disk_retry_at = sa_time_mono() + sa_backoff_next(&durable->disk_backoff);
    sa_error_clear(err);
}

/* Take note of how a write to the spool went; true when ERR is none.  Clears
 * ERR.  Reading says nothing: it goes well on a full disk. */
static bool is_written(sa_durable_t *durable, sa_error_t *err)
{
    if (err) {
        note_disk_failure(durable, err);
        return false;
    }
    if (durable->disk_failed) {
        durable->disk_failed = false;
        sa_stats_set(SA_STAT_spool_failed, 0);
        SA_LOG(spool_recovered);
    }
    sa_backoff_reset(&durable->disk_backoff);
    return true;
}

void sa_outbox__durable_commit(sa_outbox_t *outbox)
{
    sa_durable_t *durable = &outbox->durable;
    sa_spool_entry_t entries[COMMIT_BATCH];
    sa_spool_state_t state;
    int count = durable->waiting_count;

    if (count == 0 || (durable->disk_failed && sa_time_mono() < durable->disk_retry_at)) {
        return;
    }
    sa_spool_read_state(&state, durable->spool);
    for (int i = 0; i < count; i++) {
        fill_entry(outbox, &entries[i], durable->waiting[i], &state);
    }
    if (!is_written(durable, sa_spool_append(durable->spool, entries, count))) {
        durable->dropped_said = 0;      /* what was to say it is not stored */
        return;
    }
    sa_stats_add(SA_STAT_reports_accepted, (apr_uint64_t)count);
    forget_waiting(durable);
    show_state(durable);
    sa_os_mutex_lock(outbox->mutex);
    sa_os_cond_broadcast(outbox->room);
    sa_os_mutex_unlock(outbox->mutex);
}

/* ---- acknowledgements ----------------------------------------------------- */

/* Delete what was acknowledged.  While the disk refuses, the list is kept. */
static void flush_acked(sa_durable_t *durable)
{
    if (durable->acked_count > 0
        && is_written(durable, sa_spool_remove(durable->spool, durable->acked,
                                                 durable->acked_count))) {
        durable->acked_count = 0;
        show_state(durable);
    }
}

static void drop_batch(sa_durable_t *durable)
{
    apr_pool_clear(durable->batch_pool);
    durable->batch = NULL;
    durable->batch_count = 0;
    durable->batch_next = 0;
}

/* Forget what is on its way: all of it is offered again, oldest first. */
static void rewind_window(sa_durable_t *durable)
{
    flush_acked(durable);
    durable->flight_count = 0;
    durable->cursor = 0;
    drop_batch(durable);
}

/* Note that SEQ is to be deleted. */
static void add_acked(sa_durable_t *durable, apr_int64_t seq)
{
    if (durable->acked_count == SA_OUTBOX_REMOVE_BATCH) {
        flush_acked(durable);
    }
    if (durable->acked_count == SA_OUTBOX_REMOVE_BATCH) {
        /* The disk still refuses: forget them.  They are offered again and
         * answered with "duplicate". */
        durable->acked_count = 0;
        rewind_window(durable);
    }
    if (durable->acked_count == 0) {
        durable->acked_since = sa_time_mono();
    }
    durable->acked[durable->acked_count++] = seq;
}

/* The place of SEQ among the flights, or -1. */
static int find_flight(const sa_durable_t *durable, apr_int64_t seq)
{
    int low = 0;
    int high = durable->flight_count - 1;

    while (low <= high) {
        int middle = (low + high) / 2;

        if (durable->flights[middle].seq == seq) {
            return middle;
        }
        if (durable->flights[middle].seq < seq) {
            low = middle + 1;
        } else {
            high = middle - 1;
        }
    }
    return -1;
}

static void end_flight(sa_durable_t *durable, apr_int64_t seq)
{
    int place = find_flight(durable, seq);

    if (place >= 0) {
        durable->flight_count--;
        memmove(&durable->flights[place], &durable->flights[place + 1],
                (size_t)(durable->flight_count - place) * sizeof(*durable->flights));
    }
}

static void stall(sa_outbox_t *outbox, const char *reason)
{
    sa_durable_t *durable = &outbox->durable;

    sa_stats_add(SA_STAT_reports_unstored, 1);
    rewind_window(durable);
    if (!durable->stalled) {
        durable->stalled = true;
        sa_stats_set(SA_STAT_stream_missing, 1);
        SA_LOG(delivery_stalled, SA_S("reason", reason),
               SA_S("subject", apr_pstrcat(durable->batch_pool, outbox->subject_prefix,
                                           "telemetry.>", NULL)));
    }
    sa_stats_set_text(SA_STAT_TEXT_delivery_error, reason);
    durable->probing = false;
    durable->retry_at = sa_time_mono() + sa_backoff_next(&durable->backoff);
}

static void note_stored(sa_durable_t *durable)
{
    if (durable->stalled) {
        durable->stalled = false;
        sa_stats_set(SA_STAT_stream_missing, 0);
        sa_stats_set_text(SA_STAT_TEXT_delivery_error, NULL);
        SA_LOG(delivery_resumed, SA_I("waiting", sa_stats_read(SA_STAT_spool_reports)));
    }
    durable->probing = false;
    sa_backoff_reset(&durable->backoff);
}

/* false: the disk refuses, and the report is still to be dealt with. */
static bool quarantine(sa_outbox_t *outbox, apr_int64_t seq, const char *reason)
{
    sa_durable_t *durable = &outbox->durable;

    if (!is_written(durable, sa_spool_quarantine(durable->spool, seq, reason))) {
        return false;
    }
    SA_LOG(report_quarantined, SA_I("seq", seq), SA_S("reason", reason));
    sa_stats_add(SA_STAT_reports_quarantined, 1);
    show_state(durable);
    return true;
}

void sa_outbox__durable_ack(sa_outbox_t *outbox, apr_int64_t seq, const sa_outbox_ack_t *ack)
{
    sa_durable_t *durable = &outbox->durable;
    char reason[128];

    if (ack->stored) {
        end_flight(durable, seq);
        add_acked(durable, seq);
        sa_stats_add(SA_STAT_reports_stored, 1);
        sa_stats_add(SA_STAT_reports_duplicate, ack->duplicate ? 1 : 0);
        note_stored(durable);
        return;
    }
    if (find_flight(durable, seq) < 0) {
        return;         /* an answer to an offer that was given up already */
    }
    if (ack->error_code == JS_MESSAGE_TOO_LARGE) {
        end_flight(durable, seq);
        durable->probing = false;       /* it told nothing of the others */
        if (!quarantine(outbox, seq, sa_outbox__ack_error(outbox, reason))) {
            rewind_window(durable);     /* it is offered, and refused, once more */
        }
        return;
    }
    stall(outbox, ack->no_stream ? "no stream binds the subject"
                                 : sa_outbox__ack_error(outbox, reason));
}

void sa_outbox__durable_edge(sa_outbox_t *outbox, bool up)
{
    sa_durable_t *durable = &outbox->durable;

    rewind_window(durable);
    durable->probing = false;
    if (up) {
        durable->retry_at = 0;
        sa_backoff_reset(&durable->backoff);
    }
}

/* ---- sending -------------------------------------------------------------- */

/* The next report to send, or NULL when the spool has none. */
static sa_spool_entry_t *next_entry(sa_durable_t *durable)
{
    sa_error_t *err;

    if (durable->batch_next < durable->batch_count) {
        return &durable->batch[durable->batch_next];
    }
    drop_batch(durable);
    err = sa_spool_read(&durable->batch, &durable->batch_count, durable->spool, durable->cursor,
                        durable->probing ? 1 : BATCH_REPORTS, BATCH_BYTES, durable->batch_pool);
    if (err) {
        note_disk_failure(durable, err);
        drop_batch(durable);
    }
    return durable->batch_count > 0 ? &durable->batch[0] : NULL;
}

static sa_error_t *offer(sa_outbox_t *outbox, const sa_spool_entry_t *entry)
{
    char msg_id[128];

    apr_snprintf(msg_id, sizeof(msg_id), "%s-%s-%" APR_INT64_T_FMT, outbox->code,
                 sa_spool_boot(outbox->durable.spool), entry->seq);
    return sa_link_publish_acked(outbox->link, entry->subject, entry->headers, msg_id,
                                 entry->data, entry->length, (apr_uint64_t)entry->seq);
}

/* Offer one report; false when there is none or the bus is away. */
static bool send_one(sa_outbox_t *outbox)
{
    sa_durable_t *durable = &outbox->durable;
    sa_spool_entry_t *entry = next_entry(durable);
    sa_error_t *err;

    if (!entry) {
        return false;
    }
    err = offer(outbox, entry);
    if (sa_error_has(err, SA_ERR_TOO_LARGE) || sa_error_has(err, SA_ERR_PARSE)) {
        char reason[256];
        bool aside = quarantine(outbox, entry->seq, sa_error_text(err, reason, sizeof(reason)));

        sa_error_clear(err);
        if (!aside) {
            return false;
        }
    } else if (err) {
        /* the link is down and its edge comes; should it not, try again all the same */
        durable->retry_at = sa_time_mono() + RETRY_FIRST;
        durable->probing = false;
        sa_error_clear(err);
        return false;
    } else {
        durable->flights[durable->flight_count].seq = entry->seq;
        durable->flights[durable->flight_count].sent_at = sa_time_mono();
        durable->flight_count++;
        sa_stats_add(SA_STAT_reports_sent, 1);
    }
    durable->cursor = entry->seq;
    durable->batch_next++;
    return true;
}

/* Offer the oldest one alone, or the next when that was set aside. */
static void send_probe(sa_outbox_t *outbox)
{
    sa_durable_t *durable = &outbox->durable;

    durable->probing = true;
    while (durable->flight_count == 0 && send_one(outbox)) {
        /* until one is on its way */
    }
    durable->probing = durable->flight_count > 0;
}

static void send_window(sa_outbox_t *outbox)
{
    sa_durable_t *durable = &outbox->durable;

    if (durable->stalled) {
        if (!durable->probing && durable->flight_count == 0) {
            send_probe(outbox);
        }
        return;
    }
    while (durable->flight_count < durable->window && send_one(outbox)) {
        /* one after the other */
    }
}

/* The oldest offer decides: they are in order of time as well. */
static void check_timeout(sa_outbox_t *outbox, apr_interval_time_t now)
{
    sa_durable_t *durable = &outbox->durable;

    if (durable->flight_count > 0
        && now >= durable->flights[0].sent_at + durable->ack_timeout) {
        stall(outbox, "no acknowledgement in time");
    }
}

static apr_interval_time_t earlier(apr_interval_time_t a, apr_interval_time_t b)
{
    return a < b ? a : b;
}

/* When to delete what was acknowledged. */
static apr_interval_time_t remove_at(const sa_durable_t *durable)
{
    apr_interval_time_t at = durable->acked_since + SA_OUTBOX_REMOVE_DELAY;

    return durable->disk_failed && durable->disk_retry_at > at ? durable->disk_retry_at : at;
}

/* A time that has passed is none: what it was for has been tried this turn. */
static apr_interval_time_t next_due(const sa_outbox_t *outbox, apr_interval_time_t now)
{
    const sa_durable_t *durable = &outbox->durable;
    apr_interval_time_t due = SA_OS_NEVER;

    if (durable->acked_count > 0) {
        due = earlier(due, remove_at(durable));
    }
    if (durable->flight_count > 0) {
        due = earlier(due, durable->flights[0].sent_at + durable->ack_timeout);
    }
    if (outbox->up && durable->flight_count == 0 && durable->retry_at > now) {
        due = earlier(due, durable->retry_at);
    }
    if (durable->disk_failed && durable->disk_retry_at > now
        && (durable->waiting_count > 0 || outbox->up)) {
        due = earlier(due, durable->disk_retry_at);
    }
    return due;
}

apr_interval_time_t sa_outbox__durable_turn(sa_outbox_t *outbox)
{
    sa_durable_t *durable = &outbox->durable;
    apr_interval_time_t now = sa_time_mono();

    check_timeout(outbox, now);
    if (outbox->up && now >= durable->retry_at
        && !(durable->disk_failed && now < durable->disk_retry_at)) {
        send_window(outbox);
    }
    now = sa_time_mono();
    if (durable->acked_count > 0 && now >= remove_at(durable)) {
        flush_acked(durable);
    }
    return next_due(outbox, now);
}

void sa_outbox__durable_expire(sa_outbox_t *outbox)
{
    sa_durable_t *durable = &outbox->durable;

    (void)is_written(durable, sa_spool_expire(durable->spool, sa_time_now()));
    show_state(durable);
}

bool sa_outbox__durable_is_idle(const sa_outbox_t *outbox)
{
    const sa_durable_t *durable = &outbox->durable;
    sa_spool_state_t state;

    sa_spool_read_state(&state, durable->spool);
    return durable->waiting_count == 0
           && (durable->stalled
               || (durable->flight_count == 0 && durable->acked_count == 0 && state.reports == 0));
}

void sa_outbox__durable_finish(sa_outbox_t *outbox)
{
    sa_durable_t *durable = &outbox->durable;

    durable->disk_retry_at = 0;         /* one last try */
    sa_outbox__durable_commit(outbox);
    sa_stats_add(SA_STAT_reports_refused, (apr_uint64_t)durable->waiting_count);
    forget_waiting(durable);
    flush_acked(durable);
}
