/* mesh: the rules by which the overlay is kept.
 *
 * nebula.folder holds what is live.  A candidate that passes is written there, and a trial
 * begins: it ends when a lighthouse answers (the folder .good holds it from then on), or at
 * its deadline.  Then what is in .good comes back if it reached a lighthouse shortly before
 * the change, because then it is the change that is to blame; .bad remembers what was taken
 * back.  If .good reaches none either, it was a bad minute and not the change: what
 * was taken back is tried once more when a lighthouse answers.  Where the old one did not work
 * either there is nothing better to go back to: the new one stays, and that is said. */
#include "sa_mesh_keeper.h"

#include <string.h>

#include <apr_strings.h>

#include "sa_log.h"
#include "sa_os_file.h"
#include "sa_os_overlay.h"
#include "sa_os_thread.h"
#include "sa_pool.h"
#include "sa_time.h"

/* Before a change, within which a lighthouse must have answered for the old one to be called
 * working. */
#define LATELY apr_time_from_sec(900)
/* A reload that says nothing wrong for so long has been taken. */
#define RELOAD_TIME apr_time_from_sec(2)
/* Nebula notices a new certificate at its next look at its tunnels, every 5 s. */
#define SHAKE_TIME apr_time_from_sec(15)
#define POKE_TRIAL apr_time_from_sec(2)
#define POKE_DOWN apr_time_from_sec(10)
#define POKE_UP apr_time_from_sec(60)
/* A tunnel that is made anew is not there for a moment. */
#define DOWN_TIME apr_time_from_sec(2)
/* What could not be run is tried again. */
#define RETRY apr_time_from_sec(60)
/* Between an answer and the second try of what a bad minute has taken back. */
#define CALM apr_time_from_sec(60)
#define EXPIRY_LOOK apr_time_from_sec(86400)
#define EXPIRES_SOON apr_time_from_sec(14 * 86400)
#define DAY apr_time_from_sec(86400)

typedef struct trial_t {
    bool on;
    bool is_change;             /* of what is live; else only a start */
    bool is_return;             /* of the last good one */
    bool old_worked;
    bool reloads;               /* by a reload, after which ... */
    bool shakes;                /* ... a handshake is to come */
    apr_interval_time_t began;
    apr_interval_time_t deadline;
    sa_mesh__view_t before;
} trial_t;

struct sa_mesh__keeper_t {
    apr_pool_t *pool;
    sa_mesh__settings_t *settings;      /* NULL: none yet */
    sa_os_cancel_t *cancel;
    sa_mesh__state_t *state;
    sa_mesh__runner_t *runner;
    char version[SA_MESH_ADDRESS];

    apr_pool_t *live_pool;
    sa_mesh__document_t *live;          /* what Nebula has been told to run with; NULL: nothing */
    trial_t trial;
    bool verified;                      /* LIVE has reached a lighthouse, in this life */
    bool was_up;                        /* as was said last */
    apr_interval_time_t down_at;        /* since when it is not; 0: it is, or that was said */
    bool waiting_said;
    bool rolled_back;
    bool in_doubt;                      /* what was taken back may be good */
    bool once_more;                     /* what was taken back is tried again at the next look */
    apr_time_t reached_before;          /* a lighthouse, in the life before */
    apr_uint64_t wrongs;                /* of Nebula's, that were said */
    apr_interval_time_t poke_due;
    apr_interval_time_t retry_due;      /* 0: not */
    apr_interval_time_t second_due;     /* of what is in doubt; 0: not */
    apr_interval_time_t expiry_due;

    /* For people; "": nothing is wrong with it. */
    char document_words[SA_MESH_TEXT];
    char run_words[SA_MESH_TEXT];
    char trial_words[SA_MESH_TEXT];
    char expiry_words[SA_MESH_TEXT];
};

/* ---- words ---------------------------------------------------------------------------- */

/* True: they are new. */
static bool set_words(char words[SA_MESH_TEXT], const char *text)
{
    bool is_new = strncmp(words, text, SA_MESH_TEXT - 1) != 0;

    apr_cpystrn(words, text, SA_MESH_TEXT);
    return is_new;
}

/* Health tells them to others: without the causes, which name files.  The log has those. */
static bool set_error(char words[SA_MESH_TEXT], const sa_error_t *err)
{
    char text[SA_MESH_TEXT];

    return set_words(words, err->message ? err->message
                                         : sa_error_text(err, text, sizeof(text)));
}

