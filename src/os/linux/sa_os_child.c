/* os: the beginning of a child: from the clone to the program.
 *
 * As vfork(2), so that it costs the same whatever our size: the child has our memory, on
 * a stack of its own, and the thread that starts it waits until the program runs or it
 * has failed.  Until then only system calls: no allocation, no locks, no log.  What it
 * has to say it leaves in sa_os__child_t.  It is as safe after fork(2).
 *
 * The end of the THREAD that started it is what PR_SET_PDEATHSIG tells: it stays until
 * the run is over, so that means the end of the process. */
#include "sa_os_exec_private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <linux/capability.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_landlock_restrict_self
#define SYS_landlock_restrict_self 446
#endif

#define PROGRAM_DESCRIPTOR 3    /* where the child has it */
#define MODE_MASK 022
#define STACK_SIZE (64 * 1024)
#define LISTING_SIZE 2048
#define NUMBERED_MAX 65536

/* What runs in the child.  Sanitizers keep books about stacks, and know neither this one
 * nor that its frames are never left. */
#if defined(__GNUC__) || defined(__clang__)
#define IN_CHILD __attribute__((no_sanitize_address, no_sanitize_thread))
#else
#define IN_CHILD
#endif

/* ThreadSanitizer's own clone(2) takes it for a fork and begins its books anew, in the
 * memory that is ours as well. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define BESIDE_SANITIZER
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(BESIDE_SANITIZER)
int __clone(int (*run)(void *baton), void *stack, int flags, void *baton, ...);
#define clone __clone
#endif

/* ---- descriptors ------------------------------------------------------------- */

IN_CHILD static bool is_kept(const int *kept, int count, int fd)
{
    for (int i = 0; i < count; i++) {
        if (kept[i] == fd) {
            return true;
        }
    }
    return fd <= 2;
}

IN_CHILD static int number_of(const char *text)
{
    int number = 0;

    if (*text < '0' || *text > '9') {
        return -1;
    }
    for (; *text >= '0' && *text <= '9' && number < INT_MAX / 10 - 1; text++) {
        number = number * 10 + (*text - '0');
    }
    return number;
}

/* Without the list: where there is no /proc. */
IN_CHILD static void close_numbered(const int *kept, int count)
{
    struct rlimit limit;
    int last = NUMBERED_MAX;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < NUMBERED_MAX) {
        last = (int)limit.rlim_cur;
    }
    for (int fd = 3; fd < last; fd++) {
        if (!is_kept(kept, count, fd)) {
            close(fd);
        }
    }
}

/* A kernel without close_range(2), older than 5.9. */
IN_CHILD static void close_listed(const int *kept, int count)
{
    int directory = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    union {
        char bytes[LISTING_SIZE];
        sa_os__listed_t aligned;
    } listing;
    long got;

    if (directory < 0) {
        close_numbered(kept, count);
        return;
    }
    do {
        got = syscall(SYS_getdents64, directory, listing.bytes, sizeof(listing.bytes));
        for (long at = 0; at < got;) {
            const sa_os__listed_t *listed = (const sa_os__listed_t *)(listing.bytes + at);
            int fd = number_of(listed->name);

            if (fd != directory && fd > 2 && !is_kept(kept, count, fd)) {
                close(fd);
            }
            at += listed->length;
        }
    } while (got > 0);
    close(directory);
}

IN_CHILD void sa_os__close_others(const int *kept, int count)
{
    unsigned from = 3;

    for (int i = 0; i < count; i++) {
        unsigned fd = (unsigned)kept[i];

        if (fd > from && syscall(SYS_close_range, from, fd - 1, 0) != 0) {
            close_listed(kept, count);
            return;
        }
        from = fd >= from ? fd + 1 : from;
    }
    if (syscall(SYS_close_range, from, UINT_MAX, 0) != 0) {
        close_listed(kept, count);
    }
}

