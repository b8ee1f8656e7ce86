/* command: logs, with the policy and the bus replaced by the fakes below, whose symbols come
 * before the archive's.  The numbers are those of the list of hostile inputs.
 * 54 is Windows': junctions, streams and event channels do not exist
 * here. */
#include "../../src/command/sa_command_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <apr_atomic.h>
#include <apr_shm.h>
#include <apr_strings.h>

#include "../../src/command/sa_command_policy.h"
#include "../../src/command/sa_log_tail.h"
#include "../../src/command/sa_log_time.h"
#include "sa_test.h"
#include "sa_time.h"

#define SECRET "canary"
#define LIMIT (1024 * 1024 - 4096)
#define KIB 1024

/* ---- fakes ------------------------------------------------------------------ */

static const char *allowed;         /* the directory whose *.log may be read */
static const char *alone;           /* one more path, or NULL */
static bool all_allowed;

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text);

    return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

bool sa_command_policy_allows_log(const sa_command_policy_t *policy, const char *path)
{
    size_t length = strlen(allowed);

    (void)policy;
    return all_allowed || (alone && strcmp(path, alone) == 0)
           || (strncmp(path, allowed, length) == 0 && path[length] == '/'
               && !strchr(path + length + 1, '/') && ends_with(path, ".log"));
}

bool sa_command_policy_allows_service(const sa_command_policy_t *policy, const char *name)
{
    (void)policy;
    return strcmp(name, "nginx") == 0;
}

static bool cancelled;
static sa_buf_t emitted;
static int emits;
static size_t largest_emit;
static void (*on_emit)(const char *data, size_t length);

bool sa_os_is_cancelled(const sa_os_cancel_t *cancel)
{
    (void)cancel;
    return cancelled;
}

sa_error_t *sa_command__emit(sa_call_t *call, const char *stream, const char *data, size_t length)
{
    (void)call;
    emits++;
    if (stream) {
        ck_assert_str_eq(stream, "log");
        ck_assert_uint_gt(length, 0);
        ck_assert_int_eq(data[length - 1], '\n');
        sa_buf_append(&emitted, data, length);
        largest_emit = length > largest_emit ? length : largest_emit;
    }
    if (on_emit) {
        on_emit(data, length);
    }
    return SA_OK;
}

static int begun;           /* lines that went to the audit file before anything was done */

sa_error_t *sa_command__begin(sa_call_t *call, const char *what, const char *as)
{
    (void)call;
    (void)as;
    ck_assert_ptr_nonnull(what);
    begun++;
    return SA_OK;
}

/* Whoever lists a directory would come by here. */
static int listings;

DIR *opendir(const char *name)
{
    (void)name;
    listings++;
    errno = EMFILE;
    return NULL;
}

/* ---- helpers ---------------------------------------------------------------- */

/* By a program: nftw(3) would find our opendir(). */
static apr_status_t remove_tree(void *baton)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        execlp("rm", "rm", "-rf", (const char *)baton, (char *)NULL);
        _exit(1);
    }
    return waitpid(child, &status, 0) == child ? APR_SUCCESS : APR_EGENERAL;
}

/* The allowed directory of this test, "logs" in one of its own; beside it, what is not. */
static const char *begin(apr_pool_t *pool)
{
    const char *base = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    char *directory = apr_pstrcat(pool, base, "/sa-test-logs-XXXXXX", NULL);
    char *real;

    ck_assert_ptr_nonnull(mkdtemp(directory));
    apr_pool_cleanup_register(pool, directory, remove_tree, apr_pool_cleanup_null);
    real = realpath(directory, NULL);
    ck_assert_ptr_nonnull(real);
    directory = apr_pstrdup(pool, real);
    free(real);
    allowed = apr_pstrcat(pool, directory, "/logs", NULL);
    ck_assert_int_eq(mkdir(allowed, 0755), 0);
    sa_buf_init(&emitted, 256 * 1024 * 1024, pool);
    return directory;
}

static const char *in(const char *directory, const char *name, apr_pool_t *pool)
{
    return apr_pstrcat(pool, directory, "/", name, NULL);
}

static const char *write_to(const char *path, const char *how, const char *data, size_t length)
{
    FILE *file = fopen(path, how);

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, length, file), length);
    ck_assert_int_eq(fclose(file), 0);
    return path;
}

static const char *put(const char *path, const char *text)
{
    return write_to(path, "w", text, strlen(text));
}

static const char *put_log(const char *text, apr_pool_t *pool)
{
    return put(in(allowed, "x.log", pool), text);
}

typedef struct asked_t {
    sa_call_t call;
    sa_command_settings_t settings;
    sa_error_t *err;
    const char *text;           /* of the reply */
    size_t length;
    cJSON *reply;
    cJSON *lines;
    int total;
    apr_interval_time_t took;
} asked_t;

static apr_status_t clear_error(void *baton)
{
    sa_error_clear(((asked_t *)baton)->err);
    return APR_SUCCESS;
}

static asked_t *ask_limited(size_t limit, const char *request, apr_pool_t *pool)
{
    asked_t *asked = apr_pcalloc(pool, sizeof(*asked));
    double total = 0;
    cJSON *json;

    SA_ASSERT_OK(sa_json_parse(&json, request, strlen(request), pool));
    asked->settings.log_links = true;
    asked->call.settings = &asked->settings;
    asked->call.request = json;
    asked->call.reply = sa_json_object(pool);
    asked->call.reply_limit = limit;
    asked->call.stream = cJSON_IsTrue(cJSON_GetObjectItem(json, "stream"));
    asked->call.cancel = (sa_os_cancel_t *)&cancelled;
    asked->call.pool = pool;
    asked->took = -sa_time_mono();
    asked->err = sa_command__logs(&asked->call);
    asked->took += sa_time_mono();
    apr_pool_cleanup_register(pool, asked, clear_error, apr_pool_cleanup_null);
    asked->text = sa_json_print(asked->call.reply, &asked->length, pool);
    SA_ASSERT_OK(sa_json_parse(&asked->reply, asked->text, asked->length, pool));
    asked->lines = cJSON_GetObjectItem(asked->reply, "lines");
    sa_json_number(asked->reply, "total_lines", &total);
    asked->total = (int)total;
    return asked;
}

static asked_t *ask(apr_pool_t *pool, const char *format, ...) SA_PRINTF(2, 3);
static asked_t *ask(apr_pool_t *pool, const char *format, ...)
{
    va_list args;
    char *request;

    va_start(args, format);
    request = apr_pvsprintf(pool, format, args);
    va_end(args);
    return ask_limited(LIMIT, request, pool);
}

static asked_t *ask_for(int lines, const char *path, apr_pool_t *pool)
{
    asked_t *asked = ask(pool, "{\"log_path\":\"%s\",\"lines\":%d}", path, lines);

    SA_ASSERT_OK(asked->err);
    return asked;
}

static void assert_lines(const asked_t *asked, const char *expected)
{
    char *text;

    SA_ASSERT_OK(asked->err);
    text = cJSON_PrintUnformatted(asked->lines);
    if (!expected) {
        ck_assert_ptr_null(asked->lines);
        ck_assert_ptr_null(cJSON_GetObjectItem(asked->reply, "total_lines"));
    } else {
        ck_assert_str_eq(text ? text : "none", expected);
        ck_assert_int_eq(asked->total, cJSON_GetArraySize(asked->lines));
    }
    cJSON_free(text);
}

