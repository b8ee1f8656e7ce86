/* The link and who it says it is: each kind right and wrong, and what a server
 * lets it do, against real servers. */
#include "test_link_fixture.h"

#include <stdlib.h>

#include <apr_strings.h>

#include "sa_time.h"
#include "test_link_jwt.h"

static void expect_up(fixture_t *fixture)
{
    fixture_wait_ups(fixture, 1);
    SA_ASSERT_OK(sa_link_probe(fixture->link, LIMIT));
    fixture_close(fixture);
}

static void expect_refusal(fixture_t *fixture, const char *event, const char *text)
{
    fixture_wait_log(fixture, event, text);
    ck_assert_int_eq(fixture->ups, 0);
    fixture_close(fixture);
}

static void must_not_be_logged(fixture_t *fixture, const char *secret)
{
    ck_assert_ptr_null(strstr(sa_test_read(fixture->log_path, fixture->pool), secret));
}

/* A user's seed: "SU" and 56 letters and digits in all 58 (nkeys).  Other names, such as
 * the server's, may hold the two letters by chance, but are shorter. */
static void no_seed_must_be_logged(fixture_t *fixture)
{
    static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    const char *place = strstr(sa_test_read(fixture->log_path, fixture->pool), "SU");

    for (; place; place = strstr(place + 1, "SU")) {
        ck_assert_uint_lt(strspn(place, base32), 58);
    }
}

/* ---- tokens, users, nkeys --------------------------------------------------- */

/* A password that would end a JSON string, were it not escaped. */
#define HARD "p\\\"w\\\\d\\t{"
#define HARD_PLAIN "p\"w\\d\t{"

static fixture_t *start_token(const char *token, apr_pool_t *pool)
{
    sa_test_server_t *server = sa_test_server_start("authorization { token: \"" HARD "\" }\n", 0,
                                                    pool);
    fixture_t *fixture = fixture_open(pool);
    const char *path = sa_test_file(fixture->dir, "token", token, 0600, pool);

    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server), apr_psprintf(
        pool, "  auth:\n    type: token\n    token_file: %s\n", path)));
    return fixture;
}

SA_TEST(a_right_token_is_let_in)
{
    expect_up(start_token(HARD_PLAIN "\n", pool));
}

SA_TEST(a_wrong_token_is_refused)
{
    fixture_t *fixture = start_token("wrong-secret", pool);

    expect_refusal(fixture, "link_auth_refused", "Authorization Violation");
    must_not_be_logged(fixture, "wrong-secret");
}

static fixture_t *start_user(const char *password, apr_pool_t *pool)
{
    sa_test_server_t *server = sa_test_server_start(
        "authorization { users: [{ user: \"d\", password: \"" HARD "\" }] }\n", 0, pool);
    fixture_t *fixture = fixture_open(pool);

    setenv("SA_TEST_PASSWORD", password, 1);
    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server),
        "  auth:\n    type: userpass\n    username: d\n    password_env: SA_TEST_PASSWORD\n"));
    return fixture;
}

SA_TEST(a_right_password_is_let_in)
{
    expect_up(start_user(HARD_PLAIN, pool));
}

SA_TEST(a_wrong_password_is_refused)
{
    expect_refusal(start_user("wrong-secret", pool), "link_auth_refused",
                   "Authorization Violation");
}

SA_TEST(a_user_in_the_url_is_used_and_never_shown)
{
    sa_test_server_t *server = sa_test_server_start(
        "authorization { users: [{ user: \"d@x\", password: \"pass/word\" }] }\n", 0, pool);
    fixture_t *fixture = fixture_open(pool);
    const char *url = apr_psprintf(pool, "nats://d%%40x:pass%%2fword@127.0.0.1:%d",
                                   sa_test_server_port(server));
    sa_config_t *config = fixture_config_for(fixture, sa_test_server_url(server),
                                             "  auth:\n    type: none\n");
    apr_array_header_t *urls = apr_array_make(pool, 1, sizeof(const char *));
    char text[SA_STAT_TEXT_SIZE];

    /* The configuration lets no such URL through; other callers might. */
    APR_ARRAY_PUSH(urls, const char *) = url;
    config->nats_urls = urls;
    fixture_start(fixture, config);
    fixture_wait_ups(fixture, 1);
    ck_assert_str_eq(sa_stats_text(SA_STAT_TEXT_link_url, text), sa_test_server_url(server));
    sa_test_server_kill(server);
    fixture_wait_log(fixture, "link_refused", "");
    fixture_close(fixture);
    must_not_be_logged(fixture, "pass");
    must_not_be_logged(fixture, "d%40x");
}