/* A disk, or rights: the names are for the log alone. */
static void say_files(char words[SA_MESH_TEXT], sa_error_t *err)
{
    if (set_words(words, "the files of the overlay cannot be read or written")) {
        SA_LOG(mesh_files, SA_E(err));
    }
    sa_error_clear(err);
}

/* ---- folders -------------------------------------------------------------------------- */

static const char *beside(const sa_mesh__keeper_t *keeper, const char *end, apr_pool_t *pool)
{
    return apr_pstrcat(pool, keeper->settings->folder, end, NULL);
}

static bool folder_holds(const sa_mesh__keeper_t *keeper, const char *end, const char *text,
                         apr_pool_t *pool)
{
    const char *there = NULL;

    /* one that cannot be read does not hold it */
    sa_error_clear(sa_mesh__folder_read(&there, beside(keeper, end, pool), pool));
    return there && strcmp(there, text) == 0;
}

static void keep_copy(const sa_mesh__keeper_t *keeper, const char *end,
                      const sa_mesh__document_t *document, apr_pool_t *pool)
{
    sa_error_t *err = sa_mesh__folder_write(beside(keeper, end, pool), document->text,
                                            document->device, pool);

    if (err) {
        SA_LOG(mesh_files, SA_E(err));
    }
    sa_error_clear(err);
}

static void remember_reach(const sa_mesh__keeper_t *keeper, const sa_mesh__view_t *view)
{
    apr_pool_t *pool = sa_pool_create(keeper->pool);
    const char *text;

    if (view->reached_at != 0) {
        text = apr_psprintf(pool, "%" APR_TIME_T_FMT "\n", apr_time_sec(view->reached_at));
        /* without it the next life does not roll back, and says so */
        sa_error_clear(sa_os_file_write_private(beside(keeper, ".reached", pool), text,
                                                strlen(text), pool));
    }
    apr_pool_destroy(pool);
}

static void recall_reach(sa_mesh__keeper_t *keeper)
{
    apr_pool_t *pool = sa_pool_create(keeper->pool);
    const char *text = NULL;

    sa_error_clear(sa_mesh__file_read(&text, beside(keeper, ".reached", pool), pool));
    keeper->reached_before = text ? apr_time_from_sec(apr_strtoi64(text, NULL, 10)) : 0;
    apr_pool_destroy(pool);
}

static bool worked_lately(const sa_mesh__keeper_t *keeper, const sa_mesh__view_t *view)
{
    apr_time_t ago = sa_time_now() - keeper->reached_before;

    if (view->lighthouse_up
        || (view->reached_mono != 0 && sa_time_mono() - view->reached_mono < LATELY)) {
        return true;
    }
    return keeper->reached_before != 0 && ago >= 0 && ago < LATELY;
}

/* ---- running -------------------------------------------------------------------------- */

static bool wants_lighthouse(const sa_mesh__document_t *document)
{
    return !document->is_lighthouse && document->lighthouses->nelts > 0;
}

static void begin_trial(sa_mesh__keeper_t *keeper, const sa_mesh__view_t *before, bool old_worked,
                        sa_mesh__change_t change, bool shakes, bool is_return)
{
    trial_t *trial = &keeper->trial;

    trial->on = keeper->settings->mode != SA_NEBULA_FILES;
    trial->is_change = change != SA_MESH__SAME;
    trial->is_return = is_return;
    trial->old_worked = old_worked;
    trial->reloads = change == SA_MESH__RELOAD;
    trial->shakes = shakes;
    trial->began = sa_time_mono();
    trial->deadline = trial->began + keeper->settings->verify_timeout;
    if (trial->reloads && shakes && keeper->settings->verify_timeout < SHAKE_TIME) {
        trial->deadline = trial->began + SHAKE_TIME;
    }
    trial->before = *before;
    keeper->verified = false;
    keeper->poke_due = trial->began + POKE_TRIAL;
}

