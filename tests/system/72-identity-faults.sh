#!/bin/sh
# Needs root (a small disk of its own, in a mount namespace).  What no honest platform answers,
# what sits between, disks, and kill -9 between each two steps.
. "${0%/*}/../lib.sh"
own_namespace --mount --propagation private
story "Identity: lies, full disks and kill -9 leave the old credentials whole, and it comes back"

start_platform
start_liar "$WORK/script.json"
start_front "$PLATFORM_PORT"
mkdir "$STATE" "$WORK/etc"
chmod 700 "$STATE" "$WORK/etc"
platform thing t1 >"$WORK/thing.json"
EMAIL=$(jq -r .email "$WORK/thing.json")
jq -r .password "$WORK/thing.json" >"$WORK/etc/password"
PASSWORD=$(cat "$WORK/etc/password")
chmod 600 "$WORK/etc/password"
things=/api/collections/things/

# config URL [LINES below platform]
config()
{
    cat >"$WORK/etc/agent.yaml" <<END
code: t1
nats: {urls: ["$NATS_URL"], auth: {type: platform}, connect_spread: 0s, reconnect_wait: 200ms, reconnect_max: 1s}
platform:
  url: "$1"
  identity: "$EMAIL"
  password_file: $WORK/etc/password
  ${2:-}
tasks: {system_metrics: {enabled: false}, inventory: {enabled: false}}
END
}

# visit [OPTION...]: one, by hand; prints its state.  A visit of 20 s at most.
visit()
{
    timeout 60 "$AGENT" bootstrap -c "$WORK/etc/agent.yaml" --json "$@" >"$WORK/result" 2>"$WORK/visit.log" || true
    cat "$WORK/visit.log" >>"$WORK/visits.log"
    jq -r .state "$WORK/result"
}

in_place()
{
    md5sum <"$STATE/nats.creds"
}

anew()
{
    find "$STATE" -mindepth 1 -delete
}

# ---- TLS

config "$FRONT_GOOD" "ca_file: $FRONT_CA"
equal "a good certificate" current "$(visit)"
good=$(in_place)
config "$FRONT_GOOD"
equal "an authority that nobody knows" untrusted "$(visit --force)"
match "is named, with the mend" 'authority' "$(jq -r .reason "$WORK/result")"
for name in SELF_SIGNED EXPIRED WRONG_NAME; do
    eval "url=\$FRONT_$name"
    config "$url" "ca_file: $FRONT_CA"
    equal "$name" untrusted "$(visit --force)"
done
config "$FRONT_OLD" "ca_file: $FRONT_CA"
match "TLS 1.1" '^(away|untrusted)$' "$(visit --force)"
config "$FRONT_GOOD" "{ca_file: x}"
printf 'code: t1\nnats: {urls: ["%s"], auth: {type: platform}}\nplatform: {url: "%s", identity: "%s", password_file: "%s", ca_file: "%s", tls_pin_sha256: "%s"}\n' \
    "$NATS_URL" "$FRONT_GOOD" "$EMAIL" "$WORK/etc/password" "$FRONT_CA" "$FRONT_PIN" >"$WORK/etc/agent.yaml"
equal "the right pin" current "$(visit --force)"
sed -i "s|tls_pin_sha256: .*|tls_pin_sha256: \"$(head -c 32 /dev/zero | base64)\"}|" "$WORK/etc/agent.yaml"
equal "another pin" untrusted "$(visit --force)"
equal "all the while the credentials are those that were there" "$good" "$(in_place)"
config "http://192.0.2.1"
match "http:// is refused at load" 'allow_insecure_url' \
    "$("$AGENT" check-config -c "$WORK/etc/agent.yaml" 2>&1 || true)"

# ---- lies

config "$LIAR_URL"
anew
real="{\"pass\": \"$PLATFORM_URL\"}"
# answers JSON: to the login; the rest is the platform's.
answers()
{
    jq -n --argjson login "$1" --argjson real "$real" \
        "{\"${things}auth-with-password\": \$login, \"*\": \$real}" >"$WORK/script.new"
    mv "$WORK/script.new" "$WORK/script.json"
}
answers "$real"
equal "the liar passes on what the platform says" current "$(visit --force)"
good=$(in_place)

# lie NAME STATE ANSWER
lie()
{
    answers "$3"
    began=$(date +%s)
    equal "$1" "$2" "$(visit --force)"
    in_time "in time" $((($(date +%s) - began) * 1000)) 50000
    equal "the old credentials are there" "$good" "$(in_place)"
    equal "and nothing beside them" "" "$(find "$STATE" -name '*.new*' -o -name '*tmp*')"
}

