/* os: changes of the machine's network, by rtnetlink(7).
 *
 * No thread: the socket raises SIGIO, and so does a timer that counts sleep as well; the main
 * thread takes it in its wait (src/os/posix/sa_os_daemon.c) and asks here what it was about.  A
 * plain SIGIO, not one with F_SETSIG: any number of changes are one pending signal, so that there
 * is no queue of them to overflow.
 *
 * What is there already is known, as far as it fits: repeated announcements are the rule with
 * IPv6 and wireless cards. */
#include "sa_os_network.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <net/if.h>
#include <sys/socket.h>

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "sa_os_clock.h"
#include "sa_os_linux.h"
#include "../posix/sa_os_posix.h"

#define LOOPBACK 1                  /* its index in every network namespace */
#define BUFFER_SIZE 32768           /* what a dump fills at most */
/* What may wait for us: a container that comes or goes is some 50 KB, and we look after they have
 * settled. */
#define QUEUE_SIZE (1024 * 1024)
/* Datagrams in one go; what is left waits for the next. */
#define TURNS_MAX 256
/* How late a sleep may be noticed that was too short for the timer to be due. */
#define SLEEP_TIMER apr_time_from_sec(30)
#define SLEEP_LEAST apr_time_from_sec(5)

#define GROUPS (RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE \
                | RTMGRP_IPV6_ROUTE)

/* ---- what is known -------------------------------------------------------------- */

static apr_uint64_t hash(apr_uint64_t sum, const void *bytes, size_t length)
{
    const unsigned char *at = bytes;

    for (size_t i = 0; i < length; i++) {
        sum = (sum ^ at[i]) * APR_UINT64_C(1099511628211);
    }
    return sum;
}

static apr_uint64_t hash_number(apr_uint64_t sum, apr_uint32_t number)
{
    return hash(sum, &number, sizeof(number));
}

static apr_uint64_t hash_begin(char kind)
{
    return hash(APR_UINT64_C(14695981039346656037), &kind, 1);
}

static int find(const sa_os__network_t *network, apr_uint64_t what)
{
    for (int i = 0; i < network->count; i++) {
        if (network->known[i].what == what) {
            return i;
        }
    }
    return -1;
}

/* WHAT is as HOW says; is that new? */
static bool learn_of(sa_os__network_t *network, apr_uint64_t what, apr_uint64_t how)
{
    int at = find(network, what);

    if (at >= 0) {
        bool same = network->known[at].how == how;

        network->known[at].how = how;
        return !same;
    }
    if (network->count == SA_OS_NETWORK_KNOWN) {
        network->full = true;
        return true;
    }
    network->known[network->count].what = what;
    network->known[network->count].how = how;
    network->count++;
    return true;
}

/* WHAT is no more; was it there?  Once something did not fit, anything may have been. */
static bool forget(sa_os__network_t *network, apr_uint64_t what)
{
    int at = find(network, what);

    if (at < 0) {
        return network->full;
    }
    network->count--;
    network->known[at] = network->known[network->count];
    return true;
}

/* ---- attributes ------------------------------------------------------------------ */

typedef struct bytes_t {
    const unsigned char *data;
    size_t length;
} bytes_t;

/* The unaligned struct of LENGTH at the beginning of BYTES, which it is taken off, with what
 * aligns it; false: they are fewer. */
static bool take(void *result, size_t length, bytes_t *bytes)
{
    size_t aligned = NLMSG_ALIGN(length);

    if (bytes->length < length) {
        return false;
    }
    memcpy(result, bytes->data, length);
    aligned = aligned < bytes->length ? aligned : bytes->length;
    bytes->data += aligned;
    bytes->length -= aligned;
    return true;
}

/* The next attribute of BYTES; false: no more, or not one that can be. */
static bool next_attribute(unsigned *type, bytes_t *value, bytes_t *bytes)
{
    struct rtattr head;
    bytes_t rest = *bytes;
    size_t step;

    if (!take(&head, sizeof(head), bytes) || head.rta_len < sizeof(head)
        || head.rta_len > rest.length) {
        return false;
    }
    *type = head.rta_type & NLA_TYPE_MASK;
    value->data = rest.data + sizeof(head);
    value->length = head.rta_len - sizeof(head);
    step = RTA_ALIGN((size_t)head.rta_len);
    step = step < rest.length ? step : rest.length;
    bytes->data = rest.data + step;
    bytes->length = rest.length - step;
    return true;
}

