/* base: the log.  One lock around repeats, writing and rotation; a line is one
 * write, so that lines of several threads never mix. */
#include "sa_log.h"

#include <stdio.h>
#include <string.h>

#include <apr_file_io.h>
#include <apr_strings.h>

#include "sa_log_format.h"
#include "sa_os_thread.h"
#include "sa_pool.h"
#include "sa_stats.h"
#include "sa_time.h"

static const sa_event_row_t event_rows[] = {
#define SA_EVENT(id, level, text, advice) {#id, SA_LEVEL_##level, text, advice},
#include "sa_events.def"
#undef SA_EVENT
};

/* The same line is printed once in this time. */
#define REPEAT_WINDOW apr_time_from_sec(60)
/* Different lines remembered; the oldest is forgotten, which prints it again. */
#define REPEAT_SLOTS 64

typedef struct repeat_t {
    apr_uint64_t hash;
    sa_event_t event;
    unsigned int count;             /* held back since it was printed */
    apr_interval_time_t printed_at;
} repeat_t;

static struct {
    sa_os_mutex_t *mutex;           /* guards everything below; NULL until opened */
    sa_log_settings_t settings;
    apr_pool_t *pool;               /* of the path and FILE_POOL; NULL: standard error */
    apr_pool_t *file_pool;          /* of FILE; cleared when a new file begins */
    apr_file_t *file;
    apr_int64_t file_bytes;
    bool failed;                    /* the file could not be written; said once */
    repeat_t repeats[REPEAT_SLOTS];
} logger = {.settings = {.level = SA_LEVEL_info}};

static struct {
    sa_log_tap_fn_t fn;             /* set while there is one thread only */
    void *baton;
} tap;

void sa_log_set_tap(sa_log_tap_fn_t fn, void *baton)
{
    tap.fn = fn;
    tap.baton = baton;
}

const sa_event_row_t *sa_event_row(sa_event_t event)
{
    return &event_rows[event];
}

const char *sa_log_level_name(sa_log_level_t level)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};

    return names[level];
}

bool sa_log_is_on(sa_log_level_t level)
{
    return level <= logger.settings.level;
}

static sa_error_t *open_file(apr_file_t **file, apr_int64_t *bytes, const char *path,
                             apr_pool_t *pool)
{
    apr_finfo_t info;

    SA_TRY_APR(apr_file_open(file, path,
                             APR_FOPEN_WRITE | APR_FOPEN_CREATE | APR_FOPEN_APPEND,
                             APR_FPROT_UREAD | APR_FPROT_UWRITE | APR_FPROT_GREAD, pool),
               "cannot open the log file %s", path);
    *bytes = apr_file_info_get(&info, APR_FINFO_SIZE, *file) == APR_SUCCESS ? info.size : 0;
    return SA_OK;
}

/* path -> path.1 -> path.2 ...; the last one is replaced. */
static void shift_backups(const char *path, int backups, apr_pool_t *pool)
{
    for (int i = backups; i > 0; i--) {
        const char *from = i == 1 ? path : apr_psprintf(pool, "%s.%d", path, i - 1);

        /* a missing one is no error: there are fewer backups yet */
        (void)apr_file_rename(from, apr_psprintf(pool, "%s.%d", path, i), pool);
    }
    if (backups == 0) {
        (void)apr_file_remove(path, pool);
    }
}

/* Begin a new file; the lock is held. */
static void rotate(void)
{
    const char *path = logger.settings.path;
    sa_error_t *err;

    apr_pool_clear(logger.file_pool);
    shift_backups(path, logger.settings.max_backups, logger.file_pool);
    err = open_file(&logger.file, &logger.file_bytes, path, logger.file_pool);
    if (err) {
        sa_error_clear(err);    /* write_line() says so, once, on standard error */
        logger.file = NULL;
        logger.file_bytes = 0;
    }
}

static void write_line(const char *line, size_t length)
{
    if (logger.pool) {
        apr_size_t written = 0;

        if (logger.settings.max_bytes > 0
            && logger.file_bytes + (apr_int64_t)length > logger.settings.max_bytes) {
            rotate();
        }
        if (logger.file
            && apr_file_write_full(logger.file, line, length, &written) == APR_SUCCESS) {
            logger.file_bytes += (apr_int64_t)length;
            logger.failed = false;
            return;
        }
        if (!logger.failed) {
            logger.failed = true;
            fprintf(stderr, "stone-age-agent: cannot write the log file %s\n",
                    logger.settings.path);
        }
    }
    fwrite(line, 1, length, stderr);
}

/* The slot of HASH, or the one to reuse for it. */
static repeat_t *find_repeat(apr_uint64_t hash)
{
    repeat_t *oldest = &logger.repeats[0];

    for (int i = 0; i < REPEAT_SLOTS; i++) {
        repeat_t *slot = &logger.repeats[i];

        if (slot->hash == hash) {
            return slot;
        }
        if (slot->printed_at < oldest->printed_at) {
            oldest = slot;
        }
    }
    return oldest;
}

