# What every story in tests/system stands on.  Source it, do not run it:
#
#     #!/bin/sh
#     . "${0%/*}/../lib.sh"
#     story "An outage of the server loses nothing"
#     start_nats jetstream
#     bus stream-add REPORTS 'reports.>' --file
#     start_agent "$WORK/agent.yaml"
#     check "the first report arrives" wait_for 10 has_messages REPORTS 1
#     equal "it has our code" "\"t1\"" "$(bus stream-dump REPORTS --data | jq .data.code)"
#
# Sleep in short pieces (wait_for does): a signal is heard after the sleep.
#
# Prints one `ok` or `not ok` line for each check, and what was expected and
# found below a failed one; checks do not end the story, anything else that
# fails does.  Whatever it started is ended by PID when the story ends, in
# whatever way.  Many stories can run at once.
#
# From outside: BUILD, the build folder (default: build/gcc, else build);
# WAIT_FACTOR multiplies every patience (slow builds), TIME_FACTOR (the same) those with a
# machine that has other things to do; KEEP=1 leaves $WORK.
# For the story: WORK, its own folder; TOP, the sources; AGENT; STATE, where the
# agent keeps its state unless the story's config says otherwise; and those that
# each start_ function names.
# shellcheck shell=sh disable=SC2034

set -eu
LC_ALL=C
export LC_ALL
unset NATS_URL NATS_CREDS
# The agent would obey them.
unset http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY

TOP=${0%/*}
until [ -f "$TOP/tests/lib.sh" ]; do
    TOP=$TOP/..
done
TOP=$(cd "$TOP" && pwd)
if [ -z "${BUILD:-}" ]; then
    BUILD=$TOP/build/gcc
    [ -x "$BUILD/stone-age-agent" ] || BUILD=$TOP/build
fi
BUILD=$(cd "$BUILD" && pwd)
LSAN_OPTIONS=${LSAN_OPTIONS:-suppressions=$TOP/tests/lsan.supp:print_suppressions=0}
export LSAN_OPTIONS
AGENT=$BUILD/stone-age-agent
WAIT_FACTOR=${WAIT_FACTOR:-1}
TIME_FACTOR=${TIME_FACTOR:-$WAIT_FACTOR}
PATH=$TOP/build/deps/usr/sbin:$TOP/build/deps/usr/bin:$TOP/build/deps/prometheus/usr/bin:$PATH
PATH=$TOP/build/deps/pocketbase/bin:$TOP/build/deps/nginx/usr/sbin:$PATH
PATH=$TOP/build/deps/proxies/usr/bin:$PATH
PATH=$PATH:/usr/sbin:/sbin
WORK=$(mktemp -d "${TMPDIR:-/tmp}/stone-age.XXXXXX")
STATE=$WORK/state
STATE_DIRECTORY=$STATE
RUNTIME_DIRECTORY=$WORK/run
export STATE_DIRECTORY RUNTIME_DIRECTORY
unset NOTIFY_SOCKET WATCHDOG_USEC WATCHDOG_PID

# Checks speak here, also from inside of `check`, which catches the output.
exec 3>&1
_checks=0
_failures=0
_skips=0
_pids=
_nats_started=
_title=${0##*/}
_start=$(date +%s)

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    _green=$(printf '\033[32m') _red=$(printf '\033[31m') _yellow=$(printf '\033[33m')
    _bold=$(printf '\033[1m') _plain=$(printf '\033[0m')
else
    _green='' _red='' _yellow='' _bold='' _plain=''
fi

# ---- the frame ---------------------------------------------------------------

# story TITLE: say what this is about.
story()
{
    _title=$1
    echo "# $_bold$1$_plain"
}

# note TEXT: something worth reading between the checks.
note()
{
    printf '# %s\n' "$*"
}

_ok()
{
    _checks=$((_checks + 1))
    printf '%s\n' "${_green}ok$_plain $_checks - $1" >&3
}

_not_ok()
{
    _checks=$((_checks + 1))
    _failures=$((_failures + 1))
    printf '%s\n' "${_red}not ok$_plain $_checks - $1" >&3
}

# at_end COMMAND: one string, for the shell, when the story has ended and all that
# it started; the last one given comes first.
_at_end=
at_end()
{
    _at_end="$1; $_at_end"
}

# skip TEXT REASON: a check that cannot be made here.
skip()
{
    _checks=$((_checks + 1))
    _skips=$((_skips + 1))
    printf '%s\n' "${_yellow}ok$_plain $_checks - $1 # SKIP $2" >&3
}

# skip_all REASON: the story cannot be told here.
skip_all()
{
    skip "$_title" "$1"
    exit 0
}

# die TEXT: the story cannot go on; a failure.
die()
{
    _not_ok "$*"
    exit 1
}

# need_systemd: the story is told in a systemd of its own, which $sdbox makes.
need_systemd()
{
    sdbox=$TOP/tests/tools/sdbox
    if ! _why=$("$sdbox" can); then
        [ "${SA_NO_SYSTEMD:-}" != skip ] || skip_all "$_why"
        die "no systemd to test with: $_why"
    fi
}

