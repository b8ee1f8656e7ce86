/* Running a program: what holding it together costs, beside a bare posix_spawn(3) with
 * two pipes that is read to its end and waited for.
 *
 *     bench_exec PROGRAM COUNT [MEGABYTES]
 *
 * COUNT runs of PROGRAM each, in turn, in a process that holds MEGABYTES: bare, in a
 * cgroup (where we have one), under a supervisor.  Prints the medians in microseconds
 * and their ratios to the first. */
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>

#include "bare_run.h"
#include "bench.h"
#include "sa_os_exec.h"
#include "sa_pool.h"
#include "sa_time.h"

static sa_error_t *ignore(void *baton, sa_os_exec_stream_t stream, const char *data,
                          size_t length)
{
    (void)baton;
    (void)stream;
    (void)data;
    (void)length;
    return SA_OK;
}

static void run_ours(sa_os_program_t *program, const char *path, apr_pool_t *pool)
{
    const char *const arguments[] = {path, NULL};
    sa_os_exec_t exec = {
        .program = program, .argv = arguments, .env = bare_environment,
        .timeout = apr_time_from_sec(60), .output = ignore
    };
    sa_os_exec_result_t result;

    must_be(sa_os_exec(&result, &exec, pool) == SA_OK && result.end == SA_OS_EXEC_EXITED
            && result.exit_code == 0, path);
    apr_pool_clear(pool);
}

static int compare(const void *a, const void *b)
{
    apr_interval_time_t left = *(const apr_interval_time_t *)a;
    apr_interval_time_t right = *(const apr_interval_time_t *)b;

    return left < right ? -1 : left > right;
}

static double median(apr_interval_time_t *times, int count)
{
    qsort(times, (size_t)count, sizeof(*times), compare);
    return (double)times[count / 2];
}

/* COUNT runs, ours and a bare one in turn. */
static void measure(const char *name, const char *path, int count, apr_pool_t *pool)
{
    apr_interval_time_t *ours = apr_palloc(pool, sizeof(*ours) * (size_t)count);
    apr_interval_time_t *bare = apr_palloc(pool, sizeof(*bare) * (size_t)count);
    apr_pool_t *run_pool = sa_pool_create(pool);
    sa_os_program_t *program;
    double least;
    double mine;

    must_be(sa_os_program_open(&program, path, false, pool) == SA_OK, path);
    run_ours(program, path, run_pool);
    for (int i = 0; i < count; i++) {
        apr_interval_time_t began = sa_time_mono();

        bare_run(path);
        bare[i] = sa_time_mono() - began;
        began = sa_time_mono();
        run_ours(program, path, run_pool);
        ours[i] = sa_time_mono() - began;
    }
    least = median(bare, count);
    mine = median(ours, count);
    printf("%s %.0f %.0f %.2f\n", name, mine, least, mine / least);
}

int main(int argc, char **argv)
{
    sa_os_exec_support_t support;
    apr_pool_t *pool;
    apr_pool_t *open_pool;
    size_t held;
    int count;

    must_be(argc == 3 || argc == 4, "usage: bench_exec PROGRAM COUNT [MEGABYTES]");
    apr_initialize();
    pool = sa_pool_create_root();
    open_pool = sa_pool_create(pool);
    count = (int)strtol(argv[2], NULL, 10);
    held = argc == 4 ? strtoul(argv[3], NULL, 10) << 20 : 0;
    memset(apr_palloc(pool, held + 1), 1, held + 1);
    must_be(count > 0, "COUNT");
    must_be(sa_os_exec_open(open_pool) == SA_OK, "open");
    sa_os_exec_support(&support);
    if (support.cgroup) {
        measure("cgroup", argv[1], count, pool);
    }
    apr_pool_destroy(open_pool);
    measure("supervisor", argv[1], count, pool);
    return EXIT_SUCCESS;
}