static void assert_error(const asked_t *asked, const char *message)
{
    ck_assert_msg(asked->err != NULL, "no error, but %s", asked->text);
    ck_assert_str_eq(asked->err->message, message);
    ck_assert_str_eq(asked->text, "{}");
}

static int number(const asked_t *asked, const char *name)
{
    double value = -1;

    sa_json_number(asked->reply, name, &value);
    return (int)value;
}

static bool is_incomplete(const asked_t *asked)
{
    return cJSON_IsFalse(cJSON_GetObjectItem(asked->reply, "scanned_all"));
}

static const char *last_line(const asked_t *asked)
{
    return cJSON_GetStringValue(cJSON_GetArrayItem(asked->lines,
                                                   cJSON_GetArraySize(asked->lines) - 1));
}

/* ---- the contract ------------------------------------------------------------ */

SA_TEST(the_newest_lines_come_oldest_first_as_the_contract_says)
{
    const char *path;
    asked_t *asked;

    begin(pool);
    path = put_log("one\ntwo\nthree\n", pool);
    asked = ask_for(2, path, pool);
    ck_assert_str_eq(asked->text, apr_psprintf(pool, "{\"status\":\"success\",\"log_path\":\"%s\","
                     "\"lines\":[\"two\",\"three\"],\"total_lines\":2}", path));
}

SA_TEST(an_empty_file_has_neither_lines_nor_total)
{
    const char *path;

    begin(pool);
    path = put_log("", pool);
    ck_assert_str_eq(ask_for(10, path, pool)->text,
                     apr_psprintf(pool, "{\"status\":\"success\",\"log_path\":\"%s\"}", path));
}

SA_TEST(hostile_49_lines_are_kept_as_they_are_whatever_ends_them)
{
    static const struct {
        const char *text;
        size_t length;      /* 0: to the NUL */
        int lines;
        const char *expected;
    } rows[] = {
        {"a\n", 0, 5, "[\"a\"]"},
        {"a", 0, 5, "[\"a\"]"},
        {"\n", 0, 5, "[\"\"]"},
        {"\n\n\n", 0, 5, "[\"\",\"\",\"\"]"},
        {"\n\n\n", 0, 2, "[\"\",\"\"]"},
        {"a\n\nb\n\n", 0, 5, "[\"a\",\"\",\"b\",\"\"]"},
        {"a\r\nb\r\n", 0, 5, "[\"a\",\"b\"]"},
        {"a\r\n\r\nb\r", 0, 5, "[\"a\",\"\",\"b\"]"},
        {"a\rb\n", 0, 5, "[\"a\\rb\"]"},
        {"\r\n", 0, 5, "[\"\"]"},
        {"say \"hi\" \\ \t\x01\x1b[0m\x7f\n", 0, 5,
         "[\"say \\\"hi\\\" \\\\ \\t\\u0001\\u001b[0m\x7f\"]"},
        {"this is plain text \\ and so is this, and more of it", 0, 5,
         "[\"this is plain text \\\\ and so is this, and more of it\"]"},
        {"this is plain text \" and so is this, and more of it", 0, 5,
         "[\"this is plain text \\\" and so is this, and more of it\"]"},
        {"this is plain text \x1f and so is this, and more of it", 0, 5,
         "[\"this is plain text \\u001f and so is this, and more of it\"]"},
        {"this is plain text \x80 and so is this, and more of it", 0, 5,
         "[\"this is plain text \xef\xbf\xbd and so is this, and more of it\"]"},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xe2\x80\xa8\n", 0, 5,
         "[\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xe2\x80\xa8\"]"},
        /* alone, overlong, cut off, a surrogate, too high */
        {"\xff|\xc0\xaf|\xe2\x82|\xed\xa0\x80|\xf4\x90\x80\x80\n", 0, 5,
         "[\"\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd"
         "\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"]"},
        {"a\0b\0\n\0", 6, 5, "[\"a\xef\xbf\xbd" "b\xef\xbf\xbd\",\"\xef\xbf\xbd\"]"},
        /* UTF-16 with its mark: readable, and whole */
        {"\xff\xfe" "h\0i\0\n\0", 8, 5,
         "[\"\xef\xbf\xbd\xef\xbf\xbdh\xef\xbf\xbdi\xef\xbf\xbd\",\"\xef\xbf\xbd\"]"},
    };

    begin(pool);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t length = rows[i].length ? rows[i].length : strlen(rows[i].text);
        const char *path = write_to(in(allowed, "x.log", pool), "w", rows[i].text, length);

        assert_lines(ask_for(rows[i].lines, path, pool), rows[i].expected);
    }
}

SA_TEST(hostile_50_numbers_of_lines_that_are_none_are_refused)
{
    static const struct {
        const char *lines;
        const char *message;
    } rows[] = {
        {"0", "lines must be greater than 0"},
        {"-1", "lines must be greater than 0"},
        {"-1e300", "lines must be greater than 0"},
        {"10001", "lines cannot exceed 10000"},
        {"2147483648", "lines cannot exceed 10000"},
        {"9223372036854775808", "lines cannot exceed 10000"},
        {"1e309", "lines cannot exceed 10000"},
        {"\"10\"", "Invalid request format"},
        {"1.5", "Invalid request format"},
        {"true", "Invalid request format"},
        {"[10]", "Invalid request format"},
    };
    const char *path;

    begin(pool);
    path = put_log("a\n", pool);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_error(ask(pool, "{\"log_path\":\"%s\",\"lines\":%s}", path, rows[i].lines),
                     rows[i].message);
    }
    assert_lines(ask_for(10000, path, pool), "[\"a\"]");
    assert_lines(ask_for(1, path, pool), "[\"a\"]");
}

SA_TEST(null_is_the_same_as_missing)
{
    const char *path;

    begin(pool);
    path = put_log("a\n", pool);
    assert_lines(ask(pool, "{\"log_path\":\"%s\",\"lines\":null,\"unit\":null,\"since\":null,"
                     "\"grep\":null,\"rotated\":null,\"follow\":null,\"stream\":null}", path),
                 "[\"a\"]");
}

SA_TEST(a_hundred_lines_come_unasked)
{
    char *text = apr_palloc(pool, 301);
    const char *path;

    begin(pool);
    memset(text, '\n', 300);
    text[300] = '\0';
    path = put_log(text, pool);
    ck_assert_int_eq(ask(pool, "{\"log_path\":\"%s\"}", path)->total, 100);
}

SA_TEST(members_of_another_type_are_a_format_error)
{
    static const char *const rows[] = {
        "\"log_path\":1", "\"log_path\":[\"x\"]", "\"unit\":1", "\"since\":5", "\"grep\":true",
        "\"rotated\":\"yes\"", "\"follow\":10"};

    begin(pool);
    put_log("a\n", pool);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *path = strncmp(rows[i], "\"log", 4) == 0 || strncmp(rows[i], "\"unit", 5) == 0
                           ? "" : apr_psprintf(pool, "\"log_path\":\"%s/x.log\",", allowed);

        assert_error(ask(pool, "{%s%s}", path, rows[i]), "Invalid request format");
    }
    assert_error(ask(pool, "{}"), "log path not in allowed list: ");
    assert_error(ask(pool, "{\"log_path\":\"%s/x.log\",\"unit\":\"nginx\"}", allowed),
                 "log_path and unit exclude each other");
    assert_error(ask(pool, "{\"unit\":\"nginx\",\"rotated\":true}"), "rotated is for files");
    assert_error(ask(pool, "{\"unit\":\"ssh\"}"), "service not in allowed list: ssh");
    assert_error(ask(pool, "{\"unit\":\"nginx.service\"}"),
                 "service not in allowed list: nginx.service");
}

