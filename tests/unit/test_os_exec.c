/* Running programs: what they get, what they cannot do, and that nothing of them is ever
 * left.  The tests of a run are made twice: under a supervisor, and in a cgroup where the
 * machine gives us one (as root, or with a delegated one); where it does not, that half
 * is not there and the program says so.  Some are made again on a kernel that lacks what
 * is newer than cgroups.
 *
 * Each test runs in a process of its own.  What the runs start carries a mark in its
 * arguments, by which it is searched for in /proc. */
#include "sa_os_exec.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <linux/capability.h>

#include <apr_atomic.h>
#include <apr_strings.h>

#include "sa_buf.h"
#include "sa_os_thread.h"
#include "sa_test.h"
#include "sa_time.h"
#include "test_os_exec_kernel.h"

#define NOBODY 65534
#define OUTPUT_MAX (4 * 1024 * 1024)
#define SECOND APR_USEC_PER_SEC
#define MS APR_INT64_C(1000)
#define GIGABYTES 10

static bool with_cgroup;

/* ---- running ------------------------------------------------------------------- */

typedef struct outcome_t {
    sa_os_exec_result_t result;
    sa_buf_t text[2];
    int silences;
    apr_int64_t bytes;
    bool keep;                  /* the output, not only count it */
} outcome_t;

static const char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};

static sa_error_t *take(void *baton, sa_os_exec_stream_t stream, const char *data, size_t length)
{
    outcome_t *outcome = baton;

    outcome->silences += length == 0;
    outcome->bytes += (apr_int64_t)length;
    if (outcome->keep) {
        sa_buf_append(&outcome->text[stream], data, length);
    }
    return SA_OK;
}

static outcome_t *make_outcome(apr_pool_t *pool)
{
    outcome_t *outcome = apr_pcalloc(pool, sizeof(*outcome));

    sa_buf_init(&outcome->text[0], OUTPUT_MAX, pool);
    sa_buf_init(&outcome->text[1], OUTPUT_MAX, pool);
    outcome->keep = true;
    return outcome;
}

static const char *text_of(const outcome_t *outcome, sa_os_exec_stream_t stream)
{
    return outcome->text[stream].data ? outcome->text[stream].data : "";
}

static const char *out(const outcome_t *outcome)
{
    return text_of(outcome, SA_OS_EXEC_STDOUT);
}

/* What the tests change of it comes from OPTIONS. */
static sa_error_t *run_program(outcome_t *outcome, sa_os_program_t *program,
                               const char *const *argv, const sa_os_exec_t *options,
                               apr_pool_t *pool)
{
    sa_os_exec_t exec = *options;

    exec.program = program;
    exec.argv = argv;
    exec.env = exec.env ? exec.env : environment;
    exec.timeout = exec.timeout ? exec.timeout : 20 * SECOND;
    exec.output = exec.output ? exec.output : take;
    exec.baton = exec.baton ? exec.baton : outcome;
    return sa_os_exec(&outcome->result, &exec, pool);
}

static outcome_t *shell_with(const char *line, const sa_os_exec_t *options, apr_pool_t *pool)
{
    const char *argv[] = {"sh", "-c", line, NULL};
    outcome_t *outcome = make_outcome(pool);
    sa_os_program_t *program;

    SA_ASSERT_OK(sa_os_program_open(&program, "/bin/sh", false, pool));
    SA_ASSERT_OK(run_program(outcome, program, argv, options, pool));
    return outcome;
}

static outcome_t *shell(const char *line, apr_pool_t *pool)
{
    static const sa_os_exec_t plain;

    return shell_with(line, &plain, pool);
}

static void is_end(const outcome_t *outcome, sa_os_exec_end_t end)
{
    ck_assert_msg(outcome->result.end == end, "end %d, not %d (exit code %d, %s)",
                  outcome->result.end, end, outcome->result.exit_code, out(outcome));
}

/* A machine that does other things as well may give us the processor late. */
#define LATE apr_time_from_sec(3)

static void is_between(apr_interval_time_t value, apr_interval_time_t low,
                       apr_interval_time_t high)
{
    ck_assert_msg(value >= low && value <= high + LATE * sa_test_patience(),
                  "%ld us, not %ld to %ld", (long)value, (long)low, (long)high);
}

/* ---- looking ------------------------------------------------------------------- */

/* A text that `sleep` takes, and nobody else has: a long time. */
static const char *make_mark(apr_pool_t *pool)
{
    static int count;

    count++;
    return apr_psprintf(pool, "%d.%ld%03d", 100000 + count, (long)getpid(), count);
}

static bool has_mark(const char *pid, const char *mark, apr_pool_t *pool)
{
    char text[4096];
    int fd = open(apr_pstrcat(pool, "/proc/", pid, "/cmdline", NULL), O_RDONLY | O_CLOEXEC);
    ssize_t got;

    if (fd < 0) {
        return false;
    }
    got = read(fd, text, sizeof(text) - 1);
    close(fd);
    for (ssize_t i = 0; i < got; i++) {
        text[i] = text[i] ? text[i] : ' ';
    }
    text[got > 0 ? got : 0] = '\0';
    return strstr(text, mark) != NULL;
}

/* How many live that have MARK among their arguments. */
static int living(const char *mark, apr_pool_t *pool)
{
    apr_pool_t *iter_pool = sa_pool_create(pool);
    DIR *listing = opendir("/proc");
    const struct dirent *entry;
    int count = 0;

    ck_assert_ptr_nonnull(listing);
    for (entry = readdir(listing); entry; entry = readdir(listing)) {
        apr_pool_clear(iter_pool);
        if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9'
            && strtol(entry->d_name, NULL, 10) != getpid()) {
            count += has_mark(entry->d_name, mark, iter_pool);
        }
    }
    closedir(listing);
    apr_pool_destroy(iter_pool);
    return count;
}

static void wait_until_none(const char *mark, apr_pool_t *pool)
{
    apr_interval_time_t deadline = sa_time_mono() + 10 * SECOND;

    while (living(mark, pool) > 0) {
        ck_assert_msg(sa_time_mono() < deadline, "%d are left", living(mark, pool));
        poll(NULL, 0, 5);
    }
}

/* The supervisor or the guard alone may be a child of ours. */
static int zombies(void)
{
    int count = 0;
    siginfo_t info;

    memset(&info, 0, sizeof(info));
    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) == 0 && info.si_pid != 0) {
        count++;
        info.si_pid = 0;
    }
    return count;
}

static int descriptors(void)
{
    DIR *listing = opendir("/proc/self/fd");
    int count = 0;

    ck_assert_ptr_nonnull(listing);
    while (readdir(listing)) {
        count++;
    }
    closedir(listing);
    return count;
}

/* ---- files --------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void)info;
    (void)type;
    (void)place;
    return remove(path);
}

static apr_status_t remove_folder(void *baton)
{
    nftw(baton, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return APR_SUCCESS;
}

static char *make_folder(apr_pool_t *pool)
{
    const char *top = getenv("TMPDIR");
    char *folder = apr_pstrcat(pool, top ? top : "/tmp", "/sa-exec-XXXXXX", NULL);

    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chmod(folder, 0755), 0);
    apr_pool_cleanup_register(pool, folder, remove_folder, apr_pool_cleanup_null);
    return folder;
}

static const char *make_file(const char *folder, const char *name, const char *text, mode_t mode,
                             apr_pool_t *pool)
{
    const char *path = apr_pstrcat(pool, folder, "/", name, NULL);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    ck_assert_int_eq(fchmod(fd, mode), 0);
    close(fd);
    return path;
}

static outcome_t *run_path(const char *path, bool script, apr_pool_t *pool)
{
    static const sa_os_exec_t plain;
    const char *argv[] = {path, "one", "two words", NULL};
    outcome_t *outcome = make_outcome(pool);
    sa_os_program_t *program;

    SA_ASSERT_OK(sa_os_program_open(&program, path, script, pool));
    SA_ASSERT_OK(run_program(outcome, program, argv, &plain, pool));
    return outcome;
}

/* ---- what it tells --------------------------------------------------------------- */

