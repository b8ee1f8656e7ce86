/* The exposition path: a Prometheus page in, labelled and stamped parts out.
 *
 * Reads the Prometheus text format 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/) and OpenMetrics
 * 1.0 (https://prometheus.io/docs/specs/om/open_metrics_spec/), and writes the
 * former, so that any consumer can read a part by itself.  What it has no word
 * for goes on as the nearest it has: docs/protocol.md.
 * One pass over the page, no allocation for a sample, values untouched: the
 * bytes of a value are copied, never parsed and printed again.
 *
 * No threads, no I/O; input is hostile and bounded by the caller. */
#ifndef SA_EXPOSITION_H
#define SA_EXPOSITION_H

#include <stdbool.h>
#include <stddef.h>

#include <apr.h>
#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>

#include "sa_error.h"

/* A label to add to every sample.  Where a sample has one of that name
 * already, the sample's is renamed to exported_NAME, as Prometheus does when
 * it scrapes (honor_labels: false). */
typedef struct sa_exposition_label_t {
    const char *name;
    const char *value;      /* UTF-8, as it is; escaped on writing; "" is no label */
} sa_exposition_label_t;

/* What to forward of a page.  Patterns: sa_glob.h. */
typedef struct sa_exposition_rules_t {
    const apr_array_header_t *keep;         /* of const char *: names; empty: all */
    const apr_array_header_t *drop;         /* of const char *: names */
    const apr_array_header_t *keep_if;      /* of const char *: LABEL=PATTERN; empty: all */
    const apr_array_header_t *drop_if;
    const apr_array_header_t *drop_labels;  /* of const char *: labels to take away */
} sa_exposition_rules_t;
typedef struct sa_exposition_filter_t sa_exposition_filter_t;
/* *FILTER, living in POOL, is NULL when RULES leaves everything as it is.
 * SA_ERR_CONFIG: a pattern that is too long, or no LABEL=PATTERN. */
sa_error_t *sa_exposition_filter_create(sa_exposition_filter_t **filter,
                                        const sa_exposition_rules_t *rules,
                                        apr_pool_t *pool) SA_MUST_CHECK;

typedef struct sa_exposition_options_t {
    const sa_exposition_label_t *labels;
    int label_count;
    const sa_exposition_filter_t *filter;   /* NULL: all; lives longer than what uses it */
    bool own_stamps_only;           /* leave out the times that the page has */
    size_t part_limit_bytes;        /* no part is larger */
} sa_exposition_options_t;

/* What the page was. */
typedef struct sa_exposition_result_t {
    apr_uint64_t samples;           /* forwarded */
    apr_uint64_t read;              /* on the page */
    apr_uint64_t filtered;          /* of those: not wanted */
    apr_uint64_t bad_lines;         /* left out */
    apr_uint64_t parts;
    bool quotes;                    /* some name is in quotes, which 0.0.4 does not have */
    /* the first bad line: where, why, and how it begins */
    int bad_line;                   /* from 1; 0: none */
    int bad_column;                 /* from 1, in bytes */
    const char *bad_reason;         /* static */
    char bad_text[48];              /* its first bytes, escaped */
} sa_exposition_result_t;

/* One finished part, valid during the call.  An error ends the run. */
typedef sa_error_t *(*sa_exposition_part_fn_t)(void *baton, const char *data, size_t length,
                                               apr_uint64_t samples);

typedef struct sa_exposition_t sa_exposition_t;

/* Prepare for OPTIONS (copied into POOL).  Label names must be valid and
 * unique, else SA_ERR_CONFIG; part_limit_bytes must be at least
 * SA_EXPOSITION_PART_MIN. */
#define SA_EXPOSITION_PART_MIN 4096
sa_error_t *sa_exposition_create(sa_exposition_t **exposition,
                                 const sa_exposition_options_t *options,
                                 apr_pool_t *pool) SA_MUST_CHECK;

typedef enum sa_exposition_format_t {
    SA_EXPOSITION_TEXT,             /* text/plain; version=0.0.4 */
    SA_EXPOSITION_OPENMETRICS,      /* application/openmetrics-text */
    SA_EXPOSITION_OWN               /* the text format, and ours: neither filtered nor counted */
} sa_exposition_format_t;
/* By the Content-Type of an answer; what is not known is taken for the text. */
sa_exposition_format_t sa_exposition_format(const char *content_type);

/* Begin a run: parts go to PART with BATON.  A sample without a stamp of its
 * own gets SCRAPED_AT. */
void sa_exposition_begin(sa_exposition_result_t *result, sa_exposition_t *exposition,
                         apr_time_t scraped_at, sa_exposition_part_fn_t part, void *baton);
/* Read PAGE[0..LENGTH), which stays until the end of the run, and hand out parts
 * that are full.  A family (its HELP, TYPE and
 * samples) stays in one part unless it alone is larger than a part; then it is
 * split between samples, HELP and TYPE repeated.  Lines that cannot be read
 * are left out and counted; a line larger than a part is one of them. */
sa_error_t *sa_exposition_read(sa_exposition_t *exposition, const char *page, size_t length,
                               sa_exposition_format_t format) SA_MUST_CHECK;
/* Hand out the last part. */
sa_error_t *sa_exposition_end(sa_exposition_t *exposition) SA_MUST_CHECK;

/* All three for one page of text. */
sa_error_t *sa_exposition_run(sa_exposition_result_t *result, sa_exposition_t *exposition,
                              const char *page, size_t length, apr_time_t scraped_at,
                              sa_exposition_part_fn_t part, void *baton) SA_MUST_CHECK;

/* Another use of a page: look at its samples one by one. */
typedef struct sa_exposition_sample_t sa_exposition_sample_t;
typedef void (*sa_exposition_sample_fn_t)(void *baton, const sa_exposition_sample_t *sample);
void sa_exposition_each(const char *page, size_t length, sa_exposition_format_t format,
                        sa_exposition_sample_fn_t fn, void *baton, apr_pool_t *scratch_pool);
bool sa_exposition_is_named(const sa_exposition_sample_t *sample, const char *name);
/* The value of its label NAME, escapes undone, in POOL; "" when there is none. */
const char *sa_exposition_label(const sa_exposition_sample_t *sample, const char *name,
                                apr_pool_t *pool);
double sa_exposition_value(const sa_exposition_sample_t *sample);

#endif
