/* task: what an inventory says, and when one is worth sending. */
#include <apr_strings.h>

#include "../../src/task/sa_task_private.h"

#include "sa_test.h"
#include "sa_time.h"
#include "sa_version.h"

#define GIB (APR_UINT64_C(1024) * 1024 * 1024)
#define HOUR (3600 * APR_INT64_C(1000000))

static apr_interval_time_t mono;

static apr_interval_time_t read_mono(void *baton)
{
    (void)baton;
    return mono;
}

static apr_time_t read_now(void *baton)
{
    (void)baton;
    return 1785934245 * APR_INT64_C(1000000) + mono;
}

static const sa_clock_t fake_clock = {.now = read_now, .mono = read_mono};

static sa_task_machine_t make_machine(apr_pool_t *pool)
{
    sa_task_machine_t machine = {
        .host = {"linux", "Debian GNU/Linux", "12 (bookworm)", "6.1.0-18-amd64", "vent-01"},
        .inventory = {
            .architecture = "x86_64", .cpu_cores = 4, .cpu_model = "Some CPU",
            .machine_id = "00112233445566778899aabbccddeeff",
            .boot_time = 1785000000 * APR_INT64_C(1000000), .virtualization = "kvm",
            .container = "none", .primary_ip = "10.0.0.7", .package_manager = "dpkg",
            .packages = 412
        },
        .memory = {8 * GIB, 5 * GIB}
    };
    sa_os_interface_t *interface;
    sa_os_disk_t *disk;

    machine.inventory.interfaces = apr_array_make(pool, 2, sizeof(sa_os_interface_t));
    interface = apr_array_push(machine.inventory.interfaces);
    *interface = (sa_os_interface_t){"eth0", "02:42:ac:11:00:02", true,
                                     apr_array_make(pool, 2, sizeof(const char *))};
    APR_ARRAY_PUSH(interface->addresses, const char *) = "10.0.0.7/24";
    APR_ARRAY_PUSH(interface->addresses, const char *) = "fe80::1/64";
    interface = apr_array_push(machine.inventory.interfaces);
    *interface = (sa_os_interface_t){"wg0", "", false,
                                     apr_array_make(pool, 2, sizeof(const char *))};
    machine.disks = apr_array_make(pool, 1, sizeof(sa_os_disk_t));
    disk = apr_array_push(machine.disks);
    *disk = (sa_os_disk_t){.drive = "/", .total_bytes = 100 * GIB, .free_bytes = 40 * GIB};
    return machine;
}

SA_TEST(an_inventory_has_the_members_of_the_contract_and_more)
{
    sa_task_machine_t machine = make_machine(pool);
    cJSON *json = sa_json_object(pool);

    sa_task__inventory_fill(json, &machine, false);
    ck_assert_str_eq(
        sa_json_print(json, NULL, pool),
        apr_pstrcat(
            pool, "{\"agent\":{\"version\":\"", sa_version(), "\"},"
            "\"os\":{\"platform\":\"linux\",\"name\":\"Debian GNU/Linux\","
            "\"version\":\"12 (bookworm)\",\"build\":\"6.1.0-18-amd64\"},"
            "\"cpu\":{\"cores\":4,\"model\":\"Some CPU\"},"
            "\"memory\":{\"total_gb\":8,\"available_gb\":5},"
            "\"disks\":[{\"drive\":\"/\",\"total_gb\":100,\"free_gb\":40}],"
            "\"network\":{\"primary_ip\":\"10.0.0.7\",\"interfaces\":["
            "{\"name\":\"eth0\",\"mac\":\"02:42:ac:11:00:02\",\"up\":true,"
            "\"addresses\":[\"10.0.0.7/24\",\"fe80::1/64\"]},"
            "{\"name\":\"wg0\",\"up\":false,\"addresses\":[]}]},"
            "\"machine\":{\"hostname\":\"vent-01\",\"architecture\":\"x86_64\","
            "\"kernel\":\"6.1.0-18-amd64\",\"id\":\"00112233445566778899aabbccddeeff\","
            "\"boot_time\":\"2026-07-25T17:20:00Z\",\"virtualization\":\"kvm\","
            "\"container\":\"none\",\"reboot_required\":false},"
            "\"packages\":{\"manager\":\"dpkg\",\"count\":412}}", NULL));
}

SA_TEST(what_is_unknown_is_left_out)
{
    sa_task_machine_t machine = make_machine(pool);
    cJSON *json = sa_json_object(pool);
    const char *text;

    machine.inventory.machine_id = "";
    machine.inventory.boot_time = 0;
    machine.inventory.package_manager = "rpm";
    machine.inventory.packages = -1;
    sa_task__inventory_fill(json, &machine, false);
    text = sa_json_print(json, NULL, pool);
    ck_assert_ptr_null(strstr(text, "\"id\""));
    ck_assert_ptr_null(strstr(text, "boot_time"));
    ck_assert_ptr_nonnull(strstr(text, "\"packages\":{\"manager\":\"rpm\"}"));
}

