/* WebSocket's frames (RFC 6455, section 5), as a client needs them.  Pure: no socket, no clock,
 * no allocation; what comes from a server is not trusted.  Nobody outside of the link room. */
#ifndef SA_LINK_FRAME_H
#define SA_LINK_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most bytes that a header of ours takes (2, 8 of length, 4 of mask). */
#define SA_LINK_FRAME_HEAD 14
/* Payload of one frame that we send. */
#define SA_LINK_FRAME_DATA (64 * 1024)
#define SA_LINK_FRAME_CONTROL 125

typedef enum sa_link__opcode_t {
    SA_LINK_FRAME_CONTINUATION = 0x0, SA_LINK_FRAME_TEXT = 0x1, SA_LINK_FRAME_BINARY = 0x2,
    SA_LINK_FRAME_CLOSE = 0x8, SA_LINK_FRAME_PING = 0x9, SA_LINK_FRAME_PONG = 0xa
} sa_link__opcode_t;

/* Write the header of a final, masked frame of LENGTH bytes so that it ends at END (its bytes are
 * END[-size..-1]) and mask DATA[0..LENGTH) in place with KEY.  Returns the size of the header. */
size_t sa_link__frame_seal(char *end, sa_link__opcode_t opcode, char *data, size_t length,
                           uint32_t key);

/* What came, and what is to be done about it. */
typedef struct sa_link__frames_t {
    /* after each call */
    bool ping;                      /* one came: answer control[0..control_length) in a pong */
    bool close;                     /* the server's close came: nothing after it counts */
    unsigned int close_code;        /* 1005: it named none */
    char close_reason[SA_LINK_FRAME_CONTROL - 1];   /* printable, NUL-terminated */
    char control[SA_LINK_FRAME_CONTROL];
    size_t control_length;
    const char *error;              /* it broke a rule: which; the connection is to end (1002) */
    /* the decoder's own */
    unsigned char head[10];
    unsigned int head_length;
    unsigned int head_wanted;
    uint64_t left;                  /* of the current frame's payload */
    unsigned int opcode;
    bool final;
    bool in_message;                /* a fragmented one */
    bool in_payload;
} sa_link__frames_t;

void sa_link__frames_init(sa_link__frames_t *frames);
/* Decode DATA[0..*LENGTH) in place: payload of data frames is moved to the front, *LENGTH becomes
 * its size.  Stops behind a ping, so that each is answered; *USED says how many of the bytes were
 * taken: the rest is to be given again.  Binary messages only, no mask, no RSV bits, no
 * compression, minimal lengths, control frames whole and at most 125 bytes. */
void sa_link__frames_take(sa_link__frames_t *frames, char *data, size_t *length, size_t *used);

#endif
