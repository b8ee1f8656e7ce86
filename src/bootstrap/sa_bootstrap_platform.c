/* bootstrap: what is asked of the platform, and what its answers mean.
 *
 * PocketBase 0.39 with the collections of the platform: things, nats_users, nebula_hosts.
 * Its errors are {"data":{},"message":"...","status":N}; what has another form comes from
 * something between us and it. */
#include "sa_bootstrap_private.h"

#include <ctype.h>
#include <string.h>

#include <apr_strings.h>

#include "sa_http.h"
#include "sa_time.h"

#define REQUEST_TIME apr_time_from_sec(30)
#define ANSWER_LIMIT ((size_t)256 * 1024)
#define TOKEN_MAX ((size_t)8 * 1024)
/* Without the version: the platform takes another agent for another place. */
#define USER_AGENT "stone-age-agent"

#define AUTH "/api/collections/things/"
/* What is asked for along with a refresh.  An older platform may not know the fields and
 * send more, or not the expansion: neither is relied upon. */
#define REFRESH_QUERY \
    "?expand=nats_user,nebula_host&fields=token,record.id,record.code,record.metadata," \
    "record.nats_user,record.nebula_host,record.expand.nats_user.id," \
    "record.expand.nats_user.updated,record.expand.nebula_host.id," \
    "record.expand.nebula_host.updated"

typedef struct answer_t {
    long status;
    cJSON *json;                /* NULL: not an object */
    const char *message;        /* of an error of PocketBase's; "" */
} answer_t;

/* ---- asking ---------------------------------------------------------------------------- */

static bool end_transfer(sa_bootstrap__visit_t *visit, sa_error_t *err, bool untrusted)
{
    if (sa_error_has(err, SA_ERR_CANCELLED)) {
        sa_error_clear(err);
        return sa_bootstrap__end(visit, SA_BOOTSTRAP_STOPPED, "stopped");
    }
    return sa_bootstrap__end_error(visit, untrusted ? SA_BOOTSTRAP_UNTRUSTED : SA_BOOTSTRAP_AWAY,
                                   err, "no answer from the platform");
}

static sa_http_request_t make_request(const sa_bootstrap__visit_t *visit, const char *path)
{
    const sa_config_t *config = visit->config;
    apr_interval_time_t left = visit->deadline - sa_time_mono();

    if (left < apr_time_from_sec(1)) {
        left = apr_time_from_sec(1);
    }
    return (sa_http_request_t){
        .url = apr_pstrcat(visit->pool, visit->base, path, NULL), .accept = "application/json",
        .user_agent = USER_AGENT, .timeout = left < REQUEST_TIME ? left : REQUEST_TIME,
        .limit_bytes = ANSWER_LIMIT, .ca_file = config->platform_ca_file[0]
                                                    ? config->platform_ca_file : NULL,
        .pin_sha256 = config->platform_pin[0] ? config->platform_pin : NULL
    };
}

/* The bus's settings: the same network lies between. */
static bool read_proxy(sa_http_proxy_t *proxy, sa_bootstrap__visit_t *visit)
{
    sa_http_proxy_choice_t choice;
    sa_error_t *err;

    sa_http_proxy_choose(&choice, visit->config, visit->pool);
    err = sa_http_proxy_read(proxy, &choice, visit->pool);
    return !err || sa_bootstrap__end_error(visit, SA_BOOTSTRAP_AWAY, err,
                                           "no way to the platform");
}

/* True: there is an answer, whatever it says. */
static bool ask(answer_t *answer, sa_bootstrap__visit_t *visit, sa_http_request_t *request)
{
    sa_http_response_t response = {0};
    sa_http_proxy_t proxy;
    sa_error_t *err;

    if (!read_proxy(&proxy, visit)) {
        return false;
    }
    request->proxy = &proxy;
    err = sa_http_fetch(&response, request, visit->stop, visit->pool);
    request->proxy = NULL;
    if (err && response.status == 0) {
        return end_transfer(visit, err, response.untrusted);
    }
    sa_error_clear(err);
    *answer = (answer_t){ .status = response.status, .message = "" };
    visit->result->retry_after = response.retry_after;
    err = sa_json_parse(&answer->json, response.data, response.length, visit->pool);
    if (err) {
        sa_error_clear(err);
        answer->json = NULL;
        return true;
    }
    sa_bootstrap__wipe_json_later(answer->json, visit->pool);
    if (sa_json_text(answer->json, "message")) {
        answer->message = sa_json_text(answer->json, "message");
    }
    return true;
}

