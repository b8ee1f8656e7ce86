/* config: rules about the platform. */
#include "sa_config_private.h"

#include <string.h>

#include <apr_strings.h>

#define PLATFORM "platform."

bool sa_config__may_come(const sa_config__loader_t *loader, const sa_option_t *row)
{
    return (row->flags & SA_OPT_REMOTE) && loader->config->nats_auth_type == SA_AUTH_PLATFORM
           && loader->config->platform_remote_config;
}

/* "127.0.0.1", with all its numbers: what resolvers make of other forms differs. */
static bool is_loopback_address(const char *host)
{
    const char *c = host;

    for (int i = 0; i < 4; i++) {
        int number = 0;
        const char *first = c;

        for (; *c >= '0' && *c <= '9' && number <= 255; c++) {
            number = number * 10 + (*c - '0');
        }
        if (c == first || number > 255 || (i == 0 && number != 127) || *c != (i < 3 ? '.' : '\0')) {
            return false;
        }
        c++;
    }
    return true;
}

bool sa_config__is_local(const char *url)
{
    static const char scheme[] = "http://";
    const char *place = url + strlen(scheme);
    char host[64];
    size_t length;

    if (strncmp(url, scheme, strlen(scheme)) != 0) {
        return false;
    }
    length = place[0] == '[' ? strcspn(place, "]") + 1 : strcspn(place, ":/?#");
    if (length >= sizeof(host)) {
        return false;
    }
    memcpy(host, place, length);
    host[length] = '\0';
    return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0
           || is_loopback_address(host);
}

static void check_url(sa_config__loader_t *loader)
{
    const sa_config_t *config = loader->config;
    const sa_config__origin_t *origin = sa_config__origin_of(loader, "platform.url");
    const char *url = config->platform_url;

    if (origin->bad || !url[0]) {
        return;
    }
    if (strchr(url, '?')) {
        sa_config__wrong(loader, origin, "platform.url must end before the ?: paths are put behind "
                         "it");
    }
    if (strncmp(url, "http://", 7) == 0 && !config->platform_insecure_url
        && !sa_config__is_local(url)) {
        sa_config__wrong(loader, origin, "platform.url: \"%s\" would send the password in the "
                         "clear; begin it with https:// (or set platform.allow_insecure_url)",
                         sa_config__quote(NULL, url, loader->scratch_pool));
    }
}

/* The first row of the group that a person has set, or NULL. */
static const sa_config__origin_t *first_set(const sa_config__loader_t *loader)
{
    for (int i = 0; i < sa_config__main.count; i++) {
        const sa_config__origin_t *origin = &loader->rows[i];

        if (strncmp(sa_config__main.rows[i].path, PLATFORM, strlen(PLATFORM)) == 0
            && (origin->kind == SA_ORIGIN_FILE || origin->kind == SA_ORIGIN_SET)) {
            return origin;
        }
    }
    return NULL;
}

static void check_type(sa_config__loader_t *loader)
{
    const sa_config__origin_t *set = first_set(loader);

    if (set) {
        sa_config__doubt(loader, set, "%s: without effect while nats.auth.type is not platform",
                         set->spelling);
    }
    if (loader->config->nebula_enabled) {
        sa_config__doubt(loader, sa_config__origin_of(loader, "nebula.enabled"),
                         "nebula.enabled: nothing is fetched while nats.auth.type is not platform; "
                         "what lies in nebula.config_file is used");
    }
}

/* The other agents' switch. */
static void apply_sync_switch(sa_config__loader_t *loader)
{
    static const char path[] = "platform.sync_interval";
    sa_config__origin_t *origin = &loader->rows[sa_config__find(&sa_config__main, path)];

    if (!loader->config->creds_sync_enabled) {
        *origin = *sa_config__origin_of(loader, "tasks.creds_sync.enabled");
        loader->config->platform_sync_interval = 0;
    }
}

void sa_config__check_platform(sa_config__loader_t *loader)
{
    apply_sync_switch(loader);
    if (sa_config__origin_of(loader, "nats.auth.type")->bad) {
        return;
    }
    if (loader->config->nats_auth_type == SA_AUTH_PLATFORM) {
        check_url(loader);
    } else {
        check_type(loader);
    }
}
