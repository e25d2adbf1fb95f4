-- Where each entry was registered from, for the limits on entries: groups of addresses.
CREATE TABLE source (
    identity   TEXT PRIMARY KEY REFERENCES node (identity) ON DELETE CASCADE,
    -- An IPv4 address or IPv6 /64; 'private', or 'unknown' behind a proxy that does not say.
    subscriber TEXT NOT NULL,
    -- An IPv4 /24 or IPv6 /48, or the same words.
    network    TEXT NOT NULL
) STRICT;

CREATE INDEX source_by_subscriber ON source (subscriber);
CREATE INDEX source_by_network ON source (network);
