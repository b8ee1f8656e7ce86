/* outbox: reports whose acknowledgement was lost, over a real nats-server whose
 * duplicate window has passed.
 *
 * Each case is a spool as a killed agent leaves it, and a stream that has some
 * of its reports.  What is stored must be found, and the rest must follow. */
#include <apr_strings.h>

#include "sa_json.h"
#include "sa_outbox.h"
#include "sa_spool.h"
#include "sa_stats.h"
#include "sa_test.h"
#include "sa_test_server.h"
#include "sa_time.h"
#include "test_link_fixture.h"

#define REPORTS 7
#define SUBJECT "agents.t1.telemetry.system"
#define STREAM "{\"name\":\"T\",\"subjects\":[\"agents.*.telemetry.>\",\"other\"]," \
               "\"storage\":\"file\",\"duplicate_window\":100000000}"

typedef struct case_t {
    const char *name;
    int removed;                /* reports that were acknowledged and have left the spool */
    int before;                 /* messages of others, before ours */
    const char *stored;         /* the numbers that the stream has, in its order */
    const char *floor_stream;   /* what the spool remembers */
    apr_uint64_t floor;
    int found;                  /* of those in the spool */
} case_t;

static const case_t cases[] = {
    {"nothing is stored", 0, 3, "", "", 0, 0},
    {"all of them are stored", 0, 0, "1234567", "", 0, 7},
    {"some of them are stored, behind others' messages", 0, 5, "13", "", 0, 2},
    {"the floor leaves out what is done", 2, 1, "1234", "T", 3, 2},
    {"the floor is right and nothing stands behind it", 3, 0, "123", "T", 3, 0},
    {"the floor is of a stream that is gone", 2, 0, "34", "T", 100, 2},
    {"the stream was made anew and has grown beyond the floor", 2, 0, "345", "T", 2, 3},
    {"the stream was made anew behind others' messages", 2, 4, "34", "T", 2, 2},
    {"the stream has another name now", 2, 0, "1234", "OLD", 2, 2},
    {"the order in the stream is not that of the numbers", 1, 0, "17254", "T", 1, 4},
};

typedef struct scene_t {
    fixture_t *fixture;         /* the outbox's link */
    fixture_t *admin;
    sa_outbox_t *outbox;
    sa_config_t *config;
    const char *boot;
} scene_t;

static const char *id_of(const scene_t *scene, int number)
{
    return apr_psprintf(scene->admin->pool, "t1-%s-%d", scene->boot, number);
}

/* Publish and wait for the acknowledgement. */
static sa_link_ack_t put(scene_t *scene, const char *subject, const char *msg_id)
{
    SA_ASSERT_OK(sa_link_publish_acked(scene->admin->link, subject, NULL, msg_id, "{}", 2, 1));
    return fixture_ack(scene->admin);
}

/* The stream has forgotten the ids of what it holds. */
static bool is_forgotten(void *baton)
{
    return !put(baton, "other", "marker").duplicate;
}

static void fill_spool(scene_t *scene, const case_t *test, const char *dir, apr_pool_t *pool)
{
    static const sa_spool_limits_t limits = {.max_bytes = 1 << 20,
                                             .max_age = apr_time_from_sec(86400)};
    sa_spool_entry_t entries[REPORTS];
    apr_int64_t numbers[REPORTS];
    apr_pool_t *spool_pool = sa_pool_create(pool);
    sa_spool_t *spool;

    for (int i = 0; i < REPORTS; i++) {
        entries[i] = (sa_spool_entry_t){.made_at = sa_time_now(), .subject = SUBJECT,
                                        .headers = "", .data = "{}", .length = 2};
        numbers[i] = i + 1;
    }
    SA_ASSERT_OK(sa_spool_open(&spool, apr_pstrcat(pool, dir, "/spool.db", NULL), &limits,
                               spool_pool));
    SA_ASSERT_OK(sa_spool_append(spool, entries, REPORTS));
    sa_spool_set_floor(spool, test->floor_stream, test->floor);
    SA_ASSERT_OK(sa_spool_remove(spool, numbers, test->removed));
    scene->boot = apr_pstrdup(pool, sa_spool_boot(spool));
    apr_pool_destroy(spool_pool);
}

static void fill_stream(scene_t *scene, const case_t *test)
{
    fixture_api(scene->admin, "$JS.API.STREAM.CREATE.T", STREAM);
    for (int i = 0; i < test->before; i++) {
        ck_assert(put(scene, "other", NULL).stored);
    }
    for (const char *number = test->stored; *number; number++) {
        ck_assert(put(scene, SUBJECT, id_of(scene, *number - '0')).stored);
    }
    if (*test->stored) {
        put(scene, "other", "marker");
        ck_assert(sa_test_wait(is_forgotten, scene, LIMIT));
    }
}

static const char *auth_of(bool needed, const char *user, apr_pool_t *pool)
{
    return needed ? apr_psprintf(pool, "  auth:\n    type: userpass\n    username: %s\n"
                                 "    password_env: SA_TEST_PASSWORD\n", user)
                  : "";
}

