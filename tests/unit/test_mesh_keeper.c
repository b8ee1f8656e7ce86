/* mesh: the rules by which the overlay is kept, under a clock of the test's own.  Who runs
 * Nebula and the program itself are the test's own too: the real ones' symbols, linked instead. */
#include <apr_strings.h>

#include "../../src/mesh/sa_mesh_keeper.h"
#include "sa_os_file.h"
#include "sa_os_overlay.h"
#include "sa_os_thread.h"
#include "sa_test.h"
#include "sa_test_server.h"
#include "sa_time.h"

#define SECOND APR_INT64_C(1000000)
#define DAY (86400 * SECOND)
/* The certificates below end on 2026-11-28, one of them 22 minutes after the other. */
#define START (APR_INT64_C(1794000000) * SECOND)
#define END (APR_INT64_C(1795887560) * SECOND)

#define FIRST \
    "-----BEGIN NEBULA CERTIFICATE V2-----\n" \
    "    MIGtoEeABGhvc3ShBwQFCoABAhijCAwGdGhpbmdzhQRrBZOIhgRrCxHIhyCwXwV6\n" \
    "    v8vSw4YYOew8lpaUOExgYJv2FxARGka1Cm4cPoIg2lwCTKvgRJKcYku0BUiqki+k\n" \
    "    n57PBAb53hVvcfFyBwWDQPfGmTUoHq8RydX8kHAh8JuVII1iN+4Y78cSGWZq20N8\n" \
    "    BwsUV5iSZTfVsBA9Sg5TsOWKtSqkNlInwyPUWTTyyA4=\n" \
    "    -----END NEBULA CERTIFICATE V2-----\n"
#define SECOND_ADDRESS \
    "-----BEGIN NEBULA CERTIFICATE V2-----\n" \
    "    MIG+oFiAA3NpeKEaBAUKgAECGAQR/QAAdwAAAAAAAAAAAAAAAkCiBwQFChQAABCF\n" \
    "    BGsFmM2GBGsLFw2HILBfBXq/y9LDhhg57DyWlpQ4TGBgm/YXEBEaRrUKbhw+giD1\n" \
    "    J10XySo+E+2kyrGiju9EOTdnB064fNRC0UOwZ22qcoNAT7kiDB0+6xlH7OAPeMlz\n" \
    "    kWHk+CfL1wwDKtCR6lCnPdf/3QmurEbz4a73JsDHnoWX4/6J8wf4kXKoM3S3EpC1\n" \
    "    Ag==\n" \
    "    -----END NEBULA CERTIFICATE V2-----\n"
#define DOCUMENT(certificate, lines) \
    "pki:\n  ca: |\n    " FIRST "  cert: |\n    " certificate "  key: |\n" \
    "    -----BEGIN NEBULA X25519 PRIVATE KEY-----\n" \
    "lighthouse: {hosts: [10.128.1.1]}\n" lines

#define GOOD DOCUMENT(FIRST, "")
#define RENEWED DOCUMENT(FIRST "    # renewed\n", "")
#define FIREWALL DOCUMENT(FIRST, "firewall: {}\n")
#define MOVED DOCUMENT(SECOND_ADDRESS, "")
#define BAD DOCUMENT(FIRST, "cipher: none\n")

/* ---- what stands in for the world ----------------------------------------------------- */

static struct {
    apr_time_t now;             /* both clocks */
    bool on;
    int starts;
    int reloads;
    int restarts;
    int stops;
    int tests;
    bool stays;                 /* the last stop left a service */
    const char *fault;          /* of the program; NULL: none */
    const char *test_fault;     /* what `nebula -test` says; NULL: it passes */
    const char *control_fault;  /* of starting it */
    sa_mesh__state_t *state;
    int news;
} world;

struct sa_mesh__runner_t {
    int unused;
};
static struct sa_mesh__runner_t the_runner;

static apr_time_t read_clock(void *baton)
{
    (void)baton;
    return world.now;
}

sa_mesh__runner_t *sa_mesh__runner_create(sa_mesh__state_t *state, sa_os_cancel_t *cancel,
                                          apr_pool_t *pool)
{
    (void)cancel;
    (void)pool;
    world.state = state;
    return &the_runner;
}

