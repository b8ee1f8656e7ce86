/* exposition: what its files share.  sa_exposition_read.c reads a line,
 * sa_exposition_labels.c writes labels anew, sa_exposition_filter.c knows what
 * is wanted, sa_exposition.c builds parts of what is left. */
#ifndef SA_EXPOSITION_PRIVATE_H
#define SA_EXPOSITION_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>

#include "sa_buf.h"
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

struct sa_exposition_sample_t {
    sa_exposition_text_t name;      /* without quotes */
    bool quoted;                    /* {"name",...} */
    bool odd_name;                  /* an escape that only Prometheus takes */
    bool odd_labels;                /* the same in the labels */
    bool maybe_taken;               /* a name of the caller's set came by */
    bool quotes;                    /* a name is in quotes: its own, or a label's */
    sa_exposition_text_t labels;    /* between the braces, the name left out */
    sa_exposition_text_t value;
    sa_exposition_text_t stamp;     /* in milliseconds; empty: none */
    int pair_count;
    sa_exposition_pair_t pairs[SA_EXPOSITION_LABELS_MAX];
    char stamp_text[24];            /* of OpenMetrics, which has seconds */
};

/* Types of metrics, of both formats. */
typedef enum sa_exposition_kind_t {
    SA_KIND_NONE, SA_KIND_COUNTER, SA_KIND_GAUGE, SA_KIND_HISTOGRAM, SA_KIND_SUMMARY,
    SA_KIND_UNTYPED, SA_KIND_UNKNOWN, SA_KIND_INFO, SA_KIND_STATESET, SA_KIND_GAUGEHISTOGRAM
} sa_exposition_kind_t;

/* What a type is called, and which samples are its: NAME with a suffix. */
typedef struct sa_exposition_type_t {
    sa_exposition_text_t word;
    sa_exposition_text_t written;   /* the word that the text format has for it */
    bool open_only;                 /* only OpenMetrics has it */
    sa_exposition_text_t suffix;    /* that OpenMetrics leaves out behind TYPE */
    sa_exposition_text_t members[5];    /* the suffixes of samples, up to an empty one */
} sa_exposition_type_t;
extern const sa_exposition_type_t sa_exposition__types[];

typedef struct sa_exposition_meta_t {
    bool is_type;                   /* else HELP */
    sa_exposition_kind_t kind;      /* of a TYPE */
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

/* How to read a page. */
typedef struct sa_exposition_reading_t {
    const char *limit;              /* no byte at or behind it is touched */
    sa_exposition_names_t watched;  /* labels that may be in it: maybe_taken */
    bool open;                      /* OpenMetrics */
    /* What the next name of a metric may begin with, all of it bytes that such a
     * name has; empty: no idea.  Most names are the last one, or begin like it,
     * and comparing is faster than looking at each byte. */
    sa_exposition_text_t guess;
} sa_exposition_reading_t;

/* Read the sample in [LINE, END).  *END can be read and is a line end.  false:
 * FAULT says where and why. */
bool sa_exposition__read_sample(sa_exposition_sample_t *sample, const char *line,
                                const char *end, const sa_exposition_reading_t *reading,
                                sa_exposition_fault_t *fault);

/* The same for a line that begins with '#'.  *IS_META is false for a comment,
 * which is nothing to us. */
bool sa_exposition__read_comment(sa_exposition_meta_t *meta, bool *is_meta, const char *line,
                                 const char *end, const sa_exposition_reading_t *reading,
                                 sa_exposition_fault_t *fault);

/* Is [START, END) a value or a stamp as Prometheus reads them?  Return where
 * it ends, NULL if it is none.  *END can be read and is no part of one. */
const char *sa_exposition__skip_value(const char *start, const char *end);
const char *sa_exposition__skip_stamp(const char *start, const char *end);

/* ---- sa_exposition_labels.c ---- */

/* Most labels to add. */
#define SA_EXPOSITION_ADDED_MAX 32

typedef struct sa_exposition_list_t {
    sa_exposition_text_t *names;
    int count;
} sa_exposition_list_t;

bool sa_exposition__is_same(const sa_exposition_text_t *a, const sa_exposition_text_t *b);
bool sa_exposition__is_in(const sa_exposition_list_t *list, const sa_exposition_text_t *name);

/* Append TEXT with its escapes as every reader takes them; the same text to
 * Prometheus.  QUOTE is '"' for what stands in quotes, else one of these. */
#define SA_EXPOSITION_HELP '\\'
#define SA_EXPOSITION_OPEN_HELP 'O'     /* of OpenMetrics */
void sa_exposition__append_mended(sa_buf_t *buf, const sa_exposition_text_t *text, char quote);
size_t sa_exposition__mended_length(const sa_exposition_text_t *text, char quote);

/* Append TEXT with its escapes undone; an unknown one means itself. */
void sa_exposition__unescape(sa_buf_t *buf, const sa_exposition_text_t *text);

/* Append the labels of SAMPLE: names that ADDED has changed, escapes mended,
 * empty labels (which are none) left out. */
void sa_exposition__write_labels(sa_buf_t *patch, const sa_exposition_sample_t *sample,
                                 const sa_exposition_list_t *added);

/* ---- sa_exposition_filter.c ---- */

/* Is SAMPLE wanted?  Labels that are not are emptied, and *CHANGED is set.
 * SCRATCH is written to. */
bool sa_exposition__wants(const sa_exposition_filter_t *filter, sa_exposition_sample_t *sample,
                          bool *changed, sa_buf_t *scratch);

#endif
