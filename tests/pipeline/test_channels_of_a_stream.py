"""From a live stream that goes black to a mail with its stills in it."""

import cv2
import numpy as np

from tests.channel_servers import Certificates, mail_server
from tests.pipeline.test_worker import Sender, clip, port, profile, stream  # noqa: F401
from vqa_ray.core.evidence import EvidenceOptions, base
from vqa_ray.pipeline.evidence import Desk
from vqa_ray.pipeline.worker import Worker
from vqa_ray.sinks.evidence import EvidenceStore
from vqa_ray.sinks.mail import EmailSpec
from vqa_ray.sinks.outbox import Outbox
from vqa_ray.sinks.secret import SecretText


def test_a_black_picture_is_mailed_with_the_stills_around_its_start(clip, port, tmp_path):  # noqa: F811
    certificates = Certificates(tmp_path)
    options = EvidenceOptions(after_s=1.0)
    store = str(tmp_path / "store")
    desk = Desk(EvidenceStore(store), options, base=base(store, options))
    with mail_server("vqa", "pw-of-vqa", certificates.server) as server:
        spec = EmailSpec(
            host="127.0.0.1",
            port=server.port,
            user="vqa",
            password=SecretText("pw-of-vqa"),
            sender="vqa@example.com",
            to=("mcr@example.com",),
            ca_file=certificates.ca_file,
            still_wait_s=10.0,
        )
        box = Outbox([spec.build()])
        box.start()
        worker = Worker("w", tell=lambda told: box.put(told.notice) and None, keeper=desk)
        try:
            worker.assign(stream(port), profile(black=0.3), epoch=1)
            with Sender(clip, port):
                opened, closed = server.wait(2, timeout_s=60.0)[:2]
        finally:
            worker.stop(2.0)
            box.stop(5.0)
            desk.close()
    assert opened.mail["Subject"] == "MAJOR: black on one"
    assert closed.mail["Subject"].startswith("Over: black on one, lasted ")
    assert closed.mail["In-Reply-To"] == opened.mail["Message-ID"]
    (picture,) = (part for part in opened.mail.walk() if part.get_content_type() == "image/jpeg")
    image = cv2.imdecode(np.frombuffer(picture.get_content(), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None and image.shape[1] > image.shape[0] > 0
    assert "Where:    one (channel: news)" in opened.mail.get_body(("plain",)).get_content()
