/* clock: a wall clock that a story can set, for one process.
 *
 *     cc -shared -fPIC -o clock.so clock.c
 *     CLOCK_FILE=FILE LD_PRELOAD=clock.so COMMAND
 *
 * FILE holds 8 bytes: the nanoseconds between the machine's wall clock and the
 * one that COMMAND sees, changed at any time; 8 more, if it is longer: how long COMMAND
 * is to think that the machine has slept.  The monotonic clock is the machine's.
 * As with the kernel's own clock a wait until a moment of the wall clock ends when
 * that clock is set past it, and lasts longer when it is set back. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)
/* How soon a wait notices that the clock was set. */
#define STEP (SECOND / 50)
/* In glibc's pthread_cond_t: waits are by the monotonic clock. */
#define MONOTONIC_BIT 2

static const volatile int64_t *offset;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("CLOCK_FILE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *memory = file < 0 ? MAP_FAILED
                            : mmap(NULL, 2 * sizeof(*offset), PROT_READ, MAP_SHARED, file, 0);

    if (memory == MAP_FAILED) {
        static const char text[] = "clock: CLOCK_FILE cannot be read\n";

        (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
        _exit(2);
    }
    offset = memory;
    close(file);
}

static int64_t to_number(const struct timespec *time)
{
    return time->tv_sec * SECOND + time->tv_nsec;
}

static struct timespec to_time(int64_t number)
{
    return (struct timespec){.tv_sec = number / SECOND, .tv_nsec = number % SECOND};
}

/* The wall clock as the process sees it. */
static int64_t wall(void)
{
    struct timespec time;

    syscall(SYS_clock_gettime, CLOCK_REALTIME, &time);
    return to_number(&time) + (offset ? *offset : 0);
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
        *time = to_time(wall());
        return 0;
    }
    if (clock == CLOCK_BOOTTIME) {
        syscall(SYS_clock_gettime, clock, time);
        *time = to_time(to_number(time) + (offset ? offset[1] : 0));
        return 0;
    }
    return (int)syscall(SYS_clock_gettime, clock, time);
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
    int64_t now = wall();

    (void)zone;
    time->tv_sec = now / SECOND;
    time->tv_usec = now % SECOND / 1000;
    return 0;
}

time_t time(time_t *result)
{
    time_t now = wall() / SECOND;

    if (result) {
        *result = now;
    }
    return now;
}

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until)
{
    int status = ETIMEDOUT;

    if (cond->__data.__wrefs & MONOTONIC_BIT) {
        return pthread_cond_clockwait(cond, mutex, CLOCK_MONOTONIC, until);
    }
    for (int64_t left = to_number(until) - wall(); left > 0 && status == ETIMEDOUT;
         left = to_number(until) - wall()) {
        struct timespec now;
        struct timespec next;

        syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
        next = to_time(to_number(&now) + (left < STEP ? left : STEP));
        status = pthread_cond_clockwait(cond, mutex, CLOCK_MONOTONIC, &next);
    }
    return status;
}
