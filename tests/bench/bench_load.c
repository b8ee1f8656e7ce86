/* Keeps a responder busy.
 *
 *     bench_load URL COUNT SUBJECT=BODY [COUNT SUBJECT=BODY]...
 *
 * COUNT requests to each SUBJECT are under way at any time, from a requester of its own,
 * until standard input ends; a stream's end is its empty message.  Says "ready", and at the
 * end a line for each: SUBJECT, answers, errors, messages. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define KINDS_MAX 4
#define SUBJECT_SIZE 128

typedef struct kind_t {
    char inbox[SUBJECT_SIZE];
    const char *subject;
    const char *body;
    long answers;
    long errors;
    long messages;
    int streams;
} kind_t;

static volatile int ending;

static void ask(natsConnection *connection, const kind_t *kind)
{
    natsStatus status = natsConnection_PublishRequestString(connection, kind->subject,
                                                            kind->inbox, kind->body);

    must(ending ? NATS_OK : status, kind->subject);
}

static void on_message(natsConnection *connection, natsSubscription *subscription,
                       natsMsg *message, void *baton)
{
    kind_t *kind = baton;
    int length = natsMsg_GetDataLength(message);
    const char *data = natsMsg_GetData(message);

    (void)subscription;
    kind->messages++;
    if (length > 16 && strncmp(data, "{\"status\":\"error", 16) == 0) {
        kind->errors++;
    }
    if (!kind->streams || length == 0) {
        kind->answers++;
        ask(connection, kind);
    }
    natsMsg_Destroy(message);
}

static void begin(kind_t *kind, natsConnection *connection, const char *count, char *request,
                  int number)
{
    natsSubscription *subscription = NULL;
    char *equals = strchr(request, '=');

    must_be(equals != NULL, "SUBJECT=BODY");
    *equals = '\0';
    kind->subject = request;
    kind->body = equals + 1;
    kind->streams = strstr(kind->body, "\"stream\"") != NULL;
    snprintf(kind->inbox, sizeof(kind->inbox), "_INBOX.load%d.x", number);
    must(natsConnection_Subscribe(&subscription, connection, kind->inbox, on_message, kind),
         kind->inbox);
    must(natsSubscription_SetPendingLimits(subscription, -1, -1), kind->inbox);
    for (long i = strtol(count, NULL, 10); i > 0; i--) {
        ask(connection, kind);
    }
}

int main(int argc, char **argv)
{
    static kind_t kinds[KINDS_MAX];
    natsConnection *connection = NULL;
    int count = (argc - 2) / 2;

    must_be(argc > 3 && argc % 2 == 0 && count <= KINDS_MAX,
            "bench_load URL COUNT SUBJECT=BODY...");
    must(natsConnection_ConnectTo(&connection, argv[1]), argv[1]);
    for (int i = 0; i < count; i++) {
        begin(&kinds[i], connection, argv[2 + 2 * i], argv[3 + 2 * i], i);
    }
    must(natsConnection_Flush(connection), "flush");
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF) {
    }
    ending = 1;
    natsConnection_Destroy(connection);
    nats_Close();
    for (int i = 0; i < count; i++) {
        printf("%s %ld %ld %ld\n", kinds[i].subject, kinds[i].answers, kinds[i].errors,
               kinds[i].messages);
    }
    return EXIT_SUCCESS;
}
