#!/bin/sh
# long
# From a Thing's email and password to a device that renews itself, on a real PocketBase and a
# real nats-server whose identities it makes.
. "${0%/*}/../lib.sh"
story "Identity: email and password once, and from then on it renews itself"

start_platform
mkdir "$STATE" "$WORK/etc"
chmod 700 "$STATE" "$WORK/etc"
platform thing t1 >"$WORK/thing.json"
EMAIL=$(jq -r .email "$WORK/thing.json")
PASSWORD=$(jq -r .password "$WORK/thing.json")

# config [LINES]: with more lines below platform:.
config()
{
    cat >"$WORK/etc/agent.yaml" <<END
code: t1
nats: {urls: ["$NATS_URL"], auth: {type: platform}, connect_spread: 0s, reconnect_wait: 200ms, reconnect_max: 1s}
platform:
  url: "$PLATFORM_URL"
  identity: "$EMAIL"
  password_file: $WORK/etc/password
  ${1:-}
tasks:
  heartbeat: {interval: 10s}
  system_metrics: {enabled: false}
  inventory: {enabled: false}
  exporters: [{name: page, url: "$PAGE_URL", interval: 1s, timeout: 1s}]
END
}

printf '%s\n' "$PASSWORD" >"$WORK/etc/password"
chmod 600 "$WORK/etc/password"
start_exporter
PAGE_URL=$EXPORTER_URL
config

answers()
{
    bus req agents.t1.cmd.ping '' -t 1 2>/dev/null | grep -q pong
}

# of_health FILTER
of_health()
{
    bus req agents.t1.cmd.health '' -t 5 2>/dev/null | jq -r "$1"
}

# logged EVENT COUNT: that often at least.
logged()
{
    [ "$(grep -c "$1" "$AGENT_LOG")" -ge "$2" ]
}

located()
{
    [ "$(of_health .config.location)" = "$1" ]
}

shown()
{
    "$AGENT" config show -c "$WORK/etc/agent.yaml" 2>/dev/null
}

shows()
{
    shown | grep -q "$1"
}

answers_as_fleet()
{
    bus req fleet.t1.cmd.ping '' -t 1 2>/dev/null | grep -q pong
}

offlines()
{
    bus kv-history twin thing.t1.status | grep -c offline || true
}

state_is()
{
    [ "$(of_health .platform.state)" = "$1" ]
}

# ---- the first time

began=$(date +%s%3N)
start_agent "$WORK/etc/agent.yaml" --set platform.sync_interval=4s
check "it is online" wait_for 20 answers
took=$(($(date +%s%3N) - began))
note "online $took ms after its start"
in_time "in less than 3 s" $took 3000
for file in platform-session.json nats.creds; do
    equal "$file is private" "600" "$(stat -c %a "$STATE/$file")"
done
equal "the credentials are the platform's, byte for byte" "$(platform creds t1 | md5sum)" \
    "$(md5sum <"$STATE/nats.creds")"
check "health says so" wait_for 10 state_is current
match "and when it was, and when it will be again" '20..-..-..T..:..:..Z 20..-..-..T..:..:..Z' \
    "$(of_health '.platform.last_sync + " " + .platform.next_sync')"
