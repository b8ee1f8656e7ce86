/* What the programs of `make bench` share: they end at the first failure. */
#ifndef BENCH_H
#define BENCH_H

#include <stdio.h>
#include <stdlib.h>

#include <nats/nats.h>

static inline void must(natsStatus status, const char *what)
{
    if (status != NATS_OK) {
        fprintf(stderr, "bench: %s: %s\n", what, natsStatus_GetText(status));
        exit(EXIT_FAILURE);
    }
}

static inline void must_be(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "bench: %s\n", what);
        exit(EXIT_FAILURE);
    }
}

#endif
