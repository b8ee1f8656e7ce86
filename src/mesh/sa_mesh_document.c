/* mesh: the platform's document, looked through.
 *
 * It is another program's configuration, and that program runs with a capability that we do
 * not have: what it is told decides what this machine lets in.  So it is a list of what is known
 * and harmless; a section that is not on it is refused, because a later Nebula may know it.
 * `nebula -test` says whether the rest makes sense. */
#include "sa_mesh_private.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <apr_network_io.h>
#include <apr_strings.h>

#include "sa_buf.h"
#include "sa_pool.h"
#include "sa_text.h"

#define PEM_BEGIN "-----BEGIN NEBULA "
#define SHOWN_MAX 64
#define LIGHTHOUSES_MAX 64
#define PORT_MIN 1024
#define ROUTES_BYTES 4096

typedef struct reader_t {
    sa_mesh__document_t *document;
    const sa_mesh__policy_t *policy;
    apr_pool_t *pool;
} reader_t;

/* What Nebula does at a SIGHUP with a section that has changed. */
typedef struct section_t {
    const char *name;
    bool reloads;               /* takes it over */
    /* NULL: all of it is good */
    sa_error_t *(*check)(reader_t *reader, const sa_document_t *node);
} section_t;

static sa_error_t *refused(const sa_document_t *node, const char *format, ...) SA_PRINTF(2, 3);
static sa_error_t *refused(const sa_document_t *node, const char *format, ...)
{
    char text[SA_MESH_TEXT];
    char words[SA_MESH_TEXT];
    va_list args;

    va_start(args, format);
    apr_vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    sa_mesh__scrub(words, sizeof(words), text, strlen(text));
    return sa_error(SA_ERR_REFUSED, NULL, "line %d: %s", node->line, words);
}

/* TEXT of the document, if it may stand in a message, where it is scrubbed once more. */
static const char *shown(const char *text)
{
    size_t length = strlen(text);

    return length > SHOWN_MAX || sa_text_fault(text, length) || strncmp(text, "-----", 5) == 0
               ? "(not shown)" : text;
}

static const char *text_of(const sa_document_t *node)
{
    return node && node->kind == SA_DOCUMENT_VALUE ? node->text : NULL;
}

static bool is_nothing(const sa_document_t *node)
{
    const char *text = text_of(node);

    return !node || (text && node->plain
                     && (!*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0));
}

/* As Nebula's YAML reads it; anything else is no bool for it either, or is asked as one. */
static bool is_true(const sa_document_t *node)
{
    const char *text = text_of(node);

    return text && *text && strchr("tTyY1oO", *text) && strcmp(text, "off") != 0
           && strcmp(text, "OFF") != 0 && strcmp(text, "Off") != 0;
}

static bool has(const apr_array_header_t *words, const char *word)
{
    for (int i = 0; i < words->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(words, i, const char *), word) == 0) {
            return true;
        }
    }
    return false;
}

static sa_error_t *want(const sa_document_t *node, const char *name, int kind)
{
    static const char *const kinds[] = {"one value", "a list", "a group"};

    return (int)node->kind == kind || is_nothing(node)
               ? SA_OK : sa_error(SA_ERR_FILE_CONTENT, NULL, "line %d: %s must be %s", node->line,
                                  name, kinds[kind]);
}

/* ---- the sections --------------------------------------------------------------------- */

/* The three that are files wherever they are not the thing itself. */
static sa_error_t *check_pem(const sa_document_t *pki, const char *name)
{
    const sa_document_t *node = sa_config_document_get(pki, name);
    const char *text = text_of(node);

    if (is_nothing(node)) {
        return sa_error(SA_ERR_FILE_CONTENT, NULL, "line %d: there is no pki.%s", pki->line, name);
    }
    if (!text || strncmp(text, PEM_BEGIN, strlen(PEM_BEGIN)) != 0) {
        return refused(node, "pki.%s is not the text itself (-----BEGIN NEBULA ...): names of "
                       "files and tokens are not allowed", name);
    }
    return SA_OK;
}

static sa_error_t *check_pki(reader_t *reader, const sa_document_t *pki)
{
    sa_mesh__document_t *document = reader->document;

    SA_TRY(check_pem(pki, "ca"));
    SA_TRY(check_pem(pki, "cert"));
    SA_TRY(check_pem(pki, "key"));
    return sa_mesh__certificate_read(&document->has_certificate, &document->certificate,
                                     sa_config_document_get(pki, "cert")->text, reader->pool);
}

/* An address of version 6 as Nebula's log has it. */
static const char *canonical(const char *text, apr_pool_t *pool)
{
    apr_sockaddr_t *address;
    char *result;

    /* nothing else, or it would be looked for as a name */
    if (!strchr(text, ':') || strspn(text, "0123456789abcdefABCDEF:.") != strlen(text)
        || apr_sockaddr_info_get(&address, text, APR_INET6, 0, 0, pool) != APR_SUCCESS
        || apr_sockaddr_ip_get(&result, address) != APR_SUCCESS) {
        return text;
    }
    return result;
}

