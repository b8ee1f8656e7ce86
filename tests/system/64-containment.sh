#!/bin/sh
# Needs a systemd of its own (tests/tools/sdbox): root, overlayfs, cgroup2.  Where these are
# not, the story fails and says why; SA_NO_SYSTEMD=skip skips it instead.
. "${0%/*}/../lib.sh"
story "Containment: under systemd, in five kinds of unit, a command gets what it should and leaves nothing"

need_systemd

# A time that no other sleep on this machine has.
time=$((800000 + $$ % 100000))

# mark UNIT [COMMAND]: the time of that one, or how those of all its commands begin.
mark()
{
    _words="cgroup root strict plain old leaves daemon deaf stopped chain bomb killed "
    printf '%s' "$time."
    for _word in "$@"; do
        printf '%s' "$((10 + $(printf '%s' "${_words%%"$_word "*}" | wc -w)))"
    done
}

# box COMMAND...: inside.
box()
{
    "$sdbox" run "$WORK/box" "$@" 3>&-
}

# ---- what the commands are

chmod 711 "$WORK"
cp "$AGENT" "$WORK/stone-age-agent"
mkdir "$WORK/commands" "$WORK/beside"
chmod 755 "$WORK/commands" "$WORK/beside"
echo secret >"$WORK/beside/secret"
cd "$WORK/commands"
cat >leaves.sh <<'END'
sleep "$1" & echo x
END
cat >daemon.sh <<'END'
(setsid sh -c '(setsid sleep "$1" &); exec sleep "$1"' sh "$1" &)
echo x
END
cat >deaf.sh <<'END'
trap '' TERM HUP INT
echo x
sleep "$1" &
sleep "$1"
END
cat >stopped.sh <<'END'
sleep "$1" &
kill -STOP $!
echo x
kill -STOP $$
END
# Each lives only to start the next.
cat >chain.sh <<'END'
trap '' TERM
echo x
run() { (run) & }
run
sleep "$1"
END
cat >bomb.sh <<'END'
echo x
bomb() { bomb | bomb & }
bomb
sleep "$1"
END
cat >hog.sh <<'END'
head -c 400m /dev/zero | tail -c 300m >/dev/null || exit 3
END
cat >limits.sh <<'END'
own=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
echo pids=$(cat "$own/pids.max" 2>/dev/null)
echo memory=$(cat "$own/memory.max" 2>/dev/null)
echo data=$(ulimit -d)
END
# For the kill of the agent: what PR_SET_PDEATHSIG does not reach.
cat >killed.sh <<'END'
trap '' TERM HUP
(setsid sh -c 'trap "" TERM; sleep "$1"; sleep "$1"' sh "$1" </dev/null >/dev/null 2>&1 &)
sleep "$1" &
echo x
sleep "$1"
END
cat >self.sh <<'END'
echo "env: $(env | sort | tr '\n' ' ')"
echo "fds: $(ls /proc/self/fd | tr '\n' ' ')"
echo "stdin: $(readlink /proc/$$/fd/0)"
read -r pid _ _ _ group session tty _ </proc/self/stat
read -r shell _ _ _ own_group own_session tty _ </proc/$$/stat
[ "$shell" = $$ ] && [ "$own_group" = $$ ] && [ "$own_session" = $$ ] && echo "session: own"
[ "$tty" = 0 ] && ! (: </dev/tty) 2>/dev/null && echo "tty: none"
echo "cwd: $(readlink /proc/$$/cwd)"
echo "umask: $(umask)"
while read -r name value; do
    case $name in
    NoNewPrivs:|Cap???:|SigBlk:|SigIgn:|Uid:) echo "$name $value" ;;
    esac
done </proc/$$/status
echo "nice: $(nice)"
echo "core: $(ulimit -Hc)"
echo "dumpable: $(stat -c %u /proc/$$/stat)"
echo "oom: $(cat /proc/$$/oom_score_adj)"
echo "cgroup: $(sed -n 's/^0:://p' /proc/$$/cgroup)"
END
cat >confined.sh <<'END'
(echo hello >"$1/in/file") && cat "$1/in/file"
(: >"$1/beside/new") 2>/dev/null || echo no new
cat "$1/beside/secret" 2>/dev/null || echo no reading
(echo evil >"$1/beside/secret") 2>/dev/null || echo no writing
rm -f "$1/beside/secret" 2>/dev/null || echo no removing
ls / >/dev/null 2>&1 || echo no listing
(: >"/var/lib/$2/x") 2>/dev/null || echo no state
kill -0 1 2>/dev/null || echo no signal
END
cat >probe.sh <<'END'
for place in /etc /usr "$1/beside"; do
    (: >"$place/$2") 2>/dev/null || echo "not in $place"
