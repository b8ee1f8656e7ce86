/* os: what systemd's words mean, and a machine without it. */
#include "sa_os_services.h"

#include <stdlib.h>

#include <apr_env.h>

#include "../../src/os/linux/sa_os_linux.h"
#include "sa_os_clock.h"
#include "sa_os_thread.h"
#include "sa_test.h"

SA_TEST(states_have_the_words_of_the_contract)
{
    static const struct {
        const char *load;
        const char *active;
        sa_os_service_status_t status;
    } rows[] = {
        {"loaded", "active", SA_OS_SERVICE_RUNNING},
        {"loaded", "reloading", SA_OS_SERVICE_RUNNING},
        {"loaded", "refreshing", SA_OS_SERVICE_RUNNING},
        {"loaded", "inactive", SA_OS_SERVICE_STOPPED},
        {"bad-setting", "inactive", SA_OS_SERVICE_STOPPED},
        {"masked", "active", SA_OS_SERVICE_RUNNING},
        {"masked", "inactive", SA_OS_SERVICE_STOPPED},
        {"loaded", "activating", SA_OS_SERVICE_STARTING},
        {"loaded", "deactivating", SA_OS_SERVICE_STOPPING},
        {"loaded", "failed", SA_OS_SERVICE_FAILED},
        {"not-found", "inactive", SA_OS_SERVICE_NOT_INSTALLED},
        {"not-found", "active", SA_OS_SERVICE_NOT_INSTALLED},
        {"loaded", "maintenance", SA_OS_SERVICE_UNKNOWN},
        {"", "", SA_OS_SERVICE_UNKNOWN},
    };

    (void)pool;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_msg(sa_os__service_status(rows[i].load, rows[i].active) == rows[i].status,
                      "%s %s", rows[i].load, rows[i].active);
    }
}

SA_TEST(names_become_names_of_units)
{
    static const struct {
        const char *name;
        const char *unit;       /* NULL: refused */
    } rows[] = {
        {"nginx", "nginx.service"}, {"nginx.service", "nginx.service"},
        {"php8.2-fpm", "php8.2-fpm.service"}, {"backup.timer", "backup.timer"},
        {"dbus.socket", "dbus.socket"}, {"getty@tty1", "getty@tty1.service"},
        {"a@b.c", "a@b.c.service"}, {"dev-disk\\x2d1.device", "dev-disk\\x2d1.device"},
        {"", NULL}, {"getty@", NULL}, {"getty@.service", NULL}, {"ssh*", NULL}, {"a b", NULL},
        {"a/b", NULL}, {"../x", NULL}, {"@x", NULL}, {"\xc3\xa4", NULL}, {"a?", NULL},
    };

    (void)pool;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char unit[SA_OS_SERVICE_NAME_SIZE];
        bool good = sa_os__service_unit_name(unit, rows[i].name);

        ck_assert_msg(good == (rows[i].unit != NULL), "%s", rows[i].name);
        if (good) {
            ck_assert_str_eq(unit, rows[i].unit);
        }
    }
}

SA_TEST(a_name_that_is_too_long_is_refused)
{
    char unit[SA_OS_SERVICE_NAME_SIZE];
    char name[300];

    (void)pool;
    memset(name, 'a', sizeof(name));
    name[248] = '\0';
    ck_assert(!sa_os__service_unit_name(unit, name));
    name[247] = '\0';
    ck_assert(sa_os__service_unit_name(unit, name));
    ck_assert_uint_eq(strlen(unit), 255);
}

SA_TEST(the_end_of_a_process_is_a_code_or_a_signal)
{
    sa_os_service_state_t state = {0};

    (void)pool;
    sa_os__service_exit(&state, 1, 7);
    ck_assert(state.has_exit_code && state.exit_code == 7 && !state.signal);
    sa_os__service_exit(&state, 2, 9);
    ck_assert(!state.has_exit_code);
    ck_assert_str_eq(state.signal, "SIGKILL");
    sa_os__service_exit(&state, 3, 11);
    ck_assert_str_eq(state.signal, "SIGSEGV");
    sa_os__service_exit(&state, 2, 64);
    ck_assert_str_eq(state.signal, "SIGRT");
    sa_os__service_exit(&state, 0, 0);
    ck_assert(!state.has_exit_code && !state.signal);
}

static void refuse_state(void *baton, int place, const sa_os_service_state_t *state)
{
    (void)baton;
    ck_abort_msg("a state of %d: %d", place, (int)state->status);
}

static sa_os_services_t *open_services(const char *name, apr_pool_t *pool)
{
    apr_array_header_t *names = apr_array_make(pool, 1, sizeof(const char *));
    sa_os_services_t *services;

    APR_ARRAY_PUSH(names, const char *) = name;
    SA_ASSERT_OK(sa_os_services_open(&services, refuse_state, NULL, pool));
    SA_ASSERT_OK(sa_os_services_watch(services, names));
    return services;
}

/* Without systemd: SA_ERR_NOT_ON_THIS_OS; with it, but no bus: the connection fails.
 * Either way at once, and nothing is said of the service. */
SA_TEST(without_a_bus_asking_fails_at_once)
{
    apr_interval_time_t began = sa_os_clock_mono();
    sa_os_services_t *services;
    sa_error_t *err;

    ck_assert_int_eq(apr_env_set("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus", pool),
                     APR_SUCCESS);
    services = open_services("web", pool);
    for (int i = 0; i < 3; i++) {
        err = sa_os_services_refresh(services, began + apr_time_from_sec(60));
        ck_assert_ptr_nonnull(err);
        sa_error_clear(err);
        SA_ASSERT_OK(sa_os_services_wait(services, sa_os_clock_mono() + 1000));
    }
    ck_assert(!sa_os_services_is_up(services));
    SA_ASSERT_IN_TIME(sa_os_clock_mono() - began, apr_time_from_sec(20));
}

SA_TEST(a_waiting_thread_can_be_woken)
{
    sa_os_services_t *services = open_services("web", pool);
    apr_interval_time_t began = sa_os_clock_mono();

    sa_os_services_wake(services);
    sa_os_services_wake(services);
    SA_ASSERT_OK(sa_os_services_wait(services, began + apr_time_from_sec(600)));
    SA_ASSERT_IN_TIME(sa_os_clock_mono() - began, apr_time_from_sec(60));
}

SA_TEST(too_many_and_wrong_names_are_refused)
{
    apr_array_header_t *names = apr_array_make(pool, 300, sizeof(const char *));
    sa_os_services_t *services = open_services("web", pool);

    APR_ARRAY_PUSH(names, const char *) = "getty@";
    SA_ASSERT_ERR(sa_os_services_watch(services, names), SA_ERR_CONFIG);
    for (int i = 0; i < SA_OS_SERVICES_MAX; i++) {
        APR_ARRAY_PUSH(names, const char *) = "x";
    }
    SA_ASSERT_ERR(sa_os_services_watch(services, names), SA_ERR_LIMIT);
}

SA_TEST_MAIN("os_services", states_have_the_words_of_the_contract, names_become_names_of_units,
             a_name_that_is_too_long_is_refused, the_end_of_a_process_is_a_code_or_a_signal,
             without_a_bus_asking_fails_at_once, a_waiting_thread_can_be_woken,
             too_many_and_wrong_names_are_refused)
