/* The exposition path: exact bytes for small pages, properties for large ones. */
#include "sa_exposition.h"

#include <stdio.h>

#include <apr_strings.h>
#include <apr_tables.h>

#include "sa_buf.h"
#include "sa_test.h"

#define MIB (1024 * 1024)
#define SCRAPED_AT APR_INT64_C(1764000000123456)    /* in microseconds */
#define STAMP "1764000000123"

typedef struct parts_t {
    apr_array_header_t *texts;      /* const char * */
    apr_uint64_t samples;
    apr_pool_t *pool;
} parts_t;

static sa_error_t *collect(void *baton, const char *data, size_t length, apr_uint64_t samples)
{
    parts_t *parts = baton;

    APR_ARRAY_PUSH(parts->texts, const char *) = apr_pstrmemdup(parts->pool, data, length);
    parts->samples += samples;
    return SA_OK;
}

static const sa_exposition_label_t usual_labels[] = {
    {"code", "edge-1"}, {"location", "hall \"7\""}, {"job", "node"}
};
static const sa_exposition_label_t job_label[] = {{"job", "z"}};

/* Run PAGE, which is handed over without a byte to spare behind it. */
static parts_t *run_labelled(sa_exposition_result_t *result, const char *page, size_t length,
                             const sa_exposition_label_t *labels, int label_count, size_t limit,
                             apr_pool_t *pool)
{
    sa_exposition_options_t options = {.labels = labels, .label_count = label_count,
                                       .part_limit_bytes = limit};
    parts_t *parts = apr_pcalloc(pool, sizeof(*parts));
    char *exact = malloc(length > 0 ? length : 1);
    sa_exposition_t *exposition;

    parts->pool = pool;
    parts->texts = apr_array_make(pool, 8, sizeof(const char *));
    memcpy(exact, page, length);
    SA_ASSERT_OK(sa_exposition_create(&exposition, &options, pool));
    SA_ASSERT_OK(sa_exposition_run(result, exposition, exact, length, SCRAPED_AT, collect,
                                   parts));
    free(exact);
    ck_assert_uint_eq(result->parts, parts->texts->nelts);
    ck_assert_uint_eq(result->samples, parts->samples);
    return parts;
}

static const char *part_of(const parts_t *parts, int i)
{
    return APR_ARRAY_IDX(parts->texts, i, const char *);
}

static const char *joined(const parts_t *parts, const char *between)
{
    const char *text = "";

    for (int i = 0; i < parts->texts->nelts; i++) {
        text = apr_pstrcat(parts->pool, text, i > 0 ? between : "", part_of(parts, i), NULL);
    }
    return text;
}

static sa_buf_t *make_buf(apr_pool_t *pool)
{
    sa_buf_t *buf = apr_pcalloc(pool, sizeof(*buf));

    sa_buf_init(buf, 32 * MIB, pool);
    return buf;
}

/* A file of tests/data/exposition, below $SA_TOP_SRCDIR, $srcdir (make sets
 * it), the working directory or one of its parents. */
static FILE *open_data(const char *name, apr_pool_t *pool)
{
    const char *roots[] = {getenv("SA_TOP_SRCDIR"), getenv("srcdir"), ".", "..", "../..",
                           "../../.."};
    FILE *file = NULL;

    for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]) && !file; i++) {
        if (roots[i]) {
            file = fopen(apr_pstrcat(pool, roots[i], "/tests/data/exposition/", name, NULL), "rb");
        }
    }
    ck_assert_msg(file != NULL, "tests/data/exposition/%s is not found", name);
    return file;
}

static const char *read_data(const char *name, apr_pool_t *pool)
{
    sa_buf_t *text = make_buf(pool);
    FILE *file = open_data(name, pool);
    char block[4096];
    size_t length;

    for (length = fread(block, 1, sizeof(block), file); length > 0;
         length = fread(block, 1, sizeof(block), file)) {
        sa_buf_append(text, block, length);
    }
    fclose(file);
    return text->data;
}

/* GOT and WANTED are the same, said for the first line that is not. */
static void check_lines(const char *got, const char *wanted, apr_pool_t *pool)
{
    while (*got || *wanted) {
        size_t got_length = strcspn(got, "\n");
        size_t wanted_length = strcspn(wanted, "\n");

        ck_assert_str_eq(apr_pstrmemdup(pool, got, got_length),
                         apr_pstrmemdup(pool, wanted, wanted_length));
        ck_assert_int_eq(got[got_length], wanted[wanted_length]);
        got += got_length + (got[got_length] != '\0');
        wanted += wanted_length + (wanted[wanted_length] != '\0');
    }
}

/* ---- exact bytes ----------------------------------------------------------- */

SA_TEST(every_type_comes_out_byte_for_byte)
{
    const char *page = read_data("alltypes.prom", pool);
    sa_exposition_result_t result;
    parts_t *parts = run_labelled(&result, page, strlen(page), usual_labels, 3, MIB, pool);

    check_lines(joined(parts, ""), read_data("alltypes.expected.prom", pool), pool);
    ck_assert_uint_eq(result.bad_lines, 1);
    ck_assert_int_eq(result.bad_line, 30);
    ck_assert_int_eq(result.bad_column, 20);
    ck_assert_str_eq(result.bad_reason, "not a value");
    ck_assert_str_eq(result.bad_text, "no_header_at_all{} 0x");
}

