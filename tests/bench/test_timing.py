import numpy as np
import pytest
from scipy import stats

from fishbone.bench import timing


def mlperf_dropped(n):
    """Largest t with P[Binomial(n, 0.1) <= t] <= 0.01, by scipy."""
    allowed = [t for t in range(n) if stats.binom.cdf(t, n, 0.1) <= 0.01]
    return max(allowed, default=-1)


@pytest.mark.parametrize("n", [64, 65, 100, 1000, 5000])
def test_p90_bound_is_mlperfs_order_statistic(n):
    samples = np.random.default_rng(n).permutation(n)
    assert timing.p90_bound(samples) == n - 1 - (mlperf_dropped(n) - 1)


def test_p90_bound_drops_as_many_as_loadgen_does():
    assert timing.p90_bound(range(1746)) == 1746 - 144 - 1  # mlcommons-loadgen 6.0.17, benchmarks/loadgen.py


def test_p90_bound_needs_64_samples():
    assert timing.p90_bound(range(63)) is None
    assert timing.p90_bound(range(64)) == 63


def test_p90_bound_holds_in_99_of_100_runs():
    generator = np.random.default_rng(0)
    bounds = [timing.p90_bound(generator.exponential(size=200)) for _ in range(2000)]
    assert np.mean(np.array(bounds) >= -np.log(0.1)) >= 0.985


def test_what_slows_a_whole_round_cancels():
    generator = np.random.default_rng(0)
    noise = generator.uniform(1, 10, size=(16, 20))
    fast, slow = (noise * 2.0).tolist(), (noise * 6.0).tolist()
    median, low, high = timing.speedup(slow, fast, generator)
    assert [median, low, high] == pytest.approx([3, 3, 3])


def test_rounds_that_one_model_missed_are_left_out():
    whole = [[2.0, 2.0, 2.0]] * 8
    cut = [[1.0, 1.0]] * 8
    assert timing.speedup(whole, cut, np.random.default_rng(0))[0] == 2
    assert timing.speedup(whole, cut[:7], np.random.default_rng(0)) is None
    assert timing.speedup([[]] * 8, cut, np.random.default_rng(0)) is None


def test_interval_covers_the_truth_although_sittings_differ():
    """A session's place in memory shifts a whole sitting by about 1 %; intervals that ignore it cover far less."""
    generator = np.random.default_rng(0)

    def covered():
        truth = 1.3
        sittings = np.exp(generator.normal(0, 0.01, (16, 1)) + generator.normal(0, 0.01, (16, 30)))
        _, low, high = timing.speedup((truth * sittings).tolist(), np.ones((16, 30)).tolist(), generator)
        return low <= truth <= high

    assert np.mean([covered() for _ in range(100)]) >= 0.85


def test_predicted_time_is_a_rate_and_what_every_run_costs_besides():
    others = [(10.0, 25.0), (20.0, 45.0), (40.0, 85.0)]  # 5 + 2 a multiply-accumulate
    assert timing.predict(others, 100.0) == pytest.approx(205.0)
    assert timing.predict([(10.0, 20.0)], 5.0) == 10.0
    assert timing.predict([(10.0, 20.0), (10.5, 40.0)], 10.0) == pytest.approx(29.047619)  # too alike for a line
    assert timing.predict([(10.0, 20.0), (20.0, 60.0)], 10.0) == 25.0  # a run would cost less than nothing


def test_a_multiply_accumulate_may_cost_less_than_a_nanosecond():
    assert timing.predict([(10.0, 5.5), (15.0, 8.0)], 100.0) == pytest.approx(50.5)  # 0.5 + 0.5 each


def test_where_larger_models_were_faster_the_median_rate_predicts():
    assert timing.predict([(10.0, 30.0), (20.0, 20.0)], 10.0) == 20.0


def test_block_medians_are_those_of_each_round_in_each_sitting():
    assert timing.block_medians([[[5, 1, 3], [2, 4]], [[7]]]) == [[3.0, 3.0], [7.0]]


def test_wilson_interval_of_all_or_none_stays_a_proportion():
    assert max(timing.wilson(n, n)[1] for n in range(1, 3000)) == 1.0
    assert min(timing.wilson(0, n)[0] for n in range(1, 3000)) == 0.0


def test_wilson_interval_is_scipys():
    for correct, count in [(0, 10), (7, 10), (974, 1000), (10, 10)]:
        expected = stats.binomtest(correct, count).proportion_ci(method="wilson")
        assert timing.wilson(correct, count) == pytest.approx((expected.low, expected.high))


def test_only_known_evidence_calls_a_measurement_noisy():
    assert timing.disturbances(None, None, None, None) == []
    assert timing.disturbances(1.05, 0.05, 0.05, 0) == []
    assert timing.disturbances(1.1, 0.1, 0.1, 0) == []  # ten per cent is not more than ten per cent
    assert timing.disturbances(1.25, 0.2, 0.3, 3) == [
        "wall time was 1.25 times the CPU time",
        "tasks waited for a CPU 20% of the time",
        "without rest the baseline became 30% slower",
        "the processor slowed itself for its heat 3 times",
    ]
    assert timing.disturbances(None, None, -0.2, None) == []  # faster is no throttling


def test_drift_compares_the_last_quarter_with_the_first():
    assert timing.drift([]) is timing.drift([1.0]) is None
    assert timing.drift([2.0, 3.0]) == pytest.approx(0.5)
    assert timing.drift([1.0, 1.0, 9.0, 9.0, 9.0, 9.0, 1.2, 1.2]) == pytest.approx(0.2)
    assert timing.drift([1.0, 3.0, 9.0, 9.0, 9.0, 9.0, 4.0, 8.0]) == pytest.approx(2.0)  # 6 over 2
