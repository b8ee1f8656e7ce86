/* What is read and in which order: the file, agent.d, --set, secrets; and the
 * files of tests/data/config and docs. */
#include "sa_test.h"

#include <apr_env.h>
#include <apr_file_io.h>
#include <apr_strings.h>

#include "sa_config.h"
#include "sa_os_file.h"
#include "sa_os_paths.h"
#include "../../src/config/sa_config_private.h"

#define BASE "code: c\nnats.urls: [\"nats://h:4222\"]\n"

/* ---- files of a test's own ----------------------------------------------------- */

#define PRIVATE (APR_FPROT_UREAD | APR_FPROT_UWRITE)
#define PRIVATE_DIRECTORY (PRIVATE | APR_FPROT_UEXECUTE)

static const char *make_directory(apr_pool_t *pool)
{
    const char *parent;
    char *name;
    apr_file_t *file;

    ck_assert_int_eq(apr_temp_dir_get(&parent, pool), APR_SUCCESS);
    name = apr_pstrcat(pool, parent, "/sa-config-XXXXXX", NULL);
    ck_assert_int_eq(apr_file_mktemp(&file, name, 0, pool), APR_SUCCESS);
    name = apr_pstrcat(pool, name, ".d", NULL);
    ck_assert_int_eq(apr_dir_make(name, PRIVATE_DIRECTORY, pool), APR_SUCCESS);
    return name;
}

static void remove_directory(const char *path, apr_pool_t *pool)
{
    apr_dir_t *directory;
    apr_finfo_t info;

    if (apr_dir_open(&directory, path, pool) != APR_SUCCESS) {
        return;
    }
    while (apr_dir_read(&info, APR_FINFO_NAME, directory) == APR_SUCCESS) {
        const char *name = apr_pstrcat(pool, path, "/", info.name, NULL);

        if (strcmp(info.name, ".") != 0 && strcmp(info.name, "..") != 0
            && apr_file_remove(name, pool) != APR_SUCCESS) {
            remove_directory(name, pool);
        }
    }
    apr_dir_close(directory);
    apr_dir_remove(path, pool);
}

static const char *write_bytes(const char *directory, const char *name, const char *text,
                               size_t length, apr_fileperms_t mode, apr_pool_t *pool)
{
    const char *path = apr_pstrcat(pool, directory, "/", name, NULL);
    apr_file_t *file;

    ck_assert_int_eq(apr_file_open(&file, path, APR_FOPEN_WRITE | APR_FOPEN_CREATE
                                   | APR_FOPEN_TRUNCATE, mode, pool), APR_SUCCESS);
    ck_assert_int_eq(apr_file_write_full(file, text, length, NULL), APR_SUCCESS);
    apr_file_close(file);
    ck_assert_int_eq(apr_file_perms_set(path, mode), APR_SUCCESS);
    return path;
}

static const char *write_text(const char *directory, const char *name, const char *text,
                              apr_pool_t *pool)
{
    return write_bytes(directory, name, text, strlen(text), PRIVATE, pool);
}

static void make_drop_ins(const char *directory, apr_pool_t *pool)
{
    ck_assert_int_eq(apr_dir_make(apr_pstrcat(pool, directory, "/agent.d", NULL),
                                  PRIVATE_DIRECTORY, pool), APR_SUCCESS);
}

/* Load PATH and SETS (ending in NULL); the complaints, without DIRECTORY. */
static const char *load(sa_config_t **config, const char *directory, const char *path,
                        const char *const *sets, apr_pool_t *pool)
{
    apr_array_header_t *list = apr_array_make(pool, 4, sizeof(const char *));
    sa_config_source_t source = {.file = path, .sets = list};
    apr_array_header_t *complaints = NULL;
    const char *text = "";
    sa_error_t *err;

    for (; sets && *sets; sets++) {
        APR_ARRAY_PUSH(list, const char *) = *sets;
    }
    err = sa_config_load(config, &complaints, &source, pool);
    ck_assert((err != NULL) == (*config == NULL));
    sa_error_clear(err);
    for (int i = 0; i < complaints->nelts; i++) {
        const char *line =
            sa_complaint_format(&APR_ARRAY_IDX(complaints, i, sa_complaint_t), pool);

        if (directory && strncmp(line, directory, strlen(directory)) == 0) {
            line += strlen(directory) + 1;
        }
        text = apr_pstrcat(pool, text, i > 0 ? "\n" : "", line, NULL);
    }
    return text;
}

/* ---- files ---------------------------------------------------------------------- */