/* What could not be done for want of a program, a right or a service manager. */
static void say_unavailable(sa_mesh__keeper_t *keeper, sa_error_t *err)
{
    bool is_new = set_error(keeper->run_words, err);

    keeper->retry_due = sa_time_mono() + RETRY;
    if (is_new && keeper->settings->mode == SA_NEBULA_SERVICE
        && err->code != SA_ERR_NOT_ON_THIS_OS) {
        SA_LOG(mesh_service_failed, SA_E(err));
    } else if (is_new) {
        SA_LOG(mesh_unavailable, SA_E(err));
    }
    sa_error_clear(err);
}

static sa_error_t *open_program(sa_mesh__program_t *program, sa_mesh__keeper_t *keeper,
                                apr_pool_t *pool)
{
    SA_TRY(sa_mesh__program_open(program, keeper->settings->binary, keeper->cancel, pool));
    apr_cpystrn(keeper->version, program->version, sizeof(keeper->version));
    return SA_OK;
}

static sa_error_t *start_runner(sa_mesh__keeper_t *keeper, apr_pool_t *pool)
{
    const sa_mesh__settings_t *settings = keeper->settings;
    sa_mesh__running_t running = {
        .mode = settings->mode, .folder = settings->folder, .service = settings->service
    };
    sa_mesh__program_t program = {0};

    SA_TRY(open_program(&program, keeper, pool));
    running.binary = program.path;
    if (settings->mode == SA_NEBULA_SUPERVISE) {
        SA_TRY(sa_os_overlay_check(pool));
    }
    return sa_mesh__runner_start(keeper->runner, &running);
}

/* Let it run with what is live; CHANGE says what that takes where it runs already. */
static bool run_live(sa_mesh__keeper_t *keeper, sa_mesh__change_t change)
{
    apr_pool_t *pool = sa_pool_create(keeper->pool);
    sa_error_t *err = SA_OK;

    sa_mesh__state_lighthouses(keeper->state, keeper->live->lighthouses);
    if (!sa_mesh__runner_is_on(keeper->runner)) {
        err = start_runner(keeper, pool);
    } else if (change == SA_MESH__RELOAD) {
        err = sa_mesh__runner_reload(keeper->runner);
    } else if (change == SA_MESH__RESTART) {
        err = sa_mesh__runner_restart(keeper->runner);
    }
    apr_pool_destroy(pool);
    if (err) {
        say_unavailable(keeper, err);
        return false;
    }
    set_words(keeper->run_words, "");
    keeper->retry_due = 0;
    return true;
}

static void take_live(sa_mesh__keeper_t *keeper, sa_mesh__document_t *document, apr_pool_t *pool)
{
    if (keeper->live_pool) {
        apr_pool_destroy(keeper->live_pool);
    }
    keeper->live = document;
    keeper->live_pool = pool;
    keeper->expiry_due = sa_time_mono();
}

/* ---- putting live --------------------------------------------------------------------- */

static const char *how_of(const sa_mesh__keeper_t *keeper, sa_mesh__change_t change)
{
    if (keeper->settings->mode == SA_NEBULA_FILES) {
        return "files";
    }
    return change == SA_MESH__RELOAD ? "reload" : "restart";
}

/* DOCUMENT of POOL, both taken, becomes what is live. */
static void put_live(sa_mesh__keeper_t *keeper, sa_mesh__document_t *document, apr_pool_t *pool,
                     bool is_return)
{
    sa_mesh__view_t before;
    sa_mesh__change_t change;
    bool shakes;
    bool old_worked;
    apr_interval_time_t began = sa_time_mono();
    sa_error_t *err = sa_mesh__folder_write(keeper->settings->folder, document->text,
                                            document->device, pool);

    if (err) {
        say_files(keeper->document_words, err);
        keeper->retry_due = sa_time_mono() + RETRY;
        if (is_return) {        /* once more, when the disk takes it */
            keeper->trial.on = true;
            keeper->trial.deadline = sa_time_mono() + RETRY;
        }
        apr_pool_destroy(pool);
        return;
    }
    change = sa_mesh__document_compare(&shakes, keeper->live, document);
    sa_mesh__state_view(keeper->state, &before);
    /* What does not run, or was refused by what runs, begins anew; and what has only just been
     * started would die of a SIGHUP. */
    if (!before.running || !before.active || is_return) {
        change = SA_MESH__RESTART;
    }
    old_worked = !is_return && keeper->live && worked_lately(keeper, &before);
    take_live(keeper, document, pool);
    if (!is_return) {
        SA_LOG(mesh_applied, SA_S("how", how_of(keeper, change)),
               SA_S("networks", document->has_certificate ? document->certificate.networks : ""));
    }
    if (run_live(keeper, change)) {
        begin_trial(keeper, &before, old_worked, change, shakes, is_return);
        keeper->trial.began = began;
    }
}

