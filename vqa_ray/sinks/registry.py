"""The list of alert channels. A new one is a file beside this, and a line in `CHANNELS` and in `AnyChannelSpec`."""

from vqa_ray.sinks.alertmanager import AlertmanagerSpec
from vqa_ray.sinks.channel import ChannelSpec
from vqa_ray.sinks.jsonl import JsonLinesSpec
from vqa_ray.sinks.webhook import WebhookSpec

CHANNELS: tuple[type[ChannelSpec], ...] = (JsonLinesSpec, WebhookSpec, AlertmanagerSpec)
AnyChannelSpec = JsonLinesSpec | WebhookSpec | AlertmanagerSpec
