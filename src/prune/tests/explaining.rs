//! What would be decided, and why, is what is decided; and asking leaves no trace.

use super::*;

fn reasons(explained: &Explained) -> Vec<Option<Reason>> {
    explained.tools.iter().map(|tool| tool.kept).collect()
}

#[test]
fn an_explanation_is_the_decision_of_the_turn_that_follows_in_every_state() {
    for mode in [PruneMode::Off, PruneMode::Safe, PruneMode::Balanced, PruneMode::Aggressive] {
        let (pruner, ask) = (Pruner::new(SETTINGS), Ask { mode, ..ASK });
        let mut turns = vec![message("user", "What is the weather in Oslo?")];
        for text in ["And book me a hotel room", "yes", "run export_thermostat", "now write an article"] {
            let request = permitted(&body(&turns, &tools(), ""), &Toollist::unbound());
            let explained = pruner.explain(&request, &ask, None);
            assert_eq!(explained, pruner.explain(&request, &ask, None), "asking twice is asking once");
            let choice = pruner.choose(&request, &ask);
            assert_eq!(explained.selection, choice.selection, "{mode:?} {turns:?}");
            assert_eq!((explained.routing, explained.skipped), (choice.routing, choice.skipped));
            let kept: Vec<usize> = match choice.selection {
                Selection::All => (0..explained.tools.len()).collect(),
                Selection::Only(whole) => whole,
                Selection::Slimmed { whole, slim } => whole.into_iter().chain(slim).collect(),
            };
            for (place, tool) in explained.tools.iter().enumerate() {
                assert_eq!(tool.kept.is_some(), kept.contains(&place), "{tool:?}");
            }
            turns.extend([message("assistant", "Done."), message("user", text)]);
        }
    }
}

#[test]
fn asking_leaves_no_trace() {
    let pruner = Pruner::new(SETTINGS);
    for text in ["the weather in Oslo", "book a hotel", "hm"] {
        let request = permitted(&asked(text), &Toollist::unbound());
        pruner.explain(&request, &ASK, None);
        pruner.explain(&request, &Ask { mode: PruneMode::Off, ..ASK }, None);
    }
    assert!(pruner.tool_health(ASK.account).is_empty());
    assert_eq!(pruner.skips().map(|(_, count)| count).sum::<u64>() + pruner.recall_misses(), 0);
    let request = permitted(&asked("the weather in Oslo"), &Toollist::unbound());
    assert!(pruner.choose(&request, &ASK).changed, "the conversation is new");
    let late = Pruner::new(Settings { indexing_budget: Some(Duration::ZERO), ..SETTINGS });
    for _ in 0..100 {
        assert_eq!(
            late.explain(&request, &ASK, None).skipped,
            Some(Skipped::Budget),
            "nothing is read ahead"
        );
    }
}

#[test]
fn every_reason_is_told() {
    let pruner = Pruner::new(SETTINGS);
    let request = |messages: &[String]| permitted(&body(messages, &tools(), ""), &Toollist::unbound());
    let all = request(&[]);
    let places = |name: &str| all.tools().iter().position(|tool| tool.name == name).unwrap();
    let first = [message("user", "What is the weather in Oslo? Not export_thermostat.")];
    let explained = pruner.explain(&request(&first), &ASK, None);
    assert_eq!(explained.tools[places("export_thermostat")].kept, Some(Reason::Named));
    assert_eq!(explained.tools[places("export_thermostat")].rank, None);
    let weather = explained.tools[places("get_weather_forecast")];
    assert!(weather.kept == Some(Reason::Window) && weather.rank <= Some(3), "{weather:?}");
    let gone = explained.tools.iter().filter(|tool| tool.kept.is_none());
    assert!(gone.clone().count() > 10 && gone.into_iter().all(|tool| tool.rank > Some(1)));

    let least = pruner.explain(&request(&first), &Ask { least: 60, ..ASK }, None);
    assert_eq!(reasons(&least).iter().filter(|reason| reason.is_some()).count(), 60);
    assert!(reasons(&least).contains(&Some(Reason::Least)));

    let mut far = vec![[0.0, 1.0]; explained.tools.len()];
    let last = explained.tools.iter().position(|tool| tool.kept.is_none()).unwrap();
    far[last] = [1.0, 0.0];
    let likeness = Likeness::new(&[1.0, 0.0], &far).unwrap();
    let meaning = pruner.explain(&request(&first), &ASK, Some(&likeness));
    assert_eq!((meaning.routing, meaning.tools[last].kept), (Some(Routing::Semantic), Some(Reason::Meaning)));

    pruner.choose(&request(&first), &ASK);
    let call = r#"{"role":"assistant","tool_calls":[{"function":{"name":"get_invoice","arguments":"{}"}}]}"#;
    let answer = r#"{"role":"tool","content":"42"}"#;
    let later = [first[0].clone(), call.into(), answer.into(), message("user", "the weather again")];
    let explained = pruner.explain(&request(&later), &ASK, None);
    assert_eq!(explained.tools[places("get_invoice")].kept, Some(Reason::Called));
    pruner.choose(&request(&later), &ASK);
    let explained = pruner.explain(&request(&later), &ASK, None);
    assert_eq!(explained.tools[places("get_weather_forecast")].kept, Some(Reason::Conversation));

    let off = pruner.explain(&request(&first), &Ask { mode: PruneMode::Off, ..ASK }, None);
    assert!(off.tools.iter().all(|tool| tool.kept == Some(Reason::Unpruned) && tool.score.is_none()));
    let none = permitted(r#"{"messages":[]}"#, &Toollist::unbound());
    assert_eq!((pruner.explain(&none, &ASK, None).routing, none.tools().len()), (None, 0));
    *pruner.fault.lock().unwrap() = Some(|| panic!("a fault of ours"));
    assert_eq!(pruner.explain(&request(&first), &ASK, None).skipped, Some(Skipped::Error));
}
