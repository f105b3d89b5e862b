"""A controller process as one of several that share the Canaries: its own `Membership`, and the thread of it played.

What a replica writes and believes is the controller's own code. Only the loop around it is played, which attempts,
waits and gives up; the lab's tests let the real one run.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from simulation_api import NAMESPACE

from canary.kube.client import KubeClient
from canary.kube.membership import LeaseTimings, Membership
from canary.model.spec import ObjectKey

TIMINGS: Final = LeaseTimings(
    duration=timedelta(seconds=15), renew_deadline=timedelta(seconds=10), retry_period=timedelta(seconds=4)
)
TAKEN_OVER_WITHIN: Final = TIMINGS.duration + 2 * TIMINGS.retry_period + timedelta(seconds=1)
"""From the death of one to the first tick by another: a lease, and an attempt of the dead and of the living."""
_GROUP: Final = ObjectKey(NAMESPACE, "canary")


class Replica:
    """One of several.

    Args:
        client: of its process.
        name: of its process.
        monotonic: seconds, by the clock that membership goes by.
    """

    def __init__(self, client: KubeClient, name: str, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._membership = Membership(client, _GROUP, name.lower(), timings=TIMINGS)
        self._known: Sequence[str] = ()

    @property
    def name(self) -> str:
        """Its own among the members."""
        return self._membership.name

    @property
    def members(self) -> Sequence[str]:
        """Who shares at this moment."""
        return self._membership.members

    def attempt(self) -> bool:
        """Look at all and renew its own Lease, as often as the thread does at a time; False when it is no member."""
        mine = self._membership
        until = mine._until  # noqa: SLF001 - the thread's loop is played, and this is its body
        if until is not None and self._monotonic() >= until:
            return False
        has_joined = mine._attempt()  # noqa: SLF001 - as above
        if has_joined:
            mine._attempt()  # noqa: SLF001 - as above
        return not mine._stopping.is_set()  # noqa: SLF001 - as above: it is set where it gives up

    @property
    def has_changed(self) -> bool:
        """Whether others share than when this was last asked."""
        known, self._known = self._known, self.members
        return known != self._known
