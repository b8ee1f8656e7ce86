/* Log files and the journal, for reading.
 *
 * Linux: openat2(2) with RESOLVE_NO_MAGICLINKS, O_NONBLOCK first so that nothing
 * hangs in the opening; sd-journal for the journal.  Any thread. */
#ifndef SA_OS_LOGS_H
#define SA_OS_LOGS_H

#include <stdbool.h>

#include <apr.h>
#include <apr_file_io.h>
#include <apr_pools.h>
#include <apr_time.h>

#include "sa_error.h"

typedef struct sa_os_log_policy_t {
    bool links;                         /* the last part and directories may be links */
    const apr_array_header_t *own;      /* of const char *: our own directories and files */
    /* Of const char *: what is mounted at one of these, or above, is gone into, and what is
     * mounted elsewhere is not.  NULL: all is. */
    const apr_array_header_t *folders;
} sa_os_log_policy_t;

typedef struct sa_os_log_file_t {
    apr_file_t *file;
    const char *real_path;              /* where links led */
    apr_int64_t size;
    apr_time_t modified;
} sa_os_log_file_t;

/* Open PATH (absolute, as the requester wrote it).  Only a regular file; a hard link of
 * another owner than its directory's, or in a directory that others may write in, is
 * refused, as are our own files by name and by what they are, magic links, /proc, /sys,
 * /dev, a mount of one file, a mount that FOLDERS do not lead to, and what lies on a network
 * or FUSE file system, which is not touched.  SA_ERR_REFUSED for those; an APR status when
 * it is not there or not readable.  Messages name PATH, never where a link led.  REAL_PATH is
 * for the caller to match once more.  Closed with POOL. */
sa_error_t *sa_os_log_open(sa_os_log_file_t *log, const char *path,
                           const sa_os_log_policy_t *policy, apr_pool_t *pool) SA_MUST_CHECK;

/* One entry.  LINE is text in the shape of `journalctl -o short-iso`, in UTC: the lines of
 * a message of several are indented below its first.  It need not be UTF-8, and is cut at
 * SA_OS_JOURNAL_LINE_MAX bytes or some more.  NULL: nothing that is wanted came for a
 * while (following only).  An error ends the reading and is returned. */
#define SA_OS_JOURNAL_LINE_MAX (64 * 1024)
typedef sa_error_t *(*sa_os_journal_fn_t)(void *baton, const char *line, size_t length);

struct sa_os_cancel_t;

typedef struct sa_os_journal_query_t {
    const char *unit;                   /* with or without ".service" */
    int count;
    apr_time_t since;                   /* 0: ever */
    const char *grep;                   /* NULL: all */
    apr_interval_time_t deadline;       /* monotonic: of looking back */
    bool newest_first;                  /* else oldest first */
    apr_interval_time_t follow_until;   /* monotonic: then wait for new ones; 0: do not */
    const struct sa_os_cancel_t *cancel;    /* SA_ERR_CANCELLED once it is set; or NULL */
    bool *cut_short;                    /* set when DEADLINE ended the looking back; or NULL */
} sa_os_journal_query_t;

/* The newest COUNT entries of the journal of UNIT since SINCE whose message contains GREP:
 * what the unit's processes wrote and what systemd itself says of it.
 * SA_ERR_NOT_ON_THIS_OS: there is no journal; SA_ERR_DENIED: none that we may read. */
sa_error_t *sa_os_journal_read(const sa_os_journal_query_t *query, sa_os_journal_fn_t fn,
                               void *baton, apr_pool_t *scratch_pool) SA_MUST_CHECK;

#endif
