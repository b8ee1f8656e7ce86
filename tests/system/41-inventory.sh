#!/bin/sh
# also: asan
. "${0%/*}/../lib.sh"
story "The inventory: what the machine is, at the start, on schedule and when it changed"

start_nats jetstream
cat >"$WORK/agent.yaml" <<END
code: t1
location: attic
nats: {urls: ["$NATS_URL"], auth: {type: none}, connect_spread: 0s}
tasks:
  heartbeat: {interval: 10s}
  system_metrics: {enabled: false}
  inventory: {interval: 24h, check_interval: 10s}
  agent_metrics: {interval: 10s}
END
start_agent "$WORK/agent.yaml"

# ---- health, while nothing stores what is reported

stalls()
{
    [ "$(health '.delivery | .waiting >= 2 and .oldest_age_seconds >= 2 and (.error | length > 0)')" = true ]
}
check "without a stream health tells how much waits, how long, and why" wait_for 20 stalls
note "$(health .delivery)"
equal "it is degraded" '"degraded"' "$(health .status)"
bus stream-add REPORTS 'agents.*.telemetry.>' --file
drained()
{
    [ "$(health '.delivery | .waiting == 0 and .stored >= 2 and .stored_per_second > 0
        and (has("oldest") or has("oldest_age_seconds") or has("error") | not)')" = true ]
}
check "with one all is stored, and health tells the pace" wait_for 60 drained
equal "each number of the contract is there" '' "$(health '.delivery | ["accepted", "stored", "accepted_per_second",
    "stored_per_second", "sent", "duplicate", "refused", "dropped", "quarantined", "waiting", "waiting_bytes",
    "doubtful", "found", "unchecked"] - keys | .[]')"
agent_page()
{
    bus stream-dump REPORTS --data | jq -r 'select(.subject == "agents.t1.telemetry.metrics.agent") | .data'
}
# has_family NAME: with a sample
has_family()
{
    agent_page | grep -Eq "^stone_age_agent_$1(\\{[^}]*\\})? "
}
for name in spool_reports spool_bytes reports_dropped_total reports_quarantined_total \
    reports_stored_total reports_stored_per_second reports_accepted_per_second reports_doubtful \
    reports_unchecked_total; do
    check "its own exporter page has $name" wait_for 30 has_family $name
done

# inventories: each one stored, as JSON.
inventories()
{
    bus stream-dump REPORTS --data |
        jq -c 'select(.subject == "agents.t1.telemetry.inventory") | .data | fromjson'
}

arrived()
{
    [ "$(inventories | wc -l)" -ge "$1" ]
}
check "it comes at the start" wait_for 10 arrived 1
one=$(inventories | head -n 1)
note "$one"

# says FILTER: of the inventory
says()
{
    echo "$one" | jq -r "$1"
}
equal "who" 't1 attic' "$(says '.code + " " + .location')"
equal "the agent" "$("$AGENT" version | sed -n 's/^stone-age-agent //p')" "$(says .agent.version)"
equal "the system's name" "$(. /etc/os-release && echo "linux $NAME")" "$(says '.os.platform + " " + .os.name')"
equal "its kernel" "$(uname -r) $(uname -r)" "$(says '.os.build + " " + .machine.kernel')"
equal "the processor's cores" "$(nproc --all)" "$(says .cpu.cores)"
compare "its model" "$(says '.cpu.model | length')" -gt 0
compare "the memory" "$(says '.memory.total_gb * 100 | floor')" -ge \
    "$(awk '/^MemTotal/ { print int($2 / 1048576 * 100) - 1 }' /proc/meminfo)"
equal "disks and free space are numbers" true "$(says '.disks | all((.total_gb | type) == "number" and (.free_gb | type) == "number")')"
equal "the host's name" "$(uname -n)" "$(says .machine.hostname)"
equal "the architecture" "$(uname -m)" "$(says .machine.architecture)"
equal "when it was started" "$(awk '/^btime/ { print $2 }' /proc/stat)" "$(says '.machine.boot_time | fromdateiso8601')"
if [ -s /etc/machine-id ]; then
    match "an id" '^[0-9a-f]{32}$' "$(says .machine.id)"
    no_match "which does not show the machine's own" "$(cat /etc/machine-id)" "$one"
    if command -v systemd-id128 >/dev/null; then
        equal "but is made of it with a key of the agent's" \
            "$(systemd-id128 machine-id --app-specific=e96888ce03644802a5e4694803ba53d4)" "$(says .machine.id)"
    fi
else
    equal "no id, because the machine has none" null "$(says .machine.id)"
fi
if command -v systemd-detect-virt >/dev/null; then
    note "systemd-detect-virt: vm $(systemd-detect-virt --vm || true), container $(systemd-detect-virt --container || true);" \
        "ours: $(says '.machine.virtualization + ", " + .machine.container')"
fi
match "what carries it" '^(none|kvm|qemu|vmware|oracle|xen|microsoft|amazon|google|parallels|bhyve|bochs|apple|vm-other) [a-z-]+$' \
    "$(says '.machine.virtualization + " " + .machine.container')"
if command -v dpkg-query >/dev/null; then
    equal "the packages" "dpkg $(dpkg-query -W -f '${db:Status-Status}\n' | grep -c '^installed$')" \
        "$(says '.packages.manager + " " + (.packages.count | tostring)')"
