/* os: the rule of polkit(8) that lets one user control some services and no others.
 *
 * Rules are JavaScript (polkit 0.106 and newer), one function that says yes, no or
 * nothing.  systemd asks about org.freedesktop.systemd1.manage-units with two details:
 * the unit's own name, never an alias, and the verb. */
#include "sa_os_service_control.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "sa_os_linux.h"

#define USER_LENGTH_MAX 64
#define RULE_FILE "/etc/polkit-1/rules.d/50-stone-age-agent.rules"

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The full names, sorted. */
static sa_error_t *full_names(apr_array_header_t **units, const apr_array_header_t *names,
                              apr_pool_t *pool)
{
    char unit[SA_OS_SERVICE_NAME_SIZE];

    *units = apr_array_make(pool, names->nelts + 1, sizeof(const char *));
    for (int i = 0; i < names->nelts; i++) {
        const char *name = APR_ARRAY_IDX(names, i, const char *);

        if (!sa_os__service_unit_name(unit, name)) {
            return sa_error(SA_ERR_CONFIG, NULL, "\"%s\" is no name of a service", name);
        }
        APR_ARRAY_PUSH(*units, const char *) = apr_pstrdup(pool, unit);
    }
    qsort((*units)->elts, (size_t)(*units)->nelts, sizeof(const char *), compare);
    return SA_OK;
}

/* VALUE, which has no other bytes than printable ASCII, as a string of JavaScript. */
static void add_string(sa_buf_t *text, const char *value)
{
    sa_buf_append_text(text, "\"");
    for (; *value; value++) {
        if (*value == '"' || *value == '\\') {
            sa_buf_append_text(text, "\\");
        }
        sa_buf_append(text, value, 1);
    }
    sa_buf_append_text(text, "\"");
}

static void add_units(sa_buf_t *text, const apr_array_header_t *units)
{
    const char *before = "";

    for (int i = 0; i < units->nelts; i++) {
        const char *unit = APR_ARRAY_IDX(units, i, const char *);

        if (strcmp(before, unit) != 0) {
            sa_buf_append_text(text, *before ? ",\n        " : "\n        ");
            add_string(text, unit);
        }
        before = unit;
    }
    sa_buf_append_text(text, *before ? "\n    " : "");
}

static bool is_user(const char *user)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789_.@$-";

    return *user && *user != '-' && !user[strspn(user, allowed)]
           && strlen(user) <= USER_LENGTH_MAX;
}

sa_error_t *sa_os_service_rule(sa_buf_t *text, const apr_array_header_t *names, const char *user,
                               apr_pool_t *scratch_pool)
{
    apr_array_header_t *units;

    if (!is_user(user)) {
        return sa_error(SA_ERR_CONFIG, NULL, "\"%s\" is no name of a user", user);
    }
    SA_TRY(full_names(&units, names, scratch_pool));
    sa_buf_append_text(text,
        "// Lets the Stone-Age agent control the services of commands.allowed_services, and no\n"
        "// others.  Made by `stone-age-agent polkit`: make it anew when that list changes.\n"
        "//\n"
        "//     " RULE_FILE "   (root, 0644; read at once)\n"
        "polkit.addRule(function(action, subject) {\n"
        "    if (action.id != \"org.freedesktop.systemd1.manage-units\" || subject.user != ");
    add_string(text, user);
    sa_buf_append_text(text, ") {\n"
        "        return polkit.Result.NOT_HANDLED;\n"
        "    }\n"
        "    var verbs = [\"start\", \"stop\", \"restart\", \"reload\"];\n"
        "    var units = [");
    add_units(text, units);
    sa_buf_append_text(text, "];\n"
        "    if (units.indexOf(action.lookup(\"unit\")) < 0\n"
        "        || verbs.indexOf(action.lookup(\"verb\")) < 0) {\n"
        "        return polkit.Result.NO;\n"
        "    }\n"
        "    return polkit.Result.YES;\n"
        "});\n");
    return text->overflowed ? sa_error(SA_ERR_LIMIT, NULL, "the rule is longer than fits") : SA_OK;
}

const char *sa_os_service_rule_file(void)
{
    return RULE_FILE;
}
