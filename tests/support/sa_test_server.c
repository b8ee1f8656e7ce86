/* The real nats-server of tests, and its guard. */
#define _POSIX_C_SOURCE 200809L
#include "sa_test_server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_file_info.h>
#include <apr_file_io.h>
#include <apr_strings.h>

#include "sa_pool.h"

#define READY_LIMIT apr_time_from_sec(20)
#define STOP_LIMIT apr_time_from_sec(10)
#define ATTEMPTS 5

struct sa_test_server_t {
    apr_pool_t *pool;
    const char *dir;
    const char *config_path;
    unsigned int flags;
    int port;
    pid_t guard;        /* 0: not running */
    pid_t pid;
    int leash;          /* the guard kills the server when this is closed */
    int report;         /* the guard's words: the server's PID, and a byte for each stop */
};

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Not Check's, so that benchmarks can use this file as well. */
static void fail(const char *format, ...)
{
    va_list args;

    fputs("test support: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs("\n", stderr);
    exit(EXIT_FAILURE);
}

/* ---- files ---------------------------------------------------------------- */

static void remove_tree(const char *path, apr_pool_t *pool)
{
    apr_pool_t *iter_pool = sa_pool_create(pool);
    apr_finfo_t info;
    apr_dir_t *dir;

    if (apr_dir_open(&dir, path, iter_pool) == APR_SUCCESS) {
        while (apr_dir_read(&info, APR_FINFO_NAME | APR_FINFO_TYPE, dir) == APR_SUCCESS) {
            const char *child = apr_pstrcat(iter_pool, path, "/", info.name, NULL);

            if (strcmp(info.name, ".") == 0 || strcmp(info.name, "..") == 0) {
                continue;
            }
            if (info.filetype == APR_DIR) {
                remove_tree(child, iter_pool);
            } else {
                apr_file_remove(child, iter_pool);
            }
        }
        apr_dir_close(dir);
    }
    apr_dir_remove(path, iter_pool);
    apr_pool_destroy(iter_pool);
}

typedef struct owned_dir_t {
    apr_pool_t *pool;
    const char *path;
    pid_t owner;
} owned_dir_t;

static apr_status_t drop_dir(void *baton)
{
    owned_dir_t *owned = baton;

    if (owned->owner == getpid()) {
        remove_tree(owned->path, owned->pool);
    }
    return APR_SUCCESS;
}

const char *sa_test_dir(apr_pool_t *pool)
{
    const char *base = getenv("TMPDIR");
    char *path = apr_pstrcat(pool, base ? base : "/tmp", "/sa-test-XXXXXX", NULL);
    owned_dir_t *owned = apr_palloc(pool, sizeof(*owned));

    if (!mkdtemp(path)) {
        fail("cannot make %s: %s", path, strerror(errno));
    }
    owned->pool = sa_pool_create(pool);
    owned->path = path;
    owned->owner = getpid();
    /* A pre-cleanup: the pool it walks with still lives. */
    apr_pool_pre_cleanup_register(pool, owned, drop_dir);
    return path;
}

const char *sa_test_file(const char *dir, const char *name, const char *text, int mode,
                         apr_pool_t *pool)
{
    const char *path = apr_pstrcat(pool, dir, "/", name, NULL);
    int fd;

    unlink(path);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)mode);
    if (fd < 0 || fchmod(fd, (mode_t)mode) != 0
        || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || close(fd) != 0) {
        fail("cannot write %s: %s", path, strerror(errno));
    }
    return path;
}

const char *sa_test_read(const char *path, apr_pool_t *pool)
{
    apr_finfo_t info;
    apr_file_t *file;
    apr_size_t got = 0;
    char *text;

    if (apr_file_open(&file, path, APR_READ | APR_BINARY, 0, pool) != APR_SUCCESS) {
        return "";
    }
    apr_file_info_get(&info, APR_FINFO_SIZE, file);
    text = apr_pcalloc(pool, (apr_size_t)info.size + 1);
    apr_file_read_full(file, text, (apr_size_t)info.size, &got);
    text[got] = '\0';
    apr_file_close(file);
    return text;
}

bool sa_test_wait(bool (*fn)(void *baton), void *baton, apr_interval_time_t limit)
{
    apr_time_t deadline = apr_time_now() + limit;
    bool done = fn(baton);

    while (!done && apr_time_now() < deadline) {
        apr_sleep(apr_time_from_msec(5));
        done = fn(baton);
    }
    return done;
}

/* ---- the program ----------------------------------------------------------- */

static const char *below(const char *dir, apr_pool_t *pool)
{
    const char *path = apr_pstrcat(pool, dir, "/build/deps/usr/sbin/nats-server", NULL);

    return access(path, X_OK) == 0 ? path : NULL;
}

