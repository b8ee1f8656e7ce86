/* mesh: the thread that keeps the overlay.
 *
 * It waits for a mark (a document may have come, a command, settings, news of Nebula) or a time
 * (a trial is over, a look is due), and does what follows: the rules are in sa_mesh_keeper.c. */
#include "sa_mesh_keeper.h"

#include <string.h>

#include <apr_strings.h>

#include "sa_log.h"
#include "sa_os_thread.h"
#include "sa_pool.h"
#include "sa_pulse.h"
#include "sa_stats.h"
#include "sa_time.h"

/* An answer is out by then. */
#define ASK_DELAY apr_time_from_msec(500)

struct sa_mesh_t {
    apr_pool_t *pool;
    sa_os_mutex_t *mutex;
    sa_os_cond_t *cond;
    sa_os_thread_t *thread;
    sa_pulse_t *pulse;
    sa_mesh_sync_fn_t sync;
    void *sync_baton;
    sa_os_cancel_t *cancel;             /* of what the thread waits for, at the end */

    /* (m) */
    bool stopping;
    bool news;                          /* of Nebula */
    bool look;                          /* at nebula.config_file */
    apr_interval_time_t sync_due;       /* 0: nobody asked */
    apr_interval_time_t restart_due;
    sa_mesh__settings_t *next;          /* settings to be taken over; NULL: none */
    bool enabled;                       /* of the newest settings */
    sa_nebula_mode_t mode;
    sa_mesh_status_t status;

    /* the thread */
    sa_mesh__keeper_t *keeper;
};

/* What the thread is to do. */
typedef struct orders_t {
    bool stop;
    bool look;
    bool sync;
    bool restart;
    sa_mesh__settings_t *settings;
} orders_t;

/* ---- settings ------------------------------------------------------------------------- */

static apr_array_header_t *copy_list(const apr_array_header_t *list, apr_pool_t *pool)
{
    apr_array_header_t *copy = apr_array_make(pool, list->nelts + 1, sizeof(const char *));

    for (int i = 0; i < list->nelts; i++) {
        APR_ARRAY_PUSH(copy, const char *) =
            apr_pstrdup(pool, APR_ARRAY_IDX(list, i, const char *));
    }
    return copy;
}

sa_mesh__settings_t *sa_mesh__settings_create(const sa_config_t *config)
{
    apr_pool_t *pool = sa_pool_create_root();
    sa_mesh__settings_t *settings = apr_pcalloc(pool, sizeof(*settings));

    settings->pool = pool;
    settings->enabled = config->nebula_enabled;
    settings->mode = (sa_nebula_mode_t)config->nebula_mode;
    settings->config_file = apr_pstrdup(pool, config->nebula_config_file);
    settings->folder = apr_pstrdup(pool, config->nebula_folder);
    settings->binary = apr_pstrdup(pool, config->nebula_binary);
    settings->service = apr_pstrdup(pool, config->nebula_service);
    settings->verify_timeout = config->nebula_verify_timeout;
    settings->policy.devices = copy_list(config->nebula_allowed_devices, pool);
    settings->policy.routes = copy_list(config->nebula_allowed_routes, pool);
    return settings;
}

/* ---- the thread ----------------------------------------------------------------------- */

static bool take_due(apr_interval_time_t *due, apr_interval_time_t now)
{
    if (*due == 0 || now < *due) {
        return false;
    }
    *due = 0;
    return true;
}

static apr_interval_time_t sooner(apr_interval_time_t time, apr_interval_time_t due)
{
    return due != 0 && due < time ? due : time;
}

static bool has_mark(const sa_mesh_t *mesh)
{
    return mesh->stopping || mesh->news || mesh->look || mesh->next;
}

