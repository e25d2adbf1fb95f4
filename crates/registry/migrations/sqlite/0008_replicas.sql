-- As in the schema for PostgreSQL, where several registries share a database: where the test packets of each return to.
CREATE TABLE test_address (
    address TEXT PRIMARY KEY,
    seen_at INTEGER NOT NULL
) STRICT;
