"""Canaries from the cluster to the screen, for the verbs that only read."""

from collections.abc import Sequence
from datetime import UTC, datetime

from canary.cli.screen.console import open_console
from canary.cli.screen.description import draw_description
from canary.cli.screen.table import draw_table
from canary.cli.screen.view import view_of
from canary.kube.client import KubeClient
from canary.kube.failures import NotFound
from canary.kube.resources import CANARIES, Document, object_key
from canary.model.spec import ObjectKey


def read_one(client: KubeClient, namespace: str, name: str) -> Document:
    """The Canary of that name.

    Raises:
        NotFound: there is none.
        Transient: the cluster does not answer.
        Refused: the cluster refuses.
    """
    document = client.get(CANARIES, ObjectKey(namespace, name))
    if document is None:
        raise NotFound(f"there is no Canary {namespace}/{name}; `canary get -A` lists those there are")
    return document


def read_some(client: KubeClient, namespace: str | None) -> list[Document]:
    """All Canaries of a namespace, or (None) of the cluster, ordered by namespace and name. Raises as `read_one`."""
    return sorted(client.list_objects(CANARIES, namespace).items, key=object_key)


def show_table(documents: Sequence[Document], *, with_namespace: bool) -> None:
    """Print one line for each Canary."""
    console, now = open_console(), datetime.now(UTC)
    views = [view_of(document, now) for document in documents]
    console.print(draw_table(views, console.width, with_namespace=with_namespace))


def show_description(document: Document) -> None:
    """Print everything about one Canary."""
    console = open_console()
    console.print(draw_description(view_of(document, datetime.now(UTC)), console.width))
