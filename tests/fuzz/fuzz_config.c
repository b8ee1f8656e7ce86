/* libFuzzer entry: any bytes as a configuration file, as --set, and as what the platform sets. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "sa_config.h"
#include "sa_pool.h"
#include "../../src/config/sa_config_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(void *baton, const char *path, const char *value, const char *where)
{
    *(size_t *)baton += strlen(path) + strlen(value) + strlen(where);
}

static void use(const sa_config_t *config, apr_pool_t *pool)
{
    const char *restart;
    size_t bytes = 0;

    sa_config_each(config, look, &bytes, pool);
    if (sa_config_compare(&restart, config, config, pool) != 0 || bytes == 0) {
        abort();
    }
    bytes = strlen(sa_config_reserved(config, pool)) + strlen(sa_config_insecure(config, pool));
}

static void check(const sa_config_t *config, const apr_array_header_t *complaints, bool failed,
                  apr_pool_t *pool)
{
    bool has_error = false;

    for (int i = 0; i < complaints->nelts; i++) {
        const sa_complaint_t *complaint = &APR_ARRAY_IDX(complaints, i, sa_complaint_t);

        has_error = has_error || !complaint->warning;
        if (strlen(sa_complaint_format(complaint, pool)) > 4096) {
            abort();
        }
    }
    if (has_error != failed || failed != (config == NULL)
        || complaints->nelts > SA_CONFIG__COMPLAINTS + 1) {
        abort();
    }
    if (config) {
        use(config, pool);
    }
}

static void load_set(const char *text, apr_pool_t *pool)
{
    apr_pool_t *scratch_pool = sa_pool_create(pool);
    sa_config__loader_t *loader = sa_config__begin("fuzz", pool, scratch_pool);
    apr_array_header_t *complaints;
    sa_config_t *config;
    sa_error_t *err;

    sa_config__load_set(loader, text);
    err = sa_config__finish(&config, &complaints, loader);
    check(config, complaints, err != NULL, pool);
    sa_error_clear(err);
}

/* As metadata.agent of the platform: what is kept is kept again. */
static void keep_remote(const char *text, size_t size, apr_pool_t *pool)
{
    cJSON *json;
    const char *ignored;
    const char *kept;
    sa_error_t *err = sa_json_parse(&json, text, size, pool);

    if (err) {
        sa_error_clear(err);
        return;
    }
    kept = sa_config_remote_text(&ignored, json, json->child, pool);
    if (strlen(kept) > SA_CONFIG__REMOTE_BYTES || strlen(ignored) > 4096) {
        abort();
    }
    sa_error_clear(sa_json_parse(&json, kept, strlen(kept), pool));
    if (!json || strcmp(kept, sa_config_remote_text(&ignored, json, NULL, pool)) != 0
        || ignored[0]) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    apr_pool_t *pool;
    apr_array_header_t *complaints;
    sa_config_t *config;
    sa_error_t *err;

    if (!ready) {
        apr_initialize();
        ready = true;
    }
    pool = sa_pool_create_root();
    err = sa_config__load_memory(&config, &complaints, "fuzz", (const char *)data, size, pool);
    check(config, complaints, err != NULL, pool);
    sa_error_clear(err);
    keep_remote((const char *)data, size, pool);
    load_set(apr_pstrmemdup(pool, (const char *)data, size), pool);
    apr_pool_destroy(pool);
    return 0;
}
