"""What one world will suffer, drawn whole from its seed before anything happens.

A world is a version that is shipped, a Canary, and a list of disturbances. They are drawn beforehand, and named by the
time or by the request at which they strike, because then a failing world can be made smaller: leave one out, run again.
Drawing each as its turn comes was rejected; the first one left out would change all that follow.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from simulation_gates import draw_gates
from simulation_prometheus import TROUBLES
from simulation_shop import BASELINE, BOTH, CANARY, EDGE, SERVICE, STABLE

SHIPPED_AT: Final = 5.0
"""Seconds after the world begins."""
TROUBLED_FOR: Final = 300.0
"""From then on nothing new goes wrong; what has begun may last a little longer."""
LONGEST: Final = 150.0
SCALED_BACK_AFTER: Final = 30.0
"""Seconds after which people notice that stable has no pods."""
QUALITIES: Final = {"good": 1, "bad": 400, "broken": 1000, "crashing": 1, "slow": 1}
"""Of a version: failures per mille. The pods of a crashing one never become ready; a slow one answers late."""

_LINGERING: Final = ("scaled by hand", "samples come late", "GitOps reverts", "weights contested")
"""What holds up longer than it lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """One thing that goes wrong, or that somebody does.

    Attributes:
        what: see `simulation_faults` and `simulation_people`.
        at: seconds after the world began; None when it strikes a request.
        strikes: which requests it counts: "write", "read", "query" (of the metrics); empty when it has a time.
        nth: which of them it strikes, from 1.
        seconds: how long it lasts, or how late something comes.
        detail: what else there is to say.
    """

    what: str
    at: float | None = None
    strikes: str = ""
    nth: int = 0
    seconds: float = 0.0
    detail: str = ""

    @property
    def lasts(self) -> float:
        """Seconds until nobody has to do with it any more."""
        return self.seconds + (SCALED_BACK_AFTER if self.what == "scaled by hand" else 0.0)

    def __str__(self) -> str:
        when = f"at {self.strikes} {self.nth}" if self.strikes else f"at {self.at or 0:g} s"
        lasting = f" ({self.seconds:g} s)" if self.seconds else ""
        return f"{when}: {self.what}{f' {self.detail}' if self.detail else ''}{lasting}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One world before it begins; the same plan always makes the same world.

    Attributes:
        seed: of which it was drawn.
        quality: of the version that is shipped.
        spec: of the Canary, as far as it differs from world to world.
        stable_pods: how many.
        disturbances: what goes wrong.
        history_after: seconds until Prometheus has told what stable's pods served in the hours before; None when it
            knows nothing of it.
        shares: whether two controllers share the Canaries.
        manners: how each hook answers, by its name.
    """

    seed: int
    quality: str
    spec: Mapping[str, Any]
    stable_pods: int
    disturbances: tuple[Disturbance, ...]
    history_after: float | None = None
    shares: bool = False
    manners: Mapping[str, str] = field(default_factory=dict)

    @property
    def routers(self) -> tuple[str, ...]:
        """The VirtualServices whose weights are moved, in the order of the spec."""
        return (SERVICE, EDGE) if "istio" in self.spec.get("traffic", {}) else (SERVICE,)

    @property
    def touched(self) -> str:
        """The one of them that others have their hands in."""
        return self.routers[self.seed % len(self.routers)]

    @property
    def times_requests(self) -> bool:
        """Whether latency is compared too."""
        return len(self.spec["analysis"]["metrics"]) > 1

    @property
    def hears(self) -> bool:
        """Whether the workloads' own proxies are scraped, for they alone know of copies."""
        return any("mirror" in step for step in self.spec["steps"])

    @property
    def calm_at(self) -> float:
        """Seconds after which nothing goes wrong any more."""
        ends = [each.at + each.lasts for each in self.disturbances if each.at is not None]
        return max([TROUBLED_FOR if self.disturbances else SHIPPED_AT, *ends]) + 1

    @property
    def control(self) -> str:
        """The workload that the canary is compared with."""
        return BASELINE if "baseline" in self.spec else STABLE

    @property
    def hindrance(self) -> float:
        """Seconds by which all of this may hold up what a controller would do at once."""
        return sum(each.seconds + (60 if each.what in _LINGERING else 20) for each in self.disturbances)

    def has(self, *words: str) -> bool:
        """Whether any disturbance is of one of these kinds."""
        return any(each.what in words for each in self.disturbances)


