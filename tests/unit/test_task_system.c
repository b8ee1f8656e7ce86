/* telemetry.system from an exporter's page: names and filters. */
#include <stdio.h>

#include <apr_strings.h>

#include "../../src/task/sa_task_private.h"
#include "sa_buf.h"
#include "sa_test.h"

#define GIB (1024.0 * 1024.0 * 1024.0)

static sa_metrics_sample_t *parse(const char *page, apr_pool_t *pool)
{
    sa_metrics_sample_t *sample;

    SA_ASSERT_OK(sa_task__metrics_parse(&sample, page, strlen(page), SA_EXPOSITION_TEXT, pool,
                                        pool));
    return sample;
}

static const sa_os_disk_t *disk(const sa_metrics_sample_t *sample, int i)
{
    ck_assert_int_lt(i, sample->disks->nelts);
    return &APR_ARRAY_IDX(sample->disks, i, sa_os_disk_t);
}

#define LINUX_PAGE \
    "node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 100.5\n" \
    "node_cpu_seconds_total{cpu=\"0\",mode=\"iowait\"} 1\n" \
    "node_cpu_seconds_total{cpu=\"1\",mode=\"user\"} 50.25\n" \
    "node_cpu_guest_seconds_total{cpu=\"0\",mode=\"user\"} 7\n" \
    "node_memory_MemTotal_bytes 8.589934592e+09\nnode_memory_MemFree_bytes 1e+09\n"

SA_TEST(a_node_exporter_on_linux_is_understood)
{
    sa_metrics_sample_t *sample = parse(
        LINUX_PAGE "node_memory_MemAvailable_bytes 4.294967296e+09\n"
        "node_filesystem_size_bytes{device=\"/dev/sda1\",fstype=\"ext4\",mountpoint=\"/\"} "
        "1.073741824e+10\n"
        "node_filesystem_avail_bytes{device=\"/dev/sda1\",fstype=\"ext4\",mountpoint=\"/\"} 5e+09\n"
        "node_filesystem_free_bytes{device=\"/dev/sda1\",fstype=\"ext4\",mountpoint=\"/\"} 6e+09\n"
        "node_filesystem_size_bytes{device=\"/dev/sda1\",fstype=\"ext4\",mountpoint=\"/srv/x\"} "
        "1.073741824e+10\n"
        "node_filesystem_size_bytes{device=\"/dev/mapper/vg-var\",fstype=\"xfs\","
        "mountpoint=\"/var\"} 2e+09\n"
        "node_filesystem_size_bytes{device=\"/dev/sdb1\",fstype=\"vfat\",mountpoint=\"/boot\"} "
        "1e+08\n"
        "node_filesystem_size_bytes{device=\"tmpfs\",fstype=\"tmpfs\",mountpoint=\"/run\"} 9e+09\n"
        "node_filesystem_size_bytes{device=\"srv:/x\",fstype=\"nfs4\",mountpoint=\"/n\"} 9e+12\n"
        "node_filesystem_size_bytes{device=\"/dev/loop1\",fstype=\"squashfs\",mountpoint=\"/s\"} "
        "2e+09\n"
        "node_disk_read_bytes_total{device=\"sda\"} 1000\n"
        "node_disk_written_bytes_total{device=\"sda\"} 2000\n"
        "node_disk_read_bytes_total{device=\"dm-3\"} 3000\n"
        "node_disk_written_bytes_total{device=\"dm-3\"} 4000\n"
        "node_disk_device_mapper_info{device=\"dm-3\",name=\"vg-var\"} 1\n", pool);

    ck_assert_uint_eq(sample->cpu.total, 151750000);
    ck_assert_uint_eq(sample->cpu.idle, 101500000);
    ck_assert_double_eq((double)sample->memory.total_bytes, 8 * GIB);
    ck_assert_double_eq((double)sample->memory.available_bytes, 4 * GIB);
    ck_assert_int_eq(sample->disks->nelts, 2);
    ck_assert_str_eq(disk(sample, 0)->drive, "/");
    ck_assert_double_eq((double)disk(sample, 0)->total_bytes, 10 * GIB);
    ck_assert_uint_eq(disk(sample, 0)->free_bytes, 5000000000u);
    ck_assert(disk(sample, 0)->has_io);
    ck_assert_uint_eq(disk(sample, 0)->read_bytes, 1000);       /* the whole disk's */
    ck_assert_str_eq(disk(sample, 1)->drive, "/var");
    ck_assert_uint_eq(disk(sample, 1)->read_bytes, 3000);
    ck_assert_uint_eq(disk(sample, 1)->written_bytes, 4000);
}

