"""Hooks and freezes of a simulated world: what is drawn of them, and who answers.

The far end of every call is played here, with the answers that were drawn; what is sent, signed, tried again and made
of an answer is the controller's own. When the world is calm everybody agrees, and nobody calls the release off.
"""

import json
import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from canary.model.hooks import HookPoint
from canary.notify.exchange import Received, Unheard

MANNERS: Final = ("yes", "no", "not at all", "by turns")
"""How a hook answers until the world is calm."""
ANSWERED_AFTER: Final = timedelta(seconds=1)
_ASKED: Final = (
    HookPoint.CONFIRM_ROLLOUT,
    HookPoint.PRE_ROLLOUT,
    HookPoint.ROLLOUT,
    HookPoint.CONFIRM_TRAFFIC_INCREASE,
    HookPoint.CONFIRM_PROMOTION,
    HookPoint.ROLLBACK,
    HookPoint.POST_ROLLOUT,
)
_HOOKED: Final = 0.25
_FROZEN: Final = 0.15
_WINDOWS: Final = ("0 12 1 1 *", "1 12 1 1 *", "2 12 1 1 *")


def draw_gates(seed: int) -> tuple[dict[str, Any], dict[str, str]]:
    """What of the spec a world has of gates, and how each hook answers.

    Drawn from dice of their own: all else in a world of this seed stays as it was.
    """
    dice, spec, manners = random.Random(f"gates of {seed}"), {}, {}
    if dice.random() < _HOOKED:
        points = dice.sample(_ASKED, dice.randint(1, 3))
        spec["hooks"] = [
            {"name": point.value, "at": point.value, "url": f"http://hooks.simulated/{point.value}"} for point in points
        ]
        manners = {point.value: dice.choice(MANNERS) for point in points}
    if dice.random() < _FROZEN:
        spec["freeze"] = [{"from": dice.choice(_WINDOWS), "for": dice.choice(("1m", "2m", "3m"))}]
    return spec, manners


class Side(Protocol):
    """What the far end needs of its world."""

    calm: bool

    @property
    def now(self) -> datetime:
        """The true time."""
        ...

    def tell(self, what: str) -> None:
        """Add a line to the story."""
        ...


class FarEnd:
    """Answers every call of a world.

    Args:
        world: whose calls.
        manners: how each hook answers, by its name.

    Attributes:
        heard: of each hook and release, what was last answered: whether yes; what cannot be heard is none.
    """

    def __init__(self, world: Side, manners: Mapping[str, str]) -> None:
        self._world, self._manners = world, manners
        self._calls = 0
        self.heard: dict[tuple[str, str], set[bool]] = {}

    def post(self, url: str, _headers: Mapping[str, str], body: bytes, _seconds: float) -> Received:
        """Answer one."""
        name, document = url.rpartition("/")[2], json.loads(body)
        self._calls += 1
        manner = "yes" if self._world.calm else self._manners[name]
        if manner == "not at all" or (manner == "by turns" and self._calls % 3 == 0):
            raise Unheard("nobody is there")
        is_yes = manner == "yes" or (manner == "by turns" and self._calls % 3 == 1)
        if name == HookPoint.ROLLBACK.value:
            is_yes = False  # nobody calls it off; whether that is heard is what holds it
        self.heard.setdefault((name, document["release"]), set()).add(is_yes)
        self._world.tell(f"hook {name} says {'yes' if is_yes else 'no'} to {document['release']}")
        return Received(status=200 if is_yes else 403, beginning="")
