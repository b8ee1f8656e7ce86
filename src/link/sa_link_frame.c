/* link: WebSocket's frames (RFC 6455, section 5).  Numbers there are in network order; a mask key
 * is four bytes as they lie in memory, whatever the order. */
#include "sa_link_frame.h"

#include <string.h>

#include "sa_text.h"

#define FINAL 0x80
#define RESERVED 0x70
#define OPCODE 0x0f
#define CONTROL 0x08
#define MASKED 0x80
#define LENGTH 0x7f
/* What stands in the place of the length when 2 or 8 bytes of length follow. */
#define LENGTH_16 126
#define LENGTH_64 127
#define KEY_BYTES 4
#define NO_CODE 1005

/* ---- ours ------------------------------------------------------------------ */

static void put_number(unsigned char *place, uint64_t number, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--) {
        place[i] = (unsigned char)(number & 0xff);
        number >>= 8;
    }
}

/* 8 bytes at a time: half of all that goes out passes here twice, as it does in the server. */
static void mask(char *data, size_t length, uint32_t key)
{
    unsigned char bytes[2 * KEY_BYTES];
    uint64_t wide;
    size_t i = 0;

    memcpy(bytes, &key, KEY_BYTES);
    memcpy(bytes + KEY_BYTES, &key, KEY_BYTES);
    memcpy(&wide, bytes, sizeof(wide));
    for (; length - i >= sizeof(wide); i += sizeof(wide)) {
        uint64_t part;

        memcpy(&part, data + i, sizeof(part));
        part ^= wide;
        memcpy(data + i, &part, sizeof(part));
    }
    for (; i < length; i++) {
        data[i] = (char)((unsigned char)data[i] ^ bytes[i % KEY_BYTES]);
    }
}

size_t sa_link__frame_seal(char *end, sa_link__opcode_t opcode, char *data, size_t length,
                           uint32_t key)
{
    unsigned int short_length = (unsigned int)length;
    unsigned char *head;
    int more = 0;

    if (length > 0xffff) {
        short_length = LENGTH_64;
        more = 8;
    } else if (length >= LENGTH_16) {
        short_length = LENGTH_16;
        more = 2;
    }
    head = (unsigned char *)end - KEY_BYTES - more - 2;
    head[0] = (unsigned char)(FINAL | opcode);
    head[1] = (unsigned char)(MASKED | short_length);
    put_number(head + 2, length, more);
    memcpy(head + 2 + more, &key, KEY_BYTES);
    mask(data, length, key);
    return (size_t)(2 + more + KEY_BYTES);
}

/* ---- the server's ------------------------------------------------------------ */

void sa_link__frames_init(sa_link__frames_t *frames)
{
    memset(frames, 0, sizeof(*frames));
    frames->head_wanted = 2;
}

static bool is_control(const sa_link__frames_t *frames)
{
    return (frames->opcode & CONTROL) != 0;
}

static const char *check_opcode(const sa_link__frames_t *frames)
{
    switch (frames->opcode) {
    case SA_LINK_FRAME_CONTINUATION:
        return frames->in_message ? NULL : "a continuation without a message before it";
    case SA_LINK_FRAME_TEXT:
        return "a text frame";
    case SA_LINK_FRAME_BINARY:
        return frames->in_message ? "a new message within another one" : NULL;
    case SA_LINK_FRAME_CLOSE:
    case SA_LINK_FRAME_PING:
    case SA_LINK_FRAME_PONG:
        return frames->final ? NULL : "a control frame in fragments";
    default:
        return "an opcode that nobody has defined";
    }
}

static const char *read_first(sa_link__frames_t *frames)
{
    frames->final = (frames->head[0] & FINAL) != 0;
    frames->opcode = frames->head[0] & OPCODE;
    if (frames->head[0] & RESERVED) {
        return "a reserved bit is set, and no extension was agreed on";
    }
    return check_opcode(frames);
}

static const char *read_second(sa_link__frames_t *frames)
{
    unsigned int length = frames->head[1] & LENGTH;

    if (frames->head[1] & MASKED) {
        return "a masked frame";
    }
    if (is_control(frames) && length > SA_LINK_FRAME_CONTROL) {
        return "a control frame of more than 125 bytes";
    }
    if (length == LENGTH_64) {
        frames->head_wanted += 8;
    } else if (length == LENGTH_16) {
        frames->head_wanted += 2;
    }
    return NULL;
}

