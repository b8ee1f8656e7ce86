/* task: services, with a manager that does what a script says, under a clock that
 * moves when the thread waits for it. */
#include <apr_strings.h>

#include "../../src/task/sa_task_private.h"
#include "../../src/task/sa_task_services.h"

#include "sa_os_thread.h"
#include "sa_outbox.h"
#include "sa_report_service.h"
#include "sa_test.h"
#include "sa_test_server.h"
#include "sa_time.h"

#define SECOND APR_INT64_C(1000000)
#define MS APR_INT64_C(1000)

/* ---- the tracks alone -------------------------------------------------------------- */

static sa_os_service_state_t make_state(sa_os_service_status_t status)
{
    sa_os_service_state_t state = {.status = status, .has_restarts = true};

    apr_cpystrn(state.unit, "web.service", sizeof(state.unit));
    apr_cpystrn(state.load, "loaded", sizeof(state.load));
    apr_cpystrn(state.result, "success", sizeof(state.result));
    return state;
}

static void note(sa_task_track_t *track, sa_os_service_status_t status, apr_interval_time_t now)
{
    sa_os_service_state_t state = make_state(status);

    sa_task__track_note(track, &state, now);
}

static void crash(sa_task_track_t *track, apr_uint64_t restarts, const char *result,
                  apr_interval_time_t now)
{
    sa_os_service_state_t state = make_state(SA_OS_SERVICE_STARTING);

    state.restarts_itself = true;
    state.restarts = restarts;
    state.has_exit_code = true;
    state.exit_code = 3;
    apr_cpystrn(state.result, result, sizeof(state.result));
    sa_task__track_note(track, &state, now);
}

static void restart(sa_task_track_t *track, apr_uint64_t restarts, apr_interval_time_t now)
{
    sa_os_service_state_t state = make_state(SA_OS_SERVICE_RUNNING);

    state.restarts = restarts;
    sa_task__track_note(track, &state, now);
}

/* What would be reported now, if anything. */
static const char *told(sa_task_track_t *track, apr_interval_time_t now, apr_pool_t *pool)
{
    cJSON *list = sa_json_own(cJSON_CreateArray(), pool);

    if (!sa_task__track_is_due(track, now)) {
        return "";
    }
    sa_task__add_service(list, "web", track, true, now);
    sa_task__track_told(track, now);
    return sa_json_print(list, NULL, pool);
}

SA_TEST(the_first_state_is_no_change)
{
    sa_task_track_t track = {0};

    note(&track, SA_OS_SERVICE_RUNNING, 0);
    ck_assert_str_eq(told(&track, 10 * SECOND, pool), "");
    note(&track, SA_OS_SERVICE_RUNNING, 11 * SECOND);
    ck_assert_str_eq(told(&track, 12 * SECOND, pool), "");
}

SA_TEST(each_step_of_one_way_is_told_at_once)
{
    static const sa_os_service_status_t way[] = {
        SA_OS_SERVICE_STOPPING, SA_OS_SERVICE_STOPPED, SA_OS_SERVICE_STARTING,
        SA_OS_SERVICE_RUNNING
    };
    sa_task_track_t track = {0};
    const char *previous = "Running";

    note(&track, SA_OS_SERVICE_RUNNING, 0);
    for (int i = 0; i < 4; i++) {
        apr_interval_time_t now = 60 * SECOND + i * 100 * MS;
        const char *text;

        note(&track, way[i], now);
        text = told(&track, now, pool);
        ck_assert_ptr_nonnull(strstr(text, apr_psprintf(pool, "\"status\":\"%s\"",
                                                        sa_report_service_word(way[i]))));
        ck_assert_ptr_nonnull(strstr(text, apr_psprintf(pool, "\"previous\":\"%s\",\"changes\":1",
                                                        previous)));
        previous = sa_report_service_word(way[i]);
    }
}

