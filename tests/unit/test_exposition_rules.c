/* The exposition path: OpenMetrics, filters, and what is added behind a page. */
#include <stdio.h>

#include <apr_strings.h>
#include <apr_tables.h>

#include "sa_buf.h"
#include "sa_exposition.h"
#include "sa_test.h"

#define MIB (1024 * 1024)
#define SCRAPED_AT APR_INT64_C(1764000000123456)
#define S " 1764000000123\n"

typedef struct sink_t {
    sa_buf_t text;
    sa_exposition_result_t result;
} sink_t;

static sa_error_t *collect(void *baton, const char *data, size_t length, apr_uint64_t samples)
{
    sink_t *sink = baton;

    (void)samples;
    ck_assert(sa_buf_append(&sink->text, data, length));
    return SA_OK;
}

static sink_t *run(const char *page, sa_exposition_format_t format,
                   const sa_exposition_rules_t *rules, const char *own, size_t limit,
                   bool own_stamps_only, apr_pool_t *pool)
{
    static const sa_exposition_label_t job[] = {{"job", "z"}};
    sa_exposition_options_t options = {.labels = job, .label_count = 1,
                                       .part_limit_bytes = limit,
                                       .own_stamps_only = own_stamps_only};
    sink_t *sink = apr_pcalloc(pool, sizeof(*sink));
    size_t length = strlen(page);
    char *exact = malloc(length > 0 ? length : 1);
    sa_exposition_filter_t *filter = NULL;
    sa_exposition_t *exposition;

    sa_buf_init(&sink->text, 32 * MIB, pool);
    memcpy(exact, page, length);
    if (rules) {
        SA_ASSERT_OK(sa_exposition_filter_create(&filter, rules, pool));
        options.filter = filter;
    }
    SA_ASSERT_OK(sa_exposition_create(&exposition, &options, pool));
    sa_exposition_begin(&sink->result, exposition, SCRAPED_AT, collect, sink);
    SA_ASSERT_OK(sa_exposition_read(exposition, exact, length, format));
    if (own) {
        SA_ASSERT_OK(sa_exposition_read(exposition, own, strlen(own), SA_EXPOSITION_OWN));
    }
    SA_ASSERT_OK(sa_exposition_end(exposition));
    free(exact);
    sa_buf_append(&sink->text, "", 0);
    return sink;
}

static const char *text_of(const sink_t *sink)
{
    return sink->text.data ? sink->text.data : "";
}

