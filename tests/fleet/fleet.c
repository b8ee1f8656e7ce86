/* fleet: many real links in one process against one server.
 *
 * Shows how their connects are spread over time, after the start and after the server was
 * away, and whether each came back, and came back once.
 *
 * Each link has two or three threads (its own, the library's that reads, the flusher's or the
 * relay's), so 2,000 links are some 6,000 threads: the program starts itself anew with small
 * stacks (a thread of nats.c has the default's size, which is read when a program starts) and
 * with as many descriptors as it may have. */
#include "fleet.h"

#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/resource.h>
#include <sys/wait.h>

#include <apr_file_io.h>
#include <apr_general.h>
#include <apr_getopt.h>
#include <apr_strings.h>

#include "sa_http.h"
#include "sa_log.h"
#include "sa_os_file.h"
#include "sa_pool.h"
#include "sa_random.h"
#include "sa_stats.h"
#include "sa_time.h"

#define STACK_BYTES ((rlim_t)512 * 1024)
#define SPARE_DESCRIPTORS 100
#define LIMITS_SET "FLEET_LIMITS_SET"
/* A report that is not acknowledged is offered again, as the agent does. */
#define OFFERS 4
#define OFFER_WAIT apr_time_from_sec(5)
#define STOP_TIMEOUT apr_time_from_sec(2)

enum {
    OPTION_URL = 256, OPTION_CA, OPTION_SET, OPTION_RESTART, OPTION_REPORTS, OPTION_RECONNECTS,
    OPTION_KICK, OPTION_PATIENCE, OPTION_SETTLE, OPTION_LOG
};

static const apr_getopt_option_t getopt_options[] = {
    {"links", 'n', 1, "how many (1)"},
    {"url", OPTION_URL, 1, "the server, of any kind that nats.urls takes; may be repeated"},
    {"ca", OPTION_CA, 1, "trust this authority (nats.tls.ca_file: an absolute path)"},
    {"set", OPTION_SET, 1, "KEY=VALUE: any other setting of the agent; may be repeated"},
    {"restart", OPTION_RESTART, 1, "when all are up, run this by /bin/sh and see them come back"},
    {"reports", OPTION_REPORTS, 0, "each publishes fleet.N with an acknowledgement, before and "
     "after"},
    {"reconnects", OPTION_RECONNECTS, 1, "instead: one link that connects N times more, and what "
     "is left"},
    {"kick", OPTION_KICK, 1, "with --reconnects: every other time the server drops it, asked with "
     "the\n                 system account's user in this URL"},
    {"patience", OPTION_PATIENCE, 1, "longest wait for all to be up (2m)"},
    {"settle", OPTION_SETTLE, 1, "wait behind it, for one that comes twice (2s)"},
    {"log", OPTION_LOG, 1, "what the links say, from info on, into this file"},
    {"help", 'h', 0, "print this"},
    {NULL, 0, 0, NULL},
};

static void usage(FILE *stream)
{
    fputs("usage: fleet --url URL [OPTION [ARGUMENT]]...\n\n"
          "Many links against one server: how their connects are spread.\n\n", stream);
    for (size_t i = 0; getopt_options[i].name; i++) {
        fprintf(stream, "  --%-12s %s\n", getopt_options[i].name, getopt_options[i].description);
    }
    fputs("\nExit codes: 0 all came back, once, and no report is missing; 1 not so; 2 wrong use "
          "or a failure.\n", stream);
}