/* With the one label job="z". */
static const struct {
    const char *page;
    const char *expected;
} good_rows[] = {
    {"", ""},
    {"\n\n \t\n", ""},
    {"# HELP a b\n# TYPE a gauge\n", ""},
    {"# only a comment\n", ""},
    {"a 1", "a{job=\"z\"} 1 " STAMP "\n"},
    {"a 1\n", "a{job=\"z\"} 1 " STAMP "\n"},
    {"a 1\r\n", "a{job=\"z\"} 1 " STAMP "\n"},
    {"# TYPE a gauge\r\na 1\r\n", "# TYPE a gauge\na{job=\"z\"} 1 " STAMP "\n"},
    {" \ta\t1 \t\n", "a{job=\"z\"} 1 " STAMP "\n"},
    {"a 1 5\n", "a{job=\"z\"} 1 5\n"},
    {"a 1 0\n", "a{job=\"z\"} 1 0\n"},
    {"a 1 9223372036854775807 \n", "a{job=\"z\"} 1 9223372036854775807\n"},
    {"a{} 1\n", "a{job=\"z\"} 1 " STAMP "\n"},
    {"a{ } 1\n", "a{job=\"z\"} 1 " STAMP "\n"},
    {"a {b=\"c\"}1\n", "a{job=\"z\",b=\"c\"} 1 " STAMP "\n"},
    {"a{b=\"c\",} 1\n", "a{job=\"z\",b=\"c\"} 1 " STAMP "\n"},
    {"a{b=\"c\" , d = \"e\" , } 1\n", "a{job=\"z\",b=\"c\" , d = \"e\"} 1 " STAMP "\n"},
    {"a{b=\"}\"} 1\n", "a{job=\"z\",b=\"}\"} 1 " STAMP "\n"},
    {"a{b=\"# {x=1} ,\"} 1\n", "a{job=\"z\",b=\"# {x=1} ,\"} 1 " STAMP "\n"},
    {"a{b=\"\\\\\"} 1\n", "a{job=\"z\",b=\"\\\\\"} 1 " STAMP "\n"},
    {"a{b=\"\\\"\\n\"} 1\n", "a{job=\"z\",b=\"\\\"\\n\"} 1 " STAMP "\n"},
    {"a{b=\"1234567\\n\",c=\"12345678\"} 1\n",
     "a{job=\"z\",b=\"1234567\\n\",c=\"12345678\"} 1 " STAMP "\n"},
    /* an unknown escape means itself to Prometheus, and ruins the page for others */
    {"a{b=\"C:\\dir\"} 1\n", "a{job=\"z\",b=\"C:\\\\dir\"} 1 " STAMP "\n"},
    {"a{b=\"\xe0\xa0\x80\xed\x9f\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"} 1\n",
     "a{job=\"z\",b=\"\xe0\xa0\x80\xed\x9f\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"} 1 " STAMP "\n"},
    {"a{b=\"\\\xc3\xa9\"} 1\n", "a{job=\"z\",b=\"\\\\\xc3\xa9\"} 1 " STAMP "\n"},
    {"# HELP a C:\\dir\\\na 1\n", "# HELP a C:\\\\dir\\\\\na{job=\"z\"} 1 " STAMP "\n"},
    {"# HELP a say \\\"x\\\"\na 1\n",
     "# HELP a say \\\\\"x\\\\\"\na{job=\"z\"} 1 " STAMP "\n"},
    /* labels that are there already */
    {"a{job=\"b\"} 1\n", "a{job=\"z\",exported_job=\"b\"} 1 " STAMP "\n"},
    {"a{x=\"y\",job=\"b\",k=\"l\"} 1\n",
     "a{job=\"z\",x=\"y\",exported_job=\"b\",k=\"l\"} 1 " STAMP "\n"},
    {"a{job=\"b\",exported_job=\"c\"} 1\n",
     "a{job=\"z\",exported_exported_job=\"b\",exported_job=\"c\"} 1 " STAMP "\n"},
    {"a{exported_exported_job=\"d\",job=\"b\",exported_job=\"c\"} 1\n",
     "a{job=\"z\",exported_exported_job=\"d\",exported_exported_exported_job=\"b\","
     "exported_job=\"c\"} 1 " STAMP "\n"},
    {"a{job=\"\"} 1\n", "a{job=\"z\"} 1 " STAMP "\n"},  /* an empty label is none */
    {"a{job=\"b\",exported_job=\"\"} 1\n",
     "a{job=\"z\",exported_job=\"b\"} 1 " STAMP "\n"},
    {"a{\"job\"=\"b\"} 1\n", "a{job=\"z\",\"exported_job\"=\"b\"} 1 " STAMP "\n"},
    {"a{jobs=\"b\",boj=\"c\"} 1\n", "a{job=\"z\",jobs=\"b\",boj=\"c\"} 1 " STAMP "\n"},
    /* names in quotes */
    {"{\"a.b\"} 1\n", "{\"a.b\",job=\"z\"} 1 " STAMP "\n"},
    {"{ \"a.b\" , c=\"d\" } 1\n", "{\"a.b\",job=\"z\",c=\"d\"} 1 " STAMP "\n"},
    {"{\"a \\\"b\\\"\",} 1 7\n", "{\"a \\\"b\\\"\",job=\"z\"} 1 7\n"},
    {"{\"a\\b\"} 1\n", "{\"a\\\\b\",job=\"z\"} 1 " STAMP "\n"},
    {"# TYPE \"a.b\" histogram\n{\"a.b_bucket\",le=\"1\"} 1\n",
     "# TYPE \"a.b\" histogram\n{\"a.b_bucket\",job=\"z\",le=\"1\"} 1 " STAMP "\n"},
    /* comments and headers */
    {"#HELP a b\na 1\n", "a{job=\"z\"} 1 " STAMP "\n"},
    {"#\ta 2\n# HELPa b\n# TYPEs\n#\na 1\n", "a{job=\"z\"} 1 " STAMP "\n"},
    {"  # \t HELP \t a \t b \na 1\n", "# HELP a \t b \na{job=\"z\"} 1 " STAMP "\n"},
    {"# HELP a\na 1\n", "# HELP a \na{job=\"z\"} 1 " STAMP "\n"},
    {"# TYPE a \t counter \t \na 1\n", "# TYPE a counter\na{job=\"z\"} 1 " STAMP "\n"},
    {"# TYPE a gauge\na 1\n# TYPE a gauge\na{b=\"c\"} 2\n",
     "# TYPE a gauge\na{job=\"z\"} 1 " STAMP "\na{job=\"z\",b=\"c\"} 2 " STAMP "\n"},
    {"# EOF\na 1\n# EOF\nb 2\n", "a{job=\"z\"} 1 " STAMP "\nb{job=\"z\"} 2 " STAMP "\n"},
    /* a family that comes again: its TYPE stands once in a part */
    {"# TYPE a gauge\na 1\nb 2\n# TYPE a gauge\na 3\n",
     "# TYPE a gauge\na{job=\"z\"} 1 " STAMP "\nb{job=\"z\"} 2 " STAMP "\na{job=\"z\"} 3 " STAMP
     "\n"},
    /* a duplicate series is not ours to judge */
    {"a 1\na 1\n", "a{job=\"z\"} 1 " STAMP "\na{job=\"z\"} 1 " STAMP "\n"}
};

