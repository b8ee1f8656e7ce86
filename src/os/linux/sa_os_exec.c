/* os: running a program, from the first to the last process of it.
 *
 * The calling thread does all of it: it starts the child, reads its output, looks at the
 * clock, ends what is to be ended.  What holds the run together is its cgroup where we
 * have one (sa_os_cgroup.c), else its supervisor (sa_os_supervisor.c); the supervisor
 * also where we are PID 1, since then orphans would become ours, and where the kernel
 * cannot end a cgroup at once.
 *
 * With cgroups the child is ours and ends when we do; what it has started itself would
 * stay until the next life clears the cgroup, so a guard ends it at once: a shell that
 * waits for our end of a pipe to close.  It is started with the first run.  When we are killed
 * systemd asks all of the unit to end, the guard too: it is deaf to that. */
#include "sa_os_exec_private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <apr_atomic.h>

#include "sa_os_linux.h"
#include "sa_time.h"

#define BUFFER_SIZE (32 * 1024)
#define TERMINATE_TIME apr_time_from_msec(500)  /* between TERM and KILL */
#define GRACE apr_time_from_msec(100)           /* for output in flight, after the main one */
#define GIVE_UP apr_time_from_msec(400)         /* on what does not die, after KILL */
#define SETTLE apr_time_from_msec(5)
#define SETTLE_TURN 500
#define KILL_TURN apr_time_from_msec(2)
#define BLIND_TURN apr_time_from_msec(10)       /* a kernel without pidfd_open(2) */
#define LAST_MOMENTS_MS 100
#define START_MS 10000                          /* a supervisor's, to say how it began */
#define REMOVE_TURNS 10
#define LATE_OUTPUT_MAX (2 * 1024 * 1024)       /* more than pipes hold */
#define UNREAPED_MAX 64
#define CPU_SPARE 2

struct sa_os_cancel_t {
    int descriptor;
    volatile apr_uint32_t set;
    volatile apr_uint32_t hangs_up;
};

typedef struct run_t {
    const sa_os_exec_t *exec;
    sa_os_exec_result_t *result;
    apr_pool_t *pool;
    sa_os__child_t child;
    sa_os__leaf_t leaf;
    sa_os__supervisor_t supervisor;     /* socket -1: none */
    pid_t pid;                          /* of the main process, when it is our child */
    pid_t main;                         /* the same, whosever child it is */
    int pidfd;
    int output[2];                      /* what we read; -1: at its end */
    char *buffer;
    size_t late;                        /* bytes read since all was killed */
    bool removed;                       /* the leaf */
    bool ended;                         /* the main process */
    bool others;                        /* the supervisor says: some are left */
    bool gone;                          /* all of them */
    bool ending;                        /* TERM was sent */
    bool killed;
    bool deaf;                          /* nobody wants the output any more */
    int status;                         /* as of wait(2); -1: not known */
    apr_interval_time_t began;
    apr_interval_time_t ended_at;
    apr_interval_time_t closed_at;      /* the last of the output that was */
    apr_interval_time_t kill_at;
    apr_interval_time_t killed_at;
    apr_interval_time_t read_at;        /* or the last word about silence */
} run_t;

/* ---- the process as a whole -------------------------------------------------- */

static struct {
    volatile apr_uint32_t guarded;
    volatile apr_uint32_t running;
    bool exempt;                        /* from being ended for want of memory */
    pid_t guard;
    int guard_pipe;                     /* the guard waits until it closes */
    volatile apr_uint32_t unreaped[UNREAPED_MAX];
} process = {.guard_pipe = -1};

/* Some children of ours end later than we can wait: those that a dead disk holds. */
static void reap_later(pid_t pid)
{
    for (int i = 0; i < UNREAPED_MAX; i++) {
        if (apr_atomic_cas32(&process.unreaped[i], (apr_uint32_t)pid, 0) == 0) {
            return;
        }
    }
}

