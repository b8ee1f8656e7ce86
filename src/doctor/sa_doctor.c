/* doctor: the table of checks, and the running of it. */
#include "sa_doctor_private.h"

#include <string.h>

#include <apr_strings.h>

#include "sa_pool.h"
#include "sa_time.h"
#include "sa_version.h"

typedef struct check_t {
    const char *name;
    sa_doctor__group_t group;       /* in the order of the table, in one thread */
    void (*run)(sa_doctor__exam_t *exam);
    apr_interval_time_t limit;      /* of its own, inside of the time of all */
    const char *doc;
    const char *mend;               /* where the check has no better one */
} check_t;

static const check_t checks[] = {
    {"config", SA_DOCTOR__FILES, sa_doctor__config, apr_time_from_sec(1),
     "the configuration is valid, private enough, and without insecure switches",
     "Mend what stone-age-agent check-config names."},
    {"agent", SA_DOCTOR__FILES, sa_doctor__agent, apr_time_from_sec(1),
     "the agent runs, with this configuration, and is well",
     "Start it: systemctl start stone-age-agent; its log says why it does not run."},
    {"state", SA_DOCTOR__FILES, sa_doctor__state, apr_time_from_sec(1),
     "the directory of spool, credentials and lock is there, private, and the agent's",
     "Give paths.state to the agent's user, mode 0700."},
    {"secrets", SA_DOCTOR__FILES, sa_doctor__secrets, apr_time_from_sec(1),
     "every secret that the configuration names can be read, and by nobody else",
     "Put the secret there, chmod 600, owned by the agent's user."},
    {"credentials", SA_DOCTOR__FILES, sa_doctor__credentials, apr_time_from_sec(1),
     "the credentials for the bus are whole, belong together, and have not expired",
     "Have the credentials issued again and put them in place."},
    {"log", SA_DOCTOR__FILES, sa_doctor__log, apr_time_from_sec(1),
     "the log and the audit file can be written",
     "Let the agent's user write there."},
    {"disk", SA_DOCTOR__FILES, sa_doctor__disk, apr_time_from_sec(1),
     "there is room for the spool",
     "Make room on the disk of paths.state, or lower spool.max_size."},
    {"spool", SA_DOCTOR__FILES, sa_doctor__spool, apr_time_from_sec(1),
     "reports do not pile up",
     "See the checks of the bus and of the stream: something keeps reports from being stored."},
    {"scripts", SA_DOCTOR__SCRIPTS, sa_doctor__scripts, apr_time_from_sec(4),
     "what may be run by name can be run, and be changed by nobody else",
     "See stone-age-agent exec-list."},
    {"programs", SA_DOCTOR__SCRIPTS, sa_doctor__programs, apr_time_from_sec(2),
     "the programs of commands.allowed_commands are there and safe",
     "See stone-age-agent exec-list."},
    {"services", SA_DOCTOR__SERVICES, sa_doctor__services, apr_time_from_sec(4),
     "the services that are watched or may be controlled are known to the system",
     "Correct the name, or install the service."},
    {"polkit", SA_DOCTOR__SERVICES, sa_doctor__polkit, apr_time_from_sec(3),
     "the agent may control the services that it is allowed to",
     "stone-age-agent polkit | sudo tee /etc/polkit-1/rules.d/50-stone-age-agent.rules"},
    {"cgroup", SA_DOCTOR__SERVICES, sa_doctor__cgroup, apr_time_from_sec(1),
     "what runs can be held together and limited by a cgroup",
     "Delegate=yes in the unit of the agent, and not ProtectControlGroups=yes."},
    {"nebula", SA_DOCTOR__SERVICES, sa_doctor__nebula, apr_time_from_sec(2),
     "the overlay's configuration is there and private",
     "See nebula in agent.yaml(5)."},
    {"platform", SA_DOCTOR__PLATFORM, sa_doctor__platform, apr_time_from_sec(5),
     "the platform answers, and what it gave us is in place",
     "Check platform.url and the way there."},
    {"exporters", SA_DOCTOR__EXPORTERS, sa_doctor__exporters, apr_time_from_sec(5),
     "each exporter gives its page",
     "Start the exporter, or correct its url."},
    {"dns", SA_DOCTOR__BUS, sa_doctor__dns, apr_time_from_sec(3),
     "the names of the bus's servers are known",
     "Check the name in nats.urls and the machine's name server."},
    {"proxy", SA_DOCTOR__BUS, sa_doctor__proxy, apr_time_from_sec(2),
     "the proxy answers, where one is configured",
     "Check nats.proxy.url and that the proxy runs."},
    {"tcp", SA_DOCTOR__BUS, sa_doctor__tcp, apr_time_from_sec(3),
     "the servers can be reached, and are NATS servers",
     "Check host and port in nats.urls, the server, and the firewalls between."},
    {"tls", SA_DOCTOR__BUS, sa_doctor__tls, apr_time_from_sec(3),
     "the server's certificate: its chain, its name, the days left",
     "Renew the server's certificate."},
    {"login", SA_DOCTOR__BUS, sa_doctor__login, apr_time_from_sec(4),
     "the bus lets us in",
     "Check nats.auth."},
    {"subscribe", SA_DOCTOR__BUS, sa_doctor__subscribe, apr_time_from_sec(1),
     "we may hear requests and answers",
     "Add the grant to the device's role."},
    {"publish", SA_DOCTOR__BUS, sa_doctor__publish, apr_time_from_sec(3),
     "we may publish what is switched on",
     "Add the grant to the device's role."},
    {"stream", SA_DOCTOR__BUS, sa_doctor__stream, apr_time_from_sec(1),
     "a stream stores the telemetry",
     "Create a stream that binds {subject_prefix}.*.telemetry.>."},
    {"command_stream", SA_DOCTOR__BUS, sa_doctor__commands_stream, apr_time_from_sec(2),
     "no stream stores, and so answers, the commands",
     "Let the stream bind {subject_prefix}.*.telemetry.> and nothing more."},
    {"twin", SA_DOCTOR__BUS, sa_doctor__twin, apr_time_from_sec(2),
     "the digital twin takes our values",
     "Create the KV bucket twin (console: Initialize)."},
    {"clock", SA_DOCTOR__BUS, sa_doctor__clock, apr_time_from_sec(3),
     "this machine's clock goes with the server's",
     "Set the clock, and keep it right: timedatectl set-ntp true."},
};
#define CHECK_COUNT ((int)(sizeof(checks) / sizeof(checks[0])))

