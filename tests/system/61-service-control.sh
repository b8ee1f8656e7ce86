#!/bin/sh
# Needs a systemd of its own (tests/tools/sdbox): root, overlayfs, cgroup2; and polkitd.
# Where these are not, the story fails and says why; SA_NO_SYSTEMD=skip skips it instead.
. "${0%/*}/../lib.sh"
story "Service control: an unprivileged agent does what the list and polkit allow, and no more"

need_systemd

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

# as_root ACTION NAME, as_agent ACTION NAME: the command, by the handler itself.
as_root()
{
    box "$WORK/service" "${CONFIG:-$WORK/agent.yaml}" "$(request "$@")" 2>/dev/null
}

as_agent()
{
    box setpriv --reuid=nobody --regid=nogroup --clear-groups --no-new-privs \
        "$WORK/service" "${CONFIG:-$WORK/agent.yaml}" "$(request "$@")" 2>/dev/null
}

request()
{
    jq -cn --arg action "$1" --arg name "$2" '{action: $action, service_name: $name}'
}

# by_hand MEMBER SIGNATURE ARGUMENT...: nobody, without our code in between.
by_hand()
{
    box setpriv --reuid=nobody --regid=nogroup --clear-groups busctl call \
        org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager "$@" 2>&1
}

# is_active NAME
is_active()
{
    box systemctl is-active --quiet "$1"
}

# config NAME...: print one that allows these services.
config()
{
    printf 'code: t1\nnats: {urls: ["nats://127.0.0.1:4222"], auth: {type: none}}\n'
    printf 'paths: {state: %s}\ncommands:\n  allowed_services:\n' "$STATE"
    printf '    - %s\n' "$@"
}

chmod 711 "$WORK"
cp "$BUILD/tests/tools/service" "$WORK/service"
cp "$AGENT" "$WORK/stone-age-agent"
mkdir "$STATE"
chown nobody "$STATE"
SDBOX_BIND=$WORK
SDBOX_FUSE=600
export SDBOX_BIND SDBOX_FUSE
at_end '"$sdbox" down "$WORK/box"'
mkdir "$WORK/box"
check "a systemd of our own boots" "$sdbox" up "$WORK/box"
note "$(box systemctl --version | head -n 1), $(box pkaction --version)"
box test -x /usr/lib/polkit-1/polkitd || die "no polkitd to test with: tests/setup installs it"

printf '[Service]\nExecStart=/bin/sleep 1d\nExecReload=/bin/true\n' | unit web.service
for name in other secret many@ 'back\x2dslash' plain; do
    printf '[Service]\nExecStart=/bin/sleep 1d\n' | unit "$name.service"
done
box ln -s web.service /etc/systemd/system/site.service
box ln -s /dev/null /etc/systemd/system/hidden.service
printf '[Service]\nExecStart=/bin/sh -c "exit 7"\n' | unit fails.service
printf '[Service]\nType=oneshot\nExecStart=/bin/sh -c "exit 9"\n' | unit once.service
printf '[Service]\nRestart=always\nRestartSec=1h\nExecStart=/bin/sh -c "exit 3"\n' | unit loop.service
printf '[Unit]\nRequires=once.service\nAfter=once.service\n[Service]\nExecStart=/bin/true\n' |
    unit needs.service
printf '[Service]\nExecStart=/bin/sleep 1d\nExecStop=/bin/sleep 1d\nTimeoutStopSec=300\n' |
    unit hang.service
printf '[Service]\nExecStart=/bin/sleep 1d\nExecStop=/bin/sleep 3\n' | unit slow.service
printf '[Unit]\nDescription=ActiveState=active SubState=running Result=success\n[Service]\n%s\n' \
    'ExecStart=/bin/sh -c "echo ActiveState=active; echo SubState=running; exit 3"' |
    unit forged.service
printf '[Timer]\nOnActiveSec=1h\nUnit=plain.service\n' | unit tick.timer
box systemctl daemon-reload
config web plain site hidden ghost fails once loop needs hang slow forged tick.timer many@a own \
    'back\x2dslash' >"$WORK/agent.yaml"

# ---- root needs nobody's leave

equal "stopped" '["success","Stopped","dead"]' \
    "$(as_root status web | jq -c '[.status, .service_status, .substate]')"
reply=$(as_root start web)
equal "start, in the words of the contract" \
    '["success","web","start","Service web start successfully (status: Running)"]' \
    "$(echo "$reply" | jq -c '[.status, .service_name, .action, .result]')"