static void reap_late(void)
{
    for (int i = 0; i < UNREAPED_MAX; i++) {
        apr_uint32_t pid = apr_atomic_read32(&process.unreaped[i]);

        if (pid != 0 && waitpid((pid_t)pid, NULL, WNOHANG) != 0) {
            apr_atomic_cas32(&process.unreaped[i], 0, pid);
        }
    }
}

/* PID, a child of ours, is about to end. */
static void reap_soon(pid_t pid)
{
    apr_interval_time_t deadline = sa_time_mono() + apr_time_from_msec(LAST_MOMENTS_MS);
    int pidfd = sa_os__pidfd(pid);
    struct pollfd entry = {.fd = pidfd, .events = POLLIN};
    pid_t ended = waitpid(pid, NULL, WNOHANG);

    while (ended == 0 && sa_time_mono() < deadline) {
        poll(&entry, 1, pidfd < 0 ? 1 : LAST_MOMENTS_MS);
        ended = waitpid(pid, NULL, WNOHANG);
    }
    if (ended == 0) {
        reap_later(pid);
    }
    if (pidfd >= 0) {
        close(pidfd);
    }
}

static apr_status_t close_exec(void *baton)
{
    (void)baton;
    if (process.guard_pipe >= 0) {
        close(process.guard_pipe);
        reap_soon(process.guard);
    }
    process.guard_pipe = -1;
    apr_atomic_set32(&process.guarded, 0);
    return APR_SUCCESS;
}

/* Has our unit told the kernel to spare us (OOMScoreAdjust=)? */
static bool is_exempt(apr_pool_t *pool)
{
    const char *text = "";
    sa_error_t *err = sa_os__proc_read(&text, "/proc/self/oom_score_adj", SA_OS_PROC_LIMIT, pool);
    bool exempt = !err && text[0] == '-';

    sa_error_clear(err);        /* without /proc nobody was */
    return exempt;
}

