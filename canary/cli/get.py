"""`canary get`: where the releases of a namespace, or of the cluster, stand."""

import click

from canary.cli.cluster import cluster_options, connected, namespace_of
from canary.cli.output import Format, format_option, write_document


@click.command(
    short_help="List Canaries and where they stand.",
    epilog="\b\nExamples:\n  canary get -A\n  canary get order-service -n shop -o json",
)
@click.argument("name", required=False)
@click.option("-A", "--all-namespaces", is_flag=True, help="Those of every namespace.")
@format_option
@cluster_options
def command(
    name: str | None,
    all_namespaces: bool,  # noqa: FBT001 (click passes a flag as it is)
    output: Format,
    kubeconfig: str | None,
    namespace: str | None,
) -> None:
    """Show one line for each Canary, or for the one of that NAME."""
    if name and all_namespaces:
        raise click.UsageError("a NAME belongs to one namespace: leave out -A or the NAME")
    from canary.cli.screen.reading import read_one, read_some, show_table  # noqa: PLC0415 (lazy: see the head of the package)

    within = None if all_namespaces else namespace_of(namespace, kubeconfig)
    with connected(kubeconfig) as client:
        documents = [read_one(client, within or "", name)] if name else read_some(client, within)
    if output is not Format.TEXT:
        listing = {"apiVersion": "v1", "kind": "List", "items": documents}
        write_document(documents[0] if name else listing, output)
    elif documents:
        show_table(documents, with_namespace=all_namespaces)
    else:
        click.echo(f"there are no Canaries {f'in namespace {within}' if within else 'in this cluster'}", err=True)