/* The length, once it is all there. */
static const char *read_length(sa_link__frames_t *frames)
{
    uint64_t length = frames->head[1] & LENGTH;

    if (frames->head_wanted > 2) {
        length = 0;
        for (unsigned int i = 2; i < frames->head_wanted; i++) {
            length = length << 8 | frames->head[i];
        }
    }
    if (frames->head_wanted == 4 && length < LENGTH_16) {
        return "a length of 16 bits where 7 would do";
    }
    if (frames->head_wanted == 10 && length >> 63 != 0) {
        return "a length of more than 63 bits";
    }
    if (frames->head_wanted == 10 && length <= 0xffff) {
        return "a length of 64 bits where 16 would do";
    }
    frames->left = length;
    frames->in_payload = true;
    if (is_control(frames)) {
        frames->control_length = 0;
    }
    return NULL;
}

/* May a server send CODE (RFC 6455, section 7.4, and IANA's registry)? */
static bool is_close_code(unsigned int code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014)
        || (code >= 3000 && code <= 4999);
}

/* Put TEXT into the reason, with a ? for each byte that cannot be shown. */
static void read_reason(sa_link__frames_t *frames, const char *text, size_t length)
{
    char *place = frames->close_reason;
    uint32_t point;

    for (size_t i = 0; i < length;) {
        int bytes = sa_text_decode(&point, text + i, length - i);

        if (bytes == 0 || sa_text_fault(text + i, (size_t)bytes)) {
            bytes = bytes == 0 ? 1 : bytes;
            *place++ = '?';
        } else {
            memcpy(place, text + i, (size_t)bytes);
            place += bytes;
        }
        i += (size_t)bytes;
    }
    *place = '\0';
}

static void read_close(sa_link__frames_t *frames)
{
    const char *text = frames->control;

    frames->close_code = NO_CODE;
    frames->close_reason[0] = '\0';
    if (frames->control_length == 1) {
        frames->error = "a close with half a code";
        return;
    }
    if (frames->control_length >= 2) {
        frames->close_code = (unsigned int)(unsigned char)text[0] << 8 | (unsigned char)text[1];
        if (!is_close_code(frames->close_code)) {
            frames->error = "a close with a code that nobody may send";
            return;
        }
        read_reason(frames, text + 2, frames->control_length - 2);
    }
    frames->close = true;
}

static void end_frame(sa_link__frames_t *frames)
{
    frames->in_payload = false;
    frames->head_length = 0;
    frames->head_wanted = 2;
    if (!is_control(frames)) {
        frames->in_message = !frames->final;
    } else if (frames->opcode == SA_LINK_FRAME_PING) {
        frames->ping = true;
    } else if (frames->opcode == SA_LINK_FRAME_CLOSE) {
        read_close(frames);
    }
}

static void take_head(sa_link__frames_t *frames, char byte)
{
    frames->head[frames->head_length++] = (unsigned char)byte;
    if (frames->head_length == 1) {
        frames->error = read_first(frames);
    } else if (frames->head_length == 2) {
        frames->error = read_second(frames);
    }
    if (!frames->error && frames->head_length == frames->head_wanted) {
        frames->error = read_length(frames);
    }
}

/* Take payload out of DATA[0..LENGTH), that of a data frame to PLACE.  Returns how much. */
static size_t take_payload(sa_link__frames_t *frames, char *place, const char *data,
                           size_t length)
{
    size_t taken = frames->left < length ? (size_t)frames->left : length;

    if (is_control(frames)) {
        memcpy(frames->control + frames->control_length, data, taken);
        frames->control_length += taken;
    } else if (place != data) {
        memmove(place, data, taken);
    }
    frames->left -= taken;
    return taken;
}

void sa_link__frames_take(sa_link__frames_t *frames, char *data, size_t *length, size_t *used)
{
    size_t size = *length;
    size_t in = 0;
    size_t out = 0;

    frames->ping = false;
    while (in < size && !frames->ping && !frames->close && !frames->error) {
        if (!frames->in_payload) {
            take_head(frames, data[in++]);
        } else {
            size_t taken = take_payload(frames, data + out, data + in, size - in);

            in += taken;
            out += is_control(frames) ? 0 : taken;
        }
        if (frames->in_payload && frames->left == 0 && !frames->error) {
            end_frame(frames);
        }
    }
    *length = out;
    *used = in;
}