/* The value of TYPE among the attributes in BYTES; empty: none. */
static bytes_t attribute(bytes_t bytes, unsigned type)
{
    bytes_t value;
    unsigned found;

    while (next_attribute(&found, &value, &bytes)) {
        if (found == type) {
            return value;
        }
    }
    return (bytes_t){NULL, 0};
}

static apr_uint32_t number_of(bytes_t value, apr_uint32_t otherwise)
{
    apr_uint32_t number;

    if (value.length != sizeof(number)) {
        return otherwise;
    }
    memcpy(&number, value.data, sizeof(number));
    return number;
}

/* ---- links ----------------------------------------------------------------------- */

/* Is it of a kind that comes and goes with containers and virtual machines? */
static bool is_of_guests(bytes_t attributes)
{
    static const char *const kinds[] = {"veth", "tun", "bridge"};
    bytes_t kind = attribute(attribute(attributes, IFLA_LINKINFO), IFLA_INFO_KIND);

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        size_t length = strlen(kinds[i]);

        if (kind.length >= length && memcmp(kind.data, kinds[i], length) == 0
            && (kind.length == length || kind.data[length] == '\0')) {
            return true;
        }
    }
    return false;
}

/* An address's HOW is the interface that has it. */
static bool has_address(const sa_os__network_t *network, int index)
{
    for (int i = 0; i < network->count; i++) {
        if (network->known[i].how == ((apr_uint64_t)'a' << 56 | (apr_uint32_t)index)) {
            return true;
        }
    }
    return network->full;
}

/* What comes and goes with guests is news only where an address hangs on it; as part of a bridge it
 * is not even worth a place. */
static bool read_link(sa_os__network_t *network, int type, bytes_t body)
{
    const unsigned wanted = IFF_UP | IFF_RUNNING;
    struct ifinfomsg link;
    apr_uint64_t what;
    bool carries;
    bool of_guests;
    bool changed;

    /* bridges speak of their ports in the same words, as another family */
    if (!take(&link, sizeof(link), &body) || link.ifi_family != AF_UNSPEC
        || link.ifi_index == LOOPBACK || (link.ifi_flags & IFF_LOOPBACK)) {
        return false;
    }
    what = hash_number(hash_begin('l'), (apr_uint32_t)link.ifi_index);
    carries = type == RTM_NEWLINK && (link.ifi_flags & wanted) == wanted;
    of_guests = is_of_guests(body) && !has_address(network, link.ifi_index);
    if (of_guests && attribute(body, IFLA_MASTER).length > 0) {
        carries = false;
    }
    changed = carries ? learn_of(network, what, 1) : forget(network, what);
    return changed && !of_guests;
}

/* ---- addresses ------------------------------------------------------------------- */

static bool read_address(sa_os__network_t *network, int type, bytes_t body)
{
    struct ifaddrmsg head;
    bytes_t address;
    apr_uint32_t flags;
    apr_uint64_t what;

    if (!take(&head, sizeof(head), &body) || head.ifa_index == LOOPBACK
        || head.ifa_scope == RT_SCOPE_HOST
        || (head.ifa_family != AF_INET && head.ifa_family != AF_INET6)
        || (head.ifa_family == AF_INET6 && head.ifa_scope == RT_SCOPE_LINK)) {
        return false;
    }
    address = attribute(body, IFA_LOCAL);
    if (address.length == 0) {
        address = attribute(body, IFA_ADDRESS);
    }
    flags = number_of(attribute(body, IFA_FLAGS), head.ifa_flags);
    if (type == RTM_NEWADDR && (flags & IFA_F_TENTATIVE) && !(flags & IFA_F_OPTIMISTIC)
        && !(flags & IFA_F_DADFAILED)) {
        return false;               /* told again when it may be used */
    }
    what = hash_number(hash_begin('a'), head.ifa_index);
    what = hash_number(what, head.ifa_prefixlen);
    what = hash(what, address.data, address.length);
    if (type == RTM_NEWADDR && !(flags & IFA_F_DADFAILED)) {
        return learn_of(network, what, (apr_uint64_t)'a' << 56 | head.ifa_index);
    }
    return forget(network, what);
}

/* ---- routes ---------------------------------------------------------------------- */

/* Link-local or multicast: every interface has these, and no server is there. */
static bool leads_nowhere(int family, bytes_t destination)
{
    const unsigned char *to = destination.data;

    if (destination.length < 2) {
        return false;
    }
    if (family == AF_INET6) {
        return to[0] == 0xff || (to[0] == 0xfe && (to[1] & 0xc0) == 0x80);
    }
    return (to[0] & 0xf0) == 0xe0;
}

