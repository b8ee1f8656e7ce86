#!/bin/sh
# also: asan
. "${0%/*}/../lib.sh"
story "Who the agent is: token, user, NKey, creds; refused with the reason, back when mended"

# agent_with AUTH: start the agent with that nats.auth.
agent_with()
{
    cat >"$WORK/agent.yaml" <<END
code: t1
nats:
  urls: ["nats://127.0.0.1:$NATS_PORT"]
  auth: {$1}
  connect_spread: 0s
  reconnect_wait: 200ms
  reconnect_max: 500ms
END
    : >"$WORK/agent.log"
    start_agent "$WORK/agent.yaml"
}

# server TEXT: begin, or begin again, with that config.
server()
{
    echo "$1" >"$WORK/nats.conf"
    if [ -z "${NATS_PORT:-}" ]; then
        start_nats config "$WORK/nats.conf"
    else
        ! alive "$NATS_PID" || stop_nats
        start_nats config "$WORK/nats.conf" port "$NATS_PORT"
    fi
}

# answers OPTION...: we, who come in with those options, get an answer.
answers()
{
    [ "$(bus req agents.t1.cmd.ping -t 1 "$@" 2>/dev/null | jq -r .status)" = pong ]
}

no_trace()
{
    no_match "$1: the secret is in no log, argument or environment" "$2" "$(
        cat "$WORK/agent.log" "$WORK/nats.log"
        tr '\0' '\n' <"/proc/$AGENT_PID/cmdline"
        tr '\0' '\n' <"/proc/$AGENT_PID/environ")"
}

# tell NAME AUTH SERVER SECRET OPTION...: the agent comes with AUTH to SERVER, a
# config in which OTHER would be somebody else; the tests come in with OPTION....
tell()
{
    name=$1 auth=$2 good=$3 secret=$4
    shift 4
    server "authorization { $good }"
    agent_with "$auth"
    check "$name: it is let in" wait_for 10 answers "$@"
    server "authorization { $OTHER }"
    check "$name: a wrong one is refused, and named" wait_for 10 agent_says ' error +link_auth_refused'
    check "$name: the agent goes on" alive "$AGENT_PID"
    server "authorization { $good }"
    check "$name: it comes back when that is mended" wait_for 20 answers "$@"
    no_trace "$name" "$secret"
    stop_agent
}

umask 077
mkdir "$WORK/id"
SECONDS=$((8 * WAIT_FACTOR)) python3 "$TOP/tests/tools/identity.py" "$WORK/id"
expires=$(($(date +%s) + 8 * WAIT_FACTOR))

# ---- creds, which is what the platform issues

server "$(cat "$WORK/id/operator.conf")"
cp "$WORK/id/short.creds" "$WORK/agent.creds"
agent_with "type: creds, creds_file: \"$WORK/agent.creds\""
check "creds: it is let in" wait_for 10 answers --creds "$WORK/id/admin.creds"
secret=$(sed -n '/^SU/p' "$WORK/id/short.creds")
no_trace creds "$secret"
cp "$WORK/id/stranger.creds" "$WORK/agent.creds"
check "creds: they expire, and the log says so" wait_for 20 agent_says ' error +link_auth_expired'
compare "creds: not before their time" "$(date +%s)" -ge $((expires - 1))
check "creds: those of an unknown account are refused, and named" \
    wait_for 10 agent_says ' error +link_auth_refused'
cp "$WORK/id/user.creds" "$WORK/agent.creds"
check "creds: new ones are read by themselves, and it is back" \
    wait_for 20 answers --creds "$WORK/id/admin.creds"
no_trace "new creds" "$(sed -n '/^SU/p' "$WORK/id/user.creds")"
stop_agent

# ---- the others

echo t0ken-of-mine >"$WORK/token"
OTHER='token: somebody'
tell token "type: token, token_file: \"$WORK/token\"" 'token: "t0ken-of-mine"' t0ken-of-mine \
    -s "nats://t0ken-of-mine@127.0.0.1:$NATS_PORT"

admin='{user: admin, password: admin}'
echo pass-of-mine >"$WORK/password"
OTHER="users: [$admin, {user: u1, password: another}]"
tell userpass "type: userpass, username: u1, password_file: \"$WORK/password\"" \
    "users: [$admin, {user: u1, password: \"pass-of-mine\"}]" pass-of-mine \
    --user admin --password admin

OTHER="users: [$admin]"
tell nkey "type: nkey, nkey_file: \"$WORK/id/user.seed\"" \
    "users: [$admin, {nkey: $(cat "$WORK/id/user.public")}]" "$(cat "$WORK/id/user.seed")" \
    --user admin --password admin
