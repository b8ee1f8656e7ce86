/* os: the inventory, by files and getifaddrs(3).  Nothing is started. */
#include "sa_os_inventory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <systemd/sd-id128.h>

#include <apr_strings.h>

#include "sa_os_file.h"
#include "sa_os_linux.h"
#include "sa_pool.h"

#define SMALL_LIMIT 4096
#define PACKAGES_LIMIT (128 * 1024 * 1024)
#define ENTRIES_MAX 1000000
#define CLOCKS "/sys/devices/system/clocksource/clocksource0/available_clocksource"
#define PIECE_BYTES (32 * 1024)
#define ETHER_BYTES 6

/* Ours alone, made once at random: what it makes of the machine's id is the same for
 * every version, and nobody else's. */
#define APP_ID SD_ID128_MAKE(e9, 68, 88, ce, 03, 64, 48, 02, a5, e4, 69, 48, 03, ba, 53, d4)

/* The first line of a small file, without blanks at its end; "" when it cannot be read. */
static const char *small_file(const char *path, apr_pool_t *pool)
{
    const char *text = "";
    size_t length;

    sa_error_clear(sa_os__proc_read(&text, path, SMALL_LIMIT, pool));
    length = strcspn(text, "\r\n");
    while (length > 0 && strchr(" \t", text[length - 1])) {
        length--;
    }
    return apr_pstrmemdup(pool, text, length);
}

static const char *whole_file(const char *path, apr_pool_t *pool)
{
    const char *text = "";

    sa_error_clear(sa_os__proc_read(&text, path, SA_OS_PROC_LIMIT, pool));
    return text;
}

/* ---- the processor ---------------------------------------------------------- */

/* What stands behind "KEY<blanks>:" in TEXT, in POOL, or NULL. */
static const char *colon_value(const char *text, const char *key, apr_pool_t *pool)
{
    size_t key_length = strlen(key);

    for (; *text; text = sa_os__next_line(text)) {
        const char *at = text + key_length;

        if (strncmp(text, key, key_length) != 0) {
            continue;
        }
        at += strspn(at, " \t");
        if (*at == ':') {
            at++;
            at += strspn(at, " \t");
            return apr_pstrmemdup(pool, at, strcspn(at, "\n"));
        }
    }
    return NULL;
}

const char *sa_os__cpu_model(const char *cpuinfo, apr_pool_t *pool)
{
    /* x86, POWER; MIPS; ARM boards, of which "model name" is the core only */
    static const char *const keys[] = {"model name", "cpu model", "cpu", "Model", "Hardware"};

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *model = colon_value(cpuinfo, keys[i], pool);

        if (model && *model) {
            return model;
        }
    }
    return "Unknown";
}

bool sa_os__cpu_is_virtual(const char *cpuinfo)
{
    const char *at = strstr(cpuinfo, "\nflags");

    if (strncmp(cpuinfo, "flags", 5) == 0) {
        at = cpuinfo;
    }
    for (at = at ? at + 1 : ""; *at && *at != '\n'; at += strcspn(at, " \n")) {
        at += strspn(at, " ");
        if (strncmp(at, "hypervisor", 10) == 0 && strchr(" \n", at[10])) {
            return true;
        }
    }
    return false;
}

/* ---- what carries the machine -------------------------------------------------- */

const char *sa_os__dmi_machine(const char *text)
{
    static const struct {
        const char *vendor;
        const char *machine;
    } rows[] = {
        {"KVM", "kvm"}, {"OpenStack", "kvm"}, {"KubeVirt", "kvm"}, {"Amazon EC2", "amazon"},
        {"QEMU", "qemu"}, {"VMware", "vmware"}, {"VMW", "vmware"}, {"innotek GmbH", "oracle"},
        {"VirtualBox", "oracle"}, {"Oracle Corporation", "oracle"}, {"Xen", "xen"},
        {"Bochs", "bochs"}, {"Parallels", "parallels"}, {"BHYVE", "bhyve"},
        {"Hyper-V", "microsoft"}, {"Virtual Machine", "microsoft"},
        {"Apple Virtualization", "apple"}, {"Google Compute Engine", "google"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strncmp(text, rows[i].vendor, strlen(rows[i].vendor)) == 0) {
            return rows[i].machine;
        }
    }
    return NULL;
}