static const struct {
    const char *page;
    const char *expected;
    int bad;
    const char *reason;
} open_rows[] = {
    {"# EOF\n", "", 0, NULL},
    {"# EOF", "", 0, NULL},
    {"# TYPE a counter\n# HELP a words\na_total 1\n# EOF\n",
     "# HELP a_total words\n# TYPE a_total counter\na_total{job=\"z\"} 1" S, 0, NULL},
    {"# TYPE a counter\n# UNIT a s\na_total{b=\"c\"} 1\na_created{b=\"c\"} 1.5\n# EOF\n",
     "# TYPE a_total counter\na_total{job=\"z\",b=\"c\"} 1" S "a_created{job=\"z\",b=\"c\"} 1.5" S,
     0, NULL},
    {"# TYPE a_total counter\na_total 1\n# EOF\n",
     "# TYPE a_total counter\na_total{job=\"z\"} 1" S, 0, NULL},
    {"# TYPE a info\na_info{v=\"1\"} 1\n# EOF\n",
     "# TYPE a_info gauge\na_info{job=\"z\",v=\"1\"} 1" S, 0, NULL},
    {"# TYPE a stateset\na{a=\"x\"} 1\n# EOF\n",
     "# TYPE a gauge\na{job=\"z\",a=\"x\"} 1" S, 0, NULL},
    {"# TYPE a unknown\na 1\n# EOF\n", "# TYPE a untyped\na{job=\"z\"} 1" S, 0, NULL},
    {"# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} 1\na_gcount 1\na_gsum 2\n# EOF\n",
     "# TYPE a untyped\na_bucket{job=\"z\",le=\"+Inf\"} 1" S "a_gcount{job=\"z\"} 1" S
     "a_gsum{job=\"z\"} 2" S, 0, NULL},
    {"# TYPE a histogram\na_bucket{le=\"1\"} 1 # {t=\"x\"} 0.5\n"
     "a_bucket{le=\"+Inf\"} 2 10.5 # {} 0.6 9.5\na_count 2\na_sum 1\na_created 5\n# EOF\n",
     "# TYPE a histogram\na_bucket{job=\"z\",le=\"1\"} 1" S
     "a_bucket{job=\"z\",le=\"+Inf\"} 2 10500\na_count{job=\"z\"} 2" S "a_sum{job=\"z\"} 1" S
     "a_created{job=\"z\"} 5" S, 0, NULL},
    {"a 1 1520879607.789\n# EOF\n", "a{job=\"z\"} 1 1520879607789\n", 0, NULL},
    {"a 1 1.5e9\n# EOF\n", "a{job=\"z\"} 1 1500000000000\n", 0, NULL},
    {"a 1 0\n# EOF\n", "a{job=\"z\"} 1 0\n", 0, NULL},
    {"a 1 -0.0001\n# EOF\n", "a{job=\"z\"} 1 0\n", 0, NULL},
    {"a 1 0.0019\n# EOF\n", "a{job=\"z\"} 1 1\n", 0, NULL},
    {"a 1 -5\n# EOF\n", "", 1, "not a timestamp"},
    {"a 1 NaN\n# EOF\n", "", 1, "not a timestamp"},
    {"a 1 1e300\n# EOF\n", "", 1, "not a timestamp"},
    {"a 1 5 6\n# EOF\n", "", 1, "something follows the timestamp"},
    {"a 1 # x\n# EOF\n", "", 1, "something follows the timestamp"},
    {"a 1e-320\nb 0.1234567890123456789012345\nc NaN\nd +Inf\n# EOF\n",
     "a{job=\"z\"} 1e-320" S "b{job=\"z\"} 0.1234567890123456789012345" S "c{job=\"z\"} NaN" S
     "d{job=\"z\"} +Inf" S, 0, NULL},
    {"# HELP a say \\\"x\\\" \\\\ \\n\na 1\n# EOF\n",
     "# HELP a say \"x\" \\\\ \\n\na{job=\"z\"} 1" S, 0, NULL},
    {"# TYPE a wrong\na 1\n# EOF\n", "a{job=\"z\"} 1" S, 1, "not a type of metric"},
    {"a 1\n", "a{job=\"z\"} 1" S, 1, "# EOF is missing"},
    {"a 1\n# EOF\nb 2\n", "a{job=\"z\"} 1" S, 1, "something follows # EOF"},
    {"a 1\n# EOF\n# EOF\n", "a{job=\"z\"} 1" S, 1, "something follows # EOF"},
    /* one TYPE of a name in a part, whoever says it */
    {"# TYPE a counter\na_total 1\n# TYPE a_total gauge\na_total{x=\"y\"} 2\n# EOF\n",
     "# TYPE a_total counter\na_total{job=\"z\"} 1" S "a_total{job=\"z\",x=\"y\"} 2" S, 0, NULL}
};

SA_TEST(openmetrics_goes_on_as_text)
{
    for (size_t i = 0; i < sizeof(open_rows) / sizeof(open_rows[0]); i++) {
        sink_t *sink = run(open_rows[i].page, SA_EXPOSITION_OPENMETRICS, NULL, NULL, MIB, false,
                           pool);

        ck_assert_msg(strcmp(text_of(sink), open_rows[i].expected) == 0, "row %d\n%s\ngave\n%s",
                      (int)i, open_rows[i].page, text_of(sink));
        ck_assert_msg((int)sink->result.bad_lines == open_rows[i].bad, "row %d: %s", (int)i,
                      sink->result.bad_reason);
        if (open_rows[i].reason) {
            ck_assert_str_eq(sink->result.bad_reason, open_rows[i].reason);
        }
    }
}

/* What only OpenMetrics has stays a bad line of the text format. */
SA_TEST(the_text_format_is_read_as_before)
{
    sink_t *sink = run("# TYPE a counter\na_total 1\n# TYPE a_total gauge\na_total{x=\"y\"} 2\n"
                       "# TYPE b info\nc 1 # {} 1\nd 1 1.5\n# EOF\ne 1\n", SA_EXPOSITION_TEXT,
                       NULL, NULL, MIB, false, pool);

    ck_assert_uint_eq(sink->result.bad_lines, 4);
    ck_assert_str_eq(text_of(sink), "a_total{job=\"z\"} 1" S "a_total{job=\"z\",x=\"y\"} 2" S
                     "e{job=\"z\"} 1" S);
}

