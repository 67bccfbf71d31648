-- The commit that last changed each project, as of the head that the row of the project "(head)" names.
CREATE TABLE last_changes (
  project  TEXT    NOT NULL PRIMARY KEY,
  revision TEXT    NOT NULL,
  made_at  INTEGER NOT NULL,
  author   TEXT    NOT NULL
) WITHOUT ROWID;