done
END
chmod 644 ./*.sh
cd "$WORK"

# config NAME: print one for the agent of that name.
config()
{
    cat <<END
code: $1
nats: {urls: ["$NATS_URL"], auth: {type: none}, connect_spread: 0s, reconnect_wait: 100ms}
paths: {state: /var/lib/sa-$1, runtime: /run/sa-$1}
tasks:
  system_metrics: {enabled: false}
  inventory: {enabled: false}
commands:
  workers: 12
  allowed_commands:
    - {name: leaves, run: [sh, $WORK/commands/leaves.sh, "$(mark "$1" leaves)"], timeout: 5s}
    - {name: daemon, run: [sh, $WORK/commands/daemon.sh, "$(mark "$1" daemon)"], timeout: 5s}
    - {name: deaf, run: [sh, $WORK/commands/deaf.sh, "$(mark "$1" deaf)"], timeout: 1s}
    - {name: stopped, run: [sh, $WORK/commands/stopped.sh, "$(mark "$1" stopped)"], timeout: 1s}
    - {name: chain, run: [sh, $WORK/commands/chain.sh, "$(mark "$1" chain)"], timeout: 1s}
    - {name: bomb, run: [sh, $WORK/commands/bomb.sh, "$(mark "$1" bomb)"], timeout: 1s, max_processes: 40}
    - {name: hog, run: [sh, $WORK/commands/hog.sh], timeout: 10s, max_memory: 64MB}
    - {name: limits, run: [sh, $WORK/commands/limits.sh], max_memory: 64MB, max_processes: 40}
    - {name: killed, run: [sh, $WORK/commands/killed.sh, "$(mark "$1" killed)"], timeout: 60s}
    - {name: self, run: [sh, $WORK/commands/self.sh], nice: 5, env: {EXTRA: "given"}}
    - {name: probe, run: [sh, $WORK/commands/probe.sh, $WORK, "probe-$time"]}
    - {name: lifted, run: [grep, "^NoNewPrivs", /proc/self/status], new_privileges: true}
    - name: confined
      run: [sh, $WORK/commands/confined.sh, $WORK, sa-$1]
      readable: [/usr, /bin, /lib, /lib64, /etc, $WORK/commands]
      writable: [$WORK/in]
END
}

# agent NAME LINE...: a unit with these lines beside those that all have.
agent()
{
    _name=$1
    shift
    config "$_name" >"$WORK/$_name.yaml"
    {
        printf '[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=notify\n'
        printf 'ExecStart=%s/stone-age-agent run --config %s/%s.yaml\n' "$WORK" "$WORK" "$_name"
        printf 'StateDirectory=%%N\nStateDirectoryMode=0700\nRuntimeDirectory=%%N\n'
        printf 'Environment=SECRET_OF_OURS=x LD_OF_OURS=y\nOOMScoreAdjust=-100\n'
        printf 'Restart=always\nRestartSec=3\nTimeoutStopSec=60\n'
        printf '%s\n' "$@"
    } | box sh -c 'cat >"/etc/systemd/system/sa-$1.service"' sh "$_name"
}

# ask NAME COMMAND [OPTION...]: the answer of the agent NAME.
ask()
{
    _code=$1
    _command=$2
    shift 2
    bus req "agents.$_code.cmd.exec" "{\"command\":\"$_command\"}" -t 30 "$@"
}

# none_left NAME [COMMAND]: nothing runs that has its mark.
none_left()
{
    ! pgrep -f "$(mark "$@")" >/dev/null
}

group_of()
{
    echo "/sys/fs/cgroup/system.slice/sa-$1.service"
}

# in_runs NAME: the processes in the cgroups of its runs, as the kernel says.
in_runs()
{
    box sh -c 'find "$1" -path "*/runs.*" -name cgroup.procs -exec cat {} + 2>/dev/null' sh \
        "$(group_of "$1")"
}

