/* Files that must be private, whole, or locked.
 *
 * Linux, FreeBSD: modes, owners, O_NOFOLLOW, fsync, rename, flock.  Windows: an
 * ACL for SYSTEM, Administrators and the service's account, FlushFileBuffers,
 * MoveFileEx(REPLACE_EXISTING | WRITE_THROUGH), LockFileEx. */
#ifndef SA_OS_FILE_H
#define SA_OS_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include <apr_pools.h>

#include "sa_error.h"

/* Read at most LIMIT bytes of the regular file PATH into POOL; *DATA is
 * NUL-terminated.  A larger file is SA_ERR_LIMIT. */
sa_error_t *sa_os_file_read(const char **data, size_t *length, const char *path,
                            size_t limit, apr_pool_t *pool) SA_MUST_CHECK;

/* The same for a secret: SA_ERR_FILE_UNSAFE when others than the owner (and,
 * for reading, its group) can read or change it, or when it is a link. */
sa_error_t *sa_os_file_read_secret(const char **data, size_t *length, const char *path,
                                   size_t limit, apr_pool_t *pool) SA_MUST_CHECK;

/* For root who looks at the agent of another user from outside: that one's secrets are as safe
 * as root's own.  The owner of PATH, if it is there; nothing changes for others than root.
 * While there are no other threads. */
void sa_os_file_trust_owner(const char *path);

/* Put DATA at PATH, private to us (0600 from its first moment), whole or not
 * at all, and on the disk when this returns: temporary file beside it, fsync,
 * rename, fsync of the directory.  On failure the old file is untouched. */
sa_error_t *sa_os_file_write_private(const char *path, const void *data, size_t length,
                                     apr_pool_t *scratch_pool) SA_MUST_CHECK;

/* The same for what is no secret and may be lost with the machine: 0640, and nobody waits for
 * the disk. */
sa_error_t *sa_os_file_write_public(const char *path, const void *data, size_t length,
                                    apr_pool_t *scratch_pool) SA_MUST_CHECK;

/* Make the directory PATH and its missing parents, the last one with mode
 * 0700; an existing one is kept as it is but must be a directory. */
sa_error_t *sa_os_dir_create_private(const char *path, apr_pool_t *scratch_pool) SA_MUST_CHECK;

/* Does PATH exist (a dangling link does not)? */
bool sa_os_file_exists(const char *path, apr_pool_t *scratch_pool);

/* Where PATH (absolute) leads once all links in it are followed, in POOL.  It must be there. */
sa_error_t *sa_os_file_real_path(const char **real_path, const char *path,
                                 apr_pool_t *pool) SA_MUST_CHECK;

/* Bytes an unprivileged user may still write on the file system of PATH. */
sa_error_t *sa_os_file_space(apr_uint64_t *free_bytes, const char *path,
                             apr_pool_t *scratch_pool) SA_MUST_CHECK;

/* A file that only grows, line by line: private to us (0600), no link, and in a directory
 * where others cannot put another in its place. */
typedef struct sa_os_append_t sa_os_append_t;
/* Made when it is not there; *BYTES is its size.  A last line without its end, which a
 * power cut leaves, is ended.  Closed with POOL.  SA_ERR_FILE_UNSAFE: it, or its directory,
 * is not what it should be. */
sa_error_t *sa_os_append_open(sa_os_append_t **file, apr_int64_t *bytes, const char *path,
                              apr_pool_t *pool) SA_MUST_CHECK;
/* Whole lines, all of them or none. */
sa_error_t *sa_os_append_write(sa_os_append_t *file, const void *data,
                               size_t length) SA_MUST_CHECK;
/* What was written before is on the disk when this returns; others may write meanwhile. */
sa_error_t *sa_os_append_sync(sa_os_append_t *file) SA_MUST_CHECK;
/* Is it still what its path names? */
bool sa_os_append_is_there(const sa_os_append_t *file);
/* PATH becomes PATH.1, PATH.1 becomes PATH.2 and so on; the one past BACKUPS (at least 1) is
 * replaced.  FILE stays open under its new name. */
sa_error_t *sa_os_append_rotate(sa_os_append_t *file, int backups) SA_MUST_CHECK;

/* Take the lock file PATH for the life of POOL and write our PID into it.
 * Held by another process: SA_ERR_ALREADY_RUNNING, naming the holder. */
sa_error_t *sa_os_file_lock(const char *path, apr_pool_t *pool) SA_MUST_CHECK;

#endif