SA_TEST(one_that_flaps_is_told_once_a_second_with_a_count)
{
    sa_task_track_t track = {0};
    int reports = 0;
    int changes = 0;

    (void)pool;
    note(&track, SA_OS_SERVICE_RUNNING, 0);
    for (apr_interval_time_t now = 100 * SECOND; now < 110 * SECOND; now += 10 * MS) {
        if (now % (50 * MS) == 0) {
            note(&track, now % (100 * MS) == 0 ? SA_OS_SERVICE_FAILED : SA_OS_SERVICE_RUNNING,
                 now);
        }
        if (sa_task__track_is_due(&track, now)) {
            changes += (int)track.changes;
            sa_task__track_told(&track, now);
            reports++;
        }
    }
    /* Error, Running, and then one a second */
    ck_assert_int_ge(reports, 11);
    ck_assert_int_le(reports, 12);
    ck_assert_int_eq(changes + (int)track.changes, 200);
}

SA_TEST(what_was_held_back_is_told_a_second_after_the_last_report)
{
    sa_task_track_t track = {0};

    note(&track, SA_OS_SERVICE_RUNNING, 0);
    note(&track, SA_OS_SERVICE_FAILED, 100 * SECOND);
    ck_assert_str_ne(told(&track, 100 * SECOND, pool), "");
    note(&track, SA_OS_SERVICE_RUNNING, 100 * SECOND + 1);
    ck_assert_str_ne(told(&track, 100 * SECOND + 1, pool), "");
    note(&track, SA_OS_SERVICE_FAILED, 100 * SECOND + 2);
    ck_assert_str_eq(told(&track, 100 * SECOND + 3, pool), "");
    ck_assert_int_eq(track.due, 101 * SECOND + 1);
    note(&track, SA_OS_SERVICE_RUNNING, 100 * SECOND + 4);
    /* back where it was: something happened all the same */
    ck_assert_ptr_nonnull(strstr(told(&track, 101 * SECOND + 1, pool),
                                 "\"previous\":\"Running\",\"changes\":2"));
    ck_assert_str_eq(told(&track, 200 * SECOND, pool), "");
}

SA_TEST(after_a_quiet_time_a_change_is_told_at_once_again)
{
    sa_task_track_t track = {0};

    note(&track, SA_OS_SERVICE_RUNNING, 0);
    for (int i = 0; i < 10; i++) {
        note(&track, i % 2 ? SA_OS_SERVICE_RUNNING : SA_OS_SERVICE_FAILED, 100 * SECOND + i * MS);
        (void)told(&track, 100 * SECOND + i * MS, pool);
    }
    (void)told(&track, 102 * SECOND, pool);
    note(&track, SA_OS_SERVICE_FAILED, 110 * SECOND);
    ck_assert_str_ne(told(&track, 110 * SECOND, pool), "");
    note(&track, SA_OS_SERVICE_STARTING, 110 * SECOND + MS);
    ck_assert_str_ne(told(&track, 110 * SECOND + MS, pool), "");
}

SA_TEST(three_crashes_in_ten_minutes_are_a_loop)
{
    sa_task_track_t track = {0};

    (void)pool;
    note(&track, SA_OS_SERVICE_RUNNING, 0);
    for (apr_uint64_t i = 0; i < 3; i++) {
        apr_interval_time_t now = (apr_interval_time_t)(i + 1) * 100 * SECOND;

        ck_assert(!sa_task__track_is_looping(&track, now));
        crash(&track, i, "exit-code", now);
        /* the manager's count lags by the restart that is about to come */
        restart(&track, i + 1, now + SECOND);
        ck_assert_uint_eq(track.ends, i + 1);
    }
    ck_assert(sa_task__track_is_looping(&track, 301 * SECOND));
    ck_assert(sa_task__track_is_looping(&track, 700 * SECOND));
    ck_assert(!sa_task__track_is_looping(&track, 701 * SECOND));
}

SA_TEST(slow_crashes_and_good_ends_are_no_loop)
{
    sa_task_track_t slow = {0};
    sa_task_track_t good = {0};

    (void)pool;
    note(&slow, SA_OS_SERVICE_RUNNING, 0);
    note(&good, SA_OS_SERVICE_RUNNING, 0);
    for (apr_uint64_t i = 0; i < 10; i++) {
        crash(&slow, i, "exit-code", (apr_interval_time_t)(i + 1) * 301 * SECOND);
        ck_assert(!sa_task__track_is_looping(&slow, (apr_interval_time_t)(i + 1) * 301 * SECOND));
        restart(&slow, i + 1, (apr_interval_time_t)(i + 1) * 301 * SECOND + 1);
        crash(&good, i, "success", (apr_interval_time_t)(i + 1) * SECOND);
        restart(&good, i + 1, (apr_interval_time_t)(i + 1) * SECOND + 1);
        ck_assert(!sa_task__track_is_looping(&good, (apr_interval_time_t)(i + 1) * SECOND + 1));
    }
}