const char *sa_doctor_state_name(sa_doctor_state_t state)
{
    static const char *const names[] = {"skipped", "ok", "warn", "fail"};

    return names[state];
}

void sa_doctor_each(sa_doctor_check_fn_t fn, void *baton)
{
    for (int i = 0; i < CHECK_COUNT; i++) {
        fn(baton, checks[i].name, checks[i].doc);
    }
}

/* ---- one group, in its thread ----------------------------------------------------------- */

static void hand_over(sa_doctor__exam_t *exam, int place)
{
    sa_doctor__shared_t *shared = exam->shared;

    sa_os_mutex_lock(shared->mutex);
    shared->findings[place] = *exam->finding;
    shared->done[place] = true;
    sa_os_mutex_unlock(shared->mutex);
}

static void run_check(sa_doctor__exam_t *exam, int place)
{
    const check_t *check = &checks[place];
    apr_interval_time_t began = sa_time_mono();
    apr_interval_time_t deadline = began + check->limit;

    memset(exam->finding, 0, sizeof(*exam->finding));
    exam->finding->name = check->name;
    exam->mend = check->mend;
    exam->more = 0;
    exam->deadline = deadline < exam->shared->deadline ? deadline : exam->shared->deadline;
    if (exam->config || check->run == sa_doctor__config) {
        check->run(exam);
    } else {
        sa_doctor__skip(exam, "the configuration cannot be used");
    }
    sa_doctor__close(exam);
    exam->finding->took = sa_time_mono() - began;
    hand_over(exam, place);
}

