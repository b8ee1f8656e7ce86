/* mesh, private: what its files share. */
#ifndef SA_MESH_PRIVATE_H
#define SA_MESH_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>

#include "sa_config_document.h"
#include "sa_mesh.h"
#include "sa_os_exec.h"

/* ---- sa_mesh_certificate.c: certificates of version 2 --------------------------------- */

typedef struct sa_mesh__certificate_t {
    const char *networks;       /* "10.128.0.2/24 fd00::2/64" */
    const char *overlay_ip;     /* the first of them, without its length */
    apr_time_t expires;
} sa_mesh__certificate_t;

/* Read the first certificate of version 2 in TEXT (PEM).  *FOUND false: there is none, but
 * there may be older ones.  SA_ERR_FILE_CONTENT: it cannot be read. */
sa_error_t *sa_mesh__certificate_read(bool *found, sa_mesh__certificate_t *certificate,
                                      const char *text, apr_pool_t *pool) SA_MUST_CHECK;

/* ---- sa_mesh_document.c: what the platform sent --------------------------------------- */

/* What this machine allows. */
typedef struct sa_mesh__policy_t {
    const apr_array_header_t *devices;      /* of const char *: at least one */
    const apr_array_header_t *routes;       /* of const char * */
} sa_mesh__policy_t;

typedef struct sa_mesh__document_t {
    const char *text;                       /* as it came; wiped with its pool */
    const sa_document_t *root;
    const char *device;
    bool is_lighthouse;
    const apr_array_header_t *lighthouses;  /* of const char *: overlay addresses */
    const char *unsafe_networks;            /* separated by blanks */
    bool has_certificate;                   /* one that we can read */
    sa_mesh__certificate_t certificate;
} sa_mesh__document_t;

/* Look through TEXT.  SA_ERR_REFUSED: this machine does not allow what it says;
 * SA_ERR_FILE_CONTENT: it is not such a document.  Messages name the place and never what may be
 * a key. */
sa_error_t *sa_mesh__document_read(sa_mesh__document_t **document, const char *text,
                                   const sa_mesh__policy_t *policy,
                                   apr_pool_t *pool) SA_MUST_CHECK;

typedef enum sa_mesh__change_t {
    SA_MESH__SAME, SA_MESH__RELOAD, SA_MESH__RESTART
} sa_mesh__change_t;
/* What it takes to go from OLD (NULL: nothing) to NEW.  *SHAKES: Nebula will shake hands anew. */
sa_mesh__change_t sa_mesh__document_compare(bool *shakes, const sa_mesh__document_t *old_document,
                                            const sa_mesh__document_t *new_document);

/* ---- sa_mesh_line.c: what Nebula says ------------------------------------------------- */

typedef enum sa_mesh__said_t {
    SA_MESH__SAID_NOTHING,      /* that matters to us */
    SA_MESH__SAID_ACTIVE,       /* the device is there */
    SA_MESH__SAID_HANDSHAKE,    /* with ADDRESS */
    SA_MESH__SAID_CLOSED,       /* the tunnel to ADDRESS */
    SA_MESH__SAID_TIMED_OUT,    /* a handshake with ADDRESS */
    SA_MESH__SAID_RELOADING,
    SA_MESH__SAID_ENDING,
    SA_MESH__SAID_WRONG         /* WORDS */
} sa_mesh__said_t;

typedef struct sa_mesh__line_t {
    sa_mesh__said_t said;
    apr_time_t at;              /* 0: it does not say */
    char address[SA_MESH_ADDRESS];
    char words[SA_MESH_TEXT];   /* scrubbed: nothing in it can be a key */
} sa_mesh__line_t;

/* Of a line of its log (JSON, or what it says before it knows how to).  Any thread. */
void sa_mesh__line_read(sa_mesh__line_t *line, const char *text, size_t length,
                        apr_pool_t *scratch_pool);
/* TEXT[0..LENGTH) as a reason for people: printable, cut, and whatever could be a key or a
 * secret in base64 or hexadecimal is replaced by "...". */
void sa_mesh__scrub(char *words, size_t size, const char *text, size_t length);

/* Pieces of output become lines; what is longer than a line may be is passed over.  Wiped as
 * it goes. */
#define SA_MESH__LINE_MAX 16384
typedef struct sa_mesh__lines_t {
    char data[SA_MESH__LINE_MAX];
    size_t length;
    bool skips;
} sa_mesh__lines_t;
typedef void (*sa_mesh__line_fn_t)(void *baton, const char *text, size_t length);
void sa_mesh__lines_add(sa_mesh__lines_t *lines, const char *data, size_t length,
                        sa_mesh__line_fn_t fn, void *baton);
/* The last one may have no end. */
void sa_mesh__lines_end(sa_mesh__lines_t *lines, sa_mesh__line_fn_t fn, void *baton);

/* ---- sa_mesh_program.c: the program --------------------------------------------------- */

#define SA_MESH__VERSION_NEEDED "1.10"

typedef struct sa_mesh__program_t {
    sa_os_program_t *program;
    const char *path;
    const char *version;
} sa_mesh__program_t;