SA_TEST(restarts_that_nobody_saw_count_too)
{
    sa_task_track_t track = {0};

    (void)pool;
    restart(&track, 7, 0);          /* long ago, perhaps */
    ck_assert(!sa_task__track_is_looping(&track, 0));
    restart(&track, 12, 60 * SECOND);
    ck_assert(sa_task__track_is_looping(&track, 60 * SECOND));
}

SA_TEST(one_that_is_found_in_its_loop_is_said_to_loop)
{
    sa_task_track_t track = {0};

    (void)pool;
    crash(&track, 40, "exit-code", 0);
    ck_assert(sa_task__track_is_looping(&track, 0));
}

SA_TEST(a_start_by_hand_begins_the_count_anew)
{
    sa_task_track_t track = {0};

    (void)pool;
    note(&track, SA_OS_SERVICE_RUNNING, 0);
    crash(&track, 0, "signal", SECOND);
    restart(&track, 1, 2 * SECOND);
    note(&track, SA_OS_SERVICE_RUNNING, 3 * SECOND);
    ck_assert_uint_eq(track.ends, 0);
    crash(&track, 0, "signal", 4 * SECOND);
    ck_assert_uint_eq(track.ends, 1);
    ck_assert(!sa_task__track_is_looping(&track, 4 * SECOND));
}

SA_TEST(one_given_up_does_not_loop)
{
    sa_task_track_t track = {0};
    sa_os_service_state_t state = make_state(SA_OS_SERVICE_FAILED);

    note(&track, SA_OS_SERVICE_RUNNING, 0);
    for (apr_uint64_t i = 0; i < 4; i++) {
        crash(&track, i, "exit-code", SECOND + (apr_interval_time_t)i);
    }
    (void)told(&track, 9 * SECOND, pool);
    state.restarts = 4;
    state.has_exit_code = true;
    state.exit_code = 3;
    apr_cpystrn(state.result, "exit-code", sizeof(state.result));
    sa_task__track_note(&track, &state, 10 * SECOND);
    ck_assert_str_eq(told(&track, 10 * SECOND, pool),
                     "[{\"name\":\"web\",\"status\":\"Error\",\"unit\":\"web.service\","
                     "\"restarts\":4,\"result\":\"exit-code\",\"exit_code\":3,\"gave_up\":true,"
                     "\"previous\":\"Starting\",\"changes\":1}]");
}

SA_TEST(a_query_that_failed_is_no_crash_and_no_giving_up)
{
    sa_task_track_t track = {0};
    sa_os_service_state_t state = make_state(SA_OS_SERVICE_FAILED);
    const char *text;

    restart(&track, 5, 0);
    apr_cpystrn(state.error, "no such object", sizeof(state.error));
    state.restarts = 9;
    sa_task__track_note(&track, &state, SECOND);
    text = told(&track, SECOND, pool);
    ck_assert_ptr_nonnull(strstr(text, "\"status\":\"Error\""));
    ck_assert_ptr_nonnull(strstr(text, "\"error\":\"no such object\""));
    ck_assert_ptr_null(strstr(text, "gave_up"));
    restart(&track, 5, 2 * SECOND);
    ck_assert(!sa_task__track_is_looping(&track, 2 * SECOND));
}

SA_TEST(what_becomes_of_its_file_is_told)
{
    sa_task_track_t track = {0};
    sa_os_service_state_t state = make_state(SA_OS_SERVICE_STOPPED);

    note(&track, SA_OS_SERVICE_STOPPED, 0);
    apr_cpystrn(state.load, "masked", sizeof(state.load));
    sa_task__track_note(&track, &state, SECOND);
    ck_assert_ptr_nonnull(strstr(told(&track, SECOND, pool),
                                 "\"load\":\"masked\",\"restarts\":0,\"result\":\"success\","
                                 "\"previous\":\"Stopped\",\"changes\":1"));
    note(&track, SA_OS_SERVICE_RUNNING, 20 * SECOND);
    (void)told(&track, 20 * SECOND, pool);
    /* removed under a process that goes on */
    state.status = SA_OS_SERVICE_NOT_INSTALLED;
    apr_cpystrn(state.load, "not-found", sizeof(state.load));
    apr_cpystrn(state.substate, "running", sizeof(state.substate));
    sa_task__track_note(&track, &state, 40 * SECOND);
    ck_assert_str_eq(told(&track, 40 * SECOND, pool),
                     "[{\"name\":\"web\",\"status\":\"NotInstalled\",\"unit\":\"web.service\","
                     "\"substate\":\"running\",\"previous\":\"Running\",\"changes\":1}]");
}

