/* cli: status.  From the state file alone.  Exit codes: 0 it runs and all is well, 1 it runs and
 * something is wrong, 3 it does not run. */
#include <stdio.h>
#include <string.h>

#include <apr_strings.h>

#include "sa_cli.h"
#include "sa_cli_colour.h"
#include "sa_os_daemon.h"
#include "sa_os_paths.h"
#include "sa_pool.h"
#include "sa_status.h"
#include "sa_time.h"

#define WATCH_PAUSE apr_time_from_sec(2)

static const cJSON *get(const cJSON *json, const char *name)
{
    return cJSON_GetObjectItem(json, name);
}

static const char *text(const cJSON *json, const char *name, apr_pool_t *pool)
{
    const char *value = sa_json_text(json, name);

    return value ? sa_cli_line(value, pool) : "";
}

static double number(const cJSON *json, const char *name)
{
    double value = 0;

    return sa_json_number(json, name, &value) ? value : 0;
}

static bool is_true(const cJSON *json, const char *name)
{
    return cJSON_IsTrue(get(json, name));
}

/* "3m12s ago"; "never" */
static const char *ago(const cJSON *json, const char *name, apr_pool_t *pool)
{
    char span[SA_DURATION_TEXT];
    apr_time_t time = sa_status_time(sa_json_text(json, name));
    apr_interval_time_t age = sa_time_now() - time;

    if (time == 0) {
        return "never";
    }
    if (age < APR_USEC_PER_SEC) {
        return "now";
    }
    return apr_pstrcat(pool, sa_duration_format(span, age / APR_USEC_PER_SEC * APR_USEC_PER_SEC),
                       " ago", NULL);
}

static void row(const char *name, sa_cli_colour_t colour, const char *words)
{
    printf("%-12s %s%s%s\n", name, sa_cli_colour(colour), words, sa_cli_colour(SA_COLOUR_PLAIN));
}

static void print_mend(const char *mend)
{
    if (*mend && strcmp(mend, "Nothing.") != 0) {
        printf("%-12s %s-> %s%s\n", "", sa_cli_colour(SA_COLOUR_BOLD), mend,
               sa_cli_colour(SA_COLOUR_PLAIN));
    }
}

static void print_head(const sa_status_t *status, apr_pool_t *pool)
{
    const char *health = text(status->json, "status", pool);
    bool good = strcmp(health, "healthy") == 0;

    row("agent", SA_COLOUR_BOLD, apr_psprintf(pool, "%s, version %s, process %" APR_INT64_T_FMT,
                                              text(status->json, "code", pool),
                                              text(status->json, "version", pool), status->pid));
    row("status", good ? SA_COLOUR_GREEN : SA_COLOUR_YELLOW, health);
    row("started", SA_COLOUR_PLAIN, ago(status->json, "started", pool));
}

static void print_link(const cJSON *link, apr_pool_t *pool)
{
    if (is_true(link, "connected")) {
        const char *rtt = number(link, "rtt_ms") > 0
            ? apr_psprintf(pool, ", %.1f ms", number(link, "rtt_ms")) : "";

        row("bus", SA_COLOUR_GREEN, apr_psprintf(pool, "%s, %s%s, since %s",
                                                 text(link, "url", pool), text(link, "tls", pool),
                                                 rtt, ago(link, "since", pool)));
    } else {
        row("bus", SA_COLOUR_RED, apr_psprintf(pool, "not connected, since %s; %s",
                                               ago(link, "since", pool),
                                               *text(link, "error", pool)
                                               ? text(link, "error", pool)
                                               : "the first attempt is under way"));
        print_mend(text(link, "fix", pool));
    }
    if (number(link, "reconnects") > 0) {
        row("", SA_COLOUR_PLAIN, apr_psprintf(pool, "%.0f reconnects, %.0f failed attempts",
                                              number(link, "reconnects"),
                                              number(link, "failures")));
    }
}

