import re
import xml.etree.ElementTree as ElementTree

import matplotlib as mpl
import pytest
from report import small_study

from fishbone.files import write_history
from fishbone.report import bench_figure
from fishbone.report.bench_figure import pareto
from fishbone.report.bench_table import doubt
from fishbone.report.figures import FIGURES
from fishbone.report.labels import method_label
from fishbone.report.methods import GRADUAL, LOOKS, TOPICS
from fishbone.report.study import read_study
from fishbone.stages.prune.params import NAMES


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Study of all stages and its figures by stage."""
    folder = tmp_path_factory.mktemp("figures")
    study = read_study(small_study.everything(folder / "quick"), {})
    for stage, draw in FIGURES.items():
        draw(study, folder / f"{stage}.svg")
    return study, {stage: (folder / f"{stage}.svg").read_text(encoding="utf-8") for stage in FIGURES}


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_the_same_study_gives_the_same_bytes_whatever_matplotlibrc_says(drawn, tmp_path):
    study, figures = drawn
    with mpl.rc_context({"font.size": 30, "lines.linewidth": 9, "svg.fonttype": "path", "axes.facecolor": "red"}):
        for stage, draw in FIGURES.items():
            draw(study, tmp_path / f"{stage}.svg")
            assert (tmp_path / f"{stage}.svg").read_text(encoding="utf-8") == figures[stage]


def test_figures_hold_no_date_no_version_and_nothing_from_elsewhere(drawn):
    for svg in drawn[1].values():
        assert "date" not in svg
        assert "Matplotlib" not in svg
        assert re.findall(r'(?:href|src)="(?!#)', svg) == []


def test_ids_are_unique_over_all_figures_and_every_reference_has_its_target(drawn):
    seen = set()
    for stage, svg in drawn[1].items():
        ids = re.findall(r'\bid="([^"]+)"', svg)
        assert len(ids) == len(set(ids))
        assert all(name.startswith(f"{stage}-") for name in ids)
        assert set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg)) <= {(a, "") for a in ids} | {
            ("", a) for a in ids
        }
        assert not seen & set(ids)
        seen |= set(ids)


def test_axes_have_labels_with_units_and_methods_their_names(drawn):
    expected = {
        "train": {"epoch", "accuracy (%)", "digits"},
        "prune": {"sparsity (%)", "test accuracy (%)", "FLS", "OBS", "magnitude", "dense", "95"},
        "federate": {"round", "validation accuracy (%)", "validation loss (nats)", "HoVeFL 12 H + 6 V", "FedAvg"},
        "gan": {"round", "validation FCD", "FSL-GAN", "centralised"},
        "bench": {"time relative to dense", "compressed file (kB)", "test accuracy (%)", "digits on local", "FLS"},
    }
    for stage, words in expected.items():
        assert words <= set(texts(drawn[1][stage])), stage


@pytest.mark.parametrize(("stage", "step"), [("federate", "round"), ("train", "epoch")])
def test_epochs_and_rounds_have_whole_numbers_at_their_ticks(tmp_path, stage, step):
    root = tmp_path / "s"
    file = small_study.train(root, 0) if stage == "train" else small_study.federate(root, "fedavg", 0, 0.5)
    columns = ("train_accuracy", "validation_accuracy", "validation_loss")
    write_history(file.with_name("history.csv"), [{"step": t, **dict.fromkeys(columns, 0.5)} for t in range(1, 17)])
    FIGURES[stage](read_study([file], {}), tmp_path / "figure.svg")
    svg = (tmp_path / "figure.svg").read_text(encoding="utf-8")
    axis = svg[svg.index('-matplotlib.axis_1"') : svg.index('-matplotlib.axis_2"')]
    numbers = [text for text in re.findall(r">([^<]+)</text>", axis) if text != step]
    assert len(numbers) > 2
    assert all(number.isdigit() for number in numbers), numbers


def test_methods_are_drawn_in_their_colours(drawn):
    for stage, methods in {"prune": ["fls", "obs", "magnitude"], "gan": ["fsl_gan"], "bench": ["fls", "obs"]}.items():
        for method in methods:
            assert LOOKS[method].colour.lower() in drawn[1][stage].lower()


def test_every_seed_is_a_line_of_its_own(tmp_path):
    def lines(seeds):
        files = [small_study.gan(tmp_path / f"s{seeds}", "fsl_gan", seed, 8.0 + seed) for seed in range(seeds)]
        FIGURES["gan"](read_study(files, {}), tmp_path / "gan.svg")
        return (tmp_path / "gan.svg").read_text(encoding="utf-8").count(f"stroke: {LOOKS['fsl_gan'].colour.lower()}")

    assert lines(4) - lines(2) == 2


def test_one_seed_two_data_sets_and_unknown_methods_are_drawn(tmp_path):
    root = tmp_path / "s"
    files = [
        small_study.prune(root, method, 7, {"0.9": 0.8}, dataset=dataset)
        for method in ("mine", "fls")
        for dataset in ("a", "b")
    ]
    FIGURES["prune"](read_study(files, {}), tmp_path / "prune.svg")
    assert {"a", "b", "mine", "FLS", "90"} <= set(texts((tmp_path / "prune.svg").read_text(encoding="utf-8")))


def draw(folder, names):
    files = [small_study.prune(folder / "s", name, seed, {"0.5": 0.9, "0.9": 0.8}) for name in names for seed in (0, 1)]
    FIGURES["prune"](read_study(files, {}), folder / "prune.svg")
    return (folder / "prune.svg").read_text(encoding="utf-8")


def test_variants_and_gradual_pruning_have_panels_of_their_own(tmp_path):
    found = texts(draw(tmp_path, ["fls", "obs", "fls-start", "obs-tenth", "fls-gradual"]))
    assert {"digits", "digits: variants", "digits: with training between the steps"} <= set(found)


def test_many_variants_have_a_panel_for_each_topic_and_room_for_their_names(tmp_path):
    svg = draw(tmp_path, NAMES)
    found = set(texts(svg))
    topics = [f"digits: {what}" for what in (*TOPICS, GRADUAL)]
    assert {"digits", *topics} <= found
    assert "digits: variants" not in found
    assert {method_label(name) for name in NAMES} <= found
    height = float(re.search(r'height="([\d.]+)pt"', svg)[1])
    assert height > 72 * ((1 + len(topics)) * 2.7 + 0.2 * len(NAMES) / 2)


def test_a_device_that_failed_has_panels_that_say_so(tmp_path):
    file = small_study.bench(tmp_path / "s", [], "tiny", status="oom")
    FIGURES["bench"](read_study([file], {}), tmp_path / "bench.svg")
    assert "digits on tiny: oom" in texts((tmp_path / "bench.svg").read_text(encoding="utf-8"))


def test_files_are_in_the_legend_by_their_names_whatever_those_begin_with(tmp_path):
    unknown = dict.fromkeys(("method", "sparsity", "int8"))
    names = ("_mine", "__", "a$b$", "_x[y]", "fls-0.95")
    models = [small_study.model(name, 300, 1000, (1.0, 0.9, 1.1)) | unknown for name in names]
    FIGURES["bench"](read_study([small_study.bench(tmp_path / "s", models)], {}), tmp_path / "bench.svg")
    shown = set(texts((tmp_path / "bench.svg").read_text(encoding="utf-8")))
    assert set(names) <= shown
    assert not any(re.match("_(child|nolegend|container)", text) for text in shown)


@pytest.mark.parametrize("status", ["assumed", "no_answer", "parity_fail"])
def test_doubtful_accuracies_are_drawn_pale_and_never_the_best(tmp_path, monkeypatch, status):
    given = []
    monkeypatch.setattr(bench_figure, "pareto", lambda points: given.append(points) or pareto(points))
    models = [small_study.model("dense", 300, 5000, None), small_study.model("fls-0.9", 359, 500, (1.0, 0.9, 1.1))]
    for place, state in enumerate(("ok", status)):
        study = read_study([small_study.bench(tmp_path / str(place), [models[0], models[1] | {"status": state}])], {})
        FIGURES["bench"](study, tmp_path / f"{place}.svg")
    assert [len(points) for points in given] == [2, 1]
    usual, doubted = (set(texts((tmp_path / f"{place}.svg").read_text(encoding="utf-8"))) for place in (0, 1))
    assert "FLS" in usual - doubted
    assert f"FLS, {doubt(models[1] | {'status': status})}" in doubted


def test_pareto_front_drops_what_costs_more_and_gives_no_more():
    assert pareto([(3, 5), (1, 2), (2, 2), (2, 4), (4, 5), (1, 1)]) == [(1, 2), (2, 4), (3, 5)]
    assert pareto([]) == []