/* A life that left a spool behind; the next one is not started yet. */
static scene_t *open_scene(const case_t *test, const char *server_config, apr_pool_t *pool)
{
    scene_t *scene = apr_pcalloc(pool, sizeof(*scene));
    sa_test_server_t *server = sa_test_server_start(server_config, SA_TEST_JETSTREAM, pool);
    bool auth = *server_config;

    setenv("SA_TEST_PASSWORD", "secret", 1);
    scene->fixture = fixture_open(pool);
    scene->admin = fixture_join(pool);
    fixture_start(scene->admin, fixture_config_for(scene->admin, sa_test_server_url(server),
                                                   auth_of(auth, "admin", pool)));
    fixture_wait_ups(scene->admin, 1);
    scene->config = fixture_config_for(scene->fixture, sa_test_server_url(server),
        apr_psprintf(pool, "%spaths: {state: \"%s\"}\n", auth_of(auth, "device", pool),
                     scene->fixture->dir));
    fill_spool(scene, test, scene->fixture->dir, pool);
    return scene;
}

static void start_outbox(scene_t *scene, apr_pool_t *pool)
{
    SA_ASSERT_OK(sa_outbox_create(&scene->outbox, scene->fixture->link, pool));
    fixture_start(scene->fixture, scene->config);
    SA_ASSERT_OK(sa_outbox_start(scene->outbox, scene->config));
}

static void close_scene(scene_t *scene)
{
    sa_outbox_stop(scene->outbox, apr_time_from_sec(1));
    fixture_leave(scene->admin);
    fixture_close(scene->fixture);
}

static bool spool_is_empty(void *baton)
{
    (void)baton;
    return sa_stats_read(SA_STAT_spool_reports) == 0;
}

static void wait_empty(scene_t *scene)
{
    ck_assert_msg(sa_test_wait(spool_is_empty, NULL, LIMIT), "%lu reports left; log:\n%s",
                  (unsigned long)sa_stats_read(SA_STAT_spool_reports),
                  sa_test_read(scene->fixture->log_path, scene->fixture->pool));
}

/* How often the stream has report NUMBER; reads it message by message. */
static int count_stored(scene_t *scene, int number, apr_pool_t *pool)
{
    const char *id = id_of(scene, number);
    apr_uint64_t next = 1;
    int count = 0;

    for (;;) {
        const char *json = apr_psprintf(pool, "{\"seq\":%" APR_UINT64_T_FMT
                                        ",\"next_by_subj\":\"" SUBJECT "\"}", next);
        sa_link_message_t *message;
        sa_link_stored_t stored;

        SA_ASSERT_OK(sa_link_publish_acked(scene->admin->link, "$JS.API.STREAM.MSG.GET.T", NULL,
                                           NULL, json, strlen(json), 1));
        message = fixture_take(scene->admin->acks);
        ck_assert_ptr_nonnull(message);
        sa_link_read_stored(&stored, message);
        sa_link_message_destroy(message);
        if (!stored.found) {
            ck_assert(stored.missing);
            return count;
        }
        count += strcmp(stored.msg_id, id) == 0;
        next = stored.seq + 1;
    }
}

static void check_each_once(scene_t *scene, const case_t *test, apr_pool_t *pool)
{
    for (int number = test->removed + 1; number <= REPORTS; number++) {
        ck_assert_msg(count_stored(scene, number, pool) == 1, "%s: report %d is stored %d times",
                      test->name, number, count_stored(scene, number, pool));
    }
}

SA_TEST(what_is_stored_is_found_and_the_rest_follows)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        apr_uint64_t found = sa_stats_read(SA_STAT_reports_found);
        apr_pool_t *case_pool = sa_pool_create(pool);
        scene_t *scene = open_scene(&cases[i], "", case_pool);

        fill_stream(scene, &cases[i]);
        start_outbox(scene, case_pool);
        wait_empty(scene);
        check_each_once(scene, &cases[i], case_pool);
        found = sa_stats_read(SA_STAT_reports_found) - found;
        ck_assert_msg((int)found == cases[i].found, "%s: found %d of %d", cases[i].name,
                      (int)found, cases[i].found);
        close_scene(scene);
        apr_pool_destroy(case_pool);
    }
}

SA_TEST(without_a_stream_nothing_is_sent_before_it_is_there)
{
    static const case_t test = {"no stream", 0, 0, "", "T", 4, 0};
    scene_t *scene = open_scene(&test, "", pool);

    start_outbox(scene, pool);
    fixture_wait_log(scene->fixture, "delivery_stalled", "no stream binds the subject");
    fixture_api(scene->admin, "$JS.API.STREAM.CREATE.T", STREAM);
    wait_empty(scene);
    check_each_once(scene, &test, pool);
    close_scene(scene);
}

/* Twice is better than never. */
SA_TEST(a_role_that_may_not_ask_sends_again_and_says_so)
{
    static const case_t test = {"denied", 0, 0, "12", "", 0, 0};
    apr_uint64_t unchecked = sa_stats_read(SA_STAT_reports_unchecked);
    scene_t *scene = open_scene(&test,
        "authorization { users: [ { user: admin, password: secret },\n"
        "  { user: device, password: secret, permissions: { publish: { deny: [\"$JS.API.>\"] } } }"
        " ] }\n", pool);

    fill_stream(scene, &test);
    start_outbox(scene, pool);
    wait_empty(scene);
    fixture_wait_log(scene->fixture, "doubt_unchecked", SUBJECT);
    ck_assert_uint_eq(sa_stats_read(SA_STAT_reports_unchecked) - unchecked, 1);
    for (int number = 1; number <= REPORTS; number++) {
        ck_assert_int_eq(count_stored(scene, number, pool), number <= 2 ? 2 : 1);
    }
    close_scene(scene);
}

SA_TEST_MAIN("outbox_doubt", what_is_stored_is_found_and_the_rest_follows,
             without_a_stream_nothing_is_sent_before_it_is_there,
             a_role_that_may_not_ask_sends_again_and_says_so)
