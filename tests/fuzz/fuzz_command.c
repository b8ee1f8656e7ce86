/* libFuzzer entry: any bytes as a whole request, from the envelope to the answer.
 *
 * The input is header lines, an empty line, then the body; the first byte chooses the
 * command.  The link is not connected: answers go nowhere.  Beside the scripts directory,
 * and inside it with open rights, there are programs that leave a canary; nothing that a
 * request says may run one of them.  What is allowed is harmless. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <apr_file_io.h>
#include <apr_general.h>
#include <apr_strings.h>
#include <nats/nats.h>

#include "sa_link.h"
#include "sa_log.h"
#include "sa_os_file.h"
#include "sa_pool.h"
#include "sa_random.h"
#include "sa_stats.h"
#include "../../src/command/sa_command_private.h"
#include "../../src/config/sa_config_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const subjects[] = {
    "agents.c.cmd.exec", "agents.c.cmd.exec", "agents.c.cmd.exec", "agents.c.cmd.logs",
    "agents.c.cmd.cancel", "agents.c.cmd.ping", "agents.c.cmd.health", "agents.c.cmd.nothing"
};

static sa_commands_t *commands;
static const char *canary;
static const char *folder;

/* APR maps the pages of its pools, and what is only named there looks lost. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

/* The disk is not what is tried here. */
int fdatasync(int descriptor);
int fdatasync(int descriptor)
{
    (void)descriptor;
    return 0;
}

static void make_script(const char *path, const char *text, apr_fileperms_t mode,
                        apr_pool_t *pool)
{
    apr_file_t *file;

    SA_ASSERT(apr_file_open(&file, path, APR_FOPEN_WRITE | APR_FOPEN_CREATE, mode, pool)
              == APR_SUCCESS);
    SA_ASSERT(apr_file_puts(text, file) == APR_SUCCESS);
    SA_ASSERT(apr_file_close(file) == APR_SUCCESS);
    SA_ASSERT(apr_file_perms_set(path, mode) == APR_SUCCESS);
}

static void make_files(const char *dir, apr_pool_t *pool)
{
    const apr_fileperms_t all = APR_FPROT_UREAD | APR_FPROT_UWRITE | APR_FPROT_UEXECUTE
                                | APR_FPROT_WREAD | APR_FPROT_WEXECUTE;
    const char *scripts = apr_pstrcat(pool, dir, "/s", NULL);
    const char *evil = apr_psprintf(pool, "#!/bin/sh\ntouch %s\n", canary);

    SA_ASSERT(apr_dir_make(scripts, all, pool) == APR_SUCCESS);
    make_script(apr_pstrcat(pool, scripts, "/ok", NULL), "#!/bin/true\n", all, pool);
    make_script(apr_pstrcat(pool, scripts, "/e", NULL), evil, all | APR_FPROT_WWRITE, pool);
    make_script(apr_pstrcat(pool, dir, "/e", NULL), evil, all, pool);
    make_script(apr_pstrcat(pool, dir, "/e.sh", NULL), evil, all, pool);
}

static void empty_folder(const char *dir, apr_pool_t *pool)
{
    apr_finfo_t info;
    apr_dir_t *open;

    if (apr_dir_open(&open, dir, pool) != APR_SUCCESS) {
        return;
    }
    while (apr_dir_read(&info, APR_FINFO_NAME | APR_FINFO_TYPE, open) == APR_SUCCESS) {
        if (info.filetype == APR_REG) {
            apr_file_remove(apr_pstrcat(pool, dir, "/", info.name, NULL), pool);
        }
    }
    apr_dir_close(open);
    apr_dir_remove(dir, pool);
}

static void remove_files(void)
{
    apr_pool_t *pool = sa_pool_create_root();

    empty_folder(apr_pstrcat(pool, folder, "/s", NULL), pool);
    empty_folder(folder, pool);
    apr_pool_destroy(pool);
}