/* ---- candidates ----------------------------------------------------------------------- */

static void refuse(sa_mesh__keeper_t *keeper, sa_error_t *err)
{
    if (set_error(keeper->document_words, err)) {
        SA_LOG(mesh_refused, SA_E(err));
    }
    sa_error_clear(err);
}

static sa_error_t *test(sa_mesh__keeper_t *keeper, const sa_mesh__document_t *document,
                        apr_pool_t *pool)
{
    const char *folder = beside(keeper, ".new", pool);
    sa_mesh__program_t program = {0};
    sa_error_t *err;

    SA_TRY(open_program(&program, keeper, pool));
    err = sa_mesh__folder_write(folder, document->text, document->device, pool);
    if (!err) {
        err = sa_mesh__program_test(&program, folder, keeper->cancel, pool);
    }
    sa_mesh__folder_remove(folder, pool);
    return err;
}

/* TEXT, in POOL, which is taken, is not what is live. */
static void try_candidate(sa_mesh__keeper_t *keeper, const char *text, apr_pool_t *pool)
{
    bool once_more = keeper->once_more;
    sa_mesh__document_t *document = NULL;
    sa_error_t *err;

    keeper->once_more = false;
    if (!once_more && folder_holds(keeper, ".bad", text, pool)) {
        keeper->rolled_back = true;
        if (!*keeper->trial_words) {
            set_words(keeper->trial_words, "the platform's configuration was taken back: it "
                      "reached no lighthouse");
        }
        apr_pool_destroy(pool);
        return;
    }
    err = sa_mesh__document_read(&document, text, &keeper->settings->policy, pool);
    if (!err) {
        apr_pool_t *test_pool = sa_pool_create(pool);

        err = test(keeper, document, test_pool);
        apr_pool_destroy(test_pool);
    }
    if (!err) {
        set_words(keeper->document_words, "");
        keeper->rolled_back = false;
        keeper->in_doubt = false;
        put_live(keeper, document, pool, false);
        return;
    }
    if (err->code == SA_ERR_REFUSED || err->code == SA_ERR_FILE_CONTENT) {
        refuse(keeper, err);
    } else {
        say_unavailable(keeper, err);
    }
    apr_pool_destroy(pool);
}

/* ---- what lies there at the start ----------------------------------------------------- */

/* Run with what is in nebula.folder. */
static void resume(sa_mesh__keeper_t *keeper)
{
    apr_pool_t *pool = sa_pool_create(keeper->pool);
    sa_mesh__view_t view;
    const char *text = NULL;
    sa_mesh__document_t *document = NULL;
    sa_error_t *err = sa_mesh__folder_read(&text, keeper->settings->folder, pool);

    if (!err && text) {
        err = sa_mesh__document_read(&document, text, &keeper->settings->policy, pool);
    }
    if (!err && document) {
        err = sa_mesh__folder_write(keeper->settings->folder, text, document->device, pool);
    }
    if (err || !document) {
        if (err) {
            refuse(keeper, err);
        }
        apr_pool_destroy(pool);
        return;
    }
    take_live(keeper, document, pool);
    sa_mesh__state_view(keeper->state, &view);
    if (run_live(keeper, SA_MESH__SAME)) {
        /* the life before may have ended in the middle of a trial */
        bool is_trial = !folder_holds(keeper, ".good", text, pool);

        begin_trial(keeper, &view, is_trial && worked_lately(keeper, &view), SA_MESH__SAME, true,
                    false);
    }
}

/* The platform has what is live, perhaps again. */
static void agree(sa_mesh__keeper_t *keeper)
{
    set_words(keeper->document_words, "");
    if (keeper->rolled_back) {
        keeper->rolled_back = false;
        keeper->in_doubt = false;
        keeper->second_due = 0;
        set_words(keeper->trial_words, "");
    }
    keeper->once_more = false;
}

void sa_mesh__keeper_try_again(sa_mesh__keeper_t *keeper)
{
    keeper->once_more = true;
}

