/* mesh: certificates, the platform's document, what Nebula says, files. */
#include <apr_file_info.h>
#include <apr_strings.h>

#include "../../src/mesh/sa_mesh_private.h"
#include "sa_test.h"
#include "sa_test_server.h"

/* For 10.128.1.2/24, until 2026-11-28T17:39:20Z. */
#define CERTIFICATE \
    "-----BEGIN NEBULA CERTIFICATE V2-----\n" \
    "MIGtoEeABGhvc3ShBwQFCoABAhijCAwGdGhpbmdzhQRrBZOIhgRrCxHIhyCwXwV6\n" \
    "v8vSw4YYOew8lpaUOExgYJv2FxARGka1Cm4cPoIg2lwCTKvgRJKcYku0BUiqki+k\n" \
    "n57PBAb53hVvcfFyBwWDQPfGmTUoHq8RydX8kHAh8JuVII1iN+4Y78cSGWZq20N8\n" \
    "BwsUV5iSZTfVsBA9Sg5TsOWKtSqkNlInwyPUWTTyyA4=\n" \
    "-----END NEBULA CERTIFICATE V2-----\n"
/* For 10.128.1.2/24 and fd00:77::2/64, until 2026-11-28T18:01:49Z. */
#define TWO_NETWORKS \
    "-----BEGIN NEBULA CERTIFICATE V2-----\n" \
    "MIG+oFiAA3NpeKEaBAUKgAECGAQR/QAAdwAAAAAAAAAAAAAAAkCiBwQFChQAABCF\n" \
    "BGsFmM2GBGsLFw2HILBfBXq/y9LDhhg57DyWlpQ4TGBgm/YXEBEaRrUKbhw+giD1\n" \
    "J10XySo+E+2kyrGiju9EOTdnB064fNRC0UOwZ22qcoNAT7kiDB0+6xlH7OAPeMlz\n" \
    "kWHk+CfL1wwDKtCR6lCnPdf/3QmurEbz4a73JsDHnoWX4/6J8wf4kXKoM3S3EpC1\n" \
    "Ag==\n" \
    "-----END NEBULA CERTIFICATE V2-----\n"
#define SECRET "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U="
#define KEY \
    "-----BEGIN NEBULA X25519 PRIVATE KEY-----\n" SECRET "\n" \
    "-----END NEBULA X25519 PRIVATE KEY-----\n"

/* ---- certificates --------------------------------------------------------------------- */

SA_TEST(a_certificate_tells_its_networks_and_its_end)
{
    static const struct {
        const char *text;
        const char *networks;
        apr_int64_t expires;
    } cases[] = {
        {CERTIFICATE, "10.128.1.2/24", 1795887560},
        {TWO_NETWORKS, "10.128.1.2/24 fd00:77:0:0:0:0:0:2/64", 1795888909},
        {"-----BEGIN NEBULA CERTIFICATE-----\nold\n" CERTIFICATE, "10.128.1.2/24", 1795887560},
    };
    sa_mesh__certificate_t certificate;
    bool found;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        SA_ASSERT_OK(sa_mesh__certificate_read(&found, &certificate, cases[i].text, pool));
        ck_assert(found);
        ck_assert_str_eq(certificate.networks, cases[i].networks);
        ck_assert_str_eq(certificate.overlay_ip, "10.128.1.2");
        ck_assert_int_eq(apr_time_sec(certificate.expires), cases[i].expires);
    }
    SA_ASSERT_OK(sa_mesh__certificate_read(&found, &certificate,
                                           "-----BEGIN NEBULA CERTIFICATE-----", pool));
    ck_assert(!found);
}

