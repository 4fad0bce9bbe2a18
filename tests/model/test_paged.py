"""Paged rows keep what contiguous rows keep, and the pool keeps its books: whatever is appended,
rejected, forked, shared, finished or preempted, in any order.

Protects: every later user of a block from the earlier ones. A block that leaks, or that two rows
write in, shows only under load and long after the fault.
"""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from specref.data import SpecrefError
from specref.model.cache import Cache
from specref.model.config import Config
from specref.model.flex import FlexCache
from specref.model.paged import PagedCache
from specref.model.pool import Pool, names
from specref.model.tree import depths

from tests.stub import DEVICES, tiny

BLOCKS, SIZE = 12, 3
SHAPE = Config(2, 1, 1, 1, 1, 1, 1)  # one layer, one head of one channel


def written(cache: Cache, chunks: list[list[int]], parents=None) -> None:
    """Keys say which token stands there, values how deep; nothing is committed yet."""
    counts = torch.tensor([len(chunk) for chunk in chunks])
    width = int(counts.max())
    tokens = torch.tensor(
        [chunk + [99] * (width - len(chunk)) for chunk in chunks], dtype=torch.float64
    )
    step = cache.step(width, parents, counts)
    cache.write(0, step, tokens[:, None, :, None], step.positions.double()[:, None, :, None])
    cache.keep_states(step, tokens[..., None])


class Life(RuleBasedStateMachine):
    """One-row caches over one pool, beside the text that each must hold. Tokens are 0 and 1, so
    that texts often agree.
    """

    rows = Bundle("rows")

    def __init__(self):
        super().__init__()
        self.pool = Pool(SHAPE, BLOCKS, SIZE, torch.float64, states=True)
        self.alive: dict[PagedCache, list[int]] = {}
        self.spelled: dict[bytes, list[int]] = {}  # what a published block says

    def kept(self, cache, tokens, path=(), extra=()):
        """Write tokens (and a tree's `extra` nodes), keep those of `path` behind the first."""
        parents = None
        if extra:
            parents = torch.tensor([[-1, *extra]])
        try:
            written(cache, [tokens], parents)
        except SpecrefError:
            assert (
                self.pool.needed(len(self.alive[cache]) + len(tokens)) - len(cache.tables[0])
                > self.pool.free - 1
            )
            return
        cache.commit(torch.tensor([list(path)], dtype=torch.int64), torch.tensor([len(path)]))
        self.alive[cache] += [tokens[0], *(tokens[1 + node] for node in path)]
        cache.publish(0, self.alive[cache])
        for number, name in enumerate(names(self.alive[cache], SIZE)):
            self.spelled[name] = self.alive[cache][number * SIZE : (number + 1) * SIZE]

    @rule(target=rows, text=st.lists(st.integers(0, 1), max_size=7))
    def begins(self, text):
        """A prompt takes up whatever is published of its beginning; the rest is read."""
        cache = PagedCache(self.pool, 1)
        had = cache.adopt(0, names(text, SIZE))
        self.alive[cache] = text[:had]
        if text[had:]:
            self.kept(cache, text[had:], range(len(text) - had - 1))
        return cache

    @rule(row=rows, draft=st.lists(st.integers(0, 1), max_size=5), accepted=st.integers(0, 5))
    def cycle(self, row, draft, accepted):
        self.kept(row, [0, *draft], range(min(accepted, len(draft))))

    @rule(row=rows, data=st.data())
    def tree(self, row, data):
        nodes = data.draw(st.lists(st.integers(0, 1), min_size=1, max_size=5))
        # 0 is the pending token
        parents = [data.draw(st.integers(0, i)) for i in range(len(nodes))]
        node = data.draw(st.integers(0, len(nodes)))
        path: list[int] = []
        while node:
            path.insert(0, node - 1)
            node = parents[node - 1]
        self.kept(row, [1, *nodes], path, parents)

    @rule(target=rows, row=rows)
    def fork(self, row):
        both = row.rows([0, 0])
        twin = PagedCache(self.pool, 0)
        twin.tables, twin.names, twin.lengths = (
            both.tables[1:],
            both.names[1:],
            both.lengths[1:].clone(),
        )
        row.tables, row.names, row.lengths = (
            both.tables[:1],
            both.names[:1],
            both.lengths[:1].clone(),
        )
        self.alive[twin] = list(self.alive[row])
        return twin

    @rule(row=consumes(rows))
    def finishes(self, row):
        row.release()
        del self.alive[row]

    @rule(target=rows, row=consumes(rows))
    def preempted(self, row):
        """Given up, and read again from its text."""
        text = self.alive.pop(row)
        row.release()
        cache = PagedCache(self.pool, 1)
        had = cache.adopt(0, names(text, SIZE))
        self.alive[cache] = text[:had]
        if text[had:]:
            self.kept(cache, text[had:], range(len(text) - had - 1))
        return multiple(cache)

    @rule(row=rows, length=st.integers(0, 12))
    def trimmed(self, row, length):
        row.trim(torch.tensor([length]))
        del self.alive[row][length:]

    @invariant()
    def contents_are_the_texts(self):
        for cache, text in self.alive.items():
            assert cache.lengths.tolist() == [len(text)]
            slots = cache._slots(0, torch.arange(len(text)))
            assert self.pool.keys[0, slots, 0, 0].tolist() == text
            assert self.pool.values[0, slots, 0, 0].tolist() == list(range(len(text)))
            assert cache.states(0)[:, 0].tolist() == text

    @invariant()
    def what_is_published_stays_as_it_was(self):
        for name, block in self.pool.by_name.items():
            assert (
                self.pool.keys[0, block * SIZE : (block + 1) * SIZE, 0, 0].tolist()
                == self.spelled[name]
            )

    @invariant()
    def books_balance(self):
        held = [block for cache in self.alive for block in cache.tables[0]]
        assert self.pool.users == [held.count(block) for block in range(BLOCKS)], "no block leaks"
        assert sorted([*self.pool.spare, *self.pool.idle, *set(held)]) == list(range(BLOCKS))
        assert set(self.pool.idle) <= set(self.pool.name_of)
        assert {block: name for name, block in self.pool.by_name.items()} == self.pool.name_of

    @invariant()
    def a_row_wastes_less_than_a_block(self):
        for cache, text in self.alive.items():
            assert 0 <= len(cache.tables[0]) * SIZE - len(text) < SIZE


