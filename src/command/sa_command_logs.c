/* command: logs.  The newest lines of a file that an entry of allowed_log_paths allows,
 * or of the journal of a unit of allowed_services.
 *
 *     {"log_path": PATH | "unit": NAME, "lines": 1 to 10000 (100), "since": TIME | "1h",
 *      "grep": TEXT, "rotated": bool, "follow": "10s", "stream": bool}
 *
 * A whole reply is made from its end: the lines come newest first, each is put before
 * the last one as it will look in JSON, and when it is full the older ones are only
 * counted.  A streamed reply finds in the same way where to begin, and then reads
 * forwards.  A worker's thread. */
#include <string.h>

#include <apr_file_info.h>
#include <apr_strings.h>

#include "sa_buf.h"
#include "sa_command_policy.h"
#include "sa_command_private.h"
#include "sa_log_tail.h"
#include "sa_log_time.h"
#include "sa_os_logs.h"
#include "sa_pool.h"
#include "sa_time.h"

#define LINES_DEFAULT 100
#define LINES_MAX 10000
#define PATH_LENGTH_MAX 4095
#define PATH_SHOWN_MAX 256
#define FOLLOW_MAX (5 * 60 * APR_INT64_C(1000000))
#define POLL (APR_INT64_C(250) * 1000)
/* Is it still the same file?  Asked at every so manyth poll that brought nothing. */
#define POLLS_TO_REOPEN 4
/* "one without data every 5 s of silence" */
#define SILENCE_MAX (5 * APR_INT64_C(1000000))
#define JOURNAL_TIME (10 * APR_INT64_C(1000000))
/* Of a reply, what is not lines, the name of the log not counted. */
#define REPLY_REST 512
/* Over-long lines are those that fill it. */
#define FORWARD_BLOCK (SA_LOG_LINE_MAX + 4096)
#define EMIT_SIZE (32 * 1024)
/* Each byte may become three. */
#define EMIT_MAX (3 * FORWARD_BLOCK + EMIT_SIZE + 16)

/* How far the newest lines have been taken in. */
typedef struct taken_t {
    int kept;
    int dropped;                /* for want of room in the reply */
    int cut;
    size_t start;               /* of the text, in the reply's room */
    apr_int64_t offset;         /* in the present file, of the oldest one */
} taken_t;

typedef struct logs_t {
    sa_call_t *call;
    const char *path;           /* one of these two */
    const char *unit;
    int lines;
    apr_time_t now;
    apr_time_t since;           /* 0: ever */
    const char *grep_text;      /* or NULL */
    sa_log_grep_t *grep;
    bool rotated;
    apr_interval_time_t follow; /* 0: not */

    taken_t taken;
    taken_t mark;               /* as TAKEN was at the last line with a time */
    bool any_time;
    bool any_line;
    bool too_old;               /* a line before SINCE was met */
    bool incomplete;            /* not all was looked through */
    sa_buf_t room;              /* of the reply's lines, filled from its end */
    size_t size;
    char *shown;                /* the line in hand, as it looks in JSON */
    sa_buf_t out;               /* of what is to be emitted */
    int emitted;                /* lines */
    apr_interval_time_t emitted_at;
} logs_t;

/* A file to be read forwards. */
typedef struct forward_t {
    apr_pool_t *pool;           /* of the file */
    sa_os_log_file_t log;
    apr_finfo_t id;
    apr_int64_t at;
    bool skipping;              /* the rest of an over-long line */
    char *block;
} forward_t;

/* ---- the request ---------------------------------------------------------- */

static sa_error_t *bad_format(void)
{
    return sa_error(SA_ERR_REQUEST_FORMAT, NULL, "Invalid request format");
}

