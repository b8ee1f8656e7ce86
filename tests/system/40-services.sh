#!/bin/sh
# long
# Needs a systemd of its own (tests/tools/sdbox): root, overlayfs, cgroup2.  Where these
# are not, the story fails and says why; SA_NO_SYSTEMD=skip skips it instead.
. "${0%/*}/../lib.sh"
story "Services: what systemd knows is told at once, by an unprivileged agent that starts nothing"

need_systemd
LATENCIES=${LATENCIES:-100}
# With the 17 others as many as can be watched.
INSTANCES=239

# ---- a machine with services

# box COMMAND...: inside.
box()
{
    "$sdbox" run "$WORK/box" "$@" 3>&-
}

# unit NAME: its file, from standard input.
unit()
{
    box sh -c 'cat >"/etc/systemd/system/$1"' sh "$1"
}

# The agent's user must be able to come here and write its state.
chmod 711 "$WORK"
cp "$AGENT" "$WORK/stone-age-agent"
mkdir "$STATE" "$WORK/run"
chown nobody "$STATE" "$WORK/run"
SDBOX_BIND=$WORK
SDBOX_FUSE=600
export SDBOX_BIND SDBOX_FUSE
at_end '"$sdbox" down "$WORK/box"'
mkdir "$WORK/box"
check "a systemd of our own boots" "$sdbox" up "$WORK/box"
note "$(box systemctl --version | head -n 1)"

for name in web quick many@; do
    printf '[Service]\nExecStart=/bin/sleep 1d\n' | unit $name.service
done
# What is to be masked must not stand in /etc.
box mv /etc/systemd/system/quick.service /usr/lib/systemd/system/
box ln -s web.service /etc/systemd/system/site.service
printf '[Service]\nExecStart=/bin/sh -c "exit 7"\n' | unit fails.service
printf '[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestart=always\nRestartSec=300ms\n%s\n' \
    'ExecStart=/bin/sh -c "sleep 0.1; exit 3"' | unit loop.service
printf '[Unit]\nStartLimitBurst=3\n[Service]\nRestart=on-failure\nRestartSec=100ms\n%s\n' \
    'ExecStart=/bin/sh -c "exit 5"' | unit limit.service
printf '[Service]\nExecStart=/bin/sleep 1d\nExecStop=/bin/sleep 1\n' | unit slow-stop.service
printf '[Service]\nExecStartPre=/bin/sleep 2\nExecStart=/bin/sleep 1d\n' | unit slow-start.service
printf '[Service]\nExecStart=/bin/sleep 1d\nExecReload=/bin/sleep 2\n' | unit reloads.service
printf '[Service]\nExecStart=/bin/sleep 1d\n' | unit doomed.service
printf '[Timer]\nOnActiveSec=1h\n' | unit tick.timer
printf '[Service]\nExecStart=/bin/true\n' | unit tick.service
box ln -s /dev/null /etc/systemd/system/hidden.service
box systemctl daemon-reload
box systemctl start web reloads doomed many@a tick.timer
box systemd-run --quiet --unit=forged --description="$(printf 'x\nActiveState=failed\nLoadState=not-found\n')" \
    sleep 1d

start_nats jetstream
bus stream-add REPORTS 'agents.*.telemetry.>' --file
bus kv-add twin --file
listen "$WORK/beats" 'agents.t1.heartbeat' --json
listen "$WORK/reports" 'agents.t1.telemetry.service' --json
names=$(seq -s , -f 'many@%g' $INSTANCES)
cat >"$WORK/agent.yaml" <<END
code: t1
location: attic
nats: {urls: ["$NATS_URL"], auth: {type: none}, connect_spread: 0s, reconnect_wait: 100ms}
tasks:
  heartbeat: {interval: 10s}
  system_metrics: {enabled: false}
  inventory: {enabled: false}
  service_check:
    interval: 10s
    twin: true
    services: [web, site, web.service, fails.service, loop, limit, slow-stop, many@a, tick.timer,
               dbus.socket, hidden, later, quick, slow-start, reloads, doomed, forged, $names]
END

