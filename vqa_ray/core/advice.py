"""What to try first when a detector speaks: one line each, for whoever is woken by an alert."""

from collections.abc import Mapping
from types import MappingProxyType

ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "null": "Nothing: it finds nothing. Take it out of the profile.",
        "black": "Look at playout and the switcher: is the source selected, does its output have a picture?",
        "black_logo": (
            "The logo comes after the fault: look at the programme input of the graphics inserter and at playout."
        ),
        "freeze": (
            "Look at playout (paused, crashed?), then at frame stores and at the encoder's input; restart what "
            "holds the frame."
        ),
        "silence": (
            "Look at the audio router and the mixer's output, then at the embedder; compare the meters before and "
            "after."
        ),
        "silent_channel": (
            "Look at the patch and the de-embedder of that channel: a lost leg, or a mono feed on one side."
        ),
        "audio_dropout": (
            "Look for clock and buffer trouble: word clock, sample rate conversion, packet loss before the encoder."
        ),
        "clipping": (
            "Lower the level before the stage that clips; where it was encoded so, tell whoever delivers the programme."
        ),
        "loudness": (
            "Look at the loudness processor and at the item that began then; compare with the target of the house."
        ),
        "phase": "Swap the polarity of one channel: look at cables, the mixer's phase switch and the down-mix.",
        "dual_mono": (
            "See whether the programme is mono; else look where left was copied to right: router, encoder preset."
        ),
        "hum": "Look for a ground loop or a line-up tone that was left on; unplug stage by stage.",
        "click": "Look at the clock of digital audio links, and at edits and splices of the item that is on.",
        "missing_audio": (
            "Look at the encoder's audio input and at the multiplexer: does the audio PID or rendition still send?"
        ),
        "corruption": (
            "Look for packet loss on the way (network counters, the receiver's error count), then at the encoder."
        ),
        "blockiness": (
            "Raise the bit rate of the encoder, or look at a contribution link further up that was turned down."
        ),
        "over_compression": (
            "Raise the bit rate, or look at statistical multiplexing: others may take this service's share."
        ),
        "blur": "Look at focus, at scalers, and whether an SD source is on in place of HD.",
        "format_change": (
            "See whether it was planned; else look at the encoder's preset and at the source that was switched in."
        ),
        "stutter": "Look at the load of encoder and playout, and at frame rate conversion between them.",
        "interlace": "Set the encoder to interlaced, or put a deinterlacer before it.",
        "field_order": "Change the field order in the converter or the encoder; compare with another player.",
        "letterbox": "Look at aspect ratio settings (AFD, scaler) of the item that is on.",
        "flicker": "Take the item off air or put a slate on, and have it measured by a certified analyser.",
        "luma_range": "Put a legaliser in, or look where full range is taken for limited range.",
        "signal_loss": (
            "See whether the source plays elsewhere; then look at encoder, network (multicast, firewall) and origin."
        ),
        "green": "Restart the decoder or encoder that makes it; look for packet loss before it.",
        "grey": "Look for packet loss before the last decoder; ask the encoder for a key frame or restart it.",
        "bars": "Look at the router: the test generator, or the fallback of a lost input, is on air.",
        "slate": "See whether it is meant; else look why playout or the ad inserter has nothing to play.",
        "pts_gap": "Look for loss between multiplexer and here, and for an encoder that restarted.",
        "pts_jump": "Look for an encoder restart, a switch between legs, or a splice without a discontinuity flag.",
        "av_drift": "Restart the encoder or multiplexer: its audio and video clocks run apart.",
        "av_sync": (
            "Measure it with a test signal or `vqa sync`, then set the audio delay of the chain by the offset told."
        ),
        "av_marker": "Set the audio delay of the chain by the offset told; where it drifts, look at its clocks.",
        "cc_error": (
            "Look for packet loss or reordering on the network: switch ports, multicast joins, FEC, the other leg."
        ),
        "tr101290_p1": "Look at the multiplexer's tables and PIDs, and for loss on the transport link.",
        "tr101290_p2": "Look at the multiplexer's clock and tables, and for bit errors on satellite or radio links.",
        "bit_rate": (
            "Look at the encoder's rate control and at the link; near nothing means that it has lost its input."
        ),
        "missing_service": (
            "See that the encoder passes captions and SCTE 35 through, and that the multiplexer announces them."
        ),
        "missing_track": (
            "Look at the encoder's and packager's list of tracks and languages, after the last change above all."
        ),
        "playlist": (
            "Look at packager and origin: are segments written and the playlist renewed? Purge the CDN's cache."
        ),
        "not_analysed": (
            "Nobody watches the stream: look at `vqa status`, at the analyzers' logs, and at what Ray says of its "
            "nodes."
        ),
        "parked": "It keeps killing its analyzer: keep a sample of the stream, report it, then `vqa unpark` it.",
        "test": "Nothing: this was sent by `vqa channels test`.",
    }
)
ELSE = "Look at the stream itself, then up the line for the first place where it is wrong."


def advice(detector: str) -> str:
    """What to try first; a general word where the name is unknown."""
    return ADVICE.get(detector, ELSE)
