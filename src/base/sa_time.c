/* base: clocks, RFC 3339, Go's durations. */
#include "sa_time.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "sa_os_clock.h"

static sa_clock_t test_clock;

apr_time_t sa_time_now(void)
{
    return test_clock.now ? test_clock.now(test_clock.baton) : apr_time_now();
}

apr_interval_time_t sa_time_mono(void)
{
    return test_clock.mono ? test_clock.mono(test_clock.baton) : sa_os_clock_mono();
}

void sa_time_set_clock(const sa_clock_t *clock)
{
    if (clock) {
        test_clock = *clock;
    } else {
        memset(&test_clock, 0, sizeof(test_clock));
    }
}

static const char *format(char buffer[SA_TIME_TEXT], apr_time_t time, bool with_ms)
{
    apr_time_exp_t exploded;
    char fraction[16] = "";

    if (apr_time_exp_gmt(&exploded, time) != APR_SUCCESS) {
        memset(&exploded, 0, sizeof(exploded));
    }
    if (with_ms) {
        snprintf(fraction, sizeof(fraction), ".%03d", (int)(exploded.tm_usec / 1000) % 1000);
    }
    snprintf(buffer, SA_TIME_TEXT, "%04d-%02d-%02dT%02d:%02d:%02d%sZ",
             (exploded.tm_year + 1900) % 10000, exploded.tm_mon + 1, exploded.tm_mday,
             exploded.tm_hour, exploded.tm_min, exploded.tm_sec, fraction);
    return buffer;
}

const char *sa_time_format(char buffer[SA_TIME_TEXT], apr_time_t time)
{
    return format(buffer, time, false);
}

const char *sa_time_format_ms(char buffer[SA_TIME_TEXT], apr_time_t time)
{
    return format(buffer, time, true);
}

typedef struct unit_t {
    const char *name;
    apr_int64_t us;     /* microseconds in one; 0: nanoseconds */
} unit_t;

/* Longer names first: "ms" before "m". */
static const unit_t units[] = {
    {"ns", 0}, {"us", 1}, {"\xc2\xb5s", 1}, {"ms", 1000},
    {"s", 1000000}, {"m", 60 * APR_INT64_C(1000000)}, {"h", 3600 * APR_INT64_C(1000000)},
    {"d", 86400 * APR_INT64_C(1000000)},
};

/* Longest duration: 100 years.  Keeps every sum far from overflow. */
#define DURATION_MAX (36500 * (APR_INT64_C(86400) * 1000000))
/* More digits than that say nothing a duration could hold. */
#define DIGITS_MAX 15

/* Read "12", "1.5" or ".5" at *TEXT as WHOLE plus FRACTION / SCALE. */
static bool read_number(const char **text, apr_int64_t *whole, apr_int64_t *fraction,
                        apr_int64_t *scale)
{
    const char *c = *text;
    int digits = 0;

    *whole = 0;
    *fraction = 0;
    *scale = 1;
    for (; *c >= '0' && *c <= '9'; c++) {
        *whole = *whole * 10 + (*c - '0');
        if (++digits > DIGITS_MAX) {
            return false;
        }
    }
    if (*c == '.') {
        for (c++; *c >= '0' && *c <= '9'; c++) {
            digits++;
            if (*scale < 1000000) {
                *fraction = *fraction * 10 + (*c - '0');
                *scale *= 10;
            }
        }
    }
    *text = c;
    return digits > 0;
}

static const unit_t *read_unit(const char **text)
{
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        size_t length = strlen(units[i].name);

        if (strncmp(*text, units[i].name, length) == 0) {
            *text += length;
            return &units[i];
        }
    }
    return NULL;
}

sa_error_t *sa_duration_parse(apr_interval_time_t *duration, const char *text)
{
    const char *rest = text;
    apr_int64_t total = 0;

    *duration = 0;
    if (strcmp(text, "0") == 0) {
        return SA_OK;
    }
    if (*rest == '\0') {
        return sa_error(SA_ERR_PARSE, NULL, "an empty duration; say 30s, 1m30s or 12h");
    }
    while (*rest) {
        apr_int64_t whole;
        apr_int64_t fraction;
        apr_int64_t scale;
        const unit_t *unit;

        unit = read_number(&rest, &whole, &fraction, &scale) ? read_unit(&rest) : NULL;
        if (!unit) {
            return sa_error(SA_ERR_PARSE, NULL, "not a duration such as 30s, 1m30s or 12h");
        }
        if (unit->us == 0) {
            total += whole / 1000;
            continue;
        }
        if (whole > DURATION_MAX / unit->us) {
            return sa_error(SA_ERR_PARSE, NULL, "a duration longer than 100 years");
        }
        total += whole * unit->us + fraction * unit->us / scale;
        if (total > DURATION_MAX) {
            return sa_error(SA_ERR_PARSE, NULL, "a duration longer than 100 years");
        }
    }
    *duration = total;
    return SA_OK;
}

/* "1.5" for 1500000 of 1000000: the shortest decimal without zero tails. */
static void format_fraction(char *buffer, size_t size, apr_int64_t value, apr_int64_t unit)
{
    size_t length;

    if (value % unit == 0) {
        snprintf(buffer, size, "%" APR_INT64_T_FMT, value / unit);
        return;
    }
    snprintf(buffer, size, "%" APR_INT64_T_FMT ".%0*" APR_INT64_T_FMT, value / unit,
             unit == 1000000 ? 6 : 3, value % unit);
    for (length = strlen(buffer); buffer[length - 1] == '0'; length--) {
        buffer[length - 1] = '\0';
    }
}

const char *sa_duration_format_go(char buffer[SA_DURATION_TEXT], apr_interval_time_t duration)
{
    apr_int64_t hours = duration / (3600 * APR_INT64_C(1000000));
    apr_int64_t minutes = duration / (60 * APR_INT64_C(1000000)) % 60;
    char number[32];

    if (duration == 0) {
        snprintf(buffer, SA_DURATION_TEXT, "0s");
    } else if (duration < 1000) {
        snprintf(buffer, SA_DURATION_TEXT, "%" APR_INT64_T_FMT "\xc2\xb5s", duration);
    } else if (duration < 1000000) {
        format_fraction(number, sizeof(number), duration, 1000);
        snprintf(buffer, SA_DURATION_TEXT, "%sms", number);
    } else {
        int used = 0;

        format_fraction(number, sizeof(number), duration % (60 * APR_INT64_C(1000000)), 1000000);
        if (hours > 0) {
            used = snprintf(buffer, SA_DURATION_TEXT, "%" APR_INT64_T_FMT "h", hours);
        }
        if (hours > 0 || minutes > 0) {
            used += snprintf(buffer + used, SA_DURATION_TEXT - (size_t)used,
                             "%" APR_INT64_T_FMT "m", minutes);
        }
        snprintf(buffer + used, SA_DURATION_TEXT - (size_t)used, "%ss", number);
    }
    return buffer;
}

const char *sa_duration_format(char buffer[SA_DURATION_TEXT], apr_interval_time_t duration)
{
    size_t length;

    sa_duration_format_go(buffer, duration);
    length = strlen(buffer);
    if (length > 2 && strcmp(buffer + length - 2, "0s") == 0 && buffer[length - 3] == 'm') {
        buffer[length - 2] = '\0';
        length -= 2;
        if (length > 2 && strcmp(buffer + length - 2, "0m") == 0 && buffer[length - 3] == 'h') {
            buffer[length - 2] = '\0';
        }
    }
    return buffer;
}