const char *sa_os__clock_machine(const char *clocks)
{
    static const char *const rows[][2] = {
        {"kvm-clock", "kvm"}, {"hyperv", "microsoft"}, {"xen", "xen"}
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strstr(clocks, rows[i][0])) {
            return rows[i][1];
        }
    }
    return "vm-other";
}

static const char *find_virtualization(const char *cpuinfo, apr_pool_t *pool)
{
    static const char *const files[] = {
        "/sys/class/dmi/id/product_name", "/sys/class/dmi/id/sys_vendor",
        "/sys/class/dmi/id/board_vendor", "/sys/class/dmi/id/bios_vendor"
    };
    bool is_virtual = sa_os__cpu_is_virtual(cpuinfo);
    const char *text;

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        const char *machine = sa_os__dmi_machine(small_file(files[i], pool));

        /* an Oracle server is not VirtualBox */
        if (machine && (is_virtual || strcmp(machine, "oracle") != 0)) {
            return machine;
        }
    }
    text = small_file("/sys/hypervisor/type", pool);
    if (*text) {
        return text;
    }
    text = small_file("/proc/device-tree/hypervisor/compatible", pool);
    if (*text) {
        return strncmp(text, "linux,kvm", 9) == 0 ? "kvm"
               : strstr(text, "xen")              ? "xen"
                                                  : "vm-other";
    }
    return is_virtual ? sa_os__clock_machine(small_file(CLOCKS, pool)) : "none";
}

static const char *find_container(const char *build, apr_pool_t *pool)
{
    static const struct {
        const char *file;
        const char *container;
    } rows[] = {
        {"/.dockerenv", "docker"}, {"/run/.containerenv", "podman"},
        {"/dev/.lxc-boot-id", "lxc"}, {"/dev/lxd/sock", "lxc"},
    };
    const char *said = small_file("/run/systemd/container", pool);

    if (!*said) {
        said = small_file("/run/host/container-manager", pool);
    }
    if (*said) {
        return said;
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (sa_os_file_exists(rows[i].file, pool)) {
            return rows[i].container;
        }
    }
    if (sa_os_file_exists("/proc/vz", pool) && !sa_os_file_exists("/proc/bc", pool)) {
        return "openvz";
    }
    return strstr(build, "icrosoft") || strstr(build, "WSL") ? "wsl" : "none";
}

apr_time_t sa_os__boot_time(const char *stat)
{
    const char *line = strncmp(stat, "btime ", 6) == 0 ? stat : strstr(stat, "\nbtime ");
    apr_uint64_t seconds;

    if (!line) {
        return 0;
    }
    line = strchr(line, ' ');
    return sa_os__number(&seconds, &line) ? (apr_time_t)seconds * APR_USEC_PER_SEC : 0;
}

static const char *read_machine_id(apr_pool_t *pool)
{
    sd_id128_t id;
    char text[SD_ID128_STRING_MAX];

    if (sd_id128_get_machine_app_specific(APP_ID, &id) < 0) {
        return "";
    }
    return apr_pstrdup(pool, sd_id128_to_string(id, text));
}

/* ---- interfaces ------------------------------------------------------------------ */

bool sa_os__is_temporary(const char *if_inet6, const char *address)
{
    enum { FLAGS_FIELD = 4, IFA_F_TEMPORARY_ = 1 };

    for (; *if_inet6; if_inet6 = sa_os__next_line(if_inet6)) {
        const char *at = if_inet6;

        if (strncmp(at, address, 32) != 0) {
            continue;
        }
        for (int i = 0; i < FLAGS_FIELD; i++) {
            at += strcspn(at, " \n");
            at += strspn(at, " ");
        }
        return (strtoul(at, NULL, 16) & IFA_F_TEMPORARY_) != 0;
    }
    return false;
}

static int mask_bits(const unsigned char *mask, int bytes)
{
    int bits = 0;

    for (int i = 0; i < bytes; i++) {
        for (unsigned int byte = mask[i]; byte & 0x80; byte = byte << 1 & 0xff) {
            bits++;
        }
    }
    return bits;
}

