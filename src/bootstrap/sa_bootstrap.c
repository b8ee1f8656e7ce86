/* bootstrap: one visit to the platform, from beginning to end.
 *
 * The order of what is written: the session as soon as there is one (so that an end before
 * the credentials costs no second login by password), then each document, last the session
 * with the document's revision.  A revision that we have therefore always has its document. */
#include "sa_bootstrap_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <apr_atomic.h>
#include <apr_strings.h>

#include "sa_os_file.h"
#include "sa_pool.h"
#include "sa_random.h"
#include "sa_time.h"

#define VISIT_TIME apr_time_from_sec(110)
#define LOCK_TIME apr_time_from_sec(30)
#define LOCK_LOOK apr_time_from_msec(250)
/* So many times at the shortest pause, then more and more slowly. */
#define DEACTIVATED_QUICK 10
#define LOGIN_SLACK apr_time_from_msec(200)

/* ---- ends -------------------------------------------------------------------------- */

static const char *const state_names[] = {
    [SA_BOOTSTRAP_CURRENT] = "current",
    [SA_BOOTSTRAP_NOT_PROVISIONED] = "not provisioned",
    [SA_BOOTSTRAP_DEACTIVATED] = "deactivated",
    [SA_BOOTSTRAP_REFUSED] = "refused",
    [SA_BOOTSTRAP_NO_PASSWORD] = "no password",
    [SA_BOOTSTRAP_WRONG_THING] = "wrong thing",
    [SA_BOOTSTRAP_NOT_OFFERED] = "not offered",
    [SA_BOOTSTRAP_LIMITED] = "limited",
    [SA_BOOTSTRAP_AWAY] = "away",
    [SA_BOOTSTRAP_UNTRUSTED] = "untrusted",
    [SA_BOOTSTRAP_CREDS_BAD] = "credentials bad",
    [SA_BOOTSTRAP_CREDS_REFUSED] = "credentials refused",
    [SA_BOOTSTRAP_FILES] = "files",
    [SA_BOOTSTRAP_STOPPED] = "stopped",
};

const char *sa_bootstrap_state_name(sa_bootstrap_state_t state)
{
    return state_names[state];
}

bool sa_bootstrap__end(sa_bootstrap__visit_t *visit, sa_bootstrap_state_t state,
                       const char *format, ...)
{
    va_list arguments;

    visit->result->state = state;
    va_start(arguments, format);
    vsnprintf(visit->result->words, sizeof(visit->result->words), format, arguments);
    va_end(arguments);
    return false;
}

bool sa_bootstrap__end_error(sa_bootstrap__visit_t *visit, sa_bootstrap_state_t state,
                             sa_error_t *err, const char *what)
{
    char text[sizeof(visit->result->words)];

    sa_bootstrap__end(visit, state, "%s: %s", what, sa_error_text(err, text, sizeof(text)));
    sa_error_clear(err);
    return false;
}

/* What was said last: the same again is no news, for as long as it lasts.  One visit at a
 * time. */
static struct {
    sa_bootstrap_state_t state;
    char words[sizeof(((sa_bootstrap_result_t *)0)->words)];
} said = { .state = SA_BOOTSTRAP_CURRENT };

static bool is_news(const sa_bootstrap_result_t *result)
{
    bool news = result->state != said.state || strcmp(result->words, said.words) != 0;

    said.state = result->state;
    memcpy(said.words, result->words, sizeof(said.words));
    return news && result->state != SA_BOOTSTRAP_STOPPED;
}

