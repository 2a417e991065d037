#!/usr/bin/env bash
# Follows job statuses over NATS: every status once, in order, also over restarts. Only reads. Needs bash, and speaks NATS's
# protocol itself; with the `nats` command line it is one line: nats sub 'ctrlplane.status.acme.>'
#
#   CTRLPLANE_NATS_URL=nats://127.0.0.1:4222 CTRLPLANE_NATS_USER=subscriber CTRLPLANE_NATS_PASSWORD=... \
#   subscribe.sh 'ctrlplane.status.acme.>' [STATE_FILE]
#
# Prints one JSON document per line. The state file keeps the sequence of the last one; without it everything that the stream
# keeps comes first.
set -u
export LC_ALL=C # lengths are in bytes
: "${CTRLPLANE_NATS_URL:?}" "${CTRLPLANE_NATS_USER:?}" "${CTRLPLANE_NATS_PASSWORD:?}" "${1:?usage: subscribe.sh SUBJECT [STATE_FILE]}"
subject=$1 state=${2:-} count=${SUBSCRIBE_COUNT:-0} last=0 told=0
[ -z "$state" ] || [ ! -s "$state" ] || last=$(cat "$state")
place=${CTRLPLANE_NATS_URL#nats://} && place=${place%/}
host=${place%:*} port=${place##*:}
[ "$port" != "$place" ] || port=4222
inbox=_INBOX_subscriber.$$.$RANDOM$RANDOM

send() { printf '%s\r\n' "$1" >&3; }

ask() {
    local body="{\"seq\":$((last + 1)),\"next_by_subj\":\"$subject\"}"
    send "PUB \$JS.API.DIRECT.GET.STATUS $inbox ${#body}"
    send "$body"
    asked=yes
}

# follow: until the connection is lost, or enough is told.
follow() {
    local line words size header head payload sequence moved waited
    { exec 3<> "/dev/tcp/$host/$port"; } 2> /dev/null || return
    IFS= read -r -t 5 line <&3 || return # INFO
    send "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\"user\":\"$CTRLPLANE_NATS_USER\",\"pass\":\"$CTRLPLANE_NATS_PASSWORD\",\"lang\":\"bash\",\"version\":\"1\"}"
    send "SUB $subject 1"
    send "SUB $inbox 2"
    ask
    while :; do
        waited=0
        IFS= read -r -t 5 line <&3 || waited=$?
        # Nothing for a while: look anyway, for what a lost message would have told.
        if [ $waited -gt 128 ] && [ -z "$line" ]; then ask; continue; fi
        [ $waited = 0 ] || return
        read -r -a words <<< "${line%$'\r'}"
        case ${words[0]:-} in
            PING) send PONG ;;
            -ERR) echo "${line%$'\r'}" >&2; return ;;
            MSG | HMSG)
                size=${words[-1]} header=0
                [ "${words[0]}" = MSG ] || header=${words[-2]}
                head='' payload=''
                [ "$header" = 0 ] || IFS= read -r -d '' -N "$header" head <&3 || return
                [ $((size - header)) = 0 ] || IFS= read -r -d '' -N $((size - header)) payload <&3 || return
                IFS= read -r line <&3 || return
                if [ "${words[2]}" = 1 ]; then
                    [ "$asked" = yes ] || ask
                    continue
                fi
                asked=no
                sequence=$(sed -n 's/^Nats-Sequence: \([0-9]*\).*/\1/p' <<< "$head")
                # Nothing more yet: the next news wakes us.
                [ -n "$sequence" ] || continue
                # The answer to a question that was asked again.
                [ "$sequence" -gt "$last" ] || continue
                last=$sequence
                # A job's last word where it stood before: the same news stands where it is now.
                moved=$(grep -c '^Ctrlplane-Moved-To:' <<< "$head")
                if [ "$moved" = 0 ]; then printf '%s\n' "$payload"; told=$((told + 1)); fi
                [ -z "$state" ] || printf '%s' "$last" > "$state"
                if [ "$count" != 0 ] && [ $told -ge "$count" ]; then return; fi
                ask
                ;;
        esac
    done
}

while :; do
    asked=no
    follow
    if [ "$count" != 0 ] && [ $told -ge "$count" ]; then exit 0; fi
    echo "connecting again" >&2
    sleep 1
done
