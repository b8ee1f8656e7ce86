#!/usr/bin/env python3
"""A Stone-Age platform in miniature: a real PocketBase and a real nats-server on the
loopback, and what makes identities for both of them.

usage: mini_platform.py serve FOLDER
       mini_platform.py ctl FOLDER VERB [ARGUMENT...]

serve   makes all that is needed in FOLDER and prints "Listening on PORT" when both
        servers answer.  Ends on SIGTERM, and when its standard input ends, unless that
        is a device like /dev/null.  FOLDER then has
            platform.json   url (PocketBase), nats_url, control, superuser, password
            admin.creds     a user of the account who may do anything
            pocketbase.log, nats.log
        The account has a stream TELEMETRY of agents.*.telemetry.> and a bucket twin.

ctl     does one of these and prints what there is to say; or POST the arguments as a
        list of JSON to CONTROL/VERB.  CODE names a Thing; verbs that make new
        credentials return when the server knows of them.

thing CODE [--no-nats]  make one: its code, email, password, id and nats_user
provision CODE          give it the identity on the bus that it has not yet
show CODE               its rows as the operator sees them (JSON): thing, nats, nebula
creds CODE              its .creds file of now
rotate CODE             what the Thing's own request does, and the console's "Regenerate":
                        a new JWT for the same key; the old one stays good
regenerate CODE         the same
revoke CODE             the console's "Revoke": the key is refused from now on, a new
                        one is in the row
expire CODE SECONDS     the row's JWT, and each later one, ends then; 0: never again
lifetime SECONDS        each later JWT of a row without a date ends so long after its making;
                        0: never
deactivate CODE, activate CODE
password CODE NEW       reset it: sessions end too
session SECONDS         how long tokens live from now on (604800; 10 at least)
metadata CODE JSON      the Thing's metadata
role CODE JSON          a new role for it: {"pub": [...], "sub": [...], "deny_pub": [...],
                        "deny_sub": [...]}; without pub or sub: everything
nebula CODE TEXT        its config_yaml; @FILE: what is in it
delete CODE             the Thing's row; its identity on the bus stays
rate-limit on|off       PocketBase's stock rules
stop-pocketbase, start-pocketbase, stop-nats, start-nats
                        the same port and data; starting waits until it answers
calls [--each|--reset]  what came from Things and strangers, by PocketBase's own log, as
                        {"METHOD PATH STATUS": count}; --each: a line of JSON for each, in
                        order; --reset: forget what has come until now
pids                    {"pocketbase": PID, "nats": PID}, to stop or kill them; start-... after that

Identities: an operator, its system account, an account with a signing key; the server
has a "full" resolver, is told of revocations when the row has what replaces the key, and
ends the connections that they mean at once.  (The platform tells it a while later.)
"""
import datetime
import http.server
import json
import os
import random
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

sys.dont_write_bytecode = True
import identity  # noqa: E402

TOOLS = os.path.dirname(os.path.abspath(__file__))
PATIENCE = 60
SUPERUSER = "operator@example.com"
MARK = "/api/collections/things/records/mark"
EVERYTHING = {"publish_permissions": [">"], "subscribe_permissions": [">", "_INBOX.>"]}
WIRE_LISTS = {"pub": "publish_permissions", "sub": "subscribe_permissions",
              "deny_pub": "publish_deny_permissions", "deny_sub": "subscribe_deny_permissions"}
STOCK_LIMITS = [{"label": "*:auth", "duration": 3, "maxRequests": 2},
                {"label": "*:create", "duration": 5, "maxRequests": 20},
                {"label": "/api/batch", "duration": 1, "maxRequests": 3},
                {"label": "/api/", "duration": 10, "maxRequests": 300}]


class Refused(Exception):
    """What was asked for cannot be done; the text says why."""


