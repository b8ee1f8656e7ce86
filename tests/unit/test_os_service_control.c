/* os: service control against a systemd that does what each test wants: a thread that owns
 * its name on a bus of the test's own (dbus-daemon).  What the real one does is in
 * tests/system/61-service-control.sh. */
#include "sa_os_service_control.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <sys/prctl.h>
#include <sys/wait.h>

#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-login.h>

#include <apr_atomic.h>
#include <apr_env.h>
#include <apr_strings.h>

#include "../../src/os/linux/sa_os_linux.h"
#include "sa_os_clock.h"
#include "sa_os_exec.h"
#include "sa_os_thread.h"
#include "sa_test.h"
#include "sa_test_server.h"

#define SYSTEMD "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define OUR_JOB "/org/freedesktop/systemd1/job/7"
#define LONG apr_time_from_sec(20)
#define SHORT (APR_INT64_C(300) * 1000)

/* ---- the machine ----------------------------------------------------------------- */

/* Before libsystemd's. */
int sd_booted(void)
{
    return 1;
}

static const char *own_unit = "stone-age-agent.service";

int sd_pid_get_unit(pid_t pid, char **unit)
{
    ck_assert_int_eq(pid, 0);
    if (!own_unit) {
        return -ENODATA;
    }
    *unit = strdup(own_unit);
    return 0;
}

/* ---- the bus --------------------------------------------------------------------- */

typedef struct bus_t {
    const char *address;
    pid_t pid;
} bus_t;

static apr_status_t end_bus(void *baton)
{
    bus_t *bus = baton;

    if (bus->pid > 0) {
        kill(bus->pid, SIGKILL);
        waitpid(bus->pid, NULL, 0);
        bus->pid = 0;
    }
    return APR_SUCCESS;
}

static bus_t *start_bus(apr_pool_t *pool)
{
    bus_t *bus = apr_pcalloc(pool, sizeof(*bus));
    const char *dir = sa_test_dir(pool);
    const char *config;
    int ready[2];
    char line[256];
    ssize_t got;

    bus->address = apr_psprintf(pool, "unix:path=%s/bus", dir);
    config = sa_test_file(dir, "bus.conf", apr_psprintf(pool,
        "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n"
        " \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"
        "<busconfig><type>session</type><listen>%s</listen><policy context=\"default\">\n"
        "<allow user=\"*\"/><allow own=\"*\"/><allow send_destination=\"*\"/>\n"
        "<allow receive_sender=\"*\"/></policy></busconfig>\n", bus->address), 0600, pool);
    ck_assert_int_eq(pipe(ready), 0);
    bus->pid = fork();
    if (bus->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ready[1], 1);
        if (!freopen(apr_psprintf(pool, "%s/bus.log", dir), "w", stderr)) {
            _exit(1);
        }
        execlp("dbus-daemon", "dbus-daemon", "--nofork", "--nopidfile", "--print-address",
               apr_psprintf(pool, "--config-file=%s", config), (char *)NULL);
        _exit(1);
    }
    ck_assert_int_gt(bus->pid, 0);
    apr_pool_cleanup_register(pool, bus, end_bus, apr_pool_cleanup_null);
    close(ready[1]);
    got = read(ready[0], line, sizeof(line));
    ck_assert_msg(got > 0, "dbus-daemon does not start");
    close(ready[0]);
    ck_assert_int_eq(apr_env_set("DBUS_SYSTEM_BUS_ADDRESS", bus->address, pool), APR_SUCCESS);
    return bus;
}

/* ---- systemd --------------------------------------------------------------------- */

