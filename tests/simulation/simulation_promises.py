"""What is promised of a status, and of the end of a world. Each is what a write breaks, in words, or None.

They are written from the four laws: only PASS climbs, unknown holds, evidence is counted once, nothing is lost.
"""

from datetime import datetime
from typing import Final

from simulation_api import Document
from simulation_shop import BASELINE, CANARY, SERVICE, STABLE, extras_of, version_of, workload_of
from simulation_written import Promise, Written

from canary.machine.phases import LEGAL_MOVES
from canary.metrics.counter_queries import LOOK_BACK
from canary.model.command import name_release
from canary.model.quantities import parse_duration
from canary.model.state import Phase

_CONDEMNED_WITHIN: Final = 60.0
"""Seconds from the first request on; three spans of 10 s agree after about 35."""
_CLIMBING: Final = ("Progressing", "Paused")
_ON_CANARY: Final = ("Progressing", "Paused", "Promoting")


def a_status_is_written_over_what_was_read(written: Written) -> str | None:
    read = written.read("Canary", SERVICE)
    found = written.before["metadata"]["resourceVersion"]
    known = None if read is None else read["metadata"]["resourceVersion"]
    earlier = written.glimpse.written.get(SERVICE) or written.glimpse.held.get(SERVICE)
    own = None if earlier is None else earlier["metadata"]["resourceVersion"]
    return None if found in (known, own) else f"it had read version {known}, and version {found} is lost"


def phases_follow_each_other(written: Written) -> str | None:
    old, new = Phase(written.old.get("phase", "Pending")), Phase(written.new.get("phase", "Pending"))
    return None if new is old or new in LEGAL_MOVES[old] else f"{old} became {new}"


def only_pass_climbs(written: Written) -> str | None:
    if not _climbs(written):
        return None
    old, new = written.old, written.new
    if old.get("phase") not in _CLIMBING:
        return f"out of {old.get('phase')}"
    if new.get("phase") == "Promoting" and written.workload(STABLE).revision == new["revision"]:
        return None
    overdue = written.glimpse.clock - _instant(old["startedAt"]) > parse_duration(written.analysis("maxDuration"))
    may_be_undecided = written.asks_for_the_undecided and overdue
    if new.get("verdict") == "PASS" or (may_be_undecided and new.get("verdict") == "INCONCLUSIVE"):
        return None
    return f"on {new.get('verdict')}"


def a_step_is_left_after_its_hold(written: Written) -> str | None:
    if not _climbs(written) or written.workload(STABLE).revision == written.new["revision"]:
        return None
    index = min(written.old.get("stepIndex", 0), len(written.steps) - 1)
    step, extras = written.steps[index], extras_of(written.read("VirtualService", SERVICE))
    weight = step.get("weight", 0)
    if written.splits != {(100 - weight, weight)} or extras != (step.get("mirror", 0), "match" in step):
        return f"the weights were {written.splits}, copies and testers {extras}"
    if "settledAt" not in written.old:
        return "its weight was never seen to stand"
    stood = written.glimpse.clock - _instant(written.old["settledAt"])
    if stood < parse_duration(step.get("hold", "0s")):
        return f"it stood for {stood} only"
    most = max(index + 1, written.old.get("stepIndex", 0))  # which keeps its number when the steps become fewer
    return None if written.new.get("stepIndex", 0) <= most else "more than one step at once"


def a_step_with_approval_is_left_with_it(written: Written) -> str | None:
    if not _climbs(written) or written.workload(STABLE).revision == written.new["revision"]:
        return None
    index = min(written.old.get("stepIndex", 0), len(written.steps) - 1)
    read = written.read("Canary", SERVICE) or {"metadata": {}}
    given = (read["metadata"].get("annotations") or {}).get("canary.delivery/approve")
    wanted = f"{name_release(written.new['revision'], written.new.get('attempt', 1))}/{index + 1}"
    return None if not written.steps[index].get("approval") or given == wanted else f"approved was {given}"