def free_port():
    """One that the system does not hand out by itself: it stays free over a restart."""
    while True:
        port = random.randrange(12000, 31000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


# ---- the schema --------------------------------------------------------------------

def field(name, kind="text", **more):
    return dict(more, name=name, type=kind)


def link(name, collection):
    return field(name, "relation", collectionId=collection, maxSelect=1)


def long_text(name, most, **more):
    return field(name, max=most, **more)


def collection(name, kind, fields, **more):
    return dict(more, id="pbc_" + name, name=name, type=kind, fields=fields)


# What a Thing may see of a row: that it is linked to it.
def linked_by(relation):
    return f'@request.auth.collectionName = "things" && things_via_{relation}.id ?= @request.auth.id'


def updated(on_create):
    return field("updated", "autodate", onCreate=on_create, onUpdate=True)


CREATED = field("created", "autodate", onCreate=True, onUpdate=False)
VERIFIED = field("verified", "bool", system=True, hidden=True)
NO_LOGIN = {"passwordAuth": {"enabled": False, "identityFields": ["email"]}}
LISTS = [field(name, "json", maxSize=5000) for name in WIRE_LISTS.values()]
COLLECTIONS = [
    collection(name, "base", [field("name"), field("code")])
    for name in ("organizations", "locations", "thing_types", "nats_accounts", "nebula_networks")
] + [
    collection("nats_roles", "base", [field("name")] + LISTS),
    collection("nats_users", "auth", [
        long_text("nats_username", 100, required=True), long_text("description", 500),
        long_text("public_key", 200), long_text("private_key", 200, hidden=True),
        long_text("seed", 200, hidden=True), link("account_id", "pbc_nats_accounts"),
        link("role_id", "pbc_nats_roles"), long_text("jwt", 5000), long_text("creds_file", 10000),
        field("bearer_token", "bool"), field("jwt_expires_at", "date"),
        field("regenerate", "bool"), field("revoke", "bool"), field("active", "bool"),
        link("organization", "pbc_organizations"), VERIFIED, CREATED, updated(False)] + LISTS,
               listRule=linked_by("nats_user"), viewRule=linked_by("nats_user"), **NO_LOGIN),
    collection("nebula_hosts", "auth", [
        long_text("hostname", 100, required=True), field("overlay_ip"),
        field("groups", "json"), field("is_lighthouse", "bool"), field("public_host_port"),
        long_text("certificate", 10000), long_text("private_key", 10000, hidden=True),
        long_text("ca_certificate", 10000), long_text("config_yaml", 50000),
        field("firewall_outbound", "json"), field("firewall_inbound", "json"),
        field("validity_years", "number"), field("expires_at", "date"), field("active", "bool"),
        link("network_id", "pbc_nebula_networks"), link("organization", "pbc_organizations"),
        VERIFIED, CREATED, updated(False)],
               listRule=linked_by("nebula_host"), viewRule=linked_by("nebula_host"), **NO_LOGIN),
    collection("things", "auth", [
        link("organization", "pbc_organizations"), field("name"), field("description"),
        link("type", "pbc_thing_types"), field("code"), link("location", "pbc_locations"),
        field("metadata", "json"), field("floorplan_position", "json"),
        link("nats_user", "pbc_nats_users"), link("nebula_host", "pbc_nebula_hosts"),
        field("active", "bool"), VERIFIED, CREATED, updated(True)],
               listRule='@request.auth.collectionName = "things" && id = @request.auth.id',
               viewRule='@request.auth.collectionName = "things" && id = @request.auth.id',
               authRule="active = true", authAlert={"enabled": True},
               authToken={"duration": 604800},
               passwordAuth={"enabled": True, "identityFields": ["email"]}),
]


# ---- a server that is a program of its own ---------------------------------------------

class Program:
    def __init__(self, name, log):
        self.name = name
        self.log = log
        self.process = None

    def running(self):
        return self.process is not None and self.process.poll() is None

    def start(self, words, answers, **more):
        """Until ANSWERS() does."""
        if self.running():
            return
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, **more)
        until = time.monotonic() + PATIENCE
        while not answers():
            if self.process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise Refused(f"{self.name} does not start: see {self.log}")
            time.sleep(0.03)

    def stop(self):
        if not self.running():
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


