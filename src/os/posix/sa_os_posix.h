/* Between the files of src/os/posix, and what they ask of the folder of the
 * system they are built with: the few things that POSIX does not say.  Floor:
 * knows nothing of ours. */
#ifndef SA_OS_POSIX_H
#define SA_OS_POSIX_H

#include <stdbool.h>

#include "sa_os_thread.h"

/* The system's folder: name the calling thread; longer names are cut. */
void sa_os__thread_name(const char *name);

/* The system's folder: prepare the process as this system can: no memory for debuggers to read,
 * a heap that gives memory back.  Before the first thread. */
void sa_os__process_init(void);

/* The system's folder: SIGIO came, some time ago; has the network changed since the last call, or
 * did the machine sleep?  Main thread; nothing has while sa_os_network_watch() was not called. */
bool sa_os__network_judge(void);

/* Leave THREAD to itself instead of joining it; its memory must stay.  Only for
 * one that ends the process. */
void sa_os__thread_abandon(sa_os_thread_t *thread);

#endif
