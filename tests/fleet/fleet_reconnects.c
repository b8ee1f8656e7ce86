/* One connection made and ended again and again: what is left behind? */
#include "fleet.h"

#include <string.h>

#include <apr_strings.h>
#include <cjson/cJSON.h>
#include <nats/nats.h>

#include "sa_time.h"

/* A first one that grows what is kept for good. */
#define WARM_UP 50
#define POINTS 4
/* What allocators keep of a thousand connections, by and by. */
#define GROWTH_KIB 1024
#define ASK_MS 5000

/* The system account of the server. */
typedef struct kicker_t {
    natsConnection *connection;
    char name[64];
} kicker_t;

static void must(natsStatus status, const char *what)
{
    if (status != NATS_OK) {
        fleet_fail("%s: %s", what, natsStatus_GetText(status));
    }
}

static cJSON *ask(kicker_t *kicker, const char *subject, const char *text)
{
    natsMsg *answer = NULL;
    cJSON *json;

    must(natsConnection_RequestString(&answer, kicker->connection, subject, text, ASK_MS),
         subject);
    json = cJSON_ParseWithLength(natsMsg_GetData(answer), (size_t)natsMsg_GetDataLength(answer));
    natsMsg_Destroy(answer);
    return json;
}

static const cJSON *connection_of(const cJSON *list, const char *name)
{
    const cJSON *each;

    cJSON_ArrayForEach(each, list) {
        const char *found = cJSON_GetStringValue(cJSON_GetObjectItem(each, "name"));

        if (found && strcmp(found, name) == 0) {
            return cJSON_GetObjectItem(each, "cid");
        }
    }
    return NULL;
}

/* Let the server drop the link ($SYS.REQ.SERVER.{id}.KICK, nats-server 2.10 and later). */
static void kick(kicker_t *kicker)
{
    cJSON *answer = ask(kicker, "$SYS.REQ.SERVER.PING.CONNZ", "{\"limit\":100}");
    const char *id = cJSON_GetStringValue(cJSON_GetObjectItem(
        cJSON_GetObjectItem(answer, "server"), "id"));
    const cJSON *cid = connection_of(cJSON_GetObjectItem(
        cJSON_GetObjectItem(answer, "data"), "connections"), kicker->name);
    char subject[128];
    char body[64];

    if (!id || !cid) {
        fleet_fail("the server does not name the connection of %s", kicker->name);
    }
    apr_snprintf(subject, sizeof(subject), "$SYS.REQ.SERVER.%s.KICK", id);
    apr_snprintf(body, sizeof(body), "{\"cid\":%ld}", (long)cid->valuedouble);
    cJSON_Delete(ask(kicker, subject, body));
    cJSON_Delete(answer);
}

static void turn(fleet_t *fleet, kicker_t *kicker, bool by_server)
{
    fleet_begin(fleet);
    if (by_server) {
        kick(kicker);
    } else {
        sa_link_renew(fleet->members[0].link);
    }
    if (!fleet_wait(fleet)) {
        fleet_fail("it did not connect again");
    }
}

static bool is_level(const process_facts_t *before, const process_facts_t *after)
{
    return after->threads <= before->threads && after->descriptors <= before->descriptors
        && after->rss_kib <= before->rss_kib + GROWTH_KIB;
}

/* What ended connections are rid of in their own time. */
static void read_settled(process_facts_t *facts, const process_facts_t *before)
{
    apr_interval_time_t deadline = sa_time_mono() + apr_time_from_sec(5);

    fleet_facts(facts);
    while (before && (facts->threads > before->threads || facts->descriptors > before->descriptors)
           && sa_time_mono() < deadline) {
        apr_sleep(apr_time_from_msec(20));
        fleet_facts(facts);
    }
}

static void run_turns(process_facts_t *after, const process_facts_t *before, fleet_t *fleet,
                      kicker_t *kicker)
{
    int step = fleet->reconnects / POINTS > 0 ? fleet->reconnects / POINTS : 1;

    for (int i = 1; i <= fleet->reconnects; i++) {
        turn(fleet, kicker, kicker->connection && i % 2 == 0);
        if (i % step == 0 || i == fleet->reconnects) {
            read_settled(after, before);
            printf("reconnects: %d threads=%ld descriptors=%ld rss_kib=%ld anonymous_kib=%ld "
                   "ms=%ld\n", i, after->threads, after->descriptors, after->rss_kib,
                   after->private_kib,
                   (long)apr_time_as_msec(fleet->members[0].up_at - fleet->began));
            fflush(stdout);
        }
    }
}

bool fleet_reconnects(fleet_t *fleet)
{
    kicker_t kicker = { NULL, "stone-age-agent/fleet-1" };
    process_facts_t before;
    process_facts_t after;

    if (!fleet_wait(fleet)) {
        fleet_fail("it did not connect");
    }
    if (fleet->kick) {
        must(natsConnection_ConnectTo(&kicker.connection, fleet->kick), fleet->kick);
    }
    for (int i = 0; i < WARM_UP; i++) {
        turn(fleet, &kicker, kicker.connection && i % 2 == 0);
    }
    read_settled(&before, NULL);
    after = before;
    printf("warm: threads=%ld descriptors=%ld rss_kib=%ld anonymous_kib=%ld\n", before.threads,
           before.descriptors, before.rss_kib, before.private_kib);
    run_turns(&after, &before, fleet, &kicker);
    natsConnection_Destroy(kicker.connection);
    return is_level(&before, &after);
}