static bool may_matter(const struct rtmsg *route, bytes_t body)
{
    apr_uint32_t table = number_of(attribute(body, RTA_TABLE), route->rtm_table);

    if ((route->rtm_family != AF_INET && route->rtm_family != AF_INET6)
        || (route->rtm_flags & RTM_F_CLONED)
        || (table != RT_TABLE_MAIN && table != RT_TABLE_LOCAL)
        || leads_nowhere(route->rtm_family, attribute(body, RTA_DST))) {
        return false;
    }
    switch (route->rtm_type) {
    case RTN_UNICAST:
    case RTN_LOCAL:
        return number_of(attribute(body, RTA_OIF), 0) != LOOPBACK;
    case RTN_BLACKHOLE:
    case RTN_UNREACHABLE:
    case RTN_PROHIBIT:
    case RTN_THROW:
        return true;                /* of IPv6 they are the loopback's */
    default:
        return false;
    }
}

/* Routes of before the watch are not known (there may be a million): the first repetition of one
 * is news. */
static bool read_route(sa_os__network_t *network, int type, bytes_t body)
{
    static const unsigned ways[] = {RTA_OIF, RTA_GATEWAY, RTA_VIA, RTA_MULTIPATH, RTA_PREFSRC,
                                    RTA_NH_ID};
    struct rtmsg route;
    bytes_t to;
    apr_uint64_t what;
    apr_uint64_t how;

    if (!take(&route, sizeof(route), &body) || !may_matter(&route, body)) {
        return false;
    }
    to = attribute(body, RTA_DST);
    what = hash_number(hash_begin('r'), route.rtm_family);
    what = hash_number(what, number_of(attribute(body, RTA_TABLE), route.rtm_table));
    what = hash_number(what, (apr_uint32_t)route.rtm_dst_len << 8 | route.rtm_tos);
    what = hash_number(what, number_of(attribute(body, RTA_PRIORITY), 0));
    what = hash(what, to.data, to.length);
    if (type == RTM_DELROUTE) {
        (void)forget(network, what);
        return true;
    }
    how = hash_number(hash_begin('w'), route.rtm_type);
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        bytes_t way = attribute(body, ways[i]);

        how = hash(hash_number(how, ways[i]), way.data, way.length);
    }
    return learn_of(network, what, how);
}

/* ---- messages -------------------------------------------------------------------- */

static bool read_message(sa_os__network_t *network, int type, bytes_t body)
{
    switch (type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
        return read_link(network, type, body);
    case RTM_NEWADDR:
    case RTM_DELADDR:
        return read_address(network, type, body);
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
        return read_route(network, type, body);
    default:
        return type == NLMSG_OVERRUN;
    }
}

bool sa_os__network_read(sa_os__network_t *network, const void *bytes, size_t length)
{
    const unsigned char *at = bytes;
    struct nlmsghdr head;
    bool changed = false;

    while (length >= sizeof(head)) {
        bytes_t body;
        size_t step;
        bool news;

        memcpy(&head, at, sizeof(head));
        if (head.nlmsg_len < sizeof(head) || head.nlmsg_len > length) {
            break;
        }
        body.data = at + sizeof(head);
        body.length = head.nlmsg_len - sizeof(head);
        news = read_message(network, head.nlmsg_type, body);
        /* an answer to us says how it is, not what has changed */
        changed = changed || (news && (network->port == 0 || head.nlmsg_pid != network->port));
        step = NLMSG_ALIGN((size_t)head.nlmsg_len);
        step = step < length ? step : length;
        at += step;
        length -= step;
    }
    return changed;
}

bool sa_os__network_slept(sa_os__network_t *network, apr_interval_time_t mono,
                          apr_interval_time_t boot)
{
    apr_interval_time_t before = network->asleep;

    network->asleep = boot - mono;
    return network->asleep - before > SLEEP_LEAST;
}

/* ---- the watch ------------------------------------------------------------------- */

/* The main thread's. */
static struct {
    int socket;
    timer_t timer;
    bool has_timer;
    sa_os__network_t network;
} watch = {.socket = -1};

