"""Detector functions: each a process that answers Lambda's Invoke, with its frames in S3 and its state in DynamoDB.

One process is forked for each from one that has imported everything, before any thread runs: what is measured is warm.
A state that is larger than SMALL_STATE_BYTES is kept in S3 and only named in DynamoDB: from there on a write to S3 is
cheaper than one to DynamoDB, which is billed by the KB.
"""

import base64
import json
import os
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from typing import Any

import cv2
import msgspec

from benchmarks.architectures import stages
from benchmarks.architectures.emulator import clients
from benchmarks.architectures.outcome import Span

BUCKET, TABLE = "frames", "state"
SMALL_STATE_BYTES = 4096
READ_BYTES, WRITE_BYTES = 4096, 1024  # of one request unit of DynamoDB
AT_ONCE = 8  # objects that a function reads at the same time
INVOKE = "/2015-03-31/functions/{}/invocations"


def units(size_bytes: int, unit_bytes: int) -> int:
    """Request units of an item; of none, one."""
    return max(1, -(-size_bytes // unit_bytes))


def item_bytes(item: dict[str, Any]) -> int:
    """Size of an item as DynamoDB counts it: names and values of its attributes."""
    return sum(len(name) + len(value) for name, typed in item.items() for value in typed.values())


class Event(msgspec.Struct, frozen=True):
    """What a function is told of a second of a stream: where it lies. Keys in the bucket."""

    stream: str
    number: int
    pictures: list[str]
    sounds: str | None
    others: str | None
    last: bool
    decoded_s: list[float] = []


class Function:
    """Some detectors as a function: everything that it knows of a stream comes from outside, and goes back."""

    def __init__(self, name: str, ids: list[str], s3: Any, dynamodb: Any, sqs: Any, queue: str) -> None:
        self._name = name
        self._ids = ids
        self._s3, self._dynamodb, self._sqs, self._queue = s3, dynamodb, sqs, queue
        self._specs = stages.ranked(stages.profile().specs)
        self._pool: ThreadPoolExecutor | None = None

    def handle(self, event: Event) -> dict[str, Any]:
        """One second of a stream; the report that Lambda writes of it, and the spans of its work."""
        marks = [("", time.monotonic())]
        used_s = time.process_time()
        host = stages.Host(self._specs, self._ids)
        loaded, read_bytes = self._load(host, event)
        marks.append(("state", time.monotonic()))
        pictures, sounds, others = self._read(host, event)
        objects = len(pictures) + (sounds is not None) + (others is not None)
        rounds = {"state": loaded, "read": -(-objects // AT_ONCE), "results": 1}
        marks.append(("read", time.monotonic()))
        detect_s = time.thread_time()
        said = host.feed(pictures, sounds, others or ())
        held = host.finish() if event.last else []
        detect_s = time.thread_time() - detect_s
        marks.append(("detect", time.monotonic()))
        more, written_bytes = self._save(host, event)
        rounds["state"] += more
        marks.append(("state", time.monotonic()))
        body = {"number": event.number, "function": self._name, "last": event.last, "said": said, "held": held}
        text = base64.b64encode(msgspec.msgpack.encode(body)).decode()
        self._sqs.send_message(QueueUrl=self._queue, MessageBody=text)
        marks.append(("results", time.monotonic()))
        spans = [
            Span(stage, self._name, began_s, ended_s - began_s, event.number)
            for (_, began_s), (stage, ended_s) in pairwise(marks)
        ]
        return {
            "cpu_s": time.process_time() - used_s,
            "working_s": detect_s,
            "rounds": rounds,
            "read_units": units(read_bytes, READ_BYTES),
            "write_units": units(written_bytes, WRITE_BYTES),
            "spans": msgspec.to_builtins(spans),
        }

    def _key(self, event: Event) -> dict[str, Any]:
        return {"id": {"S": f"{event.stream}/{self._name}"}}

    def _load(self, host: stages.Host, event: Event) -> tuple[int, int]:
        """Take up the state; rounds of requests that it took, and bytes of the item."""
        found = self._dynamodb.get_item(TableName=TABLE, Key=self._key(event), ConsistentRead=True).get("Item")
        if found is None:
            return 1, 0
        if int(found["number"]["N"]) != event.number - 1:
            raise ValueError(f"{self._name}: the state is of second {found['number']['N']}, not {event.number - 1}")
        packed = found["state"]["B"] if "state" in found else self._get(found["key"]["S"])
        host.resume(zlib.decompress(packed))
        return (1, item_bytes(found)) if "state" in found else (2, item_bytes(found))

    def _save(self, host: stages.Host, event: Event) -> tuple[int, int]:
        packed = zlib.compress(host.state(), 1)
        item = {**self._key(event), "number": {"N": str(event.number)}}
        large = len(packed) > SMALL_STATE_BYTES
        if large:
            key = f"state/{event.stream}/{self._name}/{event.number % 2}"
            self._s3.put_object(Bucket=BUCKET, Key=key, Body=packed)
            item["key"] = {"S": key}
        else:
            item["state"] = {"B": packed}
        self._dynamodb.put_item(TableName=TABLE, Item=item)
        return 2 if large else 1, item_bytes(item)

    def _read(self, host: stages.Host, event: Event) -> tuple[list[bytes], bytes | None, list[tuple[int, Any]] | None]:
        wants_pictures, wants_sounds = "video" in host.wants, "audio" in host.wants and event.sounds
        keys = [*(event.pictures if wants_pictures else ())]
        keys += [event.sounds] if wants_sounds and event.sounds else []
        keys += [event.others] if host.wants_others and event.others else []
        if len(keys) > 1:
            self._pool = self._pool or ThreadPoolExecutor(AT_ONCE)
            found = list(self._pool.map(self._get, keys))
        else:
            found = [self._get(key) for key in keys]
        others = stages.read_others(found.pop()) if host.wants_others and event.others else None
        sounds = found.pop() if wants_sounds else None
        return found, sounds, others

    def _get(self, key: str) -> bytes:
        data: bytes = self._s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return data


def serve(functions: dict[str, list[str]], endpoint: str, queue: str) -> dict[str, Any]:
    """All functions, a process each, until stdin ends; first prints their ports and pids."""
    cv2.setNumThreads(1)
    watched, held = os.pipe()  # ends with this process: functions that outlive it would answer nobody
    s3, dynamodb, sqs = clients(endpoint, "s3", "dynamodb", "sqs")
    ports, pids = {}, {}
    for name, ids in functions.items():
        server = HTTPServer(("127.0.0.1", 0), _handler(Function(name, ids, s3, dynamodb, sqs, queue)))
        pid = os.fork()
        if pid == 0:
            os.close(held)
            threading.Thread(target=_end_with, args=(watched,), daemon=True).start()
            server.serve_forever()
        ports[name], pids[name] = server.server_port, pid
        server.socket.close()
    print(json.dumps({"ports": ports, "pids": pids}), flush=True)
    sys.stdin.read()
    os.close(held)
    for pid in pids.values():
        os.waitpid(pid, 0)
    return {}


def _end_with(watched: int) -> None:
    os.read(watched, 1)
    os._exit(0)


def _handler(function: Function) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                report, failed = function.handle(msgspec.json.decode(body, type=Event)), False
            except Exception as error:  # noqa: BLE001  (as Lambda: a failed invocation is an answer)
                report, failed = {"errorType": type(error).__name__, "errorMessage": str(error)}, True
            answer = json.dumps(report).encode()
            self.send_response(200)
            if failed:
                self.send_header("X-Amz-Function-Error", "Unhandled")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    return Handler
