"""The outbox and its channels against real receivers on loopback."""

import base64
import hashlib
import hmac
import json
import time

from tests.receiver import Answer, receiving
from tests.unit.test_sinks_backlog import CLOSED, notice
from vqa_ray.sinks.alertmanager import AlertmanagerSpec
from vqa_ray.sinks.backlog import RetryPolicy
from vqa_ray.sinks.outbox import Outbox
from vqa_ray.sinks.secret import SecretText
from vqa_ray.sinks.webhook import WebhookSpec


def test_a_webhook_gets_a_signed_cloud_event_that_it_can_verify():
    with receiving() as receiver:
        box = Outbox([WebhookSpec(url=f"{receiver.url}/hook", secret=SecretText("key")).build()])
        box.start()
        box.put(notice())
        (request,) = receiver.wait(1)
        assert box.stop(5.0)
    assert request.path == "/hook"
    assert request.headers["Content-Type"] == "application/cloudevents+json"
    assert request.json()["id"] == request.headers["webhook-id"] == "a:opened"
    signed = b"a:opened." + request.headers["webhook-timestamp"].encode() + b"." + request.body
    wanted = base64.b64encode(hmac.new(b"key", signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{wanted}"
    assert abs(int(request.headers["webhook-timestamp"]) - time.time()) < 60


def test_a_receiver_that_fails_at_first_gets_everything_once_and_in_order():
    answers = iter([Answer(503), Answer(500), Answer(429, {"Retry-After": "0"})])
    with receiving(lambda _: next(answers, Answer(202))) as receiver:
        box = Outbox([WebhookSpec(url=receiver.url).build()], retry=RetryPolicy(first_s=0.02, ceiling_s=0.05))
        box.start()
        for incident in ("a", "b"):
            box.put(notice(incident=incident))
            box.put(notice(CLOSED, incident=incident))
        receiver.wait(7)
        assert box.stop(5.0)
        ids = [json.loads(request.body)["id"] for request in receiver.requests]
    assert len(ids) == 7
    for incident in ("a", "b"):
        assert ids.index(f"{incident}:opened") < ids.index(f"{incident}:closed")
        assert ids.count(f"{incident}:closed") == 1


def test_a_notice_is_on_its_way_within_milliseconds():
    """Of 300 ms that an alert may take in all (p99); generous here, since the machine is shared."""
    with receiving() as receiver:
        box = Outbox([WebhookSpec(url=receiver.url).build()])
        box.start()
        delays_s = []
        for number in range(50):
            put_s = time.monotonic()
            box.put(notice(incident=str(number)))
            delays_s.append(receiver.wait(number + 1)[-1].received_s - put_s)
        assert box.stop(5.0)
        assert len({request.connection for request in receiver.requests}) == 1
    assert sorted(delays_s)[25] < 0.05


def test_open_incidents_are_posted_to_alertmanager_again_and_again_with_a_later_end():
    with receiving() as receiver:
        spec = AlertmanagerSpec(url=receiver.url + "/am/", resend_s=1.0, expire_s=10.0)
        box = Outbox([spec.build()])
        box.start()
        box.put(notice())
        first, second = receiver.wait(2)[:2]
        box.put(notice(CLOSED))
        receiver.wait(3)
        assert box.stop(5.0)
    assert first.path == "/am/api/v2/alerts"
    assert first.json()[0]["labels"] == second.json()[0]["labels"]
    assert first.json()[0]["endsAt"] < second.json()[0]["endsAt"]
    assert 0.9 < second.received_s - first.received_s < 3.0
