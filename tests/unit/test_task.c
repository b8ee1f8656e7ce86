/* task: the schedule, under a clock that moves when the thread sleeps. */
#include <apr_strings.h>

#include "../fakes/fake_time.h"
#include "sa_config.h"
#include "sa_stats.h"
#include "sa_task.h"
#include "sa_test.h"
#include "sa_test_server.h"

#define SECOND APR_INT64_C(1000000)
#define MINUTE (60 * SECOND)

static sa_config_t *load(const char *tasks, apr_pool_t *pool)
{
    const char *text = apr_pstrcat(pool, "code: t1\nlocation: attic\nnats: {urls: [\"nats://h\"]}\n"
                                   "tasks:\n", tasks, NULL);
    const sa_config_source_t source = {
        .file = sa_test_file(sa_test_dir(pool), "agent.yaml", text, 0600, pool)
    };
    apr_array_header_t *complaints;
    sa_config_t *config;

    SA_ASSERT_OK(sa_config_load(&config, &complaints, &source, pool));
    return config;
}

static sa_tasks_t *start(const char *tasks_text, apr_pool_t *pool)
{
    sa_tasks_t *tasks;

    fake_begin(pool);
    SA_ASSERT_OK(sa_tasks_create(&tasks, NULL, pool));
    SA_ASSERT_OK(sa_tasks_start(tasks, load(tasks_text, pool)));
    return tasks;
}

static void stop(sa_tasks_t *tasks)
{
    sa_tasks_stop(tasks);
    fake_end();
}

#define QUIET "  system_metrics: {enabled: false}\n  inventory: {enabled: false}\n"

SA_TEST(a_beat_comes_at_once_when_the_bus_is_up_and_then_each_interval)
{
    sa_tasks_t *tasks = start(QUIET "  heartbeat: {interval: 30s}\n", pool);
    const fake_given_t *beat;
    apr_interval_time_t before;
    int place = 0;

    fake_run_until(MINUTE);
    ck_assert_int_eq(fake_count_given("heartbeat"), 0);     /* nobody would hear it */
    sa_tasks_bus_edge(tasks, true);
    fake_run_until(MINUTE + 1);
    ck_assert_int_eq(fake_count_given("status"), 1);
    fake_run_until(11 * MINUTE);
    beat = fake_next_given(&place, "heartbeat");
    ck_assert_int_ge(beat->at, MINUTE);
    ck_assert_int_le(beat->at, MINUTE + 1);
    ck_assert_int_eq(beat->deliver, SA_DELIVER_NOW);
    ck_assert_ptr_nonnull(strstr(beat->data,
                                 "\"code\":\"t1\",\"location\":\"attic\",\"ts\":\"2026"));
    beat = fake_next_given(&place, "heartbeat");            /* the same one, in the twin */
    ck_assert_int_eq(beat->deliver, SA_DELIVER_LATEST);
    ck_assert_ptr_nonnull(strstr(beat->data, "\"interval\":\"30s\""));
    beat = fake_next_given(&place, "heartbeat");            /* the phase is random, within one */
    ck_assert_int_le(beat->at, MINUTE + 30 * SECOND + 2);
    fake_next_given(&place, "heartbeat");
    before = beat->at;
    for (int i = 0; i < 10; i++) {
        beat = fake_next_given(&place, "heartbeat");
        ck_assert_int_eq(beat->at, before + 30 * SECOND);
        before = beat->at;
        fake_next_given(&place, "heartbeat");
    }
    stop(tasks);
}

SA_TEST(devices_have_different_phases)
{
    apr_interval_time_t second[2];

    for (int i = 0; i < 2; i++) {
        sa_tasks_t *tasks = start(QUIET "  heartbeat: {interval: 1h, twin: false}\n", pool);
        int place = 0;

        sa_tasks_bus_edge(tasks, true);
        fake_run_until(61 * MINUTE);
        (void)fake_next_given(&place, "heartbeat");
        second[i] = fake_next_given(&place, "heartbeat")->at;
        stop(tasks);
    }
    ck_assert_int_ne(second[0], second[1]);
}

SA_TEST(offline_is_said_at_the_end)
{
    sa_tasks_t *tasks = start(QUIET "  heartbeat: {interval: 30s}\n", pool);
    int place = 0;

    sa_tasks_stop(tasks);
    ck_assert_str_eq(fake_next_given(&place, "status")->data, "offline");
    fake_end();
}

static int wanted_reports;

/* Without those that say the collector was overdue: its thread works in real
 * time, and simulated time may run past its deadline meanwhile. */
static int count_readings(void)
{
    const fake_given_t *given;
    int place = 0;
    int count = 0;

    for (given = fake_next_given(&place, "telemetry.system"); given;
         given = fake_next_given(&place, "telemetry.system")) {
        count += strstr(given->data, "\"status\":\"error\"") == NULL;
    }
    return count;
}

static bool has_reports(void *baton)
{
    (void)baton;
    /* the collector gives its report and then says that it is done: once for
     * each, and once for the first reading that nothing is reported of */
    return count_readings() >= wanted_reports && fake_wakes() > wanted_reports;
}

