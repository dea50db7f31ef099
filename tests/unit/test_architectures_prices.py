"""What architectures cost, against cases worked by hand."""

import re
from xml.etree import ElementTree

import msgspec
import pytest

from benchmarks.architectures import case, drawing, prices, report, trace
from benchmarks.architectures.outcome import A_MACHINE, A_PROCESS, Call, Outcome, Span
from vqa_ray.core.sizing import USUAL

LISTED = prices.load()


def outcome(**changes):
    given = {
        "name": "serverless", "stream_s": 3600.0, "frames": 90_000, "wall_s": 3600.0,
        "cpu_s": {"converter": 360.0, "functions": 720.0, "aggregator": 36.0},
        "told": [], "latency_s": [0.001], "executions": 3600,
    }  # fmt: skip
    return Outcome(**{**given, **changes})


def test_state_transitions_of_an_hour():
    # 20 a second are 72,000 an hour; 1,000 cost 2.5 cents: 72 x 0.025
    assert prices.serverless(outcome(transitions=72_000), LISTED)["state transitions"] == pytest.approx(1.80)


def test_objects_of_an_hour():
    # 90,000 PUTs at 0.005 $ a thousand are 0.45; 900,000 GETs at 0.0004 $ a thousand are 0.36
    requests = {"s3 PUT pictures": 80_000, "s3 PUT others": 10_000, "s3 GET pictures": 900_000}
    assert prices.serverless(outcome(requests=requests), LISTED)["objects"] == pytest.approx(0.81)


def test_objects_take_the_cheaper_class_in_the_most_favourable_way():
    small = outcome(requests={"s3 PUT others": 1_000_000}, moved_bytes={"s3 PUT others in": 10**9})
    assert prices.objects(small, LISTED, express=True) == pytest.approx(1.13 + 0.0032)  # Standard: 5.00
    large = outcome(requests={"s3 PUT others": 1000}, moved_bytes={"s3 PUT others in": 10**13})
    assert prices.objects(large, LISTED, express=True) == pytest.approx(0.005)  # One Zone: 32 for the bytes


def test_state_and_messages_of_an_hour():
    calls = [Call("black", 0.0, 0.0, 0, read_units=2, write_units=4)] * 10_000
    requests = {"sqs SendMessage": 10_000, "sqs ReceiveMessage": 5_000, "sns Publish": 100}
    cost = prices.serverless(outcome(calls=calls, requests=requests), LISTED)
    # 20,000 reads at 0.125 $ a million, 40,000 writes at 0.625 $ a million
    assert cost["state"] == pytest.approx(0.0025 + 0.025)
    # 15,000 requests at 0.40 $ a million, 100 publications at 0.50 $ a million
    assert cost["messages"] == pytest.approx(0.006 + 0.00005)


def test_functions_are_billed_while_they_compute_and_while_they_wait():
    # 20 ms of a vCPU on 0.5 GB, which comes with 0.5 / 1.769 of one: 70.76 ms; 4 trips of 25 ms: 100 ms
    assert prices.duration_s(0.02, 4, 0.5, 1.769, 0.025) == pytest.approx(0.17076)
    cost = prices.serverless(outcome(calls=[Call("black", 0.02, 0.0, 4)] * 1_000_000), LISTED)
    # a GB-second is 0.0000166667 $, half a GB for 0.07076 s, a million times; billed to the next millisecond
    assert cost["functions, computing"] == pytest.approx(0.58967, rel=1e-4)
    assert cost["functions, waiting"] == pytest.approx(0.83533, rel=1e-3)
    assert cost["functions, requests"] == pytest.approx(0.20)


def test_more_memory_than_one_vcpu_makes_a_single_thread_no_faster():
    assert prices.duration_s(0.02, 0, 8.0, 1.769, 0.025) == pytest.approx(0.02)


def test_express_executions_are_billed_by_64_mb_and_100_ms():
    # 0.31 s is billed as 0.4 s, 0.4 s as 0.4 s: 0.8 s x 64 MB, and two requests
    assert prices.express_steps([0.31, 0.4], LISTED) == pytest.approx(2e-6 + 0.8 * 0.0625 * 0.00001667)


def test_one_process_is_paid_by_the_share_of_a_packed_machine():
    # a tenth of a vCPU; 0.714 $ / 16 a vCPU-hour, of which 85 % are used
    monolith = outcome(name="monolith", cpu_s={"pipeline": 360.0}, executions=0)
    assert prices.packed(monolith, LISTED) == {"pipeline": pytest.approx(0.1 * 0.044625 / 0.85)}


