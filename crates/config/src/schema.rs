//! The JSON Schema of the configuration file, for editors: `docs/configuration.schema.json`.

use serde_json::{Map, Value, json};

use super::settings::{self, About, Kind, WhenUnset};

/// The schema, as indented JSON.
pub fn json() -> String {
    let sections: Map<_, _> = settings::sections().into_iter().map(|name| (name.to_owned(), section(name))).collect();
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of a nym-mixnode",
        "type": "object",
        "additionalProperties": false,
        "properties": sections,
    });
    format!("{schema:#}\n")
}

fn section(name: &str) -> Value {
    let properties: Map<_, _> =
        settings::in_section(name).map(|about| (about.section_and_name().1.to_owned(), property(about))).collect();
    json!({ "type": ["object", "null"], "additionalProperties": false, "properties": properties })
}

/// The schema of a setting; a key without a value counts as unset, hence `null`.
fn property(about: &About) -> Value {
    let mut property = if about.is_list() {
        json!({ "type": ["array", "null"], "items": value(about.kind) })
    } else {
        let mut value = value(about.kind);
        value["type"] = json!([value["type"], "null"]);
        if let Some(words) = value.get_mut("enum").and_then(Value::as_array_mut) {
            words.push(Value::Null);
        }
        value
    };
    property["description"] = format!("{} Allowed: {}.", about.help.replace('\n', " "), about.allowed).into();
    if let WhenUnset::Value(text) = about.when_unset {
        property["default"] = literal(about.kind, text);
    }
    property
}

fn value(kind: Kind) -> Value {
    match kind {
        Kind::Integer => json!({ "type": "integer", "minimum": 0 }),
        Kind::Switch => json!({ "type": "boolean" }),
        Kind::Duration => json!({ "type": "string", "pattern": "^[0-9]+ ?[A-Za-z]+( ?[0-9]+ ?[A-Za-z]+)*$" }),
        Kind::Size => json!({ "type": "string", "pattern": "^[0-9]+ *([KMGT]i)?B$" }),
        Kind::Url => json!({ "type": "string", "pattern": "^https?://" }),
        Kind::Choice(words) => json!({ "type": "string", "enum": words }),
        Kind::Text | Kind::Path | Kind::Address | Kind::LogFilter => json!({ "type": "string" }),
    }
}

fn literal(kind: Kind, text: &str) -> Value {
    match kind {
        // Numbers and booleans are written in YAML as in JSON.
        Kind::Integer | Kind::Switch => text.parse().unwrap_or_else(|_| text.into()),
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_in_docs_is_up_to_date() {
        let written = include_str!("../../../docs/configuration.schema.json");
        assert!(written == json(), "docs/configuration.schema.json is out of date: run `make docs`");
    }

    #[test]
    fn every_setting_has_a_property_with_its_default() {
        let schema: Value = serde_json::from_str(&json()).unwrap();
        for about in settings::ALL {
            let (section, name) = about.section_and_name();
            let property = &schema["properties"][section]["properties"][name];
            assert!(property["description"].is_string(), "{}", about.key);
            if let WhenUnset::Value(text) = about.when_unset {
                let default = &property["default"];
                assert_eq!(default.as_str().map_or_else(|| default.to_string(), str::to_owned), text, "{}", about.key);
            }
        }
        assert_eq!(schema["properties"]["mix"]["properties"]["workers"]["default"], 0);
        assert_eq!(schema["properties"]["forward"]["properties"]["policy"]["enum"][0], "topology");
    }
}
