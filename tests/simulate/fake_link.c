/* The simulated bus.
 *
 * A publish travels, is stored (or not), and its acknowledgement travels back.
 * A connection that breaks loses what is on its way in both directions; that a
 * message was stored and only its acknowledgement is lost is the case that
 * everything else here is about. */
#include "fake_link.h"

#include <stdlib.h>
#include <string.h>

#include <apr_hash.h>
#include <apr_strings.h>

#include "sa_link.h"
#include "sa_os_thread.h"
#include "sa_random.h"
#include "sa_time.h"

#define MS APR_INT64_C(1000)
#define SECOND (1000 * MS)
#define EVENTS_MAX 16384
#define PLACES_MAX 16384
#define STREAM_NAME "SIM"
#define ALL_SUBJECTS ((1u << FAKE_SUBJECTS) - 1)

struct sa_link_message_t {
    sa_link_ack_t ack;
    sa_link_stored_t stored;
};

struct sa_link_t {
    sa_link_edge_fn_t edge;
    void *edge_baton;
    sa_link_ack_fn_t ack;
    void *ack_baton;
};

typedef enum kind_t { CONNECT, ARRIVE, ACK } kind_t;
typedef enum request_t { PUBLISH, PUT, ASK_NAME, ASK_LAST, ASK_AT, ASK_NEXT } request_t;

typedef struct event_t {
    apr_interval_time_t at;
    kind_t kind;
    apr_uint64_t token;
    sa_link_ack_t ack;
    sa_link_stored_t stored;
    char msg_id[64];
    int subject;                /* the place of its last letter in SUBJECTS */
    request_t request;
    apr_uint64_t from;          /* of ASK_NEXT */
} event_t;

typedef enum stream_state_t {
    STREAM_WELL, STREAM_MISSING, STREAM_FULL, STREAM_SILENT
} stream_state_t;

typedef struct stored_t {
    apr_uint64_t place;         /* the newest */
    int generation;             /* of the stream that has it */
    int count;                  /* in that one */
    int count_max;              /* in any */
    apr_interval_time_t at;     /* the newest time it was stored: the duplicate window */
} stored_t;

static struct {
    apr_pool_t *pool;
    sa_random_t random;
    struct sa_link_t *link;
    bool server_up;             /* a connection can be made */
    bool linked;
    stream_state_t stream;
    int loss_percent;           /* of messages, and of acknowledgements */
    apr_interval_time_t delay_max;
    apr_interval_time_t dedupe_window;
    event_t *events;            /* not sorted: few */
    int event_count;
    apr_hash_t *stored;         /* msg id -> stored_t */
    const char *places[PLACES_MAX];     /* the stream: message ids, from place 1 on */
    int subjects[PLACES_MAX];   /* and whose they are */
    unsigned int bound;         /* subjects that the stream binds, a bit each */
    bool heard;                 /* somebody else listens to the others: no 503 for them */
    apr_uint64_t size;
    apr_uint64_t first;         /* what is before this place was purged */
    int generation;             /* grows when all that was stored is gone */
    apr_uint64_t distinct;
    bool denied;                /* the role may not ask what is stored */
    bool ordered;               /* nothing overtakes, as on one connection to one server */
    apr_interval_time_t last_at[ACK + 1];
} bus;

static apr_uint64_t below(apr_uint64_t limit)
{
    return sa_random_below(&bus.random, limit);
}

static bool chance(int percent)
{
    return (int)below(100) < percent;
}

void fake_bus_open(apr_uint64_t seed, apr_interval_time_t dedupe_window, apr_pool_t *pool)
{
    memset(&bus, 0, sizeof(bus));
    bus.pool = pool;
    bus.dedupe_window = dedupe_window;
    bus.events = apr_palloc(pool, EVENTS_MAX * sizeof(*bus.events));
    bus.stored = apr_hash_make(pool);
    sa_random_init_seed(&bus.random, seed);
    bus.denied = below(16) == 0;
    bus.ordered = below(2) == 0;
    bus.first = 1;
    fake_bus_heal();
    fake_bus_shake();
}

bool fake_bus_is_denied(void)
{
    return bus.denied;
}

