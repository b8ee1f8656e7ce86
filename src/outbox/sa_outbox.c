/* outbox: the thread, its mailboxes, and the class NOW.
 *
 * Callbacks of the link come on its threads: they leave a note and wake us. */
#include "sa_outbox.h"

#include <string.h>

#include <apr_strings.h>

#include "sa_log.h"
#include "sa_os_file.h"
#include "sa_outbox_private.h"
#include "sa_stats.h"
#include "sa_time.h"

#define MAILBOX_LIMIT 256
#define MAILBOX_BYTES (8 * 1024 * 1024)
/* Acknowledgements handled under one lock. */
#define ACK_BATCH 64
/* A live report goes only over a link that has just answered. */
#define PROBE_TIMEOUT apr_time_from_sec(1)
#define EXPIRE_INTERVAL apr_time_from_sec(60)

/* ---- on the link's threads ------------------------------------------------ */

static void on_edge(void *baton, bool up)
{
    sa_outbox_t *outbox = baton;

    sa_os_mutex_lock(outbox->mutex);
    outbox->edge_pending = true;
    outbox->edge_up = up;
    sa_os_cond_broadcast(outbox->room);
    sa_os_mutex_unlock(outbox->mutex);
    sa_queue_wake(outbox->mailbox);
}

/* The answer to an inquiry; one is under way at a time. */
static void on_stored(sa_outbox_t *outbox, apr_uint64_t token, const sa_link_message_t *message)
{
    sa_link_stored_t stored;

    sa_link_read_stored(&stored, message);
    sa_os_mutex_lock(outbox->mutex);
    outbox->stored = stored;
    outbox->stored_token = token;
    outbox->stored_pending = true;
    sa_os_mutex_unlock(outbox->mutex);
    sa_queue_wake(outbox->mailbox);
}

static void on_ack(void *baton, apr_uint64_t token, sa_link_message_t **message)
{
    sa_outbox_t *outbox = baton;
    sa_link_ack_t ack;
    bool first = false;

    if (token & SA_TOKEN_DOUBT) {
        on_stored(outbox, token, *message);
        return;
    }
    sa_link_read_ack(&ack, *message);
    sa_os_mutex_lock(outbox->mutex);
    if (ack.error[0]) {
        memcpy(outbox->ack_error, ack.error, sizeof(outbox->ack_error));
    }
    if (ack.stored && !(token & SA_TOKEN_TWIN)) {
        memcpy(outbox->ack_stream, ack.stream, sizeof(outbox->ack_stream));
    }
    /* With no room the note is lost: the report is offered again and answered
     * with "duplicate". */
    if (outbox->ack_count < SA_OUTBOX_ACKS_MAX) {
        outbox->acks[outbox->ack_count] = (sa_outbox_ack_t){
            token, ack.seq, ack.error_code, ack.stored, ack.duplicate, ack.no_stream
        };
        first = outbox->ack_count == 0;
        outbox->ack_count++;
    }
    sa_os_cond_broadcast(outbox->room);
    sa_os_mutex_unlock(outbox->mutex);
    if (first) {
        sa_queue_wake(outbox->mailbox);
    }
}

/* ---- on any thread -------------------------------------------------------- */

static bool wait_for_room(sa_outbox_t *outbox, size_t length, apr_interval_time_t deadline)
{
    bool room = true;

    sa_os_mutex_lock(outbox->mutex);
    while (outbox->pending_bytes > 0 && outbox->pending_bytes + length > MAILBOX_BYTES) {
        if (deadline == 0 || !sa_os_cond_wait(outbox->room, outbox->mutex, deadline)) {
            room = false;
            break;
        }
    }
    if (room) {
        outbox->pending_bytes += length;
    }
    sa_os_mutex_unlock(outbox->mutex);
    return room;
}