SA_TEST(an_old_kernel_has_only_free_memory)
{
    ck_assert_uint_eq(parse(LINUX_PAGE, pool)->memory.available_bytes, 1000000000);
}

SA_TEST(a_windows_exporter_is_understood)
{
    sa_metrics_sample_t *sample = parse(
        "windows_cpu_time_total{core=\"0,0\",mode=\"idle\"} 100\n"
        "windows_cpu_time_total{core=\"0,0\",mode=\"user\"} 10\n"
        "windows_cpu_time_total{core=\"0,0\",mode=\"privileged\"} 5\n"
        "windows_cpu_time_total{core=\"0,0\",mode=\"dpc\"} 1\n"
        "windows_cpu_time_total{core=\"0,0\",mode=\"interrupt\"} 2\n"
        "windows_cs_physical_memory_bytes 8.589934592e+09\n"
        "windows_memory_available_bytes 2.147483648e+09\n"
        "windows_logical_disk_size_bytes{volume=\"C:\"} 1.073741824e+11\n"
        "windows_logical_disk_free_bytes{volume=\"C:\"} 5.36870912e+10\n"
        "windows_logical_disk_read_bytes_total{volume=\"C:\"} 123\n"
        "windows_logical_disk_write_bytes_total{volume=\"C:\"} 456\n"
        "windows_logical_disk_size_bytes{volume=\"HarddiskVolume1\"} 2e+09\n"
        "windows_logical_disk_size_bytes{volume=\"E:\"} 1e+08\n", pool);

    ck_assert_uint_eq(sample->cpu.total, 115000000);
    ck_assert_uint_eq(sample->cpu.idle, 100000000);
    ck_assert_double_eq((double)sample->memory.total_bytes, 8 * GIB);
    ck_assert_double_eq((double)sample->memory.available_bytes, 2 * GIB);
    ck_assert_int_eq(sample->disks->nelts, 1);
    ck_assert_str_eq(disk(sample, 0)->drive, "C:");
    ck_assert_double_eq((double)disk(sample, 0)->total_bytes, 100 * GIB);
    ck_assert_double_eq((double)disk(sample, 0)->free_bytes, 50 * GIB);
    ck_assert_uint_eq(disk(sample, 0)->read_bytes, 123);
    ck_assert_uint_eq(disk(sample, 0)->written_bytes, 456);
}

SA_TEST(other_pages_are_refused_by_what_they_lack)
{
    static const char *const pages[] = {"", "a 1\n", "node_memory_MemFree_bytes 1\n",
                                        "node_cpu_seconds_total{mode=\"idle\"} 1\n", "<html>\n"};

    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        sa_metrics_sample_t *sample;

        SA_ASSERT_ERR(sa_task__metrics_parse(&sample, pages[i], strlen(pages[i]),
                                             SA_EXPOSITION_TEXT, pool, pool), SA_ERR_PARSE);
    }
}

/* A page that lies: no memory without end, no number that overflows. */
SA_TEST(a_hostile_page_is_bounded)
{
    sa_buf_t *page = apr_palloc(pool, sizeof(*page));
    sa_metrics_sample_t *sample;

    sa_buf_init(page, 16 * 1024 * 1024, pool);
    sa_buf_append_text(page, LINUX_PAGE "node_cpu_seconds_total{mode=\"user\"} +Inf\n"
                       "node_memory_MemAvailable_bytes NaN\n");
    for (int i = 0; i < 20000; i++) {
        sa_buf_printf(page, "node_filesystem_size_bytes{device=\"/dev/x%d\",fstype=\"ext4\","
                      "mountpoint=\"/%d\"} 1e300\n", i, i);
    }
    sample = parse(page->data, pool);
    ck_assert_uint_eq(sample->cpu.total, 0);
    ck_assert_uint_eq(sample->memory.available_bytes, 0);
    ck_assert_int_le(sample->disks->nelts, SA_OS_DISKS_MAX);
}

SA_TEST_MAIN("task_system", a_node_exporter_on_linux_is_understood,
             an_old_kernel_has_only_free_memory, a_windows_exporter_is_understood,
             other_pages_are_refused_by_what_they_lack, a_hostile_page_is_bounded)