static sa_error_t *get_lines(int *lines, const cJSON *request)
{
    const cJSON *item = cJSON_GetObjectItem(request, "lines");
    double number = LINES_DEFAULT;

    if (item && !cJSON_IsNull(item) && !sa_json_number(request, "lines", &number)) {
        return bad_format();
    }
    if (number <= 0) {
        return sa_error(SA_ERR_REQUEST_FORMAT, NULL, "lines must be greater than 0");
    }
    if (number > LINES_MAX) {
        return sa_error(SA_ERR_REQUEST_FORMAT, NULL, "lines cannot exceed %d", LINES_MAX);
    }
    *lines = (int)number;
    return (double)*lines == number ? SA_OK : bad_format();
}

static sa_error_t *get_follow(logs_t *logs)
{
    const char *text = NULL;
    sa_error_t *err;

    SA_TRY(sa_command__get_text(&text, logs->call->request, "follow"));
    if (!text) {
        return SA_OK;
    }
    err = sa_duration_parse(&logs->follow, text);
    if (err || logs->follow > FOLLOW_MAX) {
        return sa_error(SA_ERR_REQUEST_FORMAT, err, "follow must be a duration of at most 5m");
    }
    if (logs->follow > 0 && !logs->call->stream) {
        return sa_error(SA_ERR_REQUEST_FORMAT, NULL, "follow needs \"stream\": true");
    }
    return SA_OK;
}

static sa_error_t *get_filters(logs_t *logs)
{
    const cJSON *request = logs->call->request;
    const cJSON *rotated = cJSON_GetObjectItem(request, "rotated");
    const char *since = NULL;

    if (rotated && !cJSON_IsBool(rotated) && !cJSON_IsNull(rotated)) {
        return bad_format();
    }
    logs->rotated = cJSON_IsTrue(rotated);
    if (logs->rotated && logs->unit) {
        return sa_error(SA_ERR_REQUEST_FORMAT, NULL, "rotated is for files");
    }
    SA_TRY(sa_command__get_text(&since, request, "since"));
    if (since) {
        SA_TRY(sa_command__since_parse(&logs->since, since, logs->now));
    }
    SA_TRY(sa_command__get_text(&logs->grep_text, request, "grep"));
    if (logs->grep_text && strlen(logs->grep_text) > SA_LOG_GREP_MAX) {
        return sa_error(SA_ERR_REQUEST_FORMAT, NULL, "grep is longer than %d bytes",
                        SA_LOG_GREP_MAX);
    }
    if (logs->grep_text && *logs->grep_text) {
        logs->grep = sa_command__grep_create(logs->grep_text, logs->call->pool);
    } else {
        logs->grep_text = NULL;
    }
    return get_follow(logs);
}

/* TEXT of the requester as it may stand in a message: on one line, and not for ever. */
static const char *shown(const char *text, apr_pool_t *pool)
{
    size_t length = strlen(text);
    size_t most = length > PATH_SHOWN_MAX ? PATH_SHOWN_MAX : length;
    char *valid = apr_palloc(pool, most * 3 + 1);
    char *result = apr_palloc(pool, most * 12 + 4);
    char *put = result;

    valid[sa_command__show(valid, text, most, false)] = '\0';
    for (const char *c = valid; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7F) {
            put += apr_snprintf(put, 5, "\\x%02x", (unsigned int)*c);
        } else {
            *put++ = *c;
        }
    }
    memcpy(put, length > most ? "..." : "", length > most ? 4 : 1);
    return result;
}

static sa_error_t *not_allowed(const char *path, sa_error_t *cause, apr_pool_t *pool)
{
    return sa_error(SA_ERR_REFUSED, cause, "log path not in allowed list: %s", shown(path, pool));
}

/* Absolute, and one way only to write it. */
static bool is_plain_path(const char *path)
{
    if (path[0] != '/' || strlen(path) > PATH_LENGTH_MAX) {
        return false;
    }
    while (*path) {
        const char *name = path + 1;
        size_t length = strcspn(name, "/");

        if (length == 0 || (length == 1 && name[0] == '.')
            || (length == 2 && name[0] == '.' && name[1] == '.')) {
            return false;
        }
        path = name + length;
    }
    return true;
}