/* Wait until there is something to do, NEXT at the latest. */
static void wait_for_orders(orders_t *orders, sa_mesh_t *mesh, apr_interval_time_t next)
{
    apr_interval_time_t now = sa_time_mono();

    memset(orders, 0, sizeof(*orders));
    sa_os_mutex_lock(mesh->mutex);
    while (!has_mark(mesh)) {
        apr_interval_time_t deadline = sooner(sooner(next, mesh->sync_due), mesh->restart_due);

        if (!sa_os_cond_wait(mesh->cond, mesh->mutex, deadline)) {
            break;
        }
    }
    now = sa_time_mono();
    orders->stop = mesh->stopping;
    orders->look = mesh->look;
    orders->sync = take_due(&mesh->sync_due, now);
    orders->restart = take_due(&mesh->restart_due, now);
    orders->settings = mesh->next;
    mesh->next = NULL;
    mesh->look = false;
    mesh->news = false;
    sa_os_mutex_unlock(mesh->mutex);
}

static void say_stats(const sa_mesh_status_t *status, bool trouble)
{
    sa_stats_set(SA_STAT_mesh_enabled, status->enabled ? 1 : 0);
    sa_stats_set(SA_STAT_mesh_trouble, trouble ? 1 : 0);
    sa_stats_set(SA_STAT_mesh_running, status->running ? 1 : 0);
    sa_stats_set(SA_STAT_mesh_tunnels, (apr_uint64_t)status->tunnels);
    sa_stats_set(SA_STAT_mesh_lighthouse_up, status->lighthouse_up ? 1 : 0);
    sa_stats_set(SA_STAT_mesh_rolled_back, status->rolled_back ? 1 : 0);
    sa_stats_set(SA_STAT_mesh_cert_expires, (apr_uint64_t)status->certificate_expires);
    sa_stats_set_text(SA_STAT_TEXT_mesh_overlay_ip, status->overlay_ip);
    sa_stats_set_text(SA_STAT_TEXT_mesh_routes, status->unsafe_networks);
    sa_stats_set_text(SA_STAT_TEXT_mesh_error, status->error);
}

static void publish(sa_mesh_t *mesh)
{
    sa_mesh_status_t status;
    bool trouble = sa_mesh__keeper_status(mesh->keeper, &status);

    sa_os_mutex_lock(mesh->mutex);
    mesh->status = status;
    sa_os_mutex_unlock(mesh->mutex);
    say_stats(&status, trouble);
}

static void obey(sa_mesh_t *mesh, const orders_t *orders)
{
    bool look = orders->look || orders->settings;

    if (orders->settings) {
        sa_mesh__keeper_settle(mesh->keeper, orders->settings);
    }
    if (orders->sync) {
        sa_mesh__keeper_try_again(mesh->keeper);
        look = look || !mesh->sync || !mesh->sync(mesh->sync_baton);
    }
    if (look) {
        sa_mesh__keeper_look(mesh->keeper);
    }
    if (orders->restart) {
        sa_mesh__keeper_restart(mesh->keeper);
    }
    sa_mesh__keeper_tend(mesh->keeper);
}

static void run(void *baton)
{
    sa_mesh_t *mesh = baton;
    orders_t orders = {0};

    while (!orders.stop) {
        wait_for_orders(&orders, mesh, sa_mesh__keeper_next(mesh->keeper));
        if (!orders.stop) {
            sa_pulse_busy(mesh->pulse);
            obey(mesh, &orders);
            publish(mesh);
            sa_pulse_idle(mesh->pulse);
        } else if (orders.settings) {
            apr_pool_destroy(orders.settings->pool);
        }
    }
    sa_mesh__keeper_stop(mesh->keeper);
}

/* By whoever hears Nebula. */
static void on_news(void *baton)
{
    sa_mesh_t *mesh = baton;

    sa_os_mutex_lock(mesh->mutex);
    mesh->news = true;
    sa_os_cond_signal(mesh->cond);
    sa_os_mutex_unlock(mesh->mutex);
}

/* ---- the face ------------------------------------------------------------------------- */

sa_error_t *sa_mesh_create(sa_mesh_t **result, apr_pool_t *pool)
{
    sa_mesh_t *mesh = apr_pcalloc(pool, sizeof(*mesh));

    mesh->pool = pool;
    mesh->mutex = sa_os_mutex_create(pool);
    mesh->cond = sa_os_cond_create(pool);
    mesh->pulse = sa_pulse_create("mesh", pool);
    SA_TRY(sa_os_cancel_create(&mesh->cancel, pool));
    *result = mesh;
    return SA_OK;
}