def test_what_stands_ready_is_shared_by_all_streams():
    # 1,000 streams of 0.136 cores fill 160 analyzers on ten machines of 16 vCPUs; Ray takes 0.05 of a vCPU of each
    # machine, an analyzer 0.01 of its own
    actor = outcome(
        name="ray-actor", cpu_s={"pipeline": 489.5}, standing={A_MACHINE: 0.05, A_PROCESS: 0.01}, executions=0
    )
    cost = prices.packed(actor, LISTED, streams=1000)
    assert cost["standing ready"] == pytest.approx((0.05 * 10 + 0.01 * 160) / 1000 * 0.044625 / 0.85)
    # a machine has 16 x 0.85 - 0.05 - 16 x 0.01 = 13.39 vCPUs for streams of 489.5 / 3600 each
    assert prices.streams_a_machine(actor, LISTED) == 98


def test_handing_over_is_what_neither_decodes_nor_detects_nor_judges():
    staged = outcome(name="ray-stages", cpu_s={"detectors": 300.0, "converter": 60.0}, working_s=90.0, executions=0)
    cost = prices.packed(staged, LISTED)
    assert staged.hand_over_share == 0.75
    assert cost["pipeline"] == pytest.approx(0.025 * 0.044625 / 0.85)
    assert cost["handing over"] == pytest.approx(0.075 * 0.044625 / 0.85)
    assert prices.hand_over_ratio(cost) == pytest.approx(3.0)


def test_a_single_stream_needs_the_smallest_container_that_holds_it():
    assert prices.container_usd_hour(0.06, 0.2, LISTED) == pytest.approx(0.25 * 0.04048 + 0.5 * 0.004445)
    assert prices.container_usd_hour(0.06, 0.9, LISTED) == pytest.approx(0.25 * 0.04048 + 1.0 * 0.004445)
    assert prices.container_usd_hour(0.06, 2.5, LISTED) == pytest.approx(0.5 * 0.04048 + 3.0 * 0.004445)
    assert prices.container_usd_hour(0.4, 0.2, LISTED) == pytest.approx(0.5 * 0.04048 + 1.0 * 0.004445)


def test_what_a_single_stream_leaves_of_its_container_is_paid_too():
    # 0.17 of a vCPU of which 85 % are used is 0.2 of one; the container has 0.25, and 1 GB
    actor = outcome(
        name="ray-actor", cpu_s={"pipeline": 540.0}, standing={A_MACHINE: 0.015, A_PROCESS: 0.005}, executions=0,
        memory_bytes=800_000_000,
    )  # fmt: skip
    cost = prices.alone(actor, LISTED)
    assert cost["pipeline"] == pytest.approx(0.15 / 0.85 * 0.04048)
    assert cost["standing ready"] == pytest.approx(0.02 / 0.85 * 0.04048)
    assert cost["unused"] == pytest.approx(0.05 * 0.04048 + 0.004445)
    assert prices.total(cost) == pytest.approx(0.25 * 0.04048 + 0.004445)


def test_a_single_stream_of_serverless_has_containers_of_its_own():
    many, one = prices.serverless(outcome(), LISTED), prices.alone(outcome(), LISTED)
    assert one["converter"] == one["aggregator"] == pytest.approx(0.25 * 0.04048 + 0.5 * 0.004445)
    # of many: 0.1 of a vCPU at 85 %, and 0.25 GB
    assert many["converter"] == pytest.approx(0.1 / 0.85 * 0.04048 + 0.25 * 0.004445)


def test_functions_get_the_memory_that_they_need():
    assert prices.function_gb(outcome(memory_bytes=200_000_000), LISTED) == 0.5
    assert prices.function_gb(outcome(memory_bytes=600_000_000), LISTED) == 0.625  # 10 x 64 MB


def test_one_function_hands_no_frame_over():
    # 0.1 of a core for 10 s is 1 s on half a GB, which comes with 0.5 / 1.769 of a vCPU: 3.538 s, and 3 trips of 5 ms
    call = 3.553 * 0.5 * 0.0000133334 + 0.0000002
    stored = 2 * (0.00000113 + 0.00000003)
    assert prices.one_function(0.1, LISTED, 10.0) == pytest.approx(360 * (call + stored), rel=1e-4)


def test_paying_by_the_request_is_cheaper_for_what_is_watched_for_short():
    assert prices.break_even_hours_a_day(2.40, 0.10) == pytest.approx(1.0)
    assert prices.break_even_hours_a_day(0.05, 0.10) == 24.0


