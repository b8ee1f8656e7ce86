/* What the commands' tests share: see the header. */
#include "test_command_fixture.h"

#include <apr_strings.h>

#include "sa_os_file.h"
#include "sa_time.h"

counter_t *counter_open(const char *more, const sa_command_row_t *table, int length,
                        apr_pool_t *pool)
{
    counter_t *counter = apr_pcalloc(pool, sizeof(*counter));
    const char *paths;

    counter->server = sa_test_server_start("", 0, pool);
    counter->fixture = fixture_open(pool);
    counter->client = fixture_join(pool);
    paths = apr_psprintf(pool, "paths: {state: \"%s\", runtime: \"%s/run\"}\n%s",
                         counter->fixture->dir, counter->fixture->dir, more);
    counter->audit = apr_pstrcat(pool, counter->fixture->dir, "/audit.log", NULL);
    counter->config = fixture_config_for(counter->fixture, sa_test_server_url(counter->server),
                                         paths);
    SA_ASSERT_OK(sa_commands_create(&counter->commands, counter->fixture->link, counter->config,
                                    pool));
    if (table) {
        sa_command__set_table(counter->commands, table, length);
    }
    SA_ASSERT_OK(sa_commands_start(counter->commands));
    fixture_start(counter->fixture, counter->config);
    fixture_start(counter->client, counter->config);
    fixture_wait_ups(counter->fixture, 1);
    fixture_wait_ups(counter->client, 1);
    return counter;
}

fixture_t *counter_join(counter_t *counter)
{
    fixture_t *client = fixture_join(counter->fixture->pool);

    fixture_start(client, counter->config);
    fixture_wait_ups(client, 1);
    return client;
}

void counter_close(counter_t *counter)
{
    sa_commands_stop(counter->commands);
    fixture_leave(counter->client);
    fixture_close(counter->fixture);
}

void counter_ask(fixture_t *client, const char *subject, const char *headers, const char *body,
                 size_t length)
{
    SA_ASSERT_OK(sa_link_publish_acked(client->link, subject, headers, NULL, body, length, 1));
}

cJSON *counter_take(fixture_t *client)
{
    sa_link_message_t *message = sa_queue_take(client->acks, sa_time_mono() + LIMIT);
    const char *data;
    size_t length;
    cJSON *json = NULL;

    ck_assert_ptr_nonnull(message);
    data = sa_link_message_data(message, &length);
    if (length > 0) {
        SA_ASSERT_OK(sa_json_parse(&json, data, length, client->pool));
    }
    sa_link_message_destroy(message);
    return json;
}

cJSON *counter_answer(fixture_t *client, const char *subject, const char *headers,
                      const char *body)
{
    counter_ask(client, subject, headers, body, strlen(body));
    return counter_take(client);
}

const char *counter_member(const cJSON *json, const char *name, apr_pool_t *pool)
{
    const cJSON *item = cJSON_GetObjectItem(json, name);

    return item ? sa_json_print(item, NULL, pool) : "";
}

/* How many lines of the audit file have TEXT, and the last of them. */
static int look(const char **last, counter_t *counter, const char *text, apr_pool_t *pool)
{
    char *state = NULL;
    int count = 0;
    char *all;

    *last = NULL;
    if (!sa_os_file_exists(counter->audit, pool)) {
        return 0;
    }
    all = apr_pstrdup(pool, sa_test_read(counter->audit, pool));
    for (char *line = apr_strtok(all, "\n", &state); line; line = apr_strtok(NULL, "\n", &state)) {
        if (strstr(line, text)) {
            *last = line;
            count++;
        }
    }
    return count;
}

typedef struct wanted_t {
    counter_t *counter;
    int count;
    const char *text;
} wanted_t;

static bool is_there(void *baton)
{
    const wanted_t *wanted = baton;
    apr_pool_t *pool = sa_pool_create_root();
    const char *last;
    bool there = look(&last, wanted->counter, wanted->text, pool) >= wanted->count;

    apr_pool_destroy(pool);
    return there;
}

const char *counter_wait_audit(counter_t *counter, int count, const char *text)
{
    wanted_t wanted = { counter, count, text };
    const char *last;

    ck_assert_msg(sa_test_wait(is_there, &wanted, LIMIT), "no %d lines with %s in the audit file",
                  count, text);
    look(&last, counter, text, counter->fixture->pool);
    return last;
}

int counter_count_audit(counter_t *counter, const char *text)
{
    const char *last;

    return look(&last, counter, text, counter->fixture->pool);
}