static fixture_t *start_nkey(const identity_t *known, const char *seed, int mode,
                             fixture_t *fixture)
{
    sa_test_server_t *server = sa_test_server_start(apr_psprintf(
        fixture->pool, "authorization { users: [{ nkey: %s }] }\n", known->public_key), 0,
        fixture->pool);
    const char *path = sa_test_file(fixture->dir, "seed", seed, mode, fixture->pool);

    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server), apr_psprintf(
        fixture->pool, "  auth:\n    type: nkey\n    nkey_file: %s\n", path)));
    return fixture;
}

SA_TEST(a_known_nkey_is_let_in)
{
    fixture_t *fixture = fixture_open(pool);
    identity_t user;

    identity_create(&user, 'U');
    expect_up(start_nkey(&user, apr_pstrcat(pool, user.seed, "\n", NULL), 0600, fixture));
    must_not_be_logged(fixture, user.seed);
}

SA_TEST(an_unknown_nkey_is_refused)
{
    fixture_t *fixture = fixture_open(pool);
    identity_t known;
    identity_t user;

    identity_create(&known, 'U');
    identity_create(&user, 'U');
    expect_refusal(start_nkey(&known, user.seed, 0600, fixture), "link_auth_refused",
                   "Authorization Violation");
}

SA_TEST(an_nkey_that_is_none_is_said)
{
    fixture_t *fixture = fixture_open(pool);
    identity_t known;

    identity_create(&known, 'U');
    expect_refusal(start_nkey(&known, "SUNONE", 0600, fixture), "link_creds_bad", "seed");
    must_not_be_logged(fixture, "SUNONE");
}

SA_TEST(an_nkey_that_others_can_read_is_refused)
{
    fixture_t *fixture = fixture_open(pool);
    identity_t user;

    identity_create(&user, 'U');
    expect_refusal(start_nkey(&user, user.seed, 0644, fixture), "link_secret_unsafe",
                   "/seed");
}

/* ---- credentials files ------------------------------------------------------- */

static void start_creds(fixture_t *fixture, realm_t *realm, const char *creds, int mode,
                        const char *more)
{
    const char *path = sa_test_file(fixture->dir, "device.creds", creds, mode, fixture->pool);

    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(realm->server),
        apr_psprintf(fixture->pool, "  auth:\n    creds_file: %s\n%s", path, more)));
}

SA_TEST(a_creds_file_is_let_in)
{
    fixture_t *fixture = fixture_open(pool);
    realm_t realm;

    realm_start(&realm, ACCOUNT("-1"), pool);
    start_creds(fixture, &realm, realm_user(&realm, 0, USER(""), pool), 0600, "");
    expect_up(fixture);
    must_not_be_logged(fixture, "eyJ");
    no_seed_must_be_logged(fixture);
}

SA_TEST(creds_are_no_hindrance_to_a_server_that_wants_none)
{
    fixture_t *fixture = fixture_open(pool);
    realm_t realm;

    identity_create(&realm.account, 'A');
    realm.server = sa_test_server_start("", 0, pool);       /* and sends no nonce to sign */
    start_creds(fixture, &realm, realm_user(&realm, 0, USER(""), pool), 0600, "");
    expect_up(fixture);
}

SA_TEST(type_platform_reads_the_same_file)
{
    fixture_t *fixture = fixture_open(pool);
    realm_t realm;

    realm_start(&realm, ACCOUNT("-1"), pool);
    start_creds(fixture, &realm, realm_user(&realm, 0, USER(""), pool), 0600,
                "    type: platform\n    platform:\n      url: https://platform.invalid\n"
                "      identity: x\n");
    expect_up(fixture);
}

SA_TEST(creds_of_another_account_are_refused)
{
    fixture_t *fixture = fixture_open(pool);
    realm_t realm;
    realm_t other;

    realm_start(&realm, ACCOUNT("-1"), pool);
    identity_create(&other.account, 'A');
    start_creds(fixture, &realm, realm_user(&other, 0, USER(""), pool), 0600, "");
    expect_refusal(fixture, "link_auth_refused", "Authorization Violation");
}

