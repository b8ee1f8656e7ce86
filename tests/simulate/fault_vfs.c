/* A layer of SQLite's (https://www.sqlite.org/vfs.html): every call goes
 * through to the machine's, but writes and flushes can be made to fail.
 *
 * Flushing is only counted, never done: the simulated crash is that of a
 * process, after which the machine still has what was written. */
#include "fault_vfs.h"

#include <string.h>

#include <sqlite3.h>

typedef struct fault_file_t {
    sqlite3_file base;
    sqlite3_file *real;
} fault_file_t;

static sqlite3_vfs *real_vfs;
static sqlite3_vfs fault_vfs;
static fault_t current = FAULT_NONE;

void fault_vfs_set(fault_t fault)
{
    current = fault;
}

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((fault_file_t *)file)->real;
}

static int close_file(sqlite3_file *file)
{
    return real_of(file)->pMethods->xClose(real_of(file));
}

static int read_file(sqlite3_file *file, void *data, int amount, sqlite3_int64 offset)
{
    return real_of(file)->pMethods->xRead(real_of(file), data, amount, offset);
}

static int write_file(sqlite3_file *file, const void *data, int amount, sqlite3_int64 offset)
{
    if (current == FAULT_FULL) {
        return SQLITE_FULL;
    }
    if (current == FAULT_IO) {
        return SQLITE_IOERR_WRITE;
    }
    return real_of(file)->pMethods->xWrite(real_of(file), data, amount, offset);
}

static int truncate_file(sqlite3_file *file, sqlite3_int64 size)
{
    if (current == FAULT_IO) {
        return SQLITE_IOERR_TRUNCATE;
    }
    return real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static int sync_file(sqlite3_file *file, int flags)
{
    (void)file;
    (void)flags;
    return current == FAULT_SYNC || current == FAULT_IO ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

static int size_file(sqlite3_file *file, sqlite3_int64 *size)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), size);
}

static int lock_file(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int unlock_file(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int check_lock(sqlite3_file *file, int *result)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), result);
}

static int control(sqlite3_file *file, int op, void *argument)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), op, argument);
}

static int sector_size(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int characteristics(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int map(sqlite3_file *file, int page, int size, int extend, void volatile **result)
{
    return real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend, result);
}

static int lock_map(sqlite3_file *file, int offset, int count, int flags)
{
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, count, flags);
}

static void barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int unmap(sqlite3_file *file, int remove)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), remove);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2, .xClose = close_file, .xRead = read_file, .xWrite = write_file,
    .xTruncate = truncate_file, .xSync = sync_file, .xFileSize = size_file, .xLock = lock_file,
    .xUnlock = unlock_file, .xCheckReservedLock = check_lock, .xFileControl = control,
    .xSectorSize = sector_size, .xDeviceCharacteristics = characteristics, .xShmMap = map,
    .xShmLock = lock_map, .xShmBarrier = barrier, .xShmUnmap = unmap
};

static int open_file(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags,
                     int *out_flags)
{
    fault_file_t *fault = (fault_file_t *)file;
    int result;

    (void)vfs;
    memset(fault, 0, sizeof(*fault));
    fault->real = (sqlite3_file *)(fault + 1);
    result = real_vfs->xOpen(real_vfs, name, fault->real, flags, out_flags);
    fault->base.pMethods = fault->real->pMethods ? &methods : NULL;
    return result;
}

void fault_vfs_register(void)
{
    real_vfs = sqlite3_vfs_find(NULL);
    fault_vfs = *real_vfs;
    fault_vfs.zName = "fault";
    fault_vfs.szOsFile = (int)sizeof(fault_file_t) + real_vfs->szOsFile;
    fault_vfs.xOpen = open_file;
    sqlite3_vfs_register(&fault_vfs, 1);
}
