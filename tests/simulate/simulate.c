/* Delivery under everything that can go wrong, in simulated time.
 *
 *     simulate [--from SEED] [--seeds N] [--jobs N] [--verbose]
 *
 * For each seed one life of an agent's schedule, outbox and spool: jobs make
 * reports and take their time, the bus, the disk and the wall clock do what they
 * like, the agent is killed and started again.
 * Then all is healed, and the checker compares: every number that was accepted
 * is in the stream once; what is missing was dropped by a limit and counted.
 * The same seed does the same again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_atomic.h>
#include <apr_file_io.h>
#include <apr_general.h>
#include <apr_shm.h>
#include <apr_strings.h>
#include <apr_thread_proc.h>

#include "../../src/outbox/sa_outbox_private.h"
#include "../../src/task/sa_task_schedule.h"
#include "fake_link.h"
#include "fault_vfs.h"
#include "sa_log.h"
#include "sa_pool.h"
#include "sa_random.h"
#include "sa_stats.h"
#include "sa_time.h"

#define SECOND APR_INT64_C(1000000)
#define MINUTE (60 * SECOND)
#define DUPLICATE_WINDOW (2 * MINUTE)
#define START (1785934245 * SECOND)

#define JOB_COUNT 4

typedef struct life_t {
    apr_uint64_t seed;
    const char *directory;
    sa_config_t *config;
    apr_pool_t *pool;           /* of the whole life */
    apr_pool_t *agent_pool;     /* of one process */
    sa_outbox_t *outbox;
    sa_random_t random;
    apr_interval_time_t start_at;   /* when the agent is started again */
    sa_job_t jobs[JOB_COUNT];       /* the first asks the collector, the others end by themselves */
    sa_random_t job_random;
    apr_interval_time_t ends_at[JOB_COUNT];     /* of the run under way; 0: none */
    apr_interval_time_t due_at[JOB_COUNT];      /* of the next run */
    apr_uint64_t asked;
    apr_uint64_t collected;
    const char *broken;             /* what the schedule did wrong */
    apr_interval_time_t next_trouble;
    int reports_left;
    int idle_turns;             /* in a row that were due at once again */
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

static void start_jobs(life_t *life);

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
    start_jobs(life);
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
        static const char *const names[FAKE_SUBJECTS] = {"telemetry.a", "telemetry.b",
                                                         "telemetry.c"};

        report = sa_report_create(SA_DELIVER_DURABLE, names[below(life, FAKE_SUBJECTS)], NULL,
                                  text, strlen(text));
    }
    /* a full mailbox waits in real time: keep away from it */
    if (sa_queue_length(life->outbox->mailbox) > 200) {
        sa_report_destroy(report);
        return;
    }
    err = sa_outbox_give(life->outbox, &report);
    sa_error_clear(err);
}

/* ---- the schedule --------------------------------------------------------- */

static life_t *living;      /* a job knows its place in here */

static void run_task(sa_job_t *job, apr_pool_t *pool)
{
    int which = (int)(job - living->jobs);
    int burst = 1 + (int)below(living, 6);

    (void)pool;
    if (living->ends_at[which] > mono) {
        living->broken = "a job overlaps itself";
    }
    if (mono > living->due_at[which] + 1000) {
        living->broken = "a job is late";
    }
    for (int i = 0; i < burst && living->reports_left > 0; i++) {
        make_report(living);
        living->reports_left--;
    }
    if (below(living, 2) == 0) {
        /* it takes its time, now and then more than there is */
        job->running = true;
        living->ends_at[which] = mono + 1
                                 + (apr_interval_time_t)below(
                                     living, 3 * (apr_uint64_t)job->interval);
    }
    if (which == 0) {
        job->running = true;
        job->asked = ++living->asked;
        if (living->ends_at[which] <= mono) {
            living->ends_at[which] = mono + 1;
        }
    }
}

static void note_overdue(sa_job_t *job, apr_pool_t *pool)
{
    (void)pool;
    if (mono < job->started_at + job->timeout) {
        living->broken = "a job is called overdue too early";
    }
}

