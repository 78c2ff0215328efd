"""The table of methods, and what names say."""

import re

import pytest

from fishbone.provenance.params import plan
from fishbone.report.methods import GRADUAL, LOOKS, METHODS, TOPICS, styles, topic
from fishbone.report.names import Network, label, mix, network, order


def accepted(stage: str) -> dict:
    """What the stage's plan says of a method's name: ``enum`` or ``pattern``."""
    return plan(stage).model_json_schema()["properties"]["methods"]["items"]


def shown(stage: str) -> set[str]:
    return {name for name, method in METHODS.items() if stage in method.stages}


@pytest.mark.parametrize("stage", ["prune", "gan"])
def test_the_methods_that_a_plan_accepts_are_those_of_the_table(stage):
    assert shown(stage) == set(accepted(stage)["enum"])


def test_the_methods_that_a_federation_accepts_are_in_the_table_or_a_mix():
    pattern = accepted("federate")["pattern"]
    assert all(re.fullmatch(pattern, name) for name in shown("federate"))
    for name in re.findall(r"[a-z]+(?=[|)])", pattern):  # the names that it spells out
        assert name in shown("federate")


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


def test_networks_are_named_and_sorted_by_method():
    assert network("fls-0.95") == Network("fls", 0.95)
    assert network("fls-0.95-u8s8") == Network("fls", 0.95, "u8s8")
    assert network("fls-0.95:sparse") == Network("fls", 0.95, sparse=True)
    assert network("channels-0.5-s8s8") == Network("channels", 0.5, "s8s8")
    assert (label("fls-0.95"), label("channels-0.5")) == ("FLS 95 %", "FLS, whole channels 50 %")
    assert (label("fls-0.95:sparse"), label("dense-s8s8")) == ("FLS 95 %, sparse runtime", "dense, int8 S8S8")
    variants = ["obs-0.9", "mine", "fls-0.95", "dense", "fls-0.9"]
    assert sorted(variants, key=order) == ["dense", "fls-0.9", "fls-0.95", "obs-0.9", "mine"]


@pytest.mark.parametrize(
    "name", [*METHODS, "hovefl-9-9", "mine", "my-net-2", "-u8s8", ":sparse", "", "a\nb", "net-1.5"]
)
def test_other_names_are_methods_of_their_own(name):
    assert network(name) == Network(name)


def test_a_mix_of_devices_and_groups_is_read_from_its_name_alone():
    assert (mix("hovefl-12-6"), mix("hovefl-0-18")) == ((12, 6), (0, 18))
    assert mix("hovefl-12") is mix("fedavg") is None
    assert label("hovefl-9-9") == "HoVeFL 9 H + 9 V"
    for name in ("hovefl-12-6", "hovefl-6-12"):
        horizontal, vertical = mix(name)
        assert METHODS[name].label == f"HoVeFL {horizontal} H + {vertical} V"
