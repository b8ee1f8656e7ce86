/* os: what only Linux says about a process.  Floor: knows nothing of ours. */
#include "../posix/sa_os_posix.h"

#include <malloc.h>

#include <sys/prctl.h>

void sa_os__thread_name(const char *name)
{
    /* Cuts at 15 bytes by itself; pthread_setname_np(3) would refuse. */
    prctl(PR_SET_NAME, name, 0, 0, 0);
}

void sa_os__process_init(void)
{
#ifdef M_ARENA_MAX
    mallopt(M_ARENA_MAX, 2);
#endif
#ifdef M_TRIM_THRESHOLD
    mallopt(M_TRIM_THRESHOLD, 64 * 1024);
#endif
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
