//! The value types of settings, for the reference, the schema, and the flags' value names.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use nym_mixnode_address::{AnnounceSource, CloudChoice};
use nym_mixnode_mix::Rule;
use nym_mixnode_sphinx::{EngineChoice, PacketSize};
use nym_mixnode_telemetry::OtlpProtocol;
use nym_mixnode_telemetry::log::{LogFilter, LogFormat};
use strum::VariantNames;
use url::Url;

use super::address::Host;
use super::home::NodeId;

/// A number of bytes, written with a unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bytes(pub usize);

/// Value types of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Integer,
    /// `true` or `false`.
    Switch,
    Duration,
    Size,
    Path,
    Url,
    /// An IP address, with or without a port.
    Address,
    /// A log filter.
    LogFilter,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// A type of a setting's value, and the kind it is documented as.
#[diagnostic::on_unimplemented(message = "add the kind of value of a setting of type `{Self}` to config/kind.rs")]
pub(super) trait HasKind {
    const KIND: Kind;
}

macro_rules! kinds {
    ($($type:ty: $kind:expr;)*) => {
        $(impl HasKind for $type {
            const KIND: Kind = $kind;
        })*
    };
}

kinds! {
    String: Kind::Text;
    NodeId: Kind::Text;
    u16: Kind::Integer;
    u32: Kind::Integer;
    u64: Kind::Integer;
    usize: Kind::Integer;
    bool: Kind::Switch;
    Duration: Kind::Duration;
    Bytes: Kind::Size;
    PathBuf: Kind::Path;
    Url: Kind::Url;
    Host: Kind::Address;
    IpAddr: Kind::Address;
    SocketAddr: Kind::Address;
    Option<SocketAddr>: Kind::Address;
    Option<Host>: Kind::Address;
    PacketSize: Kind::Choice(&PacketSize::NAMES);
    EngineChoice: Kind::Choice(&EngineChoice::NAMES);
    Rule: Kind::Choice(Rule::VARIANTS);
    AnnounceSource: Kind::Choice(AnnounceSource::VARIANTS);
    CloudChoice: Kind::Choice(&CloudChoice::NAMES);
    LogFormat: Kind::Choice(LogFormat::VARIANTS);
    LogFilter: Kind::LogFilter;
    OtlpProtocol: Kind::Choice(OtlpProtocol::VARIANTS);
}

impl Kind {
    /// The name in the reference.
    pub fn name(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Integer => "integer".to_owned(),
            Self::Switch => "true or false".to_owned(),
            Self::Duration => "duration".to_owned(),
            Self::Size => "size".to_owned(),
            Self::Path => "path".to_owned(),
            Self::Url => "URL".to_owned(),
            Self::Address => "address".to_owned(),
            Self::LogFilter => "log filter".to_owned(),
            Self::Choice(words) => words.join(", "),
        }
    }

    /// The units that its values are written with.
    pub const fn units(self) -> &'static str {
        match self {
            Self::Duration => "ms, s, m, h, day",
            Self::Size => "B, KiB, MiB, GiB, TiB",
            _ => "",
        }
    }

    /// The value name in the help of a flag.
    pub const fn value_name(self) -> &'static str {
        match self {
            Self::Text => "TEXT",
            Self::Integer => "N",
            Self::Switch => "BOOL",
            Self::Duration => "DURATION",
            Self::Size => "SIZE",
            Self::Path => "PATH",
            Self::Url => "URL",
            Self::Address => "ADDRESS",
            Self::LogFilter => "FILTER",
            Self::Choice(_) => "WORD",
        }
    }

    /// A specific error for a text that is not of this kind, if there is one.
    pub fn problem(self, text: &str) -> Option<String> {
        match self {
            Self::LogFilter => text.parse::<LogFilter>().err(),
            _ => None,
        }
    }

    /// Whether a value of this kind can look like `text`; the setting itself may allow less.
    #[cfg(test)]
    pub fn describes(self, text: &str) -> bool {
        match self {
            Self::Text | Self::Path => true,
            Self::Integer => text.parse::<u64>().is_ok(),
            Self::Switch => matches!(text, "true" | "false"),
            Self::Duration => humantime::parse_duration(text).is_ok(),
            Self::Size => super::parse::size(text, 0..=usize::MAX).is_some(),
            Self::Url => text.parse::<Url>().is_ok(),
            Self::Address => text.parse::<Host>().is_ok(),
            Self::LogFilter => text.parse::<LogFilter>().is_ok(),
            Self::Choice(words) => words.contains(&text),
        }
    }
}
