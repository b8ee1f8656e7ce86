/* The table itself: what every row must have, and one parser per type. */
#include "sa_test.h"

#include <apr_strings.h>

#include "sa_config.h"
#include "../../src/config/sa_config_private.h"

typedef struct table_t {
    const char *name;
    const sa_config__table_t *table;
} table_t;

static const table_t tables[] = {
    {"main", &sa_config__main}, {"exporters", &sa_config__exporters},
    {"allowed_commands", &sa_config__allowed_commands}, {"arguments", &sa_config__arguments}};

/* The row at PLACE, counting through all tables; NULL past the last. */
static const sa_option_t *row_at(int place)
{
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        if (place < tables[i].table->count) {
            return &tables[i].table->rows[place];
        }
        place -= tables[i].table->count;
    }
    return NULL;
}

SA_TEST(each_row_has_doc_and_since)
{
    (void)pool;
    for (int i = 0; row_at(i); i++) {
        const sa_option_t *row = row_at(i);

        ck_assert_msg(row->doc && strlen(row->doc) > 3, "%s", row->path);
        ck_assert_msg(row->doc[strlen(row->doc) - 1] == '.', "%s", row->path);
        ck_assert_msg(row->since && row->since[0], "%s", row->path);
    }
}

SA_TEST(each_reload_row_names_its_room_and_no_other_does)
{
    (void)pool;
    for (int i = 0; i < sa_config__main.count; i++) {
        const sa_option_t *row = &sa_config__main.rows[i];

        ck_assert_msg(!(row->flags & SA_OPT_RELOAD) == (row->room == SA_ROOM_NONE), "%s",
                      row->path);
    }
}

SA_TEST(every_default_passes_its_own_check)
{
    for (int i = 0; row_at(i); i++) {
        const sa_option_t *row = row_at(i);
        sa_config__value_t value;
        const char *must;

        if (!row->def || row->def[0] == '@') {
            continue;
        }
        must = sa_config__parse(&value, row, row->def, pool);
        ck_assert_msg(must == NULL, "%s: %s %s", row->path, row->def, must);
    }
}

SA_TEST(every_default_that_is_a_path_passes_when_filled_in)
{
    static const char text[] = "code: c\nnats.urls: [nats://h]";
    sa_config_t *config;
    apr_array_header_t *complaints;

    SA_ASSERT_OK(sa_config__load_memory(&config, &complaints, "t", text, strlen(text), pool));
    ck_assert_int_eq(complaints->nelts, 0);
    ck_assert_ptr_nonnull(strstr(config->nats_creds_file, "/nats.creds"));
    ck_assert_ptr_null(strchr(config->nats_creds_file, '@'));
}

SA_TEST(every_row_has_a_default_or_is_required_or_a_secret)
{
    (void)pool;
    for (int i = 0; row_at(i); i++) {
        const sa_option_t *row = row_at(i);

        ck_assert_msg(row->def || (row->flags & SA_OPT_REQUIRED)
                      || row->type == SA_OPTION_SECRET, "%s", row->path);
    }
}

SA_TEST(every_example_passes_its_check)
{
    for (int i = 0; row_at(i); i++) {
        const sa_option_t *row = row_at(i);
        sa_config__value_t value;

        if (row->example && row->type == SA_OPTION_STR) {
            ck_assert_msg(!sa_config__parse(&value, row, row->example, pool), "%s", row->path);
        }
    }
}

SA_TEST(every_range_is_one)
{
    for (int i = 0; row_at(i); i++) {
        const sa_option_t *row = row_at(i);
        sa_config__value_t low;
        sa_config__value_t high;
        bool is_number = row->type == SA_OPTION_INT || row->type == SA_OPTION_DURATION
                         || row->type == SA_OPTION_SIZE;

        if (!is_number) {
            continue;
        }
        ck_assert_msg(row->min && row->max, "%s", row->path);
        ck_assert_ptr_null(sa_config__parse(&low, row, row->min, pool));
        ck_assert_ptr_null(sa_config__parse(&high, row, row->max, pool));
        ck_assert_msg(low.number < high.number, "%s", row->path);
    }
}

/* A row may stand in a reserved group, but not at its place. */
static void add_path(apr_hash_t *seen, const char *path)
{
    ck_assert_msg(!apr_hash_get(seen, path, APR_HASH_KEY_STRING), "%s", path);
    for (int i = 0; i < sa_config__reserved_count; i++) {
        ck_assert_msg(strcmp(path, sa_config__reserved[i].path) != 0, "%s is reserved too", path);
    }
    apr_hash_set(seen, path, APR_HASH_KEY_STRING, "");
}