/* Cut off, and changed, at each place: an answer, whatever it is, and nothing read beyond. */
SA_TEST(a_damaged_certificate_is_no_harm)
{
    const char *const texts[] = {CERTIFICATE, TWO_NETWORKS};
    sa_mesh__certificate_t certificate;
    bool found;
    int refused = 0;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        size_t body = strlen("-----BEGIN NEBULA CERTIFICATE V2-----\n");

        for (size_t at = body; at < strlen(texts[i]) - 37; at++) {
            char *text = apr_pstrdup(pool, texts[i]);
            sa_error_t *err;

            text[at] = text[at] == 'A' ? '/' : 'A';
            err = sa_mesh__certificate_read(&found, &certificate, text, pool);
            refused += err != NULL;
            sa_error_clear(err);
            text = apr_pstrcat(pool, apr_pstrmemdup(pool, texts[i], at),
                               "\n-----END NEBULA CERTIFICATE V2-----\n", NULL);
            err = sa_mesh__certificate_read(&found, &certificate, text, pool);
            ck_assert(err != NULL || at + 45 > strlen(texts[i]));   /* the padding may go */
            refused += err != NULL;
            sa_error_clear(err);
        }
    }
    ck_assert_int_gt(refused, 50);
    SA_ASSERT_ERR(sa_mesh__certificate_read(&found, &certificate,
                                            "-----BEGIN NEBULA CERTIFICATE V2-----\nMIGt\n", pool),
                  SA_ERR_FILE_CONTENT);
}

/* ---- documents ------------------------------------------------------------------------ */

static const char *indent(const char *text, apr_pool_t *pool)
{
    const char *result = "";
    char *rest = apr_pstrdup(pool, text);
    char *line;

    for (line = apr_strtok(rest, "\n", &rest); line; line = apr_strtok(NULL, "\n", &rest)) {
        result = apr_pstrcat(pool, result, "    ", line, "\n", NULL);
    }
    return result;
}

/* As the platform makes it, with CERTIFICATE_TEXT, and LINES behind. */
static const char *document_of(const char *certificate_text, const char *lines, apr_pool_t *pool)
{
    return apr_pstrcat(pool, "pki:\n  ca: |\n", indent(certificate_text, pool), "  cert: |\n",
                       indent(certificate_text, pool), "  key: |\n", indent(KEY, pool), lines,
                       NULL);
}

#define LINES \
    "firewall:\n  inbound: [{host: any, port: any, proto: icmp}]\n" \
    "  outbound: [{host: any, port: any, proto: any}]\n" \
    "lighthouse: {am_lighthouse: false, hosts: [10.128.1.1], interval: 60}\n" \
    "listen: {host: 0.0.0.0, port: 0}\nlogging: {format: text, level: info}\n" \
    "punchy: {punch: true, respond: true}\n" \
    "static_host_map: {\"10.128.1.1\": [\"lh.example.com:4242\"]}\n"
#define TUN "tun: {dev: nebula1, mtu: 1300}\n"

static const sa_mesh__policy_t *policy_of(apr_pool_t *pool)
{
    sa_mesh__policy_t *policy = apr_palloc(pool, sizeof(*policy));
    apr_array_header_t *devices = apr_array_make(pool, 2, sizeof(const char *));
    apr_array_header_t *routes = apr_array_make(pool, 2, sizeof(const char *));

    APR_ARRAY_PUSH(devices, const char *) = "nebula1";
    APR_ARRAY_PUSH(devices, const char *) = "mesh0";
    APR_ARRAY_PUSH(routes, const char *) = "10.20.0.0/16";
    policy->devices = devices;
    policy->routes = routes;
    return policy;
}

static sa_mesh__document_t *read_lines(const char *certificate_text, const char *lines,
                                       apr_pool_t *pool)
{
    sa_mesh__document_t *document = NULL;

    SA_ASSERT_OK(sa_mesh__document_read(&document, document_of(certificate_text, lines, pool),
                                        policy_of(pool), pool));
    return document;
}

SA_TEST(the_platforms_document_is_taken_and_tells_what_matters)
{
    const sa_mesh__document_t *document = read_lines(CERTIFICATE, LINES TUN, pool);

    ck_assert_str_eq(document->device, "nebula1");
    ck_assert(!document->is_lighthouse);
    ck_assert_int_eq(document->lighthouses->nelts, 1);
    ck_assert_str_eq(APR_ARRAY_IDX(document->lighthouses, 0, const char *), "10.128.1.1");
    ck_assert_str_eq(document->certificate.overlay_ip, "10.128.1.2");
    ck_assert_str_eq(document->unsafe_networks, "");
    document = read_lines(CERTIFICATE, "lighthouse: {am_lighthouse: true}\nlisten: {port: 4242}\n",
                          pool);
    ck_assert_str_eq(document->device, "nebula1");      /* ours, where it names none */
    ck_assert(document->is_lighthouse);
    document = read_lines(CERTIFICATE, "lighthouse: {hosts: [\"FD00:0:0::1\", x:y]}\n", pool);
    ck_assert_str_eq(APR_ARRAY_IDX(document->lighthouses, 0, const char *), "fd00::1");
    ck_assert_str_eq(APR_ARRAY_IDX(document->lighthouses, 1, const char *), "x:y");
    document = read_lines(CERTIFICATE, "tun:\n  dev: mesh0\n  unsafe_routes:\n"
                          "  - {route: 10.20.0.0/16, via: 10.128.1.9}\n", pool);
    ck_assert_str_eq(document->device, "mesh0");
    ck_assert_str_eq(document->unsafe_networks, "10.20.0.0/16");
}

