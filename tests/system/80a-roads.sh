#!/bin/sh
# On real servers, with nginx as the gateway before them.
. "${0%/*}/../lib.sh"
story "WebSocket: each kind of login, client certificates, paths, headers, several servers"

umask 077
mkdir "$WORK/id"
python3 "$TOP/tests/tools/identity.py" "$WORK/id"
echo pass-of-mine >"$WORK/password"
echo t0ken-of-mine >"$WORK/token"

# ---- each login over both roads

# login ROAD NAME AUTH SECRET OPTION...: the server is there; we come in with OPTION....
login()
{
    _road=$1 _name=$2 _auth=$3 _secret=$4
    shift 4
    agent_to "\"$AGENT_URL\"" "$_auth" "$AGENT_TLS"
    check "$_road, $_name: it is let in" wait_for 10 answers "$@"
    no_match "$_road, $_name: the secret is in no log, argument or environment" "$_secret" "$(
        cat "$WORK/agent.log"
        tr '\0' '\n' <"/proc/$AGENT_PID/cmdline"
        tr '\0' '\n' <"/proc/$AGENT_PID/environ")"
    check "$_road, $_name: it stops" stop "$AGENT_PID"
}

for road in ws wss; do
    start_nats config "$WORK/id/operator.conf" road $road
    login $road creds "type: creds, creds_file: \"$WORK/id/user.creds\"" \
        "$(sed -n '/^SU/p' "$WORK/id/user.creds")" --creds "$WORK/id/admin.creds"
    stop_nats
    cat >"$WORK/nats.conf" <<END
authorization { users: [{user: u1, password: "pass-of-mine"}, {nkey: $(cat "$WORK/id/user.public")}
    {user: standard, password: "pass-of-mine", allowed_connection_types: ["STANDARD"]}] }
END
    start_nats config "$WORK/nats.conf" road $road
    user="--user u1 --password pass-of-mine"
    # shellcheck disable=SC2086 # words
    login $road userpass "type: userpass, username: u1, password_file: \"$WORK/password\"" pass-of-mine $user
    # shellcheck disable=SC2086
    login $road nkey "type: nkey, nkey_file: \"$WORK/id/user.seed\"" "$(cat "$WORK/id/user.seed")" $user
    if [ $road = ws ]; then
        agent_to "\"$AGENT_URL\"" "type: userpass, username: standard, password_file: \"$WORK/password\""
        check "a user who may come by STANDARD connections only is refused, and that is named" \
            wait_for 10 agent_says ' error +link_auth_refused'
        stop "$AGENT_PID"
    fi
    stop_nats
    echo 'authorization { token: "t0ken-of-mine" }' >"$WORK/nats.conf"
    start_nats config "$WORK/nats.conf" road $road
    login $road token "type: token, token_file: \"$WORK/token\"" t0ken-of-mine \
        -s "nats://t0ken-of-mine@127.0.0.1:$NATS_PORT"
    stop_nats
done

# ---- client certificates over wss

authority ours
certificate agent ours DNS:agent
certificate stranger road-ca DNS:stranger
AGENT_PORT=$(free_port)
cat >"$WORK/mutual.conf" <<END
websocket {
    listen: "127.0.0.1:$AGENT_PORT"
    tls { cert_file: "$WORK/road.pem", key_file: "$WORK/road.key", ca_file: "$WORK/ours.pem", verify: true }
}
END
start_nats config "$WORK/mutual.conf" road tcp
mutual=wss://127.0.0.1:$(sed -n 's/.*listen: .*:\([0-9]*\)"/\1/p' "$WORK/mutual.conf")
theirs="ca_file: \"$WORK/road-ca.pem\""
agent_to "\"$mutual\"" "type: none" "tls: {$theirs, cert_file: \"$WORK/agent.pem\", key_file: \"$WORK/agent.key\"}"
check "with a client certificate: connected" wait_for 10 answers
stop "$AGENT_PID"
agent_to "\"$mutual\"" "type: none" "tls: {$theirs}"
check "without: the log says what the server wants" wait_for 10 agent_says ' error +link_tls_client_cert'
stop "$AGENT_PID"
agent_to "\"$mutual\"" "type: none" "tls: {$theirs, cert_file: \"$WORK/stranger.pem\", key_file: \"$WORK/stranger.key\"}"
check "one of another authority: the same" wait_for 10 agent_says ' error +link_tls_client_cert'
stop "$AGENT_PID"
stop_nats