/* ---- hostile paths ------------------------------------------------------------ */

SA_TEST(hostile_46_paths_that_are_not_plain_are_not_allowed)
{
    const char *directory = begin(pool);
    const char *path = put_log("a\n", pool);
    const char *secret = put(in(directory, "secret.log", pool), SECRET);
    const char *rows[] = {
        "", "/", "x.log", "./x.log", "~/x.log", apr_pstrcat(pool, allowed, "/../secret.log", NULL),
        apr_pstrcat(pool, allowed, "/./x.log", NULL), apr_pstrcat(pool, allowed, "//x.log", NULL),
        apr_pstrcat(pool, "/", path, NULL), apr_pstrcat(pool, path, "/", NULL),
        apr_pstrcat(pool, path, "/.", NULL), apr_pstrcat(pool, path, "/..", NULL),
        apr_pstrcat(pool, allowed, "/..", NULL),
        apr_pstrcat(pool, allowed, "/../logs/x.log", NULL)
    };
    const char *others[] = { allowed, secret, "/etc/shadow", "/etc/passwd",
                             apr_pstrcat(pool, path, "/x.log", NULL) };

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_error(ask(pool, "{\"log_path\":\"%s\"}", others[i]),
                     apr_psprintf(pool, "log path not in allowed list: %s", others[i]));
    }
    /* whatever the policy may think of them */
    all_allowed = true;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_error(ask(pool, "{\"log_path\":\"%s\"}", rows[i]),
                     apr_psprintf(pool, "log path not in allowed list: %s", rows[i]));
    }
}

SA_TEST(hostile_46_patterns_in_the_request_are_names)
{
    static const char *const rows[] = {"*.log", "?.log", "[x].log", "{x,y}.log", "**.log"};

    begin(pool);
    put_log(SECRET "\n", pool);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *path = in(allowed, rows[i], pool);

        assert_error(ask(pool, "{\"log_path\":\"%s\"}", path),
                     apr_psprintf(pool, "failed to open file: cannot open %s: No such file or "
                                  "directory", path));
        put(path, "plain\n");
        assert_lines(ask(pool, "{\"log_path\":\"%s\"}", path), "[\"plain\"]");
    }
}

SA_TEST(hostile_47_names_that_do_not_show_are_escaped_in_what_is_said)
{
    asked_t *asked;

    begin(pool);
    put(in(allowed, "a\n\"\x1b\xff.log", pool), "a\n");
    asked = ask(pool, "{\"log_path\":\"%s/a\\n\\\"\\u001b\xff.log\"}", allowed);
    assert_lines(asked, "[\"a\"]");
    ck_assert_str_eq(sa_json_text(asked->reply, "log_path"),
                     apr_psprintf(pool, "%s/a\n\"\x1b\xef\xbf\xbd.log", allowed));
    assert_error(ask(pool, "{\"log_path\":\"/x\\r\\n\\\"\xff.log\"}"),
                 "log path not in allowed list: /x\\x0d\\x0a\"\xef\xbf\xbd.log");
    asked = ask(pool, "{\"log_path\":\"/%s\"}",
                (const char *)memset(apr_pcalloc(pool, 60001), 'x', 60000));
    ck_assert_ptr_nonnull(asked->err);
    ck_assert_uint_lt(strlen(asked->err->message), 400);
}

SA_TEST(hostile_48_no_pattern_makes_us_list_a_directory)
{
    begin(pool);
    put_log("a\n", pool);
    listings = 0;
    assert_lines(ask_for(1, in(allowed, "x.log", pool), pool), "[\"a\"]");
    ask(pool, "{\"log_path\":\"/*/*/*/*/*/*/*/*/*/*/*/*\"}");
    ask(pool, "{\"log_path\":\"%s/*/*/*/*/*.log\"}", allowed);
    ck_assert_int_eq(listings, 0);
}

SA_TEST(hostile_41_a_link_out_of_what_is_allowed_is_not_allowed)
{
    const char *directory = begin(pool);
    const char *secret = put(in(directory, "secret", pool), SECRET "\n");
    const char *path = in(allowed, "x.log", pool);
    char text[1024];
    asked_t *asked;

    ck_assert_int_eq(symlink(secret, path), 0);
    asked = ask(pool, "{\"log_path\":\"%s\"}", path);
    assert_error(asked, apr_psprintf(pool, "log path not in allowed list: %s", path));
    /* in our own log only */
    ck_assert_ptr_nonnull(strstr(sa_error_text(asked->err, text, sizeof(text)), secret));
    ck_assert_int_eq(unlink(path), 0);
    put(in(allowed, "real.log", pool), "fine\n");
    ck_assert_int_eq(symlink("real.log", path), 0);
    assert_lines(ask_for(1, path, pool), "[\"fine\"]");
}

SA_TEST(hostile_42_a_directory_swapped_during_the_call_shows_no_secret)
{
    const char *directory = begin(pool);
    const char *path = put_log("fine\n", pool);
    const char *seconds = getenv("SA_RACE_SECONDS");
    apr_interval_time_t until = sa_time_mono()
                                + (seconds ? strtol(seconds, NULL, 10) : 3) * APR_INT64_C(1000000);
    const char *link = in(directory, "link", pool);
    apr_pool_t *turn = sa_pool_create(pool);
    volatile apr_uint32_t *swaps;
    apr_shm_t *shared;
    int fine = 0;
    int refused = 0;
    int status;
    pid_t child;

    ck_assert_int_eq(apr_shm_create(&shared, sizeof(*swaps), NULL, pool), APR_SUCCESS);
    swaps = apr_shm_baseaddr_get(shared);
    apr_atomic_set32(swaps, 0);
    ck_assert_int_eq(mkdir(in(directory, "secret", pool), 0755), 0);
    put(in(directory, "secret/x.log", pool), SECRET "\n");
    ck_assert_int_eq(symlink("secret", link), 0);
    child = fork();
    if (child == 0) {
        alarm(120);
        for (;;) {
            if (renameat2(AT_FDCWD, allowed, AT_FDCWD, link, RENAME_EXCHANGE) == 0) {
                apr_atomic_inc32(swaps);
            }
        }
    }
    while (sa_time_mono() < until) {
        asked_t *asked = ask(turn, "{\"log_path\":\"%s\",\"rotated\":true}", path);

        ck_assert_msg(strstr(asked->text, SECRET) == NULL, "%s", asked->text);
        fine += !asked->err;
        refused += asked->err != NULL;
        apr_pool_clear(turn);
    }
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    fprintf(stderr, "# %d good, %d refused, 0 wrong, %u exchanges\n", fine, refused,
            (unsigned)*swaps);
    ck_assert_int_gt(fine, 0);
    ck_assert_int_gt(refused, 0);
    ck_assert_int_gt(*swaps, 100);
}

