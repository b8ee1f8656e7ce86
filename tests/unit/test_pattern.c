/* Patterns: what matches, what is refused with its column, and that no pattern and no text
 * makes it slow, counted in steps. */
#include "sa_pattern.h"

#include "sa_test.h"

#include <apr_strings.h>

#include "sa_text.h"

static bool matches_bytes(const char *pattern, const char *text, size_t length, apr_pool_t *pool)
{
    sa_pattern_t *made = NULL;

    SA_ASSERT_OK(sa_pattern_create(&made, pattern, pool));
    return sa_pattern_match(made, text, length, NULL, pool);
}

SA_TEST(each_pattern_matches_what_it_says)
{
    static const struct {
        const char *pattern;
        const char *text;
        bool matches;
    } rows[] = {
        {"", "", true}, {"", "a", false}, {"a", "a", true}, {"a", "", false}, {"a", "ab", false},
        {"a", "ba", false}, {"ab", "ab", true}, {"a|b", "a", true}, {"a|b", "b", true},
        {"a|b", "ab", false}, {"a|", "", true}, {"|a", "a", true}, {"a|b|cd", "cd", true},
        {"ab|cd", "abd", false}, {"a(b|c)d", "acd", true}, {"a(b|c)d", "ad", false},
        {"(?:ab)+", "abab", true}, {"(?:ab)+", "aba", false}, {"()", "", true}, {"(|a)b", "b",
                                                                                 true},
        {"a*", "", true}, {"a*", "aaaa", true}, {"a*", "aab", false}, {"a+", "", false},
        {"a+", "aaa", true}, {"a?", "", true}, {"a?", "a", true}, {"a?", "aa", false},
        {"a{3}", "aaa", true}, {"a{3}", "aa", false}, {"a{3}", "aaaa", false},
        {"a{2,}", "a", false}, {"a{2,}", "aaaaa", true}, {"a{1,2}", "aa", true},
        {"a{1,2}", "aaa", false}, {"a{0}", "", true}, {"a{0}", "a", false}, {"a{0,1}b", "b", true},
        {"(ab){2}c", "ababc", true}, {"(a|b{2}){2}", "abb", true}, {"(a|b{2}){2}", "bbbb", true},
        {"(a|b{2}){2}", "bbb", false}, {"(a*)*", "aaa", true}, {"(a*)*", "b", false},
        {"(a*)+b", "b", true}, {"((a|b)*c)*", "abcbac", true}, {"((a|b)*c)*", "abcba", false},
        {"(){255}", "", true}, {"(a?){3}", "aa", true}, {"(a?){3}", "aaaa", false},
        {".", "x", true}, {".", "", false}, {".", "xy", false}, {".*", "anything at all", true},
        {".", "\n", false}, {".", "\r", false}, {".", "\xc2\x85", false},
        {".", "\xe2\x80\xa8", false}, {".*", "ok\nid", false}, {"[^a]", "\n", false},
        {"[^a]*", "b\nc", false}, {"\\D", "\n", false}, {"\\W\\S", "\n\n", false}, {"\\s", "\n",
                                                                                    false},
        {"[abc]+", "cab", true}, {"[a-c]", "d", false}, {"[^a-c]", "d", true},
        {"[^a-c]", "b", false}, {"[a-]", "-", true}, {"[-a]", "-", true}, {"[a\\-c]", "b", false},
        {"[a\\-c]", "-", true}, {"[a^]", "^", true}, {"[\\]\\[]+", "[]", true},
        {"[\\\\]", "\\", true}, {"[a-cx-z0]+", "0ycab", true}, {"[.]", "a", false},
        {"[.*+?(){}|$]+", "$|}{)(?+*.", true}, {"[\\d_]+", "1_2", true}, {"[^\\d]", "5", false},
        {"[^\\d]", "a", true}, {"[\\D]", "5", false}, {"[\\w-]+", "a-B_9", true},
        {"\\d+", "0123456789", true}, {"\\d", "\xd9\xa3", false}, {"\\w+", "aZ_09", true},
        {"\\w", "-", false}, {"\\w", "\xc3\xa9", false}, {"a\\sb", "a b", true},
        {"a\\sb", "a\xc2\xa0" "b", false}, {"\\S+", "a b", false}, {"\\W", " ", true},
        {"\\.", ".", true}, {"\\.", "a", false}, {"\\$\\^\\{\\}", "$^{}", true}, {"a\\ b", "a b",
                                                                                  true},
        {"^abc$", "abc", true}, {"^abc$", "xabc", false}, {"^a|b$", "b", true},
        {"^a|b$", "xb", false}, {"^a|b$", "ax", false}, {"^$", "", true}, {"^.*$", "ok\nid", false},
        {"\xc3\xa9", "\xc3\xa9", true}, {".", "\xc3\xa9", true}, {"..", "\xc3\xa9", false},
        {".{2}", "\xf0\x9f\x98\x80\xe2\x82\xac", true}, {"[\xc3\xa0-\xc3\xbf]", "\xc3\xa9", true},
        {"[\xc3\xa0-\xc3\xbf]", "e", false}, {"[^a]", "\xe2\x82\xac", true},
        {"hello", "h\xd0\xb5llo", false}, {"\xc3\xa9", "e\xcc\x81", false},
        {"A", "a", false}, {"[a-z]{1,3}(\\.[a-z]{1,3})*", "a.bc.def", true},
        {"[a-z]{1,3}(\\.[a-z]{1,3})*", "a..b", false}, {"a{255}", "a", false},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_msg(matches_bytes(rows[i].pattern, rows[i].text, strlen(rows[i].text), pool)
                      == rows[i].matches, "%s and %s", rows[i].pattern, rows[i].text);
    }
}