sa_error_t *sa_mesh__runner_start(sa_mesh__runner_t *runner, const sa_mesh__running_t *running)
{
    (void)runner;
    if (world.control_fault) {
        return sa_error(SA_ERR_DENIED, NULL, "%s", world.control_fault);
    }
    world.on = true;
    world.starts++;
    if (running->mode != SA_NEBULA_FILES) {
        sa_mesh__state_began(world.state, true);
    }
    return SA_OK;
}

bool sa_mesh__runner_is_on(const sa_mesh__runner_t *runner)
{
    (void)runner;
    return world.on;
}

sa_error_t *sa_mesh__runner_reload(sa_mesh__runner_t *runner)
{
    (void)runner;
    world.reloads++;
    return SA_OK;
}

sa_error_t *sa_mesh__runner_restart(sa_mesh__runner_t *runner)
{
    (void)runner;
    world.restarts++;
    sa_mesh__state_ended(world.state, NULL);
    sa_mesh__state_began(world.state, true);
    return SA_OK;
}

void sa_mesh__runner_stop(sa_mesh__runner_t *runner, bool leave)
{
    (void)runner;
    world.stops += world.on;
    world.stays = leave;
    world.on = false;
    sa_mesh__state_ended(world.state, NULL);
}

const char *const sa_mesh__environment[] = {NULL};

sa_error_t *sa_mesh__program_open(sa_mesh__program_t *program, const char *binary,
                                  sa_os_cancel_t *cancel, apr_pool_t *pool)
{
    (void)cancel;
    (void)pool;
    program->path = binary;
    program->version = "1.11.0";
    return world.fault ? sa_error(SA_ERR_NOT_ON_THIS_OS, NULL, "%s", world.fault) : SA_OK;
}

sa_error_t *sa_mesh__program_test(const sa_mesh__program_t *program, const char *folder,
                                  sa_os_cancel_t *cancel, apr_pool_t *scratch_pool)
{
    (void)program;
    (void)folder;
    (void)cancel;
    (void)scratch_pool;
    world.tests++;
    return world.test_fault ? sa_error(SA_ERR_REFUSED, NULL, "%s", world.test_fault) : SA_OK;
}

const char *sa_mesh__version_fault(const char *version, apr_pool_t *pool)
{
    (void)version;
    (void)pool;
    return NULL;
}

sa_error_t *sa_os_overlay_check(apr_pool_t *scratch_pool)
{
    (void)scratch_pool;
    return SA_OK;
}

bool sa_os_overlay_find(char name[SA_OS_INTERFACE_SIZE], const char *address)
{
    (void)address;
    apr_cpystrn(name, "nebula1", SA_OS_INTERFACE_SIZE);
    return true;
}

/* ---- a keeper ------------------------------------------------------------------------- */

typedef struct kept_t {
    sa_mesh__keeper_t *keeper;
    const char *folder;
    const char *file;
    const char *device;
    apr_interval_time_t timeout;        /* verify_timeout */
    apr_pool_t *pool;
} kept_t;

static void on_news(void *baton)
{
    (void)baton;
    world.news++;
}

static void settle(kept_t *kept, bool enabled, sa_nebula_mode_t mode)
{
    sa_config_t config = {
        .nebula_enabled = enabled, .nebula_mode = (int)mode, .nebula_folder = kept->folder,
        .nebula_config_file = kept->file, .nebula_binary = "", .nebula_service = "nebula.service",
        .nebula_verify_timeout = kept->timeout
    };
    apr_array_header_t *devices = apr_array_make(kept->pool, 1, sizeof(const char *));

    APR_ARRAY_PUSH(devices, const char *) = kept->device;
    config.nebula_allowed_devices = devices;
    config.nebula_allowed_routes = apr_array_make(kept->pool, 1, sizeof(const char *));
    sa_mesh__keeper_settle(kept->keeper, sa_mesh__settings_create(&config));
}