# ---- the bus ---------------------------------------------------------------------------

class Connection:
    """A client of nats-server for a few requests."""

    def __init__(self, port, user, jwt):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.file = self.socket.makefile("rb")
        nonce = json.loads(self.line().split(b" ", 1)[1])["nonce"]
        signature = identity.base64_url(user.sign(nonce.encode())).decode()
        options = {"verbose": False, "pedantic": False, "lang": "python", "version": "0",
                   "jwt": jwt, "sig": signature, "protocol": 1}
        self.inbox = "_INBOX." + secrets.token_hex(8)
        self.send(f"CONNECT {json.dumps(options)}\r\nSUB {self.inbox} 1\r\nPING\r\n".encode())
        while self.line() != b"PONG":
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def line(self):
        line = self.file.readline()
        if not line or line.startswith(b"-ERR"):
            raise Refused(f"nats-server: {line.decode() or 'it ended the connection'}")
        return line.rstrip(b"\r\n")

    def ask(self, subject, text):
        self.send(f"PUB {subject} {self.inbox} {len(text)}\r\n{text}\r\n".encode())
        while True:
            words = self.line().split()
            if words[0] == b"PING":
                self.send(b"PONG\r\n")
            elif words[0] == b"MSG":
                answer = json.loads(self.file.read(int(words[-1]) + 2))
                if "error" in answer:
                    raise Refused(f"{subject}: {answer['error']}")
                return answer


