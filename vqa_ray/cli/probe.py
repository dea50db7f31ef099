"""`vqa probe`: open an input and say what it holds."""

import click
import msgspec
from rich.table import Table

from vqa_ray.cli import show
from vqa_ray.cli.analyze import choose_profile
from vqa_ray.core.picture import Plane
from vqa_ray.detectors.slate import perceptual_hash
from vqa_ray.media import source as media
from vqa_ray.media.info import AudioInfo, SourceInfo, VideoInfo


@click.command()
@click.argument("url", metavar="FILE|URL")
@click.option("--profile", metavar="NAME", help="live, qc, or one of --fleet.  [default: qc for a file, else live]")
@click.option("--fleet", type=click.Path(dir_okay=False), help="Fleet file to take profiles from.")
@click.option("--slate", "slate_s", type=click.FloatRange(0), metavar="S", help="Only the hash of the picture at S.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def probe(url: str, profile: str | None, fleet: str | None, slate_s: float | None, as_json: bool) -> None:
    """Open an input and say what it holds. Exit code 2 if it cannot be opened.

    --slate S prints the perceptual hash of the picture that is shown at S seconds, for `slate: {hashes: [...]}`.
    """
    options = choose_profile(url, profile, fleet, None).source
    if slate_s is not None:
        click.echo(_hash(media.picture_at(url, slate_s, options)))
        return
    info = media.probe(url, options)
    if as_json:
        click.echo(msgspec.json.encode(info))
    else:
        show.console().print(_table(info))


def _hash(luma: Plane) -> str:
    found = perceptual_hash(luma)
    if found is None:
        raise click.ClickException("the picture is too plain to be known again")
    return found


def _table(info: SourceInfo) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_row("input", info.url)
    whole = show.length(info.duration_s) if info.duration_s else "live" if info.live else ""
    table.add_row("format", _joined(info.format, whole, _rate(info.bit_rate), show.many(info.tracks, "track")))
    table.add_row("video", _video(info.video) if info.video else "none")
    table.add_row("audio", _audio(info.audio) if info.audio else "none")
    table.add_row("beside them", _joined(*(name.replace("_", " ") for name in info.services)) or "nothing")
    return table


def _video(video: VideoInfo) -> str:
    scan = {True: "interlaced", False: "progressive", None: ""}[video.interlaced]
    return _joined(
        f"{video.codec} {video.profile or ''}".strip(),
        f"{video.width}x{video.height}",
        f"{video.fps:.5g} frames a second" if video.fps else "",
        scan,
        video.pix_fmt or "",
        "full range" if video.full_range else "limited range",
        _rate(video.bit_rate),
    )


def _audio(audio: AudioInfo) -> str:
    return _joined(
        f"{audio.codec} {audio.profile or ''}".strip(),
        f"{audio.rate_hz} Hz",
        audio.layout,
        audio.language if audio.language and audio.language != "und" else "",
        _rate(audio.bit_rate),
    )


def _rate(bit_rate: int | None) -> str:
    if not bit_rate:
        return ""
    return f"{bit_rate / 1e6:.2f} Mb/s" if bit_rate >= 1e6 else f"{bit_rate / 1e3:.0f} kb/s"


def _joined(*parts: str) -> str:
    return ", ".join(filter(None, parts))
