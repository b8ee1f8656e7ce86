/* os: the journal of one unit, by sd-journal(3).  Any thread; each call opens the journal
 * anew and closes it.
 *
 * The matches are those of `journalctl --unit`: what systemd says of a unit counts only
 * when it was PID 1 that said it, since anybody may send a message with UNIT= in it. */
#include "sa_os_logs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <systemd/sd-journal.h>

#include <apr_strings.h>

#include "sa_buf.h"
#include "sa_os_exec.h"
#include "sa_os_linux.h"
#include "sa_time.h"

/* Of a message; more than the caller shows, so that it can see that it is cut. */
#define DATA_MAX ((size_t)SA_OS_JOURNAL_LINE_MAX + 4096)
/* A line of DATA_MAX bytes can be that many line ends, each with an indent. */
#define TEXT_MAX ((size_t)2 * 1024 * 1024)
#define INDENT_MAX 24
#define WAIT (APR_INT64_C(250) * 1000)
#define COREDUMP "fc2e22bc6ee647b6b90729ab34a250b1"

typedef struct reader_t {
    sd_journal *journal;
    const sa_os_journal_query_t *query;
    sa_os_journal_fn_t fn;
    void *baton;
    sa_buf_t text;
} reader_t;

static sa_error_t *cannot(int result, const char *what)
{
    return sa_error_apr(-result, "cannot %s the journal", what);
}

/* ---- opening -------------------------------------------------------------- */

static apr_status_t close_journal(void *journal)
{
    sd_journal_close(journal);
    return APR_SUCCESS;
}

/* The library opens what it may read and is silent about the rest. */
static sa_error_t *check_there(sd_journal *journal)
{
    if (sd_journal_has_persistent_files(journal) > 0 || sd_journal_has_runtime_files(journal) > 0) {
        return SA_OK;
    }
    if (access("/run/log/journal", F_OK) == 0 || access("/var/log/journal", F_OK) == 0) {
        return sa_error(SA_ERR_DENIED, NULL, "there is no journal that the agent may read; is its "
                        "user in the group systemd-journal?");
    }
    return sa_error(SA_ERR_NOT_ON_THIS_OS, NULL, "this machine keeps no journal");
}

static sa_error_t *open_journal(reader_t *reader, const char *directory, apr_pool_t *pool)
{
    int result = directory ? sd_journal_open_directory(&reader->journal, directory, 0)
                           : sd_journal_open(&reader->journal, SD_JOURNAL_LOCAL_ONLY);

    if (result < 0) {
        return cannot(result, "open");
    }
    apr_pool_cleanup_register(pool, reader->journal, close_journal, apr_pool_cleanup_null);
    return directory ? SA_OK : check_there(reader->journal);
}

/* Each group: all of it; one group suffices. */
static sa_error_t *add_matches(reader_t *reader, const char *unit, apr_pool_t *pool)
{
    const char *const groups[][4] = {
        {apr_pstrcat(pool, "_SYSTEMD_UNIT=", unit, NULL)},
        {"_PID=1", apr_pstrcat(pool, "UNIT=", unit, NULL)},
        {"MESSAGE_ID=" COREDUMP, "_UID=0", apr_pstrcat(pool, "COREDUMP_UNIT=", unit, NULL)},
        {"_UID=0", apr_pstrcat(pool, "OBJECT_SYSTEMD_UNIT=", unit, NULL)},
    };
    int result = 0;

    for (size_t i = 0; result >= 0 && i < sizeof(groups) / sizeof(groups[0]); i++) {
        for (int j = 0; result >= 0 && j < 4 && groups[i][j]; j++) {
            result = sd_journal_add_match(reader->journal, groups[i][j], 0);
        }
        if (result >= 0) {
            result = sd_journal_add_disjunction(reader->journal);
        }
    }
    if (result >= 0) {
        result = sd_journal_set_data_threshold(reader->journal, DATA_MAX);
    }
    return result < 0 ? cannot(result, "select from") : SA_OK;
}

/* ---- one entry ------------------------------------------------------------ */

