//! What holds for every series.

#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    missing_docs
)]

use std::cell::Cell;

use proptest::prelude::*;
use trends::anomalies::{Detector, Kind, Options, detect, detect_group, outliers};
use trends::changes::change_points;
use trends::decompose::decompose;
use trends::forecast::{self, Method, backtest};
use trends::seasons::seasons;
use trends::series::{Series, Step};
use trends::stream::{Stream, WARM_UP};
use trends::trend::trend;
use trends::{Error, Unwatched};

const HOUR: Step = Step::Fixed(3_600_000_000);
const TAU: f64 = std::f64::consts::TAU;

/// A small generator of normal noise, the same on every machine.
struct Noise(u64);

impl Noise {
    fn new(seed: u64) -> Self {
        let mut noise = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..20 {
            noise.uniform();
        }
        noise
    }

    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (TAU * self.uniform()).cos()
    }

    fn poisson(&mut self, mean: f64) -> f64 {
        let (mut count, mut product) = (0.0, self.uniform());
        while product > (-mean).exp() {
            product *= self.uniform();
            count += 1.0;
        }
        count
    }
}

fn daily(n: usize, seed: u64) -> Vec<f64> {
    let mut noise = Noise::new(seed);
    (0..n)
        .map(|t| 50.0 + 10.0 * (t as f64 * TAU / 24.0).sin() + noise.normal())
        .collect()
}

fn stream_scores(values: &[f64]) -> Vec<f64> {
    let mut stream = Stream::new();
    values.iter().map(|x| stream.push(*x).unwrap()).collect()
}

