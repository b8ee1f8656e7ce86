/* cli: unit.
 *
 * Looks at the configuration, and at the log files that it allows, as whoever runs it sees
 * them. */
#include <stdio.h>
#include <string.h>

#include <apr_file_info.h>
#include <apr_strings.h>
#include <apr_user.h>

#include "sa_buf.h"
#include "sa_cli.h"
#include "sa_glob.h"
#include "sa_os_unit.h"

/* Some hundred paths of 4 KiB. */
#define TEXT_BYTES (1024 * 1024)
/* What a stop takes at the most beyond twice nats.drain_timeout, and some. */
#define STOP_GRACE 20
/* Looked at below one pattern of log files. */
#define ENTRIES_MAX 1024

typedef struct needs_t {
    const sa_config_t *config;
    apr_array_header_t *rights;     /* of sa_os_right_t */
    int entries;                    /* still to be looked at */
    apr_pool_t *pool;
} needs_t;

static void need(needs_t *needs, sa_os_right_kind_t kind, const char *what, const char *why)
{
    APR_ARRAY_PUSH(needs->rights, sa_os_right_t) =
        (sa_os_right_t){.kind = kind, .what = what, .why = why};
}

static bool is_tmp(const char *path)
{
    return sa_config_is_under(path, "/tmp") || sa_config_is_under(path, "/var/tmp");
}

/* The folder that FILE is in must be writable: it is replaced as a whole, or rotated. */
static void need_beside(needs_t *needs, const char *file, const char *why)
{
    const char *slash = strrchr(file, '/');

    if (slash && slash > file) {
        need(needs, SA_OS_RIGHT_WRITE, apr_pstrndup(needs->pool, file, (apr_size_t)(slash - file)),
             why);
    }
}

/* ---- files of our own ---------------------------------------------------------- */

static void add_own_files(needs_t *needs)
{
    const sa_config_t *config = needs->config;
    bool platform = config->nats_auth_type == SA_AUTH_PLATFORM;

    need(needs, SA_OS_RIGHT_WRITE, config->paths_state, "paths.state");
    need(needs, SA_OS_RIGHT_WRITE, config->paths_runtime, "paths.runtime");
    need_beside(needs, config->log_file, "logging.file");
    need_beside(needs, config->audit_file, "commands.audit_file");
    if (platform) {
        need_beside(needs, config->nats_creds_file, "nats.auth.creds_file");
        need_beside(needs, config->platform_session_file, "platform.session_file");
    }
    if (config->nebula_enabled) {
        need_beside(needs, config->nebula_config_file, "nebula.config_file");
        need_beside(needs, config->nebula_folder, "nebula.folder");
    }
}

/* ---- commands ------------------------------------------------------------------ */

static void add_commands(needs_t *needs)
{
    const sa_config_t *config = needs->config;

    if (is_tmp(config->scripts_directory)) {
        need(needs, SA_OS_RIGHT_TMP, NULL, "commands.scripts_directory");
    }
    for (int i = 0; i < config->allowed_commands->nelts; i++) {
        const sa_allowed_command_t *command = &APR_ARRAY_IDX(config->allowed_commands, i,
                                                             sa_allowed_command_t);

        for (int k = 0; k < command->writable->nelts; k++) {
            const char *path = APR_ARRAY_IDX(command->writable, k, const char *);

            need(needs, is_tmp(path) ? SA_OS_RIGHT_TMP : SA_OS_RIGHT_WRITE,
                 is_tmp(path) ? NULL : path, "writable of commands.allowed_commands");
        }
        if (command->new_privileges) {
            need(needs, SA_OS_RIGHT_SETUID, NULL, "new_privileges of commands.allowed_commands");
        }
    }
}

/* ---- log files ----------------------------------------------------------------- */

/* If only the group of PATH may do what NEEDED says, the agent must be in it. */
static void add_group(needs_t *needs, const char *path, apr_int32_t group, apr_int32_t others)
{
    apr_finfo_t info;
    char *name;

    if (apr_stat(&info, path, APR_FINFO_GPROT | APR_FINFO_WPROT | APR_FINFO_GROUP, needs->pool)
            != APR_SUCCESS
        || (info.protection & others) || !(info.protection & group)
        || apr_gid_name_get(&name, info.group, needs->pool) != APR_SUCCESS
        || strcmp(name, "root") == 0) {
        return;
    }
    need(needs, SA_OS_RIGHT_GROUP, name, "commands.allowed_log_paths");
}