static void start_jobs(life_t *life)
{
    static const char *const names[JOB_COUNT] = {"collect", "scrape 1", "scrape 2", "scrape 3"};

    memset(life->jobs, 0, sizeof(life->jobs));
    memset(life->ends_at, 0, sizeof(life->ends_at));
    life->collected = life->asked;
    for (int i = 0; i < JOB_COUNT; i++) {
        sa_job_t *job = &life->jobs[i];

        job->random = &life->job_random;
        job->name = names[i];
        job->run = run_task;
        job->interval = 2 * SECOND + (apr_interval_time_t)below(life, 10 * SECOND);
        job->timeout = i == 0 ? job->interval : 0;
        job->on_overdue = note_overdue;
        job->next_at = mono;
    }
}

/* Runs that come to their end. */
static void end_jobs(life_t *life)
{
    for (int i = 0; i < JOB_COUNT; i++) {
        if (life->ends_at[i] == 0 || life->ends_at[i] > mono) {
            continue;
        }
        life->ends_at[i] = 0;
        if (i == 0) {
            life->collected = life->asked;
        } else {
            life->jobs[i].running = false;
        }
    }
}

/* Returns when the schedule has the next to do. */
static apr_interval_time_t run_schedule(life_t *life)
{
    apr_pool_t *pool = sa_pool_create(life->agent_pool);
    apr_interval_time_t due;

    living = life;
    end_jobs(life);
    for (int i = 0; i < JOB_COUNT; i++) {
        life->due_at[i] = life->jobs[i].next_at;
    }
    due = sa_task__run_due(life->jobs, JOB_COUNT, life->collected, pool);
    apr_pool_destroy(pool);
    for (int i = 0; i < JOB_COUNT; i++) {
        if (life->ends_at[i] != 0 && life->ends_at[i] < due) {
            due = life->ends_at[i];
        }
        if (life->jobs[i].next_at > mono + life->jobs[i].interval) {
            life->broken = "a job waits longer than its interval";
        }
    }
    return due;
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

static apr_interval_time_t earliest(apr_interval_time_t a, apr_interval_time_t b)
{
    return a < b ? a : b;
}

static bool is_empty(life_t *life)
{
    sa_spool_state_t state;

    if (!life->agent_pool || !sa_spool_is_open(life->outbox->durable.spool)) {
        return false;
    }
    sa_spool_read_state(&state, life->outbox->durable.spool);
    return state.reports == 0 && life->outbox->durable.waiting_count == 0
           && sa_queue_length(life->outbox->mailbox) == 0;
}

/* One step of everything; the clock goes to the next thing that happens. */
static void live(life_t *life, bool troubled)
{
    apr_interval_time_t jobs_due = SA_OS_NEVER;
    apr_interval_time_t due;

    if (!life->agent_pool && mono >= life->start_at) {
        (void)start_agent(life);
    }
    if (troubled && life->agent_pool) {
        jobs_due = run_schedule(life);
    }
    due = life->agent_pool ? sa_outbox__step(life->outbox) : life->start_at;
    if (troubled && mono >= life->next_trouble) {
        make_trouble(life);
        life->next_trouble = mono + (apr_interval_time_t)below(life, 20 * SECOND);
    }
    due = earliest(due, fake_bus_next());
    if (troubled) {
        due = earliest(due, earliest(jobs_due, life->next_trouble));
    }
    if (!troubled && due == SA_OS_NEVER && !is_empty(life)) {
        life->broken = "reports wait and nothing is due";
    }
    due = earliest(due, mono + MINUTE);     /* with nothing under way, time passes all the same */
    life->idle_turns = due > mono ? 0 : life->idle_turns + 1;
    SA_ASSERT(life->idle_turns < 1000);     /* it would burn the processor */
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

/* Of all jobs. */
typedef struct tally_t {
    apr_uint32_t lives;
    apr_uint32_t kills;
    apr_uint32_t found;         /* reports that were stored and not sent again */
    apr_uint32_t denied;        /* lives whose role may not ask what is stored */
    apr_uint32_t unchecked;     /* other lives in which nobody answered that question */
} tally_t;

static tally_t *tally;
static apr_uint64_t unchecked;  /* the counters when the life began */
static apr_uint64_t found;

/* Nobody could say what the stream holds: twice is better than never. */
static bool may_be_twice(void)
{
    return fake_bus_is_denied() || sa_stats_read(SA_STAT_reports_unchecked) != unchecked;
}

static void note_life(const life_t *life)
{
    apr_atomic_inc32(&tally->lives);
    apr_atomic_add32(&tally->kills, (apr_uint32_t)life->kills);
    apr_atomic_add32(&tally->found,
                     (apr_uint32_t)(sa_stats_read(SA_STAT_reports_found) - found));
    if (fake_bus_is_denied()) {
        apr_atomic_inc32(&tally->denied);
    } else if (may_be_twice()) {
        apr_atomic_inc32(&tally->unchecked);
    }
}

static int check(life_t *life)
{
    const sa_spool_t *spool = life->outbox->durable.spool;
    sa_spool_state_t state;
    apr_int64_t missing = 0;

    if (life->broken) {
        return complain(life, life->broken, 0);
    }
    sa_spool_read_state(&state, spool);
    if (state.reports != 0) {
        return complain(life, "the spool is not empty at the end", (apr_int64_t)state.reports);
    }
    for (apr_int64_t seq = 1; seq <= state.last_seq; seq++) {
        int count = fake_stream_count(sa_spool_boot(spool), seq);

        if (count > 1 && !may_be_twice()) {
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
    config->spool_duplicate_window = DUPLICATE_WINDOW;
    config->spool_drain_rate = below(life, 2) == 0 ? 0 : 1 + (apr_int64_t)below(life, 100);
    config->spool_drain_spread = (apr_interval_time_t)below(life, 10 * SECOND);
    config->spool_ack_timeout = SECOND + (apr_interval_time_t)below(life, 9 * SECOND);
    return config;
}

static int run_seed(apr_uint64_t seed, const char *directory)
{
    life_t life = {.seed = seed, .directory = directory, .pool = sa_pool_create_root()};
    apr_interval_time_t give_up;
    int failed;

    unchecked = sa_stats_read(SA_STAT_reports_unchecked);
    found = sa_stats_read(SA_STAT_reports_found);
    mono = SECOND;
    wall_offset = 0;
    remove_spool(directory, life.pool);
    sa_random_init_seed(&life.random, seed);
    sa_random_init_seed(&life.job_random, seed + 2);
    sa_random_fix(seed * 2 + 1);
    fault_vfs_set(FAULT_NONE);
    life.config = make_config(&life, directory);
    life.reports_left = 20 + (int)below(&life, 200);
    fake_bus_open(seed + 1, DUPLICATE_WINDOW, life.pool);
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
    note_life(&life);
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

/* Memory that the jobs share. */
static bool make_tally(apr_pool_t *pool)
{
    apr_shm_t *shm;

    if (apr_shm_create(&shm, sizeof(*tally), NULL, pool) != APR_SUCCESS) {
        return false;
    }
    tally = apr_shm_baseaddr_get(shm);
    memset(tally, 0, sizeof(*tally));
    return true;
}

static void show_tally(void)
{
    printf("simulate: %u lives with %u kills; %u stored reports were found and not sent again; "
           "%u roles may not ask (twice is allowed), %u others got no answer\n",
           tally->lives, tally->kills, tally->found, tally->denied, tally->unchecked);
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
    if (!make_tally(pool)) {
        return 2;
    }
    if (!verbose) {
        sa_error_clear(sa_log_open(&quiet, pool));
    }
    sa_time_set_clock(&clock);
    failures = run_jobs(from, count, jobs, pool);
    show_tally();
    printf("simulate: %" APR_UINT64_T_FMT " seeds from %" APR_UINT64_T_FMT ": %s\n", count, from,
           failures ? "FAILED" : "nothing lost, nothing doubled");
    return failures ? 1 : 0;
}