fn near(a: f64, b: f64, scale: f64) -> bool {
    (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-6 * scale.max(a.abs())
}

// ------------------------------------------------------------------------------------------------------ streaming

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn appending_never_changes_earlier_scores(seed in 0_u64..1000, cut in 40_usize..300) {
        let all = daily(300, seed);
        let whole = stream_scores(&all);
        let part = stream_scores(&all[..cut]);
        prop_assert_eq!(&whole[..cut], &part[..]);
    }

    #[test]
    fn shifting_and_scaling_leaves_scores(seed in 0_u64..1000, shift in -1e4..1e4_f64, scale in 1e-3..1e3_f64) {
        let values = daily(400, seed);
        let moved: Vec<f64> = values.iter().map(|x| shift + scale * x).collect();
        for (a, b) in stream_scores(&values).iter().zip(stream_scores(&moved)) {
            prop_assert!((a - b).abs() < 1e-3, "{a} {b}");
        }
    }

    #[test]
    fn shifting_and_scaling_moves_bounds(seed in 0_u64..200, shift in -1e4..1e4_f64, scale in 1e-2..1e2_f64) {
        let values = daily(240, seed);
        let moved: Vec<f64> = values.iter().map(|x| shift + scale * x).collect();
        for detector in [Detector::Auto, Detector::Streaming, Detector::Robust] {
            let options = Options { detector, ..Options::default() };
            let a = detect(&values, Some(HOUR), &options, &Unwatched).unwrap();
            let b = detect(&moved, Some(HOUR), &options, &Unwatched).unwrap();
            for (a, b) in a.iter().zip(&b) {
                prop_assert!((a.score.unwrap() - b.score.unwrap()).abs() < 1e-3);
                let (x, y) = (shift + scale * a.upper.unwrap(), b.upper.unwrap());
                prop_assert!(near(x, y, 1e3 * scale + shift.abs()), "{x} {y}");
            }
        }
    }

    #[test]
    fn a_forecast_shifts_and_scales(seed in 0_u64..200, shift in 0.0..1e3_f64, scale in 1e-2..1e2_f64) {
        let values = daily(240, seed);
        let moved: Vec<f64> = values.iter().map(|x| shift + scale * x).collect();
        let options = forecast::Options::new(24);
        let a = forecast::forecast(&values, Some(HOUR), &options, &Unwatched).unwrap();
        let b = forecast::forecast(&moved, Some(HOUR), &options, &Unwatched).unwrap();
        prop_assert_eq!(a.methods, b.methods);
        for (a, b) in a.points.iter().zip(&b.points) {
            let (x, y) = (shift + scale * a.value, b.value);
            prop_assert!(near(x, y, 1e3 * scale + shift), "{x} {y}");
            prop_assert!(near(scale * a.sigma, b.sigma, 1e3 * scale + shift));
        }
    }

    #[test]
    fn a_constant_has_no_anomaly(value in -1e9..1e9_f64, n in 0_usize..300) {
        let values = vec![value; n];
        for (_, detector) in Detector::ALL {
            let options = Options { detector, ..Options::default() };
            let verdicts = detect(&values, Some(HOUR), &options, &Unwatched).unwrap();
            prop_assert!(verdicts.iter().all(|v| !v.is_anomaly));
        }
        prop_assert!(change_points(&values, 0.5, &Unwatched).unwrap().is_empty());
        prop_assert!(seasons(&values, Some(HOUR), &Unwatched).unwrap().is_empty());
    }

    #[test]
    fn nothing_panics(values in prop::collection::vec(prop_oneof![
            5 => -1e3..1e3_f64, 2 => Just(0.0), 1 => Just(f64::NAN), 1 => Just(1e149), 1 => Just(-1e149), 1 => Just(1e-300)], 0..200),
        horizon in 1_usize..50) {
        for (_, detector) in Detector::ALL {
            let options = Options { detector, ..Options::default() };
            for verdict in detect(&values, Some(HOUR), &options, &Unwatched).unwrap() {
                prop_assert!(verdict.score.is_none_or(|s| (0.0..=1.0).contains(&s)));
                let _ = verdict.reason();
            }
        }
        for method in std::iter::once(None).chain(Method::ALL.map(Some)) {
            let options = forecast::Options { method, ..forecast::Options::new(horizon) };
            let answer = forecast::forecast(&values, Some(HOUR), &options, &Unwatched).unwrap();
            prop_assert_eq!(answer.points.len(), if values.iter().all(|x| x.is_nan()) { 0 } else { horizon });
            prop_assert!(answer.probability_above(1, 0.0).is_none_or(|p| (0.0..=1.0).contains(&p)));
        }
        decompose(&values, &[7, 24], true, &Unwatched).unwrap();
        change_points(&values, 0.9, &Unwatched).unwrap();
        trend(&values, 0.95, &Unwatched).unwrap();
        outliers(&values, 0.5).unwrap();
        detect_group(&[values.clone(), values], Some(HOUR), &Options::default(), &Unwatched).unwrap();
    }

    #[test]
    fn parts_add_up(seed in 0_u64..100, gap in 0_usize..200) {
        let mut values = daily(200, seed);
        values[gap] = f64::NAN;
        let parts = decompose(&values, &[24], true, &Unwatched).unwrap();
        for (i, x) in values.iter().enumerate() {
            let sum = parts.trend[i] + parts.seasons[0][i] + parts.remainder[i];
            prop_assert!(near(*x, sum, 100.0));
        }
    }

    #[test]
    fn counts_are_never_forecast_below_zero(seed in 0_u64..100, mean in 0.05..3.0_f64) {
        let mut noise = Noise::new(seed);
        let values: Vec<f64> = (0..200).map(|_| noise.poisson(mean)).collect();
        let answer = forecast::forecast(&values, Some(HOUR), &forecast::Options::new(24), &Unwatched).unwrap();
        for point in answer.points {
            prop_assert!(point.value >= 0.0 && point.bounds.unwrap().0 >= 0.0);
        }
    }

    #[test]
    fn order_of_input_does_not_matter(seed in 0_u64..50) {
        let values = daily(60, seed);
        let times: Vec<i64> = (0..60).map(|i| i * 3_600_000_000).collect();
        let mut order: Vec<usize> = (0..60).collect();
        let mut noise = Noise::new(seed);
        order.sort_by_cached_key(|_| (noise.uniform() * 1e9) as u64);
        let shuffled: Vec<i64> = order.iter().map(|i| times[*i]).collect();
        let shuffled_values: Vec<Option<f64>> = order.iter().map(|i| Some(values[*i])).collect();
        prop_assert_eq!(Series::new(&shuffled, &shuffled_values).unwrap().values, values);
    }
}

