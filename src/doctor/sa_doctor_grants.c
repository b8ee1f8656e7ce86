/* doctor: what the role lets us do, and who stores what we publish.
 *
 * Subscriptions are made as the agent makes them: a subject that is denied comes back by
 * itself.  Requests that come meanwhile reach the agent as ever; we say nothing to them.
 *
 * Publishing is tried without a receiver.  A server from 2.11 on can trace a message
 * (Nats-Trace-Dest, Nats-Trace-Only; NATS, message tracing): it looks at the grant, finds out
 * which streams would store it, says so to the subject named, and delivers it to nobody.  That
 * subject is one of our inbox, to which the role must let us publish.  Where tracing cannot be
 * had, a subject that a stream should store is tried with a stream named that is not there
 * (Nats-Expected-Stream): JetStream then refuses the message instead of storing it; whoever
 * else listens to the subject sees one message without data.  A heartbeat has no stream and
 * is then not tried: it would look like life.
 *
 * Inferred, not tried: that a grant for a subject goes for the payload of a real report too. */
#include "sa_doctor_bus.h"

#include <stdlib.h>
#include <string.h>

#include <apr_file_info.h>
#include <apr_strings.h>

#include "sa_json.h"
#include "sa_stats.h"
#include "sa_time.h"

/* The bus answers at once, or not at all. */
#define ANSWER_TIME apr_time_from_msec(1200)
/* Behind the first trace: a stream on another server speaks for itself. */
#define TRACE_TAIL apr_time_from_msec(150)
/* "expected stream does not match" (nats-server server/errors.json) */
#define EXPECTED_STREAM 10060
#define CLOCK_WARN apr_time_from_sec(5)
#define CLOCK_FAIL apr_time_from_sec(60)

/* ---- asking ----------------------------------------------------------------------------- */

typedef struct trial_t {
    sa_doctor__exam_t *exam;
    apr_uint64_t token;
    bool traced;                /* the server says what would become of it */
    bool answered;
    bool no_stream;
    bool refused;               /* by a stream that is there */
    char stream[SA_LINK_STREAM_NAME];
    char trouble[128];
} trial_t;

static bool is_denied(sa_doctor__exam_t *exam, const char *subject)
{
    return sa_link_is_denied(exam->bus->link, subject);
}

/* The inbox' subject itself, as the link notes it. */
static bool is_trace_denied(sa_doctor__exam_t *exam)
{
    return is_denied(exam, "_INBOX.>");
}

static void read_trace_event(trial_t *trial, const cJSON *event)
{
    const char *type = sa_json_text(event, "type");
    const char *stream = sa_json_text(event, "stream");
    const char *error = sa_json_text(event, "error");

    if (!type) {
        return;
    }
    if (strcmp(type, "in") == 0 && error) {
        apr_cpystrn(trial->trouble, error, sizeof(trial->trouble));
    }
    if (strcmp(type, "js") == 0 && stream) {
        apr_cpystrn(trial->stream, stream, sizeof(trial->stream));
    }
}

/* Half of the way there is a guess: what matters is seconds. */
static void note_clock(sa_doctor__bus_t *bus, const cJSON *event, apr_time_t at)
{
    apr_time_t theirs = sa_status_time(sa_json_text(event, "ts"));

    if (theirs != 0 && !bus->has_offset) {
        bus->has_offset = true;
        /* whole seconds: in the middle of one */
        bus->offset = at - theirs - apr_time_from_msec(500);
    }
}

static void read_trace(trial_t *trial, const sa_doctor__answer_t *answer)
{
    const cJSON *event;
    size_t length;
    const char *data = sa_link_message_data(answer->message, &length);
    cJSON *json;
    sa_error_t *err = sa_json_parse(&json, data, length, trial->exam->pool);

    if (err) {
        sa_error_clear(err);        /* compressed, or of a server to come: no answer to us */
        return;
    }
    trial->traced = true;
    cJSON_ArrayForEach(event, cJSON_GetObjectItem(json, "events")) {
        read_trace_event(trial, event);
        note_clock(trial->exam->bus, event, answer->at);
    }
}

static void read_answer(trial_t *trial, const sa_doctor__answer_t *answer)
{
    sa_link_ack_t ack;

    if (answer->trace) {
        read_trace(trial, answer);
        return;
    }
    sa_link_read_ack(&ack, answer->message);
    trial->answered = true;
    trial->no_stream = ack.no_stream;
    trial->refused = ack.error_code == EXPECTED_STREAM;
    if (!ack.no_stream && !trial->refused) {
        apr_cpystrn(trial->trouble, ack.error, sizeof(trial->trouble));
    }
}