static void print_spool(const cJSON *spool, apr_pool_t *pool)
{
    bool bad = is_true(spool, "failed") || is_true(spool, "stream_missing");
    char size[8];

    apr_strfsize((apr_off_t)number(spool, "bytes"), size);
    row("spool", bad ? SA_COLOUR_RED : SA_COLOUR_PLAIN,
        apr_psprintf(pool, "%.0f waiting (%s)%s%s; %.0f accepted, %.0f stored, %.0f dropped",
                     number(spool, "waiting"), size,
                     sa_json_text(spool, "oldest") ? ", oldest of " : "",
                     sa_json_text(spool, "oldest") ? ago(spool, "oldest", pool) : "",
                     number(spool, "accepted"), number(spool, "stored"),
                     number(spool, "dropped")));
    if (bad) {
        row("", SA_COLOUR_RED, text(spool, "error", pool));
    }
}

static void print_tasks(const cJSON *tasks, apr_pool_t *pool)
{
    const cJSON *task;
    const char *name = "reports";

    cJSON_ArrayForEach(task, tasks) {
        double failures = number(task, "failures");

        if (number(task, "count") == 0 && failures == 0) {
            continue;
        }
        row(name, failures > 0 ? SA_COLOUR_YELLOW : SA_COLOUR_PLAIN,
            apr_psprintf(pool, "%-15s %s, %.0f%s", task->string ? sa_cli_line(task->string, pool)
                         : "", ago(task, "last", pool), number(task, "count"),
                         failures > 0 ? apr_psprintf(pool, ", %.0f failed", failures) : ""));
        name = "";
    }
}

static void print_identity(const cJSON *identity, apr_pool_t *pool)
{
    const char *state = text(identity, "state", pool);
    bool good = !*state || strcmp(state, "current") == 0;

    row("identity", good ? SA_COLOUR_PLAIN : SA_COLOUR_YELLOW,
        apr_psprintf(pool, "%s%s%s%s%s", text(identity, "auth", pool), *state ? ", " : "", state,
                     good ? "" : ": ", good ? "" : text(identity, "error", pool)));
}

static void print_nebula(const cJSON *nebula, apr_pool_t *pool)
{
    bool good = is_true(nebula, "lighthouse_up");

    if (!is_true(nebula, "enabled")) {
        return;
    }
    row("overlay", good ? SA_COLOUR_GREEN : SA_COLOUR_YELLOW,
        apr_psprintf(pool, "%s, %s, %s, %.0f tunnels, certificate until %s",
                     text(nebula, "overlay_ip", pool),
                     is_true(nebula, "running") ? "running" : "not running",
                     good ? "a lighthouse answers" : "no lighthouse answers",
                     number(nebula, "tunnels"), text(nebula, "cert_expires_at", pool)));
    if (*text(nebula, "error", pool)) {
        row("", SA_COLOUR_YELLOW, text(nebula, "error", pool));
    }
}

static void print_commands(const cJSON *commands, apr_pool_t *pool)
{
    const cJSON *child;

    row("commands", SA_COLOUR_PLAIN, apr_psprintf(pool, "%.0f running; %.0f done, %.0f with an "
                                                  "error, %.0f refused",
                                                  number(commands, "running"),
                                                  number(commands, "processed"),
                                                  number(commands, "errored"),
                                                  number(commands, "refused")));
    cJSON_ArrayForEach(child, get(commands, "children")) {
        row("", SA_COLOUR_PLAIN, apr_psprintf(pool, "%s %s, begun %s",
                                              text(child, "command", pool),
                                              text(child, "id", pool),
                                              ago(child, "since", pool)));
    }
}

static void print_error(const cJSON *json, apr_pool_t *pool)
{
    const cJSON *error = get(json, "last_error");
    const cJSON *denied;

    cJSON_ArrayForEach(denied, get(json, "denied")) {
        row("denied", SA_COLOUR_YELLOW, apr_pstrcat(pool, "the role lacks \"", sa_cli_line(
            cJSON_GetStringValue(denied) ? cJSON_GetStringValue(denied) : "", pool), "\"", NULL));
    }
    if (!error) {
        return;
    }
    row("last trouble", strcmp(text(error, "level", pool), "error") == 0 ? SA_COLOUR_RED
        : SA_COLOUR_YELLOW, apr_psprintf(pool, "%s, %s: %s", ago(error, "at", pool),
                                         text(error, "event", pool), text(error, "text", pool)));
    print_mend(text(error, "fix", pool));
}

