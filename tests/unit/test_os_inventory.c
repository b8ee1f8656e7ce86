/* os: the parsers of the inventory, and this machine's own. */
#include "sa_os_inventory.h"

#include <string.h>

#include <apr_file_io.h>
#include <apr_strings.h>

#include "../../src/os/linux/sa_os_linux.h"
#include "sa_test.h"
#include "sa_test_server.h"

SA_TEST(the_processor_has_its_name)
{
    static const struct {
        const char *text;
        const char *model;
    } rows[] = {
        {"processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 85\n"
         "model name\t: Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz\n",
         "Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz"},
        {"processor\t: 0\nBogoMIPS\t: 108.00\nCPU part\t: 0xd08\n\nHardware\t: BCM2835\n"
         "Revision\t: c03114\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n",
         "Raspberry Pi 4 Model B Rev 1.4"},
        {"Hardware\t: Marvell Armada 370/XP (Device Tree)\n",
         "Marvell Armada 370/XP (Device Tree)"},
        {"system type\t\t: MT7621\ncpu model\t\t: MIPS 1004Kc V2.15\n", "MIPS 1004Kc V2.15"},
        {"processor\t: 0\ncpu\t\t: POWER9, altivec supported\n", "POWER9, altivec supported"},
        {"model name\t: \n", "Unknown"}, {"model name", "Unknown"}, {"", "Unknown"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_str_eq(sa_os__cpu_model(rows[i].text, pool), rows[i].model);
    }
}

SA_TEST(a_hypervisor_shows_in_the_flags_only)
{
    (void)pool;
    ck_assert(sa_os__cpu_is_virtual("a : b\nflags\t\t: fpu vme hypervisor lahf_lm\nbugs : x\n"));
    ck_assert(sa_os__cpu_is_virtual("flags\t\t: fpu hypervisor\n"));
    ck_assert(!sa_os__cpu_is_virtual("flags\t\t: fpu hypervisors vme\n"));
    ck_assert(!sa_os__cpu_is_virtual("flags\t\t: fpu vme\nname : hypervisor\n"));
    ck_assert(!sa_os__cpu_is_virtual("model name : hypervisor\n"));
    ck_assert(!sa_os__cpu_is_virtual(""));
}

SA_TEST(machines_are_known_by_their_makers)
{
    static const struct {
        const char *text;
        const char *machine;
    } rows[] = {
        {"QEMU", "qemu"}, {"KVM", "kvm"}, {"VMware, Inc.", "vmware"}, {"innotek GmbH", "oracle"},
        {"Xen", "xen"}, {"Amazon EC2", "amazon"}, {"Google Compute Engine", "google"},
        {"OpenStack Foundation", "kvm"}, {"Virtual Machine", "microsoft"},
        {"Dell Inc.", NULL}, {"PowerEdge R740", NULL}, {"", NULL},
    };

    (void)pool;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_pstr_eq(sa_os__dmi_machine(rows[i].text), rows[i].machine);
    }
}

SA_TEST(or_by_their_clocks)
{
    (void)pool;
    ck_assert_str_eq(sa_os__clock_machine("tsc kvm-clock"), "kvm");
    ck_assert_str_eq(sa_os__clock_machine("hyperv_clocksource_tsc_page acpi_pm"), "microsoft");
    ck_assert_str_eq(sa_os__clock_machine("xen tsc"), "xen");
    ck_assert_str_eq(sa_os__clock_machine("tsc hpet acpi_pm"), "vm-other");
    ck_assert_str_eq(sa_os__clock_machine(""), "vm-other");
}

SA_TEST(the_boot_time_is_read)
{
    (void)pool;
    ck_assert_int_eq(sa_os__boot_time("cpu  1 2 3\nctxt 5\nbtime 1785934245\nprocesses 7\n"),
                     1785934245 * APR_INT64_C(1000000));
    ck_assert_int_eq(sa_os__boot_time("btime 5\n"), 5000000);
    ck_assert_int_eq(sa_os__boot_time("cpu 1\n"), 0);
    ck_assert_int_eq(sa_os__boot_time("x\nbtime \n"), 0);
}

