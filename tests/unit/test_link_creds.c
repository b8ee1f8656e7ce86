/* The link and credentials that are not in use yet: checked, tried, taken over; keys made
 * here.  Against real servers. */
#include "test_link_fixture.h"

#include <string.h>

#include <apr_atomic.h>
#include <apr_file_info.h>
#include <apr_strings.h>

#include "sa_time.h"
#include "test_link_jwt.h"

/* ---- are they good? ------------------------------------------------------------------- */

static apr_int64_t seconds_now(void)
{
    return apr_time_sec(apr_time_now());
}

/* NULL: they are good; else a part of what is wrong. */
static void expect_check(const char *creds, const char *fault, apr_pool_t *pool)
{
    sa_error_t *err = sa_link_check_creds(creds, pool);

    if (!fault) {
        SA_ASSERT_OK(err);
        return;
    }
    ck_assert_msg(err != NULL, "taken, though %s", fault);
    ck_assert_int_eq(err->code, SA_ERR_FILE_CONTENT);
    ck_assert_msg(strstr(err->message, fault) != NULL, "%s: %s", fault, err->message);
    /* what is said may stand in a log */
    ck_assert_ptr_null(strstr(err->message, "SUA"));
    ck_assert_ptr_null(strstr(err->message, "eyJ"));
    sa_error_clear(err);
}

static const char *with_crlf(const char *text, apr_pool_t *pool)
{
    char *out = apr_palloc(pool, 2 * strlen(text) + 1);
    char *put = out;

    for (; *text; text++) {
        if (*text == '\n') {
            *put++ = ' ';
            *put++ = '\r';
        }
        *put++ = *text;
    }
    *put = '\0';
    return out;
}

SA_TEST(good_credentials_are_good_also_with_other_line_ends_and_blanks)
{
    identity_t account;
    identity_t user;
    const char *creds;

    identity_create(&account, 'A');
    identity_create(&user, 'U');
    creds = creds_make(jwt_make(&account, &user, 0, USER(""), pool), &user, pool);
    expect_check(creds, NULL, pool);
    expect_check(with_crlf(creds, pool), NULL, pool);
    expect_check(apr_pstrcat(pool, "\n\n", creds, "\n \n", NULL), NULL, pool);
    expect_check(creds_make(jwt_make(&account, &user, seconds_now() + 600, USER(""), pool), &user,
                            pool), NULL, pool);
}

SA_TEST(hostile_62_what_is_no_credentials_of_one_valid_user_is_refused)
{
    identity_t account;
    identity_t user;
    identity_t other;
    const char *good;

    identity_create(&account, 'A');
    identity_create(&user, 'U');
    identity_create(&other, 'U');
    good = creds_make(jwt_make(&account, &user, 0, USER(""), pool), &user, pool);
    expect_check("", "not both there", pool);
    expect_check("<html>hello</html>", "not both there", pool);
    expect_check(creds_make("eyJ\",\"user\":\"x", &user, pool), "not both there", pool);
    expect_check(creds_make("eyJhbGciOiJub25lIn0", &user, pool), "cannot be read", pool);
    expect_check(creds_make("eyJ.%.x", &user, pool), "not both there", pool);
    expect_check(creds_make("eyJ.W10.x", &user, pool), "cannot be read", pool);
    expect_check(apr_pstrcat(pool, good, good, NULL), "more than one", pool);
    expect_check(creds_make(jwt_make(&account, &other, 0, USER(""), pool), &user, pool),
                 "does not belong", pool);
    expect_check(creds_make(jwt_make(&account, &user, 0, ACCOUNT("-1"), pool), &user, pool),
                 "not a user's", pool);
    expect_check(creds_make(jwt_make(&account, &user, seconds_now() - 3600, USER(""), pool),
                            &user, pool), "expired", pool);
    memcpy(user.seed, "SA", 2);
    expect_check(creds_make(jwt_make(&account, &user, 0, USER(""), pool), &user, pool),
                 "not the seed", pool);
}

/* ---- are they let in? ------------------------------------------------------------------- */

static const char *put(fixture_t *fixture, const char *name, const char *creds)
{
    return sa_test_file(fixture->dir, name, creds, 0600, fixture->pool);
}

