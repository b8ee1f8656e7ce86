#!/bin/sh
# Takes a minute: the silence must be longer than three beats.
. "${0%/*}/../lib.sh"
story "The server freezes: the agent notices, nothing is lost, no beat comes late"

start_quick_exporter
start_nats jetstream
bus stream-add REPORTS 'agents.*.telemetry.>' --file --dedupe 3600
bus stream-add BEATS 'agents.*.heartbeat' --file
bus kv-add twin --file
busy_config 20 | sed 's/^  connect_spread:/  ping_interval: 2s\n&/' >"$WORK/agent.yaml"
start_agent "$WORK/agent.yaml"
check "reports arrive" wait_for 20 has_messages REPORTS 20
check "a beat arrives" wait_for 10 has_messages BEATS 1

freeze_nats
frozen_at=$(date +%s)
check "the agent notices the silence" wait_for 10 agent_says ' link_(stale|down)'
check "reports pile up" wait_for 20 spool_holds 100
# Longer than three beats, all of which would be old when the server wakes.
check "for 32 s" wait_for 40 eval '[ "$(date +%s)" -ge $((frozen_at + 32)) ]'
thaw_nats
check "awake: it connects again" wait_for 20 eval '[ "$(health .nats.reconnects)" -ge 1 ]'
check "awake: the backlog drains" wait_for 30 spool_is_below 30
check "awake: a fresh beat comes" wait_for 15 has_messages BEATS 2
equal "health is healthy" '"healthy"' "$(health .status)"

# A beat that was written before the silence could be noticed may be late: one.
stale=$(bus stream-dump BEATS --data | jq -c '
    select(.ts / 1000 - (.data | fromjson.ts | fromdateiso8601) > 3)' | wc -l)
compare "at most the beat in flight is late" "$stale" -le 1

freeze_nats
began=$(date +%s%3N)
stop_agent
in_time "a stop while it is frozen takes its time, and no more" $(($(date +%s%3N) - began)) 12000
thaw_nats
start_agent "$WORK/agent.yaml"
check "awake: what was left drains" wait_for 30 spool_is_below 20
stop_agent
all_arrived REPORTS
