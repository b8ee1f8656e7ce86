#!/bin/sh
# Needs root (a small disk of its own, in a mount namespace).
. "${0%/*}/../lib.sh"
own_namespace --mount --propagation private
story "doctor names what is wrong, with a mend that works"

CONFIG=$WORK/agent.yaml
# examine [ARGUMENT...]: all checks; REPORT, STATUS.
examine()
{
    STATUS=0
    REPORT=$(timeout 20 "$AGENT" doctor --json --config "$CONFIG" "$@" 2>"$WORK/doctor.errors") || STATUS=$?
}
# of CHECK MEMBER
of()
{
    printf '%s\n' "$REPORT" | jq -r --arg name "$1" ".checks[] | select(.name == \$name) | .$2 // \"\""
}
# finds TEXT CHECK STATE DETAIL [MEND]: regular expressions.
finds()
{
    examine
    match "$1" "^$3: .*$4" "$(of "$2" state): $(of "$2" detail)"
    [ -z "${5:-}" ] || match "$1: the mend" "$5" "$(of "$2" fix)"
}
# well TEXT CHECK: mended.
well()
{
    examine
    match "$1" "^ok: " "$(of "$2" state): $(of "$2" detail)"
}
# do_mend CHECK: the command that the mend is, up to a comma.
do_mend()
{
    eval "$(of "$1" fix | sed 's/[,;] .*//')"
}
# config [LINE...]: the agent's, with the lines for nats and behind it.
config()
{
    cat >"$CONFIG" <<END
code: t1
nats:
  urls: ["${URL:-$url}"]
  auth: {type: userpass, username: agent, password_file: "$WORK/password"}
  connect_spread: 0s
  reconnect_wait: 200ms
  connect_timeout: ${TIMEOUT:-2s}
${NATS:-}
tasks:
  heartbeat: {interval: 10s}
  exporters: [{name: node, url: "${EXPORTER:-$EXPORTER_URL}", interval: 30s, timeout: 5s}]
commands:
  scripts_directory: "$WORK/scripts"
  allowed_commands: ["${COMMAND:-df -h}"]
END
}
# roles PUBLISH SUBSCRIBE [MORE]: the server's.
roles()
{
    cat >"$WORK/nats.conf" <<END
authorization {
    timeout: 5
    users = [
        {user: admin, password: admin}
        {user: agent, password: "${PASSWORD:-s3cret}", permissions: {publish: [$1], subscribe: [$2]}}
    ]
}
${3:-}
END
}
publish='"agents.t1.heartbeat", "agents.t1.telemetry.>", "_INBOX.>", "$KV.twin.thing.t1.>", "$JS.API.STREAM.NAMES"'
subscribe='"agents.t1.cmd.>", "_INBOX.>"'
# server: with what roles has said.
server()
{
    stop_nats
    start_nats jetstream config "$WORK/nats.conf" port "$NATS_PORT"
    NATS_URL=nats://admin:admin@127.0.0.1:$NATS_PORT
}

echo s3cret >"$WORK/password"
chmod 600 "$WORK/password"
mkdir -m 755 "$WORK/scripts"
printf '#!/bin/sh\necho hello\n' >"$WORK/scripts/hello"
chmod 755 "$WORK" "$WORK/scripts/hello"
mkdir "$STATE"
mount -t tmpfs -o size=300m,mode=700 tmpfs "$STATE"
at_end 'umount "$STATE"'
start_quick_exporter
roles "$publish" "$subscribe"
start_nats jetstream config "$WORK/nats.conf"
url=$NATS_URL
NATS_URL=nats://admin:admin@127.0.0.1:$NATS_PORT
bus stream-add REPORTS 'agents.*.telemetry.>' --file
bus kv-add twin --file
listen "$WORK/heard" 'agents.>'
config

# ---- all is well

