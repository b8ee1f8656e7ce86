/* os: services, by systemd over one kept connection to the system bus (sd-bus).
 *
 * Every call is asynchronous and has a timeout, and replies are taken in the order
 * in which they come, between the signals: an old signal is never mistaken for news
 * about a newer reading.  Facts of systemd this stands on:
 * - There are no signals unless somebody has called Manager.Subscribe; after a
 *   new owner of its name (daemon-reexec) it must be called again.
 * - PropertiesChanged comes apart: the type's interface (Result, NRestarts) before
 *   that of all units (ActiveState, SubState).
 * - A stopped unit is unloaded and loaded again by whoever asks for it, us as
 *   well: UnitNew says nothing.  Its first signal after a start may be UnitNew
 *   instead of PropertiesChanged; JobRemoved comes in any case. */
#include "sa_os_services.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/eventfd.h>

#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>

#include <apr_strings.h>

#include "sa_backoff.h"
#include "sa_os_clock.h"
#include "sa_os_linux.h"
#include "sa_os_thread.h"
#include "sa_pool.h"

#define SYSTEMD "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define MANAGER SYSTEMD ".Manager"
#define UNIT SYSTEMD ".Unit"
#define UNIT_PATH MANAGER_PATH "/unit"
#define PROPERTIES "org.freedesktop.DBus.Properties"

#define CALL_TIMEOUT (5 * APR_INT64_C(1000000))
#define RETRY_FIRST (APR_INT64_C(100) * 1000)
#define RETRY_MAX (10 * APR_INT64_C(1000000))
/* Calls on their way at a time: dbus-daemon ends a connection's patience at 128. */
#define GETS_MAX 32
/* Messages taken before anything else has its turn. */
#define BATCH 1024
/* A unit that its own signals spoke of this recently needs no word of its jobs. */
#define HEARD_LATELY (1 * APR_INT64_C(1000000))

typedef enum property_t {
    ACTIVE_STATE, SUB_STATE, ACTIVE_ENTER, ACTIVE_EXIT, INACTIVE_ENTER, INACTIVE_EXIT,
    RESULT, RESTARTS, EXIT_KIND, EXIT_STATUS, PROPERTY_COUNT
} property_t;

static const struct {
    const char *name;
    const char *type;
    bool of_unit;               /* else of the unit's type */
} properties[PROPERTY_COUNT] = {
    [ACTIVE_STATE] = {"ActiveState", "s", true},
    [SUB_STATE] = {"SubState", "s", true},
    [ACTIVE_ENTER] = {"ActiveEnterTimestamp", "t", true},
    [ACTIVE_EXIT] = {"ActiveExitTimestamp", "t", true},
    [INACTIVE_ENTER] = {"InactiveEnterTimestamp", "t", true},
    [INACTIVE_EXIT] = {"InactiveExitTimestamp", "t", true},
    [RESULT] = {"Result", "s", false},
    [RESTARTS] = {"NRestarts", "u", false},
    [EXIT_KIND] = {"ExecMainCode", "i", false},
    [EXIT_STATUS] = {"ExecMainStatus", "i", false},
};

typedef struct unit_t unit_t;

/* One Get on its way. */
typedef struct get_t {
    unit_t *unit;
    property_t property;
} get_t;

struct unit_t {
    sa_os_services_t *services;
    int place;
    char asked[SA_OS_SERVICE_NAME_SIZE];    /* the full name of what was asked for */
    const char *path;                       /* its object */
    const char *real_path;                  /* that of the unit behind an alias, or PATH */
    char *alias_path;                       /* room for it */
    size_t alias_size;
    sd_bus_slot *real_match;
    char active[SA_OS_SERVICE_WORD_SIZE];
    apr_uint64_t numbers[PROPERTY_COUNT];   /* those that are numbers */
    get_t gets[PROPERTY_COUNT];
    unsigned int gets_wanted;               /* a bit for each property still to be asked for */
    int gets_running;
    bool unread;                /* one of them had no answer */
    bool known;                 /* all that there is to know is there, and was told */
    bool stale;                 /* the connection was away since */
    bool untold;                /* news of its type, none of the unit yet */
    apr_interval_time_t heard_at;
    sa_os_service_state_t state;
};