#[test]
fn alarms_are_as_rare_as_they_say() {
    type Law = (&'static str, fn(&mut Noise, f64) -> f64);
    let mut noise = Noise::new(7);
    let laws: [Law; 6] = [
        ("normal", |r, _| r.normal()),
        ("uniform", |r, _| r.uniform()),
        ("autocorrelated", |r, before| 0.9 * before + r.normal()),
        ("random walk", |r, before| before + r.normal()),
        ("few counts", |r, _| r.poisson(0.3)),
        ("many counts", |r, _| r.poisson(10.0)),
    ];
    for (name, law) in laws {
        let (mut alarms, mut all, mut seen) = (0_u32, 0_u32, 0_u32);
        for _ in 0..20 {
            let mut stream = Stream::new();
            let mut x = 0.0;
            for t in 0..2_000 {
                x = law(&mut noise, x);
                let score = stream.push(x).unwrap();
                if t >= 100 {
                    all += 1;
                    alarms += u32::from(score >= 0.5);
                }
            }
            seen += u32::from((0..3).any(|_| {
                x = law(&mut noise, x);
                stream.push(x + 15.0).unwrap() >= 0.5
            }));
        }
        let rate = f64::from(alarms) / f64::from(all);
        assert!(rate < 0.0015, "{name}: {rate}");
        assert!(seen >= 18, "{name}: {seen} of 20 were seen");
    }
}

#[test]
fn what_recurs_is_no_surprise() {
    let mut noise = Noise::new(1);
    let mut stream = Stream::new();
    let scores: Vec<f64> = (0..6_000)
        .map(|t| {
            stream
                .push(if t % 288 == 7 { 30.0 } else { noise.normal() })
                .unwrap()
        })
        .collect();
    let spikes: Vec<f64> = scores.iter().copied().skip(7).step_by(288).collect();
    assert!(spikes[1] >= 0.5, "{spikes:?}");
    assert!(spikes[8..].iter().all(|s| *s < 0.5), "{spikes:?}");
}

#[test]
fn a_season_is_no_anomaly_and_its_absence_is() {
    let mut with = Stream::with_period(24);
    let mut without = Stream::new();
    let mut noise = Noise::new(3);
    for t in 0..600 {
        let x = if t % 24 < 4 { 50.0 } else { 10.0 } + noise.normal();
        with.push(x).unwrap();
        without.push(x).unwrap();
    }
    // The hour that should be busy is not, by a value that is usual otherwise.
    assert!(with.push(10.0).unwrap() >= 0.5);
    assert!(without.push(10.0).unwrap() < 0.5);
}

#[test]
fn what_is_no_measurement_teaches_nothing() {
    let values = daily(100, 1);
    let mut clean = Stream::new();
    let mut dirty = Stream::new();
    for x in &values {
        assert_eq!(clean.push(*x), dirty.push(*x));
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e200] {
            assert_eq!(dirty.push(bad), None);
        }
    }
}

// --------------------------------------------------------------------------------------------------------- batch

fn found(values: &[f64], detector: Detector) -> Vec<(usize, Kind)> {
    let options = Options {
        detector,
        ..Options::default()
    };
    let verdicts = detect(values, Some(HOUR), &options, &Unwatched).unwrap();
    verdicts
        .iter()
        .filter(|v| v.is_anomaly)
        .map(|v| (v.place, v.kind))
        .collect()
}

#[test]
fn a_missing_bump_is_found() {
    let mut values = daily(480, 5);
    // Values that are usual at other hours.
    values[288 + 6] = 40.0;
    values[288 + 18] = 60.0;
    assert!(found(&values, Detector::Auto).contains(&(294, Kind::Point)));
    assert!(found(&values, Detector::Auto).contains(&(306, Kind::Point)));
}

#[test]
fn a_spike_in_a_short_series_is_found() {
    let mut noise = Noise::new(2);
    let mut values: Vec<f64> = (0..40).map(|_| 10.0 + noise.normal()).collect();
    values[20] = 30.0;
    assert_eq!(found(&values, Detector::Auto), [(20, Kind::Point)]);
    let verdicts = detect(&values, Some(HOUR), &Options::default(), &Unwatched).unwrap();
    let verdict = &verdicts[20];
    assert!(
        verdict.is_above
            && verdict.upper.unwrap() < 20.0
            && verdict.lower.unwrap() < verdict.expected.unwrap()
    );
    assert_eq!(verdict.severity(0.5), Some("critical"));
    assert!(
        verdict
            .reason()
            .unwrap()
            .starts_with("30 is above the expected "),
        "{:?}",
        verdict.reason()
    );
}

