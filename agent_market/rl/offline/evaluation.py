"""Fitted-Q evaluation: what a policy is worth, from a log that another behavior made.

Q(s, a) of the evaluated policy is linear in a basis of what decides it here: the position held and
the action (which fix the cost), and for each action the main features and what the policy itself
would choose. Its fixed point Q(s, a) = r + discount Q(s', policy(s')) is solved at once (LSTD-Q),
which is where repeated regressions end, and again for every resample of blocks of the log.

Le et al., "Batch Policy Learning under Constraints" (2019, 1903.08738); Lagoudakis and Parr,
"Least-Squares Policy Iteration" (2003); Hao et al., "Bootstrapping Fitted Q-Evaluation for
Off-Policy Inference" (2021, 2102.03607).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from agent_market.errors import ConfigError, DataError, GateRejected
from agent_market.rl.offline.buffer import Integers, TransitionBuffer
from agent_market.rl.paths import Floats
from agent_market.rl.policies.policy import Policy
from agent_market.rl.policies.problem import Choices, nearest_index
from agent_market.settings import Section

LIMIT = 5.0  # standard deviations of a feature in the basis


class GateSettings(Section):
    """How sure the gate must be.

    discount : of a candle later, in the evaluation.
    confidence : of the two-sided intervals.
    resamples, block_rows : of the bootstrap; a block should be longer than a position is held.
    components : principal components of the features in the basis.
    ridge : of the regression, relative to the basis' mean square.
    least_matches : rows of the log that must do what the policy would do, for each action that the
        policy takes on 1 % of rows or more.
    least_gain : net profit a row, as a share of the account, that the policy must be worth.
    seed : of the bootstrap.
    """

    discount: float = Field(default=0.9, ge=0, lt=1)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    resamples: int = Field(default=500, ge=20)
    block_rows: int = Field(default=100, ge=1)
    components: int = Field(default=8, ge=0)
    ridge: float = Field(default=1e-6, gt=0)
    least_matches: int = Field(default=30, ge=1)
    least_gain: float = Field(default=0.0, ge=0)
    seed: int = 0


@dataclass(frozen=True)
class Estimate:
    """A figure with its bootstrap interval.

    value, low, high : net profit a row, as a share of the account.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{1e4 * self.value:.3f} bps [{1e4 * self.low:.3f}, {1e4 * self.high:.3f}]"


