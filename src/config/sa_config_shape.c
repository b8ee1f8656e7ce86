/* config: what a string must look like. */
#include "sa_config_private.h"

#include <stdlib.h>
#include <string.h>

#include <apr_file_info.h>
#include <apr_strings.h>

#include "sa_glob.h"

/* Not isalnum(): the locale must not decide what a subject is. */
static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_token_char(char c)
{
    return is_letter(c) || is_digit(c) || c == '_' || c == '-';
}

static const char *check_token(const char *text)
{
    for (const char *c = text; *c; c++) {
        if (!is_token_char(*c)) {
            return "must be letters, digits, - and _ only";
        }
    }
    return NULL;
}

static const char *check_subject(const char *text)
{
    bool begins = true;

    for (const char *c = text; *c; c++) {
        if (*c == '.' ? begins : !is_token_char(*c)) {
            return "must be words of letters, digits, - and _, separated by single dots";
        }
        begins = *c == '.';
    }
    return begins ? "must not end with a dot" : NULL;
}

/* No $: "$JS.API." would let a requester make us speak to the server's own
 * interfaces.  No wildcards: a reply goes to one subject. */
static const char *check_prefix(const char *text)
{
    for (const char *c = text; *c; c++) {
        if (!is_token_char(*c) && (*c != '.' || c == text || c[-1] == '.')) {
            return "must be the beginning of a subject, such as _INBOX.";
        }
    }
    return NULL;
}

static const char *check_label(const char *text)
{
    static const char *const must =
        "must be a label name: letters, digits and _, not beginning with a digit or __";

    if (is_digit(text[0]) || strncmp(text, "__", 2) == 0) {
        return must;
    }
    for (const char *c = text; *c; c++) {
        if (!is_token_char(*c) || *c == '-') {
            return must;
        }
    }
    return NULL;
}

static const char *check_glob(const char *text)
{
    return sa_glob_is_short(text) ? NULL : "must be at most 63 bytes, * not counted";
}

static const char *check_match(const char *text, apr_pool_t *pool)
{
    const char *equals = strchr(text, '=');

    if (!equals || equals == text) {
        return "must be LABEL=PATTERN";
    }
    if (check_label(apr_pstrmemdup(pool, text, (size_t)(equals - text)))) {
        return "must begin with the name of a label";
    }
    return check_glob(equals + 1);
}

/* The grammar of systemd.unit(5); a template needs its instance. */
static const char *check_service(const char *text)
{
    const char *at = strchr(text, '@');

    for (const char *c = text; *c; c++) {
        if (!is_token_char(*c) && !strchr(":.\\@", *c)) {
            return "must be the name of a service: letters, digits and :-_.\\@ only, no patterns";
        }
    }
    if (text[0] == '.' || text[0] == '@') {
        return "must be the name of a service, which begins with neither . nor @";
    }
    if (at && (!at[1] || (at[1] == '.' && !strchr(at + 2, '.')))) {
        return "must name an instance behind the @ of a template";
    }
    /* ".service" may have to be added */
    return strlen(text) > 247 ? "must be at most 247 bytes" : NULL;
}

static const char *check_path(const char *text, apr_pool_t *pool)
{
    const char *root;
    const char *rest = text;

    if (apr_filepath_root(&root, &rest, 0, pool) != APR_SUCCESS) {
        return "must be an absolute path";
    }
    return NULL;
}

/* What stands behind SCHEME of SCHEMES ("a:// b://"), or NULL. */
static const char *skip_scheme(const char *text, const char *const *schemes)
{
    for (; *schemes; schemes++) {
        if (strncmp(text, *schemes, strlen(*schemes)) == 0) {
            return text + strlen(*schemes);
        }
    }
    return NULL;
}

/* Skip "host", "1.2.3.4" or "[::1]"; NULL if there is none. */
static const char *skip_host(const char *text)
{
    const char *c = text;

    if (*c == '[') {
        c += 1 + strspn(c + 1, "0123456789abcdefABCDEF:.%");
        return *c == ']' && c > text + 2 ? c + 1 : NULL;
    }
    while (is_token_char(*c) || *c == '.') {
        c++;
    }
    return c > text ? c : NULL;
}

/* Skip ":4222", if it is there; NULL if it is no port. */
static const char *skip_port(const char *text)
{
    long port = 0;
    const char *c = text + 1;

    if (*text != ':') {
        return text;
    }
    for (; is_digit(*c) && port <= 65535; c++) {
        port = port * 10 + (*c - '0');
    }
    return c > text + 1 && port >= 1 && port <= 65535 ? c : NULL;
}

static bool holds_user(const char *text)
{
    const char *scheme = strstr(text, "://");
    const char *host = scheme ? scheme + 3 : text;
    const char *at = strchr(host, '@');

    return at && at < host + strcspn(host, "/?#");
}

static const char *check_bus_url(const char *text)
{
    static const char *const schemes[] = {"nats://", "tls://", "ws://", "wss://", NULL};
    static const char *const must =
        "must be nats://, tls://, ws:// or wss:// with a host and, if need be, a port";
    const char *c = skip_scheme(text, schemes);

    if (holds_user(text)) {
        return "must not hold a user, password or token; nats.auth is the place for them";
    }
    c = c ? skip_host(c) : NULL;
    c = c ? skip_port(c) : NULL;
    if (!c) {
        return must;
    }
    if (*c == '/' && text[0] != 'w') {      /* a path means something over WebSocket only */
        c++;
    }
    if (*c == '/') {
        c += strcspn(c, " \"<>\\^`{|}");
    }
    return *c ? must : NULL;
}