SA_TEST(how_it_ended_is_not_lost_when_it_runs_again)
{
    sa_task_track_t track = {0};

    note(&track, SA_OS_SERVICE_RUNNING, 0);
    crash(&track, 0, "exit-code", SECOND);
    restart(&track, 1, SECOND + MS);
    ck_assert_ptr_nonnull(strstr(told(&track, SECOND + MS, pool),
                                 "\"status\":\"Running\",\"unit\":\"web.service\",\"restarts\":1,"
                                 "\"result\":\"success\",\"exit_code\":3,"));
    note(&track, SA_OS_SERVICE_STOPPED, 60 * SECOND);
    ck_assert_ptr_null(strstr(told(&track, 60 * SECOND, pool), "exit_code"));
}

/* ---- the thread, with a manager of ours ----------------------------------------------- */

typedef struct step_t {
    apr_interval_time_t at;
    int place;
    sa_os_service_status_t status;
} step_t;

#define GIVEN_MAX 256

struct sa_os_services_t {
    sa_os_service_fn_t fn;
    void *baton;
    int count;
};

static struct {
    apr_pool_t *pool;
    sa_os_mutex_t *mutex;           /* guards everything below */
    sa_os_cond_t *moved;
    apr_interval_time_t now;
    apr_interval_time_t end;
    bool asleep;
    bool woken;
    const step_t *steps;            /* until at is 0 */
    sa_os_service_status_t status[2];
    apr_status_t failure;           /* of a refresh */
    bool refuse;                    /* whatever list */
    struct {
        apr_interval_time_t at;
        sa_deliver_t deliver;
        const char *name;
        const char *data;
    } given[GIVEN_MAX];
    int given_count;
} fake;

static apr_interval_time_t read_mono(void *baton)
{
    apr_interval_time_t now;

    (void)baton;
    sa_os_mutex_lock(fake.mutex);
    now = fake.now;
    sa_os_mutex_unlock(fake.mutex);
    return now;
}

static apr_time_t read_now(void *baton)
{
    return 1785934245 * SECOND + read_mono(baton);
}

sa_error_t *sa_outbox_give(sa_outbox_t *outbox, sa_report_t **report)
{
    (void)outbox;
    sa_os_mutex_lock(fake.mutex);
    SA_ASSERT(fake.given_count < GIVEN_MAX);
    fake.given[fake.given_count].at = fake.now;
    fake.given[fake.given_count].deliver = (*report)->deliver;
    fake.given[fake.given_count].name = apr_pstrdup(fake.pool, (*report)->name);
    fake.given[fake.given_count].data = apr_pstrmemdup(fake.pool, (*report)->data,
                                                       (*report)->length);
    fake.given_count++;
    sa_os_mutex_unlock(fake.mutex);
    sa_report_destroy(*report);
    *report = NULL;
    return SA_OK;
}

size_t sa_outbox_max_payload(sa_outbox_t *outbox)
{
    (void)outbox;
    return 1 << 20;
}

sa_error_t *sa_os_services_open(sa_os_services_t **services, sa_os_service_fn_t fn, void *baton,
                                apr_pool_t *pool)
{
    *services = apr_pcalloc(pool, sizeof(**services));
    (*services)->fn = fn;
    (*services)->baton = baton;
    return SA_OK;
}

sa_error_t *sa_os_services_watch(sa_os_services_t *services, const apr_array_header_t *names)
{
    services->count = names->nelts;
    return fake.refuse ? sa_error(SA_ERR_LIMIT, NULL, "too many") : SA_OK;
}

static void tell(sa_os_services_t *services, int place)
{
    sa_os_service_state_t state = make_state(fake.status[place]);

    services->fn(services->baton, place, &state);
}

