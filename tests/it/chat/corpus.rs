//! Chat requests as agents write them, in all the spellings that JSON allows: Orqen must not change a byte.
//!
//! Made up for these tests after the public shape of the API; no text of anyone's. Each has a name, so that a
//! failure says which habit of which kind of client was lost.

/// Name and body. The model leads to the scripted upstream without a prefix.
pub(crate) const CORPUS: &[(&str, &str)] = &[
    ("the least there is", r#"{"model":"gpt-4o","messages":[]}"#),
    (
        "what an SDK writes",
        r#"{"messages": [{"role": "system", "content": "You are terse."}, {"role": "user", "content": "Hi"}], "model": "gpt-4o-mini", "temperature": 0.7, "top_p": 1.0, "n": 1, "stream": false}"#,
    ),
    (
        "members in an unusual order",
        r#"{"stream":false,"messages":[{"content":"x","role":"user"}],"seed":7,"model":"gpt-4o","tools":[],"logprobs":true}"#,
    ),
    (
        "unknown members at every level",
        r#"{"model":"gpt-4o","x_vendor":{"a":[1,{"b":null}]},"messages":[{"role":"user","content":"x","cache_control":{"type":"ephemeral"}}],"tools":[{"type":"function","x-rank":1,"function":{"name":"f","x":"y","parameters":{}}}],"provider":{"order":["a","b"],"allow_fallbacks":false},"transforms":[]}"#,
    ),
    (
        "integers of twenty digits",
        r#"{"model":"gpt-4o","seed":12345678901234567890,"messages":[],"metadata":{"trace":98765432109876543210,"minus":-12345678901234567890}}"#,
    ),
    (
        "numbers in every spelling",
        r#"{"model":"gpt-4o","messages":[],"temperature":1.0,"top_p":0.10000000000000000000001,"presence_penalty":-0,"frequency_penalty":-0.0,"a":1E5,"b":1e+05,"c":1e-7,"d":9007199254740993,"e":1e400,"f":0.1e1,"g":0e0}"#,
    ),
    (
        "pretty printed",
        "{\n  \"model\": \"gpt-4o\",\n  \"messages\": [\n    {\n      \"role\": \"user\",\n      \"content\": \"x\"\n    }\n  ]\n}\n",
    ),
    (
        "tabs, carriage returns and blanks wherever they may stand",
        "\r\n\t {\t\"model\"\r\n:\t\t\"gpt-4o\" ,\n\n\"messages\" :[ \t{ \"role\":\"user\" , \"content\"\t:\"x\" } \r] ,\"tools\" : [ ]\t}\r\n \t\n",
    ),
    (
        "escapes where none were needed",
        r#"{"\u006dodel":"\u0067pt-4o","m\u0065ssages":[{"rol\u0065":"us\u0065r","content":"\u0041\/\b\f\n\r\t\"\\"}]}"#,
    ),
    (
        "surrogate pairs, in both cases of hex",
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":"\uD83D\uDE00 \ud83d\ude00 \uD834\udd1e"}]}"#,
    ),
    (
        "a lone surrogate in a message, which JavaScript can produce",
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":"cut \ud83d here"}]}"#,
    ),
    (
        "text of many scripts as it is",
        "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"Füße, 東京, Ελλάδα, עברית, \u{1F469}\u{200D}\u{1F4BB}, e\u{301}, \u{202E}rtl\u{202C}, \u{FEFF}, \u{2028}\"}]}",
    ),
    ("a NUL, escaped", r#"{"model":"gpt-4o","messages":[{"role":"user","content":"a\u0000b"}]}"#),
    (
        "empty arrays, objects and texts",
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":""},{"role":"user","content":[]}],"tools":[],"functions":[],"stop":[],"metadata":{},"user":"","":""}"#,
    ),
    (
        "nulls for what is left out",
        r#"{"model":"gpt-4o","messages":[{"role":"assistant","content":null,"tool_calls":null}],"tools":null,"tool_choice":null,"functions":null,"function_call":null,"parallel_tool_calls":null,"stream":null,"stream_options":null,"web_search_options":null,"response_format":null}"#,
    ),
    (
        "a nested schema with references, patterns and formats",
        r##"{"model":"gpt-4o","messages":[],"tools":[{"type":"function","function":{"name":"plan_trip","description":"Plans a trip.\nSeveral lines,\ttabs.","strict":true,"parameters":{"$defs":{"leg":{"type":"object","properties":{"from":{"type":"string","pattern":"^[A-Z]{3}$"},"to":{"$ref":"#/$defs/leg/properties/from"},"price":{"type":"number","multipleOf":0.01,"maximum":1e6}},"required":["from","to"],"additionalProperties":false}},"type":"object","properties":{"legs":{"type":"array","items":{"$ref":"#/$defs/leg"},"minItems":1},"mode":{"enum":["air","rail",null]},"deep":{"anyOf":[{"type":"object","properties":{"a":{"type":"object","properties":{"b":{"type":"array","items":{"type":["string","null"]}}}}}},{"const":3}]}}}}}]}"##,
    ),
    (
        "names in a schema that mean something elsewhere",
        r#"{"model":"gpt-4o","messages":[],"tools":[{"type":"function","function":{"name":"meta","parameters":{"type":"object","properties":{"tools":{"type":"array"},"Tools":{},"function":{"name":1},"name":{"type":"string"},"tool_choice":{"const":"required"}}}}}]}"#,
    ),
    (
        "repeated members inside of parameters",
        r#"{"model":"gpt-4o","messages":[],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","type":"object","properties":{"a":{},"a":{"type":"string"}}}}}]}"#,
    ),
    (
        "repeated members inside of messages",
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":"one","content":"two","name":"a","NAME":"b"}]}"#,
    ),
    (
        "repeated members in a metadata object",
        r#"{"model":"gpt-4o","messages":[],"metadata":{"k":"1","k":"2"},"response_format":{"type":"text","type":"text"}}"#,
    ),
    (
        "images by address and by data",
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":[{"type":"text","text":"What is this?"},{"type":"image_url","image_url":{"url":"https://example.com/a.png?x=1&y=%20","detail":"low"}},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="}}]}],"max_tokens":300}"#,
    ),
    (
        "audio in and out",
        r#"{"model":"gpt-4o-audio-preview","modalities":["text","audio"],"audio":{"voice":"alloy","format":"wav"},"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"UklGRiQAAABXQVZF","format":"wav"}}]},{"role":"assistant","audio":{"id":"audio_abc123"}}]}"#,
    ),
    (
        "a file",
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":[{"type":"file","file":{"filename":"a b.pdf","file_data":"data:application/pdf;base64,JVBERi0xLjQK"}}]}]}"#,
    ),
    (
        "a history of tool calls",
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":"weather?"},{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"get_weather","arguments":"{\"city\": \"Rom\\u00e9\",\n  \"n\":1.0}"}},{"id":"call_2","type":"function","function":{"name":"get_weather","arguments":""}}]},{"role":"tool","tool_call_id":"call_1","content":"{\"t\":21}"},{"role":"tool","tool_call_id":"call_2","content":[{"type":"text","text":"22"}]}],"tools":[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object"}}}],"tool_choice":"auto","parallel_tool_calls":false}"#,
    ),
    (
        "a history of custom tools and refusals",
        r#"{"model":"gpt-5","messages":[{"role":"developer","content":"x"},{"role":"assistant","tool_calls":[{"id":"c","type":"custom","custom":{"name":"shell","input":"ls -la | grep \"x\""}}]},{"role":"assistant","content":null,"refusal":"I can't."}],"tools":[{"type":"custom","custom":{"name":"shell","description":"runs","format":{"type":"grammar","grammar":{"syntax":"lark","definition":"start: /[a-z]+/"}}}}]}"#,
    ),
    (
        "functions, the old way",
        r#"{"model":"gpt-4","messages":[{"role":"user","content":"x"},{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},{"role":"function","name":"f","content":"1"}],"functions":[{"name":"f","description":"d","parameters":{"type":"object","properties":{}}},{"name":"g","parameters":{}}],"function_call":{"name":"f"}}"#,
    ),
    (
        "tools of the provider, flat tools and custom ones side by side",
        r#"{"model":"gpt-4o","messages":[],"tools":[{"type":"web_search_preview","search_context_size":"low"},{"type":"function","name":"flat","parameters":{}},{"type":"custom","custom":{"name":"c"}},{"type":"code_interpreter","container":{"type":"auto"}},{"type":"mcp","server_label":"d","server_url":"https://example.com/mcp","require_approval":"never","allowed_tools":["read"]}]}"#,
    ),
    (
        "an answer in a schema",
        r#"{"model":"gpt-4o","messages":[],"response_format":{"type":"json_schema","json_schema":{"name":"steps","strict":true,"schema":{"type":"object","properties":{"steps":{"type":"array","items":{"type":"object","properties":{"why":{"type":"string"}},"required":["why"],"additionalProperties":false}}},"required":["steps"],"additionalProperties":false}}}}"#,
    ),
    (
        "a forced tool",
        r#"{"model":"gpt-4o","messages":[],"tools":[{"type":"function","function":{"name":"a","parameters":{}}},{"type":"function","function":{"name":"b"}}],"tool_choice":{"type":"function","function":{"name":"b"}},"parallel_tool_calls":true}"#,
    ),
    (
        "allowed tools, nested",
        r#"{"model":"gpt-5","messages":[],"tools":[{"type":"function","function":{"name":"a"}},{"type":"function","function":{"name":"b"}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"a"}} , {"type":"function","function":{"name":"b"}}]}}}"#,
    ),
    (
        "every parameter of sampling",
        r#"{"model":"o3-mini","reasoning_effort":"high","max_completion_tokens":4096,"messages":[],"logit_bias":{"50256":-100,"50257":1.5},"logprobs":true,"top_logprobs":20,"stop":["\n\n","END"],"user":"u-1","service_tier":"auto","store":true,"prediction":{"type":"content","content":"abc"},"verbosity":"low","safety_identifier":"x","prompt_cache_key":"k"}"#,
    ),
    (
        "a search by the model itself",
        r#"{"model":"gpt-4o-search-preview","messages":[],"web_search_options":{"user_location":{"type":"approximate","approximate":{"country":"GB","city":"London"}},"search_context_size":"high"}}"#,
    ),
    (
        "long text with what looks like structure",
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":"}]},{\"tools\":[{\"type\":\"function\"}] \\\" ,,, [[[{{{ data: [DONE]\n\n"}]}"#,
    ),
];

/// The same habits in a request that streams.
pub(crate) const STREAMED: &str = "{ \"stream\" : true,\n\t\"model\":\"gpt-4o\", \"seed\":12345678901234567890,\"messages\":[ ] , \"stream_options\":{\"include_usage\":true , \"x\":[ ]} }\n";