/* The address of ONE as text with its mask, in POOL; NULL when it is no address that
 * stays. */
static const char *address_text(const struct ifaddrs *one, const char *if_inet6, apr_pool_t *pool)
{
    char text[INET6_ADDRSTRLEN];
    const void *address;
    const void *mask = NULL;
    int bytes;

    if (one->ifa_addr->sa_family == AF_INET) {
        address = &((const struct sockaddr_in *)(const void *)one->ifa_addr)->sin_addr;
        mask = one->ifa_netmask
                   ? &((const struct sockaddr_in *)(const void *)one->ifa_netmask)->sin_addr
                   : NULL;
        bytes = 4;
    } else {
        const unsigned char *raw;
        char hex[33];

        address = &((const struct sockaddr_in6 *)(const void *)one->ifa_addr)->sin6_addr;
        mask = one->ifa_netmask
                   ? &((const struct sockaddr_in6 *)(const void *)one->ifa_netmask)->sin6_addr
                   : NULL;
        bytes = 16;
        raw = address;
        for (int i = 0; i < bytes; i++) {
            apr_snprintf(hex + 2 * i, 3, "%02x", raw[i]);
        }
        if (sa_os__is_temporary(if_inet6, hex)) {
            return NULL;
        }
    }
    if (!inet_ntop(one->ifa_addr->sa_family, address, text, sizeof(text))) {
        return NULL;
    }
    return mask ? apr_psprintf(pool, "%s/%d", text, mask_bits(mask, bytes))
                : apr_pstrdup(pool, text);
}

/* One end of a container's cable: they come and go with their containers. */
static bool is_passing(const char *name)
{
    return strncmp(name, "veth", 4) == 0;
}

static sa_os_interface_t *need_interface(apr_array_header_t *interfaces,
                                         const struct ifaddrs *one, apr_pool_t *pool)
{
    sa_os_interface_t *interface;

    for (int i = 0; i < interfaces->nelts; i++) {
        interface = &APR_ARRAY_IDX(interfaces, i, sa_os_interface_t);
        if (strcmp(interface->name, one->ifa_name) == 0) {
            return interface;
        }
    }
    if (interfaces->nelts == SA_OS_INTERFACES_MAX) {
        return NULL;
    }
    interface = apr_array_push(interfaces);
    interface->name = apr_pstrdup(pool, one->ifa_name);
    interface->mac = "";
    interface->up = (one->ifa_flags & IFF_UP) != 0;
    interface->addresses = apr_array_make(pool, 2, sizeof(const char *));
    return interface;
}

static void add_mac(sa_os_interface_t *interface, const struct ifaddrs *one, apr_pool_t *pool)
{
    const struct sockaddr_ll *link = (const void *)one->ifa_addr;
    const unsigned char *mac = link->sll_addr;
    static const unsigned char none[ETHER_BYTES];

    if (link->sll_halen == ETHER_BYTES && memcmp(mac, none, ETHER_BYTES) != 0) {
        interface->mac = apr_psprintf(pool, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
                                      mac[2], mac[3], mac[4], mac[5]);
    }
}

static void add_one(sa_os_inventory_t *inventory, const struct ifaddrs *one,
                    const char *if_inet6, apr_pool_t *pool)
{
    sa_os_interface_t *interface;
    const char *text;
    int family = one->ifa_addr ? one->ifa_addr->sa_family : 0;

    if ((one->ifa_flags & IFF_LOOPBACK) || is_passing(one->ifa_name)) {
        return;
    }
    if (family == AF_INET && strcmp(inventory->primary_ip, "Unknown") == 0) {
        text = address_text(one, if_inet6, pool);
        inventory->primary_ip = text ? apr_pstrmemdup(pool, text, strcspn(text, "/")) : "Unknown";
    }
    interface = need_interface(inventory->interfaces, one, pool);
    if (!interface) {
        return;
    }
    if (family == AF_PACKET) {
        add_mac(interface, one, pool);
    }
    if ((family != AF_INET && family != AF_INET6)
        || interface->addresses->nelts == SA_OS_ADDRESSES_MAX) {
        return;
    }
    text = address_text(one, if_inet6, pool);
    if (text) {
        APR_ARRAY_PUSH(interface->addresses, const char *) = text;
    }
}