def a_bad_version_never_climbs(written: Written) -> str | None:
    if not _climbs(written) or written.workload(STABLE).revision == written.new["revision"]:
        return None
    intervals = [metric.get("interval", [0.0, 0.0]) for metric in written.new["analysis"].get("metrics", ())]
    is_undecided = written.new.get("verdict") == "INCONCLUSIVE" and all(low <= 0 for low, _ in intervals)
    if written.asks_for_the_undecided and is_undecided:
        return None  # the policy asks for what is not known to be worse
    return f"{written.version} climbed" if written.version.endswith(("-bad", "-broken", "-slow")) else None


def a_good_version_never_fails(written: Written) -> str | None:
    is_good = written.version.endswith(("-good", "-crashing"))
    return "evidence of harm where there is none" if is_good and written.new.get("verdict") == "FAIL" else None


def a_rollback_has_a_cause(written: Written) -> str | None:
    if written.new.get("phase") != "RollingBack" or written.old.get("phase") == "RollingBack":
        return None
    canary, revision = written.workload(CANARY), written.new["revision"]
    read = written.read("Canary", SERVICE) or {"metadata": {}}
    release = name_release(revision, written.new.get("attempt", 1))
    is_asked = (read["metadata"].get("annotations") or {}).get("canary.delivery/abort") == release
    is_gone = canary.revision != revision or not canary.rolled_out
    is_policy = written.analysis("onInconclusive") == "rollback"
    is_harm = written.new.get("verdict") == "FAIL"
    is_asked = is_asked or "deletionTimestamp" in read["metadata"]
    return None if is_asked or is_gone or is_policy or is_harm else f"on {written.new.get('verdict')}"


def a_broken_version_is_condemned_at_once(written: Written) -> str | None:
    """Warm-up or not: that is what the absolute guard is for. Weights that are left to others may keep it idle."""
    is_broken = written.version.endswith("-broken")
    is_entered = written.new.get("phase") == "RollingBack" and written.old.get("phase") != "RollingBack"
    is_excused = written.world.plan.has("clock jumps") or written.record.has_drifted
    if not (is_broken and is_entered and "startedAt" in written.new) or is_excused:
        return None
    served_for = (written.glimpse.clock - _instant(written.new["startedAt"])).total_seconds()
    most = _CONDEMNED_WITHIN + written.world.plan.hindrance
    return None if served_for <= most else f"after {served_for:.0f} s; {most:.0f} s would be excused"


def a_condemned_revision_stays_condemned(written: Written) -> str | None:
    new = written.new
    if new.get("phase") in _ON_CANARY and new.get("revision") in written.record.condemned:
        return f"{new['revision']} is {new['phase']} again"
    is_new = new.get("phase") == "Pending" and written.old.get("phase") in ("Failed", "Succeeded")
    is_judged = bool(new.get("revision")) and new.get("revision") == written.old.get("judgedRevision")
    return f"{new['revision']} was judged, and is released again" if is_new and is_judged else None


def evidence_is_counted_once(written: Written) -> str | None:
    """Of every span, and of the release where a proxy was not scraped: what it counts when it is back is of before."""
    if not written.is_same_release or "analysis" not in written.old:
        return None
    old, new = written.old["analysis"], written.new["analysis"]
    start, end = _instant(old["watermark"]), _instant(new["watermark"])
    if end < start:
        return f"the watermark went back from {start} to {end}"
    is_late = written.world.plan.has("gateway not scraped")
    since = _instant(written.new["startedAt"]) - LOOK_BACK if is_late else start
    for arm, names in (("stable", (STABLE, BASELINE)), ("canary", (CANARY,))):
        served = [written.world.traffic.served(name, since, end) for name in names]
        limits = (("requests", sum(each.requests for each in served)), ("errors", sum(each.errors for each in served)))
        for word, most in limits:
            known = old["totals"][arm][word]
            counted = new["totals"][arm][word] - (0 if is_late else known)
            if new["totals"][arm][word] < known or counted > most:
                return f"{counted} {word} of {arm} counted after {since} and up to {end}; there were {most}"
    return None