/* The value of FIELD of the present entry, valid until the next one is asked for. */
static bool get(const char **value, size_t *length, sd_journal *journal, const char *field)
{
    const void *data;
    size_t size;

    if (sd_journal_get_data(journal, field, &data, &size) < 0) {
        *value = "";
        *length = 0;
        return false;
    }
    *value = (const char *)data + strlen(field) + 1;
    *length = size - strlen(field) - 1;
    return true;
}

static void append_field(reader_t *reader, const char *before, const char *field,
                         const char *other, const char *behind)
{
    const char *value;
    size_t length;

    if (get(&value, &length, reader->journal, field)
        || get(&value, &length, reader->journal, other)) {
        sa_buf_append_text(&reader->text, before);
        sa_buf_append(&reader->text, value, length > 255 ? 255 : length);
        sa_buf_append_text(&reader->text, behind);
    }
}

/* journalctl's own choice: the time that the sender put on it, else that of arrival. */
static apr_time_t entry_time(sd_journal *journal)
{
    const char *value;
    size_t length;
    apr_uint64_t number = 0;
    uint64_t arrived = 0;

    if (get(&value, &length, journal, "_SOURCE_REALTIME_TIMESTAMP") && length < 20) {
        char text[24];
        const char *rest = text;

        memcpy(text, value, length);
        text[length] = '\0';
        if (sa_os__number(&number, &rest) && !*rest && number <= APR_INT64_MAX) {
            return (apr_time_t)number;
        }
    }
    sd_journal_get_realtime_usec(journal, &arrived);
    return (apr_time_t)arrived;
}

static void append_message(reader_t *reader)
{
    const char *value;
    size_t length;
    size_t indent = reader->text.length;

    get(&value, &length, reader->journal, "MESSAGE");
    indent = indent > INDENT_MAX ? INDENT_MAX : indent;
    /* the library's own threshold is for compressed ones */
    length = length > DATA_MAX ? DATA_MAX : length;
    while (length > 0 && value[length - 1] == '\n') {
        length--;
    }
    while (length > 0) {
        const char *end = memchr(value, '\n', length);
        size_t part = end ? (size_t)(end - value) : length;

        sa_buf_append(&reader->text, value, part);
        if (end) {
            sa_buf_printf(&reader->text, "\n%*s", (int)indent, "");
            part++;
        }
        value += part;
        length -= part;
    }
}

/* 2026-11-24T03:04:05+0000 host nginx[12]: message */
static sa_error_t *tell(reader_t *reader)
{
    char when[SA_TIME_TEXT];

    sa_time_format(when, entry_time(reader->journal));
    sa_buf_clear(&reader->text);
    sa_buf_append(&reader->text, when, strcspn(when, "Z"));
    sa_buf_append_text(&reader->text, "+0000");
    append_field(reader, " ", "_HOSTNAME", "HOSTNAME", "");
    append_field(reader, " ", "SYSLOG_IDENTIFIER", "_COMM", "");
    append_field(reader, "[", "_PID", "SYSLOG_PID", "]");
    sa_buf_append_text(&reader->text, ": ");
    append_message(reader);
    return reader->fn(reader->baton, reader->text.data, reader->text.length);
}

static bool is_wanted(const reader_t *reader)
{
    const char *grep = reader->query->grep;
    const char *value;
    size_t length;

    if (!grep) {
        return true;
    }
    return get(&value, &length, reader->journal, "MESSAGE")
           && memmem(value, length, grep, strlen(grep)) != NULL;
}

static bool is_too_old(const reader_t *reader)
{
    uint64_t arrived;

    return reader->query->since > 0
           && sd_journal_get_realtime_usec(reader->journal, &arrived) >= 0
           && (apr_time_t)arrived < reader->query->since;
}

/* ---- reading -------------------------------------------------------------- */

static sa_error_t *check_cancelled(const reader_t *reader)
{
    if (reader->query->cancel && sa_os_is_cancelled(reader->query->cancel)) {
        return sa_error(SA_ERR_CANCELLED, NULL, NULL);
    }
    return SA_OK;
}

