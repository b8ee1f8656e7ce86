/* base: the log. */
#include <apr_strings.h>

#include "sa_json.h"
#include "sa_log.h"
#include "sa_os_file.h"
#include "sa_test.h"
#include "sa_test_server.h"
#include "sa_time.h"

static apr_interval_time_t fake_mono = 1000 * APR_INT64_C(1000000);

static apr_interval_time_t read_mono(void *baton)
{
    (void)baton;
    return fake_mono;
}

static apr_time_t read_now(void *baton)
{
    (void)baton;
    return APR_INT64_C(1785934245123456);
}

static const sa_clock_t fake_clock = {.now = read_now, .mono = read_mono};

static const char *scratch_path(apr_pool_t *pool)
{
    return apr_pstrcat(pool, sa_test_dir(pool), "/log", NULL);
}

static const char *open_log(sa_log_format_t format, sa_log_level_t level, apr_pool_t *pool)
{
    const char *path = scratch_path(pool);
    const sa_log_settings_t settings = {.level = level, .format = format, .path = path};

    sa_time_set_clock(&fake_clock);
    SA_ASSERT_OK(sa_log_open(&settings, pool));
    return path;
}

static const char *close_log(const char *path, apr_pool_t *pool)
{
    sa_log_close();
    sa_time_set_clock(NULL);
    return sa_test_read(path, pool);
}

SA_TEST(text_has_time_level_event_and_fields)
{
    const char *path = open_log(SA_LOG_TEXT, SA_LEVEL_info, pool);

    SA_LOG(agent_started, SA_S("code", "d1"), SA_I("n", -7), SA_B("on", true),
           SA_D("wait", 90 * APR_INT64_C(1000000)));
    ck_assert_str_eq(close_log(path, pool), "2026-08-05T12:50:45.123Z info  agent_started: "
                     "started code=d1 n=-7 on=true wait=1m30s\n");
}

SA_TEST(a_secret_is_never_printed)
{
    const char *path = open_log(SA_LOG_TEXT, SA_LEVEL_info, pool);

    SA_LOG(agent_started, SA_SECRET("token"));
    ck_assert_ptr_nonnull(strstr(close_log(path, pool), " token=(secret)\n"));
}

SA_TEST(a_value_cannot_forge_a_line_or_move_the_cursor)
{
    const char *path = open_log(SA_LOG_TEXT, SA_LEVEL_info, pool);
    const char *text;

    SA_LOG(agent_started, SA_S("x", "a\nb level=error \x1b[2J\xff\xc3\xa9\x7f\""));
    text = close_log(path, pool);
    ck_assert_ptr_nonnull(strstr(text, "x=\"a\\nb level=error \\x1b[2J\\?\xc3\xa9\\x7f\\\"\"\n"));
}

SA_TEST(json_lines_are_json_whatever_is_in_them)
{
    const char *path = open_log(SA_LOG_JSON, SA_LEVEL_info, pool);
    sa_error_t *err = sa_error(SA_ERR_SPOOL, NULL, "bad \"thing\"\t\xff");
    cJSON *json;
    const char *text;

    SA_LOG(agent_started, SA_S("x", "\x01\n\\"), SA_I("n", 3), SA_E(err));
    sa_error_clear(err);
    text = close_log(path, pool);
    SA_ASSERT_OK(sa_json_parse(&json, text, strlen(text), pool));
    ck_assert_str_eq(sa_json_text(json, "event"), "agent_started");
    ck_assert_str_eq(sa_json_text(json, "level"), "info");
    ck_assert_str_eq(sa_json_text(json, "ts"), "2026-08-05T12:50:45.123Z");
    ck_assert_str_eq(sa_json_text(json, "x"), "\x01\n\\");
    ck_assert_str_eq(sa_json_text(json, "error"), "bad \"thing\"\t\xef\xbf\xbd");
}

SA_TEST(a_line_too_long_is_cut_and_still_json)
{
    const char *path = open_log(SA_LOG_JSON, SA_LEVEL_info, pool);
    cJSON *json;
    const char *text;

    SA_LOG(agent_started, SA_S("a", "kept"), SA_S("b", apr_psprintf(pool, "%08000d", 1)));
    text = close_log(path, pool);
    SA_ASSERT_OK(sa_json_parse(&json, text, strlen(text), pool));
    ck_assert(cJSON_IsTrue(cJSON_GetObjectItem(json, "cut")));
    ck_assert_str_eq(sa_json_text(json, "a"), "kept");
}

SA_TEST(events_below_the_level_are_not_written)
{
    const char *path = open_log(SA_LOG_TEXT, SA_LEVEL_warn, pool);

    SA_LOG(agent_started);
    SA_LOG(config_warning, SA_S("complaint", "x"));
    ck_assert_ptr_null(strstr(close_log(path, pool), "agent_started"));
    ck_assert(!sa_log_is_on(SA_LEVEL_debug));
}