sa_error_t *sa_os_exec_open(apr_pool_t *pool)
{
    struct sigaction action;
    sigset_t signals;

    /* Whoever started us may have left it ignored; then how children end is not told. */
    if (sigaction(SIGCHLD, NULL, &action) == 0 && action.sa_handler == SIG_IGN) {
        action.sa_handler = SIG_DFL;
        sigaction(SIGCHLD, &action, NULL);
    }
    /* Nobody waits for it, but it would wake a thread that does not block it. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    process.exempt = is_exempt(pool);
    sa_os__cgroup_open(pool);
    apr_pool_cleanup_register(pool, NULL, close_exec, apr_pool_cleanup_null);
    return SA_OK;
}

void sa_os_exec_support(sa_os_exec_support_t *support)
{
    support->cgroup = sa_os__cgroup_path(&support->cgroup_why);
    support->limits_processes = sa_os__cgroup_limits_processes();
    support->limits_memory = sa_os__cgroup_limits_memory();
    support->landlock = sa_os__landlock_abi();
    support->no_new_privileges = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

/* ---- cancelling -------------------------------------------------------------- */

static apr_status_t close_cancel(void *baton)
{
    const sa_os_cancel_t *cancel = baton;

    close(cancel->descriptor);
    return APR_SUCCESS;
}

sa_error_t *sa_os_cancel_create(sa_os_cancel_t **cancel, apr_pool_t *pool)
{
    sa_os_cancel_t *made = apr_pcalloc(pool, sizeof(*made));

    made->descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (made->descriptor < 0) {
        return sa_error_apr(errno, "cannot make a way to cancel");
    }
    apr_pool_cleanup_register(pool, made, close_cancel, apr_pool_cleanup_null);
    *cancel = made;
    return SA_OK;
}

void sa_os_cancel(sa_os_cancel_t *cancel)
{
    apr_uint64_t one = 1;

    apr_atomic_set32(&cancel->set, 1);
    (void)!write(cancel->descriptor, &one, sizeof(one));
}

void sa_os_hang_up(sa_os_cancel_t *cancel)
{
    apr_uint64_t one = 1;

    apr_atomic_set32(&cancel->hangs_up, 1);
    (void)!write(cancel->descriptor, &one, sizeof(one));
}

bool sa_os_is_cancelled(const sa_os_cancel_t *cancel)
{
    /* APR's reading takes no const. */
    return apr_atomic_read32((volatile apr_uint32_t *)&cancel->set) != 0;
}

/* ---- starting ---------------------------------------------------------------- */

static void close_one(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

/* FD or a copy above the standard ones, which the child puts something else in. */
static int above_standard(int fd)
{
    int copy;

    if (fd < 0 || fd > 2) {
        return fd;
    }
    copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    close(fd);
    return copy;
}

static void add_limit(sa_os__child_t *child, int resource, apr_int64_t soft, apr_int64_t hard)
{
    sa_os__limit_t *added = &child->limits[child->limit_count];

    added->resource = resource;
    added->soft = (rlim_t)soft;
    added->hard = (rlim_t)hard;
    child->limit_count++;
}

/* RLIMIT_NPROC counts all threads of our user: ours, and those of other runs. */
static apr_int64_t most_processes(apr_int64_t max_processes)
{
    apr_int64_t running = (apr_int64_t)apr_atomic_read32(&process.running);
    apr_int64_t threads = 0;
    struct stat info;

    /* It has a link for each, and two.  Without /proc the limit is only tighter. */
    if (stat("/proc/self/task", &info) == 0 && info.st_nlink > 2) {
        threads = (apr_int64_t)info.st_nlink - 2;
    }
    return threads + running * (max_processes + 1);
}

static void set_limits(run_t *run)
{
    const sa_os_exec_t *exec = run->exec;
    sa_os__child_t *child = &run->child;

    add_limit(child, RLIMIT_CORE, 0, 0);
    if (exec->max_cpu > 0) {
        apr_int64_t seconds = (exec->max_cpu + APR_USEC_PER_SEC - 1) / APR_USEC_PER_SEC;

        add_limit(child, RLIMIT_CPU, seconds, seconds + CPU_SPARE);
    }
    if (exec->max_file_size > 0) {
        add_limit(child, RLIMIT_FSIZE, exec->max_file_size, exec->max_file_size);
    }
    if (exec->max_memory > 0 && !sa_os__cgroup_limits_memory()) {
        add_limit(child, RLIMIT_DATA, exec->max_memory, exec->max_memory);
    }
    if (exec->max_processes > 0 && !sa_os__cgroup_limits_processes()) {
        apr_int64_t most = most_processes(exec->max_processes);

        add_limit(child, RLIMIT_NPROC, most, most);
    }
}

/* Our end of an output in *OURS, the child's as the standard descriptor AT. */
static sa_error_t *make_pipe(int *ours, sa_os__child_t *child, int at)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0) {
        return sa_error_apr(errno, "cannot make a pipe for the output of a command");
    }
    *ours = above_standard(ends[0]);
    child->standard[at] = above_standard(ends[1]);
    if (*ours < 0 || child->standard[at] < 0 || fcntl(*ours, F_SETFL, O_NONBLOCK) != 0) {
        return sa_error_apr(errno, "cannot set up a pipe for the output of a command");
    }
    return SA_OK;
}

