/* base, private: one event and its fields as one line. */
#ifndef SA_LOG_FORMAT_H
#define SA_LOG_FORMAT_H

#include <stddef.h>

#include <apr_time.h>

#include "sa_log.h"

/* Longest line; what does not fit is cut, and the cut is marked. */
#define SA_LOG_LINE 4096

/* Print the event into LINE with its newline, and return the length.  REPEATED
 * above 0 adds how often it came since it was last printed. */
size_t sa_log__format(char line[SA_LOG_LINE], const sa_log_settings_t *settings, apr_time_t now,
                      sa_event_t event, const sa_field_t *fields, unsigned int repeated);

/* A number that is equal for equal events: id and every field. */
apr_uint64_t sa_log__hash(sa_event_t event, const sa_field_t *fields);

#endif
