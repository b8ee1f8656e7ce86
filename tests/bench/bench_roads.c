/* A link on one road to the bus, which does as the agent does.
 *
 *     bench_roads NAME URL [CA_FILE]
 *
 * Answers NAME.ping: taken in nats.c's thread, answered in another.  Says "ready" when it is
 * connected.  Each line of standard input, COUNT BYTES, makes it publish that much to NAME.pour,
 * without acknowledgements, and print the microseconds until the server has it all; the end of
 * the input ends it. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <apr_file_io.h>
#include <apr_general.h>
#include <apr_strings.h>

#include "bench.h"
#include "sa_http.h"
#include "sa_link.h"
#include "sa_log.h"
#include "sa_os_file.h"
#include "sa_os_thread.h"
#include "sa_pool.h"
#include "sa_queue.h"
#include "sa_random.h"
#include "sa_stats.h"
#include "sa_time.h"

#define INBOX 64
#define PATIENCE apr_time_from_sec(30)
#define DRAIN apr_time_from_sec(2)

static const char answer[] = "{\"status\":\"pong\",\"ts\":\"2026-01-01T00:00:00Z\"}";

typedef struct road_t {
    apr_pool_t *pool;
    const char *name;
    sa_link_t *link;
    sa_queue_t *inbox;
    sa_queue_t *ups;
    char up;
} road_t;

static void must_ok(sa_error_t *err)
{
    char text[512];

    must_be(!err, err ? sa_error_text(err, text, sizeof(text)) : "");
}

static void on_message(void *baton, sa_link_message_t **message)
{
    road_t *road = baton;

    must_be(sa_queue_give(road->inbox, message), "the inbox is full");
}

static void on_edge(void *baton, bool up)
{
    road_t *road = baton;
    char *item = &road->up;

    if (up) {
        must_be(sa_queue_give(road->ups, &item), "it connects again and again");
    }
}

static void answer_all(void *baton)
{
    road_t *road = baton;
    sa_link_message_t *message = sa_queue_take(road->inbox, SA_OS_NEVER);

    while (message) {
        must_ok(sa_link_publish(road->link, sa_link_message_reply(message), NULL, answer,
                                sizeof(answer) - 1));
        sa_link_message_destroy(message);
        message = sa_queue_take(road->inbox, SA_OS_NEVER);
    }
}

static void start(road_t *road, const char *url, const char *ca_file)
{
    const char *text = apr_psprintf(road->pool, "code: %s\nnats:\n  urls: [\"%s\"]\n"
                                    "  connect_spread: 0s\n  auth: {type: none}\n%s%s%s",
                                    road->name, url, ca_file ? "  tls: {ca_file: \"" : "",
                                    ca_file ? ca_file : "", ca_file ? "\"}\n" : "");
    sa_config_source_t source = { NULL, NULL };
    apr_array_header_t *complaints;
    sa_config_t *config;
    const char *temp;
    char random[13];

    must_be(apr_temp_dir_get(&temp, road->pool) == APR_SUCCESS, "temporary folder");
    sa_random_text(random, sizeof(random) - 1);
    source.file = apr_pstrcat(road->pool, temp, "/bench-road-", random, ".yaml", NULL);
    must_ok(sa_os_file_write_private(source.file, text, strlen(text), road->pool));
    must_ok(sa_config_load(&config, &complaints, &source, road->pool));
    (void)apr_file_remove(source.file, road->pool);
    must_ok(sa_link_start(road->link, config));
    must_be(sa_queue_take(road->ups, sa_time_mono() + PATIENCE) != NULL, url);
}

static void pour(road_t *road, long count, long length)
{
    const char *subject = apr_pstrcat(road->pool, road->name, ".pour", NULL);
    char *data = malloc((size_t)length);
    apr_interval_time_t began = sa_time_mono();

    memset(data, 'x', (size_t)length);
    for (long i = 0; i < count; i++) {
        must_ok(sa_link_publish(road->link, subject, NULL, data, (size_t)length));
    }
    must_ok(sa_link_probe(road->link, PATIENCE));
    printf("%ld\n", (long)(sa_time_mono() - began));
    fflush(stdout);
    free(data);
}

static void obey(road_t *road)
{
    char line[64];
    char *rest;
    long count;

    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        count = strtol(line, &rest, 10);
        pour(road, count, strtol(rest, NULL, 10));
    }
}

static void open_libraries(road_t *road)
{
    static const sa_log_settings_t settings = { .level = SA_LEVEL_warn, .format = SA_LOG_TEXT };

    apr_initialize();
    road->pool = sa_pool_create_root();
    sa_stats_init(road->pool);
    must_ok(sa_log_open(&settings, road->pool));
    must_ok(sa_http_library_open());
    must_ok(sa_link_library_open());
}

int main(int argc, char **argv)
{
    road_t road = { .name = argc > 1 ? argv[1] : NULL };
    sa_os_thread_t *thread;

    must_be(argc == 3 || argc == 4, "bench_roads NAME URL [CA_FILE]");
    signal(SIGPIPE, SIG_IGN);
    open_libraries(&road);
    road.inbox = sa_queue_create(INBOX, road.pool);
    road.ups = sa_queue_create(INBOX, road.pool);
    must_ok(sa_link_create(&road.link, road.pool));
    sa_link_on_edge(road.link, on_edge, &road);
    sa_link_subscribe(road.link, apr_pstrcat(road.pool, road.name, ".ping", NULL), false,
                      on_message, &road);
    must_be(sa_os_thread_start(&thread, "answer", answer_all, &road, road.pool) == APR_SUCCESS,
            "thread");
    start(&road, argv[2], argv[3]);
    obey(&road);
    sa_link_stop(road.link, DRAIN);
    sa_queue_close(road.inbox);
    sa_os_thread_join(thread);
    sa_link_library_close();
    sa_http_library_close();
    sa_log_close();
    apr_pool_destroy(road.pool);
    return EXIT_SUCCESS;
}
