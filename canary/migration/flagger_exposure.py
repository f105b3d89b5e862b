"""What Flagger lets reach the canary besides weights: a mirror, and chosen users (A/B), as steps of ours.

Before its first weight Flagger mirrors for one interval, if it is told to. Here that is a step of its own, which is
left by its evidence like any other.

With `iterations` Flagger moves no weights: it looks so many times, once per interval, at what its tests and a mirror
bring to the canary (blue/green), or at the users of `match` (A/B), and then everybody gets it. That is one step of
ours, which lasts as long. Blue/green without a mirror is refused: nothing would reach the canary that could be judged.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from canary.migration.source import Path, Source
from canary.migration.text_rules import read_text_rule
from canary.model.quantities import format_duration
from canary.model.step_documents import MOST_USERS

_STRAIGHT_ON: Final = "one step, which lasts as long and also needs its evidence; then everybody gets the version"
Rung = dict[str, Any]


def mirror_first(source: Source, analysis: Path, interval: timedelta) -> list[Rung]:
    """The step before the first weight, if Flagger mirrors there."""
    if not source.flag(*analysis, "mirror"):
        source.leaves_out((*analysis, "mirror"), "is false, and nothing is mirrored")
        source.leaves_out((*analysis, "mirrorWeight"), "without mirror Flagger does not use it, either")
        return []
    why = "is a step of its own, the first, and is left by its evidence like any other"
    source.differently((*analysis, "mirror"), "spec.steps[0].mirror", why)
    return [{"mirror": _share(source, analysis), "hold": format_duration(interval)}]


def only_step(source: Source, analysis: Path, hold: timedelta) -> list[Rung]:
    """The step that stands for `iterations`.

    Args:
        source: Flagger's Canary.
        analysis: where its analysis stands.
        hold: how long all iterations last.

    Raises:
        InvalidDocument: nothing would reach the canary, or its users cannot be chosen here.
    """
    source.differently((*analysis, "iterations"), "spec.steps[0].hold", _STRAIGHT_ON)
    for field in ("stepWeight", "stepWeights", "maxWeight", "stepWeightPromotion"):
        source.leaves_out((*analysis, field), "beside iterations Flagger does not use it")
    if entries := source.items(*analysis, "match"):
        if len(entries) > MOST_USERS:
            raise source.refuse((*analysis, "match"), f"has more than {MOST_USERS} entries", "choose users by fewer")
        return [{"match": [_users(source, entry) for entry in entries], "hold": format_duration(hold)}]
    if source.flag(*analysis, "mirror"):
        source.differently((*analysis, "mirror"), "spec.steps[0].mirror", _STRAIGHT_ON)
        return [{"mirror": _share(source, analysis), "hold": format_duration(hold)}]
    message = "is Flagger's blue/green, where nothing but tests reaches the version before everybody gets it"
    remedy = "add mirror: true, so that it can be judged, write stepWeight, or leave it with Flagger"
    raise source.refuse((*analysis, "iterations"), message, remedy)


def _share(source: Source, analysis: Path) -> int:
    weight = source.whole(*analysis, "mirrorWeight")
    if weight is None:
        return 100
    if not 1 <= weight <= 100:
        raise source.refuse((*analysis, "mirrorWeight"), "is out of range", "write a percentage from 1 to 100")
    source.exactly((*analysis, "mirrorWeight"), "spec.steps[0].mirror")
    return weight


def _users(source: Source, entry: Path) -> Rung:
    """One entry of a match, in the words that chosen users have here."""
    written = source.at(*entry)
    assert isinstance(written, Mapping)  # noqa: S101 - `items` gives no others
    users: Rung = {}
    for field in written:
        if field == "headers":
            names = _names(source, (*entry, field))
            users["headers"] = {name: read_text_rule(source, (*entry, field, name)) for name in names}
        elif field == "sourceLabels":
            names = _names(source, (*entry, field))
            users["sourceLabels"] = {name: source.needed(*entry, field, name) for name in names}
        else:
            remedy = "choose users by headers and sourceLabels only, or leave this Canary with Flagger"
            raise source.refuse((*entry, field), "chooses requests in a way that does not exist here", remedy)
        source.exactly((*entry, field), f"spec.steps[0].match[{entry[-1]}].{field}")
    return users


def _names(source: Source, path: Path) -> list[str]:
    found = source.at(*path)
    if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
        raise source.refuse(path, "is not a mapping by names", "write a mapping there")
    return list(found)
