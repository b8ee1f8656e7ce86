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
#include "sa_http_conn.h"
#include "sa_http_proxy.h"
#include "sa_http_tls.h"
#include "sa_link.h"
#include "sa_link_url.h"
#include "sa_log.h"
#include "sa_os_thread.h"

#define SA_LINK_PORT 4222
#define SA_LINK_PORT_WS 80
#define SA_LINK_PORT_WSS 443
/* nats.c reads no longer first line. */
#define SA_LINK_INFO_LIMIT (32 * 1024)
#define SA_LINK_PAYLOAD_CAP (1024 * 1024)
/* A write that the socket does not take for this long ends the connection. */
#define SA_LINK_WRITE_DEADLINE apr_time_from_sec(2)
/* A relay whose server takes nothing for this long ends the connection. */
#define SA_LINK_RELAY_STALL apr_time_from_sec(10)
/* How long the server has to answer after a change of the network. */
#define SA_LINK_LOOK_TIMEOUT apr_time_from_msec(1500)
/* The least time between two looks. */
#define SA_LINK_LOOK_SPACING apr_time_from_sec(1)
/* A connection that stood for this long was a good one. */
#define SA_LINK_STOOD apr_time_from_sec(30)
#define SA_LINK_SUBSCRIPTIONS 16
#define SA_LINK_DENIALS 64
#define SA_LINK_SUBJECT_LIMIT 1024
#define SA_LINK_REASON 256
#define SA_LINK_INBOX_RANDOM 22

