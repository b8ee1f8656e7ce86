/* cli: colour. */
#include "sa_cli_colour.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "sa_os_daemon.h"
#include "sa_text.h"

const char *sa_cli_colour(sa_cli_colour_t colour)
{
    static const char *const codes[] = {"\033[0m", "\033[32m", "\033[33m", "\033[31m", "\033[2m",
                                        "\033[1m"};
    const char *no_colour = getenv("NO_COLOR");

    return sa_os_console_is_terminal(false) && (!no_colour || !*no_colour) ? codes[colour] : "";
}

const char *sa_cli_line(const char *text, apr_pool_t *pool)
{
    size_t length = strlen(text);
    char *line = apr_palloc(pool, length + 1);
    size_t used = 0;

    for (size_t at = 0; at < length;) {
        uint32_t point = 0;
        int bytes = sa_text_decode(&point, text + at, length - at);

        if (bytes == 0 || point < 0x20 || (point >= 0x7f && point < 0xa0)) {
            line[used++] = point == '\n' || point == '\t' ? ' ' : '.';
            at += bytes > 0 ? (size_t)bytes : 1;
        } else {
            memcpy(line + used, text + at, (size_t)bytes);
            used += (size_t)bytes;
            at += (size_t)bytes;
        }
    }
    line[used] = '\0';
    return line;
}