SA_TEST(the_drop_ins_come_after_the_file_in_the_order_of_their_names)
{
    const char *directory = make_directory(pool);
    const char *main_file = write_text(directory, "a.yaml",
                                       BASE "location: main\nspool.window: 1\n"
                                       "commands.reply_prefixes: [a., b.]\n"
                                       "tasks: {exporters: [{name: m, url: 'http://h'}]}\n", pool);
    sa_config_t *config;

    make_drop_ins(directory, pool);
    write_text(directory, "agent.d/20-b.yaml", "location: twenty\n", pool);
    write_text(directory, "agent.d/10-a.yaml",
               "location: ten\nspool: {window: 10}\ncommands.reply_prefixes: [c.]\n"
               "tasks: {exporters: [{name: x, url: 'http://h'}]}\n", pool);
    write_text(directory, "agent.d/.hidden.yaml", "spool.max_age: 1h\n", pool);
    write_text(directory, "agent.d/30.yaml~", "location: backup\n", pool);
    write_text(directory, "agent.d/.yaml", "location: nameless\n", pool);
    ck_assert_str_eq(load(&config, directory, main_file, NULL, pool), "");
    ck_assert_str_eq(config->location, "twenty");
    ck_assert_int_eq(config->spool_window, 10);
    ck_assert(sa_config_is_default(config, "spool.max_age"));
    ck_assert_int_eq(config->reply_prefixes->nelts, 1);
    ck_assert_str_eq(APR_ARRAY_IDX(config->reply_prefixes, 0, const char *), "c.");
    ck_assert_int_eq(config->exporters->nelts, 2);
    ck_assert_str_eq(APR_ARRAY_IDX(config->exporters, 1, sa_exporter_config_t).name, "x");
    ck_assert_str_eq(sa_config_origin(config, "location", pool),
                     apr_pstrcat(pool, directory, "/agent.d/20-b.yaml:1", NULL));
    ck_assert_str_eq(sa_config_origin(config, "code", pool),
                     apr_pstrcat(pool, main_file, ":1", NULL));
    remove_directory(directory, pool);
}

SA_TEST(the_files_of_a_configuration_are_known_and_those_of_its_secrets)
{
    const char *directory = make_directory(pool);
    const char *token = write_text(directory, "token", "t", pool);
    const char *bearer = write_text(directory, "bearer", "t", pool);
    const char *main_file = write_text(directory, "a.yaml", apr_pstrcat(pool,
        BASE "nats.auth: {type: token, token_file: ", token, "}\n"
        "tasks: {exporters: [{name: m, url: 'https://h', bearer_file: ", bearer, "},"
        " {name: n, url: 'http://h'}]}\n", NULL), pool);
    const char *files;
    sa_config_t *config;

    make_drop_ins(directory, pool);
    write_text(directory, "agent.d/1.yaml", "location: ten\n", pool);
    ck_assert_str_eq(load(&config, directory, main_file, NULL, pool), "");
    files = apr_array_pstrcat(pool, sa_config_files(config, pool), ' ');
    ck_assert_str_eq(files, apr_psprintf(pool, "%s %s/agent.d %s/agent.d/1.yaml %s %s", main_file,
                                         directory, directory, token, bearer));
    remove_directory(directory, pool);
}

SA_TEST(a_drop_in_may_use_another_spelling)
{
    const char *directory = make_directory(pool);
    const char *main_file = write_text(directory, "a.yaml",
                                       "device_id: old\nnats.urls: [nats://h]\n", pool);
    sa_config_t *config;

    make_drop_ins(directory, pool);
    write_text(directory, "agent.d/a.yaml", "code: new\n", pool);
    ck_assert_str_eq(load(&config, directory, main_file, NULL, pool), "");
    ck_assert_str_eq(config->code, "new");
    remove_directory(directory, pool);
}

SA_TEST(complaints_of_several_files_come_in_the_order_of_reading)
{
    const char *directory = make_directory(pool);
    const char *main_file = write_text(directory, "z.yaml",
                                       "nats.urls: [nats://h]\nlocation: a.b\n", pool);
    sa_config_t *config;

    make_drop_ins(directory, pool);
    write_text(directory, "agent.d/b.yml", "", pool);
    write_text(directory, "agent.d/a.yaml", "tasks: {exporters: [{name: n, url: 'http://h'}]}\n",
               pool);
    write_text(directory, "agent.d/b.yaml",
               "\ntasks: {exporters: [{name: n, url: 'http://h'}]}\n", pool);
    ck_assert_str_eq(load(&config, directory, main_file,
                          (const char *const[]){"spool.window=0", NULL}, pool),
                     apr_pstrcat(pool,
                                 "z.yaml: code is missing\n"
                                 "z.yaml: ", directory, "/agent.d/b.yml is not read: its name must "
                                 "end in .yaml\n"
                                 "z.yaml:2: location: \"a.b\" must be letters, digits, - and _ "
                                 "only\nagent.d/b.yaml:2: tasks.exporters[].name: \"n\" is taken "
                                 "already (",
                                 directory, "/agent.d/a.yaml:1)\n"
                                 "--set: spool.window: \"0\" must be from 1 to 4096", NULL));
    remove_directory(directory, pool);
}