# start_inside COMMAND...: the agent, as nobody, in the box.
start_inside()
{
    AGENT_LOG=$WORK/agent.log
    touch "$AGENT_LOG"
    lives=$(grep -Ec agent_ready "$AGENT_LOG" || true)
    box systemd-run --quiet --unit=agent --collect --setenv="STATE_DIRECTORY=$STATE" \
        --setenv="RUNTIME_DIRECTORY=$WORK/run" -p "StandardError=append:$AGENT_LOG" "$@" \
        run --config "$WORK/agent.yaml"
    wait_for 20 agent_says agent_ready $((lives + 1)) || die "the agent does not start"
}
start_inside --uid=nobody "$WORK/stone-age-agent"

# from_now: forget what was said.
from_now()
{
    _forgotten=$(wc -l <"$WORK/reports")
}
_forgotten=0

new_reports()
{
    tail -n +$((_forgotten + 1)) "$WORK/reports"
}

# said [FILTER]: each report so far, as JSON.
said()
{
    new_reports | jq -c '.data | fromjson' | jq -c "${1:-.}"
}

# newest NAME: what was said of it last.  changes NAME: each change.
newest()
{
    said ".services[]? | select(.name == \"$1\")" | tail -n 1
}

changes()
{
    said "select(.event == \"change\") | .services[] | select(.name == \"$1\")"
}

# is NAME FILTER: does what was said last fit?
is()
{
    newest "$1" | jq -e "$2" >/dev/null
}

scheduled()
{
    [ "$(said 'select(.event == null) | 1' | wc -l)" -ge "$1" ]
}

# ---- the first report

check "the first report comes at once" wait_for 5 scheduled 1
report=$(said 'select(.event == null)' | head -n 1)
equal "it says who" '["t1","attic"]' "$(echo "$report" | jq -c '[.code, .location]')"
equal "it names each service, in order" 256 "$(echo "$report" | jq '.services | length')"
# state NAME FILTER...: of the first report
state()
{
    echo "$report" | jq -c ".services[] | select(.name == \"$1\") | $2"
}
equal "a running one" '["Running","running",0,"success","web.service"]' \
    "$(state web '[.status, .substate, .restarts, .result, .unit]')"
match "since when" '^"20..-..-..T..:..:..Z"$' "$(state web .since)"
equal "the same one by its alias" '["Running","web.service"]' "$(state site '[.status, .unit]')"
equal "and by its full name" '["Running",null]' "$(state web.service '[.status, .unit]')"
equal "a stopped one" '["Stopped","dead"]' "$(state fails.service '[.status, .substate]')"
equal "an instance of a template" '"Running"' "$(state many@a .status)"
equal "a timer" '["Running","waiting"]' "$(state tick.timer '[.status, .substate]')"
equal "a socket" '["Running","running"]' "$(state dbus.socket '[.status, .substate]')"
match "one with forged lines in its description" 'ActiveState=failed' "$(box busctl --json=short \
    get-property org.freedesktop.systemd1 /org/freedesktop/systemd1/unit/forged_2eservice \
    org.freedesktop.systemd1.Unit Description)"
equal "is what it is" '["Running","running",null]' "$(state forged '[.status, .substate, .load]')"
equal "a masked one" '["Stopped","masked"]' "$(state hidden '[.status, .load]')"
equal "one that is not there" '{"name":"later","status":"NotInstalled","unit":"later.service"}' \
    "$(state later .)"
equal "the twin has it too" 'web' "$(bus kv-get twin thing.t1.service | jq -r '.services[0].name')"

# ---- changes

box systemctl stop web
check "a stop is told" wait_for 5 is web '.status == "Stopped"'
equal "from where" Running "$(changes web | jq -r .previous | head -n 1)"
equal "by its alias as well" Stopped "$(changes site | jq -r .status | tail -n 1)"
equal "and to the twin" Stopped "$(bus kv-get twin thing.t1.service | jq -r '.services[0].status')"
box systemctl start web
check "a start is told" wait_for 5 is web '.status == "Running"'
box systemctl start slow-stop
check "it runs" wait_for 5 is slow-stop '.status == "Running"'
box systemctl stop --no-block slow-stop
check "that it is stopping" wait_for 5 is slow-stop '.status == "Stopping"'
check "that it has stopped" wait_for 5 is slow-stop '.status == "Stopped"'
box systemctl start --no-block slow-start
check "that it is starting" wait_for 2 is slow-start '.status == "Starting"'
check "that it runs" wait_for 5 is slow-start '.status == "Running"'
from_now
box systemctl reload reloads
box systemctl daemon-reload
box systemctl daemon-reexec
box systemctl stop slow-start
check "one stops after that" wait_for 10 is slow-start '.status == "Stopped"'
equal "one that was reloading ran all the while, and systemd's own reloads are no news" '' \
    "$(changes reloads; changes web; changes many@a)"