STRIKES: Final[Mapping[str, tuple[tuple[str, float], ...]]] = {
    "write": (
        ("409", 0.0),
        ("422", 0.0),
        ("429", 0.0),
        ("500", 0.0),
        ("lost", 0.0),
        ("unanswered", 0.0),
        ("500 though carried out", 0.0),
        ("carried out late", 30.0),
        ("killed before", 20.0),
        ("killed after", 20.0),
        ("frozen before", 40.0),
        ("frozen after", 40.0),
    ),
    "read": (("500", 0.0), ("lost", 0.0), ("killed before", 20.0), ("frozen after", 40.0)),
    "query": (("killed before", 20.0), ("frozen before", 40.0)),
}
"""What can strike a request, by kind of request, and how many seconds at most belong to it."""
ANOTHER_LEADS: Final = "while another leads"
_OFTEN: Final = {"second leader": 0.12, "weights contested": 0.04, "weights edited": 0.04}
"""More often than their turn: most other disturbances are worse with another leader, and few weights have long stood
as asked when they are changed."""
_NTH: Final = {"write": 32, "read": 100, "query": 15}


def _any_workload(dice: random.Random) -> str:
    return dice.choices((STABLE, CANARY, BASELINE), (2, 2, 1))[0]


def _gateway(dice: random.Random) -> str:
    return dice.choice(("edge-a", "edge-b"))


def _split(dice: random.Random) -> str:
    return dice.choice(("100/0", "0/100", "70/30", "50/50", "90/10", "40/40", "0/0", "100/100"))


def _nothing(_dice: random.Random) -> str:
    return ""


TIMED: Final[Mapping[str, tuple[float, Callable[[random.Random], str]]]] = {
    "Prometheus": (LONGEST, lambda dice: dice.choice(sorted(TROUBLES))),
    "samples come late": (60.0, lambda dice: dice.choice(("7", "12", "40"))),
    "series missing of": (60.0, _any_workload),
    "gateway restarts": (0.0, _gateway),
    "gateway replaced": (0.0, _gateway),
    "gateway not scraped": (LONGEST, _gateway),
    "API server down": (60.0, _nothing),
    "API server busy": (60.0, _nothing),
    "cut off": (60.0, _nothing),
    "watches broken": (60.0, _nothing),
    "events dropped": (60.0, _nothing),
    "events late": (60.0, lambda dice: dice.choice(("3", "30"))),
    "events twice": (60.0, _nothing),
    "stale list": (0.0, lambda dice: dice.choice(("5", "30", "90"))),
    "clock jumps": (90.0, lambda dice: dice.choice(("-40", "-5", "3", "15", "60", "300"))),
    "second leader": (LONGEST, _nothing),
    "killed": (30.0, _nothing),
    "pods crash": (90.0, lambda dice: f"{_any_workload(dice)} {dice.choice(('0', '1'))}"),
    "weights edited": (0.0, _split),
    "route inserted": (0.0, _nothing),
    "paused": (60.0, _nothing),
    "aborted": (0.0, _nothing),
    "approved": (0.0, _nothing),
    "steps edited": (0.0, lambda dice: dice.choice(("10", "50", "5,20,80", "20,60"))),
    "margin edited": (0.0, lambda dice: dice.choice(("1.5pp", "5pp"))),
    "scaled by hand": (0.0, lambda dice: f"{_any_workload(dice)} {dice.choice(('0', '1', '3'))}"),
    "ships": (0.0, lambda dice: f"v{dice.choice('345')} {dice.choice(('good', 'bad', 'broken', 'crashing'))}"),
    "withdrawn": (0.0, _nothing),
    "hotfix on stable": (0.0, _nothing),
    "GitOps reverts": (80.0, _nothing),
    "vanishes": (40.0, lambda dice: dice.choice(("VirtualService", "DestinationRule"))),
    "Canary made anew": (0.0, _nothing),
    "Canary deleted": (0.0, _nothing),
    "weights contested": (150.0, lambda dice: dice.choice(("0.06", "0.3", "2", "10"))),
    "rival Canary": (60.0, _nothing),
}
"""What can happen at any time: how many seconds it lasts at most, and what else there is to say."""

_REMEMBERS: Final = 0.15
_SHARES: Final = 0.15
_TIMES_REQUESTS: Final = 0.25
_SLOW: Final = 0.25
_RESPECTS: Final = 0.3
_LEAVES: Final = 0.25
_HAS_TWO: Final = 0.3
"""How often each is drawn."""