def test_hand_over_is_all_that_is_no_computing():
    cost = {"state transitions": 4.0, "objects": 1.0, "functions, waiting": 0.67, "functions, computing": 1.0}
    assert prices.hand_over_ratio(cost) == pytest.approx(5.67)


def test_own_prices_replace_single_entries(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("units: {transition: {usd: 0.00001}}\nassumptions: {fill: 0.5}\n")
    loaded = prices.load(own)
    assert loaded.usd("transition") == 0.00001
    assert loaded.assumptions.fill == 0.5
    assert loaded.usd("s3_put") == LISTED.usd("s3_put")
    own.write_text("units: {transition: {usd: cheap}}\n")
    with pytest.raises(msgspec.ValidationError):
        prices.load(own)


def test_every_price_names_its_source_and_its_date():
    entries = [*LISTED.units.values(), *LISTED.nodes.values(), *LISTED.limits.values()]
    assert all(re.fullmatch(r"20\d\d-[01]\d", entry.date) for entry in entries)
    assert all(entry.source.startswith("https://") for entry in entries)
    assert all(unit.source.startswith("https://aws.amazon.com/") for unit in LISTED.units.values())
    assert all(unit.usd > 0 for unit in LISTED.units.values())


def test_vqa_cost_reckons_with_the_price_of_this_list():
    node = LISTED.nodes[USUAL.name]
    assert (USUAL.vcpus, USUAL.usd_hour) == (node.vcpus, node.usd_hour)


def test_the_case_s_own_ratio_gives_the_case_s_saving():
    # a function's vCPU-hour is 1.769 GB x 3600 s x 0.0000166667 $ = 0.10614; a machine's 0.044625 / 0.85 = 0.0525
    assert case.saving_at(5.67, LISTED) == pytest.approx(1 - 0.0525 / 0.10614 / 6.67, rel=1e-4)
    assert case.saving_at(5.67, LISTED) > 0.90


def test_transitions_at_which_the_case_s_ratio_comes_out():
    cost = {"state transitions": 9.0, "objects": 0.67, "functions, computing": 1.0}
    # (5.67 - 0.67) $ an hour are 5 / 3600 / 0.000025 transitions a second
    assert case.transitions_at(5.67, cost, LISTED) == pytest.approx(55.5556, rel=1e-4)


def test_the_case_s_ratio_comes_out_with_heavier_computing():
    cost = {"state transitions": 9.0, "objects": 2.34, "functions, computing": 1.0}
    assert case.heavier_at(5.67, cost) == pytest.approx(2.0)


def test_an_account_carries_as_many_streams_as_its_quotas():
    # a second: 20 transitions of 5,000, one start of 300; 19 functions that take 2 trips of 25 ms and 1 ms of a vCPU,
    # which is 3.538 ms on half a GB: 1.0172 at the same time, of 1,000
    calls = [Call("black", 0.001, 0.0, 2)] * (19 * 3600)
    limits = case.streams_at_limits(outcome(transitions=72_000, calls=calls), LISTED)
    assert limits == {
        "state transitions a second": pytest.approx(250.0),
        "starts of executions a second": pytest.approx(300.0),
        "functions at the same time": pytest.approx(1000 / (19 * 0.053538), rel=1e-4),
    }


def test_latency_by_stage_is_rounds_of_requests_and_the_slowest_function():
    calls = [
        Call("silence", 0.0, 0.0, 3, rounds={"state": 1, "read": 1, "results": 1}),
        Call("black", 0.01, 0.0, 7, rounds={"state": 2, "read": 4, "results": 1}),
    ]
    one = outcome(calls=calls, executions=1, batch_s=1.0, write_rounds=4)
    assert case.rounds(one) == {"write": 4, "start": 1, "state": 2, "read": 4, "results": 1, "receive": 1}
    # half of a second to fill; 13 rounds of 25 ms; 10 ms of a vCPU on half a GB
    assert case.latency_s(one, LISTED, 0.025, 0.5) == pytest.approx(0.5 + 13 * 0.025 + 0.03538)
    assert case.stages(one, LISTED)[0] == ("write", "4", "100", "400")


def test_a_share_near_to_all_keeps_the_digits_that_tell():
    assert case.percent(0.9342) == "93.4%"
    assert case.percent(0.9996) == "99.96%"


def spans():
    return [
        Span("decode", "converter", 10.0, 0.25, 0),
        Span("detect", "black", 10.5, 0.125, 0),
        Span("orchestrate", "steps", 10.25, 0.5, 0),
    ]


def test_a_trace_for_chrome_is_in_microseconds_from_its_start():
    events = trace.chrome([outcome(spans=spans())])["traceEvents"]
    work = [event for event in events if event["ph"] == "X"]
    assert [(e["name"], e["ts"], e["dur"]) for e in work] == [
        ("decode", 0, 250_000), ("detect", 500_000, 125_000), ("orchestrate", 250_000, 500_000),
    ]  # fmt: skip
    assert {e["args"]["name"] for e in events if e["name"] == "thread_name"} == {"converter", "black", "steps"}


def test_a_trace_for_opentelemetry_has_a_service_a_process_and_a_trace_a_batch():
    told = trace.opentelemetry([outcome(spans=spans())], epoch_ns=1_000_000_000)["resourceSpans"]
    assert len(told) == 3
    span = told[0]["scopeSpans"][0]["spans"][0]
    assert (span["startTimeUnixNano"], span["endTimeUnixNano"]) == ("11000000000", "11250000000")
    assert {one["scopeSpans"][0]["spans"][0]["traceId"] for one in told} == {span["traceId"]}
    assert len(span["traceId"]) == 32
    assert len(span["spanId"]) == 16


def test_what_only_holds_other_work_is_not_counted_twice():
    assert trace.by_stage(outcome(spans=spans())) == {"decode": 0.25, "detect": 0.125}


def test_a_flame_is_as_wide_as_the_time_that_it_shows():
    name, processes = trace.by_process(outcome(spans=spans()))
    assert (name, processes) == ("serverless", {"converter": {"decode": 0.25}, "black": {"detect": 0.125}})
    picture = drawing.flame((name, processes), {"decode": 0, "detect": 1})
    widths = [float(width) for width in re.findall(r"<rect x=\S+ y=\d+ width=([\d.]+)", picture)]
    whole, converter, decode, black, detect = (width + 0.6 for width in widths)
    assert whole == drawing.WIDTH
    assert converter == decode == pytest.approx(whole * 2 / 3, abs=0.02)
    assert black == detect == pytest.approx(whole / 3, abs=0.02)


def test_a_picture_of_its_own_keeps_its_legend_within_its_width():
    parts = [drawing.Part(f"component number {k}", 1.0, k) for k in range(8)]
    picture = ElementTree.fromstring(drawing.alone(drawing.bars([drawing.Bar("one", parts, "$8")])))
    legend = [each for each in picture.iter() if each.get("class") == "soft" and (each.text or "").startswith("comp")]
    assert len(legend) == 8
    assert all(float(each.get("x", 0)) + 7 * len(each.text or "") <= drawing.WIDTH for each in legend)


def test_the_page_holds_all_figures_and_asks_for_nothing_else():
    from benchmarks.architectures import page

    told = [["black", "", 1.0, 2.6, "major"]]
    calls = [Call("black", 0.02, 0.1, 4, 1, 1, {"state": 2, "read": 1, "results": 1})] * 100
    made = [
        outcome(name="monolith", cpu_s={"pipeline": 200.0}, executions=0, told=told, spans=spans()),
        outcome(
            name="ray-actor",
            cpu_s={"pipeline": 201.0},
            executions=0,
            told=told,
            spans=spans(),
            over_monolith=[1.0, 1.005, 1.2],
        ),
        outcome(name="ray-stages", cpu_s={"detectors": 400.0, "ray": 50.0}, executions=0, told=told, spans=spans()),
        outcome(told=told, calls=calls, transitions=72_000, spans=[Span("detect", "black", 1.0, 0.1, page.SECOND)]),
        outcome(name="serverless, JPEG", told=[], calls=calls, transitions=72_000),
    ]
    one = report.make("360p25", made, LISTED)
    assert one.equal
    assert not one.row("serverless, JPEG").equal
    assert one.favourable.outcome.told == told  # only what finds the same is compared
    found = report.figures(one)
    assert found["incidents_equal"] == 1
    assert found["saving_monolith_vs_serverless"] > 0.9
    assert found["cpu_ratio_ray_actor"] == pytest.approx(1.005)
    ElementTree.fromstring(page.picture(one))  # well-formed
    text = page.render([one])
    assert text.count("<svg") >= 9
    assert "src=" not in text
    assert "url(" not in text
    assert all(name in text for name in ("monolith", "ray-actor", "ray-stages", "serverless"))
