/* The doctor's table and words; the state file from outside. */
#include "sa_doctor.h"

#include <apr_file_info.h>
#include <apr_file_io.h>
#include <apr_strings.h>

#include "../../src/doctor/sa_doctor_private.h"
#include "sa_os_file.h"
#include "sa_os_host.h"
#include "sa_test.h"
#include "sa_time.h"

static sa_doctor__exam_t *exam_of(apr_pool_t *pool)
{
    sa_doctor__exam_t *exam = apr_pcalloc(pool, sizeof(*exam));

    exam->pool = pool;
    exam->shared = apr_pcalloc(pool, sizeof(*exam->shared));
    exam->finding = apr_pcalloc(pool, sizeof(*exam->finding));
    exam->mend = "the check's own mend";
    return exam;
}

SA_TEST(the_gravest_thing_found_stays_and_the_rest_is_counted)
{
    sa_doctor__exam_t *exam = exam_of(pool);

    sa_doctor__ok(exam, "all is well");
    ck_assert_int_eq(exam->finding->state, SA_DOCTOR_OK);
    ck_assert_str_eq(exam->finding->fix, "");
    sa_doctor__warn(exam, NULL, "a doubt about %s", "x");
    ck_assert_str_eq(exam->finding->fix, "the check's own mend");
    sa_doctor__fail(exam, "mend it", "broken");
    sa_doctor__fail(exam, "mend that", "broken too");
    sa_doctor__warn(exam, NULL, "a doubt");
    sa_doctor__ok(exam, "well");
    sa_doctor__skip(exam, "not looked at");
    sa_doctor__close(exam);
    ck_assert_int_eq(exam->finding->state, SA_DOCTOR_FAIL);
    ck_assert_str_eq(exam->finding->detail, "broken; and 1 more");
    ck_assert_str_eq(exam->finding->fix, "mend it");
}

static const char *folder(apr_pool_t *pool)
{
    const char *temporary;
    char *name;
    apr_file_t *file;

    ck_assert_int_eq(apr_temp_dir_get(&temporary, pool), APR_SUCCESS);
    name = apr_pstrcat(pool, temporary, "/sa-doctor-XXXXXX", NULL);
    ck_assert_int_eq(apr_file_mktemp(&file, name, 0, pool), APR_SUCCESS);
    apr_file_close(file);
    apr_file_remove(name, pool);
    ck_assert_int_eq(apr_dir_make(name, APR_FPROT_OS_DEFAULT, pool), APR_SUCCESS);
    return name;
}

static const char *put(const char *runtime, const char *text, apr_pool_t *pool)
{
    const char *path = apr_pstrcat(pool, runtime, "/" SA_STATUS_FILE, NULL);

    SA_ASSERT_OK(sa_os_file_write_public(path, text, strlen(text), pool));
    return path;
}

SA_TEST(the_state_file_of_this_process_is_alive_and_that_of_another_with_its_number_is_not)
{
    const char *runtime = folder(pool);
    apr_uint64_t begin = 0;
    sa_status_t status;
    const char *path;

    SA_ASSERT_OK(sa_status_read(&status, runtime, pool));
    ck_assert_int_eq(status.pid, 0);
    ck_assert(!status.running && !status.json);
    ck_assert(sa_os_process_begin(&begin, sa_os_process_id(), pool));
    put(runtime, apr_psprintf(pool, "{\"pid\":%" APR_INT64_T_FMT ",\"process_begin\":%"
                              APR_UINT64_T_FMT ",\"started\":\"2026-11-24T03:04:05Z\"}",
                              sa_os_process_id(), begin), pool);
    SA_ASSERT_OK(sa_status_read(&status, runtime, pool));
    ck_assert(status.running);
    ck_assert_int_eq(status.pid, sa_os_process_id());
    ck_assert_int_eq(apr_time_sec(status.started), 1795489445);
    path = put(runtime, apr_psprintf(pool, "{\"pid\":%" APR_INT64_T_FMT ",\"process_begin\":%"
                                     APR_UINT64_T_FMT "}", sa_os_process_id(), begin + 1), pool);
    SA_ASSERT_OK(sa_status_read(&status, runtime, pool));
    ck_assert(!status.running);
    apr_file_remove(path, pool);
    apr_dir_remove(runtime, pool);
}

SA_TEST(a_broken_state_file_is_an_error_and_never_an_agent)
{
    static const char *const texts[] = {
        "", "{", "[]", "null", "{\"pid\":1}", "{\"pid\":-1}", "{\"pid\":\"1\"}",
        "{\"pid\":1e300,\"process_begin\":1e300}", "{\"pid\":0,\"process_begin\":0}"
    };
    const char *runtime = folder(pool);
    const char *path = NULL;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        sa_status_t status;
        sa_error_t *err;

        path = put(runtime, texts[i], pool);
        err = sa_status_read(&status, runtime, pool);
        ck_assert_msg(!status.running, "%s", texts[i]);
        sa_error_clear(err);
    }
    apr_file_remove(path, pool);
    apr_dir_remove(runtime, pool);
}