_EXPOSES: Final = 0.2
_TESTERS: Final = [{"headers": {"x-tester": {"exact": "yes"}}}]
_EXPOSING_STEPS: Final[tuple[Any, ...]] = (
    [{"mirror": 20, "hold": "10s"}, {"weight": 50, "hold": "10s", "scale": {"byWeight": True}}],
    [{"mirror": 100, "hold": "10s"}],
    [{"match": _TESTERS, "hold": "10s"}, {"match": _TESTERS, "weight": 25, "hold": "0s"}, {"weight": 50, "hold": "0s"}],
    [{"mirror": 50, "hold": "0s"}, {"match": _TESTERS, "hold": "10s", "approval": True}],
)
"""Instead of the steps below, as often as that."""
_STEPS: Final = (
    [{"weight": 10, "hold": "20s"}, {"weight": 50, "hold": "20s"}],
    [{"weight": 50, "hold": "10s"}],
    [{"weight": 5, "hold": "10s"}, {"weight": 25, "hold": "10s"}, {"weight": 75, "hold": "0s"}],
    [{"weight": 20, "hold": "10s", "approval": True}, {"weight": 80, "hold": "10s"}],
)


def draw(seed: int) -> Plan:
    """The plan of a world."""
    dice = random.Random(seed)
    quality = dice.choices(("good", "bad", "broken", "crashing"), (6, 3, 2, 1))[0]
    policy = dice.choices(("hold", "promote", "rollback"), (8, 1, 1))[0]
    spec = {
        "canary": {"deployment": "orders-canary", "scaleDownDelay": dice.choice(("0s", "10s", "30s"))},
        "steps": dice.choice(_STEPS),
        "analysis": {
            "interval": "10s",
            "warmup": dice.choices(("0s", "10s", "2m"), (4, 8, 3))[0],
            "metrics": [{"name": "errors", "margin": "2pp"}],
            "maxDuration": dice.choice(("30m", "3m")) if policy != "hold" else "30m",
            "onInconclusive": policy,
        },
        "progressDeadline": dice.choice(("1m", "5m")),
    }
    if dice.random() < 0.3:
        spec["canary"] = spec["canary"] | {"replicas": dice.choice((1, 2))}  # type: ignore[operator]  # a dict just above
    if dice.random() < 0.25:
        spec["baseline"] = {"deployment": BASELINE}
    pods = dice.choice((1, 2, 4))
    count = dice.choices(range(9), (2, 6, 8, 8, 6, 4, 3, 2, 1))[0]
    disturbances = tuple(_disturbance(dice) for _ in range(count))
    history_after = dice.choice((0.0, 12.0, 25.0, 50.0)) if dice.random() < _REMEMBERS else None
    shares = dice.random() < _SHARES
    if dice.random() < _TIMES_REQUESTS:
        spec["analysis"] = spec["analysis"] | {"metrics": metrics_of("2pp", times_requests=True)}  # type: ignore[operator]  # as above
        quality = "slow" if dice.random() < _SLOW else quality
    if dice.random() < _RESPECTS:
        spec["traffic"] = {"onDrift": "respect"}
    if dice.random() < _LEAVES:
        spec["onDelete"] = "leave"
    if dice.random() < _HAS_TWO:
        spec["traffic"] = {"istio": BOTH} | spec.get("traffic", {})  # type: ignore[operator]  # a dict just above
    elif dice.random() < _EXPOSES:
        spec["steps"] = dice.choice(_EXPOSING_STEPS)
    gates, manners = draw_gates(seed)
    return Plan(
        seed=seed,
        quality=quality,
        spec=spec | gates,
        stable_pods=pods,
        disturbances=disturbances,
        history_after=history_after,
        shares=shares,
        manners=manners,
    )


def metrics_of(margin: str, *, times_requests: bool) -> list[dict[str, str]]:
    """What is compared: errors within a margin, and perhaps latency."""
    latency = [{"name": "latency", "margin": "50%"}]
    return [{"name": "errors", "margin": margin}, *(latency if times_requests else [])]


def _disturbance(dice: random.Random) -> Disturbance:
    if dice.random() < 0.5:
        strikes = dice.choices(("write", "read", "query"), (10, 3, 1))[0]
        what, seconds = dice.choice(STRIKES[strikes])
        nth = dice.randint(1, _NTH[strikes])
        leads = dice.choice(("", ANOTHER_LEADS)) if what.startswith("frozen") else ""
        return Disturbance(what=what, strikes=strikes, nth=nth, seconds=_some(dice, seconds), detail=leads)
    others = 1 - sum(_OFTEN.values())
    what = dice.choices((*_OFTEN, dice.choice(list(TIMED))), (*_OFTEN.values(), others))[0]
    seconds, detail = TIMED[what]
    at = round(dice.uniform(0, TROUBLED_FOR if dice.random() < 0.3 else 120), 1)
    return Disturbance(what=what, at=at, seconds=_some(dice, seconds), detail=detail(dice))


def _some(dice: random.Random, most: float) -> float:
    return round(dice.uniform(min(1.0, most), most), 1)
