/* mesh: the program: found, asked for its version, made to test a folder.
 *
 * `nebula -test` prints the whole configuration with the private key.  Its output goes
 * through a line of memory that is wiped; only the last line, and of that only the reason, is
 * looked at. */
#include "sa_mesh_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "sa_pool.h"

#define ASK_TIME apr_time_from_sec(10)
#define TEST_TIME apr_time_from_sec(20)
#define VERSION_WORD "Version: "
#define MAJOR_NEEDED 1
#define MINOR_NEEDED 10

const char *const sa_mesh__environment[] = {
    "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "GOTRACEBACK=none", NULL
};

typedef struct hearing_t {
    sa_mesh__lines_t lines;
    char last[SA_MESH__LINE_MAX];
    size_t length;
} hearing_t;

static void keep_last(void *baton, const char *text, size_t length)
{
    hearing_t *hearing = baton;

    memcpy(hearing->last, text, length);
    hearing->length = length;
}

static sa_error_t *hear(void *baton, sa_os_exec_stream_t stream, const char *data, size_t length)
{
    hearing_t *hearing = baton;

    (void)stream;
    sa_mesh__lines_add(&hearing->lines, data, length, keep_last, hearing);
    return SA_OK;
}

static hearing_t *make_hearing(apr_pool_t *pool)
{
    hearing_t *hearing = apr_pcalloc(pool, sizeof(*hearing));

    sa_pool_wipe_later(hearing, sizeof(*hearing), pool);
    return hearing;
}

static sa_error_t *run(sa_os_exec_result_t *result, hearing_t *hearing, sa_os_program_t *program,
                       const char *const *argv, apr_interval_time_t timeout,
                       sa_os_cancel_t *cancel, apr_pool_t *pool)
{
    sa_os_exec_t exec = {
        .program = program, .argv = argv, .env = sa_mesh__environment, .timeout = timeout,
        .output = hear, .baton = hearing, .cancel = cancel
    };

    SA_TRY(sa_os_exec(result, &exec, pool));
    sa_mesh__lines_end(&hearing->lines, keep_last, hearing);
    if (result->end == SA_OS_EXEC_CANCELLED) {
        return sa_error(SA_ERR_CANCELLED, NULL, NULL);
    }
    if (result->end == SA_OS_EXEC_TIMED_OUT) {
        return sa_error(SA_ERR_TIMEOUT, NULL, "nebula %s did not end in time", argv[1]);
    }
    return SA_OK;
}

/* ---- the version ------------------------------------------------------------------------- */

const char *sa_mesh__version_fault(const char *version, apr_pool_t *pool)
{
    char *end = NULL;
    long major = strtol(version, &end, 10);
    long minor = end != version && *end == '.' ? strtol(end + 1, NULL, 10) : 0;

    if (end == version) {
        return "its version cannot be told; " SA_MESH__VERSION_NEEDED " or later is needed";
    }
    if (major < MAJOR_NEEDED || (major == MAJOR_NEEDED && minor < MINOR_NEEDED)) {
        return apr_psprintf(pool, "version %s is too old; " SA_MESH__VERSION_NEEDED
                            " or later is needed", version);
    }
    return NULL;
}

static const char *version_of(const hearing_t *hearing, apr_pool_t *pool)
{
    char words[SA_MESH_ADDRESS];

    if (hearing->length <= strlen(VERSION_WORD)
        || memcmp(hearing->last, VERSION_WORD, strlen(VERSION_WORD)) != 0) {
        return "";
    }
    sa_mesh__scrub(words, sizeof(words), hearing->last + strlen(VERSION_WORD),
                   hearing->length - strlen(VERSION_WORD));
    return apr_pstrdup(pool, words);
}

sa_error_t *sa_mesh__program_open(sa_mesh__program_t *program, const char *binary,
                                  sa_os_cancel_t *cancel, apr_pool_t *pool)
{
    static const char *const argv[] = {"nebula", "-version", NULL};
    hearing_t *hearing = make_hearing(pool);
    sa_os_exec_result_t result;
    const char *fault;
    sa_error_t *err;

    program->path = *binary ? binary : sa_config_find_program("nebula", pool);
    if (!program->path) {
        return sa_error(SA_ERR_NOT_ON_THIS_OS, NULL, "there is no nebula in " SA_COMMAND_PATH
                        "; version " SA_MESH__VERSION_NEEDED " or later is needed (or name it in "
                        "nebula.binary)");
    }
    err = sa_os_program_open(&program->program, program->path, false, pool);
    if (err) {
        return sa_error(SA_ERR_NOT_ON_THIS_OS, err, "Nebula (nebula.binary) cannot be run");
    }
    SA_TRY(run(&result, hearing, program->program, argv, ASK_TIME, cancel, pool));
    program->version = version_of(hearing, pool);
    fault = sa_mesh__version_fault(program->version, pool);
    return fault ? sa_error(SA_ERR_NOT_ON_THIS_OS, sa_error(SA_ERR_NOT_ON_THIS_OS, NULL, "it is %s",
                                                            program->path),
                            "nebula: %s", fault) : SA_OK;
}

/* ---- the test -------------------------------------------------------------------------------- */

static sa_error_t *judge(const sa_os_exec_result_t *result, const hearing_t *hearing,
                         apr_pool_t *pool)
{
    sa_mesh__line_t line;

    if (result->end == SA_OS_EXEC_EXITED && result->exit_code == 0) {
        return SA_OK;
    }
    sa_mesh__line_read(&line, hearing->last, hearing->length, pool);
    if (result->signal) {
        return sa_error(SA_ERR_REFUSED, NULL, "nebula -test was ended by %s", result->signal);
    }
    return sa_error(SA_ERR_REFUSED, NULL, "nebula -test refuses it: %s",
                    *line.words ? line.words : "it does not say why");
}

sa_error_t *sa_mesh__program_test(const sa_mesh__program_t *program, const char *folder,
                                  sa_os_cancel_t *cancel, apr_pool_t *scratch_pool)
{
    const char *const argv[] = {"nebula", "-test", "-config", folder, NULL};
    hearing_t *hearing = make_hearing(scratch_pool);
    sa_os_exec_result_t result;

    SA_TRY(run(&result, hearing, program->program, argv, TEST_TIME, cancel, scratch_pool));
    return judge(&result, hearing, scratch_pool);
}