equal "with what the service report has" '["Running","running",0,"success","web.service"]' \
    "$(echo "$reply" | jq -c '[.service_status, .substate, .restarts, .service_result, .unit]')"
match "since when" '^"20..-..-..T..:..:..Z"$' "$(echo "$reply" | jq .since)"
check "it runs" is_active web
pid=$(box systemctl show -P MainPID web)
equal "reload" "Service web reload successfully (status: Running)" "$(as_root reload web | jq -r .result)"
equal "the same process" "$pid" "$(box systemctl show -P MainPID web)"
equal "restart" "Service web restart successfully (status: Running)" \
    "$(as_root restart web.service | jq -r .result | sed 's/web.service/web/')"
check_not "another process" test "$pid" = "$(box systemctl show -P MainPID web)"
equal "stop" "Service web stop successfully (status: Stopped)" "$(as_root stop web | jq -r .result)"
check_not "it does not run" is_active web
equal "once more is no failure" success "$(as_root stop web | jq -r .status)"
equal "a timer" "Service tick.timer start successfully (status: Running)" \
    "$(as_root start tick.timer | jq -r .result)"
equal "an instance that is named" "Service many@a start successfully (status: Running)" \
    "$(as_root start many@a | jq -r .result)"

# ---- what fails says why

failing()
{
    as_root "$1" "$2" | jq -r .error
}
equal "a reload of what does not run" "systemctl reload web failed: it does not run (status: Stopped)" \
    "$(failing reload web)"
equal "a unit without a reload" success "$(as_root start plain | jq -r .status)"
equal "says so" "systemctl reload plain failed: Job type reload is not applicable for unit \
plain.service (status: Running)" "$(failing reload plain)"
equal "one that is not there" "systemctl start ghost failed: Unit ghost.service not found \
(status: NotInstalled)" "$(failing start ghost)"
equal "whose status is an answer" NotInstalled "$(as_root status ghost | jq -r .service_status)"
equal "a masked one" "systemctl start hidden failed: Unit hidden.service is masked \
(status: Stopped)" "$(failing start hidden)"
equal "one that ends at once" "systemctl start fails failed: it ended at once (status: Error, \
result: exit-code, exit code: 7)" "$(failing start fails)"
equal "one that ends at once and is started again" "systemctl start loop failed: it ended at once \
(status: Starting, result: exit-code, exit code: 3)" "$(failing start loop)"
equal "one whose start fails" "systemctl start once failed: it failed (status: Error, \
result: exit-code, exit code: 9)" "$(failing start once)"
equal "one that needs another" "systemctl start needs failed: what it needs failed \
(status: Stopped)" "$(failing start needs)"

# ---- hostile-55: nothing but the names of the list

state_of_all()
{
    box systemctl show -p Id -p ActiveState -p InvocationID web other secret many@a many@b own \
        ssh sshd agent
}
before=$(state_of_all)
for name in 'web; touch /run/canary' --now '-H evil' 'web.service/../other' secret 'w*' '*' 'we?' \
    '[w]eb' 'many@$(touch /run/canary)' many@b many@ many@.service dbus-org.freedesktop.login1.service \
    systemd-logind '' - WEB 'web ' web.timer other; do
    equal "hostile-55: \"$name\" is refused" '["error","refused","service not in allowed list: '"$name"'"]' \
        "$(as_root restart "$name" | jq -c '[.status, .code, .error]')"
done
equal "hostile-55: an alias of another unit is refused" \
    "systemctl start site failed: site.service is another name of web.service, which is the one to \
allow and to ask for" "$(failing start site)"
equal "hostile-55: our own unit is refused" "systemctl stop own failed: it is the agent itself" \
    "$(box systemd-run --quiet --wait --pipe --collect --unit=own "$WORK/service" "$WORK/agent.yaml" \
        "$(request stop own)" 2>/dev/null | jq -r .error)"
equal "hostile-55: and no unit has changed" "$before" "$(state_of_all)"
check_not "hostile-55: nothing has run" box test -e /run/canary

# ---- hostile-57

equal "hostile-57: what a unit says of itself is not believed" \
    '["Error","failed","exit-code",3]' "$(as_root start forged |
        jq -c '[.service_status, .substate, .service_result, .exit_code]')"

# ---- hostile-56, looked at below

