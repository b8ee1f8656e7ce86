/* bus: publish, subscribe, ask. */
#include "bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* TEXT with each "{n}" replaced by NUMBER; to be freed. */
static char *expand(const char *text, int64_t number)
{
    char digits[32];
    char *result = malloc(strlen(text) * sizeof(digits) + 1);
    char *to = result;

    if (!result) {
        bus_fail("out of memory");
    }
    snprintf(digits, sizeof(digits), "%lld", (long long)number);
    while (*text) {
        if (strncmp(text, "{n}", 3) == 0) {
            memcpy(to, digits, strlen(digits));
            to += strlen(digits);
            text += 3;
        } else {
            *to++ = *text++;
        }
    }
    *to = '\0';
    return result;
}

/* Give MESSAGE the header LINE, "Name: value". */
static void add_header(natsMsg *message, char *line)
{
    char *value = strchr(line, ':');

    if (!value) {
        bus_fail("-H \"%s\" is not \"Name: value\"", line);
    }
    *value++ = '\0';
    bus_must(natsMsgHeader_Add(message, line, value + strspn(value, " ")), "header");
}

natsMsg *bus_message(const bus_options_t *options, const char *subject, const char *reply,
                     const char *text, int64_t number)
{
    natsMsg *message = NULL;
    char *data = expand(text, number);

    bus_must(natsMsg_Create(&message, subject, reply, data, (int)strlen(data)), subject);
    free(data);
    for (int i = 0; i < options->header_count; i++) {
        char *line = expand(options->headers[i], number);

        add_header(message, line);
        free(line);
    }
    return message;
}

const char *bus_text(int argc, char **argv)
{
    static char input[1024 * 1024];
    size_t length;

    if (argc < 2) {
        return "";
    }
    if (strcmp(argv[1], "-") != 0) {
        return argv[1];
    }
    length = fread(input, 1, sizeof(input) - 1, stdin);
    input[length] = '\0';
    return input;
}

int bus_pub(const bus_options_t *options, int argc, char **argv)
{
    natsConnection *connection = bus_connect(options);
    const char *text = bus_text(argc, argv);
    int64_t count = options->count < 0 ? 1 : options->count;

    for (int64_t n = 1; n <= count; n++) {
        char *reply = options->reply ? expand(options->reply, n) : NULL;
        natsMsg *message = bus_message(options, argv[0], reply, text, n);

        bus_must(natsConnection_PublishMsg(connection, message), argv[0]);
        natsMsg_Destroy(message);
        free(reply);
    }
    bus_must(natsConnection_FlushTimeout(connection, 10000), argv[0]);
    natsConnection_Destroy(connection);
    return 0;
}

static void print_message(const bus_options_t *options, natsMsg *message, bool with_subject)
{
    const char *data = natsMsg_GetData(message);
    int length = natsMsg_GetDataLength(message);
    cJSON *headers = bus_json_headers(message);

    if (options->json) {
        cJSON *json = cJSON_CreateObject();

        cJSON_AddStringToObject(json, "subject", natsMsg_GetSubject(message));
        cJSON_AddItemToObject(json, "headers", headers);
        cJSON_AddItemToObject(json, "data", bus_json_text(data, length));
        if (natsMsg_GetReply(message)) {
            cJSON_AddStringToObject(json, "reply", natsMsg_GetReply(message));
        }
        cJSON_AddNumberToObject(json, "ts", (double)nats_Now());
        bus_print_json(json);
    } else {
        if (with_subject) {
            printf("%s\t", natsMsg_GetSubject(message));
        }
        fwrite(data, 1, (size_t)length, stdout);
        putchar('\n');
        if (options->show_headers) {
            bus_print_json(headers);
        } else {
            cJSON_Delete(headers);
        }
    }
    fflush(stdout);
}

/* Print what comes on SUBSCRIPTION until COUNT (0: no limit) have come or
 * SECONDS (< 0: no limit) have passed; returns how many came. */
static int64_t listen(const bus_options_t *options, natsSubscription *subscription,
                      int64_t count, double seconds, bool with_subject)
{
    int64_t deadline = seconds < 0 ? -1
        : nats_NowMonotonicInNanoSeconds() / 1000000 + (int64_t)(seconds * 1000);
    int64_t got = 0;

    while (count == 0 || got < count) {
        int64_t left = deadline < 0 ? 3600000
            : deadline - nats_NowMonotonicInNanoSeconds() / 1000000;
        natsMsg *message = NULL;
        natsStatus status;

        if (left <= 0) {
            break;
        }
        status = natsSubscription_NextMsg(&message, subscription, left);
        if (status == NATS_NO_RESPONDERS || (message && natsMsg_IsNoResponders(message))) {
            fputs("bus: no responders\n", stderr);
            natsMsg_Destroy(message);
            break;
        }
        if (status == NATS_TIMEOUT) {
            continue;
        }
        bus_must(status, "receive");
        if (options->until_empty && natsMsg_GetDataLength(message) == 0) {
            natsMsg_Destroy(message);
            break;
        }
        print_message(options, message, with_subject);
        natsMsg_Destroy(message);
        got++;
    }
    return got;
}

int bus_sub(const bus_options_t *options, int argc, char **argv)
{
    natsConnection *connection = bus_connect(options);
    natsSubscription *subscription = NULL;
    int64_t count = options->count < 0 ? 0 : options->count;
    int64_t got;

    (void)argc;
    bus_must(natsConnection_SubscribeSync(&subscription, connection, argv[0]), argv[0]);
    bus_must(natsSubscription_SetPendingLimits(subscription, -1, -1), argv[0]);
    bus_must(natsConnection_FlushTimeout(connection, 10000), argv[0]);
    /* For whoever must not begin before we listen. */
    fprintf(stderr, "bus: listening to %s\n", argv[0]);
    got = listen(options, subscription, count, options->seconds, true);
    natsSubscription_Destroy(subscription);
    natsConnection_Destroy(connection);
    return got < count ? 1 : 0;
}

int bus_req(const bus_options_t *options, int argc, char **argv)
{
    natsConnection *connection = bus_connect(options);
    const char *text = bus_text(argc, argv);
    natsSubscription *subscription = NULL;
    natsInbox *inbox = NULL;
    natsMsg *message;
    int64_t count = options->until_empty ? 0 : options->count < 0 ? 1 : options->count;
    double seconds = options->seconds < 0 ? 5 : options->seconds;
    int64_t got;

    bus_must(natsInbox_Create(&inbox), "inbox");
    bus_must(natsConnection_SubscribeSync(&subscription, connection, inbox), "inbox");
    message = bus_message(options, argv[0], inbox, text, 1);
    bus_must(natsConnection_PublishMsg(connection, message), argv[0]);
    natsMsg_Destroy(message);
    got = listen(options, subscription, count, seconds, false);
    natsSubscription_Destroy(subscription);
    natsInbox_Destroy(inbox);
    natsConnection_Destroy(connection);
    if (got == 0) {
        fprintf(stderr, "bus: no answer from %s\n", argv[0]);
    }
    return got == 0 || got < count ? 1 : 0;
}
