/* CPU, memory and disks: the parsers with samples of several machines, and
 * what this one says. */
#include "sa_os_metrics.h"

#include <stdio.h>

#include <apr_strings.h>

#include "../../src/os/linux/sa_os_linux.h"
#include "sa_buf.h"
#include "sa_test.h"

static const char *sample(const char *name, apr_pool_t *pool)
{
    const char *sources = getenv("srcdir");
    const char *text;

    SA_ASSERT_OK(sa_os__proc_read(&text,
                                  apr_psprintf(pool, "%s/tests/data/proc/%s",
                                               sources ? sources : ".", name),
                                  SA_OS_PROC_LIMIT, pool));
    return text;
}

typedef struct cpu_row_t {
    const char *file;
    apr_uint64_t total;
    apr_uint64_t idle;
} cpu_row_t;

SA_TEST(cpu_time_leaves_guests_out_and_counts_iowait_as_idle)
{
    static const cpu_row_t rows[] = {
        {"stat-6.1", 132153 + 1014 + 45021 + 9822113 + 20312 + 3021 + 411, 9822113 + 20312},
        {"stat-2.6.32", 3357 + 4313 + 1362393 + 250 + 11 + 22 + 33, 1362393 + 250},
        {"stat-2.4", 1000 + 20 + 300 + 40000, 40000},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_os_cpu_t cpu;

        SA_ASSERT_OK(sa_os__parse_stat(&cpu, sample(rows[i].file, pool)));
        ck_assert_uint_eq(cpu.total, rows[i].total);
        ck_assert_uint_eq(cpu.idle, rows[i].idle);
    }
}

SA_TEST(a_stat_that_is_none_is_refused)
{
    static const char *const texts[] = {"", "cpu", "cpu ", "cpu0 1 2 3 4 5\n", "cpu  1 2 3\n",
                                        "cpu  1 2 -3 4\n", "cpu  99999999999999999999 1 1 1\n",
                                        "intr 5\ncpu  1 2 3 4 5\n"};

    (void)pool;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        sa_os_cpu_t cpu;

        SA_ASSERT_ERR(sa_os__parse_stat(&cpu, texts[i]), SA_ERR_PARSE);
    }
}

typedef struct memory_row_t {
    const char *text;
    apr_uint64_t total_kib;
    apr_uint64_t available_kib;
} memory_row_t;

SA_TEST(memory_available_is_estimated_where_linux_does_not_say_it)
{
    const memory_row_t rows[] = {
        {sample("meminfo-6.1", pool), 8127736, 5210112},
        {sample("meminfo-2.6.32", pool), 1020096, 100000 + 20000 + 300000},
        {"MemTotal: 10 kB\nMemFree: 4 kB", 10, 4},
        {"MemTotal:10 kB\nMemAvailable:\t0 kB\n", 10, 0},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_os_memory_t memory;

        SA_ASSERT_OK(sa_os__parse_meminfo(&memory, rows[i].text));
        ck_assert_uint_eq(memory.total_bytes, rows[i].total_kib * 1024);
        ck_assert_uint_eq(memory.available_bytes, rows[i].available_kib * 1024);
    }
}

SA_TEST(a_meminfo_that_is_none_is_refused)
{
    static const char *const texts[] = {"", "MemFree: 1 kB\n", "MemTotal: 5 kB\n",
                                        "MemTotal: many kB\nMemFree: 1 kB\n",
                                        "MemTotal: 18446744073709551615 kB\nMemFree: 1 kB\n",
                                        "XMemTotal: 5 kB\nMemFree: 1 kB\n"};

    (void)pool;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        sa_os_memory_t memory;

        SA_ASSERT_ERR(sa_os__parse_meminfo(&memory, texts[i]), SA_ERR_PARSE);
    }
}

typedef struct mount_row_t {
    const char *file;
    const char *expected;   /* "major:minor point" in the order of preference */
} mount_row_t;

