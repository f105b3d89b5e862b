"""`canary describe`: everything there is to say about one Canary."""

import click

from canary.cli.cluster import cluster_options, connected, namespace_of
from canary.cli.output import Format, format_option, write_document


@click.command(
    short_help="Show one Canary in full.",
    epilog="\b\nExamples:\n  canary describe order-service -n shop\n  canary describe order-service -o yaml",
)
@click.argument("name")
@format_option
@cluster_options
def command(name: str, output: Format, kubeconfig: str | None, namespace: str | None) -> None:
    """Show where the Canary of that NAME stands, why, by which numbers, and what it was asked to do."""
    from canary.cli.screen.reading import read_one, show_description  # noqa: PLC0415 (lazy: see the head of the package)

    with connected(kubeconfig) as client:
        document = read_one(client, namespace_of(namespace, kubeconfig), name)
    if output is Format.TEXT:
        show_description(document)
    else:
        write_document(document, output)
