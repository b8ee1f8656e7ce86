/* What tests of the configuration share: a text, and the complaints that it causes. */
#ifndef TEST_CONFIG_FIXTURE_H
#define TEST_CONFIG_FIXTURE_H

#include "sa_test.h"

#include "sa_config.h"

/* COMPLAINTS (of sa_complaint_t) as lines. */
const char *join(const apr_array_header_t *complaints, apr_pool_t *pool);
/* Load TEXT as if from t.yaml; its complaints as lines.  *CONFIG is NULL when one is no
 * warning. */
const char *load_bytes(sa_config_t **config, const char *text, size_t length, apr_pool_t *pool);
const char *load(sa_config_t **config, const char *text, apr_pool_t *pool);

typedef struct complaint_case_t {
    const char *text;
    const char *complaints;
    bool loads;
} complaint_case_t;
void run_cases(const complaint_case_t *cases, size_t count, apr_pool_t *pool);
#define RUN_CASES(cases) run_cases((cases), sizeof(cases) / sizeof((cases)[0]), pool)

#endif
