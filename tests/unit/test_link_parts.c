/* The link's parts that need no server. */
#include "sa_test.h"

#include <apr_strings.h>

#include "../../src/link/sa_link_private.h"

SA_TEST(a_url_is_read_into_its_parts)
{
    static const struct {
        const char *text;
        bool tls;
        const char *host;
        int port;
        const char *user;
        const char *password;
        const char *shown;
    } rows[] = {
        { "nats://h", false, "h", 4222, NULL, NULL, "nats://h:4222" },
        { "nats://h:1", false, "h", 1, NULL, NULL, "nats://h:1" },
        { "TLS://h.example:65535/", true, "h.example", 65535, NULL, NULL,
          "tls://h.example:65535" },
        { "nats://[::1]:4223", false, "::1", 4223, NULL, NULL, "nats://[::1]:4223" },
        { "nats://[::1]", false, "::1", 4222, NULL, NULL, "nats://[::1]:4222" },
        { "nats://u:p@h:5", false, "h", 5, "u", "p", "nats://h:5" },
        { "nats://u%40x:p%2f%3a@h", false, "h", 4222, "u@x", "p/:", "nats://h:4222" },
        { "nats://a@b:p@h", false, "h", 4222, "a@b", "p", "nats://h:4222" },
        { "nats://token@h", false, "h", 4222, "token", NULL, "nats://h:4222" },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_link_url_t url;

        SA_ASSERT_OK(sa_link_url_read(&url, rows[i].text, pool));
        ck_assert_int_eq(url.tls, rows[i].tls);
        ck_assert_str_eq(url.host, rows[i].host);
        ck_assert_int_eq(url.port, rows[i].port);
        ck_assert_pstr_eq(url.user, rows[i].user);
        ck_assert_pstr_eq(url.password, rows[i].password);
        ck_assert_str_eq(url.text, rows[i].shown);
    }
}

SA_TEST(what_is_no_url_is_refused_and_the_refusal_holds_no_password)
{
    static const char *const rows[] = {
        "", "nats", "nats://", "http://h", "nats://h:0", "nats://h:65536", "nats://h:x",
        "nats://:4222", "nats://[::1", "nats://[]:1", "nats://u:hidden@", "nats://u:hid%zzden@h",
        "nats://u:hid%00den@h", "nats://hid den@h h", "nats://h\r\nPUB", "nats://h:123456",
        "nats://h:-1", "nats://h:1:2", "nats://[::1]x", "ws://h/a b", "ws://h/\r\nX: hidden",
        "wss://", "wss:///nats", "ws://u:hidden@/x",
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_link_url_t url;
        sa_error_t *err = sa_link_url_read(&url, rows[i], pool);
        char text[256];

        ck_assert_msg(err != NULL, "\"%s\" was taken", rows[i]);
        ck_assert_ptr_null(strstr(sa_error_text(err, text, sizeof(text)), "hid"));
        sa_error_clear(err);
    }
}

SA_TEST(a_websocket_url_has_a_path_and_ports_of_its_own)
{
    static const struct {
        const char *text;
        bool tls;
        int port;
        const char *path;
        const char *shown;
    } rows[] = {
        { "ws://h", false, 80, "/", "ws://h:80" },
        { "wss://h", true, 443, "/", "wss://h:443" },
        { "WSS://h:9222/", true, 9222, "/", "wss://h:9222" },
        { "wss://h/nats/x?token=hidden#part", true, 443, "/nats/x?token=hidden",
          "wss://h:443/nats/x" },
        { "ws://[::1]:8080/a@b:c", false, 8080, "/a@b:c", "ws://[::1]:8080/a@b:c" },
        { "ws://h?a=b", false, 80, "/?a=b", "ws://h:80" },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_link_url_t url;

        SA_ASSERT_OK(sa_link_url_read(&url, rows[i].text, pool));
        ck_assert(url.ws);
        ck_assert_int_eq(url.tls, rows[i].tls);
        ck_assert_int_eq(url.port, rows[i].port);
        ck_assert_str_eq(url.path, rows[i].path);
        ck_assert_str_eq(url.text, rows[i].shown);
    }
}

/* The pair in the NATS documentation. */
#define SEED "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
#define PUBLIC "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"

SA_TEST(the_public_key_of_a_seed_is_found)
{
    char key[SA_LINK_NKEY + 1];

    (void)pool;
    SA_ASSERT_OK(sa_link__nkey_public(key, SEED));
    ck_assert_str_eq(key, PUBLIC);
}

SA_TEST(a_seed_that_is_none_is_refused)
{
    static const char *const rows[] = {
        "", "SU", PUBLIC,
        "SAACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY",
        "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3V0",
        "suacssl3uahudxkfsnvuzrf5uhpmwz6bfdtj7m6usdxiednppqyyycu3vy",
        "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VYA",
        "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3AA",
        "SUADSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY",
    };
    char key[SA_LINK_NKEY + 1];

    (void)pool;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        SA_ASSERT_ERR(sa_link__nkey_public(key, rows[i]), SA_ERR_FILE_CONTENT);
    }
}