lie "429" limited '{"status": 429, "json": {"data": {}, "message": "Too Many Requests.", "status": 429}}'
lie "429 with Retry-After" limited '{"status": 429, "headers": {"Retry-After": "7"}, "body": ""}'
lie "502 and HTML" away '{"status": 502, "headers": {"Content-Type": "text/html"}, "body": "<html>bad gateway</html>"}'
lie "200 and HTML: a captive portal" away '{"headers": {"Content-Type": "text/html"}, "body": "<html>welcome</html>"}'
lie "200 and nothing" away '{"body": ""}'
lie "a body without end" away '{"body": "0123456789", "repeat": 10000000}'
lie "deep JSON" away '{"body": "[", "repeat": 100000}'
lie "JSON of another form" away '{"json": {"token": 5, "record": []}}'
lie "no record" away '{"json": {"token": "a.b.c"}}'
lie "a token that would be a header" away '{"json": {"token": "x\r\nX-Evil: 1", "record": {"code": "t1"}}}'
lie "cut off" away '{"json": {"token": "a.b.c", "record": {"code": "t1"}}, "truncate": 20}'
lie "no answer" away '{"drop": true}'
lie "404" "not offered" '{"status": 404, "json": {"data": {}, "message": "The requested resource wasn'"'"'t found.", "status": 404}}'
lie "a second factor" "not offered" '{"status": 401, "json": {"mfaId": "x"}}'
lie "a field that is too long" refused '{"status": 400, "json": {"data": {"identity": {"code": "x", "message": "y"}}, "message": "z", "status": 400}}'
lie "deactivated" deactivated '{"status": 403, "json": {"data": {}, "message": "The request doesn'"'"'t satisfy the collection requirements to authenticate.", "status": 403}}'
before=$(liar .n | wc -l)
lie "a redirect to another host" "not offered" \
    "{\"status\": 307, \"headers\": {\"Location\": \"$LIAR_URL/elsewhere\"}}"
equal "nobody followed it" 0 "$(liar .path | grep -c elsewhere || true)"
lie "another Thing's code" "wrong thing" "{\"pass\": \"$PLATFORM_URL\", \"set\": {\"record.code\": \"t2\"}}"
lie "two keys" "credentials bad" "{\"pass\": \"$PLATFORM_URL\", \"edit\": {\"record.expand.nats_user.creds_file\": [\"(?s)(.*)\", \"\\\\1\\\\1\"]}}"
lie "a NUL" away "{\"pass\": \"$PLATFORM_URL\", \"edit\": {\"record.expand.nats_user.creds_file\": [\"SEED\", \"\\u0000\"]}}"
lie "no seed" "credentials bad" "{\"pass\": \"$PLATFORM_URL\", \"edit\": {\"record.expand.nats_user.creds_file\": [\"SU[A-Z0-9]+\", \"\"]}}"
lie "a path in it" "credentials bad" "{\"pass\": \"$PLATFORM_URL\", \"set\": {\"record.expand.nats_user.creds_file\": \"../../etc/passwd\"}}"
lie "an id that is a path" "not provisioned" "{\"pass\": \"$PLATFORM_URL\", \"set\": {\"record.nats_user\": \"../../things\"}}"
mkdir "$WORK/other"
python3 "$TOP/tests/tools/identity.py" "$WORK/other"
jq -n --rawfile creds "$WORK/other/stranger.creds" --arg url "$PLATFORM_URL" \
    '{pass: $url, set: {"record.expand.nats_user.creds_file": $creds}}' >"$WORK/stranger.json"
lie "good ones that the bus does not know" "credentials refused" "$(cat "$WORK/stranger.json")"
match "are named" 'credentials refused|Authorization Violation' "$(jq -r .reason "$WORK/result")"
platform regenerate t1
answers "{\"pass\": \"$PLATFORM_URL\", \"edit\": {\"record.expand.nats_user.creds_file\": [\"\\n\", \" \\r\\n\"]}}"
equal "CRLF and blanks are no matter" current "$(visit --force)"
answers "$real"
equal "and the truth is current again" current "$(visit --force)"
equal "with the platform's credentials" "$(platform creds t1 | md5sum)" "$(in_place)"

# an expired one, by the platform itself
platform expire t1 -100 >/dev/null 2>&1 || platform expire t1 1
sleep 2
good=$(in_place)
match "what has expired is not taken" 'credentials (bad|refused)' "$(visit --force)"
equal "the old ones stay" "$good" "$(in_place)"
platform expire t1 0
equal "and come right" current "$(visit --force)"

# ---- a session that is over, and no password

asked_to_refresh()
{
    liar .path | grep -c auth-refresh || true
}
config "$LIAR_URL"
jq -n --argjson real "$real" "{\"${things}auth-refresh\": {\"status\": 401, \"json\": {\"data\": {},
    \"message\": \"The request requires valid record authorization token.\", \"status\": 401}},
    \"*\": \$real}" >"$WORK/script.new"
mv "$WORK/script.new" "$WORK/script.json"
mv "$WORK/etc/password" "$WORK/etc/put-away"
before=$(asked_to_refresh)
for turn in 1 2 3; do
    equal "over, and no password: $turn" "no password" "$(visit)"