static void run_group(void *baton)
{
    sa_doctor__exam_t *exam = baton;
    sa_doctor__shared_t *shared = exam->shared;

    for (int i = 0; i < CHECK_COUNT; i++) {
        if (checks[i].group == exam->group) {
            run_check(exam, i);
        }
    }
    if (exam->group == SA_DOCTOR__BUS) {
        sa_doctor__bus_end(exam);
    }
    sa_os_mutex_lock(shared->mutex);
    shared->running--;
    shared->platform_over = shared->platform_over || exam->group == SA_DOCTOR__PLATFORM;
    sa_os_cond_broadcast(shared->cond);
    sa_os_mutex_unlock(shared->mutex);
}

/* ---- all of them ------------------------------------------------------------------------ */

static sa_doctor__shared_t *create_shared(const sa_doctor_patient_t *patient,
                                          apr_interval_time_t deadline)
{
    apr_pool_t *pool = sa_pool_create_root();
    sa_doctor__shared_t *shared = apr_pcalloc(pool, sizeof(*shared));
    sa_config_t *config = NULL;
    apr_array_header_t *complaints;
    sa_error_t *err = sa_config_load(&config, &complaints, patient->source, pool);
    char text[SA_DOCTOR_TEXT];

    shared->pool = pool;
    shared->mutex = sa_os_mutex_create(pool);
    shared->cond = sa_os_cond_create(pool);
    shared->config = config;
    shared->complaints = complaints;
    shared->config_error = err ? apr_pstrdup(pool, sa_error_text(err, text, sizeof(text))) : NULL;
    sa_error_clear(err);
    shared->inside = patient->chart != NULL;
    shared->stop = patient->stop;
    if (patient->chart) {
        shared->chart = *patient->chart;
    }
    shared->deadline = deadline;
    shared->done = apr_pcalloc(pool, sizeof(bool) * (size_t)CHECK_COUNT);
    shared->findings = apr_pcalloc(pool, sizeof(sa_doctor_finding_t) * (size_t)CHECK_COUNT);
    return shared;
}

static void start_group(sa_doctor__exam_t *exam, sa_doctor__shared_t *shared,
                        sa_doctor__group_t group)
{
    exam->pool = sa_pool_create_root();
    exam->shared = shared;
    exam->group = group;
    exam->config = shared->config;
    exam->chart = shared->inside ? &shared->chart : NULL;
    exam->finding = apr_pcalloc(exam->pool, sizeof(*exam->finding));
    sa_os_mutex_lock(shared->mutex);
    shared->running++;
    sa_os_mutex_unlock(shared->mutex);
    if (sa_os_thread_start(&exam->thread, "doctor", run_group, exam, shared->pool)
        != APR_SUCCESS) {
        exam->thread = NULL;
        run_group(exam);
    }
}

/* Wait for them; true: all are done. */
static bool wait_for_groups(sa_doctor__shared_t *shared)
{
    bool done;

    sa_os_mutex_lock(shared->mutex);
    while (shared->running > 0 && sa_time_mono() < shared->deadline + apr_time_from_msec(500)) {
        sa_os_cond_wait(shared->cond, shared->mutex,
                        shared->deadline + apr_time_from_msec(500));
    }
    done = shared->running == 0;
    sa_os_mutex_unlock(shared->mutex);
    return done;
}