static sa_error_t *make_descriptors(run_t *run)
{
    sa_os__child_t *child = &run->child;

    child->standard[0] = above_standard(open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (child->standard[0] < 0) {
        return sa_error_apr(errno, "cannot open /dev/null for a command");
    }
    SA_TRY(make_pipe(&run->output[0], child, 1));
    SA_TRY(make_pipe(&run->output[1], child, 2));
    if (run->exec->readable || run->exec->writable) {
        SA_TRY(sa_os__landlock_create(&child->ruleset, run->exec));
    }
    return SA_OK;
}

static const char *const steps[] = {
    [SA_OS__STEP_NONE] = "",
    [SA_OS__STEP_CLONE] = "no process could be started",
    [SA_OS__STEP_SESSION] = "it got no session of its own",
    [SA_OS__STEP_PARENT] = "who started it is gone",
    [SA_OS__STEP_CGROUP] = "it could not enter its cgroup",
    [SA_OS__STEP_LIMITS] = "its limits could not be set",
    [SA_OS__STEP_NICE] = "it could not be made nice",
    [SA_OS__STEP_DESCRIPTORS] = "its descriptors could not be set up",
    [SA_OS__STEP_DIRECTORY] = "it could not go to /",
    [SA_OS__STEP_PRIVILEGES] = "it could not give up privileges",
    [SA_OS__STEP_CONFINE] = "it could not be confined",
    [SA_OS__STEP_EXEC] = "the system does not run it",
    [SA_OS__STEP_SUPERVISE] = "it could not be supervised"
};

/* What the errors of execve(2) mean to somebody who looks at the file. */
static const char *reason_of(const sa_os_program_t *program, sa_os__step_t step, int number)
{
    if (step != SA_OS__STEP_EXEC) {
        return steps[step];
    }
    switch (number) {
    case ENOENT:
        return program->has_interpreter ? "its interpreter is not there"
                                        : "its dynamic loader is not there";
    case ENOEXEC:
        return "it is neither a program of this machine nor does it begin with #!";
    case E2BIG:
        return "its arguments and environment are too long";
    case EACCES:
        return "it may not be executed (its mode, a noexec mount or its confinement)";
    default:
        return steps[step];
    }
}

static sa_error_t *start_error(const sa_os_program_t *program, sa_os__step_t step, int number)
{
    apr_status_t code = number;

    if (number == E2BIG) {
        code = SA_ERR_LIMIT;
    } else if (number == EACCES || number == EPERM) {
        code = SA_ERR_DENIED;
    }
    return sa_error(code, sa_error(number, NULL, NULL), "cannot run %s: %s", program->path,
                    reason_of(program, step, number));
}

/* The first report is how it began. */
static sa_error_t *start_supervised(run_t *run)
{
    apr_interval_time_t deadline = sa_time_mono() + apr_time_from_msec(START_MS);
    struct pollfd entry = {.events = POLLIN};
    sa_os__report_t made;
    bool ended = false;

    SA_TRY(sa_os__supervisor_start(&run->supervisor, &run->child));
    entry.fd = run->supervisor.socket;
    while (!sa_os__supervisor_report(&made, &ended, &run->supervisor)) {
        int left = (int)apr_time_as_msec(deadline - sa_time_mono());

        if (left <= 0) {
            kill(run->supervisor.pid, SIGKILL);
            return sa_error(SA_ERR_TIMEOUT, NULL, "the start of %s took too long",
                            run->exec->program->path);
        }
        if (ended) {
            return sa_error(SA_ERR_INTERNAL, NULL, "the supervisor of %s ended at once",
                            run->exec->program->path);
        }
        poll(&entry, 1, left);
    }
    if (made.kind == SA_OS__REPORT_FAILED) {
        return start_error(run->exec->program, made.step, made.number);
    }
    run->main = made.number;
    return SA_OK;
}

static sa_error_t *start(run_t *run)
{
    if (sa_os__cgroup_path(&(const char *){NULL})) {
        SA_TRY(sa_os__leaf_create(&run->leaf, run->exec->max_processes, run->exec->max_memory));
        run->child.procs = run->leaf.procs;
    }
    if (run->leaf.directory < 0 || !sa_os__cgroup_kills() || getpid() == 1) {
        return start_supervised(run);
    }
    run->pid = sa_os__child_start(&run->child);
    if (run->pid < 0) {
        return start_error(run->exec->program, run->child.step, run->child.number);
    }
    run->main = run->pid;
    run->pidfd = sa_os__pidfd(run->pid);
    return SA_OK;
}

/* ---- the guard --------------------------------------------------------------- */

static sa_error_t *start_guard(apr_pool_t *pool)
{
    static const char *const argv[] = {"sh", "-c", "trap '' TERM HUP INT; read -r _; echo 1",
                                       NULL};
    static const char *const env[] = {NULL};
    sa_os__child_t child = {.argv = argv, .env = env, .procs = -1, .ruleset = -1,
                            .outlives = true};
    sa_os_program_t *shell;
    sa_error_t *err = SA_OK;
    int ends[2];

    SA_TRY(sa_os_program_open(&shell, "/bin/sh", false, pool));
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return sa_error_apr(errno, "cannot make a pipe to the guard of the commands");
    }
    child.program = shell->descriptor;
    child.standard[0] = above_standard(ends[0]);
    child.standard[1] = above_standard(sa_os__cgroup_kill_descriptor());
    child.standard[2] = above_standard(open("/dev/null", O_WRONLY | O_CLOEXEC));
    if (child.standard[1] >= 0 && child.standard[2] >= 0) {
        pid_t pid = sa_os__child_start(&child);

        if (pid < 0) {
            err = start_error(shell, child.step, child.number);
        } else {
            process.guard = pid;
            process.guard_pipe = above_standard(ends[1]);
        }
    } else {
        err = sa_error_apr(errno, "cannot open what the guard of the commands needs");
    }
    if (process.guard_pipe < 0) {
        close(ends[1]);
    }
    for (int i = 0; i < 3; i++) {
        close_one(&child.standard[i]);
    }
    return err;
}

