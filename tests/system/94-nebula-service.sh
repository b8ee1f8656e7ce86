#!/bin/sh
# Nebula by its own unit (nebula.mode: service), with an agent that is not root: the unit and
# polkit's rule are those of the package.
#
# Needs a systemd of its own (tests/tools/sdbox), and /dev/net/tun.
PATH=$(cd "${0%/*}/../.." && pwd)/build/deps/nebula/usr/bin:$PATH
. "${0%/*}/../lib.sh"
if ! (exec 9<>/dev/net/tun) 2>/dev/null && [ "$(id -u)" -eq 0 ]; then
    story "Nebula as a service"
    skip_all "there is no /dev/net/tun that can be opened"
fi
own_namespace --net
story "Nebula as a service: an agent without a right of its own keeps it, and it outlives the agent"
need_systemd
command -v nebula nebula-cert >/dev/null || die "there is no nebula: run tests/setup"

# ---- a lighthouse in another network, 10.77.0.1 -----------------------------------------------

ip link set lo up
spawn "$WORK/far.log" unshare --net sleep 3600
FAR=$SPAWNED
wait_for 5 sh -c "[ \"\$(readlink /proc/$FAR/ns/net)\" != \"\$(readlink /proc/self/ns/net)\" ]"
ip link add near type veth peer name far netns "$FAR"
ip address add 10.77.0.2/24 dev near
ip link set near up
nsenter --target "$FAR" --net sh -c 'ip link set lo up
    ip address add 10.77.0.1/24 dev far
    ip link set far up'
KEYS=$WORK/keys
mkdir -m 700 "$KEYS"
nebula-cert ca -version 2 -name story -duration 8760h -out-crt "$KEYS/ca.crt" -out-key "$KEYS/ca.key"

# document NAME ADDRESS [LIGHTHOUSE]: a new certificate, and what the platform makes of it.
document()
{
    rm -f "$KEYS/$1.crt" "$KEYS/$1.key"
    nebula-cert sign -version 2 -name "$1" -networks "$2/24" -duration 2000h \
        -ca-crt "$KEYS/ca.crt" -ca-key "$KEYS/ca.key" -out-crt "$KEYS/$1.crt" -out-key "$KEYS/$1.key"
    echo 'pki:'
    for part in ca:ca.crt "cert:$1.crt" "key:$1.key"; do
        echo "  ${part%%:*}: |"
        sed 's/^/    /' "$KEYS/${part#*:}"
    done
    printf 'firewall: {inbound: [{host: any, port: any, proto: any}], '
    printf 'outbound: [{host: any, port: any, proto: any}]}\ntun: {dev: nebula1, mtu: 1300}\n'
    if [ "$1" = lighthouse ]; then
        echo 'lighthouse: {am_lighthouse: true, interval: 60}'
        echo 'listen: {host: 0.0.0.0, port: 4242}'
    else
        echo 'lighthouse: {am_lighthouse: false, interval: 60, hosts: [10.128.1.1]}'
        echo "static_host_map: {\"10.128.1.1\": [\"${3:-10.77.0.1}:4242\"]}"
    fi
}
document lighthouse 10.128.1.1 >"$KEYS/lighthouse.yml"
spawn "$WORK/lighthouse.txt" nsenter --target "$FAR" --net nebula -config "$KEYS/lighthouse.yml"
start_nats

# ---- a machine with the package's unit and rule ------------------------------------------------

