/* command: answers, and whom they may go to.
 *
 * The reply subject is the requester's choice.  Without a check anybody who
 * may ask us for a ping could make us publish to any subject that we may
 * publish to. */
#include <string.h>

#include <apr_strings.h>

#include "sa_command_private.h"
#include "sa_link.h"
#include "sa_log.h"
#include "sa_log_tail.h"
#include "sa_stats.h"
#include "sa_time.h"

#define ERROR_TEXT_MAX ((size_t)1024)

bool sa_command__is_reply_allowed(const char *subject, const apr_array_header_t *prefixes)
{
    if (strlen(subject) > SA_REPLY_SUBJECT_MAX || !sa_link_is_subject(subject)) {
        return false;
    }
    for (int i = 0; i < prefixes->nelts; i++) {
        const char *prefix = APR_ARRAY_IDX(prefixes, i, const char *);

        if (strncmp(subject, prefix, strlen(prefix)) == 0) {
            return true;
        }
    }
    return false;
}

bool sa_command__may_reply_to(const sa_commands_t *commands,
                              const sa_command_settings_t *settings, const char *subject)
{
    return sa_command__is_reply_allowed(subject, settings->reply_prefixes)
           && !sa_link_is_own_inbox(commands->link, subject);
}

static bool may_answer(const sa_commands_t *commands, const sa_command_settings_t *settings,
                       const sa_link_message_t *message)
{
    const char *reply = sa_link_message_reply(message);

    if (!*reply) {
        return false;
    }
    if (!sa_command__may_reply_to(commands, settings, reply)) {
        sa_stats_add(SA_STAT_commands_refused, 1);
        SA_LOG(reply_refused, SA_S("subject", sa_link_message_subject(message)),
               SA_S("reply", reply));
        return false;
    }
    return true;
}

static sa_error_t *put(sa_commands_t *commands, const sa_link_message_t *message,
                       const char *headers, const cJSON *json, apr_pool_t *scratch_pool)
{
    size_t length;
    const char *text = sa_json_print(json, &length, scratch_pool);

    return sa_link_publish(commands->link, sa_link_message_reply(message), headers, text, length);
}

/* TEXT as it may stand in a header: on one line, without what does not show. */
static const char *header_value(const char *text, apr_pool_t *pool)
{
    char *value = apr_pstrmemdup(pool, text, strcspn(text, "\r\n"));

    for (char *c = value; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7F) {
            *c = '?';
        }
    }
    return value;
}

static const char *error_headers(const char *text, bool ours, apr_pool_t *pool)
{
    return apr_psprintf(pool, "Nats-Service-Error: %s\nNats-Service-Error-Code: %d\n",
                        header_value(text, pool), ours ? 500 : 400);
}

static cJSON *error_object(const char *text, apr_pool_t *pool)
{
    cJSON *json = sa_json_object(pool);

    cJSON_AddStringToObject(json, "status", "error");
    cJSON_AddStringToObject(json, "error", text);
    return json;
}

/* Who waits must hear something, also when what was to be said is too long. */
static sa_error_t *send_short(sa_commands_t *commands, const sa_link_message_t *message,
                              apr_pool_t *scratch_pool)
{
    const char *text = "the answer is larger than the bus takes";
    cJSON *json = error_object(text, scratch_pool);

    sa_json_add_time(json, "ts", sa_time_now());
    return put(commands, message, error_headers(text, true, scratch_pool), json, scratch_pool);
}

void sa_command__reply(sa_commands_t *commands, const sa_command_settings_t *settings,
                       const sa_link_message_t *message, const char *headers, const cJSON *json,
                       apr_pool_t *scratch_pool)
{
    sa_error_t *err;

    if (!may_answer(commands, settings, message)) {
        return;
    }
    err = put(commands, message, headers, json, scratch_pool);
    if (err) {
        SA_LOG(reply_failed, SA_S("subject", sa_link_message_subject(message)), SA_E(err));
        if (err->code == SA_ERR_TOO_LARGE) {
            sa_error_clear(err);
            /* that one failed has been said */
            err = send_short(commands, message, scratch_pool);
        }
        sa_error_clear(err);
    }
}

const char *sa_command__error_text(const sa_error_t *err)
{
    /* our own message is written for the requester; what is below it is not */
    return err->message ? err->message : sa_error_wire_text(err);
}

/* Names from the bus are repeated in some errors. */
static const char *as_utf8(const char *text, apr_pool_t *pool)
{
    size_t length = strlen(text);
    size_t most = length < ERROR_TEXT_MAX ? length : ERROR_TEXT_MAX;
    char *valid = apr_palloc(pool, most * SA_LOG_SHOWN + 1);

    valid[sa_command__show(valid, text, most, false)] = '\0';
    return valid;
}

/* The error reply: its own members first, then what the handler has to say all the same. */
static cJSON *error_reply(sa_call_t *call, const char *text)
{
    cJSON *json = error_object(text, call->pool);

    cJSON_DeleteItemFromObject(call->reply, "status");
    cJSON_DeleteItemFromObject(call->reply, "error");
    while (call->reply->child) {
        cJSON *item = cJSON_DetachItemViaPointer(call->reply, call->reply->child);

        cJSON_AddItemToObject(json, item->string, item);
    }
    return json;
}

/* For whoever sorts answers before reading them, which is who gave the id or reads a stream;
 * any header costs nats.c the wake-up of a thread. */
static const char *add_id_header(const char *headers, const sa_call_t *call)
{
    return apr_pstrcat(call->pool, headers ? headers : "", "Stone-Age-Request-Id: ", call->id,
                       "\n", NULL);
}

void sa_command__answer(sa_call_t *call, const sa_error_t *err)
{
    const char *headers = NULL;
    cJSON *json = call->reply;

    if (err) {
        const char *text = as_utf8(sa_command__error_text(err), call->pool);
        bool ours = sa_error_has(err, SA_ERR_INTERNAL) || sa_error_has(err, SA_ERR_BUSY);

        headers = error_headers(text, ours, call->pool);
        json = error_reply(call, text);
    }
    if (call->id_given || call->stream) {
        headers = add_id_header(headers, call);
    }
    if (call->id) {
        cJSON_AddStringToObject(json, "id", call->id);
    }
    if (call->stream) {
        sa_json_add_count(json, "seq", call->seq);
    }
    sa_json_add_time(json, "ts", sa_time_now());
    sa_command__reply(call->commands, call->settings, call->message, headers, json, call->pool);
}