void sa_mesh__keeper_look(sa_mesh__keeper_t *keeper)
{
    apr_pool_t *pool;
    const char *text = NULL;
    sa_error_t *err;

    if (!keeper->settings || !keeper->settings->enabled) {
        return;
    }
    pool = sa_pool_create(keeper->pool);
    err = sa_mesh__file_read(&text, keeper->settings->config_file, pool);
    if (err) {
        say_files(keeper->document_words, err);
    } else if (text && !folder_holds(keeper, "", text, pool)) {
        if (!keeper->live) {
            resume(keeper);
        }
        try_candidate(keeper, text, pool);
        pool = NULL;
    } else if (text) {
        agree(keeper);
    }
    if (pool) {
        apr_pool_destroy(pool);
    }
    if (!keeper->live) {
        resume(keeper);
    }
    if (!keeper->live && !text && !keeper->waiting_said) {
        SA_LOG(mesh_waiting);
        keeper->waiting_said = true;
    }
}

/* ---- trials --------------------------------------------------------------------------- */

static void pass(sa_mesh__keeper_t *keeper, const sa_mesh__view_t *view)
{
    apr_pool_t *pool = sa_pool_create(keeper->pool);
    bool was_trial = keeper->trial.on;

    keeper->verified = true;
    keeper->trial.on = false;
    keep_copy(keeper, ".good", keeper->live, pool);
    remember_reach(keeper, view);
    if (!keeper->trial.is_return) {
        sa_mesh__folder_remove(beside(keeper, ".bad", pool), pool);
        keeper->rolled_back = false;
    }
    if (!keeper->rolled_back) {
        set_words(keeper->trial_words, "");
    } else if (keeper->in_doubt) {
        keeper->second_due = sa_time_mono() + CALM;
    }
    if (was_trial && keeper->trial.is_change && !keeper->trial.is_return) {
        SA_LOG(mesh_verified, SA_D("after", sa_time_mono() - keeper->trial.began));
    }
    apr_pool_destroy(pool);
}

/* The last good one, if there is one that can be used and is not live already. */
static sa_mesh__document_t *find_good(const sa_mesh__keeper_t *keeper, apr_pool_t *pool)
{
    sa_mesh__document_t *document = NULL;
    const char *text = NULL;
    sa_error_t *err = sa_mesh__folder_read(&text, beside(keeper, ".good", pool), pool);

    if (!err && text && strcmp(text, keeper->live->text) != 0) {
        err = sa_mesh__document_read(&document, text, &keeper->settings->policy, pool);
    }
    sa_error_clear(err);        /* one that is not allowed any more is no way back */
    return err ? NULL : document;
}

static void fail(sa_mesh__keeper_t *keeper, const char *reason)
{
    apr_pool_t *pool = sa_pool_create(keeper->pool);
    sa_mesh__document_t *good = keeper->trial.old_worked ? find_good(keeper, pool) : NULL;
    bool is_return = keeper->trial.is_return;

    keeper->trial.on = false;
    if (good) {
        set_words(keeper->trial_words,
                  apr_pstrcat(pool, "the platform's configuration was taken back: ", reason,
                              NULL));
        keeper->rolled_back = true;
        SA_LOG(mesh_rolled_back, SA_S("reason", reason));
        keep_copy(keeper, ".bad", keeper->live, pool);
        put_live(keeper, good, pool, true);
        return;
    }
    if (is_return) {
        keeper->in_doubt = true;
        SA_LOG(mesh_bad_minute, SA_S("reason", reason));
    } else {
        set_words(keeper->trial_words, reason);
        SA_LOG(mesh_unverified, SA_S("reason", reason));
    }
    apr_pool_destroy(pool);
}

static bool is_reached(const sa_mesh__keeper_t *keeper, const sa_mesh__view_t *view)
{
    const trial_t *trial = &keeper->trial;

    if (!wants_lighthouse(keeper->live)) {
        return view->running && view->active
               && (!trial->on || !trial->reloads
                   || sa_time_mono() - trial->began >= RELOAD_TIME);
    }
    if (view->reached > trial->before.reached || (!trial->is_change && view->lighthouse_up)) {
        return true;
    }
    /* the tunnel that is there stays, and says nothing */
    return trial->on && trial->reloads && !trial->shakes && view->lighthouse_up
           && view->reloads > trial->before.reloads
           && sa_time_mono() - trial->began >= RELOAD_TIME;
}

