/* doctor: the agent's own files, and the agent as its state file tells of it. */
#include "sa_doctor_private.h"

#include <string.h>

#include <apr_file_info.h>
#include <apr_file_io.h>
#include <apr_strings.h>

#include "sa_link.h"
#include "sa_os_file.h"
#include "sa_os_host.h"
#include "sa_pool.h"
#include "sa_stats.h"
#include "sa_time.h"

#define CREDS_BYTES ((size_t)64 * 1024)
/* Of credentials: time to have new ones issued. */
#define EXPIRY_NEAR apr_time_from_sec(14 * 86400)
/* Less than this is full: a commit of the spool wants as much. */
#define SPACE_NEEDED ((apr_uint64_t)16 * 1024 * 1024)
/* Reports that are older than this pile up. */
#define PILE_AGE apr_time_from_sec(15 * 60)

/* ---- config ----------------------------------------------------------------------------- */

void sa_doctor__config(sa_doctor__exam_t *exam)
{
    const apr_array_header_t *complaints = exam->shared->complaints;
    const char *insecure;

    for (int i = 0; i < complaints->nelts; i++) {
        const sa_complaint_t *complaint = &APR_ARRAY_IDX(complaints, i, sa_complaint_t);
        const char *text = sa_complaint_format(complaint, exam->pool);

        if (complaint->warning) {
            sa_doctor__warn(exam, NULL, "%s", text);
        } else {
            sa_doctor__fail(exam, NULL, "%s", text);
        }
    }
    if (!exam->config) {
        if (exam->finding->state != SA_DOCTOR_FAIL) {
            sa_doctor__fail(exam, NULL, "%s", exam->shared->config_error
                            ? exam->shared->config_error : "it cannot be read");
        }
        return;
    }
    insecure = sa_config_insecure(exam->config, exam->pool);
    if (*insecure) {
        sa_doctor__warn(exam, "Take the setting out as soon as the certificate is right.",
                        "insecure settings are on: %s", insecure);
    }
    sa_doctor__ok(exam, "valid, code %s", exam->config->code);
}

/* ---- the agent -------------------------------------------------------------------------- */

static void judge_running(sa_doctor__exam_t *exam, const sa_status_t *status)
{
    const cJSON *error = cJSON_GetObjectItem(status->json, "last_error");
    const char *health = sa_json_text(status->json, "status");
    const char *code = sa_json_text(status->json, "code");
    const char *mend = sa_json_text(error, "fix");

    if (code && strcmp(code, exam->config->code) != 0) {
        sa_doctor__warn(exam, "Restart the agent: what it runs with is not what stands there now.",
                        "process %" APR_INT64_T_FMT " runs as %s, the configuration says %s",
                        status->pid, code, exam->config->code);
    }
    if (health && strcmp(health, "healthy") != 0) {
        sa_doctor__warn(exam, mend ? mend : "See the checks below.",
                        "process %" APR_INT64_T_FMT " runs, and is %s: %s", status->pid, health,
                        sa_json_text(error, "text") ? sa_json_text(error, "text") : "no reason");
    }
    sa_doctor__ok(exam, "process %" APR_INT64_T_FMT " runs, for %s", status->pid,
                  sa_doctor__span(sa_time_now() - status->started, exam->pool));
}

void sa_doctor__agent(sa_doctor__exam_t *exam)
{
    sa_error_t *err;

    if (exam->chart) {
        sa_doctor__ok(exam, "it is the one that answers; %s", sa_health_name(sa_stats_health()));
        return;
    }
    err = sa_status_read(&exam->status, exam->config->paths_runtime, exam->pool);
    exam->status_read = true;
    if (err) {
        sa_doctor__fail_error(exam, "Run doctor as root or as the agent's user.", err);
        return;
    }
    if (exam->status.running) {
        judge_running(exam, &exam->status);
    } else if (exam->status.json) {
        sa_doctor__warn(exam, NULL, "it does not run; process %" APR_INT64_T_FMT
                        " ended without saying so", exam->status.pid);
    } else {
        sa_doctor__warn(exam, NULL, "it does not run, as far as %s tells",
                        exam->config->paths_runtime);
    }
}

/* ---- state ------------------------------------------------------------------------------ */

