"""Which Canaries there are, what each refers to, and who was first where two want the same thing.

Two Canaries that move the weights of one route, or that share a Deployment, would undo each other's work for ever and
poison each other's evidence. The older one goes on; the younger one is told whom it collides with and moves nothing.
The watch keeps this index fresh; it also answers which Canaries to wake when a Deployment or a route changes.
"""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from canary.controller.budget import Standing, read_standing
from canary.model.errors import InvalidDocument
from canary.model.observation import Problem
from canary.model.resource import parse_canary
from canary.model.spec import CanarySpec, ObjectKey
from canary.model.traffic import ObjectTraffic
from canary.ports import CanaryObject

_ANY_PART = "*"


@dataclass(frozen=True, slots=True, order=True)
class Claim:
    """Something only one Canary may move: a Deployment, or a part of what routes traffic (an http route, a rule)."""

    kind: str
    key: ObjectKey
    part: str = ""

    def collides_with(self, other: "Claim") -> bool:
        """Whether both could mean the same thing; a part that is not named could be any."""
        same_object = self.kind == other.kind and self.key == other.key
        return same_object and (self.part == other.part or _ANY_PART in (self.part, other.part))

    def __str__(self) -> str:
        part = f" {self.part}" if self.part not in ("", _ANY_PART) else ""
        return f"{self.kind} {self.key}{part}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One Canary of the fleet: parsed, or refused; of the document only the metadata are kept."""

    canary: CanaryObject
    spec: CanarySpec | None
    refusal: InvalidDocument | None
    claims: tuple[Claim, ...]

    @property
    def seniority(self) -> tuple[float, ObjectKey]:
        """Sorts the fleet oldest first; the name settles a tie."""
        return self.canary.created.timestamp(), self.canary.key


def read_member(canary: CanaryObject) -> Member:
    """Parse one Canary; a document that is refused claims nothing."""
    try:
        spec = parse_canary(canary.document)
    except InvalidDocument as refusal:
        return Member(canary=canary, spec=None, refusal=refusal, claims=())
    return Member(canary=canary, spec=spec, refusal=None, claims=_claims(spec))


def _claims(spec: CanarySpec) -> tuple[Claim, ...]:
    routed: tuple[ObjectTraffic, ...] = spec.traffic.objects
    return (
        Claim("Deployment", spec.stable_key),
        Claim("Deployment", spec.canary_key),
        *([Claim("Deployment", spec.baseline_key)] if spec.baseline_key else []),
        *(
            Claim(each.kind, key, part)
            for each, key in zip(routed, spec.traffic_keys, strict=True)
            for part in each.parts or (_ANY_PART,)
        ),
    )


def _without_content(canary: CanaryObject) -> CanaryObject:
    """The Canary as far as it does not stand in `Member.spec`: a whole fleet's documents would take 10 KB each."""
    return replace(canary, document={"metadata": canary.document.get("metadata", {})})


class Fleet:
    """The index; safe to use from the watch's thread and from ticks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._members: dict[ObjectKey, Member] = {}
        self._claimants: dict[tuple[str, ObjectKey], set[ObjectKey]] = {}
        self._standings: dict[ObjectKey, Standing] = {}

    def admit(self, canary: CanaryObject) -> Member:
        """Take in a Canary, or its newer version; an unchanged spec is not parsed again."""
        with self._lock:
            known = self._members.get(canary.key)
            if known is not None and known.canary.uid != canary.uid:
                self._withdraw(known)
                known = None
            if known is not None and known.canary.generation == canary.generation:
                member = replace(known, canary=canary)
            else:
                member = self._read_anew(canary, known)
            member = self._members[canary.key] = replace(member, canary=_without_content(canary))
            self._note_standing(member, canary)
            return member

    def _note_standing(self, member: Member, canary: CanaryObject) -> None:
        """Keep where its release stands; who cannot be read is not in line, and may be under way all the same."""
        standing = read_standing(canary.status)
        if standing is None or (standing.queued_at is not None and member.refusal is not None):
            self._standings.pop(canary.key, None)
        else:
            self._standings[canary.key] = standing

    def _read_anew(self, canary: CanaryObject, known: Member | None) -> Member:
        """Parse it, and claim what it names; a spec that broke in the middle keeps what the last good one claimed."""
        member = read_member(canary)
        if member.refusal is not None and known is not None:
            return replace(member, claims=known.claims)
        if known is not None:
            self._withdraw(known)
        for claim in member.claims:
            self._claimants.setdefault((claim.kind, claim.key), set()).add(canary.key)
        return member

    def dismiss(self, key: ObjectKey) -> None:
        """The Canary is gone; dismissing again is harmless."""
        with self._lock:
            self._standings.pop(key, None)
            member = self._members.pop(key, None)
            if member is not None:
                self._withdraw(member)

    def _withdraw(self, member: Member) -> None:
        for claim in member.claims:
            claimants = self._claimants.get((claim.kind, claim.key), set())
            claimants.discard(member.canary.key)
            if not claimants:
                self._claimants.pop((claim.kind, claim.key), None)

    def find(self, key: ObjectKey) -> Member | None:
        """The Canary as last seen."""
        with self._lock:
            return self._members.get(key)

    def keys(self) -> tuple[ObjectKey, ...]:
        """Every Canary there is."""
        with self._lock:
            return tuple(self._members)

    def standings(self) -> Mapping[ObjectKey, Standing]:
        """The Canaries whose releases are under way or wait for their turn, as last heard."""
        with self._lock:
            return dict(self._standings)

    def referring_to(self, kind: str, key: ObjectKey) -> tuple[ObjectKey, ...]:
        """The Canaries that name this Deployment, VirtualService, HTTPRoute or GRPCRoute."""
        with self._lock:
            return tuple(self._claimants.get((kind, key), ()))

    def rivals(self, key: ObjectKey) -> tuple[ObjectKey, ...]:
        """The other Canaries that claim an object which this one claims; they may go on when this one changes."""
        with self._lock:
            member = self._members.get(key)
            return tuple(rival.canary.key for rival in self._rivals(member)) if member else ()

    def find_collision(self, member: Member) -> Problem | None:
        """Why this Canary must stand back, if an older one has claimed what it claims."""
        with self._lock:
            rivals = self._rivals(member)
        for rival in sorted(rivals, key=lambda each: each.seniority):
            for claim in member.claims:
                if rival.seniority < member.seniority and any(claim.collides_with(other) for other in rival.claims):
                    return Problem(
                        reason="AlreadyClaimed",
                        message=f"{claim} belongs to the older Canary {rival.canary.key}: "
                        f"delete one of the two Canaries, or give this one objects (or routes) of its own",
                    )
        return None

    def _rivals(self, member: Member) -> Iterable[Member]:
        keys = {key for claim in member.claims for key in self._claimants.get((claim.kind, claim.key), ())}
        return [self._members[key] for key in keys if key != member.canary.key]