static sa_error_t *check_lighthouse(reader_t *reader, const sa_document_t *node)
{
    const sa_document_t *hosts = sa_config_document_get(node, "hosts");
    const sa_document_t *dns = sa_config_document_get(node, "dns");
    const sa_document_t *serve_dns = sa_config_document_get(node, "serve_dns");
    apr_array_header_t *list = apr_array_make(reader->pool, 4, sizeof(const char *));

    reader->document->lighthouses = list;
    reader->document->is_lighthouse = is_true(sa_config_document_get(node, "am_lighthouse"));
    if (!is_nothing(dns) || is_true(serve_dns)) {
        return refused(dns ? dns : serve_dns, "lighthouse.dns: a DNS server on this machine is not "
                       "allowed");
    }
    if (is_nothing(hosts)) {
        return SA_OK;
    }
    SA_TRY(want(hosts, "lighthouse.hosts", SA_DOCUMENT_LIST));
    if (hosts->items->nelts > LIGHTHOUSES_MAX) {
        return refused(hosts, "lighthouse.hosts: more than %d", LIGHTHOUSES_MAX);
    }
    for (int i = 0; i < hosts->items->nelts; i++) {
        const sa_document_t *host = APR_ARRAY_IDX(hosts->items, i, const sa_document_t *);

        SA_TRY(want(host, "each of lighthouse.hosts", SA_DOCUMENT_VALUE));
        APR_ARRAY_PUSH(list, const char *) = canonical(host->text, reader->pool);
    }
    return SA_OK;
}

/* A random port on all addresses is what Nebula needs; a lighthouse or relay has a port of
 * its own.  What others have is not to be taken over. */
static sa_error_t *check_listen(reader_t *reader, const sa_document_t *node)
{
    const sa_document_t *host = sa_config_document_get(node, "host");
    const sa_document_t *port = sa_config_document_get(node, "port");
    const char *address = text_of(host);
    const char *number = text_of(port);

    (void)reader;
    if (!is_nothing(host)
        && (!address || (strcmp(address, "0.0.0.0") != 0 && strcmp(address, "::") != 0
                         && strcmp(address, "[::]") != 0))) {
        return refused(host, "listen.host is \"%s\"; only 0.0.0.0 and :: are allowed",
                       address ? shown(address) : "(not one value)");
    }
    if (!is_nothing(port)) {
        char *end = NULL;
        long value = number ? strtol(number, &end, 10) : -1;

        if (!number || !*number || *end || value < 0 || value > 65535
            || (value > 0 && value < PORT_MIN)) {
            return refused(port, "listen.port is \"%s\"; only 0 and %d to 65535 are allowed",
                           number ? shown(number) : "(not one value)", PORT_MIN);
        }
    }
    return SA_OK;
}

static sa_error_t *check_routes(reader_t *reader, const sa_document_t *routes)
{
    sa_buf_t *text = apr_palloc(reader->pool, sizeof(*text));

    if (is_nothing(routes)) {
        return SA_OK;
    }
    sa_buf_init(text, ROUTES_BYTES, reader->pool);
    SA_TRY(want(routes, "tun.unsafe_routes", SA_DOCUMENT_LIST));
    for (int i = 0; i < routes->items->nelts; i++) {
        const sa_document_t *item = APR_ARRAY_IDX(routes->items, i, const sa_document_t *);
        const char *route = text_of(sa_config_document_get(item, "route"));

        if (!route || !has(reader->policy->routes, route)) {
            return refused(item, "tun.unsafe_routes: \"%s\" is not one of nebula.allowed_routes",
                           route ? shown(route) : "(no route)");
        }
        if (!sa_buf_printf(text, "%s%s", text->length > 0 ? " " : "", route)) {
            return refused(item, "tun.unsafe_routes: too many");
        }
    }
    reader->document->unsafe_networks = text->data ? text->data : "";
    return SA_OK;
}

static sa_error_t *check_tun(reader_t *reader, const sa_document_t *node)
{
    const sa_document_t *dev = sa_config_document_get(node, "dev");
    const char *device = text_of(dev);

    if (!is_nothing(dev)) {
        if (!device || !has(reader->policy->devices, device)) {
            return refused(dev, "tun.dev is \"%s\", which is not one of nebula.allowed_devices",
                           device ? shown(device) : "(not one value)");
        }
        reader->document->device = device;
    }
    return check_routes(reader, sa_config_document_get(node, "unsafe_routes"));
}

