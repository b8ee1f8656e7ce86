/* os: the drop-in that gives stone-age-agent.service what a configuration needs.
 *
 * It knows what the unit of the package allows (debian/stone-age-agent.service): the two
 * are changed together.  systemd.syntax(7) has the quoting, systemd.exec(5) the settings. */
#include "sa_os_unit.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#define UNIT_FILE "/etc/systemd/system/stone-age-agent.service.d/50-config.conf"
/* More than this the unit gives a stop by itself (DefaultTimeoutStopSec=). */
#define STOP_TIME 90

static bool is_under(const char *path, const char *root)
{
    size_t length = strlen(root);

    return strncmp(path, root, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* Its own folders, and those that are its own by PrivateTmp=. */
static bool may_write(const char *path)
{
    static const char *const folders[] = {
        "/var/lib/stone-age", "/var/log/stone-age", "/run/stone-age", "/tmp", "/var/tmp"};

    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        if (is_under(path, folders[i])) {
            return true;
        }
    }
    return false;
}

static bool has_already(const sa_os_right_t *right)
{
    switch (right->kind) {
    case SA_OS_RIGHT_WRITE:
        return may_write(right->what);
    case SA_OS_RIGHT_STOP_TIME:
        return apr_atoi64(right->what) <= STOP_TIME;
    default:
        return false;
    }
}

/* PATH as one word of a list of paths; it may be missing when the unit starts. */
static const char *quoted(const char *path, apr_pool_t *pool)
{
    char *word = apr_palloc(pool, 2 * strlen(path) + 4);
    char *put = word;

    *put++ = '"';
    *put++ = '-';
    for (; *path; path++) {
        if (*path == '"' || *path == '\\') {
            *put++ = '\\';
        } else if (*path == '%') {
            *put++ = '%';
        }
        *put++ = *path;
    }
    *put++ = '"';
    *put = '\0';
    return word;
}

static const char *lines_of(const sa_os_right_t *right, apr_pool_t *pool)
{
    switch (right->kind) {
    case SA_OS_RIGHT_WRITE:
        return apr_psprintf(pool, "ReadWritePaths=%s\n", quoted(right->what, pool));
    case SA_OS_RIGHT_GROUP:
        return apr_psprintf(pool, "SupplementaryGroups=%s\n", right->what);
    case SA_OS_RIGHT_JOURNAL:
        return "SupplementaryGroups=systemd-journal\n";
    case SA_OS_RIGHT_TMP:
        return "PrivateTmp=no\n";
    case SA_OS_RIGHT_SETUID:
        /* Each of them would forbid it for a unit that is not root's. */
        return "NoNewPrivileges=no\nCapabilityBoundingSet=~\nPrivateDevices=no\nProtectClock=no\n"
               "ProtectKernelLogs=no\nProtectKernelModules=no\nProtectKernelTunables=no\n"
               "RestrictAddressFamilies=\nRestrictNamespaces=no\nRestrictRealtime=no\n"
               "RestrictSUIDSGID=no\nLockPersonality=no\nSystemCallArchitectures=\n"
               "SystemCallFilter=\n";
    case SA_OS_RIGHT_OVERLAY:
        return "AmbientCapabilities=CAP_NET_ADMIN\nCapabilityBoundingSet=CAP_NET_ADMIN\n"
               "PrivateDevices=no\nDevicePolicy=closed\nDeviceAllow=/dev/net/tun rw\n";
    case SA_OS_RIGHT_STOP_TIME:
        return apr_psprintf(pool, "TimeoutStopSec=%s\n", right->what);
    }
    return "";
}

static int by_kind(const void *a_, const void *b_)
{
    const sa_os_right_t *a = a_;
    const sa_os_right_t *b = b_;

    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    return strcmp(a->what ? a->what : "", b->what ? b->what : "");
}

static bool is_same(const sa_os_right_t *a, const sa_os_right_t *b)
{
    return a && by_kind(a, b) == 0;
}

sa_error_t *sa_os_unit_text(sa_buf_t *text, int *count, const apr_array_header_t *rights,
                            apr_pool_t *scratch_pool)
{
    apr_array_header_t *sorted = apr_array_copy(scratch_pool, rights);
    const sa_os_right_t *before = NULL;

    *count = 0;
    qsort(sorted->elts, (size_t)sorted->nelts, sizeof(sa_os_right_t), by_kind);
    sa_buf_append_text(text,
        "# What the configuration of the Stone-Age agent needs beyond the unit of its package.\n"
        "# Made by `stone-age-agent unit`: make it anew when the configuration changes.\n"
        "#\n"
        "#     " UNIT_FILE "\n"
        "#     systemctl daemon-reload && systemctl restart stone-age-agent\n"
        "[Service]\n");
    for (int i = 0; i < sorted->nelts; i++) {
        const sa_os_right_t *right = &APR_ARRAY_IDX(sorted, i, sa_os_right_t);

        if (has_already(right) || is_same(before, right)) {
            continue;
        }
        sa_buf_printf(text, "# %s\n", right->why);
        sa_buf_append_text(text, lines_of(right, scratch_pool));
        before = right;
        (*count)++;
    }
    return text->overflowed ? sa_error(SA_ERR_LIMIT, NULL, "the unit's rights are more than fit")
                            : SA_OK;
}

const char *sa_os_unit_file(void)
{
    return UNIT_FILE;
}
