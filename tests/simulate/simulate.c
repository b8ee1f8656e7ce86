/* Delivery under everything that can go wrong, in simulated time.
 *
 *     simulate [--from SEED] [--seeds N] [--jobs N] [--verbose]
 *
 * For each seed one life of an agent's outbox and spool: reports are made, the
 * bus and the disk do what they like, the agent is killed and started again.
 * Then all is healed, and the checker compares: every number that was accepted
 * is in the stream once; what is missing was dropped by a limit and counted.
 * The same seed does the same again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_file_io.h>
#include <apr_general.h>
#include <apr_strings.h>
#include <apr_thread_proc.h>

#include "../../src/outbox/sa_outbox_private.h"
#include "fake_link.h"
#include "fault_vfs.h"
#include "sa_log.h"
#include "sa_pool.h"
#include "sa_random.h"
#include "sa_stats.h"
#include "sa_time.h"

#define SECOND APR_INT64_C(1000000)
#define MINUTE (60 * SECOND)
#define START (1785934245 * SECOND)

typedef struct life_t {
    apr_uint64_t seed;
    const char *directory;
    sa_config_t *config;
    apr_pool_t *pool;           /* of the whole life */
    apr_pool_t *agent_pool;     /* of one process */
    sa_outbox_t *outbox;
    sa_random_t random;
    apr_interval_time_t start_at;   /* when the agent is started again */
    apr_interval_time_t next_report;
    apr_interval_time_t next_trouble;
    int reports_left;
    int kills;
    apr_uint64_t events;
} life_t;

static apr_interval_time_t mono;
static apr_time_t wall_offset;

static apr_interval_time_t read_mono(void *baton)
{
    (void)baton;
    return mono;
}

static apr_time_t read_now(void *baton)
{
    (void)baton;
    return START + mono + wall_offset;
}

static apr_uint64_t below(life_t *life, apr_uint64_t limit)
{
    return sa_random_below(&life->random, limit);
}

/* ---- the agent ------------------------------------------------------------ */

static bool start_agent(life_t *life)
{
    sa_link_t *link;
    sa_error_t *err;

    life->agent_pool = sa_pool_create_root();
    sa_error_clear(sa_link_create(&link, life->agent_pool));
    sa_error_clear(sa_outbox_create(&life->outbox, link, life->agent_pool));
    err = sa_outbox__open(life->outbox, life->config);
    if (err) {
        /* the disk does not let it: as a service would, it is started again */
        sa_error_clear(err);
        fake_bus_forget_link();
        apr_pool_destroy(life->agent_pool);
        life->agent_pool = NULL;
        life->start_at = mono + SECOND;
        return false;
    }
    return true;
}

/* What was in memory is gone.  Reports still in the mailbox were not accepted. */
static void kill_agent(life_t *life)
{
    sa_report_t *report = sa_queue_try_take(life->outbox->mailbox);

    while (report) {
        sa_report_destroy(report);
        report = sa_queue_try_take(life->outbox->mailbox);
    }
    for (int i = 0; i < life->outbox->durable.waiting_count; i++) {
        sa_report_destroy(life->outbox->durable.waiting[i]);
    }
    sa_outbox__latest_finish(life->outbox);
    fake_bus_forget_link();
    apr_pool_destroy(life->agent_pool);
    life->agent_pool = NULL;
    life->start_at = mono + (apr_interval_time_t)below(life, 3 * SECOND);
    life->kills++;
}

static void make_report(life_t *life)
{
    char text[64];
    sa_report_t *report;
    sa_error_t *err;

    apr_snprintf(text, sizeof(text), "%" APR_UINT64_T_FMT, below(life, 1000000));
    if (below(life, 8) == 0) {
        report = sa_report_create(SA_DELIVER_LATEST, "status", NULL, "online", 6);
        report->expires_at = mono + 30 * SECOND;
    } else {
        report = sa_report_create(SA_DELIVER_DURABLE, "telemetry.x", NULL, text, strlen(text));
    }
    /* a full mailbox waits in real time: keep away from it */
    if (sa_queue_length(life->outbox->mailbox) > 200) {
        sa_report_destroy(report);
        return;
    }
    err = sa_outbox_give(life->outbox, &report);
    sa_error_clear(err);
}

/* ---- trouble -------------------------------------------------------------- */

static void make_trouble(life_t *life)
{
    switch (below(life, 8)) {
    case 0:
    case 1:
    case 2:
    case 3:
        fake_bus_shake();
        break;
    case 4:
        fault_vfs_set((fault_t)below(life, 4));
        break;
    case 5:
        fault_vfs_set(FAULT_NONE);
        break;
    case 6:
        wall_offset += ((apr_time_t)below(life, 7200) - 3600) * SECOND;     /* an hour each way */
        break;
    default:
        if (life->agent_pool) {
            kill_agent(life);
        }
        break;
    }
}

