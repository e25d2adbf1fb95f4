-- Times are nanoseconds since the epoch, as on the wire. Numbers that are 0 or 1 are as in SQLite, so that both databases
-- run the same statements.

CREATE TABLE node (
    identity         TEXT PRIMARY KEY,
    role             TEXT NOT NULL CHECK (role IN ('mix', 'gateway')),
    -- The registration as it is listed, JSON.
    registration     TEXT NOT NULL,
    -- The IP address that registered it; NULL when a proxy hid it.
    registered_from  TEXT,
    registered_at    BIGINT NOT NULL,
    expires_at       BIGINT,
    -- The last call or passed test that shows that the node is there.
    renewed_at       BIGINT NOT NULL,
    -- When a test packet or an admission proved an address of it.
    packet_proved_at BIGINT,
    -- When the registry last dialled a gateway that never signs.
    dialled_at       BIGINT NOT NULL DEFAULT 0,
    -- Layer of a mix; 0 for a gateway.
    layer            BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX node_by_expiry ON node (expires_at) WHERE expires_at IS NOT NULL;

-- Announced addresses, in one spelling. Those without a proof are listed nowhere.
CREATE TABLE claim (
    identity   TEXT NOT NULL REFERENCES node (identity) ON DELETE CASCADE,
    address    TEXT NOT NULL,
    proved_at  BIGINT,
    proved_by  TEXT CHECK (proved_by IN ('call', 'packet', 'admission', 'earlier')),
    -- The Sphinx key that a test packet proved.
    proved_key TEXT,
    -- The last call of this identity from the address's IP.
    called_at  BIGINT,
    -- Why it is not proven.
    reason     TEXT,
    -- Test packets sent since the claim, and when the next one is due.
    tries      BIGINT NOT NULL DEFAULT 0,
    try_at     BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (identity, address),
    CHECK ((proved_at IS NULL) = (proved_by IS NULL))
);

-- One node for each proven ip:port.
CREATE UNIQUE INDEX claim_proved ON claim (address) WHERE proved_at IS NOT NULL;
CREATE INDEX claim_pending ON claim (try_at) WHERE proved_at IS NULL;

-- Outlives the node.
CREATE TABLE reputation (
    identity TEXT PRIMARY KEY,
    score    BIGINT NOT NULL DEFAULT 0 CHECK (score >= 0)
);

-- What network monitors measured.
CREATE TABLE status (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    identity   TEXT NOT NULL,
    ip_version BIGINT NOT NULL CHECK (ip_version IN (4, 6)),
    up         BIGINT NOT NULL CHECK (up IN (0, 1)),
    at         BIGINT NOT NULL
);

CREATE INDEX status_by_identity ON status (identity, ip_version, at);
CREATE INDEX status_by_time ON status (at);

-- The latest report of each node.
CREATE TABLE metric (
    identity TEXT PRIMARY KEY REFERENCES node (identity) ON DELETE CASCADE,
    received BIGINT NOT NULL CHECK (received >= 0),
    sent     TEXT NOT NULL,
    at       BIGINT NOT NULL
);

-- The registry's own Ed25519 key, which its replicas share.
CREATE TABLE registry_key (
    id   BIGINT PRIMARY KEY CHECK (id = 1),
    seed BYTEA NOT NULL CHECK (length(seed) = 32)
);

-- Identities that have signed a call. Outlives the node: no unsigned call takes its place.
CREATE TABLE signer (
    identity     TEXT PRIMARY KEY,
    -- Of the last signed call; the next one has a greater one.
    counter      BIGINT NOT NULL CHECK (counter > 0),
    -- Whether that call unregistered the node.
    unregistered BIGINT NOT NULL CHECK (unregistered IN (0, 1)),
    signed_at    BIGINT NOT NULL,
    -- The registry's signature over the release of the identity, in base58.
    release      TEXT
);

-- Where each entry was registered from, for the limits on entries: groups of addresses.
CREATE TABLE source (
    identity   TEXT PRIMARY KEY REFERENCES node (identity) ON DELETE CASCADE,
    subscriber TEXT NOT NULL,
    network    TEXT NOT NULL
);

CREATE INDEX source_by_subscriber ON source (subscriber);
CREATE INDEX source_by_network ON source (network);

-- Written to find out whether writes succeed: one row.
CREATE TABLE health (
    id         BIGINT PRIMARY KEY CHECK (id = 1),
    written_at BIGINT NOT NULL,
    filler     BYTEA NOT NULL
);

-- Measurements counted per hour; those of past weeks per day, in its first hour.
CREATE TABLE uptime (
    identity   TEXT NOT NULL,
    ip_version BIGINT NOT NULL CHECK (ip_version IN (4, 6)),
    -- Hours since the epoch.
    hour       BIGINT NOT NULL,
    up         BIGINT NOT NULL,
    total      BIGINT NOT NULL CHECK (total > 0),
    -- At the end of the hour; the greatest of a day.
    reputation BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (identity, ip_version, hour)
);

CREATE INDEX uptime_by_hour ON uptime (hour);

-- Totals per hour and layer, 0 for gateways.
CREATE TABLE layer_hour (
    hour     BIGINT NOT NULL,
    layer    BIGINT NOT NULL,
    -- Registered nodes at the end of the hour.
    nodes    BIGINT NOT NULL DEFAULT 0,
    -- Packets that the nodes have reported.
    received BIGINT NOT NULL DEFAULT 0,
    -- Measurements, and those that succeeded.
    total    BIGINT NOT NULL DEFAULT 0,
    up       BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (hour, layer)
);

-- Grows with each change of the lists, so that every replica notices the changes of the others: one row. Its lock is the
-- lock of all writers.
CREATE TABLE change (
    generation BIGINT NOT NULL
);

INSERT INTO change (generation) VALUES (0);

-- Where the test packets of each replica return to.
CREATE TABLE test_address (
    address TEXT PRIMARY KEY,
    seen_at BIGINT NOT NULL
);