_end()
{
    _status=$?
    trap '' INT TERM HUP
    set +e
    trap - EXIT
    exec >&3
    if [ "$_status" -ne 0 ] && [ "$_failures" -eq 0 ]; then
        _not_ok "$_title: the story broke off (status $_status)"
    fi
    stop_all
    eval "$_at_end"
    if [ "$_failures" -gt 0 ]; then
        for _log in "$WORK"/*.log; do
            case ${_log##*/} in
            agent*) _lines=30 ;;
            *) _lines=5 ;;
            esac
            [ -s "$_log" ] || continue
            echo "# the end of ${_log##*/}:"
            tail -n $_lines "$_log" | sed 's/^/#   /'
        done
        [ "$_status" -ne 0 ] || _status=1
    fi
    echo "1..$_checks"
    echo "# $_title: $((_checks - _failures - _skips)) ok, $_failures not ok, $_skips skipped," \
        "$(($(date +%s) - _start)) s"
    if [ -n "${KEEP:-}" ]; then
        echo "# kept: $WORK"
    else
        rm -rf "$WORK"
    fi
    exit "$_status"
}
trap _end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# own_namespace OPTION...: tell the rest in a namespace of its own (options of
# unshare(1)).  Needs root, or sudo that asks nothing.  Comes before story.
own_namespace()
{
    [ -z "${IN_NAMESPACE:-}" ] || return 0
    _sudo=
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || die "this story needs root, or sudo that asks nothing"
        _sudo='sudo -n'
    fi
    rm -rf "$WORK"
    exec $_sudo unshare "$@" -- env IN_NAMESPACE=yes PATH="$PATH" BUILD="$BUILD" \
        WAIT_FACTOR="$WAIT_FACTOR" TIME_FACTOR="$TIME_FACTOR" KEEP="${KEEP:-}" NO_COLOR="${NO_COLOR:-}" \
        ROAD="${ROAD:-}" KILLS="${KILLS:-}" "$0"
}

# ---- checks ------------------------------------------------------------------

_show()
{
    printf '%s\n' "$2" | head -n 20 | sed "1s/^/#   $1: /; 2,\$s/^/#     /" >&3
}

# check TEXT COMMAND...: COMMAND succeeds.
check()
{
    _text=$1
    shift
    if "$@" >"$WORK/.output" 2>&1; then
        _ok "$_text"
    else
        _not_ok "$_text"
        _show "failed" "$*"
        [ ! -s "$WORK/.output" ] || _show "output" "$(tail -n 20 "$WORK/.output")"
    fi
}

# check_not TEXT COMMAND...: COMMAND fails.
check_not()
{
    _text=$1
    shift
    if "$@" >"$WORK/.output" 2>&1; then
        _not_ok "$_text"
        _show "did not fail" "$*"
        [ ! -s "$WORK/.output" ] || _show "output" "$(tail -n 20 "$WORK/.output")"
    else
        _ok "$_text"
    fi
}

# equal TEXT EXPECTED FOUND
equal()
{
    if [ "$2" = "$3" ]; then
        _ok "$1"
    else
        _not_ok "$1"
        _show "expected" "$2"
        _show "found" "$3"
    fi
}

# compare TEXT NUMBER -lt|-le|-eq|-ne|-ge|-gt NUMBER
compare()
{
    if [ -n "$2" ] && test "$2" "$3" "$4"; then
        _ok "$1"
    else
        _not_ok "$1"
        _show "expected" "a number $3 $4"
        _show "found" "$2"
    fi
}

# in_time NAME MS LIMIT: it took no longer than is promised, where the machine has nothing else
# to do.  tests/all, which runs much side by side, lets TIME_FACTOR times as long pass.
in_time()
{
    compare "$1: $2 ms" "$2" -le $(($3 * TIME_FACTOR))
}

# jq(1), whose version 1.6 takes no input at all for a success of -e: here it is none.
jq()
{
    case " $* " in
    *' -e '*)
        _answer=$(command jq "$@") && [ -n "$_answer" ] && printf '%s\n' "$_answer"
        ;;
    *) command jq "$@" ;;
    esac
}

# match TEXT EXTENDED-REGULAR-EXPRESSION FOUND: one line of FOUND matches.
match()
{
    if printf '%s\n' "$3" | grep -Eq -e "$2"; then
        _ok "$1"
    else
        _not_ok "$1"
        _show "expected a line like" "$2"
        _show "found" "$3"
    fi
}

# no_match TEXT EXTENDED-REGULAR-EXPRESSION FOUND
no_match()
{
    if printf '%s\n' "$3" | grep -Eq -e "$2"; then
        _not_ok "$1"
        _show "expected no line like" "$2"
        _show "found" "$(printf '%s\n' "$3" | grep -E -e "$2")"
    else
        _ok "$1"
    fi
}

# wait_for SECONDS COMMAND...: (whole seconds) until COMMAND succeeds; fails when it does not in
# that time.  Alone it ends the story, below `check` it is a check.
wait_for()
{
    _until=$(($(date +%s%3N) + $1 * 1000 * TIME_FACTOR))
    shift
    until "$@"; do
        if [ "$(date +%s%3N)" -gt "$_until" ]; then
            echo "waited in vain for: $*"
            return 1
        fi
        sleep 0.1
    done
}

# opened fd|task: how many descriptors, or threads, the agent has at this moment.
opened()
{
    find "/proc/$AGENT_PID/$1" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l
}

# opened_at_most fd|task N: to be waited for, since who is at work has more for an instant.
opened_at_most()
{
    test "$(opened "$1")" -le "$2"
}

# has_line FILE EXTENDED-REGULAR-EXPRESSION [COUNT]: at least COUNT lines (1).
has_line()
{
    [ -f "$1" ] && [ "$(grep -Ec -e "$2" "$1")" -ge "${3:-1}" ]
}

# ---- processes ---------------------------------------------------------------

