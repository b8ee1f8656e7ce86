/* doctor: what this machine lends to the agent: scripts, programs, services, polkit, cgroups,
 * the overlay. */
#include "sa_doctor_private.h"

#include <string.h>

#include <apr_file_info.h>
#include <apr_strings.h>
#include <apr_user.h>

#include "sa_buf.h"
#include "sa_mesh.h"
#include "sa_os_exec.h"
#include "sa_os_file.h"
#include "sa_os_service_control.h"
#include "sa_os_services.h"
#include "sa_pool.h"
#include "sa_stats.h"
#include "sa_time.h"
#include "sa_words.h"

#define SCRIPTS_LOOKED_AT 1024
/* Time to have a new one issued. */
#define CERTIFICATE_NEAR apr_time_from_sec(14 * 86400)
#define RULE_BYTES ((size_t)256 * 1024)

/* ---- scripts and programs --------------------------------------------------------------- */

/* Open it as for a run; true: it could be run. */
static bool try_program(sa_doctor__exam_t *exam, const char *path, bool script, const char *what)
{
    apr_pool_t *pool = sa_pool_create(exam->pool);
    sa_os_program_t *program;
    sa_error_t *err = sa_os_program_open(&program, path, script, pool);
    bool good = err == NULL;
    char text[SA_DOCTOR_TEXT];

    if (err) {
        /* the error says the mend: "...; chmod o-w /x" */
        const char *mend = strstr(sa_error_text(err, text, sizeof(text)), "; ");

        sa_doctor__fail(exam, mend ? apr_pstrdup(exam->pool, mend + 2) : NULL, "%s: %s", what,
                        text);
        sa_error_clear(err);
    }
    apr_pool_destroy(pool);
    return good;
}

void sa_doctor__scripts(sa_doctor__exam_t *exam)
{
    const char *folder = exam->config->scripts_directory;
    apr_array_header_t *names;
    int good = 0;

    if (!folder[0]) {
        sa_doctor__skip(exam, "commands.scripts_directory is not set");
        return;
    }
    names = sa_config_scripts(folder, SCRIPTS_LOOKED_AT, exam->pool);
    if (!names) {
        sa_doctor__fail(exam, apr_psprintf(exam->pool, "Make it (root, 0755), or take "
                                           "commands.scripts_directory out."),
                        "%s is not there, or cannot be read", folder);
        return;
    }
    for (int i = 0; i < names->nelts && sa_doctor__left(exam) > 0; i++) {
        const char *name = APR_ARRAY_IDX(names, i, const char *);

        good += try_program(exam, apr_pstrcat(exam->pool, folder, "/", name, NULL), true, name);
    }
    sa_doctor__ok(exam, "%d in %s", good, folder);
}

static const char *program_of(const sa_allowed_command_t *command, apr_pool_t *pool)
{
    if (*command->line) {
        return sa_words_need_shell(command->line) ? SA_COMMAND_SHELL
            : APR_ARRAY_IDX(sa_words_split(command->line, pool), 0, const char *);
    }
    return command->run->nelts > 0 ? APR_ARRAY_IDX(command->run, 0, const char *) : "";
}

void sa_doctor__programs(sa_doctor__exam_t *exam)
{
    const apr_array_header_t *commands = exam->config->allowed_commands;
    int good = 0;

    for (int i = 0; i < commands->nelts && sa_doctor__left(exam) > 0; i++) {
        const sa_allowed_command_t *command =
            &APR_ARRAY_IDX(commands, i, const sa_allowed_command_t);
        const char *name = program_of(command, exam->pool);
        const char *path = sa_config_find_program(name, exam->pool);

        if (!path) {
            sa_doctor__fail(exam, apr_psprintf(exam->pool, "Install it, or take the command out of "
                                               "%s:%d.", command->file, command->line_number),
                            "the program %s is not on this machine", name);
        } else {
            good += try_program(exam, path, false, name);
        }
    }
    if (commands->nelts == 0) {
        sa_doctor__skip(exam, "commands.allowed_commands is empty");
    } else {
        sa_doctor__ok(exam, "%d of %d", good, commands->nelts);
    }
}

/* ---- services --------------------------------------------------------------------------- */

typedef struct ward_t {
    sa_doctor__exam_t *exam;
    apr_array_header_t *names;      /* of const char * */
    int watched;                    /* of them, by tasks.service_check */
    int known;
} ward_t;

static void judge_service(void *baton, int place, const sa_os_service_state_t *state)
{
    ward_t *ward = baton;
    const char *name = APR_ARRAY_IDX(ward->names, place, const char *);
    const char *option = place < ward->watched ? "tasks.service_check.services"
                                               : "commands.allowed_services";

    if (state->status == SA_OS_SERVICE_NOT_INSTALLED) {
        sa_doctor__warn(ward->exam, apr_psprintf(ward->exam->pool, "Correct the name in %s, or "
                                                 "install the service.", option),
                        "%s is not known to the system", name);
    } else if (*state->error) {
        sa_doctor__warn(ward->exam, NULL, "%s: %s", name, state->error);
    } else if (strcmp(state->load, "masked") == 0) {
        sa_doctor__warn(ward->exam, apr_psprintf(ward->exam->pool, "systemctl unmask %s, or take "
                                                 "it out of %s.", name, option),
                        "%s is masked", name);
    } else {
        ward->known++;
    }
}