SA_TEST(each_good_page_gives_its_part)
{
    for (size_t i = 0; i < sizeof(good_rows) / sizeof(good_rows[0]); i++) {
        sa_exposition_result_t result;
        parts_t *parts = run_labelled(&result, good_rows[i].page, strlen(good_rows[i].page),
                                      job_label, 1, MIB, pool);

        ck_assert_msg(strcmp(joined(parts, ""), good_rows[i].expected) == 0,
                      "row %d\n%s\ngave\n%s", (int)i, good_rows[i].page, joined(parts, ""));
        ck_assert_msg(result.bad_lines == 0, "row %d: %s", (int)i, result.bad_reason);
        ck_assert_int_eq(result.bad_line, 0);
        ck_assert_int_eq(parts->texts->nelts, good_rows[i].expected[0] ? 1 : 0);
    }
}

static const struct {
    const char *line;
    int column;
    const char *reason;
} bad_rows[] = {
    {"1a 1", 1, "a metric name must begin here"},
    {"\xc3\xa9 1", 1, "a metric name must begin here"},
    {"a", 2, "the value is missing"},
    {"a ", 3, "the value is missing"},
    {"a{b=\"c\"}", 9, "the value is missing"},
    {"a-b 1", 2, "a byte that no metric name has"},
    {"a\x01 1", 2, "a byte that no metric name has"},
    {"a.b 1", 2, "a byte that no metric name has"},
    {"a{b=\"c\"", 8, "',' or '}' must follow a label"},
    {"a{", 3, "a label name must begin here"},
    {"a{,} 1", 3, "a label name must begin here"},
    {"a{1b=\"c\"} 1", 3, "a label name must begin here"},
    {"a{:b=\"c\"} 1", 3, "a label name must begin here"},
    {"a{b=\"c\",,} 1", 9, "a label name must begin here"},
    {"a{b} 1", 4, "'=' must follow a label name"},
    {"a{b:c=\"d\"} 1", 4, "'=' must follow a label name"},
    {"a{b=c} 1", 5, "a label value must begin with a quote"},
    {"a{b='c'} 1", 5, "a label value must begin with a quote"},
    {"a{b=\"c} 1", 10, "a quote is not closed"},
    {"a{b=\"c\\", 8, "a quote is not closed"},
    {"a{b=\"c\\\"} 1", 12, "a quote is not closed"},
    {"a{b=\"c\"d=\"e\"} 1", 8, "',' or '}' must follow a label"},
    {"a{b=\"c\"]", 8, "',' or '}' must follow a label"},
    {"a{b=\"c\",b=\"d\"} 1", 9, "a label name comes twice"},
    {"a{__name__=\"c\"} 1", 3, "__name__ cannot be a label"},
    {"a{b=\"\xff\"} 1", 6, "not UTF-8"},
    {"a{b=\"\xc0\x80\"} 1", 6, "not UTF-8"},
    {"a{b=\"\xc1\xbf\"} 1", 6, "not UTF-8"},
    {"a{b=\"\xe0\x9f\xbf\"} 1", 6, "not UTF-8"},
    {"a{b=\"\xf0\x8f\xbf\xbf\"} 1", 6, "not UTF-8"},
    {"a{b=\"\xf5\x80\x80\x80\"} 1", 6, "not UTF-8"},
    {"a{b=\"\xc3(\"} 1", 6, "not UTF-8"},
    {"a{b=\"\xe2\x82(\"} 1", 6, "not UTF-8"},
    {"a{b=\"\x80\"} 1", 6, "not UTF-8"},
    {"a{b=\"\xed\xa0\x80\"} 1", 6, "not UTF-8"},
    {"a{b=\"\xf4\x90\x80\x80\"} 1", 6, "not UTF-8"},
    {"a{b=\"1234567\xe2\x82\"} 1", 13, "not UTF-8"},
    {"# HELP a \xff", 10, "not UTF-8"},
    {"{} 1", 2, "a metric name must stand here"},
    {"{b=\"c\"} 1", 2, "a metric name must stand here"},
    {"{\"\"} 1", 2, "a metric name must stand here"},
    {"{\"a\"=\"b\"} 1", 2, "a metric name must stand here"},
    {"{\"a\",\"b\"} 1", 9, "'=' must follow a label name"},
    {"a{\"\"=\"b\"} 1", 3, "an empty label name"},
    {"a 1 x", 5, "not a timestamp"},
    {"a 1 -5", 5, "not a timestamp"},
    {"a 1 +5", 5, "not a timestamp"},
    {"a 1 1.5", 5, "not a timestamp"},
    {"a 1 9223372036854775808", 5, "not a timestamp"},
    {"a 1 99999999999999999999", 5, "not a timestamp"},
    {"a 1 5 6", 7, "something follows the timestamp"},
    {"a_bucket{le=\"1\"} 5 # {trace_id=\"x\"} 0.5", 20, "not a timestamp"},
    {"a 1\r\r", 3, "not a value"},
    {"# TYPE a", 9, "not a type of metric"},
    {"# TYPE a Counter", 10, "not a type of metric"},
    {"# TYPE a gaugehistogram", 10, "not a type of metric"},
    {"# TYPE 1a counter", 8, "a metric name must begin here"},
    {"# TYPE a-b counter", 9, "a byte that no metric name has"},
    {"# HELP", 0, NULL},       /* a comment */
    {"# HELP -", 8, "a metric name must begin here"},
    {"# HELP \"a\\q\" b", 8, "not a metric name"},
    {"# HELP \"a b", 12, "a quote is not closed"}
};