# spawn LOG COMMAND...: start it in the background; SPAWNED is its PID.
spawn()
{
    _log=$1
    shift
    "$@" >>"$_log" 2>&1 3>&- </dev/null &
    SPAWNED=$!
    _pids="$_pids $SPAWNED"
}

# alive PID: does it run (one that ended and was not waited for does not)?
alive()
{
    case $(ps -o stat= -p "$1" 2>/dev/null) in
    ''|Z*) return 1 ;;
    esac
}

_ended()
{
    ! alive "$1"
}

# Take PID off the list and collect its status in STATUS.
_collect()
{
    _left=
    for _pid in $_pids; do
        [ "$_pid" = "$1" ] || _left="$_left $_pid"
    done
    _pids=$_left
    STATUS=0
    wait "$1" 2>/dev/null || STATUS=$?
}

# stop PID [SECONDS [SIGNAL]]: ask it to end, wait, collect its status in STATUS;
# one that does not end in time (10 s) is killed, and that is a failure.
stop()
{
    kill "-${3:-TERM}" "$1" 2>/dev/null || true
    if ! wait_for "${2:-10}" _ended "$1" >/dev/null; then
        kill -KILL "$1" 2>/dev/null || true
        _collect "$1"
        echo "process $1 did not end within ${2:-10} s and was killed"
        return 1
    fi
    _collect "$1"
}

# kill_hard PID: like a power cut.
kill_hard()
{
    kill -KILL "$1"
    _collect "$1"
}

# stop_all: end all that was spawned.
stop_all()
{
    # Stopped ones (SIGSTOP) must run to hear it.
    for _pid in $_pids; do
        kill -CONT "$_pid" 2>/dev/null
        kill -TERM "$_pid" 2>/dev/null
    done
    _until=$(($(date +%s) + 5))
    for _pid in $_pids; do
        while alive "$_pid" && [ "$(date +%s)" -lt $_until ]; do
            sleep 0.05
        done
        kill -KILL "$_pid" 2>/dev/null
        wait "$_pid" 2>/dev/null
    done
    _pids=
}

# free_port: print a free TCP port of 127.0.0.1, below those that the system
# hands out by itself, so that it stays free while its server is restarted.
free_port()
{
    while true; do
        _port=$((12000 + $(od -An -N2 -tu2 /dev/urandom) % 19000))
        grep -q ":$(printf %04X "$_port") " /proc/net/tcp /proc/net/tcp6 2>/dev/null || break
    done
    echo "$_port"
}

# ---- nats-server -------------------------------------------------------------

# start_nats [jetstream] [config FILE] [port PORT] [road ROAD]: NATS_URL, NATS_PORT,
# NATS_PID, NATS_LOG (of earlier lives: nats-before.log).  Its store is in $WORK/nats and
# survives stop_nats and kill_nats.
#
# NATS_URL is always plain TCP, for `bus`.  The agent goes by ROAD (default: $ROAD, else
# tcp), which is tcp, tls, ws or wss: AGENT_URL, AGENT_PORT, and AGENT_TLS, a line of YAML
# for its nats: section, empty where no certificate has to be checked.
start_nats()
{
    _nats_options=
    _nats_config=
    _nats_port=
    _nats_road=${ROAD:-tcp}
    NATS_LOG=$WORK/nats.log
    while [ $# -gt 0 ]; do
        case $1 in
        jetstream) _nats_options="$_nats_options -js -sd $WORK/nats" ;;
        config) _nats_config=$2; shift ;;
        port) _nats_port=$2; shift ;;
        road) _nats_road=$2; shift ;;
        *) die "start_nats does not know $1" ;;
        esac
        shift
    done
    _turn=1
    until _try_nats; do
        _turn=$((_turn + 1))
        if [ -n "$_nats_port" ] || [ $_turn -gt 5 ]; then
            die "nats-server does not start"
        fi
    done
    _nats_started=yes
}

_nats_answers()
{
    has_line "$NATS_LOG" 'Server is ready' || _ended "$NATS_PID"
}

_try_nats()
{
    NATS_PORT=${_nats_port:-$(free_port)}
    NATS_URL=nats://127.0.0.1:$NATS_PORT
    [ -n "$_nats_port" ] || AGENT_PORT=
    road "$_nats_road" 127.0.0.1 "$NATS_PORT" "$_nats_config"
    [ ! -e "$NATS_LOG" ] || cat "$NATS_LOG" >>"$WORK/nats-before.log"
    : >"$NATS_LOG"
    # shellcheck disable=SC2086 # words
    spawn "$NATS_LOG" nats-server $_nats_options ${ROAD_CONFIG:+-c "$ROAD_CONFIG"} \
        -a 127.0.0.1 -p "$NATS_PORT"
    NATS_PID=$SPAWNED
    wait_for 20 _nats_answers >/dev/null || true
    has_line "$NATS_LOG" 'Server is ready' && alive "$NATS_PID"
}

