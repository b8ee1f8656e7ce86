/* mesh: what is known of the overlay, from what Nebula says. */
#include "sa_mesh_private.h"

#include <string.h>

#include <apr_strings.h>

#include "sa_os_thread.h"
#include "sa_time.h"

/* Tunnels past it are not counted. */
#define PEERS_MAX 1024
#define LIGHTHOUSES_MAX 64
/* What a journal tells of times before is a tunnel that stands, and no proof of today. */
#define FRESH apr_time_from_sec(60)

struct sa_mesh__state_t {
    sa_os_mutex_t *mutex;
    void (*changed)(void *baton);
    void *baton;
    sa_mesh__view_t view;                   /* (m), and the rest; tunnels and lighthouse_up are made
                                             * of what follows */
    int peer_count;
    char peers[PEERS_MAX][SA_MESH_ADDRESS];
    int lighthouse_count;
    char lighthouses[LIGHTHOUSES_MAX][SA_MESH_ADDRESS];
};

sa_mesh__state_t *sa_mesh__state_create(void (*changed)(void *baton), void *baton,
                                        apr_pool_t *pool)
{
    sa_mesh__state_t *state = apr_pcalloc(pool, sizeof(*state));

    state->mutex = sa_os_mutex_create(pool);
    state->changed = changed;
    state->baton = baton;
    return state;
}

/* ---- with the lock ----------------------------------------------------------------------- */

static int find_peer(const sa_mesh__state_t *state, const char *address)
{
    for (int i = 0; i < state->peer_count; i++) {
        if (strcmp(state->peers[i], address) == 0) {
            return i;
        }
    }
    return -1;
}

static bool is_lighthouse(const sa_mesh__state_t *state, const char *address)
{
    for (int i = 0; i < state->lighthouse_count; i++) {
        if (strcmp(state->lighthouses[i], address) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_lighthouse(const sa_mesh__state_t *state)
{
    for (int i = 0; i < state->lighthouse_count; i++) {
        if (find_peer(state, state->lighthouses[i]) >= 0) {
            return true;
        }
    }
    return false;
}

static void add_peer(sa_mesh__state_t *state, const char *address, apr_time_t at)
{
    apr_time_t now = sa_time_now();

    if (!*address) {
        return;
    }
    if (find_peer(state, address) < 0 && state->peer_count < PEERS_MAX) {
        apr_cpystrn(state->peers[state->peer_count], address, SA_MESH_ADDRESS);
        state->peer_count++;
    }
    if (is_lighthouse(state, address) && (at == 0 || now - at < FRESH)) {
        state->view.reached++;
        state->view.reached_at = now;
        state->view.reached_mono = sa_time_mono();
        apr_cpystrn(state->view.lighthouse, address, sizeof(state->view.lighthouse));
    }
}

static void drop_peer(sa_mesh__state_t *state, const char *address)
{
    int place = find_peer(state, address);

    if (place >= 0) {
        state->peer_count--;
        memmove(state->peers[place], state->peers[state->peer_count], SA_MESH_ADDRESS);
    }
}

/* A time at which a lighthouse was there is a time at which it was reached. */
static void note_time(sa_mesh__state_t *state)
{
    if (state->view.running && has_lighthouse(state)) {
        state->view.reached_at = sa_time_now();
        state->view.reached_mono = sa_time_mono();
    }
}

static void hear(sa_mesh__state_t *state, const sa_mesh__line_t *line)
{
    switch (line->said) {
    case SA_MESH__SAID_ACTIVE:
        state->view.running = true;     /* a service may have been started by others */
        state->view.active = true;
        state->peer_count = 0;
        break;
    case SA_MESH__SAID_HANDSHAKE:
        state->view.active = true;
        add_peer(state, line->address, line->at);
        break;
    case SA_MESH__SAID_CLOSED:
        note_time(state);
        drop_peer(state, line->address);
        break;
    case SA_MESH__SAID_RELOADING:
        state->view.reloads++;
        break;
    case SA_MESH__SAID_WRONG:
        state->view.wrongs++;
        apr_cpystrn(state->view.words, line->words, sizeof(state->view.words));
        break;
    case SA_MESH__SAID_NOTHING:
    case SA_MESH__SAID_TIMED_OUT:
    case SA_MESH__SAID_ENDING:
        break;
    }
}

/* ---- the face -------------------------------------------------------------------------------- */

void sa_mesh__state_view(sa_mesh__state_t *state, sa_mesh__view_t *view)
{
    sa_os_mutex_lock(state->mutex);
    note_time(state);
    *view = state->view;
    view->tunnels = state->peer_count;
    view->lighthouse_up = view->running && has_lighthouse(state);
    sa_os_mutex_unlock(state->mutex);
}

void sa_mesh__state_lighthouses(sa_mesh__state_t *state, const apr_array_header_t *addresses)
{
    sa_os_mutex_lock(state->mutex);
    state->lighthouse_count = 0;
    for (int i = 0; i < addresses->nelts && i < LIGHTHOUSES_MAX; i++) {
        apr_cpystrn(state->lighthouses[i], APR_ARRAY_IDX(addresses, i, const char *),
                    SA_MESH_ADDRESS);
        state->lighthouse_count++;
    }
    sa_os_mutex_unlock(state->mutex);
}

void sa_mesh__state_began(sa_mesh__state_t *state, bool anew)
{
    sa_os_mutex_lock(state->mutex);
    state->view.running = true;
    if (anew) {
        state->view.active = false;
        state->peer_count = 0;
    }
    sa_os_mutex_unlock(state->mutex);
    state->changed(state->baton);
}

void sa_mesh__state_ended(sa_mesh__state_t *state, const char *words)
{
    sa_os_mutex_lock(state->mutex);
    note_time(state);
    state->view.running = false;
    state->view.active = false;
    state->peer_count = 0;
    if (words) {
        state->view.ends++;
        apr_cpystrn(state->view.words, words, sizeof(state->view.words));
    }
    sa_os_mutex_unlock(state->mutex);
    state->changed(state->baton);
}

void sa_mesh__state_hear(sa_mesh__state_t *state, const sa_mesh__line_t *line)
{
    if (line->said == SA_MESH__SAID_NOTHING) {
        return;
    }
    sa_os_mutex_lock(state->mutex);
    hear(state, line);
    sa_os_mutex_unlock(state->mutex);
    state->changed(state->baton);
}
