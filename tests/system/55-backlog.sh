#!/bin/sh
# BACKLOG (100000): how many reports.
. "${0%/*}/../lib.sh"
BACKLOG=${BACKLOG:-100000}
story "A backlog of $BACKLOG reports: memory does not grow, all of it arrives, once"

# A small max_payload makes many reports of each page, and gzip small ones.
mkdir "$WORK/pages"
awk 'BEGIN { for (i = 0; i < 8000; i++) printf "# TYPE number_%04d gauge\nnumber_%04d 1\n", i, i }' \
    >"$WORK/pages/numbers"
start_pages "$WORK/pages"
echo 'max_payload: 8192' >"$WORK/nats.conf"
start_nats jetstream config "$WORK/nats.conf"
bus stream-add REPORTS 'agents.*.telemetry.>' --file --dedupe 3600
bus kv-add twin --file
EXPORTER_URL=$PAGES_URL/numbers
config()
{
    busy_config "$1" | sed 's/timeout: 1s}/timeout: 1s, gzip: true}/'
    echo 'spool: {drain_rate: 0, drain_spread: 0s}'
}
config 20 >"$WORK/agent.yaml"
start_agent "$WORK/agent.yaml"

# memory NAME: of the agent, in KiB.
memory()
{
    sed -n "s/^$1:[[:space:]]*\([0-9]*\) kB/\1/p" "/proc/$AGENT_PID/status"
}
wait_for 30 has_messages REPORTS 5000
before=$(memory VmRSS)
kill_nats
began=$(date +%s%3N)
check "the server is away: $BACKLOG reports wait" wait_for 120 spool_holds "$BACKLOG"
took=$(($(date +%s%3N) - began))
waiting=$(memory VmRSS)
note "they came at $((BACKLOG * 1000 / took)) a second; $(($(wc -c <"$STATE/spool.db") / 1048576)) MiB on the disk"

# No more of them: what drains now is the backlog.
config 0 | sed '/exporters:/d' >"$WORK/agent.yaml"
kill -HUP "$AGENT_PID"
check "the exporters are left alone" wait_for 10 agent_says ' config_reloaded'
sleep 1
backlog=$(spooled)
restart_nats
wait_for 10 agent_says ' link_up' 2
began=$(date +%s%3N)
check "the server is back: all $backlog drain" wait_for 60 spool_is_below 5
took=$(($(date +%s%3N) - began))
note "in $took ms, $((backlog * 1000 / took)) a second"
after=$(memory VmRSS)
compare "memory with the backlog waiting: $before KiB before, $waiting with it: within 4 MiB" \
    $((waiting - before)) -le 4096
compare "memory when it has drained: $before KiB before, $after after: within 2 MiB" \
    $((after - before)) -le 2048
note "at most it ever had $(memory VmHWM) KiB"
stop_agent
all_arrived REPORTS
no_match "the log has no error" ' error ' "$(cat "$AGENT_LOG")"