SA_TEST(addresses_that_change_by_themselves_are_told_apart)
{
    static const char text[] =
        "fe80000000000000024200fffeac1102 02 40 20 80     eth0\n"
        "20010db80000000000000000000000aa 02 40 00 00     eth0\n"
        "20010db8000000001c2d3e4f5a6b7c8d 02 40 00 01     eth0\n"
        "20010db80000000011111111222222aa 02 40 00 21     eth0\n";

    (void)pool;
    ck_assert(!sa_os__is_temporary(text, "fe80000000000000024200fffeac1102"));
    ck_assert(!sa_os__is_temporary(text, "20010db80000000000000000000000aa"));
    ck_assert(sa_os__is_temporary(text, "20010db8000000001c2d3e4f5a6b7c8d"));
    ck_assert(sa_os__is_temporary(text, "20010db80000000011111111222222aa"));
    ck_assert(!sa_os__is_temporary(text, "20010db8000000000000000000000000"));
    ck_assert(!sa_os__is_temporary("", "20010db8000000000000000000000000"));
    ck_assert(!sa_os__is_temporary("20010db8000000000000000000000000", "2001"
                                   "0db8000000000000000000000000"));
}

static const char dpkg_status[] =
    "Package: adduser\nStatus: install ok installed\nPriority: important\n\n"
    "Package: held\nStatus: hold ok installed\nDescription: Status: install ok installed\n\n"
    "Package: removed\nStatus: deinstall ok config-files\n\n"
    "Package: half\nStatus: install ok half-installed\n\n"
    "Package: broken\nStatus: install reinstreq installed\n\n"
    "Package: long\nDescription: 01234567890123456789012345678901234567890123456789012345678901"
    "234567890123456789 ok installed\n"
    " Status: install ok installed\n\n"
    "Package: last\nStatus: install ok installed";

SA_TEST(installed_packages_are_counted_wherever_a_piece_ends)
{
    (void)pool;
    for (size_t piece = 1; piece < sizeof(dpkg_status); piece++) {
        sa_os__packages_t packages = {.begin = "Status: ", .end = " installed"};

        for (size_t at = 0; at < sizeof(dpkg_status) - 1; at += piece) {
            size_t left = sizeof(dpkg_status) - 1 - at;

            sa_os__count_packages(&packages, dpkg_status + at, left < piece ? left : piece);
        }
        sa_os__count_packages(&packages, "\n", 1);
        ck_assert_msg(packages.installed == 4, "%" APR_UINT64_T_FMT " in pieces of %zu",
                      packages.installed, piece);
    }
}

/* A file of a machine of ours. */
static void put(const char *root, const char *directory, const char *name, const char *text,
                apr_pool_t *pool)
{
    const char *path = apr_pstrcat(pool, root, directory, NULL);

    ck_assert_int_eq(apr_dir_make_recursive(path, APR_FPROT_OS_DEFAULT, pool), APR_SUCCESS);
    (void)sa_test_file(path, name, text, 0644, pool);
}

SA_TEST(each_manager_of_packages_is_known_by_its_files)
{
    static const struct {
        const char *directory;
        const char *name;
        const char *text;
        const char *manager;
        apr_int64_t count;
    } rows[] = {
        {"/var/lib/dpkg", "status", dpkg_status, "dpkg", 4},
        {"/lib/apk/db", "installed", "C:Q1abc=\nP:musl\nV:1.2\n\nP:busybox\nD:P:x\n", "apk", 2},
        {"/usr/lib/apk/db", "installed", "P:musl\n", "apk", 1},
        {"/usr/lib/opkg", "status", "Package: a\nStatus: install user installed\n\n"
         "Package: b\nStatus: unknown ok not-installed\n", "opkg", 1},
        {"/var/lib/pacman/local/bash-5.2-1", "desc", "", "pacman", 1},
        {"/var/lib/rpm", "rpmdb.sqlite", "SQLite format 3", "rpm", -1},
        /* the tool without its packages */
        {"/var/lib/dpkg", "status", "", "", -1},
        {"/tmp", "x", "", "", -1},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *root = sa_test_dir(pool);
        sa_os_inventory_t inventory = {0};

        put(root, rows[i].directory, rows[i].name, rows[i].text, pool);
        sa_os__read_packages(&inventory, root, pool);
        ck_assert_str_eq(inventory.package_manager, rows[i].manager);
        ck_assert_int_eq(inventory.packages, rows[i].count);
    }
}