SA_TEST(its_output_and_its_end_are_told)
{
    static const struct {
        const char *line;
        sa_os_exec_end_t end;
        int code;
        const char *signal;
        const char *output;
        const char *error;
    } rows[] = {
        {"true", SA_OS_EXEC_EXITED, 0, NULL, "", ""},
        {"echo a; echo b >&2; exit 7", SA_OS_EXEC_EXITED, 7, NULL, "a\n", "b\n"},
        {"exit 255", SA_OS_EXEC_EXITED, 255, NULL, "", ""},
        {"kill -9 $$", SA_OS_EXEC_SIGNALLED, 137, "SIGKILL", "", ""},
        {"echo x; kill -TERM $$", SA_OS_EXEC_SIGNALLED, 143, "SIGTERM", "x\n", ""},
        {"kill -SEGV $$", SA_OS_EXEC_SIGNALLED, 139, "SIGSEGV", "", ""},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const outcome_t *outcome = shell(rows[i].line, pool);

        is_end(outcome, rows[i].end);
        ck_assert_int_eq(outcome->result.exit_code, rows[i].code);
        ck_assert_pstr_eq(outcome->result.signal, rows[i].signal);
        ck_assert_str_eq(out(outcome), rows[i].output);
        ck_assert_str_eq(text_of(outcome, SA_OS_EXEC_STDERR), rows[i].error);
        ck_assert_int_eq(outcome->result.leftovers, 0);
        ck_assert(!outcome->result.out_of_memory);
    }
}

/* 32 */
SA_TEST(output_is_passed_on_byte_by_byte)
{
    static const char bytes[] = "a\0\377\033[31m\342\200\250{\"status\":\"ok\"}\r\n\0";
    const outcome_t *outcome = shell("printf 'a\\000\\377\\033[31m\\342\\200\\250"
                                     "{\"status\":\"ok\"}\\r\\n\\000'", pool);

    ck_assert_uint_eq(outcome->text[0].length, sizeof(bytes) - 1);
    ck_assert_mem_eq(outcome->text[0].data, bytes, sizeof(bytes) - 1);
}

/* 28, 32: one line of 100 MiB */
SA_TEST(streams_that_alternate_and_an_endless_line_come_whole)
{
    static const sa_os_exec_t plain;
    outcome_t *outcome = shell("i=0; while [ $i -lt 500 ]; do echo o; echo e >&2; i=$((i+1)); done",
                               pool);
    const char *argv[] = {"head", "-c", "104857600", "/dev/zero", NULL};
    sa_os_program_t *program;

    ck_assert_uint_eq(outcome->text[0].length, 1000);
    ck_assert_uint_eq(outcome->text[1].length, 1000);
    outcome = make_outcome(pool);
    outcome->keep = false;
    SA_ASSERT_OK(sa_os_program_open(&program, "/usr/bin/head", false, pool));
    SA_ASSERT_OK(run_program(outcome, program, argv, &plain, pool));
    ck_assert_int_eq(outcome->bytes, 104857600);
}

static apr_int64_t memory_used(void)
{
    unsigned long total = 0;
    unsigned long resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%lu %lu", &total, &resident), 2);
    fclose(file);
    return (apr_int64_t)resident * sysconf(_SC_PAGESIZE);
}

/* 28 */
SA_TEST(ten_gigabytes_of_output_leave_our_memory_as_it_is)
{
    sa_os_exec_t options = {.timeout = 100 * SECOND};
    const char *count = apr_psprintf(pool, "%d", GIGABYTES * 1000);
    const char *argv[] = {"dd", "if=/dev/zero", "bs=1000000",
                          apr_pstrcat(pool, "count=", count, NULL), "status=none", NULL};
    outcome_t *outcome = make_outcome(pool);
    sa_os_program_t *program;
    apr_int64_t before;

    SA_ASSERT_OK(sa_os_program_open(&program, "/bin/dd", false, pool));
    outcome->keep = false;
    shell("true", pool);
    before = memory_used();
    SA_ASSERT_OK(run_program(outcome, program, argv, &options, pool));
    ck_assert_int_eq(outcome->bytes, APR_INT64_C(1000000000) * GIGABYTES);
    ck_assert_int_le(memory_used() - before, 2 * 1024 * 1024);
}

/* 28 */
SA_TEST(silence_is_told_and_slow_output_is_not_lost)
{
    sa_os_exec_t options = {.silence = 50 * MS};
    const outcome_t *outcome = shell_with("for i in 1 2 3; do echo $i; sleep 0.13; done", &options,
                                          pool);

    ck_assert_str_eq(out(outcome), "1\n2\n3\n");
    ck_assert_int_ge(outcome->silences, 3);
    ck_assert_int_le(outcome->silences, 9);
    options.silence = 0;
    ck_assert_int_eq(shell_with("sleep 0.1", &options, pool)->silences, 0);
}

/* ---- what it gets ---------------------------------------------------------------- */

#define LIST_DESCRIPTORS \
    "i=0; while [ $i -lt 300 ]; do [ ! -e /proc/self/fd/$i ] || echo $i; i=$((i+1)); done"

/* 21 */
SA_TEST(it_has_descriptors_0_1_and_2_only)
{
    int given[40];

    for (int i = 0; i < 40; i++) {
        given[i] = open("/dev/null", O_RDWR);       /* not close-on-exec */
        ck_assert_int_ge(given[i], 0);
    }
    ck_assert_int_ge(dup2(given[0], 250), 0);
    ck_assert_str_eq(out(shell(LIST_DESCRIPTORS, pool)), "0\n1\n2\n");
    for (int i = 0; i < 40; i++) {
        close(given[i]);
    }
    close(250);
}

/* 21 */
SA_TEST(a_script_has_itself_as_a_descriptor_besides)
{
    const char *folder = make_folder(pool);
    const char *path = make_file(folder, "hello.sh",
                                 "#!/bin/sh\nsh -c '" LIST_DESCRIPTORS "'\nreadlink $0\n", 0755,
                                 pool);

    ck_assert_str_eq(out(run_path(path, true, pool)),
                     apr_pstrcat(pool, "0\n1\n2\n3\n", path, "\n", NULL));
}

/* 16 */
SA_TEST(its_environment_is_what_was_given_and_nothing_else)
{
    static const char *const given[] = {"PATH=/bin", "X=a b", NULL};
    static const char *const names[] = {
        "LD_PRELOAD", "BASH_ENV", "ENV", "IFS", "PYTHONPATH", "GCONV_PATH", "BASH_FUNC_x%%",
        "NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY", "SECRET"
    };
    static const char *const argv[] = {"env", NULL};
    sa_os_exec_t options = {.env = given};
    outcome_t *outcome = make_outcome(pool);
    sa_os_program_t *program;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        ck_assert_int_eq(setenv(names[i], "/tmp/evil", 1), 0);
    }
    SA_ASSERT_OK(sa_os_program_open(&program, "/usr/bin/env", false, pool));
    SA_ASSERT_OK(run_program(outcome, program, argv, &options, pool));
    ck_assert_str_eq(out(outcome), "PATH=/bin\nX=a b\n");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        unsetenv(names[i]);
    }
}

/* 22 */
SA_TEST(it_has_a_session_of_its_own_and_no_terminal)
{
    const outcome_t *outcome = shell(
        "read pid name state parent group session tty rest </proc/self/stat\n"
        "[ $pid = $$ ] && [ $pid = $group ] && [ $pid = $session ] && echo session\n"
        "[ $tty = 0 ] && ! (: </dev/tty) 2>/dev/null && echo no terminal", pool);

    ck_assert_str_eq(out(outcome), "session\nno terminal\n");
}

