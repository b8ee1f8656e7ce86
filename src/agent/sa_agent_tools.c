/* agent: the operator's tools, hooked into the rooms. */
#include "sa_agent_tools.h"

#include "sa_log.h"

struct sa_agent__tools_t {
    sa_agent__status_t *status;
    sa_agent__tail_t *tail;
    sa_agent__checks_t *checks;
};

static void on_turn(void *baton)
{
    sa_agent__tools_t *tools = baton;

    sa_agent__status_beat(tools->status);
}

static void on_change(void *baton)
{
    sa_agent__tools_t *tools = baton;

    sa_agent__status_touch(tools->status);
}

void sa_agent__tools_create(sa_agent__tools_t **result, const sa_config_t *config,
                            const sa_config_source_t *source, sa_link_t *link,
                            sa_outbox_t *outbox, sa_commands_t *commands, apr_pool_t *pool)
{
    sa_agent__tools_t *tools = apr_pcalloc(pool, sizeof(*tools));

    sa_agent__status_create(&tools->status, config, commands, pool);
    sa_agent__tail_create(&tools->tail, config, pool);
    sa_agent__checks_create(&tools->checks, source, tools->status, pool);
    sa_link_on_publish(link, sa_agent__tail_take, tools->tail);
    sa_outbox_on_turn(outbox, on_turn, tools);
    sa_commands_on_change(commands, on_change, tools);
    sa_commands_on_checks(commands, sa_agent__checks_add, tools->checks);
    sa_log_set_tap(sa_agent__status_event, tools->status);
    *result = tools;
}

void sa_agent__tools_start(sa_agent__tools_t *tools)
{
    sa_agent__status_touch(tools->status);
}

void sa_agent__tools_look(sa_agent__tools_t *tools, const sa_config_t *config)
{
    sa_agent__tail_look(tools->tail);
    sa_agent__checks_look(tools->checks);
    sa_agent__status_look(tools->status, config);
}

apr_interval_time_t sa_agent__tools_due(sa_agent__tools_t *tools)
{
    return sa_agent__status_due(tools->status);
}

void sa_agent__tools_stop(sa_agent__tools_t *tools)
{
    sa_log_set_tap(NULL, NULL);
    sa_agent__checks_stop(tools->checks);
    sa_agent__tail_stop(tools->tail);
    sa_agent__status_stop(tools->status);
}

void sa_agent__tools_edge(sa_agent__tools_t *tools, bool up)
{
    sa_agent__status_edge(tools->status, up);
    if (up) {
        sa_agent__checks_first(tools->checks);
    }
}
