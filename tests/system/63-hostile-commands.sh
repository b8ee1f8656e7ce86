#!/bin/sh
# Rows 1 to 57 of tests/hostile.md, as far as they are requests, on a real bus and a real agent.
. "${0%/*}/../lib.sh"
# SA_RACE_SECONDS (2) is how long each of the races goes on.
# also: asan
story "Hostile requests: each is refused with a reason and a line, and nothing runs"

canary=$WORK/canary
audit=$STATE/audit.log
SECRET_OF_OURS=never-seen-by-a-child
LD_PRELOAD_OF_OURS=x
export SECRET_OF_OURS LD_PRELOAD_OF_OURS

# ---- what lies in wait

mkdir "$STATE" "$WORK/scripts" "$WORK/evil" "$WORK/logs" "$WORK/tree" "$WORK/tree/sub" \
    "$WORK/treetop"
chmod 700 "$STATE"
chmod 755 "$WORK" "$WORK/scripts" "$WORK/evil" "$WORK/logs" "$WORK/tree" "$WORK/tree/sub"
evil_script()
{
    printf '#!/bin/sh\ntouch %s\n' "$canary" >"$1"
    chmod 755 "$1"
}
evil_script "$WORK/evil/hello.sh"
cd "$WORK/scripts"
printf '#!/bin/sh\necho hello\n' >hello.sh
chmod 755 hello.sh
evil_script .hidden.sh
evil_script ./-x.sh
ln -s ../evil/hello.sh link.sh
ln -s ../evil/absent.sh dangling.sh
ln ../evil/hello.sh hard.sh
for name in group world setuid unrunnable; do
    evil_script $name.sh
done
chmod 775 group.sh
chmod 757 world.sh
# Not to be made where the agent's unit forbids it (91-unit.sh).
chmod 4755 setuid.sh 2>/dev/null || rm setuid.sh
chmod 644 unrunnable.sh
mkfifo fifo.sh
mkdir folder.sh
: >empty.sh
printf 'touch %s\n' "$canary" >plain.sh
printf '#!/bin/sh\r\ntouch %s\r\n' "$canary" >crlf.sh
printf '#!/nowhere/sh\ntouch %s\n' "$canary" >nowhere.sh
cp /bin/true binary.sh
chmod 755 fifo.sh empty.sh plain.sh crlf.sh nowhere.sh binary.sh
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket.sh")'
if [ "$(id -u)" = 0 ]; then
    evil_script foreign.sh
    chown 12345 foreign.sh
    mknod -m 755 device.sh c 1 3
fi
cd "$WORK/logs"
echo line >app.log
echo secret >.hidden.log
echo secret >"$WORK/evil/app.log"
mkdir folder.log
ln -s /etc/shadow shadow.log
ln -s ../evil dirlink
ln -s /proc/self/environ environ.log
ln -s /proc/1/root/etc/passwd root.log
ln -s /dev/fd/3 fd.log
ln -s /proc/self/mem mem.log
ln -s /dev/zero zero.log
ln -s /dev/tty tty.log
ln -s "$audit" own.log
ln -s ../agent.yaml config.log
ln -s "$STATE/spool.db" spoollink.log
mkfifo fifo.log
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket.log")'
echo secret >"$WORK/evil/foreign"
if [ "$(id -u)" = 0 ]; then
    chown 12345 "$WORK/evil/foreign"
    ln "$WORK/evil/foreign" hard.log
fi
ln -s ../evil "$WORK/tree/link"
cd "$WORK"

start_nats
cat >"$WORK/agent.yaml" <<END
code: t1
nats: {urls: ["$NATS_URL"], auth: {type: none}, connect_spread: 0s, reconnect_wait: 100ms}
tasks:
  system_metrics: {enabled: false}
  inventory: {enabled: false}
commands:
  audit_max_size_mb: 1000
  scripts_directory: $WORK/scripts
  allowed_services: [stone-age-absent]
  allowed_log_paths: ["$WORK/logs/*.log", "$WORK/logs/dirlink/*.log", "$STATE/*"]
  allowed_commands:
    - "echo allowed"
    - "echo café"
    - "env"
    - "touch $canary"
    - {name: free, run: [echo, "{x}"], args: {x: {pattern: ".*"}}}
    - {name: attached-dash, run: [echo, "-{x}"], args: {x: {pattern: ".*"}}}
    - {name: word, run: [echo, "{x}"], args: {x: {pattern: "^[a-z]+\$", max_length: 64}}}
    - {name: costly, run: [echo, "{x}"], args: {x: {pattern: "(a|a|aa)+(b|a)*\$", max_length: 256}}}
    - {name: number, run: [echo, "{n}"], args: {n: {type: int, min: 1, max: 10}}}
    - {name: choice, run: [echo, "{x}"], args: {x: {type: enum, values: [one, two]}}}
    - {name: path, run: [echo, "{x}"], args: {x: {type: path, under: ["$WORK/tree"]}}}
    - {name: unit, run: [echo, "{x}"], args: {x: {type: service}}}
    - {name: switch, run: [echo, "--all{x}"], args: {x: {type: switch}}}
    - {name: second, run: [sleep, "60"], timeout: 1s}
    - {name: descriptors, run: [ls, /proc/self/fd]}
    - {name: append, run: [sh, -c, "echo once >>$WORK/once; sleep 0.2"]}
    - {name: brief, run: [sleep, "0.02"]}
