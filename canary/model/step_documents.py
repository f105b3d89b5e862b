"""The steps of a Canary as a person writes them: what reaches the canary on each, for how long, and who must agree.

A step says whole what reaches the canary. What it leaves out is not there: a mirror ends with its step, and so do
chosen users. Rejected: fields that hold until another step ends them (as Argo's setMirrorRoute and setHeaderRoute do),
because nobody can tell from one step what it does, and a release that is tried again from there would have to replay
the others.

A cookie is a header to the mesh, and becomes one here.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Final

from pydantic import Field

from canary.model.exposure import Audience, Likeness, TextRule, Users
from canary.model.fields import INT32, Document, Duration, Weight
from canary.model.quantities import parse_duration
from canary.model.spec import Step

MOST_USERS: Final = 20
"""Alternatives of one match."""
_MOST_CONDITIONS: Final = 10
_LONGEST_TEXT: Final = 512
Text = Annotated[str, Field(min_length=1, max_length=_LONGEST_TEXT)]


class TextRuleDocument(Document):
    """What the text of a header must be like; exactly one of the three."""

    exact: Text | None = Field(default=None, description="The whole text.", examples=["always"])
    prefix: Text | None = Field(default=None, description="How it begins.", examples=["team-"])
    regex: Text | None = Field(
        default=None, description="A regular expression (RE2) that matches all of it.", examples=["(alice|bob)@.*"]
    )


class UsersDocument(Document):
    """Requests that meet every one of these conditions; at least one."""

    headers: dict[str, TextRuleDocument] = Field(
        default={},
        max_length=_MOST_CONDITIONS,
        description="By name, in lower case.",
        examples=["{x-canary: {exact: always}}"],
    )
    cookies: dict[str, Text] = Field(
        default={}, max_length=_MOST_CONDITIONS, description="By name, their whole value.", examples=["{beta: yes}"]
    )
    source_labels: dict[str, Text] = Field(
        default={},
        max_length=_MOST_CONDITIONS,
        description="Labels of the calling pod, for callers in the mesh.",
        examples=["{app: load-tester}"],
    )


class ScaleDocument(Document):
    """How many pods the canary has at least before a step is taken; exactly one of the two."""

    replicas: Annotated[int, Field(ge=1, le=INT32)] | None = Field(default=None, description="So many.", examples=[3])
    by_weight: bool = Field(
        default=False, description="As large a part of stable's as the weight or the mirror.", examples=["true"]
    )


class StepDocument(Document):
    """One rung of the ladder; at least one of weight, mirror and match."""

    weight: Weight | None = Field(
        default=None,
        description=(
            "Percent of the requests that the canary gets, at most 99: passing the last step leads to all "
            "of the traffic."
        ),
        examples=[10],
    )
    mirror: Annotated[int, Field(ge=1, le=100)] | None = Field(
        default=None,
        description="Percent of stable's requests of which the canary gets a copy; its answers are thrown away.",
        examples=[20],
    )
    match: list[UsersDocument] | None = Field(
        default=None,
        min_length=1,
        max_length=MOST_USERS,
        description="Users who meet one of these are led to the canary; the weight holds for the others.",
        examples=["[{headers: {x-canary: {exact: always}}}]"],
    )
    scale: ScaleDocument | None = Field(
        default=None,
        description="Pods that the canary has at least before this reaches it; never fewer than it has already.",
        examples=["{replicas: 3}"],
    )
    hold: Duration = Field(default="1m", description="The least time on this step.", examples=["2m"])
    approval: bool = Field(
        default=False, description="Whether a person must agree before this step is left.", examples=["true"]
    )


def step_of(document: StepDocument) -> Step:
    """The step; the document has kept the rules between its fields."""
    audience = audience_of(document)
    return Step(
        weight=document.weight or 0,
        hold=parse_duration(document.hold),
        approval=document.approval,
        mirror=document.mirror or 0,
        audience=audience.name if audience else "",
        replicas=document.scale.replicas if document.scale else None,
        scaled_by_weight=document.scale.by_weight if document.scale else False,
    )


def audiences_of(documents: Iterable[StepDocument]) -> tuple[Audience, ...]:
    """The users of all steps, each audience once."""
    found = (audience_of(document) for document in documents)
    return tuple(dict.fromkeys(audience for audience in found if audience is not None))


def audience_of(document: StepDocument) -> Audience | None:
    """Whom a step leads to the canary; None where it chooses nobody."""
    return Audience(tuple(map(_users_of, document.match))) if document.match else None


def _users_of(document: UsersDocument) -> Users:
    headers = {name: _rule_of(rule) for name, rule in document.headers.items()}
    if document.cookies:
        headers["cookie"] = TextRule(Likeness.REGEX, cookie_pattern(document.cookies))
    return Users(headers=tuple(sorted(headers.items())), source_labels=tuple(sorted(document.source_labels.items())))


def _rule_of(document: TextRuleDocument) -> TextRule:
    written = {
        Likeness.EXACT: document.exact,
        Likeness.PREFIX: document.prefix,
        Likeness.REGEX: document.regex,
    }
    likeness, text = next((likeness, text) for likeness, text in written.items() if text is not None)
    return TextRule(likeness, text)


def cookie_pattern(cookies: dict[str, str]) -> str:
    """A regular expression for the header `cookie` that holds this one, whatever else it holds.

    There is one, since `step_rules` refuses several: RE2 cannot look ahead, and each order would be an alternative.
    """
    ((name, value),) = cookies.items()
    return rf"(.*;\s*)?{re.escape(name)}={re.escape(value)}(\s*;.*)?"
