/* command: the table, the dispatcher and the workers. */
#include "sa_command.h"

#include <string.h>

#include <apr_atomic.h>
#include <apr_strings.h>
#include <apr_user.h>

#include "sa_command_policy.h"
#include "sa_command_private.h"
#include "sa_link.h"
#include "sa_log.h"
#include "sa_os_paths.h"
#include "sa_pool.h"
#include "sa_random.h"
#include "sa_stats.h"
#include "sa_time.h"

/* What may wait for the dispatcher. */
#define INBOX_LIMIT 2048
#define INBOX_BYTES (8 * 1024 * 1024)
#define URGENT_LIMIT 256
#define URGENT_BYTES 4096
/* So many of those in a row, then one of the others. */
#define URGENT_RUN 16
/* Pools of calls that are kept for the next ones, each with SA_POOL_KEEP at most. */
#define POOLS_KEPT 4
/* With what runs when the agent is asked to stop, at most. */
#define STOP_PATIENCE apr_time_from_sec(5)

static const sa_command_row_t table[] = {
    { .name = "ping", .run = sa_command__ping,
      .flags = SA_COMMAND_QUICK | SA_COMMAND_ANY_BODY | SA_COMMAND_UNCOUNTED,
      .doc = "Answer, to show that the agent is alive." },
    { .name = "health", .run = sa_command__health,
      .flags = SA_COMMAND_QUICK | SA_COMMAND_ANY_BODY | SA_COMMAND_UNCOUNTED,
      .doc = "Say how the agent is." },
    { .name = "exec", .run = sa_command__exec,
      .flags = SA_COMMAND_STREAMS | SA_COMMAND_BEGINS,
      .doc = "Run an allowed command or a script." },
    { .name = "logs", .run = sa_command__logs,
      .flags = SA_COMMAND_STREAMS | SA_COMMAND_BEGINS,
      .told = { "log_path", "unit" },
      .doc = "Show the end of an allowed log file, or of a unit's journal." },
    { .name = "service", .run = sa_command__service, .flags = SA_COMMAND_BEGINS,
      .told = { "action", "service_name" },
      .doc = "Start, stop, restart or reload an allowed service, or say how it is." },
    { .name = "rotate_creds", .run = sa_command__rotate_creds, .flags = SA_COMMAND_ANY_BODY,
      .doc = "Have the platform make new credentials, and use them." },
    { .name = "nebula", .run = sa_command__nebula, .told = { "action" },
      .doc = "Fetch and try the overlay's configuration anew, or restart Nebula." },
    { .name = "cancel", .run = sa_command__cancel, .flags = SA_COMMAND_QUICK,
      .doc = "End a request of one's own." },
};

/* ---- settings ------------------------------------------------------------- */

static void add_text(apr_array_header_t *list, bool wanted, const char *text)
{
    if (wanted) {
        APR_ARRAY_PUSH(list, const char *) = apr_pstrdup(list->pool, text);
    }
}

static apr_array_header_t *make_list(apr_pool_t *pool)
{
    return apr_array_make(pool, 8, sizeof(const char *));
}

static apr_array_header_t *copy_list(const apr_array_header_t *list, apr_pool_t *pool)
{
    apr_array_header_t *copy = make_list(pool);

    for (int i = 0; i < list->nelts; i++) {
        add_text(copy, true, APR_ARRAY_IDX(list, i, const char *));
    }
    return copy;
}

static apr_array_header_t *list_tasks(const sa_config_t *config, apr_pool_t *pool)
{
    apr_array_header_t *tasks = make_list(pool);

    add_text(tasks, config->heartbeat_enabled, "heartbeat");
    add_text(tasks, config->metrics_enabled, "system_metrics");
    add_text(tasks, config->exporters->nelts > 0, "exporters");
    add_text(tasks, config->services_enabled && config->services->nelts > 0, "service_check");
    add_text(tasks, config->inventory_enabled, "inventory");
    add_text(tasks, config->nats_auth_type == SA_AUTH_PLATFORM, "creds_sync");
    return tasks;
}

