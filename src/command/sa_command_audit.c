/* command: the audit file.
 *
 * Lines are gathered in a buffer.  Whoever finds nobody writing writes all that is there,
 * his own and the others' (the leader); the others wait for their line's turn.  So no lock
 * is held while the file is touched, and many lines cost one write.  The thread writes what
 * nobody waits for, makes it all durable (fdatasync(2)), and tells the journal.  Who must
 * not go on before his line is on the disk (commands.audit_ahead) does the same with the
 * disk: one flushes for all that is written by then, the others wait. */
#include "sa_command_audit.h"

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>

#include "sa_buf.h"
#include "sa_json.h"
#include "sa_log.h"
#include "sa_os_daemon.h"
#include "sa_os_file.h"
#include "sa_os_thread.h"
#include "sa_pool.h"
#include "sa_stats.h"
#include "sa_text.h"
#include "sa_time.h"

#define LINES_MAX (1024 * 1024)         /* given and not written */
#define JOURNAL_MAX (256 * 1024)        /* written, and the journal not told yet */
#define VALUE_MAX 1024                  /* bytes of a value, of the one that is WHAT: */
#define WHAT_MAX (8 * 1024)
#define PATIENCE apr_time_from_sec(10)
/* Lines that come together go to the disk together, and not while a short command runs. */
#define SYNC_AFTER apr_time_from_msec(5)

/* Somebody who waits for his line. */
typedef struct waiter_t {
    apr_uint64_t number;        /* of the line */
    bool to_disk;               /* he waits until it is there */
    bool in_file;
    bool done;
    bool written;               /* as far as he wants it */
    struct waiter_t *next;
} waiter_t;

typedef struct limits_t {
    const char *path;
    apr_int64_t max_bytes;
    int max_backups;
} limits_t;

struct sa_command_audit_t {
    apr_pool_t *pool;
    apr_pool_t *thread_pool;    /* (m) */
    sa_os_thread_t *thread;     /* (m) from the first line on; NULL: not yet */
    bool to_journal;
    bool ahead;                 /* (m) what begins is on the disk before */
    sa_os_mutex_t *mutex;       /* guards what is (m) */
    sa_os_cond_t *news;         /* for who waits for a line or the file */
    sa_os_cond_t *work;         /* for the thread */
    sa_buf_t lines[2];          /* (m) the one that is FILLING; the leader has the other */
    int filling;                /* (m) */
    apr_uint64_t given;         /* (m) lines, ever */
    apr_uint64_t tried;         /* (m) of them, those that were written, or could not be */
    apr_uint64_t lost;          /* (m) that found no room, and were not said yet */
    waiter_t *waiters;          /* (m) */
    bool leading;               /* (m) somebody writes */
    apr_interval_time_t sync_at;    /* (m) what was written is to be on the disk; 0: it is */
    bool syncing;               /* (m) or the file is being changed */
    bool sync_failed;           /* (m) */
    bool closing;               /* (m) */
    bool closed;                /* the thread is gone */
    sa_buf_t journal[2];        /* (m) [0]; the thread has the other */
    apr_pool_t *fresh_pool;     /* (m) of a reload, not taken over yet */
    limits_t fresh;             /* (m) */
    char trouble[256];          /* (m) why the last batch was not written */

    /* The leader's, whoever it is. */
    apr_pool_t *limits_pool;
    limits_t limits;
    apr_pool_t *file_pool;
    sa_os_append_t *file;       /* NULL: not open */
    apr_int64_t bytes;
    bool failed;                /* the last batch */
};

/* ---- a line --------------------------------------------------------------------- */

static const char hex[] = "0123456789abcdef";

static void add_escape(sa_buf_t *line, uint32_t unit)
{
    char text[7] = {'\\', 'u', hex[unit >> 12 & 15], hex[unit >> 8 & 15], hex[unit >> 4 & 15],
                    hex[unit & 15]};

    sa_buf_append(line, text, 6);
}

/* What stands in the file is ASCII and shows: nothing in it can play tricks with whoever
 * reads it on a terminal. */
static void add_text(sa_buf_t *line, const char *text, size_t most)
{
    size_t length = strlen(text);
    size_t end = length < most ? length : most;

    for (size_t i = 0; i < end;) {
        uint32_t point = 0xFFFD;
        int count = sa_text_decode(&point, text + i, length - i);

        if (point == '"' || point == '\\') {
            sa_buf_append(line, "\\", 1);
        }
        if (point >= 0x20 && point < 0x7F) {
            sa_buf_append(line, text + i, 1);
        } else if (point < 0x10000) {
            add_escape(line, point);
        } else {
            add_escape(line, 0xD800 + ((point - 0x10000) >> 10));
            add_escape(line, 0xDC00 + ((point - 0x10000) & 0x3FF));
        }
        i += count > 0 ? (size_t)count : 1;
    }
    if (end < length) {
        sa_buf_append(line, "...", 3);
    }
}

