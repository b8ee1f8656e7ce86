#!/bin/sh
# KILLS (30): how often the agent is killed.  SEED: repeats the moments of a run.
. "${0%/*}/../lib.sh"
KILLS=${KILLS:-30}
SEED=${SEED:-$(date +%s)}
story "kill -9 of the agent, again and again, under 50 reports a second"
note "KILLS=$KILLS SEED=$SEED"

start_quick_exporter
start_nats jetstream
bus stream-add REPORTS 'agents.*.telemetry.>' --file --dedupe 3600
bus stream-add BEATS 'agents.*.heartbeat' --file
bus kv-add twin --file
busy_config 50 >"$WORK/agent.yaml"
: >"$WORK/counts"

# From the first millisecond of a life, when the spool is being opened, to a second in.
for pause in $(awk -v seed="$SEED" -v count="$KILLS" 'BEGIN {
    srand(seed)
    while (count-- > 0) printf "%.3f ", rand() < 0.3 ? rand() * 0.02 : rand()
}'); do
    spawn "$WORK/agent.log" "$AGENT" run --config "$WORK/agent.yaml"
    sleep "$pause"
    kill_hard "$SPAWNED"
done
compare "the kills hit a spool at work" "$(spool_highest)" -gt $((KILLS * 5))

start_agent "$WORK/agent.yaml"
check "what was left drains" wait_for 30 spool_is_below 50
check "and it is at work" wait_for 10 has_messages REPORTS $((KILLS * 5))
stop_agent
all_arrived REPORTS
no_stale_beat BEATS
no_match "the log has no error" ' error ' "$(cat "$AGENT_LOG")"
equal "the database is sound" ok "$(spool 'PRAGMA integrity_check')"