static const mount_row_t mount_rows[] = {
    /* The last: a file system on a disk below an autofs is one like any other. */
    {"mountinfo-server", "254:0 /;254:1 /d;8:2 /boot;8:1 /boot/efi;8:33 /misc/usb;"
                         "254:1 /srv/Our data\\here;254:1 /export;"},
    {"mountinfo-container", ""},
    {"mountinfo-container-volumes",
     "8:1 /etc/hosts;8:1 /etc/resolv.conf;8:1 /data/long/name/of/the/volume;"},
    {"mountinfo-btrfs-zfs", "0:40 /tank;0:41 /tank/vm;259:1 /boot/efi;0:25 /;0:25 /home;"},
    /* Not what is hidden, nor what lies behind a network: a look would hang. */
    {"mountinfo-covered", "8:1 /;8:7 /t/disk;8:6 /aboveboard;"},
    {"mountinfo-broken", "8:8 /cut;8:7 /esc\\;8:9 /last;8:6 /esc\\04;8:5 /own-parent;"},
};

SA_TEST(mounts_are_disks_that_can_be_reached)
{
    for (size_t i = 0; i < sizeof(mount_rows) / sizeof(mount_rows[0]); i++) {
        apr_array_header_t *mounts = sa_os__parse_mounts(sample(mount_rows[i].file, pool), pool);
        sa_buf_t *text = apr_palloc(pool, sizeof(*text));

        sa_buf_init(text, 4096, pool);
        for (int j = 0; j < mounts->nelts; j++) {
            const sa_os__mount_t *mount = &APR_ARRAY_IDX(mounts, j, sa_os__mount_t);

            sa_buf_printf(text, "%" APR_UINT64_T_FMT ":%" APR_UINT64_T_FMT " %s;", mount->major,
                          mount->minor, mount->point);
        }
        ck_assert_msg(strcmp(text->data ? text->data : "", mount_rows[i].expected) == 0,
                      "%s: %s", mount_rows[i].file, text->data);
    }
}

SA_TEST(a_mountinfo_without_end_is_read_in_bounded_time)
{
    sa_buf_t *text = apr_palloc(pool, sizeof(*text));

    sa_buf_init(text, SA_OS_PROC_LIMIT, pool);
    for (int i = 0; i < 12000; i++) {
        ck_assert(sa_buf_printf(text, "%d %d 8:1 /p/%d /mnt/%d rw - ext4 /dev/sda1 rw\n", i + 2,
                                i + 1, i, i));
    }
    ck_assert_int_le(sa_os__parse_mounts(text->data, pool)->nelts, 4096);
}

typedef struct io_row_t {
    const char *file;
    apr_uint64_t major;
    apr_uint64_t minor;
    const char *name;
    bool has_io;
    apr_uint64_t read_sectors;
    apr_uint64_t written_sectors;
} io_row_t;

SA_TEST(disk_counters_are_found_by_number_or_by_name)
{
    static const io_row_t rows[] = {
        {"diskstats-6.1", 8, 0, "", true, 7192834, 9182736},
        {"diskstats-6.1", 8, 1, "", true, 8834, 1},
        {"diskstats-6.1", 254, 0, "vg0-root", true, 2000, 4000},    /* a device mapper's own */
        {"diskstats-6.1", 254, 1, "sda", true, 10, 20},
        {"diskstats-6.1", 0, 25, "nvme0n1p2", true, 50, 60},
        {"diskstats-6.1", 0, 25, "nvme0n1", false, 0, 0},
        {"diskstats-6.1", 0, 40, "", false, 0, 0},
        {"diskstats-6.1", 11, 0, "", false, 0, 0},                  /* a line without numbers */
        {"diskstats-6.1", 9, 9, "", false, 0, 0},
        {"diskstats-2.6", 8, 0, "", true, 446, 446},
        {"diskstats-2.6", 8, 1, "", false, 0, 0},       /* four numbers, before 2.6.25 */
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_os_disk_t disk = {0};

        sa_os__parse_diskstats(&disk, sample(rows[i].file, pool), rows[i].major, rows[i].minor,
                               rows[i].name);
        ck_assert_int_eq(disk.has_io, rows[i].has_io);
        ck_assert_uint_eq(disk.read_bytes, rows[i].read_sectors * 512);
        ck_assert_uint_eq(disk.written_bytes, rows[i].written_sectors * 512);
    }
}