static void leave_room(sa_outbox_t *outbox, size_t length)
{
    sa_os_mutex_lock(outbox->mutex);
    outbox->pending_bytes -= length;
    sa_os_cond_broadcast(outbox->room);
    sa_os_mutex_unlock(outbox->mutex);
}

sa_error_t *sa_outbox_give(sa_outbox_t *outbox, sa_report_t **report)
{
    bool durable = (*report)->deliver == SA_DELIVER_DURABLE;
    apr_interval_time_t deadline = durable ? sa_time_mono() + SA_OUTBOX_PATIENCE : 0;
    size_t length = (*report)->length;
    sa_error_t *err;

    if (wait_for_room(outbox, length, deadline)) {
        if (sa_queue_give_wait(outbox->mailbox, report, deadline)) {
            return SA_OK;
        }
        leave_room(outbox, length);
    }
    err = sa_error(SA_ERR_BUSY, NULL, "the outbox takes no more; report %s is lost",
                   (*report)->name);
    sa_report_destroy(*report);
    *report = NULL;
    sa_stats_add(durable ? SA_STAT_reports_refused : SA_STAT_reports_now_dropped, 1);
    return err;
}

size_t sa_outbox_max_payload(sa_outbox_t *outbox)
{
    return sa_link_max_payload(outbox->link);
}

/* ---- on our thread -------------------------------------------------------- */

static void send_now(sa_outbox_t *outbox, const sa_report_t *report)
{
    const char *subject = apr_pstrcat(report->pool, outbox->subject_prefix, report->name, NULL);
    apr_interval_time_t asked_at = sa_time_mono();
    sa_error_t *err = sa_link_probe(outbox->link, PROBE_TIMEOUT);

    if (!err) {
        sa_stats_set(SA_STAT_link_rtt_us, (apr_uint64_t)(sa_time_mono() - asked_at));
        err = sa_link_publish(outbox->link, subject, report->headers, report->data,
                              report->length);
    }
    sa_stats_add(err ? SA_STAT_reports_now_dropped : SA_STAT_reports_now_sent, 1);
    if (err && sa_log_is_on(SA_LEVEL_debug)) {
        SA_LOG(report_dropped, SA_S("subject", subject), SA_E(err));
    }
    sa_error_clear(err);
}

/* While the disk takes nothing, what comes is not held back in the mailbox:
 * live reports must pass. */
static void take_durable(sa_outbox_t *outbox, sa_report_t **report)
{
    sa_error_t *err;

    if (sa_outbox__durable_has_room(outbox)) {
        sa_outbox__durable_add(outbox, report);
        return;
    }
    err = sa_error(SA_ERR_SPOOL, NULL,
                   "the disk takes nothing; new reports are lost until it does");
    sa_stats_add(SA_STAT_reports_refused, 1);
    SA_LOG(report_refused, SA_E(err));
    sa_error_clear(err);
}

static void handle_report(sa_outbox_t *outbox, sa_report_t **report)
{
    leave_room(outbox, (*report)->length);
    switch ((*report)->deliver) {
    case SA_DELIVER_NOW:
        send_now(outbox, *report);
        break;
    case SA_DELIVER_LATEST:
        sa_outbox__latest_set(outbox, report);
        break;
    case SA_DELIVER_DURABLE:
        take_durable(outbox, report);
        break;
    }
    sa_report_destroy(*report);     /* NULL when it was kept */
    *report = NULL;
}

const char *sa_outbox__ack_error(sa_outbox_t *outbox, char buffer[128])
{
    sa_os_mutex_lock(outbox->mutex);
    memcpy(buffer, outbox->ack_error, sizeof(outbox->ack_error));
    sa_os_mutex_unlock(outbox->mutex);
    return buffer;
}

