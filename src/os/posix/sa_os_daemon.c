/* os: being a service, by signals.
 *
 * No signal handler: the signals are blocked everywhere and the main thread
 * takes them when it waits, so that no code of ours is ever interrupted. */
#include "sa_os_daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/resource.h>
#include <sys/stat.h>

#include "sa_log.h"
#include "sa_os_clock.h"
#include "sa_os_posix.h"
#include "sa_os_thread.h"
#include "sa_pool.h"

#define EXIT_BY_FORCE 70    /* EX_SOFTWARE of sysexits.h */

/* Changes of the network so close to one another are one. */
#define SETTLE apr_time_from_msec(200)

/* SIGUSR2 wakes the main thread, SIGIO tells of the network; SIGUSR1 means nothing to us, but must
 * not end us either. */
static const int taken[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGIO};

/* When to judge what the network's signal was about; the main thread's. */
static apr_interval_time_t judge_at = SA_OS_NEVER;

static void make_set(sigset_t *set)
{
    sigemptyset(set);
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        sigaddset(set, taken[i]);
    }
}

/* A file opened as descriptor 2 would get our error messages. */
static void open_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) != fd) {
            abort();
        }
    }
}

static void set_signals(void)
{
    struct sigaction action;
    sigset_t set;

    memset(&action, 0, sizeof(action));
    sigemptyset(&action.sa_mask);
    /* A shell starts background jobs with SIGINT ignored, nohup(1) all with
     * SIGHUP; whether an ignored signal can be waited for is up to the system. */
    action.sa_handler = SIG_DFL;
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        sigaction(taken[i], &action, NULL);
    }
    /* Both as an error of the write that caused them. */
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
    sigaction(SIGXFSZ, &action, NULL);
    make_set(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* Nobody hands on descriptors above this. */
#define INHERITED_MAX 4096

void sa_os_daemon_close_inherited(void)
{
    struct rlimit limit;
    int last = INHERITED_MAX;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < INHERITED_MAX) {
        last = (int)limit.rlim_cur;
    }
    for (int fd = STDERR_FILENO + 1; fd < last; fd++) {
        close(fd);
    }
}

void sa_os_daemon_init(void)
{
    static const struct rlimit none = {0, 0};

    open_standard_descriptors();
    set_signals();
    setrlimit(RLIMIT_CORE, &none);
    umask(077);
    sa_os__process_init();
}

/* The next of our signals; 0 when DEADLINE has passed. */
static int wait_for_signal(siginfo_t *info, apr_interval_time_t deadline)
{
    struct timespec span;
    sigset_t set;

    make_set(&set);
    if (judge_at != SA_OS_NEVER) {
        sigdelset(&set, SIGIO);     /* as many as there are, they wake us once */
    }
    for (;;) {
        apr_interval_time_t left = 0;
        int number;

        if (deadline == SA_OS_NEVER) {
            number = sigwaitinfo(&set, info);
        } else {
            left = deadline - sa_os_clock_mono();
            left = left > 0 ? left : 0;
            span.tv_sec = (time_t)(left / APR_USEC_PER_SEC);
            span.tv_nsec = (long)(left % APR_USEC_PER_SEC) * 1000;
            number = sigtimedwait(&set, info, &span);
        }
        if (number > 0) {
            return number;
        }
        if (left == 0 && deadline != SA_OS_NEVER) {
            return 0;
        }
    }
}

/* Is it time to judge the network, and has it changed? */
static bool is_network_new(void)
{
    if (sa_os_clock_mono() < judge_at) {
        return false;
    }
    judge_at = SA_OS_NEVER;
    return sa_os__network_judge();
}

sa_os_request_t sa_os_daemon_wait(apr_interval_time_t deadline)
{
    siginfo_t info;

    for (;;) {
        switch (wait_for_signal(&info, judge_at < deadline ? judge_at : deadline)) {
        case 0:
            if (is_network_new()) {
                return SA_OS_REQUEST_NETWORK;
            }
            if (sa_os_clock_mono() >= deadline) {
                return SA_OS_REQUEST_NONE;
            }
            break;
        case SIGTERM:
        case SIGINT:
            return SA_OS_REQUEST_STOP;
        case SIGHUP:
            return SA_OS_REQUEST_RELOAD;
        case SIGUSR2:
            return SA_OS_REQUEST_NONE;
        case SIGIO:
            /* a timer has nothing to wait for */
            judge_at = sa_os_clock_mono() + (info.si_code == SI_TIMER ? 0 : SETTLE);
            break;
        default:
            break;
        }
    }
}

void sa_os_daemon_wake(void)
{
    kill(getpid(), SIGUSR2);
}

/* Everything is made beforehand: when the time has come, a lock of the heap,
 * of the log or of standard error may be what everybody hangs on. */
typedef struct last_resort_t {
    apr_interval_time_t deadline;
    char line[256];
    size_t length;
} last_resort_t;
static last_resort_t last_resort;

static void end_process(void *baton)
{
    last_resort_t *resort = baton;
    struct pollfd error = {.fd = STDERR_FILENO, .events = POLLOUT};
    apr_interval_time_t left = resort->deadline - sa_os_clock_mono();
    ssize_t told = 0;

    while (left > 0) {
        struct timespec span = {.tv_sec = (time_t)(left / APR_USEC_PER_SEC),
                                .tv_nsec = (long)(left % APR_USEC_PER_SEC) * 1000};

        nanosleep(&span, NULL);
        left = resort->deadline - sa_os_clock_mono();
    }
    /* Only if there is room: a reader of our log that stopped reading would
     * otherwise hold us too. */
    if (poll(&error, 1, 0) == 1 && (error.revents & POLLOUT)) {
        told = write(STDERR_FILENO, resort->line, resort->length);
    }
    (void)told;
    _exit(EXIT_BY_FORCE);
}

void sa_os_daemon_kill_after(apr_interval_time_t timeout)
{
    const sa_event_row_t *event = sa_event_row(SA_EVENT_agent_stop_slow);
    sa_os_thread_t *thread;

    if (last_resort.deadline != 0) {
        return;     /* the first one stands */
    }
    last_resort.deadline = sa_os_clock_mono() + timeout;
    snprintf(last_resort.line, sizeof(last_resort.line), "%sstone-age-agent: %s: %s\n",
             sa_os_console_is_journal() ? "<3>" : "", event->id, event->text);
    last_resort.length = strlen(last_resort.line);
    if (sa_os_thread_start(&thread, "last-resort", end_process, &last_resort,
                           sa_pool_create_root()) == APR_SUCCESS) {
        sa_os__thread_abandon(thread);
    } else {
        alarm((unsigned)apr_time_sec(timeout) + 1);     /* SIGALRM ends us as well */
    }
}

bool sa_os_console_is_terminal(bool error)
{
    return isatty(error ? STDERR_FILENO : STDOUT_FILENO) == 1;
}