sa_error_t *sa_os_services_refresh(sa_os_services_t *services, apr_interval_time_t deadline)
{
    (void)deadline;
    if (fake.failure) {
        return sa_error(fake.failure, NULL, "the manager has gone fishing");
    }
    for (int i = 0; i < services->count; i++) {
        tell(services, i);
    }
    return SA_OK;
}

sa_error_t *sa_os_services_wait(sa_os_services_t *services, apr_interval_time_t deadline)
{
    const step_t *step = NULL;

    sa_os_mutex_lock(fake.mutex);
    while (!fake.woken && fake.now >= fake.end) {
        fake.asleep = true;
        sa_os_cond_broadcast(fake.moved);
        sa_os_cond_wait(fake.moved, fake.mutex, SA_OS_NEVER);
    }
    if (!fake.woken) {
        apr_interval_time_t to = deadline < fake.end ? deadline : fake.end;

        if (fake.steps && fake.steps->at && fake.steps->at <= to) {
            step = fake.steps++;
            to = step->at;
            fake.status[step->place] = step->status;
        }
        fake.now = to > fake.now ? to : fake.now;
    }
    sa_os_mutex_unlock(fake.mutex);
    if (step) {
        tell(services, step->place);
    }
    return SA_OK;
}

bool sa_os_services_is_up(const sa_os_services_t *services)
{
    (void)services;
    return fake.failure == APR_SUCCESS;
}

void sa_os_services_wake(sa_os_services_t *services)
{
    (void)services;
    sa_os_mutex_lock(fake.mutex);
    fake.woken = true;
    sa_os_cond_broadcast(fake.moved);
    sa_os_mutex_unlock(fake.mutex);
}

static void run_until(apr_interval_time_t end)
{
    sa_os_mutex_lock(fake.mutex);
    fake.end = end;
    fake.asleep = false;
    sa_os_cond_broadcast(fake.moved);
    while (!fake.asleep) {
        sa_os_cond_wait(fake.moved, fake.mutex, SA_OS_NEVER);
    }
    sa_os_mutex_unlock(fake.mutex);
}

static sa_config_t *load(const char *service_check, apr_pool_t *pool)
{
    const char *text = apr_pstrcat(pool, "code: t1\nlocation: attic\nnats: {urls: [\"nats://h\"]}\n"
                                   "tasks:\n  service_check: ", service_check, "\n", NULL);
    const sa_config_source_t source = {
        .file = sa_test_file(sa_test_dir(pool), "agent.yaml", text, 0600, pool)
    };
    apr_array_header_t *complaints;
    sa_config_t *config;

    SA_ASSERT_OK(sa_config_load(&config, &complaints, &source, pool));
    return config;
}

static sa_tasks_t *begin(const step_t *steps, apr_pool_t *pool)
{
    static const sa_clock_t clock = {.now = read_now, .mono = read_mono};
    sa_tasks_t *tasks;

    memset(&fake, 0, sizeof(fake));
    fake.pool = sa_pool_create_root();      /* the thread's, beside POOL */
    fake.mutex = sa_os_mutex_create(pool);
    fake.moved = sa_os_cond_create(pool);
    fake.now = 1;
    fake.steps = steps;
    fake.status[0] = SA_OS_SERVICE_RUNNING;
    fake.status[1] = SA_OS_SERVICE_STOPPED;
    sa_time_set_clock(&clock);
    SA_ASSERT_OK(sa_tasks_create(&tasks, NULL, pool));
    return tasks;
}

static void watch(sa_tasks_t *tasks, const char *service_check, apr_pool_t *pool)
{
    SA_ASSERT_OK(sa_task__services_apply(tasks, load(service_check, pool)));
}

static void end(sa_tasks_t *tasks)
{
    sa_task__services_stop(tasks);
    sa_time_set_clock(NULL);
    apr_pool_destroy(fake.pool);
}

#define BOTH "{interval: 1m, services: [web, db]}"