SA_TEST(what_this_machine_does_not_allow_is_refused_by_name)
{
    static const struct {
        const char *lines;
        const char *words;
    } cases[] = {
        {"sshd: {enabled: true}\n", "line 20: sshd: a way into Nebula"},
        {"sshd:\n", "sshd: a way into Nebula"},
        {"stats: {type: prometheus}\n", "stats: a listener"},
        {"webui: {on: 1}\n", "webui is not a section"},
        {"-----BEGIN: x\n", "(not shown) is not a section"},
        {"tun: {dev: eth0}\n", "tun.dev is \"eth0\", which is not one of nebula.allowed_devices"},
        {"tun: {dev: [nebula1]}\n", "tun.dev is \"(not one value)\""},
        {"tun: {unsafe_routes: [{route: 0.0.0.0/0}]}\n",
         "tun.unsafe_routes: \"0.0.0.0/0\" is not one of nebula.allowed_routes"},
        {"tun: {unsafe_routes: [x]}\n", "tun.unsafe_routes: \"(no route)\""},
        {"tun: {unsafe_routes: {route: x}}\n", "tun.unsafe_routes must be a list"},
        {"listen: {host: 192.168.1.1}\n", "listen.host is \"192.168.1.1\"; only"},
        {"listen: {host: \"::1\"}\n", "listen.host is \"::1\"; only"},
        {"listen: {port: 53}\n", "listen.port is \"53\"; only 0 and 1024 to 65535"},
        {"listen: {port: -1}\n", "listen.port is \"-1\""},
        {"listen: {port: [1]}\n", "listen.port is \"(not one value)\""},
        {"listen: x\n", "listen must be a group"},
        {"lighthouse: {serve_dns: true}\n", "lighthouse.dns: a DNS server"},
        {"lighthouse: {dns: {host: x}}\n", "lighthouse.dns: a DNS server"},
        {"lighthouse: {hosts: 10.128.1.1}\n", "lighthouse.hosts must be a list"},
        {"relay: {x: [{y: /etc/passwd}]}\n", "y names a path"},
        {"relay: {x: ../y}\n", "x names a path"},
        {"relay: {x: 'C:\\y'}\n", "x names a path"},
        {"relay: {x: ~/y}\n", "x names a path"},
        {"pki: {ca: x}\n", "a key is there twice"},
        {"a: &x 1\n", "anchors"},
        {"---\na: 1\n", "a second document"},
        {"<<: {sshd: {}}\n", "merging"},
        {"tun: [\n", "not YAML"},
        {"{a: 1}: 2\n", "a key is not one value"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sa_mesh__document_t *document;
        char text[1024];
        sa_error_t *err = sa_mesh__document_read(
            &document, document_of(CERTIFICATE, cases[i].lines, pool), policy_of(pool), pool);

        ck_assert_msg(err != NULL, "taken: %s", cases[i].lines);
        sa_error_text(err, text, sizeof(text));
        ck_assert_msg(strstr(text, cases[i].words) != NULL, "%s\nis not in: %s", cases[i].words,
                      text);
        sa_error_clear(err);
    }
}

SA_TEST(keys_are_text_and_never_files_and_never_shown)
{
    static const char *const cases[] = {
        "pki: {ca: /etc/ca, cert: x, key: y}\n",
        "pki: {ca: '-----BEGIN NEBULA X', cert: host.crt}\n",
        "pki: {ca: '-----BEGIN NEBULA X', cert: '-----BEGIN NEBULA X', key: " SECRET "}\n",
        "pki: {ca: '-----BEGIN NEBULA X', cert: '-----BEGIN NEBULA X', key: 'pkcs11:token=x'}\n",
        "pki: {ca: '-----BEGIN NEBULA X', cert: '-----BEGIN NEBULA X', key: {a: " SECRET "}}\n",
        "pki: {ca: '-----BEGIN NEBULA X'}\n", "pki: []\n", "pki:\n", "tun: {}\n",
        "", "[a]\n", "x\n",
        "listen: {host: " SECRET "}\n", "listen: {port: " SECRET "}\n",
        "tun: {dev: " SECRET SECRET "}\n",
        "pki: [" SECRET "\n", "? " SECRET "\n: *x\n", "\"" SECRET "\": 1\n",
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sa_mesh__document_t *document;
        char text[1024];
        sa_error_t *err = sa_mesh__document_read(&document, cases[i], policy_of(pool), pool);

        ck_assert_msg(err != NULL, "taken: %s", cases[i]);
        sa_error_text(err, text, sizeof(text));
        ck_assert_msg(strstr(text, SECRET) == NULL, "shown: %s", text);
        sa_error_clear(err);
    }
}

SA_TEST(a_change_is_reloaded_where_that_suffices)
{
    static const struct {
        const char *certificate;
        const char *lines;
        sa_mesh__change_t change;
        bool shakes;
    } cases[] = {
        {CERTIFICATE, LINES TUN, SA_MESH__SAME, false},
        {CERTIFICATE, TUN LINES "# a comment\n", SA_MESH__SAME, false},
        {CERTIFICATE, LINES TUN "relay: {use_relays: true}\n", SA_MESH__RELOAD, false},
        {TWO_NETWORKS, LINES TUN, SA_MESH__RESTART, true},
        {CERTIFICATE "# another\n", LINES TUN, SA_MESH__RELOAD, true},
        {CERTIFICATE, LINES "tun: {dev: mesh0, mtu: 1300}\n", SA_MESH__RESTART, true},
        {CERTIFICATE, LINES "tun: {dev: nebula1, mtu: 1200}\n", SA_MESH__RESTART, true},
        {CERTIFICATE, LINES "tun: {dev: nebula1, mtu: 1300, disabled: true}\n", SA_MESH__RESTART,
         true},
        {CERTIFICATE, TUN "lighthouse: {hosts: [10.128.1.1]}\n", SA_MESH__RESTART, true},
        {CERTIFICATE, LINES TUN "cipher: chachapoly\n", SA_MESH__RESTART, true},
    };
    const sa_mesh__document_t *old = read_lines(CERTIFICATE, LINES TUN, pool);
    bool shakes;

    ck_assert_int_eq(sa_mesh__document_compare(&shakes, NULL, old), SA_MESH__RESTART);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const sa_mesh__document_t *document = read_lines(cases[i].certificate, cases[i].lines,
                                                         pool);

        ck_assert_msg(sa_mesh__document_compare(&shakes, old, document) == cases[i].change
                          && shakes == cases[i].shakes, "case %d", (int)i);
    }
}

