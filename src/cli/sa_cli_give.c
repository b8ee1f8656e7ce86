/* cli: what a subcommand makes for another program's configuration: printed, or put in place. */
#include <stdio.h>
#include <string.h>

#include <apr_file_io.h>
#include <apr_strings.h>

#include "sa_cli.h"

#define MODE (APR_FPROT_UREAD | APR_FPROT_UWRITE | APR_FPROT_GREAD | APR_FPROT_WREAD)
#define FOLDER_MODE (MODE | APR_FPROT_UEXECUTE | APR_FPROT_GEXECUTE | APR_FPROT_WEXECUTE)

static sa_error_t *make_folder(const char *path, apr_pool_t *pool)
{
    const char *folder = apr_pstrndup(pool, path, (apr_size_t)(strrchr(path, '/') - path));
    apr_status_t status = apr_dir_make(folder, FOLDER_MODE, pool);

    if (status == APR_SUCCESS) {
        /* whatever the umask is: others read it */
        status = apr_file_perms_set(folder, FOLDER_MODE);
    }
    if (status != APR_SUCCESS && !APR_STATUS_IS_EEXIST(status)) {
        return sa_error_apr(status, "cannot make %s", folder);
    }
    return SA_OK;
}

static sa_error_t *fill(apr_file_t *file, const char *path, const char *text)
{
    SA_TRY_APR(apr_file_write_full(file, text, strlen(text), NULL), "cannot write %s", path);
    SA_TRY_APR(apr_file_perms_set(path, MODE), "cannot let others read %s", path);
    SA_TRY_APR(apr_file_close(file), "cannot write %s", path);
    return SA_OK;
}

static sa_error_t *put(const char *text, const char *path, apr_pool_t *pool)
{
    char *beside = apr_pstrcat(pool, path, ".XXXXXX", NULL);
    apr_file_t *file;
    sa_error_t *err;

    SA_TRY(make_folder(path, pool));
    SA_TRY_APR(apr_file_mktemp(&file, beside, APR_FOPEN_WRITE | APR_FOPEN_CREATE | APR_FOPEN_EXCL,
                               pool), "cannot make a file beside %s", path);
    err = fill(file, beside, text);
    if (!err) {
        apr_status_t status = apr_file_rename(beside, path, pool);

        err = status == APR_SUCCESS ? SA_OK : sa_error_apr(status, "cannot put %s in place", path);
    }
    if (err) {
        (void)apr_file_remove(beside, pool);
    }
    return err;
}

int sa_cli_give(const sa_cli_options_t *options, const char *text, const char *path,
                apr_pool_t *pool)
{
    sa_error_t *err;

    if (!options->write) {
        fputs(text, stdout);
        return SA_EXIT_OK;
    }
    err = put(text, path, pool);
    if (err) {
        return sa_cli_fail(err);
    }
    fprintf(stderr, "stone-age-agent: wrote %s\n", path);
    return SA_EXIT_OK;
}
