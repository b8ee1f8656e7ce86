/* command, private: the times that log lines begin with, and "since".
 *
 * Stateless; any thread. */
#ifndef SA_LOG_TIME_H
#define SA_LOG_TIME_H

#include <stdbool.h>
#include <stddef.h>

#include <apr_time.h>

#include "sa_error.h"

/* The time of a log LINE, if it begins with one that we know:
 *     2026-11-24T03:04:05.123Z  (also + or - HH:MM or HHMM; a blank for T; / for -; , for .)
 *     Nov 24 03:04:05           (of syslog, also behind <PRI>; the latest such before NOW)
 *     ... [24/Nov/2026:03:04:05 +0000]    (of web servers, in the first 512 bytes)
 * the first one also behind a "[".  Without a zone it is of the machine's. */
bool sa_command__line_time(apr_time_t *time, const char *line, size_t length, apr_time_t now);

/* RFC 3339 ("2026-11-24T03:04:05Z"; the zone must be there), or a duration before NOW ("1h"). */
sa_error_t *sa_command__since_parse(apr_time_t *since, const char *text,
                                    apr_time_t now) SA_MUST_CHECK;

#endif