static void begin(kept_t *kept, const char *folder, apr_pool_t *pool)
{
    static const sa_clock_t clock = {.now = read_clock, .mono = read_clock};

    memset(&world, 0, sizeof(world));
    world.now = START;
    sa_time_set_clock(&clock);
    kept->pool = pool;
    kept->folder = folder;
    kept->device = "nebula1";
    kept->timeout = 30 * SECOND;
    kept->file = apr_pstrcat(pool, folder, ".platform.yaml", NULL);
    kept->keeper = sa_mesh__keeper_create(on_news, NULL, NULL);
    settle(kept, true, SA_NEBULA_SUPERVISE);
}

static void end(kept_t *kept)
{
    sa_mesh__keeper_stop(kept->keeper);
    sa_time_set_clock(NULL);
}

static void bring(kept_t *kept, const char *text)
{
    SA_ASSERT_OK(sa_os_file_write_private(kept->file, text, strlen(text), kept->pool));
    sa_mesh__keeper_look(kept->keeper);
    sa_mesh__keeper_tend(kept->keeper);
}

static void hear(kept_t *kept, sa_mesh__said_t said, const char *text)
{
    sa_mesh__line_t line = {.said = said};

    apr_cpystrn(line.address, text, sizeof(line.address));
    apr_cpystrn(line.words, text, sizeof(line.words));
    sa_mesh__state_hear(world.state, &line);
    sa_mesh__keeper_tend(kept->keeper);
}

static void answer(kept_t *kept)
{
    hear(kept, SA_MESH__SAID_HANDSHAKE, "10.128.1.1");
}

/* Tend as often as the keeper wants to for TIME. */
static void pass_time(kept_t *kept, apr_interval_time_t time)
{
    apr_time_t until = world.now + time;
    int turns = 0;

    while (world.now < until) {
        apr_interval_time_t next = sa_mesh__keeper_next(kept->keeper);

        ck_assert_int_lt(turns, 40000);         /* it does not spin */
        turns++;
        world.now = next < until ? (next > world.now ? next : world.now) : until;
        sa_mesh__keeper_tend(kept->keeper);
    }
}

static const char *error_of(kept_t *kept)
{
    sa_mesh_status_t *status = apr_palloc(kept->pool, sizeof(*status));

    sa_mesh__keeper_status(kept->keeper, status);
    return status->error;
}

static bool holds(kept_t *kept, const char *end_of_name, const char *text)
{
    const char *there = NULL;

    SA_ASSERT_OK(sa_mesh__folder_read(&there, apr_pstrcat(kept->pool, kept->folder, end_of_name,
                                                          NULL), kept->pool));
    return text ? there && strcmp(there, text) == 0 : there == NULL;
}

/* Begin with GOOD, which works. */
static void begin_good(kept_t *kept, apr_pool_t *pool)
{
    begin(kept, apr_pstrcat(pool, sa_test_dir(pool), "/live", NULL), pool);
    bring(kept, GOOD);
    answer(kept);
    ck_assert_str_eq(error_of(kept), "");
    ck_assert(holds(kept, ".good", GOOD));
}

/* ---- stories -------------------------------------------------------------------------- */

SA_TEST(the_first_document_is_tested_run_and_kept_as_good_once_a_lighthouse_answers)
{
    sa_mesh_status_t status;
    kept_t kept;

    begin(&kept, apr_pstrcat(pool, sa_test_dir(pool), "/live", NULL), pool);
    sa_mesh__keeper_look(kept.keeper);
    ck_assert_int_eq(world.starts, 0);
    bring(&kept, GOOD);
    ck_assert_int_eq(world.tests, 1);
    ck_assert_int_eq(world.starts, 1);
    ck_assert(holds(&kept, "", GOOD));
    ck_assert(holds(&kept, ".good", NULL));
    ck_assert(holds(&kept, ".new", NULL));
    answer(&kept);
    ck_assert(holds(&kept, ".good", GOOD));
    ck_assert(!sa_mesh__keeper_status(kept.keeper, &status));
    ck_assert(status.enabled && status.running && status.lighthouse_up && status.verified);
    ck_assert_int_eq(status.tunnels, 1);
    ck_assert_str_eq(status.overlay_ip, "10.128.1.2");
    ck_assert_str_eq(status.interface, "nebula1");
    ck_assert_str_eq(status.mode, "supervise");
    end(&kept);
    ck_assert(world.stays);
}