static sa_error_t *read_request(logs_t *logs)
{
    const sa_call_t *call = logs->call;
    const struct sa_command_policy_t *policy = call->settings->policy;

    SA_TRY(sa_command__get_text(&logs->path, call->request, "log_path"));
    SA_TRY(sa_command__get_text(&logs->unit, call->request, "unit"));
    if (logs->path && logs->unit) {
        return sa_error(SA_ERR_REQUEST_FORMAT, NULL, "log_path and unit exclude each other");
    }
    if (logs->unit && !sa_command_policy_allows_service(policy, logs->unit)) {
        return sa_error(SA_ERR_REFUSED, NULL, "service not in allowed list: %s",
                        shown(logs->unit, call->pool));
    }
    if (!logs->unit) {
        const char *path = logs->path ? logs->path : "";

        if (!is_plain_path(path) || !sa_command_policy_allows_log(policy, path)) {
            return not_allowed(path, NULL, call->pool);
        }
    }
    SA_TRY(get_lines(&logs->lines, call->request));
    return get_filters(logs);
}

/* ---- lines for a whole reply ---------------------------------------------- */

static void make_reply_room(logs_t *logs)
{
    const char *name = logs->path ? logs->path : logs->unit;
    size_t rest = REPLY_REST + SA_LOG_SHOWN_JSON * strlen(name);
    size_t limit = logs->call->reply_limit;

    sa_buf_init(&logs->room, limit, logs->call->pool);
    logs->size = limit > rest ? limit - rest : 0;
    if (!sa_buf_reserve(&logs->room, logs->size)) {
        logs->size = 0;
    }
    logs->shown = apr_palloc(logs->call->pool, SA_LOG_SHOWN_JSON * SA_LOG_LINE_MAX);
    /* for the bracket that ends the list */
    logs->taken.start = logs->size > 0 ? logs->size - 1 : 0;
}

/* Put LINE before the ones that are there. */
static void prepend(logs_t *logs, const sa_log_line_t *line)
{
    taken_t *taken = &logs->taken;
    size_t length;
    char *place;

    if (taken->dropped > 0) {
        taken->dropped++;
        return;
    }
    length = sa_command__show(logs->shown, line->data, line->length, true);
    /* two quotes, a comma, and later the bracket that begins the list */
    if (length + 4 > taken->start) {
        taken->dropped++;
        return;
    }
    taken->start -= length + 3;
    place = logs->room.data + taken->start;
    place[0] = '"';
    memcpy(place + 1, logs->shown, length);
    place[length + 1] = '"';
    place[length + 2] = ',';
    taken->kept++;
    taken->cut += line->cut;
}

static void take(logs_t *logs, const sa_log_line_t *line)
{
    if (logs->call->stream) {
        logs->taken.kept++;
        logs->taken.offset = line->offset;
    } else {
        prepend(logs, line);
    }
}

static bool has_all(const logs_t *logs)
{
    return logs->taken.kept + logs->taken.dropped >= logs->lines;
}

/* What has no time of its own belongs to the line above it that has one, and is kept where
 * the file begins with it.  false: nothing before LINE is wanted. */
static bool consider(logs_t *logs, const sa_log_line_t *line)
{
    apr_time_t time = 0;
    bool timed = logs->since > 0
                 && sa_command__line_time(&time, line->data, line->length, logs->now);

    logs->any_line = true;
    logs->any_time = logs->any_time || timed;
    if (timed && time < logs->since) {
        logs->taken = logs->mark;
        logs->too_old = true;
        return false;
    }
    if (!has_all(logs)
        && (!logs->grep || sa_command__grep_match(logs->grep, line->data, line->length))) {
        take(logs, line);
    }
    if (timed) {
        logs->mark = logs->taken;
    }
    return !has_all(logs) || (logs->since > 0 && !timed);
}