nothing_in_runs()
{
    [ -z "$(in_runs "$1")" ]
}

# runs_of NAME: how many cgroups its runs have; the spare one is among them.
few_runs()
{
    [ "$(box find "$(group_of "$1")" -name 'run-*' | wc -l)" -le 1 ]
}

audit()
{
    box cat "/var/lib/sa-$1/audit.log"
}

main_pid()
{
    box systemctl show -P MainPID "sa-$1"
}

# ---- the units

SDBOX_BIND=$WORK
SDBOX_FUSE=600
export SDBOX_BIND SDBOX_FUSE
at_end '"$sdbox" down "$WORK/box"'
mkdir "$WORK/box" "$WORK/in"
chmod 1777 "$WORK/in"
start_nats
check "a systemd of our own boots" "$sdbox" up "$WORK/box"
controllers=$(box cat /sys/fs/cgroup/cgroup.controllers)
note "$(box systemctl --version | head -n 1), Linux $(uname -r), controllers of cgroup2: ${controllers:-none}"
has_controller()
{
    case " $controllers " in *" $1 "*) ;; *) false ;; esac
}
# A controller is free for version 2 when no hierarchy of version 1 has it; those of the
# machine are not ours to take away, and to unmount them in here does not.
absent()
{
    if grep -q "^$1	0	.*	1\$" /proc/cgroups; then
        echo "cgroup2 does not hand on the controller $1 here"
    else
        echo "this machine has the controller $1 in a hierarchy of cgroup version 1"
    fi
}

# Users that nobody else is: RLIMIT_NPROC counts for a user as a whole.
users='cgroup strict plain old'
number=$((61000 + $$ % 1000 * 4))
for name in $users; do
    box useradd --no-create-home --uid $number "sa-$name" 2>/dev/null
    number=$((number + 1))
done
strict='ProtectSystem=strict|NoNewPrivileges=yes|ProtectHome=yes|ProtectKernelTunables=no|PrivateDevices=yes|RestrictSUIDSGID=yes|LockPersonality=yes|ReadWritePaths='$WORK/in
lines()
{
    printf '%s' "$1" | tr '|' '\n'
}
# The first has privileges that it must not pass on.
agent cgroup User=sa-cgroup Delegate=yes \
    'AmbientCapabilities=CAP_NET_BIND_SERVICE CAP_SYS_NICE' LimitNICE=-5 Nice=-1
agent root User=root Delegate=yes KillMode=process
agent strict User=sa-strict Delegate=yes "$(lines "$strict")"
agent plain User=sa-plain "$(lines "$strict")"
# A kernel before 5.3: no pidfd_open(2), no openat2(2), close_range(2), landlock(7).
agent old User=sa-old Delegate=yes SystemCallErrorNumber=ENOSYS \
    'SystemCallFilter=~pidfd_open openat2 clone3 close_range landlock_create_ruleset landlock_add_rule landlock_restrict_self'
units='cgroup root strict plain old'
box systemctl daemon-reload
for name in $units; do
    box systemctl start --no-block "sa-$name"
done
agent_answers()
{
    bus req -t 1 "agents.$1.cmd.ping" | grep -q pong
}
is_running()
{
    [ "$(box systemctl is-active "sa-$1")" = active ] && agent_answers "$1"
}
for name in $units; do
    wait_for 20 is_running "$name" || die "the agent $name does not start: $(box journalctl -n 5 \
        --no-pager -u "sa-$name" -o cat)"
done

# ---- what nobody leaves

# Each command of each agent at once; the answers and their times.
begin_all()
{
    for _each in $2; do
        {
            _began=$(date +%s%3N)
            ask "$1" "$_each" >"$WORK/$1.$_each" || true
            echo $(($(date +%s%3N) - _began)) >"$WORK/$1.$_each.time"
        } &
        _pids="$_pids $!"
    done
}

all_answered()
{
    for _each in $2; do
        [ -s "$WORK/$1.$_each.time" ] || return 1
    done
}

# said NAME COMMAND FILTER
said()
{
    jq -c "$3" "$WORK/$1.$2"
}

