#!/bin/sh
# AGENTS (50): how many.
. "${0%/*}/../lib.sh"
AGENTS=${AGENTS:-50}
story "$AGENTS agents lose their server at one moment, and do not come back at one moment"

WAIT=4000       # nats.reconnect_wait and reconnect_max, ms
SPREAD=4000     # spool.drain_spread, ms
start_quick_exporter
start_nats jetstream
bus stream-add REPORTS 'agents.*.telemetry.>' --file --dedupe 3600
bus kv-add twin --file
all=$(seq "$AGENTS")
for n in $all; do
    mkdir -p "$WORK/$n/state"
    busy_config 1 | sed "s/^code: t1/code: t$n/; s/^  connect_spread:.*/  connect_spread: 1s/
        s/^  reconnect_wait:.*/  reconnect_wait: ${WAIT}ms/; s/^  reconnect_max:.*/  reconnect_max: ${WAIT}ms/
        s/^  heartbeat:/  agent_metrics: {interval: 1s}\n&/" >"$WORK/$n/agent.yaml"
    echo "spool: {window: 8, drain_spread: ${SPREAD}ms}" >>"$WORK/$n/agent.yaml"
    STATE_DIRECTORY=$WORK/$n/state RUNTIME_DIRECTORY=$WORK/$n/run
    spawn "$WORK/$n/log" "$AGENT" run --config "$WORK/$n/agent.yaml"
    echo "$SPAWNED" >"$WORK/$n/pid"
done

# count EXTENDED-REGULAR-EXPRESSION: how many agents' logs have such a line.
count()
{
    { grep -Elc "$1" "$WORK"/*/log || true; } | wc -l
}
everyone()
{
    [ "$(count "$1")" -eq "$AGENTS" ]
}
# waits_everywhere COUNT: do at least that many reports wait at each agent?
waits_everywhere()
{
    for _n in $all; do
        STATE=$WORK/$_n/state
        spool_holds "$1" || return 1
    done
}
nothing_waits()
{
    for _n in $all; do
        STATE=$WORK/$_n/state
        spool_is_below 4 || return 1
    done
}
check "all are there" wait_for 20 everyone ' link_up'
check "reports arrive" wait_for 20 has_messages REPORTS $((2 * AGENTS))

kill_nats
check "all notice it" wait_for 5 everyone ' link_down'
check "more reports wait at each than its window holds" wait_for 40 waits_everywhere 12
sed -n 's/ .* link_up.*//p' "$WORK"/*/log >"$WORK/firsts"
restart_nats
back=$(date +%s%3N)
all_back()
{
    [ "$(cat "$WORK"/*/log | grep -c ' link_up')" -ge $((2 * AGENTS)) ]
}
check "the server is back: all connect again" wait_for $((WAIT / 1000 + 6)) all_back
check "and all that waited drains" wait_for $((SPREAD / 1000 + 20)) nothing_waits
note "all is done $(($(date +%s%3N) - back)) ms after the server's return"

# The largest of the agents, in KiB.
largest=$(for n in $all; do
    sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$(cat "$WORK/$n/pid")/status"
done | sort -n | tail -n 1)
compare "none ever had more than $largest KiB of memory" "$largest" -le 32768
for n in $all; do
    kill -TERM "$(cat "$WORK/$n/pid")"
done
failed=0
for n in $all; do
    stop "$(cat "$WORK/$n/pid")" 20 && [ "$STATUS" -eq 0 ] || failed=$((failed + 1))
done
equal "all $AGENTS stop in time, with status 0" 0 $failed

# ---- what arrived

bus numbers REPORTS >"$WORK/numbers" || true
lost=0 given=0
for n in $all; do
    STATE=$WORK/$n/state
    highest=$(spool_highest)
    given=$((given + highest))
    if ! grep -Eq "^t$n-[^ ]+ count=$highest lowest=1 highest=$highest gaps=0 doubles=0\$" "$WORK/numbers"; then
        lost=$((lost + 1))
        note "t$n gave $highest numbers: $(grep "^t$n-" "$WORK/numbers")"
    fi
done
equal "of each agent all reports are there once, $given in all" 0 $lost
equal "and of nobody else" "$AGENTS" "$(wc -l <"$WORK/numbers")"

# spread FILE: its moments (ms): first, last, the most within 200 ms.
spread()
{
    sort -n "$1" | awk -v back="$back" '{
        at[++n] = $1
        while (at[n] - at[low + 1] >= 200) low++
        if (n - low > most) most = n - low
    } END { printf "%d %d %d\n", at[1] - back, at[n] - back, most }'
}
# When each connected, by its own log, and when the stream got its first report then.
for n in $all; do
    date -d "$(sed -n 's/ .* link_up.*//p' "$WORK/$n/log" | tail -n 1)" +%s%3N
done >"$WORK/connects"
bus stream-dump REPORTS | jq -r --argjson back "$back" 'select(.ts >= $back) |
    [.ts, (.headers["Nats-Msg-Id"] | split("-")[0])] | @tsv' |
    awk '!seen[$2]++ { print $1 }' >"$WORK/drains"
equal "each one's drain is seen" "$AGENTS" "$(wc -l <"$WORK/drains")"
read -r first last most <<END2
$(spread "$WORK/connects")
END2
compare "they connected from $first to $last ms after its return: spread over nats.reconnect_wait" \
    $((last - first)) -ge $((WAIT / 2))
compare "at most $most of them within 200 ms" "$most" -le $((AGENTS * 2 / 5))
read -r first last most <<END2
$(spread "$WORK/drains")
END2
compare "they began to drain from $first to $last ms: spread further by spool.drain_spread" \
    $((last - first)) -ge $(((WAIT + SPREAD) / 2))
compare "at most $most of them within 200 ms" "$most" -le $((AGENTS * 2 / 5))
