/* The link against servers that are none, or mean harm: it says so, stays
 * within bounds, and tries again. */
#define _POSIX_C_SOURCE 200809L
#include "test_link_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <apr_strings.h>

/* Says GREETING to whoever comes, PONG to each PING, and with the second PONG,
 * which makes the link up, AFTER. */
typedef struct fake_t {
    const char *greeting;
    const char *after;      /* NULL: closes after the greeting */
    int listener;
    int port;
    bool drip;              /* a byte at a time */
    bool early;             /* AFTER with the first PONG */
    int repeat;             /* of AFTER */
    sa_os_thread_t *thread;
} fake_t;

static void say(const fake_t *fake, int fd, const char *text)
{
    size_t length = strlen(text);
    size_t step = fake->drip ? 1 : length;

    for (size_t i = 0; i < length; i += step) {
        if (send(fd, text + i, step, MSG_NOSIGNAL) <= 0) {
            return;
        }
    }
}

static void serve(const fake_t *fake, int fd)
{
    struct timeval limit = { 20, 0 };
    char buffer[4096];
    int answered = 0;
    ssize_t got = 1;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    say(fake, fd, fake->greeting);
    while (fake->after && got > 0) {
        got = recv(fd, buffer, sizeof(buffer) - 1, 0);
        buffer[got > 0 ? got : 0] = '\0';
        if (!strstr(buffer, "PING\r\n")) {
            continue;
        }
        say(fake, fd, "PONG\r\n");
        for (int i = 0; i < fake->repeat && answered == (fake->early ? 0 : 1); i++) {
            say(fake, fd, fake->after);
        }
        answered++;
    }
}

static void accept_all(void *baton)
{
    fake_t *fake = baton;
    int fd = accept(fake->listener, NULL, NULL);

    while (fd >= 0) {
        serve(fake, fd);
        close(fd);
        fd = accept(fake->listener, NULL, NULL);
    }
}

static void fake_start(fake_t *fake, apr_pool_t *pool)
{
    struct sockaddr_in address;
    socklen_t length = sizeof(address);

    memset(&address, 0, sizeof(address));
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fake->listener = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fake->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(fake->listener, 8), 0);
    ck_assert_int_eq(getsockname(fake->listener, (struct sockaddr *)&address, &length), 0);
    fake->port = ntohs(address.sin_port);
    ck_assert_int_eq(sa_os_thread_start(&fake->thread, "fake", accept_all, fake, pool),
                     APR_SUCCESS);
}

static void fake_stop(fake_t *fake)
{
    shutdown(fake->listener, SHUT_RDWR);
    sa_os_thread_join(fake->thread);
    close(fake->listener);
}

/* Meet FAKE, see EVENT with TEXT, and see another attempt after it. */
static fixture_t *meet(fake_t *fake, const char *event, const char *text, apr_pool_t *pool)
{
    fixture_t *fixture = fixture_open(pool);

    fake->repeat = fake->repeat ? fake->repeat : 1;
    fake_start(fake, pool);
    fixture_subscribe(fixture, "a", false);
    fixture_start(fixture, fixture_config_for(fixture, apr_psprintf(
        pool, "nats://127.0.0.1:%d", fake->port), "  connect_timeout: 2s\n"));
    fixture_wait_log(fixture, event, text);
    return fixture;
}

static void part(fake_t *fake, fixture_t *fixture)
{
    fixture_close(fixture);
    fake_stop(fake);
}

static void expect_no_server(const char *greeting, const char *event, const char *text,
                             apr_pool_t *pool)
{
    fake_t fake = { .greeting = greeting };
    fixture_t *fixture = meet(&fake, event, text, pool);

    ck_assert_int_eq(fixture->ups, 0);
    part(&fake, fixture);
}

#define GOOD "INFO {\"server_id\":\"x\",\"version\":\"2.10.0\",\"headers\":true," \
    "\"max_payload\":1048576,\"proto\":1}\r\n"

SA_TEST(a_web_server_is_told_from_a_bus)
{
    expect_no_server("HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n", "link_captive_portal",
                     "HTTP/1.1 400 Bad Request", pool);
}

SA_TEST(a_server_that_closes_without_a_word_is_said)
{
    expect_no_server("", "link_lost", "before saying anything", pool);
}

SA_TEST(an_info_without_a_usable_max_payload_is_refused)
{
    expect_no_server("INFO {\"max_payload\":0}\r\n", "link_protocol", "max_payload", pool);
}

SA_TEST(an_info_that_is_no_json_is_refused)
{
    expect_no_server("INFO {\"max_payload\":\r\n", "link_protocol", "cannot be read", pool);
}

SA_TEST(an_endless_info_is_refused)
{
    char *text = apr_palloc(pool, 1024 * 1024 + 1);

    memset(text, 'x', 1024 * 1024);
    memcpy(text, "INFO {", 6);
    text[1024 * 1024] = '\0';
    expect_no_server(text, "link_protocol", "longer than", pool);
}