/* Is MACHINE news?  The members that changed, "" for a plain report, NULL for none. */
static const char *news(sa_task_inventory_t *inventory, const sa_task_machine_t *machine,
                        apr_pool_t *pool)
{
    cJSON *json = sa_json_object(pool);
    const cJSON *changed;

    if (!sa_task__inventory_is_news(json, inventory, machine, 24 * HOUR, pool)) {
        ck_assert_ptr_null(json->child);
        return NULL;
    }
    ck_assert_ptr_nonnull(cJSON_GetObjectItem(json, "memory"));
    changed = cJSON_GetObjectItem(json, "changed");
    ck_assert((changed != NULL) == (sa_json_text(json, "event") != NULL));
    return changed ? sa_json_print(changed, NULL, pool) : "";
}

SA_TEST(the_first_one_is_sent_then_one_each_interval)
{
    sa_task_inventory_t *inventory = sa_task__inventory_create(pool);
    sa_task_machine_t machine = make_machine(pool);
    int sent = 0;

    sa_time_set_clock(&fake_clock);
    mono = 5;
    ck_assert_pstr_eq(news(inventory, &machine, pool), "");
    for (int hour = 1; hour <= 24 * 10; hour++) {
        const char *text;

        mono = 5 + hour * HOUR;
        text = news(inventory, &machine, pool);
        ck_assert((text != NULL) == (hour % 24 == 0));
        sent += text != NULL;
    }
    ck_assert_int_eq(sent, 10);
    sa_time_set_clock(NULL);
}

SA_TEST(what_moves_by_itself_is_no_change)
{
    sa_task_inventory_t *inventory = sa_task__inventory_create(pool);
    sa_task_machine_t machine = make_machine(pool);

    sa_time_set_clock(&fake_clock);
    mono = 0;
    ck_assert_pstr_eq(news(inventory, &machine, pool), "");
    mono = HOUR;
    machine.memory.available_bytes = GIB;
    APR_ARRAY_IDX(machine.disks, 0, sa_os_disk_t).free_bytes = GIB;
    machine.inventory.boot_time += 1000000;
    ck_assert_ptr_null(news(inventory, &machine, pool));
    sa_time_set_clock(NULL);
}

SA_TEST(a_change_is_sent_and_named_once)
{
    static const char *const expected[] = {
        "[\"packages\"]", "[\"network\"]", "[\"disks\"]", "[\"machine\"]", "[\"memory\"]",
        "[\"os\",\"cpu\"]", "[\"packages\"]"
    };
    sa_task_inventory_t *inventory = sa_task__inventory_create(pool);
    sa_task_machine_t machine = make_machine(pool);

    sa_time_set_clock(&fake_clock);
    mono = 0;
    ck_assert_pstr_eq(news(inventory, &machine, pool), "");
    for (int i = 0; i < 7; i++) {
        sa_os_interface_t *first = &APR_ARRAY_IDX(machine.inventory.interfaces, 0,
                                                  sa_os_interface_t);

        mono += HOUR;
        machine.inventory.packages += i == 0;
        if (i == 1) {
            APR_ARRAY_PUSH(first->addresses, const char *) = "10.0.0.8/24";
        }
        APR_ARRAY_IDX(machine.disks, 0, sa_os_disk_t).total_bytes += i == 2 ? GIB : 0;
        machine.inventory.reboot_required = i >= 3;
        machine.memory.total_bytes += i == 4 ? GIB : 0;
        machine.host.version = i >= 5 ? "13 (trixie)" : "12 (bookworm)";
        machine.inventory.cpu_cores = i >= 5 ? 8 : 4;
        machine.inventory.package_manager = i >= 6 ? "" : "dpkg";
        ck_assert_pstr_eq(news(inventory, &machine, pool), expected[i]);
        ck_assert_ptr_null(news(inventory, &machine, pool));
    }
    mono += 23 * HOUR;                  /* the interval begins anew with each */
    ck_assert_ptr_null(news(inventory, &machine, pool));
    mono += HOUR;
    ck_assert_pstr_eq(news(inventory, &machine, pool), "");
    sa_time_set_clock(NULL);
}

SA_TEST_MAIN("task_inventory", an_inventory_has_the_members_of_the_contract_and_more,
             what_is_unknown_is_left_out, the_first_one_is_sent_then_one_each_interval,
             what_moves_by_itself_is_no_change, a_change_is_sent_and_named_once)
