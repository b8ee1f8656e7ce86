/* mesh, private: the rules by which the overlay is kept.  All of it in the mesh's thread. */
#ifndef SA_MESH_KEEPER_H
#define SA_MESH_KEEPER_H

#include "sa_mesh_private.h"

/* What the mesh needs of one configuration, in its own pool. */
typedef struct sa_mesh__settings_t {
    apr_pool_t *pool;
    bool enabled;
    sa_nebula_mode_t mode;
    const char *config_file;
    const char *folder;
    const char *binary;
    const char *service;
    apr_interval_time_t verify_timeout;
    sa_mesh__policy_t policy;
} sa_mesh__settings_t;
sa_mesh__settings_t *sa_mesh__settings_create(const sa_config_t *config);

typedef struct sa_mesh__keeper_t sa_mesh__keeper_t;

/* NEWS is called when Nebula has said something, in another thread; then tend.  CANCEL ends what
 * is waited for. */
sa_mesh__keeper_t *sa_mesh__keeper_create(void (*news)(void *baton), void *baton,
                                          sa_os_cancel_t *cancel);
/* SETTINGS is taken.  Follow with a look. */
void sa_mesh__keeper_settle(sa_mesh__keeper_t *keeper, sa_mesh__settings_t *settings);
/* Is there a new document? */
void sa_mesh__keeper_look(sa_mesh__keeper_t *keeper);
/* The next look also takes one that was taken back. */
void sa_mesh__keeper_try_again(sa_mesh__keeper_t *keeper);
void sa_mesh__keeper_restart(sa_mesh__keeper_t *keeper);
/* Judge a trial, look at tunnels and times. */
void sa_mesh__keeper_tend(sa_mesh__keeper_t *keeper);
/* When to tend next, monotonic, if nothing happens. */
apr_interval_time_t sa_mesh__keeper_next(const sa_mesh__keeper_t *keeper);
/* Returns whether a person should know. */
bool sa_mesh__keeper_status(sa_mesh__keeper_t *keeper, sa_mesh_status_t *status);
/* The end; a service goes on. */
void sa_mesh__keeper_stop(sa_mesh__keeper_t *keeper);

#endif