/* One event for each state: what to do differs. */
static void say(const sa_bootstrap__visit_t *visit)
{
    const char *words = visit->result->words;
    const char *url = visit->config->platform_url;

    switch (visit->result->state) {
    case SA_BOOTSTRAP_CURRENT:
        SA_LOG(identity_current, SA_S("url", url));
        break;
    case SA_BOOTSTRAP_STOPPED:
        break;
    case SA_BOOTSTRAP_NOT_PROVISIONED:
        SA_LOG(identity_not_provisioned, SA_S("url", url), SA_S("reason", words));
        break;
    case SA_BOOTSTRAP_DEACTIVATED:
        SA_LOG(identity_deactivated, SA_S("url", url), SA_S("reason", words));
        break;
    case SA_BOOTSTRAP_REFUSED:
        SA_LOG(identity_refused, SA_S("url", url), SA_S("reason", words));
        break;
    case SA_BOOTSTRAP_NO_PASSWORD:
        SA_LOG(identity_no_password, SA_S("url", url), SA_S("reason", words));
        break;
    case SA_BOOTSTRAP_WRONG_THING:
        SA_LOG(identity_wrong_thing, SA_S("url", url), SA_S("reason", words));
        break;
    case SA_BOOTSTRAP_NOT_OFFERED:
        SA_LOG(identity_not_offered, SA_S("url", url), SA_S("reason", words));
        break;
    case SA_BOOTSTRAP_LIMITED:
        SA_LOG(identity_limited, SA_S("url", url), SA_S("reason", words));
        break;
    case SA_BOOTSTRAP_AWAY:
        SA_LOG(identity_away, SA_S("url", url), SA_S("reason", words));
        break;
    case SA_BOOTSTRAP_UNTRUSTED:
        SA_LOG(identity_untrusted, SA_S("url", url), SA_S("reason", words));
        break;
    case SA_BOOTSTRAP_CREDS_BAD:
        SA_LOG(identity_creds_bad, SA_S("url", url), SA_S("reason", words));
        break;
    case SA_BOOTSTRAP_CREDS_REFUSED:
        SA_LOG(identity_creds_refused, SA_S("url", url), SA_S("reason", words));
        break;
    case SA_BOOTSTRAP_FILES:
        SA_LOG(identity_files, SA_S("reason", words));
        break;
    }
}

/* ---- the way in ------------------------------------------------------------------------ */

/* Whoever logs in must be us: credentials of another Thing would make two machines one. */
static bool check_thing(sa_bootstrap__visit_t *visit)
{
    const char *code = sa_json_text(visit->record, "code");

    if (code && strcmp(code, visit->config->code) == 0) {
        return true;
    }
    visit->session.token = "";
    return sa_bootstrap__end(visit, SA_BOOTSTRAP_WRONG_THING, "the login is of the Thing "
                             "\"%.64s\", this machine's code is \"%s\"", code ? code : "",
                             visit->config->code);
}

static bool enter(sa_bootstrap__visit_t *visit)
{
    if (visit->want != SA_BOOTSTRAP_LOGIN && visit->session.token[0]
        && !sa_bootstrap__refresh(visit)) {
        return false;
    }
    if (!visit->record && !sa_bootstrap__login(visit)) {
        return false;
    }
    return check_thing(visit) && sa_bootstrap__session_write(visit);
}

/* Another record than ours: its revision says nothing about what we have. */
static void note_record(const char **id, const char **revision, const cJSON *record,
                        const char *name)
{
    const char *now = sa_json_text(record, name);

    if (!now || strcmp(now, *id) != 0) {
        *id = now && sa_bootstrap__is_id(now) ? now : "";
        *revision = "";
    }
}

/* The credentials, and what else there is to fetch also when those are no good: the overlay
 * may be the road to whoever mends them. */
static bool place_all(sa_bootstrap__visit_t *visit)
{
    sa_bootstrap_result_t *result = visit->result;
    bool placed = sa_bootstrap__place_creds(visit);
    sa_bootstrap_result_t first = *result;

    if (!placed && first.state != SA_BOOTSTRAP_CREDS_BAD
        && first.state != SA_BOOTSTRAP_CREDS_REFUSED) {
        return false;
    }
    if (!sa_bootstrap__place_nebula(visit) && placed) {
        return false;
    }
    if (!placed) {
        result->state = first.state;
        memcpy(result->words, first.words, sizeof(first.words));
    }
    return placed;
}

