"""The rules of scoring once more, written plainly over plain dicts: what `core.scoring` must agree with."""

EXPLAINED_BY = {
    "black": "signal_loss green corruption pts_gap",
    "freeze": "black bars green signal_loss pts_gap corruption cc_error pts_jump",
    "silence": "black bars signal_loss pts_gap pts_jump audio_dropout loudness",
    "signal_loss": "black green pts_gap pts_jump freeze",
    "corruption": "green signal_loss cc_error blockiness",
    "blockiness": "green signal_loss corruption cc_error",
    "green": "corruption cc_error",
    "bars": "signal_loss",
    "pts_gap": "signal_loss corruption cc_error pts_jump",
    "loudness": "bars signal_loss silence audio_dropout clipping",
    "audio_dropout": "signal_loss pts_gap pts_jump silence",
    "cc_error": "signal_loss",
    "clipping": "signal_loss loudness",
}


def overlap(a: dict, b: dict) -> float:
    return max(0.0, min(a["end"], b["end"]) - max(a["start"], b["start"]))


def shared(a: dict, b: dict) -> float:
    whole = max(a["end"], b["end"]) - min(a["start"], b["start"])
    return overlap(a, b) / whole if whole > 0 else float(a["start"] == b["start"])


def excused(event: dict, file: dict, hit: list[dict]) -> bool:
    kind = event["class"]
    for soft in file["soft"]:
        if soft["class"] == kind and (overlap(soft, event) > 0 or soft["start"] <= event["start"] <= soft["end"]):
            return True
    if any(overlap(label, event) > 0 for label in hit):
        return True
    for label in file["labels"]:
        if label["class"] not in EXPLAINED_BY.get(kind, "").split():
            continue
        pad = {"pts_jump": 2.0, "loudness": 3.0, "clipping": 3.0}.get(label["class"], 0.75)
        wide = {"start": label["start"] - pad, "end": label["end"] + pad}
        length = max(event["end"] - event["start"], 1e-6)
        if overlap(wide, event) / length >= 0.5 or wide["start"] <= event["start"] <= wide["end"]:
            return True
    return False


def plain_score(files: list[dict], detections: dict[str, list[dict]]) -> dict:
    """{"classes": {class: {tp, fp, fn, ignored, starts}}, "clean": false alarms on clean files}."""
    classes: dict[str, dict] = {}
    clean = 0
    for file in files:
        found = sorted(detections.get(file["file"], []), key=lambda event: event["start"])
        for kind in {one["class"] for one in [*file["labels"], *found]}:
            row = classes.setdefault(kind, {"tp": 0, "fp": 0, "fn": 0, "ignored": 0, "starts": []})
            labels = [label for label in file["labels"] if label["class"] == kind]
            events = [event for event in found if event["class"] == kind]
            pairs = []
            for i, label in enumerate(labels):
                for j, event in enumerate(events):
                    part, apart = shared(label, event), abs(label["start"] - event["start"])
                    if part >= 0.5 or apart <= 0.5:
                        pairs.append((-(part + max(0.0, 1.0 - apart)), i, j))
            hit: dict[int, int] = {}
            for _, i, j in sorted(pairs):
                if i not in hit and j not in hit.values():
                    hit[i] = j
                    row["starts"].append(events[j]["start"] - labels[i]["start"])
            row["tp"] += len(hit)
            row["fn"] += len(labels) - len(hit)
            for j, event in enumerate(events):
                if j in hit.values():
                    continue
                out = excused(event, file, [labels[i] for i in hit])
                row["ignored" if out else "fp"] += 1
                clean += not out and not file["labels"]
    return {"classes": classes, "clean": clean}