SA_TEST(an_info_of_a_hundred_thousand_servers_is_refused)
{
    char *text = apr_palloc(pool, 2 * 1024 * 1024);
    char *end = text + apr_snprintf(text, 100, "INFO {\"max_payload\":1024,\"connect_urls\":[");

    for (int i = 0; i < 100000; i++) {
        end += apr_snprintf(end, 20, "\"h:%d\",", i);
    }
    apr_cpystrn(end - 1, "]}\r\n", 5);
    expect_no_server(text, "link_protocol", "longer than", pool);
}

SA_TEST(an_info_that_comes_byte_by_byte_is_read)
{
    fake_t fake = { .greeting = GOOD, .after = "", .drip = true };

    part(&fake, meet(&fake, "link_up", "127.0.0.1", pool));
}

SA_TEST(an_absurd_max_payload_is_capped)
{
    fake_t fake = {
        .greeting = "INFO {\"server_id\":\"x\",\"version\":\"2.10.0\",\"headers\":true,"
                    "\"max_payload\":9223372036854775807,\"proto\":1}\r\n",
        .after = "",
    };
    fixture_t *fixture = meet(&fake, "link_up", "127.0.0.1", pool);
    char *data = apr_pcalloc(pool, 2 * 1024 * 1024);

    ck_assert_int_eq(sa_link_max_payload(fixture->link), 1024 * 1024 - SA_LINK_HEADROOM);
    SA_ASSERT_ERR(sa_link_publish(fixture->link, "a", NULL, data, 1024 * 1024 + 1),
                  SA_ERR_TOO_LARGE);
    part(&fake, fixture);
}

static void expect_loss(const char *after, apr_pool_t *pool)
{
    fake_t fake = { .greeting = GOOD, .after = after };
    fixture_t *fixture = meet(&fake, "link_down", "127.0.0.1", pool);

    ck_assert_int_eq(fixture_count_log(fixture, "link_protocol", "reason"), 1);
    fixture_wait_ups(fixture, 2);       /* and once more */
    part(&fake, fixture);
}

SA_TEST(nonsense_before_the_link_is_up_is_a_failed_attempt)
{
    fake_t fake = { .greeting = GOOD, .after = "HELLO\r\n", .early = true };
    apr_uint64_t before = sa_stats_read(SA_STAT_link_connect_failures);
    fixture_t *fixture = meet(&fake, "link_protocol", "Parse Error", pool);

    while (sa_stats_read(SA_STAT_link_connect_failures) < before + 5) {
        apr_sleep(apr_time_from_msec(5));
    }
    part(&fake, fixture);
}

SA_TEST(a_message_with_a_negative_size_ends_the_connection)
{
    expect_loss("MSG a 1 -5\r\nxxxxx\r\n", pool);
}

SA_TEST(a_message_with_no_number_for_a_size_ends_the_connection)
{
    expect_loss("MSG a 1 99999999999999999999999999\r\n", pool);
}

SA_TEST(headers_longer_than_their_message_end_the_connection)
{
    expect_loss("HMSG a 1 100 5\r\nxxxxx\r\n", pool);
}

SA_TEST(words_that_are_no_protocol_end_the_connection)
{
    expect_loss("HELLO\r\n", pool);
}

SA_TEST(a_flood_of_denials_stays_within_bounds)
{
    fake_t fake = { .greeting = GOOD, .repeat = 20000,
                    .after = "-ERR 'Permissions Violation for Publish to \"x\"'\r\n" };
    fixture_t *fixture = meet(&fake, "link_denied_publish", "allow publish: x", pool);

    SA_ASSERT_OK(sa_link_probe(fixture->link, LIMIT));
    ck_assert_int_eq(fixture_count_log(fixture, "link_denied_publish", ""), 1);
    ck_assert_int_eq(fixture->downs, 0);
    part(&fake, fixture);
}

SA_TEST(an_error_with_an_absurd_text_is_cut)
{
    char *text = apr_palloc(pool, 3001);

    memset(text, 'y', 3000);
    memcpy(text, "-ERR 'Permissions Violation for Publish to \"", 44);
    memcpy(text + 2996, "\"'\r\n", 4);
    text[3000] = '\0';
    {
        fake_t fake = { .greeting = GOOD, .after = text };

        part(&fake, meet(&fake, "link_denied_publish", "allow publish: yyy", pool));
    }
}

SA_TEST_MAIN("link hostile", a_web_server_is_told_from_a_bus,
             a_server_that_closes_without_a_word_is_said,
             an_info_without_a_usable_max_payload_is_refused, an_info_that_is_no_json_is_refused,
             an_endless_info_is_refused, an_info_of_a_hundred_thousand_servers_is_refused,
             an_info_that_comes_byte_by_byte_is_read, an_absurd_max_payload_is_capped,
             nonsense_before_the_link_is_up_is_a_failed_attempt,
             a_message_with_a_negative_size_ends_the_connection,
             a_message_with_no_number_for_a_size_ends_the_connection,
             headers_longer_than_their_message_end_the_connection,
             words_that_are_no_protocol_end_the_connection,
             a_flood_of_denials_stays_within_bounds, an_error_with_an_absurd_text_is_cut)