/* Names are compared with the last one first. */
SA_TEST(names_that_begin_alike_are_told_apart)
{
    static const char base[] = "abcdefghijklmnopqrstuvwxyz";

    for (int first = 1; first <= 26; first++) {
        for (int second = 1; second <= 26; second++) {
            const char *page = apr_psprintf(
                pool, "# TYPE %.*s gauge\n%.*s 1\n%.*s 2\n%.*sX%.*s 3\n", first, base, first,
                base, second, base, second, base, 3, base);
            const char *expected = apr_psprintf(
                pool, "# TYPE %.*s gauge\n%.*s{job=\"z\"} 1" S "%.*s{job=\"z\"} 2" S
                "%.*sX%.*s{job=\"z\"} 3" S, first, base, first, base, second, base, second, base,
                3, base);

            ck_assert_str_eq(text_of(run(page, SA_EXPOSITION_TEXT, NULL, NULL, 4096, false, pool)),
                             expected);
        }
    }
}

SA_TEST(names_in_quotes_are_said_to_be_there)
{
    static const struct {
        const char *page;
        bool quotes;
    } rows[] = {
        {"a{b=\"c\"} 1\n", false},
        {"{\"a b\"} 1\n", true},
        {"a{\"b c\"=\"d\"} 1\n", true},
        {"{\"a b\" 1\na 1\n", false}     /* a bad line does not go */
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sink_t *sink = run(rows[i].page, SA_EXPOSITION_TEXT, NULL, NULL, MIB, false, pool);

        ck_assert_msg(sink->result.quotes == rows[i].quotes, "%s", rows[i].page);
    }
}

SA_TEST(the_content_type_says_which_format_it_is)
{
    (void)pool;
    ck_assert_int_eq(sa_exposition_format("application/openmetrics-text; version=1.0.0; "
                                          "charset=utf-8"), SA_EXPOSITION_OPENMETRICS);
    ck_assert_int_eq(sa_exposition_format("Application/OpenMetrics-Text"),
                     SA_EXPOSITION_OPENMETRICS);
    ck_assert_int_eq(sa_exposition_format("application/openmetrics-textual"), SA_EXPOSITION_TEXT);
    ck_assert_int_eq(sa_exposition_format("text/plain; version=0.0.4"), SA_EXPOSITION_TEXT);
    ck_assert_int_eq(sa_exposition_format(""), SA_EXPOSITION_TEXT);
}

/* A counter of OpenMetrics with _created between its samples is one family. */
SA_TEST(a_family_of_openmetrics_stays_in_one_part)
{
    sa_buf_t *page = apr_palloc(pool, sizeof(*page));
    sink_t *sink;
    const char *text;

    sa_buf_init(page, MIB, pool);
    for (int i = 0; i < 40; i++) {
        sa_buf_printf(page, "# HELP m%d about it\n# TYPE m%d counter\n", i, i);
        for (int j = 0; j < 10; j++) {
            sa_buf_printf(page, "m%d_total{n=\"%d\"} 1\nm%d_created{n=\"%d\"} 2\n", i, j, i, j);
        }
    }
    sa_buf_append_text(page, "# EOF\n");
    sink = run(page->data, SA_EXPOSITION_OPENMETRICS, NULL, NULL, SA_EXPOSITION_PART_MIN, false,
               pool);
    ck_assert_uint_eq(sink->result.samples, 800);
    ck_assert_uint_gt(sink->result.parts, 5);
    text = text_of(sink);
    for (int i = 0; i < 40; i++) {
        const char *head = apr_psprintf(pool, "# TYPE m%d_total counter\n", i);
        const char *first = strstr(text, head);

        ck_assert_ptr_nonnull(first);
        ck_assert_ptr_null(strstr(first + 1, head));
    }
}

/* ---- filters --------------------------------------------------------------- */

static apr_array_header_t *words(const char *text, apr_pool_t *pool)
{
    apr_array_header_t *list = apr_array_make(pool, 4, sizeof(const char *));
    char *last = NULL;

    for (char *word = apr_strtok(apr_pstrdup(pool, text), " ", &last); word;
         word = apr_strtok(NULL, " ", &last)) {
        APR_ARRAY_PUSH(list, const char *) = word;
    }
    return list;
}