calm='leaves daemon deaf stopped'
for name in $units; do
    begin_all "$name" "$calm"
    check "$name: all of $calm are answered" wait_for 10 all_answered "$name" "$calm"
    equal "$name: sleep & echo is answered with what was said, and what it left is counted" \
        '["success",0,"x\n",1]' \
        "$(said "$name" leaves '[.status, .exit_code, .output, .leftover_processes]')"
    in_time "$name: long before its 5 s" "$(cat "$WORK/$name.leaves.time")" 6000
    equal "$name: a daemon of a double fork that holds the pipe does not hold it up" \
        '["success","x\n"]' "$(said "$name" daemon '[.status, .output]')"
    in_time "$name: nor for long" "$(cat "$WORK/$name.daemon.time")" 2000
    for command in deaf stopped; do
        equal "$name: $command ends at its 1 s" '["command execution timeout (1s)","x\n"]' \
            "$(said "$name" $command '[.error, .output]')"
        in_time "$name: and the answer comes a second later at most" \
            "$(cat "$WORK/$name.$command.time")" 2000
    done
    check "$name: no process with their marks is left" wait_for 1 none_left "$name"
done
for name in $units; do
    check "$name: nor does the kernel know one in its cgroups" wait_for 1 nothing_in_runs "$name"
    check "$name: whose cgroups are gone" wait_for 1 few_runs "$name"
done
match "without Delegate there are none" '^0$' "$(box find "$(group_of plain)" -name 'runs.*' | wc -l)"
match "with it there are" '^1$' "$(box find "$(group_of cgroup)" -maxdepth 1 -name 'runs.*' | wc -l)"

# ---- what fights

for name in $units; do
    wild='chain hog bomb'
    if [ "$name" = root ] && ! has_controller pids; then
        wild='chain hog'
        skip "$name: a fork bomb stays within max_processes" \
            "$(absent pids), and RLIMIT_NPROC does not hold root"
    fi
    begin_all "$name" "$wild"
    check "$name: all of $wild are answered" wait_for 15 all_answered "$name" "$wild"
    equal "$name: a chain of processes ends at its 1 s" '"command execution timeout (1s)"' \
        "$(said "$name" chain .error)"
    in_time "$name: and is caught in less than another" "$(cat "$WORK/$name.chain.time")" 2500
    case $wild in
    *bomb*)
        match "$name: a fork bomb ends" '^(0|1|2|124|137|143|254|null)$' "$(said "$name" bomb .exit_code)"
        in_time "$name: in its time" "$(cat "$WORK/$name.bomb.time")" 2500
        ;;
    esac
    if has_controller memory && [ "$name" != plain ]; then
        match "$name: what takes all memory is ended by the kernel, and that is said" 'memory' \
            "$(said "$name" hog .error)"
    else
        check "$name: what takes all memory fails (RLIMIT_DATA)" test \
            "$(said "$name" hog .exit_code)" != 0
        [ "$name" = plain ] || skip "$name: it is ended as a whole (memory.max)" "$(absent memory)"
    fi
    check "$name: no process with their marks is left" wait_for 2 none_left "$name"
    check "$name: and the agent is the same one" agent_answers "$name"
    case $name in
    plain) ;;
    *)
        limits=$(ask "$name" limits | jq -r .output)
        if has_controller pids; then
            match "$name: its cgroup has pids.max" '^pids=40$' "$limits"
        fi
        if has_controller memory; then
            match "$name: and memory.max" '^memory=(64000000|63[0-9]*|67108864)$' "$limits"
        else
            match "$name: RLIMIT_DATA stands in for memory.max" '^data=6[0-9]+$' "$limits"
        fi
        ;;
    esac
done
if ! has_controller pids; then
    skip "a fork bomb is held by pids.max" "$(absent pids); RLIMIT_NPROC held it above"
fi

# ---- what a child has

