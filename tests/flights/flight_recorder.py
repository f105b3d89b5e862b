"""What objects of the lab have been, moment by moment, as the API server tells its watchers.

A value that stands for a tenth of a second is missed by whoever asks now and then, and it is the one that must not have
been. So it is recorded from a watch, which is resumed where it broke: the API server is one of the parts that die.
"""

import threading
from collections.abc import Callable
from typing import Final, Self, TypeVar

from canary.lab.kube_api import GONE, VIRTUAL_SERVICES, ApiError, Document, Kind
from canary.lab.lab import HOST, NAMESPACE, Lab

T = TypeVar("T")

_WATCH_SECONDS: Final = 1
_LOOK_AGAIN_SECONDS: Final = 0.05
_LAST_WATCH_SECONDS: Final = 10.0


class FlightRecorder:
    """Follows objects for the length of a `with` block, each in a thread of its own."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(_LAST_WATCH_SECONDS)

    def follow_weights(self) -> list[tuple[int, ...]]:
        """Every pair of weights that the service's VirtualService has from now on: stable's, the canary's."""
        return self.follow(VIRTUAL_SERVICES, HOST, _weights)

    def follow(self, kind: Kind, name: str, read: Callable[[Document], T]) -> list[T]:
        """Every value that `read` finds in an object from now on, in order, as often as it came anew.

        The list grows while the block lasts; it is whole once it ends with a value that nothing follows.
        """
        values: list[T] = []
        version = self._lab.api.get(kind.path(NAMESPACE))["metadata"]["resourceVersion"]

        def take(event: Document) -> None:
            if event["type"] == "MODIFIED" and event["object"]["metadata"]["name"] == name:
                value = read(event["object"])
                values.extend([value] if values[-1:] != [value] else [])

        thread = threading.Thread(target=self._follow, args=(kind, version, take), name=f"recorder of {name}")
        self._threads.append(thread)
        thread.start()
        return values

    def _follow(self, kind: Kind, version: str, take: Callable[[Document], None]) -> None:
        while not self._stop.is_set():
            try:
                watch = self._lab.api.watch(kind.path(NAMESPACE), resource_version=version, seconds=_WATCH_SECONDS)
                for event in watch:
                    version = event["object"]["metadata"]["resourceVersion"]
                    take(event)
            except ApiError as error:
                if error.status == GONE:
                    raise  # something was missed
                self._stop.wait(_LOOK_AGAIN_SECONDS)


def _weights(document: Document) -> tuple[int, ...]:
    return tuple(route["weight"] for route in document["spec"]["http"][0]["route"])