/* Wait for what belongs to TRIAL and read it; 503 is not waited behind, a trace is. */
static void hear(trial_t *trial, const char *subject)
{
    sa_doctor__bus_t *bus = trial->exam->bus;
    apr_interval_time_t deadline = sa_time_mono() + ANSWER_TIME;
    apr_interval_time_t tail = 0;
    int read = 0;

    deadline = deadline < trial->exam->deadline ? deadline : trial->exam->deadline;
    for (;;) {
        sa_doctor__answer_t answer = {0};
        bool found = false;

        sa_os_mutex_lock(bus->mutex);
        if (read == bus->answer_count) {
            apr_interval_time_t look = sa_time_mono() + apr_time_from_msec(20);

            sa_os_cond_wait(bus->cond, bus->mutex, look < deadline ? look : deadline);
        }
        if (read < bus->answer_count) {
            answer = bus->answers[read++];
            found = answer.token == trial->token;
        }
        sa_os_mutex_unlock(bus->mutex);
        if (found) {
            read_answer(trial, &answer);
        }
        if (trial->traced && tail == 0) {
            tail = sa_time_mono() + TRACE_TAIL;
        }
        if (is_denied(trial->exam, subject) || trial->stream[0] || (trial->refused && bus->no_trace)
            || (trial->answered && !trial->no_stream && bus->no_trace)
            || sa_time_mono() >= deadline
            || (tail != 0 && sa_time_mono() >= tail)
            || (trial->no_stream && trial->exam->bus->no_trace)) {
            break;
        }
    }
}

/* What was heard is forgotten. */
static void forget_answers(sa_doctor__bus_t *bus)
{
    int count;
    sa_link_message_t *messages[SA_DOCTOR__ANSWERS];

    sa_os_mutex_lock(bus->mutex);
    count = bus->answer_count;
    for (int i = 0; i < count; i++) {
        messages[i] = bus->answers[i].message;
    }
    bus->answer_count = 0;
    sa_os_mutex_unlock(bus->mutex);
    for (int i = 0; i < count; i++) {
        sa_link_message_destroy(messages[i]);
    }
}

/* Say nothing to anybody on SUBJECT, and learn whether we may. */
static sa_doctor__outcome_t try_subject(trial_t *trial, sa_doctor__exam_t *exam,
                                        const char *subject, bool stored)
{
    sa_doctor__bus_t *bus = exam->bus;
    const char *guard = stored ? "Nats-Expected-Stream: no-such-stream-stone-age-doctor\n" : "";
    const char *trace;
    sa_error_t *err;

    memset(trial, 0, sizeof(*trial));
    trial->exam = exam;
    trial->token = ++bus->token;
    if (bus->no_trace && !stored) {
        return SA_DOCTOR__UNKNOWN;
    }
    trace = bus->no_trace ? "" : apr_psprintf(exam->pool, "Nats-Trace-Dest: %s.%"
                                              APR_UINT64_T_HEX_FMT "\nNats-Trace-Only: true\n",
                                              bus->inbox, trial->token);
    err = sa_link_publish_acked(bus->link, subject, apr_pstrcat(exam->pool, guard, trace, NULL),
                                NULL, "", 0, trial->token);
    if (err) {
        sa_error_text(err, trial->trouble, sizeof(trial->trouble));
        sa_error_clear(err);
        return SA_DOCTOR__UNKNOWN;
    }
    hear(trial, subject);
    forget_answers(bus);
    if (is_denied(exam, subject)) {
        return SA_DOCTOR__DENIED_IT;
    }
    if (trial->traced || trial->refused || (trial->answered && !trial->no_stream)) {
        return trial->stream[0] || trial->refused || !stored ? SA_DOCTOR__ALLOWED
                                                             : SA_DOCTOR__NO_STREAM;
    }
    return trial->no_stream ? SA_DOCTOR__NO_STREAM : SA_DOCTOR__UNKNOWN;
}

/* Servers before 2.11 would deliver it. */
static bool can_trace(const char *version)
{
    char *rest;
    long major = strtol(version, &rest, 10);
    long minor = *rest == '.' ? strtol(rest + 1, NULL, 10) : 0;

    return major > 2 || (major == 2 && minor >= 11);
}