# line NAME: of what self.sh said.
line()
{
    printf '%s\n' "$self" | sed -n "s/^$1: *//p"
}
none=0000000000000000
for name in $units; do
    self=$(ask "$name" self | jq -r .output)
    equal "$name: its environment is ours to give" "EXTRA=given HOME=/ LANG=C.UTF-8 PWD=/" \
        "$(line env | sed 's/PATH=[^ ]* //; s/ *$//; s/HOME=[^ ]*/HOME=\//; s/LANG=[^ ]*/LANG=C.UTF-8/; s/ _=[^ ]*//; s/OLDPWD=[^ ]* //')"
    equal "$name: three descriptors, and the one that ls has opened" "0 1 2 3" "$(line fds | xargs)"
    equal "$name: nothing to read" /dev/null "$(line stdin)"
    equal "$name: a session of its own" own "$(line session)"
    equal "$name: no terminal" none "$(line tty)"
    equal "$name: / as directory" / "$(line cwd)"
    equal "$name: a plain umask" 0022 "$(line umask)"
    equal "$name: no new privileges" 1 "$(line NoNewPrivs)"
    equal "$name: no capability to pass on" "$none $none" "$(line CapInh) $(line CapAmb)"
    if [ "$name" != root ]; then
        equal "$name: and none to use" "$none $none" "$(line CapPrm) $(line CapEff)"
        equal "$name: as the user of the unit" "$(box id -u "sa-$name")" "$(line Uid | cut -f 1)"
    fi
    equal "$name: no signal is blocked or ignored" "$none $none" "$(line SigBlk) $(line SigIgn)"
    nice=5
    [ "$name" != cgroup ] || nice=4
    equal "$name: as nice as the file says" $nice "$(line nice)"
    equal "$name: no core dump" 0 "$(line core)"
    equal "$name: the kernel may choose it when memory is short" 0 "$(line oom)"
    case $name in
    plain) match "$name: in the cgroup of the unit" '/sa-plain.service$' "$(line cgroup)" ;;
    *) match "$name: in a cgroup of its own" '/runs\.[0-9]+/run-[0-9]+$' "$(line cgroup)" ;;
    esac
done
equal "new_privileges lifts that" '"NoNewPrivs:\t0\n"' "$(ask cgroup lifted | jq .output)"
equal "but not what the unit took" '"NoNewPrivs:\t1\n"' "$(ask strict lifted | jq .output)"
equal "ProtectSystem=strict holds for it too" "$(printf '%s\n' "not in /etc" "not in /usr" \
    "not in $WORK/beside")" "$(ask strict probe | jq -r .output)"

# ---- confined

confined=$(printf '%s\n' hello 'no new' 'no reading' 'no writing' 'no removing' 'no listing' \
    'no state' 'no signal')
abi=$(python3 -c 'import ctypes; print(ctypes.CDLL(None).syscall(444, 0, 0, 1))')
for name in $units; do
    answer=$(ask "$name" confined)
    if [ "$name" = old ] || [ "$abi" -lt 1 ]; then
        match "$name: without Landlock a confined command is refused, and told why" \
            'this kernel has no Landlock' "$(printf '%s\n' "$answer" | jq -r .error)"
        continue
    fi
    expected=$confined
    [ "$name" != root ] || expected=$(echo "$confined" | grep -v signal)
    equal "$name: a confined command sees and writes what it may only (Landlock $abi)" "$expected" \
        "$(printf '%s\n' "$answer" | jq -r .output)"
    rm -f "$WORK/in/file"
done
match "exec-list says so as well" 'refused *this kernel has no Landlock' "$(box systemd-run --quiet \
    --wait --pipe --collect -p SystemCallErrorNumber=ENOSYS \
    -p SystemCallFilter=~landlock_create_ruleset "$WORK/stone-age-agent" exec-list \
    --config "$WORK/old.yaml" 2>/dev/null)"
equal "what lay beside is as it was" secret "$(cat "$WORK/beside/secret")"

# ---- the journal

journal()
{
    box journalctl -o json --no-pager "$@" 2>/dev/null
}
has_journal()
{
    journal STONE_AGE_PHASE=end | grep -q '"STONE_AGE_COMMAND":"exec"'
}
if [ "$(box systemctl is-active systemd-journald)" = active ]; then
    check "the journal has the audit lines as fields" wait_for 10 has_journal
    equal "with all that is known of a command" '["exec","exit 0",true,true,true]' \
        "$(journal STONE_AGE_PHASE=end _SYSTEMD_UNIT=sa-cgroup.service | grep self.sh | tail -n 1 |
            jq -c '[.STONE_AGE_COMMAND, .STONE_AGE_OUTCOME, (.STONE_AGE_WHAT | contains("self")),
                    (.STONE_AGE_ID | length > 0), (.MESSAGE | startswith("audit: end "))]')"
    equal "each begin of the file is there" \
        "$(audit cgroup | jq -r 'select(.phase == "begin") | .id' | sort)" \
        "$(journal STONE_AGE_PHASE=begin _SYSTEMD_UNIT=sa-cgroup.service | jq -r .STONE_AGE_ID | sort)"
