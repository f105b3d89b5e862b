"""Tables of foreign fields: how they are written, and what is the same whoever the documents come from."""

from typing import Final

from canary.migration.source import Fate, Path, Rule

_OF_THE_SERVER: Final = "is the API server's own, and is made anew with the new object"


def pattern(path: str) -> Path:
    """`spec.service.*.labels` as a pattern."""
    return tuple(path.split(".")) if path else ()


def not_carried(*rows: tuple[str, str]) -> dict[Path, Rule]:
    """Rows of a path and of what to do instead."""
    return {pattern(path): Rule(fate=Fate.NOT, why=instead) for path, instead in rows}


OF_EVERY_OBJECT: Final[dict[Path, Rule]] = {
    ("apiVersion",): Rule(fate=Fate.DIFFERENTLY, into="apiVersion", why="the kind is this project's now"),
    ("kind",): Rule(fate=Fate.DIFFERENTLY, into="kind", why="the kind is this project's now"),
    ("metadata", "name"): Rule(fate=Fate.EXACTLY, into="metadata.name"),
    ("metadata", "namespace"): Rule(fate=Fate.EXACTLY, into="metadata.namespace"),
    ("metadata", "labels"): Rule(fate=Fate.EXACTLY, into="metadata.labels"),
    **not_carried(
        ("metadata.annotations", "is often written for the old kind or by a tool; copy by hand what people need"),
        ("metadata.generateName", "needs a name: a Canary is known by it"),
        ("metadata.uid", _OF_THE_SERVER),
        ("metadata.resourceVersion", _OF_THE_SERVER),
        ("metadata.generation", _OF_THE_SERVER),
        ("metadata.creationTimestamp", _OF_THE_SERVER),
        ("metadata.deletionTimestamp", _OF_THE_SERVER),
        ("metadata.deletionGracePeriodSeconds", _OF_THE_SERVER),
        ("metadata.selfLink", _OF_THE_SERVER),
        ("metadata.managedFields", _OF_THE_SERVER),
        ("metadata.finalizers", "belongs to the old controller; ours sets its own when a release begins"),
        ("metadata.ownerReferences", "binds the old object; set it anew if an owner makes the new one, too"),
        ("status", "is the old controller's: move between releases, then there is nothing in it that is needed"),
    ),
}
"""A template's own metadata has no counterpart; see OF_A_TEMPLATE."""

OF_A_TEMPLATE: Final[dict[Path, Rule]] = {
    **{path: rule for path, rule in OF_EVERY_OBJECT.items() if path != ("metadata", "labels")},
    **dict.fromkeys(
        (("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace"), ("metadata", "labels")),
        Rule(fate=Fate.NOT, why="no template is needed: a metric stands in the Canary that it judges"),
    ),
}
"""Templates dissolve in the Canaries that use them."""
