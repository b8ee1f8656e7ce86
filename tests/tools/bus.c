/* bus: a small NATS client for the stories in tests/system.
 *
 * This file: the command line, the connection, JSON for everybody.  The
 * commands are in bus_core.c, bus_pour.c, bus_stream.c and bus_kv.c. */
#include "bus.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct command_t {
    const char *name;
    bus_command_fn_t run;
    int least_arguments;
    int most_arguments;
    const char *help;
} command_t;

static const command_t commands[] = {
    {"pub", bus_pub, 1, 2,
     "SUBJECT [TEXT]         publish; -n times (\"{n}\" in TEXT, -H, --reply is the number)"},
    {"sub", bus_sub, 1, 1,
     "SUBJECT                print what comes: subject TAB data, or --json;\n"
     "                                      status 1 when -t passes before -n have come"},
    {"req", bus_req, 1, 2,
     "SUBJECT [TEXT]         ask and print the answer's data; -n answers, 0: all in -t"},
    {"pour", bus_pour, 1, 2,
     "SUBJECT [TEXT]         ask a command for a stream: its bytes to standard output, then\n"
     "                                      what came as JSON to standard error; status 1: not\n"
     "                                      whole.  -n: unsubscribe after so many, stay for -t"},
    {"stream-add", bus_stream_add, 2, 64, "NAME SUBJECT...        make a stream"},
    {"stream-edit", bus_stream_edit, 1, 1, "NAME                   give it other limits"},
    {"stream-del", bus_stream_del, 1, 1, "NAME                   delete it"},
    {"stream-info", bus_stream_info, 1, 1, "NAME                   state and settings as JSON"},
    {"stream-dump", bus_stream_dump, 1, 1,
     "NAME                   each message as a line of JSON; --data: with its data"},
    {"numbers", bus_numbers, 1, 1,
     "STREAM                 for each PREFIX of message ids PREFIX-NUMBER: count,\n"
     "                                      lowest, highest, gaps, doubles; status 1: some"},
    {"kv-add", bus_kv_add, 1, 1, "BUCKET                 make a bucket"},
    {"kv-get", bus_kv_get, 2, 2, "BUCKET KEY             print the value, or --json"},
    {"kv-history", bus_kv_history, 2, 2, "BUCKET KEY             each value as a line of JSON"},
};

static const char option_help[] =
    "  -s URL                 the server; $NATS_URL, else nats://127.0.0.1:4222\n"
    "  --creds FILE           ($NATS_CREDS), or --user NAME --password TEXT\n"
    "  --tls-ca FILE          TLS, with this authority\n"
    "  -n COUNT  -t SECONDS   how many, how long (req: 1, 5; sub: no end)\n"
    "  --until-empty          req: all answers, up to one without data (implies -n 0)\n"
    "  -H 'NAME: VALUE'       a header of what is sent; may be repeated\n"
    "  --reply SUBJECT        pub: where an answer is wanted\n"
    "  --headers --json       what to print of each message (JSON has all)\n"
    "  --data                 stream-dump: also the data\n"
    "  --file --max-msgs N --max-bytes N --discard-new --dedupe SECONDS\n"
    "                         stream-add; stream-edit takes --max-...;\n"
    "                         kv-add takes --file and --history N\n"
    "\"ts\" is in milliseconds since 1970.  Status: 0 yes, 1 no, 2 failed.\n";