static void judge(sa_mesh__keeper_t *keeper, const sa_mesh__view_t *view)
{
    trial_t *trial = &keeper->trial;

    if (view->ends > trial->before.ends) {
        fail(keeper, view->words);
    } else if (trial->reloads && view->wrongs > trial->before.wrongs) {
        fail(keeper, view->words);
    } else if (is_reached(keeper, view)) {
        pass(keeper, view);
    } else if (sa_time_mono() >= trial->deadline) {
        fail(keeper, view->running ? "no lighthouse answers" : "Nebula does not run");
    }
}

/* ---- tending -------------------------------------------------------------------------- */

static void poke(sa_mesh__keeper_t *keeper, const sa_mesh__view_t *view)
{
    apr_interval_time_t now = sa_time_mono();
    apr_pool_t *pool;

    if (now < keeper->poke_due) {
        return;
    }
    if (view->running && keeper->live->has_certificate) {
        pool = sa_pool_create(keeper->pool);
        sa_mesh__poke(keeper->live->certificate.overlay_ip, keeper->live->lighthouses, pool);
        apr_pool_destroy(pool);
    }
    keeper->poke_due = now + (view->lighthouse_up ? POKE_UP : POKE_DOWN);
    if (keeper->trial.on) {
        keeper->poke_due = now + POKE_TRIAL;
    }
}

static void say_edge(sa_mesh__keeper_t *keeper, const sa_mesh__view_t *view)
{
    apr_interval_time_t now = sa_time_mono();

    if (view->lighthouse_up) {
        if (!keeper->was_up) {
            SA_LOG(mesh_joined, SA_S("lighthouse", view->lighthouse));
        }
        keeper->was_up = true;
        keeper->down_at = 0;
        return;
    }
    if (!keeper->was_up) {
        return;
    }
    if (!view->running || keeper->trial.on) {
        keeper->was_up = false;         /* there are other words for that */
        keeper->down_at = 0;
    } else if (keeper->down_at == 0) {
        keeper->down_at = now;
        keeper->poke_due = now + DOWN_TIME;
    } else if (now - keeper->down_at >= DOWN_TIME) {
        SA_LOG(mesh_lost, SA_S("lighthouse", view->lighthouse));
        keeper->was_up = false;
    }
}

/* What Nebula has complained of and no trial has judged. */
static void say_wrongs(sa_mesh__keeper_t *keeper, const sa_mesh__view_t *view)
{
    if (view->wrongs > keeper->wrongs && view->running && !keeper->trial.on) {
        SA_LOG(mesh_complains, SA_S("reason", view->words));
    }
    keeper->wrongs = view->wrongs;
}

static void look_at_certificate(sa_mesh__keeper_t *keeper)
{
    apr_time_t left = keeper->live->certificate.expires - sa_time_now();
    char time[SA_TIME_TEXT];
    char words[SA_MESH_TEXT];

    if (sa_time_mono() < keeper->expiry_due) {
        return;
    }
    keeper->expiry_due = sa_time_mono() + EXPIRY_LOOK;
    set_words(keeper->expiry_words, "");
    if (!keeper->live->has_certificate || left >= EXPIRES_SOON) {
        return;
    }
    sa_time_format(time, keeper->live->certificate.expires);
    apr_snprintf(words, sizeof(words), "the certificate for the overlay %s on %s",
                 left > 0 ? "expires" : "has expired", time);
    set_words(keeper->expiry_words, words);
    if (left > 0) {
        SA_LOG(mesh_expires, SA_S("expires", time), SA_I("days", left / DAY));
        keeper->expiry_due = left < EXPIRY_LOOK ? sa_time_mono() + left : keeper->expiry_due;
    } else {
        SA_LOG(mesh_expired, SA_S("expires", time));
    }
}

static void retry(sa_mesh__keeper_t *keeper)
{
    apr_interval_time_t now = sa_time_mono();

    if (keeper->second_due != 0 && now >= keeper->second_due) {
        keeper->second_due = 0;
        keeper->once_more = true;
        sa_mesh__keeper_look(keeper);
    }
    if (keeper->retry_due != 0 && now >= keeper->retry_due) {
        keeper->retry_due = 0;
        if (keeper->live && !sa_mesh__runner_is_on(keeper->runner)) {
            apr_pool_t *pool = keeper->live_pool;

            keeper->live = NULL;        /* begin as at the start */
            keeper->live_pool = NULL;
            apr_pool_destroy(pool);
        }
        sa_mesh__keeper_look(keeper);
    }
}

