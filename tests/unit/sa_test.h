/* What every unit test needs on top of Check.
 *
 *     SA_TEST(a_full_queue_refuses)
 *     {
 *         SA_ASSERT_OK(sa_x(...));
 *         ck_assert_int_eq(...);
 *     }
 *     SA_TEST_MAIN("queue", a_full_queue_refuses, ...)
 *
 * A test gets `pool`, a root of its own that is destroyed after it.  Tests
 * leave no state and do not sleep. */
#ifndef SA_TEST_H
#define SA_TEST_H

#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <apr_pools.h>
#include <check.h>

#include "sa_error.h"
#include "sa_pool.h"
#include "sa_stats.h"

#define SA_ASSERT_OK(expression)                                              \
    do {                                                                      \
        sa_error_t *sa_test_err_ = (expression);                              \
        char sa_test_text_[1024];                                             \
        ck_assert_msg(sa_test_err_ == NULL, "%s: %s", #expression,            \
                      sa_error_text(sa_test_err_, sa_test_text_, sizeof(sa_test_text_))); \
    } while (0)

#define SA_ASSERT_ERR(expression, code_)                                      \
    do {                                                                      \
        sa_error_t *sa_test_err_ = (expression);                              \
        char sa_test_text_[1024];                                             \
        ck_assert_msg(sa_test_err_ != NULL, "%s did not fail", #expression);  \
        ck_assert_msg(sa_error_has(sa_test_err_, (code_)), "%s: not " #code_ ": %s", #expression, \
                      sa_error_text(sa_test_err_, sa_test_text_, sizeof(sa_test_text_))); \
        sa_error_clear(sa_test_err_);                                         \
    } while (0)

/* TIME_FACTOR of the environment, 1 without it: how many times as long something may take
 * as it does on a machine that has nothing else to do (tests/all sets it). */
static inline int sa_test_patience(void)
{
    const char *text = getenv("TIME_FACTOR");
    long factor = text ? strtol(text, NULL, 10) : 1;

    return factor > 1 && factor < 100 ? (int)factor : 1;
}

/* TOOK_ is less than MOST_, both microseconds. */
#define SA_ASSERT_IN_TIME(took_, most_)                                       \
    ck_assert_int_lt((took_), (most_) * sa_test_patience())

#define SA_TEST(name)                                \
    static void name##_body(apr_pool_t *pool);       \
    START_TEST(name)                                 \
    {                                                \
        apr_pool_t *sa_test_pool_ = sa_pool_create_root(); \
        name##_body(sa_test_pool_);                  \
        apr_pool_destroy(sa_test_pool_);             \
    }                                                \
    END_TEST                                         \
    static void name##_body(apr_pool_t *pool)

/* TESTS_ is a brace list of test names. */
#define SA_TEST_MAIN(suite_name, ...)                                         \
    int main(void)                                                            \
    {                                                                         \
        const TTest *const tests[] = {__VA_ARGS__};                           \
        Suite *suite = suite_create(suite_name);                              \
        TCase *tcase = tcase_create(suite_name);                              \
        SRunner *runner;                                                      \
        int failed;                                                           \
                                                                              \
        static apr_pool_t *stats_pool;  /* reachable to the end */            \
                                                                              \
        apr_initialize();                                                     \
        stats_pool = sa_pool_create_root();                                   \
        sa_stats_init(stats_pool);                                            \
        tcase_set_timeout(tcase, 120);                                        \
        for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {       \
            tcase_add_test(tcase, tests[i]);                                  \
        }                                                                     \
        suite_add_tcase(suite, tcase);                                        \
        runner = srunner_create(suite);                                       \
        srunner_run_all(runner, CK_NORMAL);                                   \
        failed = srunner_ntests_failed(runner);                               \
        srunner_free(runner);                                                 \
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;                     \
    }

#endif
