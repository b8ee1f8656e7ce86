/* task: telemetry.system from the page of a node_exporter or a
 * windows_exporter.
 *
 * The page becomes the same two readings that the built-in collector makes, and
 * the same code turns them into numbers.  Names as those exporters document
 * them: docs/protocol.md.  The page may be another machine's, so
 * what counts as a disk is decided here by what stands on the page. */
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "sa_log.h"
#include "sa_pool.h"
#include "sa_stats.h"
#include "sa_task_private.h"
#include "sa_time.h"
#include "sa_version.h"

#define FETCH_TIMEOUT apr_time_from_sec(10)
#define PAGE_LIMIT (16 * 1024 * 1024)
#define BASELINE_DELAY apr_time_from_sec(1)
#define ENTRIES_MAX 1024
#define LEAST_BYTES (1024.0 * 1024.0 * 1024.0)

/* ---- what is on the page ------------------------------------------------------ */

typedef struct place_t {
    const char *device;
    const char *type;
    const char *point;
    double size;
    double available;
} place_t;

typedef struct device_t {
    const char *name;
    const char *alias;              /* of a device mapper, or NULL */
    double read;
    double written;
    bool has_io;
} device_t;

typedef struct found_t {
    apr_pool_t *pool;
    double cpu_total;               /* seconds */
    double cpu_idle;
    bool has_cpu;
    double memory_total;
    double memory_available;
    double memory_free;
    bool has_available;
    bool has_free;
    apr_array_header_t *places;     /* of place_t */
    apr_array_header_t *devices;    /* of device_t */
} found_t;

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static place_t *place_of(found_t *found, const char *device, const char *type, const char *point)
{
    place_t *place;

    for (int i = 0; i < found->places->nelts; i++) {
        place = &APR_ARRAY_IDX(found->places, i, place_t);
        if (is(place->device, device) && is(place->point, point)) {
            return place;
        }
    }
    if (found->places->nelts >= ENTRIES_MAX) {
        return NULL;
    }
    place = apr_array_push(found->places);
    *place = (place_t){.device = device, .type = type, .point = point};
    return place;
}

static device_t *device_of(found_t *found, const char *name)
{
    device_t *device;

    for (int i = 0; i < found->devices->nelts; i++) {
        device = &APR_ARRAY_IDX(found->devices, i, device_t);
        if (is(device->name, name)) {
            return device;
        }
    }
    if (found->devices->nelts >= ENTRIES_MAX) {
        return NULL;
    }
    device = apr_array_push(found->devices);
    memset(device, 0, sizeof(*device));
    device->name = name;
    return device;
}

static void take_cpu(found_t *found, const sa_exposition_sample_t *sample)
{
    const char *mode = sa_exposition_label(sample, "mode", found->pool);
    double seconds = sa_exposition_value(sample);

    /* Windows counts time for interrupts and DPCs as privileged as well. */
    if (sa_exposition_is_named(sample, "windows_cpu_time_total") &&
        (is(mode, "interrupt") || is(mode, "dpc"))) {
        return;
    }
    found->has_cpu = true;
    found->cpu_total += seconds;
    if (is(mode, "idle") || is(mode, "iowait")) {
        found->cpu_idle += seconds;
    }
}

static void take_size(found_t *found, const sa_exposition_sample_t *sample, bool available)
{
    bool windows = *sa_exposition_label(sample, "volume", found->pool) != '\0';
    const char *volume = sa_exposition_label(sample, "volume", found->pool);
    place_t *place =
        windows ? place_of(found, volume, "ntfs", volume)
                : place_of(found, sa_exposition_label(sample, "device", found->pool),
                           sa_exposition_label(sample, "fstype", found->pool),
                           sa_exposition_label(sample, "mountpoint", found->pool));

    if (place && available) {
        place->available = sa_exposition_value(sample);
    } else if (place) {
        place->size = sa_exposition_value(sample);
    }
}

static void take_io(found_t *found, const sa_exposition_sample_t *sample, bool written)
{
    const char *volume = sa_exposition_label(sample, "volume", found->pool);
    device_t *device = device_of(found, *volume ? volume
                                                : sa_exposition_label(sample, "device",
                                                                      found->pool));

    if (device) {
        device->has_io = true;
        *(written ? &device->written : &device->read) = sa_exposition_value(sample);
    }
}