class Bus:
    """nats-server and who may come in."""

    def __init__(self, folder):
        self.folder = folder
        self.lock = threading.RLock()
        self.port = 0
        self.program = Program("nats-server", os.path.join(folder, "nats.log"))
        self.operator = identity.Identity(folder, "operator")
        self.system = identity.Identity(folder, "account")
        self.account = identity.Identity(folder, "account")
        self.signing = identity.Identity(folder, "account")
        self.system_user = identity.Identity(folder, "user")
        self.system_jwt = self.operator.vouch(self.system, name="SYS")
        self.revoked = {}       # public key: everything made until that second
        self.users = {}         # id of a row: its key
        self.lifetime = 0
        self.stale = False      # the server does not know of all of this
        os.makedirs(os.path.join(folder, "jwt"))

    def account_jwt(self):
        limits = dict(identity.CLAIMS["account"]["limits"], mem_storage=-1, disk_storage=-1,
                      streams=-1, consumer=-1)
        return self.operator.vouch(self.account, name="acme", limits=limits,
                                   signing_keys=[self.signing.public], revocations=self.revoked)

    def user_jwt(self, user, name, expires=0, lists=None):
        lists = {word: (lists or {}).get(word) or EVERYTHING.get(word, [])
                 for word in WIRE_LISTS.values()}
        return self.signing.vouch(
            user, expires, name=name, issuer_account=self.account.public,
            jti=secrets.token_hex(16),      # two of one second differ
            pub={"allow": lists["publish_permissions"], "deny": lists["publish_deny_permissions"]},
            sub={"allow": lists["subscribe_permissions"],
                 "deny": lists["subscribe_deny_permissions"]})

    def publish_account(self):
        """Tell the server who our account is now; one that is down reads it when it starts."""
        jwt = self.account_jwt()
        identity.write(self.folder, "nats.conf", (
            f"listen: 127.0.0.1:{self.port}\ndebug: true\n"
            f"operator: {self.operator.vouch(self.operator)}\n"
            f"system_account: {self.system.public}\n"
            f"resolver: {{type: full, dir: \"{self.folder}/jwt\", allow_delete: false}}\n"
            f"resolver_preload: {{{self.system.public}: {self.system_jwt},\n"
            f"    {self.account.public}: {jwt}}}\n"
            f"jetstream: {{store_dir: \"{self.folder}/jetstream\"}}\n"))
        if not self.program.running():
            identity.write(os.path.join(self.folder, "jwt"), self.account.public + ".jwt", jwt)
            return
        with Connection(self.port, self.system_user,
                        self.system.vouch(self.system_user, name="sys")) as connection:
            answer = connection.ask("$SYS.REQ.CLAIMS.UPDATE", jwt)
        if answer.get("data", {}).get("code") != 200:
            raise Refused(f"the server does not take the account: {answer}")

    def publish(self):
        with self.lock:
            stale, self.stale = self.stale, False
            if stale:
                self.publish_account()
            return stale

    def answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def start(self):
        with self.lock:
            first = self.port == 0
            if first:
                self.port = free_port()
                self.publish_account()
            self.program.start(["nats-server", "-c", os.path.join(self.folder, "nats.conf")],
                               self.answers)
            if first:
                self.furnish()

    def furnish(self):
        admin = identity.Identity(self.folder, "user")
        jwt = self.user_jwt(admin, "admin")
        identity.write(self.folder, "admin.creds", identity.creds(jwt, admin.seed))
        streams = [
            {"name": "TELEMETRY", "subjects": ["agents.*.telemetry.>"], "storage": "file"},
            {"name": "KV_twin", "subjects": ["$KV.twin.>"], "storage": "file",
             "max_msgs_per_subject": 10, "discard": "new", "allow_rollup_hdrs": True,
             "allow_direct": True, "deny_delete": True}]
        with Connection(self.port, admin, jwt) as connection:
            for stream in streams:
                connection.ask("$JS.API.STREAM.CREATE." + stream["name"], json.dumps(stream))

    def mint(self, how, row):
        """HOW: words that say what of `revoke`, `new key`, `same key` is to be done."""
        with self.lock:
            user = self.users.get(row["id"])
            if "revoke" in how:
                self.revoked[user.public] = int(time.time())
                self.stale = True
            if "new key" in how:
                user = self.users[row["id"]] = identity.Identity(self.folder, "user")
            elif "same key" not in how:
                return {}
            # A JWT of the second of a revocation would be one of the revoked.
            while int(time.time()) <= self.revoked.get(user.public, 0):
                time.sleep(0.05)
            expires = 0
            if row["expires"]:
                date = datetime.datetime.fromisoformat(row["expires"].replace("Z", "+00:00"))
                expires = int(date.timestamp())
            elif self.lifetime:
                expires = int(time.time()) + self.lifetime
            jwt = self.user_jwt(user, row["name"], expires, row)
            return {"jwt": jwt, "creds_file": identity.creds(jwt, user.seed),
                    "public_key": user.public, "seed": user.seed}


# ---- PocketBase ------------------------------------------------------------------------