SA_TEST(a_number_is_digits_that_fit)
{
    static const struct {
        const char *text;
        bool good;
        apr_uint64_t value;
        const char *rest;
    } rows[] = {
        {"0", true, 0, ""},         {" \t12 x", true, 12, " x"},
        {"007:1", true, 7, ":1"},   {"18446744073709551615", true, APR_UINT64_MAX, ""},
        {"18446744073709551616", false, 0, "18446744073709551616"},
        {"", false, 0, ""},         {"-1", false, 0, "-1"},
        {"+1", false, 0, "+1"},     {"\n5", false, 0, "\n5"},
    };

    (void)pool;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *at = rows[i].text;
        apr_uint64_t value = 0;

        ck_assert_int_eq(sa_os__number(&value, &at), rows[i].good);
        ck_assert_uint_eq(value, rows[i].value);
        ck_assert_str_eq(at, rows[i].rest);
    }
}

SA_TEST(a_proc_file_that_is_too_large_ends_with_a_whole_line)
{
    const char *path = apr_psprintf(pool, "%s/tests/data/proc/meminfo-2.6.32",
                                    getenv("srcdir") ? getenv("srcdir") : ".");
    const char *whole = sample("meminfo-2.6.32", pool);

    for (size_t limit = 0; limit <= strlen(whole) + 1; limit++) {
        const char *text;
        size_t length;

        SA_ASSERT_OK(sa_os__proc_read(&text, path, limit, pool));
        length = strlen(text);
        ck_assert_uint_le(length, limit);
        ck_assert(strncmp(text, whole, length) == 0);
        ck_assert(length == 0 || text[length - 1] == '\n');
        ck_assert(length + 28 > limit || length == strlen(whole));
    }
}

SA_TEST(this_machine_has_time_and_memory)
{
    sa_os_cpu_t cpu;
    sa_os_memory_t memory;

    SA_ASSERT_OK(sa_os_cpu_read(&cpu, pool));
    ck_assert_uint_gt(cpu.total, 0);
    ck_assert_uint_le(cpu.idle, cpu.total);
    SA_ASSERT_OK(sa_os_memory_read(&memory, pool));
    ck_assert_uint_gt(memory.available_bytes, 0);
    ck_assert_uint_le(memory.available_bytes, memory.total_bytes);
}

SA_TEST(the_disks_of_this_machine_make_sense)
{
    apr_array_header_t *disks;

    SA_ASSERT_OK(sa_os_disks_read(&disks, pool));
    ck_assert_int_le(disks->nelts, SA_OS_DISKS_MAX);
    for (int i = 0; i < disks->nelts; i++) {
        const sa_os_disk_t *disk = &APR_ARRAY_IDX(disks, i, sa_os_disk_t);

        ck_assert_int_eq(disk->drive[0], '/');
        ck_assert_uint_ge(disk->total_bytes, 1024 * 1024 * 1024);
        ck_assert_uint_le(disk->free_bytes, disk->total_bytes);
        ck_assert(i == 0 || strcmp(disk[-1].drive, disk->drive) < 0);
    }
}

SA_TEST_MAIN("os_metrics", cpu_time_leaves_guests_out_and_counts_iowait_as_idle,
             a_stat_that_is_none_is_refused,
             memory_available_is_estimated_where_linux_does_not_say_it,
             a_meminfo_that_is_none_is_refused, mounts_are_disks_that_can_be_reached,
             a_mountinfo_without_end_is_read_in_bounded_time,
             disk_counters_are_found_by_number_or_by_name, a_number_is_digits_that_fit,
             a_proc_file_that_is_too_large_ends_with_a_whole_line,
             this_machine_has_time_and_memory, the_disks_of_this_machine_make_sense)
