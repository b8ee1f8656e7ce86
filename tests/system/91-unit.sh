#!/bin/sh
# Needs a systemd of its own (tests/tools/sdbox): root, overlayfs, cgroup2; and polkitd.
# Where these are not, the story fails and says why; SA_NO_SYSTEMD=skip skips it instead.
. "${0%/*}/../lib.sh"
story "The unit: hardened, and all that the agent promises works in it"

need_systemd

# box COMMAND...: inside.
box()
{
    "$sdbox" run "$WORK/box" "$@" 3>&-
}

# put FILE: inside, from standard input.
put()
{
    box sh -c 'mkdir -p "${1%/*}" && cat >"$1"' sh "$1"
}

show()
{
    box systemctl show -P "$1" stone-age-agent.service
}

journal()
{
    box journalctl -q --no-pager -o cat -u stone-age-agent.service
}

is_active()
{
    [ "$(show ActiveState)" = "$1" ]
}

has_said()
{
    journal | grep -Eq -e "$1"
}

status_is()
{
    show StatusText | grep -Eq -e "$1"
}

# ask COMMAND [BODY]: what the agent answers.
ask()
{
    bus req -t 10 "agents.t1.cmd.$1" "${2:-}"
}

answers()
{
    ask ping | grep -q pong
}

# ---- the machine

start_token_nats()
{
    printf 'authorization { token: "s3cret-t0ken" }\njetstream { store_dir: "%s" }\n' "$WORK/nats" \
        >"$WORK/nats.conf"
    start_nats config "$WORK/nats.conf"
    NATS_URL=nats://s3cret-t0ken@127.0.0.1:$NATS_PORT
    bus stream-add REPORTS 'agents.*.telemetry.>' --file
    bus kv-add twin --file
}
start_token_nats
start_quick_exporter

deps=$(readlink -f "$TOP/build/deps")
SDBOX_BIND="$WORK $TOP $BUILD $deps"
SDBOX_FUSE=280
export SDBOX_BIND SDBOX_FUSE
at_end '"$sdbox" down "$WORK/box"'
chmod 711 "$WORK"
mkdir "$WORK/box"
cp "$AGENT" "$WORK/stone-age-agent"
strip "$WORK/stone-age-agent" 2>/dev/null || true
check "a systemd of our own boots" "$sdbox" up "$WORK/box"
at_end 'journal >"$WORK/agent.log"'
version=$(box systemctl --version | awk 'NR == 1 { print $2 }')
note "$(box systemctl --version | head -n 1)"

# As the package does it.
units=/usr/lib/systemd/system
box install -m 755 "$WORK/stone-age-agent" /usr/bin/stone-age-agent
type=notify
[ "$version" -lt 253 ] || type=notify-reload
if [ $type = notify-reload ]; then
    sed -e 's/^Type=notify$/Type=notify-reload/' -e '/^ExecReload=/d' -e '/kill(1)/d' "$TOP/debian/stone-age-agent.service"
else
    cat "$TOP/debian/stone-age-agent.service"
fi | put $units/stone-age-agent.service
put $units/stone-age-agent.path <"$TOP/debian/stone-age-agent.path"
put $units/stone-age-nebula.service <"$TOP/debian/stone-age-agent.stone-age-nebula.service"
put /usr/lib/sysusers.d/stone-age-agent.conf <"$TOP/debian/stone-age-agent.sysusers.conf"
put /usr/share/polkit-1/rules.d/40-stone-age-nebula.rules <"$TOP/debian/40-stone-age-nebula.rules"
box rm -rf /etc/stone-age /var/lib/stone-age /etc/polkit-1/rules.d/50-stone-age-agent.rules
box systemd-sysusers stone-age-agent.conf
put /etc/stone-age/agent.yaml <"$TOP/debian/agent.yaml"
box sh -c 'cd /etc/stone-age && mkdir agent.d && chown -R root:stone-age . && chmod 750 . agent.d && chmod 640 agent.yaml'
box install -d -o stone-age -g stone-age -m 700 /var/lib/stone-age
box systemctl daemon-reload

for name in web other; do
    printf '[Service]\nExecStart=/bin/sleep 1d\n' | put /etc/systemd/system/$name.service
done
printf '[Service]\nType=oneshot\nExecStart=/bin/echo canary of the journal\n' |
    put /etc/systemd/system/says.service
box systemctl daemon-reload
box systemctl start says

# ---- how exposed

