/* os: a cgroup for every run, cgroups(7), version 2 only.
 *
 *     BASE                  ours to divide: the unit's, with Delegate=yes
 *     BASE/agent            where we ourselves go: only leaves may hold processes where
 *                           controllers are handed on
 *     BASE/runs.PID         ours as long as we hold its lock
 *     BASE/runs.PID/run-N   one run
 *
 * The lock (flock(2) on the directory) says whose runs are whose: one that nobody holds
 * is of an agent that crashed, and what is in it is ended by whoever comes next.
 *
 * Opened once before other threads; from then on nothing here changes but a counter and
 * the spare: making a cgroup takes the kernel longer than most of what a run needs, so one
 * is made for the next run while a child works. */
#include "sa_os_exec_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <apr_atomic.h>
#include <apr_strings.h>

#include "sa_os_linux.h"

#define OWN_LEAF "agent"
#define RUNS_PREFIX "runs."
#define DEPTH_MAX 8             /* of what a run makes below its own */
#define EVENTS_SIZE 1024
#define REMOVE_TURNS 50
#define REMOVE_PAUSE_US 2000

static struct {
    const char *base;           /* NULL: none */
    const char *why;
    char runs_name[32];
    int base_directory;
    int runs;
    bool processes;
    bool memory;
    bool kills;
    volatile apr_uint32_t count;
} groups = {.why = "not opened", .base_directory = -1, .runs = -1};

static struct {
    pthread_mutex_t mutex;      /* guards the others */
    bool is_there;
    sa_os__leaf_t leaf;
} spare = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* ---- files of a cgroup ------------------------------------------------------- */

/* errno as the result. */
static int put(int directory, const char *name, const char *text)
{
    int fd = openat(directory, name, O_WRONLY | O_CLOEXEC);
    int number = 0;

    if (fd < 0) {
        return errno;
    }
    if (write(fd, text, strlen(text)) < 0) {
        number = errno;
    }
    close(fd);
    return number;
}

static bool get(char *text, size_t size, int directory, const char *name)
{
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
    ssize_t got;

    if (fd < 0) {
        return false;
    }
    got = read(fd, text, size - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    return got >= 0;
}

static bool has_word(const char *text, const char *word)
{
    size_t length = strlen(word);

    for (; *text; text += strspn(text, " \n")) {
        size_t found = strcspn(text, " \n");

        if (found == length && strncmp(text, word, length) == 0) {
            return true;
        }
        text += found;
    }
    return false;
}

static bool has_controller(int directory, const char *name)
{
    char text[512];

    return get(text, sizeof(text), directory, "cgroup.controllers") && has_word(text, name);
}

/* Call FN for each cgroup below DIRECTORY; it may take it away. */
static void each_below(int directory, void (*fn)(int parent, const char *name, void *baton),
                       void *baton)
{
    int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = copy < 0 ? NULL : fdopendir(copy);
    const struct dirent *entry;

    if (!listing) {
        if (copy >= 0) {
            close(copy);
        }
        return;
    }
    for (entry = readdir(listing); entry; entry = readdir(listing)) {
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.') {
            fn(directory, entry->d_name, baton);
        }
    }
    closedir(listing);
}