static void add_names(apr_array_header_t *names, const apr_array_header_t *more)
{
    for (int i = 0; i < more->nelts && names->nelts < SA_OS_SERVICES_MAX; i++) {
        APR_ARRAY_PUSH(names, const char *) = APR_ARRAY_IDX(more, i, const char *);
    }
}

static sa_error_t *ask_services(ward_t *ward, apr_pool_t *pool)
{
    sa_os_services_t *services;

    SA_TRY(sa_os_services_open(&services, judge_service, ward, pool));
    SA_TRY(sa_os_services_watch(services, ward->names));
    return sa_os_services_refresh(services, ward->exam->deadline);
}

void sa_doctor__services(sa_doctor__exam_t *exam)
{
    ward_t ward = {.exam = exam, .names = apr_array_make(exam->pool, 16, sizeof(const char *))};
    apr_pool_t *pool;
    sa_error_t *err;

    if (exam->config->services_enabled) {
        add_names(ward.names, exam->config->services);
    }
    ward.watched = ward.names->nelts;
    add_names(ward.names, exam->config->allowed_services);
    if (ward.names->nelts == 0) {
        sa_doctor__skip(exam, "the configuration names none");
        return;
    }
    pool = sa_pool_create(exam->pool);
    err = ask_services(&ward, pool);
    apr_pool_destroy(pool);
    if (err) {
        sa_doctor__fail_error(exam, sa_error_has(err, SA_ERR_NOT_ON_THIS_OS)
                              ? "Take the services out of the configuration: this machine has no "
                                "manager of services that the agent knows."
                              : "Is systemd running, and D-Bus (package dbus)? systemctl status "
                                "dbus.", err);
        return;
    }
    sa_doctor__ok(exam, "%d of %d known", ward.known, ward.names->nelts);
}

/* ---- polkit ----------------------------------------------------------------------------- */

/* The rule is there for us to read: is it the one for this list? */
static void compare_rule(sa_doctor__exam_t *exam, const char *rule, const char *user)
{
    sa_buf_t *text = apr_palloc(exam->pool, sizeof(*text));
    sa_error_t *err;

    sa_buf_init(text, RULE_BYTES, exam->pool);
    err = sa_os_service_rule(text, exam->config->allowed_services, user, exam->pool);
    if (err) {
        sa_doctor__fail_error(exam, "Correct commands.allowed_services.", err);
    } else if (strcmp(text->data, rule) != 0) {
        sa_doctor__fail(exam, NULL, "%s is not the rule for commands.allowed_services as it is "
                        "now, or not for %s", sa_os_service_rule_file(), user);
    } else {
        sa_doctor__ok(exam, "the rule is there, for %s", user);
    }
}

/* We are the agent's user and may not read the rule: ask for what changes nothing.  Starting
 * what runs, and stopping what is stopped, are done at once and change nothing; polkit is
 * asked all the same. */
static void try_control(sa_doctor__exam_t *exam)
{
    const apr_array_header_t *names = exam->config->allowed_services;
    sa_os_service_state_t state;
    int tried = 0;

    for (int i = 0; i < names->nelts && sa_doctor__left(exam) > 0; i++) {
        const char *name = APR_ARRAY_IDX(names, i, const char *);
        sa_error_t *err = sa_os_service_control(&state, SA_OS_SERVICE_STATUS, name,
                                                exam->deadline, NULL, exam->pool);

        if (!err && (state.status == SA_OS_SERVICE_RUNNING
                     || state.status == SA_OS_SERVICE_STOPPED)) {
            err = sa_os_service_control(&state, state.status == SA_OS_SERVICE_RUNNING
                                        ? SA_OS_SERVICE_START : SA_OS_SERVICE_STOP, name,
                                        exam->deadline, NULL, exam->pool);
            tried++;
        }
        if (sa_error_has(err, SA_ERR_DENIED)) {
            sa_doctor__fail(exam, NULL, "polkit does not let us control %s", name);
        }
        sa_error_clear(err);        /* any other is the check of services' to say */
    }
    if (tried > 0) {
        sa_doctor__ok(exam, "%d of %d tried, without changing them", tried, names->nelts);
    } else {
        sa_doctor__skip(exam, "none can be tried without changing it; run doctor as root, which "
                        "reads the rule");
    }
}

