/* http: which proxy, and for what. */
#include "sa_http_private.h"

#include <stdlib.h>
#include <string.h>

#include <apr_cstr.h>
#include <apr_network_io.h>
#include <apr_strings.h>

#include "sa_pool.h"

#define ENVIRONMENT_MAX 4096

void sa_http_proxy_choose(sa_http_proxy_choice_t *choice, const sa_config_t *config,
                          apr_pool_t *pool)
{
    *choice = (sa_http_proxy_choice_t){
        .from_environment = !config->nats_proxy_url[0],
        .url = apr_pstrdup(pool, config->nats_proxy_url),
        .username = apr_pstrdup(pool, config->nats_proxy_username),
        .password = {
            .source = config->nats_proxy_password.source,
            .where = apr_pstrdup(pool, config->nats_proxy_password.where),
            .path = apr_pstrdup(pool, config->nats_proxy_password.path)
        },
        .except = apr_array_pstrcat(pool, config->nats_proxy_except, ','),
        .ca_file = apr_pstrdup(pool, config->nats_proxy_ca_file)
    };
}

/* ---- the environment ------------------------------------------------------------------ */

/* The first of NAMES that is set to something, or NULL; *NAME is which. */
static const char *find_variable(const char **name, const char *const *names)
{
    for (; *names; names++) {
        const char *value = getenv(*names);

        if (value && value[0]) {
            *name = *names;
            return value;
        }
    }
    return NULL;
}

/* A copy in POOL, wiped with it; NULL for NULL. */
static const char *keep_secret(const char *text, apr_pool_t *pool)
{
    char *copy = apr_pstrdup(pool, text);

    if (copy) {
        sa_pool_wipe_later(copy, strlen(copy), pool);
    }
    return copy;
}

static char *part_of(CURLU *parts, CURLUPart what)
{
    char *text = NULL;

    return curl_url_get(parts, what, &text, 0) == CURLUE_OK ? text : NULL;
}

/* *TEXT: percent-decoded, wiped with POOL; NULL: none.  false: it is not text. */
static bool take_login(const char **text, CURLU *parts, CURLUPart what, CURLUcode none,
                       apr_pool_t *pool)
{
    char *decoded = NULL;
    CURLUcode code = curl_url_get(parts, what, &decoded, CURLU_URLDECODE);

    *text = keep_secret(decoded, pool);
    curl_free(decoded);
    return code == CURLUE_OK || code == none;
}