/* Make a terminal that is ours, in a session of our own. */
static void take_a_terminal(void)
{
    int terminal;
    int master;

    ck_assert_int_ne(setsid(), -1);
    master = posix_openpt(O_RDWR | O_NOCTTY);
    ck_assert(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    terminal = open(ptsname(master), O_RDWR);
    ck_assert_int_ge(terminal, 0);
    terminal = open("/dev/tty", O_RDWR);
    ck_assert_int_ge(terminal, 0);
}

/* 22; in a process of its own, since a group's leader cannot begin a session */
SA_TEST(our_terminal_is_not_its)
{
    pid_t child = fork();
    int status;

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        take_a_terminal();
        ck_assert_str_eq(out(shell("read pid name state parent group session tty rest "
                                   "</proc/self/stat\n"
                                   "[ $tty = 0 ] && ! (: </dev/tty) 2>/dev/null && echo none",
                                   pool)), "none\n");
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

SA_TEST(it_begins_at_the_root_with_nothing_to_read_and_plain_settings)
{
    const outcome_t *outcome;
    struct rlimit core = {1000000, 1000000};

    setrlimit(RLIMIT_CORE, &core);
    umask(0);
    outcome = shell("pwd; umask; ulimit -c; cat; readlink /proc/self/fd/0", pool);
    ck_assert_str_eq(out(outcome), "/\n0022\n0\n/dev/null\n");
}

SA_TEST(signals_that_we_ignore_or_block_it_does_not)
{
    static const char *const argv[] = {"grep", "^Sig\\(Blk\\|Ign\\)", "/proc/self/status", NULL};
    static const sa_os_exec_t plain;
    outcome_t *outcome = make_outcome(pool);
    sa_os_program_t *program;
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    SA_ASSERT_OK(sa_os_program_open(&program, "/bin/grep", false, pool));
    SA_ASSERT_OK(run_program(outcome, program, argv, &plain, pool));
    ck_assert_str_eq(out(outcome), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

SA_TEST(it_cannot_gain_privileges_unless_allowed)
{
    sa_os_exec_t options = {.new_privileges = true};
    sa_os_exec_support_t support;
    static const char line[] = "while read name value; do [ $name != NoNewPrivs: ] || echo $value;"
                               "done </proc/self/status";

    ck_assert_str_eq(out(shell(line, pool)), "1\n");
    /* Unless they were taken from us before (NoNewPrivileges= of a unit). */
    sa_os_exec_support(&support);
    ck_assert_str_eq(out(shell_with(line, &options, pool)),
                     support.no_new_privileges ? "1\n" : "0\n");
}

/* Of those that a unit gives us, AmbientCapabilities=. */
SA_TEST(capabilities_of_ours_are_not_handed_on)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];

    ck_assert_int_eq(syscall(SYS_capget, &header, sets), 0);
    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        sets[i].inheritable = sets[i].permitted;
    }
    ck_assert_int_eq(syscall(SYS_capset, &header, sets), 0);
    if (sets[0].permitted & (1u << CAP_NET_ADMIN)) {
        ck_assert_int_eq(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_ADMIN, 0, 0), 0);
    }
    ck_assert_str_eq(out(shell("grep -E '^Cap(Inh|Amb)' /proc/self/status", pool)),
                     "CapInh:\t0000000000000000\nCapAmb:\t0000000000000000\n");
}

SA_TEST(its_limits_are_those_that_were_asked_for)
{
    sa_os_exec_t options = {
        .nice = 7, .max_cpu = 3 * SECOND + 1, .max_file_size = 1024 * 1024
    };
    const outcome_t *outcome = shell_with(
        "ulimit -t; ulimit -f; read a b c d e f g h i j k l m n o p q r nice rest </proc/self/stat;"
        "echo $nice", &options, pool);

    ck_assert_str_eq(out(outcome), apr_psprintf(pool, "4\n2048\n%d\n",
                                                  7 + nice(0) < 19 ? 7 + nice(0) : 19));
    options.max_cpu = SECOND;
    outcome = shell_with("while :; do :; done", &options, pool);
    is_end(outcome, SA_OS_EXEC_SIGNALLED);
    ck_assert_str_eq(outcome->result.signal, "SIGXCPU");
    is_between(outcome->result.duration, 900 * MS, 15 * SECOND);
}

/* ---- what it leaves ---------------------------------------------------------------- */

/* 23 */
SA_TEST(a_background_process_that_holds_the_pipe_ends_with_it)
{
    const char *mark = make_mark(pool);
    const outcome_t *outcome = shell(apr_psprintf(pool, "sleep %s & echo x", mark), pool);

    is_end(outcome, SA_OS_EXEC_EXITED);
    ck_assert_str_eq(out(outcome), "x\n");
    ck_assert_int_eq(outcome->result.leftovers, 1);
    is_between(outcome->result.duration, 90 * MS, 900 * MS);
    ck_assert_int_eq(living(mark, pool), 0);
}

/* 24 */
SA_TEST(a_daemon_of_a_double_fork_in_a_session_of_its_own_ends_with_it)
{
    const char *mark = make_mark(pool);
    const outcome_t *outcome = shell(apr_psprintf(
        pool, "(setsid sh -c '(setsid sleep %s &) ; exec sleep %s' &) ; echo x", mark, mark), pool);

    is_end(outcome, SA_OS_EXEC_EXITED);
    ck_assert_str_eq(out(outcome), "x\n");
    /* What was on its way to become one counts as well. */
    ck_assert_int_ge(outcome->result.leftovers, 1);
    is_between(outcome->result.duration, 0, 900 * MS);
    ck_assert_int_eq(living(mark, pool), 0);
}

/* 24 */
SA_TEST(a_daemon_that_closed_the_pipe_ends_with_it_at_once)
{
    const char *mark = make_mark(pool);
    const outcome_t *outcome = shell(apr_psprintf(
        pool, "setsid sleep %s </dev/null >/dev/null 2>&1 & echo x", mark), pool);

    is_end(outcome, SA_OS_EXEC_EXITED);
    ck_assert_int_eq(outcome->result.leftovers, 1);
    is_between(outcome->result.duration, 0, 500 * MS);
    ck_assert_int_eq(living(mark, pool), 0);
}

/* 23: what is said in its last moment still comes. */
SA_TEST(what_leftovers_say_at_once_is_heard)
{
    const outcome_t *outcome = shell("(sleep 0.02; echo later) & echo x", pool);

    ck_assert_str_eq(out(outcome), "x\nlater\n");
    ck_assert_int_eq(outcome->result.leftovers, 0);
}

/* 26 */
SA_TEST(one_that_ignores_terminate_is_killed_half_a_second_later)
{
    sa_os_exec_t options = {.timeout = 300 * MS};
    const char *mark = make_mark(pool);
    const outcome_t *outcome = shell_with(
        apr_psprintf(pool, "trap '' TERM; echo x; sleep %s & sleep %s", mark, mark), &options,
        pool);

    is_end(outcome, SA_OS_EXEC_TIMED_OUT);
    ck_assert_str_eq(out(outcome), "x\n");
    ck_assert_int_eq(outcome->result.exit_code, 137);
    ck_assert_str_eq(outcome->result.signal, "SIGKILL");
    is_between(outcome->result.duration, 790 * MS, 1300 * MS);
    ck_assert_int_eq(living(mark, pool), 0);
}

SA_TEST(one_that_obeys_terminate_can_say_goodbye)
{
    sa_os_exec_t options = {.timeout = 300 * MS};
    const outcome_t *outcome = shell_with(
        "trap 'echo bye; exit 3' TERM; while :; do sleep 0.01; done", &options, pool);

    is_end(outcome, SA_OS_EXEC_TIMED_OUT);
    ck_assert_str_eq(out(outcome), "bye\n");
    ck_assert_int_eq(outcome->result.exit_code, 3);
    is_between(outcome->result.duration, 290 * MS, 790 * MS);
}

/* 27 */
SA_TEST(one_that_exits_at_the_very_deadline_has_one_end_or_the_other)
{
    sa_os_exec_t options = {.timeout = 60 * MS};

    for (int i = 0; i < 30; i++) {
        const outcome_t *outcome = shell_with("sleep 0.05", &options, pool);

        ck_assert(outcome->result.end == SA_OS_EXEC_TIMED_OUT
                  || (outcome->result.end == SA_OS_EXEC_EXITED && outcome->result.exit_code == 0));
        is_between(outcome->result.duration, 0, 700 * MS);
    }
}

/* 29 */
SA_TEST(one_that_closes_its_output_and_goes_on_is_waited_for)
{
    sa_os_exec_t options = {.timeout = 500 * MS};
    const outcome_t *outcome = shell("exec >&- 2>&-; sleep 0.3; exit 3", pool);

    is_end(outcome, SA_OS_EXEC_EXITED);
    ck_assert_int_eq(outcome->result.exit_code, 3);
    is_between(outcome->result.duration, 300 * MS, 2 * SECOND);
    outcome = shell_with("exec >&- 2>&-; exec sleep 1000", &options, pool);
    is_end(outcome, SA_OS_EXEC_TIMED_OUT);
    is_between(outcome->result.duration, 490 * MS, SECOND);
}

/* 30 */
SA_TEST(one_that_stops_itself_is_ended_all_the_same)
{
    sa_os_exec_t options = {.timeout = 200 * MS};
    const char *mark = make_mark(pool);
    const outcome_t *outcome = shell_with(
        apr_psprintf(pool, "sleep %s & kill -STOP $!; kill -STOP $$", mark), &options, pool);

    is_end(outcome, SA_OS_EXEC_TIMED_OUT);
    is_between(outcome->result.duration, 190 * MS, 1300 * MS);
    ck_assert_int_eq(living(mark, pool), 0);
}

/* 25: as deep as its limit is, no deeper than it must. */
SA_TEST(a_tree_of_many_ends_as_a_whole)
{
    sa_os_exec_t options = {.timeout = 2 * SECOND};
    const char *mark = make_mark(pool);
    const outcome_t *outcome = shell_with(
        apr_psprintf(pool, "trap '' TERM\n"
                     "grow() { if [ $1 -gt 0 ]; then grow $(($1-1)) & grow $(($1-1)) & fi\n"
                     "exec sleep %s; }\ngrow 6", mark), &options, pool);

    is_end(outcome, SA_OS_EXEC_TIMED_OUT);
    ck_assert_int_ge(outcome->result.leftovers, 100);
    is_between(outcome->result.duration, 2 * SECOND, 3 * SECOND + 500 * MS);
    wait_until_none(mark, pool);
}