static event_t *add_event(kind_t kind, apr_interval_time_t delay)
{
    event_t *event;

    SA_ASSERT(bus.event_count < EVENTS_MAX);
    event = &bus.events[bus.event_count++];
    memset(event, 0, sizeof(*event));
    event->kind = kind;
    event->at = sa_time_mono() + delay;
    if (bus.ordered && event->at <= bus.last_at[kind]) {
        event->at = bus.last_at[kind] + 1;
    }
    bus.last_at[kind] = event->at;
    return event;
}

static void drop_events(bool connects_too)
{
    int kept = 0;

    for (int i = 0; i < bus.event_count; i++) {
        if (bus.events[i].kind == CONNECT && !connects_too) {
            bus.events[kept++] = bus.events[i];
        }
    }
    bus.event_count = kept;
}

/* The connection breaks.  Some of what was on its way had arrived already. */
static void break_link(void)
{
    if (!bus.linked) {
        return;
    }
    bus.linked = false;
    drop_events(false);
    bus.link->edge(bus.link->edge_baton, false);
    add_event(CONNECT, (apr_interval_time_t)below(20 * SECOND));
}

void fake_bus_forget_link(void)
{
    drop_events(true);
    bus.linked = false;
    bus.link = NULL;
}

/* All that is stored goes: with the stream, which is made anew, or without. */
static void empty_stream(bool anew)
{
    bus.generation++;
    if (anew) {
        bus.size = 0;
    }
    bus.first = bus.size + 1;
}

void fake_bus_shake(void)
{
    switch (below(12)) {
    case 0:
        break_link();
        break;
    case 1:
        bus.server_up = !bus.server_up;
        if (!bus.server_up) {
            break_link();
        }
        break;
    case 2:
        bus.stream = STREAM_MISSING;
        break;
    case 3:
        bus.stream = STREAM_FULL;
        break;
    case 4:
        bus.stream = STREAM_SILENT;
        break;
    case 5:
        bus.loss_percent = (int)below(40);
        break;
    case 6:
        bus.delay_max = MS + (apr_interval_time_t)below(8 * SECOND);
        break;
    case 7:
        empty_stream(true);
        break;
    case 8:
        empty_stream(false);
        break;
    case 9:
        bus.bound = (unsigned int)below(ALL_SUBJECTS + 1);
        bus.heard = chance(50);
        break;
    default:
        fake_bus_heal();
        break;
    }
}

void fake_bus_heal(void)
{
    bus.server_up = true;
    bus.stream = STREAM_WELL;
    bus.bound = ALL_SUBJECTS;
    bus.loss_percent = 0;
    bus.delay_max = 20 * MS;
}

apr_interval_time_t fake_bus_next(void)
{
    apr_interval_time_t next = SA_OS_NEVER;

    for (int i = 0; i < bus.event_count; i++) {
        next = bus.events[i].at < next ? bus.events[i].at : next;
    }
    return next;
}

/* ---- the stream ----------------------------------------------------------- */

static void answer(const event_t *message, const sa_link_ack_t *ack,
                   const sa_link_stored_t *stored)
{
    int copies = chance(bus.loss_percent) ? 0 : chance(5) ? 2 : 1;

    for (int i = 0; i < copies; i++) {
        event_t *event = add_event(ACK, (apr_interval_time_t)below((apr_uint64_t)bus.delay_max));

        event->token = message->token;
        event->ack = *ack;
        event->stored = *stored;
    }
}

static void store(const event_t *message, sa_link_ack_t *ack)
{
    stored_t *stored = apr_hash_get(bus.stored, message->msg_id, APR_HASH_KEY_STRING);

    ack->stored = true;
    apr_cpystrn(ack->stream, STREAM_NAME, sizeof(ack->stream));
    if (stored && stored->generation == bus.generation
        && sa_time_mono() - stored->at < bus.dedupe_window) {
        ack->duplicate = true;
        ack->seq = stored->place;
        return;
    }
    if (!stored) {
        stored = apr_pcalloc(bus.pool, sizeof(*stored));
        apr_hash_set(bus.stored, apr_pstrdup(bus.pool, message->msg_id), APR_HASH_KEY_STRING,
                     stored);
    }
    if (stored->count == 0) {
        bus.distinct++;
    }
    stored->count = stored->generation == bus.generation ? stored->count + 1 : 1;
    stored->generation = bus.generation;
    if (stored->count > stored->count_max) {
        stored->count_max = stored->count;
    }
    stored->at = sa_time_mono();
    SA_ASSERT(bus.size + 1 < PLACES_MAX);
    stored->place = ++bus.size;
    ack->seq = stored->place;
    bus.places[stored->place] = apr_pstrdup(bus.pool, message->msg_id);
    bus.subjects[stored->place] = message->subject;
}