# road ROAD HOST PORT [CONFIG]: what a nats-server with CONFIG and its clients' port PORT
# needs so that the agent can come by ROAD: ROAD_CONFIG (a file beside CONFIG that includes
# it; CONFIG itself, or nothing, for tcp), and AGENT_URL, AGENT_PORT (kept if there is one)
# and AGENT_TLS as start_nats has them.
road()
{
    ROAD_CONFIG=${4:-}
    AGENT_TLS=
    case $1 in
    tcp)
        AGENT_PORT=$3
        AGENT_URL=nats://$2:$3
        return
        ;;
    tls|ws|wss) ;;
    *) die "there is no road $1" ;;
    esac
    ROAD_CONFIG=$WORK/road.conf
    [ -z "${4:-}" ] || ROAD_CONFIG=$(dirname "$4")/road.conf
    # A server reads what it includes from beside its own file.
    [ -z "${4:-}" ] || echo "include \"$(basename "$4")\"" >"$ROAD_CONFIG.new"
    [ "$1" = ws ] || _road_certificate "$2"
    _road_tls="cert_file: \"$WORK/road.pem\", key_file: \"$WORK/road.key\""
    [ "$1" = tls ] || AGENT_PORT=${AGENT_PORT:-$(free_port)}
    case $1 in
    tls)
        AGENT_PORT=$3
        echo "tls: {$_road_tls}, allow_non_tls: true"
        ;;
    ws) echo "websocket: {listen: \"$2:$AGENT_PORT\", no_tls: true}" ;;
    wss) echo "websocket: {listen: \"$2:$AGENT_PORT\", tls: {$_road_tls}}" ;;
    esac >>"$ROAD_CONFIG.new"
    mv "$ROAD_CONFIG.new" "$ROAD_CONFIG"
    AGENT_URL=$1://$2:$AGENT_PORT
    [ "$1" = ws ] || AGENT_TLS="tls: {ca_file: \"$WORK/road-ca.pem\"}"
}

# Of a server at address $1, by an authority that nobody else has.
_road_certificate()
{
    [ ! -f "$WORK/road.pem" ] || return 0
    authority road-ca
    certificate road road-ca "IP:$1,DNS:localhost"
}

# stop_nats, and kill_nats: like a power cut.  restart_nats: on the same ports,
# with the same settings and store.
stop_nats()
{
    stop "$NATS_PID"
}

kill_nats()
{
    kill_hard "$NATS_PID"
}

restart_nats()
{
    [ -n "$_nats_started" ] || die "restart_nats before start_nats"
    _nats_port=$NATS_PORT
    _try_nats || die "nats-server does not start again"
}

# start_another NAME CONFIG: one more nats-server; CONFIG, a text, has all its ports.
# ANOTHER_PID; its log is $WORK/NAME.log.
start_another()
{
    printf '%s\n' "$2" >"$WORK/$1.conf"
    : >"$WORK/$1.log"
    spawn "$WORK/$1.log" nats-server -c "$WORK/$1.conf"
    ANOTHER_PID=$SPAWNED
    wait_for 20 has_line "$WORK/$1.log" 'Server is ready' || die "the nats-server $1 does not start"
}

# freeze_nats, thaw_nats: connected, but nothing moves.
freeze_nats()
{
    kill -STOP "$NATS_PID"
}

thaw_nats()
{
    kill -CONT "$NATS_PID"
}

# bus ...: the client of tests/tools, at $NATS_URL with $NATS_CREDS if there is one (the
# agent sees neither: they can hold a password).
bus()
{
    NATS_URL=${NATS_URL:-} NATS_CREDS=${NATS_CREDS:-} "$BUILD/tests/tools/bus" "$@"
}

# listen FILE SUBJECT [OPTION...]: write what comes on SUBJECT to FILE from now on;
# LISTENER is its PID.
listen()
{
    _file=$1
    shift
    : >"$_file"
    : >"$_file.errors"
    NATS_URL=$NATS_URL NATS_CREDS=${NATS_CREDS:-} "$BUILD/tests/tools/bus" sub "$@" >"$_file" 2>"$_file.errors" 3>&- </dev/null &
    LISTENER=$!
    _pids="$_pids $LISTENER"
    wait_for 10 grep -q '^bus: listening' "$_file.errors" || die "cannot listen: $(cat "$_file.errors")"
}

# has_messages STREAM COUNT: does the stream hold at least that many?
has_messages()
{
    _found=$(bus stream-info "$1" | jq .messages) && [ "${_found:-0}" -ge "$2" ]
}

# ---- exporter and agent --------------------------------------------------------

# start_exporter [ARGUMENT...]: EXPORTER_URL, EXPORTER_PID, EXPORTER_LOG.
start_exporter()
{
    EXPORTER_LOG=$WORK/exporter.log
    spawn "$EXPORTER_LOG" prometheus-node-exporter --web.listen-address=127.0.0.1:0 "$@"
    EXPORTER_PID=$SPAWNED
    wait_for 20 has_line "$EXPORTER_LOG" 'Listening on.*address=127' ||
        die "the exporter does not start"
    EXPORTER_URL=http://$(sed -n 's/.*Listening on.*address=\(127[0-9.:]*\).*/\1/p' "$EXPORTER_LOG" |
        head -n 1)/metrics
}

# start_agent CONFIG [ARGUMENT...]: AGENT_PID, AGENT_LOG (its standard error, of all
# its lives).  Waits until it says that it has started.
start_agent()
{
    AGENT_LOG=$WORK/agent.log
    _config=$1
    shift
    touch "$AGENT_LOG"
    _lives=$(grep -Ec "$_agent_ready" "$AGENT_LOG" || true)
    spawn "$AGENT_LOG" "$AGENT" run --config "$_config" "$@"
    AGENT_PID=$SPAWNED
    wait_for 20 _agent_answers $((_lives + 1)) >/dev/null || true
    has_line "$AGENT_LOG" "$_agent_ready" $((_lives + 1)) || die "the agent does not start"
}
_agent_ready='(^|[^a-z_])agent_ready([^a-z_]|$)'

_agent_answers()
{
    has_line "$AGENT_LOG" "$_agent_ready" "$1" || _ended "$AGENT_PID"
}

