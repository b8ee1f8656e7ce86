/* Errors: what failed, what was being tried, and why.
 *
 * A function that can fail returns sa_error_t *, SA_OK (NULL) for success.
 * An error owns its own pool, because its life fits no caller's: whoever
 * handles it clears it, and handing it up the stack hands the ownership up.
 * An error belongs to one thread at a time.
 *
 * `code` is for programs (an APR status or one of SA_ERR_*), `message` is for
 * people: lower case, no full stop, naming the thing and the intent.  The
 * chain prints as "cannot save the credentials to /x: Permission denied".
 */
#ifndef SA_ERROR_H
#define SA_ERROR_H

#include <stdbool.h>
#include <stddef.h>

#include <apr_errno.h>
#include <apr_pools.h>

#if defined(__GNUC__) || defined(__clang__)
#define SA_MUST_CHECK __attribute__((warn_unused_result))
#define SA_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define SA_NORETURN __attribute__((noreturn))
#else
#define SA_MUST_CHECK
#define SA_PRINTF(fmt, args)
#define SA_NORETURN
#endif

/* Our codes follow APR's convention for an application's own range. */
typedef enum sa_error_code_t {
    SA_ERR_FIRST = APR_OS_START_USERERR + 7000,
#define SA_ERROR_CODE(symbol, wire_name, text) SA_ERR_##symbol,
#include "sa_error_codes.def"
#undef SA_ERROR_CODE
    SA_ERR_END
} sa_error_code_t;

typedef struct sa_error_t sa_error_t;
struct sa_error_t {
    apr_status_t code;
    const char *message;   /* NULL: the code's own text says it all */
    sa_error_t *cause;     /* what made it fail, or NULL */
    const char *file;      /* where it was made, for the debug log */
    int line;
    apr_pool_t *pool;
};

#define SA_OK NULL

/* Make an error.  CAUSE (may be NULL) is adopted.  Never returns NULL. */
sa_error_t *sa_error_make(const char *file, int line, apr_status_t code,
                          sa_error_t *cause, const char *format, ...)
    SA_PRINTF(5, 6) SA_MUST_CHECK;

/* sa_error(code, cause, format, ...) */
#define sa_error(code, cause, ...) \
    sa_error_make(__FILE__, __LINE__, (code), (cause), __VA_ARGS__)

/* An error of the library behind APR, with the system's words as its cause. */
#define sa_error_apr(status, ...)                                  \
    sa_error_make(__FILE__, __LINE__, (status),                    \
                  sa_error_make(__FILE__, __LINE__, (status), NULL, NULL), \
                  __VA_ARGS__)

/* Free ERR and its causes; NULL is fine.  `sa_error_clear(f())` with a reason
 * beside it is the only way to ignore a failure. */
void sa_error_clear(sa_error_t *err);

/* Keep FIRST and append SECOND at the end of its chain; either may be NULL.
 * For clean-up after a failure: the first error must not be lost. */
sa_error_t *sa_error_compose(sa_error_t *first, sa_error_t *second) SA_MUST_CHECK;

/* Print the chain as one line into BUFFER and return BUFFER.  ERR NULL prints
 * "success". */
const char *sa_error_text(const sa_error_t *err, char *buffer, size_t size);

/* Is CODE anywhere in the chain? */
bool sa_error_has(const sa_error_t *err, apr_status_t code);

/* What goes over the wire for ERR's topmost own code: a stable name and a
 * fixed text without paths or secrets. */
const char *sa_error_wire_name(const sa_error_t *err);
const char *sa_error_wire_text(const sa_error_t *err);

/* A mistake of ours, not of the world: log it and abort; the supervisor starts
 * us again and the spool survives. */
void sa_assert_failed(const char *file, int line, const char *what) SA_NORETURN;
#define SA_ASSERT(condition) \
    ((condition) ? (void)0 : sa_assert_failed(__FILE__, __LINE__, #condition))

/* Return early on failure.  There are these three and no more. */
#define SA_TRY(expression)                      \
    do {                                        \
        sa_error_t *sa_try_error_ = (expression); \
        if (sa_try_error_) {                    \
            return sa_try_error_;               \
        }                                       \
    } while (0)

#define SA_TRY_MSG(expression, ...)                                     \
    do {                                                                \
        sa_error_t *sa_try_error_ = (expression);                       \
        if (sa_try_error_) {                                            \
            return sa_error(sa_try_error_->code, sa_try_error_, __VA_ARGS__); \
        }                                                               \
    } while (0)

#define SA_TRY_APR(expression, ...)                       \
    do {                                                  \
        apr_status_t sa_try_status_ = (expression);       \
        if (sa_try_status_ != APR_SUCCESS) {              \
            return sa_error_apr(sa_try_status_, __VA_ARGS__); \
        }                                                 \
    } while (0)

#endif
