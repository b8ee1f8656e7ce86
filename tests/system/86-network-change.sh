#!/bin/sh
# long
# Needs root (network namespaces of its own).
. "${0%/*}/../lib.sh"
own_namespace --net
. "$TOP/tests/network.sh"
story "The network changes: a dead connection is left within 2 s, and one is there as soon as there is a way"

# Two cables lead to the server, whose address is behind both.
far_side
ip link set lo up
cable one 10.77.1
cable two 10.77.2
far ip address add 10.99.0.1/32 dev lo
ip route add 10.99.0.1 via 10.77.1.2 metric 10
ip route add 10.99.0.1 via 10.77.2.2 metric 20
start_far_nats 10.99.0.1
bus stream-add REPORTS 'agents.*.telemetry.>' --file --dedupe 3600
start_quick_exporter

# All the defaults, but for the first wait: tests every 10 s, up to 20 s until the next attempt.
launch 1 "\"$AGENT_URL\""
check "it connects" wait_for 10 is_connected 1 "$AGENT_PORT"
old=$(connection 1 "$AGENT_PORT")
match "by the first cable" '^10\.77\.1\.1:' "$old"
check "reports arrive" wait_for 20 has_messages REPORTS 4

# leaves TEXT: the connection OLD is left within 2 s of now; its end is not waited for.
lost=0
leaves()
{
    began=$(now)
    lost=$((lost + 1))
    check "$1: the connection is left" wait_for 12 says 1 link_down $lost
    took=$(($(now) - began))
    in_time "$1: within 2 s" $took 2000
    check "$1: its socket is closed" wait_for 3 is_elsewhere 1 "$AGENT_PORT" "$old"
}

# returns TEXT: there is a new one within 4 s of now, not when the backoff has passed.
returns()
{
    began=$(now)
    check "$1: it is back" wait_for 25 says 1 link_up $((lost + 1))
    took=$(($(now) - began))
    in_time "$1: at once" $took 4000
    old=$(connection 1 "$AGENT_PORT")
    # The next change is to be another one, not the end of this.
    sleep 2
}

# ---- what does not concern it ----------------------------------------------------

ip address add 10.77.2.77/24 dev two
ip route add 192.0.2.0/24 via 10.77.2.2
ip address add 10.1.1.1/32 dev lo
ip link add bridge type bridge
ip link set bridge up
for n in 1 2 3; do
    ip link add "c$n" type veth peer name "d$n"
    ip link set "c$n" master bridge
    ip link set "c$n" up
    ip link set "d$n" up
    ip link del "c$n"
done
ip route del 192.0.2.0/24
ip address del 10.77.2.77/24 dev two
ip link set two down
sleep 3
equal "changes elsewhere leave the connection alone" "$old" "$(connection 1 "$AGENT_PORT")"
no_match "and the log does not speak of them" 'link_(down|lost|stale|closed)' "$(cat "$WORK/agent1.log")"
ip link set two up
ip route add 10.99.0.1 via 10.77.2.2 metric 20
sleep 2
equal "nor does a second way that comes back" "$old" "$(connection 1 "$AGENT_PORT")"

# ---- what does --------------------------------------------------------------------

ip address del 10.77.1.1/24 dev one
leaves "its address is taken away"
returns "by the other cable"
match "by the other cable: really" '^10\.77\.2\.1:' "$old"

# Its address stays, but what it sends goes to a neighbour that is not there.
ip route replace 10.99.0.1 via 10.77.2.9 metric 20
leaves "its route leads nowhere"
sleep 5
equal "nowhere: it has no connection" "" "$(connection 1 "$AGENT_PORT")"
ip route replace 10.99.0.1 via 10.77.2.2 metric 20
returns "the route is right again"

ip link set two down
leaves "the last interface goes down"
sleep 5
ip link set two up
ip route replace 10.99.0.1 via 10.77.2.2 metric 20
returns "up again"

# A change that is over before it has been looked at twice: the second is not forgotten.
ip link set two down
sleep 1
ip link set two up
ip route replace 10.99.0.1 via 10.77.2.2 metric 20
began=$(now)
check "down for a second: it is back" wait_for 25 is_up 1
took=$(($(now) - began))
in_time "down for a second: soon" $took 6000

end_agent 1