# stop_agent: ask it to end, and see that it does so in time and with status 0.
stop_agent()
{
    STATUS=
    check "the agent stops in time" stop "$AGENT_PID" 20
    equal "the agent ends with status 0" 0 "$STATUS"
}

kill_agent()
{
    kill_hard "$AGENT_PID"
}

# agent_says EXTENDED-REGULAR-EXPRESSION [COUNT]
agent_says()
{
    has_line "$AGENT_LOG" "$@"
}

# agent_to URLS AUTH [LINE...]: start it with those URLs (in quotes, separated by commas) and
# that nats.auth, such as "type: none", and with more lines of its nats: section.  Only what
# this life says is in its log.
agent_to()
{
    {
        echo "code: t1"
        echo "nats:"
        echo "  urls: [$1]"
        echo "  auth: {$2}"
        echo "  connect_spread: 0s"
        echo "  reconnect_wait: 100ms"
        echo "  reconnect_max: 300ms"
        shift 2
        for _line in "$@"; do
            [ -z "$_line" ] || printf '  %s\n' "$_line"
        done
        echo "tasks: {system_metrics: {enabled: false}, inventory: {enabled: false}}"
    } >"$WORK/agent.yaml"
    : >"$WORK/agent.log"
    start_agent "$WORK/agent.yaml"
}

# up URL: does it say that it is connected there?
up()
{
    agent_says " link_up.*url=$1"
}

# answers [OPTION...]: does it, to a ping that bus asks with OPTIONs?
answers()
{
    [ "$(bus req agents.t1.cmd.ping -t 1 "$@" 2>/dev/null | jq -r .status)" = pong ]
}

# start_pages FOLDER [CERTIFICATE KEY CA]: serve its files, and bad pages
# (tests/tools/pages.py), by HTTP or HTTPS: PAGES_URL, PAGES_PID, PAGES_LOG (each request).
start_pages()
{
    PAGES_LOG=$WORK/pages.log
    spawn "$PAGES_LOG" python3 "$TOP/tests/tools/pages.py" "$@"
    PAGES_PID=$SPAWNED
    wait_for 20 has_line "$PAGES_LOG" '^Listening' || die "the page server does not start"
    PAGES_URL=http${2:+s}://127.0.0.1:$(sed -n 's/^Listening on //p' "$PAGES_LOG")
}

# start_proxy: stand between the agent and the server, on the agent's road
# (tests/tools/proxy.py): PROXY_URL for the agent, PROXY_PID, PROXY_LOG.
start_proxy()
{
    PROXY_LOG=$WORK/proxy.log
    mkfifo "$WORK/proxy.commands"
    spawn "$PROXY_LOG" python3 "$TOP/tests/tools/proxy.py" "$AGENT_PORT" "$WORK/proxy.commands" \
        "$_nats_road"
    PROXY_PID=$SPAWNED
    wait_for 20 has_line "$PROXY_LOG" '^Listening' || die "the proxy does not start"
    PROXY_URL=${AGENT_URL%%:*}://127.0.0.1:$(sed -n 's/^Listening on //p' "$PROXY_LOG")
}

# proxy COMMAND: tell it what to do, and wait until it does.
proxy()
{
    _told=$(grep -Fxc "did $*" "$PROXY_LOG" || true)
    echo "$*" >"$WORK/proxy.commands"
    wait_for 10 has_line "$PROXY_LOG" "^did $*\$" $((_told + 1)) || die "the proxy does not obey: $*"
}

# ---- proxies and fronts on the way to the bus ------------------------------------

# start_tinyproxy [USER PASSWORD]: an HTTP proxy that only knows CONNECT for us:
# TINYPROXY_URL, TINYPROXY_PORT, TINYPROXY_PID, TINYPROXY_LOG (with each request).
# TINYPROXY_CONFIG may name more lines of its configuration.
start_tinyproxy()
{
    command -v tinyproxy >/dev/null || die "there is no tinyproxy: run tests/setup"
    TINYPROXY_LOG=$WORK/tinyproxy.log
    _turn=1
    until _try_tinyproxy "$@"; do
        _turn=$((_turn + 1))
        [ $_turn -le 5 ] || die "tinyproxy does not start"
    done
    TINYPROXY_URL=http://127.0.0.1:$TINYPROXY_PORT
}

