/* command: the lanes.  Each requester has one; the workers serve them in turn, so that a
 * hundred requests of one do not hold up the single one of another.
 *
 * A lane lives as long as a call of it waits or runs.  What is stopped is only told so
 * here: its worker ends it and answers. */
#include "sa_command_private.h"

#include <string.h>

#include <apr_atomic.h>
#include <apr_strings.h>

#include "sa_time.h"

typedef struct sa_command__lane_t {
    sa_call_t *first;           /* waiting, oldest first */
    sa_call_t *last;
    apr_uint32_t held;          /* waiting and running; 0: nobody's lane */
    apr_uint32_t running;
    apr_uint64_t served;        /* the turn when it was last served */
    char name[SA_CALL_REQUESTER_MAX + 1];
} lane_t;

struct sa_command__lanes_t {
    sa_os_mutex_t *mutex;       /* guards everything below, and what is (m) of the calls */
    sa_os_cond_t *news;
    lane_t *lanes;              /* as many as can be held */
    apr_uint32_t limit;         /* of all that is held */
    apr_uint32_t share;         /* of it, one requester's */
    apr_uint32_t busy_share;    /* of the workers */
    apr_uint32_t held;
    apr_uint32_t running;
    apr_uint64_t turn;
    sa_call_t *live;            /* all, by next_live */
    bool closed;
};

sa_command__lanes_t *sa_command__lanes_create(apr_uint32_t workers, apr_uint32_t queue,
                                              apr_pool_t *pool)
{
    sa_command__lanes_t *lanes = apr_pcalloc(pool, sizeof(*lanes));

    lanes->mutex = sa_os_mutex_create(pool);
    lanes->news = sa_os_cond_create(pool);
    lanes->limit = workers + queue;
    lanes->share = (lanes->limit + 1) / 2;
    lanes->busy_share = workers > 1 ? workers - 1 : 1;
    lanes->lanes = apr_pcalloc(pool, lanes->limit * sizeof(*lanes->lanes));
    return lanes;
}

/* The lane of REQUESTER, or a free one for it. */
static lane_t *find_lane(sa_command__lanes_t *lanes, const char *requester)
{
    lane_t *free_lane = NULL;

    for (apr_uint32_t i = 0; i < lanes->limit; i++) {
        lane_t *lane = &lanes->lanes[i];

        if (lane->held == 0) {
            free_lane = free_lane ? free_lane : lane;
        } else if (strcmp(lane->name, requester) == 0) {
            return lane;
        }
    }
    SA_ASSERT(free_lane != NULL);       /* fewer are held than there are lanes */
    SA_ASSERT(strlen(requester) < sizeof(free_lane->name));
    memset(free_lane, 0, sizeof(*free_lane));
    memcpy(free_lane->name, requester, strlen(requester) + 1);
    return free_lane;
}

sa_error_t *sa_command__lanes_give(sa_command__lanes_t *lanes, sa_call_t *call)
{
    sa_error_t *err = SA_OK;
    lane_t *lane;

    sa_os_mutex_lock(lanes->mutex);
    if (lanes->closed) {
        err = sa_error(SA_ERR_STOPPING, NULL, NULL);
    } else if (lanes->held >= lanes->limit) {
        err = sa_error(SA_ERR_BUSY, NULL, NULL);
    } else {
        lane = find_lane(lanes, call->requester);
        if (lane->held >= lanes->share) {
            err = sa_error(SA_ERR_BUSY, NULL, NULL);
        } else {
            call->lane = lane;
            call->next = NULL;
            if (lane->last) {
                lane->last->next = call;
            } else {
                lane->first = call;
            }
            lane->last = call;
            lane->held++;
            lanes->held++;
            call->next_live = lanes->live;
            lanes->live = call;
        }
    }
    sa_os_mutex_unlock(lanes->mutex);
    if (!err) {
        /* Not under the lock: the worker would wake only to wait for it.  One is enough, for
         * who is not asleep looks here before he sleeps. */
        sa_os_cond_signal(lanes->news);
    }
    return err;
}

/* Of the lanes with something that waits and a worker to spare, the one that was served
 * longest ago. */
static lane_t *next_lane(sa_command__lanes_t *lanes)
{
    lane_t *next = NULL;

    for (apr_uint32_t i = 0; i < lanes->limit; i++) {
        lane_t *lane = &lanes->lanes[i];

        if (lane->first && lane->running < lanes->busy_share
            && (!next || lane->served < next->served)) {
            next = lane;
        }
    }
    return next;
}

sa_call_t *sa_command__lanes_take(sa_command__lanes_t *lanes, sa_os_cancel_t *cancel)
{
    sa_call_t *call = NULL;
    lane_t *lane = NULL;

    sa_os_mutex_lock(lanes->mutex);
    while (!lanes->closed) {
        lane = next_lane(lanes);
        if (lane) {
            break;
        }
        sa_os_cond_wait(lanes->news, lanes->mutex, SA_OS_NEVER);
    }
    if (!lanes->closed) {
        call = lane->first;
        lane->first = call->next;
        lane->last = lane->first ? lane->last : NULL;
        lane->running++;
        lane->served = ++lanes->turn;
        lanes->running++;
        call->running = true;
        call->cancel = cancel;
    }
    sa_os_mutex_unlock(lanes->mutex);
    return call;
}

/* The lock is held. */
static void forget(sa_command__lanes_t *lanes, sa_call_t *call)
{
    sa_call_t **at = &lanes->live;

    while (*at != call) {
        at = &(*at)->next_live;
    }
    *at = call->next_live;
    call->lane->held--;
    lanes->held--;
}

