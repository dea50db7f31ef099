"""The list of alert channels. A new one is a file beside this, and a line in `CHANNELS` and in `AnyChannelSpec`."""

from vqa_ray.sinks.alertmanager import AlertmanagerSpec
from vqa_ray.sinks.apprise import AppriseSpec
from vqa_ray.sinks.channel import ChannelSpec
from vqa_ray.sinks.jsonl import JsonLinesSpec
from vqa_ray.sinks.kafka import KafkaSpec
from vqa_ray.sinks.mail import EmailSpec
from vqa_ray.sinks.pagerduty import PagerDutySpec
from vqa_ray.sinks.slack import SlackSpec
from vqa_ray.sinks.sns import SnsSpec
from vqa_ray.sinks.syslog import SyslogSpec
from vqa_ray.sinks.teams import TeamsSpec
from vqa_ray.sinks.webhook import WebhookSpec

CHANNELS: tuple[type[ChannelSpec], ...] = (
    JsonLinesSpec,
    WebhookSpec,
    AlertmanagerSpec,
    SlackSpec,
    TeamsSpec,
    EmailSpec,
    PagerDutySpec,
    SnsSpec,
    SyslogSpec,
    KafkaSpec,
    AppriseSpec,
)
AnyChannelSpec = (
    JsonLinesSpec
    | WebhookSpec
    | AlertmanagerSpec
    | SlackSpec
    | TeamsSpec
    | EmailSpec
    | PagerDutySpec
    | SnsSpec
    | SyslogSpec
    | KafkaSpec
    | AppriseSpec
)
