"""What the weights of every kind of route have in common: where they stand, and how they are moved. Pure.

The two weights of a rule are given as shares of what the two get together, in whole percent. That is what Istio's
weights are, and what the rest of the house speaks of; where weights are relative (the Gateway API), the adapter says
what the two have to add up to when they are written (`Weights.totals`).

The operation on a leaf is `add`, which replaces a member that exists and makes one that does not (RFC 6902, 4.1): a
destination without a weight is legal, and one operation serves both. The fence is `kube.patch`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from canary.kube.patch import Operation
from canary.model.observation import Split
from canary.model.quoting import quote
from canary.model.spec import FULL_WEIGHT

LONGEST_NAME: Final = 80
"""Characters of a name or a value in a message; an object may hold any."""
_SHOWN: Final = 5
"""How many names a message lists; more than a handful is not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Our weights in one object.

    Attributes:
        split: what stands there, one entry per rule that is ours.
        paths: per rule the JSON Pointers of the stable and of the canary weight, in the same order.
        totals: per rule what the two weights add up to when they are written, a multiple of 100, in the same order.
    """

    split: Split
    paths: tuple[tuple[str, str], ...]
    totals: tuple[int, ...]


def weight_patch(
    split: Split, paths: Sequence[tuple[str, str]], totals: Sequence[int], canary_weight: int
) -> tuple[Operation, ...]:
    """Write the JSON Patch that gives the canary `canary_weight` percent and stable the rest.

    Args:
        split: the weights as read.
        paths: where they stand, as in `Weights`.
        totals: what the two add up to, as in `Weights`.
        canary_weight: 0 to 100 percent.

    Returns:
        The operations, to be fenced by the version they were read at; empty when every rule stands there already.

    Raises:
        ValueError: a weight outside 0 to 100, which no caller may ask for.
    """
    if not 0 <= canary_weight <= FULL_WEIGHT:
        raise ValueError(f"a canary weight is 0 to {FULL_WEIGHT} percent, not {canary_weight}")
    wanted = FULL_WEIGHT - canary_weight, canary_weight
    leaves: list[Operation] = []
    for standing, (stable_path, canary_path), total in zip(split.routes, paths, totals, strict=True):
        if (standing.stable, standing.canary) != wanted:
            unit = total // FULL_WEIGHT
            leaves.append({"op": "add", "path": stable_path, "value": wanted[0] * unit})
            leaves.append({"op": "add", "path": canary_path, "value": wanted[1] * unit})
    return tuple(leaves)


def listed(names: Iterable[object]) -> str:
    """The first few of some names that stand in an object, each quoted, for a message."""
    words = [quote(name, 2 * LONGEST_NAME + len(" (subset )")) for name in names]
    rest = len(words) - _SHOWN
    return ", ".join(words[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "") if words else "none"


def pointer(path: str) -> str:
    """The JSON Pointer of a path as people write it: `spec.http[0].route[1]` is `/spec/http/0/route/1`."""
    return "/" + path.replace("[", "/").replace("]", "").replace(".", "/")
