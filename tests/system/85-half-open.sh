#!/bin/sh
# long
# Needs root (a network namespace and a packet filter of its own).
. "${0%/*}/../lib.sh"
own_namespace --net
. "$TOP/tests/network.sh"
story "Connections that are dead at one end: each is left within 30 s by default, nothing is lost"

ip link set lo up
start_nats jetstream
bus stream-add REPORTS 'agents.*.telemetry.>' --file --dedupe 3600
start_quick_exporter
start_proxy

# The settings that decide are the defaults; only coming back is quick here.
quick='reconnect_wait: 100ms'
launch 1 "\"$AGENT_URL\"" "$quick"
launch 2 "\"$AGENT_URL\"" "$quick"
launch 3 "\"$AGENT_URL\"" "$quick"
launch 4 "\"$PROXY_URL\"" "$quick"
# One that tests its connection so seldom that only its sleep can tell it.
"${CC:-cc}" -shared -fPIC -o "$WORK/clock.so" "$TOP/tests/tools/clock.c"
sleep_for()
{
    python3 -c 'import os, struct, sys
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT, 0o644)
os.write(file, struct.pack("=qq", 0, int(sys.argv[2]) * 10**9))' "$WORK/clock" "$1"
}
sleep_for 0
real_agent=$AGENT
cat >"$WORK/agent-asleep" <<END
#!/bin/sh
CLOCK_FILE="$WORK/clock" LD_PRELOAD="$WORK/clock.so" exec "$real_agent" "\$@"
END
chmod +x "$WORK/agent-asleep"
AGENT=$WORK/agent-asleep
launch 5 "\"$AGENT_URL\"" "$quick" 'ping_interval: 5m'
AGENT=$real_agent

port_of()
{
    if [ "$1" = 4 ]; then
        echo "${PROXY_URL##*:}"
    else
        echo "$AGENT_PORT"
    fi
}
agents="1 2 3 4 5"
for n in $agents; do
    check "agent $n connects" wait_for 10 is_connected "$n" "$(port_of "$n")"
    eval "old$n=$(connection "$n" "$(port_of "$n")")"
done
check "reports arrive" wait_for 20 has_messages REPORTS 20

# A firewall forgets connections: what belongs to them is dropped without a word, new ones
# are welcome.
nft add table inet cut
nft add chain inet cut input '{ type filter hook input priority 0; }'
drop()
{
    nft add rule inet cut input "tcp $1" "${2##*:}" drop
}
# shellcheck disable=SC2154 # old1 ... are set above
{
    drop sport "$old1"; drop dport "$old1"
    drop dport "$old2"
    drop sport "$old3"
    drop sport "$old5"; drop dport "$old5"
}
proxy swallow both
sleep_for 3600
began=$(now)

left="$agents"
while [ -n "$left" ] && [ $(($(now) - began)) -lt $((40000 * TIME_FACTOR)) ]; do
    still=
    for n in $left; do
        if says "$n" link_down; then
            eval "took$n=$(($(now) - began))"
            [ "$n" != 4 ] || proxy pass
        else
            still="$still $n"
        fi
    done
    left=${still# }
    sleep 0.1
done
# shellcheck disable=SC2154 # took1 ... are set above, or not
{
    in_time "both ways are dropped: left within 30 s" "${took1:-}" 30500
    in_time "only its answers are dropped: within 30 s" "${took2:-}" 30500
    in_time "only what it sends is dropped: within 30 s" "${took3:-}" 30500
    in_time "a middlebox takes all and passes on nothing: within 30 s" "${took4:-}" 30500
    in_time "the machine has slept: within 30 s and a look, though it seldom tests" "${took5:-}" 34000
    note "after ${took1:-?}, ${took2:-?}, ${took3:-?}, ${took4:-?} and ${took5:-?} ms"
}
for n in $agents; do
    eval "old=\$old$n"
    check "agent $n: its socket is closed" wait_for 5 is_elsewhere "$n" "$(port_of "$n")" "$old"
    check "agent $n is back" wait_for 10 is_up "$n"
    equal "agent $n was away once" 1 "$(health_of "$n" .nats.reconnects)"
done
for n in $agents; do
    end_agent "$n"
done