void sa_command__lanes_done(sa_command__lanes_t *lanes, sa_call_t *call)
{
    sa_os_mutex_lock(lanes->mutex);
    forget(lanes, call);
    call->lane->running--;
    lanes->running--;
    if (lanes->closed) {        /* else it is the caller who takes the next */
        sa_os_cond_broadcast(lanes->news);
    }
    sa_os_mutex_unlock(lanes->mutex);
}

apr_uint32_t sa_command__lanes_held(sa_command__lanes_t *lanes)
{
    apr_uint32_t held;

    sa_os_mutex_lock(lanes->mutex);
    held = lanes->held;
    sa_os_mutex_unlock(lanes->mutex);
    return held;
}

int sa_command__lanes_running(sa_command__lanes_t *lanes, int most, sa_commands_running_fn_t fn,
                              void *baton)
{
    apr_interval_time_t now = sa_time_mono();
    int count = 0;

    sa_os_mutex_lock(lanes->mutex);
    for (const sa_call_t *call = lanes->live; call; call = call->next_live) {
        if (call->running && count < most) {
            fn(baton, call->row->name, call->id, now - call->began_at);
        }
        count += call->running;
    }
    sa_os_mutex_unlock(lanes->mutex);
    return count;
}

static sa_call_t *find_call(sa_command__lanes_t *lanes, const char *id)
{
    sa_call_t *call = lanes->live;

    while (call && strcmp(call->id, id) != 0) {
        call = call->next_live;
    }
    return call;
}

bool sa_command__lanes_has(sa_command__lanes_t *lanes, const char *id)
{
    bool has;

    sa_os_mutex_lock(lanes->mutex);
    has = find_call(lanes, id) != NULL;
    sa_os_mutex_unlock(lanes->mutex);
    return has;
}

/* Tell a running call to end, for the reason WHY; the lock is held, so that its worker
 * does not take the means away meanwhile. */
static void stop_call(sa_call_t *call, sa_call_stop_t why)
{
    if (apr_atomic_cas32(&call->stop, (apr_uint32_t)why, SA_CALL_GOES_ON) == SA_CALL_GOES_ON
        && call->cancel) {
        sa_os_cancel(call->cancel);
    }
}

/* CALL waits: take it out of its lane; the lock is held. */
static void take_out(sa_command__lanes_t *lanes, sa_call_t *call)
{
    lane_t *lane = call->lane;
    sa_call_t **at = &lane->first;
    sa_call_t *before = NULL;

    while (*at != call) {
        before = *at;
        at = &before->next;
    }
    *at = call->next;
    if (lane->last == call) {
        lane->last = before;
    }
    forget(lanes, call);
}

sa_command__stopped_t sa_command__lanes_cancel(sa_command__lanes_t *lanes, const char *id,
                                               const char *requester, sa_call_t **taken_out)
{
    sa_command__stopped_t stopped = SA_COMMAND__STOPPED;
    sa_call_t *call;

    sa_os_mutex_lock(lanes->mutex);
    call = find_call(lanes, id);
    if (!call) {
        stopped = SA_COMMAND__UNKNOWN;
    } else if (strcmp(call->requester, requester) != 0) {
        stopped = SA_COMMAND__FOREIGN;
    } else if (!call->running) {
        take_out(lanes, call);
        *taken_out = call;
        stopped = SA_COMMAND__TAKEN_OUT;
    } else if (sa_command__stop_of(call) != SA_CALL_GOES_ON) {
        stopped = SA_COMMAND__STOPPED_BEFORE;
    } else {
        stop_call(call, SA_CALL_CANCELLED);
    }
    sa_os_mutex_unlock(lanes->mutex);
    return stopped;
}

void sa_command__lanes_desert(sa_command__lanes_t *lanes, apr_uint64_t number)
{
    sa_os_mutex_lock(lanes->mutex);
    for (sa_call_t *call = lanes->live; call; call = call->next_live) {
        if (call->number == number && call->running) {
            stop_call(call, SA_CALL_DESERTED);
        }
    }
    sa_os_mutex_unlock(lanes->mutex);
}

void sa_command__lanes_close(sa_command__lanes_t *lanes)
{
    sa_os_mutex_lock(lanes->mutex);
    lanes->closed = true;
    sa_os_cond_broadcast(lanes->news);
    sa_os_mutex_unlock(lanes->mutex);
}

sa_call_t *sa_command__lanes_take_out(sa_command__lanes_t *lanes)
{
    sa_call_t *call;

    sa_os_mutex_lock(lanes->mutex);
    SA_ASSERT(lanes->closed);
    call = lanes->live;
    while (call && call->running) {
        call = call->next_live;
    }
    if (call) {
        take_out(lanes, call);
    }
    sa_os_mutex_unlock(lanes->mutex);
    return call;
}

bool sa_command__lanes_wait(sa_command__lanes_t *lanes, apr_interval_time_t deadline)
{
    bool in_time = true;
    bool done;

    sa_os_mutex_lock(lanes->mutex);
    while (lanes->running > 0 && in_time) {
        in_time = sa_os_cond_wait(lanes->news, lanes->mutex, deadline);
    }
    done = lanes->running == 0;
    sa_os_mutex_unlock(lanes->mutex);
    return done;
}

void sa_command__lanes_stop(sa_command__lanes_t *lanes)
{
    sa_os_mutex_lock(lanes->mutex);
    for (sa_call_t *call = lanes->live; call; call = call->next_live) {
        if (call->running) {
            stop_call(call, SA_CALL_STOPPING);
        }
    }
    sa_os_mutex_unlock(lanes->mutex);
}