SA_TEST(what_is_not_utf8_matches_nothing)
{
    static const char *const texts[] = {"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                        "\xc3", "a\xe2\x82", "\xe0\x80\xaf", "\x80"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        ck_assert_msg(!matches_bytes(".*", texts[i], strlen(texts[i]), pool), "%d", (int)i);
        ck_assert_msg(!matches_bytes("[^a]*|a.*", texts[i], strlen(texts[i]), pool), "%d", (int)i);
    }
    ck_assert(!matches_bytes("ab", "ab\0c", 4, pool));
    ck_assert(!matches_bytes("a", "a\n", 2, pool));
}

SA_TEST(each_mistake_is_named_with_its_column)
{
    static const struct {
        const char *pattern;
        const char *wrong;
    } rows[] = {
        {"(ab", "( without ), at column 1"}, {"a)b", ") without (, at column 2"},
        {"a(b(c)", "( without ), at column 2"}, {"[ab", "[ without ], at column 4"},
        {"a[]", "nothing inside of [ ], at column 2"}, {"[^]",
                                                        "nothing inside of [ ], at column 1"},
        {"[[:alpha:]]", "[ inside of [ ] must stand behind a \\, at column 2"},
        {"[z-a]", "a range that is none, at column 2"},
        {"[a-\\d]", "a range that is none, at column 2"},
        {"[\\d-z]", "a range that is none, at column 2"},
        {"[a-c-e]", "- inside of [ ] must stand first, last or behind a \\, at column 5"},
        {"*a", "nothing to repeat, at column 1"}, {"a|*", "nothing to repeat, at column 3"},
        {"(+)", "nothing to repeat, at column 2"}, {"{3}", "nothing to repeat, at column 1"},
        {"a**", "a repeat of a repeat, at column 3"}, {"a+?", "a repeat of a repeat, at column 3"},
        {"a{2}{3}", "a repeat of a repeat, at column 5"},
        {"a{", "{ that is not {m}, {m,} or {m,n} with numbers up to 255, at column 2"},
        {"a{x}", "{ that is not {m}, {m,} or {m,n} with numbers up to 255, at column 2"},
        {"a{,3}", "{ that is not {m}, {m,} or {m,n} with numbers up to 255, at column 2"},
        {"a{3,2}", "{ that is not {m}, {m,} or {m,n} with numbers up to 255, at column 2"},
        {"a{256}", "{ that is not {m}, {m,} or {m,n} with numbers up to 255, at column 2"},
        {"a{1,999999999999999999}",
         "{ that is not {m}, {m,} or {m,n} with numbers up to 255, at column 2"},
        {"a{2", "{ that is not {m}, {m,} or {m,n} with numbers up to 255, at column 2"},
        {"a}", "] or } that closes nothing; for itself it needs a \\, at column 2"},
        {"a]", "] or } that closes nothing; for itself it needs a \\, at column 2"},
        {"a^", "^ behind the beginning, at column 2"}, {"a$b", "$ before the end, at column 2"},
        {"(a$)", "$ before the end, at column 3"}, {"a$*", "$ before the end, at column 2"},
        {"a\\", "nothing behind \\, at column 3"},
        {"\\b", "\\ with a meaning that is not known, at column 2"},
        {"(a)\\1", "\\ with a meaning that is not known, at column 5"},
        {"\\n", "\\ with a meaning that is not known, at column 2"},
        {"[\\x41]", "\\ with a meaning that is not known, at column 3"},
        {"(?=a)", "(? with a meaning that is not known, at column 2"},
        {"(?i)a", "(? with a meaning that is not known, at column 2"},
        {"\xc3\xa9\xc3\xa9(", "( without ), at column 3"},
        {"a\xff", "a pattern that is not UTF-8"}, {"a\nb",
                                                   "a pattern that holds a control character"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_pattern_t *pattern;
        sa_error_t *err = sa_pattern_create(&pattern, rows[i].pattern, pool);

        ck_assert_msg(err != NULL, "%s", rows[i].pattern);
        ck_assert(sa_error_has(err, SA_ERR_PARSE));
        ck_assert_str_eq(err->message, rows[i].wrong);
        sa_error_clear(err);
    }
}

static char *repeat(const char *text, int count, apr_pool_t *pool)
{
    size_t length = strlen(text);
    char *all = apr_palloc(pool, length * (size_t)count + 1);

    for (int i = 0; i < count; i++) {
        memcpy(all + (size_t)i * length, text, length);
    }
    all[length * (size_t)count] = '\0';
    return all;
}

SA_TEST(a_pattern_that_grows_is_refused)
{
    const char *const patterns[] = {
        "((((a{255}){255}){255}){255}){255}", "(((((){255}){255}){255}){255}){255}",
        "(((((|){255}){255}){255}){255}){255}", "((((((a*)*){255})*){255})*){255}",
        "(ab?c*){255}(ab?c*){255}(ab?c*){255}",
        apr_pstrcat(pool, repeat("(", 33, pool), repeat(")", 33, pool), NULL),
        repeat("(", 1000, pool), repeat("a", SA_PATTERN_BYTES + 1, pool)};
    sa_pattern_t *pattern;

    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        SA_ASSERT_ERR(sa_pattern_create(&pattern, patterns[i], pool), SA_ERR_PARSE);
    }
    SA_ASSERT_OK(sa_pattern_create(&pattern, repeat("a", SA_PATTERN_BYTES, pool), pool));
    SA_ASSERT_OK(sa_pattern_create(&pattern, "(a{255}){7}", pool));
    ck_assert_int_le(sa_pattern_states(pattern), SA_PATTERN_STATES);
    SA_ASSERT_OK(sa_pattern_create(&pattern,
                                   apr_pstrcat(pool, repeat("(", 32, pool), "a",
                                               repeat(")", 32, pool), NULL), pool));
}

