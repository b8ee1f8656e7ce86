#!/bin/sh
# Only the platform that the stories after this one stand on: no agent in it.
. "${0%/*}/../lib.sh"
story "The platform in miniature does what the real one was seen to do"

umask 077
start_platform
secret=$(platform thing T1)
email=$(echo "$secret" | jq -r .email)
password=$(echo "$secret" | jq -r .password)
thing=$(echo "$secret" | jq -r .id)
user=$(echo "$secret" | jq -r .nats_user)
things=/api/collections/things
users=/api/collections/nats_users/records

# ask METHOD PATH [BODY]: STATUS, and $WORK/answer, with the session TOKEN if there is one.
ask()
{
    STATUS=$(curl -s -m 30 -o "$WORK/answer" -w '%{http_code}' -X "$1" \
        -H 'Content-Type: application/json' ${TOKEN:+-H "Authorization: $TOKEN"} \
        ${3:+--data-binary "$3"} "$PLATFORM_URL$2") || true
}

# found FILTER: what jq makes of the answer.
found()
{
    jq -c "$1" "$WORK/answer"
}

# login [PASSWORD [EMAIL [QUERY]]]
login()
{
    TOKEN=
    ask POST "$things/auth-with-password${3:-}" \
        "{\"identity\": \"${2:-$email}\", \"password\": \"${1:-$password}\"}"
    [ "$STATUS" != 200 ] || TOKEN=$(jq -r .token "$WORK/answer")
}

# refused TEXT STATUS MESSAGE: what PocketBase's errors look like.
refused()
{
    equal "$1: $2" "$2 {\"data\":{},\"message\":\"$3\",\"status\":$2}" \
        "$STATUS $(found '{data, message, status}')"
}

# let_in CREDS: by the server of the bus?
let_in()
{
    NATS_CREDS=$1 bus pub probe hello 2>"$WORK/refusal"
}

# seed CREDS: without showing it when something is not as it should be.
seed()
{
    sed -n '/^SU/p' "$1" | sha256sum
}

# ---- login

login "$password" "$email" '?expand=nats_user,nebula_host,location'
equal "login: 200" 200 "$STATUS"
equal "the record says which Thing it is" "\"T1\" \"$thing\" \"$email\" \"things\"" \
    "$(found .record.code,.record.id,.record.email,.record.collectionName | xargs -d '\n' echo)"
equal "the password and its like are hidden" '[false,false,false]' \
    "$(found '[.record | has("password", "tokenKey", "verified")]')"
equal "of three expansions only the Thing's own identity comes" '["nats_user"]' \
    "$(found '.record.expand | keys')"
equal "location, organization and type are bare ids" '["string","string","string"]' \
    "$(found '[.record.location, .record.organization, .record.type | type]')"
equal "the identity's secrets are hidden, its lists null, its expiry empty" \
    '[false,false,null,null,""]' "$(found '.record.expand.nats_user |
        [has("seed", "private_key"), .publish_permissions, .subscribe_permissions, .jwt_expires_at]')"
match "its revision is a date" '^"20[0-9-]{8} [0-9:]{8}\.[0-9]{3}Z"$' \
    "$(found .record.expand.nats_user.updated)"
jq -r .record.expand.nats_user.creds_file "$WORK/answer" >"$WORK/first.creds"
check "its creds file is let in by the bus" let_in "$WORK/first.creds"
claims=$(echo "$TOKEN" | cut -d. -f2 | tr '_-' '/+' | sed 's/$/==/' | base64 -d 2>/dev/null | jq -c .)
equal "the token is the Thing's, for a week" "[\"$thing\",\"auth\",true]" \
    "$(echo "$claims" | jq -c '[.id, .type, .refreshable]')"
compare "(it expires then)" "$(($(echo "$claims" | jq .exp) - $(date +%s)))" -ge 604700
token=$TOKEN

login wrong
refused "a wrong password" 400 'Failed to authenticate.'
wrong=$(found .)
login "$password" nobody@acme.thing.local
equal "an unknown email: the same answer" "$wrong" "$(found .)"
ask POST "$things/auth-with-password" "{\"identity\": \"$email\", \"password\": \"\"}"
equal "a blank password: 400, and which field" '400 ["password"]' "$STATUS $(found '.data | keys')"
ask POST "$things/auth-with-password" '{'
equal "a body that is none: 400" 400 "$STATUS"

# ---- session

