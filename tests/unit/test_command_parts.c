/* command: what a program wrote, cut and quoted; and base: what is JSON by the letter. */
#include "test_command_fixture.h"

#include <apr_encode.h>
#include <apr_strings.h>

#include "../../src/command/sa_command_output.h"
#include "sa_text.h"
#include "sa_time.h"

/* ---- JSON by the letter --------------------------------------------------------------- */

SA_TEST(only_json_by_the_letter_is_json)
{
    static const struct { const char *text; const char *compact; } cases[] = {
        {"42", "42"}, {" -0.5e+10\n", "-0.5e+10"}, {"null", "null"}, {"\"a b\"", "\"a b\""},
        {"[ 1 , [ ] , { } ]", "[1,[],{}]"},
        {"{ \"a\" : { \"b\" : true } }", "{\"a\":{\"b\":true}}"},
        {"\"\\u00e9\\n\\\\\"", "\"\\u00e9\\n\\\\\""}, {"1e400", "1e400"},
        {"12345678901234567890", "12345678901234567890"}, {"\"\xe2\x80\xa8\"", "\"\xe2\x80\xa8\""},
        {"", NULL}, {" ", NULL}, {"01", NULL}, {"+1", NULL}, {"1.", NULL}, {".5", NULL},
        {"1e", NULL}, {"-", NULL}, {"1 2", NULL}, {"[1,]", NULL}, {"[,1]", NULL}, {"[1", NULL},
        {"]", NULL}, {"[1}", NULL}, {"{\"a\"}", NULL}, {"{\"a\":}", NULL}, {"{\"a\":1,}", NULL},
        {"{a:1}", NULL}, {"{1:2}", NULL}, {"'a'", NULL}, {"\"a", NULL}, {"\"\\x\"", NULL},
        {"\"\\u12g4\"", NULL}, {"\"\\u12", NULL}, {"\"\t\"", NULL}, {"\"\xff\"", NULL},
        {"nul", NULL}, {"nullx", NULL}, {"True", NULL}, {"NaN", NULL}, {"1,\"a\":2", NULL},
        {"[1]]", NULL}, {"{\"a\":1}{", NULL}, {"[1:2]", NULL}, {"{\"a\":1:2}", NULL},
        {"// c\n1", NULL}, {"\xef\xbb\xbf" "1", NULL},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t length = 0;
        const char *compact = sa_json_compact(&length, cases[i].text, strlen(cases[i].text), 100,
                                              pool);

        ck_assert_msg(!compact == !cases[i].compact, "<%s>", cases[i].text);
        if (compact) {
            ck_assert_str_eq(compact, cases[i].compact);
            ck_assert_int_eq(length, strlen(compact));
        }
    }
}

SA_TEST(what_is_nested_too_deep_or_holds_a_nul_is_no_json)
{
    char text[300];
    size_t length;

    memset(text, '[', 100);
    memset(text + 100, ']', 100);
    ck_assert_ptr_nonnull(sa_json_compact(&length, text, 200, 100, pool));
    ck_assert_ptr_null(sa_json_compact(&length, text, 200, 99, pool));
    ck_assert_ptr_null(sa_json_compact(&length, "1\0", 2, 100, pool));
    ck_assert_ptr_null(sa_json_compact(&length, "\"\0\"", 3, 100, pool));
    ck_assert_ptr_null(sa_json_compact(&length, "\"\\\0\"", 4, 100, pool));
}

SA_TEST(the_beginning_of_a_character_is_told_from_what_is_none)
{
    static const char *const yes[] = {"\xc3", "\xe2", "\xe2\x80", "\xe0", "\xe0\xa0", "\xed",
                                      "\xed\x9f", "\xf0", "\xf0\x9f", "\xf0\x9f\x98", "\xf4\x8f"};
    static const char *const no[] = {"", "a", "\x80", "\xc3\xa9", "\xc0", "\xe0\x80", "\xed\xa0",
                                     "\xf4\x90", "\xf5", "\xff", "\xe2\x41", "\xc3\xa9\xc3"};

    (void)pool;
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        ck_assert_msg(sa_text_is_beginning(yes[i], strlen(yes[i])), "%d", (int)i);
    }
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        ck_assert_msg(!sa_text_is_beginning(no[i], strlen(no[i])), "%d", (int)i);
    }
}

/* ---- output ----------------------------------------------------------------------------- */

