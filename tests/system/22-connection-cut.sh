#!/bin/sh
# Needs root (network namespaces and a packet filter of its own).
. "${0%/*}/../lib.sh"
own_namespace --net
story "A firewall swallows the connection: noticed within 30 s by default, nothing is lost"

# Two networks with a cable between: here the agent, over there the server.
spawn "$WORK/there.log" unshare --net sleep 1000
there=$SPAWNED
wait_for 10 eval '[ "$(readlink /proc/$there/ns/net)" != "$(readlink /proc/$$/ns/net)" ]'
over_there()
{
    nsenter --target "$there" --net -- "$@"
}
ip link set lo up
ip link add here type veth peer name there netns "$there"
ip address add 10.77.0.1/24 dev here
ip link set here up
over_there ip link set lo up
over_there ip address add 10.77.0.2/24 dev there
over_there ip link set there up

NATS_LOG=$WORK/nats.log
NATS_URL=nats://10.77.0.2:4222
export NATS_URL
road "${ROAD:-tcp}" 10.77.0.2 4222
spawn "$NATS_LOG" nsenter --target "$there" --net -- nats-server -js -sd "$WORK/nats" \
    ${ROAD_CONFIG:+-c "$ROAD_CONFIG"} -a 10.77.0.2 -p 4222
wait_for 20 has_line "$NATS_LOG" 'Server is ready'
# We look at the stream from over there, where nothing is ever cut.
bus()
{
    over_there "$BUILD/tests/tools/bus" "$@"
}
bus stream-add REPORTS 'agents.*.telemetry.>' --file --dedupe 3600
bus kv-add twin --file
start_quick_exporter
# nats.ping_interval is the default; only coming back is quick here.
busy_config 10 >"$WORK/agent.yaml"
start_agent "$WORK/agent.yaml"
check "reports arrive" wait_for 20 has_messages REPORTS 20

# cut CHAIN...: drop all packets there, without a word to anybody.
cut()
{
    nft add table inet cut
    for chain in "$@"; do
        nft add chain inet cut "$chain" "{ type filter hook $chain priority 0; policy accept; }"
        nft add rule inet cut "$chain" "meta $([ "$chain" = input ] && echo iif || echo oif)name here drop"
    done
}

mend()
{
    nft delete table inet cut
}

# The agent's end of the connection.
connection()
{
    ss -H -t -n state established dst 10.77.0.2 dport = ":$AGENT_PORT" | awk '{ print $3 }'
}

# endure TEXT: the agent notices, and comes back.
endure()
{
    began=$(date +%s%3N)
    before=$(connection)
    check "$1: it gives the connection up" wait_for 40 eval '[ "$(connection)" != "$before" ]'
    in_time "$1: within 30 s" $(($(date +%s%3N) - began)) 30500
    check "$1: reports pile up" wait_for 20 spool_holds 100
    mend
    check "$1: mended, it comes back" wait_for 20 eval '[ "$(health .nats.connected)" = true ]'
    check "$1: and the backlog drains" wait_for 30 spool_is_below 20
}

cut input output
endure "both ways are cut"
match "the log says why" ' warn +link_(stale|down)' "$(cat "$AGENT_LOG")"
cut input
endure "only its answers are cut"

stop_agent
all_arrived REPORTS
no_match "the log has no error" ' error ' "$(cat "$AGENT_LOG")"
