-- How the last commits of each project came into the cluster.
CREATE TABLE history (
  project    TEXT    NOT NULL,
  revision   TEXT    NOT NULL,
  seen_at    BIGINT NOT NULL,
  digest     TEXT    NOT NULL,
  summary    TEXT    NOT NULL,
  outcome    TEXT    NOT NULL,
  message    TEXT    NOT NULL,
  applied_ms BIGINT,
  healthy_ms BIGINT,
  PRIMARY KEY (project, revision)
);