/* Bits of group and others. */
#define OPEN_TO_OTHERS (APR_FPROT_WREAD | APR_FPROT_WWRITE | APR_FPROT_WEXECUTE)
#define GROUP_WRITES APR_FPROT_GWRITE

/* A file of ours that is another user's cannot be used by the agent. */
static void check_owner(sa_doctor__exam_t *exam, const apr_finfo_t *directory, const char *path)
{
    apr_finfo_t info;

    if (apr_stat(&info, path, APR_FINFO_USER | APR_FINFO_LINK, exam->pool) == APR_SUCCESS
        && apr_uid_compare(info.user, directory->user) != APR_SUCCESS) {
        sa_doctor__fail(exam, apr_psprintf(exam->pool, "chown --reference=%s %s",
                                           exam->config->paths_state, path),
                        "%s belongs to another user than its directory: the agent cannot use it",
                        path);
    }
}

static void check_files_of_state(sa_doctor__exam_t *exam, const apr_finfo_t *directory)
{
    static const char *const names[] = {
        "spool.db", "spool.db-wal", "spool.db-shm", "lock", "nats.creds", "nats.nkey",
        "platform-session.json", SA_CONFIG_REMOTE_FILE, "audit.log"
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        check_owner(exam, directory, apr_pstrcat(exam->pool, exam->config->paths_state, "/",
                                                 names[i], NULL));
    }
}

/* Can the one who asks write there?  A file of ours, gone again at once. */
static void check_writing(sa_doctor__exam_t *exam, const char *path)
{
    char *name = apr_pstrcat(exam->pool, path, "/.stone-age-doctor-XXXXXX", NULL);
    char words[128];
    apr_file_t *file;
    apr_status_t status = apr_file_mktemp(&file, name, APR_FOPEN_CREATE | APR_FOPEN_READ
                                          | APR_FOPEN_WRITE | APR_FOPEN_EXCL
                                          | APR_FOPEN_DELONCLOSE, exam->pool);

    if (status == APR_SUCCESS) {
        apr_file_close(file);
    } else if (APR_STATUS_IS_EACCES(status)) {
        sa_doctor__skip(exam, "%s cannot be written by who runs doctor; run it as root or as the "
                        "agent's user", path);
    } else if (!APR_STATUS_IS_ENOSPC(status)) {         /* a check of its own */
        sa_doctor__fail(exam, "Let it be written: the disk is read-only, or broken.",
                        "%s cannot be written: %s", path,
                        apr_strerror(status, words, sizeof(words)));
    }
}

void sa_doctor__state(sa_doctor__exam_t *exam)
{
    const char *path = exam->config->paths_state;
    const char *mend;
    char words[128];
    apr_finfo_t info;
    apr_status_t status = apr_stat(&info, path, APR_FINFO_TYPE | APR_FINFO_PROT | APR_FINFO_USER,
                                   exam->pool);

    if (APR_STATUS_IS_ENOENT(status)) {
        sa_doctor__warn(exam, "Nothing, if the agent has not run yet: it makes it.",
                        "%s is not there yet", path);
        return;
    }
    if (status != APR_SUCCESS && status != APR_INCOMPLETE) {
        sa_doctor__fail(exam, NULL, "%s cannot be looked at: %s", path,
                        apr_strerror(status, words, sizeof(words)));
        return;
    }
    if (info.filetype != APR_DIR) {
        sa_doctor__fail(exam, "Move it away, or name another paths.state.",
                        "%s is not a directory", path);
        return;
    }
    mend = apr_psprintf(exam->pool, "chmod 0700 %s", path);
    if (info.protection & (APR_FPROT_WWRITE | GROUP_WRITES)) {
        sa_doctor__fail(exam, mend, "others than its owner can replace files in %s", path);
    } else if (info.protection & OPEN_TO_OTHERS) {
        sa_doctor__warn(exam, mend, "everybody can look into %s", path);
    }
    check_files_of_state(exam, &info);
    check_writing(exam, path);
    sa_doctor__ok(exam, "%s, private", path);
}

/* ---- secrets and credentials ------------------------------------------------------------ */

static bool is_auth(const sa_doctor__exam_t *exam, sa_auth_type_t type)
{
    return exam->config->nats_auth_type == (int)type;
}