static int take_acks(sa_outbox_t *outbox, sa_outbox_ack_t acks[ACK_BATCH])
{
    int count;

    sa_os_mutex_lock(outbox->mutex);
    count = outbox->ack_count < ACK_BATCH ? outbox->ack_count : ACK_BATCH;
    memcpy(acks, outbox->acks, (size_t)count * sizeof(*acks));
    outbox->ack_count -= count;
    memmove(outbox->acks, outbox->acks + count, (size_t)outbox->ack_count * sizeof(*acks));
    sa_os_mutex_unlock(outbox->mutex);
    return count;
}

static void handle_acks(sa_outbox_t *outbox)
{
    sa_outbox_ack_t acks[ACK_BATCH];
    int count = take_acks(outbox, acks);

    for (; count > 0; count = take_acks(outbox, acks)) {
        for (int i = 0; i < count; i++) {
            if (acks[i].token & SA_TOKEN_TWIN) {
                sa_outbox__latest_ack(outbox, &acks[i]);
            } else if (acks[i].token >> SA_TOKEN_SEQ_BITS == outbox->durable.life) {
                sa_outbox__durable_ack(outbox,
                    (apr_int64_t)(acks[i].token & ((APR_UINT64_C(1) << SA_TOKEN_SEQ_BITS) - 1)),
                    &acks[i]);
            }
        }
    }
}

static void handle_stored(sa_outbox_t *outbox)
{
    sa_link_stored_t stored;
    apr_uint64_t token;
    bool pending;

    sa_os_mutex_lock(outbox->mutex);
    pending = outbox->stored_pending;
    token = outbox->stored_token;
    stored = outbox->stored;
    outbox->stored_pending = false;
    sa_os_mutex_unlock(outbox->mutex);
    if (pending) {
        sa_outbox__doubt_answer(outbox, token, &stored);
    }
}

static void handle_edge(sa_outbox_t *outbox)
{
    bool pending;
    bool up;

    sa_os_mutex_lock(outbox->mutex);
    pending = outbox->edge_pending;
    up = outbox->edge_up;
    outbox->edge_pending = false;
    sa_os_mutex_unlock(outbox->mutex);
    if (!pending) {
        return;
    }
    outbox->up = up;
    sa_outbox__durable_edge(outbox, up);
    sa_outbox__latest_edge(outbox, up);
    if (outbox->edge_fn) {
        outbox->edge_fn(outbox->edge_baton, up);
    }
}

static sa_outbox_settings_t read_settings(const sa_config_t *config)
{
    return (sa_outbox_settings_t){
        .limits = {.max_bytes = (apr_uint64_t)config->spool_max_size,
                   .max_age = config->spool_max_age},
        .window = (int)config->spool_window,
        .ack_timeout = config->spool_ack_timeout,
        .duplicate_window = config->spool_duplicate_window,
        .drain_rate = config->spool_drain_rate,
        .drain_spread = config->spool_drain_spread
    };
}

static void use_settings(sa_durable_t *durable, const sa_outbox_settings_t *settings)
{
    durable->window = settings->window;
    durable->ack_timeout = settings->ack_timeout;
    durable->duplicate_window = settings->duplicate_window;
    durable->drain_rate = settings->drain_rate;
    durable->drain_spread = settings->drain_spread;
}

static void handle_reload(sa_outbox_t *outbox)
{
    sa_os_mutex_lock(outbox->mutex);
    if (outbox->reload_pending) {
        outbox->reload_pending = false;
        sa_spool_set_limits(outbox->durable.spool, &outbox->settings.limits);
        use_settings(&outbox->durable, &outbox->settings);
    }
    sa_os_mutex_unlock(outbox->mutex);
}

/* Once a minute what is too old goes.  Of a spool that is not open, because the
 * disk refused it at the start or in the middle of a rescue, this is the next
 * attempt; what an earlier life left in it may have been offered. */
