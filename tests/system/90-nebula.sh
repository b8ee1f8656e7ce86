#!/bin/sh
# Nebula under the agent: a lighthouse in another network namespace, and what the platform may
# send: good, broken, with a wrong key, for another address, with a dead lighthouse.  Each ends
# in an overlay that runs, or in words.
#
#   CHANGES=50 tests/system/90-nebula.sh    that many of each kind (5); as root
#
# The program is the one of build/deps/nebula, or the PATH's.
PATH=$(cd "${0%/*}/../.." && pwd)/build/deps/nebula/usr/bin:$PATH
. "${0%/*}/../lib.sh"
if ! (exec 9<>/dev/net/tun) 2>/dev/null && [ "$(id -u)" -eq 0 ]; then
    story "Nebula under the agent"
    skip_all "there is no /dev/net/tun that can be opened"
fi
own_namespace --net
story "Nebula: what the platform sends is tested, tried, and taken back if it does not work"
CHANGES=${CHANGES:-5}
command -v nebula nebula-cert >/dev/null || die "there is no nebula: run tests/setup"

# ---- two networks: ours, and the lighthouse's, 10.77.0.1 -----------------------------------

ip link set lo up
spawn "$WORK/far.log" unshare --net sleep 3600
FAR=$SPAWNED
wait_for 5 sh -c "[ \"\$(readlink /proc/$FAR/ns/net)\" != \"\$(readlink /proc/self/ns/net)\" ]"
ip link add near type veth peer name far netns "$FAR"
ip address add 10.77.0.2/24 dev near
ip link set near up

far()
{
    nsenter --target "$FAR" --net "$@"
}
far ip link set lo up
far ip address add 10.77.0.1/24 dev far
far ip link set far up

# ---- certificates and documents ----------------------------------------------------------------

KEYS=$WORK/keys
mkdir -m 700 "$KEYS"
nebula-cert ca -version 2 -name story -duration 8760h -out-crt "$KEYS/ca.crt" -out-key "$KEYS/ca.key"
nebula-cert ca -version 2 -name other -duration 8760h -out-crt "$KEYS/other-ca.crt" \
    -out-key "$KEYS/other-ca.key"

# sign NAME ADDRESS [DURATION [CA]]
sign()
{
    rm -f "$KEYS/$1.crt" "$KEYS/$1.key"
    nebula-cert sign -version 2 -name "$1" -networks "$2/24" -groups things \
        -duration "${3:-2000h}" -ca-crt "$KEYS/${4:-ca}.crt" -ca-key "$KEYS/${4:-ca}.key" \
        -out-crt "$KEYS/$1.crt" -out-key "$KEYS/$1.key"
}

block()
{
    sed 's/^/    /' "$1"
}

# document NAME [KEY [LIGHTHOUSE]]: as the platform makes it, of NAME's certificate with KEY's
# key, and where the lighthouse is.
document()
{
    printf 'firewall:\n  inbound:\n  - {host: any, port: any, proto: icmp}\n'
    printf '  outbound:\n  - {host: any, port: any, proto: any}\n'
    printf 'lighthouse:\n  am_lighthouse: false\n  hosts: [10.128.1.1]\n  interval: 60\n'
    printf 'listen: {host: 0.0.0.0, port: 0}\nlogging: {format: text, level: info}\n'
    printf 'pki:\n  ca: |\n'
    block "$KEYS/ca.crt"
    printf '  cert: |\n'
    block "$KEYS/$1.crt"
    printf '  key: |\n'
    block "$KEYS/${2:-$1}.key"
    printf 'punchy: {punch: true, respond: true}\n'
    printf 'static_host_map: {"10.128.1.1": ["%s:4242"]}\n' "${3:-10.77.0.1}"
    printf 'tun: {dev: nebula1, disabled: false, mtu: 1300, tx_queue: 500}\n'
}

sign lighthouse 10.128.1.1
sign host 10.128.1.2
sign stranger 10.128.1.3
{
    document lighthouse | sed -e '/^lighthouse:/,/interval/d' -e '/^static_host_map/d' \
        -e 's/^listen:.*/listen: {host: 0.0.0.0, port: 4242}/' -e 's/proto: icmp/proto: any/'
    echo 'lighthouse: {am_lighthouse: true, interval: 60}'
} >"$KEYS/lighthouse.yml"

start_lighthouse()
{
    spawn "$WORK/lighthouse.txt" nsenter --target "$FAR" --net nebula -config "$KEYS/lighthouse.yml"
    LIGHTHOUSE=$SPAWNED
    wait_for 5 far ip address show dev nebula1
}
start_lighthouse
# Somebody who answers in the overlay, and nowhere else.
spawn "$WORK/answers.txt" nsenter --target "$FAR" --net python3 -c '
import socket
server = socket.socket()
server.bind(("10.128.1.1", 7777))
server.listen(16)
while True:
    server.accept()[0].close()'

