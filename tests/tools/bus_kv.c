/* bus: key-value buckets. */
#include "bus.h"

#include <stdio.h>

int bus_kv_add(const bus_options_t *options, int argc, char **argv)
{
    natsConnection *connection = bus_connect(options);
    jsCtx *js = bus_jetstream(connection);
    kvStore *bucket = NULL;
    kvConfig config;

    (void)argc;
    bus_must(kvConfig_Init(&config), "bucket");
    config.Bucket = argv[0];
    config.History = options->history > 0 ? (uint8_t)options->history : 1;
    config.StorageType = options->file_storage ? js_FileStorage : js_MemoryStorage;
    bus_must(js_CreateKeyValue(&bucket, js, &config), argv[0]);
    kvStore_Destroy(bucket);
    jsCtx_Destroy(js);
    natsConnection_Destroy(connection);
    return 0;
}

static void print_entry(const kvEntry *entry)
{
    const kvOperation operation = kvEntry_Operation(entry);
    cJSON *json = cJSON_CreateObject();

    cJSON_AddNumberToObject(json, "revision", (double)kvEntry_Revision(entry));
    cJSON_AddNumberToObject(json, "ts", (double)(kvEntry_Created(entry) / 1000000));
    cJSON_AddStringToObject(json, "operation", operation == kvOp_Put ? "put"
                            : operation == kvOp_Delete ? "delete" : "purge");
    cJSON_AddItemToObject(json, "value",
                          bus_json_text(kvEntry_Value(entry), kvEntry_ValueLen(entry)));
    bus_print_json(json);
}

int bus_kv_get(const bus_options_t *options, int argc, char **argv)
{
    natsConnection *connection = bus_connect(options);
    jsCtx *js = bus_jetstream(connection);
    kvStore *bucket = NULL;
    kvEntry *entry = NULL;
    natsStatus status;

    (void)argc;
    bus_must(js_KeyValue(&bucket, js, argv[0]), argv[0]);
    status = kvStore_Get(&entry, bucket, argv[1]);
    if (status != NATS_NOT_FOUND) {
        bus_must(status, argv[1]);
        if (options->json) {
            print_entry(entry);
        } else {
            fwrite(kvEntry_Value(entry), 1, (size_t)kvEntry_ValueLen(entry), stdout);
            putchar('\n');
        }
    }
    kvEntry_Destroy(entry);
    kvStore_Destroy(bucket);
    jsCtx_Destroy(js);
    natsConnection_Destroy(connection);
    return status == NATS_OK ? 0 : 1;
}

int bus_kv_history(const bus_options_t *options, int argc, char **argv)
{
    natsConnection *connection = bus_connect(options);
    jsCtx *js = bus_jetstream(connection);
    kvStore *bucket = NULL;
    kvEntryList list = {0};
    natsStatus status;

    (void)argc;
    bus_must(js_KeyValue(&bucket, js, argv[0]), argv[0]);
    status = kvStore_History(&list, bucket, argv[1], NULL);
    if (status != NATS_NOT_FOUND) {
        bus_must(status, argv[1]);
    }
    for (int i = 0; i < list.Count; i++) {
        print_entry(list.Entries[i]);
    }
    status = list.Count > 0 ? NATS_OK : NATS_NOT_FOUND;
    kvEntryList_Destroy(&list);
    kvStore_Destroy(bucket);
    jsCtx_Destroy(js);
    natsConnection_Destroy(connection);
    return status == NATS_OK ? 0 : 1;
}