static void read_findings(sa_doctor_report_t *report, sa_doctor__shared_t *shared,
                          apr_pool_t *pool)
{
    report->findings = apr_pcalloc(pool, sizeof(sa_doctor_finding_t) * (size_t)CHECK_COUNT);
    report->count = CHECK_COUNT;
    sa_os_mutex_lock(shared->mutex);
    for (int i = 0; i < CHECK_COUNT; i++) {
        sa_doctor_finding_t *finding = &report->findings[i];

        *finding = shared->findings[i];
        if (!shared->done[i]) {
            finding->name = checks[i].name;
            finding->state = SA_DOCTOR_FAIL;
            finding->took = report->took;
            apr_cpystrn(finding->detail, "no answer in time: something that it asks, or that was "
                        "asked before it, hangs", sizeof(finding->detail));
            apr_cpystrn(finding->fix, checks[i].mend, sizeof(finding->fix));
        }
        report->state = finding->state > report->state ? finding->state : report->state;
    }
    sa_os_mutex_unlock(shared->mutex);
}

void sa_doctor_examine(sa_doctor_report_t *report, const sa_doctor_patient_t *patient,
                       apr_interval_time_t time, apr_pool_t *pool)
{
    apr_interval_time_t began = sa_time_mono();
    sa_doctor__shared_t *shared = create_shared(patient, began + time);
    sa_doctor__exam_t *exams = apr_pcalloc(shared->pool, sizeof(*exams) * SA_DOCTOR__GROUPS);

    if (!shared->inside) {
        sa_log_set_tap(sa_doctor__on_event, shared);
    }
    memset(report, 0, sizeof(*report));
    report->checked = sa_time_now();
    for (int i = 0; i < SA_DOCTOR__GROUPS; i++) {
        start_group(&exams[i], shared, (sa_doctor__group_t)i);
    }
    report->abandoned = !wait_for_groups(shared);
    report->took = sa_time_mono() - began;
    read_findings(report, shared, pool);
    if (report->abandoned) {
        return;         /* what is shared is left to those that still use it */
    }
    for (int i = 0; i < SA_DOCTOR__GROUPS; i++) {
        if (exams[i].thread) {
            sa_os_thread_join(exams[i].thread);
        }
        apr_pool_destroy(exams[i].pool);
    }
    if (!shared->inside) {
        sa_log_set_tap(NULL, NULL);
    }
    apr_pool_destroy(shared->pool);
}

/* ---- as JSON ---------------------------------------------------------------------------- */

/* Go's spelling, whole milliseconds. */
static void add_span(cJSON *json, const char *name, apr_interval_time_t span)
{
    char text[SA_DURATION_TEXT];

    cJSON_AddStringToObject(json, name, sa_duration_format_go(text, span / 1000 * 1000));
}

static void add_finding(cJSON *list, const sa_doctor_finding_t *finding)
{
    cJSON *item = cJSON_CreateObject();

    cJSON_AddItemToArray(list, item);
    cJSON_AddStringToObject(item, "name", finding->name);
    cJSON_AddStringToObject(item, "state", sa_doctor_state_name(finding->state));
    if (*finding->detail) {
        cJSON_AddStringToObject(item, "detail", finding->detail);
    }
    if (*finding->fix) {
        cJSON_AddStringToObject(item, "fix", finding->fix);
    }
    add_span(item, "took", finding->took);
}

cJSON *sa_doctor_json(const sa_doctor_report_t *report, apr_interval_time_t uptime,
                      apr_pool_t *pool)
{
    cJSON *json = sa_json_object(pool);
    cJSON *list;

    cJSON_AddBoolToObject(json, "ready", report->state != SA_DOCTOR_FAIL);
    cJSON_AddStringToObject(json, "state", sa_doctor_state_name(report->state));
    cJSON_AddStringToObject(json, "version", sa_version());
    add_span(json, "uptime", uptime / APR_USEC_PER_SEC * APR_USEC_PER_SEC);
    add_span(json, "took", report->took);
    sa_json_add_time(json, "checked", report->checked);
    list = cJSON_AddArrayToObject(json, "checks");
    for (int i = 0; i < report->count; i++) {
        add_finding(list, &report->findings[i]);
    }
    return json;
}
