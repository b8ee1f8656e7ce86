/* Text that comes from outside: is it UTF-8, and does it hold what does not show?
 *
 * Stateless; any thread. */
#ifndef SA_TEXT_H
#define SA_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The code point at TEXT, of which LENGTH bytes are there.  Returns its bytes, or 0 where
 * there is no UTF-8 (RFC 3629: nothing overlong, no surrogates, nothing past U+10FFFF); then
 * *POINT is left as it was. */
int sa_text_decode(uint32_t *point, const char *text, size_t length);

/* How many bytes of TEXT, from its beginning, are below 0x80: a quick step over what needs no
 * decoding. */
size_t sa_text_ascii(const char *text, size_t length);

/* Is TEXT the first bytes of a character, but not all of them? */
bool sa_text_is_beginning(const char *text, size_t length);

/* Does POINT end a line somewhere: U+000A to U+000D, U+0085, U+2028, U+2029? */
bool sa_text_ends_line(uint32_t point);

/* NULL, or what is wrong with TEXT as one line that a person can read: "is not UTF-8",
 * "holds a control character" (U+0000 to U+001F, U+007F to U+009F), "holds a line separator",
 * "holds a character that changes the direction of writing". */
const char *sa_text_fault(const char *text, size_t length);

#endif