def test_any_life_of_rows_over_one_pool():
    run_state_machine_as_test(Life, settings=settings(max_examples=120, stateful_step_count=30))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [1, 3, 16])
@pytest.mark.parametrize("pages", [PagedCache, FlexCache])
def test_a_real_model_gives_the_same_states_in_pages(pages, device, size):
    """Chunks, ragged drafts, a tree and its commit, rows that leave and come: as in a contiguous
    cache.
    """
    # compiled, in float32, and its blocks have 16 slots at least
    kernel = pages is FlexCache and device == "cuda"
    if kernel and size < 16:
        pytest.skip("a kernel's block has 16 slots at least")
    model = tiny(
        seed=5, device=device, head_dim=16, dtype=torch.float32 if kernel else torch.float64
    )
    both = [model.new_cache(3, 40), pages(model.new_pool(60, size), 3)]
    pieces = [[[1, 2, 3, 4, 5], [6], [7, 8]], [[9], [1, 2, 3], [4, 5]]]
    with torch.inference_mode():
        for chunks in pieces:
            same(model, both, chunks, None, kernel)
            for cache in both:
                cache.lengths += torch.tensor([len(chunk) for chunk in chunks])
        parents = torch.tensor(
            [[-1, 0, 0, 1, 2], [-1, 0, 1, 2, 3], [-1, 0, 0, 0, 1]], device=device
        )
        same(model, both, [[1, 2, 3, 4, 5], [6, 7, 8], [9, 10, 1, 2, 3]], parents, kernel)
        for cache in both:
            cache.commit(torch.tensor([[1, 3, 0], [0, 1, 0], [2, 0, 0]]), torch.tensor([2, 2, 1]))
        both = [cache.rows([2, -1, 0]) for cache in both]
        assert both[0].lengths.tolist() == both[1].lengths.tolist() == [6, 0, 9]
        same(model, both, [[1, 2], [3, 4, 5], [6]], None, kernel)


def same(model, caches, chunks, parents, rounds) -> None:
    counts = torch.tensor([len(chunk) for chunk in chunks])
    width = int(counts.max())
    tokens = torch.tensor(
        [chunk + [0] * (width - len(chunk)) for chunk in chunks], device=model.device
    )
    contiguous, paged = (model.states(tokens, cache, parents, counts) for cache in caches)
    torch.testing.assert_close(paged, contiguous, rtol=0, atol=1e-4 if rounds else 1e-10)


def test_depths_are_what_the_life_counts_as_values():
    assert depths(torch.tensor([[-1, 0, 0, 1]])).tolist() == [[0, 1, 1, 2]]


def test_names_are_of_whole_beginnings():
    assert names([1, 2, 3, 4, 5], 2) == names([1, 2, 3, 4, 9], 2)
    assert names([1, 2, 3, 4], 2)[1] != names([9, 2, 3, 4], 2)[1], (
        "the same block behind another text is another block"
    )
    assert names([1, 2, 3, 4], 2, names([1, 2, 3], 2)) == names([1, 2, 3, 4], 2)


def test_a_step_that_finds_no_room_takes_nothing():
    pool = Pool(SHAPE, 2, 4)
    cache = PagedCache(pool, 2)
    with pytest.raises(
        SpecrefError, match="needs 3 more blocks and 2 are free: give the cache more"
    ):
        cache.step(6, None, torch.tensor([6, 1]))
    assert pool.free == 2


def test_blocks_that_no_kernel_can_read_are_refused():
    """Only where a kernel is compiled: a processor reads any."""
    pool = Pool(SHAPE, 2, 4)
    assert FlexCache(pool, 2).lengths.tolist() == [0, 0]
    pool.keys = SimpleNamespace(is_cuda=True)  # type: ignore[assignment]
    with pytest.raises(
        SpecrefError, match="blocks of 4 tokens: give blocks of 16 or a multiple, or gather"
    ):
        FlexCache(pool)


def test_a_pool_of_nothing_is_refused():
    with pytest.raises(SpecrefError, match="give 1 or more of each"):
        Pool(SHAPE, 0)