static sa_error_t *check_cancelled(const logs_t *logs)
{
    if (logs->call->cancel && sa_os_is_cancelled(logs->call->cancel)) {
        return sa_error(SA_ERR_CANCELLED, NULL, NULL);
    }
    return SA_OK;
}

/* Take in the newest lines of LOG, which are older than those that are there. */
static sa_error_t *look_back(logs_t *logs, const sa_os_log_file_t *log, apr_int64_t *scan)
{
    sa_log_tail_t *tail = sa_command__tail_create(log->file, log->size, *scan, logs->call->pool);
    bool found = false;
    bool more = true;

    logs->taken.offset = log->size;
    logs->mark.offset = log->size;
    while (more) {
        sa_log_line_t line;

        SA_TRY_MSG(sa_command__tail_next(&found, &line, tail), "failed to read file");
        if (!found) {
            break;
        }
        /* one that still grows is followed from its beginning */
        if (logs->follow > 0 && line.offset + (apr_int64_t)line.length == log->size) {
            logs->taken.offset = line.offset;
            logs->mark.offset = line.offset;
        }
        more = consider(logs, &line);
        SA_TRY(check_cancelled(logs));
    }
    *scan -= sa_command__tail_scanned(tail);
    logs->incomplete = logs->incomplete || sa_command__tail_is_incomplete(tail);
    return SA_OK;
}

/* ---- files ---------------------------------------------------------------- */

/* NEWER: of a rotated log, the real path of the file whose ".1" this may be; else NULL. */
static sa_error_t *open_allowed(sa_os_log_file_t *log, const logs_t *logs, const char *path,
                                const char *newer, apr_pool_t *pool)
{
    const sa_command_settings_t *settings = logs->call->settings;
    sa_os_log_policy_t policy = { .links = settings->log_links, .own = settings->own_paths,
                                  .folders = settings->log_folders };
    sa_error_t *err = sa_os_log_open(log, path, &policy, pool);

    if (err) {
        char text[512];
        const char *reason = shown(sa_error_text(err, text, sizeof(text)), logs->call->pool);
        apr_status_t code = err->code;

        /* the whole chain: it names what the requester named, and no more */
        sa_error_clear(err);
        return sa_error(code, NULL, "failed to open file: %s", reason);
    }
    if (!sa_command_policy_allows_log(settings->policy, log->real_path)
        && (!newer || strcmp(log->real_path, apr_pstrcat(pool, newer, ".1", NULL)) != 0)) {
        /* where it leads is for our own log */
        err = sa_error(SA_ERR_REFUSED, NULL, "it leads to %s", log->real_path);
        return not_allowed(path, err, logs->call->pool);
    }
    return SA_OK;
}

static void identify(apr_finfo_t *id, apr_file_t *file)
{
    if (apr_file_info_get(id, APR_FINFO_IDENT | APR_FINFO_SIZE, file) != APR_SUCCESS) {
        memset(id, 0, sizeof(*id));
    }
}

static bool is_same(const apr_finfo_t *a, const apr_finfo_t *b)
{
    return a->inode == b->inode && a->device == b->device;
}

static sa_error_t *open_forward(forward_t *forward, const logs_t *logs, const char *path,
                                const char *newer)
{
    SA_TRY(open_allowed(&forward->log, logs, path, newer, forward->pool));
    identify(&forward->id, forward->log.file);
    return SA_OK;
}

/* The file before the last rotation; not to have one is no error, and it may be the one
 * that we have just read, rotated meanwhile. */
static sa_error_t *open_rotated(bool *found, forward_t *older, const logs_t *logs,
                                const forward_t *newer)
{
    const char *path = apr_pstrcat(logs->call->pool, logs->path, ".1", NULL);
    sa_error_t *err = open_forward(older, logs, path, newer->log.real_path);

    *found = !err && !is_same(&older->id, &newer->id);
    if (err && APR_STATUS_IS_ENOENT(err->code)) {
        sa_error_clear(err);
        return SA_OK;
    }
    return err;
}