typedef struct fake_t {
    /* what it is to do */
    const char *id;             /* whose alias "web.service" is */
    const char *load;
    const char *active;         /* before; and when the job has been asked for: */
    const char *active_then;
    const char *sub_then;
    const char *refusal;        /* the name of the error that a job is answered with */
    const char *refusal_text;
    const char *result;         /* of the job; NULL: it never ends */
    bool before_answer;         /* it has ended before the answer says its name */
    bool mute;                  /* no answer to a job */
    bool dead;                  /* no answer at all */
    bool noise;                 /* other jobs end with "failed" first */
    bool forged;                /* somebody else says "done" before */
    bool reexecutes;            /* the job ends after systemd got a new name on the bus */
    void (*on_job)(struct fake_t *fake);
    /* what was seen */
    char asked[64];             /* "StopUnit web.service replace" */
    volatile apr_uint32_t jobs;
    volatile apr_uint32_t calls;
    /* its own */
    bus_t *bus;
    sd_bus *connection;
    sd_bus *other;
    sa_os_cancel_t *cancel;
    sa_os_thread_t *thread;
    volatile apr_uint32_t stopping;
} fake_t;

static const char *active_now(const fake_t *fake)
{
    return apr_atomic_read32((volatile apr_uint32_t *)&fake->jobs) > 0 && fake->active_then
               ? fake->active_then : fake->active;
}

static int answer_list(fake_t *fake, sd_bus_message *call)
{
    sd_bus_message *reply = NULL;
    const char *active = active_now(fake);
    const char *sub = strcmp(active, "active") == 0 ? "running" : "dead";
    int r;

    ck_assert_int_ge(sd_bus_message_new_method_return(call, &reply), 0);
    if (active == fake->active_then && fake->sub_then) {
        sub = fake->sub_then;
    }
    ck_assert_int_ge(sd_bus_message_append(reply, "a(ssssssouso)", 1, fake->id,
                                           "ActiveState=active", fake->load, active, sub, "",
                                           MANAGER_PATH "/unit/web_2eservice", 0u, "", "/"), 0);
    r = sd_bus_send(NULL, reply, NULL);
    sd_bus_message_unref(reply);
    return r;
}

static int answer_get(fake_t *fake, sd_bus_message *call)
{
    const char *interface;
    const char *name;
    bool failed = strcmp(active_now(fake), "failed") == 0;

    ck_assert_int_ge(sd_bus_message_read(call, "ss", &interface, &name), 0);
    if (strcmp(name, "Result") == 0) {
        return sd_bus_reply_method_return(call, "v", "s", failed ? "exit-code" : "success");
    }
    if (strcmp(name, "NRestarts") == 0) {
        return sd_bus_reply_method_return(call, "v", "u", 3u);
    }
    if (strncmp(name, "ExecMain", 8) == 0) {
        return sd_bus_reply_method_return(call, "v", "i",
                                          !failed ? 0 : strcmp(name, "ExecMainCode") == 0 ? 1 : 7);
    }
    return sd_bus_reply_method_return(call, "v", "t", (uint64_t)1700000000000000);
}

static void job_removed(sd_bus *bus, const char *to, const char *job, const char *unit,
                        const char *result)
{
    sd_bus_message *signal = NULL;

    ck_assert_int_ge(sd_bus_message_new_signal(bus, &signal, MANAGER_PATH, SYSTEMD ".Manager",
                                               "JobRemoved"), 0);
    ck_assert_int_ge(sd_bus_message_append(signal, "uoss", 7u, job, unit, result), 0);
    if (to) {
        ck_assert_int_ge(sd_bus_message_set_destination(signal, to), 0);
    }
    ck_assert_int_ge(sd_bus_send(bus, signal, NULL), 0);
    ck_assert_int_ge(sd_bus_flush(bus), 0);
    sd_bus_message_unref(signal);
}

/* The job ends, with whatever is around it. */
static void end_job(fake_t *fake, const char *asker)
{
    if (fake->noise) {
        job_removed(fake->connection, NULL, OUR_JOB "1", "web.service", "failed");
        job_removed(fake->connection, NULL, OUR_JOB, "other.service", "failed");
    }
    if (fake->forged) {
        job_removed(fake->other, asker, OUR_JOB, "web.service", "done");
        /* the bus passes it on before what comes now */
        ck_assert_int_ge(sd_bus_call_method(fake->other, "org.freedesktop.DBus", "/",
                                            "org.freedesktop.DBus.Peer", "Ping", NULL, NULL, NULL),
                         0);
    }
    if (fake->reexecutes) {
        ck_assert_int_ge(sd_bus_release_name(fake->connection, SYSTEMD), 0);
        ck_assert_int_ge(sd_bus_request_name(fake->other, SYSTEMD, 0), 0);
    }
    if (fake->result) {
        job_removed(fake->reexecutes ? fake->other : fake->connection, NULL, OUR_JOB,
                    "web.service", fake->result);
    }
}