static void make_reports(life_t *life)
{
    int burst = 1 + (int)below(life, 6);

    for (int i = 0; i < burst && life->agent_pool && life->reports_left > 0; i++) {
        make_report(life);
        life->reports_left--;
    }
    life->next_report = mono + (apr_interval_time_t)below(life, 4 * SECOND);
}

static apr_interval_time_t earliest(apr_interval_time_t a, apr_interval_time_t b)
{
    return a < b ? a : b;
}

/* One step of everything; the clock goes to the next thing that happens. */
static void live(life_t *life, bool troubled)
{
    apr_interval_time_t due;

    if (!life->agent_pool && mono >= life->start_at) {
        (void)start_agent(life);
    }
    if (troubled && mono >= life->next_report) {
        make_reports(life);
    }
    due = life->agent_pool ? sa_outbox__step(life->outbox) : life->start_at;
    if (troubled && mono >= life->next_trouble) {
        make_trouble(life);
        life->next_trouble = mono + (apr_interval_time_t)below(life, 20 * SECOND);
    }
    due = earliest(due, fake_bus_next());
    if (troubled) {
        due = earliest(due, earliest(life->next_report, life->next_trouble));
    }
    due = earliest(due, mono + MINUTE);     /* with nothing under way, time passes all the same */
    mono = due > mono ? due : mono + 1;
    fake_bus_advance(mono);
    life->events++;
}

/* ---- the checker ---------------------------------------------------------- */

static int complain(const life_t *life, const char *what, apr_int64_t number)
{
    fprintf(stderr, "seed %" APR_UINT64_T_FMT ": %s (%" APR_INT64_T_FMT "); replay with "
            "--from %" APR_UINT64_T_FMT " --seeds 1 --verbose\n", life->seed, what, number,
            life->seed);
    return 1;
}

static int check(life_t *life)
{
    const sa_spool_t *spool = life->outbox->durable.spool;
    sa_spool_state_t state;
    apr_int64_t missing = 0;

    sa_spool_read_state(&state, spool);
    if (state.reports != 0) {
        return complain(life, "the spool is not empty at the end", (apr_int64_t)state.reports);
    }
    for (apr_int64_t seq = 1; seq <= state.last_seq; seq++) {
        int count = fake_stream_count(sa_spool_boot(spool), seq);

        if (count > 1) {
            return complain(life, "stored twice", seq);
        }
        missing += count == 0;
    }
    /* one that was dropped may have been stored: its acknowledgement was lost */
    if (missing > (apr_int64_t)state.dropped) {
        return complain(life, "accepted and lost", missing - (apr_int64_t)state.dropped);
    }
    if ((apr_int64_t)fake_stream_size() != state.last_seq - missing) {
        return complain(life, "the stream holds what was never accepted",
                        (apr_int64_t)fake_stream_size());
    }
    return 0;
}

static bool is_empty(life_t *life)
{
    sa_spool_state_t state;

    if (!life->agent_pool) {
        return false;
    }
    sa_spool_read_state(&state, life->outbox->durable.spool);
    return state.reports == 0 && life->outbox->durable.waiting_count == 0
           && sa_queue_length(life->outbox->mailbox) == 0;
}

/* ---- one seed ------------------------------------------------------------- */

static void remove_spool(const char *directory, apr_pool_t *pool)
{
    static const char *const tails[] = {"", "-wal", "-shm"};

    for (int i = 0; i < 3; i++) {
        (void)apr_file_remove(apr_pstrcat(pool, directory, "/spool.db", tails[i], NULL), pool);
    }
}

static sa_config_t *make_config(life_t *life, const char *directory)
{
    sa_config_t *config = apr_pcalloc(life->pool, sizeof(*config));

    config->code = "sim";
    config->subject_prefix = "agents";
    config->paths_state = directory;
    config->spool_max_size = below(life, 4) == 0 ? 4000 : 1 << 20;     /* some lives are narrow */
    config->spool_max_age = below(life, 4) == 0 ? 10 * MINUTE : 7 * 24 * 60 * MINUTE;
    config->spool_window = 1 + (apr_int64_t)below(life, 64);
    config->spool_ack_timeout = SECOND + (apr_interval_time_t)below(life, 9 * SECOND);
    return config;
}