exposure()
{
    box systemd-analyze security --no-pager "$1" | sed -n 's/.*Overall exposure level.*: \([0-9.]*\) .*/\1/p'
}
for unit in stone-age-agent stone-age-nebula; do
    level=$(exposure $unit.service)
    compare "$unit: systemd-analyze security says $level: 1.9 at the most" "$(echo "$level" | tr -d .)" -le 19
done
equal "systemd finds nothing wrong with the units" "" "$(box systemd-analyze verify \
    --man=no stone-age-agent.service stone-age-agent.path 2>&1 | grep stone-age || true)"

# ---- without a configuration

box systemctl start stone-age-agent
equal "without a configuration it does not run, and that is no failure" inactive "$(show ActiveState)"
match "its status says what it waits for" 'Waiting for a configuration: .*agent\.yaml: code is missing' \
    "$(box systemctl status stone-age-agent --no-pager || true)"
check "so does its log" has_said 'waiting for a configuration.*code is missing'
equal "its path unit watches" active "$(box systemctl is-active stone-age-agent.path)"
printf 'code: t1\nnats: {urls: [nats://127.0.0.1:%s], auth: {type: tokne}}\n' "$NATS_PORT" |
    put /etc/stone-age/agent.yaml
check "one with a mistake is a failure" wait_for 10 is_active failed
match "which the status names with the command that says more" 'refused: stone-age-agent check-config' \
    "$(show StatusText)"
check "and the log with line and words" has_said 'agent\.yaml:2: nats\.auth\.type: "tokne" must be one of'
sleep 1
equal "it is not tried again for nothing" 0 "$(show NRestarts)"

# The token comes from root's own file, by a drop-in of the examples.
drop_ins=/etc/systemd/system/stone-age-agent.service.d
echo s3cret-t0ken | put /etc/credstore/nats.token
box chmod 600 /etc/credstore/nats.token
sed -e 's/^LoadCredential=platform/#&/' -e 's/^#\(LoadCredential=nats.auth.token\)/\1/' \
    "$TOP/debian/examples/systemd/credentials.conf" | put $drop_ins/credentials.conf
box systemctl daemon-reload
config()
{
    cat <<INNER
code: t1
location: attic
nats: {urls: ["nats://127.0.0.1:$NATS_PORT"], auth: {type: token}, connect_spread: 0s, reconnect_wait: 100ms}
tasks:
  heartbeat: {interval: 10s}
  service_check: {services: [web], interval: 10s}
  exporters: [{name: quick, url: "$EXPORTER_URL", interval: 1s}]
commands:
  scripts_directory: /opt/scripts
  allowed_services: [web, says]
  allowed_log_paths: ["/var/log/app/*.log"]
  allowed_commands:
    - "ps -e"
    - "df -k"
    - {name: nice, run: [nice], nice: 7}
    - {name: confined, run: [cat, /etc/shadow, /etc/hostname], readable: [/usr, /lib, /lib64, /etc/hostname]}
    - {name: write, run: [sh, -c, "for d in /etc /usr /home /srv /var/log /var/lib/stone-age /var/log/stone-age /run/stone-age /tmp; do (: >\$d/probe) 2>/dev/null && echo \$d; done; rm -f /var/lib/stone-age/probe"]}
    - {name: sees, run: [sh, -c, "ls /dev; (: </dev/kmsg) 2>&1; mount -t tmpfs x /mnt 2>&1; unshare -U true 2>&1; chmod 4755 /tmp/probe 2>&1; sysctl -w kernel.panic=1 2>&1; hostname evil 2>&1; true"]}
    - {name: leaves, run: [sh, -c, "sleep 77777 & setsid sleep 77777 & echo x"], timeout: 5s}
    - {name: hog, run: [sh, -c, "head -c 400m /dev/zero | tail -c 300m >/dev/null || exit 3"], max_memory: 64MB}
    - {name: status, run: [grep, -E, "NoNewPrivs|CapBnd|CapEff|Seccomp:", /proc/self/status]}
    - {name: jit, run: [python3, -c, "import mmap; mmap.mmap(-1, 4096, prot=7).write(b'x'); print('rwx')"]}
INNER
}
box mkdir -p /opt/scripts /var/log/app /srv/log
printf '#!/bin/sh\necho hello\n' | put /opt/scripts/hello.sh
box chmod 755 /opt/scripts/hello.sh
echo "line of the log" | put /var/log/app/app.log
box sh -c 'chown root:adm /var/log/app /var/log/app/app.log && chmod 750 /var/log/app && chmod 640 /var/log/app/app.log'
began=$(date +%s%3N)
config | put /etc/stone-age/agent.yaml
check "it starts by itself when a valid one appears" wait_for 10 is_active active
check "and answers" wait_for 10 answers
note "after $(($(date +%s%3N) - began)) ms"
check "its token came as a credential" status_is '^Connected to nats://127'
equal "it is $type" $type "$(show Type)"
main=$(show MainPID)
equal "it runs as its own user" stone-age "$(box stat -c %U "/proc/$main")"
equal "without capabilities" "0000000000000000 0000000000000000" \
    "$(box awk '$1 == "CapEff:" || $1 == "CapBnd:" { printf "%s%s", s, $2; s = " " }' "/proc/$main/status")"