static int answer_job(fake_t *fake, sd_bus_message *call)
{
    const char *asker = sd_bus_message_get_sender(call);
    const char *unit;
    const char *mode;
    int r = 1;

    ck_assert_int_ge(sd_bus_message_read(call, "ss", &unit, &mode), 0);
    apr_snprintf(fake->asked, sizeof(fake->asked), "%s %s %s", sd_bus_message_get_member(call),
                 unit, mode);
    if (fake->refusal) {
        return sd_bus_reply_method_errorf(call, fake->refusal, "%s", fake->refusal_text);
    }
    apr_atomic_inc32(&fake->jobs);
    if (fake->before_answer) {
        end_job(fake, asker);
    }
    if (!fake->mute) {
        r = sd_bus_reply_method_return(call, "o", OUR_JOB);
    }
    if (!fake->before_answer) {
        end_job(fake, asker);
    }
    if (fake->on_job) {
        fake->on_job(fake);
    }
    return r;
}

static int on_message(sd_bus_message *message, void *baton, sd_bus_error *unused)
{
    fake_t *fake = baton;
    const char *member = sd_bus_message_get_member(message);

    (void)unused;
    if (!sd_bus_message_is_method_call(message, NULL, NULL)) {
        return 0;
    }
    apr_atomic_inc32(&fake->calls);
    if (fake->dead) {
        return 1;
    }
    if (strcmp(member, "Subscribe") == 0) {
        return sd_bus_reply_method_return(message, "");
    }
    if (strcmp(member, "ListUnitsByNames") == 0) {
        return answer_list(fake, message);
    }
    return strcmp(member, "Get") == 0 ? answer_get(fake, message) : answer_job(fake, message);
}

/* What a job was asked for with; "": none was. */
static const char *asked(fake_t *fake)
{
    return apr_atomic_read32(&fake->jobs) > 0 ? fake->asked : "";
}

static void serve(sd_bus *bus)
{
    while (sd_bus_process(bus, NULL) > 0) {
    }
    sd_bus_flush(bus);
}

static void run_fake(void *baton)
{
    fake_t *fake = baton;

    while (!apr_atomic_read32(&fake->stopping)) {
        serve(fake->connection);
        serve(fake->other);
        sd_bus_wait(fake->connection, 5000);
    }
}

static sd_bus *connect_fake(fake_t *fake)
{
    sd_bus *bus = NULL;

    ck_assert_int_ge(sd_bus_new(&bus), 0);
    ck_assert_int_ge(sd_bus_set_address(bus, fake->bus->address), 0);
    ck_assert_int_ge(sd_bus_set_bus_client(bus, 1), 0);
    ck_assert_int_ge(sd_bus_start(bus), 0);
    ck_assert_int_ge(sd_bus_add_filter(bus, NULL, on_message, fake), 0);
    return bus;
}

static apr_status_t end_fake(void *baton)
{
    fake_t *fake = baton;

    apr_atomic_set32(&fake->stopping, 1);
    sa_os_thread_join(fake->thread);
    sd_bus_close(fake->connection);
    sd_bus_unref(fake->connection);
    sd_bus_close(fake->other);
    sd_bus_unref(fake->other);
    return APR_SUCCESS;
}