class PocketBase:
    def __init__(self, folder):
        self.folder = folder
        self.port = 0
        self.password = secrets.token_hex(16)
        self.token = None
        self.program = Program("pocketbase", os.path.join(folder, "pocketbase.log"))
        self.seen = set()       # of its log

    def command(self, *words):
        return ["pocketbase", *words, "--dir", os.path.join(self.folder, "pb"),
                "--hooksDir", os.path.join(TOOLS, "pb_hooks"), "--hooksWatch=false",
                "--hooksPool=4", "--automigrate=false",
                "--migrationsDir", os.path.join(self.folder, "migrations")]

    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def request(self, method, path, body=None, token=None):
        request = urllib.request.Request(self.url() + path, method=method,
                                         data=None if body is None else json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", token)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read() or "null")

    def ask(self, method, path, body=None):
        """As the operator."""
        if not self.program.running():
            raise Refused("PocketBase is stopped")
        try:
            if not self.token:
                login = {"identity": SUPERUSER, "password": self.password}
                self.token = self.request(
                    "POST", "/api/collections/_superusers/auth-with-password", login)["token"]
            return self.request(method, path, body, self.token)
        except urllib.error.HTTPError as error:
            raise Refused(f"PocketBase: {method} {path}: {error.code} "
                          f"{error.read().decode(errors='replace')}") from error

    def answers(self):
        try:
            self.request("GET", "/api/health")
            return True
        except OSError:
            return False

    def start(self, control):
        first = self.port == 0
        if first:
            self.port = free_port()
            subprocess.run(self.command("superuser", "upsert", SUPERUSER, self.password),
                           stdout=subprocess.DEVNULL, check=True)
        self.program.start(
            self.command("serve", "--http", f"127.0.0.1:{self.port}", "--publicDir",
                         os.path.join(self.folder, "public")),
            self.answers, env=dict(os.environ, PLATFORM_CONTROL=control))
        if first:
            self.furnish()

    def furnish(self):
        # It mails about logins from new places: to nobody.
        self.ask("PATCH", "/api/settings",
                 {"smtp": {"enabled": True, "host": "127.0.0.1", "port": 1}})
        self.ask("PUT", "/api/collections/import",
                 {"collections": COLLECTIONS, "deleteMissing": False})
        self.rows = {name: self.create(name, row)["id"] for name, row in (
            ("organizations", {"name": "Acme", "code": "acme"}),
            ("locations", {"name": "Hall 1", "code": "hall1"}),
            ("thing_types", {"name": "Gateway", "code": "gateway"}),
            ("nats_accounts", {"name": "acme"}), ("nats_roles", {"name": "device"}),
            ("nebula_networks", {"name": "acme"}))}

    def create(self, name, row):
        return self.ask("POST", f"/api/collections/{name}/records", row)

    def change(self, name, row_id, row):
        return self.ask("PATCH", f"/api/collections/{name}/records/{row_id}", row)

    def row(self, name, row_id):
        return self.ask("GET", f"/api/collections/{name}/records/{row_id}")

    def log(self):
        """All requests but ours; it is written down every three seconds."""
        mark = secrets.token_hex(8)
        try:
            self.request("GET", MARK + mark)
        except urllib.error.HTTPError:
            pass
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            lines = []
            page = {"totalPages": 1}
            number = 0
            while number < page["totalPages"]:
                number += 1
                page = self.ask("GET", f"/api/logs?perPage=500&page={number}&sort=@rowid")
                lines += [line for line in page["items"] if line["data"].get("type") == "request"]
            if any(line["data"]["url"].endswith(mark) for line in lines):
                return [line for line in lines if line["data"]["auth"] != "_superusers"
                        and "/_superusers/" not in line["data"]["url"]
                        and not line["data"]["url"].startswith((MARK, "/api/health"))]
            time.sleep(0.2)
        raise Refused("PocketBase does not write its log")


# ---- what can be asked for ---------------------------------------------------------------

class Platform:
    def __init__(self, folder):
        self.folder = folder
        self.lock = threading.Lock()
        self.things = {}        # code: what `thing` said
        self.bus = Bus(folder)
        self.base = PocketBase(folder)
        self.control = None

    def start(self, control):
        self.control = control
        self.bus.start()
        self.base.start(control)
        identity.write(self.folder, "platform.json", json.dumps({
            "url": self.base.url(), "nats_url": f"nats://127.0.0.1:{self.bus.port}",
            "control": control, "superuser": SUPERUSER, "password": self.base.password}))

    def stop(self):
        for program in (self.base.program, self.bus.program):
            program.stop()

    # the Thing CODE, and the row that it is linked to
    def thing(self, code):
        if code not in self.things:
            raise Refused(f"there is no Thing {code}")
        return self.base.row("things", self.things[code]["id"])

    def linked(self, code, relation):
        found = self.thing(code)[relation]
        if not found:
            raise Refused(f"{code} has no {relation}")
        return found

    def change_thing(self, code, **row):
        self.base.change("things", self.thing(code)["id"], row)

    def change_user(self, code, **row):
        self.base.change("nats_users", self.linked(code, "nats_user"), row)

    def make_account_row(self, name, code, **row):
        password = secrets.token_hex(16)
        return self.base.create(name, dict(
            row, email=f"{code.lower()}@acme.nats.local", password=password,
            passwordConfirm=password, active=True, organization=self.base.rows["organizations"]))

    def do_thing(self, code, *options):
        if code in self.things:
            raise Refused(f"there is a Thing {code}")
        password = secrets.token_hex(16)
        email = f"{code.lower()}@acme.thing.local"
        row = self.base.create("things", {
            "email": email, "password": password, "passwordConfirm": password,
            "emailVisibility": True, "code": code, "name": code,
            "organization": self.base.rows["organizations"],
            "location": self.base.rows["locations"], "type": self.base.rows["thing_types"]})
        self.things[code] = {"code": code, "email": email, "password": password, "id": row["id"],
                             "nats_user": ""}
        if "--no-nats" not in options:
            self.do_provision(code)
        return self.things[code]

    def do_provision(self, code):
        if self.thing(code)["nats_user"]:
            raise Refused(f"{code} has its identity")
        row = self.make_account_row("nats_users", code, nats_username=code,
                                    account_id=self.base.rows["nats_accounts"],
                                    role_id=self.base.rows["nats_roles"])
        self.change_thing(code, nats_user=row["id"])
        self.things[code]["nats_user"] = row["id"]
        return self.things[code]

    def do_show(self, code):
        thing = self.thing(code)
        rows = {"thing": thing, "nats": None, "nebula": None}
        if thing["nats_user"]:
            rows["nats"] = self.base.row("nats_users", thing["nats_user"])
        if thing["nebula_host"]:
            rows["nebula"] = self.base.row("nebula_hosts", thing["nebula_host"])
        return rows

    def do_creds(self, code):
        return self.base.row("nats_users", self.linked(code, "nats_user"))["creds_file"]

    def do_regenerate(self, code):
        self.change_user(code, regenerate=True)

    do_rotate = do_regenerate

    def do_revoke(self, code):
        self.change_user(code, revoke=True)

    def do_expire(self, code, seconds):
        date = ""
        if int(seconds):
            date = datetime.datetime.fromtimestamp(time.time() + int(seconds),
                                                   datetime.timezone.utc)
            date = date.strftime("%Y-%m-%d %H:%M:%S.000Z")
        self.change_user(code, jwt_expires_at=date)

    def do_lifetime(self, seconds):
        self.bus.lifetime = int(seconds)

    def do_deactivate(self, code):
        self.change_thing(code, active=False)

    def do_activate(self, code):
        self.change_thing(code, active=True)

    def do_password(self, code, new):
        self.change_thing(code, password=new, passwordConfirm=new)
        self.things[code]["password"] = new

    def do_session(self, seconds):
        self.base.ask("PATCH", "/api/collections/things",
                      {"authToken": {"duration": int(seconds)}})

    def do_metadata(self, code, text):
        self.change_thing(code, metadata=json.loads(text))

    def do_role(self, code, text):
        role = {WIRE_LISTS[word]: value for word, value in json.loads(text).items()}
        row = self.base.create("nats_roles", dict(role, name=f"role of {code}"))
        self.change_user(code, role_id=row["id"])

    def do_nebula(self, code, text):
        if text.startswith("@"):
            with open(text[1:], encoding="utf-8") as file:
                text = file.read()
        row_id = self.thing(code)["nebula_host"]
        if not row_id:
            row_id = self.make_account_row(
                "nebula_hosts", code, hostname=code, overlay_ip="10.99.0.2", validity_years=1,
                network_id=self.base.rows["nebula_networks"], certificate="host certificate",
                ca_certificate="ca certificate")["id"]
            self.change_thing(code, nebula_host=row_id)
        self.base.change("nebula_hosts", row_id, {"config_yaml": text})

    def do_delete(self, code):
        self.base.ask("DELETE", f"/api/collections/things/records/{self.thing(code)['id']}")
        del self.things[code]

    def do_rate_limit(self, word):
        self.base.ask("PATCH", "/api/settings", {
            "rateLimits": {"enabled": word == "on", "rules": STOCK_LIMITS}})

    def do_stop_pocketbase(self):
        self.base.program.stop()

    def do_start_pocketbase(self):
        self.base.start(self.control)

    def do_stop_nats(self):
        self.bus.program.stop()

    def do_start_nats(self):
        self.bus.start()

    def do_calls(self, option=""):
        lines = [line for line in self.base.log() if line["id"] not in self.base.seen]
        if option == "--reset":
            self.base.seen.update(line["id"] for line in lines)
            return None
        each = [{"time": line["created"], "method": line["data"]["method"],
                 "url": line["data"]["url"], "status": line["data"]["status"],
                 "auth": line["data"]["auth"], "agent": line["data"]["userAgent"]}
                for line in lines]
        if option == "--each":
            return "".join(json.dumps(line) + "\n" for line in each)
        counts = {}
        for line in each:
            name = f"{line['method']} {line['url'].split('?')[0]} {line['status']}"
            counts[name] = counts.get(name, 0) + 1
        return counts

    def do_pids(self):
        return {"pocketbase": self.base.program.process.pid, "nats": self.bus.program.process.pid}

    def do(self, verb, arguments):
        function = getattr(self, "do_" + verb.replace("-", "_"), None)
        if not function:
            raise Refused(f"{verb} is not one of the verbs")
        with self.lock:
            return function(*arguments)


# ---- being asked -------------------------------------------------------------------------

class Control(http.server.BaseHTTPRequestHandler):
    platform = None

    def log_message(self, *_):
        pass

    def answer(self, status, what):
        data = b"" if what is None else what if isinstance(what, bytes) else \
            what.encode() if isinstance(what, str) else json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        verb = self.path.strip("/")
        try:
            given = json.loads(body or b"[]")
            if verb == "mint":
                self.answer(200, self.platform.bus.mint(given["how"], given))
            elif verb == "publish":
                self.answer(200, {"published": self.platform.bus.publish()})
            else:
                self.answer(200, self.platform.do(verb, given))
        except (Refused, TypeError, ValueError, LookupError, AttributeError, OSError) as error:
            print(f"{verb}: {error!r}", file=sys.stderr, flush=True)
            self.answer(400, f"{verb}: {error}\n")


class ControlServer(http.server.ThreadingHTTPServer):
    daemon_threads = True


def watch_input():
    """Standard input ends when who started us does, if it is a pipe."""
    try:
        if stat.S_ISCHR(os.fstat(0).st_mode):
            return
        while os.read(0, 4096):
            pass
    except OSError:
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def serve(folder):
    folder = os.path.abspath(folder)
    os.makedirs(folder, 0o700, exist_ok=True)
    for program in ("pocketbase", "nats-server", "openssl"):
        if not shutil.which(program):
            sys.exit(f"mini_platform: there is no {program}: run tests/setup")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    threading.Thread(target=watch_input, daemon=True).start()
    platform = Platform(folder)
    Control.platform = platform
    server = ControlServer(("127.0.0.1", 0), Control)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    try:
        platform.start(f"http://127.0.0.1:{port}")
        print(f"Listening on {port}", flush=True)
        ended.wait()
    except Refused as error:
        sys.exit(f"mini_platform: {error}")
    finally:
        platform.stop()


def ctl(folder, verb, *arguments):
    with open(os.path.join(folder, "platform.json"), encoding="utf-8") as file:
        control = json.load(file)["control"]
    request = urllib.request.Request(f"{control}/{verb}", json.dumps(arguments).encode())
    try:
        with urllib.request.urlopen(request, timeout=3 * PATIENCE) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        sys.exit(error.read().decode().strip())
    except OSError as error:
        sys.exit(f"mini_platform: nobody answers at {control}: {error}")
    sys.stdout.write(text if not text or text.endswith("\n") else text + "\n")


def main():
    words = sys.argv[1:]
    if len(words) == 2 and words[0] == "serve":
        serve(words[1])
    elif len(words) >= 3 and words[0] == "ctl":
        ctl(*words[1:])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
