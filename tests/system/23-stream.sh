#!/bin/sh
# also: asan
. "${0%/*}/../lib.sh"
story "The stream: missing, made, deleted, made again, full, made larger"

start_quick_exporter
start_nats jetstream
bus kv-add twin
busy_config 10 >"$WORK/agent.yaml"
echo 'spool: {ack_timeout: 2s}' >>"$WORK/agent.yaml"
start_agent "$WORK/agent.yaml"

check "no stream: the log says so" wait_for 10 agent_says ' delivery_stalled.*no stream'
match "with the subject that it must bind" 'agents\.t1\.telemetry\.>' \
    "$(grep delivery_stalled "$AGENT_LOG")"
check "reports wait" wait_for 10 spool_holds 20
equal "it says so once" 1 "$(grep -c ' delivery_stalled' "$AGENT_LOG")"
equal "the beat and the twin do not mind" online "$(bus kv-get twin thing.t1.status)"
equal "health: degraded, with the reason" '["degraded","no stream binds the subject",false]' \
    "$(health '[.status, .delivery.error, .nats.jetstream]')"
equal "reports that cannot be stored load nobody: few offers" true \
    "$(health '.nats.out_msgs < 60')"

# The window for duplicates is an hour: what is offered twice is stored once.
bus stream-add REPORTS 'agents.*.telemetry.>' --file --dedupe 3600
check "made: the backlog arrives" wait_for 30 spool_is_below 10
check "the log says so" agent_says ' delivery_resumed'
equal "health: healthy" '["healthy",true]' "$(health '[.status, .nats.jetstream]')"

# Someone who only listens takes away the server's word that there is no stream.
listen "$WORK/dashboard" 'agents.>'
before=$(spool_highest)
bus stream-del REPORTS
check "deleted: reports wait, although a dashboard hears them" wait_for 20 spool_holds 20
first=$(spool 'SELECT min(seq) FROM report')
compare "what was acknowledged before is not kept" "$first" -ge $((before - 20))
bus stream-add REPORTS 'agents.*.telemetry.>' --file --dedupe 3600 --discard-new --max-msgs 60
check "made again, but small: it fills" wait_for 60 has_messages REPORTS 60
check "full: what it refuses stays" wait_for 20 spool_holds 20
check "health has the server's reason" wait_for 10 eval 'health .delivery.error | grep -q "maximum messages"'
equal "nothing is pushed out of it" "$first" \
    "$(bus numbers REPORTS | sed 's/.* lowest=\([0-9]*\) .*/\1/')"

bus stream-edit REPORTS --max-msgs 100000
check "made larger: all of it arrives" wait_for 60 spool_is_below 10
stop_agent
equal "the spool is empty" 0 "$(spooled)"
highest=$(spool_highest)
match "each report since the deletion is there once" \
    "^t1-[^ ]+ count=$((highest - first + 1)) lowest=$first highest=$highest gaps=0 doubles=0\$" \
    "$(bus numbers REPORTS)"
no_match "the log has no error" ' error ' "$(cat "$AGENT_LOG")"

# ---- no JetStream at all

stop_nats
start_nats
busy_config 10 >"$WORK/agent.yaml"
start_agent "$WORK/agent.yaml"
check "a server without JetStream: the agent runs" wait_for 10 agent_says 'delivery_stalled' 2
check "reports wait" wait_for 10 spool_holds 20
equal "it answers" pong "$(bus req agents.t1.cmd.ping | jq -r .status)"
stop_agent
compare "and keeps them" "$(spooled)" -ge 20