SA_TEST(creds_that_others_can_read_are_refused_and_taken_once_they_are_private)
{
    fixture_t *fixture = fixture_open(pool);
    const char *creds;
    realm_t realm;

    realm_start(&realm, ACCOUNT("-1"), pool);
    creds = realm_user(&realm, 0, USER(""), pool);
    start_creds(fixture, &realm, creds, 0644, "");
    fixture_wait_log(fixture, "link_secret_unsafe", "device.creds");
    ck_assert_int_eq(fixture->ups, 0);
    sa_test_file(fixture->dir, "device.creds", creds, 0600, pool);
    expect_up(fixture);
}

SA_TEST(a_named_creds_file_that_is_missing_is_an_error_and_waited_for)
{
    fixture_t *fixture = fixture_open(pool);
    realm_t realm;

    realm_start(&realm, ACCOUNT("-1"), pool);
    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(realm.server),
        apr_psprintf(pool, "  auth:\n    creds_file: %s/device.creds\n", fixture->dir)));
    fixture_wait_log(fixture, "link_secret_unreadable", "device.creds");
    ck_assert_int_eq(fixture->ups, 0);
    sa_test_file(fixture->dir, "device.creds", realm_user(&realm, 0, USER(""), pool), 0600, pool);
    expect_up(fixture);
}

SA_TEST(a_creds_file_without_creds_is_said)
{
    fixture_t *fixture = fixture_open(pool);
    realm_t realm;

    realm_start(&realm, ACCOUNT("-1"), pool);
    start_creds(fixture, &realm, "hello\n", 0600, "");
    expect_refusal(fixture, "link_creds_bad", "device.creds");
}

SA_TEST(a_jwt_that_would_become_protocol_is_not_sent)
{
    fixture_t *fixture = fixture_open(pool);
    identity_t user;
    realm_t realm;

    realm_start(&realm, ACCOUNT("-1"), pool);
    identity_create(&user, 'U');
    start_creds(fixture, &realm, creds_make("eyJ\",\"user\":\"x", &user, pool), 0600, "");
    expect_refusal(fixture, "link_creds_bad", "device.creds");
}

SA_TEST(without_the_default_creds_file_the_link_connects_and_says_so_once)
{
    sa_test_server_t *server = sa_test_server_start("", 0, pool);
    fixture_t *fixture = fixture_open(pool);
    sa_config_t *config = fixture_config_for(fixture, sa_test_server_url(server), "");

    /* Its real default is a path of this machine. */
    config->nats_creds_file = apr_pstrcat(pool, fixture->dir, "/nats.creds", NULL);
    fixture_start(fixture, config);
    fixture_wait_ups(fixture, 1);
    sa_test_server_restart(server, NULL);
    fixture_wait_ups(fixture, 2);
    fixture_close(fixture);
    ck_assert_int_eq(fixture_count_log(fixture, "link_creds_none", "nats.creds"), 1);
    ck_assert_int_eq(fixture_count_log(fixture, "log_repeated", "link_creds_none"), 0);
}

SA_TEST(creds_that_expire_are_said_to_have_expired)
{
    fixture_t *fixture = fixture_open(pool);
    realm_t realm;

    realm_start(&realm, ACCOUNT("-1"), pool);
    start_creds(fixture, &realm, realm_user(&realm, apr_time_sec(apr_time_now()) + 3, USER(""),
                                           pool), 0600, "");
    fixture_wait_ups(fixture, 1);
    fixture_wait_log(fixture, "link_auth_expired", "User Authentication Expired");
    fixture_wait_downs(fixture, 1);
    fixture_wait_log(fixture, "link_auth_refused", "");     /* what later attempts hear */
    fixture_close(fixture);
}

SA_TEST(trap_4_two_refused_logins_do_not_end_it)
{
    fixture_t *fixture = fixture_open(pool);
    apr_uint64_t before = sa_stats_read(SA_STAT_link_connect_failures);
    realm_t realm;
    realm_t other;

    realm_start(&realm, ACCOUNT("-1"), pool);
    identity_create(&other.account, 'A');
    start_creds(fixture, &realm, realm_user(&other, 0, USER(""), pool), 0600, "");
    while (sa_stats_read(SA_STAT_link_connect_failures) < before + 4) {
        apr_sleep(apr_time_from_msec(5));
    }
    /* New credentials in the same place: no reload is needed. */
    sa_test_file(fixture->dir, "device.creds", realm_user(&realm, 0, USER(""), pool), 0600, pool);
    expect_up(fixture);
}

