//! The figures of our own sample, and what the report says of them.

use std::path::Path;

use serde_json::{Value, json};

use super::*;

/// An assistant of an office with 64 tools, and what is asked of it.
const OFFICE: &str = include_str!("../../../tests/samples/office.json");

/// The sample as a user would give it: a case a line.
fn office() -> String {
    let office: Value = serde_json::from_str(OFFICE).unwrap();
    let tools: Vec<Value> = office["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|function| json!({"type": "function", "function": function}))
        .collect();
    let cases = office["cases"].as_array().unwrap().iter().map(|case| {
        let mut line = case.clone();
        let messages = line.as_object_mut().unwrap().remove("messages");
        line["request"] = json!({"model": "m", "messages": messages, "tools": tools});
        format!("{line}\n")
    });
    cases.collect()
}

/// What `orqen evaluate` prints for these lines and flags.
fn evaluated(lines: &str, flags: &[&str]) -> anyhow::Result<String> {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("cases.jsonl");
    std::fs::write(&file, lines)?;
    let arguments = ["orqen", file.to_str().unwrap()].into_iter().chain(flags.iter().copied());
    let Line { arguments } = clap::Parser::try_parse_from(arguments)?;
    let mut out = Vec::new();
    run(&arguments, &mut out)?;
    Ok(String::from_utf8(out)?)
}

fn figures(flags: &[&str]) -> Value {
    let flags: Vec<&str> = flags.iter().copied().chain(["--json"]).collect();
    serde_json::from_str(&evaluated(&office(), &flags).unwrap()).unwrap()
}

#[test]
fn the_sample_keeps_what_it_needs_and_saves_most() {
    for (flags, saved) in [(&[][..], 0.5), (&["--learn"], 0.5), (&["--mode", "aggressive"], 0.55)] {
        let all = figures(flags)["all"].take();
        assert_eq!(all["cases"], 52, "{flags:?}");
        let kept = all["callable"].as_f64().or(all["kept"].as_f64()).unwrap();
        assert!(kept > 0.99, "{flags:?}: {all}");
        assert!(all["saved"].as_f64().unwrap() > saved, "{flags:?}: {all}");
    }
    let off = figures(&["--mode", "off"])["all"].take();
    assert_eq!((&off["kept"], &off["saved"], &off["mean_tools"]), (&json!(1.0), &json!(0.0), &json!(64.0)));
}

#[test]
fn the_same_cases_give_the_same_figures_but_for_the_times() {
    let timeless = || {
        let mut figures = figures(&["--pin", "--learn"]);
        let drop_times = |value: &mut Value| {
            for time in ["p50_us", "p99_us", "first_us"] {
                assert!(value.as_object_mut().unwrap().remove(time).is_some(), "{time}");
            }
        };
        drop_times(&mut figures["all"]);
        figures["sources"].as_object_mut().unwrap().values_mut().for_each(drop_times);
        figures
    };
    let once = timeless();
    assert_eq!(once, timeless());
    assert!(once["sources"]["talks"]["changes_per_turn"].is_number(), "{once}");
}

#[test]
fn plans_stand_apart_and_what_was_lost_is_written_down() {
    let mut case: Value = serde_json::from_str(office().lines().next().unwrap()).unwrap();
    case["plan"] = json!(true);
    case["needed"] = json!(["rent_car", "not_offered"]);
    let folder = tempfile::tempdir().unwrap();
    let misses = folder.path().join("misses.jsonl");
    let told = evaluated(&case.to_string(), &["--json", "--misses", misses.to_str().unwrap()]).unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["plan"]["cases"], &told["plan"]["kept"]), (&json!(1), &json!(0.0)), "{told}");
    let written: Value = serde_json::from_slice(&std::fs::read(misses).unwrap()).unwrap();
    assert_eq!(written["lost"], json!(["rent_car"]), "{written}");
    let table = evaluated(&office(), &[]).unwrap();
    assert!(["plain", "languages", "ALL"].iter().all(|word| table.contains(word)), "{table}");
}

#[test]
fn what_is_no_case_is_told_with_its_line() {
    let first = office().lines().next().unwrap().to_owned();
    for (lines, says) in [
        (format!("{first}\n\n{{\"request\": 1}}\n"), "line 3"),
        (format!("{first}\n{{\"request\": [], \"needed\": []}}"), "line 2"),
        ("not JSON".to_owned(), "line 1"),
        ("\n \n".to_owned(), "there is no case"),
    ] {
        let error = format!("{:#}", evaluated(&lines, &[]).unwrap_err());
        assert!(error.contains(says), "{error}");
    }
    let flags = Arguments {
        file: Path::new("/nowhere/cases.jsonl").into(),
        mode: Mode::Safe,
        learn: false,
        pin: false,
        misses: None,
        json: false,
    };
    let error = format!("{:#}", run(&flags, &mut Vec::new()).unwrap_err());
    assert!(error.contains("cannot read /nowhere/cases.jsonl"), "{error}");
}
