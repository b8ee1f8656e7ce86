/* command: the times that log lines begin with. */
#include "sa_log_time.h"

#include <string.h>

#include "sa_time.h"

/* How far into a line of a web server its time may stand. */
#define WEB_MAX 512
#define DAY (APR_INT64_C(86400) * APR_USEC_PER_SEC)

typedef struct text_t {
    const char *at;
    const char *end;
} text_t;

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* One of the characters of ANY. */
static bool take(text_t *text, const char *any)
{
    if (text->at == text->end || !*text->at || !strchr(any, *text->at)) {
        return false;
    }
    text->at++;
    return true;
}

/* A number of COUNT digits, from LOW to HIGH. */
static bool take_number(int *number, text_t *text, int count, int low, int high)
{
    *number = 0;
    if (text->end - text->at < count) {
        return false;
    }
    for (int i = 0; i < count; i++) {
        if (!is_digit(text->at[i])) {
            return false;
        }
        *number = *number * 10 + (text->at[i] - '0');
    }
    text->at += count;
    return *number >= low && *number <= high;
}

static bool take_month(int *month, text_t *text)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    for (int i = 0; i < 12 && text->end - text->at >= 3; i++) {
        if (memcmp(names + i * 3, text->at, 3) == 0) {
            *month = i;
            text->at += 3;
            return true;
        }
    }
    return false;
}

static bool take_clock(apr_time_exp_t *when, text_t *text)
{
    return take_number(&when->tm_hour, text, 2, 0, 23) && take(text, ":")
           && take_number(&when->tm_min, text, 2, 0, 59) && take(text, ":")
           && take_number(&when->tm_sec, text, 2, 0, 60);
}

static void take_fraction(apr_time_exp_t *when, text_t *text)
{
    int unit = APR_USEC_PER_SEC;

    if (!take(text, ".,")) {
        return;
    }
    for (; text->at < text->end && is_digit(*text->at); text->at++) {
        unit /= 10;
        when->tm_usec += unit * (*text->at - '0');
    }
}

/* "Z", "+01:00", "+0100" */
static bool take_zone(apr_time_exp_t *when, text_t *text)
{
    bool east;
    int hours;
    int minutes;

    if (take(text, "Zz")) {
        return true;
    }
    east = take(text, "+");
    if (!east && !take(text, "-")) {
        return false;
    }
    if (!take_number(&hours, text, 2, 0, 23)) {
        return false;
    }
    take(text, ":");
    if (!take_number(&minutes, text, 2, 0, 59)) {
        return false;
    }
    when->tm_gmtoff = (hours * 60 + minutes) * 60 * (east ? 1 : -1);
    return true;
}

/* WHEN is of the machine's zone, whose distance depends on the time that is sought. */
static bool from_local(apr_time_t *time, apr_time_exp_t *when)
{
    for (int i = 0; i < 2; i++) {
        apr_time_exp_t local;

        if (apr_time_exp_gmt_get(time, when) != APR_SUCCESS
            || apr_time_exp_lt(&local, *time) != APR_SUCCESS) {
            return false;
        }
        when->tm_gmtoff = local.tm_gmtoff;
    }
    return apr_time_exp_gmt_get(time, when) == APR_SUCCESS;
}

/* 2026-11-24T03:04:05Z; *ZONED: with a zone. */
static bool read_iso(apr_time_t *time, bool *zoned, text_t *text)
{
    apr_time_exp_t when = {0};

    if (!take_number(&when.tm_year, text, 4, 1970, 9999) || !take(text, "-/")
        || !take_number(&when.tm_mon, text, 2, 1, 12) || !take(text, "-/")
        || !take_number(&when.tm_mday, text, 2, 1, 31) || !take(text, "Tt ")
        || !take_clock(&when, text)) {
        return false;
    }
    when.tm_year -= 1900;
    when.tm_mon--;
    take_fraction(&when, text);
    *zoned = take_zone(&when, text);
    return *zoned ? apr_time_exp_gmt_get(time, &when) == APR_SUCCESS : from_local(time, &when);
}

/* Nov  4 03:04:05 */
static bool read_syslog(apr_time_t *time, text_t *text, apr_time_t now)
{
    apr_time_exp_t when = {0};
    apr_time_exp_t today;
    bool one_digit;

    if (take(text, "<")) {
        while (take(text, "0123456789")) {
            continue;
        }
        if (!take(text, ">")) {
            return false;
        }
    }
    if (!take_month(&when.tm_mon, text) || !take(text, " ")) {
        return false;
    }
    one_digit = take(text, " ");
    if (!take_number(&when.tm_mday, text, one_digit ? 1 : 2, 1, 31) || !take(text, " ")
        || !take_clock(&when, text) || apr_time_exp_lt(&today, now) != APR_SUCCESS) {
        return false;
    }
    when.tm_year = today.tm_year;
    if (!from_local(time, &when)) {
        return false;
    }
    if (*time > now + DAY) {
        when.tm_year--;
        when.tm_gmtoff = 0;
        return from_local(time, &when);
    }
    return true;
}

/* [24/Nov/2026:03:04:05 +0000] */
static bool read_web(apr_time_t *time, text_t *text)
{
    apr_time_exp_t when = {0};

    if (!take(text, "[") || !take_number(&when.tm_mday, text, 2, 1, 31) || !take(text, "/")
        || !take_month(&when.tm_mon, text) || !take(text, "/")
        || !take_number(&when.tm_year, text, 4, 1970, 9999) || !take(text, ":")
        || !take_clock(&when, text) || !take(text, " ") || !take_zone(&when, text)
        || !take(text, "]")) {
        return false;
    }
    when.tm_year -= 1900;
    return apr_time_exp_gmt_get(time, &when) == APR_SUCCESS;
}

bool sa_command__line_time(apr_time_t *time, const char *line, size_t length, apr_time_t now)
{
    const char *end = line + length;
    text_t iso = { line, end };
    text_t syslog = { line, end };
    bool zoned;

    take(&iso, "[");
    if (read_iso(time, &zoned, &iso) || read_syslog(time, &syslog, now)) {
        return true;
    }
    length = length > WEB_MAX ? WEB_MAX : length;
    for (const char *at = memchr(line, '[', length); at;
         at = memchr(at + 1, '[', length - (size_t)(at + 1 - line))) {
        text_t web = { at, end };

        if (read_web(time, &web)) {
            return true;
        }
    }
    return false;
}

sa_error_t *sa_command__since_parse(apr_time_t *since, const char *text, apr_time_t now)
{
    text_t iso = { text, text + strlen(text) };
    apr_interval_time_t before;
    bool zoned = false;
    sa_error_t *err;

    if (read_iso(since, &zoned, &iso) && zoned && iso.at == iso.end) {
        return SA_OK;
    }
    err = sa_duration_parse(&before, text);
    if (err) {
        return sa_error(SA_ERR_REQUEST_FORMAT, err,
                        "since must be a time such as 2026-11-24T03:04:05Z or a duration such "
                        "as 1h");
    }
    *since = now - before;
    return SA_OK;
}
