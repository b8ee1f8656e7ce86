/* What this machine is, and what our process costs it. */
#include "sa_os_host.h"

#include <fcntl.h>
#include <unistd.h>

#include <apr_strings.h>

#include "../../src/os/linux/sa_os_linux.h"
#include "sa_os_clock.h"
#include "sa_os_thread.h"
#include "sa_test.h"

static const char *sample(const char *name, apr_pool_t *pool)
{
    const char *sources = getenv("srcdir");
    const char *text;

    SA_ASSERT_OK(sa_os__proc_read(&text,
                                  apr_psprintf(pool, "%s/tests/data/proc/%s",
                                               sources ? sources : ".", name),
                                  SA_OS_PROC_LIMIT, pool));
    return text;
}

SA_TEST(os_release_is_read_like_a_shell_would)
{
    static const struct {
        const char *file;
        const char *key;
        const char *expected;
    } rows[] = {
        {"os-release-debian", "NAME", "Debian GNU/Linux"},
        {"os-release-debian", "VERSION", "12 (bookworm)"},
        {"os-release-debian", "VERSION_ID", "12"},
        {"os-release-debian", "ID", "debian"},
        {"os-release-debian", "VARIANT", NULL},
        {"os-release-odd", "NAME", "single \"quoted\" \\ here"},
        {"os-release-odd", "VERSION_ID", "say \"hi\" for $5 \\ `now`"},
        {"os-release-odd", "ID", "plain word"},
        {"os-release-odd", "EMPTY", ""},
        {"os-release-odd", "OPEN", "no end"},
        {"os-release-odd", "VERSION", NULL},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_pstr_eq(sa_os__os_release_value(sample(rows[i].file, pool), rows[i].key, pool),
                          rows[i].expected);
    }
}

SA_TEST(this_machine_has_a_name_and_a_system)
{
    sa_os_host_t host;
    char hostname[256];

    SA_ASSERT_OK(sa_os_host_read(&host, pool));
    ck_assert_str_eq(host.platform, "linux");
    ck_assert_ptr_nonnull(host.name);
    ck_assert_ptr_nonnull(host.version);
    ck_assert_str_ne(host.build, "");
    ck_assert_int_eq(gethostname(hostname, sizeof(hostname)), 0);
    ck_assert_str_eq(host.hostname, hostname);
}

SA_TEST(our_own_memory_and_threads_are_read)
{
    sa_os_self_t self = {0};

    sa_os__parse_self(&self, sample("self-statm", pool), sample("self-status", pool), 4096);
    ck_assert_uint_eq(self.resident_bytes, 812 * 4096);
    ck_assert_uint_eq(self.threads, 9);
}

SA_TEST(what_cannot_be_read_stays_zero)
{
    static const char *const texts[] = {"", "5", "x y", "Threads: x\n", "\nThreads:"};

    (void)pool;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        sa_os_self_t self = {0};

        sa_os__parse_self(&self, texts[i], texts[i], 4096);
        ck_assert_uint_eq(self.resident_bytes, 0);
        ck_assert_uint_eq(self.threads, 0);
    }
}

typedef struct gate_t {
    sa_os_mutex_t *mutex;
    sa_os_cond_t *cond;
    bool open;
} gate_t;

static void do_nothing(void *baton)
{
    (void)baton;
}

static void wait_at_gate(void *baton)
{
    gate_t *gate = baton;

    sa_os_mutex_lock(gate->mutex);
    while (!gate->open) {
        sa_os_cond_wait(gate->cond, gate->mutex, SA_OS_NEVER);
    }
    sa_os_mutex_unlock(gate->mutex);
}

SA_TEST(a_thread_and_a_descriptor_more_are_counted)
{
    gate_t gate = {sa_os_mutex_create(pool), sa_os_cond_create(pool), false};
    sa_os_thread_t *thread;
    sa_os_self_t before;
    sa_os_self_t after;
    int fd;

    /* The thread sanitizer starts one of its own with our first. */
    ck_assert_int_eq(sa_os_thread_start(&thread, "first", do_nothing, NULL, pool), APR_SUCCESS);
    sa_os_thread_join(thread);
    SA_ASSERT_OK(sa_os_self_read(&before, pool));
    ck_assert_int_eq(sa_os_thread_start(&thread, "gate", wait_at_gate, &gate, pool), APR_SUCCESS);
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    SA_ASSERT_OK(sa_os_self_read(&after, pool));
    close(fd);
    sa_os_mutex_lock(gate.mutex);
    gate.open = true;
    sa_os_cond_signal(gate.cond);
    sa_os_mutex_unlock(gate.mutex);
    sa_os_thread_join(thread);
    ck_assert_uint_eq(after.threads, before.threads + 1);
    ck_assert_uint_eq(after.descriptors, before.descriptors + 1);
    ck_assert_uint_gt(after.resident_bytes, 0);
    ck_assert_uint_ge(after.cpu_us, before.cpu_us);
}

SA_TEST(reading_ourselves_leaves_no_descriptor_open)
{
    sa_os_self_t first;
    sa_os_self_t last;

    SA_ASSERT_OK(sa_os_self_read(&first, pool));
    for (int i = 0; i < 20; i++) {
        SA_ASSERT_OK(sa_os_self_read(&last, pool));
    }
    ck_assert_uint_eq(first.descriptors, last.descriptors);
}

SA_TEST(the_begin_of_a_process_is_found_behind_any_name)
{
    static const struct {
        const char *stat;
        bool good;
        apr_uint64_t begin;
    } rows[] = {
        {"7 (agent) S 1 7 7 0 -1 4194560 1 0 0 0 2 1 0 0 20 0 9 0 12345 1 2 3\n", true, 12345},
        {"7 (a) b) S (c) S 1 7 7 0 -1 4 1 0 0 0 2 1 0 0 20 0 9 0 77 1\n", true, 77},
        {"7 (agent) Z 1 7 7 0 -1 4194560 1 0 0 0 2 1 0 0 20 0 9 0 12345 1 2 3\n", false, 0},
        {"7 (agent) S 1 7 7 0 -1 4194560 1 0 0 0 2 1\n", false, 0},
        {"7 (agent", false, 0},
        {"", false, 0},
    };

    (void)pool;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        apr_uint64_t begin = 0;

        ck_assert_msg(sa_os__parse_begin(&begin, rows[i].stat) == rows[i].good, "%s",
                      rows[i].stat);
        ck_assert_uint_eq(begin, rows[i].begin);
    }
}

SA_TEST_MAIN("os_host", os_release_is_read_like_a_shell_would,
             this_machine_has_a_name_and_a_system, our_own_memory_and_threads_are_read,
             what_cannot_be_read_stays_zero, a_thread_and_a_descriptor_more_are_counted,
             reading_ourselves_leaves_no_descriptor_open,
             the_begin_of_a_process_is_found_behind_any_name)