SA_TEST(a_change_is_put_live_in_the_gentlest_way)
{
    kept_t kept;

    begin_good(&kept, pool);
    bring(&kept, FIREWALL);                      /* the tunnel stays and says nothing */
    ck_assert_int_eq(world.reloads, 1);
    hear(&kept, SA_MESH__SAID_RELOADING, "");
    pass_time(&kept, 3 * SECOND);
    ck_assert(holds(&kept, ".good", FIREWALL));
    bring(&kept, RENEWED);
    ck_assert_int_eq(world.reloads, 2);
    hear(&kept, SA_MESH__SAID_RELOADING, "");
    pass_time(&kept, 10 * SECOND);
    ck_assert(!holds(&kept, ".good", RENEWED));     /* its handshake is to come */
    answer(&kept);
    ck_assert(holds(&kept, ".good", RENEWED));
    ck_assert_int_eq(world.restarts, 0);
    bring(&kept, MOVED);
    ck_assert_int_eq(world.restarts, 1);
    answer(&kept);
    ck_assert(holds(&kept, ".good", MOVED));
    ck_assert_str_eq(error_of(&kept), "");
    end(&kept);
}

SA_TEST(what_has_only_just_been_started_is_not_reloaded)
{
    kept_t kept;

    begin(&kept, apr_pstrcat(pool, sa_test_dir(pool), "/live", NULL), pool);
    bring(&kept, GOOD);
    bring(&kept, FIREWALL);
    ck_assert_int_eq(world.reloads, 0);
    ck_assert_int_eq(world.restarts, 1);
    hear(&kept, SA_MESH__SAID_ACTIVE, "");
    bring(&kept, GOOD);
    ck_assert_int_eq(world.reloads, 1);
    end(&kept);
}

SA_TEST(a_handshake_after_a_reload_has_the_time_that_nebula_needs)
{
    kept_t kept;

    begin_good(&kept, pool);
    kept.timeout = 3 * SECOND;
    settle(&kept, true, SA_NEBULA_SUPERVISE);
    bring(&kept, RENEWED);
    hear(&kept, SA_MESH__SAID_RELOADING, "");
    pass_time(&kept, 14 * SECOND);
    ck_assert(holds(&kept, "", RENEWED));
    pass_time(&kept, 2 * SECOND);
    ck_assert(holds(&kept, "", GOOD));
    end(&kept);
}

SA_TEST(a_handshake_of_times_before_proves_nothing)
{
    sa_mesh__line_t old = {
        .said = SA_MESH__SAID_HANDSHAKE, .at = START - DAY, .address = "10.128.1.1"
    };
    kept_t kept;

    begin_good(&kept, pool);
    bring(&kept, BAD);
    sa_mesh__state_hear(world.state, &old);
    pass_time(&kept, 29 * SECOND);
    ck_assert(!holds(&kept, ".good", BAD));
    pass_time(&kept, 2 * SECOND);
    ck_assert(holds(&kept, "", GOOD));
    end(&kept);
}

SA_TEST(what_is_refused_leaves_all_as_it_was_and_is_said)
{
    kept_t kept;

    begin_good(&kept, pool);
    bring(&kept, "sshd: {}\n");
    ck_assert_ptr_nonnull(strstr(error_of(&kept), "sshd"));
    world.test_fault = "not a pair";
    bring(&kept, RENEWED);
    ck_assert_str_eq(error_of(&kept), "not a pair");
    ck_assert_int_eq(world.reloads + world.restarts, 0);
    ck_assert(holds(&kept, "", GOOD));
    ck_assert(holds(&kept, ".new", NULL));
    bring(&kept, GOOD);
    ck_assert_str_eq(error_of(&kept), "");
    end(&kept);
}

