/* bus: read the stream of a command, however large, and say whether it was whole. */
#include "bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct pour_t {
    int64_t messages;           /* with a seq, the last answer not counted */
    int64_t silent;             /* of them without data */
    int64_t base64;             /* of them with bytes that are no text */
    int64_t bytes;
    int64_t last_seq;
    int64_t gaps;               /* a seq that is not the next one */
    int64_t nameless;           /* without the header that tells the request */
    int64_t longest_ms;         /* between two messages */
    cJSON *streams;             /* bytes of each */
    cJSON *last;                /* what is not "running" */
    bool ended;                 /* the empty message came */
    bool deserted;              /* nobody answers */
} pour_t;

static int digit_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c ? strchr(digits, c) : NULL;

    return found ? (int)(found - digits) : -1;
}

/* In place; returns the length. */
static size_t decode(char *text)
{
    unsigned int bits = 0;
    int held = 0;
    size_t length = 0;

    for (const char *c = text; digit_of(*c) >= 0; c++) {
        bits = bits << 6 | (unsigned int)digit_of(*c);
        held += 6;
        if (held >= 8) {
            held -= 8;
            text[length++] = (char)(bits >> held & 0xFF);
        }
    }
    return length;
}

static void count_stream(pour_t *pour, const char *name, size_t length)
{
    cJSON *item = cJSON_GetObjectItem(pour->streams, name);

    if (!item) {
        item = cJSON_AddNumberToObject(pour->streams, name, 0);
    }
    cJSON_SetNumberHelper(item, item->valuedouble + (double)length);
    pour->bytes += (int64_t)length;
}

static void take_data(pour_t *pour, const cJSON *json)
{
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItem(json, "stream"));
    char *text = cJSON_GetStringValue(cJSON_GetObjectItem(json, "data"));
    char *coded = cJSON_GetStringValue(cJSON_GetObjectItem(json, "data_base64"));
    size_t length;

    if (!name) {
        pour->silent++;
        return;
    }
    if (coded) {
        pour->base64++;
    }
    length = coded ? decode(coded) : text ? strlen(text) : 0;
    fwrite(coded ? coded : text ? text : "", 1, length, stdout);
    fflush(stdout);             /* stories look at the file while it grows */
    count_stream(pour, name, length);
}

static void take(pour_t *pour, natsMsg *message)
{
    const char *data = natsMsg_GetData(message);
    const char *id = NULL;
    cJSON *json = cJSON_ParseWithLength(data, (size_t)natsMsg_GetDataLength(message));
    const char *status = cJSON_GetStringValue(cJSON_GetObjectItem(json, "status"));
    const cJSON *seq = cJSON_GetObjectItem(json, "seq");

    if (natsMsgHeader_Get(message, "Stone-Age-Request-Id", &id) != NATS_OK) {
        pour->nameless++;
    }
    if (status && strcmp(status, "running") == 0 && seq) {
        pour->gaps += seq->valuedouble == (double)(pour->last_seq + 1) ? 0 : 1;
        pour->last_seq = (int64_t)seq->valuedouble;
        pour->messages++;
        take_data(pour, json);
        cJSON_Delete(json);
    } else {
        cJSON_Delete(pour->last);
        pour->last = json;
    }
}

static void print(pour_t *pour)
{
    cJSON *json = cJSON_CreateObject();
    char *text;

    cJSON_AddNumberToObject(json, "messages", (double)pour->messages);
    cJSON_AddNumberToObject(json, "silent", (double)pour->silent);
    cJSON_AddNumberToObject(json, "base64", (double)pour->base64);
    cJSON_AddNumberToObject(json, "bytes", (double)pour->bytes);
    cJSON_AddItemToObject(json, "streams", pour->streams);
    cJSON_AddNumberToObject(json, "last_seq", (double)pour->last_seq);
    cJSON_AddNumberToObject(json, "gaps", (double)pour->gaps);
    cJSON_AddNumberToObject(json, "nameless", (double)pour->nameless);
    cJSON_AddNumberToObject(json, "longest_ms", (double)pour->longest_ms);
    cJSON_AddBoolToObject(json, "ended", pour->ended);
    cJSON_AddBoolToObject(json, "deserted", pour->deserted);
    cJSON_AddItemToObject(json, "last", pour->last ? pour->last : cJSON_CreateNull());
    text = cJSON_PrintUnformatted(json);
    fflush(stdout);
    fprintf(stderr, "%s\n", text ? text : "null");
    cJSON_free(text);
    cJSON_Delete(json);
}

/* Until the empty message, or -n of them, or DEADLINE (monotonic, ms). */
static void read_all(pour_t *pour, const bus_options_t *options, natsSubscription *subscription,
                     int64_t deadline)
{
    int64_t before = nats_NowMonotonicInNanoSeconds() / 1000000;

    while (!pour->ended && !pour->deserted
           && (options->count < 0 || pour->messages < options->count)) {
        natsMsg *message = NULL;
        int64_t now = nats_NowMonotonicInNanoSeconds() / 1000000;
        natsStatus status = now < deadline
            ? natsSubscription_NextMsg(&message, subscription, deadline - now) : NATS_TIMEOUT;

        if (status == NATS_TIMEOUT) {
            return;
        }
        pour->deserted = status == NATS_NO_RESPONDERS
                         || (message && natsMsg_IsNoResponders(message));
        now = nats_NowMonotonicInNanoSeconds() / 1000000;
        pour->longest_ms = now - before > pour->longest_ms ? now - before : pour->longest_ms;
        before = now;
        if (!pour->deserted) {
            bus_must(status, "receive");
            pour->ended = natsMsg_GetDataLength(message) == 0;
        }
        if (!pour->deserted && !pour->ended) {
            take(pour, message);
        }
        natsMsg_Destroy(message);
    }
}

int bus_pour(const bus_options_t *options, int argc, char **argv)
{
    natsConnection *connection = bus_connect(options);
    natsSubscription *subscription = NULL;
    natsInbox *inbox = NULL;
    natsMsg *message;
    int64_t seconds = options->seconds < 0 ? 60 : (int64_t)options->seconds;
    int64_t deadline = nats_NowMonotonicInNanoSeconds() / 1000000 + seconds * 1000;
    pour_t pour = {.streams = cJSON_CreateObject()};
    bool whole;

    bus_must(natsInbox_Create(&inbox), "inbox");
    bus_must(natsConnection_SubscribeSync(&subscription, connection, inbox), "inbox");
    bus_must(natsSubscription_SetPendingLimits(subscription, -1, -1), "inbox");
    message = bus_message(options, argv[0], inbox, bus_text(argc, argv), 1);
    bus_must(natsConnection_PublishMsg(connection, message), argv[0]);
    natsMsg_Destroy(message);
    read_all(&pour, options, subscription, deadline);
    whole = pour.ended && pour.gaps == 0 && pour.last;
    natsSubscription_Destroy(subscription);
    print(&pour);
    if (options->count >= 0) {
        /* gone, but still connected */
        bus_must(natsConnection_Flush(connection), "flush");
        while (nats_NowMonotonicInNanoSeconds() / 1000000 < deadline) {
            nats_Sleep(100);
        }
    }
    natsInbox_Destroy(inbox);
    natsConnection_Destroy(connection);
    return whole ? 0 : 1;
}