box()
{
    "$sdbox" run "$WORK/box" "$@" 3>&-
}
chmod 711 "$WORK"
mkdir "$WORK/box" "$WORK/bin"
cp "$(command -v nebula)" "$AGENT" "$WORK/bin"
cp "$TOP/debian/40-stone-age-nebula.rules" "$WORK/nebula.rules"
cp "$TOP/debian/stone-age-agent.stone-age-nebula.service" "$WORK/stone-age-nebula.service"
SDBOX_BIND=$WORK
SDBOX_FUSE=600
export SDBOX_BIND SDBOX_FUSE
at_end '"$sdbox" down "$WORK/box"'
check "a systemd of our own boots" "$sdbox" up "$WORK/box"
box test -x /usr/lib/polkit-1/polkitd || die "no polkitd to test with: tests/setup installs it"
box sh -c "set -e
    mkdir -p /dev/net /etc/stone-age /usr/local/bin
    mknod /dev/net/tun c 10 200
    chmod 666 /dev/net/tun
    useradd --system --groups systemd-journal stone-age
    cp $WORK/bin/* /usr/local/bin
    mkdir -m 700 /var/lib/stone-age /var/lib/stone-age/nebula
    chown -R stone-age: /var/lib/stone-age
    cp $WORK/nebula.rules /etc/polkit-1/rules.d/40-stone-age-nebula.rules
    cp $WORK/stone-age-nebula.service /etc/systemd/system
    systemctl daemon-reload"
cat >"$WORK/agent.yaml" <<END
code: t1
nats: {urls: ["$NATS_URL"], auth: {type: none}, connect_spread: 0s}
paths: {state: /var/lib/stone-age}
tasks: {heartbeat: {interval: 10s}, system_metrics: {enabled: false}, inventory: {enabled: false}}
nebula: {enabled: true, verify_timeout: 3s}
END
chmod 644 "$WORK/agent.yaml"
box cp "$WORK/agent.yaml" /etc/stone-age/agent.yaml
cat >"$WORK/agent.service" <<END
[Service]
ExecStart=/usr/local/bin/stone-age-agent run
ExecReload=/bin/kill -HUP \$MAINPID
User=stone-age
NoNewPrivileges=yes
CapabilityBoundingSet=
END
box cp "$WORK/agent.service" /etc/systemd/system/agent.service
box systemctl daemon-reload

# put FILE: as what the platform has sent, and say so.
put()
{
    box sh -c 'umask 077; cat >/var/lib/stone-age/nebula/platform.yaml
        chown stone-age: /var/lib/stone-age/nebula/platform.yaml
        systemctl reload agent.service 2>/dev/null || true' <"$1"
}

nebula_is()
{
    [ "$(bus req agents.t1.cmd.health '' -t 5 2>/dev/null | jq -rc ".nebula | $1")" = "$2" ]
}

main_pid()
{
    box systemctl show --value -p MainPID stone-age-nebula.service
}

document host 10.128.1.2 >"$KEYS/good.yml"
put "$KEYS/good.yml"
box systemctl start agent.service
check "the unit is started, and the overlay joined" wait_for 20 nebula_is \
    '[.running, .lighthouse_up, .overlay_ip, .error]' '[true,true,"10.128.1.2",null]'
check "by the unit's own user and capability" box sh -c '
    grep -q "^CapEff:.*1000$" /proc/$(systemctl show --value -p MainPID stone-age-nebula.service)/status'

first=$(main_pid)
document host 10.128.1.2 >"$KEYS/renewed.yml"
put "$KEYS/renewed.yml"
check "a renewed certificate is reloaded and verified" wait_for 20 box cmp -s \
    /var/lib/stone-age/nebula/platform.yaml /var/lib/stone-age/nebula/live.good/10-platform.yml
equal "without a restart" "$first" "$(main_pid)"

document host 10.128.1.3 >"$KEYS/moved.yml"
put "$KEYS/moved.yml"
check "another address takes a restart" wait_for 20 nebula_is \
    '[.lighthouse_up, .overlay_ip, .error]' '[true,"10.128.1.3",null]'

document host 10.128.1.3 10.77.0.9 >"$KEYS/dead.yml"
put "$KEYS/dead.yml"
check "a dead lighthouse is taken back" wait_for 20 nebula_is '[.lighthouse_up, .rolled_back]' \
    '[true,true]'

first=$(main_pid)
box systemctl restart agent.service
check "started again, the agent finds it running" wait_for 20 nebula_is \
    '[.running, .lighthouse_up, .tunnels]' '[true,true,1]'
equal "as it was" "$first" "$(main_pid)"

box systemctl kill -s KILL stone-age-nebula.service
check "killed, it is seen to be away" wait_for 10 nebula_is .running false
check "and back, by its own manager" wait_for 20 nebula_is '[.running, .lighthouse_up]' '[true,true]'

box sh -c 'sed -i "s/enabled: true, verify/enabled: false, verify/" /etc/stone-age/agent.yaml
    systemctl reload agent.service'
stopped()
{
    [ "$(box systemctl is-active stone-age-nebula.service || true)" = inactive ]
}
check "switched off, it is stopped" wait_for 10 stopped
box journalctl -o cat -u agent.service >"$WORK/agent.log"
box journalctl -o cat >"$WORK/journal.txt"
leaks=$(sed -n '/BEGIN NEBULA .*PRIVATE KEY-----/{n;s/^ *//;p;}' "$KEYS"/*.yml |
    grep -cFf - "$WORK/journal.txt" || true)
equal "no key is in the journal" 0 "$leaks"
