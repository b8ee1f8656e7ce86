/* A kernel that is older than the machine's: what it lacks is refused as it would be. */
#ifndef TEST_OS_EXEC_KERNEL_H
#define TEST_OS_EXEC_KERNEL_H

#include <stdbool.h>

/* From now on this process and its children have no pidfd_open(2), close_range(2) and
 * landlock(7), and gain no privileges. */
bool kernel_age(void);
/* Would it? */
bool kernel_can_age(void);

/* Nor has this process any cgroup.kill, as before 5.14. */
void kernel_hide_cgroup_kill(void);
/* How often it was looked for since. */
int kernel_hidden(void);

#endif