examine
equal "without the agent: that is the only trouble" agent "$(echo "$REPORT" | jq -r '[.checks[] | select(.state == "warn" or .state == "fail") | .name] | join(" ")')"
equal "a warning is status 1" 1 $STATUS
finds "the agent does not run" agent warn 'does not run' 'systemctl start'
equal "nobody heard a beat or a report of doctor's" "" "$(cat "$WORK/heard")"
stop "$LISTENER"
start_agent "$CONFIG"
wait_for 10 "$AGENT" status --config "$CONFIG" >/dev/null
examine
equal "with the agent nothing is wrong" '0 ok' "$STATUS $(echo "$REPORT" | jq -r .state)"
OUTPUT=$("$AGENT" doctor --config "$CONFIG") || true
match "as text: a line each" '^ok +login +nats://127' "$OUTPUT"
check "health has the same checks" wait_for 10 eval '[ "$(health "[.checks.checks[].name]")" = "$(echo "$REPORT" | jq -c "[.checks[].name]")" ]'
equal "and a state" '[true,"ok"]' "$(health '[.checks.ready, .checks.state]')"
kill_agent
finds "1: an agent that was killed" agent warn 'ended without'
start_agent "$CONFIG"
stop_agent

# ---- the machine

sed -i 's/interval: 10s/interval: 5s/' "$CONFIG"
finds "2: a wrong setting" config fail 'agent.yaml:10: tasks.heartbeat.interval.*must be' 'check-config'
equal "a failure is status 2" 2 $STATUS
config
chmod 666 "$CONFIG"
finds "3: a configuration that anybody may change" config '(warn|fail)' 'agent.yaml'
chmod 600 "$CONFIG"
well "mended" config
chmod 777 "$STATE"
finds "4: a state directory that anybody may change" state fail 'can replace files' 'chmod 0700'
do_mend state
well "its mend works" state
touch "$STATE/nats.nkey"
chown nobody "$STATE/nats.nkey"
finds "5: a file of another user in it" state fail 'nats.nkey belongs to another user' 'chown --reference'
do_mend state
well "its mend works" state
chmod 644 "$WORK/password"
finds "6: a secret that others can read" config fail '0644' ''
chmod 600 "$WORK/password"
chmod 757 "$WORK/scripts/hello"
finds "7: a script that anybody may change" scripts fail 'hello' 'chmod'
do_mend scripts
well "its mend works" scripts
mv "$WORK/scripts" "$WORK/elsewhere"
finds "8: no directory of scripts" scripts fail 'is not there' 'Make it'
mv "$WORK/elsewhere" "$WORK/scripts"
COMMAND=frobnicate config
finds "9: a program that is not there" programs fail 'frobnicate is not on this machine' 'Install it'
config
head -c 290m /dev/zero >"$STATE/filler"
finds "10: a full disk" disk fail 'room for' 'Make room'
rm "$STATE/filler"
well "room again" disk
kill_hard "$EXPORTER_PID"
finds "11: an exporter that is down" exporters fail 'node' 'Start the exporter'
rm "$EXPORTER_LOG"
start_quick_exporter
config
well "started" exporters
sed -i 's/^tasks:/tasks:\n  service_check: {services: ["no-such-service"]}/' "$CONFIG"
finds "12: services, and nobody who knows them" services '(warn|fail)' '' 'systemd|service'
config

# ---- the way

