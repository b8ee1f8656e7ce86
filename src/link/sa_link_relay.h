/* The relay: a thread that carries bytes between nats.c, which has one end of a pair of sockets,
 * and a connection that nats.c cannot use by itself: WebSocket, or TLS with a proxy.
 *
 *     nats.c <-- pair (loopback TCP) --> relay <-- sa_http_conn_t --> server
 *
 * The thread ends when either side does: nats.c's end closed (then the rest is sent, a Close
 * exchanged, 1 s at most), or the server's (then what came is passed on first, and nats.c sees the
 * end).  Nobody outside of the link room. */
#ifndef SA_LINK_RELAY_H
#define SA_LINK_RELAY_H

#include <apr_poll.h>

#include "sa_http_conn.h"
#include "sa_link_frame.h"
#include "sa_link_private.h"

/* The most that the answer to an upgrade has before its body. */
#define SA_LINK_UPGRADE_HEAD (16 * 1024)

typedef struct sa_link__relay_t sa_link__relay_t;

/* Speak the upgrade (RFC 6455, section 4) on CONN, by DEADLINE, and be strict about the answer.
 * EXTRA are further header lines ("Name: value\r\n" each), "" if none.  Bytes behind the answer
 * stay in EARLY (of EARLY_SIZE bytes), *EARLY_LENGTH of them.  false: FAILURE says why, with the
 * status line and what is printable of the body; a captive portal is recognised. */
bool sa_link__upgrade(sa_http_conn_t *conn, char *early, size_t early_size, size_t *early_length,
                      sa_link__failure_t *failure, sa_link_t *link, const sa_link_url_t *url,
                      const char *extra, apr_interval_time_t deadline, apr_pool_t *pool);

/* Judge the answer, without I/O: HEAD with its empty line, what is there of the BODY, and what
 * Sec-WebSocket-Accept is to be.  false: FAILURE says why. */
bool sa_link__upgrade_judge(sa_link__failure_t *failure, const char *head, size_t head_length,
                            const char *body, size_t body_length, const char *accept);
/* What the answer to KEY is. */
#define SA_LINK_UPGRADE_ACCEPT 28
void sa_link__upgrade_accept(char accept[SA_LINK_UPGRADE_ACCEPT + 1], const char *key);

/* Prepare a relay on CONN, which it owns from here on; WEBSOCKET: in frames.  Lives in POOL. */
sa_link__relay_t *sa_link__relay_create(sa_http_conn_t *conn, bool websocket, const char *early,
                                        size_t early_length, apr_pool_t *pool);
/* Before the start: wait until the server has said a whole first line, and give a look at it
 * (*LINE, *LENGTH without its end), which stays in the relay to be passed on.  At most 32 KiB. */
bool sa_link__relay_first_line(sa_link__relay_t *relay, char **line, size_t *length,
                               sa_link__failure_t *failure, sa_link_t *link,
                               apr_interval_time_t deadline);
/* Start the thread.  *END is nats.c's end of the pair, non-blocking; the caller's, or nats.c's,
 * to close. */
bool sa_link__relay_start(sa_link__relay_t *relay, apr_os_sock_t *end,
                          sa_link__failure_t *failure);
/* After nats.c's end is closed: wait for the thread, 2 s at most, and close CONN. */
void sa_link__relay_stop(sa_link__relay_t *relay);
/* Why the server's side ended, if it did and said so (a Close's code and reason, a broken rule):
 * false if there is nothing to tell.  Any thread. */
bool sa_link__relay_reason(sa_link__relay_t *relay, sa_link__failure_t *failure);


/* Before a relay's start, for whoever speaks on CONN: WATCH is for its socket; wait until that is
 * ready for EVENTS (APR_POLLIN, APR_POLLOUT).  false: DEADLINE has passed, or the attempt is
 * moot. */
void sa_link__watch(apr_pollfd_t *watch, const sa_http_conn_t *conn, apr_pool_t *pool);
bool sa_link__watch_wait(apr_pollfd_t *watch, apr_int16_t events, sa_link_t *link,
                         apr_interval_time_t deadline);
/* Why CONN broke with STATUS: what TLS says of it, else WHAT happened and the system's words. */
void sa_link__fail_broken(sa_link__failure_t *failure, const sa_http_conn_t *conn,
                          apr_status_t status, const char *what);

/* sa_link_pair.c */
/* Two connected TCP sockets on the loopback interface, non-blocking, without delay, not inherited.
 * *END is nobody's but the caller's to close; *HERE lives in POOL. */
apr_status_t sa_link__pair(apr_socket_t **here, apr_os_sock_t *end, apr_pool_t *pool);

#endif