struct sa_os_services_t {
    sa_os_service_fn_t fn;
    void *baton;
    apr_pool_t *pool;
    apr_pool_t *watch_pool;     /* of the units */
    int wake_fd;
    bool woken;
    unit_t *units;
    int unit_count;
    sd_bus *bus;                /* NULL: not connected */
    sa_backoff_t backoff;
    apr_interval_time_t retry_at;
    apr_status_t lost_code;     /* why there is no connection */
    char lost[SA_OS_SERVICE_ERROR_SIZE];
    bool listing;               /* ListUnitsByNames is on its way */
    bool list_again;
    bool answered;              /* the last one came */
    int gets_running;
    int units_wanting;          /* units with gets_wanted */
    int next_wanting;           /* where to look for one */
    bool some_untold;
    char list_error[SA_OS_SERVICE_ERROR_SIZE];
};

/* ---- what a state means ---------------------------------------------------- */

sa_os_service_status_t sa_os__service_status(const char *load, const char *active)
{
    static const struct {
        const char *active;
        sa_os_service_status_t status;
    } rows[] = {
        {"active", SA_OS_SERVICE_RUNNING}, {"reloading", SA_OS_SERVICE_RUNNING},
        {"refreshing", SA_OS_SERVICE_RUNNING}, {"inactive", SA_OS_SERVICE_STOPPED},
        {"activating", SA_OS_SERVICE_STARTING}, {"deactivating", SA_OS_SERVICE_STOPPING},
        {"failed", SA_OS_SERVICE_FAILED},
    };

    if (strcmp(load, "not-found") == 0) {
        return SA_OS_SERVICE_NOT_INSTALLED;
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(active, rows[i].active) == 0) {
            return rows[i].status;
        }
    }
    return SA_OS_SERVICE_UNKNOWN;
}

/* The types of systemd.unit(5) and the interface of each, NULL when it has no Result. */
static const struct {
    const char *suffix;
    const char *interface;
} unit_types[] = {
    {".service", SYSTEMD ".Service"}, {".socket", SYSTEMD ".Socket"},
    {".timer", SYSTEMD ".Timer"}, {".path", SYSTEMD ".Path"}, {".mount", SYSTEMD ".Mount"},
    {".automount", SYSTEMD ".Automount"}, {".swap", SYSTEMD ".Swap"},
    {".scope", SYSTEMD ".Scope"}, {".target", NULL}, {".slice", NULL}, {".device", NULL},
};

static int type_of(const char *name)
{
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; dot && i < sizeof(unit_types) / sizeof(unit_types[0]); i++) {
        if (strcmp(dot, unit_types[i].suffix) == 0) {
            return (int)i;
        }
    }
    return -1;
}

bool sa_os__service_unit_name(char unit[SA_OS_SERVICE_NAME_SIZE], const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789:-_.\\@";
    const char *suffix = type_of(name) < 0 ? ".service" : "";
    const char *at = strchr(name, '@');
    const char *dot;

    if (!*name || *name == '@' || *name == '.' || name[strspn(name, allowed)]
        || strlen(name) + strlen(suffix) >= SA_OS_SERVICE_NAME_SIZE) {
        return false;
    }
    apr_snprintf(unit, SA_OS_SERVICE_NAME_SIZE, "%s%s", name, suffix);
    dot = strrchr(unit, '.');
    at = at ? unit + (at - name) : NULL;
    return !at || dot != at + 1;    /* a template without its instance is no unit */
}

const char *sa_os__signal_name(int number)
{
    static const char *const names[] = {
        "", "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE",
        "SIGKILL", "SIGUSR1", "SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGSTKFLT",
        "SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGXCPU",
        "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO", "SIGPWR", "SIGSYS",
    };

    if (number <= 0 || number >= (int)(sizeof(names) / sizeof(names[0]))) {
        return "SIGRT";
    }
    return names[number];
}

void sa_os__service_exit(sa_os_service_state_t *state, int kind, int status)
{
    /* siginfo's: CLD_EXITED, CLD_KILLED, CLD_DUMPED */
    state->has_exit_code = kind == 1;
    state->exit_code = kind == 1 ? status : 0;
    state->signal = kind == 2 || kind == 3 ? sa_os__signal_name(status) : NULL;
}

/* ---- telling ----------------------------------------------------------------- */

static property_t stamp_of(sa_os_service_status_t status)
{
    switch (status) {
    case SA_OS_SERVICE_RUNNING:
        return ACTIVE_ENTER;
    case SA_OS_SERVICE_STARTING:
        return INACTIVE_EXIT;
    case SA_OS_SERVICE_STOPPING:
        return ACTIVE_EXIT;
    default:
        return INACTIVE_ENTER;
    }
}

