/* os: looking after a run where there is no cgroup.
 *
 * The supervisor is a copy of us made by fork(2) for one run, with the run's descriptors
 * and no others.  As a subreaper (prctl(2)) it becomes the parent of every process of the
 * run whose own parent ends, however it tries to get away, so that all of the run is what
 * descends from it, and nothing else is.  It needs no more than a socket to us: when that
 * closes, because we are done or because we are no more, it ends all of them.
 *
 * After the fork only system calls, as in the child: other threads of ours may have held
 * any lock.  Signals stay blocked; SIGCHLD comes by signalfd(2). */
#include "sa_os_exec_private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "sa_os_clock.h"

#define ORDER_TERMINATE 'T'
#define ORDER_KILL 'K'
#define ORDER_HANG_UP 'H'

#define PROCESSES_MAX 65536     /* looked at; the kernel's default for most PIDs is half of it */
#define STOP_TURNS 5
#define TURN_MS 5
#define CHASE_TURNS 20
#define ANSWER_AFTER apr_time_from_msec(300)
#define GIVE_UP_AFTER apr_time_from_sec(30)
#define LISTING_SIZE 16384

typedef struct process_t {
    pid_t pid;
    pid_t parent;
    bool ours;
    bool dead;                  /* a zombie */
} process_t;

/* All of it is the supervisor's own. */
typedef struct watch_t {
    int socket;
    int signals;
    pid_t main;
    bool main_ended;
    bool done;                  /* it was the last one */
    process_t *processes;       /* PROCESSES_MAX */
    int count;
} watch_t;

/* ---- processes --------------------------------------------------------------- */

static void add(watch_t *watch, const char *name)
{
    process_t process = {.ours = false};
    char state = '?';

    for (; *name >= '0' && *name <= '9'; name++) {
        process.pid = process.pid * 10 + (*name - '0');
    }
    if (*name || process.pid <= 0 || watch->count == PROCESSES_MAX
        || !sa_os__process_state(process.pid, &process.parent, &state)) {
        return;
    }
    process.dead = state == 'Z' || state == 'X';
    watch->processes[watch->count] = process;
    watch->count++;
}

static void list(watch_t *watch)
{
    int directory = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    union {
        char bytes[LISTING_SIZE];
        sa_os__listed_t aligned;
    } listing;
    long got = 1;

    watch->count = 0;
    while (directory >= 0 && got > 0) {
        got = syscall(SYS_getdents64, directory, listing.bytes, sizeof(listing.bytes));
        for (long at = 0; at < got;) {
            const sa_os__listed_t *listed = (const sa_os__listed_t *)(listing.bytes + at);

            add(watch, listed->name);
            at += listed->length;
        }
    }
    if (directory >= 0) {
        close(directory);
    }
}

/* /proc is in the order of the PIDs. */
static const process_t *find(const watch_t *watch, pid_t pid)
{
    int low = 0;
    int high = watch->count - 1;

    while (low <= high) {
        int middle = low + (high - low) / 2;

        if (watch->processes[middle].pid == pid) {
            return &watch->processes[middle];
        }
        if (watch->processes[middle].pid < pid) {
            low = middle + 1;
        } else {
            high = middle - 1;
        }
    }
    return NULL;
}

/* Mark what descends from us. */
static void mark(watch_t *watch)
{
    pid_t self = getpid();
    bool more = true;

    while (more) {
        more = false;
        for (int i = 0; i < watch->count; i++) {
            process_t *process = &watch->processes[i];
            const process_t *parent;

            if (process->ours) {
                continue;
            }
            parent = find(watch, process->parent);
            if (process->parent == self || (parent && parent->ours)) {
                process->ours = true;
                more = true;
            }
        }
    }
}

/* Send NUMBER (0: nothing) to all of the run; returns how many live in it. */
static int signal_all(watch_t *watch, int number)
{
    int alive = 0;

    list(watch);
    mark(watch);
    for (int i = 0; i < watch->count; i++) {
        const process_t *process = &watch->processes[i];

        if (!process->ours || process->dead) {
            continue;
        }
        alive++;
        if (number != 0) {
            kill(process->pid, number);
        }
    }
    return alive;
}

/* What multiplies while we look must first stand still. */
static int stop_all(watch_t *watch)
{
    int alive = 0;
    int before = -1;

    for (int turn = 0; turn < STOP_TURNS && alive != before; turn++) {
        before = alive;
        alive = signal_all(watch, SIGSTOP);
    }
    return alive;
}