#[test]
fn a_perfectly_regular_series_has_only_its_spike() {
    let mut values: Vec<f64> = (0..300).map(|t| [5.0, 6.0, 7.0][t % 3]).collect();
    values[200] = 90.0;
    let places: Vec<usize> = found(&values, Detector::Auto).iter().map(|f| f.0).collect();
    assert_eq!(places, [200]);
}

#[test]
fn an_anomaly_has_no_echo() {
    let mut values = daily(720, 8);
    values[500] = 200.0;
    values[501] = 200.0;
    values[650] = 0.0;
    let places: Vec<usize> = found(&values, Detector::Auto).iter().map(|f| f.0).collect();
    assert!(
        [500, 501, 650].iter().all(|p| places.contains(p)),
        "{places:?}"
    );
    assert!(places.len() <= 5, "{places:?}");
}

#[test]
fn a_change_of_level_is_a_level_shift() {
    let mut noise = Noise::new(4);
    let values: Vec<f64> = (0..400)
        .map(|t| if t < 250 { 10.0 } else { 25.0 } + noise.normal())
        .collect();
    assert_eq!(
        found(&values, Detector::LevelShift),
        [(250, Kind::LevelShift)]
    );
    assert!(found(&values, Detector::Auto).contains(&(250, Kind::LevelShift)));
    let changes = change_points(&values, 0.5, &Unwatched).unwrap();
    assert_eq!(changes.len(), 1);
    assert!((changes[0].before - 10.0).abs() < 0.3 && (changes[0].after - 25.0).abs() < 0.3);
}

#[test]
fn a_change_of_spread_is_found() {
    let mut noise = Noise::new(4);
    let values: Vec<f64> = (0..400)
        .map(|t| if t < 200 { 1.0 } else { 6.0 } * noise.normal())
        .collect();
    let changes = change_points(&values, 0.5, &Unwatched).unwrap();
    assert!(
        changes
            .iter()
            .any(|c| c.kind == trends::changes::Kind::Spread && c.at.abs_diff(200) < 10),
        "{changes:?}"
    );
}

#[test]
fn noise_has_no_change_points() {
    let mut noise = Noise::new(11);
    let mut wrong = 0;
    for _ in 0..50 {
        let white: Vec<f64> = (0..300).map(|_| noise.normal()).collect();
        wrong += change_points(&white, 0.5, &Unwatched).unwrap().len();
    }
    assert!(wrong <= 2, "{wrong}");
}

#[test]
fn rare_gaps_are_anomalies_and_usual_ones_are_not() {
    let mut values = daily(300, 9);
    values[100] = f64::NAN;
    values[101] = f64::NAN;
    let options = Options::default();
    let verdicts = detect(&values, Some(HOUR), &options, &Unwatched).unwrap();
    let missing: Vec<_> = verdicts
        .iter()
        .filter(|v| v.kind == Kind::Missing)
        .collect();
    assert_eq!(
        (
            missing.len(),
            missing[0].place,
            missing[0].missing,
            missing[0].is_anomaly
        ),
        (1, 100, 2, true)
    );
    for i in (0..300).step_by(10) {
        values[i] = f64::NAN;
    }
    let verdicts = detect(&values, Some(HOUR), &options, &Unwatched).unwrap();
    assert!(
        verdicts
            .iter()
            .filter(|v| v.kind == Kind::Missing)
            .all(|v| !v.is_anomaly)
    );
}

#[test]
fn a_group_sees_what_each_alone_does_not() {
    let mut noise = Noise::new(6);
    let a: Vec<f64> = (0..300).map(|_| noise.normal()).collect();
    let mut b: Vec<f64> = a.iter().map(|x| x + 0.1 * noise.normal()).collect();
    b[200] = a[200] - 2.0;
    let group = detect_group(&[a, b.clone()], Some(HOUR), &Options::default(), &Unwatched).unwrap();
    assert!(group[200].is_anomaly, "{:?}", group[200]);
    assert!(group.iter().filter(|v| v.is_anomaly).count() <= 3);
    assert!(!found(&b, Detector::Auto).iter().any(|f| f.0 == 200));
}