/* ---- streaming ------------------------------------------------------------ */

static sa_error_t *flush(logs_t *logs)
{
    if (logs->out.length > 0) {
        SA_TRY(sa_command__emit(logs->call, "log", logs->out.data, logs->out.length));
        sa_buf_clear(&logs->out);
        logs->emitted_at = sa_time_mono();
    }
    return check_cancelled(logs);
}

/* LINE is one of the stream. */
static sa_error_t *put(logs_t *logs, const sa_log_line_t *line)
{
    char *place = sa_buf_reserve(&logs->out, line->length * SA_LOG_SHOWN + 1);

    SA_ASSERT(place != NULL);
    logs->out.length += sa_command__show(place, line->data, line->length, false);
    sa_buf_append(&logs->out, "\n", 1);
    logs->emitted++;
    logs->taken.cut += line->cut;
    return logs->out.length >= EMIT_SIZE ? flush(logs) : SA_OK;
}

static sa_error_t *put_wanted(logs_t *logs, const char *data, size_t length)
{
    sa_log_line_t line = { .data = data, .length = length };

    sa_command__line_trim(&line);
    if (logs->grep && !sa_command__grep_match(logs->grep, line.data, line.length)) {
        return SA_OK;
    }
    return put(logs, &line);
}

/* The lines in the block of LENGTH bytes; *USED of them are done with.  LAST: what is
 * behind the last line end is a line as well. */
static sa_error_t *put_block(size_t *used, logs_t *logs, forward_t *forward, size_t length,
                             bool last)
{
    const char *at = forward->block;
    const char *end = at + length;
    const char *newline = memchr(at, '\n', length);

    while (newline) {
        if (!forward->skipping) {
            SA_TRY(put_wanted(logs, at, (size_t)(newline - at)));
        }
        forward->skipping = false;
        at = newline + 1;
        newline = memchr(at, '\n', (size_t)(end - at));
    }
    if (forward->skipping) {
        at = end;
    } else if (at < end && (last || (at == forward->block && length == FORWARD_BLOCK))) {
        SA_TRY(put_wanted(logs, at, (size_t)(end - at)));
        forward->skipping = !last;
        at = end;
    }
    *used = (size_t)(at - forward->block);
    return SA_OK;
}

/* Emit the lines from where FORWARD is to END.  LAST: an unfinished one too.  UNTIL: give
 * up then, 0 for never. */
static sa_error_t *emit_to(logs_t *logs, forward_t *forward, apr_int64_t end, bool last,
                           apr_interval_time_t until)
{
    while (forward->at < end && (until == 0 || sa_time_mono() < until)) {
        apr_int64_t left = end - forward->at;
        size_t wanted = left > (apr_int64_t)FORWARD_BLOCK ? FORWARD_BLOCK : (size_t)left;
        size_t got;
        size_t used;

        SA_TRY_MSG(sa_command__read_at(&got, forward->log.file, forward->at, forward->block,
                                       wanted), "failed to read file");
        SA_TRY(put_block(&used, logs, forward, got, last && (apr_int64_t)got == left));
        forward->at += (apr_int64_t)used;
        SA_TRY(check_cancelled(logs));
        if (used == 0 || got < wanted) {
            break;
        }
    }
    return flush(logs);
}

/* Has the name come to mean another file?  Then go on with that one. */
static sa_error_t *follow_name(logs_t *logs, forward_t *forward, apr_interval_time_t until)
{
    forward_t next = { .pool = sa_pool_create(logs->call->pool), .block = forward->block };
    sa_error_t *err = open_forward(&next, logs, logs->path, NULL);

    if (err || is_same(&next.id, &forward->id)) {
        /* not there between two names, or no longer allowed: the old one it is */
        sa_error_clear(err);
        apr_pool_destroy(next.pool);
        return SA_OK;
    }
    identify(&forward->id, forward->log.file);
    err = emit_to(logs, forward, forward->id.size, true, until);
    apr_pool_destroy(forward->pool);
    *forward = next;
    return err;
}