/* ---- what Nebula says ----------------------------------------------------------------- */

SA_TEST(a_line_says_what_matters_and_nothing_else)
{
    static const struct {
        const char *text;
        sa_mesh__said_t said;
        const char *address;
        const char *words;
    } cases[] = {
        {"{\"time\":\"2026-11-24T13:39:52.487Z\",\"level\":\"INFO\","
         "\"msg\":\"Nebula interface is active\","
         "\"interface\":\"nebula1\"}", SA_MESH__SAID_ACTIVE, "", ""},
        {"{\"level\":\"INFO\",\"msg\":\"Handshake message received\",\"vpnAddrs\":[\"10.128.1.1\"],"
         "\"handshake\":{\"stage\":2}}", SA_MESH__SAID_HANDSHAKE, "10.128.1.1", ""},
        {"{\"level\":\"info\",\"msg\":\"Tunnel status\",\"vpnAddrs\":[\"10.128.1.1\"],"
         "\"tunnelCheck\":{\"state\":\"dead\"}}", SA_MESH__SAID_CLOSED, "10.128.1.1", ""},
        {"{\"level\":\"info\",\"msg\":\"Tunnel status\",\"vpnAddrs\":[\"10.128.1.1\"],"
         "\"tunnelCheck\":{\"state\":\"alive\"}}", SA_MESH__SAID_NOTHING, "10.128.1.1", ""},
        {"{\"level\":\"INFO\",\"msg\":\"Close tunnel received, tearing down.\","
         "\"vpnAddrs\":[\"fd00::1\"]}",
         SA_MESH__SAID_CLOSED, "fd00::1", ""},
        {"{\"level\":\"ERROR\",\"msg\":\"Could not load client cert\","
         "\"error\":\"not a pair " SECRET " x\"}",
         SA_MESH__SAID_WRONG, "", "Could not load client cert: not a pair ... x"},
        {"{\"level\":\"ERROR\",\"msg\":\"Failed to get a tun/tap device\","
         "\"error\":\"permission denied\"}",
         SA_MESH__SAID_WRONG, "", "Failed to get a tun/tap device: permission denied"},
        {"{\"level\":\"INFO\",\"msg\":\"Caught HUP, reloading config\"}",
         SA_MESH__SAID_RELOADING, "", ""},
        {"{\"level\":\"ERROR\",\"msg\":\"Failed to send handshake message\",\"error\":\"x\"}",
         SA_MESH__SAID_NOTHING, "", ""},
        {"failed to load config: yaml: line 22: did not find", SA_MESH__SAID_WRONG, "",
         "failed to load config: yaml: line 22: did not find"},
        {"key: |", SA_MESH__SAID_NOTHING, "", ""}, {"{", SA_MESH__SAID_NOTHING, "", ""},
        {"{\"msg\":7,\"vpnAddrs\":7,\"level\":{}}", SA_MESH__SAID_NOTHING, "", ""},
        {"", SA_MESH__SAID_NOTHING, "", ""},
    };
    sa_mesh__line_t line;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sa_mesh__line_read(&line, cases[i].text, strlen(cases[i].text), pool);
        ck_assert_msg(line.said == cases[i].said, "%s", cases[i].text);
        ck_assert_str_eq(line.address, cases[i].address);
        ck_assert_str_eq(line.words, cases[i].words);
    }
    sa_mesh__line_read(&line, cases[0].text, strlen(cases[0].text), pool);
    ck_assert_int_eq(apr_time_sec(line.at), 1795527592);
}