static const char *check_http_url(const char *text)
{
    static const char *const schemes[] = {"http://", "https://", NULL};
    static const char *const must = "must be an http:// or https:// URL";
    const char *c = skip_scheme(text, schemes);

    if (holds_user(text)) {
        return "must not hold a user or password; there are settings of their own for them";
    }
    c = c ? skip_host(c) : NULL;
    c = c ? skip_port(c) : NULL;
    if (!c || (*c && *c != '/' && *c != '?')) {
        return must;
    }
    return c[strcspn(c, " \"<>\\^`{|}#")] ? must : NULL;
}

/* What it is for stands with the option; a password in it would stand in a file that others
 * may read. */
static const char *check_proxy_url(const char *text)
{
    static const char *const schemes[] = {"http://", "https://", "socks5://", "socks5h://", NULL};
    const char *c = skip_scheme(text, schemes);

    if (strcmp(text, "none") == 0) {
        return NULL;
    }
    if (holds_user(text)) {
        return "must not hold a user or password; nats.proxy.username and password_file are the "
               "places for them";
    }
    c = c ? skip_host(c) : NULL;
    c = c ? skip_port(c) : NULL;
    if (c && *c == '/') {
        c++;
    }
    return c && !*c ? NULL
                    : "must be http://, https://, socks5:// or socks5h:// with a host and a port, "
                      "or none";
}

static bool is_base64(char c)
{
    return is_letter(c) || is_digit(c) || c == '+' || c == '/';
}

/* Base64 of 32 bytes: 43 characters, of which the last has two bits to spare, and =. */
static const char *skip_pin(const char *text)
{
    for (int i = 0; i < 43; i++) {
        if (!is_base64(text[i])) {
            return NULL;
        }
    }
    return strchr("AEIMQUYcgkosw048", text[42]) && text[43] == '=' ? text + 44 : NULL;
}

static const char *check_pin(const char *text)
{
    const char *c = skip_pin(text);

    if (c && *c == ' ') {
        c = skip_pin(c + 1);
    }
    return c && !*c ? NULL
                    : "must be the base64 of a SHA-256 (44 characters, the last a =), or two of "
                      "them with a blank between";
}

static const char *check_form(sa_option_shape_t shape, const char *text, apr_pool_t *pool)
{
    switch (shape) {
    case SA_SHAPE_TOKEN:
        return check_token(text);
    case SA_SHAPE_SUBJECT:
        return check_subject(text);
    case SA_SHAPE_BUS_URL:
        return check_bus_url(text);
    case SA_SHAPE_HTTP_URL:
        return check_http_url(text);
    case SA_SHAPE_PROXY_URL:
        return check_proxy_url(text);
    case SA_SHAPE_PATH:
        return check_path(text, pool);
    case SA_SHAPE_PREFIX:
        return check_prefix(text);
    case SA_SHAPE_SERVICE:
        return check_service(text);
    case SA_SHAPE_LABEL:
        return check_label(text);
    case SA_SHAPE_GLOB:
        return check_glob(text);
    case SA_SHAPE_MATCH:
        return check_match(text, pool);
    case SA_SHAPE_PIN:
        return check_pin(text);
    case SA_SHAPE_ANY:
        break;
    }
    return NULL;
}

static bool has_control(const char *text)
{
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            return true;
        }
    }
    return false;
}

const char *sa_config__check_shape(const sa_option_t *row, const char *text, apr_pool_t *pool)
{
    bool is_string = row->type == SA_OPTION_STR;
    long limit = is_string && row->max ? strtol(row->max, NULL, 10) : SA_CONFIG__STRING_BYTES;

    if (!*text) {
        /* Empty where the default is empty means "none". */
        return is_string && row->def && !row->def[0] ? NULL : "must not be empty";
    }
    if (strlen(text) > (size_t)limit) {
        return apr_psprintf(pool, "must be at most %ld bytes", limit);
    }
    if (has_control(text)) {
        return "must not hold control characters";
    }
    return check_form(row->shape, text, pool);
}

#define QUOTE_BYTES 80

/* Cut TEXT at QUOTE_BYTES, not within a character, and make it printable. */
static char *shorten(const char *text, apr_pool_t *pool)
{
    size_t length = strlen(text);
    char *copy;

    if (length > QUOTE_BYTES) {
        length = QUOTE_BYTES;
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80) {
            length--;
        }
    }
    copy = apr_pstrmemdup(pool, text, length);
    for (char *c = copy; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            *c = '?';
        }
    }
    return text[length] ? apr_pstrcat(pool, copy, "...", NULL) : copy;
}

const char *sa_config__quote(const sa_option_t *row, const char *text, apr_pool_t *pool)
{
    bool is_url = row && (row->shape == SA_SHAPE_BUS_URL || row->shape == SA_SHAPE_HTTP_URL
                          || row->shape == SA_SHAPE_PROXY_URL);
    const char *at = is_url ? strrchr(text, '@') : NULL;

    if (at) {
        const char *scheme = strstr(text, "://");
        size_t length = scheme && scheme < at ? (size_t)(scheme + 3 - text) : 0;

        text = apr_pstrcat(pool, apr_pstrmemdup(pool, text, length), "***", at, NULL);
    }
    return shorten(text, pool);
}