/* The first trial tells whether the role lets traces come to us. */
static void prepare(sa_doctor__exam_t *exam)
{
    const sa_doctor__server_t *server = exam->bus->server;

    exam->bus->no_trace = !server || !can_trace(server->version) || is_trace_denied(exam);
}

/* A trace that the role does not let through: once more, without. */
static sa_doctor__outcome_t try_twice(trial_t *trial, sa_doctor__exam_t *exam,
                                      const char *subject, bool stored)
{
    sa_doctor__outcome_t outcome = try_subject(trial, exam, subject, stored);

    if (!exam->bus->no_trace && is_trace_denied(exam)) {
        exam->bus->no_trace = true;
        outcome = try_subject(trial, exam, subject, stored);
    }
    return outcome;
}

static const char *grant(sa_doctor__exam_t *exam, const char *what, const char *subject)
{
    return apr_psprintf(exam->pool, "Add the grant \"allow %s: %s\" to the device's role.", what,
                        subject);
}

/* ---- subscribing ------------------------------------------------------------------------ */

static void subscribe_from_inside(sa_doctor__exam_t *exam)
{
    for (int i = 0; i < exam->chart->denied_count; i++) {
        const char *denied = exam->chart->denied[i];

        if (strncmp(denied, "allow subscribe: ", 17) == 0) {
            sa_doctor__fail(exam, grant(exam, "subscribe", denied + 17), "denied: %s",
                            denied + 17);
        }
    }
    if (sa_stats_read(SA_STAT_link_connected)) {
        sa_doctor__ok(exam, "nothing that is needed was denied");
    } else {
        sa_doctor__skip(exam, "not connected");
    }
}

void sa_doctor__subscribe(sa_doctor__exam_t *exam)
{
    sa_doctor__bus_t *bus = exam->bus;
    bool quiet = true;

    if (exam->chart) {
        subscribe_from_inside(exam);
        return;
    }
    if (!bus || !bus->logged_in) {
        sa_doctor__skip(exam, "not logged in");
        return;
    }
    sa_error_clear(sa_link_settle(bus->link, sa_doctor__left(exam)));
    if (sa_link_is_subscribe_denied(bus->link, "_INBOX.>")) {
        sa_doctor__fail(exam, grant(exam, "subscribe", "_INBOX.>"), "denied: _INBOX.>, where "
                        "acknowledgements come to: no report is ever done");
    }
    for (int i = 0; i < bus->subscribed_count; i++) {
        if (!sa_link_is_subscribe_denied(bus->link, bus->subscribed[i])) {
            continue;
        }
        if (bus->optional[i]) {
            quiet = false;
        } else {
            sa_doctor__fail(exam, grant(exam, "subscribe", bus->subscribed[i]), "denied: %s",
                            bus->subscribed[i]);
        }
    }
    sa_doctor__ok(exam, "%s, _INBOX.>%s", sa_doctor__subject(exam, "cmd.*"),
                  quiet ? "" : "; $SRV is denied, and optional");
}

/* ---- publishing ------------------------------------------------------------------------- */

/* What is switched on, as subjects; behind them the ones that a stream should store. */
static apr_array_header_t *reports_of(const sa_doctor__exam_t *exam)
{
    const sa_config_t *config = exam->config;
    apr_array_header_t *list = apr_array_make(exam->pool, 16, sizeof(const char *));
    const struct {
        bool on;
        const char *name;
    } tasks[] = {
        {config->metrics_enabled, "telemetry.system"},
        {config->services_enabled && config->services->nelts > 0, "telemetry.service"},
        {config->inventory_enabled, "telemetry.inventory"},
        {config->agent_metrics_enabled, "telemetry.metrics.agent"}
    };

    for (size_t i = 0; i < sizeof(tasks) / sizeof(tasks[0]); i++) {
        if (tasks[i].on) {
            APR_ARRAY_PUSH(list, const char *) = sa_doctor__subject(exam, tasks[i].name);
        }
    }
    for (int i = 0; i < config->exporters->nelts; i++) {
        const char *name = APR_ARRAY_IDX(config->exporters, i, sa_exporter_config_t).name;

        APR_ARRAY_PUSH(list, const char *) =
            sa_doctor__subject(exam, apr_pstrcat(exam->pool, "telemetry.metrics.", name, NULL));
    }
    return list;
}

