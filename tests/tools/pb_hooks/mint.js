/// Keys and JWTs are made by mini_platform.py, which holds the account: asked by HTTP.

// What of a row stands in its JWT.
const fields = ["nats_username", "role_id", "jwt_expires_at", "publish_permissions",
    "subscribe_permissions", "publish_deny_permissions", "subscribe_deny_permissions"]
const lists = fields.slice(3)

function permissions(record) {
    const role = $app.findRecordById("nats_roles", record.getString("role_id"))
    const all = {}

    for (const name of lists) {
        all[name] = []
        for (const row of [role, record]) {
            all[name].push(...(JSON.parse(row.getString(name) || "null") || []))
        }
    }
    return all
}

function ask(what, body) {
    const answer = $http.send({
        url: $os.getenv("PLATFORM_CONTROL") + "/" + what, method: "POST",
        body: JSON.stringify(body), timeout: 30,
    })

    if (answer.statusCode !== 200) {
        throw new InternalServerError(what + ": " + answer.statusCode)
    }
    return answer.json
}

module.exports = {
    ask: ask,

    concerned: (record) => fields.some(
        (name) => record.getString(name) !== record.original().getString(name)),

    mint: (record, how) => {
        const answer = ask("mint", Object.assign(permissions(record), {
            id: record.id, how: how, name: record.getString("nats_username"),
            expires: record.getString("jwt_expires_at"),
        }))

        for (const name in answer) {
            record.set(name, answer[name])
        }
    },
}
