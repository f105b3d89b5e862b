"""What the weights of every kind of route have in common: where they stand, and how they are moved. Pure.

Weights are relative, of Istio and of the Gateway API alike. What the rest of the house speaks of are the shares of what
the two versions get together, in whole percent, rounded down: shares that are no whole percentages then add up to 99,
which is no split (the machine does not begin on one, and in the middle of a release puts it right), and are compared
with whole percentages as exactly as if they had not been rounded. Refusing to read such weights was rejected: traffic
could not be taken away from a bad version as long as they stand.

They are written so that they add up to 100, because people read them as percent. Where a third one has a weight, the
two share what it leaves: they keep what they add up to, for else the third one's share would change with every step.
Each step must then be a whole number of that sum. Rounding was rejected: a step that is written as 5 and stands as 4.4
is never seen to stand as asked. What cannot be written is said before a release begins, with the step and the number by
which a person can multiply all weights of the rule, which changes nobody's share.

The operation on a leaf is `add`, which replaces a member that exists and makes one that does not (RFC 6902, 4.1): a
destination without a weight is legal, and one operation serves both. The fence is `kube.patch`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import gcd, lcm
from typing import Final, Protocol

from canary.kube.patch import Operation
from canary.model.observation import RouteWeights, Split
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
        totals: per rule what the two weights add up to when they are written, in the same order.
    """

    split: Split
    paths: tuple[tuple[str, str], ...]
    totals: tuple[int, ...]


class Weighted(Protocol):
    """A destination or a backendRef; as text, what people call it."""

    @property
    def weight(self) -> int:
        """As it stands."""
        ...

    @property
    def path(self) -> str:
        """The JSON Pointer of the weight."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Our two weights in one rule; `third` is the first other one that has a weight, if any."""

    stable: Weighted
    canary: Weighted
    third: Weighted | None

    @property
    def total(self) -> int:
        """What the two add up to as they stand."""
        return self.stable.weight + self.canary.weight

    @property
    def written_total(self) -> int:
        """What they add up to when they are written."""
        return FULL_WEIGHT if self.third is None else self.total

    @property
    def shares(self) -> RouteWeights:
        """Of what the two get together, in percent and rounded down; nothing of nothing is nothing."""
        stable, canary = (FULL_WEIGHT * each.weight // max(self.total, 1) for each in (self.stable, self.canary))
        return RouteWeights(stable=stable, canary=canary)

    def find_obstacle(self, weights: Sequence[int]) -> str | None:
        """Say why the weights of the steps, in percent, cannot all be written beside the third one; None if they can.

        The sentence goes on after the name of the rule.
        """
        if self.third is None:
            return None
        gives = f"gives weight {self.third.weight} to a third one, {self.third}, and {self.total} to stable and canary"
        if self.total <= 0:
            return f"{gives} together, of which nothing can be shared: give stable a weight above 0"
        step = next((step for step, weight in enumerate(weights) if self.total * weight % FULL_WEIGHT), None)
        if step is None:
            return None
        factor = lcm(*(FULL_WEIGHT // gcd(FULL_WEIGHT, self.total * weight) for weight in weights))
        return (
            f"{gives} together; step {step + 1} ({weights[step]}% of that) is no whole number, and cannot be written "
            f"without changing the third one's share: multiply all weights there by {factor}"
        )


def gather(pairs: Sequence[Pair]) -> Weights:
    """The weights of an object, given those of each of its rules."""
    return Weights(
        split=Split(routes=tuple(pair.shares for pair in pairs)),
        paths=tuple((pair.stable.path, pair.canary.path) for pair in pairs),
        totals=tuple(pair.written_total for pair in pairs),
    )


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
        ValueError: a weight outside 0 to 100, or one that is no whole number of a total, which no caller may ask for.
    """
    if not 0 <= canary_weight <= FULL_WEIGHT:
        raise ValueError(f"a canary weight is 0 to {FULL_WEIGHT} percent, not {canary_weight}")
    leaves: list[Operation] = []
    for standing, (stable_path, canary_path), total in zip(split.routes, paths, totals, strict=True):
        if (standing.stable, standing.canary) != (FULL_WEIGHT - canary_weight, canary_weight):
            canary, rest = divmod(canary_weight * total, FULL_WEIGHT)
            if rest:
                raise ValueError(f"{canary_weight}% of {total} is no whole number")
            leaves.append({"op": "add", "path": stable_path, "value": total - canary})
            leaves.append({"op": "add", "path": canary_path, "value": canary})
    return tuple(leaves)


def listed(names: Iterable[object]) -> str:
    """The first few of some names that stand in an object, each quoted, for a message."""
    words = [quote(name, 2 * LONGEST_NAME + len(" (subset )")) for name in names]
    rest = len(words) - _SHOWN
    return ", ".join(words[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "") if words else "none"


def pointer(path: str) -> str:
    """The JSON Pointer of a path as people write it: `spec.http[0].route[1]` is `/spec/http/0/route/1`."""
    return "/" + path.replace("[", "/").replace("]", "").replace(".", "/")