SA_TEST(all_states_are_reported_at_once_and_then_each_interval)
{
    sa_tasks_t *tasks = begin(NULL, pool);

    watch(tasks, BOTH, pool);
    run_until(10 * 60 * SECOND);
    ck_assert_str_eq(fake.given[0].name, "telemetry.service");
    ck_assert_int_eq(fake.given[0].deliver, SA_DELIVER_DURABLE);
    ck_assert_int_eq(fake.given[0].at, 1);
    ck_assert_str_eq(fake.given[0].data,
                     "{\"code\":\"t1\",\"location\":\"attic\",\"ts\":\"2026-08-05T12:50:45Z\","
                     "\"services\":[{\"name\":\"web\",\"status\":\"Running\","
                     "\"unit\":\"web.service\",\"restarts\":0,\"result\":\"success\"},"
                     "{\"name\":\"db\",\"status\":\"Stopped\",\"unit\":\"web.service\","
                     "\"restarts\":0,\"result\":\"success\"}]}");
    ck_assert_int_ge(fake.given_count, 10);
    ck_assert_int_le(fake.given_count, 11);
    for (int i = 3; i < fake.given_count; i++) {
        ck_assert_int_eq(fake.given[i].at - fake.given[i - 1].at, 60 * SECOND);
    }
    end(tasks);
}

SA_TEST(a_change_is_a_report_of_what_changed_at_its_very_moment)
{
    static const step_t steps[] = {
        {2 * SECOND, 1, SA_OS_SERVICE_STARTING}, {2 * SECOND + 5, 1, SA_OS_SERVICE_RUNNING},
        {3 * SECOND, 0, SA_OS_SERVICE_FAILED}, {0, 0, 0}
    };
    sa_tasks_t *tasks = begin(steps, pool);

    watch(tasks, BOTH, pool);
    run_until(5 * SECOND);
    ck_assert_int_eq(fake.given_count, 4);
    ck_assert_int_eq(fake.given[1].at, 2 * SECOND);
    ck_assert_int_eq(fake.given[2].at, 2 * SECOND + 5);
    ck_assert_int_eq(fake.given[3].at, 3 * SECOND);
    ck_assert_ptr_nonnull(strstr(fake.given[3].data, "\"event\":\"change\",\"services\":["
                                 "{\"name\":\"web\",\"status\":\"Error\""));
    ck_assert_ptr_null(strstr(fake.given[3].data, "\"db\""));
    end(tasks);
}

SA_TEST(the_twin_has_all_of_them_after_each_change)
{
    static const step_t steps[] = {{2 * SECOND, 1, SA_OS_SERVICE_RUNNING}, {0, 0, 0}};
    sa_tasks_t *tasks = begin(steps, pool);

    watch(tasks, "{interval: 1m, services: [web, db], twin: true}", pool);
    run_until(5 * SECOND);
    ck_assert_int_eq(fake.given_count, 4);
    ck_assert_str_eq(fake.given[3].name, "service");
    ck_assert_int_eq(fake.given[3].deliver, SA_DELIVER_LATEST);
    ck_assert_ptr_null(strstr(fake.given[3].data, "Stopped"));
    ck_assert_ptr_nonnull(strstr(fake.given[3].data, "\"web\""));
    end(tasks);
}

SA_TEST(where_there_is_no_manager_all_are_unknown_and_the_reason_is_said)
{
    static const apr_status_t failures[] = {SA_ERR_NOT_ON_THIS_OS, SA_ERR_SERVICES};

    for (size_t i = 0; i < 2; i++) {
        sa_tasks_t *tasks = begin(NULL, pool);

        fake.failure = failures[i];
        watch(tasks, BOTH, pool);
        run_until(5 * SECOND);
        ck_assert_int_eq(fake.given_count, 1);
        run_until(180 * SECOND);        /* it stays on schedule */
        ck_assert_int_ge(fake.given_count, 3);
        ck_assert_int_le(fake.given_count, 5);
        ck_assert_ptr_nonnull(strstr(fake.given[2].data, "\"reason\""));
        ck_assert_ptr_nonnull(strstr(fake.given[0].data,
                                     "\"services\":[{\"name\":\"web\",\"status\":\"Unknown\"},"
                                     "{\"name\":\"db\",\"status\":\"Unknown\"}],"
                                     "\"reason\":\"the manager has gone fishing\"}"));
        end(tasks);
    }
}

