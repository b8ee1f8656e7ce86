/* What nats.c and the server say, and what it means. */
#include "sa_link_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>

/* The server's words (nats-server, errors.go), those of TLS alerts (OpenSSL),
 * the more special ones first. */
static const struct {
    const char *words;
    sa_event_t event;
} meanings[] = {
    { "authorization violation", SA_EVENT_link_auth_refused },
    { "authentication timeout", SA_EVENT_link_auth_timeout },
    { "authentication expired", SA_EVENT_link_auth_expired },
    { "authentication revoked", SA_EVENT_link_auth_revoked },
    { "account active connections exceeded", SA_EVENT_link_connections_full },
    { "maximum connections exceeded", SA_EVENT_link_connections_full },
    { "maximum subscriptions exceeded", SA_EVENT_link_subscriptions_full },
    { "maximum payload violation", SA_EVENT_link_payload_refused },
    { "alert certificate required", SA_EVENT_link_tls_client_cert },
    { "alert bad certificate", SA_EVENT_link_tls_client_cert },
    { "alert unknown ca", SA_EVENT_link_tls_client_cert },
    { "alert certificate expired", SA_EVENT_link_tls_client_cert },
    { "alert handshake failure", SA_EVENT_link_tls_failed },
    { "stale connection", SA_EVENT_link_stale },
    { "secure connection - tls required", SA_EVENT_link_tls_failed },
};

void sa_link__fail(sa_link__failure_t *failure, sa_event_t event, const char *format, ...)
{
    va_list args;

    failure->event = event;
    va_start(args, format);
    apr_vsnprintf(failure->reason, sizeof(failure->reason), format, args);
    va_end(args);
}

static bool contains(const char *text, const char *lower)
{
    size_t length = strlen(lower);

    for (; *text; text++) {
        size_t same = 0;

        while (same < length && apr_tolower(text[same]) == lower[same]) {
            same++;
        }
        if (same == length) {
            return true;
        }
    }
    return false;
}

static sa_event_t event_of(natsStatus status, const char *text)
{
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
        if (contains(text, meanings[i].words)) {
            return meanings[i].event;
        }
    }
    switch (status) {
    case NATS_SECURE_CONNECTION_WANTED:
        return SA_EVENT_link_tls_not_spoken;
    case NATS_SSL_ERROR:
        return SA_EVENT_link_tls_failed;
    case NATS_CONNECTION_AUTH_FAILED:
        return SA_EVENT_link_auth_refused;
    case NATS_STALE_CONNECTION:
        return SA_EVENT_link_stale;
    case NATS_TIMEOUT:
        return SA_EVENT_link_timeout;
    case NATS_CONNECTION_CLOSED:
    case NATS_CONNECTION_DISCONNECTED:
    case NATS_IO_ERROR:
    case NATS_INVALID_SUBSCRIPTION:     /* subscribing on what was closed meanwhile */
    case NATS_ERR:                      /* words of a server that the table does not know */
        return SA_EVENT_link_lost;
    default:
        return SA_EVENT_link_protocol;
    }
}

void sa_link__fail_status(sa_link__failure_t *failure, natsStatus status, const char *text)
{
    /* nats.c's "SSL_write error: (null)" when OpenSSL has no words. */
    if (!text || !text[0] || strstr(text, "(null)")) {
        text = natsStatus_GetText(status);
    }
    sa_link__fail(failure, event_of(status, text), "%s", text);
}

bool sa_link__is_refusal(const sa_link__failure_t *failure)
{
    switch (failure->event) {
    case SA_EVENT_link_auth_refused:
    case SA_EVENT_link_auth_expired:
    case SA_EVENT_link_auth_revoked:
    case SA_EVENT_link_creds_bad:
    case SA_EVENT_link_secret_unreadable:
        return true;
    default:
        return false;
    }
}

const char *sa_link__last_words(void)
{
    const char *text = nats_GetLastError(NULL);
    const char *end;

    if (!text) {
        return "";
    }
    /* "(conn.c:123): " */
    end = text[0] == '(' ? strstr(text, "): ") : NULL;
    return end ? end + 3 : text;
}

sa_error_t *sa_link__error(natsStatus status, const char *what)
{
    apr_status_t code = SA_ERR_LINK_LIBRARY;

    switch (status) {
    case NATS_OK:
        return SA_OK;
    case NATS_TIMEOUT:
        code = SA_ERR_TIMEOUT;
        break;
    case NATS_MAX_PAYLOAD:
        code = SA_ERR_TOO_LARGE;
        break;
    case NATS_CONNECTION_CLOSED:
    case NATS_CONNECTION_DISCONNECTED:
    case NATS_NOT_YET_CONNECTED:
    case NATS_STALE_CONNECTION:
    case NATS_DRAINING:
    case NATS_IO_ERROR:
        code = SA_ERR_LINK_DOWN;
        break;
    default:
        break;
    }
    return sa_error(code, NULL, "%s: %s", what, natsStatus_GetText(status));
}