static bool is_ok(const answer_t *answer)
{
    return answer->status >= 200 && answer->status < 300;
}

/* ---- what an error means ----------------------------------------------------------------- */

static bool is_inactive(const answer_t *answer)
{
    return answer->status == 403 && strstr(answer->message, "requirements to authenticate");
}

static bool is_strange(const answer_t *answer)
{
    return !answer->json || answer->status >= 500;
}

/* The name of a field that PocketBase complains about; NULL: none. */
static const char *field_of(const answer_t *answer)
{
    const cJSON *data = cJSON_GetObjectItem(answer->json, "data");

    return data && data->child ? data->child->string : NULL;
}

/* What every request has in common.  Returns false. */
static bool end_answer(sa_bootstrap__visit_t *visit, const answer_t *answer, const char *what)
{
    long status = answer->status;

    if (status == 429) {
        return sa_bootstrap__end(visit, SA_BOOTSTRAP_LIMITED,
                                 "%s: the platform has had too many requests from here", what);
    }
    if (status >= 300 && status < 400) {
        return sa_bootstrap__end(visit, SA_BOOTSTRAP_NOT_OFFERED, "%s: the platform sends us to "
                                 "another address (status %ld), which is not followed; put "
                                 "the final one into platform.url", what, status);
    }
    if (is_strange(answer)) {
        return sa_bootstrap__end(visit, SA_BOOTSTRAP_AWAY, "%s: what answers (status %ld) is not "
                                 "the platform, or something before it", what, status);
    }
    if (status == 404) {
        return sa_bootstrap__end(visit, SA_BOOTSTRAP_NOT_OFFERED, "%s: not found (404); check "
                                 "platform.url, and that the Thing may read it", what);
    }
    return sa_bootstrap__end(visit, SA_BOOTSTRAP_NOT_OFFERED, "%s: status %ld: %.100s", what,
                             status, answer->message);
}

/* ---- being in -------------------------------------------------------------------------- */

bool sa_bootstrap__is_id(const char *text)
{
    size_t length = strlen(text);

    return length > 0 && length <= SA_BOOTSTRAP_ID_MAX
           && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
                  == length;
}

/* The token's own `exp` (RFC 7519): for people and for health. */
static apr_time_t expiry_of(const char *token, apr_pool_t *pool)
{
    cJSON *claims;
    double seconds = 0;
    sa_error_t *err = sa_json_claims(&claims, token, pool);

    if (err) {
        sa_error_clear(err);
        return 0;
    }
    return sa_json_number(claims, "exp", &seconds) && seconds > 0 && seconds < 1e11
               ? apr_time_from_sec((apr_int64_t)seconds) : 0;
}

/* It becomes a header. */
static bool is_token(const char *token)
{
    for (const char *c = token; *c; c++) {
        if (!isgraph((unsigned char)*c)) {
            return false;
        }
    }
    return *token && strlen(token) <= TOKEN_MAX;
}

/* ANSWER is a 2xx to a login or refresh. */
static bool take_session(sa_bootstrap__visit_t *visit, const answer_t *answer, const char *what)
{
    const char *token = sa_json_text(answer->json, "token");
    const cJSON *record = cJSON_GetObjectItem(answer->json, "record");

    if (!token || !is_token(token) || !cJSON_IsObject(record)) {
        return sa_bootstrap__end(visit, SA_BOOTSTRAP_AWAY, "%s: what answers is not the platform, "
                                 "or something before it", what);
    }
    visit->session.token = token;
    visit->session.expires = expiry_of(token, visit->pool);
    visit->record = record;
    return true;
}

bool sa_bootstrap__refresh(sa_bootstrap__visit_t *visit)
{
    sa_http_request_t request = make_request(visit, AUTH "auth-refresh" REFRESH_QUERY);
    answer_t answer;

    request.token = visit->session.token;
    request.post = "";
    if (!ask(&answer, visit, &request)) {
        return false;
    }
    if (is_ok(&answer)) {
        return take_session(visit, &answer, "the session");
    }
    if (answer.status == 401 && answer.json) {
        visit->session.token = "";
        visit->session.expires = 0;
        SA_LOG(identity_session_over, SA_S("url", visit->config->platform_url));
        /* it does not come back: nobody is asked about it again */
        return sa_bootstrap__session_write(visit);
    }
    if (is_inactive(&answer)) {
        return sa_bootstrap__end(visit, SA_BOOTSTRAP_DEACTIVATED,
                                 "the Thing is deactivated on the platform");
    }
    return end_answer(visit, &answer, "the session");
}

