/* What the link's tests share: see the header. */
#include "test_link_fixture.h"

#include <apr_file_io.h>
#include <apr_strings.h>

#include "sa_log.h"
#include "sa_time.h"

static void on_edge(void *baton, bool up)
{
    fixture_t *fixture = baton;

    sa_os_mutex_lock(fixture->mutex);
    if (up == fixture->is_up) {
        fixture->out_of_order = true;
    }
    fixture->is_up = up;
    fixture->ups += up ? 1 : 0;
    fixture->downs += up ? 0 : 1;
    sa_os_mutex_unlock(fixture->mutex);
}

static void on_ack(void *baton, apr_uint64_t token, sa_link_message_t **message)
{
    fixture_t *fixture = baton;

    sa_os_mutex_lock(fixture->mutex);
    fixture->last_token = token;
    sa_os_mutex_unlock(fixture->mutex);
    sa_queue_give(fixture->acks, message);
}

static void on_message(void *baton, sa_link_message_t **message)
{
    fixture_t *fixture = baton;

    sa_queue_give(fixture->messages, message);
}

fixture_t *fixture_join(apr_pool_t *pool)
{
    fixture_t *fixture = apr_pcalloc(pool, sizeof(*fixture));

    fixture->pool = pool;
    fixture->dir = sa_test_dir(pool);
    fixture->log_path = apr_pstrcat(pool, fixture->dir, "/log", NULL);
    fixture->mutex = sa_os_mutex_create(pool);
    fixture->messages = sa_queue_create(1024, pool);
    fixture->acks = sa_queue_create(1024, pool);
    SA_ASSERT_OK(sa_link_create(&fixture->link, pool));
    sa_link_on_edge(fixture->link, on_edge, fixture);
    sa_link_on_ack(fixture->link, on_ack, fixture);
    return fixture;
}

fixture_t *fixture_open(apr_pool_t *pool)
{
    sa_log_settings_t settings = { .level = SA_LEVEL_debug, .format = SA_LOG_JSON };
    fixture_t *fixture;

    SA_ASSERT_OK(sa_link_library_open());
    fixture = fixture_join(pool);
    settings.path = fixture->log_path;
    SA_ASSERT_OK(sa_log_open(&settings, pool));
    return fixture;
}

sa_config_t *fixture_config(fixture_t *fixture, const char *nats)
{
    const char *text = apr_pstrcat(fixture->pool, "code: t1\nnats:\n", nats, NULL);
    sa_config_source_t source = { 0 };
    apr_array_header_t *complaints;
    sa_config_t *config;
    sa_error_t *err;

    source.file = sa_test_file(fixture->dir, "agent.yaml", text, 0600, fixture->pool);
    err = sa_config_load(&config, &complaints, &source, fixture->pool);
    for (int i = 0; err && i < complaints->nelts; i++) {
        fprintf(stderr, "%s\n", sa_complaint_format(
                    &APR_ARRAY_IDX(complaints, i, sa_complaint_t), fixture->pool));
    }
    SA_ASSERT_OK(err);
    return config;
}

sa_config_t *fixture_config_for(fixture_t *fixture, const char *url, const char *more)
{
    return fixture_config(fixture, apr_pstrcat(fixture->pool, "  urls: [\"", url, "\"]\n"
                                               "  connect_spread: 0s\n"
                                               "  reconnect_wait: 20ms\n"
                                               "  reconnect_max: 50ms\n", more, NULL));
}

void fixture_subscribe(fixture_t *fixture, const char *subject, bool optional)
{
    sa_link_subscribe(fixture->link, subject, optional, on_message, fixture);
}

void fixture_start(fixture_t *fixture, const sa_config_t *config)
{
    SA_ASSERT_OK(sa_link_start(fixture->link, config));
}

static void drain(sa_queue_t *queue)
{
    sa_link_message_t *message = sa_queue_try_take(queue);

    while (message) {
        sa_link_message_destroy(message);
        message = sa_queue_try_take(queue);
    }
}

void fixture_leave(fixture_t *fixture)
{
    sa_link_stop(fixture->link, apr_time_from_sec(1));
    ck_assert_msg(!fixture->out_of_order, "edges do not come in pairs");
    ck_assert_int_eq(fixture->ups, fixture->downs);
    drain(fixture->messages);
    drain(fixture->acks);
}

