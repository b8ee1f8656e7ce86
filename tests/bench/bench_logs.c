/* The log command beside tail(1) and a bare read of the same bytes.
 *
 *     bench_logs FOLDER BYTES LINES
 *
 * Makes a log of BYTES in FOLDER and prints the medians, in microseconds, of: the command,
 * printing its reply, reading as many bytes, and `tail -n LINES`, its start included. */
#include "../../src/command/sa_command_private.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/wait.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "../../src/command/sa_command_policy.h"
#include "bench.h"
#include "sa_pool.h"
#include "sa_time.h"

#define TURNS 51
#define BLOCK (64 * 1024)

extern char **environ;

/* ---- what the command asks of others ------------------------------------------ */

bool sa_command_policy_allows_log(const sa_command_policy_t *policy, const char *path)
{
    (void)policy;
    (void)path;
    return true;
}

bool sa_command_policy_allows_service(const sa_command_policy_t *policy, const char *name)
{
    (void)policy;
    (void)name;
    return false;
}

bool sa_os_is_cancelled(const sa_os_cancel_t *cancel)
{
    (void)cancel;
    return false;
}

sa_error_t *sa_command__emit(sa_call_t *call, const char *stream, const char *data, size_t length)
{
    (void)call;
    (void)stream;
    (void)data;
    (void)length;
    return SA_OK;
}

sa_error_t *sa_command__begin(sa_call_t *call, const char *what, const char *as)
{
    (void)call;
    (void)what;
    (void)as;
    return SA_OK;
}

/* ---- the three ------------------------------------------------------------------ */

static void make_log(const char *path, long bytes)
{
    FILE *file = fopen(path, "w");
    long written = 0;

    must_be(file != NULL, path);
    for (int i = 0; written < bytes; i++) {
        written += fprintf(file, "192.0.2.%d - - [24/Nov/2026:03:04:%02d +0000] "
                           "\"GET /page/%08d HTTP/1.1\" 200 1234\n", i % 256, i % 60, i);
    }
    must_be(fclose(file) == 0, path);
}

/* Returns the length of the reply; *PRINTED: how long printing it took. */
static size_t run_command(apr_interval_time_t *printed, const char *path, int lines,
                          apr_pool_t *pool)
{
    sa_command_settings_t settings = { .log_links = true };
    sa_call_t call = { .settings = &settings, .reply_limit = 1024 * 1024 - 4096, .pool = pool };
    cJSON *request = sa_json_object(pool);
    size_t length;

    cJSON_AddStringToObject(request, "log_path", path);
    cJSON_AddNumberToObject(request, "lines", lines);
    call.request = request;
    call.reply = sa_json_object(pool);
    must_be(sa_command__logs(&call) == SA_OK, "the command failed");
    *printed = -sa_time_mono();
    sa_json_print(call.reply, &length, pool);
    *printed += sa_time_mono();
    return length;
}

static void read_bare(const char *path, long bytes)
{
    static char block[BLOCK];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t end = lseek(fd, 0, SEEK_END);

    for (long left = bytes; left > 0; left -= BLOCK) {
        end -= BLOCK;
        must_be(pread(fd, block, BLOCK, end) == BLOCK, "read");
    }
    close(fd);
}

static void run_tail(const char *path, const char *lines)
{
    const char *argv[] = { "tail", "-n", lines, path, NULL };
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    must_be(posix_spawnp(&child, "tail", &actions, NULL, (char *const *)argv, environ) == 0,
            "tail");
    must_be(waitpid(child, &status, 0) == child && status == 0, "tail");
    posix_spawn_file_actions_destroy(&actions);
}

static int compare(const void *a, const void *b)
{
    apr_interval_time_t left = *(const apr_interval_time_t *)a;
    apr_interval_time_t right = *(const apr_interval_time_t *)b;

    return left < right ? -1 : left > right;
}

static long median(apr_interval_time_t *times)
{
    qsort(times, TURNS, sizeof(*times), compare);
    return (long)times[TURNS / 2];
}

static void measure(const char *path, const char *lines, apr_pool_t *pool)
{
    apr_interval_time_t times[4][TURNS];
    apr_pool_t *turn = sa_pool_create(pool);

    for (int i = 0; i < TURNS; i++) {
        apr_interval_time_t began = sa_time_mono();
        size_t length = run_command(&times[1][i], path, (int)strtol(lines, NULL, 10), turn);

        apr_pool_clear(turn);
        times[0][i] = sa_time_mono() - began - times[1][i];
        began = sa_time_mono();
        read_bare(path, (long)length);
        times[2][i] = sa_time_mono() - began;
        began = sa_time_mono();
        run_tail(path, lines);
        times[3][i] = sa_time_mono() - began;
    }
    printf("%ld %ld %ld %ld\n", median(times[0]), median(times[1]), median(times[2]),
           median(times[3]));
}

int main(int argc, char **argv)
{
    apr_pool_t *pool;
    const char *path;

    must_be(argc == 4, "bench_logs FOLDER BYTES LINES");
    apr_initialize();
    pool = sa_pool_create_root();
    path = apr_pstrcat(pool, argv[1], "/bench.log", NULL);
    make_log(path, strtol(argv[2], NULL, 10));
    measure(path, argv[3], pool);
    unlink(path);
    apr_pool_destroy(pool);
    return EXIT_SUCCESS;
}
