/* The parts of `bus`, the tests' own NATS client.
 *
 * One thread, one command, then the process ends: whatever goes wrong is said
 * on standard error and ends it with status 2, and the system takes the memory
 * back.  Status 1 is the answer "no": nothing came, not found, numbers missing. */
#ifndef BUS_H
#define BUS_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>
#include <nats/nats.h>

#define BUS_HEADERS_MAX 32

typedef struct bus_options_t {
    const char *url;
    const char *creds;
    const char *user;
    const char *password;
    const char *tls_ca;
    const char *reply;
    const char *headers[BUS_HEADERS_MAX];   /* "Name: value" */
    int header_count;
    int64_t count;          /* -1: not given */
    double seconds;         /* -1: not given */
    int64_t max_messages;
    int64_t max_bytes;
    int64_t dedupe_seconds;
    int64_t history;
    bool show_headers;
    bool show_data;
    bool json;
    bool file_storage;
    bool discard_new;
    bool until_empty;
} bus_options_t;

/* A command's arguments: ARGV without its own name. */
typedef int (*bus_command_fn_t)(const bus_options_t *options, int argc, char **argv);

int bus_pub(const bus_options_t *options, int argc, char **argv);
int bus_sub(const bus_options_t *options, int argc, char **argv);
int bus_req(const bus_options_t *options, int argc, char **argv);
int bus_pour(const bus_options_t *options, int argc, char **argv);
int bus_stream_add(const bus_options_t *options, int argc, char **argv);
int bus_stream_edit(const bus_options_t *options, int argc, char **argv);
int bus_stream_del(const bus_options_t *options, int argc, char **argv);
int bus_stream_info(const bus_options_t *options, int argc, char **argv);
int bus_stream_dump(const bus_options_t *options, int argc, char **argv);
int bus_numbers(const bus_options_t *options, int argc, char **argv);
int bus_kv_add(const bus_options_t *options, int argc, char **argv);
int bus_kv_get(const bus_options_t *options, int argc, char **argv);
int bus_kv_history(const bus_options_t *options, int argc, char **argv);

/* Say FORMAT and end with status 2. */
void bus_fail(const char *format, ...)
    __attribute__((noreturn, format(printf, 1, 2)));

/* End unless STATUS is good; WHAT was being tried. */
void bus_must(natsStatus status, const char *what);

/* Never NULL. */
natsConnection *bus_connect(const bus_options_t *options);
jsCtx *bus_jetstream(natsConnection *connection);

/* Message NUMBER to SUBJECT with the headers of OPTIONS; to be destroyed. */
natsMsg *bus_message(const bus_options_t *options, const char *subject, const char *reply,
                     const char *text, int64_t number);

/* The second argument, or nothing, or with "-" all of standard input. */
const char *bus_text(int argc, char **argv);

/* The first LENGTH bytes of DATA as a string for JSON: what is not UTF-8, and
 * NUL, becomes '?'. */
cJSON *bus_json_text(const char *data, int length);

/* The headers of MESSAGE: one value as a string, several as an array. */
cJSON *bus_json_headers(natsMsg *message);

/* Print JSON as one line and free it. */
void bus_print_json(cJSON *json);

/* Read the whole of STREAM in order, each message to FN once.  A message lives
 * until FN returns. */
typedef void (*bus_message_fn_t)(void *baton, natsMsg *message, const jsMsgMetaData *meta);
void bus_stream_read(natsConnection *connection, const char *stream,
                     bus_message_fn_t fn, void *baton);

#endif
