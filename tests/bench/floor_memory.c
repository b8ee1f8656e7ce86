/* Floor: the least that a program with our libraries costs.
 *
 *     floor_memory                say READY to the service manager and end
 *     floor_memory URL CA_FILE    initialise the libraries, hold one TLS
 *                                 connection until standard input ends
 *
 * It links what the agent links, so the first form costs what the dynamic
 * linker takes, and the second what the libraries keep. */
#include <stdio.h>
#include <stdlib.h>

#include <apr_general.h>
#include <apr_pools.h>
#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <sqlite3.h>
#include <systemd/sd-daemon.h>
#include <yaml.h>

#include "bench.h"

static void open_libraries(void)
{
    yaml_parser_t parser;

    must_be(apr_initialize() == APR_SUCCESS, "apr_initialize");
    must_be(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK, "curl_global_init");
    must_be(sqlite3_initialize() == SQLITE_OK, "sqlite3_initialize");
    must_be(yaml_parser_initialize(&parser), "yaml_parser_initialize");
    yaml_parser_delete(&parser);
    cJSON_Delete(cJSON_CreateObject());
    must(nats_Open(-1), "nats_Open");
}

static natsConnection *connect_tls(const char *url, const char *ca_file)
{
    natsOptions *options = NULL;
    natsConnection *connection = NULL;

    must(natsOptions_Create(&options), "options");
    must(natsOptions_SetURL(options, url), url);
    must(natsOptions_SetSecure(options, true), "tls");
    must(natsOptions_LoadCATrustedCertificates(options, ca_file), ca_file);
    must(natsConnection_Connect(&connection, options), url);
    natsOptions_Destroy(options);
    return connection;
}

int main(int argc, char **argv)
{
    natsConnection *connection;

    sd_notify(0, "READY=1");
    if (argc < 3) {
        return EXIT_SUCCESS;
    }
    open_libraries();
    connection = connect_tls(argv[1], argv[2]);
    puts("connected");
    fflush(stdout);
    (void)getchar();
    natsConnection_Destroy(connection);
    nats_Close();
    return EXIT_SUCCESS;
}
