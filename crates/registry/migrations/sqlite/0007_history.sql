-- Layer of a mix; 0 for a gateway.
ALTER TABLE node ADD COLUMN layer INTEGER NOT NULL DEFAULT 0;
UPDATE node SET layer = COALESCE(json_extract(registration, '$.layer'), 0) WHERE role = 'mix';

-- Measurements counted per hour; those of past weeks per day, in its first hour.
CREATE TABLE uptime (
    identity   TEXT NOT NULL,
    ip_version INTEGER NOT NULL CHECK (ip_version IN (4, 6)),
    -- Hours since the epoch.
    hour       INTEGER NOT NULL,
    up         INTEGER NOT NULL,
    total      INTEGER NOT NULL CHECK (total > 0),
    -- At the end of the hour; the greatest of a day.
    reputation INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (identity, ip_version, hour)
) STRICT, WITHOUT ROWID;

CREATE INDEX uptime_by_hour ON uptime (hour);

INSERT INTO uptime (identity, ip_version, hour, up, total)
SELECT identity, ip_version, at / 3600000000000, SUM(up), COUNT(*) FROM status GROUP BY 1, 2, 3;

-- Totals per hour and layer, 0 for gateways.
CREATE TABLE layer_hour (
    hour     INTEGER NOT NULL,
    layer    INTEGER NOT NULL,
    -- Registered nodes at the end of the hour.
    nodes    INTEGER NOT NULL DEFAULT 0,
    -- Packets that the nodes have reported.
    received INTEGER NOT NULL DEFAULT 0,
    -- Measurements, and those that succeeded.
    total    INTEGER NOT NULL DEFAULT 0,
    up       INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (hour, layer)
) STRICT, WITHOUT ROWID;