static void publish_from_inside(sa_doctor__exam_t *exam)
{
    for (int i = 0; i < exam->chart->denied_count; i++) {
        const char *denied = exam->chart->denied[i];

        if (strncmp(denied, "allow publish: ", 15) == 0) {
            sa_doctor__fail(exam, grant(exam, "publish", denied + 15), "denied: %s", denied + 15);
        }
    }
    if (sa_stats_read(SA_STAT_link_connected)) {
        sa_doctor__ok(exam, "nothing that was published was denied");
    } else {
        sa_doctor__skip(exam, "not connected");
    }
}

static void try_heartbeat(sa_doctor__exam_t *exam)
{
    const char *subject = sa_doctor__subject(exam, "heartbeat");
    trial_t trial;
    sa_doctor__outcome_t outcome = try_twice(&trial, exam, subject, false);

    if (outcome == SA_DOCTOR__DENIED_IT) {
        sa_doctor__fail(exam, grant(exam, "publish", subject), "denied: %s", subject);
    }
    if (trial.stream[0]) {
        exam->bus->beat_stream = true;
        apr_cpystrn(exam->bus->beat_stream_name, trial.stream,
                    sizeof(exam->bus->beat_stream_name));
    }
}

void sa_doctor__publish(sa_doctor__exam_t *exam)
{
    apr_array_header_t *reports;
    trial_t trial;
    int unknown = 0;

    if (exam->chart) {
        publish_from_inside(exam);
        return;
    }
    if (!exam->bus || !exam->bus->logged_in) {
        sa_doctor__skip(exam, "not logged in");
        return;
    }
    prepare(exam);
    if (exam->config->heartbeat_enabled) {
        try_heartbeat(exam);
    }
    reports = reports_of(exam);
    for (int i = 0; i < reports->nelts && sa_doctor__left(exam) > 0; i++) {
        const char *subject = APR_ARRAY_IDX(reports, i, const char *);
        sa_doctor__outcome_t outcome = try_twice(&trial, exam, subject, true);

        unknown += outcome == SA_DOCTOR__UNKNOWN;
        if (outcome == SA_DOCTOR__DENIED_IT) {
            sa_doctor__fail(exam, grant(exam, "publish", apr_pstrcat(exam->pool,
                            sa_doctor__subject(exam, "telemetry"), ".>", NULL)), "denied: %s",
                            subject);
        }
    }
    exam->bus->published = true;
    sa_doctor__ok(exam, "%d subjects of telemetry%s%s", reports->nelts,
                  !exam->config->heartbeat_enabled ? ""
                  : exam->bus->no_trace ? "; the heartbeat was not tried: it would look like life"
                  : " and the heartbeat",
                  unknown ? "; some gave no answer: a stream that is slow, or none" : "");
}

/* ---- streams ---------------------------------------------------------------------------- */

static void stream_from_inside(sa_doctor__exam_t *exam)
{
    char reason[SA_STAT_TEXT_SIZE];

    if (sa_stats_read(SA_STAT_stream_missing)) {
        sa_doctor__fail(exam, sa_event_row(SA_EVENT_delivery_stalled)->advice,
                        "reports are not being stored: %s",
                        sa_stats_text(SA_STAT_TEXT_delivery_error, reason));
    } else if (sa_stats_read(SA_STAT_reports_stored) > 0) {
        sa_doctor__ok(exam, "%" APR_UINT64_T_FMT " reports stored",
                      sa_stats_read(SA_STAT_reports_stored));
    } else {
        sa_doctor__skip(exam, "nothing was offered yet");
    }
}

/* One of what is published; if that is denied, the grant is what is missing. */
void sa_doctor__stream(sa_doctor__exam_t *exam)
{
    apr_array_header_t *reports;
    sa_doctor__outcome_t outcome;
    const char *subject;
    trial_t trial;

    if (exam->chart) {
        stream_from_inside(exam);
        return;
    }
    if (!exam->bus || !exam->bus->logged_in) {
        sa_doctor__skip(exam, "not logged in");
        return;
    }
    reports = reports_of(exam);
    subject = reports->nelts > 0 ? APR_ARRAY_IDX(reports, 0, const char *)
                                 : sa_doctor__subject(exam, "telemetry.doctor");
    outcome = try_twice(&trial, exam, subject, true);
    switch (outcome) {
    case SA_DOCTOR__ALLOWED:
        sa_doctor__ok(exam, trial.stream[0] ? "%s%s" : "%sone is there", "", trial.stream);
        break;
    case SA_DOCTOR__DENIED_IT:
        sa_doctor__skip(exam, "cannot be asked: publishing is denied");
        break;
    case SA_DOCTOR__NO_STREAM:
        sa_doctor__fail(exam, sa_event_row(SA_EVENT_delivery_stalled)->advice,
                        "no stream binds %s: reports stay in the spool%s", subject,
                        exam->bus->server && !exam->bus->server->jetstream
                        ? "; the server has no JetStream" : "");
        break;
    case SA_DOCTOR__UNKNOWN:
        sa_doctor__fail(exam, sa_event_row(SA_EVENT_delivery_stalled)->advice,
                        "nobody acknowledges %s: no stream binds it, and somebody else listens, "
                        "or JetStream hangs%s%s", subject, trial.trouble[0] ? ": " : "",
                        trial.trouble);
        break;
    }
}