void sa_doctor__polkit(sa_doctor__exam_t *exam)
{
    const char *path = sa_os_service_rule_file();
    apr_uid_t root = 0;
    apr_finfo_t info;
    const char *user = "";
    const char *rule;
    size_t length;
    bool self = false;
    sa_error_t *err;

    if (exam->config->allowed_services->nelts == 0 || !path) {
        sa_doctor__skip(exam, "commands.allowed_services is empty");
        return;
    }
    if (!sa_doctor__agent_user(&user, &self, exam->config, exam->pool)) {
        sa_doctor__skip(exam, "whom the rule is for is known once paths.state is there");
        return;
    }
    if (apr_stat(&info, exam->config->paths_state, APR_FINFO_USER, exam->pool) == APR_SUCCESS
        && apr_uid_compare(info.user, root) == APR_SUCCESS) {
        sa_doctor__warn(exam, "Run the agent as a user of its own, with polkit's rule.",
                        "the agent is root: it needs no rule, and nothing else holds it back");
        return;
    }
    err = sa_os_file_read(&rule, &length, path, RULE_BYTES, exam->pool);
    if (!err) {
        compare_rule(exam, rule, user);
    } else if (APR_STATUS_IS_ENOENT(err->code)) {
        sa_doctor__fail(exam, NULL, "there is no %s: the agent (%s) controls nothing", path, user);
    } else if (!self || exam->chart) {
        sa_doctor__skip(exam, "%s can only be read by root", path);
    } else {
        try_control(exam);
    }
    sa_error_clear(err);
}

/* ---- cgroup ----------------------------------------------------------------------------- */

static void judge_cgroup(sa_doctor__exam_t *exam, const char *cgroup, const char *why)
{
    bool runs = exam->config->allowed_commands->nelts > 0 || exam->config->scripts_directory[0];

    if (cgroup && *cgroup) {
        sa_doctor__ok(exam, "%s", cgroup);
    } else if (runs) {
        sa_doctor__warn(exam, NULL, "what runs gets no cgroup of its own (%s); a supervisor looks "
                        "after each run", why && *why ? why : "no reason known");
    } else {
        sa_doctor__skip(exam, "nothing is allowed to run");
    }
}

void sa_doctor__cgroup(sa_doctor__exam_t *exam)
{
    sa_os_exec_support_t support;
    const cJSON *containment;

    if (exam->chart) {
        sa_os_exec_support(&support);
        judge_cgroup(exam, support.cgroup, support.cgroup_why);
        return;
    }
    if (!sa_doctor__status(exam)->running) {
        sa_doctor__skip(exam, "known while the agent runs: its unit decides");
        return;
    }
    containment = cJSON_GetObjectItem(exam->status.json, "containment");
    judge_cgroup(exam, sa_json_text(containment, "cgroup"),
                 sa_json_text(containment, "cgroup_why"));
}

/* ---- nebula ----------------------------------------------------------------------------- */

/* Of an overlay that runs: by the agent that keeps it. */
static void judge_overlay(sa_doctor__exam_t *exam)
{
    char text[SA_STAT_TEXT_SIZE];
    apr_time_t expires = (apr_time_t)sa_stats_read(SA_STAT_mesh_cert_expires);

    if (*sa_stats_text(SA_STAT_TEXT_mesh_error, text)) {
        sa_doctor__fail(exam, NULL, "%s", text);
    }
    if (sa_stats_read(SA_STAT_mesh_rolled_back)) {
        sa_doctor__warn(exam, "Correct the host's configuration in the console.",
                        "what the platform sent last was taken back");
    }
    if (expires != 0 && expires - sa_time_now() < CERTIFICATE_NEAR) {
        sa_doctor__warn(exam, "Have the certificate issued again in the console.",
                        "the certificate ends in %s",
                        sa_doctor__span(expires - sa_time_now(), exam->pool));
    }
    if (!sa_stats_read(SA_STAT_mesh_lighthouse_up)) {
        sa_doctor__warn(exam, "Look at the lighthouse, and whether UDP gets there.",
                        "no lighthouse answers");
    }
    sa_doctor__ok(exam, "%s, %" APR_UINT64_T_FMT " tunnels",
                  sa_stats_text(SA_STAT_TEXT_mesh_overlay_ip, text),
                  sa_stats_read(SA_STAT_mesh_tunnels));
}

void sa_doctor__nebula(sa_doctor__exam_t *exam)
{
    const char *version = "";
    bool found = false;
    sa_error_t *err;

    if (!exam->config->nebula_enabled) {
        sa_doctor__skip(exam, "nebula.enabled is false");
        return;
    }
    if (exam->chart) {
        judge_overlay(exam);
        return;
    }
    err = sa_mesh_version(&version, exam->config, exam->pool);
    if (err) {
        sa_doctor__fail_error(exam, "Install nebula 1.10 or newer, or correct nebula.binary.",
                              err);
        return;
    }
    err = sa_mesh_check(&found, exam->config, exam->pool);
    if (err) {
        sa_doctor__fail_error(exam, "Correct the host's configuration in the console.", err);
    } else if (!found) {
        sa_doctor__fail(exam, "stone-age-agent bootstrap fetches it, if the Thing has a Nebula "
                        "host in the console.", "%s is not there",
                        exam->config->nebula_config_file);
    } else {
        sa_doctor__ok(exam, "nebula %s takes %s", version, exam->config->nebula_config_file);
    }
}