box systemctl mask quick
check "one that is masked: it says so, and that it is stopped" wait_for 5 is quick \
    '.status == "Stopped" and .load == "masked"'
box systemctl unmask quick
check "and no more" wait_for 5 is quick '.status == "Stopped" and (.load | not)'
box mv /etc/systemd/system/doomed.service /tmp/
box systemctl daemon-reload
check "one whose file is removed while it runs: not installed, running" wait_for 5 is doomed \
    '.status == "NotInstalled" and .substate == "running"'
box mv /tmp/doomed.service /etc/systemd/system/
box systemctl daemon-reload
check "and back" wait_for 5 is doomed '.status == "Running"'
box systemctl start fails
check "a failure, with its exit code" wait_for 5 is fails.service \
    '.status == "Error" and .result == "exit-code" and .exit_code == 7'
box systemctl start quick
check "it runs" wait_for 5 is quick '.status == "Running"'
box systemctl kill -s KILL quick
check "a SIGKILL, with the signal" wait_for 5 is quick \
    '.status == "Error" and .result == "signal" and .signal == "SIGKILL"'
box systemctl stop tick.timer
check "a timer that is stopped" wait_for 5 is tick.timer '.status == "Stopped"'

printf '[Service]\nExecStart=/bin/sleep 1d\n' | unit later.service
box systemctl daemon-reload
check "one that appears later: installed" wait_for 5 is later '.status == "Stopped"'
box systemctl start later
check "running" wait_for 5 is later '.status == "Running"'
box systemctl stop later
box rm /etc/systemd/system/later.service
box systemctl daemon-reload
check "and gone again" wait_for 5 is later '.status == "NotInstalled"'
box systemd-run --quiet --unit=later sleep 1d
check "a transient one by its name" wait_for 5 is later '.status == "Running"'

# ---- crashing

box systemctl start limit || true
check "one that systemd gives up" wait_for 10 is limit \
    '.status == "Error" and .gave_up and .exit_code == 5 and .restarts >= 2'
from_now
box systemctl start loop
check "one that crashes and is started again, for ever, is said to" wait_for 20 is loop \
    '.crash_looping and .restarts >= 3'
began=$(date +%s)
from_now
sleep 5
count=$(changes loop | wc -l)
seconds=$(($(date +%s) - began))
compare "it flaps: one report a second ($count in $seconds s)" "$count" -le $((seconds + 1))
compare "and not less" "$count" -ge 3
compare "which say how often it changed ($(changes loop | jq -s 'map(.changes) | add'))" \
    "$(changes loop | jq -s 'map(.changes) | add')" -gt "$count"
match "in the words of the platform" '^(Running|Starting)$' "$(changes loop | jq -r .status | tail -n 1)"
match "with the exit code, though it runs again" '^3$' "$(changes loop | jq -r .exit_code | tail -n 1)"
box systemctl stop loop
check "it is stopped, and loops no more" wait_for 5 is loop \
    '.status == "Stopped" and (.crash_looping | not)'

# ---- how fast

# shellcheck disable=SC2046 # words
box systemctl start $(seq -f 'many@%g' "$LATENCIES")
check "all $LATENCIES of them run" wait_for 20 is "many@$LATENCIES" '.status == "Running"'
from_now
# A witness at the machine's bus says when each signal passed there.
spawn "$WORK/signals" "$sdbox" run "$WORK/box" dbus-monitor --system --profile \
    "type='signal',interface='org.freedesktop.DBus.Properties'"
witness=$SPAWNED
wait_for 10 has_line "$WORK/signals" '^#type'
number=0
: >"$WORK/kills"
while [ $number -lt "$LATENCIES" ]; do
    number=$((number + 1))
    # shellcheck disable=SC2016 # for the inner shell
    moment=$(box sh -c 'pid=$(systemctl show -P MainPID "many@$1"); date +%s.%N; kill -9 "$pid"' sh $number)
    echo "$number $moment" >>"$WORK/kills"
