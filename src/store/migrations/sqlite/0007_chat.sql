-- Copies of conversations: the agents' logs are the truth. `summary` is JSON as the agent said it last; `pending` is the
-- request for one that its environment does not have yet, else empty.
CREATE TABLE conversations (
  project      TEXT    NOT NULL,
  conversation TEXT    NOT NULL,
  epoch        TEXT    NOT NULL,
  last_seq     INTEGER NOT NULL,
  summary      TEXT    NOT NULL,
  pending      TEXT    NOT NULL,
  busy         INTEGER NOT NULL,
  updated_at   TEXT    NOT NULL,
  PRIMARY KEY (project, conversation)
) WITHOUT ROWID;

CREATE TABLE conversation_events (
  project      TEXT    NOT NULL,
  conversation TEXT    NOT NULL,
  epoch        TEXT    NOT NULL,
  seq          INTEGER NOT NULL,
  prompt       TEXT    NOT NULL,
  event        TEXT    NOT NULL,
  PRIMARY KEY (project, conversation, epoch, seq)
);
CREATE INDEX conversation_prompts ON conversation_events (project, conversation, prompt) WHERE prompt <> '';

-- Prompts that were accepted while their environment did not run, until its agent has them.
CREATE TABLE prompt_outbox (
  project      TEXT    NOT NULL,
  conversation TEXT    NOT NULL,
  prompt       TEXT    NOT NULL,
  body         TEXT    NOT NULL,
  actor        TEXT    NOT NULL,
  accepted_at  INTEGER NOT NULL,
  woken        INTEGER NOT NULL,
  problem      TEXT    NOT NULL,
  PRIMARY KEY (project, conversation, prompt)
) WITHOUT ROWID;