/* A copy of WANTED, at work. */
static fake_t *start_fake(const fake_t *wanted, apr_pool_t *pool)
{
    fake_t *fake = apr_pmemdup(pool, wanted, sizeof(*wanted));

    fake->bus = start_bus(pool);
    fake->id = fake->id ? fake->id : "web.service";
    fake->load = fake->load ? fake->load : "loaded";
    fake->active = fake->active ? fake->active : "inactive";
    fake->connection = connect_fake(fake);
    fake->other = connect_fake(fake);
    ck_assert_int_ge(sd_bus_request_name(fake->connection, SYSTEMD, 0), 0);
    SA_ASSERT_OK(sa_os_cancel_create(&fake->cancel, pool));
    ck_assert_int_eq(sa_os_thread_start(&fake->thread, "systemd", run_fake, fake, pool), 0);
    apr_pool_pre_cleanup_register(pool, fake, end_fake);
    return fake;
}

/* ---- the tests ------------------------------------------------------------------- */

static sa_error_t *control(sa_os_service_state_t *state, fake_t *fake,
                           sa_os_service_action_t action, const char *name,
                           apr_interval_time_t time, apr_pool_t *pool)
{
    return sa_os_service_control(state, action, name, sa_os_clock_mono() + time, fake->cancel,
                                 pool);
}

/* ERR, which is cleared, has CODE and says TEXT. */
static void expect(sa_error_t *err, apr_status_t code, const char *text)
{
    char found[512];

    sa_error_text(err, found, sizeof(found));
    ck_assert_msg(err && err->code == code, "not %d: %s", (int)code, found);
    ck_assert_msg(strstr(found, text) != NULL, "no \"%s\" in: %s", text, found);
    sa_error_clear(err);
}

SA_TEST(each_action_is_its_method_and_the_state_afterwards_is_told)
{
    static const struct {
        sa_os_service_action_t action;
        const char *asked;
        const char *then;
        sa_os_service_status_t status;
    } rows[] = {
        {SA_OS_SERVICE_START, "StartUnit web.service replace", "active", SA_OS_SERVICE_RUNNING},
        {SA_OS_SERVICE_STOP, "StopUnit web.service replace", "inactive", SA_OS_SERVICE_STOPPED},
        {SA_OS_SERVICE_RESTART, "RestartUnit web.service replace", "active",
         SA_OS_SERVICE_RUNNING},
        {SA_OS_SERVICE_RELOAD, "ReloadUnit web.service replace", "active", SA_OS_SERVICE_RUNNING},
        {SA_OS_SERVICE_STATUS, "", NULL, SA_OS_SERVICE_STOPPED},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        apr_pool_t *turn_pool = sa_pool_create(pool);
        fake_t wanted = {.active_then = rows[i].then, .result = "done"};
        fake_t *fake = start_fake(&wanted, turn_pool);
        sa_os_service_state_t state;

        SA_ASSERT_OK(control(&state, fake, rows[i].action, i % 2 ? "web" : "web.service", LONG,
                             turn_pool));
        ck_assert_str_eq(asked(fake), rows[i].asked);
        ck_assert_int_eq(state.status, rows[i].status);
        ck_assert_str_eq(state.unit, "web.service");
        ck_assert_uint_eq(state.restarts, 3);
        apr_pool_destroy(turn_pool);
    }
}

SA_TEST(a_job_that_ends_before_it_is_named_has_ended)
{
    fake_t wanted = {.active_then = "active", .result = "done", .before_answer = true,
                     .noise = true};
    fake_t *fake = start_fake(&wanted, pool);
    sa_os_service_state_t state;

    SA_ASSERT_OK(control(&state, fake, SA_OS_SERVICE_START, "web", LONG, pool));
}

SA_TEST(the_end_of_other_jobs_says_nothing)
{
    fake_t wanted = {.active_then = "active", .result = "done", .noise = true};
    fake_t *fake = start_fake(&wanted, pool);
    sa_os_service_state_t state;

    SA_ASSERT_OK(control(&state, fake, SA_OS_SERVICE_START, "web", LONG, pool));
}

SA_TEST(somebody_who_pretends_to_be_systemd_is_not_heard)
{
    fake_t wanted = {.result = "failed", .forged = true};
    fake_t *fake = start_fake(&wanted, pool);
    sa_os_service_state_t state;

    expect(control(&state, fake, SA_OS_SERVICE_STOP, "web", LONG, pool), SA_ERR_SERVICE_FAILED,
           "it failed");
}