void sa_mesh__keeper_tend(sa_mesh__keeper_t *keeper)
{
    sa_mesh__view_t view;

    if (!keeper->settings || !keeper->settings->enabled) {
        return;
    }
    retry(keeper);
    if (!keeper->live) {
        return;
    }
    sa_mesh__state_view(keeper->state, &view);
    say_edge(keeper, &view);
    if (keeper->trial.on) {
        judge(keeper, &view);
    } else if (!keeper->verified && keeper->settings->mode != SA_NEBULA_FILES
               && is_reached(keeper, &view)) {
        pass(keeper, &view);
    }
    say_wrongs(keeper, &view);
    sa_mesh__state_view(keeper->state, &view);
    poke(keeper, &view);
    look_at_certificate(keeper);
}

static apr_interval_time_t sooner(apr_interval_time_t time, apr_interval_time_t due)
{
    return due != 0 && due < time ? due : time;
}

apr_interval_time_t sa_mesh__keeper_next(const sa_mesh__keeper_t *keeper)
{
    apr_interval_time_t next = SA_OS_NEVER;

    if (!keeper->settings || !keeper->settings->enabled) {
        return next;
    }
    next = sooner(sooner(next, keeper->retry_due), keeper->second_due);
    if (!keeper->live) {
        return next;
    }
    next = sooner(next, keeper->expiry_due);
    if (keeper->settings->mode != SA_NEBULA_FILES) {
        next = sooner(next, keeper->poke_due);
    }
    if (keeper->trial.on) {
        next = sooner(next, keeper->trial.deadline);
        if (keeper->trial.reloads && sa_time_mono() < keeper->trial.began + RELOAD_TIME) {
            next = sooner(next, keeper->trial.began + RELOAD_TIME);
        }
    }
    return next;
}

/* ---- the rest ------------------------------------------------------------------------- */

void sa_mesh__keeper_restart(sa_mesh__keeper_t *keeper)
{
    sa_mesh__view_t view;

    if (!keeper->live || !sa_mesh__runner_is_on(keeper->runner)) {
        keeper->retry_due = sa_time_mono();
        return;
    }
    sa_mesh__state_view(keeper->state, &view);
    if (run_live(keeper, SA_MESH__RESTART) && !keeper->trial.on) {
        begin_trial(keeper, &view, false, SA_MESH__SAME, true, false);
    }
}

static bool is_same_running(const sa_mesh__settings_t *a, const sa_mesh__settings_t *b)
{
    return a->enabled == b->enabled && a->mode == b->mode && strcmp(a->folder, b->folder) == 0
           && strcmp(a->binary, b->binary) == 0 && strcmp(a->service, b->service) == 0;
}

static void forget_live(sa_mesh__keeper_t *keeper)
{
    if (keeper->live_pool) {
        apr_pool_destroy(keeper->live_pool);
    }
    keeper->live = NULL;
    keeper->live_pool = NULL;
    keeper->trial.on = false;
    keeper->retry_due = 0;
    keeper->second_due = 0;
    keeper->rolled_back = false;
    keeper->in_doubt = false;
    keeper->waiting_said = false;
    set_words(keeper->document_words, "");
    set_words(keeper->run_words, "");
    set_words(keeper->trial_words, "");
    set_words(keeper->expiry_words, "");
}

/* What is allowed may have changed: what runs must be so still. */
static void judge_policy(sa_mesh__keeper_t *keeper)
{
    apr_pool_t *pool = sa_pool_create(keeper->pool);
    sa_mesh__document_t *document;
    sa_error_t *err = sa_mesh__document_read(&document, keeper->live->text,
                                             &keeper->settings->policy, pool);

    if (err) {
        sa_mesh__runner_stop(keeper->runner, false);
        forget_live(keeper);
        refuse(keeper, err);
    }
    apr_pool_destroy(pool);
}

