/* agent: the table of rooms, reload, and the main thread's wait. */
#include "sa_agent.h"

#include <string.h>

#include <apr_strings.h>

#include "sa_agent_identity.h"
#include "sa_agent_private.h"
#include "sa_agent_tools.h"
#include "sa_command.h"
#include "sa_link.h"
#include "sa_log.h"
#include "sa_mesh.h"
#include "sa_os_daemon.h"
#include "sa_os_exec.h"
#include "sa_os_file.h"
#include "sa_os_network.h"
#include "sa_os_thread.h"
#include "sa_outbox.h"
#include "sa_pool.h"
#include "sa_pulse.h"
#include "sa_stats.h"
#include "sa_task.h"
#include "sa_time.h"
#include "sa_version.h"

/* A thread at one piece of work for longer than this is stuck.  The longest
 * honest piece is a commit on a disk that retries. */
#define STUCK_LIMIT apr_time_from_sec(90)
/* What a stop may take beyond nats.drain_timeout before force ends it. */
#define STOP_GRACE apr_time_from_sec(10)

typedef struct agent_t {
    apr_pool_t *pool;
    apr_pool_t *config_pool;
    sa_config_t *config;
    const sa_config_source_t *source;
    sa_link_t *link;
    sa_outbox_t *outbox;
    sa_tasks_t *tasks;
    sa_commands_t *commands;
    sa_agent__identity_t *identity;
    sa_agent__tools_t *tools;
    sa_mesh_t *mesh;
    bool again;                 /* from the beginning, with what the platform has set */
} agent_t;

/* ---- the rooms ------------------------------------------------------------ */

static sa_error_t *start_link(agent_t *agent)
{
    return sa_link_start(agent->link, agent->config);
}

static sa_error_t *reload_link(agent_t *agent)
{
    return sa_link_reload(agent->link, agent->config);
}

static void stop_link(agent_t *agent)
{
    sa_link_stop(agent->link, agent->config->nats_drain_timeout);
}

static sa_error_t *start_mesh(agent_t *agent)
{
    return sa_mesh_start(agent->mesh, agent->config);
}

static sa_error_t *reload_mesh(agent_t *agent)
{
    sa_mesh_reload(agent->mesh, agent->config);
    return SA_OK;
}

static void stop_mesh(agent_t *agent)
{
    sa_mesh_stop(agent->mesh);
}

static sa_error_t *start_outbox(agent_t *agent)
{
    return sa_outbox_start(agent->outbox, agent->config);
}

static sa_error_t *reload_outbox(agent_t *agent)
{
    sa_outbox_reload(agent->outbox, agent->config);
    return SA_OK;
}

static void stop_outbox(agent_t *agent)
{
    sa_outbox_stop(agent->outbox, agent->config->nats_drain_timeout);
}

static sa_error_t *start_tasks(agent_t *agent)
{
    return sa_tasks_start(agent->tasks, agent->config);
}

static sa_error_t *reload_tasks(agent_t *agent)
{
    sa_tasks_reload(agent->tasks, agent->config);
    return SA_OK;
}

static void stop_tasks(agent_t *agent)
{
    sa_tasks_stop(agent->tasks);
}

static sa_error_t *start_commands(agent_t *agent)
{
    return sa_commands_start(agent->commands);
}

static sa_error_t *reload_commands(agent_t *agent)
{
    sa_commands_reload(agent->commands, agent->config);
    return SA_OK;
}

static void stop_commands(agent_t *agent)
{
    sa_commands_stop(agent->commands);
}

static sa_error_t *reload_log(agent_t *agent)
{
    return sa_agent_open_log(agent->config, agent->pool);
}

static sa_error_t *start_identity(agent_t *agent)
{
    sa_agent__identity_start(agent->identity, agent->config);
    return SA_OK;
}

/* It has the new configuration already: reload(). */
static sa_error_t *reload_identity(agent_t *agent)
{
    sa_agent__identity_reload(agent->identity, agent->config, NULL, true);
    return SA_OK;
}

static void stop_identity(agent_t *agent)
{
    sa_agent__identity_stop(agent->identity);
}

typedef struct room_t {
    const char *name;
    sa_option_room_t options;
    sa_error_t *(*start)(agent_t *agent);       /* NULL: nothing to start */
    sa_error_t *(*reload)(agent_t *agent);
    void (*stop)(agent_t *agent);
} room_t;