SA_TEST(files_that_cannot_be_read_are_named)
{
    const char *directory = make_directory(pool);
    const char *big = apr_palloc(pool, 2 << 20);
    sa_config_t *config;

    memset((char *)big, ' ', 2 << 20);
    ck_assert_ptr_nonnull(strstr(load(&config, directory,
                                      apr_pstrcat(pool, directory, "/none.yaml", NULL), NULL, pool),
                                 "No such file"));
    ck_assert_str_eq(load(&config, directory,
                          write_bytes(directory, "big.yaml", big, 2 << 20, PRIVATE, pool), NULL,
                          pool),
                     "big.yaml: larger than 1048576 bytes");
    ck_assert_ptr_nonnull(strstr(load(&config, directory, directory, NULL, pool),
                                 "not a regular file"));
    ck_assert_str_eq(load(&config, directory,
                          write_bytes(directory, "open.yaml", BASE, strlen(BASE),
                                      PRIVATE | APR_FPROT_WWRITE | APR_FPROT_WREAD, pool), NULL,
                          pool),
                     apr_pstrcat(pool, "open.yaml: everybody can change ", directory,
                                 "/open.yaml; take that right away", NULL));
    remove_directory(directory, pool);
}

SA_TEST(a_directory_that_everybody_can_fill_is_refused)
{
    const char *directory = make_directory(pool);
    const char *main_file = write_text(directory, "a.yaml", BASE, pool);
    const char *drop_ins = apr_pstrcat(pool, directory, "/agent.d", NULL);
    sa_config_t *config;

    make_drop_ins(directory, pool);
    ck_assert_int_eq(apr_file_perms_set(drop_ins, PRIVATE_DIRECTORY | APR_FPROT_WWRITE),
                     APR_SUCCESS);
    ck_assert_str_eq(load(&config, directory, main_file, NULL, pool),
                     apr_pstrcat(pool, "a.yaml: everybody can change ", drop_ins,
                                 "; take that right away", NULL));
    remove_directory(directory, pool);
}

SA_TEST(there_are_only_so_many_files)
{
    const char *directory = make_directory(pool);
    const char *main_file = write_text(directory, "a.yaml", BASE, pool);
    sa_config_t *config;

    make_drop_ins(directory, pool);
    for (int i = 0; i < SA_CONFIG__FILES - 1; i++) {
        write_text(directory, apr_psprintf(pool, "agent.d/%d.yaml", i), "", pool);
    }
    ck_assert_str_eq(load(&config, directory, main_file, NULL, pool), "");
    write_text(directory, "agent.d/more.yaml", "", pool);
    ck_assert_ptr_nonnull(strstr(load(&config, directory, main_file, NULL, pool),
                                 "more than 63 files"));
    remove_directory(directory, pool);
}

SA_TEST(without_a_file_the_place_and_the_way_out_are_named)
{
    const char *own = apr_pstrcat(pool, sa_os_path_config(pool), "/agent.yaml", NULL);
    bool is_there = sa_os_file_exists(own, pool) || sa_os_file_exists(sa_os_path_go_config(), pool);
    sa_config_t *config;
    const char *text = load(&config, NULL, NULL, NULL, pool);
    const char *complaint =
        apr_pstrcat(pool, own, ": is missing; name another file with --config FILE", NULL);

    ck_assert_msg((strcmp(text, complaint) == 0) == !is_there, "%s", text);
}

/* ---- --set ------------------------------------------------------------------------ */

SA_TEST(the_command_line_sets_every_type_and_wins)
{
    const char *directory = make_directory(pool);
    const char *main_file = write_text(directory, "a.yaml",
                                       BASE "location: main\n"
                                       "tasks: {exporters: [{name: m, url: 'http://h'}]}\n", pool);
    static const char *const sets[] = {
        "location=first", "location=second", "nats.micro=false", "spool.window=9",
        "tasks.metrics.interval=45s", "spool.max_size=2MB", "nats.auth_type=stone-age",
        "nats.auth.stone-age={url: 'https://p', identity: a}", "platform.sync_interval=2s",
        "nats.urls=nats://a,nats://b", "commands.reply_prefixes=[x., \"y.\"]", "logging.file=",
        "tasks.exporters=[{name: node, url: 'http://n', labels: {a: b}}]",
        "logging={level: debug, max_backups: 1}", NULL};
    sa_config_t *config;

    ck_assert_str_eq(load(&config, directory, main_file, sets, pool), "");
    ck_assert_str_eq(config->location, "second");
    ck_assert(!config->nats_micro);
    ck_assert_int_eq(config->spool_window, 9);
    ck_assert_int_eq(config->metrics_interval, apr_time_from_sec(45));
    ck_assert_int_eq(config->spool_max_size, 2 << 20);
    ck_assert_int_eq(config->nats_auth_type, SA_AUTH_PLATFORM);
    ck_assert_int_eq(config->nats_urls->nelts, 2);
    ck_assert_str_eq(APR_ARRAY_IDX(config->nats_urls, 1, const char *), "nats://b");
    ck_assert_int_eq(config->reply_prefixes->nelts, 2);
    ck_assert_int_eq(config->exporters->nelts, 1);
    ck_assert_str_eq(APR_ARRAY_IDX(config->exporters, 0, sa_exporter_config_t).name, "node");
    ck_assert_int_eq(config->log_level, 3);
    ck_assert_int_eq(config->log_max_backups, 1);
    ck_assert_str_eq(sa_config_origin(config, "location", pool), "--set");
    ck_assert_str_eq(sa_config_origin(config, "logging.level", pool), "--set");
    remove_directory(directory, pool);
}