static apr_array_header_t *list_commands(const sa_config_t *config, apr_pool_t *pool)
{
    apr_array_header_t *names = make_list(pool);

    for (int i = 0; i < config->allowed_commands->nelts; i++) {
        const sa_allowed_command_t *command =
            &APR_ARRAY_IDX(config->allowed_commands, i, const sa_allowed_command_t);

        add_text(names, true, *command->line ? command->line : command->name);
    }
    return names;
}

/* Our own files, which no command may show or run. */
static apr_array_header_t *list_own_paths(const sa_config_t *config, apr_pool_t *pool)
{
    static const char *const beside_nebula[] = {".good", ".bad", ".new", ".check", ".reached"};
    apr_array_header_t *paths = sa_config_files(config, pool);
    const char *const single[] = {
        config->paths_state, config->paths_runtime, config->log_file, config->audit_file,
        config->nats_creds_file, config->nats_nkey_file, config->nats_tls_key_file,
        config->nats_ws_headers_file,
        config->platform_session_file, config->nebula_config_file, config->nebula_folder,
        sa_os_path_config(pool), sa_os_path_go_config(), sa_os_path_credentials(pool)
    };

    for (size_t i = 0; i < sizeof(single) / sizeof(single[0]); i++) {
        add_text(paths, single[i] && *single[i], single[i]);
    }
    for (size_t i = 0; i < sizeof(beside_nebula) / sizeof(beside_nebula[0]); i++) {
        add_text(paths, true, apr_pstrcat(pool, config->nebula_folder, beside_nebula[i], NULL));
    }
    for (int i = 0; i < config->exporters->nelts; i++) {
        const char *key = APR_ARRAY_IDX(config->exporters, i, sa_exporter_config_t).key_file;

        add_text(paths, *key, key);
    }
    return paths;
}

/* Where the agent itself writes there is nothing to run. */
static apr_array_header_t *list_written_paths(const sa_config_t *config, apr_pool_t *pool)
{
    apr_array_header_t *paths = make_list(pool);

    add_text(paths, true, config->paths_state);
    add_text(paths, true, config->paths_runtime);
    return paths;
}

/* The directories of the patterns of logs, as far as no wildcard stands in them. */
static apr_array_header_t *list_log_folders(const sa_config_t *config, apr_pool_t *pool)
{
    apr_array_header_t *folders = make_list(pool);

    for (int i = 0; i < config->allowed_log_paths->nelts; i++) {
        const char *text = APR_ARRAY_IDX(config->allowed_log_paths, i, const char *);
        size_t length = strcspn(text, "*?");

        while (length > 0 && text[length] != '/') {
            length--;
        }
        APR_ARRAY_PUSH(folders, const char *) = apr_pstrmemdup(pool, text, length);
    }
    return folders;
}

static sa_error_t *fill_settings(sa_command_settings_t *settings, const sa_config_t *config)
{
    apr_pool_t *pool = settings->pool;
    sa_command_policy_t *policy = NULL;

    settings->code = apr_pstrdup(pool, config->code);
    settings->location = apr_pstrdup(pool, config->location);
    settings->subject_prefix = apr_pstrdup(pool, config->subject_prefix);
    settings->auth_type = sa_config_text(config, "nats.auth.type", pool);
    settings->platform = config->nats_auth_type == SA_AUTH_PLATFORM;
    settings->reply_prefixes = copy_list(config->reply_prefixes, pool);
    settings->enabled_tasks = list_tasks(config, pool);
    settings->own_paths = list_own_paths(config, pool);
    settings->written_paths = list_written_paths(config, pool);
    settings->log_links = config->log_links;
    settings->log_folders = config->log_mounts ? NULL : list_log_folders(config, pool);
    settings->timeout = config->command_timeout;
    settings->max_output = config->command_max_output;
    settings->stop_patience = config->nats_drain_timeout < STOP_PATIENCE
                                  ? config->nats_drain_timeout : STOP_PATIENCE;
    settings->allowed_commands = list_commands(config, pool);
    settings->allowed_services = copy_list(config->allowed_services, pool);
    settings->allowed_log_paths = copy_list(config->allowed_log_paths, pool);
    SA_TRY_MSG(sa_command_policy_create(&policy, config, pool),
               "cannot make the policy of commands");
    settings->policy = policy;
    return SA_OK;
}