check "each command gets a cgroup of its own" has_said commands_in_cgroups
equal "it listens on nothing" "" "$(box ss -Hltnup 2>/dev/null | grep -F "pid=$main," || true)"

# ---- exec

# output NAME: of that command.
output()
{
    ask exec "{\"command\":\"$1\"}" | jq -r '.output // .error'
}
match "ps shows the processes of the machine" 'systemd-journal' "$(output 'ps -e')"
match "df works" ' /$' "$(output 'df -k')"
equal "a script" hello "$(output hello.sh)"
equal "nice steps back" 7 "$(output nice)"
match "Landlock holds what is confined" 'sdbox' "$(output confined)"
no_match "to what it may read" 'root:' "$(output confined)"
equal "it writes nowhere but in what is its own" "/var/lib/stone-age
/var/log/stone-age
/run/stone-age
/tmp" "$(output write)"
sees=$(output sees)
note "$(printf '%s' "$sees" | tail -n 7 | tr '\n' '|')"
no_match "no device of the machine is to be seen" '^(kmsg|mem|sda|vda|loop|console)' "$(printf '%s\n' "$sees" | head -n 20 | grep -v '^sh:' || true)"
match "no mount" 'mount: .*(denied|superuser|not permitted|permission)' "$sees"
match "no name space" 'unshare: .*not permitted' "$sees"
match "no setuid file" 'chmod: .*not permitted' "$sees"
match "no other name for the machine" 'hostname: .*(not permitted|root|denied)' "$sees"
equal "what it leaves is ended" '["success","x\n",2]' \
    "$(ask exec '{"command":"leaves"}' | jq -c '[.status, .output, .leftover_processes]')"
equal "and gone" "" "$(pgrep -f 'sleep 77777' || true)"
match "memory is limited" '(3|137|memory)' "$(ask exec '{"command":"hog"}' | jq -r '.exit_code // .error')"
equal "and the agent is the same one" "$main" "$(show MainPID)"
equal "programs that write code at run time work" rwx "$(output jit)"
match "no new privileges" 'NoNewPrivs:.1' "$(output status)"

# ---- logs

logs_of()
{
    ask logs "$1" | jq -r '(.lines // [] | join("|")) + (.error // "")'
}
match "a log of another group is not readable for it" '(ermission|denied|not)' \
    "$(logs_of '{"log_path":"/var/log/app/app.log"}')"
match "nor the journal, and the answer names the group" 'group systemd-journal' \
    "$(logs_of '{"unit":"says"}')"
box stone-age-agent unit >"$WORK/drop-in"
match "stone-age-agent unit knows both: the group of the files" '^SupplementaryGroups=adm$' "$(cat "$WORK/drop-in")"
match "and that of the journal" '^SupplementaryGroups=systemd-journal$' "$(cat "$WORK/drop-in")"
equal "and nothing else" 2 "$(grep -vc '^[#[]' "$WORK/drop-in")"
box stone-age-agent unit --write
box sh -c 'systemctl daemon-reload && systemctl restart stone-age-agent'
check "with it" wait_for 10 answers
equal "a log is read" 'line of the log' "$(logs_of '{"log_path":"/var/log/app/app.log"}')"
match "and the journal" 'canary of the journal' "$(logs_of '{"unit":"says"}')"

# ---- services

control()
{
    ask service "{\"action\":\"$1\",\"service_name\":\"$2\"}"
}
match "without a rule polkit says no, and the answer names the command that mends it" \
    'polkit does not let the agent start web.*stone-age-agent polkit' "$(control start web | jq -r .error)"