/* 25: each lives only to start the next, so that no list of processes is ever true. */
SA_TEST(a_chain_that_runs_away_is_caught)
{
    sa_os_exec_t options = {.timeout = 300 * MS};
    const char *mark = make_mark(pool);
    const outcome_t *outcome = shell_with(
        apr_psprintf(pool, "trap '' TERM; run() { (run) & }; run; sleep %s", mark), &options, pool);

    is_end(outcome, SA_OS_EXEC_TIMED_OUT);
    is_between(outcome->result.duration, 790 * MS, 1500 * MS);
    wait_until_none(mark, pool);
}

/* 25: the shell's own bomb, as a user who has a limit. */
SA_TEST(a_fork_bomb_stays_within_its_limit_and_ends)
{
    sa_os_exec_support_t support;
    sa_os_exec_t options = {.timeout = SECOND, .max_processes = 40};
    const char *mark = make_mark(pool);
    const outcome_t *outcome;

    sa_os_exec_support(&support);
    if (geteuid() == 0 && !support.limits_processes) {
        /* Nothing but a cgroup limits root.  One of root's would not be ours any more. */
        ck_assert(!with_cgroup && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    }
    outcome = shell_with(apr_psprintf(pool, ": %s; bomb() { bomb | bomb & }; bomb; sleep 5", mark),
                         &options, pool);
    ck_assert(outcome->result.end == SA_OS_EXEC_TIMED_OUT
              || outcome->result.end == SA_OS_EXEC_EXITED);
    is_between(outcome->result.duration, 0, 2 * SECOND);
    wait_until_none(mark, pool);
}

/* 31 */
SA_TEST(one_that_takes_all_memory_ends_alone)
{
    sa_os_exec_support_t support;
    sa_os_exec_t options = {.max_memory = 48 * 1024 * 1024};
    const outcome_t *outcome;

    sa_os_exec_support(&support);
    outcome = shell_with("head -c 400m /dev/zero | tail -c 300m >/dev/null", &options, pool);
    ck_assert(outcome->result.exit_code != 0);
    ck_assert_int_eq(outcome->result.out_of_memory, support.limits_memory);
    ck_assert_str_eq(out(shell_with("echo well", &options, pool)), "well\n");
}

SA_TEST(nothing_of_ours_is_left_after_it)
{
    static const sa_os_exec_t plain;
    const char *const argv[] = {"x", NULL};
    const char *folder = make_folder(pool);
    outcome_t *outcome = make_outcome(pool);
    sa_os_program_t *bad;
    int before;

    SA_ASSERT_OK(sa_os_program_open(&bad, make_file(folder, "x", "\1\2\3", 0755, pool), false,
                                    pool));
    shell("true", pool);
    before = descriptors();
    for (int i = 0; i < 20; i++) {
        apr_pool_t *run_pool = sa_pool_create(pool);

        shell("sleep 1000 & true", run_pool);
        SA_ASSERT_ERR(run_program(outcome, bad, argv, &plain, run_pool), ENOEXEC);
        apr_pool_destroy(run_pool);
    }
    ck_assert_int_eq(descriptors(), before);
    ck_assert_int_eq(zombies(), 0);
}

SA_TEST(children_of_others_are_not_touched)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        _exit(5);
    }
    for (int i = 0; i < 5; i++) {
        shell("sleep 1000 & true", pool);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 5);
}

/* ---- ending it --------------------------------------------------------------------- */

static void cancel_soon(void *baton)
{
    poll(NULL, 0, 200);
    sa_os_cancel(baton);
    sa_os_cancel(baton);
}

/* 34 */
SA_TEST(a_cancel_from_another_thread_ends_it)
{
    sa_os_exec_t options = {.timeout = 0};
    const char *mark = make_mark(pool);
    const outcome_t *outcome;
    sa_os_thread_t *thread;

    SA_ASSERT_OK(sa_os_cancel_create(&options.cancel, pool));
    ck_assert(!sa_os_is_cancelled(options.cancel));
    ck_assert_int_eq(sa_os_thread_start(&thread, "cancel", cancel_soon, options.cancel, pool), 0);
    outcome = shell_with(apr_psprintf(pool, "echo x; sleep %s & sleep %s", mark, mark), &options,
                         pool);
    sa_os_thread_join(thread);
    is_end(outcome, SA_OS_EXEC_CANCELLED);
    is_between(outcome->result.duration, 190 * MS, 900 * MS);
    ck_assert(sa_os_is_cancelled(options.cancel));
    ck_assert_int_eq(living(mark, pool), 0);
    /* One that was cancelled before. */
    outcome = shell_with("sleep 1000", &options, pool);
    is_end(outcome, SA_OS_EXEC_CANCELLED);
    is_between(outcome->result.duration, 0, 700 * MS);
}

static void hang_up_soon(void *baton)
{
    poll(NULL, 0, 200);
    sa_os_hang_up(baton);
}

SA_TEST(a_hang_up_is_heard_by_the_main_process_alone_and_ends_nothing)
{
    sa_os_exec_t options = {.timeout = 10 * SECOND};
    const outcome_t *outcome;
    sa_os_thread_t *thread;

    SA_ASSERT_OK(sa_os_cancel_create(&options.cancel, pool));
    ck_assert_int_eq(sa_os_thread_start(&thread, "hang up", hang_up_soon, options.cancel, pool), 0);
    outcome = shell_with("sh -c 'trap \"echo child\" HUP; sleep 0.1; sleep 0.1; sleep 0.3' & "
                         "trap 'echo heard' HUP; wait; wait; exit 3", &options, pool);
    sa_os_thread_join(thread);
    is_end(outcome, SA_OS_EXEC_EXITED);
    ck_assert_int_eq(outcome->result.exit_code, 3);
    ck_assert_str_eq(out(outcome), "heard\n");
    ck_assert(!sa_os_is_cancelled(options.cancel));
    sa_os_hang_up(options.cancel);          /* nobody is there */
}

static void cancel_now(void *baton)
{
    sa_os_cancel(baton);
}

/* 34 */
SA_TEST(a_cancel_that_races_with_the_end_leaves_one_of_both)
{
    for (int i = 0; i < 50; i++) {
        sa_os_exec_t options = {.timeout = 0};
        const outcome_t *outcome;
        sa_os_thread_t *thread;

        SA_ASSERT_OK(sa_os_cancel_create(&options.cancel, pool));
        ck_assert_int_eq(sa_os_thread_start(&thread, "cancel", cancel_now, options.cancel, pool),
                         0);
        outcome = shell_with("true", &options, pool);
        sa_os_thread_join(thread);
        ck_assert(outcome->result.end == SA_OS_EXEC_CANCELLED
                  || (outcome->result.end == SA_OS_EXEC_EXITED && outcome->result.exit_code == 0));
    }
}

static sa_error_t *refuse(void *baton, sa_os_exec_stream_t stream, const char *data,
                          size_t length)
{
    (void)stream;
    (void)data;
    (void)length;
    (*(int *)baton)++;
    return sa_error(SA_ERR_CANCELLED, NULL, "nobody reads it");
}

/* 33 */
SA_TEST(an_error_of_the_reader_ends_it)
{
    int calls = 0;
    sa_os_exec_t options = {.output = refuse, .baton = &calls};
    const char *mark = make_mark(pool);
    const outcome_t *outcome = shell_with(
        apr_psprintf(pool, "sleep %s & while :; do echo x; done", mark), &options, pool);

    is_end(outcome, SA_OS_EXEC_STOPPED);
    ck_assert_int_eq(calls, 1);
    is_between(outcome->result.duration, 0, 900 * MS);
    ck_assert_int_eq(living(mark, pool), 0);
}

typedef struct slow_t {
    const char *done;           /* the child makes it when it has written all */
    bool waited;
    apr_int64_t bytes;
} slow_t;

static sa_error_t *read_slowly(void *baton, sa_os_exec_stream_t stream, const char *data,
                               size_t length)
{
    slow_t *slow = baton;

    (void)stream;
    (void)data;
    if (slow->bytes == 0) {
        poll(NULL, 0, 300);
        slow->waited = access(slow->done, F_OK) != 0;
    }
    slow->bytes += (apr_int64_t)length;
    return SA_OK;
}