/* Those that make a matcher which goes back take years. */
SA_TEST(hostile_13_a_redos_string_takes_bounded_steps)
{
    static const struct {
        const char *pattern;
        const char *piece;
        const char *end;
    } rows[] = {
        {"(a+)+", "a", "!"}, {"(a|a)*", "a", "b"}, {"(a|aa)+", "a", "!"}, {"(.*a){20}", "a", "b"},
        {"([a-zA-Z]+)*", "a", "!"}, {"(.*)*x", "ab", "\n"}, {"((a*)*)*b", "a", "c"},
        {"a{0,255}a{255}", "a", "b"}, {"(\\w+\\s?)*", "aaa ", "!"}, {"(x+x+)+y", "x", "z"},
        {"(a?){255}a{255}", "a", ""}, {"([^,]*,){50}z", "a,", "y"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (int count = 64; count <= 4096; count *= 8) {
            const char *text = apr_pstrcat(pool, repeat(rows[i].piece, count, pool), rows[i].end,
                                           NULL);
            apr_uint64_t steps = 0;
            apr_uint64_t bound;
            sa_pattern_t *pattern;

            SA_ASSERT_OK(sa_pattern_create(&pattern, rows[i].pattern, pool));
            bound = (strlen(text) + 1) * (apr_uint64_t)sa_pattern_states(pattern);
            sa_pattern_match(pattern, text, strlen(text), &steps, pool);
            ck_assert_msg(steps > 0 && steps <= bound, "%s: %d", rows[i].pattern, (int)steps);
        }
    }
    ck_assert(matches_bytes("(a?){255}a{255}", repeat("a", 255, pool), 255, pool));
    ck_assert(matches_bytes("(a?){255}a{255}", repeat("a", 510, pool), 510, pool));
    ck_assert(!matches_bytes("(a?){255}a{255}", repeat("a", 511, pool), 511, pool));
}

SA_TEST(faults_of_text_are_named)
{
    static const struct {
        const char *text;
        const char *fault;
    } rows[] = {
        {"plain \xc3\xa9 \xf0\x9f\x98\x80", NULL}, {"a\tb", "holds a control character"},
        {"a\nb", "holds a control character"}, {"a\x7f", "holds a control character"},
        {"\xc2\x80", "holds a control character"}, {"\xc2\x85", "holds a control character"},
        {"\xc2\xa0", NULL}, {"\xe2\x80\xa8", "holds a line separator"},
        {"\xe2\x80\xa9", "holds a line separator"}, {"\xc0\xaf", "is not UTF-8"},
        {"\xe2\x80\xae", "holds a character that changes the direction of writing"},
        {"\xe2\x81\xa6", "holds a character that changes the direction of writing"},
        {"\xed\xa0\x80", "is not UTF-8"}, {"\xf5\x80\x80\x80", "is not UTF-8"},
    };

    (void)pool;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *fault = sa_text_fault(rows[i].text, strlen(rows[i].text));

        ck_assert_msg(!fault == !rows[i].fault, "%d: %s", (int)i, fault);
        ck_assert(!fault || strcmp(fault, rows[i].fault) == 0);
    }
    ck_assert_str_eq(sa_text_fault("a\0b", 3), "holds a control character");
}

SA_TEST_MAIN("pattern", each_pattern_matches_what_it_says, what_is_not_utf8_matches_nothing,
             each_mistake_is_named_with_its_column, a_pattern_that_grows_is_refused,
             hostile_13_a_redos_string_takes_bounded_steps, faults_of_text_are_named)