/* What is NULL or "" is left out. */
static void add_member(sa_buf_t *line, const char *name, const char *value, size_t most)
{
    if (value && *value) {
        sa_buf_printf(line, ",\"%s\":\"", name);
        add_text(line, value, most);
        sa_buf_append(line, "\"", 1);
    }
}

/* At the end of LINE, which holds others. */
static void add_line(sa_buf_t *line, const sa_command_audit_entry_t *entry)
{
    char time[SA_TIME_TEXT];

    sa_buf_printf(line, "{\"ts\":\"%s\"", sa_time_format_ms(time, sa_time_now()));
    add_member(line, "phase", entry->phase, VALUE_MAX);
    add_member(line, "id", entry->id, VALUE_MAX);
    add_member(line, "command", entry->command, VALUE_MAX);
    add_member(line, "what", entry->what, WHAT_MAX);
    add_member(line, "as", entry->as, VALUE_MAX);
    add_member(line, "outcome", entry->outcome, VALUE_MAX);
    if (strcmp(entry->phase, "end") == 0) {
        sa_buf_printf(line, ",\"duration_ms\":%" APR_INT64_T_FMT,
                      (apr_int64_t)apr_time_as_msec(entry->duration));
    }
    add_member(line, "subject", entry->subject, VALUE_MAX);
    add_member(line, "reply", entry->reply, VALUE_MAX);
    add_member(line, "headers", entry->headers, VALUE_MAX);
    sa_buf_append(line, "}\n", 2);
}

/* ---- the file: the leader's ------------------------------------------------------- */

static sa_error_t *open_file(sa_command_audit_t *audit)
{
    apr_pool_t *pool = sa_pool_create_root();
    sa_error_t *err = sa_os_append_open(&audit->file, &audit->bytes, audit->limits.path, pool);

    if (err) {
        audit->file = NULL;
        apr_pool_destroy(pool);
        return err;
    }
    audit->file_pool = pool;
    return SA_OK;
}

/* Nobody else has the file while it is changed. */
static void begin_change(sa_command_audit_t *audit)
{
    sa_os_mutex_lock(audit->mutex);
    while (audit->syncing) {
        sa_os_cond_wait(audit->news, audit->mutex, SA_OS_NEVER);
    }
    audit->syncing = true;
    sa_os_mutex_unlock(audit->mutex);
}

static void end_change(sa_command_audit_t *audit)
{
    sa_os_mutex_lock(audit->mutex);
    audit->syncing = false;
    sa_os_cond_broadcast(audit->news);
    sa_os_mutex_unlock(audit->mutex);
}

/* What is in it is on the disk before it is left. */
static sa_error_t *close_file(sa_command_audit_t *audit)
{
    sa_error_t *err = SA_OK;

    if (audit->file) {
        err = sa_os_append_sync(audit->file);
        audit->file = NULL;
        apr_pool_destroy(audit->file_pool);
    }
    return err;
}

static void take_limits(sa_command_audit_t *audit)
{
    apr_pool_t *old = audit->limits_pool;

    sa_os_mutex_lock(audit->mutex);
    audit->limits_pool = audit->fresh_pool;
    audit->limits = audit->fresh;
    audit->fresh_pool = NULL;
    sa_os_mutex_unlock(audit->mutex);
    if (old) {
        apr_pool_destroy(old);
    }
}

/* A file that cannot be put aside grows on: better too long than nothing recorded. */
static sa_error_t *change_file(sa_command_audit_t *audit, bool rotate)
{
    if (rotate) {
        sa_error_t *err = sa_os_append_rotate(audit->file, audit->limits.max_backups);

        if (err) {
            SA_LOG(audit_not_rotated, SA_S("file", audit->limits.path), SA_E(err));
            sa_error_clear(err);
            return SA_OK;
        }
    }
    SA_TRY(close_file(audit));
    return open_file(audit);
}

/* The file as it should be for LENGTH more bytes. */
static sa_error_t *prepare_file(sa_command_audit_t *audit, bool fresh, size_t length)
{
    bool there = audit->file && !fresh && sa_os_append_is_there(audit->file);
    bool full = there && audit->bytes > 0
                && audit->bytes + (apr_int64_t)length > audit->limits.max_bytes;
    sa_error_t *err;

    if (there && !full) {
        return SA_OK;
    }
    begin_change(audit);
    if (fresh) {
        take_limits(audit);
    }
    err = change_file(audit, full);
    end_change(audit);
    return err;
}