SA_TEST(a_change_that_reaches_nobody_is_taken_back_once)
{
    sa_mesh_status_t status;
    kept_t kept;

    begin_good(&kept, pool);
    pass_time(&kept, 3600 * SECOND);            /* a tunnel that stands says nothing */
    bring(&kept, BAD);
    ck_assert_int_eq(world.restarts, 1);
    pass_time(&kept, 29 * SECOND);
    ck_assert(holds(&kept, "", BAD));
    pass_time(&kept, 2 * SECOND);
    ck_assert(holds(&kept, "", GOOD));
    ck_assert(holds(&kept, ".bad", BAD));
    ck_assert_int_eq(world.restarts, 2);
    answer(&kept);
    ck_assert(sa_mesh__keeper_status(kept.keeper, &status));
    ck_assert(status.rolled_back && status.lighthouse_up);
    ck_assert_str_eq(status.error,
                     "the platform's configuration was taken back: no lighthouse answers");
    sa_mesh__keeper_look(kept.keeper);          /* not again by itself ... */
    pass_time(&kept, 2 * DAY / 24);
    ck_assert_int_eq(world.restarts, 2);
    sa_mesh__keeper_try_again(kept.keeper);     /* ... but when somebody asks */
    sa_mesh__keeper_look(kept.keeper);
    ck_assert_int_eq(world.restarts, 3);
    answer(&kept);
    ck_assert(holds(&kept, ".good", BAD));
    ck_assert(holds(&kept, ".bad", NULL));
    ck_assert_str_eq(error_of(&kept), "");
    end(&kept);
}

SA_TEST(the_platform_going_back_by_itself_ends_it)
{
    kept_t kept;

    begin_good(&kept, pool);
    bring(&kept, BAD);
    pass_time(&kept, 31 * SECOND);
    answer(&kept);
    ck_assert_str_ne(error_of(&kept), "");
    bring(&kept, GOOD);
    ck_assert_str_eq(error_of(&kept), "");
    end(&kept);
}

SA_TEST(a_bad_minute_is_no_bad_change)
{
    kept_t kept;

    begin_good(&kept, pool);
    bring(&kept, BAD);
    pass_time(&kept, 31 * SECOND);
    ck_assert(holds(&kept, "", GOOD));
    pass_time(&kept, 31 * SECOND);              /* nor does the old one */
    ck_assert_int_eq(world.restarts, 2);
    ck_assert(holds(&kept, "", GOOD));
    answer(&kept);                              /* the lighthouse is back */
    pass_time(&kept, 61 * SECOND);
    ck_assert(holds(&kept, "", BAD));           /* a second chance */
    ck_assert_int_eq(world.restarts, 3);
    pass_time(&kept, 31 * SECOND);
    ck_assert(holds(&kept, "", GOOD));
    answer(&kept);
    pass_time(&kept, 3600 * SECOND);            /* and no third */
    ck_assert_int_eq(world.restarts, 4);
    end(&kept);
}

SA_TEST(where_the_old_one_did_not_work_lately_the_new_one_stays)
{
    kept_t kept;

    begin_good(&kept, pool);
    hear(&kept, SA_MESH__SAID_CLOSED, "10.128.1.1");
    ck_assert_str_eq(error_of(&kept), "no lighthouse answers");
    pass_time(&kept, 16 * 60 * SECOND);
    bring(&kept, BAD);
    pass_time(&kept, 31 * SECOND);
    ck_assert(holds(&kept, "", BAD));
    ck_assert(holds(&kept, ".good", GOOD));
    ck_assert_str_eq(error_of(&kept), "no lighthouse answers");
    pass_time(&kept, 3600 * SECOND);
    answer(&kept);                              /* late, but it does */
    ck_assert(holds(&kept, ".good", BAD));
    ck_assert_str_eq(error_of(&kept), "");
    end(&kept);
}

SA_TEST(an_error_at_a_reload_is_taken_back_at_once)
{
    kept_t kept;

    begin_good(&kept, pool);
    bring(&kept, RENEWED);
    hear(&kept, SA_MESH__SAID_RELOADING, "");
    hear(&kept, SA_MESH__SAID_WRONG, "Could not load client cert");
    ck_assert(holds(&kept, "", GOOD));
    ck_assert_int_eq(world.restarts, 1);
    answer(&kept);
    ck_assert_ptr_nonnull(strstr(error_of(&kept), "Could not load client cert"));
    end(&kept);
}

