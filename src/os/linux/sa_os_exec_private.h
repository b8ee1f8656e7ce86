/* Between the files that run programs: what is opened (sa_os_program.c), where it is
 * kept (sa_os_cgroup.c), what it may touch (sa_os_landlock.c), how it begins
 * (sa_os_child.c), who looks after it where there is no cgroup (sa_os_supervisor.c),
 * and the run as a whole (sa_os_exec.c). */
#ifndef SA_OS_EXEC_PRIVATE_H
#define SA_OS_EXEC_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/resource.h>
#include <sys/types.h>

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>

#include "sa_error.h"
#include "sa_os_exec.h"

struct sa_os_program_t {
    const char *path;
    int descriptor;                     /* close-on-exec; O_PATH where it cannot be read */
    bool has_interpreter;               /* begins with "#!" */
    sa_os_program_t *interpreter;       /* opened for scripts only, else NULL */
};

/* As getdents64(2) returns it. */
typedef struct sa_os__listed_t {
    uint64_t inode;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[];
} sa_os__listed_t;

/* ---- the child --------------------------------------------------------------- */

typedef enum sa_os__step_t {
    SA_OS__STEP_NONE,
    SA_OS__STEP_CLONE,
    SA_OS__STEP_SESSION,
    SA_OS__STEP_PARENT,
    SA_OS__STEP_CGROUP,
    SA_OS__STEP_LIMITS,
    SA_OS__STEP_NICE,
    SA_OS__STEP_DESCRIPTORS,
    SA_OS__STEP_DIRECTORY,
    SA_OS__STEP_PRIVILEGES,
    SA_OS__STEP_CONFINE,
    SA_OS__STEP_EXEC,
    SA_OS__STEP_SUPERVISE
} sa_os__step_t;

typedef struct sa_os__limit_t {
    int resource;
    rlim_t soft;
    rlim_t hard;
} sa_os__limit_t;

#define SA_OS__LIMITS_MAX 6

/* All that the child needs, made before it is born: it shares our memory until it
 * runs the program, so it allocates nothing and writes only here and on its stack. */
typedef struct sa_os__child_t {
    int program;
    bool keeps_program;         /* the interpreter opens it once more, as /dev/fd/3 */
    const char *const *argv;
    const char *const *env;
    int standard[3];            /* all above 2 */
    int procs;                  /* cgroup.procs of its cgroup; -1: none */
    int ruleset;                /* Landlock's; -1: not confined */
    int nice;
    bool new_privileges;
    bool kernel_may_choose;     /* it when memory is short: we are exempt, it is not */
    bool outlives;              /* us; otherwise it ends with the thread that started it */
    sa_os__limit_t limits[SA_OS__LIMITS_MAX];
    int limit_count;

    /* The child's answer when it fails. */
    sa_os__step_t step;
    int number;                 /* errno */
} sa_os__child_t;

/* Start CHILD; -1 with its step and number when it does not get as far as running the
 * program.  Safe after fork(2): no memory, no locks. */
pid_t sa_os__child_start(sa_os__child_t *child);

/* End the process: _exit(2) itself, which sanitizers make a long story of. */
void sa_os__leave(void);

/* Close every descriptor above 2 but the COUNT ones of KEPT, which are in order. */
void sa_os__close_others(const int *kept, int count);

/* pidfd_open(2); -1: the kernel has none. */
int sa_os__pidfd(pid_t pid);

/* What /proc/PID/stat says of the process PID; false: it is gone. */
bool sa_os__process_state(pid_t pid, pid_t *parent, char *state);

/* ---- cgroups ----------------------------------------------------------------- */

/* Find the cgroup that is ours to divide, and what a former life left in it. */
void sa_os__cgroup_open(apr_pool_t *pool);
/* NULL: none, and *WHY. */
const char *sa_os__cgroup_path(const char **why);
/* Can the kernel limit the processes, the memory of a run as a whole? */
bool sa_os__cgroup_limits_processes(void);
bool sa_os__cgroup_limits_memory(void);
/* Can it end all of a run at once?  Kernels before 5.14 cannot. */
bool sa_os__cgroup_kills(void);
/* A descriptor of the cgroup.kill of all runs, or -1.  The caller closes it. */
int sa_os__cgroup_kill_descriptor(void);

/* The cgroup of one run. */
typedef struct sa_os__leaf_t {
    char name[32];
    int directory;              /* -1: none */
    int procs;
} sa_os__leaf_t;

sa_error_t *sa_os__leaf_create(sa_os__leaf_t *leaf, apr_int64_t max_processes,
                               apr_int64_t max_memory) SA_MUST_CHECK;
/* Make one for the next run, while there is nothing else to do. */
void sa_os__leaf_prepare(void);
/* How many live in it, EXCEPT not counted; with a SIGNAL_NUMBER each gets that. */
int sa_os__leaf_signal(const sa_os__leaf_t *leaf, int signal_number, pid_t except);
void sa_os__leaf_kill(const sa_os__leaf_t *leaf);
/* Did the kernel end something in it for want of memory? */
bool sa_os__leaf_out_of_memory(const sa_os__leaf_t *leaf);
/* Take it away; false: something lives in it. */
bool sa_os__leaf_remove(sa_os__leaf_t *leaf);
/* Forget it; where something in it cannot be ended it stays. */
void sa_os__leaf_close(sa_os__leaf_t *leaf);

/* ---- Landlock ---------------------------------------------------------------- */

int sa_os__landlock_abi(void);
sa_error_t *sa_os__landlock_create(int *ruleset, const sa_os_exec_t *exec) SA_MUST_CHECK;

/* ---- the supervisor ---------------------------------------------------------- */

typedef enum sa_os__report_kind_t {
    SA_OS__REPORT_STARTED,      /* NUMBER: the PID */
    SA_OS__REPORT_FAILED,       /* STEP, NUMBER: errno */
    SA_OS__REPORT_EXITED,       /* NUMBER: as of wait(2); OTHERS: some are left */
    SA_OS__REPORT_GONE          /* NUMBER: how many were ended; OTHERS: some live on */
} sa_os__report_kind_t;

typedef struct sa_os__report_t {
    sa_os__report_kind_t kind;
    sa_os__step_t step;
    int number;
    bool others;
} sa_os__report_t;

typedef struct sa_os__supervisor_t {
    pid_t pid;
    int socket;                 /* reports come here; when it closes all of the run ends */
} sa_os__supervisor_t;

/* A process of its own that starts CHILD, is handed all that its descendants leave
 * behind, and ends them when it is told, or when we are gone. */
sa_error_t *sa_os__supervisor_start(sa_os__supervisor_t *supervisor,
                                    sa_os__child_t *child) SA_MUST_CHECK;
void sa_os__supervisor_terminate(const sa_os__supervisor_t *supervisor);
void sa_os__supervisor_kill(const sa_os__supervisor_t *supervisor);
/* SIGHUP, to the main process only. */
void sa_os__supervisor_hang_up(const sa_os__supervisor_t *supervisor);
/* Take the next report; false: there is none, *ENDED: nor will there be. */
bool sa_os__supervisor_report(sa_os__report_t *report, bool *ended,
                              const sa_os__supervisor_t *supervisor);

#endif
