"""Translators, and scores of translations."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading

import pytest
import zor
from test_processes import interrupted
from zor.translation import Translation, Translator, score

WORDS = ["river", "market", "house", "child", "tree", "road", "night", "water"]
LINES = ["The market is far.", "", "  I saw 2019 houses!", "x" * 600]


def train(folder, **settings):
    """Trains a few steps on a table of pairs whose second language is the first one backwards."""
    pairs = folder / "pairs.tsv"
    sentences = [f"the {a} is at the {b}" for a in WORDS for b in WORDS if a != b]
    lines = (f"{one}\t{' '.join(reversed(one.split()))}\n" for one in sentences)
    pairs.write_text("".join(lines), encoding="utf-8")
    small = dict(hidden=16, batch=200, translation_blocks=1, translation_vocabulary=300)
    given = dict(small, steps=3, translation_languages="en,rev", progress=False)
    return zor.train("translation", data=pairs, **{**given, **settings})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("translation")
    return train(folder, out=folder / "run")


@pytest.fixture(scope="module")
def translator(run):
    return run.translator()


def test_a_task_is_trained(run):
    assert run.metrics["task"] == "translation" and run.metrics["steps"] == 3
    assert {"bleu", "chrf_back", "perplexity"} <= run.metrics.keys()
    assert run.translator().languages == ("en", "rev")


def test_a_training_continues(run, tmp_path):
    other = train(tmp_path, from_model=run.model, out=tmp_path / "run", steps=2)
    assert other.translator().languages == ("en", "rev")
    with pytest.raises(zor.Error, match="en,rev"):
        train(tmp_path, from_model=run.model, translation_languages="rev,en")


def test_lines_are_translated_in_their_order(translator):
    found = translator.translate(LINES, to="rev")
    assert len(found) == 4 and found[1] == "" and all(isinstance(one, str) for one in found)
    assert translator.translate(LINES[0], to="rev") == found[0]
    assert translator.translate(iter(LINES), to="rev") == found
    assert translator.translate([], to="en") == []
    assert translator.translate(LINES[0], to="en", beam=1).splitlines() != []


def test_the_best_translations_have_scores(translator):
    [best] = translator.n_best(LINES[:1], to="rev", n=3)
    assert 1 < len(best) <= 3 and len({one.text for one in best}) == len(best)
    assert all(isinstance(one, Translation) and one.score < 0 for one in best)
    [one_way] = translator.n_best(LINES[:1], to="rev", n=3, one_way=True)
    scores = [one.score for one in one_way]
    assert scores == sorted(scores, reverse=True)
    assert best[0].text == translator.translate(LINES[0], to="rev")
    assert translator.n_best(LINES[0], to="rev", n=3) == best
    assert len(translator.n_best(LINES[0], to="rev", n=6, beam=2)) > 4
    assert translator.n_best("", to="rev") == [Translation("", 0.0)]


def test_the_command_translates_alike(run, translator):
    command = [sys.executable, "-m", "zor", "translate", "--to", "rev", "--model", run.folder]
    lines = "\n".join(LINES) + "\n"
    found = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=60)
    assert found.stdout.splitlines() == translator.translate(LINES, to="rev"), found.stderr


def test_terms_of_a_glossary_are_in_the_translation(translator):
    glossary = {"The Market": "tekram"}
    assert "tekram" in translator.translate("the market is far", to="rev", glossary=glossary)
    assert "tekram" not in translator.translate("the market is far", to="rev")
    assert "tekram" not in translator.translate("the house", to="rev", glossary=glossary)


def test_files_and_pickles(run, translator):
    expected = translator.translate(LINES, to="rev")
    for place in (run.model, str(run.folder)):
        assert Translator.load(place).translate(LINES, to="rev") == expected
    assert pickle.loads(pickle.dumps(translator)).translate(LINES, to="rev") == expected


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (dict(to="fr"), zor.Error, "'fr'.*'en', 'rev'"),
        (dict(lines=[], to="fr"), zor.Error, "'fr'.*'en', 'rev'"),
        (dict(to=None), TypeError, "language is of type NoneType"),
        (dict(lines="one\ntwo"), zor.Error, "line 0 has a line break"),
        (dict(lines=["one", "two\r"]), zor.Error, "line 1 has a line break"),
        (dict(lines=["one", 2]), TypeError, "line 1 is of type int"),
        (dict(lines=b"one"), TypeError, "line is of type bytes"),
        (dict(lines=None), TypeError, "line is of type NoneType"),
        (dict(lines=["\udc80"]), ValueError, "surrogates"),
        (dict(beam=0), zor.Error, "beam is 0"),
        (dict(beam=65), zor.Error, "beam is 65"),
        (dict(beam=10**30), zor.Error, "beam is 1000"),
        (dict(beam=2.5), TypeError, "float"),
        (dict(glossary={"": "a"}), zor.Error, "term 1 .* empty side"),
        (dict(glossary={"a": "b", "b": " "}), zor.Error, "term 2 .* empty side"),
        (dict(glossary={"a": None}), TypeError, "None"),
        (dict(glossary=[("a", "b")]), TypeError, "glossary is of type list"),
    ],
)
def test_wrong_arguments(translator, arguments, error, message):
    with pytest.raises(error, match=message):
        translator.translate(**{"lines": "one", "to": "rev", **arguments})


def test_wrong_numbers_of_translations(translator):
    for n in (0, -1, 65):
        with pytest.raises(zor.Error, match=f"{n}"):
            translator.n_best("one", to="rev", n=n)


def test_wrong_models(tmp_path):
    with pytest.raises(TypeError, match="load"):
        Translator()
    with pytest.raises(FileNotFoundError, match="missing"):
        Translator.load(tmp_path / "missing")
    zor.Network.dense([2, 2]).save(tmp_path / "network.zor")
    with pytest.raises(zor.Error, match="network.zor"):
        Translator.load(tmp_path / "network.zor")
    zor.Detector.fit([[n, 2.0 * n] for n in range(16)], steps=2).save(tmp_path / "detector.zor")
    with pytest.raises(zor.Error, match="detector.zor.*model of detection.*of translation"):
        Translator.load(tmp_path / "detector.zor")


def test_threads_share_a_translator(translator):
    found = {}

    def use(to):
        found[to] = translator.translate(LINES, to=to)

    threads = [threading.Thread(target=use, args=(to,)) for to in ("en", "rev")]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert found == {to: translator.translate(LINES, to=to) for to in ("en", "rev")}


@pytest.mark.parametrize("threads", [None, 2])
def test_ctrl_c_is_heard(run, threads):
    code = f"""
        import time, zor
        translator = zor.translation.Translator.load({str(run.model)!r})
        if {threads}:
            zor.set_num_threads({threads})
        lines = ["the market is at the river"] * 20_000
        print("started", flush=True)
        begin = time.monotonic()
        try:
            translator.translate(lines, to="rev", beam=64)
        except KeyboardInterrupt:
            print(time.monotonic() - begin)
        print(translator.translate("", to="rev"))
    """
    seconds, rest = interrupted(code, 3).split("\n", 1)
    assert float(seconds) < 30 and rest == "\n"


def test_scores():
    found = score(["the cat sat on the mat", "a dog"], ["the cat sat on a mat", "a dog"])
    assert 0 < found.bleu < found.chrf < 1 and found.sentences == 2
    assert score(["the cat sat."], ["the cat sat."])[:3] == (1.0, 1.0, 1)
    assert found.bleu_signature.startswith("nrefs:1|") and "nc:6" in found.chrf_signature


def test_wrong_scores():
    for hypotheses, references, error, message in [
        ([], [], zor.Error, "no hypotheses"),
        (["a"], ["a", "b"], zor.Error, "1 hypotheses and 2 references"),
        (["a"], [None], TypeError, "reference 0 is of type NoneType"),
        (["a\n"], ["a"], zor.Error, "hypothesis 0 has a line break"),
    ]:
        with pytest.raises(error, match=message):
            score(hypotheses, references)