static void tell(unit_t *unit)
{
    sa_os_service_state_t *state = &unit->state;
    bool is_service = type_of(state->unit) == 0;

    unit->untold = false;
    state->status = sa_os__service_status(state->load, unit->active);
    state->restarts_itself = strncmp(state->substate, "auto-restart", 12) == 0;
    state->has_restarts = is_service && state->status != SA_OS_SERVICE_NOT_INSTALLED;
    state->restarts = unit->numbers[RESTARTS];
    sa_os__service_exit(state, (int)unit->numbers[EXIT_KIND], (int)unit->numbers[EXIT_STATUS]);
    state->since = (apr_time_t)unit->numbers[stamp_of(state->status)];
    if (*state->error) {
        state->status = SA_OS_SERVICE_FAILED;
    }
    unit->services->fn(unit->services->baton, unit->place, state);
}

static void forget_details(unit_t *unit)
{
    memset(unit->numbers, 0, sizeof(unit->numbers));
    unit->state.result[0] = '\0';
    unit->state.error[0] = '\0';
}

/* Read the variant that MESSAGE stands at as PROPERTY of UNIT; negative errno. */
static int take_value(unit_t *unit, property_t property, sd_bus_message *message)
{
    const char *text = NULL;
    uint64_t wide = 0;
    uint32_t number = 0;
    char *place = property == ACTIVE_STATE ? unit->active
                  : property == SUB_STATE  ? unit->state.substate
                                           : unit->state.result;
    int r;

    switch (properties[property].type[0]) {
    case 's':
        r = sd_bus_message_read(message, "v", "s", &text);
        if (r >= 0) {
            apr_cpystrn(place, text, SA_OS_SERVICE_WORD_SIZE);
        }
        return r;
    case 't':
        r = sd_bus_message_read(message, "v", "t", &wide);
        break;
    default:            /* u, i: the same size */
        r = sd_bus_message_read(message, "v", properties[property].type, &number);
        wide = number;
        break;
    }
    if (r >= 0) {
        unit->numbers[property] = wide;
    }
    return r;
}

/* ---- calls ------------------------------------------------------------------- */

static int send_call(sa_os_services_t *services, sd_bus_message *call,
                     sd_bus_message_handler_t fn, void *baton)
{
    int r = sd_bus_message_set_auto_start(call, 0);

    if (r >= 0) {
        r = sd_bus_call_async(services->bus, NULL, call, fn, baton, CALL_TIMEOUT);
    }
    sd_bus_message_unref(call);
    return r;
}

/* Nobody answered: it says nothing of what was asked about. */
static bool is_silence(sd_bus_message *reply)
{
    static const char *const names[] = {
        SD_BUS_ERROR_NO_REPLY, SD_BUS_ERROR_TIMEOUT, SD_BUS_ERROR_DISCONNECTED,
        SD_BUS_ERROR_SERVICE_UNKNOWN, SD_BUS_ERROR_NAME_HAS_NO_OWNER
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (sd_bus_message_is_method_error(reply, names[i])) {
            return true;
        }
    }
    return false;
}

static void copy_error(char text[SA_OS_SERVICE_ERROR_SIZE], sd_bus_message *reply)
{
    const sd_bus_error *error = sd_bus_message_get_error(reply);

    if (is_silence(reply)) {
        apr_cpystrn(text, "systemd does not answer", SA_OS_SERVICE_ERROR_SIZE);
    } else {
        apr_cpystrn(text, error && error->message ? error->message : "no reason given",
                    SA_OS_SERVICE_ERROR_SIZE);
    }
}

/* No unit is to be blamed for it.  Those that were being read stay unknown: the next
 * listing asks for them again. */
static void give_up_gets(sa_os_services_t *services, const char *why)
{
    for (int i = 0; i < services->unit_count; i++) {
        unit_t *unit = &services->units[i];

        unit->gets_wanted = 0;
        unit->unread = unit->gets_running > 0;
    }
    services->units_wanting = 0;
    services->answered = false;
    apr_cpystrn(services->list_error, why, sizeof(services->list_error));
}

static void send_gets(sa_os_services_t *services);

static void note_read(unit_t *unit)
{
    if (unit->gets_running > 0 || unit->gets_wanted != 0) {
        return;
    }
    if (!unit->unread) {
        unit->known = true;
        unit->stale = false;
        tell(unit);
    }
    unit->unread = false;
}

static int on_get(sd_bus_message *reply, void *baton, sd_bus_error *unused)
{
    get_t *get = baton;
    unit_t *unit = get->unit;

    (void)unused;
    if (is_silence(reply)) {
        give_up_gets(unit->services, "systemd does not answer");
    } else if (!sd_bus_message_is_method_error(reply, NULL)) {
        (void)take_value(unit, get->property, reply);
    } else if (!sd_bus_message_is_method_error(reply, SD_BUS_ERROR_UNKNOWN_PROPERTY)) {
        copy_error(unit->state.error, reply);
    }                           /* an older systemd may lack one of them */
    unit->gets_running--;
    unit->services->gets_running--;
    note_read(unit);
    send_gets(unit->services);
    return 0;
}

