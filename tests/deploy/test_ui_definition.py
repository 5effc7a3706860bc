"""createUiDefinition.json, the form of the Deploy button."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.deploy.arm_language import is_expression, parse
from tools import project
from tools.content import load_tables
from tools.template.sections import secret_names

UI = json.loads((project.ROOT / "createUiDefinition.json").read_text(encoding="utf-8"))
STEPS = UI["parameters"]["steps"]
OUTPUTS = UI["parameters"]["outputs"]
ELEMENTS = {
    (step["name"], element["name"]): element for step in STEPS for element in step["elements"]
}
# What a person may type into a field, and what must be refused.
FIELDS = {
    ("sentinelOne", "url"): (
        ["https://acme.sentinelone.net", "https://acme.sentinelone.net/"],
        ["acme.sentinelone.net", "http://acme.sentinelone.net", "https://acme.net/web/api"],
    ),
    ("sentinelOne", "streams"): (["", "threats", "threats, alerts"], ["threat", "threats;alerts"]),
    ("jira", "url"): (
        [
            "acme",
            "acme.atlassian.net",
            "https://jira.acme.example",
            "https://api.atlassian.com/ex/jira/0a1b2c3d-0000-4000-8000-0123456789ab",
        ],
        ["http://acme.atlassian.net", "acme atlassian", "https://acme/rest?x=1"],
    ),
    ("jira", "username"): (["audit@acme.example"], ["audit", "a:b@acme.example", "a@b c"]),
    ("trapEye", "objectId"): (
        ["22222222-2222-2222-2222-222222222222"],
        ["2222", "22222222222222222222222222222222"],
    ),
    ("workspace", "namePrefix"): (["seclogs", "a1"], ["Seclogs", "1a", "abcdefghij", "a-b"]),
    ("options", "subnetId"): (
        [
            "",
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v"
            "/subnets/n",
        ],
        ["n", "/subscriptions/s/resourceGroups/g"],
    ),
    ("options", "packageUri"): (
        ["", "https://files.example/released-package.zip?sv=1"],
        ["http://files.example/p.zip", "https://files.example/p.tar"],
    ),
}
PASSWORDS = {
    ("sentinelOne", "apiToken"): (["", "eyJhbGciOi.J9"], ["short", "has a space in it"]),
    ("jira", "accessToken"): (["", "ATATT3xFfGF0"], ["short", "has a space in it"]),
    ("oneLogin", "bearerToken"): (["", "0123456789abcdef"], ["0123456789", "with spaces in it !"]),
    ("oneLogin", "bearerTokenSecondary"): (["", "0123456789abcdef"], ["0123456789"]),
}


def test_every_output_is_a_parameter_and_every_needed_parameter_an_output(
    template: dict[str, Any],
) -> None:
    """The form fills in the template, no more and no less."""
    declared = template["parameters"]
    assert set(OUTPUTS) <= set(declared)
    needed = {name for name, given in declared.items() if "defaultValue" not in given}
    assert needed <= set(OUTPUTS)
    assert set(secret_names()) <= set(OUTPUTS)


def test_every_output_reads_an_element_that_exists() -> None:
    """A misspelt step or element would leave a parameter empty without a word."""
    for name, text in OUTPUTS.items():
        assert is_expression(text), name
        parse(text[1:-1], form=True)
        for step, element in re.findall(r"steps\('(\w+)'\)\.(\w+)", text):
            assert (step, element) in ELEMENTS, name


def test_every_element_has_a_label_and_help() -> None:
    """Whoever fills in the form is told what each field is for."""
    for place, element in ELEMENTS.items():
        if element["type"] in ("Microsoft.Solutions.ArmApiControl", "Microsoft.Common.InfoBox"):
            continue
        assert element["label"], place
        assert len(element["toolTip"]) > 20, place


def test_an_element_that_depends_on_a_choice_names_it() -> None:
    """Fields show only once their connector is ticked."""
    for (step, name), element in ELEMENTS.items():
        if is_expression(element.get("visible", True)):
            assert element["visible"] == f"[steps('{step}').use]", name


@pytest.mark.parametrize("place", FIELDS, ids="/".join)
def test_a_field_takes_what_is_right_and_refuses_what_is_not(place: tuple[str, str]) -> None:
    """Validation catches a slip before the deployment does."""
    (validation,) = ELEMENTS[place]["constraints"]["validations"]
    right, wrong = FIELDS[place]
    assert [text for text in right if not re.search(validation["regex"], text)] == []
    assert [text for text in wrong if re.search(validation["regex"], text)] == []
    assert validation["message"]


@pytest.mark.parametrize("place", PASSWORDS, ids="/".join)
def test_a_secret_is_asked_for_as_a_password(place: tuple[str, str]) -> None:
    """Secrets are never shown, and may stay empty in a later deployment."""
    element = ELEMENTS[place]
    assert element["type"] == "Microsoft.Common.PasswordBox"
    right, wrong = PASSWORDS[place]
    regex = element["constraints"]["regex"]
    assert [text for text in right if not re.search(regex, text)] == []
    assert [text for text in wrong if re.search(regex, text)] == []


def test_choices_are_those_of_the_template(template: dict[str, Any]) -> None:
    """A choice in the form is a value that its parameter allows."""
    for place, parameter in (
        (("options", "content"), "sentinelContent"),
        (("options", "memory"), "instanceMemoryMB"),
    ):
        offered = [v["value"] for v in ELEMENTS[place]["constraints"]["allowedValues"]]
        assert offered == template["parameters"][parameter]["allowedValues"]
    offered = [
        choice["value"]
        for choice in ELEMENTS["workspace", "migratedTables"]["constraints"]["allowedValues"]
    ]
    assert sorted(offered) == sorted(table.name for table in load_tables())