else
    skip "the journal has the audit lines as fields" "journald does not run here"
fi

# ---- kill -9 of the agent

begun()
{
    audit "$1" | grep -q '"phase":"begin".*killed\.sh'
}
has_daemon()
{
    [ "$(pgrep -f "sleep $(mark "$1" killed)" | wc -l)" -ge 3 ]
}
for name in $units; do
    spawn /dev/null "$BUILD/tests/tools/bus" -s "$NATS_URL" req "agents.$name.cmd.exec" \
        '{"command":"killed"}' -t 60
done
for name in $units; do
    check "$name: a command with a daemon runs" wait_for 10 begun "$name"
    check "$name: all of it" wait_for 10 has_daemon "$name"
done
for name in $units; do
    eval "before_$name=$(main_pid "$name")"
    kill_time=$(date +%s%3N)
    box systemctl kill --kill-who=main --signal=KILL "sa-$name"
    check "$name: kill -9 of the agent ends all of it within 2 s" wait_for 2 none_left "$name" killed
    note "$name: $(($(date +%s%3N) - kill_time)) ms"
    match "$name: before its next life" '^0$|^$' "$(main_pid "$name")"
done
for name in $units; do
    check "$name: the next life comes" wait_for 15 is_running "$name"
    check_not "$name: and is another" test "$(main_pid "$name")" = "$(eval "echo \$before_$name")"
    equal "$name: nothing of the life before is left in its cgroup" '' \
        "$(box find "$(group_of "$name")" -name "runs.$(eval "echo \$before_$name")")"
    equal "$name: the file has the beginning without an end" '["begin"]' \
        "$(audit "$name" | jq -c 'select((.what // "") | contains("killed.sh")) | .phase' | jq -sc .)"
    equal "$name: it runs commands as before" '"x\n"' "$(ask "$name" leaves | jq .output)"
done

# ---- also when the guard was killed before, and systemd ends nothing

# A cgroup that hands on controllers takes no new process itself, so that systemd may be
# unable to begin the next life there while something of the last one lives in it.
if [ -n "$(box cat "$(group_of root)/cgroup.subtree_control")" ]; then
    skip "the next life ends what the guard could not" "not tried where controllers are handed on"
else
    spawn /dev/null "$BUILD/tests/tools/bus" -s "$NATS_URL" req agents.root.cmd.exec \
        '{"command":"killed"}' -t 60
    check "once more" wait_for 10 has_daemon root
    agent_pid=$(main_pid root)
    guard=$(box pgrep -P "$agent_pid" -f 'read -r _' || true)
    check "the guard is there" test -n "$guard"
    box kill -KILL "$guard"
    box kill -KILL "$agent_pid"
    check "the next life ends what the guard could not" wait_for 15 none_left root killed
    check "and runs" wait_for 15 is_running root
    equal "its cgroup is as it was" 1 "$(box find "$(group_of root)" -maxdepth 1 -name 'runs.*' | wc -l)"
fi

# ---- the end

for name in $units; do
    spawn /dev/null "$BUILD/tests/tools/bus" -s "$NATS_URL" req "agents.$name.cmd.exec" \
        '{"command":"killed"}' -t 60
done
for name in $units; do
    check "$name: it runs while the unit is stopped" wait_for 10 has_daemon "$name"
done
began=$(date +%s%3N)
for name in $units; do
    box systemctl stop --no-block "sa-$name"
done
is_stopped()
{
    [ "$(box systemctl is-active "sa-$1")" = inactive ]
}
for name in $units; do
    check "$name: the unit stops" wait_for 10 is_stopped "$name"
    check "$name: with all of it" none_left "$name"
    equal "$name: and no complaint" success "$(box systemctl show -P Result "sa-$name")"
done
in_time "at once" $(($(date +%s%3N) - began)) 10000