static int open_below(int parent, const char *name)
{
    return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* ---- all that lives in one --------------------------------------------------- */

typedef struct signalling_t {
    int number;                 /* 0: only count */
    pid_t except;
    int alive;
    int depth;
} signalling_t;

static void signal_one(signalling_t *signalling, pid_t pid)
{
    pid_t parent = 0;
    char state = '?';

    /* A zombie's number can be that of nobody else yet, but it is not there any more. */
    if (pid <= 0 || pid == signalling->except || !sa_os__process_state(pid, &parent, &state)
        || state == 'Z' || state == 'X') {
        return;
    }
    signalling->alive++;
    if (signalling->number != 0) {
        kill(pid, signalling->number);
    }
}

static void signal_members(int directory, signalling_t *signalling);

static void signal_below(int parent, const char *name, void *baton)
{
    signalling_t *signalling = baton;
    int directory = signalling->depth < DEPTH_MAX ? open_below(parent, name) : -1;

    if (directory >= 0) {
        signalling->depth++;
        signal_members(directory, signalling);
        signalling->depth--;
        close(directory);
    }
}

static void signal_members(int directory, signalling_t *signalling)
{
    int fd = openat(directory, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    FILE *procs = fd < 0 ? NULL : fdopen(fd, "r");
    char line[32];

    if (procs) {
        while (fgets(line, sizeof(line), procs)) {
            signal_one(signalling, (pid_t)strtol(line, NULL, 10));
        }
        fclose(procs);
    } else if (fd >= 0) {
        close(fd);
    }
    each_below(directory, signal_below, signalling);
}

static int signal_tree(int directory, int number, pid_t except)
{
    signalling_t signalling = {.number = number, .except = except};

    signal_members(directory, &signalling);
    return signalling.alive;
}

static void kill_tree(int directory)
{
    if (put(directory, "cgroup.kill", "1") == 0) {
        return;
    }
    /* Older than 5.14.  What is frozen cannot multiply, yet it dies. */
    put(directory, "cgroup.freeze", "1");
    signal_tree(directory, SIGKILL, 0);
}

static bool remove_tree(int parent, const char *name);

static void remove_below(int parent, const char *name, void *baton)
{
    int *depth = baton;

    if (*depth < DEPTH_MAX && unlinkat(parent, name, AT_REMOVEDIR) != 0) {
        int directory = open_below(parent, name);

        (*depth)++;
        if (directory >= 0) {
            each_below(directory, remove_below, depth);
            close(directory);
        }
        (*depth)--;
        unlinkat(parent, name, AT_REMOVEDIR);
    }
}

/* false: something lives in it. */
static bool remove_tree(int parent, const char *name)
{
    int depth = 0;

    if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT) {
        return true;
    }
    remove_below(parent, name, &depth);
    return faccessat(parent, name, F_OK, 0) != 0;
}

/* End what is in the cgroup NAME and take it away, if that can be done soon. */
static void clear(int parent, const char *name)
{
    int directory = open_below(parent, name);

    if (directory < 0) {
        return;
    }
    for (int turn = 0; turn < REMOVE_TURNS; turn++) {
        kill_tree(directory);
        if (remove_tree(parent, name)) {
            break;
        }
        usleep(REMOVE_PAUSE_US);
    }
    close(directory);
}

/* ---- which is ours ----------------------------------------------------------- */

/* "0::/system.slice/x.service" */
static const char *own_group(apr_pool_t *pool)
{
    const char *text;
    sa_error_t *err = sa_os__proc_read(&text, "/proc/self/cgroup", SA_OS_PROC_LIMIT, pool);

    if (err) {
        sa_error_clear(err);    /* no cgroups at all */
        return NULL;
    }
    for (; *text; text = sa_os__next_line(text)) {
        if (strncmp(text, "0::/", 4) == 0) {
            return apr_pstrmemdup(pool, text + 3, strcspn(text + 3, "\n"));
        }
    }
    return NULL;
}

/* The field AT of a line of mountinfo, in POOL. */
static const char *field(const char *line, int at, apr_pool_t *pool)
{
    for (; at > 0; at--) {
        line += strcspn(line, " \n");
        line += *line == ' ';
    }
    return apr_pstrmemdup(pool, line, strcspn(line, " \n"));
}

/* Where the tree of version 2 is mounted, as a whole. */
static const char *mount_point(apr_pool_t *pool)
{
    const char *text;
    sa_error_t *err = sa_os__proc_read(&text, "/proc/self/mountinfo", SA_OS_PROC_LIMIT, pool);

    if (err) {
        sa_error_clear(err);
        return NULL;
    }
    for (; *text; text = sa_os__next_line(text)) {
        size_t length = strcspn(text, "\n");
        const char *separator = strstr(text, " - cgroup2 ");

        if (separator && separator < text + length && strcmp(field(text, 3, pool), "/") == 0) {
            return field(text, 4, pool);
        }
    }
    return NULL;
}

/* systemd says by an attribute that it leaves a cgroup to us, and gives it to the user of
 * the unit; root could write everywhere, but must not. */
static bool is_delegated(const char *directory, const char *group)
{
    char value[8] = "";
    struct stat info;

    if (stat(directory, &info) != 0 || faccessat(AT_FDCWD, directory, W_OK, AT_EACCESS) != 0) {
        return false;
    }
    if (geteuid() != 0) {
        return info.st_uid == geteuid();
    }
    if (strcmp(group, "/") == 0) {
        return true;
    }
    return (getxattr(directory, "user.delegate", value, sizeof(value)) == 1
            || getxattr(directory, "trusted.delegate", value, sizeof(value)) == 1)
           && value[0] == '1';
}

/* The place of our own cgroup or, when that is its leaf OWN_LEAF, of the one above. */
static const char *find_base(const char **why, apr_pool_t *pool)
{
    const char *group = own_group(pool);
    const char *mount = mount_point(pool);
    const char *slash;
    const char *above;

    if (!group || !mount) {
        *why = "there is no cgroup version 2 on this machine";
        return NULL;
    }
    slash = strrchr(group, '/');
    if (strcmp(slash + 1, OWN_LEAF) == 0) {
        above = slash == group ? "/" : apr_pstrmemdup(pool, group, (apr_size_t)(slash - group));
        if (is_delegated(apr_pstrcat(pool, mount, above, NULL), above)) {
            return apr_pstrcat(pool, mount, above, NULL);
        }
    }
    above = apr_pstrcat(pool, mount, group, NULL);
    if (access(above, W_OK) != 0 && errno == EROFS) {
        *why = apr_psprintf(pool, "the cgroup %s is read only (ProtectControlGroups=no in the "
                            "unit)", group);
        return NULL;
    }
    if (!is_delegated(above, group)) {
        *why = apr_psprintf(pool, "the cgroup %s is not ours to divide (Delegate=yes in the unit)",
                            group);
        return NULL;
    }
    return apr_pstrcat(pool, mount, strcmp(group, "/") == 0 ? "" : group, NULL);
}

/* ---- opening ----------------------------------------------------------------- */

static void clear_left(int parent, const char *name, void *baton)
{
    int directory;

    (void)baton;
    if (strncmp(name, RUNS_PREFIX, strlen(RUNS_PREFIX)) != 0) {
        return;
    }
    directory = open_below(parent, name);
    if (directory >= 0) {
        if (flock(directory, LOCK_EX | LOCK_NB) == 0) {
            clear(parent, name);
        }
        close(directory);
    }
}

/* Hand on what the kernel can limit; where that fails there are no limits. */
static void hand_on(int directory)
{
    static const char *const names[] = {"pids", "memory"};
    char text[32];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (has_controller(directory, names[i])) {
            snprintf(text, sizeof(text), "+%s", names[i]);
            put(directory, "cgroup.subtree_control", text);
        }
    }
}

