/* What fleet prints: the spread over time, and the process. */
#include "fleet.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define BAR 60

static int compare(const void *a, const void *b)
{
    apr_interval_time_t left = *(const apr_interval_time_t *)a;
    apr_interval_time_t right = *(const apr_interval_time_t *)b;

    return left < right ? -1 : left > right;
}

/* The moments of those that came, sorted, in ms since the phase began. */
static int read_moments(apr_interval_time_t *moments, fleet_t *fleet)
{
    int count = 0;

    for (int i = 0; i < fleet->count; i++) {
        if (fleet->members[i].ups > 0) {
            moments[count++] = apr_time_as_msec(fleet->members[i].up_at - fleet->began);
        }
    }
    qsort(moments, (size_t)count, sizeof(*moments), compare);
    return count;
}

/* The most within any second. */
static int busiest(const apr_interval_time_t *moments, int count)
{
    int most = 0;
    int low = 0;

    for (int i = 0; i < count; i++) {
        while (moments[i] - moments[low] >= 1000) {
            low++;
        }
        most = i - low + 1 > most ? i - low + 1 : most;
    }
    return most;
}

static void show_second(long second, int count, int most)
{
    char bar[BAR + 1];
    int length = (int)((long)count * BAR / most);

    memset(bar, '#', (size_t)length);
    bar[length] = '\0';
    printf("  %3ld s %5d %s\n", second, count, bar);
}

static void show_histogram(const apr_interval_time_t *moments, int count, int most)
{
    int i = 0;

    for (long second = (long)(moments[0] / 1000); i < count; second++) {
        int here = 0;

        while (i < count && moments[i] / 1000 == second) {
            here++;
            i++;
        }
        show_second(second, here, most);
    }
}

bool fleet_show(fleet_t *fleet, const char *phase)
{
    apr_interval_time_t *moments = calloc((size_t)fleet->count, sizeof(*moments));
    int twice = 0;
    int lost = 0;
    int count;
    int most;

    sa_os_mutex_lock(fleet->mutex);
    count = read_moments(moments, fleet);
    for (int i = 0; i < fleet->count; i++) {
        twice += fleet->members[i].ups > 1;
        lost += !fleet->members[i].is_up;
    }
    sa_os_mutex_unlock(fleet->mutex);
    most = busiest(moments, count);
    printf("%s: links=%d came=%d first_ms=%ld median_ms=%ld last_ms=%ld most_in_1s=%d twice=%d "
           "lost=%d\n", phase, fleet->count, count, count ? (long)moments[0] : -1,
           count ? (long)moments[count / 2] : -1, count ? (long)moments[count - 1] : -1, most,
           twice, lost);
    if (count > 0) {
        show_histogram(moments, count, most);
    }
    fflush(stdout);
    free(moments);
    return count == fleet->count && twice == 0 && lost == 0;
}

static long status_line(const char *text, const char *name)
{
    const char *found = strstr(text, name);

    return found ? strtol(found + strlen(name), NULL, 10) : -1;
}

static long count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    long count = -3;            /* . and .. and its own */

    if (!folder) {
        return -1;
    }
    while (readdir(folder)) {
        count++;
    }
    closedir(folder);
    return count;
}

void fleet_facts(process_facts_t *facts)
{
    FILE *file = fopen("/proc/self/status", "r");
    char text[8192] = "";
    size_t length = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

    if (file) {
        fclose(file);
    }
    text[length] = '\0';
    facts->threads = status_line(text, "Threads:");
    facts->rss_kib = status_line(text, "VmRSS:");
    facts->private_kib = status_line(text, "RssAnon:");
    facts->descriptors = count_descriptors();
}

void fleet_show_facts(const char *when)
{
    process_facts_t facts;

    fleet_facts(&facts);
    printf("%s: threads=%ld descriptors=%ld rss_kib=%ld anonymous_kib=%ld\n", when, facts.threads,
           facts.descriptors, facts.rss_kib, facts.private_kib);
    fflush(stdout);
}