static sa_error_t *write_batch(sa_command_audit_t *audit, bool fresh, bool sync,
                               const sa_buf_t *lines)
{
    SA_TRY(prepare_file(audit, fresh, lines->length));
    if (sync) {
        SA_TRY(sa_os_append_sync(audit->file));
    }
    SA_TRY(sa_os_append_write(audit->file, lines->data, lines->length));
    audit->bytes += (apr_int64_t)lines->length;
    return SA_OK;
}

/* Once for each change: what goes on is no news. */
static void say_state(sa_command_audit_t *audit, const sa_error_t *err)
{
    if (err) {
        SA_LOG(audit_failed, SA_S("file", audit->limits.path), SA_E(err));
    } else if (audit->failed) {
        SA_LOG(audit_recovered, SA_S("file", audit->limits.path));
    }
    audit->failed = err != SA_OK;
    sa_stats_set(SA_STAT_audit_failed, audit->failed ? 1 : 0);
}

/* ---- the leader --------------------------------------------------------------------- */

/* Those up to NUMBER have what they wait for, or will not get it.  The lock is held. */
static void release_waiters(sa_command_audit_t *audit, apr_uint64_t number, bool written,
                            bool on_disk)
{
    waiter_t **at = &audit->waiters;

    while (*at) {
        waiter_t *waiter = *at;

        if (waiter->number <= number && (!written || on_disk || !waiter->to_disk)) {
            waiter->done = true;
            waiter->written = written;
            *at = waiter->next;
        } else {
            waiter->in_file = waiter->in_file || waiter->number <= number;
            at = &waiter->next;
        }
    }
}

static void say_lost(sa_command_audit_t *audit, sa_buf_t *lines)
{
    char time[SA_TIME_TEXT];

    if (audit->lost > 0
        && sa_buf_printf(lines, "{\"ts\":\"%s\",\"phase\":\"lost\",\"lines\":%" APR_UINT64_T_FMT
                         "}\n", sa_time_format_ms(time, sa_time_now()), audit->lost)) {
        audit->lost = 0;
    }
}

/* Write all that is there; the lock is held before and after.  Lines that were not written
 * are not written later either: what they tell of did not happen. */
static void lead(sa_command_audit_t *audit)
{
    sa_buf_t *lines = &audit->lines[audit->filling];
    apr_uint64_t number = audit->given;
    bool fresh = audit->fresh_pool != NULL;
    bool sync = audit->sync_failed;
    sa_error_t *err;

    say_lost(audit, lines);
    audit->leading = true;
    audit->filling = !audit->filling;
    sa_os_mutex_unlock(audit->mutex);
    err = write_batch(audit, fresh, sync, lines);
    say_state(audit, err);
    sa_os_mutex_lock(audit->mutex);
    if (err) {
        sa_error_text(err, audit->trouble, sizeof(audit->trouble));
    } else {
        audit->sync_failed = false;
        if (audit->sync_at == 0) {
            audit->sync_at = sa_time_mono() + SYNC_AFTER;
            sa_os_cond_signal(audit->work);
        }
        if (audit->to_journal) {
            sa_buf_append(&audit->journal[0], lines->data, lines->length);
        }
    }
    audit->tried = number;
    release_waiters(audit, number, !err, false);
    sa_buf_clear(lines);
    audit->leading = false;
    sa_os_cond_broadcast(audit->news);
    sa_error_clear(err);
}

/* Make durable what was written; the lock is held before and after. */
static void flush(sa_command_audit_t *audit)
{
    apr_uint64_t number = audit->tried;
    sa_error_t *err;

    audit->syncing = true;
    sa_os_mutex_unlock(audit->mutex);
    err = audit->file ? sa_os_append_sync(audit->file) : SA_OK;
    if (err) {
        SA_LOG(audit_failed, SA_E(err));
    }
    sa_os_mutex_lock(audit->mutex);
    audit->syncing = false;
    audit->sync_failed = err != SA_OK;
    if (err) {
        sa_error_text(err, audit->trouble, sizeof(audit->trouble));
    }
    release_waiters(audit, number, !err, true);
    sa_os_cond_broadcast(audit->news);
    sa_error_clear(err);
}