/* Started from the top, stopped from the bottom: first what takes in, last
 * what sends out. */
static const room_t rooms[] = {
    {"log",      SA_ROOM_LOG,     NULL,           reload_log,      NULL},
    /* the bus may be reached through it; two of its settings are the identity's too */
    {"mesh",     SA_ROOM_MESH | SA_ROOM_IDENTITY, start_mesh, reload_mesh, stop_mesh},
    {"link",     SA_ROOM_LINK,    start_link,     reload_link,     stop_link},
    {"outbox",   SA_ROOM_OUTBOX,  start_outbox,   reload_outbox,   stop_outbox},
    {"tasks",    SA_ROOM_TASK,    start_tasks,    reload_tasks,    stop_tasks},
    /* health names the tasks that are on */
    {"commands", SA_ROOM_COMMAND | SA_ROOM_TASK, start_commands, reload_commands, stop_commands},
    /* whom the bus and the platform know us as; nats.auth.type is the link's */
    {"identity", SA_ROOM_IDENTITY | SA_ROOM_LINK, start_identity, reload_identity,
     stop_identity},
};
#define ROOM_COUNT (sizeof(rooms) / sizeof(rooms[0]))

static void stop_rooms(agent_t *agent, size_t started)
{
    while (started > 0) {
        started--;
        if (rooms[started].stop) {
            rooms[started].stop(agent);
        }
    }
}

static sa_error_t *start_rooms(agent_t *agent)
{
    for (size_t i = 0; i < ROOM_COUNT; i++) {
        sa_error_t *err = rooms[i].start ? rooms[i].start(agent) : SA_OK;

        if (err) {
            stop_rooms(agent, i + 1);       /* every stop bears a half-started room */
            return sa_error(err->code, err, "cannot start %s", rooms[i].name);
        }
    }
    return SA_OK;
}

/* In the outbox's thread. */
static void on_edge(void *baton, bool up)
{
    agent_t *agent = baton;
    char url[SA_STAT_TEXT_SIZE];
    char status[SA_STAT_TEXT_SIZE + 64];

    sa_tasks_bus_edge(agent->tasks, up);
    sa_agent__tools_edge(agent->tools, up);
    sa_stats_text(up ? SA_STAT_TEXT_link_url : SA_STAT_TEXT_link_error, url);
    apr_snprintf(status, sizeof(status), up ? "Connected to %s" : "Not connected: %s", url);
    sa_os_notify_status(status);
}

/* In the main thread. */
static void on_nebula(void *baton)
{
    agent_t *agent = baton;

    sa_mesh_look(agent->mesh);
}

/* In a command's thread. */
static sa_error_t *ask_nebula(void *baton, bool restart)
{
    return sa_mesh_ask(baton, restart ? SA_MESH_RESTART : SA_MESH_SYNC);
}

static sa_error_t *create_rooms(agent_t *agent)
{
    SA_TRY(sa_link_create(&agent->link, agent->pool));
    SA_TRY(sa_outbox_create(&agent->outbox, agent->link, agent->pool));
    SA_TRY(sa_tasks_create(&agent->tasks, agent->outbox, agent->pool));
    SA_TRY(sa_commands_create(&agent->commands, agent->link, agent->config, agent->pool));
    sa_outbox_on_edge(agent->outbox, on_edge, agent);
    sa_agent__identity_create(&agent->identity, agent->link, agent->pool);
    sa_commands_on_rotate(agent->commands, sa_agent__identity_rotate, sa_agent__identity_renew,
                          agent->identity);
    SA_TRY(sa_mesh_create(&agent->mesh, agent->pool));
    sa_mesh_on_sync(agent->mesh, sa_agent__identity_sync, agent->identity);
    sa_agent__identity_on_nebula(agent->identity, on_nebula, agent);
    sa_commands_on_nebula(agent->commands, ask_nebula, agent->mesh);
    sa_agent__tools_create(&agent->tools, agent->config, agent->source, agent->link,
                           agent->outbox, agent->commands, agent->pool);
    return SA_OK;
}

/* ---- configuration -------------------------------------------------------- */