static bool visit_platform(sa_bootstrap__visit_t *visit)
{
    sa_bootstrap__session_t *session = &visit->session;

    if (!enter(visit)) {
        return false;
    }
    note_record(&session->nats_user, &session->nats_revision, visit->record, "nats_user");
    note_record(&session->nebula_host, &session->nebula_revision, visit->record, "nebula_host");
    if (!sa_bootstrap__place_remote(visit)) {
        return false;
    }
    if (!session->nats_user[0]) {
        return sa_bootstrap__place_nebula(visit) && sa_bootstrap__session_write(visit)
               && sa_bootstrap__end(visit, SA_BOOTSTRAP_NOT_PROVISIONED,
                                    "the Thing has no NATS identity yet");
    }
    if (visit->want == SA_BOOTSTRAP_ROTATE && !sa_bootstrap__rotate(visit)) {
        return false;
    }
    if (!place_all(visit)) {
        return false;
    }
    session->synced_at = sa_time_now();
    return sa_bootstrap__session_write(visit);
}

/* ---- the face ---------------------------------------------------------------------------- */

static bool is_stopped(const sa_bootstrap__visit_t *visit)
{
    return visit->stop && apr_atomic_read32((volatile apr_uint32_t *)visit->stop) != 0;
}

/* The agent and a person with `bootstrap` do not write at the same time. */
static bool take_turn(sa_bootstrap__visit_t *visit)
{
    const char *path = apr_pstrcat(visit->pool, visit->config->paths_state, "/platform.lock", NULL);
    apr_interval_time_t until = sa_time_mono() + LOCK_TIME;
    sa_error_t *err = sa_os_file_lock(path, visit->pool);

    while (err && err->code == SA_ERR_ALREADY_RUNNING && !is_stopped(visit)
           && sa_time_mono() < until) {
        sa_error_clear(err);
        apr_sleep(LOCK_LOOK);
        err = sa_os_file_lock(path, visit->pool);
    }
    if (err && is_stopped(visit)) {
        sa_error_clear(err);
        return sa_bootstrap__end(visit, SA_BOOTSTRAP_STOPPED, "stopped");
    }
    return !err || sa_bootstrap__end_error(visit, SA_BOOTSTRAP_FILES, err,
                                           "cannot begin a visit to the platform");
}

static bool prepare(sa_bootstrap__visit_t *visit)
{
    size_t length = strlen(visit->config->platform_url);
    sa_error_t *err = sa_os_dir_create_private(visit->config->paths_state, visit->pool);

    while (length > 0 && visit->config->platform_url[length - 1] == '/') {
        length--;
    }
    visit->base = apr_pstrmemdup(visit->pool, visit->config->platform_url, length);
    if (err) {
        return sa_bootstrap__end_error(visit, SA_BOOTSTRAP_FILES, err,
                                       "cannot use the state directory (paths.state)");
    }
    return take_turn(visit);
}

void sa_bootstrap_visit(sa_bootstrap_result_t *result, const sa_config_t *config,
                        sa_bootstrap_want_t want, const sa_bootstrap_bus_t *bus,
                        const volatile apr_uint32_t *stop, apr_pool_t *scratch_pool)
{
    apr_pool_t *pool = sa_pool_create(scratch_pool);
    sa_bootstrap__visit_t visit = {
        .config = config, .want = want, .bus = bus, .stop = stop, .result = result, .pool = pool,
        .deadline = sa_time_mono() + VISIT_TIME
    };

    memset(result, 0, sizeof(*result));
    if (prepare(&visit)) {
        sa_bootstrap__session_read(&visit.session, config, pool);
        if (visit_platform(&visit)) {
            result->state = SA_BOOTSTRAP_CURRENT;
        }
        result->session_expires = visit.session.expires;
    }
    if (is_news(result)) {
        say(&visit);
    }
    apr_pool_destroy(pool);
}

/* ---- when to come again -------------------------------------------------------------------- */

typedef struct pause_t {
    apr_interval_time_t first;
    apr_interval_time_t most;
} pause_t;

