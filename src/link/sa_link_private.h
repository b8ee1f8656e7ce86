/* What the files of the link room share.  Nobody else includes this.
 *
 * Three threads meet here: the link's own, nats.c's (its callbacks), and
 * whoever publishes.  `mutex` guards what is marked (m) and is never held
 * across I/O or a call into nats.c that may block. */
#ifndef SA_LINK_PRIVATE_H
#define SA_LINK_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>

#include <apr_network_io.h>
#include <nats/nats.h>

#include "sa_backoff.h"
#include "sa_link.h"
#include "sa_log.h"
#include "sa_os_thread.h"

#define SA_LINK_PORT 4222
#define SA_LINK_PAYLOAD_CAP (1024 * 1024)
/* A write that the socket does not take for this long ends the connection. */
#define SA_LINK_WRITE_DEADLINE apr_time_from_sec(2)
/* A connection that stood for this long was a good one. */
#define SA_LINK_STOOD apr_time_from_sec(30)
#define SA_LINK_SUBSCRIPTIONS 16
#define SA_LINK_DENIALS 64
#define SA_LINK_SUBJECT_LIMIT 1024
#define SA_LINK_REASON 256
#define SA_LINK_INBOX_RANDOM 22

/* One server, out of nats.urls. */
typedef struct sa_link__url_t {
    bool tls;
    const char *host;       /* without brackets */
    int port;
    const char *user;       /* decoded, or NULL */
    const char *password;
    const char *text;       /* for people: without user and password */
    const char *dial;       /* for nats.c: nats://host:port */
} sa_link__url_t;

/* What the link keeps of the configuration.  The link's thread only. */
typedef struct sa_link__settings_t {
    apr_pool_t *pool;
    const char *code;
    sa_link__url_t *urls;
    int url_count;
    sa_auth_type_t auth;
    const char *creds_file;
    bool creds_default;
    bool creds_said;        /* that there are none */
    const char *nkey_file;
    const char *username;
    sa_secret_t token;
    sa_secret_t password;
    bool tls;
    const char *ca_file;
    const char *cert_file;
    const char *key_file;
    bool tls_insecure;
    apr_interval_time_t connect_timeout;
    apr_interval_time_t spread;
    apr_interval_time_t wait_first;
    apr_interval_time_t wait_max;
    apr_interval_time_t ping_interval;
} sa_link__settings_t;

typedef struct sa_link__subscription_t {
    const char *subject;
    bool optional;
    sa_link_message_fn_t fn;
    void *baton;
} sa_link__subscription_t;

/* Why an attempt failed or a connection ended: which event says it, and the
 * words.  The words are the same each time the reason is, or the log could not
 * count repeats. */
typedef struct sa_link__failure_t {
    sa_event_t event;
    char reason[SA_LINK_REASON];
} sa_link__failure_t;

/* A subject that the bus denied. */
typedef struct sa_link__denial_t {
    bool publish;
    bool optional;
    bool said;
    const char *subject;
    struct sa_link__denial_t *next;
} sa_link__denial_t;

struct sa_link__conn_t;

/* nats.c's closure of one subscription on one connection. */
typedef struct sa_link__live_t {
    struct sa_link__conn_t *conn;
    const sa_link__subscription_t *what;    /* NULL: the inbox of acknowledgements */
    natsSubscription *sub;
    apr_int64_t dropped;                    /* (m) of it, already counted */
} sa_link__live_t;

/* One connection.  Made and destroyed by the link's thread only; destroyed
 * when nobody publishes on it and nats.c has made its last callback. */
