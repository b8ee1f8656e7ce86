/* A small HTTP server for tests, which can misbehave.
 *
 * It listens on a free port of 127.0.0.1 and answers each path by a function.
 * One thread accepts, one serves each connection; sa_test_http_stop() joins
 * them all.  A request's body is read as its Content-Length says, up to 64 KiB.
 *
 *     static const sa_test_http_answer_t answers[] = {
 *         {"/ok", sa_test_http_text, "hello"},
 *         {"/endless", sa_test_http_endless, NULL},
 *         {NULL, NULL, NULL}
 *     };
 *     server = sa_test_http_start(answers, NULL, pool);
 *     url = sa_test_http_url(server, "/ok", pool);
 */
#ifndef SA_TEST_HTTP_H
#define SA_TEST_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include <apr_pools.h>

#include "sa_test_cert.h"

typedef struct sa_test_http_t sa_test_http_t;
typedef struct sa_test_http_connection_t sa_test_http_connection_t;

/* Answer one request on CONNECTION, whose ARGUMENT is the answer's.  Return
 * true to wait for the next request, false to close. */
typedef bool (*sa_test_http_fn_t)(sa_test_http_connection_t *connection, const void *argument);

typedef struct sa_test_http_answer_t {
    const char *path;       /* exactly; NULL ends the list */
    sa_test_http_fn_t serve;
    const void *argument;
} sa_test_http_answer_t;

/* ANSWERS must live as long as the server; other paths get 404.  With CERT it
 * speaks TLS. */
sa_test_http_t *sa_test_http_start(const sa_test_http_answer_t *answers,
                                   const sa_test_cert_t *cert, apr_pool_t *pool);
void sa_test_http_stop(sa_test_http_t *server);
int sa_test_http_port(const sa_test_http_t *server);
const char *sa_test_http_url(const sa_test_http_t *server, const char *path, apr_pool_t *pool);
/* The head of the last request, "" before the first. */
const char *sa_test_http_last_request(sa_test_http_t *server, apr_pool_t *pool);
/* The body of the last request that had one, "" before the first. */
const char *sa_test_http_last_body(sa_test_http_t *server, apr_pool_t *pool);
/* Speak TLS up to VERSION (TLS1_1_VERSION, ...) from the next connection on. */
void sa_test_http_limit_tls(sa_test_http_t *server, int version);
/* Want a certificate by AUTHORITY of every client from the next connection on. */
void sa_test_http_ask_certificate(sa_test_http_t *server, const sa_test_cert_t *authority);
/* Requests and connections so far. */
int sa_test_http_requests(sa_test_http_t *server);
int sa_test_http_connections(sa_test_http_t *server);

/* For answers: false when the peer has gone or the server is to stop. */
bool sa_test_http_send(sa_test_http_connection_t *connection, const void *data, size_t length);
bool sa_test_http_pause(sa_test_http_connection_t *connection, int milliseconds);

/* Ready-made answers, and what their argument is. */
bool sa_test_http_text(sa_test_http_connection_t *connection, const void *text);
bool sa_test_http_status(sa_test_http_connection_t *connection, const void *line); /* "503 No" */
bool sa_test_http_redirect(sa_test_http_connection_t *connection, const void *location);
bool sa_test_http_raw(sa_test_http_connection_t *connection, const void *bytes); /* then close */
bool sa_test_http_gzip(sa_test_http_connection_t *connection, const void *text);
/* A hundred megabytes of zeros in a hundred kilobytes. */
bool sa_test_http_gzip_bomb(sa_test_http_connection_t *connection, const void *nothing);
bool sa_test_http_endless(sa_test_http_connection_t *connection, const void *nothing);
bool sa_test_http_drip(sa_test_http_connection_t *connection, const void *nothing);
bool sa_test_http_silence(sa_test_http_connection_t *connection, const void *nothing);
bool sa_test_http_header_flood(sa_test_http_connection_t *connection, const void *nothing);
bool sa_test_http_continue_flood(sa_test_http_connection_t *connection, const void *nothing);

#endif