SA_TEST(a_manager_that_stopped_answering_is_an_error)
{
    sa_tasks_t *tasks = begin(NULL, pool);
    apr_uint64_t failures = sa_stats_read(SA_STAT_service_check_failures);

    watch(tasks, BOTH, pool);
    run_until(5 * SECOND);
    fake.failure = SA_ERR_SERVICES;
    run_until(70 * SECOND);
    ck_assert_int_eq(fake.given_count, 2);
    ck_assert_ptr_nonnull(strstr(fake.given[1].data, "\"status\":\"error\","
                                 "\"error\":\"the manager has gone fishing\"}"));
    ck_assert_uint_eq(sa_stats_read(SA_STAT_service_check_failures) - failures, 1);
    end(tasks);
}

SA_TEST(without_services_there_is_no_thread_and_no_report)
{
    static const char *const texts[] = {"{}", "{enabled: true}", "{services: []}",
                                        "{enabled: false, services: [web]}"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        sa_tasks_t *tasks = begin(NULL, pool);

        watch(tasks, texts[i], pool);
        ck_assert_ptr_null(tasks->services);
        end(tasks);
        ck_assert_int_eq(fake.given_count, 0);
    }
}

SA_TEST(a_reload_watches_others_and_leaves_the_same_alone)
{
    sa_tasks_t *tasks = begin(NULL, pool);
    const sa_task_services_t *first;

    watch(tasks, BOTH, pool);
    first = tasks->services;
    watch(tasks, BOTH, pool);
    ck_assert_ptr_eq(tasks->services, first);
    run_until(SECOND);
    ck_assert_int_eq(fake.given_count, 1);
    watch(tasks, "{interval: 1m, services: [web]}", pool);
    sa_os_mutex_lock(fake.mutex);
    fake.woken = false;
    sa_os_mutex_unlock(fake.mutex);
    run_until(2 * SECOND);
    ck_assert_int_eq(fake.given_count, 2);
    ck_assert_ptr_null(strstr(fake.given[1].data, "\"db\""));
    watch(tasks, "{}", pool);
    ck_assert_ptr_null(tasks->services);
    end(tasks);
}

SA_TEST(a_list_that_is_refused_leaves_the_old_one_watched)
{
    static const step_t steps[] = {{2 * SECOND, 1, SA_OS_SERVICE_RUNNING}, {0, 0, 0}};
    sa_tasks_t *tasks = begin(steps, pool);
    const sa_task_services_t *first;

    watch(tasks, BOTH, pool);
    first = tasks->services;
    sa_os_mutex_lock(fake.mutex);
    fake.refuse = true;
    sa_os_mutex_unlock(fake.mutex);
    SA_ASSERT_ERR(sa_task__services_apply(tasks, load("{interval: 1m, services: [web]}", pool)),
                  SA_ERR_LIMIT);
    ck_assert_ptr_eq(tasks->services, first);
    run_until(5 * SECOND);
    ck_assert_int_eq(fake.given_count, 2);
    ck_assert_ptr_nonnull(strstr(fake.given[1].data, "\"event\":\"change\""));
    end(tasks);
}

SA_TEST_MAIN("task_services", the_first_state_is_no_change, each_step_of_one_way_is_told_at_once,
             one_that_flaps_is_told_once_a_second_with_a_count,
             what_was_held_back_is_told_a_second_after_the_last_report,
             after_a_quiet_time_a_change_is_told_at_once_again,
             three_crashes_in_ten_minutes_are_a_loop, slow_crashes_and_good_ends_are_no_loop,
             restarts_that_nobody_saw_count_too, one_that_is_found_in_its_loop_is_said_to_loop,
             a_start_by_hand_begins_the_count_anew, one_given_up_does_not_loop,
             a_query_that_failed_is_no_crash_and_no_giving_up, what_becomes_of_its_file_is_told,
             how_it_ended_is_not_lost_when_it_runs_again,
             all_states_are_reported_at_once_and_then_each_interval,
             a_change_is_a_report_of_what_changed_at_its_very_moment,
             the_twin_has_all_of_them_after_each_change,
             where_there_is_no_manager_all_are_unknown_and_the_reason_is_said,
             a_manager_that_stopped_answering_is_an_error,
             without_services_there_is_no_thread_and_no_report,
             a_reload_watches_others_and_leaves_the_same_alone,
             a_list_that_is_refused_leaves_the_old_one_watched)