/* Put a line into the buffer, all of it or nothing; the lock is held. */
static bool give(sa_command_audit_t *audit, const sa_command_audit_entry_t *entry)
{
    sa_buf_t *lines = &audit->lines[audit->filling];
    size_t before = lines->length;

    if (audit->closing) {
        return false;
    }
    add_line(lines, entry);
    if (lines->overflowed || lines->length > LINES_MAX) {
        lines->overflowed = false;
        lines->length = before;
        lines->data[before] = '\0';
        return false;
    }
    audit->given++;
    return true;
}

/* ---- the thread --------------------------------------------------------------------- */

/* A line of ours as fields. */
static void tell_journal(const char *line, size_t length, apr_pool_t *pool)
{
    static const char prefix[] = "STONE_AGE_";
    sa_os_note_t notes[SA_OS_NOTES_MAX];
    const char *message;
    cJSON *json = NULL;
    cJSON *item;
    int count = 0;

    sa_error_clear(sa_json_parse(&json, line, length, pool));   /* ours: it is JSON */
    cJSON_ArrayForEach(item, json) {
        char *name = apr_pstrcat(pool, prefix, item->string, NULL);

        for (char *c = name; *c; c++) {
            *c = (char)apr_toupper(*c);
        }
        if (count < SA_OS_NOTES_MAX) {
            notes[count].name = name;
            notes[count].value = cJSON_IsString(item) ? item->valuestring
                                                      : sa_json_print(item, NULL, pool);
            count++;
        }
    }
    message = apr_psprintf(pool, "audit: %s %s", sa_json_text(json, "phase"),
                           apr_pstrmemdup(pool, line, length));
    sa_os_journal_send(message, notes, count);
}

static void tell_journal_all(const sa_buf_t *lines, apr_pool_t *pool)
{
    const char *at = lines->data;
    size_t left = lines->length;

    while (left > 0) {
        const char *end = memchr(at, '\n', left);
        size_t length = (size_t)(end - at);

        tell_journal(at, length, pool);
        apr_pool_clear(pool);
        at += length + 1;
        left -= length + 1;
    }
}

/* Make durable what was written and tell the journal of it; the lock is held before and
 * after. */
static void sync_file(sa_command_audit_t *audit, apr_pool_t *pool)
{
    sa_buf_t told = audit->journal[0];

    audit->journal[0] = audit->journal[1];
    audit->journal[1] = told;
    audit->sync_at = 0;
    flush(audit);
    sa_os_mutex_unlock(audit->mutex);
    tell_journal_all(&audit->journal[1], pool);
    sa_buf_clear(&audit->journal[1]);
    sa_os_mutex_lock(audit->mutex);
}

static bool has_lines(const sa_command_audit_t *audit)
{
    return audit->lines[audit->filling].length > 0 || audit->lost > 0;
}

static void run(void *baton)
{
    sa_command_audit_t *audit = baton;
    apr_pool_t *pool = sa_pool_create_root();

    sa_os_mutex_lock(audit->mutex);
    while (!audit->closing || has_lines(audit) || audit->sync_at != 0) {
        bool due = audit->sync_at != 0 && (audit->closing || sa_time_mono() >= audit->sync_at);

        if (audit->leading || audit->syncing) {
            sa_os_cond_wait(audit->news, audit->mutex, SA_OS_NEVER);
        } else if (has_lines(audit)) {
            lead(audit);
        } else if (due) {
            sync_file(audit, pool);
        } else {
            sa_os_cond_wait(audit->work, audit->mutex,
                            audit->sync_at != 0 ? audit->sync_at : SA_OS_NEVER);
        }
    }
    sa_os_mutex_unlock(audit->mutex);
    apr_pool_destroy(pool);
}

/* Most agents are seldom asked: the thread begins with the first line.  At the end whoever closes
 * does its work.  The mutex is held. */
static bool has_thread(sa_command_audit_t *audit)
{
    if (!audit->thread && !audit->closing) {
        audit->thread_pool = sa_pool_create_root();
        if (sa_os_thread_start(&audit->thread, "audit", run, audit, audit->thread_pool)
                != APR_SUCCESS) {
            audit->thread = NULL;
            apr_pool_destroy(audit->thread_pool);
        }
    }
    return audit->thread || audit->closing;
}

/* ---- the face ----------------------------------------------------------------------- */

static sa_error_t *refused(const char *why)
{
    return sa_error(SA_ERR_INTERNAL, sa_error(SA_ERR_INTERNAL, NULL, "%s", why),
                    "the command cannot be recorded in the audit file");
}

static void leave(sa_command_audit_t *audit, const waiter_t *waiter)
{
    waiter_t **at = &audit->waiters;

    while (*at && *at != waiter) {
        at = &(*at)->next;
    }
    if (*at) {
        *at = waiter->next;
    }
}