#[test]
fn outliers_respect_skew() {
    let mut noise = Noise::new(8);
    let mut values: Vec<f64> = (0..500).map(|_| noise.normal().exp()).collect();
    values[0] = 1_000.0;
    values[1] = f64::NAN;
    let verdicts = outliers(&values, 0.5).unwrap();
    assert!(verdicts[0].unwrap().is_outlier && verdicts[1].is_none());
    assert!(
        verdicts
            .iter()
            .flatten()
            .all(|v| !v.is_outlier || v.is_above)
    );
}

// ----------------------------------------------------------------------------------------------- seasons and trend

#[test]
fn two_seasons_are_found_and_taken_apart() {
    let mut noise = Noise::new(1);
    let values: Vec<f64> = (0..1000)
        .map(f64::from)
        .map(|t| {
            10.0 + 3.0 * (t * TAU / 24.0).sin() + 2.0 * (t * TAU / 168.0).sin() + noise.normal()
        })
        .collect();
    let periods: Vec<usize> = seasons(&values, Some(HOUR), &Unwatched)
        .unwrap()
        .iter()
        .map(|s| s.period)
        .collect();
    assert_eq!(periods, [24, 168]);
    let parts = decompose(&values, &periods, true, &Unwatched).unwrap();
    for t in 200..800 {
        let day = 3.0 * (t as f64 * TAU / 24.0).sin();
        assert!((parts.seasons[0][t] - day).abs() < 1.5, "{t}");
    }
}

#[test]
fn wandering_has_no_season() {
    let mut noise = Noise::new(12);
    let mut wrong = 0;
    for _ in 0..50 {
        let mut x = 0.0;
        let walk: Vec<f64> = (0..400)
            .map(|_| {
                x += noise.normal();
                x
            })
            .collect();
        wrong += usize::from(!seasons(&walk, Some(HOUR), &Unwatched).unwrap().is_empty());
    }
    assert!(wrong <= 2, "{wrong}");
}

#[test]
fn a_trend_is_found_at_its_rate_and_noise_has_none() {
    let mut noise = Noise::new(5);
    let mut wrong = 0;
    for _ in 0..200 {
        let x: Vec<f64> = (0..60).map(|_| noise.normal()).collect();
        wrong += usize::from(trend(&x, 0.95, &Unwatched).unwrap().unwrap().p_value < 0.05);
    }
    assert!((2..=22).contains(&wrong), "{wrong} of 200 at 5 %");
    let mut inside = 0;
    for _ in 0..200 {
        let x: Vec<f64> = (0..60)
            .map(|t| 0.1 * f64::from(t) + noise.normal())
            .collect();
        let t = trend(&x, 0.95, &Unwatched).unwrap().unwrap();
        assert!(t.p_value < 0.001 && t.tau > 0.5);
        inside += usize::from(t.slope_lower <= 0.1 && 0.1 <= t.slope_upper);
    }
    assert!(inside >= 180, "{inside} of 200 intervals hold the slope");
}

// ------------------------------------------------------------------------------------------------------- forecasts