/* $JS.API.STREAM.NAMES for SUBJECT: names separated by ", " ("" for none), or NULL: no answer. */
static const char *streams_of(sa_doctor__exam_t *exam, const char *subject)
{
    static const char api[] = "$JS.API.STREAM.NAMES";
    sa_doctor__bus_t *bus = exam->bus;
    const char *request = apr_psprintf(exam->pool, "{\"subject\":\"%s\"}", subject);
    apr_uint64_t token = ++bus->token;
    apr_interval_time_t deadline = sa_time_mono() + ANSWER_TIME;
    const char *names = NULL;
    sa_error_t *err = sa_link_publish_acked(bus->link, api, NULL, NULL, request, strlen(request),
                                            token);

    if (err) {
        sa_error_clear(err);        /* not connected any more: the same as no answer */
        return NULL;
    }
    while (!names && !is_denied(exam, api) && sa_time_mono() < deadline) {
        sa_link_message_t *message = NULL;
        const cJSON *name;
        const char *data;
        size_t length;
        cJSON *json;

        sa_os_mutex_lock(bus->mutex);
        sa_os_cond_wait(bus->cond, bus->mutex, sa_time_mono() + apr_time_from_msec(20));
        for (int i = 0; i < bus->answer_count; i++) {
            message = bus->answers[i].token == token && !bus->answers[i].trace
                ? bus->answers[i].message : message;
        }
        sa_os_mutex_unlock(bus->mutex);
        if (!message) {
            continue;
        }
        data = sa_link_message_data(message, &length);
        err = sa_json_parse(&json, data, length, exam->pool);
        if (err || cJSON_GetObjectItem(json, "error")) {
            sa_error_clear(err);    /* 503: there is no JetStream */
            break;
        }
        names = "";
        cJSON_ArrayForEach(name, cJSON_GetObjectItem(json, "streams")) {
            names = apr_pstrcat(exam->pool, names, *names ? ", " : "",
                                cJSON_GetStringValue(name) ? cJSON_GetStringValue(name) : "",
                                NULL);
        }
    }
    forget_answers(bus);
    return names;
}

void sa_doctor__commands_stream(sa_doctor__exam_t *exam)
{
    const char *names;

    if (exam->chart) {
        sa_doctor__skip(exam, "asked by stone-age-agent doctor");
        return;
    }
    if (!exam->bus || !exam->bus->logged_in) {
        sa_doctor__skip(exam, "not logged in");
        return;
    }
    names = streams_of(exam, sa_doctor__subject(exam, "cmd.ping"));
    if (names && *names) {
        sa_doctor__fail(exam, NULL, "the stream %s binds the commands: whoever asks gets its "
                        "acknowledgement before our answer", names);
    } else if (names) {
        sa_doctor__ok(exam, "no stream binds %s", sa_doctor__subject(exam, "cmd.>"));
    } else if (exam->bus->beat_stream) {
        sa_doctor__warn(exam, NULL, "the stream %s binds the heartbeat, and so the commands too, "
                        "as it seems; allow publish: $JS.API.STREAM.NAMES to let doctor ask",
                        exam->bus->beat_stream_name);
    } else if (exam->bus->published && !exam->bus->no_trace) {
        sa_doctor__ok(exam, "inferred: no stream binds the heartbeat");
    } else {
        sa_doctor__skip(exam, "cannot be asked without allow publish: $JS.API.STREAM.NAMES");
    }
}

/* ---- twin and clock --------------------------------------------------------------------- */

static bool uses_twin(const sa_config_t *config)
{
    return (config->heartbeat_enabled && config->heartbeat_twin) || config->metrics_twin
        || config->services_twin;
}

