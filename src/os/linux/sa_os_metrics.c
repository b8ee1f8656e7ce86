/* os: CPU and memory from /proc. */
#include "sa_os_metrics.h"

#include <string.h>

#include "sa_os_linux.h"

#define KIB 1024
#define STAT_START 4096     /* all processors together are the first line of /proc/stat */

sa_error_t *sa_os__parse_stat(sa_os_cpu_t *cpu, const char *text)
{
    /* user nice system idle iowait irq softirq steal; guest and guest_nice,
     * which follow, are part of user and nice.  Linux 2.4 had the first four. */
    enum { IDLE = 3, IOWAIT = 4, LEAST = 4, FIELDS = 8 };
    apr_uint64_t values[FIELDS] = {0};
    int count = 0;

    if (strncmp(text, "cpu ", 4) != 0) {
        return sa_error(SA_ERR_PARSE, NULL, "/proc/stat does not begin with a line \"cpu\"");
    }
    text += 4;
    while (count < FIELDS && sa_os__number(&values[count], &text)) {
        count++;
    }
    if (count < LEAST) {
        return sa_error(SA_ERR_PARSE, NULL, "the line \"cpu\" of /proc/stat has %d numbers",
                        count);
    }
    cpu->total = 0;
    for (int i = 0; i < FIELDS; i++) {
        cpu->total += values[i];
    }
    cpu->idle = values[IDLE] + values[IOWAIT];
    return SA_OK;
}

sa_error_t *sa_os_cpu_read(sa_os_cpu_t *cpu, apr_pool_t *scratch_pool)
{
    const char *text;

    SA_TRY(sa_os__proc_read(&text, "/proc/stat", STAT_START, scratch_pool));
    return sa_os__parse_stat(cpu, text);
}

/* The bytes that the line KEY ("MemFree:") of TEXT says. */
static bool find_kib(apr_uint64_t *bytes, const char *text, const char *key)
{
    size_t length = strlen(key);

    for (; *text; text = sa_os__next_line(text)) {
        if (strncmp(text, key, length) == 0) {
            text += length;
            if (!sa_os__number(bytes, &text) || *bytes > APR_UINT64_MAX / KIB) {
                return false;
            }
            *bytes *= KIB;
            return true;
        }
    }
    return false;
}

sa_error_t *sa_os__parse_meminfo(sa_os_memory_t *memory, const char *text)
{
    apr_uint64_t unused;
    apr_uint64_t buffers = 0;
    apr_uint64_t cached = 0;

    if (!find_kib(&memory->total_bytes, text, "MemTotal:")) {
        return sa_error(SA_ERR_PARSE, NULL, "/proc/meminfo does not say MemTotal");
    }
    if (find_kib(&memory->available_bytes, text, "MemAvailable:")) {
        return SA_OK;
    }
    /* Linux before 3.14 left the estimate to us. */
    if (!find_kib(&unused, text, "MemFree:")) {
        return sa_error(SA_ERR_PARSE, NULL,
                        "/proc/meminfo says neither MemAvailable nor MemFree");
    }
    (void)find_kib(&buffers, text, "Buffers:");
    (void)find_kib(&cached, text, "Cached:");
    memory->available_bytes = unused + buffers + cached;
    return SA_OK;
}

sa_error_t *sa_os_memory_read(sa_os_memory_t *memory, apr_pool_t *scratch_pool)
{
    const char *text;

    SA_TRY(sa_os__proc_read(&text, "/proc/meminfo", SA_OS_PROC_LIMIT, scratch_pool));
    return sa_os__parse_meminfo(memory, text);
}