static bool is_bound(const event_t *message)
{
    return bus.bound & (1u << message->subject);
}

/* Where the answer to MESSAGE stands; 0: nowhere. */
static apr_uint64_t find_place(const event_t *message)
{
    apr_uint64_t place = message->from < bus.first ? bus.first : message->from;

    if (message->request == ASK_AT) {
        return message->from >= bus.first && message->from <= bus.size ? message->from : 0;
    }
    if (message->request == ASK_NEXT) {
        while (place <= bus.size && bus.subjects[place] != message->subject) {
            place++;
        }
        return place <= bus.size ? place : 0;
    }
    for (place = bus.size; place >= bus.first && bus.subjects[place] != message->subject;) {
        place--;
    }
    return place >= bus.first ? place : 0;
}

static void look(const event_t *message, sa_link_stored_t *stored)
{
    apr_uint64_t place;

    if (message->request == ASK_NAME) {
        apr_cpystrn(stored->stream,
                    bus.stream == STREAM_MISSING || !is_bound(message) ? "" : STREAM_NAME,
                    sizeof(stored->stream));
        return;
    }
    if (bus.stream == STREAM_MISSING) {
        return;
    }
    place = find_place(message);
    stored->missing = place == 0;
    if (!stored->missing) {
        stored->found = true;
        stored->seq = place;
        apr_cpystrn(stored->msg_id, bus.places[place], sizeof(stored->msg_id));
    }
}

static void arrive(const event_t *message)
{
    sa_link_ack_t ack = {0};
    sa_link_stored_t stored = {0};

    if (message->request == PUT) {
        ack.stored = bus.stream == STREAM_WELL;
        ack.no_stream = bus.stream == STREAM_MISSING;
        answer(message, &ack, &stored);
        return;
    }
    if (message->request != PUBLISH) {
        if (bus.stream != STREAM_SILENT && !bus.denied) {
            look(message, &stored);
            answer(message, &ack, &stored);
        }
        return;
    }
    if (!is_bound(message)) {
        if (bus.heard) {
            return;
        }
        ack.no_stream = true;
        answer(message, &ack, &stored);
        return;
    }
    switch (bus.stream) {
    case STREAM_WELL:
        store(message, &ack);
        break;
    case STREAM_MISSING:
        ack.no_stream = true;
        break;
    case STREAM_FULL:
        ack.error_code = 10077;
        apr_cpystrn(ack.error, "maximum messages exceeded", sizeof(ack.error));
        break;
    case STREAM_SILENT:
        return;
    }
    answer(message, &ack, &stored);
}

static void happen(const event_t *event)
{
    struct sa_link_message_t message;
    struct sa_link_message_t *pointer = &message;

    switch (event->kind) {
    case CONNECT:
        if (!bus.link) {
            return;
        }
        if (!bus.server_up || chance(20)) {
            add_event(CONNECT, (apr_interval_time_t)below(30 * SECOND));
            return;
        }
        bus.linked = true;
        bus.link->edge(bus.link->edge_baton, true);
        break;
    case ARRIVE:
        arrive(event);
        break;
    case ACK:
        message.ack = event->ack;
        message.stored = event->stored;
        bus.link->ack(bus.link->ack_baton, event->token, &pointer);
        break;
    }
}

/* The earliest event due by NOW, taken out. */
static bool take_event(event_t *event, apr_interval_time_t now)
{
    int earliest = -1;

    for (int i = 0; i < bus.event_count; i++) {
        if (bus.events[i].at <= now
            && (earliest < 0 || bus.events[i].at < bus.events[earliest].at)) {
            earliest = i;
        }
    }
    if (earliest < 0) {
        return false;
    }
    *event = bus.events[earliest];
    bus.events[earliest] = bus.events[--bus.event_count];
    return true;
}

void fake_bus_advance(apr_interval_time_t now)
{
    event_t event;

    while (take_event(&event, now)) {
        happen(&event);
    }
}

