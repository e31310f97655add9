"""What the budget's requests say: small (no tools), medium (20 messages, 16 tools, some 20 kB) and large (128 tools, some
100 kB), the same in every run. Made up for this: no real service has these tools."""

import json

THINGS = {
    "invoice": ("what a customer owes", ["draft", "sent", "paid", "overdue"], ["customer", "due_date", "lines"]),
    "shipment": ("goods on their way", ["packed", "sent", "delayed", "delivered"], ["carrier", "weight", "stops"]),
    "ticket": ("a question of a customer", ["new", "open", "waiting", "closed"], ["priority", "owner", "labels"]),
    "booking": ("a room or seat for somebody", ["asked", "held", "fixed", "given_up"], ["guest", "day", "wishes"]),
    "contract": ("what two parties agreed on", ["draft", "signed", "ended", "disputed"], ["party", "term", "clauses"]),
    "machine": ("something on the shop floor", ["idle", "running", "serviced", "broken"], ["hall", "maker", "parts"]),
    "article": ("a text for readers", ["idea", "written", "edited", "published"], ["author", "length", "topics"]),
    "payment": ("money that moves", ["planned", "sent", "booked", "returned"], ["amount", "currency", "notes"]),
}
VERBS = {
    "list": "Lists every entry that fits, the newest first, a page at a time.",
    "create": "Makes a new entry and answers with its id. Asks nobody.",
    "update": "Changes what is given and leaves the rest as it was.",
    "close": "Ends what is open. It can be opened again within a week.",
    "export": "Writes entries into a file that can be fetched for a day.",
    "assign": "Hands an entry to a person, who is told by mail.",
    "compare": "Says in which fields two entries differ, and since when.",
    "watch": "Tells the caller when an entry changes, until it is told to stop.",
}
SERVICES = ["north", "south"]
SAID = [
    "Before we go on: the figures of last week are not final, since two of the offices report late and by telephone.",
    "I looked at it and noted what is open. Nothing is urgent, but the second point wants an answer before the weekend.",
    "Please keep it short, leave the names out of the summary, and say where each of the numbers comes from.",
    "Done. Three entries could not be matched; I left them as they were and put them at the end of the list.",
]


def tool(place):
    """The tool of a place, of 128."""
    thing = list(THINGS)[place % 8]
    verb = list(VERBS)[place // 8 % 8]
    service = SERVICES[place // 64 % 2]
    what, states, (first, second, third) = THINGS[thing]
    texts = {"type": "array", "maxItems": 20, "items": {"type": "string", "description": f"One of the {third} of the {thing}, in the words of whoever wrote it."}}
    properties = {
        "workspace": {"type": "string", "description": "The workspace to look in. Leave it out for the one that is open."},
        "status": {"type": "string", "enum": states, "description": f"The state that the {thing} is in."},
        first: {"type": "string", "description": f"The {first.replace('_', ' ')} of the {thing}, as it stands in the records."},
        second: {"type": "string", "minLength": 1, "maxLength": 200},
        third: texts,
        "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
    }
    parameters = {"type": "object", "properties": properties, "required": [first, "status"], "additionalProperties": False}
    description = f"{VERBS[verb]} It is about the {thing} ({what}) of the {service} office."
    return {"type": "function", "function": {"name": f"{service}_{verb}_{thing}", "description": description, "parameters": parameters}}


def bodies(size):
    """Eight requests, each a conversation of its own."""
    tools = [tool(place) for place in range({"small": 0, "medium": 16, "large": 128}[size])]
    return [json.dumps(request(size, tools, number), separators=(",", ":")).encode() for number in range(8)]


def request(size, tools, number):
    """One of them."""
    messages = [{"role": "system", "content": f"You are the assistant of office {number}. Be brief and use the tools."}]
    if size != "small":
        for turn in range(18):
            said = " ".join(SAID[(turn + number + step) % 4] for step in (0, 1, 3))
            messages.append({"role": ["user", "assistant"][turn % 2], "content": said})
    thing = list(THINGS)[number % 8]
    what, states, fields = THINGS[thing]
    wish = f"I need the {thing} ({what}) of the north office: list those that are {states[1]}, with the {fields[0]} of each."
    messages.append({"role": "user", "content": wish})
    request = {"model": "gpt-4o-mini", "temperature": 0.2, "messages": messages}
    return request | {"tools": tools} if tools else request
