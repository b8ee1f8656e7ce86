/* A journal without end, of entries that nobody wants.  Its symbols come before those of the
 * system's library. */
#include "sa_os_logs.h"

#include <string.h>

#include <systemd/sd-journal.h>

#include <apr_strings.h>

#include "../../src/os/linux/sa_os_linux.h"
#include "sa_os_exec.h"
#include "sa_test.h"
#include "sa_time.h"

#define SECOND APR_INT64_C(1000000)

/* ---- the journal ------------------------------------------------------------- */

static int moves;               /* from entry to entry */
static int cancel_at;           /* the move at which somebody cancels; 0: never */
static int wanted_every;        /* every so manyth entry has what is looked for; 0: none */
static sa_os_cancel_t *cancel;

static int move(void)
{
    moves++;
    if (moves == cancel_at) {
        sa_os_cancel(cancel);
    }
    return 1;
}

int sd_journal_open_directory(sd_journal **journal, const char *path, int flags)
{
    static int any;

    (void)path;
    (void)flags;
    *journal = (sd_journal *)(void *)&any;
    return 0;
}

void sd_journal_close(sd_journal *journal)
{
    (void)journal;
}

int sd_journal_add_match(sd_journal *journal, const void *data, size_t size)
{
    (void)journal;
    (void)data;
    (void)size;
    return 0;
}

int sd_journal_add_disjunction(sd_journal *journal)
{
    (void)journal;
    return 0;
}

int sd_journal_set_data_threshold(sd_journal *journal, size_t size)
{
    (void)journal;
    (void)size;
    return 0;
}

int sd_journal_seek_tail(sd_journal *journal)
{
    (void)journal;
    return 0;
}

int sd_journal_seek_realtime_usec(sd_journal *journal, uint64_t usec)
{
    (void)journal;
    (void)usec;
    return 0;
}

int sd_journal_next(sd_journal *journal)
{
    (void)journal;
    return move();
}

int sd_journal_previous(sd_journal *journal)
{
    (void)journal;
    return move();
}

int sd_journal_get_data(sd_journal *journal, const char *field, const void **data, size_t *length)
{
    static const char unwanted[] = "MESSAGE=hay";
    static const char wanted[] = "MESSAGE=needle";
    bool is_wanted = wanted_every > 0 && moves % wanted_every == 0;

    (void)journal;
    if (strcmp(field, "MESSAGE") != 0) {
        return -ENOENT;
    }
    *data = is_wanted ? wanted : unwanted;
    *length = is_wanted ? sizeof(wanted) - 1 : sizeof(unwanted) - 1;
    return 0;
}

int sd_journal_get_realtime_usec(sd_journal *journal, uint64_t *usec)
{
    (void)journal;
    *usec = 1;
    return 0;
}

/* ---- the reader --------------------------------------------------------------- */

static int told;
static int quiet;

static sa_error_t *count(void *baton, const char *line, size_t length)
{
    (void)baton;
    (void)length;
    told += line != NULL;
    quiet += line == NULL;
    return SA_OK;
}

static sa_os_journal_query_t begin(apr_pool_t *pool)
{
    moves = 0;
    cancel_at = 0;
    wanted_every = 0;
    told = 0;
    quiet = 0;
    SA_ASSERT_OK(sa_os_cancel_create(&cancel, pool));
    return (sa_os_journal_query_t){
        .unit = "nginx", .count = 10, .grep = "needle", .cancel = cancel,
        .deadline = sa_time_mono() + 30 * SECOND
    };
}

SA_TEST(looking_back_ends_when_it_is_cancelled)
{
    sa_os_journal_query_t query = begin(pool);

    cancel_at = 1000;
    SA_ASSERT_ERR(sa_os__journal_read("x", &query, count, NULL, pool), SA_ERR_CANCELLED);
    ck_assert_int_eq(moves, 1000);
    ck_assert_int_eq(told, 0);
}

SA_TEST(telling_forwards_ends_when_it_is_cancelled)
{
    sa_os_journal_query_t query = begin(pool);

    /* ten are found within 1,000 on the way back; of the way forwards three are told */
    wanted_every = 100;
    cancel_at = 1350;
    SA_ASSERT_ERR(sa_os__journal_read("x", &query, count, NULL, pool), SA_ERR_CANCELLED);
    ck_assert_int_eq(moves, 1350);
    ck_assert_int_eq(told, 4);
}

SA_TEST(following_is_no_silence_and_can_be_cancelled_while_unwanted_entries_pour_in)
{
    sa_os_journal_query_t query = begin(pool);

    query.deadline = sa_time_mono();
    query.follow_until = sa_time_mono() + SECOND;
    SA_ASSERT_OK(sa_os__journal_read("x", &query, count, NULL, pool));
    ck_assert_int_ge(quiet, 3);
    ck_assert_int_le(quiet, 5);
    ck_assert_int_eq(told, 0);
    query.follow_until = sa_time_mono() + 60 * SECOND;
    cancel_at = moves + 1000;
    SA_ASSERT_ERR(sa_os__journal_read("x", &query, count, NULL, pool), SA_ERR_CANCELLED);
}

SA_TEST_MAIN("os_journal", looking_back_ends_when_it_is_cancelled,
             telling_forwards_ends_when_it_is_cancelled,
             following_is_no_silence_and_can_be_cancelled_while_unwanted_entries_pour_in)
