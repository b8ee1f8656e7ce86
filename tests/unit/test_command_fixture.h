/* What the commands' tests share: an agent's commands and a requester at a real server. */
#ifndef TEST_COMMAND_FIXTURE_H
#define TEST_COMMAND_FIXTURE_H

#include "../../src/command/sa_command_private.h"

#include "sa_test.h"
#include "sa_test_server.h"
#include "test_link_fixture.h"

typedef struct counter_t {
    fixture_t *fixture;         /* the agent's link */
    fixture_t *client;
    sa_test_server_t *server;
    sa_commands_t *commands;
    sa_config_t *config;
    const char *audit;          /* path */
} counter_t;

/* MORE: lines of the configuration, from the left.  TABLE NULL: the agent's own. */
counter_t *counter_open(const char *more, const sa_command_row_t *table, int length,
                        apr_pool_t *pool);
void counter_close(counter_t *counter);
/* Another requester, to be left (fixture_leave). */
fixture_t *counter_join(counter_t *counter);

void counter_ask(fixture_t *client, const char *subject, const char *headers, const char *body,
                 size_t length);
/* The next answer; NULL when it is an empty message. */
cJSON *counter_take(fixture_t *client);
cJSON *counter_answer(fixture_t *client, const char *subject, const char *headers,
                      const char *body);
/* JSON's member as text of JSON: "\"x\"", "42"; "" when it is not there. */
const char *counter_member(const cJSON *json, const char *name, apr_pool_t *pool);

/* Wait for COUNT lines of the audit file that have all of TEXT; returns the last one. */
const char *counter_wait_audit(counter_t *counter, int count, const char *text);
int counter_count_audit(counter_t *counter, const char *text);

#endif