def what_is_judged_is_judged_by_one_noise(written: Written) -> str | None:
    if not written.is_same_release or "analysis" not in written.old:
        return None
    old, new = written.old["analysis"], written.new["analysis"]
    was_judged = old["judged"]["canary"]["requests"] > 0
    is_same = old.get("noise") == new.get("noise")
    return f"{old.get('noise')} became {new.get('noise')}" if was_judged and not is_same else None


def what_is_judged_was_counted(written: Written) -> str | None:
    analysis = written.new.get("analysis")
    if analysis is None:
        return None
    control = next(arm for arm in analysis["judged"] if arm != "canary")
    for arm in (control, "canary"):
        judged, total = analysis["judged"][arm], analysis["totals"]["canary" if arm == "canary" else "stable"]
        if judged["requests"] > total["requests"] or judged["errors"] > total["errors"]:
            return f"{judged} judged of {total}"
    return None


def what_is_judged_was_served_by_the_control(written: Written) -> str | None:
    analysis = written.new.get("analysis")
    if analysis is None or "startedAt" not in written.new:
        return None
    name = BASELINE if "baseline" in analysis["judged"] else STABLE
    since, end = _instant(written.new["startedAt"]) - LOOK_BACK, _instant(analysis["watermark"])
    served = written.world.traffic.served(name, since, end)
    judged = analysis["judged"]["stable" if name == STABLE else "baseline"]
    is_served = judged["requests"] <= served.requests and judged["errors"] <= served.errors
    return None if is_served else f"{judged} judged of {name}, which served {served}"


def an_end_is_an_end(written: Written) -> str | None:
    phase, was = written.new.get("phase"), written.old.get("phase")
    if phase == was or phase not in ("Succeeded", "Failed"):
        return None
    if phase == "Failed" and was == "Promoting":
        return None
    extras = extras_of(written.read("VirtualService", SERVICE))
    if written.splits != {(100, 0)} or extras != (0, False):
        return f"{phase} with the weights {written.splits}, copies and testers {extras}"
    canary = written.workload(CANARY)
    if canary.replicas and canary.revision == written.new["revision"]:
        return f"{phase} with {canary.replicas} pods of the canary"
    seen = written.workload(STABLE)
    is_whole = seen.revision == written.new["revision"] and seen.rolled_out
    return None if phase == "Failed" or is_whole else "success without a ready stable of that revision"


OF_A_STATUS: Final[tuple[Promise, ...]] = (
    phases_follow_each_other,
    only_pass_climbs,
    a_step_is_left_after_its_hold,
    a_step_with_approval_is_left_with_it,
    a_bad_version_never_climbs,
    a_good_version_never_fails,
    a_rollback_has_a_cause,
    a_broken_version_is_condemned_at_once,
    a_condemned_revision_stays_condemned,
    evidence_is_counted_once,
    what_is_judged_is_judged_by_one_noise,
    what_is_judged_was_counted,
    what_is_judged_was_served_by_the_control,
    an_end_is_an_end,
)


def broken_end(
    spec: Document, status: Document, stable: Document, canary: Document, splits: set[tuple[int, int]]
) -> str | None:
    """What an ended world breaks: its traffic, its pods, or what stable runs."""
    phase, version = status.get("phase"), version_of(stable)
    if not version.endswith("-good") and spec["analysis"].get("onInconclusive") != "promote":
        return f"stable runs {version}"
    if phase == "Succeeded" and workload_of(stable).revision != status.get("judgedRevision"):
        return None if version == "v9-good" else "success, and stable runs something else"
    if any(sum(weights) != 100 for weights in splits):
        return f"the weights are no split: {splits}"
    is_stable_revision = workload_of(canary).revision == workload_of(stable).revision
    is_idle = all(canary_weight == 0 for _, canary_weight in splits)
    return None if is_idle or is_stable_revision or phase != "Succeeded" else "the canary has traffic"


def _climbs(written: Written) -> bool:
    """Whether the release goes up by this write, or is promoted."""
    old, new = written.old, written.new
    if old.get("revision") != new.get("revision") or new.get("phase") == "Pending":
        return False
    is_promoted = new.get("phase") == "Promoting" and old.get("phase") != "Promoting"
    return is_promoted or ("startedAt" in old and new.get("stepIndex", 0) > old.get("stepIndex", 0))


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