static sa_error_t *copy_settings(sa_command_settings_t **settings, const sa_config_t *config)
{
    apr_pool_t *pool = sa_pool_create_root();
    sa_command_settings_t *made = apr_pcalloc(pool, sizeof(*made));
    sa_error_t *err;

    made->pool = pool;
    made->users = 1;
    err = fill_settings(made, config);
    if (err) {
        apr_pool_destroy(pool);
        return err;
    }
    *settings = made;
    return SA_OK;
}

sa_command_settings_t *sa_command__hold_settings(sa_commands_t *commands)
{
    sa_command_settings_t *settings;

    sa_os_mutex_lock(commands->mutex);
    settings = commands->settings;
    apr_atomic_inc32(&settings->users);
    sa_os_mutex_unlock(commands->mutex);
    return settings;
}

void sa_command__release_settings(sa_command_settings_t *settings)
{
    if (apr_atomic_dec32(&settings->users) == 0) {
        apr_pool_destroy(settings->pool);
    }
}

/* ---- workers -------------------------------------------------------------- */

/* The way to end a call is made before there is one: where it cannot be made (too many
 * open files), the call is told so and does not run. */
static void say_change(sa_commands_t *commands)
{
    if (commands->change) {
        commands->change(commands->change_baton);
    }
}

static void work_one(sa_commands_t *commands, sa_call_t *call, sa_error_t *err)
{
    say_change(commands);
    if (err) {
        sa_command__call_refuse(call, err);
    } else {
        sa_command__call_run(call);
    }
    sa_command__lanes_done(commands->lanes, call);
    say_change(commands);
    sa_command__call_end(call);
}

static sa_call_t *take(sa_error_t **err, sa_commands_t *commands, apr_pool_t *pool)
{
    sa_os_cancel_t *cancel = NULL;
    sa_call_t *call;

    *err = sa_os_cancel_create(&cancel, pool);
    call = sa_command__lanes_take(commands->lanes, cancel);
    if (!call) {
        sa_error_clear(*err);       /* there is nobody to tell */
    }
    return call;
}

static void work(void *baton)
{
    sa_commands_t *commands = baton;
    apr_pool_t *pool = sa_pool_create_root();
    sa_error_t *err;
    sa_call_t *call = take(&err, commands, pool);

    while (call) {
        work_one(commands, call, err);
        apr_pool_clear(pool);
        call = take(&err, commands, pool);
    }
    apr_pool_destroy(pool);
}

/* Threads are started on first need: when all that are there have work. */
static void want_worker(sa_commands_t *commands)
{
    apr_status_t status;

    if (commands->worker_count == commands->worker_limit
        || sa_command__lanes_held(commands->lanes) < commands->worker_count) {
        return;
    }
    status = sa_os_thread_start(&commands->workers[commands->worker_count], "worker", work,
                                commands, commands->pool);
    if (status == APR_SUCCESS) {
        commands->worker_count++;
    } else {
        sa_error_t *err = sa_error_apr(status, "cannot start a worker");

        SA_LOG(command_failed, SA_E(err));
        sa_error_clear(err);
    }
}

/* ---- the dispatcher ------------------------------------------------------- */

static void refuse(sa_call_t *call, sa_error_t *err)
{
    sa_command__call_refuse(call, err);
    sa_command__call_end(call);
}

static void remember(sa_commands_t *commands, const char *id)
{
    if (id) {
        sa_command__ids_add(commands->ids, id);
    }
}

