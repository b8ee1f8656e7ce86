/* The pair of sockets within the process, while strangers knock at it. */
#include "../../src/link/sa_link_relay.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sa_test.h"

#define STRANGERS 64

static int wanted;                  /* how many strangers come before us */
static int strangers[STRANGERS];

/* In the place of APR's: whoever listens is seen at once, as by a program that watches ports. */
apr_status_t apr_socket_listen(apr_socket_t *listener, apr_int32_t backlog)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    apr_os_sock_t descriptor;

    ck_assert_int_eq(apr_os_sock_get(&descriptor, listener), APR_SUCCESS);
    if (listen(descriptor, backlog) != 0) {
        return APR_FROM_OS_ERROR(errno);
    }
    ck_assert_int_eq(getsockname(descriptor, (struct sockaddr *)&address, &length), 0);
    for (int i = 0; i < wanted; i++) {
        strangers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        ck_assert_int_ge(strangers[i], 0);
        (void)connect(strangers[i], (struct sockaddr *)&address, length);
        send(strangers[i], "not ours", 8, MSG_NOSIGNAL);
    }
    return APR_SUCCESS;
}

/* Nobody is left at the other end. */
static bool is_hung_up(int stranger)
{
    struct pollfd watch = {.fd = stranger, .events = POLLIN};
    char byte;

    return poll(&watch, 1, 10000) == 1 && recv(stranger, &byte, 1, 0) <= 0;
}

static void end_strangers(void)
{
    for (int i = 0; i < wanted; i++) {
        ck_assert(is_hung_up(strangers[i]));
        close(strangers[i]);
    }
}

static void expect_pair(apr_socket_t *here, int end)
{
    char text[16];
    apr_size_t length = 5;

    ck_assert_int_eq(send(end, "ours!", 5, 0), 5);
    ck_assert_int_eq(apr_socket_timeout_set(here, apr_time_from_sec(10)), APR_SUCCESS);
    ck_assert_int_eq(apr_socket_recv(here, text, &length), APR_SUCCESS);
    ck_assert_int_eq(length, 5);
    ck_assert_int_eq(memcmp(text, "ours!", 5), 0);
}

SA_TEST(a_stranger_who_comes_first_is_shown_the_door)
{
    for (wanted = 0; wanted < 2; wanted++) {
        apr_socket_t *here;
        apr_os_sock_t end;

        ck_assert_int_eq(sa_link__pair(&here, &end, pool), APR_SUCCESS);
        expect_pair(here, end);
        end_strangers();
        apr_socket_close(here);
        close(end);
    }
}

SA_TEST(a_crowd_can_keep_the_pair_from_being_made_and_never_gets_into_it)
{
    apr_socket_t *here;
    apr_os_sock_t end;

    wanted = STRANGERS;
    if (sa_link__pair(&here, &end, pool) == APR_SUCCESS) {
        expect_pair(here, end);
        apr_socket_close(here);
        close(end);
    }
    end_strangers();
    wanted = 0;     /* and the next attempt is as any other */
    ck_assert_int_eq(sa_link__pair(&here, &end, pool), APR_SUCCESS);
    expect_pair(here, end);
    apr_socket_close(here);
    close(end);
}

SA_TEST_MAIN("link_pair", a_stranger_who_comes_first_is_shown_the_door,
             a_crowd_can_keep_the_pair_from_being_made_and_never_gets_into_it)