/* The bad line between two good ones, on line 2. */
SA_TEST(a_bad_line_is_left_out_and_described)
{
    for (size_t i = 0; i < sizeof(bad_rows) / sizeof(bad_rows[0]); i++) {
        const char *page = apr_pstrcat(pool, "x 1\n", bad_rows[i].line, "\ny 2\n", NULL);
        sa_exposition_result_t result;
        parts_t *parts = run_labelled(&result, page, strlen(page), NULL, 0, MIB, pool);
        bool is_bad = bad_rows[i].reason != NULL;

        ck_assert_msg(strcmp(joined(parts, ""), "x 1 " STAMP "\ny 2 " STAMP "\n") == 0,
                      "row %d: %s", (int)i, joined(parts, ""));
        ck_assert_msg(result.bad_lines == (is_bad ? 1 : 0), "row %d", (int)i);
        if (is_bad) {
            ck_assert_int_eq(result.bad_line, 2);
            ck_assert_msg(strcmp(result.bad_reason, bad_rows[i].reason) == 0 &&
                              result.bad_column == bad_rows[i].column,
                          "row %d, %s: %d, %s", (int)i, bad_rows[i].line, result.bad_column,
                          result.bad_reason);
        }
    }
}

/* The same lines as the last of a page, without a line end. */
SA_TEST(a_bad_last_line_is_left_out_too)
{
    for (size_t i = 0; i < sizeof(bad_rows) / sizeof(bad_rows[0]); i++) {
        const char *page = apr_pstrcat(pool, "x 1\n", bad_rows[i].line, NULL);
        sa_exposition_result_t result;
        parts_t *parts = run_labelled(&result, page, strlen(page), NULL, 0, MIB, pool);

        ck_assert_str_eq(joined(parts, ""), "x 1 " STAMP "\n");
        ck_assert_msg(result.bad_column == bad_rows[i].column, "row %d: %d", (int)i,
                      result.bad_column);
    }
}

SA_TEST(a_nul_byte_makes_a_bad_line)
{
    static const struct {
        const char *line;
        size_t length;
        int column;
    } rows[] = {
        {"a\0 1", 4, 2}, {"\0", 1, 1}, {"a{b=\"\0\"} 1", 10, 6}, {"a 1\0", 4, 3},
        {"a 1 5\0", 6, 5}, {"# HELP a b\0c", 12, 11}, {"a{b=\"0123456789\0\"} 1", 20, 16}
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_exposition_result_t result;
        parts_t *parts = run_labelled(&result, rows[i].line, rows[i].length, NULL, 0, MIB, pool);

        ck_assert_int_eq(parts->texts->nelts, 0);
        ck_assert_uint_eq(result.bad_lines, 1);
        ck_assert_msg(result.bad_column == rows[i].column, "row %d: %d", (int)i,
                      result.bad_column);
    }
}

SA_TEST(only_the_first_bad_line_is_described_and_its_bytes_are_escaped)
{
    static const char page[] = "a 1\n-\\\x01\xff bad and rather long, so that it does not fit in\n"
                               "worse\n";
    sa_exposition_result_t result;

    run_labelled(&result, page, sizeof(page) - 1, NULL, 0, MIB, pool);
    ck_assert_uint_eq(result.bad_lines, 2);
    ck_assert_int_eq(result.bad_line, 2);
    ck_assert_int_eq(result.bad_column, 1);
    ck_assert_str_eq(result.bad_text, "-\\\\\\x01\\xff bad and rather long, so that it ");
}

/* ---- values -------------------------------------------------------------------- */

static const struct {
    const char *value;
    bool good;
} value_rows[] = {
    {"0", true}, {"-0", true}, {"+1", true}, {"1.", true}, {".5", true}, {"-.5e3", true},
    {"00012", true}, {"1e5", true}, {"1E+05", true}, {"1e-400", true}, {"4.9e-324", true},
    {"2.2250738585072011e-308", true}, {"1e-99999999999999999999", true},
    {"NaN", true}, {"nan", true}, {"NAN", true}, {"Inf", true}, {"+Inf", true}, {"-inf", true},
    {"Infinity", true}, {"-iNFINITY", true},
    {"1.7976931348623157e308", true}, {"1.797693134862315807e308", true},
    {"17976931348623157e292", true}, {"0.00000000017976931348623157e318", true},
    {"1.797693134862315808e308", false}, {"1.8e308", false}, {"1e309", false}, {"-1e999", false},
    {"1e99999999999999999999", false}, {"0e99999", true}, {"0.000e999", true},
    {"+NaN", false}, {"-nan", false}, {"nanx", false}, {"in", false}, {"infi", false},
    {"infinit", false}, {"infinityx", false}, {"", false}, {".", false}, {"+", false},
    {"-.", false}, {"e5", false}, {".e5", false}, {"1e", false}, {"1e+", false}, {"1e5.", false},
    {"1_000", false}, {"1,5", false}, {"0x10", false}, {"0x1p-2", false}, {"0X1P4", false},
    {"1.2.3", false}, {"--1", false}, {"1f", false}, {"true", false},
    {"\"1\"", false}, {"1{", false}, {"\xc2\xa0" "1", false}, {"NaN(1)", false}
};

