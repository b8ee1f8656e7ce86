/* outbox: the class LATEST, the digital twin.
 *
 * A put is a publish to $KV.twin.{key} that JetStream acknowledges; no $JS.API
 * permission is needed.  Nothing is spooled: a slot keeps the newest value of
 * its key, and it is put again after a reconnect unless it has expired. */
#include <string.h>

#include <apr_strings.h>

#include "sa_log.h"
#include "sa_outbox_private.h"
#include "sa_stats.h"
#include "sa_time.h"

#define SUBJECT_PREFIX "$KV.twin.thing."
#define PUT_TIMEOUT apr_time_from_sec(5)
/* The bucket is made by a person, some day. */
#define RETRY_FIRST apr_time_from_sec(15)
#define RETRY_MAX apr_time_from_sec(600)

void sa_outbox__latest_init(sa_latest_t *latest)
{
    memset(latest, 0, sizeof(*latest));
    sa_backoff_init(&latest->backoff, RETRY_FIRST, RETRY_MAX);
}

static sa_latest_slot_t *find_slot(sa_latest_t *latest, const char *name)
{
    sa_latest_slot_t *empty = NULL;

    for (int i = 0; i < SA_LATEST_SLOTS; i++) {
        sa_latest_slot_t *slot = &latest->slots[i];

        if (slot->report && strcmp(slot->report->name, name) == 0) {
            return slot;
        }
        if (!slot->report && !empty) {
            empty = slot;
        }
    }
    return empty;
}

void sa_outbox__latest_set(sa_outbox_t *outbox, sa_report_t **report)
{
    sa_latest_slot_t *slot = find_slot(&outbox->latest, (*report)->name);

    SA_ASSERT(slot != NULL);        /* the keys are ours, and fewer than the slots */
    sa_report_destroy(slot->report);
    slot->report = *report;
    slot->dirty = true;
    slot->token = 0;                /* an answer to the old value says nothing of this */
    *report = NULL;
}

static void note_failure(sa_outbox_t *outbox, const char *reason)
{
    sa_latest_t *latest = &outbox->latest;

    sa_stats_add(SA_STAT_twin_failures, 1);
    if (!latest->missing) {
        latest->missing = true;
        SA_LOG(twin_missing, SA_S("reason", reason));
    }
    if (sa_time_mono() >= latest->retry_at) {     /* several keys fail together: one step */
        latest->retry_at = sa_time_mono() + sa_backoff_next(&latest->backoff);
    }
}

static void note_success(sa_latest_t *latest)
{
    sa_stats_add(SA_STAT_twin_puts, 1);
    if (latest->missing) {
        latest->missing = false;
        SA_LOG(twin_found);
    }
    latest->retry_at = 0;
    sa_backoff_reset(&latest->backoff);
}

void sa_outbox__latest_ack(sa_outbox_t *outbox, const sa_outbox_ack_t *ack)
{
    sa_latest_t *latest = &outbox->latest;
    char reason[128];

    for (int i = 0; i < SA_LATEST_SLOTS; i++) {
        sa_latest_slot_t *slot = &latest->slots[i];

        if (slot->token != ack->token) {
            continue;
        }
        slot->token = 0;
        if (ack->stored) {
            slot->dirty = false;
            note_success(latest);
        } else {
            note_failure(outbox, ack->no_stream ? "there is no KV bucket called twin"
                                                : sa_outbox__ack_error(outbox, reason));
        }
        return;
    }
}

void sa_outbox__latest_edge(sa_outbox_t *outbox, bool up)
{
    sa_latest_t *latest = &outbox->latest;

    for (int i = 0; i < SA_LATEST_SLOTS; i++) {
        latest->slots[i].token = 0;
        latest->slots[i].dirty = latest->slots[i].report != NULL;
    }
    if (up) {
        latest->retry_at = 0;
        sa_backoff_reset(&latest->backoff);
    }
}

static sa_error_t *put(sa_outbox_t *outbox, sa_latest_slot_t *slot)
{
    sa_latest_t *latest = &outbox->latest;
    apr_uint64_t token = SA_TOKEN_TWIN | ++latest->next_token;
    char subject[512];

    apr_snprintf(subject, sizeof(subject), SUBJECT_PREFIX "%s.%s", outbox->code,
                 slot->report->name);
    SA_TRY(sa_link_publish_acked(outbox->link, subject, NULL, NULL, slot->report->data,
                                 slot->report->length, token));
    slot->token = token;
    slot->sent_at = sa_time_mono();
    return SA_OK;
}

/* One slot's part of a turn; returns when it wants the next. */
static apr_interval_time_t turn_slot(sa_outbox_t *outbox, sa_latest_slot_t *slot,
                                     apr_interval_time_t now)
{
    sa_latest_t *latest = &outbox->latest;
    sa_error_t *err;

    if (!slot->report || !slot->dirty) {
        return SA_OS_NEVER;
    }
    if (slot->report->expires_at != 0 && now >= slot->report->expires_at) {
        slot->dirty = false;        /* a stale value is worse than an old one that says when */
        slot->token = 0;
        return SA_OS_NEVER;
    }
    if (slot->token != 0) {
        if (now < slot->sent_at + PUT_TIMEOUT) {
            return slot->sent_at + PUT_TIMEOUT;
        }
        slot->token = 0;
        note_failure(outbox, "no answer to a put");
    }
    if (now < latest->retry_at) {
        return latest->retry_at;
    }
    err = put(outbox, slot);
    if (err) {
        bool too_large = sa_error_has(err, SA_ERR_TOO_LARGE);

        slot->dirty = !too_large;
        sa_stats_add(SA_STAT_twin_failures, too_large ? 1 : 0);
        sa_error_clear(err);
        /* the link's edge comes; should it not, try again all the same */
        return too_large ? SA_OS_NEVER : now + RETRY_FIRST;
    }
    return slot->sent_at + PUT_TIMEOUT;
}

apr_interval_time_t sa_outbox__latest_turn(sa_outbox_t *outbox)
{
    apr_interval_time_t due = SA_OS_NEVER;
    apr_interval_time_t now = sa_time_mono();

    if (!outbox->up) {
        return due;
    }
    for (int i = 0; i < SA_LATEST_SLOTS; i++) {
        apr_interval_time_t next = turn_slot(outbox, &outbox->latest.slots[i], now);

        due = next < due ? next : due;
    }
    return due;
}

bool sa_outbox__latest_is_idle(const sa_outbox_t *outbox)
{
    if (!outbox->up || outbox->latest.missing) {
        return true;
    }
    for (int i = 0; i < SA_LATEST_SLOTS; i++) {
        if (outbox->latest.slots[i].report && outbox->latest.slots[i].dirty) {
            return false;
        }
    }
    return true;
}

void sa_outbox__latest_finish(sa_outbox_t *outbox)
{
    for (int i = 0; i < SA_LATEST_SLOTS; i++) {
        sa_report_destroy(outbox->latest.slots[i].report);
        outbox->latest.slots[i].report = NULL;
    }
}
