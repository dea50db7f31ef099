"""The serverless way: frames in S3, a state machine for each second of a stream, a function per detector.

A media converter writes frames, sound and packets of each second to S3 and starts an execution. Its state machine runs
all functions at once; each reads what it needs from S3, keeps its state in DynamoDB and sends what it found to SQS.
An aggregator takes it from there, judges, and publishes alerts to SNS. All services are HTTP APIs on this machine. The
executions are driven here, by the rules of the language, in place of AWS Step Functions; all that a customer would
deploy runs in processes of its own, and only their CPU counts.

What is done in its favour: functions are always warm and read AT_ONCE objects at the same time; each second's state
is read and written once; two transitions of the machine's start and end are not counted; nothing is ever retried;
what the objects take of storage until they are deleted, logs and deliveries of alerts cost nothing.
"""

import base64
import http.client
import json
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from typing import Any

import msgspec

from benchmarks.architectures import asl, stages
from benchmarks.architectures.emulator import clients
from benchmarks.architectures.functions import BUCKET, INVOKE, TABLE, Event
from benchmarks.architectures.outcome import Call, Meter, Outcome, Span, of_process, peak_bytes
from benchmarks.architectures.wire import RAW
from benchmarks.measure import ROOT, Child, command
from vqa_ray.core.reading import Input

HERE = "benchmarks.architectures"
BATCH_S = 1.0
AHEAD = 2  # seconds that the converter may be ahead
UPLOADS = 8  # at the same time
ROLE = "arn:aws:iam::123456789012:role/steps"
TOPIC, QUEUE, MACHINE = "alerts", "results", "second"
RETRY = [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 1, "MaxAttempts": 2, "BackoffRate": 2.0}]


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """form: of pictures (raw, jpeg, small); together: a second of them is one object; grouped: a function for all
    detectors that read the same, rather than one for each."""

    name: str
    form: str = RAW
    together: bool = False
    grouped: bool = False


def functions_of(variant: Variant) -> dict[str, list[str]]:
    """Detectors by function."""
    specs = stages.ranked(stages.profile().specs)
    if not variant.grouped:
        return {spec.id: [spec.id] for spec in specs}
    groups: dict[str, list[str]] = {}
    for spec in specs:
        name = "picture" if Input.VIDEO in spec.inputs else "sound" if Input.AUDIO in spec.inputs else "packets"
        groups.setdefault(name, []).append(spec.id)
    return groups


def machine(functions: list[str]) -> dict[str, Any]:
    """The state machine of one second: all functions at once. 1 + len(functions) transitions."""
    return {
        "StartAt": "Detect",
        "States": {
            "Detect": {
                "Type": "Parallel",
                "Branches": [{"StartAt": name, "States": {name: _task(name)}} for name in functions],
                "ResultPath": "$.reports",
                "End": True,
            }
        },
    }


def _task(name: str) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": name, "Payload.$": "$"},
        "Retry": RETRY,
        "End": True,
    }