SA_TEST(an_empty_list_of_another_tool_does_not_hide_the_manager)
{
    const char *root = sa_test_dir(pool);
    sa_os_inventory_t inventory = {0};

    put(root, "/var/lib/dpkg", "status", "", pool);
    put(root, "/var/lib/rpm", "rpmdb.sqlite", "", pool);
    sa_os__read_packages(&inventory, root, pool);
    ck_assert_str_eq(inventory.package_manager, "rpm");
}

SA_TEST(a_list_of_packages_may_hold_anything)
{
    enum { BYTES = 1 << 20 };
    const char *root = sa_test_dir(pool);
    char *text = apr_palloc(pool, BYTES + 1);
    sa_os_inventory_t inventory = {0};

    /* one line of a megabyte, then one that counts */
    memset(text, 'x', BYTES);
    memcpy(text, "Status: ", 8);
    memcpy(text + BYTES - 40, " installed\nStatus: install ok installed\n", 40);
    text[BYTES] = '\0';
    put(root, "/var/lib/dpkg", "status", text, pool);
    sa_os__read_packages(&inventory, root, pool);
    ck_assert_str_eq(inventory.package_manager, "dpkg");
    ck_assert_int_eq(inventory.packages, 1);
}

SA_TEST(a_directory_in_the_place_of_a_list_is_none)
{
    const char *root = sa_test_dir(pool);
    sa_os_inventory_t inventory = {0};

    put(root, "/var/lib/dpkg/status", "x", "", pool);
    sa_os__read_packages(&inventory, root, pool);
    ck_assert_str_eq(inventory.package_manager, "");
}

SA_TEST(files_say_that_a_machine_must_be_started_anew)
{
    static const char *const files[][2] = {
        {"/run", "reboot-required"}, {"/var/run", "reboot-required"}, {"/run", "reboot-needed"}
    };

    ck_assert(!sa_os__reboot_is_required(sa_test_dir(pool), pool));
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        const char *root = sa_test_dir(pool);

        put(root, files[i][0], files[i][1], "", pool);
        ck_assert(sa_os__reboot_is_required(root, pool));
    }
}

SA_TEST(this_machine_has_an_inventory)
{
    sa_os_inventory_t inventory;

    SA_ASSERT_OK(sa_os_inventory_read(&inventory, pool));
    ck_assert_str_ne(inventory.architecture, "");
    ck_assert_int_gt(inventory.cpu_cores, 0);
    ck_assert_str_ne(inventory.cpu_model, "");
    ck_assert_int_gt(inventory.boot_time, 0);
    ck_assert_str_ne(inventory.virtualization, "");
    ck_assert_str_ne(inventory.container, "");
    ck_assert_str_ne(inventory.primary_ip, "");
    for (int i = 0; i < inventory.interfaces->nelts; i++) {
        const sa_os_interface_t *interface = &APR_ARRAY_IDX(inventory.interfaces, i,
                                                            sa_os_interface_t);

        ck_assert_str_ne(interface->name, "lo");
        ck_assert(!*interface->mac || strlen(interface->mac) == 17);
    }
}

SA_TEST(the_machines_id_is_not_shown)
{
    sa_os_inventory_t inventory;
    const char *id = "";

    SA_ASSERT_OK(sa_os_inventory_read(&inventory, pool));
    sa_error_clear(sa_os__proc_read(&id, "/etc/machine-id", 64, pool));
    if (strlen(id) >= 32) {
        ck_assert_uint_eq(strlen(inventory.machine_id), 32);
        ck_assert_int_ne(strncmp(inventory.machine_id, id, 32), 0);
    } else {
        ck_assert_str_eq(inventory.machine_id, "");
    }
}

SA_TEST_MAIN("os_inventory", the_processor_has_its_name, a_hypervisor_shows_in_the_flags_only,
             machines_are_known_by_their_makers, or_by_their_clocks, the_boot_time_is_read,
             addresses_that_change_by_themselves_are_told_apart,
             installed_packages_are_counted_wherever_a_piece_ends,
             each_manager_of_packages_is_known_by_its_files,
             an_empty_list_of_another_tool_does_not_hide_the_manager,
             a_list_of_packages_may_hold_anything, a_directory_in_the_place_of_a_list_is_none,
             files_say_that_a_machine_must_be_started_anew, this_machine_has_an_inventory,
             the_machines_id_is_not_shown)