static const char *find_server(apr_pool_t *pool)
{
    const char *named = getenv("SA_NATS_SERVER");
    const char *top = getenv("SA_TOP_SRCDIR");
    const char *path = top ? below(top, pool) : NULL;
    char here[4096];
    char *slash;

    if (named && named[0]) {
        return named;
    }
    if (!path && getcwd(here, sizeof(here))) {
        path = below(here, pool);
        slash = strrchr(here, '/');
        while (!path && slash) {
            *slash = '\0';
            path = below(here, pool);
            slash = strrchr(here, '/');
        }
    }
    return path ? path : "nats-server";
}

/* ---- processes --------------------------------------------------------------- */

static void on_child(int signal_)
{
    (void)signal_;
}

static void exec_server(const sa_test_server_t *server, const char *program)
{
    const char *log = apr_pstrcat(server->pool, server->dir, "/server.log", NULL);
    const char *port = apr_psprintf(server->pool, "%d", server->port);
    int null = open("/dev/null", O_RDWR);
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    dup2(null, 0);
    dup2(null, 1);
    for (int fd = 3; fd < 256; fd++) {
        close(fd);
    }
    execlp(program, program, "-a", "127.0.0.1", "-p", port, "-c", server->config_path, "-l", log,
           (char *)NULL);
    fprintf(stderr, "test support: cannot start %s: %s\n", program, strerror(errno));
    _exit(127);
}

/* Has the server ended?  A stop is reported: only its parent hears when the
 * last of its threads stands still. */
static bool server_has_ended(pid_t pid, int report)
{
    int status = 0;
    pid_t changed = waitpid(pid, &status, WNOHANG | WUNTRACED);

    if (changed == pid && WIFSTOPPED(status)) {
        return write(report, "s", 1) != 1;
    }
    return changed != 0;
}

/* Start the server, say its number, and wait for its end or the test's. */
static void guard_server(const sa_test_server_t *server, const char *program, int leash,
                         int report)
{
    struct sigaction action;
    sigset_t blocked;
    sigset_t open_;
    fd_set fds;
    pid_t pid;

    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    sigprocmask(SIG_BLOCK, &blocked, &open_);
    sigdelset(&open_, SIGCHLD);
    memset(&action, 0, sizeof(action));
    action.sa_handler = on_child;
    sigaction(SIGCHLD, &action, NULL);
    signal(SIGTERM, SIG_IGN);
    pid = fork();
    if (pid == 0) {
        signal(SIGTERM, SIG_DFL);
        exec_server(server, program);
    }
    if (write(report, &pid, sizeof(pid)) != (ssize_t)sizeof(pid)) {
        kill(pid, SIGKILL);
    }
    while (!server_has_ended(pid, report)) {
        FD_ZERO(&fds);
        FD_SET(leash, &fds);
        if (pselect(leash + 1, &fds, NULL, NULL, NULL, &open_) > 0) {
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
            break;
        }
    }
    _exit(0);
}

static void spawn(sa_test_server_t *server)
{
    const char *program = find_server(server->pool);
    int leash[2];
    int report[2];

    if (pipe(leash) != 0 || pipe(report) != 0) {
        fail("cannot make a pipe: %s", strerror(errno));
    }
    fcntl(leash[1], F_SETFD, FD_CLOEXEC);
    fcntl(report[0], F_SETFD, FD_CLOEXEC);
    server->guard = fork();
    if (server->guard == 0) {
        /* Another server's leash in our hands would keep it alive. */
        for (int fd = 3; fd < 256; fd++) {
            if (fd != leash[0] && fd != report[1]) {
                close(fd);
            }
        }
        guard_server(server, program, leash[0], report[1]);
    }
    close(leash[0]);
    close(report[1]);
    if (server->guard < 0 || read(report[0], &server->pid, sizeof(server->pid))
                             != (ssize_t)sizeof(server->pid)) {
        fail("cannot start a guard: %s", strerror(errno));
    }
    server->report = report[0];
    server->leash = leash[1];
}

static void forget_guard(sa_test_server_t *server)
{
    close(server->leash);
    close(server->report);
    server->guard = 0;
}

static bool guard_is_gone(void *baton)
{
    sa_test_server_t *server = baton;

    if (server->guard != 0 && waitpid(server->guard, NULL, WNOHANG) != 0) {
        forget_guard(server);
    }
    return server->guard == 0;
}

void sa_test_server_kill(sa_test_server_t *server)
{
    if (server->guard != 0) {
        close(server->leash);       /* the guard kills it and follows */
        waitpid(server->guard, NULL, 0);
        close(server->report);
        server->guard = 0;
    }
}

void sa_test_server_stop(sa_test_server_t *server)
{
    if (server->guard != 0) {
        kill(server->pid, SIGTERM);
        if (!sa_test_wait(guard_is_gone, server, STOP_LIMIT)) {
            sa_test_server_kill(server);
        }
    }
}

void sa_test_server_freeze(sa_test_server_t *server)
{
    char byte;

    kill(server->pid, SIGSTOP);
    if (read(server->report, &byte, 1) != 1) {
        fail("the server cannot be stopped");
    }
}

