"""Canaries as people keep them in files: several documents of YAML (and so JSON), lists, other kinds among them. Pure.

A key that is written twice is refused, although YAML and kubectl take the last one in silence: half of the steps, or
the whole analysis, would be gone without a word.
"""

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import yaml

from canary.model.errors import Fault, InvalidDocument
from canary.model.quoting import quote
from canary.model.resource import GROUP, KIND


class _Loader(yaml.SafeLoader):
    """Refuses a key that is written twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 (yaml's signature)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value[:60]!r} stands twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def documents_in(content: bytes, file: str) -> Iterator[Mapping[str, object]]:
    """Every document, and every item of those that are lists (`kubectl get -o yaml`).

    Raises:
        InvalidDocument: it is no YAML; what came before the fault has been answered.
    """
    try:
        for document in yaml.load_all(content, Loader=_Loader):
            items = document.get("items") if isinstance(document, dict) else None
            yield from (item for item in (items if isinstance(items, list) else [document]) if isinstance(item, dict))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        where = quote(error, 300)
        fault = Fault(path=file, value="", message=f"is not YAML: {where}", remedy="correct the file at that place")
        raise InvalidDocument(file, [fault]) from None


def is_canary(document: Mapping[str, object]) -> bool:
    """Whether somebody meant this to be a Canary of ours, well written or not."""
    version, kind = document.get("apiVersion"), document.get("kind")
    ours = isinstance(version, str) and version.partition("/")[0] == GROUP
    return ours or (kind == KIND and not (isinstance(version, str) and "." in version.partition("/")[0]))