/* ---- limits --------------------------------------------------------------------- */

SA_TEST(a_full_account_is_told_from_a_full_server)
{
    fixture_t *fixture = fixture_open(pool);
    sa_link_t *first;
    realm_t realm;

    realm_start(&realm, ACCOUNT("1"), pool);
    start_creds(fixture, &realm, realm_user(&realm, 0, USER(""), pool), 0600, "");
    fixture_wait_ups(fixture, 1);
    SA_ASSERT_OK(sa_link_create(&first, pool));
    SA_ASSERT_OK(sa_link_start(first, fixture_config_for(
        fixture, sa_test_server_url(realm.server),
        apr_psprintf(pool, "  auth:\n    creds_file: %s/device.creds\n", fixture->dir))));
    fixture_wait_log(fixture, "link_connections_full",
                     "maximum account active connections exceeded");
    sa_link_stop(first, 0);
    fixture_close(fixture);
}

SA_TEST(a_full_server_is_said)
{
    sa_test_server_t *server = sa_test_server_start("max_connections: 1\n", 0, pool);
    fixture_t *fixture = fixture_open(pool);
    sa_link_t *other;

    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server), ""));
    fixture_wait_ups(fixture, 1);
    SA_ASSERT_OK(sa_link_create(&other, pool));
    SA_ASSERT_OK(sa_link_start(other, fixture_config_for(fixture, sa_test_server_url(server),
                                                         "")));
    fixture_wait_log(fixture, "link_connections_full", "maximum connections exceeded");
    sa_link_stop(other, 0);
    fixture_close(fixture);
}

SA_TEST(too_few_subscriptions_are_said)
{
    sa_test_server_t *server = sa_test_server_start("max_subscriptions: 1\n", 0, pool);
    fixture_t *fixture = fixture_open(pool);

    fixture_subscribe(fixture, "a", false);
    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server), ""));
    fixture_wait_log(fixture, "link_subscriptions_full", "maximum subscriptions exceeded");
    fixture_close(fixture);
}

/* ---- denied subjects ------------------------------------------------------------- */

/* Up, with three subscriptions, where only "good" and the inbox are allowed. */
static fixture_t *meet_denials(sa_test_server_t **server, apr_pool_t *pool)
{
    fixture_t *fixture = fixture_open(pool);

    *server = sa_test_server_start(
        "authorization { users: [{ user: d, password: d, permissions: {\n"
        "  publish: { allow: [\"good\"] }, subscribe: { allow: [\"good\", \"_INBOX.>\"] } } }] }\n",
        0, pool);
    fixture_subscribe(fixture, "good", false);
    fixture_subscribe(fixture, "agents.t1.cmd.>", false);
    fixture_subscribe(fixture, "$SRV.PING", true);
    setenv("SA_TEST_PASSWORD", "d", 1);
    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(*server),
        "  auth:\n    type: userpass\n    username: d\n    password_env: SA_TEST_PASSWORD\n"));
    fixture_wait_ups(fixture, 1);
    return fixture;
}

SA_TEST(denied_subjects_are_named_once_with_the_grant_and_the_rest_works)
{
    apr_uint64_t before = sa_stats_read(SA_STAT_link_permission_denials);
    sa_test_server_t *server;
    fixture_t *fixture = meet_denials(&server, pool);
    sa_link_message_t *message;

    for (int i = 0; i < 3; i++) {
        SA_ASSERT_OK(sa_link_publish(fixture->link, "agents.t1.heartbeat", NULL, "x", 1));
        SA_ASSERT_OK(sa_link_publish(fixture->link, apr_psprintf(pool, "_INBOX.r%d", i), NULL,
                                     "x", 1));
    }
    SA_ASSERT_OK(sa_link_publish(fixture->link, "good", NULL, "x", 1));
    message = sa_queue_take(fixture->messages, sa_time_mono() + LIMIT);
    ck_assert_ptr_nonnull(message);
    sa_link_message_destroy(message);
    fixture_wait_log(fixture, "link_denied_publish", "allow publish: agents.t1.heartbeat");
    fixture_wait_log(fixture, "link_denied_publish", "allow publish: _INBOX.>");
    fixture_wait_log(fixture, "link_denied_subscribe", "allow subscribe: agents.t1.cmd.>");
    fixture_wait_log(fixture, "link_denied_optional", "allow subscribe: $SRV.PING");
    sa_test_server_restart(server, NULL);       /* the same again is not news */
    fixture_wait_ups(fixture, 2);
    SA_ASSERT_OK(sa_link_publish(fixture->link, "agents.t1.heartbeat", NULL, "x", 1));
    SA_ASSERT_OK(sa_link_probe(fixture->link, LIMIT));
    SA_ASSERT_OK(sa_link_probe(fixture->link, LIMIT));
    fixture_close(fixture);
    /* nats.c still has the denial's words when the connection ends. */
    ck_assert_int_eq(fixture_count_log(fixture, "link_down", "Connection Closed"), 1);
    ck_assert_int_eq(fixture_count_log(fixture, "link_denied_publish", ""), 2);
    ck_assert_int_eq(fixture_count_log(fixture, "link_denied_subscribe", ""), 1);
    ck_assert_int_eq(fixture_count_log(fixture, "link_denied_optional", ""), 1);
    ck_assert_int_ge(sa_stats_read(SA_STAT_link_permission_denials) - before, 10);
}