static void tend_spool(sa_outbox_t *outbox)
{
    sa_durable_t *durable = &outbox->durable;
    bool open = sa_spool_is_open(durable->spool);

    if (sa_time_mono() < (open ? outbox->expire_at : durable->disk_retry_at)) {
        return;
    }
    sa_outbox__durable_expire(outbox);
    outbox->expire_at = sa_time_mono() + EXPIRE_INTERVAL;
    if (!open && sa_spool_is_open(durable->spool)) {
        sa_outbox__doubt_open(durable);
    }
}

/* Everything that can be done without waiting; returns when there is more. */
static apr_interval_time_t turn(sa_outbox_t *outbox)
{
    apr_interval_time_t durable;
    apr_interval_time_t latest;

    handle_reload(outbox);
    handle_edge(outbox);
    handle_acks(outbox);
    handle_stored(outbox);
    tend_spool(outbox);
    sa_outbox__durable_commit(outbox);
    durable = sa_outbox__durable_turn(outbox);
    latest = sa_outbox__latest_turn(outbox);
    return durable < latest ? durable : latest;
}

/* Take REPORT and what else is in the mailbox, as much as one commit holds. */
static void take_reports(sa_outbox_t *outbox, sa_report_t *report)
{
    while (report) {
        handle_report(outbox, &report);
        report = sa_outbox__durable_has_room(outbox) ? sa_queue_try_take(outbox->mailbox) : NULL;
    }
}

static void wait_for_reports(sa_outbox_t *outbox, apr_interval_time_t deadline)
{
    sa_report_t *report;

    sa_pulse_idle(outbox->pulse);
    report = sa_queue_take(outbox->mailbox, deadline);
    sa_pulse_busy(outbox->pulse);
    take_reports(outbox, report);
}

static bool is_stopping(sa_outbox_t *outbox, apr_interval_time_t *stop_by)
{
    bool stopping;

    sa_os_mutex_lock(outbox->mutex);
    stopping = outbox->stopping;
    *stop_by = outbox->stop_by;
    sa_os_mutex_unlock(outbox->mutex);
    return stopping;
}

/* When to wake up although nothing came. */
static apr_interval_time_t next_wake(sa_outbox_t *outbox, apr_interval_time_t due)
{
    sa_spool_state_t state;

    if (!sa_spool_is_open(outbox->durable.spool)) {
        return outbox->durable.disk_retry_at < due ? outbox->durable.disk_retry_at : due;
    }
    sa_spool_read_state(&state, outbox->durable.spool);
    if (state.reports > 0 && outbox->expire_at < due) {
        return outbox->expire_at;
    }
    return due;
}

apr_interval_time_t sa_outbox__step(sa_outbox_t *outbox)
{
    take_reports(outbox, sa_queue_try_take(outbox->mailbox));
    return next_wake(outbox, turn(outbox));
}

static void run(void *baton)
{
    sa_outbox_t *outbox = baton;
    apr_interval_time_t stop_by;

    for (;;) {
        apr_interval_time_t due = next_wake(outbox, turn(outbox));

        if (is_stopping(outbox, &stop_by)) {
            bool idle = sa_queue_length(outbox->mailbox) == 0
                        && sa_outbox__latest_is_idle(outbox)
                        && (!outbox->up || sa_outbox__durable_is_idle(outbox));

            if (idle || sa_time_mono() >= stop_by) {
                break;
            }
            due = due < stop_by ? due : stop_by;
        }
        if (outbox->turn_fn) {
            outbox->turn_fn(outbox->turn_baton);
        }
        wait_for_reports(outbox, due);
    }
    if (!sa_spool_is_open(outbox->durable.spool)) {
        sa_outbox__durable_expire(outbox);      /* one last try, for what waits in memory */
    }
    sa_outbox__durable_finish(outbox);
    sa_outbox__latest_finish(outbox);
    sa_pulse_idle(outbox->pulse);
}

/* ---- life ----------------------------------------------------------------- */