/* ---- what ends --------------------------------------------------------------- */

static void report(const watch_t *watch, sa_os__report_kind_t kind, int number, bool others)
{
    sa_os__report_t made;

    memset(&made, 0, sizeof(made));
    made.kind = kind;
    made.number = number;
    made.others = others;
    /* Who does not read it is gone, which we hear elsewhere. */
    (void)!send(watch->socket, &made, sizeof(made), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static bool has_children(void)
{
    siginfo_t info;

    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* All children are ours here: nobody else in this process waits for one. */
static void reap(watch_t *watch)
{
    struct signalfd_siginfo signals[4];
    int status = 0;
    pid_t pid;

    while (read(watch->signals, signals, sizeof(signals)) > 0) {
    }
    do {
        pid = waitpid(-1, &status, WNOHANG);
        if (pid > 0 && pid == watch->main) {
            watch->main_ended = true;
            watch->done = !has_children();
            report(watch, SA_OS__REPORT_EXITED, status, !watch->done);
        }
    } while (pid > 0);
}

/* Ends what has become our own child since we last looked, at once: one that lives only
 * to start the next is gone before a look through /proc is over.  Kernels without this
 * file (CONFIG_PROC_CHILDREN) are slower to catch it. */
static bool kill_children(void)
{
    int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    char text[4096];
    ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof(text));
    pid_t pid = 0;
    bool any = false;

    for (ssize_t i = 0; i < got; i++) {
        if (text[i] >= '0' && text[i] <= '9') {
            pid = pid * 10 + (text[i] - '0');
            continue;
        }
        /* A number that was cut off at the end is not followed by a blank. */
        any = (pid > 0 && kill(pid, SIGKILL) == 0) || any;
        pid = 0;
    }
    if (fd >= 0) {
        close(fd);
    }
    return any;
}

static void wait_for_signal(const watch_t *watch)
{
    struct pollfd entry = {.fd = watch->signals, .events = POLLIN};

    poll(&entry, 1, TURN_MS);
}

/* All of them, once. */
static void kill_once(watch_t *watch)
{
    signal_all(watch, SIGKILL);
    for (int turn = 0; turn < CHASE_TURNS && kill_children(); turn++) {
        wait_for_signal(watch);
        reap(watch);
    }
}

/* End all of the run.  What cannot be ended (a process of another user, or one that a
 * dead disk holds) is tried for a while after the answer was given. */
static void kill_all(watch_t *watch)
{
    apr_interval_time_t began = sa_os_clock_mono();
    int except = watch->main_ended ? 0 : 1;
    int ended = 0;
    bool answered = false;

    if (has_children()) {
        ended = stop_all(watch);
    }
    while (has_children() && sa_os_clock_mono() - began < GIVE_UP_AFTER) {
        kill_once(watch);
        reap(watch);
        if (!answered && sa_os_clock_mono() - began > ANSWER_AFTER) {
            report(watch, SA_OS__REPORT_GONE, ended - except, has_children());
            answered = true;
        }
        if (answered) {
            wait_for_signal(watch);     /* nobody waits for us any more */
        }
    }
    if (!answered) {
        report(watch, SA_OS__REPORT_GONE, ended - except, false);
    }
}

/* ---- the supervisor ---------------------------------------------------------- */

/* false: there will be no more orders. */
static bool obey(watch_t *watch)
{
    char order = 0;
    ssize_t got = recv(watch->socket, &order, sizeof(order), MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return true;
    }
    if (got > 0 && order == ORDER_TERMINATE) {
        signal_all(watch, SIGTERM);
        signal_all(watch, SIGCONT);
    }
    if (got > 0 && order == ORDER_HANG_UP && !watch->main_ended) {
        kill(watch->main, SIGHUP);
    }
    if (got > 0 && order == ORDER_KILL) {
        kill_all(watch);
    }
    return got > 0;
}

static void watch_run(watch_t *watch)
{
    struct pollfd entries[2] = {{.fd = watch->socket, .events = POLLIN},
                                {.fd = watch->signals, .events = POLLIN}};
    bool more = true;

    while (more) {
        if (poll(entries, 2, -1) < 0 && errno != EINTR) {
            break;
        }
        reap(watch);
        more = !watch->done && (!entries[0].revents || obey(watch));
    }
    if (!watch->done) {
        kill_all(watch);
    }
}

/* Insert FD into the ordered KEPT. */
static void keep(int *kept, int *count, int fd)
{
    int at = *count;

    if (fd < 0) {
        return;
    }
    for (; at > 0 && kept[at - 1] > fd; at--) {
        kept[at] = kept[at - 1];
    }
    kept[at] = fd;
    (*count)++;
}

static void close_unneeded(const watch_t *watch, const sa_os__child_t *child)
{
    int kept[8];
    int count = 0;

    for (int i = 0; i < 3; i++) {
        keep(kept, &count, child->standard[i]);
    }
    keep(kept, &count, child->program);
    keep(kept, &count, child->procs);
    keep(kept, &count, child->ruleset);
    keep(kept, &count, watch->socket);
    sa_os__close_others(kept, count);
}

/* Ready to look after what CHILD leaves; errno as the result. */
static int prepare(watch_t *watch)
{
    struct sigaction action;
    sigset_t signals;

    memset(&action, 0, sizeof(action));
    action.sa_handler = SIG_DFL;
    sigaction(SIGCHLD, &action, NULL);
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    /* Not to be ended with our group.  A session of its own would cost more: the scheduler
     * makes a group of it (sched(7), autogroup), at the end of the queue. */
    setpgid(0, 0);
    prctl(PR_SET_NAME, "sa-supervisor", 0, 0, 0);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) {
        return errno;
    }
    watch->signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    watch->processes = mmap(NULL, sizeof(process_t) * PROCESSES_MAX, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return watch->signals < 0 || watch->processes == MAP_FAILED ? errno : 0;
}

/* Nobody but the child may hold its pipes: their end is the end of its output. */
static void close_given(const sa_os__child_t *child)
{
    for (int i = 0; i < 3; i++) {
        close(child->standard[i]);
    }
}

static void supervise(int socket, sa_os__child_t *child)
{
    watch_t watch = {.socket = socket, .signals = -1};
    sa_os__report_t failed;
    int number;

    close_unneeded(&watch, child);
    number = prepare(&watch);
    if (number == 0) {
        watch.main = sa_os__child_start(child);
    } else {
        child->step = SA_OS__STEP_SUPERVISE;
        child->number = number;
    }
    close_given(child);
    if (number == 0 && watch.main > 0) {
        report(&watch, SA_OS__REPORT_STARTED, watch.main, false);
        watch_run(&watch);
    } else {
        memset(&failed, 0, sizeof(failed));
        failed.kind = SA_OS__REPORT_FAILED;
        failed.step = child->step;
        failed.number = child->number;
        (void)!send(socket, &failed, sizeof(failed), MSG_NOSIGNAL);
    }
    sa_os__leave();
}

/* ---- we ---------------------------------------------------------------------- */

sa_error_t *sa_os__supervisor_start(sa_os__supervisor_t *supervisor, sa_os__child_t *child)
{
    int sockets[2];
    sigset_t all;
    sigset_t old;
    pid_t pid;
    int number;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
        return sa_error_apr(errno, "cannot make a socket to the supervisor of a command");
    }
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    pid = fork();
    number = errno;
    if (pid == 0) {
        supervise(sockets[1], child);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    close(sockets[1]);
    if (pid < 0) {
        close(sockets[0]);
        return sa_error_apr(number, "cannot start the supervisor of a command");
    }
    supervisor->pid = pid;
    supervisor->socket = sockets[0];
    return SA_OK;
}

static void order(const sa_os__supervisor_t *supervisor, char letter)
{
    /* One that is gone cannot be told anything, and needs not be. */
    (void)!send(supervisor->socket, &letter, sizeof(letter), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void sa_os__supervisor_terminate(const sa_os__supervisor_t *supervisor)
{
    order(supervisor, ORDER_TERMINATE);
}

void sa_os__supervisor_kill(const sa_os__supervisor_t *supervisor)
{
    order(supervisor, ORDER_KILL);
}

void sa_os__supervisor_hang_up(const sa_os__supervisor_t *supervisor)
{
    order(supervisor, ORDER_HANG_UP);
}

bool sa_os__supervisor_report(sa_os__report_t *made, bool *ended,
                              const sa_os__supervisor_t *supervisor)
{
    ssize_t got = recv(supervisor->socket, made, sizeof(*made), MSG_DONTWAIT);

    *ended = got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
    return got == (ssize_t)sizeof(*made);
}
