/* base: errors.  Make, compose, print a chain. */
#include "sa_error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "sa_log.h"

typedef struct code_row_t {
    const char *wire_name;
    const char *text;
} code_row_t;

static const code_row_t code_rows[] = {
#define SA_ERROR_CODE(symbol, wire_name, text) {wire_name, text},
#include "sa_error_codes.def"
#undef SA_ERROR_CODE
};

static const code_row_t *find_row(apr_status_t code)
{
    if (code <= (apr_status_t)SA_ERR_FIRST || code >= (apr_status_t)SA_ERR_END) {
        return NULL;
    }
    return &code_rows[code - SA_ERR_FIRST - 1];
}

sa_error_t *sa_error_make(const char *file, int line, apr_status_t code, sa_error_t *cause,
                          const char *format, ...)
{
    apr_pool_t *pool;
    sa_error_t *err;

    if (apr_pool_create_unmanaged_ex(&pool, NULL, NULL) != APR_SUCCESS) {
        sa_assert_failed(file, line, "out of memory");
    }
    err = apr_pcalloc(pool, sizeof(*err));
    err->code = code;
    err->cause = cause;
    err->file = file;
    err->line = line;
    err->pool = pool;
    if (format) {
        va_list args;

        va_start(args, format);
        err->message = apr_pvsprintf(pool, format, args);
        va_end(args);
    }
    return err;
}

void sa_error_clear(sa_error_t *err)
{
    while (err) {
        sa_error_t *cause = err->cause;

        apr_pool_destroy(err->pool);
        err = cause;
    }
}

sa_error_t *sa_error_compose(sa_error_t *first, sa_error_t *second)
{
    sa_error_t *last = first;

    if (!first) {
        return second;
    }
    while (last->cause) {
        last = last->cause;
    }
    last->cause = second;
    return first;
}

/* The text of one link of the chain. */
static const char *own_text(const sa_error_t *err, char *buffer, size_t size)
{
    const code_row_t *row;

    if (err->message) {
        return err->message;
    }
    row = find_row(err->code);
    if (row) {
        return row->text;
    }
    return apr_strerror(err->code, buffer, size);
}

const char *sa_error_text(const sa_error_t *err, char *buffer, size_t size)
{
    char scratch[256];
    size_t used = 0;

    if (!err) {
        snprintf(buffer, size, "success");
        return buffer;
    }
    buffer[0] = '\0';
    for (; err && used + 1 < size; err = err->cause) {
        int length = snprintf(buffer + used, size - used, "%s%s", used ? ": " : "",
                              own_text(err, scratch, sizeof(scratch)));

        if (length < 0) {
            break;
        }
        used += (size_t)length;
    }
    return buffer;
}

bool sa_error_has(const sa_error_t *err, apr_status_t code)
{
    for (; err; err = err->cause) {
        if (err->code == code) {
            return true;
        }
    }
    return false;
}

static const code_row_t *wire_row(const sa_error_t *err)
{
    for (; err; err = err->cause) {
        const code_row_t *row = find_row(err->code);

        if (row) {
            return row;
        }
    }
    return find_row(SA_ERR_INTERNAL);
}

const char *sa_error_wire_name(const sa_error_t *err)
{
    return wire_row(err)->wire_name;
}

const char *sa_error_wire_text(const sa_error_t *err)
{
    return wire_row(err)->text;
}

void sa_assert_failed(const char *file, int line, const char *what)
{
    SA_LOG(assert_failed, SA_S("file", file), SA_I("line", line), SA_S("what", what));
    abort();
}
