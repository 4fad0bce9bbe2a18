"""Exercise of part 6: the attention mask and the positions of a tree.

Node i is a candidate token; parents[i] is the node before it, or -1 for a child of the context.
Parents stand before their children. length is the number of tokens in the context, whose positions
are 0 to length - 1. Return two lists: the mask, a row of 0 and 1 for each node that says which
nodes it attends to (itself and its ancestors; the context is not part of it), and the position of
each node. (Miao et al. 2023, SpecInfer, arXiv:2305.09781, section 4.)
"""

from .grading.exercise import Numbers

Answers = tuple[list[list[int]], list[int]]

TREES = [
    ([-1, 0, 1], 10),
    ([-1, -1, 0, 0, 1], 7),
    ([-1, 0, 0, 1, 1, 2, 5], 3),
    ([-1, -1, -1], 0),
]

EXERCISE = Numbers(
    id="tree-mask",
    part=6,
    cases=[{"parents": parents, "length": length} for parents, length in TREES],
    right="In every case these are the mask and the positions.",
)


def attempt(parents: list[int], length: int) -> Answers:
    """parents: of N nodes. Returns the mask, N rows of N, and N positions."""
    mask, positions = [], []
    for i in range(len(parents)):  # this is the mask of a chain
        mask.append([1] * (i + 1) + [0] * (len(parents) - i - 1))
        positions.append(length + i)
    return mask, positions


@EXERCISE.solution
def solution(parents: list[int], length: int) -> Answers:
    mask, positions = [], []
    for i, parent in enumerate(parents):
        row = [0] * len(parents)
        row[i] = 1
        while parent != -1:
            row[parent] = 1
            parent = parents[parent]
        mask.append(row)
        positions.append(length + sum(row) - 1)
    return mask, positions


@EXERCISE.also_right
def row_of_the_parent(parents: list[int], length: int) -> Answers:
    """Each node takes its parent's row and adds itself."""
    mask: list[list[int]] = []
    positions: list[int] = []
    for i, parent in enumerate(parents):
        row = list(mask[parent]) if parent >= 0 else [0] * len(parents)
        row[i] = 1
        mask.append(row)
        positions.append(length + sum(row) - 1)
    return mask, positions


@EXERCISE.also_right
def by_paths(parents: list[int], length: int) -> Answers:
    """It walks up from every node."""
    paths: list[list[int]] = []
    for i, parent in enumerate(parents):
        paths.append([*(paths[parent] if parent >= 0 else []), i])
    mask = []
    for path in paths:
        mask.append([int(j in path) for j in range(len(parents))])
    return mask, [length + len(path) - 1 for path in paths]


@EXERCISE.wrong("you use the causal mask and the positions of a chain")
def chain_mask(parents: list[int], length: int) -> Answers:
    """In a tree a node must not see its cousins: they belong to other texts. Nodes of one depth
    share a position.
    """
    mask, positions = [], []
    for i in range(len(parents)):
        mask.append([1] * (i + 1) + [0] * (len(parents) - i - 1))
        positions.append(length + i)
    return mask, positions


@EXERCISE.wrong("your mask lets a node see its cousins: all nodes before it")
def cousins(parents: list[int], length: int) -> Answers:
    """A node sees itself and its ancestors. The tokens of other branches are not in its text."""
    depths: list[int] = []
    for parent in parents:
        depths.append(depths[parent] + 1 if parent >= 0 else 0)
    mask = []
    for i in range(len(parents)):
        mask.append([1] * (i + 1) + [0] * (len(parents) - i - 1))
    return mask, [length + depth for depth in depths]


@EXERCISE.wrong("you number the positions through: 0, 1, 2 in the order of the nodes")
def positions_by_number(parents: list[int], length: int) -> Answers:
    """The position of a node is its place in its own text: the context's length plus its depth."""
    mask, positions = [], []
    for i, parent in enumerate(parents):
        row = [0] * len(parents)
        row[i] = 1
        while parent != -1:
            row[parent] = 1
            parent = parents[parent]
        mask.append(row)
        positions.append(length + i)
    return mask, positions


@EXERCISE.wrong("each node sees its parent and no one further up")
def parent_only(parents: list[int], length: int) -> Answers:
    """The whole path is its text: all ancestors."""
    mask, positions = [], []
    depths: list[int] = []
    for i, parent in enumerate(parents):
        depths.append(depths[parent] + 1 if parent >= 0 else 0)
        row = [0] * len(parents)
        row[i] = 1
        if parent != -1:
            row[parent] = 1
        mask.append(row)
        positions.append(length + depths[-1])
    return mask, positions


@EXERCISE.wrong("a node does not see itself")
def not_itself(parents: list[int], length: int) -> Answers:
    """A token attends to itself, as in every causal mask."""
    mask, positions = [], []
    for parent in parents:
        row = [0] * len(parents)
        while parent != -1:
            row[parent] = 1
            parent = parents[parent]
        mask.append(row)
        positions.append(length + sum(row))
    return mask, positions


@EXERCISE.wrong("your mask is transposed: a node sees its descendants")
def transposed(parents: list[int], length: int) -> Answers:
    """Row i says what node i attends to. Descendants stand behind it."""
    mask = [[0] * len(parents) for _ in parents]
    positions = []
    for i, parent in enumerate(parents):
        mask[i][i] = 1
        depth = 0
        while parent != -1:
            mask[parent][i] = 1
            parent = parents[parent]
            depth += 1
        positions.append(length + depth)
    return mask, positions


@EXERCISE.wrong("you begin at depth 1, so that every position is one too large")
def depth_from_one(parents: list[int], length: int) -> Answers:
    """The first token behind a context of length tokens has position length."""
    mask, positions = [], []
    for i, parent in enumerate(parents):
        row = [0] * len(parents)
        row[i] = 1
        while parent != -1:
            row[parent] = 1
            parent = parents[parent]
        mask.append(row)
        positions.append(length + sum(row))
    return mask, positions


@EXERCISE.wrong("your positions forget the context")
def without_the_context(parents: list[int], length: int) -> Answers:
    """They go on behind the context: its length is added."""
    mask, positions = [], []
    for i, parent in enumerate(parents):
        row = [0] * len(parents)
        row[i] = 1
        while parent != -1:
            row[parent] = 1
            parent = parents[parent]
        mask.append(row)
        positions.append(sum(row) - 1)
    return mask, positions
