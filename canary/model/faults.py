"""From what pydantic found to what a person can act on: path, value as written, what is wrong, what would be right.

pydantic's own messages were rejected for people: they speak of types ("Input should be a valid dictionary"), name no
neighbour of a misspelt field and cannot say what to write instead. What they are good at, finding everything at once,
is kept. Every text made here is bounded, whatever the document holds: the result is shown in a terminal, in an Event
and in a status that must stay small.
"""

import difflib
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from enum import EnumType
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from canary.model.credentials import without_credentials
from canary.model.errors import Fault

FAULTS_SHOWN: Final = 50
"""Nobody reads more; a document with thousands of unknown fields must not become a message of megabytes."""

_VALUE_WIDTH: Final = 60
_HUGE_INTEGER: Final = 10**_VALUE_WIDTH
_RULE: Final = "rule"

_shown = reprlib.Repr()
_shown.maxlevel = 2
_shown.maxdict = _shown.maxlist = 3
_shown.maxstring = _shown.maxother = _VALUE_WIDTH

_ORDER: Final = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_KINDS: Final = {
    "string_type": "text",
    "string_unicode": "text that can be written as UTF-8",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}


def broken_rule(message: str, remedy: str) -> PydanticCustomError:
    """The error that a validator of ours raises; `faults_of` carries both texts over unchanged."""
    return PydanticCustomError(_RULE, "{message}; {remedy}", {"message": message, "remedy": remedy})


def show(value: object) -> str:
    """A value as a person would recognise it, never longer than about 200 characters."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int) and abs(value) >= _HUGE_INTEGER:
        return f"a whole number of {value.bit_length()} bits"
    if isinstance(value, Mapping):
        return "{...}" if value else "{}"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return f"[...] ({len(value)} items)" if value else "[]"
    text = _shown.repr(value)
    return text.encode("utf-8", "backslashreplace").decode()


def show_path(parts: Sequence[object]) -> str:
    """A path as people write it: `spec.steps[1].weight`."""
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
            continue
        name = show(part)[1:-1] if isinstance(part, str) else show(part)
        path += f".{name}" if path else name
    return path


def one_of(known: Sequence[str], written: object) -> str:
    """What would be right where one of `known` is expected, naming the nearest to what was written."""
    near = difflib.get_close_matches(written[:_VALUE_WIDTH], known, n=1) if isinstance(written, str) else []
    listed = ", ".join(known)
    return f"did you mean {near[0]!r}? known: {listed}" if near else f"known: {listed}"


def faults_of(error: ValidationError, model: type[BaseModel], also: Sequence[Fault] = ()) -> tuple[Fault, ...]:
    """What pydantic found wrong with a document of `model`, and `also` what others did.

    At most `FAULTS_SHOWN`, and one more that counts the rest.
    """
    details = error.errors(include_url=False)
    faults = (*(fault_of(detail, model) for detail in details[:FAULTS_SHOWN]), *also)
    rest = len(details) + len(also) - FAULTS_SHOWN
    if rest <= 0:
        return faults
    more = Fault(path="(more)", value="", message=f"{rest} further faults are not shown", remedy="mend these first")
    return (*faults[:FAULTS_SHOWN], more)


def fault_of(details: ErrorDetails, model: type[BaseModel]) -> Fault:
    """One of the things that pydantic found wrong with a document of `model`."""
    kind, path, value = details["type"], details["loc"], details["input"]
    context: dict[str, Any] = details.get("ctx", {})
    if kind == _RULE:
        message, remedy = context["message"], context["remedy"]
    elif kind == "missing":
        value, message, remedy = None, "is missing", f"add it, {_example(model, path)}"
    elif kind in {"extra_forbidden", "invalid_key"}:
        parent = _model_at(model, path[:-1])
        known = [field.alias or name for name, field in parent.model_fields.items()] if parent else []
        message, remedy = "is not a known field", one_of(known, path[-1])
    elif kind in _ORDER:
        key, words = _ORDER[kind]
        message, remedy = "is out of range", f"write {words} {context[key]}"
    elif kind == "too_short":
        message, remedy = "has too few items", f"give at least {context['min_length']}"
    elif kind == "too_long":
        message, remedy = "has too many items", f"give at most {context['max_length']}"
    elif kind in {"literal_error", "enum"}:
        message, remedy = "is not one of the known words", one_of(_words(model, path), value)
    elif kind in _KINDS:
        message, remedy = f"is not {_KINDS[kind]}", f"write {_KINDS[kind]}, {_example(model, path)}"
    else:
        message, remedy = details["msg"], "see `kubectl explain canary.spec --recursive`"
    shown = "" if kind == "missing" else without_credentials(show(value))
    return Fault(path=show_path(path), value=shown, message=message, remedy=remedy)


def _field_at(model: type[BaseModel], path: Sequence[object]) -> FieldInfo | None:
    """The declaration that a path leads to; None where the path leaves the model."""
    parent = _model_at(model, path[:-1]) if path else None
    if parent is None:
        return None
    return next((field for name, field in parent.model_fields.items() if path[-1] in {field.alias, name}), None)


def _model_at(model: type[BaseModel], path: Sequence[object]) -> type[BaseModel] | None:
    """The model of the mapping that a path leads to; indices of lists are passed over."""
    current: type[BaseModel] | None = model
    for part in path:
        if isinstance(part, int):
            continue
        fields = current.model_fields.items() if current else ()
        current = next((_model_in(field.annotation) for name, field in fields if part in {field.alias, name}), None)
    return current


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The model inside `Model`, `Model | None` or `list[Model]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _words(model: type[BaseModel], path: Sequence[object]) -> list[str]:
    field = _field_at(model, path)
    if field is None:
        return []
    return list(_words_in(field.annotation))


def _words_in(annotation: object) -> Iterator[str]:
    """The words of an enum or a `Literal`, which may be one of several alternatives."""
    if isinstance(annotation, EnumType):
        yield from map(str, annotation)
    elif get_origin(annotation) is Literal:
        yield from map(str, get_args(annotation))
    else:
        for part in get_args(annotation):
            yield from _words_in(part)


def _example(model: type[BaseModel], path: Sequence[object]) -> str:
    names = [part for part in path if not isinstance(part, int)]
    field = _field_at(model, names)
    if field is None or not field.examples:
        return "as `kubectl explain canary.spec --recursive` describes it"
    return f"for example {names[-1]}: {field.examples[0]}"