SA_TEST(systemd_may_re_execute_itself_meanwhile)
{
    fake_t wanted = {.active_then = "active", .result = "done", .reexecutes = true};
    fake_t *fake = start_fake(&wanted, pool);
    sa_os_service_state_t state;

    SA_ASSERT_OK(control(&state, fake, SA_OS_SERVICE_START, "web", LONG, pool));
}

SA_TEST(what_fails_at_once_was_not_started)
{
    fake_t wanted = {.active_then = "failed", .sub_then = "failed", .result = "done"};
    fake_t *fake = start_fake(&wanted, pool);
    sa_os_service_state_t state;

    expect(control(&state, fake, SA_OS_SERVICE_START, "web", LONG, pool), SA_ERR_SERVICE_FAILED,
           "it ended at once");
    ck_assert_int_eq(state.status, SA_OS_SERVICE_FAILED);
    ck_assert_str_eq(state.result, "exit-code");
    ck_assert(state.has_exit_code && state.exit_code == 7);
}

SA_TEST(nor_was_what_is_to_be_started_again)
{
    fake_t wanted = {.active_then = "activating", .sub_then = "auto-restart", .result = "done"};
    fake_t *fake = start_fake(&wanted, pool);
    sa_os_service_state_t state;

    expect(control(&state, fake, SA_OS_SERVICE_RESTART, "web", LONG, pool), SA_ERR_SERVICE_FAILED,
           "it ended at once");
    ck_assert(state.restarts_itself);
}

