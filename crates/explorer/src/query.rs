//! Query of the page with all nodes.

use nym_mixnode_base::text::is_hidden;
use url::form_urlencoded::{Serializer, parse};

use super::state::{STATE_FILTERS, StateFilter};
use super::text;

/// Maximum length of a search text in characters; keys have 44, addresses at most 47.
pub(crate) const SEARCH_CHARS_MAX: usize = 128;

/// Value of the filter by layer for gateways.
pub(crate) const GATEWAYS: &str = "gateways";

/// Which nodes are listed, in which order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NodesQuery {
    /// Part of a key, an address or a location; empty for all.
    pub(crate) search: String,
    pub(crate) layer: Option<LayerFilter>,
    pub(crate) state: Option<&'static str>,
    pub(crate) order: Order,
    /// Counted from 0.
    pub(crate) page: usize,
}

/// Value of the filter by layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LayerFilter {
    Mixes(u64),
    Gateways,
}

/// Column to sort by, and the direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) by: SortKey,
    pub(crate) is_descending: bool,
}

/// Column to sort by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum SortKey {
    #[default]
    Layer,
    State,
    Key,
    Location,
    Reputation,
    Version,
    Since,
}

/// All columns to sort by, with their names in URLs and their labels.
pub(crate) const SORT_KEYS: [(SortKey, &str, &str); 7] = [
    (SortKey::Layer, "layer", "Layer"),
    (SortKey::State, "state", "State"),
    (SortKey::Key, "key", "Identity key"),
    (SortKey::Location, "location", "Location"),
    (SortKey::Reputation, "reputation", "Reputation"),
    (SortKey::Version, "version", "Version"),
    (SortKey::Since, "since", "Registered"),
];

/// A value that a parameter cannot have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadValue {
    pub(crate) parameter: &'static str,
    /// Shortened.
    pub(crate) value: String,
    /// Values that it can have.
    pub(crate) allowed: String,
}

impl NodesQuery {
    /// Parses a query for a network with this many layers. Empty values and unknown parameters are ignored.
    pub(crate) fn parse(query: &str, layers: u64) -> Result<Self, BadValue> {
        let mut parsed = Self::default();
        for (name, value) in parse(query.as_bytes()).filter(|(_, value)| !value.trim().is_empty()) {
            let value = value.trim();
            match &*name {
                "q" => parsed.search = search(value)?,
                "layer" => parsed.layer = Some(layer(value, layers)?),
                "state" => parsed.state = Some(state(value)?.name),
                "sort" => parsed.order = order(value)?,
                "page" => parsed.page = page(value)?,
                _ => {}
            }
        }
        Ok(parsed)
    }

    /// Path and query of the page.
    pub(crate) fn href(&self) -> String {
        let mut pairs = Serializer::new(String::new());
        if !self.search.is_empty() {
            pairs.append_pair("q", &self.search);
        }
        if let Some(layer) = self.layer {
            pairs.append_pair("layer", &layer.name());
        }
        if let Some(state) = self.state {
            pairs.append_pair("state", state);
        }
        if self.order != Order::default() {
            pairs.append_pair("sort", &self.order.name());
        }
        if self.page > 0 {
            pairs.append_pair("page", &(self.page + 1).to_string());
        }
        match pairs.finish() {
            query if query.is_empty() => "/".to_owned(),
            query => format!("/?{query}"),
        }
    }

    /// Whether it lists only some of the nodes.
    pub(crate) fn is_filtered(&self) -> bool {
        !self.search.is_empty() || self.layer.is_some() || self.state.is_some()
    }
}

impl LayerFilter {
    /// Name in URLs.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Mixes(layer) => layer.to_string(),
            Self::Gateways => GATEWAYS.to_owned(),
        }
    }
}

impl Order {
    /// Name in URLs: that of the column, after `-` for the other direction.
    pub(crate) fn name(self) -> String {
        let name = SORT_KEYS.iter().find(|(key, ..)| *key == self.by).map_or("", |(_, name, _)| name);
        format!("{}{name}", if self.is_descending { "-" } else { "" })
    }
}

fn search(value: &str) -> Result<String, BadValue> {
    if value.chars().count() > SEARCH_CHARS_MAX {
        return Err(bad("q", value, format!("at most {SEARCH_CHARS_MAX} characters")));
    }
    // No key, address or location has an invisible character; copied texts may.
    Ok(value.chars().filter(|character| !is_hidden(*character)).collect())
}

