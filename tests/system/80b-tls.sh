#!/bin/sh
# nginx makes TLS of wss://, nats-server that of tls://.
. "${0%/*}/../lib.sh"
story "TLS of tls:// and wss://: what is wrong with a server is named, pins, versions, TLS first"

# start_at URLS [LINE...]
start_at()
{
    _urls=$1
    shift
    agent_to "$_urls" "type: none" "connect_timeout: 2s" "$@"
}

# named URL EVENT REASON: does the log say that of that URL?
named()
{
    agent_says " error +$2: .*url=$1 .*$3"
}

start_nats road ws
start_ws_front "$AGENT_PORT"

# ---- one list, of which only the last is as it must be

start_at "\"$WS_FRONT_SELF_SIGNED\", \"$WS_FRONT_EXPIRED\", \"$WS_FRONT_WRONG_NAME\",
    \"$WS_FRONT_WRONG_PURPOSE\", \"$WS_FRONT_OLD\", \"ws${WS_FRONT_GOOD#wss}\", \"wss${AGENT_URL#ws}\",
    \"$WS_FRONT_GOOD\"" "tls: {ca_file: \"$WS_FRONT_CA\"}"
check "wss, seven bad ones in the list: the eighth is reached" wait_for 30 up "$WS_FRONT_GOOD"
check "self-signed" named "$WS_FRONT_SELF_SIGNED" link_tls_authority self.signed
check "expired" named "$WS_FRONT_EXPIRED" link_tls_expired expired
check "for another name" named "$WS_FRONT_WRONG_NAME" link_tls_name mismatch
check "made for a client" named "$WS_FRONT_WRONG_PURPOSE" link_tls_purpose purpose
check "TLS 1.1 only" named "$WS_FRONT_OLD" link_tls_version .
check "ws:// to a TLS port: what it answers is quoted" \
    named "ws${WS_FRONT_GOOD#wss}" link_ws_refused 400
check "wss:// to a port without TLS" named "wss${AGENT_URL#ws}" link_tls_not_spoken .
stop "$AGENT_PID"

start_at "\"$WS_FRONT_GOOD\"" "tls: {}"
check "an authority that only we know" wait_for 10 agent_says ' error +link_tls_authority'
stop "$AGENT_PID"

# ---- versions and pins

start_at "\"$WS_FRONT_MIDDLE\"" "tls: {ca_file: \"$WS_FRONT_CA\", min_version: \"1.3\"}"
check "TLS 1.2 where 1.3 is the least" wait_for 10 agent_says ' error +link_tls_version'
sed -i 's/min_version: "1.3"/min_version: "1.2"/' "$WORK/agent.yaml"
kill -HUP "$AGENT_PID"
check "and where 1.2 is" wait_for 10 up "$WS_FRONT_MIDDLE"
stop "$AGENT_PID"

other=$(head -c 32 /dev/zero | base64)
start_at "\"$WS_FRONT_GOOD\"" "tls: {ca_file: \"$WS_FRONT_CA\", pin_sha256: \"$other\"}"
check "another key than the pinned one" wait_for 10 agent_says ' error +link_tls_pin'
sed -i "s|pin_sha256: .*|pin_sha256: \"$other $WS_FRONT_PIN\"}|" "$WORK/agent.yaml"
kill -HUP "$AGENT_PID"
check "one of two pins: connected" wait_for 10 up "$WS_FRONT_GOOD"
stop "$AGENT_PID"
start_at "\"$WS_FRONT_EXPIRED\"" \
    "tls: {ca_file: \"$WS_FRONT_CA\", pin_sha256: \"$(pin "$WORK/ws-front-expired.pem")\"}"
check "the right pin does not make an expired certificate good" wait_for 10 agent_says ' error +link_tls_expired'
stop "$AGENT_PID"

# ---- tls://, which nats.c speaks

# tls_server NAME CERTIFICATE [OPTION]: TLS_NAME is its URL.
tls_server()
{
    _port=$(free_port)
    start_another "$1" "listen: \"127.0.0.1:$_port\"
tls { cert_file: \"$WORK/$2.pem\", key_file: \"$WORK/$2.key\" $3 }"
    eval "TLS_$1=tls://127.0.0.1:$_port"
}
tls_server self_signed ws-front-self-signed ''
tls_server expired ws-front-expired ''
tls_server wrong_name ws-front-wrong-name ''
tls_server purpose ws-front-wrong-purpose ''
tls_server first ws-front ', handshake_first: true'
tls_server good ws-front ''
start_at "\"$TLS_self_signed\", \"$TLS_expired\", \"$TLS_wrong_name\", \"$TLS_purpose\", \"$TLS_first\",
    \"tls://127.0.0.1:$NATS_PORT\", \"$TLS_good\"" "tls: {ca_file: \"$WS_FRONT_CA\", pin_sha256: \"$WS_FRONT_PIN\"}"
check "tls, six bad ones in the list: the seventh, of the right pin, is reached" wait_for 30 up "$TLS_good"
check "self-signed" named "$TLS_self_signed" link_tls_authority self.signed
check "expired" named "$TLS_expired" link_tls_expired expired
check "for another name" named "$TLS_wrong_name" link_tls_name mismatch
check "made for a client" named "$TLS_purpose" link_tls_purpose purpose
check "TLS before the first line" agent_says " link_(silent|lost): .*url=$TLS_first .*"
check "no TLS" named "tls://127.0.0.1:$NATS_PORT" link_tls_not_spoken .
stop "$AGENT_PID"
# Who opens this file waits for ever.
mkfifo "$WORK/system.pem"
export SSL_CERT_FILE="$WORK/system.pem"
start_at "\"$TLS_good\"" "tls: {ca_file: \"$WS_FRONT_CA\"}"
check "with a CA file the system's authorities are not read" wait_for 10 up "$TLS_good"
unset SSL_CERT_FILE
stop_agent
start_at "\"$TLS_good\"" "tls: {ca_file: \"$WS_FRONT_CA\", pin_sha256: \"$other\"}"
check "another key than the pinned one" wait_for 10 agent_says ' error +link_tls_pin'
stop "$AGENT_PID"

# No TLS of nats-server's is old; nginx speaks no NATS, but that comes later.
middle=${WS_FRONT_MIDDLE#wss} middle=tls${middle%/nats/}
start_at "\"$middle\", \"$TLS_first\"" \
    "tls: {ca_file: \"$WS_FRONT_CA\", handshake_first: true, min_version: \"1.3\"}"
check "TLS first, the server speaks 1.2, where 1.3 is the least" wait_for 10 named "$middle" link_tls_version .
check "TLS first: connected" wait_for 10 up "$TLS_first"
NATS_URL=nats://127.0.0.1:$NATS_PORT
stop_agent
