/* command: the table, the dispatcher and the workers. */
#include "sa_command.h"

#include <string.h>

#include <apr_atomic.h>
#include <apr_strings.h>

#include "sa_command_private.h"
#include "sa_link.h"
#include "sa_log.h"
#include "sa_pool.h"
#include "sa_random.h"
#include "sa_stats.h"
#include "sa_time.h"

#define INBOX_LIMIT 256

static const sa_command_row_t table[] = {
    { .name = "ping", .run = sa_command__ping,
      .flags = SA_COMMAND_QUICK | SA_COMMAND_ANY_BODY | SA_COMMAND_UNCOUNTED,
      .doc = "Answer, to show that the agent is alive." },
    { .name = "health", .run = sa_command__health,
      .flags = SA_COMMAND_QUICK | SA_COMMAND_ANY_BODY | SA_COMMAND_UNCOUNTED,
      .doc = "Say how the agent is." },
};

/* ---- settings ------------------------------------------------------------- */

static void add_text(apr_array_header_t *list, bool wanted, const char *text)
{
    if (wanted) {
        APR_ARRAY_PUSH(list, const char *) = text;
    }
}

static sa_command_settings_t *copy_settings(const sa_config_t *config)
{
    apr_pool_t *pool = sa_pool_create_root();
    sa_command_settings_t *settings = apr_pcalloc(pool, sizeof(*settings));

    settings->pool = pool;
    settings->users = 1;
    settings->code = apr_pstrdup(pool, config->code);
    settings->location = apr_pstrdup(pool, config->location);
    settings->subject_prefix = apr_pstrdup(pool, config->subject_prefix);
    settings->reply_prefixes = apr_array_make(pool, 4, sizeof(const char *));
    for (int i = 0; i < config->reply_prefixes->nelts; i++) {
        APR_ARRAY_PUSH(settings->reply_prefixes, const char *) =
            apr_pstrdup(pool, APR_ARRAY_IDX(config->reply_prefixes, i, const char *));
    }
    settings->enabled_tasks = apr_array_make(pool, 4, sizeof(const char *));
    add_text(settings->enabled_tasks, config->heartbeat_enabled, "heartbeat");
    add_text(settings->enabled_tasks, config->metrics_enabled, "system_metrics");
    add_text(settings->enabled_tasks, config->exporters->nelts > 0, "exporters");
    add_text(settings->enabled_tasks, config->services_enabled && config->services->nelts > 0,
             "service_check");
    add_text(settings->enabled_tasks, config->inventory_enabled, "inventory");
    return settings;
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

/* ---- one request ---------------------------------------------------------- */

/* "cmd.{name}" is the last token of the subject. */
static const char *command_name(const sa_link_message_t *message)
{
    const char *subject = sa_link_message_subject(message);
    const char *dot = strrchr(subject, '.');

    return dot ? dot + 1 : subject;
}

static const sa_command_row_t *find_row(const sa_commands_t *commands, const char *name)
{
    for (int i = 0; i < commands->table_length; i++) {
        if (strcmp(commands->table[i].name, name) == 0) {
            return &commands->table[i];
        }
    }
    return NULL;
}

static sa_error_t *read_request(const cJSON **json, const sa_command_row_t *row,
                                const sa_link_message_t *message, apr_pool_t *pool)
{
    size_t length;
    const char *data = sa_link_message_data(message, &length);
    sa_error_t *err;
    cJSON *parsed;

    *json = NULL;
    if (length > SA_REQUEST_LIMIT) {
        return sa_error(SA_ERR_REQUEST_SIZE, NULL,
                        "a request of %" APR_SIZE_T_FMT " bytes; the limit is %d",
                        (apr_size_t)length, SA_REQUEST_LIMIT);
    }
    if ((row->flags & SA_COMMAND_ANY_BODY) || length == 0) {
        *json = sa_json_object(pool);
        return SA_OK;
    }
    err = sa_json_parse(&parsed, data, length, pool);
    if (err) {
        /* the contract's words; the details are for our log */
        return sa_error(SA_ERR_REQUEST_FORMAT, err, "Invalid request format");
    }
    *json = parsed;
    return SA_OK;
}

static sa_error_t *run_row(sa_call_t *call, const sa_command_row_t *row,
                           const sa_link_message_t *message)
{
    SA_TRY(read_request(&call->request, row, message, call->pool));
    return row->run(call);
}

static void count(sa_commands_t *commands, const sa_command_row_t *row, const sa_error_t *err,
                  apr_interval_time_t took)
{
    sa_command_count_t *counts = &commands->counts[row - commands->table];
    char text[SA_STAT_TEXT_SIZE];

    apr_atomic_add64(&counts->requests, 1);
    apr_atomic_add64(&counts->busy_us, (apr_uint64_t)took);
    if (!(row->flags & SA_COMMAND_UNCOUNTED)) {
        sa_stats_add(SA_STAT_commands_processed, 1);
    }
    if (err) {
        apr_atomic_add64(&counts->errors, 1);
        sa_stats_add(SA_STAT_commands_errored, 1);
        sa_stats_set(SA_STAT_last_error_at, (apr_uint64_t)sa_time_now());
        sa_stats_set_text(SA_STAT_TEXT_last_error, sa_error_text(err, text, sizeof(text)));
    }
}

static void run_command(sa_commands_t *commands, const sa_command_row_t *row,
                        const sa_link_message_t *message, apr_pool_t *pool)
{
    sa_command_settings_t *settings = sa_command__hold_settings(commands);
    apr_interval_time_t began = sa_time_mono();
    sa_call_t call = {
        .commands = commands, .settings = settings, .reply = sa_json_object(pool), .pool = pool
    };
    sa_error_t *err = run_row(&call, row, message);

    if (err) {
        SA_LOG(command_failed, SA_S("command", row->name), SA_E(err));
        sa_command__reply_error(commands, settings, message, err, pool);
    } else {
        sa_json_add_time(call.reply, "ts", sa_time_now());
        sa_command__reply(commands, settings, message, NULL, call.reply, pool);
    }
    count(commands, row, err, sa_time_mono() - began);
    sa_error_clear(err);
    sa_command__release_settings(settings);
}

static void refuse(sa_commands_t *commands, const sa_link_message_t *message, sa_error_t *err,
                   apr_pool_t *pool)
{
    sa_command_settings_t *settings = sa_command__hold_settings(commands);

    sa_stats_add(SA_STAT_commands_refused, 1);
    SA_LOG(command_refused, SA_S("command", command_name(message)), SA_E(err));
    sa_command__reply_error(commands, settings, message, err, pool);
    sa_error_clear(err);
    sa_command__release_settings(settings);
}

/* ---- workers -------------------------------------------------------------- */

static void work(void *baton)
{
    sa_commands_t *commands = baton;
    apr_pool_t *pool = sa_pool_create_root();
    sa_link_message_t *message = sa_queue_take(commands->work, SA_OS_NEVER);

    while (message) {
        const sa_command_row_t *row = find_row(commands, command_name(message));

        SA_ASSERT(row != NULL);
        run_command(commands, row, message, pool);
        sa_link_message_destroy(message);
        apr_pool_clear(pool);
        apr_atomic_dec32(&commands->in_hand);
        message = sa_queue_take(commands->work, SA_OS_NEVER);
    }
    apr_pool_destroy(pool);
}

/* Threads are started on first need: when all that are there have work. */
static void want_worker(sa_commands_t *commands)
{
    apr_status_t status;

    if (commands->worker_count == commands->worker_limit
        || apr_atomic_read32(&commands->in_hand) < commands->worker_count) {
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

static void hand_to_worker(sa_commands_t *commands, sa_link_message_t **message, apr_pool_t *pool)
{
    want_worker(commands);
    if (commands->worker_count == 0
        || apr_atomic_read32(&commands->in_hand) >= commands->hand_limit) {
        refuse(commands, *message, sa_error(SA_ERR_BUSY, NULL, NULL), pool);
        return;
    }
    apr_atomic_inc32(&commands->in_hand);
    if (!sa_queue_give(commands->work, message)) {
        apr_atomic_dec32(&commands->in_hand);       /* closed: the agent is stopping */
    }
}

/* ---- the dispatcher ------------------------------------------------------- */

static void dispatch(sa_commands_t *commands, sa_link_message_t **message, apr_pool_t *pool)
{
    const char *subject = sa_link_message_subject(*message);
    const sa_command_row_t *row;

    if (strncmp(subject, "$SRV.", 5) == 0) {
        sa_command_settings_t *settings = sa_command__hold_settings(commands);

        sa_command__micro(commands, settings, *message, pool);
        sa_command__release_settings(settings);
        return;
    }
    row = find_row(commands, command_name(*message));
    if (!row) {
        refuse(commands, *message,
               sa_error(SA_ERR_UNKNOWN_COMMAND, NULL, "unknown command: %s",
                        command_name(*message)), pool);
    } else if (row->flags & SA_COMMAND_QUICK) {
        run_command(commands, row, *message, pool);
    } else {
        hand_to_worker(commands, message, pool);
    }
}

static void run(void *baton)
{
    sa_commands_t *commands = baton;
    apr_pool_t *pool = sa_pool_create_root();
    sa_link_message_t *message = sa_queue_take(commands->inbox, SA_OS_NEVER);

    while (message) {
        sa_pulse_busy(commands->pulse);
        dispatch(commands, &message, pool);
        sa_link_message_destroy(message);       /* NULL when a worker has it */
        apr_pool_clear(pool);
        sa_pulse_idle(commands->pulse);
        message = sa_queue_take(commands->inbox, SA_OS_NEVER);
    }
    apr_pool_destroy(pool);
}

/* On the bus's thread: keep the message, give it on, return. */
static void on_message(void *baton, sa_link_message_t **message)
{
    sa_commands_t *commands = baton;

    if (!sa_queue_give(commands->inbox, message)) {
        sa_stats_add(SA_STAT_link_inbox_full, 1);
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

sa_error_t *sa_commands_create(sa_commands_t **result, sa_link_t *link, const sa_config_t *config,
                               apr_pool_t *pool)
{
    sa_commands_t *commands = apr_pcalloc(pool, sizeof(*commands));

    commands->link = link;
    commands->pool = pool;
    sa_command__set_table(commands, table, (int)(sizeof(table) / sizeof(table[0])));
    commands->inbox = sa_queue_create(INBOX_LIMIT, pool);
    commands->worker_limit = (apr_uint32_t)config->command_workers;
    commands->hand_limit = (apr_uint32_t)(config->command_queue + config->command_workers);
    commands->work = sa_queue_create(commands->hand_limit, pool);
    commands->mutex = sa_os_mutex_create(pool);
    commands->settings = copy_settings(config);
    commands->pulse = sa_pulse_create("command", pool);
    sa_random_text(commands->service_id, sizeof(commands->service_id) - 2);
    SA_TRY_MSG(sa_os_host_read(&commands->host, pool), "cannot find out what this machine is");
    subscribe(commands, config);
    *result = commands;
    return SA_OK;
}

sa_error_t *sa_commands_start(sa_commands_t *commands)
{
    SA_TRY_APR(sa_os_thread_start(&commands->dispatcher, "command", run, commands, commands->pool),
               "cannot start the commands' thread");
    return SA_OK;
}

void sa_commands_reload(sa_commands_t *commands, const sa_config_t *config)
{
    sa_command_settings_t *settings = copy_settings(config);
    sa_command_settings_t *old;

    sa_os_mutex_lock(commands->mutex);
    old = commands->settings;
    commands->settings = settings;
    sa_os_mutex_unlock(commands->mutex);
    sa_command__release_settings(old);
}

static void drain(sa_queue_t *queue)
{
    sa_link_message_t *message = sa_queue_try_take(queue);

    while (message) {
        sa_link_message_destroy(message);
        message = sa_queue_try_take(queue);
    }
}

void sa_commands_stop(sa_commands_t *commands)
{
    sa_queue_close(commands->inbox);
    if (commands->dispatcher) {
        sa_os_thread_join(commands->dispatcher);
        commands->dispatcher = NULL;
    }
    sa_queue_close(commands->work);
    while (commands->worker_count > 0) {
        sa_os_thread_join(commands->workers[--commands->worker_count]);
    }
    drain(commands->inbox);
    drain(commands->work);
    if (commands->settings) {
        sa_command__release_settings(commands->settings);
        commands->settings = NULL;
    }
}