SA_TEST(hostile_43_44_45_what_cannot_be_a_log_fails_to_open)
{
    const char *directory = begin(pool);
    const char *secret = put(in(directory, "secret", pool), SECRET);
    const char *path = in(allowed, "hard.log", pool);
    const char *fifo = in(allowed, "fifo.log", pool);

    ck_assert_int_eq(link(secret, path), 0);
    ck_assert_int_eq(chmod(allowed, 0777), 0);
    assert_error(ask(pool, "{\"log_path\":\"%s\"}", path),
                 apr_psprintf(pool, "failed to open file: %s is a hard link, perhaps to the file "
                              "of somebody else", path));
    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    assert_error(ask(pool, "{\"log_path\":\"%s\"}", fifo),
                 apr_psprintf(pool, "failed to open file: %s is not a regular file", fifo));
    alone = "/proc/self/environ";
    assert_error(ask(pool, "{\"log_path\":\"%s\"}", alone),
                 "failed to open file: /proc/self/environ is on a file system of type proc, which "
                 "may hang or holds no logs");
    alone = in(allowed, "sub", pool);
    ck_assert_int_eq(mkdir(alone, 0755), 0);
    assert_error(ask(pool, "{\"log_path\":\"%s\"}", alone),
                 apr_psprintf(pool, "failed to open file: %s is not a regular file", alone));
}

SA_TEST(hostile_53_our_own_files_fail_to_open)
{
    apr_array_header_t *own = apr_array_make(pool, 1, sizeof(const char *));
    asked_t *asked = apr_pcalloc(pool, sizeof(*asked));
    const char *path;

    begin(pool);
    path = put_log(SECRET "\n", pool);
    APR_ARRAY_PUSH(own, const char *) = path;
    asked->settings.own_paths = own;
    asked->call.settings = &asked->settings;
    asked->call.request = sa_json_object(pool);
    cJSON_AddStringToObject((cJSON *)asked->call.request, "log_path", path);
    asked->call.reply = sa_json_object(pool);
    asked->call.reply_limit = LIMIT;
    asked->call.pool = pool;
    asked->err = sa_command__logs(&asked->call);
    ck_assert_ptr_nonnull(asked->err);
    ck_assert_str_eq(asked->err->message,
                     apr_psprintf(pool, "failed to open file: %s is the agent's own", path));
    sa_error_clear(asked->err);
}

SA_TEST(hostile_52_nothing_is_unpacked)
{
    const char *path;

    begin(pool);
    path = put_log("\x1f\x8b\x08", pool);
    put(in(allowed, "x.log.1.gz", pool), "\x1f\x8b\x08");
    put(in(allowed, "x.log.gz", pool), "\x1f\x8b\x08");
    assert_lines(ask(pool, "{\"log_path\":\"%s\",\"rotated\":true}", path),
                 "[\"\\u001f\xef\xbf\xbd\\b\"]");
}

/* ---- size and time -------------------------------------------------------------- */

/* A file of SIZE bytes, all NUL but the END. */
static const char *put_sparse(apr_int64_t size, const char *end, apr_pool_t *pool)
{
    const char *path = put_log("", pool);
    int fd = open(path, O_WRONLY);

    ck_assert_int_eq(ftruncate(fd, size), 0);
    ck_assert_int_eq(pwrite(fd, end, strlen(end), size - (apr_int64_t)strlen(end)), strlen(end));
    close(fd);
    return path;
}

SA_TEST(hostile_49_the_size_of_a_file_costs_nothing)
{
    asked_t *asked;

    begin(pool);
    asked = ask_for(2, put_sparse(APR_INT64_C(1) << 40, "\na\nb\n", pool), pool);
    assert_lines(asked, "[\"a\",\"b\"]");
    ck_assert(!is_incomplete(asked));
    SA_ASSERT_IN_TIME(asked->took, 100 * 1000);
}

SA_TEST(hostile_49_a_line_without_end_is_read_for_a_bounded_time_and_shown_cut)
{
    struct rusage before;
    struct rusage after;
    asked_t *asked;

    begin(pool);
    getrusage(RUSAGE_SELF, &before);
    asked = ask_for(10, put_sparse(APR_INT64_C(2) << 30, "\n", pool), pool);
    getrusage(RUSAGE_SELF, &after);
    SA_ASSERT_OK(asked->err);
    ck_assert_int_eq(asked->total, 1);
    ck_assert_int_eq(number(asked, "cut_lines"), 1);
    ck_assert(is_incomplete(asked));
    ck_assert_uint_eq(strlen(last_line(asked)), 3 * SA_LOG_LINE_MAX);
    SA_ASSERT_IN_TIME(asked->took, 5 * 1000 * 1000);
    ck_assert_int_lt(after.ru_maxrss - before.ru_maxrss, 16 * KIB);
    /* behind others it is left out: its beginning is not known */
    asked = ask_for(10, put_sparse(APR_INT64_C(2) << 30, "\na\nb\n", pool), pool);
    assert_lines(asked, "[\"a\",\"b\"]");
    ck_assert(is_incomplete(asked));
}

SA_TEST(long_lines_are_cut_at_a_character_and_counted)
{
    static const int lengths[] = {65535, 65536, 65537, 65536 + 4096, 131071, 131072, 200000};
    char *text = apr_palloc(pool, 300000);

    begin(pool);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        bool cut = lengths[i] > (int)SA_LOG_LINE_MAX;
        asked_t *asked;

        memset(text, 'y', (size_t)lengths[i]);
        memcpy(text, "first", 5);
        apr_cpystrn(text + lengths[i], "\nb\n", 4);
        asked = ask_for(2, put_log(text, pool), pool);
        SA_ASSERT_OK(asked->err);
        ck_assert_int_eq(asked->total, 2);
        ck_assert_int_eq(number(asked, "cut_lines"), cut ? 1 : -1);
        ck_assert_uint_eq(strlen(cJSON_GetArrayItem(asked->lines, 0)->valuestring),
                          cut ? SA_LOG_LINE_MAX : (size_t)lengths[i]);
        ck_assert(strncmp(cJSON_GetArrayItem(asked->lines, 0)->valuestring, "first", 5) == 0);
    }
    /* the euro sign lies across the limit */
    memset(text, 'y', SA_LOG_LINE_MAX + 1);
    memcpy(text + SA_LOG_LINE_MAX - 1, "\xe2\x82\xac", 4);
    ck_assert_uint_eq(strlen(last_line(ask_for(1, put_log(text, pool), pool))),
                      SA_LOG_LINE_MAX - 1);
}

/* ---- chance --------------------------------------------------------------------- */

static apr_uint32_t seed = 1;

static apr_uint32_t chance(apr_uint32_t below)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % below;
}

/* The last COUNT lines of TEXT, found in the simplest way. */
static const char *naive(const char *text, size_t length, int count, apr_pool_t *pool)
{
    sa_buf_t *json = apr_pcalloc(pool, sizeof(*json));
    size_t from = length > 0 && text[length - 1] == '\n' ? length - 1 : length;
    size_t end = from;

    sa_buf_init(json, 8 * 1024 * 1024, pool);
    if (length == 0) {
        return NULL;
    }
    for (; count > 0; count--) {
        while (from > 0 && text[from - 1] != '\n') {
            from--;
        }
        if (from == 0 || count == 1) {
            break;
        }
        from--;
    }
    sa_buf_append_text(json, "[\"");
    for (; from < end; from++) {
        sa_buf_append(json, text[from] == '\n' ? "\",\"" : text + from, text[from] == '\n' ? 3 : 1);
    }
    sa_buf_append_text(json, "\"]");
    return json->data;
}

