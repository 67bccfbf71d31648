-- Who made the commit.
ALTER TABLE history ADD COLUMN author TEXT NOT NULL DEFAULT '';
