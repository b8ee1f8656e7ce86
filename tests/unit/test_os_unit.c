/* The drop-in that gives the agent's unit what a configuration needs. */
#include "sa_os_unit.h"

#include "sa_test.h"

#define HEAD_LINES 6

static const char *text_of(int *count, const sa_os_right_t *rights, int number, apr_pool_t *pool)
{
    apr_array_header_t *list = apr_array_make(pool, 8, sizeof(sa_os_right_t));
    sa_buf_t *text = apr_palloc(pool, sizeof(*text));
    const char *line;

    for (int i = 0; i < number; i++) {
        APR_ARRAY_PUSH(list, sa_os_right_t) = rights[i];
    }
    sa_buf_init(text, 64 * 1024, pool);
    SA_ASSERT_OK(sa_os_unit_text(text, count, list, pool));
    line = text->data;
    for (int i = 0; i < HEAD_LINES; i++) {
        line = strchr(line, '\n') + 1;
    }
    return line;
}

SA_TEST(a_path_is_one_word_whatever_is_in_it)
{
    static const struct {
        const char *path;
        const char *expected;
    } rows[] = {
        {"/srv/logs", "# x\nReadWritePaths=\"-/srv/logs\"\n"},
        {"/srv/my logs", "# x\nReadWritePaths=\"-/srv/my logs\"\n"},
        {"/srv/100%", "# x\nReadWritePaths=\"-/srv/100%%\"\n"},
        {"/srv/a\"b\\c", "# x\nReadWritePaths=\"-/srv/a\\\"b\\\\c\"\n"},
        {"/srv/$HOME", "# x\nReadWritePaths=\"-/srv/$HOME\"\n"},
        {"/var/lib/stone-age2", "# x\nReadWritePaths=\"-/var/lib/stone-age2\"\n"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_os_right_t right = {.kind = SA_OS_RIGHT_WRITE, .what = rows[i].path, .why = "x"};
        int count;

        ck_assert_str_eq(text_of(&count, &right, 1, pool), rows[i].expected);
        ck_assert_int_eq(count, 1);
    }
}

SA_TEST(what_the_unit_allows_anyway_is_left_out)
{
    static const sa_os_right_t rights[] = {
        {SA_OS_RIGHT_WRITE, "/var/lib/stone-age", "x"},
        {SA_OS_RIGHT_WRITE, "/var/lib/stone-age/nebula", "x"},
        {SA_OS_RIGHT_WRITE, "/var/log/stone-age", "x"},
        {SA_OS_RIGHT_WRITE, "/run/stone-age", "x"},
        {SA_OS_RIGHT_WRITE, "/tmp/x", "x"},
        {SA_OS_RIGHT_STOP_TIME, "30", "x"},
    };
    int count;

    ck_assert_str_eq(text_of(&count, rights, sizeof(rights) / sizeof(rights[0]), pool), "");
    ck_assert_int_eq(count, 0);
}

SA_TEST(the_same_rights_give_the_same_text_in_whatever_order)
{
    static const sa_os_right_t one[] = {
        {SA_OS_RIGHT_JOURNAL, NULL, "a"}, {SA_OS_RIGHT_GROUP, "adm", "b"},
        {SA_OS_RIGHT_WRITE, "/srv/b", "c"}, {SA_OS_RIGHT_WRITE, "/srv/a", "d"},
        {SA_OS_RIGHT_STOP_TIME, "620", "e"}, {SA_OS_RIGHT_GROUP, "adm", "b"},
    };
    static const sa_os_right_t other[] = {
        {SA_OS_RIGHT_WRITE, "/srv/a", "d"}, {SA_OS_RIGHT_STOP_TIME, "620", "e"},
        {SA_OS_RIGHT_GROUP, "adm", "b"}, {SA_OS_RIGHT_WRITE, "/srv/b", "c"},
        {SA_OS_RIGHT_JOURNAL, NULL, "a"},
    };
    int count;
    const char *text = text_of(&count, one, 6, pool);

    ck_assert_int_eq(count, 5);
    ck_assert_str_eq(text, "# d\nReadWritePaths=\"-/srv/a\"\n# c\nReadWritePaths=\"-/srv/b\"\n"
                           "# b\nSupplementaryGroups=adm\n"
                           "# a\nSupplementaryGroups=systemd-journal\n"
                           "# e\nTimeoutStopSec=620\n");
    ck_assert_str_eq(text_of(&count, other, 5, pool), text);
}

SA_TEST_MAIN("os_unit", a_path_is_one_word_whatever_is_in_it,
             what_the_unit_allows_anyway_is_left_out,
             the_same_rights_give_the_same_text_in_whatever_order)