static void check_secret_file(sa_doctor__exam_t *exam, const char *what, const char *path,
                              int *count)
{
    apr_pool_t *pool = sa_pool_create(exam->pool);
    const char *text;
    size_t length;
    sa_error_t *err = sa_os_file_read_secret(&text, &length, path, CREDS_BYTES, pool);

    if (err && APR_STATUS_IS_EACCES(err->code) && !exam->chart) {
        bool self = true;
        const char *user = "";

        if (sa_doctor__agent_user(&user, &self, exam->config, pool) && !self) {
            sa_doctor__warn(exam, apr_psprintf(exam->pool, "Run doctor as root or as %s.", user),
                            "%s: %s cannot be read by who runs doctor", what, path);
            sa_error_clear(err);
            apr_pool_destroy(pool);
            return;
        }
    }
    if (err) {
        const char *mend = sa_error_has(err, SA_ERR_FILE_UNSAFE)
            ? apr_psprintf(exam->pool, "chmod 600 %s, and consider what is in it known.", path)
            : APR_STATUS_IS_ENOENT(err->code)
            ? apr_psprintf(exam->pool, "Put the file there: %s (%s), chmod 600, owned by the "
                           "agent's user.", path, what)
            : apr_psprintf(exam->pool, "chmod 600 %s, and give it to the agent's user.", path);

        sa_doctor__fail_error(exam, mend, sa_error(err->code, err, "%s", what));
    } else {
        sa_wipe((char *)text, length);
        (*count)++;
    }
    apr_pool_destroy(pool);
}

static void check_secret(sa_doctor__exam_t *exam, const sa_secret_t *secret, int *count)
{
    apr_pool_t *pool;
    const char *value;
    sa_error_t *err;

    if (secret->source == SA_SECRET_NONE) {
        return;
    }
    if (secret->source == SA_SECRET_FILE) {
        check_secret_file(exam, secret->path, secret->where, count);
        return;
    }
    if (secret->source == SA_SECRET_ENV && !exam->chart) {
        sa_doctor__skip(exam, "%s is in the environment of the agent, which doctor does not have",
                        secret->path);
        return;
    }
    pool = sa_pool_create(exam->pool);
    err = sa_secret_read(&value, secret, pool);
    if (err) {
        sa_doctor__fail_error(exam, NULL, sa_error(err->code, err, "%s", secret->path));
    } else {
        (*count)++;
    }
    apr_pool_destroy(pool);
}

void sa_doctor__secrets(sa_doctor__exam_t *exam)
{
    const sa_config_t *config = exam->config;
    int count = 0;

    if (is_auth(exam, SA_AUTH_TOKEN)) {
        check_secret(exam, &config->nats_token, &count);
    }
    if (is_auth(exam, SA_AUTH_USERPASS)) {
        check_secret(exam, &config->nats_password, &count);
    }
    if (is_auth(exam, SA_AUTH_NKEY)) {
        check_secret_file(exam, "nats.auth.nkey_file", config->nats_nkey_file, &count);
    }
    if (is_auth(exam, SA_AUTH_PLATFORM)) {
        check_secret(exam, &config->platform_password, &count);
    }
    if (config->nats_tls_key_file[0]) {
        check_secret_file(exam, "nats.tls.key_file", config->nats_tls_key_file, &count);
    }
    for (int i = 0; i < config->exporters->nelts; i++) {
        const sa_exporter_config_t *exporter =
            &APR_ARRAY_IDX(config->exporters, i, const sa_exporter_config_t);

        check_secret(exam, &exporter->password, &count);
        check_secret(exam, &exporter->bearer, &count);
        if (exporter->key_file[0]) {
            check_secret_file(exam, "tasks.exporters[].key_file", exporter->key_file, &count);
        }
    }
    if (count > 0) {
        sa_doctor__ok(exam, "%d, each private", count);
    } else {
        sa_doctor__skip(exam, "the configuration names none");
    }
}

/* The end of the JWT in TEXT; 0: never. */
static apr_time_t expiry_of(const char *text, apr_pool_t *pool)
{
    const char *begin = strstr(text, "JWT-----");
    cJSON *claims = NULL;
    double expires = 0;
    const char *token;
    sa_error_t *err;

    if (!begin) {
        return 0;
    }
    begin += strcspn(begin, "\n");
    begin += strspn(begin, " \t\r\n");
    token = apr_pstrmemdup(pool, begin, strcspn(begin, " \t\r\n"));
    err = sa_json_claims(&claims, token, pool);
    if (err) {
        sa_error_clear(err);        /* sa_link_check_creds() has looked at it */
        return 0;
    }
    if (!sa_json_number(claims, "exp", &expires) || expires <= 0 || expires > 1e11) {
        return 0;
    }
    return apr_time_from_sec((apr_time_t)expires);
}

