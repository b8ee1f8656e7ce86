/* libFuzzer entry: WebSocket frames of a server.  The first byte chooses the pieces in which the
 * rest comes.  What must hold:
 *   in pieces or whole, the same comes out: payload, pings, close, and which rule was broken;
 *   each call takes something, and gives no more than it took;
 *   a reason can be shown;
 *   payload that is sealed by us, and its mask taken off, comes out again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>

#include "../../src/link/sa_link_frame.h"
#include "sa_error.h"
#include "sa_random.h"
#include "sa_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct result_t {
    sa_link__frames_t frames;
    char *payload;
    size_t length;
    char *pings;                /* each behind its length */
    size_t pings_length;
} result_t;

static void note_ping(result_t *result)
{
    result->pings[result->pings_length++] = (char)result->frames.control_length;
    memcpy(result->pings + result->pings_length, result->frames.control,
           result->frames.control_length);
    result->pings_length += result->frames.control_length;
}

/* Decode in pieces; RANDOM NULL: whole. */
static void decode(result_t *result, const char *data, size_t size, sa_random_t *random)
{
    size_t at = 0;

    memset(result, 0, sizeof(*result));
    result->payload = malloc(size + 1);
    result->pings = malloc(size + 1);
    sa_link__frames_init(&result->frames);
    while (at < size && !result->frames.error && !result->frames.close) {
        size_t piece = random ? 1 + (size_t)sa_random_below(random, 9) : size - at;
        size_t length = piece < size - at ? piece : size - at;
        char *copy = malloc(length);    /* of its own: the sanitizer then sees each overrun */
        size_t given = length;
        size_t used = 0;

        memcpy(copy, data + at, length);
        sa_link__frames_take(&result->frames, copy, &length, &used);
        SA_ASSERT(used > 0 && used <= given && length <= used);
        memcpy(result->payload + result->length, copy, length);
        result->length += length;
        at += used;
        if (result->frames.ping) {
            note_ping(result);
        }
        free(copy);
    }
}

static void check_same(const result_t *a, const result_t *b)
{
    SA_ASSERT(a->length == b->length && memcmp(a->payload, b->payload, a->length) == 0);
    SA_ASSERT(a->pings_length == b->pings_length
              && memcmp(a->pings, b->pings, a->pings_length) == 0);
    SA_ASSERT(a->frames.error == b->frames.error || (a->frames.error && b->frames.error
              && strcmp(a->frames.error, b->frames.error) == 0));
    SA_ASSERT(a->frames.close == b->frames.close);
    SA_ASSERT(!a->frames.close || a->frames.close_code == b->frames.close_code);
    SA_ASSERT(strcmp(a->frames.close_reason, b->frames.close_reason) == 0);
    SA_ASSERT(!sa_text_fault(a->frames.close_reason, strlen(a->frames.close_reason)));
}

/* Seal DATA, take the mask off, and decode. */
static void check_seal(const char *data, size_t length, uint32_t key)
{
    char *place = malloc(SA_LINK_FRAME_HEAD + length);
    char *body = place + SA_LINK_FRAME_HEAD;
    unsigned char mask[4];
    result_t result;
    size_t head;

    memcpy(body, data, length);
    head = sa_link__frame_seal(body, SA_LINK_FRAME_BINARY, body, length, key);
    memcpy(mask, body - 4, 4);
    for (size_t i = 0; i < length; i++) {
        body[i] = (char)((unsigned char)body[i] ^ mask[i % 4]);
    }
    body[1 - (long)head] = (char)(body[1 - (long)head] & 0x7f);
    memmove(body - head + 4, body - head, head - 4);
    decode(&result, body - head + 4, head - 4 + length, NULL);
    SA_ASSERT(!result.frames.error && result.length == length);
    SA_ASSERT(memcmp(result.payload, data, length) == 0);
    free(result.payload);
    free(result.pings);
    free(place);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sa_random_t random;
    result_t whole;
    result_t pieces;

    if (size == 0) {
        return 0;
    }
    sa_random_init_seed(&random, data[0]);
    decode(&whole, (const char *)data + 1, size - 1, NULL);
    decode(&pieces, (const char *)data + 1, size - 1, &random);
    check_same(&whole, &pieces);
    check_seal(whole.payload, whole.length, (uint32_t)sa_random_below(&random, UINT32_MAX));
    free(whole.payload);
    free(whole.pings);
    free(pieces.payload);
    free(pieces.pings);
    return 0;
}