/* What the link's thread counts. */
static int downs_of(fixture_t *fixture)
{
    int downs;

    sa_os_mutex_lock(fixture->mutex);
    ck_assert(!fixture->out_of_order);
    downs = fixture->downs;
    sa_os_mutex_unlock(fixture->mutex);
    return downs;
}

SA_TEST(credentials_are_tried_beside_the_connection_that_is_there)
{
    fixture_t *fixture = fixture_open(pool);
    sa_config_t *config;
    sa_error_t *err;
    identity_t stranger;
    identity_t user;
    realm_t realm;

    realm_start(&realm, ACCOUNT("-1"), pool);
    put(fixture, "device.creds", realm_user(&realm, 0, USER(""), pool));
    config = fixture_config_for(fixture, sa_test_server_url(realm.server), apr_psprintf(
        pool, "  auth:\n    creds_file: %s/device.creds\n", fixture->dir));
    fixture_start(fixture, config);
    fixture_wait_ups(fixture, 1);
    SA_ASSERT_OK(sa_link_try(config, put(fixture, "new.creds",
                                         realm_user(&realm, 0, USER(""), pool)), LIMIT, pool));
    identity_create(&stranger, 'A');
    identity_create(&user, 'U');
    err = sa_link_try(config, put(fixture, "new.creds", creds_make(
        jwt_make(&stranger, &user, 0, USER(""), pool), &user, pool)), LIMIT, pool);
    ck_assert_ptr_nonnull(err);
    ck_assert_int_eq(err->code, SA_ERR_LINK_AUTH);
    sa_error_clear(err);
    ck_assert(sa_link_is_up(fixture->link));
    ck_assert_int_eq(downs_of(fixture), 0);
    sa_test_server_stop(realm.server);
    err = sa_link_try(config, apr_pstrcat(pool, fixture->dir, "/device.creds", NULL),
                      apr_time_from_sec(2), pool);
    ck_assert_ptr_nonnull(err);
    ck_assert_int_ne(err->code, SA_ERR_LINK_AUTH);
    sa_error_clear(err);
    fixture_close(fixture);
}

SA_TEST(a_renewed_link_comes_back_at_once_with_what_is_in_the_file_now)
{
    fixture_t *fixture = fixture_open(pool);
    sa_config_t *config;
    apr_interval_time_t began;
    realm_t realm;

    realm_start(&realm, ACCOUNT("-1"), pool);
    put(fixture, "device.creds", realm_user(&realm, 0, USER(""), pool));
    config = fixture_config_for(fixture, sa_test_server_url(realm.server), apr_psprintf(
        pool, "  auth:\n    creds_file: %s/device.creds\n", fixture->dir));
    config->nats_reconnect_wait = config->nats_reconnect_max = apr_time_from_sec(600);
    fixture_start(fixture, config);
    fixture_wait_ups(fixture, 1);
    put(fixture, "device.creds", realm_user(&realm, 0, USER(""), pool));
    began = sa_time_mono();
    sa_link_renew(fixture->link);
    fixture_wait_ups(fixture, 2);
    /* and not when reconnect_wait says */
    ck_assert(sa_time_mono() - began < apr_time_from_sec(300));
    ck_assert_int_eq(downs_of(fixture), 1);
    fixture_close(fixture);
}

static void count_refusal(void *baton)
{
    apr_uint32_t *count = baton;

    apr_atomic_inc32(count);
}

static void wait_refusals(apr_uint32_t *count, apr_uint32_t wanted)
{
    apr_interval_time_t deadline = sa_time_mono() + LIMIT;

    while (apr_atomic_read32(count) < wanted) {
        ck_assert(sa_time_mono() < deadline);
        apr_sleep(apr_time_from_msec(5));
    }
}

SA_TEST(a_refusal_is_told_each_time_and_a_renewal_ends_it)
{
    fixture_t *fixture = fixture_open(pool);
    apr_uint32_t refusals = 0;
    identity_t stranger;
    identity_t user;
    realm_t realm;

    realm_start(&realm, ACCOUNT("-1"), pool);
    identity_create(&stranger, 'A');
    identity_create(&user, 'U');
    put(fixture, "device.creds", creds_make(jwt_make(&stranger, &user, 0, USER(""), pool), &user,
                                            pool));
    sa_link_on_refused(fixture->link, count_refusal, &refusals);
    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(realm.server),
        apr_psprintf(pool, "  auth:\n    creds_file: %s/device.creds\n", fixture->dir)));
    wait_refusals(&refusals, 2);
    put(fixture, "device.creds", realm_user(&realm, 0, USER(""), pool));
    sa_link_renew(fixture->link);
    fixture_wait_ups(fixture, 1);
    fixture_close(fixture);
}