_try_tinyproxy()
{
    TINYPROXY_PORT=$(free_port)
    {
        echo "Listen 127.0.0.1"
        echo "Port $TINYPROXY_PORT"
        echo "Allow 127.0.0.1"
        echo "LogLevel Connect"
        echo "MaxClients 100"
        [ $# -eq 0 ] || echo "BasicAuth $1 $2"
        [ -z "${TINYPROXY_CONFIG:-}" ] || printf '%s\n' "$TINYPROXY_CONFIG"
    } >"$WORK/tinyproxy.conf"
    spawn "$TINYPROXY_LOG" tinyproxy -d -c "$WORK/tinyproxy.conf"
    TINYPROXY_PID=$SPAWNED
    wait_for 10 _listens "$TINYPROXY_PORT" "$TINYPROXY_PID" >/dev/null || true
    alive "$TINYPROXY_PID"
}

# start_socks [USER PASSWORD]: SOCKS5: SOCKS_ADDRESS (127.0.0.1:PORT; the scheme is for the
# story to choose), SOCKS_PID, SOCKS_LOG (with each destination).
start_socks()
{
    command -v microsocks >/dev/null || die "there is no microsocks: run tests/setup"
    SOCKS_LOG=$WORK/socks.log
    _turn=1
    until _try_socks "$@"; do
        _turn=$((_turn + 1))
        [ $_turn -le 5 ] || die "microsocks does not start"
    done
    SOCKS_ADDRESS=127.0.0.1:$_port
}

_try_socks()
{
    _port=$(free_port)
    spawn "$SOCKS_LOG" microsocks -i 127.0.0.1 -p "$_port" ${1:+-u "$1" -P "$2"}
    SOCKS_PID=$SPAWNED
    wait_for 10 _listens "$_port" "$SOCKS_PID" >/dev/null || true
    alive "$SOCKS_PID"
}

# _listens PORT PID: is there a listener, or no process any more?
_listens()
{
    grep -q ":$(printf %04X "$1") 00000000:0000 0A" /proc/net/tcp || _ended "$2"
}

# start_ws_liar [CERTIFICATE KEY]: what no honest server says (tests/tools/ws_liar.py), by
# WebSocket at WS_LIAR_URL and by plain TCP at TCP_LIAR_URL; WS_LIAR_PID; WS_LIAR_LOG has
# each connection and the lie that it was told.
start_ws_liar()
{
    WS_LIAR_LOG=$WORK/ws-liar.log
    : >"$WS_LIAR_LOG"
    spawn "$WS_LIAR_LOG" python3 "$TOP/tests/tools/ws_liar.py" "$WORK/lie" "$@"
    WS_LIAR_PID=$SPAWNED
    wait_for 20 has_line "$WS_LIAR_LOG" '^Listening' || die "the liar does not start"
    # shellcheck disable=SC2046 # three words
    set -- ws${1:+s} $(sed -n 's/^Listening on //p' "$WS_LIAR_LOG")
    WS_LIAR_URL=$1://127.0.0.1:$2
    TCP_LIAR_URL=nats://127.0.0.1:$3
}

# start_https_proxy: TLS before start_tinyproxy's (tests/tools/tls_front.py):
# HTTPS_PROXY_URL, HTTPS_PROXY_CA, HTTPS_PROXY_PID, HTTPS_PROXY_LOG.
start_https_proxy()
{
    HTTPS_PROXY_LOG=$WORK/https-proxy.log
    HTTPS_PROXY_CA=$WORK/https-proxy-ca.pem
    authority https-proxy-ca
    certificate https-proxy https-proxy-ca IP:127.0.0.1,DNS:localhost
    spawn "$HTTPS_PROXY_LOG" python3 "$TOP/tests/tools/tls_front.py" "$WORK/https-proxy.pem" \
        "$WORK/https-proxy.key" "$TINYPROXY_PORT"
    HTTPS_PROXY_PID=$SPAWNED
    wait_for 20 has_line "$HTTPS_PROXY_LOG" '^Listening' || die "the https proxy does not start"
    HTTPS_PROXY_URL=https://127.0.0.1:$(sed -n 's/^Listening on //p' "$HTTPS_PROXY_LOG")
}

# _front_certificates NAME: of NAME-ca, for this machine, NAME, NAME-expired and
# NAME-wrong-name; and NAME-self-signed.
_front_certificates()
{
    authority "$1-ca"
    authority "$1-self-signed"
    certificate "$1" "$1-ca" IP:127.0.0.1,DNS:localhost
    certificate "$1-expired" "$1-ca" IP:127.0.0.1,DNS:localhost -1
    certificate "$1-wrong-name" "$1-ca" DNS:elsewhere.example
}

# start_ws_front PORT [LINES]: nginx before the WebSocket listener at PORT, by wss with a
# path, HTTP/2 offered: WS_FRONT_GOOD, a URL; and with others' certificates or none of
# today's TLS: WS_FRONT_SELF_SIGNED, WS_FRONT_EXPIRED, WS_FRONT_WRONG_NAME,
# WS_FRONT_WRONG_PURPOSE, WS_FRONT_OLD (TLS 1.1), WS_FRONT_MIDDLE (TLS 1.2).  WS_FRONT_CA;
# WS_FRONT_PIN, the key of the good one (ws-front.pem); WS_FRONT_LOG, what it complained
# of; WS_FRONT_ACCESS, each request: name in the handshake (SNI), status, request.  LINES
# stand in the good one's location.
start_ws_front()
{
    command -v nginx >/dev/null || die "there is no nginx: run tests/setup"
    WS_FRONT_LOG=$WORK/ws-front.log
    WS_FRONT_ACCESS=$WORK/ws-front-access.log
    WS_FRONT_CA=$WORK/ws-front-ca.pem
    _front_certificates ws-front
    certificate ws-front-wrong-purpose ws-front-ca "IP:127.0.0.1,DNS:localhost
extendedKeyUsage = clientAuth"
    WS_FRONT_PIN=$(pin "$WORK/ws-front.pem")
    _turn=1
    until _try_ws_front "$@"; do
        _turn=$((_turn + 1))
        [ $_turn -le 5 ] || die "nginx does not start"
    done
}

# _ws_front NAME CERTIFICATE [PROTOCOLS [LINES]]: as _front, for WebSocket.
_ws_front()
{
    _port=$(free_port)
    eval "WS_FRONT_$1=wss://127.0.0.1:$_port/nats/"
    cat <<END
    server {
        listen 127.0.0.1:$_port ssl http2;
        ssl_certificate $WORK/$2.pem;
        ssl_certificate_key $WORK/$2.key;
        ssl_protocols ${3:-TLSv1.2 TLSv1.3};
        ${3:+ssl_ciphers DEFAULT@SECLEVEL=0;}
        location /nats/ {
            ${4:-}
            proxy_pass http://127.0.0.1:$_backend/;
            proxy_http_version 1.1;
            proxy_set_header Host \$http_host;
            proxy_set_header Upgrade \$http_upgrade;
            proxy_set_header Connection upgrade;
        }
    }
END
}

_try_ws_front()
{
    _backend=$1
    _folder=$WORK/ws-front
    mkdir -p "$_folder"
    {
        echo "pid $_folder/pid; events { worker_connections 64; }"
        echo "http {"
        echo "    server_tokens off;"
        echo "    log_format handshake '\$ssl_server_name \$status \$request';"
        echo "    access_log $WS_FRONT_ACCESS handshake;"
        for _name in client_body proxy fastcgi uwsgi scgi; do
            echo "    ${_name}_temp_path $_folder/$_name;"
        done
        _ws_front GOOD ws-front '' "${2:-}"
        _ws_front SELF_SIGNED ws-front-self-signed
        _ws_front EXPIRED ws-front-expired
        _ws_front WRONG_NAME ws-front-wrong-name
        _ws_front WRONG_PURPOSE ws-front-wrong-purpose
        _ws_front OLD ws-front TLSv1.1
        _ws_front MIDDLE ws-front TLSv1.2
        echo "}"
    } >"$_folder/nginx.conf"
    spawn "$WS_FRONT_LOG" nginx -e stderr -p "$_folder" -c "$_folder/nginx.conf" \
        -g 'daemon off; master_process off;'
    WS_FRONT_PID=$SPAWNED
    _port=${WS_FRONT_GOOD##*:}
    wait_for 10 _listens "${_port%%/*}" "$WS_FRONT_PID" >/dev/null || true
    alive "$WS_FRONT_PID"
}

# fetch URL: print the page.
fetch()
{
    python3 -c 'import sys, urllib.request
sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1], timeout=60).read())' "$1"
}