static void hand_to_worker(sa_commands_t *commands, sa_call_t *call, apr_pool_t *pool)
{
    /* once given, the call may be gone */
    const char *id = apr_pstrdup(pool, call->id);
    sa_error_t *err;

    want_worker(commands);
    err = commands->worker_count > 0 ? sa_command__lanes_give(commands->lanes, call)
                                     : sa_error(SA_ERR_BUSY, NULL, NULL);
    if (err) {
        refuse(call, err);
    } else {
        remember(commands, id);
    }
}

static apr_uint32_t size_of(const sa_link_message_t *message)
{
    size_t length;

    (void)sa_link_message_data(message, &length);
    return (apr_uint32_t)(length + sa_link_message_header_size(message));
}

static void dispatch(sa_commands_t *commands, sa_link_message_t **message, apr_pool_t *pool)
{
    sa_call_t *call;
    sa_error_t *err;

    if (strncmp(sa_link_message_subject(*message), "$SRV.", 5) == 0) {
        sa_command_settings_t *settings = sa_command__hold_settings(commands);

        sa_command__micro(commands, settings, *message, pool);
        sa_command__release_settings(settings);
        return;
    }
    err = sa_command__call_create(&call, commands, message, pool);
    if (err) {
        refuse(call, err);
    } else if (call->travels) {
        hand_to_worker(commands, call, pool);
    } else {
        sa_command__call_run(call);
        remember(commands, call->id);
        sa_command__call_end(call);
    }
}

/* MESSAGE (may be NULL) is out of the inbox. */
static sa_link_message_t *count_out(sa_commands_t *commands, sa_link_message_t *message)
{
    if (message) {
        apr_atomic_sub32(&commands->inbox_bytes, size_of(message));
        commands->urgent_run = 0;
    }
    return message;
}

/* Pings and the like first: they are to be answered also while others come in crowds.  But
 * not only they, or a crowd of pings would hold up all the others. */
static sa_link_message_t *next_message(sa_commands_t *commands)
{
    sa_link_message_t *message = NULL;

    if (commands->urgent_run >= URGENT_RUN) {
        commands->urgent_run = 0;
        message = count_out(commands, sa_queue_try_take(commands->inbox));
    }
    while (!message) {
        message = sa_queue_try_take(commands->urgent);
        if (message) {
            commands->urgent_run++;
            return message;
        }
        message = count_out(commands, sa_queue_take(commands->inbox, SA_OS_NEVER));
        if (!message && sa_queue_is_closed(commands->inbox)) {
            return NULL;
        }
    }
    return message;
}

static void run(void *baton)
{
    sa_commands_t *commands = baton;
    apr_pool_t *pool = sa_pool_create_root();
    sa_link_message_t *message = next_message(commands);

    while (message) {
        sa_pulse_busy(commands->pulse);
        dispatch(commands, &message, pool);
        sa_link_message_destroy(message);       /* NULL when a call has had it */
        apr_pool_clear(pool);
        sa_pulse_idle(commands->pulse);
        message = next_message(commands);
    }
    apr_pool_destroy(pool);
}

static bool is_urgent(const sa_commands_t *commands, const sa_link_message_t *message)
{
    const sa_command_row_t *row = sa_command__find_row(commands, message);

    return row && (row->flags & SA_COMMAND_UNCOUNTED) && size_of(message) <= URGENT_BYTES;
}

/* On the bus's thread: keep the message, give it on, return. */
static void on_message(void *baton, sa_link_message_t **message)
{
    sa_commands_t *commands = baton;
    apr_uint32_t size = size_of(*message);
    bool given = false;

    if (is_urgent(commands, *message)) {
        given = sa_queue_give(commands->urgent, message);
        sa_queue_wake(commands->inbox);
    } else if (apr_atomic_add32(&commands->inbox_bytes, size) + size > INBOX_BYTES
               || !sa_queue_give(commands->inbox, message)) {
        apr_atomic_sub32(&commands->inbox_bytes, size);
    } else {
        given = true;
    }
    if (!given) {
        sa_stats_add(SA_STAT_link_inbox_full, 1);
    }
}

