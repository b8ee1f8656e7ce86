#!/bin/sh
# also: asan
. "${0%/*}/../lib.sh"
story "Who the agent is: token, user, NKey; refused with the reason, back when mended"

# A pair for tests only.
nkey_seed=SUAGC3DQPVBTDTLQP3MWJ5ZYBHYWE6LDWSSL7Y7XDFQR6ORFNSCY2KZRVE
private()
{
    printf '%s\n' "$2" >"$WORK/$1"
    chmod 600 "$WORK/$1"
}

# server AUTHORIZATION: (re)write its config; admin is the tests' own way in.
server()
{
    echo "authorization { $1 }" >"$WORK/nats.conf"
}

# agent_with AUTH: start the agent with that nats.auth.
agent_with()
{
    cat >"$WORK/agent.yaml" <<END
code: t1
nats:
  urls: ["$AGENT_URL"]
  auth: {$1}
  connect_spread: 0s
  reconnect_wait: 200ms
  reconnect_max: 500ms
END
    : >"$WORK/agent.log"
    start_agent "$WORK/agent.yaml"
}

answers()
{
    [ "$(bus req agents.t1.cmd.ping -t 1 2>/dev/null | jq -r .status)" = pong ]
}

# tell_story NAME SERVER-GOOD ADMIN-URL AUTH: works; then the server's side is
# changed and it does not; then it is changed back and it does.
tell_story()
{
    server "$2"
    start_nats config "$WORK/nats.conf"
    AGENT_URL=nats://127.0.0.1:$NATS_PORT
    NATS_URL=nats://$3@127.0.0.1:$NATS_PORT
    agent_with "$4"
    check "$1: it is let in" wait_for 10 answers
    stop_nats
    server "$5"
    start_nats config "$WORK/nats.conf" port "$NATS_PORT"
    check "$1: a wrong one is refused, and named" wait_for 10 agent_says ' error +link_auth_refused'
    check "$1: the agent goes on" alive "$AGENT_PID"
    stop_nats
    server "$2"
    start_nats config "$WORK/nats.conf" port "$NATS_PORT"
    NATS_URL=nats://$3@127.0.0.1:$NATS_PORT
    check "$1: it comes back when that is mended" wait_for 20 answers
    no_match "$1: the secret is in no log" "$6" "$(cat "$WORK/agent.log" "$WORK/nats.log")"
    no_match "$1: nor in its arguments or environment" "$6" \
        "$(tr '\0' '\n' <"/proc/$AGENT_PID/cmdline"; tr '\0' '\n' <"/proc/$AGENT_PID/environ")"
    stop_agent
    stop_nats
}

private token t0ken-of-mine
tell_story token 'token: "t0ken-of-mine"' t0ken-of-mine \
    "type: token, token_file: \"$WORK/token\"" 'token: "another"' t0ken-of-mine

private password pass-of-mine
tell_story userpass 'users: [{user: u1, password: "pass-of-mine"}]' u1:pass-of-mine \
    "type: userpass, username: u1, password_file: \"$WORK/password\"" \
    'users: [{user: u1, password: "another"}]' pass-of-mine
