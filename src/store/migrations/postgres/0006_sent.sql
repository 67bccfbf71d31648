-- The hash of the content that was sent last of an object. NULL: not recorded. 0: a write began, and how it ended is not known.
ALTER TABLE inventory ADD COLUMN sent BIGINT;
