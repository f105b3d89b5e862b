"""Argo's conditions: expressions over a measurement, of which those that bound one number can be said here.

Read are comparisons of the first value with a number, joined as they may be without a hole in the range, and the usual
escape for an empty answer (`len(result) == 0 || ...`), which is dropped because no data is no failure here. The
language has functions, loops and lambdas; whatever else is written is told to be unread rather than guessed at.
"""

import re
from typing import Final, NamedTuple

LONGEST_READ: Final = 500
_VALUE: Final = r"(?:result(?:\[0\])?|asFloat\(result(?:\[0\])?\)|default\(result(?:\[0\])?,[0-9.]{1,20}\))"
_COMPARISON: Final = re.compile(rf"\(?{_VALUE}(<=|>=|<|>)(-?[0-9]{{1,15}}(?:\.[0-9]{{1,15}})?)\)?")
_EMPTY: Final = re.compile(rf"\(?(?:len\(result\)==0|isNaN\({_VALUE}\)|isNil\({_VALUE}\)|result==nil)\)?")


class Bounds(NamedTuple):
    """The least and the most that a value may be; `is_strict` if a value at one of them is already outside."""

    low: float | None
    high: float | None
    is_strict: bool


def read_bounds(condition: str, *, of_failure: bool) -> Bounds | None:
    """The range that a successCondition asks for, or that a failureCondition leaves; None if it is another thing."""
    compact = "".join(condition.split()) if len(condition) <= LONGEST_READ else ""
    alternatives = [part for part in compact.split("||") if not _EMPTY.fullmatch(part)]
    if not of_failure and len(alternatives) != 1:
        return None
    parts = alternatives if of_failure else alternatives[0].split("&&")
    low = high = None
    is_strict = False
    for part in parts:
        found = _COMPARISON.fullmatch(part)
        if found is None:
            return None
        keeps_above = (found[1][0] == ">") != of_failure
        bound = float(found[2])
        if (low if keeps_above else high) is not None:
            return None
        low, high = (bound, high) if keeps_above else (low, bound)
        is_strict |= ("=" in found[1]) == of_failure
    return Bounds(low, high, is_strict) if parts else None
