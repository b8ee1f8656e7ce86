/* base: lines and templates of commands. */
#include "sa_words.h"

#include <string.h>

#include <apr_strings.h>

#define NAME_BYTES 63

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

apr_array_header_t *sa_words_split(const char *line, apr_pool_t *pool)
{
    apr_array_header_t *words = apr_array_make(pool, 8, sizeof(const char *));

    line += strspn(line, " ");
    while (*line) {
        size_t length = strcspn(line, " ");

        APR_ARRAY_PUSH(words, const char *) = apr_pstrmemdup(pool, line, length);
        line += length;
        line += strspn(line, " ");
    }
    return words;
}

const char *sa_words_normalise(const char *line, apr_pool_t *pool)
{
    return apr_array_pstrcat(pool, sa_words_split(line, pool), ' ');
}

/* Built-in and reserved words of POSIX sh and bash without a program of the same effect.
 * Where there is such a program too (echo, test, kill) that one runs. */
static bool is_shells_own(const char *word, size_t length)
{
    static const char *const own[] = {
        ".", ":", "alias", "bg", "break", "builtin", "case", "cd", "command", "continue", "declare",
        "eval", "exec", "exit", "export", "fc", "fg", "for", "function", "getopts", "hash",
        "history", "if", "jobs", "let", "local", "read", "readonly", "return", "select", "set",
        "shift", "shopt", "source", "time", "times", "trap", "type", "ulimit", "umask", "unalias",
        "unset", "until", "wait", "while"};

    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (strlen(own[i]) == length && memcmp(own[i], word, length) == 0) {
            return true;
        }
    }
    return false;
}

bool sa_words_need_shell(const char *line)
{
    size_t first;

    for (const char *c = line; *c; c++) {
        if (!is_letter(*c) && !is_digit(*c) && (unsigned char)*c < 0x80
            && !strchr(" @%_+=:,./-", *c)) {
            return true;
        }
    }
    line += strspn(line, " ");
    first = strcspn(line, " ");
    return memchr(line, '=', first) != NULL || is_shells_own(line, first);
}

bool sa_words_is_name(const char *text, size_t length)
{
    if (length == 0 || length > NAME_BYTES || !is_letter(text[0])) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (!is_letter(text[i]) && !is_digit(text[i]) && text[i] != '_' && text[i] != '-') {
            return false;
        }
    }
    return true;
}

bool sa_words_next_piece(sa_words_piece_t *piece, const char **rest)
{
    const char *text = *rest;
    size_t length = strcspn(text, "{}");

    *piece = (sa_words_piece_t){.text = text, .length = length};
    if (length > 0) {
        *rest = text + length;
        return true;
    }
    if (!*text) {
        return false;
    }
    if (text[1] == text[0]) {
        piece->length = 1;
        *rest = text + 2;
        return true;
    }
    piece->text = text + 1;
    piece->length = strcspn(text + 1, "{}");
    piece->is_name = true;
    if (*text == '}' || text[1 + piece->length] != '}'
        || !sa_words_is_name(piece->text, piece->length)) {
        piece->text = NULL;
        return true;
    }
    *rest = text + piece->length + 2;
    return true;
}
