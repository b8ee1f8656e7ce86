/* outbox: a disk that refuses or lies, with a fake bus and a time of its own.
 *
 * The outbox is taken step by step, as in tests/simulate: no thread, no waiting.
 * The test's name for a report is its number: it is told by its content. */
#include <apr_file_io.h>
#include <apr_strings.h>
#include <sqlite3.h>

#include "../../src/outbox/sa_outbox_private.h"
#include "fake_link.h"
#include "fault_vfs.h"
#include "sa_log.h"
#include "sa_os_file.h"
#include "sa_test.h"
#include "sa_test_server.h"
#include "sa_time.h"

#define SECOND APR_INT64_C(1000000)
#define START (1785934245 * SECOND)

typedef struct life_t {
    apr_pool_t *pool;
    apr_pool_t *agent_pool;
    const char *directory;
    const char *log;
    const char *spool;
    sa_config_t config;
    sa_outbox_t *outbox;
} life_t;

static apr_interval_time_t mono;

static apr_interval_time_t read_mono(void *baton)
{
    (void)baton;
    return mono;
}

static apr_time_t read_now(void *baton)
{
    (void)baton;
    return START + mono;
}

/* ---- one agent -------------------------------------------------------------- */

static sa_error_t *start_agent(life_t *life)
{
    sa_link_t *link;

    life->agent_pool = sa_pool_create(life->pool);
    SA_ASSERT_OK(sa_link_create(&link, life->agent_pool));
    SA_ASSERT_OK(sa_outbox_create(&life->outbox, link, life->agent_pool));
    return sa_outbox__open(life->outbox, &life->config);
}

static void kill_agent(life_t *life)
{
    fake_bus_forget_link();
    apr_pool_destroy(life->agent_pool);
}

static life_t *make_life(apr_pool_t *pool)
{
    static const sa_clock_t clock = {.now = read_now, .mono = read_mono};
    static bool registered;
    life_t *life = apr_pcalloc(pool, sizeof(*life));
    sa_log_settings_t settings = {.level = SA_LEVEL_info, .format = SA_LOG_JSON};

    if (!registered) {
        fault_vfs_register();
        registered = true;
    }
    fault_vfs_set(FAULT_NONE);
    mono = SECOND;
    sa_time_set_clock(&clock);
    life->pool = pool;
    life->directory = sa_test_dir(pool);
    life->spool = apr_pstrcat(pool, life->directory, "/spool.db", NULL);
    life->log = apr_pstrcat(pool, life->directory, "/log", NULL);
    settings.path = life->log;
    SA_ASSERT_OK(sa_log_open(&settings, pool));
    life->config = (sa_config_t){
        .code = "sim", .subject_prefix = "agents", .paths_state = life->directory,
        .spool_max_size = 1 << 20, .spool_max_age = 7 * 86400 * SECOND, .spool_window = 16,
        .spool_duplicate_window = 120 * SECOND, .spool_ack_timeout = 5 * SECOND
    };
    fake_bus_open(7, 120 * SECOND, pool);
    fake_bus_heal();
    return life;
}

static void end_life(life_t *life)
{
    kill_agent(life);
    sa_log_close();
}

/* Let everything happen that is due within LIMIT. */
static void live(life_t *life, apr_interval_time_t limit)
{
    apr_interval_time_t end = mono + limit;

    while (mono < end) {
        apr_interval_time_t due = sa_outbox__step(life->outbox);
        apr_interval_time_t bus = fake_bus_next();

        due = bus < due ? bus : due;
        due = sa_queue_length(life->outbox->mailbox) > 0 ? mono : due;
        due = due < end ? due : end;
        mono = due > mono ? due : mono + 1;
        fake_bus_advance(mono);
    }
}

static void give(life_t *life, int count)
{
    for (int i = 0; i < count; i++) {
        sa_report_t *report = sa_report_create(SA_DELIVER_DURABLE, "telemetry.x", NULL,
                                               "0123456789", 10);

        SA_ASSERT_OK(sa_outbox_give(life->outbox, &report));
    }
}

/* ---- what is known of it ----------------------------------------------------- */

static bool log_says(life_t *life, const char *text)
{
    return strstr(sa_test_read(life->log, life->pool), text) != NULL;
}

static int log_counts(life_t *life, const char *event)
{
    const char *at = sa_test_read(life->log, life->pool);
    const char *text = apr_psprintf(life->pool, "\"%s\"", event);
    int count = 0;

    for (at = strstr(at, text); at; at = strstr(at + 1, text)) {
        count++;
    }
    return count;
}