SA_TEST(mistakes_on_the_command_line_are_errors)
{
    static const struct {
        const char *set;
        const char *complaint;
    } cases[] = {
        {"location", "--set: must be KEY=VALUE"},
        {"=x", "--set: must be KEY=VALUE"},
        {"locaton=x", "--set: locaton is not an option; did you mean location?"},
        {"nats.auth.token=hunter2",
         "--set: nats.auth.token must not stand here: put it into a file and name that by "
         "nats.auth.token_file, or name an environment variable by nats.auth.token_env"},
        {"nats.urls=", "--set: nats.urls: \"\" must not be empty"},
        {"nats.urls=[nats://a", "--set: not YAML: while parsing a flow sequence, did not find "
                                "expected ',' or ']'"},
        {"nats=x", "--set: nats must be a group of settings, not one value"},
        {"location=a\x01", "--set: not text in UTF-8 (control characters are not allowed)"},
        {"location=a\xff", "--set: not text in UTF-8 (invalid leading UTF-8 octet)"},
        {"location=a\nb", "--set: location: \"a?b\" must not hold control characters"},
        {"location=a\"\\b", "--set: location: \"a\"\\b\" must be letters, digits, - and _ only"},
        {"tasks.exporters=x", "--set: tasks.exporters must be a list of groups, not one value"},
        {"tasks={heartbeat: {interval: 1s, interval: 2s}}",
         "--set: tasks.heartbeat.interval: \"1s\" must be from 10s to 24h\n"
         "--set: tasks.heartbeat.interval is set twice; first"},
    };
    const char *directory = make_directory(pool);
    const char *main_file = write_text(directory, "a.yaml", BASE, pool);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sa_config_t *config;

        ck_assert_str_eq(load(&config, directory, main_file,
                              (const char *const[]){cases[i].set, NULL}, pool),
                         cases[i].complaint);
        ck_assert_ptr_null(config);
    }
    remove_directory(directory, pool);
}

/* ---- secrets ------------------------------------------------------------------------ */

static const char *token_of(const sa_config_t *config, apr_pool_t *pool)
{
    const char *value = NULL;

    SA_ASSERT_OK(sa_secret_read(&value, &config->nats_token, pool));
    return value;
}

SA_TEST(a_secret_comes_from_a_file_a_variable_or_a_credential)
{
    const char *directory = make_directory(pool);
    const char *plain = write_text(directory, "a.yaml", BASE "nats.auth.type: token\n", pool);
    const char *by_file =
        write_text(directory, "f.yaml",
                   apr_pstrcat(pool, BASE "nats.auth.type: token\nnats.auth.token_file: ",
                               write_text(directory, "token", "from-file\r\n\n", pool), "\n", NULL),
                   pool);
    const char *by_env = write_text(directory, "e.yaml",
                                    BASE "nats.auth.type: token\n"
                                    "nats.auth.token_env: SA_TEST_TOKEN\n",
                                    pool);
    sa_config_t *config;

    ck_assert_str_eq(load(&config, directory, by_file, NULL, pool), "");
    ck_assert_str_eq(token_of(config, pool), "from-file");
    ck_assert_int_eq(apr_env_set("SA_TEST_TOKEN", "from-env", pool), APR_SUCCESS);
    ck_assert_str_eq(load(&config, directory, by_env, NULL, pool), "");
    ck_assert_str_eq(token_of(config, pool), "from-env");

    ck_assert_int_eq(apr_dir_make(apr_pstrcat(pool, directory, "/creds", NULL),
                                  PRIVATE_DIRECTORY, pool), APR_SUCCESS);
    write_text(directory, "creds/nats.auth.token", "from-credential", pool);
    ck_assert_int_eq(apr_env_set("CREDENTIALS_DIRECTORY",
                                 apr_pstrcat(pool, directory, "/creds", NULL), pool), APR_SUCCESS);
    ck_assert_str_eq(load(&config, directory, plain, NULL, pool), "");
    ck_assert_str_eq(token_of(config, pool), "from-credential");
    ck_assert_str_eq(sa_config_origin(config, "nats.auth.token", pool), "credential");
    ck_assert_str_eq(load(&config, directory, by_env, NULL, pool),
                     "e.yaml:4: nats.auth.token_env: there is a systemd credential nats.auth.token "
                     "as well; one of them must go");
    apr_env_delete("CREDENTIALS_DIRECTORY", pool);
    apr_env_delete("SA_TEST_TOKEN", pool);
    remove_directory(directory, pool);
}

