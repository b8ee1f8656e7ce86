/* os: the disks of Linux, from /proc/self/mountinfo and /proc/diskstats.
 *
 * A file system that does not answer would hang us without remedy, so nothing
 * here touches a network or FUSE file system, not even by a path that one has
 * been mounted over. */
#include "sa_os_metrics.h"

#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include <apr_strings.h>

#include "sa_os_linux.h"
#include "sa_pool.h"

#define SECTOR_BYTES 512            /* in /proc/diskstats always, whatever the disk's are */
#define LEAST_BYTES ((apr_uint64_t)1024 * 1024 * 1024)
#define LINES_MAX 4096              /* of mountinfo; each is compared with each */

/* ---- mounts -------------------------------------------------------------- */

static bool is_in(const char *word, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(word, list[i]) == 0) {
            return true;
        }
    }
    return false;
}

bool sa_os__is_remote(const char *type)
{
    static const char *const types[] = {
        "9p",  "afs",    "ceph", "cifs", "coda",  "gfs2", "glusterfs", "lustre",
        "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "smb3", "smbfs", "virtiofs"};

    return is_in(type, types, sizeof(types) / sizeof(types[0])) || strncmp(type, "fuse", 4) == 0;
}

/* On a local disk, and of a kind that can run full. */
static bool is_disk(const sa_os__mount_t *mount)
{
    /* Read-only images are always full; an overlay shows the disk below again. */
    static const char *const never[] = {
        "autofs", "cgroup", "cgroup2", "cramfs", "devfs", "devtmpfs", "erofs", "iso9660",
        "overlay", "proc", "ramfs", "romfs", "squashfs", "sysfs", "tmpfs"};
    static const char *const always[] = {"btrfs", "zfs"};

    if (sa_os__is_remote(mount->type)
        || is_in(mount->type, never, sizeof(never) / sizeof(never[0]))) {
        return false;
    }
    return strncmp(mount->source, "/dev/", 5) == 0 ||
           is_in(mount->type, always, sizeof(always) / sizeof(always[0]));
}

/* A line of mountinfo, candidate or not: what is mounted over what decides
 * whether a place can be reached. */
typedef struct line_t {
    apr_uint64_t id;
    apr_uint64_t parent;
    sa_os__mount_t mount;
} line_t;

/* The next word of *TEXT within its line, octal escapes undone; "" at the end. */
static const char *next_word(const char **text, apr_pool_t *pool)
{
    const char *from = *text + strspn(*text, " ");
    size_t length = strcspn(from, " \n");
    char *word = apr_palloc(pool, length + 1);
    char *put = word;

    for (size_t i = 0; i < length; i++) {
        if (from[i] == '\\' && i + 3 < length && strspn(from + i + 1, "01234567") >= 3) {
            *put++ = (char)((from[i + 1] - '0') * 64 + (from[i + 2] - '0') * 8 +
                            (from[i + 3] - '0'));
            i += 3;
        } else {
            *put++ = from[i];
        }
    }
    *put = '\0';
    *text = from + length;
    return word;
}

/* 36 35 98:0 /root /point rw,noatime shared:1 - ext3 /dev/root rw */
static bool parse_line(line_t *line, const char *text, apr_pool_t *pool)
{
    const char *root;
    const char *word;

    if (!sa_os__number(&line->id, &text) || !sa_os__number(&line->parent, &text) ||
        !sa_os__number(&line->mount.major, &text) || *text++ != ':' ||
        !sa_os__number(&line->mount.minor, &text)) {
        return false;
    }
    root = next_word(&text, pool);
    line->mount.whole = strcmp(root, "/") == 0;
    line->mount.point = next_word(&text, pool);
    do {
        word = next_word(&text, pool);
    } while (*word && strcmp(word, "-") != 0);
    line->mount.type = next_word(&text, pool);
    line->mount.source = next_word(&text, pool);
    return line->mount.point[0] == '/' && *line->mount.type;
}

static apr_array_header_t *parse_lines(const char *text, apr_pool_t *pool)
{
    apr_array_header_t *lines = apr_array_make(pool, 64, sizeof(line_t));

    for (; *text && lines->nelts < LINES_MAX; text = sa_os__next_line(text)) {
        line_t line;

        if (parse_line(&line, text, pool)) {
            APR_ARRAY_PUSH(lines, line_t) = line;
        }
    }
    return lines;
}

/* Is PATH at or below PARENT? */
static bool is_within(const char *path, const char *parent)
{
    size_t length = strlen(parent);

    if (length == 1) {
        return true;
    }
    return strncmp(path, parent, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static const line_t *find_line(const apr_array_header_t *lines, apr_uint64_t id)
{
    for (int i = 0; i < lines->nelts; i++) {
        const line_t *line = &APR_ARRAY_IDX(lines, i, line_t);

        if (line->id == id) {
            return line;
        }
    }
    return NULL;
}

/* Does the path of LINE lead into another mount of the same parent? */
static bool is_covered_by_sibling(const line_t *line, const apr_array_header_t *lines)
{
    for (int i = 0; i < lines->nelts; i++) {
        const line_t *other = &APR_ARRAY_IDX(lines, i, line_t);

        if (other->parent == line->parent && other->id != line->id && other->id != other->parent &&
            is_within(line->mount.point, other->mount.point)) {
            return true;
        }
    }
    return false;
}

/* Does the path of LINE lead to what LINE mounted, past local file systems only?
 * Not when something has been mounted over it or over a directory above it. */
static bool is_reachable(const line_t *line, const apr_array_header_t *lines)
{
    enum { DEPTH_MAX = 64 };

    for (int i = 0; i < lines->nelts; i++) {
        const line_t *other = &APR_ARRAY_IDX(lines, i, line_t);

        if (other->parent == line->id && other->id != line->id &&
            strcmp(other->mount.point, line->mount.point) == 0) {
            return false;
        }
    }
    for (int depth = 0; line && depth < DEPTH_MAX; depth++) {
        if (is_covered_by_sibling(line, lines)) {
            return false;
        }
        /* A remote root holds our own program too: it is no further risk. */
        if (sa_os__is_remote(line->mount.type) && strcmp(line->mount.point, "/") != 0) {
            return false;
        }
        line = line->parent == line->id ? NULL : find_line(lines, line->parent);
    }
    return true;
}

/* Whole file systems before parts of them, then short names before long. */
static int compare_mounts(const void *left, const void *right)
{
    const sa_os__mount_t *a = left;
    const sa_os__mount_t *b = right;
    size_t a_length = strlen(a->point);
    size_t b_length = strlen(b->point);

    if (a->whole != b->whole) {
        return a->whole ? -1 : 1;
    }
    if (a_length != b_length) {
        return a_length < b_length ? -1 : 1;
    }
    return strcmp(a->point, b->point);
}

apr_array_header_t *sa_os__parse_mounts(const char *text, apr_pool_t *pool)
{
    apr_array_header_t *lines = parse_lines(text, pool);
    apr_array_header_t *mounts = apr_array_make(pool, 8, sizeof(sa_os__mount_t));

    for (int i = 0; i < lines->nelts; i++) {
        const line_t *line = &APR_ARRAY_IDX(lines, i, line_t);

        if (is_disk(&line->mount) && is_reachable(line, lines)) {
            APR_ARRAY_PUSH(mounts, sa_os__mount_t) = line->mount;
        }
    }
    qsort(mounts->elts, (size_t)mounts->nelts, sizeof(sa_os__mount_t), compare_mounts);
    return mounts;
}

/* ---- disks --------------------------------------------------------------- */

/* Does the line at TEXT, behind its two numbers, name the device NAME? */
static bool is_named(const char *text, const char *name)
{
    size_t length = strlen(name);

    text += strspn(text, " ");
    return length > 0 && strncmp(text, name, length) == 0 && text[length] == ' ';
}

void sa_os__parse_diskstats(sa_os_disk_t *disk, const char *text, apr_uint64_t major,
                            apr_uint64_t minor, const char *name)
{
    /* reads, merged, sectors, ms, writes, merged, sectors */
    enum { SECTORS_READ = 2, SECTORS_WRITTEN = 6, FIELDS = 7 };

    for (; *text; text = sa_os__next_line(text)) {
        const char *at = text;
        apr_uint64_t values[FIELDS];
        apr_uint64_t this_major;
        apr_uint64_t this_minor;
        int count = 0;

        if (!sa_os__number(&this_major, &at) || !sa_os__number(&this_minor, &at)) {
            continue;
        }
        if (major ? this_major != major || this_minor != minor : !is_named(at, name)) {
            continue;
        }
        at += strspn(at, " ");
        at += strcspn(at, " \n");
        while (count < FIELDS && sa_os__number(&values[count], &at)) {
            count++;
        }
        if (count == FIELDS) {
            disk->read_bytes = values[SECTORS_READ] * SECTOR_BYTES;
            disk->written_bytes = values[SECTORS_WRITTEN] * SECTOR_BYTES;
            disk->has_io = true;
        }
        return;
    }
}

/* Btrfs and others that may span disks have a device number of their own
 * (0:N); their source is one of the disks. */
static void read_io(sa_os_disk_t *disk, const char *diskstats, const sa_os__mount_t *mount)
{
    const char *slash = strrchr(mount->source, '/');
    struct stat info;

    if (mount->major == 0 && strncmp(mount->source, "/dev/", 5) == 0 &&
        stat(mount->source, &info) == 0 && S_ISBLK(info.st_mode)) {
        sa_os__parse_diskstats(disk, diskstats, major(info.st_rdev), minor(info.st_rdev), "");
    } else {
        sa_os__parse_diskstats(disk, diskstats, mount->major, mount->minor,
                               slash ? slash + 1 : "");
    }
}

/* The size of what is at MOUNT; false when it is no disk to report. */
static bool read_space(sa_os_disk_t *disk, const sa_os__mount_t *mount)
{
    struct statvfs space;
    struct stat info;

    /* Containers have single files bound in (/etc/hosts). */
    if (stat(mount->point, &info) != 0 || !S_ISDIR(info.st_mode) ||
        statvfs(mount->point, &space) != 0) {
        return false;
    }
    disk->total_bytes = (apr_uint64_t)space.f_blocks * space.f_frsize;
    disk->free_bytes = (apr_uint64_t)space.f_bavail * space.f_frsize;
    return disk->total_bytes >= LEAST_BYTES;
}

static bool is_same_device(const sa_os__mount_t *a, const sa_os__mount_t *b)
{
    return a->major == b->major && a->minor == b->minor;
}

/* Has one of the first COUNT of DONE the device of MOUNT? */
static bool is_done(const sa_os__mount_t *mount, const sa_os__mount_t *const *done, int count)
{
    for (int i = 0; i < count; i++) {
        if (is_same_device(done[i], mount)) {
            return true;
        }
    }
    return false;
}

static int compare_disks(const void *left, const void *right)
{
    return strcmp(((const sa_os_disk_t *)left)->drive, ((const sa_os_disk_t *)right)->drive);
}

static void collect(apr_array_header_t *disks, const apr_array_header_t *mounts,
                    const char *diskstats, apr_pool_t *pool)
{
    const sa_os__mount_t *done[SA_OS_DISKS_MAX];

    for (int i = 0; i < mounts->nelts && disks->nelts < SA_OS_DISKS_MAX; i++) {
        const sa_os__mount_t *mount = &APR_ARRAY_IDX(mounts, i, sa_os__mount_t);
        sa_os_disk_t disk = {0};

        if (is_done(mount, done, disks->nelts) || !read_space(&disk, mount)) {
            continue;
        }
        read_io(&disk, diskstats, mount);
        disk.drive = apr_pstrdup(pool, mount->point);
        done[disks->nelts] = mount;
        APR_ARRAY_PUSH(disks, sa_os_disk_t) = disk;
    }
    qsort(disks->elts, (size_t)disks->nelts, sizeof(sa_os_disk_t), compare_disks);
}

static sa_error_t *read_disks(apr_array_header_t *disks, apr_pool_t *result_pool,
                              apr_pool_t *scratch_pool)
{
    const char *mountinfo;
    const char *diskstats = "";

    SA_TRY(sa_os__proc_read(&mountinfo, "/proc/self/mountinfo", SA_OS_PROC_LIMIT, scratch_pool));
    /* Some containers have none; then the rates are unknown. */
    sa_error_clear(sa_os__proc_read(&diskstats, "/proc/diskstats", SA_OS_PROC_LIMIT,
                                    scratch_pool));
    collect(disks, sa_os__parse_mounts(mountinfo, scratch_pool), diskstats, result_pool);
    return SA_OK;
}

sa_error_t *sa_os_disks_read(apr_array_header_t **disks, apr_pool_t *pool)
{
    apr_pool_t *scratch_pool = sa_pool_create(pool);
    apr_array_header_t *found = apr_array_make(pool, 8, sizeof(sa_os_disk_t));
    sa_error_t *err = read_disks(found, pool, scratch_pool);

    apr_pool_destroy(scratch_pool);
    *disks = found;
    return err;
}
