/* command: what a request leaves in the audit file. */
#include "sa_command_private.h"

#include <apr_strings.h>

#include "sa_link.h"
#include "sa_time.h"

#define HEADER_SHOWN 256

/* Who asks, as far as the bus or the requester says. */
static const char *const telling_headers[] = { "Stone-Age-Requester", "Nats-Request-Info" };

static const char *headers_that_tell(const sa_call_t *call)
{
    const char *all = "";

    for (size_t i = 0; call->headers && i < sizeof(telling_headers) / sizeof(char *); i++) {
        const char *value = sa_link_message_header(call->message, telling_headers[i]);

        if (value) {
            all = apr_pstrcat(call->pool, all, *all ? "\n" : "", telling_headers[i], ": ",
                              apr_pstrndup(call->pool, value, HEADER_SHOWN), NULL);
        }
    }
    return all;
}

static sa_command_audit_entry_t entry_of(const sa_call_t *call, const char *phase)
{
    return (sa_command_audit_entry_t){
        .id = call->id, .phase = phase, .command = call->name, .what = call->what,
        .subject = sa_link_message_subject(call->message),
        .reply = sa_link_message_reply(call->message), .headers = headers_that_tell(call),
        .as = call->as, .outcome = call->outcome, .duration = sa_time_mono() - call->began_at
    };
}

/* What the request says it is about, for commands that do not begin themselves. */
static const char *told(const sa_call_t *call)
{
    const char *all = "";

    for (int i = 0; i < 2 && call->row->told[i]; i++) {
        const char *text = sa_json_text(call->request, call->row->told[i]);

        if (text) {
            all = apr_pstrcat(call->pool, all, *all ? " " : "", text, NULL);
        }
    }
    return all;
}

sa_error_t *sa_command__begin(sa_call_t *call, const char *what, const char *as)
{
    sa_command_audit_entry_t entry;

    call->what = what ? what : told(call);
    call->as = as ? as : apr_pstrcat(call->pool, "user ", call->commands->user, NULL);
    entry = entry_of(call, "begin");
    SA_TRY(sa_command_audit_write(call->commands->audit, &entry));
    call->begun = true;
    return SA_OK;
}

static const char *outcome_of(const sa_call_t *call, const sa_error_t *err)
{
    char text[1024];

    if (call->outcome || !err) {
        return call->outcome ? call->outcome : "success";
    }
    return apr_pstrdup(call->pool, sa_error_text(err, text, sizeof(text)));
}

void sa_command__record_end(sa_call_t *call, const sa_error_t *err)
{
    sa_command_audit_entry_t entry;
    bool in_dispatcher = call->row && (call->row->flags & SA_COMMAND_QUICK);

    if (call->row && (call->row->flags & SA_COMMAND_UNCOUNTED)) {
        return;
    }
    call->outcome = outcome_of(call, err);
    call->what = call->what || !call->request || !call->row ? call->what : told(call);
    entry = entry_of(call, call->begun || !err ? "end" : "refused");
    if (call->begun && !in_dispatcher) {
        /* it ran: that its end is not recorded has been said in the log */
        sa_error_clear(sa_command_audit_write(call->commands->audit, &entry));
    } else {
        sa_command_audit_note(call->commands->audit, &entry);
    }
}
