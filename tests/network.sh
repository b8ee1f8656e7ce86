# What the stories of networks share, after tests/lib.sh: several agents beside one another,
# a second network namespace, names.  Needs `own_namespace --net`.
# shellcheck shell=sh disable=SC2034

# ---- agents ---------------------------------------------------------------------

# launch N URLS [LINE...]: an agent with the code tN, urls: [URLS], those lines in its
# nats: section, and REPORTS (2) reports a second.  Its state: $WORK/stateN, its log:
# $WORK/agentN.log.  Waits until it says that it has started.
launch()
{
    _name=$1
    _urls=$2
    shift 2
    {
        printf 'code: t%s\nnats:\n  urls: [%s]\n  auth: {type: none}\n' "$_name" "$_urls"
        printf '  connect_spread: 0s\n'
        [ -z "${AGENT_TLS:-}" ] || printf '  %s\n' "$AGENT_TLS"
        [ $# -eq 0 ] || printf '  %s\n' "$@"
        printf 'spool: {drain_spread: 0s}\ntasks:\n  heartbeat: {interval: 10s}\n  exporters:\n'
        _report=0
        while [ $_report -lt "${REPORTS:-2}" ]; do
            _report=$((_report + 1))
            printf '    - {name: e%s, url: "%s", interval: 1s, timeout: 1s}\n' \
                $_report "$EXPORTER_URL"
        done
    } >"$WORK/agent$_name.yaml"
    spawn "$WORK/agent$_name.log" env STATE_DIRECTORY="$WORK/state$_name" \
        RUNTIME_DIRECTORY="$WORK/run$_name" "$AGENT" run --config "$WORK/agent$_name.yaml"
    eval "pid$_name=\$SPAWNED"
    wait_for 20 has_line "$WORK/agent$_name.log" agent_ready || die "agent $_name does not start"
}

# pid N: of that agent.
pid()
{
    eval "echo \$pid$1"
}

# says N EXTENDED-REGULAR-EXPRESSION [COUNT]
says()
{
    _name=$1
    shift
    has_line "$WORK/agent$_name.log" "$@"
}

# connection N PORT: where agent N's connection to PORT begins, ADDRESS:PORT; nothing while
# there is none.
connection()
{
    ss -H -t -n -p state established dport = ":$2" | grep "pid=$(pid "$1")," | awk '{ print $3 }'
}

# is_elsewhere N PORT OLD: does agent N have no connection from OLD any more?
is_elsewhere()
{
    [ "$(connection "$1" "$2")" != "$3" ]
}

is_connected()
{
    [ -n "$(connection "$1" "$2")" ]
}

# health_of N FILTER
health_of()
{
    bus req -t 2 "agents.t$1.cmd.health" | jq -c "$2"
}

# is_up N: does it answer?
is_up()
{
    [ "$(health_of "$1" .nats.connected 2>&1)" = true ]
}

# now: milliseconds.
now()
{
    date +%s%3N
}

# end_agent N: stop it; nothing that it accepted is lost.  Of what was sent over a
# connection that died, the stream remembers the ids (--dedupe).
end_agent()
{
    STATUS=
    check "agent $1 stops in time" stop "$(pid "$1")" 20
    equal "agent $1 ends with status 0" 0 "$STATUS"
    STATE=$WORK/state$1
    equal "agent $1: its spool is empty" 0 "$(spooled)"
    _highest=$(spool_highest)
    match "agent $1: all $_highest reports are in the stream, once" \
        "^t$1-[^ ]+ count=$_highest lowest=1 highest=$_highest gaps=0 doubles=0\$" \
        "$(bus numbers REPORTS || true)"
    no_match "agent $1: the log has no error" ' error ' "$(cat "$WORK/agent$1.log")"
}

# ---- the other side -------------------------------------------------------------

# far_side: another network namespace, FAR (a PID in it).
far_side()
{
    spawn "$WORK/far.log" unshare --net sleep 1000
    FAR=$SPAWNED
    # shellcheck disable=SC2016 # later
    wait_for 10 eval '[ "$(readlink /proc/$FAR/ns/net)" != "$(readlink /proc/$$/ns/net)" ]'
    far ip link set lo up
}

# far COMMAND...: there.
far()
{
    nsenter --target "$FAR" --net -- "$@"
}

# cable NAME NETWORK: between NAME here, NETWORK.1, and NAME over there, NETWORK.2 (the
# first three numbers of an address).
cable()
{
    ip link add "$1" type veth peer name "$1" netns "$FAR"
    ip address add "$2.1/24" dev "$1"
    ip link set "$1" up
    far ip address add "$2.2/24" dev "$1"
    far ip link set "$1" up
}

# start_far_nats ADDRESS: a server over there, on the road of $ROAD: as start_nats.  `bus`
# asks it there, where nothing is ever cut.
start_far_nats()
{
    NATS_PORT=4222
    AGENT_PORT=
    [ "${ROAD:-tcp}" = tcp ] || AGENT_PORT=4443
    road "${ROAD:-tcp}" "$1" $NATS_PORT
    NATS_LOG=$WORK/nats.log
    NATS_URL=nats://$1:$NATS_PORT
    # shellcheck disable=SC2086 # words
    spawn "$NATS_LOG" nsenter --target "$FAR" --net -- nats-server -js -sd "$WORK/nats" \
        ${ROAD_CONFIG:+-c "$ROAD_CONFIG"} -a "$1" -p $NATS_PORT
    wait_for 20 has_line "$NATS_LOG" 'Server is ready' || die "nats-server does not start"
    bus()
    {
        far env NATS_URL="$NATS_URL" "$BUILD/tests/tools/bus" "$@"
    }
}

# ---- names ----------------------------------------------------------------------

# start_names: a name server of the story's own (tests/tools/names.py), which answers by the
# lines "NAME ADDRESS..." of $WORK/names; NAME alone: not at all.  Needs `own_namespace --net
# --mount`.  NAMES_LOG: each question.
start_names()
{
    NAMES_LOG=$WORK/names.log
    touch "$WORK/names"
    spawn "$NAMES_LOG" python3 "$TOP/tests/tools/names.py" 127.0.0.53 "$WORK/names"
    wait_for 20 has_line "$NAMES_LOG" '^Listening' || die "the name server does not start"
    echo 'nameserver 127.0.0.53' >"$WORK/resolv.conf"
    printf 'hosts: files dns\n' >"$WORK/nsswitch.conf"
    mount --bind "$WORK/resolv.conf" /etc/resolv.conf
    mount --bind "$WORK/nsswitch.conf" /etc/nsswitch.conf
}

# name NAME ADDRESS...: from now on; without addresses: no answer.
name()
{
    { grep -v "^$1\\( \\|\$\\)" "$WORK/names" || true; echo "$*"; } >"$WORK/names.new"
    mv "$WORK/names.new" "$WORK/names"
}
