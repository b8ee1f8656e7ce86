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
#include "sa_pool.h"
#include "sa_stats.h"

typedef struct subcommand_t {
    const char *name;           /* one or two words */
    sa_cli_fn_t run;
    const char *doc;
} subcommand_t;

static const subcommand_t subcommands[] = {
    {"run",          sa_cli_run,          "run in the foreground until SIGTERM; SIGHUP reloads"},
    {"check-config", sa_cli_check_config, "read the configuration and say what is wrong with it"},
    {"config show",  sa_cli_config_show,  "print every setting and where it comes from"},
    {"bootstrap",    sa_cli_bootstrap,    "log in to the platform and fetch what it has for us"},
    {"keygen",       sa_cli_keygen,       "make an NKey here and print its public part"},
    {"exec-list",    sa_cli_exec_list,    "print what this machine would run when asked, and how"},
    {"polkit",       sa_cli_polkit,       "print polkit's rule for commands.allowed_services"},
    {"version",      sa_cli_version,      "print the versions of the agent and its libraries"},
};
#define SUBCOMMAND_COUNT (sizeof(subcommands) / sizeof(subcommands[0]))

enum { OPTION_JSON = 256, OPTION_USER, OPTION_FORCE };

static const apr_getopt_option_t getopt_options[] = {
    {"config", 'c', 1, "FILE      read this configuration instead of the system's"},
    {"set", 's', 1, "KEY=VALUE    set one option, above every file; may be repeated"},
    {"json", OPTION_JSON, 0, "            print JSON (check-config, config show, version)"},
    {"user", OPTION_USER, 1, "NAME        whom the rule is for (polkit)"},
    {"force", OPTION_FORCE, 0, "           log in by password, fetch all anew (bootstrap)"},
    {"help", 'h', 0, "            print this"},
    {NULL, 0, 0, NULL},
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

        if (option->optch < OPTION_JSON) {
            fprintf(stream, "  -%c, --%s %s\n", option->optch, option->name, option->description);
        } else {
            fprintf(stream, "      --%s %s\n", option->name, option->description);
        }
    }
    fputs("\nExit codes: 0 it worked, 1 it did not, 2 wrong use."
          "  See stone-age-agent(8), agent.yaml(5).\n", stream);
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
        case OPTION_JSON:
            options->json = true;
            break;
        case OPTION_USER:
            options->user = argument;
            break;
        case OPTION_FORCE:
            options->force = true;
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
