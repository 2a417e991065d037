#!/usr/bin/env python3
"""A job agent in Python, with the standard library only: claims one job after another and works on each.

    CTRLPLANE_PULL_URL=http://127.0.0.1:8087/api/v1/workspaces/acme/job-agents/runner \
    CTRLPLANE_PULL_KEY=... puller.py

Put your work into `work`. PULL_ONCE=1 ends after one job.
"""

import json
import os
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid

URL = os.environ["CTRLPLANE_PULL_URL"]
KEY = os.environ["CTRLPLANE_PULL_KEY"]
LEASE_SECONDS = int(os.environ.get("PULL_LEASE_SECONDS", "60"))


class NotOurs(Exception):
    """The claim has ended: stop working on the job, somebody else may have it."""


class Cancelled(Exception):
    """Somebody wishes the job to end."""


def call(method, path, body):
    """The status and the answer. What may pass is waited out: every request can be sent again."""
    data = json.dumps(body).encode()
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    while True:
        request = urllib.request.Request(URL + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=90) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            if error.code < 500:
                return error.code, json.loads(error.read())
        except (urllib.error.URLError, OSError) as error:
            print(f"trying again: {error}", file=sys.stderr)
        time.sleep(1)


class Job:
    """A claimed job. A thread gives signs of life until it is over."""

    def __init__(self, claim):
        self.id = claim["job"]["id"]
        self.fence = claim["fence"]
        self.config = claim["config"]  # with its secrets: do not log it
        self.context = claim["dispatchContext"]
        self.lost = threading.Event()
        self.cancelled = threading.Event()
        self.done = threading.Event()
        self.beats = threading.Thread(target=self._beat, daemon=True)
        self.beats.start()

    def _beat(self):
        while not self.done.wait(LEASE_SECONDS / 3):
            status, answer = call("POST", f"/jobs/{self.id}/heartbeat", {"fence": self.fence})
            if status != 200:
                self.lost.set()
                return
            if answer["cancel"]:
                self.cancelled.set()

    def report(self, status, **words):
        """Tells how the job stands; raises when it is not to go on."""
        body = {"fence": self.fence, "status": status, **words}
        code, answer = call("PUT", f"/jobs/{self.id}/status", body)
        if code == 409:
            raise NotOurs(answer["detail"])
        if code != 200:
            raise RuntimeError(answer)
        if status == "inProgress" and (answer["cancel"] or self.cancelled.is_set()):
            raise Cancelled

    def check(self):
        """To be called now and then during long work."""
        if self.lost.is_set():
            raise NotOurs
        if self.cancelled.is_set():
            raise Cancelled


def work(job):
    """What this agent does: here, it only counts."""
    steps = int(job.config.get("steps", 3))
    for step in range(1, steps + 1):
        job.check()
        job.report("inProgress", progress=f"{step}/{steps}", message="working")
    return "all steps done"


def run(claim):
    job = Job(claim)
    try:
        end, message = "successful", work(job)
    except Cancelled:
        end, message = "cancelled", "stopped as wished"
    except NotOurs as why:
        print(f"{job.id} is not ours any more: {why}", file=sys.stderr)
        return
    except Exception as error:  # whatever went wrong is the job's end, and people should read it
        end, message = "failure", str(error)
    finally:
        job.done.set()
    try:
        job.report(end, message=message)
        print(f"{job.id} {end}")
    except NotOurs as why:
        print(f"{job.id} is not ours any more: {why}", file=sys.stderr)


def main():
    me = f"{socket.gethostname()}-{os.getpid()}"
    while True:
        # The id makes the claim ours even if its answer is lost.
        body = {"by": me, "claimId": str(uuid.uuid4()), "leaseSeconds": LEASE_SECONDS, "waitSeconds": 30}
        status, answer = call("POST", "/claim", body)
        if status == 200:
            run(answer)
        elif status != 204:
            sys.exit(answer["detail"])
        if status == 200 and os.environ.get("PULL_ONCE"):
            return


if __name__ == "__main__":
    main()
