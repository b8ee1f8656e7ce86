/* cli, private: colour on a terminal, and texts that come from elsewhere. */
#ifndef SA_CLI_COLOUR_H
#define SA_CLI_COLOUR_H

#include <apr_pools.h>

typedef enum sa_cli_colour_t {
    SA_COLOUR_PLAIN, SA_COLOUR_GREEN, SA_COLOUR_YELLOW, SA_COLOUR_RED, SA_COLOUR_DIM,
    SA_COLOUR_BOLD
} sa_cli_colour_t;

/* What begins it, and with PLAIN ends it; "" where standard output is no terminal, or the
 * variable NO_COLOR is set. */
const char *sa_cli_colour(sa_cli_colour_t colour);

/* TEXT as one line that harms no terminal, in POOL: control characters and what is not UTF-8
 * become a dot. */
const char *sa_cli_line(const char *text, apr_pool_t *pool);

#endif
