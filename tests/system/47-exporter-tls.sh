#!/bin/sh
# An exporter behind TLS that lets in only who has a certificate of its authority.
. "${0%/*}/../lib.sh"
story "An exporter that wants a client certificate, and a token that is renewed"

authority theirs
authority foreign
certificate server theirs IP:127.0.0.1
certificate agent theirs DNS:agent
certificate stranger foreign DNS:stranger
openssl rand -hex 16 >"$WORK/first"
openssl rand -hex 16 >"$WORK/second"
cp "$WORK/first" "$WORK/bearer"
printf 's3cret\n' >"$WORK/password"
chmod 600 "$WORK"/*.key "$WORK/bearer" "$WORK/password"

cp "$WORK/agent.key" "$WORK/open.key"
chmod 644 "$WORK/open.key"

mkdir "$WORK/pages"
cp "$WORK/first" "$WORK/pages/token"
start_pages "$WORK/pages" "$WORK/server.pem" "$WORK/server.key" "$WORK/theirs.pem"
start_nats jetstream
bus stream-add REPORTS 'agents.*.telemetry.>' --file

theirs="ca_file: $WORK/theirs.pem"
ours="cert_file: $WORK/agent.pem, key_file: $WORK/agent.key"
cat >"$WORK/agent.yaml" <<END
code: t1
nats: {urls: ["$NATS_URL"], auth: {type: none}, connect_spread: 0s}
tasks:
  system_metrics: {enabled: false}
  inventory: {enabled: false}
  exporters:
    - {name: good, url: "$PAGES_URL/-/who", interval: 1h, $theirs, $ours}
    - {name: login, url: "$PAGES_URL/-/login", interval: 1h, $theirs, $ours,
       username: u, password_file: $WORK/password}
    - {name: token, url: "$PAGES_URL/-/token", interval: 1s, timeout: 1s, $theirs, $ours,
       bearer_file: $WORK/bearer}
    - {name: nothing, url: "$PAGES_URL/-/who", interval: 1h, $theirs}
    - {name: stranger, url: "$PAGES_URL/-/who", interval: 1h, $theirs,
       cert_file: $WORK/stranger.pem, key_file: $WORK/stranger.key}
    - {name: swapped, url: "$PAGES_URL/-/who", interval: 1h, $theirs,
       cert_file: $WORK/agent.pem, key_file: $WORK/stranger.key}
    - {name: absent, url: "$PAGES_URL/-/who", interval: 1h, $theirs,
       cert_file: $WORK/gone.pem, key_file: $WORK/gone.key}
    - {name: open, url: "$PAGES_URL/-/who", interval: 1h, $theirs,
       cert_file: $WORK/agent.pem, key_file: $WORK/open.key}
    - {name: foreign, url: "$PAGES_URL/-/who", interval: 1h, ca_file: $WORK/foreign.pem, $ours}
    - {name: system, url: "$PAGES_URL/-/who", interval: 1h, $ours}
    - {name: name, url: "$(echo "$PAGES_URL" | sed 's/127.0.0.1/localhost/')/-/who", interval: 1h,
       $theirs, $ours}
    - {name: blind, url: "$PAGES_URL/-/who", interval: 1h, insecure_skip_verify: true, $ours}
END
start_agent "$WORK/agent.yaml"

dump()
{
    bus stream-dump REPORTS --data | jq -r "select(.subject == \"agents.t1.telemetry.metrics.$1\") | .data"
}

arrived()
{
    dump "$1" | grep -q '^up{'
}

# samples NAME: without labels and times.
samples()
{
    dump "$1" | grep -Ev '^(#|scrape_|$)' | sed 's/{.*}//; s/ [0-9]*$//' | xargs
}

for name in good login token nothing stranger swapped absent open foreign system name blind; do
    check "$name arrives" wait_for 20 arrived "$name"
done
equal "with its certificate the agent comes in" "who 1 up 1" "$(samples good)"
match "as who it is" '^who\{code="t1",job="good",instance="[0-9.:]*",name="agent"\} 1 ' "$(dump good)"
equal "a password goes over the same connection" "secret_sample 1 up 1" "$(samples login)"
match "a token too" '^secret_sample 1 up 1( |$)' "$(samples token)"

# refused NAME REASON: nothing but up 0, and why.
refused()
{
    equal "$1: only that it is down goes out" "up 0" "$(samples "$1")"
    match "$1: the log says why" "scrape_failed.* exporter=$1 .*($2)" "$(cat "$AGENT_LOG")"
}
refused nothing 'client certificate'
refused stranger 'client certificate'
refused swapped 'client certificate or its key cannot be used'
refused absent 'client certificate or its key cannot be used'
refused open 'key cannot be used: .*open.key'
refused foreign 'unknown authority; name its CA file'
refused system 'unknown authority; name its CA file'
refused name 'certificate.*name'
equal "who asks for no proof gets none" "who 1 up 1" "$(samples blind)"
match "and is warned about it" 'insecure.*exporter' "$(cat "$AGENT_LOG")"

# ---- the token is renewed, first at the exporter

# is_up NAME 0|1: in the newest message.
is_up()
{
    [ "$(dump "$1" | sed -n 's/^up{.*} \([01]\) .*/\1/p' | tail -n 1)" = "$2" ]
}
cp "$WORK/second" "$WORK/pages/token"
check "an old token is no longer taken" wait_for 10 is_up token 0
match "and the log says so" 'exporter=token .*401: check the credentials' "$(cat "$AGENT_LOG")"
cp "$WORK/second" "$WORK/bearer.new"
chmod 600 "$WORK/bearer.new"
mv "$WORK/bearer.new" "$WORK/bearer"
check "a renewed one is used at the next fetch, without a reload" wait_for 5 is_up token 1

secrets="($(cat "$WORK/first")|$(cat "$WORK/second")|s3cret|dTpzM2NyZXQ|PRIVATE KEY)"
no_match "no secret is in the log" "$secrets" "$(cat "$AGENT_LOG")"
no_match "nor on the bus" "$secrets" "$(bus stream-dump REPORTS --data)"
no_match "nor in the arguments or the environment" "$secrets" \
    "$(tr '\0' '\n' <"/proc/$AGENT_PID/cmdline"; tr '\0' '\n' <"/proc/$AGENT_PID/environ")"
stop_agent

# ---- a renewed CA, alone: libcurl would keep the last one that it has read

cat >"$WORK/alone.yaml" <<END
code: t1
nats: {urls: ["$NATS_URL"], auth: {type: none}, connect_spread: 0s}
tasks:
  system_metrics: {enabled: false}
  exporters:
    - {name: alone, url: "$PAGES_URL/-/who", interval: 1s, timeout: 1s, ca_file: $WORK/foreign.pem, $ours}
END
start_agent "$WORK/alone.yaml"
check "a CA that is not the exporter's is none" wait_for 10 is_up alone 0
cp "$WORK/theirs.pem" "$WORK/foreign.pem.new"
mv "$WORK/foreign.pem.new" "$WORK/foreign.pem"
check "a renewed one is used at the next fetch" wait_for 5 is_up alone 1
stop_agent
