//! What choosing costs a chat request that carries 128 tools (100 kB): p50 and p99 of one run, in microseconds.
//!
//! - *choosing*: the pruner alone, its index warm, over conversations of several lengths, each new to it or known.
//! - *whole path*: parse, lists, choose, splice, as a request goes.
//! - *first sight*: choosing among 128 tools that were never seen, and the request after it, which pays nothing again.
//!
//! Percentiles are what is promised, and divan does not print them; so the loop is our own. The first tenth of each
//! series warms caches and is not counted.

use std::{
    fmt::Write,
    hint::black_box,
    time::{Duration, Instant},
};

use bytes::Bytes;
use chrono::DateTime;
use orqen::{
    domain::{
        chat_request::{Bounds, ChatRequest, PermittedRequest},
        key::{AccountId, ToolMode},
        policy::PruneMode,
        toollist::Toollist,
    },
    prune::{Ask, Pruner, Settings},
};
use uuid::Uuid;

const BOUNDS: Bounds = Bounds { depth: 128 };
const ROUNDS: usize = 20_000;
const FIRST_SIGHTS: usize = 400;

const SETTINGS: Settings = Settings {
    least_tools: 20,
    least_tokens: 2000,
    scoring_budget: None,
    indexing_budget: None,
    learning_share: 0.0,
    pins: true,
    cache_bytes: 64 * 1024 * 1024,
    conversations: 20_000,
    depth: 128,
};

fn main() {
    let bodies: Vec<Bytes> = (0..WISHES.len()).map(|turn| request(turn, "")).collect();
    println!("128 tools, {} kB a request; {ROUNDS} rounds, microseconds", bodies[0].len() / 1000);
    println!("{:44} {:>8} {:>8}", "", "p50", "p99");
    let lists = lists();
    let requests: Vec<PermittedRequest> = bodies.iter().map(|body| permitted(body, &lists)).collect();

    let pruner = Pruner::new(SETTINGS);
    series("choosing, a new conversation each", ROUNDS, |round| {
        let session = format!("session {round}");
        let began = Instant::now();
        black_box(pruner.choose(&requests[round % requests.len()], &ask(&session)));
        began.elapsed()
    });
    series("choosing, the next turn of a conversation", ROUNDS, |round| {
        let session = format!("session {}", round % 100);
        let began = Instant::now();
        black_box(pruner.choose(&requests[round % requests.len()], &ask(&session)));
        began.elapsed()
    });
    series("parse and lists", ROUNDS, |round| {
        let body = bodies[round % bodies.len()].clone();
        let began = Instant::now();
        black_box(permitted(&body, &lists));
        began.elapsed()
    });
    series("whole path: parse, lists, choose, splice", ROUNDS, |round| {
        let body = bodies[round % bodies.len()].clone();
        let session = format!("whole {round}");
        let began = Instant::now();
        let request = permitted(&body, &lists);
        let choice = pruner.choose(&request, &ask(&session));
        black_box(request.keep(&choice.selection, None));
        began.elapsed()
    });

    let new: Vec<PermittedRequest> = (0..FIRST_SIGHTS)
        .map(|house| permitted(&request(house % WISHES.len(), &format!("house{house}")), &lists))
        .collect();
    series("first sight of 128 new tools", FIRST_SIGHTS, |house| {
        let began = Instant::now();
        black_box(pruner.choose(&new[house], &ask("first")));
        began.elapsed()
    });
    let last = FIRST_SIGHTS - 1;
    series("the requests after it", FIRST_SIGHTS, |round| {
        let session = format!("after {round}");
        let began = Instant::now();
        black_box(pruner.choose(&new[last], &ask(&session)));
        began.elapsed()
    });
}

fn series(what: &str, rounds: usize, mut round: impl FnMut(usize) -> Duration) {
    let mut times: Vec<Duration> = (0..rounds).map(&mut round).skip(rounds / 10).collect();
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    println!("{what:44} {:>8.1} {:>8.1}", at(0.5), at(0.99));
}

fn ask(session: &str) -> Ask<'_> {
    Ask {
        account: AccountId(Uuid::from_u128(1)),
        key: None,
        mode: PruneMode::Safe,
        least: 0,
        session: Some(session),
        now: DateTime::UNIX_EPOCH,
    }
}

/// Lists as a key has them, which let all of these tools pass.
fn lists() -> Toollist {
    let denied = ["*_secret", "exec", "delete_account"].map(str::to_owned).to_vec();
    Toollist::new(None, Some(denied)).expect("the lists are well-formed")
}

