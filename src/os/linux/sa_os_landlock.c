/* os: confining a program to parts of the file tree, landlock(7).  Any thread; no state.
 *
 * ABI 1 (5.13) does not know of truncate(2) by name and lets nobody move files between
 * directories; 2 (5.19) does, 3 (6.2) knows truncate, 5 (6.10) ioctl on devices.  What a
 * kernel does not know it does not forbid. */
#include "sa_os_exec_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

#include <sys/stat.h>
#include <sys/syscall.h>

/* linux/landlock.h, which older systems lack or have in part. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#endif
#define CREATE_RULESET_VERSION 1u
#define RULE_PATH_BENEATH 1

#define ACCESS_EXECUTE (UINT64_C(1) << 0)
#define ACCESS_WRITE_FILE (UINT64_C(1) << 1)
#define ACCESS_READ_FILE (UINT64_C(1) << 2)
#define ACCESS_READ_DIR (UINT64_C(1) << 3)
#define ACCESS_ABI_1 ((UINT64_C(1) << 13) - 1)
#define ACCESS_REFER (UINT64_C(1) << 13)
#define ACCESS_TRUNCATE (UINT64_C(1) << 14)
#define ACCESS_IOCTL_DEVICE (UINT64_C(1) << 15)

#define ACCESS_READING (ACCESS_EXECUTE | ACCESS_READ_FILE | ACCESS_READ_DIR)
/* What can be said of something that is no directory. */
#define ACCESS_OF_FILES \
    (ACCESS_EXECUTE | ACCESS_WRITE_FILE | ACCESS_READ_FILE | ACCESS_TRUNCATE | ACCESS_IOCTL_DEVICE)

typedef struct ruleset_attributes_t {
    uint64_t handled_access_fs;
} ruleset_attributes_t;

#if defined(__GNUC__) || defined(__clang__)
#define PACKED __attribute__((packed))
#endif
typedef struct PACKED path_beneath_attributes_t {
    uint64_t allowed_access;
    int32_t parent;
} path_beneath_attributes_t;

/* Without these hardly anything works, and nothing can be told through them. */
static const char *const devices[] = {
    "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"
};

int sa_os__landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);

    return abi > 0 ? (int)abi : 0;
}

static uint64_t known_access(int abi)
{
    return ACCESS_ABI_1 | (abi >= 2 ? ACCESS_REFER : 0) | (abi >= 3 ? ACCESS_TRUNCATE : 0)
           | (abi >= 5 ? ACCESS_IOCTL_DEVICE : 0);
}

/* Allow ACCESS to what FD is, and beneath it; errno as the result. */
static int allow(int ruleset, int fd, uint64_t access)
{
    path_beneath_attributes_t attributes = {.allowed_access = access, .parent = fd};
    struct stat info;

    if (fstat(fd, &info) != 0) {
        return errno;
    }
    if (!S_ISDIR(info.st_mode)) {
        attributes.allowed_access &= ACCESS_OF_FILES;
    }
    return syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &attributes, 0) == 0
           ? 0 : errno;
}

static int allow_path(int ruleset, const char *path, uint64_t access)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    int number;

    if (fd < 0) {
        return errno;
    }
    number = allow(ruleset, fd, access);
    close(fd);
    return number;
}

static sa_error_t *allow_all(int ruleset, const apr_array_header_t *paths, uint64_t access)
{
    for (int i = 0; paths && i < paths->nelts; i++) {
        const char *path = APR_ARRAY_IDX(paths, i, const char *);
        int number = allow_path(ruleset, path, access);

        if (number != 0) {
            return sa_error(number, sa_error(number, NULL, NULL), "cannot confine it to %s", path);
        }
    }
    return SA_OK;
}

static sa_error_t *allow_program(int ruleset, const sa_os_program_t *program)
{
    int number = allow(ruleset, program->descriptor, ACCESS_READING);

    if (number != 0) {
        return sa_error(number, sa_error(number, NULL, NULL), "cannot let it run %s",
                        program->path);
    }
    return program->interpreter ? allow_program(ruleset, program->interpreter) : SA_OK;
}

static sa_error_t *fill(int ruleset, const sa_os_exec_t *exec, uint64_t known)
{
    SA_TRY(allow_program(ruleset, exec->program));
    SA_TRY(allow_all(ruleset, exec->readable, ACCESS_READING));
    SA_TRY(allow_all(ruleset, exec->writable, known));
    for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
        /* Where one is missing there is nothing to allow. */
        (void)allow_path(ruleset, devices[i],
                         known & (ACCESS_READ_FILE | ACCESS_WRITE_FILE | ACCESS_TRUNCATE));
    }
    return SA_OK;
}

sa_error_t *sa_os__landlock_create(int *ruleset, const sa_os_exec_t *exec)
{
    int abi = sa_os__landlock_abi();
    ruleset_attributes_t attributes = {.handled_access_fs = known_access(abi)};
    sa_error_t *err;
    int fd;

    if (abi == 0) {
        return sa_error(SA_ERR_NOT_ON_THIS_OS, NULL,
                        "cannot confine it: this kernel has no Landlock, or it is switched off");
    }
    /* Close-on-exec by itself. */
    fd = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
    if (fd < 0) {
        return sa_error_apr(errno, "cannot make rules to confine it");
    }
    err = fill(fd, exec, attributes.handled_access_fs);
    if (err) {
        close(fd);
        return err;
    }
    *ruleset = fd;
    return SA_OK;
}
