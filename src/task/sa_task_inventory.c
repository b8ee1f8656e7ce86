/* task: telemetry.inventory, what the machine is.
 *
 * Read by the collector's thread every check_interval; sent the first time, when
 * interval has passed since the last one, and when something changed.  What moves by
 * itself (free space, available memory) is no change.  Nothing is sent on failure. */
#include <string.h>

#include <apr_strings.h>

#include "sa_log.h"
#include "sa_os_host.h"
#include "sa_os_inventory.h"
#include "sa_pool.h"
#include "sa_stats.h"
#include "sa_task_private.h"
#include "sa_time.h"
#include "sa_version.h"

#define GB (1024.0 * 1024.0 * 1024.0)

struct sa_task_inventory_t {
    apr_pool_t *pool;           /* of stable */
    cJSON *stable;              /* of the last one sent, without what moves; NULL: none */
    apr_interval_time_t sent_at;
};

/* ---- the parts -------------------------------------------------------------------- */

static void add_system(cJSON *json, const sa_task_machine_t *machine)
{
    cJSON *part = cJSON_AddObjectToObject(json, "agent");

    cJSON_AddStringToObject(part, "version", sa_version());
    part = cJSON_AddObjectToObject(json, "os");
    cJSON_AddStringToObject(part, "platform", machine->host.platform);
    cJSON_AddStringToObject(part, "name", machine->host.name);
    cJSON_AddStringToObject(part, "version", machine->host.version);
    cJSON_AddStringToObject(part, "build", machine->host.build);
    part = cJSON_AddObjectToObject(json, "cpu");
    cJSON_AddNumberToObject(part, "cores", machine->inventory.cpu_cores);
    cJSON_AddStringToObject(part, "model", machine->inventory.cpu_model);
}

static void add_space(cJSON *json, const sa_task_machine_t *machine, bool stable)
{
    cJSON *part = cJSON_AddObjectToObject(json, "memory");

    sa_json_add_rounded(part, "total_gb", (double)machine->memory.total_bytes / GB);
    if (!stable) {
        sa_json_add_rounded(part, "available_gb", (double)machine->memory.available_bytes / GB);
    }
    part = cJSON_AddArrayToObject(json, "disks");
    for (int i = 0; i < machine->disks->nelts; i++) {
        const sa_os_disk_t *disk = &APR_ARRAY_IDX(machine->disks, i, sa_os_disk_t);
        cJSON *item = cJSON_CreateObject();

        cJSON_AddItemToArray(part, item);
        cJSON_AddStringToObject(item, "drive", disk->drive);
        sa_json_add_rounded(item, "total_gb", (double)disk->total_bytes / GB);
        if (!stable) {
            sa_json_add_rounded(item, "free_gb", (double)disk->free_bytes / GB);
        }
    }
}

static void add_network(cJSON *json, const sa_os_inventory_t *inventory)
{
    cJSON *part = cJSON_AddObjectToObject(json, "network");
    cJSON *list;

    cJSON_AddStringToObject(part, "primary_ip", inventory->primary_ip);
    list = cJSON_AddArrayToObject(part, "interfaces");
    for (int i = 0; i < inventory->interfaces->nelts; i++) {
        const sa_os_interface_t *interface = &APR_ARRAY_IDX(inventory->interfaces, i,
                                                            sa_os_interface_t);
        cJSON *item = cJSON_CreateObject();
        cJSON *addresses;

        cJSON_AddItemToArray(list, item);
        cJSON_AddStringToObject(item, "name", interface->name);
        if (*interface->mac) {
            cJSON_AddStringToObject(item, "mac", interface->mac);
        }
        cJSON_AddBoolToObject(item, "up", interface->up);
        addresses = cJSON_AddArrayToObject(item, "addresses");
        for (int j = 0; j < interface->addresses->nelts; j++) {
            cJSON_AddItemToArray(addresses, cJSON_CreateString(
                APR_ARRAY_IDX(interface->addresses, j, const char *)));
        }
    }
}

static void add_machine(cJSON *json, const sa_task_machine_t *machine)
{
    const sa_os_inventory_t *inventory = &machine->inventory;
    cJSON *part = cJSON_AddObjectToObject(json, "machine");

    cJSON_AddStringToObject(part, "hostname", machine->host.hostname);
    cJSON_AddStringToObject(part, "architecture", inventory->architecture);
    cJSON_AddStringToObject(part, "kernel", machine->host.build);
    if (*inventory->machine_id) {
        cJSON_AddStringToObject(part, "id", inventory->machine_id);
    }
    if (inventory->boot_time > 0) {
        sa_json_add_time(part, "boot_time", inventory->boot_time);
    }
    cJSON_AddStringToObject(part, "virtualization", inventory->virtualization);
    cJSON_AddStringToObject(part, "container", inventory->container);
    cJSON_AddBoolToObject(part, "reboot_required", inventory->reboot_required);
    if (*inventory->package_manager) {
        part = cJSON_AddObjectToObject(json, "packages");
        cJSON_AddStringToObject(part, "manager", inventory->package_manager);
        if (inventory->packages >= 0) {
            sa_json_add_count(part, "count", (apr_uint64_t)inventory->packages);
        }
    }
}