void fleet_fail(const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    fputs("fleet: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    _exit(2);       /* the links' threads are running */
}

void fleet_must(sa_error_t *err, const char *what)
{
    char text[512];

    if (err) {
        fleet_fail("%s: %s", what, sa_error_text(err, text, sizeof(text)));
    }
}

/* ---- limits ---------------------------------------------------------------- */

static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* nats.c reads all the system's authorities for each TLS connection, 20 ms and a megabyte each
 * (SSL_CTX_set_default_verify_paths(3)): one link hardly notices, a fleet does nothing else. */
static void spare_authorities(const fleet_t *fleet)
{
    if (fleet->ca_file && (setenv("SSL_CERT_FILE", fleet->ca_file, 1) != 0
                           || setenv("SSL_CERT_DIR", fleet->ca_file, 1) != 0)) {
        fleet_fail("cannot set the environment");
    }
}

/* A link has one descriptor, and five where a relay stands between (WebSocket). */
static void check_descriptors(const fleet_t *fleet)
{
    struct rlimit limit;
    rlim_t each = 1;

    for (int i = 0; i < fleet->urls->nelts; i++) {
        each = strncmp(APR_ARRAY_IDX(fleet->urls, i, const char *), "ws", 2) == 0 ? 5 : each;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0
        && limit.rlim_cur < each * (rlim_t)fleet->count + SPARE_DESCRIPTORS) {
        fleet_fail("%d links need %lu descriptors and %d more; the limit is %lu", fleet->count,
                   (unsigned long)each * (unsigned long)fleet->count, SPARE_DESCRIPTORS,
                   (unsigned long)limit.rlim_cur);
    }
}

/* Start this program anew with limits that fit. */
static void set_limits(char **argv)
{
    struct rlimit limit;

    raise_descriptors();
    if (getenv(LIMITS_SET) || getrlimit(RLIMIT_STACK, &limit) != 0) {
        return;
    }
    limit.rlim_cur = STACK_BYTES;
    if (setrlimit(RLIMIT_STACK, &limit) == 0 && setenv(LIMITS_SET, "yes", 1) == 0) {
        execvp(argv[0], argv);
    }
}

/* ---- what the links say ------------------------------------------------------ */

static void on_edge(void *baton, bool up)
{
    member_t *member = baton;
    fleet_t *fleet = member->fleet;
    apr_interval_time_t now = sa_time_mono();

    sa_os_mutex_lock(fleet->mutex);
    if (up) {
        member->ups++;
        if (member->ups == 1) {
            member->up_at = now;
            fleet->came++;
        }
    } else {
        member->downs++;
    }
    fleet->up += (up ? 1 : 0) - (member->is_up ? 1 : 0);
    member->is_up = up;
    sa_os_cond_broadcast(fleet->cond);
    sa_os_mutex_unlock(fleet->mutex);
}

static void on_ack(void *baton, apr_uint64_t token, sa_link_message_t **message)
{
    member_t *member = baton;
    fleet_t *fleet = member->fleet;
    sa_link_ack_t ack;

    (void)token;
    sa_link_read_ack(&ack, *message);
    sa_os_mutex_lock(fleet->mutex);
    fleet->stored += ack.stored && !member->stored;
    member->stored = member->stored || ack.stored;
    member->refused = member->refused || !ack.stored;
    sa_os_cond_broadcast(fleet->cond);
    sa_os_mutex_unlock(fleet->mutex);
}

/* ---- the fleet --------------------------------------------------------------- */

void fleet_begin(fleet_t *fleet)
{
    sa_os_mutex_lock(fleet->mutex);
    for (int i = 0; i < fleet->count; i++) {
        fleet->members[i].ups = 0;
        fleet->members[i].downs = 0;
    }
    fleet->came = 0;
    fleet->began = sa_time_mono();
    sa_os_mutex_unlock(fleet->mutex);
}

bool fleet_wait(fleet_t *fleet)
{
    apr_interval_time_t deadline = sa_time_mono() + fleet->patience;
    bool there;

    sa_os_mutex_lock(fleet->mutex);
    while ((fleet->came < fleet->count || fleet->up < fleet->count)
           && sa_time_mono() < deadline) {
        sa_os_cond_wait(fleet->cond, fleet->mutex, deadline);
    }
    there = fleet->came == fleet->count && fleet->up == fleet->count;
    sa_os_mutex_unlock(fleet->mutex);
    return there;
}

static void write_config(fleet_t *fleet)
{
    const char *text = "code: fleet\nnats:\n  auth: {type: none}\n";
    const char *temp;
    char name[13];

    if (fleet->ca_file) {
        text = apr_psprintf(fleet->pool, "%s  tls: {ca_file: \"%s\"}\n", text, fleet->ca_file);
    }
    text = apr_pstrcat(fleet->pool, text, "  urls: [", NULL);
    for (int i = 0; i < fleet->urls->nelts; i++) {
        text = apr_psprintf(fleet->pool, "%s%s\"%s\"", text, i ? ", " : "",
                            APR_ARRAY_IDX(fleet->urls, i, const char *));
    }
    text = apr_pstrcat(fleet->pool, text, "]\n", NULL);
    if (apr_temp_dir_get(&temp, fleet->pool) != APR_SUCCESS) {
        fleet_fail("there is no temporary folder");
    }
    sa_random_text(name, sizeof(name) - 1);
    fleet->directory = apr_pstrcat(fleet->pool, temp, "/fleet-", name, NULL);
    fleet->config_file = apr_pstrcat(fleet->pool, fleet->directory, "/agent.yaml", NULL);
    if (apr_dir_make(fleet->directory, APR_FPROT_UREAD | APR_FPROT_UWRITE | APR_FPROT_UEXECUTE,
                     fleet->pool) != APR_SUCCESS) {
        fleet_fail("cannot make the folder %s", fleet->directory);
    }
    fleet_must(sa_os_file_write_private(fleet->config_file, text, strlen(text), fleet->pool),
               "config");
}

static void remove_config(fleet_t *fleet)
{
    (void)apr_file_remove(fleet->config_file, fleet->pool);
    (void)apr_dir_remove(fleet->directory, fleet->pool);
}

/* The settings of MEMBER: as everybody's, with a code of its own. */
static sa_config_t *load_config(member_t *member, apr_pool_t *pool)
{
    fleet_t *fleet = member->fleet;
    sa_config_source_t source = { fleet->config_file, apr_array_copy(pool, fleet->sets) };
    apr_array_header_t *complaints;
    sa_config_t *config;
    sa_error_t *err;

    APR_ARRAY_PUSH((apr_array_header_t *)source.sets, const char *) =
        apr_psprintf(pool, "code=fleet-%d", member->number);
    err = sa_config_load(&config, &complaints, &source, pool);
    for (int i = 0; err && i < complaints->nelts; i++) {
        fprintf(stderr, "fleet: %s\n", sa_complaint_format(
                    &APR_ARRAY_IDX(complaints, i, sa_complaint_t), pool));
    }
    if (err) {
        remove_config(fleet);
    }
    fleet_must(err, "config");
    return config;
}

static void start_links(fleet_t *fleet)
{
    apr_pool_t *iter_pool = sa_pool_create(fleet->pool);

    for (int i = 0; i < fleet->count; i++) {
        member_t *member = &fleet->members[i];

        apr_pool_clear(iter_pool);
        member->fleet = fleet;
        member->number = i + 1;
        member->pool = sa_pool_create_root();
        fleet_must(sa_link_create(&member->link, member->pool), "link");
        sa_link_on_edge(member->link, on_edge, member);
        sa_link_on_ack(member->link, on_ack, member);
        fleet_must(sa_link_start(member->link, load_config(member, iter_pool)), "link");
    }
    apr_pool_destroy(iter_pool);
}

static void stop_links(fleet_t *fleet)
{
    apr_interval_time_t began = sa_time_mono();

    for (int i = 0; i < fleet->count; i++) {
        sa_link_stop(fleet->members[i].link, STOP_TIMEOUT);
        apr_pool_destroy(fleet->members[i].pool);
    }
    printf("stop: links=%d ms=%ld\n", fleet->count,
           (long)apr_time_as_msec(sa_time_mono() - began));
}

/* ---- restart, reports ---------------------------------------------------------- */

/* It is left alone, not ended, when it takes too long: this program ends. */
static void run_command(const char *command, apr_interval_time_t deadline)
{
    extern char **environ;
    char *const arguments[] = {"/bin/sh", "-c", (char *)command, NULL};
    int status = 0;
    pid_t pid;
    pid_t ended = 0;

    if (posix_spawn(&pid, arguments[0], NULL, NULL, arguments, environ) != 0) {
        fleet_fail("cannot run /bin/sh");
    }
    while (ended == 0 && sa_time_mono() < deadline) {
        apr_sleep(apr_time_from_msec(10));
        ended = waitpid(pid, &status, WNOHANG);
    }
    if (ended != pid || status != 0) {
        fleet_fail("the command failed: %s", command);
    }
}

static bool come_back(fleet_t *fleet)
{
    fleet_begin(fleet);
    run_command(fleet->restart, fleet->began + fleet->patience);
    printf("command: ms=%ld\n", (long)apr_time_as_msec(sa_time_mono() - fleet->began));
    (void)fleet_wait(fleet);
    apr_sleep(fleet->settle);
    return fleet_show(fleet, "restart");
}

/* Offer the report of ROUND of each that has no answer yet; how many could not be sent. */
static int offer(fleet_t *fleet, int round)
{
    char subject[32];
    char id[48];
    char body[48];
    int unsent = 0;

    for (int i = 0; i < fleet->count; i++) {
        member_t *member = &fleet->members[i];
        bool stored;
        sa_error_t *err;

        sa_os_mutex_lock(fleet->mutex);
        stored = member->stored;
        sa_os_mutex_unlock(fleet->mutex);
        if (stored) {
            continue;
        }
        apr_snprintf(subject, sizeof(subject), "fleet.%d", member->number);
        apr_snprintf(id, sizeof(id), "fleet%d-%d", member->number, round);
        apr_snprintf(body, sizeof(body), "{\"round\":%d}", round);
        err = sa_link_publish_acked(member->link, subject, NULL, id, body, strlen(body),
                                    (apr_uint64_t)round);
        unsent += err != SA_OK;
        sa_error_clear(err);        /* it is offered again */
    }
    return unsent;
}

static bool wait_stored(fleet_t *fleet)
{
    apr_interval_time_t deadline = sa_time_mono() + OFFER_WAIT;
    bool all;

    sa_os_mutex_lock(fleet->mutex);
    while (fleet->stored < fleet->count && sa_time_mono() < deadline) {
        sa_os_cond_wait(fleet->cond, fleet->mutex, deadline);
    }
    all = fleet->stored == fleet->count;
    sa_os_mutex_unlock(fleet->mutex);
    return all;
}

static bool report(fleet_t *fleet, int round)
{
    int unsent = 0;
    int offers = 0;
    int refused = 0;
    bool all = false;

    sa_os_mutex_lock(fleet->mutex);
    fleet->stored = 0;
    for (int i = 0; i < fleet->count; i++) {
        fleet->members[i].stored = false;
        fleet->members[i].refused = false;
    }
    sa_os_mutex_unlock(fleet->mutex);
    while (!all && offers < OFFERS) {
        unsent += offer(fleet, round);
        offers++;
        all = wait_stored(fleet);
    }
    sa_os_mutex_lock(fleet->mutex);
    for (int i = 0; i < fleet->count; i++) {
        refused += fleet->members[i].refused;
    }
    printf("reports: round=%d stored=%d missing=%d refused=%d unsent=%d offers=%d\n", round,
           fleet->stored, fleet->count - fleet->stored, refused, unsent, offers);
    sa_os_mutex_unlock(fleet->mutex);
    fflush(stdout);
    return all;
}

static bool run_fleet(fleet_t *fleet)
{
    bool good;

    (void)fleet_wait(fleet);
    apr_sleep(fleet->settle);
    good = fleet_show(fleet, "start");
    fleet_show_facts("process");
    if (fleet->reports) {
        good = report(fleet, 1) && good;
    }
    if (fleet->restart) {
        good = come_back(fleet) && good;
        fleet_show_facts("process");
        if (fleet->reports) {
            good = report(fleet, 2) && good;
        }
    }
    return good;
}

/* ---- the program ---------------------------------------------------------------- */

static long number(const char *text, const char *option)
{
    char *end;
    long value = strtol(text, &end, 10);

    if (*end || end == text || value < 1 || value > 100000) {
        fleet_fail("--%s: a number from 1 to 100000", option);
    }
    return value;
}

static void take_option(fleet_t *fleet, int option, const char *argument)
{
    switch (option) {
    case 'n':
        fleet->count = (int)number(argument, "links");
        break;
    case OPTION_URL:
        APR_ARRAY_PUSH(fleet->urls, const char *) = argument;
        break;
    case OPTION_CA:
        fleet->ca_file = argument;
        break;
    case OPTION_SET:
        APR_ARRAY_PUSH(fleet->sets, const char *) = argument;
        break;
    case OPTION_RESTART:
        fleet->restart = argument;
        break;
    case OPTION_REPORTS:
        fleet->reports = true;
        break;
    case OPTION_RECONNECTS:
        fleet->reconnects = (int)number(argument, "reconnects");
        break;
    case OPTION_KICK:
        fleet->kick = argument;
        break;
    case OPTION_PATIENCE:
        fleet_must(sa_duration_parse(&fleet->patience, argument), "--patience");
        break;
    case OPTION_SETTLE:
        fleet_must(sa_duration_parse(&fleet->settle, argument), "--settle");
        break;
    case OPTION_LOG:
        fleet->log = argument;
        break;
    default:
        usage(stdout);
        exit(EXIT_SUCCESS);
    }
}

static void read_options(fleet_t *fleet, int argc, const char *const *argv)
{
    apr_getopt_t *getopt;
    const char *argument;
    int option;
    apr_status_t status = apr_getopt_init(&getopt, fleet->pool, argc, argv);

    fleet->urls = apr_array_make(fleet->pool, 2, sizeof(const char *));
    fleet->sets = apr_array_make(fleet->pool, 4, sizeof(const char *));
    while (status == APR_SUCCESS) {
        status = apr_getopt_long(getopt, getopt_options, &option, &argument);
        if (status == APR_SUCCESS) {
            take_option(fleet, option, argument);
        }
    }
    if (status != APR_EOF || getopt->ind != argc || fleet->urls->nelts == 0
        || (fleet->reconnects && fleet->count > 1)) {
        usage(stderr);
        exit(2);
    }
}

static void open_log(fleet_t *fleet)
{
    sa_log_settings_t settings = { .level = SA_LEVEL_error, .format = SA_LOG_TEXT };

    if (fleet->log) {
        settings.level = SA_LEVEL_info;
        settings.path = fleet->log;
    }
    fleet_must(sa_log_open(&settings, fleet->pool), "log");
}

static void open_all(fleet_t *fleet)
{
    sa_stats_init(fleet->pool);
    open_log(fleet);
    fleet_must(sa_http_library_open(), "http");
    fleet_must(sa_link_library_open(), "link");
    fleet->mutex = sa_os_mutex_create(fleet->pool);
    fleet->cond = sa_os_cond_create(fleet->pool);
    fleet->members = apr_pcalloc(fleet->pool, sizeof(member_t) * (size_t)fleet->count);
    write_config(fleet);
}

static void close_all(fleet_t *fleet)
{
    stop_links(fleet);
    sa_link_library_close();
    sa_http_library_close();
    sa_log_close();
    fleet_show_facts("end");
}

int main(int argc, char **argv)
{
    fleet_t fleet = { .count = 1, .patience = apr_time_from_sec(120),
                      .settle = apr_time_from_sec(2) };
    bool good;

    signal(SIGPIPE, SIG_IGN);
    set_limits(argv);
    apr_initialize();
    fleet.pool = sa_pool_create_root();
    read_options(&fleet, argc, (const char *const *)argv);
    check_descriptors(&fleet);
    spare_authorities(&fleet);
    open_all(&fleet);
    fleet_begin(&fleet);
    start_links(&fleet);
    remove_config(&fleet);
    good = fleet.reconnects ? fleet_reconnects(&fleet) : run_fleet(&fleet);
    close_all(&fleet);
    apr_pool_destroy(fleet.pool);
    puts(good ? "fleet: all is well" : "fleet: NOT WELL");
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
