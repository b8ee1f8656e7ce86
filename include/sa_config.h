/* The configuration: one table, one immutable struct.
 *
 * sa_config_options.def has every option once; the struct below, the parser,
 * the defaults, the ranges, the example file and agent.yaml(5) come from it.
 * A loaded sa_config_t never changes; a reload makes a new one in its own
 * pool.  Rooms copy what they keep. */
#ifndef SA_CONFIG_H
#define SA_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include <apr.h>
#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>

#include "sa_error.h"
#include "sa_json.h"
#include "sa_options.h"
#include "sa_pattern.h"

/* Where a secret is to be found; the value itself is never kept here. */
typedef struct sa_secret_t {
    enum { SA_SECRET_NONE, SA_SECRET_FILE, SA_SECRET_ENV, SA_SECRET_CREDENTIAL } source;
    const char *where;      /* path, name of the variable, or path of the credential */
    const char *path;       /* the option's dotted path, for messages */
} sa_secret_t;

typedef struct sa_config_pair_t {
    const char *key;
    const char *value;
} sa_config_pair_t;

/* What a field of each type is in C. */
#define SA_CTYPE_BOOL bool
#define SA_CTYPE_INT apr_int64_t
#define SA_CTYPE_DURATION apr_interval_time_t
#define SA_CTYPE_SIZE apr_int64_t
#define SA_CTYPE_STR const char *
#define SA_CTYPE_CHOICE int
#define SA_CTYPE_LIST const apr_array_header_t *    /* of const char * */
#define SA_CTYPE_MAP const apr_array_header_t *     /* of sa_config_pair_t */
#define SA_CTYPE_SECRET sa_secret_t

/* One element of tasks.exporters. */
typedef struct sa_exporter_config_t {
#define SA_OPTION(type, field, path, ...) SA_CTYPE_##type field;
#include "sa_exporter_options.def"
#undef SA_OPTION
} sa_exporter_config_t;

/* The type of one argument of a named command (args:), in the order of its choices. */
typedef enum sa_argument_type_t {
    SA_ARGUMENT_STRING,         /* pattern: the whole value matches; max_length */
    SA_ARGUMENT_INT,            /* min, max */
    SA_ARGUMENT_ENUM,           /* values */
    SA_ARGUMENT_PATH,           /* under: absolute, without . and .., links resolved */
    SA_ARGUMENT_SERVICE,        /* one of commands.allowed_services */
    SA_ARGUMENT_SWITCH          /* true: the element of the template stays; false: it goes */
} sa_argument_type_t;

typedef struct sa_argument_config_t {
    const char *name;
    bool required;              /* no default: a request must have it */
#define SA_OPTION(type, field, path, ...) SA_CTYPE_##type field;
#include "sa_argument_options.def"
#undef SA_OPTION
} sa_argument_config_t;

/* One element of commands.allowed_commands. */
typedef struct sa_allowed_command_t {
#define SA_OPTION(type, field, path, ...) SA_CTYPE_##type field;
#include "sa_allowed_command_options.def"
#undef SA_OPTION
    const apr_array_header_t *args;     /* of sa_argument_config_t */
    const char *file;                   /* where it stands, for messages */
    int line_number;
} sa_allowed_command_t;

typedef struct sa_config_t {
#define SA_OPTION(type, field, path, ...) SA_CTYPE_##type field;
#include "sa_config_options.def"
    const apr_array_header_t *exporters;    /* of sa_exporter_config_t */
    const apr_array_header_t *allowed_commands;     /* of sa_allowed_command_t */
    const struct sa_config_origins_t *origins;
} sa_config_t;

/* The places of CHOICE options, in the order of their .choices. */
typedef enum sa_auth_type_t {
    SA_AUTH_CREDS, SA_AUTH_TOKEN, SA_AUTH_USERPASS, SA_AUTH_NKEY, SA_AUTH_NONE, SA_AUTH_PLATFORM
} sa_auth_type_t;
typedef enum sa_nebula_mode_t {
    SA_NEBULA_SERVICE, SA_NEBULA_SUPERVISE, SA_NEBULA_FILES
} sa_nebula_mode_t;
typedef enum sa_metrics_source_t { SA_METRICS_BUILTIN, SA_METRICS_EXPORTER } sa_metrics_source_t;
typedef enum sa_log_format_choice_t {
    SA_FORMAT_AUTO, SA_FORMAT_TEXT, SA_FORMAT_JSON
} sa_log_format_choice_t;

/* What to read. */
typedef struct sa_config_source_t {
    const char *file;                   /* NULL: the system's place, then the public Go agent's */
    const apr_array_header_t *sets;     /* of const char *: "key=value"; may be NULL */
} sa_config_source_t;

/* One thing wrong, or doubtful. */
typedef struct sa_complaint_t {
    const char *file;       /* or "--set" */
    int line;               /* from 1; 0: none */
    bool warning;           /* the configuration is valid all the same */
    bool missing;           /* what must be said is not there yet; what is there may be right */
    const char *text;       /* "path: what, and the range"; never a secret's value */
} sa_complaint_t;

/* Read FILE, then FILE's neighbour agent.d/?*.yaml in order of name, then the
 * sets.  All complaints are collected, sorted by file and line, in
 * *COMPLAINTS (of sa_complaint_t, in POOL; never NULL).  If one of them is not
 * a warning, *CONFIG is NULL and SA_ERR_CONFIG counts them.  Reading is
 * bounded: 1 MiB a file, 64 files, 32 levels, no anchors, tags or second
 * documents. */
sa_error_t *sa_config_load(sa_config_t **config, apr_array_header_t **complaints,
                           const sa_config_source_t *source, apr_pool_t *pool) SA_MUST_CHECK;

