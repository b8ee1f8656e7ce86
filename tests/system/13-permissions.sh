#!/bin/sh
# also: asan
. "${0%/*}/../lib.sh"
story "A narrow role: what is denied is named once with the grant, the rest works"

# roles PUBLISH...: the server's config, with what the agent may publish.
roles()
{
    cat >"$WORK/nats.conf" <<END
authorization {
    users = [
        {user: admin, password: admin}
        {user: agent, password: s3cret, permissions: {
            publish: [$*]
            subscribe: ["agents.t1.cmd.>", "_INBOX.>"]
        }}
    ]
}
END
}
echo s3cret >"$WORK/password"
chmod 600 "$WORK/password"
roles '"agents.t1.heartbeat", "_INBOX.>"'
start_nats jetstream config "$WORK/nats.conf"
url=$NATS_URL
NATS_URL=nats://admin:admin@127.0.0.1:$NATS_PORT
bus stream-add REPORTS 'agents.*.telemetry.>' --file
bus kv-add twin
listen "$WORK/beats" 'agents.*.heartbeat'
cat >"$WORK/agent.yaml" <<END
code: t1
nats:
  urls: ["$url"]
  auth: {type: userpass, username: agent, password_file: "$WORK/password"}
  connect_spread: 0s
  reconnect_wait: 200ms
tasks: {heartbeat: {interval: 10s}}
spool: {ack_timeout: 1s}
END
start_agent "$WORK/agent.yaml"

check "the heartbeat works" wait_for 10 has_line "$WORK/beats" heartbeat
equal "ping works" pong "$(bus req agents.t1.cmd.ping | jq -r .status)"
check "the report stays in the spool" wait_for 10 spool_holds 1
check "the second heartbeat comes" wait_for 20 has_line "$WORK/beats" heartbeat 2
log=$(cat "$AGENT_LOG")
match "\$SRV is denied quietly" ' info +link_denied_optional.*\$SRV\.' "$log"
no_match "as no warning" ' (warn|error) .*\$SRV' "$log"
match "the twin's grant is named" ' warn +.*\$KV\.twin\.thing\.t1\.' "$log"
match "so is the telemetry's" ' warn +link_denied_publish.*agents\.t1\.telemetry\.' "$log"
equal "each once" "" "$(echo "$log" | grep -o 'link_denied_publish.*agents\.t1\.telemetry.*' | sort | uniq -d)"
check "delivery says that it waits" wait_for 10 agent_says ' delivery_stalled'
equal "health: connected, and degraded" '[true,"degraded"]' "$(health '[.nats.connected, .status]')"
equal "it says why" false "$(health '.delivery.error == null')"
equal "the connection was never lost" 0 "$(health .nats.reconnects)"

# ---- the role is widened

roles '"agents.t1.heartbeat", "_INBOX.>", "agents.t1.telemetry.>", "$KV.twin.thing.t1.>"'
kill -HUP "$NATS_PID"
wait_for 10 has_line "$NATS_LOG" 'Reloaded'
check "the backlog arrives" wait_for 60 has_messages REPORTS 1
check "delivery goes on" wait_for 10 agent_says ' delivery_resumed'
check "the twin is told" wait_for 30 eval '[ "$(bus kv-get twin thing.t1.status 2>/dev/null)" = online ]'
equal "health is healthy" '"healthy"' "$(health .status)"
stop_agent
all_arrived REPORTS
equal "offline at the end" offline "$(bus kv-get twin thing.t1.status)"