/* A cgroup with processes of its own cannot hand on controllers (but the root can). */
static void move_away(int base)
{
    int leaf;

    if (faccessat(base, "cgroup.type", F_OK, 0) != 0
        || !(has_controller(base, "pids") || has_controller(base, "memory"))) {
        return;
    }
    mkdirat(base, OWN_LEAF, 0755);
    leaf = open_below(base, OWN_LEAF);
    if (leaf >= 0) {
        put(leaf, "cgroup.procs", "0");
        close(leaf);
    }
}

/* Whoever clears what was left may take a new one away before it is locked. */
static int make_runs(int base, char *name, size_t size)
{
    snprintf(name, size, RUNS_PREFIX "%ld", (long)getpid());
    for (int turn = 0; turn < REMOVE_TURNS; turn++) {
        struct stat locked;
        struct stat named;
        int directory;

        if (mkdirat(base, name, 0755) != 0 && errno != EEXIST) {
            return -1;
        }
        directory = open_below(base, name);
        if (directory >= 0 && flock(directory, LOCK_EX | LOCK_NB) == 0
            && fstat(directory, &locked) == 0
            && fstatat(base, name, &named, AT_SYMLINK_NOFOLLOW) == 0
            && locked.st_ino == named.st_ino) {
            return directory;
        }
        if (directory >= 0) {
            close(directory);
        }
        usleep(REMOVE_PAUSE_US);
    }
    errno = EBUSY;
    return -1;
}

