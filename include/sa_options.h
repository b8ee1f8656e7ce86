/* What a configuration row can say.
 *
 * No APR and no libraries: the documentation generator is built for the build
 * machine from these and the .def files alone. */
#ifndef SA_OPTIONS_H
#define SA_OPTIONS_H

typedef enum sa_option_type_t {
    SA_OPTION_BOOL,         /* true or false, nothing else */
    SA_OPTION_INT,
    SA_OPTION_DURATION,     /* Go's: 1m30s; and d for days */
    SA_OPTION_SIZE,         /* 64KB, 256MB, 1GB: powers of 1024 */
    SA_OPTION_STR,
    SA_OPTION_CHOICE,       /* one of .choices; stored as its place there */
    SA_OPTION_LIST,         /* of strings */
    SA_OPTION_MAP,          /* of strings to strings */
    SA_OPTION_SECRET,       /* never in the file: PATH_file or PATH_env */
    SA_OPTION_RESERVED      /* known, without effect in this version */
} sa_option_type_t;

/* What a string (or each element of a list) must look like. */
typedef enum sa_option_shape_t {
    SA_SHAPE_ANY,
    SA_SHAPE_TOKEN,         /* [A-Za-z0-9_-]+: one token of a subject */
    SA_SHAPE_SUBJECT,       /* tokens separated by dots */
    SA_SHAPE_BUS_URL,       /* nats:// tls:// ws:// wss:// host[:port] */
    SA_SHAPE_HTTP_URL,      /* http:// or https:// */
    SA_SHAPE_PROXY_URL,     /* http:// https:// socks5:// socks5h:// host[:port], or none */
    SA_SHAPE_PATH,          /* absolute */
    SA_SHAPE_LABEL,         /* a Prometheus label name; of a map: its keys */
    SA_SHAPE_PREFIX,        /* the beginning of a subject, such as "_INBOX." */
    SA_SHAPE_SERVICE,       /* a unit of systemd, without patterns; elsewhere a service */
    SA_SHAPE_GLOB,          /* a pattern with * and ? */
    SA_SHAPE_MATCH,         /* LABEL=PATTERN */
    SA_SHAPE_PIN            /* base64 of 32 bytes; two of them separated by a blank */
} sa_option_shape_t;

typedef enum sa_option_flag_t {
    SA_OPT_REQUIRED = 1,
    SA_OPT_RELOAD = 2,      /* takes effect on SIGHUP, in the row's room */
    SA_OPT_INSECURE = 4,    /* warned about at every start while it is true */
    SA_OPT_REMOTE = 8,      /* the platform may set it; see platform.remote_config */
    SA_OPT_TRIAL = 16       /* 0 is allowed below the minimum, and --set may go there */
} sa_option_flag_t;

/* Which room reads the row again on a reload. */
typedef enum sa_option_room_t {
    SA_ROOM_NONE = 0,
    SA_ROOM_LOG = 1,
    SA_ROOM_LINK = 2,
    SA_ROOM_OUTBOX = 4,
    SA_ROOM_TASK = 8,
    SA_ROOM_COMMAND = 16,
    SA_ROOM_IDENTITY = 32,
    SA_ROOM_MESH = 64
} sa_option_room_t;

/* Columns of a row, all but the first three optional and named. */
typedef struct sa_option_t {
    const char *path;               /* dotted */
    sa_option_type_t type;
    unsigned int offset;            /* of the field in its struct */
    unsigned int flags;
    sa_option_room_t room;
    const char *def;                /* read by the same parser as the file */
    const char *min;
    const char *max;                /* of a string: its most bytes; of a list: its most items */
    const char *choices;            /* "info=words for people|warn=..."; first word of each */
    const char *synonyms;           /* "pocketbase=platform stone-age=platform" */
    sa_option_shape_t shape;
    const char *required_if;        /* "nats.auth.type=token" */
    const char *alias;              /* other paths, separated by blanks, read as this one */
    const char *env;                /* of a secret: variables to look at when nothing is said */
    const char *since;
    const char *doc;                /* one or more sentences */
    const char *example;            /* for the example file, where the default says too little */
} sa_option_t;

#endif