/* ---- login ----------------------------------------------------------------------------- */

static apr_interval_time_t last_login;      /* monotonic; 0: none yet.  One visit at a time. */

static bool is_too_soon(sa_bootstrap__visit_t *visit)
{
    apr_interval_time_t next = last_login == 0 ? 0 : last_login + SA_BOOTSTRAP_LOGIN_APART;
    apr_interval_time_t wait = next - sa_time_mono();

    if (wait <= 0) {
        return false;
    }
    visit->result->retry_after = wait;
    sa_bootstrap__end(visit, SA_BOOTSTRAP_LIMITED, "the next login by password is due in a minute");
    return true;
}

static const char *login_body(sa_bootstrap__visit_t *visit, const char *password)
{
    cJSON *json = sa_json_object(visit->pool);

    sa_bootstrap__wipe_json_later(json, visit->pool);
    cJSON_AddStringToObject(json, "identity", visit->config->platform_identity);
    cJSON_AddStringToObject(json, "password", password);
    return sa_json_print_secret(json, NULL, visit->pool);
}

static bool read_password(const char **password, sa_bootstrap__visit_t *visit)
{
    sa_error_t *err = sa_secret_read(password, &visit->config->platform_password, visit->pool);

    return !err || sa_bootstrap__end_error(visit, SA_BOOTSTRAP_NO_PASSWORD, err,
                                           "a login by password is needed");
}

static bool end_login(sa_bootstrap__visit_t *visit, const answer_t *answer)
{
    static const char what[] = "the login";

    if (answer->json && answer->status == 400) {
        const char *field = field_of(answer);

        return field ? sa_bootstrap__end(visit, SA_BOOTSTRAP_REFUSED, "%s: the platform does not "
                                         "take the value of %.32s", what, field)
                     : sa_bootstrap__end(visit, SA_BOOTSTRAP_REFUSED, "%s: platform.identity or "
                                         "platform.password is not right", what);
    }
    if (is_inactive(answer)) {
        return sa_bootstrap__end(visit, SA_BOOTSTRAP_DEACTIVATED,
                                 "the Thing is deactivated on the platform");
    }
    if (answer->status == 401 && sa_json_text(answer->json, "mfaId")) {
        return sa_bootstrap__end(visit, SA_BOOTSTRAP_NOT_OFFERED, "%s: the platform asks for a "
                                 "second factor, which a machine does not have", what);
    }
    return end_answer(visit, answer, what);
}

bool sa_bootstrap__login(sa_bootstrap__visit_t *visit)
{
    sa_http_request_t request = make_request(visit, AUTH "auth-with-password"
                                             "?expand=nats_user,nebula_host");
    const char *password = NULL;
    answer_t answer;

    if (!read_password(&password, visit) || is_too_soon(visit)) {
        return false;
    }
    request.post = login_body(visit, password);
    last_login = sa_time_mono();
    if (!ask(&answer, visit, &request)) {
        return false;
    }
    if (!is_ok(&answer)) {
        return end_login(visit, &answer);
    }
    if (!take_session(visit, &answer, "the login")) {
        return false;
    }
    visit->result->logged_in = true;
    SA_LOG(identity_logged_in, SA_S("url", visit->config->platform_url),
           SA_S("identity", visit->config->platform_identity));
    return true;
}

/* ---- the rest -------------------------------------------------------------------------- */

bool sa_bootstrap__rotate(sa_bootstrap__visit_t *visit)
{
    sa_http_request_t request = make_request(visit, "/api/me/nats-creds/rotate");
    answer_t answer;

    request.token = visit->session.token;
    request.post = "";
    if (!ask(&answer, visit, &request)) {
        return false;
    }
    if (!is_ok(&answer)) {
        return end_answer(visit, &answer, "the rotation");
    }
    visit->session.nats_revision = "";
    return true;
}

bool sa_bootstrap__read(cJSON **record, sa_bootstrap__visit_t *visit, const char *collection,
                        const char *id, const char *fields)
{
    const char *path = apr_pstrcat(visit->pool, "/api/collections/", collection, "/records/", id,
                                   fields ? "?fields=" : "", fields ? fields : "", NULL);
    sa_http_request_t request = make_request(visit, path);
    answer_t answer;

    request.token = visit->session.token;
    if (!ask(&answer, visit, &request)) {
        return false;
    }
    if (!is_ok(&answer) || !answer.json) {
        return end_answer(visit, &answer, collection);
    }
    *record = answer.json;
    return true;
}