SA_TEST(metrics_come_soon_after_the_start_and_then_each_interval)
{
    sa_tasks_t *tasks = start("  heartbeat: {enabled: false}\n"
                              "  inventory: {enabled: false}\n", pool);
    const fake_given_t *report;
    int place = 0;

    /* simulated time stands still while the collector's thread works */
    fake_run_until(2 * SECOND);
    for (wanted_reports = 1; wanted_reports < 10; wanted_reports++) {
        ck_assert(sa_test_wait(has_reports, NULL, MINUTE));
        fake_run_until(2 * SECOND + wanted_reports * MINUTE);
    }
    report = fake_next_given(&place, "telemetry.system");
    ck_assert_int_eq(report->deliver, SA_DELIVER_DURABLE);
    ck_assert_int_ge(report->at, SECOND);       /* two readings, one second apart */
    ck_assert_int_le(report->at, 2 * SECOND);
    ck_assert_ptr_nonnull(strstr(report->data, "\"memory_total_gb\":1"));
    stop(tasks);
    ck_assert_int_ge(count_readings(), 9);
    ck_assert_int_le(count_readings(), 11);
}

SA_TEST(a_disk_that_hangs_stops_neither_heartbeat_nor_exporters)
{
    sa_tasks_t *tasks = start("  heartbeat: {interval: 30s, twin: false}\n"
                              "  inventory: {enabled: false}\n"
                              "  exporters: [{name: x, url: \"http://h/\", interval: 1m}]\n", pool);
    apr_uint64_t failures = sa_stats_read(SA_STAT_metrics_failures);
    const fake_given_t *report;
    int place = 0;

    fake_set_page("a 1\n");
    fake_block_disks(true);
    sa_tasks_bus_edge(tasks, true);
    fake_run_until(10 * MINUTE);
    report = fake_next_given(&place, "telemetry.system");
    ck_assert_ptr_nonnull(strstr(report->data, "\"status\":\"error\""));
    ck_assert_int_ge(report->at, 20 * SECOND);
    ck_assert_int_eq(fake_count_given("telemetry.system"), 1);      /* said once, not each time */
    ck_assert_uint_eq(sa_stats_read(SA_STAT_metrics_failures) - failures, 1);
    ck_assert_int_ge(fake_count_given("heartbeat"), 19);
    ck_assert_int_ge(fake_count_given("telemetry.metrics.x"), 9);
    fake_block_disks(false);
    stop(tasks);
}

SA_TEST(a_slow_exporter_is_not_asked_again_while_it_is_at_work)
{
    sa_tasks_t *tasks = start(QUIET "  heartbeat: {enabled: false}\n"
                              "  exporters: [{name: x, url: \"http://h/\", interval: 10s}]\n",
                              pool);

    fake_set_page(NULL);
    fake_run_until(10 * MINUTE);
    ck_assert_int_eq(fake_http_started(), 1);
    stop(tasks);
}

SA_TEST(a_page_is_forwarded_with_the_devices_labels)
{
    sa_tasks_t *tasks = start(QUIET "  heartbeat: {enabled: false}\n"
                              "  exporters: [{name: node, url: \"http://h:9100/m\", "
                              "labels: {rack: \"7\"}}]\n", pool);
    const fake_given_t *report;
    int place = 0;

    fake_set_page("a 1\nbad line here {\n");
    fake_run_until(SECOND);
    report = fake_next_given(&place, "telemetry.metrics.node");
#define LABELS \
    "{code=\"t1\",location=\"attic\",job=\"node\",instance=\"h:9100\",rack=\"7\"} "
#define NOW " 1785934245000\n"
    ck_assert_str_eq(report->data,
                     "a" LABELS "1" NOW "# TYPE up gauge\nup" LABELS "1" NOW
                     "# TYPE scrape_duration_seconds gauge\n"
                     "scrape_duration_seconds" LABELS "0.000000" NOW
                     "# TYPE scrape_samples_scraped gauge\nscrape_samples_scraped" LABELS "1" NOW
                     "# TYPE scrape_samples_post_metric_relabeling gauge\n"
                     "scrape_samples_post_metric_relabeling" LABELS "1" NOW);
    stop(tasks);
}

SA_TEST(a_reload_replaces_the_schedule)
{
    sa_tasks_t *tasks = start(QUIET "  heartbeat: {enabled: false}\n"
                              "  exporters: [{name: x, url: \"http://h/\", interval: 10s}]\n",
                              pool);

    fake_set_page("a 1\n");
    fake_run_until(MINUTE);
    ck_assert_int_ge(fake_count_given("telemetry.metrics.x"), 6);
    sa_tasks_reload(tasks, load(QUIET "  heartbeat: {interval: 10s, twin: false}\n", pool));
    sa_tasks_bus_edge(tasks, true);
    fake_run_until(MINUTE + 1);
    ck_assert_int_eq(fake_count_given("telemetry.metrics.x"), fake_http_started());
    fake_run_until(2 * MINUTE);
    ck_assert_int_le(fake_count_given("telemetry.metrics.x"), 8);
    ck_assert_int_ge(fake_count_given("heartbeat"), 6);
    stop(tasks);
}

SA_TEST_MAIN("task", a_beat_comes_at_once_when_the_bus_is_up_and_then_each_interval,
             devices_have_different_phases, offline_is_said_at_the_end,
             metrics_come_soon_after_the_start_and_then_each_interval,
             a_disk_that_hangs_stops_neither_heartbeat_nor_exporters,
             a_slow_exporter_is_not_asked_again_while_it_is_at_work,
             a_page_is_forwarded_with_the_devices_labels, a_reload_replaces_the_schedule)