SA_TEST(a_slow_reader_slows_it_down)
{
    slow_t slow = {.done = apr_pstrcat(pool, make_folder(pool), "/done", NULL)};
    sa_os_exec_t options = {.output = read_slowly, .baton = &slow};

    shell_with(apr_psprintf(pool, "head -c 4000000 /dev/zero; : >%s", slow.done), &options, pool);
    ck_assert(slow.waited);
    ck_assert_int_eq(slow.bytes, 4000000);
    ck_assert_int_eq(access(slow.done, F_OK), 0);
}

static void run_some(void *baton)
{
    apr_pool_t *pool = sa_pool_create_root();
    const char *mark = baton;

    for (int i = 0; i < 10; i++) {
        const outcome_t *outcome = shell(apr_psprintf(pool, "sleep %s & echo %d; exit %d", mark, i,
                                                      i), pool);

        is_end(outcome, SA_OS_EXEC_EXITED);
        ck_assert_int_eq(outcome->result.exit_code, i);
        ck_assert_str_eq(out(outcome), apr_psprintf(pool, "%d\n", i));
        ck_assert_int_eq(outcome->result.leftovers, 1);
        is_between(outcome->result.duration, 0, 3 * SECOND);
    }
    apr_pool_destroy(pool);
}

/* 35, as far as it is ours */
SA_TEST(many_at_once_keep_out_of_each_others_way)
{
    char *mark = apr_pstrdup(pool, make_mark(pool));
    sa_os_thread_t *threads[8];

    for (int i = 0; i < 8; i++) {
        ck_assert_int_eq(sa_os_thread_start(&threads[i], "run", run_some, mark, pool), 0);
    }
    for (int i = 0; i < 8; i++) {
        sa_os_thread_join(threads[i]);
    }
    ck_assert_int_eq(living(mark, pool), 0);
    ck_assert_int_eq(zombies(), 0);
}

/* ---- when we crash ------------------------------------------------------------------- */

/* What systemd does with the rest of a unit whose main process was killed, only sooner. */
static void ask_children_to_end(void)
{
    FILE *children = fopen("/proc/thread-self/children", "r");
    long pid;

    ck_assert_ptr_nonnull(children);
    while (fscanf(children, "%ld", &pid) == 1) {
        kill((pid_t)pid, SIGTERM);
    }
    fclose(children);
}

static sa_error_t *crash(void *baton, sa_os_exec_stream_t stream, const char *data, size_t length)
{
    (void)baton;
    (void)stream;
    (void)data;
    (void)length;
    ask_children_to_end();
    poll(NULL, 0, 50);
    kill(getpid(), SIGKILL);
    return SA_OK;
}

/* 36 */
SA_TEST(a_crash_of_ours_leaves_no_process)
{
    const char *mark = make_mark(pool);
    pid_t agent = fork();
    int status = 0;

    if (agent == 0) {
        sa_os_exec_t options = {.output = crash};

        shell_with(apr_psprintf(pool, "trap '' TERM HUP\n"
                                "(setsid sleep %s </dev/null >/dev/null 2>&1 &)\nsleep %s &\n"
                                "sleep 0.1; echo ready; sleep %s", mark, mark, mark),
                   &options, pool);
        _exit(1);
    }
    ck_assert_int_eq(waitpid(agent, &status, 0), agent);
    ck_assert(WIFSIGNALED(status));
    wait_until_none(mark, pool);
}

/* ---- scripts ------------------------------------------------------------------------- */

SA_TEST(a_script_gets_its_arguments)
{
    const char *folder = make_folder(pool);
    const char *path = make_file(folder, "hello.sh",
                                 "#!/bin/sh -e\necho \"$#:$1:$2\"\nfalse\necho on\n", 0700, pool);
    const outcome_t *outcome = run_path(path, true, pool);

    ck_assert_str_eq(out(outcome), "2:one:two words\n");
    ck_assert_int_eq(outcome->result.exit_code, 1);
}

/* 17 */
SA_TEST(a_script_that_is_replaced_after_it_was_opened_runs_as_it_was)
{
    static const sa_os_exec_t plain;
    const char *argv[] = {"hello.sh", NULL};
    const char *folder = make_folder(pool);
    const char *path = make_file(folder, "hello.sh", "#!/bin/sh\necho good\n", 0700, pool);
    const char *evil = make_file(folder, "evil", "#!/bin/sh\necho evil\n", 0777, pool);
    outcome_t *outcome = make_outcome(pool);
    sa_os_program_t *program;

    SA_ASSERT_OK(sa_os_program_open(&program, path, true, pool));
    ck_assert_int_eq(rename(evil, path), 0);
    SA_ASSERT_OK(run_program(outcome, program, argv, &plain, pool));
    ck_assert_str_eq(out(outcome), "good\n");
    SA_ASSERT_ERR(sa_os_program_open(&program, path, true, pool), SA_ERR_FILE_UNSAFE);
}

typedef struct swapping_t {
    const char *one;
    const char *other;
    volatile apr_uint32_t stop;
    volatile apr_uint32_t turns;
} swapping_t;

static void swap(void *baton)
{
    swapping_t *swapping = baton;

    while (!apr_atomic_read32(&swapping->stop)) {
        ck_assert_int_eq(renameat2(AT_FDCWD, swapping->one, AT_FDCWD, swapping->other,
                                   RENAME_EXCHANGE), 0);
        apr_atomic_inc32(&swapping->turns);
    }
}

static apr_interval_time_t race_time(void)
{
    const char *seconds = getenv("SA_RACE_SECONDS");

    return (seconds ? strtol(seconds, NULL, 10) : 3) * SECOND;
}

/* 17: two files, or two directories, change places all the time. */
static void race(const char *one, const char *other, const char *path, apr_pool_t *pool)
{
    static const sa_os_exec_t plain;
    const char *argv[] = {"hello.sh", NULL};
    swapping_t swapping = {.one = one, .other = other};
    apr_interval_time_t deadline = sa_time_mono() + race_time();
    sa_os_thread_t *thread;
    int good = 0;
    int refused = 0;

    ck_assert_int_eq(sa_os_thread_start(&thread, "swap", swap, &swapping, pool), 0);
    while (sa_time_mono() < deadline) {
        apr_pool_t *run_pool = sa_pool_create(pool);
        sa_os_program_t *program;
        sa_error_t *err = sa_os_program_open(&program, path, true, run_pool);

        if (err) {
            refused++;
            sa_error_clear(err);
        } else {
            outcome_t *outcome = make_outcome(run_pool);

            SA_ASSERT_OK(run_program(outcome, program, argv, &plain, run_pool));
            ck_assert_str_eq(out(outcome), "good\n");
            good++;
        }
        apr_pool_destroy(run_pool);
    }
    apr_atomic_set32(&swapping.stop, 1);
    sa_os_thread_join(thread);
    fprintf(stderr, "# %d good, %d refused, 0 wrong, %u exchanges\n", good, refused,
            (unsigned)swapping.turns);
    ck_assert_int_gt(good, 0);
    ck_assert_int_gt(refused, 0);
    ck_assert_int_gt(swapping.turns, 100);
}

SA_TEST(a_script_that_is_swapped_all_the_time_is_the_good_one_or_refused)
{
    const char *folder = make_folder(pool);
    const char *good = make_file(folder, "hello.sh", "#!/bin/sh\necho good\n", 0700, pool);
    const char *evil = make_file(folder, "evil", "#!/bin/sh\necho evil\n", 0777, pool);

    race(good, evil, good, pool);
}

SA_TEST(a_directory_that_is_swapped_all_the_time_is_the_good_one_or_refused)
{
    const char *folder = make_folder(pool);
    const char *good = apr_pstrcat(pool, folder, "/good", NULL);
    const char *evil = apr_pstrcat(pool, folder, "/evil", NULL);
    const char *path;

    ck_assert(mkdir(good, 0700) == 0 && mkdir(evil, 0700) == 0 && chmod(evil, 0777) == 0);
    path = make_file(good, "hello.sh", "#!/bin/sh\necho good\n", 0700, pool);
    make_file(evil, "hello.sh", "#!/bin/sh\necho evil\n", 0700, pool);
    race(good, evil, path, pool);
}

/* Opening PATH as a script fails with CODE and says WORDS. */
static void refuses(const char *path, bool script, apr_status_t code, const char *words,
                    apr_pool_t *pool)
{
    sa_os_program_t *program;
    sa_error_t *err = sa_os_program_open(&program, path, script, pool);
    char text[1024];

    ck_assert_msg(err != NULL, "%s is taken", path);
    sa_error_text(err, text, sizeof(text));
    ck_assert_msg(sa_error_has(err, code), "%s: %s", path, text);
    ck_assert_msg(strstr(text, words) != NULL, "\"%s\" is not in: %s", words, text);
    sa_error_clear(err);
}