sa_error_t *sa_outbox_create(sa_outbox_t **result, sa_link_t *link, apr_pool_t *pool)
{
    sa_outbox_t *outbox = apr_pcalloc(pool, sizeof(*outbox));

    outbox->link = link;
    outbox->pool = pool;
    outbox->mailbox = sa_queue_create(MAILBOX_LIMIT, pool);
    outbox->mutex = sa_os_mutex_create(pool);
    outbox->room = sa_os_cond_create(pool);
    /* not zeroed: only what is used becomes memory */
    outbox->acks = apr_palloc(pool, SA_OUTBOX_ACKS_MAX * sizeof(*outbox->acks));
    sa_link_on_edge(link, on_edge, outbox);
    sa_link_on_ack(link, on_ack, outbox);
    *result = outbox;
    return SA_OK;
}

void sa_outbox_on_edge(sa_outbox_t *outbox, sa_outbox_edge_fn_t fn, void *baton)
{
    outbox->edge_fn = fn;
    outbox->edge_baton = baton;
}

void sa_outbox_on_turn(sa_outbox_t *outbox, sa_outbox_turn_fn_t fn, void *baton)
{
    outbox->turn_fn = fn;
    outbox->turn_baton = baton;
}

sa_error_t *sa_outbox__open(sa_outbox_t *outbox, const sa_config_t *config)
{
    const sa_outbox_settings_t settings = read_settings(config);
    const char *path = apr_pstrcat(outbox->pool, config->paths_state, "/spool.db", NULL);
    sa_error_t *err;

    outbox->code = apr_pstrdup(outbox->pool, config->code);
    outbox->subject_prefix = apr_pstrcat(outbox->pool, config->subject_prefix, ".", config->code,
                                         ".", NULL);
    sa_outbox__durable_init(&outbox->durable, outbox->pool);
    sa_outbox__latest_init(&outbox->latest);
    use_settings(&outbox->durable, &settings);
    outbox->pulse = sa_pulse_create("outbox", outbox->pool);
    err = sa_spool_open(&outbox->durable.spool, path, &settings.limits, outbox->pool);
    if (!outbox->durable.spool) {
        return err;
    }
    /* A disk that refuses keeps nobody from seeing that we are here: the first turn
     * tries once more, and says so. */
    sa_error_clear(err);
    sa_outbox__durable_begin(&outbox->durable);
    return SA_OK;
}

sa_error_t *sa_outbox_start(sa_outbox_t *outbox, const sa_config_t *config)
{
    SA_TRY(sa_outbox__open(outbox, config));
    SA_TRY_APR(sa_os_thread_start(&outbox->thread, "outbox", run, outbox, outbox->pool),
               "cannot start the outbox's thread");
    return SA_OK;
}

void sa_outbox_reload(sa_outbox_t *outbox, const sa_config_t *config)
{
    sa_os_mutex_lock(outbox->mutex);
    outbox->settings = read_settings(config);
    outbox->reload_pending = true;
    sa_os_mutex_unlock(outbox->mutex);
    sa_queue_wake(outbox->mailbox);
}

void sa_outbox_stop(sa_outbox_t *outbox, apr_interval_time_t timeout)
{
    sa_report_t *report;

    if (!outbox->thread) {
        return;
    }
    sa_os_mutex_lock(outbox->mutex);
    outbox->stopping = true;
    outbox->stop_by = sa_time_mono() + timeout;
    sa_os_cond_broadcast(outbox->room);
    sa_os_mutex_unlock(outbox->mutex);
    sa_queue_wake(outbox->mailbox);
    sa_os_thread_join(outbox->thread);
    outbox->thread = NULL;
    sa_queue_close(outbox->mailbox);
    report = sa_queue_try_take(outbox->mailbox);
    while (report) {
        /* only a full disk leaves any: it was never accepted */
        sa_stats_add(SA_STAT_reports_refused, report->deliver == SA_DELIVER_DURABLE ? 1 : 0);
        sa_report_destroy(report);
        report = sa_queue_try_take(outbox->mailbox);
    }
}
