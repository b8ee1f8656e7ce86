/// What the platform adds to PocketBase, as far as a Thing can tell: `active`, rotation,
/// the routes a Thing may try, and credentials that follow their row.  The rules are those
/// of the platform (hooks/active_flag.go, hooks/credential_routes.go) and of pb-nats
/// (internal/sync/manager.go).  Each handler runs in a runtime of its own and sees
/// nothing of this file: hence require().

// ---- a Thing's `active`

onRecordCreate((e) => {
    e.record.set("active", true)
    e.next()
}, "things")

onRecordUpdate((e) => {
    const was = e.record.original().getBool("active")
    const now = e.record.getBool("active")

    if (was && !now) {
        e.record.refreshTokenKey()
    }
    e.next()
    if (was === now || !e.record.getString("nats_user")) {
        return
    }
    const user = e.app.findRecordById("nats_users", e.record.getString("nats_user"))
    user.set("active", now)
    e.app.save(user)
}, "things")

// ---- credentials

onRecordAfterCreateSuccess((e) => {
    require(`${__hooks}/mint.js`).mint(e.record, "new key")
    e.app.save(e.record)
    e.next()
}, "nats_users")

onRecordUpdate((e) => {
    const mint = require(`${__hooks}/mint.js`)
    const was = e.record.original().getBool("active")
    const now = e.record.getBool("active")
    const regenerate = e.record.getBool("regenerate")

    if (e.record.getBool("revoke")) {
        e.record.set("revoke", false)
        mint.mint(e.record, "revoke, new key")
    } else if (was && !now) {
        mint.mint(e.record, "revoke")       // the row keeps what is no longer good
    } else if (!was && now) {
        mint.mint(e.record, "same key")
    } else {
        e.record.set("regenerate", false)
        if (regenerate || mint.concerned(e.record)) {
            mint.mint(e.record, "same key")
        }
    }
    e.next()
}, "nats_users")

// As on the platform the server hears of it when the row is there.
onRecordAfterUpdateSuccess((e) => {
    require(`${__hooks}/mint.js`).ask("publish", {})
    e.next()
}, "nats_users")

// ---- routes

routerAdd("POST", "/api/me/nats-creds/rotate", (e) => {
    const id = e.auth.getString("nats_user")

    if (!id) {
        throw new NotFoundError("no NATS identity assigned yet")
    }
    const user = e.app.findRecordById("nats_users", id)
    user.set("regenerate", true)
    e.app.save(user)
    return e.json(200, {"rotated": true, "nats_user": id})
}, $apis.requireAuth("users", "things"))

routerAdd("GET", "/api/client-config", (e) => {
    return e.json(200, {"natsWebsocketUrls": []})
}, $apis.requireAuth("users"))