/* The same: the answer to a message of a stream that asked who listens. */
static void on_listeners(void *baton, apr_uint64_t token, sa_link_message_t **message)
{
    sa_commands_t *commands = baton;
    sa_link_ack_t ack;

    sa_link_read_ack(&ack, *message);
    if (ack.no_stream) {
        sa_command__lanes_desert(commands->lanes, token & ~SA_LINK_TOKEN_SECOND);
    }
}

/* ---- life ----------------------------------------------------------------- */

void sa_command__set_table(sa_commands_t *commands, const sa_command_row_t *rows, int length)
{
    SA_ASSERT(length <= SA_COMMANDS_MAX);
    commands->table = rows;
    commands->table_length = length;
}

/* Three wildcards instead of the nine subjects of ADR-32: subscriptions are
 * limited by account and cost the broker memory. */
static void subscribe(sa_commands_t *commands, const sa_config_t *config)
{
    apr_pool_t *pool = commands->pool;

    sa_link_on_second_ack(commands->link, on_listeners, commands);
    sa_link_subscribe(commands->link,
                      apr_pstrcat(pool, config->subject_prefix, ".", config->code, ".cmd.*", NULL),
                      false, on_message, commands);
    if (config->nats_micro) {
        sa_link_subscribe(commands->link, "$SRV.*", true, on_message, commands);
        sa_link_subscribe(commands->link, "$SRV.*.stone-agent", true, on_message, commands);
        sa_link_subscribe(commands->link,
                          apr_pstrcat(pool, "$SRV.*.stone-agent.", commands->service_id, NULL),
                          true, on_message, commands);
    }
}

static const char *find_user(apr_pool_t *pool)
{
    apr_uid_t user;
    apr_gid_t group;
    char *name;

    if (apr_uid_current(&user, &group, pool) == APR_SUCCESS
        && apr_uid_name_get(&name, user, pool) == APR_SUCCESS) {
        return name;
    }
    return "without a name";
}

/* Once, and only where something may run. */
static void say_containment(sa_commands_t *commands, const sa_config_t *config)
{
    sa_os_exec_support_t support;

    if (commands->containment_said
        || (config->allowed_commands->nelts == 0 && !*config->scripts_directory)) {
        return;
    }
    commands->containment_said = true;
    sa_os_exec_support(&support);
    if (support.cgroup) {
        SA_LOG(commands_in_cgroups, SA_S("cgroup", support.cgroup),
               SA_B("limits_processes", support.limits_processes),
               SA_B("limits_memory", support.limits_memory));
    } else {
        SA_LOG(commands_without_cgroup, SA_S("reason", support.cgroup_why));
    }
}

sa_error_t *sa_commands_create(sa_commands_t **result, sa_link_t *link, const sa_config_t *config,
                               apr_pool_t *pool)
{
    sa_commands_t *commands = apr_pcalloc(pool, sizeof(*commands));

    commands->link = link;
    commands->pool = pool;
    sa_command__set_table(commands, table, (int)(sizeof(table) / sizeof(table[0])));
    commands->inbox = sa_queue_create(INBOX_LIMIT, pool);
    commands->urgent = sa_queue_create(URGENT_LIMIT, pool);
    commands->pools = sa_queue_create(POOLS_KEPT, pool);
    commands->worker_limit = (apr_uint32_t)config->command_workers;
    commands->lanes = sa_command__lanes_create(commands->worker_limit,
                                               (apr_uint32_t)config->command_queue, pool);
    commands->ids = sa_command__ids_create(pool);
    commands->mutex = sa_os_mutex_create(pool);
    commands->user = find_user(pool);
    SA_TRY(copy_settings(&commands->settings, config));
    commands->pulse = sa_pulse_create("command", pool);
    sa_random_text(commands->service_id, sizeof(commands->service_id) - 2);
    SA_TRY_MSG(sa_os_host_read(&commands->host, pool), "cannot find out what this machine is");
    sa_command_audit_open(&commands->audit, config, pool);
    subscribe(commands, config);
    say_containment(commands, config);
    *result = commands;
    return SA_OK;
}