box systemctl start hang slow
spawn "$WORK/hang.reply" env WORK="$WORK" sh -c 'began=$(date +%s%3N)
    "$1" run "$WORK/box" "$WORK/service" "$WORK/agent.yaml" "$2" 2>/dev/null
    echo "$(($(date +%s%3N) - began))" >"$WORK/hang.time"' sh "$sdbox" "$(request stop hang)"

# ---- nobody may do nothing ...

equal "nobody may ask" Stopped "$(as_agent status web | jq -r .service_status)"
reply=$(as_agent start web)
equal "but not do" denied "$(echo "$reply" | jq -r .code)"
equal "and is told why, and the mend" "systemctl start web failed: polkit does not let the agent start \
web.service (Interactive authentication required.); the rule that does is printed by: \
stone-age-agent polkit" "$(echo "$reply" | jq -r .error)"
check_not "nothing has changed" is_active web

# ---- ... but what the rule says

"$WORK/stone-age-agent" polkit --config "$WORK/agent.yaml" >"$WORK/rule"
match "the rule is for the user of the state directory" 'subject.user != "nobody"' "$(cat "$WORK/rule")"
match "or for whoever is named" 'subject.user != "stone-age"' \
    "$("$WORK/stone-age-agent" polkit --config "$WORK/agent.yaml" --user stone-age)"
equal "it is the same each time" "$(cat "$WORK/rule")" \
    "$("$WORK/stone-age-agent" polkit --config "$WORK/agent.yaml")"
config 'back\x2dslash' own many@a.service tick.timer forged slow hang needs loop once fails ghost hidden \
    site plain web.service web >"$WORK/reversed.yaml"
equal "and in whatever order the list is" "$(cat "$WORK/rule")" \
    "$("$WORK/stone-age-agent" polkit --config "$WORK/reversed.yaml")"
check_not "a name that would break out of it is refused" "$WORK/stone-age-agent" polkit \
    --config "$WORK/agent.yaml" --user 'x"||true||"'
box sh -c 'cat >/etc/polkit-1/rules.d/50-stone-age-agent.rules' <"$WORK/rule"
box chmod 644 /etc/polkit-1/rules.d/50-stone-age-agent.rules

agent_may()
{
    [ "$(as_agent start web | jq -r .status)" = success ]
}
check "polkit takes it over by itself" wait_for 5 agent_may
check "and it runs" is_active web
for action in reload restart stop start; do
    equal "nobody may $action it" success "$(as_agent $action web | jq -r .status)"
done
equal "and an instance" success "$(as_agent restart many@a | jq -r .status)"
equal "and one with a backslash in its name" success "$(as_agent start 'back\x2dslash' | jq -r .status)"
equal "a failure is still one" service_failed "$(as_agent start fails | jq -r .code)"

# The second line: an agent that is no longer ours.
config web secret other many@b >"$WORK/evil.yaml"
for name in secret other many@b; do
    equal "polkit holds the line at $name" denied \
        "$(CONFIG=$WORK/evil.yaml; as_agent start $name | jq -r .code)"
    check_not "it does not run" is_active $name
done
match "by hand as well" 'Access denied' "$(by_hand StartUnit ss secret.service replace || true)"
match "and the other verbs" 'Access denied' "$(by_hand KillUnit ssi web.service all 9 || true)"
match "and other actions" 'denied|authentication required' \
    "$(by_hand DisableUnitFiles asb 1 web.service false || true)"
match "such as these" 'denied|authentication required' "$(by_hand Reload || true)"
check "web still runs" is_active web
match "others get no right by it" 'denied|authentication required' "$(box setpriv --reuid=daemon \
    --regid=daemon --clear-groups busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 \
    org.freedesktop.systemd1.Manager StopUnit ss web.service replace 2>&1 || true)"

# ---- all of it: the agent, as nobody, asked over the bus

# ask ACTION NAME
ask()
{
    bus req -t 40 agents.t1.cmd.service "$(request "$@")"
}

start_nats
sed "s,nats://127.0.0.1:4222,$NATS_URL," "$WORK/agent.yaml" >"$WORK/bus.yaml"
mkdir "$WORK/run"
chown nobody "$WORK/run"
AGENT_LOG=$WORK/agent.log
touch "$AGENT_LOG"
box systemd-run --quiet --unit=own --collect --uid=nobody -p NoNewPrivileges=yes \
    --setenv="STATE_DIRECTORY=$STATE" --setenv="RUNTIME_DIRECTORY=$WORK/run" \
    -p "StandardError=append:$AGENT_LOG" "$WORK/stone-age-agent" run --config "$WORK/bus.yaml"