SA_TEST(any_text_comes_out_as_the_simplest_reader_finds_it)
{
    size_t most = 3 * SA_LOG_BLOCK;
    char *text = apr_palloc(pool, most + 1);
    apr_pool_t *turn = sa_pool_create(pool);

    begin(pool);
    for (int i = 0; i < 300; i++) {
        size_t length = chance(4) ? chance((apr_uint32_t)most)
                                  : SA_LOG_BLOCK * (1 + chance(2)) + chance(5) - 2;
        apr_uint32_t rarity = 1 + chance(i % 2 ? 2000 : 4);
        int lines = 1 + (int)chance(i % 3 ? 50 : 10000);
        const char *path;

        for (size_t j = 0; j < length; j++) {
            text[j] = chance(rarity) == 0 ? '\n' : (char)('a' + chance(26));
        }
        path = write_to(in(allowed, "x.log", pool), "w", text, length);
        assert_lines(ask_for(lines, path, turn), naive(text, length, lines, turn));
        apr_pool_clear(turn);
    }
}

SA_TEST(any_bytes_come_out_as_json_and_the_same_streamed)
{
    char *text = apr_palloc(pool, 100000);
    apr_pool_t *turn = sa_pool_create(pool);

    begin(pool);
    for (int i = 0; i < 100; i++) {
        size_t length = chance(100000);
        sa_buf_t *joined = apr_pcalloc(turn, sizeof(*joined));
        const char *path;
        asked_t *asked;

        for (size_t j = 0; j < length; j++) {
            text[j] = (char)chance(256);
        }
        path = write_to(in(allowed, "x.log", pool), "w", text, length);
        asked = ask_for(10000, path, turn);
        ck_assert_uint_le(asked->length, LIMIT);
        sa_buf_init(joined, 8 * 1024 * 1024, turn);
        for (const cJSON *line = asked->lines ? asked->lines->child : NULL; line;
             line = line->next) {
            sa_buf_append_text(joined, line->valuestring);
            sa_buf_append(joined, "\n", 1);
        }
        sa_buf_clear(&emitted);
        asked = ask(turn, "{\"log_path\":\"%s\",\"lines\":10000,\"stream\":true}", path);
        SA_ASSERT_OK(asked->err);
        ck_assert_uint_eq(emitted.length, joined->length);
        ck_assert(joined->length == 0 || memcmp(emitted.data, joined->data, joined->length) == 0);
        apr_pool_clear(turn);
    }
}

/* ---- the room in a reply ----------------------------------------------------------- */

SA_TEST(a_reply_that_is_too_large_loses_its_oldest_lines_and_says_how_many)
{
    static const struct {
        const char *line;
        size_t limit;
    } rows[] = {{"xxxxxxxxxxxxxxxxxxxx", 10000}, {"\"\"\"\"\"\"\"\"\"\"", 10000},
                {"\x01\x02\x03", 10000},
                {"\xff\xff\xff\xff", 10000}, {"", 10000}, {"xx", 3000}, {"xx", 700}, {"xx", 400},
                {"xx", 0}};
    const int count = 9000;

    begin(pool);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_buf_t *text = apr_pcalloc(pool, sizeof(*text));
        asked_t *asked;

        sa_buf_init(text, 1024 * 1024, pool);
        for (int j = 0; j < count; j++) {
            sa_buf_printf(text, "%s%d\n", rows[i].line, j);
        }
        asked = ask_limited(rows[i].limit,
                            apr_psprintf(pool, "{\"log_path\":\"%s\",\"lines\":8000}",
                                         put_log(text->data, pool)), pool);
        SA_ASSERT_OK(asked->err);
        ck_assert(cJSON_IsTrue(cJSON_GetObjectItem(asked->reply, "truncated")));
        ck_assert_int_eq(number(asked, "dropped_lines") + asked->total, 8000);
        ck_assert_int_eq(asked->total, cJSON_GetArraySize(asked->lines));
        if (rows[i].limit > 1000) {
            ck_assert_uint_le(asked->length, rows[i].limit);
            /* and the room is used */
            ck_assert_uint_gt(asked->length, rows[i].limit - 800);
            ck_assert(ends_with(last_line(asked), "8999"));
        }
    }
}

SA_TEST(all_fits_when_all_fits)
{
    asked_t *asked;
    char *text = apr_palloc(pool, 40001);

    begin(pool);
    for (int i = 0; i < 10000; i++) {
        memcpy(text + i * 4, "abc\n", 5);
    }
    asked = ask_for(10000, put_log(text, pool), pool);
    ck_assert_int_eq(asked->total, 10000);
    ck_assert_ptr_null(cJSON_GetObjectItem(asked->reply, "truncated"));
    ck_assert_ptr_null(cJSON_GetObjectItem(asked->reply, "cut_lines"));
    ck_assert_ptr_null(cJSON_GetObjectItem(asked->reply, "scanned_all"));
}

/* ---- filters ------------------------------------------------------------------------ */

SA_TEST(grep_is_a_fixed_text)
{
    static const struct {
        const char *grep;
        int lines;
        const char *expected;
    } rows[] = {
        {"b", 5, "[\"abc\",\"b\",\"ab.bc\"]"},
        {"b", 2, "[\"b\",\"ab.bc\"]"}, {".", 5, "[\"ab.bc\"]"},
        {"b.b", 5, "[\"ab.bc\"]"}, {"a*", 5, NULL}, {"^a", 5, NULL}, {"(a+)+$", 5, NULL},
        {"", 2, "[\"ab.bc\",\"x\"]"}, {"abc", 5, "[\"abc\"]"}, {"abcd", 5, NULL},
    };
    const char *path;

    begin(pool);
    path = put_log("abc\nx\nb\nab.bc\nx\n", pool);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_lines(ask(pool, "{\"log_path\":\"%s\",\"lines\":%d,\"grep\":\"%s\"}", path,
                         rows[i].lines, rows[i].grep), rows[i].expected);
    }
}

SA_TEST(grep_finds_what_overlaps_itself)
{
    static const struct {
        const char *grep;
        const char *text;
        bool found;
    } rows[] = {{"aab", "aaab", true}, {"abab", "abaabab", true}, {"aaa", "aabaab", false},
                {"abcabd", "abcabcabd", true}, {"a", "", false}, {"aa", "a", false},
                {"abac", "ababac", true}, {"aaaa", "aaabaaaa", true}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_log_grep_t *grep = sa_command__grep_create(rows[i].grep, pool);

        ck_assert_msg(sa_command__grep_match(grep, rows[i].text, strlen(rows[i].text))
                      == rows[i].found, "%s in %s", rows[i].grep, rows[i].text);
    }
    for (int i = 0; i < 20000; i++) {
        char text[13] = "";
        char word[5] = "";

        for (int j = 0; j < 12; j++) {
            text[j] = (char)('a' + chance(2));
        }
        for (apr_uint32_t j = 0; j <= chance(4); j++) {
            word[j] = (char)('a' + chance(2));
        }
        ck_assert_int_eq(sa_command__grep_match(sa_command__grep_create(word, pool), text, 12),
                         strstr(text, word) != NULL);
    }
}

