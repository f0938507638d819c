use super::*;

#[test]
fn the_views_are_verified_if_all_benchmarks_that_made_some_found_them_equal() {
    for (one, other, all) in [
        (None, None, None),
        (None, Some(true), Some(true)),
        (Some(false), None, Some(false)),
        (Some(true), Some(true), Some(true)),
        (Some(true), Some(false), Some(false)),
        (Some(false), Some(false), Some(false)),
    ] {
        assert_eq!(both(one, other), all);
        assert_eq!(both(other, one), all);
    }
}