curl -s -A another -o "$WORK/answer" -H 'Content-Type: application/json' \
    "$PLATFORM_URL$things/auth-with-password" --data-binary \
    "{\"identity\": \"$email\", \"password\": \"$password\"}"
equal "from another place: 200, its mail is sent nowhere" '"string"' "$(found '.token | type')"
TOKEN=$token
ask POST "$things/auth-refresh"
equal "refresh: 200 and a token" '200 "string"' "$STATUS $(found '.token | type')"
equal "nothing is expanded that was not asked for" false "$(found '.record | has("expand")')"
TOKEN="Bearer $token"
ask POST "$things/auth-refresh"
equal "with Bearer too" 200 "$STATUS"
TOKEN=$token
ask POST "$things/auth-refresh?fields=token"
equal "fields= acts on answers to a login too" '["token"]' "$(found keys)"
ask GET "$users/$user?fields=updated"
equal "one field of the identity" '200 ["updated"]' "$STATUS $(found keys)"
revision=$(found .updated)
TOKEN=
ask POST "$things/auth-refresh"
refused "refresh without a token" 401 \
    'The request requires valid record authorization token.'
TOKEN=rubbish
ask POST "$things/auth-refresh"
equal "with a token that is none: 401" 401 "$STATUS"
ask GET "$users/$user"
refused "its row with a token that is none" 404 "The requested resource wasn't found."
TOKEN=$token
other=$(platform thing T2)
ask GET "$users/$(echo "$other" | jq -r .nats_user)"
refused "another's row" 404 "The requested resource wasn't found."
ask GET "$things/records/$(echo "$other" | jq -r .id)"
refused "another Thing" 404 "The requested resource wasn't found."
ask GET "/api/collections/nowhere/records/x"
equal "a collection that is not there: 404" 404 "$STATUS"
ask GET /api/collections/nats_roles/records
equal "roles are not for Things: 403" 403 "$STATUS"
ask GET /api/client-config
equal "nor is client-config: 403" 403 "$STATUS"
ask PATCH "$things/records/$thing" '{"metadata": {"a": 1}}'
equal "a Thing cannot write its own row: 403" 403 "$STATUS"
platform metadata T1 '{"agent": {"location": "hall1"}}'
ask GET "$things/records/$thing?fields=metadata"
equal "but it reads what the operator wrote" '{"agent":{"location":"hall1"}}' "$(found .metadata)"

# ---- rotation on demand: a new JWT, the same key, the old one stays good

ask POST /api/me/nats-creds/rotate
equal "rotate: 200" "200 {\"rotated\":true,\"nats_user\":\"$user\"}" \
    "$STATUS $(found '{rotated, nats_user}')"
ask GET "$users/$user"
check_not "the revision has moved at once" [ "$(found .updated)" = "$revision" ]
jq -r .creds_file "$WORK/answer" >"$WORK/second.creds"
check_not "the creds are others" cmp -s "$WORK/first.creds" "$WORK/second.creds"
equal "of the same key" "$(seed "$WORK/first.creds")" "$(seed "$WORK/second.creds")"
check "the new ones are let in" let_in "$WORK/second.creds"
check "and the old ones still are" let_in "$WORK/first.creds"
TOKEN=
ask POST /api/me/nats-creds/rotate
equal "rotate without a session: 401" 401 "$STATUS"

# ---- the console's revoke: another key, the old one is dead at once

NATS_CREDS=$WORK/second.creds listen "$WORK/heard" probe
listener=$LISTENER
listen "$WORK/all" probe
bus pub probe before
check "a connection is there" wait_for 5 has_line "$WORK/heard" before
platform revoke T1
platform creds T1 >"$WORK/third.creds"
check_not "revoke: another key" [ "$(seed "$WORK/third.creds")" = "$(seed "$WORK/second.creds")" ]
check "the new creds are let in" let_in "$WORK/third.creds"
check_not "the old ones are not" let_in "$WORK/second.creds"
match "the server says why" '[Aa]uthorization' "$(cat "$WORK/refusal")"
check_not "not even the first" let_in "$WORK/first.creds"
bus pub probe after
check "(somebody else hears)" wait_for 5 has_line "$WORK/all" after
no_match "and the connection that was there has been ended" after "$(cat "$WORK/heard")"
stop "$listener"
stop "$LISTENER"

# ---- deactivated, and back