static void judge_creds(sa_doctor__exam_t *exam, const char *text, apr_pool_t *pool)
{
    const char *path = exam->config->nats_creds_file;
    const char *mend = is_auth(exam, SA_AUTH_PLATFORM)
        ? "stone-age-agent bootstrap --force, as the agent's user." : NULL;
    sa_error_t *err = sa_link_check_creds(text, pool);
    apr_time_t expires;

    if (err) {
        sa_doctor__fail_error(exam, mend, sa_error(err->code, err, "%s", path));
        return;
    }
    expires = expiry_of(text, pool);
    if (expires != 0 && expires - sa_time_now() < EXPIRY_NEAR) {
        sa_doctor__warn(exam, mend, "%s expires in %s", path,
                        sa_doctor__span(expires - sa_time_now(), exam->pool));
    } else if (expires != 0) {
        sa_doctor__ok(exam, "%s, for %s more", path,
                      sa_doctor__span(expires - sa_time_now(), exam->pool));
    } else {
        sa_doctor__ok(exam, "%s, without an end", path);
    }
}

void sa_doctor__credentials(sa_doctor__exam_t *exam)
{
    const char *path = exam->config->nats_creds_file;
    apr_pool_t *pool;
    const char *text;
    size_t length;
    int count = 0;
    sa_error_t *err;

    if (!is_auth(exam, SA_AUTH_CREDS) && !is_auth(exam, SA_AUTH_PLATFORM)) {
        sa_doctor__skip(exam, "nats.auth.type is %s", sa_config_text(exam->config,
                                                                     "nats.auth.type",
                                                                     exam->pool));
        return;
    }
    if (is_auth(exam, SA_AUTH_CREDS) && sa_config_is_default(exam->config, "nats.auth.creds_file")
        && !sa_os_file_exists(path, exam->pool)) {
        sa_doctor__warn(exam, apr_psprintf(exam->pool, "Put the device's .creds file to %s, "
                                           "chmod 600; or set nats.auth.type.", path),
                        "there are none: the agent connects without");
        return;
    }
    check_secret_file(exam, "nats.auth.creds_file", path, &count);
    if (count == 0) {
        return;
    }
    pool = sa_pool_create(exam->pool);
    err = sa_os_file_read_secret(&text, &length, path, CREDS_BYTES, pool);
    if (err) {
        sa_doctor__fail_error(exam, NULL, err);
    } else {
        sa_pool_wipe_later((char *)text, length, pool);
        judge_creds(exam, text, pool);
    }
    apr_pool_destroy(pool);
}

/* ---- log, audit, disk, spool ------------------------------------------------------------ */

static const char *folder_of(const char *path, apr_pool_t *pool)
{
    const char *slash = strrchr(path, '/');

    return slash && slash != path ? apr_pstrmemdup(pool, path, (apr_size_t)(slash - path)) : "/";
}

static void check_log(sa_doctor__exam_t *exam, const char *option, const char *path)
{
    const char *folder = folder_of(path, exam->pool);
    char words[128];
    apr_file_t *file;
    apr_status_t status;

    if (!sa_os_file_exists(folder, exam->pool)) {
        if (strcmp(folder, exam->config->paths_state) != 0) {
            sa_doctor__fail(exam, apr_psprintf(exam->pool, "Make the directory %s for the agent's "
                                               "user.", folder),
                            "%s: the directory %s is not there", option, folder);
        }
        return;
    }
    if (!sa_os_file_exists(path, exam->pool)) {
        check_writing(exam, folder);
        return;
    }
    status = apr_file_open(&file, path, APR_FOPEN_WRITE | APR_FOPEN_APPEND, APR_FPROT_OS_DEFAULT,
                           exam->pool);
    if (status == APR_SUCCESS) {
        apr_file_close(file);
        return;
    }
    if (APR_STATUS_IS_EACCES(status) && !exam->chart) {
        const char *user = "";
        bool self = true;

        if (sa_doctor__agent_user(&user, &self, exam->config, exam->pool) && !self) {
            sa_doctor__skip(exam, "%s can only be tried by root or %s", path, user);
            return;
        }
    }
    sa_doctor__fail(exam, apr_psprintf(exam->pool, "Let the agent's user write %s (%s).", path,
                                       option),
                    "%s cannot be written: %s", path, apr_strerror(status, words, sizeof(words)));
}

