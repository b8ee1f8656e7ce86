/* SQLite on a disk that fails: a layer over the machine's file system. */
#ifndef FAULT_VFS_H
#define FAULT_VFS_H

#include <stdbool.h>

/* What writing does from now on. */
typedef enum fault_t {
    FAULT_NONE,
    FAULT_FULL,         /* writes fail: no space */
    FAULT_SYNC,         /* writing works, flushing fails: EIO */
    FAULT_IO            /* writes fail: EIO */
} fault_t;

/* Become SQLite's file system.  Once. */
void fault_vfs_register(void);
void fault_vfs_set(fault_t fault);

#endif
