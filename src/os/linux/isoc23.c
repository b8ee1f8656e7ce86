/* Three functions of a newer C library.
 *
 * nats.c's archive of a newer distribution calls them because its compiler
 * spoke C23; they differ from the old ones only in reading "0b101", which
 * nats.c never meets.  Built only where configure finds them missing. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

long __isoc23_strtol(const char *text, char **end, int base);
long long __isoc23_strtoll(const char *text, char **end, int base);
int __isoc23_sscanf(const char *text, const char *format, ...)
    __attribute__((format(scanf, 2, 3)));

long __isoc23_strtol(const char *text, char **end, int base)
{
    return strtol(text, end, base);
}

long long __isoc23_strtoll(const char *text, char **end, int base)
{
    return strtoll(text, end, base);
}

int __isoc23_sscanf(const char *text, const char *format, ...)
{
    va_list args;
    int count;

    va_start(args, format);
    count = vsscanf(text, format, args);
    va_end(args);
    return count;
}
