#!/bin/sh
# also: asan
. "${0%/*}/../lib.sh"
story "The server dies, stays away and comes back: nothing is lost, no beat is old"

start_quick_exporter
start_nats jetstream
bus stream-add REPORTS 'agents.*.telemetry.>' --file --dedupe 3600
bus stream-add BEATS 'agents.*.heartbeat' --file
bus kv-add twin --file
busy_config 20 >"$WORK/agent.yaml"
start_agent "$WORK/agent.yaml"
check "reports arrive" wait_for 20 has_messages REPORTS 40

for turn in 1 2 3; do
    kill_nats
    before=$(spool_highest)
    # It says so each time; the log counts what comes again within a minute.
    [ $turn -gt 1 ] || check "turn 1: the agent notices at once" wait_for 5 agent_says ' link_down'
    check "turn $turn: reports pile up in the spool" wait_for 20 spool_holds 60
    compare "turn $turn: they get numbers" "$(spool_highest)" -gt "$before"
    restart_nats
    check "turn $turn: it connects again" wait_for 10 agent_says ' link_up' $((turn + 1))
    check "turn $turn: the backlog drains" wait_for 20 spool_is_below 20
    check "turn $turn: a fresh beat comes" wait_for 10 has_messages BEATS $((turn + 1))
done

equal "health: it says how often it came back" '[true,3,"healthy"]' \
    "$(health '[.nats.connected, .nats.reconnects, .status]')"
stop_agent
all_arrived REPORTS
no_stale_beat BEATS
no_match "the log has no error" ' error ' "$(cat "$AGENT_LOG")"

# ---- away from the start, longer than any first patience

bus stream-del REPORTS
bus stream-add REPORTS 'agents.*.telemetry.>' --file --dedupe 3600
kill_nats
rm -rf "$STATE"
start_agent "$WORK/agent.yaml"
check "it starts without a server" wait_for 20 agent_says ' link_refused'
check "and accepts reports" wait_for 20 spool_holds 80
restart_nats
check "they arrive when it comes" wait_for 20 spool_is_below 20
stop_agent
all_arrived REPORTS
