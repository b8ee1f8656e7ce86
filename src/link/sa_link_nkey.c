/* NKeys: a seed, and the public key that belongs to it.
 *
 * A seed is base32 (RFC 4648, no padding) of two prefix bytes, 32 bytes of
 * Ed25519 seed and a CRC-16 (XMODEM), little end first; a public key is the
 * same with one prefix byte (nkeys, strkey.go). */
#include "sa_link_private.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#define SEED_BYTES 36
#define SEED_TEXT SA_LINK_SEED
#define KEY_BYTES 35
#define RAW_BYTES 32
#define PREFIX_SEED (18 << 3)   /* 'S' */
#define PREFIX_USER (20 << 3)   /* 'U' */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

static unsigned int crc16(const unsigned char *data, size_t length)
{
    unsigned int crc = 0;

    for (size_t i = 0; i < length; i++) {
        crc ^= (unsigned int)data[i] << 8;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc & 0x8000u) ? (crc << 1) ^ 0x1021u : crc << 1;
        }
        crc &= 0xffffu;
    }
    return crc;
}

/* Decode TEXT, which must be exactly what LENGTH bytes encode to. */
static bool base32_decode(unsigned char *data, size_t length, const char *text)
{
    unsigned int bits = 0;
    int held = 0;
    size_t used = 0;

    for (; *text; text++) {
        const char *place = strchr(alphabet, *text);

        if (!place || used == length) {
            return false;
        }
        bits = (bits << 5) | (unsigned int)(place - alphabet);
        held += 5;
        if (held >= 8) {
            held -= 8;
            data[used++] = (unsigned char)(bits >> held);
        }
        bits &= (1u << held) - 1;
    }
    return used == length && bits == 0;
}

static void base32_encode(char *text, const unsigned char *data, size_t length)
{
    unsigned int bits = 0;
    int held = 0;

    for (size_t i = 0; i < length; i++) {
        bits = (bits << 8) | data[i];
        held += 8;
        while (held >= 5) {
            held -= 5;
            *text++ = alphabet[(bits >> held) & 31u];
        }
        bits &= (1u << held) - 1;
    }
    if (held > 0) {
        *text++ = alphabet[(bits << (5 - held)) & 31u];
    }
    *text = '\0';
}

static bool derive(unsigned char public_key[RAW_BYTES], const unsigned char seed[RAW_BYTES])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, RAW_BYTES);
    size_t length = RAW_BYTES;
    bool ok = false;

    if (key) {
        ok = EVP_PKEY_get_raw_public_key(key, public_key, &length) == 1 && length == RAW_BYTES;
    }
    EVP_PKEY_free(key);
    return ok;
}

static bool is_user_seed(const unsigned char data[SEED_BYTES])
{
    unsigned int prefix = (unsigned int)(data[0] & 7) << 5 | (unsigned int)(data[1] & 0xf8) >> 3;

    return (data[0] & 0xf8) == PREFIX_SEED && prefix == PREFIX_USER
        && crc16(data, SEED_BYTES - 2)
               == ((unsigned int)data[SEED_BYTES - 1] << 8 | data[SEED_BYTES - 2]);
}

sa_error_t *sa_link__nkey_public(char text[SA_LINK_NKEY + 1], const char *seed)
{
    unsigned char data[SEED_BYTES];
    unsigned char key[KEY_BYTES];
    unsigned int crc;
    bool ok = false;

    if (strlen(seed) == SEED_TEXT && base32_decode(data, sizeof(data), seed)
        && is_user_seed(data)) {
        ok = derive(key + 1, data + 2);
    }
    OPENSSL_cleanse(data, sizeof(data));
    if (!ok) {
        return sa_error(SA_ERR_FILE_CONTENT, NULL, "not the seed of a user (SU...)");
    }
    key[0] = PREFIX_USER;
    crc = crc16(key, KEY_BYTES - 2);
    key[KEY_BYTES - 2] = (unsigned char)(crc & 0xff);
    key[KEY_BYTES - 1] = (unsigned char)(crc >> 8);
    base32_encode(text, key, sizeof(key));
    return SA_OK;
}

sa_error_t *sa_link__nkey_create(char seed[SA_LINK_SEED + 1])
{
    unsigned char data[SEED_BYTES];
    unsigned int crc;

    data[0] = PREFIX_SEED | PREFIX_USER >> 5;
    data[1] = (PREFIX_USER & 31) << 3;
    if (RAND_priv_bytes(data + 2, RAW_BYTES) != 1) {
        return sa_error(SA_ERR_INTERNAL, NULL, "no random numbers for a key");
    }
    crc = crc16(data, SEED_BYTES - 2);
    data[SEED_BYTES - 2] = (unsigned char)(crc & 0xff);
    data[SEED_BYTES - 1] = (unsigned char)(crc >> 8);
    base32_encode(seed, data, sizeof(data));
    OPENSSL_cleanse(data, sizeof(data));
    return SA_OK;
}
