-- Written to find out whether writes succeed: one row.
CREATE TABLE health (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    written_at INTEGER NOT NULL,
    filler     BLOB NOT NULL
) STRICT;

-- Reports no longer keep the next hops that old nodes name.
UPDATE metric SET sent = '{}';
