/* command: exec.  Runs an entry of allowed_commands, or a script.
 *
 *     {"command": LINE | NAME | SCRIPT, "args": {...}, "stream": bool}
 *
 * What may run is the policy's to say (sa_command_policy.h), how it is held together the os
 * room's (sa_os_exec.h).  Here: the limits, the output, and what came of it in the words of
 * docs/protocol.md. */
#include "sa_command_private.h"

#include <string.h>

#include <apr_strings.h>

#include "sa_command_output.h"
#include "sa_command_policy.h"
#include "sa_time.h"

/* "one without data every 5 s of silence" */
#define SILENCE apr_time_from_sec(5)
/* Of a reply, what a handler does not see: status, error, id, seq, ts. */
#define REPLY_REST 512
#define ARGUMENTS_SHOWN 4096

typedef struct exec_t {
    sa_call_t *call;
    const sa_command_plan_t *plan;
    sa_command__output_t *output;   /* NULL: streamed */
    apr_interval_time_t timeout;
    apr_int64_t limit;              /* of the output; 0: none */
    apr_int64_t streamed;
    bool limit_said;
} exec_t;

/* ---- for the audit file -------------------------------------------------------------- */

/* What was asked for, until it is known what that comes to. */
static const char *describe_request(const sa_call_t *call)
{
    const char *command = sa_json_text(call->request, "command");
    const cJSON *args = cJSON_GetObjectItem(call->request, "args");

    if (!command || !args) {
        return command;
    }
    return apr_psprintf(call->pool, "%.*s: %.*s", ARGUMENTS_SHOWN, command, ARGUMENTS_SHOWN,
                        sa_json_print(args, NULL, call->pool));
}

/* The entry, and for a named command what its arguments came to. */
static const char *describe(const sa_command_plan_t *plan, apr_pool_t *pool)
{
    cJSON *argv;
    const char *text;

    if (plan->script || plan->shell || strcmp(plan->entry, plan->limits->name) != 0) {
        return plan->entry;
    }
    argv = sa_json_own(cJSON_CreateArray(), pool);
    for (int i = 0; plan->argv[i]; i++) {
        cJSON_AddItemToArray(argv, cJSON_CreateString(plan->argv[i]));
    }
    text = sa_json_print(argv, NULL, pool);
    return apr_psprintf(pool, "%s: %.*s", plan->entry, ARGUMENTS_SHOWN, text);
}

static const char *describe_limits(const exec_t *exec)
{
    const sa_allowed_command_t *limits = exec->plan->limits;
    apr_pool_t *pool = exec->call->pool;
    char timeout[SA_DURATION_TEXT];
    bool confined = limits->readable->nelts > 0 || limits->writable->nelts > 0;

    return apr_psprintf(pool, "user %s, timeout %s, %" APR_INT64_T_FMT " processes, %"
                        APR_INT64_T_FMT " bytes of memory%s%s", exec->call->commands->user,
                        sa_duration_format(timeout, exec->timeout), limits->max_processes,
                        limits->max_memory, confined ? ", confined" : "",
                        limits->new_privileges ? ", new privileges" : "");
}

/* ---- output ---------------------------------------------------------------------------- */

/* Past the limit once the note, then nothing. */
static sa_error_t *stream_data(exec_t *exec, const char *name, const char *data, size_t length)
{
    apr_int64_t room = exec->limit - exec->streamed;
    const char *note;

    if (exec->limit == 0 || (apr_int64_t)length <= room) {
        exec->streamed += (apr_int64_t)length;
        return sa_command__emit(exec->call, name, data, length);
    }
    if (exec->limit_said) {
        /* what is not sent has no room to wait in: look whether it is to go on */
        return sa_command__stop_of(exec->call) == SA_CALL_GOES_ON
                   ? SA_OK : sa_command__stop_error(exec->call);
    }
    exec->limit_said = true;
    exec->streamed = exec->limit;
    SA_TRY(sa_command__emit(exec->call, name, data, (size_t)room));
    note = sa_command__output_note(exec->limit, exec->call->pool);
    return sa_command__emit(exec->call, name, note, strlen(note));
}

static sa_error_t *on_output(void *baton, sa_os_exec_stream_t stream, const char *data,
                             size_t length)
{
    exec_t *exec = baton;

    if (exec->output) {
        sa_command__output_add(exec->output, stream == SA_OS_EXEC_STDERR, data, length);
        return SA_OK;
    }
    if (length == 0) {
        return sa_command__emit(exec->call, NULL, NULL, 0);
    }
    return stream_data(exec, stream == SA_OS_EXEC_STDERR ? "stderr" : "stdout", data, length);
}

/* ---- running it -------------------------------------------------------------------------- */

static const apr_array_header_t *list_or_null(const apr_array_header_t *list)
{
    return list->nelts > 0 ? list : NULL;
}

static sa_os_exec_t make_run(exec_t *exec, sa_os_program_t *program)
{
    const sa_allowed_command_t *limits = exec->plan->limits;

    return (sa_os_exec_t){
        .program = program, .argv = exec->plan->argv, .env = exec->plan->env,
        .timeout = exec->timeout, .silence = exec->output ? 0 : SILENCE, .output = on_output,
        .baton = exec, .cancel = exec->call->cancel, .nice = (int)limits->nice,
        .max_processes = limits->max_processes, .max_memory = limits->max_memory,
        .new_privileges = limits->new_privileges, .readable = list_or_null(limits->readable),
        .writable = list_or_null(limits->writable)
    };
}

