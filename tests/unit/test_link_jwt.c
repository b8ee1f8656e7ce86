/* JWTs and NKeys for the link's tests: see the header. */
#include "test_link_jwt.h"

#include <string.h>

#include <apr_general.h>
#include <apr_strings.h>
#include <apr_time.h>
#include <check.h>
#include <openssl/evp.h>

static void encode32(char *text, const unsigned char *data, size_t length)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    unsigned int bits = 0;
    int held = 0;

    for (size_t i = 0; i < length; i++) {
        bits = (bits << 8) | data[i];
        held += 8;
        while (held >= 5) {
            held -= 5;
            *text++ = alphabet[(bits >> held) & 31u];
        }
    }
    if (held > 0) {
        *text++ = alphabet[(bits << (5 - held)) & 31u];
    }
    *text = '\0';
}

static void seal(char *text, unsigned char *data, size_t length)
{
    unsigned int crc = 0;

    for (size_t i = 0; i < length; i++) {
        crc ^= (unsigned int)data[i] << 8;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc & 0x8000u) ? ((crc << 1) ^ 0x1021u) & 0xffffu : (crc << 1) & 0xffffu;
        }
    }
    data[length] = (unsigned char)(crc & 0xff);
    data[length + 1] = (unsigned char)(crc >> 8);
    encode32(text, data, length + 2);
}

void identity_create(identity_t *identity, char kind)
{
    unsigned int prefix = kind == 'O' ? 14u << 3 : kind == 'A' ? 0 : 20u << 3;
    unsigned char seed[36];
    unsigned char key[35];
    size_t length = 32;
    EVP_PKEY *pair;

    seed[0] = (unsigned char)(18u << 3 | prefix >> 5);
    seed[1] = (unsigned char)((prefix & 31u) << 3);
    ck_assert_int_eq(apr_generate_random_bytes(seed + 2, 32), APR_SUCCESS);
    key[0] = (unsigned char)prefix;
    pair = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed + 2, 32);
    ck_assert_int_eq(EVP_PKEY_get_raw_public_key(pair, key + 1, &length), 1);
    EVP_PKEY_free(pair);
    memcpy(identity->secret, seed + 2, 32);
    seal(identity->seed, seed, 34);
    seal(identity->public_key, key, 33);
}

static const char *encode64(const void *data, size_t length, apr_pool_t *pool)
{
    char *text = apr_palloc(pool, length * 4 / 3 + 8);
    int used = EVP_EncodeBlock((unsigned char *)text, data, (int)length);

    while (used > 0 && text[used - 1] == '=') {
        used--;
    }
    text[used] = '\0';
    for (char *c = text; *c; c++) {
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    }
    return text;
}

/* Not nats_Sign(): it knows no operators. */
static const char *sign(const identity_t *issuer, const char *text, apr_pool_t *pool)
{
    EVP_PKEY *pair = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, issuer->secret, 32);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char signature[64];
    size_t length = sizeof(signature);

    ck_assert_int_eq(EVP_DigestSignInit(context, NULL, NULL, NULL, pair), 1);
    ck_assert_int_eq(EVP_DigestSign(context, signature, &length, (const unsigned char *)text,
                                    strlen(text)), 1);
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(pair);
    return encode64(signature, length, pool);
}

const char *jwt_make(const identity_t *issuer, const identity_t *subject, apr_int64_t expires,
                     const char *claims, apr_pool_t *pool)
{
    static const char header[] = "{\"typ\":\"JWT\",\"alg\":\"ed25519-nkey\"}";
    const char *body = apr_psprintf(
        pool, "{\"jti\":\"%s\",\"iat\":%" APR_TIME_T_FMT ",\"iss\":\"%s\",\"name\":\"test\","
        "\"sub\":\"%s\",%s\"nats\":%s}", subject->public_key, apr_time_sec(apr_time_now()),
        issuer->public_key, subject->public_key,
        expires > 0 ? apr_psprintf(pool, "\"exp\":%" APR_INT64_T_FMT ",", expires) : "", claims);
    const char *text = apr_pstrcat(pool, encode64(header, strlen(header), pool), ".",
                                   encode64(body, strlen(body), pool), NULL);

    return apr_pstrcat(pool, text, ".", sign(issuer, text, pool), NULL);
}

const char *creds_make(const char *jwt, const identity_t *user, apr_pool_t *pool)
{
    return apr_pstrcat(pool, "-----BEGIN NATS USER JWT-----\n", jwt,
                       "\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n",
                       user->seed, "\n------END USER NKEY SEED------\n", NULL);
}

void realm_start(realm_t *realm, const char *account_claims, apr_pool_t *pool)
{
    identity_create(&realm->operator_, 'O');
    identity_create(&realm->account, 'A');
    realm->server = sa_test_server_start(apr_psprintf(
        pool, "operator: %s\nresolver: MEMORY\nresolver_preload: { %s: %s }\n",
        jwt_make(&realm->operator_, &realm->operator_, 0, OPERATOR, pool),
        realm->account.public_key,
        jwt_make(&realm->operator_, &realm->account, 0, account_claims, pool)), 0, pool);
}

const char *realm_user(realm_t *realm, apr_int64_t expires, const char *claims, apr_pool_t *pool)
{
    identity_t user;

    identity_create(&user, 'U');
    return creds_make(jwt_make(&realm->account, &user, expires, claims, pool), &user, pool);
}
