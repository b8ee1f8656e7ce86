/* base, private: what is UTF-8. */
#ifndef SA_JSON_PRIVATE_H
#define SA_JSON_PRIVATE_H

/* Bytes of the UTF-8 sequence at TEXT, which ends with a NUL, or 0 if it is none
 * (RFC 3629). */
int sa_json__utf8_length(const unsigned char *text);

#endif
