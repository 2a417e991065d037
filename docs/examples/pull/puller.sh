#!/bin/sh
# A job agent in a shell: claims one job after another and runs a command for each. Needs curl.
#
#   CTRLPLANE_PULL_URL=http://127.0.0.1:8087/api/v1/workspaces/acme/job-agents/runner \
#   CTRLPLANE_PULL_KEY=... puller.sh ./deploy.sh
#
# The command gets the claim (JSON) on its standard input, secrets included, and writes where this script writes. Its exit
# code is the job's end: 0 is success.
# It is ended when somebody wishes the job to end, or when the claim is lost. PULL_ONCE=1 ends after one job.
set -u
: "${CTRLPLANE_PULL_URL:?}" "${CTRLPLANE_PULL_KEY:?}" "${1:?usage: puller.sh COMMAND}"
lease=${PULL_LEASE_SECONDS:-60}
dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT
# The key stands in a file, not on a command line that others can see.
printf 'header = "Authorization: Bearer %s"\n' "$CTRLPLANE_PULL_KEY" > "$dir/auth" && chmod 600 "$dir/auth"

# call METHOD PATH BODY: the status; headers and body are in files. Waits out what may pass.
call() {
    while :; do
        status=$(curl -sS -K "$dir/auth" -X "$1" -D "$dir/headers" -o "$dir/body" -w '%{http_code}' \
            -H 'content-type: application/json' --data "$3" "$CTRLPLANE_PULL_URL$2") || status=000
        case $status in
            000 | 5??) sleep 1 ;;
            *) return ;;
        esac
    done
}

header() {
    tr -d '\r' < "$dir/headers" | sed -n "s/^$1: //p"
}

while :; do
    # The id makes the claim ours even if its answer is lost.
    id=$(od -An -N12 -tx1 /dev/urandom | tr -d " \n")
    call POST /claim "{\"by\":\"$(uname -n)-$$\",\"claimId\":\"$id\",\"leaseSeconds\":$lease,\"waitSeconds\":30}"
    case $status in
        200) ;;
        204) continue ;;
        *) cat "$dir/body" >&2; exit 1 ;;
    esac
    job=$(header ctrlplane-job) fence=$(header ctrlplane-fence)
    mv "$dir/body" "$dir/claim"
    "$@" < "$dir/claim" &
    command=$! held=yes cancelled=no since=$(date +%s)
    while kill -0 "$command" 2> /dev/null; do
        sleep 1
        [ $(($(date +%s) - since)) -ge $((lease / 3)) ] || continue
        since=$(date +%s)
        call POST "/jobs/$job/heartbeat" "{\"fence\":$fence}"
        if [ "$status" != 200 ]; then held=no; elif [ "$(header ctrlplane-cancel)" = true ]; then cancelled=yes; else continue; fi
        kill "$command" 2> /dev/null
        break
    done
    wait "$command"
    code=$?
    rm -f "$dir/claim"
    if [ $held = yes ]; then
        if [ $code = 0 ]; then end=successful; elif [ $cancelled = yes ]; then end=cancelled; else end=failure; fi
        call PUT "/jobs/$job/status" "{\"fence\":$fence,\"status\":\"$end\",\"message\":\"exit code $code\"}"
        echo "$job $end ($status)"
    else
        echo "$job is not ours any more" >&2
    fi
    [ -z "${PULL_ONCE:-}" ] || exit 0
done
