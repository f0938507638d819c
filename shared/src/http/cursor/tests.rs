use proptest::prelude::*;

use super::*;

fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

proptest! {
    #[test]
    fn a_cursor_leads_back_to_its_place(name: String, filters: (i64, Option<String>), place: i64) {
        let list = List::of(&name, &filters);
        prop_assert_eq!(list, List::of(&name, &filters), "the identity is stable");
        let cursor = list.cursor(place);
        prop_assert_eq!(list.place(&cursor, number).unwrap(), place);
    }

    #[test]
    fn a_place_may_contain_hyphens(place in "[a-z0-9-]{0,20}") {
        let list = List::of("accounts", &());
        let read = list.place(&list.cursor(&place), |text| Some(text.to_owned()));
        prop_assert_eq!(read.unwrap(), place);
    }

    #[test]
    fn a_changed_cursor_is_refused_or_leads_elsewhere(
        place: i64, at: prop::sample::Index, with in "[0-9a-f-]",
    ) {
        let list = List::of("accounts", &());
        let cursor = list.cursor(place);
        let at = at.index(cursor.len());
        let mut changed = cursor.clone();
        changed.replace_range(at..=at, &with);
        prop_assume!(changed != cursor);
        prop_assert_ne!(list.place(&changed, number).ok(), Some(place), "{}", changed);
    }

    #[test]
    fn no_cursor_panics(cursor: String) {
        prop_assert!(List::of("accounts", &()).place(&cursor, number).is_err());
    }
}

#[test]
fn a_cursor_is_valid_for_its_own_list_only() {
    let list = List::of("entries", &(1, Some("MoneySent")));
    let cursor = list.cursor(7);
    for other in
        [List::of("entries", &(1, None::<&str>)), List::of("holds", &(1, Some("MoneySent")))]
    {
        let problem = other.place(&cursor, number).unwrap_err();
        assert_eq!((problem.status, problem.errors[0].field.as_str()), (400, "cursor"));
        assert_eq!(problem, another_list());
    }
    for bad in [
        "",
        "7",
        "-",
        "x-0000000000000000",
        &cursor[1..],
        &cursor.to_uppercase(),
        &format!("{cursor}0"),
    ] {
        assert!(list.place(bad, number).is_err(), "{bad}");
    }
    for unread in ["", "7", "x-0000000000000000"] {
        assert_eq!(list.place(unread, number).unwrap_err(), unreadable(), "{unread}");
    }
}

#[test]
fn a_cursor_is_the_same_after_an_upgrade() {
    assert_eq!(List::of("entries", &(1, Some("MoneySent"))).cursor(7), "7-f5a732083ba85fc0");
}