static bool is_good_value(const char *value, apr_pool_t *pool)
{
    const char *page = apr_pstrcat(pool, "a ", value, "\n", NULL);
    sa_exposition_result_t result;
    parts_t *parts = run_labelled(&result, page, strlen(page), NULL, 0, MIB, pool);

    if (result.samples == 1) {
        ck_assert_str_eq(joined(parts, ""), apr_pstrcat(pool, "a ", value, " " STAMP "\n", NULL));
    }
    return result.samples == 1;
}

SA_TEST(values_are_those_that_prometheus_reads)
{
    for (size_t i = 0; i < sizeof(value_rows) / sizeof(value_rows[0]); i++) {
        ck_assert_msg(is_good_value(value_rows[i].value, pool) == value_rows[i].good, "\"%s\"",
                      value_rows[i].value);
    }
}

static const char *repeated(char c, int count, apr_pool_t *pool)
{
    char *text = apr_palloc(pool, (size_t)count + 1);

    memset(text, c, (size_t)count);
    text[count] = '\0';
    return text;
}

SA_TEST(a_mantissa_may_be_long_but_not_too_large)
{
    const char *zeros = repeated('0', 400, pool);
    const char *nines = repeated('9', 400, pool);
    static const char half[] =
        "1797693134862315807937289714053034150799341327100378269361737789804449682927647509466490"
        "1797758720709633028641669288791094655554785194040263065748867150582068190890200070838367"
        "6273854845817711531764475730270069855571366959622842914819860834936475292719074168444365"
        "5107043427115596995080930428801779041744977";

    ck_assert(is_good_value(apr_pstrcat(pool, "0.", nines, NULL), pool));
    ck_assert(is_good_value(apr_pstrcat(pool, "0.", zeros, "1", NULL), pool));
    ck_assert(is_good_value(apr_pstrcat(pool, "0.", zeros, "1e500", NULL), pool));
    ck_assert(is_good_value(apr_pstrcat(pool, zeros, "1", NULL), pool));
    ck_assert(is_good_value(apr_pstrcat(pool, nines, "e-300", NULL), pool));
    /* 2^1024 - 2^970 rounds to infinity, what is one less does not */
    ck_assert(is_good_value(apr_pstrcat(pool, half, "91", NULL), pool));
    ck_assert(is_good_value(apr_pstrcat(pool, half, "91.999", NULL), pool));
    ck_assert(!is_good_value(apr_pstrcat(pool, half, "92", NULL), pool));
    ck_assert(!is_good_value(apr_pstrcat(pool, half, "920e-1", NULL), pool));
    ck_assert(!is_good_value(apr_pstrcat(pool, half, "92.0", NULL), pool));
    ck_assert(is_good_value(repeated('1', 309, pool), pool));
    ck_assert(!is_good_value(repeated('2', 309, pool), pool));
    ck_assert(!is_good_value(repeated('1', 310, pool), pool));
    ck_assert(!is_good_value(nines, pool));
    ck_assert(!is_good_value(apr_pstrcat(pool, "0.", zeros, "1e1000", NULL), pool));
}

/* ---- options ------------------------------------------------------------------------ */

SA_TEST(labels_that_cannot_be_are_refused)
{
    static const sa_exposition_label_t rows[][2] = {
        {{"1a", "x"}, {"b", "x"}}, {{"", "x"}, {"b", "x"}},          {{"a-b", "x"}, {"b", "x"}},
        {{"a", "x"}, {"a", "y"}},  {{"__name__", "x"}, {"b", "x"}},  {{"a:b", "x"}, {"b", "x"}},
        {{"a", "\xff"}, {"b", "x"}}
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_exposition_options_t options = {.labels = rows[i], .label_count = 2,
                                           .part_limit_bytes = MIB};
        sa_exposition_t *exposition;

        SA_ASSERT_ERR(sa_exposition_create(&exposition, &options, pool), SA_ERR_CONFIG);
    }
}

SA_TEST(labels_are_escaped_and_empty_ones_left_out)
{
    static const sa_exposition_label_t labels[] = {{"a", ""}, {"b", "x\\y\"\nz"}, {"c", ""}};
    static const char page[] = "m{a=\"k\",c=\"\"} 1\n";
    sa_exposition_result_t result;
    parts_t *parts = run_labelled(&result, page, strlen(page), labels, 3, MIB, pool);

    ck_assert_str_eq(joined(parts, ""),
                     "m{b=\"x\\\\y\\\"\\nz\",a=\"k\",c=\"\"} 1 " STAMP "\n");
    parts = run_labelled(&result, "m 1\n", 4, labels, 1, MIB, pool);
    ck_assert_str_eq(joined(parts, ""), "m 1 " STAMP "\n");
}

SA_TEST(conflicts_of_several_labels_end_as_prometheus_ends_them)
{
    static const sa_exposition_label_t labels[] = {{"a", "1"}, {"exported_a", "2"}};
    sa_exposition_result_t result;
    parts_t *parts = run_labelled(&result, "m{exported_a=\"x\",a=\"y\"} 1\n", 26, labels, 2, MIB,
                                  pool);

    /* "a", the shorter, chooses first: exported_a is taken by ours */
    ck_assert_str_eq(joined(parts, ""),
                     "m{a=\"1\",exported_a=\"2\",exported_exported_exported_a=\"x\","
                     "exported_exported_a=\"y\"} 1 " STAMP "\n");
}

static sa_error_t *fail_second(void *baton, const char *data, size_t length,
                               apr_uint64_t samples)
{
    (void)data;
    (void)length;
    (void)samples;
    return ++*(int *)baton == 2 ? sa_error(SA_ERR_DISK_FULL, NULL, "no more") : SA_OK;
}

