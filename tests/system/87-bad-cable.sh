#!/bin/sh
# Needs root (network namespaces and a packet filter of its own).
. "${0%/*}/../lib.sh"
own_namespace --net
. "$TOP/tests/network.sh"
[ -c /dev/net/tun ] || skip_all "there is no /dev/net/tun to make a bad cable of"
story "A cable that loses and delays, and one that swallows long packets: nothing is lost"

far_side
ip link set lo up
far ip address add 10.99.0.1/32 dev lo
# 200 ms there and back, and a tenth of all packets never comes, each way.
spawn "$WORK/cable.log" python3 "$TOP/tests/tools/cable.py" lossy lossy2 100 10 0
wait_for 10 has_line "$WORK/cable.log" '^Ready'
ip link set lossy2 netns "$FAR"
ip address add 10.77.1.1/24 dev lossy
ip link set lossy up
far ip address add 10.77.1.2/24 dev lossy2
far ip link set lossy2 up
# On the way to the server packets of more than 1000 bytes vanish, without a word.
cable hole 10.77.2
far nft add table inet hole
far nft add chain inet hole prerouting '{ type filter hook prerouting priority -300; }'
far nft add rule inet hole prerouting iifname hole meta length '>' 1000 drop
start_far_nats 0.0.0.0
NATS_URL=nats://10.99.0.1:4222
bus stream-add REPORTS 'agents.*.telemetry.>' --file --dedupe 3600
# A page does not fit into one packet; a small part of it does.
start_exporter --web.disable-exporter-metrics
url_at()
{
    echo "$AGENT_URL" | sed "s/0\\.0\\.0\\.0/$1/"
}
# Whose certificate it is does not matter here.
[ -z "$AGENT_TLS" ] || AGENT_TLS="tls: {insecure_skip_verify: true}"

whole=$EXPORTER_URL
EXPORTER_URL=$whole?collect[]=loadavg
launch 1 "\"$(url_at 10.77.1.2)\"" 'reconnect_wait: 100ms'
EXPORTER_URL=$whole
launch 2 "\"$(url_at 10.77.2.2)\"" 'reconnect_wait: 100ms' 'reconnect_max: 2s'
began=$(now)
check "loss and delay: it connects" wait_for 20 is_connected 1 "$AGENT_PORT"
note "after $(($(now) - began)) ms"
check "the hole: it connects" wait_for 10 is_connected 2 "$AGENT_PORT"
old=$(connection 2 "$AGENT_PORT")

# ---- the hole ---------------------------------------------------------------------

began=$(now)
check "the hole: what does not get through is noticed" wait_for 40 is_elsewhere 2 "$AGENT_PORT" "$old"
took=$(($(now) - began))
in_time "the hole: within 30 s" $took 31000
match "the hole: and said" ' warn +link_(stale|down|lost)' "$(cat "$WORK/agent2.log")"
STATE=$WORK/state2
check "the hole: reports wait in the spool" wait_for 20 spool_holds 16
lives=$(grep -c link_up "$WORK/agent2.log")
compare "the hole: no storm of connections ($lives)" "$lives" -le $((8 * WAIT_FACTOR))
far nft delete table inet hole
check "the hole is mended: it is up" wait_for 30 is_up 2

# ---- loss and delay ---------------------------------------------------------------

STATE=$WORK/state1
check "loss and delay: it is up" wait_for 20 is_up 1
compare "loss and delay: the connection stands" "$(health_of 1 .nats.reconnects)" -le 1
compare "loss and delay: most of its reports have come" "$(bus numbers REPORTS | sed -n 's/^t1-.* count=\([0-9]*\) .*/\1/p')" -ge 10
check "loss and delay: the spool does not grow" wait_for 20 spool_is_below 30

end_agent 2
end_agent 1