box stone-age-agent polkit --write
is_started()
{
    control start web | jq -e '.status == "success"' >"$WORK/.control"
}
check "with the one it writes a service is started" wait_for 10 is_started
equal "it runs" active "$(box systemctl is-active web)"
equal "and is stopped" success "$(control stop web | jq -r .status)"
match "no other" 'not in allowed list: other' "$(control start other | jq -r .error)"
nebula=$(box setpriv --reuid=stone-age --regid=stone-age --clear-groups busctl call \
    org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager StartUnit ss \
    stone-age-nebula.service replace 2>&1 || true)
match "its user may start the overlay's unit" '^o ' "$nebula"

# ---- reports

reports()
{
    bus stream-dump REPORTS --data | jq -r "select(.subject == \"agents.t1.telemetry.$1\") | .data"
}
has_report()
{
    reports "$1" | grep -q .
}
check "the exporter on this machine is fetched" wait_for 10 has_report metrics.quick
check "services are watched" wait_for 10 has_report service
check "the inventory comes" wait_for 10 has_report inventory
reports inventory | head -n 1 >"$WORK/inventory"
equal "with each package" "$(box sh -c "dpkg-query -f '\${db:Status-Status}\n' -W | grep -c '^installed'")" \
    "$(jq '.packages.count' "$WORK/inventory")"
addresses=$(jq -c '[.. | strings | select(test("^[0-9]+([.][0-9]+){3}$"))] | unique' "$WORK/inventory")
match "and the addresses of the machine, which netlink tells" '[0-9]' "$addresses"

# Every disk, wherever it is.
loops=
at_end 'for loop in $loops; do losetup -d $loop; done'
for place in /home/data /srv/data /var/tmp; do
    image=$WORK/disk$(echo $place | tr / -).img
    truncate -s 1200M "$image"
    mkfs.ext4 -q "$image"
    loop=$(losetup -f --show "$image" 2>/dev/null) || break
    loops="$loops $loop"
    box sh -c 'mkdir -p "$1"; [ -b "$2" ] || mknod "$2" b 7 "${2#/dev/loop}"; mount "$2" "$1"
        [ "$1" != /var/tmp ] || chmod 1777 "$1"' sh $place "$loop"
done
if [ "$(echo $loops | wc -w)" = 3 ]; then
    box systemctl restart stone-age-agent
    sees_disks()
    {
        reports system | jq -r '.disks | map(.drive) | sort | join(" ")' | grep -q '/home/data.*/srv/data.*/var/tmp'
    }
    check "disks below /home, at a folder for temporary files, and elsewhere are reported" \
        wait_for 15 sees_disks
    box systemctl stop stone-age-agent
    box umount /home/data /srv/data /var/tmp
    box systemctl start stone-age-agent
else
    skip "disks below /home, at a folder for temporary files, and elsewhere are reported" "no loop devices here"
fi

# ---- reload, and a stop

pid=$(show MainPID)
config | sed 's/location: attic/location: cellar/' | put /etc/stone-age/agent.yaml
box systemctl reload stone-age-agent
check "a reload takes a new configuration" has_said '^config_reloaded'
equal "in the same process" "$pid" "$(show MainPID)"
echo 'code: [' | put /etc/stone-age/agent.d/90-broken.yaml
box systemctl reload stone-age-agent
check "a bad one is said" wait_for 5 has_said '^config_bad'
equal "and changes nothing" "$pid active" "$(show MainPID) $(show ActiveState)"
box rm /etc/stone-age/agent.d/90-broken.yaml
began=$(date +%s%3N)
box systemctl stop stone-age-agent
note "stopped after $(($(date +%s%3N) - began)) ms"
equal "a stop is clean" success "$(show Result)"
equal "and said" offline "$(bus kv-get twin thing.t1.status)"
equal "nothing watches any more" inactive "$(box systemctl is-active stone-age-agent.path || true)"
config | put /etc/stone-age/agent.yaml
sleep 1
equal "so that what an administrator stopped stays stopped" inactive "$(show ActiveState)"

# ---- drop-ins of the examples

# with NAME...: start anew with these examples.
with()
{
    box rm -f $drop_ins/scripts.conf $drop_ins/root.conf $drop_ins/memory.conf $drop_ins/watchdog.conf
    for _name in "$@"; do
        put $drop_ins/"$_name".conf <"$TOP/debian/examples/systemd/$_name.conf"
    done
    box sh -c 'systemctl daemon-reload && systemctl restart stone-age-agent'
    wait_for 30 answers
}
check "with memory.conf it runs" with memory
equal "within its limit" 536870912 "$(show MemoryMax)"
put /etc/stone-age/agent.d/50-setuid.yaml <<'INNER'
commands:
  allowed_commands:
    - {name: lifted, run: [grep, -E, "NoNewPrivs|Seccomp:", /proc/self/status], new_privileges: true}