class Lambdas:
    """Invokes functions, each on a connection that is kept."""

    def __init__(self, ports: dict[str, int]) -> None:
        self._connections = {name: http.client.HTTPConnection("127.0.0.1", port) for name, port in ports.items()}
        self._lock = threading.Lock()
        self.calls: list[Call] = []
        self.spans: list[Span] = []
        self.working_s = 0.0  # CPU seconds of detectors

    def invoke(self, _: str, given: Any) -> Any:
        """What the service integration `lambda:invoke` does."""
        name, began_s = given["FunctionName"], time.monotonic()
        connection = self._connections[name]
        body = json.dumps(given["Payload"]).encode()
        connection.request("POST", INVOKE.format(name), body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        report = json.loads(answer.read())
        seconds = time.monotonic() - began_s
        if answer.headers.get("X-Amz-Function-Error"):
            raise asl.ExecutionFailed("States.TaskFailed", f"{report['errorType']}: {report['errorMessage']}")
        spans = msgspec.convert(report["spans"], list[Span])
        with self._lock:
            self.calls.append(
                Call(
                    name, report["cpu_s"], seconds, sum(report["rounds"].values()), report["read_units"],
                    report["write_units"], report["rounds"],
                )
            )  # fmt: skip
            self.working_s += report["working_s"]
            self.spans += spans
        return {"StatusCode": answer.status}

    def close(self) -> None:
        """All connections."""
        for connection in self._connections.values():
            connection.close()


def run(path: str, stream_s: float, variant: dict[str, Any]) -> dict[str, Any]:
    """One stream through a variant, from services without any data."""
    done: dict[str, Any] = msgspec.to_builtins(_run(path, stream_s, msgspec.convert(variant, Variant)))
    return done


def _run(path: str, stream_s: float, variant: Variant) -> Outcome:
    functions = functions_of(variant)
    with ExitStack() as stack:
        emulator = stack.enter_context(Child(f"{HERE}.emulator:serve"))
        endpoint = f"http://127.0.0.1:{emulator.ready['port']}"
        queue, topic, arn = _deploy(endpoint, machine(list(functions)))
        hosts = stack.enter_context(
            Child(f"{HERE}.functions:serve", functions=functions, endpoint=endpoint, queue=queue)
        )
        aggregator = stack.enter_context(
            Child(f"{HERE}.serverless:aggregate", endpoint=endpoint, queue=queue, topic=topic, hosts=len(functions))
        )
        lambdas = Lambdas(hosts.ready["ports"])
        stack.callback(lambdas.close)
        arguments = {"path": path, "endpoint": endpoint, "arn": arn, "variant": msgspec.to_builtins(variant)}
        converter = subprocess.Popen(
            command(f"{HERE}.serverless:convert", arguments), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        stack.callback(_end, converter)
        assert converter.stdin is not None
        assert converter.stdout is not None
        converter.stdout.readline()  # it is ready
        emulator.say("reset")
        meter, emulated_s = Meter({"functions": hosts.ready["pids"].values()}), of_process(emulator.pid)
        began_s = time.monotonic()
        converter.stdin.write("go\n")
        converter.stdin.flush()
        transitions, executions, decoded, spans = 0, 0, {}, []
        made: dict[str, Any] = {}
        for line in converter.stdout:
            told = json.loads(line)
            if "event" not in told:
                made = told
                break
            execution = asl.Execution(machine(list(functions)), lambdas.invoke)
            started_s = time.monotonic()
            event = told["event"]
            execution.run(event)
            transitions, executions = transitions + execution.transitions, executions + 1
            decoded[event["number"]] = event["decoded_s"]
            spans.append(
                Span("orchestrate", "step functions", started_s, time.monotonic() - started_s, event["number"])
            )
            converter.stdin.write("done\n")
            converter.stdin.flush()
        judged = aggregator.finish(120.0)
        wall_s, used = time.monotonic() - began_s, meter.read()
        peak = max(peak_bytes(pid) for pid in hosts.ready["pids"].values())
        emulated_s = of_process(emulator.pid) - emulated_s
        counted = emulator.finish()
    latency_s = [judged["judged_s"][str(n)] - at_s for n, each in decoded.items() for at_s in each]
    return Outcome(
        name=variant.name,
        stream_s=stream_s,
        frames=len(latency_s),
        wall_s=wall_s,
        cpu_s={"converter": made["cpu_s"], **used, "aggregator": judged["cpu_s"]},
        told=judged["told"],
        latency_s=latency_s,
        requests=counted["requests"],
        moved_bytes=counted["moved"],
        transitions=transitions,
        executions=executions,
        calls=lambdas.calls,
        spans=[*msgspec.convert(made["spans"] + judged["spans"], list[Span]), *lambdas.spans, *spans],
        emulator_s=emulated_s,
        working_s=made["working_s"] + lambdas.working_s + judged["working_s"],
        memory_bytes=peak,
        batch_s=BATCH_S,
        write_rounds=made["rounds"],
    )


def _end(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _deploy(endpoint: str, definition: dict[str, Any]) -> tuple[str, str, str]:
    """Bucket, table, queue, topic and state machine; URL of the queue, names of the last two."""
    s3, dynamodb, sqs, sns, steps = clients(endpoint, "s3", "dynamodb", "sqs", "sns", "stepfunctions")
    s3.create_bucket(Bucket=BUCKET)
    dynamodb.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    queue = sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
    topic = sns.create_topic(Name=TOPIC)["TopicArn"]
    made = steps.create_state_machine(name=MACHINE, definition=json.dumps(definition), roleArn=ROLE)
    return queue, topic, made["stateMachineArn"]


def convert(path: str, endpoint: str, arn: str, variant: dict[str, Any]) -> dict[str, Any]:
    """The media converter: writes each second to S3 and starts an execution, a line on stdout for each.

    Begins when a line comes on stdin; each further one says that an execution is done.
    """
    from concurrent.futures import ThreadPoolExecutor

    from benchmarks.architectures import converter

    chosen = msgspec.convert(variant, Variant)
    s3, steps = clients(endpoint, "s3", "stepfunctions")
    profile = stages.profile()
    print("ready", flush=True)
    sys.stdin.readline()
    used_s, spans, waiting, working_s, rounds = time.process_time(), [], 0, 0.0, 0
    began_s = last_s = time.monotonic()
    with ThreadPoolExecutor(UPLOADS) as pool:
        for batch in converter.convert(path, profile, BATCH_S, chosen.form):
            converted_s = time.monotonic()
            spans.append(Span("decode", "converter", last_s, converted_s - last_s, batch.number))
            while waiting >= AHEAD:
                sys.stdin.readline()
                waiting -= 1
            time.sleep(max(0.0, began_s + (batch.number + 1) * BATCH_S - time.monotonic()))
            put_s = time.monotonic()
            objects, event = laid_out(batch, chosen)
            working_s += batch.decode_s
            rounds = max(rounds, -(-len(objects) // UPLOADS))
            list(pool.map(lambda one: s3.put_object(Bucket=BUCKET, Key=one[0], Body=one[1]), objects.items()))
            given = msgspec.to_builtins(event)
            steps.start_execution(stateMachineArn=arn, name=f"stream-{batch.number}", input=json.dumps(given))
            last_s = time.monotonic()
            spans.append(Span("write", "converter", put_s, last_s - put_s, batch.number))
            print(json.dumps({"event": given}), flush=True)
            waiting += 1
    for _ in range(waiting):
        sys.stdin.readline()
    return {
        "cpu_s": time.process_time() - used_s,
        "working_s": working_s,
        "rounds": rounds,
        "spans": msgspec.to_builtins(spans),
    }


def laid_out(batch: Any, variant: Variant) -> tuple[dict[str, bytes], Event]:
    """The objects of one second by their keys, and what functions are told of them."""
    from benchmarks.architectures.wire import unpack_pictures

    folder = f"stream/{batch.number:06d}"
    runs = [b"".join(batch.pictures)] if variant.together else batch.pictures
    objects = {f"{folder}/picture-{k:03d}": data for k, data in enumerate(runs)}
    pictures = list(objects)
    sounds, others = f"{folder}/sound", f"{folder}/packets"
    if batch.sounds:
        objects[sounds] = batch.sounds
    if batch.others:
        objects[others] = stages.write_others(batch.others)
    event = Event(
        stream="stream",
        number=batch.number,
        pictures=pictures,
        sounds=sounds if batch.sounds else None,
        others=others if batch.others else None,
        last=batch.last,
        decoded_s=[shown.head.decoded_s for data in batch.pictures for shown in unpack_pictures(data)],
    )
    return objects, event


def aggregate(endpoint: str, queue: str, topic: str, hosts: int) -> dict[str, Any]:
    """The aggregator: takes results from SQS until the stream is over, judges them in order, publishes alerts."""
    sqs, sns = clients(endpoint, "sqs", "sns")
    collector = stages.Collector("serverless", stages.profile(), hosts)
    held: dict[str, list[stages.Said]] = {}
    judged_s: dict[int, float] = {}
    spans: list[Span] = []
    working_s = 0.0
    print(json.dumps("ready"), flush=True)
    used_s = time.process_time()
    over = None
    while over is None or collector.next <= over:
        found = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=5).get("Messages", [])
        began_s = time.monotonic()
        for message in found:
            body = msgspec.msgpack.decode(base64.b64decode(message["Body"]), type=Results)
            before, judging_s = collector.next, time.thread_time()
            changed = collector.add(body.number, body.function, body.said)
            working_s += time.thread_time() - judging_s
            _publish(sns, topic, changed)
            held[body.function] = body.held
            over = body.number if body.last else over
            judged_s |= dict.fromkeys(range(before, collector.next), time.monotonic())
            spans.append(Span("judge", "aggregator", began_s, time.monotonic() - began_s, body.number))
            began_s = time.monotonic()
        if found:
            gone = [{"Id": str(k), "ReceiptHandle": m["ReceiptHandle"]} for k, m in enumerate(found)]
            sqs.delete_message_batch(QueueUrl=queue, Entries=gone)
    _publish(sns, topic, collector.finish([one for part in held.values() for one in part]))
    return {
        "told": [list(one) for one in collector.told],
        "judged_s": judged_s,
        "spans": msgspec.to_builtins(spans),
        "cpu_s": time.process_time() - used_s,
        "working_s": working_s,
    }


class Results(msgspec.Struct, frozen=True):
    """A message of a function."""

    number: int
    function: str
    last: bool
    said: list[stages.Said]
    held: list[stages.Said]


def _publish(sns: Any, topic: str, found: Any) -> None:
    for kind, incident in found:
        sns.publish(TopicArn=topic, Subject=kind.value, Message=msgspec.json.encode(incident).decode())
