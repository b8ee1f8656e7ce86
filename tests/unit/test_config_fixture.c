/* One text read as a configuration, and tables of what is wrong with it. */
#include "test_config_fixture.h"

#include <string.h>

#include <apr_strings.h>

#include "../../src/config/sa_config_private.h"

const char *join(const apr_array_header_t *complaints, apr_pool_t *pool)
{
    const char *text = "";

    for (int i = 0; i < complaints->nelts; i++) {
        text = apr_pstrcat(pool, text, i > 0 ? "\n" : "",
                           sa_complaint_format(&APR_ARRAY_IDX(complaints, i, sa_complaint_t), pool),
                           NULL);
    }
    return text;
}

const char *load_bytes(sa_config_t **config, const char *text, size_t length, apr_pool_t *pool)
{
    apr_array_header_t *complaints = NULL;
    sa_error_t *err = sa_config__load_memory(config, &complaints, "t.yaml", text, length, pool);
    bool has_error = false;

    ck_assert_ptr_nonnull(complaints);
    for (int i = 0; i < complaints->nelts; i++) {
        has_error = has_error || !APR_ARRAY_IDX(complaints, i, sa_complaint_t).warning;
    }
    ck_assert_msg(has_error == (err != NULL), "%s", join(complaints, pool));
    ck_assert(has_error == (*config == NULL));
    ck_assert(!err || sa_error_has(err, SA_ERR_CONFIG));
    sa_error_clear(err);
    return join(complaints, pool);
}

const char *load(sa_config_t **config, const char *text, apr_pool_t *pool)
{
    return load_bytes(config, text, strlen(text), pool);
}

void run_cases(const complaint_case_t *cases, size_t count, apr_pool_t *pool)
{
    for (size_t i = 0; i < count; i++) {
        sa_config_t *config;
        const char *got = load(&config, cases[i].text, pool);

        ck_assert_msg(strcmp(got, cases[i].complaints) == 0, "case %d:\n%s\ngot  %s\nwant %s",
                      (int)i, cases[i].text, got, cases[i].complaints);
        ck_assert_msg((config != NULL) == cases[i].loads, "case %d", (int)i);
    }
}
