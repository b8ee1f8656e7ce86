/* What JetStream answers to a publish (NATS API, PubAck). */
#include "sa_link_private.h"

#include <string.h>

#include <apr_encode.h>
#include <apr_strings.h>
#include <cjson/cJSON.h>

#include "sa_json.h"

/* A PubAck is some hundred bytes. */
#define ACK_LIMIT (64 * 1024)

static void read_error(sa_link_ack_t *ack, const cJSON *error)
{
    const char *words = sa_json_text(error, "description");
    double code = 0;

    if (!sa_json_number(error, "err_code", &code)) {
        sa_json_number(error, "code", &code);
    }
    if (code >= 1 && code <= 1e9) {
        ack->error_code = (int)code;
    }
    apr_cpystrn(ack->error, words && words[0] ? words : "JetStream refused it without a reason",
                sizeof(ack->error));
}

/* A place in a stream; JSON's numbers are exact up to 2^53. */
static apr_uint64_t place(double number)
{
    return number < 9007199254740992.0 ? (apr_uint64_t)number : APR_UINT64_C(9007199254740992);
}

static void read_pub_ack(sa_link_ack_t *ack, const cJSON *json)
{
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(json, "error");
    const char *stream = sa_json_text(json, "stream");
    double seq = 0;

    if (cJSON_IsObject(error)) {
        read_error(ack, error);
    } else if (stream && stream[0] && sa_json_number(json, "seq", &seq) && seq >= 1) {
        ack->stored = true;
        ack->seq = place(seq);
        if (strlen(stream) < sizeof(ack->stream)) {
            apr_cpystrn(ack->stream, stream, sizeof(ack->stream));
        }
        ack->duplicate = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "duplicate"));
    }
}

/* A status without a body: 503 and, from later servers, maybe others. */
static bool read_status(sa_link_ack_t *ack, const sa_link_message_t *message)
{
    const char *status = sa_link_message_header(message, "Status");

    if (!status) {
        return false;
    }
    ack->no_stream = strcmp(status, "503") == 0;
    if (ack->no_stream) {
        apr_cpystrn(ack->error, "no stream binds the subject", sizeof(ack->error));
    } else {
        apr_snprintf(ack->error, sizeof(ack->error), "status %.20s", status);
    }
    return true;
}

void sa_link_read_ack(sa_link_ack_t *ack, const sa_link_message_t *message)
{
    size_t length;
    const char *data = sa_link_message_data(message, &length);
    cJSON *json;

    memset(ack, 0, sizeof(*ack));
    if (length == 0 && read_status(ack, message)) {
        return;
    }
    json = length <= ACK_LIMIT ? cJSON_ParseWithLength(data, length) : NULL;
    if (cJSON_IsObject(json)) {
        read_pub_ack(ack, json);
    }
    cJSON_Delete(json);
    if (!ack->stored && !ack->error[0]) {
        apr_cpystrn(ack->error, "the answer is not an acknowledgement", sizeof(ack->error));
    }
}

/* An answer that holds a message holds its data as well. */
#define STORED_LIMIT (4 * 1024 * 1024)
/* "message not found" (nats-server server/errors.json) */
#define MESSAGE_NOT_FOUND 10037

/* The value of Nats-Msg-Id in a header block. */
static void find_msg_id(sa_link_stored_t *stored, const char *headers)
{
    static const char name[] = "\r\nNats-Msg-Id: ";
    const char *found = strstr(headers, name);
    size_t length;

    if (!found) {
        return;
    }
    found += sizeof(name) - 1;
    length = strcspn(found, "\r\n");
    if (length < sizeof(stored->msg_id)) {
        apr_cpystrn(stored->msg_id, found, length + 1);
    }
}

static void read_headers(sa_link_stored_t *stored, const char *encoded)
{
    char headers[SA_LINK_HEADROOM + 64];
    apr_size_t length = 0;

    if (encoded && strlen(encoded) / 4 * 3 < sizeof(headers) - 1
        && apr_decode_base64(headers, encoded, APR_ENCODE_STRING, APR_ENCODE_NONE, &length)
               == APR_SUCCESS) {
        headers[length < sizeof(headers) ? length : sizeof(headers) - 1] = '\0';
        find_msg_id(stored, headers);
    }
}

static void read_stored(sa_link_stored_t *stored, const cJSON *json)
{
    const cJSON *message = cJSON_GetObjectItemCaseSensitive(json, "message");
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(json, "error");
    const cJSON *names = cJSON_GetObjectItemCaseSensitive(json, "streams");
    const char *name = cJSON_GetStringValue(cJSON_GetArrayItem(names, 0));
    double number = 0;

    if (sa_json_number(message, "seq", &number) && number >= 1) {
        stored->found = true;
        stored->seq = place(number);
        read_headers(stored, sa_json_text(message, "hdrs"));
    } else if (sa_json_number(error, "err_code", &number)) {
        stored->missing = number == (double)MESSAGE_NOT_FOUND;
    }
    if (name && strlen(name) < sizeof(stored->stream)) {
        apr_cpystrn(stored->stream, name, sizeof(stored->stream));
    }
}

void sa_link_read_stored(sa_link_stored_t *stored, const sa_link_message_t *message)
{
    size_t length;
    const char *data = sa_link_message_data(message, &length);
    cJSON *json = length > 0 && length <= STORED_LIMIT ? cJSON_ParseWithLength(data, length) : NULL;

    memset(stored, 0, sizeof(*stored));
    if (cJSON_IsObject(json)) {
        read_stored(stored, json);
    }
    cJSON_Delete(json);
}