agent_answers()
{
    bus req -t 1 agents.t1.cmd.ping | grep -q pong
}
check "the agent answers" wait_for 20 agent_answers
equal "it restarts what it may" '["success","Service web restart successfully (status: Running)"]' \
    "$(ask restart web | jq -c '[.status, .result]')"
equal "not what it may not" '["error","service not in allowed list: secret"]' \
    "$(ask restart secret | jq -c '[.status, .error]')"
equal "hostile-55: and not itself" "systemctl restart own failed: it is the agent itself" \
    "$(ask restart own | jq -r .error)"
match "each is recorded" 'service.*web' "$(cat "$STATE/audit.log")"
match "the refused one too" 'service.*secret' "$(cat "$STATE/audit.log")"
spawn "$WORK/hang.ask" sh -c 'NATS_URL=$1 "$2" req -t 40 agents.t1.cmd.service "$3"' sh "$NATS_URL" \
    "$BUILD/tests/tools/bus" "$(request stop hang)"
is_recorded()
{
    grep -q '"begin".*hang' "$STATE/audit.log"
}
check "while it waits for one that hangs" wait_for 10 is_recorded
check "it answers others" agent_answers
began=$(date +%s%3N)
box systemctl stop own
in_time "and its own end does not wait for it" $(($(date +%s%3N) - began)) 10000
check "who asked is told" wait_for 5 has_line "$WORK/hang.ask" '"status":"error"'
note "$(cat "$WORK/hang.ask")"

# ---- the job's end is awaited

began=$(date +%s%3N)
spawn "$WORK/slow.reply" "$sdbox" run "$WORK/box" setpriv --reuid=nobody --regid=nogroup \
    --clear-groups "$WORK/service" "$WORK/agent.yaml" "$(request stop slow)"
is_stopping()
{
    [ "$(box systemctl show -P ActiveState slow)" = deactivating ]
}
wait_for 5 is_stopping
equal "while it stops, it is stopping" Stopping "$(as_agent status slow | jq -r .service_status)"
box systemctl daemon-reexec
check "the answer comes though systemd re-executes itself" wait_for 10 has_line "$WORK/slow.reply" success
equal "when it has stopped" Stopped "$(grep success "$WORK/slow.reply" | jq -r .service_status)"
compare "and not before" $(($(date +%s%3N) - began)) -ge 2900

# ---- it starts nothing

if command -v strace >/dev/null; then
    box strace -f -qq -o "$WORK/calls" -e trace=execve,execveat,fork,vfork,clone,clone3 \
        "$WORK/service" "$WORK/agent.yaml" "$(request restart web)" >/dev/null 2>&1
    equal "no process is started, no child made" 1 "$(grep -c . "$WORK/calls")"
else
    die "strace is not installed: who says that nothing is started?"
fi

# ---- hostile-56: the end of the 30 s

check "hostile-56: a stop that hangs is answered" wait_for 40 test -s "$WORK/hang.time"
equal "hostile-56: with the state" '["error","timeout","Stopping","stop"]' \
    "$(jq -c '[.status, .code, .service_status, .substate]' "$WORK/hang.reply")"
equal "hostile-56: and the reason" "systemctl stop hang failed: it is not done in time; systemd goes on \
with it (status: Stopping)" "$(jq -r .error "$WORK/hang.reply")"
in_time "hostile-56: within 30 s" "$(cat "$WORK/hang.time")" 32000
equal "and it is still stopping" Stopping "$(as_agent status hang | jq -r .service_status)"

# ---- without polkit, without a bus

box systemctl stop polkit
box rm /usr/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service
box systemctl reload dbus
reply=$(as_agent restart web)
equal "without polkit nobody may do anything" denied "$(echo "$reply" | jq -r .code)"
match "and is told so" 'polkit does not let the agent restart web.service' \
    "$(echo "$reply" | jq -r .error)"
equal "but root" success "$(as_root restart web | jq -r .status)"
box systemctl stop dbus.socket dbus.service || true
reply=$(as_root restart web)
match "without a bus it says so" 'D-Bus' "$(echo "$reply" | jq -r .error)"
equal "and is an error" error "$(echo "$reply" | jq -r .status)"