match "creds_sync is one of its tasks" creds_sync "$(of_health '.config.enabled_tasks | join(" ")')"
platform calls --reset >/dev/null
sleep 9
calls=$(platform calls)
note "in some seconds with a visit each 4 s (PocketBase writes its log after 3 s of silence): $calls"
threads()
{
    cat "/proc/$AGENT_PID"/task/*/comm
}
identity_thread()
{
    threads | grep -qx identity
}
no_identity_thread()
{
    ! identity_thread
}
check "no thread waits for the next visit" wait_for 10 no_identity_thread
equal "a visit that finds nothing new is one small request" "POST /api/collections/things/auth-refresh 200" \
    "$(printf '%s' "$calls" | jq -r 'keys[]')"

# ---- the password may go

logins=$(grep -c identity_logged_in "$AGENT_LOG")
rm "$WORK/etc/password"
config
sed -i '/password_file/d' "$WORK/etc/agent.yaml"
stop_agent
start_agent "$WORK/etc/agent.yaml" --set platform.sync_interval=4s
check "without the password it starts and is online" wait_for 20 answers
check "and renews its session" wait_for 45 state_is current
equal "no login by password was tried" "$logins" "$(grep -c identity_logged_in "$AGENT_LOG")"

# ---- regenerated, revoked, rotated

reconnects()
{
    grep -c 'link_up' "$AGENT_LOG"
}

# changed FILE_BEFORE: there are others now.
changed()
{
    ! cmp -s "$1" "$STATE/nats.creds"
}

cp "$STATE/nats.creds" "$WORK/before"
ups=$(reconnects)
was_offline=$(offlines)
platform regenerate t1
check "what moved on the platform is fetched with the next visit" wait_for 20 changed "$WORK/before"
check "and used" wait_for 20 logged link_up $((ups + 1))
check "it answers" wait_for 20 answers

cp "$STATE/nats.creds" "$WORK/before"
began=$(date +%s%3N)
platform revoke t1
check "revoked by the operator: new credentials, without a human" wait_for 60 changed "$WORK/before"
check "and online again" wait_for 60 answers
took=$(($(date +%s%3N) - began))
note "online again $took ms after the revocation"
check "within a minute" test $took -lt 60000

cp "$STATE/nats.creds" "$WORK/before"
answer=$(bus req agents.t1.cmd.rotate_creds '' -t 30)
equal "rotate_creds answers before it reconnects" '["success",true]' \
    "$(printf '%s' "$answer" | jq -c '[.status, .changed]')"
check "the credentials are new" changed "$WORK/before"
check "and it is online with them" wait_for 20 answers
check "no blink: offline was not said meanwhile" test "$(offlines)" -le "$was_offline"

# ---- a role that changes

platform role t1 '{"pub":["agents.t1.>","$KV.twin.thing.t1.>","_INBOX.>"],"sub":["agents.t1.cmd.>","_INBOX.>"]}'
check "a new role arrives by itself" wait_for 20 logged link_denied 1
check "and it is online within it" wait_for 20 answers

# ---- deactivated and back

printf '%s\n' "$PASSWORD" >"$WORK/etc/password"
chmod 600 "$WORK/etc/password"
config
kill -HUP "$AGENT_PID"
check "the password is back" wait_for 10 has_line "$AGENT_LOG" config_reloaded
platform deactivate t1
check "deactivated: it says so" wait_for 30 has_line "$AGENT_LOG" identity_deactivated
sleep 1
began=$(date +%s%3N)
platform activate t1
check "activated: back by itself" wait_for 100 answers
took=$(($(date +%s%3N) - began))
note "online again $took ms after the activation"
in_time "within a minute" $took 60000
platform role t1 '{}'

# ---- nothing was lost in all that

spool_is_empty()
{
    [ "$(of_health .delivery.waiting)" = 0 ]
}
check "the backlog has drained" wait_for 60 spool_is_empty
stop_agent
all_arrived TELEMETRY

# ---- not provisioned yet, another's, wrong

rm -rf "$STATE"
mkdir "$STATE"
chmod 700 "$STATE"
platform thing t2 --no-nats >"$WORK/t2.json"
sed -i "s/^code: .*/code: t2/; s/identity: .*/identity: \"$(jq -r .email "$WORK/t2.json")\"/" "$WORK/etc/agent.yaml"
jq -r .password "$WORK/t2.json" >"$WORK/etc/password"
refused=$(grep -c link_auth_refused "$AGENT_LOG" || true)
start_agent "$WORK/etc/agent.yaml" --set platform.sync_interval=4s
check "without an identity on the bus it waits and says it" \
    wait_for 20 has_line "$AGENT_LOG" identity_not_provisioned
equal "and does not knock at the bus" "$refused" "$(grep -c link_auth_refused "$AGENT_LOG" || true)"
equal "no credentials are there" "" "$(ls "$STATE" | grep creds || true)"
stop_agent

sed -i "s/^code: .*/code: t1/" "$WORK/etc/agent.yaml"
rm -rf "$STATE"; mkdir "$STATE"; chmod 700 "$STATE"
start_agent "$WORK/etc/agent.yaml"
check "another Thing's login takes nothing" wait_for 20 has_line "$AGENT_LOG" identity_wrong_thing
equal "nothing was kept" "" "$(ls "$STATE" | grep 'creds\|session' || true)"
stop_agent

echo wrong >"$WORK/etc/password"
start_agent "$WORK/etc/agent.yaml"
check "a wrong password is said" wait_for 20 has_line "$AGENT_LOG" identity_refused
stop_agent

# ---- by hand

config
printf '%s\n' "$PASSWORD" >"$WORK/etc/password"
rm -rf "$STATE"; mkdir "$STATE"; chmod 700 "$STATE"
out=$("$AGENT" bootstrap -c "$WORK/etc/agent.yaml" 2>"$WORK/err") && code=0 || code=$?
equal "bootstrap by hand: exit code 0" 0 $code
match "in words" '^state +current' "$out"
check "the credentials are there" test -s "$STATE/nats.creds"
equal "again: nothing new" '["current",false,false]' \
    "$("$AGENT" bootstrap -c "$WORK/etc/agent.yaml" --json 2>/dev/null |
        jq -c '[.state, .logged_in, .creds_changed]')"