# ---- a path, and headers that a gateway wants

start_nats road ws
ws=$AGENT_URL
start_ws_front "$AGENT_PORT" 'if ($http_x_site != "berlin") { return 403; }
            if ($http_authorization != "Bearer s3same") { return 401; }'
front="tls: {ca_file: \"$WS_FRONT_CA\"}"
printf 'Authorization: Bearer s3same\n' >"$WORK/headers"
agent_to "\"$WS_FRONT_GOOD\"" "type: none" "$front" \
    "websocket: {headers: {X-Site: berlin}, headers_file: \"$WORK/headers\"}"
check "behind a gateway with a path that wants two headers: connected" wait_for 10 answers
check "the log has the URL with its path" up "$WS_FRONT_GOOD"
no_match "and nothing of the file" 's3same' "$(cat "$AGENT_LOG")"
stop "$AGENT_PID"
agent_to "\"$WS_FRONT_GOOD\"" "type: none" "$front" "websocket: {headers: {X-Site: hamburg}}"
check "the wrong ones: the log has the answer" wait_for 10 agent_says ' error +link_ws_refused.*403'
stop "$AGENT_PID"
agent_to "\"$WS_FRONT_GOOD\"" "type: none" "$front" "websocket: {headers: {X-Site: berlin}}"
check "a missing one: the same" wait_for 10 agent_says ' error +link_ws_refused.*401'
stop "$AGENT_PID"
chmod 644 "$WORK/headers"
agent_to "\"$WS_FRONT_GOOD\"" "type: none" "$front" \
    "websocket: {headers: {X-Site: berlin}, headers_file: \"$WORK/headers\"}"
check "a file of headers that others may read is not used" wait_for 10 agent_says ' error +link_secret_unsafe'
stop "$AGENT_PID"
agent_to "\"$(echo "$WS_FRONT_GOOD" | sed 's|/nats/|/elsewhere|')\"" "type: none" "$front"
check "a path that leads nowhere: the log has the answer" wait_for 10 agent_says ' error +link_ws_refused.*404'
stop "$AGENT_PID"

# ---- several servers

