-- Times are nanoseconds since the epoch, as on the wire.

CREATE TABLE node (
    identity        TEXT PRIMARY KEY,
    role            TEXT NOT NULL CHECK (role IN ('mix', 'gateway')),
    -- The registration as it is listed, JSON: its fields have one definition, in api.rs.
    registration    TEXT NOT NULL,
    -- The IP address that registered it and may unregister it; NULL when a proxy hid it.
    registered_from TEXT,
    registered_at   INTEGER NOT NULL,
    expires_at      INTEGER
) STRICT;

CREATE INDEX node_by_expiry ON node (expires_at) WHERE expires_at IS NOT NULL;

-- One node for each ip:port, in one spelling.
CREATE TABLE host (
    address  TEXT PRIMARY KEY,
    identity TEXT NOT NULL REFERENCES node (identity) ON DELETE CASCADE
) STRICT;

CREATE INDEX host_by_identity ON host (identity);

-- Outlives the node: who unregisters and comes back has the reputation from before.
CREATE TABLE reputation (
    identity TEXT PRIMARY KEY,
    score    INTEGER NOT NULL DEFAULT 0 CHECK (score >= 0)
) STRICT;

-- What network monitors measured.
CREATE TABLE status (
    id         INTEGER PRIMARY KEY,
    identity   TEXT NOT NULL,
    ip_version INTEGER NOT NULL CHECK (ip_version IN (4, 6)),
    up         INTEGER NOT NULL CHECK (up IN (0, 1)),
    at         INTEGER NOT NULL
) STRICT;

CREATE INDEX status_by_identity ON status (identity, ip_version, at);
CREATE INDEX status_by_time ON status (at);

-- The latest report of each node.
CREATE TABLE metric (
    identity TEXT PRIMARY KEY REFERENCES node (identity) ON DELETE CASCADE,
    received INTEGER NOT NULL CHECK (received >= 0),
    -- JSON, next hop to count.
    sent     TEXT NOT NULL,
    at       INTEGER NOT NULL
) STRICT;