SA_TEST(times_are_read_as_we_write_them)
{
    char text[SA_TIME_TEXT];
    apr_time_t now = apr_time_from_sec(1795489445);

    (void)pool;
    ck_assert_int_eq(sa_status_time(sa_time_format(text, now)), now);
    ck_assert_int_eq(sa_status_time(NULL), 0);
    ck_assert_int_eq(sa_status_time(""), 0);
    ck_assert_int_eq(sa_status_time("yesterday at noon, or so"), 0);
    ck_assert_int_eq(sa_status_time("2026-13-24T03:04:05Z"), 0);
}

SA_TEST(a_configuration_that_cannot_be_used_is_one_failure_and_the_rest_is_skipped)
{
    const sa_config_source_t source = {.file = "/nonexistent/agent.yaml"};
    const sa_doctor_patient_t patient = {.source = &source};
    sa_doctor_report_t report;
    const cJSON *item;
    cJSON *json;

    sa_doctor_examine(&report, &patient, apr_time_from_sec(5), pool);
    ck_assert_int_eq(report.state, SA_DOCTOR_FAIL);
    ck_assert_int_gt(report.count, 20);
    ck_assert_str_eq(report.findings[0].name, "config");
    ck_assert_int_eq(report.findings[0].state, SA_DOCTOR_FAIL);
    ck_assert(*report.findings[0].fix);
    for (int i = 1; i < report.count; i++) {
        ck_assert_int_eq(report.findings[i].state, SA_DOCTOR_SKIPPED);
    }
    json = sa_doctor_json(&report, 0, pool);
    ck_assert(cJSON_IsFalse(cJSON_GetObjectItem(json, "ready")));
    ck_assert_str_eq(sa_json_text(json, "state"), "fail");
    ck_assert_str_eq(sa_json_text(json, "uptime"), "0s");
    ck_assert_int_eq(cJSON_GetArraySize(cJSON_GetObjectItem(json, "checks")), report.count);
    item = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "checks"), 1);
    ck_assert_str_eq(sa_json_text(item, "state"), "skipped");
    ck_assert_ptr_null(sa_json_text(item, "fix"));
}

typedef struct seen_t {
    const char *names[64];
    int count;
} seen_t;

static void see(void *baton, const char *name, const char *doc)
{
    seen_t *seen = baton;

    ck_assert_msg(strlen(doc) > 10, "%s", name);
    for (int i = 0; i < seen->count; i++) {
        ck_assert_str_ne(seen->names[i], name);
    }
    seen->names[seen->count++] = name;
}

SA_TEST(each_check_has_a_name_of_its_own_and_says_what_it_looks_at)
{
    seen_t seen = {.count = 0};

    (void)pool;
    sa_doctor_each(see, &seen);
    ck_assert_int_gt(seen.count, 20);
}

typedef struct tapped_t {
    int count;
    char text[256];
} tapped_t;

static bool take_event(void *baton, sa_event_t event, const sa_field_t *fields)
{
    tapped_t *tapped = baton;

    tapped->count++;
    sa_log_describe(tapped->text, sizeof(tapped->text), event, fields);
    return true;
}

SA_TEST(the_tap_of_the_log_sees_each_event_in_words_and_can_keep_it)
{
    tapped_t tapped = {.count = 0};

    (void)pool;
    sa_log_set_tap(take_event, &tapped);
    SA_LOG(link_refused, SA_S("url", "nats://a"), SA_S("reason", "no \x1b[31m"));
    SA_LOG(command_done, SA_SECRET("password"));
    sa_log_set_tap(NULL, NULL);
    ck_assert_int_eq(tapped.count, 2);
    ck_assert_ptr_nonnull(strstr(tapped.text, "(secret)"));
    sa_log_set_tap(take_event, &tapped);
    SA_LOG(link_refused, SA_S("url", "nats://a"), SA_S("reason", "no \x1b[31m"));
    sa_log_set_tap(NULL, NULL);
    ck_assert_ptr_nonnull(strstr(tapped.text, "nothing listens"));
    ck_assert_ptr_nonnull(strstr(tapped.text, "url=nats://a"));
    ck_assert_ptr_null(strchr(tapped.text, '\x1b'));
}

SA_TEST(a_public_file_is_for_the_group_too_and_replaces_no_link)
{
    const char *runtime = folder(pool);
    const char *path = put(runtime, "{}", pool);
    apr_finfo_t info;

    ck_assert_int_eq(apr_stat(&info, path, APR_FINFO_PROT, pool), APR_SUCCESS);
    ck_assert_int_eq(info.protection & 0xfff, APR_FPROT_UREAD | APR_FPROT_UWRITE
                     | APR_FPROT_GREAD);
    apr_file_remove(path, pool);
    apr_dir_remove(runtime, pool);
}

SA_TEST_MAIN("doctor", the_gravest_thing_found_stays_and_the_rest_is_counted,
             the_state_file_of_this_process_is_alive_and_that_of_another_with_its_number_is_not,
             a_broken_state_file_is_an_error_and_never_an_agent,
             times_are_read_as_we_write_them,
             a_configuration_that_cannot_be_used_is_one_failure_and_the_rest_is_skipped,
             each_check_has_a_name_of_its_own_and_says_what_it_looks_at,
             the_tap_of_the_log_sees_each_event_in_words_and_can_keep_it,
             a_public_file_is_for_the_group_too_and_replaces_no_link)