SA_TEST(a_child_that_dies_of_a_change_is_taken_back_at_once)
{
    kept_t kept;

    begin_good(&kept, pool);
    bring(&kept, MOVED);
    sa_mesh__state_ended(world.state, "exit code 1");
    sa_mesh__keeper_tend(kept.keeper);
    ck_assert(holds(&kept, "", GOOD));
    answer(&kept);
    ck_assert_ptr_nonnull(strstr(error_of(&kept), "exit code 1"));
    end(&kept);
}

SA_TEST(a_life_that_ended_in_a_trial_is_judged_in_the_next)
{
    const char *folder = apr_pstrcat(pool, sa_test_dir(pool), "/live", NULL);
    kept_t kept;

    begin(&kept, folder, pool);
    bring(&kept, GOOD);
    answer(&kept);
    bring(&kept, BAD);
    end(&kept);
    begin(&kept, folder, pool);
    sa_mesh__keeper_look(kept.keeper);
    ck_assert_int_eq(world.starts, 1);
    pass_time(&kept, 31 * SECOND);
    ck_assert(holds(&kept, "", GOOD));
    ck_assert(holds(&kept, ".bad", BAD));
    end(&kept);
}

SA_TEST(a_program_that_is_not_there_is_said_and_looked_for_again)
{
    kept_t kept;

    begin(&kept, apr_pstrcat(pool, sa_test_dir(pool), "/live", NULL), pool);
    world.fault = "version 1.6.1 is too old; 1.10 or later is needed";
    bring(&kept, GOOD);
    ck_assert_str_eq(error_of(&kept), world.fault);
    ck_assert_int_eq(world.starts, 0);
    pass_time(&kept, 59 * SECOND);
    world.fault = NULL;
    pass_time(&kept, 2 * SECOND);
    ck_assert_int_eq(world.starts, 1);
    answer(&kept);
    ck_assert_str_eq(error_of(&kept), "");
    end(&kept);
}

SA_TEST(a_service_manager_that_refuses_is_asked_again)
{
    kept_t kept;

    begin(&kept, apr_pstrcat(pool, sa_test_dir(pool), "/live", NULL), pool);
    settle(&kept, true, SA_NEBULA_SERVICE);
    world.control_fault = "polkit must allow it";
    bring(&kept, GOOD);
    ck_assert_str_eq(error_of(&kept), "polkit must allow it");
    world.control_fault = NULL;
    pass_time(&kept, 61 * SECOND);
    ck_assert_int_eq(world.starts, 1);
    answer(&kept);
    ck_assert_str_eq(error_of(&kept), "");
    end(&kept);
}

SA_TEST(a_service_that_runs_already_is_taken_as_it_is)
{
    const char *folder = apr_pstrcat(pool, sa_test_dir(pool), "/live", NULL);
    sa_mesh__line_t old = {
        .said = SA_MESH__SAID_HANDSHAKE, .at = START - DAY, .address = "10.128.1.1"
    };
    sa_mesh_status_t status;
    kept_t kept;

    begin(&kept, folder, pool);
    bring(&kept, GOOD);
    answer(&kept);
    end(&kept);
    begin(&kept, folder, pool);
    settle(&kept, true, SA_NEBULA_SERVICE);
    sa_mesh__keeper_look(kept.keeper);
    sa_mesh__state_hear(world.state, &old);         /* from the journal */
    pass_time(&kept, 3600 * SECOND);
    ck_assert(!sa_mesh__keeper_status(kept.keeper, &status));
    ck_assert(status.lighthouse_up && status.verified);
    ck_assert_int_eq(world.restarts, 0);
    end(&kept);
}