#define GOOD "#!/bin/sh\necho good\n"

/* 18, 19, 20 */
SA_TEST(an_unsafe_or_broken_script_is_refused_with_the_mend)
{
    static const struct {
        const char *text;
        mode_t mode;
        apr_status_t code;
        const char *words;
    } rows[] = {
        {GOOD, 0777, SA_ERR_FILE_UNSAFE, "chmod go-w"},
        {GOOD, 0702, SA_ERR_FILE_UNSAFE, "chmod go-w"},
        {GOOD, 0720, SA_ERR_FILE_UNSAFE, "chmod go-w"},
        {GOOD, 04755, SA_ERR_FILE_UNSAFE, "chmod ug-s"},
        {GOOD, 02755, SA_ERR_FILE_UNSAFE, "chmod ug-s"},
        {GOOD, 0644, SA_ERR_FILE_CONTENT, "chmod +x"},
        {"", 0755, SA_ERR_FILE_CONTENT, "is empty"},
        {"echo hi\n", 0755, SA_ERR_FILE_CONTENT, "does not begin with #!"},
        {"\357\273\277#!/bin/sh\n", 0755, SA_ERR_FILE_CONTENT, "does not begin with #!"},
        {"#!/bin/sh\r\necho hi\r\n", 0755, SA_ERR_FILE_CONTENT, "CR LF"},
        {"#!/bin/sh -e\r\necho hi\r\n", 0755, SA_ERR_FILE_CONTENT, "CR LF"},
        {"#!sh\n", 0755, SA_ERR_FILE_CONTENT, "whole path"},
        {"#!\n", 0755, SA_ERR_FILE_CONTENT, "whole path"},
        {"#!   \nx", 0755, SA_ERR_FILE_CONTENT, "whole path"},
        {"#!/no/such/shell\n", 0755, ENOENT, "the interpreter of the script"},
        {"#!/usr\n", 0755, SA_ERR_FILE_CONTENT, "the interpreter of the script"},
        {"#!/etc/passwd\n", 0755, SA_ERR_FILE_CONTENT, "the interpreter of the script"},
    };
    const char *folder = make_folder(pool);
    char line[400] = "#!/bin/";

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        refuses(make_file(folder, "x.sh", rows[i].text, rows[i].mode, pool), true, rows[i].code,
                rows[i].words, pool);
    }
    memset(line + strlen(line), 'x', sizeof(line) - strlen(line) - 1);
    refuses(make_file(folder, "x.sh", line, 0755, pool), true, SA_ERR_FILE_CONTENT, "too long",
            pool);
}

/* 18 */
SA_TEST(links_to_a_script_are_refused)
{
    const char *folder = make_folder(pool);
    const char *path = make_file(folder, "x.sh", GOOD, 0755, pool);
    const char *soft = apr_pstrcat(pool, folder, "/soft.sh", NULL);
    const char *hard = apr_pstrcat(pool, folder, "/hard.sh", NULL);
    const char *way = apr_pstrcat(pool, folder, "/way", NULL);

    ck_assert_int_eq(symlink(path, soft), 0);
    ck_assert_int_eq(symlink(folder, way), 0);
    refuses(soft, true, SA_ERR_FILE_UNSAFE, "symbolic link", pool);
    refuses(apr_pstrcat(pool, way, "/x.sh", NULL), true, SA_ERR_FILE_UNSAFE, "symbolic link", pool);
    ck_assert_str_eq(out(run_path(path, true, pool)), "good\n");
    ck_assert_int_eq(link(path, hard), 0);
    refuses(path, true, SA_ERR_FILE_UNSAFE, "hard links", pool);
    refuses(hard, true, SA_ERR_FILE_UNSAFE, "hard links", pool);
}

/* 19 */
SA_TEST(a_script_in_a_directory_of_others_is_refused)
{
    static const mode_t modes[] = {0777, 0775, 0757, 01777};
    const char *folder = make_folder(pool);
    const char *inner = apr_pstrcat(pool, folder, "/inner", NULL);
    const char *path;

    ck_assert_int_eq(mkdir(inner, 0755), 0);
    path = make_file(inner, "x.sh", GOOD, 0755, pool);
    ck_assert_str_eq(out(run_path(path, true, pool)), "good\n");
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        ck_assert_int_eq(chmod(inner, modes[i]), 0);
        refuses(path, true, SA_ERR_FILE_UNSAFE, "chmod go-w", pool);
    }
    ck_assert_int_eq(chmod(inner, 0755), 0);
    ck_assert_int_eq(chmod(folder, 0777), 0);
    refuses(path, true, SA_ERR_FILE_UNSAFE, folder, pool);
    refuses(path, false, SA_ERR_FILE_UNSAFE, folder, pool);
    ck_assert_int_eq(chmod(folder, 0755), 0);
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(path, NOBODY, NOBODY), 0);
        refuses(path, true, SA_ERR_FILE_UNSAFE, "chown root", pool);
        ck_assert_int_eq(chown(path, 0, 0), 0);
        ck_assert_int_eq(chown(inner, NOBODY, NOBODY), 0);
        refuses(path, true, SA_ERR_FILE_UNSAFE, "chown root", pool);
    }
}

/* 20 */
SA_TEST(what_is_no_file_is_refused_at_once)
{
    const char *folder = make_folder(pool);
    const char *fifo = apr_pstrcat(pool, folder, "/fifo", NULL);

    ck_assert_int_eq(mkfifo(fifo, 0700), 0);
    for (int script = 0; script < 2; script++) {
        refuses(fifo, script, SA_ERR_FILE_CONTENT, "not a regular file", pool);
        refuses(folder, script, SA_ERR_FILE_CONTENT, "is a directory", pool);
        refuses("/", script, SA_ERR_FILE_CONTENT, "is a directory", pool);
        refuses("/dev/null", script, SA_ERR_FILE_CONTENT, "not a regular file", pool);
        refuses("hello.sh", script, SA_ERR_CONFIG, "absolute", pool);
        refuses("", script, SA_ERR_CONFIG, "absolute", pool);
        refuses(apr_pstrcat(pool, folder, "/none", NULL), script, ENOENT, "cannot open", pool);
        refuses(apr_pstrcat(pool, "/bin/sh", "/x", NULL), script,
                script ? SA_ERR_FILE_UNSAFE : ENOTDIR, "/bin", pool);
    }
}

/* 20: in a mount namespace of this process, as root only. */
SA_TEST(a_script_on_a_noexec_mount_is_refused)
{
    const char *folder = make_folder(pool);
    const char *path;

    ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
    ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    ck_assert_int_eq(mount("tmpfs", folder, "tmpfs", MS_NOEXEC, "mode=755"), 0);
    path = make_file(folder, "x.sh", GOOD, 0755, pool);
    refuses(path, true, SA_ERR_FILE_UNSAFE, "noexec", pool);
    ck_assert_int_eq(umount(folder), 0);
}

SA_TEST(a_program_may_be_reached_by_links_of_safe_places_only)
{
    const char *folder = make_folder(pool);
    const char *open_folder = apr_pstrcat(pool, folder, "/open", NULL);
    const char *shell_link = apr_pstrcat(pool, folder, "/sh", NULL);
    const char *unsafe = apr_pstrcat(pool, open_folder, "/sh", NULL);
    const char *loop = apr_pstrcat(pool, folder, "/loop", NULL);
    const char *up = apr_pstrcat(pool, folder, "/up", NULL);
    sa_os_program_t *program;

    ck_assert(mkdir(open_folder, 0755) == 0 && chmod(open_folder, 0777) == 0);
    ck_assert_int_eq(symlink("/bin/sh", shell_link), 0);
    ck_assert_int_eq(symlink("/bin/sh", unsafe), 0);
    ck_assert_int_eq(symlink("loop", loop), 0);
    ck_assert_int_eq(symlink("../../../../../../bin/./sh", up), 0);
    SA_ASSERT_OK(sa_os_program_open(&program, shell_link, false, pool));
    SA_ASSERT_OK(sa_os_program_open(&program, up, false, pool));
    refuses(unsafe, false, SA_ERR_FILE_UNSAFE, "chmod go-w", pool);
    refuses(loop, false, ELOOP, "cannot open", pool);
}