sa_error_t *sa_agent_open_log(const sa_config_t *config, apr_pool_t *pool)
{
    bool to_file = *config->log_file != '\0';
    bool terminal = !to_file && sa_os_console_is_terminal(true);
    sa_log_settings_t settings = {
        .level = (sa_log_level_t)config->log_level,
        .format = to_file ? SA_LOG_JSON : SA_LOG_TEXT,
        .colour = terminal,
        .path = to_file ? config->log_file : NULL,
        .max_bytes = config->log_max_size_mb * 1024 * 1024,
        .max_backups = (int)config->log_max_backups
    };

    if (config->log_format == SA_FORMAT_JSON) {
        settings.format = SA_LOG_JSON;
    } else if (config->log_format == SA_FORMAT_TEXT) {
        settings.format = SA_LOG_TEXT;
    } else if (!to_file && sa_os_console_is_journal()) {
        settings.format = SA_LOG_JOURNAL;
    }
    return sa_log_open(&settings, pool);
}

static void log_complaints(const apr_array_header_t *complaints, apr_pool_t *pool)
{
    for (int i = 0; i < complaints->nelts; i++) {
        const sa_complaint_t *complaint = &APR_ARRAY_IDX(complaints, i, sa_complaint_t);

        SA_LOG(config_warning, SA_S("complaint", sa_complaint_format(complaint, pool)));
    }
}

static void log_peculiarities(const sa_config_t *config, apr_pool_t *scratch_pool)
{
    const char *reserved = sa_config_reserved(config, scratch_pool);
    const char *insecure = sa_config_insecure(config, scratch_pool);

    if (*reserved) {
        SA_LOG(config_reserved, SA_S("settings", reserved));
    }
    if (*insecure) {
        SA_LOG(config_insecure, SA_S("settings", insecure));
    }
}

/* Let the rooms that CHANGED names read the configuration again. */
static void reload_rooms(agent_t *agent, unsigned int changed)
{
    for (size_t i = 0; i < ROOM_COUNT; i++) {
        sa_error_t *err;

        if (!(changed & rooms[i].options)) {
            continue;
        }
        err = rooms[i].reload(agent);
        if (err) {
            SA_LOG(config_bad, SA_S("room", rooms[i].name), SA_E(err));
            sa_error_clear(err);
        }
    }
}

/* What only a restart can change is for a person to decide; but where the platform changed
 * it, nobody is there: everything begins again, in this process. */
static void judge_restart(agent_t *agent, const char *needs_restart, bool from_platform)
{
    if (*needs_restart && from_platform) {
        SA_LOG(agent_again, SA_S("settings", needs_restart));
        agent->again = true;
    } else if (*needs_restart) {
        SA_LOG(config_needs_restart, SA_S("settings", needs_restart));
    }
}

static void reload(agent_t *agent, bool from_platform)
{
    apr_pool_t *pool = sa_pool_create_root();
    apr_pool_t *old_pool = agent->config_pool;
    sa_config_t *config = NULL;
    apr_array_header_t *complaints;
    const char *needs_restart;
    unsigned int changed;
    sa_error_t *err = sa_config_load(&config, &complaints, agent->source, pool);

    log_complaints(complaints, pool);
    if (err) {
        SA_LOG(config_bad, SA_E(err));
        sa_error_clear(err);
        apr_pool_destroy(pool);
        return;
    }
    changed = sa_config_compare(&needs_restart, agent->config, config, pool);
    judge_restart(agent, needs_restart, from_platform);
    if (!agent->again) {
        sa_config_keep_fixed(config, agent->config, pool);
    }
    log_peculiarities(config, pool);
    agent->config = config;
    agent->config_pool = pool;
    /* the log has no end that it could begin again after */
    reload_rooms(agent, agent->again ? changed & SA_ROOM_LOG : changed);
    sa_mesh_look(agent->mesh);      /* the document may have been put there by hand */
    sa_agent__identity_reload(agent->identity, config, old_pool, false);
    SA_LOG(config_reloaded);
}

/* ---- life ----------------------------------------------------------------- */

static apr_interval_time_t earlier(apr_interval_time_t one, apr_interval_time_t other)
{
    return one == SA_OS_NEVER || (other != SA_OS_NEVER && other < one) ? other : one;
}

/* How long the main thread may sleep: until the service manager wants to hear
 * from us, the platform is to be visited or our state is to be written, else for ever. */