SA_TEST(an_unsafe_or_useless_secret_file_is_refused_without_its_content)
{
    const char *directory = make_directory(pool);
    const char *main_file = write_text(directory, "a.yaml", BASE "nats.auth.type: token\n", pool);
    static const struct {
        const char *bytes;
        int length;
        apr_fileperms_t mode;
        const char *complaint;
    } cases[] = {
        {"hunter2\n", 8, PRIVATE | APR_FPROT_WREAD, "others can read or change it"},
        {"hunter2\n", 8, PRIVATE | APR_FPROT_GWRITE, "others can read or change it"},
        {"", 0, PRIVATE, "nats.auth.token is empty"},
        {"\n\n", 2, PRIVATE, "nats.auth.token is empty"},
        {"hun\0ter2", 8, PRIVATE, "nats.auth.token holds a NUL character"},
        {NULL, 65537, PRIVATE, "larger than 65536 bytes"},
    };
    char *big = apr_palloc(pool, 65537);

    memset(big, 'h', 65537);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *path = write_bytes(directory, "token", cases[i].bytes ? cases[i].bytes : big,
                                       (size_t)cases[i].length, cases[i].mode, pool);
        const char *set = apr_pstrcat(pool, "nats.auth.token_file=", path, NULL);
        sa_config_t *config;
        const char *got =
            load(&config, directory, main_file, (const char *const[]){set, NULL}, pool);

        ck_assert_msg(strstr(got, cases[i].complaint) != NULL, "%s", got);
        ck_assert_msg(strstr(got, "hunter2") == NULL, "%s", got);
        ck_assert_ptr_null(config);
    }
    remove_directory(directory, pool);
}

/* As good in a list of structs as anywhere. */
SA_TEST(exporters_have_secrets_of_their_own)
{
    const char *directory = make_directory(pool);
    const char *secret = write_text(directory, "secret", "s3cret\n", pool);
    const char *text = apr_psprintf(pool, "code: c\nnats: {urls: [\"nats://h\"]}\ntasks:\n"
                                    "  exporters:\n"
                                    "    - {name: a, url: 'https://h', bearer_file: %s}\n"
                                    "    - {name: b, url: 'https://h', username: u,"
                                    " password_file: %s}\n", secret, secret);
    const char *file = write_text(directory, "agent.yaml", text, pool);
    const sa_exporter_config_t *exporter;
    sa_config_t *config;
    const char *value;

    ck_assert_str_eq(load(&config, directory, file, NULL, pool), "");
    exporter = &APR_ARRAY_IDX(config->exporters, 0, sa_exporter_config_t);
    SA_ASSERT_OK(sa_secret_read(&value, &exporter->bearer, pool));
    ck_assert_str_eq(value, "s3cret");
    ck_assert_int_eq(exporter->password.source, SA_SECRET_NONE);
    exporter = &APR_ARRAY_IDX(config->exporters, 1, sa_exporter_config_t);
    SA_ASSERT_OK(sa_secret_read(&value, &exporter->password, pool));
    ck_assert_str_eq(value, "s3cret");
    ck_assert_str_eq(exporter->password.path, "tasks.exporters[].password");
    ck_assert_int_eq(apr_file_perms_set(secret, APR_FPROT_UREAD | APR_FPROT_WREAD), APR_SUCCESS);
    ck_assert_ptr_nonnull(strstr(load(&config, directory, file, NULL, pool),
                                 "agent.yaml:5: cannot read the secret "
                                 "tasks.exporters[].bearer"));
    remove_directory(directory, pool);
}

static void find_secret(void *baton, const char *path, const char *value, const char *where)
{
    (void)path;
    (void)where;
    ck_assert_ptr_null(strstr(value, "hunter2"));
    if (strncmp(value, "environment ", 12) == 0) {
        *(bool *)baton = true;
    }
}