static sa_config_t *load(const char *dir, apr_pool_t *pool)
{
    const char *text = apr_psprintf(pool,
        "code: c\nnats.urls: [\"nats://h:4222\"]\n"
        "paths: {state: \"%s\", runtime: \"%s\"}\n"
        "commands:\n"
        "  audit_max_size_mb: 1\n"
        "  audit_max_backups: 1\n"
        "  scripts_directory: \"%s/s\"\n"
        "  allowed_services: [n]\n"
        "  allowed_log_paths: [\"%s/*.log\"]\n"
        "  allowed_commands:\n"
        "    - \"true\"\n"
        "    - \"true | true\"\n"
        "    - {name: a, run: [\"true\", \"{s}\", \"-{s}\"], args: {s: {pattern: '[^x]*'}}}\n",
        dir, dir, dir, dir);
    apr_array_header_t *complaints;
    sa_config_t *config = NULL;
    sa_error_t *err = sa_config__load_memory(&config, &complaints, "fuzz", text, strlen(text),
                                             pool);

    SA_ASSERT(err == SA_OK);
    return config;
}

static void open_all(void)
{
    sa_log_settings_t quiet = { .level = SA_LEVEL_error };
    apr_pool_t *pool;
    sa_link_t *link;
    const char *dir;
    char name[13];
    sa_error_t *err;

    apr_initialize();
    pool = sa_pool_create_root();
    sa_stats_init(pool);
    sa_command__set_patience(0);        /* there is no bus to wait for */
    sa_random_text(name, 12);
    dir = apr_psprintf(pool, "/tmp/sa-fuzz-%s", name);
    folder = dir;
    atexit(remove_files);
    canary = apr_pstrcat(pool, dir, "/canary", NULL);
    SA_ASSERT(apr_dir_make(dir, APR_FPROT_UREAD | APR_FPROT_UWRITE | APR_FPROT_UEXECUTE, pool)
              == APR_SUCCESS);
    make_files(dir, pool);
    err = sa_log_open(&quiet, pool);
    SA_ASSERT(err == SA_OK);
    SA_ASSERT(nats_Open(-1) == NATS_OK);
    err = sa_link_create(&link, pool);
    SA_ASSERT(err == SA_OK);
    err = sa_commands_create(&commands, link, load(dir, pool), pool);
    SA_ASSERT(err == SA_OK);
}

/* The header lines; returns where the body begins. */
static const char *add_headers(natsMsg *message, const char *text)
{
    while (*text && *text != '\n') {
        size_t length = strcspn(text, "\n");
        char line[512];
        char *colon;

        if (length < sizeof(line)) {
            memcpy(line, text, length);
            line[length] = '\0';
            colon = strchr(line, ':');
            if (colon) {
                *colon = '\0';
                natsMsgHeader_Add(message, line, colon + 1);
            }
        }
        text += length + (text[length] == '\n' ? 1 : 0);
    }
    return *text == '\n' ? text + 1 : text;
}

static void handle(natsMsg *made, apr_pool_t *pool)
{
    sa_link_message_t *message = (sa_link_message_t *)made;
    sa_call_t *call = NULL;
    sa_error_t *err = sa_command__call_create(&call, commands, &message, pool);

    if (err) {
        sa_command__call_refuse(call, err);
    } else {
        sa_command__call_run(call);
    }
    sa_command__call_end(call);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *subject;
    const char *body;
    natsMsg *headers = NULL;
    apr_pool_t *pool;
    char *text;

    if (!commands) {
        open_all();
    }
    if (size == 0) {
        return 0;
    }
    pool = sa_pool_create_root();
    text = apr_pstrmemdup(pool, (const char *)data + 1, size - 1);
    subject = subjects[data[0] % (sizeof(subjects) / sizeof(subjects[0]))];
    /* the headers are made first, the body is what is left behind them */
    SA_ASSERT(natsMsg_Create(&headers, subject, "_INBOX.f.1", NULL, 0) == NATS_OK);
    body = add_headers(headers, text);
    natsMsg_SetData(headers, body, (int)(size - 1 - (size_t)(body - text)));
    handle(headers, pool);
    SA_ASSERT(!sa_os_file_exists(canary, pool));
    apr_pool_destroy(pool);
    return 0;
}
