/* cli: tail.  Reads what the agent writes for it (sa_status.h).
 *
 * Who runs it may be root, and the directory is the agent's: the mark is put there whole and
 * never through a link, and the file is read as a foreign log is. */
#include <stdio.h>
#include <string.h>

#include <apr_file_io.h>
#include <apr_strings.h>

#include "sa_buf.h"
#include "sa_cli.h"
#include "sa_cli_colour.h"
#include "sa_os_daemon.h"
#include "sa_os_file.h"
#include "sa_os_logs.h"
#include "sa_pool.h"
#include "sa_status.h"
#include "sa_time.h"

#define LOOK_PAUSE apr_time_from_msec(200)
#define TOUCH_PAUSE apr_time_from_sec(3)
/* A message of SA_TAIL_PAYLOAD, each byte as six. */
#define LINE_LIMIT ((size_t)128 * 1024)
#define BLOCK 16384

typedef struct tail_t {
    const sa_cli_options_t *options;
    const char *runtime;
    const char *path;
    const char *wanted;
    apr_interval_time_t touch_at;
    apr_int64_t count;
    apr_pool_t *file_pool;
    apr_file_t *file;           /* NULL: not there */
    apr_finfo_t info;           /* of it, to know another in its place */
    sa_buf_t line;              /* the beginning of one */
} tail_t;

static void print_message(const cJSON *json, apr_pool_t *pool)
{
    const char *time = sa_json_text(json, "ts");
    const char *data = sa_json_text(json, "data");
    const char *coded = sa_json_text(json, "data_base64");
    double bytes = 0;
    double lost = 0;

    if (sa_json_number(json, "lost_before", &lost)) {
        printf("%s... %.0f messages came faster than they could be written%s\n",
               sa_cli_colour(SA_COLOUR_YELLOW), lost, sa_cli_colour(SA_COLOUR_PLAIN));
    }
    sa_json_number(json, "bytes", &bytes);
    printf("%s%s%s %s%s%s %.0f B  %s%s\n", sa_cli_colour(SA_COLOUR_DIM),
           time ? sa_cli_line(time, pool) : "", sa_cli_colour(SA_COLOUR_PLAIN),
           sa_cli_colour(SA_COLOUR_BOLD),
           sa_json_text(json, "subject") ? sa_cli_line(sa_json_text(json, "subject"), pool) : "",
           sa_cli_colour(SA_COLOUR_PLAIN), bytes,
           data ? sa_cli_line(data, pool) : coded ? "(not text)" : "",
           cJSON_IsTrue(cJSON_GetObjectItem(json, "cut")) ? " ..." : "");
}

/* One line of the file, without its end. */
static void take_line(tail_t *tail, const char *line, size_t length)
{
    apr_pool_t *pool = sa_pool_create(tail->file_pool);
    cJSON *json;
    sa_error_t *err = sa_json_parse(&json, line, length, pool);

    if (err) {
        sa_error_clear(err);    /* not whole: the agent was stopped in it */
    } else if (tail->options->json) {
        puts(sa_json_print(json, NULL, pool));
        tail->count++;
    } else {
        print_message(json, pool);
        tail->count++;
    }
    apr_pool_destroy(pool);
}

static bool is_done(const tail_t *tail)
{
    return tail->options->count > 0 && tail->count >= tail->options->count;
}

static void take_block(tail_t *tail, const char *block, size_t length)
{
    while (length > 0 && !is_done(tail)) {
        const char *end = memchr(block, '\n', length);
        size_t part = end ? (size_t)(end - block) : length;

        if (!sa_buf_append(&tail->line, block, part)) {
            sa_buf_clear(&tail->line);      /* longer than the agent makes them */
        }
        if (end) {
            take_line(tail, tail->line.data ? tail->line.data : "", tail->line.length);
            sa_buf_clear(&tail->line);
            part++;
        }
        block += part;
        length -= part;
    }
}