static bool take_spare(sa_os__leaf_t *leaf)
{
    bool taken;

    pthread_mutex_lock(&spare.mutex);
    taken = spare.is_there;
    *leaf = spare.leaf;
    spare.is_there = false;
    pthread_mutex_unlock(&spare.mutex);
    return taken;
}

/* false: there is one already, and LEAF stays the caller's. */
static bool keep_spare(const sa_os__leaf_t *leaf)
{
    bool kept;

    pthread_mutex_lock(&spare.mutex);
    kept = !spare.is_there;
    if (kept) {
        spare.leaf = *leaf;
        spare.is_there = true;
    }
    pthread_mutex_unlock(&spare.mutex);
    return kept;
}

static bool has_spare(void)
{
    bool has;

    pthread_mutex_lock(&spare.mutex);
    has = spare.is_there;
    pthread_mutex_unlock(&spare.mutex);
    return has;
}

static apr_status_t close_groups(void *baton)
{
    sa_os__leaf_t unused;

    (void)baton;
    if (take_spare(&unused)) {
        sa_os__leaf_close(&unused);
    }
    clear(groups.base_directory, groups.runs_name);
    close(groups.runs);
    close(groups.base_directory);
    groups.base = NULL;
    groups.why = "not opened";
    groups.runs = -1;
    groups.base_directory = -1;
    groups.processes = false;
    groups.memory = false;
    groups.kills = false;
    return APR_SUCCESS;
}

static bool can_kill(void)
{
    int descriptor = sa_os__cgroup_kill_descriptor();

    if (descriptor >= 0) {
        close(descriptor);
    }
    return descriptor >= 0;
}

void sa_os__cgroup_open(apr_pool_t *pool)
{
    const char *base;
    int directory;

    if (groups.base) {
        return;
    }
    base = find_base(&groups.why, pool);
    if (!base) {
        return;
    }
    directory = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory >= 0) {
        each_below(directory, clear_left, NULL);
        move_away(directory);
        hand_on(directory);
        groups.runs = make_runs(directory, groups.runs_name, sizeof(groups.runs_name));
    }
    if (groups.runs < 0) {
        groups.why = apr_psprintf(pool, "cannot divide the cgroup %s: %s", base, strerror(errno));
        if (directory >= 0) {
            close(directory);
        }
        return;
    }
    groups.base_directory = directory;
    groups.base = base;
    groups.why = NULL;
    hand_on(groups.runs);
    groups.processes = has_controller(groups.runs, "pids");
    groups.memory = has_controller(groups.runs, "memory");
    groups.kills = can_kill();
    apr_pool_cleanup_register(pool, NULL, close_groups, apr_pool_cleanup_null);
}

const char *sa_os__cgroup_path(const char **why)
{
    *why = groups.why;
    return groups.base;
}

bool sa_os__cgroup_limits_processes(void)
{
    return groups.processes;
}

bool sa_os__cgroup_limits_memory(void)
{
    return groups.memory;
}

bool sa_os__cgroup_kills(void)
{
    return groups.kills;
}

int sa_os__cgroup_kill_descriptor(void)
{
    return groups.runs < 0 ? -1 : openat(groups.runs, "cgroup.kill", O_WRONLY | O_CLOEXEC);
}