SA_TEST(a_refusal_has_its_reason_and_polkits_the_mend)
{
    static const struct {
        const char *name;
        const char *text;
        apr_status_t code;
        const char *found;
    } rows[] = {
        {SD_BUS_ERROR_ACCESS_DENIED, "Access denied", SA_ERR_DENIED,
         "polkit does not let the agent stop web.service (Access denied); the rule that does is "
         "printed by: stone-age-agent polkit"},
        {SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, "Interactive authentication required.",
         SA_ERR_DENIED, "stone-age-agent polkit"},
        {SYSTEMD ".NoSuchUnit", "Unit web.service not found.", SA_ERR_SERVICE_FAILED,
         "Unit web.service not found"},
        {SD_BUS_ERROR_LIMITS_EXCEEDED, "Too many of them", SA_ERR_SERVICES, "Too many of them"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        apr_pool_t *turn_pool = sa_pool_create(pool);
        fake_t wanted = {.refusal = rows[i].name, .refusal_text = rows[i].text,
                         .active = "active"};
        fake_t *fake = start_fake(&wanted, turn_pool);
        sa_os_service_state_t state;

        expect(control(&state, fake, SA_OS_SERVICE_STOP, "web", LONG, turn_pool), rows[i].code,
               rows[i].found);
        ck_assert_int_eq(state.status, SA_OS_SERVICE_RUNNING);
        apr_pool_destroy(turn_pool);
    }
}

SA_TEST(hostile_55_what_is_no_exact_name_reaches_nobody)
{
    static const char *const names[] = {
        "nginx; reboot", "--now", "-H evil", "-Hevil", "nginx.service/../x", "*", "ng?nx", "[a-z]*",
        "foo@$(id)", "foo@", "foo@.service", "@x", "", "-", "-.mount", ".", "..", "nginx\n",
        "nginx ", " nginx", "nginx.service\t", "n\xc3\xa4me", "\xff", "a,b", "a b.service",
        "%n", "~", "$IFS", "nginx\xef\xbc\x9b", "nginx:\x01",
    };
    fake_t wanted = {.result = "done"};
    fake_t *fake = start_fake(&wanted, pool);
    char long_name[1024];
    sa_os_service_state_t state;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (int action = SA_OS_SERVICE_START; action <= SA_OS_SERVICE_STATUS; action++) {
            expect(control(&state, fake, (sa_os_service_action_t)action, names[i], LONG, pool),
                   SA_ERR_REFUSED, "it is no exact name of a service");
        }
    }
    memset(long_name, 'a', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    expect(control(&state, fake, SA_OS_SERVICE_START, long_name, LONG, pool), SA_ERR_REFUSED,
           "it is no exact name");
    ck_assert_uint_eq(apr_atomic_read32(&fake->calls), 0);
}

SA_TEST(hostile_55_the_alias_of_another_unit_is_refused)
{
    fake_t wanted = {.id = "nginx.service", .result = "done", .active = "active"};
    fake_t *fake = start_fake(&wanted, pool);
    sa_os_service_state_t state;

    for (int action = SA_OS_SERVICE_START; action <= SA_OS_SERVICE_STATUS; action++) {
        expect(control(&state, fake, (sa_os_service_action_t)action, "web", LONG, pool),
               SA_ERR_REFUSED, "web.service is another name of nginx.service");
        ck_assert_int_eq(state.status, SA_OS_SERVICE_UNKNOWN);
    }
    ck_assert_str_eq(asked(fake), "");
}

SA_TEST(hostile_55_the_agents_own_unit_is_refused)
{
    static const char *const ids[] = {"web.service", "nginx.service"};

    for (size_t i = 0; i < 2; i++) {
        apr_pool_t *turn_pool = sa_pool_create(pool);
        fake_t wanted = {.id = ids[i], .result = "done"};
        fake_t *fake = start_fake(&wanted, turn_pool);
        sa_os_service_state_t state;

        own_unit = ids[i];
        expect(control(&state, fake, SA_OS_SERVICE_RESTART, "web", LONG, turn_pool), SA_ERR_REFUSED,
               "it is the agent itself");
        ck_assert_str_eq(asked(fake), "");
        own_unit = NULL;
        if (i == 0) {
            SA_ASSERT_OK(control(&state, fake, SA_OS_SERVICE_STOP, "web", LONG, turn_pool));
        }
        apr_pool_destroy(turn_pool);
    }
}

SA_TEST(hostile_56_a_service_that_hangs_in_its_stop_is_left_at_the_deadline)
{
    fake_t wanted = {.active = "active", .active_then = "deactivating", .sub_then = "stop"};
    fake_t *fake = start_fake(&wanted, pool);
    apr_interval_time_t began = sa_os_clock_mono();
    sa_os_service_state_t state;

    expect(control(&state, fake, SA_OS_SERVICE_STOP, "web", SHORT, pool), SA_ERR_TIMEOUT,
           "it is not done in time; systemd goes on with it");
    ck_assert_int_eq(state.status, SA_OS_SERVICE_STOPPING);
    ck_assert_str_eq(state.substate, "stop");
    SA_ASSERT_IN_TIME(sa_os_clock_mono() - began, SHORT + apr_time_from_sec(2));
}

SA_TEST(hostile_56_a_systemd_that_says_nothing_is_left_at_the_deadline)
{
    for (int i = 0; i < 2; i++) {
        apr_pool_t *turn_pool = sa_pool_create(pool);
        fake_t wanted = {.dead = i == 0, .mute = true, .active = "active"};
        fake_t *fake = start_fake(&wanted, turn_pool);
        apr_interval_time_t began = sa_os_clock_mono();
        sa_os_service_state_t state;

        expect(control(&state, fake, SA_OS_SERVICE_STOP, "web", SHORT, turn_pool), SA_ERR_TIMEOUT,
               "systemd does not answer");
        ck_assert_int_eq(state.status, i == 0 ? SA_OS_SERVICE_UNKNOWN : SA_OS_SERVICE_RUNNING);
        SA_ASSERT_IN_TIME(sa_os_clock_mono() - began, SHORT + apr_time_from_sec(4));
        apr_pool_destroy(turn_pool);
    }
}

SA_TEST(hostile_57_a_description_that_looks_like_a_state_is_none)
{
    /* the fake's is "ActiveState=active" */
    fake_t wanted = {.active = "failed"};
    fake_t *fake = start_fake(&wanted, pool);
    sa_os_service_state_t state;

    SA_ASSERT_OK(control(&state, fake, SA_OS_SERVICE_STATUS, "web", LONG, pool));
    ck_assert_int_eq(state.status, SA_OS_SERVICE_FAILED);
}

static void cancel_it(fake_t *fake)
{
    sa_os_cancel(fake->cancel);
}

SA_TEST(a_wait_can_be_cancelled)
{
    fake_t wanted = {.active_then = "deactivating", .on_job = cancel_it};
    fake_t *fake = start_fake(&wanted, pool);
    apr_interval_time_t began = sa_os_clock_mono();
    sa_os_service_state_t state;

    expect(control(&state, fake, SA_OS_SERVICE_STOP, "web", LONG, pool), SA_ERR_CANCELLED,
           "cancelled; systemd goes on with it");
    ck_assert_int_eq(state.status, SA_OS_SERVICE_STOPPING);
    SA_ASSERT_IN_TIME(sa_os_clock_mono() - began, apr_time_from_sec(5));
}

static void kill_bus(fake_t *fake)
{
    kill(fake->bus->pid, SIGKILL);
}

SA_TEST(a_bus_that_goes_meanwhile_is_an_error_at_once)
{
    fake_t wanted = {.active_then = "deactivating", .on_job = kill_bus};
    fake_t *fake = start_fake(&wanted, pool);
    apr_interval_time_t began = sa_os_clock_mono();
    sa_os_service_state_t state;

    expect(control(&state, fake, SA_OS_SERVICE_STOP, "web", LONG, pool), SA_ERR_SERVICES,
           "asking systemd failed");
    ck_assert_int_eq(state.status, SA_OS_SERVICE_UNKNOWN);
    SA_ASSERT_IN_TIME(sa_os_clock_mono() - began, apr_time_from_sec(5));
}

SA_TEST(without_a_bus_there_is_no_control)
{
    sa_os_service_state_t state;
    sa_error_t *err;

    ck_assert_int_eq(apr_env_set("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus", pool),
                     APR_SUCCESS);
    err = sa_os_service_control(&state, SA_OS_SERVICE_START, "web", sa_os_clock_mono() + LONG, NULL,
                                pool);
    ck_assert_ptr_nonnull(err);
    sa_error_clear(err);
}

SA_TEST(a_job_has_ended_well_or_has_a_reason)
{
    static const struct {
        const char *result;
        const char *text;
    } rows[] = {
        {"failed", "it failed"}, {"canceled", "another request took its place"},
        {"timeout", "systemd gave up waiting for it"}, {"dependency", "what it needs failed"},
        {"invalid", "it does not run"}, {"assert", "an assertion of the unit failed"},
        {"unsupported", "this system has no units of its type"},
        {"collected", "systemd dropped it"}, {"once", "it was started once already"},
        {"frozen", "it is frozen"}, {"unheard-of", "its job ended as \"unheard-of\""},
    };

    (void)pool;
    SA_ASSERT_OK(sa_os__job_error("done"));
    SA_ASSERT_OK(sa_os__job_error("skipped"));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        expect(sa_os__job_error(rows[i].result), SA_ERR_SERVICE_FAILED, rows[i].text);
    }
}