SA_TEST(an_error_of_the_receiver_ends_the_run)
{
    sa_exposition_options_t options = {.part_limit_bytes = SA_EXPOSITION_PART_MIN};
    sa_exposition_t *exposition;
    sa_exposition_result_t result;
    sa_buf_t *page = make_buf(pool);
    int calls = 0;

    for (int i = 0; i < 5000; i++) {
        sa_buf_printf(page, "a%d %d\n", i, i);
    }
    SA_ASSERT_OK(sa_exposition_create(&exposition, &options, pool));
    SA_ASSERT_ERR(sa_exposition_run(&result, exposition, page->data, page->length, SCRAPED_AT,
                                    fail_second, &calls), SA_ERR_DISK_FULL);
    ck_assert_int_eq(calls, 2);
    SA_ASSERT_OK(sa_exposition_run(&result, exposition, page->data, page->length, SCRAPED_AT,
                                   fail_second, &calls));      /* and it can be used again */
    ck_assert_uint_eq(result.samples, 5000);
}

/* ---- splitting ------------------------------------------------------------------------- */

/* The name of the family that the sample LINE is of, on a page of ours. */
static const char *family_of(const char *line, apr_pool_t *pool)
{
    static const char *const suffixes[] = {"_bucket", "_sum", "_count"};
    char *name = apr_pstrndup(pool, line, strcspn(line, "{ "));

    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        size_t rest = strlen(name) - strlen(suffixes[i]);

        if (strlen(name) > strlen(suffixes[i]) && strcmp(name + rest, suffixes[i]) == 0) {
            name[rest] = '\0';
        }
    }
    return name;
}

/* A reader stricter than any, and slow: each part must be a page by itself.
 * With DESCRIBED every family has its HELP and TYPE. */
static void check_part(const char *part, size_t limit, bool described, apr_pool_t *pool)
{
    apr_table_t *seen = apr_table_make(pool, 64);       /* "H a", "T a", "S a" */
    char *copy = apr_pstrdup(pool, part);
    char *rest = copy;
    char *line;

    ck_assert_uint_le(strlen(part), limit);
    ck_assert_int_eq(part[strlen(part) - 1], '\n');
    while (*rest) {
        line = rest;
        rest = strchr(rest, '\n') + 1;
        rest[-1] = '\0';
        if (line[0] == '#') {
            char kind = line[2];
            char *name = apr_pstrndup(pool, line + 7, strcspn(line + 7, " "));
            const char *key = apr_psprintf(pool, "%c %s", kind, name);

            ck_assert_msg(apr_table_get(seen, key) == NULL, "twice: %s", line);
            ck_assert_msg(apr_table_get(seen, apr_pstrcat(pool, "S ", name, NULL)) == NULL,
                          "after samples: %s", line);
            apr_table_setn(seen, key, "");
        } else {
            const char *name = family_of(line, pool);

            ck_assert_msg(strrchr(line, ' ') != NULL, "%s", line);
            ck_assert_msg(!described || (apr_table_get(seen, apr_pstrcat(pool, "H ", name, NULL)) &&
                                         apr_table_get(seen, apr_pstrcat(pool, "T ", name, NULL))),
                          "not described: %s", line);
            apr_table_setn(seen, apr_pstrcat(pool, "S ", name, NULL), "");
        }
    }
}

/* What a sample line must become, by the naive way. */
static const char *expected_line(const char *line, apr_pool_t *pool)
{
    const char *brace = strchr(line, '{');
    const char *space = strchr(line, ' ');

    if (brace && brace < space) {
        return apr_psprintf(pool, "%.*s{job=\"z\",%s " STAMP, (int)(brace - line), line, brace + 1);
    }
    return apr_psprintf(pool, "%.*s{job=\"z\"}%s " STAMP, (int)(space - line), line, space);
}

/* The lines of TEXT that are samples, one string each. */
static apr_array_header_t *sample_lines(const char *text, apr_pool_t *pool)
{
    apr_array_header_t *lines = apr_array_make(pool, 256, sizeof(const char *));

    while (*text) {
        size_t length = strcspn(text, "\n");

        if (length > 0 && text[0] != '#') {
            APR_ARRAY_PUSH(lines, const char *) = apr_pstrmemdup(pool, text, length);
        }
        text += length + (text[length] == '\n');
    }
    return lines;
}

/* All samples of PAGE once, in order, whatever the parts. */
static void check_samples(const parts_t *parts, const char *page, apr_pool_t *pool)
{
    apr_array_header_t *wanted = sample_lines(page, pool);
    int next = 0;

    for (int i = 0; i < parts->texts->nelts; i++) {
        apr_array_header_t *got = sample_lines(part_of(parts, i), pool);

        for (int j = 0; j < got->nelts; j++, next++) {
            ck_assert_int_lt(next, wanted->nelts);
            ck_assert_str_eq(APR_ARRAY_IDX(got, j, const char *),
                             expected_line(APR_ARRAY_IDX(wanted, next, const char *), pool));
        }
    }
    ck_assert_int_eq(next, wanted->nelts);
}

/* A repeatable page of some families of all kinds and sizes. */
static const char *make_page(unsigned seed, int families, apr_pool_t *pool)
{
    static const char *const types[] = {"counter", "gauge", "histogram", "summary", "untyped"};
    sa_buf_t *page = make_buf(pool);

    for (int i = 0; i < families; i++) {
        int type;
        int samples;

        seed = seed * 1103515245u + 12345u;
        type = (int)(seed >> 16) % 5;
        samples = 1 + (int)(seed >> 20) % (i % 17 == 0 ? 400 : 12);
        sa_buf_printf(page, "# HELP family_%d Family number %d.\n# TYPE family_%d %s\n", i, i, i,
                      types[type]);
        for (int j = 0; j < samples; j++) {
            if (type == 2) {
                sa_buf_printf(page, "family_%d_bucket{le=\"%d\"} %d\n", i, j, j * 3);
            } else if (j % 5 == 4) {
                sa_buf_printf(page, "family_%d %u\n", i, seed);
            } else {
                sa_buf_printf(page, "family_%d{n=\"%d\",text=\"Gr\xc3\xbc\xc3\x9f" "e\"} %d.5\n", i,
                              j, j);
            }
        }
        if (type == 2 || type == 3) {
            sa_buf_printf(page, "family_%d_sum 1\nfamily_%d_count 2\n", i, i);
        }
    }
    return page->data;
}