out=$("$AGENT" bootstrap -c "$WORK/etc/agent.yaml" \
    --set platform.url=http://127.0.0.1:1 2>&1) && code=0 || code=$?
equal "a platform that is away: exit code 1" 1 $code
match "and why" 'identity_away|cannot be reached' "$out"
rm -f "$STATE/nats.nkey"
key=$("$AGENT" keygen -c "$WORK/etc/agent.yaml" --set nats.auth.nkey_file="$STATE/nats.nkey" 2>/dev/null)
match "keygen prints a public key" '^U[A-Z2-7]{55}$' "$key"
equal "and keeps the seed to itself" 600 "$(stat -c %a "$STATE/nats.nkey")"
check_not "it is never replaced" "$AGENT" keygen -c "$WORK/etc/agent.yaml" --set nats.auth.nkey_file="$STATE/nats.nkey"

# ---- what the platform may set

platform metadata t1 '{"agent": {"location": "dock-7", "tasks": {"heartbeat": {"interval": "11s"}},
    "commands": {"allowed_commands": ["id"]}, "logging": {"file": "/tmp/x"}, "code": "evil",
    "nats": {"tls": {"insecure_skip_verify": true}}}}'
start_agent "$WORK/etc/agent.yaml" --set platform.sync_interval=4s
check "it is online" wait_for 20 answers
# the first visit of one that has credentials comes within 30 s
check "what the platform may set is taken" wait_for 45 shows dock-7
match "with its origin" 'location.*dock-7.*platform' "$(shown | grep '^location')"
check "in the running agent as well" wait_for 20 located dock-7
match "a file here outranks it" 'agent.yaml' "$(shown | grep '^tasks.heartbeat.interval')"
check "what it may not set is named" wait_for 10 has_line "$AGENT_LOG" identity_remote_ignored
match "all of it" 'commands.*logging.file|logging.file.*commands' "$(grep identity_remote_ignored "$AGENT_LOG")"
equal "and has no effect" "" "$(of_health '.config.allowed_commands | join(" ")')"
platform metadata t1 '{"agent": {"subject_prefix": "fleet", "logging": {"level": "debug"}}}'
check "what only a restart can change is changed as well" wait_for 30 answers_as_fleet
check "in the same process" alive "$AGENT_PID"
check "and with it what could have been changed while it ran" wait_for 20 logged ' debug ' 1
platform metadata t1 '{}'
check "and back" wait_for 30 answers

# ---- where the bus is, from the platform alone

stop_agent
anew_state()
{
    find "$STATE" -mindepth 1 -delete
}
anew_state
cp "$WORK/etc/agent.yaml" "$WORK/etc/with-urls"
sed -i 's/^nats: {urls: [^]]*], /nats: {/' "$WORK/etc/agent.yaml"
match "without nats.urls it is a warning" 'nats.urls' \
    "$("$AGENT" check-config -c "$WORK/etc/agent.yaml" 2>&1)"
