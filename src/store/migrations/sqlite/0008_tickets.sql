-- Webhooks of JIRA, stored before they are acknowledged. `state` is waiting, parked, done, ignored or dead; `next_at` is when
-- one is looked at next, and `owner` the process that works on it. Times are in milliseconds.
CREATE TABLE ticket_deliveries (
  seq         INTEGER PRIMARY KEY AUTOINCREMENT,
  id          TEXT    NOT NULL UNIQUE,
  issue       TEXT    NOT NULL,
  issue_key   TEXT    NOT NULL,
  event       TEXT    NOT NULL,
  actor       TEXT    NOT NULL,
  happened_at INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  state       TEXT    NOT NULL,
  outcome     TEXT    NOT NULL,
  attempts    INTEGER NOT NULL,
  next_at     INTEGER NOT NULL,
  owner       TEXT    NOT NULL,
  took_ms     INTEGER NOT NULL,
  body        TEXT    NOT NULL
);
CREATE INDEX ticket_deliveries_due ON ticket_deliveries (state, next_at);
CREATE INDEX ticket_deliveries_of_issue ON ticket_deliveries (issue, state);

-- What is known of each issue. `content` is JSON; `version` rises with every write. `watched` is 1 while an answer is awaited,
-- `comment_at` when the comment is to be written next, 0 for not.
CREATE TABLE tickets (
  issue       TEXT    NOT NULL PRIMARY KEY,
  version     INTEGER NOT NULL,
  content     TEXT    NOT NULL,
  watched     INTEGER NOT NULL,
  comment_at  INTEGER NOT NULL
) WITHOUT ROWID;