login
token=$TOKEN
platform deactivate T1
check_not "deactivated: the bus refuses it" let_in "$WORK/third.creds"
login
refused "login with the right password" 403 \
    "The request doesn't satisfy the collection requirements to authenticate."
login wrong
refused "with a wrong one, as ever" 400 'Failed to authenticate.'
TOKEN=$token
ask POST "$things/auth-refresh"
equal "the session is dead: 401" 401 "$STATUS"
ask GET "$users/$user"
equal "so is reading: 404" 404 "$STATUS"
platform activate T1
TOKEN=$token
ask POST "$things/auth-refresh"
equal "active again, the old session stays dead: 401" 401 "$STATUS"
check_not "the old creds too" let_in "$WORK/third.creds"
login
equal "the password brings it back" 200 "$STATUS"
platform creds T1 >"$WORK/fourth.creds"
equal "with the same key" "$(seed "$WORK/third.creds")" "$(seed "$WORK/fourth.creds")"
check "and a JWT that is let in" let_in "$WORK/fourth.creds"

# ---- expiry, roles, a session's end, a Thing without an identity

# over CREDS: is their time over?
over()
{
    ! let_in "$1"
}
platform expire T1 4
platform creds T1 >"$WORK/short.creds"
check "expire: let in until then" let_in "$WORK/short.creds"
check "and not longer" wait_for 10 over "$WORK/short.creds"
platform expire T1 0
platform lifetime 2
platform regenerate T1
platform creds T1 >"$WORK/short.creds"
check "lifetime: the same for each new one" wait_for 10 over "$WORK/short.creds"
platform lifetime 0
platform role T1 '{"pub": ["agents.T1.>", "_INBOX.>"], "sub": ["agents.T1.cmd.>", "_INBOX.>"]}'
platform creds T1 >"$WORK/narrow.creds"
NATS_CREDS=$WORK/narrow.creds listen "$WORK/heard" 'agents.T1.cmd.>'
stop "$LISTENER"
bus stream-info TELEMETRY >"$WORK/before"
NATS_CREDS=$WORK/narrow.creds bus pub agents.T1.telemetry.x yes
NATS_CREDS=$WORK/narrow.creds bus pub agents.T2.telemetry.x no || true
check "role: what it allows goes through" wait_for 5 has_messages TELEMETRY 1
equal "what it does not, does not" 1 "$(bus stream-info TELEMETRY | jq .messages)"

TOKEN=
login
token=$TOKEN
platform password T1 another-password
TOKEN=$token
ask POST "$things/auth-refresh"
equal "a new password: sessions end" 401 "$STATUS"
login
equal "the old one is no longer right" 400 "$STATUS"
login another-password
equal "the new one is" 200 "$STATUS"

bare=$(platform thing T3 --no-nats)
login "$(echo "$bare" | jq -r .password)" "$(echo "$bare" | jq -r .email)" '?expand=nats_user'
equal "not provisioned: logged in, with nothing" '200 ["",{}]' \
    "$STATUS $(found '[.record | .nats_user, .expand]')"
ask POST /api/me/nats-creds/rotate
refused "nothing to rotate" 404 'No NATS identity assigned yet.'
check "the operator gives it an identity" platform provision T3
platform nebula T3 'pki: {ca: x}'
ask POST "$things/auth-refresh?expand=nats_user,nebula_host"
equal "later it has both" '["nats_user","nebula_host"]' "$(found '.record.expand | keys')"
equal "the overlay's document is verbatim" '"pki: {ca: x}"' \
    "$(found .record.expand.nebula_host.config_yaml)"

# ---- servers that go and come

platform stop-nats
check_not "nats-server stopped" let_in "$WORK/narrow.creds"
platform revoke T1
platform start-nats
check_not "a revocation from that time holds" let_in "$WORK/narrow.creds"
platform creds T1 >"$WORK/fifth.creds"
check "what was issued then is let in" let_in "$WORK/fifth.creds"
equal "its stream is still there" 1 "$(bus stream-info TELEMETRY | jq .messages)"
platform calls --reset
platform stop-pocketbase
login another-password
equal "PocketBase stopped: no answer" 000 "$STATUS"
platform start-pocketbase
login another-password
equal "and back, with what it knew" 200 "$STATUS"
ask POST "$things/auth-refresh?fields=token"
ask POST "$things/auth-refresh"
equal "requests are counted" \
    "{\"POST $things/auth-refresh 200\":2,\"POST $things/auth-with-password 200\":1}" \
    "$(platform calls | jq -Sc .)"