#[test]
fn intervals_hold_what_they_promise() {
    type Law = (&'static str, fn(&mut Noise, f64, &mut f64) -> f64);
    let laws: [Law; 8] = [
        ("white", |r, _, _| 5.0 + r.normal()),
        ("autocorrelated", |r, _, s| {
            *s = 0.8 * *s + r.normal();
            *s
        }),
        ("random walk", |r, _, s| {
            *s += r.normal();
            *s
        }),
        ("trend", |r, t, _| 0.1 * t + 2.0 * r.normal()),
        ("season", |r, t, _| {
            3.0 * (t * TAU / 24.0).sin() + r.normal()
        }),
        ("season on a walk", |r, t, s| {
            *s += 0.3 * r.normal();
            *s + 3.0 * (t * TAU / 24.0).sin() + r.normal()
        }),
        ("heavy tails", |r, _, _| {
            r.normal()
                / ((r.normal().powi(2) + r.normal().powi(2) + r.normal().powi(2)) / 3.0).sqrt()
        }),
        ("counts", |r, _, _| r.poisson(3.0)),
    ];
    let (mut inside, mut all) = (0.0, 0.0);
    for (name, law) in laws {
        let (mut inside_here, mut all_here) = (0.0, 0.0);
        for (n, horizon) in [(60, 12), (120, 24), (400, 24)] {
            for seed in 0..30 {
                let mut noise = Noise::new(seed);
                let mut state = 0.0;
                let x: Vec<f64> = (0..n + horizon)
                    .map(|t| law(&mut noise, t as f64, &mut state))
                    .collect();
                let answer = forecast::forecast(
                    &x[..n],
                    Some(HOUR),
                    &forecast::Options::new(horizon),
                    &Unwatched,
                )
                .unwrap();
                for (point, y) in answer.points.iter().zip(&x[n..]) {
                    let (lower, upper) = point.bounds.unwrap();
                    inside_here += f64::from(u8::from(lower <= *y && *y <= upper));
                    all_here += 1.0;
                }
            }
        }
        let share = inside_here / all_here;
        assert!((0.90..=0.985).contains(&share), "{name}: {share}");
        inside += inside_here;
        all += all_here;
    }
    let share = inside / all;
    assert!((0.93..=0.97).contains(&share), "{share}");
}

#[test]
fn probabilities_of_thresholds_come_true() {
    let (mut said, mut came) = (0.0, 0.0);
    for seed in 0..200 {
        let mut noise = Noise::new(seed);
        let x: Vec<f64> = (0..101).map(|_| noise.normal()).collect();
        let answer = forecast::forecast(
            &x[..100],
            Some(HOUR),
            &forecast::Options::new(1),
            &Unwatched,
        )
        .unwrap();
        said += answer.probability_above(1, 1.0).unwrap();
        came += f64::from(u8::from(x[100] > 1.0));
    }
    assert!((said - came).abs() < 20.0, "{said} {came}");
}

#[test]
fn short_series_have_documented_answers() {
    let ask = |values: &[f64]| {
        forecast::forecast(values, Some(HOUR), &forecast::Options::new(3), &Unwatched).unwrap()
    };
    assert!(ask(&[]).points.is_empty());
    assert!(ask(&[f64::NAN; 5]).points.is_empty());
    assert!(
        ask(&[4.0])
            .points
            .iter()
            .all(|p| p.value == 4.0 && p.bounds.is_none())
    );
    assert!(
        ask(&[4.0, 5.0])
            .points
            .iter()
            .all(|p| p.value == 5.0 && p.bounds.is_none())
    );
    assert!(
        ask(&[4.0, 5.5, 6.0])
            .points
            .iter()
            .all(|p| p.value == 6.0 && p.bounds.unwrap().1 > 6.0)
    );
    assert!(
        ask(&[7.0; 50])
            .points
            .iter()
            .all(|p| p.value == 7.0 && p.bounds == Some((7.0, 7.0)))
    );
}

#[test]
fn impossible_options_are_refused() {
    let values = daily(50, 1);
    for horizon in [0, 1_000_000] {
        let refused = forecast::forecast(
            &values,
            Some(HOUR),
            &forecast::Options::new(horizon),
            &Unwatched,
        );
        assert!(matches!(
            refused,
            Err(Error::Option {
                name: "horizon",
                ..
            })
        ));
    }
    for sensitivity in [0.0, 1.0, -1.0, f64::NAN] {
        let options = Options {
            sensitivity,
            ..Options::default()
        };
        assert!(matches!(
            detect(&values, Some(HOUR), &options, &Unwatched),
            Err(Error::Option {
                name: "sensitivity",
                ..
            })
        ));
    }
    assert!(matches!(
        backtest(
            &values,
            Some(HOUR),
            &forecast::Options::new(5),
            0,
            &Unwatched
        ),
        Err(Error::Option {
            name: "origins",
            ..
        })
    ));
    assert!(matches!(
        Series::new(&[1, 2], &[Some(1.0)]),
        Err(Error::Lengths { .. })
    ));
    assert!(matches!(
        Series::new(&[1, 1], &[Some(1.0), Some(2.0)]),
        Err(Error::DuplicateTime(1))
    ));
    assert!(matches!(
        Series::new(&[0, 1, 900_000_000_000], &[Some(1.0), Some(2.0), Some(3.0)]),
        Err(Error::TooSparse { .. })
    ));
    assert!(Detector::of("magic").is_err());
}

#[test]
fn long_work_can_be_interrupted() {
    let values = daily(5_000, 1);
    let asked = Cell::new(0);
    let stop = || {
        asked.set(asked.get() + 1);
        if asked.get() > 3 {
            Err(Error::Interrupted)
        } else {
            Ok(())
        }
    };
    assert_eq!(
        forecast::forecast(&values, Some(HOUR), &forecast::Options::new(24), &stop).err(),
        Some(Error::Interrupted)
    );
    asked.set(0);
    assert_eq!(
        detect(&values, Some(HOUR), &Options::default(), &stop).err(),
        Some(Error::Interrupted)
    );
    asked.set(0);
    assert_eq!(trend(&values, 0.95, &stop).err(), Some(Error::Interrupted));
}

#[test]
fn known_events_are_learned_and_repeated() {
    let mut values = daily(400, 3);
    let events: Vec<usize> = vec![50, 120, 200, 310, 410];
    for place in &events[..4] {
        values[*place] += 40.0;
    }
    let options = forecast::Options {
        events,
        ..forecast::Options::new(24)
    };
    let answer = forecast::forecast(&values, Some(HOUR), &options, &Unwatched).unwrap();
    assert!(
        (answer.points[10].event - 40.0).abs() < 6.0,
        "{}",
        answer.points[10].event
    );
    assert!(
        answer.points[9].event == 0.0 && answer.points[10].value > answer.points[9].value + 25.0
    );
}

#[test]
fn swings_that_grow_with_the_level_are_multiplied() {
    let mut noise = Noise::new(1);
    let values: Vec<f64> = (0..144)
        .map(f64::from)
        .map(|t| (5.0 + 0.01 * t + 0.2 * (t * TAU / 12.0).sin() + 0.02 * noise.normal()).exp())
        .collect();
    let options = forecast::Options::new(12);
    let answer =
        forecast::forecast(&values[..132], Some(Step::Months(1)), &options, &Unwatched).unwrap();
    assert!(answer.is_multiplicative, "{}", answer.method_name());
    for (point, y) in answer.points.iter().zip(&values[132..]) {
        assert!((point.value / y - 1.0).abs() < 0.15, "{} {y}", point.value);
    }
}

#[test]
fn backtests_know_nothing_of_what_came() {
    let mut values = daily(300, 2);
    let before = backtest(
        &values,
        Some(HOUR),
        &forecast::Options::new(24),
        3,
        &Unwatched,
    )
    .unwrap();
    for x in &mut values[276..] {
        *x += 1_000.0;
    }
    let after = backtest(
        &values,
        Some(HOUR),
        &forecast::Options::new(24),
        3,
        &Unwatched,
    )
    .unwrap();
    assert_eq!(before.len(), 3);
    assert!(
        before.iter().all(|b| b.mase < 1.2 && b.coverage > 0.75),
        "{before:?}"
    );
    assert_eq!(
        (before[0].mase, before[1].mase),
        (after[0].mase, after[1].mase)
    );
    assert!(after[2].mase > 100.0 && after[2].method == before[2].method);
}

#[test]
fn months_and_clock_changes_are_equal_steps() {
    const DAY: i64 = 86_400_000_000;
    // 2025-01-01, 02-01, 03-01, 05-01 since 2000-01-01.
    let months: Vec<i64> = [9_132, 9_163, 9_191, 9_252]
        .iter()
        .map(|d| d * DAY)
        .collect();
    let series = Series::new(&months, &[Some(1.0), Some(2.0), Some(3.0), Some(5.0)]).unwrap();
    assert_eq!(series.step, Step::Months(1));
    assert_eq!(series.values.len(), 5);
    assert!(series.values[3].is_nan());
    assert_eq!(series.time(5), 9_283 * DAY);
    // A day of 23 hours among days of 24.
    let days: Vec<i64> = (0..10)
        .map(|d| d * DAY - if d > 4 { 3_600_000_000 } else { 0 })
        .collect();
    let series = Series::new(&days, &[Some(1.0); 10]).unwrap();
    assert_eq!(
        (series.step, series.values.len(), series.count()),
        (Step::Fixed(DAY), 10, 10)
    );
}

#[test]
fn the_warm_up_is_judged_from_behind() {
    let mut values = daily(300, 1);
    let mut noise = Noise::new(99);
    for x in &mut values {
        *x = noise.normal();
    }
    values[5] = 40.0;
    const { assert!(5 < WARM_UP) };
    assert!(found(&values, Detector::Auto).iter().any(|f| f.0 == 5));
}