SA_TEST(hostile_50_no_grep_costs_more_than_a_bounded_time)
{
    size_t length = 8 * 1024 * 1024;
    char *text = apr_palloc(pool, length + 1);
    char *grep = apr_palloc(pool, SA_LOG_GREP_MAX + 2);
    asked_t *asked;
    const char *path;

    begin(pool);
    memset(text, 'a', length);
    text[length] = '\0';
    for (size_t i = 60000; i < length; i += 60000) {
        text[i] = '\n';
    }
    memset(grep, 'a', SA_LOG_GREP_MAX);
    apr_cpystrn(grep + SA_LOG_GREP_MAX - 1, "b", 2);
    path = put_log(text, pool);
    asked = ask(pool, "{\"log_path\":\"%s\",\"grep\":\"%s\"}", path, grep);
    assert_lines(asked, NULL);
    ck_assert(!is_incomplete(asked));
    SA_ASSERT_IN_TIME(asked->took, 5 * 1000 * 1000);
    memset(grep, 'a', SA_LOG_GREP_MAX + 1);
    grep[SA_LOG_GREP_MAX + 1] = '\0';
    assert_error(ask(pool, "{\"log_path\":\"%s\",\"grep\":\"%s\"}", path, grep),
                 "grep is longer than 1024 bytes");
    /* what is looked through has a limit, and the reply says when it was reached */
    asked = ask(pool, "{\"log_path\":\"%s\",\"grep\":\"none\"}",
                put_sparse(APR_INT64_C(1) << 33, "\na\n", pool));
    assert_lines(asked, NULL);
    ck_assert(is_incomplete(asked));
}

#define NOW APR_TIME_C(1795489445)      /* 2026-11-24T03:04:05Z, in seconds */

SA_TEST(the_time_of_a_line_is_read_in_the_forms_that_logs_have)
{
    static const struct {
        const char *line;
        apr_int64_t seconds;        /* from NOW; 1: none */
    } rows[] = {
        {"2026-11-24T03:04:05Z x", 0}, {"2026-11-24T03:04:04.999Z", -1},
        {"2026-11-24 03:04:05,123 INFO", 0}, {"2026-11-24T04:04:05+01:00 x", 0},
        {"2026-11-24T04:04:05+0100 x", 0}, {"2026-11-23T22:04:05-05:00", 0},
        {"2026/11/24 03:04:05 [error]", 0}, {"[2026-11-24 03:04:05] x", 0},
        {"Nov 24 03:04:05 host sshd[1]: x", 0}, {"<13>Nov 24 03:04:05 host x", 0},
        {"Nov  4 03:04:05 host x", -20 * 86400}, {"Dec 31 03:04:05 host x", -328 * 86400},
        {"127.0.0.1 - - [24/Nov/2026:03:04:05 +0000] \"GET / HTTP/1.1\" 200", 0},
        {"::1 - [x] [24/Nov/2026:04:04:05 +0100] x", 0},
        {"", 1}, {"x", 1}, {"2026-13-24T03:04:05Z", 1}, {"2026-11-24", 1}, {"Nov 24", 1},
        {"2026-11-24T25:04:05Z", 1}, {"20261124T030405Z", 1}, {"\tat java.lang.Thread", 1},
        {"[24/Nov/2026:03:04:05]", 1}, {"[[[[[[", 1}, {"<", 1}, {"<13", 1},
        {"1969-01-01T00:00:00Z", 1},
    };

    (void)pool;
    setenv("TZ", "UTC", 1);
    tzset();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        apr_time_t time = 0;
        bool found = sa_command__line_time(&time, rows[i].line, strlen(rows[i].line),
                                           apr_time_from_sec(NOW));

        ck_assert_msg(found == (rows[i].seconds != 1), "%s", rows[i].line);
        if (found) {
            ck_assert_msg(apr_time_sec(time) == NOW + rows[i].seconds, "%s: %" APR_INT64_T_FMT,
                          rows[i].line, apr_time_sec(time) - NOW);
        }
    }
}

SA_TEST(a_time_without_a_zone_is_of_the_machines)
{
    apr_time_t time;

    (void)pool;
    setenv("TZ", "EST5EDT,M3.2.0,M11.1.0", 1);
    tzset();
    ck_assert(sa_command__line_time(&time, "2026-11-23 22:04:05 x", 21, apr_time_from_sec(NOW)));
    ck_assert_int_eq(apr_time_sec(time), NOW);
    /* in summer an hour less */
    ck_assert(sa_command__line_time(&time, "2026-07-23 22:04:05 x", 21, apr_time_from_sec(NOW)));
    ck_assert_int_eq(apr_time_sec(time), NOW - 123 * 86400 - 3600);
    /* an hour and a half after it has begun */
    ck_assert(sa_command__line_time(&time, "2026-03-08 03:30:00 x", 21, apr_time_from_sec(NOW)));
    ck_assert_int_eq(apr_time_sec(time), NOW - 261 * 86400 + 15955);
}

static apr_time_t fixed_now(void *baton)
{
    (void)baton;
    return apr_time_from_sec(NOW);
}

SA_TEST(since_ends_at_the_first_older_line_and_keeps_what_belongs_to_a_line)
{
    static const sa_clock_t clock = { .now = fixed_now };
    static const struct {
        const char *since;
        int lines;
        const char *grep;
        const char *expected;
    } rows[] = {
        {"1h", 100, "",
         "[\"2026-11-24T02:30:00Z c\",\" of c\",\"2026-11-24T03:00:00Z d\",\" of d\"]"},
        {"2026-11-24T02:30:00Z", 100, "",
         "[\"2026-11-24T02:30:00Z c\",\" of c\",\"2026-11-24T03:00:00Z d\",\" of d\"]"},
        {"10m", 100, "", "[\"2026-11-24T03:00:00Z d\",\" of d\"]"},
        {"1m", 100, "", NULL},
        {"2030-01-01T00:00:00Z", 100, "", NULL},
        {"1h", 2, "", "[\"2026-11-24T03:00:00Z d\",\" of d\"]"},
        {"1h", 1, "", "[\" of d\"]"},
        {"1m", 1, "", NULL},
        {"1h", 100, "of c", "[\" of c\"]"},
        {"10m", 100, "of c", NULL},
        /* what comes before any time may be of then */
        {"100h", 100, "of", "[\" of what\",\" of a\",\" of c\",\" of d\"]"},
        {"1000d", 3, "00Z", "[\"2026-11-24T02:00:00Z b\",\"2026-11-24T02:30:00Z c\","
         "\"2026-11-24T03:00:00Z d\"]"},
    };
    const char *path;

    begin(pool);
    path = put_log(" of what\n2026-11-24T01:00:00Z a\n of a\n2026-11-24T02:00:00Z b\n"
                   "2026-11-24T02:30:00Z c\n of c\n2026-11-24T03:00:00Z d\n of d\n", pool);
    sa_time_set_clock(&clock);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_lines(ask(pool, "{\"log_path\":\"%s\",\"lines\":%d,\"since\":\"%s\","
                         "\"grep\":\"%s\"}", path, rows[i].lines, rows[i].since, rows[i].grep),
                     rows[i].expected);
        sa_buf_clear(&emitted);
        SA_ASSERT_OK(ask(pool, "{\"log_path\":\"%s\",\"lines\":%d,\"since\":\"%s\",\"grep\":\"%s\","
                         "\"stream\":true}", path, rows[i].lines, rows[i].since,
                         rows[i].grep)->err);
        ck_assert_int_eq(emitted.length > 0, rows[i].expected != NULL);
    }
    sa_time_set_clock(NULL);
}