done
equal "the platform was asked about it once" $((before + 1)) "$(asked_to_refresh)"
mv "$WORK/etc/put-away" "$WORK/etc/password"
equal "the password is back: a login" '["current",true]' \
    "$(visit >/dev/null; jq -c '[.state, .logged_in]' "$WORK/result")"
answers "$real"
token=$(jq -r .token "$STATE/platform-session.json")
sleep 1
jq -n --argjson real "$real" '{"/api/collections/things/auth-refresh": $real, "*": {"status": 502}}' \
    >"$WORK/script.new"
mv "$WORK/script.new" "$WORK/script.json"
equal "renewed, but the rest of the visit fails" away "$(visit --set nats.auth.creds_file="$STATE/other.creds")"
check_not "the renewed session is kept" test "$token" = "$(jq -r .token "$STATE/platform-session.json")"
answers "$real"
equal "and is good" '["current",false]' "$(visit >/dev/null; jq -c '[.state, .logged_in]' "$WORK/result")"

# ---- places

config "$PLATFORM_URL"
good=$(in_place)
mv "$STATE/nats.creds" "$WORK/etc/real.creds"
ln -s "$WORK/etc/real.creds" "$STATE/nats.creds"
platform regenerate t1
equal "a link in place of the file is not written through" files "$(visit)"
equal "what it led to is untouched" "$good" "$(md5sum <"$WORK/etc/real.creds")"
rm "$STATE/nats.creds"
equal "without it: made anew" current "$(visit)"
platform regenerate t1
good=$(in_place)
mkdir -m 777 "$WORK/open"
cp -p "$STATE/nats.creds" "$WORK/open/nats.creds"
equal "a directory that others can write in is refused" files \
    "$(visit --set "nats.auth.creds_file=$WORK/open/nats.creds")"
equal "the file in it is untouched" "$good" "$(md5sum <"$WORK/open/nats.creds")"

mkdir "$WORK/small"
mount -t tmpfs -o size=64k,mode=700 tmpfs "$WORK/small"
at_end 'umount "$WORK/small"'
cp -p "$STATE"/* "$WORK/small/"
dd if=/dev/zero of="$WORK/small/filler" bs=1k 2>/dev/null || true
equal "a full disk" files "$(STATE_DIRECTORY=$WORK/small visit)"
equal "leaves the old ones" "$good" "$(md5sum <"$WORK/small/nats.creds")"
equal "and no half of a file" "" "$(find "$WORK/small" -size 0 ! -name lock ! -name '*.lock')"
rm "$WORK/small/filler"
equal "room again: current" current "$(STATE_DIRECTORY=$WORK/small visit)"

# ---- kill -9 between each two steps

"${CC:-cc}" -shared -fPIC -o "$WORK/killat.so" "$TOP/tests/tools/killat.c"
# killed N [OPTION...]: a visit that kills itself before its N-th step.
killed()
{
    _at=$1
    shift
    KILL_AT=$_at KILL_UNDER=$STATE KILL_LOG=$WORK/steps LD_PRELOAD=$WORK/killat.so \
        timeout 60 "$AGENT" bootstrap -c "$WORK/etc/agent.yaml" "$@" >/dev/null 2>>"$WORK/visits.log"
}

# whole: both blocks, to the last line.
whole()
{
    [ ! -e "$STATE/nats.creds" ] ||
        [ "$(grep -c -e '-----BEGIN' -e '-----END' -e '------END' "$STATE/nats.creds")" = 4 ]
}

# let_in: the server takes them.
let_in()
{
    NATS_CREDS=$STATE/nats.creds bus pub agents.t1.x y
}

# each NAME VERB [OPTION...]: VERB, then a visit killed at each step in turn, until one is not;
# and at the next ones once more, KILLS times in all.
each()
{
    _name=$1 _verb=$2
    shift 2
    _step=0 _kills=0 _halves=0 _locked=0 _steps=0
    while :; do
        _step=$((_step + 1))
        platform "$_verb" t1
        [ "$_verb" != creds ] || anew
        if killed $_step "$@"; then
            _steps=${_steps:-0}
            [ "$_steps" -gt 0 ] || _steps=$_step
            [ $_kills -lt "${KILLS:-1}" ] || break
            _step=0
            continue
        fi
        _kills=$((_kills + 1))
        whole || _halves=$((_halves + 1))
        [ "$(visit)" = current ] && let_in || _locked=$((_locked + 1))
    done >/dev/null
    note "$_name: $_kills kills at $((_steps - 1)) steps"
    equal "$_name: no half-written file after any of them" 0 "$_halves"
    equal "$_name: never locked out" 0 "$_locked"
    check "$_name: there were steps" test $_kills -ge 8
}
platform rate-limit off
each "new JWT" regenerate
each "revoked" revoke
each "from nothing" creds

# ---- nothing secret was said

seeds=$(grep -h '^SU' "$STATE/nats.creds")
for secret in "$PASSWORD" "$seeds" "$(jq -r .token "$STATE/platform-session.json")"; do
    check_not "no secret was said" grep -qF -- "$secret" "$WORK/visits.log" "$WORK/result"
done
