/* The overlay network: Nebula kept running with what the platform sent.
 *
 * The platform's document is a candidate until it has been looked through (no sshd, no
 * paths, no device, route or listener that is not allowed here) and has passed
 * `nebula -test`.  Then it lies in nebula.folder as it came, with a file of ours beside it, and
 * is put live: by a reload where that suffices, by a restart where it does not.  It holds once
 * a lighthouse answers; else the one before comes back, if that one worked lately.
 *
 * A thread ("mesh") does all of it; another ("nebula") runs the program or reads what the
 * service manager keeps of its output.  What Nebula says becomes events and figures, never
 * lines: some of it holds the private key.
 *
 * Facts of Nebula 1.11 (github.com/slackhq/nebula) that this stands on:
 * - A folder is all of its .yml files, merged in order of name.
 * - `-test` prints the whole configuration; why it failed is the last line.
 * - SIGHUP takes a new certificate of the same networks, firewall, relays; a device, a
 *   listener or other networks it does not.  A new certificate makes it shake hands anew
 *   within some 5 s.
 * - Certificates of version 2 need 1.10. */
#ifndef SA_MESH_H
#define SA_MESH_H

#include <stdbool.h>

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>

#include "sa_config.h"
#include "sa_error.h"

typedef struct sa_mesh_t sa_mesh_t;

/* Living in POOL; stop it before the pool goes. */
sa_error_t *sa_mesh_create(sa_mesh_t **mesh, apr_pool_t *pool) SA_MUST_CHECK;

/* How to have the platform asked for a new document; called in the mesh's thread, must not
 * wait.  Before the start.  True: sa_mesh_look() is called when it has been asked, whatever it
 * said; false: nobody can ask it. */
typedef bool (*sa_mesh_sync_fn_t)(void *baton);
void sa_mesh_on_sync(sa_mesh_t *mesh, sa_mesh_sync_fn_t sync, void *baton);

sa_error_t *sa_mesh_start(sa_mesh_t *mesh, const sa_config_t *config) SA_MUST_CHECK;
/* Take over new settings. */
void sa_mesh_reload(sa_mesh_t *mesh, const sa_config_t *config);
/* Mode supervise: Nebula ends with us.  Mode service: it goes on. */
void sa_mesh_stop(sa_mesh_t *mesh);

/* There may be a new document in nebula.config_file.  Any thread. */
void sa_mesh_look(sa_mesh_t *mesh);

/* What cmd.nebula asks for, done half a second later, so that the answer is out before the
 * overlay goes: the bus may be reached through it.  SYNC also tries once more what was
 * taken back.  SA_ERR_REFUSED: Nebula is not on, or not ours to restart.  Any thread. */
typedef enum sa_mesh_action_t { SA_MESH_SYNC, SA_MESH_RESTART } sa_mesh_action_t;
sa_error_t *sa_mesh_ask(sa_mesh_t *mesh, sa_mesh_action_t action) SA_MUST_CHECK;

/* How it is, for the state file and the twin; health reads the same from sa_stats.h. */
#define SA_MESH_TEXT 256
#define SA_MESH_ADDRESS 64
typedef struct sa_mesh_status_t {
    bool enabled;
    bool running;
    bool lighthouse_up;
    bool verified;              /* what is live has reached a lighthouse */
    bool rolled_back;           /* what the platform sent last was taken back */
    const char *mode;           /* static: "service", "supervise", "files" */
    int tunnels;
    char overlay_ip[SA_MESH_ADDRESS];       /* "10.128.0.2"; "": not known */
    char networks[SA_MESH_TEXT];            /* "10.128.0.2/24 fd00::2/64" */
    char interface[SA_MESH_ADDRESS];        /* that is up and has overlay_ip; "": none */
    char unsafe_networks[SA_MESH_TEXT];     /* routes beyond the overlay, separated by blanks */
    char version[SA_MESH_ADDRESS];          /* of the program; "": not known */
    char error[SA_MESH_TEXT];   /* for people; "": all is well */
    apr_time_t certificate_expires;         /* 0: not known */
    apr_time_t reached_at;      /* a lighthouse, last; 0: never */
} sa_mesh_status_t;
/* Any thread. */
void sa_mesh_status_read(sa_mesh_t *mesh, sa_mesh_status_t *status);

/* ---- without the daemon, for `doctor` ---- */

/* Would the document in nebula.config_file be taken?  As the mesh judges it, `nebula -test`
 * included; nothing is put live.  *FOUND false: there is none. */
sa_error_t *sa_mesh_check(bool *found, const sa_config_t *config, apr_pool_t *scratch_pool)
    SA_MUST_CHECK;
/* The version of the program that would be run, in POOL.  SA_ERR_NOT_ON_THIS_OS: it is not
 * there or too old, with what was found and what is needed. */
sa_error_t *sa_mesh_version(const char **version, const sa_config_t *config,
                            apr_pool_t *pool) SA_MUST_CHECK;

#endif