/* Where there is no shell the next life has to do it; each run tries anew. */
static void be_guarded(apr_pool_t *pool)
{
    sa_error_t *err;

    if (!sa_os__cgroup_kills() || apr_atomic_cas32(&process.guarded, 1, 0) != 0) {
        return;
    }
    err = start_guard(pool);
    if (err) {
        apr_atomic_set32(&process.guarded, 0);
        sa_error_clear(err);
    }
}

/* ---- ending ------------------------------------------------------------------ */

static void terminate(const run_t *run)
{
    if (run->leaf.directory >= 0) {
        sa_os__leaf_signal(&run->leaf, SIGTERM, 0);
        sa_os__leaf_signal(&run->leaf, SIGCONT, 0);
    } else {
        sa_os__supervisor_terminate(&run->supervisor);
    }
}

/* Ask all of it to end, for the reason END. */
static void begin_end(run_t *run, sa_os_exec_end_t end, apr_interval_time_t now)
{
    run->result->end = end;
    run->deaf = end != SA_OS_EXEC_TIMED_OUT;
    run->ending = true;
    run->kill_at = now + TERMINATE_TIME;
    if (!run->ended) {
        terminate(run);
    }
}

static void kill_all(run_t *run, apr_interval_time_t now)
{
    if (run->leaf.directory >= 0) {
        if (!run->killed) {
            run->result->leftovers = sa_os__leaf_signal(&run->leaf, 0, run->main);
        }
        sa_os__leaf_kill(&run->leaf);
    }
    if (run->supervisor.socket >= 0 && !run->killed) {
        sa_os__supervisor_kill(&run->supervisor);
    }
    if (!run->killed) {
        run->killed_at = now;
    }
    run->killed = true;
}

/* Is nothing left of it?  Only asked when the main process has ended. */
static bool is_empty(run_t *run)
{
    if (run->supervisor.socket >= 0) {
        return !run->others;
    }
    /* The kernel may need a moment to take the last one out. */
    run->removed = sa_os__leaf_remove(&run->leaf)
                   || (!run->killed && sa_os__leaf_signal(&run->leaf, 0, run->pid) == 0
                       && sa_os__leaf_remove(&run->leaf));
    return run->removed;
}

/* Before the cgroup goes, and with it what the kernel counted. */
static void note_memory(run_t *run)
{
    if (run->leaf.directory >= 0 && WIFSIGNALED(run->status)
        && WTERMSIG(run->status) == SIGKILL) {
        run->result->out_of_memory = sa_os__leaf_out_of_memory(&run->leaf);
    }
}

static void note_end(run_t *run, int status, bool others)
{
    run->ended = true;
    run->others = others;
    run->status = status;
    run->ended_at = sa_time_mono();
    if (status != -1) {
        note_memory(run);
    }
}

static void look_for_end(run_t *run)
{
    int status = 0;
    pid_t pid = waitpid(run->pid, &status, WNOHANG);

    if (pid == run->pid) {
        note_end(run, status, true);
    } else if (pid < 0 && errno == ECHILD) {
        note_end(run, -1, true);        /* somebody else has waited for it */
    }
}