SA_TEST(the_blocks_of_a_creds_file_are_found_in_order)
{
    static const char text[] =
        "-----BEGIN NATS USER JWT-----\r\neyJ.a.b\r\n------END NATS USER JWT------\r\n\n"
        "************************* IMPORTANT *************************\n"
        "  -----BEGIN USER NKEY SEED-----\n  SUABC  \n------END USER NKEY SEED------\n"
        "-----BEGIN OTHER-----\nxx\n-----END OTHER-----\n";

    ck_assert_str_eq(sa_link__creds_block(text, 0, pool), "eyJ.a.b");
    ck_assert_str_eq(sa_link__creds_block(text, 1, pool), "SUABC");
    ck_assert_str_eq(sa_link__creds_block(text, 2, pool), "xx");
    ck_assert_ptr_null(sa_link__creds_block(text, 3, pool));
    ck_assert_ptr_null(sa_link__creds_block("", 0, pool));
    ck_assert_ptr_null(sa_link__creds_block("-----BEGIN X-----", 0, pool));
    ck_assert_ptr_null(sa_link__creds_block("-----BEGIN X-----\n-----END X-----\n", 0, pool));
    ck_assert_ptr_null(sa_link__creds_block("just text\nmore\n", 0, pool));
}

SA_TEST(the_info_line_is_read_and_its_limits_made_sane)
{
    static const struct {
        const char *text;
        bool ok;
        apr_int64_t max_payload;
        bool tls;
    } rows[] = {
        { "INFO {\"max_payload\":1048576}\r", true, 1048576, false },
        { "INFO {\"max_payload\":4096,\"tls_required\":true} \r", true, 4096, true },
        { "INFO {\"max_payload\":9223372036854775808}", true, 1048576, false },
        { "INFO {\"max_payload\":67108864}", true, 1048576, false },
        { "INFO {\"max_payload\":0}", false, 0, false },
        { "INFO {\"max_payload\":-1}", false, 0, false },
        { "INFO {\"max_payload\":\"9\"}", false, 0, false },
        { "INFO {}", false, 0, false },
        { "INFO [1]", false, 0, false },
        { "INFO {\"max_payload\":1", false, 0, false },
        { "HTTP/1.1 400 Bad Request\r", false, 0, false },
        { "INFO", false, 0, false },
        { "", false, 0, false },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_link__info_t info;
        sa_error_t *err = sa_link__info_parse(&info, rows[i].text, strlen(rows[i].text), pool);

        ck_assert_msg((err == NULL) == rows[i].ok, "%s", rows[i].text);
        if (!err) {
            ck_assert_int_eq(info.max_payload, rows[i].max_payload);
            ck_assert_int_eq(info.tls_required, rows[i].tls);
        }
        sa_error_clear(err);
    }
}

SA_TEST(each_refusal_of_a_server_has_an_event_of_its_own)
{
    static const struct {
        natsStatus status;
        const char *text;
        sa_event_t event;
    } rows[] = {
        { NATS_CONNECTION_AUTH_FAILED, "Authorization Violation", SA_EVENT_link_auth_refused },
        { NATS_ERR, "Authentication Timeout", SA_EVENT_link_auth_timeout },
        { NATS_CONNECTION_AUTH_FAILED, "User Authentication Expired",
          SA_EVENT_link_auth_expired },
        { NATS_CONNECTION_AUTH_FAILED, "Account Authentication Expired",
          SA_EVENT_link_auth_expired },
        { NATS_ERR, "User Authentication Revoked", SA_EVENT_link_auth_revoked },
        { NATS_ERR, "maximum connections exceeded", SA_EVENT_link_connections_full },
        { NATS_ERR, "maximum account active connections exceeded",
          SA_EVENT_link_connections_full },
        { NATS_ERR, "maximum subscriptions exceeded", SA_EVENT_link_subscriptions_full },
        { NATS_ERR, "Maximum Payload Violation", SA_EVENT_link_payload_refused },
        { NATS_SECURE_CONNECTION_WANTED, NULL, SA_EVENT_link_tls_not_spoken },
        { NATS_SSL_ERROR, "SSL handshake error: wrong version number", SA_EVENT_link_tls_failed },
        { NATS_IO_ERROR, "SSL_read error: tlsv13 alert certificate required",
          SA_EVENT_link_tls_client_cert },
        { NATS_TIMEOUT, NULL, SA_EVENT_link_timeout },
        { NATS_STALE_CONNECTION, NULL, SA_EVENT_link_stale },
        { NATS_CONNECTION_CLOSED, "", SA_EVENT_link_lost },
        { NATS_PROTOCOL_ERROR, "Unexpected protocol", SA_EVENT_link_protocol },
        { NATS_ERR, "Some New Words", SA_EVENT_link_lost },
    };

    (void)pool;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_link__failure_t failure;

        sa_link__fail_status(&failure, rows[i].status, rows[i].text);
        ck_assert_msg(failure.event == rows[i].event, "%s: %s",
                      rows[i].text ? rows[i].text : "(status)", sa_event_row(failure.event)->id);
        ck_assert(failure.reason[0] != '\0');
    }
}

