/* A bus that loses, delays, doubles, reorders, refuses and dies, in simulated
 * time and from a seed: the link room's symbols, linked instead. */
#ifndef FAKE_LINK_H
#define FAKE_LINK_H

#include <stdbool.h>

#include <apr_pools.h>
#include <apr_time.h>

/* Reports are called telemetry.a, telemetry.b and so on; more than these count as
 * one of them. */
#define FAKE_SUBJECTS 3

/* The bus and its stream live as long as POOL: longer than any link. */
void fake_bus_open(apr_uint64_t seed, apr_interval_time_t dedupe_window, apr_pool_t *pool);

/* The agent died: its link and everything on its way to it are gone. */
void fake_bus_forget_link(void);

/* Let something random happen to the bus. */
void fake_bus_shake(void);
/* Make everything well and leave it so. */
void fake_bus_heal(void);

/* When the bus next does something; SA_OS_NEVER: nothing is under way. */
apr_interval_time_t fake_bus_next(void);
/* Do what is due by NOW: arrivals, acknowledgements, connections. */
void fake_bus_advance(apr_interval_time_t now);

/* The role of this life may publish, but not ask what is stored. */
bool fake_bus_is_denied(void);

/* How often the stream holds, or held before all of it was deleted, the report
 * whose message id ends in SEQ; BOOT is the middle part of the id. */
int fake_stream_count(const char *boot, apr_int64_t seq);
/* How many different reports it has ever held. */
apr_uint64_t fake_stream_size(void);

#endif
