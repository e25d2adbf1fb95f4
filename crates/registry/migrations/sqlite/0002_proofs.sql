-- The registry's own Ed25519 key: one for each store.
CREATE TABLE registry_key (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    seed BLOB NOT NULL CHECK (length(seed) = 32)
) STRICT;

-- Identities that have signed a call. Outlives the node: no unsigned call takes its place.
CREATE TABLE signer (
    identity     TEXT PRIMARY KEY,
    -- Of the last signed call; the next one has a greater one.
    counter      INTEGER NOT NULL CHECK (counter > 0),
    -- Whether that call unregistered the node.
    unregistered INTEGER NOT NULL CHECK (unregistered IN (0, 1)),
    signed_at    INTEGER NOT NULL
) STRICT;

-- The last call or passed test that shows that the node is there.
ALTER TABLE node ADD COLUMN renewed_at INTEGER NOT NULL DEFAULT 0;
-- When a test packet or an admission proved an address of it; NULL when neither did.
ALTER TABLE node ADD COLUMN packet_proved_at INTEGER;
UPDATE node SET renewed_at = registered_at;

-- Announced addresses, in one spelling. Those without a proof are listed nowhere and keep nobody away.
CREATE TABLE claim (
    identity  TEXT NOT NULL REFERENCES node (identity) ON DELETE CASCADE,
    address   TEXT NOT NULL,
    -- NULL while nothing proves it.
    proved_at INTEGER,
    proved_by TEXT CHECK (proved_by IN ('call', 'packet', 'admission', 'earlier')),
    -- The Sphinx key that a test packet proved.
    proved_key TEXT,
    -- The last call of this identity from the address's IP.
    called_at INTEGER,
    -- Why it is not proven.
    reason    TEXT,
    -- Test packets sent since the claim, and when the next one is due.
    tries     INTEGER NOT NULL DEFAULT 0,
    try_at    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (identity, address),
    CHECK ((proved_at IS NULL) = (proved_by IS NULL))
) STRICT;

-- One node for each proven ip:port.
CREATE UNIQUE INDEX claim_proved ON claim (address) WHERE proved_at IS NOT NULL;
CREATE INDEX claim_pending ON claim (try_at) WHERE proved_at IS NULL;

-- What an earlier release has listed counts as proven.
INSERT INTO claim (identity, address, proved_at, proved_by)
SELECT identity, address, registered_at, 'earlier' FROM host JOIN node USING (identity);

DROP TABLE host;