SA_TEST(a_listing_says_where_a_secret_is_and_not_what)
{
    const char *directory = make_directory(pool);
    const char *main_file = write_text(directory, "a.yaml",
                                       BASE "nats.auth.token_env: SA_TEST_TOKEN\n", pool);
    sa_config_t *config;
    bool found = false;

    ck_assert_int_eq(apr_env_set("SA_TEST_TOKEN", "hunter2", pool), APR_SUCCESS);
    ck_assert_str_eq(load(&config, directory, main_file, NULL, pool), "");
    sa_config_each(config, find_secret, &found, pool);
    ck_assert(found);
    apr_env_delete("SA_TEST_TOKEN", pool);
    SA_ASSERT_ERR(sa_secret_read(&directory, &config->nats_token, pool), SA_ERR_CONFIG);
    SA_ASSERT_ERR(sa_secret_read(&directory, &config->nats_password, pool), SA_ERR_CONFIG);
    remove_directory(apr_pstrndup(pool, main_file, strlen(main_file) - 7), pool);
}

/* The value is in memory that outlives the cleanup: an outer pool's. */
SA_TEST(a_secret_is_wiped_with_its_pool)
{
    apr_allocator_t *allocator;
    apr_pool_t *own;
    sa_secret_t secret = {.source = SA_SECRET_ENV, .where = "SA_TEST_TOKEN", .path = "x"};
    const char *value;
    char *big = apr_palloc(pool, 4000);

    memset(big, 's', 4000);
    big[3999] = '\0';
    ck_assert_int_eq(apr_env_set("SA_TEST_TOKEN", big, pool), APR_SUCCESS);
    /* The allocator keeps what the pool gives back, so that it can be looked at. */
    ck_assert_int_eq(apr_allocator_create(&allocator), APR_SUCCESS);
    ck_assert_int_eq(apr_pool_create_unmanaged_ex(&own, NULL, allocator), APR_SUCCESS);
    SA_ASSERT_OK(sa_secret_read(&value, &secret, own));
    ck_assert_int_eq(value[2000], 's');
    apr_pool_clear(own);
    ck_assert_int_eq(value[2000], '\0');
    apr_pool_destroy(own);
    apr_allocator_destroy(allocator);
    apr_env_delete("SA_TEST_TOKEN", pool);
}

/* ---- the files we ship ----------------------------------------------------------------- */

static const char *source_file(const char *name, apr_pool_t *pool)
{
    const char *top = getenv("srcdir");

    return apr_pstrcat(pool, top ? top : ".", "/", name, NULL);
}

/* COMPLAINTS without those of what is installed here. */
static const char *without_machine(const char *complaints, apr_pool_t *pool)
{
    char *copy = apr_pstrdup(pool, complaints);
    char *last = NULL;
    const char *kept = "";

    for (char *line = apr_strtok(copy, "\n", &last); line; line = apr_strtok(NULL, "\n", &last)) {
        if (!strstr(line, "not on this machine")) {
            kept = apr_pstrcat(pool, kept, *kept ? "\n" : "", line, NULL);
        }
    }
    return kept;
}

SA_TEST(every_spelling_loads)
{
    static const struct {
        const char *name;
        const char *code;
        const char *warnings;
        const char *reserved;
    } cases[] = {
        {"brief.yaml", "chicago-warehouse-vent-01", "", ""},
        {"go-linux.yaml", "berlin-db-03", "", "nats.max_reconnects"},
        {"go-platform.yaml", "shop-pc-7",
         "go-platform.yaml:11: the environment variable that platform.password_env names is not "
         "set", ""},
        {"platform.yaml", "gateway-12",
         "platform.yaml:6: the environment variable that platform.password_env names is not set",
         "sync"},
        {"stone-age.yaml", "gateway-13", "", ""},
        {"minimal.yaml", "t1", "", ""},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *directory = source_file("tests/data/config", pool);
        const char *file = apr_pstrcat(pool, directory, "/", cases[i].name, NULL);
        sa_config_t *config;

        ck_assert_str_eq(without_machine(load(&config, directory, file, NULL, pool), pool),
                         cases[i].warnings);
        ck_assert_msg(config != NULL, "%s", cases[i].name);
        ck_assert_str_eq(config->code, cases[i].code);
        ck_assert_str_eq(sa_config_reserved(config, pool), cases[i].reserved);
    }
}

