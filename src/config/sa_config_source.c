/* config: what is read, and in which order.  The file, its neighbour agent.d,
 * the command line. */
#include "sa_config_private.h"

#include <stdlib.h>
#include <string.h>

#include <apr_file_info.h>
#include <apr_strings.h>

#include "sa_os_file.h"
#include "sa_os_paths.h"
#include "sa_pool.h"

/* Entries of agent.d that are looked at. */
#define DIRECTORY_ENTRIES 10000

/* Complain about FILE as a whole. */
static void complain_of_file(sa_config__loader_t *loader, const char *what)
{
    loader->here.line = 0;
    loader->broken = true;
    sa_config__wrong(loader, &loader->here, "%s", what);
}

/* Whoever can write the configuration decides what this machine does. */
static void check_mode(sa_config__loader_t *loader, const char *path)
{
    apr_finfo_t info;

    if (apr_stat(&info, path, APR_FINFO_PROT, loader->scratch_pool) == APR_SUCCESS
        && (info.protection & APR_FPROT_WWRITE)) {
        complain_of_file(loader, apr_psprintf(loader->scratch_pool,
                                              "everybody can change %s; take that right away",
                                              path));
    }
}

static void load_file(sa_config__loader_t *loader, const char *file)
{
    const char *text;
    size_t length;
    char message[512];
    sa_error_t *err;

    sa_config__next_source(loader, file);
    err = sa_os_file_read(&text, &length, file, SA_CONFIG__FILE_BYTES, loader->scratch_pool);
    if (err && sa_error_has(err, SA_ERR_LIMIT)) {
        complain_of_file(loader, apr_psprintf(loader->scratch_pool, "larger than %d bytes",
                                              SA_CONFIG__FILE_BYTES));
    } else if (err) {
        complain_of_file(loader, sa_error_text(err, message, sizeof(message)));
    } else {
        check_mode(loader, file);
        sa_config__load_text(loader, text, length);
    }
    sa_error_clear(err);
}

/* ---- agent.d ------------------------------------------------------------------ */

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text);

    return length > strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of the files to read in DIRECTORY, sorted; a missing one has none. */
static apr_array_header_t *list_files(sa_config__loader_t *loader, const char *directory)
{
    apr_array_header_t *names = apr_array_make(loader->scratch_pool, 8, sizeof(const char *));
    apr_dir_t *handle;
    apr_finfo_t info;
    apr_status_t status = apr_dir_open(&handle, directory, loader->scratch_pool);

    if (status != APR_SUCCESS) {
        if (!APR_STATUS_IS_ENOENT(status)) {
            char text[128];

            complain_of_file(loader, apr_psprintf(loader->scratch_pool, "cannot list %s: %s",
                                                  directory,
                                                  apr_strerror(status, text, sizeof(text))));
        }
        return names;
    }
    check_mode(loader, directory);
    for (int i = 0; i < DIRECTORY_ENTRIES && names->nelts < SA_CONFIG__FILES; i++) {
        if (apr_dir_read(&info, APR_FINFO_NAME, handle) != APR_SUCCESS) {
            break;
        }
        if (info.name[0] != '.' && ends_with(info.name, ".yaml")) {
            APR_ARRAY_PUSH(names, const char *) = apr_pstrdup(loader->scratch_pool, info.name);
        } else if (ends_with(info.name, ".yml")) {
            sa_config__doubt(loader, &loader->here,
                             "%s/%s is not read: its name must end in .yaml", directory, info.name);
        }
    }
    apr_dir_close(handle);
    qsort(names->elts, (size_t)names->nelts, sizeof(const char *), by_name);
    return names;
}

static void load_directory(sa_config__loader_t *loader, const char *main_file)
{
    char *path;
    char *slash;
    const char *directory;
    apr_array_header_t *names;

    /* Brings Windows' separators to one kind; a relative path stays one. */
    if (apr_filepath_merge(&path, "", main_file, 0, loader->scratch_pool) != APR_SUCCESS) {
        path = apr_pstrdup(loader->scratch_pool, main_file);
    }
    slash = strrchr(path, '/');
    directory = apr_pstrcat(loader->scratch_pool,
                            slash ? apr_pstrmemdup(loader->scratch_pool, path,
                                                   (size_t)(slash - path) + 1) : "",
                            "agent.d", NULL);
    loader->here.line = 0;
    sa_config__note_file(loader, directory);
    names = list_files(loader, directory);
    if (names->nelts >= SA_CONFIG__FILES) {
        complain_of_file(loader, apr_psprintf(loader->scratch_pool, "more than %d files in %s",
                                              SA_CONFIG__FILES - 1, directory));
        return;
    }
    for (int i = 0; i < names->nelts; i++) {
        load_file(loader, apr_pstrcat(loader->scratch_pool, directory, "/",
                                      APR_ARRAY_IDX(names, i, const char *), NULL));
    }
}

/* ---- the whole ------------------------------------------------------------------ */

/* Our own place, else the public Go agent's; ours when there is neither. */
static const char *default_file(bool *found, apr_pool_t *pool)
{
    const char *own = apr_pstrcat(pool, sa_os_path_config(pool), "/agent.yaml", NULL);
    const char *go = sa_os_path_go_config();

    *found = true;
    if (sa_os_file_exists(own, pool)) {
        return own;
    }
    if (go && sa_os_file_exists(go, pool)) {
        return go;
    }
    *found = false;
    return own;
}

sa_error_t *sa_config_load(sa_config_t **config, apr_array_header_t **complaints,
                           const sa_config_source_t *source, apr_pool_t *pool)
{
    apr_pool_t *scratch_pool = sa_pool_create(pool);
    bool found = true;
    const char *file = source->file ? apr_pstrdup(pool, source->file) : default_file(&found, pool);
    sa_config__loader_t *loader = sa_config__begin(file, pool, scratch_pool);
    sa_error_t *err;

    if (found) {
        load_file(loader, file);
        load_directory(loader, file);
    } else {
        sa_config__next_source(loader, file);
        complain_of_file(loader, "is missing; name another file with --config FILE");
        sa_config__mark_missing(loader);
    }
    for (int i = 0; source->sets && i < source->sets->nelts; i++) {
        sa_config__load_set(loader, APR_ARRAY_IDX(source->sets, i, const char *));
    }
    loader->wants_platform = true;
    err = sa_config__finish(config, complaints, loader);
    apr_pool_destroy(scratch_pool);
    return err;
}
