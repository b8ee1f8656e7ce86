/* Where Linux keeps our files, with and without systemd. */
#include "sa_os_paths.h"

#include "sa_test.h"

typedef struct row_t {
    const char *value;      /* NULL: not set */
    const char *expected;   /* NULL: the fallback */
} row_t;

static const row_t rows[] = {
    {NULL, NULL},
    {"", NULL},
    {"relative/dir", NULL},
    {":/second", NULL},
    {"/var/lib/other", "/var/lib/other"},
    {"/var/lib/private/one:/var/lib/two", "/var/lib/private/one"},
    {"/with space", "/with space"},
};

static void check(const char *variable, const char *(*path)(apr_pool_t *pool),
                  const char *fallback, apr_pool_t *pool)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *expected = rows[i].expected ? rows[i].expected : fallback;

        unsetenv(variable);
        if (rows[i].value) {
            setenv(variable, rows[i].value, 1);
        }
        ck_assert_pstr_eq(path(pool), expected);
    }
    unsetenv(variable);
}

SA_TEST(systemd_names_the_state_directory)
{
    check("STATE_DIRECTORY", sa_os_path_state, "/var/lib/stone-age", pool);
}

SA_TEST(systemd_names_the_runtime_directory)
{
    check("RUNTIME_DIRECTORY", sa_os_path_runtime, "/run/stone-age", pool);
}

SA_TEST(systemd_names_the_credentials_directory_or_there_is_none)
{
    check("CREDENTIALS_DIRECTORY", sa_os_path_credentials, NULL, pool);
}

SA_TEST(the_configuration_has_a_fixed_place)
{
    ck_assert_str_eq(sa_os_path_config(pool), "/etc/stone-age");
    ck_assert_str_eq(sa_os_path_go_config(), "/etc/agent/config.yaml");
}

SA_TEST_MAIN("os_paths", systemd_names_the_state_directory, systemd_names_the_runtime_directory,
             systemd_names_the_credentials_directory_or_there_is_none,
             the_configuration_has_a_fixed_place)