/* ---- the rule -------------------------------------------------------------------- */

static const char *rule(const char *const *names, const char *user, apr_pool_t *pool)
{
    apr_array_header_t *list = apr_array_make(pool, 8, sizeof(const char *));
    sa_buf_t *text = apr_palloc(pool, sizeof(*text));

    for (; *names; names++) {
        APR_ARRAY_PUSH(list, const char *) = *names;
    }
    sa_buf_init(text, 65536, pool);
    SA_ASSERT_OK(sa_os_service_rule(text, list, user, pool));
    return text->data;
}

SA_TEST(the_rule_of_polkit_names_the_units_and_nothing_else)
{
    static const char *const names[] = {"web", "getty@tty1", NULL};

    ck_assert_str_eq(rule(names, "stone-age", pool),
        "// Lets the Stone-Age agent control the services of commands.allowed_services, and no\n"
        "// others.  Made by `stone-age-agent polkit`: make it anew when that list changes.\n"
        "//\n"
        "//     /etc/polkit-1/rules.d/50-stone-age-agent.rules   (root, 0644; read at once)\n"
        "polkit.addRule(function(action, subject) {\n"
        "    if (action.id != \"org.freedesktop.systemd1.manage-units\""
        " || subject.user != \"stone-age\") {\n"
        "        return polkit.Result.NOT_HANDLED;\n"
        "    }\n"
        "    var verbs = [\"start\", \"stop\", \"restart\", \"reload\"];\n"
        "    var units = [\n"
        "        \"getty@tty1.service\",\n"
        "        \"web.service\"\n"
        "    ];\n"
        "    if (units.indexOf(action.lookup(\"unit\")) < 0\n"
        "        || verbs.indexOf(action.lookup(\"verb\")) < 0) {\n"
        "        return polkit.Result.NO;\n"
        "    }\n"
        "    return polkit.Result.YES;\n"
        "});\n");
}