fn permitted(body: &Bytes, lists: &Toollist) -> PermittedRequest {
    ChatRequest::parse(body.clone(), &BOUNDS)
        .expect("the request is well-formed")
        .permit(lists, ToolMode::Filter, &[])
        .expect("nothing is forced")
}

const WISHES: [&str; 8] = [
    "What will the weather be like in Bergen on Friday? I want to go hiking.",
    "Please open a pull request with the fix and ask somebody to review it.",
    "Book a table for four at the Italian place, tomorrow at eight.",
    "Why is the build of the release branch red since last night?",
    "Send the invoice of March to the customer again, she has not received it.",
    "Play something quiet in the living room and dim the lights.",
    "How many units of article 4711 are left in the warehouse in Hamburg?",
    "Move my meeting with the auditors to next week and tell them why.",
];

/// Sixteen things that eight verbs do something to, each described in words of its own.
const SUBJECTS: [(&str, &str, &str); 16] = [
    ("weather_forecast", "the weather forecast of a place for the coming days", "city"),
    ("pull_request", "a pull request of a repository with its reviews", "repository"),
    ("table_reservation", "a reservation of a table in a restaurant", "restaurant"),
    ("build_log", "the log of a build in continuous integration", "branch"),
    ("invoice", "an invoice that was sent to a customer", "customer"),
    ("playlist", "a playlist of songs on the loudspeakers of a room", "room"),
    ("warehouse_stock", "the stock of an article in a warehouse", "article"),
    ("calendar_event", "an event in the calendar of a person", "person"),
    ("support_ticket", "a ticket of the help desk and who works on it", "ticket"),
    ("database_backup", "a backup of a database, when it was made and where it is", "database"),
    ("flight_booking", "a booking of a flight with its passengers and seats", "passenger"),
    ("payroll_run", "a run of the payroll with the salaries that it pays", "department"),
    ("blog_article", "an article of the blog, drafts included", "author"),
    ("light_scene", "a scene of the lights in a room, with their brightness", "room"),
    ("vulnerability_report", "a report about a weakness in a package we ship", "package"),
    ("shipping_label", "a label for a parcel, with its weight and its carrier", "parcel"),
];
const VERBS: [(&str, &str); 8] = [
    ("get", "Reads"),
    ("list", "Lists, a page at a time, everything like"),
    ("create", "Makes"),
    ("update", "Changes what is given of"),
    ("delete", "Removes for good"),
    ("export", "Writes to a file"),
    ("share", "Lets another person see"),
    ("watch", "Sends a message on every change of"),
];

/// A conversation that ends with a wish, after as many turns as its number, and all of the tools. Those of one `house`
/// are told from those of another in a word.
fn request(turn: usize, house: &str) -> Bytes {
    let mut body = String::from(r#"{"model":"gpt-4o","stream":true,"messages":["#);
    body.push_str(
        r#"{"role":"system","content":"You are the assistant of a small company and its people."}"#,
    );
    for wish in &WISHES[..turn] {
        let _ = write!(
            body,
            r#",{{"role":"user","content":"{wish}"}},{{"role":"assistant","content":"It is done: {wish}"}}"#
        );
    }
    let _ = write!(body, r#",{{"role":"user","content":"{}"}}],"tools":["#, WISHES[turn]);
    for (number, (subject, what, about)) in SUBJECTS.iter().enumerate() {
        for (place, (verb, does)) in VERBS.iter().enumerate() {
            let comma = if number + place == 0 { "" } else { "," };
            let _ = write!(
                body,
                "{comma}{}",
                definition(&format!("{verb}_{subject}"), does, what, (about, house))
            );
        }
    }
    body.push_str("]}");
    Bytes::from(body)
}

fn definition(name: &str, does: &str, what: &str, (about, house): (&str, &str)) -> String {
    format!(
        r#"{{"type":"function","function":{{"name":"{name}","description":"{does} {what} {house}. Use it when the user speaks of it by name or by number, and ask back when several could be meant.","parameters":{{"type":"object","properties":{{"{about}_id":{{"type":"string","description":"Which {about}; it was given when the {about} was made"}},"since":{{"type":"string","format":"date-time","description":"Only what happened after this time"}},"fields":{{"type":"array","items":{{"type":"string"}},"description":"The fields to answer with, all of them when it is left out"}},"format":{{"type":"string","enum":["json","csv","text"],"default":"json"}}}},"required":["{about}_id"],"additionalProperties":false}}}}}}"#
    )
}