/* Do what is to be done for WAITER, or wait until others have done it.  false: too late. */
static bool help(sa_command_audit_t *audit, const waiter_t *waiter, apr_interval_time_t deadline)
{
    if (waiter->in_file ? audit->syncing : audit->leading) {
        return sa_os_cond_wait(audit->news, audit->mutex, deadline);
    }
    if (waiter->in_file) {
        flush(audit);
    } else {
        lead(audit);
    }
    return true;
}

sa_error_t *sa_command_audit_write(sa_command_audit_t *audit,
                                   const sa_command_audit_entry_t *entry)
{
    apr_interval_time_t deadline = sa_time_mono() + PATIENCE;
    waiter_t waiter = { .done = false };
    sa_error_t *err = SA_OK;
    bool in_time = true;

    sa_os_mutex_lock(audit->mutex);
    if (!has_thread(audit)) {
        err = refused("its thread cannot be started");
    } else if (give(audit, entry)) {
        waiter.number = audit->given;
        waiter.to_disk = audit->ahead && strcmp(entry->phase, "begin") == 0;
        waiter.next = audit->waiters;
        audit->waiters = &waiter;
        while (!waiter.done && in_time) {
            in_time = help(audit, &waiter, deadline);
        }
        leave(audit, &waiter);
        if (!waiter.written) {
            err = refused(waiter.done ? audit->trouble : "the disk does not answer");
        }
    } else {
        err = refused("too many lines wait for the disk");
    }
    sa_os_mutex_unlock(audit->mutex);
    return err;
}

void sa_command_audit_note(sa_command_audit_t *audit, const sa_command_audit_entry_t *entry)
{
    sa_os_mutex_lock(audit->mutex);
    if (!give(audit, entry)) {
        audit->lost++;
    }
    (void)has_thread(audit);    /* else the next one, or the end, writes it */
    sa_os_cond_signal(audit->work);
    sa_os_mutex_unlock(audit->mutex);
}

void sa_command_audit_reload(sa_command_audit_t *audit, const sa_config_t *config)
{
    apr_pool_t *pool = sa_pool_create_root();
    apr_pool_t *unused;

    sa_os_mutex_lock(audit->mutex);
    unused = audit->fresh_pool;
    audit->ahead = config->audit_ahead;
    audit->fresh_pool = pool;
    audit->fresh = (limits_t){
        .path = apr_pstrdup(pool, config->audit_file),
        .max_bytes = config->audit_max_size_mb * 1024 * 1024,
        .max_backups = (int)config->audit_max_backups
    };
    sa_os_mutex_unlock(audit->mutex);
    if (unused) {
        apr_pool_destroy(unused);
    }
}

/* An agent that fails to start never comes to its stop. */
static apr_status_t close_late(void *baton)
{
    sa_command_audit_t *audit = baton;

    if (!audit->closed) {
        sa_command_audit_close(audit);
    }
    return APR_SUCCESS;
}

void sa_command_audit_open(sa_command_audit_t **result, const sa_config_t *config,
                           apr_pool_t *pool)
{
    sa_command_audit_t *audit = apr_pcalloc(pool, sizeof(*audit));

    audit->pool = pool;
    audit->mutex = sa_os_mutex_create(pool);
    audit->news = sa_os_cond_create(pool);
    audit->work = sa_os_cond_create(pool);
    audit->to_journal = sa_os_has_journal();
    for (int i = 0; i < 2; i++) {
        sa_buf_init(&audit->lines[i], LINES_MAX + VALUE_MAX, pool);
        sa_buf_init(&audit->journal[i], JOURNAL_MAX, pool);
    }
    sa_command_audit_reload(audit, config);
    apr_pool_pre_cleanup_register(pool, audit, close_late);
    *result = audit;
}

void sa_command_audit_close(sa_command_audit_t *audit)
{
    sa_os_thread_t *thread;

    sa_os_mutex_lock(audit->mutex);
    audit->closing = true;
    thread = audit->thread;
    sa_os_cond_signal(audit->work);
    sa_os_cond_broadcast(audit->news);
    sa_os_mutex_unlock(audit->mutex);
    if (thread) {
        sa_os_thread_join(thread);
        apr_pool_destroy(audit->thread_pool);
    } else {
        run(audit);             /* what nobody could write */
    }
    audit->closed = true;
    sa_error_clear(close_file(audit));      /* the thread has said what there is to say */
    if (audit->limits_pool) {
        apr_pool_destroy(audit->limits_pool);
    }
    if (audit->fresh_pool) {
        apr_pool_destroy(audit->fresh_pool);
    }
}
