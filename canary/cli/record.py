"""`canary record`: keeps the counts of the past before Prometheus forgets them."""

from datetime import datetime, timedelta
from typing import TextIO

import click

from canary.cli.cluster import cluster_options, connected, namespace_of
from canary.cli.history import History, history_options, learn_noise, measure


@click.command(
    short_help="Keep past counts in a file.",
    epilog="\b\nExamples:\n"
    "  canary record order-service -n shop --prometheus http://127.0.0.1:9090 --since 2h --out order.jsonl\n"
    "  canary record order-service -n shop --prometheus http://127.0.0.1:9090 | gzip > order.jsonl.gz",
)
@click.argument("name")
@click.option("--out", type=click.File("w", atomic=True), default="-", help="The file.  [default: standard output]")
@history_options(required=True)
@cluster_options
def command(  # noqa: PLR0913, PLR0917 (click hands over every option)
    name: str,
    out: TextIO,
    prometheus: str,
    since: datetime,
    until: datetime,
    scrape_interval: timedelta,
    reporter: str,
    canary_pods: int,
    kubeconfig: str | None,
    namespace: str | None,
) -> None:
    """Write a recording of the Canary of that NAME: the exact counts of both versions, interval by interval.

    Its first line holds the Canary as it is now, and how noisy stable's pods were before. The weight in each of the
    others is the likeliest one by how the requests were shared; correct it where you know better. `canary judge` judges
    it again.
    """
    from canary.cli.screen.reading import read_one  # noqa: PLC0415 (lazy: see the head of the package)
    from canary.judge.replay import find_weights  # noqa: PLC0415 (as above)
    from canary.metrics.recording import header_line, span_line  # noqa: PLC0415 (as above)
    from canary.model.resource import parse_canary  # noqa: PLC0415 (as above)

    with connected(kubeconfig) as client:
        document = read_one(client, namespace_of(namespace, kubeconfig), name)
    spec = parse_canary(document)
    history = History(prometheus, since, until, scrape_interval, reporter, canary_pods)
    spans = find_weights(measure(spec, history), [step.weight for step in spec.steps])
    header = header_line(document, learn_noise(spec, history, spans))
    out.writelines(f"{line}\n" for line in (header, *map(span_line, spans)))
    click.echo(f"recorded {len(spans):,} spans of Canary {spec.key}", err=True)