SA_TEST(every_sample_comes_once_whatever_the_size_of_a_part)
{
    static const size_t limits[] = {4096, 4097, 5000, 8192, 12345, 65536, 200000, MIB};

    for (unsigned seed = 1; seed <= 6; seed++) {
        const char *page = make_page(seed, 60, pool);

        for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
            apr_pool_t *iter_pool = sa_pool_create(pool);
            sa_exposition_result_t result;
            parts_t *parts = run_labelled(&result, page, strlen(page), job_label, 1, limits[i],
                                          iter_pool);

            ck_assert_uint_eq(result.bad_lines, 0);
            check_samples(parts, page, iter_pool);
            for (int j = 0; j < parts->texts->nelts; j++) {
                check_part(part_of(parts, j), limits[i], true, iter_pool);
            }
            apr_pool_destroy(iter_pool);
        }
    }
}

/* HELP, TYPE and COUNT samples of about 100 bytes each. */
static void add_family(sa_buf_t *page, char name, int count)
{
    sa_buf_printf(page, "# HELP %c Help.\n# TYPE %c gauge\n", name, name);
    for (int i = 0; i < count; i++) {
        sa_buf_printf(page, "%c{n=\"%04d%070d\"} 1\n", name, i, 0);
    }
}

static int lines_with(const char *part, const char *text)
{
    int count = 0;

    for (const char *p = strstr(part, text); p; p = strstr(p + 1, text)) {
        count++;
    }
    return count;
}

SA_TEST(a_family_stays_whole_and_a_giant_one_repeats_its_help_and_type)
{
    sa_exposition_result_t result;
    sa_buf_t *page = make_buf(pool);
    parts_t *parts;

    add_family(page, 'a', 10);
    add_family(page, 'b', 35);     /* does not fit behind a */
    add_family(page, 'c', 100);    /* nor into any part */
    add_family(page, 'd', 1);
    parts = run_labelled(&result, page->data, page->length, NULL, 0, 4096, pool);
    ck_assert_int_eq(parts->texts->nelts, 5);
    ck_assert_int_eq(lines_with(part_of(parts, 0), "a{"), 10);
    ck_assert(strstr(part_of(parts, 0), "b{") == NULL);
    ck_assert_int_eq(lines_with(part_of(parts, 1), "b{"), 35);
    ck_assert_int_eq(lines_with(part_of(parts, 1), "# TYPE"), 1);
    for (int i = 2; i < 5; i++) {
        ck_assert_str_eq(apr_pstrndup(pool, part_of(parts, i), 31),
                         "# HELP c Help.\n# TYPE c gauge\nc");
    }
    ck_assert_int_eq(lines_with(part_of(parts, 4), "d{"), 1);
    ck_assert_int_eq(lines_with(joined(parts, ""), "c{"), 100);
}

SA_TEST(a_family_that_comes_again_gets_its_type_in_the_next_part)
{
    sa_exposition_result_t result;
    sa_buf_t *page = make_buf(pool);
    parts_t *parts;

    add_family(page, 'a', 20);
    add_family(page, 'b', 2);
    add_family(page, 'a', 30);
    parts = run_labelled(&result, page->data, page->length, NULL, 0, 4096, pool);
    ck_assert_int_eq(parts->texts->nelts, 2);
    ck_assert_int_eq(lines_with(part_of(parts, 0), "# TYPE a"), 1);
    ck_assert_int_eq(lines_with(part_of(parts, 1), "# TYPE a"), 1);
    ck_assert_int_eq(lines_with(joined(parts, ""), "a{"), 50);
    for (int i = 0; i < 2; i++) {
        check_part(part_of(parts, i), 4096, true, pool);
    }
}

SA_TEST(a_type_after_its_samples_is_left_out)
{
    static const char *const pages[] = {
        "a 1\n# TYPE a gauge\na{b=\"c\"} 2\n",
        "a 1\n# HELP a late\na{b=\"c\"} 2\n",
        "# TYPE a gauge\n# TYPE a counter\na 1\na{b=\"c\"} 2\n",
        "# HELP a x\n# HELP a y\na 1\na{b=\"c\"} 2\n"
    };

    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        sa_exposition_result_t result;
        parts_t *parts = run_labelled(&result, pages[i], strlen(pages[i]), NULL, 0, MIB, pool);

        ck_assert_uint_eq(result.samples, 2);
        ck_assert_uint_eq(result.bad_lines, 1);
        check_part(part_of(parts, 0), MIB, false, pool);
    }
}

SA_TEST(many_small_families_give_few_parts)
{
    sa_exposition_result_t result;
    sa_buf_t *page = make_buf(pool);
    parts_t *parts;

    for (int i = 0; i < 10000; i++) {
        sa_buf_printf(page, "# TYPE m%d gauge\nm%d 1\n", i, i);
    }
    for (int i = 0; i < 10000; i++) {       /* and back and forth between two */
        sa_buf_printf(page, "# TYPE n%d gauge\nn%d 1\n", i % 2, i % 2);
    }
    parts = run_labelled(&result, page->data, page->length, NULL, 0, MIB, pool);
    ck_assert_uint_eq(result.samples, 20000);
    ck_assert_int_lt(parts->texts->nelts, 10);
    for (int i = 0; i < parts->texts->nelts; i++) {
        check_part(part_of(parts, i), MIB, false, pool);
    }
}

/* ---- hostile pages -------------------------------------------------------------------------- */

