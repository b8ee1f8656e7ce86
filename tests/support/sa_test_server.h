/* A real nats-server for tests, on 127.0.0.1 with a port of its own, in a
 * directory of its own, gone with the pool.
 *
 *     sa_test_server_t *server = sa_test_server_start("", SA_TEST_JETSTREAM, pool);
 *     ... sa_test_server_url(server) ...
 *     sa_test_server_freeze(server);
 *
 * The program is $SA_NATS_SERVER, or build/deps/usr/sbin/nats-server below
 * $SA_TOP_SRCDIR, below the working directory or one of its parents, or what
 * PATH has.  Not finding it, or any other failure here, fails the test.
 *
 * A guard process stands between the test and the server: when the test ends,
 * however it ends, the guard kills the server.  Unix only, for the time being. */
#ifndef SA_TEST_SERVER_H
#define SA_TEST_SERVER_H

#include <stdbool.h>

#include <apr_pools.h>
#include <apr_time.h>

/* An empty directory, removed with POOL. */
const char *sa_test_dir(apr_pool_t *pool);
/* Put TEXT at DIR/NAME with MODE (0600...) and return the path, in POOL. */
const char *sa_test_file(const char *dir, const char *name, const char *text, int mode,
                         apr_pool_t *pool);
/* The whole of PATH, in POOL; "" if it is not there. */
const char *sa_test_read(const char *path, apr_pool_t *pool);

/* Wait until FN(BATON) is true, at most LIMIT; returns its last answer. */
bool sa_test_wait(bool (*fn)(void *baton), void *baton, apr_interval_time_t limit);

typedef struct sa_test_server_t sa_test_server_t;

enum {
    SA_TEST_JETSTREAM = 1,      /* with a store in the server's directory */
    SA_TEST_NOT_READY = 2       /* do not wait until it says INFO (TLS first, and the like) */
};

/* Start a server with CONFIG, the text of a configuration file in which @DIR@
 * is the server's directory.  Listen addresses are not CONFIG's business. */
sa_test_server_t *sa_test_server_start(const char *config, unsigned int flags, apr_pool_t *pool);
/* A port nobody listens on, in a server that was not started yet: start it
 * with sa_test_server_restart(). */
sa_test_server_t *sa_test_server_reserve(const char *config, unsigned int flags,
                                         apr_pool_t *pool);
int sa_test_server_port(const sa_test_server_t *server);
/* "nats://127.0.0.1:PORT" */
const char *sa_test_server_url(const sa_test_server_t *server);
/* The directory that holds its configuration, log and store. */
const char *sa_test_server_dir(const sa_test_server_t *server);
/* What it has written to its log, in POOL. */
const char *sa_test_server_log(const sa_test_server_t *server, apr_pool_t *pool);

/* SIGKILL, and wait for its end. */
void sa_test_server_kill(sa_test_server_t *server);
/* SIGTERM, and wait for its end; killed after 10 s. */
void sa_test_server_stop(sa_test_server_t *server);
/* SIGSTOP, and wait until it stands still; SIGCONT. */
void sa_test_server_freeze(sa_test_server_t *server);
void sa_test_server_thaw(sa_test_server_t *server);
/* SIGHUP, after CONFIG took the old one's place: settings reloaded. */
void sa_test_server_reload(sa_test_server_t *server, const char *config);
/* Kill it if it runs, and start it on the same port and store; with CONFIG
 * (NULL: the old one). */
void sa_test_server_restart(sa_test_server_t *server, const char *config);

#endif
