/* exposition: what its two halves share.  sa_exposition_read.c reads a line,
 * sa_exposition.c builds parts of what was read. */
#ifndef SA_EXPOSITION_PRIVATE_H
#define SA_EXPOSITION_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>

#include "sa_exposition.h"

/* Bytes of the page, or of a buffer of ours. */
typedef struct sa_exposition_text_t {
    const char *start;
    size_t length;
} sa_exposition_text_t;

typedef struct sa_exposition_pair_t {
    sa_exposition_text_t name;      /* without quotes */
    sa_exposition_text_t value;     /* without quotes, escapes as written */
    bool quoted;                    /* the name was */
} sa_exposition_pair_t;

/* A real sample has a dozen labels; a limit keeps the search for doubles
 * cheap whatever comes. */
#define SA_EXPOSITION_LABELS_MAX 256

/* Sets of label names of which "surely not in it" is known at once: a bit for
 * each name that may be in. */
typedef apr_uint64_t sa_exposition_names_t;

typedef struct sa_exposition_sample_t {
    sa_exposition_text_t name;      /* without quotes */
    bool quoted;                    /* {"name",...} */
    bool odd_name;                  /* an escape that only Prometheus takes */
    bool odd_labels;                /* the same in the labels */
    bool maybe_taken;               /* a name of the caller's set came by */
    sa_exposition_text_t labels;    /* between the braces, the name left out */
    sa_exposition_text_t value;
    sa_exposition_text_t stamp;     /* empty: none */
    int pair_count;
    sa_exposition_pair_t pairs[SA_EXPOSITION_LABELS_MAX];
} sa_exposition_sample_t;

typedef struct sa_exposition_meta_t {
    bool is_type;                   /* else HELP */
    bool quoted;
    bool odd;                       /* TEXT has an escape that only Prometheus takes */
    sa_exposition_text_t name;      /* without quotes */
    sa_exposition_text_t text;      /* the type's word, or the help */
} sa_exposition_meta_t;

typedef struct sa_exposition_fault_t {
    const char *at;
    const char *reason;             /* static */
} sa_exposition_fault_t;

sa_exposition_names_t sa_exposition__name_bit(const char *name, size_t length);
bool sa_exposition__is_label_name(const char *name, size_t length);
bool sa_exposition__is_utf8(const char *text, size_t length);

/* Read the sample in [LINE, END).  *END can be read and is a line end; no byte
 * at or behind LIMIT is touched.  Labels whose names may be in WATCHED are
 * reported by maybe_taken.  false: FAULT says where and why. */
bool sa_exposition__read_sample(sa_exposition_sample_t *sample, const char *line,
                                const char *end, const char *limit,
                                sa_exposition_names_t watched, sa_exposition_fault_t *fault);

/* The same for a line that begins with '#'.  *IS_META is false for a comment,
 * which is nothing to us. */
bool sa_exposition__read_comment(sa_exposition_meta_t *meta, bool *is_meta, const char *line,
                                 const char *end, const char *limit,
                                 sa_exposition_fault_t *fault);

/* Is [START, END) a value or a stamp as Prometheus reads them?  Return where
 * it ends, NULL if it is none.  *END can be read and is no part of one. */
const char *sa_exposition__skip_value(const char *start, const char *end);
const char *sa_exposition__skip_stamp(const char *start, const char *end);

#endif
