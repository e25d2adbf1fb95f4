-- As in the schema for PostgreSQL, where one of several registries runs its monitor.
CREATE TABLE monitor_lease (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    owner      TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