/* Nothing but 0, 1, 2 and the program, which goes when it runs unless it is a script. */
IN_CHILD static bool set_descriptors(const sa_os__child_t *child)
{
    const int kept[] = {PROGRAM_DESCRIPTOR};

    for (int i = 0; i < 3; i++) {
        if (dup2(child->standard[i], i) < 0) {
            return false;
        }
    }
    /* The others of CHILD have done their work by now, whichever of them was 3. */
    if (child->program != PROGRAM_DESCRIPTOR
        && dup2(child->program, PROGRAM_DESCRIPTOR) < 0) {
        return false;
    }
    if (fcntl(PROGRAM_DESCRIPTOR, F_SETFD, child->keeps_program ? 0 : FD_CLOEXEC) != 0) {
        return false;
    }
    sa_os__close_others(kept, 1);
    return true;
}

void sa_os__leave(void)
{
    syscall(SYS_exit_group, 127);
}

/* ---- the child --------------------------------------------------------------- */

/* What was ignored would stay so across the exec; what was caught would not.  By the call
 * itself, for the C library does not let go of its own two: some parents leave those ignored. */
IN_CHILD static void reset_signals(void)
{
    unsigned long action[8];    /* a struct of the kernel's, at most this long; 0: SIG_DFL */

    memset(action, 0, sizeof(action));
    for (int number = 1; number < NSIG; number++) {
        (void)syscall(SYS_rt_sigaction, number, action, NULL, sizeof(uint64_t));
    }
}

/* When memory is short the kernel may choose it, though it must not choose us. */
IN_CHILD static void be_no_exception(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd >= 0) {
        (void)!write(fd, "0", 1);
        close(fd);
    }
}

IN_CHILD static bool set_limits(const sa_os__child_t *child)
{
    for (int i = 0; i < child->limit_count; i++) {
        struct rlimit limit = {.rlim_cur = child->limits[i].soft,
                               .rlim_max = child->limits[i].hard};
        struct rlimit old;

        if (getrlimit(child->limits[i].resource, &old) != 0) {
            return false;
        }
        /* What is less already stays so. */
        limit.rlim_max = limit.rlim_max < old.rlim_max ? limit.rlim_max : old.rlim_max;
        limit.rlim_cur = limit.rlim_cur < limit.rlim_max ? limit.rlim_cur : limit.rlim_max;
        if (setrlimit(child->limits[i].resource, &limit) != 0) {
            return false;
        }
    }
    return true;
}

/* What would be handed on to programs that ask for it (capabilities(7)). */
IN_CHILD static bool inherit_nothing(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];

    if (syscall(SYS_capget, &header, sets) != 0) {
        return false;
    }
    if (sets[0].inheritable == 0 && sets[1].inheritable == 0) {
        return true;        /* a filter of the unit (@privileged) may forbid even that */
    }
    sets[0].inheritable = 0;
    sets[1].inheritable = 0;
    return syscall(SYS_capset, &header, sets) == 0;
}

/* Our own, which the unit may have given us for other things. */
IN_CHILD static bool set_privileges(const sa_os__child_t *child)
{
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL) {
        return false;
    }
    if (!inherit_nothing()) {
        return false;
    }
    return child->new_privileges || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

/* Written by the parent before, read by the child. */
typedef struct beginning_t {
    sa_os__child_t *child;
    pid_t parent;
    sigset_t mask;              /* what the program is to have: nothing blocked */
} beginning_t;

IN_CHILD static bool end_with_parent(const beginning_t *beginning)
{
    if (beginning->child->outlives) {
        return true;
    }
    /* It may have ended before we could ask to be told. */
    return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && getppid() == beginning->parent;
}

IN_CHILD static sa_os__step_t prepare(const beginning_t *beginning)
{
    const sa_os__child_t *child = beginning->child;

    reset_signals();
    if (setsid() < 0) {
        return SA_OS__STEP_SESSION;
    }
    if (!end_with_parent(beginning)) {
        return SA_OS__STEP_PARENT;
    }
    if (child->procs >= 0 && write(child->procs, "0", 1) != 1) {
        return SA_OS__STEP_CGROUP;
    }
    if (child->kernel_may_choose) {
        be_no_exception();
    }
    errno = 0;
    if (child->nice != 0 && nice(child->nice) == -1 && errno != 0) {
        return SA_OS__STEP_NICE;
    }
    if (chdir("/") != 0) {
        return SA_OS__STEP_DIRECTORY;
    }
    umask(MODE_MASK);
    if (!set_privileges(child)) {
        return SA_OS__STEP_PRIVILEGES;
    }
    if (child->ruleset >= 0 && syscall(SYS_landlock_restrict_self, child->ruleset, 0) != 0) {
        return SA_OS__STEP_CONFINE;
    }
    if (!set_descriptors(child)) {
        return SA_OS__STEP_DESCRIPTORS;
    }
    return set_limits(child) ? SA_OS__STEP_NONE : SA_OS__STEP_LIMITS;
}