static bool is_own(const char *path, const apr_array_header_t *written_paths)
{
    for (int i = 0; i < written_paths->nelts; i++) {
        if (sa_config_is_under(path, APR_ARRAY_IDX(written_paths, i, const char *))) {
            return true;
        }
    }
    return false;
}

/* The requester hears the kind of fault; where it is, is for our log. */
static sa_error_t *open_program(sa_os_program_t **program, const exec_t *exec)
{
    const sa_command_plan_t *plan = exec->plan;
    sa_error_t *err;

    if (is_own(plan->program, exec->call->settings->written_paths)) {
        return sa_error(SA_ERR_REFUSED, NULL, "%s is a file of the agent's own", plan->entry);
    }
    err = sa_os_program_open(program, plan->program, plan->script, exec->call->pool);
    if (err) {
        return sa_error(SA_ERR_REFUSED, err, "%s cannot be run safely: %s", plan->entry,
                        sa_error_wire_text(err));
    }
    return SA_OK;
}

static void prepare(exec_t *exec)
{
    const sa_command_settings_t *settings = exec->call->settings;
    const sa_allowed_command_t *limits = exec->plan->limits;

    exec->timeout = limits->timeout > 0 ? limits->timeout : settings->timeout;
    exec->limit = limits->max_output;
    if (!exec->call->stream) {
        exec->limit = exec->limit > 0 ? exec->limit : settings->max_output;
        exec->output = sa_command__output_create(exec->limit, exec->call->reply_limit,
                                                 exec->call->pool);
    }
    exec->call->deadline = sa_time_mono() + exec->timeout;
}

/* ---- what came of it ---------------------------------------------------------------------- */

static sa_error_t *fail(exec_t *exec, apr_status_t code, const char *outcome, const char *text)
{
    exec->call->outcome = outcome;
    return sa_error(code, NULL, "%s", text);
}

static sa_error_t *fail_by_signal(exec_t *exec, const sa_os_exec_result_t *result)
{
    apr_pool_t *pool = exec->call->pool;

    if (result->out_of_memory) {
        return fail(exec, SA_ERR_COMMAND_FAILED, "out of memory",
                    "command was ended: it needed more memory than its limit");
    }
    return fail(exec, SA_ERR_COMMAND_FAILED, apr_pstrcat(pool, "signal ", result->signal, NULL),
                apr_pstrcat(pool, "command was ended by ", result->signal, NULL));
}

static sa_error_t *judge(exec_t *exec, const sa_os_exec_result_t *result)
{
    apr_pool_t *pool = exec->call->pool;
    char timeout[SA_DURATION_TEXT];

    switch (result->end) {
    case SA_OS_EXEC_EXITED:
        exec->call->outcome = apr_psprintf(pool, "exit %d", result->exit_code);
        return result->exit_code == 0 ? SA_OK
            : sa_error(SA_ERR_COMMAND_FAILED, NULL, "command exited with code %d",
                       result->exit_code);
    case SA_OS_EXEC_SIGNALLED:
        return fail_by_signal(exec, result);
    case SA_OS_EXEC_TIMED_OUT:
        sa_duration_format_go(timeout, exec->timeout);
        return fail(exec, SA_ERR_TIMEOUT, "timeout",
                    apr_psprintf(pool, "command execution timeout (%s)", timeout));
    case SA_OS_EXEC_CANCELLED:
    case SA_OS_EXEC_STOPPED:
        break;
    }
    if (sa_command__stop_of(exec->call) == SA_CALL_GOES_ON) {
        return fail(exec, SA_ERR_INTERNAL, "its output could not be sent",
                    "the output could not be sent");
    }
    return sa_command__stop_error(exec->call);
}

/* What was left running and had to be ended is worth a word to whoever wonders. */
static void tell(exec_t *exec, const sa_os_exec_result_t *result)
{
    cJSON *reply = exec->call->reply;
    size_t used;

    if (result->end == SA_OS_EXEC_EXITED && result->exit_code == 0) {
        cJSON_AddStringToObject(reply, "status", "success");
    }
    cJSON_AddStringToObject(reply, "command", exec->plan->entry);
    cJSON_AddNumberToObject(reply, "exit_code", result->exit_code);
    if (result->leftovers > 0) {
        cJSON_AddNumberToObject(reply, "leftover_processes", result->leftovers);
    }
    if (exec->output) {
        (void)sa_json_print(reply, &used, exec->call->pool);
        used += REPLY_REST;
        sa_command__output_tell(exec->output, reply,
                                exec->call->reply_limit > used ? exec->call->reply_limit - used
                                                               : 0, exec->call->pool);
    }
}

sa_error_t *sa_command__exec(sa_call_t *call)
{
    exec_t exec = { .call = call };
    sa_command_plan_t *plan = NULL;
    sa_os_program_t *program = NULL;
    sa_os_exec_result_t result;
    sa_os_exec_t run;
    sa_error_t *err;

    call->what = describe_request(call);
    SA_TRY(sa_command_policy_plan(&plan, call->settings->policy, call->request, call->pool));
    exec.plan = plan;
    SA_TRY(open_program(&program, &exec));
    prepare(&exec);
    SA_TRY(sa_command__begin(call, describe(plan, call->pool), describe_limits(&exec)));
    run = make_run(&exec, program);
    err = sa_os_exec(&result, &run, call->pool);
    if (err) {
        return sa_error(err->code, err, "%s could not be started: %s", plan->entry,
                        sa_error_has(err, SA_ERR_NOT_ON_THIS_OS)
                            ? "this kernel has no Landlock to confine it"
                            : sa_error_wire_text(err));
    }
    err = judge(&exec, &result);
    tell(&exec, &result);
    return err;
}