/* Find and ask it.  SA_ERR_NOT_ON_THIS_OS: not there, or too old. */
sa_error_t *sa_mesh__program_open(sa_mesh__program_t *program, const char *binary,
                                  sa_os_cancel_t *cancel, apr_pool_t *pool) SA_MUST_CHECK;
/* NULL, or why VERSION ("1.9.5") is not enough. */
const char *sa_mesh__version_fault(const char *version, apr_pool_t *pool);
/* `nebula -test` of FOLDER.  SA_ERR_REFUSED: it does not pass, and why. */
sa_error_t *sa_mesh__program_test(const sa_mesh__program_t *program, const char *folder,
                                  sa_os_cancel_t *cancel, apr_pool_t *scratch_pool) SA_MUST_CHECK;
/* The environment that it is run in. */
extern const char *const sa_mesh__environment[];

/* ---- sa_mesh_folder.c: files ---------------------------------------------------------- */

/* The largest document; the platform's own limit is 50,000 characters. */
#define SA_MESH__DOCUMENT_MAX ((size_t)200 * 1024)

/* The text of the private file PATH, wiped with POOL; NULL: there is none.  An error: it is
 * there and cannot be used. */
sa_error_t *sa_mesh__file_read(const char **text, const char *path,
                               apr_pool_t *pool) SA_MUST_CHECK;
/* The platform's document in FOLDER, likewise. */
sa_error_t *sa_mesh__folder_read(const char **text, const char *folder,
                                 apr_pool_t *pool) SA_MUST_CHECK;
/* Make FOLDER hold TEXT and our own file for DEVICE; each whole or as it was, and none if they
 * are there already. */
sa_error_t *sa_mesh__folder_write(const char *folder, const char *text, const char *device,
                                  apr_pool_t *scratch_pool) SA_MUST_CHECK;
void sa_mesh__folder_remove(const char *folder, apr_pool_t *scratch_pool);

/* ---- sa_mesh_state.c: what is known of the overlay ------------------------------------ */

/* Filled by whoever hears Nebula, read by the mesh's thread and others; its lock guards
 * all of it. */
typedef struct sa_mesh__state_t sa_mesh__state_t;

typedef struct sa_mesh__view_t {
    bool running;
    bool active;                /* the device is there */
    bool lighthouse_up;
    int tunnels;
    apr_uint64_t reached;       /* how often a lighthouse has answered */
    apr_time_t reached_at;
    apr_interval_time_t reached_mono;       /* 0: not in this life */
    char lighthouse[SA_MESH_ADDRESS];       /* that answered last */
    apr_uint64_t reloads;       /* that Nebula has begun */
    apr_uint64_t wrongs;        /* errors it has reported */
    apr_uint64_t ends;          /* how often it has ended by itself */
    char words[SA_MESH_TEXT];   /* of the last error */
} sa_mesh__view_t;

/* CHANGED is called, without the lock, when something did. */
sa_mesh__state_t *sa_mesh__state_create(void (*changed)(void *baton), void *baton,
                                        apr_pool_t *pool);
void sa_mesh__state_view(sa_mesh__state_t *state, sa_mesh__view_t *view);
/* Whom to take for lighthouses: ADDRESSES of const char *. */
void sa_mesh__state_lighthouses(sa_mesh__state_t *state, const apr_array_header_t *addresses);
/* It runs, ANEW: from now on, with no tunnels yet. */
void sa_mesh__state_began(sa_mesh__state_t *state, bool anew);
/* It runs no more; WORDS (NULL: as it should) say why. */
void sa_mesh__state_ended(sa_mesh__state_t *state, const char *words);
void sa_mesh__state_hear(sa_mesh__state_t *state, const sa_mesh__line_t *line);

/* ---- sa_mesh_runner.c: who runs it ---------------------------------------------------- */

typedef struct sa_mesh__runner_t sa_mesh__runner_t;

typedef struct sa_mesh__running_t {
    sa_nebula_mode_t mode;
    const char *folder;
    const char *binary;         /* supervise */
    const char *service;        /* service */
} sa_mesh__running_t;

/* All by the mesh's thread.  CANCEL ends what it waits for. */
sa_mesh__runner_t *sa_mesh__runner_create(sa_mesh__state_t *state, sa_os_cancel_t *cancel,
                                          apr_pool_t *pool);
/* Run it as RUNNING (copied) says, if it does not already. */
sa_error_t *sa_mesh__runner_start(sa_mesh__runner_t *runner,
                                  const sa_mesh__running_t *running) SA_MUST_CHECK;
bool sa_mesh__runner_is_on(const sa_mesh__runner_t *runner);
sa_error_t *sa_mesh__runner_reload(sa_mesh__runner_t *runner) SA_MUST_CHECK;
sa_error_t *sa_mesh__runner_restart(sa_mesh__runner_t *runner) SA_MUST_CHECK;
/* LEAVE: a service goes on. */
void sa_mesh__runner_stop(sa_mesh__runner_t *runner, bool leave);

/* ---- sa_mesh_poke.c ------------------------------------------------------------------- */

/* Send a byte from OVERLAY_IP to each of LIGHTHOUSES, so that Nebula tries them at once. */
void sa_mesh__poke(const char *overlay_ip, const apr_array_header_t *lighthouses,
                   apr_pool_t *scratch_pool);

#endif
