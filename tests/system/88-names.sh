#!/bin/sh
# Needs root (a network and a mount namespace of its own).
. "${0%/*}/../lib.sh"
own_namespace --net --mount
. "$TOP/tests/network.sh"
story "Names: a name server that hangs blocks nothing, a new address counts at the next attempt"

ip link set lo up
start_nats jetstream
bus stream-add REPORTS 'agents.*.telemetry.>' --file --dedupe 3600
start_quick_exporter
start_names
scheme=${AGENT_URL%%://*}
# Certificates are for 127.0.0.1; whose they are does not matter here.
[ -z "$AGENT_TLS" ] || AGENT_TLS="tls: {insecure_skip_verify: true}"
url()
{
    echo "\"$scheme://$1:$AGENT_PORT\""
}
# asked NAME [COUNT]
asked()
{
    has_line "$NAMES_LOG" "^asked $1 A\$" "${2:-1}"
}

# ---- no answer --------------------------------------------------------------------

name hangs.test
launch 1 "$(url hangs.test)" 'reconnect_wait: 500ms' 'reconnect_max: 1s'
launch 2 "$(url hangs.test), \"$AGENT_URL\"" 'reconnect_wait: 500ms'
began=$(now)
check "a hanging name: the next URL is tried" wait_for 20 is_connected 2 "$AGENT_PORT"
took=$(($(now) - began))
in_time "a hanging name: after nats.connect_timeout" $took 7000
check "a hanging name: commands are answered by the other way" is_up 2
check "a hanging name: the server was asked for it" asked hangs.test
STATE=$WORK/state1
check "a hanging name: reports are made all the same" wait_for 10 spool_holds 6
check "a hanging name: and the log says what is wrong" wait_for 15 says 1 'link_(timeout|name_unknown)'
# The system's lookup cannot be ended: what waits for it must not pile up.
compare "a hanging name: no threads pile up" "$(find "/proc/$(pid 1)/task" -maxdepth 1 | wc -l)" \
    -le $(($(find "/proc/$(pid 2)/task" -maxdepth 1 | wc -l) + 3))
note "threads: $(cat /proc/"$(pid 1)"/task/*/comm | sort | uniq -c | tr -s ' \n' ' ')"
began=$(now)
check "a hanging name: it stops" stop "$(pid 1)" 20
took=$(($(now) - began))
in_time "a hanging name: in less than 2 s" $took 2000

# ---- another address --------------------------------------------------------------

name moves.test 127.0.0.2
launch 3 "$(url moves.test)" 'reconnect_wait: 500ms' 'reconnect_max: 1s'
check "an address where nobody is: it says so" wait_for 10 says 3 link_refused
name moves.test 127.0.0.1
began=$(now)
check "another address: it connects" wait_for 10 is_connected 3 "$AGENT_PORT"
took=$(($(now) - began))
in_time "another address: at the next attempt" $took 3000

# ---- two families -----------------------------------------------------------------

# Packets to that address vanish; of the other family there is a good one.
ip -6 address add fd00:77::1/64 dev lo nodad
ip -6 route add local fd00:78::/64 dev lo
nft add table inet dead
nft add chain inet dead input '{ type filter hook input priority 0; }'
nft add rule inet dead input ip6 daddr fd00:78::/64 drop
name both.test fd00:78::1 127.0.0.1
launch 4 "$(url both.test)" 'reconnect_wait: 10s'
began=$(now)
check "IPv6 is dead: it connects" wait_for 10 is_connected 4 "$AGENT_PORT"
took=$(($(now) - began))
in_time "IPv6 is dead: well within nats.connect_timeout" $took 2500
equal "IPv6 is dead: doctor takes the same way" ok \
    "$(STATE_DIRECTORY="$WORK/state4" RUNTIME_DIRECTORY="$WORK/run4" "$AGENT" doctor --json \
        --config "$WORK/agent4.yaml" | jq -r '.checks[] | select(.name == "tcp") | .state')"
match "IPv6 is dead: it asked for both" '^asked both.test AAAA$' "$(cat "$NAMES_LOG")"

for n in 2 3 4; do
    end_agent $n
done
