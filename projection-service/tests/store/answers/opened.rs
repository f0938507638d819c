//! Lists of the accounts opened in a period.

use serde_json::{Value, json};

use super::service::Service;
use crate::batches::{database, write};
use crate::events::{at, id, opened};

fn ids(page: &Value) -> Vec<&Value> {
    page["data"].as_array().unwrap().iter().map(|account| &account["account_id"]).collect()
}

#[tokio::test]
async fn a_list_of_a_period_has_its_start_and_not_its_end_on_any_number_of_pages() {
    let database = database().await;
    for n in 1_u32..=5 {
        let events = [(opened("o"), at(i64::from(n) * 10))];
        write(&mut database.pool.acquire().await.unwrap(), id(n.into()), &events).await;
    }
    let service = Service::of(&database, None).await;
    let list = async |query: &str| service.get(&format!("/v1/accounts?{query}")).await;
    let period = format!("opened_since={}&opened_until={}", at(20), at(50));
    let (_, whole) = list(&period).await;
    assert_eq!(ids(&whole), [&json!(id(2)), &json!(id(3)), &json!(id(4))]);

    let (_, first) = list(&format!("{period}&sort=-opened_at&limit=2")).await;
    assert_eq!(ids(&first), [&json!(id(4)), &json!(id(3))]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let (_, second) = list(&format!("{period}&sort=-opened_at&limit=2&cursor={cursor}")).await;
    assert_eq!((ids(&second), &second["has_more"]), (vec![&json!(id(2))], &json!(false)));
    let other = format!("opened_since={}", at(20));
    for other in ["", &other] {
        let (status, problem) = list(&format!("{other}&sort=-opened_at&cursor={cursor}")).await;
        assert_eq!((status, &problem["errors"][0]["field"]), (400, &json!("cursor")), "{other}");
    }

    assert_eq!(ids(&list(&format!("opened_until={}", at(20))).await.1), [&json!(id(1))]);
    let (_, empty) = list(&format!("opened_since={0}&opened_until={0}", at(20))).await;
    assert_eq!(empty["data"], json!([]));
    for (wrong, field) in [
        (format!("opened_since={}&opened_until={}", at(21), at(20)), "opened_since"),
        ("opened_until=yesterday".to_owned(), "opened_until"),
    ] {
        let (status, problem) = list(&wrong).await;
        assert_eq!((status, &problem["errors"][0]["field"]), (400, &json!(field)), "{wrong}");
    }
}
