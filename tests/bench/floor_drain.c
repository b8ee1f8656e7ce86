/* Floor: bare asynchronous JetStream publishing, with message ids.
 *
 *     floor_drain URL SUBJECT COUNT BYTES WINDOW
 *
 * Prints the seconds from the connection to the last acknowledgement.  WINDOW:
 * most unacknowledged at a time, 0 for no limit. */
#include <stdlib.h>
#include <string.h>

#include <apr_time.h>

#include "bench.h"

static void publish(jsCtx *js, const char *subject, long number, const char *data, int length)
{
    jsPubOptions options;
    char id[64];

    snprintf(id, sizeof(id), "floor-abcdefghijkl-%ld", number);
    must(jsPubOptions_Init(&options), "options");
    options.MsgId = id;
    must(js_PublishAsync(js, subject, data, length, &options), "publish");
}

int main(int argc, char **argv)
{
    natsConnection *connection = NULL;
    jsCtx *js = NULL;
    jsOptions options;
    apr_time_t began;
    char *data;
    int length;
    long count;

    must_be(argc == 6, "floor_drain URL SUBJECT COUNT BYTES WINDOW");
    count = strtol(argv[3], NULL, 10);
    length = (int)strtol(argv[4], NULL, 10);
    data = malloc((size_t)length);
    memset(data, 'x', (size_t)length);
    must(jsOptions_Init(&options), "options");
    options.PublishAsync.MaxPending = strtol(argv[5], NULL, 10);
    options.PublishAsync.StallWait = 10000;
    must(natsConnection_ConnectTo(&connection, argv[1]), argv[1]);
    must(natsConnection_JetStream(&js, connection, &options), "JetStream");
    began = apr_time_now();
    for (long i = 1; i <= count; i++) {
        publish(js, argv[2], i, data, length);
    }
    must(js_PublishAsyncComplete(js, NULL), "acknowledgements");
    printf("%.3f\n", (double)(apr_time_now() - began) / 1e6);
    free(data);
    jsCtx_Destroy(js);
    natsConnection_Destroy(connection);
    nats_Close();
    return EXIT_SUCCESS;
}
