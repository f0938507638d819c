use proptest::prelude::*;

use super::*;

fn samples(micros: &[u32]) -> Samples {
    let mut samples = Samples::default();
    micros.iter().for_each(|micros| samples.add(Duration::from_micros((*micros).into())));
    samples
}

proptest! {
    #[test]
    fn a_quantile_is_a_sample_with_its_share_of_samples_below(
        micros in proptest::collection::vec(0..1_000_u32, 1..200), of in 0.0..=1.0_f64,
    ) {
        let quantile = samples(&micros).quantile(of);
        let is_at = |micros: &u32| (f64::from(*micros) / 1_000.0 - quantile).abs() < 1e-9;
        prop_assert!(micros.iter().any(is_at), "{} of {:?}", quantile, micros);
        let count = |is_counted: fn(f64, f64) -> bool| {
            let counted = |micros: &&u32| is_counted(f64::from(**micros) / 1_000.0, quantile);
            micros.iter().filter(counted).count() as f64
        };
        let share = micros.len() as f64 * of;
        prop_assert!(count(|micros, quantile| micros < quantile - 1e-9) <= share);
        prop_assert!(count(|micros, quantile| micros <= quantile + 1e-9) >= share.floor());
    }

    #[test]
    fn merged_samples_are_as_if_one_had_taken_all(one: Vec<u32>, other: Vec<u32>) {
        let mut merged = samples(&one);
        merged.merge(samples(&other));
        let mut all = samples(&[one, other].concat());
        prop_assert_eq!(merged.len(), all.len());
        for of in [0.0, 0.5, 0.99, 1.0] {
            let (merged, all) = (merged.quantile(of), all.quantile(of));
            prop_assert!(merged == all || merged.is_nan() && all.is_nan());
        }
    }
}

#[test]
fn quantiles_are_in_milliseconds() {
    let mut hundred = samples(&(1..=100).map(|n| n * 1_000).rev().collect::<Vec<_>>());
    for (of, milliseconds) in
        [(0.0, 1.0), (0.009, 1.0), (0.5, 51.0), (0.99, 100.0), (0.989, 99.0), (1.0, 100.0)]
    {
        assert_eq!(hundred.quantile(of), milliseconds, "{of}");
    }
    assert_eq!(samples(&[1_234]).quantile(0.5), 1.234);
    let mut none = Samples::default();
    assert!(none.quantile(0.5).is_nan() && none.len() == 0);
}

#[test]
fn a_sample_beyond_an_hour_is_counted_as_the_longest() {
    let mut samples = Samples::default();
    samples.add(Duration::from_secs(100_000));
    samples.add(Duration::from_nanos(1_999));
    assert_eq!(samples.quantile(1.0), 4_294_967.295);
    assert_eq!(samples.quantile(0.0), 0.001, "cut to a microsecond");
}