/* Slow where only a person can change it, quick where time will. */
static const pause_t pauses[] = {
    [SA_BOOTSTRAP_CURRENT] = {0, 0},
    [SA_BOOTSTRAP_NOT_PROVISIONED] = {apr_time_from_sec(30), apr_time_from_sec(600)},
    [SA_BOOTSTRAP_DEACTIVATED] = {apr_time_from_sec(60), apr_time_from_sec(300)},
    [SA_BOOTSTRAP_REFUSED] = {apr_time_from_sec(120), apr_time_from_sec(3600)},
    [SA_BOOTSTRAP_NO_PASSWORD] = {apr_time_from_sec(60), apr_time_from_sec(600)},
    [SA_BOOTSTRAP_WRONG_THING] = {apr_time_from_sec(300), apr_time_from_sec(3600)},
    [SA_BOOTSTRAP_NOT_OFFERED] = {apr_time_from_sec(120), apr_time_from_sec(3600)},
    [SA_BOOTSTRAP_LIMITED] = {apr_time_from_sec(30), apr_time_from_sec(600)},
    [SA_BOOTSTRAP_AWAY] = {apr_time_from_sec(5), apr_time_from_sec(600)},
    [SA_BOOTSTRAP_UNTRUSTED] = {apr_time_from_sec(60), apr_time_from_sec(3600)},
    [SA_BOOTSTRAP_CREDS_BAD] = {apr_time_from_sec(60), apr_time_from_sec(3600)},
    [SA_BOOTSTRAP_CREDS_REFUSED] = {apr_time_from_sec(15), apr_time_from_sec(600)},
    [SA_BOOTSTRAP_FILES] = {apr_time_from_sec(30), apr_time_from_sec(600)},
    [SA_BOOTSTRAP_STOPPED] = {apr_time_from_sec(5), apr_time_from_sec(60)},
};

/* Uniform in [LENGTH / 2, LENGTH): a crowd that failed together does not come together. */
static apr_interval_time_t jitter(apr_interval_time_t length)
{
    sa_random_t random;

    sa_random_init(&random);
    return length / 2 + (apr_interval_time_t)sa_random_below(&random,
                                                             (apr_uint64_t)(length - length / 2));
}

apr_interval_time_t sa_bootstrap_interval(const sa_config_t *config)
{
    apr_interval_time_t length = config->platform_sync_interval;
    apr_interval_time_t overlay = config->nebula_enabled ? config->nebula_sync_interval : 0;

    return overlay > 0 && overlay < length ? overlay : length;
}

apr_interval_time_t sa_bootstrap_pause(const sa_bootstrap_result_t *result, apr_uint32_t count,
                                       const sa_config_t *config)
{
    const pause_t *pause = &pauses[result->state];
    apr_interval_time_t length = pause->first;
    apr_interval_time_t wait;

    if (result->state == SA_BOOTSTRAP_CURRENT) {
        length = sa_bootstrap_interval(config);
        /* a tenth is enough: they came at different times */
        return length == 0 ? 0 : length - length / 10 + jitter(length / 10 * 2) - length / 10;
    }
    if (result->state == SA_BOOTSTRAP_DEACTIVATED && count <= DEACTIVATED_QUICK) {
        /* perhaps by mistake: as soon as another login may be tried */
        return SA_BOOTSTRAP_LOGIN_APART + jitter(LOGIN_SLACK);
    }
    while (count > 1 && length < pause->most) {
        length *= 2;
        count--;
    }
    wait = jitter(length < pause->most ? length : pause->most);
    return wait > result->retry_after ? wait : result->retry_after + jitter(LOGIN_SLACK);
}

void sa_bootstrap_look(sa_bootstrap_place_t *place, const sa_config_t *config,
                       apr_pool_t *scratch_pool)
{
    apr_pool_t *pool = sa_pool_create(scratch_pool);
    sa_bootstrap__session_t session;

    sa_bootstrap__session_read(&session, config, pool);
    place->has_creds = sa_os_file_exists(config->nats_creds_file, pool);
    place->has_session = session.token[0] != '\0';
    place->synced_at = session.synced_at;
    apr_pool_destroy(pool);
}
