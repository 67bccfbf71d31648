-- What a request with an Idempotency-Key was answered. A status of NULL: it is being executed.
CREATE TABLE idempotency (
  key_hash   TEXT    NOT NULL PRIMARY KEY,
  body_hash  TEXT    NOT NULL,
  status     BIGINT,
  answer     TEXT,
  created_at BIGINT NOT NULL
);
CREATE INDEX idempotency_created_at ON idempotency (created_at);

-- Which objects were applied for a unit: what may be pruned when they leave Git.
CREATE TABLE inventory (
  unit      TEXT NOT NULL,
  api_group TEXT NOT NULL,
  kind      TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name      TEXT NOT NULL,
  PRIMARY KEY (unit, api_group, kind, namespace, name)
);