static const section_t sections[] = {
    {"pki", true, check_pki},
    {"static_host_map", false, NULL},
    {"static_map", false, NULL},
    /* Nebula takes these over too, but keeps the tunnels it has: whether the new ones can be
     * reached would show at the next restart, perhaps much later. */
    {"lighthouse", false, check_lighthouse},
    {"listen", false, check_listen},
    {"punchy", true, NULL},
    {"cipher", false, NULL},
    {"preferred_ranges", true, NULL},
    {"relay", true, NULL},
    {"tun", false, check_tun},
    {"logging", true, NULL},        /* what we need of it is settled in our own file */
    {"firewall", true, NULL},
    {"handshakes", false, NULL},
    {"tunnels", false, NULL},
    {"routines", false, NULL},
};
#define SECTION_COUNT (sizeof(sections) / sizeof(sections[0]))

static const section_t *section_of(const char *name)
{
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        if (strcmp(sections[i].name, name) == 0) {
            return &sections[i];
        }
    }
    return NULL;
}

/* ---- paths, wherever they stand ------------------------------------------------------- */

static bool is_path(const char *text)
{
    return *text == '/' || *text == '~' || strncmp(text, "./", 2) == 0 || strstr(text, "../")
           || strcmp(text, "..") == 0 || strchr(text, '\\') || strncmp(text, "file:", 5) == 0;
}

static sa_error_t *check_no_path(const sa_document_t *node, const char *name)
{
    if (node->kind == SA_DOCUMENT_VALUE) {
        return is_path(node->text)
                   ? refused(node, "%s names a path; no part of it may", shown(name)) : SA_OK;
    }
    for (int i = 0; i < node->items->nelts; i++) {
        const sa_document_t *item = APR_ARRAY_IDX(node->items, i, const sa_document_t *);

        SA_TRY(check_no_path(item, item->key ? item->key : name));
    }
    return SA_OK;
}

/* ---- the whole ------------------------------------------------------------------------ */

static sa_error_t *check_section(reader_t *reader, const sa_document_t *node)
{
    const section_t *section = section_of(node->key);

    if (strcmp(node->key, "sshd") == 0) {
        return refused(node, "sshd: a way into Nebula from outside is not allowed");
    }
    if (strcmp(node->key, "stats") == 0) {
        return refused(node, "stats: a listener or sender beside the overlay is not allowed");
    }
    if (!section) {
        return refused(node, "%s is not a section that this version of the agent knows to be "
                       "harmless", shown(node->key));
    }
    SA_TRY(check_no_path(node, node->key));
    if (!section->check) {
        return SA_OK;
    }
    if (!is_nothing(node)) {
        SA_TRY(want(node, node->key, SA_DOCUMENT_MAP));
    }
    return section->check(reader, node);
}

sa_error_t *sa_mesh__document_read(sa_mesh__document_t **result, const char *text,
                                   const sa_mesh__policy_t *policy, apr_pool_t *pool)
{
    sa_mesh__document_t *document = apr_pcalloc(pool, sizeof(*document));
    reader_t reader = {.document = document, .policy = policy, .pool = pool};

    document->text = text;
    document->device = apr_pstrdup(pool, APR_ARRAY_IDX(policy->devices, 0, const char *));
    document->lighthouses = apr_array_make(pool, 1, sizeof(const char *));
    document->unsafe_networks = "";
    SA_TRY(sa_config_document_read(&document->root, text, strlen(text), pool));
    if (document->root->kind != SA_DOCUMENT_MAP) {
        return sa_error(SA_ERR_FILE_CONTENT, NULL, "it is not a map of sections");
    }
    for (int i = 0; i < document->root->items->nelts; i++) {
        SA_TRY(check_section(&reader, APR_ARRAY_IDX(document->root->items, i,
                                                    const sa_document_t *)));
    }
    if (!sa_config_document_get(document->root, "pki")) {
        return sa_error(SA_ERR_FILE_CONTENT, NULL, "it has no section pki");
    }
    *result = document;
    return SA_OK;
}

/* ---- what a change takes -------------------------------------------------------------- */

static bool is_same_in_both(const sa_mesh__document_t *a, const sa_mesh__document_t *b,
                            const char *name)
{
    return sa_config_document_is_same(sa_config_document_get(a->root, name),
                                      sa_config_document_get(b->root, name));
}

static bool has_same_networks(const sa_mesh__document_t *a, const sa_mesh__document_t *b)
{
    return a->has_certificate && b->has_certificate
           && strcmp(a->certificate.networks, b->certificate.networks) == 0;
}

sa_mesh__change_t sa_mesh__document_compare(bool *shakes, const sa_mesh__document_t *old_document,
                                            const sa_mesh__document_t *new_document)
{
    sa_mesh__change_t change = SA_MESH__SAME;

    *shakes = true;
    if (!old_document || strcmp(old_document->device, new_document->device) != 0) {
        return SA_MESH__RESTART;
    }
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        if (is_same_in_both(old_document, new_document, sections[i].name)) {
            continue;
        }
        if (!sections[i].reloads) {
            return SA_MESH__RESTART;
        }
        change = SA_MESH__RELOAD;
    }
    if (is_same_in_both(old_document, new_document, "pki")) {
        *shakes = false;
    } else if (!has_same_networks(old_document, new_document)) {
        return SA_MESH__RESTART;
    }
    return change;
}