/* An unfinished line is shown at last; of a file that grows faster than we could tell,
 * the rest is not. */
static sa_error_t *end_following(logs_t *logs, forward_t *forward, apr_int64_t size)
{
    if (size - forward->at >= (apr_int64_t)FORWARD_BLOCK) {
        logs->incomplete = true;
        return SA_OK;
    }
    return emit_to(logs, forward, size, true, 0);
}

static sa_error_t *follow_file(logs_t *logs, forward_t *forward)
{
    apr_interval_time_t until = sa_time_mono() + logs->follow;
    int idle = 0;

    for (;;) {
        apr_interval_time_t left = until - sa_time_mono();
        apr_int64_t before = forward->at;
        apr_finfo_t now;

        identify(&now, forward->log.file);
        if (now.size < forward->at) {
            forward->at = 0;
            forward->skipping = false;
        }
        if (left <= 0) {
            return end_following(logs, forward, now.size);
        }
        SA_TRY(emit_to(logs, forward, now.size, false, until));
        idle = forward->at == before ? idle + 1 : 0;
        if (idle > 0 && idle % POLLS_TO_REOPEN == 0) {
            SA_TRY(follow_name(logs, forward, until));
        }
        if (sa_time_mono() - logs->emitted_at >= SILENCE_MAX) {
            SA_TRY(sa_command__emit(logs->call, NULL, NULL, 0));
            logs->emitted_at = sa_time_mono();
        }
        apr_sleep(left < POLL ? left : POLL);
    }
}

/* ---- the two kinds of log ------------------------------------------------- */

static sa_error_t *check_since(const logs_t *logs)
{
    if (logs->since > 0 && logs->any_line && !logs->any_time) {
        return sa_error(SA_ERR_REQUEST_FORMAT, NULL,
                        "since cannot be applied: the lines do not begin with a time that the "
                        "agent knows");
    }
    return SA_OK;
}

static sa_error_t *stream_file(logs_t *logs, forward_t *newer, forward_t *older)
{
    char *block = apr_palloc(logs->call->pool, FORWARD_BLOCK);

    newer->block = block;
    older->block = block;
    if (older->log.file) {
        SA_TRY(emit_to(logs, older, older->log.size, true, 0));
    }
    SA_TRY(emit_to(logs, newer, newer->log.size, logs->follow == 0, 0));
    return logs->follow > 0 ? follow_file(logs, newer) : SA_OK;
}

/* What is allowed, and there to be read, goes to the audit file before it is. */
static sa_error_t *begin(logs_t *logs)
{
    const char *what = logs->path ? logs->path
                                  : apr_pstrcat(logs->call->pool, "unit ", logs->unit, NULL);

    return sa_command__begin(logs->call, what, NULL);
}

static sa_error_t *read_file(logs_t *logs)
{
    apr_pool_t *pool = logs->call->pool;
    forward_t newer = { .pool = sa_pool_create(pool) };
    forward_t older = { .pool = pool };
    apr_int64_t scan = SA_LOG_SCAN_MAX;
    bool found = false;

    SA_TRY(open_forward(&newer, logs, logs->path, NULL));
    SA_TRY(begin(logs));
    SA_TRY(look_back(logs, &newer.log, &scan));
    newer.at = logs->taken.offset;
    if (logs->rotated && !has_all(logs) && !logs->too_old && !logs->incomplete) {
        SA_TRY(open_rotated(&found, &older, logs, &newer));
        if (found) {
            SA_TRY(look_back(logs, &older.log, &scan));
            older.at = logs->taken.offset;
        }
    }
    SA_TRY(check_since(logs));
    if (!found) {
        older.log.file = NULL;
    }
    return logs->call->stream ? stream_file(logs, &newer, &older) : SA_OK;
}