/* What a reply says of OUT and ERROR, written in pieces of PIECE bytes. */
static cJSON *tell(apr_int64_t limit, size_t room, const char *out, const char *error,
                   size_t piece, apr_pool_t *pool)
{
    sa_command__output_t *output = sa_command__output_create(limit, room, pool);
    cJSON *reply = sa_json_object(pool);
    cJSON *parsed;
    const char *text;
    size_t length;

    for (size_t at = 0; at < strlen(out); at += piece) {
        size_t left = strlen(out) - at;

        sa_command__output_add(output, false, out + at, left < piece ? left : piece);
    }
    sa_command__output_add(output, true, error, strlen(error));
    sa_command__output_tell(output, reply, room, pool);
    text = sa_json_print(reply, &length, pool);
    ck_assert_int_le(length, room + 16);
    SA_ASSERT_OK(sa_json_parse(&parsed, text, length, pool));
    return parsed;
}

SA_TEST(the_end_of_the_output_is_kept_cut_at_a_character)
{
    /* 40 characters of 2 bytes: the room of 100 takes 100 - 64 - 2 = 34 bytes */
    char text[81];
    cJSON *json;

    for (int i = 0; i < 40; i++) {
        memcpy(text + 2 * i, "\xc3\xa9", 3);
    }
    for (size_t piece = 1; piece < 20; piece++) {
        json = tell(1000, 100, text, "", piece, pool);
        ck_assert_str_eq(sa_json_text(json, "output"), text + 80 - 34);
        ck_assert_int_eq(cJSON_GetObjectItem(json, "omitted_bytes")->valueint, 46);
    }
    json = tell(1000, 101, text, "", 7, pool);
    ck_assert_str_eq(sa_json_text(json, "output"), text + 80 - 34);
    json = tell(1000, 160, text, "", 7, pool);
    ck_assert(!cJSON_HasObjectItem(json, "truncated"));
}

SA_TEST(what_is_longer_in_json_counts_as_long_as_it_is_there)
{
    cJSON *json = tell(1000, 100, "aaaaaaaaaa\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\x01\x02", "", 3,
                       pool);

    /* 34 bytes: two of six, eleven quotes of two */
    ck_assert_str_eq(sa_json_text(json, "output"), "\"\"\"\"\"\"\"\"\"\"\"\x01\x02");
    ck_assert_int_eq(cJSON_GetObjectItem(json, "omitted_bytes")->valueint, 15);
}

SA_TEST(standard_error_comes_behind_and_outlives_standard_output)
{
    char error[201];
    cJSON *json = tell(1000, 200, "out", "err", 9, pool);

    ck_assert_str_eq(sa_json_text(json, "output"), "out\nSTDERR:\nerr");
    json = tell(1000, 200, "", "err", 9, pool);
    ck_assert_str_eq(sa_json_text(json, "output"), "STDERR:\nerr");
    memset(error, 'e', 200);
    error[200] = '\0';
    json = tell(1000, 150, "out", error, 9, pool);
    ck_assert_str_eq(sa_json_text(json, "output"), error + 200 - 84);
    ck_assert_int_eq(cJSON_GetObjectItem(json, "omitted_bytes")->valueint, 3 + 200 - 84);
}

SA_TEST(each_stream_has_its_own_limit_and_its_own_note)
{
    cJSON *json = tell(4, 300, "123456", "abcdef", 1, pool);

    ck_assert_str_eq(sa_json_text(json, "output"),
                     "1234\n[output truncated: exceeded 4 bytes limit]\nSTDERR:\n"
                     "abcd\n[output truncated: exceeded 4 bytes limit]");
    ck_assert_int_eq(cJSON_GetObjectItem(json, "omitted_bytes")->valueint, 4);
    ck_assert_str_eq(sa_command__output_note(10 * 1024 * 1024, pool),
                     "\n[output truncated: exceeded 10MB limit]");
}

SA_TEST(json_that_was_cut_is_text)
{
    cJSON *json = tell(3, 300, "12345", "", 1, pool);

    ck_assert(cJSON_IsString(cJSON_GetObjectItem(json, "output")));
    /* what is left of it is a number */
    json = tell(1000, 100, apr_psprintf(pool, "[2,%150s1", ""), "", 1, pool);
    ck_assert(cJSON_IsString(cJSON_GetObjectItem(json, "output")));
    json = tell(1000, 300, "[1, 2]", "", 2, pool);
    ck_assert(cJSON_IsArray(cJSON_GetObjectItem(json, "output")));
    json = tell(1000, 300, "[1, 2]", "warning", 2, pool);
    ck_assert(cJSON_IsString(cJSON_GetObjectItem(json, "output")));
}

/* ---- streams ----------------------------------------------------------------------------- */