SA_TEST(repeats_are_counted_not_printed)
{
    const char *path = open_log(SA_LOG_TEXT, SA_LEVEL_info, pool);
    const char *text;
    const char *first;

    for (int i = 0; i < 5; i++) {
        SA_LOG(config_warning, SA_S("complaint", "same"));
    }
    SA_LOG(config_warning, SA_S("complaint", "other"));
    fake_mono += 61 * APR_INT64_C(1000000);
    SA_LOG(config_warning, SA_S("complaint", "same"));
    text = close_log(path, pool);
    first = strstr(text, "complaint=same\n");
    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_nonnull(strstr(text, "complaint=other\n"));
    ck_assert_ptr_nonnull(strstr(text, "complaint=same repeated=4\n"));
    ck_assert_ptr_null(strstr(first + 1, "complaint=same\n"));
}

SA_TEST(a_change_of_state_makes_the_same_line_news_again)
{
    const char *path = open_log(SA_LOG_TEXT, SA_LEVEL_info, pool);
    const char *text;
    int count = 0;

    for (int i = 0; i < 3; i++) {
        SA_LOG(link_down, SA_S("url", "x"));
        SA_LOG(link_up, SA_S("url", "x"));
    }
    text = close_log(path, pool);
    for (const char *at = strstr(text, "link_"); at; at = strstr(at + 1, "link_")) {
        count++;
    }
    ck_assert_int_eq(count, 6);
}

SA_TEST(what_was_held_back_is_told_at_the_end)
{
    const char *path = open_log(SA_LOG_TEXT, SA_LEVEL_info, pool);

    SA_LOG(config_warning, SA_S("complaint", "again"));
    SA_LOG(config_warning, SA_S("complaint", "again"));
    ck_assert_ptr_nonnull(strstr(close_log(path, pool), "log_repeated: an event came again "
                                                        "of=config_warning times=1\n"));
}

SA_TEST(a_full_file_is_rotated_and_the_oldest_goes)
{
    const char *path = scratch_path(pool);
    const sa_log_settings_t settings = {
        .level = SA_LEVEL_info, .path = path, .max_bytes = 300, .max_backups = 2
    };
    const char *text;

    SA_ASSERT_OK(sa_log_open(&settings, pool));
    for (int i = 0; i < 40; i++) {
        SA_LOG(agent_started, SA_I("n", i));
    }
    sa_log_close();
    text = sa_test_read(path, pool);
    ck_assert_ptr_nonnull(strstr(text, "n=39"));
    ck_assert_int_le(strlen(text), 300);
    ck_assert(sa_os_file_exists(apr_pstrcat(pool, path, ".2", NULL), pool));
    ck_assert(!sa_os_file_exists(apr_pstrcat(pool, path, ".3", NULL), pool));
}

SA_TEST(a_log_that_cannot_be_opened_leaves_the_old_one)
{
    const char *path = open_log(SA_LOG_TEXT, SA_LEVEL_info, pool);
    const sa_log_settings_t bad = {.path = "/nowhere/at/all/x.log"};

    SA_ASSERT_ERR(sa_log_open(&bad, pool), APR_ENOENT);
    SA_LOG(agent_started);
    ck_assert_ptr_nonnull(strstr(close_log(path, pool), "agent_started"));
}

SA_TEST(every_event_has_words_and_advice)
{
    (void)pool;
    for (int i = 0; i < SA_EVENT_END; i++) {
        const sa_event_row_t *row = sa_event_row((sa_event_t)i);

        ck_assert_msg(row->text[0] && row->advice[0], "%s", row->id);
        ck_assert_msg(row->text[strlen(row->text) - 1] != '.', "%s: full stop", row->id);
        ck_assert_msg(row->level > SA_LEVEL_warn || strcmp(row->advice, "Nothing.") != 0,
                      "%s asks for a person and gives no advice", row->id);
    }
}

SA_TEST_MAIN("log", text_has_time_level_event_and_fields, a_secret_is_never_printed,
             a_value_cannot_forge_a_line_or_move_the_cursor,
             json_lines_are_json_whatever_is_in_them,
             a_line_too_long_is_cut_and_still_json, events_below_the_level_are_not_written,
             repeats_are_counted_not_printed,
             a_change_of_state_makes_the_same_line_news_again,
             what_was_held_back_is_told_at_the_end,
             a_full_file_is_rotated_and_the_oldest_goes,
             a_log_that_cannot_be_opened_leaves_the_old_one, every_event_has_words_and_advice)