void fixture_close(fixture_t *fixture)
{
    fixture_leave(fixture);
    sa_link_library_close();
    sa_log_close();
}

typedef struct count_t {
    fixture_t *fixture;
    int *counter;
    int wanted;
    const char *event;
    const char *text;
} count_t;

static bool has_counted(void *baton)
{
    count_t *count = baton;
    bool done;

    sa_os_mutex_lock(count->fixture->mutex);
    done = *count->counter >= count->wanted;
    sa_os_mutex_unlock(count->fixture->mutex);
    return done;
}

static void wait_count(fixture_t *fixture, int *counter, int wanted, const char *what)
{
    count_t count = { fixture, counter, wanted, NULL, NULL };

    ck_assert_msg(sa_test_wait(has_counted, &count, LIMIT), "%d of %d %s; log:\n%s", *counter,
                  wanted, what, sa_test_read(fixture->log_path, fixture->pool));
}

void fixture_wait_ups(fixture_t *fixture, int count)
{
    wait_count(fixture, &fixture->ups, count, "ups");
}

void fixture_wait_downs(fixture_t *fixture, int count)
{
    wait_count(fixture, &fixture->downs, count, "downs");
}

int fixture_count_log(fixture_t *fixture, const char *event, const char *text)
{
    apr_pool_t *pool = sa_pool_create_root();
    char *line = apr_pstrdup(pool, sa_test_read(fixture->log_path, pool));
    const char *name = apr_pstrcat(pool, "\"", event, "\"", NULL);
    int count = 0;
    char *end;

    while (*line) {
        end = strchr(line, '\n');
        if (!end) {
            break;
        }
        *end = '\0';
        count += strstr(line, name) && strstr(line, text) ? 1 : 0;
        line = end + 1;
    }
    apr_pool_destroy(pool);
    return count;
}

static bool has_logged(void *baton)
{
    count_t *count = baton;

    return fixture_count_log(count->fixture, count->event, count->text) > 0;
}

void fixture_wait_log(fixture_t *fixture, const char *event, const char *text)
{
    count_t count = { fixture, NULL, 0, event, text };

    ck_assert_msg(sa_test_wait(has_logged, &count, LIMIT), "no %s with \"%s\" in the log:\n%s",
                  event, text, sa_test_read(fixture->log_path, fixture->pool));
}

sa_link_message_t *fixture_take(sa_queue_t *queue)
{
    return sa_queue_take(queue, sa_time_mono() + apr_time_from_sec(1));
}

sa_link_ack_t fixture_ack(fixture_t *fixture)
{
    sa_link_message_t *message = sa_queue_take(fixture->acks, sa_time_mono() + LIMIT);
    sa_link_ack_t ack;

    ck_assert_msg(message != NULL, "no answer");
    sa_link_read_ack(&ack, message);
    sa_link_message_destroy(message);
    return ack;
}

void fixture_api(fixture_t *fixture, const char *subject, const char *json)
{
    sa_link_message_t *message;
    const char *data;
    size_t length;

    SA_ASSERT_OK(sa_link_publish_acked(fixture->link, subject, NULL, NULL, json, strlen(json),
                                       1));
    message = sa_queue_take(fixture->acks, sa_time_mono() + LIMIT);
    ck_assert_msg(message != NULL, "no answer from %s", subject);
    data = sa_link_message_data(message, &length);
    ck_assert_msg(length > 0 && !strstr(apr_pstrmemdup(fixture->pool, data, length), "\"error\""),
                  "%s: %.*s", subject, (int)length, data);
    sa_link_message_destroy(message);
}

static int count_entries(fixture_t *fixture, const char *path)
{
    apr_pool_t *pool = sa_pool_create(fixture->pool);
    apr_finfo_t info;
    apr_dir_t *dir;
    int count = 0;

    if (apr_dir_open(&dir, path, pool) == APR_SUCCESS) {
        while (apr_dir_read(&info, APR_FINFO_NAME, dir) == APR_SUCCESS) {
            count++;
        }
        apr_dir_close(dir);
    }
    apr_pool_destroy(pool);
    return count;
}

int fixture_descriptors(fixture_t *fixture)
{
    return count_entries(fixture, "/proc/self/fd");
}

int fixture_threads(fixture_t *fixture)
{
    return count_entries(fixture, "/proc/self/task");
}
