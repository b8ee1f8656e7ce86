/* base: text from outside. */
#include "sa_text.h"

#include <string.h>

/* How many bytes begin with FIRST, and the smallest code point that needs them. */
static int length_of(unsigned char first, uint32_t *least)
{
    if (first < 0x80) {
        *least = 0;
        return 1;
    }
    if (first >= 0xC2 && first < 0xE0) {
        *least = 0x80;
        return 2;
    }
    if (first >= 0xE0 && first < 0xF0) {
        *least = 0x800;
        return 3;
    }
    *least = 0x10000;
    return first >= 0xF0 && first < 0xF5 ? 4 : 0;
}

int sa_text_decode(uint32_t *point, const char *text, size_t length)
{
    static const unsigned char first_bits[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t found;
    uint32_t least;
    int count = length > 0 ? length_of((unsigned char)text[0], &least) : 0;

    if (count == 0 || (size_t)count > length) {
        return 0;
    }
    found = (unsigned char)text[0] & first_bits[count];
    for (int i = 1; i < count; i++) {
        unsigned char c = (unsigned char)text[i];

        if ((c & 0xC0) != 0x80) {
            return 0;
        }
        found = found << 6 | (c & 0x3F);
    }
    if (found < least || found > 0x10FFFF || (found >= 0xD800 && found <= 0xDFFF)) {
        return 0;
    }
    *point = found;
    return count;
}

size_t sa_text_ascii(const char *text, size_t length)
{
    size_t at = 0;
    uint64_t eight;

    while (length - at >= sizeof(eight)) {
        memcpy(&eight, text + at, sizeof(eight));
        if (eight & UINT64_C(0x8080808080808080)) {
            break;
        }
        at += sizeof(eight);
    }
    while (at < length && (unsigned char)text[at] < 0x80) {
        at++;
    }
    return at;
}

bool sa_text_is_beginning(const char *text, size_t length)
{
    uint32_t least;
    uint32_t point;
    int count = length > 0 ? length_of((unsigned char)text[0], &least) : 0;

    if ((size_t)count <= length) {
        return false;
    }
    /* some first bytes allow only low second ones, some only high ones */
    for (int end = 0x80; end <= 0xBF; end += 0x3F) {
        char whole[4];

        memset(whole, end, sizeof(whole));
        memcpy(whole, text, length);
        if (sa_text_decode(&point, whole, (size_t)count) > 0) {
            return true;
        }
    }
    return false;
}

bool sa_text_ends_line(uint32_t point)
{
    return (point >= 0x0A && point <= 0x0D) || point == 0x85 || point == 0x2028 || point == 0x2029;
}

const char *sa_text_fault(const char *text, size_t length)
{
    size_t i = 0;

    while (i < length) {
        uint32_t point;
        int count = sa_text_decode(&point, text + i, length - i);

        if (count == 0) {
            return "is not UTF-8";
        }
        if (point < 0x20 || (point >= 0x7F && point <= 0x9F)) {
            return "holds a control character";
        }
        if (sa_text_ends_line(point)) {
            return "holds a line separator";
        }
        if ((point >= 0x202A && point <= 0x202E) || (point >= 0x2066 && point <= 0x2069)) {
            return "holds a character that changes the direction of writing";
        }
        i += (size_t)count;
    }
    return NULL;
}