/* What the platform may set.  The file of that name in paths.state holds it; sa_config_load()
 * reads it where platform.remote_config is on and nats.auth.type is platform, below every
 * file and --set in rank; WHERE is "platform" for its values.  What is no SA_OPT_REMOTE row,
 * or not valid, is a warning and left out: nothing that the platform says keeps the agent
 * from starting. */
#define SA_CONFIG_REMOTE_FILE "platform-config.json"
/* That file's text for AGENT, the object metadata.agent of a Thing (or NULL): the remote rows
 * only, by dotted path, sorted, so that equal settings are equal texts.  Nested groups and dotted
 * keys both are read; URLS is metadata.nats_urls, or NULL, and counts where AGENT has none.
 * *IGNORED: the other keys, separated by blanks, "" if none.  At most 16 KiB.  In POOL. */
const char *sa_config_remote_text(const char **ignored, const cJSON *agent, const cJSON *urls,
                                  apr_pool_t *pool);

/* "file:line: text", or "file: text", in POOL. */
const char *sa_complaint_format(const sa_complaint_t *complaint, apr_pool_t *pool);

/* Every value in the table's order, for people: WHERE is "default" or
 * "file:line" or "--set" or "credential", "platform" (see above), or the name of the
 * variable in which a secret was found; secrets print where they are, never
 * what they are. */
typedef void (*sa_config_value_fn_t)(void *baton, const char *path, const char *value,
                                     const char *where);
void sa_config_each(const sa_config_t *config, sa_config_value_fn_t fn, void *baton,
                    apr_pool_t *scratch_pool);
/* Where one value came from, as above; PATH must be an option's. */
const char *sa_config_origin(const sa_config_t *config, const char *path, apr_pool_t *pool);
/* One value as above, in POOL; PATH must be an option's. */
const char *sa_config_text(const sa_config_t *config, const char *path, apr_pool_t *pool);
bool sa_config_is_default(const sa_config_t *config, const char *path);
/* For nats.websocket.headers and the lines of its file: is NAME one of a header (RFC 9110,
 * 5.6.2), and is it one that the agent says itself? */
bool sa_config_is_header_name(const char *name);
bool sa_config_is_own_header(const char *name);
/* Reserved paths that the files set, separated by blanks, in POOL; "" if none. */
const char *sa_config_reserved(const sa_config_t *config, apr_pool_t *pool);
/* What holds the configuration or a secret of it (const char *, absolute, in POOL): the files
 * that it was read from, the directory of their neighbours, and the files and credentials that
 * its SECRET options name. */
apr_array_header_t *sa_config_files(const sa_config_t *config, apr_pool_t *pool);
/* Insecure switches that are on, separated by blanks, in POOL; "" if none. */
const char *sa_config_insecure(const sa_config_t *config, apr_pool_t *pool);

/* What a reload from OLD to NEW means: the rooms (SA_ROOM_*) that must read
 * again, and the paths, separated by blanks, that only a restart can change. */
unsigned int sa_config_compare(const char **needs_restart, const sa_config_t *old_config,
                               const sa_config_t *new_config, apr_pool_t *pool);

/* Let NEW_CONFIG keep OLD_CONFIG's values of the options that only a restart can
 * change; copied into POOL, NEW_CONFIG's own. */
void sa_config_keep_fixed(sa_config_t *new_config, const sa_config_t *old_config,
                          apr_pool_t *pool);

/* COMMANDS (of sa_allowed_command_t) with all they point to, in POOL. */
apr_array_header_t *sa_config_copy_commands(const apr_array_header_t *commands, apr_pool_t *pool);
/* One that says nothing: all defaults.  In POOL. */
sa_allowed_command_t *sa_config_default_command(apr_pool_t *pool);

/* Where commands are looked up, and the PATH that they are given. */
#define SA_COMMAND_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define SA_COMMAND_SHELL "/bin/sh"
/* The absolute path of the program NAME: itself when it has a slash, else the first regular
 * file of that name in SA_COMMAND_PATH that somebody can execute.  NULL: not there. */
const char *sa_config_find_program(const char *name, apr_pool_t *pool);
/* NULL, or what VALUE must be to be one of ARGUMENT's: all but whether a path is there and
 * where its links lead.  VALUE has passed sa_text_fault().  PATTERN is the argument's, made;
 * SERVICES is allowed_services. */
const char *sa_config_check_argument(const sa_argument_config_t *argument,
                                     const sa_pattern_t *pattern, const char *value,
                                     const apr_array_header_t *services, apr_pool_t *pool);
/* Do A and B name the same unit: equal once ".service" is added to one without a type? */
bool sa_config_same_service(const char *a, const char *b);
/* Is PATH absolute, without //, /./, /../ and a / at its end? */
bool sa_config_is_clean_path(const char *path);
/* Is PATH ROOT, or below it?  Both clean. */
bool sa_config_is_under(const char *path, const char *root);
/* Can NAME be a script's: letters, digits, . _ and -, not beginning with . or -? */
bool sa_config_is_script_name(const char *name);
/* The first LIMIT such names (const char *) found in FOLDER, sorted; NULL: it cannot be read. */
apr_array_header_t *sa_config_scripts(const char *folder, int limit, apr_pool_t *pool);

/* Of libyaml. */
const char *sa_config_library_version(void);

/* Read a secret now: trailing line ends removed, at most 64 KiB, wiped when
 * POOL is cleared.  SA_ERR_FILE_UNSAFE when others can read its file. */
sa_error_t *sa_secret_read(const char **value, const sa_secret_t *secret,
                           apr_pool_t *pool) SA_MUST_CHECK;

#endif