SA_TEST(the_values_of_the_go_agents_file_arrive)
{
    sa_config_t *config;

    load(&config, NULL, source_file("tests/data/config/go-linux.yaml", pool), NULL, pool);
    ck_assert_str_eq(config->nats_creds_file, "/etc/agent/berlin-db-03.creds");
    ck_assert_int_eq(config->nats_reconnect_wait, apr_time_from_sec(2));
    ck_assert_int_eq(config->nats_drain_timeout, apr_time_from_sec(30));
    ck_assert_int_eq(config->metrics_interval, apr_time_from_sec(300));
    ck_assert(config->services_enabled);
    ck_assert_int_eq(config->services->nelts, 2);
    ck_assert_str_eq(APR_ARRAY_IDX(config->services, 1, const char *), "chrony");
    ck_assert_int_eq(config->inventory_interval, apr_time_from_sec(24 * 3600));
    ck_assert_str_eq(config->log_file, "/var/log/agent/agent.log");
    ck_assert_str_eq(config->scripts_directory, "/opt/agent/scripts");
    ck_assert_int_eq(config->allowed_services->nelts, 1);
    ck_assert_int_eq(config->allowed_log_paths->nelts, 1);
    ck_assert_int_eq(config->command_timeout, apr_time_from_sec(30));
    ck_assert_int_eq(config->allowed_commands->nelts, 2);
    ck_assert_str_eq(APR_ARRAY_IDX(config->allowed_commands, 1, sa_allowed_command_t).line,
                     "ss -tln | wc -l");
    load(&config, NULL, source_file("tests/data/config/go-platform.yaml", pool), NULL, pool);
    ck_assert_int_eq(config->nats_auth_type, SA_AUTH_PLATFORM);
    ck_assert_str_eq(config->platform_url, "https://platform.example.net");
    ck_assert_str_eq(config->platform_identity, "shop-pc-7@acme.thing.local");
    ck_assert_str_eq(config->platform_password.where, "AGENT_PB_PASSWORD");
    load(&config, NULL, source_file("tests/data/config/platform.yaml", pool), NULL, pool);
    ck_assert_str_eq(config->platform_session_file, "/var/lib/agent/session.json");
    ck_assert_int_eq(config->platform_sync_interval, apr_time_from_sec(24 * 3600));
    load(&config, NULL, source_file("tests/data/config/stone-age.yaml", pool), NULL, pool);
    ck_assert_str_eq(config->platform_identity, "gateway-13@acme.thing.local");
}

SA_TEST(the_briefs_file_with_a_server_of_our_own_runs)
{
    sa_config_t *config;

    ck_assert_str_eq(
        without_machine(load(&config, NULL, source_file("tests/data/config/brief.yaml", pool),
                             (const char *const[]){"nats.urls=nats://127.0.0.1:4222", NULL}, pool),
                        pool),
        "");
    ck_assert_int_eq(config->heartbeat_interval, apr_time_from_sec(30));
    ck_assert_int_eq(config->metrics_interval, apr_time_from_sec(60));
    ck_assert_str_eq(config->code, "chicago-warehouse-vent-01");
    ck_assert_str_eq(APR_ARRAY_IDX(config->nats_urls, 0, const char *), "nats://127.0.0.1:4222");
}

SA_TEST(all_mistakes_of_a_file_are_named_at_once)
{
    static const char expected[] =
        "bad.yaml: code is missing\n"
        "bad.yaml:3: nats.urls: \"http://nats.example.com\" must be nats://, tls://, ws:// or "
        "wss:// with a host and, if need be, a port\n"
        "bad.yaml:5: nats.auth.type: \"password\" must be one of creds, token, userpass, nkey, "
        "none, platform\n"
        "bad.yaml:6: nats.auth.token must not stand here: put it into a file and name that by "
        "nats.auth.token_file, or name an environment variable by nats.auth.token_env\n"
        "bad.yaml:7: nats.tls must be a group of settings, not one value\n"
        "bad.yaml:10: tasks.heartbeet.interval is not an option; did you mean "
        "tasks.heartbeat.interval?\n"
        "bad.yaml:12: tasks.heartbeat.interval: \"5s\" must be from 10s to 24h\n"
        "bad.yaml:13: tasks.heartbeat.enabled: \"on\" must be true or false\n"
        "bad.yaml:14: tasks.heartbeat.enabled is set twice; first on line 13\n"
        "bad.yaml:16: tasks.system_metrics.interval must be one value, not a list\n"
        "bad.yaml:18: tasks.exporters[].url is missing\n"
        "bad.yaml:20: tasks.exporters[].name: \"no de\" must be letters, digits, - and _ only\n"
        "bad.yaml:21: tasks.exporters[].timeout: \"1h\" must be from 100ms to 2m\n"
        "bad.yaml:23: logging.level: \"loud\" must be one of error, warn, info, debug\n"
        "bad.yaml:25: spool.window: \"many\" must be a whole number from 1 to 4096\n"
        "bad.yaml:26: spool.max_size: \"12XB\" must be a size, such as 64KB or 1GB, from 1MB to "
        "64GB";
    const char *directory = source_file("tests/data/config", pool);
    sa_config_t *config;

    ck_assert_str_eq(load(&config, directory, apr_pstrcat(pool, directory, "/bad.yaml", NULL), NULL,
                          pool), expected);
}

/* ---- the example file ------------------------------------------------------------------- */

/* TEXT with every setting's "#" taken away; prose begins "# x", a setting "#x"
 * or "#  x".  Secrets stay out: their files do not exist here. */