void sa_mesh_on_sync(sa_mesh_t *mesh, sa_mesh_sync_fn_t sync, void *baton)
{
    mesh->sync = sync;
    mesh->sync_baton = baton;
}

/* A machine without an overlay has no thread for it. */
static sa_error_t *begin(sa_mesh_t *mesh)
{
    apr_status_t status;

    mesh->keeper = sa_mesh__keeper_create(on_news, mesh, mesh->cancel);
    status = sa_os_thread_start(&mesh->thread, "mesh", run, mesh, mesh->pool);
    if (status != APR_SUCCESS) {
        mesh->thread = NULL;
        sa_mesh__keeper_stop(mesh->keeper);
        return sa_error_apr(status, "cannot start the overlay's thread");
    }
    return SA_OK;
}

static void hand_over(sa_mesh_t *mesh, const sa_config_t *config)
{
    sa_mesh__settings_t *settings = sa_mesh__settings_create(config);
    sa_mesh__settings_t *unused;

    sa_os_mutex_lock(mesh->mutex);
    unused = mesh->next;
    mesh->next = settings;
    mesh->enabled = settings->enabled;
    mesh->mode = settings->mode;
    sa_os_cond_signal(mesh->cond);
    sa_os_mutex_unlock(mesh->mutex);
    if (unused) {
        apr_pool_destroy(unused->pool);
    }
}

sa_error_t *sa_mesh_start(sa_mesh_t *mesh, const sa_config_t *config)
{
    if (!config->nebula_enabled) {
        return SA_OK;
    }
    hand_over(mesh, config);
    return begin(mesh);
}

void sa_mesh_reload(sa_mesh_t *mesh, const sa_config_t *config)
{
    sa_error_t *err = SA_OK;

    if (!mesh->thread && !config->nebula_enabled) {
        return;
    }
    hand_over(mesh, config);
    if (!mesh->thread) {
        err = begin(mesh);
    }
    if (err) {
        SA_LOG(mesh_unavailable, SA_E(err));
    }
    sa_error_clear(err);
}

void sa_mesh_stop(sa_mesh_t *mesh)
{
    sa_os_mutex_lock(mesh->mutex);
    mesh->stopping = true;
    sa_os_cond_signal(mesh->cond);
    sa_os_mutex_unlock(mesh->mutex);
    sa_os_cancel(mesh->cancel);
    if (mesh->thread) {
        sa_os_thread_join(mesh->thread);
        mesh->thread = NULL;
    }
    if (mesh->next) {
        apr_pool_destroy(mesh->next->pool);
        mesh->next = NULL;
    }
}

void sa_mesh_look(sa_mesh_t *mesh)
{
    sa_os_mutex_lock(mesh->mutex);
    mesh->look = mesh->enabled;
    sa_os_cond_signal(mesh->cond);
    sa_os_mutex_unlock(mesh->mutex);
}

sa_error_t *sa_mesh_ask(sa_mesh_t *mesh, sa_mesh_action_t action)
{
    apr_interval_time_t due = sa_time_mono() + ASK_DELAY;
    bool enabled;
    bool ours;

    sa_os_mutex_lock(mesh->mutex);
    enabled = mesh->enabled;
    ours = mesh->mode != SA_NEBULA_FILES;
    if (enabled && action == SA_MESH_SYNC) {
        mesh->sync_due = due;
    } else if (enabled && ours) {
        mesh->restart_due = due;
    }
    sa_os_cond_signal(mesh->cond);
    sa_os_mutex_unlock(mesh->mutex);
    if (!enabled) {
        return sa_error(SA_ERR_REFUSED, NULL, "nebula is not enabled on this agent");
    }
    if (action == SA_MESH_RESTART && !ours) {
        return sa_error(SA_ERR_REFUSED, NULL,
                        "nebula is not run by this agent (nebula.mode is files)");
    }
    return SA_OK;
}

void sa_mesh_status_read(sa_mesh_t *mesh, sa_mesh_status_t *status)
{
    sa_os_mutex_lock(mesh->mutex);
    *status = mesh->status;
    sa_os_mutex_unlock(mesh->mutex);
}