SA_TEST(the_rule_is_the_same_for_the_same_services_in_whatever_order)
{
    static const char *const one[] = {"web", "web.service", "a.timer", "dev-disk\\x2d1.device",
                                      NULL};
    static const char *const other[] = {"dev-disk\\x2d1.device", "a.timer", "web", NULL};
    static const char *const none[] = {NULL};

    ck_assert_str_eq(rule(one, "nobody", pool), rule(other, "nobody", pool));
    ck_assert_ptr_nonnull(strstr(rule(one, "nobody", pool), "\"dev-disk\\\\x2d1.device\",\n"));
    ck_assert_ptr_nonnull(strstr(rule(none, "nobody", pool), "var units = [];\n"));
}

SA_TEST(what_would_break_out_of_the_rule_is_refused)
{
    static const char *const users[] = {"", "-x", "a\"b", "a\\", "a\nb", "a b", "\xc3\xa4", "a;b"};
    static const char *const bad[] = {"web\"", "*", "web\n", "foo@", "web/"};
    apr_array_header_t *names = apr_array_make(pool, 1, sizeof(const char *));
    sa_buf_t *text = apr_palloc(pool, sizeof(*text));

    sa_buf_init(text, 65536, pool);
    for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
        expect(sa_os_service_rule(text, names, users[i], pool), SA_ERR_CONFIG,
               "is no name of a user");
    }
    apr_array_push(names);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        APR_ARRAY_IDX(names, 0, const char *) = bad[i];
        expect(sa_os_service_rule(text, names, "stone-age", pool), SA_ERR_CONFIG,
               "is no name of a service");
    }
    ck_assert_uint_eq(text->length, 0);
}

SA_TEST_MAIN("os_service_control", each_action_is_its_method_and_the_state_afterwards_is_told,
             a_job_that_ends_before_it_is_named_has_ended, the_end_of_other_jobs_says_nothing,
             somebody_who_pretends_to_be_systemd_is_not_heard,
             systemd_may_re_execute_itself_meanwhile, what_fails_at_once_was_not_started,
             nor_was_what_is_to_be_started_again, a_refusal_has_its_reason_and_polkits_the_mend,
             hostile_55_what_is_no_exact_name_reaches_nobody,
             hostile_55_the_alias_of_another_unit_is_refused,
             hostile_55_the_agents_own_unit_is_refused,
             hostile_56_a_service_that_hangs_in_its_stop_is_left_at_the_deadline,
             hostile_56_a_systemd_that_says_nothing_is_left_at_the_deadline,
             hostile_57_a_description_that_looks_like_a_state_is_none, a_wait_can_be_cancelled,
             a_bus_that_goes_meanwhile_is_an_error_at_once, without_a_bus_there_is_no_control,
             a_job_has_ended_well_or_has_a_reason,
             the_rule_of_polkit_names_the_units_and_nothing_else,
             the_rule_is_the_same_for_the_same_services_in_whatever_order,
             what_would_break_out_of_the_rule_is_refused)
