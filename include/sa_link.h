/* The bus: the only room that knows nats.c.
 *
 * One connection at a time, made anew for each attempt: nats.c's own
 * reconnecting is off, because it replays what was published meanwhile, gives
 * up after two refused logins and hides why an attempt failed
 * (docs/decisions).  A thread of ours connects, watches and waits with full
 * jitter between attempts; it never gives up.
 *
 * Threads: create, subscribe and start from one thread; publishing from any;
 * callbacks come on nats.c's or the link's thread and must only copy, give and
 * return. */
#ifndef SA_LINK_H
#define SA_LINK_H

#include <stdbool.h>
#include <stddef.h>

#include <apr.h>
#include <apr_pools.h>
#include <apr_time.h>

#include "sa_config.h"
#include "sa_error.h"

typedef struct sa_link_t sa_link_t;

/* A message from the bus.  Whoever is given one destroys it. */
typedef struct sa_link_message_t sa_link_message_t;
const char *sa_link_message_subject(const sa_link_message_t *message);
const char *sa_link_message_reply(const sa_link_message_t *message);    /* "" if none */
const char *sa_link_message_data(const sa_link_message_t *message, size_t *length);
/* NULL if there is none of that name */
const char *sa_link_message_header(const sa_link_message_t *message, const char *name);
/* Bytes of all headers, without looking at them: to look, the library reads all of them, in
 * a time that grows with the square of their number.  Bound it first. */
size_t sa_link_message_header_size(const sa_link_message_t *message);
void sa_link_message_destroy(sa_link_message_t *message);

/* Once in the process, before the first link and the first thread; and at the end.  Opens the
 * http room's library as well. */
sa_error_t *sa_link_library_open(void) SA_MUST_CHECK;
void sa_link_library_close(void);
const char *sa_link_library_version(void);

/* Living in POOL; stop it before the pool goes. */
sa_error_t *sa_link_create(sa_link_t **link, apr_pool_t *pool) SA_MUST_CHECK;

/* Up and down, in the link's thread. */
typedef void (*sa_link_edge_fn_t)(void *baton, bool up);
void sa_link_on_edge(sa_link_t *link, sa_link_edge_fn_t fn, void *baton);

/* The answer to sa_link_publish_acked(TOKEN).  *MESSAGE is the callee's to keep
 * (set it to NULL) for sa_link_read_ack(). */
typedef void (*sa_link_ack_fn_t)(void *baton, apr_uint64_t token, sa_link_message_t **message);
void sa_link_on_ack(sa_link_t *link, sa_link_ack_fn_t fn, void *baton);
/* The same for a second asker, whose tokens have this bit. */
#define SA_LINK_TOKEN_SECOND (APR_UINT64_C(1) << 63)
void sa_link_on_second_ack(sa_link_t *link, sa_link_ack_fn_t fn, void *baton);

/* Subscribe SUBJECT on this and every later connection.  A subject that the
 * bus denies is said once, with the missing grant; the rest goes on.  The
 * callee may keep *MESSAGE (and sets it to NULL).  OPTIONAL: a denial is no
 * more than an info line. */
typedef void (*sa_link_message_fn_t)(void *baton, sa_link_message_t **message);
void sa_link_subscribe(sa_link_t *link, const char *subject, bool optional,
                       sa_link_message_fn_t fn, void *baton);

/* The bus refused the credentials (revoked, expired, unknown), in the link's thread: called
 * for each attempt.  It goes on trying. */
typedef void (*sa_link_refused_fn_t)(void *baton);
void sa_link_on_refused(sa_link_t *link, sa_link_refused_fn_t fn, void *baton);

/* What was handed to the socket's buffer, as it was published, in the thread that did: for
 * somebody who looks on.  FN must not wait and not publish. */
typedef void (*sa_link_publish_fn_t)(void *baton, const char *subject, const char *headers,
                                     const void *data, size_t length);
