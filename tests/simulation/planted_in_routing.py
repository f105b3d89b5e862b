"""Controllers that are broken in how they make one split of several VirtualServices."""

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Final
from unittest.mock import patch

from canary.model.exposure import Exposure
from canary.model.observation import Problem, Split
from canary.ports import JointRouting
from canary.routing.joint import JointRouter


def only_the_first_virtual_service_seen() -> AbstractContextManager[object]:
    """The split stands as soon as it stands there, and the others are never moved."""
    read = JointRouter.read

    def narrow(self: JointRouter, *arguments: Any, **options: Any) -> JointRouting | Problem:
        found = read(self, *arguments, **options)
        if isinstance(found, Problem):
            return found
        first = found.objects[0]
        return replace(found, objects=(first,), split=Split(routes=first.split.routes))

    return patch.object(JointRouter, "read", narrow)


def only_the_first_virtual_service_written() -> AbstractContextManager[object]:
    """The others are waited for, for ever."""
    write = JointRouter.write

    def lazy(self: JointRouter, routing: JointRouting, asked: Exposure) -> None:
        write(self, replace(routing, objects=routing.objects[:1]), asked)

    return patch.object(JointRouter, "write", lazy)


IN_ROUTING: Final = (
    only_the_first_virtual_service_seen,
    only_the_first_virtual_service_written,
)