IN_CHILD static int become(void *baton)
{
    beginning_t *beginning = baton;
    sa_os__child_t *child = beginning->child;

    child->step = prepare(beginning);
    if (child->step == SA_OS__STEP_NONE) {
        child->step = SA_OS__STEP_EXEC;
        sigprocmask(SIG_SETMASK, &beginning->mask, NULL);
        syscall(SYS_execveat, PROGRAM_DESCRIPTOR, "", child->argv, child->env, AT_EMPTY_PATH);
    }
    child->number = errno;
    sa_os__leave();
    return 0;
}

/* ---- the parent -------------------------------------------------------------- */

/* To map a stack for each child and to take it away costs more than most of its system
 * calls: one is kept.  Nobody waits for the lock: after fork(2) its holder may not be there. */
static struct {
    pthread_mutex_t mutex;
    char *stack;                /* NULL: it is used, or there is none */
} kept_stack = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* Not on the heap: what the child leaves there would be somebody else's next. */
static char *map_stack(void)
{
    char *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

    return stack == MAP_FAILED ? NULL : stack;
}

/* NULL: no memory. */
static char *take_stack(void)
{
    char *stack = NULL;

    if (pthread_mutex_trylock(&kept_stack.mutex) == 0) {
        stack = kept_stack.stack;
        kept_stack.stack = NULL;
        pthread_mutex_unlock(&kept_stack.mutex);
    }
    return stack ? stack : map_stack();
}

static void leave_stack(char *stack)
{
    if (pthread_mutex_trylock(&kept_stack.mutex) == 0) {
        if (!kept_stack.stack) {
            kept_stack.stack = stack;
            stack = NULL;
        }
        pthread_mutex_unlock(&kept_stack.mutex);
    }
    if (stack) {
        munmap(stack, STACK_SIZE);
    }
}

pid_t sa_os__child_start(sa_os__child_t *child)
{
    beginning_t beginning = {.child = child, .parent = getpid()};
    char *stack = take_stack();
    sigset_t all;
    sigset_t old;
    pid_t pid;
    int number;

    child->step = SA_OS__STEP_CLONE;
    child->number = errno;
    if (!stack) {
        return -1;
    }
    child->number = 0;
    sigemptyset(&beginning.mask);
    sigfillset(&all);
    /* No handler of ours may run in the child. */
    pthread_sigmask(SIG_BLOCK, &all, &old);
    pid = clone(become, stack + STACK_SIZE, CLONE_VM | CLONE_VFORK | SIGCHLD, &beginning);
    number = errno;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    leave_stack(stack);
    if (pid < 0) {
        child->number = number;
        return -1;
    }
    if (child->number != 0) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
        return -1;
    }
    return pid;
}

int sa_os__pidfd(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

bool sa_os__process_state(pid_t pid, pid_t *parent, char *state)
{
    char path[32] = "/proc/";
    char digits[16];
    char text[512];
    const char *at;
    size_t length = strlen(path);
    int count = 0;
    ssize_t got;
    int fd;

    for (; pid > 0 && count < 15; pid /= 10) {
        digits[count] = (char)('0' + pid % 10);
        count++;
    }
    while (count > 0) {
        count--;
        path[length] = digits[count];
        length++;
    }
    memcpy(path + length, "/stat", sizeof("/stat"));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    got = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    at = strrchr(text, ')');    /* the name before it can hold anything */
    if (!at || at[1] != ' ' || at[2] == '\0' || at[3] != ' ') {
        return false;
    }
    *state = at[2];
    *parent = (pid_t)number_of(at + 4);
    return true;
}
