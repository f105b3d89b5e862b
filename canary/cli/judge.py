"""`canary judge`: what the judge would have said of traffic that was counted."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from canary.cli.canary_file import read_bytes, read_one_canary
from canary.cli.codes import ExitCode
from canary.cli.history import History, history_options, learn_noise, measure
from canary.cli.output import Format, format_option, write_document
from canary.cli.picture import picture_options, save

if TYPE_CHECKING:
    from canary.judge.replay import RecordedSpan
    from canary.model.spec import CanarySpec

Noise = Mapping[str, tuple[float, ...]]


@click.command(
    short_help="Judge past traffic again.",
    epilog="\b\nExamples:\n"
    "  canary judge order.yaml --recording order.jsonl\n"
    "  canary judge order.yaml --recording order.jsonl --step 4 -o json\n"
    "  canary judge order.yaml -n shop --prometheus http://127.0.0.1:9090 --since 2h --until 30m",
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--recording", type=click.Path(dir_okay=False), help="A file written by `canary record`.")
@click.option("-n", "--namespace", help="The namespace of the two versions.  [default: that of the Canary in FILE]")
@click.option("--step", type=click.IntRange(1), help="Judge all of it at this step.  [default: by the weights]")
@history_options(required=False)
@picture_options
@format_option
@click.pass_context
def command(  # noqa: PLR0913, PLR0917 (click hands over every option)
    ctx: click.Context,
    file: str,
    recording: str | None,
    namespace: str | None,
    step: int | None,
    prometheus: str | None,
    since: datetime,
    until: datetime,
    scrape_interval: timedelta,
    reporter: str,
    canary_pods: int,
    html: Path | None,
    png: Path | None,
    output: Format,
) -> None:
    """Judge past traffic as the Canary in FILE (- for standard input) asks for, and show the verdict over time.

    The traffic comes from a recording or straight from Prometheus. Without --step, releases and steps are found by the
    weights: those of the recording, or the likeliest by how requests were shared. Exits with 1 if a version was
    condemned.
    """
    from canary.cli.screen.figures import draw_replay  # noqa: PLC0415 (lazy: see the head of the package)
    from canary.cli.screen.replay import document_of, show_replay  # noqa: PLC0415 (as above)
    from canary.judge.replay import replay  # noqa: PLC0415 (as above)
    from canary.model.spec import ObjectKey  # noqa: PLC0415 (as above)
    from canary.model.verdict import Verdict  # noqa: PLC0415 (as above)

    spec = read_one_canary(file)
    if namespace:
        spec = replace(spec, key=ObjectKey(namespace, spec.key.name))
    if step is not None and step > len(spec.steps):
        raise click.UsageError(f"--step {step}: the Canary has {len(spec.steps)} steps")
    if recording is not None:
        spans, noise = _recorded(spec, recording)
    elif prometheus is not None:
        spans, noise = _counted(spec, History(prometheus, since, until, scrape_interval, reporter, canary_pods))
    else:
        raise click.UsageError("where is the traffic? Give --recording FILE or --prometheus URL")
    moments = tuple(replay(spec, spans, None if step is None else step - 1, noise))
    if output is Format.TEXT:
        show_replay(spec, spans, moments)
    else:
        write_document(document_of(spec, spans, moments), output)
    save(lambda: draw_replay(spec, moments), html, png)
    condemned = any(moment.result.verdict is Verdict.FAIL for moment in moments)
    ctx.exit(ExitCode.NO if condemned else ExitCode.OK)


def _counted(spec: "CanarySpec", history: History) -> "tuple[tuple[RecordedSpan, ...], Noise]":
    """What Prometheus counted, and how noisy stable was before."""
    from canary.judge.replay import find_weights  # noqa: PLC0415 (lazy: see the head of the package)

    spans = find_weights(measure(spec, history), [step.weight for step in spec.steps])
    return spans, learn_noise(spec, history, spans)


def _recorded(spec: "CanarySpec", file: str) -> "tuple[tuple[RecordedSpan, ...], Noise]":
    """What the file holds, once it is known to be about these metrics."""
    from canary.metrics.recording import check_metrics, read_recording  # noqa: PLC0415 (lazy: see the head of the package)

    recording = read_recording(read_bytes(file).decode("utf-8", errors="replace").splitlines(), file)
    check_metrics(spec, recording, file)
    return recording.spans, recording.noise
