/* doctor: what a check finds, in words. */
#include "sa_doctor_private.h"

#include <stdarg.h>
#include <string.h>

#include <apr_atomic.h>
#include <apr_file_info.h>
#include <apr_strings.h>
#include <apr_user.h>

#include "sa_time.h"

static void find(sa_doctor__exam_t *exam, sa_doctor_state_t state, const char *fix,
                 const char *format, va_list args)
{
    sa_doctor_finding_t *finding = exam->finding;
    char detail[SA_DOCTOR_TEXT];

    apr_vsnprintf(detail, sizeof(detail), format, args);
    if (state == finding->state && state >= SA_DOCTOR_WARN) {
        exam->more++;
        return;
    }
    if (state < finding->state) {
        return;
    }
    if (state > finding->state) {
        exam->more = 0;
    }
    finding->state = state;
    apr_cpystrn(finding->detail, detail, sizeof(finding->detail));
    apr_cpystrn(finding->fix, state >= SA_DOCTOR_WARN ? (fix ? fix : exam->mend) : "",
                sizeof(finding->fix));
}

void sa_doctor__ok(sa_doctor__exam_t *exam, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    find(exam, SA_DOCTOR_OK, NULL, format, args);
    va_end(args);
}

void sa_doctor__skip(sa_doctor__exam_t *exam, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    find(exam, SA_DOCTOR_SKIPPED, NULL, format, args);
    va_end(args);
}

void sa_doctor__warn(sa_doctor__exam_t *exam, const char *fix, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    find(exam, SA_DOCTOR_WARN, fix, format, args);
    va_end(args);
}

void sa_doctor__fail(sa_doctor__exam_t *exam, const char *fix, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    find(exam, SA_DOCTOR_FAIL, fix, format, args);
    va_end(args);
}

void sa_doctor__fail_error(sa_doctor__exam_t *exam, const char *fix, sa_error_t *err)
{
    char text[SA_DOCTOR_TEXT];

    sa_doctor__fail(exam, fix, "%s", sa_error_text(err, text, sizeof(text)));
    sa_error_clear(err);
}

void sa_doctor__close(sa_doctor__exam_t *exam)
{
    size_t length = strlen(exam->finding->detail);

    if (exam->more > 0) {
        apr_snprintf(exam->finding->detail + length, sizeof(exam->finding->detail) - length,
                     "; and %d more", exam->more);
    }
}

apr_interval_time_t sa_doctor__left(const sa_doctor__exam_t *exam)
{
    apr_interval_time_t left = exam->deadline - sa_time_mono();
    const volatile apr_uint32_t *stop = exam->shared->stop;

    if (stop && apr_atomic_read32((volatile apr_uint32_t *)stop) != 0) {
        return 0;
    }
    return left > 0 ? left : 0;
}

const char *sa_doctor__span(apr_interval_time_t span, apr_pool_t *pool)
{
    apr_int64_t seconds = apr_time_sec(span < 0 ? -span : span);

    if (seconds >= 2 * 86400) {
        return apr_psprintf(pool, "%" APR_INT64_T_FMT " days", seconds / 86400);
    }
    if (seconds >= 2 * 3600) {
        return apr_psprintf(pool, "%" APR_INT64_T_FMT " h", seconds / 3600);
    }
    if (seconds >= 2 * 60) {
        return apr_psprintf(pool, "%" APR_INT64_T_FMT " min", seconds / 60);
    }
    return apr_psprintf(pool, "%" APR_INT64_T_FMT " s", seconds);
}

const sa_status_t *sa_doctor__status(sa_doctor__exam_t *exam)
{
    if (!exam->status_read) {
        /* one that cannot be read is said by the check of the agent itself */
        sa_error_clear(sa_status_read(&exam->status, exam->config->paths_runtime, exam->pool));
        exam->status_read = true;
    }
    return &exam->status;
}

bool sa_doctor__agent_user(const char **name, bool *self, const sa_config_t *config,
                           apr_pool_t *pool)
{
    apr_finfo_t info;
    apr_uid_t user;
    apr_gid_t group;
    char *text;

    if (apr_stat(&info, config->paths_state, APR_FINFO_USER, pool) != APR_SUCCESS
        || apr_uid_current(&user, &group, pool) != APR_SUCCESS) {
        return false;
    }
    *self = apr_uid_compare(user, info.user) == APR_SUCCESS;
    *name = apr_uid_name_get(&text, info.user, pool) == APR_SUCCESS ? text : "its owner";
    return true;
}

typedef struct wanted_t {
    const char *path;
    const char *value;
    apr_pool_t *pool;
} wanted_t;

static void look_for(void *baton, const char *path, const char *value, const char *where)
{
    wanted_t *wanted = baton;

    (void)where;
    if (strcmp(path, wanted->path) == 0) {
        wanted->value = apr_pstrdup(wanted->pool, value);
    }
}

const char *sa_doctor__setting(const sa_config_t *config, const char *path, apr_pool_t *pool)
{
    wanted_t wanted = {path, NULL, pool};

    sa_config_each(config, look_for, &wanted, pool);
    return wanted.value;
}
