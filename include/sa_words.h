/* Lines and templates of commands, as the administrator writes them.
 *
 * Stateless; any thread. */
#ifndef SA_WORDS_H
#define SA_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include <apr_pools.h>
#include <apr_tables.h>

/* LINE with each run of spaces (U+0020, nothing else) made one, and none at its ends. */
const char *sa_words_normalise(const char *line, apr_pool_t *pool);

/* Does LINE need a shell?  Not if it is words of letters, digits, @ % _ + = : , . / - and what
 * is not ASCII, separated by spaces, and its first word is neither NAME=VALUE nor one that
 * only a shell knows (cd, ulimit, if ...).  Quotes, $, *, ~, #, ! and all others are a shell's. */
bool sa_words_need_shell(const char *line);

/* The words (const char *) of a LINE that needs no shell. */
apr_array_header_t *sa_words_split(const char *line, apr_pool_t *pool);

/* What an element of a template is made of: {NAME} stands for an argument, {{ and }} for one
 * brace, all else for itself. */
typedef struct sa_words_piece_t {
    const char *text;           /* not NUL-terminated */
    size_t length;
    bool is_name;
} sa_words_piece_t;

/* Take the next piece off *REST; false at the end.  PIECE->text NULL: a brace that is
 * neither of them, at *REST, and no more can be read. */
bool sa_words_next_piece(sa_words_piece_t *piece, const char **rest);

/* Is TEXT a NAME: a letter, then at most 62 letters, digits, _ and -? */
bool sa_words_is_name(const char *text, size_t length);

#endif