/* What emit() is given, and in which pieces, is the request's to say. */
static sa_error_t *emit_pieces(sa_call_t *call)
{
    const cJSON *piece;

    cJSON_ArrayForEach(piece, cJSON_GetObjectItem(call->request, "pieces")) {
        char bytes[1024];
        apr_size_t length = 0;

        apr_decode_base16_binary((unsigned char *)bytes, piece->valuestring, APR_ENCODE_STRING,
                                 APR_ENCODE_NONE, &length);
        SA_TRY(sa_command__emit(call, "stdout", bytes, length));
    }
    cJSON_AddStringToObject(call->reply, "status", "success");
    return SA_OK;
}

/* More than a slice, of characters of three bytes. */
static sa_error_t *emit_much(sa_call_t *call)
{
    char *text = apr_palloc(call->pool, 300000);

    for (int i = 0; i < 100000; i++) {
        memcpy(text + 3 * i, "\xe2\x82\xac", 3);
    }
    SA_TRY(sa_command__emit(call, "stdout", text, 300000));
    cJSON_AddStringToObject(call->reply, "status", "success");
    return SA_OK;
}

static const sa_command_row_t rows[] = {
    {.name = "emit", .run = emit_pieces, .flags = SA_COMMAND_STREAMS, .doc = ""},
    {.name = "much", .run = emit_much, .flags = SA_COMMAND_STREAMS, .doc = ""},
};

/* "one|two|=AAA=": the data of all messages, bytes between = signs. */
static const char *collect(counter_t *counter, apr_pool_t *pool)
{
    const char *all = "";
    cJSON *json = counter_take(counter->client);
    int seq = 0;

    while (strcmp(sa_json_text(json, "status"), "running") == 0) {
        const char *text = sa_json_text(json, "data");

        ck_assert_int_eq(cJSON_GetObjectItem(json, "seq")->valueint, ++seq);
        text = text ? text : apr_pstrcat(pool, "=", sa_json_text(json, "data_base64"), "=", NULL);
        all = apr_pstrcat(pool, all, *all ? "|" : "", text, NULL);
        json = counter_take(counter->client);
    }
    ck_assert_int_eq(cJSON_GetObjectItem(json, "seq")->valueint, seq);
    ck_assert_ptr_null(counter_take(counter->client));
    return all;
}

SA_TEST(a_character_in_two_pieces_arrives_whole_and_bytes_as_base64)
{
    static const struct { const char *pieces; const char *data; } cases[] = {
        {"\"6162\",\"63\"", "ab|c"},
        {"\"61c3\",\"a962\"", "a|\xc3\xa9|b"},
        {"\"f0\",\"9f\",\"98\",\"80\"", "\xf0\x9f\x98\x80"},
        {"\"61e2\",\"8041\"", "a|=4oBB="},
        {"\"61ff62\"", "=Yf9i="},
        {"\"61\",\"00\"", "a|=AA==="},
        {"\"61e282\"", "a|=4oI=="},
        {"\"1b5b33316d22\"", "\x1b[31m\""},
        {"\"\"", ""},
    };
    counter_t *counter = counter_open("", rows, 2, pool);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *body = apr_psprintf(pool, "{\"stream\":true,\"pieces\":[%s]}", cases[i].pieces);

        counter_ask(counter->client, "agents.t1.cmd.emit", NULL, body, strlen(body));
        ck_assert_str_eq(collect(counter, pool), cases[i].data);
    }
    counter_close(counter);
}

SA_TEST(what_is_too_much_for_one_message_is_cut_at_characters)
{
    counter_t *counter = counter_open("", rows, 2, pool);
    size_t length = 0;
    cJSON *json;

    counter_ask(counter->client, "agents.t1.cmd.much", NULL, "{\"stream\":true}", 15);
    json = counter_take(counter->client);
    while (sa_json_text(json, "data")) {
        ck_assert_int_eq(strlen(sa_json_text(json, "data")) % 3, 0);
        length += strlen(sa_json_text(json, "data"));
        json = counter_take(counter->client);
    }
    ck_assert_int_eq(length, 300000);
    counter_close(counter);
}

SA_TEST_MAIN("command_parts", only_json_by_the_letter_is_json,
             what_is_nested_too_deep_or_holds_a_nul_is_no_json,
             the_beginning_of_a_character_is_told_from_what_is_none,
             the_end_of_the_output_is_kept_cut_at_a_character,
             what_is_longer_in_json_counts_as_long_as_it_is_there,
             standard_error_comes_behind_and_outlives_standard_output,
             each_stream_has_its_own_limit_and_its_own_note, json_that_was_cut_is_text,
             a_character_in_two_pieces_arrives_whole_and_bytes_as_base64,
             what_is_too_much_for_one_message_is_cut_at_characters)
