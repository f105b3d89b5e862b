"""The hands: one `match` over Action, and nothing else. Every action is fenced by what was read, and safe to repeat."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from canary.controller.observe import Sight
from canary.model.action import Action, CopyStable, Expose, PromoteTemplate, ScaleBaseline, ScaleCanary
from canary.model.observation import Workload
from canary.model.spec import CanarySpec
from canary.ports import JointRouting, TrafficRouter, Workloads


@dataclass(frozen=True, slots=True, kw_only=True)
class Applier:
    """Carries out decisions."""

    router: TrafficRouter
    workloads: Workloads

    def apply(self, spec: CanarySpec, actions: Iterable[Action], sight: Sight) -> None:
        """Take the actions in order; the first that fails ends it, and the next tick derives them anew.

        Raises:
            Conflict: something changed since it was read.
            Transient: no answer; the action may have been taken.
            Refused: it may not, or cannot, be done.
        """
        for action in actions:
            match action:
                case Expose(exposure):
                    if isinstance(sight.routing, JointRouting):
                        self.router.write(sight.routing, exposure)
                case ScaleCanary(replicas):
                    if isinstance(sight.observation.canary, Workload):
                        self.workloads.scale(spec.canary_key, replicas, sight.observation.canary.version)
                case CopyStable(revision, release):
                    if spec.baseline_key is not None:
                        self.workloads.copy(spec.stable_key, spec.baseline_key, revision, release)
                case ScaleBaseline(replicas):
                    if spec.baseline_key is not None and isinstance(sight.observation.baseline, Workload):
                        self.workloads.scale(spec.baseline_key, replicas, sight.observation.baseline.version)
                case PromoteTemplate(revision):
                    self.workloads.promote(spec.canary_key, spec.stable_key, revision)
                case _:
                    assert_never(action)
