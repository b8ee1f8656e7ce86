#!/bin/sh
# tinyproxy, microsocks, and TLS before the former.
. "${0%/*}/../lib.sh"
story "Through proxies: HTTP, HTTPS and SOCKS5, for every kind of URL and for the platform"

umask 077
# One server with all four roads: TLS as one likes at the clients' port, ws, and wss by nginx.
authority road-ca
certificate road road-ca IP:127.0.0.1,DNS:localhost
ws_port=$(free_port)
cat >"$WORK/nats.conf" <<END
websocket: {listen: "127.0.0.1:$ws_port", no_tls: true}
tls: {cert_file: "$WORK/road.pem", key_file: "$WORK/road.key"}, allow_non_tls: true
END
start_nats config "$WORK/nats.conf" road tcp
start_ws_front "$ws_port"
wss_port=${WS_FRONT_GOOD##*127.0.0.1:} wss_port=${wss_port%%/*}
cat "$WORK/road-ca.pem" "$WS_FRONT_CA" >"$WORK/both-ca.pem"
trust="tls: {ca_file: \"$WORK/both-ca.pem\"}"

# start_at URLS [LINE...]
start_at()
{
    _urls=$1
    shift
    agent_to "$_urls" "type: none" "connect_timeout: 2s" "$trust" "$@"
}

# refused TEXT EVENT [WORDS]: the log says that; the agent, which was started, ends.
refused()
{
    check "$1" wait_for 10 agent_says " (warn|error) +$2: .*${3:-}"
    note "$(grep -m 1 " link_" "$AGENT_LOG" | sed "s/^[^ ]* *//")"
    check_not "nobody gets through" answers
    stop "$AGENT_PID"
}

# seen LOG TEXT: how often a proxy's log has it.
seen()
{
    grep -Fc -e "$2" "$1" || true
}

# all_roads NAME LOG WORDS LINE: each kind of URL gets there, and the proxy's log says WORDS
# with the port.
all_roads()
{
    for url in "nats://localhost:$NATS_PORT" "tls://localhost:$NATS_PORT" "ws://localhost:$ws_port" \
        "wss://localhost:$wss_port/nats/"; do
        port=${url##*localhost:} port=${port%%/*}
        before=$(seen "$2" "$3:$port")
        start_at "\"$url\"" "$4"
        check "$1, ${url%%:*}: it answers" wait_for 10 answers
        compare "$1, ${url%%:*}: by the proxy" "$(seen "$2" "$3:$port")" -gt "$before"
        check "$1, ${url%%:*}: it stops" stop "$AGENT_PID"
    done
}

# ---- an HTTP proxy

start_tinyproxy
all_roads http "$TINYPROXY_LOG" "CONNECT localhost" "proxy: {url: \"$TINYPROXY_URL\"}"
match "the name of the server is in the handshake through it" '^localhost 101 ' "$(cat "$WS_FRONT_ACCESS")"

wrong=${WS_FRONT_WRONG_NAME#wss://127.0.0.1}
start_at "\"wss://localhost$wrong\", \"tls://localhost${wrong%/nats/}\"" "proxy: {url: \"$TINYPROXY_URL\"}"
check "behind it a certificate for another name" wait_for 10 agent_says ' error +link_tls_name: .*url=wss://'
stop "$AGENT_PID"
start_at "\"tls://localhost:$wss_port\"" "proxy: {url: \"$TINYPROXY_URL\"}"
refused "behind it a web server, by tls://" 'link_(silent|protocol|lost|captive_portal|ws_refused)'

# What stands in the environment, the file's word against it, exceptions of both.
HTTPS_PROXY=$TINYPROXY_URL
export HTTPS_PROXY
before=$(seen "$TINYPROXY_LOG" CONNECT)
start_at "\"wss://localhost:$wss_port/nats/\""
check "HTTPS_PROXY: it answers" wait_for 10 answers
compare "HTTPS_PROXY: by the proxy" "$(seen "$TINYPROXY_LOG" "CONNECT localhost")" -gt 0
compare "HTTPS_PROXY: now" "$(seen "$TINYPROXY_LOG" CONNECT)" -gt "$before"
stop "$AGENT_PID"

# directly TEXT LINE...
directly()
{
    _text=$1
    shift
    before=$(seen "$TINYPROXY_LOG" CONNECT)
    start_at "\"wss://localhost:$wss_port/nats/\", \"nats://127.0.0.1:$NATS_PORT\"" "$@"
    check "$_text: it answers" wait_for 10 answers
    equal "$_text: directly" "$before" "$(seen "$TINYPROXY_LOG" CONNECT)"
    stop "$AGENT_PID"
}
directly "nats.proxy.url: none" "proxy: {url: none}"
NO_PROXY=localhost,127.0.0.0/8
export NO_PROXY
directly "NO_PROXY"
unset HTTPS_PROXY
NO_PROXY='*'
directly "nats.proxy.except" "proxy: {url: \"$TINYPROXY_URL\", except: [localhost, 127.0.0.1]}"
unset NO_PROXY

start_at "\"wss://localhost:$wss_port/nats/\"" "proxy: {url: \"http://127.0.0.1:$(free_port)\"}"
refused "a proxy that is not there" link_proxy_down
start_at "\"wss://localhost:$wss_port/nats/\"" "proxy: {url: \"http://no-such-proxy.invalid:3128\"}"
refused "a proxy of no known name" link_proxy_name

# ---- one that wants a login, and lets nobody to the other ports

stop "$TINYPROXY_PID"
TINYPROXY_CONFIG="ConnectPort $wss_port
ConnectPort $ws_port"
start_tinyproxy proxy-user proxy-s3cret
echo proxy-s3cret >"$WORK/proxy-password"
echo wrong-s3cret >"$WORK/wrong-password"
login="url: \"$TINYPROXY_URL\", username: proxy-user, password_file: \"$WORK/proxy-password\""
start_at "\"wss://localhost:$wss_port/nats/\"" "proxy: {$login}"
check "a login from a file: it answers" wait_for 10 answers
no_match "the password is in no log, argument or environment" 'proxy-s3cret' "$(
    cat "$AGENT_LOG"
    tr '\0' '\n' <"/proc/$AGENT_PID/cmdline"
    tr '\0' '\n' <"/proc/$AGENT_PID/environ")"
stop "$AGENT_PID"
start_at "\"wss://localhost:$wss_port/nats/\"" "proxy: {$(echo "$login" | sed 's/proxy-password/wrong-password/')}"
refused "a wrong password" link_proxy_auth
start_at "\"ws://localhost:$ws_port\"" "proxy: {url: \"$TINYPROXY_URL\"}"
refused "no login" link_proxy_auth
start_at "\"nats://localhost:$NATS_PORT\", \"ws://localhost:$ws_port\"" "proxy: {$login}"
check "a port that it does not let through is named" wait_for 10 \
    agent_says " error +link_proxy_refused: .*url=nats://localhost:$NATS_PORT .*403"
check "and the next in the list reached" wait_for 10 answers
stop "$AGENT_PID"
HTTPS_PROXY=http://proxy-user:proxy-s3cret@127.0.0.1:$TINYPROXY_PORT
export HTTPS_PROXY
start_at "\"wss://localhost:$wss_port/nats/\""
unset HTTPS_PROXY
check "a login in HTTPS_PROXY: it answers" wait_for 10 answers
no_match "which the log does not show" 'proxy-s3cret' "$(cat "$AGENT_LOG")"
kill_hard "$TINYPROXY_PID"
check "the proxy dies: the log says that it is the proxy" wait_for 10 agent_says ' (warn|error) +link_proxy_down'
stop "$AGENT_PID"

# ---- an https:// proxy

TINYPROXY_CONFIG=
start_tinyproxy proxy-user proxy-s3cret
start_https_proxy
login="username: proxy-user, password_file: \"$WORK/proxy-password\""
all_roads https "$TINYPROXY_LOG" "CONNECT localhost" \
    "proxy: {url: \"$HTTPS_PROXY_URL\", $login, ca_file: \"$HTTPS_PROXY_CA\"}"
start_at "\"wss://localhost:$wss_port/nats/\"" "proxy: {url: \"$HTTPS_PROXY_URL\", $login}"
refused "an https proxy of an authority that nobody knows" link_proxy_tls
start_at "\"wss://localhost:$wss_port/nats/\"" \
    "proxy: {url: \"https://127.0.0.1:$ws_port\", $login, ca_file: \"$HTTPS_PROXY_CA\"}"
refused "an https proxy that speaks no TLS" link_proxy_tls

# ---- SOCKS5

start_socks socks-user socks-s3cret
echo socks-s3cret >"$WORK/socks-password"
login="username: socks-user, password_file: \"$WORK/socks-password\""
all_roads socks5h "$SOCKS_LOG" "connected to localhost" "proxy: {url: \"socks5h://$SOCKS_ADDRESS\", $login}"
start_at "\"wss://localhost:$wss_port/nats/\"" "proxy: {url: \"socks5://$SOCKS_ADDRESS\", $login}"
check "socks5: it answers" wait_for 10 answers
match "socks5: the name was looked up here" "connected to (127.0.0.1|::1):$wss_port" "$(cat "$SOCKS_LOG")"
stop "$AGENT_PID"
start_at "\"nats://localhost:$NATS_PORT\"" "proxy: {url: \"socks5h://$SOCKS_ADDRESS\", username: socks-user, password_file: \"$WORK/wrong-password\"}"
refused "a wrong password for SOCKS" link_proxy_auth
start_at "\"nats://localhost:$(free_port)\"" "proxy: {url: \"socks5h://$SOCKS_ADDRESS\", $login}"
refused "SOCKS, and nothing at the other end" 'link_(refused|proxy_refused)'
start_at "\"wss://localhost:$wss_port/nats/\"" "proxy: {url: \"socks5h://127.0.0.1:$NATS_PORT\"}"
refused "a SOCKS proxy that is none" 'link_proxy_(refused|down)'
start_at "\"wss://localhost:$wss_port/nats/\"" "proxy: {url: \"http://127.0.0.1:$NATS_PORT\"}"
refused "an HTTP proxy that is none" 'link_proxy_(refused|down)'
start_at "\"wss://localhost:$wss_port/nats/\"" "proxy: {url: \"socks5h://127.0.0.1:$TINYPROXY_PORT\"}"
refused "one that waits for more" link_timeout 'the proxy'
stop_nats

# ---- the platform

start_platform
platform thing t1 >"$WORK/thing.json"
mkdir "$WORK/etc"
jq -r .password "$WORK/thing.json" >"$WORK/etc/password"
cat >"$WORK/agent.yaml" <<END
code: t1
nats:
  urls: ["$NATS_URL"]
  auth: {type: platform}
  connect_spread: 0s
  reconnect_wait: 200ms
  proxy: {url: "$TINYPROXY_URL", username: proxy-user, password_file: $WORK/proxy-password}
platform: {url: "$PLATFORM_URL", identity: "$(jq -r .email "$WORK/thing.json")", password_file: $WORK/etc/password}
tasks: {system_metrics: {enabled: false}, inventory: {enabled: false}}
END
: >"$WORK/agent.log"
start_agent "$WORK/agent.yaml"
check "through the proxy to the platform, and with its credentials to the bus" wait_for 20 answers
compare "its log has the platform" "$(seen "$TINYPROXY_LOG" "CONNECT 127.0.0.1:$PLATFORM_PORT")" -ge 1
compare "and the bus" "$(seen "$TINYPROXY_LOG" "CONNECT 127.0.0.1:$NATS_PORT")" -ge 1
stop_agent