static const char filter_page[] =
    "# TYPE cpu counter\ncpu{mode=\"idle\",n=\"0\"} 1\ncpu{mode=\"user\",n=\"0\"} 2\n"
    "load1 3\nload15 4\nx{path=\"C:\\\\a \\\"b\\\"\\nc\"} 5\n";

static const struct {
    const char *keep;
    const char *drop;
    const char *keep_if;
    const char *drop_if;
    const char *drop_labels;
    const char *expected;       /* the values that come out */
    const char *labels;         /* of the first */
} filter_rows[] = {
    {"", "", "", "", "", "12345", "mode=\"idle\",n=\"0\""},
    {"load?", "", "", "", "", "3", ""},
    {"load*", "", "", "", "", "34", ""},
    {"load* x", "load15", "", "", "", "35", ""},
    {"", "*", "", "", "", "", ""},
    {"", "cpu", "", "", "", "345", ""},
    {"", "", "mode=*", "", "", "12345", "mode=\"idle\",n=\"0\""},
    {"", "", "mode=?*", "", "", "12", "mode=\"idle\",n=\"0\""},
    {"", "", "mode=us*", "", "", "2", "mode=\"user\",n=\"0\""},
    {"", "", "mode=us* path=*", "", "", "12345", "mode=\"idle\",n=\"0\""},
    {"", "", "", "mode=idle", "", "2345", "mode=\"user\",n=\"0\""},
    {"", "", "", "mode=", "", "12", "mode=\"idle\",n=\"0\""},
    {"", "", "path=C:\\a?\"b\"?c", "", "", "5", "path=\"C:\\\\a \\\"b\\\"\\nc\""},
    {"", "", "", "path=C:\\\\*", "", "12345", "mode=\"idle\",n=\"0\""},
    {"", "", "", "", "mode", "12345", "n=\"0\""},
    {"cpu", "", "", "mode=user", "n mode", "1", ""}
};

SA_TEST(filters_choose_samples_and_labels)
{
    for (size_t i = 0; i < sizeof(filter_rows) / sizeof(filter_rows[0]); i++) {
        sa_exposition_rules_t rules = {
            .keep = words(filter_rows[i].keep, pool), .drop = words(filter_rows[i].drop, pool),
            .keep_if = words(filter_rows[i].keep_if, pool),
            .drop_if = words(filter_rows[i].drop_if, pool),
            .drop_labels = words(filter_rows[i].drop_labels, pool)
        };
        sink_t *sink = run(filter_page, SA_EXPOSITION_TEXT, &rules, NULL, MIB, false, pool);
        const char *labels = filter_rows[i].labels;
        char values[8] = "";
        int count = 0;

        for (const char *p = strstr(text_of(sink), "} "); p; p = strstr(p + 1, "} ")) {
            values[count++] = p[2];
        }
        ck_assert_msg(strcmp(values, filter_rows[i].expected) == 0, "row %d: %s", (int)i,
                      text_of(sink));
        ck_assert_uint_eq(sink->result.read, 5);
        ck_assert_uint_eq(sink->result.filtered, 5 - strlen(values));
        ck_assert_uint_eq(sink->result.samples, strlen(values));
        ck_assert_uint_eq(sink->result.bad_lines, 0);
        if (count > 0) {
            ck_assert_msg(strstr(text_of(sink),
                                 apr_pstrcat(pool, "{job=\"z\"", *labels ? "," : "", labels,
                                             "} ", NULL)) != NULL,
                          "row %d: %s", (int)i, text_of(sink));
        }
    }
}

SA_TEST(a_label_that_was_taken_away_is_not_renamed)
{
    sa_exposition_rules_t rules = {.drop_labels = words("job", pool)};
    sink_t *sink = run("a{job=\"x\",b=\"c\"} 1\n", SA_EXPOSITION_TEXT, &rules, NULL, MIB, false,
                       pool);

    ck_assert_str_eq(text_of(sink), "a{job=\"z\",b=\"c\"} 1" S);
}