/* Go back from the end over the wanted entries; *COUNT of them were found. */
static sa_error_t *look_back(int *count, reader_t *reader)
{
    const sa_os_journal_query_t *query = reader->query;
    int result;

    *count = 0;
    result = sd_journal_seek_tail(reader->journal);
    while (result >= 0 && *count < query->count) {
        SA_TRY(check_cancelled(reader));
        if (sa_time_mono() > query->deadline) {
            if (query->cut_short) {
                *query->cut_short = true;
            }
            break;
        }
        result = sd_journal_previous(reader->journal);
        if (result <= 0 || is_too_old(reader)) {
            break;
        }
        if (is_wanted(reader)) {
            (*count)++;
            if (query->newest_first) {
                SA_TRY(tell(reader));
            }
        }
    }
    return result < 0 ? cannot(result, "read") : SA_OK;
}

/* Tell COUNT wanted entries, beginning with the one where we are. */
static sa_error_t *tell_forward(reader_t *reader, int count)
{
    int result = 1;

    while (count > 0 && result > 0) {
        SA_TRY(check_cancelled(reader));
        if (is_wanted(reader) && !is_too_old(reader)) {
            SA_TRY(tell(reader));
            count--;
        }
        if (count > 0) {
            result = sd_journal_next(reader->journal);
        }
    }
    return result < 0 ? cannot(result, "read") : SA_OK;
}

/* Entries that are not wanted can come without end: then too the caller has his turn. */
static sa_error_t *follow(reader_t *reader)
{
    apr_interval_time_t now = sa_time_mono();
    apr_interval_time_t told_at = now;
    apr_interval_time_t left = reader->query->follow_until - now;

    while (left > 0) {
        int result = sd_journal_next(reader->journal);

        SA_TRY(check_cancelled(reader));
        if (result > 0 && is_wanted(reader)) {
            SA_TRY(tell(reader));
            told_at = now;
        } else if (result == 0 || now - told_at >= WAIT) {
            SA_TRY(reader->fn(reader->baton, NULL, 0));
            told_at = now;
        }
        if (result == 0) {
            result = sd_journal_wait(reader->journal, (uint64_t)(left < WAIT ? left : WAIT));
        }
        if (result < 0) {
            return cannot(result, "follow");
        }
        now = sa_time_mono();
        left = reader->query->follow_until - now;
    }
    return SA_OK;
}

static sa_error_t *read_entries(reader_t *reader)
{
    int count;

    SA_TRY(look_back(&count, reader));
    if (reader->query->newest_first) {
        return SA_OK;
    }
    if (count > 0) {
        SA_TRY(tell_forward(reader, count));
    } else if (reader->query->follow_until > 0) {
        /* none so far; at its end the library would stay at its end */
        int result = sd_journal_seek_realtime_usec(reader->journal, (uint64_t)sa_time_now());

        if (result < 0) {
            return cannot(result, "read");
        }
    }
    return reader->query->follow_until > 0 ? follow(reader) : SA_OK;
}

sa_error_t *sa_os__journal_read(const char *directory, const sa_os_journal_query_t *query,
                                sa_os_journal_fn_t fn, void *baton, apr_pool_t *scratch_pool)
{
    reader_t *reader = apr_pcalloc(scratch_pool, sizeof(*reader));
    char unit[SA_OS_SERVICE_NAME_SIZE];

    reader->query = query;
    reader->fn = fn;
    reader->baton = baton;
    if (!sa_os__service_unit_name(unit, query->unit)) {
        return sa_error(SA_ERR_REFUSED, NULL, "not the name of a unit");
    }
    sa_buf_init(&reader->text, TEXT_MAX, scratch_pool);
    SA_TRY(open_journal(reader, directory, scratch_pool));
    SA_TRY(add_matches(reader, unit, scratch_pool));
    return read_entries(reader);
}

sa_error_t *sa_os_journal_read(const sa_os_journal_query_t *query, sa_os_journal_fn_t fn,
                               void *baton, apr_pool_t *scratch_pool)
{
    return sa_os__journal_read(NULL, query, fn, baton, scratch_pool);
}