/* The file that is there now; one that cannot be opened says so once. */
static void open_file(tail_t *tail)
{
    const sa_os_log_policy_t policy = {.links = false};
    sa_os_log_file_t log;
    sa_error_t *err;

    apr_pool_clear(tail->file_pool);
    sa_buf_init(&tail->line, LINE_LIMIT, tail->file_pool);
    tail->file = NULL;
    err = sa_os_log_open(&log, tail->path, &policy, tail->file_pool);
    if (err) {
        sa_error_clear(err);    /* not there yet: the agent publishes nothing */
        return;
    }
    if (apr_file_info_get(&tail->info, APR_FINFO_IDENT | APR_FINFO_SIZE, log.file)
        == APR_SUCCESS) {
        tail->file = log.file;
    }
}

static bool is_another(const tail_t *tail)
{
    apr_pool_t *pool = sa_pool_create(tail->file_pool);
    apr_finfo_t now;
    bool another = apr_stat(&now, tail->path, APR_FINFO_IDENT, pool) == APR_SUCCESS
                   && (now.inode != tail->info.inode || now.device != tail->info.device);

    apr_pool_destroy(pool);
    return another;
}

static void read_on(tail_t *tail)
{
    char block[BLOCK];
    apr_size_t length = sizeof(block);

    while (tail->file && !is_done(tail)
           && apr_file_read(tail->file, block, &length) == APR_SUCCESS) {
        take_block(tail, block, length);
        length = sizeof(block);
    }
    if (!tail->file || is_another(tail)) {
        open_file(tail);
    }
    fflush(stdout);
}

static sa_error_t *touch(tail_t *tail, apr_pool_t *pool)
{
    if (sa_time_mono() < tail->touch_at) {
        return SA_OK;
    }
    tail->touch_at = sa_time_mono() + TOUCH_PAUSE;
    return sa_os_file_write_public(tail->wanted, "", 0, pool);
}

/* What was written before somebody looked on now is old. */
static void skip_old(tail_t *tail)
{
    apr_off_t end = 0;

    open_file(tail);
    if (tail->file) {
        (void)apr_file_seek(tail->file, APR_END, &end);
    }
}

static sa_error_t *follow(tail_t *tail, apr_pool_t *pool)
{
    sa_status_t status;

    skip_old(tail);
    do {
        SA_TRY(touch(tail, pool));
        read_on(tail);
        SA_TRY(sa_status_read(&status, tail->runtime, pool));
        if (!status.running) {
            return sa_error(SA_ERR_STOPPING, NULL, "the agent has ended");
        }
        apr_pool_clear(pool);
    } while (!is_done(tail)
             && sa_os_daemon_wait(sa_time_mono() + LOOK_PAUSE) != SA_OS_REQUEST_STOP);
    return SA_OK;
}

int sa_cli_tail(const sa_cli_options_t *options, apr_pool_t *pool)
{
    const char *runtime = sa_cli_runtime(options, pool);
    tail_t *tail = apr_pcalloc(pool, sizeof(*tail));    /* its buffer goes with the pool */
    sa_status_t status;
    sa_error_t *err;

    err = sa_status_read(&status, runtime, pool);
    if (!err && !status.running) {
        fprintf(stderr, "stone-age-agent: no agent runs, as far as %s tells\n", runtime);
        return SA_EXIT_NOT_RUNNING;
    }
    tail->options = options;
    tail->runtime = runtime;
    tail->path = apr_pstrcat(pool, runtime, "/" SA_TAIL_FILE, NULL);
    tail->wanted = apr_pstrcat(pool, runtime, "/" SA_TAIL_WANTED, NULL);
    tail->file_pool = sa_pool_create(pool);
    if (!err) {
        err = follow(tail, sa_pool_create(pool));
    }
    (void)apr_file_remove(tail->wanted, pool);       /* others who look on put it there again */
    return err ? sa_cli_fail(err) : SA_EXIT_OK;
}