static int run_seed(apr_uint64_t seed, const char *directory)
{
    life_t life = {.seed = seed, .directory = directory, .pool = sa_pool_create_root()};
    apr_interval_time_t give_up;
    int failed;

    mono = SECOND;
    wall_offset = 0;
    remove_spool(directory, life.pool);
    sa_random_init_seed(&life.random, seed);
    sa_random_fix(seed * 2 + 1);
    fault_vfs_set(FAULT_NONE);
    life.config = make_config(&life, directory);
    life.reports_left = 20 + (int)below(&life, 200);
    fake_bus_open(seed + 1, 24 * 60 * MINUTE, life.pool);
    while (life.reports_left > 0) {
        live(&life, true);
    }
    fault_vfs_set(FAULT_NONE);
    fake_bus_heal();
    give_up = mono + 60 * MINUTE;
    while (!is_empty(&life) && mono < give_up) {
        live(&life, false);
    }
    failed = life.agent_pool ? check(&life) : complain(&life, "the agent does not start", 0);
    if (life.agent_pool) {
        kill_agent(&life);
    }
    apr_pool_destroy(life.pool);
    return failed;
}

/* ---- many ----------------------------------------------------------------- */

static pid_t parent;

static int run_range(apr_uint64_t from, apr_uint64_t count, apr_uint64_t step,
                     const char *directory)
{
    int failures = 0;

    /* nobody waits for the orphan of a job that was stopped */
    for (apr_uint64_t i = 0; i < count && failures < 5 && getppid() == parent; i += step) {
        failures += run_seed(from + i, directory);
    }
    return failures;
}

static int run_job(apr_uint64_t from, apr_uint64_t count, int job, int jobs, apr_pool_t *pool)
{
    char *directory;
    const char *temp;
    int failures;

    if (apr_temp_dir_get(&temp, pool) != APR_SUCCESS) {
        return 1;
    }
    directory = apr_psprintf(pool, "%s/sa-simulate-%" APR_UINT64_T_FMT "-%d", temp, from, job);
    sa_random_fix(0);
    {
        char name[13];

        sa_random_text(name, 12);
        directory = apr_pstrcat(pool, directory, "-", name, NULL);
    }
    if (apr_dir_make(directory, APR_FPROT_OS_DEFAULT, pool) != APR_SUCCESS) {
        return 1;
    }
    failures = run_range(from + (apr_uint64_t)job, count - (apr_uint64_t)job, (apr_uint64_t)jobs,
                         directory);
    remove_spool(directory, pool);
    (void)apr_dir_remove(directory, pool);
    return failures;
}

static int run_jobs(apr_uint64_t from, apr_uint64_t count, int jobs, apr_pool_t *pool)
{
    apr_proc_t children[64];
    int failures = 0;

    parent = getpid();
    for (int i = 0; i < jobs; i++) {
        if (apr_proc_fork(&children[i], pool) == APR_INCHILD) {
            exit(run_job(from, count, i, jobs, pool) ? 1 : 0);
        }
    }
    for (int i = 0; i < jobs; i++) {
        int code = 1;
        apr_exit_why_e why;

        (void)apr_proc_wait(&children[i], &code, &why, APR_WAIT);
        failures += !APR_PROC_CHECK_EXIT(why) || code != 0;
    }
    return failures;
}

static sa_log_settings_t quiet = {.level = SA_LEVEL_error, .path = "/dev/null"};

int main(int argc, char **argv)
{
    static const sa_clock_t clock = {.now = read_now, .mono = read_mono};
    apr_uint64_t from = 1;
    apr_uint64_t count = 300;
    int jobs = 1;
    bool verbose = false;
    apr_pool_t *pool;
    int failures;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--verbose") == 0) {
            verbose = true;
        } else if (i + 1 < argc && strcmp(argv[i], "--from") == 0) {
            from = strtoull(argv[++i], NULL, 10);
        } else if (i + 1 < argc && strcmp(argv[i], "--seeds") == 0) {
            count = strtoull(argv[++i], NULL, 10);
        } else if (i + 1 < argc && strcmp(argv[i], "--jobs") == 0) {
            jobs = (int)strtoul(argv[++i], NULL, 10);
        } else {
            fputs("usage: simulate [--from SEED] [--seeds N] [--jobs N] [--verbose]\n", stderr);
            return 2;
        }
    }
    jobs = jobs < 1 ? 1 : jobs > 64 ? 64 : jobs;
    apr_initialize();
    pool = sa_pool_create_root();
    sa_stats_init(pool);
    fault_vfs_register();
    if (!verbose) {
        sa_error_clear(sa_log_open(&quiet, pool));
    }
    sa_time_set_clock(&clock);
    failures = run_jobs(from, count, jobs, pool);
    printf("simulate: %" APR_UINT64_T_FMT " seeds from %" APR_UINT64_T_FMT ": %s\n", count, from,
           failures ? "FAILED" : "nothing lost, nothing doubled");
    return failures ? 1 : 0;
}
