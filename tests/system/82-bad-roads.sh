#!/bin/sh
# LIES: only these, by hand ("ws frame_rsv1").
# also: asan
. "${0%/*}/../lib.sh"
story "What answers is no bus, or lies: the agent names it, keeps its size, and tries the next"

# One list of each way; each lie is told twice: an attempt that a change of this machine's
# network broke off has heard the first in vain, and says nothing of it.
ws_liar()
{
    python3 "$TOP/tests/tools/ws_liar.py" "$@"
}
if [ -n "${LIES:-}" ]; then
    printf '%s\n' "$LIES" >"$WORK/lie"
else
    { ws_liar --list; ws_liar --list; } >"$WORK/lie"
fi
start_ws_liar
good=$(free_port)
cat >"$WORK/agent.yaml" <<END
code: t1
nats:
  urls: ["$WS_LIAR_URL", "$TCP_LIAR_URL", "nats://127.0.0.1:$good"]
  auth: {type: none}
  connect_spread: 0s
  connect_timeout: 500ms
  reconnect_wait: 100ms
  reconnect_max: 100ms
tasks: {system_metrics: {enabled: false}, inventory: {enabled: false}, heartbeat: {interval: 10s}}
END
start_agent "$WORK/agent.yaml"
sleep 1
size()
{
    sed -n "s/^$1:[[:space:]]*\([0-9]*\) kB/\1/p" "/proc/$AGENT_PID/status"
}
before=$(size VmRSS)
count=$(wc -l <"$WORK/lie")
all_told()
{
    ! alive "$AGENT_PID" || [ "$(grep -c '^told ' "$WS_LIAR_LOG")" -ge "$count" ]
}
check "it hears all of $count lies" wait_for 120 all_told
check "and lives" alive "$AGENT_PID"
after=$(size VmRSS)
# A sanitizer keeps what was freed.
if [ "$WAIT_FACTOR" -eq 1 ]; then
    compare "it had $before KiB, has $after and never had more than $(size VmHWM)" "$(size VmHWM)" \
        -le $((before + 8192))
fi
check "it has no thread too many" wait_for 5 opened_at_most task 16
check "nor descriptor" wait_for 5 opened_at_most fd 40

# ---- what the log says of each

# says WAY NAME EVENT REASON: once at least, of that way's URL.
says()
{
    case $1 in
    ws) _url=$WS_LIAR_URL ;;
    tcp) _url=$TCP_LIAR_URL ;;
    esac
    grep -q "^told $1 $2:" "$WS_LIAR_LOG" || return 0
    check "$1 $2: $3" agent_says " ($3): .*url=$_url .*$4"
}
while read -r way name event reason; do
    case $way in
    both)
        says ws "$name" "$event" "$reason"
        says tcp "$name" "$event" "$reason"
        ;;
    ws|tcp) says "$way" "$name" "$event" "$reason" ;;
    esac
done <"$TOP/tests/data/lies.txt"
for way in ws tcp; do
    sed -n "s/^told $way \([a-z0-9_]*\):.*/\1/p" "$WS_LIAR_LOG" | while read -r name; do
        grep -Eq "^($way|both) +$name " "$TOP/tests/data/lies.txt" || echo "$way $name"
    done
done >"$WORK/unjudged"
if grep -q burst_of_pings "$WORK/lie"; then
    match "300 pings at once are answered, and what comes behind them is heard" ': all answered$' \
        "$(grep '^told ws burst_of_pings:' "$WS_LIAR_LOG")"
fi
equal "there is no lie whose name in the log nobody looks for" "" "$(cat "$WORK/unjudged")"
no_match "nothing that would move a terminal" "$(printf '\033')" "$(cat "$AGENT_LOG")"

# ---- and the next of the list

start_nats port "$good" road tcp
check "the third of the list is reached as soon as it is there" wait_for 10 agent_says " link_up.*url=$NATS_URL"
check "and it answers" wait_for 5 eval '[ "$(bus req agents.t1.cmd.ping -t 1 | jq -r .status)" = pong ]'
stop_agent