SA_TEST(paths_and_aliases_are_unique)
{
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        apr_hash_t *seen = apr_hash_make(pool);

        for (int j = 0; j < tables[i].table->count; j++) {
            const sa_option_t *row = &tables[i].table->rows[j];
            char *last = NULL;
            char *words = apr_pstrdup(pool, row->alias ? row->alias : "");

            add_path(seen, row->path);
            for (char *word = apr_strtok(words, " ", &last); word;
                 word = apr_strtok(NULL, " ", &last)) {
                add_path(seen, word);
                ck_assert_int_eq(sa_config__find(tables[i].table, word), j);
            }
        }
    }
}

SA_TEST(the_words_of_choices_are_the_enums)
{
    static const struct {
        const char *path;
        const char *word;
        int place;
    } cases[] = {
        {"nats.auth.type", "creds", SA_AUTH_CREDS}, {"nats.auth.type", "token", SA_AUTH_TOKEN},
        {"nats.auth.type", "userpass", SA_AUTH_USERPASS}, {"nats.auth.type", "nkey", SA_AUTH_NKEY},
        {"nats.auth.type", "none", SA_AUTH_NONE}, {"nats.auth.type", "platform", SA_AUTH_PLATFORM},
        {"nats.auth.type", "pocketbase", SA_AUTH_PLATFORM},
        {"nats.auth.type", "stone-age", SA_AUTH_PLATFORM},
        {"logging.format", "auto", SA_FORMAT_AUTO}, {"logging.format", "text", SA_FORMAT_TEXT},
        {"logging.format", "json", SA_FORMAT_JSON}, {"logging.level", "error", 0},
        {"logging.level", "warn", 1}, {"logging.level", "info", 2}, {"logging.level", "debug", 3},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const sa_option_t *row =
            &sa_config__main.rows[sa_config__find(&sa_config__main, cases[i].path)];
        int place = -1;

        ck_assert_ptr_null(sa_config__parse(&place, row, cases[i].word, pool));
        ck_assert_msg(place == cases[i].place, "%s", cases[i].word);
    }
}

SA_TEST(the_conditions_of_required_if_name_real_options_and_words)
{
    for (int i = 0; row_at(i); i++) {
        const sa_option_t *row = row_at(i);
        sa_config__value_t value;
        char *path;
        char *equals;
        int place;

        if (!row->required_if) {
            continue;
        }
        path = apr_pstrdup(pool, row->required_if);
        equals = strchr(path, '=');
        ck_assert_ptr_nonnull(equals);
        *equals = '\0';
        place = sa_config__find(&sa_config__main, path);
        ck_assert_int_ge(place, 0);
        ck_assert_ptr_null(sa_config__parse(&value, &sa_config__main.rows[place], equals + 1,
                                            pool));
    }
}

