/* config: complaints.  Collected, bounded, sorted, printed. */
#include "sa_config_private.h"

#include <stdarg.h>
#include <stdlib.h>

#include <apr_strings.h>

bool sa_config__has_room(const sa_config__loader_t *loader)
{
    return loader->complaints->nelts < SA_CONFIG__COMPLAINTS;
}

/* Where a value has no place of its own, the main file is to be mended. */
static const char *file_of(const sa_config__loader_t *loader, const sa_config__origin_t *where)
{
    return where->file ? where->file : loader->main_file;
}

void sa_config__complain(sa_config__loader_t *loader, const sa_config__origin_t *where,
                         bool warning, const char *format, ...)
{
    sa_config__numbered_t *numbered;
    va_list args;

    loader->errors += warning ? 0 : 1;
    if (!sa_config__has_room(loader)) {
        loader->dropped++;
        loader->dropped_error = loader->dropped_error || !warning;
        return;
    }
    numbered = apr_array_push(loader->complaints);
    numbered->complaint.file = apr_pstrdup(loader->pool, file_of(loader, where));
    numbered->complaint.line = where->line;
    numbered->complaint.warning = warning;
    numbered->complaint.missing = false;
    va_start(args, format);
    numbered->complaint.text = apr_pvsprintf(loader->pool, format, args);
    va_end(args);
    numbered->source = where->source;
    numbered->number = loader->complaints->nelts;
}

void sa_config__mark_missing(sa_config__loader_t *loader)
{
    if (loader->dropped == 0 && loader->complaints->nelts > 0) {
        APR_ARRAY_IDX(loader->complaints, loader->complaints->nelts - 1,
                      sa_config__numbered_t).complaint.missing = true;
    }
}

static int by_place(const void *a_, const void *b_)
{
    const sa_config__numbered_t *a = a_;
    const sa_config__numbered_t *b = b_;

    if (a->source != b->source) {
        return a->source < b->source ? -1 : 1;
    }
    if (a->complaint.line != b->complaint.line) {
        return a->complaint.line < b->complaint.line ? -1 : 1;
    }
    return a->number < b->number ? -1 : 1;
}

apr_array_header_t *sa_config__complaints(const sa_config__loader_t *loader)
{
    const apr_array_header_t *numbered = loader->complaints;
    apr_array_header_t *sorted = apr_array_make(loader->pool, numbered->nelts + 1,
                                                sizeof(sa_complaint_t));

    qsort(numbered->elts, (size_t)numbered->nelts, sizeof(sa_config__numbered_t), by_place);
    for (int i = 0; i < numbered->nelts; i++) {
        APR_ARRAY_PUSH(sorted, sa_complaint_t) =
            APR_ARRAY_IDX(numbered, i, sa_config__numbered_t).complaint;
    }
    if (loader->dropped > 0) {
        APR_ARRAY_PUSH(sorted, sa_complaint_t) = (sa_complaint_t){
            .file = loader->main_file, .warning = !loader->dropped_error,
            .text = apr_psprintf(loader->pool, "and %d more", loader->dropped)};
    }
    return sorted;
}

const char *sa_complaint_format(const sa_complaint_t *complaint, apr_pool_t *pool)
{
    if (complaint->line > 0) {
        return apr_psprintf(pool, "%s:%d: %s", complaint->file, complaint->line, complaint->text);
    }
    return apr_psprintf(pool, "%s: %s", complaint->file, complaint->text);
}