static int compare_texts(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static int compare_interfaces(const void *left, const void *right)
{
    return strcmp(((const sa_os_interface_t *)left)->name,
                  ((const sa_os_interface_t *)right)->name);
}

static sa_error_t *read_interfaces(sa_os_inventory_t *inventory, apr_pool_t *pool)
{
    const char *if_inet6 = whole_file("/proc/net/if_inet6", pool);
    apr_array_header_t *interfaces = apr_array_make(pool, 8, sizeof(sa_os_interface_t));
    struct ifaddrs *all;

    inventory->interfaces = interfaces;
    inventory->primary_ip = "Unknown";
    if (getifaddrs(&all) < 0) {
        return sa_error_apr(errno, "cannot list the network's interfaces");
    }
    for (const struct ifaddrs *one = all; one; one = one->ifa_next) {
        add_one(inventory, one, if_inet6, pool);
    }
    freeifaddrs(all);
    for (int i = 0; i < interfaces->nelts; i++) {
        apr_array_header_t *addresses =
            APR_ARRAY_IDX(interfaces, i, sa_os_interface_t).addresses;

        qsort(addresses->elts, (size_t)addresses->nelts, sizeof(const char *), compare_texts);
    }
    qsort(interfaces->elts, (size_t)interfaces->nelts, sizeof(sa_os_interface_t),
          compare_interfaces);
    return SA_OK;
}

/* ---- packages ---------------------------------------------------------------------- */

/* Files that list what is installed, by the lines that say so. */
static const struct {
    const char *manager;
    const char *path;
    const char *begin;
    const char *end;
} package_files[] = {
    {"dpkg", "/var/lib/dpkg/status", "Status: ", " installed"},
    {"apk", "/lib/apk/db/installed", "P:", ""},
    {"apk", "/usr/lib/apk/db/installed", "P:", ""},
    {"opkg", "/usr/lib/opkg/status", "Status: ", " installed"},
    {"opkg", "/var/lib/opkg/status", "Status: ", " installed"},
};

/* The line that has just ended. */
static void count_line(sa_os__packages_t *packages)
{
    size_t begin = strlen(packages->begin);
    size_t end = strlen(packages->end);
    size_t length = packages->length;
    bool whole = length < sizeof(packages->line);

    if (length >= begin + end && memcmp(packages->line, packages->begin, begin) == 0
        && (end == 0
            || (whole && memcmp(packages->line + length - end, packages->end, end) == 0))) {
        packages->installed++;
    }
    packages->length = 0;
}

void sa_os__count_packages(sa_os__packages_t *packages, const char *piece, size_t length)
{
    const char *end = piece + length;

    while (piece < end) {
        const char *stop = memchr(piece, '\n', (size_t)(end - piece));
        size_t part = (size_t)((stop ? stop : end) - piece);

        if (packages->length < sizeof(packages->line)) {
            size_t room = sizeof(packages->line) - packages->length;

            memcpy(packages->line + packages->length, piece, part < room ? part : room);
        }
        packages->length += part;
        piece += part;
        if (stop) {
            count_line(packages);
            piece++;
        }
    }
}

/* Not blocking: whoever makes a FIFO of it must not hold us. */
static int open_regular(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info;

    if (fd >= 0 && (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode))) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* -1: there is no such file, or it is beyond its limit. */
static apr_int64_t count_in_file(const char *path, const char *begin, const char *end,
                                 apr_pool_t *scratch_pool)
{
    sa_os__packages_t packages = {.begin = begin, .end = end};
    char *piece = apr_palloc(scratch_pool, PIECE_BYTES);
    int fd = open_regular(path);
    size_t total = 0;
    ssize_t got;

    if (fd < 0) {
        return -1;
    }
    got = read(fd, piece, PIECE_BYTES);
    while (got > 0 && total < PACKAGES_LIMIT) {
        sa_os__count_packages(&packages, piece, (size_t)got);
        total += (size_t)got;
        got = read(fd, piece, PIECE_BYTES);
    }
    close(fd);
    sa_os__count_packages(&packages, "\n", 1);
    return got == 0 ? (apr_int64_t)packages.installed : -1;
}

/* pacman has a directory for each, and a file for itself. */
static apr_int64_t count_pacman(const char *path)
{
    DIR *directory = opendir(path);
    apr_int64_t count = 0;

    if (!directory) {
        return -1;
    }
    for (const struct dirent *entry = readdir(directory); entry && count < ENTRIES_MAX;
         entry = readdir(directory)) {
        count += entry->d_name[0] != '.' && strcmp(entry->d_name, "ALPM_DB_VERSION") != 0;
    }
    closedir(directory);
    return count;
}

static bool has_file(const char *root, const char *path, apr_pool_t *scratch_pool)
{
    return sa_os_file_exists(apr_pstrcat(scratch_pool, root, path, NULL), scratch_pool);
}

/* rpm's database is one of several formats, none of them to be read beside it. */
static bool has_rpm(const char *root, apr_pool_t *scratch_pool)
{
    static const char *const files[] = {
        "/var/lib/rpm/rpmdb.sqlite", "/usr/lib/sysimage/rpm/rpmdb.sqlite",
        "/var/lib/rpm/Packages", "/usr/lib/sysimage/rpm/Packages.db", "/var/lib/rpm/Packages.db"
    };

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        if (has_file(root, files[i], scratch_pool)) {
            return true;
        }
    }
    return false;
}

