#!/bin/sh
# One message, what holds it, and two messages by one request: sh send.sh CONTACT_ID
set -eu
contact=$1
api=${WIREROOM_PUBLIC_URL:-http://127.0.0.1:8080}/api/workspaces/$WIREROOM_WORKSPACE

ask() { # curl waits and asks again where the answer is 429 or 503, as long as Retry-After says
    curl --silent --show-error --fail-with-body --retry 5 --header "Authorization: Bearer $WIREROOM_TOKEN" "$@"
}

# The same key is the same message, however often it is asked for.
sent=$(ask "$api/messages" --header 'Content-Type: application/json' --header "Idempotency-Key: order-7421:$contact" \
    --data '{"contactId": "'"$contact"'", "channel": "ONSITE", "subject": "It left", "body": "Your order is on its way."}')
message=$(echo "$sent" | grep -o 'msg_[0-9a-z]*' | head -n 1)
echo "$message"
ask "$api/messages/$message/why"
echo

# NDJSON: a message a line, each accepted or refused for itself.
ask "$api/messages/batch" --header 'Content-Type: application/x-ndjson' --data-binary @- <<END
{"contactId": "$contact", "channel": "ONSITE", "body": "One", "idempotencyKey": "order-7422:$contact"}
{"contactId": "$contact", "channel": "ONSITE", "body": "Two", "idempotencyKey": "order-7423:$contact"}
END
echo