INNER
check "with scripts.conf it runs" with scripts
status=$(output lifted)
match "a command may get new privileges where its entry says so" 'NoNewPrivs:.0' "$status"
match "there is no filter of system calls" 'Seccomp:.0' "$status"
equal "as the same user" stone-age "$(box stat -c %U "/proc/$(show MainPID)")"
match "and writes where its user may" '^/var/lib/stone-age$' "$(output write)"
equal "which unit prints for such a configuration as well" "" "$(
    box stone-age-agent unit | grep -v '^#' >"$WORK/printed"
    grep -E '^(NoNew|Cap|Priv.*Dev|Prot.*(Clock|Kernel)|Restr|Lock|SystemCall)' \
        "$TOP/debian/examples/systemd/scripts.conf" | grep -Fvx -f "$WORK/printed" || true)"
box rm /etc/stone-age/agent.d/50-setuid.yaml
check "with root.conf it runs" with root
equal "as root" root "$(box stat -c %U "/proc/$(show MainPID)")"
match "and so do its commands" 'root:' "$(box sh -c 'sed -i "s/, readable: .*}/}/" /etc/stone-age/agent.yaml; systemctl reload stone-age-agent'; output confined)"
config | put /etc/stone-age/agent.yaml
with
equal "and without it again as its own user, with the state that it had" stone-age \
    "$(box stat -c %U "/proc/$(show MainPID)")"

# ---- the watchdog

printf '[Service]\nWatchdogSec=1s\n' | put $drop_ins/watchdog.conf
box sh -c 'systemctl daemon-reload && systemctl restart stone-age-agent'
check "it keeps a quick watchdog content" wait_for 10 answers
sleep 2
equal "for more than a moment" 0 "$(show NRestarts)"
box kill -STOP "$(show MainPID)"
was_restarted()
{
    [ "$(show NRestarts)" -ge 1 ]
}
check "one that hangs is ended and started again" wait_for 10 was_restarted
check "by the watchdog" has_said "[wW]atchdog"
check "and answers" wait_for 10 answers

# ---- the hostile suite, all of it in a unit with the same restrictions

box systemctl stop stone-age-agent
box sh -c 'mkdir -p /srv/tree /srv/build /srv/deps && mount --bind "$1" /srv/tree &&
    mount --bind "$2" /srv/build && mount --bind "$3" /srv/deps' sh "$TOP" "$BUILD" "$deps"
set --
while IFS= read -r line; do
    set -- "$@" -p "$line"
done <<END
$(sed -n '/^\[Service\]/,/^\[Install\]/p' "$TOP/debian/stone-age-agent.service" | grep -E \
    '^(User|Group|UMask|(State|Runtime|Logs)Dir|Delegate|OOM|Cap|Amb|NoNew|Protect|Private|RemoveIPC|Restrict[A-Z]|Lock|SystemCall)' |
    grep -v ^RestartPrevent)
END
compare "its restrictions are those of the unit ($(($# / 2)) lines)" $(($# / 2)) -ge 25
hostile()
{
    box systemd-run --quiet --wait --pipe --collect --unit=hostile "$@" \
        --setenv=BUILD=/srv/build --setenv=SA_RACE_SECONDS=1 \
        --setenv=TMPDIR=/var/lib/stone-age --setenv=HOME=/var/lib/stone-age --setenv=NO_COLOR=1 \
        --setenv=WAIT_FACTOR="$WAIT_FACTOR" --setenv=TIME_FACTOR="$TIME_FACTOR" \
        --setenv=PATH=/srv/deps/usr/sbin:/srv/deps/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        /srv/tree/tests/system/63-hostile-commands.sh >"$WORK/hostile.txt" 2>&1
}
check "the hostile suite passes in it" hostile "$@"
note "$(tail -n 1 "$WORK/hostile.txt" | sed 's/^# //')"
equal "all of it" "" "$(grep '^not ok' "$WORK/hostile.txt" || true)"
compare "and it was all told" "$(grep -c '^ok' "$WORK/hostile.txt")" -ge 500
