/* doctor: the agent's state file, from outside. */
#include "sa_status.h"

#include <string.h>

#include <apr_errno.h>
#include <apr_strings.h>

#include "sa_os_file.h"
#include "sa_os_host.h"

/* No system has such a number: the file is broken. */
#define PID_LIMIT 4294967296.0

static int number(const char *text, int digits)
{
    int value = 0;

    for (int i = 0; i < digits; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

apr_time_t sa_status_time(const char *text)
{
    apr_time_exp_t parts;
    apr_time_t time = 0;

    if (!text || strlen(text) < sizeof("2026-11-24T03:04:05") - 1) {
        return 0;
    }
    memset(&parts, 0, sizeof(parts));
    parts.tm_year = number(text, 4) - 1900;
    parts.tm_mon = number(text + 5, 2) - 1;
    parts.tm_mday = number(text + 8, 2);
    parts.tm_hour = number(text + 11, 2);
    parts.tm_min = number(text + 14, 2);
    parts.tm_sec = number(text + 17, 2);
    if (parts.tm_year < 70 || parts.tm_mon < 0 || parts.tm_mon > 11 || parts.tm_mday < 1
        || parts.tm_hour < 0 || parts.tm_min < 0 || parts.tm_sec < 0
        || apr_time_exp_gmt_get(&time, &parts) != APR_SUCCESS) {
        return 0;
    }
    return time;
}

static double number_of(const cJSON *json, const char *name)
{
    double value = 0;

    return sa_json_number(json, name, &value) ? value : 0;
}

sa_error_t *sa_status_read(sa_status_t *status, const char *runtime, apr_pool_t *pool)
{
    const char *path = apr_pstrcat(pool, runtime, "/" SA_STATUS_FILE, NULL);
    apr_uint64_t begin = 0;
    const char *text;
    size_t length;
    double pid;
    cJSON *json;
    sa_error_t *err;

    memset(status, 0, sizeof(*status));
    err = sa_os_file_read(&text, &length, path, SA_STATUS_BYTES, pool);
    if (err && APR_STATUS_IS_ENOENT(err->code)) {
        sa_error_clear(err);
        return SA_OK;
    }
    SA_TRY_MSG(err, "cannot read how the agent is");
    SA_TRY_MSG(sa_json_parse(&json, text, length, pool), "cannot read how the agent is from %s",
               path);
    status->json = json;
    pid = number_of(json, "pid");
    status->pid = pid >= 1 && pid < PID_LIMIT ? (apr_int64_t)pid : 0;
    status->written = sa_status_time(sa_json_text(json, "written"));
    status->started = sa_status_time(sa_json_text(json, "started"));
    status->running = sa_os_process_begin(&begin, status->pid, pool)
                      && (double)begin == number_of(json, "process_begin");
    return SA_OK;
}
