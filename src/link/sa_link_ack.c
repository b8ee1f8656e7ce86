/* What JetStream answers to a publish (NATS API, PubAck). */
#include "sa_link_private.h"

#include <string.h>

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

static void read_pub_ack(sa_link_ack_t *ack, const cJSON *json)
{
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(json, "error");
    const char *stream = sa_json_text(json, "stream");
    double seq = 0;

    if (cJSON_IsObject(error)) {
        read_error(ack, error);
    } else if (stream && stream[0] && sa_json_number(json, "seq", &seq) && seq >= 1) {
        ack->stored = true;
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
