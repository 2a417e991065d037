#!/usr/bin/env python3
"""Follows job statuses over NATS: every status once, in order, also over restarts. Only reads.

    CTRLPLANE_NATS_URL=nats://127.0.0.1:4222 CTRLPLANE_NATS_USER=subscriber CTRLPLANE_NATS_PASSWORD=... \\
        subscribe.py 'ctrlplane.status.acme.>' [STATE_FILE]

Prints one JSON document per line. The state file keeps the sequence of the last one; without it everything that the
stream keeps comes first. Needs nats-py (pip install nats-py).
"""

import asyncio
import json
import os
import sys

import nats

DIRECT_GET = "$JS.API.DIRECT.GET.STATUS"
# News wakes us; what a lost connection swallowed is found by looking this often.
LOOK_AGAIN_SECONDS = 5


async def follow(subject, state):
    count = int(os.environ.get("SUBSCRIBE_COUNT", sys.maxsize))  # for tests: end after so many
    client = await nats.connect(
        os.environ["CTRLPLANE_NATS_URL"],
        user=os.environ["CTRLPLANE_NATS_USER"],
        password=os.environ["CTRLPLANE_NATS_PASSWORD"],
        inbox_prefix=b"_INBOX_subscriber",
        max_reconnect_attempts=-1,
    )
    last = 0
    if state and os.path.exists(state):
        with open(state, encoding="utf-8") as file:
            last = int(file.read())
    woken = asyncio.Event()

    async def wake(_message):
        woken.set()

    await client.subscribe(subject, cb=wake)
    told = 0
    while told < count:
        woken.clear()
        next_one = json.dumps({"seq": last + 1, "next_by_subj": subject}).encode()
        try:
            answer = await client.request(DIRECT_GET, next_one, timeout=5)
        except nats.errors.Error as error:
            # The connection comes back by itself; what was missed is read then.
            print(f"reading again: {error!r}", file=sys.stderr)
            await asyncio.sleep(1)
            continue
        headers = answer.headers or {}
        if "Nats-Sequence" not in headers:
            try:
                await asyncio.wait_for(woken.wait(), LOOK_AGAIN_SECONDS)
            except asyncio.TimeoutError:
                pass
            continue
        last = int(headers["Nats-Sequence"])
        # A job's last word where it stood before: the same news stands where it is now.
        if "Ctrlplane-Moved-To" not in headers:
            print(answer.data.decode(), flush=True)
            told += 1
        if state:
            with open(state, "w", encoding="utf-8") as file:
                file.write(str(last))
    await client.close()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: subscribe.py SUBJECT [STATE_FILE]")
    asyncio.run(follow(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None))
