/* Clocks with a switch for tests, RFC 3339, and Go's durations. */
#ifndef SA_TIME_H
#define SA_TIME_H

#include <stddef.h>

#include <apr_time.h>

#include "sa_error.h"

/* The wall clock: microseconds since 1970, may step. */
apr_time_t sa_time_now(void);
/* The monotonic clock: for every wait, deadline and interval. */
apr_interval_time_t sa_time_mono(void);

/* Replace both clocks; NULL restores the machine's.  Tests only, before the
 * first thread. */
typedef struct sa_clock_t {
    apr_time_t (*now)(void *baton);
    apr_interval_time_t (*mono)(void *baton);
    void *baton;
} sa_clock_t;
void sa_time_set_clock(const sa_clock_t *clock);

/* "2026-11-24T03:04:05Z": RFC 3339, UTC, whole seconds, as the platform's
 * agents write `ts`. */
#define SA_TIME_TEXT 32
const char *sa_time_format(char buffer[SA_TIME_TEXT], apr_time_t time);
/* The same with milliseconds, for the log. */
const char *sa_time_format_ms(char buffer[SA_TIME_TEXT], apr_time_t time);

/* Go's durations (time.ParseDuration): "1m30s", "1.5h", "500ms", "0"; and "d"
 * for 24 h, which Go lacks.  Negative ones are refused. */
sa_error_t *sa_duration_parse(apr_interval_time_t *duration, const char *text) SA_MUST_CHECK;
/* "1m30s", in Go's spelling without its zero tails ("1h", not "1h0m0s"). */
#define SA_DURATION_TEXT 48
const char *sa_duration_format(char buffer[SA_DURATION_TEXT], apr_interval_time_t duration);
/* "1h0m0s": exactly Go's Duration.String(), where the wire asks for it. */
const char *sa_duration_format_go(char buffer[SA_DURATION_TEXT], apr_interval_time_t duration);

#endif
