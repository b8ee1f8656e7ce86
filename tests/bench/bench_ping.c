/* Round trips to several responders, in turn.
 *
 *     bench_ping URL COUNT SUBJECT[=BODY]...
 *
 * COUNT serial requests to each SUBJECT, in blocks that alternate, after a
 * block that does not count.  Prints a line for each: subject, p50 and p99 in
 * microseconds.  An answer that says "error" ends it. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "sa_time.h"

#define BLOCK 100
#define TIMEOUT_MS 2000
#define SUBJECTS_MAX 4

typedef struct series_t {
    const char *subject;
    const char *body;
    apr_interval_time_t *times;
    int count;
} series_t;

static void ask(natsConnection *connection, series_t *series, bool counts)
{
    apr_interval_time_t began = sa_time_mono();
    natsMsg *answer = NULL;

    must(natsConnection_RequestString(&answer, connection, series->subject, series->body,
                                         TIMEOUT_MS),
         series->subject);
    if (counts) {
        series->times[series->count++] = sa_time_mono() - began;
    }
    must_be(strstr(natsMsg_GetData(answer), "\"error\"") == NULL, series->subject);
    natsMsg_Destroy(answer);
}

static void ask_block(natsConnection *connection, series_t *series, bool counts)
{
    for (int i = 0; i < BLOCK; i++) {
        ask(connection, series, counts);
    }
}

static int compare(const void *a, const void *b)
{
    apr_interval_time_t left = *(const apr_interval_time_t *)a;
    apr_interval_time_t right = *(const apr_interval_time_t *)b;

    return left < right ? -1 : left > right;
}

static void print(series_t *series)
{
    qsort(series->times, (size_t)series->count, sizeof(*series->times), compare);
    printf("%s %ld %ld\n", series->subject, (long)series->times[series->count / 2],
           (long)series->times[series->count * 99 / 100]);
    free(series->times);
}

int main(int argc, char **argv)
{
    natsConnection *connection = NULL;
    series_t series[SUBJECTS_MAX];
    int blocks = argc > 2 ? ((int)strtol(argv[2], NULL, 10) + BLOCK - 1) / BLOCK : 0;
    int count = argc - 3;

    must_be(blocks > 0 && count > 0 && count <= SUBJECTS_MAX,
            "bench_ping URL COUNT SUBJECT[=BODY]...");
    must(natsConnection_ConnectTo(&connection, argv[1]), argv[1]);
    for (int i = 0; i < count; i++) {
        char *equals = strchr(argv[3 + i], '=');

        series[i].subject = argv[3 + i];
        series[i].body = equals ? equals + 1 : "";
        if (equals) {
            *equals = '\0';
        }
        series[i].times = malloc(sizeof(*series[i].times) * BLOCK * (size_t)blocks);
        series[i].count = 0;
        ask_block(connection, &series[i], false);
    }
    for (int block = 0; block < blocks; block++) {
        for (int i = 0; i < count; i++) {
            ask_block(connection, &series[(block + i) % count], true);
        }
    }
    for (int i = 0; i < count; i++) {
        print(&series[i]);
    }
    natsConnection_Destroy(connection);
    nats_Close();
    return EXIT_SUCCESS;
}