/* Print a line that says how often SLOT's event was held back. */
static void print_held_back(repeat_t *slot, apr_time_t now)
{
    char line[SA_LOG_LINE];
    const sa_field_t fields[] = {
        SA_S("of", sa_event_row(slot->event)->id), SA_I("times", slot->count), SA_FIELD_END
    };

    if (slot->count == 0) {
        return;
    }
    slot->count = 0;
    write_line(line, sa_log__format(line, &logger.settings, now, SA_EVENT_log_repeated, fields, 0));
}

/* A change of state: what is said of the same thing before and after it (the
 * same first word of its id) is news again. */
static void forget_family(sa_event_t event, apr_time_t now)
{
    const char *id = sa_event_row(event)->id;
    size_t length = strcspn(id, "_") + 1;

    for (int i = 0; i < REPEAT_SLOTS; i++) {
        repeat_t *slot = &logger.repeats[i];

        if (slot->hash != 0 && strncmp(sa_event_row(slot->event)->id, id, length) == 0) {
            print_held_back(slot, now);
            memset(slot, 0, sizeof(*slot));
        }
    }
}

/* Is this line to be held back?  *REPEATED: how many were before it. */
static bool is_repeat(sa_event_t event, const sa_field_t *fields, unsigned int *repeated)
{
    apr_interval_time_t now = sa_time_mono();
    apr_uint64_t hash = sa_log__hash(event, fields);
    repeat_t *slot = find_repeat(hash);

    *repeated = 0;
    if (slot->hash == hash && slot->event == event) {
        if (now - slot->printed_at < REPEAT_WINDOW) {
            slot->count++;
            sa_stats_add(SA_STAT_log_suppressed, 1);
            return true;
        }
        *repeated = slot->count;
    } else {
        print_held_back(slot, sa_time_now());
    }
    slot->hash = hash;
    slot->event = event;
    slot->count = 0;
    slot->printed_at = now;
    return false;
}

void sa_log_write(sa_event_t event, const sa_field_t *fields)
{
    sa_log_level_t level = event_rows[event].level;
    char line[SA_LOG_LINE];
    unsigned int repeated = 0;

    if ((tap.fn && tap.fn(tap.baton, event, fields)) || !sa_log_is_on(level)) {
        return;
    }
    if (logger.mutex) {
        sa_os_mutex_lock(logger.mutex);
    }
    if (level == SA_LEVEL_info) {
        forget_family(event, sa_time_now());
    }
    if (level >= SA_LEVEL_info || !is_repeat(event, fields, &repeated)) {
        write_line(line, sa_log__format(line, &logger.settings, sa_time_now(), event, fields,
                                        repeated));
    }
    if (logger.mutex) {
        sa_os_mutex_unlock(logger.mutex);
    }
}

sa_error_t *sa_log_open(const sa_log_settings_t *settings, apr_pool_t *pool)
{
    apr_pool_t *own_pool = NULL;
    apr_pool_t *file_pool = NULL;
    apr_pool_t *old_pool;
    apr_file_t *file = NULL;
    apr_int64_t bytes = 0;

    if (settings->path) {
        sa_error_t *err;

        own_pool = sa_pool_create_root();
        file_pool = sa_pool_create(own_pool);
        err = open_file(&file, &bytes, settings->path, file_pool);
        if (err) {
            apr_pool_destroy(own_pool);
            return err;
        }
    }
    if (!logger.mutex) {
        logger.mutex = sa_os_mutex_create(pool);
    }
    sa_os_mutex_lock(logger.mutex);
    old_pool = logger.pool;
    logger.settings = *settings;
    logger.settings.path = settings->path ? apr_pstrdup(own_pool, settings->path) : NULL;
    logger.pool = own_pool;
    logger.file_pool = file_pool;
    logger.file = file;
    logger.file_bytes = bytes;
    logger.failed = false;
    sa_os_mutex_unlock(logger.mutex);
    if (old_pool) {
        apr_pool_destroy(old_pool);
    }
    return SA_OK;
}

void sa_log_close(void)
{
    if (!logger.mutex) {
        return;
    }
    sa_os_mutex_lock(logger.mutex);
    for (int i = 0; i < REPEAT_SLOTS; i++) {
        print_held_back(&logger.repeats[i], sa_time_now());
    }
    if (logger.pool) {
        apr_pool_destroy(logger.pool);
    }
    memset(logger.repeats, 0, sizeof(logger.repeats));
    logger.pool = NULL;
    logger.file_pool = NULL;
    logger.file = NULL;
    logger.settings.path = NULL;
    sa_os_mutex_unlock(logger.mutex);
    logger.mutex = NULL;
}