typedef struct sa_link__conn_t {
    struct sa_link_t *link;
    apr_pool_t *pool;
    natsConnection *nc;
    const sa_link__url_t *url;
    apr_int64_t max_payload;
    apr_interval_time_t since;
    apr_interval_time_t ahead;      /* the wall clock of the monotonic one, at the last look */
    bool set_back;                  /* the wall clock was: no test of a silent connection comes */
    sa_link__live_t live[SA_LINK_SUBSCRIPTIONS + 1];
    int live_count;
    int users;                  /* (m) */
    int open_subs;              /* (m) */
    bool closed;                /* (m) nats.c said so: its last callback but the subscriptions' */
    natsStatus status;          /* (m) why it is closed, or is about to be; NATS_OK: not known */
    char reason[SA_LINK_REASON];    /* (m) the same in words */
} sa_link__conn_t;

struct sa_link_t {
    apr_pool_t *pool;
    sa_os_mutex_t *mutex;
    sa_os_cond_t *cond;
    sa_os_thread_t *thread;
    sa_link_edge_fn_t edge;
    void *edge_baton;
    sa_link_ack_fn_t ack;
    void *ack_baton;
    sa_link_ack_fn_t second_ack;
    void *second_ack_baton;
    sa_link_refused_fn_t refused;
    void *refused_baton;
    const char *thread_name;            /* of whoever connects */
    char inbox[sizeof("_INBOX.") + SA_LINK_INBOX_RANDOM];
    sa_link__subscription_t subs[SA_LINK_SUBSCRIPTIONS];
    int sub_count;

    /* The link's thread only. */
    sa_link__settings_t *settings;
    sa_backoff_t backoff;
    struct sa_link__lookup_t *lookup;   /* a name lookup that did not come back yet */

    bool stopping;                      /* (m) */
    apr_interval_time_t stop_deadline;  /* (m) */
    sa_link__settings_t *fresh;         /* (m) of a reload, not taken over yet */
    bool renew;                         /* (m) connect anew */
    sa_link__conn_t *conn;              /* (m) while up */
    apr_int64_t max_payload;            /* (m) what the server takes, at most the cap */
    apr_pool_t *denial_pool;            /* (m) */
    sa_link__denial_t *denials;         /* (m) */
    int denial_count;                   /* (m) */
    bool news;                          /* (m) a denial is unsaid, or one of these is set: */
    bool slow;                          /* (m) */
    bool lame_duck;                     /* (m) */
};

/* sa_link_settings.c */
sa_link__settings_t *sa_link__settings_create(const sa_config_t *config);
/* Read TEXT into URL, in POOL.  SA_ERR_NOT_ON_THIS_OS for ws and wss, which
 * this version does not speak; SA_ERR_PARSE for what is no address. */
sa_error_t *sa_link__url_parse(sa_link__url_t *url, const char *text, apr_pool_t *pool)
    SA_MUST_CHECK;

/* sa_link_dial.c */
/* What the server's first line says. */
typedef struct sa_link__info_t {
    bool tls_required;
    bool tls_available;
    bool tls_verify;        /* it wants a client certificate */
    apr_int64_t max_payload;
} sa_link__info_t;
/* Look up, connect and wait for the first line, which stays in *SOCKET unread.
 * false, with FAILURE, also when the link is to stop or to reload meanwhile. */
bool sa_link__dial(apr_socket_t **socket, sa_link__info_t *info, sa_link__failure_t *failure,
                   sa_link_t *link, const sa_link__url_t *url, apr_interval_time_t deadline,
                   apr_pool_t *pool);
/* At the end: wait half a second for a lookup, and leave it alone if it still runs. */
void sa_link__dial_close(sa_link_t *link);
/* Read the INFO line TEXT.  SA_ERR_PARSE when it is not one. */
sa_error_t *sa_link__info_parse(sa_link__info_t *info, const char *text, size_t length,
                                apr_pool_t *pool) SA_MUST_CHECK;

/* sa_link_auth.c */
/* What proves who we are; wiped with its pool. */
typedef struct sa_link__auth_t {
    const char *jwt;
    const char *seed;
    const char *public_key;
    const char *user;       /* these three as they stand in a JSON string */
    const char *password;
    const char *token;
} sa_link__auth_t;
bool sa_link__auth_read(sa_link__auth_t *auth, sa_link__failure_t *failure,
                        sa_link__settings_t *settings, const sa_link__url_t *url,
                        apr_pool_t *pool);