done
check "each kill is told" wait_for 10 is "many@$LATENCIES" '.status == "Error"'
wait_for 10 grep -q "/many_40${LATENCIES}_2eservice" "$WORK/signals"
kill "$witness"
new_reports | jq -r '.ts as $ts | .data | fromjson | select(.event == "change") | .services[]
    | select(.status == "Error") | "\(.name) \($ts / 1000)"' >"$WORK/told"
equal "once" "$LATENCIES" "$(sort -u "$WORK/told" | wc -l)"
while read -r number moment; do
    awk -v path="/org/freedesktop/systemd1/unit/many_40${number}_2eservice" -v kill="$moment" \
        -v name="many@$number" '
        FNR == NR { if (!signal && $1 == "sig" && $2 >= kill && index($0, path "\t")) signal = $2; next }
        $1 == name { printf "%.1f %.1f\n", ($2 - signal) * 1000, ($2 - kill) * 1000 }' \
        "$WORK/signals" "$WORK/told"
done <"$WORK/kills" >"$WORK/latencies"

# figures COLUMN
figures()
{
    sort -n -k "$1" "$WORK/latencies" | awk -v column="$1" '{ ms[NR] = $column } END {
        printf "p50 %.1f ms, p99 %.1f ms, max %.1f ms of %d", ms[int((NR + 1) / 2)],
            ms[int(NR * 0.99 + 0.5)], ms[NR], NR }'
}
median=$(sort -n "$WORK/latencies" | awk '{ ms[NR] = $1 } END { print int(ms[int((NR + 1) / 2)]) }')
in_time "a change is published within 20 ms of its signal, in the middle" "$median" 20
note "D-Bus signal to the subscriber, through the agent, its spool and the bus: $(figures 1)"
note "kill -9 to the subscriber, systemd included: $(figures 2); bound: 20 ms from the signal, p99"

# ---- the bus of the machine goes and comes

from_now
box systemctl daemon-reexec
check "after systemd re-executes itself a change is told" eval \
    'box systemctl restart quick; wait_for 5 is quick ".status == \"Running\""'
from_now
box systemctl stop dbus.socket dbus.service || true
check "D-Bus is gone: the log says so" wait_for 5 agent_says ' services_(lost|failed)'
check "so does the scheduled report" wait_for 20 eval '[ -n "$(said "select(.status == \"error\")")" ]'
match "with a reason" '(D-Bus|systemd does not answer)' "$(said 'select(.status == "error") | .error')"
# systemctl without a bus: root's private way
box systemctl stop quick
box systemctl start dbus.socket dbus.service
check "D-Bus is back: the log says so" wait_for 20 agent_says ' services_resumed'
check "what changed meanwhile is told" wait_for 5 is quick '.status == "Stopped"'
box systemctl start quick
check "and so are changes from then on" wait_for 10 is quick '.status == "Running"'

# bus_daemon SIGNAL: to the machine's own.
bus_daemon()
{
    # shellcheck disable=SC2016 # for the inner shell
    box sh -c 'kill "-$1" "$(systemctl show -P MainPID dbus)"' sh "$1"
}

from_now
lost=$(grep -Ec ' services_(lost|failed)' "$AGENT_LOG")
resumed=$(grep -c ' services_resumed' "$AGENT_LOG")
bus_daemon KILL
check "D-Bus is killed: the log says so" wait_for 5 agent_says ' services_(lost|failed)' $((lost + 1))
check "and that it is back" wait_for 30 agent_says ' services_resumed' $((resumed + 1))
box systemctl stop quick
check "changes are told again" wait_for 10 is quick '.status == "Stopped"'

from_now
bus_daemon STOP
beats=$(wc -l <"$WORK/beats")
check "D-Bus is frozen: the scheduled report says so" wait_for 30 eval \
    '[ -n "$(said "select(.status == \"error\")")" ]'
match "in words" 'does not answer' "$(said 'select(.status == "error") | .error')"
box systemctl start quick
check "heartbeats go on" wait_for 12 eval '[ "$(wc -l <"$WORK/beats")" -gt "$beats" ]'
equal "and no service is accused" '' "$(said '.services[]? | select(.status == "Error" and .error)')"
bus_daemon CONT
check "it thaws: what changed meanwhile is told" wait_for 15 is quick '.status == "Running"'
check "the log says that all is well" wait_for 30 agent_says ' services_resumed' $((resumed + 2))

