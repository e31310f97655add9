//! Tools as an agent of an office has them: eight services of four things each, and four verbs for every thing.

use serde_json::{Value, json};

/// How many there are.
pub(crate) const TOOLS: usize = 128;

/// What is done, how a description says it, and what it says of the outcome.
const VERBS: [(&str, &str, &str); 4] = [
    (
        "list",
        "Search and list",
        "Gives at most `limit` of them, newest first, with a cursor for the page after it.",
    ),
    (
        "create",
        "Create a new",
        "Gives the identifier of what was made. Asking twice with one reference makes one.",
    ),
    ("update", "Change some fields of an existing", "Fields that are left out stay as they are."),
    ("delete", "Remove for good an existing", "It cannot be undone, so ask the user before."),
];

/// A thing, what it is, its states, and the fields that are its own.
type Thing = (&'static str, &'static str, [&'static str; 4], [&'static str; 3]);

/// The services, with the things of each.
const SERVICES: [(&str, [Thing; 4]); 8] = [
    (
        "calendar",
        [
            (
                "event",
                "a meeting or appointment in a calendar",
                ["tentative", "confirmed", "cancelled", "private"],
                ["title", "location", "attendees"],
            ),
            (
                "reminder",
                "a note that rings at a given hour",
                ["pending", "rung", "snoozed", "dismissed"],
                ["text", "ring_at", "repeat_rule"],
            ),
            (
                "room",
                "a meeting room that can be booked",
                ["free", "booked", "closed", "cleaning"],
                ["floor", "seats", "equipment"],
            ),
            (
                "availability",
                "the hours in which a colleague can be met",
                ["open", "busy", "away", "holiday"],
                ["person", "weekday", "timezone"],
            ),
        ],
    ),
    (
        "mail",
        [
            (
                "message",
                "an e-mail in the user's mailbox",
                ["unread", "read", "flagged", "archived"],
                ["subject", "recipients", "body"],
            ),
            (
                "draft",
                "an e-mail that is written and not yet sent",
                ["new", "edited", "scheduled", "discarded"],
                ["subject", "signature", "send_at"],
            ),
            (
                "folder",
                "a folder that messages are sorted into",
                ["shown", "hidden", "shared", "locked"],
                ["label", "colour", "parent_folder"],
            ),
            (
                "contact",
                "a person in the address book",
                ["active", "blocked", "merged", "imported"],
                ["full_name", "telephone", "company"],
            ),
        ],
    ),
    (
        "tracker",
        [
            (
                "issue",
                "a bug or task of a software project",
                ["open", "in_progress", "blocked", "closed"],
                ["summary", "assignee", "severity"],
            ),
            (
                "sprint",
                "two weeks of planned work of a team",
                ["planned", "running", "reviewed", "abandoned"],
                ["goal", "capacity", "team"],
            ),
            (
                "comment",
                "a remark of somebody below an issue",
                ["visible", "edited", "internal", "resolved"],
                ["issue_number", "markdown", "mentions"],
            ),
            (
                "release",
                "a version of the software that is shipped",
                ["candidate", "shipped", "withdrawn", "frozen"],
                ["version", "changelog", "branch"],
            ),
        ],
    ),
    (
        "billing",
        [
            (
                "invoice",
                "a bill that a customer has to pay",
                ["draft", "sent", "paid", "overdue"],
                ["customer", "currency", "due_date"],
            ),
            (
                "payment",
                "money that came in or went out",
                ["authorised", "captured", "refunded", "failed"],
                ["amount", "method", "bank_reference"],
            ),
            (
                "subscription",
                "a plan that is charged every month",
                ["trial", "active", "paused", "ended"],
                ["plan", "seats", "renewal_date"],
            ),
            (
                "discount",
                "a code that makes something cheaper",
                ["valid", "used", "expired", "revoked"],
                ["percentage", "code", "minimum_order"],
            ),
        ],
    ),
    (
        "warehouse",
        [
            (
                "shipment",
                "a parcel on its way to a customer",
                ["packed", "dispatched", "delivered", "returned"],
                ["carrier", "tracking_number", "destination"],
            ),
            (
                "stock",
                "how much of an article lies on the shelves",
                ["available", "reserved", "damaged", "counted"],
                ["article", "quantity", "shelf"],
            ),
            (
                "supplier",
                "a company that goods are ordered from",
                ["approved", "probation", "suspended", "former"],
                ["company_name", "lead_time", "country"],
            ),
            (
                "order",
                "an order of goods from a supplier",
                ["requested", "accepted", "backordered", "received"],
                ["articles", "delivery_date", "cost_centre"],
            ),
        ],
    ),
    (
        "travel",
        [
            (
                "flight",
                "a seat on an aeroplane",
                ["held", "ticketed", "boarded", "missed"],
                ["origin", "departure_date", "cabin"],
            ),
            (
                "hotel",
                "a night or more in a hotel",
                ["requested", "booked", "stayed", "no_show"],
                ["city", "check_in", "guests"],
            ),
            (
                "expense",
                "what an employee paid on a journey",
                ["submitted", "approved", "rejected", "reimbursed"],
                ["receipt", "category", "total"],
            ),
            (
                "visa",
                "a permission to enter a country",
                ["applied", "granted", "denied", "lapsed"],
                ["passport", "purpose", "entry_date"],
            ),
        ],
    ),
    (
        "wiki",
        [
            (
                "page",
                "an article of the company's wiki",
                ["draft", "published", "outdated", "archived"],
                ["heading", "content", "parent_page"],
            ),
            (
                "attachment",
                "a file that belongs to a wiki page",
                ["uploading", "stored", "scanned", "quarantined"],
                ["file_name", "media_type", "checksum"],
            ),
            (
                "template",
                "a form that new pages begin with",
                ["proposed", "official", "retired", "personal"],
                ["sections", "language", "owner"],
            ),
            (
                "glossary",
                "an entry that explains a word of the trade",
                ["suggested", "agreed", "disputed", "obsolete"],
                ["term", "definition", "synonyms"],
            ),
        ],
    ),
    (
        "support",
        [
            (
                "ticket",
                "a question or complaint of a customer",
                ["new", "waiting", "solved", "escalated"],
                ["requester", "urgency", "channel"],
            ),
            (
                "macro",
                "a prepared reply for frequent questions",
                ["enabled", "disabled", "draft", "shared"],
                ["reply", "keywords", "product"],
            ),
            (
                "survey",
                "what customers said about the help they got",
                ["sent", "answered", "ignored", "disputed"],
                ["score", "remark", "agent"],
            ),
            (
                "incident",
                "an outage that many customers notice",
                ["investigating", "identified", "monitoring", "resolved"],
                ["service", "impact", "status_page"],
            ),
        ],
    ),
];