static void walk(needs_t *needs, const char *folder, const char *rest);

/* The entries of FOLDER that the first part of REST, a pattern, covers. */
static void walk_matching(needs_t *needs, const char *folder, const char *part, const char *rest)
{
    sa_glob_t *glob = sa_glob_create(part, needs->pool);
    apr_finfo_t entry;
    apr_dir_t *listing;

    if (!glob || apr_dir_open(&listing, folder, needs->pool) != APR_SUCCESS) {
        return;
    }
    while (needs->entries > 0
           && apr_dir_read(&entry, APR_FINFO_NAME, listing) == APR_SUCCESS) {
        if (entry.name[0] != '.' && sa_glob_match(glob, entry.name, strlen(entry.name))) {
            needs->entries--;
            walk(needs, apr_pstrcat(needs->pool, folder, "/", entry.name, NULL), rest);
        }
    }
    apr_dir_close(listing);
}

/* All that is at PATH, which is there, and below it as REST says. */
static void walk(needs_t *needs, const char *path, const char *rest)
{
    size_t length = strcspn(rest, "/");
    const char *part = apr_pstrndup(needs->pool, rest, length);

    if (!*rest) {
        add_group(needs, path, APR_FPROT_GREAD, APR_FPROT_WREAD);
        return;
    }
    if (*path) {
        add_group(needs, path, APR_FPROT_GEXECUTE, APR_FPROT_WEXECUTE);
    }
    rest += length + (rest[length] == '/' ? 1 : 0);
    if (part[strcspn(part, "*?")]) {
        walk_matching(needs, path, part, rest);
    } else {
        walk(needs, apr_pstrcat(needs->pool, path, "/", part, NULL), rest);
    }
}

static void add_logs(needs_t *needs)
{
    const apr_array_header_t *paths = needs->config->allowed_log_paths;

    for (int i = 0; i < paths->nelts; i++) {
        const char *path = APR_ARRAY_IDX(paths, i, const char *);

        if (is_tmp(path)) {
            need(needs, SA_OS_RIGHT_TMP, NULL, "commands.allowed_log_paths");
        }
        needs->entries = ENTRIES_MAX;
        walk(needs, "", path + 1);
    }
    if (needs->config->allowed_services->nelts > 0) {
        need(needs, SA_OS_RIGHT_JOURNAL, NULL, "commands.allowed_services: their journal");
    }
}

/* ---- all of it ------------------------------------------------------------------ */

static void add_rest(needs_t *needs)
{
    const sa_config_t *config = needs->config;
    apr_int64_t seconds = 2 * apr_time_sec(config->nats_drain_timeout) + STOP_GRACE;

    if (config->nebula_enabled && config->nebula_mode == SA_NEBULA_SERVICE) {
        need(needs, SA_OS_RIGHT_JOURNAL, NULL, "nebula.mode: what Nebula says");
    }
    if (config->nebula_enabled && config->nebula_mode == SA_NEBULA_SUPERVISE) {
        need(needs, SA_OS_RIGHT_OVERLAY, NULL, "nebula.mode");
    }
    need(needs, SA_OS_RIGHT_STOP_TIME, apr_psprintf(needs->pool, "%" APR_INT64_T_FMT, seconds),
         "nats.drain_timeout");
}

int sa_cli_unit(const sa_cli_options_t *options, apr_pool_t *pool)
{
    needs_t needs = {.config = sa_cli_load(options, pool), .pool = pool,
                     .rights = apr_array_make(pool, 16, sizeof(sa_os_right_t))};
    sa_buf_t *text = apr_palloc(pool, sizeof(*text));   /* lives as long as the pool */
    sa_error_t *err;
    int count;

    if (!needs.config) {
        return SA_EXIT_FAILURE;
    }
    add_own_files(&needs);
    add_commands(&needs);
    add_logs(&needs);
    add_rest(&needs);
    sa_buf_init(text, TEXT_BYTES, pool);
    err = sa_os_unit_text(text, &count, needs.rights, pool);
    if (err) {
        return sa_cli_fail(err);
    }
    if (count == 0) {
        fputs("stone-age-agent: the unit of the package is enough for this configuration\n",
              stderr);
    }
    return sa_cli_give(options, text->data, sa_os_unit_file(), pool);
}