URL=nats://no-such-host.invalid:4222 config
finds "13: an unknown host" dns fail 'no-such-host.invalid' 'name'
URL=nats://127.0.0.1:1 config
finds "14: a closed port" tcp fail 'nothing listens' 'Start the NATS server'
foreign=${EXPORTER_URL#http://}
URL=nats://${foreign%/metrics} config
finds "15: a port that is not NATS's" tcp fail '' "port|server"
freeze_nats
config
finds "16: a server that hangs" tcp fail 'says nothing' 'hangs'
thaw_nats
"${CC:-cc}" -shared -fPIC -o "$WORK/clock.so" "$TOP/tests/tools/clock.c"
# at SECONDS COMMAND...: by a clock that is that far from ours.
at()
{
    python3 -c 'import struct, sys; open(sys.argv[1], "wb").write(struct.pack("=q", int(sys.argv[2]) * 10**9))' "$WORK/clock" "$1"
    shift
    CLOCK_FILE=$WORK/clock LD_PRELOAD=$WORK/clock.so "$@"
}
REPORT=$(at 3600 "$AGENT" doctor --json --config "$CONFIG") || true
match "17: a clock that is ahead" '^fail: .*ahead of that of the bus' "$(of clock state): $(of clock detail)"
match "17: the mend" 'set-ntp' "$(of clock fix)"
REPORT=$(at -3600 "$AGENT" doctor --json --config "$CONFIG") || true
match "18: a clock that is behind" '^fail: .*behind that of the bus' "$(of clock state): $(of clock detail)"

# ---- the proxy

start_tinyproxy user secret
NATS="  proxy: {url: \"http://127.0.0.1:1\"}" config
finds "a proxy that does not run" proxy fail 'nothing listens' 'nats.proxy.url'
NATS="  proxy: {url: \"$TINYPROXY_URL\"}" config
finds "a proxy that wants a login" tcp fail 'wants a login' 'nats.proxy.username'
(umask 077 && echo secret >"$WORK/proxy-password")
NATS="  proxy: {url: \"$TINYPROXY_URL\", username: user, password_file: \"$WORK/proxy-password\"}" config
well "with a login the server is reached" tcp
match "through the proxy" 'nats-server .*through the proxy' "$(of tcp detail)"
well "and lets us in" login
match "the names are the proxy's business" '^skipped: ' "$(of dns state): $(of dns detail)"
config
REPORT=$(HTTPS_PROXY=ftp://x "$AGENT" doctor --json --config "$CONFIG") || true
match "a proxy of the environment that is none" '^fail: .*HTTPS_PROXY' "$(of proxy state): $(of proxy detail)"

# ---- who we are, and what we may

echo wrong >"$WORK/password"
finds "19: a wrong password" login fail 'refused the credentials' 'nats.auth'
echo s3cret >"$WORK/password"
well "mended" login
roles '"agents.t1.heartbeat", "_INBOX.>", "$KV.twin.thing.t1.>"' "$subscribe"
server
finds "20: telemetry that is denied" publish fail 'denied: agents.t1.telemetry' 'allow publish: agents.t1.telemetry.>'
roles '"agents.t1.telemetry.>", "_INBOX.>", "$KV.twin.thing.t1.>"' "$subscribe"
server
finds "21: a heartbeat that is denied" publish fail 'denied: agents.t1.heartbeat' 'allow publish: agents.t1.heartbeat'
roles '"agents.t1.heartbeat", "agents.t1.telemetry.>", "_INBOX.>"' "$subscribe"
server
finds "22: a twin that is denied" twin fail 'denied: .KV.twin' 'allow publish: .KV.twin.thing.t1.>'
match "without the grant to ask the streams are inferred" '^ok: inferred' "$(of command_stream state): $(of command_stream detail)"
roles "$publish" '"_INBOX.>"'
server
finds "23: commands that are denied" subscribe fail 'denied: agents.t1.cmd' 'allow subscribe: agents.t1.cmd'
roles '"agents.t1.heartbeat", "agents.t1.telemetry.>", "$KV.twin.thing.t1.>", "$JS.API.STREAM.NAMES"' "$subscribe"
server
examine
match "a role without traces: the rest is tried all the same" '^ok: .*heartbeat was not tried' "$(of publish state): $(of publish detail)"
match "the stream is found" '^ok: ' "$(of stream state): $(of stream detail)"
match "the bucket is found" '^ok: ' "$(of twin state): $(of twin detail)"
roles "$publish" "$subscribe" 'max_connections: 1'
server
listen "$WORK/one" 'nothing'
finds "24: no room for another connection" login fail 'no room|maximum connections' 'max_connections'
stop "$LISTENER"
roles "$publish" "$subscribe"
server
before=$(bus stream-info REPORTS | jq .messages)
examine
equal "nothing was stored by all of that" "$before" "$(bus stream-info REPORTS | jq .messages)"
match "the stream has its name" '^ok: REPORTS' "$(of stream state): $(of stream detail)"

# ---- streams

bus stream-del REPORTS
finds "25: no stream" stream fail 'no stream binds' 'Create a stream'
bus stream-add REPORTS 'agents.>' --file
finds "26: a stream that binds the commands" command_stream fail 'REPORTS binds the commands' 'telemetry'
bus stream-del REPORTS
bus stream-add REPORTS 'agents.*.telemetry.>' --file
well "mended" stream
well "mended" command_stream
bus stream-del KV_twin
finds "27: no bucket" twin fail 'no KV bucket' 'KV bucket twin'
bus kv-add twin --file
well "mended" twin
stop_nats
start_nats config "$WORK/nats.conf" port "$NATS_PORT"
finds "28: a server without JetStream" stream fail 'no JetStream' ''

# ---- TLS

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=ours \
    -keyout "$WORK/ours.key" -out "$WORK/ours.pem" 2>"$WORK/openssl.txt"
authority foreign
certificate good ours IP:127.0.0.1 60
certificate soon ours IP:127.0.0.1 2
certificate named ours DNS:elsewhere.example
at $((-40 * 86400)) authority old
at $((-40 * 86400)) certificate expired old IP:127.0.0.1
# tls NAME: the server with that certificate.
tls()
{
    roles "$publish" "$subscribe" "tls {cert_file: \"$WORK/$1.pem\", key_file: \"$WORK/$1.key\"}"
    server
}
URL=tls://127.0.0.1:$NATS_PORT
NATS="  tls: {ca_file: \"$WORK/ours.pem\"}"
config
tls good
well "TLS: chain and name are right" tls
match "TLS: the days that are left" 'for [0-9]+ (days|h) more' "$(of tls detail)"
match "TLS: it lets us in" 'TLS' "$(of login detail)"
tls soon
finds "TLS: a certificate that ends soon" tls warn 'ends in 4[0-9] h' 'Renew'
tls named
finds "29: a certificate for another name" tls fail 'mismatch' 'name'
tls expired
NATS="  tls: {ca_file: \"$WORK/old.pem\"}" config
finds "30: an authority that has expired" tls fail 'expired' 'Renew|clock'
config
tls good
NATS="  tls: {ca_file: \"$WORK/foreign.pem\"}" config
finds "31: an authority that we do not trust" tls fail '' 'nats.tls.ca_file'
roles "$publish" "$subscribe"
server
config
finds "32: TLS that the server does not speak" tls fail 'does not speak TLS' 'certificate'
URL= NATS=

# ---- credentials

mkdir "$WORK/identity"
SECONDS_LEFT=5 SECONDS=1 python3 "$TOP/tests/tools/identity.py" "$WORK/identity" >/dev/null
cp "$WORK/identity/short.creds" "$WORK/short.creds"
chmod 600 "$WORK/short.creds" "$WORK/identity/user.creds"
cat >"$CONFIG" <<END
code: t1
nats: {urls: ["$url"], auth: {type: creds, creds_file: "$WORK/gone.creds"}}
END
finds "33: credentials that are not there" credentials fail 'gone.creds' 'Put the file there'
sed -i "s|gone.creds|short.creds|" "$CONFIG"
REPORT=$(at 3600 "$AGENT" doctor --json --config "$CONFIG") || true
match "34: credentials that have expired" '^fail: .*expired' "$(of credentials state): $(of credentials detail)"
chmod 644 "$WORK/short.creds"
finds "35: credentials that others can read" credentials fail '0644' 'chmod 600'
do_mend credentials
sed -i "s|short.creds|identity/user.creds|" "$CONFIG"
well "good ones" credentials

# ---- the platform, which has a clock too

mkdir "$WORK/pages"
start_pages "$WORK/pages"
cat >"$CONFIG" <<END
code: t1
nats: {urls: ["nats://127.0.0.1:1"], auth: {type: platform}}
platform: {url: "http://127.0.0.1:1", identity: t1@example, password_file: "$WORK/password"}
END
finds "36: a platform that is away" platform fail 'connection' 'address'
sed -i "s|http://127.0.0.1:1\"|$PAGES_URL\"|" "$CONFIG"
finds "37: what is no platform" platform fail '404' 'platform.url'
REPORT=$(at 600 "$AGENT" doctor --json --config "$CONFIG") || true
match "its clock counts where the bus is away" '^fail: .*10 min ahead of that of the platform' "$(of clock state): $(of clock detail)"
finds "38: no credentials from the platform yet" credentials fail 'nats.creds' 'nats.creds'

# ---- all is dead

config
freeze_nats
kill -STOP "$EXPORTER_PID"
sed -i "s|urls: .*|urls: [\"$url\", \"nats://127.0.0.1:1\", \"nats://no-such-host.invalid\", \"tls://127.0.0.1:$NATS_PORT\"]|" "$CONFIG"
began=$(date +%s%3N)
examine
took=$(($(date +%s%3N) - began))
in_time "all is dead: an answer within 10 s" "$took" 10000
equal "with a line for each check" "$("$AGENT" doctor --json --config "$CONFIG" | jq '.checks | length')" "$(echo "$REPORT" | jq '.checks | length')"
no_match "the secret is nowhere" 's3cret' "$REPORT $(cat "$WORK/doctor.errors")"
