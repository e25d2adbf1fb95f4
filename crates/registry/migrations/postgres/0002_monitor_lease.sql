-- Which of the registries that share the database runs its monitor: at most one row.
CREATE TABLE monitor_lease (
    id         BIGINT PRIMARY KEY CHECK (id = 1),
    owner      TEXT NOT NULL,
    -- By the clock of the database.
    expires_at BIGINT NOT NULL
);
