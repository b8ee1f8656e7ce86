/* cli: the table of subcommands. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <apr_getopt.h>
#include <apr_strings.h>

#include "sa_cli.h"
#include "sa_log.h"
#include "sa_os_daemon.h"
#include "sa_os_file.h"
#include "sa_os_paths.h"
#include "sa_pool.h"
#include "sa_stats.h"

typedef struct subcommand_t {
    const char *name;           /* one or two words */
    sa_cli_fn_t run;
    const char *doc;
} subcommand_t;

static const subcommand_t subcommands[] = {
#define SA_SUBCOMMAND(name_, function_, options_, doc_, man_) {name_, function_, doc_},
#define SA_CLI_OPTION(id_, letter_, argument_, doc_, man_)
#include "sa_subcommands.def"
#undef SA_SUBCOMMAND
#undef SA_CLI_OPTION
};
#define SUBCOMMAND_COUNT (sizeof(subcommands) / sizeof(subcommands[0]))

/* An option is its letter to getopt, or, without one, a number past all letters. */
#define NO_LETTER 256
enum {
    OPTION_FIRST = NO_LETTER,
#define SA_SUBCOMMAND(name_, function_, options_, doc_, man_)
#define SA_CLI_OPTION(id_, letter_, argument_, doc_, man_) OPTION_##id_,
#include "sa_subcommands.def"
#undef SA_SUBCOMMAND
#undef SA_CLI_OPTION
    OPTION_END
};

static const apr_getopt_option_t getopt_options[] = {
#define SA_SUBCOMMAND(name_, function_, options_, doc_, man_)
#define SA_CLI_OPTION(id_, letter_, argument_, doc_, man_) \
    {#id_, letter_ ? letter_ : OPTION_##id_, sizeof(argument_) > 1, doc_},
#include "sa_subcommands.def"
#undef SA_SUBCOMMAND
#undef SA_CLI_OPTION
    {NULL, 0, 0, NULL},
};

static const char *const option_arguments[] = {
#define SA_SUBCOMMAND(name_, function_, options_, doc_, man_)
#define SA_CLI_OPTION(id_, letter_, argument_, doc_, man_) argument_,
#include "sa_subcommands.def"
#undef SA_SUBCOMMAND
#undef SA_CLI_OPTION
};

static void print_usage(FILE *stream)
{
    fputs("usage: stone-age-agent SUBCOMMAND [OPTION]...\n\n", stream);
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++) {
        fprintf(stream, "  %-14s %s\n", subcommands[i].name, subcommands[i].doc);
    }
    fputs("\n", stream);
    for (size_t i = 0; getopt_options[i].name; i++) {
        const apr_getopt_option_t *option = &getopt_options[i];
        bool letter = option->optch < NO_LETTER;

        fprintf(stream, "  %c%c%c --%s %-*s %s\n", letter ? '-' : ' ', letter ? option->optch : ' ',
                letter ? ',' : ' ', option->name, (int)(16 - strlen(option->name)),
                option_arguments[i], option->description);
    }
    fputs("\nExit codes: 0 it worked, 1 it did not, 2 wrong use; status, doctor and tail have "
          "their own.\nSee stone-age-agent(8), agent.yaml(5).\n", stream);
}

/* The words of the command line that are no options, joined by a blank. */
static const char *join_words(int argc, const char *const *argv, int first, apr_pool_t *pool)
{
    const char *words = "";

    for (int i = first; i < argc; i++) {
        words = apr_pstrcat(pool, words, *words ? " " : "", argv[i], NULL);
    }
    return words;
}

static const subcommand_t *find_subcommand(const char *words)
{
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++) {
        if (strcmp(subcommands[i].name, words) == 0) {
            return &subcommands[i];
        }
    }
    return NULL;
}

/* Returns an exit code, or -1 to go on. */
static int read_options(sa_cli_options_t *options, apr_getopt_t *getopt, apr_pool_t *pool)
{
    apr_array_header_t *sets = apr_array_make(pool, 4, sizeof(const char *));
    const char *argument;
    int option;
    apr_status_t status = apr_getopt_long(getopt, getopt_options, &option, &argument);

    for (; status == APR_SUCCESS;
         status = apr_getopt_long(getopt, getopt_options, &option, &argument)) {
        switch (option) {
        case 'c':
            options->source.file = argument;
            break;
        case 's':
            APR_ARRAY_PUSH(sets, const char *) = argument;
            break;
        case OPTION_json:
            options->json = true;
            break;
        case OPTION_user:
            options->user = argument;
            break;
        case OPTION_force:
            options->force = true;
            break;
        case OPTION_write:
            options->write = true;
            break;
        case OPTION_service:
            options->service = true;
            break;
        case OPTION_watch:
            options->watch = true;
            break;
        case OPTION_count:
            options->count = apr_atoi64(argument);
            break;
        case 'h':
            print_usage(stdout);
            return SA_EXIT_OK;
        default:
            return SA_EXIT_USAGE;
        }
    }
    options->source.sets = sets;
    return status == APR_EOF ? -1 : SA_EXIT_USAGE;      /* getopt has said what is wrong */
}

/* All but `run` ask about an agent that somebody else runs, mostly as another user: they see
 * what that one sees. */
static void stand_beside(const sa_cli_options_t *options, apr_pool_t *pool)
{
    sa_os_file_trust_owner(sa_os_path_state(pool));
    if (!options->source.file) {
        sa_os_path_borrow_credentials(pool);
    }
}

static int run_main(int argc, const char *const *argv, apr_pool_t *pool)
{
    sa_cli_options_t options = {.source = {NULL, NULL}};
    apr_getopt_t *getopt;
    const subcommand_t *subcommand;
    const char *words;
    int code;

    if (apr_getopt_init(&getopt, pool, argc, argv) != APR_SUCCESS) {
        return SA_EXIT_FAILURE;
    }
    getopt->interleave = 1;
    code = read_options(&options, getopt, pool);
    if (code >= 0) {
        return code;
    }
    words = join_words(argc, getopt->argv, getopt->ind, pool);
    subcommand = find_subcommand(words);
    if (!subcommand) {
        if (*words) {
            fprintf(stderr, "stone-age-agent: \"%s\" is no subcommand\n\n", words);
        }
        print_usage(stderr);
        return SA_EXIT_USAGE;
    }
    if (subcommand->run != sa_cli_run) {
        stand_beside(&options, pool);
    }
    return subcommand->run(&options, pool);
}

int main(int argc, const char *const *argv)
{
    apr_pool_t *pool;
    int code;

    sa_os_daemon_close_inherited();
    sa_os_daemon_init();
    if (apr_initialize() != APR_SUCCESS) {
        fputs("stone-age-agent: cannot initialise APR\n", stderr);
        return SA_EXIT_FAILURE;
    }
    pool = sa_pool_create_root();
    sa_stats_init(pool);
    code = run_main(argc, argv, pool);
    apr_pool_destroy(pool);
    apr_terminate();
    return code;
}