SA_TEST(a_line_larger_than_a_part_is_bad_and_the_rest_goes_on)
{
    const char *fill = repeated('x', 5000, pool);
    const char *const lines[] = {
        apr_pstrcat(pool, "a{b=\"", fill, "\"} 1", NULL),
        apr_pstrcat(pool, fill, " 1", NULL),
        apr_pstrcat(pool, "# HELP a ", fill, NULL),
        apr_pstrcat(pool, "# TYPE ", fill, " gauge", NULL),
        apr_pstrcat(pool, "a{b=\"", repeated('x', 4096 - 22, pool), "\"} 1", NULL),
    };

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        for (int at_end = 0; at_end < 2; at_end++) {
            const char *page = apr_pstrcat(pool, "x 1\n", lines[i], at_end ? "" : "\ny 2\n", NULL);
            sa_exposition_result_t result;

            run_labelled(&result, page, strlen(page), job_label, 1, 4096, pool);
            ck_assert_uint_eq(result.samples, at_end ? 1 : 2);
            ck_assert_msg(result.bad_lines == 1, "line %d", (int)i);
            ck_assert_str_eq(result.bad_reason, "larger than a part");
        }
    }
}

/* HELP and TYPE that fit, a sample that fits, but not together. */
SA_TEST(a_giant_sample_goes_without_its_help)
{
    const char *help = repeated('h', 3000, pool);
    const char *page = apr_pstrcat(pool, "# HELP a ", help, "\n# TYPE a gauge\na{b=\"",
                                   repeated('x', 2000, pool), "\"} 1\na{b=\"",
                                   repeated('y', 4055, pool), "\"} 1\na 3\n", NULL);
    sa_exposition_result_t result;
    parts_t *parts = run_labelled(&result, page, strlen(page), job_label, 1, 4096, pool);

    ck_assert_uint_eq(result.samples, 3);
    ck_assert_uint_eq(result.bad_lines, 0);
    ck_assert_int_eq(parts->texts->nelts, 3);
    ck_assert(strncmp(part_of(parts, 0), "# TYPE a gauge\na{", 17) == 0);
    ck_assert(strncmp(part_of(parts, 1), "a{", 2) == 0);
    ck_assert(strncmp(part_of(parts, 2), "# HELP a h", 10) == 0);
}

SA_TEST(a_million_labels_end_quickly)
{
    sa_exposition_result_t result;
    sa_buf_t *page = make_buf(pool);

    sa_buf_append_text(page, "a{");
    for (int i = 0; i < 1000000; i++) {
        sa_buf_printf(page, "l%d=\"\",", i);
    }
    sa_buf_append_text(page, "} 1\nb 2\n");
    run_labelled(&result, page->data, page->length, job_label, 1, 16 * MIB, pool);
    ck_assert_uint_eq(result.samples, 1);
    ck_assert_str_eq(result.bad_reason, "too many labels");
}

SA_TEST(a_hundred_megabytes_of_one_line_end_quickly)
{
    size_t length = 100 * 1000 * 1000;
    char *page = malloc(length);
    sa_exposition_options_t options = {.part_limit_bytes = 64 * 1024};
    sa_exposition_result_t result;
    sa_exposition_t *exposition;
    parts_t parts = {.texts = apr_array_make(pool, 1, sizeof(const char *)), .pool = pool};

    memset(page, 'x', length);
    memcpy(page + length - 5, "\na 1\n", 5);
    SA_ASSERT_OK(sa_exposition_create(&exposition, &options, pool));
    SA_ASSERT_OK(sa_exposition_run(&result, exposition, page, length, SCRAPED_AT, collect,
                                   &parts));
    ck_assert_uint_eq(result.samples, 1);
    ck_assert_uint_eq(result.bad_lines, 1);
    free(page);
}

SA_TEST(a_label_value_of_400_kilobytes_is_carried)
{
    const char *value = repeated('v', 400 * 1024, pool);
    const char *page = apr_pstrcat(pool, "a{b=\"", value, "\"} 1\n", NULL);
    sa_exposition_result_t result;
    parts_t *parts = run_labelled(&result, page, strlen(page), job_label, 1, MIB, pool);

    ck_assert_str_eq(joined(parts, ""),
                     apr_pstrcat(pool, "a{job=\"z\",b=\"", value, "\"} 1 " STAMP "\n", NULL));
}

SA_TEST(garbage_gives_nothing_but_a_count)
{
    unsigned char page[20000];
    unsigned seed = 7;
    sa_exposition_result_t result;

    for (size_t i = 0; i < sizeof(page); i++) {
        seed = seed * 1103515245u + 12345u;
        page[i] = (unsigned char)(seed >> 16);
    }
    run_labelled(&result, (const char *)page, sizeof(page), usual_labels, 3, 4096, pool);
    ck_assert_uint_gt(result.bad_lines, 0);
    ck_assert_uint_eq(result.samples, 0);
}

SA_TEST_MAIN("exposition", every_type_comes_out_byte_for_byte, each_good_page_gives_its_part,
             a_bad_line_is_left_out_and_described, a_bad_last_line_is_left_out_too,
             a_nul_byte_makes_a_bad_line,
             only_the_first_bad_line_is_described_and_its_bytes_are_escaped,
             values_are_those_that_prometheus_reads, a_mantissa_may_be_long_but_not_too_large,
             labels_that_cannot_be_are_refused, labels_are_escaped_and_empty_ones_left_out,
             conflicts_of_several_labels_end_as_prometheus_ends_them,
             an_error_of_the_receiver_ends_the_run,
             every_sample_comes_once_whatever_the_size_of_a_part,
             a_family_stays_whole_and_a_giant_one_repeats_its_help_and_type,
             a_family_that_comes_again_gets_its_type_in_the_next_part,
             a_type_after_its_samples_is_left_out, many_small_families_give_few_parts,
             a_line_larger_than_a_part_is_bad_and_the_rest_goes_on,
             a_giant_sample_goes_without_its_help, a_million_labels_end_quickly,
             a_hundred_megabytes_of_one_line_end_quickly,
             a_label_value_of_400_kilobytes_is_carried, garbage_gives_nothing_but_a_count)
