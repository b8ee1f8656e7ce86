/* What the link's tests share: a link, its log in a file, and counters. */
#ifndef TEST_LINK_FIXTURE_H
#define TEST_LINK_FIXTURE_H

#include "sa_test.h"

#include "sa_config.h"
#include "sa_link.h"
#include "sa_os_thread.h"
#include "sa_queue.h"
#include "sa_test_server.h"

/* Long enough for a loaded machine; what must be quick is measured. */
#define LIMIT apr_time_from_sec(30)

typedef struct fixture_t {
    apr_pool_t *pool;
    const char *dir;
    const char *log_path;
    sa_link_t *link;
    sa_os_mutex_t *mutex;
    int ups;
    int downs;
    bool is_up;
    bool out_of_order;          /* two ups or two downs in a row */
    sa_queue_t *messages;       /* of sa_link_message_t: what the subscriptions got */
    sa_queue_t *acks;           /* the same, for answers */
    apr_uint64_t last_token;
} fixture_t;

/* Opens the library and the log, makes a link with edge and ack callbacks. */
fixture_t *fixture_open(apr_pool_t *pool);
/* Another link beside an open one; leave it before the first is closed. */
fixture_t *fixture_join(apr_pool_t *pool);
void fixture_leave(fixture_t *fixture);
/* The configuration NATS (lines below "nats:", indented by two). */
sa_config_t *fixture_config(fixture_t *fixture, const char *nats);
/* The same for one server and quick attempts, with MORE lines. */
sa_config_t *fixture_config_for(fixture_t *fixture, const char *url, const char *more);
/* Subscribe to SUBJECT; what comes goes to `messages`. */
void fixture_subscribe(fixture_t *fixture, const char *subject, bool optional);
void fixture_start(fixture_t *fixture, const sa_config_t *config);
/* Stop, destroy, close. */
void fixture_close(fixture_t *fixture);

void fixture_wait_ups(fixture_t *fixture, int count);
void fixture_wait_downs(fixture_t *fixture, int count);
/* Wait for a line of the log with both. */
void fixture_wait_log(fixture_t *fixture, const char *event, const char *text);
/* How many lines have both. */
int fixture_count_log(fixture_t *fixture, const char *event, const char *text);
/* The next message; NULL after a second of silence. */
sa_link_message_t *fixture_take(sa_queue_t *queue);
/* Take an answer and read it. */
sa_link_ack_t fixture_ack(fixture_t *fixture);
/* The number of open descriptors, and of threads, of this process. */
int fixture_descriptors(fixture_t *fixture);
int fixture_threads(fixture_t *fixture);

/* Ask JetStream for something and read its answer as an acknowledgement. */
void fixture_api(fixture_t *fixture, const char *subject, const char *json);

#endif