void sa_commands_on_rotate(sa_commands_t *commands, sa_commands_rotate_fn_t rotate,
                           sa_commands_renew_fn_t renew, void *baton)
{
    commands->rotate = rotate;
    commands->renew = renew;
    commands->rotate_baton = baton;
}

void sa_commands_on_checks(sa_commands_t *commands, sa_commands_checks_fn_t fn, void *baton)
{
    commands->checks = fn;
    commands->checks_baton = baton;
}

void sa_commands_on_change(sa_commands_t *commands, sa_commands_change_fn_t fn, void *baton)
{
    commands->change = fn;
    commands->change_baton = baton;
}

int sa_commands_running(sa_commands_t *commands, int most, sa_commands_running_fn_t fn,
                        void *baton)
{
    return sa_command__lanes_running(commands->lanes, most, fn, baton);
}

void sa_commands_on_nebula(sa_commands_t *commands, sa_commands_nebula_fn_t nebula, void *baton)
{
    commands->nebula = nebula;
    commands->nebula_baton = baton;
}

sa_error_t *sa_commands_start(sa_commands_t *commands)
{
    SA_TRY_APR(sa_os_thread_start(&commands->dispatcher, "command", run, commands, commands->pool),
               "cannot start the commands' thread");
    return SA_OK;
}

void sa_commands_reload(sa_commands_t *commands, const sa_config_t *config)
{
    sa_command_settings_t *settings = NULL;
    sa_command_settings_t *old;
    sa_error_t *err = copy_settings(&settings, config);

    if (err) {
        SA_LOG(config_bad, SA_S("room", "commands"), SA_E(err));
        sa_error_clear(err);
        return;
    }
    sa_os_mutex_lock(commands->mutex);
    old = commands->settings;
    commands->settings = settings;
    sa_os_mutex_unlock(commands->mutex);
    sa_command__release_settings(old);
    sa_command_audit_reload(commands->audit, config);
    say_containment(commands, config);
}

static void drain(sa_queue_t *queue)
{
    sa_link_message_t *message = sa_queue_try_take(queue);

    while (message) {
        sa_link_message_destroy(message);
        message = sa_queue_try_take(queue);
    }
}

static void drain_pools(sa_queue_t *pools)
{
    apr_pool_t *pool = sa_queue_try_take(pools);

    while (pool) {
        apr_pool_destroy(pool);
        pool = sa_queue_try_take(pools);
    }
}

/* What waits is told so at once, what runs has a while, and is then ended. */
static void stop_calls(sa_commands_t *commands)
{
    sa_call_t *call;

    sa_command__lanes_close(commands->lanes);
    call = sa_command__lanes_take_out(commands->lanes);
    while (call) {
        refuse(call, sa_error(SA_ERR_STOPPING, NULL, NULL));
        call = sa_command__lanes_take_out(commands->lanes);
    }
    if (!sa_command__lanes_wait(commands->lanes,
                                sa_time_mono() + commands->settings->stop_patience)) {
        sa_command__lanes_stop(commands->lanes);
    }
    while (commands->worker_count > 0) {
        sa_os_thread_join(commands->workers[--commands->worker_count]);
    }
}

void sa_commands_stop(sa_commands_t *commands)
{
    sa_queue_close(commands->urgent);
    sa_queue_close(commands->inbox);
    if (commands->dispatcher) {
        sa_os_thread_join(commands->dispatcher);
        commands->dispatcher = NULL;
    }
    if (commands->settings) {
        stop_calls(commands);
        sa_command_audit_close(commands->audit);
        sa_command__release_settings(commands->settings);
        commands->settings = NULL;
    }
    drain(commands->inbox);
    drain(commands->urgent);
    drain_pools(commands->pools);
}
