"""The adapters of other engines ask them for what the judge asked for, and say what is missing
where they can't.
"""

import sys
from pathlib import Path

import pytest
import torch
from specref.adapters import reference
from specref.judge import load as adapter
from specref.judge.contract import SamplingParams
from specref.judge.toys import toy, written

WRITTEN = written("wide", 48)[0]
PROMPT, TEXT = list(WRITTEN.prompt), list(WRITTEN.text)
ENGINES = ("transformers", "transformers-lookup", "transformers-early-exit")
SERVED = ("specref-serve", "specref-serve-ngram")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("toy")
    toy("wide").write(made)
    return made


def made(name: str, folder: Path):
    kind = adapter.load_adapter(name, "engine").subject
    return kind(folder / "target", None if kind.own_draft else folder / "draft")


@pytest.mark.parametrize("name", [*ENGINES, *SERVED])
def test_an_engine_speculates_and_writes_the_targets_greedy_text(name: str, folder: Path):
    """Both ways, with counts that fit the text: every cycle adds what it accepts and one token
    more.
    """
    engine, params = made(name, folder), SamplingParams(temperature=0.0, max_new_tokens=24)
    [alone] = engine.generate([PROMPT], params, speculative=False)
    [done] = engine.generate([PROMPT], params, speculative=True)
    assert alone.tokens == done.tokens == TEXT[:24]
    assert alone.metrics.drafted == 0
    assert done.metrics.drafted >= done.metrics.accepted > 0
    assert done.metrics.target_steps + done.metrics.accepted >= 24


@pytest.mark.parametrize("name", [*ENGINES, SERVED[0]])
def test_every_parameter_reaches_the_engine(name: str, folder: Path):
    """Each one changes the text, or rules out what it should: none is dropped on the way."""
    engine = made(name, folder)
    text = TEXT[:12]

    def tokens(**given):
        [done] = engine.generate(
            [PROMPT],
            SamplingParams(**{"temperature": 0.0, "max_new_tokens": 12} | given),
            speculative=False,
        )
        return done.tokens

    assert tokens(max_new_tokens=5) == text[:5]
    assert tokens(stop_ids=(text[3],)) == text[: text.index(text[3]) + 1]
    assert tokens(stop_sequences=(tuple(text[2:5]),)) == text[:5]
    assert text[0] not in tokens(logit_bias={text[0]: -100.0})
    assert text[0] not in tokens(stop_ids=(text[0],), min_tokens=4)[:4]
    for penalty in (
        {"repetition_penalty": 50.0},
        {"presence_penalty": 90.0},
        {"frequency_penalty": 90.0},
    ):
        assert tokens(**penalty) != text
    for one in ({"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}, {"temperature": 1e-3}):
        assert tokens(**{"temperature": 1.0} | one) == text
    hot = {"temperature": 1.5, "seed": 7}
    assert tokens(**hot) == tokens(**hot) != tokens(**hot | {"seed": 8})


def test_logprobs_are_of_the_distribution_that_was_drawn_from(folder: Path):
    """At temperature .7, of the first token: recounted from the target's own scores."""
    [done] = made("transformers", folder).generate(
        [PROMPT], SamplingParams(temperature=0.7, seed=1, max_new_tokens=8), speculative=True
    )
    distribution = (toy("wide").target(torch.tensor([PROMPT])).logits[0, -1] / 0.7).log_softmax(-1)
    assert done.logprobs[0] == pytest.approx(float(distribution[done.tokens[0]]), abs=1e-4)
    assert len(done.logprobs) == 8


def test_the_kernel_uses_the_coins_it_is_given():
    """With the same uniforms, transformers' own step and our rule say the same of 64 random
    rows.
    """
    generator = torch.Generator().manual_seed(0)
    p, q = (torch.randn(64, n, 6, generator=generator).softmax(-1) for n in (4, 3))
    draft = torch.multinomial(q.view(-1, 6), 1, generator=generator).view(64, 3)
    coins = torch.rand(64, 3, generator=generator), torch.rand(64, generator=generator)
    kernel = adapter.load_adapter("transformers", "kernel").subject
    got = kernel.verify_with(p, q, draft, *coins)
    assert torch.equal(got, reference.Rejection().verify_with(p, q, draft, *coins))
    assert len(got[:, 0].unique()) > 3
    assert not torch.equal(kernel.verify(p, q, draft, 1), kernel.verify(p, q, draft, 2))


@pytest.mark.parametrize(
    ("name", "package"),
    [("transformers", "transformers"), ("onnxruntime-genai", "onnxruntime-genai")],
)
def test_a_missing_package_is_one_line_that_says_what_to_install(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
):
    module = next(iter(adapter.BUILT_IN[name].values())).split(":")[0]
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, package.replace("-", "_"), None)
    with pytest.raises(adapter.NotLoadedError, match=f"pip install {package}") as raised:
        adapter.load_adapter(name)
    assert "\n" not in str(raised.value)