static void hear_supervisor(run_t *run)
{
    sa_os__report_t made;
    bool ended = false;

    while (sa_os__supervisor_report(&made, &ended, &run->supervisor)) {
        if (made.kind == SA_OS__REPORT_EXITED) {
            note_end(run, made.number, made.others);
        } else if (made.kind == SA_OS__REPORT_GONE) {
            /* Where there is a cgroup as well, some were counted and ended by that. */
            if (made.number > run->result->leftovers) {
                run->result->leftovers = made.number;
            }
            run->others = made.others;
            run->gone = !made.others;
        }
    }
    if (ended && !run->ended) {
        note_end(run, -1, false);       /* it was ended, and so was the main process */
    }
    run->gone = run->gone || ended;
}

/* Who ends closes the pipe first and leaves the cgroup a moment later: it is no leftover. */
static apr_interval_time_t quiet_since(const run_t *run)
{
    return run->closed_at > run->ended_at ? run->closed_at : run->ended_at;
}

static void look_at_time(run_t *run, apr_interval_time_t now)
{
    const sa_os_exec_t *exec = run->exec;
    bool closed = run->output[0] < 0 && run->output[1] < 0;

    if (!run->ended && !run->ending) {
        if (exec->cancel && sa_os_is_cancelled(exec->cancel)) {
            begin_end(run, SA_OS_EXEC_CANCELLED, now);
        } else if (exec->timeout > 0 && now - run->began >= exec->timeout) {
            begin_end(run, SA_OS_EXEC_TIMED_OUT, now);
        }
    }
    if (run->ended && !run->gone) {
        if (closed || run->killed || now - run->ended_at >= GRACE) {
            run->gone = is_empty(run);
            if (!run->gone && (run->killed || now - quiet_since(run) >= SETTLE)) {
                kill_all(run, now);
            }
        }
    } else if (run->ending && !run->killed && now >= run->kill_at) {
        kill_all(run, now);
    }
}

static bool is_over(const run_t *run, apr_interval_time_t now)
{
    bool closed = run->output[0] < 0 && run->output[1] < 0;

    if (run->ended && run->gone) {
        /* Somebody outside may have been handed the pipe: then it does not end. */
        return closed || now - (run->read_at > run->ended_at ? run->read_at : run->ended_at)
                         >= GRACE;
    }
    return run->killed && now - run->killed_at >= GIVE_UP;
}

/* ---- output ------------------------------------------------------------------ */

static void tell(run_t *run, sa_os_exec_stream_t stream, const char *data, size_t length)
{
    sa_error_t *err;

    if (run->deaf) {
        return;
    }
    err = run->exec->output(run->exec->baton, stream, data, length);
    if (err && run->ending) {
        run->deaf = true;
    } else if (err) {
        begin_end(run, SA_OS_EXEC_STOPPED, sa_time_mono());
    }
    /* The caller made it, and knows it. */
    sa_error_clear(err);
}

static void read_output(run_t *run, sa_os_exec_stream_t stream)
{
    int *fd = &run->output[stream];
    ssize_t got = read(*fd, run->buffer, BUFFER_SIZE);

    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got > 0) {
        run->late += run->killed ? (size_t)got : 0;
        tell(run, stream, run->buffer, (size_t)got);
        run->read_at = sa_time_mono();
    }
    /* What cannot be ended must not keep us for ever by talking. */
    if (got <= 0 || run->late > LATE_OUTPUT_MAX) {
        close_one(fd);
        run->closed_at = sa_time_mono();
    }
}

static void break_silence(run_t *run, apr_interval_time_t now)
{
    if (run->exec->silence > 0 && !run->ended && now - run->read_at >= run->exec->silence) {
        tell(run, SA_OS_EXEC_STDOUT, "", 0);
        run->read_at = sa_time_mono();
    }
}

/* ---- the run ----------------------------------------------------------------- */

static apr_interval_time_t sooner(apr_interval_time_t one, apr_interval_time_t other)
{
    return one < other ? one : other;
}

