#!/bin/sh
# The server is away for long: what waits, at which rate it goes out, what goes on beside it.
. "${0%/*}/../lib.sh"
story "Ten minutes' worth of reports wait for the server, and drain beside live traffic"

RATE=100        # spool.drain_rate
WINDOW=20       # spool.window
SPREAD=2000     # spool.drain_spread, ms
start_quick_exporter
start_nats jetstream
bus stream-add REPORTS 'agents.*.telemetry.>' --file --dedupe 3600
bus stream-add BEATS 'agents.*.heartbeat' --file
bus kv-add twin --file
busy_config 40 >"$WORK/agent.yaml"
cat >>"$WORK/agent.yaml" <<END2
spool: {drain_rate: $RATE, window: $WINDOW, drain_spread: ${SPREAD}ms}
END2
start_agent "$WORK/agent.yaml"
check "reports arrive" wait_for 20 has_messages REPORTS 40

kill_nats
wait_for 10 agent_says ' link_down'
# what was acknowledged before leaves the spool
sleep 0.3
first=$(spool 'SELECT coalesce(min(seq), 0) FROM report')
[ "$first" -gt 0 ] || first=$(($(spool_highest) + 1))
check "ten minutes and more of a report a second: 720 wait" wait_for 40 spool_holds 720
oldest=$(spool 'SELECT min(seq) FROM report')
# One that had been handed over and not yet acknowledged may have come back meanwhile.
compare "none of the oldest was given up" "$oldest" -le "$first"
newest=$(spool_highest)
restart_nats
up=$(date +%s%3N)
check "it connects again" wait_for 10 agent_says ' link_up' 2

# Ask as fast as it answers while the backlog drains.
slowest=0 asked=0 silent=0
until spool_is_below 41; do
    began=$(date +%s%3N)
    [ "$(bus req agents.t1.cmd.ping -t 2 | jq -r .status)" = pong ] || silent=$((silent + 1))
    took=$(($(date +%s%3N) - began))
    asked=$((asked + 1))
    [ $took -le $slowest ] || slowest=$took
    [ $((began - up)) -lt $((40000 * TIME_FACTOR)) ] || break
    sleep 0.1
done
drained=$(($(date +%s%3N) - up))
check "the backlog drains ($drained ms)" spool_is_below 80
equal "meanwhile each of $asked pings is answered" 0 $silent
in_time "in a second at most" $slowest 1000
compare "and beats come: at once with the connection, and after the interval" \
    "$(bus stream-info BEATS | jq .messages)" -ge 3
stop_agent
all_arrived REPORTS
no_stale_beat BEATS

# What the server saw: its time and the report's number, in the stream's order.
bus stream-dump REPORTS | jq -r '[.ts, (.headers["Nats-Msg-Id"] | split("-")[-1])] | @tsv' >"$WORK/arrivals"
equal "oldest first, without an exception" 0 \
    "$(awk '$2 <= last { n++ } { last = $2 } END { print n + 0 }' "$WORK/arrivals")"
# Of the backlog: the first one's delay, the most within a second, how many a second.
read -r delay most average <<END2
$(awk -v up="$up" -v newest="$newest" '$1 >= up && $2 <= newest {
    if (!n++) begin = $1
    at[n] = $1
    while (at[n] - at[low + 1] >= 1000) low++
    if (n - low > most) most = n - low
} END { printf "%d %d %d\n", begin - up, most, n * 1000 / (at[n] - begin + 1) }' "$WORK/arrivals")
END2
in_time "the drain began within spool.drain_spread of the connect" "$delay" $((SPREAD + 1000))
compare "at most $most arrived within a second: spool.drain_rate and what is on its way" \
    "$most" -le $((RATE + 2 * WINDOW))
compare "on average $average a second: the rate is used" "$average" -ge $((RATE * 7 / 10 / TIME_FACTOR))
no_match "the log has no error" ' error ' "$(cat "$AGENT_LOG")"
