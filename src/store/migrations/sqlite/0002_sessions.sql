-- Who is signed in by which cookie, of which only the digest is here.
CREATE TABLE sessions (
  digest     TEXT    NOT NULL PRIMARY KEY,
  principal  TEXT    NOT NULL,
  credential TEXT    NOT NULL,
  expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_expires_at ON sessions (expires_at);
