-- When the registry last dialled a gateway that never signs, to find out whether it is still there.
ALTER TABLE node ADD COLUMN dialled_at INTEGER NOT NULL DEFAULT 0;