void sa_os__read_packages(sa_os_inventory_t *inventory, const char *root,
                          apr_pool_t *scratch_pool)
{
    inventory->package_manager = "";
    inventory->packages = -1;
    for (size_t i = 0; i < sizeof(package_files) / sizeof(package_files[0]); i++) {
        const char *path = apr_pstrcat(scratch_pool, root, package_files[i].path, NULL);
        apr_int64_t count = count_in_file(path, package_files[i].begin, package_files[i].end,
                                          scratch_pool);

        /* without one it is another's tool that happens to lie here */
        if (count > 0) {
            inventory->package_manager = package_files[i].manager;
            inventory->packages = count;
            return;
        }
    }
    inventory->packages = count_pacman(apr_pstrcat(scratch_pool, root, "/var/lib/pacman/local",
                                                   NULL));
    if (inventory->packages > 0) {
        inventory->package_manager = "pacman";
        return;
    }
    inventory->packages = -1;
    inventory->package_manager = has_rpm(root, scratch_pool) ? "rpm" : "";
}

bool sa_os__reboot_is_required(const char *root, apr_pool_t *scratch_pool)
{
    /* Debian's, and SUSE's */
    return has_file(root, "/run/reboot-required", scratch_pool)
           || has_file(root, "/var/run/reboot-required", scratch_pool)
           || has_file(root, "/run/reboot-needed", scratch_pool);
}

static void read_software(sa_os_inventory_t *inventory, apr_pool_t *pool)
{
    apr_pool_t *scratch_pool = sa_pool_create(pool);

    sa_os__read_packages(inventory, "", scratch_pool);
    inventory->reboot_required = sa_os__reboot_is_required("", scratch_pool);
    apr_pool_destroy(scratch_pool);
}

/* ---- all --------------------------------------------------------------------------- */

sa_error_t *sa_os_inventory_read(sa_os_inventory_t *inventory, apr_pool_t *pool)
{
    const char *cpuinfo = whole_file("/proc/cpuinfo", pool);
    struct utsname names;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (uname(&names) < 0) {
        return sa_error_apr(errno, "cannot ask for the name of the system");
    }
    inventory->architecture = apr_pstrdup(pool, names.machine);
    inventory->cpu_cores = cores > 0 ? (int)cores : 1;
    inventory->cpu_model = sa_os__cpu_model(cpuinfo, pool);
    inventory->machine_id = read_machine_id(pool);
    inventory->boot_time = sa_os__boot_time(whole_file("/proc/stat", pool));
    inventory->virtualization = find_virtualization(cpuinfo, pool);
    inventory->container = find_container(names.release, pool);
    read_software(inventory, pool);
    return read_interfaces(inventory, pool);
}