first=$(free_port) first_ws=$(free_port)
second="listen: \"127.0.0.1:$first\"
websocket: {listen: \"127.0.0.1:$first_ws\", tls: {cert_file: \"$WORK/road.pem\", key_file: \"$WORK/road.key\"}}"
start_another second "$second"
agent_to "\"wss://127.0.0.1:$first_ws\", \"$ws\", \"nats://127.0.0.1:$NATS_PORT\"" "type: none" "tls: {$theirs}"
check "three URLs of three kinds: the first is taken" wait_for 10 up "wss://127.0.0.1:$first_ws"
kill_hard "$ANOTHER_PID"
check "it dies: the second, of another kind" wait_for 10 up "$ws"
check "and it answers" wait_for 5 answers
kill_nats
# On the same clients' port, without WebSocket.
start_nats port "$NATS_PORT" road tcp
check "that dies and does not come back as it was: the third" wait_for 10 up "nats://127.0.0.1:$NATS_PORT"
kill_nats
start_another second "$second"
check "and round to the first" wait_for 10 eval '[ "$(grep -c " link_up.*wss:" "$AGENT_LOG")" -ge 2 ]'
stop "$AGENT_PID"
stop "$ANOTHER_PID"

# ---- gossip: what a cluster says of itself is not for those who come through a gateway

start_ws_liar                   # notes whoever comes
trap_port=${TCP_LIAR_URL##*:}
one=$(free_port) one_ws=$(free_port) one_route=$(free_port)
two=$(free_port) two_ws=$(free_port) two_route=$(free_port)
# member NAME PORT WS ROUTE OTHERS-ROUTE
member()
{
    start_another "$1" "listen: \"127.0.0.1:$2\"
server_name: $1
client_advertise: \"127.0.0.1:$trap_port\"
lame_duck_grace_period: \"5s\"
websocket: {listen: \"127.0.0.1:$3\", no_tls: true, advertise: \"127.0.0.1:$trap_port\"}
cluster: {name: c, listen: \"127.0.0.1:$4\", routes: [\"nats://127.0.0.1:$5\"]}"
}
member one "$one" "$one_ws" "$one_route" "$two_route"
one_pid=$ANOTHER_PID
member two "$two" "$two_ws" "$two_route" "$one_route"
two_pid=$ANOTHER_PID
wait_for 20 has_line "$WORK/one.log" 'Route connection created'
match "the server does tell the other's address" "\"connect_urls\":\\[.*127.0.0.1:$trap_port" "$(
    python3 "$TOP/tests/tools/ws_info.py" "$one_ws")"
agent_to "\"ws://127.0.0.1:$one_ws\"" "type: none"
NATS_URL=nats://127.0.0.1:$two
check "one of a cluster of two: connected" wait_for 10 answers
# The answer to a new member, to which nats.c would go.
kill_hard "$one_pid"
check "it dies: the log says so" wait_for 5 agent_says ' link_(down|refused)'
sleep 1.5
no_match "nobody goes where it was told of" '^from ' "$(cat "$WS_LIAR_LOG")"
equal "but only to what the file names" "" \
    "$(grep -E ' link_(refused|up)' "$AGENT_LOG" | grep -v "ws://127.0.0.1:$one_ws" || true)"
stop "$AGENT_PID"
stop "$two_pid"

# ---- lame duck

# The second is a leaf of the first, so that what is sent to either arrives.
AGENT_PORT=
leaf=$(free_port) duck_ws=$(free_port)
echo "leafnodes: {listen: \"127.0.0.1:$leaf\"}" >"$WORK/hub.conf"
start_nats jetstream config "$WORK/hub.conf" road ws
bus stream-add REPORTS 'agents.*.telemetry.>' --file --dedupe 3600
start_another duck "listen: \"127.0.0.1:$(free_port)\"
pid_file: \"$WORK/duck.pid\"
lame_duck_grace_period: \"6s\"
websocket: {listen: \"127.0.0.1:$duck_ws\", no_tls: true}
leafnodes: {remotes: [{url: \"nats://127.0.0.1:$leaf\"}]}"
duck=$ANOTHER_PID
start_quick_exporter
wait_for 10 has_line "$WORK/duck.log" 'Leafnode connection created'
duck_url=ws://127.0.0.1:$duck_ws
busy_config 20 | sed "s|\\[\"$AGENT_URL\"\\]|[\"$duck_url\", \"$AGENT_URL\"]|" >"$WORK/agent.yaml"
: >"$AGENT_LOG"
start_agent "$WORK/agent.yaml"
check "reports arrive by the first" wait_for 20 has_messages REPORTS 40
equal "which is the one that goes" 1 "$(grep -c " link_up.*url=$duck_url" "$AGENT_LOG")"
nats-server --signal "ldm=$WORK/duck.pid"
began=$(date +%s%3N)
check "it says that it will stop: the agent moves" wait_for 5 agent_says ' link_moving'
check "to the other" wait_for 5 up "$AGENT_URL"
in_time "before it is thrown out" $(($(date +%s%3N) - began)) 6000
no_match "which the log does not call a loss" ' (link_down|link_lost)' "$(cat "$AGENT_LOG")"
before=$(bus stream-info REPORTS | jq .messages)
check "reports arrive by the other" wait_for 10 has_messages REPORTS $((before + 40))
# It may have gone by itself: it has nobody left.
kill -KILL "$duck" 2>/dev/null || true
stop_agent
all_arrived REPORTS