static void take_alias(found_t *found, const sa_exposition_sample_t *sample)
{
    device_t *device = device_of(found, sa_exposition_label(sample, "device", found->pool));

    if (device) {
        device->alias = sa_exposition_label(sample, "name", found->pool);
    }
}

enum {
    CPU, MEMORY_TOTAL, MEMORY_AVAILABLE, MEMORY_FREE, MEMORY_PART, SIZE, AVAILABLE, READ, WRITTEN,
    ALIAS
};

/* node_exporter on Linux, then what only FreeBSD's has, then windows_exporter,
 * where names differ between versions. */
static const struct {
    const char *name;
    int meaning;
} names[] = {
    {"node_cpu_seconds_total", CPU},
    {"node_memory_MemTotal_bytes", MEMORY_TOTAL},
    {"node_memory_MemAvailable_bytes", MEMORY_AVAILABLE},
    {"node_memory_MemFree_bytes", MEMORY_FREE},
    {"node_filesystem_size_bytes", SIZE},
    {"node_filesystem_avail_bytes", AVAILABLE},
    {"node_disk_read_bytes_total", READ},
    {"node_disk_written_bytes_total", WRITTEN},
    {"node_disk_device_mapper_info", ALIAS},
    {"node_memory_size_bytes", MEMORY_TOTAL},
    {"node_memory_free_bytes", MEMORY_PART},
    {"node_memory_inactive_bytes", MEMORY_PART},
    {"node_memory_laundry_bytes", MEMORY_PART},
    {"windows_cpu_time_total", CPU},
    {"windows_memory_physical_total_bytes", MEMORY_TOTAL},
    {"windows_cs_physical_memory_bytes", MEMORY_TOTAL},
    {"windows_memory_available_bytes", MEMORY_AVAILABLE},
    {"windows_os_physical_memory_free_bytes", MEMORY_FREE},
    {"windows_memory_physical_free_bytes", MEMORY_FREE},
    {"windows_logical_disk_size_bytes", SIZE},
    {"windows_logical_disk_free_bytes", AVAILABLE},
    {"windows_logical_disk_read_bytes_total", READ},
    {"windows_logical_disk_write_bytes_total", WRITTEN}
};

static void take(found_t *found, const sa_exposition_sample_t *sample, int meaning)
{
    switch (meaning) {
    case CPU:
        take_cpu(found, sample);
        break;
    case MEMORY_TOTAL:
        found->memory_total = sa_exposition_value(sample);
        break;
    case MEMORY_AVAILABLE:
        found->memory_available = sa_exposition_value(sample);
        found->has_available = true;
        break;
    case MEMORY_FREE:
        found->memory_free = sa_exposition_value(sample);
        found->has_free = true;
        break;
    case MEMORY_PART:
        found->memory_free += sa_exposition_value(sample);
        found->has_free = true;
        break;
    case SIZE:
    case AVAILABLE:
        take_size(found, sample, meaning == AVAILABLE);
        break;
    case ALIAS:
        take_alias(found, sample);
        break;
    default:
        take_io(found, sample, meaning == WRITTEN);
    }
}

static void on_sample(void *baton, const sa_exposition_sample_t *sample)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (sa_exposition_is_named(sample, names[i].name)) {
            take(baton, sample, names[i].meaning);
            return;
        }
    }
}

/* ---- disks -------------------------------------------------------------------- */

static bool is_letter_volume(const char *point)
{
    return point[0] != '\0' && point[1] == ':' && point[2] == '\0';
}