static void print_running(const sa_status_t *status, apr_pool_t *pool)
{
    const cJSON *process = get(status->json, "process");

    print_head(status, pool);
    print_link(get(status->json, "link"), pool);
    print_spool(get(status->json, "spool"), pool);
    print_tasks(get(status->json, "tasks"), pool);
    print_identity(get(status->json, "identity"), pool);
    print_nebula(get(status->json, "nebula"), pool);
    print_commands(get(status->json, "commands"), pool);
    row("process", SA_COLOUR_PLAIN, apr_psprintf(pool, "%.1f MB, %.0f threads, %.1f s of CPU",
                                                 number(process, "memory_mb"),
                                                 number(process, "threads"),
                                                 number(process, "cpu_seconds")));
    print_error(status->json, pool);
    row("written", SA_COLOUR_DIM, ago(status->json, "written", pool));
}

static void print_not_running(const sa_status_t *status, const char *runtime, apr_pool_t *pool)
{
    if (status->json) {
        row("agent", SA_COLOUR_RED, apr_psprintf(pool, "not running; process %" APR_INT64_T_FMT
                                                 " ended without a word, last heard of %s",
                                                 status->pid, ago(status->json, "written", pool)));
        print_error(status->json, pool);
    } else {
        row("agent", SA_COLOUR_RED, apr_psprintf(pool, "not running, as far as %s tells",
                                                 runtime));
    }
}

static void print_json(const sa_status_t *status, apr_pool_t *pool)
{
    cJSON *json = status->json ? cJSON_Duplicate(status->json, true) : cJSON_CreateObject();

    sa_json_own(json, pool);
    cJSON_AddBoolToObject(json, "running", status->running);
    puts(sa_json_print(json, NULL, pool));
}

static int code_of(const sa_status_t *status)
{
    const char *health = sa_json_text(status->json, "status");

    if (!status->running) {
        return SA_EXIT_NOT_RUNNING;
    }
    return health && strcmp(health, "healthy") == 0 ? SA_EXIT_OK : SA_EXIT_FAILURE;
}

static int show(const sa_cli_options_t *options, const char *runtime, apr_pool_t *pool)
{
    sa_status_t status;
    sa_error_t *err = sa_status_read(&status, runtime, pool);

    if (err) {
        return sa_cli_fail(err);
    }
    if (options->json) {
        print_json(&status, pool);
    } else if (status.running) {
        print_running(&status, pool);
    } else {
        print_not_running(&status, runtime, pool);
    }
    fflush(stdout);
    return code_of(&status);
}

const char *sa_cli_runtime(const sa_cli_options_t *options, apr_pool_t *pool)
{
    sa_config_t *config = NULL;
    apr_array_header_t *complaints;
    sa_error_t *err;
    char words[256];

    if (!options->source.file) {
        sa_os_path_borrow_credentials(pool);
    }
    err = sa_config_load(&config, &complaints, &options->source, pool);
    if (!err) {
        return config->paths_runtime;
    }
    fprintf(stderr, "stone-age-agent: %s; looking in %s (see check-config)\n",
            sa_error_text(err, words, sizeof(words)), sa_os_path_runtime(pool));
    sa_error_clear(err);
    return sa_os_path_runtime(pool);
}

int sa_cli_status(const sa_cli_options_t *options, apr_pool_t *pool)
{
    const char *runtime = sa_cli_runtime(options, pool);
    bool terminal = sa_os_console_is_terminal(false);
    apr_pool_t *turn_pool;
    int code;

    turn_pool = sa_pool_create(pool);
    for (;;) {
        if (options->watch && terminal && !options->json) {
            fputs("\033[H\033[2J", stdout);
        }
        code = show(options, runtime, turn_pool);
        apr_pool_clear(turn_pool);
        if (!options->watch
            || sa_os_daemon_wait(sa_time_mono() + WATCH_PAUSE) == SA_OS_REQUEST_STOP) {
            return code;
        }
        if (!options->json) {
            putchar('\n');
        }
    }
}