/* A text, and how it prints once read; NULL: refused. */
static const struct {
    sa_option_type_t type;
    sa_option_shape_t shape;
    const char *text;
    const char *printed;
} value_cases[] = {
    {SA_OPTION_BOOL, 0, "true", "true"}, {SA_OPTION_BOOL, 0, "false", "false"},
    {SA_OPTION_BOOL, 0, "yes", NULL}, {SA_OPTION_BOOL, 0, "True", NULL},
    {SA_OPTION_BOOL, 0, "1", NULL}, {SA_OPTION_BOOL, 0, "", NULL},
    {SA_OPTION_INT, 0, "0", "0"}, {SA_OPTION_INT, 0, "42", "42"},
    {SA_OPTION_INT, 0, "-7", "-7"}, {SA_OPTION_INT, 0, "9223372036854775807",
                                     "9223372036854775807"},
    {SA_OPTION_INT, 0, "9223372036854775808", NULL}, {SA_OPTION_INT, 0, "007", NULL},
    {SA_OPTION_INT, 0, "1.5", NULL}, {SA_OPTION_INT, 0, "0x10", NULL},
    {SA_OPTION_INT, 0, "1_000", NULL}, {SA_OPTION_INT, 0, " 1", NULL},
    {SA_OPTION_INT, 0, "+1", NULL}, {SA_OPTION_INT, 0, "-", NULL},
    {SA_OPTION_INT, 0, "1e3", NULL}, {SA_OPTION_INT, 0, "", NULL},
    {SA_OPTION_DURATION, 0, "1m30s", "1m30s"}, {SA_OPTION_DURATION, 0, "90s", "1m30s"},
    {SA_OPTION_DURATION, 0, "500ms", "500ms"}, {SA_OPTION_DURATION, 0, "30", NULL},
    {SA_OPTION_DURATION, 0, "-1s", NULL}, {SA_OPTION_DURATION, 0, "1 m", NULL},
    {SA_OPTION_DURATION, 0, "", NULL},
    {SA_OPTION_SIZE, 0, "0", "0"}, {SA_OPTION_SIZE, 0, "1000", "1000"},
    {SA_OPTION_SIZE, 0, "1024", "1KB"}, {SA_OPTION_SIZE, 0, "64KB", "64KB"},
    {SA_OPTION_SIZE, 0, "256MB", "256MB"}, {SA_OPTION_SIZE, 0, "1024MB", "1GB"},
    {SA_OPTION_SIZE, 0, "3GiB", "3GB"}, {SA_OPTION_SIZE, 0, "12XB", NULL},
    {SA_OPTION_SIZE, 0, "12mb", NULL}, {SA_OPTION_SIZE, 0, "-1KB", NULL},
    {SA_OPTION_SIZE, 0, "1.5GB", NULL}, {SA_OPTION_SIZE, 0, "8589934592GB", NULL},
    {SA_OPTION_SIZE, 0, "KB", NULL},
    {SA_OPTION_STR, SA_SHAPE_ANY, "h\xc3\xa9llo w", "h\xc3\xa9llo w"},
    {SA_OPTION_STR, SA_SHAPE_ANY, "a\x1b[31m", NULL}, {SA_OPTION_STR, SA_SHAPE_ANY, "a\nb", NULL},
    {SA_OPTION_STR, SA_SHAPE_TOKEN, "a-B_9", "a-B_9"}, {SA_OPTION_STR, SA_SHAPE_TOKEN, "a.b", NULL},
    {SA_OPTION_STR, SA_SHAPE_TOKEN, "a b", NULL}, {SA_OPTION_STR, SA_SHAPE_TOKEN, "*", NULL},
    {SA_OPTION_STR, SA_SHAPE_TOKEN, ">", NULL}, {SA_OPTION_STR, SA_SHAPE_TOKEN, "", NULL},
    {SA_OPTION_STR, SA_SHAPE_TOKEN, "h\xc3\xa9", NULL},
    {SA_OPTION_STR, SA_SHAPE_SUBJECT, "a.b.c", "a.b.c"},
    {SA_OPTION_STR, SA_SHAPE_SUBJECT, "a..b", NULL}, {SA_OPTION_STR, SA_SHAPE_SUBJECT, ".a", NULL},
    {SA_OPTION_STR, SA_SHAPE_SUBJECT, "a.", NULL}, {SA_OPTION_STR, SA_SHAPE_SUBJECT, "a.*", NULL},
    {SA_OPTION_STR, SA_SHAPE_SUBJECT, "$JS.API", NULL},
    {SA_OPTION_STR, SA_SHAPE_PATH, "/a/b", "/a/b"}, {SA_OPTION_STR, SA_SHAPE_PATH, "a/b", NULL},
    {SA_OPTION_STR, SA_SHAPE_PATH, "~/a", NULL},
    {SA_OPTION_STR, SA_SHAPE_LABEL, "site_1", "site_1"},
    {SA_OPTION_STR, SA_SHAPE_LABEL, "__name__", NULL}, {SA_OPTION_STR, SA_SHAPE_LABEL, "1a", NULL},
    {SA_OPTION_STR, SA_SHAPE_LABEL, "a-b", NULL},
    {SA_OPTION_STR, SA_SHAPE_PREFIX, "_INBOX.", "_INBOX."},
    {SA_OPTION_STR, SA_SHAPE_SERVICE, "php8.2-fpm", "php8.2-fpm"},
    {SA_OPTION_STR, SA_SHAPE_SERVICE, "getty@tty1.service", "getty@tty1.service"},
    {SA_OPTION_STR, SA_SHAPE_SERVICE, "dev-disk\\x2d1.device", "dev-disk\\x2d1.device"},
    {SA_OPTION_STR, SA_SHAPE_SERVICE, "getty@", NULL},
    {SA_OPTION_STR, SA_SHAPE_SERVICE, "ssh*", NULL},
    {SA_OPTION_STR, SA_SHAPE_SERVICE, "getty@.service", NULL},
    {SA_OPTION_STR, SA_SHAPE_SERVICE, "a/b", NULL}, {SA_OPTION_STR, SA_SHAPE_SERVICE, ".a", NULL},
    {SA_OPTION_STR, SA_SHAPE_SERVICE, "a b", NULL}, {SA_OPTION_STR, SA_SHAPE_SERVICE, "@a", NULL},
    {SA_OPTION_STR, SA_SHAPE_PREFIX, "_INBOX_x", "_INBOX_x"},
    {SA_OPTION_STR, SA_SHAPE_PREFIX, "$JS.API.", NULL}, {SA_OPTION_STR, SA_SHAPE_PREFIX, ">", NULL},
    {SA_OPTION_STR, SA_SHAPE_PREFIX, ".", NULL}, {SA_OPTION_STR, SA_SHAPE_PREFIX, "a..", NULL},
    {SA_OPTION_STR, SA_SHAPE_HTTP_URL, "http://127.0.0.1:9100/metrics?a=b",
     "http://127.0.0.1:9100/metrics?a=b"},
    {SA_OPTION_STR, SA_SHAPE_HTTP_URL, "https://[::1]/m", "https://[::1]/m"},
    {SA_OPTION_STR, SA_SHAPE_HTTP_URL, "file:///etc/passwd", NULL},
    {SA_OPTION_STR, SA_SHAPE_HTTP_URL, "http://", NULL},
    {SA_OPTION_STR, SA_SHAPE_HTTP_URL, "http://u:p@h/", NULL},
    {SA_OPTION_STR, SA_SHAPE_HTTP_URL, "http://h/a b", NULL},
    {SA_OPTION_STR, SA_SHAPE_HTTP_URL, "http://h:0/", NULL},
    {SA_OPTION_STR, SA_SHAPE_HTTP_URL, "http://h:65536/", NULL},
    {SA_OPTION_STR, SA_SHAPE_HTTP_URL, "http://h:99999999999999999999/", NULL},
    {SA_OPTION_STR, SA_SHAPE_HTTP_URL, "http://h/@me", "http://h/@me"},
    {SA_OPTION_STR, SA_SHAPE_BUS_URL, "nats://h", "nats://h"},
    {SA_OPTION_STR, SA_SHAPE_BUS_URL, "nats://h:4222/", "nats://h:4222/"},
    {SA_OPTION_STR, SA_SHAPE_BUS_URL, "tls://[fe80::1]:4222", "tls://[fe80::1]:4222"},
    {SA_OPTION_STR, SA_SHAPE_BUS_URL, "wss://h:9222/nats", "wss://h:9222/nats"},
    {SA_OPTION_STR, SA_SHAPE_BUS_URL, "nats://h/nats", NULL},
    {SA_OPTION_STR, SA_SHAPE_BUS_URL, "h:4222", NULL},
    {SA_OPTION_STR, SA_SHAPE_BUS_URL, "nats://h:x", NULL},
    {SA_OPTION_STR, SA_SHAPE_BUS_URL, "nats://a,nats://b", NULL},
    {SA_OPTION_STR, SA_SHAPE_BUS_URL, "nats://[]:1", NULL},
    {SA_OPTION_STR, SA_SHAPE_BUS_URL, "nats://[::1", NULL},
    {SA_OPTION_STR, SA_SHAPE_BUS_URL, "nats://token@h", NULL},
    {SA_OPTION_LIST, SA_SHAPE_ANY, "a,b", "[\"a\", \"b\"]"},
    {SA_OPTION_LIST, SA_SHAPE_ANY, "", "[]"}, {SA_OPTION_LIST, SA_SHAPE_ANY, "a,,b", NULL},
    {SA_OPTION_LIST, SA_SHAPE_ANY, "a\"\\", "[\"a\\\"\\\\\"]"},
    {SA_OPTION_MAP, SA_SHAPE_LABEL, "a=1,b=x=y", "{a: \"1\", b: \"x=y\"}"},
    {SA_OPTION_MAP, SA_SHAPE_LABEL, "", "{}"}, {SA_OPTION_MAP, SA_SHAPE_LABEL, "a", NULL},
    {SA_OPTION_MAP, SA_SHAPE_LABEL, "a=", NULL}, {SA_OPTION_MAP, SA_SHAPE_LABEL, "a-b=1", NULL},
};