/* A local disk that can run full, as the built-in collector has it. */
static bool is_disk(const place_t *place)
{
    static const char *const never[] = {"iso9660", "squashfs", "erofs", "cramfs", "romfs"};
    static const char *const files[] = {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"};

    if (!(place->size >= LEAST_BYTES)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        if (is(place->type, never[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        if (is(place->point, files[i])) {       /* bound into a container */
            return false;
        }
    }
    return is_letter_volume(place->point) || is(place->type, "btrfs") || is(place->type, "zfs") ||
           (strncmp(place->device, "/dev/", 5) == 0 && strncmp(place->type, "fuse", 4) != 0);
}

/* Short names first, of one device the first counts. */
static int compare_places(const void *left, const void *right)
{
    const place_t *a = left;
    const place_t *b = right;
    size_t a_length = strlen(a->point);
    size_t b_length = strlen(b->point);

    return a_length != b_length ? (a_length < b_length ? -1 : 1) : strcmp(a->point, b->point);
}

static int compare_disks(const void *left, const void *right)
{
    return strcmp(((const sa_os_disk_t *)left)->drive, ((const sa_os_disk_t *)right)->drive);
}

static const device_t *find_device(const found_t *found, const char *name, size_t length)
{
    for (int i = 0; i < found->devices->nelts; i++) {
        const device_t *device = &APR_ARRAY_IDX(found->devices, i, device_t);

        if ((strlen(device->name) == length && memcmp(device->name, name, length) == 0) ||
            (device->alias && strlen(device->alias) == length &&
             memcmp(device->alias, name, length) == 0)) {
            return device->has_io ? device : NULL;
        }
    }
    return NULL;
}

/* The counters of DEVICE.  A node_exporter leaves partitions out unless it is
 * told not to: then those of the whole disk are the nearest there is. */
static const device_t *io_of(const found_t *found, const char *device)
{
    const char *slash = strrchr(device, '/');
    const char *name = slash ? slash + 1 : device;
    size_t length = strlen(name);
    const device_t *exact = find_device(found, name, length);

    if (exact) {
        return exact;
    }
    while (length > 1 && name[length - 1] >= '0' && name[length - 1] <= '9') {
        length--;
    }
    if (length > 2 && name[length - 1] == 'p' && name[length - 2] >= '0' &&
        name[length - 2] <= '9') {
        length--;                   /* nvme0n1p2, mmcblk0p1 */
    }
    return find_device(found, name, length);
}

static apr_uint64_t whole(double number)
{
    return number >= 0.0 && number < 1.8e19 ? (apr_uint64_t)number : 0;
}

static void add_disk(apr_array_header_t *disks, const found_t *found, const place_t *place,
                     apr_pool_t *pool)
{
    const device_t *device = io_of(found, place->device);
    sa_os_disk_t *disk = apr_array_push(disks);

    memset(disk, 0, sizeof(*disk));
    disk->drive = apr_pstrdup(pool, place->point);
    disk->total_bytes = whole(place->size);
    disk->free_bytes = whole(place->available);
    if (device) {
        disk->has_io = true;
        disk->read_bytes = whole(device->read);
        disk->written_bytes = whole(device->written);
    }
}

static bool is_done(const apr_array_header_t *places, int count)
{
    const place_t *place = &APR_ARRAY_IDX(places, count, place_t);

    for (int i = 0; i < count; i++) {
        const place_t *other = &APR_ARRAY_IDX(places, i, place_t);

        if (is_disk(other) && is(other->device, place->device)) {
            return true;
        }
    }
    return false;
}

static apr_array_header_t *make_disks(found_t *found, apr_pool_t *pool)
{
    apr_array_header_t *disks = apr_array_make(pool, 8, sizeof(sa_os_disk_t));
    apr_array_header_t *places = found->places;

    qsort(places->elts, (size_t)places->nelts, sizeof(place_t), compare_places);
    for (int i = 0; i < places->nelts && disks->nelts < SA_OS_DISKS_MAX; i++) {
        const place_t *place = &APR_ARRAY_IDX(places, i, place_t);

        if (is_disk(place) && !is_done(places, i)) {
            add_disk(disks, found, place, pool);
        }
    }
    qsort(disks->elts, (size_t)disks->nelts, sizeof(sa_os_disk_t), compare_disks);
    return disks;
}

/* ---- a reading ------------------------------------------------------------------ */

sa_error_t *sa_task__metrics_parse(sa_metrics_sample_t **sample, const char *page, size_t length,
                                   sa_exposition_format_t format, apr_pool_t *pool,
                                   apr_pool_t *scratch_pool)
{
    sa_metrics_sample_t *made = apr_pcalloc(pool, sizeof(*made));
    found_t found = {
        .pool = scratch_pool,
        .places = apr_array_make(scratch_pool, 32, sizeof(place_t)),
        .devices = apr_array_make(scratch_pool, 32, sizeof(device_t))
    };

    sa_exposition_each(page, length, format, on_sample, &found, scratch_pool);
    if (!found.has_cpu || !(found.has_available || found.has_free)) {
        return sa_error(SA_ERR_PARSE, NULL, "the page has no %s; is it a node_exporter's or a "
                        "windows_exporter's?", found.has_cpu ? "free memory" : "CPU times");
    }
    made->cpu.total = whole(found.cpu_total * 1e6);
    made->cpu.idle = whole(found.cpu_idle * 1e6);
    made->memory.total_bytes = whole(found.memory_total);
    made->memory.available_bytes = whole(found.has_available ? found.memory_available
                                                             : found.memory_free);
    made->disks = make_disks(&found, pool);
    *sample = made;
    return SA_OK;
}

static void report(sa_job_t *job, const sa_metrics_sample_t *sample, sa_error_t *err,
                   apr_pool_t *scratch_pool)
{
    sa_tasks_t *tasks = job->tasks;
    const sa_task_settings_t *settings = tasks->settings;
    cJSON *json = sa_task__report_json(settings->code, settings->location, scratch_pool);

    if (err) {
        char text[256];

        SA_LOG(task_failed, SA_S("task", job->name), SA_S("url", settings->metrics_exporter_url),
               SA_E(err));
        sa_stats_add(SA_STAT_metrics_failures, 1);
        cJSON_AddStringToObject(json, "status", "error");
        cJSON_AddStringToObject(json, "error", sa_error_text(err, text, sizeof(text)));
    } else {
        sa_task__metrics_fill(json, sample, tasks->fetched);
        sa_stats_add(SA_STAT_metrics_count, 1);
        sa_stats_set(SA_STAT_last_metrics, (apr_uint64_t)sa_time_now());
    }
    sa_task__give_json(tasks, SA_DELIVER_DURABLE, "telemetry.system", json);
    if (settings->metrics_twin && !err) {
        sa_task__give_json(tasks, SA_DELIVER_LATEST, "system", json);
    }
}

/* The first reading makes no report: there is nothing to compare it with. */
static void use(sa_job_t *job, sa_metrics_sample_t *sample, apr_pool_t *pool,
                apr_pool_t *scratch_pool)
{
    sa_tasks_t *tasks = job->tasks;

    sample->at = sa_time_mono();
    if (tasks->fetched) {
        report(job, sample, NULL, scratch_pool);
        apr_pool_destroy(tasks->fetched_pool);
    } else {
        job->next_at = sample->at + BASELINE_DELAY;
        job->first_done = false;
    }
    tasks->fetched = sample;
    tasks->fetched_pool = pool;
}

static void on_page(void *baton, const sa_http_response_t *response, sa_error_t *err)
{
    sa_job_t *job = baton;
    apr_pool_t *scratch_pool = sa_pool_create_root();
    apr_pool_t *pool = sa_pool_create(job->tasks->settings->pool);
    sa_metrics_sample_t *sample = NULL;

    job->running = false;
    if (!err) {
        err = sa_task__metrics_parse(&sample, response->data, response->length,
                                     sa_exposition_format(response->content_type), pool,
                                     scratch_pool);
    }
    if (err) {
        report(job, NULL, err, scratch_pool);
        sa_error_clear(err);
        apr_pool_destroy(pool);
    } else {
        use(job, sample, pool, scratch_pool);
    }
    apr_pool_destroy(scratch_pool);
}

void sa_task__metrics_fetch(sa_job_t *job, apr_pool_t *scratch_pool)
{
    const sa_http_request_t request = {
        .url = job->tasks->settings->metrics_exporter_url,
        .accept = SA_TASK_ACCEPT,
        .user_agent = apr_pstrcat(scratch_pool, "stone-age-agent/", sa_version(), NULL),
        .timeout = FETCH_TIMEOUT,
        .limit_bytes = PAGE_LIMIT
    };
    sa_error_t *err;

    job->running = true;
    err = sa_http_start(job->tasks->http, &request, on_page, job);
    if (err) {
        job->running = false;
        report(job, NULL, err, scratch_pool);
        sa_error_clear(err);
    }
}