SA_TEST(of_the_platform_it_waits_for_the_file_and_does_not_knock_without)
{
    fixture_t *fixture = fixture_open(pool);
    apr_uint32_t refusals = 0;
    realm_t realm;

    realm_start(&realm, ACCOUNT("-1"), pool);
    sa_link_on_refused(fixture->link, count_refusal, &refusals);
    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(realm.server),
        apr_psprintf(pool, "  auth:\n    creds_file: %s/device.creds\n    type: platform\n"
                     "    platform:\n      url: https://platform.invalid\n      identity: x\n",
                     fixture->dir)));
    fixture_wait_log(fixture, "link_creds_awaited", "device.creds");
    put(fixture, "device.creds", realm_user(&realm, 0, USER(""), pool));
    sa_link_renew(fixture->link);
    fixture_wait_ups(fixture, 1);
    ck_assert_uint_eq(apr_atomic_read32(&refusals), 0);
    fixture_close(fixture);
    ck_assert_int_eq(fixture_count_log(fixture, "link_auth_refused", ""), 0);
}

/* ---- keys made here ---------------------------------------------------------------------- */

SA_TEST(a_key_made_here_is_private_and_let_in_by_its_public_part)
{
    fixture_t *fixture = fixture_open(pool);
    const char *path = apr_pstrcat(pool, fixture->dir, "/nats.nkey", NULL);
    char public_key[SA_LINK_PUBLIC_KEY];
    char again[SA_LINK_PUBLIC_KEY];
    sa_test_server_t *server;
    apr_finfo_t info;
    sa_error_t *err;

    SA_ASSERT_OK(sa_link_keygen(public_key, path, pool));
    ck_assert_uint_eq(strlen(public_key), 56);
    ck_assert_int_eq(public_key[0], 'U');
    ck_assert_int_eq(apr_stat(&info, path, APR_FINFO_PROT, pool), APR_SUCCESS);
    ck_assert_int_eq(info.protection & (APR_FPROT_GREAD | APR_FPROT_WREAD | APR_FPROT_GWRITE), 0);
    err = sa_link_keygen(again, path, pool);
    ck_assert_ptr_nonnull(err);     /* never replaced */
    sa_error_clear(err);
    server = sa_test_server_start(apr_psprintf(pool, "authorization { users: [{ nkey: %s }] }\n",
                                               public_key), 0, pool);
    fixture_start(fixture, fixture_config_for(fixture, sa_test_server_url(server), apr_psprintf(
        pool, "  auth:\n    type: nkey\n    nkey_file: %s\n", path)));
    fixture_wait_ups(fixture, 1);
    fixture_close(fixture);
}

SA_TEST(two_keys_are_two)
{
    char first[SA_LINK_PUBLIC_KEY];
    char second[SA_LINK_PUBLIC_KEY];
    const char *dir = sa_test_dir(pool);

    SA_ASSERT_OK(sa_link_keygen(first, apr_pstrcat(pool, dir, "/1", NULL), pool));
    SA_ASSERT_OK(sa_link_keygen(second, apr_pstrcat(pool, dir, "/2", NULL), pool));
    ck_assert_str_ne(first, second);
}

SA_TEST_MAIN("link_creds",
             good_credentials_are_good_also_with_other_line_ends_and_blanks,
             hostile_62_what_is_no_credentials_of_one_valid_user_is_refused,
             credentials_are_tried_beside_the_connection_that_is_there,
             a_renewed_link_comes_back_at_once_with_what_is_in_the_file_now,
             a_refusal_is_told_each_time_and_a_renewal_ends_it,
             of_the_platform_it_waits_for_the_file_and_does_not_knock_without,
             a_key_made_here_is_private_and_let_in_by_its_public_part,
             two_keys_are_two)