/* ---- one run ----------------------------------------------------------------- */

static sa_error_t *limit(int directory, const char *name, apr_int64_t most)
{
    char text[32];
    int number;

    snprintf(text, sizeof(text), "%" APR_INT64_T_FMT, most);
    number = put(directory, name, text);
    if (number != 0) {
        return sa_error_apr(number, "cannot set %s of the cgroup of a command", name);
    }
    return SA_OK;
}

static sa_error_t *set_limits(int directory, apr_int64_t max_processes, apr_int64_t max_memory)
{
    if (groups.processes && max_processes > 0) {
        SA_TRY(limit(directory, "pids.max", max_processes));
    }
    if (groups.memory && max_memory > 0) {
        SA_TRY(limit(directory, "memory.max", max_memory));
        /* All of it or none; and not by filling the swap first.  Kernels without either
         * keep the limit all the same. */
        put(directory, "memory.oom.group", "1");
        put(directory, "memory.swap.max", "0");
    }
    return SA_OK;
}

static void give_up(sa_os__leaf_t *leaf)
{
    sa_os__leaf_remove(leaf);
    sa_os__leaf_close(leaf);
}

static sa_error_t *make_leaf(sa_os__leaf_t *leaf)
{
    sa_error_t *err;

    leaf->directory = -1;
    leaf->procs = -1;
    snprintf(leaf->name, sizeof(leaf->name), "run-%lu",
             (unsigned long)apr_atomic_inc32(&groups.count));
    if (mkdirat(groups.runs, leaf->name, 0755) != 0) {
        return sa_error_apr(errno, "cannot make a cgroup for a command");
    }
    leaf->directory = open_below(groups.runs, leaf->name);
    if (leaf->directory >= 0) {
        leaf->procs = openat(leaf->directory, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    }
    if (leaf->procs < 0) {
        err = sa_error_apr(errno, "cannot open the cgroup of a command");
        give_up(leaf);
        return err;
    }
    return SA_OK;
}

void sa_os__leaf_prepare(void)
{
    sa_os__leaf_t leaf;
    sa_error_t *err;

    if (!groups.base || has_spare()) {
        return;
    }
    err = make_leaf(&leaf);
    if (!err && !keep_spare(&leaf)) {
        give_up(&leaf);
    }
    sa_error_clear(err);        /* the next run tries by itself, and says it */
}

sa_error_t *sa_os__leaf_create(sa_os__leaf_t *leaf, apr_int64_t max_processes,
                               apr_int64_t max_memory)
{
    sa_error_t *err;

    if (!take_spare(leaf)) {
        SA_TRY(make_leaf(leaf));
    }
    err = set_limits(leaf->directory, max_processes, max_memory);
    if (err) {
        give_up(leaf);
    }
    return err;
}

int sa_os__leaf_signal(const sa_os__leaf_t *leaf, int signal_number, pid_t except)
{
    return signal_tree(leaf->directory, signal_number, except);
}

void sa_os__leaf_kill(const sa_os__leaf_t *leaf)
{
    kill_tree(leaf->directory);
}

bool sa_os__leaf_out_of_memory(const sa_os__leaf_t *leaf)
{
    char text[EVENTS_SIZE];
    const char *at;

    if (!groups.memory || !get(text, sizeof(text), leaf->directory, "memory.events")) {
        return false;
    }
    at = strstr(text, "oom_kill ");
    return at && strtol(at + strlen("oom_kill "), NULL, 10) > 0;
}

bool sa_os__leaf_remove(sa_os__leaf_t *leaf)
{
    return remove_tree(groups.runs, leaf->name);
}

void sa_os__leaf_close(sa_os__leaf_t *leaf)
{
    if (leaf->directory >= 0) {
        close(leaf->directory);
    }
    if (leaf->procs >= 0) {
        close(leaf->procs);
    }
    leaf->directory = -1;
    leaf->procs = -1;
}