void bus_fail(const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    fputs("bus: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(2);
}

void bus_must(natsStatus status, const char *what)
{
    const char *last;

    if (status == NATS_OK) {
        return;
    }
    last = nats_GetLastError(NULL);
    bus_fail("%s: %s", what, last ? last : natsStatus_GetText(status));
}

natsConnection *bus_connect(const bus_options_t *options)
{
    natsOptions *settings = NULL;
    natsConnection *connection = NULL;

    bus_must(natsOptions_Create(&settings), "options");
    bus_must(natsOptions_SetURL(settings, options->url), options->url);
    bus_must(natsOptions_SetName(settings, "bus"), "name");
    /* Stories stop and start the server while we listen. */
    bus_must(natsOptions_SetMaxReconnect(settings, -1), "reconnect");
    bus_must(natsOptions_SetReconnectWait(settings, 50), "reconnect");
    if (options->creds) {
        bus_must(natsOptions_SetUserCredentialsFromFiles(settings, options->creds, NULL),
                 options->creds);
    }
    if (options->user) {
        bus_must(natsOptions_SetUserInfo(settings, options->user, options->password), "user");
    }
    if (options->tls_ca) {
        bus_must(natsOptions_SetSecure(settings, true), "tls");
        bus_must(natsOptions_LoadCATrustedCertificates(settings, options->tls_ca),
                 options->tls_ca);
    }
    bus_must(natsConnection_Connect(&connection, settings), options->url);
    natsOptions_Destroy(settings);
    return connection;
}

jsCtx *bus_jetstream(natsConnection *connection)
{
    jsCtx *js = NULL;

    bus_must(natsConnection_JetStream(&js, connection, NULL), "jetstream");
    return js;
}

/* The length of the UTF-8 sequence that TEXT, with LEFT bytes, begins with; 0
 * when it is not one.  Continuation bytes are looked at, ranges are not. */
static int sequence_length(const unsigned char *text, int left)
{
    int length = text[0] < 0x80 ? 1 : (text[0] >> 5) == 6 ? 2 : (text[0] >> 4) == 14 ? 3
                 : (text[0] >> 3) == 30 ? 4 : 0;

    if (length > left) {
        return 0;
    }
    for (int i = 1; i < length; i++) {
        if ((text[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return length;
}

cJSON *bus_json_text(const char *data, int length)
{
    char *copy = malloc((size_t)length + 1);
    cJSON *json;
    int i = 0;

    if (!copy) {
        bus_fail("out of memory");
    }
    if (length > 0) {
        memcpy(copy, data, (size_t)length);
    }
    copy[length] = '\0';
    while (i < length) {
        int step = copy[i] ? sequence_length((const unsigned char *)copy + i, length - i) : 0;

        if (step == 0) {
            copy[i] = '?';
            step = 1;
        }
        i += step;
    }
    json = cJSON_CreateString(copy);
    free(copy);
    return json;
}

static cJSON *header_values(natsMsg *message, const char *name)
{
    const char **values = NULL;
    cJSON *json;
    int count = 0;

    bus_must(natsMsgHeader_Values(message, name, &values, &count), name);
    json = count == 1 ? cJSON_CreateString(values[0]) : cJSON_CreateStringArray(values, count);
    free((void *)values);
    return json;
}

cJSON *bus_json_headers(natsMsg *message)
{
    cJSON *json = cJSON_CreateObject();
    const char **names = NULL;
    int count = 0;

    if (natsMsgHeader_Keys(message, &names, &count) != NATS_OK) {
        return json;    /* none */
    }
    for (int i = 0; i < count; i++) {
        cJSON_AddItemToObject(json, names[i], header_values(message, names[i]));
    }
    free((void *)names);
    return json;
}

void bus_print_json(cJSON *json)
{
    char *text = cJSON_PrintUnformatted(json);

    if (!text) {
        bus_fail("out of memory");
    }
    puts(text);
    cJSON_free(text);
    cJSON_Delete(json);
}

static void print_help(FILE *out)
{
    fputs("usage: bus [OPTION...] COMMAND ARGUMENT...\n\ncommands:\n", out);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        fprintf(out, "  %-12s %s\n", commands[i].name, commands[i].help);
    }
    fprintf(out, "\noptions, anywhere (\"--\" ends them):\n%s", option_help);
}

/* A number option's value, or the end. */
static double number(const char *name, const char *value)
{
    char *end = NULL;
    double result = strtod(value, &end);

    if (end == value || *end || result < 0) {
        bus_fail("%s: \"%s\" is not a number", name, value);
    }
    return result;
}

/* Take the option NAME if it stands alone. */
static bool take_flag(bus_options_t *options, const char *name)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {
        {"--headers", &options->show_headers}, {"--json", &options->json},
        {"--data", &options->show_data},       {"--file", &options->file_storage},
        {"--discard-new", &options->discard_new}, {"--until-empty", &options->until_empty},
    };

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (strcmp(flags[i].name, name) == 0) {
            *flags[i].flag = true;
            return true;
        }
    }
    return false;
}

/* Take the option NAME with its VALUE. */
static void take_value(bus_options_t *options, const char *name, const char *value)
{
    const struct {
        const char *name;
        const char **text;
        int64_t *number;
    } rows[] = {
        {"-s", &options->url, NULL},
        {"--creds", &options->creds, NULL},
        {"--user", &options->user, NULL},
        {"--password", &options->password, NULL},
        {"--tls-ca", &options->tls_ca, NULL},
        {"--reply", &options->reply, NULL},
        {"-n", NULL, &options->count},
        {"--max-msgs", NULL, &options->max_messages},
        {"--max-bytes", NULL, &options->max_bytes},
        {"--dedupe", NULL, &options->dedupe_seconds},
        {"--history", NULL, &options->history},
    };

    if (!value) {
        bus_fail("%s needs a value", name);
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(rows[i].name, name) != 0) {
            continue;
        }
        if (rows[i].text) {
            *rows[i].text = value;
        } else {
            *rows[i].number = (int64_t)number(name, value);
        }
        return;
    }
    if (strcmp(name, "-t") == 0) {
        options->seconds = number(name, value);
    } else if (strcmp(name, "-H") == 0 && options->header_count < BUS_HEADERS_MAX) {
        options->headers[options->header_count++] = value;
    } else {
        bus_fail("%s is not an option (bus --help), or given too often", name);
    }
}

/* Sort ARGV into OPTIONS and the words left, in place; returns their number. */
static int read_arguments(bus_options_t *options, int argc, char **argv)
{
    int words = 0;
    bool only_words = false;

    for (int i = 1; i < argc; i++) {
        if (only_words || argv[i][0] != '-' || argv[i][1] == '\0') {
            argv[words++] = argv[i];
        } else if (strcmp(argv[i], "--") == 0) {
            only_words = true;
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(stdout);
            exit(0);
        } else if (!take_flag(options, argv[i])) {
            take_value(options, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
            i++;
        }
    }
    return words;
}

int main(int argc, char **argv)
{
    bus_options_t options = {
        .url = getenv("NATS_URL"), .creds = getenv("NATS_CREDS"), .count = -1, .seconds = -1
    };
    int words = read_arguments(&options, argc, argv);

    if (options.creds && !*options.creds) {
        options.creds = NULL;
    }
    if (!options.url) {
        options.url = "nats://127.0.0.1:4222";
    }
    for (size_t i = 0; words > 0 && i < sizeof(commands) / sizeof(commands[0]); i++) {
        const command_t *command = &commands[i];
        int status;

        if (strcmp(command->name, argv[0]) != 0) {
            continue;
        }
        if (words - 1 < command->least_arguments || words - 1 > command->most_arguments) {
            bus_fail("usage: bus %s %s", command->name, command->help);
        }
        status = command->run(&options, words - 1, argv + 1);
        nats_CloseAndWait(2000);
        return status;
    }
    print_help(stderr);
    return 2;
}
