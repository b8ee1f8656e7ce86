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
#include "sa_stats.h"
#include "sa_time.h"

#define REPLY_SUBJECT_MAX 256

bool sa_command__is_reply_allowed(const char *subject, const apr_array_header_t *prefixes)
{
    if (strlen(subject) > REPLY_SUBJECT_MAX || !sa_link_is_subject(subject)) {
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

void sa_command__reply(sa_commands_t *commands, const sa_command_settings_t *settings,
                       const sa_link_message_t *message, const char *headers, const cJSON *json,
                       apr_pool_t *scratch_pool)
{
    const char *reply = sa_link_message_reply(message);
    const char *text;
    size_t length;
    sa_error_t *err;

    if (!*reply) {
        return;
    }
    if (!sa_command__is_reply_allowed(reply, settings->reply_prefixes)) {
        sa_stats_add(SA_STAT_commands_refused, 1);
        SA_LOG(reply_refused, SA_S("subject", sa_link_message_subject(message)),
               SA_S("reply", reply));
        return;
    }
    text = sa_json_print(json, &length, scratch_pool);
    err = sa_link_publish(commands->link, reply, headers, text, length);
    if (err) {
        SA_LOG(reply_failed, SA_S("subject", sa_link_message_subject(message)), SA_E(err));
        sa_error_clear(err);
    }
}

/* The first line of TEXT: a header's value ends at its line's end. */
static const char *header_value(const char *text, apr_pool_t *pool)
{
    return apr_pstrmemdup(pool, text, strcspn(text, "\r\n"));
}

void sa_command__reply_error(sa_commands_t *commands, const sa_command_settings_t *settings,
                             const sa_link_message_t *message, const sa_error_t *err,
                             apr_pool_t *scratch_pool)
{
    /* our own message is written for the requester; what is below it is not */
    const char *text = err->message ? err->message : sa_error_wire_text(err);
    bool ours = sa_error_has(err, SA_ERR_INTERNAL) || sa_error_has(err, SA_ERR_BUSY);
    const char *headers = apr_psprintf(scratch_pool, "Nats-Service-Error: %s\n"
                                       "Nats-Service-Error-Code: %d\n",
                                       header_value(text, scratch_pool), ours ? 500 : 400);
    cJSON *json = sa_json_object(scratch_pool);

    cJSON_AddStringToObject(json, "status", "error");
    cJSON_AddStringToObject(json, "error", text);
    sa_json_add_time(json, "ts", sa_time_now());
    sa_command__reply(commands, settings, message, headers, json, scratch_pool);
}