SA_TEST(values_are_read_and_printed)
{
    for (size_t i = 0; i < sizeof(value_cases) / sizeof(value_cases[0]); i++) {
        sa_option_t row = {.path = "x", .type = value_cases[i].type, .shape = value_cases[i].shape};
        sa_config__value_t value;
        const char *must = sa_config__parse(&value, &row, value_cases[i].text, pool);

        ck_assert_msg(!must == (value_cases[i].printed != NULL), "%s: %s", value_cases[i].text,
                      must);
        if (!must) {
            ck_assert_str_eq(sa_config__print(&value, &row, pool), value_cases[i].printed);
        } else {
            ck_assert_msg(strncmp(must, "must ", 5) == 0 || strncmp(must, "has a value", 11) == 0,
                          "%s", must);
        }
    }
}

SA_TEST(what_is_printed_can_be_read_again)
{
    for (int i = 0; row_at(i); i++) {
        const sa_option_t *row = row_at(i);
        sa_config__value_t value;
        sa_config__value_t again;
        const char *printed;

        if (!row->def || row->def[0] == '@' || row->type == SA_OPTION_LIST
            || row->type == SA_OPTION_MAP) {
            continue;
        }
        ck_assert_ptr_null(sa_config__parse(&value, row, row->def, pool));
        printed = sa_config__print(&value, row, pool);
        ck_assert_msg(!sa_config__parse(&again, row, printed, pool), "%s", row->path);
        ck_assert_str_eq(sa_config__print(&again, row, pool), printed);
    }
}