END
start_agent "$WORK/agent.yaml"

# ask BODY [OPTION...]: exec, one answer.
ask()
{
    _body=$1
    shift
    echo 1 >>"$WORK/asked"
    bus req agents.t1.cmd.exec "$_body" -t 20 "$@"
}

# figure NAME: of the agent's /proc status.
figure()
{
    sed -n "s/^$1:[^0-9]*\([0-9]*\).*/\1/p" "/proc/$AGENT_PID/status"
}

# memory_is_kept MB: no more than so much above what it was.
memory_is_kept()
{
    _more=$(($(figure RssAnon) - memory))
    if grep -q __asan_init "$AGENT"; then
        note "memory: $_more KB more, with a sanitizer, which keeps what was freed"
    else
        compare "memory is what it was, within $1 MB" $_more -lt $(($1 * 1024))
    fi
}

check "the agent answers" wait_for 10 sh -c "'$BUILD/tests/tools/bus' -s '$NATS_URL' req agents.t1.cmd.ping"
equal "what is allowed runs" '"allowed\n"' "$(ask '{"command":"echo allowed"}' | jq .output)"
equal "so does what a pattern allows" '"ok\n"' \
    "$(ask '{"command":"word","args":{"x":"ok"}}' | jq .output)"
equal "and a costly one" '"success"' \
    "$(ask '{"command":"costly","args":{"x":"aaaab"}}' | jq .status)"
ask "{\"command\":\"touch $canary\"}" >/dev/null
check "a canary dies of a command that runs" rm "$canary"
# each worker has been at work, and has what it keeps
python3 "$TOP/tests/tools/hostile.py" crowd "$NATS_URL" t1 '{"command":"brief"}' 8 >"$WORK/crowd"
equal "eight at once run" 8 "$(jq .success "$WORK/crowd")"
memory=$(figure RssAnon)
open=$(opened fd)

# ---- the rows

python3 "$TOP/tests/tools/hostile.py" "$NATS_URL" t1 "$audit" "$canary" "$WORK" >"$WORK/cases"
while IFS='	' read -r row name verdict reason; do
    case $(id -u)/$name in
    0/*) ;;
    *foreign.sh* | *device.sh* | *hard.log*)
        skip "row $row: $name" "only root can lay it"
        continue
        ;;
    esac
    equal "row $row: $name" refused "$verdict"
done <"$WORK/cases"
note "$(wc -l <"$WORK/cases") cases, $(cut -f 1 "$WORK/cases" | sort -un | grep -c .) rows"
# each is a request but the one about the time of row 13
requests=$(($(wc -l <"$WORK/cases") - 1))
check "the reasons are many" test "$(cut -f 4 "$WORK/cases" | sort -u | wc -l)" -ge 40
check_not "no canary died" test -e "$canary"
equal "no reason names what lies behind a link" 0 "$(awk -F'\t' \
    '$4 ~ "/etc/shadow|/evil/|state/audit" && $2 !~ "shadow|evil|state" { n++ } END { print n + 0 }' \
    "$WORK/cases")"
memory_is_kept 2
check "no descriptor is left open" wait_for 5 opened_at_most fd "$open"

# ---- 15, 16, 21: what a request says about time and environment is nothing

began=$(date +%s%3N)
for timeout in -1 0 2147483648 9223372036854775808 1e18 '"1h"'; do
    equal "row 15: timeout $timeout changes nothing" '"command execution timeout (1s)"' \
        "$(ask "{\"command\":\"second\",\"timeout\":$timeout}" | jq .error)"
done
check "and their time was the entry's" test $(($(date +%s%3N) - began)) -lt 15000
equal "row 16: the environment is ours to give" "HOME LANG PATH" \
    "$(ask '{"command":"env","env":{"LD_PRELOAD":"/tmp/x.so","BASH_ENV":"/tmp/x","IFS":"/"},
             "environment":["BASH_FUNC_x%%=() { :; }"]}' |
        jq -r .output | sed -n 's/=.*//p' | sort | tr '\n' ' ' | sed 's/ $//')"
