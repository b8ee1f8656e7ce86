/* command: the ids of requests that were taken in the last ten minutes, so that one that
 * comes twice runs once.
 *
 * A ring of hashes, newest last.  Whoever sends more than it holds in that time can make an
 * old one be forgotten, and could as well send a new request. */
#include "sa_command_private.h"

#include "sa_random.h"
#include "sa_time.h"

#define IDS 4096
#define KEPT apr_time_from_sec(600)

typedef struct seen_t {
    apr_uint64_t hash;
    apr_interval_time_t at;
} seen_t;

struct sa_command__ids_t {
    apr_uint64_t seed;          /* nobody outside can make two ids alike */
    seen_t *ring;
    size_t next;
    size_t count;
};

sa_command__ids_t *sa_command__ids_create(apr_pool_t *pool)
{
    sa_command__ids_t *ids = apr_pcalloc(pool, sizeof(*ids));
    sa_random_t random;

    sa_random_init(&random);
    ids->seed = sa_random_below(&random, APR_UINT64_MAX);
    ids->ring = apr_pcalloc(pool, IDS * sizeof(*ids->ring));
    return ids;
}

/* FNV-1a (Fowler, Noll, Vo), begun with the seed, its bits mixed at the end. */
static apr_uint64_t hash_of(const sa_command__ids_t *ids, const char *id)
{
    apr_uint64_t hash = APR_UINT64_C(0xcbf29ce484222325) ^ ids->seed;

    for (; *id; id++) {
        hash ^= (unsigned char)*id;
        hash *= APR_UINT64_C(0x100000001b3);
        hash ^= hash >> 29;
    }
    return hash;
}

bool sa_command__ids_has(const sa_command__ids_t *ids, const char *id)
{
    apr_uint64_t hash = hash_of(ids, id);
    apr_interval_time_t since = sa_time_mono() - KEPT;

    for (size_t i = 1; i <= ids->count; i++) {
        const seen_t *seen = &ids->ring[(ids->next + IDS - i) % IDS];

        if (seen->at < since) {
            break;
        }
        if (seen->hash == hash) {
            return true;
        }
    }
    return false;
}

void sa_command__ids_add(sa_command__ids_t *ids, const char *id)
{
    ids->ring[ids->next] = (seen_t){ hash_of(ids, id), sa_time_mono() };
    ids->next = (ids->next + 1) % IDS;
    ids->count += ids->count < IDS ? 1 : 0;
}