/* When the next thing is due, if nothing happens. */
static apr_interval_time_t next_time(const run_t *run, apr_interval_time_t now)
{
    const sa_os_exec_t *exec = run->exec;
    apr_interval_time_t next = APR_INT64_MAX;

    if (run->killed && !run->gone) {
        next = now + KILL_TURN;
    } else if (run->ended && !run->gone && run->output[0] < 0 && run->output[1] < 0) {
        next = now + SETTLE_TURN;
    } else if (run->ended) {
        next = (run->read_at > run->ended_at && run->gone ? run->read_at : run->ended_at) + GRACE;
    } else if (run->ending) {
        next = run->kill_at;
    } else if (exec->timeout > 0) {
        next = run->began + exec->timeout;
    }
    if (!run->ended && exec->silence > 0) {
        next = sooner(next, run->read_at + exec->silence);
    }
    if (!run->ended && run->supervisor.socket < 0 && run->pidfd < 0) {
        next = sooner(next, now + BLIND_TURN);
    }
    return next;
}

enum { AT_STDOUT, AT_STDERR, AT_END, AT_CANCEL, AT_COUNT };

static void wait_for_something(struct pollfd entries[AT_COUNT], const run_t *run)
{
    apr_interval_time_t now = sa_time_mono();
    apr_interval_time_t next = next_time(run, now);
    apr_interval_time_t left = next > now ? next - now : 0;
    struct timespec timeout = {.tv_sec = (time_t)apr_time_sec(left),
                               .tv_nsec = (long)apr_time_usec(left) * 1000};
    bool listens = run->exec->cancel && !run->ended && !run->ending;

    memset(entries, 0, sizeof(*entries) * AT_COUNT);
    for (int i = 0; i < AT_COUNT; i++) {
        entries[i].events = POLLIN;
    }
    entries[AT_STDOUT].fd = run->output[0];
    entries[AT_STDERR].fd = run->output[1];
    entries[AT_END].fd = -1;
    if (run->supervisor.socket >= 0) {
        entries[AT_END].fd = run->ended && run->gone ? -1 : run->supervisor.socket;
    } else if (!run->ended) {
        entries[AT_END].fd = run->pidfd;
    }
    entries[AT_CANCEL].fd = listens ? run->exec->cancel->descriptor : -1;
    if (ppoll(entries, AT_COUNT, next == APR_INT64_MAX ? NULL : &timeout, NULL) < 0) {
        for (int i = 0; i < AT_COUNT; i++) {
            entries[i].revents = 0;
        }
    }
}

/* Somebody has cancelled, which look_at_time() sees, or wants the main process told. */
static void hear_caller(run_t *run)
{
    sa_os_cancel_t *cancel = run->exec->cancel;
    apr_uint64_t count;

    if (sa_os_is_cancelled(cancel)) {
        return;                     /* and stays so, for other runs as well */
    }
    (void)!read(cancel->descriptor, &count, sizeof(count));
    if (sa_os_is_cancelled(cancel)) {
        sa_os_cancel(cancel);       /* that very moment */
    }
    if (apr_atomic_xchg32(&cancel->hangs_up, 0) == 0) {
        return;
    }
    if (run->supervisor.socket >= 0) {
        sa_os__supervisor_hang_up(&run->supervisor);
    } else {
        kill(run->pid, SIGHUP);     /* not waited for yet: it cannot be another's number */
    }
}

static void take_turn(run_t *run)
{
    struct pollfd entries[AT_COUNT];

    wait_for_something(entries, run);
    if (entries[AT_CANCEL].revents) {
        hear_caller(run);
    }
    for (int i = 0; i < 2; i++) {
        if (run->output[i] >= 0 && entries[i].revents) {
            read_output(run, (sa_os_exec_stream_t)i);
        }
    }
    if (run->supervisor.socket >= 0) {
        if (entries[AT_END].revents) {
            hear_supervisor(run);
        }
    } else if (!run->ended && (entries[AT_END].revents || run->pidfd < 0)) {
        look_for_end(run);
    }
}

