"""A revision is what makes the version, no more and no less, and a promotion carries exactly that."""

import copy
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.workloads.template import FINGERPRINT_LENGTH, fingerprint, promoted, read_release

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
TEXT = st.text(max_size=4)
ENV = st.lists(st.fixed_dictionaries({"name": TEXT, "value": TEXT}), max_size=2)
CONTAINER = st.fixed_dictionaries(
    {"name": TEXT, "image": TEXT},
    optional={"env": ENV, "resources": st.just({}), "args": st.lists(TEXT, max_size=2), "command": st.none()},
)
VOLUME = st.fixed_dictionaries({"name": TEXT}, optional={"emptyDir": st.just({}), "hostPath": st.just({"path": "/a"})})
TEMPLATES = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries(
            {"labels": st.dictionaries(TEXT, TEXT, max_size=2)},
            optional={"annotations": st.dictionaries(TEXT | st.just(RESTARTED_AT), TEXT, max_size=3) | st.none()},
        ),
        "spec": st.fixed_dictionaries(
            {"containers": st.lists(CONTAINER, min_size=1, max_size=2)},
            optional={
                "initContainers": st.lists(CONTAINER, max_size=2) | st.none(),
                "volumes": st.lists(VOLUME, max_size=2) | st.none(),
                "nodeSelector": st.dictionaries(TEXT, TEXT, max_size=2),
                "serviceAccountName": TEXT,
            },
        ),
    }
)


def template() -> dict[str, Any]:
    return {
        "metadata": {
            "labels": {"app": "order-service", "version": "stable"},
            "annotations": {"prometheus.io/port": "9090"},
        },
        "spec": {
            "containers": [
                {"name": "app", "image": "registry.example/order:1.4.2", "env": [{"name": "MODE", "value": "fast"}]}
            ],
            "initContainers": [{"name": "migrate", "image": "registry.example/migrate:7"}],
            "volumes": [{"name": "scratch", "emptyDir": {}}],
            "terminationGracePeriodSeconds": 30,
        },
    }


def apply(target: dict[str, Any], source: dict[str, Any]) -> dict[str, Any]:
    after: dict[str, Any] = jsonpatch.apply_patch({"spec": {"template": target}}, promoted(target, source))
    found: dict[str, Any] = after["spec"]["template"]
    return found


def foreign(document: dict[str, Any]) -> dict[str, Any]:
    """Everything that a promotion must leave alone."""
    rest = copy.deepcopy(document)
    annotations = rest["metadata"].pop("annotations", None) or {}
    for name in ("containers", "initContainers", "volumes"):
        rest["spec"].pop(name, None)
    return rest | {"restartedAt": annotations.get(RESTARTED_AT)}


def test_the_fingerprint_stays_the_same_over_the_years() -> None:
    """Revisions are kept in status and in annotations: another fingerprint would start a release of everything."""
    assert fingerprint(template()) == "dae3d434ea"


def test_a_fingerprint_fits_a_label_and_a_sentence() -> None:
    assert len(fingerprint({})) == FINGERPRINT_LENGTH
    assert int(fingerprint({}), 16) >= 0


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/spec/containers/0/image", "registry.example/order:1.4.3"),
        ("/spec/containers/0/env/0/value", "slow"),
        ("/spec/containers/0/securityContext", {"allowPrivilegeEscalation": False}),
        ("/spec/initContainers/0/image", "registry.example/migrate:8"),
        ("/spec/volumes/0/emptyDir", {"medium": "Memory"}),
        ("/metadata/annotations/checksum~1config", "5f3a"),
    ],
)
def test_what_runs_makes_the_version(path: str, value: object) -> None:
    changed = jsonpatch.apply_patch(template(), [{"op": "add", "path": path, "value": value}])

    assert fingerprint(changed) != fingerprint(template())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/metadata/labels/version", "canary"),
        ("/metadata/creationTimestamp", None),
        ("/metadata/annotations/kubectl.kubernetes.io~1restartedAt", "2026-11-22T10:00:00Z"),
        ("/spec/nodeSelector", {"pool": "spot"}),
        ("/spec/terminationGracePeriodSeconds", 60),
        ("/spec/containers/0/command", None),
        ("/spec/containers/0/resources", {}),
        ("/spec/containers/0/args", []),
    ],
)
def test_where_it_runs_and_how_nothing_is_written_do_not(path: str, value: object) -> None:
    changed = jsonpatch.apply_patch(template(), [{"op": "add", "path": path, "value": value}])

    assert fingerprint(changed) == fingerprint(template())


def test_the_order_of_keys_does_not_count_and_the_order_of_lists_does() -> None:
    turned = {name: dict(reversed(part.items())) for name, part in reversed(template().items())}
    two = template()
    two["spec"]["containers"].append({"name": "sidecar", "image": "proxy"})
    swapped = copy.deepcopy(two)
    swapped["spec"]["containers"].reverse()

    assert fingerprint(turned) == fingerprint(template())
    assert fingerprint(two) != fingerprint(swapped)


def test_a_restart_of_either_side_is_neither_moved_nor_undone() -> None:
    source, target = template(), template()
    source["metadata"]["annotations"][RESTARTED_AT] = "2026-11-22T10:00:00Z"
    target["metadata"]["annotations"][RESTARTED_AT] = "2026-11-01T08:00:00Z"

    assert promoted(target, source) == ()


def test_a_copy_for_another_release_is_another_template_of_the_same_version() -> None:
    source, target = template(), template()
    operations = promoted(target, source, "0123456789")
    copied = jsonpatch.apply_patch({"spec": {"template": target}}, list(operations))["spec"]["template"]

    assert (read_release(target), read_release(copied)) == ("", "0123456789")
    assert fingerprint(copied) == fingerprint(source)
    assert promoted(copied, source, "0123456789") == promoted(copied, source) == ()
    assert len(promoted(copied, source, "9876543210")) == 1
    assert promoted(target, copied) == ()


def test_what_the_source_does_not_have_goes() -> None:
    source = template()
    del source["spec"]["initContainers"]
    del source["metadata"]["annotations"]

    after = apply(template(), source)

    assert "initContainers" not in after["spec"]
    assert after["metadata"] == {"labels": template()["metadata"]["labels"], "annotations": {}}


@given(TEMPLATES, TEMPLATES)
def test_a_promotion_carries_the_version_and_nothing_else(target: dict[str, Any], source: dict[str, Any]) -> None:
    after = apply(target, source)

    assert fingerprint(after) == fingerprint(source)
    assert foreign(after) == foreign(target)
    assert promoted(after, source) == ()