static apr_interval_time_t next_look(const agent_t *agent)
{
    apr_interval_time_t interval = sa_os_notify_interval();
    apr_interval_time_t alive = interval > 0 ? sa_time_mono() + interval / 2 : SA_OS_NEVER;

    return earlier(earlier(alive, sa_agent__identity_due(agent->identity)),
                   sa_agent__tools_due(agent->tools));
}

/* Without a word to the service manager it starts us again: that is the cure
 * for a thread that does not come back. */
static void say_alive(void)
{
    const char *stuck = sa_pulse_stuck(STUCK_LIMIT);

    if (stuck) {
        SA_LOG(agent_thread_stuck, SA_S("thread", stuck));
        return;
    }
    sa_os_notify_alive();
}

static void live(agent_t *agent)
{
    while (!agent->again) {
        switch (sa_os_daemon_wait(next_look(agent))) {
        case SA_OS_REQUEST_STOP:
            return;
        case SA_OS_REQUEST_RELOAD:
            sa_os_notify_reloading();
            reload(agent, false);
            sa_os_notify_ready(NULL);
            break;
        case SA_OS_REQUEST_NETWORK:
            sa_link_look(agent->link);
            sa_agent__identity_hurry(agent->identity);
            say_alive();            /* it may change more often than the time passes */
            break;
        case SA_OS_REQUEST_NONE:
            say_alive();
            if (sa_agent__identity_look(agent->identity)) {
                reload(agent, true);
            }
            sa_agent__tools_look(agent->tools, agent->config);
            break;
        }
    }
}

/* Without it a dead connection is found out all the same, only later. */
static void watch_network(agent_t *agent)
{
    sa_error_t *err = sa_os_network_watch(agent->pool);

    if (err) {
        SA_LOG(network_unwatched, SA_E(err));
        sa_error_clear(err);
    }
}

static sa_error_t *take_state_directory(agent_t *agent)
{
    const char *state = agent->config->paths_state;

    SA_TRY_MSG(sa_os_dir_create_private(state, agent->pool),
               "cannot use the state directory (paths.state)");
    return sa_os_file_lock(apr_pstrcat(agent->pool, state, "/lock", NULL), agent->pool);
}

static sa_error_t *run(agent_t *agent)
{
    sa_error_t *err;

    SA_TRY(create_rooms(agent));
    /* before the link may say more */
    sa_os_notify_status("Connecting");
    err = start_rooms(agent);
    if (err) {
        sa_agent__tools_stop(agent->tools);
        return err;
    }
    sa_os_notify_ready(NULL);
    SA_LOG(agent_ready);
    sa_agent__tools_start(agent->tools);
    live(agent);
    if (!agent->again) {
        SA_LOG(agent_stopping);
        sa_os_notify_stopping();
        sa_os_daemon_kill_after(2 * agent->config->nats_drain_timeout + STOP_GRACE);
    }
    stop_rooms(agent, ROOM_COUNT);
    sa_agent__tools_stop(agent->tools);
    return SA_OK;
}

/* The rooms, as often as the platform changes what they cannot change while they run. */
static sa_error_t *run_rooms(agent_t *agent)
{
    apr_pool_t *pool = agent->pool;
    sa_error_t *err;

    do {
        agent->again = false;
        agent->pool = sa_pool_create(pool);
        err = run(agent);
        apr_pool_destroy(agent->pool);
    } while (!err && agent->again);
    agent->pool = pool;
    return err;
}

sa_error_t *sa_agent_run(sa_config_t *config, apr_pool_t *config_pool,
                         const sa_config_source_t *source, apr_pool_t *pool)
{
    agent_t agent = {
        .pool = pool, .config_pool = config_pool, .config = config, .source = source
    };
    sa_error_t *err;

    sa_stats_set(SA_STAT_started_at, (apr_uint64_t)sa_time_mono());
    /* first of all: a second instance must not write into the first one's log */
    SA_TRY(take_state_directory(&agent));
    SA_TRY(sa_agent_open_log(config, pool));
    SA_LOG(agent_started, SA_S("version", sa_version()), SA_S("code", config->code));
    log_peculiarities(config, pool);
    SA_TRY_MSG(sa_os_exec_open(pool), "cannot prepare for running commands");
    SA_TRY(sa_agent__open_libraries());
    watch_network(&agent);
    err = run_rooms(&agent);
    sa_agent__close_libraries();
    if (!err) {
        SA_LOG(agent_stopped);
    }
    sa_log_close();
    apr_pool_destroy(agent.config_pool);
    return err;
}