SA_TEST(nothing_that_may_be_a_key_is_left_of_a_reason)
{
    static const struct {
        const char *text;
        const char *words;
    } cases[] = {
        {"plain words stay", "plain words stay"}, {SECRET, "..."}, {"x " SECRET "y", "x ..."},
        {"a\tb\n\xff", "a?b??"}, {"0123456789abcdef0123", "..."}, {"", ""},
        {"-----BEGIN NEBULA X25519 PRIVATE KEY-----", "-----BEGIN NEBULA X25519 PRIVATE KEY-----"},
    };
    char words[SA_MESH_TEXT];
    char small[8];

    (void)pool;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sa_mesh__scrub(words, sizeof(words), cases[i].text, strlen(cases[i].text));
        ck_assert_str_eq(words, cases[i].words);
    }
    sa_mesh__scrub(small, sizeof(small), "abc defghi", 10);
    ck_assert_str_eq(small, "abc def");
}

typedef struct heard_t {
    int count;
    size_t length;
} heard_t;

static void count_line(void *baton, const char *text, size_t length)
{
    heard_t *heard = baton;

    (void)text;
    heard->count++;
    heard->length = length;
}

SA_TEST(output_becomes_lines_and_one_that_is_too_long_is_passed_over)
{
    sa_mesh__lines_t *lines = apr_pcalloc(pool, sizeof(*lines));
    heard_t heard = {0, 0};

    sa_mesh__lines_add(lines, "ab", 2, count_line, &heard);
    ck_assert_int_eq(heard.count, 0);
    sa_mesh__lines_add(lines, "c\n\nd", 4, count_line, &heard);
    ck_assert_int_eq(heard.count, 1);
    ck_assert_int_eq(heard.length, 3);
    sa_mesh__lines_end(lines, count_line, &heard);
    ck_assert_int_eq(heard.count, 2);
    for (int i = 0; i < SA_MESH__LINE_MAX + 10; i++) {
        sa_mesh__lines_add(lines, "x", 1, count_line, &heard);
    }
    sa_mesh__lines_add(lines, "\ny\n", 3, count_line, &heard);
    ck_assert_int_eq(heard.count, 3);
    ck_assert_int_eq(heard.length, 1);
    for (size_t i = 0; i < SA_MESH__LINE_MAX; i++) {
        ck_assert_int_eq(lines->data[i], 0);        /* wiped as it went */
    }
}