static int get_property(unit_t *unit, property_t property)
{
    const char *interface = UNIT;
    sd_bus_message *call = NULL;
    int r;

    if (!properties[property].of_unit) {
        interface = unit_types[type_of(unit->state.unit)].interface;
    }
    r = sd_bus_message_new_method_call(unit->services->bus, &call, SYSTEMD, unit->real_path,
                                       PROPERTIES, "Get");
    if (r >= 0) {
        r = sd_bus_message_append(call, "ss", interface, properties[property].name);
    }
    if (r < 0) {
        sd_bus_message_unref(call);
        return r;
    }
    unit->gets[property] = (get_t){unit, property};
    r = send_call(unit->services, call, on_get, &unit->gets[property]);
    if (r >= 0) {
        unit->gets_running++;
        unit->services->gets_running++;
    }
    return r;
}

/* Send what UNIT still wants, as far as there is room; negative errno. */
static int send_gets_of(unit_t *unit)
{
    int r = 0;

    for (unsigned int i = 0;
         i < PROPERTY_COUNT && unit->services->gets_running < GETS_MAX && r >= 0; i++) {
        if (unit->gets_wanted & 1u << i) {
            unit->gets_wanted &= ~(1u << i);
            r = get_property(unit, (property_t)i);
        }
    }
    return r;
}

static void send_gets(sa_os_services_t *services)
{
    while (services->units_wanting > 0 && services->gets_running < GETS_MAX) {
        unit_t *unit = &services->units[services->next_wanting];

        if (unit->gets_wanted) {
            int r = send_gets_of(unit);

            if (r < 0) {
                char why[SA_OS_SERVICE_ERROR_SIZE];

                apr_snprintf(why, sizeof(why), "cannot ask systemd (%s)", strerror(-r));
                give_up_gets(services, why);
                return;
            }
            if (unit->gets_wanted) {
                return;
            }
            services->units_wanting--;
        }
        services->next_wanting = (services->next_wanting + 1) % services->unit_count;
    }
}

/* What a listing does not say: five more of a service, told when they are there. */
static void get_details(unit_t *unit)
{
    sa_os_service_status_t status = sa_os__service_status(unit->state.load, unit->active);
    int type = type_of(unit->state.unit);
    bool wanting = unit->gets_wanted != 0;

    unit->known = false;        /* a signal that comes before would be told with half of them */
    unit->unread = false;
    unit->gets_wanted = 1u << stamp_of(status);
    if (type >= 0 && unit_types[type].interface) {
        unit->gets_wanted |= 1u << RESULT;
    }
    if (type == 0) {
        unit->gets_wanted |= 1u << RESTARTS | 1u << EXIT_KIND | 1u << EXIT_STATUS;
    }
    unit->services->units_wanting += wanting ? 0 : 1;
    send_gets(unit->services);
}

/* ---- signals of units --------------------------------------------------------- */