SA_TEST(lengths_and_counts_are_limited)
{
    sa_option_t text = {.path = "x", .type = SA_OPTION_STR, .max = "4"};
    sa_option_t list = {.path = "x", .type = SA_OPTION_LIST, .max = "2"};
    sa_option_t any = {.path = "x", .type = SA_OPTION_STR};
    char *long_text = apr_palloc(pool, SA_CONFIG__STRING_BYTES + 2);
    sa_config__value_t value;

    memset(long_text, 'a', SA_CONFIG__STRING_BYTES + 1);
    long_text[SA_CONFIG__STRING_BYTES + 1] = '\0';
    ck_assert_ptr_null(sa_config__parse(&value, &text, "abcd", pool));
    ck_assert_str_eq(sa_config__parse(&value, &text, "abcde", pool), "must be at most 4 bytes");
    ck_assert_ptr_null(sa_config__parse(&value, &list, "a,b", pool));
    ck_assert_str_eq(sa_config__parse(&value, &list, "a,b,c", pool),
                     "is one too many; at most 2 are allowed");
    ck_assert_str_eq(sa_config__parse(&value, &any, long_text, pool), "must be at most 4096 bytes");
    ck_assert_ptr_null(sa_config__parse(&value, &any, long_text + 1, pool));
}

SA_TEST(the_nearest_path_is_found)
{
    static const struct {
        const char *wanted;
        const char *nearest;
    } cases[] = {
        {"tasks.heartbeet.interval", "tasks.heartbeat.interval"}, {"cod", "code"},
        {"nats.url", "nats.urls"}, {"nats.auth.token_fil", "nats.auth.token_file"},
        {"task.exporters", "tasks.exporters"}, {"loging.level", "logging.level"},
        {"tasks.inventroy.enabled", "tasks.inventory.enabled"}, {"something.else.altogether", NULL},
        {"x", NULL},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *nearest = sa_config__nearest(&sa_config__main, cases[i].wanted, pool);

        if (cases[i].nearest) {
            ck_assert_msg(nearest != NULL, "%s", cases[i].wanted);
            ck_assert_str_eq(nearest, cases[i].nearest);
        } else {
            ck_assert_msg(nearest == NULL, "%s: %s", cases[i].wanted, nearest);
        }
    }
}

SA_TEST(quoted_values_are_short_printable_and_without_passwords)
{
    sa_option_t url = {.type = SA_OPTION_STR, .shape = SA_SHAPE_BUS_URL};
    char long_text[200];

    ck_assert_str_eq(sa_config__quote(&url, "nats://u:secret@h:1", pool), "nats://***@h:1");
    ck_assert_str_eq(sa_config__quote(&url, "u:sec@ret@h", pool), "***@h");
    ck_assert_str_eq(sa_config__quote(NULL, "a\x1b\nb", pool), "a??b");
    memset(long_text, 'a', sizeof(long_text));
    memcpy(long_text + 79, "\xc3\xa9", 2);
    long_text[sizeof(long_text) - 1] = '\0';
    ck_assert_int_eq((int)strlen(sa_config__quote(NULL, long_text, pool)), 79 + 3);
}

SA_TEST_MAIN("config_table", each_row_has_doc_and_since,
             each_reload_row_names_its_room_and_no_other_does, every_default_passes_its_own_check,
             every_default_that_is_a_path_passes_when_filled_in,
             every_row_has_a_default_or_is_required_or_a_secret, every_example_passes_its_check,
             every_range_is_one, paths_and_aliases_are_unique, the_words_of_choices_are_the_enums,
             the_conditions_of_required_if_name_real_options_and_words,
             values_are_read_and_printed, what_is_printed_can_be_read_again,
             lengths_and_counts_are_limited, the_nearest_path_is_found,
             quoted_values_are_short_printable_and_without_passwords)
