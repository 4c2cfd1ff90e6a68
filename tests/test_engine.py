"""The engine's face, as a front end uses it: real index, real store, real child process."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from engine.engine import Engine
from engine.errors import IndexFormatError, NeuroglassError, UsageError
from engine.events import (
    Explained,
    PipelineStarted,
    RecordSimulated,
    ScanFailed,
    ScanFinished,
    ScanProgress,
    ScanPublished,
    ScanStopped,
    Scored,
)
from engine.explanation import Word
from engine.keep import Keep
from engine.neuron import NeuronId
from engine.records import Fold
from engine.scan_request import ScanRequest
from engine.score import Scope


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> ScanRequest:
    import pydoc_data.topics

    folder = tmp_path_factory.mktemp("few")
    for number, (name, text) in enumerate(sorted(pydoc_data.topics.topics.items())[:16]):
        (folder / f"{number} {name.replace('/', '_')}.txt").write_text(text[:1500], "utf-8")
    return ScanRequest(sources=(str(folder),), batch=8, keep=Keep(top=20, band=2))


async def test_an_empty_home_has_no_index_and_says_so(tmp_path: Path) -> None:
    async with await Engine.open(tmp_path / "new") as engine:
        assert engine.index is None and engine.reload_index() is None
        assert engine.scan_to_do() == ScanRequest()
        with pytest.raises(IndexFormatError, match="Nothing has been scanned"):
            await anext(engine.explain(NeuronId(0, 0)))


async def test_a_scan_in_its_own_process_publishes_what_can_be_read_at_once(
    tmp_path: Path, request_: ScanRequest
) -> None:
    async with await Engine.open(tmp_path) as engine:
        published = 0
        async for event in engine.scan(request_):
            if isinstance(event, ScanPublished):
                published += 1
                index = engine.reload_index()
                assert index is not None
                assert index.windows_scanned == event.windows_done > 0
                assert index.neuron(NeuronId(2, 3)).windows_scanned == event.windows_done
        assert isinstance(event, ScanFinished) and published >= 2
        assert engine.index is not None and request_.made(engine.index)
        assert not replace(request_, window=32).made(engine.index)
        assert engine.scan_to_do() is None
    async with await Engine.open(tmp_path) as again:
        assert again.index is not None and again.index.complete
        assert again.index.index_id == engine.index.index_id  # type: ignore[union-attr]


async def test_closing_the_stream_stops_the_child_after_a_checkpoint(
    tmp_path: Path, request_: ScanRequest
) -> None:
    async with await Engine.open(tmp_path) as engine:
        async with aclosing(engine.scan(request_)) as events:
            async for event in events:
                if isinstance(event, ScanPublished):
                    break
        index = engine.reload_index()
        assert index is not None
        done = index.windows_scanned
        async with aclosing(engine.scan(request_)) as events:
            async for event in events:
                if isinstance(event, ScanProgress):
                    assert event.resumed_from >= done
                    break
                if isinstance(event, ScanFinished):
                    break


async def test_two_scans_of_one_text_share_the_work(tmp_path: Path, request_: ScanRequest) -> None:
    async def last_event() -> object:
        async with await Engine.open(tmp_path) as engine:
            return [event async for event in engine.scan(request_)][-1]

    both = await asyncio.gather(last_event(), last_event())
    assert all(isinstance(event, ScanFinished) for event in both)
    assert len(list((tmp_path / "indexes").iterdir())) == 1


async def test_a_failed_scan_is_an_event_with_a_remedy(tmp_path: Path) -> None:
    async with await Engine.open(tmp_path) as engine:
        events = [e async for e in engine.scan(ScanRequest(model="/no/such/model"))]
    assert isinstance(events[-1], ScanFailed) and events[-1].remedy
    assert not any(isinstance(event, ScanStopped) for event in events)


async def test_explain_simulate_score_save(home: Path) -> None:
    neuron = NeuronId(1, 17)
    async with await Engine.open(home) as engine:
        events = [event async for event in engine.explain(neuron)]
        assert isinstance(events[0], PipelineStarted)
        assert isinstance(events[-1], Scored)
        explanation, card = events[-1].explanation, events[-1].card
        words = "".join(event.text for event in events if isinstance(event, Word))
        assert words.strip().rstrip(".") == explanation.text
        assert sum(isinstance(event, Explained) for event in events) == 1
        simulated = [event.record for event in events if isinstance(event, RecordSimulated)]
        assert len(simulated) == events[0].records == len(card.records)
        used = {engine.index.excerpt(w).document for w in explanation.windows}  # type: ignore[union-attr]
        for record in simulated:
            assert record.simulation.excerpt.fold is Fold.SCORE
            assert record.simulation.excerpt.document not in used
        score = card.score(Scope.TOP_AND_RANDOM)
        assert score.records == len(simulated) and score.coverage == 1.0
        number = await engine.save(explanation, card)
        assert number == await engine.save(explanation, card)
        stored = engine.store.explanations(engine.index.model_id, neuron)  # type: ignore[union-attr]
        assert [s.id for s in stored] == [number]
        assert stored[0].text == explanation.text
        assert stored[0].ev_correlation == pytest.approx(score.ev_correlation)
        assert len(engine.store.card(number)) == len(simulated)
        assert all(source.document_name for source in engine.store.sources(number))


async def test_cancelling_an_explanation_leaves_nothing_behind(home: Path) -> None:
    async with await Engine.open(home) as engine:
        async with aclosing(engine.explain(NeuronId(0, 5))) as events:
            async for event in events:
                if isinstance(event, Word):
                    break
        rest = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        assert not [t for t in rest if "explain" in repr(t)]
        with pytest.raises(UsageError, match="no neuron 99:0"):
            await anext(engine.explain(NeuronId(99, 0)))


async def test_a_home_that_is_a_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NeuroglassError, match="can't be created") as caught:
        await Engine.open(tmp_path / "file" / "home")
    assert caught.value.remedy


async def test_a_damaged_index_is_an_error_not_a_new_scan(tmp_path: Path, demo_home: Path) -> None:
    import shutil

    shutil.copytree(demo_home, tmp_path / "home")
    folder = next((tmp_path / "home" / "indexes").iterdir())
    (folder / "manifest.json").write_text('{"format": "neuroglass-index"')
    with pytest.raises(IndexFormatError, match="damaged"):
        await Engine.open(tmp_path / "home", index=folder)
