/* Identity: what the platform gives a Thing, fetched, checked, put in place, kept fresh.
 *
 * One call is one visit to the platform (PocketBase), from a login or a kept session to
 * files that are on the disk: it blocks, within a deadline, and belongs to a thread that is
 * started for it.  Nothing waits in here between two visits; when the next one is due
 * is answered, not acted upon.
 *
 * What lies in the state directory, each file private, whole or not there, and replaced
 * by rename(2):
 *   platform-session.json   the token, whose it is, and which revisions we have
 *   nats.creds              (nats.auth.creds_file) what the bus is shown
 *   platform-config.json    what the platform may set (sa_config.h reads it)
 *   nebula/platform.yaml    (nebula.config_file) the overlay's document, as it came
 * The order in which they are written is such that an end at any moment costs one
 * more fetch and nothing else.
 *
 * It does not know the bus: whether credentials are good is asked of the caller. */
#ifndef SA_BOOTSTRAP_H
#define SA_BOOTSTRAP_H

#include <stdbool.h>

#include <apr_pools.h>
#include <apr_time.h>

#include "sa_config.h"
#include "sa_error.h"

/* Two questions to whoever knows the bus.  In the visit's thread. */
typedef struct sa_bootstrap_bus_t {
    void *baton;
    /* Is TEXT a .creds file whose seed belongs to its JWT, and which has not expired?
     * SA_ERR_FILE_CONTENT says what is wrong, without a word of it. */
    sa_error_t *(*check)(void *baton, const char *text, apr_pool_t *scratch_pool);
    /* Is the file PATH let in?  On a connection beside the one that is there, within
     * TIMEOUT.  SA_ERR_LINK_AUTH: refused.  Any other error: not known, the bus is away.
     * NULL: nobody asks. */
    sa_error_t *(*try)(void *baton, const char *path, apr_interval_time_t timeout,
                       apr_pool_t *scratch_pool);
} sa_bootstrap_bus_t;

typedef enum sa_bootstrap_want_t {
    SA_BOOTSTRAP_SYNC,          /* refresh, compare revisions, fetch what moved */
    SA_BOOTSTRAP_RENEW,         /* the same, and fetch the credentials in any case */
    SA_BOOTSTRAP_ROTATE,        /* have new ones made first */
    SA_BOOTSTRAP_LOGIN          /* with the password, and all of it anew */
} sa_bootstrap_want_t;

/* What a visit came to.  Each but CURRENT has an event of its own. */
typedef enum sa_bootstrap_state_t {
    SA_BOOTSTRAP_CURRENT,           /* all is there and up to date */
    SA_BOOTSTRAP_NOT_PROVISIONED,   /* the Thing has no NATS identity yet */
    SA_BOOTSTRAP_DEACTIVATED,       /* 403 to a login or refresh; active is false */
    SA_BOOTSTRAP_REFUSED,           /* 400: identity or password are not right */
    SA_BOOTSTRAP_NO_PASSWORD,       /* the session is over, and there is no password here */
    SA_BOOTSTRAP_WRONG_THING,       /* it is another Thing's login: code differs */
    SA_BOOTSTRAP_NOT_OFFERED,       /* 404, 403 of another kind, MFA: not such a platform */
    SA_BOOTSTRAP_LIMITED,           /* 429 */
    SA_BOOTSTRAP_AWAY,              /* no answer, 5xx, or one that is not PocketBase's */
    SA_BOOTSTRAP_UNTRUSTED,         /* TLS: certificate or pin */
    SA_BOOTSTRAP_CREDS_BAD,         /* what came is not a .creds file of ours */
    SA_BOOTSTRAP_CREDS_REFUSED,     /* the bus does not let the new ones in: the old stay */
    SA_BOOTSTRAP_FILES,             /* the disk: nothing was changed */
    SA_BOOTSTRAP_STOPPED            /* the agent stops */
} sa_bootstrap_state_t;

typedef struct sa_bootstrap_result_t {
    sa_bootstrap_state_t state;
    bool logged_in;             /* by password */
    bool creds_changed;         /* there is a new nats.creds: connect anew */
    bool remote_changed;        /* there is a new platform-config.json: read it */
    bool nebula_changed;
    apr_time_t session_expires; /* 0: not known */
    apr_interval_time_t retry_after;    /* as the server asked; 0: it did not */
    char words[256];            /* for people; "" when CURRENT */
} sa_bootstrap_result_t;

/* One at a time in the process and on the machine: a lock file, whose holder is waited for
 * 30 s.  Ends within two minutes, and soon after *STOP became true.  Logs what it did
 * and why not.  Never fails without a state: that is in *RESULT. */
void sa_bootstrap_visit(sa_bootstrap_result_t *result, const sa_config_t *config,
                        sa_bootstrap_want_t want, const sa_bootstrap_bus_t *bus,
                        const volatile apr_uint32_t *stop, apr_pool_t *scratch_pool);

/* Between two visits that find all up to date, without jitter: platform.sync_interval, or
 * nebula.sync_interval where the overlay is wanted more often.  0: never. */
apr_interval_time_t sa_bootstrap_interval(const sa_config_t *config);

/* How long to wait before the next visit: COUNT is how many in a row have come to
 * this state.  With jitter.  0: never, until something changes (platform.sync_interval 0). */
apr_interval_time_t sa_bootstrap_pause(const sa_bootstrap_result_t *result, apr_uint32_t count,
                                       const sa_config_t *config);

/* What is in place, without asking anybody: for the start, health and people. */
typedef struct sa_bootstrap_place_t {
    bool has_creds;
    bool has_session;
    apr_time_t synced_at;       /* 0: never */
} sa_bootstrap_place_t;
void sa_bootstrap_look(sa_bootstrap_place_t *place, const sa_config_t *config,
                       apr_pool_t *scratch_pool);

/* "current", "not provisioned", ... for health, status and the log. */
const char *sa_bootstrap_state_name(sa_bootstrap_state_t state);

#endif
