/* command, private to the policy's two files: what it is made of. */
#ifndef SA_COMMAND_POLICY_PRIVATE_H
#define SA_COMMAND_POLICY_PRIVATE_H

#include "sa_command_policy.h"
#include "sa_glob.h"

typedef struct sa_command__entry_t {
    const sa_allowed_command_t *command;
    const char *line;                   /* normalised; NULL: a named command */
    sa_pattern_t **patterns;            /* one an argument; NULL where it has none */
    const char *const *env;
} sa_command__entry_t;

/* One name between two / of a path. */
typedef struct sa_command__log_part_t {
    sa_glob_t *glob;
    bool shows_dots;                    /* it begins with a dot, and so may what matches */
} sa_command__log_part_t;

typedef struct sa_command__log_pattern_t {
    const char *text;
    apr_array_header_t *parts;          /* of sa_command__log_part_t */
} sa_command__log_pattern_t;

struct sa_command_policy_t {
    apr_pool_t *pool;
    const char *home;
    apr_interval_time_t timeout;        /* of entries without one of their own */
    apr_int64_t max_output;
    const char *scripts_directory;      /* "": none */
    apr_array_header_t *services;       /* of const char * */
    sa_command__entry_t *entries;
    int entry_count;
    sa_command__entry_t script;         /* what all scripts have */
    apr_array_header_t *log_patterns;   /* of sa_command__log_pattern_t */
};

#endif