void sa_link_on_publish(sa_link_t *link, sa_link_publish_fn_t fn, void *baton);

/* Connect anew, at once, with the credentials that are in their file now.  What is on its
 * way to the bus is flushed before; an attempt that waits waits no longer.  Any thread. */
void sa_link_renew(sa_link_t *link);

/* The network has changed, or the machine has slept: look at once whether the connection still
 * stands (its own address is there, the server answers within 1.5 s), and do not wait for the next
 * attempt while there is none.  At most once a second.  Any thread; returns at once. */
void sa_link_look(sa_link_t *link);

/* Is TEXT a .creds file for a user whose seed belongs to its JWT, which is valid now?
 * SA_ERR_FILE_CONTENT says what is wrong, without a word of it.  Any thread. */
sa_error_t *sa_link_check_creds(const char *text, apr_pool_t *scratch_pool) SA_MUST_CHECK;

/* Log in with CREDS_FILE at the servers of CONFIG, one after the other until one answers, and
 * leave.  SA_ERR_LINK_AUTH: refused; any other error: nobody could be asked within TIMEOUT.
 * Blocks; any thread, also beside a running link. */
sa_error_t *sa_link_try(const sa_config_t *config, const char *creds_file,
                        apr_interval_time_t timeout, apr_pool_t *scratch_pool) SA_MUST_CHECK;

/* The event (sa_event_t of sa_log.h) that TROUBLE (sa_http_trouble_t of sa_http_conn.h) on the way
 * to a server is. */
int sa_link_trouble_event(int trouble);

/* What a server shows in its TLS handshake, and what a connection of ours would say to it. */
typedef struct sa_link_certificate_t {
    bool shown;                 /* all but the last two are known */
    bool trusted;
    char subject[128];
    char issuer[128];
    apr_time_t begins;          /* of its own certificate */
    apr_time_t ends;
    apr_time_t chain_ends;      /* the earliest end in the chain, as far as it was seen */
    char chain_ends_of[128];
    int event;                  /* sa_event_t of sa_log.h: why not; SA_EVENT_END: trusted */
    char reason[256];
} sa_link_certificate_t;
/* Shake hands with HOST on SOCKET, which is connected and where TLS is to begin, as CONFIG
 * (nats.tls) wants it, and no more: no client certificate is shown, nothing is sent.  SOCKET stays
 * the caller's to close.  Errors are those of this machine (a ca_file that cannot be read);
 * what the server does wrong is in *CERTIFICATE.  Blocks for TIMEOUT at most; any thread. */
struct apr_socket_t;
sa_error_t *sa_link_certificate(sa_link_certificate_t *certificate, const sa_config_t *config,
                                const char *host, struct apr_socket_t *socket,
                                apr_interval_time_t timeout,
                                apr_pool_t *scratch_pool) SA_MUST_CHECK;

/* Make an NKey of a user: its seed into the file PATH, private, which must not be there
 * yet; its public key (U...) into PUBLIC_KEY. */
#define SA_LINK_PUBLIC_KEY 57
sa_error_t *sa_link_keygen(char public_key[SA_LINK_PUBLIC_KEY], const char *path,
                           apr_pool_t *scratch_pool) SA_MUST_CHECK;

/* Start connecting; returns at once, also with the bus away. */
sa_error_t *sa_link_start(sa_link_t *link, const sa_config_t *config) SA_MUST_CHECK;
/* Take over new settings: connects anew with them. */
sa_error_t *sa_link_reload(sa_link_t *link, const sa_config_t *config) SA_MUST_CHECK;
/* Flush for at most TIMEOUT and close.  Bounded also when the server is frozen
 * (4 s more, while a write gives up; 2 s more over WebSocket) or an attempt is under way
 * (what is left of nats.connect_timeout, in nats.c's TLS handshake or the login; at once
 * otherwise). */
void sa_link_stop(sa_link_t *link, apr_interval_time_t timeout);

