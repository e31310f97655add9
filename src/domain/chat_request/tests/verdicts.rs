//! Why the lists remove a tool, told for each; what they decide is what `permit` does.

use super::*;

const BODY: &str = r#"{"tools":[{"name":"a"},{"type":"function","function":{"name":"GIT_push"}},{"type":"bash_1","name":"b"},
    {"type":"mcp","server_label":"x"},{"name":"c","tools":[]}],"functions":[{"name":"d"}],"web_search_options":{}}"#;

fn bars(list: &Toollist) -> Vec<Option<Bar>> {
    let verdicts = parse(BODY).verdicts(list, &[]).unwrap();
    verdicts.into_iter().map(|verdict| verdict.bar).collect()
}

#[test]
fn each_tool_is_told_with_the_entry_that_removes_it() {
    let denied = |name: &str, entry: &str| Some(Bar::Denied { name: name.into(), entry: entry.into() });
    let missing = |name: &str| Some(Bar::NotAllowed { name: name.into() });
    assert_eq!(bars(&Toollist::unbound()), vec![None; 7]);
    assert_eq!(
        bars(&deny(&["other", "Git_*", "BASH*", "web_search", "d"])),
        [
            None,
            denied("GIT_push", "Git_*"),
            denied("bash_1", "BASH*"),
            Some(Bar::OpenServer),
            Some(Bar::Nested),
            denied("d", "d"),
            denied("web_search", "web_search"),
        ]
    );
    assert_eq!(
        bars(&allow(&["a", "b", "d"])),
        [
            None,
            missing("GIT_push"),
            missing("bash_1"),
            missing("mcp"),
            Some(Bar::Nested),
            None,
            missing("web_search"),
        ]
    );
    let both = Toollist::new(list(&["b", "bash_1"]), list(&["bash_1"])).unwrap();
    assert_eq!(bars(&both)[2], denied("bash_1", "bash_1"), "denied wins");
}

#[test]
fn what_they_remove_is_what_permit_removes() {
    for list in [
        Toollist::unbound(),
        deny(&["git*"]),
        deny(&["b", "web_*"]),
        allow(&["a", "c", "mcp"]),
        allow(&[]),
        deny(&[]),
    ] {
        let permitted = permit(BODY, &list, ToolMode::Filter).unwrap();
        let fates: Vec<bool> =
            permitted.fates(&Selection::All).iter().map(|fate| *fate == Fate::Barred).collect();
        let bars: Vec<bool> = bars(&list).iter().map(Option::is_some).collect();
        assert_eq!((&fates[..], bars.iter().filter(|bar| **bar).count()), (&bars[..6], denied(&permitted)));
    }
    fn denied(permitted: &PermittedRequest) -> usize {
        permitted.tally().denied as usize
    }
}

#[test]
fn the_choices_are_given_as_they_were_written() {
    let body = r#"{"tool_choice": {"type" : "auto"} ,"function_call":null}"#;
    assert_eq!(parse(body).choices(), [Some(&br#"{"type" : "auto"}"#[..]), None]);
}