static void watch(run_t *run)
{
    apr_interval_time_t now = sa_time_mono();

    run->read_at = now;
    while (!is_over(run, now)) {
        take_turn(run);
        now = sa_time_mono();
        look_at_time(run, now);
        break_silence(run, now);
    }
}

/* The supervisor ends all that is left when we close; it is gone in no time. */
static void dismiss_supervisor(run_t *run)
{
    if (run->supervisor.socket >= 0) {
        close(run->supervisor.socket);
        reap_soon(run->supervisor.pid);
    }
}

/* Something may live in it yet: a start that failed half way, a supervisor that was killed. */
static void remove_leaf(run_t *run)
{
    for (int turn = 0; turn < REMOVE_TURNS && !sa_os__leaf_remove(&run->leaf); turn++) {
        sa_os__leaf_kill(&run->leaf);
        poll(NULL, 0, (int)apr_time_as_msec(KILL_TURN));
    }
}

static void close_run(run_t *run)
{
    for (int i = 0; i < 3; i++) {
        close_one(&run->child.standard[i]);
    }
    for (int i = 0; i < 2; i++) {
        close_one(&run->output[i]);
    }
    close_one(&run->child.ruleset);
    close_one(&run->pidfd);
    dismiss_supervisor(run);
    if (run->pid > 0 && !run->ended) {
        reap_later(run->pid);
    }
    if (run->leaf.directory >= 0 && !run->removed) {
        remove_leaf(run);
    }
    sa_os__leaf_close(&run->leaf);
}

static void fill_result(run_t *run)
{
    sa_os_exec_result_t *result = run->result;
    int number = SIGKILL;       /* what it got when we do not know more */

    result->duration = sa_time_mono() - run->began;
    if (run->ended && run->status != -1 && WIFEXITED(run->status)) {
        result->exit_code = WEXITSTATUS(run->status);
        return;
    }
    if (run->ended && run->status != -1 && WIFSIGNALED(run->status)) {
        number = WTERMSIG(run->status);
    }
    if (result->end == SA_OS_EXEC_EXITED) {
        result->end = SA_OS_EXEC_SIGNALLED;
    }
    result->exit_code = 128 + number;
    result->signal = sa_os__signal_name(number);
}

static sa_error_t *begin(run_t *run)
{
    const sa_os_exec_t *exec = run->exec;
    sa_os__child_t *child = &run->child;

    child->program = exec->program->descriptor;
    child->keeps_program = exec->program->has_interpreter;
    child->argv = exec->argv;
    child->env = exec->env;
    child->nice = exec->nice;
    child->kernel_may_choose = process.exempt;
    SA_TRY(make_descriptors(run));
    /* Whoever is confined cannot gain anything: the kernel asks for it. */
    child->new_privileges = exec->new_privileges && child->ruleset < 0;
    set_limits(run);
    SA_TRY(start(run));
    for (int i = 0; i < 3; i++) {
        close_one(&child->standard[i]);
    }
    return SA_OK;
}

sa_error_t *sa_os_exec(sa_os_exec_result_t *result, const sa_os_exec_t *exec,
                       apr_pool_t *scratch_pool)
{
    run_t *run = apr_pcalloc(scratch_pool, sizeof(*run));
    char buffer[BUFFER_SIZE];   /* not of the pool, which would grow by it for each run */
    sa_error_t *err;

    memset(result, 0, sizeof(*result));
    run->exec = exec;
    run->result = result;
    run->pool = scratch_pool;
    run->child.standard[0] = run->child.standard[1] = run->child.standard[2] = -1;
    run->child.procs = run->child.ruleset = -1;
    run->leaf.directory = run->leaf.procs = -1;
    run->supervisor.socket = run->pidfd = -1;
    run->output[0] = run->output[1] = -1;
    run->buffer = buffer;
    run->began = sa_time_mono();
    apr_atomic_inc32(&process.running);
    reap_late();
    be_guarded(scratch_pool);
    err = begin(run);
    sa_os__leaf_prepare();
    if (!err) {
        watch(run);
        fill_result(run);
    }
    close_run(run);
    apr_atomic_dec32(&process.running);
    return err;
}