# ---- the platform ----------------------------------------------------------------

# start_platform: a PocketBase with the platform's collections and a nats-server whose
# identities it makes (tests/tools/mini_platform.py): PLATFORM, its folder; PLATFORM_URL,
# PLATFORM_PORT, PLATFORM_PID, PLATFORM_LOG; NATS_URL and NATS_PORT; NATS_CREDS, with
# which `bus` may do anything.  There are a stream TELEMETRY and a bucket twin.
start_platform()
{
    PLATFORM=$WORK/platform
    PLATFORM_LOG=$WORK/platform.log
    for _program in pocketbase nats-server; do
        command -v $_program >/dev/null || die "there is no $_program: run tests/setup"
    done
    spawn "$PLATFORM_LOG" python3 "$TOP/tests/tools/mini_platform.py" serve "$PLATFORM"
    PLATFORM_PID=$SPAWNED
    wait_for 60 _platform_answers >/dev/null || true
    has_line "$PLATFORM_LOG" '^Listening' || die "the platform does not start"
    PLATFORM_URL=$(jq -r .url "$PLATFORM/platform.json")
    PLATFORM_PORT=${PLATFORM_URL##*:}
    NATS_URL=$(jq -r .nats_url "$PLATFORM/platform.json")
    NATS_PORT=${NATS_URL##*:}
    NATS_CREDS=$PLATFORM/admin.creds
}

_platform_answers()
{
    has_line "$PLATFORM_LOG" '^Listening' || _ended "$PLATFORM_PID"
}

# platform VERB [ARGUMENT...]: what the operator does (mini_platform.py has the list).
platform()
{
    python3 "$TOP/tests/tools/mini_platform.py" ctl "$PLATFORM" "$@"
}

# start_liar SCRIPT [CERTIFICATE KEY]: what no honest platform would answer
# (tests/tools/liar.py): LIAR_URL, LIAR_PID, LIAR_LOG (each request, as JSON).
start_liar()
{
    LIAR_LOG=$WORK/liar.log
    : >"$LIAR_LOG"
    spawn "$LIAR_LOG" python3 "$TOP/tests/tools/liar.py" "$@"
    LIAR_PID=$SPAWNED
    wait_for 20 has_line "$LIAR_LOG" '^Listening' || die "the liar does not start"
    LIAR_URL=http${2:+s}://127.0.0.1:$(sed -n 's/^Listening on //p' "$LIAR_LOG")
}

# liar FILTER: what jq makes of each request that the liar had.
liar()
{
    sed -n '/^{/p' "$LIAR_LOG" | jq -r "$1"
}

# authority NAME: a CA, in $WORK/NAME.pem and NAME.key.
authority()
{
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
        -subj "/CN=$1" -keyout "$WORK/$1.key" -out "$WORK/$1.pem" 2>>"$WORK/openssl.txt"
}

# certificate NAME CA SUBJECT_ALT_NAME [DAYS]: $WORK/NAME.pem and NAME.key.
certificate()
{
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
        -keyout "$WORK/$1.key" -out "$WORK/$1.csr" 2>>"$WORK/openssl.txt"
    echo "subjectAltName = $3" >"$WORK/$1.ext"
    openssl x509 -req -in "$WORK/$1.csr" -CA "$WORK/$2.pem" -CAkey "$WORK/$2.key" \
        -CAcreateserial -days "${4:-2}" -extfile "$WORK/$1.ext" -out "$WORK/$1.pem" \
        2>>"$WORK/openssl.txt"
}

# pin CERTIFICATE: the SHA-256 of its public key, in base64.
pin()
{
    openssl x509 -in "$1" -noout -pubkey | openssl pkey -pubin -outform DER |
        openssl dgst -sha256 -binary | base64
}

# start_front PORT: nginx before http://127.0.0.1:PORT, by HTTPS with certificates of
# $FRONT_CA: FRONT_GOOD; and with others: FRONT_SELF_SIGNED, FRONT_EXPIRED,
# FRONT_WRONG_NAME; FRONT_OLD speaks TLS 1.1 at most.  Each is a URL; FRONT_PIN the
# public key of the good one (front.pem).  FRONT_LOG has what it complained of.
start_front()
{
    command -v nginx >/dev/null || die "there is no nginx: run tests/setup"
    FRONT_LOG=$WORK/front.log
    FRONT_CA=$WORK/front-ca.pem
    _front_certificates front
    FRONT_PIN=$(pin "$WORK/front.pem")
    _turn=1
    until _try_front "$1"; do
        _turn=$((_turn + 1))
        [ $_turn -le 5 ] || die "nginx does not start"
    done
}

# _front NAME CERTIFICATE [PROTOCOLS]: one server of nginx's config; sets FRONT_NAME.
_front()
{
    _port=$(free_port)
    eval "FRONT_$1=https://127.0.0.1:$_port"
    cat <<END
    server {
        listen 127.0.0.1:$_port ssl;
        ssl_certificate $WORK/$2.pem;
        ssl_certificate_key $WORK/$2.key;
        ssl_protocols ${3:-TLSv1.2 TLSv1.3};
        ${3:+ssl_ciphers DEFAULT@SECLEVEL=0;}
        location / { proxy_pass http://127.0.0.1:$_backend; }
    }
END
}

_try_front()
{
    _backend=$1
    _folder=$WORK/front
    mkdir -p "$_folder"
    {
        echo "pid $_folder/pid; events { worker_connections 64; }"
        echo "http {"
        echo "    access_log off; server_tokens off; client_max_body_size 1m;"
        for _name in client_body proxy fastcgi uwsgi scgi; do
            echo "    ${_name}_temp_path $_folder/$_name;"
        done
        _front GOOD front
        _front SELF_SIGNED front-self-signed
        _front EXPIRED front-expired
        _front WRONG_NAME front-wrong-name
        _front OLD front TLSv1.1
        echo "}"
    } >"$_folder/nginx.conf"
    spawn "$FRONT_LOG" nginx -e stderr -p "$_folder" -c "$_folder/nginx.conf" \
        -g 'daemon off; master_process off;'
    FRONT_PID=$SPAWNED
    wait_for 10 _front_answers >/dev/null || true
    alive "$FRONT_PID" && _front_answers
}

_front_answers()
{
    _ended "$FRONT_PID" || curl -s -o "$WORK/.output" --cacert "$FRONT_CA" "$FRONT_GOOD/"
}

# ---- is anything lost? -----------------------------------------------------------

# busy_config COUNT: print a config that makes COUNT reports a second from the
# exporter at $EXPORTER_URL, goes to $AGENT_URL, and comes back fast.
busy_config()
{
    cat <<END
code: t1
nats:
  urls: ["$AGENT_URL"]${AGENT_TLS:+
  $AGENT_TLS}
  auth: {type: none}
  connect_spread: 0s
  reconnect_wait: 100ms
  reconnect_max: 500ms
tasks:
  heartbeat: {interval: 10s}
  exporters:
END
    _n=0
    while [ $_n -lt "$1" ]; do
        _n=$((_n + 1))
        echo "    - {name: e$_n, url: \"$EXPORTER_URL\", interval: 1s, timeout: 1s}"
    done
}

# start_quick_exporter: one whose page is small and costs little.
start_quick_exporter()
{
    start_exporter --collector.disable-defaults --collector.loadavg --web.disable-exporter-metrics
}

# spool SQL: ask the agent's spool; it may be running.
spool()
{
    sqlite3 -cmd '.timeout 5000' "$STATE/spool.db" "$1"
}

# spooled: how many reports wait in it.  spool_highest: the last number given.
spooled()
{
    spool 'SELECT count(*) FROM report'
}

spool_highest()
{
    spool "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'report'"
}

spool_holds()
{
    [ "$(spooled)" -ge "$1" ]
}

spool_is_below()
{
    [ "$(spooled)" -lt "$1" ]
}

# all_arrived STREAM: after a clean stop, the spool is empty and each number that
# it ever gave is in STREAM, once.
all_arrived()
{
    equal "the spool is empty" 0 "$(spooled)"
    _highest=$(spool_highest)
    _status=0
    _numbers=$(bus numbers "$1") || _status=$?
    note "$_numbers"
    equal "no number is missing and none is there twice" 0 "$_status"
    match "all $_highest accepted reports are in the stream" \
        "^t1-[^ ]+ count=$_highest lowest=1 highest=$_highest gaps=0 doubles=0\$" "$_numbers"
}

# no_stale_beat STREAM: each beat was stored within 2 s of its time (which is in
# whole seconds).
no_stale_beat()
{
    _stale=$(bus stream-dump "$1" --data | jq -c --argjson most $((2 * TIME_FACTOR)) '
        (.ts / 1000 - (.data | fromjson.ts | fromdateiso8601)) as $age
        | select($age < -0.1 or $age > $most) | {seq, age: $age, data}')
    equal "no beat in the stream is stale ($(bus stream-info "$1" | jq .messages) beats)" "" "$_stale"
}

# health FILTER: what jq makes of the agent's answer.
health()
{
    bus req agents.t1.cmd.health | jq -c "$1"
}