static void twin_from_inside(sa_doctor__exam_t *exam)
{
    if (exam->chart->twin_missing) {
        sa_doctor__fail(exam, sa_event_row(SA_EVENT_twin_missing)->advice,
                        "the digital twin does not take our values");
    } else if (sa_stats_read(SA_STAT_twin_puts) > 0) {
        sa_doctor__ok(exam, "%" APR_UINT64_T_FMT " values stored",
                      sa_stats_read(SA_STAT_twin_puts));
    } else {
        sa_doctor__skip(exam, "nothing was stored yet");
    }
}

void sa_doctor__twin(sa_doctor__exam_t *exam)
{
    const char *subject = apr_pstrcat(exam->pool, "$KV.twin.thing.", exam->config->code,
                                      ".status", NULL);
    const char *mend = sa_event_row(SA_EVENT_twin_missing)->advice;
    trial_t trial;

    if (!uses_twin(exam->config)) {
        sa_doctor__skip(exam, "the twin is switched off");
        return;
    }
    if (exam->chart) {
        twin_from_inside(exam);
        return;
    }
    if (!exam->bus || !exam->bus->logged_in) {
        sa_doctor__skip(exam, "not logged in");
        return;
    }
    switch (try_twice(&trial, exam, subject, true)) {
    case SA_DOCTOR__ALLOWED:
        sa_doctor__ok(exam, "the bucket takes %s", subject);
        break;
    case SA_DOCTOR__DENIED_IT:
        sa_doctor__fail(exam, grant(exam, "publish", apr_pstrcat(exam->pool, "$KV.twin.thing.",
                        exam->config->code, ".>", NULL)), "denied: %s", subject);
        break;
    case SA_DOCTOR__NO_STREAM:
        sa_doctor__fail(exam, mend, "there is no KV bucket twin");
        break;
    case SA_DOCTOR__UNKNOWN:
        sa_doctor__fail(exam, mend, "the KV bucket twin does not answer");
        break;
    }
}

/* Without anybody's time: what was written here cannot be of tomorrow. */
static void guess_clock(sa_doctor__exam_t *exam)
{
    apr_finfo_t info;
    apr_array_header_t *files = sa_config_files(exam->config, exam->pool);
    const char *path = files->nelts > 0 ? APR_ARRAY_IDX(files, 0, const char *) : "";

    if (*path && apr_stat(&info, path, APR_FINFO_MTIME, exam->pool) == APR_SUCCESS
        && info.mtime > sa_time_now() + CLOCK_FAIL) {
        sa_doctor__fail(exam, NULL, "the clock is behind the last change of %s by %s", path,
                        sa_doctor__span(info.mtime - sa_time_now(), exam->pool));
        return;
    }
    sa_doctor__skip(exam, "no server told its time");
}

static bool read_offset(sa_doctor__exam_t *exam, apr_interval_time_t *offset, const char **whose)
{
    sa_doctor__shared_t *shared = exam->shared;
    bool known;

    if (exam->bus && exam->bus->has_offset) {
        *offset = exam->bus->offset;
        *whose = "the bus";
        return true;
    }
    sa_os_mutex_lock(shared->mutex);
    while (!shared->has_offset && !shared->platform_over && sa_doctor__left(exam) > 0) {
        sa_os_cond_wait(shared->cond, shared->mutex, exam->deadline);
    }
    known = shared->has_offset;
    *offset = shared->offset;
    sa_os_mutex_unlock(shared->mutex);
    *whose = "the platform";
    return known;
}

void sa_doctor__clock(sa_doctor__exam_t *exam)
{
    apr_interval_time_t offset;
    apr_interval_time_t size;
    const char *whose;
    const char *words;

    if (!read_offset(exam, &offset, &whose)) {
        guess_clock(exam);
        return;
    }
    size = offset < 0 ? -offset : offset;
    words = apr_psprintf(exam->pool, "%s %s that of %s", sa_doctor__span(size, exam->pool),
                         offset < 0 ? "behind" : "ahead of", whose);
    if (size >= CLOCK_FAIL) {
        sa_doctor__fail(exam, NULL, "this machine's clock is %s", words);
    } else if (size >= CLOCK_WARN) {
        sa_doctor__warn(exam, NULL, "this machine's clock is %s", words);
    } else {
        sa_doctor__ok(exam, "within %s of that of %s",
                      size < apr_time_from_sec(2) ? "2 s" : "5 s", whose);
    }
}
