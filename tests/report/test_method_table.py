"""The table of methods beside what the stages know."""

import re

import pytest

from fishbone.federated.methods import METHODS as FEDERATED
from fishbone.federated.names import family, mix
from fishbone.provenance.params import plan
from fishbone.report.methods import GRADUAL, LOOKS, METHODS, TOPICS, place, styles, topic


def accepted(stage: str) -> dict:
    """What the stage's plan says of a method's name: ``enum`` or ``pattern``."""
    return plan(stage).model_json_schema()["properties"]["methods"]["items"]


def shown(stage: str) -> set[str]:
    return {name for name, method in METHODS.items() if stage in method.stages}


@pytest.mark.parametrize("stage", ["prune", "gan"])
def test_the_methods_that_a_plan_accepts_are_those_of_the_table(stage):
    assert shown(stage) == set(accepted(stage)["enum"])


def test_the_methods_of_a_federation_are_those_of_the_table_whose_mixes_are_some_of_many():
    pattern = accepted("federate")["pattern"]
    assert all(re.fullmatch(pattern, name) for name in shown("federate"))
    assert {family(name) for name in shown("federate")} == set(FEDERATED)


def test_every_method_has_a_label_a_source_and_no_look_of_another():
    assert len({method.label for method in METHODS.values()}) == len(METHODS)
    assert all(method.paper for method in METHODS.values())
    assert len(set(LOOKS.values())) == len(LOOKS)


def test_topics_are_those_of_the_figure():
    assert {topic(name) for name in shown("prune")} == {*TOPICS, GRADUAL, None}
    assert topic("mine") is None


def test_known_methods_keep_their_colour_whatever_else_a_study_has():
    assert styles(["fls", "obs"])["fls"] == styles(["zzz", "aaa", "fls"])["fls"] == LOOKS["fls"]


def test_methods_of_one_study_look_different():
    methods = [*LOOKS, *(f"hovefl-{h}-{18 - h}" for h in range(0, 18, 2))]
    found = styles(methods)
    assert len(set(found.values())) == len(set(methods))
    assert found == styles(reversed(methods))


@pytest.mark.parametrize("known", [["fls", "obs", "magnitude"], ["hovefl-12-6", "hovefl-6-12", "fsl_gan"]])
def test_unknown_methods_first_take_colours_that_are_free(known):
    assert styles([*known, "mine"])["mine"].colour not in {LOOKS[name].colour for name in known}


def test_methods_are_sorted_as_in_the_table_and_others_after_them():
    assert sorted(["obs", "mine", "fls", "dense"], key=place) == ["dense", "fls", "obs", "mine"]
    assert place("mine") == place("fls-start") > max(place(name) for name in LOOKS)


def test_mixes_with_a_look_of_their_own_are_labelled_as_all_others():
    for name in ("hovefl-12-6", "hovefl-6-12"):
        horizontal, vertical = mix(name)
        assert METHODS[name].label == f"HoVeFL {horizontal} H + {vertical} V"
