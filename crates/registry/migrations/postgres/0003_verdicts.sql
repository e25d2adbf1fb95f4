-- The latest verdict of each monitor about a node: the majority of the monitors decides.
CREATE TABLE verdict (
    identity   TEXT NOT NULL,
    ip_version BIGINT NOT NULL CHECK (ip_version IN (4, 6)),
    monitor    TEXT NOT NULL,
    up         BIGINT NOT NULL CHECK (up IN (0, 1)),
    -- Whether the monitor had reported before, so that it is one of several.
    repeated   BIGINT NOT NULL CHECK (repeated IN (0, 1)),
    -- Whether a measurement has followed from it.
    counted    BIGINT NOT NULL CHECK (counted IN (0, 1)),
    at         BIGINT NOT NULL,
    PRIMARY KEY (identity, ip_version, monitor)
);

CREATE INDEX verdict_by_time ON verdict (at);