overlay_works()
{
    python3 -c '
import socket
socket.create_connection(("10.128.1.1", 7777), 2).close()'
}

# ---- the platform and the agent ------------------------------------------------------------------

start_platform
mkdir "$STATE" "$WORK/etc"
chmod 700 "$STATE" "$WORK/etc"
platform thing t1 >"$WORK/thing.json"
(umask 077 && jq -r .password "$WORK/thing.json" >"$WORK/etc/password")
cat >"$WORK/etc/agent.yaml" <<END
code: t1
nats: {urls: ["$NATS_URL"], auth: {type: platform}, connect_spread: 0s, reconnect_wait: 200ms, reconnect_max: 1s}
platform:
  url: "$PLATFORM_URL"
  identity: "$(jq -r .email "$WORK/thing.json")"
  password_file: $WORK/etc/password
logging: {level: debug}
tasks:
  heartbeat: {interval: 10s}
  system_metrics: {enabled: false}
  inventory: {enabled: false}
nebula: {enabled: true, mode: supervise, binary: "$(command -v nebula)", verify_timeout: 3s}
END

# send FILE: as the Thing's document; and have it fetched.
send()
{
    platform nebula t1 "@$1"
    bus req agents.t1.cmd.nebula '{"action":"sync"}' -t 5 >"$WORK/.answer"
}

# nebula_of FILTER: of health.
nebula_of()
{
    bus req agents.t1.cmd.health '' -t 5 2>/dev/null | jq -rc ".nebula | $1"
}

nebula_is()
{
    [ "$(nebula_of "$1")" = "$2" ]
}

said()
{
    grep -Ec "(^|[^a-z_])$1([^a-z_]|\$)" "$AGENT_LOG" || true
}

# says EVENT COUNT
says()
{
    [ "$(said "$1")" -ge "$2" ]
}

now_ms()
{
    date +%s%3N
}

twin_has()
{
    bus kv-get twin thing.t1.nebula 2>/dev/null | jq -e '.lighthouse_up and .overlay_ip == "10.128.1.2"'
}

document host >"$KEYS/good.yml"
platform nebula t1 "@$KEYS/good.yml"
began=$(now_ms)
start_agent "$WORK/etc/agent.yaml"
check "from an email and a password to the overlay" wait_for 20 says mesh_joined 1
note "$(($(now_ms) - began)) ms from the start, login and first fetch included"
check "what works in it works" overlay_works
equal "the document lies there as it came" "$(sha256sum <"$KEYS/good.yml")" \
    "$(sha256sum <"$STATE/nebula/live/10-platform.yml")"
equal "private, and so is its folder" "600 600 700" \
    "$(stat -c %a "$STATE/nebula/live/10-platform.yml" "$STATE/nebula/live/90-agent.yml" \
        "$STATE/nebula/live" | xargs)"
check "it is kept as the last good one" wait_for 5 cmp -s "$KEYS/good.yml" \
    "$STATE/nebula/live.good/10-platform.yml"
check "health says so" wait_for 5 nebula_is \
    '[.enabled, .running, .overlay_ip, .lighthouse_up, .rolled_back, .error]' \
    '[true,true,"10.128.1.2",true,false,null]'
check "and the twin" wait_for 15 twin_has
match "and until when the certificate lasts" '^20[0-9-]+T[0-9:]+Z$' "$(nebula_of .cert_expires_at)"

stop_agent
check_not "Nebula ends with the agent" ip link show dev nebula1
began=$(now_ms)
start_agent "$WORK/etc/agent.yaml"
check "started again it joins" wait_for 5 says mesh_joined 2
took=$(($(now_ms) - began))
in_time "within two seconds" "$took" 2000
check "health is there" wait_for 10 nebula_is .lighthouse_up true

# ---- changes --------------------------------------------------------------------------------------

# change KIND NUMBER EVENT EXPECTED FILTER: KIND.yml is sent and brings one more EVENT within 20
# s; then the overlay works, and FILTER of health gives EXPECTED.
change()
{
    _before=$(said "$3")
    send "$KEYS/$1.yml"
    if ! wait_for 20 says "$3" $((_before + 1)) >/dev/null; then
        _not_ok "$1 ($2): no $3"
        return 0
    fi
    if ! wait_for 10 nebula_is "$5" "$4" >/dev/null; then
        _not_ok "$1 ($2): health says $(nebula_of .) "
        return 0
    fi
    check "$1 ($2): $3, and the overlay works" wait_for 5 overlay_works
}

