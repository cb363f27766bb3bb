"""Every resource is exercised by a test, or listed with a reason why it is not."""

import re
from collections.abc import Sequence

from e2e.conftest import Say
from e2e.exercised import EXERCISED, Line, exercised
from e2e.leave_out import Change
from e2e.stack import ROOT
from e2e.templates import Templates
from e2e.unproven import PAGE, UNPROVEN, page


def test_every_resource_is_exercised_or_listed_as_unproven(templates: Templates) -> None:
    unnamed = {
        f"{name} ({templates.resources[name]['Type']})"
        for name, line in exercised(templates.resources)
        if line is None and not _unproven(templates, name)
    }
    assert unnamed == set(), "name a test in exercised.py, or the reason in unproven.py"


def test_nothing_is_both(templates: Templates) -> None:
    both = {n for n, line in exercised(templates.resources) if line and _unproven(templates, n)}
    assert both == set()


def test_no_line_is_about_what_is_gone(templates: Templates) -> None:
    resources = templates.resources.items()

    def idle(lines: Sequence[Line]) -> list[Line]:
        return [x for x in lines if not any(x.fits(n, r["Type"]) for n, r in resources)]

    assert idle(EXERCISED) == []
    assert idle(UNPROVEN) == []


def test_the_tests_that_are_named_are_there() -> None:
    for said in {line.says for line in EXERCISED}:
        file, _, name = said.partition(":")
        path = ROOT / "tests" / "e2e" / f"{file}.py"
        assert re.search(rf"^(async )?def {name}\(", path.read_text(), re.MULTILINE), said


def test_what_the_local_aws_was_spared_is_listed(
    changes: list[Change], templates: Templates, say: Say
) -> None:
    """A setting of a resource, such as SnapStart, is in the page's second table."""
    kinds = {re.sub(r"[0-9a-f]{10}$", "", n): r["Type"] for n, r in templates.resources.items()}
    for change in changes:
        if change.dropped and change.resource in kinds:
            kind = kinds[change.resource]
            assert any(line.fits(change.resource, kind) for line in UNPROVEN), change
    for name in templates.resources:
        if line := _unproven(templates, name):
            say(f"              unproven {name}: {line.says}")


def test_the_page_says_the_same() -> None:
    assert PAGE.read_text() == page(), "PYTHONPATH=tests .venv/bin/python -m e2e.unproven"


def _unproven(templates: Templates, name: str) -> Line | None:
    kind = templates.resources[name]["Type"]
    return next((line for line in UNPROVEN if line.fits(name, kind)), None)
