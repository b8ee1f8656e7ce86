/* A kernel that is older than the machine's, for test_os_exec.c. */
#include "test_os_exec_kernel.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <apr_atomic.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#endif

/* The C library's own is behind fcntl.h, which may make a macro of it. */
int openat(int directory, const char *name, int flags, ...);

static bool hides_kill;
static volatile apr_uint32_t hidden;      /* runs count side by side */

/* Ours comes first for all of the program. */
int openat(int directory, const char *name, int flags, ...)
{
    va_list args;
    unsigned mode;

    va_start(args, flags);
    mode = va_arg(args, unsigned);      /* whatever it is where none was given */
    va_end(args);
    if (hides_kill && strcmp(name, "cgroup.kill") == 0) {
        apr_atomic_inc32(&hidden);
        errno = ENOENT;
        return -1;
    }
    return (int)syscall(SYS_openat, directory, name, flags, mode);
}

void kernel_hide_cgroup_kill(void)
{
    hides_kill = true;
}

int kernel_hidden(void)
{
    return (int)apr_atomic_read32(&hidden);
}

bool kernel_age(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_landlock_create_ruleset, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS)
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
           && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0
           && syscall(SYS_close_range, 1000, 1000, 0) == -1 && errno == ENOSYS;
}

bool kernel_can_age(void)
{
    pid_t child = fork();
    int status = 0;

    if (child == 0) {
        _exit(kernel_age() ? 0 : 1);
    }
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