equal "row 21: three descriptors, and the one that ls has opened" "0 1 2 3" \
    "$(ask '{"command":"descriptors"}' | jq -r .output | xargs)"

# ---- 38: the same id

for i in 1 2 3 4 5; do
    ask '{"command":"append"}' -H "Stone-Age-Request-Id: the-same" >"$WORK/same.$i" &
    _pids="$_pids $!"
done
check "row 38: five of the same id are answered" wait_for 20 sh -c \
    "[ \"\$(cat '$WORK'/same.* | grep -c status)\" = 5 ]"
equal "and one ran" 1 "$(grep -c once "$WORK/once")"
equal "the others know why not" 4 "$(cat "$WORK"/same.* | grep -c 'came before; it runs once')"

# ---- 35: a crowd

python3 "$TOP/tests/tools/hostile.py" crowd "$NATS_URL" t1 '{"command":"brief"}' 500 >"$WORK/crowd"
crowd()
{
    jq -r ".$1 // 0" "$WORK/crowd"
}
equal "row 35: each of 500 is answered" 0 "$(crowd unanswered)"
equal "once" 0 "$(crowd twice)"
equal "with success or busy" 500 "$(($(crowd success) + $(crowd busy)))"
check "some ran" test "$(crowd success)" -ge 4
check "most were told at once" test "$(crowd busy)" -ge 300
check "pings were answered all the while" test "$(crowd pings)" -ge 20
note "ping: idle p50 $(crowd idle_p50) us, p99 $(crowd idle_p99) us; under load p50" \
    "$(crowd loaded_p50) us, p99 $(crowd loaded_p99) us, $(crowd pings) pings"

# ---- 17, 42: names that change between the look and the use; SA_RACE_SECONDS=30 by hand

# race ROW NAME A B COMMAND BODY GOOD
race()
{
    _row=$1 _name=$2
    shift 2
    python3 "$TOP/tests/tools/hostile.py" race "$NATS_URL" t1 "${SA_RACE_SECONDS:-2}" "$@" >"$WORK/race"
    equal "row $_row: $_name: never the other one" 0 "$(jq .wrong "$WORK/race")"
    check "both were met" jq -e '.good > 0 and .refused > 0' "$WORK/race"
    note "$(cat "$WORK/race")"
    requests=$((requests + $(jq '.good + .refused + .wrong' "$WORK/race")))
}

cp -p "$WORK/scripts/world.sh" "$WORK/other.sh"
race 17 "a script and one that others can write" "$WORK/scripts/hello.sh" "$WORK/other.sh" \
    exec '{"command":"hello.sh"}' '"output":"hello\n"'
mkdir "$WORK/open"
chmod 777 "$WORK/open"
evil_script "$WORK/open/hello.sh"
race 17 "its directory and an open one" "$WORK/scripts" "$WORK/open" \
    exec '{"command":"hello.sh"}' '"output":"hello\n"'
ln -s ../scripts/hello.sh "$WORK/evil/linked.sh"
race 17 "a script and a link" "$WORK/scripts/hello.sh" "$WORK/evil/linked.sh" \
    exec '{"command":"hello.sh"}' '"output":"hello\n"'
ln -s /etc/shadow "$WORK/evil/shadow"
race 42 "a log and a link" "$WORK/logs/app.log" "$WORK/evil/shadow" \
    logs "{\"log_path\":\"$WORK/logs/app.log\",\"lines\":5}" '"line"'
ln -s evil "$WORK/way"
race 42 "its directory and a link to another" "$WORK/logs" "$WORK/way" \
    logs "{\"log_path\":\"$WORK/logs/app.log\",\"lines\":5}" '"line"'
check_not "no canary died in a race" test -e "$canary"

equal "and what is allowed still runs" '"allowed\n"' \
    "$(ask '{"command":"echo allowed"}' | jq .output)"

# ---- the audit file: a line for each that was refused, two for each that ran

lines()
{
    jq -r .phase "$audit" | grep -cx "$1"
}
requests=$((requests + 8 + 500 + $(grep -c . "$WORK/asked")))
check "every line of the audit file is JSON" jq -e . "$audit"
check_not "and printable ASCII" grep -q '[^ -~]' "$audit"
equal "what ran has ended" "$(lines begin)" "$(lines end)"
equal "each request but pings is there once" $requests $(($(lines begin) + $(lines refused)))
equal "and nothing else is" "$(grep -c . "$audit")" $(($(lines begin) * 2 + $(lines refused)))
check "no descriptor is left open in the end" wait_for 5 opened_at_most fd "$open"
memory_is_kept 4