static sa_error_t *on_entry(void *baton, const char *text, size_t length)
{
    logs_t *logs = baton;
    sa_log_line_t line = { .data = text, .length = length };

    if (text) {
        sa_command__line_trim(&line);
        if (logs->call->stream) {
            return put(logs, &line);
        }
        take(logs, &line);
        return check_cancelled(logs);
    }
    if (logs->out.length == 0 && sa_time_mono() - logs->emitted_at >= SILENCE_MAX) {
        logs->emitted_at = sa_time_mono();
        SA_TRY(sa_command__emit(logs->call, NULL, NULL, 0));
    }
    return flush(logs);
}

static sa_error_t *read_journal(logs_t *logs)
{
    sa_os_journal_query_t query = {
        .unit = logs->unit, .count = logs->lines, .since = logs->since, .grep = logs->grep_text,
        .deadline = sa_time_mono() + JOURNAL_TIME, .newest_first = !logs->call->stream,
        .follow_until = logs->follow > 0 ? sa_time_mono() + logs->follow : 0,
        .cancel = logs->call->cancel, .cut_short = &logs->incomplete
    };

    SA_TRY(begin(logs));
    SA_TRY(sa_os_journal_read(&query, on_entry, logs, logs->call->pool));
    return flush(logs);
}

/* ---- the reply ------------------------------------------------------------ */

/* The text is JSON already and as large as a reply: it is lent, not copied, and lives in
 * the call's pool as the reply does. */
static void add_lines(logs_t *logs, cJSON *reply)
{
    taken_t *taken = &logs->taken;
    char *text = logs->room.data;
    cJSON *lines;

    if (taken->kept == 0) {
        return;
    }
    /* the last line's comma becomes the end of the list */
    text[--taken->start] = '[';
    text[logs->size - 2] = ']';
    text[logs->size - 1] = '\0';
    lines = cJSON_CreateStringReference(text + taken->start);
    SA_ASSERT(lines != NULL);
    lines->type = cJSON_Raw | cJSON_IsReference;
    cJSON_AddItemToObject(reply, "lines", lines);
}

static void make_reply(logs_t *logs)
{
    cJSON *reply = logs->call->reply;
    const char *name = logs->path ? logs->path : logs->unit;
    char *valid = apr_palloc(logs->call->pool, strlen(name) * 3 + 1);
    int total = logs->call->stream ? logs->emitted : logs->taken.kept;

    valid[sa_command__show(valid, name, strlen(name), false)] = '\0';
    cJSON_AddStringToObject(reply, "status", "success");
    cJSON_AddStringToObject(reply, logs->path ? "log_path" : "unit", valid);
    if (!logs->call->stream) {
        add_lines(logs, reply);
    }
    if (total > 0) {
        sa_json_add_count(reply, "total_lines", (apr_uint64_t)total);
    }
    if (logs->taken.dropped > 0) {
        cJSON_AddTrueToObject(reply, "truncated");
        sa_json_add_count(reply, "dropped_lines", (apr_uint64_t)logs->taken.dropped);
    }
    if (logs->taken.cut > 0) {
        sa_json_add_count(reply, "cut_lines", (apr_uint64_t)logs->taken.cut);
    }
    if (logs->incomplete) {
        cJSON_AddFalseToObject(reply, "scanned_all");
    }
}

sa_error_t *sa_command__logs(sa_call_t *call)
{
    logs_t *logs = apr_pcalloc(call->pool, sizeof(*logs));

    logs->call = call;
    logs->now = sa_time_now();
    logs->emitted_at = sa_time_mono();
    SA_TRY(read_request(logs));
    if (call->stream) {
        sa_buf_init(&logs->out, EMIT_MAX, call->pool);
    } else {
        make_reply_room(logs);
        logs->mark = logs->taken;
    }
    SA_TRY(logs->unit ? read_journal(logs) : read_file(logs));
    make_reply(logs);
    return SA_OK;
}
