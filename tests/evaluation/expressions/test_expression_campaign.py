"""Campaigns: what is counted, what is accepted, and what stays sealed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent_market.errors import ConfigError, DataError, ExpressionError, GateRejected, StateCorrupt
from agent_market.evaluation.expressions.campaign import VAULT, Campaign, fitness
from agent_market.evaluation.expressions.layout import layout_of
from agent_market.evaluation.expressions.planting import plant_expression
from agent_market.evaluation.expressions.scoring import t_threshold
from agent_market.evaluation.expressions.vault import open_vault, read_vault
from agent_market.expressions import parse_expression
from agent_market.expressions.accepted import expression_name, read_accepted
from agent_market.expressions.panel import Panel
from tests.evaluation.expressions.conftest import DESIGN, make_walk

TRUTH = "-demean(ts_zscore(close, 12))"
NOISE = ("ts_zscore(volume, 20)", "ts_rank(volume, 30)", "ts_skew(volume, 48)", "rank(volume)")


@pytest.fixture(scope="module")
def planted() -> Panel:
    return plant_expression(make_walk(1), parse_expression(TRUTH), 0.15)


@pytest.fixture
def campaign(tmp_path: Path, planted: Panel) -> Campaign:
    return Campaign(tmp_path / "campaign", planted, DESIGN)


def nodes_of(campaign: Campaign, *formulas: str) -> list:
    return [campaign.parse(formula) for formula in formulas]


def with_other_rows_from(panel: Panel, row: int) -> Panel:
    """Return the panel with every candle from `row` on of another market."""
    other = make_walk(99, panel.shape[1])
    series = {name: values.copy() for name, values in panel.series.items()}
    for name, values in series.items():
        values[:, row:] = 3 * other.series[name][:, row:]
    return Panel(panel.pairs, panel.timeframe, panel.first_candle, series)


def test_expressions_that_say_the_same_are_one_trial(campaign: Campaign) -> None:
    first, second = campaign.score(nodes_of(campaign, "close > open", "open < close"))
    assert first == second
    assert list(campaign.trials) == [first.expression_hash]
    campaign.score(nodes_of(campaign, "open < close", "close < open"))
    assert len(campaign.trials) == 2


def test_rows_without_a_value_earn_nothing(campaign: Campaign) -> None:
    """Else the best may be one that the confirmation refuses, as it has a value in too few rows."""
    (trial,) = campaign.score(nodes_of(campaign, TRUTH))
    sparse = trial._replace(score=trial.score._replace(coverage=0.9))
    node = campaign.parse(trial.formula)
    assert fitness(sparse, node, 0.0) == pytest.approx(0.9 * fitness(trial, node, 0.0))


def test_every_trial_raises_the_threshold(campaign: Campaign) -> None:
    before = campaign.t_threshold
    campaign.score(nodes_of(campaign, *NOISE))
    assert campaign.t_threshold > before
    n_blocks = sum(len(fold.blocks) for fold in layout_of(3000, "1h", DESIGN).folds)
    assert campaign.t_threshold == t_threshold(DESIGN.family_error, len(NOISE), n_blocks)


def test_a_campaign_opened_again_knows_its_trials_and_decisions(
    campaign: Campaign, planted: Panel
) -> None:
    campaign.score(nodes_of(campaign, *NOISE))
    campaign.submit(nodes_of(campaign, TRUTH, NOISE[0]))
    again = Campaign(campaign.folder, planted, DESIGN)
    assert repr(dict(again.trials)) == repr(dict(campaign.trials))
    assert repr(dict(again.decisions)) == repr(dict(campaign.decisions))
    assert len(again.pool) == 1


def test_what_is_planted_is_accepted_and_noise_is_not(campaign: Campaign) -> None:
    campaign.score(nodes_of(campaign, *NOISE))
    truth, *others = campaign.submit(nodes_of(campaign, TRUTH, *NOISE))
    assert truth.reason == "accepted"
    assert truth.t > truth.t_threshold
    assert truth.confirmation_t > truth.confirmation_threshold
    assert truth.n_trials == 5
    assert {other.reason for other in others} == {"score"}
    assert all(np.isnan(other.confirmation_t) for other in others), "they are not looked at"


def test_the_opposite_of_a_member_is_refused_for_its_likeness(campaign: Campaign) -> None:
    first, second = campaign.submit(nodes_of(campaign, TRUTH, "demean(ts_zscore(close, 12))"))
    assert first.is_accepted
    assert second.reason == "likeness"
    assert second.nearest == expression_name(first.expression_hash)
    assert second.correlation > 0.9


def test_an_existing_feature_is_no_new_expression(tmp_path: Path, planted: Panel) -> None:
    known = Campaign(tmp_path / "plain", planted, DESIGN)
    values = next(known._search.values(nodes_of(known, TRUTH)))
    feature = np.full(planted.shape, np.nan)
    feature[:, : values.shape[1]] = values
    panel = Panel(
        planted.pairs,
        planted.timeframe,
        planted.first_candle,
        planted.series,
        {"%-known": feature},
    )
    campaign = Campaign(tmp_path / "with_feature", panel, DESIGN)
    (decision,) = campaign.submit(nodes_of(campaign, TRUTH))
    assert decision.reason == "likeness"
    assert decision.nearest == "%-known"


def test_a_candidate_is_confirmed_once(campaign: Campaign) -> None:
    (first,) = campaign.submit(nodes_of(campaign, TRUTH))
    left = campaign.confirmations_left
    campaign.score(nodes_of(campaign, *NOISE))
    assert campaign.submit(nodes_of(campaign, TRUTH)) == [first]
    assert campaign.confirmations_left == left == DESIGN.max_confirmations - 1


def test_no_candidate_is_confirmed_beyond_those_allowed(tmp_path: Path, planted: Panel) -> None:
    design = DESIGN.model_copy(update={"max_confirmations": 1, "max_correlation": 1.0})
    design = design.model_copy(update={"least_gain_t": 0.0})
    campaign = Campaign(tmp_path, planted, design)
    weak, truth = campaign.submit(nodes_of(campaign, "-demean(ts_zscore(close, 30))", TRUTH))
    assert weak.used_a_confirmation
    assert truth.reason == "no confirmations left"
    assert np.isnan(truth.confirmation_t)


def test_candidates_are_the_best_trials_that_are_not_alike(campaign: Campaign) -> None:
    campaign.score(
        nodes_of(campaign, TRUTH, "demean(ts_zscore(close, 13))", "-ts_zscore(close, 12)", *NOISE)
    )
    texts = [campaign.trials[t].formula for t in campaign.trials]
    found = campaign.candidates()
    assert 1 <= len(found) < len(texts) - len(NOISE)
    trials = campaign.score(found)
    assert abs(trials[0].score.t) == max(
        abs(t.score.t) for t in campaign.trials.values() if t.score.is_valid
    )


def test_no_score_depends_on_a_row_after_the_search(tmp_path: Path, planted: Panel) -> None:
    layout = layout_of(planted.shape[1], planted.timeframe, DESIGN)
    other = with_other_rows_from(planted, layout.search.stop)
    logs = []
    for name, panel in (("one", planted), ("other", other)):
        campaign = Campaign(tmp_path / name, panel, DESIGN)
        campaign.score(nodes_of(campaign, TRUTH, *NOISE, 'at("4h", returns)', "ewm(returns, 9)"))
        logs.append((tmp_path / name / "trials.jsonl").read_bytes())
    assert logs[0] == logs[1]


def test_no_decision_depends_on_a_row_of_the_vault(tmp_path: Path, planted: Panel) -> None:
    layout = layout_of(planted.shape[1], planted.timeframe, DESIGN)
    other = with_other_rows_from(planted, layout.vault.start)
    logs = []
    for name, panel in (("one", planted), ("other", other)):
        campaign = Campaign(tmp_path / name, panel, DESIGN)
        campaign.submit(nodes_of(campaign, TRUTH, *NOISE))
        campaign.write_accepted(tmp_path / name / "accepted.json")
        logs.append((tmp_path / name / "decisions.jsonl").read_bytes())
        expressions = read_accepted(tmp_path / name / "accepted.json").expressions
        logs.append(repr(expressions).encode())
    assert logs[:2] == logs[2:]


def test_an_expression_that_is_good_in_the_search_alone_is_not_confirmed(
    tmp_path: Path, planted: Panel
) -> None:
    layout = layout_of(planted.shape[1], planted.timeframe, DESIGN)
    panel = with_other_rows_from(planted, layout.search.stop)
    campaign = Campaign(tmp_path, panel, DESIGN)
    (decision,) = campaign.submit(nodes_of(campaign, TRUTH))
    assert decision.reason == "confirmation"
    assert campaign.pool == ()


def test_the_vault_is_opened_once_and_ends_the_campaign(campaign: Campaign, planted: Panel) -> None:
    campaign.submit(nodes_of(campaign, TRUTH))
    result = open_vault(campaign, planted)
    (figures,) = result.expressions
    assert figures.ic is not None and figures.ic > 0.05
    assert result.pooled_t is not None and result.pooled_t > 2
    assert (result.first_row, result.last_row) == (2400, 2999)
    assert read_vault(campaign.folder / VAULT) == result

    with pytest.raises(GateRejected, match=f'opened once.*"ic":{figures.ic!r}'):
        open_vault(campaign, planted)
    again = Campaign(campaign.folder, planted, DESIGN)
    with pytest.raises(GateRejected, match="opened once"):
        open_vault(again, planted)
    for use in (again.score, again.submit):
        with pytest.raises(GateRejected, match="Begin a campaign on newer data"):
            use(nodes_of(again, NOISE[0]))


def test_the_vault_is_written_before_it_is_told(
    campaign: Campaign, planted: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign.submit(nodes_of(campaign, TRUTH))

    def full(path: Path, content: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("agent_market.evaluation.expressions.vault.write_json", full)
    with pytest.raises(OSError, match="no space"):
        open_vault(campaign, planted)
    assert not (campaign.folder / VAULT).exists()


def test_a_campaign_keeps_no_row_of_the_vault(campaign: Campaign) -> None:
    layout = layout_of(3000, "1h", DESIGN)
    assert campaign._search.panel.shape[1] == layout.search.stop
    assert campaign._confirmation.panel.shape[1] == layout.confirmation.stop
    for stage in (campaign._search, campaign._confirmation):
        arrays = (*stage.panel.series.values(), stage.labels)
        assert all(values.base is None for values in arrays), "not a view of more rows"


def test_an_empty_pool_opens_its_vault_too(campaign: Campaign, planted: Panel) -> None:
    result = open_vault(campaign, planted)
    assert result.expressions == ()
    assert result.pooled_t is None


def test_another_design_or_other_data_are_refused(campaign: Campaign, planted: Panel) -> None:
    with pytest.raises(ConfigError, match="made for another design"):
        Campaign(campaign.folder, planted, DESIGN.model_copy(update={"family_error": 0.2}))
    with pytest.raises(ConfigError, match="made for other data"):
        Campaign(campaign.folder, make_walk(2), DESIGN)
    with pytest.raises(ConfigError, match="made for other data"):
        open_vault(campaign, make_walk(2))


def test_a_damaged_design_is_reported(campaign: Campaign, planted: Panel) -> None:
    (campaign.folder / "design.json").write_text('{"campaign": "x"}')
    with pytest.raises(StateCorrupt, match="no design of a campaign"):
        Campaign(campaign.folder, planted, DESIGN)


def test_what_is_no_plain_number_is_refused(campaign: Campaign) -> None:
    with pytest.raises(ExpressionError, match="is a price, not a plain number"):
        campaign.score(nodes_of(campaign, "close - open"))
    assert not campaign.trials


def test_an_expression_out_of_bounds_is_refused(campaign: Campaign) -> None:
    with pytest.raises(ExpressionError, match="looks back"):
        campaign.score([parse_expression("ts_mean(ts_mean(ts_mean(returns, 288), 288), 288)")])


def test_labels_of_another_shape_are_refused(tmp_path: Path, planted: Panel) -> None:
    with pytest.raises(DataError, match=r"\(3, 2999\)"):
        Campaign(tmp_path, planted, DESIGN, labels=np.zeros((3, 2999)))


def test_labels_of_ones_own_are_scored(tmp_path: Path, planted: Panel) -> None:
    labels = np.random.default_rng(1).normal(size=planted.shape)
    campaign = Campaign(tmp_path, planted, DESIGN, labels=labels)
    (trial,) = campaign.score(nodes_of(campaign, TRUTH))
    assert abs(trial.score.t) < 4


def test_what_is_accepted_is_written_with_its_record(campaign: Campaign, tmp_path: Path) -> None:
    campaign.score(nodes_of(campaign, *NOISE))
    (decision,) = campaign.submit(nodes_of(campaign, TRUTH))
    path = tmp_path / "freqai_expressions.json"
    campaign.write_accepted(path)
    content = read_accepted(path, campaign.scope)
    (each,) = content.expressions
    assert content.n_trials == 5
    assert content.data_hash == campaign.fixed.data_hash
    assert each.name == f"expr_{each.expression_hash[:8]}"
    assert content.nodes() == {each.name: campaign.parse(each.formula)}
    assert (each.t, each.confirmation_t) == (decision.t, decision.confirmation_t)
    assert each.rank_ic is not None and each.rank_ic > 0.05
    assert 0 < each.turnover < 1
    assert each.net_bps == pytest.approx(each.gross_bps - each.turnover * DESIGN.cost_bps)
    assert set(each.decay) == {"1", "3", "6", "12", "24", "48"}
    assert each.decay["1"] is not None and each.decay["1"] > 0.02
