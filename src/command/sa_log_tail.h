/* command, private: the last lines of a file, read backwards; and a line made fit to be
 * shown.
 *
 * Memory is bounded by two blocks, whatever the file; the time, by the bytes read
 * (SA_LOG_SCAN_MAX): both do not depend on the size of the file.  One thread. */
#ifndef SA_LOG_TAIL_H
#define SA_LOG_TAIL_H

#include <stdbool.h>
#include <stddef.h>

#include <apr.h>
#include <apr_file_io.h>
#include <apr_pools.h>

#include "sa_buf.h"
#include "sa_error.h"

/* What is shown of a line. */
#define SA_LOG_LINE_MAX ((size_t)64 * 1024)
#define SA_LOG_BLOCK ((size_t)64 * 1024)
/* Bytes read of a file in one request. */
#define SA_LOG_SCAN_MAX (APR_INT64_C(64) * 1024 * 1024)

typedef struct sa_log_tail_t sa_log_tail_t;

typedef struct sa_log_line_t {
    const char *data;       /* without its end, valid until the next one; never NULL */
    size_t length;
    apr_int64_t offset;     /* where it begins in the file */
    bool cut;               /* longer than SA_LOG_LINE_MAX, or its beginning was not reached */
} sa_log_line_t;

/* Read FILE backwards from END, at most SCAN bytes of it. */
sa_log_tail_t *sa_command__tail_create(apr_file_t *file, apr_int64_t end, apr_int64_t scan,
                                       apr_pool_t *pool);
/* The line before the last one given, with its CR LF or LF taken off; a last line
 * without a line end is one as well.  *FOUND false: there is none, or no more is to
 * be read of this file. */
sa_error_t *sa_command__tail_next(bool *found, sa_log_line_t *line,
                                  sa_log_tail_t *tail) SA_MUST_CHECK;
/* Bytes read so far. */
apr_int64_t sa_command__tail_scanned(const sa_log_tail_t *tail);
/* Did it end before the beginning of the file: SCAN was used up, or the file was cut
 * off meanwhile? */
bool sa_command__tail_is_incomplete(const sa_log_tail_t *tail);

/* Read at most SIZE bytes at OFFSET; fewer at the end of FILE. */
sa_error_t *sa_command__read_at(size_t *got, apr_file_t *file, apr_int64_t offset, char *data,
                                size_t size) SA_MUST_CHECK;

/* LINE with at most SA_LOG_LINE_MAX bytes, cut at a character, and without a CR at
 * its end. */
void sa_command__line_trim(sa_log_line_t *line);

/* Write to OUT how TEXT is shown: NUL and what is not UTF-8 become U+FFFD.  JSON: escaped
 * as the inside of a JSON string (RFC 8259).  Returns the bytes written, at most
 * SA_LOG_SHOWN or SA_LOG_SHOWN_JSON for each byte of TEXT. */
#define SA_LOG_SHOWN 3
#define SA_LOG_SHOWN_JSON 6
size_t sa_command__show(char *out, const char *text, size_t length, bool json);

/* A fixed text to look for, in time linear in what is looked through. */
#define SA_LOG_GREP_MAX 1024
typedef struct sa_log_grep_t sa_log_grep_t;
/* TEXT (at most SA_LOG_GREP_MAX bytes) is kept, not copied. */
sa_log_grep_t *sa_command__grep_create(const char *text, apr_pool_t *pool);
bool sa_command__grep_match(const sa_log_grep_t *grep, const char *text, size_t length);

#endif
