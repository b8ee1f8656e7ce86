/* outbox: the class DURABLE.
 *
 * Reports are committed in groups, read back oldest first, and offered with a
 * window of unacknowledged ones.  A report leaves the spool only when
 * JetStream has it.  Everything else (no stream, silence, a refusal) stalls
 * the sending: after a pause with back-off the oldest one alone is offered
 * again, and when it is stored the rest follows.  When it is not, its subject
 * is held: it waits for itself, and the next subject's oldest is offered. */
#include <string.h>

#include <apr_hash.h>
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
#define PASSED_MAX 1000                     /* reports of held subjects passed over in a turn */
/* JetStream API error codes (nats-server server/errors.json): the message will
 * never fit this stream. */
#define JS_MESSAGE_TOO_LARGE 10054

void sa_outbox__durable_init(sa_durable_t *durable, apr_pool_t *pool)
{
    memset(durable, 0, sizeof(*durable));
    durable->batch_pool = sa_pool_create(pool);
    /* not zeroed: only what the window uses becomes memory */
    durable->flights = apr_palloc(pool, SA_OUTBOX_WINDOW_MAX * sizeof(*durable->flights));
    durable->acked = apr_palloc(pool, SA_OUTBOX_ACKED_MAX * sizeof(*durable->acked));
    sa_backoff_init(&durable->backoff, RETRY_FIRST, RETRY_MAX);
    sa_backoff_init(&durable->disk_backoff, RETRY_FIRST, DISK_RETRY_MAX);
    sa_random_init(&durable->random);
    sa_outbox__doubt_init(&durable->doubt, pool);
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

void sa_outbox__durable_begin(sa_durable_t *durable)
{
    sa_outbox__doubt_open(durable);
    show_state(durable);
}

static void drop_batch(sa_durable_t *durable)
{
    apr_pool_clear(durable->batch_pool);
    durable->batch = NULL;
    durable->batch_count = 0;
    durable->batch_next = 0;
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

/* The database is damaged: go on with a new one. */
static sa_error_t *rescue(sa_durable_t *durable)
{
    sa_error_t *err = sa_spool_rescue(durable->spool);

    durable->acked_count = 0;
    durable->acked_ahead = false;
    durable->flight_count = 0;
    durable->life = (durable->life + 1) % SA_TOKEN_LIVES;
    durable->cursor = 0;
    drop_batch(durable);
    sa_outbox__doubt_open(durable);
    return err;
}

static void note_disk_failure(sa_durable_t *durable, sa_error_t *err)
{
    if (sa_error_has(err, SA_ERR_FILE_CONTENT)) {
        sa_error_clear(err);
        err = rescue(durable);
        if (!err) {
            return;
        }
    }
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

/* One that is larger than the whole spool may be would keep the others out. */
static void refuse_large(sa_report_t *report)
{
    sa_error_t *err = sa_error(SA_ERR_TOO_LARGE, NULL, "%s of %" APR_SIZE_T_FMT " bytes is larger "
                               "than the spool may be; raise spool.max_size", report->name,
                               (apr_size_t)report->length);

    SA_LOG(report_refused, SA_E(err));
    sa_error_clear(err);
    sa_stats_add(SA_STAT_reports_refused, 1);
    sa_report_destroy(report);
}

/* An entry for each waiting report; returns how many there are. */
static int fill_entries(sa_outbox_t *outbox, sa_spool_entry_t *entries)
{
    sa_durable_t *durable = &outbox->durable;
    sa_spool_state_t state;
    int kept = 0;

    sa_spool_read_state(&state, durable->spool);
    for (int i = 0; i < durable->waiting_count; i++) {
        sa_report_t *report = durable->waiting[i];

        fill_entry(outbox, &entries[kept], report, &state);
        if (sa_spool_takes(durable->spool, &entries[kept])) {
            durable->waiting[kept++] = report;
        } else {
            durable->dropped_said = 0;          /* the next one says it */
            refuse_large(report);
        }
    }
    durable->waiting_count = kept;
    return kept;
}

void sa_outbox__durable_commit(sa_outbox_t *outbox)
{
    sa_durable_t *durable = &outbox->durable;
    sa_spool_entry_t entries[COMMIT_BATCH];
    int count;

    if (durable->disk_failed && sa_time_mono() < durable->disk_retry_at) {
        return;
    }
    count = fill_entries(outbox, entries);
    if (count == 0) {
        return;
    }
    /* Once more when it failed without the disk's fault: the database was
     * damaged and there is a new one. */
    if (!is_written(durable, sa_spool_append(durable->spool, entries, count))
        && (durable->disk_failed
            || !is_written(durable, sa_spool_append(durable->spool, entries, count)))) {
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
    if (durable->acked_count == 0) {
        return;
    }
    sa_outbox__doubt_keep_floor(durable);
    if (is_written(durable, sa_spool_remove(durable->spool, durable->acked,
                                            durable->acked_count))) {
        durable->acked_count = 0;
        durable->acked_ahead = false;
        sa_outbox__doubt_settle(durable);
        show_state(durable);
    }
}

/* Forget what is on its way: all of it is offered again, oldest first. */
static void rewind_window(sa_durable_t *durable)
{
    sa_outbox__doubt_add_flights(durable);
    flush_acked(durable);
    durable->acked_ahead = durable->acked_count > 0;
    durable->flight_count = 0;
    durable->probing = false;
    durable->cursor = 0;
    for (int i = 0; i < durable->held_count; i++) {
        durable->held[i].probing = false;
    }
    drop_batch(durable);
}

void sa_outbox__durable_rewind(sa_outbox_t *outbox)
{
    rewind_window(&outbox->durable);
}

void sa_outbox__durable_is_stored(sa_durable_t *durable, apr_int64_t seq)
{
    if (durable->acked_count >= SA_OUTBOX_REMOVE_BATCH
        && !(durable->disk_failed && sa_time_mono() < durable->disk_retry_at)) {
        flush_acked(durable);
    }
    if (durable->acked_count == SA_OUTBOX_ACKED_MAX) {
        return;         /* a late answer: it will be offered and answered once more */
    }
    if (durable->acked_count == 0) {
        durable->acked_since = sa_time_mono();
    }
    durable->acked[durable->acked_count++] = seq;
}

/* Is SEQ stored, and in the spool only because the disk refuses to delete it? */
static bool is_acked(const sa_durable_t *durable, apr_int64_t seq)
{
    for (int i = 0; durable->acked_ahead && i < durable->acked_count; i++) {
        if (durable->acked[i] == seq) {
            return true;
        }
    }
    return false;
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

unsigned int sa_outbox__subject_hash(const char *subject)
{
    apr_ssize_t length = APR_HASH_KEY_STRING;

    return apr_hashfunc_default(subject, &length);
}

static sa_held_t *find_held(sa_durable_t *durable, unsigned int subject)
{
    for (int i = 0; i < durable->held_count; i++) {
        if (durable->held[i].subject == subject) {
            return &durable->held[i];
        }
    }
    return NULL;
}

static void show_stalled(const sa_durable_t *durable)
{
    sa_stats_set(SA_STAT_stream_missing, durable->stalled || durable->held_count > 0);
    sa_stats_set(SA_STAT_subjects_held, (apr_uint64_t)durable->held_count);
}

/* Its next turn comes later. */
static void put_off(sa_held_t *held)
{
    held->sought = false;
    held->probing = false;
    held->retry_at = sa_time_mono() + sa_backoff_next(&held->backoff);
}

/* false: too many of them. */
static bool hold(sa_durable_t *durable, unsigned int subject)
{
    sa_held_t *held;

    if (durable->held_count == SA_OUTBOX_HELD) {
        return false;
    }
    held = &durable->held[durable->held_count++];
    held->subject = subject;
    sa_backoff_init(&held->backoff, RETRY_FIRST, RETRY_MAX);
    put_off(held);
    return true;
}

static void release(sa_durable_t *durable, sa_held_t *held)
{
    *held = durable->held[--durable->held_count];
    show_stalled(durable);
}

static void stall(sa_outbox_t *outbox, const char *reason)
{
    sa_durable_t *durable = &outbox->durable;

    rewind_window(durable);
    if (!durable->stalled) {
        durable->stalled = true;
        SA_LOG(delivery_stalled, SA_S("reason", reason),
               SA_S("subject", apr_pstrcat(durable->batch_pool, outbox->subject_prefix,
                                           "telemetry.>", NULL)));
    }
    durable->retry_at = sa_time_mono() + sa_backoff_next(&durable->backoff);
}

void sa_outbox__durable_refuse(sa_outbox_t *outbox, unsigned int subject, const char *reason)
{
    sa_durable_t *durable = &outbox->durable;
    sa_held_t *held = find_held(durable, subject);

    sa_stats_add(SA_STAT_reports_unstored, 1);
    sa_stats_set_text(SA_STAT_TEXT_delivery_error, reason);
    durable->probing = false;
    if (held) {
        put_off(held);
    } else if (durable->stalled && hold(durable, subject)) {
        durable->retry_at = 0;              /* the next subject's turn */
    } else {
        stall(outbox, reason);
    }
    show_stalled(durable);
}

/* SUBJECT is stored. */
static void note_stored(sa_durable_t *durable, unsigned int subject)
{
    sa_held_t *held = find_held(durable, subject);

    if (held) {
        release(durable, held);
        durable->again = true;              /* it was passed over */
    }
    if (durable->stalled || (held && durable->held_count == 0)) {
        durable->stalled = false;
        SA_LOG(delivery_resumed, SA_I("waiting", sa_stats_read(SA_STAT_spool_reports)),
               SA_I("held", durable->held_count));
        for (int i = 0; i < durable->held_count; i++) {
            durable->held[i].retry_at = 0;  /* what has mended this one may have mended all */
        }
        show_stalled(durable);
    }
    if (durable->held_count == 0) {
        sa_stats_set_text(SA_STAT_TEXT_delivery_error, NULL);
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

static void note_place(sa_outbox_t *outbox, const sa_outbox_ack_t *ack)
{
    char stream[SA_LINK_STREAM_NAME];

    sa_os_mutex_lock(outbox->mutex);
    memcpy(stream, outbox->ack_stream, sizeof(stream));
    sa_os_mutex_unlock(outbox->mutex);
    sa_outbox__doubt_note_place(&outbox->durable, stream, ack->stream_seq, ack->duplicate);
}

void sa_outbox__durable_ack(sa_outbox_t *outbox, apr_int64_t seq, const sa_outbox_ack_t *ack)
{
    sa_durable_t *durable = &outbox->durable;
    int place = find_flight(durable, seq);
    unsigned int subject = place >= 0 ? durable->flights[place].subject : 0;
    char reason[128];

    if (ack->stored) {
        end_flight(durable, seq);
        sa_outbox__durable_is_stored(durable, seq);
        note_place(outbox, ack);
        sa_stats_add(SA_STAT_reports_stored, 1);
        sa_stats_add(SA_STAT_reports_duplicate, ack->duplicate ? 1 : 0);
        note_stored(durable, subject);
        return;
    }
    if (place < 0) {
        return;         /* an answer to an offer that was given up already */
    }
    end_flight(durable, seq);
    if (ack->error_code == JS_MESSAGE_TOO_LARGE) {
        durable->probing = false;       /* it told nothing of the others */
        if (!quarantine(outbox, seq, sa_outbox__ack_error(outbox, reason))) {
            rewind_window(durable);     /* it is offered, and refused, once more */
        }
        return;
    }
    sa_outbox__durable_refuse(outbox, subject,
                              ack->no_stream ? SA_OUTBOX_NO_STREAM
                                             : sa_outbox__ack_error(outbox, reason));
}

/* When to begin: a backlog waits for a random while, because the neighbours have
 * come back at the same moment with theirs. */
static apr_interval_time_t drain_from(sa_durable_t *durable)
{
    if (sa_stats_read(SA_STAT_spool_reports) <= (apr_uint64_t)durable->window) {
        return 0;
    }
    return sa_time_mono() + (apr_interval_time_t)sa_random_below(
        &durable->random, (apr_uint64_t)durable->drain_spread + 1);
}

void sa_outbox__durable_edge(sa_outbox_t *outbox, bool up)
{
    sa_durable_t *durable = &outbox->durable;

    rewind_window(durable);
    sa_outbox__doubt_edge(durable);
    durable->probing = false;
    durable->held_count = 0;
    show_stalled(durable);
    if (up) {
        durable->retry_at = drain_from(durable);
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
                                 entry->data, entry->length,
                                 (apr_uint64_t)entry->seq
                                 | outbox->durable.life << SA_TOKEN_SEQ_BITS);
}

/* ENTRY is done with; the next one behind it. */
static void go_on(sa_durable_t *durable, const sa_spool_entry_t *entry)
{
    durable->cursor = entry->seq;
    durable->batch_next++;
}

/* All of the spool was looked through: who was not met has no reports any more. */
static void forget_held(sa_durable_t *durable)
{
    for (int i = durable->held_count - 1; durable->seeking && i >= 0; i--) {
        if (durable->held[i].sought && !durable->held[i].probing) {
            release(durable, &durable->held[i]);
        }
    }
    durable->seeking = false;
}

/* Is ENTRY's subject held, and not its turn? */
static bool is_passed_over(sa_durable_t *durable, const sa_held_t *held)
{
    if (!held || (held->sought && !held->probing)) {
        return false;
    }
    durable->passed++;
    durable->skipping = durable->passed >= PASSED_MAX;
    return true;
}

static void note_flight(sa_durable_t *durable, apr_int64_t seq, unsigned int subject,
                        sa_held_t *held)
{
    sa_flight_t *flight = &durable->flights[durable->flight_count++];

    flight->seq = seq;
    flight->sent_at = sa_time_mono();
    flight->floor = durable->doubt.newest;
    flight->subject = subject;
    if (held) {
        held->probing = true;
    }
    sa_stats_add(SA_STAT_reports_sent, 1);
}

/* Offer one report, or pass over it; false when there is none or the bus is away. */
static bool send_one(sa_outbox_t *outbox)
{
    sa_durable_t *durable = &outbox->durable;
    sa_spool_entry_t *entry = next_entry(durable);
    unsigned int subject;
    sa_held_t *held;
    sa_error_t *err;

    if (!entry) {
        forget_held(durable);
        return false;
    }
    subject = sa_outbox__subject_hash(entry->subject);
    held = find_held(durable, subject);
    if (is_acked(durable, entry->seq) || is_passed_over(durable, held)
        || (entry->damaged && quarantine(outbox, entry->seq, "the disk has changed it"))) {
        go_on(durable, entry);
        return true;
    }
    if (entry->damaged) {
        return false;           /* the disk refuses: once more with its next retry */
    }
    if (!sa_outbox__doubt_allows(outbox, entry)) {
        durable->probing = false;
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
        note_flight(durable, entry->seq, subject, held);
    }
    go_on(durable, entry);
    return true;
}

/* A bucket that fills with drain_rate and holds one window. */
static bool is_allowed(sa_durable_t *durable)
{
    apr_interval_time_t now = sa_time_mono();

    if (durable->drain_rate == 0) {
        return true;
    }
    durable->allowance += (double)(now - durable->allowed_at) * (double)durable->drain_rate / 1e6;
    durable->allowed_at = now;
    if (durable->allowance > durable->window) {
        durable->allowance = durable->window;
    }
    return durable->allowance >= 1.0;
}

/* When the bucket holds the next report. */
static apr_interval_time_t allowed_at(const sa_durable_t *durable)
{
    double missing = 1.0 - durable->allowance;

    return durable->allowed_at
           + (apr_interval_time_t)(missing * 1e6 / (double)durable->drain_rate) + 1;
}

/* Offer the oldest one alone, or the next when that was set aside. */
static void send_probe(sa_outbox_t *outbox)
{
    sa_durable_t *durable = &outbox->durable;

    durable->probing = true;
    while (durable->flight_count == 0 && !durable->skipping && send_one(outbox)) {
        /* until one is on its way */
    }
    durable->probing = durable->flight_count > 0;
}

/* Is it the turn of a held subject?  Its reports lie behind us. */
static bool is_turn_of_held(const sa_durable_t *durable, apr_interval_time_t now)
{
    for (int i = 0; i < durable->held_count; i++) {
        if (!durable->held[i].probing && now >= durable->held[i].retry_at) {
            return true;
        }
    }
    return false;
}

/* Go back to the oldest, if that is wanted; false: first what is on its way. */
static bool turn_back(sa_durable_t *durable)
{
    apr_interval_time_t now = sa_time_mono();
    bool seek = !durable->seeking && is_turn_of_held(durable, now);

    if (!seek && !durable->again) {
        return true;
    }
    if (durable->flight_count > 0) {
        return false;
    }
    rewind_window(durable);
    durable->again = false;
    for (int i = 0; i < durable->held_count; i++) {
        durable->held[i].sought = now >= durable->held[i].retry_at;
        durable->seeking = durable->seeking || durable->held[i].sought;
    }
    return true;
}

static void send_window(sa_outbox_t *outbox)
{
    sa_durable_t *durable = &outbox->durable;

    durable->passed = 0;
    if (!turn_back(durable)) {
        return;
    }

    if (durable->stalled) {
        if (!durable->probing && durable->flight_count == 0) {
            send_probe(outbox);
        }
        return;
    }
    durable->limited = !is_allowed(durable);
    while (durable->flight_count < durable->window && !durable->limited
           && durable->acked_count < SA_OUTBOX_REMOVE_BATCH && !durable->skipping) {
        int count = durable->flight_count;

        if (!send_one(outbox)) {
            break;
        }
        durable->allowance -= durable->flight_count > count ? 1.0 : 0.0;
        durable->limited = !is_allowed(durable);
    }
}

/* The oldest offer decides: they are in order of time as well. */
static void check_timeout(sa_outbox_t *outbox, apr_interval_time_t now)
{
    sa_durable_t *durable = &outbox->durable;

    if (durable->flight_count > 0
        && now >= durable->flights[0].sent_at + durable->ack_timeout) {
        const sa_flight_t late = durable->flights[0];

        if (find_held(durable, late.subject) || durable->stalled) {
            /* it was offered to find out: the others do well */
            sa_outbox__doubt_add(durable, &late);
            end_flight(durable, late.seq);
        }
        sa_outbox__durable_refuse(outbox, late.subject, "no acknowledgement in time");
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
    if (outbox->up && durable->skipping) {
        due = now;
    }
    for (int i = 0; outbox->up && i < durable->held_count; i++) {
        if (!durable->held[i].probing && durable->held[i].retry_at > now) {
            due = earlier(due, durable->held[i].retry_at);
        }
    }
    if (outbox->up && durable->flight_count == 0 && durable->retry_at > now) {
        due = earlier(due, durable->retry_at);
    }
    if (outbox->up && durable->limited && durable->flight_count < durable->window
        && sa_stats_read(SA_STAT_spool_reports) > 0) {
        due = earlier(due, allowed_at(durable));
    }
    if (!durable->disk_failed && durable->waiting_count > 0) {
        due = now;              /* something else was written: the disk is well again */
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

    durable->limited = false;           /* unless this turn finds it so */
    durable->skipping = false;
    check_timeout(outbox, now);
    sa_outbox__doubt_turn(outbox, now);
    if (outbox->up && now >= durable->retry_at
        && !(durable->disk_failed && now < durable->disk_retry_at)) {
        send_window(outbox);
    }
    now = sa_time_mono();
    if (durable->acked_count > 0 && now >= remove_at(durable)) {
        flush_acked(durable);
    }
    return earlier(next_due(outbox, now), sa_outbox__doubt_due(outbox));
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
               || (durable->flight_count == 0 && durable->acked_count == 0
                   && (state.reports == 0 || durable->held_count > 0)));
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
