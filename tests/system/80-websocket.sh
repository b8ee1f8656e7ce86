#!/bin/sh
# Needs root (a network and an /etc/hosts of its own).  KILLS (5): how often the server dies.
. "${0%/*}/../lib.sh"
KILLS=${KILLS:-5}
own_namespace --net --mount --propagation private
story "The brief's own example, word for word, at its own wss://nats.acme.io:9222"

ip link set lo up
{ grep -v 'nats\.acme\.io' /etc/hosts; echo "127.0.0.1 nats.acme.io"; } >"$WORK/hosts"
mount --bind "$WORK/hosts" /etc/hosts
at_end "umount /etc/hosts"

# Where the platform would have put them.
umask 077
mkdir "$WORK/id" "$STATE" "$WORK/etc" "$WORK/etc/agent.d"
python3 "$TOP/tests/tools/identity.py" "$WORK/id"
cp "$WORK/id/user.creds" "$STATE/nats.creds"
NATS_CREDS=$WORK/id/admin.creds
authority acme
certificate acme-server acme DNS:nats.acme.io
{
    cat "$WORK/id/operator.conf"
    echo 'websocket {'
    echo '    listen: "127.0.0.1:9222"'
    echo "    tls { cert_file: \"$WORK/acme-server.pem\", key_file: \"$WORK/acme-server.key\" }"
    echo '}'
} >"$WORK/nats.conf"
start_nats jetstream config "$WORK/nats.conf" road tcp
bus stream-add REPORTS 'agents.*.telemetry.>' --file --dedupe 3600
bus stream-add BEATS 'agents.*.heartbeat' --file
bus kv-add twin --file

cp "$TOP/tests/data/config/brief.yaml" "$WORK/etc/agent.yaml"
start_agent "$WORK/etc/agent.yaml"
code=chicago-warehouse-vent-01
check "nobody knows the private authority: the log says so" wait_for 10 agent_says ' error +link_tls_authority'
echo "nats: {tls: {ca_file: \"$WORK/acme.pem\"}}" >"$WORK/etc/agent.d/authority.yaml"
kill -HUP "$AGENT_PID"
check "it is named in agent.d: connected" wait_for 10 agent_says ' link_up.*wss://nats\.acme\.io:9222'
check "the twin is online" wait_for 10 eval '[ "$(bus kv-get twin thing.$code.status)" = online ]'
check "and beats" jq -e '.interval == "30s" and .status == "online"' <<END
$(bus kv-get twin thing.$code.heartbeat)
END
check "a beat is heard" wait_for 10 has_messages BEATS 1
check "reports are stored" wait_for 10 has_messages REPORTS 1
equal "it answers" pong "$(bus req "agents.$code.cmd.ping" | jq -r .status)"
bus req "agents.$code.cmd.exec" '{"command": "df -h"}' -t 20 >"$WORK/df"
match "exec: df -h" 'Filesystem' "$(jq -r '.output // .stdout' "$WORK/df")"
match "exec: what is not allowed is not run" 'not (in|allowed|permitted)|denied' \
    "$(bus req "agents.$code.cmd.exec" '{"command": "id"}' -t 20)"
stop_agent

# ---- the server dies, again and again

start_quick_exporter
{
    echo "nats: {reconnect_wait: 100ms, reconnect_max: 300ms, connect_spread: 0s}"
    echo "spool: {drain_spread: 0s}"
    echo "tasks:"
    echo "  exporters:"
    for n in $(seq 20); do
        echo "    - {name: e$n, url: \"$EXPORTER_URL\", interval: 1s, timeout: 1s}"
    done
} >"$WORK/etc/agent.d/busy.yaml"
bus stream-del REPORTS
bus stream-add REPORTS 'agents.*.telemetry.>' --file --dedupe 3600
rm -f "$STATE"/spool*
start_agent "$WORK/etc/agent.yaml"
check "reports flow" wait_for 20 has_messages REPORTS 20
threads=$(opened task)
fds=$(opened fd)
first=$(grep -c ' link_up' "$AGENT_LOG")
lost=0
for turn in $(seq "$KILLS"); do
    # At any moment of the second, in the tenth part of which all reports are made.
    sleep "0.$((turn * 37 % 10))"
    kill_nats
    restart_nats
    before=$(bus stream-info REPORTS | jq .messages)
    wait_for 20 has_messages REPORTS $((before + 20)) >/dev/null || lost=$((lost + 1))
done
equal "$KILLS times kill -9 of the server: it came back each time" 0 "$lost"
check "the backlog drains" wait_for 20 spool_is_below 21
sleep 0.3
check "it has no more threads than before" wait_for 5 opened_at_most task "$threads"
check "nor descriptors" wait_for 5 opened_at_most fd "$fds"
compare "it connected anew each time" "$(bus req "agents.$code.cmd.health" | jq .nats.reconnects)" \
    -ge "$KILLS"
stop_agent
equal "the spool is empty" 0 "$(spooled)"
highest=$(spool_highest)
match "each of the $highest reports is in the stream, once" \
    "^$code-[^ ]+ count=$highest lowest=1 highest=$highest gaps=0 doubles=0\$" "$(bus numbers REPORTS || true)"
