/* mesh: the little of a certificate that concerns us: whose addresses it is for, and until
 * when.
 *
 * Nebula's version 2 (cert/cert_v2.asn1 of its sources) is DER in PEM:
 *   Certificate ::= SEQUENCE { details [0], ... }
 *   details [0] { name [0], networks [1] SEQUENCE OF OCTET STRING, unsafeNetworks [2],
 *                 groups [3], isCA [4], notBefore [5] INTEGER, notAfter [6] INTEGER, ... }
 * A network is its address (4 or 16 bytes) and one byte, the length of the prefix; times
 * are seconds since 1970.  Read here and not by nebula-cert(1), which is another program that
 * need not be there.  Nothing is verified: that is Nebula's own to do. */
#include "sa_mesh_private.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <apr_strings.h>

#include "sa_buf.h"

#define BEGIN "-----BEGIN NEBULA CERTIFICATE V2-----"
#define END "-----END NEBULA CERTIFICATE V2-----"
#define BYTES_MAX 8192
#define NETWORKS_BYTES 1024

#define TAG_SEQUENCE 0x30
#define TAG_OCTETS 0x04
#define TAG_DETAILS 0xa0
#define TAG_NETWORKS 0xa1
#define TAG_NOT_AFTER 0x86

typedef struct der_t {
    const unsigned char *at;
    size_t left;
} der_t;

static sa_error_t *unreadable(const char *what)
{
    return sa_error(SA_ERR_FILE_CONTENT, NULL, "pki.cert: %s", what);
}

/* ---- base64 ------------------------------------------------------------------------------ */

static int digit_of(char c)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c ? strchr(digits, c) : NULL;

    return found ? (int)(found - digits) : -1;
}

/* What stands between BEGIN and its end; false: something that is no base64, or too much. */
static bool decode(unsigned char *bytes, size_t *length, const char *from, const char *to)
{
    unsigned int bits = 0;
    int have = 0;
    bool padded = false;

    *length = 0;
    for (; from < to; from++) {
        int digit = digit_of(*from);

        if (*from == '\n' || *from == '\r' || *from == ' ') {
            continue;
        }
        padded = padded || *from == '=';
        if (padded && *from == '=') {
            continue;
        }
        if (digit < 0 || padded || *length == BYTES_MAX) {
            return false;
        }
        bits = (bits << 6 | (unsigned int)digit) & 0xffffff;
        have += 6;
        if (have >= 8) {
            have -= 8;
            bytes[*length] = (unsigned char)(bits >> have);
            (*length)++;
        }
    }
    return *length > 0;
}

/* ---- DER ------------------------------------------------------------------------------------ */

/* Take the next element off DER; false: there is none, or it is cut off. */
static bool take(unsigned char *tag, der_t *value, der_t *der)
{
    size_t length;
    size_t head = 2;

    if (der->left < 2) {
        return false;
    }
    *tag = der->at[0];
    length = der->at[1];
    if (length >= 0x80) {
        size_t count = length & 0x7f;

        if (count == 0 || count > 2 || der->left < 2 + count) {
            return false;
        }
        length = 0;
        for (size_t i = 0; i < count; i++) {
            length = length << 8 | der->at[2 + i];
        }
        head += count;
    }
    if (der->left - head < length) {
        return false;
    }
    value->at = der->at + head;
    value->left = length;
    der->at += head + length;
    der->left -= head + length;
    return true;
}

/* The element of TAG, in the ones of DER. */
static bool find(der_t *value, der_t der, unsigned char tag)
{
    unsigned char found;

    while (take(&found, value, &der)) {
        if (found == tag) {
            return true;
        }
    }
    return false;
}

static const char *address_text(const unsigned char *bytes, size_t length, apr_pool_t *pool)
{
    char text[SA_MESH_ADDRESS];
    size_t used = 0;

    if (length == 4) {
        return apr_psprintf(pool, "%u.%u.%u.%u", bytes[0], bytes[1], bytes[2], bytes[3]);
    }
    /* not shortened: for comparing and for the system's own functions any form will do */
    for (size_t i = 0; i < 16; i += 2) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%x", i > 0 ? ":" : "",
                                 (unsigned int)bytes[i] << 8 | bytes[i + 1]);
    }
    return apr_pstrdup(pool, text);
}

static sa_error_t *read_networks(sa_mesh__certificate_t *certificate, der_t networks,
                                 apr_pool_t *pool)
{
    sa_buf_t *text = apr_palloc(pool, sizeof(*text));
    unsigned char tag;
    der_t network;

    sa_buf_init(text, NETWORKS_BYTES, pool);
    while (take(&tag, &network, &networks)) {
        const char *address;

        if (tag != TAG_OCTETS || (network.left != 5 && network.left != 17)) {
            return unreadable("its networks are none");
        }
        address = address_text(network.at, network.left - 1, pool);
        if (!certificate->overlay_ip) {
            certificate->overlay_ip = address;
        }
        if (!sa_buf_printf(text, "%s%s/%u", text->length > 0 ? " " : "", address,
                           network.at[network.left - 1])) {
            return unreadable("too many networks");
        }
    }
    if (!certificate->overlay_ip) {
        return unreadable("it is for no network");
    }
    certificate->networks = text->data;
    return SA_OK;
}

static sa_error_t *read_expiry(sa_mesh__certificate_t *certificate, der_t number)
{
    apr_int64_t seconds = 0;

    if (number.left == 0 || number.left > 6 || number.at[0] >= 0x80) {
        return unreadable("the end of its time is none");
    }
    for (size_t i = 0; i < number.left; i++) {
        seconds = seconds << 8 | number.at[i];
    }
    if (seconds > APR_INT64_MAX / APR_USEC_PER_SEC) {
        seconds = APR_INT64_MAX / APR_USEC_PER_SEC;
    }
    certificate->expires = apr_time_from_sec(seconds);
    return SA_OK;
}

sa_error_t *sa_mesh__certificate_read(bool *found, sa_mesh__certificate_t *certificate,
                                      const char *text, apr_pool_t *pool)
{
    const char *begin = strstr(text, BEGIN);
    const char *end = begin ? strstr(begin, END) : NULL;
    unsigned char *bytes;
    der_t der;
    der_t part;
    unsigned char tag;

    memset(certificate, 0, sizeof(*certificate));
    *found = begin != NULL;
    if (!begin) {
        return SA_OK;
    }
    bytes = apr_palloc(pool, BYTES_MAX);
    if (!end || !decode(bytes, &der.left, begin + strlen(BEGIN), end)) {
        return unreadable("not a certificate in PEM");
    }
    der.at = bytes;
    if (!take(&tag, &part, &der) || tag != TAG_SEQUENCE || !find(&der, part, TAG_DETAILS)) {
        return unreadable("not a certificate of version 2");
    }
    if (!find(&part, der, TAG_NETWORKS)) {
        return unreadable("it is for no network");
    }
    SA_TRY(read_networks(certificate, part, pool));
    if (!find(&part, der, TAG_NOT_AFTER)) {
        return unreadable("it has no end");
    }
    return read_expiry(certificate, part);
}
