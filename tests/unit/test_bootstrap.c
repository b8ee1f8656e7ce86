/* bootstrap, what needs no platform: when to come again, what is in place, the session file.
 * Visits are told by tests/system/71-identity.sh and 72-identity-faults.sh. */
#include "../../src/bootstrap/sa_bootstrap_private.h"

#include <string.h>

#include <apr_file_io.h>
#include <apr_strings.h>

#include "sa_test.h"
#include "sa_test_server.h"
#include "sa_time.h"

static sa_config_t *make_config(const char *more, apr_pool_t *pool)
{
    const char *dir = sa_test_dir(pool);
    const char *text = apr_psprintf(pool, "code: t1\n"
        "nats:\n  urls: [\"nats://127.0.0.1:1\"]\n"
        "  auth: {type: platform, creds_file: \"%s/nats.creds\"}\n"
        "paths: {state: \"%s\"}\n"
        "platform:\n  url: https://platform.invalid/\n  identity: a@b\n"
        "  session_file: \"%s/platform-session.json\"\n%s", dir, dir, dir, more);
    sa_config_source_t source = {sa_test_file(dir, "agent.yaml", text, 0600, pool), NULL};
    apr_array_header_t *complaints;
    sa_config_t *config;

    SA_ASSERT_OK(sa_config_load(&config, &complaints, &source, pool));
    return config;
}

/* ---- when to come again ------------------------------------------------------------------ */

static apr_interval_time_t pause_after(sa_bootstrap_state_t state, apr_uint32_t count,
                                       const sa_config_t *config)
{
    sa_bootstrap_result_t result = { .state = state };

    return sa_bootstrap_pause(&result, count, config);
}

SA_TEST(when_all_is_current_it_comes_again_after_about_the_interval)
{
    const sa_config_t *config = make_config("  sync_interval: 10h\n", pool);
    apr_interval_time_t shortest = apr_time_from_sec(360000);
    apr_interval_time_t longest = 0;

    for (int i = 0; i < 200; i++) {
        apr_interval_time_t pause = pause_after(SA_BOOTSTRAP_CURRENT, 1, config);

        ck_assert(pause >= apr_time_from_sec(8 * 3600) && pause <= apr_time_from_sec(10 * 3600));
        shortest = pause < shortest ? pause : shortest;
        longest = pause > longest ? pause : longest;
    }
    ck_assert(longest - shortest > apr_time_from_sec(600));      /* a fleet spreads */
}

SA_TEST(the_overlay_has_it_come_more_often)
{
    static const struct {
        const char *more;
        apr_int64_t seconds;
    } cases[] = {
        {"nebula: {sync_interval: 5m}\n", 36000},
        {"nebula: {enabled: true}\n", 600},
        {"nebula: {enabled: true, sync_interval: 5m}\n", 300},
        {"nebula: {enabled: true, sync_interval: 11h}\n", 36000},
        {"nebula: {enabled: true, sync_interval: 0s}\n", 36000},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const sa_config_t *config =
            make_config(apr_pstrcat(pool, "  sync_interval: 10h\n", cases[i].more, NULL), pool);
        apr_interval_time_t pause = pause_after(SA_BOOTSTRAP_CURRENT, 1, config);

        ck_assert_int_eq(sa_bootstrap_interval(config), apr_time_from_sec(cases[i].seconds));
        ck_assert(pause >= apr_time_from_sec(cases[i].seconds) * 8 / 10);
        ck_assert(pause <= apr_time_from_sec(cases[i].seconds) * 11 / 10);
    }
    ck_assert_int_eq(sa_bootstrap_interval(make_config("  sync_interval: 0s\n"
                                                       "nebula: {enabled: true}\n", pool)), 0);
}

SA_TEST(with_an_interval_of_0_it_does_not_come_again)
{
    ck_assert(pause_after(SA_BOOTSTRAP_CURRENT, 1, make_config("  sync_interval: 0s\n", pool))
              == 0);
}

SA_TEST(what_is_not_well_is_tried_again_more_and_more_slowly_and_for_ever)
{
    const sa_config_t *config = make_config("", pool);

    for (int state = SA_BOOTSTRAP_CURRENT + 1; state <= SA_BOOTSTRAP_STOPPED; state++) {
        apr_interval_time_t first = 0;
        apr_interval_time_t later = 0;

        for (int i = 0; i < 50; i++) {
            first += pause_after((sa_bootstrap_state_t)state, 1, config);
            later += pause_after((sa_bootstrap_state_t)state, 1000, config);
            ck_assert(pause_after((sa_bootstrap_state_t)state, 1000, config)
                      <= apr_time_from_sec(3600));
        }
        ck_assert_msg(first > 0 && later > first, "%s",
                      sa_bootstrap_state_name((sa_bootstrap_state_t)state));
    }
}

SA_TEST(a_deactivated_one_is_back_within_a_minute_of_its_activation_at_first)
{
    const sa_config_t *config = make_config("", pool);

    for (apr_uint32_t count = 1; count <= 10; count++) {
        apr_interval_time_t pause = pause_after(SA_BOOTSTRAP_DEACTIVATED, count, config);

        /* and never two logins within one */
        ck_assert(pause >= SA_BOOTSTRAP_LOGIN_APART);
        ck_assert(pause <= SA_BOOTSTRAP_LOGIN_APART + apr_time_from_sec(1));
    }
    ck_assert(pause_after(SA_BOOTSTRAP_DEACTIVATED, 1000, config) > apr_time_from_sec(100));
}