fi
equal "whether a file says that it must be restarted" "$([ -e /run/reboot-required ] && echo true || echo false)" \
    "$(says .machine.reboot_required)"
equal "each interface but the loopback and containers' ends" \
    "$(ls /sys/class/net | grep -Ev '^(lo|veth.*)$' | LC_ALL=C sort | xargs)" \
    "$(says '[.network.interfaces[].name] | join(" ")')"
for name in $(says '.network.interfaces[] | select(.mac) | .name'); do
    equal "$name: its address of hardware" "$(cat "/sys/class/net/$name/address")" \
        "$(says ".network.interfaces[] | select(.name == \"$name\") | .mac")"
done
if command -v ip >/dev/null; then
    expected=$(ip -4 -o addr show scope global | awk '{ sub("/.*", "", $4); print $4 }' | head -n 1)
    match "the primary address" "^(${expected:-Unknown}|$(hostname -I 2>/dev/null | xargs | tr ' ' '|'))\$" \
        "$(says .network.primary_ip)"
fi
equal "health counts it" '[1,true,true]' "$(health '[.tasks.inventory_count, (.tasks.last_inventory | length > 0),
    (.config.enabled_tasks | contains(["inventory"]))]')"
sleep 12
equal "what does not change is not sent again" 1 "$(inventories | wc -l)"
stop_agent

# ---- a change

# Only root can give the agent another dpkg file to see, in a mount namespace.
[ "$(id -u)" -eq 0 ] || die "a change of the packages needs root to be made"
[ -s /var/lib/dpkg/status ] || die "a change of the packages needs dpkg"
cp /var/lib/dpkg/status "$WORK/status"
lives=$(grep -c agent_ready "$AGENT_LOG")
# shellcheck disable=SC2016 # for the inner shell
spawn "$AGENT_LOG" unshare --mount --propagation private sh -c '
    mount --bind "$1" /var/lib/dpkg/status && shift && exec "$@"' sh "$WORK/status" \
    "$AGENT" run --config "$WORK/agent.yaml"
AGENT_PID=$SPAWNED
wait_for 20 agent_says agent_ready $((lives + 1))
check "it comes at the next start" wait_for 10 arrived 2
before=$(inventories | tail -n 1 | jq .packages.count)
printf '\nPackage: new-one\nStatus: install ok installed\n' >>"$WORK/status"
check "a package more: it is sent" wait_for 30 arrived 3
one=$(inventories | tail -n 1)
equal "as a change, with what changed" '["change",["packages"]]' "$(says '[.event, .changed] | tojson')"
equal "one more" $((before + 1)) "$(says .packages.count)"
check "the log says so" agent_says ' inventory_changed.*packages'
stop_agent
all_arrived REPORTS

# ---- a machine that lies

# No bus reaches this one: what it would send is read from its spool.
STATE_DIRECTORY=$WORK/state3
STATE=$STATE_DIRECTORY
mkdir "$STATE"
mkfifo "$WORK/fifo"
printf 'NAME="half\\000hidden"\nVERSION=1\n' >"$WORK/os-release"
truncate -s 100M "$WORK/os-release"
seq -f 'link add name many%g type bridge' 1000 >"$WORK/links"
printf 'link add name bad\377 type bridge\n' | cat - "$WORK/links" >"$WORK/links.all"
lives=$(grep -c agent_ready "$AGENT_LOG")
# shellcheck disable=SC2016 # for the inner shell
spawn "$AGENT_LOG" unshare --mount --net --propagation private sh -c '
    mount --bind "$1/os-release" /usr/lib/os-release &&
    mount --bind "$1/fifo" /var/lib/dpkg/status &&
    ip -batch "$1/links.all" &&
    shift && exec "$@"' sh "$WORK" "$AGENT" run --config "$WORK/agent.yaml"
AGENT_PID=$SPAWNED
check "a thousand interfaces, an os-release of 100 MB, a FIFO for dpkg: it starts" \
    wait_for 60 agent_says agent_ready $((lives + 1))
spooled_inventory()
{
    spool "SELECT writefile('$WORK/one', data) FROM report WHERE subject LIKE '%.telemetry.inventory'" \
        >/dev/null && [ -s "$WORK/one" ]
}
check "and has an inventory" wait_for 20 spooled_inventory
check "which is UTF-8, whatever an interface is called" iconv -f utf-8 -t utf-8 "$WORK/one"
one=$(cat "$WORK/one")
equal "the first 64 interfaces are in it" 64 "$(says '.network.interfaces | length')"
equal "with a mark for what is no letter" 1 "$(says '.network.interfaces[].name' | grep -c '^bad�$')"
equal "no name of the system, no packages" '["",false]' "$(says '[.os.name, has("packages")] | tojson')"
compare "its size stays small ($(($(wc -c <"$WORK/one") / 1024)) KB)" "$(wc -c <"$WORK/one")" -lt 65536
memory=$(awk '/^VmHWM/ { print int($2 / 1024) }' "/proc/$AGENT_PID/status")
if grep -q __asan_init "$AGENT"; then
    note "$memory MB with a sanitizer"
else
    compare "so did the agent ($memory MB at most)" "$memory" -lt 40
fi
stop_agent