SA_TEST(since_that_cannot_be_applied_or_read_is_an_error)
{
    static const char *const rows[] = {"", "x", "-1h", "yesterday", "2026-11-24",
                                       "2026-11-24T03:04:05", "2026-11-24T03:04:05Zx", "1h\\n"};
    const char *path;

    begin(pool);
    path = put_log("no time\n", pool);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_error(ask(pool, "{\"log_path\":\"%s\",\"since\":\"%s\"}", path, rows[i]),
                     "since must be a time such as 2026-11-24T03:04:05Z or a duration such as 1h");
    }
    assert_error(ask(pool, "{\"log_path\":\"%s\",\"since\":\"1h\"}", path),
                 "since cannot be applied: the lines do not begin with a time that the agent "
                 "knows");
    assert_lines(ask(pool, "{\"log_path\":\"%s\",\"since\":\"1h\"}", put_log("", pool)), NULL);
}

/* ---- rotated ------------------------------------------------------------------------- */

SA_TEST(the_rotated_file_is_joined_when_there_are_too_few_lines)
{
    const char *path;

    begin(pool);
    path = put_log("c\nd\n", pool);
    put(in(allowed, "x.log.1", pool), "a\nb\n");
    assert_lines(ask(pool, "{\"log_path\":\"%s\",\"lines\":3}", path), "[\"c\",\"d\"]");
    assert_lines(ask(pool, "{\"log_path\":\"%s\",\"lines\":3,\"rotated\":true}", path),
                 "[\"b\",\"c\",\"d\"]");
    assert_lines(ask(pool, "{\"log_path\":\"%s\",\"lines\":2,\"rotated\":true}", path),
                 "[\"c\",\"d\"]");
    assert_lines(ask(pool, "{\"log_path\":\"%s\",\"rotated\":true,\"grep\":\"a\"}", path),
                 "[\"a\"]");
    SA_ASSERT_OK(ask(pool, "{\"log_path\":\"%s\",\"lines\":3,\"rotated\":true,\"stream\":true}",
                     path)->err);
    ck_assert_str_eq(emitted.data, "b\nc\nd\n");
    put_log("", pool);
    assert_lines(ask(pool, "{\"log_path\":\"%s\",\"lines\":3,\"rotated\":true}", path),
                 "[\"a\",\"b\"]");
}

SA_TEST(a_rotated_file_that_is_missing_is_no_error_and_one_that_leads_away_is)
{
    const char *directory = begin(pool);
    const char *path = put_log("c\nd\n", pool);
    const char *older = in(allowed, "x.log.1", pool);

    assert_lines(ask(pool, "{\"log_path\":\"%s\",\"rotated\":true}", path), "[\"c\",\"d\"]");
    put(in(directory, "secret", pool), SECRET "\n");
    ck_assert_int_eq(symlink("../secret", older), 0);
    assert_error(ask(pool, "{\"log_path\":\"%s\",\"rotated\":true}", path),
                 apr_psprintf(pool, "log path not in allowed list: %s", older));
    ck_assert_int_eq(unlink(older), 0);
    /* rotated between the two: the one that we have read */
    ck_assert_int_eq(link(path, older), 0);
    assert_lines(ask(pool, "{\"log_path\":\"%s\",\"rotated\":true}", path), "[\"c\",\"d\"]");
}

/* ---- streams -------------------------------------------------------------------------- */

SA_TEST(a_stream_brings_the_lines_and_its_reply_their_number)
{
    char *text = apr_palloc(pool, 300001);
    const char *path;
    asked_t *asked;

    begin(pool);
    for (int i = 0; i < 30000; i++) {
        apr_snprintf(text + i * 10, 11, "%09d\n", i);
    }
    path = put_log(text, pool);
    asked = ask(pool, "{\"log_path\":\"%s\",\"lines\":10000,\"stream\":true}", path);
    SA_ASSERT_OK(asked->err);
    ck_assert_str_eq(asked->text, apr_psprintf(pool, "{\"status\":\"success\",\"log_path\":\"%s\","
                     "\"total_lines\":10000}", path));
    ck_assert_str_eq(emitted.data, text + 200000);
    ck_assert_int_gt(emits, 1);
    ck_assert_uint_lt(largest_emit, 64 * KIB);
    sa_buf_clear(&emitted);
    asked = ask(pool, "{\"log_path\":\"%s\",\"lines\":3,\"grep\":\"29\",\"stream\":true}", path);
    SA_ASSERT_OK(asked->err);
    ck_assert_str_eq(emitted.data, "000029997\n000029998\n000029999\n");
}

SA_TEST(a_stream_cuts_long_lines_too)
{
    static const int lengths[] = {65535, 65536, 65537, 69631, 69632, 69633, 131072, 400000};
    char *text = apr_palloc(pool, 500000);

    begin(pool);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        int shown = lengths[i] > (int)SA_LOG_LINE_MAX ? (int)SA_LOG_LINE_MAX : lengths[i];
        asked_t *asked;

        memcpy(text, "a\n", 2);
        memset(text + 2, 'y', (size_t)lengths[i]);
        memcpy(text + 2 + lengths[i], "\nb", 3);
        sa_buf_clear(&emitted);
        asked = ask(pool, "{\"log_path\":\"%s\",\"stream\":true}", put_log(text, pool));
        SA_ASSERT_OK(asked->err);
        ck_assert_uint_eq(emitted.length, 2 + shown + 1 + 2);
        ck_assert(ends_with(emitted.data, "y\nb\n"));
        ck_assert_int_eq(number(asked, "total_lines"), 3);
        ck_assert_int_eq(number(asked, "cut_lines"), shown < lengths[i] ? 1 : -1);
    }
}

static apr_pool_t *story_pool;
static const char *story_path;

/* What happens to the log each time that something of it is told. */
static void go_on(const char *data, size_t length)
{
    const char *rotated = apr_pstrcat(story_pool, story_path, ".1", NULL);

    if (!data) {
        return;
    }
    if (memcmp(data + length - 2, "1", 1) == 0) {
        write_to(story_path, "a", "2\nunfin", 7);
    } else if (memcmp(data + length - 2, "2", 1) == 0) {
        write_to(story_path, "a", "ished 3\n", 8);
    } else if (memcmp(data + length - 2, "3", 1) == 0) {
        put(story_path, "4\n");             /* copied and cut off */
    } else if (memcmp(data + length - 2, "4", 1) == 0) {
        ck_assert_int_eq(rename(story_path, rotated), 0);
        write_to(rotated, "a", "late 5", 6);
        put(story_path, "6\n");
    } else if (memcmp(data + length - 2, "6", 1) == 0) {
        cancelled = true;
    }
}

SA_TEST(hostile_49_following_survives_growth_truncation_and_rotation)
{
    asked_t *asked;

    begin(pool);
    story_pool = pool;
    story_path = put_log("0\n1\n", pool);
    on_emit = go_on;
    asked = ask(pool, "{\"log_path\":\"%s\",\"lines\":1,\"follow\":\"30s\",\"stream\":true}",
                story_path);
    on_emit = NULL;
    cancelled = false;
    ck_assert_ptr_nonnull(asked->err);
    ck_assert_int_eq(asked->err->code, SA_ERR_CANCELLED);
    ck_assert_str_eq(emitted.data, "1\n2\nunfinished 3\n4\nlate 5\n6\n");
    SA_ASSERT_IN_TIME(asked->took, 20 * 1000 * 1000);
}

SA_TEST(following_ends_in_time_and_tells_an_unfinished_line_at_last)
{
    asked_t *asked;

    begin(pool);
    asked = ask(pool, "{\"log_path\":\"%s\",\"follow\":\"300ms\",\"stream\":true}",
                put_log("a\nunfinished", pool));
    SA_ASSERT_OK(asked->err);
    ck_assert_str_eq(emitted.data, "a\nunfinished\n");
    ck_assert_int_eq(number(asked, "total_lines"), 2);
    ck_assert_int_ge(asked->took, 300 * 1000);
    SA_ASSERT_IN_TIME(asked->took, 5 * 1000 * 1000);
}