@dataclass(frozen=True)
class Verdict:
    """What the gate says.

    policy : (1 - discount) times the policy's mean value over the rows of the log: what a row under
        the policy earns, rows soon after the start counting more.
    behavior : mean reward of the log.
    gain : policy less behavior, from the same resamples.
    matches : rows of the log that do what the policy would do, by action.
    reasons : why it is refused; empty where it passed.
    """

    policy: Estimate
    behavior: Estimate
    gain: Estimate
    matches: tuple[int, ...]
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the policy may be deployed."""
        return not self.reasons

    def require(self) -> None:
        """Raise GateRejected with all reasons unless the policy passed."""
        if self.reasons:
            raise GateRejected("the policy is refused: " + "; ".join(self.reasons))


def gate(policy: Policy, buffer: TransitionBuffer, settings: GateSettings | None = None) -> Verdict:
    """Return whether a policy is worth more than the behavior of a log and than staying flat.

    Parameters
    ----------
    policy : Policy
        Of the log's positions, for a window of one row.
    buffer : TransitionBuffer
        Rows that the policy has not learned from, in blocks of time.
    settings : GateSettings, optional

    Notes
    -----
    What the evaluation cannot see: it holds where the log's choices followed from what its
    observations show. A log that knew more, such as hindsight, is refused.

    Raises
    ------
    ConfigError
        The policy's positions, window or number of features are not the log's.
    DataError
        The log is too short for a bootstrap.
    """
    settings = settings or GateSettings()
    _check(policy, buffer, settings)
    choices = _choices(policy, buffer)
    sums = _block_sums(buffer, choices, settings)
    n_blocks = len(sums.count)
    everyone = np.ones((1, n_blocks))
    drawn = np.random.default_rng(settings.seed).multinomial(
        n_blocks, np.full(n_blocks, 1 / n_blocks), settings.resamples
    )
    values = _values(sums, np.concatenate([everyone, drawn]), settings)
    means = _means(sums, np.concatenate([everyone, drawn]))
    value, behavior, gain = (
        _estimate(figures, settings.confidence) for figures in (values, means, values - means)
    )
    matches = _matches(buffer, choices)
    reasons = [
        *_unsupported(buffer, choices, matches, settings),
        *_unproven(buffer, value, behavior, gain, settings),
    ]
    return Verdict(value, behavior, gain, tuple(matches.tolist()), tuple(reasons))


def hold_out(buffer: TransitionBuffer, share: float) -> tuple[TransitionBuffer, TransitionBuffer]:
    """Return the rows before a date to learn from, and those after it to judge by.

    Parameters
    ----------
    buffer : TransitionBuffer
    share : float
        Of the rows, the latest ones, for the second part. One date divides all pairs; the two
        candles before it are left out, for their rewards reach beyond it.
    """
    if not 0 < share < 1:
        raise ConfigError(f"hold out: the share is {share}, it must lie between 0 and 1.")
    dates = np.sort(buffer.date)
    border = dates[round((1 - share) * (len(dates) - 1))]
    known = np.unique(dates)
    last = known[max(0, np.searchsorted(known, border) - 2)]
    return buffer.take(buffer.date < last), buffer.take(buffer.date >= border)


@dataclass(frozen=True)
class _BlockSums:
    """Sums over blocks of rows: all that a resample needs.

    system : (n_blocks, n_basis, n_basis), of basis times (basis - discount next basis). target :
    (n_blocks, n_basis), of basis times reward. start : (n_blocks, n_basis), of the basis of what
    the policy would do. count, reward : (n_blocks,), of all rows.
    """

    system: Floats
    target: Floats
    start: Floats
    count: Floats
    reward: Floats


def _check(policy: Policy, buffer: TransitionBuffer, settings: GateSettings) -> None:
    if policy.settings.positions != buffer.header.positions or policy.settings.window_candles != 1:
        raise ConfigError(
            f"gate: the policy {policy.name} holds {policy.settings.positions} after windows of "
            f"{policy.settings.window_candles}, the log holds {buffer.header.positions} and single "
            "rows. Evaluate it on a log of its own positions, with window_candles 1."
        )
    if policy.n_features != buffer.observation.shape[1]:
        raise ConfigError(
            f"gate: the policy {policy.name} knows {policy.n_features} features, the log has "
            f"{buffer.observation.shape[1]}. Evaluate it on a log of the features it learned from."
        )
    if len(buffer) < 10 * settings.block_rows:
        raise DataError(
            f"gate: the log has {len(buffer):,} rows, at least {10 * settings.block_rows:,} (ten "
            "blocks) are needed. Log more candles."
        )


def _choices(policy: Policy, buffer: TransitionBuffer) -> Choices:
    if policy.stays_flat:
        flat = nearest_index(policy.positions, 0.0)
        return np.full((len(buffer), len(policy.positions)), flat)
    return policy.choices(buffer.observation)


def _block_sums(buffer: TransitionBuffer, choices: Choices, settings: GateSettings) -> _BlockSums:
    known = _main_features(buffer, choices, settings.components)
    n_positions = len(buffer.header.positions)
    rows = np.arange(len(buffer))
    following = buffer.next_row
    usable = (following >= 0) | buffer.done
    blocks = _blocks(buffer.episode, settings.block_rows)
    sums: list[tuple[Floats, Floats, Floats, float, float]] = []
    for start, stop in zip(blocks, [*blocks[1:], len(buffer)], strict=True):
        part = rows[start:stop]
        wanted = choices[part, buffer.held[part]]
        first = _basis(known[part], buffer.held[part], wanted, n_positions).sum(axis=0)
        used = part[usable[part]]
        now = _basis(known[used], buffer.held[used], buffer.action[used], n_positions)
        after = following[used]
        then = _basis(
            known[after],
            buffer.held[after],
            choices[after, buffer.held[after]],
            n_positions,
        )
        then[after < 0] = 0.0
        system = now.T @ (now - settings.discount * then)
        target = now.T @ buffer.reward[used]
        sums.append((system, target, first, float(len(part)), float(buffer.reward[part].sum())))
    return _BlockSums(*(np.array(each) for each in zip(*sums, strict=True)))


def _blocks(episode: Integers, block_rows: int) -> Integers:
    """Return the first rows of blocks; none reaches over two episodes."""
    first = np.flatnonzero(np.append(True, np.diff(episode) != 0))
    lengths = np.diff(np.append(first, len(episode)))
    since = np.arange(len(episode)) - np.repeat(first, lengths)
    return np.flatnonzero(since % block_rows == 0)


def _main_features(buffer: TransitionBuffer, choices: Choices, components: int) -> Floats:
    """Return what each action's value may depend on, (n_rows, n_known).

    One, the policy's choice for each position held, and principal components of the features.
    """
    flat = nearest_index(np.array(buffer.header.positions), 0.0)
    columns = [np.ones(len(buffer))]
    for held in range(choices.shape[1]):
        columns += [choices[:, held] == q for q in range(choices.shape[1]) if q != flat]
    observed = buffer.observation.astype(np.float64)
    spread = observed.std(axis=0)
    varied = spread > 1e-12 * np.abs(observed).max(axis=0, initial=0.0)
    standard = (observed[:, varied] - observed[:, varied].mean(axis=0)) / spread[varied]
    standard = np.clip(standard, -LIMIT, LIMIT)
    count = min(components, standard.shape[1])
    if count:
        _, axes = np.linalg.eigh(standard.T @ standard / len(standard))
        main = standard @ axes[:, ::-1][:, :count]
        columns += list((main / main.std(axis=0)).T)
    return np.column_stack(columns).astype(np.float64)


def _basis(known: Floats, held: Integers, action: Integers, n_positions: int) -> Floats:
    """Return the basis of states and actions, (n_rows, n_basis)."""
    n_rows, n_known = known.shape
    rows = np.arange(n_rows)
    changes = np.zeros((n_rows, n_positions * n_positions))
    changes[rows, held * n_positions + action] = 1.0
    values = np.zeros((n_rows, n_positions, n_known))
    values[rows, action] = known
    return np.concatenate([changes, values.reshape(n_rows, -1)], axis=1)


def _values(sums: _BlockSums, weights: Floats, settings: GateSettings) -> Floats:
    """Return the value a row of each weighting of the blocks, (n_weightings,)."""
    n_basis = sums.target.shape[1]
    found = np.empty(len(weights))
    for place, weight in enumerate(weights.astype(np.float64)):
        system = np.tensordot(weight, sums.system, axes=1)
        system += settings.ridge * np.trace(system) / n_basis * np.eye(n_basis)
        solution = np.linalg.solve(system, weight @ sums.target)
        start = weight @ sums.start / (weight @ sums.count)
        found[place] = (1 - settings.discount) * (start @ solution)
    return found


def _means(sums: _BlockSums, weights: Floats) -> Floats:
    return np.asarray((weights @ sums.reward) / (weights @ sums.count))


def _estimate(figures: Floats, confidence: float) -> Estimate:
    """Return the first figure with the interval of the others (basic bootstrap).

    Reflected about the estimate, for the estimate's bias is that of its resamples.
    """
    tail = (1 - confidence) / 2
    low, high = np.quantile(figures[1:], [tail, 1 - tail])
    return Estimate(float(figures[0]), float(2 * figures[0] - high), float(2 * figures[0] - low))


def _matches(buffer: TransitionBuffer, choices: Choices) -> Integers:
    wanted = choices[np.arange(len(buffer)), buffer.held]
    return np.bincount(wanted[wanted == buffer.action], minlength=choices.shape[1])


def _unsupported(
    buffer: TransitionBuffer, choices: Choices, matches: Integers, settings: GateSettings
) -> list[str]:
    """Return why the log cannot say what the policy is worth."""
    reasons = []
    if buffer.header.knows_future:
        reasons.append(
            f"the log's behavior {buffer.header.behavior!r} knew the future, so that what its "
            "choices earned proves nothing: log another behavior"
        )
    wanted = choices[np.arange(len(buffer)), buffer.held]
    taken = np.bincount(wanted, minlength=choices.shape[1]) >= 0.01 * len(buffer)
    reasons += [
        f"only {matches[action]} rows of the log take position "
        f"{buffer.header.positions[action]:+g} where the policy would "
        f"(least_matches {settings.least_matches}): its value there is a guess"
        for action in np.flatnonzero(taken & (matches < settings.least_matches))
    ]
    return reasons


def _unproven(
    buffer: TransitionBuffer,
    value: Estimate,
    behavior: Estimate,
    gain: Estimate,
    settings: GateSettings,
) -> list[str]:
    """Return what the policy's value falls short of."""
    reasons = []
    if not value.low > settings.least_gain:
        reasons.append(
            f"its value a row, {value}, is not surely above {1e4 * settings.least_gain:g} bps"
        )
    if not gain.low > 0:
        reasons.append(
            f"it is not surely better than the behavior {buffer.header.behavior!r}, {behavior}: "
            f"the difference is {gain}"
        )
    return reasons