void sa_task__inventory_fill(cJSON *json, const sa_task_machine_t *machine, bool stable)
{
    add_system(json, machine);
    add_space(json, machine, stable);
    add_network(json, &machine->inventory);
    add_machine(json, machine);
    if (stable) {
        /* a stepped clock moves it */
        cJSON_DeleteItemFromObject(cJSON_GetObjectItem(json, "machine"), "boot_time");
    }
}

/* ---- changes ----------------------------------------------------------------------- */

/* Add to NAMES the members in which OLD and NEW differ. */
static void add_differing(cJSON *names, const cJSON *old, const cJSON *new)
{
    for (const cJSON *member = new->child; member; member = member->next) {
        const cJSON *before = cJSON_GetObjectItemCaseSensitive(old, member->string);

        if (!before || !cJSON_Compare(before, member, true)) {
            cJSON_AddItemToArray(names, cJSON_CreateString(member->string));
        }
    }
    for (const cJSON *member = old->child; member; member = member->next) {
        if (!cJSON_GetObjectItemCaseSensitive(new, member->string)) {
            cJSON_AddItemToArray(names, cJSON_CreateString(member->string));
        }
    }
}

sa_task_inventory_t *sa_task__inventory_create(apr_pool_t *pool)
{
    sa_task_inventory_t *inventory = apr_pcalloc(pool, sizeof(*inventory));

    inventory->pool = sa_pool_create(pool);
    return inventory;
}

/* What sending means: remember STABLE, which was adopted by another pool. */
static void remember(sa_task_inventory_t *inventory, const cJSON *stable)
{
    apr_pool_clear(inventory->pool);
    inventory->stable = sa_json_own(cJSON_Duplicate(stable, true), inventory->pool);
    inventory->sent_at = sa_time_mono();
}

bool sa_task__inventory_is_news(cJSON *json, sa_task_inventory_t *inventory,
                                const sa_task_machine_t *machine, apr_interval_time_t interval,
                                apr_pool_t *scratch_pool)
{
    cJSON *stable = sa_json_object(scratch_pool);
    cJSON *changed = sa_json_own(cJSON_CreateArray(), scratch_pool);
    bool first = inventory->stable == NULL;

    sa_task__inventory_fill(stable, machine, true);
    if (!first) {
        add_differing(changed, inventory->stable, stable);
    }
    if (!first && cJSON_GetArraySize(changed) == 0
        && sa_time_mono() - inventory->sent_at < interval) {
        return false;
    }
    sa_task__inventory_fill(json, machine, false);
    if (cJSON_GetArraySize(changed) > 0) {
        const char *names = sa_json_print(changed, NULL, scratch_pool);

        SA_LOG(inventory_changed, SA_S("parts", names));
        cJSON_AddStringToObject(json, "event", "change");
        cJSON_AddItemToObject(json, "changed", cJSON_Duplicate(changed, true));
    }
    remember(inventory, stable);
    return true;
}

/* ---- collecting ---------------------------------------------------------------------- */

static sa_error_t *read_machine(sa_task_machine_t *machine, apr_pool_t *pool)
{
    SA_TRY(sa_os_host_read(&machine->host, pool));
    SA_TRY(sa_os_inventory_read(&machine->inventory, pool));
    SA_TRY(sa_os_memory_read(&machine->memory, pool));
    SA_TRY(sa_os_disks_read(&machine->disks, pool));
    return SA_OK;
}

void sa_task__inventory_collect(sa_tasks_t *tasks, sa_task_inventory_t *inventory,
                                const sa_collect_request_t *request, apr_pool_t *scratch_pool)
{
    sa_task_machine_t machine = {0};
    cJSON *json = sa_task__report_json(request->code, request->location, scratch_pool);
    sa_error_t *err = read_machine(&machine, scratch_pool);

    if (err) {
        SA_LOG(task_failed, SA_S("task", "inventory"), SA_E(err));
        sa_stats_add(SA_STAT_inventory_failures, 1);
        sa_error_clear(err);
        return;
    }
    if (sa_task__inventory_is_news(json, inventory, &machine, request->interval, scratch_pool)) {
        sa_task__give_json(tasks, SA_DELIVER_DURABLE, "telemetry.inventory", json);
        sa_stats_add(SA_STAT_inventory_count, 1);
        sa_stats_set(SA_STAT_last_inventory, (apr_uint64_t)sa_time_now());
    }
}

/* ---- the job ---------------------------------------------------------------------------- */

void sa_task__inventory(sa_job_t *job, apr_pool_t *scratch_pool)
{
    (void)scratch_pool;
    job->running = sa_task__collect_ask(job->tasks, SA_COLLECT_INVENTORY);
    job->asked = job->tasks->collect_asked;
}

void sa_task__inventory_overdue(sa_job_t *job, apr_pool_t *scratch_pool)
{
    (void)scratch_pool;
    SA_LOG(task_overdue, SA_S("task", job->name), SA_D("timeout", job->timeout));
    sa_stats_add(SA_STAT_inventory_failures, 1);
}