bool sa_link_is_up(sa_link_t *link);
/* The largest payload that may be sent now: the server's max_payload, at most
 * 1 MiB, less SA_LINK_HEADROOM for headers (of a server that takes less than
 * twice that: less half).  While down: the last known, or the default of 1 MiB
 * less headroom. */
#define SA_LINK_HEADROOM 4096
size_t sa_link_max_payload(sa_link_t *link);

/* May SUBJECT be published to: tokens separated by dots, without wildcards,
 * blanks or control characters (NATS protocol, subject naming)? */
bool sa_link_is_subject(const char *subject);
/* Is SUBJECT where acknowledgements come to?  Nothing of ours is to be sent there. */
bool sa_link_is_own_inbox(const sa_link_t *link, const char *subject);

/* HEADERS is "Name: value\n" lines, or NULL; at most SA_LINK_HEADROOM bytes.
 * SA_ERR_LINK_DOWN while down, SA_ERR_TOO_LARGE above the maximum, headers
 * counted, SA_ERR_PARSE for a subject (more than 1024 bytes, wildcards, blanks,
 * empty tokens) or a header that the protocol cannot carry.  Success means
 * handed to the socket's buffer, not more; blocks for 2 s at most when the
 * server takes nothing. */
sa_error_t *sa_link_publish(sa_link_t *link, const char *subject, const char *headers,
                            const void *data, size_t length) SA_MUST_CHECK;
/* The same, asking for an acknowledgement that comes to the on_ack callback
 * with TOKEN; MSG_ID (or NULL) becomes Nats-Msg-Id.  No answer may ever come:
 * the caller keeps the deadline. */
sa_error_t *sa_link_publish_acked(sa_link_t *link, const char *subject, const char *headers,
                                  const char *msg_id, const void *data, size_t length,
                                  apr_uint64_t token) SA_MUST_CHECK;
/* Has the bus denied publishing to SUBJECT, since the last reload? */
bool sa_link_is_denied(sa_link_t *link, const char *subject);
/* The same of subscribing to it; an inbox is "_INBOX.>". */
bool sa_link_is_subscribe_denied(sa_link_t *link, const char *subject);
/* A round trip to the server within TIMEOUT: what was published before it has
 * arrived when this succeeds. */
sa_error_t *sa_link_probe(sa_link_t *link, apr_interval_time_t timeout) SA_MUST_CHECK;
/* The same, and what the server has denied until then is known when this succeeds.  Only while
 * no other thread uses LINK. */
sa_error_t *sa_link_settle(sa_link_t *link, apr_interval_time_t timeout) SA_MUST_CHECK;

/* A stream's name; longer ones are not taken note of. */
#define SA_LINK_STREAM_NAME 64

/* What a JetStream server said (NATS API, PubAck; status 503 when nobody
 * listens to the subject). */
typedef struct sa_link_ack_t {
    bool stored;
    bool duplicate;         /* stored before, under the same message id */
    bool no_stream;         /* 503: no stream binds the subject */
    apr_uint64_t seq;       /* where it is stored, and in which stream */
    char stream[SA_LINK_STREAM_NAME];
    int error_code;         /* err_code of the API, 0 if none */
    char error[128];        /* for people */
} sa_link_ack_t;
void sa_link_read_ack(sa_link_ack_t *ack, const sa_link_message_t *message);

/* What a JetStream server said to $JS.API.STREAM.MSG.GET.{stream} or to
 * $JS.API.STREAM.NAMES (NATS JetStream API). */
typedef struct sa_link_stored_t {
    bool found;             /* a message; MSG.GET */
    bool missing;           /* there is none */
    apr_uint64_t seq;
    char msg_id[128];       /* its Nats-Msg-Id, "" if it has none */
    char stream[SA_LINK_STREAM_NAME];   /* the first name; STREAM.NAMES */
} sa_link_stored_t;
void sa_link_read_stored(sa_link_stored_t *stored, const sa_link_message_t *message);

#endif