fn layer(value: &str, layers: u64) -> Result<LayerFilter, BadValue> {
    match value.parse() {
        Ok(layer) if (1..=layers).contains(&layer) => Ok(LayerFilter::Mixes(layer)),
        _ if value == GATEWAYS => Ok(LayerFilter::Gateways),
        _ => Err(bad("layer", value, format!("a number from 1 to {layers}, or {GATEWAYS}"))),
    }
}

fn state(value: &str) -> Result<&'static StateFilter, BadValue> {
    STATE_FILTERS.iter().find(|filter| filter.name == value).ok_or_else(|| {
        let names: Vec<&str> = STATE_FILTERS.iter().map(|filter| filter.name).collect();
        bad("state", value, names.join(", "))
    })
}

fn order(value: &str) -> Result<Order, BadValue> {
    let (name, is_descending) = value.strip_prefix('-').map_or((value, false), |name| (name, true));
    let by = SORT_KEYS.iter().find(|(_, known, _)| *known == name).map(|(by, ..)| *by);
    by.map(|by| Order { by, is_descending }).ok_or_else(|| {
        let names: Vec<&str> = SORT_KEYS.iter().map(|(_, name, _)| *name).collect();
        bad("sort", value, format!("{}, or one of them after a minus sign", names.join(", ")))
    })
}

fn page(value: &str) -> Result<usize, BadValue> {
    let page = value.parse::<usize>().ok().and_then(|page| page.checked_sub(1));
    page.ok_or_else(|| bad("page", value, "a number from 1".to_owned()))
}

/// A value that is not allowed.
pub(crate) fn bad(parameter: &'static str, value: &str, allowed: String) -> BadValue {
    BadValue { parameter, value: text::shown(value, 60), allowed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(query: &str) -> Result<NodesQuery, BadValue> {
        NodesQuery::parse(query, 3)
    }

    #[test]
    fn a_query_survives_its_own_url() {
        let order = Order { by: SortKey::Reputation, is_descending: true };
        for query in [
            NodesQuery::default(),
            NodesQuery { search: "a & b=\"<ü>\"".into(), page: 7, ..NodesQuery::default() },
            NodesQuery { layer: Some(LayerFilter::Gateways), state: Some("down"), order, ..NodesQuery::default() },
            NodesQuery { layer: Some(LayerFilter::Mixes(3)), ..NodesQuery::default() },
        ] {
            let href = query.href();
            assert!(href.is_ascii() && !href.contains(['<', '"', ' ']), "{href}");
            assert_eq!(parsed(href.split_once('?').map_or("", |(_, query)| query)), Ok(query));
        }
    }

    #[test]
    fn an_empty_form_lists_all_nodes() {
        for query in ["", "q=&layer=&state=&sort=", "q=+++", "utm_source=x&lang=de", "page=1", "&&=&"] {
            assert_eq!(parsed(query), Ok(NodesQuery::default()), "{query}");
        }
    }

    #[test]
    fn a_search_text_loses_its_invisible_characters() {
        let overridden = parsed("q=%E2%80%AEZ%C3%BCrich%E2%80%8B").unwrap();
        assert_eq!(overridden.search, "Zürich");
        assert!(!parsed("q=%E2%80%AE%00").unwrap().is_filtered());
    }

    #[test]
    fn wrong_values_are_refused_with_the_allowed_ones() {
        let long = format!("q={}", "x".repeat(129));
        for (query, parameter, allowed) in [
            ("layer=0", "layer", "from 1 to 3"),
            ("layer=4", "layer", "from 1 to 3"),
            ("layer=-1", "layer", "gateways"),
            ("layer=99999999999999999999", "layer", "gateways"),
            ("state=up", "state", "active, joining, partly, down, untested"),
            ("sort=colour", "sort", "reputation"),
            ("sort=--layer", "sort", "layer"),
            ("page=0", "page", "from 1"),
            ("page=two", "page", "from 1"),
            ("page=%ff", "page", "from 1"),
            (&long, "q", "128"),
        ] {
            let error = parsed(query).unwrap_err();
            assert_eq!(error.parameter, parameter, "{query}");
            assert!(error.allowed.contains(allowed), "{query}: {error:?}");
            assert!(error.value.chars().count() <= 61, "{query}: {error:?}");
        }
    }
}