natsStatus sa_link__auth_apply(natsOptions *options, sa_link__auth_t *auth);
/* The NUMBER-th (from 0) decorated block of a .creds file, in POOL; NULL if it
 * is not there. */
const char *sa_link__creds_block(const char *text, int number, apr_pool_t *pool);
/* Only characters of a JWT, so that it goes into a JSON string as it is? */
bool sa_link__is_jwt(const char *text);

/* sa_link_nkey.c */
#define SA_LINK_NKEY 56
/* The public key (U...) of SEED (SU...). */
sa_error_t *sa_link__nkey_public(char text[SA_LINK_NKEY + 1], const char *seed) SA_MUST_CHECK;
/* A new seed (SU...), of which the caller wipes the text. */
#define SA_LINK_SEED 58
sa_error_t *sa_link__nkey_create(char seed[SA_LINK_SEED + 1]) SA_MUST_CHECK;

/* sa_link_tls.c */
sa_error_t *sa_link__tls_open(apr_pool_t *pool) SA_MUST_CHECK;
/* Set OPTIONS up for TLS with HOST. */
bool sa_link__tls_apply(natsOptions *options, sa_link__failure_t *failure,
                        const sa_link__settings_t *settings, const char *host, apr_pool_t *pool);
/* What this thread's last handshake found wrong with the server's certificate;
 * false: nothing. */
bool sa_link__tls_verdict(sa_link__failure_t *failure);
/* Forget it. */
void sa_link__tls_forget(void);
/* The end of sa_link__tls_open(): its pool goes. */
void sa_link__tls_close(void);

/* sa_link_connect.c */
/* One attempt at URL, subscriptions included.  NULL: FAILURE says why. */
sa_link__conn_t *sa_link__connect(sa_link_t *link, const sa_link__url_t *url,
                                  sa_link__failure_t *failure);
/* Why CONN ended. */
void sa_link__read_reason(sa_link__failure_t *failure, sa_link__conn_t *conn);
/* Close and destroy; never from a callback of nats.c. */
void sa_link__disconnect(sa_link__conn_t *conn);

/* sa_link_subscribe.c */
natsStatus sa_link__subscribe_all(sa_link__conn_t *conn);
/* Count what nats.c dropped because we did not take it; called with the lock. */
void sa_link__count_dropped(sa_link__live_t *live);
/* What happened meanwhile that the log should say. */
void sa_link__say_news(sa_link_t *link);
void sa_link__on_error(natsConnection *nc, natsSubscription *sub, natsStatus status, void *baton);
/* Note a denial; called with the lock.  Returns whether it is a new one. */
bool sa_link__note_denial(sa_link_t *link, const char *text);
void sa_link__forget_denials(sa_link_t *link);

/* sa_link_error.c */
void sa_link__fail(sa_link__failure_t *failure, sa_event_t event, const char *format, ...)
    SA_PRINTF(3, 4);
/* From what nats.c or the server said. */
void sa_link__fail_status(sa_link__failure_t *failure, natsStatus status, const char *text);
/* This thread's last words of nats.c, without its file and line. */
const char *sa_link__last_words(void);
/* Is it about who we are, so that other credentials would help? */
bool sa_link__is_refusal(const sa_link__failure_t *failure);
/* natsStatus -> sa_error_t, OK for NATS_OK. */
sa_error_t *sa_link__error(natsStatus status, const char *what) SA_MUST_CHECK;

/* sa_link.c */
/* Is an attempt to be given up? */
bool sa_link__is_interrupted(sa_link_t *link);
/* The connection, or NULL while down; give it back. */
sa_link__conn_t *sa_link__acquire(sa_link_t *link);
void sa_link__release(sa_link__conn_t *conn);

#endif
