"""Limits of numeric settings: the range of each, and the error for a value outside it.

Settings are checked before anything is computed from them, so that no value can overflow float32,
exhaust the memory or cause a warning of NumPy.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any

from charrnn.errors import UsageError

MAX_SIZE = 2**16
"""Most units of a layer."""

MAX_VOCABULARY = 2**32
"""Most inputs and outputs of a network: the ids of characters are at most 32 bits wide."""

MAX_COUNT = 10**15
"""Largest number of steps or characters: exact as a float64, and beyond the reach of any run."""

MAX_SEED = 2**63 - 1
MAX_SCALE = 1e6
"""Largest factor on weights: products of a few of them are finite in float32."""

MAX_LOSS = 1e39
"""Largest loss in nats: above the difference of any two float32 logits."""

MIN_RATE, MAX_RATE = 1e-30, 3e38
"""Smallest and largest learning rate and clipping threshold: both are normal float32 numbers."""


@dataclass(frozen=True)
class Limits:
    """The range of a numeric setting, and a typical value.

    Args:
        low: the lower bound.
        high: the upper bound.
        usual: the value that an error suggests; if it is an integer, the setting must be one.
        above: whether values must be greater than `low`; else `low` is allowed.
        below: whether values must be less than `high`; else `high` is allowed.

    Example:
        >>> fraction = Limits(0, 1, 0.1, below=True)
        >>> 0 in fraction, 1 in fraction, str(fraction)
        (True, False, 'from 0 to below 1')
    """

    low: float
    high: float
    usual: float
    above: bool = False
    below: bool = False

    def check(self, name: str, value: object) -> None:
        """Raise `UsageError` unless `value` is a number in this range.

        Args:
            name: the option as it is typed (`--hidden`), or the name of an argument.
            value: the value to check.
        """
        kind = Integral if isinstance(self.usual, int) else Real
        if isinstance(value, kind) and not isinstance(value, bool) and value in self:
            return
        raise UsageError(
            f"{name} is {format_value(value)}; it must be {self}", f"{name} {self.usual:g}"
        )

    def __contains__(self, value: Any) -> bool:
        lowest = self.low < value if self.above else self.low <= value
        return bool(lowest and (value < self.high if self.below else value <= self.high))

    def __str__(self) -> str:
        kind = "a whole number from" if isinstance(self.usual, int) else "from"
        start = f"above {self.low:g} and" if self.above else f"{kind} {format_number(self.low)}"
        end = f"below {self.high:g}" if self.below else format_number(self.high)
        to = "up to" if self.above else "to"
        return f"{start} {to} {end}"


SEED = Limits(0, MAX_SEED, 0)
THREADS = Limits(1, 256, 1)
MODEL_LIMITS = {
    "inputs": Limits(1, MAX_VOCABULARY, 256),
    "outputs": Limits(1, MAX_VOCABULARY, 256),
    "hidden": Limits(1, MAX_SIZE, 256),
    "layers": Limits(1, 1000, 1),
    "dropout": Limits(0, 1, 0.1, below=True),
    "recurrent_dropout": Limits(0, 1, 0.1, below=True),
    "gain": Limits(-MAX_SCALE, MAX_SCALE, 1.0),
    "input_gain": Limits(-MAX_SCALE, MAX_SCALE, 1.0),
    "forget_bias": Limits(-MAX_SCALE, MAX_SCALE, 1.0),
    "attention": Limits(0, 1024, 0),
}
TRAINING_LIMITS = {
    "steps": Limits(0, MAX_COUNT, 1000),
    "warmup_steps": Limits(0, MAX_COUNT, 100),
    "eval_every": Limits(0, MAX_COUNT, 100),
    "val_limit": Limits(0, MAX_COUNT, 1000),
    "patience": Limits(0, MAX_COUNT, 0),
    "seed": SEED,
    "seq_length": Limits(1, 2**24, 64),
    "batch_size": Limits(1, 2**20, 32),
    "workers": THREADS,
    "lr": Limits(MIN_RATE, MAX_RATE, 0.1),
    "clip_norm": Limits(MIN_RATE, MAX_RATE, 0.25),
    "clip_value": Limits(MIN_RATE, MAX_RATE, 1.0),
    "weight_decay": Limits(0, 1000, 0.002),
    "state_reset_prob": Limits(0, 1, 0.05),
    "ema_decay": Limits(0, 1, 0.998),
    "balance": Limits(0, 1, 0.5),
    "label_smoothing": Limits(0, 1, 0.1, below=True),
}
CORPUS_LIMITS = {
    "characters": Limits(0, MAX_COUNT, 1_000_000),
    "val_fraction": Limits(0, 0.5, 0.1),
    "min_count": Limits(1, MAX_COUNT, 1),
}
LONGEST_ANSWER = Limits(1, 2**16, 10)
LOSS = Limits(0, MAX_LOSS, 1.0)
FRACTION = Limits(0, 1, 0.5)
METRIC = Limits(-MAX_LOSS, MAX_LOSS, 1.0)
PROGRESS_LIMITS = {
    **dict.fromkeys(("step", "best_step", "since_best", "evaluated"), Limits(0, MAX_COUNT, 0)),
    **dict.fromkeys(("skipped", "nonfinite"), Limits(0, MAX_COUNT, 0)),
    **dict.fromkeys(("smooth_nats", "best_nats", "last_nats"), LOSS),
    "best_exact_match": FRACTION,
    "lr_scale": Limits(0, 1, 1.0, above=True),
}
BUDGET_LIMITS = {
    "minutes": Limits(0, 1e6, 3.0, above=True),
    "epochs": Limits(0, 1e6, 10.0, above=True),
    "steps": Limits(1, MAX_COUNT, 1000),
}
MAX_NGRAM_CHARACTERS = 4_000_000
"""Most characters of a text whose n-grams are part of a mixture."""

NGRAM_ORDER = Limits(1, 16, 8)
EXPONENT = Limits(0.0, 4.0, 0.5)
"""Exponent of a part of a mixture."""

LAG_LIMITS = Limits(1, 2**20, 200)
WINDOW_LIMITS = Limits(1, 2**20, 160)
INIT_SCALE = Limits(0, MAX_SCALE, 0.01)
NOT_OPTIONS = {"inputs", "outputs", "workers"}
OPTION_WORDS = {
    "init": "recurrent_init",
    "gain": "recurrent_gain",
    "optimiser": "optimizer",
    "normalise": "normalize",
    "built_in": "builtin",
}
"""Fields and parameters whose option is spelt differently."""


KINDS: dict[type, str] = {Integral: "a whole number", Real: "a number", str: "a text"}


def check_kind(name: str, value: object, kind: type) -> None:
    """Raise `UsageError` unless an argument is of a kind.

    Args:
        name: the name of the argument.
        value: the argument.
        kind: `numbers.Integral`, `numbers.Real` or `str`. A bool is no number.

    Example:
        >>> check_kind("prime", "To be", str)
        >>> check_kind("length", 2.5, Integral)
        Traceback (most recent call last):
        charrnn.errors.UsageError: length is 2.5; it must be a whole number
    """
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UsageError(f"{name} is {format_value(value)}; it must be {KINDS[kind]}")


def check_instance(name: str, value: object, kind: type) -> None:
    """Raise `UsageError` unless an argument is an object of a class.

    Example:
        >>> check_instance("pair", (1, 2), tuple)
        >>> check_instance("pair", None, tuple)
        Traceback (most recent call last):
        charrnn.errors.UsageError: pair is None; it must be a tuple
    """
    if not isinstance(value, kind):
        raise UsageError(f"{name} is {format_value(value)}; it must be a {kind.__name__}")


def check_fields(limits: dict[str, Limits], settings: object, *, none_allowed: bool = True) -> None:
    """Raise `UsageError` for the first attribute of `settings` outside its limits.

    An attribute that is None passes if `none_allowed`.
    """
    for name, limit in limits.items():
        if (value := getattr(settings, name)) is not None or not none_allowed:
            limit.check(name if name in NOT_OPTIONS else option_name(name), value)


def option_name(field: str) -> str:
    """Return the option that sets a field, as it is typed: `--warmup-steps` for `warmup_steps`."""
    return "--" + OPTION_WORDS.get(field, field).replace("_", "-")


def format_number(number: float) -> str:
    """Return a number with separators, or in scientific notation if that is shorter.

    Example:
        >>> format_number(65536), format_number(10**15)
        ('65,536', '1e+15')
    """
    return f"{int(number):,}" if number == int(number) and abs(number) < 1e9 else f"{number:g}"


def format_value(value: object) -> str:
    """Return a value as text for an error message; a huge integer as a power of two.

    Example:
        >>> format_value(8), format_value(10**100)
        ('8', 'about 2**332')
    """
    if isinstance(value, int) and abs(value) >= 10**20:
        return f"{'-' if value < 0 else ''}about 2**{abs(value).bit_length() - 1}"
    text = str(value) if isinstance(value, Real) else repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for a `name` that no registry entry has; it suggests the closest one.

    Example:
        >>> str(unknown("cell", "lsmt", ["rnn", "lstm"]))
        "no cell called 'lsmt'; there are rnn, lstm; try lstm"
        >>> str(unknown("cell", "LSTM", ["rnn", "lstm"]))
        "no cell called 'LSTM'; there are rnn, lstm; try lstm"
    """
    names = list(known)
    by_spelling = {one.casefold(): one for one in names}
    found = get_close_matches(name[:40].casefold(), by_spelling, 1)
    closest = by_spelling[found[0]] if found else names[0]
    return UsageError(
        f"no {kind} called {format_value(name)}; there are {', '.join(names)}", closest
    )
