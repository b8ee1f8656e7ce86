/* bus: streams, and the numbers in their message ids. */
#include "bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int bus_stream_add(const bus_options_t *options, int argc, char **argv)
{
    natsConnection *connection = bus_connect(options);
    jsCtx *js = bus_jetstream(connection);
    jsStreamConfig config;

    bus_must(jsStreamConfig_Init(&config), "stream");
    config.Name = argv[0];
    config.Subjects = (const char **)argv + 1;
    config.SubjectsLen = argc - 1;
    config.Storage = options->file_storage ? js_FileStorage : js_MemoryStorage;
    config.MaxMsgs = options->max_messages > 0 ? options->max_messages : -1;
    config.MaxBytes = options->max_bytes > 0 ? options->max_bytes : -1;
    config.Discard = options->discard_new ? js_DiscardNew : js_DiscardOld;
    config.Duplicates = options->dedupe_seconds * 1000000000;
    bus_must(js_AddStream(NULL, js, &config, NULL, NULL), argv[0]);
    jsCtx_Destroy(js);
    natsConnection_Destroy(connection);
    return 0;
}

int bus_stream_edit(const bus_options_t *options, int argc, char **argv)
{
    natsConnection *connection = bus_connect(options);
    jsCtx *js = bus_jetstream(connection);
    jsStreamInfo *info = NULL;

    (void)argc;
    bus_must(js_GetStreamInfo(&info, js, argv[0], NULL, NULL), argv[0]);
    info->Config->MaxMsgs = options->max_messages > 0 ? options->max_messages : -1;
    info->Config->MaxBytes = options->max_bytes > 0 ? options->max_bytes : -1;
    bus_must(js_UpdateStream(NULL, js, info->Config, NULL, NULL), argv[0]);
    jsStreamInfo_Destroy(info);
    jsCtx_Destroy(js);
    natsConnection_Destroy(connection);
    return 0;
}

int bus_stream_del(const bus_options_t *options, int argc, char **argv)
{
    natsConnection *connection = bus_connect(options);
    jsCtx *js = bus_jetstream(connection);

    (void)argc;
    bus_must(js_DeleteStream(js, argv[0], NULL, NULL), argv[0]);
    jsCtx_Destroy(js);
    natsConnection_Destroy(connection);
    return 0;
}

/* About stream NAME; to be destroyed. */
static jsStreamInfo *read_info(jsCtx *js, const char *name)
{
    jsStreamInfo *info = NULL;

    bus_must(js_GetStreamInfo(&info, js, name, NULL, NULL), name);
    return info;
}

int bus_stream_info(const bus_options_t *options, int argc, char **argv)
{
    natsConnection *connection = bus_connect(options);
    jsCtx *js = bus_jetstream(connection);
    jsStreamInfo *info = read_info(js, argv[0]);
    const jsStreamConfig *config = info->Config;
    cJSON *json = cJSON_CreateObject();

    (void)argc;
    cJSON_AddStringToObject(json, "name", config->Name);
    cJSON_AddItemToObject(json, "subjects",
                          cJSON_CreateStringArray(config->Subjects, config->SubjectsLen));
    cJSON_AddStringToObject(json, "storage",
                            config->Storage == js_FileStorage ? "file" : "memory");
    cJSON_AddNumberToObject(json, "max_msgs", (double)config->MaxMsgs);
    cJSON_AddNumberToObject(json, "max_bytes", (double)config->MaxBytes);
    cJSON_AddStringToObject(json, "discard", config->Discard == js_DiscardNew ? "new" : "old");
    cJSON_AddNumberToObject(json, "dedupe_seconds", (double)config->Duplicates / 1e9);
    cJSON_AddNumberToObject(json, "messages", (double)info->State.Msgs);
    cJSON_AddNumberToObject(json, "bytes", (double)info->State.Bytes);
    cJSON_AddNumberToObject(json, "first_seq", (double)info->State.FirstSeq);
    cJSON_AddNumberToObject(json, "last_seq", (double)info->State.LastSeq);
    cJSON_AddNumberToObject(json, "consumers", (double)info->State.Consumers);
    bus_print_json(json);
    jsStreamInfo_Destroy(info);
    jsCtx_Destroy(js);
    natsConnection_Destroy(connection);
    return 0;
}

/* An ordered consumer of all of INFO's subjects. */
static natsSubscription *subscribe_all(jsCtx *js, const char *stream, const jsStreamInfo *info)
{
    natsSubscription *subscription = NULL;
    jsSubOptions settings;

    bus_must(jsSubOptions_Init(&settings), stream);
    settings.Stream = stream;
    settings.Ordered = true;
    bus_must(js_SubscribeSyncMulti(&subscription, js, info->Config->Subjects,
                                   info->Config->SubjectsLen, NULL, &settings, NULL), stream);
    bus_must(natsSubscription_SetPendingLimits(subscription, -1, -1), stream);
    return subscription;
}

