/* Being a service: signals, systemd, terminals, and the last resort.  What
 * changes a process for good happens in a child. */
#include "sa_os_daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <apr_strings.h>

#include "sa_os_clock.h"
#include "sa_os_host.h"
#include "sa_os_thread.h"
#include "sa_test.h"

/* Run FN in a child and return how it ended. */
static int in_child(void (*fn)(apr_pool_t *pool), apr_pool_t *pool)
{
    pid_t child = fork();
    int status = -1;

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        alarm(60);
        fn(pool);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

/* ---- signals ------------------------------------------------------------- */

static void take_signals(apr_pool_t *pool)
{
    static const struct {
        int number;
        sa_os_request_t expected;
    } rows[] = {
        {SIGTERM, SA_OS_REQUEST_STOP},
        {SIGINT, SA_OS_REQUEST_STOP},
        {SIGHUP, SA_OS_REQUEST_RELOAD},
        {SIGUSR1, SA_OS_REQUEST_NONE},
        {SIGUSR2, SA_OS_REQUEST_NONE},
        {SIGIO, SA_OS_REQUEST_NONE},
        {SIGPIPE, SA_OS_REQUEST_NONE},
        {SIGXFSZ, SA_OS_REQUEST_NONE},
        {0, SA_OS_REQUEST_NONE},
    };
    struct sigaction action;

    (void)pool;
    /* As nohup(1), and a shell for a job in the background, leave them. */
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    sa_os_daemon_init();
    /* Linux keeps a signal that is both blocked and ignored, FreeBSD may not. */
    ck_assert(sigaction(SIGHUP, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert(rows[i].number == 0 || kill(getpid(), rows[i].number) == 0);
        ck_assert_int_eq(sa_os_daemon_wait(0), rows[i].expected);
    }
}

SA_TEST(signals_become_requests_and_the_others_do_no_harm)
{
    ck_assert_int_eq(in_child(take_signals, pool), 0);
}

static void wait_a_little(apr_pool_t *pool)
{
    apr_interval_time_t deadline = sa_os_clock_mono() + apr_time_from_msec(30);

    (void)pool;
    sa_os_daemon_init();
    ck_assert_int_eq(sa_os_daemon_wait(deadline), SA_OS_REQUEST_NONE);
    ck_assert_int_ge(sa_os_clock_mono(), deadline);
    ck_assert_int_lt(sa_os_clock_mono(), deadline + apr_time_from_sec(10));
}

SA_TEST(a_wait_for_requests_ends_at_its_deadline)
{
    ck_assert_int_eq(in_child(wait_a_little, pool), 0);
}

static void kill_main(void *baton)
{
    (void)baton;
    kill(getpid(), SIGTERM);
}

static void wait_for_ever(apr_pool_t *pool)
{
    sa_os_thread_t *thread;

    sa_os_daemon_init();
    ck_assert_int_eq(sa_os_thread_start(&thread, "kill", kill_main, NULL, pool), APR_SUCCESS);
    ck_assert_int_eq(sa_os_daemon_wait(SA_OS_NEVER), SA_OS_REQUEST_STOP);
    sa_os_thread_join(thread);
}

SA_TEST(a_wait_without_deadline_ends_by_a_signal)
{
    ck_assert_int_eq(in_child(wait_for_ever, pool), 0);
}

/* ---- the process --------------------------------------------------------- */

static void look_at_process(apr_pool_t *pool)
{
    struct rlimit core;
    struct stat info;
    sa_os_self_t self;

    (void)close(0);
    (void)close(1);
    sa_os_daemon_init();
    for (int fd = 0; fd <= 1; fd++) {
        ck_assert_int_eq(fstat(fd, &info), 0);
        ck_assert(S_ISCHR(info.st_mode));
    }
    ck_assert_int_eq(getrlimit(RLIMIT_CORE, &core), 0);
    ck_assert_uint_eq(core.rlim_max, 0);
    ck_assert_uint_eq(umask(077), 077);
    ck_assert_int_eq(prctl(PR_GET_DUMPABLE), 0);
    /* /proc/self belongs to root now; what health says must stay readable. */
    if (geteuid() == 0) {
        ck_assert_int_eq(setuid(65534), 0);
        ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 0), 0);
    }
    SA_ASSERT_OK(sa_os_self_read(&self, pool));
    ck_assert_uint_gt(self.resident_bytes, 0);
    ck_assert_uint_ge(self.threads, 1);
    ck_assert_uint_ge(self.descriptors, 3);
}

SA_TEST(a_daemon_keeps_its_secrets_and_can_still_read_itself)
{
    ck_assert_int_eq(in_child(look_at_process, pool), 0);
}

/* ---- the last resort ----------------------------------------------------- */