/* Is there something new in what has come?  *LOST: not all of it could be kept for us. */
static bool drain(bool *lost)
{
    unsigned char buffer[BUFFER_SIZE];
    bool changed = false;

    for (int turn = 0; turn < TURNS_MAX; turn++) {
        struct sockaddr_nl from = {0};
        socklen_t size = sizeof(from);
        ssize_t got = recvfrom(watch.socket, buffer, sizeof(buffer), MSG_DONTWAIT | MSG_TRUNC,
                               (struct sockaddr *)&from, &size);

        if (got < 0 && errno == ENOBUFS) {
            *lost = true;
        } else if (got < 0 && errno != EINTR) {
            return changed;         /* no more */
        }
        if (got < 0 || from.nl_pid != 0) {
            continue;               /* not the kernel's */
        }
        if ((size_t)got > sizeof(buffer)) {
            *lost = true;
            got = (ssize_t)sizeof(buffer);
        }
        changed = sa_os__network_read(&watch.network, buffer, (size_t)got) || changed;
    }
    kill(getpid(), SIGIO);
    return changed;
}

static bool ask(int type)
{
    struct {
        struct nlmsghdr head;
        struct rtgenmsg body;
    } request;

    memset(&request, 0, sizeof(request));
    request.head.nlmsg_len = sizeof(request);
    request.head.nlmsg_type = (unsigned short)type;
    request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    request.head.nlmsg_seq = 1;
    request.body.rtgen_family = AF_UNSPEC;
    return send(watch.socket, &request, sizeof(request), 0) == (ssize_t)sizeof(request);
}

/* Learn what is there.  The kernel answers while it is read, so that what has come when there is
 * no more is all. */
static bool look_around(void)
{
    static const int types[] = {RTM_GETLINK, RTM_GETADDR};
    bool lost = false;
    bool changed = false;

    watch.network.count = 0;
    watch.network.full = false;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        lost = !ask(types[i]) || lost;
        changed = drain(&lost) || changed;
    }
    watch.network.full = watch.network.full || lost;
    return changed;
}

static void set_timer(void)
{
    const struct itimerspec span = {.it_value = {.tv_sec = apr_time_sec(SLEEP_TIMER)}};

    if (watch.has_timer) {
        timer_settime(watch.timer, 0, &span, NULL);
    }
}

bool sa_os__network_judge(void)
{
    bool lost = false;
    bool changed;

    if (watch.socket < 0) {
        return false;
    }
    changed = drain(&lost);
    if (lost) {
        (void)look_around();
        changed = true;
    }
    set_timer();
    return sa_os__network_slept(&watch.network, sa_os_clock_mono(), sa_os_clock_boot()) || changed;
}

static apr_status_t end_watch(void *unused)
{
    (void)unused;
    if (watch.has_timer) {
        timer_delete(watch.timer);
    }
    close(watch.socket);
    watch.has_timer = false;
    watch.socket = -1;
    return APR_SUCCESS;
}

static sa_error_t *open_socket(void)
{
    static const int queue = QUEUE_SIZE;
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = GROUPS};
    socklen_t size = sizeof(address);

    /* the first takes a privilege, the second gives as much as the system allows */
    if (setsockopt(watch.socket, SOL_SOCKET, SO_RCVBUFFORCE, &queue, sizeof(queue)) != 0) {
        (void)setsockopt(watch.socket, SOL_SOCKET, SO_RCVBUF, &queue, sizeof(queue));
    }
    /* the signal first: what comes before it would not be told */
    if (fcntl(watch.socket, F_SETOWN, getpid()) != 0
        || fcntl(watch.socket, F_SETFL, O_ASYNC | O_NONBLOCK) != 0
        || bind(watch.socket, (struct sockaddr *)&address, sizeof(address)) != 0
        || getsockname(watch.socket, (struct sockaddr *)&address, &size) != 0) {
        return sa_error_apr(errno, "cannot listen for changes of the network");
    }
    watch.network.port = address.nl_pid;
    return SA_OK;
}

static sa_error_t *open_timer(void)
{
    struct sigevent event;

    memset(&event, 0, sizeof(event));
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGIO;
    if (timer_create(CLOCK_BOOTTIME, &event, &watch.timer) != 0) {
        return sa_error_apr(errno, "cannot have a timer that counts sleep");
    }
    watch.has_timer = true;
    set_timer();
    return SA_OK;
}

sa_error_t *sa_os_network_watch(apr_pool_t *pool)
{
    SA_ASSERT(watch.socket < 0);
    watch.socket = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (watch.socket < 0) {
        return sa_error_apr(errno, "cannot ask the system about the network");
    }
    apr_pool_cleanup_register(pool, NULL, end_watch, apr_pool_cleanup_null);
    SA_TRY(open_socket());
    (void)look_around();
    (void)sa_os__network_slept(&watch.network, sa_os_clock_mono(), sa_os_clock_boot());
    return open_timer();            /* without it the rest is told all the same */
}