void bus_stream_read(natsConnection *connection, const char *stream,
                     bus_message_fn_t fn, void *baton)
{
    jsCtx *js = bus_jetstream(connection);
    jsStreamInfo *info = read_info(js, stream);
    uint64_t left = info->State.Msgs;
    natsSubscription *subscription = left > 0 ? subscribe_all(js, stream, info) : NULL;

    while (left > 0) {
        natsMsg *message = NULL;
        jsMsgMetaData *meta = NULL;

        bus_must(natsSubscription_NextMsg(&message, subscription, 10000), stream);
        bus_must(natsMsg_GetMetaData(&meta, message), stream);
        fn(baton, message, meta);
        left = meta->NumPending;
        jsMsgMetaData_Destroy(meta);
        natsMsg_Destroy(message);
    }
    natsSubscription_Destroy(subscription);
    jsStreamInfo_Destroy(info);
    jsCtx_Destroy(js);
}

static void dump(void *baton, natsMsg *message, const jsMsgMetaData *meta)
{
    const bus_options_t *options = baton;
    const char *data = natsMsg_GetData(message);
    int length = natsMsg_GetDataLength(message);
    cJSON *json = cJSON_CreateObject();

    cJSON_AddNumberToObject(json, "seq", (double)meta->Sequence.Stream);
    cJSON_AddNumberToObject(json, "ts", (double)(meta->Timestamp / 1000000));
    cJSON_AddStringToObject(json, "subject", natsMsg_GetSubject(message));
    cJSON_AddItemToObject(json, "headers", bus_json_headers(message));
    cJSON_AddNumberToObject(json, "size", length);
    if (options->show_data) {
        cJSON_AddItemToObject(json, "data", bus_json_text(data, length));
    }
    bus_print_json(json);
}

int bus_stream_dump(const bus_options_t *options, int argc, char **argv)
{
    natsConnection *connection = bus_connect(options);

    (void)argc;
    bus_stream_read(connection, argv[0], dump, (void *)options);
    natsConnection_Destroy(connection);
    return 0;
}

/* All the numbers behind one prefix. */
typedef struct series_t {
    char *prefix;
    uint64_t *numbers;
    size_t count;
    size_t room;
} series_t;

typedef struct ids_t {
    series_t *series;
    size_t count;
    uint64_t others;    /* messages without such an id */
} ids_t;

static void *grow(void *memory, size_t count, size_t size)
{
    void *result = realloc(memory, count * size);

    if (!result) {
        bus_fail("out of memory");
    }
    return result;
}

static series_t *find_series(ids_t *ids, const char *prefix, size_t length)
{
    series_t *series;

    for (size_t i = 0; i < ids->count; i++) {
        series = &ids->series[i];
        if (strlen(series->prefix) == length && memcmp(series->prefix, prefix, length) == 0) {
            return series;
        }
    }
    ids->series = grow(ids->series, ids->count + 1, sizeof(*ids->series));
    series = &ids->series[ids->count++];
    *series = (series_t){.prefix = grow(NULL, length + 1, 1)};
    memcpy(series->prefix, prefix, length);
    series->prefix[length] = '\0';
    return series;
}

static void collect_id(void *baton, natsMsg *message, const jsMsgMetaData *meta)
{
    ids_t *ids = baton;
    const char *id = NULL;
    const char *dash;
    char *end = NULL;
    series_t *series;
    uint64_t number;

    (void)meta;
    if (natsMsgHeader_Get(message, "Nats-Msg-Id", &id) != NATS_OK) {
        id = "";
    }
    dash = strrchr(id, '-');
    number = dash ? strtoull(dash + 1, &end, 10) : 0;
    if (!dash || end == dash + 1 || *end) {
        ids->others++;
        return;
    }
    series = find_series(ids, id, (size_t)(dash - id));
    if (series->count == series->room) {
        series->room = series->room * 2 + 1024;
        series->numbers = grow(series->numbers, series->room, sizeof(*series->numbers));
    }
    series->numbers[series->count++] = number;
}

static int by_size(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;

    return (a > b) - (a < b);
}

/* Print what SERIES has; returns whether it has gaps or doubles. */
static bool print_series(series_t *series)
{
    uint64_t gaps = 0;
    uint64_t doubles = 0;

    qsort(series->numbers, series->count, sizeof(*series->numbers), by_size);
    for (size_t i = 1; i < series->count; i++) {
        uint64_t step = series->numbers[i] - series->numbers[i - 1];

        if (step == 0) {
            doubles++;
        } else {
            gaps += step - 1;
        }
    }
    printf("%s count=%zu lowest=%llu highest=%llu gaps=%llu doubles=%llu\n", series->prefix,
           series->count, (unsigned long long)series->numbers[0],
           (unsigned long long)series->numbers[series->count - 1], (unsigned long long)gaps,
           (unsigned long long)doubles);
    free(series->prefix);
    free(series->numbers);
    return gaps > 0 || doubles > 0;
}

int bus_numbers(const bus_options_t *options, int argc, char **argv)
{
    natsConnection *connection = bus_connect(options);
    ids_t ids = {0};
    bool bad = false;

    (void)argc;
    bus_stream_read(connection, argv[0], collect_id, &ids);
    natsConnection_Destroy(connection);
    for (size_t i = 0; i < ids.count; i++) {
        bad = print_series(&ids.series[i]) || bad;
    }
    free(ids.series);
    if (ids.others > 0) {
        fprintf(stderr, "bus: %llu messages have no such id\n", (unsigned long long)ids.others);
    }
    return bad ? 1 : 0;
}
