/* The exposition path: a Prometheus page in, labelled and stamped parts out.
 *
 * Reads the Prometheus text format 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/) and writes
 * the same, so that any consumer of the format can read a part by itself.
 * One pass over the page, no allocation for a sample, values untouched: the
 * bytes of a value are copied, never parsed and printed again.
 *
 * No threads, no I/O; input is hostile and bounded by the caller. */
#ifndef SA_EXPOSITION_H
#define SA_EXPOSITION_H

#include <stddef.h>

#include <apr.h>
#include <apr_pools.h>
#include <apr_time.h>

#include "sa_error.h"

/* A label to add to every sample.  Where a sample has one of that name
 * already, the sample's is renamed to exported_NAME, as Prometheus does when
 * it scrapes (honor_labels: false). */
typedef struct sa_exposition_label_t {
    const char *name;
    const char *value;      /* UTF-8, as it is; escaped on writing; "" is no label */
} sa_exposition_label_t;

typedef struct sa_exposition_options_t {
    const sa_exposition_label_t *labels;
    int label_count;
    size_t part_limit_bytes;        /* no part is larger */
} sa_exposition_options_t;

/* What the page was. */
typedef struct sa_exposition_result_t {
    apr_uint64_t samples;           /* forwarded */
    apr_uint64_t bad_lines;         /* left out */
    apr_uint64_t parts;
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

/* Read PAGE[0..LENGTH) and hand out parts.  A sample without a stamp of its
 * own gets SCRAPED_AT.  A family (its HELP, TYPE and
 * samples) stays in one part unless it alone is larger than a part; then it is
 * split between samples, HELP and TYPE repeated.  Lines that cannot be read
 * are left out and counted; a line larger than a part is one of them. */
sa_error_t *sa_exposition_run(sa_exposition_result_t *result, sa_exposition_t *exposition,
                              const char *page, size_t length, apr_time_t scraped_at,
                              sa_exposition_part_fn_t part, void *baton) SA_MUST_CHECK;

#endif