static int count_denials(sa_link_t *link)
{
    int count = 0;

    for (sa_link__denial_t *each = link->denials; each; each = each->next) {
        count++;
    }
    return count;
}

SA_TEST(a_denial_is_noted_once_and_the_list_has_an_end)
{
    sa_link_t *link;

    SA_ASSERT_OK(sa_link_create(&link, pool));
    ck_assert(sa_link__note_denial(link, "Permissions Violation for Publish to \"a.b\""));
    ck_assert(!sa_link__note_denial(link, "Permissions Violation for Publish to \"a.b\""));
    ck_assert(sa_link__note_denial(link, "Permissions Violation for Subscription to \"a.b\""));
    ck_assert(sa_link__note_denial(link, "Permissions Violation for Publish to \"_INBOX.x.1\""));
    ck_assert(!sa_link__note_denial(link, "Permissions Violation for Publish to \"_INBOX.y.2\""));
    ck_assert(sa_link__note_denial(link, "Permissions Violation"));
    ck_assert(sa_link__note_denial(link, "Permissions Violation for Publish to \"cut o"));
    for (int i = 0; i < 200; i++) {
        sa_link__note_denial(link, apr_psprintf(pool, "Permissions Violation for Publish to "
                                                "\"n.%d\"", i));
    }
    ck_assert_int_eq(count_denials(link), SA_LINK_DENIALS);
    sa_link__forget_denials(link);
    ck_assert_int_eq(count_denials(link), 0);
    sa_link_stop(link, 0);
}

SA_TEST(an_acknowledgement_is_read_and_anything_else_is_none)
{
    static const struct {
        const char *data;
        bool stored;
        bool duplicate;
        int code;
        const char *error;
    } rows[] = {
        { "{\"stream\":\"S\",\"seq\":1}", true, false, 0, "" },
        { "{\"stream\":\"S\",\"seq\":18446744073709551615,\"duplicate\":true}", true, true, 0,
          "" },
        { "{\"error\":{\"code\":503,\"err_code\":10077,\"description\":\"maximum bytes "
          "exceeded\"},\"stream\":\"S\",\"seq\":0}", false, false, 10077,
          "maximum bytes exceeded" },
        { "{\"error\":{\"code\":400}}", false, false, 400,
          "JetStream refused it without a reason" },
        { "{\"error\":{\"err_code\":1e300,\"description\":7}}", false, false, 0,
          "JetStream refused it without a reason" },
        { "{\"stream\":\"S\"}", false, false, 0, "the answer is not an acknowledgement" },
        { "{\"stream\":\"\",\"seq\":1}", false, false, 0, "the answer is not an acknowledgement" },
        { "{\"stream\":\"S\",\"seq\":0}", false, false, 0,
          "the answer is not an acknowledgement" },
        { "[]", false, false, 0, "the answer is not an acknowledgement" },
        { "hello", false, false, 0, "the answer is not an acknowledgement" },
        { "", false, false, 0, "the answer is not an acknowledgement" },
    };

    (void)pool;
    SA_ASSERT_OK(sa_link_library_open());
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        natsMsg *msg;
        sa_link_ack_t ack;

        ck_assert_int_eq(natsMsg_Create(&msg, "s", NULL, rows[i].data, (int)strlen(rows[i].data)),
                         NATS_OK);
        sa_link_read_ack(&ack, (sa_link_message_t *)msg);
        ck_assert_msg(ack.stored == rows[i].stored, "%s", rows[i].data);
        ck_assert_int_eq(ack.duplicate, rows[i].duplicate);
        ck_assert_int_eq(ack.error_code, rows[i].code);
        ck_assert_str_eq(ack.error, rows[i].error);
        ck_assert(!ack.no_stream);
        natsMsg_Destroy(msg);
    }
    sa_link_library_close();
}

SA_TEST_MAIN("link parts", a_url_is_read_into_its_parts,
             what_is_no_url_is_refused_and_the_refusal_holds_no_password,
             a_websocket_url_has_a_path_and_ports_of_its_own, a_seed_that_is_none_is_refused,
             the_public_key_of_a_seed_is_found, the_blocks_of_a_creds_file_are_found_in_order,
             the_info_line_is_read_and_its_limits_made_sane,
             each_refusal_of_a_server_has_an_event_of_its_own,
             a_denial_is_noted_once_and_the_list_has_an_end,
             an_acknowledgement_is_read_and_anything_else_is_none)
