/* Globs: what matches, and that no pattern makes it slow. */
#include "sa_glob.h"

#include "sa_test.h"
#include "sa_time.h"

static const struct {
    const char *pattern;
    const char *text;
    bool matches;
} rows[] = {
    {"", "", true}, {"", "a", false}, {"a", "", false}, {"a", "a", true}, {"a", "ab", false},
    {"*", "", true}, {"*", "abc", true}, {"**", "abc", true}, {"?", "", false}, {"?", "a", true},
    {"?", "ab", false}, {"??", "ab", true}, {"a*", "a", true}, {"a*", "abc", true},
    {"a*", "ba", false}, {"*a", "ba", true}, {"*a", "ab", false}, {"*a*", "xxaxx", true},
    {"*a*", "xxx", false}, {"a*b", "ab", true}, {"a*b", "axxb", true}, {"a*b", "axxbc", false},
    {"a*b*c", "abbbbc", true}, {"a*b*c", "acb", false}, {"node_load?", "node_load1", true},
    {"node_load?", "node_load15", false}, {"node_*_total", "node_cpu_seconds_total", true},
    {"node_*_total", "node_total", false}, {"*?*", "", false}, {"*?*", "x", true},
    {"?*?", "x", false}, {"?*?", "xy", true}, {"*ab", "aab", true}, {"*aab", "aaaab", true},
    {"[a]", "a", false}, {"[a]", "[a]", true}, {"a.b", "axb", false}, {"\\*", "*", false},
    {"?", "\xc3\xa9", true}, {"??", "\xc3\xa9", false}, {"a?b", "a\xe2\x82\xac" "b", true},
    {"a?b", "a\xf0\x9f\x98\x80" "b", true}, {"*\xa9", "\xc3\xa9", true}
};

SA_TEST(each_pattern_matches_what_it_says)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_glob_t *glob = sa_glob_create(rows[i].pattern, pool);

        ck_assert_msg(sa_glob_match(glob, rows[i].text, strlen(rows[i].text)) == rows[i].matches,
                      "%s and %s", rows[i].pattern, rows[i].text);
    }
}

SA_TEST(a_pattern_has_sixty_three_bytes_at_most)
{
    char pattern[130];
    sa_glob_t *glob;

    memset(pattern, 'a', sizeof(pattern));
    pattern[64] = '\0';
    ck_assert(!sa_glob_is_short(pattern));
    ck_assert_ptr_null(sa_glob_create(pattern, pool));
    pattern[63] = '\0';
    glob = sa_glob_create(pattern, pool);
    ck_assert(sa_glob_match(glob, pattern, 63));
    ck_assert(!sa_glob_match(glob, pattern, 62));
    for (int i = 0; i < 126; i += 2) {      /* a * costs nothing */
        pattern[i] = '*';
        pattern[i + 1] = 'a';
    }
    pattern[126] = '*';
    pattern[127] = '\0';
    ck_assert(sa_glob_match(sa_glob_create(pattern, pool), "aaaaaaaaaabaaaaaaaaaabaaaaaaaaaabaaaa"
                            "aaaaaabaaaaaaaaaabaaaaaaaaaabaaaaaaaaaabaaaaaaaaaa", 87));
}

/* A matcher that goes back takes years for this one. */
SA_TEST(no_pattern_makes_it_slow)
{
    enum { LENGTH = 4 * 1024 * 1024 };
    char *text = malloc(LENGTH);
    sa_glob_t *glob = sa_glob_create("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", pool);
    apr_interval_time_t started = sa_time_mono();

    memset(text, 'a', LENGTH);
    ck_assert(!sa_glob_match(glob, text, LENGTH));
    SA_ASSERT_IN_TIME(sa_time_mono() - started, apr_time_from_sec(5));
    free(text);
}

SA_TEST_MAIN("glob", each_pattern_matches_what_it_says, a_pattern_has_sixty_three_bytes_at_most,
             no_pattern_makes_it_slow)