void sa_doctor__log(sa_doctor__exam_t *exam)
{
    if (exam->config->log_file[0]) {
        check_log(exam, "logging.file", exam->config->log_file);
    }
    check_log(exam, "commands.audit_file", exam->config->audit_file);
    sa_doctor__ok(exam, "%s; audit %s", exam->config->log_file[0] ? exam->config->log_file
                  : "standard error", exam->config->audit_file);
}

/* The directory itself, or what is there of the way to it. */
static const char *nearest(const char *path, apr_pool_t *pool)
{
    while (path[1] && !sa_os_file_exists(path, pool)) {
        path = folder_of(path, pool);
    }
    return path;
}

void sa_doctor__disk(sa_doctor__exam_t *exam)
{
    const char *path = nearest(exam->config->paths_state, exam->pool);
    apr_uint64_t limit = (apr_uint64_t)exam->config->spool_max_size;
    apr_uint64_t needed = limit < SPACE_NEEDED ? limit : SPACE_NEEDED;
    char size[8];
    char all[8];
    const char *free_text;
    apr_finfo_t spool;
    apr_uint64_t bytes = 0;
    sa_error_t *err = sa_os_file_space(&bytes, path, exam->pool);

    if (err) {
        sa_doctor__fail_error(exam, NULL, err);
        return;
    }
    apr_strfsize((apr_off_t)bytes, size);
    apr_strfsize((apr_off_t)limit, all);
    free_text = size + strspn(size, " ");
    if (bytes < needed) {
        sa_doctor__fail(exam, NULL, "%s has room for %s more: reports are lost soon", path,
                        free_text);
        return;
    }
    if (apr_stat(&spool, apr_pstrcat(exam->pool, exam->config->paths_state, "/spool.db", NULL),
                 APR_FINFO_SIZE, exam->pool) == APR_SUCCESS) {
        bytes += (apr_uint64_t)spool.size;
    }
    if (bytes < limit) {
        sa_doctor__warn(exam, NULL, "%s has room for %s more, less than spool.max_size (%s)",
                        path, free_text, all + strspn(all, " "));
        return;
    }
    sa_doctor__ok(exam, "%s has room for %s more", path, free_text);
}

static void judge_spool(sa_doctor__exam_t *exam, double waiting, apr_time_t oldest, bool failed,
                        const char *reason)
{
    apr_interval_time_t age = oldest != 0 ? sa_time_now() - oldest : 0;

    if (failed) {
        sa_doctor__fail(exam, "Make room on the disk of paths.state, or mend its rights.",
                        "the spool cannot be written");
    } else if (waiting > 0 && age > PILE_AGE) {
        sa_doctor__warn(exam, NULL, "%.0f reports wait, the oldest for %s: %s", waiting,
                        sa_doctor__span(age, exam->pool), *reason ? reason : "no reason known");
    } else {
        sa_doctor__ok(exam, "%.0f reports wait", waiting);
    }
}

void sa_doctor__spool(sa_doctor__exam_t *exam)
{
    char reason[SA_STAT_TEXT_SIZE];
    const cJSON *spool;
    const char *words;
    double waiting = 0;

    if (exam->chart) {
        judge_spool(exam, (double)sa_stats_read(SA_STAT_spool_reports),
                    (apr_time_t)sa_stats_read(SA_STAT_spool_oldest_at),
                    sa_stats_read(SA_STAT_spool_failed) != 0,
                    sa_stats_text(SA_STAT_TEXT_delivery_error, reason));
        return;
    }
    if (!sa_doctor__status(exam)->running) {
        sa_doctor__skip(exam, "known while the agent runs");
        return;
    }
    spool = cJSON_GetObjectItem(exam->status.json, "spool");
    words = sa_json_text(spool, "error");
    sa_json_number(spool, "waiting", &waiting);
    judge_spool(exam, waiting, sa_status_time(sa_json_text(spool, "oldest")),
                cJSON_IsTrue(cJSON_GetObjectItem(spool, "failed")), words ? words : "");
}