SA_TEST(what_cannot_be_run_says_why)
{
    static const sa_os_exec_t plain;
    const char *folder = make_folder(pool);
    const char *path = make_file(folder, "x", "\1\2\3", 0755, pool);
    char *long_text = apr_pcalloc(pool, 3000001);
    const char *argv[] = {"x", NULL, NULL};
    outcome_t *outcome = make_outcome(pool);
    sa_os_program_t *program;

    SA_ASSERT_OK(sa_os_program_open(&program, path, false, pool));
    SA_ASSERT_ERR(run_program(outcome, program, argv, &plain, pool), ENOEXEC);
    memset(long_text, 'x', 3000000);
    argv[1] = long_text;
    SA_ASSERT_OK(sa_os_program_open(&program, "/bin/echo", false, pool));
    SA_ASSERT_ERR(run_program(outcome, program, argv, &plain, pool), SA_ERR_LIMIT);
    /* Its interpreter went after it was opened. */
    path = make_file(folder, "y", "#!/no/such\n", 0755, pool);
    argv[1] = NULL;
    SA_ASSERT_OK(sa_os_program_open(&program, path, false, pool));
    SA_ASSERT_ERR(run_program(outcome, program, argv, &plain, pool), ENOENT);
}

/* In a mount namespace of this process, as root only. */
SA_TEST(descriptors_are_closed_by_number_where_they_cannot_be_listed)
{
    int given[6];

    ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
    ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    ck_assert_int_eq(mount("tmpfs", "/proc", "tmpfs", 0, "mode=755"), 0);
    for (int i = 0; i < 6; i++) {
        given[i] = open("/dev/null", O_RDWR);       /* not close-on-exec */
    }
    ck_assert_int_le(given[0], 9);
    ck_assert_str_eq(out(shell("for i in 0 1 2 3 4 5 6 7 8 9; do"
                               " (: <&$i) 2>/dev/null && echo $i; done", pool)), "0\n1\n2\n");
    for (int i = 0; i < 6; i++) {
        close(given[i]);
    }
    ck_assert_int_eq(umount("/proc"), 0);       /* sanitizers look there at the end */
}

/* ---- confined -------------------------------------------------------------------------- */

static apr_array_header_t *paths(apr_pool_t *pool, const char *one, const char *other)
{
    apr_array_header_t *made = apr_array_make(pool, 16, sizeof(const char *));

    APR_ARRAY_PUSH(made, const char *) = one;
    if (other) {
        APR_ARRAY_PUSH(made, const char *) = other;
    }
    return made;
}

static void add_libraries(apr_array_header_t *readable)
{
    static const char *const places[] = {"/bin", "/lib", "/lib64", "/etc"};

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (access(places[i], F_OK) == 0) {
            APR_ARRAY_PUSH(readable, const char *) = places[i];
        }
    }
}

SA_TEST(one_that_is_confined_sees_and_writes_what_it_may_only)
{
    const char *folder = make_folder(pool);
    const char *script_folder = make_folder(pool);
    const char *in = apr_pstrcat(pool, folder, "/in", NULL);
    const char *beside = apr_pstrcat(pool, folder, "/beside", NULL);
    apr_array_header_t *readable = paths(pool, "/usr", NULL);
    sa_os_exec_t options = {.readable = readable, .writable = paths(pool, in, NULL),
                            .new_privileges = true};
    const char *argv[] = {"x.sh", in, beside, NULL};
    outcome_t *outcome = make_outcome(pool);
    sa_os_exec_support_t support;
    sa_os_program_t *program;

    ck_assert(mkdir(in, 0755) == 0 && mkdir(beside, 0755) == 0);
    make_file(beside, "secret", "secret\n", 0644, pool);
    add_libraries(readable);
    SA_ASSERT_OK(sa_os_program_open(&program, make_file(script_folder, "x.sh",
        "#!/bin/sh\n(echo hello >$1/file) && cat $1/file\n"
        "(: >$2/new) 2>/dev/null || echo no new\n"
        "cat $2/secret 2>/dev/null || echo no reading\n"
        "(: >$2/secret) 2>/dev/null || echo no writing\n"
        "rm -f $2/secret 2>/dev/null || echo no removing\n"
        "ls / >/dev/null 2>&1 || echo no listing\n",
        0755, pool), true, pool));
    sa_os_exec_support(&support);
    if (support.landlock == 0) {
        SA_ASSERT_ERR(run_program(outcome, program, argv, &options, pool), SA_ERR_NOT_ON_THIS_OS);
        return;
    }
    SA_ASSERT_OK(run_program(outcome, program, argv, &options, pool));
    ck_assert_str_eq(out(outcome),
                     "hello\nno new\nno reading\nno writing\nno removing\nno listing\n");
    APR_ARRAY_PUSH(readable, const char *) = "/no/such/place";
    SA_ASSERT_ERR(run_program(outcome, program, argv, &options, pool), ENOENT);
}

/* ---- cgroups ------------------------------------------------------------------------------ */

SA_TEST(each_run_has_a_cgroup_of_its_own_that_goes_with_it)
{
    sa_os_exec_support_t support;
    const outcome_t *outcome = shell("sed -n 's/^0:://p' /proc/self/cgroup", pool);
    char *group = apr_pstrdup(pool, out(outcome));
    char *name = strstr(group, "/runs.");

    sa_os_exec_support(&support);
    ck_assert_ptr_nonnull(name);
    name[strcspn(name, "\n")] = '\0';
    ck_assert_ptr_nonnull(strstr(name, "/run-"));
    ck_assert_int_ne(access(apr_pstrcat(pool, support.cgroup, name, NULL), F_OK), 0);
    *strstr(name, "/run-") = '\0';
    ck_assert_int_eq(access(apr_pstrcat(pool, support.cgroup, name, NULL), F_OK), 0);
}

SA_TEST(cgroups_that_it_makes_within_go_with_it)
{
    sa_os_exec_support_t support;
    const char *mark = make_mark(pool);
    const outcome_t *outcome;

    sa_os_exec_support(&support);
    outcome = shell(apr_psprintf(pool,
        "own=%s$(sed -n 's/^0:://p' /proc/self/cgroup)\nmkdir -p $own/a/b\n"
        "(echo 0 >$own/a/b/cgroup.procs; exec sleep %s >/dev/null 2>&1) &\n"
        "until grep -q . $own/a/b/cgroup.procs; do sleep 0.01; done; echo $own",
        strcmp(support.cgroup, "/sys/fs/cgroup/unified") == 0 ? support.cgroup : "/sys/fs/cgroup",
        mark), pool);
    ck_assert_int_eq(outcome->result.leftovers, 1);
    ck_assert_int_eq(living(mark, pool), 0);
    ck_assert_int_ne(access(apr_pstrmemdup(pool, out(outcome), strcspn(out(outcome), "\n")), F_OK),
                     0);
}

static apr_pool_t *fixture_pool;

static void open_cgroup(void)
{
    sa_os_exec_support_t support;

    with_cgroup = true;
    fixture_pool = sa_pool_create_root();
    SA_ASSERT_OK(sa_os_exec_open(fixture_pool));
    sa_os_exec_support(&support);
    ck_assert_ptr_nonnull(support.cgroup);
}

static void close_cgroup(void)
{
    apr_pool_destroy(fixture_pool);
}

static void age(void)
{
    ck_assert(kernel_age());
}

static void open_old_cgroup(void)
{
    age();
    kernel_hide_cgroup_kill();
    open_cgroup();
}

static void close_old_cgroup(void)
{
    close_cgroup();
    ck_assert_int_gt(kernel_hidden(), 0);
}

/* A process in a cgroup of runs called NAME. */
static pid_t live_in(const char *path)
{
    pid_t child = fork();
    FILE *procs;

    if (child == 0) {
        pause();
        _exit(0);
    }
    ck_assert(mkdir(path, 0755) == 0 && chdir(path) == 0 && mkdir("run-0", 0755) == 0);
    procs = fopen("run-0/cgroup.procs", "w");
    ck_assert_ptr_nonnull(procs);
    fprintf(procs, "%ld", (long)child);
    ck_assert_int_eq(fclose(procs), 0);
    ck_assert_int_eq(chdir("/"), 0);
    return child;
}

