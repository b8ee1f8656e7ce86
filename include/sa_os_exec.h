/* Running a program of the administrator's, contained.
 *
 * A child has a session and process group of its own, standard input from
 * null, "/" as directory, the environment it is given and nothing else, no
 * descriptor but 0, 1 and 2, none of our privileges, and no way to gain any unless
 * allowed.  All that it starts ends with it, and all of it ends when the agent does.
 *
 * A script has one descriptor more, 3, which is the script: its interpreter opens it
 * once more as /dev/fd/3, so that what was looked at is what runs ($0 is that name;
 * readlink(1) makes its place of it).  It can only be read.
 *
 * Linux: posix_spawn's speed by a vfork-like clone, close_range(2), prctl(2)
 * PR_SET_NO_NEW_PRIVS and PR_SET_PDEATHSIG, landlock(7).  What holds a run together:
 * a cgroup of version 2 where one is ours to divide (Delegate=yes and not
 * ProtectControlGroups=yes in the unit), with limits for the run as a whole and
 * cgroup.kill; else a supervisor, a process of ours for that run alone, which is the
 * subreaper of all that the run leaves behind.  It costs one fork(2) more, its limits
 * are weaker (below), and where we are not root it cannot end what has become another
 * user by new_privileges; a cgroup can.  A kernel before 5.14 has no cgroup.kill: there a
 * run has both.  It holds against everything that a run can do
 * by itself, not against one that uses our user's rights on our cgroup or our processes.
 *
 * Any thread; one call runs one program and returns when all of it is gone, or
 * half a second after it should be: what the kernel cannot end (it waits for a dead
 * disk) is left to end later. */
#ifndef SA_OS_EXEC_H
#define SA_OS_EXEC_H

#include <stdbool.h>
#include <stddef.h>

#include <apr.h>
#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>

#include "sa_error.h"

/* A program or script that was opened and looked at, and is run by its descriptor:
 * what happens to its name afterwards does not matter. */
typedef struct sa_os_program_t sa_os_program_t;

/* Open PATH (absolute) as a program to run.  SCRIPT: it is the administrator's own
 * text; then it must be a regular file, not empty, not a link, with one name only, not
 * setuid, executable, not on a noexec mount, neither it nor any directory above it
 * writable for others than root or the agent's own user (SA_ERR_FILE_UNSAFE,
 * saying which and the mend), with a first line "#!" that names an interpreter
 * which is there (SA_ERR_FILE_CONTENT).  Otherwise: executable, found, and the same rules
 * for writing, also for each link and directory on the way to it.  A sticky directory such
 * as /tmp may lie on the way, but not hold the program itself.  Closed with POOL. */
sa_error_t *sa_os_program_open(sa_os_program_t **program, const char *path, bool script,
                               apr_pool_t *pool) SA_MUST_CHECK;

/* Once in the process, before other threads: find the cgroup that is ours to divide, go
 * to a leaf of it, end what a crashed life before us left running.  Not to have a cgroup
 * is no error.  SIGCHLD must not be ignored: that is mended, nothing else about it.  Ends
 * with POOL.  With a cgroup, the first run starts a guard, a shell that ends all runs
 * when we are gone; without /bin/sh our next life does it. */
sa_error_t *sa_os_exec_open(apr_pool_t *pool) SA_MUST_CHECK;

typedef struct sa_os_exec_support_t {
    const char *cgroup;         /* its path; NULL: none, and WHY */
    const char *cgroup_why;
    bool limits_processes;      /* the cgroup counts them for a run as a whole */
    bool limits_memory;         /* the same */
    int landlock;               /* ABI version; 0: the kernel has none */
    bool no_new_privileges;     /* whoever started us took them: new_privileges has no effect */
} sa_os_exec_support_t;
void sa_os_exec_support(sa_os_exec_support_t *support);

typedef enum sa_os_exec_stream_t { SA_OS_EXEC_STDOUT, SA_OS_EXEC_STDERR } sa_os_exec_stream_t;

/* Output as it is produced, in the calling thread.  While it does not return the
 * child is not read from: it waits, and nothing looks at its timeout either, so it must not
 * wait without end.  An error ends the child; it is not kept.  LENGTH 0: nothing
 * came for SILENCE. */
typedef sa_error_t *(*sa_os_exec_output_fn_t)(void *baton, sa_os_exec_stream_t stream,
                                              const char *data, size_t length);

/* Ends a running program, or tells it something, from another thread. */
typedef struct sa_os_cancel_t sa_os_cancel_t;
sa_error_t *sa_os_cancel_create(sa_os_cancel_t **cancel, apr_pool_t *pool) SA_MUST_CHECK;
void sa_os_cancel(sa_os_cancel_t *cancel);
bool sa_os_is_cancelled(const sa_os_cancel_t *cancel);
/* Tell the main process of the run that has CANCEL to read its configuration again (Linux,
 * FreeBSD: SIGHUP).  Nothing happens when none runs. */
void sa_os_hang_up(sa_os_cancel_t *cancel);

typedef struct sa_os_exec_t {
    sa_os_program_t *program;
    const char *const *argv;            /* NULL at the end */
    const char *const *env;             /* "NAME=value", NULL at the end */
    /* 0: none; then TERM to all of it, and KILL half a second later. */
    apr_interval_time_t timeout;
    apr_interval_time_t silence;        /* call OUTPUT with nothing after this long; 0: never */
    sa_os_exec_output_fn_t output;
    void *baton;
    sa_os_cancel_t *cancel;             /* or NULL */
    int nice;                           /* added to ours */
    /* 0: no limit.  Without a cgroup that limits them: of all processes of our user, and
     * none for root (RLIMIT_NPROC). */
    apr_int64_t max_processes;
    /* Bytes; 0: no limit.  Without a cgroup that limits it: the data of each process by
     * itself (RLIMIT_DATA), which it is told of and not ended for. */
    apr_int64_t max_memory;
    apr_interval_time_t max_cpu;        /* RLIMIT_CPU, whole seconds; 0: no limit */
    apr_int64_t max_file_size;          /* RLIMIT_FSIZE; 0: no limit */
    bool new_privileges;                /* setuid programs work, unless it is confined */
    /* Of const char *: confined to these trees, the program, its interpreter and the devices
     * that everybody uses (/dev/null), but not its libraries ... */
    const apr_array_header_t *readable;
    const apr_array_header_t *writable; /* ... and these; both NULL: not confined */
} sa_os_exec_t;

typedef enum sa_os_exec_end_t {
    SA_OS_EXEC_EXITED,
    SA_OS_EXEC_SIGNALLED,
    SA_OS_EXEC_TIMED_OUT,
    SA_OS_EXEC_CANCELLED,
    SA_OS_EXEC_STOPPED          /* OUTPUT returned an error */
} sa_os_exec_end_t;

typedef struct sa_os_exec_result_t {
    sa_os_exec_end_t end;
    int exit_code;              /* of the main process, whatever the end; signalled: 128 + signal */
    const char *signal;         /* "SIGKILL"; static; NULL: none */
    bool out_of_memory;         /* the kernel ended it for its memory limit */
    int leftovers;              /* processes that were there after the main one, and were ended */
    apr_interval_time_t duration;
} sa_os_exec_result_t;

/* Run it; errors are those of starting it (SA_ERR_NOT_ON_THIS_OS: a confinement that
 * the kernel does not have). */
sa_error_t *sa_os_exec(sa_os_exec_result_t *result, const sa_os_exec_t *exec,
                       apr_pool_t *scratch_pool) SA_MUST_CHECK;

#endif