# ---- other services, without a restart

from_now
sed -i 's/services: \[web, site, /services: [tick.timer, later, /; s/interval: 10s/interval: 11s/' "$WORK/agent.yaml"
box systemctl kill -s HUP agent
check "a reload watches others" wait_for 10 scheduled 1
equal "in their order" '["tick.timer","later","web.service"]' \
    "$(said 'select(.event == null) | [.services[0:3][].name]' | tail -n 1)"
box systemctl start tick.timer
check "and tells their changes" wait_for 5 is tick.timer '.status == "Running" and .previous == "Stopped"'

# ---- health and the end

equal "health counts" '[true,true,true]' "$(health '.tasks | [.service_check_count > 0, .service_changes > 0,
    (.last_service_check | length > 0)]')"
equal "health names the task" true "$(health '.config.enabled_tasks | contains(["service_check"])')"
box systemctl stop agent
check "the agent ends" agent_says ' agent_stopped'
all_arrived REPORTS

# ---- a stop while D-Bus is frozen

start_inside --uid=nobody "$WORK/stone-age-agent"
from_now
check "started once more it reports" wait_for 10 scheduled 1
bus_daemon STOP
began=$(date +%s%3N)
# systemctl itself needs no bus
box systemctl stop agent
bus_daemon CONT
in_time "with D-Bus frozen the agent still ends at once" $(($(date +%s%3N) - began)) 5000

# ---- it starts nothing

if command -v strace >/dev/null; then
    from_now
    start_inside strace -f -qq -u nobody -o "$WORK/calls" \
        -e trace=execve,execveat,fork,vfork,clone,clone3 "$WORK/stone-age-agent"
    check "under strace: it reports" wait_for 20 scheduled 1
    box systemctl restart web
    check "it tells changes" wait_for 20 eval '[ "$(changes web.service | wc -l)" -ge 1 ]'
    check "and reports again" wait_for 20 scheduled 2
    box systemctl stop agent
    compare "it made threads" "$(grep -c CLONE_THREAD "$WORK/calls")" -gt 3
    equal "no process but the agent was ever started, no child made" "" \
        "$(grep -v 'CLONE_THREAD' "$WORK/calls" | grep -Ev "execve\\(\"$WORK/stone-age-agent\"|resumed|^[0-9]+ +(\\+\\+\\+|---) " || true)"
    equal "the agent itself once" 1 "$(grep -c execve "$WORK/calls")"
else
    die "strace is not installed: who says that nothing is started?"
fi

# ---- a machine without systemd

sed -e 's/^code: t1/code: t2/' -e 's/services: \[.*/services: [web, ssh.service]/' -e '/^ *dbus.socket/d' \
    "$WORK/agent.yaml" >"$WORK/agent2.yaml"
listen "$WORK/reports" 'agents.t2.telemetry.service' --json
_forgotten=0
STATE_DIRECTORY=$WORK/state2
mkdir "$STATE_DIRECTORY"
# shellcheck disable=SC2016 # for the inner shell
spawn "$WORK/agent2.log" unshare --mount --propagation private sh -c '
    mkdir -p /run/systemd && mount -t tmpfs none /run/systemd && exec "$@"' sh \
    "$AGENT" run --config "$WORK/agent2.yaml"
AGENT_PID=$SPAWNED
AGENT_LOG=$WORK/agent2.log
check "without systemd the agent starts" wait_for 20 agent_says agent_ready
check "it reports" wait_for 10 scheduled 1
equal "that nothing is known, and why" \
    '[["Unknown",["name","status"]],["Unknown",["name","status"]],"systemd does not run this machine: no services to watch"]' \
    "$(said '[(.services[] | [.status, keys]), .reason]' | head -n 1)"
check "on schedule, as always" wait_for 25 scheduled 2
equal "its log says so once" 1 "$(grep -c ' services_unknown' "$AGENT_LOG")"
equal "which is no illness of the agent" '"healthy"' "$(bus req agents.t2.cmd.health | jq -c .status)"
stop_agent
