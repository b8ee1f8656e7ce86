/* bootstrap, private: what its files share. */
#ifndef SA_BOOTSTRAP_PRIVATE_H
#define SA_BOOTSTRAP_PRIVATE_H

#include "sa_bootstrap.h"
#include "sa_json.h"
#include "sa_log.h"

/* A record's id: letters, digits, _ and -; it becomes part of a URL. */
#define SA_BOOTSTRAP_ID_MAX 64
/* Two logins by password are this far apart: the platform limits them, and mails about
 * each from a place that it does not know. */
#define SA_BOOTSTRAP_LOGIN_APART apr_time_from_sec(60)

/* What is kept between two visits.  Texts are never NULL. */
typedef struct sa_bootstrap__session_t {
    const char *url;            /* whose it is: another url or identity begins anew */
    const char *identity;
    const char *token;          /* "": over */
    apr_time_t expires;         /* of the token, as it says itself; 0: it does not */
    const char *nats_user;      /* id of the record that nats.creds came from */
    const char *nats_revision;  /* its `updated`; "": not known, fetch */
    const char *nebula_host;    /* the same of the overlay's document */
    const char *nebula_revision;
    apr_time_t synced_at;       /* the last visit that found all current; 0: none */
} sa_bootstrap__session_t;

typedef struct sa_bootstrap__visit_t {
    const sa_config_t *config;
    sa_bootstrap_want_t want;
    const sa_bootstrap_bus_t *bus;
    const volatile apr_uint32_t *stop;
    apr_interval_time_t deadline;       /* monotonic */
    sa_bootstrap_result_t *result;
    sa_bootstrap__session_t session;
    const char *base;                   /* platform.url without a slash at its end */
    const cJSON *record;                /* the Thing, once we are in */
    apr_pool_t *pool;                   /* what is in it is wiped where it is secret */
} sa_bootstrap__visit_t;

/* The visit is over with STATE; the words are for people.  Returns false. */
bool sa_bootstrap__end(sa_bootstrap__visit_t *visit, sa_bootstrap_state_t state,
                       const char *format, ...) SA_PRINTF(3, 4);
/* The same because of ERR, which is taken. */
bool sa_bootstrap__end_error(sa_bootstrap__visit_t *visit, sa_bootstrap_state_t state,
                             sa_error_t *err, const char *what);

/* ---- sa_bootstrap_platform.c: the HTTP API.  Each: false, the visit is over. */
/* Get in with the session's token.  True with visit->record NULL: the session is over. */
bool sa_bootstrap__refresh(sa_bootstrap__visit_t *visit);
/* Get in with the password. */
bool sa_bootstrap__login(sa_bootstrap__visit_t *visit);
/* Have new NATS credentials made. */
bool sa_bootstrap__rotate(sa_bootstrap__visit_t *visit);
/* Read one record; FIELDS separated by commas, NULL: all. */
bool sa_bootstrap__read(cJSON **record, sa_bootstrap__visit_t *visit, const char *collection,
                        const char *id, const char *fields);
/* Can TEXT be a record's id? */
bool sa_bootstrap__is_id(const char *text);

/* ---- sa_bootstrap_session.c */
/* What is on the disk, if it is of the same url and identity; else an empty one. */
void sa_bootstrap__session_read(sa_bootstrap__session_t *session, const sa_config_t *config,
                                apr_pool_t *pool);
bool sa_bootstrap__session_write(sa_bootstrap__visit_t *visit);

/* ---- sa_bootstrap_place.c: what was fetched, into place.  False: the visit is over. */
bool sa_bootstrap__place_creds(sa_bootstrap__visit_t *visit);
bool sa_bootstrap__place_remote(sa_bootstrap__visit_t *visit);
bool sa_bootstrap__place_nebula(sa_bootstrap__visit_t *visit);

/* ---- secrets in memory */
/* Overwrite all text in JSON when POOL goes. */
void sa_bootstrap__wipe_json_later(cJSON *json, apr_pool_t *pool);

#endif