platform metadata t1 "{\"agent\": {\"nats_urls\": [\"nats://127.0.0.1:1\", \"$NATS_URL\"]}}"
start_agent "$WORK/etc/agent.yaml" --set platform.sync_interval=4s
check "the URLs of metadata.agent lead to the bus" wait_for 30 answers
match "in their order" "127.0.0.1:1.*$NATS_PORT.*platform" "$(shown | grep '^nats.urls')"
platform stop-pocketbase
stop_agent
start_agent "$WORK/etc/agent.yaml" --set platform.sync_interval=4s
check "and the last ones are kept while the platform is away" wait_for 30 answers
platform start-pocketbase
stop_agent
cp "$WORK/etc/with-urls" "$WORK/etc/agent.yaml"
platform metadata t1 '{}'

# ---- the overlay's configuration

printf 'pki:\n  key: |\n    -----BEGIN NEBULA X25519 PRIVATE KEY-----\n    c2VjcmV0\ntun: {dev: nebula1}\n' >"$WORK/overlay.yaml"
platform nebula t1 "@$WORK/overlay.yaml"
equal "with nebula.enabled it is fetched as well" '["current",true]' \
    "$(NATS_URL= "$AGENT" bootstrap -c "$WORK/etc/agent.yaml" --set nebula.enabled=true \
        --set "nebula.config_file=$STATE/nebula/platform.yaml" --json 2>>"$WORK/err" |
        jq -c '[.state, .nebula_changed]')"
check "as it came" cmp -s "$WORK/overlay.yaml" "$STATE/nebula/platform.yaml"
equal "private" 600 "$(stat -c %a "$STATE/nebula/platform.yaml")"

# ---- many visits cost nothing that stays

own_memory()
{
    sed -n 's/^RssAnon:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$AGENT_PID/status"
}
start_agent "$WORK/etc/agent.yaml" --set nebula.enabled=true --set nebula.mode=files \
    --set "nebula.config_file=$STATE/nebula/platform.yaml" --set nebula.sync_interval=1s
check "it is online" wait_for 20 answers
check "visits begin" wait_for 45 state_is current
sed 's/nebula1/nebula2/' "$WORK/overlay.yaml" >"$WORK/overlay2.yaml"
platform nebula t1 "@$WORK/overlay2.yaml"
check "a change of the overlay comes with nebula.sync_interval" \
    wait_for 20 cmp -s "$WORK/overlay2.yaml" "$STATE/nebula/platform.yaml"
sleep 3
memory=$(own_memory)
open=$(opened fd)
sleep 12
note "own memory $memory KB, a dozen visits later $(own_memory) KB"
check "no growth" test $(($(own_memory) - memory)) -lt 512
check "no descriptor" wait_for 10 opened_at_most fd "$open"
stop_agent
start_agent "$WORK/etc/agent.yaml" --set platform.sync_interval=4s
check "it is online" wait_for 20 answers

# ---- the control plane is away

platform stop-pocketbase
check "it is said" wait_for 60 has_line "$AGENT_LOG" identity_away
check "and is no matter" answers
platform start-pocketbase
check "and it comes back" wait_for 60 state_is current

# ---- no secret anywhere

seed=$(grep '^SU' "$STATE/nats.creds")
token=$(jq -r .token "$STATE/platform-session.json")
jwt=$(sed -n 2p "$STATE/nats.creds")
"$AGENT" config show -c "$WORK/etc/agent.yaml" >"$WORK/said" 2>&1
"$AGENT" check-config -c "$WORK/etc/agent.yaml" >>"$WORK/said" 2>&1 || true
of_health . >>"$WORK/said"
tr '\0' '\n' <"/proc/$AGENT_PID/cmdline" >>"$WORK/said"
tr '\0' '\n' <"/proc/$AGENT_PID/environ" >>"$WORK/said"
cat "$WORK"/agent*.log* "$WORK/err" >>"$WORK/said"
for secret in "$PASSWORD" "$seed" "$token" "$jwt"; do
    check_not "no secret in log, arguments, environment, config show, health" \
        grep -qF -- "$secret" "$WORK/said"
done
equal "no core dump" 0 "$(sed -n 's/^Max core file size *\([0-9a-z]*\).*/\1/p' "/proc/$AGENT_PID/limits")"

# ---- nothing lost

stop_agent
all=$(bus stream-dump TELEMETRY --headers 2>/dev/null | grep -c 'Nats-Msg-Id' || true)
note "$all reports in the stream"