int fake_stream_count(const char *boot, apr_int64_t seq)
{
    char id[64];
    const stored_t *stored;

    apr_snprintf(id, sizeof(id), "sim-%s-%" APR_INT64_T_FMT, boot, seq);
    stored = apr_hash_get(bus.stored, id, APR_HASH_KEY_STRING);
    return stored ? stored->count_max : 0;
}

apr_uint64_t fake_stream_size(void)
{
    return bus.distinct;
}

/* ---- the link's face ------------------------------------------------------ */

sa_error_t *sa_link_create(sa_link_t **link, apr_pool_t *pool)
{
    *link = apr_pcalloc(pool, sizeof(**link));
    bus.link = *link;
    add_event(CONNECT, (apr_interval_time_t)below(SECOND));
    return SA_OK;
}

void sa_link_on_edge(sa_link_t *link, sa_link_edge_fn_t fn, void *baton)
{
    link->edge = fn;
    link->edge_baton = baton;
}

void sa_link_on_ack(sa_link_t *link, sa_link_ack_fn_t fn, void *baton)
{
    link->ack = fn;
    link->ack_baton = baton;
}

size_t sa_link_max_payload(sa_link_t *link)
{
    (void)link;
    return 1 << 20;
}

sa_error_t *sa_link_probe(sa_link_t *link, apr_interval_time_t timeout)
{
    (void)link;
    (void)timeout;
    return bus.linked ? SA_OK : sa_error(SA_ERR_LINK_DOWN, NULL, NULL);
}

sa_error_t *sa_link_publish(sa_link_t *link, const char *subject, const char *headers,
                            const void *data, size_t length)
{
    (void)subject;
    (void)headers;
    (void)data;
    (void)length;
    return sa_link_probe(link, 0);
}

/* Of the report, or the one that is asked about: "...telemetry.a" and so on. */
static int subject_of(request_t request, const char *subject, const char *data)
{
    static const char name[] = "telemetry.";
    const char *found = strstr(request == PUBLISH ? subject : data ? data : "", name);

    return found ? (found[sizeof(name) - 1] - 'a') % FAKE_SUBJECTS : 0;
}

static request_t request_of(const char *subject, const char *data, size_t length)
{
    if (strncmp(subject, "$KV.", 4) == 0) {
        return PUT;
    }
    if (strstr(subject, ".STREAM.NAMES")) {
        return ASK_NAME;
    }
    if (!strstr(subject, ".MSG.GET.") || length == 0) {
        return PUBLISH;
    }
    return strstr(data, "last_by_subj") ? ASK_LAST
           : strstr(data, "next_by_subj") ? ASK_NEXT : ASK_AT;
}

sa_error_t *sa_link_publish_acked(sa_link_t *link, const char *subject, const char *headers,
                                  const char *msg_id, const void *data, size_t length,
                                  apr_uint64_t token)
{
    const char *seq = length > 0 ? strstr(data, "\"seq\":") : NULL;
    event_t *event;

    (void)headers;
    SA_TRY(sa_link_probe(link, 0));
    if (chance(bus.loss_percent)) {
        return SA_OK;           /* into the void */
    }
    event = add_event(ARRIVE, (apr_interval_time_t)below((apr_uint64_t)bus.delay_max));
    event->token = token;
    event->request = request_of(subject, data, length);
    event->from = seq ? strtoull(seq + 6, NULL, 10) : 0;
    event->subject = subject_of(event->request, subject, data);
    apr_cpystrn(event->msg_id, msg_id ? msg_id : "", sizeof(event->msg_id));
    if (chance(3)) {
        event_t twin = *event;

        twin.at += (apr_interval_time_t)below((apr_uint64_t)bus.delay_max);
        *add_event(ARRIVE, 0) = twin;
    }
    return SA_OK;
}

bool sa_link_is_denied(sa_link_t *link, const char *subject)
{
    (void)link;
    return bus.denied && strncmp(subject, "$JS.API.", 8) == 0;
}

void sa_link_read_ack(sa_link_ack_t *ack, const sa_link_message_t *message)
{
    *ack = message->ack;
}

void sa_link_read_stored(sa_link_stored_t *stored, const sa_link_message_t *message)
{
    *stored = message->stored;
}