/* What the link keeps of the configuration.  The link's thread only. */
typedef struct sa_link__settings_t {
    apr_pool_t *pool;
    const char *code;
    sa_link_url_t *urls;
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
    bool tls_first;
    sa_http_tls_version_t tls_least;
    const char *tls_pins;   /* "" if none */
    sa_http_proxy_choice_t proxy;
    const char *ws_headers; /* "Name: value\r\n" each */
    const char *ws_headers_file;
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
struct sa_link__relay_t;

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
    const sa_link_url_t *url;
    struct sa_link__relay_t *relay; /* NULL: nats.c has the server's own socket */
    apr_sockaddr_t *local;          /* our address on the way to the server, or NULL */
    bool tls_verify;                /* the server wants a client certificate */
    apr_int64_t max_payload;
    bool tls;
    apr_interval_time_t since;
    apr_interval_time_t ahead;      /* the wall clock of the monotonic one, at the last look */
    bool set_back;                  /* the wall clock was: no test of a silent connection comes */
    const char *lost_network;       /* why it did not outlive a change of the network, or NULL */
    bool moved;                     /* another one takes its place */
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
    sa_link_publish_fn_t published;
    void *published_baton;
    const char *thread_name;            /* of whoever connects */
    char inbox[sizeof("_INBOX.") + SA_LINK_INBOX_RANDOM];
    sa_link__subscription_t subs[SA_LINK_SUBSCRIPTIONS];
    int sub_count;

    /* The link's thread only. */
    sa_link__settings_t *settings;
    sa_backoff_t backoff;
    bool hurry;                         /* the network has changed: do not wait */
    bool patient;                       /* the last attempt was given up for that: not this one */
    apr_interval_time_t move_at;        /* leave a lame duck then; 0: it is none */

    bool stopping;                      /* (m) */
    apr_interval_time_t stop_deadline;  /* (m) */
    sa_link__settings_t *fresh;         /* (m) of a reload, not taken over yet */
    bool renew;                         /* (m) connect anew */
    apr_interval_time_t look_at;        /* (m) the network has changed; 0: not */
    apr_interval_time_t looked;         /* (m) when last */
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

/* sa_link_info.c */
/* What the server's first line says. */
typedef struct sa_link__info_t {
    bool tls_required;
    bool tls_available;
    bool tls_verify;        /* it wants a client certificate */
    apr_int64_t max_payload;
} sa_link__info_t;
/* Read the INFO line TEXT.  SA_ERR_PARSE when it is not one. */
sa_error_t *sa_link__info_parse(sa_link__info_t *info, const char *text, size_t length,
                                apr_pool_t *pool) SA_MUST_CHECK;
/* Change the line in place, at the same length, so that nats.c neither begins TLS by itself nor
 * learns of other servers' addresses: the first letter of the keys becomes a -. */
void sa_link__info_hide(char *line, size_t length);

/* sa_link_dial.c */
/* The way to the server, ready for nats.c. */
typedef struct sa_link__road_t {
    apr_os_sock_t fd;       /* SA_LINK_NO_SOCKET: handed over */
    bool is_first;          /* TLS comes before the first line: INFO is not known */
    sa_link__info_t info;
} sa_link__road_t;
/* -1 here, INVALID_SOCKET there. */
#define SA_LINK_NO_SOCKET ((apr_os_sock_t)-1)
/* Connect, through a proxy and by WebSocket where that is the way, and look at the server's first
 * line, which nats.c will read again.  CONN gets its relay and its own address.  false, with
 * FAILURE, also when the attempt is moot meanwhile. */
bool sa_link__dial(sa_link__road_t *road, sa_link__failure_t *failure, sa_link__conn_t *conn,
                   apr_interval_time_t deadline, apr_pool_t *pool);
/* Close what was not handed over. */
void sa_link__road_close(sa_link__road_t *road);
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
                        sa_link__settings_t *settings, const sa_link_url_t *url,
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
sa_event_t sa_link__tls_event(sa_http_tls_fault_t fault);
/* The event of a FAULT, with its words. */
void sa_link__tls_fail(sa_link__failure_t *failure, sa_http_tls_fault_t fault, const char *words);
/* Is the private key of SETTINGS a file that nobody else can read (or is there none)? */
bool sa_link__tls_check_key(sa_link__failure_t *failure, const sa_link__settings_t *settings,
                            apr_pool_t *pool);
/* Forget it. */
void sa_link__tls_forget(void);
/* The end of sa_link__tls_open(): its pool goes. */
void sa_link__tls_close(void);

/* sa_link_tls_paths.c */
/* Do contexts of TLS that this thread makes from now on begin without the system's authorities? */
void sa_link__tls_leave_out_system(bool leave_out);

/* sa_link_connect.c */
/* One attempt at URL, up to the login.  NULL: FAILURE says why. */
sa_link__conn_t *sa_link__connect(sa_link_t *link, const sa_link_url_t *url,
                                  sa_link__failure_t *failure);
/* Subscribe, and make sure that the server has it all before anybody is told.  false: FAILURE says
 * why, and CONN is still to be disconnected. */
bool sa_link__subscribe(sa_link__conn_t *conn, sa_link__failure_t *failure);
/* Does CONN outlive a change of the network?  NULL, or why not.  Asks the server. */
const char *sa_link__look(sa_link__conn_t *conn);
/* Why CONN ended. */
void sa_link__read_reason(sa_link__failure_t *failure, sa_link__conn_t *conn);
/* Close and destroy; never from a callback of nats.c. */
void sa_link__disconnect(sa_link__conn_t *conn);

/* sa_link_subscribe.c */
natsStatus sa_link__subscribe_all(sa_link__conn_t *conn);
/* Count what nats.c dropped because we did not take it; called with the lock. */
void sa_link__count_dropped(sa_link__live_t *live);
/* What happened meanwhile that the log should say; true: the server is about to stop. */
bool sa_link__say_news(sa_link_t *link);
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
/* Is the link to stop, or to begin again with other settings or credentials? */
bool sa_link__is_interrupted(sa_link_t *link);
/* Is an attempt to be given up: interrupted, or on a network that has changed meanwhile? */
bool sa_link__is_moot(sa_link_t *link);
/* The connection, or NULL while down; give it back. */
sa_link__conn_t *sa_link__acquire(sa_link_t *link);
void sa_link__release(sa_link__conn_t *conn);

#endif