/* Grows by more than is read at a time, whenever something is told. */
static void grow(const char *data, size_t length)
{
    static char text[300001];

    (void)length;
    if (data && text[0] == '\0') {
        for (int i = 0; i < 3000; i++) {
            memset(text + i * 100, 'x', 99);
            text[i * 100 + 99] = '\n';
        }
    }
    write_to(story_path, "a", text, 300000);
}

SA_TEST(hostile_49_a_file_that_grows_faster_than_it_is_told_ends_in_time)
{
    asked_t *asked;

    begin(pool);
    story_path = put_log("a\n", pool);
    on_emit = grow;
    asked = ask(pool, "{\"log_path\":\"%s\",\"follow\":\"500ms\",\"stream\":true}", story_path);
    on_emit = NULL;
    SA_ASSERT_OK(asked->err);
    ck_assert(is_incomplete(asked));
    SA_ASSERT_IN_TIME(asked->took, 5 * 1000 * 1000);
}

static void cut_off(const char *data, size_t length)
{
    (void)data;
    (void)length;
    ck_assert_int_eq(truncate(story_path, 0), 0);
}

SA_TEST(hostile_49_a_file_cut_off_while_it_is_read_ends_the_reading)
{
    char *text = apr_palloc(pool, 1000001);
    asked_t *asked;

    begin(pool);
    for (int i = 0; i < 10000; i++) {
        memset(text + i * 100, 'x', 99);
        text[i * 100 + 99] = '\n';
    }
    text[1000000] = '\0';
    story_path = put_log(text, pool);
    on_emit = cut_off;
    asked = ask(pool, "{\"log_path\":\"%s\",\"lines\":10000,\"stream\":true}", story_path);
    on_emit = NULL;
    SA_ASSERT_OK(asked->err);
    ck_assert_int_lt(number(asked, "total_lines"), 10000);
    ck_assert(emitted.length > 0 && strspn(emitted.data, "x\n") == emitted.length);
}

/* A log whose size was taken before somebody cut it off. */
SA_TEST(hostile_49_what_is_no_longer_there_is_not_waited_for)
{
    apr_file_t *file;
    sa_log_tail_t *tail;
    sa_log_line_t line;
    bool found;
    const char *path;

    begin(pool);
    path = put_log("a\nb\n", pool);
    ck_assert_int_eq(apr_file_open(&file, path, APR_FOPEN_READ, 0, pool), APR_SUCCESS);
    tail = sa_command__tail_create(file, 10 * 1024 * 1024, SA_LOG_SCAN_MAX, pool);
    SA_ASSERT_OK(sa_command__tail_next(&found, &line, tail));
    ck_assert(!found);
    ck_assert(sa_command__tail_is_incomplete(tail));
    SA_ASSERT_OK(sa_command__tail_next(&found, &line, tail));
    ck_assert(!found);
}

SA_TEST(a_cancelled_stream_ends_at_once)
{
    asked_t *asked;

    begin(pool);
    cancelled = true;
    asked = ask(pool, "{\"log_path\":\"%s\",\"follow\":\"1m\",\"stream\":true}",
                put_log("a\n", pool));
    cancelled = false;
    ck_assert_ptr_nonnull(asked->err);
    ck_assert_int_eq(asked->err->code, SA_ERR_CANCELLED);
    SA_ASSERT_IN_TIME(asked->took, 1000 * 1000);
}

SA_TEST(a_cancelled_reading_ends_at_once_whether_streamed_or_not)
{
    asked_t *asked;

    begin(pool);
    cancelled = true;
    asked = ask(pool, "{\"log_path\":\"%s\",\"grep\":\"b\"}", put_log("a\na\na\n", pool));
    cancelled = false;
    ck_assert_ptr_nonnull(asked->err);
    ck_assert_int_eq(asked->err->code, SA_ERR_CANCELLED);
}

SA_TEST(follow_has_a_limit_and_needs_a_stream)
{
    static const char *const rows[] = {"5m1s", "-1s", "x", "", "24h"};
    const char *path;

    begin(pool);
    path = put_log("a\n", pool);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_error(ask(pool, "{\"log_path\":\"%s\",\"stream\":true,\"follow\":\"%s\"}", path,
                         rows[i]), "follow must be a duration of at most 5m");
    }
    assert_error(ask(pool, "{\"log_path\":\"%s\",\"follow\":\"1s\"}", path),
                 "follow needs \"stream\": true");
    assert_lines(ask(pool, "{\"log_path\":\"%s\",\"follow\":\"0\"}", path), "[\"a\"]");
}

SA_TEST_MAIN("command_logs", the_newest_lines_come_oldest_first_as_the_contract_says,
             an_empty_file_has_neither_lines_nor_total,
             hostile_49_lines_are_kept_as_they_are_whatever_ends_them,
             hostile_50_numbers_of_lines_that_are_none_are_refused, null_is_the_same_as_missing,
             a_hundred_lines_come_unasked,
             members_of_another_type_are_a_format_error,
             hostile_46_paths_that_are_not_plain_are_not_allowed,
             hostile_46_patterns_in_the_request_are_names,
             hostile_47_names_that_do_not_show_are_escaped_in_what_is_said,
             hostile_48_no_pattern_makes_us_list_a_directory,
             hostile_41_a_link_out_of_what_is_allowed_is_not_allowed,
             hostile_42_a_directory_swapped_during_the_call_shows_no_secret,
             hostile_43_44_45_what_cannot_be_a_log_fails_to_open,
             hostile_53_our_own_files_fail_to_open, hostile_52_nothing_is_unpacked,
             hostile_49_the_size_of_a_file_costs_nothing,
             hostile_49_a_line_without_end_is_read_for_a_bounded_time_and_shown_cut,
             long_lines_are_cut_at_a_character_and_counted,
             any_text_comes_out_as_the_simplest_reader_finds_it,
             any_bytes_come_out_as_json_and_the_same_streamed,
             a_reply_that_is_too_large_loses_its_oldest_lines_and_says_how_many,
             all_fits_when_all_fits, grep_is_a_fixed_text, grep_finds_what_overlaps_itself,
             hostile_50_no_grep_costs_more_than_a_bounded_time,
             the_time_of_a_line_is_read_in_the_forms_that_logs_have,
             a_time_without_a_zone_is_of_the_machines,
             since_ends_at_the_first_older_line_and_keeps_what_belongs_to_a_line,
             since_that_cannot_be_applied_or_read_is_an_error,
             the_rotated_file_is_joined_when_there_are_too_few_lines,
             a_rotated_file_that_is_missing_is_no_error_and_one_that_leads_away_is,
             a_stream_brings_the_lines_and_its_reply_their_number,
             a_stream_cuts_long_lines_too,
             a_cancelled_reading_ends_at_once_whether_streamed_or_not,
             hostile_49_following_survives_growth_truncation_and_rotation,
             following_ends_in_time_and_tells_an_unfinished_line_at_last,
             hostile_49_a_file_that_grows_faster_than_it_is_told_ends_in_time,
             hostile_49_a_file_cut_off_while_it_is_read_ends_the_reading,
             hostile_49_what_is_no_longer_there_is_not_waited_for,
             a_cancelled_stream_ends_at_once, follow_has_a_limit_and_needs_a_stream)
