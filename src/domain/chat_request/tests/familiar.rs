//! Arrays of tools that were read before: found again by their bytes, for one account, and judged by each key's own lists.

use std::sync::Arc;

use uuid::Uuid;

use super::*;

fn known(request: &ChatRequest, other: &ChatRequest) -> bool {
    let array = |request: &ChatRequest| request.shape.tools.array.clone().unwrap();
    Arc::ptr_eq(&array(request), &array(other))
}

#[test]
fn an_array_is_read_once_for_an_account_wherever_it_stands() {
    let arrays = ToolArrays::eager();
    let read = |owner: u128, body: &str| {
        let familiar = Familiar { arrays: &arrays, owner: Uuid::from_u128(owner), keeps: true };
        ChatRequest::parse_familiar(body.to_owned().into(), &BOUNDS, familiar).unwrap()
    };
    let first = read(1, r#"{"tools":[{"name":"a"},{"name":"b"}]}"#);
    assert!(known(&first, &read(1, r#"{"model":"m","tools": [{"name":"a"},{"name":"b"}] }"#)));
    assert!(!known(&first, &read(2, r#"{"tools":[{"name":"a"},{"name":"b"}]}"#)), "of another account");
    assert!(!known(&first, &read(1, r#"{"tools":[{"name":"a"},{"name":"b"} ]}"#)), "of other bytes");
    assert!(!known(&first, &read(1, r#"{"tools":[{"name":"a"},{"name":"b"},{"name":"c"}]}"#)));
    let beyond_ascii = r#"{"tools":[{"name":"a","ä":1}]}"#;
    assert!(!known(&read(1, beyond_ascii), &read(1, beyond_ascii)), "its names count for each request");
    assert!(known(&first, &read(1, r#"{"tools":[{"name":"a"},{"name":"b"}]}"#)), "others made it forgotten");
}

#[test]
fn what_a_list_bars_of_a_familiar_array_is_of_that_list_alone() {
    let arrays = ToolArrays::eager();
    let familiar = Familiar { arrays: &arrays, owner: Uuid::from_u128(1), keeps: true };
    let sent = |list: &Toollist| {
        let body = Bytes::from_static(br#"{"tools":[{"name":"a"},{"name":"b"},{"name":"c"}]}"#);
        let request = ChatRequest::parse_familiar(body, &BOUNDS, familiar).unwrap();
        text(&request.permit(list, ToolMode::Filter, &[]).unwrap().keep(&Selection::All, None))
    };
    let lists: Vec<_> = (0..200).map(|number| deny(&[["a", "b", "c"][number % 3]])).collect();
    for _ in 0..2 {
        for (number, list) in lists.iter().enumerate() {
            let denied = format!(r#"{{"name":"{}"}}"#, ["a", "b", "c"][number % 3]);
            for _ in 0..2 {
                let sent = sent(list);
                assert!(!sent.contains(&denied) && sent.matches("name").count() == 2, "{sent}");
            }
            assert_eq!(sent(&Toollist::unbound()).matches("name").count(), 3);
        }
    }
    let (gone, mut addresses) = (deny(&["a"]), Vec::new());
    drop((sent(&gone), gone));
    for _ in 0..100 {
        // A list where another one was before is not taken for it.
        let list = deny(&["b"]);
        assert!(sent(&list).contains(r#"{"name":"a"}"#));
        addresses.push(list);
    }
}