address=2
n=0
while [ $n -lt "$CHANGES" ]; do
    n=$((n + 1))
    # renewed, for the same address
    sign host 10.128.1.$address
    document host >"$KEYS/good.yml"
    change good $n mesh_verified '[true,null]' '[.lighthouse_up, .error]'

    { head -n 12 "$KEYS/good.yml"; echo "tun: {dev: [$n"; } >"$KEYS/broken.yml"
    change broken $n mesh_refused true '.error | test("not YAML")'

    { document host stranger; echo "# $n"; } >"$KEYS/wrong-key.yml"
    change wrong-key $n mesh_refused true '.error | test("not a pair")'

    address=$((address + 1))
    [ $address -lt 250 ] || address=2
    sign host 10.128.1.$address
    document host >"$KEYS/moved.yml"
    change moved $n mesh_verified "10.128.1.$address" .overlay_ip

    { document host host 10.77.0.9; echo "# $n"; } >"$KEYS/dead.yml"
    change dead $n mesh_rolled_back '[true,true]' '[.rolled_back, (.error | test("taken back"))]'
done
# The pair is right, and nobody there believes it; the tunnel that is there lasts a while.
sign foreign 10.128.1.$address 2000h other-ca
document foreign >"$KEYS/foreign.yml"
change foreign once mesh_rolled_back true '.error | test("taken back")'
equal "what was taken back is not tried again by itself" "$(said mesh_applied)" \
    "$(sleep 1; said mesh_applied)"

# ---- a bad minute ----------------------------------------------------------------------------------

sign host 10.128.1.$address
document host >"$KEYS/good.yml"
change good last mesh_verified null .error
kill_hard "$LIGHTHOUSE"
before=$(said mesh_rolled_back)
{ document host; echo "# in a bad minute"; echo "routines: 1"; } >"$KEYS/minute.yml"
send "$KEYS/minute.yml"
check "a change while the lighthouse is away is taken back" wait_for 20 says mesh_rolled_back \
    $((before + 1))
check "and said to be the network's fault" wait_for 20 says mesh_bad_minute 1
equal "health has words for it" false "$(nebula_of '.error == null')"
start_lighthouse
check "the overlay comes back with the lighthouse" wait_for 20 overlay_works

# ---- what is not allowed --------------------------------------------------------------------------

# refused TEXT LINES WORDS
refused()
{
    { document host; printf '%s\n' "$2"; } >"$KEYS/refused.yml"
    send "$KEYS/refused.yml"
    check "$1" wait_for 10 nebula_is ".error | test(\"$3\")" true
}
refused "sshd is refused" 'sshd: {enabled: false}' 'sshd'
refused "statistics are" 'stats: {type: prometheus, listen: 127.0.0.1:1}' 'stats'
refused "paths are" 'relay: {x: [/etc/passwd]}' 'path'
document host | sed 's/dev: nebula1/dev: eth0/' >"$KEYS/refused.yml"
send "$KEYS/refused.yml"
check "another device is" wait_for 10 nebula_is '.error | test("tun.dev")' true
document host | sed 's/host: 0.0.0.0/host: 10.77.0.2/' >"$KEYS/refused.yml"
send "$KEYS/refused.yml"
check "another listener is" wait_for 10 nebula_is '.error | test("listen.host")' true
check "and the overlay works" overlay_works

# ---- a child that dies, a restart, an end -----------------------------------------------------------

child()
{
    pgrep -f "^nebula -config $STATE/nebula/live\$"
}
before=$(said mesh_joined)
kill -9 "$(child)"
check "Nebula killed is started again" wait_for 20 says mesh_joined $((before + 1))
check "and said" agent_says mesh_nebula_ended
before=$(child)
equal "cmd.nebula restart is accepted before it is done" '["accepted","restart"]' \
    "$(bus req agents.t1.cmd.nebula '{"action":"restart"}' -t 5 | jq -c '[.status, .action]')"
restarted()
{
    [ "$(child)" != "$before" ] && overlay_works
}
check "and done" wait_for 10 restarted
match "another action is refused" 'must be sync or restart' \
    "$(bus req agents.t1.cmd.nebula '{"action":"stop"}' -t 5 | jq -r .error)"

sign host 10.128.1.$address 100h
document host >"$KEYS/good.yml"
send "$KEYS/good.yml"
check "a certificate that ends in four days is warned about" wait_for 20 agent_says mesh_expires
check "and works" wait_for 5 overlay_works
stop_agent

# ---- the key ---------------------------------------------------------------------------------------------

# All that was written anywhere, but the keys and documents themselves and the platform's database.
# A key is the line between the banners.
leaks=0
for key in "$KEYS"/*.key "$STATE"/nebula/live/10-platform.yml "$STATE"/nebula/live.good/10-platform.yml; do
    for line in $(sed -n '/BEGIN NEBULA .*PRIVATE KEY-----/{n;s/^ *//;p;}' "$key"); do
        if grep -rlF --exclude-dir=keys --exclude-dir=nebula --exclude-dir=platform \
            -e "$line" "$WORK" >>"$WORK/.leaks"; then
            leaks=$((leaks + 1))
        fi
    done
done
equal "no key is in any log" "0 " "$leaks $(cat "$WORK/.leaks")"
check_not "nor a line of Nebula's" grep -q 'Handshake message\|firewallHashes' "$AGENT_LOG"
