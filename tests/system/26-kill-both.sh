#!/bin/sh
# KILLS (200; 40 with SA_QUICK): how many kill -9 there are.  SEED: repeats the
# moments and the victims of a run.
. "${0%/*}/../lib.sh"
KILLS=${KILLS:-$([ -n "${SA_QUICK:-}" ] && echo 40 || echo 200)}
SEED=${SEED:-$(date +%s)}
story "kill -9 of agent and server at random moments, under 50 reports a second"
note "KILLS=$KILLS SEED=$SEED"

start_quick_exporter
start_nats jetstream
bus stream-add REPORTS 'agents.*.telemetry.>' --file --dedupe 3600
bus stream-add BEATS 'agents.*.heartbeat' --file
bus kv-add twin --file
busy_config 50 >"$WORK/agent.yaml"
start_agent "$WORK/agent.yaml"

# Each line: the victim, how long it lives before, how long it is dead.
awk -v seed="$SEED" -v count="$KILLS" 'BEGIN {
    srand(seed)
    while (count > 0) {
        victim = rand()
        victim = count < 2 || victim < 0.4 ? "agent" : victim < 0.8 ? "server" : "both"
        count -= victim == "both" ? 2 : 1
        printf "%s %.3f %.3f\n", victim, rand() < 0.3 ? rand() * 0.05 : rand() * 1.2, rand() * 0.6
    }
}' >"$WORK/plan"

agents=0
servers=0
while read -r victim life death; do
    sleep "$life"
    if [ "$victim" != server ]; then
        kill_agent
        agents=$((agents + 1))
    fi
    if [ "$victim" != agent ]; then
        kill_nats
        servers=$((servers + 1))
    fi
    sleep "$death"
    [ "$victim" = agent ] || restart_nats
    [ "$victim" = server ] || start_agent "$WORK/agent.yaml"
done <"$WORK/plan"
equal "$agents kills of the agent, $servers of the server" "$KILLS" $((agents + servers))

check "the agent finds back" wait_for 20 eval '[ "$(bus req agents.t1.cmd.ping -t 1 | jq -r .status)" = pong ]'
check "what was left drains" wait_for 60 spool_is_below 50
stop_agent
all_arrived REPORTS
compare "the kills hit a spool at work" "$(spool_highest)" -gt $((KILLS * 10))
no_stale_beat BEATS
no_match "the log has no error" ' error ' "$(cat "$AGENT_LOG")"
equal "the database is sound" ok "$(spool 'PRAGMA integrity_check')"