static void hang(apr_pool_t *pool)
{
    (void)pool;
    sa_os_daemon_init();
    sa_os_daemon_kill_after(apr_time_from_msec(20));
    sa_os_daemon_kill_after(apr_time_from_sec(3600));   /* the first one stands */
    (void)sa_os_daemon_wait(SA_OS_NEVER);
}

static int error_pipe[2];

static void hang_and_say_so(apr_pool_t *pool)
{
    dup2(error_pipe[1], STDERR_FILENO);
    hang(pool);
}

SA_TEST(a_stop_that_hangs_is_ended_and_says_so)
{
    char text[512] = "";
    int status;

    ck_assert_int_eq(pipe(error_pipe), 0);
    status = in_child(hang_and_say_so, pool);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 70);
    close(error_pipe[1]);
    ck_assert_int_gt(read(error_pipe[0], text, sizeof(text) - 1), 0);
    close(error_pipe[0]);
    ck_assert_str_eq(text, "stone-age-agent: agent_stop_slow: "
                           "stopping took too long; ended by force\n");
}

static void hang_with_full_pipe(apr_pool_t *pool)
{
    char block[4096] = "";

    fcntl(error_pipe[1], F_SETFL, O_NONBLOCK);
    while (write(error_pipe[1], block, sizeof(block)) > 0) {
    }
    fcntl(error_pipe[1], F_SETFL, 0);
    hang_and_say_so(pool);
}

SA_TEST(a_log_that_nobody_reads_does_not_hold_the_last_resort)
{
    int status;

    ck_assert_int_eq(pipe(error_pipe), 0);
    status = in_child(hang_with_full_pipe, pool);
    close(error_pipe[0]);
    close(error_pipe[1]);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 70);
}

static void stop_in_time(apr_pool_t *pool)
{
    (void)pool;
    sa_os_daemon_init();
    sa_os_daemon_kill_after(apr_time_from_sec(30));
}

SA_TEST(a_stop_in_time_is_not_disturbed)
{
    ck_assert_int_eq(in_child(stop_in_time, pool), 0);
}

/* ---- systemd ------------------------------------------------------------- */

static apr_status_t close_socket(void *baton)
{
    struct sockaddr_un *address = baton;

    unlink(address->sun_path);
    *strrchr(address->sun_path, '/') = '\0';
    rmdir(address->sun_path);
    unsetenv("NOTIFY_SOCKET");
    return APR_SUCCESS;
}

/* Be the service manager: a socket that $NOTIFY_SOCKET names. */
static int listen_as_manager(apr_pool_t *pool)
{
    const char *base = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    char *directory = apr_pstrcat(pool, base, "/sa-test-os-XXXXXX", NULL);
    struct sockaddr_un *address = apr_pcalloc(pool, sizeof(*address));
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_ptr_nonnull(mkdtemp(directory));
    address->sun_family = AF_UNIX;
    apr_snprintf(address->sun_path, sizeof(address->sun_path), "%s/notify", directory);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)address, sizeof(*address)), 0);
    setenv("NOTIFY_SOCKET", address->sun_path, 1);
    apr_pool_cleanup_register(pool, address, close_socket, apr_pool_cleanup_null);
    return fd;
}

static const char *receive(int fd, apr_pool_t *pool)
{
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    char *text = apr_pcalloc(pool, 4096);

    ck_assert_int_eq(poll(&waiting, 1, 10000), 1);
    ck_assert_int_gt(recv(fd, text, 4095, 0), 0);
    return text;
}

SA_TEST(systemd_hears_how_we_are)
{
    int fd = listen_as_manager(pool);
    apr_interval_time_t before = sa_os_clock_mono();
    long long said = 0;
    char rest;

    sa_os_notify_ready("up, 3 tasks");
    ck_assert_str_eq(receive(fd, pool), "READY=1\nSTATUS=up, 3 tasks");
    sa_os_notify_ready(NULL);
    ck_assert_str_eq(receive(fd, pool), "READY=1");
    sa_os_notify_status("no bus");
    ck_assert_str_eq(receive(fd, pool), "STATUS=no bus");
    sa_os_notify_alive();
    ck_assert_str_eq(receive(fd, pool), "WATCHDOG=1");
    sa_os_notify_stopping();
    ck_assert_str_eq(receive(fd, pool), "STOPPING=1");
    sa_os_notify_reloading();
    ck_assert_int_eq(sscanf(receive(fd, pool), "RELOADING=1\nMONOTONIC_USEC=%lld%c", &said, &rest),
                     1);
    ck_assert_int_ge(said, before);
    ck_assert_int_le(said, sa_os_clock_mono());
    close(fd);
}

SA_TEST(a_status_cannot_say_more_than_a_status)
{
    int fd = listen_as_manager(pool);
    char *endless = apr_palloc(pool, 100000);

    sa_os_notify_status("one\nMAINPID=1\r\tx");
    ck_assert_str_eq(receive(fd, pool), "STATUS=one MAINPID=1  x");
    memset(endless, 'x', 99999);
    endless[99999] = '\0';
    sa_os_notify_status(endless);
    ck_assert_uint_lt(strlen(receive(fd, pool)), 1024);
    close(fd);
}

