#!/bin/sh
# CUTS (20): how often each way.  SEED: repeats the places of a run.
. "${0%/*}/../lib.sh"
CUTS=${CUTS:-20}
SEED=${SEED:-$(date +%s)}
export SEED
story "The connection ends in the middle of a message, again and again, both ways"
note "CUTS=$CUTS SEED=$SEED"

start_quick_exporter
start_nats jetstream
bus stream-add REPORTS 'agents.*.telemetry.>' --file --dedupe 3600
bus kv-add twin --file
start_proxy
busy_config 50 | sed "s|$AGENT_URL|$PROXY_URL|
    s/reconnect_max: 500ms/reconnect_max: 100ms/
    s/^  heartbeat:/  agent_metrics: {interval: 1s}\n&/" >"$WORK/agent.yaml"
echo 'spool: {drain_spread: 0s}' >>"$WORK/agent.yaml"
start_agent "$WORK/agent.yaml"
check "reports arrive" wait_for 20 has_messages REPORTS 50

# cut WAY TEXT
cut()
{
    proxy "cut $1 0 60"
    check "$CUTS times $2" wait_for 60 has_line "$PROXY_LOG" "^cut $1" "$CUTS"
    proxy pass
    places=$(sed -n "s/^cut $1: at byte \([0-9]*\) of .*/\1/p" "$PROXY_LOG" | sort -nu)
    compare "at $(echo "$places" | wc -l) different bytes, from the $(echo "$places" | head -n 1). to the $(
        echo "$places" | tail -n 1)." "$(echo "$places" | wc -l)" -ge $((CUTS / 3))
    check "$1: the backlog drains" wait_for 30 spool_is_below 60
}
cut up "in a report on its way up"
cut down "in an acknowledgement on its way down"
check "it connected again each time" wait_for 10 eval \
    '[ "$(health .nats.reconnects 2>/dev/null)" -ge $((2 * CUTS)) ] 2>/dev/null'
sleep 1.1
stop_agent
all_arrived REPORTS

# counter NAME: the newest that the agent said of itself.
counter()
{
    bus stream-dump REPORTS --data | jq -r 'select(.subject == "agents.t1.telemetry.metrics.agent").data' |
        sed -n "s/^stone_age_agent_$1{.*} \([0-9]*\) .*/\1/p" | tail -n 1
}
compare "the server had some of them already ($(counter reports_duplicate_total) were offered twice, of $(
    counter reports_sent_total))" "$(counter reports_duplicate_total)" -ge 1
no_match "the server did not complain" '\[ERR\]' "$(cat "$NATS_LOG")"
no_match "the log has no error" ' error ' "$(cat "$AGENT_LOG")"