SA_TEST(what_is_allowed_no_more_does_not_run_on)
{
    kept_t kept;

    begin_good(&kept, pool);
    bring(&kept, DOCUMENT(FIRST, "tun: {dev: nebula1}\n"));
    answer(&kept);
    kept.device = "mesh0";
    settle(&kept, true, SA_NEBULA_SUPERVISE);
    ck_assert_int_eq(world.stops, 1);
    ck_assert_ptr_nonnull(strstr(error_of(&kept), "nebula.allowed_devices"));
    sa_mesh__keeper_look(kept.keeper);
    pass_time(&kept, 3600 * SECOND);
    ck_assert_int_eq(world.starts, 1);
    kept.device = "nebula1";
    settle(&kept, true, SA_NEBULA_SUPERVISE);
    sa_mesh__keeper_look(kept.keeper);
    ck_assert_int_eq(world.starts, 2);
    answer(&kept);
    ck_assert_str_eq(error_of(&kept), "");
    end(&kept);
}

SA_TEST(mode_files_only_writes)
{
    kept_t kept;

    begin(&kept, apr_pstrcat(pool, sa_test_dir(pool), "/live", NULL), pool);
    settle(&kept, true, SA_NEBULA_FILES);
    bring(&kept, GOOD);
    ck_assert(holds(&kept, "", GOOD));
    pass_time(&kept, 3600 * SECOND);
    ck_assert_str_eq(error_of(&kept), "");
    end(&kept);
}

SA_TEST(switched_off_it_ends_and_is_silent)
{
    sa_mesh_status_t status;
    kept_t kept;

    begin_good(&kept, pool);
    settle(&kept, false, SA_NEBULA_SUPERVISE);
    ck_assert_int_eq(world.stops, 1);
    ck_assert(!world.stays);
    ck_assert_int_eq(sa_mesh__keeper_next(kept.keeper), SA_OS_NEVER);
    ck_assert(!sa_mesh__keeper_status(kept.keeper, &status));
    ck_assert(!status.enabled && !*status.error);
    settle(&kept, true, SA_NEBULA_SUPERVISE);
    sa_mesh__keeper_look(kept.keeper);
    ck_assert_int_eq(world.starts, 2);
    end(&kept);
}

SA_TEST(a_certificate_that_ends_is_said_in_time)
{
    sa_mesh_status_t status;
    kept_t kept;

    begin_good(&kept, pool);
    world.now = END - 15 * DAY;
    pass_time(&kept, DAY / 2);
    ck_assert_str_eq(error_of(&kept), "");
    pass_time(&kept, 2 * DAY);
    answer(&kept);
    ck_assert(!sa_mesh__keeper_status(kept.keeper, &status));   /* said, and no trouble yet */
    ck_assert_str_eq(status.error,
                     "the certificate for the overlay expires on 2026-11-28T17:39:20Z");
    ck_assert_int_eq(status.certificate_expires, END);
    pass_time(&kept, END - world.now + SECOND);
    ck_assert(sa_mesh__keeper_status(kept.keeper, &status));
    ck_assert_str_eq(status.error,
                     "the certificate for the overlay has expired on 2026-11-28T17:39:20Z");
    end(&kept);
}

SA_TEST_MAIN("mesh_keeper",
             the_first_document_is_tested_run_and_kept_as_good_once_a_lighthouse_answers,
             a_change_is_put_live_in_the_gentlest_way,
             what_has_only_just_been_started_is_not_reloaded,
             a_handshake_after_a_reload_has_the_time_that_nebula_needs,
             a_handshake_of_times_before_proves_nothing,
             what_is_refused_leaves_all_as_it_was_and_is_said,
             a_change_that_reaches_nobody_is_taken_back_once,
             the_platform_going_back_by_itself_ends_it, a_bad_minute_is_no_bad_change,
             where_the_old_one_did_not_work_lately_the_new_one_stays,
             an_error_at_a_reload_is_taken_back_at_once,
             a_child_that_dies_of_a_change_is_taken_back_at_once,
             a_life_that_ended_in_a_trial_is_judged_in_the_next,
             a_program_that_is_not_there_is_said_and_looked_for_again,
             a_service_manager_that_refuses_is_asked_again,
             a_service_that_runs_already_is_taken_as_it_is,
             what_is_allowed_no_more_does_not_run_on, mode_files_only_writes,
             switched_off_it_ends_and_is_silent, a_certificate_that_ends_is_said_in_time)