match "with who asked" '"auth": "things", "agent": "curl/' "$(platform calls --each)"
platform rate-limit on
limited()
{
    login another-password
    [ "$STATUS" = 429 ]
}
check "the rate limit, when it is on" wait_for 20 limited
equal "429 has a text and no Retry-After" '"Too Many Requests."' "$(found .message)"

# ---- TLS before it

start_front "$PLATFORM_PORT"
# front URL: status of curl's try.
front()
{
    curl -s -m 10 --cacert "$FRONT_CA" -o "$WORK/answer" "$@" && echo 0 || echo $?
}
equal "TLS: the good one" 0 "$(front "$FRONT_GOOD/api/health")"
equal "its pin" 0 "$(front --pinnedpubkey "sha256//$FRONT_PIN" "$FRONT_GOOD/api/health")"
for bad in SELF_SIGNED EXPIRED WRONG_NAME; do
    eval "url=\$FRONT_$bad"
    equal "not to be trusted: $bad" 60 "$(front "$url/api/health")"
done
equal "an old protocol" 35 "$(front --tlsv1.2 "$FRONT_OLD/api/health")"

# ---- the liar

cat >"$WORK/script.json" <<END
{"$things/auth-with-password": {"pass": "$PLATFORM_URL", "set": {"record.code": "T9"},
     "edit": {"record.expand.nats_user.creds_file": ["\n", "\r\n"]}},
 "/turns": [{"status": 429, "headers": {"Retry-After": "7"}}, {"drop": true}, {"json": [1]}],
 "/deep": {"body": "[", "repeat": 100000},
 "/short": {"body": "0123456789", "truncate": 5},
 "/nul": {"body": "a\u0000b"},
 "/slow": {"body": "0123456789", "pace": 1},
 "/huge": {"play": "huge"},
 "/elsewhere": {"status": 307, "headers": {"Location": "http://127.0.0.1:1/"}},
 "*": {"status": 502, "headers": {"Content-Type": "text/html"}, "body": "<html>"}}
END
start_liar "$WORK/script.json"
platform rate-limit off

# lie PATH [SECONDS]: curl's own status, the server's, and how many bytes came.
lie()
{
    curl -s -m "${2:-20}" -o "$WORK/answer" -w '%{exitcode} %{http_code} %{size_download}' "$LIAR_URL$1" \
        -H 'Authorization: a-token' || true
}
equal "answers in turn: the first" "0 429 0" "$(lie /turns)"
equal "the second is none" "52 000 0" "$(lie /turns)"
equal "the third" "0 200 3" "$(lie /turns)"
equal "the last again" "0 200 3" "$(lie /turns)"
equal "one body many times" "0 200 100000" "$(lie /deep)"
equal "a part of what was announced" "18 200 5" "$(lie /short)"
equal "a NUL" "0 200 3" "$(lie /nul)"
match "a byte a second" '^28 200 [123]$' "$(lie /slow 2)"
match "a bad page of pages.py, without an end" '^28 200 [0-9]{5}' "$(lie /huge 2)"
equal "a redirect" "0 307 0" "$(lie /elsewhere)"
equal "anything else" "0 502 6" "$(lie /x?y=z)"
equal "each request is written down" '["GET","/x","y=z","a-token"]' \
    "$(liar '[.method, .path, .query, .headers.authorization] | tojson' | tail -n 1)"
curl -s -o "$WORK/answer" -H 'Content-Type: application/json' \
    --data-binary "{\"identity\": \"$email\", \"password\": \"another-password\"}" \
    "$LIAR_URL$things/auth-with-password?expand=nats_user"
equal "a true answer with something false in it" '["T9",true,"string"]' \
    "$(found '[.record.code, (.record.expand.nats_user.creds_file | contains("\r\n")), (.token | type)]')"
equal "and what was said to it" "another-password" "$(liar .body | tail -n 1 | jq -r .password)"

# ---- its end

platform stop-pocketbase
curl -s --cacert "$FRONT_CA" -o "$WORK/answer" "$FRONT_GOOD/api/health"
match "nothing behind the front: a web page" '502 Bad Gateway' "$(cat "$WORK/answer")"
platform start-pocketbase
children=$(platform pids | jq -r '.[]')
stop "$PLATFORM_PID"
for child in $children; do
    check_not "with the platform its servers end" alive "$child"
done
