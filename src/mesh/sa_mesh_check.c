/* mesh: what would be taken, without the daemon. */
#include "sa_mesh_keeper.h"

#include <apr_strings.h>

#include "sa_pool.h"

static sa_error_t *check_text(const char *text, const sa_mesh__settings_t *settings,
                              apr_pool_t *pool)
{
    const char *folder = apr_pstrcat(pool, settings->folder, ".check", NULL);
    sa_mesh__program_t program = {0};
    sa_mesh__document_t *document;
    sa_error_t *err;

    SA_TRY(sa_mesh__document_read(&document, text, &settings->policy, pool));
    SA_TRY(sa_mesh__program_open(&program, settings->binary, NULL, pool));
    err = sa_mesh__folder_write(folder, text, document->device, pool);
    if (!err) {
        err = sa_mesh__program_test(&program, folder, NULL, pool);
    }
    sa_mesh__folder_remove(folder, pool);
    return err;
}

sa_error_t *sa_mesh_check(bool *found, const sa_config_t *config, apr_pool_t *scratch_pool)
{
    sa_mesh__settings_t *settings = sa_mesh__settings_create(config);
    const char *text = NULL;
    sa_error_t *err = sa_mesh__file_read(&text, settings->config_file, scratch_pool);

    *found = text != NULL;
    if (!err && text) {
        err = check_text(text, settings, scratch_pool);
    }
    apr_pool_destroy(settings->pool);
    return err;
}

sa_error_t *sa_mesh_version(const char **version, const sa_config_t *config, apr_pool_t *pool)
{
    sa_mesh__program_t program = {0};

    SA_TRY(sa_mesh__program_open(&program, config->nebula_binary, NULL, pool));
    *version = program.version;
    return SA_OK;
}
