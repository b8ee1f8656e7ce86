/* TLS over nats.c: whose authorities a context begins with.
 *
 * nats.c has each new context read the system's authorities (SSL_CTX_set_default_verify_paths(3)),
 * with each connection: some 20 ms and 0.9 MB, for nothing where nats.tls.ca_file is trusted
 * instead.  Where the linker can (ld(1), --wrap; configure tries), the calls of what is linked
 * statically come here; those of shared libraries do not.  Where it cannot, nats.c goes on
 * reading them, and sa_link_tls.c does not count them either way. */
#include "sa_link_private.h"

#include <openssl/ssl.h>

static _Thread_local bool is_left_out;

void sa_link__tls_leave_out_system(bool leave_out)
{
    is_left_out = leave_out;
}

#ifdef SA_HAVE_WRAP
int __real_SSL_CTX_set_default_verify_paths(SSL_CTX *context);
int __wrap_SSL_CTX_set_default_verify_paths(SSL_CTX *context);

int __wrap_SSL_CTX_set_default_verify_paths(SSL_CTX *context)
{
    return is_left_out ? 1 : __real_SSL_CTX_set_default_verify_paths(context);
}
#endif
