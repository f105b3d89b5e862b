"""One write of a controller, with all that a promise may hold it against.

That is the object before and after, what the tick of the writer had read (`Glimpse`), the status it had persisted, and
the truth of the world.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulation_api import Document, path_of
from simulation_controller import Glimpse
from simulation_shop import SERVICE, weights_of, workload_of

from canary.model.observation import Workload

if TYPE_CHECKING:  # promises are about this
    from simulation_watchman import Record
    from simulation_world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One write of a controller that was carried out."""

    world: "World"
    process: str
    glimpse: Glimpse
    record: "Record"
    before: Document
    after: Document

    @property
    def old(self) -> Document:
        """The status before, of a Canary."""
        return self.before.get("status", {})  # type: ignore[no-any-return]  # a foreign document

    @property
    def new(self) -> Document:
        """The status after, of a Canary."""
        return self.after.get("status", {})  # type: ignore[no-any-return]  # a foreign document

    @property
    def both(self) -> tuple[Document, Document]:
        """The object before and after."""
        return self.before, self.after

    @property
    def persisted(self) -> Document:
        """The status that this tick has persisted; empty when it has not."""
        written = self.glimpse.written.get(SERVICE)
        return {} if written is None else written.get("status", {})

    @property
    def version(self) -> str:
        """The version that is released, of a Canary; empty without one."""
        return self.record.versions.get(self.new.get("revision", ""), "")

    @property
    def asks_for_the_undecided(self) -> bool:
        """Whether a version is to be promoted that nothing is known of in the end."""
        return bool(self.analysis("onInconclusive") == "promote")

    @property
    def is_same_release(self) -> bool:
        """Whether both statuses are of one release."""
        words = ("revision", "startedAt")
        return "startedAt" in self.old and all(self.old.get(word) == self.new.get(word) for word in words)

    def read(self, kind: str, name: str) -> Document | None:
        """What the tick had read of an object."""
        return self.glimpse.seen.get(path_of(kind, name))

    @property
    def splits(self) -> set[tuple[int, int]]:
        """The weights as the tick had read them, in every VirtualService: one pair where all stand alike."""
        return {weights_of(self.read("VirtualService", name)) for name in self.world.plan.routers}

    def workload(self, name: str) -> Workload:
        """A Deployment as the tick had read it; nothing where it had not."""
        document = self.read("Deployment", name)
        if document is None:
            return Workload(revision="", replicas=0, available=0, rolled_out=False, version="")
        return workload_of(document)

    @property
    def steps(self) -> list[Document]:
        """The steps that the tick had read."""
        document = self.read("Canary", SERVICE)
        return [] if document is None else document["spec"]["steps"]

    def analysis(self, word: str) -> Any:
        """A word of the analysis that the tick had read."""
        document = self.read("Canary", SERVICE)
        return None if document is None else document["spec"]["analysis"].get(word)


Promise = Callable[[Written], str | None]
"""What a write breaks, in words, or None; its name says what is promised."""