static const char *uncomment(const char *text, apr_pool_t *pool)
{
    char *copy = apr_pstrdup(pool, text);
    char *to = copy;

    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n") + 1;
        size_t indent = strspn(line, " ");
        const char *mark = line + indent;
        bool is_setting = *mark == '#' && (mark[1] != ' ' || mark[2] == ' ') && mark[1] != '\n';
        bool is_secret = strncmp(mark, "#token_file", 11) == 0
                         || strncmp(mark, "#password_file", 14) == 0;

        memcpy(to, line, indent);
        to += indent;
        if (is_setting && !is_secret) {
            mark++;
        }
        memcpy(to, mark, (size_t)(line + length - mark));
        to += line + length - mark;
        line += length;
    }
    *to = '\0';
    return copy;
}

static const char *read_example(apr_pool_t *pool)
{
    apr_file_t *file;
    char *text = apr_pcalloc(pool, 65536);
    apr_size_t length = 65535;

    ck_assert_int_eq(apr_file_open(&file, source_file("docs/config.example.yaml", pool),
                                   APR_FOPEN_READ, APR_FPROT_OS_DEFAULT, pool), APR_SUCCESS);
    ck_assert_int_eq(apr_file_read(file, text, &length), APR_SUCCESS);
    apr_file_close(file);
    return text;
}

SA_TEST(the_example_lacks_only_what_is_required)
{
    sa_config_t *config;
    const char *file = source_file("docs/config.example.yaml", pool);

    ck_assert_str_eq(load(&config, NULL, file, NULL, pool),
                     apr_psprintf(pool, "%s: code is missing\n%s: nats.urls is missing", file,
                                  file));
    ck_assert_str_eq(load(&config, NULL, file,
                          (const char *const[]){"code=x", "nats.urls=nats://h", NULL}, pool), "");
}

static void expect_from_file(void *baton, const char *path, const char *value, const char *where)
{
    (void)baton;
    (void)value;
    /* the optional ones of an exporter stay behind a second #; of commands it shows some */
    if (!strstr(path, "token") && !strstr(path, "password") && !strstr(path, "exporters[")
        && !strstr(path, "allowed_commands[")) {
        ck_assert_msg(strncmp(where, "example:", 8) == 0, "%s comes from %s", path, where);
    }
}

SA_TEST(the_example_with_everything_taken_in_sets_every_option_to_its_default)
{
    const char *text = uncomment(read_example(pool), pool);
    static const char plain[] = "code: chicago-warehouse-vent-01\n"
                                "nats.urls: [\"nats://nats.example.com:4222\"]\n";
    apr_array_header_t *complaints;
    sa_config_t *config;
    sa_config_t *defaults;
    const char *restart;

    SA_ASSERT_OK(sa_config__load_memory(&config, &complaints, "example", text, strlen(text), pool));
    for (int i = 0; i < complaints->nelts; i++) {
        const char *complaint = APR_ARRAY_IDX(complaints, i, sa_complaint_t).text;

        ck_assert_msg(strstr(complaint, "not on this machine")
                      || strstr(complaint, "while nats.auth.type is not platform"), "%s",
                      complaint);
    }
    sa_config_each(config, expect_from_file, NULL, pool);
    SA_ASSERT_OK(sa_config__load_memory(&defaults, &complaints, "p", plain, strlen(plain), pool));
    ck_assert_uint_eq(sa_config_compare(&restart, defaults, config, pool),
                      SA_ROOM_LINK | SA_ROOM_TASK | SA_ROOM_COMMAND | SA_ROOM_IDENTITY
                          | SA_ROOM_MESH);
    ck_assert_str_eq(restart, "");
    /* the only differences, and what has an example instead of its default */
    ck_assert_int_eq(config->exporters->nelts, 1);
    ck_assert_int_eq(config->allowed_commands->nelts, 5);
}

SA_TEST_MAIN("config_sources", the_drop_ins_come_after_the_file_in_the_order_of_their_names,
             the_files_of_a_configuration_are_known_and_those_of_its_secrets,
             a_drop_in_may_use_another_spelling,
             complaints_of_several_files_come_in_the_order_of_reading,
             files_that_cannot_be_read_are_named, a_directory_that_everybody_can_fill_is_refused,
             there_are_only_so_many_files,
             without_a_file_the_place_and_the_way_out_are_named,
             the_command_line_sets_every_type_and_wins, mistakes_on_the_command_line_are_errors,
             a_secret_comes_from_a_file_a_variable_or_a_credential,
             an_unsafe_or_useless_secret_file_is_refused_without_its_content,
             a_listing_says_where_a_secret_is_and_not_what, exporters_have_secrets_of_their_own,
             a_secret_is_wiped_with_its_pool,
             every_spelling_loads, the_values_of_the_go_agents_file_arrive,
             the_briefs_file_with_a_server_of_our_own_runs,
             all_mistakes_of_a_file_are_named_at_once,
             the_example_lacks_only_what_is_required,
             the_example_with_everything_taken_in_sets_every_option_to_its_default)
