/* task: what two readings of the counters make of the machine. */
#include "../../src/task/sa_task_private.h"

#include "sa_test.h"

#define GIB (APR_UINT64_C(1024) * 1024 * 1024)

static sa_metrics_sample_t *make_sample(apr_interval_time_t at, apr_uint64_t total,
                                        apr_uint64_t idle, apr_uint64_t read_bytes,
                                        apr_uint64_t written_bytes, apr_pool_t *pool)
{
    sa_metrics_sample_t *sample = apr_pcalloc(pool, sizeof(*sample));
    sa_os_disk_t *disk;

    sample->at = at;
    sample->cpu = (sa_os_cpu_t){total, idle};
    sample->memory = (sa_os_memory_t){4 * GIB, GIB};
    sample->disks = apr_array_make(pool, 1, sizeof(sa_os_disk_t));
    disk = apr_array_push(sample->disks);
    *disk = (sa_os_disk_t){"/", 10 * GIB, 3 * GIB, true, read_bytes, written_bytes};
    return sample;
}

static const char *fill(const sa_metrics_sample_t *sample, const sa_metrics_sample_t *before,
                        apr_pool_t *pool)
{
    cJSON *json = sa_json_object(pool);

    sa_task__metrics_fill(json, sample, before);
    return sa_json_print(json, NULL, pool);
}

#define REST(cpu, read, write)                                                              \
    "{\"cpu_usage_percent\":" cpu ",\"memory_free_gb\":1,\"memory_total_gb\":4,"            \
    "\"memory_used_percent\":75,\"disks\":[{\"drive\":\"/\",\"free_percent\":30,"           \
    "\"free_gb\":3,\"total_gb\":10,\"read_bytes_per_sec\":" read                            \
    ",\"write_bytes_per_sec\":" write "}]}"

SA_TEST(the_first_reading_has_no_rates)
{
    ck_assert_str_eq(fill(make_sample(0, 100, 40, 5, 5, pool), NULL, pool), REST("0", "0", "0"));
}

SA_TEST(rates_are_divided_by_the_time_between_the_two_readings)
{
    const sa_metrics_sample_t *before = make_sample(0, 1000, 500, 1000, 0, pool);
    const sa_metrics_sample_t *sample = make_sample(20 * 1000000, 1400, 801, 21000, 4000, pool);

    ck_assert_str_eq(fill(sample, before, pool), REST("24.75", "1000", "200"));
}

SA_TEST(an_interval_of_hours_still_has_rates)
{
    const sa_metrics_sample_t *before = make_sample(0, 0, 0, 0, 0, pool);
    const sa_metrics_sample_t *sample = make_sample(3600 * APR_INT64_C(1000000), 100, 50, 3600,
                                                    7200, pool);

    ck_assert_str_eq(fill(sample, before, pool), REST("50", "1", "2"));
}

SA_TEST(counters_that_went_backwards_count_as_nothing)
{
    const sa_metrics_sample_t *before = make_sample(0, 1000, 500, 1000, 1000, pool);
    const sa_metrics_sample_t *sample = make_sample(1000000, 900, 400, 10, 10, pool);

    ck_assert_str_eq(fill(sample, before, pool), REST("0", "0", "0"));
}

SA_TEST(a_disk_that_is_new_has_no_rate_and_no_disks_are_an_empty_list)
{
    sa_metrics_sample_t *before = make_sample(0, 0, 0, 0, 0, pool);
    sa_metrics_sample_t *sample = make_sample(1000000, 0, 0, 77, 77, pool);

    APR_ARRAY_IDX(before->disks, 0, sa_os_disk_t).drive = "/other";
    ck_assert_str_eq(fill(sample, before, pool), REST("0", "0", "0"));
    sample->disks = apr_array_make(pool, 1, sizeof(sa_os_disk_t));
    ck_assert_ptr_nonnull(strstr(fill(sample, before, pool), "\"disks\":[]"));
}

SA_TEST_MAIN("task_metrics", the_first_reading_has_no_rates,
             rates_are_divided_by_the_time_between_the_two_readings,
             an_interval_of_hours_still_has_rates, counters_that_went_backwards_count_as_nothing,
             a_disk_that_is_new_has_no_rate_and_no_disks_are_an_empty_list)
