/* Floor: a bare nats.c responder with default options.
 *
 *     floor_ping URL SUBJECT [PROGRAM]    answer until standard input ends
 *
 * With a PROGRAM it runs that, barely, before each answer. */
#include "bare_run.h"
#include "bench.h"

static const char answer[] = "{\"status\":\"pong\",\"ts\":\"2026-01-01T00:00:00Z\"}";

static void on_message(natsConnection *connection, natsSubscription *subscription, natsMsg *message,
                       void *baton)
{
    (void)subscription;
    if (baton) {
        bare_run(baton);
    }
    must(natsConnection_Publish(connection, natsMsg_GetReply(message), answer,
                                (int)sizeof(answer) - 1), "answer");
    natsMsg_Destroy(message);
}

int main(int argc, char **argv)
{
    natsConnection *connection = NULL;
    natsSubscription *subscription = NULL;

    must_be(argc == 3 || argc == 4, "floor_ping URL SUBJECT [PROGRAM]");
    must(natsConnection_ConnectTo(&connection, argv[1]), argv[1]);
    must(natsConnection_Subscribe(&subscription, connection, argv[2], on_message, argv[3]),
         argv[2]);
    must(natsConnection_Flush(connection), "flush");
    puts("ready");
    fflush(stdout);
    (void)getchar();
    natsSubscription_Destroy(subscription);
    natsConnection_Destroy(connection);
    nats_Close();
    return EXIT_SUCCESS;
}