static bool is_known_scheme(const char *scheme)
{
    static const char *const schemes[] = {"http", "https", "socks5", "socks5h"};

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (strcmp(scheme, schemes[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool take_parts(sa_http_proxy_t *proxy, CURLU *parts, apr_pool_t *pool)
{
    char *scheme = part_of(parts, CURLUPART_SCHEME);
    char *host = part_of(parts, CURLUPART_HOST);
    char *port = part_of(parts, CURLUPART_PORT);
    bool is_good = scheme && is_known_scheme(scheme) && host && host[0]
                   && take_login(&proxy->username, parts, CURLUPART_USER, CURLUE_NO_USER, pool)
                   && take_login(&proxy->password, parts, CURLUPART_PASSWORD,
                                 CURLUE_NO_PASSWORD, pool);

    if (is_good) {
        proxy->url = apr_pstrcat(pool, scheme, "://", host, port ? ":" : "", port ? port : "",
                                 NULL);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    return is_good;
}

/* libcurl's ports for those that name none (CURLOPT_PROXY(3)). */
const char *sa_http_proxy_address(const sa_http_proxy_t *proxy, apr_pool_t *pool)
{
    const char *address = strstr(proxy->url, "://") + 3;
    const char *colon;

    address = apr_pstrmemdup(pool, address, strcspn(address, "/?#"));
    colon = strrchr(address, ':');
    if (colon && !strchr(colon, ']')) {
        return address;
    }
    return apr_pstrcat(pool, address, strncmp(proxy->url, "https:", 6) == 0 ? ":443" : ":1080",
                       NULL);
}

/* TEXT is a URL, or host[:port], which means http://. */
static bool take_url(sa_http_proxy_t *proxy, const char *text, apr_pool_t *pool)
{
    CURLU *parts;
    const char *url;
    bool is_good;

    if (strlen(text) > ENVIRONMENT_MAX) {
        return false;
    }
    parts = curl_url();
    SA_ASSERT(parts != NULL);
    url = strstr(text, "://") ? keep_secret(text, pool)
                              : keep_secret(apr_pstrcat(pool, "http://", text, NULL), pool);
    is_good = curl_url_set(parts, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK
              && take_parts(proxy, parts, pool);
    curl_url_cleanup(parts);
    return is_good;
}

static sa_error_t *read_environment(sa_http_proxy_t *proxy, apr_pool_t *pool)
{
    static const char *const url_names[] = {"https_proxy", "HTTPS_PROXY", "all_proxy",
                                            "ALL_PROXY", NULL};
    static const char *const except_names[] = {"no_proxy", "NO_PROXY", NULL};
    const char *name = NULL;
    const char *url = find_variable(&name, url_names);
    const char *except;

    if (!url) {
        return SA_OK;
    }
    if (!take_url(proxy, url, pool)) {
        return sa_error(SA_ERR_CONFIG, NULL, "the environment's %s is not the URL of a proxy: "
                        "http://, https://, socks5:// or socks5h:// with a host", name);
    }
    except = find_variable(&name, except_names);
    if (except) {
        proxy->except = apr_pstrdup(pool, except);
    }
    return SA_OK;
}

sa_error_t *sa_http_proxy_read(sa_http_proxy_t *proxy, const sa_http_proxy_choice_t *choice,
                               apr_pool_t *pool)
{
    *proxy = (sa_http_proxy_t){.except = ""};
    if (choice->ca_file[0]) {
        proxy->ca_file = choice->ca_file;
    }
    if (choice->from_environment) {
        return read_environment(proxy, pool);
    }
    if (strcmp(choice->url, "none") == 0) {
        return SA_OK;
    }
    proxy->except = choice->except;
    if (choice->username[0]) {
        proxy->username = choice->username;
        if (choice->password.source != SA_SECRET_NONE) {
            SA_TRY_MSG(sa_secret_read(&proxy->password, &choice->password, pool),
                       "cannot read the proxy's password");
        }
    }
    proxy->url = choice->url;
    return SA_OK;
}

/* ---- what is excepted -------------------------------------------------------------------- */

/* HOST as an address, or NULL: a name.  Nothing is looked up. */
static apr_sockaddr_t *address_of(const char *host, apr_pool_t *pool)
{
    apr_ipsubnet_t *network;
    apr_sockaddr_t *address;

    if (apr_ipsubnet_create(&network, host, NULL, pool) != APR_SUCCESS
        || apr_sockaddr_info_get(&address, host, APR_UNSPEC, 0, 0, pool) != APR_SUCCESS) {
        return NULL;
    }
    return address;
}

static bool is_in_network(char *token, apr_sockaddr_t *address, apr_pool_t *pool)
{
    char *bits = strchr(token, '/');
    apr_ipsubnet_t *network;

    if (bits) {
        *bits = '\0';
        bits++;
    }
    return apr_ipsubnet_create(&network, token, bits, pool) == APR_SUCCESS
           && apr_ipsubnet_test(network, address) != 0;
}

/* Is HOST DOMAIN, or a name below it?  A dot before or behind it changes nothing. */
static bool is_in_domain(const char *domain, const char *host)
{
    size_t length;
    size_t host_length = strlen(host);

    domain += domain[0] == '.' ? 1 : 0;
    length = strlen(domain);
    length -= length > 0 && domain[length - 1] == '.' ? 1 : 0;
    host_length -= host_length > 0 && host[host_length - 1] == '.' ? 1 : 0;
    if (length == 0 || length > host_length
        || apr_cstr_casecmpn(host + host_length - length, domain, length) != 0) {
        return false;
    }
    return length == host_length || host[host_length - length - 1] == '.';
}

/* As libcurl does it (CURLOPT_NOPROXY), but known here: what an error means depends on it. */
bool sa_http__is_excepted(const char *except, const char *host, apr_pool_t *pool)
{
    apr_sockaddr_t *address = address_of(host, pool);
    char *state;

    for (char *token = apr_strtok(apr_pstrdup(pool, except), ", \t", &state); token;
         token = apr_strtok(NULL, ", \t", &state)) {
        if (strcmp(token, "*") == 0) {
            return true;
        }
        if (address ? is_in_network(token, address, pool) : is_in_domain(token, host)) {
            return true;
        }
    }
    return false;
}

/* ---- for libcurl ------------------------------------------------------------------------- */

bool sa_http_proxy_serves(const sa_http_proxy_t *proxy, const char *host,
                          apr_pool_t *scratch_pool)
{
    return proxy->url && !sa_http__is_excepted(proxy->except, host, scratch_pool);
}

const sa_http_proxy_t *sa_http__proxy_for(const sa_http_request_t *request, const char *host,
                                          apr_pool_t *pool)
{
    const sa_http_proxy_t *proxy = request->proxy;

    sa_http_proxy_t *copy;

    if (!proxy || !sa_http_proxy_serves(proxy, host, pool)) {
        return NULL;
    }
    copy = apr_pcalloc(pool, sizeof(*copy));
    copy->url = apr_pstrdup(pool, proxy->url);
    copy->username = apr_pstrdup(pool, proxy->username);
    copy->except = "";
    copy->ca_file = apr_pstrdup(pool, proxy->ca_file);
    return copy;
}

bool sa_http__is_tls_proxy(const sa_http_proxy_t *proxy)
{
    return proxy && strncmp(proxy->url, "https:", 6) == 0;
}

bool sa_http__is_socks_proxy(const sa_http_proxy_t *proxy)
{
    return proxy && strncmp(proxy->url, "socks5", 6) == 0;
}

#define SET(option, value)                                                      \
    do {                                                                        \
        if (code == CURLE_OK) {                                                 \
            code = curl_easy_setopt(easy, (option), (value));                   \
        }                                                                       \
    } while (0)

static CURLcode set_login(CURL *easy, const sa_http_proxy_t *proxy, const char *password)
{
    CURLcode code = CURLE_OK;

    SET(CURLOPT_PROXYAUTH, CURLAUTH_BASIC);
    SET(CURLOPT_SOCKS5_AUTH, CURLAUTH_BASIC);
    if (proxy->username) {
        SET(CURLOPT_PROXYUSERNAME, proxy->username);
        SET(CURLOPT_PROXYPASSWORD, password ? password : "");
    }
    return code;
}

/* An empty one, not none: libcurl would read the environment. */
CURLcode sa_http__set_proxy(CURL *easy, const sa_http_proxy_t *proxy, const char *password)
{
    CURLcode code = CURLE_OK;

    SET(CURLOPT_NOPROXY, "");
    SET(CURLOPT_PROXY, proxy ? proxy->url : "");
    if (!proxy) {
        return code;
    }
    code = code != CURLE_OK ? code : set_login(easy, proxy, password);
    SET(CURLOPT_HTTPPROXYTUNNEL, 1L);
    SET(CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
    SET(CURLOPT_PROXY_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_PROXY_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_PROXY_SSL_VERIFYHOST, 2L);
    if (proxy->ca_file) {
        SET(CURLOPT_PROXY_CAINFO, proxy->ca_file);
        SET(CURLOPT_PROXY_CAPATH, NULL);
    }
    return code;
}

#undef SET
