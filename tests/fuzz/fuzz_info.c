/* libFuzzer entry: what a server says first.  By the first byte: its first line, or its answer to
 * the request for WebSocket.  What must hold:
 *   a line that was read before the hiding is read after it, with the same limit of payload;
 *   hidden are first letters of keys and nothing else, and once is as good as twice;
 *   TLS is not asked for any more, unless a key was spelled with escapes, which nats.c does not
 *   read;
 *   an answer that is taken holds what proves that our request was read;
 *   one that is not says why, in what can be shown. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>

#include "../../src/link/sa_link_private.h"
#include "../../src/link/sa_link_relay.h"
#include "sa_pool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

static bool parse(sa_link__info_t *info, const char *line, size_t length, apr_pool_t *pool)
{
    sa_error_t *err = sa_link__info_parse(info, line, length, pool);

    if (err) {
        sa_error_clear(err);
        return false;
    }
    SA_ASSERT(info->max_payload >= 1 && info->max_payload <= SA_LINK_PAYLOAD_CAP);
    return true;
}

static void try_line(const char *line, size_t length, apr_pool_t *pool)
{
    char *hidden = malloc(length + 1);
    char *twice = malloc(length + 1);
    sa_link__info_t before;
    sa_link__info_t after;
    bool ok = parse(&before, line, length, pool);

    memcpy(hidden, line, length);
    sa_link__info_hide(hidden, length);
    for (size_t i = 0; i < length; i++) {
        SA_ASSERT(hidden[i] == line[i]
                  || (hidden[i] == '-' && i > 0 && line[i - 1] == '"' && strchr("tcw", line[i])));
    }
    memcpy(twice, hidden, length);
    sa_link__info_hide(twice, length);
    if (ok) {
        SA_ASSERT(memcmp(twice, hidden, length) == 0);
        SA_ASSERT(parse(&after, hidden, length, pool));
        SA_ASSERT(after.max_payload == before.max_payload);
        SA_ASSERT(!(after.tls_required || after.tls_available) || memchr(line, '\\', length));
    }
    free(hidden);
    free(twice);
}

static void try_answer(const char *text, size_t length)
{
    sa_link__failure_t failure = {.event = SA_EVENT_END};
    size_t head = 0;

    while (head < length && (head < 4 || memcmp(text + head - 4, "\r\n\r\n", 4) != 0)) {
        head++;
    }
    if (sa_link__upgrade_judge(&failure, text, head, text + head, length - head, ACCEPT)) {
        bool found = false;

        for (size_t i = 0; i + sizeof(ACCEPT) - 1 <= head; i++) {
            found = found || memcmp(text + i, ACCEPT, sizeof(ACCEPT) - 1) == 0;
        }
        SA_ASSERT(found && memcmp(text, "HTTP/1.1 101", 12) == 0);
        return;
    }
    SA_ASSERT(failure.event < SA_EVENT_END && failure.reason[0]);
    for (const char *c = failure.reason; *c; c++) {
        SA_ASSERT(*c >= ' ' && *c < 0x7f);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    apr_pool_t *pool;
    char *text;

    if (!ready) {
        apr_initialize();
        ready = true;
    }
    if (size == 0) {
        return 0;
    }
    pool = sa_pool_create_root();
    text = malloc(size);        /* of its own: the sanitizer then sees each overrun */
    memcpy(text, data + 1, size - 1);
    if (data[0] == 'I') {
        try_line(text, size - 1, pool);
    } else {
        try_answer(text, size - 1);
    }
    free(text);
    apr_pool_destroy(pool);
    return 0;
}