SA_TEST(what_was_denied_is_known_once_it_has_settled)
{
    sa_test_server_t *server;
    fixture_t *fixture = meet_denials(&server, pool);

    SA_ASSERT_OK(sa_link_settle(fixture->link, LIMIT));
    ck_assert(sa_link_is_subscribe_denied(fixture->link, "agents.t1.cmd.>"));
    ck_assert(sa_link_is_subscribe_denied(fixture->link, "$SRV.PING"));
    ck_assert(!sa_link_is_subscribe_denied(fixture->link, "good"));
    for (int i = 0; i < 20; i++) {
        const char *subject = apr_psprintf(pool, "bad.%d", i);

        ck_assert(!sa_link_is_denied(fixture->link, subject));
        SA_ASSERT_OK(sa_link_publish(fixture->link, subject, NULL, "x", 1));
        SA_ASSERT_OK(sa_link_settle(fixture->link, LIMIT));
        ck_assert(sa_link_is_denied(fixture->link, subject));
        ck_assert(!sa_link_is_subscribe_denied(fixture->link, subject));
    }
    fixture_close(fixture);
}

SA_TEST(a_denied_inbox_is_named_so_that_it_can_be_granted)
{
    sa_test_server_t *server = sa_test_server_start(
        "authorization { users: [{ user: d, password: d, permissions: {\n"
        "  publish: \">\", subscribe: { allow: [\"good\"] } } }] }\n", 0, pool);
    fixture_t *fixture = fixture_open(pool);

    setenv("SA_TEST_PASSWORD", "d", 1);
    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server),
        "  auth:\n    type: userpass\n    username: d\n    password_env: SA_TEST_PASSWORD\n"));
    fixture_wait_ups(fixture, 1);
    fixture_wait_log(fixture, "link_denied_subscribe", "allow subscribe: _INBOX.>");
    SA_ASSERT_OK(sa_link_publish_acked(fixture->link, "t.x", NULL, NULL, "x", 1, 1));
    ck_assert_ptr_null(fixture_take(fixture->acks));
    fixture_close(fixture);
}

SA_TEST_MAIN("link auth", a_right_token_is_let_in, a_wrong_token_is_refused,
             a_right_password_is_let_in, a_wrong_password_is_refused,
             a_user_in_the_url_is_used_and_never_shown, a_known_nkey_is_let_in,
             an_unknown_nkey_is_refused, an_nkey_that_is_none_is_said,
             an_nkey_that_others_can_read_is_refused, a_creds_file_is_let_in,
             creds_are_no_hindrance_to_a_server_that_wants_none, type_platform_reads_the_same_file,
             creds_of_another_account_are_refused,
             creds_that_others_can_read_are_refused_and_taken_once_they_are_private,
             a_named_creds_file_that_is_missing_is_an_error_and_waited_for,
             a_creds_file_without_creds_is_said, a_jwt_that_would_become_protocol_is_not_sent,
             without_the_default_creds_file_the_link_connects_and_says_so_once,
             creds_that_expire_are_said_to_have_expired, trap_4_two_refused_logins_do_not_end_it,
             a_full_account_is_told_from_a_full_server, a_full_server_is_said,
             too_few_subscriptions_are_said,
             denied_subjects_are_named_once_with_the_grant_and_the_rest_works,
             what_was_denied_is_known_once_it_has_settled,
             a_denied_inbox_is_named_so_that_it_can_be_granted)