/* ---- the program and its files -------------------------------------------------------- */

SA_TEST(a_version_that_is_too_old_is_told_with_what_is_needed)
{
    ck_assert_ptr_null(sa_mesh__version_fault("1.10.0", pool));
    ck_assert_ptr_null(sa_mesh__version_fault("1.11.0", pool));
    ck_assert_ptr_null(sa_mesh__version_fault("2.0", pool));
    ck_assert_str_eq(sa_mesh__version_fault("1.6.1", pool),
                     "version 1.6.1 is too old; 1.10 or later is needed");
    ck_assert_str_eq(sa_mesh__version_fault("0.99", pool),
                     "version 0.99 is too old; 1.10 or later is needed");
    ck_assert_str_eq(sa_mesh__version_fault("", pool),
                     "its version cannot be told; 1.10 or later is needed");
}

static int mode_of(const char *path, apr_pool_t *pool)
{
    apr_finfo_t info;

    ck_assert_int_eq(apr_stat(&info, path, APR_FINFO_PROT, pool), APR_SUCCESS);
    return info.protection;
}

SA_TEST(a_folder_is_private_and_written_only_where_it_differs)
{
    const char *folder = apr_pstrcat(pool, sa_test_dir(pool), "/live", NULL);
    const char *file = apr_pstrcat(pool, folder, "/10-platform.yml", NULL);
    const char *text;
    apr_finfo_t before;
    apr_finfo_t after;

    SA_ASSERT_OK(sa_mesh__folder_read(&text, folder, pool));
    ck_assert_ptr_null(text);
    SA_ASSERT_OK(sa_mesh__folder_write(folder, "pki: {}\n", "mesh0", pool));
    ck_assert_int_eq(mode_of(folder, pool), 0x700);
    ck_assert_int_eq(mode_of(file, pool), 0x600);
    SA_ASSERT_OK(sa_mesh__folder_read(&text, folder, pool));
    ck_assert_str_eq(text, "pki: {}\n");
    SA_ASSERT_OK(sa_mesh__file_read(&text, apr_pstrcat(pool, folder, "/90-agent.yml", NULL), pool));
    ck_assert_ptr_nonnull(strstr(text, "tun: {dev: \"mesh0\"}\n"));
    ck_assert_ptr_nonnull(strstr(text, "format: json"));
    ck_assert_int_eq(apr_stat(&before, file, APR_FINFO_INODE, pool), APR_SUCCESS);
    SA_ASSERT_OK(sa_mesh__folder_write(folder, "pki: {}\n", "mesh0", pool));
    ck_assert_int_eq(apr_stat(&after, file, APR_FINFO_INODE, pool), APR_SUCCESS);
    ck_assert_int_eq(before.inode, after.inode);
    sa_mesh__folder_remove(folder, pool);
    ck_assert_int_ne(apr_stat(&after, folder, APR_FINFO_TYPE, pool), APR_SUCCESS);
}

SA_TEST_MAIN("mesh", a_certificate_tells_its_networks_and_its_end, a_damaged_certificate_is_no_harm,
             the_platforms_document_is_taken_and_tells_what_matters,
             what_this_machine_does_not_allow_is_refused_by_name,
             keys_are_text_and_never_files_and_never_shown,
             a_change_is_reloaded_where_that_suffices, a_line_says_what_matters_and_nothing_else,
             nothing_that_may_be_a_key_is_left_of_a_reason,
             output_becomes_lines_and_one_that_is_too_long_is_passed_over,
             a_version_that_is_too_old_is_told_with_what_is_needed,
             a_folder_is_private_and_written_only_where_it_differs)