/// The thing that a place is about, and its service.
fn thing(place: usize) -> (&'static str, &'static Thing) {
    let (service, things) = &SERVICES[place % SERVICES.len()];
    (service, &things[place / SERVICES.len() % things.len()])
}

/// The tool of a place: neighbours are of different services, and verbs change as things do.
pub(crate) fn tool(place: usize) -> Value {
    let (service, &(name, what, states, fields)) = thing(place);
    let (verb, does, outcome) = VERBS[(place / 32 + place) % VERBS.len()];
    let [first, second, third] = fields;
    json!({"type": "function", "function": {
        "name": format!("{service}_{verb}_{name}"),
        "description": format!("{does} {name} ({what}) in the {service} service. {outcome}"),
        "parameters": {"type": "object", "properties": {
            "workspace": {"type": "string"},
            "status": {"type": "string", "enum": states, "description": format!("The state that the {name} is in")},
            first: {"type": "string", "description": format!("The {} of the {name}", first.replace('_', " "))},
            second: {"type": "string", "minLength": 1, "maxLength": 200},
            "details": {"type": "object", "additionalProperties": false, "properties": {
                third: {"type": "array", "items": {"type": "string"}, "maxItems": 20},
                "priority": {"type": "integer", "minimum": 1, "maximum": 5, "default": 3}}},
            "limit": {"type": "integer", "minimum": 1, "maximum": 100}},
            "required": [first, "status"], "additionalProperties": false}}})
}

/// What a user says who needs the tool of a place.
pub(crate) fn wish(place: usize) -> String {
    let (_, (name, what, states, fields)) = thing(place);
    let field = fields[0].replace('_', " ");
    format!("I need the {name} ({what}): find those that are {}, and tell me the {field} of each.", states[1])
}
