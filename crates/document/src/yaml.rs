//! A YAML document of sections and settings, unchecked: texts with line numbers, and the unknown keys.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_saphyr::{MessageFormatter, Spanned, UserMessageFormatter};

/// The keys that a document may have.
pub trait KnownSettings {
    /// A setting.
    type Key: Copy;

    /// Whether there is a section with this name.
    fn is_section(name: &str) -> bool;
    /// The setting `section.name`.
    fn find(key: &str) -> Option<Self::Key>;
    /// Whether its value is a list.
    fn is_list(key: Self::Key) -> bool;
}

/// A value as it was written.
#[derive(Debug)]
pub struct Text {
    pub text: String,
    pub line: u64,
}

/// A syntax error, which ends the reading.
#[derive(Debug)]
pub struct Broken<K> {
    pub line: u64,
    pub problem: String,
    /// The setting whose value was being read, to which the problem belongs.
    pub reading: Option<K>,
}

/// The content of a document, up to its end or to a syntax error.
pub struct Document<D: KnownSettings> {
    /// The settings in the order of the document.
    pub settings: Vec<(D::Key, Vec<Text>)>,
    /// Unknown keys, each with its line.
    pub unknown: Vec<(String, u64)>,
    /// The syntax error, if there is one.
    pub broken: Option<Broken<D::Key>>,
    reading: Option<D::Key>,
}

impl<D: KnownSettings> Document<D> {
    /// Reads the text up to the first syntax error.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let options = serde_saphyr::options! { with_snippet: false };
        let mut document = Self { settings: Vec::new(), unknown: Vec::new(), broken: None, reading: None };
        let outcome = serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
            Sections(&mut document).deserialize(deserializer)
        });
        document.broken = outcome.err().map(|error| Broken {
            line: error.location().map_or(1, |location| location.line()),
            problem: UserMessageFormatter.format_message(error.without_snippet()).into_owned(),
            reading: document.reading,
        });
        document
    }
}

/// The whole document, a map of sections.
struct Sections<'a, D: KnownSettings>(&'a mut Document<D>);

impl<'de, D: KnownSettings> DeserializeSeed<'de> for Sections<'_, D> {
    type Value = ();

    fn deserialize<F: Deserializer<'de>>(self, deserializer: F) -> Result<(), F::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, D: KnownSettings> Visitor<'de> for Sections<'_, D> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sections such as `node:`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Spanned<String>>()? {
            if D::is_section(&name.value) {
                map.next_value_seed(Section { name: &name.value, document: &mut *self.0 })?;
            } else {
                map.next_value::<IgnoredAny>()?;
                self.0.unknown.push((name.value, name.referenced.line()));
            }
        }
        Ok(())
    }
}

/// One section; every setting in it may be commented out.
struct Section<'a, D: KnownSettings> {
    name: &'a str,
    document: &'a mut Document<D>,
}

impl<'de, D: KnownSettings> DeserializeSeed<'de> for Section<'_, D> {
    type Value = ();

    fn deserialize<F: Deserializer<'de>>(self, deserializer: F) -> Result<(), F::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, D: KnownSettings> Visitor<'de> for Section<'_, D> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the settings of `{}:`, each on a line of its own", self.name)
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<F: Deserializer<'de>>(self, deserializer: F) -> Result<(), F::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Spanned<String>>()? {
            let key = format!("{}.{}", self.name, name.value);
            let Some(known) = D::find(&key) else {
                map.next_value::<IgnoredAny>()?;
                self.document.unknown.push((key, name.referenced.line()));
                continue;
            };
            self.document.reading = Some(known);
            let texts = if D::is_list(known) {
                map.next_value::<Option<Vec<Spanned<String>>>>()?.unwrap_or_default()
            } else {
                map.next_value::<Option<Spanned<String>>>()?.into_iter().collect()
            };
            let texts = texts.into_iter().map(|text| Text { line: text.referenced.line(), text: text.value });
            self.document.settings.push((known, texts.collect()));
            self.document.reading = None;
        }
        Ok(())
    }
}