void sa_test_server_thaw(sa_test_server_t *server)
{
    kill(server->pid, SIGCONT);
}

/* ---- readiness ----------------------------------------------------------------- */

static int open_socket(int port, bool listening)
{
    struct sockaddr_in address;
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    memset(&address, 0, sizeof(address));
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)port);
    if (fd >= 0) {
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    }
    if (fd >= 0 && (listening ? bind(fd, (struct sockaddr *)&address, sizeof(address))
                              : connect(fd, (struct sockaddr *)&address, sizeof(address))) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static int free_port(void)
{
    struct sockaddr_in address;
    socklen_t length = sizeof(address);
    int fd = open_socket(0, true);

    if (fd < 0 || getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
        fail("no free port: %s", strerror(errno));
    }
    close(fd);
    return ntohs(address.sin_port);
}

/* The server's own INFO: another process may have come to the port first. */
static bool says_info(void *baton)
{
    sa_test_server_t *server = baton;
    struct timeval limit = { 1, 0 };
    char line[64];
    ssize_t got;
    int fd;

    if (guard_is_gone(server)) {
        return true;
    }
    fd = open_socket(server->port, false);
    if (fd < 0) {
        return false;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    got = (server->flags & SA_TEST_NOT_READY) ? 5 : recv(fd, line, sizeof(line), 0);
    close(fd);
    return got >= 5 && ((server->flags & SA_TEST_NOT_READY) || memcmp(line, "INFO ", 5) == 0);
}

/* false: it ended, the port was taken. */
static bool run(sa_test_server_t *server)
{
    spawn(server);
    if (!sa_test_wait(says_info, server, READY_LIMIT)) {
        fail("no answer from nats-server; see its log: %s",
             sa_test_server_log(server, server->pool));
    }
    return server->guard != 0;
}

/* ---- servers -------------------------------------------------------------------- */

static const char *replace(const char *text, const char *what, const char *with,
                           apr_pool_t *pool)
{
    const char *at = strstr(text, what);
    const char *result = "";

    while (at) {
        result = apr_pstrcat(pool, result, apr_pstrmemdup(pool, text, (apr_size_t)(at - text)),
                             with, NULL);
        text = at + strlen(what);
        at = strstr(text, what);
    }
    return apr_pstrcat(pool, result, text, NULL);
}

static void write_config(sa_test_server_t *server, const char *config)
{
    /* An empty file is warned about. */
    const char *text = apr_pstrcat(server->pool, "server_name: test\n",
                                   replace(config, "@DIR@", server->dir, server->pool), NULL);

    if (server->flags & SA_TEST_JETSTREAM) {
        text = apr_pstrcat(server->pool, text, "\njetstream { store_dir: \"", server->dir,
                           "/js\" }\n", NULL);
    }
    server->config_path = sa_test_file(server->dir, "server.conf", text, 0600, server->pool);
}

static apr_status_t drop_server(void *baton)
{
    sa_test_server_kill(baton);
    return APR_SUCCESS;
}

sa_test_server_t *sa_test_server_reserve(const char *config, unsigned int flags,
                                         apr_pool_t *pool)
{
    sa_test_server_t *server = apr_pcalloc(pool, sizeof(*server));

    server->pool = pool;
    server->flags = flags;
    server->dir = sa_test_dir(pool);
    server->port = free_port();
    write_config(server, config);
    /* Before the directory goes, which is a pre-cleanup, too: last in, first out. */
    apr_pool_pre_cleanup_register(pool, server, drop_server);
    return server;
}

sa_test_server_t *sa_test_server_start(const char *config, unsigned int flags, apr_pool_t *pool)
{
    sa_test_server_t *server = sa_test_server_reserve(config, flags, pool);
    int left = ATTEMPTS;

    while (!run(server)) {
        if (--left == 0) {
            fail("nats-server does not stay: %s", sa_test_server_log(server, pool));
        }
        server->port = free_port();
    }
    return server;
}

void sa_test_server_restart(sa_test_server_t *server, const char *config)
{
    sa_test_server_kill(server);
    if (config) {
        write_config(server, config);
    }
    if (!run(server)) {
        fail("nats-server does not come back: %s", sa_test_server_log(server, server->pool));
    }
}

void sa_test_server_reload(sa_test_server_t *server, const char *config)
{
    write_config(server, config);
    kill(server->pid, SIGHUP);
}

int sa_test_server_port(const sa_test_server_t *server)
{
    return server->port;
}

const char *sa_test_server_url(const sa_test_server_t *server)
{
    return apr_psprintf(server->pool, "nats://127.0.0.1:%d", server->port);
}

const char *sa_test_server_dir(const sa_test_server_t *server)
{
    return server->dir;
}

const char *sa_test_server_log(const sa_test_server_t *server, apr_pool_t *pool)
{
    return sa_test_read(apr_pstrcat(pool, server->dir, "/server.log", NULL), pool);
}