static int find_property(const char *name, bool of_unit)
{
    for (int i = 0; i < PROPERTY_COUNT; i++) {
        if (properties[i].of_unit == of_unit && strcmp(properties[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

/* a{sv} */
static int take_values(unit_t *unit, bool of_unit, sd_bus_message *message)
{
    int r = sd_bus_message_enter_container(message, 'a', "{sv}");

    while (r >= 0) {
        const char *name;
        int property;

        r = sd_bus_message_enter_container(message, 'e', "sv");
        if (r <= 0) {
            break;
        }
        r = sd_bus_message_read(message, "s", &name);
        if (r < 0) {
            break;
        }
        property = find_property(name, of_unit);
        r = property < 0 ? sd_bus_message_skip(message, "v")
                         : take_value(unit, (property_t)property, message);
        if (r >= 0) {
            r = sd_bus_message_exit_container(message);
        }
    }
    return r < 0 ? r : sd_bus_message_exit_container(message);
}

static void list_units(sa_os_services_t *services);

static int on_properties(sd_bus_message *message, void *baton, sd_bus_error *unused)
{
    unit_t *unit = baton;
    const char *interface = "";
    int type = type_of(unit->state.unit);
    bool of_unit;

    (void)unused;
    if (sd_bus_message_read(message, "s", &interface) < 0) {
        return 0;
    }
    of_unit = strcmp(interface, UNIT) == 0;
    if (!of_unit && (type < 0 || !unit_types[type].interface
                     || strcmp(interface, unit_types[type].interface) != 0)) {
        return 0;
    }
    if (take_values(unit, of_unit, message) < 0) {
        return 0;
    }
    unit->heard_at = sa_os_clock_mono();
    if (!unit->known) {
        if (unit->gets_running == 0 && unit->gets_wanted == 0) {
            list_units(unit->services);     /* its reading had no answer */
        }
        return 0;               /* a reading is on its way, and is the newer one */
    }
    if (!of_unit) {
        unit->untold = true;
        unit->services->some_untold = true;
        return 0;
    }
    if (strcmp(unit->state.load, "loaded") != 0) {
        unit->stale = true;             /* it was not there, and now it moves: what is it? */
        list_units(unit->services);
    }
    if (strcmp(unit->state.load, "not-found") != 0) {
        tell(unit);
    }
    return 0;
}

/* An answer that changes nothing: a refusal to Subscribe shows in the listing beside
 * it ("already" is well), and past the bus's limit of matches a unit is read on
 * schedule all the same. */
static int on_ignored(sd_bus_message *reply, void *baton, sd_bus_error *unused)
{
    (void)reply;
    (void)baton;
    (void)unused;
    return 0;
}

static int match_properties(unit_t *unit, sd_bus_slot **slot, const char *path)
{
    return sd_bus_match_signal_async(unit->services->bus, slot, SYSTEMD, path, PROPERTIES,
                                     "PropertiesChanged", on_properties, on_ignored, unit);
}

/* What UNIT is called may be the alias of another: its signals come from there. */
static int follow(unit_t *unit, const char *path)
{
    if (strcmp(path, unit->real_path) == 0) {
        return 0;
    }
    sd_bus_slot_unref(unit->real_match);
    unit->real_match = NULL;
    unit->real_path = unit->path;
    if (strcmp(path, unit->path) == 0) {
        return 0;
    }
    if (strlen(path) >= unit->alias_size) {
        unit->alias_size = 2 * strlen(path);
        unit->alias_path = apr_palloc(unit->services->watch_pool, unit->alias_size);
    }
    apr_cpystrn(unit->alias_path, path, unit->alias_size);
    unit->real_path = unit->alias_path;
    return match_properties(unit, &unit->real_match, unit->real_path);
}

/* ---- listing -------------------------------------------------------------------- */

typedef struct listed_t {
    const char *id;
    const char *load;
    const char *active;
    const char *substate;
    const char *path;
} listed_t;

static int take_listed(unit_t *unit, const listed_t *listed)
{
    sa_os_service_state_t *state = &unit->state;
    int r;

    if (unit->known && !unit->stale && !*state->error && strcmp(state->unit, listed->id) == 0
        && strcmp(state->load, listed->load) == 0 && strcmp(unit->active, listed->active) == 0
        && strcmp(state->substate, listed->substate) == 0) {
        return 0;
    }
    r = follow(unit, listed->path);
    if (r < 0) {
        return r;
    }
    forget_details(unit);
    apr_cpystrn(state->unit, listed->id, sizeof(state->unit));
    apr_cpystrn(state->load, listed->load, sizeof(state->load));
    apr_cpystrn(state->substate, listed->substate, sizeof(state->substate));
    apr_cpystrn(unit->active, listed->active, sizeof(unit->active));
    if (strcmp(listed->load, "not-found") == 0) {
        unit->known = true;
        unit->stale = false;
        tell(unit);
        return 0;
    }
    get_details(unit);
    return 0;
}

static int take_list(sa_os_services_t *services, sd_bus_message *reply)
{
    int count = 0;
    int r = sd_bus_message_enter_container(reply, 'a', "(ssssssouso)");

    while (r > 0 && count < services->unit_count) {
        listed_t listed;

        r = sd_bus_message_read(reply, "(ssssssouso)", &listed.id, NULL, &listed.load,
                                &listed.active, &listed.substate, NULL, &listed.path, NULL, NULL,
                                NULL);
        if (r > 0) {
            r = take_listed(&services->units[count], &listed);
            count++;
            r = r < 0 ? r : 1;
        }
    }
    return r < 0 ? r : count == services->unit_count ? 0 : -EBADMSG;
}

static int on_list(sd_bus_message *reply, void *baton, sd_bus_error *unused)
{
    sa_os_services_t *services = baton;
    int r;

    (void)unused;
    services->listing = false;
    services->list_error[0] = '\0';
    if (sd_bus_message_is_method_error(reply, NULL)) {
        copy_error(services->list_error, reply);
    } else {
        r = take_list(services, reply);
        if (r < 0) {
            apr_snprintf(services->list_error, sizeof(services->list_error),
                         "systemd's list of units cannot be read (%s)", strerror(-r));
        }
    }
    services->answered = services->list_error[0] == '\0';
    if (services->list_again) {
        services->list_again = false;
        list_units(services);
    }
    return 0;
}

static int send_list(sa_os_services_t *services)
{
    sd_bus_message *call = NULL;
    int r = sd_bus_message_new_method_call(services->bus, &call, SYSTEMD, MANAGER_PATH, MANAGER,
                                           "ListUnitsByNames");

    if (r >= 0) {
        r = sd_bus_message_open_container(call, 'a', "s");
    }
    for (int i = 0; r >= 0 && i < services->unit_count; i++) {
        r = sd_bus_message_append(call, "s", services->units[i].asked);
    }
    if (r >= 0) {
        r = sd_bus_message_close_container(call);
    }
    if (r < 0) {
        sd_bus_message_unref(call);
        return r;
    }
    return send_call(services, call, on_list, services);
}

/* Ask for the states of all; one call at a time. */
static void list_units(sa_os_services_t *services)
{
    int r;

    if (services->listing) {
        services->list_again = true;
        return;
    }
    r = send_list(services);
    services->listing = r >= 0;
    if (r < 0) {
        services->answered = false;
        apr_snprintf(services->list_error, sizeof(services->list_error),
                     "cannot ask systemd (%s)", strerror(-r));
    }
}

/* ---- signals of the manager ------------------------------------------------------ */

static int on_job_removed(sd_bus_message *message, void *baton, sd_bus_error *unused)
{
    sa_os_services_t *services = baton;
    apr_interval_time_t now = sa_os_clock_mono();
    const char *name = NULL;

    (void)unused;
    if (sd_bus_message_read(message, "uos", NULL, NULL, &name) < 0) {
        return 0;
    }
    for (int i = 0; i < services->unit_count; i++) {
        const unit_t *unit = &services->units[i];

        if ((strcmp(name, unit->state.unit) == 0 || strcmp(name, unit->asked) == 0)
            && now - unit->heard_at > HEARD_LATELY) {
            list_units(services);
            break;
        }
    }
    return 0;
}

static int on_reloading(sd_bus_message *message, void *baton, sd_bus_error *unused)
{
    int begins = 1;

    (void)unused;
    if (sd_bus_message_read(message, "b", &begins) >= 0 && !begins) {
        list_units(baton);
    }
    return 0;
}

static int subscribe(sa_os_services_t *services)
{
    sd_bus_message *call = NULL;
    int r = sd_bus_message_new_method_call(services->bus, &call, SYSTEMD, MANAGER_PATH, MANAGER,
                                           "Subscribe");

    if (r < 0) {
        return r;
    }
    r = send_call(services, call, on_ignored, services);
    list_units(services);
    return r;
}

static int on_owner(sd_bus_message *message, void *baton, sd_bus_error *unused)
{
    sa_os_services_t *services = baton;
    const char *owner = "";

    (void)unused;
    if (sd_bus_message_read(message, "sss", NULL, NULL, &owner) >= 0 && *owner) {
        for (int i = 0; i < services->unit_count; i++) {
            services->units[i].stale = true;        /* what came between was not told */
        }
        (void)subscribe(services);     /* a connection that fails says so by itself */
    }
    return 0;
}

/* ---- the connection ---------------------------------------------------------------- */

static int match_manager(sa_os_services_t *services)
{
    int r = sd_bus_add_match_async(services->bus, NULL,
                                   "type='signal',sender='org.freedesktop.DBus',"
                                   "member='NameOwnerChanged',arg0='" SYSTEMD "'",
                                   on_owner, NULL, services);

    if (r >= 0) {
        r = sd_bus_match_signal_async(services->bus, NULL, SYSTEMD, MANAGER_PATH, MANAGER,
                                      "JobRemoved", on_job_removed, NULL, services);
    }
    if (r >= 0) {
        r = sd_bus_match_signal_async(services->bus, NULL, SYSTEMD, MANAGER_PATH, MANAGER,
                                      "Reloading", on_reloading, NULL, services);
    }
    return r;
}

static int match_units(sa_os_services_t *services)
{
    int r = 0;

    for (int i = 0; r >= 0 && i < services->unit_count; i++) {
        unit_t *unit = &services->units[i];

        unit->real_path = unit->path;
        r = match_properties(unit, NULL, unit->path);
    }
    return r;
}

static void close_bus(sa_os_services_t *services)
{
    for (int i = 0; i < services->unit_count; i++) {
        unit_t *unit = &services->units[i];

        unit->real_match = sd_bus_slot_unref(unit->real_match);
        unit->real_path = unit->path;
        unit->gets_running = 0;
        unit->gets_wanted = 0;
        unit->unread = false;
        unit->stale = true;
        unit->untold = false;
    }
    if (services->bus) {
        sd_bus_close(services->bus);
        services->bus = sd_bus_unref(services->bus);
    }
    services->listing = false;
    services->list_again = false;
    services->answered = false;
    services->some_untold = false;
    services->gets_running = 0;
    services->units_wanting = 0;
    services->next_wanting = 0;
}

/* Close, remember why, and come back later. */
static sa_error_t *lose_bus(sa_os_services_t *services, int r, const char *what)
{
    close_bus(services);
    services->lost_code = -r;
    apr_snprintf(services->lost, sizeof(services->lost), "%s", what);
    services->retry_at = sa_os_clock_mono() + sa_backoff_next(&services->backoff);
    return sa_error_apr(services->lost_code, "%s", services->lost);
}

static sa_error_t *no_systemd(void)
{
    return sa_error(SA_ERR_NOT_ON_THIS_OS, NULL, "systemd does not run this machine: no services "
                    "to watch");
}

static sa_error_t *open_bus(sa_os_services_t *services)
{
    int r;

    if (sd_booted() <= 0) {
        services->retry_at = sa_os_clock_mono() + RETRY_MAX;
        services->lost_code = SA_ERR_NOT_ON_THIS_OS;
        return no_systemd();
    }
    r = sd_bus_open_system(&services->bus);
    if (r < 0) {
        return lose_bus(services, r, "cannot connect to the system bus (D-Bus)");
    }
    r = match_manager(services);
    if (r >= 0) {
        r = match_units(services);
    }
    if (r >= 0) {
        r = subscribe(services);
    }
    if (r < 0) {
        return lose_bus(services, r, "cannot ask the system bus (D-Bus) for signals");
    }
    return SA_OK;
}

/* Connect when it is time to. */
static sa_error_t *need_bus(sa_os_services_t *services)
{
    if (services->bus) {
        return SA_OK;
    }
    if (sa_os_clock_mono() >= services->retry_at) {
        return open_bus(services);
    }
    if (services->lost_code == SA_ERR_NOT_ON_THIS_OS) {
        return no_systemd();
    }
    return sa_error_apr(services->lost_code, "%s", services->lost);
}

/* ---- waiting ------------------------------------------------------------------------ */

static int milliseconds_until(apr_interval_time_t deadline)
{
    apr_interval_time_t left = deadline - sa_os_clock_mono();

    if (deadline == SA_OS_NEVER) {
        return -1;
    }
    if (left <= 0) {
        return 0;
    }
    return left > APR_INT64_C(3600) * 1000000 ? 3600 * 1000 : (int)((left + 999) / 1000);
}

/* Sleep until something comes; negative errno when the connection is broken. */
static int sleep_until(sa_os_services_t *services, apr_interval_time_t deadline)
{
    struct pollfd fds[2] = {{.fd = services->wake_fd, .events = POLLIN}, {.fd = -1}};
    uint64_t timeout = UINT64_MAX;

    if (services->bus) {
        int events = sd_bus_get_events(services->bus);

        fds[1].fd = sd_bus_get_fd(services->bus);
        if (events < 0 || fds[1].fd < 0 || sd_bus_get_timeout(services->bus, &timeout) < 0) {
            return -ENOTCONN;
        }
        fds[1].events = (short)events;
        if (timeout < (uint64_t)deadline) {
            deadline = (apr_interval_time_t)timeout;
        }
    }
    if (poll(fds, services->bus ? 2 : 1, milliseconds_until(deadline)) > 0 && fds[0].revents) {
        uint64_t count;

        services->woken = read(services->wake_fd, &count, sizeof(count)) > 0;
    }
    return 0;
}

static void tell_untold(sa_os_services_t *services)
{
    if (!services->some_untold) {
        return;
    }
    services->some_untold = false;
    for (int i = 0; i < services->unit_count; i++) {
        if (services->units[i].untold) {
            tell(&services->units[i]);
        }
    }
}

/* Take what has come, or wait for it once. */
static sa_error_t *turn(sa_os_services_t *services, apr_interval_time_t deadline)
{
    int taken = 0;
    int r = sd_bus_process(services->bus, NULL);

    while (r > 0 && taken++ < BATCH) {
        r = sd_bus_process(services->bus, NULL);
    }
    tell_untold(services);
    if (r == 0 && taken == 0) {
        r = sleep_until(services, deadline);
    }
    if (r < 0) {
        return lose_bus(services, r, "the connection to the system bus (D-Bus) is lost");
    }
    if (services->answered) {
        sa_backoff_reset(&services->backoff);
    }
    return SA_OK;
}

sa_error_t *sa_os_services_refresh(sa_os_services_t *services, apr_interval_time_t deadline)
{
    if (services->unit_count == 0) {
        return SA_OK;
    }
    services->woken = false;
    SA_TRY(need_bus(services));
    services->list_error[0] = '\0';
    list_units(services);
    while (services->listing || services->gets_running > 0 || services->units_wanting > 0) {
        if (sa_os_clock_mono() >= deadline) {
            return sa_error(SA_ERR_TIMEOUT, NULL, "systemd does not answer");
        }
        SA_TRY(turn(services, deadline));
        if (services->woken) {
            return sa_error(SA_ERR_STOPPING, NULL, "woken while asking systemd");
        }
    }
    if (*services->list_error) {
        return sa_error(SA_ERR_SERVICES, NULL, "cannot read the states of services: %s",
                        services->list_error);
    }
    return SA_OK;
}

sa_error_t *sa_os_services_wait(sa_os_services_t *services, apr_interval_time_t deadline)
{
    if (services->unit_count > 0 && !services->bus) {
        if (sa_os_clock_mono() >= services->retry_at) {
            sa_error_clear(open_bus(services));     /* kept in lost, said by a refresh */
        } else if (services->retry_at < deadline) {
            deadline = services->retry_at;
        }
    }
    if (services->bus) {
        return turn(services, deadline);
    }
    (void)sleep_until(services, deadline);
    return SA_OK;
}

bool sa_os_services_is_up(const sa_os_services_t *services)
{
    return services->bus && services->answered;
}

void sa_os_services_wake(sa_os_services_t *services)
{
    uint64_t one = 1;
    ssize_t done = write(services->wake_fd, &one, sizeof(one));

    (void)done;     /* full: it is awake */
}

/* ---- life ---------------------------------------------------------------------------- */

static apr_status_t drop_services(void *baton)
{
    sa_os_services_t *services = baton;

    close_bus(services);
    close(services->wake_fd);
    return APR_SUCCESS;
}

sa_error_t *sa_os_services_open(sa_os_services_t **result, sa_os_service_fn_t fn, void *baton,
                                apr_pool_t *pool)
{
    sa_os_services_t *services = apr_pcalloc(pool, sizeof(*services));

    services->fn = fn;
    services->baton = baton;
    services->pool = pool;
    services->watch_pool = sa_pool_create(pool);
    sa_backoff_init(&services->backoff, RETRY_FIRST, RETRY_MAX);
    services->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (services->wake_fd < 0) {
        return sa_error_apr(errno, "cannot make an eventfd");
    }
    /* before the pools below it go */
    apr_pool_pre_cleanup_register(pool, services, drop_services);
    *result = services;
    return SA_OK;
}

static sa_error_t *make_unit(unit_t *unit, const char *name, apr_pool_t *pool)
{
    char *path = NULL;
    int r;

    if (!sa_os__service_unit_name(unit->asked, name)) {
        return sa_error(SA_ERR_CONFIG, NULL, "\"%s\" is no name of a unit", name);
    }
    r = sd_bus_path_encode(UNIT_PATH, unit->asked, &path);
    if (r < 0) {
        return sa_error_apr(-r, "cannot make the path of %s", unit->asked);
    }
    unit->path = apr_pstrdup(pool, path);
    unit->real_path = unit->path;
    free(path);
    apr_cpystrn(unit->state.unit, unit->asked, sizeof(unit->state.unit));
    return SA_OK;
}

sa_error_t *sa_os_services_watch(sa_os_services_t *services, const apr_array_header_t *names)
{
    if (names->nelts > SA_OS_SERVICES_MAX) {
        return sa_error(SA_ERR_LIMIT, NULL, "%d services; at most %d can be watched", names->nelts,
                        SA_OS_SERVICES_MAX);
    }
    close_bus(services);
    services->unit_count = 0;
    apr_pool_clear(services->watch_pool);
    services->units = apr_pcalloc(services->watch_pool,
                                  (apr_size_t)(names->nelts + 1) * sizeof(unit_t));
    for (int i = 0; i < names->nelts; i++) {
        unit_t *unit = &services->units[i];

        unit->services = services;
        unit->place = i;
        SA_TRY(make_unit(unit, APR_ARRAY_IDX(names, i, const char *), services->watch_pool));
        services->unit_count = i + 1;
    }
    services->retry_at = 0;
    return SA_OK;
}