void sa_mesh__keeper_settle(sa_mesh__keeper_t *keeper, sa_mesh__settings_t *settings)
{
    sa_mesh__settings_t *old = keeper->settings;

    keeper->settings = settings;
    if (old && !is_same_running(old, settings)) {
        /* between two ways of running it, one folder is held by one Nebula at a time */
        sa_mesh__runner_stop(keeper->runner, false);
        forget_live(keeper);
        if (!settings->enabled) {
            SA_LOG(mesh_stopped);
        }
    }
    set_words(keeper->document_words, "");
    if (keeper->live && settings->enabled) {
        judge_policy(keeper);
    }
    if (settings->enabled) {
        recall_reach(keeper);
    }
    if (old) {
        apr_pool_destroy(old->pool);
    }
}

sa_mesh__keeper_t *sa_mesh__keeper_create(void (*news)(void *baton), void *baton,
                                          sa_os_cancel_t *cancel)
{
    apr_pool_t *pool = sa_pool_create_root();
    sa_mesh__keeper_t *keeper = apr_pcalloc(pool, sizeof(*keeper));

    keeper->pool = pool;
    keeper->cancel = cancel;
    keeper->state = sa_mesh__state_create(news, baton, pool);
    keeper->runner = sa_mesh__runner_create(keeper->state, cancel, pool);
    return keeper;
}

static const char *first_words(const sa_mesh__keeper_t *keeper, const sa_mesh__view_t *view)
{
    const char *const words[] = {keeper->document_words, keeper->run_words, keeper->trial_words};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (*words[i]) {
            return words[i];
        }
    }
    if (keeper->live && !keeper->trial.on && keeper->settings->mode != SA_NEBULA_FILES) {
        if (!view->running) {
            return *view->words ? view->words : "Nebula does not run";
        }
        if (wants_lighthouse(keeper->live) && !view->lighthouse_up) {
            return "no lighthouse answers";
        }
    }
    return keeper->expiry_words;
}

static bool has_expired(const sa_mesh__keeper_t *keeper)
{
    return keeper->live && keeper->live->has_certificate
           && keeper->live->certificate.expires < sa_time_now();
}

bool sa_mesh__keeper_status(sa_mesh__keeper_t *keeper, sa_mesh_status_t *status)
{
    static const char *const modes[] = {"service", "supervise", "files"};
    sa_mesh__view_t view;
    const char *words;

    memset(status, 0, sizeof(*status));
    status->mode = modes[keeper->settings ? keeper->settings->mode : SA_NEBULA_FILES];
    if (!keeper->settings || !keeper->settings->enabled) {
        return false;
    }
    sa_mesh__state_view(keeper->state, &view);
    status->enabled = true;
    status->running = view.running;
    status->lighthouse_up = view.lighthouse_up;
    status->verified = keeper->verified;
    status->rolled_back = keeper->rolled_back;
    status->tunnels = view.tunnels;
    status->reached_at = view.reached_at != 0 ? view.reached_at : keeper->reached_before;
    apr_cpystrn(status->version, keeper->version, sizeof(status->version));
    if (keeper->live) {
        apr_cpystrn(status->unsafe_networks, keeper->live->unsafe_networks,
                    sizeof(status->unsafe_networks));
    }
    if (keeper->live && keeper->live->has_certificate) {
        const sa_mesh__certificate_t *certificate = &keeper->live->certificate;

        apr_cpystrn(status->overlay_ip, certificate->overlay_ip, sizeof(status->overlay_ip));
        apr_cpystrn(status->networks, certificate->networks, sizeof(status->networks));
        status->certificate_expires = certificate->expires;
        sa_os_overlay_find(status->interface, certificate->overlay_ip);
    }
    words = first_words(keeper, &view);
    apr_cpystrn(status->error, words, sizeof(status->error));
    return *words && (words != keeper->expiry_words || has_expired(keeper));
}

void sa_mesh__keeper_stop(sa_mesh__keeper_t *keeper)
{
    sa_mesh__view_t view;

    sa_mesh__state_view(keeper->state, &view);
    if (keeper->settings && keeper->settings->enabled) {
        remember_reach(keeper, &view);
    }
    sa_mesh__runner_stop(keeper->runner, true);
    if (keeper->settings) {
        apr_pool_destroy(keeper->settings->pool);
    }
    apr_pool_destroy(keeper->pool);
}
