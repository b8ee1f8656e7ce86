/* What is wrong with a certificate: one judgement for every TLS connection, whichever library
 * makes it, so that each fault is named in the same words and mended in the same way.
 *
 * OpenSSL's types come as void pointers: who includes this need not know them. */
#ifndef SA_HTTP_TLS_H
#define SA_HTTP_TLS_H

#include <stdbool.h>

#include "sa_error.h"

/* The least version that is spoken, in the order of the setting's choices. */
typedef enum sa_http_tls_version_t { SA_HTTP_TLS_1_2, SA_HTTP_TLS_1_3 } sa_http_tls_version_t;

typedef enum sa_http_tls_fault_t {
    SA_HTTP_TLS_NONE,
    SA_HTTP_TLS_AUTHORITY,      /* nobody we trust signed it, or it signed itself */
    SA_HTTP_TLS_NAME,           /* it is for another name or address */
    SA_HTTP_TLS_EXPIRED,        /* or not valid yet */
    SA_HTTP_TLS_PURPOSE,        /* it must not be used for a server (extended key usage) */
    SA_HTTP_TLS_PIN,            /* its key is not the pinned one */
    SA_HTTP_TLS_VERSION,        /* the server speaks too old a TLS only */
    SA_HTTP_TLS_CLIENT_CERT,    /* the server wants a client certificate that it knows */
    SA_HTTP_TLS_FILES,          /* a file of ours cannot be used */
    SA_HTTP_TLS_NOT_SPOKEN,     /* what answers is no TLS */
    SA_HTTP_TLS_OTHER
} sa_http_tls_fault_t;

typedef struct sa_http_tls_verdict_t {
    sa_http_tls_fault_t fault;
    char words[256];            /* "certificate has expired (certificate /CN=x, wanted y)" */
} sa_http_tls_verdict_t;

/* What to judge by.  Lives as long as the handshake. */
typedef struct sa_http_tls_judge_t {
    const char *host;           /* the name or address that was wanted, for the words */
    const char *pins;           /* base64 of SHA-256, one or two with a blank between, or NULL */
    bool insecure;              /* believe any chain and any name; pins still count */
    sa_http_tls_version_t least;
    void *authorities;          /* STACK_OF(X509): one of them must be in the chain; or NULL */
    sa_http_tls_verdict_t verdict;
    bool judged;                /* the server's own certificate was looked at, and passed */
    const char *version;        /* "TLSv1.3", known then; it needs no freeing */
} sa_http_tls_judge_t;

/* For OpenSSL's verify callback (SSL_CTX_set_verify(3)): OK and CONTEXT (X509_STORE_CTX *) are
 * its arguments; returns what it is to return.  The first fault found is kept. */
int sa_http_tls_judge(sa_http_tls_judge_t *judge, int ok, void *context);

/* From a library's or an alert's words ("... alert unknown ca", "wrong version number"):
 * SA_HTTP_TLS_NONE if they say nothing. */
sa_http_tls_fault_t sa_http_tls_fault_of_words(const char *words);

#endif