SA_TEST(without_a_service_manager_nothing_happens)
{
    (void)pool;
    unsetenv("NOTIFY_SOCKET");
    sa_os_notify_ready("x");
    setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
    sa_os_notify_ready("x");
    sa_os_notify_alive();
    unsetenv("NOTIFY_SOCKET");
}

SA_TEST(the_watchdog_says_how_often_it_wants_to_be_fed)
{
    const char *self = apr_itoa(pool, getpid());
    const struct {
        const char *timeout_us;
        const char *pid;
        apr_interval_time_t expected;
    } rows[] = {
        {NULL, NULL, 0},        {"30000000", NULL, 30000000}, {"30000000", self, 30000000},
        {"30000000", "1", 0},   {"x", self, 0},               {"", self, 0},
        {"0", self, 0},         {"-5", self, 0},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        unsetenv("WATCHDOG_USEC");
        unsetenv("WATCHDOG_PID");
        if (rows[i].timeout_us) {
            setenv("WATCHDOG_USEC", rows[i].timeout_us, 1);
        }
        if (rows[i].pid) {
            setenv("WATCHDOG_PID", rows[i].pid, 1);
        }
        ck_assert_int_eq(sa_os_notify_interval(), rows[i].expected);
    }
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

/* ---- where our words go -------------------------------------------------- */

static void look_for_journal(apr_pool_t *pool)
{
    int ends[2];
    struct stat info;
    const char *good;

    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    ck_assert_int_eq(fstat(STDERR_FILENO, &info), 0);
    good = apr_psprintf(pool, "%" APR_UINT64_T_FMT ":%" APR_UINT64_T_FMT,
                        (apr_uint64_t)info.st_dev, (apr_uint64_t)info.st_ino);
    {
        const struct {
            const char *value;
            bool expected;
        } rows[] = {
            {NULL, false},
            {good, true},
            {apr_pstrcat(pool, good, "1", NULL), false},
            {apr_pstrcat(pool, good, " x", NULL), false},
            {apr_pstrcat(pool, "1", good, NULL), false},
            {"", false},
            {":", false},
            {"1", false},
            {"x:y", false},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            unsetenv("JOURNAL_STREAM");
            if (rows[i].value) {
                setenv("JOURNAL_STREAM", rows[i].value, 1);
            }
            ck_assert_int_eq(sa_os_console_is_journal(), rows[i].expected);
        }
    }
    setenv("JOURNAL_STREAM", good, 1);
    ck_assert_int_ge(dup2(open("/dev/null", O_RDWR), STDERR_FILENO), 0);
    ck_assert(!sa_os_console_is_journal());
    close(STDERR_FILENO);
    ck_assert(!sa_os_console_is_journal());
}

SA_TEST(the_journal_is_what_the_variable_says_it_is)
{
    ck_assert_int_eq(in_child(look_for_journal, pool), 0);
}

static void look_for_terminal(apr_pool_t *pool)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    int slave;

    (void)pool;
    ck_assert_int_ge(master, 0);
    ck_assert(grantpt(master) == 0 && unlockpt(master) == 0);
    slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    ck_assert_int_ge(slave, 0);
    ck_assert_int_ge(dup2(open("/dev/null", O_RDWR), STDOUT_FILENO), 0);
    ck_assert_int_ge(dup2(slave, STDERR_FILENO), 0);
    ck_assert(sa_os_console_is_terminal(true));
    ck_assert(!sa_os_console_is_terminal(false));
    ck_assert_int_ge(dup2(slave, STDOUT_FILENO), 0);
    close(STDERR_FILENO);
    ck_assert(!sa_os_console_is_terminal(true));
    ck_assert(sa_os_console_is_terminal(false));
}

SA_TEST(a_terminal_is_told_from_a_file)
{
    ck_assert_int_eq(in_child(look_for_terminal, pool), 0);
}

SA_TEST_MAIN("os_daemon", signals_become_requests_and_the_others_do_no_harm,
             a_wait_for_requests_ends_at_its_deadline, a_wait_without_deadline_ends_by_a_signal,
             a_daemon_keeps_its_secrets_and_can_still_read_itself,
             a_stop_that_hangs_is_ended_and_says_so,
             a_log_that_nobody_reads_does_not_hold_the_last_resort,
             a_stop_in_time_is_not_disturbed, systemd_hears_how_we_are,
             a_status_cannot_say_more_than_a_status, without_a_service_manager_nothing_happens,
             the_watchdog_says_how_often_it_wants_to_be_fed,
             the_journal_is_what_the_variable_says_it_is,
             a_terminal_is_told_from_a_file)
