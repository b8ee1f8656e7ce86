/* cli: doctor.  Exit codes: 0 nothing is wrong, 1 warnings, 2 failures. */
#include <stdio.h>
#include <stdlib.h>

#include "sa_agent.h"
#include "sa_cli.h"
#include "sa_cli_colour.h"
#include "sa_doctor.h"
#include "sa_os_paths.h"
#include "sa_status.h"
#include "sa_time.h"

#define EXIT_WARN 1
#define EXIT_FAIL 2

static void print_finding(const sa_doctor_finding_t *finding, apr_pool_t *pool)
{
    static const sa_cli_colour_t colours[] = {SA_COLOUR_DIM, SA_COLOUR_GREEN, SA_COLOUR_YELLOW,
                                              SA_COLOUR_RED};
    static const char *const words[] = {"skip", "ok", "warn", "fail"};

    printf("%s%-4s%s  %-14s  %s\n", sa_cli_colour(colours[finding->state]),
           words[finding->state], sa_cli_colour(SA_COLOUR_PLAIN), finding->name,
           sa_cli_line(finding->detail, pool));
    if (*finding->fix) {
        printf("                      %s-> %s%s\n", sa_cli_colour(SA_COLOUR_BOLD),
               sa_cli_line(finding->fix, pool), sa_cli_colour(SA_COLOUR_PLAIN));
    }
}

static void print_report(const sa_doctor_report_t *report, apr_pool_t *pool)
{
    int counts[SA_DOCTOR_FAIL + 1] = {0};

    for (int i = 0; i < report->count; i++) {
        print_finding(&report->findings[i], pool);
        counts[report->findings[i].state]++;
    }
    printf("\n%d ok, %d warn, %d fail, %d skipped; %.1f s\n", counts[SA_DOCTOR_OK],
           counts[SA_DOCTOR_WARN], counts[SA_DOCTOR_FAIL], counts[SA_DOCTOR_SKIPPED],
           (double)report->took / 1e6);
}

/* How long the agent runs, where its state file tells. */
static apr_interval_time_t uptime(const sa_cli_options_t *options, apr_pool_t *pool)
{
    sa_config_t *config = NULL;
    apr_array_header_t *complaints;
    sa_status_t status = {0};

    /* what is wrong with either is a finding already */
    sa_error_clear(sa_config_load(&config, &complaints, &options->source, pool));
    if (config) {
        sa_error_clear(sa_status_read(&status, config->paths_runtime, pool));
    }
    return status.running ? sa_time_now() - status.started : 0;
}

int sa_cli_doctor(const sa_cli_options_t *options, apr_pool_t *pool)
{
    sa_doctor_report_t report;
    sa_error_t *err;
    int code;

    if (!options->source.file) {
        sa_os_path_borrow_credentials(pool);
    }
    err = sa_agent_examine(&report, &options->source, pool);
    if (err) {
        return sa_cli_fail(err);
    }
    if (options->json) {
        puts(sa_json_print(sa_doctor_json(&report, uptime(options, pool), pool), NULL, pool));
    } else {
        print_report(&report, pool);
    }
    code = report.state == SA_DOCTOR_FAIL ? EXIT_FAIL
         : report.state == SA_DOCTOR_WARN ? EXIT_WARN : SA_EXIT_OK;
    if (report.abandoned) {
        /* a thread hangs in what it examined: it must not meet the end of what it uses */
        fflush(stdout);
        _Exit(code);
    }
    return code;
}
