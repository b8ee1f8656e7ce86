/* Print the journal of a unit as the agent reads it: for stories.
 *
 *     journal UNIT COUNT [newest-first] [since SECONDS] [grep TEXT] [follow SECONDS]
 *
 * Ends with status 1 and the error's text when it cannot be read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>

#include "sa_os_logs.h"
#include "sa_pool.h"
#include "sa_time.h"

static sa_error_t *print(void *baton, const char *line, size_t length)
{
    (void)baton;
    if (line) {
        printf("%.*s\n", (int)length, line);
        fflush(stdout);
    }
    return SA_OK;
}

static apr_interval_time_t seconds(const char *text)
{
    return (apr_interval_time_t)(strtod(text, NULL) * APR_USEC_PER_SEC);
}

static void read_options(sa_os_journal_query_t *query, char **argv)
{
    for (; *argv; argv++) {
        const char *value = argv[1] ? argv[1] : "0";

        if (strcmp(*argv, "newest-first") == 0) {
            query->newest_first = true;
            continue;
        }
        if (strcmp(*argv, "since") == 0) {
            query->since = sa_time_now() - seconds(value);
        } else if (strcmp(*argv, "grep") == 0) {
            query->grep = value;
        } else {
            query->follow_until = sa_time_mono() + seconds(value);
        }
        argv++;
    }
}

int main(int argc, char **argv)
{
    sa_os_journal_query_t query = {0};
    apr_pool_t *pool;
    sa_error_t *err;
    char text[1024];

    if (argc < 3) {
        fprintf(stderr, "journal UNIT COUNT [OPTION...]\n");
        return 2;
    }
    apr_initialize();
    pool = sa_pool_create_root();
    query.unit = argv[1];
    query.count = (int)strtol(argv[2], NULL, 10);
    query.deadline = sa_time_mono() + seconds("20");
    read_options(&query, argv + 3);
    err = sa_os_journal_read(&query, print, NULL, pool);
    if (err) {
        fprintf(stderr, "%s\n", sa_error_text(err, text, sizeof(text)));
    }
    apr_pool_destroy(pool);
    return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