SA_TEST(no_rules_are_no_filter_and_bad_ones_are_refused)
{
    sa_exposition_rules_t none = {.keep = words("", pool)};
    sa_exposition_rules_t no_label = {.keep_if = words("abc", pool)};
    sa_exposition_rules_t too_long = {
        .drop = words("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", pool)
    };
    sa_exposition_filter_t *filter;

    SA_ASSERT_OK(sa_exposition_filter_create(&filter, &none, pool));
    ck_assert_ptr_null(filter);
    SA_ASSERT_ERR(sa_exposition_filter_create(&filter, &no_label, pool), SA_ERR_CONFIG);
    SA_ASSERT_ERR(sa_exposition_filter_create(&filter, &too_long, pool), SA_ERR_CONFIG);
}

SA_TEST(times_of_the_page_can_be_left_out)
{
    ck_assert_str_eq(text_of(run("a 1 5\nb 2\n", SA_EXPOSITION_TEXT, NULL, NULL, MIB, true, pool)),
                     "a{job=\"z\"} 1" S "b{job=\"z\"} 2" S);
    ck_assert_str_eq(text_of(run("a 1 5\n# EOF\n", SA_EXPOSITION_OPENMETRICS, NULL, NULL, MIB,
                                 true, pool)), "a{job=\"z\"} 1" S);
}

/* ---- what is added ------------------------------------------------------------ */

SA_TEST(what_is_added_is_neither_filtered_nor_counted)
{
    sa_exposition_rules_t rules = {.keep = words("a", pool)};
    sink_t *sink = run("# TYPE a gauge\na 1\nb 2", SA_EXPOSITION_TEXT, &rules,
                       "# TYPE up gauge\nup 1\n", MIB, false, pool);

    ck_assert_str_eq(text_of(sink), "# TYPE a gauge\na{job=\"z\"} 1" S
                     "# TYPE up gauge\nup{job=\"z\"} 1" S);
    ck_assert_uint_eq(sink->result.read, 2);
    ck_assert_uint_eq(sink->result.filtered, 1);
    ck_assert_uint_eq(sink->result.samples, 2);
    ck_assert_uint_eq(sink->result.parts, 1);
}

SA_TEST(an_exporters_own_up_leaves_ours_readable)
{
    sink_t *sink = run("# TYPE up gauge\nup 5\nb 2\n# EOF\n", SA_EXPOSITION_OPENMETRICS, NULL,
                       "# TYPE up gauge\nup 1\n", MIB, false, pool);

    ck_assert_str_eq(text_of(sink), "# TYPE up gauge\nup{job=\"z\"} 5" S "b{job=\"z\"} 2" S
                     "up{job=\"z\"} 1" S);
}

/* ---- one by one --------------------------------------------------------------- */

static void add(void *baton, const sa_exposition_sample_t *sample)
{
    sink_t *sink = baton;
    apr_pool_t *pool = sa_pool_create_root();

    if (sa_exposition_is_named(sample, "a")) {
        sa_buf_printf(&sink->text, "%g:%s:%s;", sa_exposition_value(sample),
                      sa_exposition_label(sample, "b", pool),
                      sa_exposition_label(sample, "none", pool));
    }
    apr_pool_destroy(pool);
}

SA_TEST(samples_can_be_looked_at_one_by_one)
{
    static const char page[] = "# TYPE a gauge\na 1\na{b=\"c\"} 2.5e3\r\nbad line {\nab 3\n"
                               "a{b=\"x\\\\y\\n\\\"\"} -Inf 77\na{b=\"cut\"} 4";
    sink_t *sink = apr_pcalloc(pool, sizeof(*sink));
    char *exact = malloc(sizeof(page) - 1);

    sa_buf_init(&sink->text, MIB, pool);
    memcpy(exact, page, sizeof(page) - 1);
    sa_exposition_each(exact, sizeof(page) - 1, SA_EXPOSITION_TEXT, add, sink, pool);
    free(exact);
    ck_assert_str_eq(sink->text.data, "1::;2500:c:;-inf:x\\y\n\":;");
}

SA_TEST_MAIN("exposition_rules", openmetrics_goes_on_as_text, the_text_format_is_read_as_before,
             names_that_begin_alike_are_told_apart, names_in_quotes_are_said_to_be_there,
             the_content_type_says_which_format_it_is, a_family_of_openmetrics_stays_in_one_part,
             filters_choose_samples_and_labels, a_label_that_was_taken_away_is_not_renamed,
             no_rules_are_no_filter_and_bad_ones_are_refused, times_of_the_page_can_be_left_out,
             what_is_added_is_neither_filtered_nor_counted,
             an_exporters_own_up_leaves_ours_readable, samples_can_be_looked_at_one_by_one)