/* 36 */
SA_TEST(what_a_crashed_life_left_is_ended_and_what_a_living_one_runs_is_not)
{
    sa_os_exec_support_t support;
    const char *left;
    const char *held;
    int status = 0;
    pid_t orphan;
    pid_t other;
    int lock;

    sa_os_exec_support(&support);
    left = apr_psprintf(pool, "%s/runs.left-%ld", support.cgroup, (long)getpid());
    held = apr_psprintf(pool, "%s/runs.held-%ld", support.cgroup, (long)getpid());
    other = live_in(held);
    lock = open(held, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_eq(flock(lock, LOCK_EX | LOCK_NB), 0);
    close_cgroup();
    orphan = live_in(left);
    open_cgroup();
    ck_assert_int_eq(waitpid(orphan, &status, 0), orphan);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    ck_assert_int_ne(access(left, F_OK), 0);
    ck_assert_int_eq(kill(other, 0), 0);
    ck_assert_int_eq(waitpid(other, &status, WNOHANG), 0);
    /* Now its agent is gone too. */
    close(lock);
    close_cgroup();
    open_cgroup();
    ck_assert_int_eq(waitpid(other, &status, 0), other);
    ck_assert_int_ne(access(held, F_OK), 0);
}

/* ---- all of them ---------------------------------------------------------------------------- */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static TCase *add_case(Suite *suite, const char *name, const TTest *const *tests, size_t count)
{
    TCase *tcase = tcase_create(name);

    tcase_set_timeout(tcase, 120);
    for (size_t i = 0; i < count; i++) {
        tcase_add_test(tcase, tests[i]);
    }
    suite_add_tcase(suite, tcase);
    return tcase;
}

static TCase *add_run_tests(Suite *suite, const char *name)
{
    const TTest *const tests[] = {
        its_output_and_its_end_are_told,
        output_is_passed_on_byte_by_byte,
        streams_that_alternate_and_an_endless_line_come_whole,
        silence_is_told_and_slow_output_is_not_lost,
        it_has_descriptors_0_1_and_2_only,
        a_script_has_itself_as_a_descriptor_besides,
        its_environment_is_what_was_given_and_nothing_else,
        it_has_a_session_of_its_own_and_no_terminal,
        our_terminal_is_not_its,
        it_begins_at_the_root_with_nothing_to_read_and_plain_settings,
        signals_that_we_ignore_or_block_it_does_not,
        it_cannot_gain_privileges_unless_allowed,
        capabilities_of_ours_are_not_handed_on,
        its_limits_are_those_that_were_asked_for,
        a_background_process_that_holds_the_pipe_ends_with_it,
        a_daemon_of_a_double_fork_in_a_session_of_its_own_ends_with_it,
        a_daemon_that_closed_the_pipe_ends_with_it_at_once,
        what_leftovers_say_at_once_is_heard,
        one_that_ignores_terminate_is_killed_half_a_second_later,
        one_that_obeys_terminate_can_say_goodbye,
        one_that_exits_at_the_very_deadline_has_one_end_or_the_other,
        one_that_closes_its_output_and_goes_on_is_waited_for,
        one_that_stops_itself_is_ended_all_the_same,
        a_tree_of_many_ends_as_a_whole,
        a_chain_that_runs_away_is_caught,
        one_that_takes_all_memory_ends_alone,
        nothing_of_ours_is_left_after_it,
        children_of_others_are_not_touched,
        a_cancel_from_another_thread_ends_it,
        a_hang_up_is_heard_by_the_main_process_alone_and_ends_nothing,
        a_cancel_that_races_with_the_end_leaves_one_of_both,
        an_error_of_the_reader_ends_it,
        a_slow_reader_slows_it_down,
        many_at_once_keep_out_of_each_others_way,
        a_crash_of_ours_leaves_no_process,
        what_cannot_be_run_says_why,
        one_that_is_confined_sees_and_writes_what_it_may_only
    };

    return add_case(suite, name, tests, COUNT(tests));
}

static void add_program_tests(Suite *suite)
{
    const TTest *const tests[] = {
        ten_gigabytes_of_output_leave_our_memory_as_it_is,
        a_script_gets_its_arguments,
        a_script_that_is_replaced_after_it_was_opened_runs_as_it_was,
        a_script_that_is_swapped_all_the_time_is_the_good_one_or_refused,
        a_directory_that_is_swapped_all_the_time_is_the_good_one_or_refused,
        an_unsafe_or_broken_script_is_refused_with_the_mend,
        links_to_a_script_are_refused,
        a_script_in_a_directory_of_others_is_refused,
        what_is_no_file_is_refused_at_once,
        a_program_may_be_reached_by_links_of_safe_places_only
    };

    add_case(suite, "programs", tests, COUNT(tests));
}

static TCase *add_cgroup_tests(Suite *suite)
{
    const TTest *const tests[] = {
        each_run_has_a_cgroup_of_its_own_that_goes_with_it,
        cgroups_that_it_makes_within_go_with_it,
        what_a_crashed_life_left_is_ended_and_what_a_living_one_runs_is_not
    };

    return add_case(suite, "cgroups", tests, COUNT(tests));
}

/* What does without pidfd_open(2), close_range(2) and cgroup.kill. */
static TCase *add_old_tests(Suite *suite, const char *name)
{
    const TTest *const tests[] = {
        its_output_and_its_end_are_told,
        it_has_descriptors_0_1_and_2_only,
        a_script_has_itself_as_a_descriptor_besides,
        a_background_process_that_holds_the_pipe_ends_with_it,
        a_daemon_of_a_double_fork_in_a_session_of_its_own_ends_with_it,
        a_daemon_that_closed_the_pipe_ends_with_it_at_once,
        one_that_ignores_terminate_is_killed_half_a_second_later,
        one_that_stops_itself_is_ended_all_the_same,
        a_tree_of_many_ends_as_a_whole,
        a_chain_that_runs_away_is_caught,
        nothing_of_ours_is_left_after_it,
        a_cancel_from_another_thread_ends_it,
        a_hang_up_is_heard_by_the_main_process_alone_and_ends_nothing,
        many_at_once_keep_out_of_each_others_way,
        a_crash_of_ours_leaves_no_process,
        what_cannot_be_run_says_why,
        one_that_is_confined_sees_and_writes_what_it_may_only
    };

    return add_case(suite, name, tests, COUNT(tests));
}

/* Where the tests of one kind need something that is not there they are not made, and
 * that is said. */
static void without(const char *tests, const char *why)
{
    printf("not tested: %s: %s\n", tests, why);
}

static void add_mount_tests(Suite *suite)
{
    const TTest *const noexec[] = {a_script_on_a_noexec_mount_is_refused};
    const TTest *const by_number[] = {
        descriptors_are_closed_by_number_where_they_cannot_be_listed
    };
    pid_t child = fork();
    int status = 0;

    if (child == 0) {
        _exit(unshare(CLONE_NEWNS) == 0 ? 0 : 1);
    }
    if (waitpid(child, &status, 0) != child || status != 0) {
        without("a noexec mount, a system without /proc", "only root can mount");
        return;
    }
    add_case(suite, "noexec", noexec, 1);
    if (kernel_can_age()) {
        tcase_add_checked_fixture(add_case(suite, "by number", by_number, 1), age, NULL);
    }
}

static void add_bomb_test(Suite *suite, const char *name, const sa_os_exec_support_t *support)
{
    const TTest *const tests[] = {a_fork_bomb_stays_within_its_limit_and_ends};
    TCase *tcase;

    if (!support->cgroup) {
        add_case(suite, name, tests, 1);
    } else if (geteuid() == 0 && !support->limits_processes) {
        without("a fork bomb in a cgroup", "it has no pids controller, and root no other limit");
    } else {
        tcase = add_case(suite, name, tests, 1);
        tcase_add_checked_fixture(tcase, open_cgroup, close_cgroup);
    }
}

static void add_supervised_tests(Suite *suite)
{
    const sa_os_exec_support_t none = {.cgroup = NULL};

    add_run_tests(suite, "supervised");
    add_bomb_test(suite, "supervised bomb", &none);
    if (!kernel_can_age()) {
        without("an old kernel", "no seccomp(2) filters here");
        return;
    }
    tcase_add_checked_fixture(add_old_tests(suite, "supervised on an old kernel"), age, NULL);
}

static void add_tests_in_cgroups(Suite *suite)
{
    apr_pool_t *pool = sa_pool_create_root();
    sa_os_exec_support_t support;

    sa_error_clear(sa_os_exec_open(pool));  /* then there is none */
    sa_os_exec_support(&support);
    if (!support.cgroup) {
        without("all in a cgroup", support.cgroup_why);
    } else {
        tcase_add_checked_fixture(add_run_tests(suite, "in a cgroup"), open_cgroup, close_cgroup);
        tcase_add_checked_fixture(add_cgroup_tests(suite), open_cgroup, close_cgroup);
        add_bomb_test(suite, "bomb in a cgroup", &support);
    }
    if (support.cgroup && kernel_can_age()) {
        tcase_add_checked_fixture(add_old_tests(suite, "in a cgroup of an old kernel"),
                                  open_old_cgroup, close_old_cgroup);
    }
    apr_pool_destroy(pool);
}

int main(void)
{
    Suite *suite = suite_create("exec");
    SRunner *runner;
    int failed;

    apr_initialize();
    add_program_tests(suite);
    add_mount_tests(suite);
    add_supervised_tests(suite);
    add_tests_in_cgroups(suite);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
