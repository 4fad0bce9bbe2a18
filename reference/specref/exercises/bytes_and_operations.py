"""Exercise of part 1: how long one linear layer takes for several tokens.

The layer is a matrix of rows x columns numbers; its weights are read once for all tokens together.
Each token also reads columns numbers and writes rows numbers. Each number has bytes_each bytes. A
token needs one multiplication and one addition for each weight. The processor moves bandwidth
bytes and computes speed operations in a microsecond, both at the same time: the slower of the two
decides.

Return the microseconds. (Williams et al. 2009, the roofline model.)
"""

from fractions import Fraction

from .grading.exercise import Numbers

NAMES = ("rows", "columns", "bytes_each", "tokens", "bandwidth", "speed")
LAYERS = [
    (4096, 4096, 2, 1, 2_000_000, 256_000_000),
    (4096, 4096, 2, 8, 2_000_000, 256_000_000),
    (4096, 4096, 2, 512, 2_000_000, 256_000_000),
    (1024, 8192, 4, 5, 50_000, 1_000_000),
    (11008, 4096, 1, 32, 2_000_000, 32_000_000),
    (512, 2048, 2, 3, 4_000_000, 1_000_000),
]

EXERCISE = Numbers(
    id="bytes-and-operations",
    part=1,
    cases=[dict(zip(NAMES, layer)) for layer in LAYERS],
    right="In every case these are the microseconds of the layer.",
)


def attempt(
    rows: int, columns: int, bytes_each: int, tokens: int, bandwidth: int, speed: int
) -> Fraction:
    """Returns the time of the layer for so many tokens, in microseconds."""
    moved = bytes_each * (rows * columns + rows + columns)  # for one token
    return Fraction(tokens * moved, bandwidth)  # as if each token read the weights anew


@EXERCISE.solution
def solution(
    rows: int, columns: int, bytes_each: int, tokens: int, bandwidth: int, speed: int
) -> Fraction:
    moved = bytes_each * (rows * columns + tokens * (rows + columns))
    operations = 2 * rows * columns * tokens
    return max(Fraction(moved, bandwidth), Fraction(operations, speed))


@EXERCISE.also_right
def in_floats(
    rows: int, columns: int, bytes_each: int, tokens: int, bandwidth: int, speed: int
) -> Fraction:
    """The solution in floats."""
    moved = bytes_each * (rows * columns + tokens * (rows + columns))
    operations = 2 * rows * columns * tokens
    time = max(moved / bandwidth, operations / speed)
    return time  # type: ignore[return-value]


@EXERCISE.also_right
def weight_by_weight(
    rows: int, columns: int, bytes_each: int, tokens: int, bandwidth: int, speed: int
) -> Fraction:
    """It sums over rows and tokens."""
    weights = sum(columns for _ in range(rows))
    moved = sum((rows + columns) * bytes_each for _ in range(tokens)) + bytes_each * weights
    operations = sum(weights + weights for _ in range(tokens))
    if moved * speed > operations * bandwidth:
        return Fraction(moved, bandwidth)
    return Fraction(operations, speed)


@EXERCISE.wrong("each token reads all weights again: 8 tokens cost 8 times as much as one")
def weights_for_each_token(
    rows: int, columns: int, bytes_each: int, tokens: int, bandwidth: int, speed: int
) -> Fraction:
    """The weights are read once for all tokens of a forward. That is why verifying several tokens
    costs little more than one.
    """
    moved = bytes_each * (rows * columns + rows + columns)
    return Fraction(tokens * moved, bandwidth)


@EXERCISE.wrong(
    "you never count the arithmetic: any number of tokens costs the reading of the weights"
)
def more_tokens_are_free(
    rows: int, columns: int, bytes_each: int, tokens: int, bandwidth: int, speed: int
) -> Fraction:
    """Beyond some number of tokens the operations take longer than the reading. From there on every
    token costs its full price.
    """
    moved = bytes_each * (rows * columns + tokens * (rows + columns))
    return Fraction(moved, bandwidth)


@EXERCISE.wrong("you count the arithmetic alone")
def only_arithmetic(
    rows: int, columns: int, bytes_each: int, tokens: int, bandwidth: int, speed: int
) -> Fraction:
    """For a few tokens the processor waits for the weights."""
    operations = 2 * rows * columns * tokens
    return Fraction(operations, speed)


@EXERCISE.wrong("you count one operation for each weight")
def one_operation_a_weight(
    rows: int, columns: int, bytes_each: int, tokens: int, bandwidth: int, speed: int
) -> Fraction:
    """It is a multiplication and an addition: two."""
    moved = bytes_each * (rows * columns + tokens * (rows + columns))
    operations = rows * columns * tokens
    return max(Fraction(moved, bandwidth), Fraction(operations, speed))


@EXERCISE.wrong("you add the two times")
def sum_of_both(
    rows: int, columns: int, bytes_each: int, tokens: int, bandwidth: int, speed: int
) -> Fraction:
    """The processor moves and computes at the same time, so the larger one decides."""
    moved = bytes_each * (rows * columns + tokens * (rows + columns))
    operations = 2 * rows * columns * tokens
    return Fraction(moved, bandwidth) + Fraction(operations, speed)


@EXERCISE.wrong("you take the smaller of the two times")
def smaller_of_both(
    rows: int, columns: int, bytes_each: int, tokens: int, bandwidth: int, speed: int
) -> Fraction:
    """The slower of the two is the bottleneck."""
    moved = bytes_each * (rows * columns + tokens * (rows + columns))
    operations = 2 * rows * columns * tokens
    return min(Fraction(moved, bandwidth), Fraction(operations, speed))


@EXERCISE.wrong("you forget what each token reads and writes")
def weights_alone(
    rows: int, columns: int, bytes_each: int, tokens: int, bandwidth: int, speed: int
) -> Fraction:
    """Each token reads columns numbers and writes rows numbers."""
    moved = bytes_each * rows * columns
    operations = 2 * rows * columns * tokens
    return max(Fraction(moved, bandwidth), Fraction(operations, speed))


@EXERCISE.wrong("you count numbers, not bytes")
def numbers_not_bytes(
    rows: int, columns: int, bytes_each: int, tokens: int, bandwidth: int, speed: int
) -> Fraction:
    """Each number has bytes_each bytes. Half as many bytes a weight is half the time."""
    moved = rows * columns + tokens * (rows + columns)
    operations = 2 * rows * columns * tokens
    return max(Fraction(moved, bandwidth), Fraction(operations, speed))


@EXERCISE.wrong("you count the operations of one token only")
def arithmetic_of_one_token(
    rows: int, columns: int, bytes_each: int, tokens: int, bandwidth: int, speed: int
) -> Fraction:
    """Each token needs its own operations."""
    moved = bytes_each * (rows * columns + tokens * (rows + columns))
    operations = 2 * rows * columns
    return max(Fraction(moved, bandwidth), Fraction(operations, speed))