SA_TEST(what_the_server_asks_for_is_waited_for)
{
    const sa_config_t *config = make_config("", pool);
    sa_bootstrap_result_t result = {
        .state = SA_BOOTSTRAP_LIMITED, .retry_after = apr_time_from_sec(3000)
    };

    ck_assert(sa_bootstrap_pause(&result, 1, config) >= apr_time_from_sec(3000));
    ck_assert(sa_bootstrap_pause(&result, 1, config) <= apr_time_from_sec(3001));
}

SA_TEST(each_state_has_a_name_of_its_own)
{
    (void)pool;
    for (int i = 0; i <= SA_BOOTSTRAP_STOPPED; i++) {
        for (int j = 0; j < i; j++) {
            ck_assert_str_ne(sa_bootstrap_state_name((sa_bootstrap_state_t)i),
                             sa_bootstrap_state_name((sa_bootstrap_state_t)j));
        }
    }
}

/* ---- the session file ---------------------------------------------------------------------- */

#define SESSION \
    "{\"url\":\"https://platform.invalid/\",\"identity\":\"a@b\",\"token\":\"t.o.k\"," \
    "\"expires\":1800000000,\"nats_user\":\"u1\",\"nats_revision\":\"r1\"," \
    "\"nebula_host\":\"\",\"nebula_revision\":\"\",\"synced_at\":1700000000}"

static sa_bootstrap__session_t read_session(const char *text, apr_fileperms_t mode,
                                            apr_pool_t *pool)
{
    const sa_config_t *config = make_config("", pool);
    sa_bootstrap__session_t session;

    if (text) {
        const char *name = strrchr(config->platform_session_file, '/');

        sa_test_file(apr_pstrmemdup(pool, config->platform_session_file,
                                    (size_t)(name - config->platform_session_file)), name + 1,
                     text, (int)mode, pool);
    }
    sa_bootstrap__session_read(&session, config, pool);
    return session;
}

SA_TEST(a_session_is_read_as_it_was_written)
{
    sa_bootstrap__session_t session = read_session(SESSION, 0600, pool);

    ck_assert_str_eq(session.token, "t.o.k");
    ck_assert_str_eq(session.nats_user, "u1");
    ck_assert_str_eq(session.nats_revision, "r1");
    ck_assert(session.expires == apr_time_from_sec(1800000000));
    ck_assert(session.synced_at == apr_time_from_sec(1700000000));
}

SA_TEST(what_is_no_session_of_ours_is_none)
{
    static const char *const rows[] = {
        NULL, "", "{", "[]", "\"x\"", "{}",
        "{\"url\":\"https://other.invalid/\",\"identity\":\"a@b\",\"token\":\"t\"}",
        "{\"url\":\"https://platform.invalid/\",\"identity\":\"c@d\",\"token\":\"t\"}",
        "{\"url\":\"https://platform.invalid/\",\"identity\":\"a@b\",\"token\":5}",
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_bootstrap__session_t session = read_session(rows[i], 0600, pool);

        ck_assert_str_eq(session.token, "");
        ck_assert_str_eq(session.nats_revision, "");
        ck_assert(session.expires == 0);
    }
}

SA_TEST(a_session_that_others_can_read_is_not_used)
{
    ck_assert_str_eq(read_session(SESSION, 0644, pool).token, "");
}

SA_TEST(numbers_beyond_all_time_are_none)
{
    sa_bootstrap__session_t session = read_session(
        "{\"url\":\"https://platform.invalid/\",\"identity\":\"a@b\",\"token\":\"t\","
        "\"expires\":1e300,\"synced_at\":-5}", 0600, pool);

    ck_assert_str_eq(session.token, "t");
    ck_assert(session.expires == 0 && session.synced_at == 0);
}

SA_TEST(only_what_can_be_part_of_a_url_is_an_id)
{
    (void)pool;
    ck_assert(sa_bootstrap__is_id("abcXYZ019_-"));
    ck_assert(!sa_bootstrap__is_id(""));
    ck_assert(!sa_bootstrap__is_id("../things"));
    ck_assert(!sa_bootstrap__is_id("a?b"));
    ck_assert(!sa_bootstrap__is_id("a b"));
    ck_assert(!sa_bootstrap__is_id("a%2e"));
    ck_assert(!sa_bootstrap__is_id(
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

SA_TEST(a_look_says_what_is_in_place)
{
    sa_config_t *config = make_config("", pool);
    sa_bootstrap_place_t place;

    sa_bootstrap_look(&place, config, pool);
    ck_assert(!place.has_creds && !place.has_session && place.synced_at == 0);
    sa_test_file(config->paths_state, "nats.creds", "x", 0600, pool);
    sa_test_file(config->paths_state, "platform-session.json", SESSION, 0600, pool);
    sa_bootstrap_look(&place, config, pool);
    ck_assert(place.has_creds && place.has_session
              && place.synced_at == apr_time_from_sec(1700000000));
}

SA_TEST_MAIN("bootstrap", when_all_is_current_it_comes_again_after_about_the_interval,
             the_overlay_has_it_come_more_often,
             with_an_interval_of_0_it_does_not_come_again,
             what_is_not_well_is_tried_again_more_and_more_slowly_and_for_ever,
             a_deactivated_one_is_back_within_a_minute_of_its_activation_at_first,
             what_the_server_asks_for_is_waited_for, each_state_has_a_name_of_its_own,
             a_session_is_read_as_it_was_written, what_is_no_session_of_ours_is_none,
             a_session_that_others_can_read_is_not_used, numbers_beyond_all_time_are_none,
             only_what_can_be_part_of_a_url_is_an_id, a_look_says_what_is_in_place)