static sa_spool_state_t spool_state(life_t *life)
{
    sa_spool_state_t state;

    sa_spool_read_state(&state, life->outbox->durable.spool);
    return state;
}

/* Numbers FIRST to LAST of the present spool are in the stream once. */
static void check_stored(life_t *life, apr_int64_t first, apr_int64_t last)
{
    for (apr_int64_t seq = first; seq <= last; seq++) {
        ck_assert_msg(fake_stream_count(sa_spool_boot(life->outbox->durable.spool), seq) == 1,
                      "number %d is there %d times", (int)seq,
                      fake_stream_count(sa_spool_boot(life->outbox->durable.spool), seq));
    }
}

/* Change the database while the agent is away. */
static void change(life_t *life, const char *sql)
{
    sqlite3 *db;

    ck_assert_int_eq(sqlite3_open(life->spool, &db), SQLITE_OK);
    ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s: %s", sql,
                  sqlite3_errmsg(db));
    sqlite3_close(db);
}

static int ask_spool(life_t *life, const char *sql)
{
    sqlite3_stmt *stmt;
    sqlite3 *db;
    int number;

    ck_assert_int_eq(sqlite3_open(life->spool, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    ck_assert_int_eq(sqlite3_step(stmt), SQLITE_ROW);
    number = sqlite3_column_int(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return number;
}

/* A life that left COUNT reports behind, none of them sent. */
static life_t *leave_behind(int count, apr_pool_t *pool)
{
    life_t *life = make_life(pool);

    fake_bus_forget_link();
    SA_ASSERT_OK(start_agent(life));
    while (count > 0) {
        give(life, count < 60 ? count : 60);
        (void)sa_outbox__step(life->outbox);
        count -= 60;
    }
    kill_agent(life);
    return life;
}

/* ---- one report that the disk has changed -------------------------------------- */

SA_TEST(a_report_that_the_disk_changed_goes_aside_and_the_others_arrive)
{
    life_t *life = leave_behind(10, pool);

    change(life, "UPDATE report SET data = '0123456788' WHERE seq = 4");
    SA_ASSERT_OK(start_agent(life));
    live(life, 60 * SECOND);
    ck_assert_uint_eq(spool_state(life).reports, 0);
    check_stored(life, 1, 3);
    check_stored(life, 5, 10);
    ck_assert_uint_eq(fake_stream_size(), 9);
    ck_assert_int_eq(log_counts(life, "report_quarantined"), 1);
    ck_assert_int_eq(ask_spool(life, "SELECT seq FROM quarantine"), 4);
    end_life(life);
}

SA_TEST(a_quarantine_that_the_disk_refuses_is_made_up_for_later)
{
    for (int fault = FAULT_FULL; fault <= FAULT_IO; fault++) {
        apr_pool_t *life_pool = sa_pool_create(pool);
        life_t *life = leave_behind(10, life_pool);

        change(life, "UPDATE report SET data = '0123456788' WHERE seq = 4");
        SA_ASSERT_OK(start_agent(life));
        (void)sa_outbox__step(life->outbox);
        fault_vfs_set((fault_t)fault);
        live(life, 120 * SECOND);
        ck_assert_int_eq(log_counts(life, "report_quarantined"), 0);
        ck_assert_int_eq(log_counts(life, "spool_failed"), 1);
        ck_assert_uint_eq(spool_state(life).reports, 10);
        fault_vfs_set(FAULT_NONE);
        live(life, 120 * SECOND);
        ck_assert_uint_eq(spool_state(life).reports, 0);
        check_stored(life, 1, 3);
        check_stored(life, 5, 10);
        ck_assert_uint_eq(fake_stream_size(), 9);
        ck_assert_int_eq(log_counts(life, "report_quarantined"), 1);
        ck_assert_int_eq(log_counts(life, "spool_recovered"), 1);
        ck_assert_int_eq(ask_spool(life, "SELECT seq FROM quarantine"), 4);
        end_life(life);
        apr_pool_destroy(life_pool);
    }
}

/* ---- damage while it runs ------------------------------------------------------ */

/* Turn the bytes of pages FROM to UPTO of the database round. */
static void spoil_pages(life_t *life, apr_off_t from, apr_off_t upto)
{
    char page[4096];
    apr_file_t *file;

    memset(page, 0x5a, sizeof(page));
    ck_assert_int_eq(apr_file_open(&file, life->spool, APR_FOPEN_WRITE | APR_FOPEN_BINARY, 0,
                                   life->pool), APR_SUCCESS);
    for (apr_off_t i = from; i <= upto; i++) {
        apr_off_t offset = i * (apr_off_t)sizeof(page);

        apr_file_seek(file, APR_SET, &offset);
        ck_assert_int_eq(apr_file_write_full(file, page, sizeof(page), NULL), APR_SUCCESS);
    }
    apr_file_close(file);
}

/* The pages of an open spool's first reports. */
static void damage_first_reports(life_t *life)
{
    change(life, "DELETE FROM quarantine");     /* what is in its cache is read anew */
    spoil_pages(life, 8, 9);
}

SA_TEST(damage_found_when_it_is_read_costs_only_what_it_hit)
{
    life_t *life = leave_behind(1200, pool);
    char boot[16];

    SA_ASSERT_OK(start_agent(life));
    (void)sa_outbox__step(life->outbox);
    apr_cpystrn(boot, sa_spool_boot(life->outbox->durable.spool), sizeof(boot));
    damage_first_reports(life);
    live(life, 600 * SECOND);
    ck_assert_int_eq(log_counts(life, "spool_damaged"), 1);
    ck_assert_int_eq(log_counts(life, "spool_failed"), 0);
    ck_assert_str_ne(sa_spool_boot(life->outbox->durable.spool), boot);
    ck_assert_uint_eq(spool_state(life).reports, 0);
    check_stored(life, 1, spool_state(life).last_seq);
    ck_assert_uint_ge(fake_stream_size(), 1200 - 2 * 80);
    ck_assert_uint_lt(fake_stream_size(), 1200);
    give(life, 5);
    live(life, 60 * SECOND);
    ck_assert_uint_eq(spool_state(life).reports, 0);
    check_stored(life, 1, spool_state(life).last_seq);
    end_life(life);
}

SA_TEST(a_rescue_on_a_full_disk_waits_for_room_and_is_finished)
{
    life_t *life = leave_behind(1200, pool);

    SA_ASSERT_OK(start_agent(life));
    (void)sa_outbox__step(life->outbox);
    damage_first_reports(life);
    fault_vfs_set(FAULT_FULL);
    for (int i = 0; i < 10 && log_counts(life, "spool_failed") == 0; i++) {
        live(life, 30 * SECOND);        /* the bus takes its time to let us in */
    }
    ck_assert_int_eq(log_counts(life, "spool_failed"), 1);
    ck_assert(!sa_spool_is_open(life->outbox->durable.spool));
    ck_assert_uint_eq(fake_stream_size(), 0);       /* nothing without a name */
    give(life, 10);
    live(life, 90 * SECOND);
    fault_vfs_set(FAULT_NONE);
    live(life, 600 * SECOND);
    ck_assert_int_eq(log_counts(life, "spool_failed"), 1);
    ck_assert_int_eq(log_counts(life, "spool_recovered"), 1);
    ck_assert_int_eq(log_counts(life, "spool_damaged"), 1);
    ck_assert_uint_eq(spool_state(life).reports, 0);
    check_stored(life, 1, spool_state(life).last_seq);
    ck_assert_uint_ge(fake_stream_size(), 1200 + 10 - 2 * 80);
    end_life(life);
}

/* ---- a disk that refuses from the start ------------------------------------------ */

SA_TEST(an_agent_that_starts_on_a_full_disk_delivers_when_there_is_room)
{
    for (int fault = FAULT_FULL; fault <= FAULT_IO; fault++) {
        for (int left = 0; left < 2; left++) {
            apr_pool_t *life_pool = sa_pool_create(pool);
            life_t *life = leave_behind(left ? 20 : 0, life_pool);
            apr_uint64_t refused = sa_stats_read(SA_STAT_reports_refused);
            sa_spool_state_t state;

            if (!left) {
                (void)apr_file_remove(life->spool, pool);
            }
            fault_vfs_set((fault_t)fault);
            SA_ASSERT_OK(start_agent(life));
            give(life, 40);
            live(life, 30 * SECOND);
            ck_assert_int_eq(log_counts(life, "spool_failed"), 1);
            ck_assert_uint_eq(sa_stats_read(SA_STAT_spool_failed), 1);
            ck_assert_int_ne(sa_stats_health(), SA_HEALTHY);
            ck_assert_uint_eq(fake_stream_size() > 0,
                              sa_spool_is_open(life->outbox->durable.spool) && left);
            give(life, 40);             /* 64 wait, 16 are refused */
            live(life, 30 * SECOND);
            ck_assert_uint_eq(sa_stats_read(SA_STAT_reports_refused) - refused, 16);
            fault_vfs_set(FAULT_NONE);
            live(life, 120 * SECOND);
            ck_assert_int_eq(log_counts(life, "spool_recovered"), 1);
            ck_assert_uint_eq(sa_stats_read(SA_STAT_spool_failed), 0);
            state = spool_state(life);
            ck_assert_uint_eq(state.reports, 0);
            ck_assert_int_eq(state.last_seq, (left ? 20 : 0) + 64);
            check_stored(life, 1, state.last_seq);
            ck_assert_uint_eq(fake_stream_size(), (apr_uint64_t)state.last_seq);
            ck_assert(!log_says(life, "spool_damaged"));
            end_life(life);
            apr_pool_destroy(life_pool);
        }
    }
}

/* What only a person can mend is said at the start, which ends. */
SA_TEST(something_else_in_the_spools_place_ends_the_start)
{
    life_t *life = make_life(pool);
    char text[512];
    sa_error_t *err;

    ck_assert_int_eq(apr_dir_make(life->spool, APR_FPROT_OS_DEFAULT, pool), APR_SUCCESS);
    err = start_agent(life);
    ck_assert(sa_error_has(err, SA_ERR_FILE_UNSAFE));
    ck_assert_ptr_nonnull(strstr(sa_error_text(err, text, sizeof(text)), life->spool));
    sa_error_clear(err);
    kill_agent(life);
    ck_assert_int_eq(apr_dir_remove(life->spool, pool), APR_SUCCESS);
    SA_ASSERT_OK(start_agent(life));
    give(life, 3);
    live(life, 60 * SECOND);
    check_stored(life, 1, 3);
    end_life(life);
}

SA_TEST(a_late_answer_of_the_old_spool_removes_nothing_of_the_new_one)
{
    life_t *life = leave_behind(1200, pool);

    life->config.spool_window = 64;
    SA_ASSERT_OK(start_agent(life));
    while (fake_stream_size() == 0) {
        live(life, SECOND / 500);
    }
    change(life, "DELETE FROM quarantine");
    spoil_pages(life, 16, 17);
    live(life, 600 * SECOND);
    ck_assert_int_eq(log_counts(life, "spool_damaged"), 1);
    ck_assert_uint_eq(spool_state(life).reports, 0);
    check_stored(life, 1, spool_state(life).last_seq);
    end_life(life);
}

SA_TEST(a_report_larger_than_the_spool_is_refused_and_keeps_nobody_out)
{
    apr_uint64_t refused = sa_stats_read(SA_STAT_reports_refused);
    life_t *life = leave_behind(1, pool);
    const char *large = apr_psprintf(pool, "%05000d", 1);
    sa_report_t *report;

    life->config.spool_max_size = 4096;
    SA_ASSERT_OK(start_agent(life));
    give(life, 2);
    report = sa_report_create(SA_DELIVER_DURABLE, "telemetry.x", NULL, large, strlen(large));
    SA_ASSERT_OK(sa_outbox_give(life->outbox, &report));
    give(life, 2);
    live(life, 60 * SECOND);
    ck_assert_uint_eq(sa_stats_read(SA_STAT_reports_refused) - refused, 1);
    ck_assert(log_says(life, "raise spool.max_size"));
    ck_assert_int_eq(spool_state(life).last_seq, 5);
    check_stored(life, 1, 5);
    end_life(life);
}

SA_TEST_MAIN("outbox_disk", a_report_that_the_disk_changed_goes_aside_and_the_others_arrive,
             a_quarantine_that_the_disk_refuses_is_made_up_for_later,
             damage_found_when_it_is_read_costs_only_what_it_hit,
             a_rescue_on_a_full_disk_waits_for_room_and_is_finished,
             an_agent_that_starts_on_a_full_disk_delivers_when_there_is_room,
             something_else_in_the_spools_place_ends_the_start,
             a_late_answer_of_the_old_spool_removes_nothing_of_the_new_one,
             a_report_larger_than_the_spool_is_refused_and_keeps_nobody_out)
