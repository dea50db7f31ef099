"""Small media files for tests: a programme with its faults, encoded as fast as it goes."""

from collections.abc import Iterable
from pathlib import Path

import av

from vqa_ray.media.synthetic.encode import Studio, add_audio, add_video, steps
from vqa_ray.media.synthetic.programme import Programme
from vqa_ray.media.synthetic.script import Fault, FaultKind, Script
from vqa_ray.media.synthetic.transport import TransportMuxer


def write_file(path: Path, duration_s: float, programme: Programme, faults: Iterable[Fault] = ()) -> Path:
    """`duration_s` of the programme as `path`, whose suffix (.ts, .mp4, .mkv, .flv, .m3u8, .mpd …) names the format.

    Lost transport packets (FaultKind.CORRUPTION) exist in .ts only.
    """
    script = Script(faults)
    if path.suffix == ".ts":
        return _write_transport(path, duration_s, programme, script)
    with av.open(str(path), "w") as container:
        video = add_video(container, programme) if programme.picture else None
        audio = add_audio(container, programme) if programme.sound else None
        for packets in steps(Studio(programme, script, video, audio), duration_s):
            container.mux(packets)
    return path


def _write_transport(path: Path, duration_s: float, programme: Programme, script: Script) -> Path:
    muxer = TransportMuxer(programme.seed)
    video = add_video(muxer.container, programme) if programme.picture else None
    audio = add_audio(muxer.container, programme) if programme.sound else None
    studio = Studio(programme, script, video, audio)
    with path.open("wb") as file:
        for packets in steps(studio, duration_s):
            lossy = script.at(FaultKind.CORRUPTION, studio.at_s) is not None
            file.write(muxer.mux(packets, lossy=lossy))
        muxer.close()
        file.write(muxer.mux([]))
    return path
