/* mesh: files.  Folders are 0700 and files 0600, each written whole or not at all. */
#include "sa_mesh_private.h"

#include <string.h>

#include <apr_file_io.h>
#include <apr_strings.h>

#include "sa_os_file.h"
#include "sa_pool.h"

#define PLATFORM_FILE "10-platform.yml"
#define AGENT_FILE "90-agent.yml"

static const char *in(const char *folder, const char *name, apr_pool_t *pool)
{
    return apr_pstrcat(pool, folder, "/", name, NULL);
}

sa_error_t *sa_mesh__file_read(const char **text, const char *path, apr_pool_t *pool)
{
    size_t length;

    *text = NULL;
    if (!sa_os_file_exists(path, pool)) {
        return SA_OK;
    }
    SA_TRY(sa_os_file_read_secret(text, &length, path, SA_MESH__DOCUMENT_MAX, pool));
    sa_pool_wipe_later((char *)*text, length, pool);    /* made a moment ago */
    if (strlen(*text) != length) {
        return sa_error(SA_ERR_FILE_CONTENT, NULL, "%s holds a NUL", path);
    }
    return SA_OK;
}

sa_error_t *sa_mesh__folder_read(const char **text, const char *folder, apr_pool_t *pool)
{
    return sa_mesh__file_read(text, in(folder, PLATFORM_FILE, pool), pool);
}

/* Nebula's log is read by us, and by nobody else: at its default level, in JSON. */
static const char *agent_text(const char *device, apr_pool_t *pool)
{
    return apr_psprintf(pool,
                        "# Written by stone-age-agent; what is changed here does not stay.\n"
                        "logging: {level: info, format: json, disable_timestamp: false}\n"
                        "tun: {dev: \"%s\"}\n", device);
}

static sa_error_t *put(const char *path, const char *text, apr_pool_t *pool)
{
    const char *there = NULL;

    /* one that cannot be used is written anew */
    sa_error_clear(sa_mesh__file_read(&there, path, pool));
    return there && strcmp(there, text) == 0
               ? SA_OK : sa_os_file_write_private(path, text, strlen(text), pool);
}

sa_error_t *sa_mesh__folder_write(const char *folder, const char *text, const char *device,
                                  apr_pool_t *scratch_pool)
{
    SA_TRY(sa_os_dir_create_private(folder, scratch_pool));
    SA_TRY(put(in(folder, AGENT_FILE, scratch_pool), agent_text(device, scratch_pool),
               scratch_pool));
    return put(in(folder, PLATFORM_FILE, scratch_pool), text, scratch_pool);
}

void sa_mesh__folder_remove(const char *folder, apr_pool_t *scratch_pool)
{
    /* what is not there needs not go, and what cannot go does no harm */
    (void)apr_file_remove(in(folder, PLATFORM_FILE, scratch_pool), scratch_pool);
    (void)apr_file_remove(in(folder, AGENT_FILE, scratch_pool), scratch_pool);
    (void)apr_dir_remove(folder, scratch_pool);
}
